"""The points of a table's rows, and the weights of their channels."""

import numpy as np
import torch

from runge.data import channel_weights, row_points


def test_a_partial_derivative_counts_relative_to_its_own_size_unless_it_is_round_off():
    dydx = np.array([[[3.0, 1e-3, 2e-16, 0.0]], [[4.0, 2e-3, -1e-16, 0.0]]])
    points = row_points(np.zeros((2, 4)), np.ones((2, 1)), dydx, ["f"])
    expected = torch.tensor([[[1, 1 / 12.5, 1 / 2.5e-6, 1, 1]]], dtype=torch.float64)
    torch.testing.assert_close(channel_weights(points), expected)


def test_a_partial_derivative_that_is_known_in_some_rows_counts_by_these():
    dydx = np.array([[[3.0, np.nan]], [[np.nan, np.nan]]])
    points = row_points(np.zeros((2, 2)), np.ones((2, 1)), dydx, ["f"])
    expected = torch.tensor([[[1, 1 / 9, 1]]], dtype=torch.float64)
    torch.testing.assert_close(channel_weights(points), expected)
