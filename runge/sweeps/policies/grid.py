"""The policy of `search=none`: every combination of the values in the command."""

from collections.abc import Sequence
from typing import ClassVar

from runge.composing.command import SweepCommand
from runge.composing.jobs import make_jobs
from runge.configuration.objects import build
from runge.configuration.validation import Count, checked
from runge.sweeps.cross_validation import folds
from runge.sweeps.journal import Batch, EndedRun, Journal
from runge.sweeps.launch import check_jobs
from runge.sweeps.policies.policy import Policy, Rounds

__all__ = ["Grid", "GridSettings"]


@checked
class GridSettings:
    """The section `search` of `search=none`.

    Attributes:
        batch: the most runs that are launched at a time, >= 1; None: all of them.
        compare: false: do not compare the runs at the end, and write no report.
    """

    batch: Count | None
    compare: bool


class Grid(Policy):
    """All combinations of the values in a command."""

    adaptive: ClassVar[bool] = False

    def __init__(self, command: SweepCommand) -> None:
        self._command, self._settings = command, build("search", command.search_settings, GridSettings)
        self.compares, self._runs = self._settings.compare, command.runs()

    def propose(self, journal: Journal) -> Rounds:
        """Yield all runs, and raise the error of the first one that has failed."""
        command = self._command
        runs = [[*run, *fold] for run in self._runs for fold in self._folds(run)]
        size = self._settings.batch or len(runs)
        batches = {first: runs[first : first + size] for first in range(0, len(runs), size)}
        if not command.processes or len(batches) > 1:  # else they are checked in the launcher's processes
            for first, batch in batches.items():
                check_jobs(make_jobs(command, batch, first))
        runs = list[EndedRun]()
        for batch in batches.values():
            runs += yield Batch(batch)
        for run in runs:
            if isinstance(run.value, Exception):
                raise run.value

    def _folds(self, run: Sequence[str]) -> list[list[str]]:
        """Return the overrides of a run's folds; only a run that chooses data, and may have some, is composed twice."""
        chooses_data = any(override.lstrip("+").startswith(("data", "experiment")) for override in run)
        return folds(self._command.data_of(run)) if chooses_data else [[]]
