"""Scenes without visible discontinuities, in which attached derivatives have no boundary term: a floor that
fills the view, under a smooth environment."""

import numpy as np

import prb


def smooth_sky(height=16, width=32):
    """Radiance of an environment map that varies slowly, (height, width, 3)."""
    azimuth = np.linspace(0, 2 * np.pi, width, endpoint=False)[None]
    polar = np.linspace(0, np.pi, height)[:, None]
    channels = [1 + 0.5 * np.sin(azimuth + c) * np.sin(polar) + 0.4 * np.cos(2 * polar + c) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def waves(n=8, low=0.2, high=0.8, channels=3):
    """An image of smooth waves that repeats, (n, n, channels)."""
    x, y = np.meshgrid(*2 * [2 * np.pi * np.arange(n) / n])
    colors = [np.sin(x + c) * np.cos(y - c) for c in range(channels)]
    return (low + (high - low) * (0.5 + 0.5 * np.stack(colors, axis=-1))).astype(np.float32)


def texture(image, **options):
    return {"type": "bitmap", "bitmap": image, "raw": True, **options}


def floor(bsdf, **others):
    """A scene dictionary: a large floor of that material. others: further objects."""
    return {
        "type": "scene",
        "integrator": {"type": "path", "max_depth": 3, "rr_depth": 100},
        "sensor": {
            "type": "perspective", "fov": 40,
            "film": {"type": "hdrfilm", "width": 12, "height": 12, "rfilter": {"type": "box"}},
            "to_world": [{"look_at": {"origin": [1, -2, 3], "target": [0, 0, 0], "up": [0, 0, 1]}}],
        },
        "floor": {"type": "rectangle", "to_world": [{"scale": [40, 40, 40]}], "bsdf": bsdf},
        "sky": {"type": "envmap", "bitmap": smooth_sky()},
        **others,
    }  # fmt: skip


def load(bsdf, **others):
    return prb.load_dict(floor(bsdf, **others))


def objective(seed=0):
    """A derivative of the picture, (12, 12, 3): mostly of its mean."""
    return np.random.default_rng(seed).normal(1.0, 0.3, (12, 12, 3))
