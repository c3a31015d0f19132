"""The units in which a network is trained."""

import numpy as np
import pytest
import torch

from runge.data.channels import row_points
from runge.sobolev.units import Units


def points(known, derivatives=200, d=1):
    """Return 200 points of y = sum_d x_d^2 on [0, 10]^D, with values in the rows `known`."""
    x = np.random.default_rng(0).uniform(0, 10, (200, d))
    y, dydx = np.full((200, 1), np.nan), np.full((200, 1, d), np.nan)
    y[known, 0] = (x[known] ** 2).sum(1)
    dydx[:derivatives, 0] = 2 * x[:derivatives]
    return x, y, dydx


@pytest.mark.parametrize(
    ("known", "derivatives", "d", "few"),
    [
        (slice(0, 2), 200, 1, True),
        (slice(0, 19), 200, 1, True),  # less than a tenth
        (slice(0, 20), 200, 1, False),
        (slice(0, 2), 3, 1, True),  # less than D + 2
        (slice(0, 3), 4, 1, False),
        (slice(0, 3), 4, 2, True),
        (slice(0, 3), 3, 2, False),  # all that have derivatives
        (slice(0, 2), 0, 1, False),
        (slice(None), 200, 2, False),
    ],
)
def test_few_values_have_the_scale_of_the_derivatives_if_it_is_larger(known, derivatives, d, few):
    x, y, dydx = points(known, derivatives, d)
    units = Units.of(row_points(x, y, dydx, ["y"]))
    f = torch.from_numpy(y[known, 0])
    std = float((f - f.mean()).square().mean().sqrt())
    by_slopes = np.sqrt((np.nanmean(dydx[:, 0] ** 2, 0) * x.var(0)).sum()) if few else 0
    assert float(units.y_std) == pytest.approx(max(std, by_slopes), rel=1e-12)
    # Those of a formula do not depend on derivatives.
    units = Units.of(row_points(x, y, dydx, ["y"]), torch.tensor([[[0.0, 10.0]] * d]))
    assert float(units.y_std) == pytest.approx(std, rel=1e-12)
    # Values that differ more than derivatives suggest keep their own standard deviation.
    y[known] *= 1e6
    assert float(Units.of(row_points(x, y, dydx, ["y"])).y_std) == pytest.approx(1e6 * std, rel=1e-12)
