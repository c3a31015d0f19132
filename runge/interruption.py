"""Handle requests to end this process, by a signal or at a deadline, without losing one."""

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

ENDING = (signal.SIGINT, signal.SIGTERM)
"""The signals that ask a process to end."""

_ALARM: signal.Signals | None = getattr(signal, "SIGALRM", None)  # there is none on Windows
_HANDLED = (*ENDING, *([_ALARM] if _ALARM else []))


class Interruption:
    """A request to end this process, by SIGINT or SIGTERM, which is never lost.

    Python ignores a KeyboardInterrupt that is raised inside a weak reference's callback, and a library may turn it into
    an error of its own. So the first signal is only `received`, and loops look for it where nothing can swallow it.
    Code that does not look for `PATIENCE` seconds is interrupted again and again. A second signal interrupts at once.

    Attributes:
        received: the number of the signal; None: there was none.
        deadline: the time, as `time.monotonic`, from which on this process is asked to end as by a signal.
    """

    PATIENCE = 3.0

    def __init__(self) -> None:
        self.received: int | None = None
        self.deadline = math.inf
        self._handled = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the signals; within another `handled`, and outside the main thread, change nothing."""
        if self._handled or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in _HANDLED}
        self._handled = True
        self.install()
        try:
            yield
        finally:
            self.obey()
            for number, handler in before.items():
                signal.signal(number, handler)
            self._handled, self.received = False, None

    def install(self) -> None:
        """Install the handlers again, where a library has installed its own within `handled`."""
        for number in _HANDLED if self._handled else ():
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: object) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
        if _ALARM is not None:
            signal.setitimer(signal.ITIMER_REAL, self.PATIENCE, 1)

    @property
    def requested(self) -> bool:
        """True if a signal was received, or the deadline is over."""
        return self.received is not None or time.monotonic() > self.deadline

    @property
    def time_is_over(self) -> bool:
        """True if the deadline is over, and no signal was received."""
        return self.received is None and self.requested

    def check(self) -> None:
        """Raise KeyboardInterrupt if it is requested."""
        if self.requested:
            raise KeyboardInterrupt

    def obey(self) -> None:
        """Let the interrupted code end without further interrupts, except by another signal."""
        if self._handled and _ALARM is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)


interruption = Interruption()
"""Signals belong to the whole process, so that there is one."""
