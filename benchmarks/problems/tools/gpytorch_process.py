"""GPyTorch: the process of values and gradients of its tutorial, one for each output."""

import importlib
from contextlib import ExitStack
from typing import Any, ClassVar, Self

import numpy as np
import torch
from tables import Array
from torch import Tensor

from tools.units import Units

gpytorch: Any = importlib.import_module("gpytorch")

AT_ONCE = 100  # points that are predicted together, because their covariance is computed with the means


class Process:
    """The tutorial's model, and its hundred steps of Adam with the rate 0.05, on standardised data.

    With `start`, the length scales at first, there are double precision, Cholesky's method, little noise and L-BFGS
    instead, as smooth functions without noise need them. NaN labels are left out by GPyTorch's own setting.
    """

    GRID: ClassVar = {"steps": 500}, *({"start": start, "steps": 200} for start in (0.5, 1.5, 5.0))

    def __init__(self, seed: int = 0, steps: int = 100, start: float | None = None) -> None:
        self.seed, self.steps, self.start = seed, steps, start

    def fit(self, x: Array, y: Array, dydx: Array) -> Self:
        torch.manual_seed(self.seed)
        self.units = Units(x, y, dydx)
        x, y, dydx = self.units.rows(x, y, dydx)
        labels = np.concatenate([y[..., None], dydx], axis=2)
        self.settings = "mask" if np.isnan(labels).any() else "ignore", self.start is not None
        with settings(*self.settings):
            self.models = [trained(self._tensor(x), self._tensor(one), self) for one in labels.transpose(1, 0, 2)]
        return self

    def predict(self, x: Array) -> Array:
        return self.units.values(self._both(x)[..., 0])

    def predict_derivative(self, x: Array) -> Array:
        return self.units.derivatives(self._both(x)[..., 1:])

    def _both(self, x: Array) -> Array:
        parts = self._tensor(self.units.points(x)).split(AT_ONCE)
        with settings(*self.settings), torch.no_grad():
            means = [torch.cat([model(part).mean for part in parts]) for model in self.models]
        return torch.stack(means, 1).numpy().astype(np.float64)

    def _tensor(self, rows: Array) -> Tensor:
        return torch.tensor(rows, dtype=torch.float32 if self.start is None else torch.float64)


class Gradients(gpytorch.models.ExactGP):
    """The tutorial's: a constant mean, and the squared exponential with a length scale for each input."""

    def __init__(self, x: Tensor, labels: Tensor, **noise: Any) -> None:
        super().__init__(x, labels, gpytorch.likelihoods.MultitaskGaussianLikelihood(labels.shape[1], **noise))
        self.mean_module = gpytorch.means.ConstantMeanGrad()
        self.covar_module = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernelGrad(ard_num_dims=x.shape[1]))

    def forward(self, x: Tensor) -> Any:
        return gpytorch.distributions.MultitaskMultivariateNormal(self.mean_module(x), self.covar_module(x))


def trained(x: Tensor, labels: Tensor, how: Process) -> Gradients:
    """Return the process of largest marginal likelihood.

    Args:
        x: inputs, (n, D), of the size of 1.
        labels: the value and the D partial derivatives of one output, (n, 1 + D).
        how: the optimiser, its steps and the length scales at first.
    """
    if how.start is None:
        model = Gradients(x, labels)
        optimizer: Any = torch.optim.Adam(model.parameters(), lr=0.05)
    else:
        least = gpytorch.constraints.GreaterThan(1e-12)
        model = Gradients(x, labels, noise_constraint=least, has_task_noise=False).double()
        model.covar_module.base_kernel.lengthscale, model.likelihood.noise = how.start, 1e-8
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=how.steps, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = -gpytorch.mlls.ExactMarginalLogLikelihood(model.likelihood, model)(model(x), labels)
        loss.backward()
        return loss

    for _ in range(how.steps if how.start is None else 1):
        optimizer.step(closure)
    return model.eval()


def settings(policy: str, exactly: bool) -> ExitStack:
    """Return GPyTorch's settings, without variances: what is done with NaN, and whether by Cholesky's method."""
    stack, all_settings = ExitStack(), gpytorch.settings
    chosen = [all_settings.skip_posterior_variances(), all_settings.observation_nan_policy(policy)]
    if exactly:
        chosen += [all_settings.max_cholesky_size(10_000), all_settings.cholesky_jitter(double_value=1e-12)]
        chosen.append(all_settings.cholesky_max_tries(8))
    for one in chosen:
        stack.enter_context(one)
    return stack
