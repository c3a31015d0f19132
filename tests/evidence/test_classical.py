import pytest
from classical import classical

from runge.targets import Expression, Runge


def test_cubics_are_reproduced():
    errors = classical(Expression("x**3 - x/3"), 12)
    for name in ("Chebyshev", "cubic spline"):
        assert errors[name] == pytest.approx((0, 0), abs=1e-22)


def test_only_aaa_reproduces_a_rational_function():
    errors = classical(Runge(), 24)
    assert max(errors["AAA"]) < 1e-24
    assert min(*errors["Chebyshev"], *errors["cubic spline"]) > 1e-8


def test_interpolation_converges_at_the_theoretical_rate():
    """The error of Chebyshev interpolation of Runge's function falls by 1/5 + sqrt(1 + 1/25) per degree.

    References:
        L. N. Trefethen (2013). Approximation Theory and Approximation Practice, theorem 8.2.
    """
    rate = 0.2 + (1 + 0.04) ** 0.5
    (coarse, _), (fine, _) = (classical(Runge(), n)["Chebyshev"] for n in (21, 41))
    assert coarse / fine == pytest.approx(rate ** (2 * 20), rel=0.2)
