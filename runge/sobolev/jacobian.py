r"""Linearise a network's values and derivatives in its weights: adjoints per point, the Jacobian, its Gram matrix.

With :math:`\delta = \partial u / \partial z` and :math:`\epsilon_d = \partial u'_d / \partial z` at a layer z = W h + b
with tangents z'_d = W g_d, a point's rows of the Jacobian J are

.. math:: \frac{\partial u}{\partial W} = h\, \delta^T, \quad \frac{\partial u}{\partial b} = \delta, \quad
          \frac{\partial u'_d}{\partial W} = h\, \epsilon_d^T + g_d\, \delta^T, \quad
          \frac{\partial u'_d}{\partial b} = \epsilon_d .

The rows of J are, for each of P outputs, u at all N points, then u'_1 at all points, up to u'_D. With a tape without
tangents they are u alone, as if D were 0.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from runge.sobolev.network import StackedMLP
from runge.sobolev.tape import Tape

_CACHE_NUMBERS = 2**17
"""The numbers that fit the CPU's cache, a bound on the members that are multiplied at a time."""

_GRAM_ROWS = 320
"""The approximate rows and columns of a large Gram matrix that are computed at a time."""


class Layer(NamedTuple):
    """A layer at each of N points, to first order in its weights."""

    inputs: Tensor  # h, g_1, ..., g_D, stacked, (M, (1 + D) N, in), the same for all outputs
    adjoints: Tensor  # delta, epsilon_1, ..., epsilon_D, stacked, of each output, (M, P, (1 + D) N, out)

    def at(self, points: Tensor | slice, n: int) -> "Layer":
        """Return the layer at some of the N points."""
        inputs, adjoints = self.inputs.unflatten(1, (-1, n)), self.adjoints.unflatten(2, (-1, n))
        return Layer(inputs[:, :, points].flatten(1, 2), adjoints[:, :, :, points].flatten(2, 3))


def linearise(network: StackedMLP, tape: Tape) -> list[Layer]:
    """Return the layers, first to last, by passing the adjoints of u and u' at each point back through them."""
    members, n, dimension = tape.x.shape
    rows = 1 + dimension if tape.carried else 1
    unit = torch.eye(network.outputs).to(tape.x)[None, :, None].expand(members, -1, n, -1)
    adjoints = torch.cat([unit, unit.new_zeros(members, network.outputs, (rows - 1) * n, network.outputs)], dim=2)
    layers: list[Layer] = []
    for i in reversed(range(1, len(tape.layers))):
        (z, h, s1), weight = tape.hidden[i - 1], tape.layers[i][0].mT
        layers.append(Layer(torch.cat([h, *tape.carried[i - 1 : i]], dim=1), adjoints))
        pulled = torch.bmm(adjoints.flatten(1, 2), weight).view(members, network.outputs, rows, n, -1)
        adjoints = pulled * s1[:, None, None]
        if rows > 1:
            curvature = pulled[:, :, :1] * network.activation.second(z, h, s1)[:, None, None]
            adjoints[:, :, 1:].addcmul_(curvature, tape.tangents[i - 1][:, None])
        adjoints = adjoints.flatten(2, 3)
    inputs = [tape.x]
    if rows > 1:
        inputs.append(torch.diag_embed(network.scale[:, 0])[:, :, None].expand(-1, -1, n, -1).flatten(1, 2))
    layers.append(Layer(torch.cat(inputs, dim=1), adjoints))
    return layers[::-1]


def jacobian(network: StackedMLP, tape: Tape) -> Tensor:
    """Return the Jacobian J of u and u' with respect to the weights, (M, P (1 + D) N, W), from a pass's tape."""
    blocks, n = list[Tensor](), tape.x.shape[1]
    for inputs, adjoints in linearise(network, tape):
        h, delta = inputs[:, :n], adjoints[:, :, :n]
        rows = inputs.shape[1] // n
        weight = torch.einsum("mni,mpano->mpanio", h, adjoints.unflatten(2, (rows, n)))
        if rows > 1:
            weight[:, :, 1:] += torch.einsum("mani,mpno->mpanio", inputs[:, n:].unflatten(1, (rows - 1, n)), delta)
        blocks += [weight.flatten(4).flatten(1, 3), adjoints.flatten(1, 2)]
    return torch.cat(blocks, dim=2)


def product(layers: list[Layer], n: int, change: Tensor) -> Tensor:
    """Return J v, (M, P (1 + D) N), of a change v of the weights, (M, W), from the layers at N points."""
    total = change.new_zeros(())
    for inputs, adjoints in layers:
        fan_in, fan_out = inputs.shape[2], adjoints.shape[3]
        weight, bias, change = change.tensor_split([fan_in * fan_out, (fan_in + 1) * fan_out], dim=1)
        z = torch.bmm(inputs, weight.unflatten(1, (fan_in, fan_out))).unflatten(1, (-1, n))
        z[:, 0] += bias[:, None]
        added = torch.einsum("mpano,mno->mpan", adjoints.unflatten(2, (-1, n)), z[:, 0])
        added[:, :, 1:] += torch.einsum("mpno,mano->mpan", adjoints[:, :, :n], z[:, 1:])
        total = total + added
    return total.flatten(1)


def readout(tape: Tape) -> Tensor:
    """Return J's columns of an output's W and b in the last layer, in which it is linear, (M, (1 + D) N, width + 1)."""
    inputs = torch.cat([tape.hidden[-1][1], *tape.carried[-1:]], dim=1)
    bias = torch.zeros_like(inputs[..., :1])
    bias[:, : tape.x.shape[1]] = 1
    return torch.cat([inputs, bias], dim=2)


def gram(network: StackedMLP, tape: Tape) -> tuple[Tensor, Tensor]:
    r"""Return the lower triangle of J J^T, (M, R, R), R = P (1 + D) N, computed without J, and the order of its rows.

    With A = [h; g][h; g]^T + [1, 0; 0, 0] (for the bias) of a layer's inputs and B = [delta; epsilon][delta; epsilon]^T
    of its adjoints, of two outputs in general, the layer adds to the block of the derivatives a and b (0 is u), by
    elementwise products, :math:`\sum_{i \in \{0, a\}} \sum_{j \in \{0, b\}} B_{a-i,\, b-j} A_{ij}`.

    Row i of the matrix belongs to row `order[i]` of J. A small matrix is whole, in the order of J. A large one is
    computed in blocks of all rows of J of some points, and those above its diagonal are 0.
    """
    layers = linearise(network, tape)
    n, outputs = tape.x.shape[1], network.outputs
    members, rows = len(tape.x), outputs * (layers[-1].inputs.shape[1] // n)
    points = n if rows * n < 2 * _GRAM_ROWS else max(1, _GRAM_ROWS // rows)
    blocks = [slice(first, first + points) for first in range(0, n, points)]
    orders = [torch.arange(rows * n, device=tape.x.device).view(rows, n)[:, block].flatten() for block in blocks]
    total, sizes = tape.x.new_zeros(members, rows * n, rows * n), [len(order) for order in orders]
    together = max(1, _CACHE_NUMBERS // sizes[0] ** 2)
    for first in range(0, members, together):
        members_at_once = slice(first, first + together)
        of_members = [Layer(*(tensor[members_at_once] for tensor in layer)) for layer in layers]
        layers_of_blocks = [[layer.at(block, n) for layer in of_members] for block in blocks]
        for i, strip in enumerate(total[members_at_once].split(sizes, dim=1)):
            for columns, block in zip(layers_of_blocks, strip.split(sizes, dim=2)[: i + 1], strict=False):
                shape = outputs, rows // outputs, -1
                _add_block(layers_of_blocks[i], columns, block.unflatten(2, shape).unflatten(1, shape))
    return total, torch.cat(orders)


def _add_block(layers: list[Layer], columns: list[Layer], total: Tensor) -> None:
    """Add the block of J J^T of N points and of K others, (M, P, 1 + D, N, P, 1 + D, K)."""
    for p in range(total.shape[1]):  # the last layer is linear: delta = 1 and epsilon = 0
        total[:, p, :, :, p] += _products_of_inputs(layers[-1], columns[-1], total.shape[3], total.shape[6])
    for layer, layer_columns in zip(layers[-2::-1], columns[-2::-1], strict=True):
        _add_gram(layer, layer_columns, total)


def gram_columns(layers: list[Layer], n: int, points: Tensor) -> Tensor:
    """Return the columns of J J^T of K of the N points, (M, P (1 + D) N, P (1 + D) K), as `gram` does."""
    members, outputs = layers[-1].adjoints.shape[:2]
    rows = layers[-1].inputs.shape[1] // n
    total = points.new_zeros(members, outputs, rows, n, outputs, rows, len(points), dtype=layers[-1].inputs.dtype)
    few = [layer.at(points, n) for layer in layers]
    together = max(1, 2 * _CACHE_NUMBERS // total[0, :, :, 0].numel())
    for rows_at_once in torch.arange(n, device=points.device).split(together):
        for layer, columns in zip(layers, few, strict=True):
            _add_gram(layer.at(rows_at_once, n), columns, total[:, :, :, rows_at_once[0] : rows_at_once[-1] + 1])
    return total.flatten(4).flatten(1, 3)


def _products_of_inputs(layer: Layer, columns: Layer, n: int, k: int) -> Tensor:
    """Return A, (M, 1 + D, N, 1 + D, K)."""
    products = torch.bmm(layer.inputs, columns.inputs.mT).unflatten(2, (-1, k)).unflatten(1, (-1, n))
    products[:, 0, :, 0] += 1
    return products


def _add_gram(layer: Layer, columns: Layer, total: Tensor) -> None:
    """Add the products of a layer at N points and at K, (M, P, 1 + D, N, P, 1 + D, K)."""
    x = _products_of_inputs(layer, columns, total.shape[3], total.shape[6])[:, None, :, :, None]
    y = torch.bmm(layer.adjoints.flatten(1, 2), columns.adjoints.flatten(1, 2).mT).view(total.shape)
    total.addcmul_(y, x[:, :, :1, ..., :1, :])
    total[:, :, 1:].addcmul_(y[:, :, :1], x[:, :, 1:, ..., :1, :])
    total[..., 1:, :].addcmul_(y[..., :1, :], x[:, :, :1, ..., 1:, :])
    total[:, :, 1:, ..., 1:, :].addcmul_(y[:, :, :1, ..., :1, :], x[:, :, 1:, ..., 1:, :])
