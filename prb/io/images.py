"""Pictures in and out of files: linear RGB in arrays, sRGB in 8-bit files, and never a half-written file.

8-bit formats are read by Pillow and written by imageio, EXR is OpenEXR's. Radiance's .hdr is read and written
here, for imageio needs another library for it.
"""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from prb.errors import ImageError

LINEAR = (".exr", ".npy", ".hdr")
EIGHT_BIT = (".png", ".jpg", ".jpeg")
FORMATS = EIGHT_BIT + LINEAR  # that can be written
READABLE = (*FORMATS, ".bmp", ".tga", ".ppm")
# What Pillow may open, which goes by the content: some of its formats start programs, EPS Ghostscript.
PILLOW = ("PNG", "JPEG", "BMP", "PPM")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "I;16", "I;16B", "I;16L")


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
    if os.path.isdir(path):
        raise ImageError(f"{path}: is a folder; name a file in it")
    if path.suffix.lower() not in formats:
        what = f"the format {path.suffix!r} is not known" if path.suffix else "the name has no format"
        raise ImageError(f"{path}: {what}; use one of {', '.join(formats)}")
    target = Path(os.path.realpath(path))
    if not os.path.isdir(target.parent):
        raise ImageError(f"{path}: the folder {target.parent} does not exist; make it first")
    try:
        target.lstat()
    except FileNotFoundError:
        exists = False
    except OSError as error:  # such as a name that is too long
        raise ImageError(f"{path}: cannot be written: {_reason(error)}; choose another name") from None
    else:
        exists = True
    if exists and not target.is_file():
        raise ImageError(f"{path}: is not a regular file; choose another name")
    if not os.access(target.parent, os.W_OK) or (exists and not os.access(target, os.W_OK)):
        raise ImageError(f"{path}: no permission to write there; choose another place")
    return path


@contextlib.contextmanager
def atomic(path):
    """A temporary file name beside `path` that takes its place when the block ends without an error.

    The temporary file goes away with any exception, an interrupt included. A link stays a link.
    """
    path = Path(os.path.realpath(path))
    handle, temporary = tempfile.mkstemp(prefix=".prb-", suffix=path.suffix, dir=path.parent)
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
    """Write linear RGB (height, width, 3) in the format of the suffix. Raises ImageError.

    path: its suffix is the format. png and jpg are sRGB with 8 bits, where values below 0 and above 1 are
        clipped; exr is linear in float32, hdr linear with 8 bits and a common exponent, npy the array itself.
    image: an array of numbers, as `prb.render` returns it.

    The file is whole at any moment: one that was there is replaced only when the new one is complete.
    """
    path = check_output(path)
    suffix = path.suffix.lower()
    image = np.asarray(image, np.float32)
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ImageError(f"{path}: expected an image of shape (height, width, 3), got {image.shape}")
    temporary = ""
    try:
        with atomic(path) as temporary:
            if suffix == ".exr":
                _write_exr(temporary, {"RGB": np.ascontiguousarray(image)})
            elif suffix == ".npy":
                np.save(temporary, image)
            elif suffix == ".hdr":
                Path(temporary).write_bytes(_to_hdr(image))
            else:
                pixels = (to_srgb(image) * 255 + 0.5).astype(np.uint8)
                _imageio().imwrite(temporary, pixels, **({} if suffix == ".png" else {"quality": 95}))
    except OSError as error:
        raise ImageError(f"{path}: cannot be written: {_reason(error)}; choose another place") from None
    except (ValueError, RuntimeError) as error:  # of imageio and OpenEXR
        reason = _reason(error).replace(temporary, path.name)
        raise ImageError(f"{path}: cannot be written: {reason}; choose another place or format") from None


def write_texels(path, texels):
    """Write (height, width, 1 or 3) as EXR, just what `read_texels` reads again. Raises ImageError."""
    texels = np.asarray(texels, np.float32)
    if texels.shape[2] == 3:
        return write_image(path, texels)
    try:
        with atomic(path) as temporary:
            _write_exr(temporary, {"Y": np.ascontiguousarray(texels[..., 0])})
    except (OSError, RuntimeError) as error:
        raise ImageError(f"{path}: cannot be written: {_reason(error)}; choose another place") from None


def reduced(image, most):
    """The image as means over square blocks, its longer side `most` pixels at most."""
    height, width = image.shape[:2]
    k = min(-(-max(height, width) // most), height, width)
    image = image[: height // k * k, : width // k * k]
    return image.reshape(height // k, k, width // k, k, *image.shape[2:]).mean(axis=(1, 3))


def read_image(path):
    """Read a picture as linear RGB, float32 (height, width, 3), such as the target of a loss.

    path: .exr, .hdr and .npy are linear already; png, jpg, bmp, tga and ppm, of 8 and 16 bits, are taken as
        sRGB and hold nothing brighter than 1.

    Alpha is dropped, grey is repeated. Raises ImageError for what is no picture.
    """
    pixels = read_texels(path)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


class Picture(NamedTuple):
    """A picture and what its file says of it.

    linear: float32 (height, width, 3). saturated: (height, width, 3), true where a file of integers holds 0
    or its largest code, so that the radiance may lie beyond; None for files of floats and .npy. alpha:
    float32 (height, width), None without.
    """

    linear: np.ndarray
    saturated: np.ndarray | None
    alpha: np.ndarray | None


def read_picture(path):
    """Read a picture as `read_image` does, with its alpha and what is saturated. Raises ImageError."""
    pixels = _read_pixels(Path(path))
    colours, alpha = pixels[..., :3], None
    if pixels.shape[2] in (2, 4):
        alpha = _as_floats(pixels[..., -1], raw=True)
        colours = pixels[..., :-1]
    colours = np.broadcast_to(colours, (*pixels.shape[:2], 3))
    saturated = None
    if pixels.dtype.kind == "u" and Path(path).suffix.lower() not in LINEAR:
        saturated = (colours == 0) | (colours == np.iinfo(pixels.dtype).max)
    return Picture(_as_floats(colours), saturated, alpha)


def read_texels(path, *, raw=False):
    """As `read_image`, but grey pictures keep one channel: float32 (height, width, 1 or 3).

    raw: 8- and 16-bit files hold numbers in [0, 1], not sRGB.
    """
    pixels = _read_pixels(Path(path))
    return _as_floats(pixels[..., :1] if pixels.shape[2] == 2 else pixels[..., :3], raw)


def _read_pixels(path):
    """The numbers as the file has them: (height, width, 1 to 4), with alpha the last of 2 and 4."""
    if not os.path.isfile(path):
        what = "is a folder; name a picture in it" if os.path.isdir(path) else "no such file; name a picture"
        raise ImageError(f"{path}: {what}")
    suffix = path.suffix.lower()
    try:
        if suffix == ".exr":
            pixels = _read_exr(path)
        elif suffix == ".npy":
            pixels = _read_npy(path)
        elif suffix == ".hdr":
            pixels = _from_hdr(path.read_bytes())
        else:
            pixels = _read_with_pillow(path)
    except ImageError:
        raise
    except Exception as error:  # the readers raise many kinds
        known = ", ".join(READABLE)
        what = f"not a picture that can be read ({_reason(error)})"
        raise ImageError(f"{path}: {what}; give one of {known}") from None
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 2, 3, 4) or pixels.dtype.kind not in "fu":
        what = f"an array of shape {pixels.shape} and type {pixels.dtype}"
        raise ImageError(f"{path}: expected RGB of floats or unsigned integers, got {what}; convert it")
    if pixels.size == 0:
        raise ImageError(f"{path}: has no pixels; name another picture")
    return pixels


def _as_floats(pixels, raw=False):
    """Pixels of a file as linear float32; raw: integers are numbers in [0, 1], not sRGB."""
    if pixels.dtype.kind == "u":
        pixels = pixels / np.iinfo(pixels.dtype).max
        pixels = pixels if raw else from_srgb(pixels)
    with np.errstate(over="ignore"):  # who needs finite numbers checks for them
        return np.ascontiguousarray(pixels, np.float32)


def _imageio():
    import imageio.v3  # takes a while to import, so only where it is needed

    return imageio.v3


def _read_npy(path):
    try:
        return np.load(path, allow_pickle=False)
    except ValueError:
        raise ValueError("it holds no array of numbers") from None


def _read_with_pillow(path):
    """The pixels of one of PILLOW's formats, whatever the file is called. TGA, which has no signature, only
    where the name says so."""
    from PIL import Image, UnidentifiedImageError

    formats = PILLOW + (("TGA",) if path.suffix.lower() == ".tga" else ())
    try:
        with Image.open(path, formats=formats) as picture:
            if picture.mode not in MODES:
                raise ImageError(f"{path}: its colours are {picture.mode}; convert it to RGB")
            if picture.mode == "P":
                picture = picture.convert("RGBA" if "transparency" in picture.info else picture.palette.mode)
            elif picture.mode == "PA":
                picture = picture.convert("RGBA")
            pixels = np.asarray(picture)
    except UnidentifiedImageError:
        raise ValueError("its format is unknown or it is damaged") from None
    return pixels.astype(np.uint8) * np.uint8(255) if pixels.dtype == bool else pixels


def _write_exr(path, channels):
    import OpenEXR

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, channels) as file:
        file.write(str(path))


def _read_exr(path):
    import OpenEXR

    with OpenEXR.File(str(path)) as file:
        channels = file.channels()
        for name in ("RGB", "RGBA"):
            if name in channels:
                return np.array(channels[name].pixels, np.float32)
        if all(c in channels for c in "RGB"):
            found = [*"RGB", *(["A"] if "A" in channels else [])]
            return np.stack([np.asarray(channels[c].pixels, np.float32) for c in found], axis=2)
        if len(channels) == 1:
            return np.array(next(iter(channels.values())).pixels, np.float32)
        raise ImageError(f"{path}: has no RGB channels; it has {', '.join(channels)}; give R, G and B")


def _to_hdr(image):
    """The bytes of a Radiance picture: each pixel three 8-bit mantissas and their common exponent.

    G. Ward, "Real Pixels", Graphics Gems II, 1991. Rows are not compressed. Negative values become 0.
    """
    image = np.clip(np.nan_to_num(image), 0, 1.69e38).astype(np.float64)
    brightest = image.max(axis=2)
    _, exponent = np.frexp(brightest)
    pixels = np.zeros((*image.shape[:2], 4), np.uint8)
    pixels[..., :3] = np.minimum(np.rint(np.ldexp(image, 8 - exponent[..., None])), 255)
    pixels[..., 3] = np.clip(exponent + 128, 0, 255)
    pixels[brightest < 1e-38] = 0
    height, width = image.shape[:2]
    return b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (height, width) + pixels.tobytes()


def _from_hdr(data):
    """Linear RGB float32 (height, width, 3) of a Radiance picture. Raises ValueError."""
    header, _, rest = data.partition(b"\n\n")
    size, _, body = rest.partition(b"\n")
    words = size.split()
    if not header.startswith(b"#?") or len(words) != 4 or (words[0], words[2]) != (b"-Y", b"+X"):
        raise ValueError("no Radiance header with rows from the top")
    if b"FORMAT=32-bit_rle_xyze" in header:
        raise ValueError("its colours are XYZ, not RGB")
    height, width = int(words[1]), int(words[3])
    if len(body) == 4 * height * width:
        pixels = np.frombuffer(body, np.uint8).reshape(height, width, 4)
    else:
        pixels = _hdr_rows(body, height, width)
    return np.ldexp(pixels[..., :3].astype(np.float32), pixels[..., 3:].astype(np.int32) - 136)


def _hdr_rows(body, height, width):
    """The rows of a run-length encoded Radiance picture: uint8 (height, width, 4)."""
    pixels = np.zeros((height, 4, width), np.uint8)
    at = 0
    for row in pixels:
        if len(body) < at + 4:
            raise ValueError("the file is cut short")
        if body[at : at + 2] != b"\2\2" or int.from_bytes(body[at + 2 : at + 4], "big") != width:
            raise ValueError("its rows are in an old encoding")
        at += 4
        for channel in row:
            x = 0
            while x < width:
                if len(body) < at + 2:
                    raise ValueError("the file is cut short")
                count = body[at]
                run = count > 128
                count = count - 128 if run else count
                values = body[at + 1 : at + 2] * count if run else body[at + 1 : at + 1 + count]
                if count == 0 or x + count > width or len(values) < count:
                    raise ValueError("a row is damaged")
                channel[x : x + count] = np.frombuffer(values, np.uint8)
                x += count
                at += 2 if run else 1 + count
    return np.moveaxis(pixels, 1, 2)


def _reason(error):
    """What went wrong, in one line, without the name of the temporary file."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).strip() or type(error).__name__).splitlines()[0]
