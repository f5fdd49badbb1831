"""Priors against differences, grids and their coarse ones, and recoveries of a texture with both."""

import numpy as np
import pytest

import prb
from prb import priors, schedules
from prb.recover.coarse_to_fine import CoarseToFine
from prb.recover.grids import Grid, coarsened, grids, pulled_back, refined

TEXELS = "wall.bsdf.reflectance.data"
RNG = np.random.default_rng(5)


def grid_of(value, wraps, initial=None):
    return Grid("x", value.shape, tuple(wraps), np.zeros(value.shape) if initial is None else initial)


PRIORS = {
    "tv": priors.TotalVariation(0.7, epsilon=2.0),
    "smooth": priors.Smoothness(0.3),
    "l2": priors.L2(2.0),
}


@pytest.mark.quick
@pytest.mark.parametrize("shape, wraps", [
    ((4, 5, 3), (True, True)), ((4, 5, 3), (False, False)), ((3, 4, 1), (False, True)),
    ((1, 6, 3), (True, True)), ((2, 2, 1), (True, False)), ((3, 2, 4, 2), (True, False, False)),
], ids=str)  # fmt: skip
@pytest.mark.parametrize("kind", PRIORS)
def test_derivatives_are_differences(kind, shape, wraps):
    prior, value, step = PRIORS[kind], RNG.uniform(size=shape), 1e-6
    grid = grid_of(value, wraps, RNG.uniform(size=shape))
    _, derivative = prior(value, grid)
    differences = np.zeros(shape)
    for index in np.ndindex(shape):
        moved = np.zeros(shape)
        moved[index] = step
        ends = [prior(value + sign * moved, grid)[0] for sign in (1, -1)]
        differences[index] = (ends[0] - ends[1]) / (2 * step)
    assert np.abs(derivative).max() > 1e-3
    np.testing.assert_allclose(derivative, differences, rtol=1e-5, atol=1e-7)


@pytest.mark.quick
def test_closed_forms():
    """A ramp from 0 to 1 over the width, a step, and a constant."""
    n = 64
    ramp = np.broadcast_to((np.arange(n) / n)[None, :, None], (n, n, 3))
    tv, smooth = priors.TotalVariation(2.0, epsilon=1e-9), priors.Smoothness(2.0)
    open_, closed = grid_of(ramp, (False, False)), grid_of(ramp, (True, True))
    assert tv(ramp, open_)[0] == pytest.approx(2 * (n - 1) / n)  # the slope is 1
    assert smooth(ramp, open_)[0] == pytest.approx(2 * (n - 1) / n)
    assert tv(ramp, closed)[0] == pytest.approx(4 * (n - 1) / n)  # and back again across the border
    assert smooth(ramp, closed)[0] > 50
    step = np.where(np.arange(n) < n // 2, 0.0, 0.5)[:, None, None] * np.ones((n, n, 3))
    assert tv(step, open_)[0] == pytest.approx(1.0) and tv(step[..., :1], open_)[0] == pytest.approx(1.0)
    flat = np.full((n, n, 3), 0.3)
    for prior in (tv, smooth, priors.TotalVariation(1.0)):
        value, derivative = prior(flat, closed)
        assert value == 0 and not derivative.any()
    assert priors.L2(3.0)(flat, grid_of(flat, (), flat - 0.1))[0] == pytest.approx(0.03)


@pytest.mark.quick
def test_a_weight_keeps_its_meaning_in_another_resolution():
    def values(n):
        x = (np.arange(n) + 0.5) / n
        pixels = (0.5 + 0.3 * np.sin(2 * np.pi * x)[:, None] * np.cos(4 * np.pi * x)[None, :])[..., None]
        grid = grid_of(pixels, (True, True))
        return [kind(1.0)(pixels, grid)[0] for kind in (priors.TotalVariation, priors.Smoothness)]

    np.testing.assert_allclose(values(64), values(256), rtol=0.02)


@pytest.mark.quick
@pytest.mark.parametrize("wraps", [(True, True), (False, True), (False, False)], ids=str)
@pytest.mark.parametrize("coarse", [(5, 3, 2), (1, 4, 2), (9, 11, 2), (2, 11, 2)], ids=str)
def test_pulling_back_is_the_transpose_of_refining(coarse, wraps):
    fine = (9, 11, 2)
    x, y = RNG.uniform(size=coarse), RNG.uniform(size=fine)
    found = refined(x, fine, wraps)
    assert found.shape == fine and x.min() <= found.min() and found.max() <= x.max()
    back = pulled_back(y, coarse, wraps)
    assert back.shape == coarse and (found * y).sum() == pytest.approx((x * back).sum(), rel=1e-12)
    np.testing.assert_allclose(refined(np.full(coarse, 0.4), fine, wraps), 0.4, rtol=1e-14)
    means = coarsened(y, coarse, wraps)
    assert y.min() <= means.min() and means.max() <= y.max()
    if coarse == fine:
        assert (found == x).all() and (means == y).all()


@pytest.mark.quick
def test_refining_interpolates_between_texel_centres():
    x = np.array([0.0, 1.0])[:, None]
    assert refined(x, (4, 1), (False,))[:, 0].tolist() == [0, 0.25, 0.75, 1]
    assert refined(x, (4, 1), (True,))[:, 0].tolist() == [0.25, 0.25, 0.75, 0.75]


@pytest.mark.quick
def test_a_replaced_value_keeps_the_schedule_but_not_the_moments(tmp_path):
    opt = prb.Adam(schedules.Step(1.0, 0.1, 2), {"x": [0.0, 0.0]})
    for _ in range(3):
        opt.step({"x": [1.0, -1.0]})
    opt.replace("x", np.zeros(3))
    assert opt.rate("x") == pytest.approx(0.1)
    opt.step({"x": [2.0, -2.0, 0.0]})
    np.testing.assert_allclose(opt["x"], [-0.1, 0.1, 0])  # the first step of Adam is the rate
    opt.save(tmp_path / "a.npz")
    again = prb.Adam(schedules.Step(1.0, 0.1, 2))
    again.load(tmp_path / "a.npz")
    assert again.rate("x") == pytest.approx(0.01)
    for each in (opt, again):
        each.step({"x": [1.0, 1.0, 1.0]})
    assert (opt["x"] == again["x"]).all()
    opt["x"] = np.zeros(2)
    assert opt.rate("x") == 1.0


# In a scene.


def scene_of(texels, wrap="clamp", size=12):
    """A wall with a texture, of which the view misses a part."""
    return prb.load_dict({
        "type": "scene", "integrator": {"type": "path", "max_depth": 2},
        "sensor": {
            "type": "perspective", "fov": 50, "sampler": {"type": "independent", "sample_count": 4},
            "to_world": [{"look_at": {"origin": [1, 0, 3], "target": [1, 0, 0], "up": [0, 1, 0]}}],
            "film": {"type": "hdrfilm", "width": size, "height": size, "rfilter": {"type": "box"}},
        },
        "wall": {"type": "rectangle", "to_world": [{"scale": 1.4}], "bsdf": {
            "type": "diffuse",
            "reflectance": {"type": "bitmap", "data": texels, "raw": True, "wrap_mode": wrap}}},
        "sky": {"type": "envmap", "bitmap": np.ones((2, 4, 3), np.float32)},
    })  # fmt: skip


TRUE = np.full((32, 32, 3), 0.7)
TRUE[8:24, 12:28] = (0.2, 0.3, 0.1)


@pytest.fixture(scope="module")
def target():
    return prb.render(scene_of(TRUE), spp=512, seed=9)


def recovered(target, start=0.5, wrap="clamp", optimizer=None, **options):
    scene = scene_of(np.full(TRUE.shape, start), wrap)
    optimizer = prb.Adam(0.05) if optimizer is None else optimizer
    return prb.optimize(scene, TEXELS, target, optimizer=optimizer, spp=4, **options)


def error(found):
    """Mean squared error where the view reaches."""
    return float(((found.params[TEXELS] - TRUE)[found.seen[TEXELS] > 0] ** 2).mean())


def test_priors_take_salt_and_pepper_out_of_a_texture(target):
    without = recovered(target, iterations=50)
    for prior in (priors.TotalVariation(1e-3), priors.Smoothness(1e-4)):
        found = recovered(target, iterations=50, priors={"wall.*": prior})
        assert error(found) < 0.45 * error(without), prior
        assert found.prior > 0 and without.prior is None
    held = recovered(target, iterations=50, priors={TEXELS: [priors.L2(1e3), priors.TotalVariation(0.0)]})
    assert np.abs(held.params[TEXELS] - 0.5).max() < 0.1 < np.abs(without.params[TEXELS] - 0.5).max()


def test_one_step_along_loss_and_prior(target):
    """The derivatives of both are added, and losses are those of the pictures alone."""

    class Falling(priors.Prior):
        def value_and_derivative(self, value, grid):
            assert grid.wraps == (False, False) and (grid.initial == 0.5).all()
            return 7.0, np.full(value.shape, 1.0)

    options = dict(iterations=1, optimizer=prb.SGD(0.1))
    without = recovered(target, **options)
    found = recovered(target, **{**options, "optimizer": prb.SGD(0.1)}, priors={"*": Falling(2.0)})
    np.testing.assert_allclose(without.params[TEXELS] - found.params[TEXELS], 0.2, rtol=1e-6)
    assert found.losses == without.losses and found.prior == 14.0
    assert repr(Falling(2.0)) == "Falling(weight=2.0)"


def test_neighbours_across_the_border_of_a_texture_that_repeats():
    for wrap, expected in (("repeat", (True, True)), ("mirror", (False, False)), ("clamp", (False, False))):
        scene = scene_of(TRUE, wrap)
        params = prb.traverse(scene)
        known = grids(scene, {name: params[name] for name in (TEXELS, "sky.data", "sky.scale")})
        assert known[TEXELS].wraps == expected
        assert known["sky.data"].wraps == (False, True) and known["sky.scale"].wraps == ()


def test_how_much_texels_were_seen(target):
    scene = scene_of(np.full(TRUE.shape, 0.5))
    by_hand = np.zeros(TRUE.shape[:2])
    kept = []
    found = prb.optimize(
        scene, TEXELS, target, optimizer=prb.SGD(1.0), spp=4, iterations=3,
        on_iteration=lambda k: kept.append(prb.traverse(scene)[TEXELS].astype(float)),
    )  # fmt: skip
    kept.append(found.params[TEXELS])
    for before, after in zip(kept, kept[1:], strict=False):
        by_hand += ((before - after) ** 2).sum(axis=2)  # a step of SGD is the derivative
    np.testing.assert_allclose(found.seen[TEXELS], by_hand, rtol=1e-2, atol=1e-11)
    unseen = found.seen[TEXELS] == 0
    assert unseen[:, :8].all() and not unseen[12:20, 16:].any()  # the view begins right of the left border
    assert (found.params[TEXELS][unseen] == 0.5).all()


def test_coarse_grids_come_first(target):
    """The scene's texture keeps its size, and is that of the grid of each iteration."""
    opt = prb.Adam(schedules.Cosine(0.05, 30))
    shapes, rates = [], []
    scene = scene_of(np.full(TRUE.shape, 0.5))

    def on_iteration(k):
        shapes.append(opt[TEXELS].shape)
        rates.append(opt.rate(TEXELS))
        expected = refined(opt[TEXELS], TRUE.shape, (False, False))
        np.testing.assert_allclose(prb.traverse(scene)[TEXELS], expected, rtol=1e-6)

    found = prb.optimize(
        scene, TEXELS, target, spp=4, iterations=30, optimizer=opt, on_iteration=on_iteration,
        coarse_to_fine={"wall.*": [4, 8, 99]},
    )  # fmt: skip
    assert shapes == [(4, 4, 3)] * 10 + [(8, 8, 3)] * 10 + [(32, 32, 3)] * 10
    np.testing.assert_allclose(rates, [schedules.Cosine(0.05, 30)(k) for k in range(30)])
    assert found.params[TEXELS].shape == found.initial[TEXELS].shape == TRUE.shape
    assert np.mean(found.losses[-5:]) < 0.2 * found.losses[0]


def test_texels_that_are_never_seen_follow_those_that_are(target):
    without = recovered(target, iterations=10)
    unseen = without.seen[TEXELS] == 0
    assert unseen.any() and (without.params[TEXELS][unseen] == 0.5).all()
    for options in ({"coarse_to_fine": {TEXELS: [4]}}, {"priors": {TEXELS: priors.TotalVariation(1e-3)}}):
        found = recovered(target, iterations=10, **options)
        assert np.abs(found.params[TEXELS][unseen] - 0.5).max() > 0.05


def test_resumes_bit_for_bit_across_refinements(target, tmp_path):
    def run(name, iterations, **more):
        return recovered(
            target, wrap="repeat", iterations=iterations, every=1, checkpoint=tmp_path / f"{name}.npz",
            optimizer=prb.Adam(schedules.Cosine(0.05, 12)),
            coarse_to_fine={TEXELS: [(0, 3), (4, 7), (8, 16)]},
            priors={TEXELS: [priors.TotalVariation(1e-3), priors.L2(0.1)]}, **more,
        )  # fmt: skip

    whole = run("whole", 12)
    for part in (2, 4, 5, 8, 11, 12):
        found = run("parts", part, resume=True)
    assert found.losses == whole.losses and found.prior == whole.prior
    assert (found.params[TEXELS] == whole.params[TEXELS]).all()
    assert (found.seen[TEXELS] == whole.seen[TEXELS]).all()
    with np.load(tmp_path / "whole.npz") as a, np.load(tmp_path / "parts.npz") as b:
        assert sorted(a.files) == sorted(b.files) and all((a[key] == b[key]).all() for key in a.files)
    for more, key in (({"priors": None}, "priors"), ({"coarse_to_fine": {TEXELS: [3]}}, "coarse_to_fine")):
        options = {"priors": {TEXELS: priors.TotalVariation(1.0)}, "coarse_to_fine": {}, **more}
        with pytest.raises(prb.ParameterError, match=f"is of another run \\({key} "):
            recovered(
                target, wrap="repeat", iterations=12, checkpoint=tmp_path / "whole.npz", resume=True,
                optimizer=prb.Adam(schedules.Cosine(0.05, 12)),
                **({**options, "coarse_to_fine": {TEXELS: [(0, 3), (4, 7), (8, 16)]}}
                   if key == "priors" else
                   {**options, "priors": {TEXELS: [priors.TotalVariation(1e-3), priors.L2(0.1)]}}),
            )  # fmt: skip


def test_an_interrupt_while_a_grid_is_coarse_leaves_whole_values(target, tmp_path):
    def stop(k):
        if k == 3:
            raise KeyboardInterrupt

    found = recovered(
        target, iterations=8, coarse_to_fine={TEXELS: [4, 32]}, on_iteration=stop,
        checkpoint=tmp_path / "a.npz",
    )  # fmt: skip
    assert len(found.losses) == 3 and found.params[TEXELS].shape == TRUE.shape and found.seen[TEXELS].any()


@pytest.mark.parametrize("options, message", [
    (dict(priors={TEXELS: 0.1}), "priors: wall.bsdf.reflectance.data: 0.1 is no prior; give one of"),
    (dict(priors=priors.L2(1.0)), "priors: expected patterns with priors, got L2"),
    (dict(priors={"floor*": priors.L2(1.0)}), "priors: floor* is not optimised; those are wall"),
    (dict(coarse_to_fine={TEXELS: []}), "[] is no list of resolutions"),
    (dict(coarse_to_fine={TEXELS: 16}), "16 is no list of resolutions"),
    (dict(coarse_to_fine={TEXELS: [4, (2, 8)]}), "is no list of resolutions"),
    (dict(coarse_to_fine={TEXELS: [4, 8.5]}), "is no list of resolutions"),
    (dict(coarse_to_fine={TEXELS: [8, 4]}), "the resolutions are 8, 4; let them grow"),
    (dict(coarse_to_fine={TEXELS: [0, 4]}), "the resolutions are 0, 4; let them grow"),
    (dict(coarse_to_fine={TEXELS: [(1, 4)]}), "the levels begin at iterations 1; begin at 0"),
    (dict(coarse_to_fine={TEXELS: [(0, 4), (9, 8), (5, 9)]}), "begin at iterations 0, 9, 5"),
    (dict(coarse_to_fine=[4]), "coarse_to_fine: expected patterns with resolutions, got list"),
], ids=lambda value: "" if isinstance(value, dict) else value)  # fmt: skip
def test_mistakes_are_one_line(target, options, message):
    with pytest.raises(prb.ParameterError) as caught:
        recovered(target, iterations=1, **options)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_mistakes_of_priors():
    for make, message in (
        (lambda: priors.TotalVariation(-1), "priors: weight: -1 is out of range"),
        (lambda: priors.Smoothness("much"), "priors: weight: 'much' is out of range"),
        (lambda: priors.L2(np.inf), "priors: weight: inf is out of range"),
        (lambda: priors.TotalVariation(1, epsilon=0), "priors: epsilon: 0 is out of range"),
    ):
        with pytest.raises(prb.ParameterError, match=message):
            make()
    colour = Grid("red", (3,), (), np.zeros(3))
    with pytest.raises(prb.ParameterError, match="TotalVariation: red is no grid of texels"):
        priors.by_name({"red": priors.TotalVariation(1)}, ["red"], {"red": colour})
    with pytest.raises(prb.ParameterError, match="coarse_to_fine: red is no grid of texels"):
        CoarseToFine({"red": [4]}, {"red": colour}, 9)

    class Wrong(priors.Prior):
        def value_and_derivative(self, value, grid):
            return 0.0, np.zeros(2)

    with pytest.raises(prb.ParameterError, match=r"Wrong: its derivative has shape \(2,\), red \(3,\)"):
        Wrong(1.0)(np.zeros(3), colour)
