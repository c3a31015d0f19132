import numpy as np
import pytest
import torch

from runge.sobolev.activations import ACTIVATIONS
from runge.sobolev.network import StackedMLP
from runge.sobolev.units import Units
from tests.conftest import generator, model

DOMAINS = torch.tensor([[-1.0, 1.0], [0.0, 3.0], [-2.0, 5.0]], dtype=torch.float64)


def stack(members=2, *, dimension=1, outputs=1, seed=0, dtype=torch.float64, units=None, **shape):
    return StackedMLP(
        model(**{"width": 9} | shape),
        domains=DOMAINS.repeat(members, 1)[:members, None].expand(-1, dimension, -1),
        generators=[generator(seed + member) for member in range(members)],
        dtype=dtype,
        outputs=outputs,
        units=units,
    )


def points(network, n=6, seed=0):
    return torch.rand(len(network.theta), n, network.dimension, dtype=torch.float64, generator=generator(seed))


SIZES = [(depth, *sizes) for depth in range(1, 5) for sizes in ((1, 1), (2, 1), (3, 1), (1, 2), (2, 3), (9, 2))]
CASES = [("tanh", *sizes) for sizes in SIZES]
CASES += [(name, *sizes) for name in ACTIVATIONS for sizes in ((1, 1, 1), (3, 9, 2), (4, 2, 3)) if name != "tanh"]


@pytest.mark.parametrize(("activation", "depth", "dimension", "outputs"), CASES)
def test_derivative_and_adjoint_equal_autograd(activation, depth, dimension, outputs):
    network = stack(activation=activation, dimension=dimension, outputs=outputs, depth=depth, init="knots")
    x = points(network).requires_grad_()
    u = network(x)
    each = [torch.autograd.grad(u[..., p].sum(), x, create_graph=True)[0] for p in range(outputs)]
    expected = torch.stack(each, dim=2)
    value, derivative = network.value_and_derivative(x)
    forward = network.propagate(x, with_derivative=True)[1]
    draw = generator(1)
    u_bar, du_bar = (torch.rand(part.shape, generator=draw).double() for part in (u, expected))
    (gradient,) = torch.autograd.grad((u_bar * u).sum() + (du_bar * expected).sum(), network.theta)
    (of_values,) = torch.autograd.grad((u_bar * network(x)).sum(), network.theta)
    with torch.no_grad():
        *_, tape = network.propagate(x, with_derivative=True)
        *_, reverse = network.propagate(x, with_derivative=False)
        for actual, wanted, digits in (
            (value, u, 1e-13),
            (derivative, expected, 1e-12),
            (forward, derivative, 1e-12),
            (network.adjoint(tape, u_bar, du_bar), gradient, 1e-12),
            (network.adjoint(reverse, u_bar, du_bar), gradient, 1e-12),
            (network.adjoint(reverse, u_bar, None), of_values, 1e-12),
        ):
            assert (actual - wanted).norm() <= digits * wanted.norm()


@pytest.mark.parametrize("derivative", ["forward", "autograd"])
def test_members_equal_ordinary_networks(derivative):
    """Compare with `torch.nn` layers that have the same weights."""
    network = stack(members=3, dimension=2, outputs=2, depth=3, activation="gelu", derivative=derivative)
    x = points(network)
    u, du = network.value_and_derivative(x)
    for member in range(3):
        layers = []
        for weight, bias in network.layers():
            linear = torch.nn.utils.skip_init(torch.nn.Linear, *weight.shape[1:], dtype=torch.float64)
            linear.weight.data, linear.bias.data = weight[member].T.detach(), bias[member, 0].detach()
            layers += [linear, torch.nn.GELU()]
        lower, upper = [(-1, 1), (0, 3), (-2, 5)][member]
        at = x[member].clone().requires_grad_()
        value = torch.nn.Sequential(*layers[:-1])((at - (lower + upper) / 2) * 2 / (upper - lower))
        torch.testing.assert_close(u[member], value, rtol=1e-12, atol=1e-13)
        for p in range(2):
            (slope,) = torch.autograd.grad(value[:, p].sum(), at, retain_graph=True)
            torch.testing.assert_close(du[member, :, p], slope, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("derivative", ["forward", "autograd"])
def test_predict_equals_the_whole_at_many_points_and_records_no_gradient(derivative):
    network = stack(dimension=2, outputs=2, derivative=derivative)
    x = points(network, n=1100)
    with torch.inference_mode():
        parts = network.predict(x)
    with torch.no_grad():
        assert not any(part.requires_grad for part in (*parts, *network.value_and_derivative(x)))
    torch.testing.assert_close(parts, network.value_and_derivative(x), rtol=1e-13, atol=1e-14)


def test_some_members_have_their_own_weights_domains_and_units():
    sizes = torch.arange(1.0, 7).view(3, 2)
    network = stack(members=3, dimension=2, units=Units(sizes, 1 + sizes, sizes[:, :1], 1 + sizes[:, :1]))
    x, chosen = points(network), torch.tensor([2, 0])
    alone = network.take(chosen)
    assert alone.members == 2
    torch.testing.assert_close(alone(x[chosen]), network(x)[chosen])
    assert torch.equal(alone.units.x_mean, network.units.x_mean[chosen])
    alone.theta.data.zero_()
    assert network.theta.all()
    assert stack().take(torch.tensor([1])).units is None


def units_of(members, dimension, outputs, seed):
    """Draw units, with scales from 0.5 to 1.5."""
    draw, sizes = generator(seed), [dimension] * 2 + [outputs] * 2
    return Units(*(torch.rand(members, n, dtype=torch.float64, generator=draw) + 0.5 for n in sizes))


def in_own_units(network, x):
    """Return the values and the derivatives of a stack in the user's units, at points in them."""
    units = network.units or Units.identity(network.members, network.dimension, network.outputs)
    z = units.standardise_inputs(x)
    return units.restore(*network.predict(z), z)


@pytest.mark.parametrize(("ours", "theirs"), [(True, True), (False, True), (True, False), (False, False)])
def test_a_member_adopts_the_function_of_a_network_with_other_boxes_and_units(ours, theirs):
    network = stack(members=3, dimension=2, outputs=2, units=units_of(3, 2, 2, 0) if ours else None)
    begun = stack(members=1, dimension=2, outputs=2, seed=7, units=units_of(1, 2, 2, 1) if theirs else None)
    assert not torch.equal(network.scale[1], begun.scale[0])
    before, x = network.theta.detach().clone(), points(network)
    network.adopt(1, begun)
    adopted = tuple(part[1:2] for part in in_own_units(network, x))
    torch.testing.assert_close(adopted, in_own_units(begun, x[1:2]), rtol=1e-13, atol=1e-13)
    assert torch.equal(network.theta[[0, 2]], before[[0, 2]])
    assert network.theta.requires_grad


@pytest.mark.parametrize("depth", [1, 3])
def test_networks_of_one_output_are_joined_into_one_with_all_of_their_outputs(depth):
    units = units_of(3, 2, 1, seed=1)
    units.x_mean[1:], units.x_std[1:] = units.x_mean[0], units.x_std[0]
    units.logs = torch.tensor([[True, False]] * 3)
    parts = stack(3, dimension=2, depth=depth, units=units)
    parts.scale.mul_(torch.rand(3, 1, 2, generator=generator()) + 1)
    parts.shift.add_(torch.rand(3, 1, 2, generator=generator()))
    joined, x = parts.joined(), torch.rand(1, 5, 2, generator=generator(), dtype=torch.float64)
    assert (joined.members, joined.outputs, joined.shapes[0]) == (1, 3, (2, 3 * parts.shapes[0][1]))
    every = zip(joined.value_and_derivative(x), parts.value_and_derivative(x.expand(3, -1, -1)), strict=True)
    for whole, each in every:
        torch.testing.assert_close(whole[0], each[:, :, 0].transpose(0, 1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(joined.units.y_std, units.y_std.mT)
    assert joined.units.logs.tolist() == [[True, False]]
    theirs = StackedMLP(
        model(depth=depth, width=27), torch.ones(1, 2, 2).cumsum(2), [generator()], torch.float64, 3, joined.units
    )
    theirs.load_state_dict(joined.state_dict())
    torch.testing.assert_close(theirs(x), joined(x))


def test_the_function_of_another_shape_is_not_adopted():
    for shape in ({"width": 8}, {"depth": 3}, {"activation": "gelu"}, {"dimension": 2}, {"outputs": 2}):
        network = stack()
        before = network.theta.detach().clone()
        with pytest.raises(ValueError, match=r"must have the layers \[\(1, 9\), \(9, 9\), \(9, 1\)\] of tanh"):
            network.adopt(0, stack(members=1, **shape))
        assert torch.equal(network.theta, before)


def test_the_function_of_other_logarithms_is_not_adopted():
    logs = torch.tensor([[True, False]])
    units = [units_of(1, 2, 1, 0), Units(*units_of(1, 2, 1, 0).buffers(), logs=logs)]
    plain, logarithmic = (stack(members=1, dimension=2, units=one) for one in units)
    for ours, theirs in ((plain, logarithmic), (logarithmic, plain)):
        with pytest.raises(ValueError, match=r"logarithms of the same inputs, data\.log10"):
            ours.adopt(0, theirs)
    logarithmic.adopt(0, stack(members=1, dimension=2, seed=3, units=units[1]))


def test_a_member_that_diverges_does_not_affect_its_neighbours():
    network = stack(members=3)
    x = points(network)
    with torch.no_grad():
        clean = network.value_and_derivative(x)
        network.theta[1] = torch.nan
        u, du, tape = network.propagate(x, with_derivative=True)
        gradient = network.adjoint(tape, u, du)
    for part, before in zip((u, du), clean, strict=True):
        assert torch.equal(part[::2], before[::2])
    assert gradient.isfinite().all(1).tolist() == [True, False, True]


def test_initial_weights():
    """Spread the kinks over the domain, or draw the weights as `torch.nn.Linear` does, alike in any stack."""
    for init in ("default", "knots"):
        assert torch.equal(stack(members=3, init=init).theta[2], stack(members=1, init=init, seed=2).theta[0])
    weight, bias = stack(members=1, width=11, init="knots").layers()[0]
    torch.testing.assert_close((-bias / weight)[0, 0], torch.linspace(-1, 1, 11, dtype=torch.float64))
    bound = 400**-0.5
    for part in stack(members=1, width=400).layers()[1]:
        assert part.abs().max() <= bound
        assert part.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)


@pytest.mark.parametrize("wrong", [{"width": 0}, {"depth": 0}, {"activation": "tanhh"}, {"init": "x"}, {"width": True}])
def test_wrong_arguments(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        stack(**wrong)


@pytest.mark.skipif(np.finfo(np.longdouble).eps == np.finfo(float).eps, reason="no floats of more digits")
def test_the_last_layer_adds_little_round_off():
    """Compare with a sum of more digits; a matrix product can have several times the error."""
    network = stack(members=1, width=512, depth=1, init="wide_knots")
    x = torch.linspace(-1, 1, 500, dtype=torch.float64)[None, :, None]
    with torch.no_grad():
        network.theta[0, -513:-1] = torch.cos(torch.linspace(-3, 3, 512, dtype=torch.float64)) / 20
        u, _, tape = network.propagate(x, with_derivative=False)
    h, weight, bias = (part.detach()[0].numpy().astype(np.longdouble) for part in (tape.hidden[0][1], *tape.layers[1]))
    assert np.mean((u[0].numpy() - (h @ weight + bias)) ** 2) < 0.6 * np.finfo(float).eps ** 2
