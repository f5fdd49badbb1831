"""The results of moving.py as Markdown and pictures."""

import numpy as np
from loop_reports import range_text, table
from loop_statistics import geometric_mean
from matplotlib.figure import Figure
from media_reports import figure_line, surfaces_report

EFFICIENCY = 0.5  # the aim of variance x time and of distances, over Mitsuba's
REFIT_S = 0.2  # the aim of an update of a million triangles


def variance_report(cases):
    """The cases as Markdown."""
    lines = [
        "Variance x time of a gradient, prb's over that of Mitsuba's `prb_projective`; the figures are those "
        "beside the better kind of guiding.",
        "",
    ]
    for of in dict.fromkeys(c["of"] for c in cases):
        best = {}
        for c in cases:
            if c["of"] == of:
                for name, q in c["quantities"].items():
                    best[c["case"], name] = max(q["ratio"], best.get((c["case"], name), 0.0))
        mean = float(geometric_mean(np.array(list(best.values()))))
        lines.append("- " + figure_line(f"Geometric mean, {of}", mean, EFFICIENCY))
        lines.append("- " + figure_line(f"The largest, {of}", max(best.values()), EFFICIENCY))
    heads = ["case", "by", "guiding", "prb, s", "mitsuba, s", "time ratio", "variance ratio"]
    heads += ["variance x time", "95 %"]
    rows = [
        [c["case"], name, c["guiding"], c["prb_median_s"], c["mitsuba_median_s"], c["time_ratio"],
         q["variance_ratio"], q["ratio"], range_text(q["interval"])]
        for c in cases
        for name, q in c["quantities"].items()
    ]  # fmt: skip
    lines += ["", table(rows, heads, ".3g"), "", "Means, with their standard errors:", ""]
    heads = [
        "case",
        "by",
        "guiding",
        "prb",
        "mitsuba",
        "central differences, prb",
        "prb: off",
        "mitsuba: off",
    ]
    rows = []
    for c in cases:
        for name, q in c["quantities"].items():
            if "mean" in q:
                mean = q["mean"]
                true = mean.get("difference")
                texts = [f"{m:.4g} ± {e:.2g}" for m, e in (mean["prb"], mean["mitsuba"])]
                texts.append(f"{true[0]:.4g} ± {true[1]:.2g}" if true else "")
                texts += [f"{errors_off(mean[s], true):+.1f}" if true else "" for s in ("prb", "mitsuba")]
                rows.append([c["case"], name, c["guiding"], *texts])
    off = "Off: from the differences, in standard errors of the two together; differences have a small bias."
    return "\n".join([*lines, table(rows, heads), "", off])


def errors_off(a, b):
    """How far two [mean, standard error] are apart, in standard errors."""
    return (a[0] - b[0]) / max(float(np.hypot(a[1], b[1])), 1e-300)


def recovery_report(result):
    """The distances as Markdown."""
    counts = {name: int(np.median(of)) for name, of in result["iterations"].items()}
    lines = [
        f"Distance of a recovered mesh to the true one at equal wall-clock time, medians of {result['runs']} "
        f"runs of {result['seconds']:.0f} s ({counts['prb']} iterations of prb, {counts['mitsuba']} of "
        f"Mitsuba), from {result['start']:.4g}; 1 is the radius of the sphere at the start.",
        "",
        "- " + figure_line("prb's distance over Mitsuba's at the end", result["ratio"][-1], EFFICIENCY),
        "",
    ]
    distance = result["distance"]
    rows = list(zip(result["times"], distance["prb"], distance["mitsuba"], result["ratio"], strict=True))
    return "\n".join([*lines, table(rows, ["time, s", "prb", "mitsuba", "ratio"], ".4g")])


def draw_recovery(curves):
    """The distance over time. curves: side -> runs of points."""
    figure = Figure(figsize=(5.4, 3.8), layout="constrained")
    axes = figure.subplots()
    for number, (side, runs) in enumerate(curves.items()):
        for run, curve in enumerate(runs):
            times, values = [p["seconds"] for p in curve], [p["distance"] for p in curve]
            label = {} if run else {"label": side}
            axes.plot(times, values, color=f"C{number}", linewidth=1.4, marker=".", **label)
    axes.set_yscale("log")
    axes.set_ylabel("distance to the true surface")
    axes.set_xlabel("wall-clock time without compiling and judging, s")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    return figure


def time_report(cases):
    """The passes as Markdown."""
    lines = ["Time of boundary passes over that of the interior one, prb, medians of calls in turns.", ""]
    heads = ["case", "by", "interior, s", "boundary, s", "boundary", "95 %", "as many samples", "95 %"]
    kinds = ("silhouettes", "shadows", "reflections")
    rows = []
    for c in cases:
        for of, found in c.items():
            if of != "case":
                row = [c["case"], of, *(found["seconds"][key] for key in ("interior", "boundary"))]
                for key in ("boundary", "as many samples"):
                    row += [found[key]["ratio"], range_text(found[key]["interval"])]
                rows.append([*row, *(found[kind]["ratio"] for kind in kinds)])
    note = (
        "`boundary`: 0.25, 1 and 0.5 times the samples of the interior pass for silhouettes, shadows and all "
        "else, as by default; `as many samples`: a third for each; the kinds by themselves as by default."
    )
    return "\n".join([*lines, table(rows, [*heads, *kinds]), "", note])


def memory_report(result):
    """The points as Markdown."""
    lines = ["Memory of a gradient by vertex positions, interior and boundary.", ""]
    for over, slopes in result["slopes"].items():
        for column, value in slopes.items():
            if value is not None:
                what = f"Slope of {column} over {'samples' if over == 'spp' else over}"
                lines.append("- " + figure_line(what, abs(value), 0.005, form=".3f"))
    heads = ["depth", "spp", "device MiB", "growth of the peak, MiB", "peak MiB"]
    rows = [
        [p[k] for k in ("depth", "spp", "device_mib", "growth_mib", "peak_mib")] for p in result["points"]
    ]
    return "\n".join([*lines, "", table(rows, heads, ".6g")])


def still_report(result):
    """The scenes as Markdown."""
    return surfaces_report(result).replace("Scenes of surfaces only", "Scenes in which nothing moves")


def refit_report(found):
    """The updates as Markdown."""
    lines = ["`Params.update` with moved vertices, the hierarchy refitted, medians.", ""]
    for kind, of in found.items():
        what = f"Seconds of an update, {of['triangles']} triangles, {kind}"
        lines.append("- " + figure_line(what, float(np.median(of["seconds"])), REFIT_S, form=".3f"))
    rows = [[kind, min(of["seconds"]), max(of["seconds"])] for kind, of in found.items()]
    return "\n".join([*lines, "", table(rows, ["", "fastest, s", "slowest, s"], ".3f")])
