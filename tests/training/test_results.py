import numpy as np
import pytest
import torch

from runge.sobolev.points import Points
from runge.training.results import fit_table


def table(n, dimension, member=1):
    """The fit of the second of two members, whose columns all differ, and what it is made of."""
    shapes = ((2, n, dimension), (2, n), (2, n, dimension), (2, n), (2, n, dimension))
    generator = torch.Generator().manual_seed(0)
    x, f, df, u, du = (torch.rand(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    points = Points(x, f, df, f, df, torch.ones(2, 1, n), ())
    return fit_table(points, u, du, member), [part[member].numpy() for part in (x, f, df, u, du)]


@pytest.mark.parametrize(("n", "rows"), [(2, 2), (201, 201), (202, 201), (1000, 201), (2001, 201)])
def test_rows_are_spread_evenly_and_keep_both_ends(n, rows):
    columns, (x, f, df, u, du) = table(n, 1)
    at = np.flatnonzero(np.isin(x[:, 0], columns["x"]))
    assert len(at) == len(columns["x"]) == rows
    assert (at[0], at[-1]) == (0, n - 1)
    assert np.ptp(np.diff(at)) <= 1
    expected = {"x": x[:, 0], "f": f, "df": df[:, 0], "u": u, "du": du[:, 0]}
    assert columns == {name: values[at].tolist() for name, values in expected.items()}


def test_columns_in_more_dimensions():
    columns, (x, f, df, u, du) = table(5, 2)
    values = np.column_stack([x, f, df, u, du]).T.tolist()
    names = ["x1", "x2", "f", "df_dx1", "df_dx2", "u", "du_dx1", "du_dx2"]
    assert list(columns.items()) == list(zip(names, values, strict=True))
