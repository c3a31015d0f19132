"""The mean of networks and its derivatives, at points of any shape."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from runge.data.table import numbered
from runge.function.arguments import Argument
from runge.sobolev.jet import jet, mean_over
from runge.sobolev.network import StackedMLP

__all__ = ["MeanNetwork"]

_CHUNK_POINTS = 2**12
"""The points that are evaluated at a time, over the members: the numbers of a layer fit the CPU's cache."""


class MeanNetwork(nn.Module):
    """The mean of networks, whose derivatives are exact; the shapes are those of `runge.Function`.

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

    def derivative(self, x: Any) -> Any:
        """Return the derivative u'(x): of one output the gradient, of several the Jacobian."""
        return self.value_and_derivative(x)[1]

    def value_and_derivative(self, x: Any) -> tuple[Any, Any]:
        """Return u(x) and u'(x) from one pass."""
        return self._means(x, 1)

    def hessian(self, x: Any) -> Any:
        """Return the Hessian u''(x), as `value_derivative_hessian`."""
        return self.value_derivative_hessian(x)[2]

    def value_derivative_hessian(self, x: Any) -> tuple[Any, Any, Any]:
        """Return u(x), u'(x) and u''(x) from one pass.

        The Hessian is symmetric. It is exact, by forward propagation, as `runge.sobolev.jet.second_order`; a network
        with relu has 0 everywhere, although its slope jumps.
        """
        return self._means(x, 2)

    def hvp(self, x: Any, v: Any) -> Any:
        """Return the product u''(x) v of the Hessian and directions v, of the shape of `derivative`, without u''.

        Raises:
            ValueError: v cannot be broadcast to the shape of x.
        """
        return self._means(x, 2, v)[2]

    def _means(self, x: Any, order: int, along: Any = None) -> Any:
        """Return the means over members of u and its derivatives up to an order, or of the last along directions."""

        def means(points: Tensor, along: Tensor | None = None) -> list[Tensor]:
            return [mean_over(tensor) for tensor in self.jet(points, order, along)]

        return self._evaluate(x, means, along=along, of_each=len(self.inputs) ** max(0, order - 1))

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
        x: Any,
        function: Callable[..., Sequence[Tensor]],
        like: Tensor | None = None,
        along: Any = None,
        of_each: int = 1,
    ) -> tuple[Any, ...]:
        """Return the results of a function of points (1, N, D) at x, in the shape and the type that x asks for.

        Args:
            x: the points.
            function: takes the points, and the directions if there are any, and returns results as `Argument.result`.
            like: a tensor on the device and in the precision in which the function takes points; None: `like`.
            along: directions, broadcast to the shape of x.
            of_each: how many numbers a result has of each point.

        Raises:
            ValueError: x has another shape or is on another device, or directions cannot be broadcast to its shape.
        """
        argument, like = Argument.of(x, self.inputs), self.like if like is None else like
        points = [argument.to(like)]
        shape = points[0].shape
        if along is not None:
            directions = Argument.of(along, self.inputs).to(like)
            try:
                points.append(directions.expand(shape))
            except RuntimeError as error:
                rule = f"v: must have the shape of x, {tuple(shape)}, or one that is broadcast to it"
                raise ValueError(f"{rule}; got {tuple(directions.shape)}") from error
        rows = [part.reshape(1, -1, len(self.inputs)) for part in points]
        with torch.set_grad_enabled(torch.is_grad_enabled() and isinstance(x, Tensor)):
            differentiated = any(tensor.requires_grad for tensor in (*rows, *self.parameters()))
            if torch.compiler.is_compiling() or (torch.is_grad_enabled() and differentiated):
                results = function(*rows)
            else:
                at_once = max(1, _CHUNK_POINTS // (self.members * of_each))
                chunks = zip(*(part.split(at_once, dim=1) for part in rows), strict=True)
                of_chunks = [function(*chunk) for chunk in chunks]
                results = [torch.cat(pieces, dim=1) for pieces in zip(*of_chunks, strict=True)]
        return tuple(argument.result(result, self.outputs) for result in results)
