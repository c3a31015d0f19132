"""What a function predicts at the rows of a table: values, Jacobian and what says how sure they are, as arrays."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from runge.function.function import Function

__all__ = ["predict"]


def predict(
    function: "Function", x: np.ndarray, interval: float | None = None, hessian: bool = False
) -> dict[str, np.ndarray]:
    """Return u, (m, P), and du, (m, P, D), at points x, (m, D), in float64: the means over the members.

    With `hessian` there is also d2u, (m, P, D, D). Of several members, `u_std` and `du_std` are their standard
    deviations, as `Function.value_and_derivative_std`. With a level of intervals, `u_low`, `du_low`, `u_high` and
    `du_high` are their ends.

    Raises:
        ConfigurationError, ValueError: there are no intervals, as `Function.value_and_derivative_interval`.
    """
    points = x[:, 0] if len(function.inputs) == 1 else x
    u, du, *second = function.value_derivative_hessian(points) if hessian else function.value_and_derivative(points)
    named = {"": (u, du)}
    if function.members > 1:
        named["_std"] = function.value_and_derivative_std(points)
    if interval is not None:
        (low, high), (slope_low, slope_high) = function.value_and_derivative_interval(points, interval)
        named |= {"_low": (low, slope_low), "_high": (high, slope_high)}
    shapes = {"u": (len(x), len(function.outputs)), "du": (len(x), len(function.outputs), x.shape[1])}
    found = {
        f"{name}{end}": part.astype(float).reshape(shape)
        for end, pair in named.items()
        for (name, shape), part in zip(shapes.items(), pair, strict=True)
    }
    if hessian:
        found["d2u"] = second[0].astype(float).reshape(*shapes["du"], x.shape[1])
    return found
