"""Every phase function of the registry, and the weighted sum of them that a medium has: samples follow the
density, the integral is 1, values are Mitsuba's, derivatives are right.

Statistical tests use fixed seeds and ask for a p-value above 1e-5.
"""

import numpy as np
import pytest
from helpers.phases import (
    Leaf,
    Sphere,
    arrays,
    directions,
    evaluate,
    jvp,
    pdf,
    sample,
    scattering_eval,
    scattering_pull_back,
    scattering_push_forward,
    scattering_sample,
    scattering_tape,
    uniform,
    vjp,
    width,
)

from prb.kernels import phase

P_MIN = 1e-5
N = 2**15
HG = [0.0, 1e-4, -1e-3, 0.3, -0.6, 0.8, 0.97, -0.999]
SGGX = [
    (0.3, 0.3, 0.3, 0, 0, 0),
    (0.5, 0.8, 1, 0.1, 0.05, -0.2),
    (1, 0.04, 1, 0, 0, 0),  # fibres along y
    (0.02, 0.03, 0.9, 0.005, -0.01, 0.02),
]
CASES = [("isotropic", ()), ("rayleigh", ()), *(("hg", (g,)) for g in HG), *(("sggx", S) for S in SGGX)]
AXES = np.array([[0, 0, 1.0], [0, 0, -1.0], [0.6, -0.48, 0.64], [-1.0, 0, 0]])
every_case = pytest.mark.parametrize(("name", "p"), CASES)


def test_the_registry():
    for name, model in phase.REGISTRY.items():
        assert phase.of(name) is model and list(phase.REGISTRY)[phase.KINDS[name]] == name
        assert (model.PARAMETER is None) == (phase.reads(name) == phase.NOTHING)


@every_case
def test_the_integral_is_1(name, p):
    for axis in AXES[1:3]:
        cells = Sphere(axis)
        total = cells.expected(evaluate(name, p, axis, cells.points)).sum()
        assert total == pytest.approx(1, abs=1e-5)


@every_case
def test_samples_follow_the_density(chi_squared, name, p):
    for axis in AXES:
        wo, density = sample(name, p, axis, uniform(N))
        assert np.isfinite(wo).all() and (density > 0).all()
        np.testing.assert_allclose(np.linalg.norm(wo, axis=1), 1, atol=1e-6)
        np.testing.assert_allclose(density, pdf(name, p, axis, wo), rtol=1e-6)
        cells = Sphere(axis)
        expected = cells.expected(evaluate(name, p, axis, cells.points))
        assert chi_squared(cells.counts(wo), N * expected) > P_MIN


def pairs(n, seed):
    """Directions wi and wo (n, 3), a third of them close to deflections of 0 and of 180 degrees."""
    wi, wo = directions(n, seed), directions(n, seed + 1)
    near = 0.05 * np.random.default_rng(seed + 2).random((n, 1)) * wo
    wo[::3] = (near - wi)[::3]
    wo[1::3] = (near + wi)[1::3]
    return wi, wo / np.linalg.norm(wo, axis=1, keepdims=True)


@every_case
def test_derivatives(name, p):
    """By the numbers and the directions: vjp and jvp agree, and both with central differences."""
    n, w = 200, width(name)
    rng = np.random.default_rng(4)
    wi, wo = pairs(n, 5)
    df, dp, dwi, dwo = (rng.standard_normal((n, k)) for k in (1, w, 3, 3))
    apart = np.linalg.norm(wi + wo, axis=1, keepdims=True)  # half vectors turn quickly where this is small
    dwi = apart * (dwi - wi * (wi * dwi).sum(1)[:, None])
    dwo = apart * (dwo - wo * (wo * dwo).sum(1)[:, None])
    back = vjp(name, p, wi, wo, df)
    there = jvp(name, p, wi, wo, dp, dwi, dwo)
    terms = np.concatenate([g * d for g, d in zip(back, (dp, dwi, dwo), strict=True)], axis=1)
    difference = np.abs(terms.sum(axis=1) - there * df[:, 0])
    assert np.all(difference <= 1e-10 * np.abs(terms).sum(axis=1) + 1e-12)

    def slope(h):
        f = {
            k: evaluate(name, np.array(p) + k * h * dp, wi + k * h * dwi, wo + k * h * dwo)
            for k in (-2, -1, 1, 2)
        }
        return (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * h)

    h = 1e-4 * (1 - abs(p[0])) if name == "hg" else 1e-4 * min([0.1, *p[:3]])
    fine = slope(h / 2)
    np.testing.assert_allclose(there, fine, rtol=1e-6, atol=1e-9 + 1e-12 / h)


# Special numbers


@pytest.mark.parametrize("g", [0.0, -0.0, 1e-7, -1e-4, 1e-3])
def test_hg_with_small_g(g):
    """It is 1 / (4 pi) (1 + 3 g cos) to first order, and so are its derivative and its samples."""
    wi, wo = pairs(100, 11)
    cosine = -(wi * wo).sum(axis=1)
    f = evaluate("hg", (g,), wi, wo, np.float32)
    np.testing.assert_allclose(f * 4 * np.pi, 1 + 3 * g * cosine, atol=1e-6 + 8 * g * g)
    by_g = vjp("hg", (g,), wi, wo, np.ones(100), np.float32)[0][:, 0]
    np.testing.assert_allclose(by_g * 4 * np.pi, 3 * cosine, atol=1e-5 + 20 * abs(g))
    u = uniform(1000)
    w, _density = sample("hg", (g,), AXES[2], u)
    expected = 1 - 2 * u[:, 0] if g < 0 else 2 * u[:, 0] - 1
    np.testing.assert_allclose(-(w @ AXES[2]), expected, atol=1e-6 + 2 * abs(g))


@pytest.mark.parametrize("g", [0.9999, -0.99999, 0.999999, 1.0, -1.0, 1.5])
def test_hg_with_g_at_its_ends(g):
    """Finite, and half of the samples are within the angle that the distribution function says."""
    wi, wo = pairs(100, 11)
    wo[:4] = -wi[0], wi[1], -wi[2], wi[3]
    assert np.isfinite(evaluate("hg", (g,), wi, wo, np.float32)).all()
    assert all(np.isfinite(x).all() for x in vjp("hg", (g,), wi, wo, np.ones(100), np.float32))
    a = min(abs(g), 1 - 2.0**-20)
    median = (1 - a) * np.sqrt(2 + a)  # of the distance from the peak: the inverted function at u = 1/2
    for axis in AXES:
        w, density = sample("hg", (g,), axis, uniform(N))
        assert np.isfinite(w).all() and np.isfinite(density).all() and (density > 0).all()
        inside = (np.linalg.norm(w + np.sign(g) * axis, axis=1) < median).mean()
        rounding = 1e-7 / median  # of directions
        assert abs(inside - 0.5) < 2.5 / np.sqrt(N) + rounding


def test_sggx_of_a_sphere_is_isotropic():
    wi, wo = pairs(200, 12)
    for size in (1.0, 0.01):
        f = evaluate("sggx", (size, size, size, 0, 0, 0), wi, wo)
        np.testing.assert_allclose(f, 1 / (4 * np.pi), rtol=1e-7)


@pytest.mark.parametrize(
    "S", [(0, 0, 0, 0, 0, 0), (1, 1, 0, 0, 0, 0), (1, 0, 0, 0, 0, 0), (1, 1, 1, 1, 1, 1)]
)
def test_flat_sggx_is_finite(S):
    wi, wo = pairs(200, 12)
    wi[:3], wo[:3] = [0, 0, 1], [[0, 0, -1], [0, 0, 1], [1, 0, 0]]
    assert np.isfinite(evaluate("sggx", S, wi, wo, np.float32)).all()
    assert np.isfinite(vjp("sggx", S, wi, wo, np.ones(200), np.float32)[0]).all()
    for axis in wi[:10]:
        assert all(np.isfinite(x).all() for x in sample("sggx", S, axis, uniform(100)))


@every_case
def test_reciprocity(name, p):
    """f(a, b) = f(b, a); of microflakes with the area that is seen from the first direction as a factor."""
    a, b = pairs(500, 13)
    there, back = evaluate(name, p, a, b), evaluate(name, p, b, a)
    if name == "sggx":
        there, back = area(p, a) * there, area(p, b) * back
    np.testing.assert_allclose(there, back, rtol=1e-9)


def area(S, w):
    """The projected area of microflakes."""
    xx, yy, zz, xy, xz, yz = S
    matrix = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    return np.sqrt(np.einsum("ni,ij,nj->n", w, matrix, w))


# The sum of them

VALUES = (0.2, 0.0, 0.0, 0.7, 1.5)
MEDIA = {
    "hg": ([Leaf("hg", (0.4,))], ()),
    "sggx": ([Leaf("sggx", SGGX[1])], ()),
    "isotropic": ([Leaf("isotropic")], ()),
    "tabphase": ([Leaf("tabphase", VALUES)], ()),
    "two values": ([Leaf("tabphase", (1.0, 3.0))], ()),
    "many values": ([Leaf("tabphase", tuple(1.0 + i % 7 for i in range(40)))], ()),
    "blend": ([Leaf("hg", (0.7,), ((0, 1),)), Leaf("hg", (-0.3,), ((0, 0),))], (0.3,)),
    "nested": (
        [
            Leaf("sggx", SGGX[1], ((0, 1),)),
            Leaf("tabphase", VALUES, ((0, 0), (1, 1))),
            Leaf("rayleigh", (), ((0, 0), (1, 0), (2, 1))),
            Leaf("hg", (0.5,), ((0, 0), (1, 0), (2, 0))),
        ],
        (0.6, 0.7, 0.4),
    ),
    "weight zero": ([Leaf("tabphase", VALUES, ((0, 1),)), Leaf("hg", (0.5,), ((0, 0),))], (0.0,)),
    "weight one": ([Leaf("isotropic", (), ((0, 1),)), Leaf("hg", (0.5,), ((0, 0),))], (1.0,)),
}
every_medium = pytest.mark.parametrize("name", MEDIA)


def reference(name, params, wi, wo):
    """The phase function from its definition, in double precision."""
    leaves, weights = MEDIA[name]
    params, total, at = np.asarray(params, float), 0.0, len(weights)
    for leaf in leaves:
        numbers = params[at : at + len(leaf.numbers)]
        at += len(leaf.numbers)
        w = np.prod([1 - params[t] if inverted else params[t] for t, inverted in leaf.weights])
        if leaf.name == "tabphase":
            nodes = np.linspace(-1, 1, len(numbers))
            integral = 2 * np.pi * np.trapezoid(numbers, nodes)
            f = np.interp(-(wi * wo).sum(axis=1), nodes, numbers) / integral
        else:
            f = evaluate(leaf.name, numbers, wi, wo)
        total = total + w * f
    return total


@every_medium
def test_values(name):
    a = arrays(*MEDIA[name])
    (wi, wo), (_, wo_light) = pairs(300, 21), pairs(300, 24)
    light, value = scattering_eval(a, wi, wo_light, wo)
    for found, w in ((light, wo_light), (value, wo)):
        np.testing.assert_allclose(found, reference(name, a.params, wi, w), rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("min_selection", [0.0, 0.05])
@every_medium
def test_samples_of_a_medium(chi_squared, name, min_selection):
    a = arrays(*MEDIA[name], min_selection)
    for axis in AXES[[0, 2]]:
        cells = Sphere(axis)
        _light, wo, density = scattering_sample(a, axis, cells.points[:1], uniform(N))
        assert (density > 0).all()
        there = scattering_sample(a, axis, wo, uniform(N, 2))[0]
        np.testing.assert_allclose(there, density, rtol=1e-4)  # whichever leaf is selected
        if min_selection == 0:
            np.testing.assert_allclose(scattering_eval(a, axis, wo, wo)[1], density, rtol=1e-4)
        density = scattering_sample(a, axis, cells.points, uniform(len(cells.points)))[0]
        expected = cells.expected(density)
        assert expected.sum() == pytest.approx(1, abs=2e-3)
        assert chi_squared(cells.counts(wo), N * expected / expected.sum()) > P_MIN


@every_medium
def test_derivatives_of_a_medium(name):
    """Reverse and forward mode, Taichi's own reverse mode, and differences of the definition."""
    a, n = arrays(*MEDIA[name]), 100
    wi, wo, wo_light = (directions(n, seed) for seed in (31, 32, 33))
    rng = np.random.default_rng(34)
    grads, tangents = rng.standard_normal((n, 2)), rng.standard_normal(len(a.params))
    back = scattering_pull_back(a, wi, wo_light, wo, grads)
    there = (scattering_push_forward(a, wi, wo_light, wo, tangents) * grads).sum(axis=1)
    scale = np.abs(back * tangents).sum(axis=1)
    assert np.all(np.abs((back * tangents).sum(axis=1) - there) <= 1e-5 * scale + 1e-7)
    tape = scattering_tape(a, wi, wo_light, wo, grads)
    tolerance = 1e-5 * np.abs(back).sum(axis=0).max()
    np.testing.assert_allclose(back.sum(axis=0), tape, rtol=1e-4, atol=tolerance)

    h = 1e-5
    for k in range(len(a.params) if name != "isotropic" else 0):
        e = h * np.eye(len(a.params))[k]
        light, value = (
            (reference(name, a.params + e, wi, w) - reference(name, a.params - e, wi, w)) / (2 * h)
            for w in (wo_light, wo)
        )
        difference = grads[:, 0] * light + grads[:, 1] * value
        tolerance = 1e-4 * np.abs(difference).max() + 1e-7
        np.testing.assert_allclose(back[:, k], difference, rtol=2e-3, atol=tolerance)


@pytest.mark.parametrize("name", ["weight zero", "tabphase"])
def test_what_is_zero_is_sampled_where_it_is_differentiated(name):
    """Samples estimate an integral's derivative by every number, although a weight or values are zero."""
    a = arrays(*MEDIA[name], 0.05)
    axis, n = AXES[2], 2**16
    cells = Sphere(axis)

    def gradients(w, weights):
        grads = np.zeros((len(w), 2))
        grads[:, 1] = weights * (1 + w @ [0.3, 0.5, -0.9]) ** 2
        wi = np.repeat(axis[None], len(w), axis=0)
        return scattering_pull_back(a, wi, wi, w, grads)

    expected = gradients(cells.points, cells.solid_angle).sum(axis=0)
    _light, wo, density = scattering_sample(a, axis, axis, uniform(n))
    found = gradients(wo, 1 / density)
    error = 5 * found.std(axis=0) / np.sqrt(n)
    assert np.all(error < 0.2 * np.abs(expected).max())
    assert np.all(np.abs(found.mean(axis=0) - expected) <= error + 1e-3 * np.abs(expected).max())


# Mitsuba

PLUGINS = {
    "isotropic": {"type": "isotropic"},
    "rayleigh": {"type": "rayleigh"},
    "hg": {"type": "hg", "g": 0.4},
    "tabphase": {"type": "tabphase", "values": "0.2, 0, 0, 0.7, 1.5"},
    "two values": {"type": "tabphase", "values": "1, 3"},
    "sggx": {"type": "sggx"},
    "blend": {
        "type": "blendphase", "weight": 0.3, "a": {"type": "hg", "g": 0.7}, "b": {"type": "hg", "g": -0.3},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", PLUGINS)
def test_values_are_mitsubas(name):
    mitsuba = pytest.importorskip("mitsuba")
    mitsuba.set_variant("scalar_rgb")
    plugin = dict(PLUGINS[name])
    if name == "sggx":
        grid = mitsuba.TensorXf(np.array(SGGX[1], np.float32).reshape(1, 1, 1, 6))
        plugin["S"] = {"type": "gridvolume", "data": grid, "raw": True}
    plugin = mitsuba.load_dict(plugin)
    wi, wo = pairs(100, 41)
    theirs = np.zeros(len(wi))
    for i in range(len(wi)):
        point = mitsuba.MediumInteraction3f()
        point.wi, point.p, point.t = mitsuba.Vector3f(wi[i]), mitsuba.Point3f(0.5, 0.5, 0.5), 1.0
        point.sh_frame = mitsuba.Frame3f(point.wi)
        context = mitsuba.PhaseFunctionContext(None)
        theirs[i] = plugin.eval_pdf(context, point, mitsuba.Vector3f(wo[i]))[1]
    leaves, weights = MEDIA.get(name, ([Leaf(name)], ()))
    ours = scattering_eval(arrays(leaves, weights), wi, wo, wo)[1]
    np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=1e-6)
