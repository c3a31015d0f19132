"""Weights & Biases."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from lightning.pytorch.loggers import WandbLogger
from pydantic import Field

from runge.loggers.identity import known_run, remember_run, tags
from runge.records.directories import RunDirectory
from runge.validation import checked_call

Mode = Literal["online", "offline", "disabled"]
Project = Annotated[str, Field(pattern=r"^[^/\\#?%:]{1,128}$")]


class Wandb(WandbLogger):
    """Lightning's logger for Weights & Biases: each member of a stack is a run there, which continues when it resumes.

    Args:
        project: the name of the project, up to 128 characters without slash, backslash, #, ?, % or colon.
        mode: `online`; `offline`: write files below `wandb/`, for `wandb sync`; `disabled`: log nothing; null: that of
            `WANDB_MODE`, or else online.
        save_dir: the run's directory.
        run_name: the run's overrides and the end of its path.
        overrides: the run's overrides.
    """

    @checked_call
    def __init__(self, project: Project, mode: Mode | None, save_dir: str, run_name: str, overrides: list[str]) -> None:
        import wandb

        file, about = RunDirectory(save_dir).wandb, tags(save_dir, overrides)
        known = known_run(file)
        try:
            run = wandb.init(
                project=project,
                mode=mode,
                id=known,
                name=None if known else run_name,
                group=about["group"][:128],
                config=about,
                resume="allow",
                reinit="create_new",  # Lightning would put all members of a stack into the process's one run
                # The process, its output and its load belong to all runs of the stack.
                settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
            )
        except wandb.Error as error:
            raise ValueError(f"mode: {mode or 'online'} cannot be used ({error}); offline needs no account") from error
        remember_run(file, run.id)
        super().__init__(project=project, experiment=run)

    @staticmethod
    @checked_call
    def check(project: Project, mode: Mode | None, **_: Any) -> None:
        """Raise a ValueError if a value is not allowed, or an account is needed and missing."""
        import wandb

        if (mode or wandb.setup().settings.mode) == "online":
            try:
                wandb.login()
            except wandb.Error as error:
                raise ValueError(f"mode: online needs an account ({error}); offline needs none") from error

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Store the figures of one step, which W&B drops if it has them from before the run was killed."""
        self.experiment.log(dict(metrics), step=step)

    def finalize(self, status: str) -> None:
        """Store the run's end."""
        self.experiment.finish(exit_code=0 if status == "success" else 1)
