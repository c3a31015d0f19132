"""Compare SOAP with AdamW and Levenberg-Marquardt on six tables of 2,000 to 100,000 rows.

    taskset -c 0 python benchmarks/problems/large_tables.py [--seconds 20] [--seeds 1] [--methods SOAP ...]

Each fit has the same CPU seconds on one core, after its compilation. All minimise runge's own loss on all rows, from
weights that runge draws; the errors are those of `tables.errors` on fresh points without noise. Levenberg-Marquardt,
which has a matrix with a column for each weight, fits two layers of 32 neurons, the others three of 64, the default of
`data=table`. SOAP's learning rate was the best of a few on the borehole, which is not among the tables. AdamW has its
defaults.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import product

import numpy as np
import torch
from fresh import FRESH
from functions import Function, problem
from hard import HARD
from numpy.typing import NDArray
from results import keep
from tables import Rows, errors, noisy

from runge.composing.composition import compose
from runge.optimizers import Course, Problem
from runge.process import machine
from runge.training.member import Member
from runge.training.module import SobolevRegression
from runge.training.prepare import Stack, prepare
from runge.training.settings import Settings


def arm(x: NDArray) -> NDArray:
    """Return the six torques by which a planar arm holds its links against gravity, by its joints' angles."""
    moments = np.cos(x.cumsum(axis=1)) * np.arange(6, 0, -1)
    return moments[:, ::-1].cumsum(axis=1)[:, ::-1]


def ridges(x: NDArray) -> NDArray:
    """Return a sum of four sines, four logistic functions and four squares of random linear functions."""
    a, b, c = (x @ weights for weights in np.random.default_rng(7).standard_normal((3, x.shape[1], 4)) / 2)
    return (np.sin(2 * a) + 1 / (1 + np.exp(-3 * b)) + 0.3 * c**2).sum(axis=1)


RIDGES = Function(ridges, ((-1, 1),) * 20, 100_000)
TABLES = {
    "OTL circuit": (FRESH["otl_circuit"]._replace(n=2_000), 0.0),
    "planar arm": (Function(arm, ((-1.5, 1.5),) * 6, 5_000), 0.0),
    "piston": (HARD["piston"]._replace(n=10_000), 0.0),
    "wing weight": (HARD["wing_10"]._replace(n=20_000), 0.0),
    "ridges": (RIDGES, 0.0),
    "ridges, 1 % noise": (RIDGES, 0.01),
}
METHODS = {
    "AdamW": ("trainer.compile=on",),
    "SOAP": ("trainer.compile=on", "optimizer=soap"),
    "Levenberg-Marquardt": ("optimizer=levenberg_marquardt", "model.depth=2", "model.width=32"),
}
AT_ONCE = 20  # steps by the gradient, which share a learning rate


def stack_of(rows: Rows, *overrides: str) -> Stack:
    """Return a network with training points."""
    with tempfile.TemporaryDirectory() as folder:
        np.savez(f"{folder}/rows.npz", **rows._asdict())
        table = ("data=table", f"data.file={folder}/rows.npz", "data.split.val=0", "data.split.test=0")
        return prepare([Member(Settings.of(compose(*table, *overrides)))])


def fit(method: str, table: str, seed: int, seconds: float) -> dict[str, float]:
    """Return the errors after some seconds, and the steps taken; nothing if the first step would take longer."""
    machine.use_threads(0)
    function, noise = TABLES[table]
    rows, test = problem(function, seed)
    stack = stack_of(noisy(rows, noise, noise, seed), f"seed={seed}", *METHODS[method])
    if stack.members[0].work() > 3 * seconds:
        return {}
    module, block = stack.module, next(iter(stack.data.train_dataloader()))
    assert isinstance(module, SobolevRegression)
    network, optimizer = module.network.requires_grad_(False), module.optimizer
    lambda_d, count = module.lambda_d.to(module.scale), AT_ONCE if optimizer.by_gradient else 1
    state, spent, taken = optimizer.build(optimizer.weights(network)), 0.0, 0
    while spent < seconds:
        began, done = time.process_time(), 0
        batch = block.batches(taken, count)
        weights, progress = lambda_d.expand(count, -1), [spent / seconds] * count
        on = [True] * count
        course = Course(network, block.points, batch, module.scale, weights, on, progress, module.loss_and_gradient)
        while done < count:
            done += optimizer.steps(state, course, done, count)
        spent, taken = spent + time.process_time() - began, taken + count
    optimizer.finish(Problem(network, block.points, module.scale, lambda_d, module.loss_and_gradient))
    units = stack.data.units
    assert units is not None
    x = units.standardise_inputs(torch.from_numpy(test.x)[None]).to(network.theta.dtype)
    u, du = units.restore(*network.predict(x), x)
    return {"seconds": spent, "steps": taken, **errors(u[0].numpy(), du[0].numpy(), test)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--tables", nargs="+", default=list(TABLES))
    parser.add_argument("--only", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(fit(*options.only)))
        return
    for table, method, seed in product(options.tables, options.methods, range(options.seeds)):
        only = json.dumps([method, table, seed, options.seconds])
        done = subprocess.run([sys.executable, __file__, "--only", only], stdout=subprocess.PIPE, text=True, check=True)
        found = {"table": table, "method": method, "seed": seed} | json.loads(done.stdout.splitlines()[-1])
        print(found)
        if "value" in found:
            keep("large_tables", [found], "python benchmarks/problems/large_tables.py", ("table", "method", "seed"))


if __name__ == "__main__":
    main()
