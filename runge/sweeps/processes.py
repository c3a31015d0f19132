"""Tasks in processes of their own: arguments go in, reports and results come out; one that dies affects no other."""

import gc
import logging
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from runge.configuration.errors import ConfigurationError, RunError, describe, is_out_of_memory
from runge.process import machine
from runge.process.interruption import ENDING, interruption

Report = Callable[[Any], object]
Task = Callable[[Report], Any]

SECONDS_BETWEEN_LOOKS = 0.2


def start_loading() -> Any:
    """Return the class of the processes. On Linux begin to load their modules, once for all, in a server.

    Further calls do nothing.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn").Process
    from runge.sweeps import fork_server

    fork_server.start()
    return fork_server.Process


def run_tasks(
    tasks: Sequence[Task], report: Report, processes: int, threads: int = 1
) -> Generator[tuple[int, Any], None, None]:
    """Do tasks, in their order, each in a process of its own with some threads, or all in this one if `processes` is 1.

    The pools of the standard library end all of their processes when one dies. Tasks can be pickled; they are called
    with a function that takes what is passed on to `report`. If the command is interrupted, they are first ended.

    Yields:
        The number of a task, and what it returned or an error; as they arrive.
    """
    if processes == 1:
        for number, task in enumerate(tasks):
            yield number, attempt(task, report)
        return
    make_process, waiting = start_loading(), list(enumerate(tasks))
    busy = dict[Any, tuple[int, Any]]()
    try:
        while waiting or busy:
            while waiting and len(busy) < processes:
                number, task = waiting.pop(0)
                reader, writer = multiprocessing.Pipe(duplex=False)
                process = make_process(target=work, args=(writer, task, threads), daemon=True)
                busy[reader] = number, process
                process.start()
                writer.close()
            for connection in wait(list(busy), SECONDS_BETWEEN_LOOKS):
                kind, value = receive(connection)
                if kind == "report":
                    report(value)
                else:
                    number, process = busy.pop(connection)
                    process.join()
                    yield number, value if kind == "result" else RunError(death(process.exitcode))
            interruption.check()
    finally:
        interruption.obey()
        for _, process in busy.values():
            process.terminate()
        for connection, (_, process) in busy.items():
            while process.is_alive():  # it cannot end before its messages are read
                if connection.poll(0.05):
                    receive(connection)
                process.join(0.01)


def receive(connection: Any) -> tuple[str, Any]:
    """Return a message of a process, its kind and its value; the kind is `death` if the process has ended."""
    try:
        return connection.recv()
    except (EOFError, OSError):
        return "death", None


def death(code: int) -> str:
    """Return how a process has died, given its exit code."""
    if code >= 0:
        return f"its process died with exit code {code}"
    name = signal.Signals(-code).name
    why = ", as the system does when memory runs out" if name == "SIGKILL" else ""
    return f"its process was killed by {name}{why}"


def work(connection: Connection, task: Task, threads: int) -> None:
    """Do a task in a process of its own, send its reports and its result, and end with the commanding process."""
    logging.raiseExceptions = False  # as in the commanding process
    gc.freeze()  # what the server has loaded stays
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # Ctrl-C reaches the commanding process alone, which passes it on
    machine.limit_threads(threads)

    def send(kind: str, value: Any) -> None:
        with suppress(OSError):  # the commanding process is gone
            connection.send((kind, value))

    def end_with_parent() -> None:
        """Wait for the end of the commanding process, then ask this one to save a checkpoint and end."""
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    with suppress(KeyboardInterrupt), interruption.handled(*ENDING):
        threading.Thread(target=end_with_parent, daemon=True).start()
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        try:
            value = attempt(task, lambda value: send("report", value))
        except SystemExit as end:
            value = RunError(str(end.code).removeprefix("error: "))
        send("result", value)


def attempt(task: Task, report: Report) -> Any:
    """Return what a task returns, or an error that can be sent to another process."""
    try:
        return task(report)
    except (ConfigurationError, RunError) as error:
        return error
    except Exception as error:
        if not isinstance(error, OSError) and not is_out_of_memory(error):
            traceback.print_exc()
        return RunError(describe(error))
