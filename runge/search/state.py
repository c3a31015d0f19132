"""The state of a search: what is known of its candidates, as a pure function of the results so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import inf

import numpy as np

from runge.data.seed import Seed
from runge.data.table import Table
from runge.records.metrics import ERRORS
from runge.search.candidates import Candidate
from runge.search.conditions import Conditions
from runge.search.constants import CONTENDER_CHANCE, SET_UP_SECONDS
from runge.search.contradiction import WrongFactor, wrong_factors
from runge.search.judging import SearchTable
from runge.search.results import Move, Result, Trial
from runge.search.selection import chances
from runge.search.standing import Standing

__all__ = ["State", "merge"]


@dataclass(frozen=True, eq=False)
class State:
    """A search so far.

    Attributes:
        conditions: what does not change.
        listed: the candidates of the configuration, by their names there.
        moves: the trials that have begun or are about to, by their numbers.
        results: the results of those that have ended, in the order in which they have.
        now: the seconds since the beginning.
        table: the table; None: a formula.
    """

    conditions: Conditions
    listed: Mapping[str, Candidate]
    moves: Mapping[int, Move] = field(default_factory=dict)
    results: Mapping[int, Result] = field(default_factory=dict)
    now: float = 0.0
    table: SearchTable | None = None

    @cached_property
    def standings(self) -> Mapping[str, Standing]:
        """All candidates so far, by their names."""
        found = {candidate.name: Standing(candidate) for candidate in self.listed.values()}
        for number, move in self.moves.items():
            candidate = self.candidate_of(move)
            found.setdefault(candidate.name, Standing(candidate))
            if number in self.results:
                found[candidate.name] = found[candidate.name].after(number, move, self.results[number])
        return found

    @cached_property
    def ranked(self) -> list[Standing]:
        """The candidates that have a network: the winner, the best ones, and those that lack a fold.

        If labels contradict each other, candidates that use only the values are before the others.
        """

        def order(x: Standing) -> tuple[bool, bool, int, float]:
            is_behind = bool(self.wrong) and not x.candidate.is_of_values
            return x.name != self.winner, is_behind, -min(len(x.by_fold), self.judges), x.error

        return sorted((x for x in self.standings.values() if x.by_fold), key=order)

    @cached_property
    def judges(self) -> int:
        """The number of folds that judge candidates: more than at first once those that may be the best need others."""
        folds = [move.fold for move in self.moves.values() if move.fold is not None and not move.of_answer]
        return max(self.conditions.judges, 1 + max(folds, default=0))

    @cached_property
    def contenders(self) -> list[Standing]:
        """The candidates that may be best: the first of `ranked`, and those that resamples of the rows choose."""
        folds = {*range(self.judges)}
        judged = [x for x in self.ranked if folds <= x.by_fold.keys()]
        if self.table is None or self.wrong or not judged:
            return self.ranked[:1]
        shares = chances(judged, folds, self.table)
        return [x for i, x in enumerate(judged) if i == 0 or shares[i] >= CONTENDER_CHANCE]

    @cached_property
    def wrong(self) -> Sequence[WrongFactor]:
        """The columns of derivatives that contradict the values; none: all agree, or it is not known.

        A candidate that uses only the values is then better for these than the best one of the others.
        """
        judged = [x for x in self.standings.values() if len(x.by_fold) >= self.conditions.judges]
        by_values, others = ([x for x in judged if x.candidate.is_of_values is one] for one in (True, False))
        is_chosen = self.winner and not self.standings[self.winner].candidate.is_of_values
        if self.table is None or is_chosen or not by_values or not others:
            return []
        errors = {x.name: error for x in judged if (error := x.metric(ERRORS[0])) is not None}
        fit, other = min(by_values, key=lambda x: errors.get(x.name, inf)), min(others, key=lambda x: x.error)
        is_better = errors.get(fit.name, inf) < errors.get(other.name, 0)
        return wrong_factors(fit.results, self.table.rows) if is_better else []

    @property
    def table_of_answer(self) -> SearchTable | None:
        """The table without columns of derivatives that contradict the values."""
        if self.table is None or not self.wrong:
            return self.table
        columns = np.zeros(self.table.rows.dydx.shape[1:], bool)
        columns[[x.output for x in self.wrong], [x.input for x in self.wrong]] = True
        return self.table.without(columns)

    @property
    def winner(self) -> str:
        """The name of the candidate of which the answer is made; empty: it is not chosen yet."""
        return next((self.candidate_of(move).name for move in self.moves.values() if move.of_answer), "")

    @property
    def running(self) -> list[Move]:
        """The trials that have not ended."""
        return [move for number, move in self.moves.items() if number not in self.results]

    @property
    def free(self) -> int:
        """The number of cores that are free."""
        return self.conditions.cores - sum(move.threads for move in self.running)

    @property
    def set_up(self) -> float:
        """The seconds of a trial in addition to its training, as the last ones have measured them."""
        last = [result.total - result.seconds for result in [*self.results.values()][-2 * self.conditions.cores :]]
        return SET_UP_SECONDS + max(last, default=SET_UP_SECONDS)

    def candidate_of(self, move: Move) -> Candidate:
        """Return the candidate that a trial trains."""
        return self.listed[move.candidate].varied(move.changes)

    def unseeded(self, candidate: Candidate) -> Candidate:
        """Return a candidate with the seed of the listed one."""
        changes = {key: value for key, value in candidate.changes.items() if key != "seed"}
        return self.listed[candidate.listed].varied(changes)

    def standing_of(self, candidate: Candidate) -> Standing:
        """Return what is known of a candidate; nothing before its first trial."""
        return self.standings.get(candidate.name, Standing(candidate))

    def trial(self, move: Move) -> Trial:
        """Return what a process gets of a trial: the settings of its run, except those that the command sets."""
        candidate, fixed = self.candidate_of(move), self.conditions.fixed
        settings, start = candidate.settings, None if move.start is None else self.results[move.start]
        data, trainer, seed = settings.data, settings.trainer, settings.seed.seed
        if isinstance(data, Table):
            share = {} if move.share is None else {"train": float(f"{move.share:.6g}")}  # as it is typed
            data = replace(data, fold=move.fold, split={**data.split, **share})
            if move.fold is None:  # all rows; the test rows are those of the folds
                data = replace(data, folds=None, seed=data.seed or 0, split={**data.split, "val": 0})  # as with folds
        if "trainer.max_steps" not in fixed:
            steps = move.steps or max(trainer.max_steps, 2 * start.steps if start else 0)
            if trainer.patience and not candidate.by_gradient and "trainer.patience" not in fixed:
                trainer = replace(trainer, patience=max(1, trainer.patience * steps // trainer.max_steps))  # a share
            trainer = replace(trainer, max_steps=steps)
        trainer = replace(trainer, stop_at=move.stop_at, progress_bar=False)
        seeded = Seed(seed=seed + move.seed)
        settings = replace(settings, data=data, trainer=trainer, seed=seeded)
        slowness, plans_steps = self.standing_of(candidate).slowness, "trainer.max_steps" not in fixed
        channels = None if self.table is None else self.table.channels
        most = 0.0 if self.table is None or move.of_answer else self.conditions.most_share
        return Trial(settings, move, start, slowness, plans_steps, candidate.separate, channels, most)

    def left(self, until: float | None = None) -> float:
        """Return the seconds until a time; None: until training ends."""
        return (self.conditions.end if until is None else until) - self.now

    def origin(self, move: Move) -> int | None:
        """Return the number of the trial of other rows whose weights a trial of all rows has begun with."""
        start = move.start
        while start is not None and self.moves[start].fold is None:
            start = self.moves[start].start
        return start

    def before(self, rung: int) -> "State":
        """Return the state of only the comparisons before one."""
        return replace(self, moves={n: x for n, x in self.moves.items() if x.rung is not None and x.rung < rung})


def merge(state: State, moves: Mapping[int, Move], results: Mapping[int, Result], now: float) -> State:
    """Return the state after further trials have begun or ended.

    Args:
        state: the state before.
        moves: the trials that begin, by their numbers.
        results: the results of those that have ended, by their numbers.
        now: the seconds since the beginning.
    """
    return replace(state, moves={**state.moves, **moves}, results={**state.results, **results}, now=now)
