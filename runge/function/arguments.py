"""Convert the points of a user: a tensor, an array, numbers, or a table with a column for each input."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["Argument", "evaluate_in_chunks", "without_single"]

Argument = Any
"""A tensor, an array, numbers, a Series, or a table, as a DataFrame, whose columns are taken by the inputs' names."""


def evaluate_in_chunks(
    function: Callable[..., Sequence[Tensor]],
    x: Argument,
    along: Argument | None = None,
    *,
    inputs: Sequence[str],
    like: Tensor,
    at_once: int,
    together: bool,
) -> list[Any]:
    """Return the results of a function of points (1, N, D) at x, with the shape of x in the place of (1, N).

    Args:
        function: takes the points, and the directions if there are any, and returns results of the shape (1, N, ...).
        x: the points, of the shape (..., D), or of any shape with one input.
        along: directions, broadcast to the shape of x.
        inputs: the names of the D inputs.
        like: a tensor on the device and in the precision in which the function takes points.
        at_once: the number of points that are evaluated at a time, if they are not differentiated.
        together: true: all at a time, because the results can be differentiated by something else.

    Raises:
        ValueError: a table lacks an input, x has another shape, or directions cannot be broadcast to it.
    """
    arguments = [_columns(argument, inputs) for argument in (x, along) if argument is not None]
    if isinstance(arguments[0], (np.ndarray, np.generic)):
        with torch.no_grad():
            tensors = [
                argument if isinstance(argument, Tensor) else torch.from_numpy(np.array(argument, float))
                for argument in arguments
            ]
            results = evaluate_in_chunks(
                function, *tensors, inputs=inputs, like=like, at_once=at_once, together=together
            )
        return [result.numpy(force=True) for result in results]
    # In float64 numbers are not rounded before standardised units subtract their mean.
    tensors = [
        argument if isinstance(argument, Tensor) else torch.as_tensor(argument, dtype=torch.float64)
        for argument in arguments
    ]
    points, dimension = [tensor.to(like) for tensor in tensors], len(inputs)
    shape = points[0].shape
    if dimension > 1 and (not shape or shape[-1] != dimension):
        raise ValueError(f"x: must have the shape (..., {dimension}), one column per input; got {tuple(shape)}")
    for i, argument in enumerate(points[1:], start=1):
        try:
            points[i] = argument.expand(shape)
        except RuntimeError as error:
            rule = f"v: must have the shape of x, {tuple(shape)}, or one that is broadcast to it"
            raise ValueError(f"{rule}; got {tuple(argument.shape)}") from error
    rows = [argument.reshape(1, -1, dimension) for argument in points]
    together = together or any(argument.requires_grad for argument in rows)
    if torch.compiler.is_compiling() or (torch.is_grad_enabled() and together):
        results = function(*rows)
    else:
        chunks = zip(*(argument.split(at_once, dim=1) for argument in rows), strict=True)
        of_chunks = [function(*chunk) for chunk in chunks]
        results = [torch.cat(pieces, dim=1) for pieces in zip(*of_chunks, strict=True)]
    return [result.reshape((*(shape if dimension == 1 else shape[:-1]), *result.shape[2:])) for result in results]


def _columns(x: Argument, inputs: Sequence[str]) -> Argument:
    if not hasattr(x, "columns"):
        return x.to_numpy(float) if hasattr(x, "to_numpy") else x  # a Series
    if missing := [name for name in inputs if name not in x.columns]:
        raise ValueError(f"x: must have a column for each input, {', '.join(inputs)}; missing: {missing}")
    x = np.stack([np.asarray(x[name], float) for name in inputs], axis=-1)
    return x[:, 0] if len(inputs) == 1 else x


def without_single(jet: Sequence[Any], inputs: int) -> tuple[Any, ...]:
    """Return u, (..., 1), u', (..., 1, D), and u'', (..., 1, D, D), without the axes of one output and one input."""
    axis = 0 if inputs == 1 else slice(None)
    return tuple(derivative[(..., 0, *[axis] * (derivative.ndim - jet[0].ndim))] for derivative in jet)
