"""The rules by which the sections of a run's settings depend on each other."""

from collections.abc import Callable, Iterator, Sequence

import torch

from runge.balance import Log, Scale
from runge.configuration.command_line import key_of
from runge.configuration.errors import ConfigurationError
from runge.configuration.objects import flatten
from runge.data.table import Table
from runge.optimizers import OwnOptimizer, RandomFeatures
from runge.records.metrics import QUANTITIES, RELATIVE
from runge.resampling import Periodic, Resampling
from runge.schedules import NEVER
from runge.sobolev.activations import module_at
from runge.sobolev.any_network import OwnNetwork
from runge.sobolev.losses import Penalty
from runge.training.settings import OF_FORMULAS, Settings

__all__ = ["RULES", "without_effect"]

Mistakes = Iterator[str]
"""The messages about what a run's settings break, each of which begins with a key."""


def demands(settings: Settings) -> Mistakes:
    """Find values that the optimiser, a table or a penalty excludes."""
    for who, allowed_values in (
        (type(settings.optimizer).__name__, settings.optimizer.demands),
        ("data=table", {"loss.sample_weight": ("none",)} if isinstance(settings.data, Table) else {}),
        ("a penalty", {"trainer.compile": ("auto", "off")} if settings.penalty else {}),
    ):
        for key, allowed in allowed_values.items():
            section, _, field = key.partition(".")
            if key == "trainer.loop":
                continue  # what it is in the end: `loop`
            if (value := getattr(getattr(settings, section), field)) not in allowed:
                choices = " or ".join("null" if choice is None else str(choice) for choice in allowed)
                yield f"{key}: must be {choices} with {who}, got {value!r}"


def switch(settings: Settings) -> Mistakes:
    """Find a lambda_d that is never on."""
    at_step, steps = getattr(settings.schedule, "at_step", None), settings.trainer.max_steps
    if at_step is not None and at_step >= steps:
        yield f"schedule.at_step: must be below trainer.max_steps={steps}, or lambda_d is never on; got {at_step}"


def beyond_the_end(settings: Settings) -> Mistakes:
    """Find steps after the last one, at which something would happen."""
    schedule, steps = settings.schedule, settings.trainer.max_steps
    first, ramp = getattr(schedule, "at_step", None) or 0, getattr(schedule, "ramp_steps", 0)
    if first + ramp > steps:
        rule = f"must end by trainer.max_steps={steps}, or lambda_d never has its full value"
        yield f"schedule.ramp_steps: {rule}; got {ramp}{f' after schedule.at_step={first}' * (first > 0)}"
    for key, value in (
        ("balance.every", getattr(settings.balance, "every", 0)),
        ("resampling.every", getattr(settings.resampling, "every", 0)),
        ("trainer.stop_at", settings.trainer.stop_at or 0),
    ):
        if value > max(steps, settings.trainer.log_every):  # which is the period of a balance by default
            yield f"{key}: must be at most trainer.max_steps={steps}, or it has no effect; got {value}"


def moving_points(settings: Settings) -> Mistakes:
    """Find points that must not move, and a rule that does not say when they do."""
    resampling = settings.resampling
    rule, moves = type(resampling).__name__, isinstance(resampling, Periodic)
    if settings.data.folds is not None and moves:
        yield f"resampling: must be none with data.folds, because points would move into the fold; got {rule}"
    if isinstance(settings.data, Table) and moves:
        yield f"resampling: must be none with data=table, whose rows stay in place; got {rule}"
    if not moves and type(resampling) is not Resampling:
        yield f"resampling._target_: must name a class derived from Periodic, got {rule}"


def points_of_table(settings: Settings) -> Mistakes:
    """Find a formula beside a table."""
    for key in OF_FORMULAS if isinstance(settings.data, Table) else ():
        if (value := settings.configuration.get(key)) is not None:
            got = flatten({key: value}).get(key, value)
            yield f"{key}: must be absent with data=table, whose rows are the points; got {got}"


def logarithms(settings: Settings) -> Mistakes:
    """Find logarithms of inputs without the units that standardise them."""
    if isinstance(settings.data, Table) and settings.data.log10 and settings.model.standardize is False:
        yield f"model.standardize: must be true with data.log10={settings.data.log10}, got False"


def accelerator(settings: Settings) -> Mistakes:
    """Find a GPU that is asked for and missing."""
    if settings.trainer.accelerator == "gpu" and not torch.cuda.is_available():
        yield "trainer.accelerator: must be auto or cpu where there is no GPU, got 'gpu'"


def own_metrics(settings: Settings) -> Mistakes:
    """Find names of the user's metrics that are no names, or those of the package."""
    taken = ("loss", "nrmse", *QUANTITIES, *RELATIVE)
    for name in settings.metrics:
        if name in taken or not name.isidentifier():
            yield f"metrics.{name}: must be a name of letters, digits and _, other than {', '.join(taken)}"


def own_penalty(settings: Settings) -> Mistakes:
    """Find a penalty that the optimiser cannot minimise, or that is not finite."""
    penalty, optimizer = settings.penalty, settings.optimizer
    if penalty and not optimizer.by_gradient:
        yield f"penalty: must be absent with {type(optimizer).__name__}, which needs squares"
    if penalty is not None and not _is_finite(penalty):
        yield "penalty: must return a finite number for each residual, of the same shape"


def _is_finite(penalty: Penalty) -> bool:
    """Return whether a penalty and its slope are finite and of the shape of the residuals."""
    residual = torch.linspace(-1, 1, 6, dtype=torch.float64, requires_grad=True)
    try:
        rho = penalty(residual)
        (slope,) = torch.autograd.grad(rho.sum(), residual)
    except Exception as error:  # a user's function may raise anything
        raise ConfigurationError(f"penalty: must be differentiable by autograd ({error})") from error
    return rho.shape == slope.shape and bool((rho.isfinite() & slope.isfinite()).all())


def loop(settings: Settings) -> Mistakes:
    """Find an optimiser that takes its steps in blocks alone, and second derivatives, where steps are single."""
    if not (because := why_steps(settings)):
        return
    rule, name = f"trained step by step, {because}", type(settings.optimizer).__name__
    if "trainer.loop" in settings.optimizer.demands:
        yield f"optimizer: must be one by the gradient, such as adam, {rule}; got {name}"
    if settings.loss.lambda_dd:
        yield f"loss.lambda_dd: must be 0, {rule}; got {settings.loss.lambda_dd}"
    if settings.trainer.compile == "on":
        yield f"trainer.compile: must be auto or off, {rule}; got 'on'"


def why_steps(settings: Settings) -> str:
    """Return why a run is trained step by step, by a `PlainRegression`, as part of a sentence; empty: in blocks."""
    reasons = {
        "because trainer.loop is steps": settings.trainer.loop == "steps",
        "because model names a network of one's own": isinstance(settings.model, OwnNetwork),
        "because model.activation is a torch.nn.Module": module_at(settings.model.activation) is not None,
        "because the loss has further terms": bool(settings.terms),
        "because a function makes the optimizer": isinstance(settings.optimizer, OwnOptimizer),
    }
    if reason := next((reason for reason, applies in reasons.items() if applies), ""):
        return reason
    if not settings.callbacks:
        return ""
    from runge.training.own_parts import acts_on_steps  # late: it loads Lightning, which few commands need this early

    return next((f"because {reason}" for reason in acts_on_steps(settings.callbacks)), "")


RULES: tuple[Callable[[Settings], Mistakes], ...] = (
    loop,
    demands,
    switch,
    beyond_the_end,
    moving_points,
    points_of_table,
    logarithms,
    accelerator,
    own_metrics,
    own_penalty,
)
"""The rules, in the order in which they are checked."""


def without_effect(settings: Settings, overrides: Sequence[str]) -> list[str]:
    """Return the overrides that have no effect, each with the reason.

    They are those of a balance or a resampling that is not applied before the run ends, of a lambda_d that a balance
    replaces before it is used, of the weights of labels if random features find these by the likelihood, and of a
    patience beside the step at which the run ends.

    With a gradient method `balance=log` always has an effect, because the method minimises the logarithm itself, in
    which lambda_d counts only as 0 or not.
    """
    moves, balance, steps = settings.resampling, settings.balance, settings.trainer.max_steps
    look, reasons = balance.next_look(0), dict[str, str]()
    minimises_log = settings.optimizer.by_gradient and isinstance(balance, Log)
    if steps <= look < NEVER and not minimises_log:
        reasons["balance"] = f"trainer.max_steps is {steps}, and it is first applied after {look}"
    first_move = -(-max(getattr(moves, "every", 1), 1) // settings.trainer.log_every) * settings.trainer.log_every
    if isinstance(moves, Periodic) and first_move >= min(steps, moves.last_step + 1):
        reasons["resampling"] = f"trainer.max_steps is {steps}, and no point moves before the end"
    at_first = look <= min(settings.schedule.first_switch(), settings.trainer.log_every)
    if settings.loss.lambda_d and (isinstance(balance, Scale) or at_first):
        name = type(balance).__name__
        reasons["loss.lambda_d"] = f"{name} computes it before derivatives count; it still weighs val/loss"
    if settings.loss.lambda_d and minimises_log and not isinstance(moves, Periodic):  # which places points by it
        why = "with balance=log it only matters whether lambda_d is 0; it still weighs val/loss"
        reasons |= dict.fromkeys(("loss.lambda_d", "loss.derivative_scale"), why)
    if settings.trainer.stop_at is not None:
        reasons["trainer.patience"] = "trainer.stop_at sets the last step"
    if isinstance(settings.optimizer, RandomFeatures):
        weights = ("balance", "loss.derivative_scale", *["loss.lambda_d"] * (settings.loss.lambda_d > 0))
        reasons |= dict.fromkeys(weights, "its likelihood weighs values and derivatives")
    keys = {one: key for one in overrides for key in (key_of(one), key_of(one).partition(".")[0]) if key in reasons}
    return [f"{override} ({reasons[key]})" for override, key in keys.items()]
