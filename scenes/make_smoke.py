"""Makes the volume of the scene smoke: python scenes/make_smoke.py

A puff of smoke: a soft blob whose border is pushed in and out by fractal noise, with filaments inside, and
voxels that are really empty around it and in its hollows. The same voxels come out every time.
"""

from pathlib import Path

import numpy as np

from prb.io.volumes import write_vol

SIZE = 64
OCTAVES = 5


def cloud(size: int = SIZE, seed: int = 8) -> np.ndarray:
    """Densities from 0 to 1, (size, size, size): z, y, x. Half the voxels or more are exactly 0."""
    generator = np.random.default_rng(seed)
    z, y, x = np.moveaxis((np.indices((size,) * 3) + 0.5) / size * 2 - 1, 0, 0)
    radius = np.sqrt((x / 0.8) ** 2 + ((y + 0.05) / 0.72) ** 2 + (z / 0.8) ** 2)
    noise = sum(0.55**k * _noise(generator, 3 * 2**k, size) for k in range(OCTAVES))
    density = 1 - radius + 0.75 * noise
    border = np.clip(1 - np.abs(np.stack([x, y, z])).max(axis=0), 0, 0.1) / 0.1  # nothing at the cube's faces
    return (np.clip(1.6 * density, 0, 1) * border).astype(np.float32)


def _noise(generator: np.random.Generator, cells: int, size: int) -> np.ndarray:
    """Perlin's gradient noise with so many cells to the side, about -1 to 1, (size, size, size)."""
    slopes = generator.normal(size=(cells + 1,) * 3 + (3,))
    slopes /= np.linalg.norm(slopes, axis=-1, keepdims=True)
    at = (np.arange(size) + 0.5) / size * cells
    first = at.astype(int)
    part = at - first
    fade = part**3 * (part * (part * 6 - 15) + 10)
    total = np.zeros((size,) * 3)
    for corner in np.ndindex(2, 2, 2):
        gradient = slopes[np.ix_(*(first + c for c in corner))]
        offset = np.stack(np.meshgrid(*(part - c for c in corner), indexing="ij"), axis=-1)
        weights = [fade if c else 1 - fade for c in corner]
        total += np.einsum("i,j,k->ijk", *weights) * (gradient * offset).sum(axis=-1)
    return total * 1.5


def main() -> None:
    folder = Path(__file__).parent / "volumes"
    folder.mkdir(exist_ok=True)
    path, density = folder / "smoke.vol", cloud()
    write_vol(path, density)
    empty = (density == 0).mean()
    print(f"{path.name}: {SIZE}^3 voxels, {empty:.0%} of them empty, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
