"""The basket of the finance problems: its price, its deltas and its payoffs."""

import numpy as np
from basket import paths
from numpy.testing import assert_allclose


def test_prices_deltas_and_payoffs_agree():
    rows, (spots, prices, deltas) = paths(7, 16384, 3)
    weights = deltas[0, 0] / deltas[0, 0].sum()
    assert_allclose(deltas[:, 0], deltas[:, 0].sum(1, keepdims=True) * weights)
    order = np.argsort(spots @ weights)
    basket, price, delta = (spots @ weights)[order], prices[order, 0], deltas[order, 0].sum(1)
    steps = np.diff(basket) * (delta[1:] + delta[:-1]) / 2
    assert_allclose(np.cumsum(steps), price[1:] - price[0], atol=1e-4)
    within = (rows.x @ weights > basket[0]) & (rows.x @ weights < basket[-1])
    for payoffs, exact in ((rows.y[:, 0], price), (rows.dydx[:, 0].sum(1), delta)):
        noise = (payoffs - np.interp(rows.x @ weights, basket, exact))[within]
        assert abs(noise.mean()) < 4 * noise.std() / np.sqrt(len(noise))
