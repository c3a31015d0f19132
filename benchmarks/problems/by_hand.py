"""Compare `runge fit` with single runs by hand that have the same time: Levenberg-Marquardt, and the default.

    python benchmarks/problems/by_hand.py [NAME ...] [--seconds 60] [--seed 0]

Each function has its number of rows, and exact derivatives at random points; that of 100,000 rows has normal noise. A
search has all cores and the seconds. Each single run has the same seconds for its steps: Levenberg-Marquardt with three
networks, and the default of `data=table`. Errors are those at 2000 fresh points without noise. The rows are kept in
`benchmarks/problems/figures/by_hand.json`, from which `studies.py` writes a page.
"""

import argparse
import warnings
from functools import partial

from functions import N_TEST
from more_rows import FUNCTIONS, fit, measure, points
from results import DEFAULT, FIT
from tables import noisy

TABLES = {
    **dict.fromkeys(("otl_circuit", "cantilever_beam"), (100, 0.0)),
    **dict.fromkeys(("piston", "ishigami", "exp_sum", "tensor_exp"), (400, 0.0)),
    "borehole": (1000, 0.0),
    **dict.fromkeys(("wing_10", "tensor_tanh", "tensor_cos"), (1600, 0.0)),
    "friedman": (2000, 0.0),
    "robot_arm": (5000, 0.0),
    "ridges": (100_000, 0.01),
}
"""The number of rows of each function, and the noise as a share of the standard deviation."""

LEVENBERG = ("optimizer=levenberg_marquardt", "trainer.max_steps=1000", "trainer.patience=100")
BY_HAND = {
    "LM, silu, 2 x 32": (*LEVENBERG, "model.activation=silu", "model.depth=2", "model.width=32"),
    "LM, silu, 3 x 64": (*LEVENBERG, "model.activation=silu", "model.depth=3", "model.width=64"),
    "LM, sin, 3 x 32": (*LEVENBERG, "model.activation=sin", "model.depth=3", "model.width=32"),
    DEFAULT: (),
}
"""The overrides of the single runs."""

COMMAND = "python benchmarks/problems/by_hand.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(TABLES), metavar="NAME", help=", ".join(TABLES))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in arguments.names:
        n, noise = TABLES[name]
        test = points(FUNCTIONS[name], N_TEST, 10_000 + arguments.seed)
        rows = noisy(points(FUNCTIONS[name], n, arguments.seed), noise, noise, arguments.seed)
        settings = "data.split.test=0", f"trainer.max_seconds={arguments.seconds:g}", "pictures=false"
        fits = {FIT: partial(fit, rows, test, f"search.timeout={arguments.seconds:g}")}
        fits |= {run: partial(fit, rows, test, *settings, *x, single=True) for run, x in BY_HAND.items()}
        of = {"problem": name, "rows": n, "noise": noise, "limit": arguments.seconds, "seed": arguments.seed}
        measure("by_hand", of, fits, COMMAND)


if __name__ == "__main__":
    main()
