import numpy as np
import pytest

from runge.configuration.errors import ConfigurationError
from runge.records.fits import fit_of


def columns(names):
    return {name: [float(i), 10.0 + i] for i, name in enumerate(names.split())}


@pytest.mark.parametrize("names", ["x f df u du", "t a da_dt u_a du_a_dt"])
def test_a_function_of_one_input(names):
    fit = fit_of(columns(names))
    assert (fit.inputs, fit.outputs) == tuple((name,) for name in names.split()[:2])
    assert [part.shape for part in fit[2:]] == [(2, 1), (2, 1), (2, 1, 1), (2, 1), (2, 1, 1)]
    assert [part[0].item() for part in fit[2:]] == [0, 1, 2, 3, 4]


def test_a_function_of_two_inputs():
    fit = fit_of(columns("x1 x2 f df_dx1 df_dx2 u du_dx1 du_dx2"))
    assert (fit.inputs, fit.outputs) == (("x1", "x2"), ("f",))
    assert [part[1].ravel().tolist() for part in fit[2:]] == [[10, 11], [12], [13, 14], [15], [16, 17]]


@pytest.mark.parametrize(
    "names",
    [
        "t v a da_dt da_dv b db_dt u_a du_a_dt du_a_dv u_b du_b_dt du_b_dv",
        "t v a b u_b du_b_dv du_b_dt u_a du_a_dt du_a_dv",
    ],
)
def test_outputs_of_a_table(names):
    """Each column is where its name says, in any order after the inputs; what is missing is NaN."""
    table = columns(names)
    fit = fit_of(table)
    assert (fit.inputs, fit.outputs) == (("t", "v"), ("a", "b"))
    unknown = [np.nan, np.nan]
    for p, y in enumerate("ab"):
        np.testing.assert_array_equal(fit.f[:, p], table[y])
        np.testing.assert_array_equal(fit.u[:, p], table[f"u_{y}"])
        for d, x in enumerate("tv"):
            np.testing.assert_array_equal(fit.df[:, p, d], table.get(f"d{y}_d{x}", unknown))
            np.testing.assert_array_equal(fit.du[:, p, d], table.get(f"du_{y}_d{x}", unknown))


@pytest.mark.parametrize("names", ["", "x", "f u", "x f df", "x f df u", "a u_a", "t v a u_a du_a_dt"])
def test_other_columns(names):
    with pytest.raises(ConfigurationError, match="no columns of a fit: should be x, f, df, u, du or similar, got"):
        fit_of(columns(names))
