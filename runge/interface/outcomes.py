"""The outcomes of sweeps: comparisons of their runs, and answers."""

import html
import math
import os
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from runge.comparison.html_report import PAGE
from runge.comparison.metric_columns import first_columns
from runge.comparison.ranking import Ranking
from runge.configuration.errors import RunError, listed
from runge.interface.trained import Run, Trained
from runge.pictures.drawing import draw_answer
from runge.records.files import copy_directory
from runge.records.leaderboard import ColumnError, Influence, LeaderboardEntry, Suspect, read_leaderboard
from runge.records.reading import RunRecord, table

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = ["Answer", "Comparison"]

_ROWS_SHOWN = 10
"""The rows of a table in a notebook."""


class Comparison:
    """The comparison of runs by `runge.compare`, the best first; a notebook shows its sentences and the best runs.

    A comparison of one directory can take its place.

    Args:
        directories: the directories that were compared.
        ranking: the ranking of the runs in them.
    """

    def __init__(self, directories: Sequence[str | os.PathLike[str]], ranking: Ranking) -> None:
        self._directories, self._ranking = [os.fspath(directory) for directory in directories], ranking

    def save(self, directory: str | os.PathLike[str]) -> Self:
        """Copy everything into a new directory, as `Run.save`, and return this comparison of the copied runs."""
        copied = copy_directory(self.directory, Path(directory))
        paths = [str(copied / os.path.relpath(record.path, self.directory)) for record in self._ranking.records]
        records = [replace(record, path=path) for record, path in zip(self._ranking.records, paths, strict=True)]
        return type(self)([copied], replace(self._ranking, records=records))

    def __fspath__(self) -> str:
        return str(self.directory)

    def __repr__(self) -> str:
        return f"Comparison({str(self._directories)[1:-1]}): {len(self._ranking.records)} runs. {self.lead}".rstrip()

    def _repr_html_(self) -> str:
        table, names = self.table, ["run", *self._ranking.keys, *first_columns(self.metric), "status"]
        columns = [name for name in dict.fromkeys(names) if name in table]
        report = self.directory / PAGE if len(self._directories) == 1 else None
        return _page(self.sentences, table, columns, report)

    @property
    def directory(self) -> Path:
        """The directory that was compared.

        Raises:
            ValueError: there are several.
        """
        if len(self._directories) > 1:
            several = f"this comparison has {len(self._directories)}, {listed(self._directories)}"
            raise ValueError(f"directory: must be one, but {several}; use one of them, or one of the comparison's runs")
        return Path(self._directories[0])

    @property
    def metric(self) -> str:
        """The metric by which the runs are ranked."""
        return self._ranking.metric

    @property
    def lead(self) -> str:
        """The sentences on the groups: which one is more accurate than another."""
        return self._ranking.lead

    @property
    def sentences(self) -> list[str]:
        """The sentences on a search, repetitions, the rank and the lead."""
        return self._ranking.sentences

    @property
    def table(self) -> "pandas.DataFrame":
        """A row per run, as `runge.runs`, the best first, with the options of groups as they are typed."""
        import pandas

        return pandas.DataFrame(table(self._ranking.records))

    @property
    def verdict_table(self) -> "pandas.DataFrame":
        """A row per verdict, the content of `verdicts.csv`: two groups, their factor, its interval, p, the sentence."""
        import pandas

        return pandas.DataFrame([verdict.row for verdict in self._ranking.verdicts])

    @property
    def runs(self) -> list[Run]:
        """The runs, the best first within each condition, such as a number of points."""
        return [Run(record.path) for record in self._ranking.records]

    def best(self) -> Run:
        """Return the run with the smallest metric, among all conditions.

        Raises:
            RunError: no run has finished.
        """
        finished = [record for record in self._ranking.records if record.status == "finished"]
        if not finished:
            first = self._ranking.records[0]
            raise RunError(f"no run has finished; the first one: {first.status}, {first.message}")

        def figure(record: RunRecord) -> float:
            value = record.figures.get(self._ranking.metric)
            return math.inf if value is None else value

        return Run(min(finished, key=figure).path)

    def figure(self) -> "Figure":
        """Draw the runs of the best twelve groups with median and quartiles, and both errors of every run."""
        from runge.comparison.picture import comparison_picture  # late: it imports Matplotlib

        return comparison_picture(self._ranking)


class Answer(Trained):
    """The answer of `search=best`, and its candidates; a notebook shows its summary and the best candidates.

    Tables of the answer have fixed columns. `runge.compare(answer)` is the comparison of all its runs.

    Args:
        directory: the sweep's directory.

    Raises:
        FileNotFoundError: there is no such directory, or no leaderboard in it.
        ConfigurationError: a file is damaged.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        super().__init__(directory)
        if (board := read_leaderboard([self.directory])) is None:
            why = "no candidate has finished, or it is not the directory of `runge fit`; for a sweep use runge.compare"
            raise FileNotFoundError(f"there is no leaderboard.json in {os.fspath(directory)!r}: {why}")
        self._board = board

    def __repr__(self) -> str:
        return f"Answer({str(self.directory)!r}): {self._board.candidates[0].name}"

    def _repr_html_(self) -> str:
        columns = ["name", "value", "derivative", "folds", "steps"]
        return _page(self._board.sentences, self.leaderboard, columns, self.directory / PAGE)

    def summary(self) -> str:
        """Return what `runge fit` says of the answer and its errors, a sentence or several a line, and all errors."""
        errors = [self.errors.to_string(float_format="{:.1e}".format)] if self._board.columns else []
        return "\n".join([*self._board.sentences, *errors])

    @property
    def leaderboard(self) -> "pandas.DataFrame":
        """A row per candidate, the best first: the attributes of `runge.records.leaderboard.LeaderboardEntry`."""
        return _frame(LeaderboardEntry, self._board.candidates)

    @property
    def errors(self) -> "pandas.DataFrame":
        """The errors in rows left out of training, relative to the standard deviation of the column's labels.

        There is a row per output, and per partial derivative, which is named after its column, such as `dlift_dalpha`:

        - `error`: the root mean square error of networks that were trained without these rows
        - `low`, `high`: the ends of the interval of the answer's error, nominally of 90 %
        - `rows`: the number of rows that judge the column

        NaN: there are too few rows. Of a formula it is empty.
        """
        return _frame(ColumnError, self._board.columns).set_index("column")

    @property
    def suspects(self) -> "pandas.DataFrame":
        """The labels that may be wrong, the largest residual first, with their row as the index.

        The row is the label in the index of the DataFrame that was fitted, or the number from 0 in a file or in arrays.
        The columns are those of `runge.records.leaderboard.Suspect`.
        """
        return _frame(Suspect, self._board.suspects).set_index("row")

    @property
    def sensitivity(self) -> "pandas.DataFrame":
        """A row per output and input, with the attributes of `runge.records.leaderboard.Influence`."""
        return _frame(Influence, self._board.sensitivity and self._board.sensitivity.influences)

    def figure(self) -> "Figure":
        """Draw the answer with its 90 % intervals: curves of one input, maps of two, and profiles of more."""
        return self.draw()["answer"]

    def draw(self) -> dict[str, "Figure"]:
        """Draw the picture `answer`, and with two inputs `profiles`, as `runge draw` does."""
        return draw_answer(self.directory)


def _frame(kind: type, rows: Sequence[Any] | None) -> "pandas.DataFrame":
    """Return a row per object of a kind, with its attributes; the columns are the same without any."""
    import pandas

    return pandas.DataFrame([vars(row) for row in rows or ()], columns=[field.name for field in fields(kind)])


def _page(sentences: Sequence[str], table: "pandas.DataFrame", columns: list[str], report: Path | None) -> str:
    """Return sentences, columns of the first rows of a table, and the path of a report as HTML."""
    lines = [f"<p>{html.escape(sentence)}</p>" for sentence in sentences]
    rows = table.head(_ROWS_SHOWN).to_html(columns=columns, index=False, na_rep="-", float_format="{:.3g}".format)
    more = f"<p>{_ROWS_SHOWN} of {len(table)} rows</p>" if len(table) > _ROWS_SHOWN else ""
    path = f"<p>report: <code>{html.escape(str(report))}</code></p>" if report and report.is_file() else ""
    return "\n".join(filter(None, [*lines, rows, more, path]))
