"""The page of the table, `docs/benchmarks.md`: text and pictures from the figures of its cells and checks."""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import tables
import tools
from cell import SECONDS
from checks import CHECKS
from ranking import BEST, NEAR, QUANTITIES, Frame, chosen, factors, lost, medians, near, read, standings, within
from table_pictures import of_checks, of_factors, of_ranks, of_seconds, png
from texts import cause, factor, number, plain, seconds, word

from runge.records.files import write

FIGURES = Path(__file__).parent / "figures"
DOCS = Path(__file__).parents[2] / "docs"
BUDGETS = 3, 30, SECONDS  # seconds
COLUMNS = 4  # problems of a table, which fit the width of the page
LEARNT = "tensor_exp", "tensor_cos", "tensor_tanh", "branin", "rastrigin", "cantilever_beam", "robot_arm"
"""The problems on which the candidates of `BEST` were learnt, with other points, when it was measured."""

Views = tuple[Frame, Frame]
"""The medians of the chosen settings, and of the defaults."""


def page(figures: Path, problems: Mapping[str, tables.Entry]) -> tuple[str, dict[str, bytes]]:
    """Write the page of the problems and tools that have figures.

    Args:
        figures: the folder of `table.csv`, and of `conformance.csv` if there is one.
        problems: the problems, in their order on the page.

    Returns:
        The page as Markdown, and its pictures as PNG by their names.

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
    names = [name for members in fields.values() for name in members]
    present = set(middle.index.get_level_values("tool"))
    families = {tool: entry.family for tool, entry in tools.TOOLS.items() if tool in present}
    pictures = {"ranks": of_ranks(middle, families)}
    for quantity in QUANTITIES:
        pictures[f"factors_{quantity}"] = of_factors(middle, list(fields.values()), quantity)
        pictures[f"seconds_{quantity}"] = of_seconds((middle, default), names, families, quantity)
    if not (checks := conformance(figures / "conformance.csv")).empty:
        words = checks.word.unstack("check")
        pictures["checks"] = of_checks(words.loc[checks.index.unique("tool"), [one for one in CHECKS if one in words]])
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    options: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True, "keep_trailing_newline": True}
    # Without autoescape, because the page is Markdown; texts of tools are shown as code.
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, **options)
    text = environment.get_template("table_page.md.jinja").render(
        **about(table, middle),
        **findings(middle, default, families, fields),
        standings=standing_rows(middle),
        fields=[field(name, members, problems, table, (middle, default)) for name, members in fields.items()],
        checked=not checks.empty,
        checks_known=len(checks),
        checks_all=len(tools.TOOLS) * len(CHECKS),
        not_held=not_held(checks),
        limit=SECONDS,
        near_factor=NEAR,
    )
    return text, {name: png(picture) for name, picture in pictures.items()}


def about(table: Frame, middle: Frame) -> dict[str, Any]:
    """Return what was measured: numbers of tools, problems, seeds and fits; machines, dates and commits."""
    dates, seeds = sorted(table.date.unique()), middle.seeds
    packages = table.tool.map({tool: entry.package for tool, entry in tools.TOOLS.items()})
    versions = (packages + " " + table.version)[table.version != ""].unique()
    counts = {"tools": table.tool.nunique(), "problems": table.problem.nunique(), "fits": len(table)}
    return {
        "counts": counts,
        "figures": counts["problems"] * sum(1 + (tools.TOOLS[tool].family != "runge") for tool in table.tool.unique()),
        "known": len(table[["problem", "tool", "settings_by"]].drop_duplicates()),
        "seeds": f"{seeds.min()}" if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}",
        "versions": ", ".join(sorted(versions)),
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


def findings(
    middle: Frame, default: Frame, families: Mapping[str, str], fields: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Return what the figures say: where `BEST` is first and where not, and who is first by field and by time."""
    rows: Frame = lost(middle, BEST) if BEST in families else pd.DataFrame()
    others = middle[~middle.index.isin(LEARNT, level="problem")]
    return {
        "near": {q: near(middle, BEST, q) for q in QUANTITIES} if BEST in families else None,
        "near_others": {q: near(others, BEST, q) for q in QUANTITIES}
        if BEST in families and 0 < len(others) < len(middle)
        else None,
        "learnt": list(map(plain, LEARNT)),
        "lost": [
            (plain(row.problem), row.quantity, row.first, number(row.error), number(row.own), factor(row.factor))
            for row in rows.itertuples()
        ],
        "by_field": [(name, len(members), *leaders(middle.loc[members])) for name, members in fields.items()],
        "by_time": [(budget, *leaders(within(budget, middle, default))) for budget in BUDGETS],
        "price": price(middle, families),
        "gain": gain(default, middle) if {BEST, "runge"} <= families.keys() else None,
    }


def leaders(middle: Frame) -> list[str]:
    """Return the four tools with the most first places, by value and by derivative, with their counts."""
    found = []
    for quantity in QUANTITIES:
        first = (
            (factors(middle, quantity) == 1).sum().sort_values(ascending=False, kind="stable") if len(middle) else {}
        )
        found.append(", ".join(f"{tool} {count}" for tool, count in list(first.items())[:4] if count) or "-")
    return found


def price(middle: Frame, families: Mapping[str, str]) -> str | None:
    """Return the median factor between the best errors of the value without and with derivatives; None without both."""
    errors = middle["value"].unstack("tool").T.groupby(dict(families)).min().T
    if "without derivatives" not in errors or len(errors.columns) < 2:
        return None
    return factor((errors.pop("without derivatives") / errors.min(axis=1)).median())


def gain(default: Frame, middle: Frame) -> tuple[str, ...]:
    """Return the median factors between the errors of runge's default and its search, and the seconds of both."""
    ours, best = (view.xs(tool, level="tool") for view, tool in ((default, "runge"), (middle, BEST)))
    ratios = (factor((ours[quantity] / best[quantity]).median()) for quantity in QUANTITIES)
    return (*ratios, *(f"{one.seconds.median():.0f}" for one in (ours, best)))


def standing_rows(middle: Frame) -> list[list[str]]:
    """Return the rows of the table of ranks, with pairs of value and derivative."""
    return [
        [
            row.Index,
            *(str(count) for count in (row.problems, row.fails)),
            f"{row.first_value} / {row.first_derivative}",
            f"{row.rank_value:.1f} / {row.rank_derivative:.1f}",
            f"{factor(row.factor_value)} / {factor(row.factor_derivative)}",
            seconds(row.seconds),
        ]
        for row in standings(middle).itertuples()
    ]


def field(
    name: str, members: Sequence[str], problems: Mapping[str, tables.Entry], table: Frame, views: Views
) -> dict[str, Any]:
    """Return the section of a field: its problems, their errors in tables, the details of each, and failures."""
    middle, default = (view[view.index.isin(members, level="problem")] for view in views)
    present = [tool for tool in tools.TOOLS if tool in middle.index.get_level_values("tool")]
    smallest = middle[[*QUANTITIES]].groupby("problem").transform("min")
    cells = {index: errors(row, smallest.loc[index]) for index, row in middle.iterrows()}
    details = []
    for problem, tool in ((problem, tool) for problem in members for tool in present if (problem, tool) in cells):
        row = middle.loc[(problem, tool)]
        settings = ", ".join(f"{key}={value}" for key, value in json.loads(row.settings or "{}").items())
        texts = [f"{row.seeds}", errors(row), worst(row), seconds(row.seconds), settings or "defaults"]
        if row.settings_by == "validation" and (problem, tool) in default.index:
            texts += [errors(default.loc[(problem, tool)]), seconds(default.loc[(problem, tool)].seconds)]
        details.append([plain(problem), tool, *texts, *[""] * (7 - len(texts))])
    failed = table[table.problem.isin(members) & (table.failure != "")]
    causes = failed.assign(failure=failed.failure.map(cause)).groupby(["tool", "failure"], sort=False)
    failures = causes[["problem", "settings_by"]].agg(pd.Series.unique)
    groups = [members[i : i + COLUMNS] for i in range(0, len(members), COLUMNS)]
    return {
        "name": name,
        "problems": [describe(problem, problems[problem]) for problem in members],
        "tables": [
            {
                "columns": [plain(problem) for problem in group],
                "rows": [[tool, *(cells.get((problem, tool), "") for problem in group)] for tool in present],
            }
            for group in groups
        ],
        "details": details,
        "failures": [
            (*one.Index, ", ".join(map(plain, one.problem)), " and ".join(sorted(one.settings_by)))
            for one in failures.itertuples()
        ],
    }


def describe(name: str, entry: tables.Entry) -> str:
    """Return a problem's inputs, outputs, rows and source in a line."""
    rows, _ = entry.rows(0)
    (count, inputs), outputs, valued = rows.x.shape, rows.y.shape[1], int(np.isfinite(rows.y).any(axis=1).sum())
    few = f", of which {valued} with the value" if valued < count else ""
    inputs, outputs = (f"{n} {word}{'s' if n > 1 else ''}" for n, word in ((inputs, "input"), (outputs, "output")))
    source = re.sub(r"https?://\S*\w", r"<\g<0>>", entry.source)
    return f"**{plain(name)}**: {inputs}, {outputs}, {count} rows{few} ({source})"


def conformance(path: Path) -> Frame:
    """Return the findings of the checks, by tool and check in the order of both; none without a file."""
    if not path.is_file():
        return pd.DataFrame()
    found = pd.read_csv(path, dtype=str, keep_default_na=False).set_index(["tool", "check"])
    return found.loc[[pair for pair in product(tools.TOOLS, CHECKS) if pair in found.index]]


def not_held(found: Frame) -> list[tuple[str, ...]]:
    """Return the checks that do not hold: tool, check, word, and the figure and the text."""
    if found.empty:
        return []
    some = found[~found.word.isin(["holds", "has none"])]
    return [(*row.Index, row.word, ": ".join(filter(None, (row.figure, row.text)))) for row in some.itertuples()]


def errors(row: Any, smallest: Any = None) -> str:
    """Return the errors of value and derivative, the smallest of a problem bold; or a word for why there are none."""
    if np.isinf(row["value"]):
        return word(row.failure)
    bold = [smallest is not None and row[quantity] == smallest[quantity] for quantity in QUANTITIES]
    texts = (number(row[quantity]) for quantity in QUANTITIES)
    return " / ".join(f"**{text}**" if best else text for text, best in zip(texts, bold, strict=True))


def worst(row: Any) -> str:
    """Return the worst errors of the seeds, if there are several."""
    if row.seeds == 1 or np.isinf(row["value"]):
        return ""
    if np.isinf(row["worst_value"]):
        return word(row.failure)
    return " / ".join(number(row[f"worst_{quantity}"]) for quantity in QUANTITIES)


def write_page() -> Path:
    """Write `docs/benchmarks.md` and its pictures from the figures, and return its path."""
    from catalogue import CATALOGUE  # late: it computes what some problems need

    text, pictures = page(FIGURES, CATALOGUE)
    for name, picture in pictures.items():
        write(DOCS / "images" / f"benchmarks_{name}.png", picture)
    write(DOCS / "benchmarks.md", text)
    return DOCS / "benchmarks.md"
