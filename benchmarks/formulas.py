"""Ten smooth formulas of one variable, on which no settings were tried, fitted with `optimizer=least_squares` alone.

    python benchmarks/formulas.py [OVERRIDES] [--seeds 3]

It prints the errors of each on the test grid, median and worst over the seeds, and the time of a fit, on one core.
"""

import argparse
from statistics import median

from precision import fit

from runge.process import machine

FORMULAS = {
    "1/(1+49*(x-0.3)**2)": (-1, 1),
    "sin(20*x)*exp(x)": (-1, 1),
    "tanh(15*(x-0.2))": (-1, 1),
    "log(1.1+x)": (-1, 1),
    "exp(-30*(x-0.1)**2)+x/3": (-1, 1),
    "cos(15*x-0.5)/sqrt(1+4*x**2)": (-1, 1),
    "exp(sin(6*x))": (-1, 1),
    "x**3-2*x+sin(9*x)/(2+cos(3*x))": (-1, 1),
    "exp(-x/3)*sin(2*x)": (0, 10),
    "atan(8*(x-3.5))+log(x)": (2, 5),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", default=["optimizer=least_squares"])
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    machine.limit_threads(1)
    for expression, (low, high) in FORMULAS.items():
        target = ("target=expression", f"target.expr='{expression}'", f"target.domain=[{low},{high}]")
        runs = [fit(*arguments.overrides, *target, f"seed={seed}") for seed in range(arguments.seeds)]
        columns = {name: [run[f"test/{name}"] for run in runs] for name in ("mse_f", "mse_df")}
        figures = (f"{name} {median(values):.1e} (worst {max(values):.1e})" for name, values in columns.items())
        print(f"{expression:32s} {', '.join(figures)}; {median(run['seconds/fit'] for run in runs):.1f} s")


if __name__ == "__main__":
    main()
