"""The table of a search, by whose rows its candidates are judged."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from runge.data.channels import Channels
from runge.data.rows import Rows
from runge.search.constants import (
    DECADES,
    FEW_ROWS,
    JUDGES,
    JUDGES_OF_FEW_ROWS,
    MOST_FOLDS,
    MOST_ROWS_OF_FOLD,
    ROWS_OF_FOLD,
    ROWS_OF_SINGLE_JUDGE,
)
from runge.training.member import Member

__all__ = ["SearchTable", "decades_of"]


def decades_of(rows: Rows) -> dict[str, float]:
    """Return the decades that each positive input spans, by its name."""
    columns = zip(rows.inputs, rows.x.T, strict=True)
    return {name: float(np.log10(x.max() / x.min())) for name, x in columns if x.min() > 0}


def _off_centre(x: NDArray[np.float64]) -> float:
    """Return the distance of the median from the middle of the range, over the range."""
    return abs(np.median(x) - (x.min() + x.max()) / 2) / np.ptp(x)


class SearchTable(NamedTuple):
    """A table, and what candidates are judged by.

    Attributes:
        rows: its rows.
        test: the numbers of those for the test.
        seen: the numbers of the others.
        channels: the sizes of values and derivatives, which make errors comparable.
    """

    rows: Rows
    test: NDArray[np.int64]
    seen: NDArray[np.int64]
    channels: Channels

    @classmethod
    def of(cls, member: Member) -> "SearchTable":
        """Return the table of a run."""
        assert member.rows is not None
        rows, split = member.rows, member.rows.split(member.data_seed.generator("data"))
        chosen = np.sort(np.concatenate(split[:2]))  # of a run with a part of the rows fewer than `seen`
        x, y, dydx = (array[chosen] for array in (rows.x, rows.y, rows.dydx))
        seen = np.setdiff1d(np.arange(len(rows.x)), split.test)
        return cls(rows, split.test, seen, Channels.of(x, y, dydx))

    @property
    def logarithmic(self) -> list[str]:
        """The inputs that span more than `DECADES` decades, and whose logarithms are spread more evenly than they."""
        x = dict(zip(self.rows.inputs, self.rows.x[self.seen].T, strict=True))
        wide = [name for name, decades in decades_of(self.rows).items() if decades > DECADES]
        return [name for name in wide if _off_centre(np.log(x[name])) < _off_centre(x[name])]

    def without(self, columns: NDArray[np.bool_]) -> "SearchTable":
        """Return the table without the labels of some columns of derivatives, (P, D).

        The error of the derivatives of an output is over the size of the others.
        """
        rows = replace(self.rows, dydx=np.where(columns, np.nan, self.rows.dydx))
        x, y, dydx = (array[self.seen] for array in (rows.x, rows.y, rows.dydx))
        return self._replace(rows=rows, channels=Channels.of(x, y, dydx))

    def count_folds(self) -> int:
        """Return how many folds the rows should have, unless the command has a number.

        A fold has about 100 rows, with at most ten folds. There are more only if each would have more than 1000 rows.
        Fewer than 50 rows have ten folds. In all cases there are at least the folds of the configuration, and at most
        `Rows.most_folds`.
        """
        rows = len(self.seen)
        most = MOST_FOLDS if rows < FEW_ROWS else rows // ROWS_OF_FOLD
        return min(self.rows.most_folds, max(self.rows.folds, min(MOST_FOLDS, most), rows // MOST_ROWS_OF_FOLD))

    def count_judges(self, folds: int) -> int:
        """Return how many of the folds judge the candidates."""
        rows = len(self.seen)
        if rows >= folds * ROWS_OF_SINGLE_JUDGE:
            return 1
        return min(folds, JUDGES_OF_FEW_ROWS if rows < FEW_ROWS else JUDGES)
