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

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Parameter

from runge import losses
from runge.jacobian import gram, jacobian
from runge.network import StackedMLP, Tape
from runge.optimizers.optimizer import Method, Problem
from runge.validation import NonNegative, Positive, checked

if TYPE_CHECKING:
    from runge.settings import Training

Factor = Annotated[float, Field(gt=1, allow_inf_nan=False)]

_TRIES = 40
"""Dampings that are tried in one step."""

_SMALLEST = 1e-22
_CURVATURE_STEP = 0.1
"""The t at which the second derivative along the step is taken, by a central difference."""

_POINTS_AT_ONCE = 256


@checked
class LevenbergMarquardt(Method):
    """Levenberg-Marquardt.

    Attributes:
        damping: mu at the start, > 0.
        decrease: what mu is divided by after a step that succeeds at once, > 1.
        increase: what mu is multiplied by after a failure, > 1.
        acceleration: the largest norm of a, relative to that of v, at which a is made use of, >= 0; 0: never.

    References:
        D. W. Marquardt (1963). An algorithm for least-squares estimation of nonlinear parameters.
        https://doi.org/10.1137/0111030
        M. K. Transtrum, J. P. Sethna (2012). Improvements to the Levenberg-Marquardt algorithm for nonlinear
        least-squares minimization. https://arxiv.org/abs/1201.5885
    """

    by_gradient: ClassVar[bool] = False

    damping: Positive
    decrease: Factor
    increase: Factor
    acceleration: NonNegative

    def build(self, parameters: Iterable[Parameter]) -> torch.optim.Optimizer:
        """Make a `DampedLeastSquares`."""
        return DampedLeastSquares(parameters, self)

    def step(self, optimizer: torch.optim.Optimizer, problem: Problem, progress: float) -> None:
        """Take a step."""
        _own(optimizer).solve(problem)

    def figures(self, optimizer: torch.optim.Optimizer, parameter: Parameter, progress: float) -> dict[str, Tensor]:
        """The damping mu."""
        return {"damping": _own(optimizer).damping(parameter).clone()}

    def adapt(self, optimizer: torch.optim.Optimizer) -> None:
        """Let no member rest."""
        for state in optimizer.state.values():
            state["at_rest"].zero_()

    def at_rest(self, optimizer: torch.optim.Optimizer, parameter: Parameter) -> bool:
        """Whether no member's loss falls any more."""
        return parameter in optimizer.state and bool(optimizer.state[parameter]["at_rest"].all())

    def suits(self, training: "Training", derivative: str, batch_size: int | None) -> None:
        """It needs 64 bit, all points at once, and its own derivatives."""
        for key, value, allowed in (
            ("trainer.precision", training.precision, (64,)),
            ("trainer.compile", training.compile, ("auto", "off")),
            ("model.derivative", derivative, ("forward",)),
            ("data.batch_size", batch_size, (None,)),
        ):
            if value not in allowed:
                names = " or ".join("null" if one is None else str(one) for one in allowed)
                raise ValueError(f"{key}: must be {names} with LevenbergMarquardt, got {value!r}")


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
        space = _ErrorSpace if errors.shape[1] <= theta.shape[1] else _WeightSpace
        system, start, best = space(problem, tape, weights), theta.clone(), theta.clone()
        for i in range(_TRIES):
            system.damp(damping, waiting)
            step = self._step(problem, system, start, errors)
            theta.copy_(torch.where(waiting[:, None], start + step, best))
            better = waiting & ((weights * self._errors(problem).square()).sum(1) < loss)
            best = torch.where(better[:, None], theta, best)
            waiting = waiting & ~better
            if i == 0:
                damping[better] /= self._settings.decrease
            damping[waiting] *= self._settings.increase
            damping.clamp_(_SMALLEST, 1 / _SMALLEST)
            if not waiting.any():
                return
        theta.copy_(best)
        state["at_rest"].masked_fill_(waiting, 1)

    def _step(self, problem: Problem, system: "_System", start: Tensor, errors: Tensor) -> Tensor:
        """V, or v + a / 2 for members whose a is small enough."""
        velocity = -system.solve(errors)
        if not self._settings.acceleration:
            return velocity
        theta, curvature = problem.network.theta, -2 * errors
        for sign in (1, -1):
            theta.copy_(start + sign * _CURVATURE_STEP * velocity)
            curvature = curvature + self._errors(problem)
        acceleration = -system.solve(curvature / _CURVATURE_STEP**2)
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
        now = id(theta), theta._version, id(x), with_derivative
        if self._known is None or self._known[0] != now:
            self._known = now, problem.network.propagate(x, with_derivative=with_derivative)
        return self._known[1]


class _System(ABC):
    """The linear system of a step."""

    @abstractmethod
    def damp(self, damping: Tensor, wanted: Tensor) -> None:
        """Factorise it.

        Args:
            damping: mu, (M,).
            wanted: which members' steps are wanted, (M,).
        """

    @abstractmethod
    def solve(self, errors: Tensor) -> Tensor:
        """(J^T W J + mu I)^-1 J^T W e, of shape (M, P), from e, (M, R): 0 for members that are not wanted."""


class _ErrorSpace(_System):
    def __init__(self, problem: Problem, tape: Tape, weights: Tensor) -> None:
        self.network, self.tape = problem.network, tape
        self.gram = gram(problem.network, tape)
        self.diagonal = (1 / weights).clamp_max(1e200)  # what has no weight is left alone

    def damp(self, damping: Tensor, wanted: Tensor) -> None:
        self.factors = _Cholesky(self.gram, damping[:, None] * self.diagonal, wanted)

    def solve(self, errors: Tensor) -> Tensor:
        return _transposed(self.network, self.tape, self.factors.solve(errors))


class _WeightSpace(_System):
    def __init__(self, problem: Problem, tape: Tape, weights: Tensor) -> None:
        self.network, self.tape, self.weights, x = problem.network, tape, weights, problem.points.x
        members, columns = self.network.theta.shape
        n, outputs = x.shape[1], weights.shape[1] // x.shape[1]
        self.normal = weights.new_zeros(members, columns, columns)
        roots = weights.sqrt().unflatten(1, (outputs, n))
        for first in range(0, n, _POINTS_AT_ONCE):
            some = slice(first, first + _POINTS_AT_ONCE)
            _, _, part = self.network.propagate(x[:, some], with_derivative=outputs > 1)
            weighted = roots[:, :, some].flatten(1)[..., None] * jacobian(self.network, part)
            self.normal.baddbmm_(weighted.mT, weighted)

    def damp(self, damping: Tensor, wanted: Tensor) -> None:
        self.factors = _Cholesky(self.normal, damping[:, None].expand(-1, self.normal.shape[1]), wanted)

    def solve(self, errors: Tensor) -> Tensor:
        return self.factors.solve(_transposed(self.network, self.tape, self.weights * errors))


class _Cholesky:
    """The factors of some members' matrix + diagonal, of which the lower triangles are read, each (M, R, R)."""

    def __init__(self, matrix: Tensor, diagonal: Tensor, wanted: Tensor) -> None:
        self.wanted = wanted
        matrix = matrix.clone() if wanted.all() else matrix[wanted]
        matrix.diagonal(dim1=1, dim2=2).add_(diagonal[wanted])
        self.factor, self.failed = torch.linalg.cholesky_ex(matrix)

    def solve(self, right: Tensor) -> Tensor:
        """The solution, (M, R); 0 where there is none, so that more damping will be tried."""
        found = torch.zeros_like(right)
        solution = torch.cholesky_solve(right[self.wanted, :, None], self.factor)[..., 0]
        found[self.wanted] = solution.masked_fill(self.failed[:, None] != 0, 0)
        return found


def _transposed(network: StackedMLP, tape: Tape, errors: Tensor) -> Tensor:
    """J^T e, (M, P)."""
    n = tape.x.shape[1]
    derivative = errors[:, n:].unflatten(1, (-1, n)).mT if errors.shape[1] > n else None
    return network.adjoint(tape, errors[:, :n], derivative)


def _own(optimizer: torch.optim.Optimizer) -> DampedLeastSquares:
    assert isinstance(optimizer, DampedLeastSquares)
    return optimizer
