"""Rank runs: the stages of a comparison in their order, and their result, which the views show."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runge.comparison.baseline import claim_of, default_of
from runge.comparison.differing_settings import Division, compare_settings, divide, remarks_of
from runge.comparison.groups import Group, Place, group
from runge.comparison.lead import Difference
from runge.comparison.metric_columns import choose_metric
from runge.comparison.naming import as_text, candidate_names, label, names_of
from runge.comparison.runs import collect, comparable, matches, nearest, searched_metric, validates_on_training
from runge.comparison.shown import MOST_LEADS
from runge.comparison.verdicts import Verdict, judge, scope
from runge.configuration.errors import listed
from runge.records.files import printable
from runge.records.leaderboard import Leaderboard, read_leaderboard
from runge.records.reading import COLUMNS, RunRecord, table
from runge.records.trials import Trials, read_trials

VERDICTS = "verdicts.csv"
"""The file of the verdicts in the directory of a report."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """Runs, the best first and unfinished ones last.

    Attributes:
        records: the runs.
        repetitions: the number of runs that were left out, because they repeat others.
        metrics: all metrics of the runs.
        keys: the settings in which they differ.
        uncommon: further settings that not all runs have in common.
        common: the settings that they have in common.
        metric: the metric by which they are ranked; smaller is better.
        reason: a sentence with the reason for this metric; empty: it is the default, or was given.
        claim: the claim that the experiment of all runs states; empty: there is none.
        conditions: the settings that are conditions of the comparison.
        places: the place of each run.
        groups: the groups, the best of each condition first.
        effects: the groups by each of several keys that vary, which are compared instead.
        verdicts: the comparison of each group with its baseline, or with the best one of its condition.
        trials: the results of `search=optuna`, if they are its runs.
        board: the leaderboard of `search=best`, if they are its runs.
    """

    records: Sequence[RunRecord]
    repetitions: int
    metrics: Sequence[str]
    keys: Sequence[str]
    uncommon: Sequence[str]
    common: Sequence[str]
    metric: str
    reason: str
    claim: str
    conditions: Sequence[str]
    places: Sequence[Place]
    groups: Sequence[Group]
    effects: Sequence[Group]
    verdicts: Sequence[Verdict]
    trials: Trials | None
    board: Leaderboard | None

    @property
    def differences(self) -> dict[str, Difference | None]:
        """The difference of each compared group to its baseline, or to the best one of its condition, by its name."""
        return {verdict.group.name: verdict.difference for verdict in self.verdicts}

    @property
    def compared(self) -> Sequence[str]:
        """The headers of the columns that compare a group with another one; none: no group has enough seeds."""
        return ("factor", "95 % interval", "p (Holm)") if any(self.differences.values()) else ()

    @property
    def leads(self) -> list[str]:
        """A sentence on each group that is compared with a baseline, or on the lead of the best one."""
        return [verdict.sentence for verdict in self.verdicts if verdict.sentence]

    @property
    def lead(self) -> str:
        """The sentences on the groups."""
        return " ".join(self.leads)

    def groups_by(self, metric: str) -> dict[str, Group]:
        """Return the groups by their names, sorted by their condition and then by a metric, the best first."""
        return {candidate.name: candidate for candidate in group(self.records, self.places, metric)}

    @property
    def folded(self) -> bool:
        """True if all runs are of a cross-validation: each group is one candidate, with a mean over folds."""
        return bool(self.groups) and all(group.folds for group in self.groups)

    @property
    def sentences(self) -> list[str]:
        """The sentences on a search, repetitions, the rank and the lead."""
        searched = _describe_trials(self.trials) if self.trials else ""
        equal = "runs with equal settings, rows and versions count once"
        repeated = f"{self.repetitions} left out, because {equal}." if self.repetitions else ""
        several = len(self.conditions) > 1
        condition = f"{listed(self.conditions, last=' and ')} {'are conditions' if several else 'is a condition'}"
        within = f"{condition}: groups are compared where {'these are' if several else 'it is'} the same."
        effects = "Several settings vary: each is compared where the others are the same." if self.effects else ""
        left = len(self.leads) - MOST_LEADS
        more = f"{left} more sentences are in {VERDICTS}." if left > 0 else ""
        old = [record.lacks for record in self.records if record.lacks]
        lacking = f"{len(old)} runs of an earlier version have no {old[0]}." if old else ""
        about = self.claim, searched, repeated, self.reason, within if self.conditions else "", effects
        return [sentence for sentence in (*about, *self._copies, *self.leads[:MOST_LEADS], more, lacking) if sentence]

    @property
    def _copies(self) -> list[str]:
        """A sentence for each group with runs that have equal metrics under different seeds."""
        copied = {group.name: printable(", ".join(group.copies)) for group in self.groups if group.copies}
        return [f"{name}: equal errors under different seeds in {runs}." for name, runs in copied.items()]

    def verdicts_csv(self) -> str:
        """Return a row for each verdict, with all digits and the sentence."""
        rows = [verdict.row for verdict in self.verdicts]
        return _csv(list(rows[0]) if rows else ["group"], rows)

    def csv(self) -> str:
        """Return a row per run: its status, its overrides, the settings in which the runs differ, all final figures."""
        return _csv([*COLUMNS, *remarks_of(self.records), *self.keys, *self.metrics], table(self.records))


def rank_directories(
    paths: Sequence[str | os.PathLike[str]],
    metric: str | None = None,
    where: str | Sequence[str] = (),
    group_by: str | Sequence[str] | None = None,
    baseline: str | Sequence[str] = (),
) -> Ranking:
    """Rank the runs at or below some directories, with the results of a search if they are the runs of one.

    Args:
        paths: runs, sweeps, or directories above them.
        metric: the metric, as for `rank`.
        where: filters, as for `runge.comparison.runs.collect`.
        group_by: the settings that define a group, as for `rank`.
        baseline: the group with which others are compared, as for `rank`.

    Raises:
        FileNotFoundError: there is no such directory.
        ValueError: there are no such runs, or they do not have this metric or these settings.
    """
    trials, board = read_trials(paths), read_leaderboard(paths)
    return rank(collect(paths, where), metric, group_by, trials, board, baseline)


def rank(
    records: Sequence[RunRecord],
    metric: str | None = None,
    group_by: str | Sequence[str] | None = None,
    trials: Trials | None = None,
    board: Leaderboard | None = None,
    baseline: str | Sequence[str] = (),
) -> Ranking:
    """Rank runs, group them, and compare the groups.

    Args:
        records: the runs; repetitions are left out, except among the runs of a search.
        metric: the metric by which the runs are ranked; smaller is better. None: the objective of the search, if it is
            one; else `test/mse_df`, or one without units for runs on different data, as in
            `runge.comparison.metric_columns.choose_metric`.
        group_by: the settings that define a group, which is compared with others where the other settings are the same;
            None: all in which the runs differ, except seeds and fold. Then groups are compared where the target,
            the number of training points and the noise are the same: these are conditions, and not chosen.
        trials: the results of `search=optuna`, if they are its runs.
        board: the leaderboard of `search=best`, if they are its runs.
        baseline: settings `key=value` of the group with which the others are compared; these keys define the groups.
            Empty: the baseline of the runs' experiment, or the value that a key has without an override, if one group
            has it, or else the best group.

    Raises:
        ValueError: there are no runs, or none of them has the metric or one of the settings.
    """
    baseline = [baseline] if isinstance(baseline, str) else baseline
    group_by = [group_by] if isinstance(group_by, str) else group_by
    if not records:
        raise ValueError("DIR, --where: must select at least one run; there is none")
    runs = comparable(records, trials, board)
    metrics = list(dict.fromkeys(name for run in runs for name in run.figures))
    names = dict.fromkeys(name for run in runs for name in run.settings if name not in metrics)
    for name in group_by or ():
        if name not in names:
            raise ValueError(f"--group-by: {nearest(name, names)}; got {name!r}")
    keys, uncommon, common = compare_settings(runs, list(names))
    reason = ""
    if metric is None and searched_metric(trials) in metrics:
        metric = searched_metric(trials)
    if not metric:
        judged = [run for run in runs if not validates_on_training(run)]
        metric, reason = choose_metric(judged or runs, keys)
    _check_metric(metric, metrics)
    claim = ""
    if not (group_by or baseline or trials or board):
        claim, baseline = claim_of(runs)
    compared = list(dict.fromkeys(name.partition("=")[0] for name in baseline))
    divisions = divide(runs, keys, group_by, compared)
    if trials or board:
        divisions = [Division(divisions[0].groups)]
    runs = _sorted(runs, metric, divisions[0].conditions)
    of_candidates = board if group_by is None else None
    (places, groups, _), *effects = divided = [_divide(runs, one, metric, baseline, of_candidates) for one in divisions]
    # The trials of a search follow from each other's errors, so that no test between them holds.
    compared = [] if trials else [(some, baselines) for _, some, baselines in effects or divided]
    return Ranking(
        records=runs,
        repetitions=len(records) - len(runs),
        metrics=metrics,
        keys=keys,
        uncommon=uncommon,
        common=common,
        metric=metric,
        reason=reason,
        claim=claim,
        conditions=divisions[0].conditions,
        places=places,
        groups=groups,
        effects=[one for _, some, _ in effects for one in some],
        verdicts=judge(compared, scope(runs, metric)),
        trials=trials,
        board=board,
    )


def _divide(
    runs: Sequence[RunRecord], division: Division, metric: str, baseline: Sequence[str], board: Leaderboard | None
) -> tuple[list[Place], list[Group], set[str]]:
    """Return the place of each run in a division, its groups, and the names of those that are baselines."""
    names = names_of(runs, division.groups)
    if board:
        names = candidate_names(board, [run.path for run in runs], names)
    places = [
        Place(name, label(run.settings, division.conditions), label(run.settings, division.blocks))
        for name, run in zip(names, runs, strict=True)
    ]
    baseline = baseline or default_of(runs, division.factor)
    is_base = matches(runs, baseline, "--baseline") if baseline else []
    return places, group(runs, places, metric), {names[i] for i, is_one in enumerate(is_base) if is_one}


def _check_metric(metric: str, metrics: Sequence[str]) -> None:
    if metrics and metric not in metrics:
        raise ValueError(f"--metric: {nearest(metric, metrics)}; got {metric!r}")
    if "/r2_f" in metric:
        rule = "must be a figure that is smaller when it is better, such as nrmse_f, which ranks alike"
        raise ValueError(f"--metric: {rule}; got {metric!r}")


def _sorted(runs: Sequence[RunRecord], metric: str, conditions: Sequence[str]) -> list[RunRecord]:
    """Return runs sorted by their conditions and then by a metric, unfinished ones last."""

    def rank_of(run: RunRecord) -> tuple[Any, ...]:
        values = [run.settings.get(name) for name in conditions]
        numbers = [(0, x, "") if isinstance(x, int | float) else (1, 0, as_text(x)) for x in values]
        figure = run.figures.get(metric)
        return run.status != "finished", numbers, figure is None, figure or 0

    return sorted(runs, key=rank_of)


def _csv(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(_csv_cell, names))
    writer.writerows([[_csv_cell(row.get(name)) for name in names] for row in rows])
    return buffer.getvalue()


def _csv_cell(value: Any) -> Any:
    """Return a cell of a CSV file: a text that a spreadsheet would read as a formula gets an apostrophe.

    References:
        https://owasp.org/www-community/attacks/CSV_Injection
    """
    if not isinstance(value, str):
        return value
    return ("'" if value.startswith(("=", "+", "-", "@")) else "") + printable(value)


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
