"""Errors whose message is all that a user needs, and the name of the command, which a message advises."""

import difflib
import os
import re
import shlex
import sys
from collections.abc import Collection, Mapping

__all__ = [
    "ConfigurationError",
    "DivergedError",
    "RunError",
    "command",
    "describe",
    "did_you_mean",
    "in_shell",
    "is_out_of_memory",
    "override_of",
    "setting",
]


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


def override_of(key: str, text: str) -> str:
    """Return the override that sets a key to a text, such as a path."""
    if re.fullmatch(r"[A-Za-z./][\w./-]*\.[A-Za-z]\w*", text, re.ASCII):  # a usual path
        return f"{key}={text}"
    # In Hydra's grammar a backslash is one of the text, except before a quote.
    quoted = re.sub(r"(\\*)('|$)", lambda end: 2 * end[1] + end[2].replace("'", "\\'"), text)
    return f"{key}='{quoted}'"


def setting(key: str, path: str | os.PathLike[str]) -> str:
    r"""Return the override that sets a key to a path, as it is typed in a shell.

    Example:
        >>> setting("resume", "outputs/0"), setting("resume", "my outputs/0")
        ('resume=outputs/0', '"resume=\'my outputs/0\'"')
    """
    text = os.fspath(path)
    return f"{key}={text}" if re.fullmatch(r"[\w./-]+", text, re.ASCII) else in_shell(override_of(key, text))


def in_shell(override: str) -> str:
    """Return an override for a shell, in which the quotes of Hydra's grammar stay readable."""
    return f'"{override}"' if "'" in override and not set(override) & set('"$`\\!') else shlex.quote(override)


def did_you_mean(word: str, meanings: Mapping[str, str] | Collection[str]) -> str:
    """Return a question for the word that is most like a wrong one, in any capitals, or an empty text.

    Args:
        word: the wrong word.
        meanings: the allowed words; or what is meant by some words.

    Example:
        >>> did_you_mean("ReLU", ["tanh", "relu"]), did_you_mean("swish", {"swish": "silu"}), did_you_mean("x", [])
        ('did you mean relu?', 'did you mean silu?', '')
    """
    pairs = meanings.items() if isinstance(meanings, Mapping) else zip(meanings, meanings, strict=True)
    lower = {key.lower(): meaning for key, meaning in pairs}
    near = difflib.get_close_matches(word.lower(), lower, 1)
    return f"did you mean {lower[near[0]]}?" if near else ""


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
