import pytest
import torch
from scipy.stats import qmc

from runge.sampling.domain import candidates, cells, corners, sobol


def box(*pairs):
    return torch.tensor(pairs, dtype=torch.float64)


def test_corners():
    assert corners(box((-1, 2))).tolist() == [[-1.0], [2.0]]
    assert corners(box((0, 1), (2, 3))).tolist() == [[0.0, 2.0], [0.0, 3.0], [1.0, 2.0], [1.0, 3.0]]


@pytest.mark.parametrize(("n", "dimension"), [(10, 1), (10, 2), (64, 3), (64, 6), (64, 20)])
def test_candidates_fill_the_box_evenly(n, dimension):
    """They are at least 64 per node, and each half of each input has half of them."""
    x = candidates(n, box(*[(-1, 3)] * dimension))
    assert len(x) >= 64 * n
    assert dimension < 3 or x.shape == (64 * n, dimension)
    assert ((x > -1) & (x < 3)).all()
    assert torch.equal((x < 1).sum(0), torch.full((dimension,), len(x) // 2))
    assert dimension > 2 or torch.allclose(x.mean(0), torch.ones(dimension, dtype=torch.float64))


def test_candidates_are_in_the_order_of_the_parts_of_the_box():
    """For eight nodes in three dimensions these are the eight octants; of two inputs one quarter follows the other.

    So do those of each quarter, so that points that are taken at equal distances spread over both inputs.
    """
    x = candidates(8, box(*[(0, 1)] * 3))
    octants = (4 * (x[:, 0] >= 0.5) + 2 * (x[:, 1] >= 0.5) + (x[:, 2] >= 0.5)).long()
    assert torch.equal(octants, torch.arange(8).repeat_interleave(64))
    x1, x2 = (4 * candidates(36, box((0, 1), (0, 1)))).long().T
    sixteenth = 8 * (x1 // 2) + 4 * (x2 // 2) + 2 * (x1 % 2) + x2 % 2
    assert (sixteenth.diff() >= 0).all()


@pytest.mark.parametrize("dimension", [1, 4, 50])
def test_sobol_points_are_those_of_scipy(dimension):
    lower, length = torch.arange(dimension).double(), 1 + torch.arange(dimension).double()
    x = sobol(64, torch.stack([lower, lower + length], dim=1), None)
    expected = torch.from_numpy(qmc.Sobol(dimension, scramble=False, rng=0).random(64))
    torch.testing.assert_close((x - lower) / length, expected, rtol=0, atol=1e-12)


def test_scrambled_sobol_points_stay_balanced():
    """Each half of each input has half of the points, as has each quarter of the plane of two inputs a quarter."""
    cube = box(*[(0, 1)] * 8)
    x = sobol(256, cube, 3)
    assert torch.equal((x < 0.5).sum(0), torch.full((8,), 128))
    assert all(((x[:, i] < 0.5) & (x[:, j] < 0.5)).sum() == 64 for i, j in ((0, 1), (2, 7)))
    assert not torch.equal(x, sobol(256, cube, 4))
    assert torch.equal(x[:100], sobol(100, cube, 3))
    assert sobol(0, box((0, 1)), 3).shape == (0, 1)


def test_cells_in_one_dimension_are_the_halves_of_the_gaps_and_never_empty():
    x = torch.tensor([[2.0], [-1.0], [0.0], [3.0]], dtype=torch.float64)
    assert cells(x, box((-1, 3))).tolist() == [1.5 / 4, 0.5 / 4, 1.5 / 4, 0.5 / 4]
    assert (cells(torch.tensor([[0.0], [0.5], [0.5], [1.0]], dtype=torch.float64), box((0, 1))) > 0).all()


@pytest.mark.parametrize("dimension", [2, 5])
def test_cells_of_several_inputs_are_the_shares_of_random_points(dimension):
    """Distances are relative to the box; of two equal nodes one has an empty cell."""
    domain = box(*((0, 1 + 3 * d) for d in range(dimension)))
    x = sobol(32, domain, 2)
    shares = cells(torch.cat([x, x[:1]]), domain)
    assert shares.sum().item() == pytest.approx(1, abs=1e-5)
    assert shares[-1] > 0
    anywhere = torch.rand(20_000, dimension, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    nearest = (anywhere[:, None] - x / domain[:, 1]).square().sum(2).argmin(1)
    expected = torch.bincount(nearest, minlength=33) / len(nearest)
    torch.testing.assert_close(shares, expected.double(), rtol=0, atol=0.01)
