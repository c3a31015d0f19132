"""The pictures of a run, each a function from arrays to a Matplotlib `Figure`."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from runge.metrics import GRAD_COSINE, GRAD_NORM_DF, GRAD_NORM_F, TRAIN_LOSS, VAL_LOSS, key
from runge.records.panels import BLUE, COLOURS, GREEN, INK, ORANGE, PINK, SKY, Array, Mask, draw, outline, put, ticks

# Styles of lines: colour, dashes and width.
_FIRST, _SECOND, _THICK, _DASHED = (BLUE, "-", 1.4), (ORANGE, "-", 1.4), (INK, "-", 2.4), (ORANGE, "--", 1.4)
_THIN, _DOTS = (INK, "-", 1), (ORANGE, ".", 1)
_REGION_COLOURS = (SKY, "#FFFFFF", SKY, ORANGE, GREEN, PINK)
_STEP = "optimiser step"


def fit_picture(x: Array, f: Array, df: Array, u: Array, du: Array, regions: Mapping[str, Mask], title: str) -> Figure:
    """Draw a function and its fit, their gradients, and both errors.

    The points x are (N, D), the values f and u (N,), the gradients df and du (N, D), the regions' masks (N,). In one
    dimension the panels show curves over x, with the regions shaded; in more dimensions the fit against the function,
    the norms of the gradients, and the distribution of the errors.
    """
    error_f, error_df = np.abs(u - f), np.linalg.norm(du - df, axis=-1)
    if x.shape[1] > 1:
        slope, fitted_slope = np.linalg.norm(df, axis=-1), np.linalg.norm(du, axis=-1)
        share = (np.arange(len(f)) + 1) / len(f)
        value = [("", _THIN, _ends(f), _ends(f)), ("", _DOTS, f, u)]
        gradient = [("", _THIN, _ends(slope), _ends(slope)), ("", _DOTS, slope, fitted_slope)]
        names = ("$|u - f|$", _FIRST), (r"$|\nabla u - \nabla f|$", _SECOND)
        sizes = (_positive(np.sort(size)) for size in (error_f, error_df))
        error = [(*name, size, share) for name, size in zip(names, sizes, strict=True)]
        panels = [("$f$", "$u$", "", value), (r"$|\nabla f|$", r"$|\nabla u|$", "", gradient)]
        panels.append(("absolute error", "share of the test points below", "x", error))
        return draw(3.6, title, panels, None)
    t = x[:, 0]
    value = [("$f(x)$", _THICK, t, f), ("$u(x)$", _DASHED, t, u)]
    derivative = [("$f'(x)$", _THICK, t, df[:, 0]), ("$u'(x)$", _DASHED, t, du[:, 0])]
    error = [("$|u - f|$", _FIRST, t, _positive(error_f)), ("$|u' - f'|$", _SECOND, t, _positive(error_df))]
    panels = [("$x$", "value", "", value), ("$x$", "derivative", "", derivative), ("$x$", "absolute error", "y", error)]
    figure = draw(3.6, title, panels, _ends(t))
    for axes in figure.axes:
        transform = axes.get_xaxis_transform()
        for (name, mask), colour in zip(regions.items(), _REGION_COLOURS, strict=False):
            if name != "middle" and mask.any():
                low, high = _ends(t[mask])
                style = {"color": colour, "alpha": 0.13, "linewidth": 0, "zorder": 0, "transform": transform}
                axes.add_artist(Rectangle((low, 0), high - low, 1, **style))
                if axes is figure.axes[0]:
                    put(axes, transform, [((low + high) / 2, 0, outline(name, 0.5, 0, 3, 8))], "#555555")
    return figure


def curves_picture(
    columns: Mapping[str, Sequence[float]], switched_on: int | None, regions: Sequence[str], title: str
) -> Figure:
    """Draw the losses, both errors, the derivative's error by region, and the gradients of both terms over the steps.

    The columns are `step` and those of the metrics. The step at which lambda_d was switched on is marked.
    """
    step = np.asarray(columns["step"])

    def measured(name: str, above: float = 0) -> tuple[Array, Array]:
        y = np.asarray(columns[name])
        return step[np.isfinite(y) & (y > above)], y[np.isfinite(y) & (y > above)]

    loss = [("train (as minimised)", _FIRST, *measured(TRAIN_LOSS))]
    loss.append((r"validation (full $\lambda_d$)", _SECOND, *measured(VAL_LOSS)))
    errors = [
        (f"{name}, {part}", (colour, dashes, 1.4), *measured(key(split, quantity)))
        for quantity, name, colour in (("mse_f", "MSE$_f$", BLUE), ("mse_df", "MSE$_{df}$", ORANGE))
        for split, part, dashes in (("train", "train", ":"), ("val", "validation", "-"))
    ]
    named = zip(regions, COLOURS, strict=False)
    parts = [(name, (ink, "-", 1.4), *measured(key("val", "mse_df", name))) for name, ink in named]
    gradients = [(r"$|\nabla_\theta\,$MSE$_f|$", _FIRST, *measured(GRAD_NORM_F))]
    gradients.append((r"$|\nabla_\theta\,$MSE$_{df}|$", _SECOND, *measured(GRAD_NORM_DF)))
    noted = _STEP + (rf" (dashed: $\lambda_d$ on, step {switched_on})" if switched_on else "")
    panels = [
        (noted, "loss", "y", loss),
        (_STEP, "mean squared error", "y", errors),
        (_STEP, "validation MSE$_{df}$ by region", "y", parts),
        (_STEP, "gradient norm", "y", gradients),
    ]
    figure = draw(6.4, title, panels, (0, 1.02 * max(1, *step, switched_on or 0)))
    if switched_on:
        for axes in figure.axes:
            axes.axvline(switched_on, color=INK, linewidth=1, linestyle="--")
    # The cosine has its own scale on the right, from -1.05 at the bottom of the panel to 1.05 at the top.
    last, (at, cosine) = figure.axes[-1], measured(GRAD_COSINE, -np.inf)
    style = {"color": GREEN, "linewidth": 1, "alpha": 0.7, "marker": "." if len(at) == 1 else ""}
    last.add_artist(Line2D(at, 0.5 + cosine / 2.1, transform=last.get_xaxis_transform(), **style))
    texts = [(1, at, outline(name, 0, 5, -3.5)) for at, name in ticks(-1.05, 1.05, log=False).items()]
    texts.append((1, 0.5, outline("cosine of the two gradients", 0.5, 46, 0, angle=90)))
    put(last, last.transAxes, texts, GREEN)
    return figure


def points_picture(
    steps: Sequence[int], points: Sequence[Array], shares: Mapping[str, tuple[Array, Array]], end: int, title: str
) -> Figure:
    """Draw the training points over the steps, their density, and the share of each region.

    With more than one input the first panel shows the last points in the plane of the first two inputs, and the second
    the density along the last input. Each set of points, (N, D), was used from the step in `steps` with the same index;
    `end` is the last step. A region's shares are the steps and its share of the points at these.
    """
    if points[0].shape[1] == 1:
        # Each point is a stroke, from the step at which it was placed to the step at which it was moved.
        where = np.concatenate([np.repeat(x[:, 0], 3) for x in points])
        spans = zip(points, steps, [*steps[1:], end], strict=True)
        when = np.concatenate([np.tile((begin, last, np.nan), len(x)) for x, begin, last in spans])
        along, first = "$x$", ("$x$", _STEP, "", [("", (INK, "-", 0.7), where, when)])
    else:
        along, first = "$x_D$", ("$x_1$", "$x_2$", "", [("", (INK, ".", 1), *points[-1].T[:2])])
    low, high = min(x[:, -1].min() for x in points), max(x[:, -1].max() for x in points)
    edges = np.linspace(low, high, 1 + max(5, min(20, len(points[0]) // 3)))
    density = [
        (name, style, np.repeat(edges, 2)[1:-1], np.repeat(np.histogram(x[:, -1], edges, density=True)[0], 2))
        for name, style, x in (("at the start", _FIRST, points[0]), ("at the end", _SECOND, points[-1]))
    ]
    parts = [(name, (ink, "-", 1.4), *line) for (name, line), ink in zip(shares.items(), COLOURS, strict=False)]
    panels = [first, (along, "density of the points", "", density), (_STEP, "share of the points", "", parts)]
    return draw(3.6, title, panels, None)


def _ends(values: Array) -> tuple[float, float]:
    return values.min(), values.max()


def _positive(error: Array) -> Array:
    """Return errors for a log axis: zeros are replaced by the smallest of the others."""
    above = error[error > 0]
    return np.maximum(error, above.min() if len(above) else np.finfo(float).tiny)
