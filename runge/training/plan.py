"""Settings of a fit: its loss, its labels, and its plan of steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from runge.sobolev import losses
from runge.sobolev.accuracy import Metric
from runge.sobolev.points import Points
from runge.sobolev.units import Units

Term = Callable[[Any, Points], Tensor]
"""A term of the loss: a function of the module and the points of a step, of which there is one set; it returns ()."""


@dataclass(frozen=True)
class SobolevLoss:
    """The loss MSE_f + lambda_d MSE_df apart from lambda_d, and how it is computed.

    Attributes:
        scale: the derivative's scale c, or one per member.
        penalty: what takes the place of the squares, as in `runge.sobolev.losses`.
        loss_and_gradient: what is minimised: `losses.loss_and_gradient`, or its compiled form, which has no penalty;
            None: the former, with the penalty.
        compiled: the package's own kernel, for the errors and the gradients of both terms; None: torch's operations.
        terms: further terms, each with its weight: functions of a `PlainRegression` and the points of a step.
    """

    scale: float | Tensor = 1.0
    penalty: losses.Penalty | None = None
    loss_and_gradient: losses.LossAndGradient | None = None
    compiled: losses.LossAndGradient | None = None
    terms: Sequence[tuple[float, Term]] = ()


@dataclass(frozen=True)
class Plan:
    """The blocks of steps of a fit, and what is measured at the end of each.

    Attributes:
        steps_per_block: the most optimiser steps of a `training_step`.
        stop_at: the last step, whose weights `best` has then; None: `max_steps`, and those with the lowest loss.
        diagnostics_every: steps between two evaluations of the gradients of both terms.
        own_metrics: further errors by name, each a `Metric`.
        log_figures: true: log the figures by `self.log`.
    """

    steps_per_block: int = 100
    stop_at: int | None = None
    diagnostics_every: int = 200
    own_metrics: Mapping[str, Metric] = field(default_factory=dict)
    log_figures: bool = True


@dataclass(frozen=True)
class Labels:
    """The labels of a stack, as its errors are measured in them.

    Attributes:
        outputs: the number of outputs P.
        units: the user's units; None: those of the data.
        beside: points by split; relative errors on a split are relative to the standard deviations over its points and
            these.
    """

    outputs: int = 1
    units: Units | None = None
    beside: Mapping[str, Sequence[Points]] = field(default_factory=dict)
