"""The pictures over the steps of a run: losses, errors and gradients, and the training points that have moved."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from runge.pictures.style import (
    BLUE,
    COLOURS,
    GREEN,
    INK,
    MOST_DENSITIES,
    ORANGE,
    hide_empty,
    label,
    legend,
    log_scale,
    sheet,
    styled,
)
from runge.records.metrics import GRAD_COSINE, GRAD_NORM_DF, GRAD_NORM_F, TRAIN_LOSS, VAL_LOSS, key, regions, share_key

History = Mapping[str, Sequence[float]]
"""The columns of `history.csv`."""

_STEP_LABEL = "optimiser step"
"""The label of the axis of the steps."""


@styled
def curves_picture(
    history: History, switched_on: float | None, best: float | None, outputs: Sequence[str], title: str
) -> Figure:
    """Draw the losses, both errors, the derivative's error by part, and the gradients of both terms over the steps.

    The step at which lambda_d was switched on is marked, and the validation loss of the best weights. The parts are the
    outputs, or the regions of one output; the first eight are drawn. Without parts, as for a table with one output, the
    errors without units take their place.
    """
    blue, orange = {"color": BLUE}, {"color": ORANGE}
    third = "validation NRMSE, without units"
    lines = {"$f$": (key("val", "nrmse_f"), blue), "$f'$": (key("val", "nrmse_df"), orange)}
    if groups := regions(history, key("val", "mse_df")):
        by, most = "output" if {*groups} <= {*outputs} else "region", len(COLOURS)
        third = f"validation MSE$_{{df}}$ by {by}{f' (first {most} of {len(groups)})' if len(groups) > most else ''}"
        lines = {label(group): (key("val", "mse_df", group), {}) for group in groups[:most]}
    plots = {
        "loss": {"train (as minimised)": (TRAIN_LOSS, blue), r"validation (full $\lambda_d$)": (VAL_LOSS, orange)},
        "mean squared error": {
            f"{name}, {points}": (key(split, quantity), style | {"linestyle": dashes})
            for quantity, name, style in (("mse_f", "MSE$_f$", blue), ("mse_df", "MSE$_{df}$", orange))
            for split, points, dashes in (("train", "train", ":"), ("val", "validation", "-"))
        },
        third: lines,
        "gradient norm": {
            r"$|\nabla_\theta\,$MSE$_f|$": (GRAD_NORM_F, blue),
            r"$|\nabla_\theta\,$MSE$_{df}|$": (GRAD_NORM_DF, orange),
        },
    }
    figure = sheet(11, 6.4, title)
    panels = figure.subplots(2, 2, sharex=True)
    for axes, (y, lines) in zip(panels.flat, plots.items(), strict=True):
        for name, (column, style) in lines.items():
            _line(axes, history, column, label=name, **style)
        if axes is panels[0, 0] and best is not None:
            rows = np.equal(history["step"], best)
            row = {name: np.asarray(history[name])[rows].tolist() for name in ("step", VAL_LOSS)}
            _line(axes, row, VAL_LOSS, label="best weights", color=ORANGE, markersize=14)
        axes.set_ylabel(y)
        log_scale(axes)
        if switched_on:
            axes.axvline(switched_on, color=INK, linestyle="--", linewidth=1)
        legend(axes, 4 if len(lines) > 4 else 2)
    if switched_on:
        panels[0, 0].text(
            switched_on, 0.98, r" $\lambda_d$ on", transform=panels[0, 0].get_xaxis_transform(), va="top", fontsize=8.5
        )
    for axes in panels[1]:
        axes.set_xlabel(_STEP_LABEL)
    scale = panels[1, 1].twinx()
    _line(scale, history, GRAD_COSINE, above=-np.inf, color=GREEN, linewidth=1, alpha=0.7)
    scale.set(ylim=(-1.05, 1.05))
    scale.set_ylabel("cosine of the two gradients", color=GREEN)
    scale.tick_params(axis="y", colors=GREEN)
    scale.grid(False)
    return figure


def _line(axes: Axes, history: History, column: str, above: float = 0, **style: Any) -> None:
    """Draw a column of the history over the steps, joining the known values above a number."""
    step, y = np.asarray(history["step"]), np.asarray(history.get(column, [np.nan] * len(history["step"])))
    drawn = np.isfinite(y) & (y > above)
    axes.plot(step[drawn], y[drawn], marker="." if drawn.sum() == 1 else "", **style)


@styled
def points_picture(points: Mapping[str, Sequence[float]], history: History, title: str) -> Figure:
    """Draw the training points over the steps, their density, and the share of each region.

    With more than one input the first panel shows the first and the last points in the plane of the first two inputs,
    and the next ones the density along each input; of more than six, those along which it has changed most.

    Args:
        points: the columns of `points.csv`: the step at which each point was placed, and the inputs.
        history: the columns of `history.csv`.
        title: the title.
    """
    at, inputs = np.asarray(points["step"]), [name for name in points if name != "step"]
    x, steps = np.stack([np.asarray(points[name]) for name in inputs], 1), np.unique(at)
    first, last = x[at == steps[0]], x[at == steps[-1]]
    # How far the sorted coordinates have moved, relative to their range at the start.
    moved = np.abs(np.sort(last, 0) - np.sort(first, 0)).mean(0) / np.maximum(np.ptp(first, axis=0), 1e-300)
    drawn = np.sort(np.argsort(moved)[::-1][:MOST_DENSITIES])
    shares = [name for name in history if name.startswith(share_key(""))]
    count = 1 + len(drawn) + bool(shares)
    columns = {4: 2, 7: 4, 8: 4}.get(count, 3)
    notes = [f"the {len(drawn)} of {len(inputs)} inputs along which the points moved most"]
    figure = sheet(11, 0.4 + 2.7 * -(-count // columns), title, notes if len(drawn) < len(inputs) else [])
    panels = figure.subplots(-(-count // columns), columns, squeeze=False).ravel()
    if len(inputs) == 1:  # each point is a stroke, from the step at which it was placed to the step at which it moved
        ends = dict(zip(steps, [*steps[1:], max(history["step"])], strict=True))
        strokes = [[(place, step), (place, ends[step])] for place, step in zip(x[:, 0], at, strict=True)]
        panels[0].add_collection(LineCollection(strokes, colors=INK, linewidths=0.7))
        panels[0].autoscale_view()
        panels[0].set(xlabel=label(inputs[0]), ylabel=_STEP_LABEL)
    else:
        panels[0].plot(*first.T[:2], ".", label="at the start")
        panels[0].plot(*last.T[:2], ".", label="at the end")
        panels[0].set(xlabel=label(inputs[0]), ylabel=label(inputs[1]))
        legend(panels[0])
    for axes, d in zip(panels[1:], drawn, strict=False):
        edges = np.linspace(x[:, d].min(), x[:, d].max(), 1 + max(5, min(20, len(first) // 3)))
        for name, places in (("at the start", first), ("at the end", last)):
            axes.stairs(np.histogram(places[:, d], edges, density=True)[0], edges, linewidth=1.4, label=name)
        axes.set(xlabel=label(inputs[d]), ylabel=f"density along {label(inputs[d])}")
        legend(axes)
    for name in shares:
        _line(panels[count - 1], history, name, above=-np.inf, label=label(name.removeprefix(share_key(""))))
        panels[count - 1].set(xlabel=_STEP_LABEL, ylabel="share of the points")
        legend(panels[count - 1])
    hide_empty(panels)
    return figure
