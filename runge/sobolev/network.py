"""The stacked MLP: M networks of one shape, their values and derivatives, and the adjoints of both."""

import copy
import itertools
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, cast

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from runge.configuration.validation import Count, checked
from runge.sobolev.activations import Activation, activation, module_at
from runge.sobolev.initial_weights import Init, draw_weights
from runge.sobolev.points import Points
from runge.sobolev.tape import Tape
from runge.sobolev.units import Units

DerivativeMode = Literal["forward", "autograd"]


def _check_activation(name: str) -> str:
    if module_at(name) is None:
        activation(name)
    return name


@checked
class Model:
    """The section `model`: the shape of a network, and how u' is computed.

    Attributes:
        activation: the function s: `tanh`, `relu`, `gelu`, `sigmoid`, `silu`, `softplus`, `sin`, or the dotted path of
            a `runge.sobolev.activations.Activation` or of an elementwise `torch.nn.Module` of your own.
        depth: the number of hidden layers, from 1 to 1000; depth 2 and width 64 give D -> 64 -> 64 -> 1.
        width: the neurons in each hidden layer, >= 1.
        init: the distribution of the initial weights, `default`, `knots`, `wide_knots` or
            `fourier`, as in `draw_weights`.
        derivative: how u' is computed: `forward`: by its formulas, along with u, or in reverse mode if there are few
            outputs compared with the inputs; `autograd`: by torch's reverse mode. All are equal to round-off.
        standardize: true: the network and its loss work in standardised units, those of the training points, and u is
            in the units of the data; false: all in the units of the data; `auto`: standardised if it is a formula with
            an input or an output far from size 1, as `runge.targets.far_from_one` says.
    """

    activation: Annotated[str, AfterValidator(_check_activation)] = "tanh"
    depth: Annotated[Count, Field(le=1000)] = 2
    width: Count = 64
    init: Init = "default"
    derivative: DerivativeMode = "forward"
    standardize: bool | Literal["auto"] = "auto"


_MOST_ADDED_INPUTS = 6
"""The most inputs for which a pass for each is faster than a matrix product."""

_MOST_SUMMED_OUTPUTS = 2
"""The most outputs for which `_sum_of_products` computes the last layer, more exactly than a matrix product."""

_PREDICTED_POINTS = 512
"""The points at which `predict` evaluates at a time, so that the memory does not grow with the test grid."""


class StackedMLP(nn.Module):
    r"""A stack of M multilayer perceptrons R^D -> R^P of one shape, each with its own weights.

    Starting from h = (x - centre) / half-width and g = dh/dx, each layer propagates value and tangents,

    .. math:: z = W h + b, \quad z' = W g, \quad h = s(z), \quad g = s'(z)\, z',

    and the last one is linear: one forward pass gives the values u = z and the Jacobian u' = z'. With few outputs,
    u' is instead pulled back from the outputs, and the adjoint of both needs one tangent for each output.
    All weights of a member are one row of `theta`, (M, W), so that gradient, norm and update are one operation each.
    The domains, (M, D, 2), are mapped to [-1, 1]^D. Each member has its generator: its initial weights do not depend on
    the stack. It may work in standardised `units`, which are not applied here.

    References:
        W. M. Czarnecki et al. (2017). Sobolev training for neural networks. https://arxiv.org/abs/1706.04859
        B. Huge, A. Savine (2020). Differential machine learning. https://arxiv.org/abs/2005.02347
    """

    scale: Tensor
    shift: Tensor
    units: Units | None

    def __init__(
        self,
        model: Model,
        domains: Tensor,
        generators: Sequence[torch.Generator],
        dtype: torch.dtype,
        outputs: int = 1,
        units: Units | None = None,
    ) -> None:
        super().__init__()
        self.activation_name, self.derivative = model.activation, model.derivative
        self.dimension, self.outputs = domains.shape[1], outputs
        self.shapes = list(itertools.pairwise([self.dimension, *[model.width] * model.depth, outputs]))
        self._splits = [n for fan_in, fan_out in self.shapes for n in (fan_in * fan_out, fan_out)]
        weights = [draw_weights(model.init, self.shapes, generator) for generator in generators]
        self.theta = nn.Parameter(torch.stack(weights).to(dtype))
        half = (domains[:, None, :, 1] - domains[:, None, :, 0]) / 2
        self.register_buffer("scale", (1 / half).to(dtype))
        self.register_buffer("shift", (-domains.mean(-1)[:, None] / half).to(dtype))
        self.register_module("units", units)

    @property
    def members(self) -> int:
        """The number of members M."""
        return len(self.theta)

    @property
    def activation(self) -> Activation:
        """The activation function, by its name: a network with functions in it could not be pickled."""
        return activation(self.activation_name)

    def take(self, members: Tensor) -> "StackedMLP":
        """Return a stack of some members, with a copy of their weights."""
        stack = copy.copy(self)
        nn.Module.__init__(stack)  # without the tensors, which a copy shares
        stack.theta = nn.Parameter(self.theta.detach()[members])
        stack.register_buffer("scale", self.scale[members])
        stack.register_buffer("shift", self.shift[members])
        stack.register_module("units", None if self.units is None else self.units.take(members))
        return stack

    def saved(self, member: int) -> Mapping[str, Tensor]:
        """Return the tensors of a member, as a run saves them."""
        return {name: tensor[[member]] if tensor.ndim else tensor for name, tensor in self.state_dict().items()}

    def gradient(self, loss: Tensor) -> Tensor:
        """Return the gradient of losses, (M,), with respect to the weights, (M, W), by torch's reverse mode."""
        return torch.autograd.grad(loss.sum(), self.theta, retain_graph=True)[0]

    def layers(self, flat: Tensor | None = None) -> list[tuple[Tensor, Tensor]]:
        """Return views of `theta`, or of another (M, W), as W, (M, in, out), and b, (M, 1, out), of each layer."""
        pieces = (self.theta if flat is None else flat).split(self._splits, dim=1)
        return [(pieces[2 * i].view(-1, *shape), pieces[2 * i + 1][:, None]) for i, shape in enumerate(self.shapes)]

    @torch.no_grad()
    def fix_constants(self, points: Points) -> None:
        """Set the bias of each output of which one value is known, so that it is exact: derivatives leave it free."""
        is_known = points.weight_f > 0
        single = is_known.sum(1) == 1
        if single.any():
            first_known = points.minibatch(is_known.byte().argmax(1))
            error = (self(first_known.x) - first_known.f).diagonal(dim1=1, dim2=2)  # of each output at its own point
            self.layers()[-1][1].sub_(torch.where(single, error, 0)[:, None])

    @torch.no_grad()
    def joined(self) -> "StackedMLP":
        """Return the members, networks of one output each with equal units of x, as one network with their outputs.

        Its matrices are block-diagonal, behind a first layer of all neurons, whose weights absorb the members' boxes.
        """
        one = self.take(torch.tensor([0]))
        (weight, bias), *others = self.layers()
        ratio = self.scale / one.scale
        first = ratio.mT * weight, bias + (self.shift - ratio * one.shift) @ weight
        weights, biases = zip(first, *others, strict=True)
        blocks = [torch.cat([*weights[0]], dim=1), *(torch.block_diag(*weight) for weight in weights[1:])]
        pairs = zip(blocks, (bias.flatten() for bias in biases), strict=True)
        one.theta = nn.Parameter(torch.cat([tensor.flatten() for pair in pairs for tensor in pair])[None])
        one.outputs, one.shapes = self.members, [(block.shape[0], block.shape[1]) for block in blocks]
        one._splits = [n for fan_in, fan_out in one.shapes for n in (fan_in * fan_out, fan_out)]
        if self.units is not None:
            x_mean, x_std, y_mean, y_std, *logs = self.units.buffers()
            units = Units(x_mean[:1], x_std[:1], y_mean.mT, y_std.mT, *(mask[:1] for mask in logs))
            one.register_module("units", units)
        return one

    @torch.no_grad()
    def adopt(self, member: int, network: "StackedMLP") -> None:
        r"""Give a member the function of a network of the same shape, whose boxes and units may differ.

        The networks map inputs x to :math:`h_0 = A x + B` and their last layer to :math:`y = \mu + \sigma u`. The first
        layer is multiplied by the ratio of both A and shifted, and the last one by the ratio of both sigma.

        Raises:
            ValueError: the shapes, the activations or the inputs with a logarithm differ.
        """
        if (self.shapes, self.activation_name) != (network.shapes, network.activation_name):
            raise ValueError(f"must have the layers {self.shapes} of {self.activation_name}")
        adopting, source = self.take(torch.tensor([member])), network.take(torch.tensor([0]))
        unit, their_unit = (
            stack.units or Units.identity(1, self.dimension, self.outputs) for stack in (adopting, source)
        )
        logs, their_logs = (torch.zeros(1) if one.logs is None else one.logs for one in (unit, their_unit))
        if (logs != their_logs).any():
            raise ValueError("must have the logarithms of the same inputs, data.log10")
        adopting.theta.copy_(source.theta)
        (slope, offset), (their_slope, their_offset) = adopting._affine(), source._affine()
        weight, bias = adopting.layers()[0]
        ratio = their_slope / slope
        bias.add_(((their_offset - ratio * offset) @ weight.double()).to(bias))
        weight.mul_(ratio.mT)
        weight, bias = adopting.layers()[-1]
        ratio = their_unit.y_std / unit.y_std
        weight.mul_(ratio[:, None])
        bias.mul_(ratio).add_(((their_unit.y_mean - unit.y_mean) / unit.y_std)[:, None])
        self.theta[member] = adopting.theta[0]

    def _affine(self) -> tuple[Tensor, Tensor]:
        """Return the slope A, (M, 1, D), and the offset B, (M, 1, D), of the map from the user's inputs to h_0."""
        units = self.units or Units.identity(self.members, self.dimension, self.outputs)
        slope = self.scale.double() / units.x_std[:, None]
        return slope, self.shift.double() - slope * units.x_mean[:, None]

    def forward(self, x: Tensor) -> Tensor:
        """Return the values u, (M, N, P), at points x, (M, N, D)."""
        return self.propagate(x, with_derivative=False)[0]

    def value_and_derivative(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return u, (M, N, P), and u', (M, N, P, D), at x, (M, N, D); differentiable where gradients are enabled."""
        if self.derivative == "forward":
            u, du, _ = self.evaluate(x)
            return u, du
        keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *self.parameters()))
        with torch.enable_grad():
            x = x if x.requires_grad else x.detach().requires_grad_()
            u = self(x)
            sums = u.sum((0, 1)).unbind()
            du = torch.stack(
                [torch.autograd.grad(total, x, retain_graph=True, create_graph=keep)[0] for total in sums], 2
            )
        return (u, du) if keep else (u.detach(), du.detach())

    @torch.inference_mode(False)  # inference mode forbids the derivative by autograd
    @torch.no_grad()
    def predict(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return u and u' as `value_and_derivative` does, without gradients and with less memory for many points."""
        chunks = [self.value_and_derivative(chunk) for chunk in x.split(_PREDICTED_POINTS, dim=1)]
        u, du = (torch.cat(tensors, dim=1) for tensors in zip(*chunks, strict=True))
        return u, du

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor, Tape]:
        """Return u, (M, N, P), u', (M, N, P, D), at x, (M, N, D), and the tape, in the faster mode.

        Layer by layer, forward mode with its adjoint has 3 (1 + D) products, and reverse mode 3 (1 + P) + P.
        """
        if 4 * self.outputs >= 3 * self.dimension or torch.compiler.is_exporting():
            u, du, tape = self.propagate(x, with_derivative=True)
            return u, cast(Tensor, du), tape
        u, _, tape = self.propagate(x, with_derivative=False)
        n, unit = x.shape[1], torch.eye(self.outputs).to(u)
        pulled = unit[None, :, None].expand(len(u), -1, n, -1).flatten(1, 2)
        for (weight, _), (_, _, s1) in zip(tape.layers[:0:-1], tape.hidden[::-1], strict=True):
            pulled = (torch.bmm(pulled, weight.mT).unflatten(1, (self.outputs, n)) * s1[:, None]).flatten(1, 2)
        du = torch.bmm(pulled, tape.layers[0][0].mT) * self.scale
        return u, du.unflatten(1, (self.outputs, n)).transpose(1, 2), tape

    def propagate(self, x: Tensor, *, with_derivative: bool) -> tuple[Tensor, Tensor | None, Tape]:
        """Return u, (M, N, P), at x, (M, N, D), u', (M, N, P, D), or None without derivative, and the tape."""
        layers = self.layers()
        tape = Tape(layers, torch.addcmul(self.shift, x, self.scale), [], [], [])
        weight, z = layers[0]
        # At few points an exported program takes time for each operation.
        if self.dimension > _MOST_ADDED_INPUTS or torch.compiler.is_exporting():
            z = torch.baddbmm(z, tape.x, weight)
        else:
            for d in range(self.dimension):
                z = torch.addcmul(z, tape.x[:, :, d, None], weight[:, d, None])
        dz = (self.scale.mT * weight)[:, :, None] if with_derivative else None
        for i, (weight, bias) in enumerate(layers[1:], start=1):
            h = self.activation.value(z)
            tape.hidden.append((z, h, self.activation.first(z, h)))
            dz = None if dz is None else tape.carry(dz)
            exact = i == len(layers) - 1 and self.outputs <= _MOST_SUMMED_OUTPUTS
            z = (_sum_of_products(h, weight) if exact else torch.bmm(h, weight)) + bias
        return z, None if dz is None else dz.permute(0, 2, 3, 1), tape

    def adjoint(self, tape: Tape, u_bar: Tensor, du_bar: Tensor | None) -> Tensor:
        r"""Return the gradient dL/dtheta, (M, W), of L = sum(u_bar u + du_bar u'), or of u alone if du_bar is None.

        With delta = dL/dz and eps = dL/dz', from the last layer to the first,

        .. math:: \bar W = h^T \delta + g^T \epsilon, \quad \bar b = \textstyle\sum \delta, \quad
                  \delta \leftarrow (\delta W^T)\, s' + s'' \textstyle\sum_k z'_k\, (\epsilon_k W^T), \quad
                  \epsilon \leftarrow (\epsilon W^T)\, s'.

        The directions k are the inputs. If the tape has no tangents, there is one direction for each output p, du_bar
        of it at each point: its sum with u'_p is the derivative of u_p along it.
        """
        layers, n = tape.layers, u_bar.shape[1]
        directions: Tensor | None = None
        gradients: list[Tensor] = []
        delta, eps = u_bar, None
        if du_bar is not None and tape.tangents:
            eps = du_bar.permute(0, 3, 1, 2).flatten(1, 2)
        elif du_bar is not None:
            directions = (du_bar * self.scale[:, None]).transpose(1, 2).flatten(1, 2)
            tape = tape._replace(tangents=[], carried=[])
            dz = torch.bmm(directions, layers[0][0]).unflatten(1, (self.outputs, n))
            for _ in tape.hidden:
                dz = tape.carry(dz)
            eps = torch.eye(self.outputs).to(delta)[None, :, None].expand(len(delta), -1, n, -1).flatten(1, 2)
        for i in reversed(range(1, len(layers))):
            weight, (z, h, s1) = layers[i][0].mT, tape.hidden[i - 1]
            product = torch.bmm(h.mT, delta)
            if eps is not None:
                product = product + torch.bmm(tape.carried[i - 1].mT, eps)
            gradients += [delta.sum(1), product.flatten(1)]
            delta = torch.bmm(delta, weight) * s1
            if eps is not None:
                pulled = torch.bmm(eps, weight).unflatten(1, (tape.tangents[0].shape[1], n))
                along = (tape.tangents[i - 1] * pulled).sum(1)
                delta = torch.addcmul(delta, self.activation.second(z, h, s1), along)
                eps = (pulled * s1[:, None]).flatten(1, 2)
        first = torch.bmm(tape.x.mT, delta)
        if eps is not None and directions is None:
            first = torch.addcmul(first, self.scale.mT, eps.unflatten(1, (self.dimension, n)).sum(2))
        elif eps is not None and directions is not None:
            first = first + torch.bmm(directions.mT, eps)
        return torch.cat([first.flatten(1), delta.sum(1), *reversed(gradients)], dim=1)


def _sum_of_products(h: Tensor, weight: Tensor) -> Tensor:
    """Return h W, (M, N, P), from h, (M, N, K), and W, (M, K, P), with less round-off than a matrix product has.

    Torch's `sum` adds pairwise. Where a network fits f to round-off, this reduces the mean square error to a tenth.
    """
    return torch.stack([(h * column[:, None]).sum(2) for column in weight.unbind(2)], dim=2)
