"""The results of media_against_mitsuba.py as Markdown and pictures."""

import numpy as np
from loop_reports import range_text, table
from matplotlib.figure import Figure


def figure_line(what, value, limit, *, most=True, form=".2f"):
    """A figure beside its aim, and whether it is met. most: the aim is an upper limit."""
    met = value <= limit if most else value >= limit
    aim = f"at {'most' if most else 'least'} {limit:g}"
    return f"{what}: **{value:{form}}** ({aim}: {'met' if met else 'NOT MET'})."


def time_report(cases):
    """The scenes as Markdown."""
    lines = ["Wall-clock time of prb over that of Mitsuba's `prbvolpath`, medians of calls in turns.", ""]
    lines += [
        "- " + figure_line(f"Picture and gradient, {c['scene']}", c["gradient"]["ratio"], c["aim"])
        for c in cases
    ]
    heads = ["scene", "what", "prb, s", "mitsuba, s", "ratio", "95 %"]
    rows = [
        [c["scene"], label, c[key]["prb_median_s"], c[key]["mitsuba_median_s"], c[key]["ratio"],
         range_text(c[key]["interval"])]
        for c in cases
        for key, label in (("gradient", "picture and gradient"), ("render", "picture"))
    ]  # fmt: skip
    return "\n".join([*lines, "", table(rows, heads)])


def variance_report(result):
    """The methods as Markdown."""
    methods, quantities = result["methods"], result["quantities"]
    least = min(methods["sample matching"]["efficiency"][q]["ratio"] for q in ("<g, 1>", "g"))
    lines = [
        "Variance x time of the gradient by the density, picture and gradient in one call; Mitsuba's over "
        "each method's. `g`: at random voxels, `g, dense`: at those of them whose density is above 0. In "
        "empty voxels free flight and Mitsuba miss the gain by scattering, and its variance: see the means.",
        "",
        "- " + figure_line("Sample matching, the lesser of <g, 1> and g", least, 4, most=False),
        "",
    ]
    heads = ["method", "median s"]
    for quantity in quantities:
        heads += [f"efficiency, {quantity}", "95 %", "variance ratio"]
    rows = []
    for name, method in methods.items():
        row = [name, method["median_s"]]
        for quantity in quantities:
            of = method["efficiency"][quantity]
            row += [of["ratio"], range_text(of["interval"]), of["variance_ratio"]]
        rows.append(row)
    lines += [table(rows, heads), "", "Means, with their standard errors:", ""]
    rows = [
        [name, *(f"{m['mean'][q][0]:.4g} ± {m['mean'][q][1]:.2g}" for q in m["mean"])]
        for name, m in methods.items()
    ]
    rows.append(["difference of prb's pictures", "{:.4g} ± {:.2g}".format(*result["difference"]["prb"])])
    rows.append(
        ["difference of Mitsuba's pictures", "{:.4g} ± {:.2g}".format(*result["difference"]["mitsuba"])]
    )
    heads = ["method", *next(iter(methods.values()))["mean"]]
    step = result["difference"]["step"]
    lines += [table(rows, heads), "", f"Differences are one-sided: every voxel raised by {step:g}."]
    return "\n".join(lines)


def recovery_report(result):
    """The errors as Markdown."""
    counts = {name: int(np.median(of)) for name, of in result["iterations"].items()}
    gain = result["gain_db"]
    lines = [
        f"Held-out views of a recovered density at equal wall-clock time, medians of {result['runs']} runs "
        f"of {result['seconds']:.0f} s ({counts['prb']} iterations of prb, {counts['mitsuba']} of Mitsuba).",
        "",
        "- " + figure_line("prb's PSNR less Mitsuba's at the end, dB", gain[-1], 3, most=False),
        "",
    ]
    heads = ["time, s", "prb, dB", "mitsuba, dB", "gain, dB"]
    heads += ["prb, error of density", "mitsuba, error of density"]
    psnr, density = result["psnr"], result["density_error"]
    rows = list(
        zip(
            result["times"],
            psnr["prb"],
            psnr["mitsuba"],
            gain,
            density["prb"],
            density["mitsuba"],
            strict=True,
        )
    )
    end = ", ".join(f"{name} {value:.1f}" for name, value in result["training_psnr"].items())
    return "\n".join([*lines, table(rows, heads), "", f"PSNR of the training views at the end, dB: {end}."])


def draw_recovery(curves):
    """PSNR of held-out views and error of the density over time. curves: side -> runs of points."""
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for number, (side, runs) in enumerate(curves.items()):
        for axes, key in ((left, "psnr"), (right, "density_error")):
            for run, curve in enumerate(runs):
                times, values = [p["seconds"] for p in curve], [p[key] for p in curve]
                label = {} if run else {"label": side}
                axes.plot(times, values, color=f"C{number}", linewidth=1.4, marker=".", **label)
    left.set_ylabel("PSNR of held-out views, dB")
    right.set_ylabel("root mean squared error of the density")
    right.set_yscale("log")
    for axes in (left, right):
        axes.grid(alpha=0.3, which="both")
        axes.legend()
    figure.supxlabel("wall-clock time without compiling and judging, s")
    return figure


def memory_report(result):
    """The points as Markdown."""
    lines = [
        "Memory of a gradient by extinction and albedo by path replay, and what the tape would allocate.",
        "",
    ]
    for over, slopes in result["slopes"].items():
        for column, value in slopes["replay"].items():
            lines.append("- " + figure_line(f"Slope of {column} over {over}", abs(value), 0.005, form=".3f"))
        lines.append(f"- Slope of the tape's device_mib over {over}: {slopes['tape']:.2f}.")
    heads = ["depth", "spp", "device MiB", "growth of the peak, MiB", "peak MiB", "tape: device MiB"]
    rows = [
        [p["depth"], p["spp"], p["device_mib"], p["growth_mib"], p["peak_mib"], p["tape_mib"]]
        for p in result["points"]
    ]
    return "\n".join([*lines, "", table(rows, heads, ".6g")])


def surfaces_report(result):
    """The scenes as Markdown."""
    lines = [
        "Scenes of surfaces only, this version over the other one: the fastest of runs in turns.",
        "",
        "- " + figure_line("Geometric mean of the ratios", result["geometric_mean"], 1.01, form=".3f"),
        "",
    ]
    rows = [
        [scene, task, 1e3 * this, 1e3 * other, this / other]
        for scene, tasks in result["scenes"].items()
        for task, (this, other) in tasks.items()
    ]
    return "\n".join([*lines, table(rows, ["scene", "task", "this, ms", "other, ms", "ratio"], ".4g")])
