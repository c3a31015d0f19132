"""A run, and what runs and answers have in common: their directory is read when something is asked for."""

import os
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from runge.configuration.errors import ConfigurationError
from runge.data.column_roles import find_roles
from runge.data.table import open_table
from runge.interface.label_check import Check, check_rows
from runge.pictures.drawing import draw
from runge.records.directories import RunDirectory
from runge.records.files import copy_directory
from runge.records.metrics import TEST_MSE_DF, TEST_MSE_F, TEST_NRMSE_DF, TEST_NRMSE_F, on_test
from runge.records.reading import fit_table, history, read

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

    from runge.function.function import Function

__all__ = ["Run", "Trained"]


class Trained:
    """A run or an answer in its directory, with the uses of its function.

    Args:
        directory: the directory of a run, or of a sweep that is one function.

    Raises:
        FileNotFoundError: there is no such directory, or it lacks what is asked for, because the run has not finished.
        ConfigurationError: a file is damaged.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        if not self.directory.is_dir():
            raise FileNotFoundError(f"there is no directory {os.fspath(directory)!r}")

    def __fspath__(self) -> str:
        return str(self.directory)

    def save(self, directory: str | os.PathLike[str]) -> Self:
        """Copy everything into a new directory, which may be moved to another machine, and return what is there.

        The directory appears when it is complete.

        Raises:
            FileExistsError: the directory exists.
        """
        return type(self)(copy_directory(self.directory, Path(directory)))

    @cached_property
    def function(self) -> "Function":
        """The trained function, as `runge.load`."""
        from runge.function.loading import load  # late: the other properties need no torch

        return load(self.directory)

    def predict(self, new: Any, level: float | None = None, hessian: bool = False) -> "pandas.DataFrame":
        """Return values and derivatives at new points, as `Function.predict`."""
        return self.function.predict(new, level, hessian)

    def check(self) -> Check:
        """Check the labels of the table that it was trained on, as `runge.check`.

        Raises:
            ConfigurationError: it was not trained on a table, or the table has changed, or is gone.
        """
        from runge.function.residuals import rows_of  # late, as above

        if "file" not in (self.function.configuration.get("data") or {}):
            raise ConfigurationError(f"check: needs a table, and {str(self.directory)!r} was trained on a formula")
        table = rows_of(RunDirectory(self.function.runs[0]))[0].table
        roles = find_roles(file := open_table(table.file), table)
        every = replace(table, inputs=[*roles.inputs], outputs=[*roles.outputs], derivatives=None)
        left_out = roles.partials.items() < find_roles(file, every).partials.items()  # by the fit, or by the user
        return check_rows(file, every if left_out else table)

    def suggest(self, points: int = 16, **options: Any) -> "pandas.DataFrame":
        """Return the points to compute next, as rows of the table, with the options of `runge.suggest`.

        Raises:
            ConfigurationError: it was not fitted to a table, or an option is not allowed.
        """
        from runge.function.next_rows import fitted, suggest_for  # late, as above

        return suggest_for(*fitted(str(self.directory)), points, **options)

    def export(self, to: str, path: str | os.PathLike[str] | None = None, **options: Any) -> Path:
        """Write the function for another program, with the options of `runge.export`."""
        from runge.exports import export  # late, as above

        return export(self.function, to, self.directory / "function" if path is None else Path(path), **options)


class Run(Trained):
    """A run, read from its directory when it is asked for; a notebook shows the picture of its fit.

    Args:
        directory: the run's directory.

    Raises:
        FileNotFoundError: there is no such directory, or it lacks what is asked for, because the run has not finished.
        ConfigurationError: a file is damaged.
    """

    def __repr__(self) -> str:
        record = read(RunDirectory(self.directory))
        keys = (TEST_NRMSE_F, TEST_NRMSE_DF) if record.of_table else (TEST_MSE_F, TEST_MSE_DF)
        keys = keys if on_test(record.figures) else [name.replace("test", "val") for name in keys]
        figures = [f"{key}={figure:.3g}" for key in keys if (figure := record.figures.get(key)) is not None]
        return f"Run({str(self.directory)!r}): {', '.join(figures) or record.status}"

    def _repr_png_(self) -> bytes | None:
        from runge.pictures.style import image  # late: it imports Matplotlib

        return image(self.figure()) if RunDirectory(self.directory).metrics.exists() else None

    @property
    def status(self) -> str:
        """`finished`, `running`, `diverged`, `interrupted`, `failed` or `unreadable`."""
        return read(RunDirectory(self.directory)).status

    @property
    def settings(self) -> dict[str, Any]:
        """The configuration, flat."""
        return dict(read(RunDirectory(self.directory)).settings)

    @property
    def metrics(self) -> dict[str, float | int | None]:
        """The final figures, the content of `metrics.json`; see `runge.records.metrics` for their names."""
        return RunDirectory(self.directory).read_metrics()

    @property
    def history(self) -> "pandas.DataFrame":
        """The figures over the steps, as `runge.history`."""
        return history(self.directory)

    @property
    def test_points(self) -> "pandas.DataFrame":
        """The columns of `fit.csv`: inputs, outputs, derivatives, and their fit, at some of the test points."""
        return fit_table(self.directory)

    def figure(self) -> "Figure":
        """Draw the function and its fit, their derivatives, and both errors, at the points of `test_points`."""
        if not (path := RunDirectory(self.directory).fit).is_file():
            raise FileNotFoundError(f"{path} is missing: the run has not finished")
        return self.draw()["fit"]

    def draw(self) -> dict[str, "Figure"]:
        """Draw the pictures `fit`, `curves` and, if the run has them, `profiles` and `points`, as `runge draw` does."""
        return draw(self.directory)
