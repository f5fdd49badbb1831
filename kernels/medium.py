"""Participating media: extinction, albedo, emission, and their derivatives.

The extinction sigma_t (1 / length) is the product of a volume and of the medium's scale. Where the medium's
own phase function is `sggx`, not one inside a blend, the area sqrt(d . S d) of its flakes, seen along the
ray's direction d, is a third factor (kernels/phase/sggx.py). The coefficient of scattering is the extinction
times the albedo. A heterogeneous medium is empty outside the unit cube of its sigma_t. kernels/tracking.py
goes through them.
"""

from prb.kernels import traced, volume
from prb.kernels.backend import ti
from prb.kernels.frame import vec3
from prb.kernels.phase import sggx

# Columns of `media`, one row for each medium. SIGMA_T, ALBEDO, SCALE, EMISSION: numbers of volumes (EMISSION
# -1 where it does not emit). PHASE, PHASES: first row of its leaves in `phases`, and their number.
# CELLS: first cell in `majorants`; CELLS_X, CELLS_Y, CELLS_Z: how many there are along each axis of the unit
# cube of sigma_t (1 each, if it is homogeneous). FLAKES: the volume S by which extinction depends on the
# direction, -1 for none.
HETEROGENEOUS, SIGMA_T, ALBEDO, SCALE, EMISSION, PHASE, PHASES, SAMPLE_EMITTERS = 0, 1, 2, 3, 4, 5, 6, 7
CELLS, CELLS_X, CELLS_Y, CELLS_Z, FLAKES = 8, 9, 10, 11, 12
MEDIUM_COLUMNS = 13

# The code of a shape's media: BOUNDARY + (interior + 1) + (exterior + 1) * SIDES, -1 for vacuum; 0 if it
# bounds no medium.
SIDES = 2**12  # media at most
BOUNDARY = 2**24


@ti.func
def crossed(boundary, medium, cos_out):
    """The medium (-1 for vacuum) behind a surface, whose code is `boundary`, for a ray in `medium`.

    cos_out: the cosine between the ray and the geometric normal.
    """
    result = medium
    if boundary != 0:
        sides = boundary - BOUNDARY
        result = ti.select(cos_out < 0, sides % SIDES, sides // SIDES) - 1
    return result


@ti.func
def projected_area(scene: ti.template(), buffer: ti.template(), base, medium, p, d):
    """The flakes' area at a point, seen along d; 1 if extinction is the same for all directions. S comes from
    `buffer`, in which the parameters begin at index `base`."""
    area = 1.0
    index = scene.media[medium, FLAKES]
    if index >= 0:
        a, b = volume.fetch_pair_from(scene, buffer, base, index, p)
        area = traced.value(sggx.projected_area, (a, b), d)
    return area


@ti.func
def extinction(scene: ti.template(), medium, p, d):
    """sigma_t at a point for a ray along d, a unit vector, for each channel."""
    density = vec3(0.0, 0.0, 0.0)
    if ti.static(scene.features.spectral):
        density = volume.fetch(scene, scene.params, scene.media[medium, SIGMA_T], p)
    else:
        density += volume.fetch_number(scene, scene.params, scene.media[medium, SIGMA_T], p)
    sigma = density * volume.fetch_number(scene, scene.params, scene.media[medium, SCALE], p)
    if ti.static(scene.features.microflakes):
        sigma *= projected_area(scene, scene.params, scene.base, medium, p, d)
    return sigma


@ti.func
def pull_back_extinction(scene: ti.template(), gradient: ti.template(), medium, p, d, grad_sigma):
    """Transpose of `extinction`: add its cotangent, pulled back to density, scale and S, to the gradient."""
    scale = volume.fetch_number(scene, scene.params, scene.media[medium, SCALE], p)
    density = volume.fetch(scene, scene.params, scene.media[medium, SIGMA_T], p)
    if ti.static(scene.features.microflakes):
        index = scene.media[medium, FLAKES]
        if index >= 0:
            a, b = volume.fetch_pair(scene, scene.params, index, p)
            grad_area = scale * grad_sigma.dot(density)
            area, grads = traced.vjp(sggx.projected_area, ((a, b), d), grad_area, (0,))
            volume.scatter_pair(scene, gradient, index, p, grads[0][0], grads[0][1])
            grad_sigma *= area
    volume.scatter(scene, gradient, scene.media[medium, SIGMA_T], p, scale * grad_sigma)
    volume.scatter_number(scene, gradient, scene.media[medium, SCALE], p, grad_sigma.dot(density))


@ti.func
def push_forward_extinction(scene: ti.template(), tangents: ti.template(), medium, p, d):
    """The tangent of `extinction`, for the parameters' tangents."""
    scale = volume.fetch_number(scene, scene.params, scene.media[medium, SCALE], p)
    density = volume.fetch(scene, scene.params, scene.media[medium, SIGMA_T], p)
    dscale = volume.fetch_number(scene, tangents, scene.media[medium, SCALE], p)
    ddensity = volume.fetch(scene, tangents, scene.media[medium, SIGMA_T], p)
    dsigma = scale * ddensity + dscale * density
    if ti.static(scene.features.microflakes):
        index = scene.media[medium, FLAKES]
        if index >= 0:
            a, b = volume.fetch_pair(scene, scene.params, index, p)
            da, db = volume.fetch_pair(scene, tangents, index, p)
            area, darea = traced.jvp(sggx.projected_area, ((a, b), d), ((da, db), None))
            dsigma = area * dsigma + darea * scale * density
    return dsigma


@ti.func
def change(scene: ti.template(), medium, p, d):
    """sigma_t at a point, less the same number as a constant: zero, with the derivative of sigma_t."""
    constants = ti.static(scene.constant_params)
    row = scene.media[medium, SIGMA_T], scene.media[medium, SCALE]
    sigma = volume.fetch(scene, scene.params, row[0], p) * volume.fetch_number(scene, scene.params, row[1], p)
    now = volume.fetch_from(scene, constants, 0, row[0], p)
    now *= volume.fetch_number_from(scene, constants, 0, row[1], p)
    if ti.static(scene.features.microflakes):
        sigma *= projected_area(scene, scene.params, scene.base, medium, p, d)
        now *= projected_area(scene, constants, 0, medium, p, d)
    return sigma - now


@ti.func
def albedo(scene: ti.template(), buffer: ti.template(), medium, p):
    """The single-scattering albedo at a point, its numbers from `buffer` (parameters or their tangents)."""
    return volume.fetch(scene, buffer, scene.media[medium, ALBEDO], p)


@ti.func
def emission(scene: ti.template(), buffer: ti.template(), medium, p):
    """Radiance emitted for each unit of length at a point; 0 if the medium does not emit."""
    result = vec3(0.0, 0.0, 0.0)
    if scene.media[medium, EMISSION] >= 0:
        result = volume.fetch(scene, buffer, scene.media[medium, EMISSION], p)
    return result
