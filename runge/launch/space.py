"""The settings among which a search chooses, read from Hydra's own syntax for sweeps."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from runge.errors import ConfigurationError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_DIGITS = 4
"""The significant digits of a number from an interval: readable, and finer than any search needs."""
_MOST_CHOICES = 1000


@dataclass(frozen=True)
class Choice:
    """A list of values, as `choice(...)` or with commas, or the names of options.

    Attributes:
        choices: the values, as on the command line.
    """

    choices: tuple[str, ...]

    def distribution(self) -> "BaseDistribution":
        """Return Optuna's distribution of these values."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.choices)

    def ends(self) -> list[str]:
        """Return the values that are checked before the search: all of them."""
        return list(self.choices)

    def text(self, value: Any) -> str:
        """Return a value as on the command line."""
        return str(value)

    def rounded(self, value: Any) -> Any:
        """Return the value."""
        return value


@dataclass(frozen=True)
class Numbers:
    """Numbers: an interval, as `interval(...)` or `tag(log,interval(...))`, or equally spaced ones, as `range(...)`.

    Attributes:
        low: the smallest number.
        high: the largest number.
        log: whether the logarithm is searched uniformly.
        integer: whether they are integers.
        step: the distance of neighbours; None: an interval.
    """

    low: float
    high: float
    log: bool
    integer: bool
    step: float | None

    def distribution(self) -> "BaseDistribution":
        """Return Optuna's."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.integer:
            return IntDistribution(int(self.low), int(self.high), self.log, int(self.step or 1))
        return FloatDistribution(self.low, self.high, self.log, self.step)

    def ends(self) -> list[str]:
        """Return the values that are checked before the search: both ends."""
        return [self.text(self.low), self.text(self.high)]

    def text(self, value: Any) -> str:
        """Return a value as on the command line."""
        return str(int(value)) if self.integer else repr(float(value))

    def rounded(self, value: Any) -> Any:
        """Return the value, of an interval with four significant digits."""
        if self.integer:
            return value
        if self.step is not None:
            return float(f"{value:.12g}")
        return min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high)


Range = Choice | Numbers


def read_space(overrides: Sequence[Override]) -> tuple[dict[str, Range], list[str]]:
    """Return the settings to choose, by their keys, and the overrides that are the same for all trials.

    Raises:
        ConfigurationError: there is nothing to choose, or a range is empty or cannot be logarithmic.

    Example:
        >>> from hydra.core.override_parser.overrides_parser import OverridesParser
        >>> parse = OverridesParser.create().parse_overrides
        >>> read_space(parse(["model.depth=range(1,4)", "optimizer.lr=tag(log,interval(0.001,0.1))", "seed=3"]))[1]
        ['seed=3']
    """
    space: dict[str, Range] = {}
    fixed: dict[str, str] = {}
    for override in overrides:
        key = override.get_key_element()
        space.pop(key, None)
        fixed.pop(key, None)
        if override.is_sweep_override():
            space[key] = _range(key, override)
        else:
            fixed[key] = str(override.input_line)
    if not space:
        raise ConfigurationError(
            "hydra.sweeper: a search needs at least one key with a range, such as model.width=choice(16,32,64) or "
            "'loss.lambda_d=tag(log,interval(1e-3,10))'; got none"
        )
    return space, list(fixed.values())


def describe(space: Mapping[str, Range]) -> dict[str, dict[str, Any]]:
    """Return the ranges as plain data."""
    return {
        key: {name: list(x) if isinstance(x, tuple) else x for name, x in asdict(one).items()}
        for key, one in space.items()
    }


def _range(key: str, override: Override) -> Range:
    value, given = override.value(), str(override.input_line).partition("=")[2]
    tags = set(getattr(value, "tags", ()))
    log = "log" in tags
    if unknown := tags - {"log"}:
        raise ConfigurationError(f"{key}: must have no tag but log, got {', '.join(sorted(unknown))} in {given}")
    if isinstance(value, IntervalSweep):
        assert value.start is not None
        assert value.end is not None
        integer = isinstance(value.start, int) and isinstance(value.end, int)
        return _numbers(key, given, value.start, value.end, log, integer, None)
    if log:
        raise ConfigurationError(
            f"{key}: must be an interval with tag log, such as tag(log,interval(1,10)); got {given}"
        )
    try:
        choices = tuple(override.sweep_string_iterator())
    except HydraException as error:
        raise ConfigurationError(f"{key}: {error}") from error
    if isinstance(value, RangeSweep):
        numbers = [float(choice) for choice in choices]
        if not numbers:
            raise ConfigurationError(f"{key}: must have at least one value, got {given}")
        integer, step = all(choice.lstrip("-").isdigit() for choice in choices), abs(float(value.step))
        return _numbers(key, given, min(numbers), max(numbers), False, integer, step)
    if not choices or len(set(choices)) < len(choices) or len(choices) > _MOST_CHOICES:
        raise ConfigurationError(f"{key}: must have 1 to {_MOST_CHOICES} different values, got {given}")
    return Choice(choices)


def _numbers(key: str, given: str, low: float, high: float, log: bool, integer: bool, step: float | None) -> Numbers:
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ConfigurationError(f"{key}: must be a finite interval from low to high, got {given}")
    if log and low <= 0:
        raise ConfigurationError(f"{key}: must have positive ends with tag log, got {given}")
    return Numbers(low, high, log, integer, step)
