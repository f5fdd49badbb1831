"""Picture files: what goes in comes out, and what cannot be read or written is said in one line."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

import prb
from prb.errors import ImageError
from prb.io.images import (
    EIGHT_BIT,
    FORMATS,
    atomic,
    check_output,
    from_srgb,
    read_image,
    read_picture,
    to_srgb,
    write_image,
)

LOSS = {".exr": 0, ".npy": 0, ".hdr": 1 / 256}  # of the brightest channel


@pytest.fixture
def image():
    """A picture of 5 rows and 7 columns over twelve orders of magnitude, with exact zeros."""
    rng = np.random.default_rng(1)
    picture = (10 ** rng.uniform(-6, 6, (5, 7, 1)) * rng.uniform(0.01, 1, (5, 7, 3))).astype(np.float32)
    picture[0, 0] = 0
    picture[1, 1, 2] = 0
    return picture


@pytest.mark.parametrize("suffix", LOSS)
def test_linear_formats_keep_radiance(tmp_path, image, suffix):
    path = tmp_path / f"a{suffix}"
    write_image(path, image)
    read = read_image(path)
    assert read.dtype == np.float32 and read.shape == image.shape
    assert (np.abs(read - image) <= LOSS[suffix] * image.max(axis=2, keepdims=True)).all()
    assert (read[0, 0] == 0).all() and read[1, 1, 2] == 0


def test_png_is_srgb_to_half_a_step(tmp_path):
    ramp = np.linspace(0, 1, 3 * 256, dtype=np.float32).reshape(16, 16, 3)
    write_image(tmp_path / "a.png", ramp)
    assert np.abs(to_srgb(read_image(tmp_path / "a.png")) - to_srgb(ramp)).max() <= 0.5 / 255 + 1e-6
    assert np.asarray(Image.open(tmp_path / "a.png"))[0, 0].tolist() == [0, 4, 9]  # 255 * 12.92 k / 767
    np.testing.assert_allclose(to_srgb([0.001, 0.18, 0.5]), [0.01292, 0.461356, 0.735357], atol=1e-6)


def test_jpg_is_close(tmp_path):
    flat = np.broadcast_to(np.float32([0.2, 0.5, 0.8]), (16, 16, 3))
    write_image(tmp_path / "a.jpg", flat)
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg"), flat, atol=0.02)


@pytest.mark.parametrize("suffix", EIGHT_BIT)
def test_eight_bits_clip_what_they_cannot_hold(tmp_path, suffix):
    picture = np.zeros((8, 8, 3), np.float32)
    picture[:] = [-1, np.nan, 1e9]
    write_image(tmp_path / f"a{suffix}", picture)
    np.testing.assert_allclose(read_image(tmp_path / f"a{suffix}")[4, 4], [0, 0, 1], atol=0.02)


def test_srgb_inverts():
    x = np.linspace(0, 1, 1001)
    np.testing.assert_allclose(from_srgb(to_srgb(x)), x, atol=1e-12)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGB", (255, 0, 51), [1, 0, 0.0331]),
        ("RGBA", (255, 0, 51, 7), [1, 0, 0.0331]),
        ("L", 51, [0.0331] * 3),
        ("LA", (51, 9), [0.0331] * 3),
        ("1", 1, [1, 1, 1]),
        ("I;16", 0x3333, [0.0331] * 3),
    ],
)
def test_kinds_of_png(tmp_path, mode, colour, expected):
    Image.new(mode, (3, 2), colour).save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")
    assert read.shape == (2, 3, 3)
    np.testing.assert_allclose(read, np.broadcast_to(expected, read.shape), atol=1e-4)


def test_palette_is_looked_up(tmp_path):
    picture = Image.new("P", (3, 2), 1)
    picture.putpalette([9, 9, 9, 255, 0, 51])
    picture.save(tmp_path / "a.png")
    np.testing.assert_allclose(read_image(tmp_path / "a.png")[1, 1], [1, 0, 0.0331], atol=1e-4)


def test_grey_array_is_repeated(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6.0).reshape(2, 3))
    assert read_image(tmp_path / "a.npy")[1, 2].tolist() == [5, 5, 5]


def test_run_length_encoded_hdr(tmp_path):
    """As Radiance itself writes: each channel of a row in runs (count > 128) and dumps."""
    row = b"\2\2\0\x08" + b"\x88\x80" + b"\x08\0\1\2\3\4\5\6\7" + b"\x84\x40\x84\x20" + b"\x88\x81"
    (tmp_path / "a.hdr").write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 2 +X 8\n" + 2 * row)
    read = read_image(tmp_path / "a.hdr")
    assert read.shape == (2, 8, 3)
    expected = np.stack([[128.0] * 8, np.arange(8.0), [64.0] * 4 + [32.0] * 4], axis=1) / 128
    assert (read == expected).all()


def test_written_file_has_usual_permissions(tmp_path, image):
    write_image(tmp_path / "a.png", image)
    umask = os.umask(0)
    os.umask(umask)
    assert os.stat(tmp_path / "a.png").st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("error", [OSError("disk"), KeyboardInterrupt()])
def test_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.npy"
    path.write_bytes(b"old")
    with pytest.raises(type(error)), atomic(path) as temporary:
        with open(temporary, "wb") as file:
            file.write(b"half")
        raise error
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.npy"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_full_disk_is_one_line_and_leaves_nothing(tmp_path, image, suffix, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    for place in ("prb.io.images._write_exr", "numpy.save", "pathlib.Path.write_bytes", "imageio.v3.imwrite"):
        monkeypatch.setattr(place, full)
    with pytest.raises(ImageError, match=r"a\.\w+: cannot be written: No space left on device; choose"):
        write_image(tmp_path / f"a{suffix}", image)
    assert os.listdir(tmp_path) == []


def test_link_stays_a_link(tmp_path, image):
    (tmp_path / "link.npy").symlink_to(tmp_path / "file.npy")
    write_image(tmp_path / "link.npy", image)
    assert (tmp_path / "link.npy").is_symlink() and (tmp_path / "file.npy").is_file()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.gif", r"the format '.gif' is not known; use one of .png, "),
        ("a", "the name has no format; use one of .png, "),
        ("folder", "is a folder; name a file in it"),
        ("folder.png", "is a folder; name a file in it"),
        ("none/a.png", "the folder .*none does not exist; make it first"),
        ("file/a.png", "the folder .*file does not exist; make it first"),
        ("x" * 300 + ".png", "cannot be written: File name too long; choose another name"),
        ("pipe.png", "is not a regular file; choose another name"),
    ],
)
def test_impossible_output(tmp_path, name, message):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match=message):
        check_output(tmp_path / name)


@pytest.mark.parametrize("which", ["folder", "file"])
def test_read_only_output(tmp_path, monkeypatch, which):
    """By os.access, which the superuser would pass."""
    (tmp_path / "a.png").touch()
    locked = tmp_path if which == "folder" else tmp_path / "a.png"
    monkeypatch.setattr(os, "access", lambda path, _: str(path) != str(locked))
    with pytest.raises(ImageError, match="a.png: no permission to write there; choose another place"):
        check_output(tmp_path / "a.png")


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (0, 4, 3)])
def test_image_of_wrong_shape(tmp_path, shape):
    with pytest.raises(ImageError, match=r"expected an image of shape \(height, width, 3\)"):
        write_image(tmp_path / "a.png", np.zeros(shape))
    assert os.listdir(tmp_path) == []


def truncated_png():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)[:20])


def npy(array):
    def write(path):
        with open(path, "wb") as file:
            np.save(file, array, allow_pickle=True)

    return write


@pytest.mark.parametrize("suffix", ["bmp", "tga", "ppm"])
def test_formats_that_are_read_only(tmp_path, suffix):
    Image.new("RGB", (3, 2), (255, 0, 51)).save(tmp_path / f"a.{suffix}")
    np.testing.assert_allclose(read_image(tmp_path / f"a.{suffix}")[1, 2], [1, 0, 0.0331], atol=1e-4)


def test_the_content_decides_not_the_name(tmp_path):
    Image.new("RGB", (3, 2), (255, 0, 51)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg").shape == (2, 3, 3)


@pytest.mark.parametrize("kind", ["EPS", "GIF", "TGA", "TIFF", "WEBP", "PDF"])
def test_other_formats_are_refused_whatever_they_are_called(tmp_path, monkeypatch, kind):
    """An EPS would start Ghostscript, where that is installed."""
    started = []
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *a, **k: started.append(a))
    monkeypatch.setattr("subprocess.Popen", lambda *a, **k: started.append(a))
    Image.new("RGB", (3, 2), (255, 0, 51)).save(tmp_path / "a.png", kind)
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / "a.png")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'a.png'}: not a picture that can be read (its format is unknown")
    assert "give one of .png, .jpg" in message and "\n" not in message and started == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.png", None, "no such file"),
        (".", None, "is a folder"),
        ("a.png", b"", "not a picture that can be read"),
        ("a.png", b"\x89PNG nonsense", "not a picture that can be read"),
        ("a.png", truncated_png(), "not a picture that can be read"),
        ("a.exr", b"nonsense", "not a picture that can be read"),
        ("a.npy", b"nonsense", "holds no array of numbers"),
        ("a.hdr", b"nonsense", "no Radiance header"),
        ("a.hdr", b"#?RADIANCE\n\n-Y 2 +X 8\n\2\2\0\x08\x88", "cut short"),
        ("a.hdr", b"#?RADIANCE\n\n-Y 2 +X 8\n\2\2\0\x08\x89\x80", "damaged"),
        ("a.txt", b"words", "its format is unknown or it is damaged"),
        ("a.npy", npy(np.zeros((2, 2, 5))), r"expected RGB of floats or unsigned .* \(2, 2, 5\)"),
        ("a.npy", npy(np.zeros((2, 2, 3), int)), "expected RGB .* int64; convert it"),
        ("a.npy", npy(np.zeros((2, 2, 3), complex)), "expected RGB .* complex128"),
        ("a.npy", npy(np.array([{}])), "holds no array of numbers"),
        ("a.npy", npy(np.zeros((0, 2, 3))), "has no pixels"),
        ("a.jpg", lambda path: Image.new("CMYK", (2, 2)).save(path), "its colours are CMYK; convert it"),
    ],
)
def test_impossible_input(tmp_path, name, content, message):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        content(path)
    with pytest.raises(ImageError, match=message) as caught:
        read_image(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_exr_without_colour_is_refused(tmp_path):
    import OpenEXR

    plane = np.zeros((4, 4), np.float32)
    with OpenEXR.File({"type": OpenEXR.scanlineimage}, {"U": plane, "V": plane}) as file:
        file.write(str(tmp_path / "a.exr"))
    with pytest.raises(ImageError, match="has no RGB channels; it has U, V"):
        read_image(tmp_path / "a.exr")


# What a target's file says besides its colours.


def test_saturated_codes_of_integers_are_found(tmp_path):
    codes = np.full((3, 4, 3), 100, np.uint8)
    codes[0, 1, 2], codes[2, 0] = 255, 0
    Image.fromarray(codes).save(tmp_path / "a.png")
    found = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(found.saturated, (codes == 0) | (codes == 255))
    np.testing.assert_array_equal(found.linear, read_image(tmp_path / "a.png"))
    assert found.alpha is None
    grey = np.array([[0, 1, 65534, 65535]], np.uint16)
    Image.fromarray(grey).save(tmp_path / "b.png")
    found = read_picture(tmp_path / "b.png").saturated
    assert found.shape == (1, 4, 3) and found[0, :, 2].tolist() == [True, False, False, True]


@pytest.mark.parametrize("suffix", LOSS)
def test_nothing_is_saturated_in_linear_formats(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_image(path, np.stack([np.zeros((2, 3)), np.ones((2, 3)), np.full((2, 3), 9.0)], axis=2))
    assert read_picture(path).saturated is None
    if suffix == ".npy":
        np.save(path, np.full((2, 3, 3), 255, np.uint8))
        assert read_picture(path).saturated is None


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "exr", "npy"])
def test_alpha_is_read_where_there_is_one(tmp_path, mode):
    alpha = np.array([[0, 51, 255]], np.uint8)
    rgba = np.dstack([np.full((1, 3, 3), 128, np.uint8), alpha])
    if mode == "exr":
        import OpenEXR

        channels = {"RGBA": np.float32(rgba) / 255}
        with OpenEXR.File({"type": OpenEXR.scanlineimage}, channels) as file:
            file.write(str(tmp_path / "a.exr"))
        path = tmp_path / "a.exr"
    elif mode == "npy":
        path = tmp_path / "a.npy"
        np.save(path, np.float32(rgba) / 255)
    else:
        path = tmp_path / "a.png"
        picture = Image.fromarray(rgba)
        if mode == "P":
            picture = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
            picture.putpalette([128] * 9)
            picture.info["transparency"] = bytes(alpha.ravel().tolist())
            picture.save(path, transparency=picture.info["transparency"])
        else:
            picture.convert(mode).save(path)
    found = read_picture(path)
    np.testing.assert_allclose(found.alpha, alpha / 255, atol=1e-6)
    assert found.linear.shape == (1, 3, 3) and read_image(path).shape == (1, 3, 3)


def test_public_names():
    assert prb.read_image is read_image and prb.write_image is write_image
