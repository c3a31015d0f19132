"""One cell of the table: fit a tool to a problem, and print its errors as JSON.

python benchmarks/problems/cell.py PROBLEM TOOL --seed 0 --chosen --seconds 120 --core 1
"""

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import numpy as np

MEMORY = 8e9  # bytes of a fit
SECONDS = 180  # of the processor for a fit; the system then ends it by SIGXCPU


def measure(problem: str, tool: str, seed: int, chosen: bool, seconds: float) -> dict[str, Any]:
    """Fit a tool to the rows of a problem; return its errors on those of the test, and the seconds.

    The seconds are those of the processor, or of the clock if the tool has all cores.
    """
    from catalogue import CATALOGUE
    from choice import best, derivative, spent
    from tables import errors
    from tools import TOOLS, adapter

    kind, clock = adapter(tool), time.perf_counter if TOOLS[tool].all_cores else spent
    rows, test = CATALOGUE[problem].rows(seed)
    started = clock()
    model, settings = best(kind, rows, seed, seconds) if chosen else (kind(seed).fit(*rows), {})
    fitted = clock()
    value, slopes = model.predict(test.x), derivative(model, test.x)
    predicted = clock()
    for found, labels in ((value, test.y), (slopes, test.dydx)):
        if found is not None and found.shape != labels.shape:
            raise ValueError(f"a prediction must have the shape {labels.shape}, got {found.shape}")
    figures = errors(value, slopes, test)
    if not np.isfinite(figures["value"]):
        raise ValueError("the prediction is not finite")
    return figures | {
        "seconds": round(fitted - started, 3),
        "predict_seconds": round(predicted - fitted, 4),
        "settings": json.dumps(settings),
        "version": version(TOOLS[tool].package),
    }


def answer(measured: Callable[[], dict[str, Any]], core: int | None, seconds: int = SECONDS) -> None:
    """Print as JSON what a function returns, or what it raises, with one core, limited time and limited memory."""
    if core is not None and hasattr(os, "sched_setaffinity"):  # before NumPy's and torch's threads start
        os.sched_setaffinity(0, {core})
    with suppress(ImportError):  # there is none on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (int(MEMORY), resource.getrlimit(resource.RLIMIT_DATA)[1]))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    warnings.simplefilter("ignore")
    printed, sys.stdout = sys.stdout, sys.stderr  # tools print what they like
    try:
        found = measured()
    except ModuleNotFoundError as error:
        found = {"missing": str(error)}
    except Exception as failure:  # whatever a tool raises is its result
        found = {"failure": " ".join(f"{type(failure).__name__}: {failure}".split())[:200]}
    print(json.dumps(found), file=printed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem")
    parser.add_argument("tool")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--chosen", action="store_true", help="the best of the tool's grid by validation")
    parser.add_argument("--seconds", type=float, default=120, help="about how long the grid may take")
    parser.add_argument("--core", type=int, help="the only core that may be used")
    arguments = parser.parse_args()
    answer(
        lambda: measure(arguments.problem, arguments.tool, arguments.seed, arguments.chosen, arguments.seconds),
        arguments.core,
    )


if __name__ == "__main__":
    main()
