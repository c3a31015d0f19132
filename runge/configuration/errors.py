"""Errors whose message is all that a user needs, and the words of such messages."""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

__all__ = ["ConfigurationError", "DivergedError", "RunError", "describe", "did_you_mean", "is_out_of_memory"]
__all__ += ["listed", "python_words"]

_IN_PYTHON = {
    r"(hydra\.run\.dir, )?hydra\.(run|sweep)\.dir": "directory",
    r"run the same command with --out ": "make the same call with directory=",
    r"\brunge train (\S+)": r"runge.train('\1')",
    r"^FILE\b": "data",
    r"--group-by\b": "group_by",
    r"--(metric|where|out|force)\b": r"\1",
}
"""The words of the command, as regular expressions, and those of Python's functions."""


class ConfigurationError(ValueError):
    """A mistake in the configuration; the message names the key, the value and the rule."""

    __module__ = "runge"


class RunError(RuntimeError):
    """A run that ended without a result; the message says why, and what to do."""

    __module__ = "runge"


class DivergedError(RunError):
    """A run whose loss is not finite: its settings are to blame, and not the machine."""


@contextmanager
def python_words() -> Iterator[None]:
    """Let the message of an error name the arguments of Python's functions, and not those of the command.

    Example:
        >>> with python_words():
        ...     raise ConfigurationError("hydra.sweep.dir: choose another directory")
        Traceback (most recent call last):
        runge.ConfigurationError: directory: choose another directory
    """
    try:
        yield
    except (ValueError, RunError, KeyboardInterrupt) as error:
        message = str(error)
        for word, name in _IN_PYTHON.items():
            message = re.sub(word, name, message)
        error.args = (message,)
        raise


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the machine or its GPU ran out of memory."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "alloc" in str(error).lower())


def did_you_mean(word: str, meanings: Mapping[str, str] | Collection[str]) -> str:
    """Return a question for the word that is most like a wrong one, in any capitals, or an empty text.

    Args:
        word: the wrong word.
        meanings: the allowed words; or a mapping from words to their meanings.

    Example:
        >>> did_you_mean("ReLU", ["tanh", "relu"]), did_you_mean("swish", {"swish": "silu"}), did_you_mean("x", [])
        ('did you mean relu?', 'did you mean silu?', '')
    """
    pairs = meanings.items() if isinstance(meanings, Mapping) else zip(meanings, meanings, strict=True)
    lower = {key.lower(): meaning for key, meaning in pairs}
    near = difflib.get_close_matches(word.lower(), lower, 1)
    return f"did you mean {lower[near[0]]}?" if near else ""


def listed(names: Sequence[str], most: int = 40, last: str = ", ") -> str:
    """Return names as a message shows them, with `last` between the last two, or the first `most` and the number left.

    Example:
        >>> listed(["drag", "lift", "mass"]), listed(["drag", "lift", "mass"], last=" and ")
        ('drag, lift, mass', 'drag, lift and mass')
        >>> listed(["drag", "lift", "mass"], most=2)
        'drag, lift and 1 more'
    """
    shown = [name for name in names[:most] if name]
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most} more"
    return last.join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


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
