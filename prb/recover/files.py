"""The files that `prb optimize` writes: recovered parameters, the scene with them, the loss, pictures, an
animation."""

import json
import math
from pathlib import Path

import numpy as np

from prb.api import render
from prb.device.params import records, traverse
from prb.errors import ImageError
from prb.estimators.integrate import integrate
from prb.io.images import atomic, reduced, to_srgb, write_image, write_texels
from prb.kernels.estimators import modes
from prb.recover.folder import CHECKPOINT, RunFolder
from prb.recover.seen import seen_maps
from prb.report.derivative_images import COLOURS, check_folder, file_name, limit, save_figure
from prb.scene.files import scene_dict, write_scene
from prb.scene.parameter_values import with_values

FRAMES = 32  # of the animation, at most
FRAME = 256  # pixels of the longer side of a frame, at most
PANEL = 512  # the same of a picture in the comparison
ROWS = 4  # sensors in the comparison, at most
FRAME_MS = 100
TEXTURE = ("exr", "png", "seen.exr", "seen.png")  # of a bitmap: its texels, and how much they were seen
FILES = ("parameters.json", "scene.json", "loss.csv", "loss.png", "comparison.png", "animation.gif")


class RecoveryFiles:
    """The files of one run.

    names: of the parameters that are recovered. source: the scene's file and the values for its $names.
    folder, inputs, resume, overwrite: as of `RunFolder`, and the same is raised.
    """

    def __init__(self, folder, scene, names, source, **options):
        check_folder(folder)
        self._scene, self._names, self._source = scene, list(names), source
        self.folder = Path(folder)
        bitmaps = []
        self._with_values(lambda name, texels: bitmaps.extend(f"{name}.{end}" for end in TEXTURE))
        self._files = RunFolder(folder, [*FILES, *bitmaps], **options)

    @property
    def checkpoint(self):
        return self.folder / CHECKPOINT

    def frame(self, view, k, **options):
        """Render the picture before iteration k and write it as a frame of the animation."""
        write_image(self._files.frame(k), reduced(render(view, **options), FRAME))

    def write(self, recovery, views, targets, frames, **options):
        """All files but checkpoint and frames. Returns their paths.

        frames: numbers of those in the animation. options: of the renders.
        """
        files = self._write_values(recovery)
        rows = "".join(f"{k},{loss!r}\n" for k, loss in enumerate(recovery.losses))
        files.append(self._write_text("loss.csv", "iteration,loss\n" + rows))
        files.append(self.folder / "loss.png")
        save_figure(files[-1], _curve(recovery.losses))
        files.append(self.folder / "comparison.png")
        save_figure(files[-1], _comparison(self._scene, recovery, views, targets, options), dpi=72)
        return [*files, self._write_animation(frames)]

    def _with_values(self, write_bitmap):
        """(the scene's dictionary with its present values, the names that have no place there, name -> its
        files for those that are bitmaps).

        write_bitmap: a function (name of the file without format, texels).
        """
        path, definitions = self._source
        taken = {"frames"}

        def written(name, texels):
            base = file_name(name, taken)
            write_bitmap(base, texels)
            bitmaps[name] = {"exr": f"{base}.exr", "png": f"{base}.png"}
            return f"{base}.exr"

        bitmaps = {}
        data = scene_dict(path, definitions, relative_to=self.folder)
        data, left_out = with_values(data, self._names, traverse(self._scene), written)
        return data, left_out, bitmaps

    def _write_values(self, recovery):
        """parameters.json, scene.json, and the textures that both name."""
        files = []

        def write_bitmap(base, texels):
            exr, png = (self.folder / f"{base}.{suffix}" for suffix in ("exr", "png"))
            write_texels(exr, texels)
            write_image(png, np.broadcast_to(texels, (*texels.shape[:2], 3)))
            files.extend((exr, png))

        params = traverse(self._scene)
        data, left_out, bitmaps = self._with_values(write_bitmap)
        limits = {
            name: [x if math.isfinite(x) else None for x in ends] for name, ends in recovery.ranges.items()
        }
        write_scene(self.folder / "scene.json", data)
        report = {
            "iterations": len(recovery.losses),
            "loss": recovery.losses[-1] if recovery.losses else None,
            "parameters": {name: bitmaps.get(name, params[name].tolist()) for name in self._names},
            "at_limit": {
                name: {"range": limits[name], "at_low": low, "at_high": high}
                for name, (low, high) in recovery.at_limit.items()
            },
            "not_in_scene": left_out,
        }
        if recovery.prior is not None:
            report["prior"] = recovery.prior
        seen = seen_maps(
            self.folder, {name: named["exr"][:-4] for name, named in bitmaps.items()}, recovery.seen
        )
        if seen:
            report["seen"] = seen
            files.extend(self.folder / named[end] for named in seen.values() for end in ("exr", "png"))
        text = json.dumps(report, indent=1, allow_nan=False) + "\n"
        return [self._write_text("parameters.json", text), self.folder / "scene.json", *files]

    def _write_text(self, name, text):
        path = self.folder / name
        try:
            with atomic(path) as temporary:
                Path(temporary).write_text(text, encoding="utf-8")
        except OSError as error:
            raise ImageError(f"{path}: cannot be written: {error.strerror}; choose another -o") from None
        return path

    def _write_animation(self, frames):
        """animation.gif of the frames, which are read one at a time."""
        from PIL import Image

        files = [file for file in map(self._files.frame, frames) if file.exists()]
        path = self.folder / "animation.gif"

        def pictures():
            for file in files:
                with Image.open(file) as image:
                    yield image.convert("RGB").quantize(256, dither=Image.Dither.NONE)

        shown = pictures()
        try:
            with atomic(path) as temporary:
                durations = [FRAME_MS] * (len(files) - 1) + [10 * FRAME_MS]
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
    initial = [_rendered_at(view, recovery.initial, **options) for view in views]
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


def _rendered_at(view, values, *, spp=None, seed=0, max_depth=None):
    """The picture that a sensor sees at other values of some parameters, which the scene does not take."""
    buffer, known = view.values.copy(), records(view)
    for name, value in values.items():
        known[name].of(buffer)[...] = value
    return integrate(view, modes.PRIMAL, spp=spp, seed=seed, max_depth=max_depth, values=buffer).image
