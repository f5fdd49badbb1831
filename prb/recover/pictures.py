"""The pictures of a recovery: the curve of its loss, and what was recovered beside the targets."""

import numpy as np

from prb.api import render
from prb.device.params import records, traverse
from prb.estimators.integrate import integrate
from prb.io.images import reduced, to_srgb
from prb.kernels.estimators import modes
from prb.recover.silhouettes import draw_outline, mask, moved_shapes
from prb.recover.slices import draw_slices, sliced
from prb.report.derivative_images import COLOURS

PANEL = 512  # pixels of the longer side of a picture in the comparison, at most
ROWS = 4  # sensors in the comparison, at most
HELD_OUT = 2  # of them, sensors that took no part, at most
PERCENTILE = 99  # of |result - target|, where its colours end, so that a few bright pixels do not rule them
DECADE = 10  # of the losses, from which on their axis is logarithmic
OUTLINES = ("#ff9f1c", "#2ec4b6")  # of shapes at first and as recovered
NAMED_VIEWS = 8  # curves of views that have names in the legend, at most


def loss_curve(recovery):
    """The loss of each iteration with its noise floor, and those of the views where there are several."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.subplots()
    views, shown = recovery.view_losses, [recovery.losses]
    several = len(views) > 1
    if several:
        for k, (view, losses) in enumerate(views.items()):
            taken = np.flatnonzero(np.isfinite(losses))
            few = len(views) <= NAMED_VIEWS
            colour = f"C{k % 9 + 1}" if few else "0.7"
            label = _plain(view) if few else "each view" if k == 0 else "_"
            axes.plot(taken, losses[taken], color=colour, linewidth=0.7, alpha=0.7, label=label)
            shown.append(losses[taken])
    axes.plot(recovery.losses, color="C0", linewidth=1.2, label="mean of the views" if several else "loss")
    known = np.flatnonzero(np.isfinite(recovery.floors))
    if known.size:
        floors = recovery.floors[known]
        axes.plot(known, _smooth(floors), "--", color="black", linewidth=1.2, label="noise floor")
        shown.append(_smooth(floors))
    if recovery.at_floor is not None:
        label = f"at the noise floor after {recovery.at_floor}"
        axes.axvline(recovery.at_floor, color="black", linestyle=":", linewidth=1, label=label)
    values = np.concatenate(shown)
    if values.size and values.max() > DECADE * values.min() > 0:
        axes.set_yscale("log")
    axes.set_xlabel("iteration")
    axes.set_ylabel("loss")
    axes.grid(alpha=0.3)
    if values.size:
        axes.legend(fontsize=8)
    return figure


def comparison(recovery, views, targets, weights, options, *, true=None, held_out=()):
    """For each sensor: the picture at first, the recovered one, the target, and the last two's difference,
    grey where nothing counts; below them the same of the middle slices of recovered volumes. Shapes that were
    recovered have outlines: at first (dashed), and as recovered.

    weights: as `checked_weights` returns them. options: of the renders. true: name -> the values that should
    be found, where they are known. held_out: numbers of the views that took no part in the run."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    fitted = [k for k in range(len(views)) if k not in held_out]
    last = list(held_out)[:HELD_OUT]
    shown = fitted[: ROWS - len(last)] + last
    views, targets, weights = ([of[k] for k in shown] for of in (views, targets, weights))
    volumes = sliced(views[0], recovery.params)
    initial = [rendered_at(view, recovery.initial, recovery.initial_shapes, **options) for view in views]
    result = [render(view, **options) for view in views]
    count = len(views) + 3 * len(volumes)
    figure = Figure(figsize=(12.4, 3.0 * count + 0.3), layout="constrained")
    rows = figure.subplots(count, 4, squeeze=False)
    colours = colormaps[COLOURS].with_extremes(bad="0.6")
    of_views = zip(rows[: len(views)], shown, views, weights, initial, result, targets, strict=True)
    for row, number, view, counts, *pictures in of_views:
        pictures = [reduced(np.asarray(picture), PANEL) for picture in pictures]
        for axes, picture in zip(row, pictures, strict=False):
            axes.imshow(to_srgb(picture))
        _draw_outlines(row, view, recovery, pictures)
        difference = (pictures[1] - pictures[2]).mean(axis=2, dtype=float)
        if counts is not None:
            counts = counts.mean(axis=2) if counts.ndim == 3 else counts
            difference = np.ma.masked_where(reduced(counts, PANEL) == 0, difference)
        size = np.abs(np.ma.compressed(difference))
        end = float(np.percentile(size, PERCENTILE) or size.max()) or 1.0
        drawn = row[3].imshow(difference, cmap=colours, vmin=-end, vmax=end)
        bar = figure.colorbar(drawn, ax=row[3], shrink=0.85, extend="both" if size.max() > end else "neither")
        bar.formatter.set_powerlimits((-3, 4))
        row[3].set_xlabel(f"±{end:.2g}: {PERCENTILE}th percentile, mean of R, G, B", fontsize=9)
        if len(views) > 1:
            what = " (held out)" if number in held_out else ""
            row[0].set_ylabel(_plain(view.sensor.name) + what, fontsize=10)
    for k, name in enumerate(volumes):
        block = rows[len(views) + 3 * k :][:3]
        ends = recovery.initial[name], recovery.params[name], None if true is None else true[name]
        draw_slices(block, name, *ends, PANEL)
    for axes in rows.flat:
        axes.set_xticks([])
        axes.set_yticks([])
    for axes, title in zip(rows[0], ("initial", "result", "target", "result - target"), strict=True):
        axes.set_title(title, fontsize=11)
    return figure


def _draw_outlines(row, view, recovery, pictures):
    """The outlines of the shapes that were recovered, over the pictures of a view."""
    shapes = moved_shapes(view, recovery.params)
    if not shapes:
        return
    initial = mask(view, shapes, recovery.initial, recovery.initial_shapes)
    result = mask(view, shapes, {}, {})
    for axes, which in zip(row, ("initial", "result", "both"), strict=False):
        if which != "result":
            draw_outline(axes, initial, pictures[0], colors=OUTLINES[0], linestyles="dashed")
        if which != "initial":
            draw_outline(axes, result, pictures[0], colors=OUTLINES[1])


def _smooth(values, half=10):
    """Means over the iterations around each, so that the floor is a line and not a band."""
    sums, at = np.concatenate([[0], np.cumsum(values)]), np.arange(len(values))
    low, high = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)


def _plain(name):
    """A name as matplotlib shows it as it is: no mathematics, no hidden entry of a legend."""
    text = "".join(c if c.isprintable() else " " for c in name).replace("$", r"\$")
    return text if not text.startswith("_") else f" {text}"


def rendered_at(view, values, shapes=None, *, spp=None, seed=0, max_depth=None):
    """The picture that a sensor sees at other values of some parameters, which the scene does not take.

    shapes: name -> those that they are for, where the scene has others by now."""
    if shapes:
        view = view.exchanged(shapes)
        traverse(view).update(values)
        return render(view, spp=spp, seed=seed, max_depth=max_depth)
    buffer, known = view.values.copy(), records(view)
    for name, value in values.items():
        known[name].of(buffer)[...] = value
    return integrate(view, modes.PRIMAL, spp=spp, seed=seed, max_depth=max_depth, values=buffer).image
