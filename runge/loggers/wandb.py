"""Weights & Biases."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from lightning.pytorch.loggers import Logger
from pydantic import Field

from runge.configuration import flatten
from runge.runs.directories import RunDirectory
from runge.runs.stores import group_by_overrides, read_names, tags, version, write_names
from runge.validation import checked_call

Mode = Literal["online", "offline", "disabled"]
Project = Annotated[str, Field(pattern=r"^[^/\\#?%:]{1,128}$")]

_LONGEST_GROUP = 128


class Wandb(Logger):
    """A logger that makes the run one of Weights & Biases: its settings, figures, pictures, and its group.

    A run that is resumed continues its run. Lightning's `WandbLogger` puts all members of a stack into one run, because
    it uses the process's global one.

    Args:
        project: the name of the project, up to 128 characters without slash, backslash, #, ?, % or colon.
        mode: `online`, or `offline`: write files below `wandb/`, for `wandb sync`; null: that of `WANDB_MODE`, or else
            online.
        save_dir: the run's directory.
        run_name: the run's overrides and the end of its path.
        overrides: the run's overrides.
    """

    @checked_call
    def __init__(
        self,
        project: Project,
        mode: Mode | None,
        save_dir: str,
        run_name: str,
        overrides: list[str],
    ) -> None:
        wandb, directory = _package(), RunDirectory(save_dir)
        if names := read_names(directory.wandb):
            about: dict[str, Any] = {"id": names[-1]}
        else:
            group = group_by_overrides(overrides)
            about = {"name": run_name, "group": group[:_LONGEST_GROUP]}
            about["config"] = tags(directory, group) | {"runge_version": version()}
        try:
            self._run = wandb.init(
                **about,
                project=project,
                mode=mode,
                resume="allow",
                reinit="create_new",
                # The process, its output and its load belong to all runs of the stack.
                settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
            )
        except wandb.Error as error:
            raise ValueError(f"mode: {mode or 'online'} cannot be used ({error}); offline needs no account") from error
        if not names:
            write_names(directory.wandb, [self._run.id])
        self._rows: list[tuple[int, dict[str, Any]]] = []

    @staticmethod
    @checked_call
    def check(project: Project, mode: Mode | None, **_: Any) -> None:
        """Raise a ValueError if a value is not allowed, the package is missing, or an account is needed and missing."""
        wandb = _package()
        if (mode or wandb.setup().settings.mode) == "online":
            try:
                wandb.login()
            except wandb.Error as error:
                raise ValueError(f"mode: online needs an account ({error}); offline needs none") from error

    @property
    def name(self) -> str:
        """The name of the project."""
        return self._run.project

    @property
    def version(self) -> str:
        """The identifier of the run."""
        return self._run.id

    def log_hyperparams(self, params: Mapping[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Store the settings."""
        self._run.config.update(flatten(vars(params) if isinstance(params, Namespace) else params), True)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Collect the figures of one step."""
        self._rows.append((step or 0, dict(metrics)))

    def log_image(self, key: str, images: Sequence[str], step: int | None = None) -> None:
        """Collect pictures, given by the paths of PNG files."""
        image = _package().Image
        self._rows.append((step or 0, {key: [image(path) for path in images]}))

    def save(self) -> None:
        """Store what was collected, except what a server has from before the run was killed."""
        for step, row in self._rows:
            if step >= self._run.starting_step:
                self._run.log(row, step=step)
        self._rows = []

    def finalize(self, status: str) -> None:
        """Store what was collected and the run's end."""
        self.save()
        self._run.finish(exit_code=0 if status == "success" else 1)


def _package() -> Any:
    try:
        import wandb
    except ImportError as error:
        raise ValueError(f"_target_: W&B is not installed ({error}); pip install 'runge[wandb]'") from error
    return wandb
