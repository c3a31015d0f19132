"""The leaderboard of a search, with sentences on the answer, its errors and its sensitivity."""

import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from runge.compare.leaderboard import AnswerProfile, Candidate, Leaderboard, Suspect
from runge.compare.sensitivity import Influence, Sensitivity
from runge.data import Rows
from runge.errors import command, in_shell
from runge.launch.policies.best.candidates import Entrant
from runge.launch.policies.best.judge import best_step, error_vector, variance
from runge.launch.policies.best.known import Known
from runge.launch.policies.best.selection import Selection
from runge.launch.policies.best.suspects import describe_suspects, find_suspects
from runge.objective import ERRORS
from runge.records.ensemble import read_answer
from runge.records.fits import LEVEL
from runge.tables.roles import listed
from runge.trust.sensitivity import measure, measure_function, total_indices, unevenness

if TYPE_CHECKING:
    from runge.function import Function

__all__ = ["leaderboard"]

Errors = tuple[float | None, float | None]

_CORRELATED, _UNEVEN = 0.3, 0.15  # a normal input has 0.2 in the box of its rows
_BY_CHANCE = 3.0, 1.6  # both over the root of the number of rows
_MOST_PROFILES, _NUMBERS, _MOST_ROWS = 12, 6000, 200
_ACTIVATIONS = 2**25  # about a second of one core


def leaderboard(selection: Selection, left_out: Sequence[str], promotions: Sequence[str]) -> Leaderboard:
    """Return the leaderboard of a search.

    Args:
        selection: its candidates, of which some have been trained.
        left_out: the candidates that the command's overrides do not allow, and why.
        promotions: which candidates were trained further, and why.
    """
    ranked, known, sweep = selection.ranked(), selection.known, selection.directory
    weights = selection.weights or {ranked[0].name: 1.0}
    candidates, test = (
        [_candidate(x, weights.get(x.name, 0.0)) for x in ranked],
        0 if known is None else len(known.test),
    )
    chosen = [(x, weights[x.name]) for x in ranked if x.name in weights]
    late = [x for x in selection.entrants.values() if not x.fits]
    left_out = [*left_out, *(f"{x.name}: {'no run ended' if x.runs else 'it did not begin'} in time" for x in late)]
    influences, profiles, halves = None, list[AnswerProfile](), (None, None)
    suspects = list[Suspect]()
    if known is None:
        sentences = [
            _describe_answer(sweep, candidates, 0, 0, 0),
            _describe_errors(_validated(chosen, selection), "on the validation points", (None, None), 0),
        ]
    else:
        from runge.loading import load  # late, as torch is

        function, count, most = load(sweep), len(ranked[0].fits), selection.folds
        influences = _sensitivity(function, known.rows) if len(function.inputs) > 1 else None
        profiles, halves = _profiles(function, known), _half_widths(function, known)
        suspects = find_suspects(ranked[0].all, known.rows)
        folds = f"{count} folds" if count == most else f"{count} of {most} folds"
        how = f"by cross-validation on {folds}" if selection.by_folds else "on the rows of the fold that was left out"
        sentences = [
            _describe_answer(sweep, candidates, len(known.rows.x) - test, test, most),
            _describe_errors(_validated(chosen, selection), how, _tested(function, known), test),
            _describe_intervals(halves),
        ]
    if len(candidates) == 1:
        sentences.append("No other candidate could be compared; search.timeout=SECONDS gives more time.")
    sentences.append(describe_suspects(suspects))
    level = None if halves == (None, None) else LEVEL
    about = influences, profiles, level, suspects, list(promotions)
    return Leaderboard(candidates, list(filter(None, sentences)), left_out, *about)


def _sensitivity(function: "Function", rows: Rows) -> Sensitivity:
    """Return the sensitivity of a function to its inputs in the box of some rows, and that of their labels."""
    box = np.stack([rows.x.min(axis=0), rows.x.max(axis=0)], axis=1)
    # The activations take most of the time: at n (D + 2) points, and with D tangents at n.
    neurons = sum(bias.numel() for network in function.networks for _, bias in network.layers())
    # SciPy has the numbers of all points at once, D^2 for each of n.
    most = max(neurons * (2 * len(box) + 3), len(box) ** 2)
    n = 2 ** min(max(int(math.log2(_ACTIVATIONS / most)), 4), 12)
    fit, labels = measure_function(function, box, n), measure(rows.y, rows.dydx, box)
    parts = total_indices(function, box, n), fit.bound, fit.nu, fit.mean, fit.rising
    figures = np.stack([*parts, labels.bound, labels.bound_error, labels.nu, labels.mean, labels.mean_error], axis=-1)
    influences = [
        Influence(y, x, *(float(one) if math.isfinite(one) else None for one in figures[p, d]))
        for (p, y), (d, x) in product(enumerate(rows.outputs), enumerate(rows.inputs))
    ]
    return Sensitivity(influences, n, _cautions(rows, box))


def _profiles(function: "Function", known: Known) -> list[AnswerProfile]:
    """Return the profiles of a function that was fitted to a table, along the inputs that matter most."""
    from runge.sections import profiles_of  # late, as torch is

    rows, seen = known.rows, known.seen
    outputs = range(min(len(rows.outputs), _MOST_PROFILES))
    inputs = np.sort(np.argsort(-function.input_weights, kind="stable")[:_MOST_PROFILES]).tolist()
    points = _NUMBERS // (len(inputs) * max(6 * len(outputs), len(rows.inputs)))
    sections = profiles_of(function, rows.x[seen], inputs, min(max(points, 21), 201))
    shown = seen[:: -(-len(seen) // _MOST_ROWS)] if len(rows.inputs) == 1 else seen[:0]
    labels = [[rows.x[shown, 0], rows.y[shown, p], rows.dydx[shown, p, 0]] for p in outputs]
    return [
        AnswerProfile.of((rows.outputs[p], rows.inputs[d]), section, p, labels[p])
        for p in outputs
        for d, section in zip(inputs, sections, strict=True)
    ]


def _half_widths(function: "Function", known: Known) -> Errors:
    """Return half the widths of the intervals of a function as errors, in the median of some rows."""
    from runge.sections import section_of  # late, as torch is

    seen = known.seen
    found = section_of(function, known.rows.x[seen[:: -(-len(seen) // _MOST_ROWS)]])
    halves = found.around, found.around_du
    errors = [known.channels.nrmse(known.channels.scaled(u[None], du[None])) for u, du in zip(*halves, strict=True)]
    parts = zip(zip(*errors, strict=True), halves, strict=True)
    value, slope = (None if None in of or np.isnan(half).all() else float(np.median(of)) for of, half in parts)
    return value, slope


def _cautions(rows: Rows, box: NDArray[np.float64]) -> list[str]:
    """Return sentences on inputs that are correlated, or not uniform in the box."""
    chance = [deviations / math.sqrt(len(rows.x)) for deviations in _BY_CHANCE]
    correlation, cautions = np.triu(np.atleast_2d(np.corrcoef(rows.x, rowvar=False)), 1), list[str]()
    i, j = np.unravel_index(np.abs(correlation).argmax(), correlation.shape)
    if abs(correlation[i, j]) > max(_CORRELATED, chance[0]):
        pair = f"{rows.inputs[i]} and {rows.inputs[j]} are correlated in the rows ({correlation[i, j]:.2f})"
        cautions.append(f"{pair}, but bounds and indices hold for independent inputs alone.")
    limit, distances = max(_UNEVEN, chance[1]), unevenness(rows.x, box)
    if uneven := [name for name, distance in zip(rows.inputs, distances, strict=True) if distance > limit]:
        where = f"The rows are not spread evenly along {listed(uneven)}"
        cautions.append(f"{where}: a bound from the labels, a mean over the rows, may be wrong.")
    return cautions


def _validated(chosen: Sequence[tuple[Entrant, float]], selection: Selection) -> Errors:
    """Return the errors of the answer, which is made of some candidates, in rows that its networks have not seen."""
    known, first = selection.known, chosen[0][0]
    if known is None or len(chosen) == 1:
        return first.root_mean(ERRORS[0]), first.root_mean(ERRORS[1])
    errors = sum((weight * error_vector(x.all) for x, weight in chosen), np.zeros(()))
    ends = np.cumsum([len(fit.errors) for fit in first.all])[:-1]  # of the folds
    each = zip(*(known.channels.nrmse(part) for part in np.split(errors, ends)), strict=True)
    value, slope = (None if None in parts else math.hypot(*parts) for parts in each)
    return value, slope


def _tested(function: "Function", known: Known) -> Errors:
    """Return the errors of the answer on the test rows."""
    if not len(known.test):
        return None, None
    from runge.predict import predict  # late, as torch is

    own = predict(function, known.rows.x[known.test])
    value, slope = own["u"] - known.rows.y[known.test], own["du"] - known.rows.dydx[known.test]
    return known.channels.nrmse(known.channels.scaled(value, slope))


def _candidate(entrant: Entrant, weight: float) -> Candidate:
    value, derivative = (entrant.root_mean(name) for name in ERRORS)
    spread = math.sqrt(sum(variance(entrant.all))) or None
    line = f"{command()} {'-m ' if entrant.member.rows else ''}{' '.join(map(in_shell, entrant.overrides))}"
    figures = value, derivative, spread, entrant.error, entrant.seconds, best_step(entrant.all), weight
    runs, refits, calibrating = (list(numbers) for numbers in (entrant.runs, entrant.refits, entrant.calibrating))
    return Candidate(entrant.name, line, runs, refits, len(entrant.fits), *figures, calibrating)


def _describe_answer(sweep: Path, candidates: Sequence[Candidate], seen: int, test: int, folds: int) -> str:
    """Return a sentence on the networks of the answer in a sweep's directory.

    Args:
        sweep: the directory.
        candidates: all candidates.
        seen: the number of rows for training and validation; 0: a formula.
        test: the number of test rows.
        folds: the number of folds.
    """
    runs = {run.path.name for run, _ in read_answer(sweep) or ()}
    own = [one for one in candidates if runs & {*map(str, [*one.runs, *one.refits])}]
    partial = len(runs - {str(run) for one in own for run in one.refits})
    mean = f"the {'weighted ' if len(own) > 1 else ''}mean of {len(runs)} networks" if len(runs) > 1 else "one network"
    answer = f"The answer is {mean} ({own[0].name if len(own) == 1 else f'{len(own)} candidates'})"
    if not seen:
        return f"{answer}."
    rows = f"all {seen + test} rows"
    rows += f" except the {test} for the test" if test else ""
    if not partial:
        return f"{answer}, trained on {rows}."
    some = f"{partial} of them" if partial < len(runs) else "each" if partial > 1 else "it"
    return f"{answer}, trained on {rows}; {some} left out one of {folds} folds."


def _describe_errors(validated: Errors, how: str, tested: Errors, test: int) -> str:
    """Return sentences on the errors to expect.

    Args:
        validated: the errors of the answer by cross-validation, of values and derivatives; None: not known.
        how: how they were found.
        tested: those on the test rows.
        test: the number of test rows.
    """
    said = f"Its error relative to the standard deviation is about {_both(validated)}, {how}."
    return said + (f" On the {test} test rows, which no network has seen, it is {_both(tested)}." if test else "")


def _describe_intervals(halves: Errors) -> str:
    """Return a sentence on half the widths of the intervals of values and derivatives; empty: there are none."""
    value, slope = halves
    parts = [] if value is None else [f"values are expected within {value:.1e} standard deviations of the answer"]
    if slope is not None:
        where = "" if parts else " standard deviations of the answer"
        parts.append(f"derivatives {'' if parts else 'are expected '}within {slope:.1e}{where}")
    share = f"{100 * LEVEL:.0f} % of new"
    return ", and ".join(f"{share} {part}" for part in parts) + "." * bool(parts)


def _both(errors: Errors) -> str:
    parts = zip(errors, ("for the values", "for the derivatives"), strict=True)
    return " and ".join(f"{error:.1e} {what}" for error, what in parts if error is not None)
