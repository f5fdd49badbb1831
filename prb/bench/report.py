"""Results of `prb bench` for a reader: fitted slopes, a Markdown page, diagrams."""

import numpy as np
from tabulate import tabulate

from prb.errors import PrbError
from prb.io.images import atomic

OK, OUT_OF_MEMORY, FAILED = "ok", "out of memory", "failed: "  # a point's status, or how it begins
REFERENCE = "replay"  # the method that the others' gradients are compared with


def slope(x, y):
    """Least-squares slope of log y over log x; None with fewer than two different x."""
    pairs = [(a, b) for a, b in zip(x, y, strict=True) if b is not None and a > 0 and b > 0]
    if len({a for a, _ in pairs}) < 2:
        return None
    log_x, log_y = np.log(np.array(pairs, float)).T
    log_x = log_x - log_x.mean()
    return float((log_x * log_y).sum() / (log_x**2).sum())


def memory_key(results):
    """The column with a method's memory: the peak of the process on a CPU, its arrays on another device."""
    return "peak_mib" if results["machine"]["arch"] == "cpu" else "device_mib"


def series(results, method, over):
    """A method's points over "depth" at the fewest samples, or over "samples" at the smallest depth."""
    settings = results["settings"]
    key, fixed, value = ("depth", "spp", settings["spps"][0]) if over == "depth" else (
        "spp", "depth", settings["depths"][0])  # fmt: skip
    points = [p for p in results["points"] if p["method"] == method and p[fixed] == value]
    return sorted(points, key=lambda p: p[key]), key


def slopes(results, method):
    """Fitted slopes of a method: time_over_depth, memory_over_depth, time_over_samples, ..."""
    found = {}
    for over in ("depth", "samples"):
        points, key = series(results, method, over)
        points = [p for p in points if p["status"] == OK]
        for what, column in (("time", "median_s"), ("memory", memory_key(results))):
            found[f"{what}_over_{over}"] = slope([p[key] for p in points], [p[column] for p in points])
    return found


def markdown(results):
    """The results as a Markdown page."""
    scene, settings, machine = results["scene"], results["settings"], results["machine"]
    columns = {
        "method": "method", "depth": "depth", "spp": "spp", "median_s": "median_s", "first_s": "first_s",
        "peak_mib": "peak_mib", "base_mib": "base_mib", "device_mib": "device_mib",
        "difference": f"difference to {REFERENCE}", "status": "status",
    }  # fmt: skip
    rows = [[_cell(key, point.get(key), point) for key in columns] for point in results["points"]]
    fits = [
        [method, *("" if s is None else f"{s:.3f}" for s in found.values())]
        for method, found in results["slopes"].items()
    ]
    heads = [name.replace("_", " ") for name in next(iter(results["slopes"].values()), {})]
    runs = f"median_s is the median of {settings['runs']} runs after the first, first_s"
    lines = [
        f"# The gradient of {scene['name']}",
        "",
        f"{scene['width']} x {scene['height']} pixels, {scene['numbers']} numbers in {scene['parameters']}"
        f" parameters, seed {settings['seed']}; {machine['arch']} of {machine['processor']},"
        f" {machine['cpus']} cores; prb {machine['prb']}, Taichi {machine['taichi']}.",
        "",
        f"{runs}, which compiles or reads the kernel cache. " + " ".join(results["notes"]),
        "",
        tabulate(rows, headers=list(columns.values()), tablefmt="github", disable_numparse=True,
                 colalign=["left"] + ["right"] * 8 + ["left"]) if rows else "No points yet.",
        "",
        "Slopes:",
        "",
        tabulate(fits, headers=["method", *heads], tablefmt="github", disable_numparse=True),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _cell(key, value, point):
    if key == "status" and point.get("needed_mib"):
        return f"{value}, {point['needed_mib']:.0f} MiB needed"
    if value is None:
        return ""
    if key == "difference":
        return f"{value:.1e}"
    if isinstance(value, float):
        return f"{value:.4g}" if key.endswith("_s") else f"{value:.1f}"
    return str(value).replace("|", "/")


def pictures(results, folder):
    """Write memory.png and time.png. Raises PrbError."""
    from matplotlib.figure import Figure  # takes a while to import

    memory = memory_key(results)
    label = "peak memory of the process, MiB" if memory == "peak_mib" else "memory on the device, MiB"
    settings = results["settings"]
    varied = [over for over, key in (("depth", "depths"), ("samples", "spps")) if len(settings[key]) > 1]
    varied = varied or ["depth"]
    for name, column, axis in (("memory", memory, label), ("time", "median_s", "time of a gradient, s")):
        figure = Figure(figsize=(1 + 4.5 * len(varied), 4.4), layout="constrained")
        panels = figure.subplots(1, len(varied), sharey=True, squeeze=False)[0]
        for axes, over in zip(panels, varied, strict=True):
            _panel(axes, results, name, column, over)
        panels[0].set_ylabel(axis)
        scene = results["scene"]
        figure.suptitle(f"{scene['name']}, {scene['width']} x {scene['height']}, without Russian roulette")
        path = folder / f"{name}.png"
        try:
            with atomic(path) as temporary:
                figure.savefig(temporary, dpi=150)
        except OSError as error:
            raise PrbError(f"{path}: cannot be written: {error.strerror}; choose another -o") from None


def _panel(axes, results, name, column, over):
    """One diagram with a line for each method. A cross marks a point that ran out of memory: at the memory
    that it needed where that is known, else at the top."""
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter

    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    settings, ticks = results["settings"], set()
    heights = [p[column] for p in results["points"] if p["status"] == OK and p[column] is not None]
    if name == "memory":
        heights += [p["needed_mib"] for p in results["points"] if p.get("needed_mib")]
    for i, method in enumerate(settings["methods"]):
        points, key = series(results, method, over)
        good = [p for p in points if p["status"] == OK and p[column] is not None]
        fit = results["slopes"][method][f"{name}_over_{over}"]
        label = method if fit is None else f"{method}, slope {fit:.2f}"
        style = {"color": f"C{i}", "markersize": 6}
        line = "osD^v"[i % 5] + "-"
        axes.plot([p[key] for p in good], [p[column] for p in good], line, label=label, **style)
        out = [p for p in points if p["status"] == OUT_OF_MEMORY]
        known = [p for p in out if name == "memory" and p.get("needed_mib")]
        axes.plot([p[key] for p in known], [p["needed_mib"] for p in known], "x", **style)
        rest = [p[key] for p in out if p not in known]
        axes.plot(rest, [0.96] * len(rest), "x", transform=axes.get_xaxis_transform(), **style)
        if out:
            axes.plot([], [], "x", label=f"{method}, out of memory", **style)
        ticks |= {p[key] for p in points}
    low, high = (min(heights, default=1), max(heights, default=1))
    room = max(1.6, (10 * low / high) ** 0.5)  # a decade at least, or noise looks like growth
    axes.set_ylim(low / room, high * room)
    axes.set_xticks(sorted(ticks), [str(t) for t in sorted(ticks)])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(True, which="major", alpha=0.3)
    fixed = f"{settings['spps'][0]} spp" if over == "depth" else f"depth {settings['depths'][0]}"
    axes.set_xlabel(f"depth, at {fixed}" if over == "depth" else f"samples per pixel, at {fixed}")
    axes.legend(fontsize="small", frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
