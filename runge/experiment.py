"""From configurations to finished run directories: the only place that seeds."""

import logging
import time
import warnings
from collections.abc import Callable, Sequence

import lightning.pytorch as pl
import torch

from runge import losses, machine, results
from runge.callbacks import (
    Curves,
    History,
    Progress,
    Report,
    Save,
    StopAtRest,
    StopDiverged,
    StopOnSignal,
    TwoStageSwitch,
)
from runge.checkpoints import MemberFiles
from runge.compilation import compiled
from runge.configuration import build
from runge.data import SobolevDataModule
from runge.directories import RunDirectory, Status, write
from runge.errors import RunError
from runge.function import steps_taken
from runge.member import Member
from runge.module import SobolevRegression
from runge.stages import ResidualStages
from runge.tensorboard import EventFile, hyperparameters, pictures

_OF_NO_USE = ".isinstance.treespec, LeafSpec.. is deprecated"
"""What Lightning 2.6 makes torch 2.13 warn of: its user can do nothing about it."""

Outcome = results.Metrics | RunError
"""What becomes of a run: the content of its `metrics.json`, or why it has none."""


class Experiment:
    """A stack of runs with their data and weights, made and checked before anything is trained.

    Args:
        members: the runs; what `Member.shared` tells is equal in all of them.

    Raises:
        ConfigurationError: a size or a value is not allowed.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self._began = time.perf_counter()
        self.members = list(members)
        first = self.members[0]
        self.training = first.training
        dtype = torch.float32 if self.training.precision == 32 else torch.float64
        self.data = build(
            "data",
            first.data,
            SobolevDataModule,
            targets=[member.target for member in members],
            samplings=[member.sampling for member in members],
            generators=[member.data_seed.generator("data") for member in members],
            sample_weights=[member.loss.sample_weight for member in members],
            dtype=dtype,
        )
        network = build(
            "model",
            first.model,
            ResidualStages,
            domains=torch.stack([member.target.domain for member in members]),
            generators=[member.seed.generator("weights") for member in members],
            dtype=dtype,
        )
        train = self.data.dataset.train
        kinds: list[losses.DerivativeScale] = [member.loss.derivative_scale for member in members]
        scales = {kind: losses.derivative_scale(kind, train) for kind in dict.fromkeys(kinds)}
        lambda_d = torch.tensor([member.loss.lambda_d for member in members], dtype=torch.float64)
        self._neurons = len(self.members) * self.data.batch * (1 + first.target.dimension) * first.model["width"]
        phases = first.optimizer.phases(self.training.max_steps)
        gradient_steps = sum(phase.steps for phase in phases if phase.method.by_gradient)
        loss_and_gradient = build(
            "trainer",
            {"compile": self.training.compile},
            compiled,
            derivative=first.model["derivative"],
            neurons=self._neurons * first.model["depth"],
            steps=gradient_steps,
            with_derivative=bool(lambda_d.any()),
        )
        self.module = SobolevRegression(
            network,
            scale=torch.stack([scales[kind][i] for i, kind in enumerate(kinds)]),
            lambda_d=lambda_d,
            schedules=[member.schedule for member in members],
            optimizer=first.optimizer,
            max_steps=self.training.max_steps,
            steps_per_block=self.training.log_every,
            diagnostics_every=self.training.diagnostics_every,
            loss_and_gradient=loss_and_gradient,
        )

    def fit(
        self,
        directories: Sequence[RunDirectory],
        *,
        resume: bool = False,
        report: Callable[[int], object] | None = None,
    ) -> list[Outcome]:
        """Train, and write the runs' directories.

        Args:
            directories: where to.
            resume: whether to go on from the directories' last checkpoints.
            report: what is called with the number of steps taken since the last time, in place of a progress bar.

        Returns:
            For each run the content of its `metrics.json`, of the weights with the lowest validation loss; or an error,
            where it diverged.

        Raises:
            SystemExit: it was interrupted.
        """
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it advertises
        started = time.perf_counter()
        step = steps_taken(directories[0].last) if resume else 0
        files = [EventFile(directory.tensorboard, purge_step=step + 1) for directory in directories]
        history, stop = History(), StopOnSignal()
        written = _Directories(self, directories, files, history)
        written.status("running", step)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", _OF_NO_USE)
                trainer = self._trainer(written, history, stop, report)
                trainer.fit(
                    self.module, self.data, ckpt_path=directories[0].last if resume else None, weights_only=True
                )
            if stop.received and int(self.module.step) < self.training.max_steps:
                raise KeyboardInterrupt
            outcomes = written.finish(time.perf_counter() - started, started - self._began)
        except (KeyboardInterrupt, SystemExit) as error:  # the latter from Lightning, on a second Ctrl-C
            how = [
                f"continue with resume={directory.path}" if directory.last.exists() else "no checkpoint was saved"
                for directory in directories
            ]
            written.leave("interrupted", how)
            # No exception that Hydra would catch, which would go on with the next run of a sweep.
            raise SystemExit(f"error: interrupted at step {int(self.module.step)}; {how[0]}") from error
        except Exception as error:
            written.leave("failed", [f"{type(error).__name__}: {error}"] * len(directories))
            raise
        if stop.received:  # in the last block: the runs are whole, but no other shall follow
            where = ", ".join(str(directory.path) for directory in directories)
            raise SystemExit(f"error: interrupted after the last step; the run is finished, see {where}")
        return outcomes

    def _trainer(
        self,
        written: "_Directories",
        history: History,
        stop: StopOnSignal,
        report: Callable[[int], object] | None,
    ) -> pl.Trainer:
        training = self.training
        bar = training.progress_bar and report is None
        machine.keep_memory()
        machine.use_threads(self._neurons)
        return pl.Trainer(
            accelerator="gpu" if self.members[0].on_gpu() else "cpu",
            devices=1,
            logger=False,
            callbacks=[
                TwoStageSwitch([member.schedule for member in self.members]),
                history,
                *([Progress()] if bar else []),
                *([Report(report)] if report else []),
                StopDiverged(),
                StopAtRest(),
                stop,
                Curves(history, written.files),
                Save(
                    training.checkpoint_seconds,
                    written.directories[0].last,
                    lambda step: written.status("running", step),
                ),
            ],
            plugins=[MemberFiles(written.directories, [member.configuration for member in self.members])],
            enable_checkpointing=False,
            max_epochs=1,
            max_steps=training.max_steps,
            val_check_interval=1,
            num_sanity_val_steps=0,
            enable_progress_bar=bar,
            enable_model_summary=False,
            inference_mode=False,  # it forbids the derivative by autograd
            use_distributed_sampler=False,
            default_root_dir=written.directories[0].path,
        )


class _Directories:
    """What a stack writes into its members' directories: their status, and in the end all else."""

    def __init__(
        self,
        experiment: Experiment,
        directories: Sequence[RunDirectory],
        files: Sequence[EventFile],
        history: History,
    ) -> None:
        self.experiment, self.directories, self.files, self.history = experiment, directories, files, history

    def status(self, status: Status, step: int) -> None:
        """Say how all of them stand."""
        for directory in self.directories:
            directory.write_status(status, step)

    def leave(self, status: Status, messages: Sequence[str]) -> None:
        """Put down what there is of runs that did not finish."""
        for i, message in enumerate(messages):
            if not self.directories[i].metrics.exists():
                self._leave(i, status, message)

    def finish(self, fit_seconds: float, other_seconds: float) -> list[Outcome]:
        """Judge each member's best weights and write its files, `metrics.json` last.

        Args:
            fit_seconds: what the fit of the stack took.
            other_seconds: what was done before.
        """
        module, data = self.experiment.module, self.experiment.data.dataset
        module.network.load_state_dict(module.best.state_dict())
        found = results.final_metrics(module, data)
        u, du = module.predict(data.test)
        outcomes: list[Outcome] = []
        for i, diverged in enumerate(self.history.diverged()):
            began, columns, directory = time.perf_counter(), self.history.member(i), self.directories[i]
            if diverged is not None:
                how = "try a smaller optimizer.lr or loss.lambda_d, or optimizer.clip_norm"
                message = f"diverged: the loss is not finite at step {diverged}; {how}"
                self._leave(i, "diverged", message, diverged)
                outcomes.append(RunError(message))
                continue
            title = self.experiment.members[i].title()
            fit = results.fit_picture(data.test, u, du, i, title)
            curves = results.curves_picture(module, columns, data.test.regions, i, title)
            directory.write_history(columns)
            write(directory.fit_figure, fit)
            write(directory.curves_figure, curves)
            self.files[i].add(pictures({"fit": fit, "curves": curves}), int(module.step))
            self._close(i, found[i])
            # A member's share of what was done for all of them.
            share = fit_seconds / len(self.directories), (fit_seconds + other_seconds) / len(self.directories)
            seconds = {"seconds/fit": share[0], "seconds/total": share[1] + time.perf_counter() - began}
            directory.write_status("finished", int(module.step))
            directory.write_metrics(found[i] | seconds)
            outcomes.append(found[i] | seconds)
        return outcomes

    def _leave(self, member: int, status: Status, message: str, step: int | None = None) -> None:
        directory = self.directories[member]
        if self.history.steps:
            directory.write_history(self.history.member(member))
        self._close(member, None)
        directory.write_status(status, int(self.experiment.module.step) if step is None else step, message)

    def _close(self, i: int, metrics: results.Metrics | None) -> None:
        """Add the run's row to TensorBoard's table, named by what was asked for and by where it lies."""
        member, path = self.experiment.members[i], self.directories[i].path
        name = " ".join([*member.overrides, f"({'/'.join(path.resolve().parts[-2:])})"])
        for summary in hyperparameters(name, member.configuration, metrics):
            self.files[i].add(summary, int(self.experiment.module.step))
        self.files[i].flush()
