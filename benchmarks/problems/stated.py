"""Compare each number and each reason that `runge check` and `runge fit` print with the truth, on twelve tables.

    python benchmarks/problems/stated.py [--tables NAME ...] [--seconds 60] [--seeds 3] [--jobs 1] [--again] [--page]

A table of `stated_tables.py` is written as CSV. `runge check FILE`, `runge fit FILE search.timeout=SECONDS`, and the
commands that the fit prints at its end are run as a user runs them. The prediction of 4000 new rows of the same kind,
with the same noise, gives the truth. All texts that are printed, and the sentences of `leaderboard.json`, are read
(`statements.py`); a text that no pattern reads is listed as such. A stated error is true if that of the answer is at
most 1.25 times as large, or within the interval that is stated with it. It is not compared if few rows are said to
decide it. The errors in the table of candidates have the intervals of the sentences below it. A bound of 90 % is
true if for each channel the share of new labels within it is at least 0.9 - 2 sqrt(0.09 / n), with n rows left out.

Figures are kept in `figures/stated.csv` as soon as a table is done, and are not measured again, unless with `--again`.
The page is `docs/stated.md`.
"""

import argparse
import csv
import io
import json
import math
import re
import shutil
import subprocess
import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from stated_tables import N_NEW, TABLES, Stated, named
from statements import (
    MISSED,
    NO,
    OF_CHECK,
    OF_LOG,
    OF_TABLE,
    UNCOMPARED,
    UNREAD,
    WORSE,
    YES,
    Judged,
    Statement,
    Truth,
    judge,
    logged,
    paragraphs,
    read_lines,
    read_sentence,
)
from studies import markdown
from studies_pictures import of_ratios
from table_pictures import png
from tables import Array

from runge.commands.check import check
from runge.machine import cores, processor
from runge.records.directories import RunDirectory
from runge.records.ensemble import read_answer
from runge.records.files import write

FIGURES = Path(__file__).parent / "figures" / "stated.csv"
PAGE = Path(__file__).parents[2] / "docs" / "stated.md"
PICTURE = PAGE.parent / "images" / "stated.png"
FIELDS = "table", "seed", "seconds", *Judged._fields, "processor"
RUNGE = Path(sys.executable).with_name("runge")

Row = dict[str, str]


def run(*arguments: str, work: Path) -> subprocess.CompletedProcess[str]:
    """Run `runge` in a directory, and return what it has printed."""
    return subprocess.run([str(RUNGE), *arguments], cwd=work, capture_output=True, text=True)


def measure(name: str, seed: int, seconds: float, work: Path, *overrides: str) -> list[Judged]:
    """Return all that is stated of a table, beside the truth; the overrides are those of the fit."""
    stated = TABLES[name](np.random.default_rng([seed, zlib.crc32(name.encode())]))
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    stated.frame.to_csv(work / "table.csv", index=False)
    named(stated.new, stated.inputs, stated.outputs)[0].to_csv(work / "new.csv", index=False)
    checked = run("check", "table.csv", *stated.options, work=work)
    options = f"search.timeout={seconds:g}", "hydra.sweep.dir=answer", *stated.options, *overrides
    fitted = run("fit", "table.csv", *options, work=work)
    if fitted.returncode:
        return [Judged("fit, exit status", (fitted.stdout + fitted.stderr)[-500:], "a sound table", NO)]
    status = int(bool(stated.columns))
    verdict = YES if checked.returncode == status else NO
    text = " ".join(f"{checked.returncode} {checked.stderr}".split())
    judged = [Judged("check, exit status", text, f"{status}", verdict)]
    for command in re.findall(r"^    runge (.+)$", fitted.stdout, re.MULTILINE):
        ended = run(*command.replace("NEW_FILE", "new.csv").split(), work=work)
        verdict = YES if ended.returncode == 0 else NO
        judged.append(Judged("fit, command", f"runge {command}", f"exit status {ended.returncode}", verdict))
    board = json.loads((work / "answer" / "leaderboard.json").read_text())
    truth = truth_of(stated, work, board)
    printed = " ".join(fitted.stdout.split())
    titles = [match[0] for pattern in OF_TABLE.values() for match in re.finditer(pattern, printed)]
    best, few = board["candidates"][0], any("may differ" in title for title in titles)
    of_table = [
        Statement("error", "", {"error": f"{best[key]:.1e}", "what": f"{key}s"} | limit_of(board, key, few))
        for key in ("value", "derivative")
        if best[key] is not None
    ]
    reasons = [Statement("reason", reason) for reason in board["left_out"]]
    shown, whole = (sum(" ".join(one.split()) in printed for one in board["sentences"]), len(board["sentences"]))
    judged.append(Judged("sentences, printed", f"{shown}", f"{whole}", YES if shown == whole else NO))
    by_source = {
        "check": read_lines(paragraphs(checked.stdout), OF_CHECK),
        "log": read_lines([*logged(fitted.stdout), *filter(None, fitted.stderr.splitlines())], OF_LOG),
        "table": [*read_lines(titles, OF_TABLE), *of_table, *reasons],
        "sentences": [part for sentence in board["sentences"] for part in read_sentence(sentence)],
    }
    by_source["table"] += [part for part in by_source["sentences"] if part.kind == "not judged"]  # below the table
    for source, statements in by_source.items():
        judged += judge(statements, truth, source)
    return judged


def limit_of(board: dict[str, Any], key: str, few: bool) -> dict[str, str]:
    """Return the most that the best error in the table of candidates may be, or that few rows, or the title, decide."""
    factor = max((error[f"{key}_factor"] or 1.0 for error in board["errors"] if error[key] is not None), default=1.0)
    return {"few": "yes"} if few or factor > math.e else {"most": f"{factor * board['candidates'][0][key]:.1e}"}


def truth_of(stated: Stated, work: Path, board: dict[str, Any]) -> Truth:
    """Return what is true of a table and of its answer, which has predicted the new rows."""
    frame, new = stated.frame, stated.new
    predicted = pd.read_csv(work / "answer" / "new_predicted.csv")
    spread = dict(zip(stated.inputs, frame[stated.inputs].to_numpy().std(axis=0), strict=True))
    _, labels = named(new, stated.inputs, stated.outputs)
    residuals: dict[str, dict[str, Array]] = {"values": {}, "derivatives": {}}
    parts = dict[str, float]()
    for y in stated.outputs:
        residuals["values"][y] = ((predicted[f"u_{y}"] - labels[y]) / frame[y].std(ddof=0)).to_numpy()[:, None]
        known = [x for x in stated.inputs if f"d{y}_d{x}" in frame]
        if known:
            wrong = np.stack([spread[x] * (predicted[f"du_{y}_d{x}"] - labels[f"d{y}_d{x}"]) for x in known], axis=1)
            deviations = [spread[x] * frame[f"d{y}_d{x}"].std(ddof=0) for x in known]
            residuals["derivatives"][y] = wrong / np.linalg.norm(deviations)
            sizes = {f"d{y}_d{x}": float(spread[x] * np.sqrt((labels[f"d{y}_d{x}"] ** 2).mean())) for x in known}
            parts |= {column: part / max(sizes.values()) for column, part in sizes.items()}
    exact = {(c, i + 2): value for c in stated.exact for i, value in enumerate(stated.exact[c]) if not np.isnan(value)}
    columns = {y: [y, *(f"d{y}_d{x}" for x in stated.inputs if f"d{y}_d{x}" in frame)] for y in stated.outputs}
    runs = read_answer(work / "answer") or []
    whole = sum(RunDirectory(run.path).read_configuration()[0]["data"].get("fold") is None for run in runs)
    return Truth(
        rows=len(frame),
        labels={y: int(frame[names].notna().sum().sum()) for y, names in columns.items()},
        residuals=residuals,
        exact=exact,
        columns=stated.columns,
        cells=stated.cells,
        signs={column: sign_is_seen(stated, column) for column in parts},
        parts=parts,
        networks=(len(runs), whole),
        candidates=(len(board["candidates"]), len(board["left_out"])),
    )


def sign_is_seen(stated: Stated, column: str) -> bool:
    """Return whether `runge check` names a column of derivatives after its sign has been changed."""
    frame = stated.frame.assign(**{column: -stated.frame[column]})
    return any(column in finding.columns for finding in check(frame, *stated.options).findings)


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
    FIGURES.parent.mkdir(exist_ok=True)
    write(FIGURES, text.getvalue())


TEXT = """# What the commands state, and what is true

`runge check` and `runge fit` ran on {tables} tables of known functions. Each number and each reason that they print is
compared with {new} new rows of the same kind. A stated error is true if the error of the answer is at most {worse}
times as large, or within the interval that is stated with it. It is not compared if few rows are said to decide it. A
bound is true if it contains 90 % of the new labels of each channel, less two standard deviations of
such a share in the rows that were left out. Texts without a number to compare with are not counted. The time of a fit
was {seconds} s. Processor: {machines}.

An error is the true one over the stated one, the largest of the seeds. A share is the smallest one that a bound of 90 %
contains. *Missed* counts wrong labels and columns that nothing names.

![Stated and true errors](images/stated.png)

*Each dot is an error of the answer in new rows over the one that is stated, of a table and a seed; hollow: few rows
decide the stated one.*

"""
ERRORS = ("values", "derivatives")


def ratio(row: Row) -> float:
    """Return a true error over the stated one, without the most that it may be."""
    return float(row["true"]) / float(row["stated"].partition(",")[0])


def drawn(rows: Sequence[Row]) -> Figure:
    """Return the picture of the errors of all tables and seeds."""
    panels = dict[str, dict[str, list[tuple[float, bool]]]]()
    for kind in ERRORS:
        of_kind = [row for row in rows if row["statement"] == f"sentences, error of the {kind}"]
        panels[f"Error of the {kind}"] = {
            name: [(ratio(row), row["verdict"] != UNCOMPARED) for row in of_kind if row["table"] == name]
            for name in TABLES
        }
    return of_ratios(panels, WORSE)


def page(rows: Sequence[Row]) -> str:
    """Return the page: the errors, the shares and the verdicts of each table, and the false statements."""
    cells, names = list[list[str]](), [name for name in TABLES if any(row["table"] == name for row in rows)]
    for name in names:
        own = [row for row in rows if row["table"] == name]
        about: dict[str, list[Row]] = defaultdict(list)
        for row in own:
            about[row["statement"]].append(row)
        errors = ([ratio(row) for row in about[f"sentences, error of the {e}"]] for e in ERRORS)
        shares = ([int(r["true"][:-2]) for r in about[f"sentences, 90 % of the {e} within"]] for e in ERRORS)
        counts = Counter(row["verdict"] for row in own)
        numbers = [*(f"{max(some):.2g}" if some else "-" for some in errors)]
        numbers += [f"{min(some)} %" if some else "-" for some in shares]
        verdicts = [str(counts[word]) for word in (YES, NO, MISSED, UNREAD)]
        cells.append([name, str(len({row["seed"] for row in own})), *numbers, *verdicts])
    head = "table", "seeds", "value", "df/dx", "90 %, value", "90 %, df/dx", "true", "false", "missed", "not read"
    seconds, machines = (sorted({row[key] for row in rows}) for key in ("seconds", "processor"))
    text = TEXT.format(
        tables=len(names), new=N_NEW, worse=WORSE, seconds=", ".join(seconds), machines="; ".join(machines)
    )
    keys = "table", "seed", "statement", "stated", "true", "verdict"
    false = [[row[key].replace("|", "/") for key in keys] for row in rows if row["verdict"] in (NO, MISSED, UNREAD)]
    parts = [text + markdown(head, cells), "## Statements that are not true"]
    parts += [markdown([*keys[:-1], "holds"], false)] if false else ["There are none."]
    options = f"--seconds {seconds[-1]} --seeds {len({row['seed'] for row in rows})}"
    return "\n\n".join([*parts, f"`python benchmarks/problems/stated.py {options}`\n"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES), metavar="NAME")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="tables at a time, which share the processors")
    parser.add_argument("--again", action="store_true", help="measure again what is known")
    parser.add_argument("--page", action="store_true", help="only write the page")
    parser.add_argument("--work", type=Path, default=Path("outputs/stated"))
    arguments = parser.parse_args()
    seconds = f"{arguments.seconds:g}"
    pairs = [] if arguments.page else [(name, seed) for seed in range(arguments.seeds) for name in arguments.tables]
    known = {(row["table"], row["seed"], row["seconds"]) for row in read()}
    pairs = [(name, seed) for name, seed in pairs if arguments.again or (name, str(seed), seconds) not in known]
    shared = [f"hydra.launcher.processes={max(1, cores() // arguments.jobs)}"] if arguments.jobs > 1 else []

    def measured(pair: tuple[str, int]) -> list[Judged]:
        name, seed = pair
        work = arguments.work.resolve() / f"{name.replace(' ', '_').replace('%', 'percent')}_{seed}"
        return measure(name, seed, arguments.seconds, work, *shared)

    with ThreadPoolExecutor(arguments.jobs) as pool:
        for (name, seed), judged in zip(pairs, pool.map(measured, pairs), strict=True):
            own = {"table": name, "seed": str(seed), "seconds": seconds, "processor": processor()}
            others = [row for row in read() if (row["table"], row["seed"]) != (name, str(seed))]
            keep([*others, *(own | one._asdict() for one in judged)])
            print(f"{name}, seed {seed}:", dict(Counter(one.verdict for one in judged)), flush=True)
            for one in judged:
                if one.verdict in (NO, UNREAD):
                    print("   ", *one, sep=" | ", flush=True)
    PICTURE.write_bytes(png(drawn(read())))
    write(PAGE, page(read()))
    print(f"page: {PAGE}")


if __name__ == "__main__":
    main()
