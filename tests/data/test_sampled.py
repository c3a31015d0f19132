from types import SimpleNamespace

import pytest
import torch

from runge.data.sampled import Data, sample, sample_weights
from runge.resampling import Residual
from runge.sampling import Chebyshev, Random, Sobol, Uniform
from runge.targets import Expression, Runge
from runge.training.datamodule import SobolevDataModule
from tests.conftest import generator


def made(sampling=None, target=None, seed=0, **changes):
    sizes = {"n_train": 20, "n_val": 10, "n_test": 31} | changes
    weight = sizes.pop("sample_weight", "none")
    return sample(target or Runge(), sampling or Random(), generator(seed), Data(**sizes), weight)


def test_sets_hold_the_function_and_its_derivative():
    data = made()
    for points, n in zip(data, (20, 10, 31), strict=True):
        assert points.x.shape == (1, n, 1)
        assert torch.equal(points.f[..., 0], Runge().value(points.x))
        assert torch.equal(points.df[:, :, 0], Runge().derivative(points.x))
        torch.testing.assert_close(points.weight_f, torch.full((1, n, 1), 1 / n).double())
        assert torch.equal(points.weight_f, points.weight_df[..., 0])
        assert points.regions == ("left", "middle", "right", "peak")
    assert not torch.equal(data.train.x, made(seed=4).train.x)
    torch.testing.assert_close(data.test.x[0, :, 0], torch.linspace(-1, 1, 31, dtype=torch.float64), rtol=0, atol=1e-15)
    assert not {*data.train.x[0, 2:, 0].tolist()} & {*data.val.x[0, 2:, 0].tolist()}
    assert torch.equal(made(sampling=Uniform()).val.x, made(sampling=Chebyshev()).val.x)


@pytest.mark.parametrize("target", [Runge(), Expression(expr="x*y", domain=[[0, 2], [0, 3]])])
def test_one_random_draw_is_cut_into_three_sets(target):
    data = made(target=target, test="random", n_train=6, n_val=2, n_test=2)
    x = torch.cat([points.x[0] for points in data])
    low, high = target.domain.T
    drawn = low + (high - low) * torch.rand(10, len(low), generator=generator(0), dtype=torch.float64)
    torch.testing.assert_close(x, drawn)
    with pytest.raises(ValueError, match=r"^test: must be grid unless sampling=random, got random with Uniform$"):
        made(sampling=Uniform(), test="random")


@pytest.mark.parametrize(("n_derivative", "values", "slopes"), [(None, 22, 22), (8, 22, 10)])
def test_values_and_derivatives_at_different_places(n_derivative, values, slopes):
    """Points near the ends carry both."""
    train = made(n_derivative=n_derivative, boundary_points=2).train
    both = (train.weight_f > 0) & (train.weight_df[..., 0] > 0)
    assert ((train.weight_f > 0).sum(), (train.weight_df > 0).sum()) == (values, slopes)
    assert both.sum() == values + slopes - train.x.shape[1]
    ends = train.x[both][-2 if n_derivative is None else 0 :].abs()
    assert ((ends > 0.8) & (ends < 1)).all()
    assert [weight.sum().item() for weight in (train.weight_f, train.weight_df)] == pytest.approx([1, 1])


def test_sample_weights():
    """The mean of f at Chebyshev nodes equals its integral with weights by density, and does not with equal ones."""
    integral = torch.atan(torch.tensor(5.0)).item() / 5
    for kind, near in (("none", False), ("density", True)):
        train = made(sampling=Chebyshev(), sample_weight=kind, n_train=200, boundary_points=20).train
        mean = (train.weight_f * train.f).sum().item()
        assert (mean == pytest.approx(integral, rel=1e-3)) is near
        assert torch.equal(train.weight_f, train.weight_df[..., 0])
    x, df = torch.tensor([[0.0], [1.0], [1.5], [2.0]]), torch.tensor([[0.0], [1.0], [-3.0], [0.0]])
    domain = torch.tensor([[0.0, 2.0]])
    for kind, slopes, weights in (
        ("none", df, [1.0] * 4),
        ("derivative", df, [1.0, 2.0, 4.0, 1.0]),
        ("derivative", 0 * df, [1.0] * 4),
        ("density", df, [0.25, 0.375, 0.25, 0.125]),
    ):
        assert sample_weights(kind, x, slopes, domain).tolist() == weights


def test_wrong_sizes():
    for key, value in {"n_train": 1, "n_val": 0, "n_test": 1, "n_derivative": 1, "noise_f": -0.1}.items():
        with pytest.raises(ValueError, match=key):
            made(**{key: value})


def module(seeds, **changes):
    sizes = {"n_train": 20, "n_val": 10, "n_test": 31, "n_derivative": None, "boundary_points": 0, "batch_size": 5}
    return SobolevDataModule(Runge(), Random(), seed=seeds, **sizes | changes)


@pytest.mark.parametrize("n_derivative", [None, 8])
def test_resample_moves_the_points_of_some_members(n_derivative):
    data, alone = (module(seeds, n_derivative=n_derivative, boundary_points=4) for seeds in ([0, 1, 2], [1]))
    for stacked, single in zip(data.dataset, alone.dataset, strict=True):  # a member's are the same in any stack
        assert torch.equal(stacked.x[1], single.x[0])
    assert data.seeds[1] == alone.seeds[0]
    before, sets = data.dataset.train, data.nodes(1)
    assert [len(x) for x in sets] == ([20] if n_derivative is None else [20, 8])
    data.resample({1: [Uniform(), Chebyshev()][: len(sets)]}, {1: generator()})
    after = data.dataset.train
    for name, tensor in after.tensors().items():
        assert torch.equal(tensor[[0, 2]], before.tensors()[name][[0, 2]])
        assert tensor.dtype == torch.float32
    for nodes, expected in zip(data.nodes(1), (torch.linspace(-1, 1, 20), Chebyshev().coordinates(8)), strict=False):
        torch.testing.assert_close(nodes[:, 0].float(), expected.float(), rtol=0, atol=1e-7)
    assert torch.equal(after.weight_f > 0, before.weight_f > 0)
    assert torch.equal(after.weight_df > 0, before.weight_df > 0)
    torch.testing.assert_close(after.f[1, :, 0], Runge().value(after.x[1].double()).float())
    boundary = slice(20, 24) if n_derivative is None else slice(0, 4)
    assert torch.equal(after.x[1, boundary], before.x[1, boundary])


def test_points_return_to_the_processor_when_a_fit_on_a_gpu_ends():
    """Where Lightning puts the module. The points of the card only say where they are put."""
    data, put = module([0]), []
    on_card = SimpleNamespace(x=SimpleNamespace(device=torch.device("cuda")), to=put.append)
    data.dataset = SimpleNamespace(train=on_card, transformed=lambda change: change(on_card))
    data.teardown("fit")
    assert put == [torch.device("cpu")]


SEVEN = Expression("sin(x1) + x2*x3 + x4**2 + x5 + x6 + x7", [[0.0, 1.0]] * 7)


def test_many_inputs():
    data = made(target=SEVEN, sampling=Sobol(), n_test=1, boundary_points=3)
    for points, n in zip(data, (23, 10, 1), strict=True):
        assert points.x.shape == points.df[:, :, 0].shape == (1, n, 7)
        assert torch.equal(points.f[..., 0], SEVEN.value(points.x))
        assert torch.equal(points.df[:, :, 0], SEVEN.derivative(points.x))
        assert ((points.x > 0) & (points.x < 1)).all()
        assert points.regions == ("boundary", "interior")
    other = made(target=SEVEN, sampling=Random(), n_test=1, seed=5)
    assert torch.equal(data.test.x, other.test.x)
    assert not torch.equal(data.val.x, other.val.x)
    assert made(target=SEVEN, sampling=Uniform(), n_train=130).train.x.shape == (1, 128, 7)
    with pytest.raises(ValueError, match=r"^n_train: must be at least 128.*Uniform.*got 127; sampling=sobol"):
        made(target=SEVEN, sampling=Uniform(), n_train=127)  # a grid needs two points along each input
    with pytest.raises(ValueError, match=r"^n_derivative: must be at least 128"):
        made(target=SEVEN, sampling=Uniform(), n_train=1, n_derivative=127)


@pytest.mark.parametrize("sampling", [Uniform(), Random(), Sobol()])
@pytest.mark.parametrize("target", [Runge((0.0, 3.0)), SEVEN])
def test_one_value_is_an_anchor_at_the_centre(sampling, target):
    """Its weight in MSE_f is 1, and no other point has one; without n_derivative a single point is no anchor."""
    train = made(target=target, sampling=sampling, n_train=1, n_derivative=128).train
    assert train.x.shape == (1, 129, target.dimension)
    assert torch.equal(train.x[0, 0], target.domain.mean(1))
    assert train.weight_f[0, :, 0].tolist() == [1.0] + [0.0] * 128
    assert (train.weight_df[0, 0] == 0).all()
    assert (train.weight_df[0, 1:] > 0).all()
    if isinstance(sampling, Sobol):
        assert not torch.equal(made(target=target, sampling=sampling, n_train=1).train.x[0, 0], target.domain.mean(1))


@pytest.mark.parametrize("rule", [Uniform(), Residual(every=1, last_step=9, power=1.0, floor=1.0)])
def test_the_anchor_stays_when_points_move(rule):
    data = module([0, 1], n_train=1, n_derivative=8)
    sets, before = data.nodes(1), data.dataset.train.x.clone()
    assert [len(x) for x in sets] == [1, 8]
    strategies = [rule if isinstance(rule, Uniform) else rule.sampling(Runge(), x, x, 1 + x[:, 0].abs()) for x in sets]
    data.resample({1: strategies}, {1: generator(7)})
    assert torch.equal(data.dataset.train.x[:, 0], before[:, 0])
    assert not torch.equal(data.dataset.train.x[1, 1:], before[1, 1:])


def test_noise():
    """Residuals over the true standard deviation have the strength asked for, and the test set has none."""
    sizes = {"n_train": 4000, "n_val": 3000, "n_test": 100}
    clean, noisy = (
        made(target=Expression("10*x**2 + y**3", [[0.0, 1.0], [0.0, 2.0]]), **sizes, **noise)
        for noise in ({}, {"noise_f": 0.1, "noise_df": 0.5})
    )
    for name, tensor in clean.test.tensors().items():
        assert torch.equal(tensor, noisy.test.tensors()[name])
    std_f, std_df = clean.train.f.std(correction=0), clean.train.df.std(1, correction=0)[0]
    for before, after in zip(clean[:2], noisy[:2], strict=True):
        error_f, error_df = (after.f - before.f)[0, :, 0] / std_f, ((after.df - before.df)[0] / std_df)[:, 0]
        for error, strength in ((error_f, 0.1), (error_df[:, 0], 0.5), (error_df[:, 1], 0.5)):
            assert error.mean().item() == pytest.approx(0, abs=4 * strength / 3000**0.5)
            assert error.std().item() == pytest.approx(strength, rel=0.06)
        assert torch.corrcoef(torch.stack([error_f, *error_df.T])).tril(-1).abs().max() < 0.08


def test_noise_changes_nothing_else():
    """Points, the order of mini-batches, and the other labels are those without noise."""
    noises = ({}, {"noise_f": 0.2}, {"noise_df": 0.2}, {"noise_f": 0.2, "noise_df": 0.2})
    modules = [module([3], **noise, dtype=torch.float64) for noise in noises]
    for one in modules:
        assert one.seeds == modules[0].seeds
        assert all(torch.equal(part.x, own.x) for part, own in zip(one.dataset, modules[0].dataset, strict=True))
    clean, of_f, of_df, both = (one.dataset.train for one in modules)
    assert [torch.equal(clean.f, train.f) for train in (of_f, of_df, both)] == [False, True, False]
    assert [torch.equal(clean.df, train.df) for train in (of_f, of_df, both)] == [True, False, False]
    assert torch.equal(of_f.f, both.f) & torch.equal(of_df.df, both.df)


def test_training_and_validation_have_different_noise():
    """It differs although a grid draws nothing from the generator before it; other seeds have other noise."""
    data = [made(sampling=Uniform(), seed=seed, n_val=20, noise_f=1.0) for seed in (0, 1)]
    noise = [points.f - Runge().value(points.x) for one in data for points in one[:2]]
    for i, one in enumerate(noise):
        for other in noise[:i]:
            assert (one.sort().values / one.std() - other.sort().values / other.std()).abs().max() > 1e-3


def test_a_point_without_a_value_is_named():
    """Here the centre, which is a test point."""
    holed = type("Holed", (Runge,), {"value": lambda self, x: Runge.value(self, x) * x[..., 0] / x[..., 0]})()
    with pytest.raises(ValueError, match=r"target: must be finite .* at all points; it is not at x = \[0.0\]"):
        sample(holed, Uniform(), generator(0), Data(n_train=8))
