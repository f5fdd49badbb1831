"""The results of loop_against_mitsuba.py as Markdown and pictures."""

import numpy as np
from loop_statistics import geometric_mean, interval, largest_z, medians_at
from matplotlib.figure import Figure
from tabulate import tabulate


def overall(cases):
    """The geometric mean over all parameters of all cases, its interval, and the least efficiency."""
    weights = [len(case["parameters"]) for case in cases]
    logs = np.average([np.log(case["resampled"]) for case in cases], axis=0, weights=weights)
    found = [(p["efficiency"], name, case) for case in cases for name, p in case["parameters"].items()]
    variances = [p["variance_ratio"] for _, name, case in found for p in [case["parameters"][name]]]
    worst, name, case = min(found, key=lambda item: item[0])
    z = [p["largest_z"] for case in cases for p in case["parameters"].values()]
    count = sum(p["z_values"] for case in cases for p in case["parameters"].values())
    return {
        "parameters": len({(case["scene"], name) for _, name, case in found}),
        "cases": len(cases),
        "geometric_mean": float(geometric_mean(np.array([e for e, _, _ in found]))),
        "interval": interval(np.exp(logs)),
        "variance_ratio": float(geometric_mean(np.array(variances))),
        "least": worst,
        "least_of": f"{name} of {case['scene']}, {case['filter']}, {case['place']}",
        "below_0.9": sum(e < 0.9 for e, _, _ in found),
        "largest_z": max(z),
        "limit_of_z": largest_z(count),
        "z_values": count,
    }


def gradient_report(cases):
    """The cases as Markdown."""
    total = overall(cases)
    low, high = total["interval"]
    agree = "they agree" if total["largest_z"] < total["limit_of_z"] else "THEY DO NOT AGREE"
    lines = [
        f"Efficiency, Mitsuba's variance x time over prb's: geometric mean **{total['geometric_mean']:.2f}** "
        f"({low:.2f} to {high:.2f}) over {total['parameters']} parameters in {total['cases']} cases; the "
        f"least {total['least']:.2f} ({total['least_of']}); {total['below_0.9']} below 0.9. "
        f"Of the variances alone: {total['variance_ratio']:.2f}.",
        "",
        f"Means of the gradients: of {total['z_values']} differences the largest is {total['largest_z']:.1f} "
        f"standard errors, and {total['limit_of_z']:.1f} would be exceeded in 1 of 100 runs: {agree}.",
        "",
    ]
    rows = [
        [
            c["scene"], c["filter"], c["place"], c["prb_median_s"], c["mitsuba_median_s"], c["time_ratio"],
            c["geometric_mean"] / c["time_ratio"], c["geometric_mean"], range_text(c["interval"]),
            min(p["efficiency"] for p in c["parameters"].values()),
            max(p["largest_z"] for p in c["parameters"].values()),
        ]
        for c in cases
    ]  # fmt: skip
    heads = ["scene", "filter", "place", "prb, s", "mitsuba, s", "time ratio", "variance ratio"]
    heads += ["efficiency", "95 %", "least", "z"]
    lines += [table(rows, heads), ""]
    rows = [
        [
            c["scene"], c["filter"], c["place"], name, p["variance_ratio"], p["efficiency"],
            range_text(p["interval"]), p["largest_z"],
        ]
        for c in cases
        for name, p in c["parameters"].items()
    ]  # fmt: skip
    heads = ["scene", "filter", "place", "parameter", "variance ratio", "efficiency", "95 %", "z"]
    return "\n".join([*lines, table(rows, heads)])


def picture_report(found):
    """The filters as Markdown."""
    rows = [
        [
            f["filter"], f["interior"]["variance_ratio"], range_text(f["interior"]["interval"]),
            f["all"]["variance_ratio"], range_text(f["all"]["interval"]), f["prb_median_s"],
            f["mitsuba_median_s"], f["all"]["largest_z"],
        ]
        for f in found
    ]  # fmt: skip
    heads = ["filter", "interior", "95 %", "all pixels", "95 %", "prb, s", "mitsuba, s", "z of means"]
    return "Variance of a picture at equal samples, prb's over Mitsuba's.\n\n" + table(rows, heads)


def recovery_report(result):
    """The errors as Markdown."""
    counts = {name: int(np.median(of)) for name, of in result["iterations"].items()}
    largest = max(ratio[-1] for ratio in result["error_ratios"].values())
    lines = [
        f"Root mean squared errors of recovered parameters at equal wall-clock time, medians of "
        f"{result['runs']} runs of {result['seconds']:.0f} s ({counts['prb']} iterations of prb, "
        f"{counts['mitsuba']} of Mitsuba). prb's error over Mitsuba's at the end, geometric mean: "
        f"**{result['geometric_mean'][-1]:.2f}**; the largest {largest:.2f}.",
        "",
    ]
    heads = ["parameter", "prb", "mitsuba", *(f"ratio at {time:.3g} s" for time in result["times"])]
    rows = [
        [name, result["errors"]["prb"][name][-1], result["errors"]["mitsuba"][name][-1], *ratios]
        for name, ratios in result["error_ratios"].items()
    ]
    rows.append(["geometric mean", None, None, *result["geometric_mean"]])
    return "\n".join([*lines, table(rows, heads, ".3g")])


def draw(curves, seconds):
    """Error over time, a panel for each parameter: the median of the runs, and all that they span."""
    names = list(curves["prb"][0][0][1])
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.0 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    for axes, name in zip(grid.flat, names, strict=False):
        for side, of in curves.items():
            times = np.linspace(0, seconds, 200)
            errors = np.array([medians_at([curve], times)[name] for curve in of])
            line = axes.semilogy(times, np.median(errors, axis=0), label=side, linewidth=1.4)[0]
            axes.fill_between(
                times, errors.min(axis=0), errors.max(axis=0), color=line.get_color(), alpha=0.2
            )
        axes.set_title(name, fontsize=9)
        axes.grid(alpha=0.3, which="both")
    grid.flat[0].legend()
    figure.supxlabel("wall-clock time without compiling, s")
    figure.supylabel("root mean squared error")
    return figure


def range_text(limits):
    return f"{limits[0]:.2f} to {limits[1]:.2f}"


def table(rows, heads, form=".3g"):
    return tabulate(rows, headers=heads, tablefmt="github", floatfmt=form)
