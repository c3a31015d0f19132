"""The pictures of a run, each a function from arrays to a Matplotlib `Figure`."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from runge.metrics import GRAD_COSINE, GRAD_NORM_DF, GRAD_NORM_F, TRAIN_LOSS, VAL_LOSS, key
from runge.runs.labels import Labels, label
from runge.runs.maps import maps_picture
from runge.runs.panels import Line, Plot, draw
from runge.runs.parity import parity_picture
from runge.runs.profiles import Profile
from runge.runs.scales import Array, evenly, padded, ticks
from runge.runs.sheet import BLUE, COLOURS, GREEN, GREY, INK, MOST_OUTPUTS, ORANGE, PINK, SKY, Panel, note_on_outputs

Mask = NDArray[np.bool_]

# Styles of lines: colour, dashes and width.
_FIRST, _SECOND, _THICK, _DASHED = (BLUE, "-", 1.4), (ORANGE, "-", 1.4), (INK, "-", 2.4), (ORANGE, "--", 1.4)
_STROKES = ("#888888", "|", 0.5)
_REGION_COLOURS = (SKY, "#FFFFFF", SKY, ORANGE, GREEN, PINK)
_GROUP_COLOURS = (*COLOURS, INK)
_STEP = "optimiser step"
_MOST_DENSITIES = 6
_FEW, _MOST_STROKES = 100, 1000


def fit_picture(
    x: Array,
    f: Array,
    df: Array,
    u: Array,
    du: Array,
    regions: Mapping[str, Mask],
    title: str,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    points: Array | None = None,
    profile: Profile | None = None,
) -> Figure:
    """Draw a function and its fit, their derivatives, and the errors of both.

    One input: curves over x, one row of panels per output. Two inputs: maps, as `maps_picture`. More: predicted against
    true values, as `parity_picture`. Four outputs are drawn, and the figure says how many there are.

    Args:
        x: the points, (N, D).
        f: the values, (N, P); NaN where they are not known.
        df: the gradients, (N, P, D); NaN where they are not known.
        u: the fit, (N, P).
        du: the gradients of the fit, (N, P, D).
        regions: the masks of regions, (N,), shaded if there is one input and one output.
        title: the title.
        inputs: the names of the inputs; None: as in `Labels`.
        outputs: the names of the outputs; None: as in `Labels`.
        points: the training points, (K, D), which the maps show, and with a profile the curves.
        profile: with one input, the fit between the points. These are then the rows of a table, in which x may repeat
            and labels have noise, and are drawn as dots; None: they are those of a function, close to each other, and
            are joined.

    Raises:
        ValueError: the number of names is wrong.
    """
    labels = Labels(inputs, outputs, x.shape[1], f.shape[1])
    if x.shape[1] == 1:
        return _curves_over_x(x[:, 0], f, df[..., 0], u, du[..., 0], regions, title, labels, points, profile)
    if x.shape[1] == 2:
        return maps_picture(x, f, df, u, du, title, labels, points)
    return parity_picture(f, df, u, du, title, labels, x.std(0))


def _curves_over_x(
    t: Array,
    f: Array,
    df: Array,
    u: Array,
    du: Array,
    regions: Mapping[str, Mask],
    title: str,
    labels: Labels,
    points: Array | None,
    profile: Profile | None,
) -> Figure:
    rows, x = min(MOST_OUTPUTS, f.shape[1]), labels.inputs[0]
    true, fitted, first, second = _THICK, _DASHED, _FIRST, _SECOND
    error_f, error_df, across, nodes, (low, high) = np.abs(u - f), np.abs(du - df), t, np.empty(0), _ends(t)
    if profile is not None:
        size = 2 if len(t) < _FEW else 1
        true, fitted, first, second = (INK, ".", size), _SECOND, (BLUE, ".", size), (ORANGE, ".", size)
        # The points are part of the line, so that it passes through every fitted value, however uneven the rows are.
        across, u, du = (np.concatenate(parts) for parts in zip((t, u, du), profile, strict=True))
        low, high = padded(across, pad=0.02)
        nodes = nodes if points is None else points[evenly(len(points), _MOST_STROKES), 0]
    plots: list[Plot] = []
    for p in range(rows):
        y, fit, slope, fitted_slope, error, slope_error = labels.curves(p)
        value = [_line(y, true, t, f[:, p]), _line(fit, fitted, across, u[:, p])]
        derivative = [_line(slope, true, t, df[:, p]), _line(fitted_slope, fitted, across, du[:, p])]
        errors = [_line(error, first, t, _positive(error_f[:, p]))]
        errors.append(_line(slope_error, second, t, _positive(error_df[:, p])))
        if len(nodes):
            every = np.concatenate([f[:, p], u[:, p]])
            value.append(("training points", _STROKES, nodes, np.full(len(nodes), padded(every, pad=0.08)[0])))
        plots += [(x, "value", "", value), (x, "derivative", "", derivative), (x, "absolute error", "y", errors)]
    note = note_on_outputs(f.shape[1])
    heading = f"{title} ({note})" if note else title
    sheet = draw(_height(rows), heading, plots, (low, high) if low < high else None, gap=50 if rows == 1 else 66)
    for panel in sheet.panels if f.shape[1] == 1 else []:
        for (name, mask), colour in zip(regions.items(), _REGION_COLOURS, strict=False):
            if name != "middle" and mask.any():
                low, high = _ends(t[mask])
                style = {"color": colour, "alpha": 0.13, "linewidth": 0, "zorder": 0, "transform": panel.transform}
                panel.add(Rectangle((low, panel.y[0]), high - low, panel.y[1] - panel.y[0], **style))
                if panel is sheet.panels[0]:
                    place = ((low + high) / 2 - panel.x[0]) / (panel.x[1] - panel.x[0])
                    panel.text(name, place, 0, 0, 3, 0.5, 8, colour=GREY)
    return sheet.finish()


def curves_picture(
    columns: Mapping[str, Sequence[float]],
    switched_on: int | None,
    groups: Sequence[str],
    title: str,
    by: str = "region",
) -> Figure:
    """Draw the losses, both errors, the derivative's error by group, and the gradients of both terms over the steps.

    The columns are `step` and those of the metrics. The step at which lambda_d was switched on is marked. The groups
    are what `by` says, regions or outputs; the first eight are drawn. Without groups, as for a table with one output,
    the errors without units take their place.
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
    parts = [
        (label(name), (ink, "-", 1.4), *measured(key("val", "mse_df", name)))
        for name, ink in zip(groups, _GROUP_COLOURS, strict=False)
    ]
    cut = f" (first {len(_GROUP_COLOURS)} of {len(groups)})" if len(groups) > len(_GROUP_COLOURS) else ""
    of_parts = f"validation MSE$_{{df}}$ by {by}{cut}"
    if not groups:
        parts = [
            ("$f$", _FIRST, *measured(key("val", "nrmse_f"))),
            ("$f'$", _SECOND, *measured(key("val", "nrmse_df"))),
        ]
        of_parts = "validation NRMSE, without units"
    gradients = [(r"$|\nabla_\theta\,$MSE$_f|$", _FIRST, *measured(GRAD_NORM_F))]
    gradients.append((r"$|\nabla_\theta\,$MSE$_{df}|$", _SECOND, *measured(GRAD_NORM_DF)))
    noted = _STEP + (rf" (dashed: $\lambda_d$ on, step {switched_on})" if switched_on else "")
    plots = [
        (noted, "loss", "y", loss),
        (_STEP, "mean squared error", "y", errors),
        (_STEP, of_parts, "y", parts),
        (_STEP, "gradient norm", "y", gradients),
    ]
    # The last panel has a second scale on its right.
    sheet = draw(461, title, plots, (0, 1.02 * max(1, *step, switched_on or 0)), columns=2, right=55, gap=75)
    for panel in sheet.panels if switched_on else []:
        panel.line([switched_on] * 2, panel.y, "--", color=INK, linewidth=1)
    # The cosine has its own scale on the right, from -1.05 at the bottom of the panel to 1.05 at the top.
    last, (at, cosine) = sheet.panels[-1], measured(GRAD_COSINE, -np.inf)
    scale = Panel(sheet, last.box, last.x, (-1.05, 1.05))
    scale.line(at, cosine, "." if len(at) == 1 else "-", color=GREEN, linewidth=1, alpha=0.7)
    for place, name in ticks(*scale.y).items():
        scale.text(name, 1, place, 5, -3.5, colour=GREEN)
    scale.text("cosine of the two gradients", 1, 0.5, 46, 0, 0.5, angle=90, colour=GREEN)
    return sheet.finish()


def points_picture(
    steps: Sequence[int],
    points: Sequence[Array],
    shares: Mapping[str, tuple[Array, Array]],
    end: int,
    title: str,
    inputs: Sequence[str] | None = None,
) -> Figure:
    """Draw the training points over the steps, their density, and the share of each region.

    With more than one input the first panel shows the first and the last points in the plane of the first two inputs,
    and the next ones the density along each input; of more than six, those along which it has changed most. Each set of
    points, (N, D), was used from the step in `steps` with the same index; `end` is the last step. A region's shares are
    the steps and its share of the points at these.
    """
    parts = [(name, (ink, "-", 1.4), *line) for (name, line), ink in zip(shares.items(), COLOURS, strict=False)]
    share: Plot = (_STEP, "share of the points", "", parts)
    first, last, dimension = points[0], points[-1], points[0].shape[1]
    labels = Labels(inputs, None, dimension, 1).inputs
    if dimension == 1:
        # Each point is a stroke, from the step at which it was placed to the step at which it was moved.
        where = np.concatenate([np.repeat(x[:, 0], 3) for x in points])
        spans = zip(points, steps, [*steps[1:], end], strict=True)
        when = np.concatenate([np.tile((begin, last, np.nan), len(x)) for x, begin, last in spans])
        strokes: Plot = (labels[0], _STEP, "", [("", (INK, "-", 0.7), where, when)])
        density: Plot = (labels[0], "density of the points", "", _densities(points, 0))
        return draw(_height(1), title, [strokes, density, share], None).finish()
    plane: list[Line] = [("at the start", (BLUE, ".", 1), *first.T[:2]), ("at the end", (ORANGE, ".", 1), *last.T[:2])]
    # How far the sorted coordinates have moved, relative to their range at the start.
    moved = np.abs(np.sort(last, axis=0) - np.sort(first, axis=0)).mean(0) / np.maximum(np.ptp(first, axis=0), 1e-300)
    drawn = np.sort(np.argsort(moved)[::-1][:_MOST_DENSITIES])
    plots: list[Plot] = [(labels[0], labels[1], "", plane)]
    plots += [(labels[d], f"density along {labels[d]}", "", _densities(points, d)) for d in drawn]
    plots += [share] if parts else []
    columns = {4: 2, 7: 4, 8: 4}.get(len(plots), 3)
    if len(drawn) < dimension:
        title += f"  (the {len(drawn)} of {dimension} inputs along which the points moved most)"
    return draw(_height(-(-len(plots) // columns)), title, plots, None, columns).finish()


def _height(rows: int) -> float:
    """Return the height of a picture, whose panels are 2.5 inches high in one row, and 2 in several."""
    return 259 if rows == 1 else 79 + 144 * (rows + 0.33 * (rows - 1))


def _densities(points: Sequence[Array], d: int) -> list[Line]:
    """Return the densities of the first and the last points along input d, as the outlines of histograms of area 1."""
    low, high = min(x[:, d].min() for x in points), max(x[:, d].max() for x in points)
    edges = np.linspace(low, high, 1 + max(5, min(20, len(points[0]) // 3)))
    return [
        (name, style, np.repeat(edges, 2)[1:-1], np.repeat(np.histogram(x[:, d], edges, density=True)[0], 2))
        for name, style, x in (("at the start", _FIRST, points[0]), ("at the end", _SECOND, points[-1]))
    ]


def _line(name: str, style: tuple[str, str, float], t: Array, y: Array) -> Line:
    """Return a line over the sorted points, or dots if y is not known everywhere: a line would hide the gaps."""
    order = np.argsort(t, kind="stable")
    known = order[~np.isnan(y[order])]
    if not len(known):
        name += ": no labels"
    return name, style if len(known) == len(order) else (style[0], ".", 1), t[known], y[known]


def _ends(values: Array) -> tuple[float, float]:
    return values.min(), values.max()


def _positive(error: Array) -> Array:
    """Return errors for a log axis: zeros are replaced by the smallest of the others."""
    above = error[error > 0]
    return np.maximum(error, above.min() if len(above) else np.finfo(float).tiny)
