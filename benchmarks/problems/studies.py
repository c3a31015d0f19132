"""Write `docs/studies.md`, a page for each study and the pictures, from the figures that the studies have kept.

    python benchmarks/problems/studies.py

A study is a template, its tables, an answer in a sentence or two, and perhaps a picture.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from outliers import DEVIATIONS, FACTOR, NOISE, SHARP
from results import KEYS, Answer, Figures, by, read
from studies_of_fits import by_hand, courses, gradients_alone, large_tables, last_of, more_rows, shipped
from studies_pictures import dots

from runge.pictures.style import png

sys.path.append(str(Path(__file__).parents[1]))
from pages import render, write_pages
from pages import table as markdown

TEMPLATES = Path(__file__).parent / "templates"


class Study(NamedTuple):
    """A study.

    Attributes:
        name: the name of the figures, `figures/NAME.json`, of the template, and of the page, `docs/studies/NAME.md`.
        answer: a function of the rows that returns the tables and the answer.
        picture: a function of the rows that draws `docs/images/studies_NAME.png`.
    """

    name: str
    answer: Callable[[Figures], Answer]
    picture: Callable[[Figures], Figure] | None = None


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


def intervals(rows: Figures) -> Answer:
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
    low = sum(share < 0.8 for share in every)
    tables = "\n\n".join(
        [
            markdown(heads, shares_of),
            f"The median of all is {median(every):.0%}. Of {len(medians)} medians {inside} are from 87 to 93 %. Of all "
            f"{len(every)} shares the smallest is {min(every):.0%}, and {low} are below 80 %.",
            "The interval score ([Winkler 1972](https://doi.org/10.1080/01621459.1972.10481224)) is the mean width "
            "plus 20 times the mean distance of a label from its interval. The table has the score of the intervals "
            "over the scores of the other two, as geometric means over the columns. Below 1 they are better.",
            markdown(["function", "seeds", "over constant", "over CV+"], scores_of),
            f"The geometric mean over the rows of this table is {geometric_mean(constant):.2f} compared with constant "
            f"width, and the score is smaller on {sum(ratio < 1 for ratio in constant)} of {len(constant)}. Compared "
            f"with CV+ it is {geometric_mean(plus):.2f}, and smaller on {sum(ratio < 1 for ratio in plus)}.",
        ]
    )
    return Answer(
        tables,
        f"**Do intervals contain what they promise?** In the median, intervals of the level 0.9 contain "
        f"{median(every):.0%} of new labels. But {low} of {len(every)} shares are below 80 %, and the smallest is "
        f"{min(every):.0%} ([coverage](studies/intervals.md)).",
    )


HEADS = {"outside": "outside", "nearest": "nearest row", "gp": "Gaussian process", "box": "box"}
TITLES = {
    "box": "The box, widened by half of its length on each side",
    "corner": "The box, with a fifth of its volume, a corner, without rows",
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


def outside(rows: Figures) -> Answer:
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
        parts += [f"## {title}", shown]

    def error(word: str, method: str) -> str:
        keys = (f"error {word} {method} {quantity}" for quantity in KEYS)
        errors = (median(row[key] for row in rows if row["where"] == "box" and key in row) for key in keys)
        return " / ".join(f"{float(f'{part:.2g}'):g}" for part in errors)

    words = [[word, number, *(error(word, method) for method in NUMBERS)] for word, number in WORDS.items()]
    shares = [
        [limit, *(share_of([row[f"{key} {method}"] for row in rows]) for method in NUMBERS)]
        for key, limit in (("alarms", "above 1"), ("false", "above 1.5"))
    ]
    medians = {method: median(row[f"{method} value"] for row in rows if row["where"] == "corner") for method in NUMBERS}
    parts += [
        "## Errors and alarms",
        "The median error in the widened box over the 95th percentile inside, median over the functions, for value / "
        "derivative:",
        markdown(["word", "outside", *NUMBERS.values()], words),
        "The share of new points of the distribution of the rows, median over the functions (largest):",
        markdown(["outside", *NUMBERS.values()], shares),
    ]
    return Answer(
        "\n\n".join(parts),
        f"**Does `outside` find points with large errors?** In an empty corner of the data, the area under the ROC "
        f"curve is {medians['outside']:.2f} for two networks and {medians['nearest']:.2f} for the nearest row, in the "
        "median of ten functions ([distance](studies/outside.md)).",
    )


def share_of(shares: list[float]) -> str:
    return f"{median(shares):.1%} ({max(shares):.1%})"


COUNTS = "right", "tables"
KINDS = {
    "sign": "wrong sign",
    "factor": "1/2, 2, 2 pi, 1/(2 pi), 1000 or 1/1000 times the derivative",
    "degrees": "degrees instead of radians, or the reverse",
    "transposed": "transposed Jacobian",
    "swapped": "two columns swapped",
    "shifted": "all derivatives shifted by 1 to 3 rows",
    "sound": "none: nothing is named",
}


def spoilt(rows: Figures) -> Answer:
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
        f"The target was 38 of 40 when single wrong labels were among the mistakes, and is 33 of 35 without them, with "
        f"at most one false alarm in 20 sound tables. In the first repeat, {first[False][0]} of {first[False][1]} "
        f"mistakes are found, and {first[True][0]} of {first[True][1]} sound tables pass. In {named} of the corrupted "
        "tables of all repeats a column is named that is not wrong.",
        f"A file of 10,000 rows and 10 inputs takes {seconds['processor']:.1f} s of one processor.",
    ]
    mistakes, sound = (
        [row for row in rows if row["kind"] in KINDS and (row["kind"] == "sound") is is_sound]
        for is_sound in (False, True)
    )
    right, of, silent, sound_ones = (sum(row[key] for row in some) for some in (mistakes, sound) for key in COUNTS)
    return Answer(
        "\n\n".join(texts),
        f"**Does `runge check` find wrong columns?** It names exactly the right ones in {right} of {of} tables, "
        f"and none in {silent} of {sound_ones} tables without a mistake ([wrong columns](studies/spoilt.md)).",
    )


WRONG_LABELS = {
    (FACTOR, 0): f"one label {FACTOR}",
    (DEVIATIONS, 0): f"one label {DEVIATIONS}",
    (DEVIATIONS, NOISE): f"one label {DEVIATIONS}, and noise in all",
    ("none", 0): "none",
    ("none", NOISE): "none, and noise in all labels",
    ("none", "sharp"): "none; a kink or a front",
}


def outliers(rows: Figures) -> Answer:
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
        f"The target was 18 of 20 without noise, and no false alarm in 20 sound tables. It is "
        f"{sum(row['right'] for row in wrong)} of {len(wrong)}, with {sum(not row['right'] for row in sound)} false "
        f"alarms in {len(sound)}. In {sum(row['others'] > 0 for row in rows)} of all {len(rows)} tables a label is "
        "named that is not wrong.",
    ]
    mistakes = [row for row in rows if row["kind"] != "none"]
    return Answer(
        "\n\n".join(texts),
        f"**Does a cross-validation find single wrong labels?** By the rule of `runge fit` it names "
        f"{sum(row['right'] for row in mistakes)} of {len(mistakes)}, with {sum(not row['right'] for row in sound)} "
        f"false alarms in {len(sound)} sound tables ([wrong labels](studies/outliers.md)).",
    )


STUDIES = (
    Study(
        "intervals",
        intervals,
        lambda rows: dots({"": shares(rows)}, "new labels that an interval contains, %", 90),
    ),
    Study(
        "outside",
        outside,
        lambda rows: dots(areas(rows), "area under the ROC curve, errors of the value", 1),
    ),
    Study("spoilt", spoilt),
    Study("outliers", outliers),
    Study("gradients_alone", gradients_alone),
    Study("large_tables", large_tables),
    Study("more_rows", more_rows, courses),
    Study("by_hand", by_hand),
    Study("shipped", shipped),
)


def pages() -> dict[str, str]:
    """Write the pages from the figures that are kept."""
    written, answers = dict[str, str](), list[str]()
    for study in STUDIES:
        figures = figures_of(study)
        answer = study.answer(figures["rows"])
        about = {key: figures[key] for key in ("command", "processor")}
        template = TEMPLATES / f"{study.name}.md.jinja"
        written[f"studies/{study.name}.md"] = render(template, tables=answer.tables, **about)
        answers.append(answer.answer)
    names = [study.name for study in STUDIES]
    return written | {"studies.md": render(TEMPLATES / "studies.md.jinja", answers=answers, names=names)}


def figures_of(study: Study) -> dict[str, Any]:
    """Return the rows of a study, its command and its processor."""
    kept = read(study.name)
    return last_of(kept) if study.name == "large_tables" else kept


def main() -> None:
    """Write the pages and their pictures."""
    pictures = {
        f"images/studies_{study.name}.png": png(study.picture(figures_of(study)["rows"]))
        for study in STUDIES
        if study.picture
    }
    write_pages(pages(), pictures)


if __name__ == "__main__":
    main()
