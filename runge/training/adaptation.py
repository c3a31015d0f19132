"""Callbacks that change what is trained while it is trained: the balance of the two terms, and where the points lie.

As all callbacks they act at the end of a block. What they have found is saved, and chance follows from the step: a
resumed run equals an uninterrupted one.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from runge.balance import MEMORY, Balance, Look
from runge.metrics import TRAIN_LOSS, VAL_LOSS, key, share_key
from runge.resampling import Periodic
from runge.sampling import Sampling
from runge.schedules import Plateau, Schedule, TwoStage, alike
from runge.sobolev import losses
from runge.sobolev.points import Points
from runge.training.datamodule import SobolevDataModule
from runge.training.history import fitting
from runge.training.member import Seed
from runge.training.module import SobolevRegression


class Balancing(Callback):
    """Sets lambda_d, member by member, as a policy says.

    Args:
        balance: the policy.
        data: the points.
        seeds: each member's seed.
    """

    def __init__(self, balance: Balance, data: SobolevDataModule, seeds: Sequence[Seed]) -> None:
        self.balance, self.data, self.seeds = balance, data, seeds
        self.memory = torch.full((len(seeds), MEMORY), torch.nan, dtype=torch.float64)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the training, where it is time, and weigh anew."""
        module = fitting(trainer, pl_module)
        if module is None:
            return
        step, next_look = int(module.step), self.balance.next_look
        if not next_look(module.block_start) <= step < module.max_steps:
            return
        if next_look(module.stage() * module.steps_per_stage) > module.block_start:
            self.memory.fill_(torch.nan)  # the first look at this stage, which sees another function
        chance = torch.cat([torch.rand(1, generator=seed.generator("balance", step)) for seed in self.seeds])
        network, points = module.present(self.data.dataset.train)
        look = Look(network, points, module.scale, chance.to(module.scale.device))
        found, memory = self.balance.update(
            module.lambda_now, self.memory.to(module.lambda_now), lambda figure: getattr(look, figure)
        )
        before = module.lambda_now.clone()
        module.balance(found)
        self.memory = memory.cpu()
        if not torch.equal(before, module.lambda_now):
            module.reset_optimizers()
            module.rests_from.clamp_min_(next_look(step))

    def state_dict(self) -> dict[str, Any]:
        """What the policy remembers."""
        return {"memory": self.memory}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what the policy remembered."""
        self.memory = state_dict["memory"].clone()


class Resample(Callback):
    """Places the training points anew, member by member, as a rule says: sampling that corrects itself.

    The share of the points in each region is logged as `share/{region}`.

    Attributes:
        steps: the step from which on the points lay where they did, for each time.
        nodes: the points of each time, (M, N, D).

    Args:
        resampling: the rule.
        data: the points.
        seeds: each member's seed of the data.
    """

    def __init__(self, resampling: Periodic, data: SobolevDataModule, seeds: Sequence[Seed]) -> None:
        self.resampling, self.data, self.seeds = resampling, data, seeds
        self.steps, self.nodes = [0], [data.dataset.train.x.cpu()]

    @property
    def state_key(self) -> str:
        """Return the callback's name in checkpoints, which is that of version 0.1: its runs must resume."""
        return "Correction"

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell where the points lay, and where it is time place them anew."""
        module = fitting(trainer, pl_module)
        if module is None:
            return
        train = self.data.dataset.train
        shares = train.masks[:, 1:].double().mean(2).unbind(1)
        module.figures |= {share_key(region): share for region, share in zip(train.regions, shares, strict=True)}
        step = int(module.step)
        if step < module.max_steps and self.resampling.due(module.block_start, step):
            self._place(module)

    def _place(self, module: SobolevRegression) -> None:
        step, rule, targets = int(module.step), self.resampling, self.data.targets
        validation = self.data.dataset.val.x.double().cpu()
        found: dict[int, list[Sampling]] = {i: [] for i in range(len(targets))}
        for nodes in zip(*map(self.data.nodes, found), strict=True):  # the same set of all members
            x = torch.stack([rule.looks_at(targets[i], nodes[i], validation[i]) for i in range(len(targets))])
            errors = self._errors(module, x)
            for i in list(found):
                if errors[i].isfinite().all():
                    found[i].append(rule.sampling(targets[i], nodes[i], x[i], errors[i]))
                else:  # a member that has diverged keeps its points
                    del found[i]
        self.data.resample(found, {i: self.seeds[i].generator("resampling", step) for i in found})
        module.reset_optimizers()
        self.steps.append(step)
        self.nodes.append(self.data.dataset.train.x.cpu())

    def _errors(self, module: SobolevRegression, x: Tensor) -> Tensor:
        """|r| at points of shape (M, K, D), of shape (M, K), in float64."""
        u, du = (part.double().cpu() for part in module.predict(x.to(module.scale)))
        f = torch.stack([target.value(some) for target, some in zip(self.data.targets, x, strict=True)])
        df = torch.stack([target.derivative(some) for target, some in zip(self.data.targets, x, strict=True)])
        return losses.pointwise(u, du, f, df, module.scale.double().cpu(), module.lambda_d.cpu())

    def member(self, index: int) -> list[tuple[int, Tensor]]:
        """From which step on one member's points lay where, (N, D)."""
        return [(step, nodes[index]) for step, nodes in zip(self.steps, self.nodes, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """The points as they are, and where they have been, members in front."""
        return {
            "steps": self.steps,
            "nodes": torch.stack(self.nodes, dim=1),
            "points": self.data.dataset.train.tensors(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Put the points where they were."""
        self.steps, self.nodes = list(state_dict["steps"]), list(state_dict["nodes"].unbind(1))
        train: Points = self.data.dataset.train
        tensors = {name: state_dict["points"][name].to(tensor) for name, tensor in train.tensors().items()}
        self.data.dataset = self.data.dataset._replace(train=replace(train, **tensors))


class TwoStageSwitch(Callback):
    """Two-stage training: switch lambda_d on, member by member, when MSE_f has become stable.

    The step of the switch lies in the module's `switched_on`, from which lambda_d follows at every step.

    Args:
        schedules: when each member is due.
    """

    def __init__(self, schedules: Sequence[Schedule]) -> None:
        found = alike(schedules).items()
        self.waiting = {s: members for s, members in found if isinstance(s, TwoStage) and s.at_step is None}
        self.plateau = Plateau.start(len(schedules))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the validation MSE_f, and switch on whoever is due."""
        module = fitting(trainer, pl_module)
        if module is None:
            return
        value, switched_on = module.figures[key("val", "mse_f")].cpu(), module.switched_on.cpu()
        for schedule, members in self.waiting.items():
            before = Plateau(*(state[members] for state in self.plateau))
            after = schedule.observe(before, value[members])
            for state, new in zip(self.plateau, after, strict=True):
                state[members] = new
            switched_on[members] = schedule.switch(after, int(module.step), switched_on[members])
        module.switched_on.copy_(switched_on)

    def state_dict(self) -> dict[str, Any]:
        """What is known of the validation MSE_f."""
        return self.plateau._asdict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what was known of the validation MSE_f."""
        self.plateau = Plateau(**{name: state.clone() for name, state in state_dict.items()})


class StopEarly(Callback):
    """Stop when no further step would change a thing, or no member has a finite loss.

    That a run has ended is saved with it, so that it does not go on when it is resumed.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take no step where the run had ended."""
        assert isinstance(pl_module, SobolevRegression)
        trainer.should_stop = bool(pl_module.ended)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the losses, and ask the module."""
        module = fitting(trainer, pl_module)
        if module is None:
            return
        if module.at_rest() or not any(bool(module.figures[loss].isfinite().any()) for loss in (TRAIN_LOSS, VAL_LOSS)):
            module.ended.fill_(True)
            trainer.should_stop = True
