import numpy as np
import pytest

from runge.plotting import curves_figure, fit_figure, png


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("offset", [0.0, 0.1])
def test_fit_figure(dimension, offset):
    x = np.linspace(-1, 1, 50)[:, None] * np.ones(dimension)
    f, df = x[:, 0] ** 2, 2 * x
    figure = fit_figure(x, f, df, f + offset, df + offset, {"left": x[:, 0] < -0.8, "middle": x[:, 0] >= -0.8}, "title")
    assert len(figure.axes) == 3
    assert all(axes.get_xlabel() and axes.get_ylabel() for axes in figure.axes)
    assert png(figure).startswith(b"\x89PNG")


def columns(rows):
    keys = ["train/loss", "val/loss", "grad_norm/f", "grad_norm/df", "grad_cosine", "val/mse_df/left"]
    keys += [f"{split}/{name}" for split in ("train", "val") for name in ("mse_f", "mse_df")]
    return {"step": list(range(rows))} | {key: [0.1] * rows for key in keys}


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_curves_figure_marks_the_switch(rows):
    marked, plain = (curves_figure(columns(rows), at, ["left"], "title") for at in (3, None))
    assert png(marked).startswith(b"\x89PNG")
    dashed = [sum(line.get_linestyle() == "--" for line in figure.axes[0].lines) for figure in (marked, plain)]
    assert dashed == [1, 0]


def test_pictures_are_reproducible():
    assert png(curves_figure(columns(5), 3, ["left"], "t")) == png(curves_figure(columns(5), 3, ["left"], "t"))
