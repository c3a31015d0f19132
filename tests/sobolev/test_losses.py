import pytest
import torch

from runge.sobolev import losses
from runge.sobolev.points import Points
from tests.sobolev.test_network import stack


def some_points(members=2, n=5, dimension=1, outputs=1):
    draw = torch.Generator().manual_seed(3)

    def random(*shape):
        return torch.rand(members, n, *shape, generator=draw, dtype=torch.float64)

    x, f, df = random(dimension), random(outputs), random(outputs, dimension)
    weights = [weight / weight.sum(1, keepdim=True) for weight in (random(outputs), random(outputs, dimension))]
    names = tuple(f"y{p + 1}" for p in range(outputs)) if outputs > 1 else ("f",)
    return Points(x, f, df, *weights, torch.ones(members, 1, n, dtype=torch.float64), outputs=names)


def test_terms_by_hand():
    """Use weights other than 1, so that applying them twice would show."""
    one = torch.ones(1, dtype=torch.float64)
    points = Points(
        x=torch.zeros(1, 2, 1),
        f=torch.tensor([[[1.0], [2.0]]]),
        df=torch.tensor([[[[3.0]], [[4.0]]]]),
        weight_f=torch.tensor([[[0.25], [0.75]]]),
        weight_df=torch.tensor([[[[0.0]], [[1.0]]]]),
        masks=torch.ones(1, 1, 2),
    )
    u, du = torch.tensor([[[2.0], [5.0]]]), torch.tensor([[[[9.0]], [[10.0]]]])
    mse_f, mse_df = losses.terms(u, du, points, 3 * one)
    assert mse_f.item() == pytest.approx(0.25 * 1 + 0.75 * 9)
    assert mse_df.item() == pytest.approx(1.0 * 36 / 9)
    assert losses.weigh(mse_f, mse_df, 5 * one).item() == pytest.approx(7.0 + 5 * 4)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("dimension", [1, 3, 8])
def test_closed_form_equals_autograd(dimension, outputs):
    points = some_points(dimension=dimension, outputs=outputs)
    scale, lambda_d = torch.tensor([2.0, 0.5]).double(), torch.tensor([0.3, 7.0]).double()
    results = [
        losses.loss_and_gradient(stack(dimension=dimension, outputs=outputs, derivative=how), points, scale, weight)
        for weight in (lambda_d, None)
        for how in ("forward", "autograd")
    ]
    for closed, automatic in (results[:2], results[2:]):
        torch.testing.assert_close(closed[0], automatic[0], rtol=1e-12, atol=0)
        torch.testing.assert_close(closed[1], automatic[1], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("at_once", [3, 4096])
def test_terms_add_up_to_the_gradient_of_the_loss(at_once, outputs, monkeypatch):
    monkeypatch.setattr(losses, "_AT_ONCE", at_once)
    network, points = stack(dimension=2, outputs=outputs), some_points(dimension=2, outputs=outputs)
    scale, lambda_d = torch.tensor([2.0, 0.5]).double(), torch.tensor([0.3, 7.0]).double()
    gradient_f, gradient_df = losses.term_gradients(network, points, scale)
    torch.testing.assert_close(gradient_f, losses.loss_and_gradient(network, points, scale, None)[1])
    _, gradient = losses.loss_and_gradient(network, points, scale, lambda_d)
    torch.testing.assert_close(gradient_f + lambda_d[:, None] * gradient_df, gradient, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("outputs", [1, 2])
def test_channels_add_up_to_the_terms_and_their_gradients(outputs):
    network, points = stack(dimension=2, outputs=outputs), some_points(dimension=2, outputs=outputs)
    scale = torch.tensor([2.0, 0.5]).double()
    with torch.no_grad():
        u, du = network.value_and_derivative(points.x)
    channels = losses.channels(u, du, points, scale).view(2, outputs, 3)
    mse_f, mse_df = losses.terms(u, du, points, scale)
    torch.testing.assert_close(channels[..., 0].sum(1), mse_f)
    torch.testing.assert_close(channels[..., 1:].sum((1, 2)), mse_df)
    gradients = torch.stack(losses.channel_gradients(network, points, scale), 1).unflatten(1, (outputs, 3))
    gradient_f, gradient_df = losses.term_gradients(network, points, scale)
    torch.testing.assert_close(gradients[:, :, 0].sum(1), gradient_f)
    torch.testing.assert_close(gradients[:, :, 1:].sum((1, 2)), gradient_df)


def test_the_weights_of_channels_multiply_those_of_the_points():
    points = some_points(dimension=2, outputs=2)
    weights = torch.rand(2, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u, du, one = points.f + 1, points.df + 2, torch.ones(2).double()
    plain = losses.channels(u, du, points, one)
    torch.testing.assert_close(losses.channels(u, du, points.reweighted(weights), one), plain * weights.flatten(1))


def test_derivative_scale():
    points = some_points(members=1)
    df = points.df[0, :, 0, 0]
    assert losses.derivative_scale("none", points).tolist() == [1.0]
    assert losses.derivative_scale("max", points).item() == df.abs().max().item()
    assert losses.derivative_scale("std", points).item() == pytest.approx(df.std(correction=0).item())


def test_derivative_scale_uses_points_with_a_derivative_only():
    points = some_points(members=1)
    points.weight_df[0, points.df.abs().argmax()] = 0
    df = points.df[points.weight_df > 0]
    assert losses.derivative_scale("max", points).item() == df.abs().max().item()
    assert losses.derivative_scale("std", points).item() == pytest.approx(df.std(correction=0).item())


def test_derivative_that_is_constant_up_to_round_off_has_scale_one():
    points = some_points(n=400).to(dtype=torch.float32)
    points.df.fill_(0.1)
    assert losses.derivative_scale("std", points).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("kind", ["max", "std"])
def test_constant_function_has_scale_one(kind):
    points = some_points()
    points.df.zero_()
    assert losses.derivative_scale(kind, points).tolist() == [1.0, 1.0]


def test_pointwise_errors_add_up_to_the_loss():
    points = some_points()
    u, du = points.f + 0.1 * points.x, points.df + 0.2
    scale, lambda_d = torch.tensor([1.0, 2.0]), torch.tensor([0.3, 5.0])
    error = losses.pointwise(u, du, points.f, points.df, scale, lambda_d)
    torch.testing.assert_close(error.square(), (0.1 * points.x[..., 0]) ** 2 + (lambda_d / scale**2 * 0.04)[:, None])


def test_diagnostics_by_hand():
    figures = losses.diagnostics(torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[4.0, -3.0], [-2.0, 0.0]]))
    assert figures["grad_norm/f"].tolist() == [5, 1]
    assert figures["grad_norm/df"].tolist() == [5, 2]
    assert figures["grad_cosine"].tolist() == pytest.approx([0, -1])


def log_cosh(r):
    return torch.log(torch.cosh(r))


@pytest.mark.parametrize("dimension", [1, 2])
def test_the_gradient_of_a_penalty_is_that_of_autograd(dimension):
    points, scale = some_points(n=7, dimension=dimension), torch.tensor([0.5, 2.0], dtype=torch.float64)
    for weight in (None, torch.tensor([0.3, 3.0], dtype=torch.float64)):
        closed, by_autograd = (
            losses.loss_and_gradient(
                stack(derivative=how, dimension=dimension), points, scale, weight, penalty=log_cosh
            )
            for how in ("forward", "autograd")
        )
        for one, other in zip(closed, by_autograd, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-13)


def test_the_square_as_a_penalty_changes_nothing():
    points, scale, one = some_points(), torch.tensor([0.5, 2.0], dtype=torch.float64), torch.ones(2).double()
    network = stack()
    plain = losses.loss_and_gradient(network, points, scale, one)
    for part, other in zip(plain, losses.loss_and_gradient(network, points, scale, one, torch.square), strict=True):
        torch.testing.assert_close(part, other, rtol=1e-12, atol=1e-14)
