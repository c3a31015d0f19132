"""The section of `docs/studies.md` on intervals."""

from collections.abc import Sequence
from statistics import geometric_mean, median
from typing import Any

from page import by, figures, markdown

SECTION = """
## What intervals contain

Intervals of the level 0.9 should contain 90 % of new labels ([how they are made](howto/intervals.md)). The answer is
that of a race with one candidate, Levenberg-Marquardt with silu, 2 x 16, on all rows; the share is that of 2000 random
points, and for each channel, the value and each partial derivative that matters, the median over the seeds. With noise,
rows and new labels have it. *Constant* is an interval of the same width everywhere, from the errors of the folds'
networks; *spread* is 1.645 standard deviations of the answer's networks. *Process* is the width over that of a
gradient-enhanced Gaussian process, whose intervals are scaled to contain the same share, and *error* that of the RMSE:
geometric means over the channels, of one seed.

![Shares by function: most values and derivatives are near 90 %](images/studies_intervals.png)

{intervals}

`{intervals_command}`
"""


def _channels(rows: Sequence[dict[str, Any]], key: str) -> list[float]:
    """Return the median over the seeds of a figure, of each channel that matters."""
    known = [row[key] for row in rows if row.get(key) is not None]
    columns = zip(rows[0]["matters"], *known, strict=True)
    return [median(figures) for matters, *figures in columns if matters] if known else []


def shares() -> dict[str, dict[str, list[float]]]:
    """Return the shares of the picture, in per cent, by function and noise and by what an interval is of."""
    return {
        name.replace("_", " "): {
            "value": [100 * held[0]],
            "derivatives": [100 * share for share in held[1:]],
            "constant width": [100 * median(_channels(some, "held, constant"))],
            "spread of the networks": [100 * median(_channels(some, "held, spread"))],
        }
        for name, some in by(figures("intervals")["rows"], lambda row: row["problem"]).items()
        if (held := _channels(some, "held"))
    }


def _ratio(rows: Sequence[dict[str, Any]], key: str) -> str:
    """Return the geometric mean over the channels of a figure over that of the Gaussian process."""
    compared = [row for row in rows if f"{key}, process" in row]
    if not compared:
        return ""
    pairs = zip(_channels(compared, key), _channels(compared, f"{key}, process"), strict=True)
    return f"{geometric_mean(one / max(other, 1e-300) for one, other in pairs):.2g}"


def table() -> str:
    """Return the shares that intervals contain, by function and noise, and a sentence on all of them."""
    rows = figures("intervals")["rows"]
    lines, medians, every = list[list[str]](), list[float](), list[float]()
    for name, some in by(rows, lambda row: row["problem"]).items():
        held = _channels(some, "held")
        medians += held
        every += [share for row in some for share, used in zip(row["held"], row["matters"], strict=True) if used]
        others = [f"{median(_channels(some, f'held, {key}')):.0%}" for key in ("constant", "spread")]
        cells = [name.replace("_", " "), str(len(some))]
        cells.append(", ".join(f"{share:.0%}" for share in held))
        lines.append([*cells, *others, _ratio(some, "half width"), _ratio(some, "rmse")])
    heads = ["function", "seeds", "value, derivatives", "constant", "spread", "process", "error"]
    inside = sum(0.87 <= share <= 0.93 for share in medians)
    return "\n\n".join(
        [
            markdown(heads, lines),
            f"The median of all is {median(every):.0%}. Of {len(medians)} medians {inside} are from 87 to 93 %; of all "
            f"{len(every)} shares the smallest is {min(every):.0%}, and {sum(one < 0.8 for one in every)} are "
            "below 80 %.",
        ]
    )
