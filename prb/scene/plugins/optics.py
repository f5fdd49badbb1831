"""Named indices of refraction and named metals, as the scene files of Mitsuba name them."""

import numpy as np

from prb.scene.reading.reader import Reader
from prb.scene.reading.values import describe, nearest

# Index of refraction of visible light (sodium D line where the substance disperses), as Mitsuba 3.9.1 has
# them. Sources there: Wikipedia "List of refractive indices" and textbooks.
INDICES = {
    "vacuum": 1.0,
    "helium": 1.000036,
    "hydrogen": 1.000132,
    "air": 1.000277,
    "carbon dioxide": 1.00045,
    "water": 1.333,
    "acetone": 1.36,
    "ethanol": 1.361,
    "carbon tetrachloride": 1.461,
    "glycerol": 1.4729,
    "benzene": 1.501,
    "silicone oil": 1.52045,
    "bromine": 1.661,
    "water ice": 1.31,
    "fused quartz": 1.458,
    "pyrex": 1.47,
    "acrylic glass": 1.49,
    "polypropylene": 1.49,
    "bk7": 1.5046,
    "sodium chloride": 1.544,
    "amber": 1.55,
    "pet": 1.575,
    "diamond": 2.419,
}

# Complex index of refraction eta - i k of metals and other conductors in linear sRGB: eta r, g, b, k r, g, b.
# These are the numbers that Mitsuba 3.9.1's RGB variants derive from measured spectra (luxpop.com, after
# E. D. Palik, Handbook of Optical Constants of Solids, 1985, and others). A negative component is 0 there.
CONDUCTORS = {
    "a-C": (2.944046, 2.227136, 1.968162, 0.8874649, 0.7992985, 0.81529),
    "Ag": (0.1552762, 0.116728, 0.1383876, 4.828354, 3.122222, 2.146901),
    "Al": (1.657501, 0.8804047, 0.5212445, 9.223811, 6.269502, 4.837004),
    "AlAs": (3.605296, 3.232938, 2.216319, 0.0006794373, 0.0, 0.007512709),
    "AlSb": (0.0, 4.139375, 4.669254, 0.0, 0.09400908, 1.30057),
    "Au": (0.143036, 0.3753071, 1.442045, 3.982997, 2.385556, 1.603359),
    "Be": (4.185012, 3.185029, 2.784061, 3.835466, 3.010122, 2.868994),
    "Cr": (4.369668, 2.916505, 1.654905, 5.206547, 4.231306, 3.754699),
    "CsI": (2.1449, 1.702319, 1.662427, 0.0, 0.0, 0.0),
    "Cu": (0.2010055, 0.9237495, 1.102215, 3.913262, 2.453045, 2.14209),
    "Cu2O": (3.551773, 2.94987, 2.751875, 0.114207, 0.1938969, 0.6061339),
    "Cu_palik": (0.2132285, 0.9197154, 1.102411, 3.921873, 2.457332, 2.136584),
    "CuO": (3.247541, 2.447805, 2.21022, 0.5210896, 0.5700307, 0.7221789),
    "d-C": (2.70872, 2.318826, 2.228898, 0.0, 0.0, 0.0),
    "Hg": (2.398939, 1.440028, 0.9095704, 6.327587, 4.371925, 3.421764),
    "HgTe": (4.77904, 3.231196, 2.659901, 1.631613, 1.58081, 1.729287),
    "Ir": (3.0863, 2.082191, 1.617915, 5.592153, 4.067088, 3.267312),
    "K": (0.06404319, 0.04640977, 0.03818491, 2.1042, 1.34894, 0.9131259),
    "Li": (0.2657909, 0.1956183, 0.2209486, 3.540155, 2.311123, 1.668607),
    "MgO": (2.089584, 1.650723, 1.594879, 0.0, 0.0, 0.0),
    "Mo": (4.483974, 3.525131, 2.77631, 4.111437, 3.420827, 3.150607),
    "Na_palik": (0.06026936, 0.05614095, 0.06198843, 3.179273, 2.11249, 1.579041),
    "Nb": (3.420074, 2.790093, 2.395629, 3.441395, 2.737666, 2.579746),
    "Ni_palik": (2.367305, 1.663373, 1.467078, 4.498812, 3.050153, 2.345439),
    "Rh": (2.585793, 1.860216, 1.554263, 6.78226, 4.702987, 3.976073),
    "Se": (4.058311, 2.842935, 2.820853, 0.7540495, 0.6384435, 0.5218076),
    "Se-e": (5.722849, 4.165736, 4.081338, 0.8711363, 1.105157, 1.56532),
    "SiC": (3.172342, 2.525972, 2.479371, 7.537664e-07, 0.0, 1.019253e-05),
    "SnTe": (4.52425, 1.981645, 1.281591, 0.0, 0.0, 0.0),
    "Ta": (2.062721, 2.392939, 2.627929, 2.40836, 1.741486, 1.947028),
    "Te": (7.390234, 4.482105, 2.637106, 3.256022, 3.527059, 3.292054),
    "Te-e": (7.508907, 4.296429, 2.369988, 5.583929, 4.947205, 3.997592),
    "ThF4": (1.830714, 1.442229, 1.387648, 0.0, 0.0, 0.0),
    "TiC": (3.700528, 2.837422, 2.582287, 3.265635, 2.351589, 2.172791),
    "TiN": (1.64845, 1.150516, 1.379823, 3.368328, 1.943498, 1.102068),
    "TiO2": (3.45661, 2.801736, 2.905175, 0.0001052648, 0.0, 0.0006528865),
    "TiO2-e": (3.106565, 2.513168, 2.582444, 2.975161e-05, 0.0, 0.0001826981),
    "V_palik": (4.277582, 3.512949, 2.761071, 3.491301, 2.889455, 3.111522),
    "VC": (3.657566, 2.752736, 2.532672, 3.068301, 2.198687, 1.963193),
    "VN": (2.865602, 2.119189, 1.940091, 3.032243, 2.056116, 1.616306),
    "W": (4.370817, 3.300246, 2.998407, 3.500641, 2.604874, 2.273233),
}
_PALIK = "_palik"  # Mitsuba knows the same data under a second name; for these the two are one
_NO_MATERIAL = "none"  # a perfect mirror: eta 0, k 1


def index_of_refraction(reader: Reader, key: str, default_name: str) -> float:
    """A number above zero, or a substance by its name in any case of letters (``bk7``)."""
    value = reader.data.get(key, default_name)
    if not isinstance(value, str):
        return reader.number(key, above=0.0)
    name = reader.string(key, default_name).lower()
    if name not in INDICES:
        hint = nearest(name, INDICES) or f"; known are {', '.join(INDICES)}"
        reader.fail(f"no index of refraction for {describe(value)}{hint}; or give a number", key)
    return INDICES[name]


def conductor_ior(reader: Reader) -> tuple[np.ndarray, np.ndarray] | None:
    """eta and k of the `material` that a conductor names, float64 (3,) each.

    None where there is no material, or "none": then eta and k are read as textures, with Mitsuba's defaults
    0 and 1 (a perfect mirror). Fails where a material is given together with eta or k.
    """
    name = reader.string("material", _NO_MATERIAL)
    if name == _NO_MATERIAL:
        return None
    row = CONDUCTORS.get(name) or CONDUCTORS.get(name.removesuffix(_PALIK))
    if row is None:
        known = [*CONDUCTORS, _NO_MATERIAL]
        hint = nearest(name, known) or f"; known are {', '.join(known)}"
        reader.fail(f"unknown material '{name}'{hint}; or give eta and k", "material")
    for key in ("eta", "k"):
        if key in reader.data:
            reader.fail(f"both material and {key} are given; keep material, or eta and k", "material")
    return np.array(row[:3]), np.array(row[3:])
