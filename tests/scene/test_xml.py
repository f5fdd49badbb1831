"""Mitsuba's XML loads to the dictionary that says the same; mistakes are one line with their place."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from helpers.mitsuba_data import ROOT, SCENES

import prb
from prb.cli.main import main
from prb.scene import load_model_file
from prb.scene.reading.transforms import parse_transform
from prb.scene.reading.xml import read_xml

pytestmark = pytest.mark.quick

SENSOR = '<sensor type="perspective"><film type="hdrfilm"><integer name="width" value="8"/></film></sensor>'
REST = f'<integrator type="path"/>{SENSOR}<emitter type="constant"/>'


@pytest.fixture
def write(tmp_path):
    """Writes a scene of version 3 with the given children; returns its path."""

    def to_file(inside, name="scene.xml", root='<scene version="3.0.0">'):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{root}{inside}</scene>", encoding="utf-8")
        return path

    return to_file


@pytest.fixture
def read(write):
    return lambda inside, **parameters: read_xml(write(inside), parameters).data


@pytest.fixture(scope="module")
def mi():
    mitsuba = pytest.importorskip("mitsuba")
    mitsuba.set_variant("scalar_rgb")
    mitsuba.set_log_level(mitsuba.LogLevel.Error)
    return mitsuba


def test_values(read):
    d = read("""<shape type="sphere" id="s">
        <float name="f" value=" 2 "/><integer name="i" value="-3"/><boolean name="b" value="True"/>
        <string name="s" value="a b"/><point name="p" x="1" y="2" z="3e-1"/><vector name="v" value="1, 2,3"/>
        <rgb name="grey" value="0.5"/><rgb name="rgb" value=".1 .2,.3"/><rgb name="web" value="#ff8000"/>
        <spectrum name="number" value="0.5"/><spectrum name="pairs" value="400:0, 500:8"/>
        <spectrum name="light" type="d65"><float name="scale" value="2"/></spectrum>
    </shape>""")["s"]
    assert d.pop("web")["value"] == pytest.approx([1, 0.2158605, 0])
    assert d == {
        "type": "sphere", "f": 2.0, "i": -3, "b": True, "s": "a b", "p": [1, 2, 0.3], "v": [1, 2, 3],
        "grey": {"type": "rgb", "value": [0.5] * 3}, "rgb": {"type": "rgb", "value": [0.1, 0.2, 0.3]},
        "number": {"type": "spectrum", "value": 0.5},
        "pairs": {"type": "spectrum", "value": [[400, 0], [500, 8]]}, "light": {"type": "d65", "scale": 2.0},
    }  # fmt: skip
    assert isinstance(d["f"], float) and isinstance(d["i"], int) and d["b"] is True


STEPS = """<rotate x="1" angle="30"/><rotate value="0 1 0" angle="-20"/><scale x="2"/><scale value="3"/>
    <translate z="1"/><translate value="1,2,3"/><matrix value="1 2 3 4 5 6 7 8 10"/>
    <matrix value="1 2 3 4 5 6 7 8 9 10 12 12 0 0 0 1"/><lookat origin="0 0 1" target="3, 1 0" up="0 1 0"/>
    <lookat origin="1 2 3" target="0 0 0"/>"""


def test_transform_steps_are_mitsubas(read, mi):
    shape = f'<shape type="sphere" id="s"><transform name="to_world">{STEPS}</transform></shape>'
    ours = parse_transform(read(shape)["s"]["to_world"], "")
    config = mi.parser.ParserConfig("scalar_rgb")
    state = mi.parser.parse_string(config, f'<scene version="3.0.0">{shape}</scene>')
    theirs = np.array(state.nodes[1].props["to_world"].matrix)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6 * np.abs(theirs).max())


def test_a_transform_without_steps_is_the_identity(write):
    path = write(f'{REST}<shape type="sphere"><transform name="to_world"/></shape>')
    np.testing.assert_array_equal(load_model_file(path).shapes[0].to_world, np.eye(4))


def test_names(read):
    d = read("""<bsdf type="twosided" id="b"><bsdf type="diffuse"/><bsdf type="diffuse" id="inner"/></bsdf>
        <shape type="sphere"><ref id="b"/></shape><shape type="cube" name="shape_2"><ref name="r" id="inner"/>
        </shape><shape type="disk"/><shape type="disk" id="shape_3"/><alias id="inner" as="other"/>
        <shape type="disk" id="a.b"><ref id="other"/></shape><shape type="disk" id="type"/>""")
    assert list(d) == ["type", "b", "shape", "shape_2", "shape_4", "shape_3", "a_b", "shape_5"]
    assert d["b"] == {"type": "twosided", "bsdf": {"type": "diffuse"},
                      "bsdf_2": {"type": "diffuse", "id": "inner"}}  # fmt: skip
    assert d["shape"]["bsdf"] == {"type": "ref", "id": "b"}
    assert d["shape_2"]["r"] == d["a_b"]["bsdf"] == {"type": "ref", "id": "inner"}
    assert d["shape_5"]["id"] == "type"


def test_parameter_names_are_mitsubas(write, mi):
    path = write(f"""{REST}<texture type="checkerboard" id="t"/>
        <bsdf type="twosided" id="b"><bsdf type="diffuse"/><bsdf type="diffuse" id="inner"/></bsdf>
        <shape type="sphere" id="one"><ref id="b"/></shape>
        <shape type="rectangle" id="two"><bsdf type="diffuse" id="n"><ref name="reflectance" id="t"/></bsdf>
        <emitter type="area"><rgb name="radiance" value="1"/></emitter></shape>""")
    ours = {t.name for s in load_model_file(path).shapes for t in _textures(s)}
    theirs = set(mi.traverse(mi.load_file(str(path), optimize=False)).keys())
    assert "b.brdf_1.reflectance.value" in ours and "two.emitter.radiance.value" in ours
    assert {n for n in ours if n != "t"} <= theirs


def _textures(shape):
    records = [shape.bsdf, *shape.bsdf.children, *([shape.emitter] if shape.emitter else [])]
    return [t for r in records for t in r.textures.values() if t.value is not None]


def test_substitution(read):
    inside = r"""<default name="s" value="1"/><default name="spp" value="$s2"/><default name="spp" value="9"/>
        <default name="kind" value="sphere"/><shape type="$kind" id="x_$s"><float name="a" value="$spp.5"/>
        <float name="b" value="$s$s"/><string name="c" value="\$5 or $kind"/></shape>"""
    assert read(inside)["x_1"] == {"type": "sphere", "a": 12.5, "b": 11.0, "c": "$5 or sphere"}
    assert read(inside, spp=3, kind="cube")["x_1"] == {"type": "cube", "a": 3.5, "b": 11.0, "c": "$5 or cube"}
    boolean = '<shape type="cube" id="s"><boolean name="b" value="$b"/><vector name="v" value="$v"/></shape>'
    assert read(boolean, b=True, v=[1, 2.5, 3])["s"] == {"type": "cube", "b": True, "v": [1, 2.5, 3]}


def test_includes_and_paths(write, tmp_path):
    (tmp_path / "meshes" / "deep").mkdir(parents=True)
    for name in ("meshes/a.ply", "meshes/deep/b.ply", "a.ply", "parts/c.ply"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("ply")
    ply = '<shape type="ply" id="{0}"><string name="filename" value="{0}.ply"/></shape>'
    write(
        f'<default name="q" value="3"/>{ply.format("b")}{ply.format("c")}<include filename="d.xml"/>',
        "parts/p.xml",
    )
    (tmp_path / "parts" / "d.xml").write_text('<bsdf version="2.1.0" type="diffuse" id="d"/>')
    path = write(f"""<path value="meshes"/><path value="meshes/deep"/><include filename="parts/p.xml"/>
        {ply.format("a")}<shape type="sphere" id="s"><float name="radius" value="$q"/>
        <include filename="parts/d2.xml"/></shape>""", root='<scene version="2.0.0">')  # fmt: skip
    (tmp_path / "parts" / "d2.xml").write_text('<bsdf type="diffuse"/>')
    document = read_xml(path)
    d = document.data
    assert list(d) == ["type", "b", "c", "d", "a", "s"]
    assert [Path(d[k]["filename"]) for k in "abc"] == [
        tmp_path / "meshes" / "a.ply", tmp_path / "meshes" / "deep" / "b.ply", tmp_path / "parts" / "c.ply"
    ]  # fmt: skip
    assert d["s"] == {"type": "sphere", "radius": 3.0, "bsdf": {"type": "diffuse"}}
    assert [f.name for f in document.files] == ["scene.xml", "p.xml", "d.xml", "d2.xml"]


def test_encodings(tmp_path):
    text = '<?xml version="1.0" encoding="{}"?><scene version="3.0.0"><shape type="cube" id="Ü"/></scene>'
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "latin-1"):
        path = tmp_path / f"{encoding}.xml"
        path.write_bytes(text.format(encoding.removesuffix("-sig")).encode(encoding))
        assert list(read_xml(path).data) == ["type", "Ü"]


SPHERE = '<shape type="sphere">{}</shape>'
# Each row: what stands inside <scene>, and the beginning of the message after the file's name.
MISTAKES = {
    "syntax": ("\n <shape type='sphere'>", "line 2 column 25: not well-formed XML: mismatched tag (inside"),
    "no quote": ("<shape type=sphere/>", "line 1 column 36: not well-formed XML"),
    "unknown tag": ("<shap type='a'/>", "line 1 column 24: unknown element <shap>; did you mean 'shape'?"),
    "no type": ("<shape/>", "line 1 column 24: <shape> lacks its attribute 'type'"),
    "attribute": ("<shape type='a' ids='b'/>", "line 1 column 24: <shape> has an unknown attribute 'ids'"),
    "defined below": (
        "<shape type='$b'/><default name='b' value='1'/>",
        "line 1 column 24: the parameter $b is not",
    ),
    "id twice": ("<bsdf type='a' id='x'/>\n<bsdf type='b' id='x'/>", "line 2 column 1: the id 'x' stands tw"),
    "alias": ("<alias id='a' as='b'/>", "line 1 column 24: there is no object 'a' above this alias"),
    "alias twice": ("<bsdf type='a' id='x'/><alias id='x' as='x'/>", "line 1 column 47: the id 'x' stands t"),
    "path": ("<path value='nowhere'/>", "line 1 column 24: no such folder: 'nowhere'; looked in"),
    "include": ("<include filename='no.xml'/>", "line 1 column 24: no such file: 'no.xml'; looked in"),
    "recursion": ("<include filename='scene.xml'/>", "line 1 column 24: the file includes itself: scene.xml"),
    "scene": ("<scene type='scene'/>", "line 1 column 24: a <scene> inside a <scene>"),
    "deep": ("<bsdf type='mask'>" * 70, "line 1 column 1086: elements are nested more than 60 deep"),
}
# The same inside a shape.
MISTAKES_IN_A_SHAPE = {
    "<float value='1'/>": "<float> lacks its attribute 'name'",
    "<float name='a'/>": "<float> lacks its attribute 'value'",
    "<float name='a' value='$spq'/>": "the parameter $spq is not defined above; defined: none",
    "<float name='a' value='1_0'/>": "<float> value: expected 1 number, got '1_0'",
    "<float name='a' value='inf'/>": "<float> value: expected 1 number, got 'inf'",
    "<float name='a.b' value='1'/>": "<float> cannot have the name 'a.b'",
    "<string name='type' value='1'/>": "<string> cannot have the name 'type'",
    "<integer name='a' value='1.0'/>": "<integer> value: expected a whole number, got '1.0'",
    "<boolean name='a' value='1'/>": "<boolean> value: expected true or false",
    "<point name='a' x='1' y='2'/>": "<point> lacks its attribute 'z'",
    "<point name='a' x='1' value='2'/>": "<point> has both value and x",
    "<rgb name='a' value='1 2'/>": "<rgb> value: expected 3 numbers or a colour such as",
    "<spectrum name='a' value='1 2'/>": "<spectrum> value: expected one number or wavelength:value pairs",
    "<spectrum name='a' value='5:1, 4:2'/>": "<spectrum> value: wavelengths must increase, but 4 nm follows",
    "<spectrum name='a' filename='n.spd'/>": "no such file: 'n.spd'; looked in",
    "<string name='filename' value='no.ply'/>": "no such file: 'no.ply'; looked in",
    "<ref id='x'/>": "there is no object 'x' to refer to; defined: nothing",
    "<scale value='1'/>": "<scale> belongs inside <transform>",
    "<float name='a' value='1'><float name='b' value='1'/></float>": "nothing belongs inside <float>",
    "<transform name='t'><scal value='1'/></transform>": "unknown element <scal>; did you mean 'scale'?",
    "<transform name='t'><float name='a' value='1'/></transform>": "<float> does not belong inside",
    "<transform name='t'><rotate angle='1'/></transform>": "<rotate> has no axis",
    "<transform name='t'><matrix value='1 2'/></transform>": "<matrix> value: expected 9 or 16 numbers, got",
}


def _message(path):
    with pytest.raises(prb.SceneError) as caught:
        read_xml(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(write, case):
    inside, expected = MISTAKES[case]
    path = write(inside)
    assert _message(path).startswith(f"{path}, {expected}")


@pytest.mark.parametrize("inside", MISTAKES_IN_A_SHAPE)
def test_mistakes_in_a_shape(write, inside):
    message = _message(write(SPHERE.format(inside)))
    column = 45 + inside.index("<", 1) if inside.count("<") > 2 else 45
    assert f"scene.xml, line 1 column {column}: {MISTAKES_IN_A_SHAPE[inside]}" in message


def test_a_name_that_stands_twice(write):
    twice = SPHERE.format("<float name='a' value='1'/>" * 2)
    assert "line 1 column 72: the name 'a' stands twice" in _message(write(twice))


ROOTS = {
    '<scene version="0.6.0">': "a file of version 0.6.0, as the old Mitsuba wrote them; prb reads",
    '<scene version="4.0.0">': "version 4.0.0 is newer than prb knows",
    '<scene version="three">': "'three' is not a version such as 3.0.0",
    "<scene>": "<scene> lacks its version",
}


@pytest.mark.parametrize("root", ROOTS)
def test_versions(write, root):
    with pytest.raises(prb.SceneError, match=f"line 1 column 1: {ROOTS[root]}"):
        read_xml(write("", root=root))


def test_entities_are_refused(tmp_path):
    path = tmp_path / "laughs.xml"
    path.write_text('<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>\n<scene version="3.0.0">&b;</scene>')
    with pytest.raises(prb.SceneError, match="line 1 column 1.*document types and entities are not read"):
        read_xml(path)


def test_expansion_is_bounded(write):
    doubled = "".join(f'<default name="a{i}x" value="$a{i - 1}x$a{i - 1}x"/>' for i in range(1, 40))
    with pytest.raises(prb.SceneError, match="longer than 100000 characters"):
        read_xml(write(f'<default name="a0x" value="ha"/>{doubled}'))
    for i in range(12):
        write(f'<include filename="f{i + 1}.xml"/>' * 2, f"f{i}.xml")
    write("", "f12.xml")
    with pytest.raises(prb.SceneError, match="too many includes"):
        read_xml(write('<include filename="f0.xml"/>'))


def test_text_between_elements_is_a_warning(write):
    assert (
        read_xml(write("hello <shape type='sphere'/>"))
        .warnings[0]
        .endswith("line 1 column 1: the text 'hello' inside <scene> has no effect")
    )


def test_errors_of_the_scene_name_the_line(write):
    bsdf = '<bsdf type="diffuse"><float name="alpha" value="1"/></bsdf>'
    path = write(f'{REST}\n<shape type="sphere">\n{bsdf}</shape>')
    with pytest.raises(prb.SceneError, match=r"^shape\.bsdf\.alpha: unknown key.* \(scene\.xml, line 3\)$"):
        load_model_file(path)


def test_parameters_of_load_file(write):
    path = write(f'<default name="d" value="3"/>{REST.replace("path", "$kind")}<shape type="sphere"/>')
    with pytest.raises(prb.SceneError, match="the scene does not use the parameter 'd'; it uses kind"):
        prb.load_file(path, kind="direct", d=1)
    scene = prb.load_file(path, kind="direct")
    assert scene.model.integrator.max_depth == 2 and scene.name == "scene"
    with pytest.raises(prb.SceneError, match="only a scene in XML has parameters"):
        prb.load_file("cornell-box", spp=3)


def _as_mitsuba(mi, d):
    """The dictionary with our steps as Mitsuba's transforms."""
    made = {}
    for key, value in d.items():
        if key in ("to_world", "to_uv"):
            value = mi.ScalarTransform4f(parse_transform(value, key))
        elif isinstance(value, dict):
            value = _as_mitsuba(mi, value)
        made[key] = value
    return made


@pytest.mark.parametrize("path", SCENES, ids=lambda p: p.stem)
def test_mitsuba_makes_the_same_scene_of_our_dictionary(mi, path):
    ours = mi.load_dict(_as_mitsuba(mi, read_xml(path).data), optimize=False)
    theirs = mi.load_file(str(path), optimize=False)
    a, b = (np.array(mi.render(scene, spp=1, seed=3)) for scene in (ours, theirs))
    np.testing.assert_array_equal(a, b)


def test_there_are_scenes_to_compare():
    if not ROOT.is_dir():
        pytest.skip("the scenes of Mitsuba's tests are not here")
    assert len(SCENES) >= 9


ROOM = f"""<default name="grey" value="0.3"/><path value="data"/>{REST.replace("path", "direct")}
    <bsdf type="diffuse" id="wall"><rgb name="reflectance" value="$grey"/></bsdf>
    <shape type="ply" id="mesh"><string name="filename" value="m.ply"/><ref id="wall"/><transform
    name="to_world"><rotate y="1" angle="33.3"/><translate z="3.1"/></transform></shape>
    <shape type="sphere"><point name="center" value="0.1 0.7 4.3"/><emitter type="area"><rgb
    name="radiance" value="0.1 1.7 0.3"/></emitter></shape>"""
TRIANGLE = """ply
format ascii 1.0
element vertex 3
property float x
property float y
property float z
element face 1
property list uchar int vertex_indices
end_header
-2 -2 0
2 -2 0
0 2 0
3 0 1 2
"""


def test_convert_gives_the_same_picture(write, tmp_path, capsys):
    path = write(ROOM, "in/scene.xml")
    (tmp_path / "in" / "data").mkdir()
    (tmp_path / "in" / "data" / "m.ply").write_text(TRIANGLE)
    out = tmp_path / "out" / "scene.json"
    out.parent.mkdir()
    assert main(["convert", str(path), str(out), "-D", "grey=0.7"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{out}: 2 shapes, 1 emitters, 1 sensors\n" and not captured.err
    d = json.loads(out.read_text())
    assert d["mesh"]["filename"] == "../in/data/m.ply" and d["wall"]["reflectance"]["value"] == [0.7] * 3
    a, b = prb.load_file(path, grey=0.7), prb.load_file(out)
    a.resize(12, 9)
    b.resize(12, 9)
    np.testing.assert_array_equal(prb.render(a, spp=4), prb.render(b, spp=4))
    assert {**prb.traverse(a)}.keys() == {**prb.traverse(b)}.keys()


def test_convert_refuses(write, tmp_path, capsys):
    path = write(f'{REST}<shape type="sphere"><float name="radius" value="-1"/></shape>')
    rows = [
        ([str(path), str(tmp_path / "a.json")], "shape.radius: -1 is out of range"),
        ([str(path), str(tmp_path / "a.xml")], "the format '.xml' is not known"),
        (["cornell-box", str(tmp_path / "a.json")], "is not XML"),
        ([str(path), str(tmp_path / "a.json"), "-D", "x=1"], "the scene does not use the parameter 'x'"),
        ([str(tmp_path / "none.xml"), str(tmp_path / "a.json")], "no such file"),
    ]
    for arguments, expected in rows:
        assert main(["convert", *arguments]) == 2
        error = capsys.readouterr().err
        assert expected in error and error.count("\n") == 1
    assert not list(tmp_path.glob("*.json"))
    with pytest.raises(SystemExit):
        main(["convert", str(path), "b.json", "-D", "x"])
    assert "write it as in spp=64" in capsys.readouterr().err


def test_convert_keeps_what_it_reads(write, tmp_path):
    path = write(REST)
    text = path.read_text()
    with pytest.raises(prb.ImageError, match="is a file that this run reads"):
        prb.convert_file(path, path)
    assert path.read_text() == text


def test_a_rotation_by_an_axis_of_any_length(read):
    d = read(SPHERE.format('<transform name="to_world"><rotate x="2" y="2" angle="30"/></transform>'))
    linear = parse_transform(d["shape"]["to_world"], "")[:3, :3]
    np.testing.assert_allclose(linear @ linear.T, np.eye(3), atol=1e-12)
    assert math.isclose(np.trace(linear), 1 + 2 * math.cos(math.radians(30)))
