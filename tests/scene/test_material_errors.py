"""Mistakes in surfaces, textures, images, meshes' attributes and lights: one line with place and remedy."""

import math
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest

import prb
from prb.cli.main import main
from prb.errors import SceneError
from prb.scene import load_model_dict

pytestmark = pytest.mark.quick

DIFFUSE = {"type": "diffuse"}
GREY = np.full((4, 4, 3), 0.4, np.float32)
IMAGE = {"type": "bitmap", "data": GREY, "raw": True}
BOARD = {"type": "checkerboard"}
METAL = {"type": "roughconductor"}


def scene(**objects):
    return {"type": "scene", "integrator": {"type": "path"}, "sensor": {"type": "perspective", "fov": 40},
            "sky": {"type": "constant"}, **objects}  # fmt: skip


def on(bsdf, **keys):
    """A square of a material."""
    return {"s": {"type": "rectangle", "bsdf": bsdf, **keys}}


def of(texture):
    return on({"type": "diffuse", "reflectance": texture})


def image(data=GREY, **keys):
    return of({"type": "bitmap", "data": data, "raw": True, **keys})


def blend(*models, **keys):
    return {"type": "blendbsdf", **dict(zip("abc", models, strict=False)), **keys}


def nested(depth):
    return DIFFUSE if depth == 0 else blend(nested(depth - 1), DIFFUSE, weight=0.5)


def light(kind, **keys):
    return {"lamp": {"type": kind, **keys}}


def environment(bitmap=GREY, **keys):
    return {"sky": {"type": "envmap", "bitmap": bitmap, **keys}}


# Objects of a scene, how the message begins, and what else it says.
MISTAKES = [
    # nesting
    (on(blend(DIFFUSE, DIFFUSE)), "s.bsdf.weight: missing", "expected a number or a texture"),
    (on(blend(DIFFUSE, DIFFUSE, weight=1.5)), "s.bsdf.weight: 1.5 is out of range", "[0, 1]"),
    (on(blend(DIFFUSE, weight=0.5)), "s.bsdf: blendbsdf holds 2 nested bsdf, got 1", ""),
    (on(blend(DIFFUSE, DIFFUSE, DIFFUSE, weight=0.5)), "s.bsdf: blendbsdf holds 2 nested bsdf, got 3", ""),
    (on(nested(5)), "s.bsdf.bsdf_0.bsdf_0.bsdf_0.bsdf_0: blends are nested more than 4 deep", "flatten"),
    (on(blend(nested(3), {"type": "twosided", "x": nested(2), "y": nested(3)}, weight=0.5)),
     "s.bsdf: mixes 11 models, prb at most 8", "simplify"),
    (on({"type": "mask", "opacity": 0.5}), "s.bsdf: mask holds 1 nested bsdf, got 0", ""),
    (on({"type": "mask", "opacity": -1, "a": DIFFUSE}), "s.bsdf.opacity: -1 is out of range", "[0, 1]"),
    (on({"type": "twosided", "a": {"type": "dielectric"}}), "s.bsdf: a model that lets light through", "rem"),
    (on({"type": "twosided", "a": {"type": "mask", "b": DIFFUSE}}), "s.bsdf: a model that lets", "mask"),
    (on({"type": "normalmap", "a": DIFFUSE}), "s.bsdf.normalmap: missing", "a texture of normals"),
    (on({"type": "normalmap", "normalmap": 0.5, "a": DIFFUSE}), "s.bsdf.normalmap: expected a bitmap", ""),
    (on({"type": "normalmap", "normalmap": BOARD, "a": DIFFUSE}),
     "s.bsdf.normalmap: expected a bitmap with three channels", "got a checkerboard"),
    (on({"type": "normalmap", "normalmap": {**IMAGE, "data": GREY[..., 0]}, "a": DIFFUSE}),
     "s.bsdf.normalmap: expected a bitmap with three channels", "got a bitmap of one channel"),
    (on({"type": "normalmap", "normalmap": IMAGE, "a": {"type": "bumpmap", "t": IMAGE, "b": DIFFUSE}}),
     "s.bsdf.nested_bsdf: one normalmap or bumpmap inside another", "remove one"),
    (on({"type": "bumpmap", "a": DIFFUSE}), "s.bsdf: expected a nested texture of type bitmap", "height"),
    (on({"type": "bumpmap", "t": {"type": "rgb", "value": 1}, "a": DIFFUSE}), "s.bsdf: expected a n", "rgb"),
    (on({"type": "bumpmap", "t": IMAGE, "u": IMAGE, "a": DIFFUSE}), "s.bsdf.u: a bumpmap holds", "remove"),
    # parameters that make no sense together, or none at all
    (on({**METAL, "alpha": 0.1, "alpha_u": 0.1}), "s.bsdf.alpha: says the same as alpha_u", "remove it"),
    (on({**METAL, "alpha_v": 0.1}), "s.bsdf.alpha_u: missing, alpha_v is there", "give both, or alpha"),
    (on({**METAL, "alpha": -1}), "s.bsdf.alpha: -1 is out of range", ""),
    (on({**METAL, "distribution": "phong"}), "s.bsdf.distribution: 'phong' is not one of", "beckmann, ggx"),
    (on({"type": "conductor", "material": "Au", "k": 1.0}), "s.bsdf.material: both material and k", "keep"),
    (on({"type": "conductor", "material": "gold"}), "s.bsdf.material: unknown material 'gold'", "Au"),
    (on({"type": "dielectric", "int_ior": "watre"}), "s.bsdf.int_ior: no index of refraction", "'water'"),
    (on({"type": "dielectric", "int_ior": 0}), "s.bsdf.int_ior: 0 is out of range", ""),
    (on({"type": "roughdielectric", "int_ior": 1.3, "ext_ior": 1.3}), "s.bsdf.int_ior: the same as", "null"),
    (on({"type": "plastic", "int_ior": 1, "ext_ior": 1.3}), "s.bsdf.int_ior: int_ior / ext_ior is", "change"),
    (on({"type": "roughplastic", "alpha": IMAGE}), "s.bsdf.alpha: expected a number, got a dict", "bitmap"),
    (on({"type": "principled", "eta": 1.5, "specular": 0.5}), "s.bsdf.specular: eta and specular", "remove"),
    (on({"type": "principled", "metallic": 2}), "s.bsdf.metallic: 2 is out of range", "[0, 1]"),
    (on({"type": "principled", "rougness": 0.2}), "s.bsdf.rougness: unknown key", "'roughness'"),
    (on({"type": "phong", "exponent": -1}), "s.bsdf.exponent: -1 is out of range", ""),
    (on({"type": "hair"}), "s.bsdf.type: the plugin 'hair' exists in Mitsuba but not (yet) in prb",
     "supported: aov, area, bitmap"),
    # textures
    (of({"type": "bitmap"}), "s.bsdf.reflectance: expected one of filename, bitmap", "got none"),
    (image(filename="x"), "s.bsdf.reflectance: expected one of", "got filename and data"),
    (of({"type": "bitmap", "filename": "no.png"}), "s.bsdf.reflectance.filename: no such file", "no.png"),
    (image(wrap_mode="repaet"), "s.bsdf.reflectance.wrap_mode: 'repaet' is not one of", "'repeat'?"),
    (image(filter_type="linear"), "s.bsdf.reflectance.filter_type: 'linear' is not one of", "'bilinear'?"),
    (image(to_uv=[{"scale": 0}]), "s.bsdf.reflectance.to_uv: the transform is singular", ""),
    (image(to_uv=[[1, 0, 0], [0, 1, 0], [1, 0, 1]]), "s.bsdf.reflectance.to_uv: the last row of a 3x3", ""),
    (image(to_uv=np.zeros((3, 3, 3))), "s.bsdf.reflectance.to_uv: expected a 4x4 matrix", "(3, 3, 3)"),
    (image(GREY * math.nan), "s.bsdf.reflectance.data: the image has numbers that are not finite", "replace"),
    (image(GREY.astype(float) * 1e300), "s.bsdf.reflectance.data: the image has numbers that are not", ""),
    (image(GREY[:0]), "s.bsdf.reflectance.data: expected an image of shape (height, width, 1 or 3)", "(0, 4"),
    (image(GREY[..., :2]), "s.bsdf.reflectance.data: expected an image of shape", "(4, 4, 2)"),
    (image(GREY > 0), "s.bsdf.reflectance.data: expected an image of floats", "bool"),
    (image("x"), "s.bsdf.reflectance.data: expected an image of shape", "the string 'x'"),
    (of({**BOARD, "color0": {**BOARD, "color1": BOARD}}), "s.bsdf.reflectance: checkerboards are nested", ""),
    (of({**BOARD, "color0": 1.5}), "s.bsdf.reflectance.color0: 1.5 is out of range", "[0, 1]"),
    (of({**BOARD, "color0": DIFFUSE}), "s.bsdf.reflectance.color0: expected a colour or a texture", "diff"),
    (of({"type": "mesh_attribute"}), "s.bsdf.reflectance.name: missing", ""),
    (of({"type": "mesh_attribute", "name": "color"}), "s.bsdf.reflectance.name: expected a name that", ""),
    (of({"type": "mesh_attribute", "name": "vertex_color"}),
     "s.bsdf.reflectance: there is no attribute 'vertex_color' on 's'", "a rectangle is no mesh"),
    ({"t": {"type": "uniform", "value": 0.5}, "a": {"type": "cube", "bsdf": {
        "type": "diffuse", "reflectance": {"type": "ref", "id": "t"}}}, "b": {"type": "cube", "e": {
        "type": "area", "radiance": {"type": "ref", "id": "t"}}}},
     "t.value: is the colour of the light b.emitter.radiance and of a.bsdf.reflectance", "write it twice"),
    ({"t": {"type": "uniform", "value": 3.0}, "a": {"type": "cube", "bsdf": {
        **METAL, "eta": {"type": "ref", "id": "t"}}}, "b": {"type": "cube", "bsdf": {
        "type": "diffuse", "reflectance": {"type": "ref", "id": "t"}}}},
     "t.value: b.bsdf.reflectance allows only values in [0, 1]", "one of its own"),
    # lights
    (on(DIFFUSE, e={"type": "area", "radiance": {"type": "mesh_attribute", "name": "face_x"}}),
     "s.e.radiance: a mesh attribute cannot be emitted", "bitmap"),
    (light("point", intensity=IMAGE), "lamp.intensity: point takes one colour, not a bitmap", ""),
    (light("directional", direction=[0, 0, 0]), "lamp.direction: the direction is zero", ""),
    (light("directional", direction=[0, 0, 1], to_world=np.eye(4)), "lamp: both direction and to_world", ""),
    (light("spot", beam_width=50), "lamp.beam_width: beam_width 50 must not be larger", "20"),
    (light("spot", intensity=IMAGE), "lamp.intensity: expected one colour", "the key 'texture'"),
    (light("spot", texture=IMAGE, cutoff_angle=120), "lamp.cutoff_angle: with a texture it must", ""),
    (light("projector", irradiance=IMAGE, to_world=[{"scale": [1, 2, 3]}]), "lamp.to_world: the", "scale"),
    ({"sky": {"type": "envmap"}}, "sky: expected one of filename and bitmap", ""),
    (environment(filename="x"), "sky: expected one of filename and bitmap", ""),
    (environment(GREY * math.inf), "sky.bitmap: the image has numbers that are", "replace"),
    (environment(to_world=[{"scale": 2}]), "sky.to_world: the transform of envmap may not", "rot"),
    (environment(scale=-1), "sky.scale: -1 is out of range", ""),
    (environment() | light("constant"), "lamp: a scene holds one environment light", "remove"),
]  # fmt: skip


@pytest.mark.parametrize("objects, begins, says", MISTAKES, ids=[m[1] for m in MISTAKES])
def test_mistake(objects, begins, says):
    with pytest.raises(SceneError) as caught:
        load_model_dict(scene(**objects))
    message = str(caught.value)
    assert message.startswith(begins)
    assert says in message
    assert "\n" not in message


SHARED = {
    "t": {**IMAGE, "data": GREY * 5},
    "a": {"type": "cube", "e": {"type": "area", "radiance": {"type": "ref", "id": "t"}}},
    "b": {"type": "cube", "x": {"type": "diffuse", "reflectance": {"type": "ref", "id": "t"}}},
}
WARNINGS = [
    (image(GREY * 5), "s.bsdf.reflectance.data: s.bsdf.reflectance has values up to 2, above 1, so"),
    (image(-GREY), "s.bsdf.reflectance.data: the image has values in [-0.4, -0.4]; clipped to [0, 1]"),
    (SHARED, "t.data: b.bsdf.reflectance has values up to 2, above 1, so energy is not conserved"),
    (on({"type": "normalmap", "normalmap": {**IMAGE, "data": np.full((2, 2, 3), 0.5)}, "a": DIFFUSE}),
     "s.bsdf.normalmap: (0.5, 0.5, 0.5) stands for no normal; the surface's own is used there"),
    (on({"type": "normalmap", "a": DIFFUSE,
         "normalmap": {"type": "bitmap", "data": np.full((2, 2, 3), 128, np.uint8)}}),
     "s.bsdf.normalmap.raw: the image is read as sRGB colours, but normals are numbers; set raw to true"),
    (environment(-GREY), "sky.bitmap: the image has negative values, down to -0.4; they count as 0"),
    ({**on(DIFFUSE), "t": IMAGE}, "t: no surface or light uses this bitmap; refer to it with"),
]  # fmt: skip


@pytest.mark.parametrize("objects, says", WARNINGS, ids=[w[1][:40] for w in WARNINGS])
def test_warning(objects, says):
    (warning,) = load_model_dict(scene(**objects)).warnings
    assert warning.startswith(says)


@pytest.mark.parametrize("objects", [
    image(np.ones((1, 1))), image([[0, 1], [1, 0]]), image(np.full((2, 2), 200, np.uint8), raw=False),
    environment(np.ones((1, 1, 3))), environment(np.ones((1, 5))), on({**METAL, "alpha": 0.0}),
    on({"type": "mask", "opacity": 0.5, "a": {"type": "mask", "opacity": IMAGE, "b": DIFFUSE}}),
])  # fmt: skip
def test_unusual_but_right(objects):
    assert load_model_dict(scene(**objects)).warnings == []


# --- files ----------------------------------------------------------------------------------------------


def _png(width, height):
    """The beginning of a PNG file of that size, with next to nothing in it."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


NO_IMAGES = {
    "text.png": b"hello", "empty.jpg": b"", "text.exr": b"hello" * 9, "text.hdr": b"hello",
    "cut.png": _png(9, 9)[:20], "short.png": _png(100, 100), "huge.png": _png(100000, 100000),
    "huge.hdr": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 999999999 +X 999999999\n", "notes.txt": b"hello",
}  # fmt: skip


def _xml(inside, sky='<emitter type="constant"/>'):
    return ('<scene version="3.0.0">\n<integrator type="path"/><sensor type="perspective"/>'
            f"\n{sky}\n<shape {inside}\n</shape>\n</scene>")  # fmt: skip


def _textured(file, kind="rectangle", extra=""):
    return _xml(f'type="{kind}">{extra}<bsdf type="diffuse">\n<texture type="bitmap" name="reflectance">\n'
                f'<string name="filename" value="{file}"/></texture></bsdf>')  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """`prb params` of an XML scene; its status and what it says."""
    monkeypatch.chdir(tmp_path)

    def call(text):
        (tmp_path / "scene.xml").write_text(text)
        status = main(["params", "scene.xml"])
        return status, capsys.readouterr().err

    return call


def fails(result, *parts):
    status, message = result
    assert status == 2 and message.count("\n") == 1 and message.startswith("prb: "), result
    for part in parts:
        assert part in message
    return True


@pytest.mark.parametrize("name", NO_IMAGES)
def test_a_texture_that_is_no_image(run, tmp_path, name):
    (tmp_path / name).write_bytes(NO_IMAGES[name])
    place = f"s.bsdf.reflectance.filename: {tmp_path / name}: not a picture that can be read"
    text = _textured(name).replace("<shape", '<shape id="s"')
    assert fails(run(text), place, "give one of .png", "line 6)")


@pytest.mark.parametrize("channels", [("X", "Y"), ("A", "Z"), ("R", "G")])
def test_an_exr_without_rgb(run, tmp_path, channels):
    import OpenEXR

    plane = np.zeros((4, 4), np.float32)
    with OpenEXR.File({"type": OpenEXR.scanlineimage}, dict.fromkeys(channels, plane)) as file:
        file.write(str(tmp_path / "a.exr"))
    says = f"a.exr: has no RGB channels; it has {', '.join(sorted(channels))}; give R, G and B"
    assert fails(run(_textured("a.exr")), "shape.bsdf.reflectance.filename: ", says)
    sky = '<emitter type="envmap"><string name="filename" value="a.exr"/></emitter>'
    assert fails(run(_xml('type="cube">', sky)), "emitter.filename: ", says, "(scene.xml, line 3)")


XML = {
    "malformed": (_xml('type="cube"> <bsdf type="diffuse"> '),
                  "scene.xml, line 5 column 3: not well-formed XML: mismatched tag", "<bsdf> of line 4"),
    "quotes": (_xml("type=cube>"), "scene.xml, line 4 column 13: not well-formed XML", ""),
    "entity": (_xml('type="&x;">'), "scene.xml, line 4 column 1: not well-formed XML: undefined entity", ""),
    "document type": ('<!DOCTYPE s [<!ENTITY a "b">]>' + _xml('type="cube">'),
                      "document types and entities are not read", "remove"),
    "itself": (_xml('type="cube"/> <include filename="scene.xml"/> <shape type="cube">'),
               "scene.xml, line 4 column 22: the file includes itself: scene.xml -> scene.xml", ""),
    "no include": (_xml('type="cube"/> <include filename="n.xml"/> <shape type="cube">'),
                   "no such file: 'n.xml'; looked in", ""),
    "long name": (_textured("a" * 999), "scene.xml, line 6 column 1: no such file: 'aaa", "..."),
    "alpha": (_xml('type="cube"><bsdf type="roughconductor"><float name="alpha" value="0.1"/>\n'
                   '<float name="alpha_u" value="0.1"/></bsdf>'),
              "shape.bsdf.alpha: says the same as alpha_u", "(scene.xml, line 4)"),
    "not here": (_xml('type="cube"><bsdf type="measured"/>'),
                 "shape.bsdf.type: the plugin 'measured' exists in Mitsuba but not (yet) in prb; supported: ",
                 "(scene.xml, line 4)"),
    "medium": (_xml('type="cube"><medium type="homogeneous" name="inside"/>'),
               "shape.inside: a medium stands under the key interior or exterior", "(scene.xml, line 4)"),
}  # fmt: skip


@pytest.mark.parametrize("name", XML)
def test_mistake_in_xml(run, name):
    text, *parts = XML[name]
    assert fails(run(text), *parts)


def test_includes_that_go_in_circles(run, tmp_path):
    (tmp_path / "a.xml").write_text('<scene version="3.0.0"><include filename="b.xml"/></scene>')
    (tmp_path / "b.xml").write_text('<scene version="3.0.0">\n<include filename="a.xml"/></scene>')
    text = _xml('type="cube"/> <include filename="a.xml"/> <shape type="cube">')
    assert fails(run(text), "b.xml, line 2 column 1: the file includes itself: scene.xml -> a.xml -> b.xml")


# --- meshes ---------------------------------------------------------------------------------------------

PLY = """ply
format ascii 1.0
element vertex 3
property float x
property float y
property float z
{properties}element face 1
property list uchar int vertex_indices
end_header
-1 -1 0 {0}
1 -1 0 {1}
0 1 0 {2}
3 0 1 2
"""
COLOR = "property float r\nproperty float g\nproperty float b\n"
MESH = '<string name="filename" value="m.ply"/>'


def _ply(path, properties="", rows=("", "", "")):
    (path / "m.ply").write_text(PLY.format(*rows, properties=properties))


def _attribute(name):
    return _xml(f'type="ply">{MESH}<bsdf type="diffuse"><texture type="mesh_attribute" name="reflectance">\n'
                f'<string name="name" value="{name}"/></texture></bsdf>')  # fmt: skip


def test_an_image_on_a_mesh_without_coordinates(run, tmp_path):
    """Mitsuba renders it, so prb does, and says what it looks like."""
    _ply(tmp_path)
    np.save(tmp_path / "a.npy", GREY)
    status, message = run(_textured("a.npy", "ply", MESH))
    assert status == 0 and message.count("\n") == 1
    assert message.startswith("prb: shape.bsdf.reflectance.data: 'shape' has no texture coordinates, so")
    assert "the bitmap is repeated on each of its triangles; give the mesh coordinates" in message
    _ply(tmp_path, "property float u\nproperty float v\n", ("0 0", "1 0", "0 1"))
    assert run(_textured("a.npy", "ply", MESH)) == (0, "")


def test_an_image_on_a_mesh_without_coordinates_is_mitsubas(tmp_path):
    mi = pytest.importorskip("mitsuba")
    mi.set_variant("scalar_rgb")
    _ply(tmp_path)
    pixels = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4, 1)
    sensor = {"type": "perspective", "fov": 40, "film": {"type": "hdrfilm", "width": 12, "height": 12},
              "to_world": mi.ScalarTransform4f().look_at([0, 0, 4], [0, 0, 0], [0, 1, 0])}  # fmt: skip
    texture = {"type": "bitmap", "raw": True, "filter_type": "nearest"}
    pictures = []
    for module, data in ((mi, mi.TensorXf(pixels)), (prb, pixels)):
        mesh = {"type": "ply", "filename": str(tmp_path / "m.ply"),
                "bsdf": {"type": "diffuse", "reflectance": {**texture, "data": data}}}  # fmt: skip
        loaded = module.load_dict(scene(m=mesh, sensor=sensor, integrator={"type": "path", "max_depth": 2}))
        pictures.append(np.array(module.render(loaded, spp=256)))
    assert np.abs(pictures[0] - pictures[1]).mean() < 0.02  # 0.057 with u and v swapped


@pytest.mark.parametrize("kind", ["normalmap", "bumpmap"])
def test_turned_normals_need_coordinates(run, tmp_path, kind):
    _ply(tmp_path)
    np.save(tmp_path / "a.npy", GREY)
    text = _xml(f'type="ply">{MESH}<bsdf type="{kind}"><texture type="bitmap" name="{kind}">\n'
                '<string name="filename" value="a.npy"/></texture><bsdf type="diffuse"/></bsdf>')  # fmt: skip
    name = "nested_texture" if kind == "bumpmap" else kind
    says = f"shape.bsdf.{name}.data: 'shape' has no texture coordinates, and a {kind} turns"
    assert fails(run(text), says, "give the mesh coordinates", "(scene.xml, line 4)")


def test_attributes(run, tmp_path):
    _ply(tmp_path, COLOR, ("0 0 0", "1 0 0", "0 1 0"))
    assert run(_attribute("vertex_color")) == (0, "")
    missing = "shape.bsdf.reflectance: there is no attribute 'vertex_x' on 'shape', which has vertex_color"
    assert fails(run(_attribute("vertex_x")), missing, "(scene.xml, line 4)")
    _ply(tmp_path)
    assert fails(run(_attribute("vertex_color")), "there is no attribute", "which has no attributes")
    _ply(tmp_path, COLOR, ("0 0 0", "1 0", "0 1 0"))
    assert fails(run(_attribute("vertex_color")), "shape.filename: m.ply: ", "(scene.xml, line 4)")
    _ply(tmp_path, COLOR, ("0 0 0", "1 0 nan", "0 1 0"))
    assert fails(run(_attribute("vertex_color")), "shape.filename: m.ply: ", "is not finite")
    _ply(tmp_path, COLOR, ("0 0 0", "5 0 0", "0 1 0"))
    status, message = run(_attribute("vertex_color"))
    assert status == 0 and message == "prb: shape.vertex_color: has values in [0, 5]; clipped to [0, 1]\n"


def test_the_command_itself(tmp_path):
    """As a user runs it: no traceback of Python, of an image library, or of Taichi."""
    (tmp_path / "a.exr").write_bytes(b"no picture")
    (tmp_path / "scene.xml").write_text(_textured("a.exr"))
    command = [sys.executable, "-m", "prb", "render", "scene.xml", "--size", "4x4"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("prb: shape.bsdf.reflectance.filename: ") and done.stderr.count("\n") == 1
