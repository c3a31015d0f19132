"""Intervals hold the share of new labels that they promise, and are wide where networks disagree."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from runge.function.calibration import Calibration
from runge.function.spread import groups_by_rows, spread_over
from runge.sobolev.jet import std_over


def half_width(found, s, level):
    return found.factors(level) * np.sqrt((s * found.local) ** 2 + np.array(found.floors) ** 2)


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_quantile_is_that_of_one_more_exchangeable_score(level):
    """The last of n + 1 exchangeable scores is at most the k-th of the others with the probability k / (n + 1)."""
    n, errors = 29, np.random.default_rng(0).standard_t(3, size=(4000, 30))
    held = [abs(some[-1]) <= Calibration.of(some[:-1, None], None).factors(level)[0] for some in errors]
    expected = math.ceil((n + 1) * level) / (n + 1)
    assert np.mean(held) == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 4000))


def test_a_level_needs_as_many_groups_as_rows_that_are_groups():
    """Ten groups of ten equal rows are ten rows; a file of before has no groups."""
    errors = np.arange(1.0, 11)[:, None]
    alone, grouped = Calibration.of(errors, None), Calibration.of(errors.repeat(10, axis=0), None, np.arange(100) // 10)
    assert (grouped.counts, grouped.groups) == ((100,), (10,))
    for level in (0.5, 0.9):
        assert grouped.factors(level) == alone.factors(level) == replace(alone, groups=()).factors(level)
    with pytest.raises(ValueError, match=r"must be at most 0\.909, because 10 groups of rows calibrate it; got 0\.95"):
        grouped.factors(0.95)
    with pytest.raises(ValueError, match="because 10 rows calibrate it"):
        alone.factors(0.95)
    with pytest.raises(ValueError, match="groups: must have a number for each of 1 channels"):
        replace(alone, groups=(10, 10))


def test_width_follows_the_spread_where_it_tells_the_error():
    generator = np.random.default_rng(1)
    s = np.exp(3 * generator.standard_normal((400, 1)))
    found = Calibration.of(s * generator.standard_normal(s.shape), s)
    widths = half_width(found, np.array([[1.0], [10.0], [100.0]]), 0.9)[:, 0]
    assert widths[1:] / widths[:-1] == pytest.approx([10, 10], rel=0.1)
    new = np.exp(3 * generator.standard_normal((20_000, 1)))
    assert (np.abs(new * generator.standard_normal(new.shape)) <= half_width(found, new, 0.9)).mean() > 0.86


def test_width_is_that_of_the_noise_where_the_spread_says_nothing():
    """Networks that agree by chance have no intervals of no width."""
    generator = np.random.default_rng(2)
    s = np.exp(generator.standard_normal((400, 1)) - 6)
    found = Calibration.of(generator.standard_normal(s.shape), s)
    widths = half_width(found, s, 0.9)
    assert widths.max() / widths.min() < 1.3
    assert widths.mean() == pytest.approx(1.645, rel=0.15)
    errors = np.linspace(0.1, 1, 30)[:, None]
    found = Calibration.of(errors, np.zeros_like(errors))
    assert half_width(found, np.zeros((1, 1)), 0.9)[0, 0] == pytest.approx(np.sort(errors[:, 0])[27])


def test_many_scores_are_thinned_to_larger_ones():
    errors = np.abs(np.random.default_rng(3).standard_normal((12_345, 1)))
    found = Calibration.of(errors, None)
    assert (len(found.scores[0]), found.counts) == (1000, (12_345,))
    exact = np.sort(errors[:, 0])
    for level in (0.1, 0.9, 0.99):
        assert exact[math.ceil(12_346 * level) - 1] <= found.factors(level)[0] <= np.quantile(exact, level + 0.002)


def test_too_few_rows_and_wrong_levels_are_refused():
    found = Calibration.of(np.array([[0.1, np.nan]] * 8), None)
    with pytest.raises(
        ValueError, match=r"level, --interval: must be at most 0\.888, because 8 rows calibrate it; got 0\.9"
    ):
        found.factors(0.9)
    assert math.isnan(found.factors(0.8)[1])
    for level in (0, 1, 90, math.nan):
        with pytest.raises(ValueError, match="level, --interval: must be between 0 and 1, got"):
            found.factors(level)


def test_spread_is_that_within_groups():
    members = torch.randn(5, 7, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    groups = groups_by_rows(["a", "b", "a", "a", "b"])
    assert groups == [[0, 2, 3], [1, 4]]
    torch.testing.assert_close(spread_over(members, [[0, 1, 2, 3, 4]]), std_over(members)[0])
    first, second = (members[group].var(0) for group in groups)
    torch.testing.assert_close(spread_over(members, groups), ((3 * first + 2 * second) / 5).sqrt())
    assert not spread_over(members, []).any()
