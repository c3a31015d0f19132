from math import nan

import numpy as np
import pytest

from runge.configuration.errors import ConfigurationError
from runge.records.fits import fit_of


def columns(names):
    """Return columns that begin with their numbers."""
    return {name: [float(i), 10.0 + i] for i, name in enumerate(names.split())}


@pytest.mark.parametrize(
    ("inputs", "names", "expected"),
    [
        ("x", "f df u du", ([0], [1], [2], [3], [4])),
        ("t", "a da_dt u_a du_a_dt", ([0], [1], [2], [3], [4])),
        ("x1 x2", "f df_dx1 df_dx2 u du_dx1 du_dx2", ([0, 1], [2], [3, 4], [5], [6, 7])),
        (
            "t v",
            "a da_dt da_dv b db_dt u_a du_a_dt du_a_dv u_b du_b_dt du_b_dv",
            ([0, 1], [2, 5], [3, 4, 6, nan], [7, 10], [8, 9, 11, 12]),
        ),
        (  # of a field of displacements by the place
            "x y",
            "u_x du_x_dx du_x_dy u_y du_y_dx du_y_dy u_u_x du_u_x_dx du_u_x_dy u_u_y du_u_y_dx du_u_y_dy",
            ([0, 1], [2, 5], [3, 4, 6, 7], [8, 11], [9, 10, 12, 13]),
        ),
        ("x y", "u_y du_y_dx du_y_dy u_u_y du_u_y_dx du_u_y_dy", ([0, 1], [2], [3, 4], [5], [6, 7])),
        ("x u_x", "p dp_dx dp_du_x u_p du_p_dx du_p_du_x", ([0, 1], [2], [3, 4], [5], [6, 7])),  # place and velocity
        ("t u_t", "f df_dt df_du_t u du_dt du_du_t", ([0, 1], [2], [3, 4], [5], [6, 7])),
        ("dy", "y u_y du_y_ddy", ([0], [1], [nan], [2], [3])),
        ("x", "y dy u_y du_y_dx u_dy du_dy_dx", ([0], [1, 2], [nan] * 2, [3, 5], [4, 6])),
        ("t v", "a b u_b du_b_dv du_b_dt u_a du_a_dt du_a_dv", ([0, 1], [2, 3], [nan] * 4, [7, 4], [8, 9, 6, 5])),
    ],
)
def test_each_column_is_where_its_name_says(inputs, names, expected):
    """The columns come in any order after the inputs; what is missing is NaN."""
    fit = fit_of(columns(f"{inputs} {names}"))
    assert fit.inputs == tuple(inputs.split())
    assert fit.outputs == tuple(name for name in names.split() if name == "f" or f"u_{name}" in names.split())
    d, p = len(fit.inputs), len(fit.outputs)
    for part, numbers, shape in zip(fit[2:], expected, ((d,), (p,), (p, d), (p,), (p, d)), strict=True):
        of_first = np.reshape(numbers, shape)
        np.testing.assert_array_equal(part, [of_first, 10 + of_first])


@pytest.mark.parametrize("names", ["", "x", "f u", "x f df", "x f df u", "a u_a", "t v a u_a du_a_dt"])
def test_other_columns(names):
    with pytest.raises(ConfigurationError, match="no columns of a fit: should be x, f, df, u, du or similar, got"):
        fit_of(columns(names))
