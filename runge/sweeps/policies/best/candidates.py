"""The candidates of `search=best` as the command's overrides make them."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from runge.composing.command import SweepCommand
from runge.configuration.command_line import overrides_of
from runge.configuration.errors import ConfigurationError
from runge.data.channels import Channels
from runge.data.rows import Rows
from runge.labels.wrong_columns import describe_wrong_columns, without_wrong_columns
from runge.sweeps.policies.best.constants import SLOWNESS_AT_FIRST
from runge.sweeps.policies.best.trained_runs import TrainedRun, error_of, root_mean
from runge.training.member import Member

__all__ = ["Candidate", "CandidateFactory", "without_equal"]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A candidate, and the runs by which it is judged.

    Attributes:
        name: its name.
        overrides: the overrides of its runs, without those of rows, folds and time.
        member: its run on all rows, as it would be.
        by_fold: its present runs, by the fold that they leave out.
        slowness: the time of its steps over what it was expected to be.
        failure: how its last run has failed; empty: it has not.
        runs: the numbers of all of its runs that leave out a fold, also of those on fewer rows.
        refits: the numbers of its runs on all rows.
        calibrating: the numbers of further runs that leave out a fold, with other seeds, which calibrate intervals or
            question labels.
        first_seed: the name of the candidate that it is, apart from its seed; empty: itself.
    """

    name: str
    overrides: Sequence[str]
    member: Member = field(repr=False, compare=False)
    by_fold: Mapping[int, TrainedRun] = field(default_factory=dict)
    slowness: float = SLOWNESS_AT_FIRST
    failure: str = ""
    runs: Sequence[int] = ()
    refits: Sequence[int] = ()
    calibrating: Sequence[int] = ()
    first_seed: str = ""

    @property
    def in_order(self) -> list[TrainedRun]:
        """Its present runs, in the order of the folds."""
        return [self.by_fold[fold] for fold in sorted(self.by_fold)]

    @property
    def error(self) -> float:
        """The error by which it is ranked."""
        return error_of(self.in_order)

    @property
    def seconds(self) -> float:
        """The mean time of its present runs."""
        return sum(run.seconds for run in self.in_order) / max(len(self.by_fold), 1)

    @property
    def cut(self) -> bool:
        """True if more steps or rows may reduce the error on some fold."""
        return any(run.may_gain for run in self.by_fold.values())

    @property
    def continues(self) -> bool:
        """True if more steps may help, from the present weights: fixed neurons cannot continue."""
        return self.cut and not self.member.settings.optimizer.last_layer_alone

    @property
    def spent(self) -> float:
        """The seconds that were spent on its networks."""
        return sum(run.spent for run in self.by_fold.values())

    def with_folds(self, folds: int) -> "Candidate":
        """Return the candidate with another number of folds."""
        kept = [override for override in self.overrides if not override.startswith("data.folds=")]
        return replace(self, overrides=[f"data.folds={folds}", *kept])

    def root_mean(self, name: str) -> float | None:
        """Return the root mean square of a metric over its present runs; None: it is not known."""
        return root_mean(self.in_order, name)


def without_equal(candidates: Sequence[Candidate], channels: Channels) -> tuple[list[Candidate], list[str]]:
    """Leave out candidates of the values alone that would equal others, unless all are such.

    Args:
        candidates: the candidates.
        channels: the factors of values and derivatives, 0 for those that are constant or not known.

    Returns:
        The others, and why these are left out.
    """
    why = "no derivatives are known, so it would equal the candidate with derivatives"
    if channels.slope.any():
        why = "no two values of an output are known that differ"
    differ = channels.slope.any() and channels.value.any()
    alone = [x for x in candidates if not (differ or x.member.settings.loss.lambda_d)]
    if len(alone) == len(candidates):  # it is an override of the command
        return list(candidates), []
    return [x for x in candidates if x not in alone], [f"{candidate.name}: {why}" for candidate in alone]


class CandidateFactory:
    """The overrides of candidates, and those of the command, which win.

    Args:
        command: the command of the sweep.

    Attributes:
        fixed: the overrides of the command, by their keys.
        of_table: whether they are for tables.
        columns: overrides of the columns of a table, of all candidates.

    Raises:
        ConfigurationError: an override has several values, or says what the search decides.
    """

    def __init__(self, command: SweepCommand) -> None:
        self.command, parsed = command, command.parsed
        for override in parsed:
            if override.is_sweep_override():
                what = "must have one value with search=best, for all candidates"
                raise ConfigurationError(f"{override.get_key_element()}: {what}; got {override.input_line}")
        self.fixed = {override.get_key_element().lstrip("+~"): str(override.input_line) for override in parsed}
        data = command.data
        if data.get("fold") is not None:
            rule = "must be null with search=best, which leaves out each of them"
            raise ConfigurationError(f"data.fold: {rule}; got {data['fold']}")
        if "data.folds" in self.fixed and data.get("folds") is None:
            raise ConfigurationError("data.folds: must be at least 2 with search=best, got null")
        self.of_table = "file" in data
        self.columns: Sequence[str] = ()

    def compose(self, listed: Mapping[str, Sequence[str]]) -> tuple[list[Candidate], list[str]]:
        """Return the candidates that the command's overrides allow, and why the others are left out.

        Args:
            listed: the overrides of each, by its name.

        Raises:
            ConfigurationError: there are none.
        """
        candidates, left_out = dict[str, Candidate](), list[str]()
        failure, optimizers = None, list[str]()
        for name, settings in listed.items():
            optimizer = next((x for x in settings if x.startswith("optimizer=")), "optimizer=adamw")
            optimizers.append(optimizer.partition("=")[2])
            if self.fixed.get("optimizer", optimizer) != optimizer:
                continue
            overrides = [*(override for override in settings if override.partition("=")[0] not in self.fixed)]
            overrides += [*self._table_overrides(), *self.fixed.values()]
            try:
                member = self.member(overrides)
            except (ConfigurationError, ValueError) as error:
                failure = failure or error
                left_out.append(f"{name}: {error}")
                continue
            candidates.setdefault(member.apart_from_seed(), Candidate(name, overrides, member))
        if candidates:
            return list(candidates.values()), left_out
        if failure is not None:
            raise failure
        if not optimizers:
            raise ConfigurationError("search.tables, search.formulas: must have a candidate, got none")
        rule = f"must be that of a candidate of search=best, {' or '.join(dict.fromkeys(optimizers))}"
        got = self.fixed["optimizer"].partition("=")[2]
        raise ConfigurationError(f"optimizer: {rule}; got {got}; leave search=best out for one run")

    def leave_out_wrong_columns(self, rows: Rows | None) -> str:
        """Leave derivatives that contradict the values out of all candidates; return a sentence on them, or ""."""
        wrong = describe_wrong_columns(rows) if rows else ""
        if rows and wrong and "data.derivatives" not in self.fixed:
            self.columns = without_wrong_columns(rows)
        remedy = "These derivatives are left out; data.derivatives={...} chooses others."
        return f"{wrong} {remedy}" if self.columns else wrong

    def changed(self, candidate: Candidate, changes: Mapping[str, Any]) -> Candidate:
        """Return the candidate with other settings, which has not been trained."""
        overrides = [override for override in candidate.overrides if override.partition("=")[0] not in changes]
        overrides += (changed := overrides_of(changes))
        return Candidate(f"{candidate.name}; {', '.join(changed)}", overrides, self.member(overrides))

    def variations(self, candidate: Candidate) -> list[Candidate]:
        """Return larger variations of a candidate, and for a formula variations with more points."""
        model, fixed = candidate.member.settings.model, candidate.member.settings.optimizer.last_layer_alone
        changes = [{"model.width": 2 * model.width}, *([] if fixed else [{"model.depth": model.depth + 1}])]
        if not self.of_table:
            points = {"data.n_train": 2 * candidate.member.settings.configuration["data"]["n_train"]}
            changes = [points | changes[0] if fixed else points]
        varied = list[Candidate]()
        for change in changes:
            if change.keys() & self.fixed.keys():
                continue
            with suppress(ConfigurationError):  # a larger network is not allowed
                varied.append(self.changed(candidate, change))
        return varied

    def member(self, overrides: Sequence[str]) -> Member:
        """Return the run that some overrides make; of several folds the first one."""
        keys = {override.partition("=")[0] for override in overrides}
        fold = ["data.fold=0"] if "data.folds" in keys and "data.fold" not in keys else []
        typed = [*overrides, *fold]
        return Member(self.command.settings_of(typed), typed)

    def _table_overrides(self) -> list[str]:
        """Return the overrides of a table's test rows, folds and columns that the command lacks; none for a formula."""
        if not self.of_table:
            return []
        kept = {} if {"data.split", "data.split.test"} & self.fixed.keys() else {"data.split.test": 0}
        # `Candidate.with_folds` sets the number of folds, which follows from the rows.
        kept |= {} if "data.folds" in self.fixed else {"data.folds": 5}
        return [*overrides_of(kept), *self.columns]
