import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runge.sampling import Chebyshev, Derivative, Endpoint, Mixed, Random, Stratified, Uniform, boundary_nodes
from runge.targets import Expression, Runge

STRATEGIES = {
    "uniform": Uniform(),
    "random": Random(),
    "chebyshev": Chebyshev(),
    "endpoint": Endpoint(strength=2.0),
    "endpoint, strong": Endpoint(strength=5.0),
    "mixed": Mixed(share=0.33, strength=2.0),
    "stratified": Stratified(quotas=None),
    "derivative": Derivative(floor=0.1),
}
PLANE = Expression("sin(3*x)*y", [[-1.0, 1.0], [0.0, 2.0]])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", STRATEGIES)
@given(n=st.integers(2, 300), seed=st.integers(0, 2**32), lower=st.floats(-100, 100), length=st.floats(0.01, 100))
def test_contract(name, n, seed, lower, length):
    """Every strategy returns n nodes, which include both ends to the last bit and follow from the seed."""
    target = Runge((lower, lower + length))
    x = STRATEGIES[name].nodes(n, target, generator(seed))
    assert x.shape == (n, 1)
    assert x.dtype == torch.float64
    assert x.min().item() == target.domain[0, 0].item()
    assert x.max().item() == target.domain[0, 1].item()
    assert torch.equal(x, STRATEGIES[name].nodes(n, target, generator(seed)))


@pytest.mark.parametrize("name", STRATEGIES)
def test_two_dimensions(name):
    x = STRATEGIES[name].nodes(100, PLANE, generator())
    assert x.shape == (100, 2)
    lower, upper = PLANE.domain.T
    assert ((x >= lower) & (x <= upper)).all()
    for corner in torch.cartesian_prod(*PLANE.domain):
        assert (x == corner).all(-1).any()
    assert len(x.unique(dim=0)) == 100


@pytest.mark.parametrize("name", STRATEGIES)
def test_too_few_nodes(name):
    with pytest.raises(ValueError, match=r"at least 2.*got 1"):
        STRATEGIES[name].nodes(1, Runge(), generator())


def test_formulas():
    i = torch.arange(11, dtype=torch.float64)
    v = -1 + 0.2 * i
    expected = {
        "uniform": v,
        "chebyshev": -torch.cos(torch.pi * i / 10),
        "endpoint": v.sign() * (1 - (1 - v.abs()) ** 2),
    }
    for name, nodes in expected.items():
        x = STRATEGIES[name].nodes(11, Runge(), generator())[:, 0]
        torch.testing.assert_close(x, nodes, rtol=0, atol=1e-15)


def test_mixture_holds_both_parts():
    x = Mixed(share=0.4, strength=2.0).nodes(100, Runge(), generator())[:, 0]
    v = (2 * torch.arange(40, dtype=torch.float64) + 1) / 40 - 1
    for part in (Uniform().coordinates(60), v.sign() * (1 - (1 - v.abs()) ** 2)):
        assert (x[:, None] - part).abs().amin(0).max() < 1e-15
    assert torch.equal(
        Mixed(share=0.0, strength=2.0).nodes(50, Runge(), generator()), Uniform().nodes(50, Runge(), generator())
    )


def test_quotas_are_kept():
    quotas = {"left": 0.5, "middle": 0.2, "right": 0.3}
    x = Stratified(quotas=quotas).nodes(1002, Runge(), generator())
    counts = {name: mask.sum().item() for name, mask in Runge().regions(x).items()}
    assert counts["left"] == 501  # one of them the end itself
    assert counts["middle"] == 200
    assert counts["right"] == 301
    assert Stratified(quotas={"peak": 1.0}).nodes(52, Runge(), generator())[2:].abs().max() <= 0.25


def test_density_follows_the_derivative():
    x = Derivative(floor=0.1).nodes(20002, Runge(), generator())[2:, 0]
    edges = torch.linspace(-1, 1, 21, dtype=torch.float64)
    counts = torch.histc(x, 20, -1, 1)
    fine = torch.linspace(-1, 1, 200001, dtype=torch.float64)
    density = Runge().derivative(fine[:, None])[:, 0].abs() / 3.2476 + 0.1
    expected = torch.stack([density[(fine >= a) & (fine < b)].mean() for a, b in itertools.pairwise(edges)])
    torch.testing.assert_close(counts.double() / 20000, expected / expected.sum(), rtol=0.01, atol=1e-4)


def test_members_of_different_seeds_differ():
    for name in ("random", "stratified", "derivative"):
        x, y = (STRATEGIES[name].nodes(64, Runge(), generator(seed)) for seed in (0, 1))
        assert not torch.equal(x, y)


@pytest.mark.parametrize("target", [Runge(), PLANE])
def test_boundary_nodes_are_in_the_outer_tenth(target):
    x = boundary_nodes(40, target.domain)
    assert x.shape == (40, target.dimension)
    t = (x - target.domain[:, 0]) / (target.domain[:, 1] - target.domain[:, 0])
    depth = torch.minimum(t, 1 - t).amin(-1)
    assert (depth > 0).all()
    assert (depth <= 0.1 + 1e-12).all()
    assert len(x.unique(dim=0)) == 40
    if target.dimension == 1:
        assert (x > 0).sum() == 20


def test_no_boundary_nodes():
    assert boundary_nodes(0, Runge().domain).shape == (0, 1)
