"""The folder of a run. Files in it that the run did not make are kept, and named in the message.

A run lists the files that it is going to make in `frames/run.json` before it makes the first one, so that its
files are known even if it is killed.
"""

import contextlib
import json
import os
import re
from pathlib import Path

from prb.errors import ImageError, ParameterError
from prb.io.images import atomic
from prb.io.protect import check_not_read

MANIFEST = "frames/run.json"
CHECKPOINT = "checkpoint.npz"
_FRAME = re.compile(r"\d{6,}(-.+)?\.png")
_LEFTOVER = re.compile(r"\.prb-[a-z0-9_]{8}(\.\w+)?")  # what `atomic` leaves where it is killed
_MAX_SHOWN = 3  # names in a message, at most


class RunFolder:
    """A folder that a run may write into, made if it is not there.

    names: the files that the run is going to make in it, besides the numbered frames in frames/. early: those
    of them that it makes before its first checkpoint.
    inputs: files that the run reads, which are never written. resume: the files of a run that is there
    already are its own. overwrite: all but the inputs may be replaced.
    Raises ImageError where nothing can be written or an input would be, ParameterError where files would be
    overwritten that are not the run's. Nothing has been changed then.
    """

    def __init__(self, folder, names, *, early=(), inputs=(), resume=False, overwrite=False):
        self.path, self._inputs = Path(folder), inputs
        self._names = [CHECKPOINT, *names]
        known = self._read_manifest()
        made, others = known or ([], [])
        there = [name for name in self._names if os.path.lexists(self.path / name)]
        if known is None and os.path.lexists(self.path / MANIFEST):
            there.append(MANIFEST)  # somebody else's file of that name
        frames = self._numbered_frames()
        for name in (*there, *frames, MANIFEST):
            check_not_read(self.path / name, inputs)
        for name in there:
            if os.path.isdir(self.path / name):
                raise ImageError(f"{self.path / name}: is a folder; move it, or choose another -o")
        if not overwrite:
            own = {*made, *(() if known is None else frames)}
            self._check_kept(own, [*there, *frames], early, resume)
        self._others, self._earlier = others, set()  # earlier: what only a run made that is overwritten
        if overwrite and not resume and known is not None:
            self._earlier = {*made, *frames} - set(self._names)
        try:
            (self.path / "frames").mkdir(parents=True, exist_ok=True)
            if known is None:
                others = self._others = [file.name for file in self._hidden()]
            self._write_manifest(dict.fromkeys([*made, *self._names]), others)
            for file in self._hidden():
                if file.name not in others and _LEFTOVER.fullmatch(file.name):
                    file.unlink()
        except OSError as error:
            reason = f"cannot be written: {error.strerror}"
            raise ImageError(f"{self.path}: {reason}; choose another -o") from None

    def frame(self, k, end=""):
        """The file of the picture before iteration k. end: of the file's name, for one of several views."""
        return self.path / "frames" / f"{k:06}{end}.png"

    def remove_earlier(self, frames):
        """Remove what is left of a run that this one has overwritten, except what is read. frames: the paths
        of those that this run has made. For the end of a run: until then nothing is lost by a mistake."""
        kept = {f"frames/{frame.name}" for frame in frames}
        for name in self._earlier - kept:
            with contextlib.suppress(OSError, ImageError):
                check_not_read(self.path / name, self._inputs)
                os.unlink(self.path / name)
        if self._earlier:
            with contextlib.suppress(OSError):
                self._write_manifest(self._names, self._others)
        self._earlier = set()

    def _check_kept(self, own, there, early, resume):
        """Raise ParameterError for files that would be overwritten and are to be kept."""
        foreign = [name for name in there if name not in own]
        results = [name for name in there if not name.startswith("frames/") and name not in early]
        if foreign:
            remedy = "choose another -o, or let --overwrite replace what is there"
            raise ParameterError(f"{self._listed(foreign)}: not made by this run; {remedy}")
        if not results:  # frames and log alone are what a run left that was killed early
            return
        if CHECKPOINT not in results:
            what = f"{self.path / results[0]}: is there already, without a checkpoint to go on from"
            raise ParameterError(f"{what}; choose another -o, or let --overwrite replace that run")
        if not resume:
            remedy = "--resume goes on with that run, --overwrite replaces it, or choose another -o"
            raise ParameterError(f"{self.path / CHECKPOINT}: is there already; {remedy}")

    def _listed(self, names):
        shown = ", ".join(str(self.path / name) for name in names[:_MAX_SHOWN])
        return shown if len(names) <= _MAX_SHOWN else f"{shown} and {len(names) - _MAX_SHOWN} more"

    def _numbered_frames(self):
        return sorted(f"frames/{f.name}" for f in self.path.glob("frames/*.png") if _FRAME.fullmatch(f.name))

    def _hidden(self):
        return [file for place in (self.path, self.path / "frames") for file in place.glob(".prb-*")]

    def _read_manifest(self):
        """(names of the files that a run made, `.prb-*` files that were there before); None without a run."""
        try:
            found = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))
            return list(map(str, found["made"])), list(map(str, found["others"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write_manifest(self, made, others):
        text = json.dumps({"made": list(made), "others": others}, indent=1) + "\n"
        with atomic(self.path / MANIFEST) as temporary:
            Path(temporary).write_text(text, encoding="utf-8")
