"""The rounds of a race: batches of runs within a time limit, and looks at the clock, which a killed race repeats."""

import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from runge.errors import ConfigurationError
from runge.launch.jobs import Launch
from runge.machine import interruption
from runge.records.checkpoints import STACKS
from runge.records.directories import RunDirectory
from runge.records.files import read_json, write


class Rounds:
    """The journal of a race, the file `race.json` of a sweep's directory: its rounds, and its looks at the clock.

    A round is in it before it begins. If the race is repeated after a kill, looks return what they did, and the runs of
    rounds that had ended are not trained again, nor are those that the end of the time has cut off: it takes the same
    decisions. The time from the last entry to a kill is not counted.

    Args:
        directory: the sweep's directory.
        launch: trains runs, given their overrides and the number of the first.
        place: returns the directory of a run, by its overrides and its number.
        description: what must not change while the race is resumed, by the keys that messages name.

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
        self._content: dict[str, Any] = {**description, "looks": [], "rounds": []}
        if self._file.exists():
            begun = read_json(self._file)
            for key, value in description.items():
                if begun.get(key) != value:
                    rule = f"must be as when the race in {str(directory)!r} began, {json.dumps(begun.get(key))}"
                    how = "choose another hydra.sweep.dir for another race"
                    raise ConfigurationError(f"{key}: {rule}; got {json.dumps(value)}; {how}")
            if not all(isinstance(begun.get(key), list) for key in ("looks", "rounds")):
                raise ConfigurationError(f"{self._file} is damaged (it must have lists of looks and rounds)")
            self._content = begun
        self._looks, self._next, self._runs = 0, 0, 0
        self._seconds, self._since = 0.0, time.monotonic()

    @property
    def elapsed(self) -> float:
        """The seconds of the race so far. Decisions need `look`."""
        return self._seconds + time.monotonic() - self._since

    @property
    def begun(self) -> int:
        """The number of runs so far, which is that of the next one."""
        return self._runs

    def look(self) -> float:
        """Return the seconds of the race so far, as they were when the race took this look for the first time."""
        looks = self._content["looks"]
        if self._looks == len(looks):
            looks.append(self.elapsed)
            self._write()
        self._looks += 1
        self._set(looks[self._looks - 1])
        return self._seconds

    def train(self, jobs: Sequence[Sequence[str]], until: float) -> list[RunDirectory | None]:
        """Train runs until a time of the race in seconds; return the directory of each that finished.

        Raises:
            ConfigurationError: the race was begun with other rounds, or a run is not allowed.
            SystemExit, KeyboardInterrupt: the command was interrupted.
        """
        interruption.check()
        rounds, jobs = self._content["rounds"], [list(job) for job in jobs]
        if self._next == len(rounds):
            rounds.append({"runs": jobs, "seconds": None})
            self._write()
        own = rounds[self._next]
        if own["runs"] != jobs:
            raise ConfigurationError(f"hydra.sweep.dir: {self._file} holds another race; choose another directory")
        runs = [RunDirectory(self._place(job, number)) for number, job in enumerate(jobs, self._runs)]
        if own["seconds"] is None:
            interruption.deadline = time.monotonic() + until - self.elapsed
            try:
                if time.monotonic() < interruption.deadline:
                    self._launch(jobs, self._runs)
            except (SystemExit, KeyboardInterrupt):
                if interruption.received is not None or time.monotonic() < interruption.deadline:
                    raise
            finally:
                interruption.deadline = math.inf
            own["seconds"] = self.elapsed
            self._write()
        if own is rounds[-1]:  # also of a race that was killed before it had done this
            self._leave_out(runs)
        self._set(own["seconds"])
        self._next, self._runs = self._next + 1, self._runs + len(jobs)
        return [run if run.metrics.exists() else None for run in runs]

    def _leave_out(self, runs: Sequence[RunDirectory]) -> None:
        """Mark runs that the end of the time has cut off, and remove the states from which they would be resumed."""
        for run in runs:
            state = run.read_state()
            if state is not None and state.status in ("running", "interrupted") and not run.metrics.exists():
                run.write(replace(state, status="interrupted", message="the time of the race was over"))
            run.last.unlink(missing_ok=True)
        shutil.rmtree(self._file.parent / STACKS, ignore_errors=True)

    def _set(self, seconds: float) -> None:
        """Set the clock, which does not count the time of a race that has been killed."""
        self._seconds, self._since = seconds, time.monotonic()

    def _write(self) -> None:
        write(self._file, json.dumps(self._content, indent=1) + "\n")
