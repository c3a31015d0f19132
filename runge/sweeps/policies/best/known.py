"""The table of a search, by whose rows its candidates are judged."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from runge.data.channels import Channels
from runge.data.rows import Rows
from runge.training.member import Member

__all__ = ["Known"]


class Known(NamedTuple):
    """A table, and what candidates are judged by.

    Attributes:
        rows: its rows.
        test: the numbers of those for the test.
        channels: the sizes of values and derivatives, which make errors comparable.
    """

    rows: Rows
    test: NDArray[np.int64]
    channels: Channels

    @classmethod
    def of(cls, member: Member) -> "Known":
        """Return the table of a run."""
        assert member.rows is not None
        rows, split = member.rows, member.rows.split(member.data_seed.generator("data"))
        chosen = np.sort(np.concatenate(split[:2]))  # of a run with a part of the rows fewer than `seen`
        x, y, dydx = (array[chosen] for array in (rows.x, rows.y, rows.dydx))
        return cls(rows, split.test, Channels.of(x, y, dydx))

    @property
    def without_values_alone(self) -> str:
        """Why a fit of the values alone would not be a separate candidate; empty if it is one."""
        if not self.channels.slope.any():
            return "no derivatives are known, so it would equal the candidate with derivatives"
        return "" if self.channels.value.any() else "no two values of an output are known that differ"

    @property
    def labels_of_row(self) -> int:
        """The number of labels of a row: the values and the partial derivatives."""
        return len(self.rows.outputs) * (1 + len(self.rows.inputs))

    @property
    def seen(self) -> NDArray[np.int64]:
        """The numbers of the rows that are not for the test."""
        return np.setdiff1d(np.arange(len(self.rows.x)), self.test)
