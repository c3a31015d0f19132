"""Weights & Biases."""

from typing import Annotated, Any, Literal

from lightning.pytorch.loggers import WandbLogger
from pydantic import Field

from runge.configuration.validation import checked_call
from runge.loggers.identity import known_run, remember_run, tags
from runge.records.directories import RunDirectory

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

        file, run_tags = RunDirectory(save_dir).wandb, tags(save_dir, overrides)
        run_id = known_run(file)
        super().__init__(
            name=None if run_id else run_name,
            save_dir="",  # that of W&B: `WANDB_DIR`, or else the current directory
            version=run_id,
            project=project,
            mode=mode,
            group=run_tags["group"][:128],
            config=run_tags,
            reinit="create_new",  # the members of a stack would share the one run of the process
            # The process, its output and its load belong to all runs of the stack.
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
        )
        try:
            run = self.experiment  # which Lightning makes
        except wandb.Error as error:
            raise ValueError(f"mode: {mode or 'online'} cannot be used ({error}); offline needs no account") from error
        remember_run(file, run.id)

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

    def finalize(self, status: str) -> None:
        """End the run, which W&B would leave open until the process ends."""
        self.experiment.finish(exit_code=0 if status == "success" else 1)
