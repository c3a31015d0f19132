"""The section of `docs/studies.md` on labels of second derivatives."""

from statistics import geometric_mean, median

from page import KEYS, by, figures, markdown

SECTION = """
## Second derivatives

How much do labels of second derivatives lower the errors of values and gradients, at equal rows? This study was made
outside of `runge`, with a network of its own, to decide on `loss.lambda_dd`: tanh, 2 x 24, Levenberg-Marquardt, 200
steps, the best of four `lambda_dd` by validation rows, against the best of four `lambda_d` with gradients alone. Errors
are over the standard deviation, value / gradient, medians of the seeds; *gain* is the geometric mean of the errors'
ratios, and its range that of the value. The value function is of a Van der Pol oscillator, with Hessians from its
optimal trajectories.

{second_order}

At an equal number of labels nothing is gained: a Hessian by two inputs has as many numbers as value and gradient of
another row. Of 40 rows, gradients alone are 11 times as exact as 20 rows with Hessians for the value function, 5 times
for branin, 1.3 times for rastrigin, and 1.6 times less exact for franke. Of the reactor, 42 rows with gradients alone
gave 9.2e-3 (two seeds), half the error of 12 rows with Hessians. Adam, with 2000 steps, gained a factor of 2.6 (five
pairs of fits).

One product J v of each row with a random direction v, instead of the Jacobian, does not suffice: on functions of 20
inputs, with 200 rows, its errors are 22 to 900 times as large (two seeds,
`python benchmarks/problems/second_order.py direction`). `runge` does not take such labels.

`{second_order_command}`
"""


def table() -> str:
    """Return the errors without and with the labels, by problem and number of rows."""
    lines = list[list[str]]()
    for (name, n), rows in by(figures("second_order")["rows"], lambda row: (row["problem"], row["rows"])).items():
        arms = by(rows, lambda row: row["arm"])
        without, (arm, found) = arms.pop("gradient"), *arms.items()
        if arm == "hessian":
            errors = [
                " / ".join(f"{median(row[key] for row in some):.1e}" for key in KEYS) for some in (without, found)
            ]
            ratios = [[a[key] / b[key] for a, b in zip(without, found, strict=True)] for key in KEYS]
            gain = " / ".join(f"{geometric_mean(one):.1f}" for one in ratios)
            spread = f"{min(ratios[0]):.1f} to {max(ratios[0]):.0f}"
            lines.append([name, str(n), str(len(found)), *errors, gain, spread])
    return markdown(["function", "rows", "seeds", "gradients", "with Hessians", "gain", "range"], lines)
