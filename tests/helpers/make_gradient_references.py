"""Eight configurations for testing gradients, and the program that computes their references.

The configurations are those of Mitsuba 3's own test of its adjoint integrators
(src/integrators/tests/test_ad_integrators.py), described anew: a camera of 50 mm at (0, 0, 4), a plane of
2 x 2, a sphere of radius 0.25, paths of two edges (three in one), and one number theta that is added to all
channels of one parameter, or that turns the shading normals of the plane.

References: Mitsuba's `path` integrator (llvm_ad_rgb), which knows nothing of derivatives, renders with
theta = +step and -step and the same random numbers; half the difference over the step is the derivative,
half the sum is the picture. Both are exact where the picture is linear in theta: everywhere but with turned
normals. There a wedge of the light sinks below the horizon for theta < 0 and not for theta > 0, so that the
difference errs in the first order of the step: by 0.3 % at 0.01. Hence a step of 2e-4, and `direct`, which
can leave out the sampling of the BSDF, whose directions would turn with the normals and hit or miss the lamp.
The images are kept as float16, one channel where all are equal, together with their means and the standard
errors of those over independent passes.

    python tests/make_gradient_references.py [--samples N] [name ...]

needs Mitsuba (`pip install mitsuba`; DRJIT_LIBLLVM_PATH may have to name an LLVM library), and took about
a quarter of an hour on two cores. Names given: only those are computed anew.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

FILE = Path(__file__).parents[1] / "data" / "gradient_references.npz"
PASS = 512  # samples per pixel of one pass
PLANE = """\
v -1 -1 0
v 1 -1 0
v -1 1 0
v 1 1 0
vt 0 0
vt 1 0
vt 0 1
vt 1 1
f 1/1 2/2 4/4
f 1/1 4/4 3/3
"""  # as Mitsuba's rectangle.obj without normals in the file: both compute them at the vertices


def placed(matrix, offset):
    """A 4x4 transform from its linear part and its translation."""
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = matrix, offset
    return result


CAMERA = placed(np.diag([-1.0, 1.0, -1.0]), [0, 0, 4])  # looks along -z, +y is up
SPHERE = {"type": "sphere", "to_world": placed(0.25 * np.eye(3), [0, 0, 0])}
BESIDE = placed([[0, 0, -1], [0, 1, 0], [1, 0, 0]], [1.25, 0, 1])  # outside the picture, facing -x
BACKGROUND = {"type": "constant"}


def rgb(*value):
    return {"type": "rgb", "value": list(value)}


def plane(*reflectance):
    """A plane of 2 x 2 at z = 0, facing the camera; Mitsuba's default is a grey of 0.5."""
    bsdf = {"type": "diffuse"} | ({"reflectance": rgb(*reflectance)} if reflectance else {})
    return {"type": "rectangle", "bsdf": bsdf}


def lamp(radiance, to_world=None):
    """A rectangle of 2 x 2 that shines."""
    shape = {"type": "rectangle", "emitter": {"type": "area", "radiance": rgb(*[radiance] * 3)}}
    return shape if to_world is None else shape | {"to_world": to_world}


@dataclass(frozen=True)
class Configuration:
    """things: name -> plugin, besides camera and integrator. parameter: its name. step: see above.
    normals: theta turns the parameter's vectors about the y axis (in radians), instead of being added.
    estimator: Mitsuba's integrator that computes the reference."""

    things: dict
    parameter: str
    step: float
    max_depth: int = 2
    size: int = 128
    crop: dict = field(default_factory=dict)
    normals: bool = False
    estimator: dict = field(default_factory=lambda: {"type": "path"})

    def scene(self, folder):
        """The scene's dictionary; transforms are 4x4 arrays. folder: where mesh files are written."""
        film = {
            "type": "hdrfilm",
            "width": self.size,
            "height": self.size,
            **self.crop,
            "rfilter": {"type": "gaussian", "stddev": 0.5},
            "component_format": "float32",
        }
        things = {name: dict(thing) for name, thing in self.things.items()}
        for name, thing in things.items():
            if thing["type"] == "obj":
                file = Path(folder) / f"{name}.obj"
                file.write_text(PLANE)
                thing["filename"] = str(file)
        return {
            "type": "scene",
            "integrator": {"type": "path", "max_depth": self.max_depth},
            "sensor": {"type": "perspective", "to_world": CAMERA, "film": film},
            **things,
        }

    def tangent(self, value):
        """d(parameter)/d(theta) at theta = 0, in the shape of the parameter's value."""
        if not self.normals:
            return np.ones_like(value)
        x, _, z = np.moveaxis(np.reshape(value, (-1, 3)), -1, 0)
        return np.reshape(np.stack([z, np.zeros_like(x), -x], axis=-1), np.shape(value))

    def moved(self, value, theta):
        """The parameter's value at theta."""
        if not self.normals:
            return value + theta
        x, y, z = np.moveaxis(np.reshape(value, (-1, 3)), -1, 0)
        c, s = np.cos(theta), np.sin(theta)
        return np.reshape(np.stack([c * x + s * z, y, c * z - s * x], axis=-1), np.shape(value))


CONFIGURATIONS = {
    "albedo": Configuration(
        {"plane": plane(), "sphere": SPHERE, "light": BACKGROUND},
        "plane.bsdf.reflectance.value", step=0.25,
    ),
    "albedo_depth_3": Configuration(
        {
            "plane": plane(),
            "sphere": SPHERE,
            "green": plane(0.1, 1.0, 0.1) | {"to_world": BESIDE},
            "light": {"type": "constant", "radiance": 3.0},
        },
        "green.bsdf.reflectance.value", step=0.1, max_depth=3,
    ),
    "area_light": Configuration(
        {"plane": plane(1.0, 1.0, 1.0), "sphere": SPHERE, "light": lamp(3.0, BESIDE)},
        "light.emitter.radiance.value", step=1.5,
    ),
    "visible_area_light": Configuration({"light": lamp(1.0)}, "light.emitter.radiance.value", step=0.5),
    "point_light": Configuration(
        {
            "plane": plane(1.0, 1.0, 1.0),
            "sphere": SPHERE,
            "light": {"type": "point", "position": [1.25, 0.0, 1.0], "intensity": rgb(5.0, 5.0, 5.0)},
        },
        "light.intensity.value", step=2.5,
    ),
    "constant_emitter": Configuration(
        {"plane": plane(), "sphere": SPHERE, "light": BACKGROUND}, "light.radiance.value", step=0.5,
    ),
    "crop_window": Configuration(
        {"plane": plane(), "light": BACKGROUND},
        "plane.bsdf.reflectance.value", step=0.25, size=64,
        crop={"crop_width": 32, "crop_height": 32, "crop_offset_x": 32, "crop_offset_y": 20},
    ),
    "shading_normals": Configuration(
        {"plane": {"type": "obj", "bsdf": {"type": "diffuse"}}, "light": lamp(3.0, BESIDE)},
        "plane.vertex_normals", step=2e-4, normals=True,
        estimator={"type": "direct", "emitter_samples": 1, "bsdf_samples": 0},
    ),
}  # fmt: skip


def for_mitsuba(value, mi):
    """A scene's dictionary with Mitsuba's own transforms in place of arrays."""
    if isinstance(value, dict):
        return {key: for_mitsuba(v, mi) for key, v in value.items()}
    return mi.ScalarTransform4f(value) if isinstance(value, np.ndarray) else value


def reference(configuration, samples, mi):
    """Picture and derivative by theta, (height, width, 3) float64, and each one's mean and standard error."""
    with tempfile.TemporaryDirectory() as folder:
        scene = mi.load_dict(for_mitsuba(configuration.scene(folder), mi))
    depth = {"max_depth": configuration.max_depth} if configuration.estimator["type"] == "path" else {}
    integrator = mi.load_dict(configuration.estimator | depth)
    params = mi.traverse(scene)
    start = np.array(params[configuration.parameter])
    kind = type(params[configuration.parameter])
    passes = []
    for seed in range(max(2, samples // PASS)):
        pair = []
        for theta in (configuration.step, -configuration.step):
            moved = configuration.moved(start.astype(float), theta)
            if configuration.normals:
                params[configuration.parameter] = kind(moved.astype(np.float32))
            else:
                params[configuration.parameter] = kind(*moved.ravel().tolist())
            params.update()
            pair.append(np.array(mi.render(scene, integrator=integrator, seed=seed, spp=PASS), float))
        high, low = pair
        passes.append([(high + low) / 2, (high - low) / (2 * configuration.step)])
    passes = np.array(passes)
    means = passes.mean(axis=(2, 3, 4))
    return passes.mean(axis=0), means.mean(axis=0), means.std(axis=0, ddof=1) / np.sqrt(len(passes))


def packed(image):
    """float16, and one channel where all three are the same."""
    grey = np.ptp(image, axis=-1).max() <= 1e-5 * np.abs(image).max()
    return (image[..., :1] if grey else image).astype(np.float16)


def main():
    import mitsuba as mi

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="name", help="of " + ", ".join(CONFIGURATIONS))
    parser.add_argument("--samples", type=int, default=16384, help="per pixel; default 16384")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(CONFIGURATIONS):
        parser.error(f"no such configuration: {', '.join(sorted(unknown))}")
    mi.set_variant("llvm_ad_rgb")
    kept = dict(np.load(FILE)) if FILE.exists() else {}
    for name in arguments.names or CONFIGURATIONS:
        began = time.perf_counter()
        images, means, errors = reference(CONFIGURATIONS[name], arguments.samples, mi)
        kept[f"{name}/picture"], kept[f"{name}/derivative"] = map(packed, images)
        kept[f"{name}/means"], kept[f"{name}/errors"] = means, errors
        FILE.parent.mkdir(exist_ok=True)
        np.savez_compressed(FILE, **kept)
        print(
            f"{name:20} mean of the picture {means[0]:.6f} +- {errors[0]:.1e}, "
            f"of the derivative {means[1]:.6f} +- {errors[1]:.1e}, {time.perf_counter() - began:.0f} s"
        )


if __name__ == "__main__":
    main()
