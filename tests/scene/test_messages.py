"""What a damaged file holds reaches the terminal escaped and shortened, as one line."""

import json

import numpy as np
import pytest

from prb.errors import PrbError, SceneError, printable
from prb.io.images import read_image
from prb.scene import load_model_dict, load_model_file

EVIL = "a\x1b[31m\x07\u202eb"  # red, a bell, and text from right to left
SHOWN = r"a\x1b[31m\x07\u202eb"
SENSOR = {"type": "perspective", "fov": 40}
PLY = """ply
format ascii 1.0
{header}element vertex 3
property float x
property float y
property float z
{properties}element face 1
property list uchar int vertex_indices
end_header
-1 -1 0 {row}
1 -1 0 {row}
0 1 0 {row}
3 0 1 2
"""
XML = """<scene version="3.0.0"><sensor type="perspective"><float name="fov" value="40"/></sensor>
<emitter type="constant"/>
<shape type="{kind}" id="{name}">
{inside}</shape></scene>"""


def line_of(load, *arguments):
    """The message of the error, which holds nothing that acts on a terminal."""
    with pytest.raises(PrbError) as caught:
        load(*arguments)
    message = str(caught.value)
    assert message.isprintable() and len(message) <= 2000
    return message


def scene(**objects):
    return {"type": "scene", "sensor": SENSOR, "sky": {"type": "constant"}, **objects}


def test_printable():
    assert printable("plain: a value, \u00e9\u03b1 too") == "plain: a value, \u00e9\u03b1 too"
    assert printable("\x1b]0;t\x07\x9b\x7f\udcff\u2028") == r"\x1b]0;t\x07\x9b\x7f\udcff\u2028"
    assert printable("a\n\r b  c") == "a b  c"
    assert printable(printable(EVIL)) == printable(EVIL) == SHOWN
    word = printable("place: " + "x" * 10**6 + ": the remedy")
    assert word.startswith("place: xxx") and word.endswith("xxx: the remedy") and len(word) < 450
    text = printable("place: " + "x y " * 10**6 + "the remedy")
    assert text.startswith("place: x y") and text.endswith("x y the remedy") and len(text) < 2000


@pytest.mark.parametrize(
    "objects",
    [
        {"s": {"type": EVIL}},
        {"s": {"type": "cube", EVIL: 1}},
        {EVIL: {"type": "cube", "nothing": 1}},
        {"s": {"type": "cube", "to_world": EVIL}},
        {"s": {"type": "cube", "b": {"type": "ref", "id": EVIL}}},
        {"s": {"type": "cube", "b": {"type": "conductor", "material": EVIL}}},
        {"s": {"type": "ply", "filename": EVIL}},
    ],
)
def test_a_json_file(tmp_path, objects):
    (tmp_path / "scene.json").write_text(json.dumps(scene(**objects)))
    assert SHOWN in line_of(load_model_file, tmp_path / "scene.json")


def test_overlong_names(tmp_path):
    for objects in ({"s": {"type": "x" * 10**6}}, {"s": {"type": "cube", "x " * 10**6: 1}}):
        message = line_of(load_model_dict, scene(**objects))
        assert message.startswith("s.") and "..." in message


def test_warnings_too():
    model = load_model_dict(scene(**{EVIL: {"type": "diffuse"}}, s={"type": "cube"}))
    assert any(w.startswith(f"{SHOWN}: no shape uses this diffuse") for w in model.warnings)
    image = {"type": "bitmap", "data": np.full((1, 1, 3), 2.0, np.float32), "raw": True}
    model = load_model_dict(scene(**{EVIL: {"type": "cube", "b": {"type": "diffuse", "reflectance": image}}}))
    assert all(w.isprintable() for w in model.warnings)
    assert any(w.startswith(f"{SHOWN}.bsdf.reflectance.data: ") for w in model.warnings)


XML_EVIL = "a&#x9b;31m&#x7f;&#x202e;b"  # XML itself forbids what is below a blank


@pytest.mark.parametrize(
    "kind, name, inside",
    [
        (XML_EVIL, "s", ""),
        ("cube", XML_EVIL, '<float name="x" value="1"/>'),
        ("cube", "s", f'<float name="{XML_EVIL}" value="1"/>'),
        ("cube", "s", f'<float name="x" value="{XML_EVIL}"/>'),
        ("cube", "s", f'<ref id="{XML_EVIL}"/>'),
    ],
)
def test_an_xml_file(tmp_path, kind, name, inside):
    (tmp_path / "scene.xml").write_text(XML.format(kind=kind, name=name, inside=inside))
    message = line_of(load_model_file, tmp_path / "scene.xml")
    assert r"a\x9b31m\x7f\u202eb" in message
    assert "scene.xml, line " in message  # also where the place in the scene has an escaped name


@pytest.mark.parametrize(
    "header, properties, row",
    [
        ("element {evil} 2\n", "", ""),  # no properties
        ("{evil}\n", "", ""),  # a header line that is none
        ("", "property {evil} x\n", ""),
        ("", "property float w\n", "{evil}"),
    ],
)
def test_a_ply_file(tmp_path, header, properties, row):
    text = PLY.format(header=header, properties=properties, row=row).format(evil="a\x1b[31m\x07b")
    (tmp_path / "m.ply").write_text(text)
    message = line_of(load_model_dict, scene(s={"type": "ply", "filename": str(tmp_path / "m.ply")}))
    assert r"a\x1b[31m\x07b" in message


def test_a_picture(tmp_path):
    message = line_of(read_image, tmp_path / f"{EVIL}.png")
    assert f"{SHOWN}.png: no such file" in message
    (tmp_path / f"{EVIL}.hdr").write_bytes(b"#?RADIANCE\n\n-Y \x1b[2J +X 8\n\2\2\0\x08\x88")
    assert r"\x1b[2J" in line_of(read_image, tmp_path / f"{EVIL}.hdr")


def test_errors_keep_their_type():
    with pytest.raises(SceneError):
        load_model_dict({"type": EVIL})
