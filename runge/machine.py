"""What the machine offers: threads, memory that is kept between steps, and a C++ compiler."""

import ctypes
import os
import shlex
import shutil
import sys

import torch

_most_threads = torch.get_num_threads()
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
    torch.set_num_threads(before or (1 if neurons < _ONE_THREAD else _most_threads))


def limit_threads(most: int) -> None:
    """Let no later `use_threads` take more, in one of several processes."""
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
