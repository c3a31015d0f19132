"""What the machine offers: cores, threads, memory that is kept between steps, signals, and a C++ compiler.

torch is imported late: a command that composes or compares does without it.
"""

import ctypes
import gc
import os
import shlex
import shutil
import signal
import sys
import threading
from typing import Any

_most_threads: int | None = None

# The one model of costs: rough figures of one core, which decide on threads, compilation and the order of a sweep.
_ONE_THREAD = 2**17
"""With fewer neuron values in a layer a second thread costs more than it brings."""
_PER_PRODUCT, _PER_NEURON = 2.4e-11, 3.6e-10
"""Seconds of a step for each multiplication of the matrix products, and for each value or tangent of a neuron."""
_SAVED_PER_STEP, _SAVED_PER_NEURON = 1.5e-4, 2.4e-9
"""Seconds that a compiled step saves, by either compiler: in all, and for each value or tangent of a neuron."""
_OWN_COMPILATION, _TORCH_COMPILATION = 0.5, 3.5
"""Seconds that compiling takes: the package's own kernel, and `torch.compile`."""
SECONDS_PER_MEMBER, SECONDS_PER_STACK = 0.1, 0.5
"""Costs that do not grow with the steps: files and pictures of each member; set-up of each stack."""

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


def step_seconds(points: int, depth: int, width: int, dimension: int) -> float:
    """Estimate the seconds of one step of one member on one core: matrix products, and passes over the neurons."""
    products = width * (width * (depth - 1) + dimension) * (1 + dimension)
    return points * (_PER_PRODUCT * products + _PER_NEURON * width * depth * (1 + dimension))


def compiling_pays(neurons: int, steps: int, *, own_kernel: bool) -> bool:
    """Say if compiling the step is expected to save more time than it takes.

    Args:
        neurons: the values and tangents of all hidden layers, over all points and members.
        steps: optimiser steps of the run.
        own_kernel: true for the package's own kernel, false for `torch.compile`.
    """
    cost = _OWN_COMPILATION if own_kernel else _TORCH_COMPILATION
    return steps * (_SAVED_PER_STEP + neurons * _SAVED_PER_NEURON) > cost


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


def collect_rarely() -> None:
    """Let Python look for garbage rarely, because importing and composing make many objects that stay."""
    gc.set_threshold(100_000, 50, 1000)


def skip_last_collection() -> None:
    """Let Python end without a last search for garbage, which takes half a second once torch is loaded."""
    if "triton" not in sys.modules:  # it would report everything that is then not collected as leaked
        gc.freeze()


def interrupt_on_sigterm() -> Any:
    """Take a request to terminate as a Ctrl-C; return what was done before, or None outside the main thread."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    in_main = threading.current_thread() is threading.main_thread()
    return signal.signal(signal.SIGTERM, interrupt) if in_main else None


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
