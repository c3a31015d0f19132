"""Fit the third-party problems with runge, and write `docs/benchmarks.md` beside the figures of others.

    pip install smt  # whose wheel has the data of the airfoils; else --source FOLDER
    python benchmarks/problems/run.py [NAME ...] [--work DIR] [--functions NAME ...]

The names are those of the problems, of which `functions_fresh` and `fixed_fresh` have tables on which no setting was
tried before. Without a name all are run; `page` writes the page alone. Tables and runs are in DIR, by default
`outputs/problems`; a sweep that was interrupted is resumed. Figures are kept in `benchmarks/problems/figures`, those of
the peers too: `peers_pfr.py` and `peers_tables.py` write them.

For each table, the validation rows choose among the candidates of its study: the one with the smallest NRMSE of the
values. The test rows choose nothing.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import airfoil
import functions
import page
import pfr
from tables import read

from runge import sweep

ERRORS = {"value_nrmse": "nrmse_f", "derivative_nrmse": "nrmse_df", "value": "rel_l2_f", "derivative": "rel_l2_df"}


class Study(NamedTuple):
    """The settings of a problem, and a grid of which the validation chooses for each table.

    With `again`, the choice is then fitted to the training and validation rows together.
    """

    settings: tuple[str, ...]
    grid: tuple[str, ...] = ()
    again: bool = False


STUDIES = {
    "pfr": Study(("optimizer=levenberg_marquardt", "trainer.max_steps=100"), ("model.activation=silu,softplus",)),
    "functions": Study(
        ("optimizer=levenberg_marquardt", "trainer.max_steps=100"),
        ("model.activation=silu,softplus,tanh,sin", "model.depth=1,2,3"),
        again=True,
    ),
    "fixed": Study(
        (
            *("optimizer=least_squares", "optimizer.slopes=[0.02,10]", "trainer.max_steps=64"),
            *("model.depth=1", "model.width=800", "model.init=wide_knots"),
        ),
        ("optimizer.per_input=false,true", "model.activation=tanh,sin"),
    ),
    "airfoil": Study(("model.activation=silu", "data.batch_size=1000", "optimizer.lr=0.003")),
    "airfoil_same": Study(
        (
            *("model.activation=tanh", "model.depth=2", "model.width=12"),
            *("data.batch_size=1000", "trainer.max_steps=7500"),
        ),
        ("optimizer.lr=0.003,0.01,0.03",),
    ),
}


def fit(paths: Sequence[Path], study: Study, directory: Path) -> list[dict[str, Any]]:
    """Sweep the candidates over the tables; return the figures of the best one for each table, by validation."""
    best: dict[str, dict[str, Any]] = {}
    for found in runs(paths, (*study.settings, *study.grid), directory):
        other = best.setdefault(found["data.file"], found)
        if found["val/nrmse_f"] < other["val/nrmse_f"]:
            best[found["data.file"]] = found
    return [best[str(path)] for path in paths]


def fit_again(best: Sequence[dict[str, Any]], study: Study, directory: Path) -> list[dict[str, Any]]:
    """Fit each table's choice to its training and validation rows together.

    A fit whose error on the validation rows is larger than before, although it has seen them, has failed: the one
    before stays.
    """
    figures = []
    for chosen in best:
        path = Path(chosen["data.file"])
        problem = read(path)
        (path.parent / "all").mkdir(exist_ok=True)
        table = problem._replace(train=problem.known()).write(path.parent / "all" / path.name)
        choice = (f"{key}={chosen[key]}" for key in (values.partition("=")[0] for values in study.grid))
        again = runs([table], (*study.settings, *choice), directory / path.stem)
        figures.append(min([chosen, *again], key=lambda found: found["val/nrmse_f"]))
    return figures


def runs(paths: Sequence[Path], settings: Sequence[str], directory: Path) -> list[dict[str, Any]]:
    """Sweep settings over the tables; return the settings and figures of each run that finished."""
    files = f"data.file={','.join(map(str, paths))}"
    common = "data=table", "data.split_column=split", "trainer.progress_bar=false"
    compared = sweep(*common, files, *settings, directory=directory)
    return [{**run.settings, **run.metrics} for run in compared.runs if run.status == "finished"]


def errors(found: dict[str, Any]) -> dict[str, float]:
    """Return the errors on the test rows, and the time of the fit."""
    return {name: found[f"test/{key}"] for name, key in ERRORS.items()} | {"seconds": found["seconds/fit"]}


def run_pfr(work: Path, _: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a row for each number of points: medians over the pools, and the worst."""
    paths, rows = pfr.write(work / "pfr"), []
    for n in pfr.SIZES:
        tables = [paths[pool, n] for pool in range(pfr.POOLS)]
        pools = [errors(found) for found in fit(tables, STUDIES["pfr"], work / f"pfr_{n}")]
        columns = {name: [pool[f"{name}_nrmse"] for pool in pools] for name in ("value", "derivative")}
        medians = {name: median(column) for name, column in columns.items()}
        worst = {f"worst_{name}": max(column) for name, column in columns.items()}
        rows.append({"n": n, **medians, **worst, "seconds": median(pool["seconds"] for pool in pools)})
    return rows


def run_functions(work: Path, options: argparse.Namespace, study: str, seeds: range) -> list[dict[str, Any]]:
    """Return a row for each function and seed; a sweep for each function, whose tables are of one shape."""
    paths, rows = functions.write(work / "functions", seeds), []
    for name in options.functions:
        tables = [paths[name, seed] for seed in seeds]
        found = fit(tables, STUDIES[study], work / f"{study}_{name}_{min(seeds)}")
        if STUDIES[study].again:
            found = fit_again(found, STUDIES[study], work / f"{study}_again")
        rows += [{"problem": name, "seed": seed, **errors(one)} for seed, one in zip(seeds, found, strict=True)]
    return rows


def run_airfoil(work: Path, options: argparse.Namespace, study: str) -> list[dict[str, Any]]:
    """Return a row for each seed."""
    paths = airfoil.write(work / "airfoil", options.source)
    found = fit(list(paths.values()), STUDIES[study], work / f"{study}_sweep")
    return [{"seed": seed, **errors(one)} for seed, one in zip(paths, found, strict=True)]


PROBLEMS = {
    "pfr": run_pfr,
    "functions": partial(run_functions, study="functions", seeds=functions.SEEDS),
    "fixed": partial(run_functions, study="fixed", seeds=functions.SEEDS),
    "functions_fresh": partial(run_functions, study="functions", seeds=functions.FRESH),
    "fixed_fresh": partial(run_functions, study="fixed", seeds=functions.FRESH),
    "airfoil": partial(run_airfoil, study="airfoil"),
    "airfoil_same": partial(run_airfoil, study="airfoil_same"),
}


def command(name: str) -> str:
    """Return the command that fits a table of this problem with the settings of its study."""
    study = STUDIES[name.removesuffix("_fresh")]
    start = "python train.py -m" if study.grid else "python train.py"
    return " ".join((start, "data=table data.file=FILE data.split_column=split", *study.settings, *study.grid))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problems", nargs="*", choices=[*PROBLEMS, "page"], default=list(PROBLEMS))
    parser.add_argument("--work", type=Path, default=Path("outputs/problems"))
    parser.add_argument("--source", type=Path, help="the folder of the airfoils' data")
    parser.add_argument("--functions", nargs="+", choices=list(functions.FUNCTIONS), default=list(functions.FUNCTIONS))
    arguments = parser.parse_args()
    for name in arguments.problems:
        if name != "page":
            rows = PROBLEMS[name](arguments.work.resolve(), arguments)
            page.keep(name, rows, command(name))
    page.write()


if __name__ == "__main__":
    main()
