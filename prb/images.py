"""Pictures in and out of files. Formats are imageio's and OpenEXR's; here is only what prb promises about
them: linear RGB in arrays, sRGB in 8-bit files, and never a half-written file."""

import contextlib
import os
import tempfile
from pathlib import Path

import numpy as np

from prb.errors import ImageError

LINEAR = (".exr", ".npy", ".hdr")
EIGHT_BIT = (".png", ".jpg", ".jpeg")
FORMATS = EIGHT_BIT + LINEAR


def to_srgb(linear):
    """Linear RGB to sRGB, both floats; values outside [0, 1] are clipped. IEC 61966-2-1."""
    x = np.clip(np.nan_to_num(linear), 0, 1)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.power(x, 1 / 2.4) - 0.055)


def from_srgb(srgb):
    """sRGB in [0, 1] to linear RGB."""
    x = np.asarray(srgb, float)
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def check_output(path, formats=FORMATS):
    """The path, if a file of that name and format can be written. Raises ImageError, before any work."""
    path = Path(path)
    if path.suffix.lower() not in formats:
        what = f"the format {path.suffix!r} is not known" if path.suffix else "the name has no format"
        raise ImageError(f"{path}: {what}; use one of {', '.join(formats)}")
    if path.is_dir():
        raise ImageError(f"{path}: is a folder; name a file in it")
    if not path.parent.is_dir():
        raise ImageError(f"{path}: the folder {path.parent} does not exist; make it first")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise ImageError(f"{path}: no permission to write there; choose another place with -o")
    return path


@contextlib.contextmanager
def atomic(path):
    """A temporary file name beside `path` that takes its place when the block ends without an error."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def write_image(path, image):
    """Write linear RGB (height, width, 3) in the format of the suffix: png and jpg as sRGB, 8 bit; exr and
    hdr linear, float32; npy the array itself. Raises ImageError."""
    path = check_output(path)
    suffix = path.suffix.lower()
    image = np.asarray(image, np.float32)
    try:
        with atomic(path) as temporary:
            if suffix == ".exr":
                _write_exr(temporary, image)
            elif suffix == ".npy":
                np.save(temporary, image)
            elif suffix == ".hdr":
                _imageio().imwrite(temporary, image)
            else:
                pixels = (to_srgb(image) * 255 + 0.5).astype(np.uint8)
                _imageio().imwrite(temporary, pixels, **({} if suffix == ".png" else {"quality": 95}))
    except ImageError:
        raise
    except OSError as error:
        remedy = "; use .exr" if suffix == ".hdr" else ""
        raise ImageError(f"{path}: cannot be written: {_first_line(error)}{remedy}") from None
    except (ValueError, RuntimeError, ImportError) as error:
        raise ImageError(f"{path}: cannot be written as {suffix}: {_first_line(error)}; use .exr") from None


def read_image(path):
    """Read a picture as linear RGB, float32 (height, width, 3); 8- and 16-bit files are taken as sRGB.

    Alpha is dropped, grey is repeated. Raises ImageError.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"{path}: no such file")
    suffix = path.suffix.lower()
    try:
        if suffix == ".exr":
            pixels = _read_exr(path)
        elif suffix == ".npy":
            pixels = np.load(path, allow_pickle=False)
        else:
            pixels = np.asarray(_imageio().imread(path))
    except ImageError:
        raise
    except Exception as error:  # the readers raise many kinds
        raise ImageError(f"{path}: not a picture that can be read: {_first_line(error)}") from None
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    if pixels.ndim == 3 and pixels.shape[2] == 2:  # grey and alpha
        pixels = np.repeat(pixels[..., :1], 3, axis=2)
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or pixels.dtype.kind not in "fui":
        raise ImageError(f"{path}: expected RGB, got an array of shape {pixels.shape} and type {pixels.dtype}")
    pixels = pixels[..., :3]
    if pixels.dtype.kind in "ui":
        pixels = from_srgb(pixels / np.iinfo(pixels.dtype).max)
    return np.ascontiguousarray(pixels, np.float32)


def _imageio():
    import imageio.v3  # takes a while to import, so only where it is needed

    return imageio.v3


def _write_exr(path, image):
    import OpenEXR

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, {"RGB": np.ascontiguousarray(image)}) as file:
        file.write(str(path))


def _read_exr(path):
    import OpenEXR

    with OpenEXR.File(str(path)) as file:
        channels = file.channels()
        for name in ("RGB", "RGBA"):
            if name in channels:
                return np.array(channels[name].pixels, np.float32)
        if all(c in channels for c in "RGB"):
            return np.stack([np.asarray(channels[c].pixels, np.float32) for c in "RGB"], axis=2)
        if len(channels) == 1:
            return np.array(next(iter(channels.values())).pixels, np.float32)
        raise ImageError(f"{path}: has no RGB channels; it has {', '.join(channels)}")


def _first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0]
