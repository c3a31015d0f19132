"""The journal of a sweep: its batches of runs, their results, and when they ended."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from runge.configuration.errors import ConfigurationError, DivergedError, RunError, describe
from runge.records.directories import JOURNAL
from runge.records.files import public, read_json, without_secrets, write

if TYPE_CHECKING:
    from runge.training.member import Value

__all__ = ["Batch", "EndedRun", "Journal"]


class Batch(NamedTuple):
    """Runs that are trained together.

    Attributes:
        jobs: the overrides of each.
    """

    jobs: Sequence[Sequence[str]]


class EndedRun(NamedTuple):
    """A run that has ended.

    Attributes:
        number: its number in the sweep, which names its directory.
        overrides: its overrides.
        value: the value of its objective, or the error with which it ended.
    """

    number: int
    overrides: Sequence[str]
    value: "Value | Exception"


class Journal:
    """The file `journal.json` of a sweep's directory.

    A batch is in it before it begins. If a sweep is repeated after a kill, the batches that had ended give the results
    and the time that they gave before, so that a policy takes the same decisions. The time from the end of the last
    batch to a kill is not counted.

    Args:
        directory: the sweep's directory.
        description: what must not change while the sweep is resumed, by the keys that messages name.
        adaptive: whether the batches follow from the results, so that their results are read again.
        began: the time of the beginning, as `time.monotonic`.

    Attributes:
        seconds: the seconds from the beginning of the sweep to the end of the last batch.
        first: the number of the first run of the next batch.

    Raises:
        ConfigurationError: the directory holds another sweep, or the file is damaged.
    """

    def __init__(self, directory: Path, description: Mapping[str, Any], adaptive: bool, began: float) -> None:
        self._directory, self._file = directory, directory / JOURNAL
        self._content: dict[str, Any] = {**json.loads(json.dumps(without_secrets(description))), "batches": []}
        self._next, self.first, self._jobs = 0, 0, ()
        self.seconds, self._since = 0.0, began
        if self._file.exists():
            begun = read_json(self._file, most=2**28)
            if not (isinstance(begun.get("batches"), list) and all(map(_is_batch, begun["batches"]))):
                raise ConfigurationError(f"{self._file} is damaged (it must have a list of batches)")
            if adaptive:
                self._check(begun)
                self._content = begun
            elif begun.keys() > self._content.keys():
                raise ConfigurationError(f"hydra.sweep.dir: {self._file} is of a search; choose another directory")

    @property
    def elapsed(self) -> float:
        """The seconds of the sweep so far. Policies decide by `seconds`, which a resumed sweep has again."""
        return self.seconds + time.monotonic() - self._since

    def keep(self, key: str, value: Any) -> Any:
        """Return what the journal has under a key, which is the value when the sweep begins."""
        return self._content.setdefault(key, value)

    def replay(self, batch: Batch) -> Sequence[EndedRun] | None:
        """Return the runs of a batch that has ended before, or None: it is now in the journal, and has to be trained.

        Raises:
            ConfigurationError: the sweep was begun with another batch.
        """
        jobs, batches = [public(job) for job in batch.jobs], self._content["batches"]
        if self._next == len(batches):
            batches.append({"jobs": jobs, "seconds": None, "results": []})
        recorded, self._jobs = batches[self._next], batch.jobs
        # The last batch of a search has more or fewer trials if its command has.
        begun, last = recorded["jobs"], self._next + 1 == len(batches)
        if begun[: len(jobs)] != jobs[: len(begun)] or (not last and len(jobs) > len(begun)):
            raise ConfigurationError(f"hydra.sweep.dir: {self._file} holds another sweep; choose another directory")
        if recorded["seconds"] is None or len(jobs) > len(begun):
            batches[self._next] = {"jobs": jobs, "seconds": None, "results": []}
            self.write()
            return None
        return self._advance(recorded)

    def end(self, values: Sequence[Any]) -> Sequence[EndedRun]:
        """Write the values, or the errors, of the batch that has been trained; return its runs."""
        recorded = self._content["batches"][self._next]
        recorded |= {"seconds": self.elapsed, "results": [_plain(value) for value in values]}
        self.write()
        # The errors themselves, because a message has no traceback.
        return [run._replace(value=value) for run, value in zip(self._advance(recorded), values, strict=True)]

    def forget(self) -> None:
        """Let a sweep that is repeated train the last batch again, because its failure says nothing about its runs."""
        self._content["batches"][self._next - 1] |= {"seconds": None, "results": []}
        self.write()

    def _check(self, begun: Mapping[str, Any]) -> None:
        """Refuse to resume a sweep whose description differs."""
        for key, value in self._content.items():
            if key != "batches" and begun.get(key) != value:
                rule = f"must be as when the search in {str(self._directory)!r} began, {json.dumps(begun.get(key))}"
                how = "give its command again, or another hydra.sweep.dir"
                raise ConfigurationError(f"{key}: {rule}; got {json.dumps(value)}; {how}")

    def _advance(self, recorded: Mapping[str, Any]) -> Sequence[EndedRun]:
        first = self.first
        self._next, self.first = self._next + 1, first + len(recorded["jobs"])
        self.seconds, self._since = recorded["seconds"], time.monotonic()
        pairs = zip(self._jobs, recorded["results"], strict=False)  # a command with more runs had more results
        return [EndedRun(number, job, _value(result)) for number, (job, result) in enumerate(pairs, first)]

    def write(self) -> None:
        """Write the file."""
        write(self._file, json.dumps(self._content, indent=1) + "\n")


def _is_batch(batch: Any) -> bool:
    """Return whether a part of the file is a batch that has begun or ended."""
    if not (isinstance(batch, dict) and {"jobs", "seconds", "results"} <= batch.keys()):
        return False
    jobs, results = batch["jobs"], batch["results"]
    if not (isinstance(jobs, list) and isinstance(results, list)):
        return False
    return batch["seconds"] is None or (isinstance(batch["seconds"], int | float) and len(jobs) == len(results))


def _plain(value: Any) -> Any:
    """Return the value of an objective, or an error, as plain data."""
    if isinstance(value, Exception):
        return {"diverged" if isinstance(value, DivergedError) else "failed": describe(value)}
    return list(value) if isinstance(value, tuple) else value


def _value(result: Any) -> Any:
    """Return the value or the error of `_plain`."""
    if isinstance(result, dict):
        ((kind, message),) = result.items()
        return DivergedError(message) if kind == "diverged" else RunError(message)
    return tuple(result) if isinstance(result, list) else result
