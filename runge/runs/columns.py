"""The names of the columns of a table of points: inputs, values and partial derivatives, and those of a fit."""

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Columns", "input_names"]


def input_names(dimension: int) -> tuple[str, ...]:
    """Return the names of the inputs of a formula: x, or x1, ..., xD."""
    return ("x",) if dimension == 1 else tuple(f"x{d + 1}" for d in range(dimension))


class Columns(NamedTuple):
    """The columns of `fit.csv`, in this order.

    Attributes:
        inputs: the D inputs.
        values: the P outputs.
        slopes: their partial derivatives, D for each output in turn.
        fits: u for each output.
        fit_slopes: their partial derivatives, likewise.

    Example:
        >>> Columns.of(["x"], ["f"]).names()
        ['x', 'f', 'df', 'u', 'du']
        >>> Columns.of(["a", "b"], ["y"]).names()
        ['a', 'b', 'y', 'dy_da', 'dy_db', 'u_y', 'du_y_da', 'du_y_db']
    """

    inputs: list[str]
    values: list[str]
    slopes: list[str]
    fits: list[str]
    fit_slopes: list[str]

    @classmethod
    def of(cls, inputs: Sequence[str], outputs: Sequence[str]) -> "Columns":
        """Return the columns for these names of inputs and outputs; the fit of a formula's only output f is u."""
        fits = ["u"] if list(outputs) == ["f"] else [f"u_{name}" for name in outputs]

        def slopes(names: Sequence[str]) -> list[str]:
            if list(inputs) == ["x"] and list(outputs) == ["f"]:
                return [f"d{name}" for name in names]
            return [f"d{name}_d{x}" for name in names for x in inputs]

        return cls(list(inputs), list(outputs), slopes(outputs), fits, slopes(fits))

    def names(self) -> list[str]:
        """Return all names, in order."""
        return [name for part in self for name in part]
