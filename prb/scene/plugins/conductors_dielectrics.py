"""Reading conductors and dielectrics, smooth and rough, and choosing the variant that a scene needs."""

import numpy as np

from prb.kernels.bsdf import conductor, dielectric, roughconductor, roughdielectric, thindielectric
from prb.scene.model import Bsdf, Texture
from prb.scene.plugins.optics import conductor_ior, index_of_refraction
from prb.scene.reading.reader import Reader


def _variant(reader: Reader) -> str:
    """The entry of the registry: which distribution, and one roughness or one along each tangent."""
    distribution = reader.choice("distribution", ("beckmann", "ggx"), "beckmann")
    if not reader.boolean("sample_visible", True):
        reader.warn(
            "only visible normals are sampled; the picture has less noise and is otherwise the same",
            "sample_visible",
        )
    given = [key for key in ("alpha_u", "alpha_v") if key in reader]
    if given and "alpha" in reader:
        reader.fail(f"says the same as {' and '.join(given)}; remove it, or them", "alpha")
    if len(given) == 1:
        (other,) = {"alpha_u", "alpha_v"} - set(given)
        reader.fail(f"missing, {given[0]} is there; give both, or alpha alone", other)
    beckmann = "_beckmann" if distribution == "beckmann" else ""
    return f"{reader.type}{beckmann}{'_anisotropic' if given else ''}"


def _conductor(reader: Reader) -> Bsdf:
    rough = reader.type == "roughconductor"
    kind = _variant(reader) if rough else reader.type
    model = roughconductor.VARIANTS[kind] if rough else conductor
    preset = dict(zip(("eta", "k"), conductor_ior(reader) or (), strict=False))
    textures = {}
    for q in model.PARAMETERS:
        if q.key in preset:
            value = preset[q.key].astype(np.float32)
            textures[q.key] = Texture(f"{reader.name}.{q.key}.value", "rgb", value, q.low, q.high)
        else:
            textures[q.key] = reader.texture_of(q)
    return Bsdf(reader.name, kind, textures)


def _dielectric(reader: Reader) -> Bsdf:
    kind, model = reader.type, {"dielectric": dielectric, "thindielectric": thindielectric}.get(reader.type)
    inside = index_of_refraction(reader, "int_ior", "bk7")
    outside = index_of_refraction(reader, "ext_ior", "air")
    if model is None:
        kind = _variant(reader)
        model = roughdielectric.VARIANTS[kind]
        if inside == outside:
            reader.fail(f"the same as ext_ior, {outside:g}: there is no boundary; use a null bsdf", "int_ior")
    textures = {q.key: reader.texture_of(q) for q in model.PARAMETERS if q.key != "eta"}
    (eta,) = (q for q in model.PARAMETERS if q.key == "eta")
    value = np.array(inside / outside, np.float32)
    reader.check_range(value, eta.low, eta.high, "int_ior")
    textures["eta"] = Texture(
        f"{reader.name}.eta", "uniform", value, eta.low, eta.high, bends_rays=not eta.differentiable
    )
    return Bsdf(reader.name, kind, textures)


BSDFS = {
    "conductor": _conductor,
    "roughconductor": _conductor,
    "dielectric": _dielectric,
    "thindielectric": _dielectric,
    "roughdielectric": _dielectric,
}
