"""One run before it has points or weights: its settings, its rows, what follows from both, and if it has ended."""

import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, cast

import numpy as np

from runge.configuration.errors import ConfigurationError, DivergedError, RunError
from runge.configuration.objects import REMARKS, digest
from runge.data.channels import batch_size
from runge.data.rows import Rows, read
from runge.data.sampled import Data
from runge.data.seed import Seed
from runge.data.table import Table, numbered
from runge.optimizers import has_own_rate
from runge.process import machine
from runge.records.directories import FINDINGS, RunDirectory, RunState
from runge.records.fits import column_names
from runge.records.metrics import BEST_STEP, SWITCHED_ON_STEP, TOTAL_SECONDS, VAL_LOSS, Objective
from runge.sampling import Sampling
from runge.targets import Target, far_from_one
from runge.training.rules import RULES, why_steps
from runge.training.settings import Settings

__all__ = ["Member", "Metrics", "Outcome", "Value", "check_rows", "conclude", "foreign_run", "value_if_ended"]

log = logging.getLogger(__name__)

Metrics = dict[str, float | int | None]

Outcome = Metrics | RunError
"""The content of a run's `metrics.json`, or the error that ended it."""

Value = float | tuple[float, ...]
"""The figures of a run's objective, the result of a job for Hydra's sweepers."""

_LARGEST_JACOBIAN = 10**8
"""The most numbers of a Jacobian of second derivatives: 0.8 GB."""


class Member:
    """One run before it has points or weights.

    Args:
        settings: the settings of the run.
        overrides: the overrides of the run, which name it in its loggers.
        rows: the rows of a table in memory; None: a table is read from its file.
        fixed: keys that have one value in all runs of its sweep.

    Attributes:
        varied: the overrides of keys that are not `fixed`.
        is_in_memory: whether the rows are not those of a file.
        checksum: the checksum of the rows of a table, or "".
        far: what of a formula is far from size 1, so that `model.standardize=auto` is true.
        why_steps: why it is trained step by step, as part of a sentence; empty: in blocks.

    Raises:
        ConfigurationError: the rows cannot be read, or sections do not fit together. Most mistakes that follow from
            sizes are found by `prepare`.
    """

    def __init__(
        self,
        settings: Settings,
        overrides: Sequence[str] = (),
        rows: Rows | None = None,
        fixed: AbstractSet[str] = frozenset(),
    ) -> None:
        self.settings, self.overrides = settings, list(overrides)
        self.varied = [override for override in overrides if override.partition("=")[0] not in fixed]
        data, model, target = settings.data, settings.model, settings.target
        if data.folds is not None and data.fold is None:
            how = "data.fold=0 trains one run, and -m a sweep of a run for each fold"
            raise ConfigurationError(f"data.fold: must be given with data.folds={data.folds}; {how}")
        self.data_seed = Seed.of_data(settings.seed.seed, data.seed, data.folds)
        self.is_in_memory = rows is not None
        self.rows = read(data) if rows is None and isinstance(data, Table) else rows
        self.checksum = "" if self.rows is None else self.rows.checksum
        self.dimension = self.formula[0].dimension if self.rows is None else len(self.rows.inputs)
        self.outputs: Sequence[str] = self.formula[0].outputs if self.rows is None else self.rows.outputs
        self.sizes = self._sizes()
        is_auto = model.standardize == "auto"
        self.far = far_from_one(target) if target is not None and is_auto else []
        self.standardize = bool(self.far or self.rows) if is_auto else bool(model.standardize)
        groups = list(self.outputs) if len(self.outputs) > 1 else self._regions()
        self.objective = Objective(settings.objective, list(settings.metrics), groups)
        self.why_steps = why_steps(settings)
        mistakes = (mistake for rule in RULES for mistake in rule(settings))
        for mistake in (*mistakes, *self._wrong_derivatives(), *self._wrong_columns()):
            raise ConfigurationError(mistake)

    def _wrong_derivatives(self) -> Iterator[str]:
        """Find why second derivatives cannot be fitted: there are none, or the optimiser cannot, or they are many."""
        settings = self.settings
        if not settings.loss.lambda_dd:
            return
        if self.rows is None or self.rows.d2ydx2 is None:
            got = "a formula" if self.rows is None else f"none in {cast(Table, settings.data).file!r}"
            what = "columns of second derivatives, named d2<output>_d<input>_d<input>"
            yield f"loss.lambda_dd: must be 0 without a table that has {what}; got {got}"
        if not settings.optimizer.takes_second():
            which = "one by the gradient, or levenberg_marquardt with readout=true or false"
            yield f"optimizer: must be {which}, with loss.lambda_dd; got {type(settings.optimizer).__name__}"
        if self.rows is not None and not (settings.loss.lambda_d and np.isfinite(self.rows.dydx).any()):
            rule = "must be 0 without loss.lambda_d and a column of first derivatives, because it counts where they do"
            yield f"loss.lambda_dd: {rule}; got {settings.loss.lambda_dd:g}"
        errors, weights = self.system()
        if not settings.optimizer.by_gradient and errors * weights > _LARGEST_JACOBIAN:
            got = f"{errors} errors and {weights} weights, whose Jacobian has more than {_LARGEST_JACOBIAN:.0e} numbers"
            yield f"loss.lambda_dd: must be 0 with {got}; take optimizer=adam, fewer rows or fewer neurons"

    def _wrong_columns(self) -> Iterator[str]:
        """Find two columns of `fit.csv` with one name."""
        inputs = numbered("x", self.dimension) if self.rows is None else self.rows.inputs
        names = [] if self.is_in_memory else column_names(inputs, self.outputs)
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            what = f"the run's fit.csv would have two columns {twice[0]!r}, because u_y is the fit of y, and dy_dx its"
            key, how = ("target", "an output") if self.rows is None else ("data.outputs", "a column of the table")
            yield f"{key}: {what} derivative with respect to x; rename or leave out {how}"

    @property
    def has_test(self) -> bool:
        """False if no row is for the test: the validation rows take the place of its points."""
        return self.rows is None or self.sizes[2] > 0

    @property
    def formula(self) -> tuple[Target, Sampling]:
        """The target and the strategy that places its points, of a run without a table."""
        return cast(Target, self.settings.target), cast(Sampling, self.settings.sampling)

    @property
    def batch_size(self) -> int | None:
        """The size of a mini-batch; None: the full batch. A table has one by default if it is large."""
        given = self.settings.data.batch_size
        if self.rows is None or given is not None or "data.batch_size" in self.settings.optimizer.demands:
            return given
        return batch_size(self.sizes[0], self.dimension)

    def _sizes(self) -> list[int]:
        """Return the numbers of training, validation and test points; a grid in several dimensions may have fewer."""
        data = self.settings.data
        if isinstance(data, Data) and data.fold is not None:
            target, sampling = self.formula
            n = len(sampling.nodes(data.n_train, target, self.data_seed.generator("data")))
            if n < data.fold_count:
                what = f"the points of a grid ({type(sampling).__name__}) in {target.dimension} inputs"
                raise ConfigurationError(f"data.folds: must be at most {n}, {what}; got {data.folds}")
            left_out = n // data.fold_count + (data.fold < n % data.fold_count)
            return [n - left_out, left_out, data.n_test]
        if isinstance(data, Data):
            return [data.n_train + data.boundary_points + (data.n_derivative or 0), data.n_val, data.n_test]
        return [len(rows) for rows in cast(Rows, self.rows).split(self.data_seed.generator("data"))]

    @property
    def fewer_folds(self) -> str:
        """A sentence that says so if there are fewer folds than `data.folds`, or an empty text."""
        folds = self.settings.data.folds
        made = self.settings.data.fold_count if isinstance(self.settings.data, Data) else cast(Rows, self.rows).folds
        if folds is None or made == folds:
            return ""
        return f"data.folds: {made} folds instead of {folds}, so that each has a point"

    def _regions(self) -> list[str]:
        target = self.settings.target
        return [] if target is None else list(target.regions(target.domain.mT))

    def on_gpu(self) -> bool:
        """Return True if the run is trained on a GPU."""
        return self.settings.trainer.accelerator == "gpu"

    def shared(self) -> str:
        """Return all that members of one stack have in common, as text.

        Seeds, fold, schedule, target, loggers, objective, pictures and the start may differ. So may the loss, except
        whether it has second derivatives; the sampling, which in several dimensions must be of one class; and the
        learning rate, if the optimiser's steps are proportional to it. Methods that solve systems choose points by
        whether derivatives count: then so must these, from the same step on.
        """
        settings, configuration = self.settings, self.settings.configuration
        # In several dimensions the number of points depends on the strategy.
        placing = type(settings.sampling).__name__ if self.dimension > 1 else None
        sizes = None if self.rows is None and settings.data.folds is None else self.sizes
        shape = [self.dimension, self.outputs, self._regions(), placing, sizes]
        keys = ("balance", "resampling", "model", "metrics", "callbacks", "penalty")
        shared = [configuration.get(key) for key in keys]
        rate = {"lr": None} if has_own_rate(settings.optimizer) else {}
        start = {"trainer": {**configuration["trainer"], "start": None}}
        shared += [{**configuration["optimizer"], **rate}, self._data(), start]
        derivatives = [settings.loss.lambda_dd > 0]
        if not settings.optimizer.by_gradient:
            derivatives += [settings.loss.lambda_d > 0, configuration.get("schedule")]
        return json.dumps([*shared, shape, self.standardize, derivatives], sort_keys=True)

    def kind(self) -> str:
        """Return as text what may make a run fail: sizes, and the configuration without seeds, fold and lambda_d."""
        return self.apart_from_seed(loss={**self.settings.configuration["loss"], "lambda_d": None}, sizes=self.sizes)

    def apart_from_seed(self, **replaced: Any) -> str:
        """Return the configuration without seeds, fold and remarks as text: runs with the same text are one trial."""
        without = dict.fromkeys(("seed", *REMARKS))
        content = {**self.settings.configuration, **without, "data": self._data(), **replaced}
        return json.dumps(content, sort_keys=True)

    def _data(self) -> dict[str, Any]:
        return {**self.settings.configuration["data"], "seed": None, "fold": None}

    def work(self) -> float:
        """Estimate the seconds of one step on one core."""
        model = self.settings.model
        seconds = machine.step_seconds(
            self._points(), model.depth, model.width, self.dimension, len(self.outputs), model.activation
        )
        return seconds + machine.PER_PRODUCT_64 * self.products()

    def products(self) -> float:
        """Estimate the multiplications of the linear algebra of one step."""
        return self.settings.optimizer.products(*self.system(), self.settings.model.width)

    def _points(self) -> int:
        """Return the number of points of a step."""
        return min(self.sizes[0], self.batch_size or self.sizes[0])

    def system(self) -> tuple[int, int]:
        """Return the numbers of errors of a step, and of weights that are fitted to them."""
        outputs, weights = len(self.outputs), weights_of(self.settings, self.dimension, len(self.outputs))
        seconds = self.dimension * (self.dimension + 1) // 2 if self.settings.loss.lambda_dd else 0
        return self._points() * outputs * (1 + self.dimension + seconds if self.settings.loss.lambda_d else 1), weights


def weights_of(settings: Settings, inputs: int, outputs: int) -> int:
    """Return how many weights are fitted: all, or those of the last layer if the other neurons are fixed."""
    model = settings.model
    hidden, last = inputs + 1 + (model.depth - 1) * (model.width + 1), (model.width + 1) * outputs
    return last if settings.optimizer.last_layer_alone else model.width * hidden + last


def value_if_ended(member: Member, directory: RunDirectory) -> Value | RunError | None:
    """Return the objective of a sweep's run that has ended, or an error if it diverged; None if it has not ended.

    Raises:
        ConfigurationError: the directory holds a run of another configuration or of other rows, or its status is
            damaged.
    """
    state = directory.read_state()
    if state is None:
        return None
    if state.configuration not in ("", digest(member.settings.configuration)):
        raise foreign_run(directory)
    check_rows(member, directory, state)
    try:
        if directory.metrics.exists():
            if (metrics := directory.read_metrics()).get(VAL_LOSS) is not None:
                return member.objective.returned(metrics)
            raise ConfigurationError(f"{directory.metrics} is damaged (it has no {VAL_LOSS})")
    except (ConfigurationError, LookupError, FileNotFoundError) as error:
        log.warning("%s: training the run again", error)
        directory.metrics.unlink(missing_ok=True)
    return DivergedError(f"diverged: {state.message}") if state.status == "diverged" else None


def check_rows(member: Member, directory: RunDirectory, state: RunState | None) -> None:
    """Raise ConfigurationError if the table that a run is trained on has changed since the run began."""
    if member.rows is not None and state is not None and state.rows not in ("", member.checksum):
        rule = f"must hold the rows with which the run in {str(directory.path)!r} began"
        how = f"{member.rows.table.file!r} has changed: restore it, or begin a new run"
        raise ConfigurationError(f"data.file: {rule}; {how}")


def foreign_run(directory: RunDirectory) -> ConfigurationError:
    """Return the error for a directory that holds a run of another configuration."""
    what = f"{str(directory.path)!r} holds a run of a different sweep"
    return ConfigurationError(f"hydra.sweep.dir: {what}; choose another directory, or give that sweep's overrides")


def conclude(outcome: Outcome, directory: RunDirectory, member: Member) -> Value:
    """Log how a run has ended, and return the values of its objective.

    Raises:
        RunError: it diverged, or its files could not be written.
    """
    if isinstance(outcome, RunError):
        log.error("%s", outcome)
        raise outcome
    switched = outcome[SWITCHED_ON_STEP]
    when = f"lambda_d on from step {switched}; " if switched else ""
    if best := outcome.get(BEST_STEP):
        when += f"best weights after step {best}; "
    state, most = directory.read_state(), member.settings.trainer.max_steps
    early = "" if state is None or state.step >= most else f"ended at step {state.step} of {most}; "
    log.info("%s%s%.1f s; %s", early, when, outcome[TOTAL_SECONDS], os.path.relpath(directory.path))
    for finding in filter(None, (state.message if state else "").split(FINDINGS)):
        log.warning("%s", finding)
    return member.objective.returned(outcome)
