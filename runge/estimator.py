"""An estimator with scikit-learn's interface: arrays of values, and of derivatives, in any units."""

import logging
import math
import warnings
from typing import Any, Self

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from runge import machine
from runge.data import Dataset, row_points
from runge.errors import RunError
from runge.function import Function
from runge.metrics import TRAIN_LOSS
from runge.optimizers import Optimizer
from runge.records.columns import input_names
from runge.schedules import Constant
from runge.sobolev.compilation import step_function
from runge.sobolev.network import Model
from runge.training.datamodule import PointsDataModule, RowsDataModule
from runge.training.history import History
from runge.training.module import SobolevRegression
from runge.training.stack import IGNORED
from runge.training.stopping import StopEarly

__all__ = ["SobolevRegressor"]

Floats = NDArray[np.float64]


class SobolevRegressor(RegressorMixin, BaseEstimator):
    """A neural network that is fitted to values and to their derivatives.

    Inputs and outputs are standardised, and the derivatives follow by the chain rule, so that no scaler is needed.
    Behind a scaler in a `Pipeline` all derivatives, those of `fit` and those of `predict_derivative`, are those by the
    scaled inputs: dy/dx times the scaler's `scale_`.

    Args:
        activation: as `model.activation`.
        depth: the hidden layers.
        width: the neurons in each.
        lambda_d: the weight of the derivatives' mean squared error in the loss, in which every partial derivative is
            divided by its root mean square; without derivatives it has no effect.
        optimizer: the optimiser's settings, an object from `runge.optimizers`; None: Adam.
        max_steps: the optimiser steps.
        batch_size: the rows of a mini-batch; None: all rows at every step.
        validation_fraction: the share of the rows, in [0, 1), by which the best weights are chosen; 0: by all rows.
        precision: 32 or 64 bit.
        random_state: a seed, or a source of randomness of NumPy; it decides on the weights and the validation rows.

    Attributes:
        function_: the trained function, a `runge.function.Function` in 64 bit, in the units of X and y.
        loss_curve_: the loss that is minimised, at the end of each block of up to 100 steps.
        n_features_in_: the number of inputs D.

    Example:
        >>> x = np.linspace(0, 1, 20)[:, None]
        >>> model = SobolevRegressor(max_steps=500, random_state=0).fit(x, np.sin(6 * x[:, 0]), dydx=6 * np.cos(6 * x))
        >>> model.score(x, np.sin(6 * x[:, 0])) > 0.999
        True
        >>> model.predict_derivative(x).shape
        (20, 1)
    """

    def __init__(
        self,
        activation: str = "tanh",
        depth: int = 2,
        width: int = 64,
        *,
        lambda_d: float = 1.0,
        optimizer: Optimizer | None = None,
        max_steps: int = 2000,
        batch_size: int | None = None,
        validation_fraction: float = 0.0,
        precision: int = 32,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.activation, self.depth, self.width = activation, depth, width
        self.lambda_d, self.optimizer, self.max_steps, self.batch_size = lambda_d, optimizer, max_steps, batch_size
        self.validation_fraction, self.precision, self.random_state = validation_fraction, precision, random_state

    def fit(self, X: ArrayLike, y: ArrayLike, dydx: ArrayLike | None = None) -> Self:
        """Fit the network.

        Args:
            X: the inputs, (n, D).
            y: the values, (n,) or (n, P).
            dydx: the derivatives, (n, P, D); for one output also (n, D), for one input and output also (n,). NaN where
                one is not known.

        Raises:
            ValueError: an array or a parameter is not as it must be.
        """
        validate: Any = validate_data  # whose own hints are those of its defaults
        x, labels = validate(self, X, y, dtype=np.float64, y_numeric=True, multi_output=True, ensure_min_samples=2)
        if not (0 <= self.validation_fraction < 1 and 0 <= self.lambda_d < math.inf and self.precision in (32, 64)):
            raise ValueError(
                "validation_fraction must be in [0, 1), lambda_d finite and >= 0, precision 32 or 64; got "
                f"{self.validation_fraction}, {self.lambda_d} and {self.precision}"
            )
        type_of_target(labels, input_name="y", raise_unknown=True)
        self._one_column = labels.ndim == 1
        values = labels.astype(np.float64).reshape(len(x), -1)
        slopes = _checked(dydx, (len(x), values.shape[1], x.shape[1]))
        random = check_random_state(self.random_state)
        seed, rows = int(random.randint(10**9)), random.permutation(len(x))
        held = round(self.validation_fraction * len(x))
        train, validation = np.sort(rows[held:]), np.sort(rows[:held] if held else rows)
        if len(train) < 2:
            raise ValueError(f"validation_fraction: must leave two rows, got {self.validation_fraction} of {len(x)}")

        outputs = [f"y{p + 1}" for p in range(values.shape[1])] if values.shape[1] > 1 else ["f"]
        fitted, held_out = (row_points(x[i], values[i], slopes[i], outputs) for i in (train, validation))
        dtype = torch.float32 if self.precision == 32 else torch.float64
        data = RowsDataModule(
            [Dataset(fitted, held_out, held_out)],
            input_names(x.shape[1]),
            [seed],
            dtype=dtype,
            batch_size=self.batch_size,
        )
        known = bool(data.dataset.train.weight_df.any())
        model: Any = {"activation": self.activation, "depth": self.depth, "width": self.width}
        module = SobolevRegression(
            data.box,
            seed=seed,
            lambda_d=self.lambda_d if known else 0.0,
            schedule=Constant(),
            optimizer=self.optimizer,
            max_steps=self.max_steps,
            loss_and_gradient=step_function(
                "auto",
                Model(**model),
                dtype,
                neurons=data.batch * (1 + x.shape[1]) * self.depth * self.width,
                steps=self.max_steps,
                with_derivative=known,
            ),
            log_figures=False,
            outputs=len(outputs),
            units=data.units,
            dtype=dtype,
            **model,
        )
        self.loss_curve_ = _train(module, data)
        self.function_ = Function(module.best.requires_grad_(False).double().eval(), outputs=outputs)
        return self

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: several outputs are allowed."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def predict(self, X: ArrayLike) -> Floats:
        """Return the values u at the rows of X, (n,), or (n, P) if y had columns."""
        x = self._checked_inputs(X)
        u = self.function_(x)
        return u.reshape(len(x)) if self._one_column else u.reshape(len(x), -1)

    def predict_derivative(self, X: ArrayLike) -> Floats:
        """Return the derivatives of u by the inputs at the rows of X, (n, D), or (n, P, D) if y had columns."""
        x = self._checked_inputs(X)
        du = self.function_.derivative(x)
        return du.reshape(x.shape) if self._one_column else du.reshape(len(x), -1, x.shape[1])

    def _checked_inputs(self, X: ArrayLike) -> Floats:
        check_is_fitted(self, "function_")
        validate: Any = validate_data
        return validate(self, X, dtype=np.float64, reset=False)


def _checked(dydx: ArrayLike | None, shape: tuple[int, int, int]) -> Floats:
    """Return the derivatives, (n, P, D); NaN where they are not known."""
    if dydx is None:
        return np.full(shape, np.nan)
    check: Any = check_array
    slopes = check(
        dydx, dtype=np.float64, ensure_2d=False, allow_nd=True, ensure_all_finite="allow-nan", input_name="dydx"
    )
    n, outputs, dimension = shape
    allowed = [shape, *([(n, dimension)] if outputs == 1 else []), *([(n,)] if outputs == dimension == 1 else [])]
    if slopes.shape not in allowed:
        raise ValueError(f"dydx: must have the shape {' or '.join(map(str, allowed))}; got {slopes.shape}")
    return slopes.reshape(shape)


def _train(module: SobolevRegression, data: PointsDataModule) -> list[float]:
    """Fit a module, and return its losses; threads and log levels are left as they were.

    Raises:
        RunError: the loss was never finite.
    """
    history, log, threads = History(), logging.getLogger("lightning.pytorch"), torch.get_num_threads()
    level = log.level
    try:
        log.setLevel(logging.WARNING)
        machine.use_threads(data.batch * (1 + module.network.dimension) * module.network.stage(0).shapes[0][1])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", IGNORED)
            trainer = pl.Trainer(
                accelerator="cpu",
                devices=1,
                logger=False,
                callbacks=[history, StopEarly()],
                plugins=[LightningEnvironment()],
                enable_checkpointing=False,
                max_epochs=-1,
                num_sanity_val_steps=0,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.fit(module, data)
    finally:
        log.setLevel(level)
        torch.set_num_threads(threads)
    if not module.best_loss.isfinite().all():
        raise RunError("the loss is not finite; try an optimizer with a smaller lr, or a smaller lambda_d")
    return list(history.member(0)[TRAIN_LOSS])
