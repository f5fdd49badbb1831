"""What the tests of all scattering models have to know about single ones, and the parameters to test with."""

from typing import NamedTuple

import numpy as np

from helpers.bsdfs import limits, row
from prb.kernels import bsdf
from prb.scene.plugins.rough_coat import expansions


class Case(NamedTuple):
    """A model's peculiarities.

    sets: further parameters to test with, and replacements for "low", "high" and "between", by name.
    constants: the values of its constants. reciprocal: whether f(a, b) = f(b, a). albedo: the most that it
    may reflect; above 1 for models that do not conserve energy. inexact: relative error of its density.
    """

    sets: dict = {}
    constants: dict = {}
    reciprocal: bool = True
    albedo: float = 1.0
    inexact: float = 0.0


GOLD = {"eta": [0.143, 0.375, 1.442], "k": [3.98, 2.39, 1.60]}
SMOOTH_GLASS = {"low": {"eta": 0.7}, "between": {"eta": 1.3}, "matched": {"eta": 1.0}}
BECKMANN = 4e-3  # error of its density, which has the approximate G1


def _rough(alphas, sharp, low, high, inexact):
    sets = {
        "low": {**dict.fromkeys(alphas, 0.01), **low},
        "high": {**dict.fromkeys(alphas, 1.0), **high},
        "sharp": {**dict.fromkeys(alphas, 0.01), **sharp},
    }
    if len(alphas) == 2:
        sets["stretched"] = {"alpha_u": 0.1, "alpha_v": 0.6, **sharp}
    return Case(sets=sets, inexact=inexact)


def _cases():
    cases = {
        "dielectric": Case(sets=SMOOTH_GLASS),
        "thindielectric": Case(sets=SMOOTH_GLASS),
        "conductor": Case(sets={"gold": GOLD}),
    }
    for alphas, ending in ((("alpha",), ""), (("alpha_u", "alpha_v"), "_anisotropic")):
        for middle, inexact in (("", 0.0), ("_beckmann", BECKMANN)):
            kind = f"{middle}{ending}"
            metal = GOLD, {"eta": 0.0, "k": 0.0}, {"eta": 4.0, "k": 4.0}
            cases[f"roughconductor{kind}"] = _rough(alphas, *metal, inexact)
            glass = {"eta": 1.5}, {"eta": 0.7}, {"eta": 2.4}
            cases[f"roughdielectric{kind}"] = _rough(alphas, *glass, inexact)

    # The approximate R of the body's internal reflection gains energy for a large index.
    sets = {"high": {"eta": 1.9}, "saturated": {"nonlinear": 1.0}}
    cases["plastic"] = Case(constants={"nonlinear": 0.0}, sets=sets, albedo=1.02)
    for ending, distribution in (("", "ggx"), ("_beckmann", "beckmann")):
        eta = 1.49
        cases[f"roughplastic{ending}"] = Case(
            constants={"nonlinear": 0.0, **expansions(distribution, eta)},
            sets={
                "default": {"eta": eta},
                "low": {"eta": eta, "alpha": 0.02},
                "high": {"eta": eta},
                "between": {"eta": eta},
                "saturated": {"eta": eta, "nonlinear": 1.0},
                "sharp": {"eta": eta, "alpha": 0.01, "diffuse_reflectance": 0.0},
            },
            inexact=BECKMANN if ending else 0.0,
        )
    sharp = {"default": {}, "high": {"exponent": 200.0}, "sharp": {"exponent": 3000.0}}
    cases["phong"] = Case(sets=sharp | {"low": {"exponent": 0.0}}, albedo=3.0)
    cases["phong_unnormalized"] = Case(sets=sharp, albedo=10.0)

    for name in ("principled", "principled_eta", "principled_opaque", "principled_opaque_eta"):
        constants = {key: float(key != "matched") for key in bsdf.constants_of(name)}
        sets = {
            "low": {"roughness": 0.1, **({"eta": 0.7} if "eta" in name else {"specular": 0.1})},
            "high": {"roughness": 0.7},
            "metal": {"metallic": 1.0, "roughness": 0.1},
            "coat": {"roughness": 0.3, "clearcoat": 1.0, "clearcoat_gloss": 0.8},
        }
        if "opaque" not in name:
            sets["glass"] = {"spec_trans": 1.0, "roughness": 0.2}
        cases[name] = Case(sets=sets, constants=constants, reciprocal=False, albedo=1.25)
    constants = dict.fromkeys(bsdf.constants_of("principledthin"), 1.0)
    cases["principledthin"] = Case(constants=constants, reciprocal=False, albedo=1.25)
    return cases


CASES = _cases()


def case(name):
    return CASES.get(name, Case())


def sets_of(name):
    """Name -> row of parameters: defaults, both ends of the ranges, something between, and the case's own.

    Ranges are cut to 2 above their lower ends.
    """
    constants = case(name).constants
    default = row(name, constants)
    low, high = (v.copy() for v in limits(name))
    high = np.minimum(high, low + 2)
    between = np.random.default_rng(len(name)).uniform(0.8 * low + 0.2 * high, 0.1 * low + 0.9 * high)
    rows = {"default": default}
    for key, values in (("low", low), ("high", high), ("between", between)):
        rows[key] = np.concatenate([values, default[len(low) :]])
    for key, values in case(name).sets.items():
        replaced = np.isnan(row(name, {**constants, **dict.fromkeys(values, np.nan)}))
        rows[key] = np.where(replaced, row(name, {**constants, **values}), rows.get(key, default))
    return rows
