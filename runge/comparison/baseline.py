"""Read in the files of `conf/` the value that a key has without an override, and the claim that an experiment tests."""

import re
from collections.abc import Sequence

import yaml

from runge.comparison.naming import as_text
from runge.configuration.objects import CONFIGURATIONS, flatten
from runge.records.reading import RunRecord

_FACT = re.compile(r"^#   (Claim|Baseline) +(.+)$", re.MULTILINE)
"""A fact in the comment with which the file of an experiment begins."""

_GLOBAL = "# @package _global_"
"""The first line of a file whose keys are those of the whole configuration, not of its group's section."""


def claim_of(records: Sequence[RunRecord]) -> tuple[str, list[str]]:
    """Return the claim that the experiment of all runs states, as a sentence, and its baseline as `key=value`.

    Both are empty if the runs have no common experiment, or its file has no baseline, or no run is of the baseline.
    """
    experiment = _common(records, "experiment")
    facts = dict(_FACT.findall(_text("experiment", experiment)))
    baseline = dict(setting.split("=") for setting in facts.get("Baseline", "").split())
    if baseline and any(all(as_text(x.settings.get(key)) == text for key, text in baseline.items()) for x in records):
        return f"{experiment} claims: {facts['Claim']}", facts["Baseline"].split()
    return "", []


def default_of(records: Sequence[RunRecord], key: str) -> list[str]:
    """Return `key=value` with the value that a key has in these runs without an override; empty: no run has it.

    It is also empty if it is not known, because the runs have different experiments, or one that is not in `conf/`, or
    are of a version before 0.3.
    """
    configured = [record for record in records if record.settings]
    experiments = {record.options.get("experiment", "") for record in configured if record.options}
    is_known = len(experiments) == 1 and (experiments == {""} or _text("experiment", *experiments))
    if not key or not is_known or not all(record.options for record in configured):
        return []
    values = {as_text(record.settings.get(key)) for record in configured}
    return [f"{key}={value}"] if (value := _default(records, key)) in values else []


def _default(records: Sequence[RunRecord], key: str) -> str | None:
    """Return the value of a key in the first of the files that sets it, as it is typed."""
    section = key.partition(".")[0]
    files = [(group, _common(records, group)) for group in ("experiment", "data", "optimizer")]
    files.insert(1, ("optimizer/on", "_".join(option for _, option in files[1:])))
    for group, option in (*files, ("", "config"), (section, _common(records, section))):  # the first one that has it
        text = _text(group, option)
        content = yaml.safe_load(text) or {}
        chosen = [pair for entry in content.pop("defaults", []) if isinstance(entry, dict) for pair in entry.items()]
        values = flatten(content if not group or text.startswith(_GLOBAL) else {group: content})
        values |= {name.removeprefix("override /"): option for name, option in chosen}
        if key in values:
            return as_text(values[key])
    return None


def _common(records: Sequence[RunRecord], group: str) -> str:
    """Return the option of a group that all runs have; empty: there is none."""
    options = {record.options.get(group, "") for record in records if record.settings}
    return next(iter(options)) if len(options) == 1 else ""


def _text(group: str, option: str) -> str:
    """Return the text of an option's file; empty: there is none, or its name, from a run's file, is none."""
    path = CONFIGURATIONS / group / f"{option}.yaml"
    return path.read_text(encoding="utf-8") if re.fullmatch(r"[\w/]+", option) and path.is_file() else ""
