import pytest
import torch

from runge.sobolev.points import Points
from tests.sobolev.test_losses import some_points
from tests.sobolev.test_network import stack


def test_mini_batch_is_unbiased():
    """Check that the mean over the mini-batches of a partition equals the whole."""
    points = some_points(n=6)
    parts = [points.minibatch(torch.tensor([[i, i + 1], [i, i + 1]])) for i in (0, 2, 4)]
    for name in ("weight_f", "weight_df"):
        mean = torch.stack([getattr(part, name).sum(1) for part in parts]).mean(0)
        torch.testing.assert_close(mean, torch.ones_like(mean))
    for name in ("x", "df"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts], 1), getattr(points, name))


def test_an_output_of_which_one_value_is_known_gets_this_value():
    network, points = stack(outputs=2), some_points(outputs=2)
    points.weight_f[0, [0, 1, 3, 4], 1] = 0
    before = network(points.x).detach()
    network.fix_constants(points)
    change = network(points.x).detach() - before
    expected = torch.zeros_like(change)
    expected[0, :, 1] = points.f[0, 2, 1] - before[0, 2, 1]
    torch.testing.assert_close(change, expected, rtol=1e-13, atol=1e-14)


def test_stack_joins_members():
    points = some_points()
    stacked = Points.stack([points, points])
    assert torch.equal(stacked.f[2:], points.f)
    assert stacked.masks.shape[0] == 4
    with pytest.raises(ValueError, match="the same number of points"):
        Points.stack([points, some_points(n=3)])


def test_parts_are_the_points():
    points = some_points(n=7)
    parts = points.split(3)
    assert [part.x.shape[1] for part in parts] == [3, 3, 1]
    for name, tensor in points.tensors().items():
        assert torch.equal(torch.cat([part.tensors()[name] for part in parts], 2 if name == "masks" else 1), tensor)
    assert points.split(7) == [points]
