"""Participating media are read as Mitsuba reads them: defaults, names, places, warnings, values put back."""

import json

import numpy as np
import pytest
from helpers.mitsuba_data import MEDIA, ROOT

import prb
from prb.io.volumes import read_vol, write_vol
from prb.scene.load import load_document, load_model_dict, load_model_file
from prb.scene.media import border_edges, media_of, volumes_of
from prb.scene.parameter_values import with_values
from prb.scene.reading.xml import read_xml

pytestmark = pytest.mark.quick
GRID = np.random.default_rng(1).uniform(0.1, 1, (2, 3, 4)).astype(np.float32)
FOG = {"type": "homogeneous"}


def rgb(*value):
    return {"type": "rgb", "value": list(value)}


def scene(**objects):
    return {"type": "scene", "integrator": {"type": "volpath"}, "cam": {"type": "perspective"},
            "sky": {"type": "constant"}, **objects}  # fmt: skip


def medium(**keys):
    """The medium of those keys, under the name fog."""
    fog = {"type": "homogeneous", **keys}
    model = load_model_dict(scene(fog=fog, ball={"type": "sphere", "interior": {"type": "ref", "id": "fog"}}))
    return media_of(model)[0]


def grid(values=GRID, **keys):
    return {"type": "gridvolume", "data": values, **keys}


@pytest.mark.parametrize("kind", ["homogeneous", "heterogeneous"])
def test_defaults(kind):
    fog = medium(type=kind)
    assert {key: (v.name, v.kind, float(v.value)) for key, v in fog.volumes.items()} == {
        "sigma_t": ("fog.sigma_t.value.value", "constant", 1.0),
        "albedo": ("fog.albedo.value.value", "constant", 0.75),
        "scale": ("fog.scale", "constant", 1.0),
    }
    assert (fog.kind, fog.phase.kind, fog.sample_emitters) == (kind, "isotropic", True)
    assert (fog.volumes["albedo"].low, fog.volumes["albedo"].high) == (0, 1)
    assert (fog.volumes["sigma_t"].low, fog.volumes["sigma_t"].high) == (0, np.inf)


def test_colours_volumes_and_emission():
    fog = medium(
        type="heterogeneous", scale=3.0, sample_emitters=False, has_spectral_extinction=False, emission=0.5,
        sigma_t=grid(wrap_mode="mirror", filter_type="nearest", to_world=[{"scale": 2}], max_value=2.0),
        albedo={"type": "constvolume", "value": rgb(0.1, 0.2, 0.3)},
    )  # fmt: skip
    sigma_t, albedo = fog.volumes["sigma_t"], fog.volumes["albedo"]
    assert (sigma_t.wrap, sigma_t.filter, sigma_t.max_value, sigma_t.to_world[0, 0]) == (
        "mirror",
        "nearest",
        2,
        2,
    )
    np.testing.assert_array_equal(sigma_t.value, GRID[..., None])
    np.testing.assert_array_equal(albedo.value, np.float32([0.1, 0.2, 0.3]))
    assert fog.volumes["emission"].value == 0.5 and not fog.sample_emitters
    assert medium(sigma_t=rgb(1, 2, 30)).volumes["sigma_t"].value.tolist() == [1, 2, 30]  # Mitsuba: up to 1


def test_phase_functions():
    def phase(**keys):
        return medium(phase=keys).phase

    assert (
        phase(type="hg").volumes["g"].value == np.float32(0.8) and phase(type="rayleigh").kind == "rayleigh"
    )
    assert phase(type="hg", g=-0.9999).volumes["g"].low == np.float32(-0.9999)
    for values in ("1, 2 3", [1, 2, 3]):
        assert phase(type="tabphase", values=values).volumes["values"].value.tolist() == [1, 2, 3]
    assert phase(type="sggx", S=[1, 1, 1, 0, 0, 0]).volumes["S"].value.shape == (6,)
    flat = phase(type="sggx", S=grid(np.float32([1, 1, 0, 1, 0, 0]).reshape(1, 1, 1, 6)))
    assert flat.volumes["S"].name == "fog.phase_function.S.data"
    blend = phase(type="blendphase", weight=0.3, b={"type": "hg"}, a={"type": "isotropic"})
    assert [child.kind for child in blend.children] == ["hg", "isotropic"]  # in the order of the file


def test_sides_of_shapes_and_the_sensor():
    ref = {"type": "ref", "id": "fog"}
    group = {"type": "shapegroup", "a": {"type": "sphere", "interior": ref}, "b": {"type": "cube"}}
    model = load_model_dict(scene(
        fog=FOG, cam={"type": "perspective", "medium": ref},
        ball={"type": "sphere", "interior": FOG, "exterior": ref, "light": {"type": "area"}}, group=group,
        copy={"type": "instance", "g": {"type": "ref", "id": "group"}, "interior": {**FOG, "albedo": 0.1}},
    ))  # fmt: skip
    ball, a, b = model.shapes
    fog = model.sensors[0].medium
    assert ball.exterior is fog and ball.interior.name == "ball.interior_medium"
    assert a.interior is fog and b.interior.name == "copy.interior_medium" and b.exterior is None
    assert [m.name for m in media_of(model)] == ["ball.interior_medium", "fog", "copy.interior_medium"]
    assert not model.warnings


def test_names_are_mitsubas():
    mi = pytest.importorskip("mitsuba")
    mi.set_variant("scalar_rgb")

    def fog(volume, **keys):
        return {"type": "heterogeneous", "sigma_t": volume, "albedo": {"type": "constvolume", "value": 0.4},
                **keys}  # fmt: skip

    def whole(volume):
        blend = {"type": "blendphase", "weight": {"type": "constvolume", "value": 0.2},
                 "x": {"type": "hg", "g": 0.1}, "w": {"type": "tabphase", "values": "1 2"}}  # fmt: skip
        return scene(
            vol={"type": "constvolume", "value": 0.3}, phase={"type": "hg", "g": 0.7},
            fog=fog(volume, p=blend),
            mist=fog({"type": "ref", "id": "vol"}, p={"type": "ref", "id": "phase"}),
            a={"type": "sphere", "interior": fog(0.1), "exterior": {"type": "ref", "id": "mist"}},
            b={"type": "sphere", "interior": {"type": "ref", "id": "fog"}, "exterior": fog(rgb(0, 0.2, 0.3)),
               "bsdf": {"type": "diffuse", "reflectance": {"type": "volume", "volume": volume}}},
        )  # fmt: skip

    ours = volumes_of(load_model_dict(whole(grid())))
    volume = {"type": "gridvolume", "grid": mi.VolumeGrid(GRID[..., None])}
    theirs = mi.traverse(mi.load_dict(whole(volume), optimize=False))  # which would merge equal objects
    ends = (".scale", ".data", ".value.value", ".g", ".values")
    assert {k for k in theirs.keys() if k.endswith(ends) and not k.startswith("sky")} == set(ours)
    np.testing.assert_array_equal(
        np.ravel(theirs["fog.sigma_t.data"]), ours["fog.sigma_t.data"].value.ravel()
    )


def test_a_volume_texture():
    bright = {"type": "volume", "volume": grid(2 * GRID)}
    model = load_model_dict(
        scene(ball={"type": "sphere", "bsdf": {"type": "diffuse", "reflectance": bright}})
    )
    texture = model.shapes[0].bsdf.textures["reflectance"]
    assert (texture.kind, texture.volume.name) == ("volume", "ball.bsdf.reflectance.volume.data")
    assert texture.volume.high == texture.high == (2 * GRID).max() and "energy is not" in model.warnings[0]
    mask = {"type": "mask", "opacity": bright, "a": {"type": "diffuse"}}
    model = load_model_dict(scene(ball={"type": "sphere", "bsdf": mask}))
    assert "the volume has values in" in model.warnings[0]
    assert volumes_of(model)["ball.bsdf.opacity.volume.data"].value.max() == 1


def test_warnings():
    def said(**objects):
        return load_model_dict(scene(fog=FOG, **objects)).warnings

    inside = {"interior": {"type": "ref", "id": "fog"}}
    assert said(ball={"type": "sphere"}) == [
        'fog: no shape or sensor uses this homogeneous; refer to it with {"type": "ref", "id": "fog"}'
    ]
    for kind in ("rectangle", "disk", "cylinder"):
        (line,) = said(a={"type": kind, **inside})
        assert line.startswith(f"a: has an interior, but a {kind} is open, so that light may leave 'fog'")
    assert not said(a={"type": "cube", **inside}, b={"type": "sphere", **inside})
    assert not said(wall={"type": "disk", "exterior": {"type": "ref", "id": "fog"}})
    (line,) = said(a={"type": "cube", **inside}, integrator={"type": "prb"})
    assert line == "fog: the medium is not seen by the integrator prb; use volpath or prbvolpath"


def test_border_edges():
    """A tetrahedron whose corners are written once for each triangle is closed; one without a side is not."""
    corners = np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])
    split, apart = corners[faces].reshape(-1, 3), np.arange(12).reshape(4, 3)
    split[3] = -split[3]  # the corner at 0, as -0
    assert border_edges(corners, faces) == border_edges(split, apart) == 0
    assert border_edges(corners, faces[:3]) == border_edges(split, apart[:3]) == 3


FULL = dict(
    vol={"type": "constvolume", "value": 2.0},
    air={"type": "homogeneous", "sigma_t": rgb(1, 2, 3), "albedo": 0.5, "scale": 2.0,
         "emission": {"type": "constvolume", "value": rgb(1, 2, 3)},
         "p": {"type": "blendphase", "weight": 0.25, "a": {"type": "hg", "g": 0.1},
               "b": {"type": "tabphase", "values": "1 2 3"}}},
    ball={"type": "sphere", "exterior": {"type": "ref", "id": "air"},
          "interior": {"type": "heterogeneous", "albedo": {"type": "constvolume", "value": 0.2},
                       "sigma_t": {"type": "gridvolume", "filename": "in.vol", "use_grid_bbox": True,
                                   "to_world": [{"scale": 2}], "max_value": 1.0},
                       "p": {"type": "sggx", "S": [1, 1, 1, 0, 0, 0]}}},
    cube={"type": "cube", "interior": {"type": "homogeneous", "sigma_t": {"type": "ref", "id": "vol"}},
          "bsdf": {"type": "diffuse", "reflectance": {"type": "volume", "volume": grid()}}},
)  # fmt: skip


def test_values_are_put_back(tmp_path):
    write_vol(tmp_path / "in.vol", GRID, box=[[1, 2, 3], [5, 4, 6]])
    before = volumes_of(load_model_dict(scene(**FULL), base_dir=tmp_path))
    halves = {name: np.asarray(volume.value * np.float32(0.5)) for name, volume in before.items()}

    def write(name, values):
        write_vol(tmp_path / f"{name}.vol", values)
        return f"{name}.vol"

    data, left = with_values(scene(**FULL), list(halves), halves, None, write_volume=write, volumes=before)
    after = volumes_of(load_model_dict(json.loads(json.dumps(data)), base_dir=tmp_path))
    assert not left and list(after) == list(before) and len(before) == 15
    for name, value in halves.items():
        np.testing.assert_array_equal(after[name].value, value, err_msg=name)
        np.testing.assert_array_equal(after[name].to_world, before[name].to_world)
    assert with_values(scene(**FULL), ["ball.interior_medium.sigma_t.data"], halves, None)[1]


XML = """<scene version="3.0.0"><integrator type="volpath"/>
<sensor type="perspective"><ref id="m.1"/></sensor>
<emitter type="constant"/>
<medium type="heterogeneous" id="m.1"><volume name="sigma_t" type="gridvolume"><string name="filename"
value="in.vol"/></volume><rgb name="albedo" value="0.1 0.2 0.3"/><phase type="blendphase"><float name="weight"
value="0.1"/><phase type="hg"/><phase type="tabphase"><string name="values" value="1, 2"/>
</phase></phase></medium>
<shape type="sphere" id="s"><ref name="interior" id="m.1"/>
<medium name="exterior" type="homogeneous"/></shape>
</scene>"""


def test_xml_round_trip(tmp_path):
    (tmp_path / "out").mkdir()
    write_vol(tmp_path / "in.vol", GRID)
    (tmp_path / "a.xml").write_text(XML)
    a = load_model_file(tmp_path / "a.xml")
    prb.convert_file(tmp_path / "a.xml", tmp_path / "out" / "b.json")
    b = load_model_file(tmp_path / "out" / "b.json")
    assert list(volumes_of(a)) == [
        "m_1.sigma_t.data", "m_1.albedo.value.value", "m_1.scale", "m_1.phase_function.weight.value.value",
        "m_1.phase_function.phase_0.g", "m_1.phase_function.phase_1.values",
        "s.exterior_medium.sigma_t.value.value", "s.exterior_medium.albedo.value.value",
        "s.exterior_medium.scale",
    ]  # fmt: skip
    assert a.sensors[0].medium is a.shapes[0].interior is not None
    for (n, x), (m, y) in zip(volumes_of(a).items(), volumes_of(b).items(), strict=True):
        assert n == m
        np.testing.assert_array_equal(x.value, y.value)


@pytest.mark.parametrize("file", sorted((ROOT / MEDIA).glob("*.xml")), ids=lambda file: file.stem)
def test_mitsubas_scenes(file):
    model = load_document(read_xml(file))
    assert model.integrator.volumetric and len(media_of(model)) == 1
    assert not any("interior" in line for line in model.warnings)
    if "hetero" in file.stem:
        values = volumes_of(model)["medium1.sigma_t.data"].value
        np.testing.assert_array_equal(values, read_vol(file.parent / "textures" / "sigmat.vol").values)


FAR = {"type": "ref", "id": "nobody"}
WRONG = {
    "negative": (dict(sigma_t=-1.0), "fog.sigma_t: -1 is out of range; expected values in [0, inf)"),
    "nan": (dict(sigma_t=float("nan")), "fog.sigma_t: nan is not a finite number"),
    "albedo": (dict(albedo=1.5), "fog.albedo: 1.5 is out of range; expected values in [0, 1]"),
    "albedo rgb": (dict(albedo=rgb(0, 0, 1.5)), "fog.albedo.value: 1.5 is out of range"),
    "three": (dict(sigma_t=[1, 2, 3]), "fog.sigma_t: expected one number or a colour, or a volume, got a "),
    "six": (dict(sigma_t=[1, 2, 3, 4, 5, 6]), "fog.sigma_t: has 6 numbers at each point; expected 1 or 3"),
    "scale": (dict(scale=-1), "fog.scale: -1 is out of range"),
    "emission": (dict(emission=rgb(-1, 0, 0)), "fog.emission.value: -1 is out of range"),
    "key": (dict(sigmat=1), "fog.sigmat: unknown key; did you mean 'sigma_t'?"),
    "voxels of sggx": (
        dict(phase={"type": "sggx", "S": grid(np.tile([1, 1, 1, 0, 0, 0], (1, 1, 2, 1)))}),
        "fog: its extinction follows the S of its sggx, which varies; use heterogeneous, or one voxel",
    ),
    "grid": (dict(sigma_t=grid()), "fog.sigma_t: the density of a homogeneous medium is one colour; use het"),
    "image": (dict(albedo={"type": "checkerboard"}), "fog.albedo: checkerboard lies on a surface"),
    "voxel": (dict(albedo=grid(GRID * 0 - np.eye(3, 4, dtype="f")[None])), "fog.albedo: -1 in the voxel"),
    "voxel nan": (dict(albedo=grid(GRID * np.inf)), "fog.albedo.data: the voxel z 0, y 0, x 0 holds inf;"),
    "max": (dict(albedo=grid(max_value=0.2)), "fog.albedo.max_value: 0.2 is below the grid's maximum of"),
    "channels": (dict(albedo=grid(np.ones((2, 2, 2, 4)))), "fog.albedo.data: has 4 channels; prb reads"),
    "matrix": (dict(albedo=grid(np.ones((2, 2, 2, 6)))), "fog.albedo: has 6 numbers at each point; expected"),
    "flat": (dict(albedo=grid(np.ones((2, 2)))), "fog.albedo.data: expected an array of shape (Z, Y, X)"),
    "box": (dict(albedo=grid(use_grid_bbox=True)), "fog.albedo.use_grid_bbox: an array has no box"),
    "nothing": (dict(albedo={"type": "gridvolume"}), "fog.albedo: expected one of filename, grid"),
    "wrap": (dict(albedo=grid(wrap_mode="clam")), "fog.albedo.wrap_mode: 'clam' is not one of"),
    "two": (dict(a={"type": "hg"}, b={"type": "hg"}), "fog.b: a medium holds one phase function"),
    "bsdf": (dict(a={"type": "diffuse"}), "fog.a: diffuse (bsdf) does not belong inside homogeneous"),
    "nobody": (dict(sigma_t=FAR), "fog.sigma_t: there is no object 'nobody' to refer to"),
}  # fmt: skip
G, TAB, BLEND = ({"type": kind} for kind in ("hg", "tabphase", "blendphase"))
WRONG |= {
    f"phase {i}": (dict(phase=phase), f"fog.phase{message}")
    for i, (phase, message) in enumerate([
        ({**G, "g": 1.0}, ".g: 1 is out of range; expected a value in (-1, 1)"),
        ({**G, "g": -1.0}, ".g: -1 is out of range"),
        ({**G, "g": 1 - 1e-9}, ".g: 0.999999999 is 1 as a 32-bit number"),
        (TAB, ".values: missing; expected two numbers or more"),
        ({**TAB, "values": "1"}, ".values: expected two numbers or more, from backward to forward, got 1"),
        ({**TAB, "values": "0 0"}, ".values: all numbers are 0"),
        ({**TAB, "values": "1 -1"}, ".values: -1 is out of range"),
        ({**TAB, "values": "1 x"}, ".values: expected numbers such as"),
        (BLEND, ".weight: missing; expected one number, or a volume"),
        ({**BLEND, "weight": 0.5, "a": G}, ": blendphase holds two nested phase functions, got 1"),
        ({**BLEND, "weight": 1.5, "a": G, "b": G}, ".weight: 1.5 is out of range"),
        ({**BLEND, "weight": rgb(0, 0, 1), "a": G, "b": G}, ".weight: has 3 numbers at each point"),
        ({"type": "sggx"}, ".S: missing; expected six numbers"),
        ({"type": "sggx", "S": 1.0}, ".S: has 1 numbers at each point; expected 6"),
        ({"type": "sggx", "S": [1, 1, 1, 1.1, 0, 0]}, ".S: the matrix has a negative eigenvalue"),
        ({"type": "sggx", "S": [1, 1, 1, -0.6, -0.6, -0.6]}, ".S: the matrix has a negative eigenvalue"),
        ({"type": "sggx", "S": grid(np.tile([1, 1, -1, 0, 0, 0], (1, 2, 1, 1)))},
         ".S: the matrix in the voxel z 0, y 0, x 0 has"),
    ])
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_mistakes(case):
    keys, message = WRONG[case]
    with pytest.raises(prb.SceneError) as caught:
        medium(**keys)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


IN_SHAPES = [
    ({"interior": FAR}, "ball.interior: there is no object 'nobody' to refer to; defined: ball,"),
    ({"interior": "fog"}, "ball.interior: expected a medium, or a ref to one, got the string 'fog'"),
    ({"exterior": {"type": "hg"}}, "ball.exterior: expected a medium, got hg (phase)"),
    ({"fog": FOG}, "ball.fog: a medium stands under the key interior or exterior of a shape"),
]


@pytest.mark.parametrize("keys, message", IN_SHAPES)
def test_mistakes_of_shapes(keys, message):
    with pytest.raises(prb.SceneError) as caught:
        load_model_dict(scene(ball={"type": "sphere", **keys}))
    assert str(caught.value).startswith(message)


def test_mistakes_of_files(tmp_path):
    def message(name, **keys):
        volume = {"type": "gridvolume", "filename": name, **keys}
        fog = {"type": "heterogeneous", "sigma_t": volume}
        with pytest.raises(prb.SceneError) as caught:
            load_model_dict(scene(ball={"type": "sphere", "interior": fog}), base_dir=tmp_path)
        return str(caught.value)

    place = "ball.interior.sigma_t"
    assert message("no.vol").startswith(f"{place}.filename: no such file: ")
    write_vol(tmp_path / "a.vol", GRID)
    (tmp_path / "short.vol").write_bytes((tmp_path / "a.vol").read_bytes()[:-1])
    assert message("short.vol").startswith(f"{place}.filename: {tmp_path}/short.vol: claims 4 x 3 x 2 voxels")
    write_vol(tmp_path / "flat.vol", GRID, box=[[0, 0, 0], [1, 1, 0]])
    assert message("flat.vol", use_grid_bbox=True).startswith(
        f"{place}.use_grid_bbox: the transform is singular"
    )
