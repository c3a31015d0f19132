"""What the framework costs: a run with all logging on, against a plain loop of the same arithmetic.

    python benchmarks/overhead.py [--steps 20000] [--rounds 3]

Both take the same optimiser steps on the same points, with lambda_d switched on at the same step. The plain loop does
nothing else. The figure is the share of the run's time per step that the plain loop does not need.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import hydra
import torch
from omegaconf import OmegaConf

from runge import losses
from runge.experiment import Experiment
from runge.runs import RunDirectory
from runge.schedules import learning_rate_factor

ROOT = Path(__file__).resolve().parent.parent


def experiment(steps: int) -> Experiment:
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        overrides = [f"trainer.max_steps={steps}", f"schedule.at_step={steps // 4}"]
        plain = OmegaConf.to_container(hydra.compose("config", overrides), resolve=True)
    assert isinstance(plain, dict)
    plain.pop("resume")
    return Experiment({str(key): value for key, value in plain.items()})


def framework(steps: int) -> float:
    made = experiment(steps)
    with tempfile.TemporaryDirectory() as directory:
        metrics = made.fit(RunDirectory(directory))
    return float(metrics["seconds/fit"] or 0) / steps


def plain_loop(steps: int) -> float:
    made = experiment(steps)
    module, points = made.module, made.data.dataset.train
    optimizer = module.configure_optimizers()
    started = time.perf_counter()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = module.optimizer.lr * learning_rate_factor("cosine", step, steps)
        weight = module.lambda_d if step >= steps // 4 else None
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
    shares = []
    for _ in range(arguments.rounds):
        bare, full = plain_loop(arguments.steps), framework(arguments.steps)
        shares.append(1 - bare / full)
        print(
            f"plain loop {bare * 1e6:.0f} us a step, run {full * 1e6:.0f} us: {shares[-1]:.1%} of it outside the loop"
        )
    print(f"median share outside the plain loop: {statistics.median(shares):.1%}")


if __name__ == "__main__":
    main()
