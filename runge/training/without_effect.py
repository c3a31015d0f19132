"""Options that were typed but change nothing in the training, said before it begins."""

import math
from typing import TYPE_CHECKING

from runge.balance import GradNorm, Log, NeuralTangentKernel, Scale
from runge.data import Data
from runge.resampling import Periodic
from runge.schedules import NEVER, Constant

if TYPE_CHECKING:
    from runge.training.member import Member

__all__ = ["without_effect"]


def without_effect(run: "Member", lambda_d: float, at_first: float, outputs: int) -> list[str]:
    """Return the overrides of a run that change no weight in any step, each with the reason.

    Without f' in the loss, a balance of ratios has no effect on a single output. ReLoBRaLo changes the loss's size,
    which affects momentum and damping, and a gradient method minimises the logarithm itself with `balance=log`.

    Args:
        run: the run.
        lambda_d: its full lambda_d; 0 if none of its training points has a derivative.
        at_first: its lambda_d as the balance sets it before the first step.
        outputs: the number of outputs.
    """
    reasons = _without_derivative(run, outputs) if lambda_d == 0 else {}
    steps, look, by_gradient = run.training.max_steps, run.balance.next_look(0), run.optimizer.by_gradient
    if lambda_d > 0 and isinstance(run.balance, Scale) and math.isclose(at_first, lambda_d, rel_tol=1e-3):
        reasons["balance"] = f"it sets lambda_d to {lambda_d:g}, which it is without it"
    if steps <= look < NEVER and not (by_gradient and isinstance(run.balance, Log)):
        reasons["balance"] = f"trainer.max_steps is {steps}, and it is first applied after {look}"
    if isinstance(run.resampling, Periodic) and max(run.resampling.every, 1) >= min(
        steps, run.resampling.last_step + 1
    ):
        reasons["resampling"] = f"trainer.max_steps is {steps}, and no point moves before the end"
    if run.training.patience is not None and run.training.patience >= steps:
        reasons["trainer.patience"] = f"trainer.max_steps is {steps}"
    typed = {override: override.lstrip("+~").partition("=")[0] for override in run.overrides}
    return [
        f"{override} ({reason})"
        for override, key in typed.items()
        for option, reason in reasons.items()
        if key == option or key.startswith(f"{option}.")
    ]


def _without_derivative(run: "Member", outputs: int) -> dict[str, str]:
    """Return the options that only concern f', with the reason, of a run without f' in its loss."""
    formula, loss = run.data if isinstance(run.data, Data) else None, run.loss
    ratios = (GradNorm, NeuralTangentKernel) if run.optimizer.by_gradient else (GradNorm, NeuralTangentKernel, Log)
    has = {
        "schedule": not isinstance(run.schedule, Constant),
        "balance": isinstance(run.balance, Scale) or (outputs == 1 and isinstance(run.balance, ratios)),
        "loss.lambda_d": loss.lambda_d > 0,
        "loss.derivative_scale": loss.derivative_scale != "none",
        "data.noise_df": formula is not None and formula.noise_df > 0,
        "data.n_derivative": formula is not None and formula.n_derivative is not None,
    }
    reason = "no training point has a derivative" if loss.lambda_d else "lambda_d is 0"
    return {option: reason for option, is_set in has.items() if is_set}
