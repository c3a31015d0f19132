import io

import numpy as np
import pytest
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.lines import Line2D
from PIL import Image
from runge.runs.pictures import curves_picture, fit_picture, points_picture
from runge.runs.profiles import profiles_picture
from runge.runs.scales import MINUS, padded, scaled, ticks
from runge.runs.sheet import BLUE, ORANGE, png


def arrays(dimension=1, outputs=1, n=50, scale=1.0, offset=0.1):
    """Return the points, and the values and gradients of scale |x|^2 and of a fit that is off by `offset`."""
    x = np.random.default_rng(0).uniform(-1, 1, (n, dimension))
    if dimension == 1:
        x.sort(0)
    f = scale * np.repeat((x**2).sum(1, keepdims=True), outputs, 1)
    df = scale * np.repeat(2 * x[:, None], outputs, 1)
    return x, f, df, f + offset, df + offset


def fit(dimension=1, offset=0.1, scale=1.0, title="title", count=1, **names):
    x, *rest = arrays(dimension, count, scale=scale, offset=offset)
    return fit_picture(x, *rest, {"left": x[:, 0] < -0.8, "middle": x[:, 0] >= -0.8}, title, **names)


def texts(figure):
    return figure.get_label().split("\n")


def artists(figure, kind):
    """Return the artists of a kind in each panel that has some."""
    found = {}
    for artist in figure.artists:
        if isinstance(artist, kind) and artist.get_gid():
            found.setdefault(artist.get_gid(), []).append(artist)
    return list(found.values())


def lines(figure):
    return artists(figure, Line2D)


def maps(figure):
    """Return the artists of maps, without those of their colour bars."""
    found = [artist for panel in artists(figure, ScalarMappable) for artist in panel]
    return [artist for artist in found if artist.get_array().shape != (256, 1)]


def columns(rows, value=0.1):
    keys = ["train/loss", "val/loss", "grad_norm/f", "grad_norm/df", "grad_cosine", "val/mse_df/left"]
    keys += [f"{split}/{name}" for split in ("train", "val") for name in ("mse_f", "mse_df")]
    return {"step": list(range(rows))} | {key: [value] * rows for key in keys}


def curves(rows=5, switched_on=3, value=0.1, title="title"):
    return curves_picture(columns(rows, value), switched_on, ["left"], title)


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


@pytest.mark.parametrize("offset", [0.0, 0.1, 1e20])
@pytest.mark.parametrize("scale", [0.0, 1e-9, 1.0, 1e12])
def test_fit_picture(offset, scale):
    figure = fit(1, offset, scale)
    assert [len(panel) for panel in lines(figure)] == [2, 2, 2]
    assert png(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize(("offset", "scale"), [(0.0, 0.0), (0.0, 1e-9), (1e-12, 1e9), (1e20, 1.0)])
def test_pictures_of_several_inputs_take_any_value(dimension, offset, scale):
    assert png(fit(dimension, offset, scale)).startswith(b"\x89PNG")


def test_names_of_a_letter_are_those_of_a_function():
    assert png(fit()) == png(fit(inputs=["x"], outputs=["f"])) != png(fit(inputs=["t"], outputs=["f"]))
    with pytest.raises(ValueError, match="2 inputs and 1 outputs have the names"):
        fit(2, inputs=["x"])


def test_a_row_of_panels_for_each_output():
    figure = fit(1, count=3)
    assert [len(panel) for panel in lines(figure)] == [2] * 9
    assert len(lines(fit(1, count=6))) == 12
    assert png(fit(1, count=6, title="")) != png(fit(1, count=4, title=""))  # a note


def test_points_over_x_are_sorted_and_unknown_labels_are_dots():
    x, f, df, u, du = arrays()
    f[10:20] = np.nan
    order = np.random.default_rng(1).permutation(len(x))
    value, derivative, error = lines(fit_picture(x[order], *(part[order] for part in (f, df, u, du)), {}, ""))
    known = np.delete(x[:, 0], slice(10, 20))
    np.testing.assert_array_equal(value[0].get_xdata(), known)
    np.testing.assert_array_equal(value[1].get_xdata(), x[:, 0])
    np.testing.assert_array_equal(error[0].get_xdata(), known)
    assert [line.get_marker() for line in (*value, *derivative)] == [".", "None", "None", "None"]


def test_rows_of_a_table_are_dots_and_the_fit_is_a_line():
    """Rows repeat x, and their labels have noise; the line has the fit at the rows and between them, in order."""
    x, f, df, u, du = arrays(n=20)
    x[1::2] = x[::2]
    f[1::2] += 1
    t = np.linspace(-2, 2, 9)
    profile = t, np.stack([t**2 + 0.1], 1), np.stack([2 * t + 0.1], 1)
    nodes = np.array([[-2.0], [0.5], [2.0]])
    figure = fit_picture(x, f, df, u, du, {}, "", points=nodes, profile=profile)
    (labels, line, strokes), derivative, errors = lines(figure)
    assert [one.get_marker() for one in (labels, strokes, *derivative, *errors)] == [".", "|", ".", "None", ".", "."]
    assert "| training points" in texts(figure)
    np.testing.assert_array_equal(strokes.get_xdata(), nodes[:, 0])
    assert strokes.get_ydata().max() < min(f.min(), u.min())
    for one, part, between in ((line, u[:, 0], profile[1]), (derivative[1], du[:, 0, 0], profile[2])):
        assert one.get_linestyle() == "-"
        assert (np.diff(one.get_xdata()) >= 0).all()
        drawn, given = [x[:, 0], part], [t, between[:, 0]]
        assert sorted(map(tuple, one.get_xydata())) == sorted(zip(*np.hstack([drawn, given]), strict=True))
    low, high = np.array(line.get_transform().inverted().transform(figure.dpi_scale_trans.transform([[0, 0], [11, 0]])))
    assert low[0] < -2 < 2 < high[0]


def test_the_legend_says_that_there_are_no_labels():
    x, f, df, u, du = arrays()
    known, unknown = (texts(fit_picture(x, f, part, u, du, {}, "")) for part in (df, np.nan * df))
    assert [[text for text in shown if "no labels" in text] for shown in (known, unknown)] == [
        [],
        ["• $f'(x)$: no labels", "• $|u' - f'|$: no labels"],
    ]


def grid(n=12):
    across, up = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 2, n + 1), indexing="ij")
    x = np.stack([across.ravel(), up.ravel()], 1)
    f, df = (x[:, 0] * x[:, 1] ** 2)[:, None], np.stack([x[:, 1] ** 2, 2 * x[:, 0] * x[:, 1]], 1)[:, None]
    return x, f, df, f + 0.1 * x[:, :1], df + np.array([0.3, 0.4])


def test_maps_of_a_grid():
    """The cells hold f, u, |u - f| = 0.1 x1 and |grad u - grad f| = 0.5; f and u share their colours."""
    x, f, df, u, du = grid()
    figure = fit_picture(x, f, df, u, du, {}, "", points=x[:5])
    meshes = maps(figure)
    rows = np.lexsort(x.T)
    expected = f[:, 0], u[:, 0], np.maximum(0.1 * x[:, 0], meshes[2].norm.vmin), np.full(len(x), 0.5)
    for mesh, z in zip(meshes, expected, strict=True):
        np.testing.assert_allclose(np.ravel(mesh.get_array()), z[rows], rtol=1e-12)
    assert meshes[0].norm is meshes[1].norm
    assert meshes[2].norm.vmax == pytest.approx(0.1)
    np.testing.assert_array_equal(lines(figure)[0][0].get_xydata(), x[:5])
    assert {"$x_{1}$", "$x_{2}$", "$|u - f|$", "Circles: the 5 training points."} <= set(texts(figure))
    shuffled = np.random.default_rng(0).permutation(len(x))
    again = fit_picture(x[shuffled], *(part[shuffled] for part in (f, df, u, du)), {}, "", points=x[:5])
    assert png(again) == png(figure)


def test_maps_of_scattered_points():
    """Points between which is interpolated linearly, whatever their units; few, or points on a line, are dots."""
    x = arrays(2, n=200)[0]
    f, df = x @ [[1.0, 0.0], [2.0, 3.0]] + 0.5, np.repeat([[[1.0, 2.0], [0.0, 3.0]]], 200, 0)
    u, du = f + 0.1, df + 0.1
    df[::2, :, 0], f[:7, 1] = np.nan, np.nan
    figure = fit_picture(x, f, df, u, du, {}, "", ["tau", "T in $"], ["yield", "heat"])
    assert {"tau", r"T in \$", "fit of heat", r"|error of $\nabla$yield|"} <= set(texts(figure))
    images = [image.get_array() for image in maps(figure)]
    assert len(images) == 8
    (low, high), pixels = np.array([padded(x[:, d], pad=0.02) for d in range(2)]).T, images[0].shape
    across, up = (low[d] + (np.arange(n) + 0.5) / n * (high - low)[d] for d, n in enumerate(reversed(pixels)))
    known = ~images[0].mask
    assert 0.8 < known.mean() < 1
    np.testing.assert_allclose(images[0][known], (across + 2 * up[:, None] + 0.5)[known], atol=1e-9)
    np.testing.assert_allclose(
        images[5][~images[5].mask], (3 * up[:, None] + 0.6 + 0 * across)[~images[5].mask], atol=1e-9
    )
    np.testing.assert_allclose(images[2][known], 0.1)
    assert images[3].min() == pytest.approx(0.1)
    assert images[3].max() == pytest.approx(0.1 * 2**0.5)  # where both partial derivatives are known
    _, *curved = arrays(2, n=200)
    one, other = (maps(fit_picture(x * scale, *curved, {}, ""))[0].get_array() for scale in (1, [1, 1e6]))
    assert (one.mask == other.mask).all()
    np.testing.assert_allclose(other[~one.mask], one[~one.mask])
    line = np.linspace(0, 1, 60)[:, None] * [1, 1]
    for few in (x[:3], line):
        part = fit_picture(few, *(part[: len(few)] for part in (f, df, u, du)), {}, "")
        assert {type(dots).__name__ for dots in maps(part)} == {"CircleCollection"}
        assert png(part).startswith(b"\x89PNG")


def test_a_map_has_the_colours_of_its_colour_map():
    picture = pixels(png(fit_picture(*grid(), {}, "")))
    assert (picture == [253, 231, 37]).all(-1).any()  # the brightest of viridis
    assert (picture == [68, 1, 84]).all(-1).any()  # the darkest


def test_predicted_against_true():
    """A panel for f and each partial, with the residuals below; NRMSE = 0.1 / std."""
    x, f, df, u, du = arrays(3)
    df[:, 0, 1] = np.nan
    df[:10, 0, 2] = np.nan
    figure = fit_picture(x, f, df, u, du, {}, "", ["a1", "temperature", "c"])
    accuracy = [f"NRMSE {10 / part.std():.2g} %" for part in (f, df[:, 0, 0], df[10:, 0, 2])]
    names = ["$f$", "∂$f$/∂$a_{1}$", "∂$f$/∂$c$"]
    shown = [text for text in texts(figure) if text in names or text.startswith("NRMSE ")]
    assert shown == [text for pair in zip(names, accuracy, strict=True) for text in pair]
    diagonal, points = lines(figure)[4]
    np.testing.assert_array_equal(*diagonal.get_xydata().T)
    np.testing.assert_array_equal(points.get_xydata(), np.stack([df[10:, 0, 2], du[10:, 0, 2]], 1))
    np.testing.assert_allclose(lines(figure)[5][1].get_ydata(), 0.1)
    assert "Partial derivatives without labels, not drawn: 1." in " ".join(texts(figure))


def test_the_worst_partials_of_many():
    """Of 16 partials the eleven with the largest normalised errors are drawn; of 5 outputs four with three each."""
    x, f, df, u, du = arrays(16)
    du = df + 0.01 * np.arange(16)
    figure = fit_picture(x, f, df, u, du, {}, "")
    names = [text for text in texts(figure) if "$f$" in text]
    order = np.argsort(-np.arange(16) / df[:, 0].std(0))[:11]
    assert names == ["$f$", *(f"∂$f$/∂$x_{{{d + 1}}}$" for d in order)]
    assert "the 11 of 16 partial derivatives with the largest NRMSE" in texts(figure)
    many = fit(5, count=5)
    assert len(lines(many)) == 2 * 16
    note = "the first 4 of 5 outputs; the 3 of 5 partial derivatives per output with the largest NRMSE"
    assert note in texts(many)


@pytest.mark.parametrize("error", [0.0, 0.1])
def test_partials_that_are_constant_come_last(error):
    """Of y's four partials three are zero and have no NRMSE: the one that varies is drawn, and leads."""
    x, f, df, u, _ = arrays(4, 3)
    df[..., [0, 1, 3]] = 0
    figure = fit_picture(x, f, df, u, df + error * np.array([1, 2, 1, 3]), {}, "", outputs=["a", "y", "c"])
    names = [text for text in texts(figure) if text.startswith("∂$y$")]
    assert names == [f"∂$y$/∂$x_{{{d}}}$" for d in ((3, 4, 2) if error else (3, 1, 2))]


def test_no_point_is_drawn_over_the_accuracy():
    """The texts of a panel are above its box, one above the other, whatever is drawn inside."""
    figure = fit(3)
    artist = next(artist for artist in figure.artists if isinstance(artist, PathCollection) and not artist.get_gid())
    heights = dict(zip(texts(figure), np.asarray(artist.get_offsets())[:, 1], strict=True))
    top = lines(figure)[0][0].get_clip_box().y1 / figure.dpi * 72
    (accuracy,) = {height for text, height in heights.items() if text.startswith("NRMSE ") and "%" in text}
    assert top < accuracy < heights["∂$f$/∂$x_{1}$"] - 9


def test_no_circles_hide_that_there_are_no_labels():
    x, f, df, u, du = grid()
    known, unknown = (fit_picture(x, f, part, u, du, {}, "", points=x[:5]) for part in (df, np.nan * df))
    assert ["no labels" in texts(figure) for figure in (known, unknown)] == [False, True]
    assert [len(lines(figure)) for figure in (known, unknown)] == [3, 2]


def test_of_many_points_the_worst_are_drawn():
    x, f, df, u, du = arrays(3, n=20_000)
    u[777] += 5
    figure = fit_picture(x, f, df, u, du, {}, "")
    drawn = lines(figure)[0][1].get_xydata()
    assert len(drawn) <= 3000
    assert (drawn == [f[777, 0], u[777, 0]]).all(1).any()
    assert "At most 3000 of 20000 points per panel" in " ".join(texts(figure))


@pytest.mark.parametrize(("dimension", "outputs", "panels"), [(2, 1, 2), (3, 2, 6), (16, 1, 12), (6, 5, 16)])
def test_profiles(dimension, outputs, panels):
    """Along input d the fit is t^2 + d; the tangents have its slope 2 t."""
    t = np.linspace(-1, 1, 65)
    ones = np.ones((1, outputs))
    profiles = [(t, (t[:, None] ** 2 + d) * ones, 2 * t[:, None] * ones) for d in range(dimension)]
    figure = profiles_picture(profiles, "title", points=np.zeros((3, dimension)))
    assert len(lines(figure)) == panels
    curve, dots, strokes = lines(figure)[0]
    np.testing.assert_array_equal(curve.get_xdata(), t)
    ((tangents,), *_) = artists(figure, LineCollection)
    for (x0, y0), (x1, y1) in tangents.get_segments():
        assert (y1 - y0) / (x1 - x0) == pytest.approx(x0 + x1)
    assert len(dots.get_xdata()) == len(tangents.get_segments()) == 7
    assert len(strokes.get_xdata()) == 3
    ends = [panel[0].get_transform().transform([(0, 0), (0, 1)])[:, 1] for panel in lines(figure)]
    assert len({round(high - low, 6) for low, high in ends}) == 1  # one scale
    assert png(figure).startswith(b"\x89PNG")


def test_errors_of_zero_are_drawn():
    x, f, df, _, du = arrays()
    assert png(fit_picture(x, f, df, f, du, {}, "")).startswith(b"\x89PNG")
    assert png(fit_picture(x, f, df, f, df, {}, "")).startswith(b"\x89PNG")


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_curves_picture_marks_the_switch(rows):
    marked, plain = (curves(rows, at) for at in (3, None))
    assert png(marked).startswith(b"\x89PNG")
    dashed = [[sum(line.get_linestyle() == "--" for line in panel) for panel in lines(x)] for x in (marked, plain)]
    assert dashed == [[1, 1, 1, 1, 0], [0] * 5]  # the last panel is the scale of the cosine


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf"), 1e-300, 1e20])
def test_curves_picture_takes_any_value(value):
    assert png(curves(value=value)).startswith(b"\x89PNG")


def test_curves_picture_joins_known_values():
    gaps = columns(6) | {"grad_norm/f": [float("nan"), 0.1, float("nan"), 0.3, 0.0, 0.5]}
    line = lines(curves_picture(gaps, None, ["left"], "title"))[3][0]
    np.testing.assert_array_equal(line.get_xydata(), [[1, 0.1], [3, 0.3], [5, 0.5]])


@pytest.mark.parametrize("draw", [fit, curves])
def test_a_picture_depends_on_its_arguments_alone(draw):
    figure = draw()
    first = png(figure)
    for other in (fit(2), fit(1, 1e5, title="another"), curves(9, None, 1e-7), draw(title="$x^2$")):
        assert png(other) != first
    assert png(draw()) == png(figure) == first


def test_a_picture_is_white_and_has_the_inks():
    picture = pixels(png(curves()))
    assert (picture[[0, -1]] == 255).all()
    for ink in (BLUE, ORANGE):
        wanted = [int(ink[i : i + 2], 16) for i in (1, 3, 5)]
        assert (picture == wanted).all(axis=-1).any()


@pytest.mark.parametrize(
    ("low", "high", "log", "names"),
    [
        (-1, 1, False, ["-1", "-0.5", "0", "0.5", "1"]),
        (0, 8160, False, ["0", "2000", "4000", "6000", "8000"]),
        (-2.2e21, 1.1e21, False, ["-2×10²¹", "-1.5×10²¹", "-10²¹", "-5×10²⁰", "0", "5×10²⁰", "10²¹"]),
        (2e-7, 3e-4, True, ["10⁻⁶", "10⁻⁵", "10⁻⁴"]),
        (-1e-3, 2.2e-3, False, ["-10⁻³", "-5×10⁻⁴", "0", "5×10⁻⁴", "10⁻³", "1.5×10⁻³", "2×10⁻³"]),
        (4e-4, 1.1e-2, True, ["5×10⁻⁴", "10⁻³", "2×10⁻³", "5×10⁻³", "10⁻²"]),
        (0.04, 3, True, ["0.05", "0.1", "0.2", "0.5", "1", "2"]),
        (0.29, 0.41, True, ["0.3", "0.32", "0.34", "0.36", "0.38", "0.4"]),
    ],
)
def test_ticks_are_few_and_round(low, high, log, names):
    labels = ticks(low, high, log)
    assert list(labels.values()) == [name.replace("-", MINUS) for name in names]
    assert all(0 <= share <= 1 for share in labels)


def test_labels_of_a_narrow_range_are_short():
    label, at = scaled("f", (1000 - 1.1e-4, 1000 + 1.1e-4), 4)
    assert (label.replace(MINUS, "-"), [*at.values()]) == ("(f - 1000) / 10⁻⁶", [f"{MINUS}100", "0", "100"])
    assert scaled("f", (-5.0001, -4.9999), 4)[0] == "(f + 5) / 10⁻⁶"
    assert scaled("f", (-2e6, 1e6), 4)[0] == "f / 10⁶"
    label, at = scaled("t", (1234567890.0, 1234567899.0), 8)
    assert (label.replace(MINUS, "-"), [*at.values()]) == ("t - 1.23456789×10⁹", ["0", "2", "4", "6", "8"])


def overlaps(figure):
    """Return whether two texts of a picture cover each other."""
    artist = next(artist for artist in figure.artists if isinstance(artist, PathCollection) and not artist.get_gid())
    ends = [
        (place + path.vertices.min(0), place + path.vertices.max(0))
        for path, place in zip(artist.get_paths(), np.asarray(artist.get_offsets()), strict=True)
    ]
    return any(
        (np.maximum(low, other_low) < np.minimum(high, other_high)).all()
        for i, (low, high) in enumerate(ends)
        for other_low, other_high in ends[:i]
    )


@pytest.mark.parametrize(
    ("start", "width", "name", "numbers"),
    [
        (1.7e9, 3600, "t - 1.7×10⁹", ["0", "1000", "2000", "3000"]),
        (0, 600_000, "t / 10³", ["0", "100", "200", "300", "400", "500", "600"]),
        (-5e-5, 1e-4, "t / 10⁻⁶", ["-40", "-20", "0", "20", "40"]),
        (0, 20_000, "t", ["0", "5000", "10000", "15000", "20000"]),
    ],
)
def test_long_numbers_have_an_offset_or_a_unit(start, width, name, numbers):
    """The numbers of t are exact and short in curves over it, and no picture has one text over another."""
    t, ones = start + width * np.linspace(0, 1, 50), np.ones((50, 1))
    rest = (ones * t[:, None], ones[..., None], ones * t[:, None], ones[..., None])
    figures = [fit_picture(t[:, None], *rest, {}, "", ["t"], ["t"])]
    plane = np.stack([t, np.random.default_rng(0).permutation(t)], 1)
    shares = {"left": (np.array([0.0, 10.0]), np.array([0.3, 0.2]))}
    figures += [points_picture([0], [t[:, None]], shares, 10, "", ["t"])]
    figures += [points_picture([0], [plane], shares, 10, "", ["t", "s"])]
    figures += [fit_picture(plane, rest[0], np.ones((50, 1, 2)), rest[2], np.ones((50, 1, 2)), {}, "", ["t", "s"])]
    figures += [profiles_picture([(t, t[:, None], ones)] * 2, "", ["t", "s"])]
    slopes = np.ones((50, 1, 3))
    figures += [fit_picture(plane[:, [0, 1, 1]], rest[0], slopes, rest[2] + width / 99, slopes, {}, "")]
    assert not any(map(overlaps, figures))
    shown = [text.replace(MINUS, "-").replace("$t$", "t") for text in texts(figures[0])]
    assert {name, *numbers} <= {*shown}


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [[], [1e-300], [2.3e-308, 1e300], [3.0, 3.0], [2.0, 5.0, np.nan]])
def test_limits_are_beside_the_values(values, log):
    values = np.array(values)
    low, high = padded(values, log)
    assert low < high
    assert ((low < values) & (values < high) | np.isnan(values)).all()
    assert not log or low > 0


def test_ticks_skip_powers_where_there_are_many():
    assert 4 < len(ticks(1e-12, 1e20, log=True)) < 9


def test_points_are_strokes_from_placement_to_move():
    before, after = np.array([[-1.0], [0.0], [1.0]]), np.array([[-1.0], [0.9], [1.0]])
    shares = {"left": (np.array([10.0, 20.0]), np.array([0.3, 0.2])), "right": (np.array([10.0]), np.array([0.5]))}
    figure = points_picture([0, 10], [before, after], shares, 20, "title")
    (line,), density, share = lines(figure)
    assert line.get_xdata().reshape(-1, 3)[:, 0].tolist() == [-1.0, 0.0, 1.0, -1.0, 0.9, 1.0]
    np.testing.assert_array_equal(line.get_ydata().reshape(-1, 3), [[0, 10, np.nan]] * 3 + [[10, 20, np.nan]] * 3)
    for one in density:  # each encloses an area of 1
        x, y = one.get_data()
        assert np.trapezoid(y, x) == pytest.approx(1)
    assert [one.get_ydata().tolist() for one in share] == [[0.3, 0.2], [0.5]]
    assert png(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("dimension", "shares", "panels"), [(2, {}, 3), (2, {"inner": 1}, 4), (3, {}, 4), (9, {"a": 1}, 8)]
)
def test_points_of_several_inputs(dimension, shares, panels):
    """The last input has moved most, by a shrinking; both densities have an area of 1."""
    before = np.random.default_rng(0).random((30, dimension))
    after = before * np.linspace(1, 0.1, dimension)
    shares = {name: (np.array([0.0, 10.0]), np.array([0.3, 0.2])) for name in shares}
    figure = points_picture([0, 10], [before, after], shares, 20, "")
    assert len(lines(figure)) == panels
    start, end = lines(figure)[0]
    np.testing.assert_array_equal(start.get_xydata(), before[:, :2])
    np.testing.assert_array_equal(end.get_xydata(), after[:, :2])
    for line in lines(figure)[panels - 1 - len(shares)]:
        x, y = line.get_data()
        assert np.trapezoid(y, x) == pytest.approx(1)
    assert lines(figure)[panels - 1 - len(shares)][1].get_ydata()[-1] == 0
    assert png(figure).startswith(b"\x89PNG")


def test_errors_without_units_take_the_place_of_groups():
    known = columns(5) | {f"val/nrmse_{kind}": [0.1 * (i + 1)] * 5 for i, kind in enumerate(("f", "df"))}
    figure = curves_picture(known, None, [], "", by="output")
    assert [line.get_ydata()[-1] for line in lines(figure)[2]] == [0.1, 0.2]


def test_a_legend_of_many_outputs_is_wrapped():
    names = [f"concentration {i}" for i in range(12)]
    known = columns(5) | {f"val/mse_df/{name}": [0.1 * (i + 1)] * 5 for i, name in enumerate(names)}
    few, many = (curves_picture(known, None, names[:n], "", by="output") for n in (2, 12))
    assert [len(lines(figure)[2]) for figure in (few, many)] == [2, 8]
    assert len({line.get_color() for line in lines(many)[2]}) == 8
    assert many.get_figheight() > few.get_figheight()
    assert png(many).startswith(b"\x89PNG")
