"""`prb check`: right gradients are not refuted, faults are, and what cannot be told is said."""

import json
import math

import numpy as np
import pytest
from helpers import lens_scenes, smooth_scenes
from helpers.bundled import SCENES
from helpers.material_scenes import DIFFUSE, RECTANGLE, image, rgb, scene_of
from helpers.planted_faults import ATTACHED, FAULTS, forget, planted
from scipy import stats

import prb
from prb.checking import verdicts
from prb.checking.verdicts import AGREES, REFUTED, UNDECIDED, holm, judge, seeds_needed, student_tail, weigh
from prb.cli.main import main

STEPS = np.array([0.1, 0.05, 0.025])
QUICK = ("zero factor dropped", "wrong sign of next-event estimation", "dropped cosine")
RARE = ("MIS weight left out", "another pixel's derivative", "random number used twice",
        "same random numbers at every vertex", "texel weights left out")  # need more samples  # fmt: skip


# ------------------------------------------------------------------------------------ verdicts


def synthetic(noise=0.0, fault=0.0, shared=1.0, jump=0.0, seeds=16, rng=None, c2=0.0):
    """Gradients and differences of a truth of 1. noise: of the estimates, `shared` by both up to that
    correlation; jump: noise like 1 / sqrt(h); c2: of the differences' error."""
    rng = np.random.default_rng(0) if rng is None else rng
    common = rng.normal(size=seeds)
    own = rng.normal(size=(seeds, len(STEPS)))
    g = 1 + noise * common + fault
    d = 1 + noise * shared * common[:, None] + noise * (1 - shared) * own[:, :1] + c2 * STEPS**2
    return g, d + jump * own / np.sqrt(STEPS)


def verdict(g, d, tolerance=0.02, **options):
    e = weigh(g, d, STEPS, **options)
    e.size = max(abs(e.gradient), abs(e.difference))
    return e, judge([e], significance=1e-3, tolerance=tolerance)[0][0]


def test_students_distribution():
    for n in (2, 7, 15, 99, 400):
        for t in (0.0, 0.3, 2.0, 5.0, 12.0, 40.0):
            assert student_tail(t, n) == pytest.approx(stats.t.sf(t, n), rel=1e-6, abs=1e-30)
        assert verdicts.student_quantile(0.025, n) == pytest.approx(stats.t.isf(0.025, n), rel=1e-6)


def test_holms_correction():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.5]), [0.04, 0.09, 0.09, 0.5])


def test_three_verdicts():
    assert verdict(*synthetic(noise=0.1))[1] == AGREES
    assert verdict(*synthetic(noise=0.1, fault=0.01))[1] == REFUTED
    assert verdict(*synthetic(noise=0.5, shared=0.0))[1] == UNDECIDED
    assert verdict(*synthetic(noise=0.1, fault=0.03), tolerance=0.05)[1] == REFUTED, "however tolerant"
    assert verdict(np.zeros(8), np.zeros((8, 3)))[1] == AGREES, "nothing depends on it"


def test_the_curvature_of_the_objective_is_no_fault():
    g, d = synthetic(noise=0.1, c2=5.0)
    assert abs((g - d[:, 2]).mean()) > 3e-3
    assert verdict(g, d)[1] == AGREES
    one_sided = 1 + np.outer(np.ones(16), 2 * STEPS + 5 * STEPS**2)
    assert verdict(np.ones(16), one_sided, central=False)[1] == AGREES


def test_rounding_is_no_fault():
    """A difference that is the same for all seeds, but within the rounding of the objective."""
    g, d = np.ones(16), 1 + 1e-3 * np.ones((16, 3))
    assert verdict(g, d)[1] == REFUTED
    assert verdict(g, d, rounding=1e-4)[1] == AGREES


def test_seeds_that_are_needed_suffice():
    """Nineteen times in twenty, were the standard error known."""
    rng, agreed = np.random.default_rng(5), 0
    for _ in range(40):
        e, found = verdict(*synthetic(noise=0.05, shared=0.0, rng=rng))
        more = seeds_needed(e, 0.02)
        assert found == UNDECIDED and 16 < more < 16 * 100
        agreed += verdict(*synthetic(noise=0.05, shared=0.0, seeds=more, rng=rng))[1] == AGREES
    assert agreed >= 30


def test_shapes_of_the_differences():
    assert not verdict(*synthetic(noise=0.1))[0].jumps
    assert verdict(*synthetic(noise=0.01, jump=0.05))[0].jumps
    g, d = synthetic(noise=0.01)
    e, found = verdict(g, d + 0.1 / STEPS)  # the objective itself jumps
    assert e.unsettled and found == REFUTED
    assert not verdict(*synthetic(noise=0.1, c2=5.0))[0].unsettled


def test_false_alarms_are_as_rare_as_stated():
    """Of 600 sets of 5 right components, at a significance of 5 %."""
    rng = np.random.default_rng(7)
    alarms = 0
    for _ in range(600):
        found = [weigh(*synthetic(noise=0.3, shared=0.5, rng=rng), STEPS) for _ in range(5)]
        alarms += any(v == REFUTED for v, _ in judge(found, significance=0.05, tolerance=0.02))
    assert alarms <= stats.binom.isf(1e-4, 600, 0.05)


# -------------------------------------------------------------------------------------- scenes


def prepared(name, size=12):
    scene = prb.load_file(name)
    scene.resize(size, size)
    return scene


@pytest.mark.parametrize("name", SCENES)
def test_no_false_alarm_quick(name):
    scene = prepared(name)
    before = scene.values.copy(), scene.model.integrator.rr_depth
    report = prb.check(scene, seeds=4, spp=2, steps=(0.1, 0.05), max_depth=4)
    assert not report.refuted, report
    assert sum(row.verdict == AGREES for row in report.rows) >= 0.9 * len(report.rows), report
    assert np.array_equal(scene.values, before[0]) and scene.model.integrator.rr_depth == before[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
def test_no_false_alarm(name):
    report = prb.check(prepared(name, 16), seeds=100, spp=4, significance=1e-3)
    assert not report.refuted, report
    assert all(row.verdict == AGREES for row in report.rows), report


def scene_for(what):
    """(scene, parameter) that a fault is looked for in."""
    if what in ("red", "black", "light"):
        scene = prepared("cornell-box")
        if what == "black":
            params = prb.traverse(scene)
            params.update({"red.reflectance.value": [0.0, 0.3, 0.0]})
        return scene, "light.emitter.radiance.value" if what == "light" else "red.reflectance.value"
    if what == "texels":
        surface = {"type": "diffuse", "reflectance": image()}
        return scene_of({"a": surface}, shapes={"a": RECTANGLE}), "a.*reflectance*"
    metal = {"type": "diffuse", "reflectance": rgb(0.1, 0.2, 0.8)}
    return scene_of({"a": {"type": "blendbsdf", "weight": 0.5, "a": DIFFUSE, "b": metal}}), "a.*weight*"


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in FAULTS]
)
def test_planted_faults_are_refuted(name, tmp_path, monkeypatch):
    scene, parameter = scene_for(FAULTS[name][3])
    seeds, spp = (32, 64) if name in RARE else (10, 4)
    options = dict(seeds=seeds, spp=spp, steps=(0.1, 0.05), max_depth=4, components=6)
    planted(name, tmp_path, monkeypatch)
    try:
        report = prb.check(scene, [parameter], **options)
    finally:
        forget()
    assert report.refuted, report


def scene_for_attached(what):
    """As `scene_for`, for a fault of attached replay."""
    if what == "lens":
        return lens_scenes.beside(), lens_scenes.ETA
    return smooth_scenes.load({"type": "roughconductor", "alpha": 0.3}), "floor.bsdf.alpha.value"


@pytest.mark.slow
@pytest.mark.parametrize(
    "what, name", [("metal", None), ("lens", None), *((row[3], name) for name, row in ATTACHED.items())]
)
def test_planted_faults_of_attached_replay_are_refuted(what, name, tmp_path, monkeypatch):
    """On the scene of the fault; without a fault (None) nothing is refuted."""
    scene, parameter = scene_for_attached(what)
    options = dict(seeds=16, spp=256, steps=(0.02, 0.01), adjoint=prb.AttachedReplay())
    if name is not None:
        planted(name, tmp_path, monkeypatch)
    try:
        report = prb.check(scene, [parameter], **options)
    finally:
        forget()
    assert report.refuted == (name is not None), report


@pytest.mark.slow
@pytest.mark.parametrize("what", ["red", "black", "light", "texels", "blend"])
def test_the_scenes_of_the_faults_are_right(what):
    scene, parameter = scene_for(what)
    report = prb.check(scene, [parameter], seeds=8, spp=4, max_depth=4, components=6)
    assert not report.refuted, report


def shadow():
    """A floor, half of it in the shadow of a square, under a distant light."""
    look = {"look_at": {"origin": [0, 0, 6], "target": [0, 0, 0], "up": [0, 1, 0]}}
    film = {"type": "hdrfilm", "width": 12, "height": 12, "rfilter": {"type": "box"}}
    return prb.load_dict({
        "type": "scene", "integrator": {"type": "path", "max_depth": 2},
        "sensor": {"type": "perspective", "fov": 30.0, "to_world": [look], "film": film},
        "floor": {"type": "rectangle", "to_world": [{"scale": 3}], "bsdf": DIFFUSE},
        "square": {"type": "rectangle", "to_world": [{"scale": 2}, {"translate": [-2.9, 0, 1.5]}],
                   "bsdf": {"type": "twosided", "a": DIFFUSE}},
        "sun": {"type": "directional", "direction": [0.5, 0.1, -1.0], "irradiance": rgb(1, 1, 1)},
    })  # fmt: skip


def test_a_shadow_that_moves_is_told_as_a_discontinuity():
    report = prb.check(shadow(), ["sun.direction"], seeds=8, spp=8, adjoint=prb.ReplayAdjoint())
    assert report.refuted
    assert any("a discontinuity is likely" in row.remark for row in report.rows), report


def test_large_parameters_are_checked_in_part():
    surface = {"type": "diffuse", "reflectance": image(np.full((8, 8, 3), 0.5, np.float32))}
    scene = scene_of({"a": surface}, shapes={"a": RECTANGLE})
    scene.resize(6, 6)
    report = prb.check(scene, seeds=3, spp=2, steps=(0.1, 0.05), max_depth=2, components=14)
    assert len(report.rows) == 14
    assert any("of its 192 components, chosen at random" in note for note in report.notes)
    assert report.rows[-1].label.count(",") in (0, 2)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"seeds": 2}, "seeds: expected a whole number of at least 3"),
        ({"tolerance": 0}, "tolerance: 0 is out of range"),
        ({"tolerance": math.nan}, "tolerance: nan is out of range"),
        ({"significance": 1.0}, "significance: 1.0 is out of range"),
        ({"steps": [0.1]}, "steps: .* give two or more"),
        ({"steps": [0.1, -0.1]}, "steps: .* above 0"),
        ({"adjoint": prb.FiniteDifference()}, "adjoint: finite differences cannot check themselves"),
        ({"spp": 0}, "spp: 0 is out of range"),
        ({"params": ["red.colour"]}, "'red.colour': matches no parameter"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(prb.ParameterError, match=message):
        prb.check(prepared("cornell-box"), **options)


def test_the_command(capsys):
    command = ["check", "furnace", "--param", "wall.reflectance.value", "--size", "4x4", "--seeds", "3"]
    assert main([*command, "--spp", "2", "--max-depth", "4"]) == 0
    assert "agrees" in capsys.readouterr().out
    assert main([*command, "--spp", "2", "--max-depth", "4", "--method", "tape", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["refuted"] is False and found["method"] == "tape" and found["rows"][0]["verdict"] == AGREES
    assert main([*command, "--tolerance", "0"]) == 2
    assert "tolerance" in capsys.readouterr().err


def test_the_status_of_a_refuted_gradient(capsys, monkeypatch):
    monkeypatch.setattr(prb.ReplayAdjoint, "backward", _wrong(prb.ReplayAdjoint.backward))
    command = ["check", "furnace", "--param", "wall.reflectance.value", "--size", "4x4", "--seeds", "4"]
    assert main([*command, "--spp", "2", "--max-depth", "4"]) == 1
    assert "refuted" in capsys.readouterr().out


def _wrong(backward):
    def scaled(self, *args, **options):
        result = backward(self, *args, **options)
        result.gradient = 1.01 * result.gradient
        return result

    return scaled
