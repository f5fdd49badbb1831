"""The files that `prb optimize` writes: recovered parameters, the scene with them, the loss, pictures, an
animation."""

import json
import math
from pathlib import Path

import numpy as np

from prb.api import render
from prb.device.params import traverse
from prb.errors import ImageError
from prb.io.images import atomic, reduced, write_image, write_texels
from prb.io.volumes import write_vol
from prb.recover.folder import CHECKPOINT, RunFolder
from prb.recover.pictures import comparison, loss_curve
from prb.recover.seen import seen_maps
from prb.report.derivative_images import check_folder, file_name, save_figure
from prb.scene.files import scene_dict, write_scene
from prb.scene.media import volumes_of
from prb.scene.meshes.writing import write_ply
from prb.scene.parameter_values import is_of_mesh, with_values

FRAMES = 32  # of the animation, at most
FRAME = 256  # pixels of the longer side of a frame, at most
FRAME_MS = 100
TEXTURE = ("exr", "png", "seen.exr", "seen.png")  # of a bitmap: its texels, and how much they were seen
VOLUME = ("vol", "seen.vol")  # likewise of a grid of voxels
MESH = ("ply",)
LOG = "loss.csv"
FILES = ("parameters.json", "scene.json", LOG, "loss.png", "comparison.png")


class RecoveryFiles:
    """The files of one run.

    names: of the parameters that are recovered. views: the scene's, whose pictures are written. source: the
    scene's file and the values for its $names.
    folder, inputs, resume, overwrite: as of `RunFolder`, and the same is raised.
    """

    def __init__(self, folder, scene, names, views, source, **options):
        check_folder(folder)
        self._scene, self._names, self._source = scene, list(names), source
        self.folder = Path(folder)
        self._views, grids, taken = list(views), [], set()
        several = len(self._views) > 1
        self._ends = [f"-{file_name(v.sensor.name, taken)}" if several else "" for v in self._views]
        self._with_values(
            lambda base, _: grids.extend(f"{base}.{end}" for end in TEXTURE),
            lambda base, _: grids.extend(f"{base}.{end}" for end in VOLUME),
            lambda base, _: grids.extend(f"{base}.{end}" for end in MESH),
        )
        animations = [f"animation{end}.gif" for end in self._ends]
        self._files = RunFolder(folder, [*FILES, *animations, *grids], early=[LOG], **options)

    @property
    def checkpoint(self):
        return self.folder / CHECKPOINT

    @property
    def log(self):
        return self.folder / LOG

    def frames(self, k, **options):
        """Render the pictures before iteration k and write them as frames of the animations."""
        for view, end in zip(self._views, self._ends, strict=True):
            write_image(self._files.frame(k, end), reduced(render(view, **options), FRAME))

    def write(self, recovery, targets, weights, frames, *, true=None, others=(), judged=None, **options):
        """All files but checkpoint, log and frames. Returns their paths, and that of the log.

        targets, weights: of the views. frames: numbers of those in the animations. true: as for
        `comparison`. others: numbers of the views that took no part, judged: their losses. options: of the
        renders.
        """
        files = self._write_values(recovery, judged)
        files += [self.log, self.folder / "loss.png"]
        save_figure(files[-1], loss_curve(recovery))
        files.append(self.folder / "comparison.png")
        figure = comparison(
            recovery, self._views, targets, weights, options, true=true, held_out=others
        )  # fmt: skip
        save_figure(files[-1], figure, dpi=72)
        files += [self._write_animation(frames, end) for end in self._ends]
        self._files.remove_earlier([self._files.frame(k, end) for k in frames for end in self._ends])
        return files

    def _with_values(self, write_bitmap, write_volume, write_mesh):
        """(the scene's dictionary with its present values, the names that have no place there, name -> its
        files for those that are bitmaps or grids of voxels, and of meshes).

        write_bitmap, write_volume, write_mesh: functions (name of the file without format, texels, voxels or
        `RawMesh`).
        """
        path, definitions = self._source
        taken = {"frames"}

        def writer(write, formats):
            def written(name, values):
                base = file_name(name, taken)
                write(base, values)
                grids[name] = {end: f"{base}.{end}" for end in formats}
                return f"{base}.{formats[0]}"

            return written

        grids = {}
        data = scene_dict(path, definitions, relative_to=self.folder)
        data, left_out = with_values(
            data, self._names, traverse(self._scene), writer(write_bitmap, ("exr", "png")),
            write_volume=writer(write_volume, ("vol",)), volumes=volumes_of(self._scene.model),
            write_mesh=writer(write_mesh, MESH), shapes=self._scene.model.shapes,
        )  # fmt: skip
        return data, left_out, grids

    def _write_values(self, recovery, judged):
        """parameters.json, scene.json, and the textures and volumes that both name."""
        files = []

        def write_bitmap(base, texels):
            exr, png = (self.folder / f"{base}.{suffix}" for suffix in ("exr", "png"))
            write_texels(exr, texels)
            write_image(png, np.broadcast_to(texels, (*texels.shape[:2], 3)))
            files.extend((exr, png))

        def write_volume(base, voxels):
            files.append(self.folder / f"{base}.vol")
            write_vol(files[-1], voxels)

        def write_mesh(base, mesh):
            files.append(self.folder / f"{base}.ply")
            write_ply(files[-1], mesh)

        params = traverse(self._scene)
        data, left_out, grids = self._with_values(write_bitmap, write_volume, write_mesh)
        limits = {
            name: [x if math.isfinite(x) else None for x in ends] for name, ends in recovery.ranges.items()
        }
        write_scene(self.folder / "scene.json", data)
        report = {
            "iterations": len(recovery.losses),
            "loss": recovery.losses[-1] if recovery.losses else None,
            **diagnostics(recovery),
            "parameters": {name: _file_of(name, grids) or params[name].tolist() for name in self._names},
            "at_limit": {
                name: {"range": limits[name], "at_low": low, "at_high": high}
                for name, (low, high) in recovery.at_limit.items()
            },
            "not_in_scene": left_out,
        }
        if recovery.prior is not None:
            report["prior"] = recovery.prior
        if judged:
            report["held_out"] = judged
        bases = {name: next(iter(named.values()))[:-4] for name, named in grids.items()}
        seen = seen_maps(self.folder, bases, recovery.seen)
        if seen:
            report["seen"] = seen
            ends = ("exr", "png", "vol")
            files.extend(self.folder / named[end] for named in seen.values() for end in ends if end in named)
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

    def _write_animation(self, frames, end):
        """The animation of a view's frames, which are read one at a time. end: of its files' names."""
        from PIL import Image

        files = [file for file in (self._files.frame(k, end) for k in frames) if file.exists()]
        path = self.folder / f"animation{end}.gif"

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


def _file_of(name, files):
    """The files of a parameter that has some; those of a mesh for what they hold of it. files: by name."""
    return files.get(name) or (files.get(name.rpartition(".")[0]) if is_of_mesh(name) else None)


def frame_step(iterations):
    """Iterations from one frame of the animation to the next."""
    return max(1, -(-iterations // FRAMES))


def diagnostics(recovery):
    """What a report says of a recovery beside loss and values, ready for JSON: None where it is unknown."""
    level = recovery.level
    return {
        "view_losses": {name: _last(losses) for name, losses in recovery.view_losses.items()},
        "noise_floor": None if level is None else level.floor,
        "excess": None if level is None else level.excess,
        "excess_stderr": None if level is None else level.stderr,
        "at_floor": recovery.at_floor,
        "ended": recovery.ended,
        "stderr": {
            name: _known(errors.tolist()) for name, errors in recovery.stderr.items() if recovery.losses
        },
        "defects": {name: each._asdict() for name, each in recovery.defects.items()},
    }


def _last(losses):
    """The last loss of a view that an iteration took."""
    taken = losses[np.isfinite(losses)]
    return float(taken[-1]) if taken.size else None


def _known(numbers):
    if isinstance(numbers, list):
        return [_known(x) for x in numbers]
    return numbers if math.isfinite(numbers) else None
