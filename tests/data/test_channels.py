"""The points of a table's rows, and the weights of their channels."""

import numpy as np
import pytest
import torch

from runge.data import channel_weights, relevance, row_points

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
