"""The problems of the table, by name."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from fresh import FRESH
from functions import FUNCTIONS, Function
from functions import problem as sampled
from tables import Rows


class Entry(NamedTuple):
    """A problem of the table.

    Attributes:
        field: the field that it is from.
        rows: a function of the seed that returns the rows that a tool may see, and those of the test.
        source: where it is from, and its published figures.
    """

    field: str
    rows: Callable[[int], tuple[Rows, Rows]]
    source: str


def of_function(function: Function, seed: int) -> tuple[Rows, Rows]:
    """Return the points of a function; a tool that needs rows for validation takes them from its own."""
    parts = sampled(function, seed)
    return parts.known(), parts.test


CATALOGUE = {
    name: Entry("test functions", partial(of_function, function), "smt.problems, https://smt.readthedocs.io")
    for name, function in (FUNCTIONS | {"kink": FRESH["ridge"]}).items()
}
