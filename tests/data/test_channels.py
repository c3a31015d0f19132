"""The points of a table's rows, and the weights of their channels."""

import numpy as np
import torch

from runge.data import channel_weights, relevance, row_points


def test_a_small_partial_derivative_weighs_at_most_ten_times_the_mean():
    dydx = np.array([[[3.0, 1e-3, 2e-16, 0.0]], [[4.0, 2e-3, -1e-16, 0.0]]])
    points = row_points(np.zeros((2, 4)), np.ones((2, 1)), dydx, ["f"])
    floor = 40 / (12.5 + 2.5e-6)
    expected = torch.tensor([[[1, 1 / 12.5, floor, floor, floor]]], dtype=torch.float64)
    torch.testing.assert_close(channel_weights(points), expected)
    torch.testing.assert_close(relevance(points), torch.tensor([[1, 2e-7**0.125, 0.03, 0.03]], dtype=torch.float64))


def test_an_input_matters_as_much_as_for_the_output_for_which_it_matters_most():
    dydx = np.array([[[1.0, 0.01], [0.0, 1e8]], [[1.0, 0.01], [0.0, 1e8]]])
    points = row_points(np.zeros((2, 2)), np.ones((2, 2)), dydx, ["a", "b"])
    assert relevance(points).tolist() == [[1, 1]]
    dydx[:, 0, 1] = np.nan
    dydx[:, 1] = [1, 0.01]
    assert relevance(row_points(np.zeros((2, 2)), np.ones((2, 2)), dydx, ["a", "b"])).tolist() == [[1, 1]]
    assert channel_weights(row_points(np.zeros((2, 2)), np.ones((2, 2)), np.zeros((2, 2, 2)), ["a", "b"])).eq(1).all()


def test_a_partial_derivative_that_is_known_in_some_rows_counts_by_these():
    dydx = np.array([[[3.0, np.nan]], [[np.nan, np.nan]]])
    points = row_points(np.zeros((2, 2)), np.ones((2, 1)), dydx, ["f"])
    expected = torch.tensor([[[1, 1 / 9, 1]]], dtype=torch.float64)
    torch.testing.assert_close(channel_weights(points), expected)
