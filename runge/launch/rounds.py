"""The rounds of a race: batches of runs within a time limit, which a killed race repeats."""

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn

from runge.errors import ConfigurationError
from runge.machine import interruption
from runge.records.directories import RunDirectory
from runge.records.files import read_json, write

log = logging.getLogger(__name__)

Launch = Callable[[Sequence[Sequence[str]], int], Sequence[JobReturn]]


class Rounds:
    """The rounds of a race, kept in the file `race.json` of a sweep's directory, in which each stands before it begins.

    The runs of a round that had ended are not trained again, nor are those that the end of the time has left out, so
    that a race that was killed takes the same decisions. The time until a kill in the middle of a round is not counted.

    Args:
        directory: the sweep's directory.
        launch: trains runs, given their overrides and the number of the first.
        place: returns the directory of a run, by its overrides and its number.
        description: what must not change while the race is resumed.

    Raises:
        ConfigurationError: the directory holds another race, or the file is damaged.
    """

    def __init__(
        self,
        directory: Path,
        launch: Launch,
        place: Callable[[Sequence[str], int], Path],
        description: Mapping[str, Any],
    ) -> None:
        self._file, self._launch, self._place = directory / "race.json", launch, place
        self._content: dict[str, Any] = {**description, "rounds": []}
        if self._file.exists():
            begun = read_json(self._file)
            for key, value in description.items():
                if begun.get(key) != value:
                    rule = f"must be as when the race in {str(directory)!r} began, {json.dumps(begun.get(key))}"
                    raise ConfigurationError(
                        f"{key}: {rule}; got {json.dumps(value)}; or choose another hydra.sweep.dir"
                    )
            self._content = begun
        self._next, self._runs = 0, 0
        self._seconds, self._since = 0.0, time.monotonic()

    @property
    def elapsed(self) -> float:
        """The seconds of the race so far."""
        return self._seconds + time.monotonic() - self._since

    @property
    def begun(self) -> int:
        """The number of runs so far, which is that of the next one."""
        return self._runs

    def train(self, jobs: Sequence[Sequence[str]], until: float) -> list[tuple[int, RunDirectory] | None]:
        """Train runs until a time of the race in seconds; return the number and directory of each that finished.

        Raises:
            ConfigurationError: the race was begun with other rounds, or a run is not allowed.
            SystemExit: the command was interrupted.
        """
        rounds, jobs = self._content["rounds"], [list(job) for job in jobs]
        if self._next == len(rounds):
            rounds.append({"runs": jobs, "seconds": None})
            self._write()
        own = rounds[self._next]
        if own["runs"] != jobs:
            raise ConfigurationError(f"hydra.sweep.dir: {self._file} holds another race; choose another directory")
        if own["seconds"] is None:
            interruption.deadline = time.monotonic() + max(0.0, until - self.elapsed)
            try:
                self._launch(jobs, self._runs)
            except (SystemExit, KeyboardInterrupt):
                if interruption.received is not None:
                    raise
            finally:
                interruption.deadline = float("inf")
            own["seconds"] = self.elapsed
            self._write()
        else:
            self._seconds, self._since = own["seconds"], time.monotonic()
        runs = [(number, RunDirectory(self._place(job, number))) for number, job in enumerate(jobs, self._runs)]
        self._next, self._runs = self._next + 1, self._runs + len(jobs)
        return [run if run[1].metrics.exists() else None for run in runs]

    def _write(self) -> None:
        write(self._file, json.dumps(self._content, indent=1) + "\n")
