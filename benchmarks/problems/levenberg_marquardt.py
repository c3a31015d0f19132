"""Compare Levenberg-Marquardt on growing subsets, in 32 and 64 bits, with full steps in 64 bits.

    pip install -e '.[bench]'
    python benchmarks/problems/levenberg_marquardt.py [--rows 3000] [--width 32] [--depth 2] [--steps 40] [--seeds 3]

Both fit values and derivatives of smooth functions in one process, one after the other, on one thread. The ratio is the
processor time of the full steps until their lowest validation loss, over that of the steps of the package until they
reach the same loss; "-" if they do not reach it. The losses are the lowest of each.
"""

import argparse
import time

import numpy as np
import torch
from engineering import HARD
from fresh import FRESH
from functions import outputs
from scipy.stats import qmc
from tables import label, noisy
from torch.optim import Optimizer

from runge.data.channels import channel_weights, row_points
from runge.optimizers import LevenbergMarquardt, Problem
from runge.sobolev import losses
from runge.sobolev.network import Model, StackedMLP
from runge.sobolev.units import Units

FUNCTIONS = {name: (FRESH | HARD)[name] for name in ("borehole", "otl_circuit", "piston", "wing_10", "friedman")}


class FullSteps(LevenbergMarquardt):
    """The method with all points and 64 bits in every step."""

    @torch.no_grad()
    def step(self, optimizer: Optimizer, problem: Problem, progress: float) -> None:
        state = self._state(optimizer, problem.network.theta)
        state["single"].zero_()
        self._step(state, problem)


def train(method: LevenbergMarquardt, name: str, seed: int, settings: argparse.Namespace) -> list[tuple[float, float]]:
    """Return the seconds and the lowest validation loss after each step."""
    function = FUNCTIONS[name]
    low, high = zip(*function.box, strict=True)
    hypercube = qmc.LatinHypercube(d=len(low), rng=seed).random(settings.rows)
    random = np.random.default_rng(1000 + seed).random((1000, len(low)))
    seen, fresh = (label(outputs(function), qmc.scale(x, low, high)) for x in (hypercube, random))
    rows = [
        row_points(part.x, part.y, part.dydx, ["f"])
        for part in (noisy(seen, settings.noise, settings.noise, seed), fresh)
    ]
    units = Units.of(rows[0])
    points, validation = (units.standardise(part) for part in rows)
    points, validation = (part.reweighted(channel_weights(points)) for part in (points, validation))
    box, generator = torch.stack([points.x.amin(1), points.x.amax(1)], dim=2), torch.Generator().manual_seed(seed)
    shape = Model(activation="silu", depth=settings.depth, width=settings.width)
    network, one = StackedMLP(shape, box, [generator], torch.float64), torch.ones(1, dtype=torch.float64)
    problem = Problem(network, points, one, one, losses.loss_and_gradient)
    optimizer, course, seconds, lowest = method.build([network.theta]), [], 0.0, np.inf
    for k in range(settings.steps):
        began = time.process_time()
        method.step(optimizer, problem, k / settings.steps)
        seconds += time.process_time() - began
        terms = losses.terms(*network.predict(validation.x), validation, one)
        lowest = min(lowest, losses.weigh(*terms, one).item())
        course.append((seconds, lowest))
    return course


def main() -> None:
    parser = argparse.ArgumentParser()
    for key, default in {"rows": 3000, "width": 32, "depth": 2, "steps": 40, "noise": 0.0, "seeds": 3}.items():
        parser.add_argument(f"--{key}", type=type(default), default=default)
    settings, ratios = parser.parse_args(), []
    torch.set_num_threads(1)
    for name in FUNCTIONS:
        for seed in range(settings.seeds):
            full, package = (train(method, name, seed, settings) for method in (FullSteps(), LevenbergMarquardt()))
            goal = full[-1][1]
            until = [next((seconds for seconds, loss in c if loss <= goal), np.inf) for c in (full, package)]
            ratios.append(until[0] / until[1])
            print(f"{name:12} seed {seed}: ratio {ratios[-1] or '-':.3}, losses {goal:.2e} {package[-1][1]:.2e}")
    print(f"median ratio {np.median(ratios):.2f}, lowest {min(ratios):.2f}")


if __name__ == "__main__":
    main()
