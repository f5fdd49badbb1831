"""`plastic`, `roughplastic` and `phong`: Mitsuba's values, closed forms, how they are read.

Their sampling, energy and derivatives are tested with all other models in test_bsdf.py.
"""

import numpy as np
import pytest
from helpers.bsdfs import charts, direction, evaluate, jvp, pdf, random_directions, row, sample, vjp

import prb
from prb.kernels.bsdf import plastic, roughplastic
from prb.scene.plugins import rough_coat

COLOURS = {"diffuse_reflectance": [0.1, 0.5, 0.9], "specular_reflectance": [0.9, 0.6, 0.3]}
ETA = 1.49 / 1.000277
FILM = {"type": "hdrfilm", "width": 4, "height": 4}


def load(bsdf):
    """The model that a scene's bsdf becomes."""
    ball = {"type": "sphere", "bsdf": bsdf}
    return prb.load_dict({"type": "scene", "ball": ball, "camera": {"type": "perspective", "film": FILM}})


def read(bsdf):
    """A scene's bsdf as (name in the registry, row of parameters and constants)."""
    model = load(bsdf).model.shapes[0].bsdf
    return model.kind, row(model.kind, {k: t.value for k, t in model.textures.items()}, **model.constants)


def rgb(value):
    return {"type": "rgb", "value": value}


# Mitsuba


@pytest.fixture(scope="module")
def mi():
    mitsuba = pytest.importorskip("mitsuba")
    mitsuba.set_variant("scalar_rgb")
    return mitsuba


def mitsubas(mi, bsdf, wi, wo):
    """Its values (n, 3) and densities (n,)."""
    model, context, si = mi.load_dict(bsdf), mi.BSDFContext(), mi.SurfaceInteraction3f()
    values, densities = np.zeros((len(wi), 3)), np.zeros(len(wi))
    for i, (a, b) in enumerate(zip(wi, wo, strict=True)):
        si.wi = mi.Vector3f(a)
        value, densities[i] = model.eval_pdf(context, si, mi.Vector3f(b))
        values[i] = value
    return values, densities


def pairs(n, alpha, seed=1):
    """Directions on both sides, most above, and half of wo near the mirror direction of a coat."""
    rng = np.random.default_rng(seed)
    wi, wo = random_directions(rng, n), random_directions(rng, n)
    wi[: n - 20, 2], wo[: n - 20, 2] = np.abs(wi[: n - 20, 2]), np.abs(wo[: n - 20, 2])
    m = np.stack([*(alpha * rng.standard_normal((2, n // 2))), np.ones(n // 2)], axis=1)
    m /= np.linalg.norm(m, axis=1, keepdims=True)
    w = wi[: n // 2]
    wo[: n // 2] = 2 * (w * m).sum(axis=1, keepdims=True) * m - w
    return wi.astype(np.float32).astype(float), wo.astype(np.float32).astype(float)


@pytest.mark.parametrize("nonlinear", [False, True])
@pytest.mark.parametrize("ior", [1.3, 1.49, 2.0])
def test_plastic_is_mitsubas(mi, nonlinear, ior):
    colours = {key: rgb(value) for key, value in COLOURS.items()}
    bsdf = {"type": "plastic", "int_ior": ior, "nonlinear": nonlinear, **colours}
    wi, wo = pairs(400, 0.3)
    values, densities = mitsubas(mi, bsdf, wi, wo)
    name, p = read(bsdf)
    assert name == "plastic" and values.any()
    np.testing.assert_allclose(evaluate(name, p, wi, wo), values, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(pdf(name, p, wi, wo), densities, rtol=1e-4, atol=1e-6)

    model, si = mi.load_dict(bsdf), mi.SurfaceInteraction3f()
    for degrees in (0, 30, 60, 85):
        w = direction(degrees)
        si.wi = mi.Vector3f(w)
        theirs, weight = model.sample(mi.BSDFContext(), si, 0.0, [0.5, 0.5])  # the specular lobe
        s = sample(name, p, w, 1, u=np.zeros((1, 4)))
        assert s.delta[0] and s.eta[0] == 1
        assert s.density[0] == pytest.approx(theirs.pdf, rel=1e-4)
        np.testing.assert_allclose(s.wo[0], theirs.wo, atol=1e-6)
        ours = evaluate(name, p, w[None], s.wo, (1.0,))[0] / s.density[0]
        np.testing.assert_allclose(ours, weight, rtol=1e-4)


every_distribution = pytest.mark.parametrize("distribution", ["ggx", "beckmann"])


@every_distribution
@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.35, 0.8])
@pytest.mark.parametrize(("ior", "nonlinear"), [(1.3, True), (1.5, False), (2.0, True)])
def test_roughplastic_is_mitsubas(mi, distribution, alpha, ior, nonlinear):
    """Grazing directions of a nearly smooth coat are left out: Mitsuba interpolates linearly there."""
    colours = {key: rgb(value) for key, value in COLOURS.items()}
    bsdf = {"type": "roughplastic", "int_ior": ior, "ext_ior": 1.0, "nonlinear": nonlinear, "alpha": alpha,
            "distribution": distribution, **colours}  # fmt: skip
    wi, wo = pairs(300, alpha)
    values, densities = mitsubas(mi, bsdf, wi, wo)
    name, p = read(bsdf)
    assert name == "roughplastic" + {"ggx": "", "beckmann": "_beckmann"}[distribution]
    use = np.minimum(np.abs(wi[:, 2]), np.abs(wo[:, 2])) > (0.04 if alpha < 0.05 else 0.0)
    rtol = 7e-3 if alpha < 0.05 else 2.5e-3
    np.testing.assert_allclose(evaluate(name, p, wi, wo)[use], values[use], rtol=rtol, atol=1e-6)
    np.testing.assert_allclose(pdf(name, p, wi, wo)[use], densities[use], rtol=1.5e-2, atol=1e-6)


BASE_ALONE = {"type": "roughplastic", "specular_reflectance": 0.0, "diffuse_reflectance": 1.0}
COSINES = np.linspace(0, 1, 64)  # where Mitsuba's table has its nodes


def towards(cosines):
    cosines = np.maximum(cosines, 1e-6)
    return np.stack([np.sqrt(1 - cosines**2), 0 * cosines, cosines], axis=1)


@every_distribution
@pytest.mark.parametrize("alpha", [0.003, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("ior", [1.3, 1.5, 2.0, 2.5])
def test_what_a_rough_coat_lets_pass_is_mitsubas(mi, distribution, alpha, ior):
    bsdf = {**BASE_ALONE, "int_ior": ior, "ext_ior": 1.0, "alpha": alpha, "distribution": distribution}
    wi, wo = towards(COSINES), np.tile([0.0, 0.0, 1.0], (64, 1))
    theirs = mitsubas(mi, bsdf, wi, wo)[0][:, 0]
    ours = evaluate(*read(bsdf), wi, wo)[:, 0]
    assert ours[-1] == pytest.approx(theirs[-1], rel=2e-3)
    error = np.abs(ours / ours[-1] - theirs / theirs[-1])
    assert error[1:].max() < (1.5e-3 if alpha >= 0.01 else 8e-3)
    if alpha >= 0.01:
        assert error[0] < 2.5e-3


@every_distribution
@pytest.mark.parametrize("alpha", [0.05, 0.15, 0.4, 0.8])
def test_alphas_derivative_holds_the_coats(mi, distribution, alpha):
    """Of the diffuse part, which follows alpha through T and R alone; against differences of Mitsuba's."""
    bsdf = {**BASE_ALONE, "distribution": distribution}
    wi = towards(np.array([0.1, 0.25, 0.5, 0.75, 1.0, 1.0]))
    wo = towards(np.array([0.9, 0.5, 0.25, 1.0, 0.3, 1.0]))
    h = 0.1 * alpha
    above, below = (mitsubas(mi, {**bsdf, "alpha": alpha + d}, wi, wo)[0][:, 0] for d in (h, -h))
    theirs = (above - below) / (2 * h)
    name, p = read({**bsdf, "alpha": alpha})
    slope = jvp(name, p, np.eye(len(p))[6], wi, wo)[:, 0]
    h *= 1e-3
    p_above, p_below = (p + d * np.eye(len(p))[6] for d in (h, -h))
    ours = (evaluate(name, p_above, wi, wo) - evaluate(name, p_below, wi, wo))[:, 0] / (2 * h)
    np.testing.assert_allclose(slope, ours, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(vjp(name, p, [1.0, 0, 0], wi, wo)[:, 6], slope, rtol=1e-10)
    np.testing.assert_allclose(slope, theirs, rtol=0.1, atol=0.03 * np.abs(theirs).max())


# The coat's constants


@every_distribution
def test_expansions_between_their_nodes(distribution):
    eta, mu = 1.5, np.linspace(0.02, 1, 37)
    constants = rough_coat.expansions(distribution, eta)
    assert set(constants) == set(roughplastic.CONSTANTS) - {"nonlinear"}
    assert max(map(abs, constants.values())) < 1  # so that single precision is enough
    for alpha in (0.011, 0.07, 0.3, 0.62, 0.97):
        y = roughplastic.chebyshev(roughplastic.alpha_coordinate(alpha, np.sqrt))
        x = roughplastic.chebyshev(roughplastic.cosine_coordinate(mu, alpha, np.sqrt))
        sums = [constants[f"transmittance_{i}_{j}"] * y[i] * x[j] for i, j in roughplastic.TERMS]
        exact = rough_coat.transmittance(distribution, alpha, mu, eta)
        np.testing.assert_allclose(sum(sums), exact, atol=1.5e-3)
        internal = sum(constants[f"internal_{i}"] * y[i] for i in range(roughplastic.ORDER))
        assert internal == pytest.approx(rough_coat.internal_reflectance(distribution, alpha, eta), abs=1e-3)


def test_a_nearly_smooth_rough_coat_is_smooth():
    """T becomes 1 - F, and R that of plastic but for the mean over a table, as Mitsuba takes it."""
    smooth, p = read({"type": "plastic"})
    rough, q = read({"type": "roughplastic", "alpha": 0.001, "distribution": "beckmann"})
    wi, wo = direction(30)[None], direction(55, azimuth=10)[None]
    np.testing.assert_allclose(evaluate(rough, q, wi, wo), evaluate(smooth, p, wi, wo), rtol=3e-2)


def test_internal_reflectance_of_plastic():
    """Against the integral of the Fresnel equations over the hemisphere."""
    x, w = np.polynomial.legendre.leggauss(1000)
    c, w = (x + 1) / 2, w / 2
    for eta in (1.1, 1.33, 1.5, 1.8, 2.0):
        t = np.sqrt(1 - (1 - c * c) / eta**2)
        s, p = (c - eta * t) / (c + eta * t), (t - eta * c) / (t + eta * c)
        exact = 1 - (1 - np.sum(w * c * (s * s + p * p))) / eta**2
        assert (1 - plastic.internal_reflectance(eta)) == pytest.approx(1 - exact, rel=2e-3)


# Phong


@pytest.mark.parametrize("name", ["phong", "phong_unnormalized"])
def test_phong_in_blinns_form(name):
    p = row(name, diffuse_reflectance=[0.1, 0.2, 0.3], specular_reflectance=[0.4, 0.5, 0.6], exponent=17)
    wi, wo = direction(20), direction(50, azimuth=-90)
    h = (wi + wo) / np.linalg.norm(wi + wo)
    scale = 25 / (8 * np.pi) if name == "phong" else 1.0
    expected = (p[:3] / np.pi + p[3:6] * scale * h[2] ** 17) * wo[2]
    np.testing.assert_allclose(evaluate(name, p, wi[None], wo[None])[0], expected, rtol=1e-6)
    for a, b in ((wi, -wo), (-wi, wo), (-wi, -wo)):
        assert not evaluate(name, p, a[None], b[None]).any() and not pdf(name, p, a[None], b[None]).any()


@pytest.mark.parametrize("n", [0, 5, 30, 1000])
def test_phongs_normalisation(n):
    """At normal incidence the gloss reflects (n + 8) (n + 2^(-n/2)) / ((n + 2) (n + 4)) of its colour."""
    p = row("phong", diffuse_reflectance=0, specular_reflectance=[1, 0.5, 0], exponent=n)
    wi = np.array([0.0, 0.0, 1.0])
    up, _down = charts(wi)
    albedo = up.sums(evaluate("phong", p, wi, up.points)).sum(axis=(0, 1))
    exact = (n + 8) * (n + 2 ** (-n / 2)) / ((n + 2) * (n + 4))
    np.testing.assert_allclose(albedo, exact * p[3:6], rtol=3e-3, atol=1e-12)


# Reading


def test_names_and_defaults():
    params = prb.traverse(load({"type": "plastic"}))
    assert {k for k in params if k.startswith("ball.bsdf")} >= {
        "ball.bsdf.eta", "ball.bsdf.diffuse_reflectance.value"
    }  # fmt: skip
    assert params["ball.bsdf.eta"] == pytest.approx(ETA)
    params = prb.traverse(load({"type": "roughplastic", "int_ior": "bk7", "ext_ior": "water", "alpha": 0.2}))
    assert params["ball.bsdf.alpha"] == pytest.approx(0.2) and params.differentiable("ball.bsdf.alpha")
    assert params["ball.bsdf.eta"] == pytest.approx(1.5046 / 1.333)
    assert not params.differentiable("ball.bsdf.eta")
    with pytest.raises(prb.ParameterError, match="ball.bsdf.eta"):
        params["ball.bsdf.eta"] = 1.4  # the coat's constants would be those of another index
    kind, p = read({"type": "roughplastic"})
    assert kind == "roughplastic_beckmann" and p[8] == 0
    assert read({"type": "phong"})[0] == "phong"
    assert read({"type": "phong", "normalized": False, "exponent": 4})[0] == "phong_unnormalized"
    np.testing.assert_allclose(read({"type": "phong"})[1], [0.5] * 3 + [0.2] * 3 + [30])
    assert read({"type": "plastic", "nonlinear": True})[1][-1] == 1


@pytest.mark.parametrize(
    ("bsdf", "message"),
    [
        ({"type": "plastic", "int_ior": 1.2, "ext_ior": "water"}, r"int_ior: int_ior / ext_ior is 0\.90"),
        ({"type": "roughplastic", "int_ior": 2.9}, r"int_ior: int_ior / ext_ior is 2\.89"),
        ({"type": "plastic", "int_ior": "glass"}, "int_ior: no index"),
        ({"type": "plastic", "eta": 1.5}, "eta: unknown key"),
        ({"type": "plastic", "alpha": 0.1}, "alpha: unknown key"),
        ({"type": "plastic", "nonlinear": 1}, "nonlinear: expected true or false"),
        ({"type": "roughplastic", "alpha": 0.0}, "alpha: 0 is out of range"),
        ({"type": "roughplastic", "alpha_u": 0.1, "alpha_v": 0.2}, "alpha_u: unknown key"),
        ({"type": "roughplastic", "distribution": "phong"}, "distribution: 'phong' is not one of"),
        ({"type": "phong", "exponent": -1.0}, "exponent: -1 is out of range"),
        ({"type": "phong", "specular_reflectance": 1.5}, "specular_reflectance: 1.5 is out of range"),
    ],
)
def test_errors(bsdf, message):
    with pytest.raises(prb.SceneError, match=f"^ball.bsdf.{message}"):
        load(bsdf)
