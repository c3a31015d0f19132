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
from runge.sweeps.processes import Report, attempt, death, receive, start_loading, work

__all__ = ["TIME_OVER", "Workers"]

TIME_OVER = "its time was over"
"""The message of a trial that was ended because it took longer than its time."""

_SECONDS_BETWEEN_LOOKS = 0.2


class _Worker(NamedTuple):
    process: Any
    inbox: Connection
    outbox: Connection


class _Call(NamedTuple):
    """A piece of work that is under way: its worker, and when it is ended, as `time.monotonic`."""

    worker: _Worker
    until: float


class Workers:
    """Some processes, or this one if there is one, which do trials and publications.

    Args:
        count: how many.
        rows: the rows of the table; None: a formula.
    """

    def __init__(self, count: int, rows: Rows | None) -> None:
        self.count, self._rows = count, rows
        self._idle, self._busy = list[_Worker](), dict[int, _Call]()
        self._here = dict[int, Trial | Publication]()

    @property
    def busy(self) -> int:
        """The number of pieces of work that have not ended."""
        return len(self._busy) + len(self._here)

    def submit(self, number: int, call: Trial | Publication, until: float) -> None:
        """Begin a piece of work, which is ended at a time, as `time.monotonic`."""
        if self.count == 1:
            self._here[number] = call
            return
        worker = self._idle.pop() if self._idle else self._start()
        with suppress(OSError):  # the process has died, as `wait` will say
            worker.inbox.send_bytes(pickle.dumps(call))
        self._busy[number] = _Call(worker, until)

    def wait(self) -> dict[int, Any]:
        """Wait for a moment, and return the results that have arrived, or errors, by their numbers."""
        if self._here:
            number, call = self._here.popitem()
            return {number: attempt(partial(_do, call, self._rows), id)}
        ended = dict[int, Any]()
        numbers: dict[Any, int] = {call.worker.outbox: number for number, call in self._busy.items()}
        for outbox in wait(list(numbers), _SECONDS_BETWEEN_LOOKS):
            number, (kind, value) = numbers[outbox], receive(outbox)
            worker = self._busy.pop(number).worker
            if kind == "report":
                ended[number] = pickle.loads(value)  # of a process of this command
                self._idle.append(worker)
            else:
                worker.process.join()
                ended[number] = RunError(death(worker.process.exitcode))
        for number in [number for number, call in self._busy.items() if time.monotonic() > call.until]:
            self._busy.pop(number).worker.process.kill()
            ended[number] = RunError(TIME_OVER)
        return ended

    def end_calls(self) -> None:
        """End all work that is under way."""
        for call in self._busy.values():
            call.worker.process.kill()
        self._busy.clear()
        self._here.clear()

    def __enter__(self) -> "Workers":
        """Start the processes, which begin to load what they need."""
        self._idle = [self._start() for _ in range(self.count if self.count > 1 else 0)]
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes."""
        interruption.obey()
        self.end_calls()
        for worker in self._idle:
            worker.process.kill()
        for worker in self._idle:
            worker.process.join()

    def _start(self) -> _Worker:
        make_process = start_loading()
        theirs, inbox = multiprocessing.Pipe(duplex=False)
        outbox, writer = multiprocessing.Pipe(duplex=False)
        process = make_process(target=work, args=(writer, partial(_serve, theirs, self._rows), 1), daemon=True)
        process.start()
        theirs.close()
        writer.close()
        return _Worker(process, inbox, outbox)


def _serve(inbox: Connection, rows: Rows | None, report: Report) -> None:
    """Do one piece of work after another, until the commanding process ends."""
    with suppress(EOFError):
        while True:
            call = pickle.loads(inbox.recv_bytes())  # of the commanding process
            report(pickle.dumps(attempt(partial(_do, call, rows), id)))


def _do(call: Trial | Publication, rows: Rows | None, _report: Report) -> Any:
    from runge.search.tasks import publish, train_trial  # late: the commanding process does not load Lightning

    return train_trial(call, rows) if isinstance(call, Trial) else publish(call, rows)
