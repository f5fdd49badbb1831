"""The surface-scattering models, by plugin name. A new one is its file and its line here.

Directions are local (normal along +z), unit, and point away from the surface. Each model has
    PARAMETERS                  what it takes, in the order of the tuple p
    CONSTANTS                   names of further numbers, fixed when the scene is loaded; p ends with them
    eval(p, wi, wo, delta)      f(wi, wo) |cos wo|, traced (see kernels/traced.py). Where delta is 1, wo comes
                                from a delta lobe of `sample`, and the result is that lobe's coefficient
    sample(p, wi, u)            device function: (wo, density, delta, relative index of refraction). Where
                                delta is 1 the density is a probability
    pdf(p, wi, wo)              device function: density of what is not delta

A plugin with variants that only the scene file tells apart (GGX or Beckmann) has a line for each, so that
a kernel holds what its scene uses.
"""

from prb.kernels.bsdf import (
    conductor,
    dielectric,
    diffuse,
    null,
    phong,
    plastic,
    principled,
    principledthin,
    roughconductor,
    roughdielectric,
    roughplastic,
    thindielectric,
)
from prb.kernels.traced import traced

REGISTRY = {
    "conductor": conductor,
    "dielectric": dielectric,
    "diffuse": diffuse,
    "null": null,
    **phong.VARIANTS,
    "plastic": plastic,
    **principled.VARIANTS,
    "principledthin": principledthin,
    **roughconductor.VARIANTS,
    **roughdielectric.VARIANTS,
    **roughplastic.VARIANTS,
    "thindielectric": thindielectric,
}
KINDS = {name: number for number, name in enumerate(REGISTRY)}


@traced
def of(name):
    """The model of a name, also inside a kernel."""
    return REGISTRY[name]


@traced
def place_of(name, i):
    """What `Features.varying` calls a model's parameter number i."""
    return f"{name}.{REGISTRY[name].PARAMETERS[i].key}"


@traced
def constants_of(name):
    """The names of a model's constants."""
    return getattr(REGISTRY[name], "CONSTANTS", ())
