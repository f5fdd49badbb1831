"""Surface-scattering models (BSDFs), by plugin name. A new one takes its file and its line here.

Conventions. Directions are unit vectors in the local frame, with the normal along +z and x along dp/du where
the model needs it, and point away from the surface: wi to where the path comes from, wo to where it goes on.
`eval` includes |cos wo|. It is for radiance, which travels from wo to wi: transmission contains the square of
the index of refraction on the side of wi over that on the side of wo. Densities are by the solid angle of wo.
For a delta lobe the density is a probability and the value is the coefficient of the lobe.

Each model has
    PARAMETERS                  its `Parameter`s, in the order of the tuple p
    CONSTANTS                   names of further numbers that are fixed when the scene is loaded; p ends with
                                them
    eval(p, wi, wo, delta)      f(wi, wo) |cos wo|, without delta lobes; if delta is 1, of wo's delta lobe
    sample(p, wi, u)            (wo, density, delta, eta, chance) from three uniform numbers u on [0, 1)
    pdf(p, wi, wo)              the density of `sample` for wo, without delta lobes

A model with a delta lobe says so by DELTA_LOBE = True.

A model that a ray may pass straight through, as if it were not there, has a lobe for wo = -wi and
    straight(p, wi)             the coefficient of that lobe

The functions are traced (kernels/traced.py): a kernel evaluates them by `traced.value`, and
`traced.vjp` and `traced.jvp` differentiate them. In what `sample` returns, delta is 1 for a delta lobe, else
0; eta is the index of refraction on the side of wo over that on the side of wi; a density of 0 means that
there is no direction. The derivatives of `sample` hold for fixed random numbers and the lobe that these
select; chance is the probability of that lobe, for the other numbers as they are.

A plugin whose variants are distinguished by constants of the scene file (GGX or Beckmann) has a line for
each, so that a kernel holds only what its scene uses.
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
    """The model of a name; kernels may call this."""
    return REGISTRY[name]


@traced
def lookup_of(name, i):
    """The name of the texture lookups of a model's parameter number i, as in `Features.varying`."""
    return f"{name}.{REGISTRY[name].PARAMETERS[i].key}"


@traced
def constants_of(name):
    """The names of a model's constants."""
    return getattr(REGISTRY[name], "CONSTANTS", ())


@traced
def passes_straight(name):
    """True if a ray may pass straight through a surface of this model."""
    return hasattr(REGISTRY[name], "straight")


@traced
def has_delta_lobe(name):
    """True if the model has a delta lobe."""
    return getattr(REGISTRY[name], "DELTA_LOBE", False)
