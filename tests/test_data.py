import pytest
import torch

from runge.data import Block, Minibatches, SobolevDataModule, make_dataset
from runge.sampling import Chebyshev, Random, Uniform
from runge.targets import Expression, Runge
from tests.test_losses import some_points


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def made(sampling=None, target=None, seed=0, **changes):
    sizes = {"n_train": 20, "n_val": 10, "n_test": 31} | changes
    return make_dataset(target or Runge(), sampling or Random(), generator(seed), **sizes)


def test_sets_hold_the_function_and_its_derivative():
    data = made()
    for points, n in zip(data, (20, 10, 31), strict=True):
        assert points.x.shape == (1, n, 1)
        assert torch.equal(points.f, Runge().value(points.x))
        assert torch.equal(points.df, Runge().derivative(points.x))
        torch.testing.assert_close(points.weight_f, torch.full((1, n), 1 / n).double())
        assert torch.equal(points.weight_f, points.weight_df)
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
    assert torch.equal(train.weight_f, train.weight_df)


def test_values_and_derivatives_at_different_places():
    train = made(n_derivative=8, boundary_points=2).train
    assert train.x.shape == (1, 30, 1)
    assert ((train.weight_f > 0) & (train.weight_df > 0)).sum() == 2
    assert (train.weight_f > 0).sum() == 22
    assert (train.weight_df > 0).sum() == 10
    for weight in (train.weight_f, train.weight_df):
        assert weight.sum().item() == pytest.approx(1)


def test_sample_weight():
    train = made(sample_weight="derivative").train
    expected = 1 + train.df[0, :, 0].abs() / train.df.abs().mean()
    torch.testing.assert_close(train.weight_df[0], expected / expected.sum())
    assert torch.equal(train.weight_f, train.weight_df)


def test_grid_in_two_dimensions():
    data = made(target=Expression("x*y", [[0.0, 1.0], [0.0, 2.0]]), sampling=Uniform(), n_train=17, n_test=100)
    assert data.train.x.shape == (1, 16, 2)
    assert data.test.x.shape == (1, 100, 2)
    assert data.test.df.shape == (1, 100, 2)


@pytest.mark.parametrize(
    "wrong", [{"n_train": 1}, {"n_val": 0}, {"n_test": 1}, {"n_derivative": 1}, {"boundary_points": -1}]
)
def test_wrong_sizes(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        made(**wrong)


def test_minibatches_go_through_all_points_once_an_epoch():
    batches = Minibatches(seeds=(1, 2), points=10, size=4)
    index = batches.index(0, 5)  # 20 draws: two epochs
    assert index.shape == (5, 2, 4)
    for member in range(2):
        order = index[:, member].flatten().tolist()
        assert sorted(order[:10]) == sorted(order[10:]) == list(range(10))
        assert order[:10] != order[10:]
    assert not torch.equal(index[:, 0], index[:, 1])


def test_minibatches_depend_on_the_step_alone():
    batches = Minibatches(seeds=(1, 2), points=10, size=4)
    assert torch.equal(batches.index(0, 12)[7:], batches.index(7, 5))


def test_block():
    points = some_points(n=10)
    assert [batch is points for batch in Block(points, None).batches(3, 4)] == [True] * 4
    batches = list(Block(points, Minibatches((1, 2), 10, 4)).batches(3, 4))
    assert [batch.x.shape for batch in batches] == [(2, 4, 1)] * 4


def test_a_member_s_points_are_the_same_in_any_stack():
    def module(seeds):
        return SobolevDataModule(
            [Runge()] * len(seeds),
            [Random()] * len(seeds),
            [generator(seed) for seed in seeds],
            n_train=20,
            n_val=10,
            n_test=31,
            n_derivative=None,
            boundary_points=0,
            batch_size=5,
            sample_weights=["none"] * len(seeds),
            dtype=torch.float32,
        )

    together, alone = module([0, 1, 2]), module([1])
    for stacked, single in zip(together.dataset, alone.dataset, strict=True):
        assert torch.equal(stacked.x[1], single.x[0])
    assert together.minibatches.seeds[1] == alone.minibatches.seeds[0]
