"""XML to JSON to a picture is the same picture, bit for bit, and the same parameters."""

import numpy as np
import pytest
from helpers.mitsuba_data import SCENES

import prb
from prb.cli.main import main

LARGE = ("test_constant_path", "test_pointlight_path")  # many meshes, which take their time to load

# As many plugins, elements and attributes as one file can hold.
ROOM = """<scene version="3.0.0">
    <default name="size" value="12"/> <default name="grey" value="0.3"/> <path value="files"/>
    <integrator type="path"><integer name="max_depth" value="5"/></integrator>
    <sensor type="perspective" id="eye"><float name="fov" value="51.3"/><string name="fov_axis" value="y"/>
        <transform name="to_world"><lookat origin="0.1, -4, 2.2" target="0 0 0.7" up="0 0 1"/></transform>
        <sampler type="stratified"><integer name="sample_count" value="3"/></sampler>
        <film type="hdrfilm"><integer name="width" value="$size"/><integer name="height" value="9"/>
            <integer name="crop_width" value="10"/><integer name="crop_height" value="7"/>
            <integer name="crop_offset_x" value="1"/><integer name="crop_offset_y" value="2"/>
            <rfilter type="tent"/></film></sensor>
    <sensor type="thinlens" id="lens"><float name="aperture_radius" value="0.07"/>
        <float name="focus_distance" value="3.1"/><film type="hdrfilm"><integer name="width" value="8"/>
        <integer name="height" value="8"/></film><transform name="to_world"><rotate x="1" angle="-90"/>
        <translate y="-3.3" z="0.9"/></transform></sensor>
    <include filename="parts.xml"/>
    <alias id="wall" as="floor"/>
    <texture type="checkerboard" id="board"><rgb name="color0" value="#c08040"/>
        <texture type="bitmap" name="color1"><string name="filename" value="picture.png"/>
            <string name="filter_type" value="nearest"/><string name="wrap_mode" value="mirror"/></texture>
        <transform name="to_uv"><scale x="3.3" y="2.1"/><rotate z="1" angle="12.7"/></transform></texture>
    <bsdf type="twosided" id="tiles"><bsdf type="diffuse"><ref name="reflectance" id="board"/></bsdf>
        <bsdf type="conductor"><string name="material" value="Cu"/></bsdf></bsdf>
    <shape type="rectangle"><ref id="floor"/><transform name="to_world"><scale value="3"/></transform></shape>
    <shape type="cube"><ref id="tiles"/><transform name="to_world"><rotate z="1" angle="33.3"/>
        <scale value="0.37"/><translate value="-1.1 0.3 0.4"/></transform></shape>
    <shape type="sphere"><point name="center" x="0.9" y="-0.2" z="0.5"/><float name="radius" value="0.45"/>
        <bsdf type="dielectric"><string name="int_ior" value="diamond"/></bsdf></shape>
    <shape type="disk"><bsdf type="mask"><texture type="bitmap" name="opacity"><boolean name="raw"
        value="true"/><string name="filename" value="picture.png"/></texture><bsdf type="null"/></bsdf>
        <transform name="to_world"><translate z="1.5"/></transform></shape>
    <shape type="cylinder"><float name="radius" value="0.21"/><vector name="p1" x="0.3" y="0" z="1.1"/>
        <bsdf type="blendbsdf"><float name="weight" value="0.35"/><ref id="wall"/>
        <bsdf type="dielectric"><float name="int_ior" value="1.31"/></bsdf></bsdf></shape>
    <shape type="shapegroup" id="group"><shape type="ply"><string name="filename" value="mesh.ply"/>
        <bsdf type="diffuse"><texture type="mesh_attribute" name="reflectance"><string name="name"
        value="vertex_color"/></texture></bsdf></shape></shape>
    <shape type="instance"><ref id="group"/><transform name="to_world"><translate x="-0.4" z="0.1"/>
        </transform></shape>
    <shape type="instance"><ref id="group"/><transform name="to_world"><scale value="0.77"/><matrix
        value="0 1 0 0.3  -1 0 0 0.7  0 0 1 0.9  0 0 0 1"/></transform></shape>
    <shape type="rectangle"><transform name="to_world"><scale value="0.5"/><rotate x="1" angle="171"/>
        <translate z="2.9"/></transform><emitter type="area"><spectrum name="radiance"
        value="400:1.3, 550:4.7, 700:3.1"/></emitter></shape>
    <emitter type="envmap"><string name="filename" value="sky.exr"/><float name="scale" value="0.7"/>
        <transform name="to_world"><rotate x="1" angle="90"/></transform></emitter>
    <emitter type="spot"><rgb name="intensity" value="5 4.1 3.3"/><transform name="to_world"><lookat
        origin="1 -2 3" target="0 0 0"/></transform></emitter>
    <emitter type="directional"><vector name="direction" x="0.3" y="0.2" z="-1"/>
        <spectrum name="irradiance" value="0.9"/></emitter>
</scene>"""
PARTS = """<scene version="3.0.0"><bsdf type="diffuse" id="wall"><rgb name="reflectance" value="$grey"/>
</bsdf></scene>"""
PLY = """ply
format ascii 1.0
element vertex 3
property float x
property float y
property float z
property float r
property float g
property float b
element face 1
property list uchar int vertex_indices
end_header
-0.3 0 0 0.1 0.7 0.3
0.31 0 0 0.9 0.2 0.1
0 0.1 0.53 0.4 0.4 0.8
3 0 1 2
"""


@pytest.fixture
def room(tmp_path):
    import imageio.v3

    folder = tmp_path / "in" / "files"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    prb.io.images.write_image(folder / "sky.exr", rng.uniform(0, 1, (4, 8, 3)))
    imageio.v3.imwrite(folder / "picture.png", rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    (folder / "mesh.ply").write_text(PLY)
    (tmp_path / "in" / "parts.xml").write_text(PARTS)
    (tmp_path / "in" / "scene.xml").write_text(ROOM)
    return tmp_path / "in" / "scene.xml"


def assert_same(a, b):
    """The scenes have the same numbers on the device and the same parameters."""
    x, y = a.layout, b.layout
    assert x.features == y.features and x.environment == y.environment
    for name in x.arrays:
        np.testing.assert_array_equal(x.arrays[name], y.arrays[name], err_msg=name)
    np.testing.assert_array_equal(x.params, y.params)
    np.testing.assert_array_equal(x.start.exact, y.start.exact)
    assert x.parameters == y.parameters and list(x.parameters) == list(y.parameters)
    for s, t in zip(a.model.sensors, b.model.sensors, strict=True):
        assert s.name == t.name and (s.to_world == t.to_world).all() and vars(s.film) == vars(t.film)
        assert s.x_fov == t.x_fov and s.sample_count == t.sample_count
    assert vars(a.model.integrator) == vars(b.model.integrator)


def converted(file, tmp_path, *options):
    output = tmp_path / "out" / "deeper" / "scene.json"
    output.parent.mkdir(parents=True)
    assert main(["convert", str(file), str(output), *options]) == 0
    return output


def test_a_room_of_many_plugins(room, tmp_path):
    output = converted(room, tmp_path, "-D", "grey=0.45", "-D", "size=11")
    a, b = prb.load_file(room, grey="0.45", size=11), prb.load_file(output)
    assert_same(a, b)
    with pytest.raises(AssertionError):
        assert_same(prb.load_file(room, grey="0.4500001", size=11), b)
    x, y = (prb.render(scene, spp=3, seed=2) for scene in (a, b))
    assert x.shape == (7, 10, 3) and x.mean() > 0
    np.testing.assert_array_equal(x, y)
    assert {**prb.traverse(a)}.keys() == {**prb.traverse(b)}.keys()


@pytest.mark.parametrize("file", [
    pytest.param(f, id=f"{f.parent.name}/{f.stem}", marks=[pytest.mark.slow] if f.stem in LARGE else [])
    for f in SCENES
])  # fmt: skip
def test_mitsubas_scenes(file, tmp_path):
    a, b = prb.load_file(file), prb.load_file(converted(file, tmp_path))
    assert_same(a, b)
    for scene in (a, b):
        scene.resize(12, 8)
    x, y = (prb.render(scene, spp=2, seed=5) for scene in (a, b))
    assert x.mean() > 0
    np.testing.assert_array_equal(x, y)
