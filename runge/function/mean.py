"""The mean of networks and its derivatives, at points of any shape."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from runge.data.table import numbered
from runge.sobolev.jet import jet, mean_over
from runge.sobolev.network import StackedMLP

__all__ = ["Argument", "MeanNetwork"]

Argument = Any
"""A tensor, an array, numbers, a Series, or a table, as a DataFrame, whose columns are taken by the inputs' names."""

_CHUNK_POINTS = 2**12
"""The points that are evaluated at a time, over the members: the numbers of a layer fit the CPU's cache."""


class MeanNetwork(nn.Module):
    """The mean of networks, whose derivatives are exact.

    Args:
        networks: the networks, as a stack, or a stack for each of their architectures.
        inputs: the names of the inputs; None: x, or x1, ..., xD.
        outputs: the names of the outputs.
    """

    def __init__(
        self, networks: StackedMLP | Sequence[StackedMLP], inputs: Sequence[str] | None, outputs: Sequence[str]
    ) -> None:
        super().__init__()
        stacks = [networks] if isinstance(networks, StackedMLP) else [*networks]
        self.networks = cast(Sequence[StackedMLP], nn.ModuleList(stacks))
        self.inputs = numbered("x", stacks[0].dimension) if inputs is None else tuple(inputs)
        self.outputs = tuple(outputs)

    @property
    def members(self) -> int:
        """The number of members M."""
        return sum(network.members for network in self.networks)

    @property
    def flat(self) -> bool:
        """True if the second derivatives of some members are 0, because their activation is relu."""
        return any(network.activation_name == "relu" for network in self.networks)

    @property
    def like(self) -> Tensor:
        """A tensor on the device and in the precision in which it takes x."""
        tensors = [network.theta if network.units is None else network.units.x_mean for network in self.networks]
        return next((tensor for tensor in tensors if tensor.dtype == torch.float64), tensors[0])

    def derivative(self, x: Argument) -> Any:
        """Return the derivative u'(x): with D inputs the gradient, with P outputs the Jacobian."""
        return self.value_and_derivative(x)[1]

    def value_and_derivative(self, x: Argument) -> tuple[Any, Any]:
        """Return u(x) and u'(x) from one pass."""
        return self._shaped(*self._means(x, 1))

    def hessian(self, x: Argument) -> Any:
        """Return the Hessian u''(x), (..., D, D) or with P outputs (..., P, D, D), as `value_derivative_hessian`."""
        return self.value_derivative_hessian(x)[2]

    def value_derivative_hessian(self, x: Argument) -> tuple[Any, Any, Any]:
        """Return u(x), u'(x) and u''(x) from one pass.

        With D inputs u'' has the shape (..., D, D), and is symmetric; with P outputs (..., P, D, D). With one input and
        one output it has the shape of x. It is exact, by forward propagation, as `runge.sobolev.jet.second_order`; a
        network with relu has 0 everywhere, although its slope jumps.
        """
        return self._shaped(*self._means(x, 2))

    def hvp(self, x: Argument, v: Argument) -> Any:
        """Return the product u''(x) v of the Hessian and directions v, of the shape of `derivative`, without u''.

        Raises:
            ValueError: v cannot be broadcast to the shape of x.
        """
        return self._shaped(*self._means(x, 2, v))[2]

    def _means(self, x: Argument, order: int, along: Argument | None = None) -> list[Any]:
        """Return the means over members of u and its derivatives up to an order, or of the last along directions."""

        def means(points: Tensor, along: Tensor | None = None) -> list[Tensor]:
            return [mean_over(tensor) for tensor in self.jet(points, order, along)]

        return self._evaluate(x, means, along=along, of_each=len(self.inputs) ** max(0, order - 1))

    def _shaped(self, *results: Any) -> Any:
        """Return u, (..., P), and its derivatives, (..., P, D, ...), without the axes of one output and one input."""
        if len(self.outputs) > 1:
            return results
        axis = 0 if len(self.inputs) == 1 else slice(None)
        return tuple(derivative[(..., 0, *[axis] * (derivative.ndim - results[0].ndim))] for derivative in results)

    def jet(self, x: Tensor, order: int = 1, along: Tensor | None = None) -> list[Tensor]:
        """Return u, (M, N, P), u', (M, N, P, D), and u'', (M, N, P, D, D), up to an order, of each member.

        The points x are (1, N, D), and so are directions v, if any, along which u'' v, (M, N, P, D), is returned.
        """
        jets = [jet(network, x, order, along) for network in self.networks]
        if len(jets) == 1:
            return jets[0]
        return [torch.cat([tensor.to(self.like) for tensor in tensors]) for tensors in zip(*jets, strict=True)]

    def _evaluate(
        self,
        x: Argument,
        function: Callable[..., Sequence[Tensor]],
        like: Tensor | None = None,
        along: Argument | None = None,
        of_each: int = 1,
    ) -> list[Any]:
        """Return the results of a function of points (1, N, D) at x, with the shape of x in the place of (1, N).

        Args:
            x: the points, of the shape (..., D), or of any shape with one input.
            function: takes the points, and the directions if there are any, and returns results (1, N, ...).
            like: a tensor on the device and in the precision in which the function takes points; None: `like`.
            along: directions, broadcast to the shape of x.
            of_each: how many numbers a result has of each point.

        Raises:
            ValueError: a table lacks an input, x has another shape, or directions cannot be broadcast to it.
        """
        arguments = [_columns(argument, self.inputs) for argument in (x, along) if argument is not None]
        is_array = isinstance(arguments[0], (np.ndarray, np.generic))
        # In float64 numbers are not rounded before standardised units subtract their mean.
        tensors = [
            argument if isinstance(argument, Tensor) else torch.from_numpy(np.array(argument, float))
            for argument in arguments
        ]
        points, dimension = [tensor.to(self.like if like is None else like) for tensor in tensors], len(self.inputs)
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
        with torch.set_grad_enabled(torch.is_grad_enabled() and not is_array):
            differentiated = any(tensor.requires_grad for tensor in (*rows, *self.parameters()))
            if torch.compiler.is_compiling() or (torch.is_grad_enabled() and differentiated):
                results = function(*rows)
            else:
                at_once = max(1, _CHUNK_POINTS // (self.members * of_each))
                chunks = zip(*(argument.split(at_once, dim=1) for argument in rows), strict=True)
                of_chunks = [function(*chunk) for chunk in chunks]
                results = [torch.cat(pieces, dim=1) for pieces in zip(*of_chunks, strict=True)]
        results = [
            result.reshape((*(shape if dimension == 1 else shape[:-1]), *result.shape[2:])) for result in results
        ]
        return [result.numpy(force=True) for result in results] if is_array else results


def _columns(x: Argument, inputs: Sequence[str]) -> Argument:
    if not hasattr(x, "columns"):
        return x.to_numpy(float) if hasattr(x, "to_numpy") else x  # a Series
    if missing := [name for name in inputs if name not in x.columns]:
        raise ValueError(f"x: must have a column for each input, {', '.join(inputs)}; missing: {missing}")
    x = np.stack([np.asarray(x[name], float) for name in inputs], axis=-1)
    return x[:, 0] if len(inputs) == 1 else x
