"""Compare what `runge check` and `runge fit` state with the truth, on tables of known functions by three makers.

    python benchmarks/problems/stated.py [--tables NAME ...] [--seconds 60] [--seeds 3] [--again] [--page]

A table of `stated_tables.py` is written as CSV. `runge check FILE`, `runge fit FILE --timeout SECONDS`, and the
commands that the fit prints at its end are run as a user runs them. The prediction of 4000 new rows of the same kind,
with the same noise, gives the truth. The errors, the bounds, and the columns and labels that are named are compared
with it. A stated error is true if that of the answer is within the interval that is stated with it. It is not compared
if few rows are said to decide it. So it is for each partial derivative, over its own standard deviation. A bound of 90
% is true if for each channel the share of new labels within it is at least 0.9 - 2 sqrt(0.09 / n), with n rows left
out, and so is an interval of 90 % of a partial derivative, with the n rows that judge it.

Figures are kept in `figures/stated.csv` as soon as a table is done, and are not measured again, unless with `--again`.
The page is `docs/reliability.md`.
"""

import argparse
import csv
import io
import math
import re
import shutil
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from stated_tables import N_NEW, TABLES, Stated, named
from tables import Array

import runge
from runge.function.predictions import predict
from runge.interface.label_check import check
from runge.process.machine import processor
from runge.records.files import write
from runge.records.leaderboard import ColumnError, OutputError, Suspect, read_leaderboard

sys.path.append(str(Path(__file__).parents[1]))
from pages import render, table, write_pages

FIGURES = Path(__file__).parent / "figures" / "stated.csv"
PART = "reliability.md#stated"
"""The part of a page that is written."""

RUNGE = Path(sys.executable).with_name("runge")
WORSE, UNSURE = 1.25, 5.0  # factors of a true error; of an interval, above which few rows are said to decide
LEVEL, CHOSEN_SEEDS = 0.9, 2  # of intervals; the seeds that chose `ANSWER_GAIN`

YES, NO, MISSED, UNCOMPARED = "yes", "no", "missed", "not compared"
"""Stated truly; falsely; a mistake that nothing names; nothing to compare with."""

KINDS = "value", "derivative"

Residuals = Mapping[str, Mapping[str, Array]]
"""Residuals of the answer in new rows, by kind and output, (m, C), over the standard deviations of the channels."""


class Judged(NamedTuple):
    """A statement beside the truth."""

    statement: str
    stated: str
    true: str
    verdict: str


FIELDS = "table", "seed", "seconds", *Judged._fields, "processor"

Row = dict[str, str]


def run(*arguments: str, work: Path) -> subprocess.CompletedProcess[str]:
    """Run `runge` in a directory, and return what it has printed."""
    return subprocess.run([str(RUNGE), *arguments], cwd=work, capture_output=True, text=True)


def measure(name: str, seed: int, seconds: float, work: Path) -> list[Judged]:
    """Return what is stated of a table, beside the truth."""
    stated = TABLES[name](np.random.default_rng([seed, zlib.crc32(name.encode())]))
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    stated.frame.to_csv(work / "table.csv", index=False)
    named(stated.new, stated.inputs, stated.outputs)[0].to_csv(work / "new.csv", index=False)
    checked = run("check", "table.csv", *stated.options, work=work)
    options = "--timeout", f"{seconds:g}", "--out", "answer", *stated.options
    fitted = run("fit", "table.csv", *options, work=work)
    if fitted.returncode:
        return [Judged("fit, exit status", (fitted.stdout + fitted.stderr)[-500:], "a sound table", NO)]
    status = int(bool(stated.columns))
    verdict = YES if checked.returncode == status else NO
    judged = [Judged("check, exit status", f"{checked.returncode} {checked.stderr}".strip(), f"{status}", verdict)]
    for command in re.findall(r"^    runge (.+)$", fitted.stdout, re.MULTILINE):
        ended = run(*command.replace("NEW_FILE", "new.csv").split(), work=work)
        verdict = YES if ended.returncode == 0 else NO
        judged.append(Judged("fit, command", f"runge {command}", f"exit status {ended.returncode}", verdict))
    board = read_leaderboard([work / "answer"])
    assert board is not None
    residuals = residuals_of(stated, pd.read_csv(work / "new_predicted.csv"))
    findings = check(stated.frame, *stated.options).findings
    judged += of_columns([(one.what, set(one.columns)) for one in findings], stated)
    if rows := re.search(r"\(\d+ of \d+ folds, (\d+) rows\)", " ".join(board.sentences)):
        judged += of_errors(board.errors, residuals, int(rows[1]))
    judged += of_partials(board.columns, runge.load(work / "answer"), stated)
    return [*judged, *of_suspects(board.suspects, stated)]


def residuals_of(stated: Stated, predicted: pd.DataFrame) -> Residuals:
    """Return the residuals of predictions of the new rows."""
    frame, (_, labels) = stated.frame, named(stated.new, stated.inputs, stated.outputs)
    spread = dict(zip(stated.inputs, frame[stated.inputs].to_numpy().std(axis=0), strict=True))
    residuals: dict[str, dict[str, Array]] = {kind: {} for kind in KINDS}
    for y in stated.outputs:
        residuals["value"][y] = ((predicted[f"u_{y}"] - labels[y]) / frame[y].std(ddof=0)).to_numpy()[:, None]
        known = [x for x in stated.inputs if f"d{y}_d{x}" in frame]
        if known:
            wrong = np.stack([spread[x] * (predicted[f"du_{y}_d{x}"] - labels[f"d{y}_d{x}"]) for x in known], axis=1)
            deviations = [spread[x] * frame[f"d{y}_d{x}"].std(ddof=0) for x in known]
            residuals["derivative"][y] = wrong / np.linalg.norm(deviations)
    return residuals


def compared(statement: str, stated: float, low: float | None, high: float | None, true: float) -> Judged:
    """Return a stated error with the ends of its interval beside the true one."""
    if low is None or high is None or high > UNSURE * stated:
        return Judged(statement, f"{stated:.1e}", f"{true:.1e}", UNCOMPARED)
    interval = f"{stated:.1e} [{low:.1e}, {high:.1e}]"
    return Judged(statement, interval, f"{true:.1e}", YES if low <= true <= high else NO)


def of_errors(errors: Sequence[OutputError], residuals: Residuals, count: int) -> Iterator[Judged]:
    """Yield the stated errors and bounds beside those of the answer.

    Args:
        errors: those of each output.
        residuals: those of the answer in new rows.
        count: the number of rows left out, by which the share within a bound is uncertain.
    """
    for kind in KINDS:
        judged = {row.output: error for row in errors if (error := getattr(row, kind)) is not None}
        if not judged:
            continue
        some = {output: residuals[kind][output] for output in judged}
        stated = float(np.mean([*judged.values()]))
        true = float(np.mean([np.sqrt((part**2).mean(axis=0).sum()) for part in some.values()]))
        ends = [(getattr(row, f"{kind}_low"), getattr(row, f"{kind}_high")) for row in errors if row.output in judged]
        low, high = (None, None)
        if (None, None) not in ends:
            rows = list(zip(judged.values(), ends, strict=True))
            low = stated * min(end / error for error, (end, _) in rows)
            high = stated * max(end / error for error, (_, end) in rows)
        yield compared(f"fit, error of the {kind}s", stated, low, high, true)
        bounds = [getattr(row, f"{kind}_bound") for row in errors if row.output in judged]
        if None not in bounds:
            share = min(float((abs(part) <= max(bounds)).mean(axis=0).min()) for part in some.values())
            verdict = YES if share >= least_share(count) else NO
            yield Judged(f"fit, 90 % of the {kind}s within", f"{max(bounds):.1e}", f"{100 * share:.0f} %", verdict)


def of_partials(columns: Sequence[ColumnError], answer: runge.Function, stated: Stated) -> Iterator[Judged]:
    """Yield the stated errors of partial derivatives, and the shares of new ones that their intervals contain."""
    try:
        predicted = predict(answer, stated.new.x, LEVEL)
    except ValueError:  # too few rows
        predicted = predict(answer, stated.new.x)
    places = {f"d{y}_d{name}": (p, d) for p, y in enumerate(stated.outputs) for d, name in enumerate(stated.inputs)}
    for one in columns:
        if one.column not in places or one.error is None or one.column in stated.columns:
            continue
        p, d = places[one.column]
        label, mean = stated.new.dydx[:, p, d], predicted["du"][:, p, d]
        true = float(np.sqrt(np.mean((mean - label) ** 2)) / stated.frame[one.column].std(ddof=0))
        yield compared(f"fit, error of {one.column}", one.error, one.low, one.high, true)
        low, high = (predicted.get(f"du_{end}") for end in ("low", "high"))
        if low is not None and high is not None and np.isfinite(low[:, p, d]).all():
            held = float(np.mean((low[:, p, d] <= label) & (label <= high[:, p, d])))
            verdict = YES if held >= least_share(one.rows) else NO
            yield Judged(f"fit, interval of {one.column}", f"{100 * LEVEL:g} %", f"{100 * held:.0f} %", verdict)


def least_share(count: int) -> float:
    """Return the least share within a bound of so many rows that chance allows."""
    return LEVEL - 2 * math.sqrt(LEVEL * (1 - LEVEL) / count)


def of_columns(findings: Iterable[tuple[str, set[str]]], stated: Stated) -> Iterator[Judged]:
    """Yield what `runge check` says of columns, and the wrong columns that it does not name."""
    missed = set(stated.columns)
    for text, columns in findings:
        missed -= columns
        yield Judged("check, columns named", text, listed(stated.columns), YES if columns <= stated.columns else NO)
    if missed:
        yield Judged("check, wrong column", "not named", listed(missed), MISSED)


def of_suspects(suspects: Iterable[Suspect], stated: Stated) -> Iterator[Judged]:
    """Yield the labels that `runge fit` names, and the wrong labels that it does not name."""
    missed = set(stated.cells)
    for one in suspects:
        cell = one.column, int(one.place.removeprefix("line "))
        exact = float(stated.exact[one.column].to_numpy()[cell[1] - 2])
        wrong = cell in stated.cells or one.column in stated.columns
        nearer = abs(one.predicted - exact) < abs(one.label - exact)
        missed.discard(cell)
        true = f"{exact:.4g}, and the label is {'wrong' if wrong else 'right'}"
        yield Judged("fit, label named", f"{one.column} in {one.place}", true, YES if wrong and nearer else NO)
    for column, line in sorted(missed):
        yield Judged("fit, wrong label", "not named", f"{column} in line {line}", MISSED)


def listed(names: Iterable[str]) -> str:
    return f"wrong: {', '.join(sorted(names)) or 'none'}"


def read() -> list[Row]:
    """Return what has been kept."""
    if not FIGURES.is_file():
        return []
    with FIGURES.open(newline="") as file:
        return list(csv.DictReader(file))


def keep(rows: Iterable[Row]) -> None:
    """Write all rows, by table, in the order in which they are stated."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: ([*TABLES].index(row["table"]), int(row["seed"]))))
    write(FIGURES, text.getvalue())


PLACES = "within", "above", "below"


def place(row: Row) -> str | None:
    """Return where a true error is, relative to the interval that is stated with the error; None: there is none."""
    if "[" not in row["stated"]:
        return None
    return "within" if row["verdict"] == YES else "above" if ratio(row) > 1 else "below"


def ratio(row: Row) -> float:
    """Return a true error over the stated one, without its interval."""
    return float(row["true"]) / float(row["stated"].partition(" ")[0])


def part(rows: Sequence[Row]) -> str:
    """Return the part of the page: what is stated truly, by kind and by table, and the false statements."""
    names = [name for name in TABLES if any(row["table"] == name for row in rows)]
    kinds = {
        "errors": [row for row in rows if "error of the" in row["statement"]],
        "bounds of 90 %": [row for row in rows if "90 % of the" in row["statement"]],
        "errors of partial derivatives": [row for row in rows if "error of d" in row["statement"]],
        "intervals of partial derivatives": [row for row in rows if "interval of" in row["statement"]],
        "names of wrong columns and labels": [row for row in rows if "named" in row["statement"]],
        "commands and exit statuses": [row for row in rows if row["statement"].endswith(("command", "exit status"))],
    }
    counted = [
        [kind, *(str(sum(row["verdict"] == word for row in some)) for word in (YES, NO, UNCOMPARED)), limit(some)]
        for kind, some in kinds.items()
        if some
    ]
    ratios = [ratio(row) for row in kinds["errors"]]
    placed = [(where, int(row["seed"])) for row in kinds["errors"] if (where := place(row))]
    places = Counter(where for where, _ in placed)
    keys = "table", "seed", "statement", "stated", "true"
    false = [[row[key].replace("|", "/") for key in keys] for row in rows if row["verdict"] in (NO, MISSED)]
    return render(
        Path(__file__).parent / "templates" / "stated.md.jinja",
        names=len(names),
        new=N_NEW,
        worse=WORSE,
        counted=table(["statements", "true", "false", "not compared", "95 % limit of the false"], counted),
        errors=len(ratios),
        small=sum(one > WORSE for one in ratios),
        largest=f"{max(ratios):.1f}",
        intervals=len(placed),
        **{name: places[name] for name in PLACES},
        checked=Counter(where for where, seed in placed if seed >= CHOSEN_SEEDS),
        partials=Counter(place(row) for row in kinds["errors of partial derivatives"]),
        held=[int(row["true"][:-2]) for row in kinds["intervals of partial derivatives"]],
        shares=f"{min(int(row['true'][:-2]) for row in kinds['bounds of 90 %'])} %",
        untrue=table(keys, false, 3) if false else "There are none.",
        tables=table(
            ["table", "seeds", "value", "df/dx", "90 %, value", "90 %, df/dx"], [of_table(name, rows) for name in names]
        ),
        seconds=", ".join(sorted({row["seconds"] for row in rows})),
        seeds=len({row["seed"] for row in rows}),
        machines="; ".join(sorted({row["processor"] for row in rows})),
    )


def limit(rows: Sequence[Row]) -> str:
    """Return the upper 95 % limit of the share of false statements, as if they were independent (Clopper, Pearson)."""
    compared = [row["verdict"] for row in rows if row["verdict"] in (YES, NO)]
    return f"{binomtest(compared.count(NO), len(compared)).proportion_ci(0.9).high * 100:.0f} %" if compared else "-"


def of_table(name: str, rows: Sequence[Row]) -> list[str]:
    """Return the row of a table: the largest ratios of its errors, and the smallest shares."""
    own = [row for row in rows if row["table"] == name]
    errors = ([ratio(row) for row in own if row["statement"] == f"fit, error of the {kind}s"] for kind in KINDS)
    bounds = ([row for row in own if row["statement"] == f"fit, 90 % of the {kind}s within"] for kind in KINDS)
    numbers = [f"{max(some):.2g}" if some else "-" for some in errors]
    shares = [f"{min(int(row['true'][:-2]) for row in some)} %" if some else "-" for some in bounds]
    return [name, str(len({row["seed"] for row in own})), *numbers, *shares]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES), metavar="NAME")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--again", action="store_true", help="measure again what is known")
    parser.add_argument("--page", action="store_true", help="only write the part of the page")
    parser.add_argument("--work", type=Path, default=Path("outputs/stated"))
    arguments = parser.parse_args()
    seconds = f"{arguments.seconds:g}"
    pairs = [] if arguments.page else [(name, seed) for seed in range(arguments.seeds) for name in arguments.tables]
    known = {(row["table"], row["seed"], row["seconds"]) for row in read()}
    for name, seed in pairs:
        if (name, f"{seed}", seconds) in known and not arguments.again:
            continue
        work = arguments.work.resolve() / f"{name.replace(' ', '_').replace('%', 'percent')}_{seed}"
        judged = measure(name, seed, arguments.seconds, work)
        own = {"table": name, "seed": f"{seed}", "seconds": seconds, "processor": processor()}
        others = [row for row in read() if (row["table"], row["seed"]) != (name, f"{seed}")]
        keep([*others, *(own | one._asdict() for one in judged)])
        print(f"{name}, seed {seed}:", dict(Counter(one.verdict for one in judged)), flush=True)
    write_pages({PART: part(read())})


if __name__ == "__main__":
    main()
