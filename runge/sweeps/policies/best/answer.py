"""The answer of a search for a table: networks of all rows, and those by which its intervals are calibrated."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial import KDTree

from runge.function.calibration import Calibration
from runge.metrics import ERRORS
from runge.records.directories import RunDirectory
from runge.sweeps.policies.best.candidates import Candidate
from runge.sweeps.policies.best.constants import (
    DISAGREEMENT_FACTOR,
    LATE_FACTOR,
    LEAST_SET_UPS,
    LOSS_ROUND_OFF,
    QUESTIONING_SET_UPS,
    QUESTIONING_SHARE,
    WORSE_FACTOR,
)
from runge.sweeps.policies.best.selection import PlannedRun, Selection
from runge.sweeps.policies.best.trained_runs import TrainedRun
from runge.sweeps.policies.policy import Rounds

__all__ = ["answer", "questioning_seconds", "redrawing_seconds"]


def answer(selection: Selection) -> Rounds:
    """Yield the runs of the answer, and write it with its intervals.

    A winner that needs no more steps is trained with newly drawn weights: on all rows, with several seeds, and without
    each of the other folds. A winner whose error was still falling, or whose new networks would take too long,
    continues on all rows. Short runs then leave out the other folds: they only question the labels there.
    """
    best = selection.ranked()[0]
    left = max(selection.left(selection.end), 0.0)  # the last batch may have ended late
    selection.winner = best.name
    count = selection.processes * int(LATE_FACTOR * left / selection.seconds_of(best))
    if count and not best.continues:
        # The intervals of the mean of some seeds follow from such means without a fold.
        every = [(fold, seed) for seed in range(selection.seeds) for fold in (None, *range(selection.crossed))]
        pairs = [(fold, seed) for fold, seed in every if seed or fold not in best.by_fold][:count]
        selection.display.say(f"{best.name} on all rows and without each fold, {len(pairs)} networks")
        seconds = left / -(-len(pairs) // selection.processes)  # they are trained in rounds
        steps, stop_at = max(run.before + run.max_steps for run in best.in_order), selection.step_of(best)
        runs = [PlannedRun(best, fold, seconds, steps=steps, stop_at=stop_at, seed=seed) for fold, seed in pairs]
    else:
        reserved = questioning_seconds(selection, best)
        room = left * selection.processes - reserved * selection.processes
        starts = [start for fold in best.by_fold if (start := selection.start_of(best, fold)) and start.lacks_rows]
        seconds = room / max(len(starts), selection.processes) - selection.set_up
        starts = [start for start in starts if selection.affords_all(best, start, seconds)]
        runs = [PlannedRun(best, None, seconds, start=start) for start in starts]
        if runs:
            selection.display.say(f"{best.name} on all rows")
        runs += _questioning(selection, best, reserved)
    trained = yield from selection.train(runs)
    ended = [(planned.fold, run) for planned, run in zip(runs, trained, strict=True) if run is not None]
    best = selection.candidates[best.name]
    whole = _good([run for fold, run in ended if fold is None and run.error <= max(best.error, LOSS_ROUND_OFF)])
    whole = _agreeing(selection, best, whole)
    calibrating = list[RunDirectory]()
    for fold, run in best.by_fold.items():
        further = [later for left_out, later in ended if left_out == fold and later is not run]
        calibrating += [good.directory for good in _good([run, *further])]
    questioning = [run.directory for fold, run in ended if fold is not None and fold not in best.by_fold]
    networks = [run.directory for run in whole or best.in_order]
    selection.write(networks)  # `_calibrate` loads this answer
    selection.write(networks, _calibrate(selection, best, calibrating, questioning))


def redrawing_seconds(selection: Selection, best: Candidate) -> float:
    """Return the seconds of the networks of the answer if all of them have newly drawn weights.

    They are a network of all rows, and one without each fold that has not judged the winner. They are trained in
    rounds, one in each process.
    """
    networks = 1 + selection.crossed - len(best.by_fold)
    return -(-networks // selection.processes) * selection.seconds_of(best)


def questioning_seconds(selection: Selection, best: Candidate) -> float:
    """Return the seconds of the short runs that question the labels; 0: there are none, or they would be too short."""
    set_ups = selection.set_up * (selection.crossed - len(best.by_fold)) / selection.processes
    end = selection.end
    seconds = min(QUESTIONING_SET_UPS * set_ups, QUESTIONING_SHARE * end, selection.left(end))
    return seconds if set_ups > 0 and seconds >= LEAST_SET_UPS * set_ups else 0.0


def _questioning(selection: Selection, best: Candidate, seconds: float) -> list[PlannedRun]:
    """Return short runs of a winner, one for each fold that no network of it has left out.

    They are on as few rows as the first comparison: in such a time a network of all rows would be far worse.
    """
    assert selection.table
    folds = [fold for fold in range(selection.crossed) if fold not in best.by_fold]
    seconds *= selection.processes / max(len(folds), 1)
    used = best.in_order[0].used_share
    few = selection.table.fewest_rows / len(selection.table.rows.x)
    share = few if few < (used or 1.0) else used
    # With its own seed, a run on a further fold would judge the candidate.
    return [PlannedRun(best, fold, seconds, share, seed=1) for fold in folds if seconds]


def _good(runs: Sequence[TrainedRun]) -> list[TrainedRun]:
    """Return the runs without those that have ended in a worse minimum than another one, which would spoil the mean."""
    most = WORSE_FACTOR * min((run.loss for run in runs), default=0.0) + LOSS_ROUND_OFF
    return [run for run in runs if run.loss <= most]


def _agreeing(selection: Selection, best: Candidate, whole: Sequence[TrainedRun]) -> list[TrainedRun]:
    """Return the networks of all rows that agree between these rows with the networks that were judged.

    A network that fits its rows may be far off between them. If it was trained on all rows, no row is left to test
    that. In the middle between each row and its nearest one, the root mean square of the difference of both values,
    over the standard deviation of the output, is about as large as the judged error.
    """
    table, error = selection.table, best.root_mean(ERRORS[0])
    if not (table and whole and error is not None and table.channels.value.any()):
        return list(whole)
    import torch  # late: the candidates are checked before it is loaded

    from runge.function.loading import load_runs

    x, factors = table.rows.x[table.seen], table.channels.of_residuals[: len(table.channels.value)]
    scaled = x / np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    nearest = np.asarray(KDTree(scaled).query(scaled, k=2)[1])[:, 1]
    networks = load_runs([run.directory for run in (*best.in_order, *whole)])
    middles = torch.from_numpy((x + x[nearest]) / 2)[None].to(networks.like)
    values = dict(zip(networks.runs, networks.jet(middles)[0].double().cpu().numpy(), strict=True))
    judged = np.mean([values[str(run.directory.path)] for run in best.in_order], axis=0)
    agreeing = list[TrainedRun]()
    for run in whole:
        difference = factors * (values[str(run.directory.path)] - judged)
        if np.sqrt((difference[:, factors > 0] ** 2).mean()) <= DISAGREEMENT_FACTOR * error + LOSS_ROUND_OFF:
            agreeing.append(run)
    return agreeing


def _calibrate(
    selection: Selection, best: Candidate, calibrating: Sequence[RunDirectory], questioning: Sequence[RunDirectory]
) -> Calibration:
    """Calibrate intervals by the rows that some runs have not seen, and keep the errors of the candidate there."""
    from runge.function.loading import load, load_runs  # late, as torch is
    from runge.function.residuals import UnseenErrors

    judging = [run.directory for run in best.in_order]
    networks = load_runs(list(dict.fromkeys([*judging, *calibrating, *questioning])))
    errors = UnseenErrors.of(networks.jet, networks.runs, everywhere=True)
    judges, calibrators = ([networks.runs.index(str(run.path)) for run in runs] for runs in (judging, calibrating))
    selection.residuals = errors.mean(judges, validated=True)
    selection.questioned = errors.mean(range(len(networks.runs)), validated=False)
    return errors.calibrate(calibrators, local=bool(load(selection.directory).groups))
