"""Any torch module as a network: its derivatives by automatic differentiation, an MLP as a plain sequence of layers."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from runge.configuration.validation import checked
from runge.sobolev.activations import activation, module_at
from runge.sobolev.network import Model, StackedMLP
from runge.sobolev.points import Points
from runge.sobolev.tape import Tape
from runge.sobolev.units import Units

__all__ = ["AnyNetwork", "OwnNetwork", "adapt_network"]


@checked
class OwnNetwork(Model):
    """The section `model` with a network of the user's own: `_target_` names its class, an `nn.Module`.

    The class maps inputs in [-1, 1]^D, (N, D), to outputs, (N, P), each row by itself. Its constructor receives the
    other keys of the section that it accepts, those of `Model` among them.

    Attributes:
        kind: the class.
        parameters: the arguments of its constructor.
    """

    kind: type[nn.Module]
    parameters: dict[str, Any]

    def make(self, generator: torch.Generator) -> nn.Module:
        """Make the network, whose initial weights depend on the generator alone.

        Raises:
            ValueError: it cannot be made of these parameters.
        """
        with torch.random.fork_rng():
            torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            try:
                return self.kind(**self.parameters)
            except Exception as error:  # a user's class may raise anything
                raise ValueError(f"_target_: {self.kind.__name__} does not accept its parameters ({error})") from error


def adapt_network(kind: Any) -> Callable[..., OwnNetwork] | None:
    """Return what makes an `OwnNetwork` from the keys of a section, given a class of networks; None: it is none."""
    if not (inspect.isclass(kind) and issubclass(kind, nn.Module)):
        return None
    shared = inspect.signature(Model).parameters
    own = {name: value for name, value in inspect.signature(kind).parameters.items() if value.kind != value.VAR_KEYWORD}

    def make(**values: Any) -> OwnNetwork:
        parameters = {name: value for name, value in values.items() if name in own}
        return OwnNetwork(kind=kind, parameters=parameters, **{key: values[key] for key in values if key in shared})

    by_name = {name: value.replace(kind=inspect.Parameter.KEYWORD_ONLY) for name, value in {**shared, **own}.items()}
    make.__signature__ = inspect.Signature(list(by_name.values()))  # pyright: ignore[reportFunctionMemberAccess]
    return make


class Elementwise(nn.Module):
    """A layer with the function of an activation."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, z: Tensor) -> Tensor:
        """Return s(z)."""
        return activation(self.name).value(z)


class AnyNetwork(StackedMLP):
    r"""A stack of one member whose function is any torch module: a plain sequence of layers, or a user's own network.

    The derivatives are those of automatic differentiation in reverse mode, a pass for each output. Each row of the
    output must depend on the same row of the input alone; with a batch normalisation in training it does not.

    Args:
        module: maps inputs in [-1, 1]^D, (N, D), to outputs, (N, P), in the units of the training.
        box: the domain that is mapped to [-1, 1]^D, (1, D, 2).
        dtype: the precision.
        outputs: the number of outputs P.
        units: the user's units; None: those of the data.
        stack: the stack that holds the same function as an MLP; None: it is no MLP.
    """

    def __init__(
        self,
        module: nn.Module,
        box: Tensor,
        dtype: torch.dtype,
        outputs: int = 1,
        units: Units | None = None,
        stack: StackedMLP | None = None,
    ) -> None:
        nn.Module.__init__(self)
        self.module, self.derivative = module.to(dtype), "autograd"
        self.dimension, self.outputs = box.shape[1], outputs
        self.activation_name = type(module).__name__ if stack is None else stack.activation_name
        self.shapes = [] if stack is None else stack.shapes
        half = (box[:, None, :, 1] - box[:, None, :, 0]) / 2
        self.register_buffer("scale", (1 / half).to(dtype))
        self.register_buffer("shift", (-box.mean(-1)[:, None] / half).to(dtype))
        self.register_module("units", units)
        self._stack = [] if stack is None else [stack]  # in a list: its weights are no parameters of this one

    @classmethod
    def of_layers(cls, stack: StackedMLP) -> "AnyNetwork":
        """Return the only member of a stack, with the same weights, as a sequence of torch's layers."""
        layers, name = list[nn.Module](), stack.activation_name
        make = module_at(name) or partial(Elementwise, name)
        for weight, bias in stack.layers(stack.theta.detach()):
            layer = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[2], dtype=weight.dtype)
            layer.load_state_dict({"weight": weight[0].mT, "bias": bias[0, 0]})
            layers += [make(), layer] if layers else [layer]
        box = torch.tensor([-1.0, 1.0]).expand(1, stack.dimension, 2)
        network = cls(nn.Sequential(*layers), box, stack.theta.dtype, stack.outputs, stack.units, stack)
        network.load_state_dict({"scale": stack.scale, "shift": stack.shift}, strict=False)
        return network

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Move the stack with the layers."""
        for stack in self._stack:
            stack._apply(fn, recurse)
        return super()._apply(fn, recurse)

    @property
    def theta(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """A copy of all parameters, (1, W)."""
        return nn.utils.parameters_to_vector(self.module.parameters()).detach()[None]

    @property
    def members(self) -> int:
        """One."""
        return 1

    def forward(self, x: Tensor) -> Tensor:
        """Return the values u, (1, N, P), at points x, (1, N, D)."""
        return self.module(torch.addcmul(self.shift, x, self.scale)[0])[None]

    def gradient(self, loss: Tensor) -> Tensor:
        """Return the gradient of a loss, (1,), with respect to the parameters, (1, W)."""
        parameters = list(self.module.parameters())
        gradients = torch.autograd.grad(
            loss.sum(), parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return torch.cat([gradient.flatten() for gradient in gradients])[None]

    def propagate(self, x: Tensor, *, with_derivative: bool) -> tuple[Tensor, Tensor | None, Tape]:
        """Raise a ValueError: there are no closed forms."""
        raise ValueError(f"{self.activation_name}: a network of one's own has no closed forms of its derivatives")

    @torch.no_grad()
    def fix_constants(self, points: Points) -> None:
        """Set the bias of each output of which one value is known, as the stack would; no effect if it is no MLP."""
        if stack := self.stacked():
            stack.fix_constants(points)
            self._copy(stack)

    @torch.no_grad()
    def adopt(self, member: int, network: StackedMLP) -> None:
        """Take the function of a network of the same shape, as the stack would.

        Raises:
            ValueError: it is no MLP, or the shapes or the activations differ.
        """
        if (stack := self.stacked()) is None:
            raise ValueError("must have the layers of an MLP, not a network of one's own")
        stack.adopt(member, network)
        self._copy(stack)

    @torch.no_grad()
    def stacked(self) -> StackedMLP | None:
        """Return the stack with the present weights; None: it is no MLP."""
        if not self._stack:
            return None
        layers = [layer for layer in cast(nn.Sequential, self.module) if isinstance(layer, nn.Linear)]
        pieces = [tensor.flatten() for layer in layers for tensor in (layer.weight.mT, layer.bias)]
        stack = self._stack[0]
        stack.theta.copy_(torch.cat(pieces)[None])
        return stack

    def _copy(self, stack: StackedMLP) -> None:
        """Take the weights of the stack."""
        layers = [layer for layer in cast(nn.Sequential, self.module) if isinstance(layer, nn.Linear)]
        for layer, (weight, bias) in zip(layers, stack.layers(), strict=True):
            layer.weight.copy_(weight[0].mT)
            layer.bias.copy_(bias[0, 0])

    def saved(self, member: int) -> Mapping[str, Tensor]:
        """Return the state of the stack, or of a network of the user's own."""
        stack = self.stacked()
        return self.state_dict() if stack is None else stack.saved(member)
