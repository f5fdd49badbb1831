"""Records of parameters, the buffer of their values, and the arrays that follow them."""

import numpy as np
import pytest

import prb
from prb.device import lights
from prb.device.camera import Camera, camera_buffer
from prb.device.emitters import EmitterRows
from prb.device.layout import MOVES_BY_REPLAY
from prb.device.moving import Moving
from prb.device.parameters import NUMBER, SMALL_SIZE, VERTICES, ParameterBuilder

PLY = """ply
format ascii 1.0
element vertex 3
property float x
property float y
property float z
property float nx
property float ny
property float nz
property float r
property float g
property float b
element face 1
property list uchar int vertex_indices
end_header
-0.3 0 0   0 0 1   0.1 0.7 0.3
0.31 0 0   0 0 1   0.9 0.2 0.1
0 0.4 0.1  0 0 1   0.4 0.4 0.8
3 0 1 2
"""
SKY = np.random.default_rng(0).uniform(0.1, 1, (12, 16, 3)).astype(np.float32)
FILM = {"type": "hdrfilm", "width": 6, "height": 4}
FAR = [{"look_at": {"origin": [0, 0, 4], "target": [0, 0, 0], "up": [0, 1, 0]}}]


@pytest.fixture
def scene(tmp_path):
    """One with parameters of every kind."""
    (tmp_path / "mesh.ply").write_text(PLY)
    painted = {"type": "diffuse", "reflectance": {"type": "mesh_attribute", "name": "vertex_color"}}
    d = {
        "type": "scene", "integrator": {"type": "path", "max_depth": 3},
        "front": {"type": "perspective", "fov": 40, "fov_axis": "y", "to_world": FAR, "film": FILM},
        "lens": {"type": "thinlens", "fov": 30, "aperture_radius": 0.1, "to_world": FAR, "film": FILM},
        "flat": {"type": "orthographic", "to_world": FAR, "film": FILM},
        "mesh": {"type": "ply", "filename": "mesh.ply", "bsdf": painted},
        "ball": {"type": "sphere", "bsdf": {"type": "dielectric"}},
        "lamp": {"type": "disk", "to_world": [{"translate": [0, 0, 2]}],
                 "emitter": {"type": "area", "radiance": {"type": "rgb", "value": [1, 2, 3]}}},
        "sky": {"type": "envmap", "bitmap": SKY},
        "sun": {"type": "directional", "direction": [1, 2, -3]},
        "bulb": {"type": "point", "position": [0, 1, 2], "sampling_weight": 0},
    }  # fmt: skip
    return prb.load_dict(d, base_dir=tmp_path)


def test_records(scene):
    """What the table, ranges and selection follow from, of every kind."""
    records = scene.layout.parameters
    known = {name: (r.kind, r.shape, r.low, r.high) for name, r in records.items()}
    tiny, inf = np.finfo(np.float32).tiny, np.inf
    for name, expected in {
        "lamp.emitter.radiance.value": ("colour", (3,), 0, inf),
        "ball.bsdf.specular_reflectance.value": ("number", (), 0, 1),
        "sky.data": ("texels", (12, 16, 3), 0, inf),
        "mesh.vertex_color": ("attribute", (3, 3), 0, 1),
        "mesh.vertex_normals": ("normals", (3, 3), -inf, inf),
        "sun.direction": ("direction", (3,), -inf, inf),
        "sky.to_world": ("transform", (4, 4), -inf, inf),
        "bulb.position": ("position", (3,), -inf, inf),
        "front.to_world": ("camera transform", (4, 4), -inf, inf),
        "front.x_fov": ("camera number", (), 1e-3, 179.999),
        "flat.near_clip": ("camera number", (), tiny, inf),
        "lens.aperture_radius": ("camera number", (), 0, inf),
        "ball.to_world": ("shape transform", (4, 4), -inf, inf),
        "mesh.vertex_positions": ("vertices", (3, 3), -inf, inf),
    }.items():
        assert known[name] == expected, name
    assert list(records) == list(prb.traverse(scene)) and len({r.kind for r in records.values()}) == 12

    fixed = {name: r.why_not for name, r in records.items() if not r.differentiable}
    cameras = {name for name in records if name.split(".")[0] in ("front", "lens", "flat")}
    assert set(fixed) == {name for name in cameras if name.endswith("_clip")} and all(fixed.values())
    transforms = {"mesh.to_world", "ball.to_world", "lamp.to_world"}
    bends = {"ball.bsdf.eta", "bulb.position", "sky.to_world"}
    assert {name for name, r in records.items() if r.bends_rays} == bends
    by_default = {name for name, r in records.items() if r.by_default}
    moves = cameras | transforms | {"mesh.vertex_positions"}
    assert {name for name, r in records.items() if r.moves} == moves
    assert by_default == set(records) - moves - bends - scene.layout.orientations
    assert {name for name, r in records.items() if r.exact} == cameras | transforms
    assert scene.layout.orientations == {"mesh.vertex_normals", "sun.direction"}
    assert scene.layout.placements == {"sun.direction", "bulb.position", "sky.to_world"}
    assert {name: r.below for name, r in records.items() if r.below} == {
        f"{name}.near_clip": f"{name}.far_clip" for name in ("front", "lens", "flat")
    }


def test_why_not_is_told(scene):
    why_not = scene.layout.parameters["lens.far_clip"].why_not
    with pytest.raises(prb.ParameterError, match=f"not differentiable by path replay: {why_not}; "):
        prb.render_backward(scene, np.ones(scene.image_shape), "lens.far_clip")
    for method, name, line in (
        (
            prb.ReplayAdjoint(),
            "ball.bsdf.eta",
            "it moves directions of rays, which are held fixed; take Atta",
        ),
        (prb.TapeAdjoint(), "ball.bsdf.eta", "it moves directions of rays, which are held fixed; take Atta"),
        (prb.ReplayAdjoint(), "bulb.position", "it moves directions to a light, which are held fixed; "),
        (prb.TapeAdjoint(), "ball.to_world", MOVES_BY_REPLAY),
        (prb.TapeAdjoint(sampling="attached"), "mesh.vertex_positions", MOVES_BY_REPLAY),
        (prb.AttachedReplay(), "lens.x_fov", MOVES_BY_REPLAY),
    ):
        with pytest.raises(prb.ParameterError, match=f"^{name}: {method.name} cannot .*: {line}"):
            prb.render_backward(scene, np.ones(scene.image_shape), name, adjoint=method)


GREY = {"type": "bitmap", "raw": True, "data": np.full((2, 3, 1), 0.5, np.float32)}
SLOPES = {"type": "bitmap", "raw": True, "data": np.full((2, 3, 3), 0.6, np.float32)}
BENDING = [  # a bsdf on a mesh, and the sampling by which its parameters are differentiated
    ({"type": "dielectric"}, {"eta": "attached", "specular_transmittance.value": "both"}, True),
    ({"type": "thindielectric"}, {"eta": "both"}, True),
    ({"type": "roughdielectric"}, {"eta": "both", "alpha.value": "both"}, False),
    ({"type": "conductor"}, {"eta.value": "both", "k.value": "both"}, True),
    ({"type": "plastic"}, {"eta": "both", "diffuse_reflectance.value": "both"}, True),
    ({"type": "roughplastic"}, {"eta": "no", "alpha": "both"}, False),
    ({"type": "diffuse"}, {"reflectance.value": "both"}, False),
    ({"type": "normalmap", "normalmap": SLOPES, "a": {"type": "diffuse"}},
     {"normalmap.data": "attached", "nested_bsdf.reflectance.value": "both"}, True),
    ({"type": "twosided", "a": {"type": "bumpmap", "height": GREY, "b": {"type": "roughconductor"}}},
     {"brdf_0.nested_texture.data": "attached", "brdf_0.nested_bsdf.alpha.value": "both"}, True),
    ({"type": "normalmap", "normalmap": {"type": "mesh_attribute", "name": "vertex_color"},
      "a": {"type": "diffuse"}}, {"/vertex_color": "attached"}, True),
    ({"type": "blendbsdf", "weight": 0.5, "a": {"type": "diffuse"}, "b": {"type": "conductor"}},
     {"weight.value": "both"}, True),
]  # fmt: skip
SAMPLING = {"both": ("detached", "attached"), "attached": ("attached",), "no": ()}


def on_mesh(folder, bsdf, **more):
    lines = PLY.replace("property float r\n", "property float u\nproperty float v\nproperty float r\n")
    lines = lines.replace("  0 0 1  ", "  0 0 1  0.1 0.4  ")
    (folder / "mesh.ply").write_text(lines)
    d = {
        "type": "scene", "integrator": {"type": "path"}, "sky": {"type": "constant"},
        "sensor": {"type": "perspective", "to_world": FAR, "film": FILM},
        "mesh": {"type": "ply", "filename": "mesh.ply", "bsdf": bsdf}, **more,
    }  # fmt: skip
    return prb.traverse(prb.load_dict(d, base_dir=folder))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("bsdf, expected, by_normals", BENDING, ids=lambda x: str(x)[:24])
def test_which_sampling_differentiates_what(tmp_path, bsdf, expected, by_normals):
    params = on_mesh(tmp_path, bsdf)
    found = {name: params.sampling(f"mesh.bsdf.{name}".replace("bsdf./", "")) for name in expected}
    assert found == {name: SAMPLING[how] for name, how in expected.items()}
    assert params.sampling("mesh.vertex_normals") == SAMPLING["attached" if by_normals else "both"]
    for name in ("sensor.to_world", "mesh.to_world", "mesh.vertex_positions"):
        assert params.sampling(name) == ("detached",)
    for name in ("sensor.near_clip", "mesh.bsdf.eta"):
        if name in params and not params.sampling(name):
            assert params.why_not(name) and not params.differentiable(name)


def test_media_have_no_attached_derivatives(tmp_path):
    fog = {"type": "homogeneous", "albedo": 0.5, "sigma_t": 1.0}
    ball = {"type": "sphere", "bsdf": {"type": "dielectric"}, "interior": fog}
    params = on_mesh(tmp_path, {"type": "diffuse"}, ball=ball, integrator={"type": "volpath"})
    assert params.sampling("mesh.bsdf.reflectance.value") == ("detached",)
    assert params.sampling("ball.bsdf.eta") == () and not params.differentiable("ball.bsdf.eta")
    why_not = "it moves directions of rays, and attached replay does not take participating media, which"
    assert params.why_not("ball.bsdf.eta").startswith(why_not)
    why_not = "it moves shapes or the camera, and that does not take participating media, which the scene has"
    for name in ("sensor.to_world", "mesh.to_world", "mesh.vertex_positions"):
        assert params.sampling(name) == () and params.why_not(name) == why_not


def test_the_buffer_has_a_place_for_every_number(scene):
    """Small parameters first, then the exact ones, the large ones and positions of vertices; each number
    belongs to one."""
    records, values = scene.layout.parameters.values(), scene.parameter_values
    ends = [0]
    for record in sorted(records, key=lambda r: r.offset):
        assert record.offset == ends[-1]
        ends.append(record.offset + record.size)
    assert ends[-1] == values.numbers.size and scene.values is values.numbers
    ordered = sorted(records, key=lambda r: r.offset)
    ranks = [(r.kind == VERTICES, not r.exact and r.size > SMALL_SIZE, r.exact) for r in ordered]
    assert ranks == sorted(ranks)
    assert sum(r.size for r in ordered if r.exact) == values.exact.size
    gradient = prb.api.backward(scene, np.ones(scene.image_shape), spp=1).gradient
    assert gradient.shape == scene.values.shape
    assert scene.device_array("params").shape == scene.values.shape


def test_values_keep_their_precision(scene):
    """The camera's are not rounded to float32, so that its rays are those of the file's numbers."""
    params, sensor = prb.traverse(scene), scene.model.sensors[0]
    assert params["front.x_fov"] == sensor.x_fov != float(np.float32(sensor.x_fov))
    params.update({"front.near_clip": 1 / 3, "lamp.emitter.radiance.value": [1 / 3, 2, 3]})
    assert params["front.near_clip"] == 1 / 3
    assert params["lamp.emitter.radiance.value"][0] == np.float32(1 / 3)
    assert params["front.x_fov"].dtype == np.float64 and params["sky.data"].dtype == np.float32


def test_builder():
    builder = ParameterBuilder()
    for name, size in (("large", SMALL_SIZE + 1), ("small", SMALL_SIZE), ("one", 1)):
        builder.add(name, NUMBER, np.full(size, size))
    records, values = builder.place()
    assert [(r.name, r.offset) for r in records] == [
        ("large", SMALL_SIZE + 1),
        ("small", 0),
        ("one", SMALL_SIZE),
    ]
    for record in records:
        assert (values[record] == record.size).all()
    copy = values.copy()
    copy[records[0]] = 0
    assert (copy[records[0]] == 0).all() and (values[records[0]] > 0).all()


# What follows the parameters


@pytest.fixture
def computed(monkeypatch):
    """The dependents that compute anew, in order, by class and first parameter."""
    found = []
    for kind in (EmitterRows, lights.LightTable, lights.EnvironmentTable, Camera):

        def compute(self, *args, original=kind.compute):
            found.append((type(self).__name__, self.parameters[0].name))
            return original(self, *args)

        monkeypatch.setattr(kind, "compute", compute)

    def update(self, *args, original=Moving.update):
        changes = original(self, *args)
        if changes:
            found.append(("Moving", self.parameters[0].name))
        return changes

    monkeypatch.setattr(Moving, "update", update)
    return found


PLACES = {"nodes", "packets", "prims", "frames"}
EVERYTHING = {"normals", "emitter_data", "lights", "light_pdf", "env_marginal", "env_conditional", "camera"}
EVERYTHING |= PLACES
UP = np.array([[1, 0, 0, 0], [0, 1, 0, 0.01], [0, 0, 1, 0], [0, 0, 0, 1]])
FOLLOWED = [  # name, a function of its value, what is computed anew, the arrays that change
    ("mesh.vertex_normals", lambda x: x + [0.1, 0, 0], ["Moving"], {"normals"}),
    ("mesh.vertex_positions", lambda x: x + [0, 0.01, 0], ["Moving"], PLACES),
    ("mesh.to_world", lambda x: UP @ x, ["Moving"], PLACES),
    ("ball.to_world", lambda x: UP @ x, ["Moving"], PLACES),
    ("lamp.to_world", lambda x: UP @ x, ["Moving"], PLACES),
    ("lamp.to_world", lambda x: x @ np.diag([0.1, 0.1, 1, 1]), ["Moving"], PLACES | {"light_pdf"}),
    ("sun.direction", lambda x: [0, 0, -2], ["EmitterRows"], {"emitter_data"}),
    ("bulb.position", lambda x: x + 1, ["EmitterRows"], {"emitter_data"}),
    ("lamp.emitter.radiance.value", lambda x: 100 * x, ["LightTable"], {"lights", "light_pdf"}),
    ("sun.irradiance.value", lambda x: x + 1e-6, [], set()),  # less than what the tables follow
    ("sky.data", lambda x: x[::-1] ** 3, ["EnvironmentTable"], {"env_marginal", "env_conditional"}),
    ("sky.data", lambda x: 1.001 * x, [], set()),
    ("mesh.vertex_color", lambda x: 0.5 * x, [], set()),
    ("front.to_world", lambda x: np.eye(4), ["Camera"], {"camera"}),
    ("lens.focus_distance", lambda x: x + 1, ["Camera"], {"camera"}),
    ("flat.far_clip", lambda x: x, [], set()),
]


@pytest.mark.parametrize("name, change, kinds, arrays", FOLLOWED)
def test_an_update_changes_what_follows_and_nothing_else(scene, computed, name, change, kinds, arrays):
    prb.render(scene, spp=1)
    for number in (1, 2):
        scene.view(number).device_arrays()
    del computed[:]
    before = {key: array.copy() for key, array in scene.layout.arrays.items()}
    cameras = [camera_buffer(camera.sensor) for camera in scene.layout.cameras]
    params = prb.traverse(scene)
    params.update({name: change(params[name])})
    assert [kind for kind, _ in computed] == kinds

    layout, state = scene.layout, scene.state
    changed = {key for key, array in before.items() if not np.array_equal(array, layout.arrays[key])}
    sensors = [
        camera.sensor.name
        for camera, old in zip(layout.cameras, cameras, strict=True)
        if not np.array_equal(old, camera_buffer(camera.sensor))
    ]
    assert changed <= arrays and bool(changed) == bool(arrays - {"camera"})
    assert sensors == ([name.split(".")[0]] if "camera" in arrays else [])
    for key in EVERYTHING - {"camera"}:
        on_device = state.arrays[key].to_numpy()
        np.testing.assert_array_equal(on_device.reshape(layout.arrays[key].shape), layout.arrays[key])
    for number, camera in enumerate(layout.cameras):
        on_device = state.sensors[number, camera.sensor.film.crop_size]["camera"].to_numpy()
        np.testing.assert_array_equal(on_device.ravel(), camera_buffer(camera.sensor))
    np.testing.assert_array_equal(state.arrays["params"].to_numpy(), scene.values)

    del computed[:]
    params.update()
    assert computed == []


def test_everything_is_computed_once_for_a_new_scene(computed, scene):
    prb.render(scene, spp=1)
    assert sorted(computed) == [
        ("Camera", "flat.to_world"), ("Camera", "front.to_world"), ("Camera", "lens.to_world"),
        ("EmitterRows", "bulb.position"), ("EmitterRows", "sky.to_world"), ("EmitterRows", "sun.direction"),
        ("EnvironmentTable", "sky.data"),
        ("LightTable", "lamp.emitter.radiance.value"),
    ]  # fmt: skip


def test_tables_for_sampling_can_stay(scene):
    """As for finite differences: all else follows."""
    prb.render(scene, spp=1)
    before = {key: array.copy() for key, array in scene.layout.arrays.items()}
    values = scene.values.copy()
    records = scene.layout.parameters
    records["sky.data"].of(values)[...] **= 3
    records["lamp.emitter.radiance.value"].of(values)[...] *= 100
    records["sun.direction"].of(values)[...] = [0, 0, -1]

    def changed():
        return {key for key, array in before.items() if not np.array_equal(array, scene.layout.arrays[key])}

    scene.set_values(values, tables=False)
    assert changed() == {"emitter_data"}
    np.testing.assert_array_equal(scene.device_array("params").to_numpy(), values)
    scene.update()
    assert changed() == {"emitter_data", "light_pdf", "env_marginal", "env_conditional"} | (
        changed() & {"lights"}
    )


def test_the_model_keeps_what_the_scene_started_from(scene):
    """Views share the cameras; the field of view stays along the axis of the file until it is set."""
    model, params, view = scene.model.sensors[0], prb.traverse(scene), scene.view(0)
    start = vars(model).copy(), vars(model.film).copy()
    view.resize(12, 4)  # the file's angle is the vertical one
    wide = 2 * np.degrees(np.arctan(3 * np.tan(np.radians(20))))
    assert params["front.x_fov"] == pytest.approx(wide) and scene.image_shape == (4, 12, 3)
    assert scene.view("lens").image_shape == (4, 6, 3)
    params.update({"front.x_fov": 50.0})
    scene.resize(6, 4)
    assert params["front.x_fov"] == 50.0 == view.sensor.x_fov
    assert all(a is b for a, b in zip(vars(model).values(), start[0].values(), strict=True))
    assert vars(model.film) == start[1]

    again = prb.Scene(scene.model)
    assert again.sensor.x_fov == start[0]["x_fov"] and again.image_shape == (4, 6, 3)


def test_ranges_are_projected_onto_whatever_can_be(scene):
    class Values(dict):
        def project(self, bounds):
            for name in self:
                self[name] = np.clip(self[name], *bounds[name])

    params = prb.traverse(scene)
    params.update(Values({"mesh.vertex_color": np.full((3, 3), 7.0), "lens.aperture_radius": -1.0}))
    assert (params["mesh.vertex_color"] == 1).all() and params["lens.aperture_radius"] == 0
    with pytest.raises(prb.ParameterError, match="7 is outside"):
        params.update({"mesh.vertex_color": np.full((3, 3), 7.0)})


def test_an_interrupt_while_dependents_are_computed_is_made_good(monkeypatch):
    """The next render has the scene's own values, on the host and on the device."""
    scene = prb.load_file("blinn-phong-sphere")
    scene.resize(6, 6)
    name = next(n for n in prb.traverse(scene) if n.endswith("direction"))
    params = prb.traverse(scene)
    expected = prb.render(scene, spp=2)
    values = scene.values.copy()
    scene.layout.parameters[name].of(values)[...] = [0.2, -1, 0.3]

    def interrupted(self, inputs, arrays):
        compute(self, inputs, arrays)
        if calls and calls.pop(0):
            raise KeyboardInterrupt

    compute = EmitterRows.compute
    for when in ([True], [False, True]):  # on the way there, on the way back
        calls = list(when)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(EmitterRows, "compute", interrupted)
            prb.ReplayAdjoint().backward(scene, np.ones(scene.image_shape), spp=1, values=values)
        np.testing.assert_array_equal(prb.render(scene, spp=2), expected)
    calls = [True]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(EmitterRows, "compute", interrupted)
        params.update({name: [0.2, -1, 0.3]})
    other = prb.load_file("blinn-phong-sphere")
    other.resize(6, 6)
    prb.traverse(other).update({name: [0.2, -1, 0.3]})
    np.testing.assert_array_equal(prb.render(scene, spp=2), prb.render(other, spp=2))
