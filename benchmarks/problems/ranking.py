"""Medians, ranks and factors of the tools of the table, from the figures of its cells."""

from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from factors import Factor, median

Frame = Any
"""A pandas DataFrame; checkers of types cannot follow its columns."""

QUANTITIES = "value", "derivative"
BEST = "runge fit"
"""The tool whose settings are chosen by validation though it is given none."""


FAMILIES = {
    **dict.fromkeys(("exp_product", "tensor_exp", "tensor_tanh", "tensor_cos"), "products"),
    **dict.fromkeys(("pendulum_energy", "lotka_volterra", "henon_heiles", "double_pendulum"), "Hamiltonians"),
    **dict.fromkeys(("reactor_64", "reactor_256"), "reactors"),
    **dict.fromkeys(("basket_7", "basket_20"), "baskets"),
}
"""Problems of one kind, which count once in a summary; every other problem is a family of its own."""

TIE = 1.25
"""The factor up to which two errors count as equal."""


class Advantage(NamedTuple):
    """The errors of others over those of a tool, over the families of problems.

    Attributes:
        problems: the number of problems that can be compared.
        factors: of each family, the geometric mean over its problems.
        median: the median of these factors.
    """

    problems: int
    factors: tuple[float, ...]
    median: Factor

    @property
    def counts(self) -> tuple[int, int, int]:
        """The families in which the tool is more accurate, equally accurate within `TIE`, and less accurate."""
        better, worse = (sum(one > TIE for one in some) for some in (self.factors, [1 / one for one in self.factors]))
        return better, len(self.factors) - better - worse, worse


def advantage(middle: Frame, tool: str, others: Any, quantity: str) -> Advantage:
    """Compare a tool with the best of some others, on the problems that both fit."""
    errors = middle[quantity].unstack("tool", sort=False)
    over = errors[list(others)].min(axis=1) / errors[tool]
    over = over[np.isfinite(over) & (over > 0)]
    factors = by_family(over)
    return Advantage(len(over), tuple(factors), median(factors))


def by_family(over: Frame) -> Frame:
    """Return the geometric means over the problems of each family."""
    return np.exp(np.log(over).groupby(lambda problem: FAMILIES.get(problem, problem), sort=False).mean())


def read(path: Path) -> Frame:
    """Read the figures of the cells; the error of a failed fit, or of a tool without derivatives, is infinite.

    Raises:
        ValueError: there are none.
    """
    if not path.is_file():
        raise ValueError(f"{path}: must exist; without --page it is measured")
    numbers = *QUANTITIES, "seconds", "predict_seconds"
    kinds: Any = defaultdict(lambda: str, dict.fromkeys(numbers, float) | {"seed": int})
    missing = {name: ["", "nan"] for name in numbers}
    table = pd.read_csv(path, keep_default_na=False, na_values=missing, dtype=kinds)
    return table.fillna(dict.fromkeys(QUANTITIES, np.inf))


def chosen(table: Frame) -> Frame:
    """Return one fit for each problem, tool and seed: by validation, or by default if that is missing or failed.

    A seed without a fit by validation is left out if the tool has one with another seed: its median would otherwise be
    of settings by validation and by default.
    """
    tried, cell = table.settings_by == "validation", ["problem", "tool", "seed"]
    of_seed, of_any = (tried.groupby([table[key] for key in keys]).transform("any") for keys in (cell, cell[:2]))
    table = table[of_seed | ~of_any]
    order = 2 * (table.failure != "") + (table.settings_by == "default")
    return table.loc[order.sort_values(kind="stable").index].drop_duplicates(cell)


def medians(fits: Frame) -> Frame:
    """Return the medians by problem and tool, over the seeds that all tools of the problem have which have them at all.

    So a seed of which a problem is not complete yet does not count, and a tool that was never measured with a seed has
    the medians of the others.

    Args:
        fits: one fit for each problem, tool and seed.

    Returns:
        The columns value, derivative and seconds; worst_value and worst_derivative; seeds, their number; failure, the
        text of one, if one failed; settings, the most frequent, and settings_by.
    """
    of_problem, of_seed = (fits.groupby(key).tool.agg(set) for key in ("problem", "seed"))
    cells = fits.groupby(["problem", "seed"]).tool.agg(set)
    complete = [
        (problem, seed) for (problem, seed), some in cells.items() if some >= of_problem[problem] & of_seed[seed]
    ]
    common = fits[pd.MultiIndex.from_frame(fits[["problem", "seed"]]).isin(complete)]
    groups = common.groupby(["problem", "tool"], sort=False)
    worst = groups[[*QUANTITIES]].max().add_prefix("worst_")
    texts = groups.agg({"failure": "max", "settings_by": "max", "settings": lambda texts: texts.mode()[0]})
    return groups[[*QUANTITIES, "seconds"]].median().join([worst, groups.size().rename("seeds"), texts])


def factors(middle: Frame, quantity: str) -> Frame:
    """Return errors over the smallest one of their problem: a row per problem, a column per tool, NaN: not fitted."""
    errors = middle[quantity].unstack("tool", sort=False)
    return errors.div(errors.min(axis=1), axis=0).where(np.isfinite(errors), errors)


def ranks(middle: Frame, quantity: str) -> Frame:
    """Return ranks within each problem, from 1; equal errors share the mean of their ranks, infinite ones the last."""
    return middle[quantity].unstack("tool", sort=False).rank(axis=1)


def common(middle: Frame) -> list[str]:
    """Return the problems that all tools fit."""
    errors = middle["value"].unstack("tool", sort=False)
    return list(errors.index[np.isfinite(errors).all(axis=1)])


def standings(middle: Frame) -> Frame:
    """Return a row per tool, the smallest sum of mean ranks first.

    The columns are the number of its problems; by value and by derivative the mean rank (rank_), and over the problems
    that all tools fit the median of the factor over the smallest error (factor_), by family; the number of problems
    that fail; the median seconds.
    """
    columns, shared = {}, middle[middle.index.isin(common(middle), level="problem")]
    for quantity in QUANTITIES:
        over, rank = by_family(factors(shared, quantity)), ranks(middle, quantity)
        columns |= {f"rank_{quantity}": rank.mean(), f"factor_{quantity}": over.median()}
    tools = middle.groupby("tool", sort=False)
    columns |= {"problems": tools.size(), "seconds": tools.seconds.median()}
    columns |= {"fails": tools["value"].agg(lambda errors: np.isinf(errors).sum())}
    table = pd.DataFrame(columns)
    return table.loc[(table.rank_value + table.rank_derivative).sort_values(kind="stable").index]


def lost(middle: Frame, tool: str) -> Frame:
    """Return where another tool is more accurate: problem, quantity, first, its error, the own error, the factor."""
    rows = []
    for quantity in QUANTITIES:
        errors, over = middle[quantity].unstack("tool", sort=False), factors(middle, quantity)
        for problem in over.index[over[tool] > TIE]:
            first, row = over.loc[problem].idxmin(), errors.loc[problem]
            rows.append((problem, quantity, first, row[first], row[tool], over.loc[problem, tool]))
    table = pd.DataFrame(rows, columns=["problem", "quantity", "first", "error", "own", "factor"])
    return table.sort_values("factor", ascending=False, kind="stable")
