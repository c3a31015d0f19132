"""From a configuration to a finished run directory: the only place that seeds."""

import logging
import math
import time
import warnings
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import TensorBoardLogger

from runge import losses, results, tensorboard
from runge.callbacks import (
    Checkpoint,
    History,
    Progress,
    StepStatus,
    StopDiverged,
    StopOnSignal,
    TwoStageSwitch,
    WholeFiles,
)
from runge.configuration import build, section, take
from runge.data import SobolevDataModule
from runge.directories import RunDirectory, Status, write
from runge.errors import ConfigurationError, RunError
from runge.function import load
from runge.module import SobolevRegression
from runge.network import StackedMLP
from runge.optimizers import Optimizer
from runge.sampling import Sampling
from runge.schedules import Schedule, TwoStage
from runge.settings import Loss, Seed, Training
from runge.targets import Target

_THREADS = torch.get_num_threads()
_ONE_THREAD = 2**17
"""Below so many neuron values in a layer a second thread costs more than it brings."""

_OF_NO_USE = (
    "Checkpoint directory .* exists and is not empty",  # so it is where a run is resumed
    ".isinstance.treespec, LeafSpec.. is deprecated",  # Lightning 2.6 on torch 2.13
)
"""Warnings of Lightning that its user can do nothing about."""


class Experiment:
    """All that a configuration describes, made and checked before anything is trained.

    Args:
        configuration: plain data with the sections of `conf/config.yaml`.
        overrides: what of it was asked for, which names the run in TensorBoard.

    Raises:
        ConfigurationError: a key is unknown or missing, or a value is not allowed.
    """

    def __init__(self, configuration: dict[str, Any], overrides: Sequence[str] = ()) -> None:
        self._began = time.perf_counter()
        self.configuration, self.overrides = configuration, list(overrides)
        sections = dict(configuration)
        seed = build("", {"seed": take(sections, "seed")}, Seed)
        data = section("data", take(sections, "data"))
        data_seed = take(data, "seed")
        self.training = build("trainer", take(sections, "trainer"), Training)
        if self.training.accelerator == "gpu" and not torch.cuda.is_available():
            raise ConfigurationError("trainer.accelerator: must be auto or cpu where there is no GPU, got 'gpu'")
        self.dtype = torch.float32 if self.training.precision == 32 else torch.float64
        loss = build("loss", take(sections, "loss"), Loss)
        schedule = build("schedule", take(sections, "schedule"), Schedule)
        self.target = build("target", take(sections, "target"), Target)
        self.data = build(
            "data",
            data,
            SobolevDataModule,
            targets=[self.target],
            samplings=[build("sampling", take(sections, "sampling"), Sampling)],
            generators=[(seed if data_seed is None else build("data", {"seed": data_seed}, Seed)).generator("data")],
            sample_weight=loss.sample_weight,
            dtype=self.dtype,
            blocks=math.ceil(self.training.max_steps / self.training.log_every),
        )
        optimizer = build("optimizer", take(sections, "optimizer"), Optimizer)
        if self.data.minibatches is not None and not optimizer.elementwise:
            raise ConfigurationError(f"data.batch_size: must be null with {type(optimizer).__name__}")
        network = build(
            "model",
            take(sections, "model"),
            StackedMLP,
            domains=self.target.domain[None],
            generators=[seed.generator("weights")],
            dtype=self.dtype,
        )
        self.module = SobolevRegression(
            network,
            scale=losses.derivative_scale(loss.derivative_scale, self.data.dataset.train),
            lambda_d=torch.tensor([loss.lambda_d], dtype=torch.float64),
            schedule=schedule,
            optimizer=optimizer,
            max_steps=self.training.max_steps,
            steps_per_block=self.training.log_every,
            diagnostics_every=self.training.diagnostics_every,
            configuration=configuration,
        )
        if sections:
            known = ", ".join(configuration.keys() - sections.keys())
            raise ConfigurationError(f"{', '.join(sections)}: there is no such key; there are {known}")

    def fit(self, directory: RunDirectory, *, resume: bool = False) -> dict[str, float | int | None]:
        """Train, and write the run's directory.

        Args:
            directory: where to.
            resume: whether to go on from the directory's last checkpoint.

        Returns:
            The content of `metrics.json`, of the weights with the lowest validation loss.

        Raises:
            RunError: the training diverged.
        """
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it advertises
        started = time.perf_counter()
        step = int(torch.load(directory.last, weights_only=True)["state_dict"]["step"]) if resume else 0
        logger = TensorBoardLogger(
            directory.path, name=directory.tensorboard.name, version="", default_hp_metric=False, purge_step=step + 1
        )
        history, stop = History([logger]), StopOnSignal()
        directory.write_status("running", step)
        try:
            with warnings.catch_warnings():
                for message in _OF_NO_USE:
                    warnings.filterwarnings("ignore", message)
                trainer = self._trainer(directory, logger, history, stop)
                trainer.fit(self.module, self.data, ckpt_path=directory.last if resume else None, weights_only=True)
            if stop.received and int(self.module.step) < self.training.max_steps:
                raise KeyboardInterrupt
            if any(history.diverged()):
                how = "try a smaller optimizer.lr or loss.lambda_d, or optimizer.clip_norm"
                raise RunError(f"diverged: the loss is not finite at step {int(self.module.step)}; {how}")
            seconds = {"seconds/fit": time.perf_counter() - started}
            metrics = self._finish(directory, history, logger)
        except RunError as error:
            self._leave(directory, history, logger, "diverged", str(error))
            raise
        except (KeyboardInterrupt, SystemExit) as error:  # the latter from Lightning, on a second Ctrl-C
            how = f"continue with resume={directory.path}" if directory.last.exists() else "no checkpoint was saved"
            self._leave(directory, history, logger, "interrupted", how)
            # No exception that Hydra would catch, which would go on with the next run of a sweep.
            raise SystemExit(f"error: interrupted at step {int(self.module.step)}; {how}") from error
        except Exception as error:
            self._leave(directory, history, logger, "failed", f"{type(error).__name__}: {error}")
            raise
        seconds["seconds/total"] = time.perf_counter() - self._began
        directory.write_status("finished", int(self.module.step))
        directory.write_metrics(metrics | seconds)
        if stop.received:  # in the last block: the run is whole, but no other shall follow
            raise SystemExit(f"error: interrupted after the last step; the run is finished, see {directory.path}")
        return metrics | seconds

    def _trainer(
        self, directory: RunDirectory, logger: TensorBoardLogger, history: History, stop: StopOnSignal
    ) -> pl.Trainer:
        training, schedule = self.training, self.module.schedule
        saved: dict[str, Any] = {
            "every": training.checkpoint_every,
            "dirpath": directory.best.parent,
            "enable_version_counter": False,
            "save_on_train_epoch_end": False,  # but after the validation, whose result it saves
        }
        callbacks: list[pl.Callback] = [
            *([TwoStageSwitch(schedule, members=1)] if isinstance(schedule, TwoStage) else []),
            history,
            *([Progress()] if training.progress_bar else []),
            StopDiverged(),
            stop,
            StepStatus(lambda step: directory.write_status("running", step)),
            Checkpoint(filename=directory.best.stem, monitor="val/loss", **saved),
            Checkpoint(filename=directory.last.stem, **saved),
        ]
        cuda = training.accelerator != "cpu" and torch.cuda.is_available()
        neurons = self.data.dataset.train.x[..., 0].numel() * self.configuration["model"]["width"]
        torch.set_num_threads(1 if neurons * (1 + self.target.dimension) < _ONE_THREAD else _THREADS)
        return pl.Trainer(
            accelerator="gpu" if cuda else "cpu",
            devices=1,
            logger=logger,
            callbacks=callbacks,
            plugins=[WholeFiles()],
            max_epochs=1,
            max_steps=training.max_steps,
            val_check_interval=1,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            enable_progress_bar=training.progress_bar,
            enable_model_summary=False,
            inference_mode=False,  # it forbids the derivative by autograd
            use_distributed_sampler=False,
            default_root_dir=directory.path,
        )

    def _leave(
        self, directory: RunDirectory, history: History, logger: TensorBoardLogger, status: Status, message: str
    ) -> None:
        """Put down what there is of a run that did not finish."""
        step = int(self.module.step)
        if history.steps:
            directory.write_history(history.member(0))
        tensorboard.write_hyperparameters(logger, self._name(directory), self.configuration, None, step)
        logger.finalize("failed")
        directory.write_status(status, step, message)

    def _name(self, directory: RunDirectory) -> str:
        """What the run is called in TensorBoard: what was asked for, and where it lies."""
        return " ".join([*self.overrides, f"({'/'.join(directory.path.resolve().parts[-2:])})"])

    def _finish(self, directory: RunDirectory, history: History, logger: TensorBoardLogger) -> results.Metrics:
        """Judge the best weights and write everything but the last two files."""
        module, data, columns = self.module, self.data.dataset, history.member(0)
        module.network.load_state_dict(load(directory.path).network.state_dict())
        metrics = results.final_metrics(module, data)
        title = self._title()
        fit = results.fit_picture(module, data, title)
        curves = results.curves_picture(module, columns, data.test.regions, title)
        directory.write_history(columns)
        write(directory.fit_figure, fit)
        write(directory.curves_figure, curves)
        step = int(module.step)
        tensorboard.write_pictures(logger, {"fit": fit, "curves": curves}, step)
        tensorboard.write_hyperparameters(logger, self._name(directory), self.configuration, metrics, step)
        logger.finalize("success")
        return metrics

    def _title(self) -> str:
        """What the pictures are headed with."""
        model, loss = self.configuration["model"], self.configuration["loss"]
        what = getattr(self.target, "expr", type(self.target).__name__)
        where = self.configuration["sampling"]["_target_"].rpartition(".")[2].lower()
        return (
            f"{what}, {where} sampling: {model['activation']} {model['depth']} × {model['width']}, "
            rf"$\lambda_d$ = {loss['lambda_d']:g}, seed {self.configuration['seed']}"
        )
