"""The mean of networks and its derivatives, at points of any shape."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from runge.data.table import numbered
from runge.function.arguments import Argument, evaluate_in_chunks, without_single
from runge.sobolev.jet import jet, mean_over
from runge.sobolev.network import StackedMLP

__all__ = ["MeanNetwork"]

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
        return results if len(self.outputs) > 1 else without_single(results, len(self.inputs))

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
        """Return the results of a function of points, of which each has `of_each` numbers."""
        return evaluate_in_chunks(
            function,
            x,
            along,
            inputs=self.inputs,
            like=self.like if like is None else like,
            at_once=max(1, _CHUNK_POINTS // (self.members * of_each)),
            together=any(parameter.requires_grad for parameter in self.parameters()),
        )
