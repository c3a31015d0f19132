"""A card that is pretended: its tensors compute on the processor, but obey the rules of a device.

An operation on tensors of both devices is an error, except where CUDA allows it, and so is `numpy` of a tensor that is
on the card. With `pytest --accelerator pretended` runs are trained on it, so that a tensor that is left on the wrong
device is found without a card.
"""

from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

aten = torch.ops.aten
INDEXED = (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_)
COPIED = (aten.copy_, aten._to_copy)

torch._C._set_only_lift_cpu_tensors(True)  # so that `torch.tensor(1, device="card")` is seen
_setup_privateuseone_for_python_backend("card")
CARD = torch.device("card:0")


class OnCard(Tensor):
    """A tensor on the card, with what it holds on the processor."""

    inner: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner):
        layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
        tensor = Tensor._make_wrapper_subclass(cls, inner.shape, device=CARD, **layout)
        tensor.inner = inner
        return tensor

    def tolist(self):
        return self.inner.tolist()

    def __repr__(self):
        return f"OnCard({self.inner})"

    def __reduce_ex__(self, protocol):
        return self.inner.__reduce_ex__(protocol)  # a file is read on the processor

    def __deepcopy__(self, memo):
        copied = OnCard(self.inner.clone())
        return nn.Parameter(copied, self.requires_grad) if isinstance(self, nn.Parameter) else copied

    @classmethod
    def __torch_dispatch__(cls, operation, types, arguments=(), options=None):
        return compute(operation, arguments, options or {})


def check(operation: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    """Raise a RuntimeError where CUDA would."""
    first, name = arguments[0], operation.overloadpacket
    if name in COPIED:
        return
    if name in INDEXED:  # an index may be on the processor, but not alone on the card
        others = [first, *arguments[2:3], *(part for part in arguments[1] if isinstance(part, OnCard))]
    else:
        others = tree_leaves((arguments, options))
    tensors = [part for part in others if isinstance(part, Tensor)]
    changed = str(operation).partition(".")[2].partition(".")[0].endswith("_")
    placed = {isinstance(part, OnCard) for part in tensors if part.ndim or (changed and part is first)}
    if len(placed) > 1:
        shapes = [(type(part).__name__, tuple(part.shape)) for part in tensors]
        raise RuntimeError(f"{operation}: tensors on the card and on the processor, {shapes}")


def compute(operation: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Compute an operation on the processor, and say where its result is."""
    given = [part for part in tree_leaves((arguments, options)) if isinstance(part, OnCard)]
    device, generator = options.get("device"), options.get("generator")
    on_card = bool(given) if device is None else torch.device(device).type == CARD.type
    if given:
        check(operation, arguments, options)
    if on_card and generator is not None:
        raise RuntimeError(f"{operation}: a generator of the processor for a tensor of the card")
    if operation.overloadpacket is aten.copy_:
        on_card = isinstance(arguments[0], OnCard)
    inside = tree_map(lambda part: part.inner if isinstance(part, OnCard) else part, (arguments, options))
    found = operation(*inside[0], **inside[1] | ({} if device is None else {"device": torch.device("cpu")}))
    if not on_card:
        return found
    found = tree_map(lambda part: OnCard(part) if isinstance(part, Tensor) else part, found)
    return return_and_correct_aliasing(operation, arguments, options, found) if given else found


class Card(TorchDispatchMode):
    """Within it tensors can be on the card."""

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        return compute(operation, arguments, options or {})


def trainer(accelerator: str = "auto", devices: int = 1, **options: Any) -> Trainer:
    """Return Lightning's Trainer, for the card if the accelerator is a GPU."""
    if accelerator != "gpu":
        return Trainer(accelerator=accelerator, devices=devices, **options)
    return Trainer(strategy=SingleDeviceStrategy(CARD, CPUAccelerator()), **options)


CPUAccelerator.setup_device = lambda accelerator, device: None  # it takes no other device
