"""An estimator with scikit-learn's interface: arrays of values, and of derivatives, in any units."""

import logging
import math
import warnings
from collections.abc import Callable
from typing import Any, Self

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

try:
    from sklearn.base import BaseEstimator, RegressorMixin
    from sklearn.utils import check_array, check_random_state
    from sklearn.utils.multiclass import type_of_target
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError("runge.SobolevRegressor needs scikit-learn: pip install 'runge[sklearn]'") from error

from runge import machine
from runge.data import Dataset
from runge.errors import RunError
from runge.function import Function
from runge.metrics import TRAIN_LOSS
from runge.optimizers import Optimizer
from runge.schedules import Constant
from runge.sobolev.compilation import step_function
from runge.sobolev.network import Model
from runge.sobolev.points import Points
from runge.training.adaptation import StopEarly
from runge.training.datamodule import PointsDataModule
from runge.training.history import History
from runge.training.module import SobolevRegression
from runge.training.stack import IGNORED

__all__ = ["SobolevRegressor", "Standardized"]

Floats = NDArray[np.float64]


class Standardized(nn.Module):
    """A trained function of inputs and outputs in the user's units: u(x) = mean + std v((x - centre) / reach).

    Args:
        function: v, a function on the box [-1, 1]^D.
        centre: the centre of the box of the inputs, (D,).
        reach: half its lengths, (D,).
        mean: the mean of the values.
        std: their standard deviation.
    """

    centre: Tensor
    reach: Tensor

    def __init__(self, function: Function, centre: Floats, reach: Floats, mean: float, std: float) -> None:
        super().__init__()
        self.function, self.mean, self.std = function, mean, std
        self.register_buffer("centre", torch.from_numpy(centre))
        self.register_buffer("reach", torch.from_numpy(reach))

    def forward(self, x: Tensor) -> Tensor:
        """Return u at points (N, D), as a tensor (N,)."""
        return self.mean + self.std * self.function(self._inside(x)).reshape(len(x))

    def derivative(self, x: Tensor) -> Tensor:
        """Return the gradient of u at points (N, D), as a tensor of that shape."""
        return self.std / self.reach * self.function.derivative(self._inside(x)).reshape(x.shape)

    def _inside(self, x: Tensor) -> Tensor:
        return (x - self.centre) / self.reach


class SobolevRegressor(RegressorMixin, BaseEstimator):
    """A neural network that is fitted to values and to their derivatives.

    Inputs are scaled to their range and values to a standard deviation of 1, and the derivatives follow by the chain
    rule, so that no scaler is needed. Behind a scaler in a `Pipeline` all derivatives, those of `fit` and those of
    `predict_derivative`, are those by the scaled inputs: dy/dx times the scaler's `scale_`.

    Args:
        activation: as `model.activation`.
        depth: the hidden layers.
        width: the neurons in each.
        lambda_d: the weight of the derivative's mean squared error in the loss, in which the derivative is divided by
            its root mean square; without derivatives it has no effect.
        optimizer: the optimiser's settings, an object from `runge.optimizers`; None: Adam.
        max_steps: the optimiser steps.
        batch_size: the rows of a mini-batch; None: all rows at every step.
        validation_fraction: the share of the rows, in [0, 1), by which the best weights are chosen; 0: by all rows.
        precision: 32 or 64 bit.
        random_state: a seed, or a source of randomness of NumPy; it decides on the weights and the validation rows.

    Attributes:
        function_: the trained function, a `Standardized` module in 64 bit of points in the units of X.
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
            y: the values, (n,).
            dydx: the derivatives, (n, D), or (n,) for one input; a row of NaN where they are not known.

        Raises:
            ValueError: an array or a parameter is not as it must be.
        """
        validate: Any = validate_data  # whose own hints are those of its defaults
        x, values = validate(self, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=2)
        slopes = _checked(dydx, x.shape)
        if not (0 <= self.validation_fraction < 1 and 0 <= self.lambda_d < math.inf and self.precision in (32, 64)):
            raise ValueError(
                "validation_fraction must be in [0, 1), lambda_d finite and >= 0, precision 32 or 64; got "
                f"{self.validation_fraction}, {self.lambda_d} and {self.precision}"
            )
        type_of_target(values, input_name="y", raise_unknown=True)
        random = check_random_state(self.random_state)
        seed, rows = int(random.randint(10**9)), random.permutation(len(x))
        held = round(self.validation_fraction * len(x))
        train, validation = np.sort(rows[held:]), np.sort(rows[:held] if held else rows)
        if len(train) < 2:
            raise ValueError(f"validation_fraction: must leave two rows, got {self.validation_fraction} of {len(x)}")

        lower, upper = x[train].min(0), x[train].max(0)
        centre, reach = (lower + upper) / 2, np.where(upper > lower, (upper - lower) / 2, 1)
        mean, std = float(values[train].mean()), float(values[train].std()) or 1.0
        scaled = (x - centre) / reach, (values - mean) / std, slopes * reach / std
        parts = [_points(*(column[index] for column in scaled)) for index in (train, validation, validation)]
        dtype = torch.float32 if self.precision == 32 else torch.float64
        dataset = Dataset(*(points.to(dtype=dtype) for points in parts))
        known = bool(dataset.train.weight_df.any())
        scale = float(dataset.train.df.square().sum(-1)[dataset.train.weight_df > 0].mean().sqrt()) if known else 1.0

        data = PointsDataModule(dataset, [seed], batch_size=self.batch_size)
        model: Any = {"activation": self.activation, "depth": self.depth, "width": self.width}
        module = SobolevRegression(
            np.array([[-1.0, 1.0]] * x.shape[1]).tolist(),
            seed=seed,
            lambda_d=self.lambda_d if known else 0.0,
            scale=scale or 1.0,
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
            dtype=dtype,
            **model,
        )
        self.loss_curve_ = _train(module, data)
        function = Function(module.best.requires_grad_(False).double().eval())
        self.function_ = Standardized(function, centre, reach, mean, std)
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """Return the values u at the rows of X, (n,)."""
        return self._points(X, lambda x: self.function_(x))

    def predict_derivative(self, X: ArrayLike) -> Floats:
        """Return the derivatives of u by the inputs at the rows of X, (n, D)."""
        return self._points(X, lambda x: self.function_.derivative(x))

    def _points(self, X: ArrayLike, function: Callable[[Tensor], Tensor]) -> Floats:
        check_is_fitted(self, "function_")
        validate: Any = validate_data
        return function(torch.tensor(validate(self, X, dtype=np.float64, reset=False))).numpy()


def _checked(dydx: ArrayLike | None, shape: tuple[int, int]) -> Floats:
    """Return the derivatives, (n, D); NaN where they are not known."""
    if dydx is None:
        return np.full(shape, np.nan)
    check: Any = check_array
    slopes = check(dydx, dtype=np.float64, ensure_2d=False, ensure_all_finite="allow-nan", input_name="dydx")
    slopes = slopes[:, None] if slopes.ndim == 1 and shape[1] == 1 else slopes
    if slopes.shape != shape:
        raise ValueError(f"dydx: must have the shape of X, {shape}; got {slopes.shape}")
    missing = np.isnan(slopes)
    if (missing.any(1) & ~missing.all(1)).any():
        raise ValueError(
            f"dydx: a row must have all derivatives or none; row {int((missing.any(1) & ~missing.all(1)).argmax())} "
            "has some"
        )
    return slopes


def _points(x: Floats, f: Floats, df: Floats) -> Points:
    """Return points with equal weights, without weight where the derivative is NaN."""
    known = torch.from_numpy(~np.isnan(df).any(1)).double()
    parts = (torch.from_numpy(x), torch.from_numpy(f), torch.from_numpy(np.nan_to_num(df)))
    weights = (torch.full_like(known, 1 / len(x)), known / known.sum().clamp_min(1), torch.ones_like(known)[None])
    return Points(*(part[None] for part in (*parts, *weights)), regions=())  # pyright: ignore[reportCallIssue]


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
