"""The sections `loss` and `trainer` of a run's configuration."""

from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator

from runge.configuration.validation import Count, NonNegative, Positive, checked
from runge.data.sampled import SampleWeight
from runge.sobolev.kernel import Compile
from runge.sobolev.losses import DerivativeScale

__all__ = ["Loss", "Training"]


@checked
class Loss:
    """The section `loss`.

    Attributes:
        lambda_d: the weight of MSE_df, in [0, 1e12].
        lambda_dd: the weight of MSE_ddf, the error of the second derivatives that a table may have, in [0, 1e12]; it
            counts at the steps at which lambda_d is above 0.
        derivative_scale: what f' and u' are divided by inside the loss: `none`, `max` |f'|, or `std`.
        sample_weight: the weight of a training point: `none` (all equal), `derivative` (points with a large f' count
            more), or `density` (1 / density of the points).
    """

    lambda_d: NonNegative
    derivative_scale: DerivativeScale
    sample_weight: SampleWeight
    lambda_dd: NonNegative = 0.0


def _as_word(value: Any) -> Any:
    """Return on and off as words, which YAML reads as booleans."""
    return ("off", "on")[value] if isinstance(value, bool) else value


@checked
class Training:
    """The section `trainer`.

    Attributes:
        max_steps: optimiser steps, >= 1.
        stop_at: the step at which the run ends, >= 1; its weights are kept, whatever their validation loss. None: the
            run ends after `max_steps`, on which schedules depend, and keeps the weights with the lowest one.
        max_seconds: the seconds of training after which the run ends, > 0, after the step that it takes then; the
            members of a stack have as many each. None: no limit.
        start: the directory of a finished run with the same network, whose function the run begins with; None: the
            weights are drawn.
        patience: the run ends when `val/loss` has not improved for this number of steps, >= 1; None: it takes all of
            them. They are counted once lambda_d has its full value and points no longer move.
        precision: 32 or 64 bit.
        compile: `on` or `off`, or `auto`: compile the step if that is expected to save more time than it takes.
        accelerator: `auto` or `cpu`: the CPU; `gpu`: a GPU, on which the code has never run.
        log_every: steps between two rows of the history, >= 1.
        diagnostics_every: steps between two evaluations of the gradients of both terms, >= 1.
        checkpoint_seconds: seconds between two checkpoints, in [0, 1e12].
        progress_bar: true shows the progress.
    """

    max_steps: Count
    precision: Literal[32, 64]
    compile: Annotated[Compile, BeforeValidator(_as_word)]
    accelerator: Literal["auto", "cpu", "gpu"]
    log_every: Count
    diagnostics_every: Count
    checkpoint_seconds: NonNegative
    progress_bar: bool
    patience: Count | None = None
    stop_at: Count | None = None
    max_seconds: Positive | None = None
    start: str | None = None

    @property
    def steps(self) -> int:
        """The number of steps of the run."""
        return min(self.max_steps, self.stop_at or self.max_steps)

    @property
    def dtype(self) -> torch.dtype:
        """The precision, for torch."""
        return torch.float32 if self.precision == 32 else torch.float64
