"""The lights, by plugin name. A new one is its file and its line here.

Radiance is texture0(uv) * texture1(uv) * scale: the textures are those of the light's row in `emitters`
(kind, texture0, texture1 or -1, first row of its own in `emitter_data`), uv and scale the sample's. Each
module has
    PARAMETER       its radiometric quantity: texture0
    sample(scene, entry, ref, u1, u2) -> LightSample
                    a direction from ref to the light of an entry of `lights`
and those that a ray can find
    pdf(...)        (area) density, in solid angle, of `sample` at a direction that a ray found
    environment(scene, index, d, weighed) -> (density if weighed, uv)
                    (constant, envmap) the same for emitter `index` where a ray along d left the scene
"""

from prb.kernels.emitter import area, constant, directional, envmap, point, projector, spot
from prb.kernels.traced import traced

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
ENVIRONMENTS = ("constant", "envmap")  # all around the scene; it holds one of them at most


@traced
def of(name):
    """The module of a plugin, also inside a kernel."""
    return REGISTRY[name]
