"""The best of a tool's settings, by validation."""

import time
from typing import Any

import numpy as np
from tables import Array, Rows, errors

PART = 5  # one row of so many is for validation


def best(tool: type, rows: Rows, seed: int, seconds: float) -> tuple[Any, dict[str, Any]]:
    """Fit each of a tool's settings to four fifths of the rows, and the best one again to all of them.

    The best one has the smallest product of the validation errors of value and derivative; of the value alone if the
    tool has no derivatives. No setting is tried that would end after `seconds`, as far as the ones before let expect.

    Returns:
        The fitted tool, and its settings.

    Raises:
        ValueError: no setting can be fitted; the message is that of the last one.
    """
    order = np.random.default_rng(seed).permutation(len(rows.x))
    val, train = (rows.part(part) for part in np.split(order, [len(order) // PART]))
    started, longest, found, last = time.perf_counter(), 0.0, list[tuple[float, dict[str, Any]]](), ""
    for settings in ({}, *tool.GRID):
        before = time.perf_counter()
        if before - started + 2.5 * longest > seconds:
            break
        try:
            model = tool(seed, **settings).fit(*train)
            error = score(model, val)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError, RuntimeError) as failure:
            last = f"{type(failure).__name__}: {failure}"
        else:
            found.append((error, settings))
        longest = max(longest, time.perf_counter() - before)
    if not found:
        raise ValueError(last)
    settings = min(found, key=lambda one: np.nan_to_num(one[0], nan=np.inf))[1]
    return tool(seed, **settings).fit(*rows), settings


def score(model: Any, rows: Rows) -> float:
    """Return the logarithm of the product of a model's errors of value and derivative."""
    found = errors(model.predict(rows.x), derivative(model, rows.x), rows)
    return float(np.nansum(np.log(list(found.values()))))


def derivative(model: Any, x: Array) -> Array | None:
    """Return a model's derivatives, or None if it has none."""
    try:
        return model.predict_derivative(x)
    except NotImplementedError:
        return None
