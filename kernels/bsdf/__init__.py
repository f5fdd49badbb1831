"""The surface-scattering models, by plugin name. A new one is its file and its line here.

Conventions. Directions are unit vectors in the local frame, with the normal along +z and x along dp/du where
the model needs it, and point away from the surface: wi to where the path comes from, wo to where it goes on.
`eval` includes |cos wo|. It is for radiance that travels from wo to wi: transmission carries the square of
the index on the side of wi over that on the side of wo. Densities are by the solid angle of wo; that of a
delta lobe is a probability, and its value the lobe's coefficient.

Each model has
    PARAMETERS                  what it takes, in the order of the tuple p
    CONSTANTS                   names of further numbers, fixed when the scene is loaded; p ends with them
    eval(p, wi, wo, delta)      f(wi, wo) |cos wo|; where delta is 1, wo comes from a delta lobe of `sample`
    sample(p, wi, u)            (wo, density, delta, eta) from three uniform numbers u on [0, 1)
    pdf(p, wi, wo)              the density of wo, of what is not delta

The last three are traced functions (kernels/traced.py): a kernel calls them by `traced.value`, and
`traced.vjp` and `traced.jvp` differentiate them. In what `sample` returns, delta is 1 for a delta lobe, else
0; eta is the index of refraction on the side of wo over that on the side of wi; a density of 0 says that
there is no direction. Its derivatives are those of wo and of the density at fixed random numbers, within the
lobe that these choose.

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
def lookup_of(name, i):
    """What `Features.varying` calls a model's parameter number i."""
    return f"{name}.{REGISTRY[name].PARAMETERS[i].key}"


@traced
def constants_of(name):
    """The names of a model's constants."""
    return getattr(REGISTRY[name], "CONSTANTS", ())
