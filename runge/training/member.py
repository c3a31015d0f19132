"""One run's configuration as checked objects."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, cast

import torch

from runge import machine
from runge.balance import Balance
from runge.configuration.errors import ConfigurationError
from runge.configuration.objects import build, flatten, function, no_such_key, section
from runge.data.channels import batch_size
from runge.data.rows import Rows, read
from runge.data.sampled import Data
from runge.data.seed import Seed
from runge.data.table import Table, numbered
from runge.metrics import QUANTITIES, VAL_NRMSE, Objective
from runge.optimizers import Optimizer, adapt, has_own_rate
from runge.records.fits import Columns
from runge.resampling import Periodic, Resampling
from runge.sampling import Sampling
from runge.schedules import Schedule
from runge.sobolev.network import Model
from runge.targets import Target, far_from_one
from runge.training.settings import Loss, Training

OF_FORMULAS = ("target", "sampling")
"""The keys of sections that say what is sampled and where, which a table does not have."""

SECTIONS = (
    *("seed", "data", "model", "loss", "trainer", "target", "sampling", "resampling", "schedule", "balance"),
    "optimizer",
)
"""The keys of a run's configuration."""

_MOST = 10**8
"""The most numbers of a Jacobian of second derivatives, 0.8 GB."""

_OPTIONAL = ("logger", "metrics", "callbacks", "penalty", "objective", "pictures")


class Member:
    """One run before it has data or weights.

    Args:
        configuration: plain data with the sections of `conf/config.yaml`.
        overrides: the overrides of the run, which name it in its loggers.
        rows: the rows of a table in memory; None: a table is read from its file.
        fixed: keys that have one value in all runs of its sweep.

    Attributes:
        varied: the overrides of keys that are not `fixed`.
        checksum: the checksum of the rows of a table, or "".
        far: what of a formula is far from size 1, so that `model.standardize=auto` is true.

    Raises:
        ConfigurationError: a key is unknown or missing, or a value is not allowed. Mistakes that follow from sizes are
            found when a `Stack` is made.
    """

    def __init__(
        self,
        configuration: dict[str, Any],
        overrides: Sequence[str] = (),
        rows: Rows | None = None,
        fixed: Iterable[str] = (),
    ) -> None:
        self.configuration, self.overrides = configuration, list(overrides)
        self._in_memory = rows
        self._fixed = set(fixed)
        self.varied = [override for override in overrides if override.partition("=")[0] not in self._fixed]
        of_table = "_target_" in section("data", configuration.get("data", {}))
        if unknown := configuration.keys() - {*SECTIONS, *_OPTIONAL}:
            raise no_such_key("", min(unknown), (*SECTIONS, *_OPTIONAL))
        for key in SECTIONS:
            if key not in configuration and not (of_table and key in OF_FORMULAS):
                raise ConfigurationError(f"{key}: is missing")
        self.pictures: bool | Literal["auto"] = configuration.get("pictures", "auto")
        if self.pictures != "auto" and not isinstance(self.pictures, bool):
            raise ConfigurationError(f"pictures: must be auto, true or false, got {self.pictures!r}")
        self.seed = build("", {"seed": configuration["seed"]}, Seed)
        self.data = build("data", configuration["data"], Table if of_table else Data)
        if self.data.folds is not None and self.data.fold is None:
            how = "data.fold=0 trains one run, and -m a sweep of a run for each fold"
            raise ConfigurationError(f"data.fold: must be given with data.folds={self.data.folds}; {how}")
        self.data_seed = Seed.of_data(self.seed.seed, self.data.seed, self.data.folds)
        self.training = build("trainer", configuration["trainer"], Training)
        self.loss = build("loss", configuration["loss"], Loss)
        self.schedule = build("schedule", configuration["schedule"], Schedule)
        self.balance = build("balance", configuration["balance"], Balance)
        self.resampling = build("resampling", configuration["resampling"], Resampling)
        self.optimizer = build("optimizer", configuration["optimizer"], Optimizer, adapt)
        self.model = build("model", configuration["model"], Model)
        self.target = None if of_table else build("target", configuration["target"], Target)
        self.sampling = None if of_table else build("sampling", configuration["sampling"], Sampling)
        self.rows = read(self.data) if rows is None and isinstance(self.data, Table) else rows
        self.checksum = "" if self.rows is None else self.rows.checksum
        self.dimension = self.formula[0].dimension if self.rows is None else len(self.rows.inputs)
        self.outputs: Sequence[str] = self.formula[0].outputs if self.rows is None else self.rows.outputs
        self.sizes = self._sizes()
        is_auto = self.model.standardize == "auto"
        self.far = far_from_one(self.target) if self.target is not None and is_auto else []
        self.standardize = bool(self.far or self.rows) if is_auto else bool(self.model.standardize)
        self.logger = section("logger", configuration.get("logger", {}))
        self.callbacks = section("callbacks", configuration.get("callbacks", {}))
        self.penalty = function("penalty", configuration["penalty"]) if configuration.get("penalty") else None
        entries = section("metrics", configuration.get("metrics", {}))
        self.metrics = {name: function(f"metrics.{name}", entry) for name, entry in entries.items()}
        groups = list(self.outputs) if len(self.outputs) > 1 else self._regions()
        self.objective = Objective(configuration.get("objective", VAL_NRMSE), list(entries), groups)
        for mistake in self._mistakes():
            raise ConfigurationError(mistake)

    def _mistakes(self) -> Iterator[str]:
        """Yield what one section allows and another one does not."""
        table, penalty = self.rows is not None, self.penalty is not None
        rule, moves = type(self.resampling).__name__, isinstance(self.resampling, Periodic)
        sections = {"trainer": self.training, "model": self.model, "data": self.data, "loss": self.loss}
        for who, demands in (
            (type(self.optimizer).__name__, self.optimizer.demands),
            ("data=table", {"loss.sample_weight": ("none",)} if table else {}),
            ("a penalty", {"trainer.compile": ("auto", "off")} if penalty else {}),
        ):
            for key, allowed in demands.items():
                name, _, field = key.partition(".")
                if (value := getattr(sections[name], field)) not in allowed:
                    choices = " or ".join("null" if choice is None else str(choice) for choice in allowed)
                    yield f"{key}: must be {choices} with {who}, got {value!r}"
        if self.loss.lambda_dd:
            if self.rows is None or self.rows.d2ydx2 is None:
                got = "a formula" if self.rows is None else f"none in {cast(Table, self.data).file!r}"
                what = "columns of second derivatives, named d2<output>_d<input>_d<input>"
                yield f"loss.lambda_dd: must be 0 without a table that has {what}; got {got}"
            if not self.optimizer.takes_second():
                which = "one by the gradient, or levenberg_marquardt with readout=true or false"
                yield f"optimizer: must be {which}, with loss.lambda_dd; got {type(self.optimizer).__name__}"
            errors, weights = self.system()
            if not self.optimizer.by_gradient and errors * weights > _MOST:
                got = f"{errors} errors and {weights} weights, whose Jacobian has more than {_MOST:.0e} numbers"
                yield f"loss.lambda_dd: must be 0 with {got}; take optimizer=adam, fewer rows or fewer neurons"
        at_step, steps = getattr(self.schedule, "at_step", None), self.training.max_steps
        if at_step is not None and at_step >= steps:
            yield f"schedule.at_step: must be below trainer.max_steps={steps}, or lambda_d is never on; got {at_step}"
        if self.data.folds is not None and moves:
            yield f"resampling: must be none with data.folds, because points would move into the fold; got {rule}"
        if table and moves:
            yield f"resampling: must be none with data=table, whose rows stay in place; got {rule}"
        if not moves and type(self.resampling) is not Resampling:
            yield f"resampling._target_: must name a class derived from Periodic, got {rule}"
        for key in OF_FORMULAS if table else ():
            if (value := self.configuration.get(key)) is not None:
                got = flatten({key: value}).get(key, value)
                yield f"{key}: must be absent with data=table, whose rows are the points; got {got}"
        inputs = numbered("x", self.dimension) if self.rows is None else self.rows.inputs
        names = Columns.of(inputs, self.outputs).names() if self._in_memory is None else []
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            what = f"the run's fit.csv would have two columns {twice[0]!r}, because u_y is the fit of y, and dy_dx its"
            key, how = ("data.outputs", "a column of the table") if table else ("target", "an output")
            yield f"{key}: {what} derivative with respect to x; rename or leave out {how}"
        if self.on_gpu() and not torch.cuda.is_available():
            yield "trainer.accelerator: must be auto or cpu where there is no GPU, got 'gpu'"
        taken = ("loss", *QUANTITIES)
        for name in self.metrics:
            if name in taken or not name.isidentifier():
                yield f"metrics.{name}: must be a name of letters, digits and _, other than {', '.join(taken)}"
        if penalty and not self.optimizer.by_gradient:
            yield f"penalty: must be absent with {type(self.optimizer).__name__}, which needs squares"
        if self.penalty is not None and not _is_finite(self.penalty):
            yield "penalty: must return a finite number for each residual, of the same shape"

    def __reduce__(self) -> tuple[type["Member"], tuple[dict[str, Any], list[str], Rows | None, set[str]]]:
        """Pickle the configuration, and rows in memory, only; the member is built from them again."""
        return Member, (self.configuration, self.overrides, self._in_memory, self._fixed)

    @property
    def has_test(self) -> bool:
        """False if no row is for the test: the validation rows take the place of its points."""
        return self.rows is None or self.sizes[2] > 0

    @property
    def formula(self) -> tuple[Target, Sampling]:
        """The target and the strategy that places its points, of a run without a table."""
        return cast(Target, self.target), cast(Sampling, self.sampling)

    @property
    def batch_size(self) -> int | None:
        """The size of a mini-batch; None: the full batch. A table has one by default if it is large."""
        if self.rows is None or self.data.batch_size is not None or "data.batch_size" in self.optimizer.demands:
            return self.data.batch_size
        return batch_size(self.sizes[0], self.dimension)

    def _sizes(self) -> list[int]:
        """Return the numbers of training, validation and test points; a grid in several dimensions may have fewer."""
        data = self.data
        if isinstance(data, Data) and data.fold is not None:
            target, sampling = self.formula
            n = len(sampling.nodes(data.n_train, target, self.data_seed.generator("data")))
            left_out = n // data.fold_count + (data.fold < n % data.fold_count)
            return [n - left_out, left_out, data.n_test]
        if isinstance(data, Data):
            return [data.n_train + data.boundary_points + (data.n_derivative or 0), data.n_val, data.n_test]
        return [len(rows) for rows in cast(Rows, self.rows).split(self.data_seed.generator("data"))]

    @property
    def fewer_folds(self) -> str:
        """A sentence that says so if there are fewer folds than `data.folds`, or an empty text."""
        folds = self.data.folds
        made = self.data.fold_count if isinstance(self.data, Data) else cast(Rows, self.rows).folds
        if folds is None or made == folds:
            return ""
        return f"data.folds: {made} folds instead of {folds}, so that each has a point"

    def _regions(self) -> list[str]:
        return [] if self.target is None else list(self.target.regions(self.target.domain.mT))

    def on_gpu(self) -> bool:
        """Return True if the run is trained on a GPU."""
        return self.training.accelerator == "gpu"

    def shared(self) -> str:
        """Return all that members of one stack have in common, as text.

        Seeds, loss, schedule, sampling, target and loggers may differ; and the learning rate, if the optimiser's steps
        are proportional to it.
        """
        # In several dimensions the number of points depends on the strategy.
        placing = type(self.sampling).__name__ if self.dimension > 1 else None
        sizes = None if self.rows is None and self.data.folds is None else self.sizes
        shape = [self.dimension, self.outputs, self._regions(), placing, sizes]
        keys = ("balance", "resampling", "model", "metrics", "callbacks", "penalty")
        shared = [self.configuration.get(key) for key in keys]
        rate = {"lr": None} if has_own_rate(self.optimizer) else {}
        start = {"trainer": {**self.configuration["trainer"], "start": None}}
        shared += [{**self.configuration["optimizer"], **rate}, self._data(), start]
        return json.dumps([*shared, shape, self.standardize, self.loss.lambda_dd > 0], sort_keys=True)

    def kind(self) -> str:
        """Return as text what may make a run fail: sizes, and the configuration without seeds, fold and lambda_d."""
        return self.apart_from_seed(loss={**self.configuration["loss"], "lambda_d": None}, sizes=self.sizes)

    def apart_from_seed(self, **replaced: Any) -> str:
        """Return the configuration without seeds and fold, as text: runs that have it in common are one trial."""
        return json.dumps({**self.configuration, "seed": None, "data": self._data(), **replaced}, sort_keys=True)

    def _data(self) -> dict[str, Any]:
        return {**self.configuration["data"], "seed": None, "fold": None}

    def work(self) -> float:
        """Estimate the seconds of one step on one core."""
        model = self.model
        seconds = machine.step_seconds(
            self._points(), model.depth, model.width, self.dimension, len(self.outputs), model.activation
        )
        return seconds + machine.PER_PRODUCT_64 * self.products()

    def products(self) -> float:
        """Estimate the multiplications of the linear algebra of one step."""
        return self.optimizer.products(*self.system(), self.model.width)

    def _points(self) -> int:
        """Return the number of points of a step."""
        return min(self.sizes[0], self.batch_size or self.sizes[0])

    def system(self) -> tuple[int, int]:
        """Return the numbers of errors of a step, and of weights that are fitted to them."""
        model, outputs = self.model, len(self.outputs)
        hidden, last = self.dimension + 1 + (model.depth - 1) * (model.width + 1), (model.width + 1) * outputs
        weights = last if self.optimizer.last_layer_alone else model.width * hidden + last
        seconds = self.dimension * (self.dimension + 1) // 2 if self.loss.lambda_dd else 0
        return self._points() * outputs * (1 + self.dimension + seconds if self.loss.lambda_d else 1), weights


def _is_finite(penalty: Callable[..., Any]) -> bool:
    """Return whether a penalty and its slope are finite and of the shape of the residuals."""
    residual = torch.linspace(-1, 1, 6, dtype=torch.float64, requires_grad=True)
    try:
        rho = penalty(residual)
        (slope,) = torch.autograd.grad(rho.sum(), residual)
    except Exception as error:  # a user's function may raise anything
        raise ConfigurationError(f"penalty: must be differentiable by autograd ({error})") from error
    return rho.shape == slope.shape and bool((rho.isfinite() & slope.isfinite()).all())
