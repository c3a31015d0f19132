"""The policy of `search=best`: candidates of all methods, compared on rows that they have not seen, in a given time.

With few rows, candidates are compared by cross-validation: all of them on two folds, the better ones on the others.
With more, a held-out fold judges them all: they begin on a few rows, and after each rung the better half continues,
from the weights that it has, on four times as many, until the winner has all rows and the time that is left. Each run
has a share of the time, so that nothing is left out because it is expected to be slow, and a busy machine only takes
fewer steps. At the end the winner is trained on all rows, those of the fold too (`runge.launch.policies.best.answer`).

References:
    K. Jamieson, A. Talwalkar (2016). Non-stochastic best arm identification and hyperparameter optimization.
    https://arxiv.org/abs/1502.07943
    L. Li et al. (2018). Hyperband: a novel bandit-based approach to hyperparameter optimization.
    https://arxiv.org/abs/1603.06560
"""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

from runge.configuration import build
from runge.errors import RunError
from runge.launch.journal import Journal
from runge.launch.policies.best.answer import answer
from runge.launch.policies.best.candidates import Candidates, Entrant
from runge.launch.policies.best.display import Display
from runge.launch.policies.best.judge import best_step
from runge.launch.policies.best.known import Known
from runge.launch.policies.best.selection import FAR, FIRST_FOLDS, Run, Selection
from runge.launch.policies.best.verdict import leaderboard
from runge.launch.policies.policy import Policy, Rounds, SweepCommand
from runge.training.advice import wrong_labels
from runge.validation import Count, Positive, checked

__all__ = ["Best", "BestSettings"]

log = logging.getLogger(__name__)

_FOLDS, _FOLDS_OF_MANY = 5, 10  # of few rows, and of many, of which one is held out
_LEFT_OUT_OF_FEW, _LEFT_OUT = 100, 1000  # rows of a fold: less judge badly, more only cost time
_FEW = 1 / 3  # of the time: the most that all candidates on all folds may be expected to take of it
_TOGETHER = 4  # candidates of a batch by folds: what it leaves of its time is for those after it, which are slower
_LABELS, _ROWS = 1000, 10  # labels, and rows for each input, of the first rung
_GROWTH = 4.0  # of the rows from rung to rung, or more, so that there are no more rungs than the halving needs
_COMPARED, _VARIED, _WON = 0.72, 0.82, 0.86
"""The shares of the time after which the rungs, the variations, and the training of the winner end."""
_MET, _BEGINNING = 0.7, 1.5  # of the time of the rungs: the first one by folds; the first one by rows, over the others
_MOST = 6  # candidates with all folds
_DOUBLED = 8  # times the time of a step, with twice the points and neurons
_NEAR = 2.0  # times the error of the winner, up to which candidates are repeated by folds, and are as good as before
_REPEATED = 0.4  # of the time that is left then, for variations and the answer
_SLICE = 8.0  # seconds at least, after which the rows of a run may grow
_TIE = 1.25  # times the error of the best, up to which candidates are as good on the rows of one fold
_MANY_FOLDS = 20  # of which one has so few of the rows that it need not be trained on
_START_UP = 4.0  # seconds before the first run, in which the processes load what they need
_PAYS = 0.95  # of the error, at most, with a variation that pays
_ENDING, _ENDING_SHARE = 6.0, 0.1  # seconds for the leaderboard and the report, and at most this share of the time
_SLACK = 2.0  # of the time that a variation, or a run on another fold, is expected to take


@checked
class BestSettings:
    """The section `search` of `search=best`.

    Attributes:
        timeout: the seconds that the search may take.
        tables: the candidates for tables, each the overrides of a run by its name; the fast ones first.
        formulas: the candidates for formulas, likewise.
        seeds: how many networks the answer may have of each candidate.
        compare: false skips the comparison at the end.
    """

    timeout: Positive
    tables: Mapping[str, Sequence[str]]
    formulas: Mapping[str, Sequence[str]]
    seeds: Count
    compare: bool


class Rung(NamedTuple):
    """A comparison of candidates.

    Attributes:
        part: the part of the time that is left for comparisons which it may take.
        folds: the folds that are left out, each by a run.
        share: the share of the rows; None: all.
        most: how many candidates take part, the best ones so far.
    """

    part: float
    folds: Sequence[int]
    share: float | None
    most: int


class Best(Policy):
    """Candidates of all methods, of which the best give the answer."""

    displays: ClassVar[bool] = True

    def __init__(self, command: SweepCommand) -> None:
        settings = build("search", command.settings, BestSettings)
        self.compares, self._settings, processes = settings.compare, settings, command.processes or 1
        self.end = settings.timeout - min(_ENDING, _ENDING_SHARE * settings.timeout)
        candidates = Candidates(command)
        listed = settings.tables if candidates.of_table else settings.formulas
        entrants, self._left_out = candidates.entrants(listed, _FOLDS)
        known = Known.of(entrants[0].member) if candidates.of_table else None
        work = sum(entrant.member.training.steps * entrant.member.work() for entrant in entrants)
        by_folds = known is not None and work * _FOLDS < _FEW * self.end * processes
        folds = 1 if known is None else known.rows.folds
        if known and not by_folds and "data.folds" not in candidates.given:
            rows = len(known.seen)
            folds = max(folds, min(_FOLDS_OF_MANY, rows // _LEFT_OUT_OF_FEW), rows // _LEFT_OUT)
            entrants = [entrant.with_folds(folds) for entrant in entrants]
        if known and known.only_derivatives:
            alone = [entrant for entrant in entrants if entrant.values_alone]
            if len(alone) < len(entrants):  # it is not an override of the command
                entrants = [entrant for entrant in entrants if entrant not in alone]
                self._left_out += [f"{x.name}: no two values of an output are known that differ" for x in alone]
        about = command.directory, settings.timeout, processes
        self.selection = Selection(candidates, entrants, known, folds, by_folds, *about)
        self.promotions = list[str]()

    def description(self) -> Mapping[str, Any]:
        """Return the overrides, the settings and the candidates."""
        return {
            "overrides": list(self.selection.candidates.given.values()),
            "search.timeout": self._settings.timeout,
            "search.seeds": self._settings.seeds,
            "hydra.launcher.processes": self.selection.processes,
            "candidates": {name: x.overrides for name, x in self.selection.entrants.items()},
        }

    def propose(self, journal: Journal) -> Rounds:
        """Yield the runs of the rungs, of the variations, and of the answer.

        Raises:
            RunError: no candidate has a finite loss.
        """
        selection = self.selection
        selection.journal, known = journal, selection.known
        if known and (wrong := wrong_labels(known.rows)):
            log.warning("%s", wrong)
        shown = next(iter(selection.entrants.values())).member.training.progress_bar
        selection.display = Display(selection.ranked, self._settings.timeout - journal.elapsed, shown)
        with selection.display.shown():
            for rung in self._rungs():
                left = selection.left(_COMPARED * self.end)
                yield from self._climb(rung, self._chosen(rung), _COMPARED * self.end - (1 - rung.part) * left)
            if not selection.ranked():
                yield from self._try_fastest()
            if not selection.ranked():
                raise RunError("search: no candidate could be trained; the messages of its runs are in the report")
            if known is None:
                yield from self._enlarge()
                return
            if not selection.by_folds:
                yield from self._continue()
                if not selection.ranked()[0].fits[0].cut:
                    yield from self._repeat_by_folds()
            if selection.by_folds:
                yield from self._vary()
            yield from answer(selection, known, self._settings.seeds, self.end)

    def _rungs(self) -> list[Rung]:
        """Return the comparisons: with few rows by more and more folds, otherwise by more and more rows."""
        selection, count = self.selection, len(self.selection.entrants)
        if selection.known is None:
            return [Rung(1.0, [0], None, count)]
        if selection.by_folds:
            folds = range(selection.known.rows.folds)
            return [Rung(_MET, folds[:FIRST_FOLDS], None, count), Rung(1.0, folds, None, _MOST)]
        rows, total = selection.training_rows, len(selection.known.rows.x)
        least = max(_LABELS / selection.known.labels_of_row, _ROWS * len(selection.known.rows.inputs))
        rounds = max(2, math.ceil(math.log2(count)))
        growth = max(_GROWTH, (rows / least) ** (1 / (rounds - 1)))
        smaller = max(0, round(math.log(rows / least, growth)))
        shares: list[float | None] = [rows / growth**power / total for power in range(smaller, 0, -1)]
        shares += [None] * (rounds - len(shares))
        parts = [_BEGINNING / (_BEGINNING + rounds - 1), *(1 / (rounds - i) for i in range(1, rounds))]
        return [Rung(parts[i], [0], share, math.ceil(count / 2**i)) for i, share in enumerate(shares)]

    def _chosen(self, rung: Rung) -> list[Entrant]:
        """Return the best candidates so far, which continue on a rung; at first all."""
        if not (ranked := self.selection.ranked()):
            return list(self.selection.entrants.values())
        if self.selection.by_folds:
            most = FAR * min(entrant.error for entrant in ranked)
            return [entrant for entrant in ranked[: rung.most] if entrant.error <= most]
        most = _TIE * ranked[0].error
        return [x for i, x in enumerate(ranked) if i < rung.most or (x.error <= most and i < 2 * rung.most)]

    def _climb(self, rung: Rung, chosen: Sequence[Entrant], until: float) -> Rounds:
        """Train candidates on the folds and the rows of a rung, until a time in seconds."""
        ranked = self.selection.ranked()
        together = _TOGETHER if self.selection.by_folds else len(chosen)
        for first in range(0, len(chosen), together):
            pairs = [(x, fold) for x in chosen[first:] for fold in rung.folds if self._lacks(x, fold, rung.share)]
            room = (
                self.selection.left(until) - (0 if self.selection.ranked() else _START_UP)
            ) * self.selection.processes
            if not pairs or (self.selection.ranked() and room < len(pairs) * self._worth_while):
                return
            if first == 0:
                self._promote(rung, ranked, chosen)
            group = chosen[first : first + together]
            runs = [
                Run(x, fold, room / len(pairs), rung.share, self.selection.start_of(x, fold))
                for x, fold in pairs
                if x in group
            ]
            yield from self.selection.compare(runs)

    def _try_fastest(self) -> Rounds:
        """Train the candidate with the fastest step for some seconds after all, because no other one has ended."""
        fastest = min(self.selection.entrants.values(), key=lambda entrant: entrant.member.work())
        what = "search.timeout: no candidate has ended within %g s; %s has some more seconds"
        log.warning(what, self._settings.timeout, fastest.name)
        yield from self.selection.compare([Run(fastest, 0, 0.0)], until=math.inf)

    @property
    def _worth_while(self) -> float:
        """The least seconds of a run after the first rung: with less, what has been compared should continue."""
        return 0.0 if self.selection.by_folds else 2 * self.selection.set_up

    def _lacks(self, entrant: Entrant, fold: int, share: float | None) -> bool:
        """Return whether a candidate is to be trained on a fold; with many rows also again, on more or for longer."""
        fit = entrant.fits.get(fold)
        if fit is None or self.selection.by_folds:
            return fit is None
        return fit.cut or fit.share != share

    def _promote(self, rung: Rung, ranked: Sequence[Entrant], chosen: Sequence[Entrant]) -> None:
        """Say which candidates continue, and why."""
        count, seen = len(chosen), 0 if self.selection.known is None else len(self.selection.known.seen)
        where = f"{len(rung.folds)} folds of {seen} rows" if self.selection.by_folds else f"{self._rows(rung)} rows"
        if not ranked:
            self._tell(f"{count} candidates on {where if seen else 'points of their own'}")
            return
        names = ", ".join(x.name + (f" ({x.error:.1e})" if x.fits else "") for x in chosen)
        others = [entrant for entrant in ranked if entrant not in chosen]
        why = f"; {len(others)} have larger errors, from {min(x.error for x in others):.1e}" if others else ""
        self._tell(f"{names} on {where}{why}")

    def _rows(self, rung: Rung) -> int:
        """Return the number of training rows of a rung."""
        if rung.share is None or self.selection.known is None:
            return self.selection.training_rows
        return round(rung.share * len(self.selection.known.rows.x))

    def _tell(self, line: str) -> None:
        """Show what is trained in a round, and keep it for the leaderboard."""
        line = f"{self.selection.journal.seconds:.0f} s: {line}"
        self.promotions.append(line)
        self.selection.display.say(line)

    def _vary(self) -> Rounds:
        """Vary the best candidate as long as that pays."""
        tried = set[str]()
        while True:
            best = self.selection.ranked()[0]
            before, needed, runs = best.error, 0.0, list[Run]()
            for name, factor, change in self._variations(best):
                needed += factor * (best.seconds + self.selection.set_up) * len(best.fits) / self.selection.processes
                if name not in tried and needed < self.selection.left(_VARIED * self.end):
                    tried.add(name)
                    entrant = self.selection.entrants[name] = self.selection.candidates.changed(best, name, change)
                    runs += [
                        Run(entrant, fold, _SLACK * factor * (best.seconds + self.selection.set_up))
                        for fold in best.fits
                    ]
            if not runs:
                return
            yield from self.selection.compare(runs)
            if not self.selection.ranked()[0].error <= _PAYS * before:
                return

    def _variations(self, best: Entrant) -> Iterator[tuple[str, float, str]]:
        """Yield changes of a candidate: a name, the factor of its time, and an override."""
        training, model = best.member.training, best.member.model
        changes = [("model.width", model.width * 2, 3.0)]
        if not best.member.optimizer.last_layer_alone:
            changes.append(("model.depth", model.depth + 1, 1.7))
            if best_step(best.all) > 0.8 * training.max_steps:  # the errors were still falling
                changes.insert(0, ("trainer.max_steps", 3 * training.max_steps, 3.0))
        for key, value, factor in changes:
            if key not in self.selection.candidates.given:
                yield f"{best.name}; {key}={value}", factor, f"{key}={value}"

    def _continue(self) -> Rounds:
        """Train the winner, and those that are nearly as good, for the time that is left; or else variations of it."""
        selection = self.selection
        while True:
            ranked = selection.ranked()
            near = [x for x in ranked if x.fits[0].cut and x.error <= _TIE * ranked[0].error][: selection.processes]
            # Training on the rows of the fold too helps only if rows are lacking, and these are not few of them.
            fit, last = ranked[0].fits[0], (1 - _WON) * self.end
            to_the_end = selection.folds > _MANY_FOLDS or not (fit.lacks_rows and selection.affords_all(fit, last))
            seconds = selection.left(self.end if to_the_end else _WON * self.end)
            why = "because more steps may reduce the error"
            if not near:
                changes = {name: change for name, _, change in self._variations(ranked[0])}
                near = [
                    selection.candidates.changed(ranked[0], *x)
                    for x in changes.items()
                    if x[0] not in selection.entrants
                ]
                selection.entrants |= {entrant.name: entrant for entrant in near}
                why = "because more steps do not reduce the error"
            if not near or seconds <= 2 * selection.set_up:
                return
            seconds = max(seconds / 2, min(seconds, _SLICE)) * min(1, selection.processes / len(near))
            names = " and ".join(entrant.name for entrant in near)
            self._tell(f"{names} for {seconds:.0f} s, {why}")
            runs = [Run(entrant, 0, seconds, None, selection.start_of(entrant, 0)) for entrant in near]
            yield from selection.compare(runs)

    def _enlarge(self) -> Rounds:
        """Give the winner of a formula twice the points and fixed neurons, as long as that helps."""
        selection = self.selection
        while (seconds := selection.left(self.end)) > 2 * selection.set_up:
            best = selection.ranked()[0]
            data, model = best.member.configuration["data"], best.member.model
            changes, start = {"data.n_train": 2 * data["n_train"]}, selection.start_of(best, 0)
            if start is None:
                changes["model.width"] = 2 * model.width
            if changes.keys() & selection.candidates.given.keys() or _DOUBLED * best.fits[0].pace > seconds:
                return
            name = f"{best.name.partition(';')[0]}; {', '.join(f'{key}={value}' for key, value in changes.items())}"
            larger = selection.candidates.changed(best, name, *(f"{key}={value}" for key, value in changes.items()))
            selection.entrants[name] = larger
            self._tell(name)
            (fit,) = yield from selection.compare([Run(larger, 0, seconds, None, start)])
            if fit is None or fit.error > _PAYS * best.error:
                return

    def _repeat_by_folds(self) -> Rounds:
        """Compare the best candidates again by cross-validation, because the winner needs no more steps.

        Its error is as small as it can be, or the labels have noise: several networks are worth more than more steps.
        """
        selection = self.selection
        winner, *others = selection.ranked()
        folds, until = range(min(_FOLDS, selection.folds)), self.end - _REPEATED * selection.left(self.end)
        fit = winner.fits[0]
        each = len(folds) * (_SLACK * best_step([fit]) * fit.pace + selection.set_up)
        count = min(_MOST, int(selection.left(until) * selection.processes / each))
        if not count:
            return
        near = [winner, *(entrant for entrant in others if entrant.error <= _NEAR * winner.error)][:count]
        selection.by_folds = True
        for entrant in near:
            selection.entrants[entrant.name] = replace(entrant, fits={})
        yield from self._climb(Rung(1.0, folds, None, len(near)), [selection.entrants[x.name] for x in near], until)
        best = selection.ranked()[0] if selection.ranked() else winner
        if len(best.fits) < FIRST_FOLDS or not best.error <= _NEAR * winner.error:  # drawn weights need more steps
            selection.by_folds = False
            for before in near:
                now = selection.entrants[before.name]
                selection.entrants[before.name] = replace(now, fits=before.fits)

    def so_far(self) -> str:
        """Return the best answer so far."""
        ranked = self.selection.ranked()
        if not ranked:
            return f"no candidate has ended in {self.selection.directory}"
        return f"the best answer so far, {ranked[0].name}, is in {self.selection.directory}"

    def conclude(self) -> None:
        """Write the leaderboard."""
        if self.selection.ranked():
            leaderboard(self.selection, self._left_out, self.promotions).write(self.selection.directory)
