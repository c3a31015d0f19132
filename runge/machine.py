"""What the machine offers: cores, threads, memory that is kept between steps, signals, and a C++ compiler.

torch is imported late: a command that composes or compares does without it.
"""

import ctypes
import os
import shlex
import shutil
import signal
import sys
import threading
from typing import Any

_most_threads: int | None = None
_ONE_THREAD = 2**17
"""Below so many neuron values in a layer a second thread costs more than it brings."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def use_threads(neurons: int, before: int | None = None) -> None:
    """Let torch use one thread, or all where there is enough to do.

    Args:
        neurons: the values and tangents of one hidden layer, over all points and members.
        before: how many took the steps that were taken already, where there are some: sums by another number of threads
            differ in their last bits.
    """
    import torch

    global _most_threads
    _most_threads = _most_threads or torch.get_num_threads()
    torch.set_num_threads(before or (1 if neurons < _ONE_THREAD else _most_threads))


def limit_threads(most: int) -> None:
    """Let no later `use_threads` take more, in one of several processes."""
    import torch

    global _most_threads
    _most_threads = most
    torch.set_num_threads(most)


def keep_memory() -> None:
    """Let the allocator keep what a step has freed for the next one.

    glibc gives blocks of some 100 KB and more back to the system at once, so that each step begins with thousands of
    page faults: they cost as much as its arithmetic. Elsewhere nothing is changed.

    References:
        mallopt(3), https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(_M_TRIM_THRESHOLD, 2**30)
        library.mallopt(_M_MMAP_THRESHOLD, 2**25)


def compiler() -> list[str] | None:
    """The command of the C++ compiler, its path first: `CXX`, or else the system's own."""
    command, *options = shlex.split(os.environ.get("CXX", "")) or ["clang++" if sys.platform == "darwin" else "g++"]
    return None if (path := shutil.which(command)) is None else [path, *options]


def interrupt_on_sigterm() -> Any:
    """Take a request to terminate as a Ctrl-C; return what was done before, or None outside the main thread."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    in_main = threading.current_thread() is threading.main_thread()
    return signal.signal(signal.SIGTERM, interrupt) if in_main else None


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
