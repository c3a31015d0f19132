"""The settings among which a search chooses: Optuna's distributions, read from Hydra's own syntax for sweeps."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from runge.configuration.errors import ConfigurationError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Space = dict[str, "BaseDistribution"]

_DIGITS = 4
"""The significant digits of a number from an interval: readable, and finer than any search needs."""


def read_space(overrides: Sequence[Override]) -> tuple[Space, list[str]]:
    """Return the settings to choose, by their keys, and the overrides that are the same for all trials.

    Raises:
        ConfigurationError: there is nothing to choose, or a range is empty or cannot be logarithmic.

    Example:
        >>> from hydra.core.override_parser.overrides_parser import OverridesParser
        >>> parse = OverridesParser.create().parse_overrides
        >>> read_space(parse(["model.depth=range(1,4)", "optimizer.lr=tag(log,interval(0.001,0.1))", "seed=3"]))[1]
        ['seed=3']
    """
    last: dict[str, Override] = {}
    for override in overrides:
        last.pop(override.get_key_element(), None)
        last[override.get_key_element()] = override
    space = {key: _distribution(key, override) for key, override in last.items() if override.is_sweep_override()}
    if not space:
        raise ConfigurationError(
            "search=optuna needs at least one key with a range, such as model.width=choice(16,32,64) or "
            "'loss.lambda_d=tag(log,interval(1e-3,10))'; got none"
        )
    return space, [str(override.input_line) for key, override in last.items() if key not in space]


def ends(distribution: Any) -> tuple[Any, Any]:
    """Return the first and the last choice of a distribution, or the ends of its interval."""
    if hasattr(distribution, "choices"):
        return distribution.choices[0], distribution.choices[-1]
    return distribution.low, distribution.high


def rounded(distribution: Any, value: Any) -> Any:
    """Return a value of a distribution, with four significant digits if it is a number of an interval."""
    if not isinstance(value, float):
        return value
    digits = _DIGITS if distribution.step is None else 12
    return min(max(float(f"{value:.{digits}g}"), distribution.low), distribution.high)


def _distribution(key: str, override: Override) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value, typed = override.value(), str(override.input_line).partition("=")[2]
    tags = set(getattr(value, "tags", ()))
    try:
        if tags - {"log"}:
            raise ValueError(f"it has no tag but log, such as tag(log,interval(1,10)), not {', '.join(sorted(tags))}")
        if isinstance(value, IntervalSweep):
            low, high = (math.nan if end is None else end for end in (value.start, value.end))
            if not (math.isfinite(low) and math.isfinite(high)):
                raise ValueError("it has two finite ends")
            if isinstance(low, int) and isinstance(high, int):
                return IntDistribution(low, high, log=bool(tags))
            return FloatDistribution(low, high, log=bool(tags))
        if tags:
            raise ValueError("an interval can have the tag log, such as tag(log,interval(1,10))")
        choices = tuple(override.sweep_string_iterator())
        if not choices or len(set(choices)) < len(choices):
            raise ValueError("it has one or more different values")
        if not isinstance(value, RangeSweep):
            return CategoricalDistribution(choices)
        step = abs(float(value.step))
        if all(choice.lstrip("-").isdigit() for choice in choices):
            numbers = [int(choice) for choice in choices]
            return IntDistribution(min(numbers), max(numbers), step=int(step))
        numbers = [float(f"{float(choice):.12g}") for choice in choices]  # 3 * 0.3 is less than 0.9 in floating point
        return FloatDistribution(min(numbers), max(numbers), step=step)
    except (ValueError, HydraException) as error:
        raise ConfigurationError(f"{key}: must be a range; {error}; got {typed}") from error
