"""Commands on parameters that bend rays: which method is used, and what it leaves out."""

import json

import numpy as np
import pytest
from helpers.bent_scenes import ETA, WALL, glass_dict


@pytest.fixture
def scene(tmp_path):
    """The file of a scene with a plane of glass before a wall."""
    path = tmp_path / "glass.json"
    path.write_text(json.dumps(glass_dict(max_depth=4), default=np.ndarray.tolist))
    return str(path)


NOTE = "attached: edges that moving rays sweep over are not in the derivative"


def test_params_say_how(prb_command, scene):
    out = prb_command("params", scene)[1]
    how = {line.split()[0]: line.split("  ")[-1].strip() for line in out.splitlines()}
    assert how[ETA] == "attached" and how[WALL] == "detached, attached"
    assert how["sensor.to_world"] == "detached" and how["sensor.near_clip"].startswith("no: it only decides")


def test_grad_says_which_method_was_used(prb_command, scene):
    both = ["grad", scene, "--param", ETA, "--param", WALL, "--spp", "4"]
    status, out, err = prb_command(*both)
    head, *rest = out.splitlines()
    assert (status, err) == (0, "") and head.endswith("depth 4, replay and attached")
    used = {line.split()[0]: line for line in rest if line.startswith((ETA, WALL))}
    assert "  attached  " in used[ETA] and "  replay  " in used[WALL] and rest[-1] == NOTE
    report = json.loads(prb_command(*both, "--json")[1])
    assert report["by"] == {WALL: "replay", ETA: "attached"} and report["notes"] == [NOTE]

    out = prb_command(*both, "--method", "attached")[1]
    assert out.splitlines()[0].endswith("depth 4, attached") and "method" not in out
    alone = prb_command("grad", scene, "--param", "wall.*", "--spp", "4")[1]
    assert alone.splitlines()[0].endswith("depth 4, replay") and NOTE not in alone
    status, out, err = prb_command(*both, "--method", "replay")
    assert (status, out) == (2, "") and f"{ETA}: replay cannot differentiate it: it moves dir" in err


def test_optimize_by_default_and_by_attached_replay(prb_command, scene, folder):
    """The index of refraction is found again from what is seen through it."""
    options = ["optimize", scene, "--param", ETA, "--init", "1.3", "--reference", "4096", "--spp", "128",
               "--iterations", "40", "--lr", "0.03", "--schedule", "cosine", "--json"]  # fmt: skip
    values = [
        json.loads(prb_command(*options, *more, "-o", folder / str(len(more)))[1])["parameters"][ETA]
        for more in ((), ("--method", "attached"))
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-6) and values[0] == pytest.approx(1.5, abs=0.02)
