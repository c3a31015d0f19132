"""The columns of `fit.csv`: the test points, their labels, and the fit."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from runge.configuration.errors import ConfigurationError

Array = NDArray[np.floating[Any]]

LEVEL = 0.9
"""The level of the intervals that are drawn and reported: the share of new labels that they are to contain."""


def column_names(inputs: Sequence[str], outputs: Sequence[str]) -> list[str]:
    """Return the names of the columns of `fit.csv`: of x, f, f', u and u', the derivatives of each output in turn.

    Example:
        >>> column_names(["x"], ["f"])
        ['x', 'f', 'df', 'u', 'du']
        >>> column_names(["a", "b"], ["y"])
        ['a', 'b', 'y', 'dy_da', 'dy_db', 'u_y', 'du_y_da', 'du_y_db']
    """
    fits = ["u"] if list(outputs) == ["f"] else [f"u_{name}" for name in outputs]
    return [*inputs, *outputs, *slope_names(inputs, outputs), *fits, *slope_names(inputs, outputs, fits)]


def slope_names(inputs: Sequence[str], outputs: Sequence[str], fits: Sequence[str] | None = None) -> list[str]:
    """Return the names of the partial derivatives of outputs, or of their fits, with respect to the inputs."""
    names = outputs if fits is None else fits
    if list(inputs) == ["x"] and list(outputs) == ["f"]:
        return [f"d{name}" for name in names]
    return [f"d{name}_d{x}" for name in names for x in inputs]


class SampledFit(NamedTuple):
    """The values of a fit of D inputs and P outputs at N points; NaN where a label is not known.

    Attributes:
        inputs: the names of the inputs.
        outputs: the names of the outputs.
        x: the points, (N, D).
        f: the values, (N, P).
        df: the gradients, (N, P, D).
        u: the fit, (N, P).
        du: the gradients of the fit, (N, P, D).
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    x: Array
    f: Array
    df: Array
    u: Array
    du: Array


class Section(NamedTuple):
    """A fit of P outputs at N points of a line or a plane: K inputs vary, and the others are fixed.

    Attributes:
        x: the varying inputs, (N, K); of a line ascending.
        u: the fit, (N, P).
        du: its derivatives with respect to these inputs, (N, P, K).
        around: half the widths of intervals of u, (N, P); NaN: there are none.
        around_du: half the widths of intervals of du, (N, P, K).
        outside: whether the points are outside the data, (N,).
        f: the values of the formula that was fitted, (N, P); None: it is not known.
    """

    x: Array
    u: Array
    du: Array
    around: Array
    around_du: Array
    outside: NDArray[np.bool_]
    f: Array | None = None


def fit_of(columns: Mapping[str, Sequence[float]]) -> SampledFit:
    """Return the fit in the columns of a `fit.csv`.

    The inputs are first. A function of one input has the columns f, df, u and du; of several, f, df_dx1, ... and u,
    du_dx1, ... An output y has the columns y, dy_dx1, ... and u_y, du_y_dx1, ...; dy_dx1, ... may be missing.

    Raises:
        ConfigurationError: there are no inputs or outputs, or a derivative of the fit is missing.
    """
    names = list(columns)
    fits = {name: f"u_{name}" for name in names if f"u_{name}" in columns}
    fits = {name: fit for name, fit in fits.items() if fit not in fits}  # u_x may be an output, and x an input
    outputs = {name: fit for name, fit in fits.items() if any(x.startswith(f"d{fit}") for x in names)}  # or both inputs
    if not outputs and {"f", "u"} <= columns.keys():
        outputs = {"f": "u"}
    inputs = names[: min(map(names.index, outputs), default=0)]

    def slope(y: str, x: str) -> str:
        is_short = len(inputs) == 1 and f"d{y}" in columns.keys() - outputs.keys() - {*inputs}
        return f"d{y}" if is_short else f"d{y}_d{x}"

    # Compared before any array is made: the number of derivatives is then the number of columns.
    if not inputs or not all(slope(u, x) in columns for u in outputs.values() for x in inputs):
        raise ConfigurationError(f"no columns of a fit: should be x, f, df, u, du or similar, got {', '.join(names)}")
    unknown = [np.nan] * len(columns[inputs[0]])

    def slopes(of: Sequence[str]) -> Array:
        rows = [[columns.get(slope(y, x), unknown) for x in inputs] for y in of]
        return np.array(rows, float).transpose(2, 0, 1)

    x = np.array([columns[name] for name in inputs], float).T
    f, u = (np.array([columns[name] for name in names], float).T for names in (outputs, outputs.values()))
    return SampledFit(tuple(inputs), tuple(outputs), x, f, slopes(list(outputs)), u, slopes(list(outputs.values())))
