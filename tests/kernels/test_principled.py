"""`principled` and `principledthin`: equal to Mitsuba's, sampled as they say, derivatives right at the edges.

Statistical tests use fixed seeds and ask for a p-value above 1e-4.
"""

import numpy as np
import pytest

from prb.kernels import traced
from prb.kernels.backend import ti
from prb.kernels.bsdf import principled, principledthin

P_MIN = 1e-4
MODELS = {**principled.VARIANTS, "principledthin": principledthin}
Rows = ti.types.ndarray(ti.f32, 2)
Rows64 = ti.types.ndarray(ti.f64, 2)


@traced.traced
def of(name):
    return MODELS[name]


@traced.traced
def columns(name):
    """Where a row of p has each parameter and constant, and whether that is one number."""
    numbers = [q.number for q in MODELS[name].PARAMETERS] + [True for _ in MODELS[name].CONSTANTS]
    sizes = [1 if n else 3 for n in numbers]
    return [(sum(sizes[:k]), n) for k, n in enumerate(numbers)]


@ti.func
def _vector(x: ti.template(), i, at: ti.template()):
    return ti.Vector([x[i, at], x[i, at + 1], x[i, at + 2]])


@ti.func
def _entry(x: ti.template(), i, column: ti.template()):
    if ti.static(column[1]):
        return x[i, column[0]]
    else:
        return _vector(x, i, column[0])


@ti.func
def _parameters(name: ti.template(), p: ti.template(), i):
    return [_entry(p, i, columns(name)[k]) for k in ti.static(range(len(columns(name))))]


@ti.kernel
def _sample(name: ti.template(), p: Rows, wi: Rows, u: Rows, out: Rows):
    for i in range(wi.shape[0]):
        wo, pdf, delta, eta, _chance = traced.value(
            of(name).sample, _parameters(name, p, i), _vector(wi, i, 0), _vector(u, i, 0)
        )
        for k in ti.static(range(3)):
            out[i, k] = wo[k]
        out[i, 3] = pdf
        out[i, 4] = delta
        out[i, 5] = eta


@ti.kernel
def _pdf(name: ti.template(), p: Rows, wi: Rows, wo: Rows, pdf: Rows):
    for i in range(wi.shape[0]):
        pdf[i, 0] = traced.value(of(name).pdf, _parameters(name, p, i), _vector(wi, i, 0), _vector(wo, i, 0))


@ti.kernel
def _eval(name: ti.template(), p: Rows64, wi: Rows64, wo: Rows64, f: Rows64):
    for i in range(wi.shape[0]):
        value = traced.value(
            of(name).eval, _parameters(name, p, i), _vector(wi, i, 0), _vector(wo, i, 0), 0.0
        )
        for k in ti.static(range(3)):
            f[i, k] = value[k]


@ti.kernel
def _derive(
    name: ti.template(), p: Rows64, dp: Rows64, df: Rows64, wi: Rows64, wo: Rows64, vjp: Rows64, jvp: Rows64
):  # fmt: skip
    """vjp: cotangents of p, then of wi and wo."""
    for i in range(wi.shape[0]):
        arguments = (_parameters(name, p, i), _vector(wi, i, 0), _vector(wo, i, 0), 0.0)
        _f, cotangents = traced.vjp(of(name).eval, arguments, _vector(df, i, 0), (0, 1, 2))
        _g, tangent = traced.jvp(of(name).eval, arguments, (_parameters(name, dp, i), None, None, None))
        for k in ti.static(range(len(columns(name)))):
            if ti.static(columns(name)[k][1]):
                vjp[i, columns(name)[k][0]] = cotangents[0][k]
            else:
                for j in ti.static(range(3)):
                    vjp[i, columns(name)[k][0] + j] = cotangents[0][k][j]
        for j in ti.static(range(3)):
            jvp[i, j] = tangent[j]
            vjp[i, ti.static(columns(name)[-1][0] + 1) + j] = cotangents[1][j]
            vjp[i, ti.static(columns(name)[-1][0] + 4) + j] = cotangents[2][j]


def _rows(x, n, dtype=np.float32):
    return np.ascontiguousarray(np.broadcast_to(x, (n, np.shape(x)[-1])), dtype)


def sample(name, p, wi, n, seed=1):
    """n sampled directions (n, 3), their densities, delta and relative index (n,) each."""
    u = np.random.default_rng(seed).integers(0, 2**24, (n, 3)) / 2**24
    out = np.zeros((n, 6), np.float32)
    _sample(name, _rows(p, n), _rows(wi, n), _rows(u, n), out)
    return out[:, :3], out[:, 3].astype(float), out[:, 4], out[:, 5]


def pdf(name, p, wi, wo):
    n = max(len(np.atleast_2d(x)) for x in (p, wi, wo))
    density = np.zeros((n, 1), np.float32)
    _pdf(name, _rows(p, n), _rows(wi, n), _rows(wo, n), density)
    return density[:, 0].astype(float)


def evaluate(name, p, wi, wo):
    """f(wi, wo) |cos wo|, (n, 3) in double precision."""
    n = max(len(np.atleast_2d(x)) for x in (p, wi, wo))
    f = np.zeros((n, 3))
    _eval(name, _rows(p, n, float), _rows(wi, n, float), _rows(wo, n, float), f)
    return f


def derive(name, p, dp, df, wi, wo):
    """Cotangents of p, wi and wo; tangents of f."""
    n = len(wo)
    vjp, jvp = np.zeros((n, p.shape[-1] + 6)), np.zeros((n, 3))
    _derive(name, *(_rows(x, n, float) for x in (p, dp, df, wi, wo)), vjp, jvp)
    return vjp, jvp


# Sets of parameters: what differs from the plugin's defaults, for keys that the variant has

GENERAL = {
    "base_color": (0.8, 0.5, 0.2), "roughness": 0.45, "anisotropic": 0.6, "metallic": 0.35, "spec_trans": 0.4,
    "specular": 0.6, "eta": 1.6, "spec_tint": 0.3, "sheen": 0.7, "sheen_tint": 0.4, "flatness": 0.6,
    "clearcoat": 0.8, "clearcoat_gloss": 0.3, "diff_trans": 0.9,
}  # fmt: skip
SETS = {
    "default": {},
    "general": GENERAL,
    "lower index": {**GENERAL, "eta": 0.7, "specular": 0.05},
    "metal": {"metallic": 1.0, "roughness": 0.3, "base_color": (0.9, 0.6, 0.3)},
    "glass": {"spec_trans": 1.0, "roughness": 0.3, "base_color": 1.0},
    "clearcoat": {"clearcoat": 1.0, "clearcoat_gloss": 0.1, "clearcoat_sampling_rate": 10.0},
    "metal that is glass": {"spec_trans": 1.0, "metallic": 1.0, "clearcoat": 1.0, "diff_trans": 2.0},
    "smooth": {**GENERAL, "roughness": 0.0, "anisotropic": 1.0},
    "black": {"base_color": 0.0, "spec_tint": 1.0, "sheen": 1.0, "sheen_tint": 1.0},
    "equal indices": {"specular": 0.0, "eta": 1.0, "base_color": (0.2, 0.4, 0.6)},
    "all at the end": {"base_color": 1.0, **{k: 1.0 for k in GENERAL if k not in ("base_color", "eta")}},
}


def row(name, values):
    """A row of p; values: a set's name or the set itself."""
    values = SETS[values] if isinstance(values, str) else values
    p = []
    for q in MODELS[name].PARAMETERS:
        x = values.get(q.key, q.default)
        p.extend([x] if q.number else np.broadcast_to(x, 3))
    p.extend(values.get(key, 0.0 if key == principled.MATCHED else 1.0) for key in MODELS[name].CONSTANTS)
    return np.array(p, float)


def direction(degrees, azimuth=40.0):
    t, a = np.radians([degrees, azimuth])
    return np.array([np.sin(t) * np.cos(a), np.sin(t) * np.sin(a), np.cos(t)])


def sphere(rows, columns):
    """Directions in the middle of cells, equal in angle (rows * columns, 3), and their solid angles."""
    theta = np.pi * (np.arange(rows) + 0.5) / rows
    phi = 2 * np.pi * (np.arange(columns) + 0.5) / columns
    theta, phi = (a.ravel() for a in np.meshgrid(theta, phi, indexing="ij"))
    r = np.sin(theta)
    return np.stack([r * np.cos(phi), r * np.sin(phi), np.cos(theta)], axis=1), 2 * np.pi**2 * r / len(r)


def random_directions(rng, n):
    w = rng.standard_normal((n, 3))
    return w / np.linalg.norm(w, axis=1, keepdims=True)


ROWS, COLUMNS, FINE = 16, 32, 24
GRID, SOLID_ANGLE = sphere(ROWS * FINE, COLUMNS * FINE)

every_model = pytest.mark.parametrize("name", MODELS)


# Against Mitsuba


def random_set(rng, name):
    """Parameters with which every lobe is sampled as in Mitsuba: no chance is at its lower bound."""
    values = {}
    for q in MODELS[name].PARAMETERS:
        low, high = {
            "eta": (0.6, 2.4), "roughness": (0.15, 1.0), "clearcoat_gloss": (0.0, 0.7),
            "metallic": (0.2, 0.5), "spec_trans": (0.4, 0.6), "diff_trans": (0.6, 1.4),
        }.get(q.key, (0.01, q.high))  # fmt: skip
        values[q.key] = np.float32(rng.uniform(low, high, None if q.number else 3))
    for key in MODELS[name].CONSTANTS:
        if key != principled.MATCHED:
            values[key] = np.float32(rng.uniform(0.8, 1.2))
    return values


def in_mitsuba(mi, plugin, values, wi, wo):
    """(n, 3) values and (n,) densities of Mitsuba."""
    import drjit as dr

    rgb = {"type": "rgb", "value": [float(x) for x in np.broadcast_to(values["base_color"], 3)]}
    numbers = {k: float(v) for k, v in values.items() if k != "base_color"}
    bsdf = mi.load_dict({"type": plugin, **numbers, "base_color": rgb})
    si = dr.zeros(mi.SurfaceInteraction3f, len(wo))
    si.wi = mi.Vector3f(*wi.T.astype(np.float32))
    context, wo = mi.BSDFContext(), mi.Vector3f(*wo.T.astype(np.float32))
    return np.array(bsdf.eval(context, si, wo)).T, np.array(bsdf.pdf(context, si, wo))


@pytest.fixture(scope="module")
def mi():
    mitsuba = pytest.importorskip("mitsuba")
    mitsuba.set_variant("llvm_ad_rgb")
    return mitsuba


@every_model
def test_value_and_density_are_those_of_mitsuba(mi, name):
    """Mitsuba computes in single precision: 1e-3 of the value, and of 1e-3 where that is smaller."""
    rng = np.random.default_rng(5)
    plugin = "principledthin" if name == "principledthin" else "principled"
    for _ in range(10):
        values = random_set(rng, name)
        wi, wo = (random_directions(rng, 2000).astype(np.float32) for _ in range(2))
        f, density = in_mitsuba(mi, plugin, values, wi, wo)
        p = row(name, values)
        np.testing.assert_allclose(evaluate(name, p, wi, wo), f, rtol=1e-3, atol=1e-6)
        outside = (wi[:, 2] > 0) | (name not in ("principled_opaque", "principled_opaque_eta"))
        np.testing.assert_allclose(pdf(name, p, wi, wo)[outside], density[outside], rtol=1e-3, atol=1e-6)
        assert f[outside].any(axis=1).mean() > 0.4


@every_model
@pytest.mark.parametrize("values", ["default", "metal", "glass", "black", "all at the end"])
def test_edges_are_those_of_mitsuba(mi, name, values):
    rng = np.random.default_rng(6)
    plugin = "principledthin" if name == "principledthin" else "principled"
    keys = {q.key for q in MODELS[name].PARAMETERS}
    given = {"base_color": 0.5, **{k: v for k, v in SETS[values].items() if k in keys}}
    if "eta" in keys:
        given.setdefault("eta", 1.5)
    given["clearcoat_gloss"] = 0.5  # at 1 Mitsuba's single precision is too coarse for the peak
    given = {k: v for k, v in given.items() if k in keys}
    wi, wo = (random_directions(rng, 2000).astype(np.float32) for _ in range(2))
    f, _density = in_mitsuba(mi, plugin, given, wi, wo)
    np.testing.assert_allclose(evaluate(name, row(name, given), wi, wo), f, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("roughness", [0.0, 0.05])
def test_smallest_roughness_is_that_of_mitsuba(mi, roughness):
    """Far from the mirror direction, where a metal's value goes with the square of its roughness."""
    rng = np.random.default_rng(9)
    values = {"base_color": 0.5, "metallic": 1.0, "roughness": roughness, "anisotropic": 0.5, "specular": 0.5}
    wi, wo = (random_directions(rng, 2000).astype(np.float32) for _ in range(2))
    f, _density = in_mitsuba(mi, "principled", values, wi, wo)
    far = ((wi * [-1, -1, 1] * wo).sum(axis=1) < 0.9) & f.any(axis=1)
    assert far.sum() > 400
    ours = evaluate("principled_opaque", row("principled_opaque", values), wi, wo)
    np.testing.assert_allclose(ours[far], f[far], rtol=2e-3)


@pytest.mark.parametrize(
    "name, key, none", [("principled_opaque", "specular", 0.0), ("principled_opaque_eta", "eta", 1.0)]
)
def test_without_a_change_of_index_there_is_no_main_lobe(mi, name, key, none):
    """As Mitsuba has it, a metal then does not reflect; unless the index is set later."""
    rng = np.random.default_rng(7)
    wi, wo = (random_directions(rng, 2000).astype(np.float32) for _ in range(2))
    values = {"base_color": 0.5, "metallic": 0.5, key: none}
    f, _density = in_mitsuba(mi, "principled", values, wi, wo)
    loaded = row(name, {**values, principled.MATCHED: 1.0})
    np.testing.assert_allclose(evaluate(name, loaded, wi, wo), f, rtol=1e-3, atol=1e-5)
    assert evaluate(name, row(name, values), wi, wo).sum() > 1.05 * f.sum()
    f, _density = in_mitsuba(mi, "principled", {**values, key: none + 0.3}, wi, wo)
    loaded = row(name, {**values, key: none + 0.3, principled.MATCHED: 1.0})
    np.testing.assert_allclose(evaluate(name, loaded, wi, wo), f, rtol=1e-3, atol=1e-6)


# Sampling


@every_model
@pytest.mark.parametrize("degrees", [0, 40, 80, 120, 175])
@pytest.mark.parametrize("values", ["general", "lower index", "clearcoat", "metal", "glass"])
def test_samples_follow_the_density(chi_squared, name, degrees, values):
    if name == "principledthin" and values == "lower index":
        pytest.skip("its transmission is too narrow for the grid")
    p, wi, n = row(name, values), direction(degrees), 2**15
    wo, density, delta, eta = sample(name, p, wi, n)
    used = density > 0
    assert not delta.any()
    np.testing.assert_allclose(density[used], pdf(name, p, wi, wo)[used], rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(wo[used], axis=1), 1, atol=1e-5)
    share = (pdf(name, p, wi, GRID) * SOLID_ANGLE).reshape(ROWS, FINE, COLUMNS, FINE).sum(axis=(1, 3))
    assert share.sum() == pytest.approx(used.mean(), abs=0.01)
    theta = np.arccos(np.clip(wo[used, 2], -1, 1))
    phi = np.arctan2(wo[used, 1], wo[used, 0]) % (2 * np.pi)
    counts, _, _ = np.histogram2d(theta, phi, (ROWS, COLUMNS), ((0, np.pi), (0, 2 * np.pi)))
    if used.any():
        assert chi_squared(counts, n * share) > P_MIN
    index = {"general": 1.6, "lower index": 0.7}.get(values, 1.5) if name == "principled_eta" else None
    passes = used & (wo[:, 2] * wi[2] < 0)
    if index and passes.any():
        np.testing.assert_allclose(eta[passes], index if wi[2] > 0 else 1 / index, rtol=1e-6)
    if name == "principledthin":
        np.testing.assert_array_equal(eta, 1)
    np.testing.assert_array_equal(eta[used & ~passes], 1)


@every_model
@pytest.mark.parametrize("values", ["general", "metal", "glass", "default", "smooth"])
def test_samples_estimate_the_albedo(name, values):
    """Narrow lobes too; the model may reflect a little more than it gets (sheen, clearcoat)."""
    p, n = row(name, values), 2**16
    for degrees in (20, 70, 150):
        wi = direction(degrees)
        wo, density, _delta, eta = sample(name, p, wi, n)
        weight = evaluate(name, p, wi, wo) / np.where(density > 0, density, np.inf)[:, None]
        crossing = wo[:, 2] * wi[2] < 0
        energy = (weight * np.where(crossing, eta**2, 1)[:, None]).mean(axis=0)  # undo radiance's 1 / eta^2
        assert np.isfinite(weight).all() and (energy <= 1.25).all(), (degrees, energy)
        if values not in ("smooth",):
            albedo = SOLID_ANGLE @ evaluate(name, p, wi, GRID)
            error = 4.5 * weight.std(axis=0) / np.sqrt(n)
            assert np.all(np.abs(weight.mean(axis=0) - albedo) <= error + 5e-3 * albedo), degrees


@every_model
@pytest.mark.parametrize("values", list(SETS))
def test_support(name, values):
    """Where the value, or its derivative by some parameter, is not zero, samples can fall."""
    rng = np.random.default_rng(3)
    wi, wo = random_directions(rng, 3000), random_directions(rng, 3000)
    p = row(name, values)
    needed = evaluate(name, p, wi, wo).any(axis=1)
    for k in range(len(p) - len(MODELS[name].CONSTANTS)):
        tangent = np.eye(len(p))[k]
        needed |= derive(name, p, tangent, np.ones(3), wi, wo)[1].any(axis=1)
    density = pdf(name, p, wi, wo)
    assert needed.any() and np.isfinite(density).all() and (density >= 0).all()
    assert np.all(density[needed] > 0)


# Derivatives


def key_of(name, k):
    """The parameter that column k of p belongs to."""
    return [q.key for q in MODELS[name].PARAMETERS for _ in range(1 if q.number else 3)][k]


def difference(name, p, k, wi, wo, h):
    """d f / d p_k by differences of third order and more, one-sided at the ends of the range."""
    q = next(q for q in MODELS[name].PARAMETERS if q.key == key_of(name, k))
    e = h * np.eye(len(p))[k]

    def f(steps):
        return evaluate(name, p + steps * e, wi, wo)

    if p[k] - 2 * h < q.low or (q.key == "eta" and p[k] == 1):
        return (-11 * f(0) + 18 * f(1) - 9 * f(2) + 2 * f(3)) / (6 * h)
    if p[k] + 2 * h > q.high:
        return (11 * f(0) - 18 * f(-1) + 9 * f(-2) - 2 * f(-3)) / (6 * h)
    return (8 * (f(1) - f(-1)) - (f(2) - f(-2))) / (12 * h)


@every_model
@pytest.mark.parametrize("values", list(SETS))
def test_derivatives(name, values):
    """vjp and jvp against each other, Taichi's autodiff, and differences where these have converged."""
    rng = np.random.default_rng(4)
    n, p0 = 300, row(name, values)
    wi, wo = random_directions(rng, n), random_directions(rng, n)
    wi[::2, 2], wo[::2, 2] = np.abs(wi[::2, 2]), np.abs(wo[::2, 2])
    wo[:20] = wi[:20] * [-1, -1, 1] + 0.02 * random_directions(rng, 20)  # near the mirror direction
    wo[20:30] = -wi[20:30]
    wo[30:35], wi[35:40] = [1, 0, 0], [0, 1, 0]  # grazing
    wo[30], wi[30] = [1, 0, 0], [-1, 0, 0]
    wo /= np.linalg.norm(wo, axis=1, keepdims=True)
    dp, df = rng.standard_normal((n, len(p0))), rng.standard_normal((n, 3))
    used = len(p0) - len(MODELS[name].CONSTANTS)
    dp[:, used:] = 0
    vjp, jvp = derive(name, p0, dp, df, wi, wo)
    assert np.isfinite(vjp).all() and np.isfinite(jvp).all() and vjp.any() and jvp.any()
    vjp = vjp[:, :used]
    scale = np.abs(vjp).max(axis=1) + 1e-9
    forward, backward = (jvp * df).sum(axis=1), (vjp * dp[:, :used]).sum(axis=1)
    np.testing.assert_allclose(forward / scale, backward / scale, atol=1e-9)

    def array(x):
        device = ti.ndarray(ti.f64, (n, x.shape[-1]), needs_grad=True)
        device.from_numpy(_rows(x, n, float))
        return device

    p, f = array(p0), array(np.zeros(3))
    f.grad.from_numpy(df)
    _eval.grad(name, p, array(wi), array(wo), f)
    np.testing.assert_allclose(vjp, p.grad.to_numpy()[:, :used], rtol=1e-8, atol=1e-9 * scale.max())

    for k in range(used):
        if values == "black" and k < 3:
            continue  # the root of the colour, and its tint, have no derivative there
        step = 1e-9 if key_of(name, k) == "specular" and p0[k] == 0 else 2e-4  # the root of it comes in
        coarse, fine = ((df * difference(name, p0, k, wi, wo, h)).sum(axis=1) for h in (2 * step, step))
        tolerance = 1e-5 * np.abs(fine) + 1e-6
        converged = np.abs(coarse - fine) <= tolerance
        assert converged.mean() > 0.9, k
        assert np.all((np.abs(vjp[:, k] - fine) <= 3 * tolerance)[converged]), k


@ti.kernel
def _derive_single(name: ti.template(), p: Rows, wi: Rows, wo: Rows, out: Rows):
    for i in range(wi.shape[0]):
        arguments = (_parameters(name, p, i), _vector(wi, i, 0), _vector(wo, i, 0), 0.0)
        f, cotangents = traced.vjp(of(name).eval, arguments, ti.Vector([1.0, 1.0, 1.0]), (0,))
        for j in ti.static(range(3)):
            out[i, j] = f[j]
        for k in ti.static(range(len(of(name).PARAMETERS) - 1)):
            out[i, 3 + k] = cotangents[0][1 + k]


@every_model
@pytest.mark.parametrize("values", list(SETS))
def test_single_precision(name, values):
    """Finite everywhere; where nothing is near cancellation, as in double precision."""
    rng = np.random.default_rng(8)
    n, p = 4000, row(name, values)
    wi, wo = random_directions(rng, n), random_directions(rng, n)
    mirrored = wi * [-1, -1, 1] + np.geomspace(1e-6, 1, n)[:, None] * random_directions(rng, n)
    wo[::3] = (mirrored / np.linalg.norm(mirrored, axis=1, keepdims=True))[::3]
    wi[1::9, 2] *= 1e-4
    wi, wo = (np.float32(w / np.linalg.norm(w, axis=1, keepdims=True)) for w in (wi, wo))
    wo[:100] = -wi[:100]
    out = np.zeros((n, 2 + len(MODELS[name].PARAMETERS)), np.float32)
    _derive_single(name, _rows(p, n), wi, wo, out)
    assert np.isfinite(out).all()
    if values != "smooth":
        f = evaluate(name, p, wi, wo)
        close = np.abs(out[:, :3] - f) <= 2e-3 * f + 1e-6
        assert close.mean() > 0.99
