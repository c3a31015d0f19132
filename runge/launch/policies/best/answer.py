"""The last rounds of a race: the networks of the answer, and those by which its intervals are calibrated."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from runge.launch.policies.best.judge import Entrant, error_of, weigh_candidates
from runge.launch.policies.best.rounds import Rounds
from runge.metrics import TRAIN_LOSS, VAL_LOSS
from runge.objective import ERRORS
from runge.records.directories import RunDirectory
from runge.records.ensemble import write_answer
from runge.trust.intervals import Calibration

__all__ = ["Ending", "equal_weights"]

_LEAST_WEIGHT = 0.1
_WORSE, _ROUND_OFF = 3.0, 1e-12
_MARGIN = 1.5  # of expected times
_SHARE = 0.25  # of the time, at most
_LEAST_ROWS = 20  # by which intervals are calibrated


class Ending(NamedTuple):
    """The last rounds of a race for a table.

    Attributes:
        directory: the directory of the sweep.
        folds: the numbers of the folds.
        rows: how many rows a fold has.
        timeout: the time at which the race ends, in seconds.
        processes: how many runs are trained at a time.
        seeds: how many networks each candidate of the answer has.
        seed: the seed of the first of them.
        data_seed: the seed by which rows are kept for the test.
    """

    directory: Path
    folds: Sequence[int]
    rows: int
    timeout: float
    processes: int
    seeds: int
    seed: int
    data_seed: int

    def expected(self, seconds: float) -> float:
        """Return the time that these rounds may take with a candidate of which a run takes some seconds."""
        runs = self.seeds * (1 + len(self.folds))
        return min(_MARGIN * runs * seconds / self.processes, _SHARE * self.timeout)

    def run(self, rounds: Rounds, complete: Sequence[Entrant]) -> None:
        """Train what the answer is made of on all rows, and write the answer with its intervals.

        Args:
            rounds: the rounds of the race.
            complete: the candidates that have been compared on the same folds, the best first.
        """
        weights = weigh_candidates(complete)
        weights[weights < min(_LEAST_WEIGHT, weights.max())] = 0
        pairs = zip(complete, map(float, weights / weights.sum()), strict=True)
        chosen = {one: weight for one, weight in pairs if weight}
        members = self._on_all_rows(rounds, chosen)
        weights = {
            name: chosen[one] * share
            for one, runs in members.items()
            for name, share in equal_weights(runs, self.directory).items()
        }
        write_answer(self.directory, weights)
        for one, weight in chosen.items():
            one.weight = weight
        write_answer(self.directory, weights, self._calibrate(rounds, chosen, members))

    def _on_all_rows(self, rounds: Rounds, chosen: Iterable[Entrant]) -> dict[Entrant, list[RunDirectory]]:
        """Train candidates on all rows, for the steps that were best on the folds; return the runs that are kept."""
        room = (self.timeout - rounds.look()) * self.processes
        each = _MARGIN * sum(one.seconds * len(self.folds) / max(1, len(self.folds) - 1) for one in chosen)
        seeds = max(1, min(self.seeds, math.floor(room / max(each, 1e-9))))
        jobs = [
            [
                *_without(one.overrides, "data.folds", "seed", "data.seed", "data.split.val"),
                *("data.split.val=0", f"trainer.stop_at={one.steps()}", f"seed={self.seed + i}"),
                f"data.seed={self.data_seed}",
            ]
            for one in chosen
            for i in range(seeds)
        ]
        for i, one in enumerate(chosen):
            one.refits = [rounds.begun + i * seeds + j for j in range(seeds)]
        runs, members = iter(rounds.train(jobs, self.timeout)), dict[Entrant, list[RunDirectory]]()
        for one in chosen:
            fits = [run for run in (next(runs) for _ in range(seeds)) if run is not None]
            # A seed that ends in a worse minimum than another would spoil the mean.
            most = _WORSE * min(map(_loss, fits), default=0) + _ROUND_OFF
            good = [run for run in fits if _loss(run) <= most and _error(run) <= max(error_of(one.all), _ROUND_OFF)]
            members[one] = good or [fit.run for fit in one.all]  # the networks of its folds
        return members

    def _calibrate(
        self, rounds: Rounds, chosen: Mapping[Entrant, float], members: Mapping[Entrant, Sequence[RunDirectory]]
    ) -> Calibration:
        """Calibrate the intervals of the answer by networks of the folds, which get further seeds if there is time.

        Of a candidate on a fold as many count as the answer has of it, those with the smallest loss, as in the answer.
        """
        from runge.loading import load, load_runs  # late, as torch is
        from runge.residuals import calibrate

        further, room = self.seeds - 1, (self.timeout - rounds.look()) * self.processes
        each = _MARGIN * further * sum(one.seconds for one in chosen)
        folds = sorted(next(iter(chosen)).fits)[: math.floor(room / each)] if each else []
        pairs, answer = [(one, fold) for one in chosen for fold in folds], load(self.directory)
        others = dict[tuple[Entrant, int], list[RunDirectory]]()
        if further and len(folds) * self.rows >= _LEAST_ROWS:
            jobs = [
                [
                    *_without(one.overrides, "seed"),
                    *(f"data.fold={fold}", f"trainer.stop_at={one.steps()}", f"seed={self.seed + i}"),
                ]
                for one, fold in pairs
                for i in range(1, self.seeds)
            ]
            for number, (one, _) in zip(range(rounds.begun, rounds.begun + len(jobs), further), pairs, strict=True):
                one.calibrating += range(number, number + further)
            trained = iter(rounds.train(jobs, self.timeout))
            others = {pair: [run for run in islice(trained, further) if run is not None] for pair in pairs}
        runs, weights = list[RunDirectory](), list[float]()
        for one, weight in chosen.items():
            for fold, fit in one.fits.items():
                found = sorted([fit.run, *others.get((one, fold), ())], key=_loss)[: len(members[one])]
                runs += found
                weights += [weight / len(found)] * len(found)
        held = load_runs(runs, [weight / math.fsum(weights) for weight in weights])
        return calibrate(held.jet, held.runs, held.weights, local=bool(answer.groups))


def _without(overrides: Sequence[str], *keys: str) -> list[str]:
    return [one for one in overrides if one.partition("=")[0] not in keys]


def equal_weights(runs: Sequence[RunDirectory], sweep: Path) -> dict[str, float]:
    """Return equal weights of some runs of a sweep, by their directories relative to the sweep's."""
    return {str(run.path.relative_to(sweep)): 1 / len(runs) for run in runs}


def _loss(run: RunDirectory) -> float:
    """Return the root of the loss of a run on its training rows."""
    return math.sqrt(run.read_metrics()[TRAIN_LOSS] or 0.0)


def _error(run: RunDirectory) -> float:
    """Return the error of a run on its validation rows, as `error_of`."""
    figures = run.read_metrics()
    known = [figure for name in ERRORS if (figure := figures.get(name)) is not None]
    return math.prod(known) ** (1 / len(known)) if known else float(figures[VAL_LOSS] or math.inf)
