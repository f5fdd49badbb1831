"""How much each texel or voxel was seen: the sum over a run of its squared derivatives, in arrays and, for
textures, as a picture.

A texel whose derivative was 0 in every iteration reached no pixel that counts: it is what it was at the
start, or what a prior or its neighbours made of it. A small sum means a value that little light has decided.
"""

from collections.abc import Container, Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np

from prb.io.images import write_texels
from prb.io.volumes import write_vol
from prb.recover.grids import Array
from prb.report.derivative_images import save_figure

_KEY = "seen:"  # of the arrays in a checkpoint


class Seen:
    """The sums of some textures and volumes, over the iterations so far. shapes: of their values."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.sums: dict[str, Array] = {name: np.zeros(shape[:-1]) for name, shape in shapes.items()}

    def add(self, gradients: Mapping[str, Array]) -> None:
        """Add an iteration's derivatives by the texels, their squares summed over the channels."""
        self.sums = {name: total + (gradients[name] ** 2).sum(axis=-1) for name, total in self.sums.items()}

    def state(self) -> dict[str, Array]:
        """The sums; they are never changed in place."""
        return self.sums

    def restore(self, state: dict[str, Array]) -> None:
        """Go back to what `state` returned."""
        self.sums = state

    def arrays(self) -> dict[str, Array]:
        """The sums as arrays of a checkpoint."""
        return {_KEY + name: total for name, total in self.sums.items()}

    def take(self, arrays: MutableMapping[str, Any]) -> None:
        """Take over the sums of a checkpoint, and take them out of its arrays."""
        found = {key: arrays.pop(key) for key in list(arrays) if key.startswith(_KEY)}
        self.sums = {
            name: np.asarray(found.get(_KEY + name, zero), float) for name, zero in self.sums.items()
        }


def never_seen(sums: Mapping[str, Array]) -> dict[str, float]:
    """name -> the share of its texels or voxels that were never seen."""
    return {name: float((total == 0).mean()) for name, total in sums.items()}


def lines(shares: Mapping[str, float], volumes: Container[str] = ()) -> Iterable[str]:
    """What to say of what was not seen in full. volumes: the names of those that are volumes."""
    for name, share in shares.items():
        if share > 0:
            shown = f"{share:.1%}" if share >= 1e-3 else "less than 0.1%"
            yield f"{name}: {shown} of its {'voxels' if name in volumes else 'texels'} were never seen"


def seen_maps(folder: Path, bases: Mapping[str, str], sums: Mapping[str, Array]) -> dict[str, dict[str, Any]]:
    """Write the sums of textures as BASE.seen.exr and, in colours, .seen.png; of volumes as BASE.seen.vol.

    bases: name -> the file of its texels or voxels without the format. Returns name -> the files' names and
    the share that was never seen. Raises ImageError and VolumeError.
    """
    shares, found = never_seen(sums), {}
    for name, base in bases.items():
        if name in sums and sums[name].ndim == 3:
            found[name] = {"vol": f"{base}.seen.vol", "never_seen": shares[name]}
            write_vol(folder / found[name]["vol"], sums[name])
        elif name in sums:
            found[name] = {"exr": f"{base}.seen.exr", "png": f"{base}.seen.png", "never_seen": shares[name]}
            write_texels(folder / found[name]["exr"], sums[name][..., None])
            save_figure(folder / found[name]["png"], figure(sums[name], name))
    return found


def figure(total: Array, label: str) -> Any:
    """The sums of a texture in colours, on a logarithmic scale; grey where it was never seen."""
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(6.4, 5.2), layout="constrained")
    axes = drawn.subplots()
    seen = total[total > 0]
    high = float(seen.max()) if seen.size else 1.0
    low = max(float(seen.min()), 1e-6 * high) if seen.size else 0.1
    scale = LogNorm(low, high if high > low else 2 * low)
    colours = colormaps["viridis"].with_extremes(bad="0.75")
    picture = axes.imshow(np.ma.masked_equal(total, 0), cmap=colours, norm=scale, interpolation="nearest")
    extend = "min" if seen.size and seen.min() < low else "neither"
    bar = drawn.colorbar(picture, ax=axes, shrink=0.9, extend=extend)
    bar.set_label("sum of squared derivatives of the loss by the texel", fontsize=9)
    title = "".join(c if c.isprintable() else " " for c in label)
    axes.set_title(
        title if len(title) <= 60 else f"{title[:28]} ... {title[-28:]}", fontsize=10, parse_math=False
    )
    axes.set_xlabel(f"grey: never seen ({(total == 0).mean():.1%})", fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    return drawn
