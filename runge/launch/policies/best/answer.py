"""The answer of a search for a table: networks of all rows, and those by which its intervals are calibrated."""

import math
from collections.abc import Generator, Sequence
from typing import Any

from runge.launch.journal import Batch, Trial
from runge.launch.policies.best.candidates import Entrant
from runge.launch.policies.best.judge import Fit, best_step, weigh_candidates
from runge.launch.policies.best.known import Known
from runge.launch.policies.best.selection import Run, Selection, equal_weights
from runge.launch.policies.policy import Rounds
from runge.metrics import TRAIN_LOSS
from runge.records.directories import RunDirectory
from runge.records.ensemble import write_answer
from runge.trust.intervals import Calibration

__all__ = ["answer"]

_LEAST_WEIGHT = 0.1
_WORSE, _ROUND_OFF = 3.0, 1e-12  # the loss and the error that a seed may have, over those of the best one
_MARGIN = 1.5  # of expected times
_LEAST_ROWS = 20  # by which intervals are calibrated
_FALLING = 0.8  # of the steps, from which on the best one says that the error was still falling

Networks = dict[Entrant, list[Fit]]
Trained = Generator[Batch, Sequence[Trial], Any]


def answer(selection: Selection, known: Known, seeds: int, end: float) -> Rounds:
    """Yield the runs of the answer, and write it with its intervals.

    Args:
        selection: the candidates.
        known: the table.
        seeds: how many networks the answer has of each candidate at most.
        end: the time at which it ends, in seconds.
    """
    if selection.by_folds:
        yield from _by_folds(selection, known, seeds, end)
    else:
        yield from _by_rows(selection, end)


def _by_folds(selection: Selection, known: Known, seeds: int, end: float) -> Rounds:
    """Train those of the best candidates that a weighted mean needs on all rows, for the steps that the folds say."""
    best = selection.ranked()[0]
    ranked = [entrant for entrant in selection.ranked() if entrant.fits.keys() == best.fits.keys()]
    complete = [entrant for entrant in ranked if all(len(fit.around) for fit in entrant.all)]  # judged by folds
    weights = weigh_candidates([entrant.all for entrant in complete])
    weights[weights < min(_LEAST_WEIGHT, weights.max())] = 0
    chosen = [(x, float(weight)) for x, weight in zip(complete, weights / weights.sum(), strict=True) if weight]
    room = selection.left(end) * selection.processes
    count = max(1, min(seeds, math.floor(room / (_MARGIN * sum(x.seconds + selection.set_up for x, _ in chosen)))))
    selection.display.say(f"{', '.join(x.name for x, _ in chosen)} on all rows")
    runs = [_with_seed(x, None, seed, room / (count * len(chosen))) for x, _ in chosen for seed in range(count)]
    fits = yield from selection.train(runs, "refits")
    networks, members = dict[str, float](), dict[str, int]()
    for number, (entrant, weight) in enumerate(chosen):
        trained = [fit for fit in fits[number * count : (number + 1) * count] if fit is not None]
        # A seed that ends in a worse minimum than another would spoil the mean.
        most = _WORSE * min(map(_loss, trained), default=0) + _ROUND_OFF
        good = [x for x in trained if _loss(x) <= most and x.error <= max(entrant.error, _ROUND_OFF)]
        kept = [fit.run for fit in good or entrant.all]  # or the networks of its folds
        members[entrant.name] = len(kept)
        networks |= {run: weight * share for run, share in equal_weights(kept, selection.directory).items()}
    selection.weights = {entrant.name: weight for entrant, weight in chosen}
    write_answer(selection.directory, networks)
    calibration = yield from _calibrated(selection, known, chosen, members, count, end)
    write_answer(selection.directory, networks, calibration)


def _with_seed(entrant: Entrant, fold: int | None, seed: int, seconds: float) -> Run:
    """Return a run with another seed, which ends at the step that is best on the folds."""
    changes = [f"seed={entrant.member.seed.seed + seed}", f"trainer.stop_at={best_step(entrant.all)}"]
    return Run(entrant, fold, seconds, changes=changes)


def _calibrated(
    selection: Selection,
    known: Known,
    chosen: Sequence[tuple[Entrant, float]],
    members: dict[str, int],
    count: int,
    end: float,
) -> Trained:
    """Calibrate the intervals of the answer by networks of the folds, which get further seeds if there is time.

    Of a candidate on a fold as many count as the answer has of it, those with the smallest loss, as in the answer.
    """
    further, room = count - 1, selection.left(end) * selection.processes
    each = _MARGIN * further * sum(x.seconds + selection.set_up for x, _ in chosen)
    folds = sorted(chosen[0][0].fits)[: math.floor(room / each)] if each else []
    runs = list[Run]()
    if len(folds) * len(known.seen) // known.rows.folds >= _LEAST_ROWS:
        pairs = [(x, fold) for x, _ in chosen for fold in folds]
        seconds = room / (len(pairs) * further)
        runs = [_with_seed(x, fold, seed, seconds) for x, fold in pairs for seed in range(1, count)]
    others = list(zip(runs, (yield from selection.train(runs, "calibrating")), strict=True)) if runs else []
    held, weights = list[RunDirectory](), list[float]()
    for entrant, weight in chosen:
        for fold, first in entrant.fits.items():
            same = [fit for run, fit in others if fit and run.entrant.name == entrant.name and run.fold == fold]
            kept = sorted([first, *same], key=_loss)[: members[entrant.name]]
            held += [fit.run for fit in kept]
            weights += [weight / len(kept)] * len(kept)
    return _calibrate(selection, held, weights)


def _by_rows(selection: Selection, end: float) -> Rounds:
    """Train the winner on all rows, those of the fold too, unless it lacks steps, or needs no more of them."""
    best = selection.ranked()[0]
    fit, network, seconds = best.fits[0], best.fits[0].run, selection.left(end)
    start = selection.start_of(best, 0)
    falling = start is not None and fit.lacks_rows and best_step([fit]) >= _FALLING * fit.steps
    if (falling or start is None) and selection.affords_all(fit, seconds - selection.set_up):
        selection.display.say(f"{best.name} on all rows")
        steps = f"trainer.max_steps={fit.steps}" if start else f"trainer.stop_at={best_step([fit])}"
        (whole,) = yield from selection.train([Run(best, None, seconds, None, start, [steps])], "refits")
        if whole is not None and _loss(whole) <= _WORSE * _loss(fit) + _ROUND_OFF:
            network = whole.run
    networks = equal_weights([network], selection.directory)
    selection.weights = {best.name: 1.0}
    write_answer(selection.directory, networks)
    write_answer(selection.directory, networks, _calibrate(selection, [fit.run], [1.0]))


def _calibrate(selection: Selection, runs: Sequence[RunDirectory], weights: Sequence[float]) -> Calibration:
    """Calibrate intervals by the rows that some runs have not seen."""
    from runge.loading import load, load_runs  # late, as torch is
    from runge.residuals import calibrate

    held = load_runs(runs, [weight / math.fsum(weights) for weight in weights])
    return calibrate(held.jet, held.runs, held.weights, local=bool(load(selection.directory).groups))


def _loss(fit: Fit) -> float:
    """Return the root of the loss of a network on its training rows."""
    return math.sqrt(fit.figures[TRAIN_LOSS] or 0.0)
