"""An estimator with scikit-learn's interface: what the command does with a table, for arrays and DataFrames."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from numbers import Real
from tempfile import TemporaryDirectory
from typing import Any, Self, cast

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted, validate_data

from runge.composing.composition import LOCK
from runge.configuration.command_line import overrides_of
from runge.configuration.errors import ConfigurationError, RunError
from runge.configuration.validation import Floats
from runge.data.channels import Channels
from runge.data.memory import check_index, column_names, unmasked
from runge.data.rows import Rows
from runge.data.table import Table
from runge.function.calibration import Calibration
from runge.function.function import Function
from runge.function.residuals import errors_of
from runge.interface.calls import fit
from runge.interface.estimator_inputs import (
    CHECK,
    OF_LABELS,
    QUIET,
    Names,
    RowsInMemory,
    check_derivatives,
    checked_weights,
    composed,
    option_of,
    read_derivatives,
    seed_of,
)
from runge.optimizers import Optimizer
from runge.process import machine
from runge.records.metrics import TRAIN_LOSS
from runge.training.evaluation import training_region
from runge.training.member import Member
from runge.training.prepare import prepare
from runge.training.settings import Settings
from runge.training.train import train

__all__ = ["SobolevRegressor"]

_VALIDATE: Any = validate_data  # like `CHECK`, it returns what its hints do not say
_TRAINER = ("max_steps", "patience", "precision")
_KEYS = {"model": ("activation", "depth", "width"), "loss": ("lambda_d",), "data": ("batch_size",), "trainer": _TRAINER}
# Instead of the keys of a table:
_PARAMETERS = {"split": "validation_fraction", "inputs": "X", "outputs": "y", "derivatives": "dydx"}


class SobolevRegressor(RegressorMixin, BaseEstimator):
    r"""A neural network u that is fitted to values y and to their derivatives dy/dx.

    It minimises the mean over the rows of

    .. math:: (u - y)^2 + \lambda_d \frac1D \sum_d \frac{(\partial_d u - \partial_d y)^2}{\max(m_d,\ 0.1\,\overline m)}

    in standardised units, with the mean square :math:`m_d` of the d-th derivative and its mean over d.

    The fit is that of `python train.py data=table data.file=FILE data.split.test=0`, with the same defaults, but writes
    no files; predictions are computed in 64 bit. Inputs and outputs are standardised, so that no scaler is needed.
    Behind a scaler in a `Pipeline` the derivatives of `fit` and `predict_derivative` are with respect to the scaled
    inputs: dy/dx times the `scale_` of a `StandardScaler`.

    Args:
        activation: as `model.activation`; None (here and below): it is not given, so that it is the command's default.
        depth: the hidden layers.
        width: the neurons in each.
        lambda_d: as `loss.lambda_d`; without derivatives it has no effect.
        optimizer: the name of an option, which brings the settings of `conf/optimizer/NAME.yaml`; or an object from
            `runge.optimizers`; None: `adamw`.
        max_steps: as `trainer.max_steps`.
        patience: as `trainer.patience`.
        batch_size: as `data.batch_size`.
        validation_fraction: the share of the rows, in [0, 1), by which the best weights are chosen; rows with the same
            inputs are all among them, or none. 0: all rows are for training, and the weights are chosen by them. None:
            0.15.
        precision: 32 or 64 bit.
        search: "best": the fit is the answer of `runge fit FILE`, made of the candidate that is best in rows left
            out of training; all candidates have the parameters above that are given. It starts a process per core, so
            that several searches at once, as with `n_jobs` of a `GridSearchCV`, only slow each other down. None: one
            network.
        timeout: the seconds that the search may take, as `search.timeout`.
        check: what is done if derivatives contradict the values, as they do if a scaler has changed X alone: "warn",
            "raise" a ValueError, or "off", which does not look.
        random_state: a seed, or a source of randomness of NumPy; it determines the weights and the validation rows.

    Attributes:
        function_: the trained function, a `runge.Function` in 64 bit, in the units of X and y. Its inputs and
            outputs have the names of the columns of X and y, if these are DataFrames.
        loss_curve_: the loss that is minimised, at the end of each block of up to `trainer.log_every` steps; not with
            `search`.
        leaderboard_: with `search`, a DataFrame with a row per candidate, the best first, as `runge.Answer` has it.
        n_features_in_: the number of inputs D.

    Example:
        >>> x = np.linspace(0, 1, 20)[:, None]
        >>> model = SobolevRegressor(max_steps=500, random_state=0).fit(x, np.sin(6 * x[:, 0]), dydx=6 * np.cos(6 * x))
        >>> model.predict_derivative(x).shape
        (20, 1)

    References:
        W. M. Czarnecki et al. (2017). Sobolev training for neural networks. https://arxiv.org/abs/1706.04859
    """

    def __init__(
        self,
        activation: str | None = None,
        depth: int | None = None,
        width: int | None = None,
        *,
        lambda_d: float | None = None,
        optimizer: str | Optimizer | None = None,
        max_steps: int | None = None,
        patience: int | None = None,
        batch_size: int | None = None,
        validation_fraction: float | None = None,
        precision: int | None = None,
        search: str | None = None,
        timeout: float | None = None,
        check: str = "warn",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.activation, self.depth = activation, depth
        self.width = width
        self.lambda_d, self.optimizer = lambda_d, optimizer
        self.max_steps, self.patience = max_steps, patience
        self.batch_size, self.validation_fraction = batch_size, validation_fraction
        self.precision, self.search = precision, search
        self.timeout, self.check = timeout, check
        self.random_state = random_state

    def fit(
        self, X: ArrayLike, y: ArrayLike, dydx: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Fit the network.

        Args:
            X: the inputs, (n, D).
            y: the values, (n,) or (n, P); NaN where one is not known. Of each output two must be known, or one and a
                derivative with respect to each input.
            dydx: the derivatives, (n, P, D); for one output also (n, D), for one input and output also (n,). NaN where
                one is not known. A DataFrame, whose index must be that of X, has columns with the names
                d<output>_d<input>, without units if these are in brackets, or for one output those of the inputs. An
                output without a name is y, or y1 to yP, and an input x, or x1 to xD.
            sample_weight: the weights of the rows, (n,), at least 0, in both terms of the loss and in the choice of the
                best weights; None: all are equal. Rows with 0 are left out. Not with `search`.

        Returns:
            The regressor itself, fitted.

        Raises:
            ValueError: an array or a parameter is not allowed, or derivatives contradict the values with check="raise".
            RunError: the loss was never finite.
            KeyboardInterrupt: it was interrupted.
        """
        for name, of_rows in (("y", y), ("dydx", dydx), ("sample_weight", sample_weight)):
            check_index(name, of_rows, X)
        of_inputs = {"dtype": np.float64, "ensure_min_samples": 2}
        x, labels = _VALIDATE(self, unmasked(X), unmasked(y), validate_separately=(of_inputs, OF_LABELS))
        check_consistent_length(x, labels)
        self._one_column = labels.ndim == 1
        values = labels.reshape(len(x), -1)
        names = column_names("x", X, x.shape[1]), column_names("y", y, values.shape[1])
        if self.search not in (None, "best"):
            raise ValueError(f"search: must be None or 'best', got {self.search!r}")
        for name, value in {"validation_fraction": self.validation_fraction, "sample_weight": sample_weight}.items():
            if self.search and value is not None:
                raise ValueError(f"{name}: must be None with search='best', got {value!s:.40}")
        for name in ("loss_curve_", "leaderboard_"):  # of an earlier fit, which had the other one
            vars(self).pop(name, None)
        with _fitting():
            weights = checked_weights(sample_weight, len(x))
            all_rows = x, values, read_derivatives(dydx, len(x), *names), weights
            arrays = [array[weights > 0] for array in all_rows]
            check_derivatives(arrays[0], arrays[1], arrays[2], *names, self.check)
            self.function_ = (self._race if self.search else self._train)(arrays, *names)
        return self

    def _train(self, arrays: Sequence[Floats], inputs: Names, outputs: Names) -> Function:
        """Train one network, in memory.

        Raises:
            RunError: the loss was never finite.
            KeyboardInterrupt: it was interrupted.
        """
        member = self._member(arrays, inputs, outputs)
        stack, rows = prepare([member]), cast(Rows, member.rows)
        try:
            train(stack)
        except SystemExit as error:  # from Lightning, on a second Ctrl-C
            raise KeyboardInterrupt from error
        if not stack.module.best_loss.isfinite().all():
            raise RunError("the loss is not finite; try an optimizer with a smaller lr, or a smaller lambda_d")
        self.loss_curve_ = list(stack.history.member(0)[TRAIN_LOSS])
        network = stack.module.best.requires_grad_(False).cpu().double().eval()
        function = Function(network, inputs=inputs, outputs=outputs, inside=training_region(member)["rows"].numpy())
        if rows.table.split["val"]:
            left_out = rows.split(member.data_seed.generator("data")).val
            errors = errors_of(function.jet, rows, left_out)[0].numpy()
            function.calibration = Calibration.of(errors, None, rows.groups[left_out])
        return function

    def _race(self, arrays: Sequence[Floats], inputs: Names, outputs: Names) -> Function:
        """Search for the best fit, in a directory that is removed afterwards."""
        if isinstance(self.optimizer, Optimizer):
            raise ValueError(f"optimizer: must be a name with search='best', got {self.optimizer}")
        keys = {f"{section}.{name}": name for section, names in _KEYS.items() for name in names}
        keys |= {"optimizer": "optimizer", "search.timeout": "timeout"}
        given = {key: value for key, name in keys.items() if (value := self._parameter(name)) is not None}
        given["seed"] = seed_of(self.random_state)
        overrides = [*overrides_of(given), *QUIET, "search.compare=false"]
        with TemporaryDirectory(prefix="runge-", ignore_cleanup_errors=True) as directory:
            try:
                answer = fit({"x": arrays[0], "y": arrays[1], "dydx": arrays[2]}, *overrides, directory=directory)
            except KeyboardInterrupt:  # its message names the directory
                raise KeyboardInterrupt from None
            board, function = answer.leaderboard, answer.function.double()
            self.leaderboard_ = board.drop(columns=["overrides", "runs"])
            function.calibration = function.calibration  # while its table is there
        function.inputs, function.outputs = inputs, outputs
        function.runs = ()
        return function

    def _parameter(self, name: str) -> Any:
        """Return a parameter as plain data; None: it is not given."""
        value = getattr(self, name)
        return value.item() if isinstance(value, np.generic) else value

    def _member(self, arrays: Sequence[Floats], inputs: Names, outputs: Names) -> Member:
        """Return the run: the command's configuration of a table, with the parameters of this estimator.

        The arrays become read-only.

        Raises:
            ConfigurationError: a parameter is not allowed, or the rows are too few.
        """
        steps = self._parameter("max_steps")
        configuration = composed(option_of(self.optimizer), steps if isinstance(steps, int) else None)
        for section, names in _KEYS.items():
            values = {name: value for name in names if (value := self._parameter(name)) is not None}
            configuration = configuration | {section: configuration[section] | values}
        split = configuration["data"]["split"] | {"test": 0.0}
        if (share := self.validation_fraction) is not None:
            if not (isinstance(share, Real) and 0 <= share < 1):
                raise ValueError(f"validation_fraction: must be in [0, 1), got {share!r}")
            split["val"] = float(share)
        configuration |= {"data": configuration["data"] | {"split": split}, "seed": seed_of(self.random_state)}
        settings = Settings.of(configuration)
        if isinstance(self.optimizer, Optimizer):
            settings = replace(settings, optimizer=self.optimizer)
        x, y, dydx, weights = arrays
        rows = RowsInMemory.of((x, y, dydx), inputs, outputs, cast(Table, settings.data), weights=weights)
        return Member(settings, rows=rows)

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: several outputs are allowed."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def predict(self, X: ArrayLike, return_std: bool = False) -> Any:
        """Return the values u at the rows of X, (n,), or (n, P) if y had columns.

        Args:
            X: the inputs, (n, D).
            return_std: then return a pair, of the values and of their standard deviations over the networks of the
                answer.

        Raises:
            ValueError: there is one network, which has no standard deviation.
        """
        x = self._checked_inputs(X)  # first: it says if there is no fit
        if return_std and self.function_.members == 1:
            raise ValueError("return_std: needs several networks, which search='best' trains; this fit has one")
        u = self._shaped(self.function_(x))
        return (u, self._shaped(self.function_.std(x))) if return_std else u

    def predict_interval(self, X: ArrayLike, level: float = 0.9) -> Floats:
        """Return the ends of intervals that contain this share of new labels, as `runge.Function.interval`.

        They are the last axis, with the lower end first: (n, 2), or (n, P, 2) if y had columns.

        Raises:
            ValueError: there are too few rows for the level.
        """
        ends = self.function_.interval(self._checked_inputs(X), level)
        return np.stack([self._shaped(end) for end in ends], axis=-1)

    def predict_derivative(self, X: ArrayLike) -> Floats:
        """Return the derivatives of u with respect to the inputs at the rows of X.

        They have the shape (n, D), or (n, P, D) if y had columns.
        """
        x = self._checked_inputs(X)
        return self._shaped(self.function_.derivative(x), x.shape[1])

    def predict_derivative_interval(self, X: ArrayLike, level: float = 0.9) -> Floats:
        """Return the ends of intervals for new labels of derivatives, (n, D, 2), or (n, P, D, 2) if y had columns.

        Raises:
            ValueError: there are too few rows for the level.
        """
        x = self._checked_inputs(X)
        ends = self.function_.derivative_interval(x, level)
        return np.stack([self._shaped(end, x.shape[1]) for end in ends], axis=-1)

    def outside(self, X: ArrayLike) -> Floats:
        """Return how far the rows of X are outside the training rows, (n,), as `runge.Function.outside`."""
        return self.function_.outside(self._checked_inputs(X)).reshape(-1)

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return R2, the coefficient of determination of the known values, a mean over the outputs that have any.

        Raises:
            ValueError: no value is known.
        """
        labels, u = CHECK(unmasked(y), input_name="y", **OF_LABELS), self.predict(X)
        check_consistent_length(u, labels, sample_weight)
        weight, scores = np.ones(len(u)) if sample_weight is None else np.asarray(sample_weight), []
        for label, values in zip(labels.reshape(len(u), -1).T, u.reshape(len(u), -1).T, strict=True):
            if (has_label := ~np.isnan(label)).any():
                scores.append(r2_score(label[has_label], values[has_label], sample_weight=weight[has_label]))
        if not scores:
            raise ValueError("y: none of its values is known; R2 needs at least two")
        return float(np.mean(scores))

    def score_derivative(self, X: ArrayLike, dydx: ArrayLike) -> float:
        r"""Return R2 of the known derivatives, :math:`1 - nrmse_{df}^2`, a mean over the outputs that have any.

        The nrmse is that of `runge.records.metrics` over these rows: the error of the gradient in standardised inputs.
        For `cross_val_score` or `GridSearchCV`, of which a scorer has only the rows of X and y, let the index of a
        DataFrame X find the derivatives of these rows: `scoring=lambda m, X, y: m.score_derivative(X,
        dydx.loc[X.index])`.

        Args:
            X: the inputs, (n, D).
            dydx: their derivatives, as for `fit`.

        Raises:
            ValueError: no derivative is known, or all are constant.
        """
        x, u = self._checked_inputs(X), self.function_
        check_index("dydx", dydx, X)
        slopes = read_derivatives(dydx, len(x), u.inputs, u.outputs)
        no_values = np.full(slopes.shape[:2], np.nan)
        residuals = u.derivative(x).reshape(slopes.shape) - slopes
        errors = Channels.of(x, no_values, slopes).nrmse(np.c_[no_values, residuals.reshape(len(x), -1)])[1]
        if np.isnan(errors).all():
            raise ValueError("dydx: must have known derivatives that are not constant; got none")
        return float(1 - np.nanmean(errors**2))

    def _shaped(self, result: Any, *inputs: int) -> Floats:
        """Return a result with an axis of the outputs if y had columns, and with one of the inputs if it has any."""
        return result.reshape(len(result), *([] if self._one_column else [len(self.function_.outputs)]), *inputs)

    def _checked_inputs(self, X: ArrayLike) -> Floats:
        check_is_fitted(self, "function_")
        return _VALIDATE(self, unmasked(X), dtype=np.float64, reset=False)


@contextmanager
def _fitting() -> Iterator[None]:
    """Name the parameters of the estimator in errors, and wait for another thread that trains."""
    try:
        with LOCK, machine.threads_restored():
            yield
    except ConfigurationError as error:
        named = r"^data\.(split|inputs|outputs|derivatives): ('X'|'dydx'|the arrays)"
        message = re.sub(named, lambda key: _PARAMETERS[key[1]], str(error))
        raise ValueError(re.sub(r"\b(model|loss|trainer|data|search)\.(?=\w)", "", message)) from error
