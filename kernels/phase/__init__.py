"""Phase functions, by plugin name. A new one takes its file and its line here.

Conventions. Directions are unit vectors in world space that point away from the scattering point: wi to where
the path comes from, wo to where it goes on. Light that is not deflected has wo = -wi; the cosine of the angle
of deflection is -(wi . wo), 1 forward. (Mitsuba's formulas have wi . wo, with the sign of g to match: the
values are the same.) Values are by the solid angle of wo and have the integral 1 over the sphere.

Each model has
    PARAMETER           the `Parameter` that it takes, or None; its numbers are a volume
    READS               how: NOTHING, p is empty; NUMBER, p has one number; PAIR, p has two vectors of six
                        numbers; TABLE, functions of its own read any number of them from memory
    eval(p, wi, wo)     the phase function
    sample(p, wi, u)    (wo, density) from two uniform numbers u on [0, 1); a density of 0 means that there is
                        no direction
    pdf(p, wi, wo)      the density of `sample` for wo

The last three are traced functions (kernels/traced.py), except those of TABLE. Models are sampled perfectly:
`pdf` has the numbers of `eval`. But a parameter moves only the value, as the density is a constant under
detached sampling.
"""

from prb.kernels.phase import hg, isotropic, rayleigh, sggx, tabphase
from prb.kernels.phase.reads import NOTHING, NUMBER, PAIR, TABLE
from prb.kernels.traced import traced

__all__ = ["KINDS", "NOTHING", "NUMBER", "PAIR", "REGISTRY", "TABLE", "items", "of", "reads"]

REGISTRY = {
    "hg": hg,
    "isotropic": isotropic,
    "rayleigh": rayleigh,
    "sggx": sggx,
    "tabphase": tabphase,
}
KINDS = {name: number for number, name in enumerate(REGISTRY)}


@traced
def of(name):
    """The model of a name; kernels may call this."""
    return REGISTRY[name]


@traced
def reads(name):
    """How the model of a name reads its parameter."""
    return REGISTRY[name].READS


@traced
def items(name):
    """How many numbers or vectors the argument p of a model has."""
    return {NOTHING: 0, NUMBER: 1, PAIR: 2}[reads(name)]
