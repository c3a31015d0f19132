"""What an argument may be is said once, in its annotation, and checked when the object is made."""

from collections.abc import Callable
from typing import Annotated, ParamSpec, TypeVar, cast, dataclass_transform

import pydantic
import pydantic.dataclasses
from pydantic import ConfigDict, Field

Count = Annotated[int, Field(ge=1, le=10**9)]
Natural = Annotated[int, Field(ge=0, le=10**9)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_T = TypeVar("_T")
# Strict: true is no integer and "8" no number; a YAML slip is reported instead of being guessed at.
_STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True)


@dataclass_transform(kw_only_default=True, frozen_default=True)
def checked(cls: type[_T]) -> type[_T]:
    """Make `cls` a frozen, keyword-only dataclass whose fields are checked against their annotations.

    Raises (when an object is made):
        pydantic.ValidationError: a `ValueError` that lists each wrong field, its value and what is allowed.
    """
    return cast(type[_T], pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=_STRICT)(cls))


def checked_call(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Check every argument of `function` against its annotation.

    Raises (when it is called):
        pydantic.ValidationError: a `ValueError` that lists each wrong argument, its value and what is allowed.
    """
    return pydantic.validate_call(config=_STRICT)(function)
