"""Measure whether more rows, or more time, give `runge fit` a smaller error, also compared with single runs by hand.

    python benchmarks/problems/more_rows.py [NAME ...] [--rows 100 400 1600] [--seconds 60] [--seed 0] [--by-hand]

Each function has exact derivatives at random points. Each fit has all cores, and the seconds; so have single runs by
hand: Levenberg-Marquardt with three networks, and the default of `data=table`. Errors are those at 2000 fresh points,
as on the page of the comparison. The rows are kept in `benchmarks/problems/figures/more_rows.json`, from which
`studies.py` writes a page.
"""

import argparse
import time
import warnings
from tempfile import TemporaryDirectory

import numpy as np
from fresh import FRESH
from functions import N_TEST, Function, outputs
from hard import HARD
from results import keep
from tables import Rows, errors, label

import runge

NAMES = (
    *("otl_circuit", "borehole", "piston", "friedman", "wing_10"),
    *("ishigami", "exp_sum", "styblinski_tang", "six_hump_camel"),
)
LEVENBERG = ("optimizer=levenberg_marquardt", "trainer.max_steps=1000", "trainer.patience=100")
BY_HAND = {
    "LM, silu, 2 x 32": (*LEVENBERG, "model.activation=silu", "model.depth=2", "model.width=32"),
    "LM, silu, 3 x 64": (*LEVENBERG, "model.activation=silu", "model.depth=3", "model.width=64"),
    "LM, sin, 3 x 32": (*LEVENBERG, "model.activation=sin", "model.depth=3", "model.width=32"),
    "AdamW": (),
}


COMMAND = "python benchmarks/problems/more_rows.py"


def points(function: Function, n: int, seed: int) -> Rows:
    """Return labels at random points of the box of a function."""
    low, high = np.transpose(function.box)
    random = np.random.default_rng(seed).random((n, len(low)))
    return label(outputs(function), low + (high - low) * random)


def measure(rows: Rows, test: Rows, *overrides: str, single: bool = False) -> dict[str, float]:
    """Return the errors of a fit, and its seconds."""
    began = time.perf_counter()
    with TemporaryDirectory() as directory:
        data = {"x": rows.x, "y": rows.y, "dydx": rows.dydx}
        call = runge.train if single else runge.fit
        function = call(data, *overrides, "trainer.progress_bar=false", directory=directory).function
        seconds = time.perf_counter() - began
        u, du = function(test.x).reshape(test.y.shape), function.derivative(test.x).reshape(test.dydx.shape)
    return {**errors(u, du, test), "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(NAMES), metavar="NAME")
    parser.add_argument("--rows", nargs="+", type=int, default=[100, 400, 1600])
    parser.add_argument("--seconds", nargs="+", type=float, default=[60.0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--by-hand", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in arguments.names:
        function = {**FRESH, **HARD}[name]
        test = points(function, N_TEST, 10_000 + arguments.seed)
        for n in arguments.rows:
            rows = points(function, n, arguments.seed)
            for seconds in arguments.seconds:
                fits = {"runge fit": (f"search.timeout={seconds:g}",)}
                if arguments.by_hand:
                    single = "data.split.test=0", f"trainer.max_seconds={seconds:g}", "pictures=false"
                    fits |= {tool: (*single, *settings) for tool, settings in BY_HAND.items()}
                for tool, overrides in fits.items():
                    figures = measure(rows, test, *overrides, single=tool in BY_HAND)
                    of = {"problem": name, "rows": n, "limit": seconds, "fit": tool, "seed": arguments.seed}
                    keep("more_rows", [of | figures], COMMAND, tuple(of))
                    print(of | figures, flush=True)


if __name__ == "__main__":
    main()
