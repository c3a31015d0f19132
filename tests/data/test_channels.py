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
    chance, units, scales = np.random.default_rng(0), np.array([1, 10, 1e-3]), 10.0 ** np.arange(len(outputs))
    x = chance.normal(size=(n, dimension)) * units
    y, u = chance.normal(size=(2, n, len(outputs))) * scales
    dydx, du = chance.normal(size=(2, n, len(outputs), dimension)) * scales[:, None] / units
    y[3:9, 0], dydx[5:20, -1, 1] = NAN, NAN
    return Rows.of((x, y, dydx), [f"x{d}" for d in range(dimension)], tuple(outputs), Table(file="t.csv")), u, du


def by_torch(rows, u, du):
    """The errors of each output by name, as those of `metrics.json` are computed, and the nrmse of each derivative."""
    parts = [torch.from_numpy(np.nan_to_num(part))[None] for part in (rows.x, rows.y, rows.dydx)]
    weights = [torch.from_numpy(~np.isnan(part)).double()[None] for part in (rows.y, rows.dydx)]
    points = Points(*parts, *weights, torch.ones(1, 1, len(rows.x)).double(), (), rows.outputs)
    of_labels, slopes = Reference.of(points), torch.from_numpy(du)[None]
    named = errors(torch.from_numpy(u)[None], slopes, points, of_labels)
    ends = [f"/{name}" for name in rows.outputs] if len(rows.outputs) > 1 else [""]
    found = {name: [named[name + end].item() for end in ends] for name in ("mse_f", "max_f", "nrmse_f", "nrmse_df")}
    return found, partial_errors(slopes, points, of_labels)[0].numpy()


def residuals(y, dydx, u, du):
    return np.concatenate([u - y, (du - dydx).reshape(len(u), -1)], axis=1)


@pytest.mark.parametrize("outputs", ["a", "ab"])
def test_errors_are_those_of_metrics(outputs):
    """The errors of channels are those in the record of a fit."""
    rows, u, du = table(outputs)
    left, (expected, partials) = residuals(rows.y, rows.dydx, u, du), by_torch(rows, u, du)
    relative = [expected["nrmse_f"], expected["nrmse_df"]]
    np.testing.assert_allclose(Channels.of(rows.x, rows.y, rows.dydx).nrmse(left), relative, rtol=1e-12)
    found = FitErrors.of(left, np.concatenate([deviation(part).ravel() for part in (rows.y, rows.dydx)]))
    assert found.labels.tolist() == {"a": [34, 40, 25, 40], "ab": [34, 40, 40, 40, 40, 40, 25, 40]}[outputs]
    n = len(outputs)
    np.testing.assert_allclose(found.rmse[:n], np.sqrt(expected["mse_f"]), rtol=1e-12)
    np.testing.assert_allclose(found.nrmse, [*expected["nrmse_f"], *partials.ravel()], rtol=1e-12)
    nothing = FitErrors.of(np.full((3, 2), NAN), [1.0, 1.0])
    assert nothing.labels.tolist() == [0, 0]
    assert np.isnan([nothing.rmse, nothing.nrmse]).all()


def test_outputs_of_which_few_labels_are_known():
    """Without labels an output has no error; where one value is known the derivatives decide."""
    rows, u, du = table("ab")
    channels, few = Channels.of(rows.x, rows.y, rows.dydx), slice(5, 8)  # in which the first value is not known
    found = channels.nrmse(residuals(rows.y, np.full_like(rows.dydx, NAN), u, du)[few])
    assert np.isnan(found).tolist() == [[True, False], [True, True]]
    rows, u, du = table("a")
    y = np.where(np.arange(len(u))[:, None] == 7, u, NAN)
    value, slope = Channels.of(rows.x, y, rows.dydx).nrmse(residuals(y, rows.dydx, u, du))[:, 0]
    assert np.isnan(value)
    assert slope == pytest.approx(by_torch(rows, u, du)[0]["nrmse_df"][0], 1e-12)


def test_units_of_inputs_do_not_matter():
    rows, size = table("ab")[0], np.array([1.0, 1e11, 1e-3])
    plain, scaled = (Channels.of(rows.x * unit, rows.y, rows.dydx / unit) for unit in (1.0, size))
    np.testing.assert_allclose(scaled.slope, plain.slope * size, rtol=1e-12)


def test_a_channel_that_is_constant_up_to_round_off_does_not_count_and_one_with_a_large_mean_does():
    rows = table("ab")[0]
    y, dydx = rows.y.copy(), rows.dydx.copy()
    y[:, 0], dydx[:, 0] = 0.1, [0.1, 0.7, 0.3]
    y[::2, 0] = np.nextafter(0.1, 1)
    y[:, 1] += 1e9 * y[:, 1].std()
    constant = Rows.of((rows.x, y, dydx), rows.inputs, rows.outputs, rows.table)
    channels = Channels.of(constant.x, constant.y, constant.dydx)
    assert (channels.value > 0).tolist() == [False, True]
    assert (channels.slope > 0).tolist() == [[False] * 3, [True] * 3]
