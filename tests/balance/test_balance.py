"""Each policy against arithmetic by hand, and the direction in which it moves."""

import math

import pytest
import torch

from runge.balance import Fixed, GradNorm, Log, Look, ReLoBRaLo, Scale
from runge.schedules import NEVER
from runge.sobolev import losses
from tests.sobolev.test_losses import some_points
from tests.sobolev.test_network import stack

RATIOS = {"gradient_norms": GradNorm, "variances": Log}
UNKNOWN = torch.full((2, 3, 2), torch.nan, dtype=torch.float64)
each_ratio = pytest.mark.parametrize("figure", RATIOS)


def column(*values):
    return torch.tensor(values, dtype=torch.float64)


def weights(*lambdas):
    """Return the weights of the two channels of one output and one input."""
    return torch.tensor([[[1.0, value]] for value in lambdas], dtype=torch.float64)


@pytest.fixture
def look():
    return Look(stack(width=6), some_points(n=9), column(1.0, 2.0), torch.zeros(2))


def test_scale_is_that_of_the_data():
    """In standardised units both terms of the loss of the mean of f are 1."""
    points = some_points(members=1)
    points.weight_f[:], points.weight_df[:] = 1 / points.f.shape[1], 1 / points.f.shape[1]
    expected = (points.f.var(correction=0) / points.df.square().mean()).item()
    for scale in (1.0, 2.0):
        assert Scale().start(column(0.3), points, column(scale)).item() == pytest.approx(scale**2 * expected)
    points.df.zero_()
    assert Scale().start(column(0.3), points, column(1.0)).item() == 0.3


def test_next_look():
    policy = Log(every=100, smoothing=0.0)
    assert [policy.next_look(step) for step in (0, 99, 100, 430)] == [100, 100, 200, 500]
    assert (Scale().next_look(0), Fixed().next_look(0)) == (NEVER, NEVER)


@each_ratio
def test_ratios_and_their_average(figure):
    policy = RATIOS[figure](every=1, smoothing=0.75)
    looks = iter([torch.tensor([[3.0, 6.0], [1.0, 0.0]]), torch.tensor([[8.0, 2.0], [4.0, 2.0]])])

    def ask(name):
        assert name == figure
        return next(looks).double()

    first, memory = policy.update(weights(0.1, 0.1), UNKNOWN, ask)
    assert torch.equal(first, weights(0.5, 0.1))  # where there is no ratio the weight stays
    second, _ = policy.update(first, memory, ask)
    assert torch.equal(second, weights(0.75 * 0.5 + 0.25 * 4, 2.0))


@each_ratio
def test_the_larger_term_gets_the_smaller_weight(figure, look):
    """If the derivative's term grows, here by its scale, its weight falls by the same factor."""
    policy, after = RATIOS[figure](every=1, smoothing=0.0), []
    for scale in (look.scale, look.scale / 10):
        at = Look(look.network, look.points, scale, look.chance)
        after += policy.update(weights(1, 1), UNKNOWN, lambda name, at=at: getattr(at, name))[:1]
    torch.testing.assert_close(after[0] / after[1], weights(100.0, 100.0))


@each_ratio
def test_each_channel_of_several_outputs_has_its_weight(figure):
    """Check that the weights are in inverse proportion to the figures, here with two outputs and two inputs."""
    figures = torch.tensor([[1.0, 2.0, 4.0, 3.0, 8.0, 16.0]], dtype=torch.float64)
    memory, ones = torch.full((1, 3, 6), torch.nan, dtype=torch.float64), torch.ones(1, 2, 3, dtype=torch.float64)
    found, _ = RATIOS[figure](every=1, smoothing=0.5).update(ones, memory, lambda _: figures)
    torch.testing.assert_close(found.flatten(1) * figures, 2 * torch.ones_like(figures))


def test_terms_and_gradients_are_those_of_the_loss(look):
    expected = losses.terms(*look.network.value_and_derivative(look.points.x), look.points, look.scale)
    torch.testing.assert_close(look.terms, torch.stack(expected, 1).detach())
    for i, term in enumerate(expected):
        (gradient,) = torch.autograd.grad(term.sum(), look.network.theta, retain_graph=True)
        torch.testing.assert_close(look.gradient_norms[:, i], gradient.norm(dim=1))


def relobralo(first, last, now, chance, past):
    policy = ReLoBRaLo(every=1, temperature=0.5, alpha=0.8, lookback=0.5)
    memory = torch.stack([column(*first), column(*last), column(*past)])[None]
    figures = {"terms": column(*now)[None], "chance": column(chance)}
    found, memory = policy.update(weights(0.1), memory, figures.__getitem__)
    return found[:, 0, 1] / found[:, 0, 0], memory


@pytest.mark.parametrize("chance", [0.4, 0.6])
def test_relobralo(chance):
    def by_softmax(now, before):
        powers = [math.exp(a / (0.5 * b)) for a, b in zip(now, before, strict=True)]
        return [2 * power / sum(powers) for power in powers]

    lambda_d, memory = relobralo((1.0, 2.0), (0.5, 1.5), (0.25, 1.2), chance, (0.9, 1.1))
    past = (0.9, 1.1) if chance < 0.5 else by_softmax((0.25, 1.2), (1.0, 2.0))
    latest = by_softmax((0.25, 1.2), (0.5, 1.5))
    expected = [0.8 * a + 0.2 * b for a, b in zip(past, latest, strict=True)]
    assert lambda_d.item() == pytest.approx(expected[1] / expected[0])
    assert memory.flatten().tolist() == pytest.approx([1.0, 2.0, 0.25, 1.2, *expected])
    nothing = (torch.nan, torch.nan)  # it begins with equal weights
    assert relobralo(nothing, nothing, (3.0, 5.0), 0.0, nothing)[0].item() == pytest.approx(1)


def test_relobralo_weighs_the_channels_that_have_labels():
    """The term of the others is 0 at all times."""
    policy = ReLoBRaLo(every=1, temperature=0.5, alpha=0.8, lookback=0.5)
    terms, past = column(0.25, 1.2, 0.0), column(0.9, 1.1, 0.0)
    found = {}
    for count in (2, 3):
        memory = torch.stack([column(1.0, 2.0, 0.0), column(0.5, 1.5, 0.0), past])[None, :, :count]
        figures = {"terms": terms[None, :count], "chance": column(0.6)}
        before = torch.ones(1, 1, count, dtype=torch.float64)
        found[count] = policy.update(before, memory, figures.__getitem__)[0][0, 0]
    torch.testing.assert_close(found[3][:2], found[2])
    assert found[2][0] != found[2][1]
