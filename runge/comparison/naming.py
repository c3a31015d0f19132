"""Name runs and their groups by the settings in which they differ, as a user types them."""

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from runge.comparison.shown import MOST_KEYS
from runge.configuration.objects import SEEDS
from runge.records.files import printable
from runge.records.leaderboard import Leaderboard
from runge.records.reading import RunRecord

BETWEEN = re.compile(r",? (?=[+~]{0,2}[\w./@]+=|~[\w./@])")
"""The text between two settings of a name, or between two overrides of a run."""

_SUFFIXES = {"runs": "", "refits": ", all rows"}
"""The ends of the names of a candidate's runs, by the attributes of `LeaderboardEntry`."""


def as_text(value: object) -> str:
    """Return a configuration's value as it is typed, with all its digits."""
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return "null" if value is None else str(value)


def label(settings: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Return a run's values of some keys as text, such as `model.width=64, loss.lambda_d=0.1`."""
    return ", ".join(f"{key}={as_text(settings.get(key))}" for key in keys) or "all runs"


def names_of(records: Sequence[RunRecord], keys: Sequence[str]) -> list[str]:
    """Return the name of each run by the settings `keys`; runs that agree in all of them have the same name.

    With more than four keys most are consequences of others: `optimizer=levenberg_marquardt` also sets the precision.
    Then the name consists of the overrides that not all runs have, unless runs that differ would have the same.
    """
    labels = [label(record.settings, keys) for record in records]
    if len(keys) <= MOST_KEYS:
        return labels
    hidden = {"", *SEEDS} - {*keys}
    overrides = [
        [override for override in BETWEEN.split(record.overrides or "") if override.partition("=")[0] not in hidden]
        for record in records
    ]
    common = set.intersection(*map(set, overrides))
    alike = defaultdict[str, list[RunRecord]](list)
    for settings, record in zip(labels, records, strict=True):
        alike[settings].append(record)

    def is_shared(override: str, runs: Sequence[RunRecord]) -> bool:
        return len({as_text(run.settings.get(override.partition("=")[0])) for run in runs}) == 1

    names: dict[str, str] = {}
    for settings, of_run in zip(labels, overrides, strict=True):
        if settings not in names:
            shown = [x for x in of_run if x not in common and is_shared(x, alike[settings])]
            names[settings] = ", ".join(shown) or "defaults"
    return [names[settings] for settings in labels] if len(set(names.values())) == len(names) else labels


def candidate_names(board: Leaderboard, paths: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the names of the candidates of runs, given their paths; other runs keep the given names."""
    name_of_run: dict[str, str] = {}
    for kind, suffix in _SUFFIXES.items():
        for candidate in board.candidates:
            name_of_run |= {str(run): f"{candidate.name}{suffix}" for run in getattr(candidate, kind)}
    return [name_of_run.get(os.path.basename(path), name) for path, name in zip(paths, names, strict=True)]


def short_names(names: Sequence[str]) -> list[str]:
    """Return printable paths relative to their common parent.

    Example:
        >>> short_names(["outputs/multirun/a/0", "outputs/multirun/a/1"])
        ['0', '1']
    """
    paths = [os.path.abspath(name) for name in names]
    shared = os.path.commonpath(map(os.path.dirname, paths))
    return [printable(os.path.relpath(path, shared)) for path in paths]
