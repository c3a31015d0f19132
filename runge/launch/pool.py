"""Worker processes: tasks out, reports and results in; a worker that dies takes no other task with it."""

import logging
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, NamedTuple, Self, cast

from runge import machine
from runge.errors import ConfigurationError, RunError, describe, is_out_of_memory
from runge.machine import interrupt_on_sigterm

Report = Callable[[Any], object]


class Task(NamedTuple):
    """What a worker is to do.

    Attributes:
        argument: what the function is called with.
        size: how much there is to do, in what is reported.
    """

    argument: Any
    size: int = 0


class Result(NamedTuple):
    """What came out of a task.

    Attributes:
        task: its number.
        value: what the function returned, or the exception that it raised.
    """

    task: int
    value: Any


class InProcess:
    """This process as a pool of one.

    Args:
        function: as that of a `Pool`.
    """

    processes = 1

    def __init__(self, function: Callable[[Any, Report], Any]) -> None:
        self._function = function

    def __enter__(self) -> Self:
        """Nothing."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing."""

    def run(self, tasks: Sequence[Task], report: Report) -> Iterator[Result]:
        """Do all tasks, one after the other, as `Pool.run`."""
        for number, task in enumerate(tasks):
            try:
                value = self._function(task.argument, report)
            except Exception as error:
                value = error
            yield Result(number, value)


class Pool:
    """Processes that call one function.

    Args:
        function: called with a task's argument and with a function that takes reports. It must be importable.
        processes: how many.
        preload: modules that all of them need; they are loaded once, while this process does other things.
    """

    def __init__(self, function: Callable[[Any, Report], Any], processes: int, preload: Sequence[str]) -> None:
        method = "forkserver" if sys.platform == "linux" else "spawn"
        self._context: Any = multiprocessing.get_context(method)
        self._function, self.processes = function, processes
        if method == "forkserver":
            from multiprocessing.forkserver import ensure_running

            self._context.set_forkserver_preload(list(preload))
            ensure_running()
        self._workers: dict[Connection, Any] = {}

    def __enter__(self) -> Self:
        """Nothing: workers are made where there is something to do."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let the workers end; where this is for an error, ask them to end what they are doing."""
        for connection, process in self._workers.items():
            with suppress(OSError):
                if error is not None:
                    process.terminate()
                connection.send(None)
        for connection, process in self._workers.items():
            while process.is_alive():  # and what it has to say must be taken from it
                with suppress(EOFError, OSError):
                    if connection.poll(0.05):
                        connection.recv()
                process.join(0.01)

    def run(self, tasks: Sequence[Task], report: Report) -> Iterator[Result]:
        """Do all tasks, the first ones first.

        Args:
            tasks: the tasks.
            report: is called with what the function reports.

        Yields:
            The results, as they come.
        """
        waiting, doing = dict(enumerate(tasks)), dict[Connection, int]()
        while waiting or doing:
            while waiting and len(doing) < self.processes:
                connection, number = self._idle(doing), next(iter(waiting))
                doing[connection] = number
                with suppress(OSError):  # it has died; so the next look at it will say
                    connection.send(waiting.pop(number).argument)
            for connection in wait(list(doing)):
                connection = cast(Connection, connection)
                try:
                    what, value = connection.recv()
                except (EOFError, OSError):
                    process = self._workers.pop(connection)
                    process.join()
                    yield Result(doing.pop(connection), RunError(_death(process.exitcode)))
                    continue
                if what == "report":
                    report(value)
                else:
                    yield Result(doing.pop(connection), value)

    def _idle(self, doing: dict[Connection, int]) -> Connection:
        for connection, process in list(self._workers.items()):
            if connection not in doing:
                if process.is_alive():
                    return connection
                del self._workers[connection]
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self._function), daemon=True)
        process.start()
        theirs.close()
        self._workers[ours] = process
        return ours


def _death(code: int) -> str:
    """What there is to say of a process that has ended by itself."""
    if code >= 0:
        return f"its process died with exit code {code}"
    why = ", as the system does where memory runs out" if -code == getattr(signal, "SIGKILL", None) else ""
    return f"its process was killed by {signal.Signals(-code).name}{why}"


def _work(connection: Connection, function: Callable[[Any, Report], Any]) -> None:
    logging.raiseExceptions = False  # as in the commanding process
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # Ctrl-C is for the process that commands, which hands it on
    machine.limit_threads(1)

    def report(value: Any) -> None:
        try:
            connection.send(("report", value))
        except OSError:  # nobody is there any more: end as if asked to
            os.kill(os.getpid(), signal.SIGTERM)

    interrupt_on_sigterm()
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while (argument := connection.recv()) is not None:
            try:
                value = attempt(function, argument, report)
            except SystemExit as end:
                value = RunError(str(end.code).removeprefix("error: "))
            connection.send(("result", value))


def attempt(function: Callable[[Any, Report], Any], argument: Any, report: Report) -> Any:
    """What a function returns, or an error that can travel to another process."""
    try:
        return function(argument, report)
    except (ConfigurationError, RunError) as error:
        return error
    except Exception as error:
        if not isinstance(error, OSError) and not is_out_of_memory(error):
            traceback.print_exc()
        return RunError(describe(error))
