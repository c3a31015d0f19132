"""The race of `search=best`: candidates of all methods, compared by cross-validation within a time limit.

In the first rounds all candidates meet on two folds. Those that may still win are trained on the others. While time
remains, the best one is varied, as long as that pays. In the last round those that the answer is made of are trained on
all rows, for as many steps as the folds say. After each round the sweep's directory holds the best answer so far.
"""

import logging
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from runge.compare.leaderboard import Candidate, Leaderboard
from runge.data import Rows
from runge.errors import ConfigurationError, RunError, command
from runge.launch.compose import Composer, plain
from runge.launch.jobs import current
from runge.launch.rounds import Launch, Rounds
from runge.launch.selection import Channels, Floats, surroundings, weigh
from runge.launch.verdict import describe_answer, describe_errors, why
from runge.metrics import FIT_SECONDS, VAL_LOSS, key
from runge.records.directories import RunDirectory
from runge.records.ensemble import write_answer
from runge.records.files import write
from runge.records.reading import read_columns
from runge.training.member import Member
from runge.validation import Count, Positive, checked

if TYPE_CHECKING:
    from runge.function import Function

log = logging.getLogger(__name__)

_FOLDS = 5
_FIRST = 2  # folds on which all candidates meet; two networks can disagree
_AT_FIRST, _AT_A_TIME = 2, 8  # candidates of a round
_SHARES = (0.4, 0.65, 0.85)
"""The shares of the time after which the first rounds, the other folds and the variations end at the latest."""
_MAY_WIN = 4.0  # times the smallest error on the first folds
_MOST = 6  # candidates with all folds
_PAYS = 0.95  # of the error, at most, with a variation that pays
_LEAST_WEIGHT = 0.1
_ERRORS = key("val", "nrmse_f"), key("val", "nrmse_df")


@checked
class RaceSettings:
    """The section `hydra.sweeper` of `hydra/sweeper=best`.

    Attributes:
        timeout: the seconds that the race may take.
        tables: the candidates for tables, each the overrides of a run by its name; the first ones are tried first.
        formulas: those for targets.
        seeds: the networks that a candidate has in the answer, trained on all rows, which differ in their seeds.
        compare: false skips the comparison at the end.
        halving: not used.
    """

    timeout: Positive
    tables: Mapping[str, Sequence[str]]
    formulas: Mapping[str, Sequence[str]]
    seeds: Count
    compare: bool
    halving: None = None


class Fit(NamedTuple):
    """A network of a candidate: its run, its errors on the rows it has not seen, and its results around the rows."""

    run: RunDirectory
    number: int
    errors: Floats  # the vector of `Channels.scaled`
    values: int  # how many of these are of values, the first ones
    around: Floats
    figures: Mapping[str, Any]


class Entrant:
    """A candidate in the race.

    Args:
        name: its name.
        overrides: the overrides of its runs.
        expected: the seconds that one run may take.
    """

    def __init__(self, name: str, overrides: Sequence[str], expected: float) -> None:
        self.name, self.overrides, self.expected = name, list(overrides), expected
        self.fits, self.weight = dict[int, Fit](), 0.0
        self.runs, self.refits = list[int](), list[int]()

    def variance(self) -> float:
        """Return the variance among its networks around the rows; 0 of one network."""
        if len(self.fits) < 2:
            return 0.0
        around = np.stack([fit.around for fit in self.fits.values()])
        return float(around.var(axis=0, ddof=1).sum())

    def error(self) -> float:
        """Return the error E of `runge.launch.selection` on the folds so far; infinite without any."""
        if not self.fits:
            return math.inf
        squares = [float(fit.errors @ fit.errors) for fit in self.fits.values()]
        return math.sqrt(sum(squares) / len(squares) + self.variance())

    def error_vector(self) -> Floats:
        """Return the errors on all folds, as one vector whose square is the mean of theirs."""
        return np.concatenate([self.fits[fold].errors for fold in sorted(self.fits)]) / math.sqrt(len(self.fits))

    @property
    def seconds(self) -> float:
        """The time of one run."""
        return float(np.mean([fit.figures[FIT_SECONDS] for fit in self.fits.values()]))

    def root_mean(self, name: str) -> float | None:
        """Return the root mean square of a figure over the folds; None: it is not known."""
        known = [figure for fit in self.fits.values() if (figure := fit.figures.get(name)) is not None]
        return math.sqrt(np.mean(np.square(known))) if known else None

    def steps(self) -> int:
        """Return the steps with the smallest mean square error on the folds' validation rows."""
        tables = [read_columns(fit.run, fit.run.history, ("step", *_ERRORS), 10**9) for fit in self.fits.values()]
        rows = min(len(table["step"]) for table in tables)
        with np.errstate(invalid="ignore"):
            squares = np.mean([[np.square(table[name][:rows]) for name in _ERRORS] for table in tables], axis=0)
        total = np.nansum(squares, axis=0)
        return int(tables[0]["step"][int(np.argmin(np.where(np.isfinite(total), total, np.inf)))])


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
        self.directory, self._compose = Path(config.hydra.sweep.dir), Composer(context.config_loader, config)
        parsed = OverridesParser.create(context.config_loader).parse_overrides(list(arguments))
        for one in parsed:
            if one.is_sweep_override():
                what = "must have one value with search=best, for all candidates"
                raise ConfigurationError(f"{one.get_key_element()}: {what}; got {one.input_line}")
        self._given = {one.get_key_element().lstrip("+~"): str(one.input_line) for one in parsed}
        self._left_out: list[str] = []
        of_table = "file" in (config.get("data") or {})
        self.rows: Rows | None = None
        self.entrants = self._entrants(settings.tables if of_table else settings.formulas, of_table)
        if of_table:
            first = self._member([*self.entrants[0].overrides, "data.fold=0"])
            self.rows = first.rows
            assert self.rows is not None
            self.folds = list(range(self.rows.folds))
            split = self.rows.split(first.data_seed.generator("data"))
            seen, self._test = np.sort(np.concatenate(split[:2])), split.test
            known = self.rows
            part = replace(known, x=known.x[seen], y=known.y[seen], dydx=known.dydx[seen])
            self._channels, self._around = Channels.of(part), surroundings(part.x)
        else:
            self.folds = [0]

    def _entrants(self, candidates: Mapping[str, Sequence[str]], of_table: bool) -> list[Entrant]:
        """Return the candidates that the command's overrides allow."""
        found, failure = dict[str, Entrant](), None
        for name, own in candidates.items():
            overrides = self._with_given(own)
            if overrides is None:
                continue
            if of_table:
                overrides = [*([] if "data.folds" in self._given else [f"data.folds={_FOLDS}"]), *overrides]
            try:
                member = self._member([*overrides, "data.fold=0"] if of_table else overrides)
            except (ConfigurationError, ValueError) as error:
                failure = failure or error
                self._left_out.append(f"{name}: {error}")
                continue
            seconds = member.training.steps * member.work()
            found.setdefault(member.apart_from_seed(), Entrant(name, overrides, seconds))
        if not found:
            raise failure or ConfigurationError("hydra.sweeper: must have a candidate, got none")
        return list(found.values())

    def _with_given(self, own: Sequence[str]) -> list[str] | None:
        """Return a candidate's overrides and those of the command, which win; None: its optimiser is another."""
        kept = [one for one in own if one.partition("=")[0] not in self._given]
        chosen = [one for one in own if one.startswith("optimizer=")]
        if "optimizer" in self._given and self._given["optimizer"] not in (chosen or ["optimizer=adamw"]):
            return None
        return [*kept, *self._given.values()]

    def _member(self, overrides: Sequence[str]) -> Member:
        composed = self._compose(overrides, 0)
        with current(composed):
            return Member(plain(composed)[0], overrides)

    def _place(self, overrides: Sequence[str], number: int) -> Path:
        sweep = self._compose(overrides, number).hydra.sweep
        return Path(sweep.dir) / str(sweep.subdir)

    def run(self, launch: Launch) -> None:
        """Run the race, and show its result.

        Raises:
            RunError: no candidate could be trained in the time.
        """
        first = self.entrants[0].overrides
        rounds = Rounds(self.directory, launch, self._place, {"overrides": list(self._given.values()), "first": first})
        write(self.directory / "multirun.yaml", OmegaConf.to_yaml(self._config))
        timeout = self.settings.timeout
        try:
            for some in _parts(self._in_time()):
                until = _SHARES[0] * timeout if self._ranked() else timeout
                if rounds.elapsed < until:
                    self._try(rounds, some, self.folds[:_FIRST], until)
            if not self._ranked():
                fastest = min(self.entrants, key=lambda one: one.expected)
                what = "hydra.sweeper.timeout: no candidate has ended within %g s; the fastest one, %s, may take longer"
                log.warning(what, timeout, fastest.name)
                self._try(rounds, [fastest], self.folds[:1], math.inf)
            if self.rows is not None:
                self._other_folds(rounds)
                self._vary(rounds)
                self._refit(rounds)
        finally:
            if self._ranked():
                self._conclude()
        if not self._ranked():
            raise RunError(f"hydra.sweeper.timeout: no candidate was trained within {timeout:g} s; give more time")

    def _in_time(self) -> list[Entrant]:
        """Return the candidates whose first runs are expected to end in the time of the first rounds."""
        most = _SHARES[0] * self.settings.timeout * self._processes / min(_FIRST, len(self.folds))
        some = [one for one in self.entrants if one.expected <= most]
        self._left_out += [
            f"{one.name}: a run may take {one.expected:.0f} s" for one in self.entrants if one not in some
        ]
        return some

    def _ranked(self) -> list[Entrant]:
        """Return the candidates with a fit, those with the most folds first, and the best first."""
        return sorted((one for one in self.entrants if one.fits), key=lambda one: (-len(one.fits), one.error()))

    def _try(self, rounds: Rounds, entrants: Sequence[Entrant], folds: Sequence[int], until: float) -> None:
        """Train candidates on folds, and keep the best answer so far."""
        jobs, whose = list[list[str]](), list[tuple[Entrant, int]]()
        for one in entrants:
            for fold in folds:
                jobs.append([*one.overrides, *([f"data.fold={fold}"] if self.rows is not None else [])])
                whose.append((one, fold))
        for number, (one, _) in enumerate(whose, rounds.begun):
            one.runs.append(number)
        for job, (one, fold), run in zip(jobs, whose, rounds.train(jobs, until), strict=True):
            if run is not None:
                one.fits[fold] = self._fit(*run, job)
        if ranked := self._ranked():
            best = ranked[0]
            write_answer(self.directory, _equal([fit.run for fit in best.fits.values()], self.directory))
            error = f"error {best.error():.2e} on {len(best.fits)} of {len(self.folds)} folds"
            log.info("%3.0f s: best so far %s, %s", rounds.elapsed, best.name, error if self.rows is not None else "")

    def _fit(self, number: int, run: RunDirectory, overrides: Sequence[str]) -> Fit:
        """Read a run that has ended."""
        figures = run.read_metrics()
        if self.rows is None:
            error = np.array([figures.get(name) or 0.0 for name in _ERRORS], float)
            return Fit(run, number, error, 1, np.empty(0), figures)
        from runge.function import load

        member, function = self._member(overrides), load(run.path)
        assert member.rows is not None
        val = member.rows.split(member.data_seed.generator("data")).val
        u, du = _evaluated(function, self.rows.x[val])
        errors = self._channels.scaled(u - self.rows.y[val], du - self.rows.dydx[val])
        around = self._channels.scaled(*_evaluated(function, self._around))
        return Fit(run, number, errors, u.size, around, figures)

    def _other_folds(self, rounds: Rounds) -> None:
        """Train those that may still win on the other folds, as far as time allows."""
        ranked, left = self._ranked(), self.folds[_FIRST:]
        limit = _MAY_WIN * ranked[0].error()
        some, until = [one for one in ranked[:_MOST] if one.error() <= limit], _SHARES[1] * self.settings.timeout
        room, chosen = (until - rounds.elapsed) * self._processes, list[Entrant]()
        for one in some if left else []:
            room -= one.seconds * len(left)
            if room > 0:
                chosen.append(one)
        if chosen:
            self._try(rounds, chosen, left, until)

    def _vary(self, rounds: Rounds) -> None:
        """Vary the best candidate as long as that pays."""
        until, tried = _SHARES[2] * self.settings.timeout, set[str]()
        while True:
            best = self._ranked()[0]
            before, new = best.error(), list[Entrant]()
            room = (until - rounds.elapsed) * self._processes
            for name, factor, change in self._variations(best):
                room -= 1.5 * factor * best.seconds * len(best.fits)
                if room > 0 and name not in tried:
                    tried.add(name)
                    kept = [one for one in best.overrides if one.partition("=")[0] != change.partition("=")[0]]
                    new.append(Entrant(name, [*kept, change], factor * best.expected))
            if not new:
                return
            self.entrants += new
            self._try(rounds, new, sorted(best.fits), until)
            if not self._ranked()[0].error() <= _PAYS * before:
                return

    def _variations(self, best: Entrant) -> Iterator[tuple[str, float, str]]:
        """Yield changes of a candidate: a name, the factor of its time, and an override."""
        member = self._member([*best.overrides, "data.fold=0"])
        training, model = member.training, member.model
        changes = [("model.width", model.width * 2, 3.0), ("model.depth", model.depth + 1, 1.7)]
        if best.steps() > 0.8 * training.max_steps:  # the errors were still falling
            changes.insert(0, ("trainer.max_steps", 3 * training.max_steps, 3.0))
        for name, value, factor in changes:
            if name not in self._given:
                yield f"{best.name}; {name}={value}", factor, f"{name}={value}"

    def _refit(self, rounds: Rounds) -> None:
        """Train what the answer is made of on all rows, and write the answer."""
        complete = [one for one in self._ranked() if len(one.fits) == len(self._ranked()[0].fits)]
        errors, variances = np.stack([one.error_vector() for one in complete]), [one.variance() for one in complete]
        weights = weigh(errors, np.array(variances))
        weights[weights < min(_LEAST_WEIGHT, weights.max())] = 0
        for one, weight in zip(complete, weights / weights.sum(), strict=True):
            one.weight = float(weight)
        chosen = [one for one in complete if one.weight]
        base = self._member([*chosen[0].overrides, "data.fold=0"]).seed.seed
        room = (self.settings.timeout - rounds.elapsed) * self._processes
        each = 1.5 * sum(one.seconds * len(self.folds) / max(1, len(self.folds) - 1) for one in chosen)
        seeds = max(1, min(self.settings.seeds, math.floor(room / max(each, 1e-9))))
        jobs = [
            [*_without_folds(one.overrides), "data.split.val=0", f"trainer.stop_at={one.steps()}", f"seed={base + i}"]
            for one in chosen
            for i in range(seeds)
        ]
        for i, one in enumerate(chosen):
            one.refits = [rounds.begun + i * seeds + j for j in range(seeds)]
        runs = iter(rounds.train(jobs, self.settings.timeout))
        shares: dict[str, float] = {}
        for one in chosen:
            fits = [run[1] for run in (next(runs) for _ in range(seeds)) if run is not None]
            good = [run for run in fits if _error(run) <= max(one.error(), 1e-12)]
            members = good or [fit.run for fit in one.fits.values()]  # the networks of its folds
            for name, share in _equal(members, self.directory).items():
                shares[name] = one.weight * share
        write_answer(self.directory, shares)

    def _conclude(self) -> None:
        """Write the leaderboard."""
        ranked = self._ranked()
        if not any(one.weight for one in ranked):
            ranked[0].weight = 1.0
        candidates = [self._candidate(one) for one in ranked]
        named = {line.partition(": ")[0] for line in self._left_out}
        late = [one for one in self.entrants if not one.fits and one.name not in named]
        left_out = [f"{one.name}: {'no run ended' if one.runs else 'it was not begun'} in time" for one in late]
        test = 0 if self.rows is None else len(self._test)
        seen = 0 if self.rows is None else len(self.rows.x) - test
        sentences = [
            describe_answer(self.directory, candidates, seen, test),
            describe_errors(self._validated(), len(ranked[0].fits) if seen else 0, *self._tested()),
            why(candidates[0], ranked[0].overrides, self.rows),
        ]
        Leaderboard(candidates, sentences, [*self._left_out, *left_out]).write(self.directory)

    def _validated(self) -> tuple[float | None, float | None]:
        """Return the nrmse of the answer's values and derivatives on the rows that its networks have not seen."""
        some = [one for one in self.entrants if one.weight]
        if self.rows is None:
            return some[0].root_mean(_ERRORS[0]), some[0].root_mean(_ERRORS[1])
        each = []
        for fold, fit in some[0].fits.items():
            errors = sum((one.weight * one.fits[fold].errors for one in some), np.zeros_like(fit.errors))
            each.append(self._channels.nrmse(errors, fit.values))
        value, derivative = np.sqrt(np.mean(np.square(each), axis=0))
        return float(value), float(derivative) if self._channels.slope.any() else None

    def _tested(self) -> tuple[tuple[float | None, float | None], int]:
        """Return the nrmse of the answer's values and derivatives on the test rows, and the number of these."""
        if self.rows is None or not len(self._test):
            return (None, None), 0
        from runge.function import load

        u, du = _evaluated(load(self.directory), self.rows.x[self._test])
        errors = self._channels.scaled(u - self.rows.y[self._test], du - self.rows.dydx[self._test])
        value, derivative = self._channels.nrmse(errors, u.size)
        return (value, derivative if self._channels.slope.any() else None), len(self._test)

    def _candidate(self, one: Entrant) -> Candidate:
        value, derivative = (one.root_mean(name) for name in _ERRORS)
        spread = math.sqrt(one.variance()) if self.rows is not None and len(one.fits) > 1 else None
        own = [override for override in one.overrides if not override.startswith("search=")]
        line = f"{command()} -m {' '.join(map(_quoted, own))}"
        figures = value, derivative, spread, one.error(), one.seconds, one.steps(), one.weight
        return Candidate(one.name, line, one.runs, one.refits, len(one.fits), *figures)


def _evaluated(function: "Function", x: Floats) -> tuple[Floats, Floats]:
    """Return the values, (m, P), and the Jacobian, (m, P, D), of a function at points x, (m, D)."""
    u, du = function.value_and_derivative(x[:, 0] if x.shape[1] == 1 else x)
    return u.reshape(len(x), -1), du.reshape(len(x), -1, x.shape[1])


def _quoted(override: str) -> str:
    """Return an override for a shell, of which those with quotes of Hydra's are readable, too."""
    return f'"{override}"' if "'" in override and not set(override) & set('"$`\\!') else shlex.quote(override)


def _parts(entrants: Sequence[Entrant]) -> Iterator[Sequence[Entrant]]:
    """Yield the candidates in parts, of which the first ones are small, so that there is an answer soon."""
    size, first = _AT_FIRST, 0
    while first < len(entrants):
        yield entrants[first : first + size]
        size, first = min(2 * size, _AT_A_TIME), first + size


def _without_folds(overrides: Sequence[str]) -> list[str]:
    return [one for one in overrides if not one.startswith(("data.folds=", "seed=", "data.split.val="))]


def _equal(runs: Sequence[RunDirectory], sweep: Path) -> dict[str, float]:
    return {str(run.path.relative_to(sweep)): 1 / len(runs) for run in runs}


def _error(run: RunDirectory) -> float:
    figures = run.read_metrics()
    known = [figure for name in _ERRORS if (figure := figures.get(name)) is not None]
    return math.sqrt(np.mean(np.square(known))) if known else float(figures[VAL_LOSS] or math.inf)
