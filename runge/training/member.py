"""One run's configuration as checked objects."""

import itertools
import json
from collections.abc import Sequence
from typing import Any, TypeVar, cast

import torch

from runge import machine
from runge.balance import Balance
from runge.configuration import build, function, no_such_key, section
from runge.data import Data, Rows, Table, batch_size, read
from runge.errors import ConfigurationError
from runge.metrics import QUANTITIES
from runge.objective import VAL_NRMSE, Objective
from runge.optimizers import Optimizer, adapt, has_own_rate
from runge.resampling import Never, Periodic, Resampling
from runge.sampling import Sampling
from runge.schedules import Schedule
from runge.sobolev.compilation import compile_ahead
from runge.sobolev.network import Model
from runge.targets import Target, far_from_one
from runge.training.of_tables import OF_FORMULAS, check_columns, check_for_table
from runge.training.sections import Loss, Pictures, Training
from runge.training.seed import Seed

T = TypeVar("T")

SECTIONS = (
    *("seed", "data", "model", "loss", "trainer", "target", "sampling", "resampling", "schedule", "balance"),
    "optimizer",
)
"""The keys of a run's configuration."""

OPTIONAL = ("logger", "metrics", "callbacks", "penalty", "objective", "pictures")
"""The keys of sections that older runs do not have, and that may be missing."""


class Member:
    """One run before it has data or weights.

    Args:
        configuration: plain data with the sections of `conf/config.yaml`.
        overrides: the overrides of the run, which name it in TensorBoard.
        rows: the rows of a table in memory; None: a table is read from its file.

    Raises:
        ConfigurationError: a key is unknown or missing, or a value is not allowed. Mistakes that follow from sizes are
            found when a `Stack` is made.
    """

    def __init__(self, configuration: dict[str, Any], overrides: Sequence[str] = (), rows: Rows | None = None) -> None:
        self.configuration, self.overrides = configuration, list(overrides)
        if unknown := configuration.keys() - {*SECTIONS, *OPTIONAL}:
            raise no_such_key("", min(unknown), (*SECTIONS, *OPTIONAL))
        of_table = "_target_" in section("data", configuration.get("data", {}))
        if missing := [key for key in SECTIONS if key not in configuration and not (of_table and key in OF_FORMULAS)]:
            raise ConfigurationError(f"{missing[0]}: is missing")

        def build_section(key: str, kind: type[T]) -> T:
            return build(key, configuration[key], kind)

        self.seed = build("", {"seed": configuration["seed"]}, Seed)
        self.data: Data | Table = build_section("data", Table if of_table else Data)
        self._in_memory = rows
        self.rows = read(self.data) if rows is None and isinstance(self.data, Table) else rows
        self.data_seed = self.seed if self.data.seed is None else Seed(seed=self.data.seed)
        self.training = build_section("trainer", Training)
        self.loss = build_section("loss", Loss)
        self.schedule = build_section("schedule", Schedule)
        self.target = None if of_table else build_section("target", Target)
        self.balance = build_section("balance", Balance)
        self.resampling = build_section("resampling", Resampling)
        if not isinstance(self.resampling, Never | Periodic):
            name = type(self.resampling).__name__
            raise ConfigurationError(f"resampling._target_: must name a class derived from Periodic, got {name}")
        if self.rows is not None:
            check_for_table(configuration, self.resampling, self.loss.sample_weight)
            if rows is None:
                check_columns(self.rows)
            self.sizes = [len(part) for part in self.rows.split(self.data_seed.generator("data"))]
        self.sampling = None if of_table else build_section("sampling", Sampling)
        self.optimizer = build("optimizer", configuration["optimizer"], Optimizer, adapt)
        self.model = build_section("model", Model)
        self.far = [] if self.target is None or self.model.standardize != "auto" else far_from_one(self.target)
        self.pictures = build("", {"pictures": configuration.get("pictures", "auto")}, Pictures).pictures
        self.logger = section("logger", configuration.get("logger", {}))
        self.penalty = function("penalty", configuration["penalty"]) if configuration.get("penalty") else None
        self.callbacks = section("callbacks", configuration.get("callbacks", {}))
        self.metrics = {
            name: function(f"metrics.{name}", entry)
            for name, entry in section("metrics", configuration.get("metrics", {})).items()
        }
        if taken := [name for name in self.metrics if name in {"loss", *QUANTITIES} or not name.isidentifier()]:
            names = ", ".join(("loss", *QUANTITIES))
            raise ConfigurationError(f"metrics.{taken[0]}: must be a name of letters, digits and _, other than {names}")
        self.objective = Objective(configuration.get("objective", VAL_NRMSE), list(self.metrics), self._groups())
        if self.training.accelerator == "gpu" and not self.on_gpu():
            raise ConfigurationError("trainer.accelerator: must be auto or cpu where there is no GPU, got 'gpu'")
        self._check_the_optimizers_needs()
        self._check_the_penalty()
        self._check_memory()
        if self.model.stages > self.training.max_steps:
            raise ConfigurationError(
                f"model.stages: must be at most trainer.max_steps, {self.training.max_steps}; got {self.model.stages}"
            )

    @property
    def checksum(self) -> str:
        """The checksum of the rows of the table; empty: there is none."""
        return "" if self.rows is None else self.rows.checksum

    @property
    def has_test(self) -> bool:
        """False if no row is for the test: the validation rows take the place of its points."""
        return self.rows is None or self.sizes[2] > 0

    @property
    def formula(self) -> tuple[Target, Sampling]:
        """The target and the strategy that places its points, of a run without a table."""
        assert self.target is not None
        assert self.sampling is not None
        return self.target, self.sampling

    @property
    def standardize(self) -> bool:
        """True if the run is trained in standardised units; with `auto`, if it is a table or far from size 1."""
        return bool(self.far or self.rows) if self.model.standardize == "auto" else self.model.standardize

    @property
    def dimension(self) -> int:
        """The number of inputs."""
        return len(self.rows.inputs) if self.rows is not None else self.formula[0].dimension

    def _groups(self) -> list[str]:
        """Return the regions, or several outputs, for which errors are reported beside those of the whole."""
        if self.target is None:
            outputs = cast(Rows, self.rows).outputs
            return list(outputs) if len(outputs) > 1 else []
        outputs = self.target.outputs
        return list(outputs if len(outputs) > 1 else self.target.regions(self.target.domain.mT))

    def _check_the_optimizers_needs(self) -> None:
        values = {"trainer": self.training, "model": self.model, "data": self.data}
        for key, allowed in self.optimizer.demands.items():
            section, _, field = key.partition(".")
            if (value := getattr(values[section], field)) not in allowed:
                choices = " or ".join("null" if choice is None else str(choice) for choice in allowed)
                name = type(self.optimizer).__name__
                raise ConfigurationError(f"{key}: must be {choices} with {name}, got {value!r}")

    def _check_the_penalty(self) -> None:
        if self.penalty is None:
            return
        if not self.optimizer.by_gradient:
            name = type(self.optimizer).__name__
            raise ConfigurationError(f"penalty: must be absent with {name}, which needs squares")
        if self.training.compile == "on":
            raise ConfigurationError("trainer.compile: must be auto or off with a penalty, got 'on'")
        residual = torch.linspace(-1, 1, 6, dtype=torch.float64, requires_grad=True)
        try:
            rho = self.penalty(residual)
            (slope,) = torch.autograd.grad(rho.sum(), residual)
        except Exception as error:  # a user's function may raise anything
            raise ConfigurationError(f"penalty: must be differentiable by autograd ({error})") from error
        if rho.shape != slope.shape or not (rho.isfinite() & slope.isfinite()).all():
            raise ConfigurationError("penalty: must return a finite number for each residual, of the same shape")

    def on_gpu(self) -> bool:
        """Return True if the run is trained on a GPU."""
        return self.training.accelerator != "cpu" and torch.cuda.is_available()

    def __reduce__(self) -> tuple[type["Member"], tuple[dict[str, Any], list[str], Rows | None]]:
        """Pickle the configuration, and rows in memory, only; the member is built from them again."""
        return Member, (self.configuration, self.overrides, self._in_memory)

    def shared(self) -> str:
        """Return all that members of one stack have in common, as text.

        Seeds, the loss, the schedule, the sampling, the target and the loggers may differ; and the learning rate, if
        the optimiser's steps are proportional to it.
        """
        shape: list[Any] = [None if self.rows is None else self.sizes]
        if self.target is not None:
            shape = [self.target.dimension, self.target.outputs, list(self.target.regions(self.target.domain.mT))]
            # In several dimensions the number of points depends on the strategy.
            shape.append(type(self.sampling).__name__ if self.target.dimension > 1 else None)
        same = [self.configuration[key] for key in ("optimizer", "balance", "resampling", "model", "trainer")]
        if has_own_rate(self.optimizer):
            same[0] = {**same[0], "lr": None}
        same += [self.configuration.get(key) for key in ("metrics", "callbacks", "penalty")]
        sizes = {**self.configuration["data"], "seed": None}
        return json.dumps([*same, sizes, shape, self.standardize], sort_keys=True)

    def _training_points(self) -> int:
        """Return the number of training points; a grid in several dimensions may have fewer."""
        if isinstance(self.data, Data):
            return self.data.n_train + self.data.boundary_points + (self.data.n_derivative or 0)
        return self.sizes[0]

    @property
    def batch_size(self) -> int | None:
        """The size of a mini-batch; None: the full batch. A table has one by default if it is large."""
        if self.rows is None or self.data.batch_size is not None or "data.batch_size" in self.optimizer.demands:
            return self.data.batch_size
        return batch_size(self.sizes[0], self.dimension)

    def _batch(self) -> int:
        """Return the number of points of one step."""
        return min(points := self._training_points(), self.batch_size or points)

    def memory(self) -> tuple[float, str]:
        """Estimate the bytes that the optimiser needs for this run beyond those of its weights, and say for what."""
        outputs = len(self.formula[0].outputs if self.rows is None else self.rows.outputs)
        residuals = outputs * (1 + self.dimension) * self._training_points()
        sizes = [self.dimension, *[self.model.width] * self.model.depth, outputs]
        weights, neurons = sum((a + 1) * b for a, b in itertools.pairwise(sizes)), self.model.width * self.model.depth
        last, name = (self.model.width + 1) * outputs, type(self.optimizer).__name__
        numbers = self.optimizer.numbers(residuals, weights, neurons, last)
        what = f"{name} with {residuals} residuals, P (1 + D) N, and {weights} weights"
        return numbers * self.training.precision / 8, what

    def _check_memory(self) -> None:
        need, what = self.memory()
        if need > (most := machine.memory() / 2) and not self.on_gpu():
            less = "data.n_train" if self.rows is None else "data.split.train"
            raise ConfigurationError(
                f"optimizer: needs more than half of this machine's memory, {most / 1e9:.1f} GB; got about "
                f"{need / 1e9:.1f} GB for {what}; use optimizer=adam, or a smaller {less} or model.width"
            )

    def work(self) -> float:
        """Estimate the seconds of one step on one core."""
        model = self.model
        return machine.step_seconds(self._batch(), model.depth, model.width, self.dimension, model.activation)

    def compile_ahead(self, runs: int) -> None:
        """Compile the step of a stack of so many runs of this size, if that pays, so that other processes find it."""
        if not self.on_gpu():
            neurons = runs * self._batch() * (1 + self.dimension) * self.model.width * self.model.depth
            steps = self.training.max_steps if self.optimizer.by_gradient else 0
            compile_ahead(self.training.compile, self.model, self.training.dtype, neurons=neurons, steps=steps)

    def without_seed(self) -> str:
        """Return the configuration without seeds and lambda_d, which cannot make a valid run fail, as text."""
        data = {**self.configuration["data"], "seed": None}
        loss = {**self.configuration["loss"], "lambda_d": None}
        return json.dumps({**self.configuration, "seed": None, "data": data, "loss": loss}, sort_keys=True)

    def apart_from_seed(self) -> str:
        """Return the configuration without seeds, as text: runs that have it in common are one trial."""
        data = {**self.configuration["data"], "seed": None}
        return json.dumps({**self.configuration, "seed": None, "data": data}, sort_keys=True)
