"""The sentences of a leaderboard."""

from types import SimpleNamespace

import numpy as np
import pytest

from runge.compare.leaderboard import Candidate
from runge.data.channels import Channels
from runge.launch.policies.best.candidates import Entrant
from runge.launch.policies.best.judge import Fit
from runge.launch.policies.best.known import Known
from runge.launch.policies.best.verdict import (
    _cautions,
    _describe_answer,
    _describe_errors,
    _describe_intervals,
    _validated,
)
from runge.records.ensemble import write_answer

CHANNELS = Channels(np.ones(1), np.ones((1, 2)))
KNOWN = Known(None, np.empty(0, int), CHANNELS, np.empty((0, 2)))


def entrant(weight, folds):
    """Return a candidate with these errors of the values in each fold, and half of them as errors of both slopes."""
    fits = dict[int, Fit]()
    for fold, errors in enumerate(folds):
        value = np.array(errors)[:, None]
        scaled = CHANNELS.scaled(value, np.repeat(value[..., None] / 2, 2, axis=2))
        figures = {"val/nrmse_f": 1.0, "val/nrmse_df": None}
        fits[fold] = Fit(None, None, False, scaled, np.empty(0), figures, 3, (True, True))
    return Entrant("name", [], None, fits), weight


def test_the_error_of_a_weighted_mean_is_that_of_the_mean_of_the_predictions():
    first, second = [[0.3, -0.1], [0.2, 0.4, 0.1]], [[-0.1, 0.1], [0.2, -0.4, 0.3]]
    some = [entrant(0.25, first), entrant(0.75, second)]
    value, slope = _validated(some, SimpleNamespace(known=KNOWN))
    mean = [0.25 * np.array(a) + 0.75 * np.array(b) for a, b in zip(first, second, strict=True)]
    expected = np.sqrt(np.mean([np.mean(fold**2) for fold in mean]))
    assert value == pytest.approx(expected)
    assert slope == pytest.approx(expected * np.sqrt(2) / 2)
    assert _validated(some[:1], SimpleNamespace(known=KNOWN)) == (1.0, None)


@pytest.mark.parametrize(
    ("weights", "rows", "expected"),
    [
        (
            {"4": 0.5, "5": 0.5},
            (40, 8),
            "MEAN, trained on all 48 rows except the 8 for the test.",
        ),
        ({"0": 1.0}, (40, 0), "one network (a), trained on all 40 rows; it left out one of 5 folds."),
        (
            {"0": 0.5, "1": 0.5},
            (40, 0),
            "MEAN, trained on all 40 rows; each left out one of 5 folds.",
        ),
        (
            {"4": 0.6, "2": 0.4},
            (40, 0),
            "WEIGHTED, trained on all 40 rows; 1 of them left out one of 5 folds.",
        ),
        ({"4": 1.0}, (0, 0), "one network (a)."),
    ],
)
def test_the_answer_in_a_sentence(weights, rows, expected, tmp_path):
    rest = 2, 1.0, 1.0, 1.0, 1.0, 1.0, 1, 0.5
    candidates = [Candidate("a", "", [0, 1], [4, 5], *rest), Candidate("b", "", [2, 3], [], *rest)]
    for run in weights:
        (tmp_path / run).mkdir()
        (tmp_path / run / "metrics.json").touch()
    write_answer(tmp_path, weights)
    short = {"the mean of 2 networks (a)": "MEAN", "the weighted mean of 2 networks (2 candidates)": "WEIGHTED"}
    text = _describe_answer(tmp_path, candidates, *rows, 5)
    for long, word in short.items():
        text = text.replace(long, word)
    assert text == f"The answer is {expected}"


def test_the_errors_in_a_sentence():
    text = _describe_errors((0.012, None), "by cross-validation on 5 folds", (0.034, 0.05), 9)
    assert text == (
        "Its error relative to the standard deviation is about 1.2e-02 for the values, by cross-validation on 5 folds. "
        "On the 9 test rows, which no network has seen, it is 3.4e-02 for the values and 5.0e-02 for the derivatives."
    )


def test_the_intervals_in_a_sentence():
    assert _describe_intervals((None, None)) == ""
    text = "90 % of new values are expected within 1.2e-03 standard deviations of the answer"
    assert _describe_intervals((0.0012, None)) == f"{text}."
    slopes = "90 % of new derivatives are expected within 3.0e-01 standard deviations of the answer."
    assert _describe_intervals((None, 0.3)) == slopes
    assert _describe_intervals((0.0012, 0.3)) == f"{text}, and 90 % of new derivatives within 3.0e-01."


def test_cautions_on_the_rows():
    t = np.random.default_rng(0).uniform(size=(200, 3))
    box = np.array([[0.0, 1.0]] * 3)
    for few in (t, t[:12]):  # of 12 some correlate by chance
        assert _cautions(SimpleNamespace(x=few, inputs=("a", "b", "c")), box) == []
    x = np.stack([t[:, 0], 1 - t[:, 0], t[:, 2] ** 3], 1)
    related, uneven = _cautions(SimpleNamespace(x=x, inputs=("a", "b", "c")), box)
    assert related.startswith("a and b are correlated in the rows (-1.00), ")
    assert uneven.startswith("The rows are not spread evenly along c: ")
    assert _cautions(SimpleNamespace(x=x[:12], inputs=("a", "b", "c")), box) == [related]
