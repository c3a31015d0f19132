"""The decisions of a whole search on recorded learning curves, for which nothing is trained."""

from types import SimpleNamespace

import pytest

from runge.metrics import FIT_SECONDS, TOTAL_SECONDS, TRAIN_LOSS, VAL_LOSS
from runge.sweeps import journal
from runge.sweeps.policies.best import selection, successive_halving
from runge.sweeps.policies.best.successive_halving import Best
from tests.sweeps.policies import made_up
from tests.sweeps.policies.best.test_best import halving, rows, save

CURVES = {
    ("0.01",): [4.0],
    ("0.02",): [3.0, 1.1, 0.9, 0.8],
    ("0.03",): [2.0, 1.0, 0.7],
    ("0.04",): [9.0],
    ("0.05",): [8.0],
    ("0.03", "model.width=128"): [0.65, 0.6],
    ("0.03", "model.depth=4"): [1.2],
    ("0.03", "model.width=128", "seed=1"): [0.3, 0.29],
    ("0.03", "model.width=128", "seed=2"): [0.5],
}
"""The errors of candidates in successive runs, by their settings: the learning rate, and what the search changes."""

DECISIONS = """
0 s: 5 candidates on 180 rows
4 s: c (2.0e+00), b (3.0e+00) on 720 rows; 3 have larger errors, from 4.0e+00
8 s: c for 102 s, because more steps may reduce the error
12 s: c for 98 s, because more steps may reduce the error
16 s: b for 98 s, because c has had more time
20 s: b for 94 s, because c has had more time
24 s: b for 90 s, because more steps may reduce the error
28 s: a for 86 s, because c has had more time
32 s: c; model.width=128 for 82 s, because more steps do not reduce the error
36 s: c; model.width=128 for 74 s, because more steps may reduce the error
40 s: c; model.width=128 for 70 s, because more steps may reduce the error
44 s: c; model.width=128; model.width=256 for 70 s, because more steps do not reduce the error
48 s: c; model.width=128; model.depth=4 for 66 s, because more steps do not reduce the error
52 s: c; model.width=128; seed=1 for 62 s, because another seed may find another minimum
56 s: c; model.width=128; seed=1 for 54 s, because more steps may reduce the error
60 s: c; model.width=128; seed=1 for 50 s, because more steps may reduce the error
64 s: c; model.width=128; seed=2 for 50 s, because another seed may find another minimum
68 s: c; model.width=128; seed=2 for 46 s, because c; model.width=128; seed=1 has had more time
"""


@pytest.fixture
def clock(monkeypatch):
    """Let batches take 4 s of a clock that stands still otherwise."""
    now = [0.0]
    monkeypatch.setattr(journal, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(made_up, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_a_search_decides_as_recorded(clock, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    save(rows(900))
    launcher, calls = made_up.Launcher(), {}

    def result(number, overrides):
        clock[0] += 4.0 / len(launcher.batches[-1])
        return 1.0

    def read_run(directory, number, share, start, *, completes):
        overrides = [job for batch in launcher.batches for job in batch][number]
        changed = [f"{key}={overrides[key]}" for key in ("model.width", "model.depth", "seed") if key in overrides]
        settings = overrides["optimizer.lr"], *changed
        calls[settings] = calls.get(settings, -1) + 1
        errors = CURVES.get(settings, [9.0])
        error = [*errors, 1.1 * errors[-1]][min(calls[settings], len(errors))]
        metrics = {"val/nrmse_f": error, TRAIN_LOSS: error**2, VAL_LOSS: error**2, FIT_SECONDS: 0.3, TOTAL_SECONDS: 0.4}
        used_share = float(overrides["data.split.train"]) if "data.split.train" in overrides else None
        return made_up.trained_run(
            directory.path,
            number,
            metrics=metrics,
            share=share,
            used_share=used_share,
            cut=not completes,
            steps=3000,
            spent=(start.spent if start else 0) + 4.0,
        )

    launcher.result = result
    monkeypatch.setattr(selection, "read_run", read_run)
    monkeypatch.setattr(successive_halving, "answer", lambda *_: iter(()))
    monkeypatch.setattr(Best, "conclude", lambda _: None)
    arguments = [x for x in halving(5) if not x.startswith(("trainer.max_steps", "search.timeout", "model."))]
    best = made_up.run(launcher, *arguments, "search.timeout=120")
    assert best.promotions == DECISIONS.strip().splitlines()
