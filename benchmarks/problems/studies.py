"""Write `docs/studies.md`, and its pictures, from the figures that the studies have kept in `figures`.

    python benchmarks/problems/studies.py

A section is its text, its table, and perhaps a picture. All sections are below, in the order of the page.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import geometric_mean, mean, median
from typing import Any, NamedTuple

from hamiltonians import SYSTEMS
from matplotlib.figure import Figure
from outliers import DEVIATIONS, FACTOR, NOISE, SHARP
from results import read
from studies_pictures import dots

from runge.pictures.style import png

PAGE = Path(__file__).parents[2] / "docs" / "studies.md"

HEAD = """# Studies

Questions that the [table of tools and problems](benchmarks.md) does not answer, each with its command. Where settings
were chosen, the section says how; no test row was used for it. Processor: {processors}.

*The reactor* in these sections is a plug-flow reactor with a cooling jacket, from notebook 43 of
[pounce](https://github.com/jkitchin/pounce): 5 inputs, 4 outputs and 20 partial derivatives.
"""

KEYS = "value", "derivative"

Figures = list[dict[str, Any]]
"""The rows that a study has kept."""


class Section(NamedTuple):
    """A section of the page.

    Attributes:
        name: the name of the figures, `figures/NAME.json`.
        text: what is written, with `{table}` and `{command}`.
        table: a function of the rows that returns the tables, and sentences with figures.
        picture: a function of the rows that draws `docs/images/studies_NAME.png`.
    """

    name: str
    text: str
    table: Callable[[Figures], str]
    picture: Callable[[Figures], Figure] | None = None


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown, with the columns after the first to the right."""
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def by(key: str, rows: Figures) -> dict[Any, Figures]:
    """Return the rows by one of their figures."""
    groups = defaultdict(list)
    for row in rows:
        groups[row[key]].append(row)
    return groups


INTERVALS = """
## What intervals contain

Intervals of the level 0.9 should contain 90 % of new labels ([how they are made](howto/trust.md#predict-with-intervals)). The answer is
that of a race with one candidate, Levenberg-Marquardt with silu, 2 x 16, on all rows; the share is that of 2000 random
points, and for each channel, the value and each partial derivative that matters, the median over the seeds. With noise,
rows and new labels have it. *Constant* is an interval of the same width everywhere, from the errors of the folds'
networks; *CV+* is that of [Barber et al. 2021](https://arxiv.org/abs/1905.02928), from the same networks; *spread* is
1.645 standard deviations of the answer's networks. *Process* is the width over that of a gradient-enhanced Gaussian
process, whose intervals are scaled to contain the same share, and *error* that of the RMSE: geometric means over the
channels, of one seed.

![Shares by function: most values and derivatives are near 90 %](images/studies_intervals.png)

{table}

`{command}`
"""


def channels(rows: Figures, key: str) -> list[float]:
    """Return the median over the seeds of a figure, of each channel that matters."""
    known = [row[key] for row in rows if row.get(key) is not None]
    columns = zip(rows[0]["matters"], *known, strict=True)
    return [median(figures) for matters, *figures in columns if matters] if known else []


def shares(rows: Figures) -> dict[str, dict[str, list[float]]]:
    """Return the shares of the picture, in per cent, by function and noise and by what an interval is of."""
    return {
        name.replace("_", " "): {
            "value": [100 * held[0]],
            "derivatives": [100 * share for share in held[1:]],
            "constant width": [100 * median(channels(some, "held, constant"))],
            "spread of the networks": [100 * median(channels(some, "held, spread"))],
        }
        for name, some in by("problem", rows).items()
        if (held := channels(some, "held"))
    }


def ratio_to_process(rows: Figures, key: str) -> str:
    """Return the geometric mean over the channels of a figure over that of the Gaussian process."""
    compared = [row for row in rows if f"{key}, process" in row]
    if not compared:
        return ""
    pairs = zip(channels(compared, key), channels(compared, f"{key}, process"), strict=True)
    return f"{geometric_mean(one / max(other, 1e-300) for one, other in pairs):.2g}"


def score_ratio(rows: Figures, key: str) -> float:
    """Return the interval score over that of another method: the median over the seeds of means over the channels."""
    ratios = list[float]()
    for row in rows:
        pairs = zip(row["score"], row[f"score, {key}"], row["matters"], strict=True)
        ratios.append(geometric_mean(local / other for local, other, matters in pairs if matters))
    return median(ratios)


def intervals(rows: Figures) -> str:
    """Return the shares that intervals contain, by function and noise, and their scores, with a sentence on each."""
    shares_of, scores_of = list[list[str]](), list[list[str]]()
    medians, every, ratios = list[float](), list[float](), list[tuple[float, float]]()
    for name, some in by("problem", rows).items():
        held = channels(some, "held")
        medians += held
        every += [share for row in some for share, used in zip(row["held"], row["matters"], strict=True) if used]
        others = [f"{median(channels(some, f'held, {key}')):.0%}" for key in ("constant", "cv+", "spread")]
        cells = [name.replace("_", " "), str(len(some)), ", ".join(f"{share:.0%}" for share in held)]
        shares_of.append([*cells, *others, ratio_to_process(some, "half width"), ratio_to_process(some, "rmse")])
        ratios.append((score_ratio(some, "constant"), score_ratio(some, "cv+")))
        scores_of.append([*cells[:2], *(f"{ratio:.2f}" for ratio in ratios[-1])])
    heads = ["function", "seeds", "value, derivatives", "constant", "CV+", "spread", "process", "error"]
    inside = sum(0.87 <= share <= 0.93 for share in medians)
    constant, plus = zip(*ratios, strict=True)
    return "\n\n".join(
        [
            markdown(heads, shares_of),
            f"The median of all is {median(every):.0%}. Of {len(medians)} medians {inside} are from 87 to 93 %; of all "
            f"{len(every)} shares the smallest is {min(every):.0%}, and {sum(share < 0.8 for share in every)} are "
            "below 80 %.",
            "The interval score ([Winkler 1972](https://doi.org/10.1080/01621459.1972.10481224)) is the mean width "
            "plus 20 times the mean distance of a label from its interval. The table has the score of the intervals "
            "over that of the other two, the geometric mean over the channels: below 1 they are better.",
            markdown(["function", "seeds", "over constant", "over CV+"], scores_of),
            f"The geometric mean over the rows of this table is {geometric_mean(constant):.2f} compared with constant "
            f"width, and the score is smaller on {sum(ratio < 1 for ratio in constant)} of {len(constant)}. Compared "
            f"with CV+ it is {geometric_mean(plus):.2f}, and smaller on {sum(ratio < 1 for ratio in plus)}.",
        ]
    )


OUTSIDE = """
## Outside the data

Does the number [`outside`](howto/trust.md#look-at-the-distance-from-the-data) find the points with large errors? 120 rows of a Latin hypercube, of
functions of two to six inputs and of the reactor; the mean of two networks, by Levenberg-Marquardt with nothing chosen,
is the fit, and two networks of each of five folds give the scale, as `runge fit` does. An error is large if it is above
the 95th percentile of the errors inside, at 2000 random points of where the rows are from. A figure is the area under
the ROC curve: the share of pairs of a large and another error in which the number of the large error is larger; for
value / derivative. *Nearest row* is `outside` of a single network, *Gaussian process* the standard deviation of a
process of the values with a length scale for each input, and *box* whether a point is in the box of the rows.

![Areas by function and method, in the widened box and with an empty corner](images/studies_outside.png)

{table}

`{command}`

The disagreement of two networks finds large errors better than the distance from the nearest row, most of all in a
corner of *ridge*, of *cantilever beam* and of *otl circuit*: it shows where the function is hard, and a distance does
not. It is clearly worse in one of 20 cases, the widened box of *robot arm*; far from the data two networks can agree by
chance. In most cases fewer than 5 % of new points are above 1, because the networks of the fit have seen the rows that
the networks of the folds had not.

One seed of each function. That the derivatives count, not only the values, was chosen on *branin*, *ridge*, *friedman*
and *exp product*.
"""

HEADS = {"outside": "outside", "nearest": "nearest row", "gp": "Gaussian process", "box": "box"}
TITLES = {
    "box": "At points of the box, widened by half of its length on each side",
    "corner": "At points of the box, of which a corner, a fifth of its volume, has no rows",
}
WORDS = {"inside": "up to 1", "edge": "1 to 1.5", "outside": "above 1.5"}
NUMBERS = {"outside": "several networks", "nearest": "nearest row"}


def areas(rows: Figures) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return the areas of the picture, of errors of the value, by kind of points, function and method."""
    return {
        title: {
            row["problem"].replace("_", " "): {head: [row[f"{method} value"]] for method, head in HEADS.items()}
            for row in rows
            if row["where"] == where
        }
        for where, title in {"box": "the box, widened by half", "corner": "the box, a corner without rows"}.items()
    }


def outside(rows: Figures) -> str:
    """Return the areas for both kinds of points, the errors by word, and the shares of false alarms."""
    parts = list[str]()
    keys = [f"{method} {quantity}" for method in HEADS for quantity in KEYS]

    def cell(row: dict[str, Any], method: str) -> str:
        return " / ".join(f"{row[f'{method} {key}']:.2f}" for key in KEYS)

    for where, title in TITLES.items():
        of_points = [row for row in rows if row["where"] == where]
        last = [
            {"problem": head, "inputs": ""} | {key: summary(row[key] for row in of_points) for key in keys}
            for head, summary in (("median", median), ("smallest", min))
        ]
        cells = [
            [row["problem"].replace("_", " "), str(row["inputs"]), *(cell(row, method) for method in HEADS)]
            for row in (*of_points, *last)
        ]
        shown = markdown(["function", "inputs", *HEADS.values()], cells)
        parts += [f"<details><summary>{title}</summary>", shown, "</details>"]

    def error(word: str, method: str) -> str:
        keys = (f"error {word} {method} {quantity}" for quantity in KEYS)
        errors = (median(row[key] for row in rows if row["where"] == "box" and key in row) for key in keys)
        return " / ".join(f"{float(f'{part:.2g}'):g}" for part in errors)

    words = [[word, number, *(error(word, method) for method in NUMBERS)] for word, number in WORDS.items()]
    shares = [
        [limit, *(share_of([row[f"{key} {method}"] for row in rows]) for method in NUMBERS)]
        for key, limit in (("alarms", "above 1"), ("false", "above 1.5"))
    ]
    parts += [
        "The median error in the widened box over the 95th percentile inside, median over the functions, for value / "
        "derivative:",
        markdown(["word", "outside", *NUMBERS.values()], words),
        "The share of new points of the distribution of the rows, median over the functions (largest):",
        markdown(["outside", *NUMBERS.values()], shares),
    ]
    return "\n\n".join(parts)


def share_of(shares: list[float]) -> str:
    return f"{median(shares):.1%} ({max(shares):.1%})"


SPOILT = """
## Spoilt tables

Does [`runge check`](howto/trust.md#check-the-derivatives) find what is wrong with a table, and is it silent if nothing is? Tables of 80 to
300 rows of a Latin hypercube, with 2 to 8 inputs and 1 to 4 outputs, of the functions above, of others and of the
reactor, on none of which the check was tuned. Half of them have noise of 5 % of the standard deviation of each column.
A mistake is made in a column whose part in the differences of its output is at least a twentieth of the largest one. It
is found if its columns are named, and no other ones.

{table}

`{command}`
"""

KINDS = {
    "sign": "wrong sign",
    "factor": "1/2, 2, 2 pi, 1/(2 pi), 1000 or 1/1000 times the derivative",
    "degrees": "degrees instead of radians, or the reverse",
    "transposed": "transposed Jacobian",
    "swapped": "two columns swapped",
    "shifted": "all derivatives shifted by 1 to 3 rows",
    "sound": "none: nothing is named",
}


def spoilt(rows: Figures) -> str:
    """Return how many mistakes are found, by kind and noise, and the seconds of a large table."""
    cells, first = list[list[str]](), {True: [0, 0], False: [0, 0]}
    for kind, text in KINDS.items():
        some = {row["noise"]: row for row in rows if row["kind"] == kind}
        cells.append([text, *(f"{row['right']} of {row['tables']}" for row in some.values())])
        for row in some.values():
            first[kind == "sound"][0] += row["first"]
            first[kind == "sound"][1] += row["of"]
    (missed,) = (row["tables"] for row in rows if row["kind"] == "missed")
    (seconds,) = (row for row in rows if row["kind"] == "seconds")
    named = sum(row["wrong"] for row in missed if row["kind"] != "sound")
    texts = [
        markdown(["mistake", "without noise", "noise of 5 %"], cells),
        f"The bar was 38 of 40 when single wrong labels were among the mistakes, and is 33 of 35 without them, with "
        f"at most one false alarm in 20 sound tables. Of the first repeat, {first[False][0]} of {first[False][1]} "
        f"mistakes are found, and {first[True][0]} of {first[True][1]} sound tables are sound. In "
        f"{named} of the spoilt tables of all repeats a column is named that is not wrong.",
        f"A file of 10,000 rows and 10 inputs takes {seconds['processor']:.1f} s of one processor.",
    ]
    return "\n\n".join(texts)


OUTLIERS = """
## Single wrong labels

Does [`runge fit`](howto/trust.md#look-at-suspicious-labels) name one wrong label, and none in a table without mistakes? A
cross-validation with five folds trains networks 2 x 16 with silu by 60 steps of Levenberg-Marquardt. The tables have 60
to 150 rows, 2 to 8 inputs and one output, and are of functions on which the rule was not chosen. Half of them have 15 %
of their labels left out. Noise is 5 % of the standard deviation of each column. A result is right if only the wrong
label is named. In a sound table it is right if no label is. A first trial, with a limit of 8 robust deviations instead
of 12, was wrong for tables of three functions. They then became part of the choice, and others replaced them.

{table}

`{command}`
"""

WRONG_LABELS = {
    (FACTOR, 0): f"one label {FACTOR}",
    (DEVIATIONS, 0): f"one label {DEVIATIONS}",
    (DEVIATIONS, NOISE): f"one label {DEVIATIONS}, and noise in all",
    ("none", 0): "none",
    ("none", NOISE): "none, and noise in all labels",
    ("none", "sharp"): "none; a kink or a front",
}


def outliers(rows: Figures) -> str:
    """Return how often the wrong label is named, with all labels known and with holes."""
    cells = list[list[str]]()
    for (kind, noise), text in WRONG_LABELS.items():
        group = [
            row
            for row in rows
            if row["kind"] == kind and ("sharp" if row["function"] in SHARP else row["noise"]) == noise
        ]
        by_holes = ([row for row in group if bool(row["holes"]) is holes] for holes in (False, True))
        cells.append([text, *(f"{sum(row['right'] for row in part)} of {len(part)}" for part in by_holes)])
    wrong, sound = (
        [row for row in rows if (row["kind"] == "none") is is_sound and (is_sound or not row["noise"])]
        for is_sound in (False, True)
    )
    texts = [
        markdown(["mistake", "all labels known", "15 % left out"], cells),
        f"The bar was 18 of 20 without noise and no false alarm in 20 sound tables. It is "
        f"{sum(row['right'] for row in wrong)} of {len(wrong)}, with {sum(not row['right'] for row in sound)} false "
        f"alarms in {len(sound)}. In {sum(row['others'] > 0 for row in rows)} of all {len(rows)} tables a label is "
        "named that is not wrong.",
    ]
    return "\n\n".join(texts)


GRADIENTS_ALONE = """
## Gradients alone

Dynamics give the gradient of an energy, and never its value. Here the gradient is known at uniform random points, and
one value fixes the constant. The systems and boxes are those of [Rahma, Datar and
Dietrich](https://arxiv.org/abs/2411.17511), who draw the neurons of a wide tanh layer in three ways and solve for the
last layer, or train a Hamiltonian network: *published* is the smallest of their relative L2 errors of H on random
points, each a mean of ten runs on 64 cores, with 10 000 points, or 20 000 of Hénon and Heiles. Ours is a mean over the
seeds, too, with fewer of such points, which are drawn more densely towards the edges of the box, a known value at one
of them, and alpha = 1 of Hénon and Heiles. They do not publish errors of gradients. Settings were tried for each system
on further seeds, which are not among those below. *Search* is `search=best` with nothing chosen, in a minute on two
cores, with all points and one seed.

{table}

A few thousand uniform points leave the corners of a box in four dimensions empty. Ten of 10 000 test points, all of
them there, then held 99 % of the squared error of a fit of the double pendulum.

*Drift* is the largest change of the exact H along a trajectory of 10 000 steps of a symplectic method of order 4, as a
share of the range of H over the box: with the gradient of the fit, and with the exact one, whose drift is that of the
method.

`{command}`, and with `--best`
"""


def gradients_alone(rows: Figures) -> str:
    """Return the errors by system."""
    fits = by("problem", rows)
    lines = list[list[str]]()
    for name, system in SYSTEMS.items():
        if seeds := fits.get(name):
            searched = fits.get(f"{name} by search", [])
            errors = [f"{mean(row[key] for row in seeds):.1e}" for key in KEYS]
            best = " / ".join(f"{row[key]:.1e}" for row in searched for key in KEYS)
            core = f"{median(row['core_seconds'] for row in seeds):.0f}"
            drifts = " / ".join(f"{median(row[key] for row in seeds):.0e}" for key in ("drift", "drift_exact"))
            counts = [str(seeds[0]["points"]), str(len(seeds))]
            lines.append([name, *counts, f"{min(filter(None, system.published)):.1e}", *errors, core, drifts, best])
    heads = "H, published", "H", "gradient", "core-seconds", "drift: fit / exact", "search: H / gradient"
    return markdown(["system", "points", "seeds", *heads], lines)


SECTIONS = (
    Section(
        "intervals",
        INTERVALS,
        intervals,
        lambda rows: dots({"": shares(rows)}, "new labels that an interval contains, %", 90),
    ),
    Section(
        "outside",
        OUTSIDE,
        outside,
        lambda rows: dots(areas(rows), "area under the ROC curve, errors of the value", 1),
    ),
    Section("spoilt", SPOILT, spoilt),
    Section("outliers", OUTLIERS, outliers),
    Section("gradients_alone", GRADIENTS_ALONE, gradients_alone),
)


def main() -> None:
    """Write the page and its pictures."""
    kept = {section: read(section.name) for section in SECTIONS}
    text = HEAD.format(processors="; ".join(sorted({figures["processor"] for figures in kept.values()})))
    for section, figures in kept.items():
        text += section.text.format(table=section.table(figures["rows"]), command=figures["command"])
        if section.picture:
            (PAGE.parent / "images" / f"studies_{section.name}.png").write_bytes(png(section.picture(figures["rows"])))
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
