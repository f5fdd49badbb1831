"""The lights, by plugin name. A new one is its file and its line here.

Radiance is texture0(uv) * texture1(uv) * scale: the textures are those of the light's row in `emitters`
(kind, texture0, texture1 or -1, first row of its own in `emitter_data`), uv and scale the sample's. Each
module has
    PARAMETER       its radiometric quantity: texture0
    PLACEMENT       "position", "direction", "frame" (a rotation and a position), or None
    CONSTANTS       further numbers of the scene file, where there are any
    data(light)     its rows of four numbers in `emitter_data`, where it has any, of a `Description`
    power(light, radius)
                    its power where the quantity is 1; radius: of the scene's bounding sphere. Not of `area`
    sample(scene, entry, ref, u1, u2) -> LightSample
                    a direction from ref to the light of an entry of `lights`
and those that a ray can find
    pdf(...)        (area) density, in solid angle, of `sample` at a direction that a ray found
    environment(scene, index, d, weighed) -> (density if weighed, uv)
                    (constant, envmap) the same for emitter `index` where a ray along d left the scene
"""

from prb.kernels.emitter import area, constant, directional, envmap, point, projector, spot
from prb.kernels.emitter.description import Description
from prb.kernels.traced import traced

__all__ = ["Description", "ENVIRONMENTS", "FOUND_BY_RAYS", "KINDS", "REGISTRY", "of"]

REGISTRY = {
    "area": area,
    "constant": constant,
    "point": point,
    "envmap": envmap,
    "spot": spot,
    "directional": directional,
    "projector": projector,
}
KINDS = {name: number for number, name in enumerate(REGISTRY)}
ENVIRONMENTS = tuple(name for name, light in REGISTRY.items() if hasattr(light, "environment"))
FOUND_BY_RAYS = (*ENVIRONMENTS, *(name for name, light in REGISTRY.items() if hasattr(light, "pdf")))


@traced
def of(name):
    """The module of a plugin, also inside a kernel."""
    return REGISTRY[name]
