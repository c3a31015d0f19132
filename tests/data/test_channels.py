"""The points of a table's rows, and the weights and sizes of their channels."""

import numpy as np
import pytest
import torch

from runge.data.channels import Channels, channel_weights, deviation, relevance, row_points
from runge.data.fit_errors import FitErrors
from runge.data.rows import Rows
from runge.data.table import Table
from runge.sobolev.accuracy import Reference, errors, partial_errors
from runge.sobolev.points import Points

NAN = np.nan


@pytest.mark.parametrize(
    ("dydx", "weights", "relevances"),
    [
        # A small partial derivative weighs at most ten times the mean.
        ([[[3, 1e-3, 2e-16, 0]], [[4, 2e-3, -1e-16, 0]]], [1, 1 / 12.5, *[40 / (12.5 + 2.5e-6)] * 3], [1, 2e-7**0.125]),
        # An input matters as much as for the output for which it matters most, or for one that has no derivative by it.
        ([[[1, 0.01], [0, 1e8]]] * 2, None, [1, 1]),
        ([[[1, NAN], [1, 0.01]]] * 2, None, [1, 1]),
        ([[[0, 0], [0, 0]]] * 2, [[1, 1, 1], [1, 1, 1]], [1, 1]),
        # A partial derivative that is known in some rows counts by these.
        ([[[3, NAN]], [[NAN, NAN]]], [1, 1 / 9, 1], [1, 1]),
    ],
)
def test_weights_and_relevance(dydx, weights, relevances):
    dydx = np.array(dydx, float)
    _, outputs, dimension = dydx.shape
    points = row_points(np.zeros((2, dimension)), np.ones((2, outputs)), dydx, list("ab")[:outputs])
    if weights is not None:
        expected = torch.tensor(weights).double().reshape(1, outputs, 1 + dimension)
        torch.testing.assert_close(channel_weights(points), expected, rtol=1e-6, atol=0)
    expected = [relevances + [0.03] * (dimension - len(relevances))]
    torch.testing.assert_close(relevance(points), torch.tensor(expected).double(), rtol=1e-6, atol=0)


def table(outputs="ab", n=40, dimension=3):
    """Rows some of whose labels are not known, and the values and derivatives of a fit."""
    chance = np.random.default_rng(0)
    x, scales = chance.normal(size=(n, dimension)) * [1, 10, 1e-3][:dimension], 10.0 ** np.arange(len(outputs))
    y, u = chance.normal(size=(2, n, len(outputs))) * scales
    dydx, du = chance.normal(size=(2, n, len(outputs), dimension)) * scales[:, None] / [1, 10, 1e-3][:dimension]
    y[3:9, 0], dydx[5:20, -1, 1] = np.nan, np.nan
    inputs = [f"x{d}" for d in range(dimension)]
    return Rows.of((x, y, dydx), inputs, tuple(outputs), Table(file="t.csv")), u, du


def by_torch(rows, u, du):
    """The errors by name and the nrmse of each partial derivative, as those of `metrics.json` are computed."""
    parts = [torch.from_numpy(np.nan_to_num(part))[None] for part in (rows.x, rows.y, rows.dydx)]
    weights = [torch.from_numpy(~np.isnan(part)).double()[None] for part in (rows.y, rows.dydx)]
    masks = torch.ones(1, 1, len(rows.x), dtype=torch.float64)
    points = Points(*parts, *weights, masks, (), rows.outputs)
    of_labels, slopes = Reference.of(points), torch.from_numpy(du)[None]
    figures = errors(torch.from_numpy(u)[None], slopes, points, of_labels)
    return figures, partial_errors(slopes, points, of_labels)[0].numpy()


def relative(rows, u, du):
    """The nrmse of each output, as that of `metrics.json` is computed."""
    figures, _ = by_torch(rows, u, du)
    ends = [f"/{name}" for name in rows.outputs] if len(rows.outputs) > 1 else [""]
    return np.array([[figures[f"nrmse_{of}{end}"].item() for end in ends] for of in ("f", "df")])


def residuals(y, dydx, u, du):
    return np.concatenate([u - y, (du - dydx).reshape(len(u), -1)], axis=1)


@pytest.mark.parametrize("outputs", ["a", "ab"])
def test_errors_are_those_of_metrics(outputs):
    rows, u, du = table(outputs)
    found = Channels.of(rows.x, rows.y, rows.dydx).nrmse(residuals(rows.y, rows.dydx, u, du))
    np.testing.assert_allclose(found, relative(rows, u, du), rtol=1e-12)


def test_the_record_of_a_fit_has_the_errors_of_metrics():
    rows, u, du = table("ab")
    deviations = np.concatenate([deviation(part).ravel() for part in (rows.y, rows.dydx)])
    found = FitErrors.of(residuals(rows.y, rows.dydx, u, du), deviations)
    figures, partials = by_torch(rows, u, du)
    assert found.labels.tolist() == [34, 40, 40, 40, 40, 40, 25, 40]
    for p, output in enumerate("ab"):
        assert found.rmse[p] == pytest.approx(figures[f"mse_f/{output}"].item() ** 0.5, rel=1e-12)
        assert found.worst[p] == pytest.approx(figures[f"max_f/{output}"].item(), rel=1e-12)
        assert found.nrmse[p] == pytest.approx(figures[f"nrmse_f/{output}"].item(), rel=1e-12)
    np.testing.assert_allclose(found.nrmse[2:], partials.ravel(), rtol=1e-12)
    nothing = FitErrors.of(np.full((3, 2), np.nan), [1.0, 1.0])
    assert nothing.labels.tolist() == [0, 0]
    assert np.isnan([nothing.rmse, nothing.worst, nothing.nrmse]).all()


def test_an_output_without_labels_has_no_error():
    rows, u, du = table("ab")
    channels, few = Channels.of(rows.x, rows.y, rows.dydx), slice(5, 8)  # in which the first value is not known
    found = channels.nrmse(residuals(rows.y, np.full_like(rows.dydx, np.nan), u, du)[few])
    assert np.isnan(found).tolist() == [[True, False], [True, True]]


def test_where_one_value_is_known_the_derivatives_decide():
    rows, u, du = table("a")
    y = np.where(np.arange(len(u))[:, None] == 7, u, np.nan)
    value, slope = Channels.of(rows.x, y, rows.dydx).nrmse(residuals(y, rows.dydx, u, du))[:, 0]
    assert np.isnan(value)
    assert slope == pytest.approx(relative(rows, u, du)[1, 0], 1e-12)


def test_a_channel_that_is_constant_up_to_round_off_does_not_count():
    rows = table("ab")[0]
    y, dydx = rows.y.copy(), rows.dydx.copy()
    y[:, 0], dydx[:, 0] = 0.1, [0.1, 0.7, 0.3]
    y[::2, 0] = np.nextafter(0.1, 1)
    constant = Rows.of((rows.x, y, dydx), rows.inputs, rows.outputs, rows.table)
    channels = Channels.of(constant.x, constant.y, constant.dydx)
    assert not channels.value[0]
    assert not channels.slope[0].any()
    assert channels.value[1] > 0
    assert (channels.slope[1] > 0).all()
