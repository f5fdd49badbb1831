"""Every mistake in a scene is one line that names the place, the problem and the remedy."""

import json
import math

import numpy as np
import pytest

from prb.errors import SceneError
from prb.scene import load_model_dict, load_model_file

pytestmark = pytest.mark.quick

NAN, INF = math.nan, math.inf
DIFFUSE = {"type": "diffuse"}


def scene(**objects) -> dict:
    d = {
        "type": "scene",
        "integrator": {"type": "path"},
        "sensor": {"type": "perspective", "fov": 40},
        "shape": {"type": "sphere"},
        "light": {"type": "constant"},
        **objects,
    }
    return {k: v for k, v in d.items() if v is not None}


def shape(**keys):
    return {"shape": {"type": "rectangle", **keys}}


def bsdf(**keys):
    return {
        "red": {"type": "diffuse", **keys},
        "shape": {"type": "sphere", "bsdf": {"type": "ref", "id": "red"}},
    }


def rgb(*value):
    return {"type": "rgb", "value": list(value)}


def light(**keys):
    return {"light": {"type": "constant", **keys}}


def sensor(**keys):
    return {"sensor": {"type": "perspective", **keys}}


def film(**keys):
    return sensor(film={"type": "hdrfilm", **keys})


def steps(*value):
    return shape(to_world=list(value))


def look_at(origin, target, up):
    return steps({"look_at": {"origin": origin, "target": target, "up": up}})


def matrix(**rows):
    m = np.eye(4)
    for name, row in rows.items():
        m[int(name[1])] = row
    return shape(to_world=m.tolist())


def loop():
    d = {"type": "sphere"}
    d["bsdf"] = d
    return {"shape": d}


# Objects of a scene, how the message begins, and what else it says.
MISTAKES = [
    # plugins, keys, references
    (bsdf(type="difuse"), "red.type: unknown plugin 'difuse'", "did you mean 'diffuse'?"),
    (bsdf(type="pastel-paint"), "red.type: unknown plugin", "supported: aov, area, bitmap, blackbody"),
    (bsdf(type="hair"), "red.type: the plugin 'hair' exists in Mitsuba but not (yet) in prb", "diffuse"),
    (bsdf(type=3), "red.type: expected the name of a plugin, got 3", ""),
    ({"shape": {"radius": 2}}, "shape.type: missing", "sphere"),
    (bsdf(reflectence=0.3), "red.reflectence: unknown key", "did you mean 'reflectance'?"),
    (bsdf(reflectence=rgb(1, 1, 1)), "red.reflectence: unknown key", "did you mean 'reflectance'?"),
    (
        shape(zzz=1),
        "shape.zzz: unknown key",
        "rectangle takes bsdf, emitter, exterior, flip_normals, interior",
    ),
    (sensor(fow=40), "sensor.fow: unknown key", "did you mean 'fov'?"),
    (
        {"shape": {"type": "cube", "b": {"type": "ref", "id": "redd"}}, "red": DIFFUSE},
        "shape.b: there is no object 'redd'",
        "did you mean 'red'?",
    ),
    ({"shape": {"type": "cube", "b": {"type": "ref"}}}, "shape.b.id: expected the name", "null"),
    (
        {"shape": {"type": "cube", "b": {"type": "ref", "id": "red", "x": 1}}, "red": DIFFUSE},
        "shape.b.x: unknown key",
        "only an id",
    ),
    ({"a": {"type": "twosided", "n": {"type": "ref", "id": "a"}}}, "a: circular reference: a -> a", ""),
    (
        {
            "a": {"type": "twosided", "n": {"type": "ref", "id": "b"}},
            "b": {"type": "twosided", "n": {"type": "ref", "id": "a"}},
        },
        "a: circular reference: a -> b -> a",
        "",
    ),
    ({"shape": {"type": "cube", "x": {"type": "ref", "id": "shape.x"}}}, "shape.x: circular reference", ""),
    (loop(), "shape.bsdf: the dictionary contains itself", ""),
    ({"a": {"type": "ref", "id": "shape"}}, "a: a ref at the top level", "remove it"),
    (
        {"a": {"type": "diffuse", "id": "x"}, "b": {"type": "diffuse", "id": "x"}},
        "b.id: the id 'x' belongs to 'a' already",
        "rename",
    ),
    ({"a": {"type": "diffuse", "id": "b"}, "b": DIFFUSE}, "b: 'b' is also the id of 'a'", "rename"),
    ({"a.b": DIFFUSE}, "a.b: the key holds a '.'", "use '_'"),
    ({"": DIFFUSE}, "scene: the key '' is not a name", ""),
    ({"a": 3}, "a: expected an object of the scene", "got 3"),
    # what belongs where
    (shape(a=DIFFUSE, b=DIFFUSE), "shape.b: a shape holds one bsdf", "remove"),
    (shape(a={"type": "area"}, b={"type": "area"}), "shape.b: a shape holds one emitter", "remove"),
    (shape(a={"type": "point"}), "shape.a: point (emitter) does not belong to a shape", "top level"),
    (shape(a={"type": "path"}), "shape.a: path (integrator) does not belong inside rectangle", ""),
    (sensor(a={"type": "box"}), "sensor.a: box (rfilter) does not belong inside perspective", ""),
    (sensor(a={"type": "hdrfilm"}, b={"type": "hdrfilm"}), "sensor.b: a sensor holds one film", ""),
    (film(a={"type": "box"}, b={"type": "tent"}), "sensor.film.b: a film holds one", ""),
    (film(a={"type": "independent"}), "sensor.film.a: independent (sampler) does not belong inside", ""),
    ({"a": {"type": "hdrfilm"}}, "a: hdrfilm (film) does not belong at the top level", ""),
    ({"a": rgb(1, 1, 1)}, "a: rgb (texture) does not belong at the top level", ""),
    ({"a": {"type": "twosided"}}, "a: twosided holds 1 or 2 nested bsdf, got 0", ""),
    ({"a": {"type": "twosided", "b": DIFFUSE, "c": DIFFUSE, "d": DIFFUSE}}, "a: twosided holds", "got 3"),
    ({"a": {"type": "twosided", "b": {"type": "twosided", "c": DIFFUSE}}}, "a: a twosided inside", "remove"),
    ({"a": {"type": "twosided", "b": {"type": "sphere"}}}, "a.b: sphere (shape) does not belong", ""),
    ({"a": {"type": "area"}}, "a: an area emitter belongs inside a shape", ""),
    (
        {
            "a": {"type": "area"},
            "s": {"type": "cube", "e": {"type": "ref", "id": "a"}},
            "t": {"type": "cube", "e": {"type": "ref", "id": "a"}},
        },
        "a: the light belongs to 's' already",
        "'t'",
    ),
    ({"b": {"type": "constant"}}, "b: a scene holds one environment light", "'light'"),
    ({"b": {"type": "prb"}}, "b: a scene holds one integrator", "'integrator'"),
    ({"sensor": None}, "scene: there is no sensor", "perspective"),
    ({"shape": None, "light": None}, "scene: there is nothing to see", "add a shape"),
    ({"shape": None, "light": {"type": "point"}}, "scene: there is nothing to see", "constant"),
    # colours
    (bsdf(reflectance=rgb(1, 0.5)), "red.reflectance.value: expected 3 numbers, got 2", ""),
    (bsdf(reflectance=rgb("a", 1, 2)), "red.reflectance.value: expected 3 numbers, got a list", ""),
    (bsdf(reflectance=rgb(True, 1, 1)), "red.reflectance.value: expected 3 numbers", ""),
    (bsdf(reflectance={"type": "rgb"}), "red.reflectance.value: missing; expected 3 numbers", ""),
    (
        bsdf(reflectance={"type": "rgb", "valu": 1, "value": 1}),
        "red.reflectance.valu: unknown key",
        "'value'",
    ),
    (bsdf(reflectance=rgb(0.5, 1.5, 0)), "red.reflectance.value: 1.5 is out of range", "[0, 1]"),
    (bsdf(reflectance=rgb(0.5, NAN, 0)), "red.reflectance.value: nan is not a finite number", ""),
    (bsdf(reflectance=-0.1), "red.reflectance: -0.1 is out of range", "[0, 1]"),
    (bsdf(reflectance=INF), "red.reflectance: inf is not a finite number", ""),
    (bsdf(reflectance=True), "red.reflectance: expected a number or a colour, got true", ""),
    (bsdf(reflectance="white"), "red.reflectance: expected a number or a colour, got the string", ""),
    (bsdf(reflectance=[0.1, 0.2, 0.3]), "red.reflectance: expected a number or a colour", '"type": "rgb"'),
    (bsdf(reflectance=None), "red.reflectance: expected a number or a colour, got null", ""),
    (bsdf(reflectance=DIFFUSE), "red.reflectance: expected a colour or a texture", "diffuse (bsdf)"),
    (bsdf(reflectance={"type": "sunsky"}), "red.reflectance.type: the plugin 'sunsky' exists", "bitmap"),
    (bsdf(reflectance={"type": "bitmap"}), "red.reflectance: expected one of filename, bitmap", "got none"),
    (bsdf(reflectance={"type": "uniform"}), "red.reflectance.value: missing; expected a number", ""),
    (bsdf(reflectance={"type": "uniform", "value": 1.1}), "red.reflectance.value: 1.1 is out of range", ""),
    (
        bsdf(reflectance={"type": "spectrum", "value": [[400, 1]]}),
        "red.reflectance.value: a spectrum needs at least two",
        "for a constant give one number",
    ),
    (bsdf(reflectance={"type": "spectrum", "filename": "x"}), "red.reflectance.filename: no such file", ""),
    (light(radiance=-1), "light.radiance: -1 is out of range", "[0, inf)"),
    (light(radiance=rgb(1, -2, 1)), "light.radiance.value: -2 is out of range", ""),
    (light(radiance={"type": "spectrum", "value": -1}), "light.radiance.value: -1 is out of range", ""),
    (light(radiance=1e300), "light.radiance: 1e+300 is beyond the range", ""),
    (light(radiance=10**400), "light.radiance: expected a number", ""),
    (light(sampling_weight=-1), "light.sampling_weight: -1 is out of range", ""),
    (light(sampling_weight=True), "light.sampling_weight: expected a number, got true", ""),
    ({"p": {"type": "point", "intensity": -1}}, "p.intensity: -1 is out of range", ""),
    ({"p": {"type": "point", "position": [1, 2]}}, "p.position: expected 3 numbers, got 2", ""),
    ({"p": {"type": "point", "position": [1, 2, NAN]}}, "p.position: nan is not", ""),
    (
        {"p": {"type": "point", "position": [1, 2, 3], "to_world": np.eye(4)}},
        "p: both position and to_world",
        "",
    ),
    # shapes and transforms
    ({"shape": {"type": "sphere", "radius": 0}}, "shape.radius: 0 is out of range", "(0, inf)"),
    ({"shape": {"type": "sphere", "radius": -1}}, "shape.radius: -1 is out of range", ""),
    ({"shape": {"type": "sphere", "radius": "1"}}, "shape.radius: expected a number, got the string '1'", ""),
    ({"shape": {"type": "sphere", "to_world": [{"scale": [1, 2, 1]}]}}, "shape.to_world: a sphere", "mesh"),
    ({"shape": {"type": "sphere", "center": 3}}, "shape.center: expected 3 numbers, got 1", ""),
    (shape(flip_normals=1), "shape.flip_normals: expected true or false, got 1", ""),
    (steps({"scale": 0}), "shape.to_world: the transform is singular", "invertible"),
    (steps({"scale": [1, 1, 0]}), "shape.to_world: the transform is singular", ""),
    (steps({"scale": 1e-3}, {"scale": [1, 1, 1e-12]}), "shape.to_world: the transform is singular", ""),
    (matrix(r0=(0, 0, 0, 1)), "shape.to_world: the transform is singular", ""),
    (matrix(r0=(NAN, 0, 0, 1)), "shape.to_world: the matrix holds NaN or inf", "look_at"),
    (matrix(r0=(1e300, 0, 0, 1)), "shape.to_world: the transform holds numbers beyond", ""),
    (matrix(r3=(0, 0, 1, 1)), "shape.to_world: the last row of the matrix must be 0, 0, 0, 1", ""),
    (shape(to_world=[[1, 0], [0, 1]]), "shape.to_world: expected a 4x4 matrix", "(2, 2)"),
    (shape(to_world=[]), "shape.to_world: expected a 4x4 matrix", ""),
    (shape(to_world=3), "shape.to_world: expected a 4x4 matrix", ""),
    (shape(to_world="identity"), "shape.to_world: expected a 4x4 matrix", "the string"),
    (
        shape(to_world=[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1], [0, 0, 0, 1]]),
        "shape.to_world: expected a 4x4",
        "",
    ),
    (shape(to_world={"scale": 2}), "shape.to_world: got a dictionary", "put steps into a list"),
    (steps({"scal": 2}), "shape.to_world[0]: unknown step 'scal'", "did you mean 'scale'?"),
    (steps({"scale": 2}, 3), "shape.to_world[1]: expected a step", ""),
    (steps({"scale": 2, "translate": [1, 2, 3]}), "shape.to_world[0]: a step holds one of", "each"),
    (steps({"scale": [1, 2]}), "shape.to_world[0].scale: expected a number or 3 numbers", ""),
    (steps({"scale": NAN}), "shape.to_world[0].scale: a number is NaN or inf", ""),
    (steps({"translate": [1, 2]}), "shape.to_world[0].translate: expected 3 numbers, got 2", ""),
    (steps({"translate": 1}), "shape.to_world[0].translate: expected 3 numbers", ""),
    (steps({"rotate": {"axis": [0, 0, 1]}}), "shape.to_world[0].rotate.angle: missing", ""),
    (
        steps({"rotate": {"axis": [0, 0, 0], "angle": 1}}),
        "shape.to_world[0].rotate.axis: the axis has length",
        "",
    ),
    (
        steps({"rotate": {"axis": [0, 0, 1], "angle": "1"}}),
        "shape.to_world[0].rotate.angle: expected a number",
        "",
    ),
    (
        steps({"rotate": {"axis": [0, 0, 1], "angel": 1}}),
        "shape.to_world[0].rotate.angel: unknown key",
        "angle",
    ),
    (
        look_at([1, 2, 3], [1, 2, 3], [0, 1, 0]),
        "shape.to_world[0].look_at: origin and target are the same",
        "",
    ),
    (look_at([0, 0, 0], [0, 2, 0], [0, 1, 0]), "shape.to_world[0].look_at.up: up is parallel", "another"),
    (
        look_at([0, 0, 0], [0, 2, 0], [0, 0, 0]),
        "shape.to_world[0].look_at.up: the vector has length zero",
        "",
    ),
    (look_at([0, 0, 0], [0, INF, 0], [0, 0, 1]), "shape.to_world[0].look_at.target: a number is NaN", ""),
    # sensor and film
    (sensor(fov=0), "sensor.fov: 0 is out of range", "(0, 180)"),
    (sensor(fov=180), "sensor.fov: 180 is out of range", ""),
    (sensor(fov="40"), "sensor.fov: expected a number, got the string", ""),
    (sensor(fov=40, fov_axis="z"), "sensor.fov_axis: 'z' is not one of x, y", ""),
    (sensor(fov_axis="x"), "sensor.fov_axis: has a meaning only together with fov", ""),
    (sensor(fov=40, focal_length="50mm"), "sensor: both fov and focal_length", ""),
    (sensor(focal_length=50), "sensor.focal_length: expected a string, got 50", ""),
    (sensor(focal_length="5cm"), "sensor.focal_length: expected millimetres", "'5cm'"),
    (sensor(focal_length="0mm"), "sensor.focal_length: expected millimetres", ""),
    (
        sensor(fov=40, near_clip=2, far_clip=1),
        "sensor.near_clip: near_clip 2 must be smaller than far_clip 1",
        "",
    ),
    (sensor(fov=40, near_clip=0), "sensor.near_clip: 0 is out of range", ""),
    (sensor(fov=40, focus_distance=NAN), "sensor.focus_distance: nan is not a finite number", ""),
    (sensor(fov=40, to_world=[{"scale": 2}]), "sensor.to_world: a camera's transform may not scale", ""),
    (sensor(fov=40, principal_point_offset_x=200), "sensor.principal_point_offset_x: 200 is out of", ""),
    (film(width=0), "sensor.film.width: 0 is out of range", "1 to 65536"),
    (film(width=-5), "sensor.film.width: -5 is out of range", ""),
    (film(height=70000), "sensor.film.height: 70000 is out of range", ""),
    (film(width=65536, height=65536), "sensor.film.width: 65536 x 65536 pixels are more", "reduce"),
    (film(width=10.0), "sensor.film.width: expected a whole number, got 10", ""),
    (film(width=True), "sensor.film.width: expected a whole number, got true", ""),
    (film(width="256"), "sensor.film.width: expected a whole number, got the string", ""),
    (
        film(width=100, crop_offset_x=10),
        "sensor.film.crop_width: the crop window reaches to 110",
        "crop_width",
    ),
    (film(height=100, crop_height=101), "sensor.film.crop_height: the crop window reaches to 101", ""),
    (film(crop_offset_y=-1), "sensor.film.crop_offset_y: -1 is out of range", ""),
    (film(pixel_format="rbg"), "sensor.film.pixel_format: 'rbg' is not one of", "did you mean 'rgb'?"),
    (film(component_format="float"), "sensor.film.component_format: 'float' is not one of", ""),
    (film(file_format="png"), "sensor.film.file_format: 'png' is not one of", "openexr"),
    (film(sample_border=1), "sensor.film.sample_border: expected true or false", ""),
    (film(rfilter="box"), "sensor.film.rfilter: expected a dictionary with a type", "'box'"),
    (shape(bsdf="red"), "shape.bsdf: expected a dictionary with a type, got the string 'red'", ""),
    (shape(emiter=3), "shape.emiter: unknown key", "did you mean 'emitter'?"),
    ({"shape": {"typ": "cube"}}, "shape.type: missing", "did you mean 'typ'?"),
    (film(rfilter={"type": "tent", "radius": 0}), "sensor.film.rfilter.radius: 0 is out of range", ""),
    (film(rfilter={"type": "box", "radius": 1}), "sensor.film.rfilter.radius: unknown key", "no keys"),
    (sensor(s={"type": "independent", "sample_count": 0}), "sensor.s.sample_count: 0 is out of range", ""),
    ({"integrator": {"type": "path", "max_depth": -2}}, "integrator.max_depth: -2 is out of range", ""),
    ({"integrator": {"type": "path", "max_depth": 2.0}}, "integrator.max_depth: expected a whole", ""),
    ({"integrator": {"type": "path", "rr_depth": 0}}, "integrator.rr_depth: 0 is out of range", ""),
    ({"integrator": {"type": "path", "hide_emitters": 1}}, "integrator.hide_emitters: expected true", ""),
    # files
    ({"shape": {"type": "ply"}}, "shape.filename: missing; expected a string", ""),
    ({"shape": {"type": "ply", "file_name": "x"}}, "shape.filename: missing", "did you mean 'file_name'?"),
    ({"shape": {"type": "ply", "filename": "absent.ply"}}, "shape.filename: no such file", "relative"),
    ({"shape": {"type": "obj", "filename": "."}}, "shape.filename: is a folder", ""),
    ({"shape": {"type": "obj", "filename": 3}}, "shape.filename: expected a string, got 3", ""),
]


@pytest.mark.parametrize("objects, begins, says", MISTAKES, ids=[m[1] for m in MISTAKES])
def test_mistake(objects, begins, says):
    with pytest.raises(SceneError) as caught:
        load_model_dict(scene(**objects))
    message = str(caught.value)
    assert message.startswith(begins)
    assert says in message
    assert "\n" not in message


TOP_LEVEL = [
    ([], "scene: expected a dictionary", "a list of 0"),
    ({}, "type: missing", '"type": "scene"'),
    ({"type": "sphere"}, "type: expected 'scene', got the string 'sphere'", "put it into"),
    ({"type": "scene"}, "scene: there is no sensor", ""),
    ({"type": "scene", 3: {}}, "scene: the key 3 is not a string", ""),
]


@pytest.mark.parametrize("d, begins, says", TOP_LEVEL)
def test_top_level(d, begins, says):
    with pytest.raises(SceneError) as caught:
        load_model_dict(d)
    assert str(caught.value).startswith(begins)
    assert says in str(caught.value)


FILES = [
    (b"", "the file is empty", ""),
    (b" \n ", "the file is empty", ""),
    (b'{"type": "scene",\n "a": }', "not JSON, line 2 column 7", ""),
    (b"<scene version='3.0.0'>", ", line 1 column 24: not well-formed XML: no element found", ""),
    (b"[1, 2]", "expected a dictionary", "a list of 2"),
    (b"3", "expected a dictionary", "got 3"),
    (b"\xff\xfe\x00", "not a text file in UTF-8", "JSON"),
    (b"[" * 100000, "not a scene", ""),
    (b'{"type": "scene", "a": ' + b"9" * 5000 + b"}", "not a scene", ""),
]


@pytest.mark.parametrize("content, begins, says", FILES, ids=[f[1] for f in FILES])
def test_file(tmp_path, content, begins, says):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(SceneError) as caught:
        load_model_file(path)
    assert str(caught.value).startswith(f"{path}{begins if begins.startswith(',') else f': {begins}'}")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_file_that_is_not_there(tmp_path):
    for path in (tmp_path / "absent.json", tmp_path):
        with pytest.raises(SceneError, match="cannot read the scene file"):
            load_model_file(path)


def test_a_key_twice_in_a_file(tmp_path):
    path = tmp_path / "twice.json"
    path.write_text('{"type": "scene", "s": {"type": "sphere", "radius": 1, "radius": 2}}')
    with pytest.raises(SceneError, match=r"^s\.radius: the key stands twice"):
        load_model_file(path)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "1e999"])
def test_not_finite_in_a_file(tmp_path, word):
    path = tmp_path / "nan.json"
    text = json.dumps(scene(shape={"type": "sphere", "radius": 12345}))
    path.write_text(text.replace("12345", word))
    with pytest.raises(SceneError, match=r"^shape\.radius: (nan|inf) is not a finite number"):
        load_model_file(path)


def test_the_scene_without_a_mistake_loads():
    load_model_dict(scene())
