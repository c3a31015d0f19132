"""Tasks in processes of their own: arguments go in, reports and results come out; one that dies affects no other."""

import atexit
import gc
import importlib
import logging
import math
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from runge import machine
from runge.configuration.errors import ConfigurationError, RunError, describe, is_out_of_memory
from runge.interruption import ENDING, interruption

Report = Callable[[Any], object]
Task = Callable[[Report], Any]

_SECONDS_BETWEEN_LOOKS = 0.2

LOADED = "runge.sweeps.worker", "runge.training.train", "pandas"
"""The modules that a server loads once for all processes."""

Server = tuple[subprocess.Popen[bytes], Connection]

_server: Server | None = None


def start_loading() -> Server | None:
    """Return the server of the processes, which begins to load their modules; None: there is none on this system.

    The server of `multiprocessing` would be that of the program that calls the package, too. Further calls return the
    same server.
    """
    global _server
    if sys.platform != "linux":
        return None
    if _server is None:
        ours, theirs = multiprocessing.Pipe()
        # With -P the working directory is not on the import path. Signals to the whole group of processes, such as
        # Ctrl-C, concern the commanding process alone, which passes them on.
        serving = f"from runge.sweeps.processes import serve; serve({theirs.fileno()})"
        words, path = [sys.executable, "-P", "-c", serving], {"PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen(words, pass_fds=[theirs.fileno()], env=os.environ | path, process_group=0)
        theirs.close()
        _server = process, ours
    return _server


@atexit.register
def stop_loading() -> None:
    """End the server; processes that it has started end as if the command had been killed."""
    global _server
    if _server:
        process, connection = _server
        process.kill()
        process.wait()
        connection.close()
    _server = None


def serve(file: int) -> None:
    """Do the tasks that a host sends to an open file, in processes forked from this one, until the host has ended."""
    host = Connection(file)
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # until a process lets them through, after the fork
    for module in LOADED:
        importlib.import_module(module)
    context = multiprocessing.get_context("fork")

    def look() -> None:
        if host.poll():
            interruption.deadline = -math.inf if host.recv() else math.inf
            raise KeyboardInterrupt

    with suppress(EOFError, OSError):
        while True:
            while isinstance(batch := host.recv(), bool):  # a request to end that came too late
                pass
            directory, *work = batch
            os.chdir(directory)
            results = _run(context, lambda value: host.send(("report", value)), look, *work)
            with suppress(KeyboardInterrupt):
                for result in results:
                    host.send(("result", result))
            interruption.deadline = math.inf
            host.send(("end", None))


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
    work = [pickle.dumps(task) for task in tasks], processes, threads
    if (server := start_loading()) is None:
        yield from _run(multiprocessing.get_context("spawn"), report, interruption.check, *work)
        return
    (process, connection), kind, left = server, "", {*range(len(tasks))}
    try:
        connection.send((os.getcwd(), *work))
        while kind not in ("end", "death"):
            if connection.poll(_SECONDS_BETWEEN_LOOKS):
                kind, value = _receive(connection)
                if kind == "report":
                    report(value)
                elif kind == "result":
                    left.remove(value[0])
                    yield value
            interruption.check()
    finally:
        interruption.obey()
        with suppress(OSError):
            if kind not in ("end", "death"):
                connection.send(interruption.time_is_over)
        while kind not in ("end", "death"):
            kind, _ = _receive(connection)
        if kind == "death":
            stop_loading()
    for number in left:
        yield number, RunError(_death(process.wait()))


def _run(
    context: Any, report: Report, look: Callable[[], object], tasks: Sequence[bytes], processes: int, threads: int
) -> Generator[tuple[int, Any], None, None]:
    """Do pickled tasks as `run_tasks`; `look` is called often, and raises an error if they are to be ended."""
    waiting, busy = list(enumerate(tasks)), dict[Any, tuple[int, Any]]()
    try:
        while waiting or busy:
            while waiting and len(busy) < processes:
                number, task = waiting.pop(0)
                reader, writer = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(writer, task, threads), daemon=True)
                busy[reader] = number, process
                _start(process)
                writer.close()
            for connection in wait(list(busy), _SECONDS_BETWEEN_LOOKS):
                kind, value = _receive(connection)
                if kind == "report":
                    report(value)
                else:
                    number, process = busy.pop(connection)
                    process.join()
                    yield number, value if kind == "result" else RunError(_death(process.exitcode))
            look()
    finally:
        interruption.obey()
        over = interruption.time_is_over  # then nothing of them is kept
        for _, process in busy.values():
            process.kill() if over else process.terminate()
        for connection, (_, process) in busy.items():
            while process.is_alive():  # it cannot end before its messages are read
                if connection.poll(0.05):
                    _receive(connection)
                process.join(0.01)


def _receive(connection: Any) -> tuple[str, Any]:
    try:
        return connection.recv()
    except (EOFError, OSError):
        return "death", None


def _start(process: Any) -> None:
    """Start a process without the main script, whose call of `runge.sweep` at its top level would be repeated."""
    main = vars(sys.modules["__main__"])
    hidden = {name: main[name] for name in ("__spec__", "__file__") if name in main}
    main.update(dict.fromkeys(hidden))
    try:
        process.start()
    finally:
        main.update(hidden)


def _death(code: int) -> str:
    if code >= 0:
        return f"its process died with exit code {code}"
    name = signal.Signals(-code).name
    why = ", as the system does when memory runs out" if name == "SIGKILL" else ""
    return f"its process was killed by {name}{why}"


def _work(connection: Connection, task: bytes, threads: int) -> None:
    logging.raiseExceptions = False  # as in the commanding process
    gc.freeze()  # what has been loaded stays
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
            value = attempt(lambda report: pickle.loads(task)(report), lambda value: send("report", value))
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
