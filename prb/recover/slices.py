"""Pictures of recovered volumes: slices through their middle, at first, in the end, as they should be."""

import numpy as np

from prb.io.images import reduced, to_srgb
from prb.recover.grids import is_volume
from prb.report.derivative_images import COLOURS

AXES = ("z", "y", "x")  # of a grid's values
VOLUMES = 2  # with slices in the comparison, at most
PERCENTILE = 99.5  # of the voxels, where white is, so that a few dense ones do not darken all others


def sliced(scene, names):
    """Those of the parameters whose slices are shown: the first grids of voxels."""
    return [name for name in names if is_volume(scene, name)][:VOLUMES]


def draw_slices(rows, name, initial, result, true, most):
    """Draw the middle slices of a volume across z, y and x, one in each row, as the columns of a comparison.

    rows: three rows of four axes: initial, result, target, result - target; the latter two are empty where
    true is None. initial, result, true: voxels (Z, Y, X, channels). most: pixels of a side, at most.
    The scale is the same for all: 0 is black, what almost all voxels of the target (or else of the result)
    are below is white. Six channels are shown as a third of the trace of their matrix.
    """
    volumes = [_shown(values) for values in (initial, result, true) if values is not None]
    white = float(np.percentile(volumes[-1], PERCENTILE) or volumes[-1].max()) or 1.0
    difference = None if true is None else (volumes[1] - volumes[2]).mean(axis=-1, keepdims=True)
    end = 1.0 if difference is None else float(np.percentile(np.abs(difference), PERCENTILE)) or 1.0
    for axis, row in enumerate(rows):
        for axes, volume in zip(row, volumes, strict=False):
            axes.imshow(to_srgb(reduced(_middle(volume, axis), most) / white) * np.ones(3))
        if difference is None:
            for axes in row[2:]:
                axes.axis("off")
        else:
            picture = reduced(_middle(difference, axis), most)[..., 0]
            drawn = row[3].imshow(picture, cmap=COLOURS, vmin=-end, vmax=end)
            bar = row[3].figure.colorbar(drawn, ax=row[3], shrink=0.85, extend="both")
            bar.formatter.set_powerlimits((-3, 4))
        across, up = [AXES[k] for k in (2, 1, 0) if k != axis]
        row[0].set_ylabel(f"slice across {AXES[axis]}", fontsize=10)
        row[0].set_xlabel(f"{across} to the right, {up} up", fontsize=9)
        row[1].set_xlabel(f"white: {white:.3g}", fontsize=9)
    title = "".join(c if c.isprintable() else " " for c in name)
    rows[0][0].set_title(title if len(title) <= 40 else f"... {title[-36:]}", fontsize=10, parse_math=False)


def _shown(voxels):
    """The voxels with one or three channels."""
    voxels = np.asarray(voxels, float)
    return voxels[..., :3].mean(axis=-1, keepdims=True) if voxels.shape[-1] == 6 else voxels


def _middle(volume, axis):
    """The middle slice across an axis, its second axis upwards: rows run downwards in a picture."""
    return volume.take(volume.shape[axis] // 2, axis)[::-1]
