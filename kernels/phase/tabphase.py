"""A tabulated phase function: linear between `values` at regular cosines from -1 to 1, the last forward.

    f(cos) = v(cos) / (2 pi I),        I the integral of v over the cosine

so that it is normalised whatever the values are, and its derivative goes through I, too. It reads memory and
is no traced function: its derivatives are stated here, with w_k the share of value k at the cosine and a_k
that in the integral:

    df / dv_k = (w_k / (2 pi) - f a_k) / I

Samples come from the distribution function at the nodes, in `phase_tables`, and inside a cell from the values
at its ends. Where values are differentiated one may be zero: then a share of the directions is uniform
(`min_selection` of the scene's view).

Directions are unit vectors in world space that point away from the scattering point.
"""

from prb.kernels import traced, volume
from prb.kernels.backend import pi, ti
from prb.kernels.frame import larger, smaller, vec3
from prb.kernels.gradient import add
from prb.kernels.parameter import Parameter
from prb.kernels.phase.angles import around
from prb.kernels.phase.isotropic import UNIFORM
from prb.kernels.phase.reads import TABLE
from prb.kernels.warp import BELOW_1, square_to_sphere

PARAMETER = Parameter("values", default=1.0, number=True)
READS = TABLE


@traced.traced
def unrolled_values(features):
    """How often the tape repeats the sum over values, at least their number."""
    if features.phase_values < 2:
        raise ValueError("Features.phase_values has to be the largest number of values of a tabulated phase")
    return features.phase_values


@ti.func
def node(cosine, n):
    """(k, f): the node before a cosine, and how far it lies towards the next one, in [0, 1]."""
    x = (0.5 + 0.5 * smaller(larger(cosine, -1.0), 1.0)) * ti.f32(n - 1)
    k = ti.min(ti.i32(x), n - 2)
    return k, x - ti.f32(k)


@ti.func
def between(buffer: ti.template(), first, n, cosine):
    """What is linear between the n numbers from `first` on."""
    k, f = node(cosine, n)
    return (1.0 - f) * buffer[first + k] + f * buffer[first + k + 1]


@ti.func
def part(buffer: ti.template(), first, n, begin: ti.template(), count: ti.template()):
    """The sum of those of `count` numbers that exist, halved again and again: the tape has no loops."""
    if ti.static(count > 1):
        half = ti.static(count // 2)
        return part(buffer, first, n, begin, half) + part(buffer, first, n, begin + half, count - half)
    else:
        return ti.select(begin < n, buffer[first + ti.min(begin, n - 1)], 0.0)


@ti.func
def integral(scene: ti.template(), buffer: ti.template(), first, n):
    """The integral over the cosine of what is linear between the n numbers from `first` on."""
    total = 0.0
    if ti.static(scene.execution.unrolled):
        total = part(buffer, first, n, 0, unrolled_values(scene.features))
    else:
        for k in range(n):
            total += buffer[first + k]
    total -= 0.5 * (buffer[first] + buffer[first + n - 1])
    return total * 2.0 / ti.f32(n - 1)


@ti.func
def values(scene: ti.template(), index, wi, wo_light, wo):
    """The values of the phase function for two directions. index: of its volume."""
    first, n = scene.base + scene.volumes[index][volume.OFFSET], scene.volumes[index][volume.CHANNELS]
    scale = (0.5 / pi) / integral(scene, scene.params, first, n)
    value_light = scale * between(scene.params, first, n, -wi.dot(wo_light))
    return value_light, scale * between(scene.params, first, n, -wi.dot(wo))


@ti.func
def cell(scene: ti.template(), first, table, k):
    """(probability of cell k, values at its ends), none of them below zero."""
    mass = scene.phase_tables[table + k + 1] - scene.phase_tables[table + k]
    return mass, ti.max(scene.params[first + k], 0.0), ti.max(scene.params[first + k + 1], 0.0)


@ti.func
def density(scene: ti.template(), index, table, wi, wo):
    """The density of `sample` for wo. table: where the distribution function begins."""
    first, n = scene.base + scene.volumes[index][volume.OFFSET], scene.volumes[index][volume.CHANNELS]
    k, f = node(-wi.dot(wo), n)
    mass, a, b = cell(scene, first, table, k)
    mean = 0.5 * (a + b)
    shape = ti.select(mean > 0, ((1.0 - f) * a + f * b) / ti.select(mean > 0, mean, 1.0), 1.0)
    tabulated = mass * shape * (ti.f32(n - 1) * (0.25 / pi))
    return (tabulated + scene.min_selection * UNIFORM) / (1.0 + scene.min_selection)


@ti.func
def sample(scene: ti.template(), index, table, wi, u):
    """A direction. u: two uniform numbers."""
    first, n = scene.base + scene.volumes[index][volume.OFFSET], scene.volumes[index][volume.CHANNELS]
    wo = vec3(0.0, 0.0, 0.0)
    uniform = scene.min_selection / (1.0 + scene.min_selection)
    if u[0] < uniform:
        wo = square_to_sphere(u[0] / uniform, u[1])
    else:
        x = smaller((u[0] - uniform) / (1.0 - uniform), BELOW_1)
        low, high = 0, n - 1  # the distribution function is at most x at `low` and above it at `high`
        while high - low > 1:
            middle = (low + high) // 2
            if scene.phase_tables[table + middle] <= x:
                low = middle
            else:
                high = middle
        mass, a, b = cell(scene, first, table, low)
        x = (x - scene.phase_tables[table + low]) / larger(mass, 1e-30)
        x = smaller(larger(x, 0.0), 1.0)
        # (a + b) x = 2 a f + (b - a) f^2, solved without cancellation
        divisor = a + ti.sqrt(a * a + (b * b - a * a) * x)
        f = ti.select(divisor > 0, x * (a + b) / ti.select(divisor > 0, divisor, 1.0), x)
        cosine = smaller((ti.f32(low) + f) * (2.0 / ti.f32(n - 1)) - 1.0, 1.0)
        sine = ti.sqrt(larger((1.0 - cosine) * (1.0 + cosine), 0.0))
        wo = traced.value(around, -wi, cosine, sine, u[1])
    return wo


@ti.func
def pull_back(
    scene: ti.template(), gradient: ti.template(), index, wi, wo_light, wo, grad_light, grad
):  # fmt: skip
    """Add the cotangents of what `values` returns, pulled back to the values, to the gradient."""
    offset, n = scene.volumes[index][volume.OFFSET], scene.volumes[index][volume.CHANNELS]
    if offset < gradient.size:
        first = scene.base + offset
        scale = 1.0 / integral(scene, scene.params, first, n)
        k_light, f_light = node(-wi.dot(wo_light), n)
        k, f = node(-wi.dot(wo), n)
        g_light, g = grad_light * scale * (0.5 / pi), grad * scale * (0.5 / pi)
        value_light = between(scene.params, first, n, -wi.dot(wo_light))
        total = g_light * value_light + g * between(scene.params, first, n, -wi.dot(wo))
        share = -total * scale * 2.0 / ti.f32(n - 1)
        for j in range(n):
            change = share * ti.select((j == 0) | (j == n - 1), 0.5, 1.0)
            change += ti.select(j == k, g * (1.0 - f), 0.0) + ti.select(j == k + 1, g * f, 0.0)
            change += ti.select(j == k_light, g_light * (1.0 - f_light), 0.0)
            change += ti.select(j == k_light + 1, g_light * f_light, 0.0)
            add(gradient, offset + j, change)


@ti.func
def push_forward(scene: ti.template(), tangents: ti.template(), index, wi, wo):
    """The value for a direction and its tangent."""
    first, n = scene.base + scene.volumes[index][volume.OFFSET], scene.volumes[index][volume.CHANNELS]
    scale = 1.0 / integral(scene, scene.params, first, n)
    cosine = -wi.dot(wo)
    value = between(scene.params, first, n, cosine) * (scale * (0.5 / pi))
    dvalue = between(tangents, first, n, cosine) * (0.5 / pi)
    dvalue -= value * integral(scene, tangents, first, n)
    return value, dvalue * scale
