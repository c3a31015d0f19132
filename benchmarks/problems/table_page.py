"""The table: a part of `docs/benchmarks.md`, and a page of all figures, from those of its cells."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tables
import tools
from cell import SECONDS
from factors import Factor
from pages import DOCS, render, write_pages
from ranking import BEST, FAMILIES, QUANTITIES, TIE, Frame, advantage, chosen, common, lost, medians, read, standings
from texts import cause, factor, number, plain, seconds, word

HERE = Path(__file__).parent
FIGURES, TEMPLATES = HERE / "figures", HERE / "templates"
COLUMNS = 5  # problems of a table, which fit the width of the page
ROUND_OFF = 1e-6
"""The error of the value below which a factor only measures the distance from round-off."""
SUMMARY, PAGE = "benchmarks.md#benchmarks/problems", "benchmarks/figures.md"
"""The part of a page, and the page, that are written."""

Views = tuple[Frame, Frame]
"""The medians of the chosen settings, and of the defaults."""


def pages(figures: Path, problems: Mapping[str, tables.Entry]) -> dict[str, str]:
    """Write the pages of the problems and tools that have figures.

    Args:
        figures: the folder of `table.csv`.
        problems: the problems, in the order of their fields' pages.

    Returns:
        The pages as Markdown, by their paths below the documentation.

    Raises:
        ValueError: no problem has figures.
    """
    table = read(figures / "table.csv")
    table = table[table.problem.isin(list(problems)) & table.tool.isin(list(tools.TOOLS))]
    if table.empty:
        raise ValueError(f"{figures / 'table.csv'}: must have figures of at least one of the problems, has none")
    middle, default = medians(chosen(table)), medians(table[table.settings_by == "default"])
    fields: dict[str, list[str]] = {}
    for name, entry in problems.items():
        if name in middle.index.get_level_values("problem"):
            fields.setdefault(entry.field, []).append(name)
    present = set(middle.index.get_level_values("tool"))
    families = {tool: entry.family for tool, entry in tools.TOOLS.items() if tool in present}
    values = {
        **about(table, middle),
        **findings(middle, families),
        "standings": standing_rows(middle),
        "common": len(common(middle)),
        "fields": [field(name, of, problems, table, (middle, default)) for name, of in fields.items()],
        "limit": SECONDS,
    }
    names = {SUMMARY: "summary", PAGE: "figures"}
    return {page: render(TEMPLATES / f"{name}.md.jinja", **values) for page, name in names.items()}


def about(table: Frame, middle: Frame) -> dict[str, Any]:
    """Return what was measured: numbers of tools, problems, seeds and fits; machines, dates and commits."""
    dates, seeds = sorted(table.date.unique()), middle.seeds
    packages = table.tool.map({tool: entry.package for tool, entry in tools.TOOLS.items()})
    versions = (packages + " " + table.version)[table.version != ""].unique()
    others = [tool for tool in table.tool.unique() if tools.TOOLS[tool].family != "runge"]
    kinds = Counter(tools.TOOLS[tool].family for tool in others)
    counts = {"kinds": kinds, "problems": table.problem.nunique(), "fits": len(table)}
    return {
        "counts": counts,
        "figures": counts["problems"] * sum(1 + (tools.TOOLS[tool].family != "runge") for tool in table.tool.unique()),
        "known": len(table[["problem", "tool", "settings_by"]].drop_duplicates()),
        "seeds": f"{seeds.min()}" if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}",
        "versions": ", ".join(sorted(versions)),
        "several_processors": table.processor.nunique() > 1,
        "bare_records": not table.processor.str.contains(",").all(),
        "machine": processors(table),
        "dates": dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}",
        "commits": ", ".join(f"`{commit}`" for commit in sorted(table.commit.unique()) if commit),
    }


def processors(table: Frame) -> str:
    """Return the processor; if there are several, how many fits each had, and the tools that had no other."""
    fits = table.processor.value_counts()
    if len(fits) == 1:
        return str(fits.index[0])
    of_tool = table.groupby("tool").processor.agg(lambda some: ", ".join(some.unique()))
    parts = [f"{count} fit{'s' * (count > 1)} on {name}" for name, count in fits.items()]
    for i, name in enumerate(fits.index[1:], 1):
        if alone := list(of_tool.index[of_tool == name]):
            parts[i] += f", all of {' and '.join(alone)} among them"
    return "; ".join(parts)


def findings(middle: Frame, families: Mapping[str, str]) -> dict[str, Any]:
    """Return what the figures say: how `BEST` compares with the others, and where another tool is more accurate."""
    others = [tool for tool, family in families.items() if family != "runge"]
    compared = BEST in families and bool(others)
    against_others = middle[middle.index.isin([BEST, *others], level="tool")]
    rows: Frame = lost(against_others, BEST) if compared else pd.DataFrame()
    return {
        "advantages": advantages(middle, others) if compared else [],
        "tie": TIE,
        "round_off": ROUND_OFF,
        "families": grouped(middle.index.unique("problem")),
        "lost": [
            (plain(row.problem), row.quantity, row.first, number(row.error), number(row.own), factor(row.factor))
            for row in rows.itertuples()
        ],
    }


def advantages(middle: Frame, others: Sequence[str]) -> list[list[str]]:
    """Return the rows that compare `BEST` with the best other tool: on all problems, and on those not at round-off."""
    own = middle["value"].unstack("tool", sort=False)[BEST]
    unsolved = middle[middle.index.isin(own.index[own >= ROUND_OFF], level="problem")]
    rows = []
    for text, some in {"all": middle, "not at round-off": unsolved}.items():
        for quantity in QUANTITIES:
            found = advantage(some, BEST, others, quantity)
            families = f"{len(found.factors)} ({found.problems})"
            rows.append([text, quantity, families, *map(str, found.counts), with_interval(found.median)])
    return rows


def grouped(problems: Sequence[str]) -> list[str]:
    """Return the families of several problems, each with its problems."""
    members: dict[str, list[str]] = {}
    for problem in problems:
        if problem in FAMILIES:
            members.setdefault(FAMILIES[problem], []).append(plain(problem))
    return [f"{family} ({', '.join(some)})" for family, some in members.items()]


def with_interval(ratio: Factor) -> str:
    """Return a factor with its interval, if it has one.

    Example:
        >>> with_interval(Factor(5.1, 2.3, 8900.0)), with_interval(Factor(2.0))
        ('5.1 (2.3 to 8900)', '2.0')
    """
    middle, low, high = map(rounded, ratio)
    return middle if low == "-" else f"{middle} ({low} to {high})"


def standing_rows(middle: Frame) -> list[list[str]]:
    """Return the rows of the table of tools."""
    return [
        [
            row.Index,
            tools.TOOLS[row.Index].family,
            str(row.problems - row.fails),
            *(rounded(ratio) for ratio in (row.factor_value, row.factor_derivative)),
            seconds(row.seconds),
        ]
        for row in standings(middle).itertuples()
    ]


def rounded(ratio: float) -> str:
    """Return a factor with two digits."""
    if not np.isfinite(ratio) or ratio < 1 or ratio >= 1e4:
        return factor(ratio)
    return f"{ratio:.1f}" if ratio < 9.95 else f"{float(f'{ratio:.2g}'):.0f}"


def field(
    name: str, members: Sequence[str], problems: Mapping[str, tables.Entry], table: Frame, views: Views
) -> dict[str, Any]:
    """Return the values of a field: its problems, their errors in tables, the details of each, and failures."""
    middle, default = (view[view.index.isin(members, level="problem")] for view in views)
    present = [tool for tool in tools.TOOLS if tool in middle.index.get_level_values("tool")]
    failed = table[table.problem.isin(members) & (table.failure != "")]
    causes = failed.assign(failure=failed.failure.map(cause)).groupby(["tool", "failure"], sort=False)
    failures = causes[["problem", "settings_by"]].agg(pd.Series.unique)
    return {
        "name": name,
        "problems": [describe(problem, problems[problem]) for problem in members],
        "tables": {quantity: error_tables(middle, members, present, quantity) for quantity in QUANTITIES},
        "details": [
            detail(problem, tool, middle, default)
            for problem in members
            for tool in present
            if (problem, tool) in middle.index
        ],
        "failures": [
            (*row.Index, ", ".join(map(plain, row.problem)), " and ".join(sorted(row.settings_by)))
            for row in failures.itertuples()
        ],
    }


def error_tables(middle: Frame, members: Sequence[str], present: Sequence[str], quantity: str) -> list[dict[str, Any]]:
    """Return the errors in tables of a few problems each: a row for each tool, the smallest errors bold."""
    smallest = middle[quantity].groupby("problem").min()

    def cell(problem: str, tool: str) -> str:
        if (problem, tool) not in middle.index:
            return ""
        row = middle.loc[(problem, tool)]
        text = error(row, quantity)
        return f"**{text}**" if row[quantity] == smallest[problem] and np.isfinite(row[quantity]) else text

    groups = [members[i : i + COLUMNS] for i in range(0, len(members), COLUMNS)]
    return [
        {
            "columns": [plain(problem) for problem in group],
            "rows": [[tool, *(cell(problem, tool) for problem in group)] for tool in present],
        }
        for group in groups
    ]


def detail(problem: str, tool: str, middle: Frame, default: Frame) -> list[str]:
    """Return the row of a problem and a tool: seeds, worst errors, seconds, settings, and errors by default."""
    row = middle.loc[(problem, tool)]
    settings = ", ".join(f"{key}={value}" for key, value in json.loads(row.settings or "{}").items())
    worst = [error(row, quantity, "worst_") if row.seeds > 1 else "" for quantity in QUANTITIES]
    texts = [plain(problem), tool, f"{row.seeds}", *worst, seconds(row.seconds), settings or "defaults"]
    if row.settings_by != "validation" or (problem, tool) not in default.index:
        return [*texts, "", "", ""]
    by_default = default.loc[(problem, tool)]
    return [*texts, *(error(by_default, quantity) for quantity in QUANTITIES), seconds(by_default.seconds)]


def describe(name: str, entry: tables.Entry) -> str:
    """Return a problem's inputs, outputs, rows and source in a line."""
    rows, _ = entry.rows(0)
    (count, inputs), outputs, valued = rows.x.shape, rows.y.shape[1], int(np.isfinite(rows.y).any(axis=1).sum())
    few = f", of which {valued} with the value" if valued < count else ""
    inputs, outputs = (f"{n} {word}{'s' if n > 1 else ''}" for n, word in ((inputs, "input"), (outputs, "output")))
    source = re.sub(r"https?://\S*\w", r"<\g<0>>", entry.source)
    return f"**{plain(name)}**: {inputs}, {outputs}, {count} rows{few} ({source})"


def error(row: Any, quantity: str, prefix: str = "") -> str:
    """Return an error, or a word for why there is none."""
    return word(row.failure) if np.isinf(row[f"{prefix}value"]) else number(row[prefix + quantity])


def write_page() -> Path:
    """Write the part of `docs/benchmarks.md` and the page of the figures, and return the path of the first."""
    from catalogue import CATALOGUE  # late: it computes what some problems need

    write_pages(pages(FIGURES, CATALOGUE))
    return DOCS / "benchmarks.md"
