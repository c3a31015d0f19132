"""Fit the third-party problems with runge, and write `docs/benchmarks.md` beside the figures of others.

    pip install smt  # whose wheel has the data of the airfoils; else --source FOLDER
    python benchmarks/problems/run.py [pfr] [functions] [airfoil] [--work DIR]

Without a name all problems are run; `page` writes the page alone. Tables and runs are in DIR, by default
`outputs/problems`; a sweep that was interrupted is resumed. Figures are kept in `benchmarks/problems/figures`, those of
the peers too: `peers_pfr.py` and `peers_tables.py` write them.

For each table, the validation rows choose among the candidates of its study: the one with the smallest NRMSE of the
values. The test rows choose nothing.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import airfoil
import functions
import page
import pfr

from runge import sweep

ERRORS = {"value_nrmse": "nrmse_f", "derivative_nrmse": "nrmse_df", "value": "rel_l2_f", "derivative": "rel_l2_df"}


class Study(NamedTuple):
    """The settings of a problem, and a grid of which the validation chooses for each table."""

    settings: tuple[str, ...]
    grid: tuple[str, ...] = ()


STUDIES = {
    "pfr": Study(("optimizer=levenberg_marquardt", "trainer.max_steps=100"), ("model.activation=silu,softplus",)),
    "functions": Study(
        ("optimizer=levenberg_marquardt", "trainer.max_steps=100"),
        ("model.activation=silu,softplus,tanh,sin", "model.depth=1,2,3"),
    ),
    "airfoil": Study(("model.activation=silu", "data.batch_size=1000", "optimizer.lr=0.003")),
}


def fit(paths: Sequence[Path], study: Study, directory: Path) -> list[dict[str, Any]]:
    """Sweep the candidates over the tables; return the figures of the best one for each table, by validation."""
    files = f"data.file={','.join(map(str, paths))}"
    common = "data=table", "data.split_column=split", "trainer.progress_bar=false"
    compared = sweep(*common, files, *study.settings, *study.grid, directory=directory)
    best: dict[str, dict[str, Any]] = {}
    for run in compared.runs:
        if run.status == "finished":
            found = {**run.settings, **run.metrics}
            other = best.setdefault(found["data.file"], found)
            if found["val/nrmse_f"] < other["val/nrmse_f"]:
                best[found["data.file"]] = found
    return [best[str(path)] for path in paths]


def errors(found: dict[str, Any]) -> dict[str, float]:
    """Return the errors on the test rows, and the time of the fit."""
    return {name: found[f"test/{key}"] for name, key in ERRORS.items()} | {"seconds": found["seconds/fit"]}


def run_pfr(work: Path, _: Path | None) -> list[dict[str, Any]]:
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


def run_functions(work: Path, _: Path | None) -> list[dict[str, Any]]:
    """Return a row for each function and seed; a sweep for each function, whose tables are of one shape."""
    paths, rows = functions.write(work / "functions"), []
    for name in functions.FUNCTIONS:
        tables = [paths[name, seed] for seed in range(functions.SEEDS)]
        found = fit(tables, STUDIES["functions"], work / f"functions_{name}")
        rows += [{"problem": name, "seed": seed, **errors(one)} for seed, one in enumerate(found)]
    return rows


def run_airfoil(work: Path, source: Path | None) -> list[dict[str, Any]]:
    """Return a row for each seed."""
    paths = airfoil.write(work / "airfoil", source)
    found = fit(list(paths.values()), STUDIES["airfoil"], work / "airfoil_sweep")
    return [{"seed": seed, **errors(one)} for seed, one in zip(paths, found, strict=True)]


PROBLEMS = {"pfr": run_pfr, "functions": run_functions, "airfoil": run_airfoil}


def command(name: str) -> str:
    """Return the command that fits a table of this problem with the settings of its study."""
    study = STUDIES[name]
    return " ".join(
        ("python train.py -m data=table data.file=FILE data.split_column=split", *study.settings, *study.grid)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problems", nargs="*", choices=[*PROBLEMS, "page"], default=list(PROBLEMS))
    parser.add_argument("--work", type=Path, default=Path("outputs/problems"))
    parser.add_argument("--source", type=Path, help="the folder of the airfoils' data")
    arguments = parser.parse_args()
    for name in arguments.problems:
        if name != "page":
            rows = PROBLEMS[name](arguments.work.resolve(), arguments.source)
            page.keep(name, rows, command(name))
    page.write()


if __name__ == "__main__":
    main()
