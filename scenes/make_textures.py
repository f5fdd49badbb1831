"""Makes the pictures of the bundled scenes: python scenes/make_textures.py

The same pixels come out every time.
"""

from pathlib import Path

import numpy as np

from prb.io.images import write_image


def tiles(size: int = 64) -> np.ndarray:
    """A glazed tile: rings and a star in five colours, linear RGB (size, size, 3)."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size * 2 - 1
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    star = 0.55 + 0.25 * np.cos(8 * angle)
    tile = np.empty((size, size, 3))
    tile[:] = (0.75, 0.7, 0.6)
    tile[radius < 0.95] = (0.05, 0.2, 0.45)
    tile[radius < 0.86] = (0.8, 0.75, 0.65)
    tile[radius < star] = (0.7, 0.3, 0.05)
    tile[radius < 0.7 * star] = (0.05, 0.4, 0.35)
    tile[radius < 0.18] = (0.6, 0.06, 0.08)
    return tile


def sunset(height: int = 16) -> np.ndarray:
    """A sky over dark ground, with a low sun and a lamp, linear RGB (height, 2 * height, 3)."""
    v, u = np.mgrid[:height, : 2 * height] + 0.5
    up, around = 1 - 2 * v / height, u / height * np.pi  # from 1 at the zenith to -1
    sky = np.where(up[..., None] > 0, (0.25, 0.45, 0.9), (0.12, 0.08, 0.06))
    glow = np.exp(-8 * np.abs(up)) * (1 + np.cos(around - 2.0))
    sky = sky + glow[..., None] * np.array((0.9, 0.4, 0.15))
    for at, height_of, width, colour in ((2.0, 0.3, 0.25, (9, 7, 4)), (4.6, 0.5, 0.3, (1, 3, 4))):
        distance = np.hypot(np.angle(np.exp(1j * (around - at))), 1.4 * (up - height_of))
        sky = sky + np.exp(-((distance / width) ** 2))[..., None] * np.array(colour)
    return sky


def stripes(width: int = 48) -> np.ndarray:
    """Soft stripes of uneven colours, linear RGB (2, width, 3)."""
    colours = np.random.default_rng(5).uniform(0.1, 1.0, (1, width, 3))
    return np.repeat(0.5 * (colours + np.roll(colours, 1, axis=1)), 2, axis=0)


def marble(size: int = 64) -> np.ndarray:
    """Slow waves whose colour tells where one is, linear RGB (size, size, 3)."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size * 2 - 1
    waves = [np.sin(5.1 * x + 1.3 * y), np.sin(4.7 * y - 1.1 * x + 1.0), np.sin(3.3 * (x + y) + 2.0)]
    return 0.55 + 0.4 * np.stack(waves, axis=-1)


def ripples(size: int = 64) -> np.ndarray:
    """A normal map: rings in water around two drops, (n + 1) / 2 of the unit normal n, (size, size, 3)."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size * 2 - 1

    def height(x, y):
        total = 0.0
        for cx, cy in ((-0.3, -0.2), (0.4, 0.35)):
            r = np.hypot(x - cx, y - cy)
            total = total + 0.012 * np.cos(14 * r) * np.exp(-3 * r * r)
        return total

    h = 1e-4
    by_x = (height(x + h, y) - height(x - h, y)) / (2 * h)
    by_y = (height(x, y + h) - height(x, y - h)) / (2 * h)
    normals = np.stack([-by_x, -by_y, np.ones_like(by_x)], axis=-1)
    return 0.5 + 0.5 * normals / np.linalg.norm(normals, axis=-1, keepdims=True)


def main() -> None:
    folder = Path(__file__).parent / "textures"
    folder.mkdir(exist_ok=True)
    pictures = {
        "tiles.png": tiles(), "sunset.exr": sunset(), "stripes.exr": stripes(), "marble.exr": marble(),
        "ripples.exr": ripples(),
    }  # fmt: skip
    for name, picture in pictures.items():
        write_image(folder / name, picture)
        print(f"{name}: {picture.shape[1]} x {picture.shape[0]}, {(folder / name).stat().st_size} bytes")


if __name__ == "__main__":
    main()
