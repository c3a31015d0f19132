"""The policy of `search=best`: candidates of all methods, compared on rows that they have not seen, in a given time.

A held-out fold of the rows judges all candidates, or several folds if there are few rows. With many rows the candidates
begin on some of them. After each rung the best two of five continue, from their weights, with twice the steps and more
rows. The winner has the time that is left: for more steps as long as these reduce its error, then for variations of it
and for further seeds (`runge.sweeps.policies.best.moves`), and for its networks of all rows
(`runge.sweeps.policies.best.answer`). Each run has a share of the time, so that nothing is left out because it is
expected to be slow, and a busy machine only takes fewer steps.

References:
    K. Jamieson, A. Talwalkar (2016). Non-stochastic best arm identification and hyperparameter optimization.
    https://arxiv.org/abs/1502.07943
    L. Li et al. (2018). Hyperband: a novel bandit-based approach to hyperparameter optimization.
    https://arxiv.org/abs/1603.06560
"""

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

from runge.composing.command import SweepCommand
from runge.configuration.errors import RunError
from runge.configuration.objects import build
from runge.configuration.validation import Count, Positive, checked
from runge.sweeps.journal import Journal
from runge.sweeps.policies.best.answer import answer
from runge.sweeps.policies.best.candidates import Candidate, CandidateFactory, without_equal
from runge.sweeps.policies.best.constants import (
    AS_GOOD_FACTOR,
    COMPARISON_SHARE,
    FIRST_WEIGHT,
    LEAST_ROW_GROWTH,
    LEAST_SET_UPS,
    LEAST_SLICE_SECONDS,
    MOST_ROW_GROWTH,
    PROMOTION_RATIO,
    START_UP_SECONDS,
)
from runge.sweeps.policies.best.display import Display
from runge.sweeps.policies.best.moves import improved_until, next_move
from runge.sweeps.policies.best.search_table import SearchTable
from runge.sweeps.policies.best.selection import PlannedRun, Selection
from runge.sweeps.policies.best.verdict import leaderboard
from runge.sweeps.policies.policy import Policy, Rounds

__all__ = ["Best", "BestSettings"]

log = logging.getLogger(__name__)


@checked
class BestSettings:
    """The section `search` of `search=best`.

    Attributes:
        timeout: the time limit in seconds.
        tables: the candidates for tables: a name, and the overrides of a run; the fast ones first.
        formulas: the same for formulas.
        seeds: the largest number of networks in the answer, which differ in their seed.
        compare: false: do not compare the runs at the end, and write no report.
    """

    timeout: Positive
    tables: Mapping[str, Sequence[str]]
    formulas: Mapping[str, Sequence[str]]
    seeds: Count
    compare: bool


class Best(Policy):
    """Candidates of all methods, of which the best give the answer.

    Attributes:
        selection: the candidates and their runs.
        promotions: which candidates were trained further, and why, a line for each round.
    """

    displays: ClassVar[bool] = True

    def __init__(self, command: SweepCommand) -> None:
        settings = build("search", command.search_settings, BestSettings)
        self.compares = settings.compare
        factory = CandidateFactory(command)
        listed = settings.tables if factory.of_table else settings.formulas
        candidates, left_out = factory.compose(listed)
        self._wrong = factory.leave_out_wrong_columns(candidates[0].member.rows)
        if factory.columns:
            candidates, left_out = factory.compose(listed)
        table = None
        folds, judges = 1, 1
        if factory.of_table:
            table = SearchTable.of(candidates[0].member)
            folds = table.rows.folds
            if "data.folds" not in factory.fixed:
                folds = table.count_folds()
                candidates = [candidate.with_folds(folds) for candidate in candidates]
            judges = table.count_judges(folds)
            candidates, without_effect = without_equal(candidates, table.channels)
            left_out += without_effect
        self._left_out = left_out
        self.selection = Selection(
            factory,
            {candidate.name: candidate for candidate in candidates},
            table,
            folds=folds,
            judges=judges,
            directory=command.directory,
            timeout=settings.timeout,
            seeds=settings.seeds,
            processes=command.processes or 1,
        )
        self.promotions = list[str]()

    def description(self) -> Mapping[str, Any]:
        """Return the overrides, the settings and the candidates."""
        return {
            "overrides": list(self.selection.factory.fixed.values()),
            "data.file": f"rows {next(iter(self.selection.candidates.values())).member.checksum[:12]}",
            "search.timeout": self.selection.timeout,
            "search.seeds": self.selection.seeds,
            "hydra.launcher.processes": self.selection.processes,
            "candidates": {name: x.overrides for name, x in self.selection.candidates.items()},
        }

    def propose(self, journal: Journal) -> Rounds:
        """Yield the runs of the rungs, of the variations, and of the answer.

        Raises:
            RunError: no candidate has a finite loss.
        """
        selection = self.selection
        if self._wrong:
            log.warning("%s", self._wrong)
        shown = next(iter(selection.candidates.values())).member.settings.trainer.progress_bar
        selection.journal = journal
        selection.display = Display(selection.ranked, selection.timeout - journal.elapsed, shown)
        with selection.display.live or nullcontext():
            for rung in self._rungs():
                yield from self._climb(*rung)
            if not selection.ranked():
                yield from self._try_fastest()
            if not selection.ranked():
                raise RunError("search: no candidate could be trained; the messages of its runs are in the report")
            yield from self._improve()
            if selection.table:
                yield from answer(selection)

    def _rungs(self) -> list[tuple[float, float | None, int]]:
        """Return the arguments of `_climb` for the comparisons of fewer and fewer candidates on more and more rows."""
        selection, count = self.selection, len(self.selection.candidates)
        rounds = max(2, math.ceil(math.log(count, PROMOTION_RATIO)))
        shares: list[float | None] = [None] * rounds
        if selection.table:
            rows, least = selection.training_rows, selection.table.fewest_rows
            least = max(least, rows / MOST_ROW_GROWTH ** (rounds - 1))
            growth = max(LEAST_ROW_GROWTH, (rows / least) ** (1 / (rounds - 1)))
            for i in range(smaller := max(0, round(math.log(rows / least, growth)))):
                shares[i] = rows / growth ** (smaller - i) / len(selection.table.rows.x)
        shares_of_time = [FIRST_WEIGHT / (FIRST_WEIGHT + rounds - 1), *(1 / (rounds - i) for i in range(1, rounds))]
        return [(shares_of_time[i], share, math.ceil(count / PROMOTION_RATIO**i)) for i, share in enumerate(shares)]

    def _climb(self, time_share: float, share: float | None, most: int) -> Rounds:
        """Train the best candidates so far, at first all, on the rows of a rung.

        Args:
            time_share: the share of the time that is left for comparisons which it may take.
            share: the share of the rows; None: all.
            most: how many candidates take part, and twice as many if their errors are close to the best one.
        """
        selection, ranked = self.selection, self.selection.ranked()
        chosen = list(selection.candidates.values())
        if ranked:
            close = AS_GOOD_FACTOR * ranked[0].error
            chosen = [x for i, x in enumerate(ranked) if i < most or (x.error <= close and i < 2 * most)]
        time = time_share * selection.left(COMPARISON_SHARE * selection.end) - (0 if ranked else START_UP_SECONDS)
        seconds_each = time / max(len(chosen), 1)
        lacking = [x for x in chosen if not x.in_order or any(run.share != share for run in x.in_order)]
        lacking += [x for x in chosen if x not in lacking and selection.may_gain(x, seconds_each)]
        pairs = [(candidate, fold) for candidate in lacking for fold in range(selection.judges)]
        seconds = time * selection.processes / max(len(pairs), 1)
        # If each of them had less time, it would be of more use to the best ones, which `_improve` continues.
        is_enough = not ranked or seconds >= LEAST_SET_UPS * selection.set_up
        if pairs and selection.left(selection.timeout) > 0 and is_enough:
            self._report_rung(share, ranked, chosen)
            runs = [PlannedRun(x, fold, seconds, share, selection.start_of(x, fold)) for x, fold in pairs]
            yield from selection.train(runs)

    def _try_fastest(self) -> Rounds:
        """Train the candidate with the fastest step for some seconds after all, because no other one has ended."""
        fastest = min(self.selection.candidates.values(), key=lambda candidate: candidate.member.work())
        what = "search.timeout: no candidate has ended within %g s; %s has some more seconds"
        log.warning(what, self.selection.timeout, fastest.name)
        yield from self.selection.train([PlannedRun(fastest, 0, 0.0)], until=math.inf)

    def _improve(self) -> Rounds:
        """Make moves until none is affordable: train the best candidates further, or variations of the best one."""
        selection = self.selection
        while True:
            ranked = selection.ranked()
            seconds = left = selection.left(improved_until(selection, ranked))
            chosen, why = next_move(selection, ranked, left)
            if not chosen:
                return
            selection.candidates |= {candidate.name: candidate for candidate in chosen}
            folds = range(selection.judges)
            pairs = [(x, fold) for x in chosen for fold in folds if fold not in x.by_fold or x.by_fold[fold].may_gain]
            # The rate of a gradient method falls in a run, and would rise again in the next one.
            if not all(candidate.member.settings.optimizer.by_gradient for candidate in chosen):
                seconds = max(left / 2, min(left, LEAST_SLICE_SECONDS))
            seconds *= min(1, selection.processes / len(pairs))
            self._report(f"{' and '.join(candidate.name for candidate in chosen)} for {seconds:.0f} s, {why}")
            judged = ranked[0].in_order[0]
            steps = judged.before + judged.steps  # those of a network with drawn weights, to be as good
            runs = list[PlannedRun]()
            for candidate, fold in pairs:
                start = selection.start_of(candidate, fold)
                if start is None and selection.table is None:  # the same neurons, with more points
                    start = selection.start_of(ranked[0], fold)
                runs.append(PlannedRun(candidate, fold, seconds, None, start, None if start else steps))
            yield from selection.train(runs)

    def _report_rung(self, share: float | None, ranked: Sequence[Candidate], chosen: Sequence[Candidate]) -> None:
        """Say which candidates continue, and why."""
        table, total = self.selection.table, self.selection.training_rows
        rows = round(share * len(table.rows.x)) if table and share else total
        where = f"on {rows} rows" if table else "on points of their own"
        if not ranked:
            self._report(f"{len(chosen)} candidates {where}")
            return
        names = ", ".join(f"{candidate.name} ({candidate.error:.1e})" for candidate in chosen)
        dropped = [candidate for candidate in ranked if candidate not in chosen]
        why = f"; {len(dropped)} have larger errors, from {min(x.error for x in dropped):.1e}" if dropped else ""
        self._report(f"{names} {where}{why}")

    def _report(self, line: str) -> None:
        """Show what is trained in a round, and keep it for the leaderboard."""
        line = f"{self.selection.journal.seconds:.0f} s: {line}"
        self.promotions.append(line)
        self.selection.display.say(line)

    def so_far(self) -> str:
        """Return the best answer so far."""
        ranked = self.selection.ranked()
        if not ranked:
            return f"no candidate has ended in {self.selection.directory}"
        return f"the best answer so far, {ranked[0].name}, is in {self.selection.directory}"

    def conclude(self) -> None:
        """Write the leaderboard."""
        if self.selection.ranked():
            board = leaderboard(self.selection, self._left_out, self.promotions, self._wrong)
            board.write(self.selection.directory)
