"""Errors, factors, seconds, names and failures as the page of the table shows them."""

import math
import re

MEMORY = "MemoryError", "allocate", "bad_alloc", "code -9"
"""Signs in the text of a failure that memory was short."""


def word(failure: str) -> str:
    """Return a word for the text of a failure.

    Example:
        >>> word("not done after 300 s"), word("MemoryError: Unable to allocate 9 GiB"), word("ValueError: no")
        ('too slow', 'too large', 'fails')
    """
    if "not done" in failure:
        return "too slow"
    return "too large" if any(sign in failure for sign in MEMORY) else "fails"


def cause(failure: str) -> str:
    """Return the cause of a failure in words, from the text of its exception.

    Example:
        >>> cause("ValueError: TimeoutError: not done after 8 s")
        'no setting is done in its share of the time'
        >>> cause("ValueError: ValueError: Input y contains NaN.")
        'it takes no unknown labels'
    """
    if "TimeoutError: not done" in failure:
        return "no setting is done in its share of the time"
    if "NaN" in failure:
        return "it takes no unknown labels"
    words = {"too slow": "not done in its time", "too large": "its memory is too small"}
    return words.get(word(failure)) or re.sub(r"^(\w+: )+", "", failure)


def number(error: float) -> str:
    """Return an error with two digits; a dash if there is none.

    Example:
        >>> number(1.23e-5), number(0.5), number(float("inf"))
        ('1.2e-5', '0.50', '-')
    """
    if not math.isfinite(error):
        return "-"
    if 0.01 <= error < 1000:
        return f"{error:#.2g}" if error < 9.95 else f"{error:.0f}"
    mantissa, power = f"{error:.1e}".split("e")
    return f"{mantissa}e{int(power)}"


def factor(ratio: float) -> str:
    """Return a factor with two digits, without a power of ten below 10000."""
    return (
        "-"
        if not math.isfinite(ratio)
        else f"{ratio:.2f}"
        if ratio < 10
        else f"{ratio:.0f}"
        if ratio < 1e4
        else number(ratio)
    )


def seconds(time: float) -> str:
    """Return seconds with two digits."""
    return "-" if math.isnan(time) else f"{time:.2g}" if time < 10 else f"{time:.0f}"


def plain(name: str) -> str:
    """Return the name of a problem for the page."""
    return name.replace("_", " ")
