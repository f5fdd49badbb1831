"""Emitters, by plugin name. A new one takes its file and its line here.

Radiance is texture0(uv) * texture1(uv) * scale. The textures are those of the emitter's row in `emitters`
(kind, texture0, texture1 or -1, first row in `emitter_data`); uv and scale belong to the sample. Directions
are unit vectors in world space that point from the reference point to the light. Densities are by solid angle
at the reference point and contain no cosine; for an emitter at a single direction they are probabilities.
Each module has
    PARAMETER       its radiometric quantity, texture0
    PLACEMENT       "position", "direction", "frame" (a rotation and a position), or None
    data(light)     its rows of four numbers in `emitter_data`, if it has any; light: a `Description`
    power(light, radius)
                    its power for a quantity of 1; radius: of the scene's bounding sphere. `area` has none
    sample(scene, entry, ref, u1, u2) -> LightSample
                    a sampled direction from ref to the emitter of an entry of `lights`; u1, u2: uniform
and may have
    CONSTANTS       further numbers of the scene file, a tuple of `Parameter`s
    environment(scene, index, d, with_pdf) -> (density of `sample` for d, uv)
                    of an emitter around the scene, for a ray along d that left it; the density is valid
                    if with_pdf. index: of the emitter
    connect(rows, ref) -> (d, distance, pdf, scale, uv)
                    a traced function, of an emitter at a single direction; rows: its ROWS in `emitter_data`
    from_parameters(rows, p)
                    its rows as a traced function of the NUMBERS parameters that say where it is; the first
                    one ends with the offset of these in `params`
    ANGLES          names of its angles that are parameters, too, and follow
`area` has `pdf`, the density of `sample` for a ray that hit the surface.
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
    """The module of an emitter; kernels may call this."""
    return REGISTRY[name]
