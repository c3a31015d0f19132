"""Any optimiser of torch, or one derived from `torch.optim.Optimizer`."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import Parameter

from runge.optimizers.gradient import Gradient
from runge.schedules import LearningRateSchedule
from runge.validation import Positive, checked

__all__ = ["TorchOptimizer", "adapt"]

ELEMENTWISE = frozenset(
    getattr(torch.optim, name)
    for name in ("Adadelta", "Adagrad", "Adam", "Adamax", "AdamW", "ASGD", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD")
)
"""The elementwise optimisers of torch."""


@checked
class TorchOptimizer(Gradient):
    """An optimiser of torch: `_target_` names the class, and the other keys are its own parameters.

    The members of a stack are independent if the class is known to work elementwise: those of `ELEMENTWISE`, and any
    class with an attribute `elementwise = True`. With any other each run is trained alone.

    Attributes:
        kind: the class.
        parameters: its own parameters, except the learning rate.
        lr: the learning rate, > 0; if it is not given, that of the class.
        lr_schedule: `constant`, or `cosine`, to zero at the last step.

    Example:
        >>> method = adapt(torch.optim.RMSprop)(lr=0.001, alpha=0.9)
        >>> method.parameters, method.keeps_apart, adapt(torch.optim.Muon)(lr=0.1).keeps_apart
        ({'alpha': 0.9}, True, False)
    """

    kind: type[torch.optim.Optimizer]
    parameters: dict[str, Any]
    lr_schedule: LearningRateSchedule = "constant"
    clip_norm: Positive | None = None

    def __post_init__(self) -> None:
        if issubclass(self.kind, torch.optim.LBFGS):
            raise ValueError("_target_: must be runge.optimizers.LBFGS, which forgets the curvature of another loss")
        try:
            self.build([Parameter(torch.zeros(1, 2))])
        except Exception as error:  # a user's class may raise anything
            raise ValueError(f"_target_: {self.kind.__name__} does not accept its parameters ({error})") from error

    @property
    def keeps_apart(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """True if the members of a stack do not affect each other."""
        return self.kind in ELEMENTWISE or getattr(self.kind, "elementwise", False) is True

    def build(self, parameters: Any) -> torch.optim.Optimizer:
        """Return an object of the class."""
        make: Any = self.kind
        return make(parameters, lr=self.lr, **self.parameters)


def adapt(kind: type) -> Callable[..., TorchOptimizer] | None:
    """Return what makes a `TorchOptimizer` from the parameters of a class of torch; None for any other class."""
    if not issubclass(kind, torch.optim.Optimizer):
        return None
    own = {name: one for name, one in inspect.signature(kind).parameters.items() if name != "params"}
    named = [one for one in own.values() if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    rate = own["lr"].default if "lr" in own else inspect.Parameter.empty
    shared = {"lr": rate, "lr_schedule": "constant", "clip_norm": None}

    def make(**values: Any) -> TorchOptimizer:
        settings = {key: values.pop(key, default) for key, default in shared.items()}
        return TorchOptimizer(kind=kind, parameters=values, **settings)

    parameters = {one.name: one.replace(kind=one.KEYWORD_ONLY) for one in named}
    parameters |= {key: inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=x) for key, x in shared.items()}
    make.__signature__ = inspect.Signature(list(parameters.values()))  # pyright: ignore[reportFunctionMemberAccess]
    return make
