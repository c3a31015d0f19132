"""Learn the candidates of `search=best`: a short list that covers many problems.

    python benchmarks/problems/candidates.py [--work DIR] [--problems NAME ...]

Each candidate of a pool is fitted to the folds of each problem. The list is then built greedily: next comes the
candidate with which the errors fall most for its time. Of the list so far the one with the smallest error E of
`runge.launch.policies.best.judge` is taken for each problem, as the search does, and judged by the errors of the mean
of its folds' networks at 2000 points; E never sees these. The points are those of `problems/functions.py`; noise is
given in standard deviations of the values and of each partial derivative. `python benchmarks/problems` tries the search
on other problems, too.
"""

import argparse
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from functions import FUNCTIONS, N_TEST, Function, outputs
from hard import HARD
from numpy.typing import NDArray
from scipy.stats import qmc
from tables import Rows, label, noisy

import runge
from runge.data.channels import Channels
from runge.launch.policies.best.judge import Fit, error_of, surroundings
from runge.predict import predict
from runge.records.directories import RunDirectory
from runge.residuals import rows_of

FOLDS = 5
SEED = 100  # of the points, unlike those of docs/benchmarks.md
PAYS = 0.01  # of the mean logarithm of the error, at least, for a candidate that is added


def kinks(x: NDArray) -> NDArray:
    """Return a function with kinks along two lines."""
    return np.sqrt((x[:, 0] - 0.2) ** 2) + 0.3 * x[:, 0] * np.sqrt((x[:, 1] + 0.3) ** 2)


def runge_1d(x: NDArray) -> NDArray:
    return 1 / (1 + 25 * x[:, 0] ** 2)


class Problem(NamedTuple):
    """A function with a number of points, and the noise of its values and of its derivatives."""

    function: Function
    n: int
    noise: tuple[float, float] = (0, 0)

    def tables(self) -> tuple[Rows, Rows]:
        """Return the rows, and exact rows at random points of the box."""
        low, high = zip(*self.function.box, strict=True)
        points = qmc.LatinHypercube(d=len(low), rng=SEED).random(self.n)
        test = np.random.default_rng(SEED).random((N_TEST, len(low)))
        rows, exact = (label(outputs(self.function), qmc.scale(part, low, high)) for part in (points, test))
        return noisy(rows, *self.noise, SEED + 1), exact


ALL = {**FUNCTIONS, **HARD}
PROBLEMS = {
    "tensor_exp": Problem(ALL["tensor_exp"], 100),
    "tensor_cos": Problem(ALL["tensor_cos"], 100),
    "tensor_tanh": Problem(ALL["tensor_tanh"], 150),
    "branin": Problem(ALL["branin"], 40),
    "rastrigin": Problem(ALL["rastrigin"], 100),
    "cantilever_beam": Problem(ALL["cantilever_beam"], 150),
    "robot_arm": Problem(ALL["robot_arm"], 80),
    "spike": Problem(ALL["spike"], 150),
    "piston": Problem(ALL["piston"], 40),
    "kinks": Problem(Function(kinks, ((-1, 1),) * 2, 150), 150),
    "runge_1d": Problem(Function(runge_1d, ((-1, 1),), 40), 40),
    "branin, noise in f'": Problem(ALL["branin"], 100, (0, 0.05)),
    "branin, noise in f": Problem(ALL["branin"], 100, (0.05, 0)),
    "tensor_exp, much noise": Problem(ALL["tensor_exp"], 100, (0.2, 0.2)),
}


def levenberg_marquardt(activation: str, depth: int, width: int, *others: str) -> list[str]:
    model = f"model.activation={activation}", f"model.depth={depth}", f"model.width={width}"
    return ["optimizer=levenberg_marquardt", "trainer.max_steps=100", *model, *others]


def fixed_neurons(activation: str, *others: str) -> list[str]:
    steps = "optimizer=least_squares", "optimizer.slopes=[0.02,10]", "trainer.max_steps=64"
    return [*steps, "model.width=800", f"model.activation={activation}", *others]


SHAPES = ((1, 64), (2, 32), (3, 32), (3, 64))
POOL = {
    **{
        f"Levenberg-Marquardt, {activation}, {depth} x {width}": levenberg_marquardt(activation, depth, width)
        for activation in ("silu", "softplus", "tanh", "sin")
        for depth, width in SHAPES
    },
    **{
        f"fixed neurons, {activation}{by}": fixed_neurons(activation, *more)
        for activation in ("tanh", "sin")
        for by, more in (("", ()), (", by input", ("optimizer.per_input=true",)))
    },
    "Levenberg-Marquardt, silu, 2 x 16": levenberg_marquardt("silu", 2, 16),
    "Levenberg-Marquardt, values alone": levenberg_marquardt("silu", 2, 16, "loss.lambda_d=0"),
    "Adam": ["optimizer=adamw"],
    "Adam, decay 1": ["optimizer=adamw", "optimizer.weight_decay=1"],
    "Adam, values alone": ["optimizer=adamw", "loss.lambda_d=0"],
    "Adam, values alone, decay 1": ["optimizer=adamw", "optimizer.weight_decay=1", "loss.lambda_d=0"],
}


def measure(candidate: str, work: Path, tables: Mapping[str, Path], exact: Mapping[str, Rows]) -> list[dict[str, Any]]:
    """Return for each problem a candidate's error by folds, that of the folds' mean elsewhere, and seconds per run."""
    files = ",".join(f"'{path}'" for path in tables.values())
    sweep = runge.sweep(
        *("data=table", f"data.file={files}", "data.split.test=0", f"data.folds={FOLDS}", *POOL[candidate]),
        *("trainer.progress_bar=false", "search.compare=false"),
        directory=work / str(list(POOL).index(candidate)),
    )
    found = []
    for problem, path in tables.items():
        runs = [run for run in sweep.runs if run.settings["data.file"] == str(path) and run.status == "finished"]
        rows, truth = rows_of(RunDirectory(runs[0].directory))[0], exact[problem]
        channels = Channels.of(truth.x, truth.y, truth.dydx)
        points = surroundings(rows.x)
        fits = [Fit.of(RunDirectory(run.directory), Channels.of(rows.x, rows.y, rows.dydx), points) for run in runs]
        predicted = [predict(run.function, exact[problem].x) for run in runs]
        u, du = (np.mean([one[name] for one in predicted], axis=0) for name in ("u", "du"))
        test = np.linalg.norm(channels.scaled(u - exact[problem].y, du - exact[problem].dydx))
        seconds = sum(run.metrics["seconds/fit"] or 0.0 for run in runs) / len(runs)
        errors = {"folds": error_of(fits), "test": float(test), "seconds": seconds}
        found.append({"problem": problem, "candidate": candidate, **errors})
    return found


def learn(rows: Sequence[dict[str, Any]]) -> list[tuple[str, float]]:
    """Return the list, and after each candidate the geometric mean over the problems of the error over the best."""
    names, problems = list(POOL), list(dict.fromkeys(row["problem"] for row in rows))
    found = {(row["problem"], row["candidate"]): row for row in rows}
    folds, test, seconds = (
        np.array([[found[problem, name][key] for name in names] for problem in problems])
        for key in ("folds", "test", "seconds")
    )
    relative = np.log(test / test.min(axis=1, keepdims=True)).clip(max=20)

    def error(chosen: Sequence[int]) -> float:
        """Return the mean logarithm of the error over the best, with the choice of the folds."""
        best = np.array(chosen)[folds[:, chosen].argmin(axis=1)]
        return float(relative[np.arange(len(problems)), best].mean())

    chosen, path, now = list[int](), list[tuple[str, float]](), 20.0
    while left := [i for i in range(len(names)) if i not in chosen]:
        gains = {i: now - error([*chosen, i]) for i in left}
        best = max(left, key=lambda i: gains[i] / seconds[:, i].mean())
        if gains[best] < PAYS:
            break
        chosen.append(best)
        now = error(chosen)
        path.append((names[best], math.exp(now)))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("outputs/candidates"))
    parser.add_argument("--problems", nargs="+", choices=list(PROBLEMS), default=list(PROBLEMS))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    work, rows = arguments.work.resolve(), list[dict[str, Any]]()
    tables, exact = dict[str, Path](), dict[str, Rows]()
    work.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(PROBLEMS):
        if name in arguments.problems:
            known, exact[name] = PROBLEMS[name].tables()
            tables[name] = work / f"{number}.npz"
            np.savez(tables[name], x=known.x, y=known.y, dydx=known.dydx)
    for candidate in POOL:
        rows += measure(candidate, work, tables, exact)
        for row in rows[-len(tables) :]:
            print(json.dumps(row), flush=True)
    for candidate, error in learn(rows):
        print(f"{error:8.2f} times the best: {candidate}")


if __name__ == "__main__":
    main()
