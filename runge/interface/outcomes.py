"""The outcomes of runs and sweeps: what is in a directory, read when it is asked for."""

import html
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runge.comparison.html_report import PAGE
from runge.comparison.metric_columns import first_columns
from runge.comparison.ranking import Ranking, rank_directories
from runge.configuration.errors import RunError
from runge.metrics import TEST_MSE_DF, TEST_MSE_F, TEST_NRMSE_DF, TEST_NRMSE_F, on_test
from runge.pictures.drawing import draw, draw_answer
from runge.records.directories import RunDirectory
from runge.records.reading import fit_table, history, read, table

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from runge.function.function import Function

__all__ = ["Answer", "Comparison", "Run"]

_ROWS_SHOWN = 10
"""The rows of a table in a notebook."""


class Run:
    """A run, read from its directory when it is asked for; a notebook shows the picture of its fit.

    Args:
        directory: the run's directory.

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
    def fit(self) -> "pandas.DataFrame":
        """The columns of `fit.csv`: inputs, outputs, derivatives, and their fit, at some of the test points."""
        return fit_table(self.directory)

    @cached_property
    def function(self) -> "Function":
        """The trained function, as `runge.load`."""
        from runge.function.loading import load  # late: the other properties need no torch

        return load(self.directory)

    def figure(self) -> "Figure":
        """Draw the function and its fit, their derivatives, and both errors, at the points of `fit`."""
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
        return self._page(self.sentences, table, [name for name in dict.fromkeys(names) if name in table])

    def _page(self, sentences: Sequence[str], table: "pandas.DataFrame", columns: list[str]) -> str:
        """Return sentences, columns of the first rows of a table, and the path of the report as HTML."""
        lines = [f"<p>{html.escape(sentence)}</p>" for sentence in sentences]
        rows = table.head(_ROWS_SHOWN).to_html(columns=columns, index=False, na_rep="-", float_format="{:.3g}".format)
        more = f"<p>{_ROWS_SHOWN} of {len(table)} rows</p>" if len(table) > _ROWS_SHOWN else ""
        report = self.directory / PAGE
        path = f"<p>report: <code>{html.escape(str(report))}</code></p>" if report.is_file() else ""
        return "\n".join(filter(None, [*lines, rows, more, path]))

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

    def suggest(self, points: int = 16, **options: Any) -> "pandas.DataFrame":
        """Return the points to compute next, as rows of the table, with the options of `suggest`.

        Raises:
            ConfigurationError: the sweep is not several networks of one table, or an option is not allowed.
        """
        from runge.function.next_rows import fitted, suggest_for  # late, as in `Run.function`

        return suggest_for(*fitted(str(self.directory)), points, **options)


class Answer(Comparison):
    """The answer of `search=best`, and its candidates; a notebook shows its summary and the best candidates.

    Args:
        directory: the sweep's directory.

    Raises:
        FileNotFoundError: there is no such directory.
        ValueError: it contains no runs.
    """

    def __repr__(self) -> str:
        return f"Answer({str(self.directory)!r}): {self.board.candidates[0].name if self.board else 'no leaderboard'}"

    def _repr_html_(self) -> str:
        if self.board is None:
            return super()._repr_html_()
        return self._page(self.board.sentences, self.leaderboard, ["name", "value", "derivative", "folds", "steps"])

    @cached_property
    def function(self) -> "Function":
        """The answer as one function, as `runge.load`."""
        from runge.function.loading import load  # late: the other properties need no torch

        return load(self.directory)

    def summary(self) -> str:
        """Return what `runge fit` says of the answer and its errors, a sentence or several a line."""
        return "\n".join(self.board.sentences if self.board else [])

    @property
    def leaderboard(self) -> "pandas.DataFrame":
        """A row per candidate, the best first: the attributes of `runge.records.leaderboard.LeaderboardEntry`."""
        import pandas

        return pandas.DataFrame([vars(candidate) for candidate in self.board.candidates] if self.board else [])

    @property
    def error(self) -> "pandas.DataFrame":
        """The errors in rows left out of training, relative to standard deviations: a row per output of a table.

        - `value`, `derivative`: the root mean square error of one network
        - `value_bound`, `derivative_bound`: contain 90 % of the residuals (Lei et al. 2018,
          https://arxiv.org/abs/1604.04173)
        - `value_factor`, `derivative_factor`: the 95 % interval is error / factor to error * factor

        NaN: there are too few rows.
        """
        import pandas

        return pandas.DataFrame(self.board.errors if self.board else [])

    @property
    def sensitivity(self) -> "pandas.DataFrame":
        """A row per output and input, with the attributes of `runge.records.leaderboard.Influence`."""
        import pandas

        return pandas.DataFrame(self.board.sensitivity.influences if self.board and self.board.sensitivity else [])

    def figure(self) -> "Figure":
        """Draw the answer with its 90 % intervals: curves of one input, maps of two, and profiles of more."""
        return self.draw()["answer"]

    def draw(self) -> dict[str, "Figure"]:
        """Draw the picture `answer`, and with two inputs `profiles`, as `runge draw` does."""
        return draw_answer(self.directory)

    def predict(self, x: "ArrayLike", std: bool = False) -> Any:
        """Return the values at the rows of x, an array or a DataFrame; with `std` also the spread of the networks."""
        return (self.function(x), self.function.std(x)) if std else self.function(x)
