"""The recorder of learning curves, on the smallest table."""

import math
from fractions import Fraction

import numpy as np
import pytest
from curves import COLUMNS, Curve, Recording, read
from record import PLANNED, count_folds, record


def recorded(folder, candidate, share=1.0, table="mccormick_30", limit=math.inf):
    record(folder, limit, Recording(table, candidate, share, 0))
    return next(one for one in read(folder) if (one.table, one.candidate, one.share) == (table, candidate, share))


def test_a_training_is_recorded_until_it_has_converged(tmp_path):
    one = recorded(tmp_path, "Levenberg-Marquardt, values alone")
    assert one.rows == 27
    assert one.converged
    assert not one.failure
    assert one.is_over(math.inf)
    columns = {name: one.column(name) for name in COLUMNS}
    assert all(np.isfinite(column).all() for column in columns.values())
    assert (np.diff(columns["steps"]) > 0).all()
    assert (np.diff(columns["seconds"]) >= 0).all()
    curve = Curve.of(one)
    assert curve.error[-1] < curve.error[0]
    assert 0.1 * curve.error[-1] < curve.test[-1] < 100 * curve.error[-1]


def test_fits_of_fixed_neurons_are_all_recorded(tmp_path):
    one = recorded(tmp_path, "fixed neurons, sin, by input")
    assert one.column("steps").tolist() == list(range(1, 65))
    assert not one.warm


def test_a_method_by_the_gradient_has_a_point_for_each_planned_time(tmp_path):
    one = recorded(tmp_path, "Adam, softplus, 4 x 20", limit=0.2)
    assert len(one.column("steps")) == len(PLANNED)
    assert one.warm
    assert not one.converged
    assert not one.is_over(10.0)


def test_failures_are_recorded(tmp_path):
    assert recorded(tmp_path, "SOAP", share=1 / 4).failure == "too few rows"
    slow = recorded(tmp_path, "SOAP", share=1 / 4, limit=1e-9, table="arm_500")
    assert slow.failure.startswith("a step takes about")
    assert not slow.is_over(1.0)


@pytest.mark.parametrize(("rows", "folds"), [(30, 10), (100, 5), (800, 8), (5000, 10), (20_000, 20)])
def test_rows_are_divided_into_the_folds_of_the_search(rows, folds):
    assert count_folds(rows) == folds


@pytest.mark.parametrize(("share", "rows"), [("1/16", 113), ("1/4", 450), ("1", 1800)])
def test_the_share_is_of_the_training_rows(tmp_path, share, rows):
    candidate = "Levenberg-Marquardt, values alone"
    one = recorded(tmp_path, candidate, float(Fraction(share)), "pendulum_energy", limit=0.05)
    assert not one.failure
    assert abs(one.rows - rows) <= 1
