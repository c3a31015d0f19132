"""What a race has found, in sentences: its answer, the errors to expect, and why the best candidate may have won."""

from collections.abc import Sequence
from pathlib import Path

from runge.compare.leaderboard import Candidate
from runge.data import Rows
from runge.records.ensemble import read_answer

__all__ = ["describe_answer", "describe_errors", "why"]

Errors = tuple[float | None, float | None]

_NOISE, _MANY = 0.03, 20_000


def describe_answer(sweep: Path, candidates: Sequence[Candidate], seen: int, test: int) -> str:
    """Return a sentence on the networks of the answer in a sweep's directory.

    Args:
        sweep: the directory.
        candidates: all candidates.
        seen: the number of rows for training and validation; 0: a formula.
        test: the number of test rows.
    """
    runs = {run.path.name for run, _ in read_answer(sweep) or ()}
    own = [one for one in candidates if runs & {*map(str, [*one.runs, *one.refits])}]
    partial = len(runs - {str(run) for one in own for run in one.refits})
    mean = f"the {'weighted ' if len(own) > 1 else ''}mean of {len(runs)} networks" if len(runs) > 1 else "one network"
    answer = f"The answer is {mean} ({own[0].name if len(own) == 1 else f'{len(own)} candidates'})"
    if not seen:
        return f"{answer}."
    rows = f"all {seen + test} rows{f' except the {test} for the test' if test else ''}"
    if not partial:
        return f"{answer}, trained on {rows}."
    some = "each" if partial == len(runs) else f"{partial} of them"
    return f"{answer}, trained on {rows}; {some} without one of {max(one.folds for one in own)} folds."


def describe_errors(validated: Errors, folds: int, tested: Errors, test: int) -> str:
    """Return sentences on the errors to expect.

    Args:
        validated: the errors of the answer by cross-validation, of values and derivatives; None: not known.
        folds: the number of folds; 0: a formula.
        tested: those on the test rows.
        test: the number of test rows.
    """
    how = f"by cross-validation on {folds} folds" if folds else "on the validation points"
    said = f"Its error relative to the standard deviation is about {_both(validated)}, {how}."
    return said + (f" On the {test} test rows, which no network has seen, it is {_both(tested)}." if test else "")


def _both(errors: Errors) -> str:
    parts = zip(errors, ("for the values", "for the derivatives"), strict=True)
    return " and ".join(f"{error:.1e} {what}" for error, what in parts if error is not None)


def why(best: Candidate, overrides: Sequence[str], rows: Rows | None) -> str:
    """Return a sentence on why the best candidate, which has some overrides, may have won."""
    many = rows is not None and rows.x.size * rows.y.shape[1] > _MANY
    if "loss.lambda_d=0" in overrides:
        reason = "the labels of the derivatives do not help; they have noise, or do not belong to the values"
    elif "optimizer=least_squares" in overrides:
        reason = "the function is smooth, so that neurons that stay as drawn and one exact solution are enough"
    elif best.error > _NOISE:
        reason = "all errors are large, because the labels have noise, or the rows are few"
    elif "optimizer=levenberg_marquardt" in overrides:
        reason = "the labels are exact and not many, and Levenberg-Marquardt uses all of their digits"
    elif many:
        reason = "there are many rows, and steps on mini-batches cost less than steps on all"
    else:
        reason = "its small steps suit labels with a little noise, and functions with kinks"
    return f"Why {best.name} may have won: {reason}."
