"""The verbs that work with what runs and sweeps have left, from Python: as those of the command, with its results."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from runge.comparison.html_report import write_report
from runge.comparison.ranking import rank_directories
from runge.configuration.errors import ConfigurationError, python_words
from runge.interface.outcomes import Comparison
from runge.records.reading import find

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

    from runge.function.function import Function

__all__ = ["compare", "draw", "export", "predict", "suggest"]

Directory = str | os.PathLike[str]
Source = Union[Directory, "Function"]


def predict(source: Source, new: Any, level: float | None = None, hessian: bool = False) -> "pandas.DataFrame":
    """Return values and derivatives at new points, as `runge predict` writes them.

    Args:
        source: the directory of a run or of a sweep, as for `runge.load`; or a function, from there.
        new: the points, as for `Function.predict`.
        level: the level of intervals, such as 0.9; None: without them.
        hessian: whether there are second derivatives.

    Returns:
        A row per point with the columns of `Function.predict`, and the index of `new`.

    Raises:
        ConfigurationError: the run has not finished, or the table lacks an input or cannot be read.
        ValueError: there are no intervals of this level, two columns would have one name, or x has another shape.

    Example:
        >>> from tempfile import mkdtemp
        >>> import pandas
        >>> from runge.interface.calls import train
        >>> run = train("trainer.max_steps=4", "model.width=8", "pictures=false", directory=mkdtemp())
        >>> predict(run, pandas.DataFrame({"x": [0.0, 0.5, 9.0]})).columns.tolist()
        ['x', 'u_f', 'du_f_dx', 'outside', 'set']
    """
    return _function(source).predict(new, level, hessian)


def suggest(
    sweep: Directory,
    points: int = 16,
    box: Mapping[str, float | Sequence[float]] | None = None,
    candidates: Any = None,
    seed: int = 0,
) -> "pandas.DataFrame":
    """Return the next inputs to compute for a table that a run or a sweep has fitted, as `runge suggest` does.

    They are chosen from the spread of several networks, of values and of derivatives, or from the distance of the
    rows if there is only one, by `runge.function.suggestions`.

    Args:
        sweep: the directory of an answer, of a run, or of a sweep over seeds or folds.
        points: how many.
        box: the interval of an input, or its fixed value; for other inputs it is the range of the table's rows.
        candidates: the points to choose from, a table as for `runge.fit` with a column for each input, of which at most
            2048 are drawn; None: points of a Sobol sequence in the box, as `runge.function.suggestions.draw_points`.
        seed: the seed of the candidates.

    Returns:
        A row per point, the first one first, with the columns of the table: its inputs, empty labels, `train` in a
        split column; and further columns of the candidates, and their index. Without candidates the index continues the
        whole numbers of the index of a DataFrame that was fitted, or else begins with 0.

    Raises:
        ConfigurationError: it was not fitted to a table, or the table has changed; or an argument is not allowed.

    Example:
        >>> from tempfile import mkdtemp
        >>> import numpy, pandas
        >>> from runge.interface.calls import sweep
        >>> x = numpy.linspace(0, 1, 20)
        >>> table = pandas.DataFrame({"x": x, "y": x**2, "dy_dx": 2 * x})
        >>> short = "trainer.max_steps=4", "model.width=8", "search.compare=false", "hydra.launcher.processes=1"
        >>> networks = sweep(table, "seed=0,1", *short, directory=mkdtemp())
        >>> suggest(networks, points=3).columns.tolist()
        ['x', 'y', 'dy_dx']
    """
    from runge.function import next_rows  # late, as above

    return next_rows.suggest_for(*next_rows.fitted(os.fspath(sweep)), points, box, candidates, seed)


@python_words()
def export(
    source: Source,
    to: str,
    path: Directory | None = None,
    level: float | None = None,
    hessian: bool = False,
    *,
    force: bool = False,
) -> Path:
    """Write a function's value and Jacobian for another program, as `runge export` does.

    N points are the rows of x, (N, D); the results are u, (N,), and du, (N, D), or with P > 1 outputs (N, P) and
    (N, P, D). Of a sweep's function they are the means over its members; the standard deviations of both follow.
    With the Hessian d2u, (N, D, D) or (N, P, D, D), it is the third result. A model card is written beside the file,
    with the suffix .json.

    Args:
        source: the directory of a run or of a sweep, as for `runge.load`; or a function, from there, whose `to` changes
            its precision.
        to: the format: `onnx`, `numpy`, `casadi` or `c`.
        path: the file, to which the format's suffix is added if it is missing; None: `function` in the directory.
        level: the level of intervals, such as 0.9, whose lower and upper ends follow, of u and then of du; None:
            without them.
        hessian: whether the Hessian is written too.
        force: whether to overwrite files; a card of an earlier export always is, another JSON file never.

    Returns:
        The file that another program opens.

    Raises:
        ConfigurationError: the run has not finished, or there is no path for a function.
        ValueError: the format, or one of the arguments, is not supported; or a file would be overwritten.
        ImportError: the packages of the extra `onnx` are missing.
        OSError: the file cannot be written.

    Example:
        >>> from tempfile import mkdtemp
        >>> from runge.interface.calls import train
        >>> run = train("trainer.max_steps=4", "model.width=8", "pictures=false", directory=mkdtemp())
        >>> export(run, "c").name
        'function.c'
    """
    from runge.exports import export as write_program  # late, as above
    from runge.function.function import Function

    if path is None:
        if isinstance(source, Function):
            raise ConfigurationError("path: must be given for a function, which has no directory")
        path = Path(source) / "function"
    return write_program(_function(source), to, path, level, hessian, force=force)


def draw(directory: Directory) -> dict[str, "Figure"]:
    """Draw the pictures of a run or of a sweep, by name, as `runge draw` writes them.

    Of a run these are `fit`, `curves` and, if it has several inputs, `profiles`, or, if its training points moved,
    `points`; of a sweep, whose runs are one function as for `runge.load`, `answer` and perhaps `profiles`.

    Args:
        directory: that of a run or of a sweep.

    Returns:
        Matplotlib figures, to change or to save.

    Raises:
        ConfigurationError: a file is damaged, or the runs of the sweep are not one function.
        FileNotFoundError: there is no such run, or it has no rows of its history yet; or no run of the sweep has a
            checkpoint.

    Example:
        >>> from tempfile import mkdtemp
        >>> from runge.interface.calls import train
        >>> run = train("trainer.max_steps=4", "model.width=8", "pictures=false", directory=mkdtemp())
        >>> sorted(draw(run))
        ['curves', 'fit']
    """
    from runge.pictures import drawing  # late: Matplotlib is imported when something is drawn

    is_run = any(run.path.samefile(directory) for run in find(directory))
    return drawing.draw(directory) if is_run else drawing.draw_answer(directory)


@python_words()
def compare(
    *directories: Directory,
    metric: str | None = None,
    where: str | Sequence[str] = (),
    group_by: str | Sequence[str] | None = None,
    baseline: str | Sequence[str] = (),
    out: Directory | None = None,
) -> Comparison:
    """Compare any runs and sweeps, also old ones, as `runge compare` does.

    Args:
        *directories: runs, sweeps, or directories above them.
        metric: the metric by which the runs are ranked; smaller is better. None: `test/mse_df`, or one without units
            for runs on different data.
        where: conditions such as `"model.width=8"` or `"model.width=8,16"`; only runs that meet all are compared.
        group_by: the settings that define a group; None: all except seeds and fold.
        baseline: the settings of the group with which the others are compared, such as `"sampling=uniform"`; empty: the
            value that a key has without an override, or else the best group.
        out: the directory in which the report is written, `comparison.html`, `.csv` and `.png`, and `verdicts.csv`;
            None: it is not.

    Raises:
        FileNotFoundError: there is no such directory.
        ValueError: it contains no such runs, or they do not have this metric or these settings.
        OSError: the report cannot be written.

    Example:
        >>> from tempfile import mkdtemp
        >>> from runge.interface.calls import train
        >>> short = "trainer.max_steps=4", "model.width=8", "pictures=false"
        >>> runs = [train(*short, f"seed={seed}", directory=mkdtemp()) for seed in range(2)]
        >>> sorted(compare(*runs).table["seed"])
        [0, 1]
    """
    if not directories:
        raise ValueError("directories: must be at least one, got none")
    ranking = rank_directories(directories, metric, where, group_by, baseline)
    if out is not None:
        write_report(ranking, Path(out))
    return Comparison(directories, ranking)


def _function(source: Source) -> "Function":
    from runge.function.function import Function  # late, as above
    from runge.function.loading import load_finished

    return source if isinstance(source, Function) else load_finished(os.fspath(source), "source")
