"""Callbacks: the switch of lambda_d, the history, checkpoints, progress, and the end of a diverged run.

They act at the end of a block, when the module's `figures` hold the training and validation errors of that step. What
they remember is saved with the checkpoint, so that a resumed run equals an uninterrupted one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, ProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from tqdm import tqdm

from runge.metrics import key
from runge.module import SobolevRegression
from runge.schedules import Plateau, TwoStage
from runge.tensorboard import write_scalars


class TwoStageSwitch(Callback):
    """Two-stage training: switch lambda_d on, member by member, when MSE_f has become stable.

    The step of the switch lies in the module's `switched_on`, from which lambda_d follows at every step.

    Args:
        schedule: when a member is due.
        members: the size of the stack.
    """

    def __init__(self, schedule: TwoStage, members: int) -> None:
        self.schedule = schedule
        self.plateau = Plateau.start(members)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the validation MSE_f, and switch on whoever is due."""
        module = _fitting(trainer, pl_module)
        if module is None or self.schedule.at_step is not None:
            return
        self.plateau = self.schedule.observe(self.plateau, module.figures[key("val", "mse_f")].cpu())
        switched_on = self.schedule.switch(self.plateau, int(module.step), module.switched_on.cpu())
        module.switched_on.copy_(switched_on)

    def state_dict(self) -> dict[str, Any]:
        """What is known of the validation MSE_f."""
        return self.plateau._asdict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what was known of the validation MSE_f."""
        self.plateau = Plateau(**state_dict)


class History(Callback):
    """Keep the figures of every block's end, and show them in TensorBoard.

    Args:
        loggers: each member's TensorBoard logger.
    """

    def __init__(self, loggers: Sequence[TensorBoardLogger]) -> None:
        self.loggers = loggers
        self.keys: list[str] = []
        self.steps: list[int] = []
        self.rows: list[Tensor] = []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add a row."""
        module = _fitting(trainer, pl_module)
        if module is None:
            return
        self.keys = list(module.figures)
        # One transfer for all figures: a device is asked once a block.
        row = torch.stack(list(module.figures.values())).to("cpu", torch.float64)
        self.steps.append(int(module.step))
        self.rows.append(row)
        for logger, figures in zip(self.loggers, row.mT.tolist(), strict=True):
            known = {name: figure for name, figure in zip(self.keys, figures, strict=True) if figure == figure}
            write_scalars(logger, known, self.steps[-1])

    def member(self, index: int) -> dict[str, list[float]]:
        """One member's figures by key, `step` first."""
        table = torch.stack(self.rows)[:, :, index].mT.tolist() if self.rows else [[] for _ in self.keys]
        return {"step": list(map(float, self.steps))} | dict(zip(self.keys, table, strict=True))

    def state_dict(self) -> dict[str, Any]:
        """All rows so far."""
        return {"keys": self.keys, "steps": self.steps, "rows": torch.stack(self.rows) if self.rows else None}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the rows of the checkpoint."""
        self.keys, self.steps = state_dict["keys"], state_dict["steps"]
        self.rows = [] if state_dict["rows"] is None else list(state_dict["rows"])


class Checkpoint(ModelCheckpoint):
    """A `ModelCheckpoint` that looks every so many steps, and at the last one.

    Args:
        every: steps between two looks.
        **kwargs: as `ModelCheckpoint`.
    """

    def __init__(self, every: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.every = every

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save where it is due."""
        module = _fitting(trainer, pl_module)
        if module is None:
            return
        step = int(module.step)
        if step >= module.max_steps or step // self.every > (step - module.steps_per_block) // self.every:
            super().on_validation_end(trainer, pl_module)


class StepStatus(Callback):
    """Tell how far the run is, whenever a checkpoint is saved.

    Args:
        report: what is called with the number of steps taken.
    """

    def __init__(self, report: Callable[[int], None]) -> None:
        self.report = report

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Report the step that is being saved."""
        assert isinstance(pl_module, SobolevRegression)
        self.report(int(pl_module.step))


class StopDiverged(Callback):
    """Stop when the loss of every member has ceased to be finite."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the losses."""
        module = _fitting(trainer, pl_module)
        if module is not None and bool(diverged(module).all()):
            trainer.should_stop = True


def diverged(module: SobolevRegression) -> Tensor:
    """Which members' training or validation loss is not finite, of shape (M,)."""
    return ~(module.figures[key("train", "loss")] + module.figures[key("val", "loss")]).isfinite()


class Progress(ProgressBar):
    """A bar that counts optimiser steps and shows both errors, lambda_d and the time left."""

    def __init__(self) -> None:
        super().__init__()
        self.bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar."""
        assert isinstance(pl_module, SobolevRegression)
        self.bar = tqdm(
            total=pl_module.max_steps,
            initial=int(pl_module.step),
            unit=" steps",
            dynamic_ncols=True,
            leave=False,
            desc="fit",
        )

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Move the bar."""
        module = _fitting(trainer, pl_module)
        if module is None or self.bar is None:
            return
        shown = {"mse_f": key("val", "mse_f"), "mse_df": key("val", "mse_df"), "lambda_d": "lambda_d"}
        figures = torch.stack([module.figures[name].nanmedian() for name in shown.values()]).tolist()
        self.bar.set_postfix({label: f"{x:.1e}" for label, x in zip(shown, figures, strict=True)}, refresh=False)
        self.bar.update(int(module.step) - self.bar.n)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close the bar."""
        self.on_train_end(trainer, pl_module)

    def disable(self) -> None:
        """Called by Lightning on all processes but the first, which do not exist here."""


def _fitting(trainer: pl.Trainer, module: pl.LightningModule) -> SobolevRegression | None:
    """The module while it is being fitted, not while it is only validated."""
    return module if trainer.state.fn == "fit" and isinstance(module, SobolevRegression) else None
