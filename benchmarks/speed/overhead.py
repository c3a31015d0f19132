"""Compare the cost of a complete run with a plain torch loop and with the arithmetic of the run alone.

    python benchmarks/speed/overhead.py [--steps 20000] [--rounds 3]

All take the same number of optimiser steps on the same points, with lambda_d on from the first step.

- The torch loop is that of the tutorials: `nn.Sequential`, and u' by `torch.autograd.grad`, which needs a second
  backward pass.
- The bare loop takes the same steps as the run and does nothing else.
- A run writes its history, diagnostics, event file, checkpoints and pictures, and shows its progress bar. The compiled
  run includes the compilation. Two more runs omit the progress bar, and the diagnostics.

The script also measures the time of a checkpoint, for one run and for a stack of 32; 30 seconds are between two.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import lightning.pytorch as pl
import torch
from figures import parser, report
from torch import nn

from runge.optimizers import Problem
from runge.records.directories import RunDirectory
from runge.sobolev import kernel, losses
from runge.sweeps.compose import compose
from runge.training.member import Member
from runge.training.saving import Save
from runge.training.stack import Stack


def experiment(steps: int, *changes: str, members: int = 1) -> Stack:
    configuration = compose(f"trainer.max_steps={steps}", "schedule=constant", *changes)
    return Stack([Member({**configuration, "seed": seed}) for seed in range(members)])


def framework(steps: int, *changes: str) -> float:
    kernel._library.cache_clear()
    started = time.perf_counter()
    made = experiment(steps, *changes)
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, {"RUNGE_CACHE_DIR": f"{folder}/empty"}):
        made.fit([RunDirectory(folder)])
    return (time.perf_counter() - started) / steps


def checkpoint_seconds(members: int) -> float:
    """Return the median time that saving a checkpoint takes, halfway through a run of 20 000 steps."""
    taken: list[float] = []

    class Timed(Save):
        def _save(self, trainer: pl.Trainer, step: int) -> None:
            started = time.perf_counter()
            super()._save(trainer, step)
            taken.append(time.perf_counter() - started)

    changes = ("trainer.compile=off", "trainer.progress_bar=false", "trainer.checkpoint_seconds=0")
    made = experiment(1000, *changes, "trainer.log_every=5", "trainer.diagnostics_every=10", members=members)
    with tempfile.TemporaryDirectory() as directory, patch("runge.training.stack.Save", Timed):
        runs = [RunDirectory(Path(directory) / str(member)) for member in range(members)]
        for run in runs:
            run.path.mkdir()
        made.fit(runs, report=lambda _: None)
    middle = len(taken) // 2  # as many rows of history as a run of 20 000 steps has there
    return statistics.median(taken[middle - 10 : middle + 10])


def bare_loop(steps: int) -> float:
    made = experiment(steps)
    module = made.module
    adam, optimizer, network = module.optimizer, module.configure_optimizers()[0], module.network
    weight = module.lambda_d.to(module.scale)
    problem = Problem(network, made.data.dataset.train, module.scale, weight, losses.loss_and_gradient)
    started = time.perf_counter()
    for step in range(steps):
        adam.step(optimizer, problem, step / steps)
    return (time.perf_counter() - started) / steps


def torch_loop(steps: int) -> float:
    made = experiment(steps)
    points, model = made.data.dataset.train, made.members[0].model
    x, f, df = points.x[0].clone().requires_grad_(), points.f[0, :, None], points.df[0]
    width = model.width
    network = nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1))
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    started = time.perf_counter()
    for _ in range(steps):
        u = network(x)
        (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        loss = (u - f).square().mean() + 0.1 * (du - df).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return (time.perf_counter() - started) / steps


def main() -> None:
    known = parser(__doc__)
    known.add_argument("--steps", type=int, default=20000)
    options = known.parse_args()
    torch.set_num_threads(1)
    framework(1000, "trainer.compile=on")  # imports and first calls
    contenders: dict[str, Callable[[int], float]] = {
        "torch loop": torch_loop,
        "bare loop": bare_loop,
        "run": lambda steps: framework(steps, "trainer.compile=off"),
        "run, compiled": lambda steps: framework(steps, "trainer.compile=on"),
        "run without progress bar": lambda steps: framework(steps, "trainer.compile=off", "trainer.progress_bar=false"),
        "run without diagnostics": lambda steps: framework(
            steps, "trainer.compile=off", "trainer.diagnostics_every=1000000000"
        ),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, measure in contenders.items():
            times[name].append(measure(options.steps) * 1e6)
    checkpoints = {members: checkpoint_seconds(members) for members in (1, 32)}
    report("overhead", "us a step", times, options.keep, {"seconds of a checkpoint": checkpoints})


if __name__ == "__main__":
    main()
