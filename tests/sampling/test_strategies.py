import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import qmc

from runge import sampling
from runge.sampling import Derivative, LatinHypercube, Mixed, Random, Sobol, Stratified, Uniform, boundary_nodes
from runge.sampling.domain import candidates
from runge.targets import Expression, Runge
from tests.conftest import generator

STRATEGIES = {
    "uniform": Uniform(),
    "random": Random(),
    "chebyshev": sampling.Chebyshev(),
    "endpoint": sampling.Endpoint(strength=2.0),
    "endpoint, strong": sampling.Endpoint(strength=5.0),
    "mixed": Mixed(share=0.33, strength=2.0),
    "stratified": Stratified(quotas=None),
    "derivative": Derivative(floor=0.1),
}
GRIDS = ("uniform", "chebyshev", "endpoint", "endpoint, strong", "mixed")
FREE = {"sobol": Sobol(), "latin hypercube": LatinHypercube()}  # without ends
PLANE = Expression("sin(3*x)*y", [[-1.0, 1.0], [0.0, 2.0]])
SIX = Expression("sin(3*x1)*x2 + x3*x4 + exp(-8*(x5-0.5)**2) + x6**2", [[-1.0, 1.0], [0.0, 2.0], *[[0.0, 1.0]] * 4])


def drawn(strategy, n, target, seed=0):
    """Return nodes in the domain, which are the same ones for the same seed."""
    x, (lower, upper) = strategy.nodes(n, target, generator(seed)), target.domain.T
    assert x.dtype == torch.float64
    assert ((x >= lower) & (x <= upper)).all()
    assert torch.equal(x, strategy.nodes(n, target, generator(seed)))
    return x


@pytest.mark.parametrize("name", STRATEGIES)
@given(n=st.integers(2, 300), seed=st.integers(0, 2**32), lower=st.floats(-100, 100), length=st.floats(0.01, 100))
def test_nodes_include_both_ends_to_the_last_bit(name, n, seed, lower, length):
    target = Runge((lower, lower + length))
    x = drawn(STRATEGIES[name], n, target, seed)
    assert x.shape == (n, 1)
    assert [x.min(), x.max()] == target.domain[0].tolist()


@pytest.mark.parametrize("name", STRATEGIES)
def test_two_dimensions(name):
    x = drawn(STRATEGIES[name], 100, PLANE)
    assert x.shape == x.unique(dim=0).shape == (100, 2)
    assert all((x == corner).all(-1).any() for corner in torch.cartesian_prod(*PLANE.domain))


@pytest.mark.parametrize("name", [*STRATEGIES, *FREE])
@pytest.mark.parametrize("n", [1, 64, 200])
def test_six_inputs(name, n):
    """A grid has floor(n^(1/6))^6 nodes, and others n of any number, with no corner among them."""
    strategy = (STRATEGIES | FREE)[name]
    n = max(n, strategy.least(6))
    x = drawn(strategy, n, SIX)
    assert x.shape == (64 if name in GRIDS else n, 6)
    assert len(x.unique(dim=0)) >= 0.98 * len(x)
    lower, upper = SIX.domain.T
    assert ((x == lower) | (x == upper)).all(1).sum() == (64 if name in GRIDS else 0)


@pytest.mark.parametrize("name", FREE)
@pytest.mark.parametrize("target", [Runge((1.0, 3.0)), PLANE])
def test_strategies_without_ends(name, target):
    x, (lower, upper) = drawn(FREE[name], 37, target), target.domain.T
    assert x.shape == (37, target.dimension)
    assert ((x > lower) & (x < upper)).all()
    assert not torch.equal(x, FREE[name].nodes(37, target, generator(1)))


def towards_ends(v):
    return v.sign() * (1 - (1 - v.abs()) ** 2)


def to_unit(x, target):
    return (x - target.domain[:, 0]) / (target.domain[:, 1] - target.domain[:, 0])


def test_formulas():
    i = torch.arange(11, dtype=torch.float64)
    v = -1 + 0.2 * i
    expected = {"uniform": v, "chebyshev": -torch.cos(torch.pi * i / 10), "endpoint": towards_ends(v)}
    for name, nodes in expected.items():
        x = STRATEGIES[name].nodes(11, Runge(), generator())[:, 0]
        torch.testing.assert_close(x, nodes, rtol=0, atol=1e-15)


def test_mixture_holds_both_parts():
    x = Mixed(share=0.4, strength=2.0).nodes(100, Runge(), generator())[:, 0]
    v = (2 * torch.arange(40, dtype=torch.float64) + 1) / 40 - 1
    for part in (Uniform().coordinates(60), towards_ends(v)):
        assert (x[:, None] - part).abs().amin(0).max() < 1e-15
    without, uniform = (one.nodes(50, Runge(), generator()) for one in (Mixed(share=0.0, strength=2.0), Uniform()))
    assert torch.equal(without, uniform)


def test_quotas_are_kept():
    quotas = {"left": 0.5, "middle": 0.2, "right": 0.3}
    x = Stratified(quotas=quotas).nodes(1002, Runge(), generator())
    counts = {name: mask.sum().item() for name, mask in Runge().regions(x).items()}
    assert counts.items() >= {"left": 501, "middle": 200, "right": 301}.items()  # with one of the ends itself
    assert Stratified(quotas={"peak": 1.0}).nodes(52, Runge(), generator())[2:].abs().max() <= 0.25


def test_density_follows_the_derivative():
    x = Derivative(floor=0.1).nodes(20002, Runge(), generator())[2:, 0]
    edges = torch.linspace(-1, 1, 21, dtype=torch.float64)
    counts = torch.histc(x, 20, -1, 1)
    fine = torch.linspace(-1, 1, 200001, dtype=torch.float64)
    density = Runge().derivative(fine[:, None])[:, 0].abs() / 3.2476 + 0.1
    expected = torch.stack([density[(fine >= a) & (fine < b)].mean() for a, b in itertools.pairwise(edges)])
    torch.testing.assert_close(counts.double() / 20000, expected / expected.sum(), rtol=0.01, atol=1e-4)


@pytest.mark.parametrize("target", [Runge(), PLANE, SIX])
def test_boundary_nodes_are_in_the_outer_tenth(target):
    x = boundary_nodes(40, target.domain)
    assert x.shape == (40, target.dimension)
    t = to_unit(x, target)
    depth = torch.minimum(t, 1 - t).amin(-1)
    assert ((depth > 0) & (depth <= 0.1 + 1e-12)).all()
    assert len(x.unique(dim=0)) == 40
    assert boundary_nodes(0, target.domain).shape == (0, target.dimension)
    for d in range(target.dimension):  # they take turns at the faces
        assert (t[2 * d :: 2 * target.dimension, d] < 0.1).all()
        assert (t[2 * d + 1 :: 2 * target.dimension, d] > 0.9).all()


def test_latin_hypercube_has_one_node_in_each_interval():
    cells = (50 * to_unit(LatinHypercube().nodes(50, SIX, generator()), SIX)).floor().long()
    assert torch.equal(cells.sort(0).values, torch.arange(50)[:, None].expand(50, 6))
    assert not torch.equal(cells[:, 0], cells[:, 1])


def test_sobol_is_more_even_than_random_nodes():
    for seed in range(5):
        both = (to_unit(strategy.nodes(128, SIX, generator(seed)), SIX).numpy() for strategy in (Sobol(), Random()))
        of_sobol, of_random = map(qmc.discrepancy, both)
        assert of_sobol < 0.3 * of_random


@pytest.mark.parametrize("n", [100, 128])
def test_a_density_of_many_inputs_is_followed(n):
    """Means are those of the density, here of 2 x5 and of a step in x2, with smaller errors than random nodes have.

    The six inputs are halved in turn, so that the halves of x2 and x6 have their shares almost exactly.
    """
    where = candidates(n, SIX.domain)
    strategy = sampling.Density(where, where[:, 4] * (1 + 2 * (where[:, 1] > 1)))
    x = torch.stack([strategy.nodes(n, SIX, generator(seed)) for seed in range(40)])
    error = (x.mean(1) - torch.tensor([0, 1.25, 0.5, 0.5, 2 / 3, 0.5])).square().mean(0).sqrt()
    assert (error < 0.95 * x.std((0, 1)) / n**0.5).all()
    assert ((x[..., 1] > 1).double().mean(1) - 0.75).abs().max() < 2 / n
    assert ((x[..., 5] > 0.5).double().mean(1) - 0.5).abs().max() < 0.1


def test_derivative_of_several_outputs():
    """Each output has the same influence, whatever its unit."""
    both = Expression(["1000*tanh(20*(x-0.5))", "tanh(20*(x+0.5))"])
    x = Derivative(floor=0.01).nodes(402, both, generator())[2:, 0]
    for side in (x, -x):
        assert ((side > 0.3) & (side < 0.7)).double().mean().item() == pytest.approx(0.45, abs=0.04)


def test_check_count_names_the_key():
    sampling.check_count(1, SIX.domain, Random(), "n_val")
    with pytest.raises(ValueError, match=r"^n_train: must be at least 64.* got 63; sampling=sobol"):
        sampling.check_count(63, SIX.domain, Uniform(), "n_train")
    with pytest.raises(ValueError, match=r"^n_val: must be at least 4, because the nodes include .* got 3$"):
        sampling.check_count(3, PLANE.domain, Random(), "n_val")
