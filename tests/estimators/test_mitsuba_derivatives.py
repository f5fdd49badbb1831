"""Derivative images of moving shapes, of Mitsuba's own test data: central differences at 12000 samples.

The data (`mitsuba-renderer/mitsuba-data`) is looked for at ../shared/data/mitsuba; without it, nothing runs.
Over tiles of 8 x 8 pixels, the distance to the reference is at most 0.12 of its size, and the mean lies
within 6 % of the mean size. The reverse mode is held to the same: pulled back along two fields of the picture
it has the numbers of the forward image.
"""

import numpy as np
import pytest
from helpers.mitsuba_data import ROOT

import prb
from prb.io.images import read_image

DATA = ROOT.parents[1]
TILE = 8
GREY = {"type": "diffuse", "reflectance": 0.5}
CONSTANT = {"type": "constant", "radiance": 1.0}


def picture(name, **keys):
    return {"type": "bitmap", "filename": str(DATA / "common" / "textures" / name), **keys}


def mesh(name, place, **keys):
    """A mesh of the data; its normals are smooth where it is a ball."""
    file = str(DATA / "common" / "meshes" / f"{name}.obj")
    return {"type": "obj", "filename": file, "face_normals": name == "rectangle", "to_world": place, **keys}


def area(radiance):
    return {"type": "area", "radiance": radiance}


def look_at(origin, target=(0, 0, 0)):
    return [{"look_at": {"origin": origin, "target": list(target), "up": [0, 1, 0]}}]


def turned(angle, *axis):
    return {"rotate": {"axis": list(axis), "angle": angle}}


SLANTED = [turned(90, 0, 0, 1), turned(45, 1, 0, 0)]
BELOW = [{"scale": 4}, turned(-90, 1, 0, 0), turned(-90, 0, 1, 0), {"translate": [0, -1.5, 0]}]
OFF_MIDDLE = {"fov": 18, "to_world": look_at([0, 0.1, 4], [0, 0.1, 0])}
# name: size, samples, shapes and lights, what moves, along which axis, keys of the camera
SCENES = {
    "translate_plane_under_projector": (64, 128, {
        "shape": mesh("rectangle", [{"scale": 3}], bsdf=GREY),
        "light": {"type": "projector", "irradiance": picture("gradient.jpg"), "to_world": look_at([0, 0, 3])},
    }, "shape", 2, {}),
    "translate_diffuse_rectangle_constant": (128, 64, {
        "shape": mesh("rectangle", [], bsdf=GREY), "light": CONSTANT,
    }, "shape", 0, {}),
    "translate_sphere_emitter_on_black": (128, 64, {
        "shape": mesh("sphere", [turned(180, 0, 1, 0), {"translate": [1.25, 0, 0]}], emitter=area(1.0)),
    }, "shape", 0, {}),
    "translate_occluder_area_light": (128, 256, {
        "floor": {"type": "rectangle", "bsdf": GREY},
        "shape": mesh("sphere", [{"scale": 0.25}, {"translate": [2, 0, 2]}], bsdf=GREY),
        "light": mesh("sphere", [{"scale": 0.05}, {"translate": [4, 0, 4]}], emitter=area(1000.0)),
    }, "shape", 0, {}),
    "translate_plane_under_textured_area_emitter": (64, 256, {
        "shape": mesh("rectangle", SLANTED, bsdf=GREY),
        "light": mesh("rectangle", BELOW, emitter=area(picture("gradient.jpg", wrap_mode="clamp"))),
    }, "shape", 2, OFF_MIDDLE),
    "translate_textured_plane": (64, 2048, {
        "shape": mesh("rectangle", [{"scale": 2}],
                      bsdf={"type": "diffuse", "reflectance": picture("museum.exr")}),
        "light": CONSTANT,
    }, "shape", 0, {}),
}  # fmt: skip


def loaded(name):
    """(scene, name of the positions, tangents, samples, reference)."""
    size, spp, contents, shape, axis, camera = SCENES[name]
    reference = DATA / "tests" / "integrators" / f"test_{name}_image_fwd_ref.exr"
    if not reference.exists():
        pytest.skip("the data is not here")
    film = {"type": "hdrfilm", "width": size, "height": size, "rfilter": {"type": "box"}}
    view = {"fov": 34.022, "to_world": look_at([0, 0, 4]), **camera}
    scene = prb.load_dict({
        "type": "scene", "integrator": {"type": "path", "max_depth": 2},
        "sensor": {"type": "perspective", "fov_axis": "x", "film": film, **view}, **contents,
    })  # fmt: skip
    positions = f"{shape}.vertex_positions"
    tangent = np.zeros(prb.traverse(scene)[positions].shape, np.float32)
    tangent[:, axis] = 1
    return scene, positions, tangent, spp, read_image(reference)


def tiles(image):
    height, width, channels = image.shape
    return image.reshape(height // TILE, TILE, width // TILE, TILE, channels).mean(axis=(1, 3))


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
@pytest.mark.filterwarnings("ignore:.* not finite and was left out")
def test_derivative_image(name):
    scene, positions, tangent, spp, reference = loaded(name)
    found = prb.render_forward(scene, {positions: tangent}, spp=spp, seed=1)
    a, r = tiles(np.asarray(found, float)), tiles(reference)
    assert np.abs(a - r).sum() <= 0.12 * np.abs(r).sum()
    assert abs(a.mean() - r.mean()) <= max(0.06 * np.abs(r).mean(), 0.01 * (abs(r.mean()) < 1e-6))
    rng = np.random.default_rng(2)
    for field in (np.ones_like(reference), rng.normal(size=reference.shape)):
        gradient = prb.render_backward(scene, field, params=[positions], spp=spp, seed=1)[positions]
        assert (gradient * tangent).sum() == pytest.approx(
            (found * field).sum(), abs=2e-3 * float(np.abs(found).sum())
        )
