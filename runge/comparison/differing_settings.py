"""Compare the settings of runs: in which they differ, and which of these define groups, conditions and blocks."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from runge.comparison.naming import as_text
from runge.configuration.objects import OF_STEPS, REMARKS, SAME_RESULT, SEEDS
from runge.records.reading import RunRecord

_CONDITIONS = ("data", "data.file", "data.outputs", "data.rows", "data.n_train", "data.noise_f", "data.noise_df")
"""The keys of conditions, which are not chosen, in addition to the keys of the target."""


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


def divide(
    records: Sequence[RunRecord], differing: Sequence[str], group_by: Sequence[str] | None, of_search: bool
) -> tuple[Sequence[str], list[str], list[str]]:
    """Return the keys that divide runs.

    Args:
        records: the runs.
        differing: the keys in which they differ.
        group_by: the keys that define a group; None: all that differ, except seeds and fold. Then the target, the
            number of training points and the noise are conditions.
        of_search: whether they are the runs of a search, which has neither conditions nor blocks.

    Returns:
        Three lists of keys. Runs that agree in the first are one group. Groups are compared where the second, the
        conditions, agree; they are not chosen, and the ranking is sorted by them. Runs of two groups are compared where
        the third, the blocks, agree: the other settings that are chosen.
    """
    chosen = [name for name in differing if name not in SEEDS and not _follows(name, records, differing)]
    groups = chosen if group_by is None else group_by
    if of_search:
        return groups, [], []
    conditions = [name for name in chosen if group_by is None and _is_condition(name)]
    return groups, conditions, [name for name in chosen if name not in groups]


def _is_condition(key: str) -> bool:
    """Return whether a setting is a condition of a comparison: the target, the number of points, or the noise."""
    return key in _CONDITIONS or key.partition(".")[0] == "target"


def _follows(name: str, records: Sequence[RunRecord], differing: Sequence[str]) -> bool:
    """Return whether a setting, which is no condition, has one value in all runs of each experiment."""
    if "experiment" not in differing or name == "experiment" or _is_condition(name):
        return False
    configured = [record.settings for record in records if record.settings]
    pairs = {(settings.get("experiment"), as_text(settings.get(name))) for settings in configured}
    return len(pairs) == len({experiment for experiment, _ in pairs})
