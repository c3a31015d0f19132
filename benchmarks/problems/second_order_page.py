"""The section of `docs/studies.md` on labels of second derivatives."""

from statistics import geometric_mean, median

from page import KEYS, by, figures, markdown

SECTION = """
## Second derivatives

How much do labels of second derivatives lower the errors of values and gradients, at equal rows? A 2 x 24 network with
tanh takes 200 steps of Levenberg-Marquardt, with the best of four `loss.lambda_dd` by validation rows, and with
gradients alone with the best of four `loss.lambda_d`. The error of the value is relative to its standard deviation,
that of the gradient to its norm; value / gradient, medians of the seeds. *Gain* is the geometric mean of the errors'
ratios, and its range that of the value. The value function is of a Van der Pol oscillator, with Hessians from its
optimal trajectories.

{second_order}

One product J v of each row with a random direction v, instead of the Jacobian, did not suffice in an earlier study,
with a network of its own: on functions of 20 inputs, with 200 rows, its errors were 22 to 900 times as large. `runge`
does not take such labels.

`{second_order_command}`
"""


def table() -> str:
    """Return the errors without and with the labels, by problem and number of rows, and a sentence on equal labels."""
    lines, equal, few = list[list[str]](), list[str](), dict[str, float]()
    for (name, n), rows in by(figures("second_order")["rows"], lambda row: (row["problem"], row["rows"])).items():
        arms = by(rows, lambda row: row["arm"])
        pairs = list(zip(arms["gradient"], arms["hessian"], strict=True))
        middle = {arm: [median(row[key] for row in some) for key in KEYS] for arm, some in arms.items()}
        errors = [" / ".join(f"{error:.1e}" for error in middle[arm]) for arm in ("gradient", "hessian")]
        ratios = [[a[key] / b[key] for a, b in pairs] for key in KEYS]
        gain = " / ".join(f"{geometric_mean(one):.1f}" for one in ratios)
        lines.append([name, str(n), str(len(pairs)), *errors, gain, f"{min(ratios[0]):.2g} to {max(ratios[0]):.2g}"])
        if name in few and n == 40:
            equal.append(f"{name} {middle['gradient'][0] / few[name]:.2g}")
        few[name] = middle["hessian"][0]
    heads = ["function", "rows", "seeds", "gradients", "with Hessians", "gain", "range"]
    said = (
        "A Hessian by two inputs has as many numbers as value and gradient of another row. At equal numbers, 40 rows "
        "with gradients alone have these multiples of the error of the value of 20 rows with Hessians: "
    )
    return f"{markdown(heads, lines)}\n\n{said}{', '.join(equal)}."
