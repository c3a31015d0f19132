"""Processes that keep the rows and the loaded libraries, and do one piece of a search's work after another."""

import multiprocessing
import pickle
import time
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from runge.configuration.errors import RunError
from runge.data.rows import Rows
from runge.process.interruption import interruption
from runge.search.results import Publication, Trial
from runge.sweeps.processes import SECONDS_BETWEEN_LOOKS, Report, attempt, death, receive, start_loading, work

__all__ = ["TIME_OVER", "Workers"]

TIME_OVER = "its time was over"
"""The message of a trial that was ended because it took longer than its time."""


class _Worker(NamedTuple):
    process: Any
    connection: Connection


class Workers:
    """Some processes, or this one if there is one, which do trials and publications.

    Args:
        count: how many.
        rows: the rows of the table; None: a formula.
    """

    def __init__(self, count: int, rows: Rows | None) -> None:
        self.count, self._rows = count, rows
        # Of a busy one, the time at which its work is ended, as `time.monotonic`.
        self._idle, self._busy = list[_Worker](), dict[int, tuple[_Worker, float]]()
        self._waiting = dict[int, tuple[Trial | Publication, float]]()

    @property
    def busy(self) -> int:
        """The number of pieces of work that have not ended."""
        return len(self._busy) + len(self._waiting)

    def submit(self, number: int, call: Trial | Publication, until: float) -> None:
        """Add a piece of work, which begins as soon as a process is free, and is ended at a time, `time.monotonic`."""
        self._waiting[number] = call, until

    def wait(self) -> dict[int, Any]:
        """Begin what can begin, wait for a moment, and return the results that have arrived, or errors, by numbers."""
        ended = dict[int, Any]()
        while self._waiting and len(self._busy) < self.count:
            number = next(iter(self._waiting))
            call, until = self._waiting.pop(number)
            if self.count == 1:
                return {number: attempt(partial(_do, call, self._rows), id)}
            worker = self._idle.pop() if self._idle else self._start()
            with suppress(OSError):  # the process has died, as will be said
                worker.connection.send_bytes(pickle.dumps(call))
            self._busy[number] = worker, until
        numbers: dict[Any, int] = {worker.connection: number for number, (worker, _) in self._busy.items()}
        for connection in wait(list(numbers), SECONDS_BETWEEN_LOOKS):
            number, (kind, value) = numbers[connection], receive(connection)
            worker, _ = self._busy.pop(number)
            if kind == "report":
                ended[number] = pickle.loads(value)  # of a process of this command
                self._idle.append(worker)
            else:
                worker.process.join()
                ended[number] = RunError(death(worker.process.exitcode))
        for number in [number for number, (_, until) in self._busy.items() if time.monotonic() > until]:
            self._busy.pop(number)[0].process.kill()
            ended[number] = RunError(TIME_OVER)
        return ended

    def end_calls(self) -> None:
        """End all work that is under way."""
        for worker, _ in self._busy.values():
            worker.process.kill()
        self._busy.clear()
        self._waiting.clear()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes."""
        interruption.obey()
        self.end_calls()
        for worker in self._idle:
            worker.process.kill()
            worker.process.join()

    def _start(self) -> _Worker:
        make_process, (ours, theirs) = start_loading(), multiprocessing.Pipe()
        process = make_process(target=work, args=(theirs, partial(_serve, theirs, self._rows), 1), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)


def _serve(connection: Connection, rows: Rows | None, report: Report) -> None:
    """Do one piece of work after another, until the commanding process ends."""
    with suppress(EOFError, OSError):
        while True:
            call = pickle.loads(connection.recv_bytes())  # of the commanding process
            report(pickle.dumps(attempt(partial(_do, call, rows), id)))


def _do(call: Trial | Publication, rows: Rows | None, _report: Report) -> Any:
    from runge.search.tasks import publish, train_trial  # late: the commanding process does not load Lightning

    return train_trial(call, rows) if isinstance(call, Trial) else publish(call, rows)
