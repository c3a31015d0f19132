"""Processes forked from a server that has loaded what they need: the package's own, beside that of the program."""

import io
import os
import signal
from multiprocessing import forkserver, popen_forkserver, process, reduction, resource_tracker, spawn
from multiprocessing.context import set_spawning_popen
from multiprocessing.util import Finalize

from runge.process.interruption import ENDING

__all__ = ["Process", "start"]

_LOADED = ["runge.sweeps.worker", "runge.search.tasks", "runge.training.train", "pandas"]

_server = forkserver.ForkServer()
_server.set_forkserver_preload(_LOADED)


def start() -> None:
    """Start the server, which begins to load its modules; further calls do nothing.

    Signals to the whole group of processes, such as Ctrl-C, concern the commanding process alone, which passes them on.
    The server and its children inherit the mask; the system keeps signals until a child lets them through. The server
    begins with `python -c`, for which Python would put the working directory first on the import path.
    """
    is_given = bool(os.environ.get("PYTHONSAFEPATH"))
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        resource_tracker.ensure_running()  # it would let the signals through again
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            _server.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    finally:
        if not is_given:
            del os.environ["PYTHONSAFEPATH"]


class _Popen(popen_forkserver.Popen):
    """The start of a process as in the standard library, except for the server and the main script.

    The main script is not run again: a call of `runge.sweep` at its top level would be repeated.
    """

    _fds: list[int]

    def _launch(self, process_obj: process.BaseProcess) -> None:
        data, file = spawn.get_preparation_data(process_obj.name), io.BytesIO()
        for key in ("init_main_from_name", "init_main_from_path"):
            data.pop(key, None)
        set_spawning_popen(self)
        try:
            reduction.dump(data, file)
            reduction.dump(process_obj, file)
        finally:
            set_spawning_popen(None)
        self.sentinel, written = _server.connect_to_new_process(self._fds)
        open_files = os.dup(written), self.sentinel  # the end of the first tells the process of the end of this one
        self.finalizer = Finalize(self, lambda: [os.close(file) for file in open_files])
        with open(written, "wb") as pipe:
            pipe.write(file.getbuffer())
        self.pid = forkserver.read_signed(self.sentinel)


class Process(process.BaseProcess):
    """A process that is forked from the server."""

    _start_method = "forkserver"

    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> _Popen:  # noqa: N802
        return _Popen(process_obj)
