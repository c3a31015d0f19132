"""The package's C++ file `kernel.cpp`, compiled for an activation and a precision, and loaded.

Compiling takes 0.4 s, once for networks of any size. The result is cached on disk, in `RUNGE_CACHE_DIR` or in the
user's cache directory. `torch.compile` is no alternative: with an activation of the user's own, z sigmoid(1.5 z), 16
members, and 64 to 256 points in 1 -> 64 -> 64 -> 1, a step takes 1.3 to 1.5 times as long without it, and compiling
takes 8 to 10 s, with which 1000 steps take 1.4 to 4.7 times as long as eager ones.
"""

import ctypes
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch

from runge.machine import compiler

__all__ = ["ACTIVATIONS", "CompilationError", "Library", "suits_the_machine"]

_SOURCE = Path(__file__).with_name("kernel.cpp")
_PARTS = (_SOURCE, *sorted(_SOURCE.parent.glob("*.hpp")))
_FLAGS = ("-std=c++17", "-O2", "-w", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
_NATIVE = {"x86_64": ("-march=native",), "aarch64": ()}
"""By processor: what lets the compiler use all of its vectors; ARM's are in every one of 64 bits."""
_REAL = {torch.float32: "float", torch.float64: "double"}

ACTIVATIONS = ("tanh", "relu", "gelu", "sigmoid", "silu", "softplus", "sin")
"""The activations in the C++ file; users may add others to `runge.sobolev.activations` only."""


class CompilationError(Exception):
    """The step cannot be compiled, or the compiled file cannot be loaded."""


@cache
def suits_the_machine() -> bool:
    """Return whether the file is for this machine, Linux on x86 or ARM, and there is a compiler."""
    return sys.platform == "linux" and platform.machine() in _NATIVE and compiler() is not None


class Library:
    """The functions of the compiled file, and its structs, which are made from its own list of their fields.

    Raises:
        CompilationError: it cannot be compiled or loaded.
    """

    def __init__(self, activation: str, dtype: torch.dtype) -> None:
        file = _load(flags_of(activation, dtype))
        file.fields_of_stack.restype = file.fields_of_steps.restype = ctypes.c_char_p
        self.stack, self.steps = _struct(file.fields_of_stack()), _struct(file.fields_of_steps())
        pointers = [ctypes.POINTER(struct) for struct in (self.stack, self.steps)]
        self.workspace_of_a_thread, self.loss_and_gradient = file.workspace_of_a_thread, file.loss_and_gradient
        self.adam = file.adam
        self.workspace_of_a_thread.argtypes, self.workspace_of_a_thread.restype = pointers[:1], ctypes.c_int64
        rest = ctypes.c_void_p, ctypes.c_int64
        self.loss_and_gradient.argtypes, self.adam.argtypes = (pointers[0], *rest), (*pointers, *rest)
        self.loss_and_gradient.restype = self.adam.restype = None


class Struct(ctypes.Structure):
    """A struct of the C++ file, all of whose fields are given by name."""

    def __init__(self, **values: float | None) -> None:
        if values.keys() != (names := {name for name, *_ in self._fields_}):
            raise TypeError(f"the fields of the C++ struct are {sorted(names)}, got {sorted(values)}")
        super().__init__(**values)


def _struct(fields: bytes) -> type[Struct]:
    """Return the struct with these fields, such as `Index count;Real *mean;`."""
    kinds = {"Index": ctypes.c_int64, "double": ctypes.c_double}
    pairs = [field.replace("*", "* ").rsplit(maxsplit=1) for field in fields.decode().split(";")[:-1]]
    declared = [(name, ctypes.c_void_p if "*" in kind else kinds[kind]) for kind, name in pairs]
    return type("Struct", (Struct,), {"_fields_": declared})


def flags_of(activation: str, dtype: torch.dtype) -> list[str]:
    """Return the compiler's options, without those of the processor."""
    return [*_FLAGS, f"-DACTIVATION={activation}_", f"-DReal={_REAL[dtype]}"]


def _load(flags: Sequence[str]) -> ctypes.CDLL:
    """Load the compiled file from the cache, or compile it."""
    if (command := compiler()) is None:
        raise CompilationError("there is no C++ compiler")
    flags = [*flags, *_NATIVE[platform.machine()]]
    cached = None if (folder := _cache_folder()) is None else folder / f"{_key(command, flags)}.so"
    try:
        if cached is not None and cached.exists():
            try:
                return ctypes.CDLL(str(cached))
            except OSError:  # it is damaged
                cached.unlink()
        with tempfile.TemporaryDirectory(dir=folder, prefix="runge-") as private:
            compiled = Path(private) / "kernel.so"
            call = [*command, str(_SOURCE), *flags, "-o", str(compiled), "-lm"]
            try:
                _run([*call, "-fopenmp"])
            except subprocess.CalledProcessError as error:
                try:
                    _run(call)  # clang may lack OpenMP's library; the step then has one thread
                except subprocess.CalledProcessError:
                    raise error from None
                cached = None  # the library may be installed later
            library = ctypes.CDLL(str(compiled))
            if cached is not None:
                compiled.replace(cached)
            return library
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        lines = lines or [f"{error.cmd[0]} ended with status {error.returncode} without a message"]
        raise CompilationError(next((line for line in lines if "error" in line), lines[0])) from error
    except OSError as error:
        raise CompilationError(str(error)) from error


def _cache_folder() -> Path | None:
    """Return the cache directory, or None unless this user, and no other, can write to it: its files are executed."""
    if not hasattr(os, "geteuid"):  # a system without owners of this kind
        return None
    try:
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(os.environ.get("RUNGE_CACHE_DIR") or Path(caches) / "runge").absolute()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except (OSError, RuntimeError):  # RuntimeError: the user has no home
        return None
    ours = status.st_uid == os.geteuid() and not status.st_mode & 0o022
    return folder if ours and os.access(folder, os.W_OK) else None


def _run(call: Sequence[str]) -> None:
    """Run the compiler, in a new session, which keeps Ctrl-C from it: this process handles it after the step."""
    subprocess.run(call, check=True, capture_output=True, start_new_session=True)


def _key(command: Sequence[str], flags: Sequence[str]) -> str:
    """Hash all that the compiled file depends on, CPU and C library too: machines may share a home directory."""
    first_core = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    processor = [line for line in first_core.splitlines() if line.startswith(("model name", "flags"))]  # on x86
    status = os.stat(command[0])
    tools = [*command, str(status.st_size), str(status.st_mtime_ns), *platform.libc_ver()]
    parts = [*(part.read_text() for part in _PARTS), *flags, *tools, *processor]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
