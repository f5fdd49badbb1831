"""Volumes from pictures: coarse grids of voxels, where density is zero, and the files of `prb optimize`."""

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import prb
from prb import priors
from prb.io.images import write_image
from prb.io.volumes import read_vol, write_vol
from prb.recover.grids import coarsened, grids, resized
from prb.recover.pictures import comparison

SCENES = Path(prb.__file__).parents[1] / "scenes"
DENSITY = "smoke.sigma_t.data"
SIZE = 16


def make_smoke():
    spec = importlib.util.spec_from_file_location("make_smoke", SCENES / "make_smoke.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CLOUD = coarsened(make_smoke().cloud()[..., None].astype(float), (SIZE, SIZE, SIZE, 1), (False,) * 3)


def small_smoke(folder, voxels=CLOUD, **grid):
    """The bundled scene with few voxels and pixels, as a file in the folder."""
    scene = json.loads((SCENES / "smoke.json").read_text())
    write_vol(folder / "small.vol", voxels)
    scene["smoke"]["sigma_t"] |= {"filename": "small.vol", **grid}
    scene["integrator"]["max_depth"] = 6
    for node in scene.values():
        if isinstance(node, dict) and node["type"] == "perspective":
            node["film"] |= {"width": 16, "height": 16}
    path = folder / "small.json"
    path.write_text(json.dumps(scene))
    return path


@pytest.fixture
def run(prb_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_smoke(tmp_path)
    common = ["small.json", "--param", DENSITY, "--reference", "16", "--spp", "2"]
    return lambda *arguments: prb_command("optimize", *common, *arguments)


def test_the_script_makes_the_bundled_volume():
    made, bundled = make_smoke().cloud(), read_vol(SCENES / "volumes" / "smoke.vol").values
    np.testing.assert_allclose(made[..., None], bundled, atol=1e-6)
    assert bundled.shape == (64, 64, 64, 1) and 0.5 < (bundled == 0).mean() < 0.9


def test_smoke_from_six_sides(tmp_path):
    """A seventh view, which took no part, and the voxels themselves come closer to the target's."""
    scene = prb.load_file(small_smoke(tmp_path))
    views = [scene.view(k) for k in range(7)]
    targets = [prb.render(view, spp=512, seed=900 + k) for k, view in enumerate(views)]
    prb.traverse(scene).update({DENSITY: np.full(CLOUD.shape, 0.1)})

    def held_out():
        return float(np.square(prb.render(views[6], spp=512, seed=1) - targets[6]).mean())

    at_first, lows = held_out(), []
    found = prb.optimize(
        scene, DENSITY, targets[:6], sensors=range(6), iterations=50, spp=16,
        optimizer=prb.Adam(prb.schedules.Cosine(0.15, 50)), coarse_to_fine={DENSITY: [4, 8, 16]},
        priors={DENSITY: priors.TotalVariation(1e-4)},
        on_iteration=lambda _: lows.append(prb.traverse(scene)[DENSITY].min()),
    )  # fmt: skip
    error, before = (float(np.square(x - CLOUD).mean()) for x in (found.params[DENSITY], 0.1))
    assert held_out() < at_first / 10
    assert error < before / 2.5
    assert min(lows) == 0 and found.params[DENSITY].shape == CLOUD.shape


def test_empty_voxels_come_back(tmp_path):
    """Nothing but zeros at the start: the derivative there is one-sided, and the optimiser follows it."""
    scene = prb.load_file(small_smoke(tmp_path))
    targets = [prb.render(scene.view(k), spp=256, seed=k) for k in range(4)]
    prb.traverse(scene).update({DENSITY: np.zeros(CLOUD.shape)})
    found = prb.optimize(scene, DENSITY, targets, sensors=range(4), iterations=20, spp=16)
    above = found.losses - found.floors
    assert above[-4:].mean() < above[0] / 3
    assert found.params[DENSITY].min() == 0 and found.at_limit[DENSITY][0] > 0
    assert found.params[DENSITY][CLOUD > 0.5].mean() > 2 * found.params[DENSITY][CLOUD == 0].mean()


@pytest.mark.quick
@pytest.mark.parametrize("wrap", ["clamp", "repeat", "mirror"])
def test_grids_of_voxels(tmp_path, wrap):
    scene = prb.load_file(small_smoke(tmp_path, wrap_mode=wrap))
    (grid,) = grids(scene, {DENSITY: CLOUD}).values()
    assert grid.shape == (SIZE, SIZE, SIZE, 1) and grid.wraps == (wrap == "repeat",) * 3


@pytest.mark.quick
def test_other_sizes():
    x = np.linspace(0, 1, 12)[:, None, None, None] * np.ones((12, 5, 4, 3))
    smaller = resized(x, (4, 5, 4, 3))
    np.testing.assert_allclose(smaller[1:3, 0, 0, 0], (x[3:6].mean(), x[6:9].mean()), rtol=0.02)
    mixed = resized(x, (4, 10, 2, 3))
    assert mixed.shape == (4, 10, 2, 3) and mixed.min() >= 0 and mixed.max() <= 1
    np.testing.assert_allclose(resized(x, x.shape), x)
    larger = resized(x, (24, 5, 4, 3))
    np.testing.assert_allclose(
        larger[2:-2, 0, 0, 0], np.interp((np.arange(2, 22) + 0.5) / 2 - 0.5, range(12), x[:, 0, 0, 0])
    )


def check_files(folder, size=SIZE):
    """Every file of the run is whole, and they agree: the voxels."""
    report = json.loads((folder / "parameters.json").read_text())
    assert report["parameters"] == {DENSITY: {"vol": f"{DENSITY}.vol"}} and report["not_in_scene"] == []
    voxels = read_vol(folder / f"{DENSITY}.vol").values
    assert voxels.shape == (size, size, size, 1)
    scene = prb.load_file(folder / "scene.json")
    np.testing.assert_array_equal(prb.traverse(scene)[DENSITY], voxels)
    seen = read_vol(folder / report["seen"][DENSITY]["vol"]).values
    assert seen.shape == voxels.shape and report["seen"][DENSITY]["never_seen"] == (seen == 0).mean()
    with Image.open(folder / "comparison.png") as image:
        image.load()
    return voxels


def test_files_of_a_run(run, tmp_path):
    options = ["--init", f"{DENSITY}=start.vol", "--coarse-to-fine", "*=4:16@1", "--hold-out", "between"]
    write_vol("start.vol", np.full((8, 4, 8), 0.25))
    status, out, err = run(*options, "--iterations", 4, "-o", "whole")
    assert (status, err) == (0, "") and "between, held out: loss " in out
    voxels = check_files(tmp_path / "whole")
    assert voxels.min() >= 0 and (voxels != 0.25).any()
    losses = json.loads((tmp_path / "whole/parameters.json").read_text())
    assert set(losses["held_out"]) == {"between"} and "between" not in losses["view_losses"]
    for iterations in (2, 4):  # resumed, it is the same run
        found = run(*options, "--iterations", iterations, "-o", "parts", "--resume")
        assert found[0] == 0, found
    for name in ("loss.csv", f"{DENSITY}.vol", "parameters.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    status, out, _ = run("--init", "whole/" + DENSITY + ".vol", "--iterations", 0, "-o", "same", "--json")
    report = json.loads(out)
    assert status == 0 and report["parameters"][DENSITY]["shape"] == [SIZE, SIZE, SIZE, 1]
    np.testing.assert_array_equal(check_files(tmp_path / "same"), voxels)


def test_an_interrupted_run_leaves_its_volume(run, tmp_path, monkeypatch):
    from prb.recover.files import RecoveryFiles

    frames = RecoveryFiles.frames

    def interrupted(self, k, **options):
        if k == 2 and not (tmp_path / "cut" / "frames" / "000002-front.png").exists():
            frames(self, k, **options)
            raise KeyboardInterrupt
        frames(self, k, **options)

    monkeypatch.setattr(RecoveryFiles, "frames", interrupted)
    status, _, err = run("--init", "0.1", "--coarse-to-fine", "*=4:16@1", "--iterations", 9, "-o", "cut")
    assert status == 130 and "interrupted after 2 iterations" in err
    assert (check_files(tmp_path / "cut") != np.float32(0.1)).any()


def test_slices_are_shown(tmp_path):
    """Three rows below those of the views, of the same numbers in the same colours."""
    scene = prb.load_file(small_smoke(tmp_path))
    targets = [np.zeros((16, 16, 3))]
    found = prb.optimize(scene, DENSITY, targets, sensors=[0], iterations=0, spp=2)
    found.initial[DENSITY] = np.full(CLOUD.shape, 0.5)
    views = [scene.view(0)]
    figure = comparison(found, views, targets, [None], {"spp": 2}, true={DENSITY: CLOUD})
    rows = [axes for axes in figure.axes if axes.images and axes.get_label() != "<colorbar>"]
    assert len(rows) == 16
    for axis in range(3):
        initial, result, target, difference = (
            axes.images[0].get_array() for axes in rows[4 * axis + 4 :][:4]
        )
        np.testing.assert_allclose(result, target, atol=1e-6)
        assert initial.std() < 1e-12 and difference.max() < 1e-6
        across = CLOUD.take(SIZE // 2, axis)[::-1, :, 0]
        assert np.corrcoef(result[..., 0].ravel(), across.ravel())[0, 1] > 0.9
    unknown = comparison(found, views, targets, [None], {"spp": 2})
    assert len([axes for axes in unknown.axes if axes.axison and axes.images]) < len(figure.axes)


def test_mistakes_about_volumes_are_one_line(run, tmp_path):
    write_vol("six.vol", np.zeros((2, 2, 2, 6)))
    write_vol("below.vol", np.full((2, 2, 2), -1.0))
    write_image("photo.png", np.zeros((2, 2, 3)))
    Path("short.vol").write_bytes((tmp_path / "small.vol").read_bytes()[:100])
    for arguments, message in (
        (("--init", "six.vol"), f"--init: six.vol has 6 channels and {DENSITY} 1"),
        (("--init", "below.vol"), f"{DENSITY}: -1 is outside [0, inf]"),
        (("--init", "short.vol"), "short.vol: claims 16 x 16 x 16 voxels"),
        (("--init", "none.vol"), "none.vol: cannot be read: No such file"),
        (("--init", "photo.png"), "no bitmap; give it numbers or a .vol"),
        (
            ("--param", "sun*", "--init", "sun*=small.vol"),
            "--init: small.vol is a volume and sun.irradiance.value",
        ),
        (("--hold-out", "inside"), "inside"),
        (
            ("--sensor", "left", "--hold-out", "front"),
            "--hold-out: front is no sensor of this run; those are left",
        ),
        (("--sensor", "left", "--hold-out", "left"), "--hold-out: no sensor is left to recover from"),
        (("--param", "sun*", "--coarse-to-fine", "sun*=2:4"), "name a texture or a gridvolume"),
    ):
        status, out, err = run(*arguments, "--iterations", 1, "-o", "new", "--overwrite")
        assert status == 2 and out == "" and err.count("\n") == 1 and message in err, (arguments, err)
    assert not os.path.exists("new/comparison.png")
