"""Search tables of n, 4 n and 16 n rows, because more rows should make the errors smaller.

    python benchmarks/search/more_rows.py [--tables NAME ...] [--seconds 60] [--seeds 1]

Each search is a process of its own on all cores. Its figures are kept in `benchmarks/search/figures/more_rows.json` as
soon as they are known, and are not measured again. `play.py --page` writes them into
`docs/explanation/search_accuracy.md`.
"""

import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise, product
from pathlib import Path
from statistics import median
from typing import Any

sys.path.extend(map(str, (Path(__file__).parents[1], Path(__file__).parents[1] / "problems")))
from engineering import PENDULUM, pendulum, truss, with_noise
from fresh import CIRCUIT, otl_circuit
from functions import Function, problem
from hard import CYLINDER, piston
from large_tables import arm, ridges
from searches import Figures, error_of, fitted, keep, options_of, processors_of
from suite import JOINTS, torques
from tools.runge_fit import Fit

FIGURES = Path(__file__).with_name("figures") / "more_rows.json"
TIMES = 1, 4, 16

TABLES = {
    "damped pendulum": Function(pendulum, PENDULUM, 50),
    "planar arm": Function(arm, ((-1.5, 1.5),) * 6, 100),
    "ten-bar truss": Function(truss, ((20.0, 120.0),) * 10, 100),
    "robot arm": Function(torques, JOINTS, 300),
    "OTL circuit": Function(otl_circuit, CIRCUIT, 60),
    "piston": Function(piston, CYLINDER, 60),
    "piston, noise of 5 %": Function(piston, CYLINDER, 120),
    "ridges": Function(ridges, ((-1, 1),) * 20, 300),
}
"""The functions, with their smallest numbers of rows. The first four have two to six outputs."""


def searched(table: str, times: int, seconds: float, seed: int) -> Figures:
    """Return the errors of a search on a multiple of a table's smallest number of rows."""
    function = TABLES[table]._replace(n=times * TABLES[table].n)
    seen, test = with_noise(function, "", "").rows(seed) if "noise" in table else problem(function, seed)
    return fitted(Fit(seed, f"search.timeout={seconds}"), seen, test)


def errors_by_rows(rows: Sequence[Figures]) -> dict[str, list[float]]:
    """Return the errors of each table with n, 4 n and 16 n rows, the medians of the seeds."""
    every = defaultdict[tuple[str, int], list[float]](list)
    for row in rows:
        every[row["table"], row["times"]].append(error_of(row))
    names = [name for name in TABLES if (name, TIMES[-1]) in every]
    return {name: [median(every[name, times]) for times in TIMES] for name in names}


def page_values(rows: Sequence[Figures]) -> dict[str, Any]:
    """Return the values of the page; a step is the error of four times the rows over that before."""
    errors = errors_by_rows(rows)
    steps = {name: [after / before for before, after in pairwise(found)] for name, found in errors.items()}
    worst = max(steps, key=lambda name: max(steps[name]))
    seeds = {name: len({row["seed"] for row in rows if row["table"] == name}) for name in errors}
    table = [[name, seeds[name], TABLES[name].n, *(f"{x:.1e}" for x in errors[name])] for name in errors]
    return {
        "growing": table,
        "step": f"{median([x for found in steps.values() for x in found]):.2g}",
        "largest_step": f"{max(steps[worst]):.2g}",
        "largest_step_of": worst,
        "growing_seconds": f"{rows[0]['seconds']:g}",
        "growing_processor": processors_of(rows),
    }


def main() -> None:
    options = options_of(__doc__, TABLES)
    for seed, table, times in product(range(options.seeds), options.tables, TIMES):
        key = {"table": table, "times": times, "seconds": options.seconds, "seed": seed}
        keep(FIGURES, key, "more_rows.searched")


if __name__ == "__main__":
    main()
