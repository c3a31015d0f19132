"""The outcomes of runs and sweeps: what is in a directory, read when it is asked for."""

import html
import os
import shutil
from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from runge.comparison.html_report import PAGE
from runge.comparison.metric_columns import first_columns
from runge.comparison.ranking import Ranking, rank_directories
from runge.configuration.errors import ConfigurationError, RunError
from runge.data.table import open_table
from runge.interface.label_check import Check, check_rows
from runge.metrics import TEST_MSE_DF, TEST_MSE_F, TEST_NRMSE_DF, TEST_NRMSE_F, on_test
from runge.pictures.drawing import draw, draw_answer
from runge.records.directories import RunDirectory
from runge.records.leaderboard import ColumnError, Influence, Leaderboard, LeaderboardEntry, Suspect, read_leaderboard
from runge.records.reading import fit_table, history, read, table

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

    from runge.function.function import Function

__all__ = ["Answer", "Comparison", "Run"]

_ROWS_SHOWN = 10
"""The rows of a table in a notebook."""


class Trained:
    """What was trained, in its directory, and what can be made of its function.

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

        Raises:
            FileExistsError: the directory exists.
        """
        return type(self)(shutil.copytree(self.directory, directory))

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
        return check_rows(open_table(table.file), table)

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
        """The final figures, the content of `metrics.json`; see `runge.metrics` for their names."""
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


class Comparison(Ranking):
    """The comparison of runs, the best first; a notebook shows its sentences and the best runs.

    Args:
        *directories: a sweep's directory, or any directories with runs in them; the first one is its `directory`.
        metric: the metric by which the runs are ranked; smaller is better. None: `test/mse_df`, or one without units
            for runs on different data.
        where: conditions such as `"model.width=8"` or `"model.width=8,16"`; only runs that meet all are compared.
        group_by: the settings that define a group; None: all except seeds and fold.
        baseline: the settings of the group with which the others are compared, such as `"sampling=uniform"`; empty: the
            value that a key has without an override, or else the best group.

    Raises:
        FileNotFoundError: there is no such directory.
        ValueError: it contains no such runs, or they do not have this metric or these settings.
    """

    def __init__(
        self,
        *directories: str | os.PathLike[str],
        metric: str | None = None,
        where: str | Sequence[str] = (),
        group_by: Sequence[str] | None = None,
        baseline: str | Sequence[str] = (),
    ) -> None:
        if not directories:
            raise ValueError("directories: must be at least one, got none")
        super().__init__(**vars(rank_directories(directories, metric, where, group_by, baseline)))
        self.directory = Path(directories[0])

    def __fspath__(self) -> str:
        return str(self.directory)

    def __repr__(self) -> str:
        return f"Comparison({str(self.directory)!r}): {len(self.records)} runs. {self.lead}".rstrip()

    def _repr_html_(self) -> str:
        table, names = self.table, ["run", *self.keys, *first_columns(self.metric), "status"]
        columns = [name for name in dict.fromkeys(names) if name in table]
        return _page(self.sentences, table, columns, self.directory / PAGE)

    @property
    def table(self) -> "pandas.DataFrame":
        """A row per run, as `runge.runs`, the best first, with the options of groups as they are typed."""
        import pandas

        return pandas.DataFrame(table(self.records))

    @property
    def verdict_table(self) -> "pandas.DataFrame":
        """A row per verdict, the content of `verdicts.csv`: two groups, their factor, its interval, p, the sentence."""
        import pandas

        return pandas.DataFrame([verdict.row for verdict in self.verdicts])

    @property
    def runs(self) -> list[Run]:
        """The runs, the best first."""
        return [Run(record.path) for record in self.records]

    def best(self) -> Run:
        """Return the run with the smallest metric.

        Raises:
            RunError: no run has finished.
        """
        if self.records[0].status != "finished":
            raise RunError(f"no run has finished; the first one: {self.records[0].status}, {self.records[0].message}")
        return Run(self.records[0].path)

    def figure(self) -> "Figure":
        """Draw the runs of the best twelve groups with median and quartiles, and both errors of every run."""
        from runge.comparison.picture import comparison_picture  # late: it imports Matplotlib

        return comparison_picture(self)


class Answer(Trained):
    """The answer of `search=best`, and its candidates; a notebook shows its summary and the best candidates.

    Tables of the answer have fixed columns; they are empty if the search has not ended. `runge.compare(answer)` is the
    comparison of all its runs.

    Args:
        directory: the sweep's directory.

    Raises:
        FileNotFoundError: there is no such directory.
        ConfigurationError: a file is damaged.
    """

    @cached_property
    def board(self) -> Leaderboard | None:
        """The content of `leaderboard.json`; None: the search has not ended."""
        return read_leaderboard([self.directory])

    def __repr__(self) -> str:
        return f"Answer({str(self.directory)!r}): {self.board.candidates[0].name if self.board else 'no leaderboard'}"

    def _repr_html_(self) -> str:
        columns = ["name", "value", "derivative", "folds", "steps"]
        return _page(self.summary().splitlines(), self.leaderboard, columns, self.directory / PAGE)

    def summary(self) -> str:
        """Return what `runge fit` says of the answer and its errors, a sentence or several a line."""
        return "\n".join(self.board.sentences if self.board else [])

    @property
    def leaderboard(self) -> "pandas.DataFrame":
        """A row per candidate, the best first: the attributes of `runge.records.leaderboard.LeaderboardEntry`."""
        return _frame(LeaderboardEntry, self.board and self.board.candidates)

    @property
    def errors(self) -> "pandas.DataFrame":
        """The errors in rows left out of training, relative to the standard deviation of the column's labels.

        There is a row per output, and per partial derivative, which is named after its column, such as `dlift_dalpha`:

        - `error`: the root mean square error of one network
        - `low`, `high`: the ends of its jackknife interval, nominally of 95 %
        - `rows`: the number of rows that judge the column

        NaN: there are too few rows. Of a formula it is empty.
        """
        return _frame(ColumnError, self.board and self.board.columns).set_index("column")

    @property
    def suspects(self) -> "pandas.DataFrame":
        """The labels that may be wrong, the largest residual first, with their row as the index.

        The row is the label in the index of the DataFrame that was fitted, or the number from 0 in a file or in arrays.
        The columns are those of `runge.records.leaderboard.Suspect`.
        """
        return _frame(Suspect, self.board and self.board.suspects).set_index("row")

    @property
    def sensitivity(self) -> "pandas.DataFrame":
        """A row per output and input, with the attributes of `runge.records.leaderboard.Influence`."""
        return _frame(Influence, self.board and self.board.sensitivity and self.board.sensitivity.influences)

    def figure(self) -> "Figure":
        """Draw the answer with its 90 % intervals: curves of one input, maps of two, and profiles of more."""
        return self.draw()["answer"]

    def draw(self) -> dict[str, "Figure"]:
        """Draw the picture `answer`, and with two inputs `profiles`, as `runge draw` does."""
        return draw_answer(self.directory)

    def suggest(self, points: int = 16, **options: Any) -> "pandas.DataFrame":
        """Return the points to compute next, as rows of the table, with the options of `runge.suggest`.

        Raises:
            ConfigurationError: the answer is not several networks of one table, or an option is not allowed.
        """
        from runge.function.next_rows import fitted, suggest_for  # late, as above

        return suggest_for(*fitted(str(self.directory)), points, **options)


def _frame(kind: type, rows: Sequence[Any] | None) -> "pandas.DataFrame":
    """Return a row per object of a kind, with its attributes; the columns are the same without any."""
    import pandas

    return pandas.DataFrame([vars(row) for row in rows or ()], columns=[field.name for field in fields(kind)])


def _page(sentences: Sequence[str], table: "pandas.DataFrame", columns: list[str], report: Path) -> str:
    """Return sentences, columns of the first rows of a table, and the path of the report as HTML."""
    lines = [f"<p>{html.escape(sentence)}</p>" for sentence in sentences]
    rows = table.head(_ROWS_SHOWN).to_html(columns=columns, index=False, na_rep="-", float_format="{:.3g}".format)
    more = f"<p>{_ROWS_SHOWN} of {len(table)} rows</p>" if len(table) > _ROWS_SHOWN else ""
    path = f"<p>report: <code>{html.escape(str(report))}</code></p>" if report.is_file() else ""
    return "\n".join(filter(None, [*lines, rows, more, path]))
