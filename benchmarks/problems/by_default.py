"""Fit tables with the default settings of runge and of its rivals, and write the figures for `docs/benchmarks.md`.

    pip install smt jenn
    python benchmarks/problems/by_default.py [--work DIR] [--seeds 5] [--functions NAME ...] [--methods NAME ...]

Nothing is chosen: runge is `data=table`, JENN and GENN (SMT) have the defaults of their packages, JENN two hidden
layers of twelve neurons, as GENN, and standardised data, which is off by default. All see the same training rows; runge
chooses the step with the best weights by the validation rows, the others are trained on these rows, too.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import functions
import numpy as np
import page
from hard import HARD
from peers_tables import Fit, smt_fit
from tables import Problem, Rows, read

from runge import sweep

TABLES = {**functions.FUNCTIONS, **HARD}


def errors(u: Any, du: Any, problem: Problem) -> dict[str, float]:
    """Return the NRMSE of the value, and the relative L2 error of the gradient by standardised inputs."""
    test, scale = problem.test, problem.train.x.std(axis=0)
    value = np.sqrt(np.mean((u - test.y) ** 2, axis=0)) / test.y.std(axis=0)
    gradient = np.linalg.norm((du - test.dydx) * scale) / np.linalg.norm(test.dydx * scale)
    return {"value": float(value.mean()), "derivative": float(gradient)}


def jenn(rows: Rows, seed: int) -> Fit:
    from jenn import NeuralNet  # pyright: ignore[reportMissingImports]

    network = NeuralNet([rows.x.shape[1], 12, 12, 1])
    network.fit(rows.x.T, rows.y.T, rows.dydx.transpose(1, 2, 0), is_normalize=True, random_state=seed)

    def fit(x: Any) -> tuple[Any, Any]:
        u, du = network(x.T)
        return u.T, du.transpose(2, 0, 1)

    return fit


def genn(rows: Rows, seed: int) -> Fit:
    from smt.surrogate_models import GENN  # pyright: ignore[reportMissingImports]

    return smt_fit(lambda: GENN(print_global=False, seed=seed), rows)


def rival(method: Callable[[Rows, int], Fit], paths: dict[int, Path]) -> list[dict[str, Any]]:
    found = []
    for seed, path in paths.items():
        problem, started = read(path), time.perf_counter()
        fit = method(problem.known(), seed)
        seconds = time.perf_counter() - started
        found.append({"seed": seed, **errors(*fit(problem.test.x), problem), "seconds": seconds})
    return found


def runge(paths: dict[int, Path], directory: Path) -> list[dict[str, Any]]:
    files = ",".join(map(str, paths.values()))
    compared = sweep(
        *("data=table", f"data.file={files}", "data.split_column=split", "trainer.progress_bar=false"),
        directory=directory,
    )
    runs = {Path(run.settings["data.file"]): run for run in compared.runs}
    found = []
    for seed, path in paths.items():
        problem, run = read(path), runs[path]
        u, du = run.function(problem.test.x), run.function.derivative(problem.test.x)
        found.append({"seed": seed, **errors(u[:, None], du[:, None], problem), "seconds": run.metrics["seconds/fit"]})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("outputs/by_default"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--functions", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--methods", nargs="+", choices=["runge", "jenn", "genn"], default=["runge", "jenn", "genn"])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    work, rows = arguments.work.resolve(), []
    work.mkdir(parents=True, exist_ok=True)
    for name in arguments.functions:
        paths = {
            seed: functions.problem(TABLES[name], seed).write(work / f"{name}_{seed}.npz")
            for seed in range(arguments.seeds)
        }
        for method in arguments.methods:
            if method == "runge":
                found = runge(paths, work / name)
            else:
                found = rival({"jenn": jenn, "genn": genn}[method], paths)
            rows += [{"problem": name, "method": method, **one} for one in found]
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    page.keep("by_default", rows, "python benchmarks/problems/by_default.py")


if __name__ == "__main__":
    main()
