import pytest
import torch

from runge.resampling import Region, Resampling, Residual
from runge.sampling import Random, Uniform
from runge.targets import Expression, Runge
from tests.conftest import generator

DOUBLE = torch.float64
TIMES = {"every": 10, "last_step": 1000}
RULES = {"region": Region(**TIMES, strength=0.5, least=0.02), "residual": Residual(**TIMES, power=1.0, floor=1.0)}
TARGETS = {"runge": Runge(), "steep": Expression("exp(40*(x-1))"), "two": Expression("x*y", [[0.0, 1.0], [0.0, 2.0]])}
FIVE = Expression("x1*x2 + x3*x4*x5", [[0.0, 1.0], [0.0, 2.0], [-1.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


def placed(rule, target, error, n=48, times=1):
    """Return the points after `times` applications of a rule to the same errors, a function of x."""
    nodes = Uniform().nodes(n, target, generator())
    validation = Random().nodes(400, target, generator(1))
    for i in range(times):
        x = rule.looks_at(target, nodes, validation)
        nodes = rule.sampling(target, nodes, x, error(x)).nodes(len(nodes), target, generator(i))
    return nodes


def share(target, nodes, region):
    return target.regions(nodes)[region].double().mean().item()


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@each_rule
def test_contract(rule, target):
    """The number of points stays; they are in the domain and include its ends; a seed determines them."""
    nodes = placed(rule, target, lambda x: x[:, 0].abs())
    assert nodes.shape == (Uniform().nodes(48, target, generator()).shape[0], target.dimension)
    assert ((nodes >= target.domain[:, 0]) & (nodes <= target.domain[:, 1])).all()
    ends = torch.cartesian_prod(*target.domain).reshape(-1, target.dimension)
    assert all((nodes == end).all(1).any() for end in ends)
    assert torch.equal(nodes, placed(rule, target, lambda x: x[:, 0].abs()))


@each_rule
@pytest.mark.parametrize("n", [1, 2, 48])
def test_five_inputs(rule, n):
    """With many inputs no corner is among the points, and any number of them may move."""
    nodes = validation = Random().nodes(n, FIVE, generator())
    for i in range(3):
        x = rule.looks_at(FIVE, nodes, validation)
        nodes = rule.sampling(FIVE, nodes, x, 1 + x[:, 1].abs()).nodes(n, FIVE, generator(i))
        assert nodes.shape == (n, 5)
        assert ((nodes > FIVE.domain[:, 0]) & (nodes < FIVE.domain[:, 1])).all()


@each_rule
def test_points_go_where_the_errors_are_and_stay_evenly_spread_if_they_are_equal(rule):
    target = TARGETS["steep"]
    nodes = placed(rule, target, lambda x: 1e-3 + 10 * (x[:, 0] > 0.8).double(), times=4)
    assert share(target, nodes, "right") > 0.25  # of a tenth
    assert share(target, nodes, "middle") < 0.7
    nodes = placed(rule, Runge(), lambda x: torch.ones(len(x), dtype=DOUBLE), n=200, times=5)
    for region, expected in {"left": 0.1, "right": 0.1, "peak": 0.25}.items():
        assert share(Runge(), nodes, region) == pytest.approx(expected, abs=0.03)


def test_region_by_hand():
    """The share of each region times its error over the mean of all, from a half (the left, without error) to 2."""
    target, rule = Runge(), Region(**TIMES, strength=1.0, least=0.0)
    error = {"left": 0.0, "middle": 1.0, "right": 4.0, "peak": 2.0}
    nodes = Uniform().nodes(402, target, generator())
    errors = torch.zeros(len(x := rule.looks_at(target, nodes, nodes)), dtype=DOUBLE)
    for name, mask in target.regions(x).items():
        errors[mask] = error[name]
    density = rule.sampling(target, nodes, x, errors)
    mean = ((0 + 1 + 16 + 4) / 4) ** 0.5
    masks = target.regions(density.x)
    parts = {**masks, "middle": masks["middle"] & ~masks["peak"]}
    before = {"left": 0.1, "middle": 0.55, "right": 0.1, "peak": 0.25}
    raw = {name: before[name] * min(2.0, max(0.5, size / mean)) for name, size in error.items()}
    for name, mask in parts.items():
        got = (density.density[mask].sum() / density.density.sum()).item()
        assert got == pytest.approx(raw[name] / sum(raw.values()), abs=0.01)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@each_rule
def test_ends_are_recognised_in_any_precision(dtype, rule):
    """With nearly equal errors the shares stay the same, and no end is treated as an inner point."""
    target = Expression("x", [-3.14159, 3.14159])
    nodes = Uniform().nodes(100, target, generator())
    for i in range(16):
        seen = nodes.to(dtype).double()
        x = rule.looks_at(target, seen, seen)
        error = 1 + 1e-3 * torch.rand(len(x), dtype=DOUBLE, generator=generator(i))
        nodes = rule.sampling(target, seen, x, error).nodes(100, target, generator(i))
    assert (nodes.abs() > 3.14158).sum() == 2
    assert share(target, nodes, "left") == pytest.approx(0.1, abs=0.04)


def test_residual_by_hand():
    x, error = torch.tensor([[-0.5, 1.0], [0.0, 2.0], [0.5, 3.0]], dtype=DOUBLE).split(1, 1)
    density = Residual(**TIMES, power=2.0, floor=0.5).sampling(Runge(), x, x, error[:, 0]).density
    torch.testing.assert_close(density, error[:, 0] ** 2 / (14 / 3) + 0.5)
    still = Residual(**TIMES, power=1.0, floor=0.5).sampling(Runge(), x, x, 0 * error[:, 0])
    assert still.density.tolist() == [0.5] * 3


def test_due():
    rule = RULES["region"]
    times = {(0, 9): False, (0, 10): True, (5, 25): True, (990, 1000): True, (1000, 1010): False}
    assert [rule.due(*steps) for steps in times] == [*times.values()]
    assert Residual(every=0, last_step=9, power=1.0, floor=1.0).due(3, 4)
    assert (rule.settled_from(), Resampling().settled_from()) == (1000, 0)
