"""Media as tables: their numbers, parameters, features, the bounds of their extinction, phase functions."""

from dataclasses import asdict

import numpy as np
import pytest
from helpers.media import constant, grid, medium, model_of, scene_of

import prb
from prb.device.majorants import HEADROOM, LOOSE, MOST_CELLS, Majorants, projected_areas, window
from prb.device.media import distribution
from prb.device.parameters import SMALL_SIZE
from prb.device.scene import Scene
from prb.kernels import medium as columns
from prb.kernels import scattering, volume
from prb.kernels.phase import KINDS
from prb.kernels.view import Features
from prb.scene.model import Phase

SIGMA = "fog.sigma_t.data"
SCALE = "fog.scale.value.value"


def smoke(shape=(9, 12, 7, 1), seed=0, **fields):
    """A grid with an empty half."""
    values = np.random.default_rng(seed).uniform(0, 3, shape)
    values[: shape[0] // 2] = 0
    return medium(sigma_t=grid(SIGMA, values, **fields))


def blend(first, second, weight, name="fog.phase_function"):
    return Phase(name, "blendphase", {"weight": constant(f"{name}.weight.value", weight)}, (first, second))


def hg(g, name="hg"):
    return Phase(name, "hg", {"g": constant(f"{name}.g", g, low=-0.999, high=0.999)})


# --- numbers, codes, parameters -------------------------------------------------------------------------


def test_media_that_shapes_share_are_one():
    fog, haze = medium("fog", kind="homogeneous"), medium("haze", kind="homogeneous")
    scene = scene_of(fog, haze, fog, None, around=haze)
    layout = scene.layout
    boundary, sides = columns.BOUNDARY, columns.SIDES
    assert layout.arrays["shapes"][:, 3].tolist() == [boundary + 1, boundary + 2, boundary + 1, 0]
    assert len(layout.arrays["media"]) == 2 and layout.sensor_media[0] == 1
    assert scene.sensor_medium == 1
    outside = scene_of(fog, None, exterior=haze)
    assert outside.layout.arrays["shapes"][:, 3].tolist() == [
        boundary + 1 + 2 * sides,
        boundary + 0 + 2 * sides,
    ]
    assert outside.layout.sensor_media[0] == -1


def test_parameters_and_their_rows():
    values = np.arange(2 * 3 * 4 * 3).reshape(2, 3, 4, 3) / 100
    fog = medium(
        sigma_t=grid(SIGMA, values),
        albedo=constant("fog.albedo.value.value", [0.1, 0.2, 0.3], high=1.0),
        emission=constant("fog.emission.value.value", 0.5),
        phase=hg(0.3, "fog.phase_function"),
    )
    scene = scene_of(fog, bsdf="dielectric")
    params, records = prb.traverse(scene), scene.layout.parameters
    kinds = {name: records[name].kind for name in records if name.startswith("fog")}
    assert kinds == {
        SIGMA: "voxels", SCALE: "number", "fog.albedo.value.value": "colour",
        "fog.emission.value.value": "number", "fog.phase_function.g": "number",
    }  # fmt: skip
    np.testing.assert_array_equal(params[SIGMA], np.float32(values))
    assert all(params.differentiable(name) for name in kinds)
    assert values.size > SMALL_SIZE and records[SIGMA].offset == scene.values.size - values.size

    (row,) = scene.layout.arrays["media"]
    rows = scene.layout.arrays["volumes"]
    for column, name in (
        (columns.SIGMA_T, SIGMA),
        (columns.SCALE, SCALE),
        (columns.ALBEDO, "fog.albedo.value.value"),
        (columns.EMISSION, "fog.emission.value.value"),
    ):
        assert rows[row[column], volume.OFFSET] == records[name].offset
    of_grid = rows[row[columns.SIGMA_T]]
    assert of_grid[[volume.NX, volume.NY, volume.NZ, volume.CHANNELS]].tolist() == [4, 3, 2, 3]
    assert row[columns.HETEROGENEOUS] == row[columns.SAMPLE_EMITTERS] == 1

    params.update({SIGMA: values.ravel() * 2})  # Mitsuba's flat arrays
    np.testing.assert_array_equal(params[SIGMA], np.float32(values * 2))
    with pytest.raises(prb.ParameterError, match=r"albedo.value.value: 1.5 is outside \[0, 1\]"):
        params.update({"fog.albedo.value.value": [0.1, 1.5, 0]})
    with pytest.raises(prb.ParameterError, match=r"-1 is outside \[0, inf\]"):
        params.update({SIGMA: -np.ones_like(values)})


def test_the_unit_cube_is_placed():
    matrix = np.diag([2.0, 4.0, 8.0, 1.0])
    matrix[:3, 3] = 1, 2, 3
    scene = scene_of(smoke(to_world=matrix))
    index = scene.layout.arrays["media"][0, columns.SIGMA_T]
    rows = scene.layout.arrays["to_unit"][index].reshape(3, 4)
    np.testing.assert_allclose(rows @ [3, 6, 11, 1], [1, 1, 1])
    with pytest.raises(prb.SceneError, match="flattens the volume"):
        scene_of(smoke(to_world=np.diag([1.0, 1.0, 0.0, 1.0])))


# --- features ---------------------------------------------------------------------------------------------


def changed(scene):
    """The features of media that are not off."""
    off = Features(**{k: None for k, v in Features.__dataclass_fields__.items() if v.default is not False})
    of_media = list(asdict(off))[list(asdict(off)).index("media") :]
    plain = {k: Features.__dataclass_fields__[k].default for k in of_media}
    return {k: v for k, v in asdict(scene.layout.features).items() if k in plain and v != plain[k]}


def test_features():
    fog = medium(kind="homogeneous")
    assert changed(scene_of(fog)) == {"media": True, "phases": ("isotropic",)}
    assert changed(scene_of(None, around=fog)) == {"media": True, "phases": ("isotropic",)}
    assert changed(scene_of(None)) == {"media": True}  # null
    assert changed(scene_of(None, bsdf="thindielectric")) == {"media": True, "crossings": True}
    assert changed(scene_of(None, bsdf="diffuse")) == {}
    assert changed(scene_of(smoke(), bsdf="diffuse")) == {
        "media": True, "grids": True, "heterogeneous": True, "phases": ("isotropic",),
    }  # fmt: skip
    rich = medium(
        kind="homogeneous",
        sigma_t=[1, 2, 3],
        emission=[1, 1, 1],
        phase=blend(hg(0.1, "a"), blend(hg(0.2, "b"), Phase("c", "rayleigh"), 0.5, "inner"), 0.3),
    )
    assert changed(scene_of(rich)) == {
        "media": True, "spectral": True, "emissive": True, "phases": ("hg", "rayleigh"), "phase_leaves": 3,
        "phase_weights": 2,
    }  # fmt: skip
    flakes = Phase("p", "sggx", {"S": constant("S", [1, 1, 1, 0, 0, 0])})
    own = medium(kind="homogeneous", phase=flakes)
    assert changed(scene_of(own)) == {"media": True, "phases": ("sggx",), "microflakes": True}
    mixed = medium(kind="homogeneous", phase=blend(flakes, Phase("c", "rayleigh"), 0.3))
    assert "microflakes" not in changed(scene_of(mixed))
    assert scene_of(own).layout.extinctions == {"fog.sigma_t.value.value", SCALE, "S"}
    assert "S" not in scene_of(mixed).layout.extinctions


def test_masks_are_crossings():
    model = model_of([None])
    mask = {"type": "mask", "opacity": 0.5, "nested": {"type": "diffuse"}}
    masked = prb.scene.load_model_dict(
        {"type": "scene", "integrator": {"type": "path"}, "sensor": {"type": "perspective"},
         "light": {"type": "constant"}, "ball": {"type": "sphere", "bsdf": mask}}
    )  # fmt: skip
    model.shapes = masked.shapes
    assert changed(Scene(model)) == {"media": True, "crossings": True}


def test_other_integrators_know_no_media():
    """They have no parameters of media, nor arrays, nor a medium around the camera."""
    scene = scene_of(smoke(), medium("haze"), volumetric=False, around=medium("air"))
    plain = scene_of(None, None, volumetric=False)
    assert scene.layout.features == plain.layout.features and changed(scene) == {}
    assert list(prb.traverse(scene)) == list(prb.traverse(plain))
    assert scene.layout.sensor_media[0] == -1
    for name, array in plain.layout.arrays.items():
        np.testing.assert_array_equal(scene.layout.arrays[name], array)


# --- bounds of the extinction -----------------------------------------------------------------------------


def cells(scene, number=0):
    """The bounds of a medium's cells: (z, y, x, 2)."""
    row = scene.layout.arrays["media"][number]
    shape = row[[columns.CELLS_Z, columns.CELLS_Y, columns.CELLS_X]]
    first = row[columns.CELLS]
    found = scene.layout.arrays["majorants"][first : first + shape.prod()].reshape(*shape, 2)
    if scene.state.generation is not None:
        on_device = scene.state.arrays["majorants"].to_numpy()
        np.testing.assert_array_equal(on_device, scene.layout.arrays["majorants"])
    return found


def interpolate(values, unit, filter, wrap):
    """The values (Z, Y, X, C) at unit coordinates (n, 3), x first, written anew."""
    n = np.array(values.shape[2::-1])
    x = unit * n - (0 if filter == "nearest" else 0.5)
    below = np.floor(x).astype(int)
    f = np.zeros_like(x) if filter == "nearest" else x - below
    found = 0.0
    for corner in np.ndindex(2, 2, 2):
        i = below + corner
        if wrap == "clamp":
            i = np.clip(i, 0, n - 1)
        elif wrap == "repeat":
            i %= n
        else:
            i = np.where(i % (2 * n) < n, i % (2 * n), 2 * n - 1 - i % (2 * n))
        weight = np.prod(np.where(corner, f, 1 - f), axis=1)
        found = found + weight[:, None] * values[i[:, 2], i[:, 1], i[:, 0]]
    return found


def assert_bounds_hold(scene, filter="trilinear", wrap="clamp", seed=5, n=20000, flakes=None):
    """flakes: the name of S, if extinction depends on the direction."""
    params = prb.traverse(scene)
    grid_of_cells = cells(scene)
    count = np.array(grid_of_cells.shape[2::-1])
    rng = np.random.default_rng(seed)
    unit = rng.uniform(0, 1, (n, 3))
    unit[: n // 2] = np.round(unit[: n // 2] * count) / count  # the borders of cells, to rounding
    unit[: n // 2] += rng.choice([-5e-7, 0, 5e-7], (n // 2, 3))
    found = interpolate(params[SIGMA].astype(float), unit, filter, wrap) * params[SCALE]
    if flakes is not None:
        d = rng.normal(size=(n, 3))
        d /= np.linalg.norm(d, axis=1, keepdims=True)
        S = interpolate(params[flakes].astype(float), unit, filter, wrap)
        x, y, z = d.T
        mixed = x * y * S[:, 3] + x * z * S[:, 4] + y * z * S[:, 5]
        found *= np.sqrt(np.maximum((d * d * S[:, :3]).sum(axis=1) + 2 * mixed, 0))[:, None]
    for shift in (-1e-6, 1e-6):  # on a border, both cells
        i = np.clip(((unit + shift) * count).astype(int), 0, count - 1)
        low, high = grid_of_cells[i[:, 2], i[:, 1], i[:, 0]].T
        assert (low <= found.min(axis=1)).all() and (found.max(axis=1) <= high).all()


@pytest.mark.parametrize("filter", ["trilinear", "nearest"])
@pytest.mark.parametrize("wrap", ["clamp", "repeat", "mirror"])
@pytest.mark.parametrize("shape", [(9, 12, 7, 1), (1, 2, 5, 3), (3, 4, 140, 1)])
def test_bounds_hold_everywhere(filter, wrap, shape):
    scene = scene_of(smoke(shape, filter=filter, wrap=wrap))
    assert cells(scene).shape[:3] == tuple(min(-(-n // 4), MOST_CELLS) for n in shape[:3])
    assert_bounds_hold(scene, filter, wrap)


def test_bounds_are_tight():
    """Each is within the headroom of the voxels that the cell's points are interpolated from."""
    scene = scene_of(smoke((8, 8, 8, 1)))
    values = prb.traverse(scene)[SIGMA][..., 0]
    found = cells(scene)
    part = values[3:, :5, 3:]  # of the cell (1, 0, 1): voxels 3 to 8, 0 to 4, 3 to 8
    np.testing.assert_allclose(
        found[1, 0, 1], [part.min() * (1 - HEADROOM), part.max() * (1 + HEADROOM)], rtol=1e-6
    )
    empty = scene_of(smoke((16, 8, 8, 1)))
    assert (cells(empty)[0] == 0).all() and (cells(empty)[2:, ..., 1] > 0).all()


def test_homogeneous_media_have_one_cell():
    for kind in ("homogeneous", "heterogeneous"):
        fog = medium(kind=kind, sigma_t=[1.0, 3.0, 2.0], scale=2.0)
        scene = scene_of(smoke(), fog)
        assert cells(scene, 1).shape == (1, 1, 1, 2)
        np.testing.assert_allclose(cells(scene, 1)[0, 0, 0], [2 * (1 - HEADROOM), 6 * (1 + HEADROOM)])


@pytest.mark.parametrize("uploaded", [False, True])
def test_bounds_follow_updates(uploaded):
    """Also where tables for sampling stay, and back."""
    scene = scene_of(smoke())
    if uploaded:
        scene.device_arrays()
    params, rng = prb.traverse(scene), np.random.default_rng(7)
    start = params[SIGMA]
    params.update({SCALE: 30.0})
    assert_bounds_hold(scene)
    params.update({SIGMA: rng.uniform(0, 5, start.shape)})
    assert_bounds_hold(scene)
    record, values = scene.layout.parameters[SIGMA], scene.values.copy()
    record.of(values)[...] = rng.uniform(1, 20, start.shape)
    scene.set_values(values, tables=False)
    assert_bounds_hold(scene)
    params.update({SIGMA: np.zeros_like(start)})
    assert (cells(scene) == 0).all()
    one = np.zeros_like(start)
    one[1, 1, 1] = 1e-6  # one-sided differences at zero
    params.update({SIGMA: one})
    assert_bounds_hold(scene)
    assert cells(scene)[-1].max() == 0


def test_bounds_stay_under_small_changes():
    """And a large change of one voxel leaves those of cells that it does not reach."""
    scene = scene_of(smoke((8, 8, 16, 1)))
    params, before = prb.traverse(scene), cells(scene).copy()
    start = params[SIGMA]
    for factor in (1 + 0.9 * HEADROOM, 1 - 0.9 * HEADROOM, 1 - 0.5 * LOOSE):
        params.update({SIGMA: start * np.where(start > 1.5, factor, 1)})
        np.testing.assert_array_equal(cells(scene)[..., 1], before[..., 1])
    params.update({SIGMA: start / 2})
    loose = before[..., 1] > 0
    assert (cells(scene)[loose][:, 1] < 0.6 * before[loose][:, 1]).all()
    params.update({SIGMA: start})
    middle = cells(scene).copy()
    start[6, 2, 1] = 50
    params.update({SIGMA: start})
    differs = (cells(scene) != middle).any(axis=3)
    assert differs.sum() == 1 and differs[1, 0, 0]
    assert_bounds_hold(scene)


def test_nothing_else_moves_the_bounds():
    scene = scene_of(smoke())
    params = prb.traverse(scene)
    params.update({"fog.albedo.value.value": 0.2})
    (bounds,) = (d for d in scene.layout.dependents if isinstance(d, Majorants))
    assert not bounds.update(scene.parameter_values, scene.layout.arrays) and not bounds.tables


def matrices(shape, seed=0):
    """Random symmetric matrices without negative eigenvalues, as six numbers each."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(*shape, 3, 3)) * rng.uniform(0, 1, (*shape, 1, 3))
    S = root @ np.swapaxes(root, -1, -2)
    return S[..., [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]].astype(np.float32), S


@pytest.mark.parametrize("case", ["random", "round", "flat", "zero"])
def test_areas_of_flakes(case):
    """Against NumPy's eigenvalues."""
    six, S = matrices((500,))
    if case == "round":
        six, S = np.float32([0.3, 0.3, 0.3, 0, 0, 0]), 0.3 * np.eye(3)
    if case == "flat":
        six, S = np.float32([1, 1, 0, 0, 0, 0]), np.diag([1.0, 1.0, 0.0])
    if case == "zero":
        six, S = np.zeros(6, np.float32), np.zeros((3, 3))
    eigenvalues = np.linalg.eigvalsh(S)
    low, high = projected_areas(six)
    assert high == pytest.approx(np.sqrt(eigenvalues.max()), rel=1e-6, abs=1e-12)
    least = np.sqrt(max(eigenvalues.min(), 0))
    assert low <= least and low == pytest.approx(least, abs=4e-3 * high)


@pytest.mark.parametrize("uploaded", [False, True])
def test_bounds_hold_for_flakes(uploaded):
    """Along any direction, also where S lies askew to the density, and after updates."""
    rng = np.random.default_rng(3)
    S = grid("S", matrices((3, 2, 4))[0], low=-np.inf)
    flakes = Phase("fog.phase_function", "sggx", {"S": S})
    fog = medium(sigma_t=grid(SIGMA, rng.uniform(1, 3, (9, 12, 7))), phase=flakes)
    scene = scene_of(fog)
    if uploaded:
        scene.device_arrays()
    params = prb.traverse(scene)
    assert_bounds_hold(scene, flakes="S")
    params.update({"S": matrices((3, 2, 4), seed=1)[0] * 4})
    assert_bounds_hold(scene, flakes="S")
    params.update({SCALE: 7.0, "S": np.zeros((3, 2, 4, 6))})
    assert (cells(scene) == 0).all()


def test_windows_hold_what_counts():
    found = window(8, 2, filter="trilinear", wrap="clamp")
    assert [sorted(set(row)) for row in found.tolist()] == [[0, 1, 2, 3, 4], [3, 4, 5, 6, 7]]
    found = window(8, 2, filter="trilinear", wrap="repeat")
    assert [sorted(set(row)) for row in found.tolist()] == [[0, 1, 2, 3, 4, 7], [0, 3, 4, 5, 6, 7]]


# --- phase functions --------------------------------------------------------------------------------------


def test_blends_become_weights():
    inner = blend(hg(0.2, "b"), Phase("c", "rayleigh"), 0.5, "inner")
    fog = medium(kind="homogeneous", phase=blend(hg(0.1, "a"), inner, 0.3, "outer"))
    layout = scene_of(medium(), fog).layout
    row, rows = layout.arrays["media"][1], layout.arrays["volumes"]
    assert row[columns.PHASE] == 1 and row[columns.PHASES] == 3
    phases = layout.arrays["phases"][1:4]
    assert phases[:, scattering.KIND].tolist() == [KINDS["hg"], KINDS["hg"], KINDS["rayleigh"]]
    index = {
        name: int(np.flatnonzero(rows[:, volume.OFFSET] == layout.parameters[name].offset)[0])
        for name in ("outer.weight.value", "inner.weight.value", "a.g", "b.g")
    }
    outer, within = 2 * index["outer.weight.value"], 2 * index["inner.weight.value"]
    weights = phases[:, scattering.WEIGHTS : scattering.WEIGHTS + scattering.MAX_WEIGHTS].tolist()
    assert weights == [[outer + 1, -1, -1, -1], [outer, within + 1, -1, -1], [outer, within, -1, -1]]
    assert phases[:, scattering.VOLUME].tolist() == [index["a.g"], index["b.g"], -1]
    assert layout.weights == {"outer.weight.value", "inner.weight.value"}


def test_blends_that_are_too_deep():
    phase = Phase("p", "isotropic")
    for i in range(scattering.MAX_WEIGHTS + 1):
        phase = blend(phase, Phase("q", "isotropic"), 0.5, f"level{i}")
    with pytest.raises(prb.SceneError, match="level0: blends are nested more than 4 deep"):
        scene_of(medium(phase=phase))


def tabulated(values, name="tab"):
    return Phase(name, "tabphase", {"values": constant(f"{name}.values", values)})


def test_tables_of_phase_functions():
    fog = medium(phase=blend(tabulated([1, 1, 3], "a"), tabulated([0, 1, 0, 1], "b"), 0.5))
    scene = scene_of(fog)
    layout, params = scene.layout, prb.traverse(scene)
    assert layout.features.phase_values == 4 and layout.weights >= {"a.values", "b.values"}
    assert scene_of(medium(phase=tabulated(np.ones(5)))).layout.features.phase_values == 8
    first = layout.arrays["phases"][:, scattering.TABLE].tolist()
    table = layout.arrays["phase_tables"]
    for at, expected in zip(first, ([0, 1 / 3, 1], [0, 1 / 3, 2 / 3, 1]), strict=True):
        np.testing.assert_allclose(table[at : at + len(expected)], expected, rtol=1e-6)
    values = scene.values.copy()
    layout.parameters["a.values"].of(values)[...] = [3, 1, 1]
    scene.set_values(values, tables=False)  # it only decides where samples go
    np.testing.assert_allclose(table[first[0] :][:3], [0, 1 / 3, 1], rtol=1e-6)
    scene.update()
    np.testing.assert_allclose(table[first[0] :][:3], [0, 2 / 3, 1], rtol=1e-6)
    with pytest.raises(prb.ParameterError, match="a.values: a phase function has a value above zero"):
        params.update({"a.values": [0, 0, 0]})
    assert distribution(np.zeros(3, np.float32)).tolist() == [0, 0.5, 1]
