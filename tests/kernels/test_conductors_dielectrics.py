"""Conductors and dielectrics, polished and rough, against Mitsuba and closed forms; how they are read."""

import numpy as np
import pytest
from helpers.bsdfs import direction, evaluate, jvp, pdf, random_directions, row, sample, vjp

import prb
from prb.kernels import bsdf
from prb.kernels.bsdf import roughconductor, roughdielectric
from prb.scene.load import load_model_dict

ROUGH = [*roughconductor.VARIANTS, *roughdielectric.VARIANTS]
GOLD = {"eta": [0.143, 0.375, 1.442], "k": [3.98, 2.39, 1.60]}
GLASS, DENSE = 1.5046 / 1.000277, 1 / 1.4


@pytest.fixture(scope="module")
def mi():
    mi = pytest.importorskip("mitsuba")
    mi.set_variant("llvm_ad_rgb")
    return mi


def theirs(mi, kind, roughness, optics):
    """Mitsuba's model for one of ours."""
    plugin, *variant = kind.split("_")
    data = {"type": plugin, **roughness}
    if plugin.startswith("rough"):
        data["distribution"] = "beckmann" if "beckmann" in variant else "ggx"
    for key, value in optics.items():
        if key == "eta" and "dielectric" in plugin:
            data |= {"int_ior": value, "ext_ior": 1.0}
        else:
            data[key] = {"type": "rgb", "value": list(value)}
    return mi.load_dict(data)


def interaction(mi, wi):
    si = mi.SurfaceInteraction3f()
    si.wi = mi.Vector3f(wi.astype(np.float32).T)
    return si


def array(x, n):
    """Mitsuba's n numbers or vectors as rows, also where it keeps one for all."""
    x = np.array(x).astype(float).T
    return np.broadcast_to(x, (n, *x.shape[1:]))


def near_pairs(kind, p, n, seed):
    """wi on both sides, some of them grazing; wo at random and where samples fall."""
    rng = np.random.default_rng(seed)
    wi = random_directions(rng, n)
    wi[::2, 2] = np.abs(wi[::2, 2])
    wi[::7, 2] *= 0.02
    wi /= np.linalg.norm(wi, axis=1, keepdims=True)
    wi = wi.astype(np.float32)
    s = sample(kind, p, wi, n, seed)
    wo = np.where((s.density > 0)[:, None], s.wo, random_directions(rng, n)).astype(np.float32)
    wo[::4] = random_directions(rng, len(wo[::4]))
    return wi.astype(float), wo.astype(float)


def rough_cases():
    for kind in ROUGH:
        two = kind.endswith("anisotropic")
        for alpha in ((0.01, 0.01), (0.3, 0.3)) if not two else ((0.01, 0.2), (0.5, 0.05)):
            roughness = {"alpha_u": alpha[0], "alpha_v": alpha[1]} if two else {"alpha": alpha[0]}
            if kind.startswith("roughconductor"):
                yield pytest.param(kind, roughness, GOLD, id=f"{kind}-{alpha}")
            else:
                colours = {"specular_reflectance": [0.9, 0.5, 0.2], "specular_transmittance": [0.3, 0.6, 1]}
                for eta in (GLASS, DENSE):
                    optics = {"eta": eta, **colours}
                    yield pytest.param(kind, roughness, optics, id=f"{kind}-{alpha}-{eta:.2f}")


@pytest.mark.parametrize(("kind", "roughness", "optics"), list(rough_cases()))
def test_rough_values_and_densities_as_mitsuba(mi, kind, roughness, optics):
    """Ours in double precision, theirs in single, whose rounding shows in the flanks of sharp lobes."""
    p = row(kind, roughness, **optics)
    wi, wo = near_pairs(kind, p, 8000, 1)
    model, si = theirs(mi, kind, roughness, optics), interaction(mi, wi)
    value, density = model.eval_pdf(mi.BSDFContext(), si, mi.Vector3f(wo.astype(np.float32).T))
    value, density = array(value, 8000), array(density, 8000)
    ours, our_density = evaluate(kind, p, wi, wo), pdf(kind, p, wi, wo)
    assert (density > 0).mean() > 0.3
    for mine, other in ((ours, value), (our_density[:, None], density[:, None])):
        error = np.abs(mine - other) / (np.abs(other) + 1e-7 * np.abs(other).max() + 1e-9)
        assert np.quantile(error, 0.97) < 1e-4 and np.mean(error > 0.01) < 1e-3


@pytest.mark.parametrize(
    ("kind", "optics"),
    [
        ("conductor", GOLD),
        ("dielectric", {"eta": GLASS}),
        ("dielectric", {"eta": DENSE, "specular_transmittance": [0.2, 0.5, 1]}),
        ("thindielectric", {"eta": GLASS, "specular_reflectance": [0.2, 0.5, 1]}),
        ("null", {}),
    ],
)
def test_ideal_lobes_as_mitsuba(mi, kind, optics):
    """For the same random numbers the same direction, probability, weight and index."""
    n = 4000
    rng = np.random.default_rng(2)
    wi = random_directions(rng, n).astype(np.float32)
    u = rng.random((n, 4)).astype(np.float32)
    p = row(kind, optics)
    model, si = theirs(mi, kind, {}, optics), interaction(mi, wi)
    theirs_sample, weight = model.sample(mi.BSDFContext(), si, mi.Float(u[:, 2]), mi.Point2f(u[:, :2].T))
    weight, wo, probability, eta = (
        array(x, n) for x in (weight, theirs_sample.wo, theirs_sample.pdf, theirs_sample.eta)
    )
    s = sample(kind, p, wi, n, u=u)
    used = (probability > 0) & (np.abs(weight).max(axis=1) > 0)
    assert used.mean() > 0.4 and s.delta[used].all()
    np.testing.assert_array_equal(s.density > 0, used)
    ours = evaluate(kind, p, wi, s.wo, s.delta)[used] / s.density[used, None]
    np.testing.assert_allclose(s.wo[used], wo[used], atol=2e-6)
    np.testing.assert_allclose(s.density[used], probability[used], rtol=1e-3)
    np.testing.assert_allclose(ours, weight[used], rtol=1e-3)
    np.testing.assert_allclose(s.eta[used], eta[used], rtol=1e-5)
    assert not pdf(kind, p, wi, s.wo).any() and not evaluate(kind, p, wi, s.wo).any()


@pytest.mark.parametrize("kind", [k for k in ROUGH if "anisotropic" not in k])
def test_albedo_as_mitsuba(mi, kind):
    """Means of sampling weights on both sides, and of the index that samples meet."""
    roughness = {"alpha": 0.4}
    optics = GOLD if kind.startswith("roughconductor") else {"eta": GLASS}
    p, n = row(kind, roughness, **optics), 2**17
    model = theirs(mi, kind, roughness, optics)
    for degrees in (20, 75, 140):
        wi = np.tile(direction(degrees), (n, 1))
        u = np.random.default_rng(3).random((n, 3)).astype(np.float32)
        theirs_sample, weight = model.sample(
            mi.BSDFContext(), interaction(mi, wi), mi.Float(u[:, 2]), mi.Point2f(u[:, :2].T)
        )
        s = sample(kind, p, wi, n)
        used = s.density > 0
        assert used.any() == (wi[0, 2] > 0 or kind.startswith("roughdielectric"))
        if not used.any():
            continue
        ours = evaluate(kind, p, wi, s.wo) / np.where(used, s.density, np.inf)[:, None]
        weight = array(weight, n)
        error = 5 * np.hypot(ours.std(axis=0), weight.std(axis=0)) / np.sqrt(n)
        assert np.all(np.abs(ours.mean(axis=0) - weight.mean(axis=0)) <= error + 1e-6)
        index = array(theirs_sample.eta, n)[np.abs(weight).max(axis=1) > 0]
        assert s.eta[used].mean() == pytest.approx(index.mean(), abs=0.01)


# Closed forms


def test_derivatives_of_ideal_lobes():
    """By a transmittance that is exactly 0: the part that is transmitted, not 0."""
    wi = np.array([[0.0, 0.0, 1.0]])
    p = row("dielectric", eta=1.5, specular_transmittance=0.0)
    wo = -wi
    np.testing.assert_array_equal(evaluate("dielectric", p, wi, wo, (1.0,)), 0)
    slope = vjp("dielectric", p, np.ones(3), wi, wo, (1.0,))[0]
    np.testing.assert_allclose(slope[4:], 0.96 / 1.5**2)
    np.testing.assert_allclose(slope[1:4], 0)
    s = sample("dielectric", p, wi[0], 2000)
    assert (s.wo[:, 2] < 0).mean() == pytest.approx(0.96, abs=0.02)

    p = row("conductor", eta=0.2, k=3.0, specular_reflectance=0.0)
    slope = vjp("conductor", p, np.ones(3), wi, wi, (1.0,))[0]
    np.testing.assert_allclose(slope[6:], ((0.2 - 1) ** 2 + 9) / ((0.2 + 1) ** 2 + 9))


def test_total_internal_reflection():
    wi = direction(180 - 60)
    p = row("dielectric", eta=1.5)
    s = sample("dielectric", p, wi, 1000)
    assert np.all(s.density == 1) and np.all(s.wo[:, 2] < 0) and np.all(s.eta == 1)
    assert np.isfinite(jvp("dielectric", p, np.eye(7)[0], wi[None], s.wo[:1], (1.0,))).all()
    p = row("roughdielectric", alpha=0.01, eta=1.5)
    s = sample("roughdielectric", p, wi, 1000)
    assert np.mean(s.wo[s.density > 0, 2] < 0) > 0.99  # some facets are turned far


def test_snell():
    for degrees in (0, 50, 85, 140):
        wi = direction(degrees)
        s = sample("dielectric", row("dielectric", eta=1.5), wi, 500)
        through = s.wo[:, 2] * wi[2] < 0
        if through.any():
            ratio = 1.5 if wi[2] > 0 else 1 / 1.5
            error = s.wo[through, :2] * ratio + wi[:2]
            assert np.abs(error).max() < 2e-6
            np.testing.assert_allclose(s.eta[through], ratio, rtol=1e-6)


def test_thin_plate_is_the_sum_of_its_reflections():
    f = 0.04
    series = f + (1 - f) ** 2 * sum(f ** (2 * k + 1) for k in range(20))
    n = np.array([[0, 0, 1.0]])
    p = row("thindielectric", eta=1.5)
    np.testing.assert_allclose(evaluate("thindielectric", p, n, n, (1.0,)), series)
    np.testing.assert_allclose(evaluate("thindielectric", p, n, -n, (1.0,)), 1 - series)


@pytest.mark.parametrize("kind", ["roughconductor", "roughconductor_beckmann"])
def test_one_roughness_is_two_equal_ones(kind):
    """In value, density, and the sum of the derivatives."""
    one, two = row(kind, GOLD, alpha=0.2), row(f"{kind}_anisotropic", GOLD, alpha_u=0.2, alpha_v=0.2)
    wi, wo = near_pairs(kind, one, 500, 5)
    both = (kind, one), (f"{kind}_anisotropic", two)
    np.testing.assert_allclose(*(evaluate(k, p, wi, wo) for k, p in both), rtol=1e-9)
    a, b = (vjp(k, p, np.ones(3), wi, wo) for k, p in both)
    np.testing.assert_allclose(a[:, 0], b[:, 0] + b[:, 1], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", ROUGH)
@pytest.mark.parametrize("alpha", [0.0, 1e-4, 1e-3])
def test_nearly_polished(kind, alpha):
    """As a mirror or a lens for the eye; weights in single precision stay near those of the smooth model."""
    keys = ("alpha_u", "alpha_v") if kind.endswith("anisotropic") else ("alpha",)
    metal = kind.startswith("roughconductor")
    optics = {"eta": 0.2, "k": 3.0} if metal else {"eta": 1.5}
    p = row(kind, dict.fromkeys(keys, alpha), **optics)
    for degrees in (0, 40, 80, 150):
        wi = direction(degrees)
        s = sample(kind, p, wi, 2000)
        used = s.density > 0
        weight = evaluate(kind, p, wi, s.wo, dtype=np.float32)[used] / s.density[used, None]
        if metal and wi[2] < 0:
            assert not used.any()
            continue
        assert used.mean() > 0.99
        assert np.all(weight < 2.3) and np.all(weight >= 0)
        mirrored = s.wo[used] @ (wi * [-1, -1, 1]) > 1 - 1e-3
        assert mirrored.mean() > (0.9 if metal else 0.005)
        if metal:
            smooth = evaluate("conductor", row("conductor", **optics), wi, wi * [-1, -1, 1], (1.0,))
            assert np.median(weight) == pytest.approx(smooth.mean(), rel=1e-2)


# Reading


def scene(bsdf_data):
    return {"type": "scene", "sensor": {"type": "perspective"}, "s": {"type": "sphere", "bsdf": bsdf_data}}


def names(data):
    return {k.removeprefix("s.bsdf."): v for k, v in prb.traverse(prb.load_dict(scene(data))).items()}


def test_names_are_mitsubas():
    assert {"alpha.value", "eta.value", "k.value"} <= set(names({"type": "roughconductor"}))
    two = names({"type": "roughconductor", "alpha_u": 0.1, "alpha_v": 0.3, "distribution": "ggx"})
    assert {"alpha_u.value", "alpha_v.value"} <= set(two) and "alpha.value" not in two
    assert {"alpha.value", "eta", "specular_transmittance.value"} <= set(names({"type": "roughdielectric"}))
    glass = names({"type": "dielectric", "int_ior": "diamond", "ext_ior": 1.2})
    assert float(np.squeeze(glass["eta"])) == pytest.approx(2.419 / 1.2)
    assert float(np.squeeze(names({"type": "thindielectric"})["eta"])) == pytest.approx(GLASS)
    gold = names({"type": "conductor", "material": "Au"})
    np.testing.assert_allclose(gold["eta.value"], [0.143036, 0.3753071, 1.442045])
    mirror = names({"type": "conductor"})
    assert np.all(np.array(mirror["eta.value"]) == 0) and np.all(np.array(mirror["k.value"]) == 1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"type": "roughconductor", "alpha": 0.1, "alpha_u": 0.1, "alpha_v": 0.1}, "alpha_u and alpha_v"),
        ({"type": "roughdielectric", "alpha_u": 0.1}, "alpha_v: missing"),
        ({"type": "roughconductor", "distribution": "phong"}, "beckmann, ggx"),
        ({"type": "roughconductor", "alpha": -0.1}, "out of range"),
        ({"type": "conductor", "material": "Au", "eta": 0.2}, "material"),
        ({"type": "dielectric", "int_ior": "bk8"}, "bk7"),
        ({"type": "roughdielectric", "int_ior": 1.3, "ext_ior": 1.3}, "no boundary"),
        ({"type": "dielectric", "eta": 1.3}, "unknown key"),
        ({"type": "null", "alpha": 1}, "unknown key"),
    ],
)
def test_bad_input(data, message):
    with pytest.raises(prb.SceneError, match=message) as error:
        prb.load_dict(scene(data))
    assert "s.bsdf" in str(error.value) and "\n" not in str(error.value)


def test_invisible_normals_are_said_to_make_no_difference():
    model = load_model_dict(scene({"type": "roughconductor", "sample_visible": False}))
    assert any("sample_visible" in line for line in model.warnings)


def test_every_variant_is_registered():
    assert set(ROUGH) <= set(bsdf.REGISTRY)
