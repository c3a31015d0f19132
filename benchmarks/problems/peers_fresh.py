"""Fit the functions of `fresh.py` with a Gaussian process, and with runge by hand, as `run.py` does for the others.

pip install gpytorch
python benchmarks/problems/peers_fresh.py [--seeds 1] [--work DIR]
"""

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import functions
import page
from fresh import FRESH
from gaussian_process import gaussian_process
from linear_operator.utils.errors import NanError  # pyright: ignore[reportMissingImports]: the extra `bench`
from peers_tables import errors as errors_of
from run import STUDIES, errors, fit, fit_again
from tables import read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("outputs/peers_fresh"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    work, rows = arguments.work.resolve(), list[dict[str, Any]]()
    work.mkdir(parents=True, exist_ok=True)
    for name, function in FRESH.items():
        problems = [functions.problem(function, seed) for seed in range(arguments.seeds)]
        paths = [problem.write(work / f"{name}_{seed}.npz") for seed, problem in enumerate(problems)]
        for seed, path in enumerate(paths):
            problem, started, about = read(path), time.perf_counter(), {"problem": name, "seed": seed, "method": "gp"}
            try:
                found = errors_of(gaussian_process(problem.known()), problem.test)
            except NanError as error:  # its matrix is too ill-conditioned
                print(f"{name}: no Gaussian process ({str(error)[:60]})", flush=True)
                continue
            rows.append({**about, **found, "seconds": time.perf_counter() - started})
        for study in ("functions", "fixed"):
            chosen = fit(paths, STUDIES[study], work / f"{study}_{name}")
            if STUDIES[study].again:
                chosen = fit_again(chosen, STUDIES[study], work / f"{study}_again")
            rows += [{"problem": name, "seed": i, "method": study, **errors(one)} for i, one in enumerate(chosen)]
        for row in rows:
            if row["problem"] == name:
                print(json.dumps(row), flush=True)
    page.keep("peers_fresh", rows, "python benchmarks/problems/peers_fresh.py")


if __name__ == "__main__":
    main()
