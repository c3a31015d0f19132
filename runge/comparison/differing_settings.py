"""Compare the settings of runs: in which they differ, and which of these define groups, conditions and blocks."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from runge.comparison.naming import BETWEEN, as_text
from runge.configuration.command_line import key_of
from runge.configuration.objects import OF_STEPS, REMARKS, SAME_RESULT, SEEDS
from runge.records.reading import RunRecord

_CONDITIONS = ("data", "data.file", "data.outputs", "data.rows", "data.n_train", "data.noise_f", "data.noise_df")
"""The keys of conditions, which are not chosen, in addition to the keys of the target."""

LABELS = "data.labels"
"""The setting with the number of labels, if runs differ in it and in which points carry them."""

_OF_COST = ("trainer.max_steps", "model.width", "model.depth")
"""The keys that decide how much a run costs, in addition to the number of its labels."""


def compare_settings(records: Sequence[RunRecord], names: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Compare the settings `names` of runs, except those that change no result.

    Returns:
        The keys in which the runs differ, further keys that not all runs have in common or that are remarks, and the
        keys whose values are the same in all runs.
    """
    names = [name for name in names if not name.startswith(SAME_RESULT)]
    keys = differing([record.settings for record in records], names)
    values_of = {name: {as_text(record.settings.get(name, "")) for record in records} for name in names}
    uncommon = [name for name, values in values_of.items() if name not in keys and len(values) > 1]
    return keys, uncommon + remarks_of(records), [name for name, values in values_of.items() if len(values) == 1]


def remarks_of(records: Sequence[RunRecord]) -> list[str]:
    """Return the keys of the remarks that any of the runs has; they change no result, and so divide no runs."""
    return [key for key in REMARKS if any(key in record.settings for record in records)]


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


class Division(NamedTuple):
    """The keys by which runs are divided for a comparison.

    Attributes:
        groups: runs that agree in these are one group.
        conditions: groups are compared where these agree; they are not chosen, and the ranking is sorted by them.
        blocks: runs of two groups are compared where these agree: the other settings that are chosen.
        factor: the only key that varies independently between groups that are compared; empty: there are several.
    """

    groups: Sequence[str]
    conditions: Sequence[str] = ()
    blocks: Sequence[str] = ()
    factor: str = ""


def divide(
    records: Sequence[RunRecord], differing: Sequence[str], group_by: Sequence[str] | None, compared: Sequence[str]
) -> list[Division]:
    """Return how runs are divided into groups.

    Args:
        records: the runs.
        differing: the keys in which they differ.
        group_by: the keys that define a group; None: `compared`, or without these all that differ, except seeds and
            fold. Then the target, the number of training points or labels, and the noise are conditions.
        compared: the keys of the baseline; groups are compared where the other keys of `group_by` agree.

    Returns:
        One division; if several keys vary independently, further ones follow, each by one of these keys, within the
        values of the others.
    """
    chosen = [name for name in differing if name not in SEEDS and not _follows(name, records, differing)]
    conditions = [name for name in chosen if _is_condition(name, differing) and name not in compared]
    if group_by is not None or compared:
        groups = list(dict.fromkeys([*compared, *(conditions if group_by is None else group_by)]))
        within = [name for name in groups if compared and name not in compared]
        return [Division(groups, within, _independent(records, chosen, groups), groups[0] if len(groups) == 1 else "")]
    factors = _independent(records, [name for name in chosen if name not in conditions], conditions)
    every = [name for name in chosen if name != LABELS]
    if len(factors) < 2:
        return [Division(every, conditions, factor="".join(factors))]
    blocks = {name: [other for other in factors if other != name] for name in factors}
    return [Division(every, conditions), *(Division([x, *conditions], conditions, blocks[x], x) for x in factors)]


def _independent(records: Sequence[RunRecord], names: Sequence[str], fixed: Sequence[str]) -> list[str]:
    """Return the keys whose values do not follow from the fixed ones and the keys before, those that were typed first.

    For example `optimizer=levenberg_marquardt` also sets the precision, which is then no key of its own.
    """
    configured = [record for record in records if record.settings]
    typed = {key_of(override) for record in configured for override in BETWEEN.split(record.overrides or "")}
    kept = list(fixed)
    for name in sorted(names, key=lambda name: name not in typed):
        values = defaultdict[tuple[str, ...], set[str]](set)
        for record in configured:
            values[tuple(as_text(record.settings.get(key)) for key in kept)].add(as_text(record.settings.get(name)))
        if name not in kept and any(len(texts) > 1 for texts in values.values()):
            kept.append(name)
    return kept[len(fixed) :]


def _is_condition(key: str, differing: Sequence[str]) -> bool:
    """Return whether a setting is a condition of a comparison: the target, the number of labels, or the noise."""
    if key == "data.n_train" and LABELS in differing:  # which is then the number of all labels
        return False
    return key in (*_CONDITIONS, LABELS) or key.partition(".")[0] == "target"


def _follows(name: str, records: Sequence[RunRecord], differing: Sequence[str]) -> bool:
    """Return whether a setting, which is no condition, has one value in all runs of each experiment."""
    if "experiment" not in differing or name == "experiment" or _is_condition(name, differing):
        return False
    configured = [record.settings for record in records if record.settings]
    pairs = {(settings.get("experiment"), as_text(settings.get(name))) for settings in configured}
    return len(pairs) == len({experiment for experiment, _ in pairs})


def cost(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that decide how much a run costs, as text, with the number of its labels."""
    return {key: as_text(settings.get(key)) for key in _OF_COST} | {LABELS: as_text(_labels(settings))}


def with_labels(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Return runs with the setting `data.labels` if they differ in the number of training points and in their kinds."""
    kinds = ("data.boundary_points", "data.n_derivative")
    differ = differing([record.settings for record in records], ["data.n_train", *kinds])
    if "data.n_train" not in differ or len(differ) == 1:
        return list(records)
    return [replace(run, settings={**run.settings, LABELS: _labels(run.settings)}) for run in records]


def _labels(settings: Mapping[str, Any]) -> int | None:
    """Return the number of values and of derivatives of a run's training points; None: unknown."""
    points, at_ends = settings.get("data.n_train"), settings.get("data.boundary_points") or 0
    derivatives = settings.get("data.n_derivative")
    if not isinstance(points, int) or not isinstance(at_ends, int) or not isinstance(derivatives, int | None):
        return None
    return points + (points if derivatives is None else derivatives) + 2 * at_ends
