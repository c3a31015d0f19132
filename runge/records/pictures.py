"""Figures: arrays in, a matplotlib `Figure` out; no state, no files."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from runge.metrics import GRAD_COSINE, GRAD_NORM_DF, GRAD_NORM_F, TRAIN_LOSS, VAL_LOSS, key
from runge.records.panels import (
    BLUE,
    COLOURS,
    DASHED,
    FIRST,
    GREEN,
    INK,
    ORANGE,
    PINK,
    SECOND,
    SKY,
    THICK,
    Array,
    Mask,
    draw,
    outline,
    put,
    ticks,
)

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
    error_f, error_df = np.abs(u - f), np.linalg.norm(du - df, axis=-1)
    if plane := x.shape[1] == 1:
        t = x[:, 0]
        value = [("$f(x)$", THICK, t, f), ("$u(x)$", DASHED, t, u)]
        derivative = [("$f'(x)$", THICK, t, df[:, 0]), ("$u'(x)$", DASHED, t, du[:, 0])]
        error = [("$|u - f|$", FIRST, t, _positive(error_f)), ("$|u' - f'|$", SECOND, t, _positive(error_df))]
        named = ("value", "", value), ("derivative", "", derivative), ("absolute error", "y", error)
        panels = [("$x$", *panel) for panel in named]
    else:
        thin, points = (INK, "-", 1), (ORANGE, ".", 1)
        slope, fitted_slope = np.linalg.norm(df, axis=-1), np.linalg.norm(du, axis=-1)
        error_f, error_df = _positive(np.sort(error_f)), _positive(np.sort(error_df))
        share = (np.arange(len(f)) + 1) / len(f)
        value = [("", thin, _ends(f), _ends(f)), ("", points, f, u)]
        gradient = [("", thin, _ends(slope), _ends(slope)), ("", points, slope, fitted_slope)]
        error = [("$|u - f|$", FIRST, error_f, share), (r"$|\nabla u - \nabla f|$", SECOND, error_df, share)]
        panels = [
            ("$f$", "$u$", "", value),
            (r"$|\nabla f|$", r"$|\nabla u|$", "", gradient),
            ("absolute error", "share of the test points below", "x", error),
        ]
    figure = draw(3.6, title, panels, _ends(x) if plane else None)
    for axes in figure.axes if plane else []:
        _shade(axes, x[:, 0], regions, labelled=axes is figure.axes[0])
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
    step = np.asarray(columns["step"])

    def known(name: str, above: float = 0) -> tuple[Array, Array]:
        y = np.asarray(columns[name])
        return step[np.isfinite(y) & (y > above)], y[np.isfinite(y) & (y > above)]

    loss = [
        ("train (as minimised)", FIRST, *known(TRAIN_LOSS)),
        (r"validation (full $\lambda_d$)", SECOND, *known(VAL_LOSS)),
    ]
    errors = [
        (f"{name}, {part}", (colour, dashes, 1.4), *known(key(split, quantity)))
        for quantity, name, colour in (("mse_f", "MSE$_f$", BLUE), ("mse_df", "MSE$_{df}$", ORANGE))
        for split, part, dashes in (("train", "train", ":"), ("val", "validation", "-"))
    ]
    parts = [
        (name, (ink, "-", 1.4), *known(key("val", "mse_df", name))) for name, ink in zip(regions, COLOURS, strict=False)
    ]
    gradients = [
        (r"$|\nabla_\theta\,$MSE$_f|$", FIRST, *known(GRAD_NORM_F)),
        (r"$|\nabla_\theta\,$MSE$_{df}|$", SECOND, *known(GRAD_NORM_DF)),
    ]
    below = "optimiser step"
    noted = below + (rf" (dashed: $\lambda_d$ on, step {switched_on})" if switched_on else "")
    panels = [(noted, "loss", "y", loss), (below, "mean squared error", "y", errors)]
    panels += [(below, "validation MSE$_{df}$ by region", "y", parts), (below, "gradient norm", "y", gradients)]
    figure = draw(6.4, title, panels, (0, 1.02 * max(1, *step, switched_on or 0)))
    if switched_on:
        for axes in figure.axes:
            axes.axvline(switched_on, color=INK, linewidth=1, linestyle="--")
    # The cosine has a scale of its own, at the right: -1.05 is at the foot of the panel and 1.05 at the top.
    last, (at, cosine) = figure.axes[-1], known(GRAD_COSINE, -np.inf)
    style = {"color": GREEN, "linewidth": 1, "alpha": 0.7, "transform": last.get_xaxis_transform()}
    last.add_artist(Line2D(at, 0.5 + cosine / 2.1, **style))
    texts = [(1, at, outline(name, 0, 5, -3.5)) for at, name in ticks(-1.05, 1.05, log=False).items()]
    texts.append((1, 0.5, outline("cosine of the two gradients", 0.5, 46, 0, angle=90)))
    put(last, last.transAxes, texts, GREEN)
    return figure


def points_figure(
    steps: Sequence[int], points: Sequence[Array], shares: Mapping[str, tuple[Array, Array]], end: int, title: str
) -> Figure:
    """Where the training points lay: their places over the steps, their density, and the share of each region.

    Args:
        steps: from which step on, for each time.
        points: the points of each time, (N, D).
        shares: for each region steps, and the share of the points at these.
        end: the last step.
        title: the heading.

    Returns:
        Three panels. With more than one input the first shows the last points by the first two, the second those by
        the last.
    """
    plane, below = points[0].shape[1] == 1, "optimiser step"
    if plane:
        # Each point is a stroke from the step at which it came to that at which it went.
        where = np.concatenate([np.repeat(x[:, 0], 3) for x in points])
        until = zip(points, steps, [*steps[1:], end], strict=True)
        when = np.concatenate([np.tile((begin, last, np.nan), len(x)) for x, begin, last in until])
        first = ("$x$", below, "", [("", (INK, "-", 0.7), where, when)])
    else:
        first = ("$x_1$", "$x_2$", "", [("", (INK, ".", 1), points[-1][:, 0], points[-1][:, 1])])
    low, high = min(x[:, -1].min() for x in points), max(x[:, -1].max() for x in points)
    edges = np.linspace(low, high, 1 + max(5, min(20, len(points[0]) // 3)))
    heights = [np.histogram(x[:, -1], edges, density=True)[0] for x in (points[0], points[-1])]
    lines = [
        (name, style, np.repeat(edges, 2)[1:-1], np.repeat(height, 2))
        for name, style, height in zip(("at the start", "at the end"), (FIRST, SECOND), heights, strict=True)
    ]
    second = ("$x$" if plane else "$x_D$", "density of the points", "", lines)
    parts = [(name, (ink, "-", 1.4), *line) for (name, line), ink in zip(shares.items(), COLOURS, strict=False)]
    return draw(3.6, title, [first, second, (below, "share of the points", "", parts)], None)


def _ends(values: Array) -> tuple[float, float]:
    return values.min(), values.max()


def _positive(error: Array) -> Array:
    """Errors for a log axis: what is exactly zero is drawn at the smallest error that is not."""
    above = error[error > 0]
    return np.maximum(error, above.min() if len(above) else np.finfo(float).tiny)


def _shade(axes: Axes, t: Array, regions: Mapping[str, Mask], *, labelled: bool) -> None:
    """Shade the intervals of the named regions, but for the one in the middle, which is left white."""
    transform = axes.get_xaxis_transform()
    for (name, mask), colour in zip(regions.items(), _REGION_COLOURS, strict=False):
        if name != "middle" and mask.any():
            low, high = _ends(t[mask])
            style = {"color": colour, "alpha": 0.13, "linewidth": 0, "zorder": 0, "transform": transform}
            axes.add_artist(Rectangle((low, 0), high - low, 1, **style))
            if labelled:
                put(axes, transform, [((low + high) / 2, 0, outline(name, 0.5, 0, 3, 8))], "#555555")
