"""Callbacks: the switch of lambda_d, the history, checkpoints, progress, and the end of a diverged run.

They act at the end of a block, when the module's `figures` hold the training and validation errors of that step. What
they remember is saved with the checkpoint, so that a resumed run equals an uninterrupted one.
"""

import io
import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, ProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins import TorchCheckpointIO
from torch import Tensor
from tqdm import tqdm

from runge.directories import write
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
        row = torch.stack([figure.to(torch.float64) for figure in module.figures.values()]).cpu()
        self.steps.append(int(module.step))
        self.rows.append(row)
        for logger, figures in zip(self.loggers, row.mT.tolist(), strict=True):
            known = {name: figure for name, figure in zip(self.keys, figures, strict=True) if figure == figure}
            write_scalars(logger, known, self.steps[-1])

    def member(self, index: int) -> dict[str, list[float]]:
        """One member's figures by key, `step` first."""
        table = torch.stack(self.rows)[:, :, index].mT.tolist() if self.rows else [[] for _ in self.keys]
        return {"step": list(map(float, self.steps))} | dict(zip(self.keys, table, strict=True))

    def diverged(self) -> list[bool]:
        """Whether each member's last training or validation loss is not finite."""
        losses = [self.keys.index(key(split, "loss")) for split in ("train", "val")]
        return (~self.rows[-1][losses].isfinite().all(0)).tolist()

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
        due = step >= module.max_steps or step // self.every > (step - module.steps_per_block) // self.every
        if due or trainer.should_stop:
            super().on_validation_end(trainer, pl_module)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the best score so far, also where the directory has been moved since."""

        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        paths = {name: here(state_dict[name]) for name in ("best_model_path", "kth_best_model_path", "last_model_path")}
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **paths, "best_k_models": best, "dirpath": self.dirpath})


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


class WholeFiles(TorchCheckpointIO):
    """Checkpoints that replace the one before only when they are complete, on whatever file system."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write the checkpoint."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write(Path(path), buffer.getvalue())


class StopOnSignal(Callback):
    """On Ctrl-C, or a request to terminate, end the block and save a checkpoint; on a second one, end at once."""

    def __init__(self) -> None:
        self.received = False
        self._previous: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen, in place of Lightning, which would end in the middle of things."""

        def stop(number: int, frame: object) -> None:
            if self.received:
                raise KeyboardInterrupt
            self.received = trainer.should_stop = True

        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen no more."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Listen no more."""
        self.on_train_end(trainer, pl_module)


class StopDiverged(Callback):
    """Stop when the loss of every member has ceased to be finite."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the losses."""
        module = _fitting(trainer, pl_module)
        losses = (key("train", "loss"), key("val", "loss"))
        if module is not None and not any(bool(module.figures[loss].isfinite().any()) for loss in losses):
            trainer.should_stop = True


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
