"""Read what `runge check` and `runge fit` print, and compare each number and each reason with the truth."""

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from tables import Array

WORSE = 1.25  # a true error of at most this factor times the stated one is stated truly
LEVEL = 0.9

YES, NO, MISSED, UNCOMPARED, UNREAD = "yes", "no", "missed", "not compared", "not read"
"""Stated truly; falsely; a mistake that nothing names; nothing to compare with; a text that no pattern reads."""

NUMBER = r"\d+(?:\.\d+)?(?:e[-+]?\d+)?"
OF_FIT = {
    "networks": r"The answer is (?:one network|the mean of (?P<count>\d+) networks) \((?P<name>[^()]+)\), (?:each )?"
    r"trained on (?:all|the) (?P<rows>\d+) rows(?: that are not for the test)?(?P<folds> except one of \d+ folds)?\.",
    "rows left out": r"In rows left out of training \((?P<judged>\d+) of (?P<folds>\d+) folds\), the error of one "
    r"network, over the standard deviation, is",
    "error": rf"(?P<error>{NUMBER})(?: \[{NUMBER}, (?P<most>{NUMBER})\])? for the (?P<what>values|derivatives)"
    rf"(?: \((?:(?P<output>[^():;]+): (?P<largest>{NUMBER})(?: \[{NUMBER}, (?P<largest_most>{NUMBER})\])?)?(?:; )?"
    r"(?P<few>few rows decide it)?\))?",
    "bound": rf"(?:In these rows, )?90 % of the (?P<what>values|derivatives) were within (?P<bound>{NUMBER})",
    "not judged": r"(?P<output>\S+) is not judged: these rows have \d+ of its (?P<labels>\d+) labels"
    r"(?:, in \d+ groups)?\.",
    "suspect": rf"(?P<column>\S+) in line (?P<line>\d+) is (?P<label>-?{NUMBER}), predicted (?P<predicted>-?{NUMBER}) "
    r"\((?P<deviations>\d+) robust deviations\)",
    "decades": r"\S+ spans \d+ decades.*: a fit of the logarithm may have a much smaller error: .+?\."
    r"(?: The errors in rows left out are too large to state an error in new rows\.)?$",
    "no other candidate": r"No other candidate could be compared; search\.timeout=SECONDS gives more time\.",
}
"""Parts of the sentences on the answer, in `leaderboard.json`."""

CONNECTING = {
    *("", "and", ", with jackknife intervals.", ".", ";", ":", "standard deviations of the prediction."),
    *(
        f"Check {which}, which networks trained without {whose} do not predict:"
        for which, whose in (("this label", "its row"), ("these labels", "their rows"))
    ),
}
"""The texts between the parts of a sentence."""

OF_LOG = {
    "round": r"\d+ s: (?P<text>.*)",
    "all rows": r".+ on all rows(?: and without each fold, \d+ networks)?",
    "none in time": r"search\.timeout: no candidate has ended within .*",
}
OF_TABLE = {
    "candidates": r"(?P<count>\d+) candidates?(?:, the best \d+)?: errors over the standard deviation, by folds"
    r"(?P<few>, which may differ much from those in new rows)?",
    "candidates left out": r"(?P<count>\d+) not compared; the report says why",
}
OF_CHECK = {
    "table": r".*: (?P<rows>\d+) rows; inputs (?P<inputs>.+); outputs (?P<outputs>.+)",
    "no finding": r"No contradiction was found\.",
    "findings": r"(?P<count>\d+) contradictions? found:",
    "finding": r"\d+\. (?P<text>.+)",
    "without": r"To fit without these columns:|(?:runge|python train\.py) fit .+",
    "signs seen": r"A wrong sign would have been seen in (?P<count>\d+) columns? of derivatives\.",
    "signs not seen": r"A wrong sign might not be seen in these columns, because they explain too little of the "
    r"differences: (?P<text>.+)\.",
    "rows compared": r"Rows that were compared, of \d+: .+\.",
    "not checked": r"Not checked, because too few labels of the output are known in rows that are near each other: "
    r"(?P<text>.+)\.",
}
"""The paragraphs of `runge check`."""


class Statement(NamedTuple):
    """A part of what is printed: its kind, a key of the patterns or `not read`, its text, and its numbers and names."""

    kind: str
    text: str
    about: Mapping[str, str] = {}


class Truth(NamedTuple):
    """What is true of a table and of its answer.

    Attributes:
        rows: the number of rows of the table.
        labels: the number of known labels of each output, of values and derivatives.
        residuals: by `values` and `derivatives`, and by output, those of the answer at new rows, (m, C), over the
            standard deviations of the channels that are known in the table.
        exact: the right label of each column and line of the file.
        columns: the columns whose labels are all wrong.
        cells: the single labels that are wrong, (column, line).
        signs: for each column of derivatives, whether `runge check` names it if its sign is changed.
        parts: the part of each true derivative in the differences of its output, of which the largest is 1.
        networks: how many networks the answer has, and how many of them were trained on all rows.
        candidates: how many candidates were compared, and how many were not.
    """

    rows: int
    labels: Mapping[str, int]
    residuals: Mapping[str, Mapping[str, Array]]
    exact: Mapping[tuple[str, int], float] = {}
    columns: frozenset[str] = frozenset()
    cells: frozenset[tuple[str, int]] = frozenset()
    signs: Mapping[str, bool] = {}
    parts: Mapping[str, float] = {}
    networks: tuple[int, int] = (1, 1)
    candidates: tuple[int, int] = (1, 0)


class Judged(NamedTuple):
    """A statement beside the truth."""

    statement: str
    stated: str
    true: str
    verdict: str


def read_sentence(sentence: str) -> Iterator[Statement]:
    """Yield the parts of a sentence on the answer, and what is left of it that no pattern reads."""
    matches = [(match, kind) for kind, pattern in OF_FIT.items() for match in re.finditer(pattern, sentence)]
    rest, start = list[str](), 0
    for match, kind in sorted(matches, key=lambda pair: pair[0].start()):
        rest.append(sentence[start : match.start()])
        start = match.end()
        yield Statement(kind, match[0], about(match))
    rest.append(sentence[start:])
    for text in map(str.strip, rest):
        if text not in CONNECTING:
            yield Statement(UNREAD, text)


def read_lines(lines: Iterable[str], patterns: Mapping[str, str]) -> Iterator[Statement]:
    """Yield a statement for each text, of the first pattern that it follows as a whole, or `not read`."""
    for line in lines:
        matches = ((kind, re.fullmatch(pattern, line)) for kind, pattern in patterns.items())
        kind, match = next(((kind, match) for kind, match in matches if match), (UNREAD, None))
        yield Statement(kind, line, about(match) if match else {})


def about(match: re.Match[str]) -> dict[str, str]:
    return {key: text for key, text in match.groupdict().items() if text is not None}


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of what is printed, each as one line."""
    return [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text) if paragraph.strip()]


def logged(text: str) -> list[str]:
    """Return the messages of a log, without times and names of loggers."""
    return [match[1] for line in text.splitlines() if (match := re.match(r"\[[\d :,-]+\]\[\w+\] (.*)", line))]


def columns_in(text: str, columns: Iterable[str]) -> set[str]:
    """Return the columns that a text says something of; the evidence, the advice and a command are no part of it.

    Example:
        >>> text = "dy_dx1 has the wrong sign. Between near rows, 9 % of y is unexplained. More: runge"
        >>> columns_in(text, ["y", "dy_dx1", "dy_dx2"])
        {'dy_dx1'}
    """
    said = re.sub(r"Between near rows, .*?\.(?=\s|$)", "", re.split(r"More: |To do: ", text)[0])
    return {name for name in columns if re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", said)}


def judge(statements: Iterable[Statement], truth: Truth, source: str) -> Iterator[Judged]:
    """Yield what is stated beside what is true, and then the mistakes that nothing names.

    A text that no pattern reads is a warning if it names columns of labels.

    Args:
        statements: those of one source.
        truth: what is true of the table and the answer.
        source: `check`, or a part of what `runge fit` prints: its `log`, its `table` of candidates, its `sentences`.
    """
    statements = list(statements)
    where = next((one.about for one in statements if one.kind == "rows left out"), None)
    count = round(truth.rows * int(where["judged"]) / int(where["folds"])) if where else truth.rows
    silent = {one.about["output"] for one in statements if one.kind == "not judged"}
    labels, named = {column for column, _ in truth.exact}, set[str]()
    for kind, text, numbers in statements:
        columns = columns_in(text, labels) if kind in ("finding", UNREAD) else set[str]()
        if kind == "error":
            yield from of_error(source, numbers, truth, silent)
        elif kind == "bound":
            yield of_bound(source, numbers, truth, count, silent)
        elif kind == "finding" or columns:
            named |= columns
            right = bool(columns) and columns <= truth.columns
            yield Judged(f"{source}, columns named", text, "wrong: " + listed(truth.columns), YES if right else NO)
        else:
            yield Judged(f"{source}, {kind}", text, *of_fact(kind, numbers, truth))
    for column in sorted(truth.columns - named if source != "table" else ()):
        yield Judged(f"{source}, wrong column", "not named", column, MISSED)
    suspects = {(one.about["column"], int(one.about["line"])) for one in statements if one.kind == "suspect"}
    for column, line in sorted(truth.cells - suspects if source == "sentences" else ()):
        yield Judged(f"{source}, wrong label", "not named", f"{column} in line {line}", MISSED)


def of_error(source: str, numbers: Mapping[str, str], truth: Truth, silent: Collection[str]) -> Iterator[Judged]:
    """Yield the stated errors of values or derivatives, the mean and the largest, beside those of the answer.

    Of an error that few rows decide, or that may differ much in new rows, nothing more is stated.
    """
    errors = {
        output: float(np.sqrt((residuals**2).mean(axis=0).sum()))
        for output, residuals in truth.residuals[numbers["what"]].items()
        if output not in silent
    }
    pairs = [("error", "most", float(np.mean([*errors.values()])))] if errors else []
    if errors and "largest" in numbers:
        pairs.append(("largest", "largest_most", max(errors.values())))
    for key, most, true in pairs:
        stated, limit = float(numbers[key]), float(numbers.get(most, 0))
        verdict = YES if true <= max(WORSE * stated, limit) else UNCOMPARED if "few" in numbers else NO
        name = f"{source}, {'largest ' * (key == 'largest')}error of the {numbers['what']}"
        yield Judged(name, f"{numbers[key]}, at most {limit:.1e}" if limit else numbers[key], f"{true:.1e}", verdict)


def of_bound(source: str, numbers: Mapping[str, str], truth: Truth, count: int, silent: Collection[str]) -> Judged:
    """Return a bound, and the smallest share of new labels of one channel that are within it.

    The share may be less than 0.9 by two standard deviations of the share among `count` rows.
    """
    bound, least = float(numbers["bound"]), LEVEL - 2 * math.sqrt(LEVEL * (1 - LEVEL) / count)
    parts = [part for output, part in truth.residuals[numbers["what"]].items() if output not in silent]
    share = min(float((abs(part) <= bound).mean(axis=0).min()) for part in parts)
    name = f"{source}, 90 % of the {numbers['what']} within"
    return Judged(name, numbers["bound"], f"{100 * share:.0f} %", YES if share >= least else NO)


def of_fact(kind: str, numbers: Mapping[str, str], truth: Truth) -> tuple[str, str]:
    """Return what is true where a statement of a kind is made, and the verdict."""
    columns = columns_in(numbers.get("text", ""), truth.signs)
    match kind:
        case "networks":
            count, whole = truth.networks
            right = int(numbers.get("count", 1)) == count and int(numbers["rows"]) == truth.rows
            right &= whole == (0 if "folds" in numbers else count)
            return f"{count}, of which {whole} on all {truth.rows} rows", YES if right else NO
        case "not judged":
            known = truth.labels[numbers["output"]]
            return f"{known} labels", YES if int(numbers["labels"]) == known else NO
        case "suspect":
            cell = numbers["column"], int(numbers["line"])
            exact, wrong = truth.exact[cell], cell in truth.cells or cell[0] in truth.columns
            nearer = abs(float(numbers["predicted"]) - exact) < abs(float(numbers["label"]) - exact)
            return f"{exact:.4g}, and the label is {'wrong' if wrong else 'right'}", YES if wrong and nearer else NO
        case "candidates" | "candidates left out":
            count = truth.candidates[kind != "candidates"]
            return str(count), YES if int(numbers["count"]) == count else NO
        case "no other candidate":
            return f"{truth.candidates[0]} candidates", YES if truth.candidates[0] == 1 else NO
        case "table":
            return f"{truth.rows} rows", YES if int(numbers["rows"]) == truth.rows else NO
        case "no finding":
            return "wrong: " + listed(truth.columns), NO if truth.columns else YES
        case "findings":
            return f"{len(truth.columns)}", YES if int(numbers["count"]) == len(truth.columns) else NO
        case "signs seen":
            seen = sum(truth.signs.values())
            return f"{seen} of {len(truth.signs)}", YES if seen >= int(numbers["count"]) else NO
        case "signs not seen" | "not checked":
            largest = max((truth.parts[column] for column in columns), default=0.0)
            seen = {column for column in columns if truth.signs[column]}
            absent = set(re.findall(r"\bd\w+_d\w+", numbers["text"])) - truth.parts.keys()
            true = f"largest part {largest:.2g}; signs that are seen: {listed(seen)}; not in the file: {listed(absent)}"
            return true, NO if absent else UNCOMPARED
    return "", UNREAD if kind == UNREAD else UNCOMPARED


def listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
