"""Optimisers of torch: L-BFGS, and any class of a user's choice."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from runge.configuration.errors import ConfigurationError, describe
from runge.configuration.validation import Count, Positive, checked
from runge.optimizers.gradient import Gradient
from runge.optimizers.optimizer import Needs, Optimizer, Problem
from runge.schedules import LearningRateSchedule
from runge.sobolev.network import StackedMLP

__all__ = ["LBFGS", "OwnOptimizer", "TorchOptimizer", "adapt"]

ELEMENTWISE = frozenset(
    getattr(torch.optim, name)
    for name in ("Adadelta", "Adagrad", "Adam", "Adamax", "AdamW", "ASGD", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD")
)
"""The elementwise optimisers of torch."""

# The factor of the loss that torch's L-BFGS sees, with the same minimisers; a power of two adds no round-off. Torch
# ignores each pair of a step s and a change of the gradient y with s^T y <= 1e-10: nearly all once the loss is about
# 1e-6. In 32 bit the round-off of the loss ends the line search before that, and the line search would overflow.
_LOSS_SCALE = {torch.float32: 1.0, torch.float64: 2.0**40}


@checked
class LBFGS(Gradient):
    """Limited-memory BFGS with a strong Wolfe line search, one iteration per step, for a single member.

    Attributes:
        history_size: the number of past updates in the curvature estimate, >= 1.
        max_eval: the most evaluations of the loss per step, >= 1.

    Raises:
        ValueError: a parameter is outside its range, or `clip_norm` is not None: the line search needs the gradient.

    References:
        D. C. Liu, J. Nocedal (1989). On the limited memory BFGS method for large scale optimization.
        https://doi.org/10.1007/BF01589116
    """

    history_size: Count
    max_eval: Count

    keeps_apart: ClassVar[bool] = False
    demands: ClassVar[Needs] = {
        "data.batch_size": (None,),  # every step must see the same loss
        "trainer.loop": ("blocks",),  # its steps are on a multiple of the loss
    }

    def __post_init__(self) -> None:
        if self.clip_norm is not None:
            raise ValueError(f"clip_norm: must be null (the line search needs the full gradient); got {self.clip_norm}")

    def build(self, parameters: Iterable[Parameter]) -> torch.optim.Optimizer:
        """Return a `torch.optim.LBFGS`."""
        limits: Any = {"max_iter": 1, "max_eval": self.max_eval, "history_size": self.history_size}
        limits |= {"tolerance_grad": 0, "tolerance_change": 0, "line_search_fn": "strong_wolfe"}
        return torch.optim.LBFGS(parameters, self.lr, **limits)

    def step(self, optimizer: torch.optim.Optimizer, problem: Problem, progress: float) -> None:
        """Take a step; in 64 bit on the loss times 2^40."""
        scale = _LOSS_SCALE[problem.network.theta.dtype]

        def scaled(*arguments: Any) -> tuple[Tensor, Tensor]:
            loss, gradient = problem.function(*arguments)
            return scale * loss, scale * gradient

        super().step(optimizer, replace(problem, function=scaled), progress)

    def reset(self, optimizer: torch.optim.Optimizer) -> None:
        """Discard the curvature estimate, which belongs to the previous loss."""
        optimizer.state.clear()


@checked
class TorchOptimizer(Gradient):
    """An optimiser of torch: `_target_` names the class, and the other keys are its own parameters.

    The members of a stack are independent if the class is known to work elementwise: those of `ELEMENTWISE`, and any
    class with an attribute `elementwise = True`. With any other each run is trained alone, and the class gets the
    matrix, (in, out), and the bias, (out,), of each layer, because it may use their shapes.

    Raises:
        ValueError: the class does not accept its parameters, or is torch's L-BFGS, whose curvature is that of an
            earlier loss.
    """

    kind: type[torch.optim.Optimizer]
    parameters: dict[str, Any]  # except the learning rate
    lr_schedule: LearningRateSchedule = "constant"
    clip_norm: Positive | None = None

    def __post_init__(self) -> None:
        if issubclass(self.kind, torch.optim.LBFGS):
            raise ValueError(
                "_target_: torch's LBFGS keeps the curvature of an earlier loss; use runge.optimizers.LBFGS"
            )
        try:
            self.build([Parameter(torch.zeros(1, 2)), *([] if self.keeps_apart else [Parameter(torch.zeros(2))])])
        except Exception as error:  # a user's class may raise anything
            what = f"{self.kind.__name__} does not accept its parameters ({error})"
            raise ValueError(f"_target_: {what}; a function of the network may give it some of them") from error

    @property
    def keeps_apart(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """True if the members of a stack do not affect each other."""
        return self.kind in ELEMENTWISE or getattr(self.kind, "elementwise", False) is True

    def weights(self, network: StackedMLP) -> list[Parameter]:
        """Return the weights of all members, or of a single one its layers, views that the class changes in place."""
        if self.keeps_apart:
            return super().weights(network)
        return [Parameter(tensor) for tensor in _by_layer(network, network.theta.detach())]

    def build(self, parameters: Any) -> torch.optim.Optimizer:
        """Return an object of the class."""
        optimizer = self.kind(parameters, lr=self.lr, **self.parameters)  # pyright: ignore[reportCallIssue]
        _keep_precision(optimizer)
        return optimizer

    def set_gradient(self, optimizer: torch.optim.Optimizer, problem: Problem, gradient: Tensor) -> None:
        """Set the gradient, (M, W), of what `weights` returned."""
        if self.keeps_apart:
            super().set_gradient(optimizer, problem, gradient)
            return
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        for weight, slope in zip(weights, _by_layer(problem.network, gradient), strict=True):
            weight.grad = slope


def _keep_precision(optimizer: torch.optim.Optimizer) -> None:
    """Let state keep its precision when it is restored; torch changes it to that of the weights.

    Without this a run in 64 bit with `NAdam`, whose product of momenta has 32 bit, would resume to other bits.
    """
    precisions = dict[tuple[int, str], torch.dtype]()

    def note(_: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
        precisions.clear()  # those of an earlier restored state
        for number, state in saved["state"].items():
            tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
            precisions.update({(number, name): tensor.dtype for name, tensor in tensors.items()})

    def restore(optimizer: torch.optim.Optimizer) -> None:
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for (number, name), precision in precisions.items():
            state = optimizer.state[parameters[number]]
            state[name] = state[name].to(precision)

    optimizer.register_load_state_dict_pre_hook(note)
    optimizer.register_load_state_dict_post_hook(restore)


def _by_layer(network: StackedMLP, flat: Tensor) -> list[Tensor]:
    """Return views of the only member's W, (in, out), and b, (out,), of each layer."""
    return [tensor for weight, bias in network.layers(flat) for tensor in (weight[0], bias[0, 0])]


@checked
class OwnOptimizer(Gradient):
    """A function of the user's own that returns a torch optimiser of a network, perhaps with groups of parameters.

    `_target_` names the function. It is called with the network, a `torch.nn.Module`, and the section's other keys. It
    may return what `configure_optimizers` of a LightningModule may return, with `lr_schedule=constant`.
    """

    function: Callable[..., Any]
    parameters: dict[str, Any]
    lr: Positive = 1.0  # of `parameters`, if the function has one
    lr_schedule: LearningRateSchedule = "constant"
    clip_norm: Positive | None = None

    def of_torch(self, network: nn.Module) -> Any:
        """Return what the function returns, an optimiser, or with a constant rate what Lightning takes."""
        try:
            made = self.function(network, **self.parameters)
        except Exception as error:  # a user's function may raise anything
            what = f"{self.function.__name__} makes no optimizer of {type(network).__name__} ({describe(error)})"
            raise ConfigurationError(f"optimizer._target_: {what}") from error
        if made is None or (self.lr_schedule != "constant" and not isinstance(made, torch.optim.Optimizer)):
            rule = "must return an optimizer of torch, or with optimizer.lr_schedule=constant what Lightning takes"
            raise ConfigurationError(f"optimizer._target_: {self.function.__name__} {rule}; got {type(made).__name__}")
        return made


def adapt(kind: Any) -> Callable[..., Optimizer] | None:
    """Return what makes an optimiser from the parameters of a class of torch, or of a function; None: it is neither."""
    if inspect.isfunction(kind):
        return _adapt_function(kind)
    if not (inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer)):
        return None
    accepted = {name: parameter for name, parameter in inspect.signature(kind).parameters.items() if name != "params"}
    by_name = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    named = [parameter for parameter in accepted.values() if parameter.kind in by_name]
    rate = accepted["lr"].default if "lr" in accepted else inspect.Parameter.empty
    shared = {"lr": rate, "lr_schedule": "constant", "clip_norm": None}

    def make(**values: Any) -> TorchOptimizer:
        settings = {key: values.pop(key, default) for key, default in shared.items()}
        return TorchOptimizer(kind=kind, parameters=values, **settings)

    parameters = {parameter.name: parameter.replace(kind=parameter.KEYWORD_ONLY) for parameter in named}
    parameters |= {key: inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=x) for key, x in shared.items()}
    make.__signature__ = inspect.Signature(list(parameters.values()))  # pyright: ignore[reportFunctionMemberAccess]
    return make


_SHARED = ("lr_schedule", "clip_norm")
"""The keys of a `Gradient` that an optimiser made by a function has, too."""


def _adapt_function(function: Callable[..., Any]) -> Callable[..., OwnOptimizer]:
    """Return what makes an `OwnOptimizer` from the keywords of a function, whose first argument is the network."""
    own = list(inspect.signature(function).parameters.values())[1:]
    names = {parameter.name for parameter in own}

    def make(**values: Any) -> OwnOptimizer:
        parameters = {name: values[name] for name in values if name in names}
        shared = {name: values[name] for name in values if name not in names or name == "lr"}
        return OwnOptimizer(function=function, parameters=parameters, **shared)

    shared = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in _SHARED]
    by_name = {value.name: value.replace(kind=inspect.Parameter.KEYWORD_ONLY) for value in (*shared, *own)}
    make.__signature__ = inspect.Signature(list(by_name.values()))  # pyright: ignore[reportFunctionMemberAccess]
    return make
