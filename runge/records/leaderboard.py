"""The leaderboard of `search=best`: the candidates, and their errors in rows that their networks have not seen.

It is the file `leaderboard.json` in the directory of the sweep.
"""

import base64
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, field
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike
from pydantic import AfterValidator, FiniteFloat, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from runge.configuration.errors import ConfigurationError
from runge.records.files import read_bytes, write
from runge.records.fits import Array, Section

_FILE = "leaderboard.json"
"""The name of the file in the directory of the search."""


def packed(values: ArrayLike, kind: str = "<f4") -> str:
    """Return numbers as base64 of little-endian floats, by default of 32 bit: a third of their size as text."""
    return base64.b64encode(np.asarray(values, dtype=kind).tobytes()).decode()


def _rows_of(count: int, size: int = 8) -> AfterValidator:
    """Return a check that a text is a packed array with a number of rows, of floats with a number of bytes."""

    def check(text: str) -> str:
        if len(base64.b64decode(text, validate=True)) % (size * count):
            raise ValueError(f"must be {count} rows of numbers")
        return text

    return AfterValidator(check)


@dataclass(frozen=True)
class LeaderboardEntry:
    """A candidate of a search.

    Attributes:
        name: its settings in words.
        overrides: the overrides of its settings; if each output has a network of its own, those of the first output.
        runs: the numbers of the run directories of the networks by which it is judged; none: it is not the answer.
        refits: the numbers of those of its networks of all rows.
        folds: the number of folds that it was trained on.
        value: the nrmse of the values in the rows that its networks had not seen; None: not known.
        derivative: the nrmse of the derivatives, likewise.
        error: the error by which it is ranked.
        seconds: the time of one run.
        steps: the steps with the smallest error.
        curve: of the network that leaves out the first fold, the seconds, the steps and both errors after each block
            of steps, (4, K), packed; NaN: not known.
    """

    name: str
    overrides: list[str]
    runs: list[int]
    refits: list[int]
    folds: int
    value: float | None
    derivative: float | None
    error: float
    seconds: float
    steps: int
    curve: Annotated[str, _rows_of(4, 4)] = ""


@dataclass(frozen=True)
class AnswerProfile:
    """An output of the answer along an input, the other inputs being at their median.

    Attributes:
        output: the name of the output.
        input: the name of the input.
        curve: the input, the value u, half its interval, the partial derivative, half its interval, and 1 where the
            point is outside the data, else 0; (6, k), packed; NaN: there is no interval.
        rows: of a table of one input the input, the value and the derivative in its rows, (3, m), packed; NaN: not
            known.
    """

    output: str
    input: str
    curve: Annotated[str, _rows_of(6)]
    rows: Annotated[str, _rows_of(3)] = ""

    @classmethod
    def of(cls, names: tuple[str, str], section: Section, p: int, rows: Sequence[Array]) -> "AnswerProfile":
        """Return the profile of output p of a section along an input, given the names of both, with some rows."""
        halves = section.around[:, p], section.around_du[:, p, 0]
        curve = section.x[:, 0], section.u[:, p], halves[0], section.du[:, p, 0], halves[1], section.outside
        return cls(*names, packed(curve, "<f8"), packed(rows, "<f8"))


@dataclass(frozen=True)
class OutputError:
    """The errors of one output in rows left out of training, over the standard deviations; None: not known.

    Attributes:
        output: the name of the output.
        value: the nrmse of the values, of networks that were trained without these rows.
        derivative: the nrmse of the derivatives, likewise.
        value_bound: the bound of 90 % of the residuals of the values; None: there are too few.
        derivative_bound: the largest such bound of a partial derivative.
        value_low: the lower end of the interval of the answer's error, nominally of 90 %; None: there are too few rows.
        derivative_low: the same for the error of the derivatives.
        value_high: the upper end.
        derivative_high: the same for the error of the derivatives.
    """

    output: str
    value: float | None
    derivative: float | None
    value_bound: float | None
    derivative_bound: float | None
    value_low: float | None = None
    derivative_low: float | None = None
    value_high: float | None = None
    derivative_high: float | None = None


@dataclass(frozen=True)
class ColumnError:
    """The error of a column, a value or a partial derivative, in rows left out of training; None: not known.

    It is relative to the standard deviation of the column's labels.

    Attributes:
        column: the name of the output, or of its partial derivative, such as `dlift_dalpha`.
        error: the root mean square error of networks that were trained without these rows.
        low: the lower end of the interval of the answer's error, nominally of 90 %; None: there are too few rows.
        high: the upper end.
        rows: the number of rows that judge it.
    """

    column: str
    error: float | None
    low: float | None
    high: float | None
    rows: int


@dataclass(frozen=True)
class Influence:
    """The influence of an input on an output; None: not known.

    The figures of the fit are means over the box of the inputs, which may have regions without rows, unless their names
    begin with `rows_`. The latter, and the figures of the labels, are means over the rows.

    Attributes:
        output: the name of the output.
        input: the name of the input.
        total: the total Sobol' index of the fit.
        bound: the bound on it from the derivatives of the fit.
        nu: the mean square of the partial derivative of the fit.
        mean: the mean of the partial derivative of the fit.
        rising: the share of the box in which the fit rises with the input.
        labels_bound: the bound in the box, from the labels.
        labels_bound_error: its standard error.
        labels_nu: the mean square of the partial derivative in the labels.
        labels_mean: the mean of the partial derivative in the labels.
        labels_mean_error: its standard error.
        rows_index: the derivative-based index of the fit, `runge.function.sensitivity.row_indices`.
        rows_mean: the mean of the partial derivative of the fit at the rows.
        rows_rising: the share of the rows at which the fit rises with the input.
    """

    output: str
    input: str
    total: FiniteFloat | None
    bound: FiniteFloat | None
    nu: FiniteFloat | None
    mean: FiniteFloat | None
    rising: FiniteFloat | None
    labels_bound: FiniteFloat | None
    labels_bound_error: FiniteFloat | None
    labels_nu: FiniteFloat | None
    labels_mean: FiniteFloat | None
    labels_mean_error: FiniteFloat | None
    rows_index: FiniteFloat | None = None
    rows_mean: FiniteFloat | None = None
    rows_rising: FiniteFloat | None = None


@dataclass(frozen=True)
class Sensitivity:
    """The sensitivity of the outputs of a table to its inputs.

    Attributes:
        influences: the influence of each input on each output.
        points: the number of points in the box, and the most rows, of the figures of the fit.
        cautions: sentences on rows for which the figures mean little.
    """

    influences: list[Influence]
    points: int
    cautions: list[str]


@dataclass(frozen=True)
class Suspect:
    """A label that networks trained without its row do not predict.

    Attributes:
        place: its row, as the file counts it, such as `line 17`.
        column: the name of its column.
        label: its value.
        predicted: the prediction.
        residual: the prediction minus the label.
        deviations: the size of the residual in robust deviations of the residuals of the column.
        row: the label of its row: that of the DataFrame, as text if it is no number, or the number from 0.
    """

    place: str
    column: str
    label: FiniteFloat
    predicted: FiniteFloat
    residual: FiniteFloat
    deviations: FiniteFloat
    row: int | float | str = ""


@dataclass(frozen=True)
class Leaderboard:
    """The leaderboard of a search.

    Attributes:
        candidates: the candidates, the best first.
        sentences: sentences on the answer, and on errors in rows left out of training.
        left_out: the candidates that were not compared, with the reason.
        sensitivity: the sensitivity of the outputs of a table to its inputs; None: a formula.
        profiles: the answer to a table along its inputs, of each output along the same ones; none: a formula.
        level: the level of their intervals; None: they have none.
        suspects: the labels of a table that may be wrong, the largest residual first.
        promotions: the candidates that were trained further, with the reason, in the order of time.
        errors: the errors of the best candidate for each output of a table; none: a formula.
        columns: the same errors for each column of labels.
    """

    candidates: list[LeaderboardEntry]
    sentences: list[str]
    left_out: list[str]
    sensitivity: Sensitivity | None = None
    profiles: list[AnswerProfile] = field(default_factory=list)
    level: FiniteFloat | None = None
    suspects: list[Suspect] = field(default_factory=list)
    promotions: list[str] = field(default_factory=list)
    errors: list[OutputError] = field(default_factory=list)
    columns: list[ColumnError] = field(default_factory=list)

    def write(self, sweep: Path) -> None:
        """Write it into the directory of a sweep."""
        write(sweep / _FILE, json.dumps(asdict(self), indent=1) + "\n")


def read_leaderboard(paths: Sequence[str | os.PathLike[str]]) -> Leaderboard | None:
    """Read the leaderboard of a sweep; None if there is none, or there are several directories.

    Raises:
        ConfigurationError: its file is damaged.
    """
    file = Path(paths[0]) / _FILE
    if len(paths) > 1 or not file.is_file():
        return None
    try:
        return TypeAdapter(Leaderboard).validate_json(read_bytes(file))
    except ValidationError as error:
        raise ConfigurationError(f"{file} is damaged ({error.errors()[0]['msg']})") from error
