import io

import numpy as np
import pytest
from PIL import Image

from runge.records.panels import BLUE, ORANGE, png, ticks
from runge.records.pictures import curves_picture, fit_picture, points_picture


def fit(dimension=1, offset=0.1, scale=1.0, title="title"):
    x = np.linspace(-1, 1, 50)[:, None] * np.ones(dimension)
    f, df = scale * x[:, 0] ** 2, scale * 2 * x
    return fit_picture(x, f, df, f + offset, df + offset, {"left": x[:, 0] < -0.8, "middle": x[:, 0] >= -0.8}, title)


def columns(rows, value=0.1):
    keys = ["train/loss", "val/loss", "grad_norm/f", "grad_norm/df", "grad_cosine", "val/mse_df/left"]
    keys += [f"{split}/{name}" for split in ("train", "val") for name in ("mse_f", "mse_df")]
    return {"step": list(range(rows))} | {key: [value] * rows for key in keys}


def curves(rows=5, switched_on=3, value=0.1, title="title"):
    return curves_picture(columns(rows, value), switched_on, ["left"], title)


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("offset", [0.0, 0.1, 1e20])
@pytest.mark.parametrize("scale", [0.0, 1e-9, 1.0, 1e12])
def test_fit_picture(dimension, offset, scale):
    figure = fit(dimension, offset, scale)
    assert len(figure.axes) == 3
    assert all(len(axes.lines) == 2 for axes in figure.axes)
    assert png(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_curves_picture_marks_the_switch(rows):
    marked, plain = (curves(rows, at) for at in (3, None))
    assert png(marked).startswith(b"\x89PNG")
    dashed = [[sum(line.get_linestyle() == "--" for line in axes.lines) for axes in x.axes] for x in (marked, plain)]
    assert dashed == [[1] * 4, [0] * 4]


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf"), 1e-300, 1e20])
def test_curves_picture_takes_any_value(value):
    assert png(curves(value=value)).startswith(b"\x89PNG")


def test_curves_picture_joins_known_values():
    gaps = columns(6) | {"grad_norm/f": [float("nan"), 0.1, float("nan"), 0.3, 0.0, 0.5]}
    line = curves_picture(gaps, None, ["left"], "title").axes[3].lines[0]
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
    assert list(labels.values()) == [name.replace("-", "\N{MINUS SIGN}") for name in names]
    assert all(0 <= share <= 1 for share in labels)


def test_ticks_skip_powers_where_there_are_many():
    assert 4 < len(ticks(1e-12, 1e20, log=True)) < 9


def test_points_are_strokes_from_placement_to_move():
    before, after = np.array([[-1.0], [0.0], [1.0]]), np.array([[-1.0], [0.9], [1.0]])
    shares = {"left": (np.array([10.0, 20.0]), np.array([0.3, 0.2])), "right": (np.array([10.0]), np.array([0.5]))}
    figure = points_picture([0, 10], [before, after], shares, 20, "title")
    strokes, density, share = figure.axes
    (line,) = strokes.lines
    assert line.get_xdata().reshape(-1, 3)[:, 0].tolist() == [-1.0, 0.0, 1.0, -1.0, 0.9, 1.0]
    np.testing.assert_array_equal(line.get_ydata().reshape(-1, 3), [[0, 10, np.nan]] * 3 + [[10, 20, np.nan]] * 3)
    for one in density.lines:  # each encloses an area of 1
        x, y = one.get_data()
        assert np.trapezoid(y, x) == pytest.approx(1)
    assert [one.get_ydata().tolist() for one in share.lines] == [[0.3, 0.2], [0.5]]
    assert png(figure).startswith(b"\x89PNG")
    plane = points_picture([0], [np.random.default_rng(0).random((30, 2))], {}, 20, "")
    assert len(plane.axes[0].lines[0].get_xdata()) == 30
