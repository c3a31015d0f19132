"""Name runs and their groups by the settings in which they differ, as a user types them."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from runge.configuration.command_line import command, in_shell
from runge.configuration.objects import OF_STEPS, SEEDS
from runge.records.files import printable
from runge.records.leaderboard import Leaderboard
from runge.records.reading import RunRecord

BETWEEN = re.compile(r",? (?=[+~]{0,2}[\w./@]+=|~[\w./@])")
"""The text between two settings of a name, or between two overrides of a run."""

OF_DATA = ("data", "data.file", "data.inputs", "data.outputs", "data.derivatives", "data.rows")
"""The keys of runs on different data, in addition to the keys of the target."""

_CONDITIONS = ("data", "data.file", "data.outputs", "data.rows", "data.n_train", "data.noise_f", "data.noise_df")
"""The keys of conditions, which are not chosen, in addition to the keys of the target."""

_TRUSTED = re.compile(
    r"-|.*(_target_|\$\{|activation\W.*\.)"  # an option of Hydra, a class, a resolver, and a function's module
    r"|[+~]*(hydra[^/\w]|logger\b)|[^.=@]*(@[^=]*)?=.*\.\.",  # and an option of a group in another folder
    re.DOTALL,
)
"""The overrides that may run code or write elsewhere, because a command is trusted and a file is not."""

_SUFFIXES = {"runs": "", "earlier": ", before", "refits": ", all rows", "calibrating": ", for intervals and labels"}
"""The ends of the names of a candidate's runs, by the attributes of `LeaderboardEntry`; the last one counts."""

MOST_KEYS = 4
"""The most differing settings that name a run; if more differ, its overrides name it."""


def as_text(value: object) -> str:
    """Return a configuration's value as it is typed, with all its digits."""
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return "null" if value is None else str(value)


def command_of(overrides: Iterable[str], *, sweep: bool) -> str:
    """Return the command that trains with the overrides of a file, without those that are trusted in a command.

    Example:
        >>> command_of(["seed=range(3)", "optimizer._target_=mine.Own", "--config-dir=mine"], sweep=True)
        "runge train -m 'seed=range(3)'"
    """
    shown = [override for override in overrides if not _TRUSTED.match(override)]
    return printable(" ".join([command(), *["-m"] * sweep, *map(in_shell, shown)]))


def is_condition(key: str) -> bool:
    """Return whether a setting is a condition of a comparison: the target, the number of points, or the noise."""
    return key in _CONDITIONS or key.partition(".")[0] == "target"


def with_options(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Return runs whose settings have the option of each group, as it is typed, instead of the name of its class.

    Classes stay if a run has no options, because a version before 0.3 began it: otherwise the same configuration would
    have two names. They also stay if runs with the same option have different classes, as an experiment may set them.

    If each run has an experiment, its name is the setting `experiment`.
    """
    configured = [record for record in records if record.settings]
    if not all(record.options for record in configured):
        return list(records)
    experiment = {"experiment"} if all("experiment" in record.options for record in configured) else set[str]()
    classes: dict[tuple[str, str], set[object]] = defaultdict(set)
    for record in configured:
        for group, option in record.options.items():
            classes[group, option].add(record.settings.get(group))

    def named(record: RunRecord) -> RunRecord:
        of_one_class = {group: option for group, option in record.options.items() if len(classes[group, option]) == 1}
        options = {name: option for name, option in of_one_class.items() if name in {*record.settings, *experiment}}
        return replace(record, settings={**record.settings, **options})

    return [named(record) for record in records]


def with_rows(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Return runs with the setting `data.rows`, a checksum, where tables of one name and the same columns differ."""
    tables = [tuple(as_text(record.settings.get(key)) for key in OF_DATA) for record in records]
    rows = defaultdict[tuple[str, ...], set[str]](set)
    for name, record in zip(tables, records, strict=True):
        rows[name].add(record.rows)

    return [
        replace(record, settings={**record.settings, "data.rows": record.rows[:8]}) if len(rows[name]) > 1 else record
        for name, record in zip(tables, records, strict=True)
    ]


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
    names: dict[str, str] = {}
    for settings, of_run in zip(labels, overrides, strict=True):
        names.setdefault(settings, ", ".join(override for override in of_run if override not in common) or "defaults")
    return [names[settings] for settings in labels] if len(set(names.values())) == len(names) else labels


def candidate_names(board: Leaderboard, paths: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the names of the candidates of runs, given their paths; other runs keep the given names."""
    name_of_run: dict[str, str] = {}
    for kind, suffix in _SUFFIXES.items():
        for candidate in board.candidates:
            name_of_run |= {str(run): f"{candidate.name}{suffix}" for run in getattr(candidate, kind)}
    return [name_of_run.get(os.path.basename(path), name) for path, name in zip(paths, names, strict=True)]


def differing(runs: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[str]:
    """Return the keys in which the settings of runs differ; a missing key counts as different.

    The keys of a section are compared among runs with the same option: `schedule=constant` and `schedule=two_stage`
    differ only in `schedule`, although only one of them has a patience. Keys that are shares of the steps by default
    are compared among runs with the same number of steps. Runs without a configuration are ignored.
    """
    configured = [settings for settings in runs if any(key in settings for key in keys)]

    def differs(key: str) -> bool:
        values: dict[object, set[str]] = defaultdict(set)
        for settings in configured:
            steps = settings.get("trainer.max_steps") if key in OF_STEPS else None
            values[settings.get(key.rpartition(".")[0]), steps].add(as_text(settings.get(key)))
        return any(len(texts) > 1 for texts in values.values())

    return [key for key in keys if differs(key)]


def short_names(names: Sequence[str]) -> list[str]:
    """Return printable paths relative to their common parent.

    Example:
        >>> short_names(["outputs/multirun/a/0", "outputs/multirun/a/1"])
        ['0', '1']
    """
    paths = [os.path.abspath(name) for name in names]
    shared = os.path.commonpath(map(os.path.dirname, paths))
    return [printable(os.path.relpath(path, shared)) for path in paths]
