"""The errors of a f(b x + c) + d relative to those of f, in standardised units: they should not depend on a, b, c, d.

`python benchmarks/problems/scale.py` fits f(x) = sin(3 x) + cos(x) on [-1, 1] (about a minute). It prints nrmse_f and
nrmse_df for all combinations of output scales and offsets and of input scales and offsets, over those of f, in 32 and
in 64 bit. The labels are in float64, so that few digits are left where |d| is much larger than a.
"""

import argparse
import itertools
import tempfile

import runge

FIGURES = "test/nrmse_f", "test/nrmse_df"


def overrides(a: float, b: float, c: float, d: float, precision: int, steps: int) -> list[str]:
    """Return the overrides of a fit of a f(b x + c) + d, on the interval that b x + c maps to [-1, 1]."""
    inner = f"({b!r}*(x-({c!r})))"
    return [
        *("target=expression", f"target.expr='{a!r}*(sin(3*{inner})+cos({inner}))+({d!r})'"),
        *(f"target.domain=[{c - 1 / b!r},{c + 1 / b!r}]", "model.standardize=true", "loss.derivative_scale=std"),
        *("loss.lambda_d=1", f"trainer.precision={precision}", f"trainer.max_steps={steps}", "data.n_train=32"),
        *("model.width=16", "logger=[]", "trainer.progress_bar=false"),
    ]


def main() -> None:
    """Print the largest ratio, and every one above 1.5 or below 1 / 1.5."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    steps = parser.parse_args().steps
    scales = itertools.product((1e-6, 1.0, 1e6), (1e-3, 1.0, 1e3), (0.0, 1e3), (0.0, -1e6, 1e6))
    cases = list(scales)
    with tempfile.TemporaryDirectory() as folder:
        for precision in (32, 64):
            errors = {}
            for i, case in enumerate([(1.0, 1.0, 0.0, 0.0), *cases]):
                run = runge.train(*overrides(*case, precision, steps), f"hydra.run.dir={folder}/{precision}-{i}")
                errors[case] = [run.metrics[figure] for figure in FIGURES]
            first = errors[1.0, 1.0, 0.0, 0.0]
            ratios = {case: [x / y for x, y in zip(found, first, strict=True)] for case, found in errors.items()}
            worst = max(max(ratio, 1 / ratio) for pair in ratios.values() for ratio in pair)
            print(
                f"{precision} bit: {len(errors)} fits, f has {first[0]:.2e} and {first[1]:.2e}; worst ratio {worst:.3f}"
            )
            for (a, b, c, d), pair in ratios.items():
                if any(max(ratio, 1 / ratio) > 1.5 for ratio in pair):
                    print(f"  a={a:g} b={b:g} c={c:g} d={d:g}: {pair[0]:.3f} {pair[1]:.3f}")


if __name__ == "__main__":
    main()
