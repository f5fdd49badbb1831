"""What it takes to extend prb: a model or a light is one file and one line, an array one line and its user.

Each test extends a copy of the sources, says which files it touched, and runs the copy.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MODEL = '''"""Diffuse reflection of half the light, whatever the reflectance says: a model for a test."""

from prb.kernels.backend import pi
from prb.kernels.bsdf.diffuse import pdf, sample  # noqa: F401
from prb.kernels.parameter import Parameter
from prb.kernels.traced import select

PARAMETERS = (Parameter("reflectance", default=0.5, high=1.0), Parameter("half", default=0.5, number=True))


def eval(p, wi, wo, delta):
    reflectance, half = p
    return select((wi.z > 0) & (wo.z > 0), reflectance * half * (wo.z / pi), 0.0)
'''

LIGHT = '''"""A point that emits as its constant says: a light for a test."""

from prb.kernels.backend import pi, ti
from prb.kernels.emitter import point
from prb.kernels.emitter.sample import at_single_direction
from prb.kernels.parameter import Parameter

PARAMETER = Parameter("intensity", default=1.0)
PLACEMENT = "position"
CONSTANTS = (Parameter("strength", default=1.0),)


def data(light):
    return [[*light.position, light.constants["strength"]]]


def power(light, radius):
    return 4 * pi * light.constants["strength"]


@ti.func
def sample(scene: ti.template(), entry, ref, u1, u2):
    return at_single_direction(scene, entry, ref, connect, 1)


def connect(rows, ref):
    d, distance, pdf, scale, uv = point.connect(rows, ref)
    return d, distance, pdf, scale * rows[0][3], uv
'''

SCENE = """
import numpy as np
import prb

def box(bsdf, light):
    return prb.load_dict({
        "type": "scene",
        "integrator": {"type": "path", "max_depth": 3},
        "sensor": {"type": "perspective", "film": {"type": "hdrfilm", "width": 8, "height": 8},
                   "to_world": [{"look_at": {"origin": [0, 0, 4], "target": [0, 0, 0], "up": [0, 1, 0]}}]},
        "floor": {"type": "rectangle", "bsdf": bsdf},
        "light": light,
    })
"""


@pytest.fixture
def copy(tmp_path):
    """A copy of the sources."""
    for name in ("prb", "kernels", "scenes"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def insert(file, after, line):
    """Put one line behind the one line that starts with `after`."""
    lines = file.read_text().split("\n")
    (at,) = [i for i, text in enumerate(lines) if text.startswith(after)]
    lines.insert(at + 1, line)
    file.write_text("\n".join(lines))


def changed(copy):
    """Files that differ from the checkout's: name -> lines that are new, None for a new file."""
    found = {}
    for file in sorted(copy.rglob("*.py")):
        name = file.relative_to(copy)
        if not (ROOT / name).exists():
            found[name.as_posix()] = None
        elif (ROOT / name).read_text() != file.read_text():
            old, new = (ROOT / name).read_text().split("\n"), file.read_text().split("\n")
            found[name.as_posix()] = len(new) - len(old)
    return found


def run(copy, script):
    environment = {**os.environ, "PYTHONPATH": str(copy), "PRB_ARCH": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", SCENE + script], cwd=copy, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def register(registry, after, name, module):
    """Add an entry to a registry; the import stands in its line, so that it is one."""
    insert(registry, after, f'    "{name}": importlib.import_module("{module}"),')
    registry.write_text(registry.read_text().replace("REGISTRY = {", "import importlib\n\nREGISTRY = {"))


def test_a_new_model_is_one_file_and_one_line(copy):
    (copy / "kernels/bsdf/halved.py").write_text(MODEL)
    registry = copy / "kernels/bsdf/__init__.py"
    register(registry, "    **roughplastic.VARIANTS", "halved", "prb.kernels.bsdf.halved")
    assert set(changed(copy)) == {"kernels/bsdf/halved.py", "kernels/bsdf/__init__.py"}
    run(
        copy,
        """
lamp = {"type": "point", "position": [0, 0, 2]}
halved = box({"type": "halved", "reflectance": {"type": "rgb", "value": 0.8}}, lamp)
plain = box({"type": "diffuse", "reflectance": {"type": "rgb", "value": 0.4}}, lamp)
a, b = prb.render(halved, spp=16), prb.render(plain, spp=16)
np.testing.assert_allclose(a, b, rtol=1e-5)
weight = np.ones(a.shape)
replay = prb.render_backward(halved, weight, spp=16)
tape = prb.render_backward(halved, weight, spp=16, adjoint=prb.TapeAdjoint())
assert set(replay) >= {"floor.bsdf.reflectance.value", "floor.bsdf.half.value"}
for name in replay:
    np.testing.assert_allclose(replay[name], tape[name], rtol=1e-4)
""",
    )


def test_a_new_light_is_one_file_and_one_line(copy):
    (copy / "kernels/emitter/strong.py").write_text(LIGHT)
    registry = copy / "kernels/emitter/__init__.py"
    register(registry, '    "spot": spot', "strong", "prb.kernels.emitter.strong")
    assert set(changed(copy)) == {"kernels/emitter/strong.py", "kernels/emitter/__init__.py"}
    run(
        copy,
        """
grey = {"type": "diffuse"}
place = {"position": [0, 0, 2], "intensity": {"type": "rgb", "value": 1.0}}
strong = prb.render(box(grey, {"type": "strong", "strength": 3.0, **place}), spp=16)
point = prb.render(box(grey, {"type": "point", **place}), spp=16)
assert strong.mean() > 0
np.testing.assert_allclose(strong, 3 * point, rtol=1e-5)
""",
    )


def test_a_new_array_is_one_line_beside_the_code_that_makes_and_reads_it(copy):
    insert(
        copy / "kernels/arrays.py",
        "SCENE = {",
        '    "tint": Array(ti.f32, 1, "(1,)", "a factor of every colour"),',
    )
    emission = copy / "kernels/emission.py"
    text = emission.read_text()
    emission.write_text(text.replace("    return color\n", "    return color * scene.tint[0]\n", 1))
    emitters = copy / "prb/device/emitters.py"
    text = emitters.read_text()
    line = '            "tint": np.full(1, 2.0, np.float32),\n'
    emitters.write_text(text.replace('            "emitters": ', line + '            "emitters": ', 1))
    assert set(changed(copy)) == {"kernels/arrays.py", "kernels/emission.py", "prb/device/emitters.py"}
    run(
        copy,
        """
lamp = {"type": "point", "position": [0, 0, 2], "intensity": {"type": "rgb", "value": [1.0, 2.0, 3.0]}}
scene = box({"type": "diffuse"}, lamp)
image = prb.render(scene, spp=4)
assert scene.device_array("tint").to_numpy().tolist() == [2.0]
gradient = prb.render_backward(scene, np.ones(image.shape), spp=4, adjoint=prb.TapeAdjoint())
total = gradient["light.intensity.value"] * [1.0, 2.0, 3.0]
np.testing.assert_allclose(total.sum(), image.sum(), rtol=1e-4)
""",
    )
