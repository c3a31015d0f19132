import pytest
import torch

from runge.data import make_dataset, sample_weights
from runge.sampling import Chebyshev, Random, Uniform
from runge.targets import Expression, Runge
from runge.training.datamodule import SobolevDataModule


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def made(sampling=None, target=None, seed=0, **changes):
    sizes = {"n_train": 20, "n_val": 10, "n_test": 31} | changes
    return make_dataset(target or Runge(), sampling or Random(), generator(seed), **sizes)


def test_sets_hold_the_function_and_its_derivative():
    data = made()
    for points, n in zip(data, (20, 10, 31), strict=True):
        assert points.x.shape == (1, n, 1)
        assert torch.equal(points.f[..., 0], Runge().value(points.x))
        assert torch.equal(points.df[:, :, 0], Runge().derivative(points.x))
        torch.testing.assert_close(points.weight_f, torch.full((1, n, 1), 1 / n).double())
        assert torch.equal(points.weight_f, points.weight_df[..., 0])
        assert points.regions == ("left", "middle", "right", "peak")
    torch.testing.assert_close(data.test.x[0, :, 0], torch.linspace(-1, 1, 31, dtype=torch.float64), rtol=0, atol=1e-15)


def test_validation_is_independent_of_training():
    data = made()
    inner = [points.x[0, 2:, 0].tolist() for points in (data.train, data.val)]
    assert not set(inner[0]) & set(inner[1])
    assert torch.equal(made(sampling=Uniform()).val.x, made(sampling=Chebyshev()).val.x)


def test_same_seed_same_points():
    assert torch.equal(made(seed=3).train.x, made(seed=3).train.x)
    assert not torch.equal(made(seed=3).train.x, made(seed=4).train.x)


def test_boundary_points_carry_both():
    train = made(boundary_points=6).train
    assert train.x.shape == (1, 26, 1)
    extra = train.x[0, 20:, 0].abs()
    assert (extra > 0.8).all()
    assert (extra < 1).all()
    assert torch.equal(train.weight_f, train.weight_df[..., 0])


def test_values_and_derivatives_at_different_places():
    train = made(n_derivative=8, boundary_points=2).train
    assert train.x.shape == (1, 30, 1)
    assert ((train.weight_f > 0) & (train.weight_df[..., 0] > 0)).sum() == 2
    assert (train.weight_f > 0).sum() == 22
    assert (train.weight_df > 0).sum() == 10
    for weight in (train.weight_f, train.weight_df):
        assert weight.sum().item() == pytest.approx(1)


def test_sample_weight():
    train = made(sample_weight="derivative").train
    expected = 1 + train.df.flatten().abs() / train.df.abs().mean()
    torch.testing.assert_close(train.weight_df.flatten(), expected / expected.sum())
    assert torch.equal(train.weight_f, train.weight_df[..., 0])


def test_weight_by_density_makes_a_mean_over_the_domain():
    """The mean of f at Chebyshev nodes equals its integral with these weights, and does not with equal ones."""
    integral = torch.atan(torch.tensor(5.0)).item() / 5
    for kind, near in (("none", False), ("density", True)):
        train = made(sampling=Chebyshev(), sample_weight=kind, n_train=200, boundary_points=20).train
        mean = (train.weight_f * train.f).sum().item()
        assert (mean == pytest.approx(integral, rel=1e-3)) is near
        assert torch.equal(train.weight_f, train.weight_df[..., 0])


def test_weight_by_density_is_that_of_each_kind_of_points():
    train = made(sample_weight="density", n_derivative=8).train
    for weight, count in ((train.weight_f.flatten(), 20), (train.weight_df.flatten(), 8)):
        assert (weight > 0).sum() == count
        assert weight.sum().item() == pytest.approx(1)
        x = train.x[0, weight > 0, 0]
        ends = torch.cat([x.new_tensor([-1.0]), (x.sort().values[1:] + x.sort().values[:-1]) / 2, x.new_tensor([1.0])])
        torch.testing.assert_close(weight[weight > 0][x.argsort()], ends.diff() / 2)


def test_grid_in_two_dimensions():
    data = made(target=Expression("x*y", [[0.0, 1.0], [0.0, 2.0]]), sampling=Uniform(), n_train=17, n_test=100)
    assert data.train.x.shape == (1, 16, 2)
    assert data.test.x.shape == (1, 100, 2)
    assert data.test.df.shape == (1, 100, 1, 2)


@pytest.mark.parametrize(
    "wrong", [{"n_train": 1}, {"n_val": 0}, {"n_test": 1}, {"n_derivative": 1}, {"boundary_points": -1}]
)
def test_wrong_sizes(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        made(**wrong)


def module(seeds, **changes):
    sizes = {"n_train": 20, "n_val": 10, "n_test": 31, "n_derivative": None, "boundary_points": 0, "batch_size": 5}
    return SobolevDataModule(Runge(), Random(), seed=seeds, **sizes | changes)


@pytest.mark.parametrize("n_derivative", [None, 8])
def test_resample_moves_the_points_of_some_members(n_derivative):
    data = module([0, 1, 2], n_derivative=n_derivative, boundary_points=4)
    before = data.dataset.train
    sets = data.nodes(1)
    assert [len(x) for x in sets] == ([20] if n_derivative is None else [20, 8])
    data.resample({1: [Uniform(), Chebyshev()][: len(sets)]}, {1: generator()})
    after = data.dataset.train
    for name, tensor in after.tensors().items():
        assert torch.equal(tensor[[0, 2]], before.tensors()[name][[0, 2]])
        assert tensor.dtype == torch.float32
    expected = torch.linspace(-1, 1, 20)
    torch.testing.assert_close(data.nodes(1)[0][:, 0].float(), expected, rtol=0, atol=1e-7)
    if n_derivative is not None:
        expected = Chebyshev().coordinates(8).float()
        torch.testing.assert_close(data.nodes(1)[1][:, 0].float(), expected, rtol=0, atol=1e-7)
    for weight in ("weight_f", "weight_df"):
        assert torch.equal(after.tensors()[weight] > 0, before.tensors()[weight] > 0)
    torch.testing.assert_close(after.f[1, :, 0], Runge().value(after.x[1].double()).float())
    boundary = slice(20, 24) if n_derivative is None else slice(0, 4)
    assert torch.equal(after.x[1, boundary], before.x[1, boundary])


def test_a_member_s_points_are_the_same_in_any_stack():
    together, alone = module([0, 1, 2]), module([1])
    for stacked, single in zip(together.dataset, alone.dataset, strict=True):
        assert torch.equal(stacked.x[1], single.x[0])
    assert together.minibatches.seeds[1] == alone.minibatches.seeds[0]


def test_sample_weights():
    x, df = torch.tensor([[0.0], [1.0], [1.5], [2.0]]), torch.tensor([[0.0], [1.0], [-3.0], [0.0]])
    domain = torch.tensor([[0.0, 2.0]])
    assert sample_weights("none", x, df, domain).tolist() == [1.0] * 4
    assert sample_weights("derivative", x, df, domain).tolist() == [1.0, 2.0, 4.0, 1.0]
    assert sample_weights("derivative", x, 0 * df, domain).tolist() == [1.0] * 4
    assert sample_weights("density", x, df, domain).tolist() == [0.25, 0.375, 0.25, 0.125]
