import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import FillBetweenPolyCollection, LineCollection, TriMesh
from matplotlib.text import Text

from runge.pictures.curves import curves_picture, points_picture
from runge.pictures.fit import fit_picture, interval_maps
from runge.pictures.profiles import profiles_picture
from runge.pictures.style import image
from runge.records.fits import SampledFit, Section


def fit(dimension=1, outputs=1, n=60, scale=1.0, offset=0.1, names=None):
    """Return the values and gradients of scale |x|^2 at some points, and a fit that is off by `offset`."""
    x = np.random.default_rng(0).uniform(-1, 1, (n, dimension))
    f = scale * np.repeat((x**2).sum(1, keepdims=True), outputs, 1)
    df = scale * np.repeat(2 * x[:, None], outputs, 1)
    inputs = ("x",) if dimension == 1 else tuple(f"x{d + 1}" for d in range(dimension))
    names = names or (("f",) if outputs == 1 else tuple(f"f{p + 1}" for p in range(outputs)))
    return SampledFit(inputs, tuple(names), x, f, df, f + offset, df + offset)


def history(rows, parts=("left",), values=None):
    keys = ["train/loss", "val/loss", "grad_norm/f", "grad_norm/df", "grad_cosine", "share/left"]
    keys += [f"{split}/{name}" for split in ("train", "val") for name in ("mse_f", "mse_df", "nrmse_f", "nrmse_df")]
    keys += [f"val/mse_df/{part}" for part in parts]
    return {"step": list(range(rows))} | {key: values or [0.1] * rows for key in keys}


def moved(dimension=1):
    """Return the columns of `points.csv`: thirty points, and from step 10 on shrunk, the last input most."""
    before = np.random.default_rng(0).random((30, dimension))
    x = np.concatenate([before, before * np.linspace(1, 0.1, dimension)])
    names = ["x"] if dimension == 1 else [f"x{d + 1}" for d in range(dimension)]
    return {"step": [0.0] * 30 + [10.0] * 30} | dict(zip(names, x.T.tolist(), strict=True))


def profiles(dimension, outputs=1, around=np.nan):
    """Return profiles along which the fit is t^2 + d, with the slope 2 t, half of them outside the data."""
    t, ones = np.linspace(-1, 1, 65), np.ones((65, outputs))
    parts = [((t[:, None] ** 2 + d) * ones, 2 * t[:, None] * ones) for d in range(dimension)]
    halves = around * ones, 2 * around * ones[..., None]
    return [Section(t[:, None], u, du[..., None], *halves, t > 0) for u, du in parts]


def section(outputs, around):
    """Return the fit x1 + x2 on a grid, with intervals that are wider at its edges; a corner is outside the data."""
    x = np.stack(np.meshgrid(*2 * [np.linspace(-1, 1, 9)]), -1).reshape(-1, 2)
    u, half = np.repeat(x.sum(1, keepdims=True), outputs, 1), around * (1 + np.abs(x).max(1, keepdims=True))
    half = np.repeat(half, outputs, 1)
    return Section(x, u, np.ones((*u.shape, 2)), half, np.stack([3 * half, 4 * half], -1), x.min(1) > 0.5)


def names(count, letter="x"):
    return [f"{letter}{i + 1}" for i in range(count)]


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def markers(figure):
    return [line.get_marker() for axes in figure.axes for line in axes.lines]


def edges(band):
    """Return the lower and the upper edge of a band, (k, 2)."""
    vertices = band.get_paths()[0].vertices
    k = (len(vertices) - 3) // 2
    return np.stack([vertices[1 : k + 1, 1], vertices[k + 2 : 2 * k + 2, 1][::-1]], 1)


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]


FIGURES = {
    "curves": lambda: fit_picture(
        fit(outputs=2, names=("concentration of oxygen", "p")), "a title", profiles(1, 2, 0.1)[0]
    ),
    "tiny and far from zero": lambda: fit_picture(
        fit(scale=1e-9, offset=1e-11)._replace(x=fit().x + 1.7e9), "a title " * 40
    ),
    "maps": lambda: fit_picture(fit(2), "a title", points=fit(2).x),
    "parity": lambda: fit_picture(fit(5), "a title"),
    "profiles": lambda: profiles_picture(profiles(16), "a title", names(16), ["f"]),
    "profiles with bands": lambda: profiles_picture(profiles(5, 1, 0.1), "a title", names(5), ["f"]),
    "maps with intervals": lambda: interval_maps(section(1, 0.1), "a title", names(2), ["f"], fit(2).x),
    "narrow history of many outputs": lambda: curves_picture(
        history(5, parts=names(12, "f")) | {"val/loss": [0.11, 0.12, 0.13, 0.12, 0.1]}, 3, 1, names(12, "f"), "a title"
    ),
    "points": lambda: points_picture(moved(), history(20), "a title"),
    "points of inputs": lambda: points_picture(moved(9), history(20), "a title"),
}
AT_NIGHT = {
    "curves with bands": lambda: fit_picture(fit(outputs=2), "a title", profiles(1, 2, 0.1)[0]),
    "intervals of outputs": lambda: interval_maps(section(2, 0.1), "a title", names(2), names(2, "f"), fit(2).x),
    "maps of outputs": lambda: fit_picture(fit(2, 5), "a title"),
    "parity of outputs": lambda: fit_picture(fit(6, 5), "a title"),
    "profiles of outputs with bands": lambda: profiles_picture(profiles(3, 3, 1e-6), "a", names(3), names(3, "f")),
}


@pytest.mark.parametrize("name", [*FIGURES, *(pytest.param(name, marks=pytest.mark.nightly) for name in AT_NIGHT)])
def test_no_text_covers_another_or_leaves_the_picture(name, monkeypatch):
    figure, boxes, draw = (FIGURES | AT_NIGHT)[name](), [], Text.draw

    def record(self, renderer):
        if self.get_visible() and self.get_text().strip():
            boxes.append((self.get_text(), self.get_window_extent(renderer)))
        draw(self, renderer)

    monkeypatch.setattr(Text, "draw", record)
    figure.draw_without_rendering()
    for text, box in boxes:
        assert figure.bbox.padded(1).contains(*box.min), text
        assert figure.bbox.padded(1).contains(*box.max), text
    for (one, first), (other, second) in itertools.combinations(boxes, 2):
        assert not first.shrunk(0.9, 0.9).overlaps(second.shrunk(0.9, 0.9)), (one, other)


def draw(figure):
    """Draw all parts where they are; an arrangement, which takes most of the time, is seen by the test of texts."""
    figure.set_layout_engine("none")
    figure.draw_without_rendering()


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_pictures_take_any_value(dimension):
    values = [(0.0, 0.0), (1e20, 1.0), *([(0.0, 1e-9), (1e-12, 1e9)] if dimension == 1 else [])]
    fits = [fit(dimension, offset=offset, scale=scale) for offset, scale in values]
    parts = [np.concatenate(columns, 1) for columns in zip(*(one[3:] for one in fits), strict=True)]
    draw(fit_picture(SampledFit(fits[0].inputs, tuple(names(len(fits), "f")), fits[0].x, *parts), ""))


def test_a_row_of_panels_for_each_output():
    one, six = fit_picture(fit(), "").axes, fit_picture(fit(outputs=6), "")
    assert [len(axes.lines) for axes in one] == [2, 2, 2]
    assert (one[2].get_yscale(), len(six.axes)) == ("log", 12)
    assert "the first 4 of 6 outputs" in texts(six)


def test_points_are_sorted_unknown_labels_are_dots_and_training_points_are_drawn():
    values, points, known = fit(), np.array([[0.0], [0.5]]), np.r_[:10, 20:60]
    values.f[10:20] = np.nan
    labels = np.array([[1.0], [np.nan]]), np.array([[[np.nan]], [[2.0]]])
    figure = fit_picture(values, "", points=points, labels=labels)
    value, derivative, error = figure.axes
    (x, y), known = value.lines[0].get_data(), np.sort(values.x[known, 0]).tolist()
    assert x[np.isfinite(y)].tolist() == error.lines[0].get_xdata().tolist() == known
    assert value.lines[1].get_xdata().tolist() == np.sort(values.x[:, 0]).tolist()
    assert markers(figure) == [".", "None", ".", "None", "None", ".", ".", "None"]
    for axes, expected in ((value, [1.0, np.nan]), (derivative, [np.nan, 2.0])):
        np.testing.assert_array_equal(axes.lines[-1].get_xydata(), np.stack([points[:, 0], expected], axis=1))
    assert texts(figure).count("training points") == 2
    values.df[:] = np.nan
    assert "$f'(x)$: no labels" in texts(fit_picture(values, ""))


def test_rows_of_a_table_are_dots_and_the_fit_is_a_line():
    """The line has the fit at the rows, of which two may have the same x, and between them, in order."""
    values, t = fit(n=20), np.linspace(-2, 2, 9)
    values.x[1::2] = values.x[::2]
    none = np.full((9, 1), np.nan)
    profile = Section(t[:, None], t[:, None] ** 2, 2 * t[:, None, None], none, none[..., None], t > 3)
    figure = fit_picture(values, "", profile)
    assert markers(figure) == [".", "None", ".", "None", ".", "."]
    x, y = figure.axes[0].lines[1].get_data()
    assert (np.diff(x) >= 0).all()
    order = np.argsort(np.concatenate([values.x[:, 0], t]), kind="stable")
    assert y.tolist() == np.concatenate([values.u[:, 0], t**2])[order].tolist()
    assert not figure.findobj(FillBetweenPolyCollection)
    bands = profile._replace(around=0 * t[:, None] + 0.1, around_du=0 * t[:, None, None] + 0.3)
    for axes, centre, half in zip(fit_picture(values, "", bands).axes, (t**2, 2 * t), (0.1, 0.3), strict=False):
        (one,) = axes.findobj(FillBetweenPolyCollection)
        assert edges(one) == pytest.approx(np.stack([centre - half, centre + half], 1))
        assert one.get_label() == "90 % interval"


@pytest.mark.parametrize("n", [20, 60])
def test_maps(n):
    """f and u have the same colours, few points are dots, and missing labels are left out."""
    values = fit(2, n=n)
    values.df[:5, 0] = np.nan
    values.df[5:, 0, 1] = np.nan
    figure = fit_picture(values, "", points=values.x[:7])
    maps = [axes.collections[0] for axes in figure.axes[:4]]
    assert [isinstance(one, TriMesh) for one in maps] == [n == 60] * 4
    expected = values.f[:, 0], values.u[:, 0], np.full(n, 0.1), np.full(n - 5, 0.1)
    for one, values_of_one in zip(maps, expected, strict=True):
        np.testing.assert_allclose(one.get_array(), values_of_one)
    assert (maps[0].norm.vmin, maps[0].norm.vmax) == (maps[1].norm.vmin, maps[1].norm.vmax)
    assert [len(axes.lines) for axes in figure.axes[:4]] == [1, 0, 1, 1]
    assert "circles: the 7 training points; the norm is that of the known partial derivatives" in texts(figure)


def test_a_map_is_an_image_in_a_vector_file():
    """Otherwise each triangle would take several elements: 2001 points took 24 MB."""
    figure, triangles = (fit_picture(fit(2, n=400), "") for _ in range(2))
    for axes in triangles.axes[:4]:
        axes.collections[0].set_rasterized(False)
    assert image(figure) == image(triangles)
    assert len(image(figure, "svg")) < 400_000 < 2_000_000 < len(image(triangles, "svg"))


def test_maps_of_an_exact_fit_to_points_on_a_line_without_derivatives():
    values = fit(2, offset=0.0)
    values.x[:, 1] = values.x[:, 0]
    values.df[:] = np.nan
    figure = fit_picture(values, "")
    assert not isinstance(figure.axes[0].collections[0], TriMesh)
    assert "no labels" in texts(figure)
    assert titles(figure)[2] == "|error of $f$|: 0 everywhere"


def test_predicted_against_true():
    """A partial without labels has no panel; the others are named, with their NRMSE."""
    values = fit(3)
    values.df[:10, 0, 2] = values.df[:, 0, 1] = np.nan
    figure = fit_picture(values, "")
    spread = values.f.std(), values.df[:, 0, 0].std(), values.df[10:, 0, 2].std()
    expected = ("$f$", "∂$f$/∂$x_{1}$", "∂$f$/∂$x_{3}$")
    assert titles(figure) == [f"{name}\nNRMSE {10 / s:.2g} %" for name, s in zip(expected, spread, strict=True)]
    upper, lower = figure.axes[2], figure.axes[5]
    np.testing.assert_array_equal(upper.lines[1].get_xydata(), np.stack([values.df[:, 0, 2], values.du[:, 0, 2]], 1))
    assert lower.lines[1].get_ydata()[10:] == pytest.approx(np.full(50, 0.1))


@pytest.mark.parametrize(("outputs", "drawn"), [(1, 11), (2, 7), (3, 3)])
def test_the_worst_partials_of_many(outputs, drawn):
    """The panels show the largest NRMSE first; inputs that hardly matter and constant partials come last."""
    values = fit(16, outputs)
    values = values._replace(du=values.df + 0.01 * np.arange(16))
    values.df[:, :, 15] = 0
    figure = fit_picture(values, "")
    order = np.argsort(-np.arange(15) / values.df[:, 0, :15].std(0))[:drawn]
    shown = [title.partition("\n")[0] for title in titles(figure)][1 : drawn + 1]
    assert [name[-3:-2].isdigit() for name in shown] == [True] * drawn
    assert shown == [f"∂{label}/∂$x_{{{d + 1}}}$" for label in ("$f$" if outputs == 1 else "$f_{1}$",) for d in order]
    assert f"the {drawn} of 16 partial derivatives with the largest NRMSE" in " ".join(texts(figure))


@pytest.mark.parametrize(("dimension", "outputs", "panels"), [(2, 1, 2), (3, 2, 6), (16, 1, 12), (6, 5, 16)])
def test_profiles(dimension, outputs, panels):
    """The tangents have the slope of the fit."""
    figure = profiles_picture(profiles(dimension, outputs), "", names(dimension), names(outputs, "f"))
    assert sum(bool(axes.lines) for axes in figure.axes) == panels
    curve, dots = figure.axes[0].lines
    assert curve.get_xdata().tolist() == np.linspace(-1, 1, 65).tolist()
    (tangents,) = (one for one in figure.axes[0].collections if isinstance(one, LineCollection))
    for (x0, y0), (x1, y1) in tangents.get_segments():
        assert (y1 - y0) / (x1 - x0) == pytest.approx(x0 + x1)
    assert len(dots.get_xdata()) == len(tangents.get_segments()) == 7
    assert len({axes.get_ylim() for axes in figure.axes if axes.lines}) == 1  # one scale


def test_profiles_have_the_formula_and_room_for_all_values():
    """A profile along which the formula is 0 shows that its fit is nearly 0."""
    flat = [one._replace(u=1e-3 * one.u, f=0 * one.u) for one in profiles(2, 1)]
    figure = profiles_picture(flat, "", names(2), ["f"], np.array([[-2.0], [np.nan], [3.0]]))
    for axes in figure.axes:
        assert (axes.lines[0].get_ydata() == 0).all()
        low, high = axes.get_ylim()
        assert (low <= -2, high >= 3) == (True, True)
    assert "blue: the formula" in " ".join(texts(figure))


@pytest.mark.parametrize("around", [1e-9, 0.5])
def test_profiles_with_intervals(around):
    """The derivative has a panel of its own; the size of the intervals is in the titles, and grey is outside."""
    figure = profiles_picture(profiles(2, 1, around), "", names(2), ["f"])
    value, other, slope, _ = figure.axes
    grey, one = value.findobj(FillBetweenPolyCollection)
    t = value.lines[0].get_xdata()
    assert edges(one) == pytest.approx(np.stack([t**2 - around, t**2 + around], 1))
    assert edges(slope.findobj(FillBetweenPolyCollection)[1])[:, 1] == pytest.approx(2 * t + 2 * around)
    assert titles(figure) == [f"90 % interval: ± {half:.2g}" for half in (around, around, 2 * around, 2 * around)]
    assert grey.get_datalim(value.transData).x0 > 0
    assert value.get_ylim() == other.get_ylim()
    assert "grey: outside the data" in " ".join(texts(figure))


def test_maps_with_intervals():
    figure = interval_maps(section(1, 0.1), "", names(2), ["f"], fit(2).x)
    assert titles(figure) == [
        "fit of $f$",
        "$f$, 90 % interval: ± 0.1 to 0.2",
        r"norm of $\nabla$$f$, 90 % interval: ± 0.5 to 1",
    ]
    norm = 5 * section(1, 0.1).around[:, 0]
    np.testing.assert_allclose(figure.axes[2].collections[0].get_array(), np.maximum(norm, np.quantile(norm, 0.01)))
    assert "hatched: outside the data" in " ".join(texts(figure))


@pytest.mark.parametrize("values", [[0.1], [0.0] * 5, [float("nan"), float("inf")] * 3, [1e-300] * 5])
def test_the_switch_is_marked_in_curves_of_any_value(values):
    figure = curves_picture(history(len(values), values=values), 3, 3, ["f"], "")
    draw(figure)
    dashed = [sum(line.get_linestyle() == "--" for line in axes.lines) for axes in figure.axes]
    assert dashed == [1, 1, 1, 1, 0]  # the last axes are the scale of the cosine


def test_curves_join_known_values_above_zero_and_mark_the_best_weights():
    nan = float("nan")
    axes = curves_picture(history(6) | {"grad_norm/f": [nan, 0.1, nan, 0.3, 0.0, 0.5]}, 1, 3, ["f"], "").axes
    np.testing.assert_array_equal(axes[3].lines[0].get_xydata(), [[1, 0.1], [3, 0.3], [5, 0.5]])
    (mark,) = (line for line in axes[0].lines if line.get_label() == "best weights")
    np.testing.assert_array_equal(mark.get_xydata(), [[3, 0.1]])


@pytest.mark.parametrize(
    ("parts", "outputs", "expected", "lines"),
    [
        (("left", "right"), ["f"], "validation MSE$_{df}$ by region", 2),
        (names(12, "f"), names(12, "f"), "validation MSE$_{df}$ by output (first 8 of 12)", 8),
        ((), ["f"], "validation NRMSE, without units", 2),
    ],
)
def test_the_third_panel_has_regions_or_outputs_or_the_errors_without_units(parts, outputs, expected, lines):
    figure = curves_picture(history(5, parts=parts), None, None, outputs, "")
    assert (figure.axes[2].get_ylabel(), len(figure.axes[2].lines)) == (expected, lines)
    assert not [line for axes in figure.axes for line in axes.lines if line.get_linestyle() == "--"]


@pytest.mark.parametrize(("dimension", "panels"), [(1, 3), (2, 4), (9, 8)])
def test_points(dimension, panels):
    """Points of one input are strokes from placement to move; the densities have an area of 1."""
    columns = moved(dimension)
    figure = points_picture(columns, history(21), "")
    shown = [axes for axes in figure.axes if axes.axison]
    assert len(shown) == panels
    x, steps = columns["x" if dimension == 1 else "x1"], columns["step"]
    if dimension == 1:
        (strokes,) = (one for one in shown[0].collections if isinstance(one, LineCollection))
        expected = [[[x, s], [x, 10 if s == 0 else 20]] for x, s in zip(x, steps, strict=True)]
        np.testing.assert_array_equal(strokes.get_segments(), expected)
    else:
        np.testing.assert_array_equal(shown[0].lines[0].get_xydata(), np.stack([x, columns["x2"]], 1)[:30])
    for axes in shown[1:-1]:
        for density in axes.patches:
            values, edges, _ = density.get_data()
            assert (values * np.diff(edges)).sum() == pytest.approx(1)
    assert shown[-1].lines[0].get_ydata().tolist() == [0.1] * 21


def test_settings_of_matplotlib_beside_a_run_have_no_effect():
    """Such as those of a file `matplotlibrc` in the working directory, by which LaTeX would run."""
    plain = image(curves_picture(history(3), None, None, (), "t"))
    with matplotlib.rc_context({"text.usetex": True, "font.size": 30, "axes.facecolor": "red", "savefig.dpi": 10}):
        assert image(curves_picture(history(3), None, None, (), "t")) == plain
