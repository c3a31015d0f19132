"""The settings of a run: the sections of its configuration as checked objects."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from itertools import accumulate
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field

from runge.balance import Balance
from runge.configuration.errors import ConfigurationError
from runge.configuration.objects import build, function, section
from runge.configuration.unknown_keys import no_such_key
from runge.configuration.validation import Count, NonNegative, Positive, checked
from runge.data.sampled import Data, SampleWeight
from runge.data.seed import Seed
from runge.data.table import Table
from runge.optimizers import Optimizer, adapt
from runge.records.metrics import VAL_NRMSE
from runge.resampling import Resampling
from runge.sampling import Sampling
from runge.schedules import Schedule
from runge.sobolev.accuracy import Metric
from runge.sobolev.any_network import adapt_network
from runge.sobolev.kernel import Compile
from runge.sobolev.losses import DerivativeScale, Penalty
from runge.sobolev.network import Model
from runge.targets import Target
from runge.training.plan import Term

__all__ = ["OF_FORMULAS", "SECTIONS", "Loss", "Settings", "Training"]

OF_FORMULAS = ("target", "sampling")
"""The sections that say what is sampled and where, which a table does not have."""

SECTIONS = (
    *("seed", "data", "model", "loss", "trainer", "target", "sampling", "resampling", "schedule", "balance"),
    "optimizer",
)
"""The required keys of a run's configuration; a table has none of `OF_FORMULAS`."""

_OPTIONAL = ("logger", "metrics", "callbacks", "penalty", "objective", "pictures", "tags", "note")


@checked
class Loss:
    """The section `loss`.

    Attributes:
        lambda_d: the weight of MSE_df, in [0, 1e12].
        lambda_dd: the weight of MSE_ddf, the error of the second derivatives that a table may have, in [0, 1e12]; it
            counts at the steps at which lambda_d is above 0.
        terms: further terms: sections with the `_target_` of a function, its `weight`, and further arguments.
        derivative_scale: what f' and u' are divided by inside the loss: `none`, `max` |f'|, or `std`.
        sample_weight: the weight of a training point: `none` (all equal), `derivative` (points with a large f' count
            more), or `density` (1 / density of the points).
    """

    lambda_d: NonNegative
    derivative_scale: DerivativeScale
    sample_weight: SampleWeight
    lambda_dd: NonNegative = 0.0
    terms: list[dict[str, Any]] = field(default_factory=list)


@checked
class Remarks:
    """The keys `tags` and `note`, which a person reads.

    Attributes:
        tags: words of 1 to 64 characters, by which runs are found again.
        note: a text; None: there is none.
    """

    tags: list[Annotated[str, Field(min_length=1, max_length=64)]]
    note: str | None


def _as_word(value: Any) -> Any:
    """Return on and off as words, which YAML reads as booleans."""
    return ("off", "on")[value] if isinstance(value, bool) else value


@checked
class Training:
    """The section `trainer`.

    Attributes:
        loop: `blocks`: many steps in a batch of Lightning's, and many runs in a stack; `steps`: a step in each batch,
            as `runge.training.plain.PlainRegression` takes it, which parts of the user's own may need.
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
        accelerator: `auto` or `cpu`: the CPU; `gpu`: a GPU (tested only with an emulated one).
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
    loop: Literal["blocks", "steps"] = "blocks"

    @property
    def steps(self) -> int:
        """The number of steps of the run."""
        return min(self.max_steps, self.stop_at or self.max_steps)

    @property
    def dtype(self) -> torch.dtype:
        """The precision, for torch."""
        return torch.float32 if self.precision == 32 else torch.float64


@dataclass(frozen=True, eq=False)
class Settings:
    """The sections of a run's configuration as objects, each of which has been checked on its own.

    `dataclasses.replace` changes sections; `configuration` is their plain form, also after that.

    Attributes:
        seed: the seed of the run.
        data: the sizes of the sets of a formula, or a table.
        model: the shape of the network.
        loss: the weights of the loss.
        terms: the further terms of the loss, each with its weight.
        trainer: the steps.
        optimizer: how a step is taken.
        schedule: when lambda_d is on.
        balance: how large lambda_d is.
        resampling: how the points move.
        target: the formula; None: the run is on a table.
        sampling: what places the points of a formula; None: the run is on a table.
        logger: the section of the loggers, which are made when the run begins.
        callbacks: the section of the user's callbacks, which are made with the stack.
        metrics: the user's metrics, by their names.
        penalty: what takes the place of the squares in the loss; None: nothing.
        objective: the keys of the figures by which a sweeper chooses.
        pictures: whether the run is drawn; `auto`: unless it is one of a sweep.
        tags: words by which the run is found again, which change nothing else.
        note: a text about the run, likewise.
        given: the sections as they were made, each with the plain data that it was made of.
    """

    seed: Seed
    data: Data | Table
    model: Model
    loss: Loss
    terms: Sequence[tuple[float, Term]]
    trainer: Training
    optimizer: Optimizer
    schedule: Schedule
    balance: Balance
    resampling: Resampling
    target: Target | None
    sampling: Sampling | None
    logger: Mapping[str, Any]
    callbacks: Mapping[str, Any]
    metrics: Mapping[str, Metric]
    penalty: Penalty | None
    objective: Any
    pictures: bool | Literal["auto"]
    tags: Sequence[str]
    note: str | None
    given: Mapping[str, tuple[Any, Any]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, configuration: Mapping[str, Any]) -> "Settings":
        """Make the settings of a run from plain data with the sections of `conf/config.yaml`.

        Raises:
            ConfigurationError: a key is unknown or missing, or a value is not allowed.

        Example:
            >>> from runge.composing.composition import compose
            >>> settings = Settings.of(compose("model.width=8"))
            >>> wider = replace(settings, model=replace(settings.model, width=16))
            >>> Settings.of(wider.configuration).model.width
            16
        """
        sections = dict(configuration)
        of_table = "_target_" in section("data", sections.get("data", {}))
        if unknown := sections.keys() - {*SECTIONS, *_OPTIONAL}:
            raise no_such_key("", min(unknown), (*SECTIONS, *_OPTIONAL))
        for key in SECTIONS:
            if key not in sections and not (of_table and key in OF_FORMULAS):
                raise ConfigurationError(f"{key}: is missing")
        pictures = sections.get("pictures", "auto")
        if pictures != "auto" and not isinstance(pictures, bool):
            raise ConfigurationError(f"pictures: must be auto, true or false, got {pictures!r}")
        remarks = build("", {"tags": sections.get("tags", []), "note": sections.get("note")}, Remarks)
        settings = cls(
            seed=build("", {"seed": sections["seed"]}, Seed),
            data=build("data", sections["data"], Table if of_table else Data),
            trainer=build("trainer", sections["trainer"], Training),
            loss=(loss := build("loss", sections["loss"], Loss)),
            terms=[_term(f"loss.terms[{i}]", entry) for i, entry in enumerate(loss.terms)],
            schedule=build("schedule", sections["schedule"], Schedule),
            balance=build("balance", sections["balance"], Balance),
            resampling=build("resampling", sections["resampling"], Resampling),
            optimizer=build("optimizer", sections["optimizer"], Optimizer, adapt),
            model=build("model", sections["model"], Model, adapt_network),
            target=None if of_table else build("target", sections["target"], Target),
            sampling=None if of_table else build("sampling", sections["sampling"], Sampling),
            logger=section("logger", sections.get("logger", {})),
            callbacks=section("callbacks", sections.get("callbacks", {})),
            penalty=function("penalty", sections["penalty"]) if sections.get("penalty") else None,
            metrics={
                name: function(f"metrics.{name}", entry)
                for name, entry in section("metrics", sections.get("metrics", {})).items()
            },
            objective=sections.get("objective", VAL_NRMSE),
            pictures=pictures,
            tags=remarks.tags,
            note=remarks.note,
        )
        return replace(settings, given={key: (getattr(settings, key), plain) for key, plain in sections.items()})

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the plain form: a user's class may hold what cannot be pickled."""
        return Settings.of, (self.configuration,)

    @property
    def configuration(self) -> dict[str, Any]:
        """The settings as plain data, the content of `run.json`."""
        return {
            key: plain if (now := getattr(self, key)) is made else _as_plain(now)
            for key, (made, plain) in self.given.items()
        }


def _term(key: str, entry: Mapping[str, Any]) -> tuple[float, Term]:
    """Return the weight and the function of a further term of the loss."""
    values = dict(entry)
    weight = values.pop("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
        raise ConfigurationError(f"{key}.weight: must be a finite number, got {weight!r}")
    return float(weight), function(key, values)


def _as_plain(made: Any) -> Any:
    """Return a section that has taken the place of another one as plain data, which make it again."""
    if isinstance(made, Seed):
        return made.seed
    if not is_dataclass(made) or isinstance(made, type):
        return made
    has_one_class = isinstance(made, Data | Model | Loss | Training)
    return ({} if has_one_class else {"_target_": _name(type(made))}) | asdict(made)


def _name(kind: type) -> str:
    """Return the shortest path of a class, such as `runge.sampling.Random`, by which `conf/` names it."""
    packages = accumulate(kind.__module__.split("."), "{}.{}".format)
    return next(f"{name}.{kind.__name__}" for name in packages if vars(sys.modules[name]).get(kind.__name__) is kind)
