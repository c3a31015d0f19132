"""The units in which a network is trained."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runge.data.channels import row_points
from runge.sobolev.points import Points
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


def power_law(n, d, seed):
    """Return points with all derivatives of y = x_1^2 ... x_D^2, all inputs of which are positive."""
    x = torch.exp(torch.randn(1, n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))
    f = x.square().prod(2, keepdim=True)
    df, (first, second) = 2 * f[..., None] / x[:, :, None], torch.triu_indices(d, d)
    d2f = df[..., first] / x[:, :, None, second] * torch.where(first == second, 1, 2)
    known = torch.ones_like(df)
    return Points(x, f, df, known[..., 0], known, torch.ones(1, 1, n), d2f=d2f, weight_d2f=torch.ones_like(d2f))


@given(n=st.integers(2, 20), logs=st.lists(st.booleans(), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_logarithms_follow_the_chain_rule_and_are_undone(n, logs, seed):
    """With z = ln x, y = x^2 = exp(2 z) has the derivatives 2 y and 4 y with respect to z."""
    points, chosen = power_law(n, len(logs), seed), torch.tensor([logs])
    seen = Units.identity(1, len(logs), 1, chosen).standardise(points)
    torch.testing.assert_close(seen.x, torch.where(chosen, points.x.log(), points.x))
    torch.testing.assert_close(seen.df, torch.where(chosen, 2 * points.f[..., None], points.df))
    first, second = torch.triu_indices(len(logs), len(logs))
    both, one = (chosen[:, first] & chosen[:, second])[0], chosen[:, second][0] & (first != second)
    torch.testing.assert_close(seen.d2f[..., both], (4 * points.f[..., None]).expand_as(seen.d2f)[..., both])
    torch.testing.assert_close(seen.d2f[..., one], (seen.df[..., first] * 2 if any(logs) else seen.d2f)[..., one])
    units = Units.of(points, logs=chosen)
    standardised = units.standardise(points)
    if n > 2:
        assert float(standardised.x.std(1, correction=0).max()) == pytest.approx(1)
    for name, tensor in units.restore_points(standardised).tensors().items():
        size = float(points.tensors()[name].abs().max())  # the round-off is that of the largest one
        torch.testing.assert_close(tensor, points.tensors()[name], rtol=1e-9, atol=1e-12 * max(size, 1))


def test_a_second_derivative_that_is_not_known_is_0():
    points = power_law(3, 2, 0)
    weight_d2f = torch.ones_like(points.d2f)
    weight_d2f[:, 1] = 0
    for logs in (None, torch.tensor([[True, False]])):
        standardised = Units.of(points, logs=logs).standardise(replace(points, weight_d2f=weight_d2f))
        assert (standardised.d2f == 0).all(dim=(0, 2, 3)).tolist() == [False, True, False]


def test_a_second_derivative_by_a_logarithm_needs_the_first_one():
    points = power_law(3, 2, 0)
    points = replace(points, weight_df=torch.tensor([[1.0, 1], [0, 1], [1, 0]])[None, :, None])
    for logs, known in ((None, [3, 3, 3]), ([True, False], [2, 3, 3]), ([True, True], [2, 3, 2])):
        units = Units.of(points, logs=logs and torch.tensor([logs]))
        assert units.standardise(points).weight_d2f.sum((0, 1, 2)).tolist() == known
