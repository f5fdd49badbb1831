"""What prb supports: every plugin, what it is and the function that reads it.

A new plugin is one function and one line in the table of its kind (`SHAPES`, `TEXTURES`, ...); a
new surface-scattering model needs nothing here, its file in `prb.kernels.bsdf` declares it.
"""

from prb.scene.plugins.emitters import EMITTERS
from prb.scene.plugins.integrators import INTEGRATORS
from prb.scene.plugins.materials import BSDFS
from prb.scene.plugins.media import MEDIA
from prb.scene.plugins.phases import PHASES
from prb.scene.plugins.sensors import FILMS, RFILTERS, SAMPLERS, SENSORS
from prb.scene.plugins.shapes import SHAPES
from prb.scene.plugins.textures import TEXTURES
from prb.scene.plugins.volumes import VOLUMES
from prb.scene.reading.reader import Plugin

PLUGINS = {
    name: Plugin(category, make)
    for category, table in {
        "bsdf": BSDFS,
        "emitter": EMITTERS,
        "film": FILMS,
        "integrator": INTEGRATORS,
        "medium": MEDIA,
        "phase": PHASES,
        "rfilter": RFILTERS,
        "sampler": SAMPLERS,
        "sensor": SENSORS,
        "shape": SHAPES,
        "texture": TEXTURES,
        "volume": VOLUMES,
    }.items()
    for name, make in table.items()
}

# Mitsuba 3.9.1's plugins, to tell "not yet" from "no such thing".
MITSUBA_PLUGINS = frozenset(
    """
    aov area batch bitmap blackbody blendbsdf blendphase box bsplinecurve bumpmap catmullrom checkerboard
    circular conductor constant constvolume cube cylinder d65 depth dielectric diffuse direct
    direct_projective directional directionalarea disk distant ellipsoids ellipsoidsmesh envmap gaussian
    gridvolume hair hdrfilm heterogeneous hg homogeneous independent instance irradiancemeter irregular
    isotropic lanczos ldsampler linearcurve mask measured measured_polarized merge mesh_attribute mitchell
    moment multijitter normalmap null obj orthogonal orthographic path perspective plastic ply point
    polarizer pplastic prb prb_basic prb_projective prbvolpath principled principledthin projector ptracer
    radiancemeter rawconstant rayleigh rectangle regular retarder roughconductor roughdielectric
    roughplastic sdfgrid serialized sggx shapegroup specfilm sphere spot srgb stokes stratified sunsky
    tabphase tent thindielectric thinlens timed_sunsky twosided uniform volpath volpathmis
    volprim_rf_basic volume
""".split()
)
