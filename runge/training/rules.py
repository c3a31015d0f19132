"""Find the settings of a run that have no effect together with its other settings."""

from typing import TYPE_CHECKING

from runge.balance import Log
from runge.configuration.command_line import key_of
from runge.resampling import Periodic
from runge.schedules import NEVER

if TYPE_CHECKING:
    from runge.training.member import Member

__all__ = ["without_effect"]


def without_effect(run: "Member") -> list[str]:
    """Return the overrides of a balance or a resampling that is not applied before the run ends, each with the reason.

    With a gradient method `balance=log` always has an effect, because the method minimises the logarithm itself.
    """
    moves, steps = run.resampling, run.training.max_steps
    look, reasons = run.balance.next_look(0), dict[str, str]()
    if steps <= look < NEVER and not (run.optimizer.by_gradient and isinstance(run.balance, Log)):
        reasons["balance"] = f"trainer.max_steps is {steps}, and it is first applied after {look}"
    if isinstance(moves, Periodic) and max(moves.every, 1) >= min(steps, moves.last_step + 1):
        reasons["resampling"] = f"trainer.max_steps is {steps}, and no point moves before the end"
    keys = {override: key_of(override).partition(".")[0] for override in run.overrides}
    return [f"{override} ({reasons[key]})" for override, key in keys.items() if key in reasons]
