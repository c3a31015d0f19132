"""Measure `runge fit` as it ships, 60 s on all cores, on the problems of the table, where it has 120 s of one core.

    python benchmarks/problems/shipped.py [NAME ...] [--seed 0]

The errors are kept in `benchmarks/problems/figures/shipped.json`, from which `studies.py` writes a page. All problems
take half an hour on two cores.
"""

import argparse
import time
import warnings

from catalogue import CATALOGUE
from results import keep
from tables import errors
from tools.runge_best import Best

COMMAND = "python benchmarks/problems/shipped.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(CATALOGUE), metavar="NAME")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in arguments.names:
        rows, test = CATALOGUE[name].rows(arguments.seed)
        model, began = Best(arguments.seed), time.perf_counter()
        model.arguments = f"seed={arguments.seed}", "trainer.progress_bar=false"
        model.fit(*rows)
        seconds = time.perf_counter() - began
        figures = errors(model.predict(test.x), model.predict_derivative(test.x), test)
        row = {"problem": name, "seed": arguments.seed, **figures, "seconds": seconds}
        keep("shipped", [row], COMMAND, ("problem", "seed"))
        print(row, flush=True)


if __name__ == "__main__":
    main()
