"""Labels of second derivatives: how much they lower the errors of values and gradients, at equal rows.

    python benchmarks/problems/second_order.py [--seeds 3] [--names franke branin] [--work DIR]

A network is fitted to the values and gradients of n rows with four `loss.lambda_d`, and then, with `loss.lambda_d=1`,
also to their Hessians with four `loss.lambda_dd`. Of each four that with the smallest errors of values and gradients on
validation rows counts, one for every four training rows. Errors are those of `tables.errors`, on 1000 points.
"""

import argparse
import json
import math
from functools import partial
from itertools import combinations_with_replacement, product
from pathlib import Path
from typing import Any

import page
import pandas as pd
from second_order_problems import OF_HESSIAN, Labels, Problem, points
from tables import Rows, errors

from runge import Run, sweep
from runge.predict import predict
from runge.tables.table import numbered

N_TEST, TEST_SEED = 1000, 999
SETTINGS = (
    *("data=table", "data.split_column=set", "optimizer=levenberg_marquardt", "trainer.max_steps=200"),
    *("model.activation=tanh", "model.depth=2", "model.width=24", "trainer.log_every=5", "trainer.progress_bar=false"),
    *("logger=[]", "pictures=false", "hydra.sweeper.compare=false"),
)
ARMS = {
    "gradient": ("loss.lambda_d=0.1,1,10,100",),
    "hessian": ("loss.lambda_d=1", "loss.lambda_dd=1e-3,1e-2,1e-1,1"),
}


def columns(labels: Labels, part: str) -> pd.DataFrame:
    """Return rows of a table, with the set that they are in."""
    inputs, outputs = numbered("x", labels.x.shape[1]), numbered("y", labels.y.shape[1])
    found = dict(zip((*inputs, *outputs), (*labels.x.T, *labels.y.T), strict=True))
    for (p, y), (d, x) in product(enumerate(outputs), enumerate(inputs)):
        found[f"d{y}_d{x}"] = labels.dydx[:, p, d]
    if labels.hessian is not None:
        for (p, y), (i, j) in product(enumerate(outputs), combinations_with_replacement(range(len(inputs)), 2)):
            found[f"d2{y}_d{inputs[i]}_d{inputs[j]}"] = labels.hessian[:, p, i, j]
    return pd.DataFrame(found).assign(set=part)


def write(problem: Problem, n: int, seed: int, path: Path) -> str:
    """Write a table of training, validation and test rows; return its path."""
    parts = {
        "train": points(problem, n, seed, True),
        "val": points(problem, n // 4, seed, False),
        "test": points(problem, N_TEST, TEST_SEED, False),
    }
    pd.concat([columns(labels, part) for part, labels in parts.items()]).to_csv(path, index=False)
    return str(path)


def error(run: Run, of: str) -> float:
    """Return the error on the validation rows; of a single row it is not relative, as it has no variance."""
    relative = run.metrics[f"val/nrmse_{of}"]
    return (run.metrics[f"val/mse_{of}"] or 0.0) ** 0.5 if relative is None else relative


def measure(name: str, n: int, seeds: int, work: Path) -> list[dict[str, Any]]:
    """Return the test errors of the fits to n rows, by seed and arm."""
    problem, found = OF_HESSIAN[name], list[dict[str, Any]]()
    work = work / f"{name}_{n}"
    work.mkdir(parents=True, exist_ok=True)
    files = [write(problem, n, seed, work / f"{seed}.csv") for seed in range(seeds)]
    test = Rows(*points(problem, N_TEST, TEST_SEED, False)[:3])
    for arm, weights in ARMS.items():
        runs = sweep(*SETTINGS, f"data.file={','.join(map(repr, files))}", *weights, directory=work / arm).runs
        for seed, file in enumerate(files):
            fits = [run for run in runs if run.settings["data.file"] == file and run.status == "finished"]
            best = min(fits, key=lambda run: math.prod(map(partial(error, run), ("f", "df"))))
            u, du = (predict(best.function, test.x)[part] for part in ("u", "du"))
            found.append({"problem": name, "rows": n, "seed": seed, "arm": arm, **errors(u, du, test)})
            print(json.dumps(found[-1]), flush=True)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--names", nargs="*", choices=list(OF_HESSIAN), default=list(OF_HESSIAN))
    parser.add_argument("--work", type=Path, default=Path("outputs/second_order"))
    arguments = parser.parse_args()
    sizes = [(name, n) for name in arguments.names for n in OF_HESSIAN[name].rows]
    rows = [row for one in sizes for row in measure(*one, arguments.seeds, arguments.work.resolve())]
    page.keep("second_order", rows, "python benchmarks/problems/second_order.py")
