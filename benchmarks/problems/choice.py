"""The best of a tool's settings, by validation."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from tables import Array, Rows, errors

PART = 5  # one row of so many is for validation


def best(tool: type, rows: Rows, seed: int, seconds: float) -> tuple[Any, dict[str, Any]]:
    """Fit each of a tool's settings to four fifths of the rows, and the best one again to all of them.

    The best one has the smallest product of the validation errors of value and derivative; of the value alone if the
    tool has no derivatives. Rows whose value is known are for training if there are few. A setting has a third of what
    is left of `seconds`, because the fit to all rows may take twice as long; one that takes longer is left out.

    Returns:
        The fitted tool, and its settings.

    Raises:
        ValueError: no setting can be fitted; the message is that of the last one.
    """
    order = np.random.default_rng(seed).permutation(len(rows.x))
    valued = np.asarray(np.isfinite(rows.y).any(axis=1))
    if valued.sum() < 2 * PART:
        order = order[np.argsort(valued[order], kind="stable")]
    val, train = (rows.part(part) for part in np.split(order, [len(order) // PART]))
    started, found, last = spent(), list[tuple[float, dict[str, Any]]](), ""
    for settings in ({}, *tool.GRID):
        try:
            with limited((seconds - spent() + started) / 3):
                model = tool(seed, **settings).fit(*train)
                found.append((score(model, val), settings))
        except Exception as failure:  # whatever a tool raises
            last = f"{type(failure).__name__}: {failure}"
    if not found:
        raise ValueError(last)
    settings = min(found, key=lambda one: one[0])[1]
    return tool(seed, **settings).fit(*rows), settings


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise TimeoutError once this process has taken some seconds of the processor; on Windows there is no limit."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def end(number: int, frame: object) -> None:
        raise TimeoutError(f"not done after {seconds:.0f} s")

    before = signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def spent() -> float:
    """Return the seconds of the processor that this process and those that it has started have taken.

    On one core that is the time, without what other programs take.
    """
    own = time.process_time()
    with suppress(ImportError):  # there is none on Windows
        import resource

        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        own += children.ru_utime + children.ru_stime
    return own


def score(model: Any, rows: Rows) -> float:
    """Return the logarithm of the product of a model's errors of value and derivative.

    It is infinite if one of them is not a number. Labels that no row has, and derivatives that the tool does not have,
    are left out.
    """
    slopes = derivative(model, rows.x)
    found = errors(model.predict(rows.x), slopes, rows)
    counted = {"value": np.isfinite(rows.y).any(), "derivative": slopes is not None and np.isfinite(rows.dydx).any()}
    score = sum(np.log(found[key]) for key in found if counted[key])
    return float(np.nan_to_num(score, nan=np.inf, posinf=np.inf, neginf=-np.inf))


def derivative(model: Any, x: Array) -> Array | None:
    """Return a model's derivatives, or None if it has none."""
    try:
        return model.predict_derivative(x)
    except NotImplementedError:
        return None
