"""Errors whose message is all that a user needs, and the name of the command that a message advises."""

import os
import shlex
import sys

__all__ = ["ConfigurationError", "DivergedError", "RunError", "command", "describe", "is_out_of_memory"]


class ConfigurationError(ValueError):
    """A mistake in the configuration; the message names the key, the value and what is allowed."""


class RunError(RuntimeError):
    """A run that ended without a result; the message says why, and what to do."""


class DivergedError(RunError):
    """A run whose loss is not finite: its settings are to blame, and not the machine."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the machine or its GPU ran out of memory."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "alloc" in str(error).lower())


def command() -> str:
    """Return the command that trains, as it was typed: `python train.py`, with its path, or else `runge`."""
    script = sys.argv[0]
    return shlex.join(["python", script]) if os.path.basename(script) == "train.py" else "runge"


def describe(error: BaseException) -> str:
    """Return the message of an error for the table of runs.

    Example:
        >>> describe(ConfigurationError("seed: must be at least 0, got -1")), describe(KeyError("x"))
        ('seed: must be at least 0, got -1', "KeyError: 'x'")
    """
    if isinstance(error, ConfigurationError | RunError):
        return str(error)
    if is_out_of_memory(error):
        return "out of memory"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} ({error.filename})" if error.filename else error.strerror
    return f"{type(error).__name__}: {error}"
