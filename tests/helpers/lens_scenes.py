"""A ball of glass in the sky, as a lens. All scenes here are traced by one compiled kernel."""

import numpy as np

import prb

N, RADIUS = 1.5, 1.0
ETA, SKY = "ball.bsdf.eta", "sky.data"
MIDDLE = 3 * np.pi / 4  # azimuth about which the sky is linear: between columns 2 and 3 of 8
AHEAD = np.array([np.sin(MIDDLE), 0.0, -np.cos(MIDDLE)])  # the direction there
ASIDE = np.array([np.cos(MIDDLE), 0.0, np.sin(MIDDLE)])  # to larger azimuths
COLUMNS = np.float32([0, 0, 0.5, 1.5, 0, 0, 0, 0])
COLORS = np.float32([1.0, 0.8, 0.5])


def smooth(rows=4, columns=8):
    """An image that is nowhere black, (rows, columns, 3)."""
    return np.random.default_rng(4).uniform(0.5, 1.5, (rows, columns, 3)).astype(np.float32)


def ball(center, sensor, image=None, max_depth=3, scale=1.0):
    """The ball with a sensor. image: of the sky, which else is a gradient between black walls."""
    image = np.tile(COLUMNS[:, None] * COLORS, (2, 1, 1)) if image is None else image
    film = {"type": "hdrfilm", "width": 4, "height": 4, "rfilter": {"type": "box"}}
    bsdf = {"type": "dielectric", "int_ior": N, "ext_ior": 1.0}
    return prb.load_dict({
        "type": "scene",
        "integrator": {"type": "path", "max_depth": max_depth, "rr_depth": 1000},
        "sensor": {**sensor, "film": film},
        "ball": {"type": "sphere", "radius": RADIUS, "center": list(center), "bsdf": bsdf},
        "sky": {"type": "envmap", "bitmap": image, "scale": scale},
    })  # fmt: skip


def lens(height):
    """Parallel rays, as good as one, that pass the ball's middle at that distance. Paths reach the sky by one
    reflection, where it is black, or by two refractions."""
    look = {"look_at": {"origin": list(-10 * AHEAD), "target": [0, 0, 0], "up": [0, 1, 0]}}
    sensor = {"type": "orthographic", "to_world": [{"scale": 1e-3}, look]}
    return ball(-height * ASIDE, sensor)


def beside(max_depth=5):
    """The ball before a sky without edges, the whole of which is in the picture."""
    look = {"look_at": {"origin": [0, -6, 1], "target": [0, 0, 0], "up": [0, 0, 1]}}
    return ball([0, 0, 0], {"type": "perspective", "fov": 22, "to_world": [look]}, smooth(), max_depth)


def within(fov=0.01, scale=1.0):
    """Seen from within, about the angle of total reflection."""
    height = 0.8
    angle = np.pi - np.arcsin(RADIUS / N / height)  # of the ray to the outward direction, sines of triangles
    target = [height + np.cos(angle), np.sin(angle), 0]
    look = {"look_at": {"origin": [height, 0, 0], "target": target, "up": [0, 0, 1]}}
    sensor = {"type": "perspective", "fov": fov, "to_world": [look], "near_clip": 1e-3}
    return ball([0, 0, 0], sensor, smooth(), max_depth=2, scale=scale)
