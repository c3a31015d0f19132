"""Folds: a partition of the points, in which rows with the same inputs stay together."""

import numpy as np
import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runge.data.folds import deal
from runge.data.rows import read
from runge.data.sampled import Data, sample
from runge.data.table import Table
from runge.sampling import Random
from runge.targets import Runge
from tests.conftest import generator
from tests.refusals import refuses

pytestmark = pytest.mark.usefixtures("in_folder")


@given(st.integers(10, 80), st.sampled_from([0, 1, 5, 30]), st.integers(2, 9), st.integers(1, 3), st.integers(0, 2**32))
def test_rows_with_the_same_inputs_are_left_out_once_and_together(m, different, folds, outputs, seed):
    """No fold is larger than another by more than the largest group of such rows; 0: all rows are different."""
    random = np.random.default_rng(seed)
    points = random.integers(0, different, m) if different else np.arange(m)
    known = random.random((m, outputs)) < random.choice([0.05, 0.5, 1])
    known[: 2 * (not different)] = True
    dealt = deal(points, known, folds, generator(seed))
    assert all(len({*dealt[points == point]}) == 1 for point in points)
    assert different or dealt.min() >= 0
    if (dealt >= 0).all():
        sizes = np.bincount(dealt, minlength=folds)
        assert sizes.max() - sizes.min() <= np.bincount(points).max()
    for fold in range(folds):  # an output with a known value has one in the training rows of each fold
        assert np.array_equal(known[dealt != fold].any(0), known.any(0))
    assert np.array_equal(dealt, deal(points, known, folds, generator(seed)))


def test_values_of_a_rare_output_are_spread_over_folds():
    known = np.ones((40, 2), bool)
    known[8:, 1] = False
    for seed in range(20):
        assert np.bincount(deal(np.arange(40), known, 4, generator(seed))[:8]).tolist() == [2, 2, 2, 2]


def rows(m=40, **columns):
    x = np.linspace(0, 1, m)
    pandas.DataFrame({"x": x, "y": x**2, "dy_dx": 2 * x} | columns).to_csv("a.csv", index=False)


def table(**options):
    return read(Table(file="a.csv", inputs=["x"], outputs=["y"], **options))


def splits(folds, made, **options):
    return [table(folds=folds, fold=fold, **options).split(0) for fold in range(made)]


SPLITS = [*({"split": {"train": None, "val": 0.4, "test": test}} for test in (0.15, 0)), {"split_column": "set"}]


@pytest.mark.parametrize(("options", "n"), [*zip(SPLITS, (34, 40, 24), strict=True)])
def test_folds_divide_the_rows_that_are_not_for_the_test(options, n):
    rows(set=["train"] * 16 + ["val"] * 8 + ["test"] * 16)
    found, expected = splits(5, 5, **options), table(**options).split(0).test
    for train, val, test in found:
        assert sorted([*train, *val, *test]) == list(range(40))
        assert np.array_equal(test, expected if n > 24 else range(24, 40))
        assert n // 5 <= len(val) <= -(-n // 5)
    assert len(set(np.concatenate([val for _, val, _ in found]))) == 40 - len(expected) == n


@pytest.mark.parametrize(("m", "folds", "made"), [(40, 5, 5), (20, 5, 5), (20, 20, 17), (8, 8, 7), (8, 2, 2)])
def test_few_rows_have_fewer_folds(m, folds, made):
    rows(m)
    assert table(folds=folds).folds == made
    assert all(len(val) >= 1 for _, val, _ in splits(folds, made))
    if made < folds:
        with refuses("data.fold", str(made), f"from 0 to {made - 1}"):
            splits(folds, folds)


@pytest.mark.parametrize(("groups", "test", "made"), [(3, 0, 3), (8, 0.15, 7), (4, 0.15, 4)])
def test_groups_are_left_out_whole_and_few_have_fewer_folds(groups, test, made):
    rows(40, part=np.arange(40) % groups)
    options = {"group": "part", "split": {"train": None, "val": 0.15, "test": test}}
    assert table(folds=10, **options).folds == table(folds=10, **options).most_folds == made
    if test and groups == 4:  # none of which is small enough for the test
        return
    found = splits(10, made, **options)
    parts = [{*(some % groups).tolist()} for some in (*(val for _, val, _ in found), found[0].test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == groups
    assert all(not {*(train % groups)} & {*(val % groups)} for train, val, _ in found)
    assert all(len(val) >= 40 // groups for _, val, _ in found)


@pytest.mark.parametrize(
    ("m", "options", "message"),
    [
        (9, {"folds": 2, "fold": 0, "group": "one"}, "group: .* leave 2 groups .* the same one are in one; got 1$"),
        (7, {"folds": 2, "fold": 0}, r"data.file: 'a.csv': must have at least 8 rows .* got 7$"),
        (9, {"fold": 0}, r"fold: must be null without data.folds, got 0"),
        (9, {"folds": 3, "fold": 3}, r"fold: must be null or from 0 to 2 with data.folds=3, got 3"),
    ],
)
def test_folds_that_are_refused(m, options, message):
    rows(m, one=1)
    with pytest.raises(ValueError, match=message):
        table(**options).split(0)


def test_training_points_of_a_formula_are_divided():
    whole, *parts = (
        sample(Runge(), Random(), generator(), Data(n_train=23, noise_f=0.1, **fold))
        for fold in ({}, *({"folds": 4, "fold": k} for k in range(4)))
    )
    left_out = torch.cat([torch.cat([part.val.x, part.val.f], 2)[0] for part in parts])
    every = torch.cat([whole.train.x, whole.train.f], 2)[0]
    assert torch.equal(left_out[left_out[:, 0].argsort()], every[every[:, 0].argsort()])
    for train, val, test in parts:
        assert train.x.shape[1] + val.x.shape[1] == 23
        assert val.x.shape[1] in (5, 6)
        assert not set(train.x.flatten().tolist()) & set(val.x.flatten().tolist())
        assert float(train.weight_f.sum()) == pytest.approx(1)
        assert torch.equal(test.x, whole.test.x)


@pytest.mark.parametrize("options", [{"n_train": 7}, {"n_derivative": 9}, {"boundary_points": 2}])
def test_folds_of_a_formula_that_are_refused(options):
    with pytest.raises(ValueError, match="folds: must be null"):
        Data(**{"folds": 2, "fold": 0, "n_train": 20} | options)
