"""A Gaussian process of values and gradients, by GPyTorch: the classical method for few points of a smooth function.

The covariance is the squared exponential with a length scale for each input (`RBFKernelGrad`). The marginal likelihood
of the training rows chooses length scales, amplitude, mean and noise, so that no row is needed for validation.
"""

import importlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from tables import Array, Rows
from torch import Tensor

STARTS = 0.5, 1.5  # length scales, in coordinates in which the box is [-1, 1]^D
JITTER = 1e-12  # the smallest variance of the noise, in that of the values; increased where Cholesky fails


def exactly(deviations: bool = False) -> ExitStack:
    """Return the settings of GPyTorch in which everything is computed by Cholesky's method."""
    stack, settings = ExitStack(), importlib.import_module("gpytorch").settings
    stack.enter_context(settings.max_cholesky_size(10_000))
    stack.enter_context(settings.cholesky_jitter(double_value=JITTER))
    stack.enter_context(settings.cholesky_max_tries(8))
    stack.enter_context(settings.skip_posterior_variances(not deviations))
    return stack


def trained(x: Tensor, labels: Tensor, starts: Sequence[float] = STARTS, steps: int = 200) -> Any:
    """Return the process with the largest marginal likelihood that is found from some length scales.

    Args:
        x: inputs, (n, D), of the size of 1.
        labels: the value and the D partial derivatives of one output, (n, 1 + D).
        starts: the length scales from which L-BFGS begins.
        steps: its steps.
    """
    gpytorch: Any = importlib.import_module("gpytorch")  # which only this peer needs
    inputs = x.shape[1]

    class Model(gpytorch.models.ExactGP):
        def __init__(self, likelihood: Any) -> None:
            super().__init__(x, labels, likelihood)
            self.mean_module = gpytorch.means.ConstantMeanGrad()
            self.covar_module = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernelGrad(ard_num_dims=inputs))

        def forward(self, x: Tensor) -> Any:
            return gpytorch.distributions.MultitaskMultivariateNormal(self.mean_module(x), self.covar_module(x))

    def begun(start: float) -> tuple[float, Model]:
        least = gpytorch.constraints.GreaterThan(JITTER)
        likelihood = gpytorch.likelihoods.MultitaskGaussianLikelihood(
            inputs + 1, noise_constraint=least, has_task_noise=False
        )
        model = Model(likelihood).double().train()
        model.covar_module.base_kernel.lengthscale = start
        likelihood.noise = 1e-8
        marginal = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=steps, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = -marginal(model(x), labels)
            loss.backward()
            return loss

        optimizer.step(closure)
        return float(closure().detach()), model.eval()

    with exactly():
        return min((begun(start) for start in starts), key=lambda found: found[0])[1]


def gaussian_process(rows: Rows, deviations: bool = False) -> Callable[[Array], Any]:
    """Fit one output to all rows; return a function of x, (m, D), to values (m, 1) and gradients (m, 1, D).

    With `deviations` the standard deviations of new labels follow, noise included, in the same shapes.
    """
    low, high = rows.x.min(axis=0), rows.x.max(axis=0)
    middle, half, mean, std = (low + high) / 2, (high - low) / 2, rows.y.mean(), rows.y.std()
    labels = np.concatenate([(rows.y - mean) / std, rows.dydx[:, 0] * half / std], axis=1)
    model = trained(torch.from_numpy((rows.x - middle) / half), torch.from_numpy(labels))

    @torch.no_grad()
    def fit(points: Array) -> tuple[Array, ...]:
        with exactly(deviations):
            posterior = model(torch.from_numpy((points - middle) / half))
            found = posterior.mean.numpy()
            parts = found[:, :1] * std + mean, found[:, None, 1:] * std / half
            if not deviations:
                return parts
            spread = model.likelihood(posterior).variance.clamp_min(0).sqrt().numpy()
        return *parts, spread[:, :1] * std, spread[:, None, 1:] * std / half

    return fit
