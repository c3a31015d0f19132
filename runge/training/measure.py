"""The loss and the errors of a stack on a set of points, as figures by metric key."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from runge import metrics
from runge.sobolev import losses
from runge.sobolev.errors import Reference, errors, partial_errors
from runge.sobolev.points import Points
from runge.sobolev.stages import Predict, ResidualStages

Metric = Callable[[Tensor, Tensor, Points], Tensor]
"""A function of u, (M, N, P), u', (M, N, P, D), and the points, in the user's units; it returns (M,)."""


class Measure:
    """A measure of the errors on several sets of points, whose reference is computed once for each set.

    Args:
        network: the stack.
        penalty: rho in the loss; None: the square.
        own_metrics: further errors by name.
        of_stage: `StackedMLP.value_and_derivative`, or its compiled form.
    """

    def __init__(
        self,
        network: ResidualStages,
        penalty: losses.Penalty | None,
        own_metrics: Mapping[str, Metric],
        of_stage: Predict,
    ) -> None:
        self._network, self._penalty, self._own_metrics, self._of_stage = network, penalty, own_metrics, of_stage
        self._references: dict[str, tuple[Points, Reference]] = {}

    @torch.no_grad()
    def figures(self, split: str, points: Points, scale: Tensor, lambda_d: Tensor) -> dict[str, Tensor]:
        """Return the loss and all errors on a set of points, by metric key, each of shape (M,).

        The derivative's scale c and lambda_d are (M,).
        """
        u, du = self._network.predict(points.x, self._of_stage)
        found = {"loss": losses.weigh(*losses.terms(u, du, points, scale, self._penalty), lambda_d.to(u))}
        found |= errors(u, du, points, self._reference(split, points))
        if self._own_metrics:
            if (units := self._network.units) is not None:
                (u, du), points = units.restore(u, du), units.restore_points(points)
            found |= {name: function(u, du, points) for name, function in self._own_metrics.items()}
        return {metrics.key(split, name): figure for name, figure in found.items()}

    @torch.no_grad()
    def partials(self, split: str, points: Points) -> Tensor:
        """Return the nrmse of each partial derivative, (M, P, D)."""
        return partial_errors(
            self._network.predict(points.x, self._of_stage)[1], points, self._reference(split, points)
        )

    def _reference(self, split: str, points: Points) -> Reference:
        if split not in self._references or self._references[split][0] is not points:
            self._references[split] = points, Reference.of(points, self._network.units)
        return self._references[split][1]
