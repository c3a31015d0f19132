"""A trained function, or the mean over several: an ordinary module that knows its errors and its training data."""

import html
import os
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from runge.data.memory import table_of
from runge.function.arguments import Argument
from runge.function.calibration import Calibration
from runge.function.mean import MeanNetwork
from runge.function.outside import Box, NearestRow, input_weights, thinned
from runge.function.predictions import as_frame, marks_of, predict, read_rows
from runge.function.residuals import UnseenErrors, rows_of
from runge.function.spread import groups_by_rows, spread_over
from runge.records.directories import RunDirectory
from runge.sobolev.jet import mean_over, std_over
from runge.sobolev.network import StackedMLP

if TYPE_CHECKING:
    import pandas

__all__ = ["FLAT", "Function"]

FLAT = "the second derivatives of relu are 0: between its kinks it is linear"
"""The sentence that a command prints with the Hessian of such a network."""

_WARNED_OUTSIDE = 3.0
"""The number of `Box.outside` above which u(x) warns: farther from the range than its width."""


class Function(MeanNetwork):
    """A trained u: R^D -> R^P with its derivative, in the units of the data.

    It is the mean over its members: the networks of runs that differ in their seeds, or of any runs that were fitted
    to the same function or table. One run has one member.

    Shapes: the last axis of x is that of the D inputs, and each result has the axes in front of it. Of one output

    - the value, its spread, and `outside` have the shape (...),
    - the derivative, and what is related to it, has the shape of x, (..., D),
    - the Hessian has the shape (..., D, D).

    Of P > 1 outputs, each except `outside` has an axis P behind those in front: (..., P), (..., P, D), (..., P, D, D).
    With one input, x may leave its axis out, as a number or as numbers (m,); then the results leave theirs out, too.
    So u(x) is (m,) for x of the shape (m,) and for (m, 1). Other shapes are refused.

    Types: a result has the type and the precision of x. A tensor must be on the device of the function. Lists and
    integers count as float64. A DataFrame with a column for each input, or a Series of one input, gives a Series or a
    DataFrame with its index and columns such as y, dy_da and d2y_da_db, with each pair of inputs once. What is computed
    has the precision of the parameters, or float64 if a member has standardised units; after `load` it is float64. `to`
    changes it. A tensor can be differentiated by x if x requires gradients, and by the parameters after
    `u.requires_grad_()`; otherwise points are evaluated in chunks.

    It can be copied, pickled, saved by `torch.save`, compiled by `torch.compile` and exported by `torch.export`. After
    `load_state_dict` it has neither intervals nor training inputs, because those before are not of these parameters.

    Args:
        networks: the members, as a stack, or a stack for each of their architectures.
        configuration: the configuration of the first member's run, as plain data.
        inputs: the names of the inputs; None: x, or x1, ..., xD.
        outputs: the names of the outputs.
        runs: the directories of the members' runs, in the order of the stacks.
        rows: a key for each member, in the same order; members trained on the same rows have equal keys.
        calibration: the data from which intervals are computed; None: the rows of `runs` that a member has not seen.
        inside: the inputs of the rows that a member was trained on, (n, D), or the box of a formula; None: the rows are
            read from the table of `runs`.

    Example:
        >>> from runge.sobolev.network import Model
        >>> network = StackedMLP(Model(), torch.tensor([[[-1.0, 1.0]]]), [torch.Generator()], torch.float64)
        >>> Function(network).derivative(torch.zeros(6)).shape
        torch.Size([6])
    """

    runs: tuple[str, ...]

    def __init__(
        self,
        networks: StackedMLP | Sequence[StackedMLP],
        configuration: Mapping[str, Any] = MappingProxyType({}),
        inputs: Sequence[str] | None = None,
        outputs: Sequence[str] = ("f",),
        runs: Sequence[str] = (),
        rows: Sequence[str] = (),
        calibration: Calibration | None = None,
        inside: np.ndarray | Box | None = None,
    ) -> None:
        super().__init__(networks, inputs, outputs)
        self.configuration = dict(configuration)  # a mapping proxy cannot be pickled
        self.runs, self.inside = tuple(runs), inside
        self.groups = groups_by_rows(rows)
        if calibration is not None:
            self.calibration = calibration

    def __repr__(self) -> str:
        """Return inputs, outputs, networks, and, if known, the median error of each output where networks agree."""
        counts = Counter[str]()
        for one in self.networks:
            size = f"{len(one.shapes) - 1} x {one.shapes[0][1]} " if one.shapes else ""
            counts[f"{size}{one.activation_name}"] += one.members
        texts = [f"{', '.join(self.inputs)} -> {', '.join(self.outputs)}"]
        texts += [f"{count} network{'s'[: count != 1]} of {size}" for size, count in counts.items()]
        with suppress(KeyError, ValueError):  # they are not known, or too few
            calibration: Calibration = vars(self)["calibration"]
            errors = np.multiply(calibration.factors(0.5), calibration.floors)[: len(self.outputs)]
            texts.append(f"median errors {', '.join(f'{error:.1e}' for error in errors)}")
        return "; ".join(texts)

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>"

    def forward(self, x: Any) -> Any:
        """Return the value u(x).

        Warns:
            RuntimeWarning: an input is beyond its training range by more than its width; only u(x) warns.
        """

        def value(points: Tensor) -> list[Tensor]:
            self._warn_if_far(points)
            return [mean_over(channels) for channels in self.jet(points, 0)]

        return self._evaluate(x, value)[0]

    def predict(self, new: Any, level: float | None = None, hessian: bool = False) -> "pandas.DataFrame":
        """Return values and derivatives at new points, with what says how sure they are.

        Args:
            new: a table as for `runge.fit`, a path, a DataFrame or arrays in a mapping, with a column for each input;
                its other columns are not used. Or the points x alone, as for `u(x)`.
            level: the level of intervals, such as 0.9; None: without them.
            hessian: whether there are second derivatives.

        Returns:
            A row per point, with the index of `new`, in float64. The columns depend only on the function and the
            arguments; for the inputs a and b and the output y they are

            - `a`, `b`: the inputs,
            - `u_y`, `du_y_da`, `du_y_db`: the value u and its derivatives; of several networks their means,
            - `d2u_y_da_da`, `d2u_y_da_db`, `d2u_y_db_db`: with `hessian` the second derivatives,
            - `u_y_std`, `du_y_da_std`, ...: of several networks their standard deviations,
            - `u_y_low`, ..., `u_y_high`, ...: with a level the ends of intervals,
            - `outside`: how far the row is outside the training data, as `outside`; NaN: not known,
            - `set`: the set of the row in the training, `train`, `val` or `test`; empty: none, or not known.

        Raises:
            ConfigurationError: the table lacks an input or cannot be read.
            ValueError: there are no intervals of this level, two columns would have one name, or x has another shape.
        """
        is_table = isinstance(new, str | os.PathLike | Mapping) or hasattr(new, "columns")
        file = table_of(new if is_table else Argument.of(new, self.inputs).table(), "new")
        if {*self.inputs} <= {*file.frame}:  # labels, which may be text, are not used
            file = file._replace(frame=file.frame[[*self.inputs]])
        (x, *_), _ = read_rows(file, self, hessian=False)
        marks, _ = marks_of(self, x)
        return as_frame(x, predict(self, x, level, hessian), self, marks, file.frame.index)

    def std(self, x: Any) -> Any:
        """Return the standard deviation of u(x), as `value_and_derivative_std`."""
        return self.value_and_derivative_std(x)[0]

    def derivative_std(self, x: Any) -> Any:
        """Return the standard deviation of each component of u'(x), likewise."""
        return self.value_and_derivative_std(x)[1]

    def value_and_derivative_std(self, x: Any) -> tuple[Any, Any]:
        r"""Return the standard deviations of u(x) and u'(x) over the members.

        .. math:: \sqrt{\sum_m (u_m - \bar u)^2 / (M - 1)}

        Raises:
            ValueError: there is one member.
        """
        value, derivative = self._evaluate(x, lambda points: [std_over(channels) for channels in self.jet(points)])
        return value, derivative

    @cached_property
    def calibration(self) -> Calibration:
        """The calibration of the intervals.

        Raises:
            ConfigurationError, ValueError: its runs have no table, it has changed or is gone, or no row was left out.
        """
        if "file" not in (self.configuration.get("data") or {}) or not self.runs:
            raise ValueError("intervals need runs on a table, with rows that were left out of their training")
        errors = UnseenErrors.of(lambda x: self.jet(x.to(self.like.device)), self.runs, everywhere=False)
        return errors.calibrate(local=bool(self.groups))

    def interval(self, x: Any, level: float = 0.9) -> tuple[Any, Any]:
        """Return the lower and the upper end of an interval for the label at x, as `value_and_derivative_interval`."""
        return self.value_and_derivative_interval(x, level)[0]

    def derivative_interval(self, x: Any, level: float = 0.9) -> tuple[Any, Any]:
        """Return the ends of an interval for each component of the label's derivative, likewise."""
        return self.value_and_derivative_interval(x, level)[1]

    def value_and_derivative_interval(self, x: Any, level: float = 0.9) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
        """Return the ends of intervals for the labels at x, the value and each component of the derivative.

        Each of them holds the label of a new row with about this probability, if the new row comes from where the rows
        of the table came from; see `runge.function.calibration`. NaN: too few labels of this kind are known.

        Args:
            x: the points.
            level: the probability, between 0 and 1.

        Raises:
            ConfigurationError: the table of its runs has changed, or is gone.
            ValueError: there are too few rows for the level, or none that was left out of the training of any member.
        """
        self.calibration.factors(level)  # its errors come before anything is evaluated

        def ends(points: Tensor) -> list[Tensor]:
            jet = self.jet(points)
            pairs = [*zip(map(mean_over, jet), self.half_widths(jet, level), strict=True)]
            return [mean + sign * half for sign in (-1, 1) for mean, half in pairs]

        low, derivative_low, high, derivative_high = self._evaluate(x, ends)
        return (low, high), (derivative_low, derivative_high)

    def half_widths(self, jet: Sequence[Tensor], level: float) -> list[Tensor]:
        """Return half the widths of the intervals, (1, N, P) and (1, N, P, D), given the members' `jet`."""
        outputs, calibration = len(self.outputs), self.calibration
        factors, floors = (
            torch.tensor(np.array(limits)).to(jet[0]) for limits in (calibration.factors(level), calibration.floors)
        )
        halves = list[Tensor]()
        for tensor, columns in zip(jet, (slice(outputs), slice(outputs, None)), strict=True):
            factor, floor = (limits[columns].reshape(tensor.shape[2:]) for limits in (factors, floors))
            spread = spread_over(tensor, self.groups if calibration.local else [])
            halves.append((factor * (spread.square() + floor.square()).sqrt())[None])
        return halves

    def outside(self, x: Any) -> Any:
        """Return how far x is outside the training data: up to 1 inside, above 1 at the edge, above 1.5 outside.

        It is not differentiable; see `runge.function.outside`. Several
        networks without an `answer.json` need the table of their runs; if it has changed, or is gone, the number is
        that of one.

        Raises:
            ConfigurationError: the training inputs are not known, and the table of its runs has changed, or is gone.
            ValueError: they are not known, and it has no runs on a table.
        """

        @torch.no_grad()
        def number(points: Tensor) -> tuple[Tensor]:
            away = self._measure(points[0].cpu()).to(points).where(points[0].isfinite().all(1), torch.inf)
            return (away.nan_to_num(nan=torch.inf, posinf=torch.inf)[None],)

        return self._evaluate(x, number, self.like.double())[0]

    @property
    def ranges(self) -> tuple[np.ndarray, np.ndarray]:
        """The smallest and the largest value of each training input, (D,) each; raises what `outside` raises."""
        if isinstance(self.inside, Box):
            return self.inside.low, self.inside.high
        return self._training_inputs.min(0), self._training_inputs.max(0)

    @cached_property
    def input_weights(self) -> np.ndarray:
        """How much each input matters, (D,), as `input_weights`; raises what `outside` raises.

        Of an input whose logarithm a network sees it is that of the logarithm.
        """
        x = self._training_inputs
        slopes = self.derivative(x).astype(float).reshape(len(x), len(self.outputs), len(self.inputs))
        if self._is_log is not None:
            seen = self._is_log.numpy()
            slopes, x = np.where(seen, slopes * x[:, None], slopes), np.where(seen, np.log(np.where(seen, x, 1)), x)
        return input_weights(x, slopes)

    @property
    def _is_log(self) -> Tensor | None:
        """Whether some network sees the logarithm of an input, (D,); None if no network does."""
        units = [network.units for network in self.networks if network.units is not None]
        logs = [unit.logs for unit in units if unit.logs is not None]
        return torch.cat(logs).any(0).cpu() if logs else None

    @cached_property
    def _training_inputs(self) -> np.ndarray:
        """The inputs of the rows that a member was trained on, (n, D)."""
        if isinstance(self.inside, np.ndarray):
            return self.inside
        if "file" not in (self.configuration.get("data") or {}) or not self.runs:
            raise ValueError("outside needs a function that knows its training inputs, or was loaded from runs")
        tables = [rows_of(RunDirectory(run)) for run in self.runs]
        return thinned(np.concatenate([rows.x[split.train] for rows, split in tables]))

    @cached_property
    def _measure(self) -> Callable[[Tensor], Tensor]:
        """The measure of how far points, (N, D), are outside, (N,)."""
        if isinstance(self.inside, Box):
            return self.inside.outside
        if self.groups:
            # Without rows that were left out, or without the table, the nearest row decides.
            with suppress(ValueError, OSError):
                if any(self.calibration.outside):
                    return self._disagreement
        return NearestRow(self._training_inputs, self.input_weights, self._is_log).outside

    def _warn_if_far(self, x: Tensor) -> None:
        """Warn if points, (1, N, D), are far beyond the ranges of the training inputs, if these need not be read."""
        if self.inside is None or torch.compiler.is_compiling():
            return
        with suppress(RuntimeError):  # within `torch.func.vmap` the comparison has no single answer
            if (Box(*self.ranges).outside(x[0].detach().cpu()) > _WARNED_OUTSIDE).any():
                far = "an input is beyond its training range by more than the width of this range"
                # With the same text and the same line, Python's default filter prints it once in a process.
                warnings.warn(f"{far}; u.outside(x) returns the distance of each point", RuntimeWarning, stacklevel=1)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied or saved, with what intervals follow from: the table may be gone later."""
        with suppress(ValueError, OSError):
            _ = self.calibration
        return self.__dict__

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        """Load parameters, as torch does for each submodule, and forget the runs and rows of those before."""
        super()._load_from_state_dict(*args, **kwargs)
        self.runs, self.inside = (), None
        self.groups = []
        for name in ("calibration", "input_weights", "_training_inputs", "_measure"):
            self.__dict__.pop(name, None)

    def _disagreement(self, x: Tensor) -> Tensor:
        """Return the norm of the spread of the members' values and slopes at points, (N, D), (N,)."""
        u, du = self.jet(x[None].to(self.like))
        spread = spread_over(torch.cat([u, du.flatten(2)], dim=2), self.groups)
        return torch.linalg.vector_norm(spread * spread.new_tensor(self.calibration.outside), dim=1)
