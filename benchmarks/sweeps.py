"""What the scripts over depth and over samples share: `prb bench` on a scene dictionary, and its slopes."""

import argparse
import contextlib
import json
import sys
import tempfile
from pathlib import Path

from prb.bench.report import markdown, slope
from prb.bench.suite import Settings, run_benchmark
from prb.errors import PrbError


def parser(description, **defaults):
    """Arguments that every sweep takes."""
    found = argparse.ArgumentParser(description=description.splitlines()[0])
    found.add_argument("--depths", type=int, nargs="+", help="default: %(default)s")
    found.add_argument("--spps", type=int, nargs="+", help="default: %(default)s")
    found.add_argument("--size", type=int, help="pixels of a side (default: %(default)s)")
    found.add_argument("--runs", type=int, default=1, help="timed, after the first (default: %(default)s)")
    found.add_argument("--memory-limit", type=float, metavar="MIB", help="what the tape may allocate")
    found.add_argument("-o", "--output", type=Path, help="keep the results and pictures in a folder")
    found.set_defaults(**defaults)
    return found


def sweep(name, scene, args, **changes):
    """The results of `prb bench` on a scene dictionary, whose relative file names do not work here."""
    options = dict(depths=args.depths, spps=args.spps, runs=args.runs, size=(args.size, args.size))
    options = {**options, "memory_limit_mib": args.memory_limit, **changes}
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.json"
        file.write_text(json.dumps(scene))
        with contextlib.redirect_stdout(sys.stderr):
            return run_benchmark(
                Settings(str(file), **options), args.output or folder, progress=sys.stderr.isatty()
            )


def table(results):
    """The points, without the page around them."""
    return "\n".join(line for line in markdown(results).splitlines() if line.startswith("|")).partition(
        "\n| method   | time"
    )[0]


def fit(points, key, column):
    """A slope as text, and that between the last two points."""
    points = sorted((p for p in points if p["status"] == "ok"), key=lambda p: p[key])
    value = column if callable(column) else lambda p: p[column]
    found = [slope([p[key] for p in part], [value(p) for p in part]) for part in (points, points[-2:])]
    if None in found:
        return "cannot be told from so few points"
    return "{:.3f}, between the last two points {:.3f}".format(*found)


def own(point):
    """The method's own memory: the peak over what the process had before the gradient."""
    return point["peak_mib"] - point["base_mib"]


def fastest(point):
    """Of the timed runs, which other work on the machine disturbs least."""
    return min(point["seconds"])


def run(main):
    try:
        main()
    except PrbError as error:
        raise SystemExit(f"{error}") from None
