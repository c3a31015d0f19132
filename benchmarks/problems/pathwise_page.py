"""The section of `docs/studies.md` on payoffs and pathwise derivatives, which have much noise."""

from statistics import median

from page import by, figures, markdown

PUBLISHED = {
    (7, 4096): (0.24, 0.30),
    (7, 8192): (0.14, 0.10),
    (7, 16384): (0.11, 0.09),
    (20, 4096): (0.23, 0.16),
    (20, 8192): (0.13, 0.07),
    (20, 16384): (0.10, 0.05),
}
"""The notebook's errors of value and first delta with derivatives, of one run each, by assets and paths."""

WAYS = "derivatives", "values alone", "known basket"
ERRORS = "value", "first_delta", "deltas"

SECTION = """
## Pathwise derivatives: one payoff a row

A call on a basket of D assets, from the notebooks of Huge and Savine on [differential machine
learning](https://github.com/differential-machine-learning/notebooks). A row is the payoff of one pair of antithetic
paths, with its pathwise derivatives: the noise is about a quarter of the standard deviation of the values, and half of
that of the derivatives. The fit is tested by the closed form, at 4096 spots. Errors are root mean squares times 100, as
published: value / first delta / all deltas; medians of the markets (the worst value in brackets). *Published* is one
run of the notebook, value / first delta. Each fit is the mean of four networks, 4 x 20 with softplus, that one sweep
trains as one stack: 800 steps of AdamW with batches of 512, and `loss.lambda_d` = D, so that all labels of a row weigh
the same. No setting was tried on these ten markets. *Values alone* is the same with `loss.lambda_d=0`: the price of
ignoring derivatives. *Known basket* has one input, the basket itself: it shows how much of the error the noise causes
if the form of the answer is known. The seconds are those of one core for the sweep with derivatives, files included.

{pathwise}

`{pathwise_command}`
"""


def table() -> str:
    """Return the errors of each way, by assets and paths."""
    lines = list[list[str]]()
    groups = by(figures("pathwise")["rows"], lambda row: (row["dimension"], row["paths"]))
    for (dimension, n), rows in sorted(groups.items()):
        published = " / ".join(f"{error:.2f}" for error in PUBLISHED[dimension, n])
        cells = [str(dimension), str(n), str(len({row["seed"] for row in rows})), published]
        ways = by(rows, lambda row: row["way"])
        for way in WAYS:
            found = ways.get(way, [])
            errors = " / ".join(f"{median(row[key] for row in found):.3f}" for key in ERRORS) if found else ""
            cells.append(f"{errors} ({max(row['value'] for row in found):.2f})" if found else "")
        cells.append(f"{median(row['seconds'] for row in ways['derivatives']):.0f}")
        lines.append(cells)
    return markdown(
        ["D", "paths", "markets", "published", "with derivatives", "values alone", "known basket", "s"], lines
    )
