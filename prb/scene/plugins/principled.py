"""Reading `principled` and `principledthin`, and choosing the variant that a scene needs."""

from prb.kernels.bsdf import principled, principledthin
from prb.scene.model import Bsdf
from prb.scene.reading.reader import Reader


def _rates(reader: Reader, keys) -> dict[str, float]:
    """Rates of the lobes in sampling: they change the noise, not the picture."""
    return {key: reader.number(key, 1.0, low=0.0) for key in keys}


def _principled(reader: Reader) -> Bsdf:
    by_eta = "eta" in reader
    if by_eta and "specular" in reader:
        reader.fail("eta and specular say the same; remove one of them", "specular")
    transmits = "spec_trans" in reader
    kind = "principled" + ("" if transmits else "_opaque") + ("_eta" if by_eta else "")
    model = principled.VARIANTS[kind]
    textures = {q.key: reader.texture_of(q) for q in model.PARAMETERS}
    constants = _rates(reader, principled.RATES)
    if not transmits:
        # Where the file has equal indices Mitsuba leaves out the main lobe, also that of a metal.
        equal = textures["eta"].value == 1 if by_eta else textures["specular"].value == 0
        constants[principled.MATCHED] = float(equal)
    return Bsdf(reader.name, kind, textures, constants=constants)


def _principledthin(reader: Reader) -> Bsdf:
    textures = {q.key: reader.texture_of(q) for q in principledthin.PARAMETERS}
    return Bsdf(reader.name, "principledthin", textures, constants=_rates(reader, principledthin.CONSTANTS))


BSDFS = {"principled": _principled, "principledthin": _principledthin}
