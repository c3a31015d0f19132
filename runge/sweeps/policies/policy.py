"""The interface of all policies: which runs of a sweep come next, given those that have ended."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from typing import Any, ClassVar

from runge.sweeps.journal import Batch, EndedRun, Journal

__all__ = ["Policy", "Rounds"]

Rounds = Generator[Batch, Sequence[EndedRun], None]
"""The batches of a policy, each of which is answered by its runs."""


class Policy(ABC):
    """A policy, made of the command of a sweep.

    Attributes:
        compares: false skips the comparison at the end.
        adaptive: its batches follow from the results of those before, so that a sweep that was killed repeats the
            decisions of its journal; otherwise its runs are begun again as far as they have not finished.

    Raises:
        ConfigurationError: a setting or an override is not allowed.
    """

    adaptive: ClassVar[bool] = True
    compares: bool

    def description(self) -> Mapping[str, Any]:
        """Return what must not change while a sweep is resumed, by the keys that messages name; nothing by default."""
        return {}

    @abstractmethod
    def propose(self, journal: Journal) -> Rounds:
        """Yield batches of runs until there are none; the runs of each are sent back."""
