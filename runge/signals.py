"""Signals that ask a process to end."""

import signal
import threading
from typing import Any


def interrupt_on_sigterm() -> Any:
    """Take a request to terminate as a Ctrl-C; return what was done before, or None outside the main thread."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    in_main = threading.current_thread() is threading.main_thread()
    return signal.signal(signal.SIGTERM, interrupt) if in_main else None
