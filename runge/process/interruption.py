"""Handle requests to end this process by a signal, without losing one."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM)
"""The signals that ask a process to end."""


class Interruption(threading.local):
    """A request to end what the main thread does, by a signal, which is never lost.

    Python ignores a KeyboardInterrupt that is raised inside a weak reference's callback, and a library may turn it into
    an error of its own. So the first signal is only `received`, and loops look for it where nothing can swallow it.
    Code that does not look for `PATIENCE` seconds is interrupted again and again. A second signal interrupts at once.

    Attributes:
        received: the number of the signal; None: there was none.
    """

    PATIENCE = 3.0

    def __init__(self) -> None:
        self.received: int | None = None
        self._handlers, self._before = dict[int, Any](), dict[int, Any]()
        self._obeyed, self._insisting = threading.Event(), threading.Thread()

    @contextmanager
    def handled(self, *signals: int) -> Iterator[None]:
        """Handle signals; within another `handled`, and outside the main thread, change nothing.

        Args:
            *signals: which ones; none: SIGINT, because the other signals of a program that calls the package are its
                own.
        """
        if self._handlers or threading.current_thread() is not threading.main_thread():
            yield
            return
        # A handler that is not Python's is None, and could not be installed again.
        self._before = {one: handler for one in ENDING if (handler := signal.getsignal(one)) is not None}
        self._handlers = self._before | dict.fromkeys({*(signals or [signal.SIGINT])} & {*self._before}, self._handle)
        self._obeyed.clear()
        self.install()
        try:
            yield
        finally:
            self.obey()
            self._handlers = self._before
            self.install()
            self._handlers, self.received = {}, None

    def install(self) -> None:
        """Install the handlers again, also the program's own, where a library has installed others within `handled`."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: object) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
        if hasattr(signal, "pthread_kill"):  # there is none on Windows
            self._insisting = threading.Thread(target=_insist, args=(number, self._obeyed, self.PATIENCE), daemon=True)
            self._insisting.start()

    @property
    def owns_process(self) -> bool:
        """True if this process is a command or a worker, and not a program that calls the package."""
        return self._handlers.get(signal.SIGTERM) == self._handle

    @property
    def requested(self) -> bool:
        """True if a signal was received."""
        return self.received is not None

    def check(self) -> None:
        """Raise KeyboardInterrupt if it is requested."""
        if self.requested:
            raise KeyboardInterrupt

    def settle(self) -> None:
        """Obey, and forget the request, so that what is left can be written; another signal is a new request."""
        self.obey()
        self.received = None
        self._obeyed.clear()

    def obey(self) -> None:
        """Let the interrupted code end without further interrupts, except by another signal."""
        self._obeyed.set()
        if self._insisting.is_alive():
            with suppress(KeyboardInterrupt):  # the last one
                self._insisting.join()


def _insist(number: int, obeyed: threading.Event, seconds: float) -> None:
    """Repeat a signal to the main thread, each second, until it is obeyed.

    An alarm would need no thread, but belongs to the program that calls the package.
    """
    while not obeyed.wait(seconds):
        signal.pthread_kill(threading.main_thread().ident, number)  # pyright: ignore[reportArgumentType]
        seconds = 1.0


interruption = Interruption()
"""Signals belong to the whole process, so that there is one."""
