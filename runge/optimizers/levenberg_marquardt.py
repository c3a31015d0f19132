r"""Levenberg-Marquardt on the errors of values and derivatives, for a stack of members.

The loss is a weighted sum of squares, :math:`L = e^T W e`, of the errors e of u and u'. With their Jacobian J and the
damping mu a step is

.. math:: v = -(J^T W J + \mu I)^{-1} J^T W e = -J^T (J J^T + \mu W^{-1})^{-1} e,

by the second form, in the space of the errors, where they are fewer than the weights, and by the first otherwise. The
second needs of J no more than its Gram matrix, and one adjoint pass. Geodesic acceleration follows the curvature of e
along v: with e'' = d^2 e(theta + t v) / dt^2 in place of e the same system gives a, and the step is v + a / 2.

Each member has its own mu. It is divided by `decrease` after a step that makes the loss smaller at once, and multiplied
by `increase` after one that does not, which is taken back and tried again. A member whose loss falls for no damping is
at rest.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Parameter

from runge.optimizers.optimizer import Method, Needs, Problem
from runge.optimizers.systems import ErrorSpace, WeightSpace
from runge.sobolev import losses
from runge.sobolev.jacobian import readout
from runge.sobolev.network import Tape
from runge.validation import NonNegative, Positive, checked

log = logging.getLogger(__name__)

Factor = Annotated[float, Field(gt=1, allow_inf_nan=False)]

_TRIES = 40
"""Dampings that are tried in one step."""

_SMALLEST = 1e-22
_CURVATURE_STEP = 0.1
"""The t at which the second derivative along the step is taken, by a central difference."""


@checked
class LevenbergMarquardt(Method):
    """Levenberg-Marquardt.

    Attributes:
        damping: mu at the start, > 0.
        decrease: what mu is divided by after a step that succeeds at once, > 1.
        increase: what mu is multiplied by after a failure, > 1.
        acceleration: the largest norm of a, relative to that of v, at which a is made use of, >= 0; 0: never.
        readout: whether at the end the last layer is solved exactly.

    References:
        D. W. Marquardt (1963). An algorithm for least-squares estimation of nonlinear parameters.
        https://doi.org/10.1137/0111030
        M. K. Transtrum, J. P. Sethna (2012). Improvements to the Levenberg-Marquardt algorithm for nonlinear
        least-squares minimization. https://arxiv.org/abs/1201.5885
    """

    by_gradient: ClassVar[bool] = False
    demands: ClassVar[Needs] = {
        "trainer.precision": (64,),
        "trainer.compile": ("auto", "off"),
        "model.derivative": ("forward",),
        "data.batch_size": (None,),
    }

    damping: Positive
    decrease: Factor
    increase: Factor
    acceleration: NonNegative
    readout: bool

    def build(self, parameters: Iterable[Parameter]) -> torch.optim.Optimizer:
        """Make a `DampedLeastSquares`."""
        return DampedLeastSquares(parameters, self)

    def step(self, optimizer: torch.optim.Optimizer, problem: Problem, progress: float) -> None:
        """Take a step."""
        _own(optimizer).solve(problem)

    @torch.no_grad()
    def finish(self, problem: Problem) -> None:
        """Solve the last layer exactly, in which the errors are linear, for members whose loss it makes smaller.

        Its condition is bad, so that damped steps come near to it only slowly; done after each step, it would leave the
        other layers nothing to learn.
        """
        if not self.readout:
            return
        network, with_derivative = problem.network, problem.lambda_d is not None

        def errors() -> tuple[Tensor, Tensor, Tape]:
            u, du, tape = network.propagate(problem.points.x, with_derivative=with_derivative)
            found, weights = losses.least_squares(u, du, problem.points, problem.scale, problem.lambda_d)
            return weights.sqrt() * found, weights.sqrt(), tape

        before, roots, tape = errors()
        columns = (roots[..., None] * readout(tape)).nan_to_num()
        driver = "gels" if columns.is_cuda else "gelsd"  # gelsy differs in its last bits from call to call
        try:
            change = torch.linalg.lstsq(columns, -before[..., None].nan_to_num(), driver=driver).solution[..., 0]
        except torch.linalg.LinAlgError as error:  # pyright: ignore[reportPrivateImportUsage]
            log.warning("the last layer is left as it is: %s", error)
            return
        start = network.theta.clone()
        network.theta[:, -change.shape[1] :] += change
        better = errors()[0].square().sum(1) < before.square().sum(1)
        network.theta.copy_(torch.where(better[:, None], network.theta, start))

    def figures(self, optimizer: torch.optim.Optimizer, parameter: Parameter, progress: float) -> dict[str, Tensor]:
        """The damping mu."""
        return {"damping": _own(optimizer).damping(parameter).clone()}

    def reset(self, optimizer: torch.optim.Optimizer) -> None:
        """Let no member rest."""
        for state in optimizer.state.values():
            state["at_rest"].zero_()

    def at_rest(self, optimizer: torch.optim.Optimizer, parameter: Parameter) -> bool:
        """Whether no member's loss falls any more."""
        return parameter in optimizer.state and bool(optimizer.state[parameter]["at_rest"].all())


class DampedLeastSquares(torch.optim.Optimizer):
    """The state of each member, and the step.

    Args:
        parameters: as `Method.build`.
        settings: what a person has set.
    """

    def __init__(self, parameters: Iterable[Parameter], settings: LevenbergMarquardt) -> None:
        super().__init__(parameters, {})
        self._settings = settings
        self._known: tuple[Any, ...] | None = None

    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Not to be used: a gradient is not enough; see `solve`."""
        raise NotImplementedError

    def damping(self, theta: Parameter) -> Tensor:
        """Each member's damping mu, (M,)."""
        return self._state(theta)["damping"]

    @torch.no_grad()
    def solve(self, problem: Problem) -> None:
        """Take a step of every member that is not at rest."""
        theta, state = problem.network.theta, self._state(problem.network.theta)
        u, du, tape = self._propagate(problem)
        errors, weights = losses.least_squares(u, du, problem.points, problem.scale, problem.lambda_d)
        loss = (weights * errors.square()).sum(1)
        damping, waiting = state["damping"], loss.isfinite() & ~state["at_rest"].bool()
        if not waiting.any():
            return
        # A tape sees the weights themselves, which are about to change.
        tape = tape._replace(layers=[(weight.clone(), bias.clone()) for weight, bias in tape.layers])
        space = ErrorSpace if errors.shape[1] <= theta.shape[1] else WeightSpace
        trial = _Trial(problem, space.of(problem, tape, weights), theta.clone(), errors, weights, loss)
        rows, best = waiting.nonzero()[:, 0], theta.clone()
        if len(rows) < len(theta):
            trial = trial.take(rows)
        for i in range(_TRIES):
            trial.system.damp(damping[rows])
            trial.problem.network.theta.copy_(trial.start + self._step(trial))
            better = (trial.weights * self._errors(trial.problem).square()).sum(1) < trial.loss
            best[rows[better]] = trial.problem.network.theta[better]
            if i == 0:
                damping[rows[better]] /= self._settings.decrease
            rows = rows[~better]
            damping[rows] *= self._settings.increase
            damping.clamp_(_SMALLEST, 1 / _SMALLEST)
            if not len(rows):
                break
            if better.any():
                trial = trial.take((~better).nonzero()[:, 0])
        state["at_rest"][rows] = 1
        if len(rows) or trial.problem is not problem:
            theta.copy_(best)

    def _step(self, trial: "_Trial") -> Tensor:
        """V, or v + a / 2 for members whose a is small enough."""
        velocity = -trial.system.solve(trial.errors)
        if not self._settings.acceleration:
            return velocity
        theta, curvature = trial.problem.network.theta, -2 * trial.errors
        for sign in (1, -1):
            theta.copy_(trial.start + sign * _CURVATURE_STEP * velocity)
            curvature = curvature + self._errors(trial.problem)
        acceleration = -trial.system.solve(curvature / _CURVATURE_STEP**2)
        small = acceleration.norm(dim=1) <= self._settings.acceleration * velocity.norm(dim=1)
        return torch.where(small[:, None], velocity + acceleration / 2, velocity)

    def _errors(self, problem: Problem) -> Tensor:
        u, du, _ = self._propagate(problem)
        return losses.least_squares(u, du, problem.points, problem.scale, problem.lambda_d)[0]

    def _state(self, theta: Parameter) -> dict[str, Tensor]:
        state = self.state[theta]
        if not state:
            state["damping"] = torch.full_like(theta[:, 0], self._settings.damping)
            state["at_rest"] = torch.zeros_like(theta[:, 0])  # 0 or 1: torch restores a state in the weights' precision
        return state

    def _propagate(self, problem: Problem) -> tuple[Tensor, Tensor | None, Tape]:
        """The forward pass of the weights as they are; that of the last trial is known already."""
        theta, x, with_derivative = problem.network.theta, problem.points.x, problem.lambda_d is not None
        if self._known is not None:
            known, version, nodes, carried, found = self._known
            if known is theta and version == theta._version and nodes is x and carried == with_derivative:
                return found
        found = problem.network.propagate(x, with_derivative=with_derivative)
        self._known = theta, theta._version, x, with_derivative, found
        return found


@dataclass(frozen=True)
class _Trial:
    """The members whose step is being looked for."""

    problem: Problem
    system: ErrorSpace | WeightSpace
    start: Tensor
    errors: Tensor
    weights: Tensor
    loss: Tensor

    def take(self, members: Tensor) -> "_Trial":
        """Some of them."""
        tensors = (part[members] for part in (self.start, self.errors, self.weights, self.loss))
        problem = self.problem.take(members)
        return _Trial(problem, self.system.take(members, problem.network), *tensors)


def _own(optimizer: torch.optim.Optimizer) -> DampedLeastSquares:
    assert isinstance(optimizer, DampedLeastSquares)
    return optimizer
