"""The surface-scattering models, by plugin name. A new one is its file and its line here.

Each module has
    PARAMETERS                  what it takes, in the order of the tuple p
    eval(p, wi, wo)             f(wi, wo) |cos wo|, traced (see kernels/traced.py)
    sample(p, wi, u)            device function: (wo, density)
    pdf(p, wi, wo)              device function
"""

from prb.kernels.bsdf import diffuse
from prb.kernels.traced import traced

REGISTRY = {
    "diffuse": diffuse,
}
KINDS = {name: number for number, name in enumerate(REGISTRY)}
TWOSIDED = len(REGISTRY)  # not a model of its own: `material.resolve` looks through it


@traced
def of(name):
    """The module of a plugin, also inside a kernel."""
    return REGISTRY[name]
