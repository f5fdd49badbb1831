"""Small scenes with participating media, for prb and for Mitsuba, and how to judge their derivatives."""

import numpy as np

import prb

SIZE = 4  # pixels along each side of a film


def camera(origin=(0, 0, 4), fov=30, **options):
    """A sensor that looks at the origin, with a film of SIZE x SIZE pixels and a box filter."""
    look = {"origin": list(origin), "target": [0, 0, 0], "up": [0, 1, 0]}
    film = {"type": "hdrfilm", "width": SIZE, "height": SIZE, "rfilter": {"type": "box"}}
    return {"type": "perspective", "fov": fov, "to_world": [{"look_at": look}], "film": film, **options}


def rgb(*value):
    return {"type": "rgb", "value": list(value)}


def grid(values, low=-1.0, high=1.0, **options):
    """A gridvolume in the cube from `low` to `high`."""
    to_world = [{"scale": high - low}, {"translate": [low, low, low]}]
    return {"type": "gridvolume", "data": np.float32(values), "to_world": to_world, **options}


def fog(sigma_t=1.0, albedo=0.75, **options):
    """A medium, heterogeneous if sigma_t is a grid."""
    kind = "homogeneous"
    if isinstance(sigma_t, dict) and sigma_t["type"].endswith("volume"):
        kind = "heterogeneous"
    return {"type": kind, "sigma_t": sigma_t, "albedo": albedo, **options}


def box(interior, **options):
    """The cube from -1 to 1 full of a medium."""
    return {"type": "cube", "bsdf": {"type": "null"}, "interior": interior, **options}


def scene_dict(
    *, max_depth=8, rr_depth=1000, integrator="volpath", sensor=None, hide_emitters=False, **things
):
    """A scene under a constant light of radiance 1, unless `things` has a key "light"."""
    return {
        "type": "scene",
        "integrator": {
            "type": integrator, "max_depth": max_depth, "rr_depth": rr_depth, "hide_emitters": hide_emitters,
        },
        "sensor": sensor or camera(),
        **{k: v for k, v in {"light": {"type": "constant"}, **things}.items() if v is not None},
    }  # fmt: skip


def load(**things):
    return prb.load_dict(scene_dict(**things))


def samples(function, seeds):
    """Mean of function(seed) over independent seeds, and its standard error."""
    values = np.array([function(seed) for seed in seeds], float)
    return values.mean(0), values.std(0, ddof=1) / np.sqrt(len(values))


def objective(scene, seed, *, weight=1.0, **options):
    """Mean of the picture's numbers, each times a weight."""
    return float(np.mean(weight * prb.render(scene, seed=seed, **options).astype(float)))


def differences(scene, name, direction, step, *, seeds, sided=0, weight=1.0, **options):
    """The derivative of `objective` along a direction, by differences with common random numbers.

    sided: 0 for central differences, 1 for forward ones of second order. Returns (mean, standard error).
    """
    params = prb.traverse(scene)
    value = np.array(params[name], float)
    nodes = (0, 1, 2) if sided else (-1, 1)
    factors = (-1.5, 2.0, -0.5) if sided else (-0.5, 0.5)

    def at(seed):
        total = 0.0
        for node, factor in zip(nodes, factors, strict=True):
            params.update({name: value + node * step * np.asarray(direction)})
            total += factor / step * objective(scene, seed, weight=weight, **options)
        return total

    try:
        return samples(at, seeds)
    finally:
        params.update({name: value})


def derivative(scene, name, direction, *, seeds, weight=1.0, density=None, **options):
    """The same derivative by path replay, reverse mode. Returns (mean, standard error)."""
    shape = scene.image_shape
    cotangent = np.broadcast_to(weight, shape) / np.prod(shape)
    adjoint = prb.ReplayAdjoint(density=density) if density else None

    def at(seed):
        gradient = prb.render_backward(scene, cotangent, [name], seed=seed, adjoint=adjoint, **options)[name]
        return (gradient * np.asarray(direction)).sum()

    return samples(at, seeds)


def to_mitsuba(value):
    """A dictionary of prb's as Mitsuba takes it."""
    import mitsuba as mi

    if isinstance(value, list):
        result = mi.ScalarTransform4f()
        for step in value:
            ((key, argument),) = step.items()
            next_one = mi.ScalarTransform4f()
            if key == "look_at":
                next_one = next_one.look_at(**argument)
            elif key == "rotate":
                next_one = next_one.rotate(argument["axis"], argument["angle"])
            else:
                next_one = getattr(next_one, key)(argument)
            result = next_one @ result
        return result
    if not isinstance(value, dict):
        return value
    made = {}
    for key, entry in value.items():
        if key == "data":
            made["grid"] = mi.VolumeGrid(np.float32(entry))
        elif key == "to_world":
            made[key] = to_mitsuba(entry)
        else:
            made[key] = to_mitsuba(entry) if isinstance(entry, dict) else entry
    if made.get("type") == "gridvolume":
        made["raw"] = True
    return made
