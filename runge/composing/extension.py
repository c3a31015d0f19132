"""More steps for a run that is resumed with a larger `trainer.max_steps`, where nothing depends on the last step."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runge.configuration.command_line import key_of
from runge.configuration.errors import ConfigurationError
from runge.configuration.objects import OF_STEPS, digest, flatten
from runge.records.directories import RunDirectory
from runge.records.files import write

if TYPE_CHECKING:
    from runge.training.settings import Settings

__all__ = ["asks_for_more_steps", "extend"]

_KEY = "trainer.max_steps"


def asks_for_more_steps(
    composed: Mapping[str, Any], given: Sequence[str], begun: Mapping[str, Any], typed: Sequence[str]
) -> bool:
    """Return whether a command gives a run that it resumes more steps than the run began with.

    Args:
        composed: the configuration of the command.
        given: its overrides.
        begun: the configuration of the run.
        typed: the overrides of the run.

    Raises:
        ConfigurationError: a setting of the run follows from its number of steps, and would be another one.
    """
    now, before = flatten(composed), flatten(begun)
    steps, most = now.get(_KEY), before.get(_KEY)
    if not (_KEY in map(key_of, given) and isinstance(steps, int) and isinstance(most, int) and steps > most):
        return False
    # The defaults of the first two are `trainer.log_every`, and of a table a number.
    fixed = {"balance.every", "trainer.patience", *map(key_of, typed)}
    if follow := [key for key in OF_STEPS if key not in fixed and before.get(key) not in (None, now.get(key))]:
        raise _refused(most, f"{', '.join(follow)} would be larger in a run that began with more")
    return True


def extend(directory: RunDirectory, settings: "Settings") -> None:
    """Write larger `trainer.max_steps` into a run and its saved state, if these settings have them.

    `metrics.json` is removed first and the configuration is written last: if this is interrupted, it can be repeated.

    Raises:
        ConfigurationError: the optimiser depends on the last step, or the run has not taken all steps that it began
            with as a longer one would have.
    """
    from runge.records.checkpoints import read_state, serialise  # late: a mistake is reported before torch is loaded

    begun, typed, options = directory.read_configuration()
    most, steps = begun["trainer"].get("max_steps", settings.trainer.max_steps), settings.trainer.max_steps
    if steps == most:
        return
    saved = read_state(directory.last) if directory.last.exists() else None
    over, every = saved is not None and saved.step == most, settings.trainer.log_every
    rate = getattr(settings.optimizer, "lr_schedule", None)
    what = f"optimizer.lr_schedule={rate}" if rate else type(settings.optimizer).__name__
    reasons = {
        f"{what} depends on the last step": rate != "constant",
        "the run ended at an earlier step, or its last state is gone": directory.metrics.exists() and not over,
        # A run validates after its last step, but changes neither the balance nor the points then.
        f"trainer.log_every={every} does not divide it": over and most % every > 0,
        "the balance would have changed at this step": over and settings.balance.next_look(most - every) <= most,
        "the points would have moved at this step": over and settings.resampling.settled_from() >= most,
    }
    if against := [reason for reason, holds in reasons.items() if holds]:
        raise _refused(most, against[0])
    directory.metrics.unlink(missing_ok=True)
    if saved is not None and saved.digests == (digest(begun),):
        saved.state["stack"]["digests"] = [digest(settings.configuration)]
        write(directory.last, serialise(saved.state))
    overrides = [*(override for override in typed if key_of(override) != _KEY), f"{_KEY}={steps}"]
    directory.begin(settings.configuration, overrides, options)


def _refused(most: int, why: str) -> ConfigurationError:
    rule = f"must be {most}, with which the run began, because {why}"
    return ConfigurationError(f"{_KEY}: {rule}; trainer.start=DIR begins a new run with the function of a finished one")
