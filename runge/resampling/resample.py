"""A callback that moves the training points during the training.

The points are saved, and the random numbers follow from the step, so that a resumed run equals an uninterrupted one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from runge.records.metrics import share_key
from runge.resampling import Periodic
from runge.sampling import Sampling
from runge.sobolev import losses


class Resample(pl.Callback):
    """A callback that moves each member's training points by a rule, and logs the share of each region.

    It acts on a `runge.training.module.SobolevRegression`, which is above this package, as its data are.

    Args:
        resampling: the rule.
        data: the points, a `runge.training.datamodule.SobolevDataModule`.
        generators: each returns a member's source of randomness at a step.

    Attributes:
        steps: the steps at which the points were placed.
        nodes: the points from each of these steps on, (M, N, D).
    """

    def __init__(self, resampling: Periodic, data: Any, generators: Sequence[Callable[[int], torch.Generator]]) -> None:
        self.resampling, self.data = resampling, data
        self.generators = generators
        self.steps, self.nodes = [0], [self._nodes()]

    def at_block_end(self, module: Any) -> None:
        """Log the shares, and move the points if the rule is due."""
        train = self.data.dataset.train
        shares = train.masks[:, 1:].double().mean(2).unbind(1)
        module.figures.update({share_key(region): share for region, share in zip(train.regions, shares, strict=True)})
        if self.resampling.due(module.block_start, int(module.step)) and not module.is_over:
            self._place(module)

    def _place(self, module: Any) -> None:
        step, rule = int(module.step), self.resampling
        targets = self.data.targets
        validation = self.data.in_units(self.data.dataset.val)
        samplings: dict[int, list[Sampling]] = {i: [] for i in range(len(targets))}
        scale, lambda_d = module.scale.double().cpu(), module.lambda_d.cpu()
        for nodes in zip(*map(self.data.nodes, range(len(targets))), strict=True):  # the same set of all members
            x = torch.stack([rule.looks_at(*places) for places in zip(targets, nodes, validation, strict=True)])
            points = self.data.labelled(x)
            u, du = (tensor.double().cpu() for tensor in module.network.predict(points.x.to(module.scale)))
            errors = losses.pointwise(u, du, points.f, points.df, scale, lambda_d)
            for i in list(samplings):
                if errors[i].isfinite().all():
                    samplings[i].append(rule.sampling(targets[i], nodes[i], x[i], errors[i]))
                else:  # a member that has diverged keeps its points
                    del samplings[i]
        self.data.resample(samplings, {i: self.generators[i](step) for i in samplings})
        module.reset_optimizer()
        self.steps.append(step)
        self.nodes.append(self._nodes())

    def _nodes(self) -> Tensor:
        train = self.data.dataset.train
        return self.data.in_units(train).to(train.x.dtype)

    def state_dict(self) -> dict[str, Any]:
        """Return the current points and all earlier ones, members in front."""
        nodes, points = torch.stack(self.nodes, dim=1), self.data.dataset.train.tensors()
        return {"steps": self.steps, "nodes": nodes, "points": points}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the points."""
        self.steps, self.nodes = list(state_dict["steps"]), list(state_dict["nodes"].unbind(1))
        self.data.set_train(state_dict["points"])
