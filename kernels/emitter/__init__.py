"""The lights, by plugin name. A new one is its file and its line here.

Each module has
    PARAMETER       its radiometric quantity
    sample(features, scene, entry, ref, u1, u2) -> LightSample
    pdf(...)        density, in solid angle, of `sample` at a direction that a ray found (not for points)
"""

from prb.kernels.emitter import area, constant, point
from prb.kernels.traced import traced

REGISTRY = {
    "area": area,
    "constant": constant,
    "point": point,
}
KINDS = {name: number for number, name in enumerate(REGISTRY)}


@traced
def of(name):
    """The module of a plugin, also inside a kernel."""
    return REGISTRY[name]
