"""The folder of `prb optimize`: recovered parameters, the scene with them, loss, pictures, animation."""

import contextlib
import json
from pathlib import Path

import numpy as np

from prb.api import render
from prb.device.params import traverse
from prb.errors import ImageError, ParameterError
from prb.io.images import atomic, reduced, to_srgb, write_image, write_texels
from prb.report.derivative_images import COLOURS, check_folder, file_name, has_matplotlib, limit, save_figure
from prb.scene.files import scene_dict, write_scene
from prb.scene.parameter_values import with_values

FRAMES = 32  # of the animation, at most
FRAME = 256  # pixels of the longer side of a frame, at most
PANEL = 512  # the same of a picture in the comparison
ROWS = 4  # sensors in the comparison, at most
FRAME_MS = 100
OWN = ("checkpoint.npz", "parameters.json", "scene.json")  # files by which a run is known


class RecoveryFiles:
    """The files of one run. folder: made if it is not there; resume: it may hold a run already.

    Raises ImageError where nothing can be written, ParameterError where another run would be overwritten.
    """

    def __init__(self, folder, *, resume):
        self.folder = Path(folder)
        check_folder(folder)
        there = next((name for name in OWN if (self.folder / name).exists()), None)
        if there is not None and not resume:
            what = f"{self.folder / there}: is there already"
            raise ParameterError(f"{what}; --resume goes on with that run, or choose another -o")
        try:
            (self.folder / "frames").mkdir(parents=True, exist_ok=True)
            for place in (self.folder, self.folder / "frames"):
                for leftover in place.glob(".prb-*"):  # of a run that was killed
                    leftover.unlink()
        except OSError as error:
            raise ImageError(f"{folder}: cannot be written: {error.strerror}; choose another -o") from None

    @property
    def checkpoint(self):
        return self.folder / "checkpoint.npz"

    def frame(self, scene, k, **options):
        """Render and keep the picture before iteration k, which the animation shows."""
        write_image(self._frame(k), reduced(render(scene, **options), FRAME))

    def write(self, scene, source, recovery, views, targets, frames, **options):
        """All files but checkpoint and frames. Returns their paths.

        source: (scene file, values for its $names). frames: numbers of those in the animation. options: of
        the renders.
        """
        files = self._parameters(scene, source, recovery)
        files.append(self._text("loss.csv", "iteration,loss\n" + "".join(
            f"{k},{loss!r}\n" for k, loss in enumerate(recovery.losses)
        )))  # fmt: skip
        if has_matplotlib():
            files.append(self.folder / "loss.png")
            save_figure(files[-1], _curve(recovery.losses))
            files.append(self.folder / "comparison.png")
            save_figure(files[-1], _comparison(scene, recovery, views, targets, options), dpi=72)
        return [*files, self._animation(frames)]

    def _parameters(self, scene, source, recovery):
        """parameters.json, scene.json, and the textures that both name."""
        path, definitions = source
        taken, pictures, files = {"frames"}, {}, []

        def write_bitmap(name, texels):
            base = self.folder / file_name(name, taken)
            exr, png = (base.with_name(base.name + suffix) for suffix in (".exr", ".png"))
            write_texels(exr, texels)
            write_image(png, np.broadcast_to(texels, (*texels.shape[:2], 3)))
            pictures[name] = {"exr": exr.name, "png": png.name}
            files.extend((exr, png))
            return exr.name

        params, names = traverse(scene), list(recovery.params)
        data = scene_dict(path, definitions, relative_to=self.folder)
        data, left_out = with_values(data, names, params, write_bitmap)
        write_scene(self.folder / "scene.json", data)
        report = {
            "iterations": len(recovery.losses),
            "loss": recovery.losses[-1] if recovery.losses else None,
            "parameters": {name: pictures.get(name, params[name].tolist()) for name in names},
            "not_in_scene": left_out,
        }
        text = json.dumps(report, indent=1, allow_nan=False) + "\n"
        return [self._text("parameters.json", text), self.folder / "scene.json", *files]

    def _text(self, name, text):
        path = self.folder / name
        try:
            with atomic(path) as temporary:
                Path(temporary).write_text(text, encoding="utf-8")
        except OSError as error:
            raise ImageError(f"{path}: cannot be written: {error.strerror}; choose another -o") from None
        return path

    def _frame(self, k):
        return self.folder / "frames" / f"{k:06}.png"

    def _animation(self, frames):
        """animation.gif of the frames, which are read one at a time."""
        from PIL import Image

        frames = [k for k in frames if self._frame(k).exists()]
        path = self.folder / "animation.gif"

        def pictures():
            for k in frames:
                with Image.open(self._frame(k)) as image:
                    yield image.convert("RGB").quantize(256, dither=Image.Dither.NONE)

        shown = pictures()
        try:
            with atomic(path) as temporary:
                durations = [FRAME_MS] * (len(frames) - 1) + [10 * FRAME_MS]
                options = dict(save_all=True, append_images=shown, duration=durations, loop=0)
                next(shown).save(temporary, **options)
        except OSError as error:
            reason = error.strerror or error
            raise ImageError(f"{path}: cannot be written: {reason}; choose another -o") from None
        return path


def frame_step(iterations):
    """Iterations from one frame of the animation to the next."""
    return max(1, -(-iterations // FRAMES))


def _curve(losses):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    axes.plot(losses, linewidth=1.2)
    if losses and min(losses) > 0:
        axes.set_yscale("log")
    axes.set_xlabel("iteration")
    axes.set_ylabel("loss")
    axes.grid(alpha=0.3)
    return figure


def _comparison(scene, recovery, views, targets, options):
    """For each sensor: the picture at first, the recovered one, the target, and the last two's difference."""
    from matplotlib.figure import Figure

    views, targets = views[:ROWS], targets[:ROWS]
    with _values(scene, recovery.initial):
        initial = [render(view, **options) for view in views]
    result = [render(view, **options) for view in views]
    figure = Figure(figsize=(12.4, 3.0 * len(views) + 0.3), layout="constrained")
    rows = figure.subplots(len(views), 4, squeeze=False)
    for row, *pictures in zip(rows, initial, result, targets, strict=True):
        pictures = [reduced(np.asarray(picture), PANEL) for picture in pictures]
        for axes, picture in zip(row, pictures, strict=False):
            axes.imshow(to_srgb(picture))
        difference = (pictures[1] - pictures[2]).mean(axis=2, dtype=float)
        end = limit(difference) or 1.0
        drawn = row[3].imshow(difference, cmap=COLOURS, vmin=-end, vmax=end)
        figure.colorbar(drawn, ax=row[3], shrink=0.85)
        for axes in row:
            axes.set_xticks([])
            axes.set_yticks([])
    for axes, title in zip(rows[0], ("initial", "result", "target", "result - target"), strict=True):
        axes.set_title(title, fontsize=11)
    return figure


@contextlib.contextmanager
def _values(scene, values):
    """The scene with other values for a while."""
    params = traverse(scene)
    own = {name: params[name] for name in values}
    params.update(values)
    try:
        yield
    finally:
        params.update(own)
