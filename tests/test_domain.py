import pytest
import torch

from runge.domain import candidates, cells, corners


def box(*pairs):
    return torch.tensor(pairs, dtype=torch.float64)


def test_corners():
    assert corners(box((-1, 2))).tolist() == [[-1.0], [2.0]]
    assert corners(box((0, 1), (2, 3))).tolist() == [[0.0, 2.0], [0.0, 3.0], [1.0, 2.0], [1.0, 3.0]]


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_candidates_fill_the_box_evenly(dimension):
    x = candidates(10, box(*[(-1, 3)] * dimension))
    assert len(x) >= 640
    assert ((x > -1) & (x < 3)).all()
    torch.testing.assert_close(x.mean(0), torch.ones(dimension, dtype=torch.float64))


def test_cells_in_one_dimension_are_the_halves_of_the_gaps():
    x = torch.tensor([[2.0], [-1.0], [0.0], [3.0]], dtype=torch.float64)
    assert cells(x, box((-1, 3))).tolist() == [1.5 / 4, 0.5 / 4, 1.5 / 4, 0.5 / 4]


def test_cells_of_equal_nodes_are_above_zero():
    x = torch.tensor([[0.0], [0.5], [0.5], [1.0]], dtype=torch.float64)
    shares = cells(x, box((0, 1)))
    assert (shares > 0).all()
    assert shares.sum().item() == pytest.approx(1, abs=1e-5)


def test_cells_in_two_dimensions():
    """Of four nodes at the centres of quarters, one is moved away: the others share its cell."""
    x = torch.tensor([[0.25, 1.0], [0.25, 3.0], [0.75, 1.0], [0.75, 3.0]], dtype=torch.float64)
    domain = box((0, 1), (0, 4))
    torch.testing.assert_close(cells(x, domain), torch.full((4,), 0.25, dtype=torch.float64), rtol=0.15, atol=0)
    shares = cells(torch.cat([x[:3], x[:1]]), domain)
    assert shares.sum().item() == pytest.approx(1, abs=1e-5)
    assert shares[1] > 0.3
