"""What does not change in a search: its time, its processors, and the sizes of its table."""

from collections.abc import Set as AbstractSet
from typing import NamedTuple

from runge.search.candidates import Candidate
from runge.search.constants import (
    CROSSED_FOLDS,
    FEW_ROWS,
    LEAST_LABELS,
    LEAST_ROW_GROWTH,
    LEAST_ROWS_OF_INPUT,
    REPORT_SECONDS,
    REPORT_SHARE,
)
from runge.training.member import weights_of

__all__ = ["Conditions"]


class Conditions(NamedTuple):
    """What does not change in a search.

    Attributes:
        timeout: its time limit in seconds.
        cores: how many trials are trained at a time.
        seeds: how many networks, which differ in their seed, the answer has at most.
        folds: the number of folds of the rows; 0: a formula.
        judges: how many of them judge candidates.
        rows: the rows that are not for the test; 0: a formula.
        all_rows: the rows of the table.
        inputs: the inputs of a table.
        outputs: its outputs.
        labels: the labels that each of its rows has.
        may_separate: whether each output can have a network of its own.
        fixed: the keys that the command sets.
    """

    timeout: float
    cores: int
    seeds: int
    folds: int = 0
    judges: int = 1
    rows: int = 0
    all_rows: int = 0
    inputs: int = 1
    outputs: int = 1
    labels: int = 1
    may_separate: bool = False
    fixed: AbstractSet[str] = frozenset()

    @property
    def of_table(self) -> bool:
        """Whether the candidates are fitted to a table, and not to a formula."""
        return self.rows > 0

    @property
    def training_rows(self) -> int:
        """The number of rows on which a trial that leaves out a fold is trained."""
        return self.rows - -(-self.rows // self.folds) if self.of_table else 0

    def weights_of(self, candidate: Candidate) -> int:
        """Return how many weights a candidate fits; of networks for each output, those of one."""
        return weights_of(candidate.settings, self.inputs, 1 if candidate.separate else self.outputs)

    def first_rows(self, candidate: Candidate) -> float:
        """Return the rows with which a candidate begins, if there are more."""
        labels = self.labels / (self.outputs if candidate.separate else 1)
        return max(self.weights_of(candidate) / labels, LEAST_LABELS / labels, LEAST_ROWS_OF_INPUT * self.inputs)

    @property
    def most_share(self) -> float:
        """The share of the rows above which a trial has all of them."""
        return self.training_rows / LEAST_ROW_GROWTH / max(self.all_rows, 1)

    @property
    def crossed(self) -> int:
        """The number of folds that networks of the winner leave out, to calibrate intervals and to question labels."""
        return self.folds if self.training_rows < FEW_ROWS else min(self.folds, CROSSED_FOLDS)

    @property
    def end(self) -> float:
        """The time at which training ends, in seconds from the beginning; the rest is for the report."""
        return self.timeout - min(REPORT_SECONDS, REPORT_SHARE * self.timeout)
