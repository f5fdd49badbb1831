"""What does a derivative image cost in one forward pass: beside one made pixel by pixel, beside a render?

    python benchmarks/forward_image.py [--size 32] [--spp 16] [--runs 7] [--cost-spp 64] [-o FILE]

First, the derivative of the lesson's picture, `blinn-phong-sphere`, by the x and y of the light's direction:
two forward passes, against reverse mode with one call for each pixel, which yields both components at once.
Reverse mode in two ways: the whole picture's paths in each call with all but one pixel's weight zero, as the
lesson does it, and with a film cropped to that pixel, so that no path is traced in vain and what remains is
mostly what a call costs by itself. All three use the same samples of each pixel; the largest difference
between their images is printed. The passes are a median, the many calls are timed once, as a whole.

Second, a derivative image over a render of the same samples, the two taking turns, after a first run of each
that compiles: the median of the ratios. The aim is 1.5 at most.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

import prb

LESSON, DIRECTION = "blinn-phong-sphere", "light.direction"
COSTS = (  # scene, parameter, tangent
    ("cornell-box", "red.reflectance.value", [1.0, 0.0, 0.0]),
    ("cornell-box", "white.reflectance.value", 1.0),
    (LESSON, DIRECTION, [1.0, 0.0, 0.0]),
    (LESSON, "ball.bsdf.exponent.value", 1.0),
)


def timed(call):
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def forward(scene, axis, **options):
    return prb.render_forward(scene, {DIRECTION: np.eye(3)[axis]}, **options).astype(float).mean(axis=2)


def whole_film(scene, **options):
    """(height, width, 2): the derivatives of each pixel's mean of R, G, B, every call over the whole film."""
    height, width, _ = scene.image_shape
    weight, found = np.zeros(scene.image_shape), np.zeros((height, width, 2))
    for pixel in np.ndindex(height, width):
        weight[pixel] = 1 / 3
        found[pixel] = prb.render_backward(scene, weight, [DIRECTION], **options)[DIRECTION][:2]
        weight[pixel] = 0
    return found


def cropped(scene, **options):
    """The same with a film that is cropped to the pixel."""
    film, (height, width, _) = scene.film, scene.image_shape
    whole = film.crop_offset, film.crop_size
    weight, found = np.full((1, 1, 3), 1 / 3), np.zeros((height, width, 2))
    film.crop_size = 1, 1
    for row, column in np.ndindex(height, width):
        film.crop_offset = column, row
        found[row, column] = prb.render_backward(scene, weight, [DIRECTION], **options)[DIRECTION][:2]
    film.crop_offset, film.crop_size = whole
    return found


def saving(size, spp, runs):
    """Seconds of the three ways to the same two images."""
    scene = prb.load_file(LESSON)
    scene.resize(size, size)
    options = dict(spp=spp, seed=1)
    weight = np.ones(scene.image_shape)

    def passes():
        return np.stack([forward(scene, axis, **options) for axis in (0, 1)], axis=2)

    passes(), prb.render_backward(scene, weight, [DIRECTION], **options)  # compiles
    seconds = float(np.median([timed(passes)[0] for _ in range(runs)]))
    image = passes()
    result = {"size": size, "spp": spp, "passes_s": seconds}
    for name, way in (("whole_film", whole_film), ("cropped", cropped)):
        taken, found = timed(lambda way=way: way(scene, **options))
        result[name] = {
            "seconds": taken,
            "ratio": taken / seconds,
            "difference": float(np.abs(found - image).max() / np.abs(image).max()),
        }
    return result


def cost(name, parameter, tangent, spp, runs):
    """Medians of a render, of a derivative image and of their ratio."""
    scene = prb.load_file(name)
    seconds = {"render": [], "derivative": []}
    for run in range(runs + 1):
        options = dict(spp=spp, seed=run)
        seconds["render"].append(timed(lambda: prb.render(scene, **options))[0])  # noqa: B023
        seconds["derivative"].append(
            timed(lambda: prb.render_forward(scene, {parameter: tangent}, **options))[0]  # noqa: B023
        )
    render, derivative = (np.array(seconds[key][1:]) for key in ("render", "derivative"))
    return {
        "scene": name, "parameter": parameter, "spp": spp, "render_s": float(np.median(render)),
        "derivative_s": float(np.median(derivative)), "ratio": float(np.median(derivative / render)),
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=32, help="pixels of the lesson's square film")
    parser.add_argument("--spp", type=int, default=16, help="of the lesson's film")
    parser.add_argument("--cost-spp", type=int, default=64, help="of the second part")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("-o", "--output", type=Path, help="also write the figures, as json")
    args = parser.parse_args()
    saved = saving(args.size, args.spp, args.runs)
    print(f"{LESSON}, {args.size} x {args.size}, {args.spp} spp, by x and y of the light's direction")
    print(f"  two forward passes          {saved['passes_s']:10.4f} s")
    for key, label in (("whole_film", "reverse, the whole film"), ("cropped", "reverse, cropped film")):
        way = saved[key]
        print(f"  {label:<27} {way['seconds']:10.4f} s   {way['ratio']:8.1f} times as long,"
              f" images differ by {way['difference']:.1e} of the largest number")  # fmt: skip
    print("\na derivative image over a render of the same samples, medians")
    costs = [cost(*case, args.cost_spp, args.runs) for case in COSTS]
    for c in costs:
        verdict = "met" if c["ratio"] <= 1.5 else "not met"
        print(f"  {c['scene']:<20} {c['parameter']:<28} {c['spp']} spp  render {c['render_s']:.3f} s"
              f"  derivative {c['derivative_s']:.3f} s  ratio {c['ratio']:.2f}"
              f"  (aim 1.5: {verdict})")  # fmt: skip
    if args.output is not None:
        args.output.write_text(json.dumps({"saving": saved, "costs": costs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
