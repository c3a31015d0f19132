"""Try `search=best`, with nothing chosen, on the problems of `docs/benchmarks.md`, and on functions it has not seen.

    python benchmarks/problems/best.py [NAME ...] [--seeds 5] [--timeout 60] [--work DIR]

The names are those of the small functions, `pfr_16` to `pfr_256`, and those of `problems/fresh.py`. The race sees the
rows for training and validation together, as the rivals do; errors are the relative L2 errors of value and gradient at
the test points (of the reactor: the mean over the channels of the RMSE over the standard deviation). The ratio is that
of the median over the seeds to the smallest median of all columns of the page; the functions that are new have none.
"""

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import functions
import page
import pfr
from fresh import FRESH
from tables import Problem, nrmse, relative_l2

import runge


def problem(name: str, seed: int) -> Problem:
    """Return the table of a problem; of the reactor the pool with the number `seed`."""
    if name.startswith("pfr_"):
        points = pfr.pools()[seed].part(slice(int(name[4:])))
        test = pfr.label(pfr.reactor, pfr.design(pfr.N_TEST, 90210))
        n_train = len(points.x) * 3 // 4
        return Problem(points.part(slice(n_train)), points.part(slice(n_train, None)), test)
    return functions.problem({**functions.FUNCTIONS, **FRESH}[name], seed)


def fit(name: str, seed: int, work: Path, timeout: float) -> dict[str, Any]:
    """Return the errors of the answer, what it is made of, and the seconds of the command."""
    parts, started = problem(name, seed), time.perf_counter()
    rows = parts.known()
    answer = runge.fit(
        rows._asdict(),
        *(f"hydra.sweeper.timeout={timeout}", f"seed={seed}", "trainer.progress_bar=false"),
        directory=work / f"{name}_{seed}",
    )
    seconds = time.perf_counter() - started
    x = parts.test.x[:, 0] if parts.test.x.shape[1] == 1 else parts.test.x
    found = zip(answer.function.value_and_derivative(x), parts.test[1:], strict=True)
    u, du = (part.reshape(label.shape) for part, label in found)
    error = nrmse if name.startswith("pfr_") else relative_l2
    board = answer.leaderboard
    return {
        "problem": name,
        "seed": seed,
        "value": error(u, parts.test.y),
        "derivative": error(du, parts.test.dydx),
        "expected": float(board.error[0]),
        "answer": {row["name"]: round(row["weight"], 2) for row in board.to_dict("records") if row["weight"]},
        "seconds": seconds,
    }


def main() -> None:
    names = [*functions.FUNCTIONS, *(f"pfr_{n}" for n in pfr.SIZES), *FRESH]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", default=names)
    parser.add_argument("--work", type=Path, default=Path("outputs/best"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--timeout", type=float, default=60)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    found = list[dict[str, Any]]()
    for name in arguments.names:
        for seed in range(arguments.seeds):
            found.append(fit(name, seed, arguments.work.resolve(), arguments.timeout))
            print(json.dumps(found[-1]), file=sys.stderr, flush=True)
        own = [row for row in found if row["problem"] == name]
        best, medians = page.rivals(name), [median(row[key] for row in own) for key in page.KEYS]
        ratios = " / ".join(f"{one / rival:.2f}" for one, rival in zip(medians, best, strict=True))
        seconds = max(row["seconds"] for row in own)
        print(
            f"{name:16} {medians[0]:.2e} / {medians[1]:.2e}, over the best column {ratios}; {seconds:.0f} s", flush=True
        )
    page.keep("best", found, "python benchmarks/problems/best.py")


if __name__ == "__main__":
    main()
