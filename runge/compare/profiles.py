"""The answer of a race along each input, with its intervals, as the leaderboard has it and the report shows it."""

import base64
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike
from pydantic import AfterValidator
from pydantic.dataclasses import dataclass

__all__ = ["AnswerProfile", "packed"]


def packed(values: ArrayLike, kind: str = "<f4") -> str:
    """Return numbers as base64 of little-endian floats, by default of 32 bit: a third of their size as text."""
    return base64.b64encode(np.asarray(values, dtype=kind).tobytes()).decode()


def _rows_of(count: int) -> AfterValidator:
    """Return a check that a text is a packed array of so many rows of 64-bit floats."""

    def check(text: str) -> str:
        if len(base64.b64decode(text, validate=True)) % (8 * count):
            raise ValueError(f"must be {count} rows of numbers")
        return text

    return AfterValidator(check)


@dataclass(frozen=True)
class AnswerProfile:
    """An output of the answer along an input, the other inputs being at their median.

    Attributes:
        output: the name of the output.
        input: the name of the input.
        curve: the input, the value u, half its interval, the partial derivative, half its interval, and 1 where the
            point is outside the data, else 0; (6, k), packed; NaN: there is no interval.
        rows: of a table of one input the input, the value and the derivative in its rows, (3, m), packed; NaN: not
            known.
    """

    output: str
    input: str
    curve: Annotated[str, _rows_of(6)]
    rows: Annotated[str, _rows_of(3)] = ""
