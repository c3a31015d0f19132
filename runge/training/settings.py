"""The sections of a configuration that describe no object of their own."""

from typing import Annotated, Any, Literal, get_args

import numpy as np
import torch
from pydantic import BeforeValidator, Field

from runge.data import SampleWeight
from runge.sobolev.compilation import Compile
from runge.sobolev.losses import DerivativeScale
from runge.validation import Count, Natural, NonNegative, checked

Purpose = Literal["data", "weights", "resampling", "balance"]


@checked
class Seed:
    """The keys `seed` and `data.seed`."""

    seed: Natural

    def generator(self, purpose: Purpose, *step: int) -> torch.Generator:
        """A source of randomness, another one for each purpose, and for each step where one is given."""
        state = np.random.SeedSequence([self.seed, get_args(Purpose).index(purpose), *step]).generate_state(
            1, np.uint64
        )
        return torch.Generator().manual_seed(int(state[0]) >> 1)


@checked
class Loss:
    """The section `loss`.

    Attributes:
        lambda_d: the weight of MSE_df, in [0, 1e30].
        derivative_scale: what f' and u' are divided by inside the loss.
        sample_weight: what a training sample counts.
    """

    lambda_d: Annotated[NonNegative, Field(le=1e30)]
    derivative_scale: DerivativeScale
    sample_weight: SampleWeight


def _as_word(value: Any) -> Any:
    """What YAML makes of on and off, taken back."""
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


@checked
class Training:
    """The section `trainer`.

    Attributes:
        max_steps: optimiser steps, >= 1.
        precision: 32 or 64 bit.
        compile: whether the step is compiled: `on`, `off`, or `auto`: where that pays for itself.
        accelerator: `auto`, `cpu` or `gpu`.
        log_every: steps between two rows of the history, >= 1.
        diagnostics_every: steps between two looks at the gradients of both terms, >= 1.
        checkpoint_seconds: seconds between two checkpoints, >= 0.
        progress_bar: whether progress is shown.
    """

    max_steps: Count
    precision: Literal[32, 64]
    compile: Annotated[Compile, BeforeValidator(_as_word)]
    accelerator: Literal["auto", "cpu", "gpu"]
    log_every: Count
    diagnostics_every: Count
    checkpoint_seconds: NonNegative
    progress_bar: bool
