"""The state of a run of `optimize`, and its checkpoint."""

import hashlib
import json
from pathlib import Path

import numpy as np

from prb.device.camera import camera_buffer
from prb.errors import ParameterError
from prb.losses import PartOfTarget
from prb.recover.optimizers import read_arrays, write_arrays

HASHED_KEYS = ("scene", "sensors", "targets", "initial values", "weights")


class Run:
    """The state of a run: the optimiser's, what `Texels` keeps, the recursive pictures of the views, if
    there are any, the losses so far and all else that was noted of each iteration. fingerprint: what
    identifies the run."""

    def __init__(self, opt, texels, history, pictures, path, fingerprint):
        self.opt, self.texels, self.history, self.losses = opt, texels, history, []
        self._pictures = pictures
        self._path, self._fingerprint = path, fingerprint

    def state(self):
        pictures = [picture.state_dict() for picture in self._pictures]
        return len(self.losses), self.opt.state_dict(), self.texels.state(), pictures

    def restore(self, state):
        count, of_optimizer, of_texels, of_pictures = state
        del self.losses[count:]
        self.history.truncate(count)
        self.texels.restore(of_texels)
        self.opt.load_state_dict(of_optimizer)
        for picture, arrays in zip(self._pictures, of_pictures, strict=True):
            picture.load_state_dict(arrays)

    def save(self):
        """Write the checkpoint, if one is wanted."""
        if self._path is not None:
            more = {"losses": np.array(self.losses), "fingerprint": np.array(json.dumps(self._fingerprint))}
            more |= self.texels.arrays() | self.history.arrays()
            for number, picture in enumerate(self._pictures):
                more |= {f"picture:{number}:{key}": array for key, array in picture.state_dict().items()}
            write_arrays(self._path, {**self.opt.state_dict(), **more})

    def load(self):
        """Resume from the checkpoint, if there is one. Raises ParameterError for that of another run."""
        if not Path(self._path).exists():
            return
        arrays = read_arrays(self._path)
        try:
            of_file = json.loads(str(arrays.pop("fingerprint")))
            kept = [float(x) for x in arrays.pop("losses")]
            noted = {key: arrays.pop(key) for key in self.history.KEYS}
        except (KeyError, ValueError, TypeError):
            raise ParameterError(f"{self._path}: is no checkpoint of prb optimize; name another") from None
        now = self._fingerprint
        changed = [key for key in {**now, **of_file} if of_file.get(key) != now.get(key)]
        if changed:
            key = changed[0]
            values = f"{key} {of_file.get(key)}, now {now.get(key)}"
            what = f"another {key}" if key in HASHED_KEYS else values
            raise ParameterError(f"{self._path}: is of another run ({what}); start anew or resume that one")
        self.history.take(noted)
        self.texels.take(arrays)
        for number, picture in enumerate(self._pictures):
            head = f"picture:{number}:"
            of_picture = [key for key in arrays if key.startswith(head)]
            picture.load_state_dict({key.removeprefix(head): arrays.pop(key) for key in of_picture})
        self.opt.load_state_dict(arrays)
        self.losses[:] = kept


def fingerprint(views, targets, weights, opt, settings):
    """What has to be the same for a run to be resumed: name -> text."""
    scene = views[0]
    parts = {
        "scene": [scene.values, *(a for _, a in sorted(scene.layout.arrays.items())), scene.layout.features],
        "sensors": [part for view in views for part in (camera_buffer(view.sensor), view.sensor.film)],
        "targets": targets,
        "initial values": [opt[name] for name in opt],
    }
    if any(w is not None for w in weights):
        parts["weights"] = weights
    hashes = {}
    for key, values in parts.items():
        digest = hashlib.sha256()
        for value in values:
            digest.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
        hashes[key] = digest.hexdigest()
    integrator = scene.model.integrator
    settings = {**settings, "optimizer": repr(opt), "integrator": integrator}
    return hashes | {key: str(value) for key, value in settings.items()}


def name_of(loss):
    """What identifies a loss in a checkpoint."""
    if isinstance(loss, PartOfTarget):
        return repr(loss)
    return loss if isinstance(loss, str) else getattr(loss, "__qualname__", type(loss).__name__)
