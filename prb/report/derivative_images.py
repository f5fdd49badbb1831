"""Derivative images in files: dI/dp for each number p of the parameters, as `prb grad --images` writes them.

For each scalar component one forward pass gives one EXR with the derivative of the picture's linear RGB, and
one PNG with the mean of its three channels in colours: red where the picture gets brighter as the number
grows, blue where it gets darker, white at zero. A contact sheet shows the picture and all of them. Of what
moves shapes or the camera there are two EXRs more, the interior derivative and the boundary terms, whose sum
the first one is; the PNG shows all three.
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
from prb.estimators.boundary import Boundary
from prb.estimators.replay import ReplayAdjoint
from prb.io.images import atomic, reduced, to_srgb, write_image

MAX_COMPONENTS = 64  # each takes one pass
PERCENTILE = 99.5  # of |dI/dp|, where the colours end, so that a few bright pixels do not make the rest pale
COLOURS = "RdBu_r"
PARTS = {"interior": ReplayAdjoint(), "boundary": Boundary()}  # of the derivative by what moves
SHEET = "contact"  # the contact sheet's name; a parameter's has a dot in it
PANEL = 512  # pixels of the longer side of a panel of the contact sheet, at most
MAX_NAME_LENGTH = 160  # characters of a file's name before its format


class Component(NamedTuple):
    """One number of a parameter.

    index: where in the parameter's array, () for a number. file: the images' name, without the format.
    moves: whether it moves shapes or the camera.
    """

    name: str
    index: tuple
    file: str
    moves: bool = False

    @property
    def files(self):
        """Names of its files, by what they show; the picture with colours comes last."""
        parts = {part: f"{self.file}.{part}.exr" for part in PARTS} if self.moves else {}
        return {"sum": f"{self.file}.exr", **parts, "colours": f"{self.file}.png"}

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
            if records(scene)[name].moves and index[:1] == (3,) and shape == (4, 4):
                continue  # the last row of a transform is fixed
            label = ".".join([name, *map(str, index)])
            moves = records(scene)[name].moves
            found.append(Component(name, index, file_name(label, taken), moves))
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
        derivatives = _derivatives(scene, part, options)
        means = {key: image.mean(axis=2, dtype=np.float64) for key, image in derivatives.items()}
        for key, image in derivatives.items():
            files.append(folder / part.files[key])
            write_image(files[-1], image)
        files.append(folder / part.files["colours"])
        save_figure(files[-1], _single(means, part.label))
        panels.append((reduced(means["sum"], PANEL), limit(means["sum"]), part.label))
    files.append(folder / f"{SHEET}.png")
    save_figure(files[-1], _contact_sheet(picture, panels, scene.name))
    return files


def _derivatives(scene, part, options):
    """The derivative images of a component by what they show, "sum" among them."""
    tangent = np.zeros(records(scene)[part.name].shape, np.float32)
    tangent[part.index] = 1
    tangents = {part.name: tangent}
    if part.moves:
        found = {key: render_forward(scene, tangents, adjoint=way, **options) for key, way in PARTS.items()}
        found = {"sum": sum(found.values()), **found}
    else:
        found = {"sum": render_forward(scene, tangents, **options)}
    if not all(np.isfinite(image).all() for image in found.values()):
        raise ParameterError(f"{part.label}: its derivative image overflowed; scale the radiances down")
    return found


def file_names(parts, folder):
    """The files that `write` writes."""
    names = [name for part in parts for name in part.files.values()]
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


def _single(means, label):
    """One component's picture: its derivative, or the parts of it and their sum, on one scale."""
    from matplotlib.figure import Figure

    order = [key for key in (*PARTS, "sum") if key in means]
    figure = Figure(figsize=(6.4 if len(order) == 1 else 15.0, 5.2), layout="constrained")
    end = max(map(limit, means.values()))
    for axes, key in zip(np.ravel(figure.subplots(1, len(order))), order, strict=True):
        _draw(figure, axes, means[key], end, label if len(order) == 1 else f"{label}, {key}", size=11)
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
