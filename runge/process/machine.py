"""Use the resources of the machine: cores, threads, memory kept between steps, and a C++ compiler.

torch is imported late, because commands that only compose or compare do not need it.
"""

import ctypes
import functools
import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# The only model of costs: rough figures of one core, which decide on threads, compilation and the order of a sweep.
_ONE_THREAD = 2**17  # neuron values in a layer, below which a second thread costs more than it saves
_ONE_THREAD_64 = 3e7  # multiplications of linear algebra in 64 bit, likewise
_PER_PRODUCT, _PER_NEURON = 2.4e-11, 3.6e-10  # seconds of a step for each multiplication, and each value or tangent
PER_PRODUCT_64 = 1.2e-10  # of linear algebra in 64 bit: Levenberg-Marquardt on 500 to 5000 errors
_PER_ACTIVATION = {"relu": -1.6e-10, "sin": 1.9e-10, "gelu": 4.1e-10, "softplus": 8.2e-10}  # more than of tanh
_SAVED_PER_STEP, _SAVED_PER_NEURON = 1.5e-4, 2.4e-9  # seconds that a compiled step saves
_COMPILATION = 0.5  # seconds that compiling takes
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2", "asimd": "NEON"}  # by Linux's flags, the widest first


def processor() -> str:
    """Return the processor's name and its vector instructions, such as `AMD EPYC, AVX2`."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = facts.get("flags", facts.get("Features", "")).split()
    vectors = [name for flag, name in _VECTORS.items() if flag in flags]
    return ", ".join([facts.get("model name", platform.processor() or platform.machine()), *vectors[:1]])


@functools.cache
def provenance() -> dict[str, str]:
    """Return what a run is made with: the commits of runge's clone and of the working directory, Python, the processor.

    That of the clone ends in `-dirty` if tracked files are changed. To see that of a directory from a stranger, git
    would run the filters that its configuration names. A commit that is not known is left out.
    """
    clone = Path(__file__).resolve().parents[1]
    commits = {"directory's commit": _git(Path.cwd(), "rev-parse", "--verify", "--quiet", "HEAD")}
    if (clone / ".git").exists():
        commits["runge's commit"] = _git(clone, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    facts = {"Python": platform.python_version(), "processor": processor()}
    return {what: fact for what, fact in (commits | facts).items() if fact}


def _git(folder: Path, *arguments: str) -> str:
    """Return what git says of a folder; empty: it is no repository, or there is no git."""
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()


def use_threads(neurons: int, products: float = 0.0, before: int | None = None) -> None:
    """Let torch use one thread, or as many as now if a step has much work for each.

    Args:
        neurons: the values and tangents of one hidden layer.
        products: the multiplications of a member's linear algebra that threads share.
        before: the threads of a resumed run, which it keeps, because they change the last bits of sums.
    """
    import torch

    is_small = neurons < _ONE_THREAD and products < _ONE_THREAD_64
    torch.set_num_threads(before or (1 if is_small else torch.get_num_threads()))


def can_show_progress(console: Any) -> bool:
    """Return whether a console of Rich is a terminal, or a notebook that can update what it shows."""
    return console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None)


@contextmanager
def threads_restored() -> Iterator[None]:
    """Restore the number of torch's threads at the end."""
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def limit_threads(most: int) -> None:
    """Limit the threads of a process of the package's own, one of several."""
    import torch

    torch.set_num_threads(most)


def carried(dimension: int, outputs: int) -> int:
    """Return the numbers of a neuron in a compiled step: its value, and tangents or, if these are fewer, adjoints."""
    return 1 + min(dimension, outputs)


def step_seconds(points: int, depth: int, width: int, dimension: int, outputs: int, activation: str) -> float:
    """Estimate the seconds of one step of one member on one core: matrix products, and passes over the neurons."""
    numbers = carried(dimension, outputs)
    products = width * (width * (depth - 1) + dimension) * numbers
    neuron = _PER_NEURON * numbers + _PER_ACTIVATION.get(activation, 0)
    return points * (_PER_PRODUCT * products + neuron * width * depth)


def compiling_pays(neurons: int, steps: int) -> bool:
    """Return whether compiling saves time, for the values and tangents of all layers, points and members."""
    return steps * (_SAVED_PER_STEP + neurons * _SAVED_PER_NEURON) > _COMPILATION


def keep_memory() -> None:
    """Let glibc keep the memory that a step has freed, see mallopt(3): page faults cost as much as its arithmetic.

    It cannot be undone, so that it is for processes of the package's own.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(_M_TRIM_THRESHOLD, 2**30)
        library.mallopt(_M_MMAP_THRESHOLD, 2**25)


def compiler() -> list[str] | None:
    """Return the command of the C++ compiler, its path first: `CXX`, or else the system's own; None: there is none."""
    command, *options = shlex.split(os.environ.get("CXX", "")) or ["clang++" if sys.platform == "darwin" else "g++"]
    return None if (path := shutil.which(command)) is None else [path, *options]


def cache_folder() -> Path | None:
    """Return the cache directory, or None unless this user, and no other, can write to it: its files are trusted."""
    try:
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(os.environ.get("RUNGE_CACHE_DIR") or Path(caches) / "runge").resolve()
        for ancestor in reversed([folder, *folder.parents]):
            ancestor.mkdir(mode=0o700, exist_ok=True)  # `parents=True` would let the umask decide on those above
        return folder if own_folder(folder) and os.access(folder, os.W_OK) else None
    except (OSError, RuntimeError):  # RuntimeError: the user has no home
        return None


def own_folder(path: Path) -> bool:
    """Return whether a folder is this user's, and no other user can change what is in it, or put another in its place.

    Links in the path are followed.
    """
    path = path.resolve()
    return is_own(path) and (sys.platform == "win32" or all(map(_keeps, (folder.stat() for folder in path.parents))))


def is_own(path: Path) -> bool:
    """Return whether a file or folder, and no link, is this user's, and no other user can write to it."""
    if sys.platform == "win32":  # it has other rights; a user's profile is its own there
        return True
    status = path.lstat()
    return status.st_uid == os.geteuid() and not stat.S_ISLNK(status.st_mode) and not status.st_mode & 0o022


def _keeps(folder: os.stat_result) -> bool:
    """Return whether no other user, except root, can replace what this user has in a folder."""
    return folder.st_uid in (0, os.geteuid()) and (not folder.st_mode & 0o022 or bool(folder.st_mode & stat.S_ISVTX))


def allow_open_files(most: int) -> None:
    """Raise this process's limit of open files to a number, as far as the system allows."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if 0 <= soft < most:  # -1 is no limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, hard) if hard >= 0 else most, hard))


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
