"""Figures: arrays in, a matplotlib `Figure` out; no state, no files."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from runge.groups import Group, Row, label

Array = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

# Okabe & Ito's palette, which the colour-blind can tell apart. https://jfly.uni-koeln.de/color/
INK, BLUE, ORANGE, GREEN, PINK, SKY = "#222222", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"
_CYCLE = (BLUE, ORANGE, GREEN, PINK, SKY, "#E69F00", "#7F7F7F")
_REGION_COLOURS = (SKY, "#FFFFFF", SKY, ORANGE, GREEN, PINK)


def fit_figure(x: Array, f: Array, df: Array, u: Array, du: Array, regions: Mapping[str, Mask], title: str) -> Figure:
    """A function with its fit, its derivative with that of the fit, and both errors.

    Args:
        x: the test points, (N, D).
        f: values, (N,).
        df: gradients, (N, D).
        u: the fit's values, (N,).
        du: the fit's gradients, (N, D).
        regions: masks by name, each (N,).
        title: the heading.

    Returns:
        Three panels. In one dimension they run over x, with the regions shaded; in more they show the fit against the
        function, the sizes of the gradients, and the distribution of the errors.
    """
    figure = _figure(12, 3.8, title)
    value, derivative, error = figure.subplots(1, 3)
    error_f, error_df = np.abs(u - f), np.linalg.norm(du - df, axis=-1)
    if x.shape[1] == 1:
        t = x[:, 0]
        for axes, given, fitted, prime in ((value, f, u, ""), (derivative, df[:, 0], du[:, 0], "'")):
            axes.plot(t, given, color=INK, linewidth=2.4, label=f"$f{prime}(x)$")
            axes.plot(t, fitted, color=ORANGE, linewidth=1.4, linestyle=(0, (4, 2)), label=f"$u{prime}(x)$")
        error.semilogy(t, _positive(error_f), color=BLUE, linewidth=1.2, label="$|u - f|$")
        error.semilogy(t, _positive(error_df), color=ORANGE, linewidth=1.2, label="$|u' - f'|$")
        for axes in (value, derivative, error):
            _shade(axes, t, regions, labelled=axes is value)
            axes.set_xlabel("$x$")
            axes.set_xlim(t.min(), t.max())
        value.set_ylabel("value")
        derivative.set_ylabel("derivative")
        error.set_ylabel("absolute error")
    else:
        slope, fitted_slope = np.linalg.norm(df, axis=-1), np.linalg.norm(du, axis=-1)
        for axes, given, fitted, names in (
            (value, f, u, ("$f$", "$u$")),
            (derivative, slope, fitted_slope, (r"$|\nabla f|$", r"$|\nabla u|$")),
        ):
            axes.plot([given.min(), given.max()], [given.min(), given.max()], color=INK, linewidth=1)
            axes.plot(given, fitted, ".", color=ORANGE, markersize=3)
            axes.set_xlabel(names[0])
            axes.set_ylabel(names[1])
        share = (np.arange(len(f)) + 1) / len(f)
        error.semilogx(_positive(np.sort(error_f)), share, color=BLUE, label="$|u - f|$")
        error.semilogx(_positive(np.sort(error_df)), share, color=ORANGE, label=r"$|\nabla u - \nabla f|$")
        error.set_xlabel("absolute error")
        error.set_ylabel("share of the test points below")
    for axes in (value, derivative, error):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, loc="best")
    return figure


def curves_figure(
    columns: Mapping[str, Sequence[float]], switched_on: int | None, regions: Sequence[str], title: str
) -> Figure:
    """The course of a training: losses, both errors, the derivative's error by region, and the gradients of both terms.

    Args:
        columns: figures by metric key, with `step`.
        switched_on: the step at which lambda_d was switched on, or None.
        regions: the regions' names.
        title: the heading.

    Returns:
        Four panels over the optimiser steps, with the switch marked.
    """
    figure = _figure(12, 7, title)
    (loss, errors), (by_region, gradients) = figure.subplots(2, 2, sharex=True)
    step = np.asarray(columns["step"])

    def draw(axes: Axes, key: str, name: str, colour: str, style: str = "-") -> None:
        y = np.asarray(columns[key])
        known = np.isfinite(y) & (y > 0)
        axes.semilogy(
            step[known],
            y[known],
            style,
            color=colour,
            linewidth=1.4,
            label=name,
            marker="." if known.sum() == 1 else "",
        )

    draw(loss, "train/loss", "train (as minimised)", BLUE)
    draw(loss, "val/loss", r"validation (full $\lambda_d$)", ORANGE)
    for name, shown, colour in (("mse_f", "MSE$_f$", BLUE), ("mse_df", "MSE$_{df}$", ORANGE)):
        draw(errors, f"train/{name}", f"{shown}, train", colour, ":")
        draw(errors, f"val/{name}", f"{shown}, validation", colour)
    for region, colour in zip(regions, (BLUE, ORANGE, GREEN, PINK, SKY, INK), strict=False):
        draw(by_region, f"val/mse_df/{region}", region, colour)
    draw(gradients, "grad_norm/f", r"$|\nabla_\theta\,$MSE$_f|$", BLUE)
    draw(gradients, "grad_norm/df", r"$|\nabla_\theta\,$MSE$_{df}|$", ORANGE)
    cosine = gradients.twinx()
    y = np.asarray(columns["grad_cosine"])
    cosine.plot(step[np.isfinite(y)], y[np.isfinite(y)], color=GREEN, linewidth=1, alpha=0.7, label="cosine")
    cosine.set_ylim(-1.05, 1.05)
    cosine.set_ylabel("cosine of the two gradients", color=GREEN)
    cosine.spines["top"].set_visible(False)
    for axes, quantity in (
        (loss, "loss"),
        (errors, "mean squared error"),
        (by_region, "validation MSE$_{df}$ by region"),
        (gradients, "gradient norm"),
    ):
        axes.set_ylabel(quantity)
        if switched_on:
            axes.axvline(switched_on, color=INK, linewidth=1, linestyle="--")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, loc="best")
    if switched_on:
        loss.annotate(
            rf"$\lambda_d$ on, step {switched_on}",
            (switched_on, 1.01),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            color=INK,
        )
    for axes in (by_region, gradients):
        axes.set_xlabel("optimiser step")
    return figure


def comparison_figure(rows: Sequence[Row], groups: Sequence[Group], keys: Sequence[str], metric: str) -> Figure:
    """The groups of a comparison side by side, and the two errors of every run against each other.

    Args:
        rows: the runs.
        groups: the groups, the best first; more than twelve are cut.
        keys: what tells groups apart.
        metric: what is ranked by.

    Returns:
        Two panels: each group's runs with their median and quartiles, and MSE_f against MSE_df.
    """
    shown = groups[:12]
    figure = _figure(12, max(3.2, 1.6 + 0.35 * len(shown)), f"{len(rows)} runs in {len(groups)} groups by {metric}")
    spread, front = figure.subplots(1, 2, width_ratios=(3, 2))
    colours = {found.name: _CYCLE[i % len(_CYCLE)] for i, found in enumerate(shown)}
    for i, found in enumerate(shown):
        lower, upper = found.quartiles
        spread.plot([lower, upper], [i, i], color=colours[found.name], linewidth=7, alpha=0.3, solid_capstyle="butt")
        spread.plot(found.values, [i] * len(found.values), "o", color=colours[found.name], markersize=4, alpha=0.8)
        spread.plot(found.median, i, "|", color=INK, markersize=14, markeredgewidth=2)
    spread.set_yticks(range(len(shown)), [_wrap(found.name) for found in shown])
    spread.invert_yaxis()
    spread.set_xlabel(
        f"{metric}: each run, median, quartiles" + (f" (best 12 of {len(groups)})" if len(groups) > 12 else "")
    )
    for row in rows:
        x, y = row.get("test/mse_f"), row.get("test/mse_df")
        if row["status"] == "finished" and x is not None and y is not None:
            front.plot(x, y, "o", color=colours.get(label(row, keys), "#AAAAAA"), markersize=5, alpha=0.8)
    front.set_xlabel("test/mse_f")
    front.set_ylabel("test/mse_df")
    if shown:  # the axis of nothing has no logarithm
        spread.set_xscale("log")
        front.set_xscale("log")
        front.set_yscale("log")
    return figure


def png(figure: Figure, dpi: int = 150) -> bytes:
    """The figure as a PNG image."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def _figure(width: float, height: float, title: str) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11)
    return figure


def _wrap(name: str) -> str:
    return "\n".join(textwrap.wrap(name.replace("$", r"\$"), 40))


def _positive(error: Array) -> Array:
    """Errors for a log axis: what is exactly zero is drawn at the smallest error that is not."""
    above = error[error > 0]
    return np.maximum(error, above.min() if len(above) else np.finfo(float).tiny)


def _shade(axes: Axes, t: Array, regions: Mapping[str, Mask], *, labelled: bool) -> None:
    """Shade the intervals of the named regions, but for the one in the middle, which is left white."""
    for (name, mask), colour in zip(regions.items(), _REGION_COLOURS, strict=False):
        if name == "middle" or not mask.any():
            continue
        low, high = t[mask].min(), t[mask].max()
        axes.axvspan(low, high, color=colour, alpha=0.13, linewidth=0)
        if labelled:
            axes.text(
                (low + high) / 2,
                0.01,
                name,
                transform=axes.get_xaxis_transform(),
                ha="center",
                fontsize=8,
                color="#555555",
            )
