"""The runs of a search that have been trained."""

import math

import numpy as np
import pytest

from runge.metrics import ERRORS
from runge.sweeps.policies.best.trained_runs import better_run, error_of, read_run
from tests.sweeps.policies.made_up import trained_run, written


@pytest.mark.parametrize(
    ("steps", "seconds", "completes", "cut"),
    [(100, 1.0, False, True), (100, 9.0, True, False), (99, 8.5, False, False), (99, 8.6, True, True)],
)
def test_a_run_is_cut_if_it_has_taken_its_steps_or_its_time(steps, seconds, completes, cut, tmp_path):
    directory = written(tmp_path / "7", error=0.1, steps=steps, seconds=seconds)
    run = read_run(directory, 7, None, None, completes=completes)
    assert (run.number, run.steps, run.cut, run.seconds) == (7, steps, cut, seconds)
    assert run.error == pytest.approx(0.1)


def test_a_run_continues_from_the_best_step_of_the_run_before(tmp_path):
    """Of the two errors the one that is known decides; a row without any is not the best one."""
    value, derivative = ERRORS
    nan = math.nan
    errors = {value: [1.0, nan, 0.1, 0.2], derivative: [1.0, nan, 0.1, nan], "damping": [1.0, 2.0, 3.0, 4.0]}
    first = written(tmp_path / "0", error=0.1, steps=8, history={"step": [1, 2, 5, 8], **errors}, share=0.25)
    start = read_run(first, 0, 0.5, None, completes=False)
    assert (start.share, start.used_share, start.damping, start.best_step) == (0.5, 0.25, 4.0, 5)
    np.testing.assert_allclose(start.logged_errors, [0.0, np.inf, np.log(0.01), np.log(0.2)])
    run = read_run(written(tmp_path / "1", error=0.1), 1, None, start, completes=False)
    assert (run.before, run.unused, run.spent, run.used_share, run.damping) == (5, 3, 4.0, None, 0.0)
    assert (run.best_step, run.max_steps, run.steps) == (5 + 4, 100, 4)


def test_the_better_run_is_kept_with_the_steps_of_the_other_one():
    good, bad = (trained_run(metrics={ERRORS[0]: error}, cut=True, grows=True) for error in (1.0, 2.0))
    unknown = trained_run(metrics={ERRORS[0]: math.nan})
    assert better_run(None, good, 20) is good
    assert better_run(None, None, 20) is None
    assert better_run(bad, good, 20) is good
    assert better_run(good, good, 20) is good
    for worse in (bad, unknown):
        kept = better_run(good, worse, 20)
        assert (kept.number, error_of([kept])) == (good.number, 1.0)
        assert (kept.cut, kept.grows, kept.spent, kept.unused) == (False, False, 0.2, 40)
    assert better_run(good, bad, 40).cut
    failed = better_run(good, None, 40)
    assert (failed.cut, failed.grows, failed.spent, failed.unused) == (False, False, 0.1, 0)
