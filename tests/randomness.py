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
    files = (frame.f_code.co_filename for frame, _ in traceback.walk_stack(None))
    first = next(file for file in files if "importlib._bootstrap" in file or file.startswith(_OURS) and file != __file__)
    return not first.startswith(_OURS)


def _seeded_rng(seed: Any = None) -> np.random.Generator:
    if seed is None and not _is_imported():
        _unseeded()
    return _DEFAULT_RNG(seed)


def _unseeded() -> int:
    raise AssertionError("a random number without a seed: give one, or ask for the fixture `fresh_seeds`")


np.random.default_rng, torch.seed = _seeded_rng, _unseeded


def _seed_global_generators() -> None:
    np.random.seed(0)
    torch.manual_seed(0)


def _global_states() -> dict[str, Any]:
    numpy = [part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state(legacy=True)]
    return {"NumPy": numpy, "torch": torch.get_rng_state().tolist()}


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
    allowed = "fresh_seeds" in request.fixturenames
    assert allowed or not drawn, f"random numbers from the global generator of {' and '.join(drawn)}: use one of your own"
