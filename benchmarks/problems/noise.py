"""Compare `search=best` on labels with noise with the same command on the values alone.

    python benchmarks/problems/noise.py [--functions branin robot_arm] [--seeds 1] [--timeout 20] [--work DIR]

Noise is in f', in f, or in both, of 1, 5 and 20 % of the standard deviation of the values and of each partial
derivative; test points have none. The ratio is the error with derivatives over that with `loss.lambda_d=0`: of the
value, and of the gradient, relative L2 errors; the geometric mean over the seeds.
"""

import argparse
import warnings
from pathlib import Path

import functions
import numpy as np
import page
from tables import noisy, relative_l2

import runge

LEVELS, WHERE = (0.01, 0.05, 0.2), {"f'": (0, 1), "f": (1, 0), "both": (1, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--functions", nargs="+", choices=list(functions.FUNCTIONS), default=["branin", "robot_arm"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=20)
    parser.add_argument("--work", type=Path, default=Path("outputs/noise"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for name in arguments.functions:
        for where, (in_f, in_df) in WHERE.items():
            for level in LEVELS:
                logarithms = []
                for seed in range(arguments.seeds):
                    table, errors = functions.problem(functions.FUNCTIONS[name], seed), []
                    known = noisy(table.known(), in_f * level, in_df * level, seed)
                    for kind, override in (("derivatives", ()), ("values", ("loss.lambda_d=0",))):
                        answer = runge.fit(
                            known._asdict(),
                            *(f"hydra.sweeper.timeout={arguments.timeout}", "trainer.progress_bar=false", *override),
                            directory=arguments.work.resolve()
                            / f"{name}_{list(WHERE).index(where)}_{level}_{seed}_{kind}",
                        )
                        u, du = answer.function.value_and_derivative(table.test.x)
                        errors.append(
                            (relative_l2(u[:, None], table.test.y), relative_l2(du[:, None], table.test.dydx))
                        )
                    logarithms.append(np.log(errors[0]) - np.log(errors[1]))
                value, derivative = np.exp(np.mean(logarithms, axis=0))
                rows.append({"problem": f"{name}, {level:.0%} in {where}", "value": value, "derivative": derivative})
                print(f"{rows[-1]['problem']:28} {value:8.3f} {derivative:8.3f}", flush=True)
    page.keep("noise", rows, "python benchmarks/problems/noise.py")


if __name__ == "__main__":
    main()
