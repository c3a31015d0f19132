r"""Measure how often `runge check` accuses right derivatives, on thirty tables that other people's programs make.

    pip install ase botorch cantera casadi CoolProp diffrax dymos galpy gymnasium lenstronomy mujoco openmdao openmm \
        pin pymoo pyproj pyscf QuantLib rebound scikit-learn scipy smt statsmodels tblite
    OMP_NUM_THREADS=1 python benchmarks/foreign/alarms.py [--tables NAME ...] [--work DIR] [--page]

The tables are made first, and none is changed afterwards. `runge check` reads each as it is, and again
with one mistake. The kind of the mistake and its column follow from the number of the table (`corrupted`).
`figures/foreign.csv` has what it says. The verdicts on alarms are in `VERDICTS`. The page is `docs/reliability.md`.
"""

import argparse
import csv
import io
import sys
import zlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import mathematics  # noqa: F401
import matter  # noqa: F401 (registers its tables)
import mechanics  # noqa: F401
import numpy as np
import pandas as pd
from origins import PROGRAMS, TABLES, Rows

from runge.interface.label_check import check
from runge.records.files import write

sys.path.append(str(Path(__file__).parents[1]))
from mistakes import MISTAKES, corrupted, facts_of, rate
from pages import render, table, write_pages

HERE = Path(__file__).parent
FIGURES, PART = HERE / "figures" / "foreign.csv", "reliability.md#foreign"

Row = dict[str, str]

VERDICTS = {
    "hopper": (
        "false",
        "MuJoCo's derivatives equal differences of its steps by 1e-7 and 1e-5. In few rows a joint reaches its limit, "
        "and the derivative jumps from 0 to -10.",
    )
}
"""Of each table with an alarm: if the alarm is `true` or `false`, and why."""


def frame_of(rows: Rows) -> pd.DataFrame:
    """Return a table with columns such as x1, y1 and dy1_dx1, without derivatives that are not known in any row."""
    x, y, dydx = rows
    columns = {f"x{d + 1}": x[:, d] for d in range(x.shape[1])} | {f"y{p + 1}": y[:, p] for p in range(y.shape[1])}
    columns |= {f"dy{p + 1}_dx{d + 1}": dydx[:, p, d] for p, d in np.ndindex(dydx.shape[1:])}
    return pd.DataFrame(columns).dropna(axis="columns", how="all")


def measure(name: str, number: int, work: Path) -> Row:
    """Return what `runge check` says of a table, as it is and with a mistake."""
    origin, file = TABLES[name], work / f"{name.replace(' ', '_')}.csv"
    frame = pd.read_csv(file)
    inputs, outputs = (",".join(column for column in frame if str(column).startswith(letter)) for letter in "xy")
    roles = f"data.inputs=[{inputs}]", f"data.outputs=[{outputs}]"  # an input without derivatives must be named
    sound = check(str(file), *roles)
    spoilt, mistake, wrong = corrupted(frame, number)
    spoilt.to_csv(work / "corrupted.csv", index=False)
    found, partials = check(str(work / "corrupted.csv"), *roles), {*sound.roles.partials.values()}
    licence, link = PROGRAMS[origin.package]
    accused = {column for one in sound.findings for column in one.columns}
    facts = {
        "number": number,
        "table": name,
        "package": origin.package,
        "version": version(origin.package),
        "function": origin.function,
        "licence": licence,
        "link": link,
        "drawn": origin.drawn,
        "rows": len(frame),
        "inputs": len(sound.roles.inputs),
        "outputs": len(sound.roles.outputs),
        "columns": len(partials),
        "checked": len(partials & ({*sound.report.seen} | accused)),
        **facts_of(sound, found, mistake, wrong),
    }
    return {key: str(value) for key, value in facts.items()}


def sizes_of(row: Row) -> list[str]:
    """Return the cells of a table's size."""
    return [row["rows"], row["inputs"], row["outputs"], f"{row['checked']} of {row['columns']}"]


def part(rows: Sequence[Row]) -> str:
    """Return the part of the page."""
    alarms = [row for row in rows if row["said"]]
    false = [row for row in alarms if VERDICTS[row["table"]][0] == "false"]
    checked = [row for row in rows if int(row["checked"])]
    visible = [row for row in rows if row["visible"] == "yes"]
    counted = []
    for mistake in MISTAKES:
        own = [row for row in visible if row["mistake"] == mistake]
        kinds = ("the wrong columns", "others too", "only others", "nothing")
        counted.append([mistake, str(len(own)), *(str(sum(row["answer"] == kind for row in own)) for kind in kinds)])
    others = [row for row in rows if row["answer"] in ("others too", "only others")]
    programs = ", ".join(
        f"[{name} {release}]({link})"
        for name, release, link in sorted(
            {(row["package"], row["version"], row["link"]) for row in rows}, key=lambda one: one[0].lower()
        )
    )
    return render(
        HERE / "foreign.md.jinja",
        tables=len(rows),
        planned=len(TABLES),
        missing=", ".join(sorted({*TABLES} - {row["table"] for row in rows})),
        programs=programs,
        packages=len({row["package"] for row in rows}),
        alarms=len(alarms),
        empty=len(rows) - len(checked),
        false_all=rate(len(false), len(rows)),
        false_checked=rate(len(false), len(checked)),
        columns=sum(int(row["columns"]) for row in rows),
        checked=sum(int(row["checked"]) for row in rows),
        judged=table(
            ["table", "it says", "verdict"],
            [[row["table"], row["said"], "{}: {}".format(*VERDICTS[row["table"]])] for row in alarms],
            3,
        ),
        visible=len(visible),
        others=rate(len(others), len(rows)),
        counted=table(["mistake", "tables", "exactly", "and others", "only others", "nothing"], counted),
        listed=table(
            ["table", "program, function", "rows", "inputs", "outputs", "checked columns"],
            [[row["table"], f"{row['package']}, {row['function']}; {row['drawn']}", *sizes_of(row)] for row in rows],
            2,
        ),
    )


def read() -> list[Row]:
    """Return what has been kept."""
    if not FIGURES.is_file():
        return []
    with FIGURES.open(newline="") as file:
        return list(csv.DictReader(file))


def keep(rows: Sequence[Row]) -> None:
    """Write all rows, in the order of their numbers."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [*rows[0]], lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: int(row["number"])))
    FIGURES.parent.mkdir(exist_ok=True)
    write(FIGURES, text.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES), metavar="NAME")
    parser.add_argument("--work", type=Path, default=Path("outputs/foreign"))
    parser.add_argument("--make", action="store_true", help="only make the tables")
    parser.add_argument("--page", action="store_true", help="only write the part of the page")
    arguments = parser.parse_args()
    if not arguments.page:
        arguments.work.mkdir(parents=True, exist_ok=True)
        for name in arguments.tables:
            file = arguments.work / f"{name.replace(' ', '_')}.csv"
            if not file.is_file():
                rows = TABLES[name].make(np.random.default_rng(zlib.crc32(name.encode())))
                frame_of(rows).to_csv(file, index=False)
        if arguments.make:
            return
        for name in arguments.tables:
            if name not in {row["table"] for row in read()}:
                keep([*read(), measure(name, [*TABLES].index(name) + 1, arguments.work)])
    write_pages({PART: part(read())})


if __name__ == "__main__":
    main()
