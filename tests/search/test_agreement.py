"""What the networks of an answer say where no row is."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from runge.data.channels import Channels
from runge.records.leaderboard import OutputError
from runge.search.agreement import agreement_of, recombined
from runge.search.statements import of_answer


def test_a_network_of_all_rows_that_is_wrong_between_them_is_no_answer(monkeypatch):
    """Its error on these rows, which is none, does not tell; its derivatives count, too."""
    x = np.linspace(0, 1, 11)[:, None]
    y = np.where(np.arange(11) < 5, -1000.0, 1200.0)[:, None] * [[1.0, 0.0]]  # its second output is constant
    dydx = np.linspace(-1, 1, 11)[:, None, None] * [[[1.0], [0.0]]]
    one = SimpleNamespace(
        rows=SimpleNamespace(x=x, outputs=["y", "z"]), seen=np.arange(11), channels=Channels.of(x, y, dydx)
    )
    size, slope = y.std(axis=0)[0], dydx.std(axis=0)[0, 0]
    shifts = {"a": (0.0, 0.0), "b": (0.29 * size, 0.29 * slope), "c": (0.31 * size, 0.0), "d": (0.0, 0.31 * slope)}

    def jet(points):
        values = [torch.cat([points, points], dim=2) + torch.tensor([shift, 9.0]) for shift, _ in shifts.values()]
        slopes = [(points[..., None].repeat(1, 1, 2, 1)) + torch.tensor([[by], [9.0]]) for _, by in shifts.values()]
        return torch.cat(values), torch.cat(slopes)

    networks = SimpleNamespace(runs=list(shifts), like=torch.zeros(0, dtype=torch.float64), jet=jet)
    monkeypatch.setattr("runge.search.agreement.load_runs", lambda runs: networks)
    assert agreement_of(one, (0.1, 0.1), ["a"], ["b", "c", "d"]).fits == [True, False, False]
    assert agreement_of(one, (0.1, None), ["a"], ["d"]).fits == [True]
    assert agreement_of(one, (0.1, 0.1), ["a"], []).fits == []


@pytest.mark.parametrize(
    ("judging", "whole", "expected"),
    [("a", "", np.nan), ("ab", "", 0.5), ("a", "b", 1.0), ("a", "d", 3.0), ("b", "ad", np.sqrt(5))],
)
def test_differences_are_between_the_answer_and_the_other_networks(monkeypatch, judging, whole, expected):
    """The values of a, b and d are 0, 1 and 3 times the judged size apart, and only b agrees with a."""
    x = np.linspace(0, 1, 11)[:, None]
    y, shifts = np.sin(7 * x), {"a": 0.0, "b": 1.0, "d": 3.0}
    channels = Channels.of(x, y, np.cos(7 * x)[..., None])
    one = SimpleNamespace(rows=SimpleNamespace(x=x, outputs=["y"]), seen=np.arange(11), channels=channels)

    def load(runs):
        chosen = [str(run.path) for run in runs]
        shifted = [shifts[name] * y.std() for name in chosen]

        def jet(points):
            return torch.cat([points + shift for shift in shifted]), points[..., None].repeat(len(chosen), 1, 1, 1)

        return SimpleNamespace(runs=chosen, like=torch.zeros(0, dtype=torch.float64), jet=jet)

    monkeypatch.setattr("runge.search.agreement.load_runs", load)
    found = agreement_of(one, (0.5, 0.5), [*judging], [*whole])
    np.testing.assert_allclose(found.differences, [[expected], [0 * expected]], atol=1e-9)


@pytest.mark.filterwarnings("error")
def test_no_differences_are_known_if_no_point_is_near_the_rows(monkeypatch):
    """Rows that all occur twice are at no distance from their nearest ones."""
    x = np.repeat(np.random.default_rng(0).uniform(-1, 1, (50, 4)), 2, axis=0)
    assert not len(recombined(x))
    one = SimpleNamespace(rows=SimpleNamespace(x=x, outputs=["y"]), seen=np.arange(100), channels=None)
    monkeypatch.setattr("runge.search.agreement.load_runs", lambda runs: None)
    found = agreement_of(one, (0.1, 0.1), ["a", "b"], [])
    assert found.fits == []
    assert np.isnan(found.differences).all()


def test_points_are_also_between_the_levels_of_a_grid():
    """Not of an input with two levels, which may be a switch."""
    x = np.stack(np.meshgrid(range(5), range(2), range(7), indexing="ij"), axis=-1).reshape(-1, 3).astype(float)
    points = recombined(x)
    assert len(points) > 500
    for d, last in ((0, 4), (2, 6)):
        assert {*points[:, d]} == {*np.arange(0, last + 0.5, 0.5)}
    assert {*points[:, 1]} == {0, 1}


def test_recombined_points_are_near_rows():
    """Those of independent inputs are of the whole square, and those of a circle on it."""
    generator = np.random.default_rng(0)
    square = generator.uniform(-1, 1, (200, 2))
    assert len(recombined(square)) > 950
    assert len(np.unique(recombined(square).round(9), axis=0)) > 900
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = recombined(circle)
    assert len(points) > 5
    np.testing.assert_allclose(np.hypot(*points.T), 1, atol=0.0315)  # neighbours are 0.0314 apart
    assert np.isfinite(recombined(np.stack([angle, 0 * angle], axis=1))).all()  # a constant input


def test_the_interval_of_an_error_contains_the_differences_of_networks():
    """Differences above five times the error are said; of an error without an interval, too."""
    errors = [OutputError("a", 1e-3, 1e-3, None, None, 5e-4, 5e-4, 2e-3, 2e-3), OutputError("b", 1e-3, *[None] * 3)]

    def ends(*differences):
        found, _, sentence = of_answer(errors, [], differences and np.array(differences))
        return [(row.value_high, row.derivative_high) for row in found], sentence

    assert ends([1.9e-3, 3e-3], [4.9e-3, np.nan]) == ([(2e-3, 4.9e-3), (None, None)], "")
    high, sentence = ends([5.1e-3, 7e-3], [1e-3, np.nan])
    assert high == [(5.1e-3, 2e-3), (None, None)]
    assert "differ by 7e-03 for the values of b: errors" in sentence
    assert of_answer(errors, [], None) == of_answer(errors, [], np.full((2, 2), np.nan))
