"""The race of `search=best`: candidates of all methods, compared by cross-validation within a time limit.

In the first rounds all candidates meet on two folds. Those that may still win are trained on the others. While time
remains, the best one is varied, as long as that pays. In the last round those that the answer is made of are trained on
all rows, for as many steps as the folds say. After each round the sweep's directory holds the best answer so far.
"""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from runge.errors import RunError, setting
from runge.launch.jobs import Launch
from runge.launch.policies.best.answer import Ending, equal_weights
from runge.launch.policies.best.candidates import Candidates
from runge.launch.policies.best.judge import FAR, Entrant, Fit, error_of, rank
from runge.launch.policies.best.known import Known
from runge.launch.policies.best.rounds import Rounds
from runge.launch.policies.best.verdict import leaderboard
from runge.records.ensemble import write_answer
from runge.records.files import write
from runge.training.advice import wrong_labels
from runge.validation import Count, Positive, checked

log = logging.getLogger(__name__)

_FIRST = 2  # folds on which all candidates meet; two networks can disagree
_AT_FIRST, _AT_A_TIME = 2, 4  # candidates of a round, so that there is an answer soon
_SHARES = (0.45, 0.65, 0.75, 0.88)
"""The shares of the time after which parts of the race end at the latest: the first rounds, the other folds, the same
for candidates that there was no time for, and the variations."""
_MOST = 6  # candidates with all folds
_RUNS = 18  # that should end in the time: five folds and three seeds of the best candidate, and two folds of others
_MARGIN = 1.2  # of expected times
_PAYS = 0.95  # of the error, at most, with a variation that pays
_ALONE = "loss.lambda_d=0"


@checked
class RaceSettings:
    """The section `hydra.sweeper` of `hydra/sweeper=best`.

    Attributes:
        timeout: the seconds that the race may take.
        tables: the candidates for tables, each the overrides of a run by its name; the first ones are tried first.
        formulas: the candidates for formulas, likewise.
        seeds: how many networks each candidate of the answer has: they are trained on all rows, with different seeds.
        compare: false skips the comparison at the end.
    """

    timeout: Positive
    tables: Mapping[str, Sequence[str]]
    formulas: Mapping[str, Sequence[str]]
    seeds: Count
    compare: bool


class Race:
    """The race in the directory of a sweep.

    Args:
        context: Hydra's.
        config: the sweep's configuration.
        settings: the section `hydra.sweeper`.
        arguments: the overrides of the command, which all candidates have.
        processes: how many runs are trained at a time.

    Raises:
        ConfigurationError: an override has several values, or is not allowed with any candidate.
    """

    def __init__(
        self,
        context: HydraContext,
        config: DictConfig,
        settings: RaceSettings,
        arguments: Sequence[str],
        processes: int,
    ) -> None:
        self.settings, self._processes, self._config = settings, processes, config
        self.directory, self._candidates = Path(config.hydra.sweep.dir), Candidates(context, config, arguments)
        of_table = self._candidates.of_table
        candidates, most = settings.tables if of_table else settings.formulas, settings.timeout * processes / _RUNS
        self.entrants, self._left_out = self._candidates.entrants(candidates, most)
        self._first_run = self._candidates.first(self.entrants[0].overrides)
        self.known = Known.of(self._first_run) if of_table else None
        self.folds = list(range(1 if self.known is None else self.known.rows.folds))
        if self.known and self.known.channels.slope.any() and not self.known.channels.value.any():
            alone = [one for one in self.entrants if _ALONE in one.overrides]
            if len(alone) < len(self.entrants):  # it is not an override of the command
                self.entrants = [one for one in self.entrants if one not in alone]
                self._left_out += [f"{one.name}: no two values of an output are known that differ" for one in alone]

    def run(self, launch: Launch) -> None:
        """Run the race.

        Raises:
            ConfigurationError: the directory holds another race.
            RunError: no candidate has a finite loss.
            SystemExit: it was interrupted; the best answer so far is kept.
        """
        description = {
            "overrides": list(self._candidates.given.values()),
            "hydra.sweeper.timeout": self.settings.timeout,
            "hydra.launcher.processes": self._processes,
            "candidates": {one.name: one.overrides for one in self.entrants},
        }
        if self.known and (wrong := wrong_labels(self.known.rows)):
            log.warning("%s", wrong)
        rounds = Rounds(self.directory, launch, self._candidates.place, description)
        write(self.directory / "multirun.yaml", OmegaConf.to_yaml(self._config))
        try:
            self._race(rounds)
        except (KeyboardInterrupt, SystemExit) as error:
            ranked = self._ranked()
            if ranked and not any(one.weight for one in ranked):
                self._keep(ranked[0])
            best = f"the best answer so far, {ranked[0].name}, is in" if ranked else "no candidate has ended in"
            how = f"to continue, run the same command with {setting('hydra.sweep.dir', self.directory)}"
            raise SystemExit(f"error: interrupted; {best} {self.directory}; {how}") from error
        finally:
            if self._ranked():
                self._conclude()

    def _race(self, rounds: Rounds) -> None:
        timeout = self.settings.timeout
        first, folds, later, vary = (timeout * share for share in _SHARES)
        left = self._first_rounds(rounds, self.entrants, first)
        if not self._ranked():
            fastest = min(self.entrants, key=lambda one: one.expected)
            what = "hydra.sweeper.timeout: no candidate has ended within %g s; the fastest one, %s, may take longer"
            log.warning(what, timeout, fastest.name)
            self._try(rounds, [fastest], self.folds[:1], math.inf)
        if not self._ranked():
            raise RunError("search: no candidate could be trained; the messages of its runs are in the report")
        if self.known:
            self._other_folds(rounds, folds)
            with_derivatives = any(one.fits and _ALONE not in one.overrides for one in self.entrants)
            alone = self._values_alone() if _ALONE in self._ranked()[0].overrides and with_derivatives else []
            self.entrants += alone
            if left := self._first_rounds(rounds, [*alone, *left], later):
                late = [one for one in left if not one.fits]
                self._left_out += [f"{one.name}: no time, a run may take {one.expected:.0f} s" for one in late]
            self._other_folds(rounds, later)
            ending = self._ending()
            self._vary(rounds, vary, ending)
            best = self._ranked()[0]
            equal = [one for one in self._ranked() if one.fits.keys() == best.fits.keys()]
            ending.run(rounds, [one for one in equal if one.of_part <= best.of_part])  # a part spoils the mean

    def _ending(self) -> Ending:
        """Return the last rounds."""
        assert self.known
        rows, settings = len(self.known.seen) // len(self.folds), self.settings
        seeds = self._first_run.seed.seed, self._first_run.data_seed.seed
        return Ending(self.directory, self.folds, rows, settings.timeout, self._processes, settings.seeds, *seeds)

    def _values_alone(self) -> list[Entrant]:
        """Return the candidates with derivatives without these, because some other one is best so."""
        known = [{*one.overrides} for one in self.entrants]
        return [
            self._candidates.entrant(f"{one.name}; values alone", [*one.overrides, _ALONE])
            for one in self.entrants
            if {*one.overrides, _ALONE} not in known
            and not any(override.startswith("loss.lambda_d=") for override in one.overrides)
        ]

    def _first_rounds(self, rounds: Rounds, entrants: Sequence[Entrant], until: float) -> list[Entrant]:
        """Train candidates on the first folds until a time; return those that it was too short for."""
        left, size = [one for one in entrants if self._missing(one)], _AT_A_TIME if self._ranked() else _AT_FIRST
        while left:
            # There is an answer in any case, and of a formula there are no rounds after these.
            end = until if self.known and self._ranked() else self.settings.timeout
            some = self._that_fit(left, end - rounds.look())[:size]
            if not some:
                break
            self._try(rounds, some, self.folds[:_FIRST], end)
            cut = rounds.look() >= end
            left, size = [one for one in left if one not in some or (cut and self._missing(one))], _AT_A_TIME
        return left

    def _missing(self, one: Entrant) -> int:
        """Return how many of the first folds a candidate is not trained on."""
        return max(0, len(self.folds[:_FIRST]) - len(one.fits))

    def _that_fit(self, entrants: Sequence[Entrant], seconds: float) -> list[Entrant]:
        """Return those of some candidates whose first runs are expected to end in a time, one after the other."""
        room, some = seconds * self._processes, list[Entrant]()
        for one in entrants:
            tried = [other for other in self.entrants if other.fits and other.optimizer == one.optimizer]
            pace = sum(other.seconds for other in tried) / sum(other.expected for other in tried) if tried else 1.0
            if (needed := _MARGIN * pace * one.expected * self._missing(one)) <= room:
                room -= needed
                some.append(one)
        return some

    def _ranked(self) -> list[Entrant]:
        """Return the candidates with a fit, the best first."""
        return rank(self.entrants, min(_FIRST, len(self.folds)))

    def _try(self, rounds: Rounds, entrants: Sequence[Entrant], folds: Sequence[int], until: float) -> None:
        """Train candidates on those folds that they are not trained on, and keep the best answer so far."""
        known, whose = self.known, [(one, fold) for one, fold in product(entrants, folds) if fold not in one.fits]
        jobs = [[*one.overrides, *([] if known is None else [f"data.fold={fold}"])] for one, fold in whose]
        for number, (one, _) in enumerate(whose, rounds.begun):
            one.begun.append(number)
        for (one, fold), run in zip(whose, rounds.train(jobs, until), strict=True):
            if run is not None:
                one.fits[fold] = Fit.of_formula(run) if known is None else Fit.of(run, known.channels, known.around)
        if ranked := self._ranked():
            best = ranked[0]
            self._keep(best)
            seen = f" on {len(best.fits)} of {len(self.folds)} folds" if known else ""
            log.info("%.0f s: best so far: %s, error %.2e%s", rounds.elapsed, best.name, error_of(best.all), seen)

    def _keep(self, best: Entrant) -> None:
        """Write the mean of a candidate's networks as the answer."""
        write_answer(self.directory, equal_weights([fit.run for fit in best.all], self.directory))

    def _other_folds(self, rounds: Rounds, until: float) -> None:
        """Train those that may still win on the other folds, as far as time allows."""
        ranked = sorted(self._ranked(), key=lambda one: error_of(one.all))
        limit = FAR * error_of(next((one for one in ranked if not self._missing(one)), ranked[0]).all)
        few = min(_FIRST + 1, len(self.folds))
        some = [one for one in ranked[:_MOST] if error_of(one.all) <= limit and len(one.fits) < few]
        room, chosen = (until - rounds.look()) * self._processes, list[Entrant]()
        for one in some:
            room -= one.seconds * (len(self.folds) - len(one.fits))
            if room > 0:
                chosen.append(one)
        if chosen:
            self._try(rounds, chosen, self.folds, until)

    def _vary(self, rounds: Rounds, until: float, ending: Ending) -> None:
        """Vary the best candidate as long as that pays, and leaves time for the last rounds."""
        tried = set[str]()
        while True:
            best = self._ranked()[0]
            before, new, look, needed = error_of(best.all), list[Entrant](), rounds.look(), 0.0
            for name, factor, change in self._variations(best):
                needed += _MARGIN * factor * best.seconds * len(best.fits) / self._processes
                end = min(until, self.settings.timeout - ending.expected(factor * best.seconds))
                if look + needed < end and name not in tried:
                    tried.add(name)
                    kept = [one for one in best.overrides if one.partition("=")[0] != change.partition("=")[0]]
                    new.append(Entrant(name, [*kept, change], factor * best.expected))
            if not new:
                return
            self.entrants += new
            self._try(rounds, new, sorted(best.fits), until)
            if not error_of(self._ranked()[0].all) <= _PAYS * before:
                return

    def _variations(self, best: Entrant) -> Iterator[tuple[str, float, str]]:
        """Yield changes of a candidate: a name, the factor of its time, and an override."""
        member = self._candidates.first(best.overrides)
        training, model = member.training, member.model
        changes = [("model.width", model.width * 2, 3.0), ("model.depth", model.depth + 1, 1.7)]
        if best.steps() > 0.8 * training.max_steps:  # the errors were still falling
            changes.insert(0, ("trainer.max_steps", 3 * training.max_steps, 3.0))
        for name, value, factor in changes:
            if name not in self._candidates.given:
                yield f"{best.name}; {name}={value}", factor, f"{name}={value}"

    def _conclude(self) -> None:
        """Write the leaderboard."""
        ranked = self._ranked()
        if not any(one.weight for one in ranked):
            ranked[0].weight = 1.0
        named = {line.partition(": ")[0] for line in self._left_out}
        late = [one for one in self.entrants if not one.fits and one.name not in named]
        left_out = [f"{one.name}: {'no run ended' if one.begun else 'it did not begin'} in time" for one in late]
        leaderboard(self.directory, ranked, [*self._left_out, *left_out], self.known).write(self.directory)
