"""Rank and group runs, for the tables, the report and the plot of a comparison."""

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from runge.comparison.groups import Group, choose_metric, group
from runge.comparison.lead import Difference, compare_groups, describe_lead
from runge.comparison.naming import (
    as_text,
    candidate_names,
    differing,
    is_condition,
    label,
    names_of,
    with_options,
    with_rows,
)
from runge.configuration.objects import SAME_RESULT, SEEDS
from runge.data.column_roles import listed
from runge.metrics import VAL_NRMSE, Objective
from runge.records.files import printable
from runge.records.leaderboard import Leaderboard
from runge.records.reading import COLUMNS, RunRecord, distinct, find, read, table
from runge.records.trials import Trials

_MOST_NAMES, _MOST_LEADS = 8, 10
"""The most names that a message lists, and the most sentences on leads."""


class Ranking:
    """Runs, the best first and unfinished ones last.

    Args:
        records: the runs; repetitions are left out, except among the runs of a search.
        metric: the metric by which the runs are ranked; smaller is better. None: the objective of the search, if it is
            one; else `test/mse_df`, or one without units for runs on different data, as in
            `runge.comparison.groups.choose_metric`.
        search: the results of `search=optuna`, if they are its runs.
        race: the leaderboard of `search=best`, if they are its runs.
        group_by: the settings that define a group, which is compared with others where the other settings are the same;
            None: all in which the runs differ, except seeds and fold. Then groups are compared where the target,
            the number of training points and the noise are the same: these are conditions, and not chosen.

    Raises:
        ValueError: there are no runs, or none of them has the metric or one of the settings.
    """

    def __init__(
        self,
        records: Sequence[RunRecord],
        metric: str | None = None,
        group_by: Sequence[str] | None = None,
        search: Trials | None = None,
        race: Leaderboard | None = None,
    ) -> None:
        if not records:
            raise ValueError("DIR, --where: must select at least one run; there is none")
        every = records
        if search is None and race is None:  # their files refer to all runs
            records = distinct(records)
        self.repetitions = len(every) - len(records)
        if race is not None:
            records = [_without_validation(record) if _is_uncompared(record, race) else record for record in records]
        searched = search.objective[0] if search and len(search.objective) == 1 else None
        if searched == VAL_NRMSE:
            records = [_with_objective(record) for record in records]
        self.metrics = list(dict.fromkeys(name for record in records for name in record.figures))
        settings = dict.fromkeys(name for record in records for name in record.settings if name not in self.metrics)
        for name in group_by or ():
            if name not in settings:
                raise ValueError(f"--group-by: {_nearest(name, settings)}; got {name!r}")
        names = [name for name in settings if not name.startswith(SAME_RESULT)]
        self.keys = differing([record.settings for record in records], names)
        # Further settings that not all runs have in common.
        values_of = {name: {as_text(record.settings.get(name, "")) for record in records} for name in names}
        self.uncommon = [name for name, values in values_of.items() if name not in self.keys and len(values) > 1]
        self.common = [name for name, values in values_of.items() if len(values) == 1]
        rated = [record for record in records if race is None or not _is_uncompared(record, race)] or records
        if metric is None and searched in self.metrics:
            metric = searched
        self.metric, self.reason = (metric, "") if metric else choose_metric(rated, self.keys)
        if self.metrics and self.metric not in self.metrics:
            raise ValueError(f"--metric: {_nearest(self.metric, self.metrics)}; got {self.metric!r}")
        if "/r2_f" in self.metric:
            rule = "must be a figure that is smaller when it is better, such as nrmse_f, which ranks alike"
            raise ValueError(f"--metric: {rule}; got {self.metric!r}")
        self.search, self.race = search, race
        chosen = [name for name in self.keys if name not in SEEDS and not self._follows(name, records)]
        group_keys = chosen if group_by is None else group_by
        plain = search is None and race is None
        self.conditions = [name for name in chosen if plain and group_by is None and is_condition(name)]
        self.records = sorted(records, key=self._rank)
        self.names = names_of(self.records, group_keys)  # of the groups of the runs
        if race is not None and group_by is None:
            self.names = candidate_names(race, [record.path for record in self.records], self.names)
        unchosen = [name for name in chosen if plain and name not in group_keys]
        self._within = [label(record.settings, self.conditions) for record in self.records]
        self._blocks = [label(record.settings, unchosen) for record in self.records]
        self.groups = list(self.groups_by(self.metric).values())
        self._compare()

    def _rank(self, record: RunRecord) -> tuple[Any, ...]:
        values = [record.settings.get(name) for name in self.conditions]
        numbers = [(0, x, "") if isinstance(x, int | float) else (1, 0, as_text(x)) for x in values]
        figure = record.figures.get(self.metric)
        return record.status != "finished", numbers, figure is None, figure or 0

    def _follows(self, name: str, records: Sequence[RunRecord]) -> bool:
        """Return whether a setting, which is no condition, has one value in all runs of each experiment."""
        if "experiment" not in self.keys or name == "experiment" or is_condition(name):
            return False
        configured = [record.settings for record in records if record.settings]
        pairs = {(settings.get("experiment"), as_text(settings.get(name))) for settings in configured}
        return len(pairs) == len({experiment for experiment, _ in pairs})

    def _compare(self) -> None:
        """Compare the groups of each condition with the best one of these."""
        self.leads, self.differences = list[str](), dict[str, Difference | None]()
        if self.search:  # its trials follow from each other's errors, so that no test between them holds
            return
        seeds = {record.settings.get("data.seed") for record in self.records}
        where = " for these points" if len(seeds) == 1 and seeds != {None} else ""
        where = " for these rows" if all(record.of_table for record in self.records) else where
        for condition in dict.fromkeys(self._within):
            groups = [candidate for candidate in self.groups if candidate.condition == condition]
            if len(groups) > 1:
                self.leads.append(describe_lead(groups, where))
                self.differences |= {candidate.name: compare_groups(groups[0], candidate) for candidate in groups[1:]}

    @property
    def compared(self) -> Sequence[str]:
        """The headers of the columns that compare a group with the best one; none: no group has enough seeds."""
        return ("factor", "95 % interval", "p") if any(self.differences.values()) else ()

    @property
    def lead(self) -> str:
        """The sentences on the leads of the best groups."""
        return " ".join(self.leads)

    def groups_by(self, metric: str) -> dict[str, Group]:
        """Return the groups by their names, sorted by their condition and then by a metric, the best first."""
        groups = group(self.records, self.names, metric, self._within, self._blocks)
        return {candidate.name: candidate for candidate in groups}

    @property
    def folded(self) -> bool:
        """True if all runs are of a cross-validation: each group is one candidate, with a mean over folds."""
        return bool(self.groups) and all(group.folds for group in self.groups)

    @property
    def sentences(self) -> list[str]:
        """The sentences on a search, repetitions, the rank and the lead."""
        searched = _describe_trials(self.search) if self.search else ""
        equal = "runs with equal settings, rows and versions count once"
        repeated = f"{self.repetitions} left out, because {equal}." if self.repetitions else ""
        several = len(self.conditions) > 1
        condition = f"{listed(self.conditions, last=' and ')} {'are conditions' if several else 'is a condition'}"
        within = f"{condition}: groups are compared where {'these are' if several else 'it is'} the same."
        sentences = searched, repeated, self.reason, within if self.conditions else "", *self.leads[:_MOST_LEADS]
        return [sentence for sentence in sentences if sentence]

    def csv(self) -> str:
        """Return a row per run: its status, its overrides, the settings in which the runs differ, all final figures."""
        names = [*COLUMNS, *self.keys, *self.metrics]
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(map(_cell, names))
        writer.writerows([[_cell(row.get(name)) for name in names] for row in table(self.records)])
        return buffer.getvalue()


def _describe_trials(trials: Trials) -> str:
    """Return a sentence on the objective and the best trials."""
    metrics = " and ".join(map(printable, trials.objective))
    searched = f"{len(trials.trials)} trials of a search that minimises {metrics}"
    if not trials.best:
        return f"{searched}; none has finished."
    which = f"no other trial beats {', '.join(map(str, trials.best))} in all of these"
    if len(trials.best) == 1:
        runs = [run for trial in trials.trials if trial.number == trials.best[0] for run in trial.runs]
        which = f"the best trial is {trials.best[0]}, run {', '.join(map(str, runs))}"
    return f"{searched}: {which}. The search did not use the test points."


def _is_uncompared(record: RunRecord, board: Leaderboard) -> bool:
    """Return whether a run judges no candidate, and is not compared: an earlier run, or a run of the answer."""
    lists = [(*candidate.earlier, *candidate.refits, *candidate.calibrating) for candidate in board.candidates]
    return os.path.basename(record.path) in {str(run) for runs in lists for run in runs}


def _without_validation(record: RunRecord) -> RunRecord:
    """Return a run without its validation errors, which are not compared.

    The validation rows of a run on all rows are its training rows.
    """
    return replace(record, figures={name: x for name, x in record.figures.items() if not name.startswith("val/")})


def _with_objective(record: RunRecord) -> RunRecord:
    """Return a run with the default objective, which is not among its figures but follows from them."""
    (value,) = Objective(VAL_NRMSE).values(record.figures)
    return replace(record, figures={**record.figures, VAL_NRMSE: value}) if math.isfinite(value) else record


def _cell(value: Any) -> Any:
    """Return a cell of a CSV file: a text that a spreadsheet would read as a formula gets an apostrophe.

    References:
        https://owasp.org/www-community/attacks/CSV_Injection
    """
    if not isinstance(value, str):
        return value
    return ("'" if value.startswith(("=", "+", "-", "@")) else "") + printable(value)


def collect(paths: Sequence[str | os.PathLike[str]], where: Sequence[str] = ()) -> list[RunRecord]:
    """Read the runs at or below some directories, each once, with the options of groups as they are typed.

    Runs on different rows under the same name of a file have the setting `data.rows`.

    Args:
        paths: runs, sweeps, or directories above them.
        where: filters `key=value`; only the runs that match all of them are returned.

    Raises:
        FileNotFoundError: there is no such directory.
        ValueError: a filter has no `=`, or no run has its key or its value.
    """
    records = with_rows(with_options([read(run) for run in find(*paths)]))
    for condition in where if records else ():
        name, equals, wanted = condition.partition("=")
        rows = table(records)
        if not equals or not any(name in row for row in rows):
            keys = sorted({key for row in rows for key in row})
            raise ValueError(f"--where: must be key=value, and the key {_nearest(name, keys)}; got {condition!r}")
        values = [row.get(name) for row in rows]
        matches = [_parsed(as_text(value)) == _parsed(wanted) for value in values]
        if not any(matches):
            options = sorted({as_text(value) for value in values})
            raise ValueError(f"--where: {name} {_nearest(wanted, options)}; got {wanted!r}")
        records = [record for record, is_match in zip(records, matches, strict=True) if is_match]
    return records


def mark(records: Sequence[RunRecord], failures: Mapping[str, str]) -> list[RunRecord]:
    """Mark runs as failed whose directories are gone or could not be written to: the keys of `failures`."""
    records = [*records, *(RunRecord(path, "failed") for path in failures if not os.path.isdir(path))]
    changes = {os.path.abspath(path): {"status": "failed", "message": printable(x)} for path, x in failures.items()}
    return [replace(record, **changes.get(os.path.abspath(record.path), {})) for record in records]


def _nearest(name: str, names: Iterable[str]) -> str:
    """Return the rule for a name: all allowed names if they are few, or else the three most similar ones."""
    if len(names := list(names)) <= _MOST_NAMES:
        return f"must be one of {', '.join(names)}"
    near = get_close_matches(name, names, 3, 0) or names[:3]
    return f"must be one of {len(names)}, such as {', '.join(near)} (all are in the table that --csv - prints)"


def _parsed(value: str) -> Any:
    """Return the content of a text as JSON, so that [-1,1] is [-1.0, 1.0] and true True; other texts as they are."""
    try:
        return json.loads(value.lower() if value in ("True", "False") else value)
    except ValueError:
        return value
