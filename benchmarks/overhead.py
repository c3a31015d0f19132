"""What the framework costs: a run with all logging on, against a plain loop of the same arithmetic.

    python benchmarks/overhead.py [--steps 20000] [--rounds 3]

Both take the same optimiser steps on the same points, with lambda_d switched on at the same step. The plain loop does
nothing else. The figure is the share of the run's time per step that the plain loop does not need. Besides: what the
run takes less without its progress bar, and without its looks at the gradients of both terms.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import hydra
import torch
from omegaconf import OmegaConf

from runge import losses
from runge.composition import register_resolvers
from runge.directories import RunDirectory
from runge.experiment import Experiment
from runge.member import Member
from runge.schedules import learning_rate_factor

ROOT = Path(__file__).resolve().parent.parent


def experiment(steps: int, *changes: str) -> Experiment:
    register_resolvers()
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        overrides = [f"trainer.max_steps={steps}", f"schedule.at_step={steps // 4}", *changes]
        plain = OmegaConf.to_container(hydra.compose("config", overrides), resolve=True)
    assert isinstance(plain, dict)
    plain.pop("resume")
    return Experiment([Member({str(key): value for key, value in plain.items()})])


def framework(steps: int, *changes: str) -> float:
    made = experiment(steps, *changes)
    with tempfile.TemporaryDirectory() as directory:
        started = time.perf_counter()
        made.fit([RunDirectory(directory)])
    return (time.perf_counter() - started) / steps


def plain_loop(steps: int) -> float:
    made = experiment(steps)
    module, points = made.module, made.data.dataset.train
    optimizer = module.configure_optimizers()
    started = time.perf_counter()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = module.optimizer.lr * learning_rate_factor("cosine", step, steps)
        weight = module.lambda_d.to(points.f) if step >= steps // 4 else None
        _, module.network.theta.grad = losses.loss_and_gradient(module.network, points, module.scale, weight)
        optimizer.step()
    return (time.perf_counter() - started) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    framework(1000)  # imports and first calls
    without: dict[str, Callable[[int], float]] = {
        "the plain loop": plain_loop,
        "a run without progress bar": lambda steps: framework(steps, "trainer.progress_bar=false"),
        "a run without diagnostics": lambda steps: framework(steps, "trainer.diagnostics_every=1000000000"),
    }
    shares: dict[str, list[float]] = {name: [] for name in without}
    for _ in range(arguments.rounds):
        full = framework(arguments.steps)
        print(f"a run: {full * 1e6:.0f} us a step")
        for name, measure in without.items():
            less = measure(arguments.steps)
            shares[name].append(1 - less / full)
            print(f"{name}: {less * 1e6:.0f} us, {shares[name][-1]:.1%} less")
    for name, found in shares.items():
        print(f"median share of a run's time that {name} does not need: {statistics.median(found):.1%}")


if __name__ == "__main__":
    main()
