"""The answer of a search for a table: networks of all rows, and those by which its intervals are calibrated."""

from collections.abc import Sequence

from runge.records.calibration import Calibration
from runge.records.directories import RunDirectory
from runge.sweeps.policies.best.candidates import Entrant
from runge.sweeps.policies.best.judge import Fit
from runge.sweeps.policies.best.selection import Run, Selection
from runge.sweeps.policies.policy import Rounds

__all__ = ["answer"]

_WORSE, _ROUND_OFF = 3.0, 1e-12  # the loss and the error that a network may have, over those of the best one


def answer(selection: Selection, seeds: int, end: float) -> Rounds:
    """Yield the runs of the answer, and write it with its intervals.

    A winner that needs no more steps is trained on all rows, with several seeds, and leaves out the other folds; one
    whose error was still falling continues on all rows.

    Args:
        selection: the candidates.
        seeds: how many networks the answer has at most.
        end: the time at which it ends, in seconds.
    """
    best = selection.ranked()[0]
    fits, room, selection.winner = best.all, selection.left(end) * selection.processes, best.name
    count = int(room / selection.seconds_of(best))
    if count and not best.continues:
        folds, step = range(selection.crossed), selection.step_of(best)
        # The intervals of the mean of some seeds follow from such means without a fold.
        pairs = [(fold, seed) for seed in range(seeds) for fold in (None, *folds) if seed or fold not in best.fits]
        pairs = pairs[:count]
        selection.display.say(f"{best.name} on all rows and without each fold, {len(pairs)} networks")
        about = {"seconds": room / len(pairs), "steps": max(fit.planned for fit in fits), "stop_at": step}
        runs = [Run(best, fold, seed=seed, **about) for fold, seed in pairs]
    else:
        starts = [start for fold in best.fits if (start := selection.start_of(best, fold)) and start.lacks_rows]
        seconds = room / max(len(starts), selection.processes) - selection.set_up
        runs = [
            Run(best, None, seconds, start=start) for start in starts if selection.affords_all(best, start, seconds)
        ]
        if runs:
            selection.display.say(f"{best.name} on all rows")
    trained = yield from selection.train(runs)
    ended = [(run.fold, fit) for run, fit in zip(runs, trained, strict=True) if fit is not None]
    best = selection.entrants[best.name]
    whole = _good([fit for fold, fit in ended if fold is None and fit.error <= max(best.error, _ROUND_OFF)])
    held = list[RunDirectory]()
    for fold, fit in best.fits.items():
        same = [other for place, other in ended if place == fold and other is not fit]
        held += [other.run for other in _good([fit, *same])]
    networks = [fit.run for fit in whole or best.all]
    selection.write(networks)
    selection.write(networks, _calibrate(selection, best, held))


def _good(fits: Sequence[Fit]) -> list[Fit]:
    """Return the fits without those that have ended in a worse minimum than another one, which would spoil the mean."""
    most = _WORSE * min((fit.loss for fit in fits), default=0.0) + _ROUND_OFF
    return [fit for fit in fits if fit.loss <= most]


def _calibrate(selection: Selection, best: Entrant, held: Sequence[RunDirectory]) -> Calibration:
    """Calibrate intervals by the rows that some runs have not seen, and keep the errors of the candidate there."""
    from runge.function.loading import load, load_runs  # late, as torch is
    from runge.function.residuals import UnseenErrors

    judging = [fit.run for fit in best.all]
    networks = load_runs([*judging, *(run for run in held if run not in judging)])
    errors = UnseenErrors.of(networks.jet, networks.runs, everywhere=True)
    judges, calibrating = ([networks.runs.index(str(run.path)) for run in runs] for runs in (judging, held))
    selection.residuals = errors.mean(judges)
    return errors.calibrate(calibrating, local=bool(load(selection.directory).groups))
