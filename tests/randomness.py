"""Every random number of a test comes from a seed that is written down, so that no test passes or fails by luck.

Hypothesis draws its own seeds, and prints them.
"""

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

_ROOT = Path(__file__).parent.parent
_OURS = tuple(str(_ROOT / name) for name in ("runge", "tests", "benchmarks", "docs"))
_DEFAULT_RNG, _TORCH_SEED = np.random.default_rng, torch.seed


def _is_imported() -> bool:
    """Return whether a library draws while it is imported, as SciPy does for examples in its documentation."""
    for frame, _ in traceback.walk_stack(None):
        file = frame.f_code.co_filename
        if "importlib._bootstrap" in file:
            return True
        if file.startswith(_OURS) and file != __file__:
            return False
    return False


def _seeded_rng(seed: Any = None) -> np.random.Generator:
    if seed is None and not _is_imported():
        _unseeded()
    return _DEFAULT_RNG(seed)


def _unseeded() -> int:
    raise AssertionError("a random number without a seed: give one, or ask for the fixture `fresh_seeds`")


np.random.default_rng, torch.seed = _seeded_rng, _unseeded


def _seed_global_generators() -> None:
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


def _global_states() -> dict[str, Any]:
    name, key, *rest = np.random.get_state()  # noqa: NPY002
    return {"NumPy": (name, key.tobytes(), *rest), "torch": torch.get_rng_state().numpy().tobytes()}


_seed_global_generators()
_STATES = _global_states()


@pytest.fixture
def fresh_seeds(monkeypatch) -> None:
    """Allow random numbers without a seed."""
    monkeypatch.setattr(np.random, "default_rng", _DEFAULT_RNG)
    monkeypatch.setattr(torch, "seed", _TORCH_SEED)


@pytest.fixture(autouse=True)
def _seeded(request) -> Iterator[None]:
    """Fail after a test in which somebody has drawn from a global generator of NumPy or torch."""
    yield
    drawn = [name for name, state in _global_states().items() if state != _STATES[name]]
    if drawn:
        _seed_global_generators()
    rule = "draw random numbers from a generator of your own, not from the global one of "
    assert "fresh_seeds" in request.fixturenames or not drawn, rule + " and ".join(drawn)
