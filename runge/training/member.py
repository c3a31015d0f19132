"""One run's configuration, taken apart and checked: what a stack is made of."""

import json
from collections.abc import Sequence
from typing import Any

import torch

from runge.balance import Balance, Fixed
from runge.configuration import build, section, take
from runge.errors import ConfigurationError
from runge.optimizers import Optimizer
from runge.resampling import Never, Resampling
from runge.sampling import Sampling
from runge.schedules import Schedule
from runge.targets import Target
from runge.training.settings import Loss, Seed, Training


class Member:
    """What a configuration says of one run, before it has any data or weights.

    Args:
        configuration: plain data with the sections of `conf/config.yaml`.
        overrides: what of it was asked for, which names the run in TensorBoard.

    Raises:
        ConfigurationError: a key is unknown or missing, or a value is not allowed. What follows from sizes alone is
            found when an `Experiment` is made of the member.
    """

    def __init__(self, configuration: dict[str, Any], overrides: Sequence[str] = ()) -> None:
        self.configuration, self.overrides = configuration, list(overrides)
        sections = dict(configuration)
        self.seed = build("", {"seed": take(sections, "seed")}, Seed)
        self.data = section("data", take(sections, "data"))
        data_seed = take(self.data, "seed")
        self.data_seed = self.seed if data_seed is None else build("data", {"seed": data_seed}, Seed)
        self.training = build("trainer", take(sections, "trainer"), Training)
        self.loss = build("loss", take(sections, "loss"), Loss)
        self.schedule = build("schedule", take(sections, "schedule"), Schedule)
        self.target = build("target", take(sections, "target"), Target)
        self.balance = build("balance", take(sections, "balance"), Balance)
        self.resampling = build("resampling", take(sections, "resampling"), Resampling)
        self.sampling = build("sampling", take(sections, "sampling"), Sampling)
        self.optimizer = build("optimizer", take(sections, "optimizer"), Optimizer)
        self.model = section("model", take(sections, "model"))
        self.logger = section("logger", sections.pop("logger", {}))  # runs of older versions have no such section
        if sections:
            known = ", ".join(configuration.keys() - sections.keys())
            raise ConfigurationError(f"{', '.join(sections)}: there is no such key; there are {known}")
        if self.training.accelerator == "gpu" and not self.on_gpu():
            raise ConfigurationError("trainer.accelerator: must be auto or cpu where there is no GPU, got 'gpu'")
        try:
            self.optimizer.check(self.training, self.model.get("derivative", ""), self.data.get("batch_size"))
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        stages, steps = self.model.get("stages"), self.training.max_steps
        if isinstance(stages, int) and stages > steps:
            raise ConfigurationError(f"model.stages: must be at most trainer.max_steps, {steps}; got {stages}")

    def on_gpu(self) -> bool:
        """Whether it is trained on a GPU."""
        return self.training.accelerator != "cpu" and torch.cuda.is_available()

    def __reduce__(self) -> tuple[type["Member"], tuple[dict[str, Any], list[str]]]:
        """A member travels to another process as its configuration."""
        return Member, (self.configuration, self.overrides)

    def shared(self) -> str:
        """What is equal in all members of a stack: network, optimiser, balance, resampling, sizes and steps.

        Seeds, lambda_d and the rest of the loss, the schedule of lambda_d, the sampling and the target may differ.
        """
        regions = list(self.target.regions(self.target.domain.mT))
        # On a grid in more dimensions the number of points is that of the strategy.
        strategy = type(self.sampling).__name__ if self.target.dimension > 1 else None
        same = [self.configuration[key] for key in ("optimizer", "balance", "resampling", "model", "trainer")]
        return json.dumps([*same, self.data, self.target.dimension, regions, strategy], sort_keys=True)

    def work(self) -> float:
        """What one step of one member costs on one core, in seconds, roughly: products, and passes over the neurons."""
        depth, width, dimension = self.model["depth"], self.model["width"], self.target.dimension
        products = width * (width * (depth - 1) + dimension) * (1 + dimension)
        return self.data["n_train"] * (2.4e-11 * products + 3.6e-10 * width * depth * (1 + dimension))

    def without_seed(self) -> str:
        """All of the configuration but the seeds and lambda_d, whose values decide on nothing else that can fail."""
        data = {**self.configuration["data"], "seed": None}
        loss = {**self.configuration["loss"], "lambda_d": None}
        return json.dumps({**self.configuration, "seed": None, "data": data, "loss": loss}, sort_keys=True)

    def title(self) -> str:
        """What the run's pictures are headed with."""
        what = getattr(self.target, "expr", type(self.target).__name__)
        where = f"{type(self.sampling).__name__.lower()} sampling"
        if not isinstance(self.resampling, Never):
            where += f", then by {type(self.resampling).__name__}"
        weight = f"= {self.loss.lambda_d:g}"
        if not isinstance(self.balance, Fixed):
            weight = f"by {type(self.balance).__name__}"
        stages = f" in {self.model['stages']} stages" if self.model["stages"] != 1 else ""
        network = f"{self.model['activation']} {self.model['depth']} × {self.model['width']}{stages}"
        return f"{what}, {where}: {network}, lambda_d {weight}, seed {self.seed.seed}"
