"""Which candidates of `search=best`, and which variations, are needed: what the absence of each one would cost.

    python benchmarks/problems/candidates.py [--work DIR] [--seconds 60] [--seeds 1] [--problems NAME ...]

The search fits each problem of the table once. Without a candidate and its variations it would have chosen the next
best one by the error in rows that were left out, and so it would without all variations of the width, of the depth, or
without further seeds. The cost of the absence is the ratio of the errors on the test rows, of the networks of both
candidates that left out a fold: the geometric mean over the problems, of values and derivatives. What the search would
have done with the time that it saves is not counted. A search that is in the directory already is not repeated.
"""

import argparse
import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from catalogue import CATALOGUE
from tables import Rows, errors

import runge
from runge.comparison.leaderboard import LeaderboardEntry, read_leaderboard
from runge.function.loading import load_runs
from runge.metrics import ERRORS
from runge.records.directories import RunDirectory

VARIED = "model.width", "model.depth", "seed"
"""The keys that variations and further seeds of a candidate change."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("outputs/candidates"))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="how many; default 1")
    parser.add_argument("--problems", nargs="+", choices=list(CATALOGUE), default=list(CATALOGUE), metavar="NAME")
    arguments = parser.parse_args()
    costs, chosen = dict[str, list[float]](), dict[str, int]()
    for seed in range(arguments.seeds):
        for problem in arguments.problems:
            rows, test = CATALOGUE[problem].rows(seed)
            sweep = arguments.work / f"{problem}-{seed}"
            if not (sweep / "leaderboard.json").exists():
                data = {"x": rows.x, "y": rows.y, "dydx": rows.dydx}
                settings = f"search.timeout={arguments.seconds}", f"seed={seed}", "trainer.progress_bar=false"
                runge.fit(data, *settings, directory=sweep)
            found = {name: cost for name, cost in absences(sweep, test).items() if math.isfinite(cost)}
            needed = {name: round(cost, 3) for name, cost in found.items() if cost != 1}
            print(problem, seed, json.dumps(needed), flush=True)
            for name, cost in found.items():
                costs.setdefault(name, []).append(cost)
                chosen[name] = chosen.get(name, 0) + (cost != 1)
    print("cost of the absence, chosen in so many searches, candidate:")
    for name, ratios in sorted(costs.items(), key=lambda item: -math.prod(item[1])):
        print(f"{math.exp(np.mean(np.log(ratios))):8.3f} {chosen[name]:4d}  {name}")


def absences(sweep: Path, test: Rows) -> Mapping[str, float]:
    """Return the error of a search without a candidate over the one with it; 1 if it was not the best one."""
    board = read_leaderboard([sweep])
    assert board is not None
    ranked = sorted(board.candidates, key=lambda candidate: networks(sweep, candidate)[0])
    best, costs = test_error(ranked[0], sweep, test), dict[str, float]()
    names = dict.fromkeys(part for one in ranked for part in (one.name.partition(";")[0], one.name))
    without = {name: [one for one in ranked if not f"{one.name};".startswith(f"{name};")] for name in names}
    without |= {key: [one for one in ranked if f"; {key}=" not in one.name] for key in VARIED}
    for name, others in without.items():
        if others and others != ranked:
            costs[name] = 1.0 if others[0] is ranked[0] else test_error(others[0], sweep, test) / best
    return costs


def networks(sweep: Path, candidate: LeaderboardEntry) -> tuple[float, list[RunDirectory]]:
    """Return the error of a candidate in the rows that were left out, and its best network of each fold."""
    best = dict[int | None, tuple[float, RunDirectory]]()
    for number in candidate.runs:
        run = RunDirectory(sweep / str(number))
        if run.metrics.exists():
            figures, fold = run.read_metrics(), run.read_configuration()[0]["data"]["fold"]
            parts = [figure for name in ERRORS if (figure := figures[name]) is not None]
            error = math.prod(parts) ** (1 / max(len(parts), 1))
            if fold not in best or error < best[fold][0]:
                best[fold] = error, run
    return math.exp(np.mean([math.log(error) for error, _ in best.values()])), [run for _, run in best.values()]


def test_error(candidate: LeaderboardEntry, sweep: Path, test: Rows) -> float:
    """Return the geometric mean of the errors of a candidate's networks in the test rows, value and derivative."""
    u = load_runs(networks(sweep, candidate)[1])
    values, slopes = u(test.x), u.derivative(test.x)
    found = errors(values.reshape(len(test.x), -1), slopes.reshape(len(test.x), -1, test.x.shape[1]), test)
    return math.sqrt(found["value"] * found["derivative"])


if __name__ == "__main__":
    main()
