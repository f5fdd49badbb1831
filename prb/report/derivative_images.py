"""Derivative images in files: dI/dp for each number p of the parameters, as `prb grad --images` writes them.

For each scalar component one forward pass gives one EXR with the derivative of the picture's linear RGB, and
one PNG with the mean of its three channels in colours: red where the picture gets brighter as the number
grows, blue where it gets darker, white at zero. A contact sheet shows the picture and all of them.
"""

import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from prb.api import render, render_forward
from prb.device.params import records
from prb.errors import ImageError, ParameterError
from prb.io.images import atomic, reduced, to_srgb, write_image

MAX_COMPONENTS = 64  # each takes one pass
PERCENTILE = 99.5  # of |dI/dp|, where the colours end, so that a few bright pixels do not make the rest pale
COLOURS = "RdBu_r"
SHEET = "contact"  # the contact sheet's name; a parameter's has a dot in it
PANEL = 512  # pixels of the longer side of a panel of the contact sheet, at most
MAX_NAME_LENGTH = 160  # characters of a file's name before its format


class Component(NamedTuple):
    """One number of a parameter.

    index: where in the parameter's array, () for a number. file: the images' name, without the format.
    """

    name: str
    index: tuple
    file: str

    @property
    def label(self):
        return ".".join([self.name, *map(str, self.index)])


def components(scene, names):
    """The `Component`s of the named parameters, in their order. Raises ParameterError for too many."""
    shapes = {name: records(scene)[name].shape for name in names}
    count = sum(int(np.prod(shape, dtype=int)) for shape in shapes.values())
    if count > MAX_COMPONENTS:
        largest = max(shapes, key=lambda name: np.prod(shapes[name], dtype=int))
        what = f"{count} numbers, the most in {largest} {shapes[largest]}"
        remedy = f"choose at most {MAX_COMPONENTS} with --param"
        raise ParameterError(f"images: the parameters have {what}; {remedy}")
    found, taken = [], {SHEET}
    for name, shape in shapes.items():
        for index in np.ndindex(shape):
            label = ".".join([name, *map(str, index)])
            found.append(Component(name, index, file_name(label, taken)))
    return found


def check_folder(folder):
    """Raise ImageError unless files can be written there or the folder can be made; leaves nothing behind."""
    if not str(folder):
        raise ImageError("images: the folder's name is empty; name one for the images")
    folder = parent = Path(folder)
    while not os.path.lexists(parent) and parent != parent.parent:
        parent = parent.parent
    if not os.path.isdir(parent):
        raise ImageError(f"{folder}: {parent} is not a folder; name another one for the images")
    try:
        with suppress(FileNotFoundError):
            folder.lstat()  # such as a name that is too long
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise ImageError(f"{folder}: images cannot be written there: {reason}; choose another one") from None


def write(scene, parts, folder, *, spp=None, seed=0, max_depth=None, progress=False):
    """Write the derivative images of the components and the contact sheet. Returns the files' paths.

    parts: of `components`. folder: made if it is not there. spp, seed, max_depth: as in `prb.render`.
    Raises ImageError and ParameterError.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise ImageError(f"{folder}: the folder cannot be made: {reason}; choose another one") from None
    options = dict(spp=spp, seed=seed, max_depth=max_depth, progress=progress)
    files, panels = [], []
    picture = reduced(render(scene, **options), PANEL)
    for part in parts:
        tangent = np.zeros(records(scene)[part.name].shape, np.float32)
        tangent[part.index] = 1
        derivative = render_forward(scene, {part.name: tangent}, **options)
        if not np.isfinite(derivative).all():
            raise ParameterError(f"{part.label}: its derivative image overflowed; scale the radiances down")
        files.append(folder / f"{part.file}.exr")
        write_image(files[-1], derivative)
        mean = derivative.mean(axis=2, dtype=np.float64)
        end = limit(mean)
        files.append(folder / f"{part.file}.png")
        save_figure(files[-1], _single(mean, end, part.label))
        panels.append((reduced(mean, PANEL), end, part.label))
    files.append(folder / f"{SHEET}.png")
    save_figure(files[-1], _contact_sheet(picture, panels, scene.name))
    return files


def file_names(parts, folder):
    """The files that `write` writes."""
    names = [f"{part.file}.{suffix}" for part in parts for suffix in ("exr", "png")]
    return [Path(folder) / name for name in (*names, f"{SHEET}.png")]


def limit(image):
    """The value at which the colours end on both sides of zero: the PERCENTILE of the absolute values.

    Where that is zero it is the largest absolute value, so 0 for an image that is zero everywhere.
    """
    size = np.abs(image)
    return float(np.percentile(size, PERCENTILE) or size.max())


def file_name(label, taken):
    """A name that is valid on every file system and differs, even without its case, from those taken."""
    base = re.sub(r"[^\w.+-]+", "_", label).lstrip(".")
    base = base.encode("ascii", "replace").decode().replace("?", "_")[:MAX_NAME_LENGTH] or "_"
    name, number = base, 1
    while name.lower() in taken:
        number += 1
        name = f"{base}-{number}"
    taken.add(name.lower())
    return name


def _single(mean, end, label):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axes = figure.subplots()
    _draw(figure, axes, mean, end, label, size=11)
    axes.images[0].colorbar.set_label(
        "change of the picture by a unit of the parameter, mean of R, G and B", fontsize=9
    )
    return figure


def _contact_sheet(picture, panels, name):
    """The picture, then the derivative images, row by row; each with its own colour bar."""
    from matplotlib.figure import Figure

    columns = int(np.ceil(np.sqrt(len(panels) + 1)))
    rows = -(-(len(panels) + 1) // columns)
    figure = Figure(figsize=(3.4 * columns, 3.0 * rows + 0.4), layout="constrained")
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    cells[0].imshow(to_srgb(picture))
    _plain(cells[0], name, 9)
    for axes, panel in zip(cells[1:], panels, strict=False):
        _draw(figure, axes, *panel, size=9)
    for axes in cells[len(panels) + 1 :]:
        axes.set_axis_off()
    figure.suptitle("Derivatives of the picture, mean of R, G and B; each with its own scale", fontsize=10)
    return figure


def _draw(figure, axes, mean, end, label, size):
    """One derivative image with its colour bar."""
    shown = end if end > 0 else 1.0
    drawn = axes.imshow(mean, cmap=COLOURS, vmin=-shown, vmax=shown)
    beyond = "both" if np.abs(mean).max() > end else "neither"
    bar = figure.colorbar(drawn, ax=axes, extend=beyond, shrink=0.9)
    bar.ax.tick_params(labelsize=size - 2)
    bar.formatter.set_powerlimits((-3, 4))
    bar.ax.yaxis.get_offset_text().set_size(size - 2)
    _plain(axes, label if end > 0 else f"{label}: zero everywhere", size)


def _plain(axes, title, size):
    title = " ".join("".join(c if c.isprintable() else " " for c in title).split())
    title = title if len(title) <= 60 else f"{title[:28]} ... {title[-28:]}"
    axes.set_title(title, fontsize=size if len(title) < 40 else 0.75 * size, parse_math=False)
    axes.set_xticks([])
    axes.set_yticks([])


def save_figure(path, figure, dpi=130):
    """Write a figure of matplotlib's. Raises ImageError."""
    try:
        with atomic(path) as temporary:
            figure.savefig(temporary, dpi=dpi)
    except OSError as error:
        reason = error.strerror or error
        raise ImageError(f"{path}: cannot be written: {reason}; choose another folder") from None
