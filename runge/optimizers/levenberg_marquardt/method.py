r"""Levenberg-Marquardt on the errors of values and derivatives, for a stack of members.

The loss is a weighted sum of squares, :math:`L = e^T W e`, of the errors e of u and u'. With their Jacobian J and the
damping mu, a step is

.. math:: v = -(J^T W J + \mu I)^{-1} J^T W e = -J^T (J J^T + \mu W^{-1})^{-1} e,

computed by the second form, in the space of the errors, if there are at most as many errors as weights, and otherwise
by the first; if there are more than 3000 of both, by deflated conjugate gradients (`deflated`). The
products of J^T W J are in 32 bits while mu is above their round-off. The errors and J^T W e are in 64 bits. With many
points the first steps are on subsets of them, `subsets`.
Geodesic acceleration follows the curvature of e along v: with e'' = d^2 e(theta + t v) / dt^2 instead of e the same
system gives a, and the step is v + a / 2.

Each member has its own mu. A try that fails is undone, and mu is multiplied for the next, by `increase` after the first
and by twice the factor before after each further one. A try that succeeds multiplies it, within 1 / `decrease` and
`increase`, by

.. math:: 1 - (2 \rho - 1)^3, \quad \rho = \frac{L(\theta) - L(\theta + v + a / 2)}{L(\theta) - |e + J v|_W^2},

where rho compares the reduction of the loss with that of its model: 1 where the errors are linear. So mu is kept where
a smaller one would fail. A member whose loss no damping reduces is at rest; when its loss changes, it continues with
the initial damping.

The last layer can be eliminated (`elimination`): a step is then one of the other weights alone. Since
J is approximate then, rho says little, and mu is divided by `decrease` if the first try of a step succeeds.
"""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Parameter

from runge.configuration.validation import NonNegative, Positive, checked
from runge.optimizers.least_squares import solve_last_layer
from runge.optimizers.levenberg_marquardt import limits
from runge.optimizers.levenberg_marquardt.elimination import relative_ridge
from runge.optimizers.levenberg_marquardt.linearised import Linearised, errors_and_weights, has_second
from runge.optimizers.levenberg_marquardt.subsets import first_size, subset
from runge.optimizers.levenberg_marquardt.trial import Trial, system_of
from runge.optimizers.optimizer import LINEAR_ALGEBRA, Needs, Optimizer, Problem

__all__ = ["LevenbergMarquardt"]

Factor = Annotated[float, Field(gt=1, le=1e12, allow_inf_nan=False)]


@checked
class LevenbergMarquardt(Optimizer):
    """The Levenberg-Marquardt method with geodesic acceleration.

    Attributes:
        damping: the initial damping mu, in [1e-12, 1e12].
        decrease: the largest factor by which mu is divided after a try that succeeds, in (1, 1e12].
        increase: the factor by which mu is multiplied after a step's first failed try, in (1, 1e12]; it doubles with
            each further one.
        acceleration: the largest |a| / |v| at which the acceleration a is applied, in [0, 1e12]; 0: never.
        readout: how the last layer is solved: true: exactly at the end, which is the step `max_steps`, rest, or the
            limit of the time; false: by the steps alone; "eliminate": at every step, which is then one of the other
            weights alone (variable projection).

    Raises:
        ValueError: a parameter is outside its range.

    References:
        D. W. Marquardt (1963). An algorithm for least-squares estimation of nonlinear parameters.
        https://doi.org/10.1137/0111030
        H. B. Nielsen (1999). Damping parameter in Marquardt's method. Report IMM-REP-1999-05, Technical University of
        Denmark. https://www2.imm.dtu.dk/documents/ftp/tr99/tr05_99.pdf
        M. K. Transtrum, J. P. Sethna (2012). Improvements to the Levenberg-Marquardt algorithm for nonlinear
        least-squares minimization. https://arxiv.org/abs/1201.5885
    """

    by_gradient: ClassVar[bool] = False
    demands: ClassVar[Needs] = LINEAR_ALGEBRA

    damping: Positive = 1.0
    decrease: Factor = 3.0
    increase: Factor = 2.0
    acceleration: NonNegative = 0.75
    readout: Literal[True, False, "eliminate"] = True

    @torch.no_grad()
    def step(self, optimizer: torch.optim.Optimizer, problem: Problem, progress: float) -> None:
        """Take a step for every member that is not at rest, or several steps on a subset of the points."""
        state, n = self._state(optimizer, problem.network.theta), problem.points.x.shape[1]
        if self.readout == "eliminate":
            return self._step(state, problem)
        if "points" not in state:
            state["points"] = first_size(problem)
        size = state["points"]
        if progress >= limits.ALL_POINTS_FROM:
            size.fill_(n)
        if (size >= n).all():
            return self._step(state, problem)
        active, before = state["at_rest"] == 0, size.clone()
        for points in map(int, before[active].unique().tolist()):
            self._step_on(points, (active & (before == points)).nonzero()[:, 0], state, problem)
        return None

    def _step_on(self, size: int, members: Tensor, state: dict[str, Tensor], problem: Problem) -> None:
        """Take a step for members on all points, or some on a subset, which are undone if fresh points lose by them."""
        n, subproblem = problem.points.x.shape[1], problem.take(members)
        state_of_part = {name: value[members] for name, value in state.items()}
        if size >= n:
            self._step(state_of_part, subproblem)
        else:
            chosen, fresh = subset(subproblem, 0, size), subset(subproblem, size, 2 * size)
            theta, start = subproblem.network.theta, subproblem.network.theta.clone()
            before, damping = _loss(fresh), state_of_part["damping"].clone()
            for _ in range(max(1, min(n // (2 * size), limits.SUBSET_STEPS))):  # few, so that they do not overfit it
                self._step(state_of_part, chosen)
            after = _loss(fresh)
            theta.copy_(torch.where((after < before)[:, None], theta, start))
            small = (state_of_part["at_rest"] != 0) | ~(after < limits.SUBSET_REDUCTION * before)
            state_of_part["points"][small] = 2 * size if 4 * size <= n else n  # else too few are fresh
            state_of_part["damping"].copy_(torch.where(after < before, state_of_part["damping"], damping))
            state_of_part["at_rest"].zero_()
        problem.network.theta[members] = subproblem.network.theta
        for name, value in state_of_part.items():
            state[name][members] = value

    def _step(self, state: dict[str, Tensor], problem: Problem) -> None:
        """Take a step with the state of a problem's members: raise the damping of each until its loss is reduced."""
        theta, (errors, weights, tape) = problem.network.theta, errors_and_weights(problem)
        loss = (weights * errors.square()).sum(1)
        waiting = (loss.isfinite() & (state["at_rest"] == 0)).nonzero()[:, 0]  # those whose loss no try has reduced
        if not len(waiting):
            return
        best, damping = theta.clone(), state["damping"]
        if self.readout == "eliminate":
            trial = Trial.without_last_layer(problem, relative_ridge(problem, loss))
            best[waiting] = trial.start[waiting]  # with the last layer of this step's ridge
            smallest = limits.SMALLEST_DAMPING_ELIMINATED
        else:
            system = system_of(Linearised.of(problem, tape), weights, state)
            trial, smallest = Trial(problem, system, theta.clone(), errors, weights, loss), limits.SMALLEST_DAMPING
        system = trial.system
        if len(waiting) < len(theta):
            trial = trial.take(waiting)
        for tries in range(limits.MOST_TRIES):
            trial.system.damp(damping[waiting])
            change, model = self._change(trial)
            reduction = trial.loss - trial.loss_of(trial.errors_at(trial.start + change))
            better = reduction > 0
            done, waiting = waiting[better], waiting[~better]
            best[done] = trial.problem.network.theta[better]
            damping[done] *= self._factor(reduction / (trial.loss - model), tries)[better]
            damping[waiting] *= self.increase * 2**tries
            damping.clamp_(smallest, 1 / smallest)
            if not len(waiting):
                break
            if len(done):
                trial = trial.take((~better).nonzero()[:, 0])
        state["at_rest"][waiting], damping[waiting] = 1, self.damping
        system.keep(state)
        theta.copy_(best)

    def _change(self, trial: Trial) -> tuple[Tensor, Tensor]:
        """Return the step v + a / 2, or v for members whose a is too large, and the loss of the linear model at v."""
        velocity, t = -trial.system.solve(trial.errors), limits.DIFFERENCE
        ahead, behind = (trial.errors_at(trial.start + side * velocity) for side in (t, -t))
        model = trial.loss_of(trial.errors + (ahead - behind) / (2 * t))
        if not self.acceleration:
            return velocity, model
        acceleration = -trial.system.solve((ahead + behind - 2 * trial.errors) / t**2)
        small = acceleration.norm(dim=1) <= self.acceleration * velocity.norm(dim=1)
        return torch.where(small[:, None], velocity + acceleration / 2, velocity), model

    def _factor(self, ratio: Tensor, tries: int) -> Tensor:
        """Return the factors of mu, (M,), after a try that succeeded, from the gain ratio and the tries before it."""
        if self.readout == "eliminate":
            return torch.full_like(ratio, 1.0 if tries else 1 / self.decrease)
        return (1 - (2 * ratio - 1) ** 3).clamp(1 / self.decrease, self.increase).nan_to_num(1.0)

    def finish(self, problem: Problem) -> None:
        """Solve the last layer, in which the errors are linear, exactly, for members whose loss this reduces.

        Damped steps approach the solution of this ill-conditioned problem slowly. Solved after each step, it would
        leave the other layers nothing to learn from a Jacobian that is not projected. With labels of second derivatives
        it stays as it is.
        """
        if self.readout is True and not has_second(problem):
            solve_last_layer(problem, limits.READOUT_RANK)

    def takes_second(self) -> bool:
        """Return whether the last layer is not eliminated, which the errors of second derivatives would have to be."""
        return self.readout != "eliminate"

    def products(self, errors: int, weights: int, width: int) -> float:
        """Estimate the multiplications of a step: its matrix and its factors, in the smaller space."""
        return errors**3 / 3 if errors <= weights else weights**2 * (errors + weights / 3)

    def figures(self, optimizer: torch.optim.Optimizer, parameter: Parameter, progress: float) -> dict[str, Tensor]:
        """Return the damping mu."""
        return {"damping": self._state(optimizer, parameter)["damping"].clone()}

    def carried(self, optimizer: torch.optim.Optimizer, parameter: Parameter) -> dict[str, Tensor]:
        """Return mu, at most the initial one, and the size of the systems. The next run uses all points."""
        state = self._state(optimizer, parameter)
        damping = state["damping"].clamp_max(self.damping)
        none, every = torch.zeros_like(damping), torch.full_like(damping, torch.inf)
        return {**state, "damping": damping, "at_rest": none, "points": every}

    def reset(self, optimizer: torch.optim.Optimizer) -> None:
        """Wake members at rest."""
        for state in optimizer.state.values():
            state["at_rest"].zero_()

    def at_rest(self, optimizer: torch.optim.Optimizer, parameter: Parameter) -> bool:
        """Return whether all members are at rest."""
        return parameter in optimizer.state and bool(optimizer.state[parameter]["at_rest"].all())

    def members_at_rest(self, optimizer: torch.optim.Optimizer, parameter: Parameter) -> Tensor:
        """Return which members are at rest, (M,)."""
        return self._state(optimizer, parameter)["at_rest"].bool()

    def put_to_rest(self, optimizer: torch.optim.Optimizer, parameter: Parameter, members: Tensor) -> None:
        """Put members to rest."""
        self._state(optimizer, parameter)["at_rest"].masked_fill_(members, 1)

    def _state(self, optimizer: torch.optim.Optimizer, theta: Parameter) -> dict[str, Tensor]:
        """Return the state of each member, (M,), by name; `step` adds `points`, how many it uses.

        `damping` is mu, `at_rest` is 1 if no damping reduces the loss, `columns` are about those of F (`DeflatedCG`),
        and `single` is 1 if the products of the next step are in 32 bits (`WeightSpace`). Torch restores state in the
        dtype of the weights, so that flags and counts are floats.
        """
        state = optimizer.state[theta]
        start = {"damping": self.damping, "at_rest": 0.0, "columns": limits.FIRST_COLUMNS, "single": 0.0}
        for name, value in start.items():
            state.setdefault(name, torch.full_like(theta[:, 0], value))
        return state


def _loss(problem: Problem) -> Tensor:
    """Return the loss of each member, (M,)."""
    errors, weights, _ = errors_and_weights(problem)
    return (weights * errors.square()).sum(1)
