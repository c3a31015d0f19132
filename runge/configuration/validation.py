"""Argument types and ranges, declared once, as annotations, and checked on construction."""

from typing import Annotated, TypeVar, cast, dataclass_transform

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, dataclasses, validate_call

Count = Annotated[int, Field(ge=1, le=10**9)]
Size = Annotated[int, Field(ge=1, le=10**7)]  # of a set of points: with many more Linux may kill the process
Natural = Annotated[int, Field(ge=0, le=10**9)]
# In 32 bits the squares of these numbers, and their products with errors and gradients, neither overflow nor vanish.
Positive = Annotated[float, Field(ge=1e-12, le=1e12, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Floats = NDArray[np.float64]

_T = TypeVar("_T")
# Strict: true is not an integer and "8" is not a number; a slip in YAML is reported, not guessed at.
_STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True)


@dataclass_transform(kw_only_default=True, frozen_default=True)
def checked(cls: type[_T]) -> type[_T]:
    """Make `cls` a frozen, keyword-only dataclass whose fields are checked against their annotations.

    Raises (when an object is made):
        pydantic.ValidationError: a `ValueError` that lists each wrong field, its value and what is allowed.
    """
    return cast(type[_T], dataclasses.dataclass(frozen=True, kw_only=True, config=_STRICT)(cls))


checked_call = validate_call(config=_STRICT)
"""A decorator that checks every argument against its annotation; a call raises as construction does in `checked`."""
