"""The section of `docs/studies.md` on points outside the data."""

from statistics import median
from typing import Any

from page import KEYS, figures, markdown

SECTION = """
## Outside the data

Does the number [`outside`](howto/outside.md) find the points with large errors? 120 rows of a Latin hypercube, of the
functions above, of others and of the reactor; the mean of five networks, by Levenberg-Marquardt with nothing chosen,
is the fit. An error is large if it is above the 95th percentile of the errors inside, at 2000 random points of where
the rows are from. A figure is the area under the ROC curve: the share of pairs of a large and another error in which
the number of the large error is larger; for value / derivative, medians of three seeds (worst in brackets). *Spread*
is the standard deviation over the five networks, *Gaussian process* that of a process of the values with a length scale
for each input, *nearest row* the distance to it in standardised inputs, and *box* whether a point is in the box of the
rows.

![Areas by function and method, in the widened box and with an empty corner](images/studies_outside.png)

{outside}

`{outside_command}`

The bar was 0.95, which the medians over the functions reach, and those with four and more inputs mostly do not. There a
corner hardly differs from the rest of the box, and a distance cannot know where the function is hard: beyond the box,
the error of exp(x1) exp(x2) exp(x3) is large where the function is, and that of *ridge* is large along its kink. The
spread of several networks finds large errors better than any distance in nearly all cases. It ranks points, whereas
`outside` also has a scale. Where the Gaussian process has 0.50, its likelihood took the values for noise.

The distance was chosen among others on *exp product*, *branin*, *friedman* and the reactor.
"""

HEADS = {"outside": "outside", "spread": "spread", "gp": "Gaussian process", "nearest": "nearest row", "box": "box"}
TITLES = {
    "box": "At points of the box, widened by half of its length on each side",
    "corner": "At points of the box, of which a corner, a fifth of its volume, has no rows",
}
CHOSEN_ON = "exp_product", "branin", "friedman", "reactor"
WORDS = {"inside": "up to 1", "edge": "1 to 1.5", "outside": "above 1.5"}


def areas() -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return the areas of the picture, of errors of the value, by kind of points, function and method."""
    rows = figures("outside")["rows"]
    return {
        title: {
            row["problem"].replace("_", " "): {head: [row[f"{method} value"]] for method, head in HEADS.items()}
            for row in rows
            if row["where"] == where
        }
        for where, title in {"box": "the box, widened by half", "corner": "the box, a corner without rows"}.items()
    }


def table() -> str:
    """Return the areas for both kinds of points, the errors by word, and the shares of false alarms."""
    rows, parts = figures("outside")["rows"], list[str]()
    keys = [f"{method} {quantity}" for method in HEADS for quantity in KEYS]

    def cell(row: dict[str, Any], method: str) -> str:
        areas, worst = (" / ".join(f"{row[f'{of}{method} {key}']:.2f}" for key in KEYS) for of in ("", "worst "))
        return f"{areas} ({worst})"

    for where, title in TITLES.items():
        some = [row for row in rows if row["where"] == where]
        others = [row for row in some if row["problem"] not in CHOSEN_ON]
        summaries = {"all, median (worst)": some, f"{len(others)} that chose nothing, median (worst)": others}
        last = [
            {"problem": head, "inputs": ""}
            | {key: median(row[key] for row in those) for key in keys}
            | {f"worst {key}": min(row[f"worst {key}"] for row in those) for key in keys}
            for head, those in summaries.items()
        ]
        cells = [
            [row["problem"].replace("_", " "), str(row["inputs"]), *(cell(row, method) for method in HEADS)]
            for row in (*some, *last)
        ]
        shown = markdown(["function", "inputs", *HEADS.values()], cells)
        parts += [f"<details><summary>{title}</summary>", shown, "</details>"]
    words = []
    for word, number in WORDS.items():
        of_box = [row for row in rows if row["where"] == "box"]
        errors = ([row[key] for row in of_box if key in row] for key in (f"error {word} {one}" for one in KEYS))
        words.append([word, number, " / ".join(f"{float(f'{median(part):.2g}'):g}" for part in errors)])
    alarms = [
        f"{median(row[key] for row in rows):.1%} (at most {max(row[f'worst {key}'] for row in rows):.1%})"
        for key in ("alarms", "false")
    ]
    parts += [
        "The median error in the widened box over the 95th percentile inside, median over the functions:",
        markdown(["word", "outside", "value / derivative"], words),
        f"Of new points of the distribution of the rows, {alarms[0]} are above 1, and {alarms[1]} above 1.5.",
    ]
    return "\n\n".join(parts)
