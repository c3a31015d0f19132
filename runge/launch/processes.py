"""Worker processes: arguments go in, reports and results come out; a worker that dies affects no other task."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Any, cast

from runge import machine
from runge.errors import ConfigurationError, RunError, describe, is_out_of_memory

Report = Callable[[Any], object]

_ENDING = (signal.SIGINT, signal.SIGTERM)
_PATIENCE = 5.0
"""Seconds after which a worker that is to end is asked again: a library may have lost the interruption."""


class InProcess(AbstractContextManager["InProcess"]):
    """This process as a pool of one; it calls a function as `Pool` does."""

    processes = 1

    def __init__(self, function: Callable[[Any, Report], Any]) -> None:
        self._function = function

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, arguments: Sequence[Any], report: Report) -> Iterator[tuple[int, Any]]:
        """Call the function with one argument after the other, as `Pool.run`."""
        for number, argument in enumerate(arguments):
            try:
                value = self._function(argument, report)
            except Exception as error:
                value = error
            yield number, value


def start_loading() -> Any:
    """Return the context of workers. On Linux begin to load their modules, once for all of them, in another process.

    Further calls do nothing.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    from multiprocessing import resource_tracker
    from multiprocessing.forkserver import ensure_running

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["runge.launch.preload"])
    resource_tracker.ensure_running()  # it would let the signals through again
    # Signals to the whole group of processes, such as Ctrl-C, concern the commanding process alone, which passes
    # them on. The server and its children inherit the mask; the system keeps signals for a worker until it lets them
    # through.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


class Pool(AbstractContextManager["Pool"]):
    """Processes that call one function.

    Args:
        function: called with an argument and with a function that takes reports; it must be importable.
        processes: their number.
    """

    def __init__(self, function: Callable[[Any, Report], Any], processes: int) -> None:
        self._function, self.processes = function, processes
        self._workers: dict[Connection, Any] = {}
        self._context = start_loading()

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> None:
        for connection, process in self._workers.items():
            with suppress(OSError):
                if error is not None:
                    process.terminate()
                connection.send(None)
        asked = time.monotonic()
        for connection, process in self._workers.items():
            while process.is_alive():  # it cannot end before its messages are read
                if error is not None and time.monotonic() - asked > _PATIENCE:
                    asked = time.monotonic()
                    for other in self._workers.values():
                        other.terminate()
                with suppress(EOFError, OSError):
                    if connection.poll(0.05):
                        connection.recv()
                process.join(0.01)

    def run(self, arguments: Sequence[Any], report: Report) -> Iterator[tuple[int, Any]]:
        """Call the function with all arguments, in their order.

        Args:
            arguments: one for each task.
            report: called with what the function reports.

        Yields:
            The number of a task, and what the function returned or the exception that it raised; as they arrive.
        """
        waiting, busy = dict(enumerate(arguments)), dict[Connection, int]()
        while waiting or busy:
            while waiting and len(busy) < self.processes:
                connection, number = self._idle(busy), next(iter(waiting))
                busy[connection] = number
                with suppress(OSError):  # the worker has died, which recv will report
                    connection.send(waiting.pop(number))
            for connection in wait(list(busy)):
                connection = cast(Connection, connection)
                try:
                    kind, value = connection.recv()
                except (EOFError, OSError):
                    process = self._workers.pop(connection)
                    process.join()
                    kind, value = "result", RunError(_death(process.exitcode))
                if kind == "report":
                    report(value)
                else:
                    yield busy.pop(connection), value

    def _idle(self, busy: dict[Connection, int]) -> Connection:
        for connection, process in list(self._workers.items()):
            if connection not in busy:
                if process.is_alive():
                    return connection
                del self._workers[connection]
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self._function), daemon=True)
        with _without_main():
            process.start()
        theirs.close()
        self._workers[ours] = process
        return ours


@contextmanager
def _without_main() -> Iterator[None]:
    """Keep a worker from importing the main script: one that calls `runge.sweep` at its top level would do so again."""
    main = vars(sys.modules["__main__"])
    hidden = {name: main[name] for name in ("__spec__", "__file__") if name in main}
    try:
        main.update(dict.fromkeys(hidden))
        yield
    finally:
        main.update(hidden)


def _death(code: int) -> str:
    if code >= 0:
        return f"its process died with exit code {code}"
    why = ", as the system does when memory runs out" if -code == getattr(signal, "SIGKILL", None) else ""
    return f"its process was killed by {signal.Signals(-code).name}{why}"


def _work(connection: Connection, function: Callable[[Any, Report], Any]) -> None:
    logging.raiseExceptions = False  # as in the commanding process
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # Ctrl-C reaches the commanding process alone, which passes it on
    machine.limit_threads(1)

    def report(value: Any) -> None:
        with suppress(OSError):  # the commanding process is gone
            connection.send(("report", value))

    with suppress(EOFError, OSError, KeyboardInterrupt), machine.interruption.handled():
        try:
            threading.Thread(target=_end_with_parent, daemon=True).start()
            if hasattr(signal, "pthread_sigmask"):
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
            while (argument := connection.recv()) is not None:
                try:
                    value = attempt(function, argument, report)
                except SystemExit as end:
                    value = RunError(str(end.code).removeprefix("error: "))
                connection.send(("result", value))
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is ending already


def _end_with_parent() -> None:
    """Wait for the end of the commanding process, then ask this one to save a checkpoint and end, until it does."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    while True:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_PATIENCE)


def attempt(function: Callable[[Any, Report], Any], argument: Any, report: Report) -> Any:
    """Return what a function returns, or an error that can be sent to another process."""
    try:
        return function(argument, report)
    except (ConfigurationError, RunError) as error:
        return error
    except Exception as error:
        if not isinstance(error, OSError) and not is_out_of_memory(error):
            traceback.print_exc()
        return RunError(describe(error))
