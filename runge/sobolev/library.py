"""Compile the package's C++ file `kernel.cpp`, and call the functions of the result.

Compiling takes 0.4 s, once per activation and precision, for networks of any size. The result is cached on disk, in
`RUNGE_CACHE_DIR` or in the user's cache directory.
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

from runge.process.machine import cache_folder, compiler, is_own

__all__ = ["Library", "Struct", "flags_of", "library_of", "suits_the_machine"]

_SOURCE = Path(__file__).with_name("kernel.cpp")
_PARTS = (_SOURCE, *sorted(_SOURCE.parent.glob("*.hpp")))
_FLAGS = ("-std=c++17", "-O2", "-w", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
_NATIVE = {"x86_64": ("-march=native",), "aarch64": ()}
"""The flags by processor with which the compiler uses all of its vectors; 64-bit ARM needs none."""

_REAL = {torch.float32: "float", torch.float64: "double"}

_COMPILER_SECONDS = 300.0
"""The most seconds of the compiler, which needs less than one."""


def suits_the_machine() -> bool:
    """Return whether the file is for this machine, Linux on x86 or ARM, and there is a compiler."""
    return sys.platform == "linux" and platform.machine() in _NATIVE and compiler() is not None


class Library:
    """The functions of the compiled file, and its structs, which are made from its own list of their fields."""

    def __init__(self, activation: str, dtype: torch.dtype) -> None:
        file = _load(flags_of(activation, dtype))
        file.fields_of_stack.restype = file.fields_of_steps.restype = ctypes.c_char_p
        self.stack, self.steps = _struct(file.fields_of_stack()), _struct(file.fields_of_steps())
        self.workspace_of_a_thread, self.loss_and_gradient = file.workspace_of_a_thread, file.loss_and_gradient
        self.adam = file.adam
        stack, steps = ctypes.POINTER(self.stack), ctypes.POINTER(self.steps)
        workspace = ctypes.c_void_p, ctypes.c_int64
        self.workspace_of_a_thread.argtypes, self.workspace_of_a_thread.restype = (stack,), ctypes.c_int64
        self.loss_and_gradient.argtypes, self.loss_and_gradient.restype = (stack, *workspace), None
        self.adam.argtypes, self.adam.restype = (stack, steps, *workspace), None


class Struct(ctypes.Structure):
    """A struct of the C++ file; a field that is missing or unknown is an error, not a corrupt memory."""

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


library_of = cache(Library)
"""Return the library of an activation and a precision, which is compiled or loaded once in a process."""


def flags_of(activation: str, dtype: torch.dtype) -> list[str]:
    """Return the compiler's options, without those of the processor."""
    return [*_FLAGS, f"-DACTIVATION={activation}_", f"-DReal={_REAL[dtype]}"]


def _load(flags: Sequence[str]) -> ctypes.CDLL:
    """Load the compiled file from the cache, or compile it."""
    if (command := compiler()) is None:
        raise OSError("there is no C++ compiler")
    flags = [*flags, *_NATIVE[platform.machine()]]
    cached = None if (folder := cache_folder()) is None else folder / f"{_key(command, flags)}.so"
    if cached is not None and cached.is_file() and is_own(cached):
        try:
            return ctypes.CDLL(str(cached))
        except OSError:  # it is damaged
            cached.unlink()
    with tempfile.TemporaryDirectory(dir=folder, prefix="runge-") as private:
        compiled = Path(private) / "kernel.so"
        # The user's options come last, so that their `-march` takes the place of ours.
        call = [command[0], str(_SOURCE), *flags, *command[1:], "-o", str(compiled), "-lm"]
        if reason := _failure([*call, "-fopenmp"]):
            if _failure(call):
                raise OSError(reason)
            cached = None  # clang lacks OpenMP's library, which may be installed later; the step has one thread
        library = ctypes.CDLL(str(compiled))
        if cached is not None:
            compiled.chmod(0o700)
            with compiled.open("rb") as file:
                os.fsync(file.fileno())  # a power cut could leave empty pages, which crash each process that loads them
            compiled.replace(cached)
        return library


def _failure(call: Sequence[str]) -> str | None:
    """Run the compiler, in a new session, which keeps Ctrl-C from it, and return why it failed.

    Raises:
        OSError: it takes too long.
    """
    try:
        done = subprocess.run(call, capture_output=True, start_new_session=True, timeout=_COMPILER_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{call[0]} did not end within {_COMPILER_SECONDS:g} seconds") from error
    if not done.returncode:
        return None
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    lines = lines or [f"{call[0]} ended with status {done.returncode} without a message"]
    return next((line for line in lines if "error" in line), lines[0])


def _key(command: Sequence[str], flags: Sequence[str]) -> str:
    """Hash all that the compiled file depends on, CPU and C library too: machines may share a home directory."""
    first_core = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    processor = [line for line in first_core.splitlines() if line.startswith(("model name", "flags"))]  # on x86
    status = os.stat(command[0])
    tools = [*command, str(status.st_size), str(status.st_mtime_ns), *platform.libc_ver()]
    contents = [*(source.read_text() for source in _PARTS), *flags, *tools, *processor]
    return hashlib.sha256("\0".join(contents).encode()).hexdigest()[:24]
