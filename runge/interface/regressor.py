"""An estimator with scikit-learn's interface: what the command does with a table, for arrays and DataFrames."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from numbers import Real
from tempfile import TemporaryDirectory
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted, validate_data

from runge.composing.composition import LOCK
from runge.configuration.command_line import overrides_of
from runge.configuration.errors import ConfigurationError, RunError
from runge.configuration.validation import Floats
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
    checked_derivatives,
    composed,
    option_of,
    seed_of,
)
from runge.metrics import TRAIN_LOSS
from runge.optimizers import Optimizer
from runge.training.evaluation import training_region
from runge.training.member import Member
from runge.training.prepare import prepare
from runge.training.settings import Settings
from runge.training.train import train

__all__ = ["SobolevRegressor"]

_VALIDATE: Any = validate_data  # like `CHECK`, it returns what its hints do not say
_TRAINER = ("max_steps", "patience", "precision")
_KEYS = {"model": ("activation", "depth", "width"), "loss": ("lambda_d",), "data": ("batch_size",), "trainer": _TRAINER}
_DEFAULTS = {"lambda_d": 1.0, "optimizer": "adamw", "validation_fraction": 0.15}
_PARAMETERS = {"split": "validation_fraction", "inputs": "X", "outputs": "y"}  # instead of the keys of a table


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
        activation: as `model.activation`; None (here and below): the command's default for this optimiser.
        depth: the hidden layers.
        width: the neurons in each.
        lambda_d: as `loss.lambda_d`; without derivatives it has no effect.
        optimizer: the name of an option, which brings the settings of `conf/optimizer/NAME.yaml`; or an object from
            `runge.optimizers`.
        max_steps: as `trainer.max_steps`.
        patience: as `trainer.patience`.
        batch_size: as `data.batch_size`.
        validation_fraction: the share of the rows, in [0, 1), by which the best weights are chosen; rows with the same
            inputs are all among them, or none. 0: all rows are for training, and the weights are chosen by them.
        precision: 32 or 64 bit.
        search: "best": the fit is the answer of `runge fit FILE`, made of the candidate that is best in rows left
            out of training; all candidates have the parameters above that are not their defaults. None: one network.
        timeout: the seconds that the search may take.
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
        lambda_d: float = 1.0,
        optimizer: str | Optimizer = "adamw",
        max_steps: int | None = None,
        patience: int | None = None,
        batch_size: int | None = None,
        validation_fraction: float = 0.15,
        precision: int | None = None,
        search: str | None = None,
        timeout: float = 60,
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

    def fit(self, X: ArrayLike, y: ArrayLike, dydx: ArrayLike | None = None) -> Self:
        """Fit the network.

        Args:
            X: the inputs, (n, D).
            y: the values, (n,) or (n, P); NaN where one is not known. Of each output two must be known, or one and a
                derivative with respect to each input.
            dydx: the derivatives, (n, P, D); for one output also (n, D), for one input and output also (n,). NaN where
                one is not known. A DataFrame, whose index must be that of X, has columns with the names
                d<output>_d<input>, or for one output those of the inputs. An output without a name is y, or y1 to yP,
                and an input x, or x1 to xD.

        Returns:
            The regressor itself, fitted.

        Raises:
            ValueError: an array or a parameter is not allowed, or derivatives contradict the values with check="raise".
            RunError: the loss was never finite.
            KeyboardInterrupt: it was interrupted.
        """
        for name, labels in (("y", y), ("dydx", dydx)):
            check_index(name, labels, X)
        of_inputs = {"dtype": np.float64, "ensure_min_samples": 2}
        x, labels = _VALIDATE(self, unmasked(X), unmasked(y), validate_separately=(of_inputs, OF_LABELS))
        check_consistent_length(x, labels)
        self._one_column = labels.ndim == 1
        values = labels.reshape(len(x), -1)
        inputs, outputs = column_names("x", X, x.shape[1]), column_names("y", y, values.shape[1])
        slopes = checked_derivatives(unmasked(dydx), x, values, inputs, outputs, self.check)
        if (search := self.search) not in (None, "best"):
            raise ValueError(f"search: must be None or 'best', got {search!r}")
        for name in ("loss_curve_", "leaderboard_"):  # of an earlier fit, which had the other one
            vars(self).pop(name, None)
        with _fitting():
            self.function_ = (self._race if search else self._train)(x, values, slopes, inputs, outputs)
        return self

    def _train(self, x: Floats, y: Floats, dydx: Floats, inputs: Names, outputs: Names) -> Function:
        """Train one network, in memory.

        Raises:
            RunError: the loss was never finite.
            KeyboardInterrupt: it was interrupted.
        """
        member = self._member(x, y, dydx, inputs, outputs)
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
        if self.validation_fraction:
            left_out = rows.split(member.data_seed.generator("data")).val
            function.calibration = Calibration.of(errors_of(function.jet, rows, left_out)[0].numpy(), None)
        return function

    def _race(self, x: Floats, y: Floats, dydx: Floats, inputs: Names, outputs: Names) -> Function:
        """Search for the best fit, in a directory that is removed afterwards."""
        for name, rule in {"optimizer": "a name", "validation_fraction": "its default"}.items():
            if not isinstance(value := self._parameter(name), str | None):
                raise ValueError(f"{name}: must be {rule} with search='best', got {value}")
        keys = {f"{section}.{name}": name for section, names in _KEYS.items() for name in names}
        keys |= {"optimizer": "optimizer", "search.timeout": "timeout"}
        given = {key: value for key, name in keys.items() if (value := self._parameter(name)) is not None}
        given["seed"] = seed_of(self.random_state)
        overrides = [*overrides_of(given), *QUIET, "search.compare=false"]
        with TemporaryDirectory(prefix="runge-", ignore_cleanup_errors=True) as directory:
            try:
                answer = fit({"x": x, "y": y, "dydx": dydx}, *overrides, directory=directory)
            except KeyboardInterrupt:  # its message names the directory
                raise KeyboardInterrupt from None
            board, function = answer.leaderboard, answer.function.double()
            self.leaderboard_ = board.drop(columns=["overrides", "runs"])
            function.calibration = function.calibration  # while its table is there
        function.inputs, function.outputs = inputs, outputs
        function.runs = ()
        return function

    def _parameter(self, name: str) -> Any:
        """Return a parameter as plain data; None: it is not given, or its default."""
        value = getattr(self, name)
        value = value.item() if isinstance(value, np.generic) else value
        return None if value == _DEFAULTS.get(name) else value

    def _member(self, x: Floats, y: Floats, dydx: Floats, inputs: Names, outputs: Names) -> Member:
        """Return the run: the command's configuration of a table, with the parameters of this estimator.

        Raises:
            ConfigurationError: a parameter is not allowed, or the rows are too few.
        """
        share = self.validation_fraction
        if not (isinstance(share, Real) and 0 <= share < 1):
            raise ValueError(f"validation_fraction: must be in [0, 1), got {share!r}")
        steps = self._parameter("max_steps")
        configuration = composed(option_of(self.optimizer), steps if isinstance(steps, int) else None)
        for section, names in _KEYS.items():
            values = {name: value for name in names if (value := self._parameter(name)) is not None}
            configuration = configuration | {section: configuration[section] | values}
        split = {"split": {"train": None, "val": float(share), "test": 0.0}}
        configuration |= {"data": configuration["data"] | split, "seed": seed_of(self.random_state)}
        settings = Settings.of(configuration)
        if not isinstance(self.optimizer, str):
            settings = replace(settings, optimizer=self.optimizer)
        copies = x.copy(), y.copy(), dydx.copy()  # which become read-only
        rows = RowsInMemory.of(copies, inputs, outputs, cast(Table, settings.data))
        return Member(settings, rows=rows)

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: several outputs are allowed."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def predict(self, X: ArrayLike, return_std: bool = False, return_interval: float | None = None) -> Any:
        """Return the values u at the rows of X, (n,), or (n, P) if y had columns; in a tuple, if more is asked for.

        Args:
            X: the inputs, (n, D).
            return_std: then also return their standard deviation over the networks of the answer.
            return_interval: a level such as 0.9; then also return the lower and the upper ends of intervals that
                contain this share of new labels, as `runge.Function.interval`.

        Raises:
            ValueError: there is one network, which has no standard deviation, or there are too few rows for the level.
        """
        x = self._checked_inputs(X)  # first: it says if there is no fit
        if return_std and self.function_.members == 1:
            raise ValueError("return_std: needs several networks, which search='best' trains; this fit has one")
        results = [self.function_(x), *([self.function_.std(x)] if return_std else [])]
        results += [] if return_interval is None else self.function_.interval(x, return_interval)
        shape = (len(x),) if self._one_column else (len(x), -1)
        u, *errors = [result.reshape(shape) for result in results]
        return (u, *errors) if errors else u

    def predict_derivative(self, X: ArrayLike, return_interval: float | None = None) -> Any:
        """Return the derivatives of u with respect to the inputs at the rows of X.

        They have the shape (n, D), or (n, P, D) if y had columns.

        With `return_interval` also the lower and the upper ends of intervals, as `predict`.
        """
        x = self._checked_inputs(X)
        results = [self.function_.derivative(x)]
        results += [] if return_interval is None else self.function_.derivative_interval(x, return_interval)
        shape = x.shape if self._one_column else (len(x), -1, x.shape[1])
        du, *ends = [result.reshape(shape) for result in results]
        return (du, *ends) if ends else du

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

    def _checked_inputs(self, X: ArrayLike) -> Floats:
        check_is_fitted(self, "function_")
        return _VALIDATE(self, unmasked(X), dtype=np.float64, reset=False)


@contextmanager
def _fitting() -> Iterator[None]:
    """Name the parameters of the estimator in errors, and wait for another thread that trains."""
    threads = torch.get_num_threads()
    try:
        with LOCK:
            yield
    except ConfigurationError as error:
        named = r"^data\.(split|inputs|outputs): ('X'|the arrays)"
        message = re.sub(named, lambda key: _PARAMETERS[key[1]], str(error))
        raise ValueError(re.sub(r"\b(model|loss|trainer|data|search)\.(?=\w)", "", message)) from error
    finally:
        torch.set_num_threads(threads)
