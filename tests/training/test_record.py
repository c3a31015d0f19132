import numpy as np
import pytest
import torch

from runge.sobolev.points import Points
from runge.training.evaluation import fit_columns


def table(n, inputs, outputs=("f",)):
    """Return the columns of a fit, which all differ, and its arrays."""
    shapes = [(n, len(inputs)), *[(n, len(outputs)), (n, len(outputs), len(inputs))] * 2]
    generator = torch.Generator().manual_seed(0)
    x, f, df, u, du = (torch.rand(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    points = Points(x[None], f[None], df[None], f[None], df[None], torch.ones(1, 1, n), outputs=outputs)
    return fit_columns(points, u, du, inputs), [part.flatten(1).numpy() for part in (x, f, df, u, du)]


@pytest.mark.parametrize(("n", "rows"), [(2, 2), (201, 201), (202, 201), (1000, 201), (2001, 201)])
def test_rows_are_spread_evenly_and_keep_both_ends(n, rows):
    columns, parts = table(n, ["x"])
    at = np.flatnonzero(np.isin(parts[0][:, 0], columns["x"]))
    assert len(at) == len(columns["x"]) == rows
    assert (at[0], at[-1]) == (0, n - 1)
    assert np.ptp(np.diff(at)) <= 1
    names = ("x", "f", "df", "u", "du")
    assert columns == {name: values[at, 0].tolist() for name, values in zip(names, parts, strict=True)}


def test_maps_have_more_rows():
    assert [len(table(n, ["a", "b"])[0]["a"]) for n in (2025, 4000)] == [2025, 2048]
    assert len(table(2000, [f"a{i}" for i in range(60)])[0]["f"]) == 50_000 // 182


@pytest.mark.parametrize(
    ("inputs", "outputs", "names"),
    [
        (["x1", "x2"], ("f",), "x1 x2 f df_dx1 df_dx2 u du_dx1 du_dx2"),
        (["t"], ("a", "b"), "t a b da_dt db_dt u_a u_b du_a_dt du_b_dt"),
    ],
)
def test_columns_of_several_inputs_or_outputs(inputs, outputs, names):
    columns, parts = table(5, inputs, outputs)
    assert list(columns.items()) == list(zip(names.split(), np.column_stack(parts).T.tolist(), strict=True))


def test_what_is_not_known_is_nan():
    x, f, df = torch.zeros(1, 3, 1), torch.ones(1, 3, 1), torch.ones(1, 3, 1, 1)
    points = Points(x, f, df, f * torch.tensor([[[0.0], [1.0], [1.0]]]), df, torch.ones(1, 1, 3))
    assert np.isnan(fit_columns(points, f[0], df[0], ["x"])["f"]).tolist() == [True, False, False]
