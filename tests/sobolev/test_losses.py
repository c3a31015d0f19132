import pytest
import torch

from runge.sobolev import losses
from runge.sobolev.points import Points
from tests.sobolev.test_network import stack

SCALE, LAMBDA_D = (torch.tensor(values, dtype=torch.float64) for values in ([2.0, 0.5], [0.3, 7.0]))


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

    def column(*values):
        return torch.tensor(values)[None, :, None]

    df, weight_df, du = (column(*values)[..., None] for values in ((3.0, 4.0), (0.0, 1.0), (9.0, 10.0)))
    points = Points(column(0.0, 0.0), column(1.0, 2.0), df, column(0.25, 0.75), weight_df, torch.ones(1, 1, 2))
    mse_f, mse_df = losses.terms(column(2.0, 5.0), du, points, torch.tensor([3.0]))
    assert mse_f.item() == pytest.approx(0.25 * 1 + 0.75 * 9)
    assert mse_df.item() == pytest.approx(1.0 * 36 / 9)
    assert losses.weigh(mse_f, mse_df, torch.tensor([5.0])).item() == pytest.approx(7.0 + 5 * 4)


def log_cosh(r):
    return torch.log(torch.cosh(r))


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("dimension", [1, 3, 8])
@pytest.mark.parametrize("penalty", [None, torch.square, log_cosh])
def test_closed_form_equals_autograd(dimension, outputs, penalty):
    points, plain = some_points(dimension=dimension, outputs=outputs), penalty is torch.square
    for weight in (LAMBDA_D, None):
        closed, automatic = (
            losses.loss_and_gradient(
                stack(dimension=dimension, outputs=outputs, derivative=how), points, SCALE, weight, rho
            )
            for how, rho in (("forward", penalty), ("autograd", None if plain else penalty))
        )
        torch.testing.assert_close(closed[0], automatic[0], rtol=1e-12, atol=0)
        torch.testing.assert_close(closed[1], automatic[1], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("n", [5, 5000])  # whose gradients are computed at once, or in parts
def test_channels_and_terms_add_up(n, outputs, monkeypatch):
    """Compare errors and gradients of channels, of terms and of the loss; weights of channels multiply the points'."""
    monkeypatch.setattr("torch.autograd.grad", None)  # closed forms need no graph
    network, points = stack(dimension=2, outputs=outputs), some_points(n=n, dimension=2, outputs=outputs)
    with torch.no_grad():
        u, du = network.value_and_derivative(points.x)
    channels, (mse_f, mse_df) = losses.channels(u, du, points, SCALE), losses.terms(u, du, points, SCALE)
    errors, weights_f = losses.least_squares(u, None, points, SCALE, None)
    gradients = torch.stack(losses.channel_gradients(network, points, SCALE), 1).unflatten(1, (outputs, 3))
    gradient_f, gradient_df = losses.term_gradients(network, points, SCALE)
    loss, gradient = losses.loss_and_gradient(network, points, SCALE, LAMBDA_D)
    weights = torch.rand(2, outputs, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    slopes = (LAMBDA_D.sqrt() / SCALE)[:, None, None, None] * (du - points.df)
    errors_of_points = torch.cat([(u - points.f)[..., None], slopes], dim=3)
    for actual, expected in (
        (channels.view(2, outputs, 3)[..., 0].sum(1), mse_f),
        (channels.view(2, outputs, 3)[..., 1:].sum((1, 2)), mse_df),
        (losses.channels(u, du, points.reweighted(weights), SCALE), channels * weights.flatten(1)),
        (losses.channels(u, du, points, SCALE, torch.square), channels),
        (losses.channel_errors(network, points, SCALE, LAMBDA_D).flatten(1), channels),
        (losses.channel_errors(network, points, SCALE, None).flatten(1), channels * torch.eye(3)[0].repeat(outputs)),
        ((weights_f * errors.square()).sum(1), mse_f),
        (gradients[:, :, 0].sum(1), gradient_f),
        (gradients[:, :, 1:].sum((1, 2)), gradient_df),
        (gradient_f, losses.loss_and_gradient(network, points, SCALE, None)[1]),
        (gradient_f + LAMBDA_D[:, None] * gradient_df, gradient),
        (losses.weigh(mse_f, mse_df, LAMBDA_D), loss),
        (losses.pointwise(u, du, points.f, points.df, SCALE, LAMBDA_D), errors_of_points.norm(dim=(2, 3))),
    ):
        torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-14)


def test_derivative_scale():
    """It is over the points with a derivative; one that is constant, up to round-off, has the scale 1."""
    points = some_points(members=1)
    for df in (points.df, points.df[points.df < points.df.max()]):
        points.weight_df[points.df > df.max()] = 0
        assert losses.derivative_scale("none", points).tolist() == [1.0]
        assert losses.derivative_scale("max", points).item() == df.abs().max().item()
        assert losses.derivative_scale("std", points).item() == pytest.approx(df.std(correction=0).item())
    points = some_points(dimension=3, outputs=2)
    largest, variances = points.df.norm(dim=-1).amax((1, 2)), points.df.var(1, correction=0)
    torch.testing.assert_close(losses.derivative_scale("max", points), largest)
    torch.testing.assert_close(losses.derivative_scale("std", points), variances.sum(2).mean(1).sqrt())
    points = some_points(n=400).to(dtype=torch.float32)
    points.df.fill_(0.1)
    assert losses.derivative_scale("std", points).tolist() == [1.0, 1.0]
    points.df.zero_()
    assert losses.derivative_scale("max", points).tolist() == [1.0, 1.0]


def test_diagnostics_by_hand():
    of_f, of_df, cosine = losses.diagnostics(
        torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[4.0, -3.0], [-2.0, 0.0]])
    )
    assert of_f.tolist() == [5, 1]
    assert of_df.tolist() == [5, 2]
    assert cosine.tolist() == pytest.approx([0, -1])
