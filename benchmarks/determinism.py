"""What the same bits cost: time of a gradient with deterministic=True over that without.

    python benchmarks/determinism.py [--spp 16] [--size 128] [--runs 9]

On the Cornell box, whose few parameters every worker sums by itself, and on a wall with a texture of
256 x 256 texels, which workers add to together. The two take turns within one run, each first in turn.
`median_s` is that after a first gradient of each, which compiles; `ratio` is the median of the turns' ratios.
"""

import argparse
import statistics
import time

import numpy as np

import prb
import scenes


def papered(*, side=256):
    """The Cornell box with a texture of random texels for its back wall."""
    scene = scenes.cornell_box()
    texels = np.random.default_rng(1).uniform(0.1, 0.9, (side, side, 3)).astype(np.float32)
    bitmap = {"type": "bitmap", "data": texels, "raw": True}
    scene["paper"] = {"type": "diffuse", "reflectance": bitmap}
    scene["back"]["bsdf"] = {"type": "ref", "id": "paper"}
    return scene


SCENES = {"cornell-box": scenes.cornell_box, "256 x 256 texels": papered}


def measure(scene, spp, runs):
    """Seconds without and with, two lists, and whether all gradients with it had the same bits."""
    weight = np.full(scene.image_shape, 1 / np.prod(scene.image_shape))
    seconds, found = {False: [], True: []}, []
    for turn in range(runs + 1):
        for deterministic in (False, True) if turn % 2 else (True, False):
            start = time.perf_counter()
            gradient = prb.render_backward(scene, weight, spp=spp, deterministic=deterministic)
            if turn > 0:
                seconds[deterministic].append(time.perf_counter() - start)
            if deterministic:
                found.append(b"".join(g.tobytes() for g in gradient.values()))
    return seconds[False], seconds[True], len(set(found)) == 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spp", type=int, default=16)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--runs", type=int, default=9)
    args = parser.parse_args()
    print(f"{args.size} x {args.size} pixels, {args.spp} spp, {args.runs} runs")
    print(f"{'scene':20}{'median_s':>10}{'determ. median_s':>18}{'ratio':>8}  same bits")
    for name, make in SCENES.items():
        scene = prb.load_dict(make())
        scene.resize(args.size, args.size)
        without, with_it, same = measure(scene, args.spp, args.runs)
        ratio = statistics.median(b / a for a, b in zip(without, with_it, strict=True))
        medians = f"{statistics.median(without):10.3f}{statistics.median(with_it):18.3f}"
        print(f"{name:20}{medians}{ratio:8.2f}  {'yes' if same else 'NO'}", flush=True)


if __name__ == "__main__":
    main()
