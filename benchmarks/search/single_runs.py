"""Compare searches with single runs by hand that have the same time, and with a Gaussian process of gradients.

    python benchmarks/search/single_runs.py [--tables NAME ...] [--seconds 60] [--seeds 1]

Each fit is a process of its own on all cores. A Gaussian process of values and gradients (GPyTorch) is fitted only to
tables of at most 150 rows. Figures are kept in `benchmarks/search/figures/single_runs.json` as soon as they are known,
and are not measured again. `play.py --page` writes them into `docs/explanation/search_accuracy.md`.
"""

import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

sys.path.extend(map(str, (Path(__file__).parents[1], Path(__file__).parents[1] / "problems")))
from functions import problem
from searches import Figures, error_of, fitted, keep, options_of, processors_of
from simulators import SIMULATORS
from tools.runge_default import Default
from tools.runge_fit import Fit

FIGURES = Path(__file__).with_name("figures") / "single_runs.json"
SEARCH, DEFAULT, PROCESS, MOST_ROWS = "runge fit", "default of data=table", "Gaussian process", 150

LEVENBERG = "optimizer=levenberg_marquardt", "trainer.max_steps=1000", "trainer.patience=100"
RUNS = {
    DEFAULT: (),
    **{
        f"LM, {activation}, {depth} x {width}": (
            *LEVENBERG,
            *(f"model.activation={activation}", f"model.depth={depth}", f"model.width={width}"),
        )
        for activation, depth, width in (("silu", 2, 32), ("silu", 3, 64), ("sin", 1, 64))
    },
}
"""The overrides of the single runs."""


def measured(table: str, run: str, seconds: float, seed: int) -> Figures:
    """Return the errors of a fit on test rows, or how a Gaussian process of some settings has failed."""
    seen, test = problem(SIMULATORS[table], seed)
    name, _, number = run.partition(" of settings ")
    if name == PROCESS:
        from tools.gpytorch_process import Process  # late: only some tables need it

        try:
            return fitted(Process(seed, **({}, *Process.GRID)[int(number)]), seen, test)
        except RuntimeError as error:  # of its linear algebra
            return {"failure": str(error)}
    if run == SEARCH:
        return fitted(Fit(seed, f"search.timeout={seconds}"), seen, test)
    return fitted(Default(seed, f"trainer.max_seconds={seconds}", "pictures=false", *RUNS[run]), seen, test)


def page_values(rows: Sequence[Figures]) -> dict[str, Any]:
    """Return the values of the page: errors, the medians of the seeds, and the search's over those of the others."""
    every = defaultdict[str, dict[str, list[float]]](lambda: defaultdict(list))
    for row in rows:
        if "failure" not in row:
            every[row["table"]][row["run"]].append(error_of(row))
    table, ratios = [], defaultdict[str, list[float]](list)
    for name in [x for x in SIMULATORS if {SEARCH, *RUNS} <= every[x].keys()]:
        errors = {run: median(found) for run, found in every[name].items()}
        best = min(RUNS, key=lambda run: errors[run])
        process = min((error for run, error in errors.items() if run.startswith(PROCESS)), default=None)
        others = {"single": errors[best], "default": errors[DEFAULT], "process": process}
        for other, error in others.items():
            ratios[other] += [] if error is None else [errors[SEARCH] / error]
        size = SIMULATORS[name].n, len(SIMULATORS[name].box)
        cells = ["" if error is None else f"{errors[SEARCH] / error:.2g}" for error in others.values()]
        seeds = len(every[name][SEARCH])
        table.append([name, *size, seeds, f"{errors[SEARCH]:.1e}", cells[0], best, *cells[1:]])
    return {
        "singles": table,
        "single_seconds": f"{rows[0]['seconds']:g}",
        "single_processor": processors_of(rows),
        "failures": sum("failure" in row for row in rows),
        "default_seconds": f"{max(row['took'] for row in rows if row['run'] == DEFAULT):.0f}",
        **{f"{other}_median": f"{median(found):.2g}" for other, found in ratios.items()},
        **{f"{other}_largest": f"{max(found):.2g}" for other, found in ratios.items()},
    }


def main() -> None:
    options = options_of(__doc__, SIMULATORS)
    for table, seed in [(table, seed) for seed in range(options.seeds) for table in options.tables]:
        processes = [f"{PROCESS} of settings {k}" for k in range(5)] if SIMULATORS[table].n <= MOST_ROWS else []
        for run in [SEARCH, *RUNS, *processes]:
            key = {"table": table, "run": run, "seconds": options.seconds, "seed": seed}
            keep(FIGURES, key, "single_runs.measured")


if __name__ == "__main__":
    main()
