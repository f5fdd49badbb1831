"""Reading `plastic`, `roughplastic` and `phong`: a diffuse base under a glossy coat or lobe."""

import numpy as np

from prb.kernels.bsdf import phong, plastic, roughplastic
from prb.scene.model import Bsdf, Texture
from prb.scene.plugins.optics import index_of_refraction
from prb.scene.plugins.rough_coat import expansions
from prb.scene.reading.reader import Reader


def _eta(reader: Reader, parameter, *, fixed) -> Texture:
    """The relative index of refraction under Mitsuba's name; fixed: it keeps its value."""
    inside = index_of_refraction(reader, "int_ior", "polypropylene")
    outside = index_of_refraction(reader, "ext_ior", "air")
    eta = np.array(inside / outside, np.float32)
    if not parameter.low <= eta <= parameter.high:
        reader.fail(
            f"int_ior / ext_ior is {eta:g}; a plastic needs a value in"
            f" [{parameter.low:g}, {parameter.high:g}]; change int_ior or ext_ior", "int_ior"
        )  # fmt: skip
    low, high = (float(eta), float(eta)) if fixed else (parameter.low, parameter.high)
    return Texture(f"{reader.name}.eta", "uniform", eta, low, high)


def _plastic(reader: Reader) -> Bsdf:
    *colours, eta = plastic.PARAMETERS
    textures = {p.key: reader.texture_of(p) for p in colours}
    textures["eta"] = _eta(reader, eta, fixed=False)
    constants = {"nonlinear": float(reader.boolean("nonlinear", False))}
    return Bsdf(reader.name, "plastic", textures, constants=constants)


def _roughplastic(reader: Reader) -> Bsdf:
    distribution = reader.choice("distribution", ("beckmann", "ggx"), "beckmann")
    if not reader.boolean("sample_visible", True):
        message = "only visible normals are sampled; the picture has less noise and is otherwise the same"
        reader.warn(message, "sample_visible")
    *others, eta = roughplastic.PARAMETERS
    textures = {p.key: reader.texture_of(p) for p in others}
    textures["eta"] = _eta(reader, eta, fixed=True)
    constants = {
        "nonlinear": float(reader.boolean("nonlinear", False)),
        **expansions(distribution, float(textures["eta"].value)),
    }
    kind = "roughplastic" + ("_beckmann" if distribution == "beckmann" else "")
    return Bsdf(reader.name, kind, textures, constants=constants)


def _phong(reader: Reader) -> Bsdf:
    textures = {p.key: reader.texture_of(p) for p in phong.PARAMETERS}
    kind = "phong" if reader.boolean("normalized", True) else "phong_unnormalized"
    return Bsdf(reader.name, kind, textures)


BSDFS = {"plastic": _plastic, "roughplastic": _roughplastic, "phong": _phong}
