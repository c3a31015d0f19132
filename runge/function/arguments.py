"""Points as a function is given them, and its results in their shape and type."""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from runge.data.column_roles import column_names

if TYPE_CHECKING:
    import pandas

__all__ = ["Argument"]


class Argument(NamedTuple):
    """Points that are given to a function of some inputs; the rule of shapes and types is that of `runge.Function`.

    Attributes:
        given: a tensor, an array, numbers, a Series, or a table whose columns are taken by the inputs' names.
        numbers: their numbers, (..., D), or of one input also (m,) or ().
        inputs: the names of the inputs.
    """

    given: Any
    numbers: Tensor | np.ndarray
    inputs: Sequence[str]

    @classmethod
    def of(cls, x: Any, inputs: Sequence[str]) -> "Argument":
        """Read the points.

        Raises:
            ValueError: a table lacks an input, something is not a number, or x has another shape.
        """
        numbers: Any = x
        if hasattr(x, "columns"):
            if missing := [name for name in inputs if name not in x.columns]:
                rule = f"must have a column for each input, {', '.join(inputs)}"
                raise ValueError(f"x: {rule}; missing: {missing}")
            numbers = np.stack([np.asarray(x[name]) for name in inputs], axis=-1)
        elif hasattr(x, "iloc") and len(inputs) > 1:  # its index may name the inputs in another order
            raise ValueError("x: a row must be a DataFrame, such as df.iloc[[0]]; got a Series")
        if not isinstance(x, Tensor):
            numbers = np.asarray(numbers)
            try:
                numbers = numbers if numbers.dtype.kind in "fc" else numbers.astype(float)
            except TypeError as error:
                raise ValueError(f"x: must be numbers; {error}") from error
        if numbers.dtype.is_complex if isinstance(x, Tensor) else numbers.dtype.kind == "c":
            raise ValueError("x: must be real; the method `derivative` gives exact derivatives")
        argument, count, shape = cls(x, numbers, inputs), len(inputs), tuple(numbers.shape)
        if not argument.is_flat and shape[-1:] != (count,):
            also = ", or (m,) or ()" if count == 1 else ""
            raise ValueError(f"x: must have the shape (..., {count}), the inputs last{also}; got {shape}")
        return argument

    @property
    def is_flat(self) -> bool:
        """True if the axis of the one input is left out."""
        return len(self.inputs) == 1 and self.numbers.ndim < 2

    def to(self, like: Tensor) -> Tensor:
        """Return the numbers as a tensor on the device and in the precision of another one.

        Raises:
            ValueError: they are a tensor on another device.
        """
        if isinstance(self.numbers, np.ndarray):
            # A copy in native byte order; in float64 numbers are not rounded before units subtract their mean.
            return torch.from_numpy(np.array(self.numbers, float)).to(like)
        if self.numbers.device != like.device:
            how = "move x or the function by its method `to`"
            raise ValueError(f"x: must be on the function's device, {like.device}; got {self.numbers.device}; {how}")
        return self.numbers.to(like)

    def table(self) -> "pandas.DataFrame":
        """Return the points as a table with a row for each and a column for each input."""
        import pandas

        x = self.numbers.numpy(force=True) if isinstance(self.numbers, Tensor) else self.numbers
        index = self.given.index if hasattr(self.given, "iloc") else None
        return pandas.DataFrame(x.reshape(-1, len(self.inputs)), index, [*self.inputs])

    def result(self, tensor: Tensor, outputs: Sequence[str]) -> Any:
        """Return a result at the points: values, (1, N, P), a derivative, (1, N, P, D, ...), or a number, (1, N)."""
        front = self.numbers.shape if self.is_flat else self.numbers.shape[:-1]
        of_output = tensor.shape[2:3] if len(outputs) > 1 else ()
        shaped = tensor.reshape((*front, *of_output, *(() if self.is_flat else tensor.shape[3:])))
        if isinstance(self.numbers, Tensor):
            return shaped.to(self.numbers.dtype) if self.numbers.is_floating_point() else shaped
        array = shaped.numpy(force=True).astype(self.numbers.dtype.newbyteorder("="))
        if not hasattr(self.given, "iloc"):
            return array[()]  # a number for a number
        import pandas

        names = [*chain(*column_names(self.inputs, outputs, tensor.ndim - 3))] if tensor.ndim > 2 else ["outside"]
        if array.ndim == 1:
            return pandas.Series(array, self.given.index, name=names[0])
        if tensor.ndim == 5:  # each pair of inputs once
            array = array.reshape(tensor.shape[1:])[:, :, *np.triu_indices(len(self.inputs))]
        return pandas.DataFrame(array.reshape(len(array), len(names)), self.given.index, names)
