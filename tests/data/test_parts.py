"""A part of the training rows."""

import numpy as np
import pytest

from runge.data.rows import Rows
from runge.data.table import Table


@pytest.mark.parametrize("known", [10, 11])
def test_labels_of_few_rows_are_all_in_a_part(known):
    """Of 40 rows and two channels, 40 / (2 * 2) rows with a label are few."""
    x = np.arange(100.0)[:, None]
    dydx = np.where(x < known, 1.0, np.nan)[:, None]
    split, sets = {"train": 0.4, "val": 0.1, "test": 0.1}, np.repeat([0, 1, 2], [80, 10, 10])
    rows = Rows.of((x, x + 0, dydx), ["x"], ["y"], Table(file="a.csv", split_column="set", split=split), sets)
    expected = [*range(10), *range(50, 80)] if known == 10 else range(40, 80)
    assert sorted(rows.split(0).train) == [*expected]
