"""A network whose hidden layer is drawn from length scales, which are learnt by the evidence of the rows."""

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Parameter

from runge.configuration.validation import Floats, checked
from runge.optimizers.conjugate import improve_last_layer
from runge.optimizers.least_squares import RANK, FixedNeurons, libraries, sketch_last_layer, solve_last_layer
from runge.optimizers.optimizer import Problem
from runge.sobolev import losses
from runge.sobolev.jacobian import readout

__all__ = ["RandomFeatures", "evidence"]

_FIRST_RESIDUALS, _MOST_RESIDUALS = 300, 600
"""The residuals of one output in the evidence, at the first step, and from the second on: with 200 and 400 the errors
of a planet's energy, with 5 residuals a row, are 3 to 6 times as large, and with 400 and 800 no smaller."""

_ITERATIONS = 20
"""The iterations of L-BFGS at a step."""

_LOG_SCALES = (-5.0, 8.0)
"""The bounds of log l, of an input in [-1, 1]: 0.007, and 3000, with which an input hardly matters."""

_LOG_NOISES = (-60.0, 2.0)
"""The bounds of the logarithm of a variance of the noise: sqrt(exp(-60)) = 1e-13 is near round-off."""

_FIRST_LOG_NOISE = -14.0
"""The logarithm of a variance of the noise at the start, a noise of 1e-3."""

_DECOMPOSED_PER_WEIGHT = 4
"""The residuals of an output over its weights, or sums of residuals, of which a QR decomposition is computed."""

_FIRST_PER_WEIGHT = 32
"""The residuals of an output over its weights at the first step: sqrt(1 + 1/32) of the error of all rows."""

_CONJUGATE_ITERATIONS = 6
"""The iterations on all rows, after which the errors are those of a decomposition of all of them."""

_BIAS_DEVIATION = 10.0
"""The standard deviation of the last layer's bias, over the standard deviation of the sum over neurons."""


class Evidence(NamedTuple):
    """The negative logarithm of a marginal likelihood, and its gradient."""

    value: float
    features: Floats  # its derivative with respect to H, (R, C)
    noise: Floats  # with respect to the logarithm of each residual's variance, (R,)


@checked
class RandomFeatures(FixedNeurons):
    r"""Fixed neurons with learnt scales: a hidden layer as drawn, divided by a length scale for each input.

    The scales l_d are those of highest evidence, as of a Gaussian process whose kernel the neurons sample. The weights
    of the first layer are W_d = w_d / l_d with w as drawn. The C weights c of the last layer have the prior
    N(0, 2 s^2 / C). The values and derivatives y, each multiplied by the root of its weight in the loss, then have

    .. math:: y \sim N(0, s^2 K), \quad K = \tfrac{2}{C} H H^T + \operatorname{diag}(\nu), \quad
              -\log p = \tfrac{1}{2} \log |K| + \tfrac{R}{2} \log s^2 + \text{const}, \quad s^2 = y^T K^{-1} y / R,

    with the R rows H of the neurons' values and derivatives, and two variances nu of the noise, of values and of
    derivatives. Outputs share the scales and the noise, and each has its own s. L-BFGS minimises the sum over the
    outputs. K is not computed: its Cholesky factor is the triangle of a QR decomposition of
    [(2 / C)^(1/2) H, nu^(1/2)]^T, which resolves a noise of 1e-13 where that of K itself resolves 1e-8.

    The first step takes random rows with 300 residuals. Each further one takes random rows with 600, and begins with
    the scales of the step before. Each step ends with the last layer of highest posterior density for all rows, a ridge
    regression, in which the noise takes the place of `loss.lambda_d`. With many rows only four times as many sums of
    residuals as the layer has weights are decomposed, by `sketch_last_layer`. Conjugate gradients, which this
    decomposition preconditions, continue from there on all rows. The first step, after which a run may end because its
    time is over, has at most 32 times as many residuals as weights.

    With `model.activation=sin` and `model.init=fourier` the neurons are random Fourier features of the kernel
    exp(-sum_d (x_d - z_d)^2 / (2 D l_d^2)), because w is drawn with a variance of 1 / D. The logged scales are
    D^(1/2) l_d. It is accurate for smooth functions and a few hundred rows, also if their labels have noise.

    References:
        V. Rokhlin, M. Tygert (2008). A fast randomized algorithm for overdetermined linear least-squares regression.
        https://doi.org/10.1073/pnas.0804869105
        A. Rahimi, B. Recht (2007). Random features for large-scale kernel machines.
        https://papers.nips.cc/paper/3182-random-features-for-large-scale-kernel-machines
        C. E. Rasmussen, C. K. I. Williams (2006). Gaussian processes for machine learning, sections 5.4 and 9.4.
        http://gaussianprocess.org/gpml/
        M. Lazaro-Gredilla et al. (2010). Sparse spectrum Gaussian process regression.
        https://jmlr.org/papers/v11/lazaro-gredilla10a.html
    """

    def products(self, errors: int, weights: int, width: int) -> float:
        """Estimate the multiplications: of the evidence at each iteration, and of the last layer."""
        rows = min(errors, _MOST_RESIDUALS)
        decomposed = min(errors, _DECOMPOSED_PER_WEIGHT * width)
        solution = 4.0 * (decomposed + width) * width**2 + 4.0 * _CONJUGATE_ITERATIONS * errors * width
        return _ITERATIONS * 6.0 * (rows + width) * rows**2 + solution

    @torch.no_grad()
    def step(self, optimizer: torch.optim.Optimizer, problem: Problem, progress: float) -> None:
        """Learn the scales from more rows than the step before, and solve the last layer for all rows."""
        network, (points, dimension) = problem.network, problem.points.x.shape[1:]
        for tensor in network.layers()[-1]:
            tensor.zero_()
        state = optimizer.state[network.theta]
        if first := not state:
            state["learnt"] = network.theta.new_zeros(len(network.theta), dimension + 2)
            state["learnt"][:, -2:] = _FIRST_LOG_NOISE
            state["residuals"] = torch.full_like(network.theta[:, 0], _FIRST_RESIDUALS)
        learnt, residuals = state["learnt"], state["residuals"]
        levels = _levels(problem)
        rows = 1 + dimension * (problem.lambda_d is not None)  # of an output at a point
        chosen = _random(points, -(-int(residuals.max()) // rows))
        for i in range(len(learnt)):
            member = problem.take(torch.tensor([i], device=learnt.device))
            learnt[i] = _learn(member.on(chosen), learnt[i], levels[i])
            network.theta[i] = member.network.theta[0]
        residuals.mul_(2).clamp_(max=_MOST_RESIDUALS)
        variances = learnt[:, -2:].exp() * levels  # of values and derivatives in the units of the loss
        lambda_d = None if problem.lambda_d is None else problem.lambda_d * variances[:, 0] / variances[:, 1]
        width = network.shapes[-1][0]
        whole, ridge = replace(problem, lambda_d=lambda_d), variances[:, 0] * width / 2
        if first:
            whole = whole.on(_random(points, int(_FIRST_PER_WEIGHT * (width + 1)) // rows))
        sketched = _DECOMPOSED_PER_WEIGHT * (width + 1)
        if rows * whole.points.x.shape[1] <= sketched:
            solve_last_layer(whole, RANK, ridge)
        else:
            factorisations = sketch_last_layer(whole, RANK, ridge, sketched)
            improve_last_layer(whole, ridge, factorisations, _CONJUGATE_ITERATIONS)

    def figures(self, optimizer: torch.optim.Optimizer, parameter: Parameter, progress: float) -> dict[str, Tensor]:
        """Return the length scale of the kernel for each input, D^(1/2) l_d, in a domain of [-1, 1]^D."""
        if parameter not in optimizer.state:
            return {}
        learnt = optimizer.state[parameter]["learnt"][:, :-2]
        scales = learnt.shape[1] ** 0.5 * learnt.exp()  # the weights as drawn have a variance of 1/D
        return {f"scale_{d}": scale for d, scale in enumerate(scales.unbind(1), start=1)}


def _random(points: int, count: int) -> Tensor:
    """Return the indices of random points, at most some number, in order."""
    return torch.randperm(points, generator=torch.Generator().manual_seed(0))[: max(count, 1)].sort()[0]


def _levels(problem: Problem) -> Tensor:
    """Return the mean weight in the loss of the known values, and of the known derivatives, (M, 2); 1 without any."""
    weights = [problem.points.weight_f.flatten(1)]
    if problem.lambda_d is not None:
        weights.append((problem.lambda_d / problem.scale.square())[:, None] * problem.points.weight_df.flatten(1))
    means = [weight.sum(1) / (weight > 0).sum(1) for weight in weights]
    means += [torch.ones_like(means[0])] * (2 - len(means))
    return torch.stack(means, dim=1).nan_to_num(1.0)


_System = tuple[NDArray[np.bool_], Floats, Floats, NDArray[np.bool_]]
"""The rows of the outputs whose labels have the same weights: which rows of the features have a label, (R,); the roots
of their weights, (K,); their labels times these roots, (K, P); and which of them are derivatives, (K,)."""


def _systems(problem: Problem, level: Tensor) -> list[_System]:
    """Return the systems of a member whose last layer is 0, with weights of 1 for values and derivatives on average."""
    u, du, _ = problem.network.propagate(problem.points.x, with_derivative=problem.lambda_d is not None)
    errors, weights = losses.least_squares(u, du, problem.points, problem.scale, problem.lambda_d)
    n, outputs = problem.points.x.shape[1], problem.network.outputs
    derivative = np.arange(weights.shape[1] // outputs) >= n
    mean = np.where(derivative, level[1].item(), level[0].item())
    rows = [flat[0].unflatten(0, (outputs, -1)).cpu().numpy() for flat in (weights, -errors)]
    outputs_of: dict[bytes, list[int]] = {}
    for p, (weight, label) in enumerate(zip(*rows, strict=True)):
        if label[weight > 0].any():  # an output that is constant here, or not known, says nothing of the scales
            outputs_of.setdefault(weight.tobytes(), []).append(p)
    systems = list[_System]()
    for same in outputs_of.values():
        labelled = rows[0][same[0]] > 0
        roots = np.sqrt(rows[0][same[0]] / mean)[labelled]
        systems.append((labelled, roots, roots[:, None] * rows[1][same][:, labelled].T, derivative[labelled]))
    return systems


@torch.no_grad()
def _learn(problem: Problem, start: Tensor, level: Tensor) -> Tensor:
    """Return the log scales and noise of higher evidence, (D + 2,), and divide the first layer of a member by them."""
    from scipy.optimize import minimize  # late: it takes a tenth of a second, and only this optimiser needs it

    network, weight = problem.network, problem.network.layers()[0][0]
    dimension, width = network.dimension, network.shapes[-1][0]
    drawn = weight * start[:dimension, None].exp()
    deviations = np.append(np.full(width, (2 / width) ** 0.5), _BIAS_DEVIATION)
    systems = _systems(problem, level)

    def objective(at: Floats) -> tuple[float, Floats]:
        weight.copy_(drawn * torch.from_numpy(-at[:dimension]).to(drawn).exp()[:, None])
        with torch.enable_grad():
            _, _, tape = network.propagate(problem.points.x, with_derivative=problem.lambda_d is not None)
            columns = readout(tape)
        features = columns.detach()[0].cpu().numpy() * deviations
        total, by_features = 0.0, np.zeros_like(features)
        by_noise = np.zeros(2)
        for labelled, roots, labels, derivative in systems:
            noise = np.exp(at[dimension:])[derivative.astype(int)]
            likelihood = evidence(roots[:, None] * features[labelled], noise, labels)
            total += likelihood.value
            by_features[labelled] += roots[:, None] * likelihood.features * deviations
            by_noise += np.bincount(derivative, likelihood.noise, minlength=2)
        (slope,) = torch.autograd.grad(columns, tape.layers[0][0], torch.from_numpy(by_features).to(columns)[None])
        return total, np.concatenate([-(slope * weight).sum((0, 2)).cpu().numpy(), by_noise])

    at = start.cpu().numpy()
    if systems and np.isfinite(network.theta.cpu().numpy()).all():
        bounds = [_LOG_SCALES] * dimension + [_LOG_NOISES] * 2
        with libraries().limit(limits=1, user_api="blas"):  # for the same bits with any number of threads
            at = minimize(objective, at, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _ITERATIONS}).x
    learnt = torch.from_numpy(at).to(start)
    weight.copy_(drawn * (-learnt[:dimension]).exp()[:, None])
    return learnt


def evidence(features: Floats, noise: Floats, labels: Floats) -> Evidence:
    r"""Return the negative log marginal likelihood of labels y = H c + e with c ~ N(0, s^2 I) and e ~ N(0, s^2 nu).

    With A = [H, diag(nu)^(1/2)]^T = Q T it is the formula of `RandomFeatures` with K = A^T A = T^T T, and

    .. math:: \frac{\partial L}{\partial A} = P\, Q T^{-T} - \sum_p Q T^{-T} y_p\, (T^{-1} T^{-T} y_p)^T / s_p^2 .

    Args:
        features: H, (R, C).
        noise: the variances nu, (R,).
        labels: y of P outputs, (R, P), each of which has its own s.
    """
    rows, outputs = labels.shape
    stacked = np.vstack([features.T, np.diag(np.sqrt(noise))])
    qr: Any = scipy.linalg.qr
    q, triangle = qr(stacked, mode="economic", overwrite_a=True, check_finite=False)
    whitened = _solve(triangle, labels, trans="T")
    variances = np.maximum((whitened**2).mean(axis=0), np.finfo(float).tiny)
    value = outputs * np.log(np.abs(triangle.diagonal())).sum() + rows / 2 * np.log(variances).sum()
    slope = outputs * _solve(triangle, q.T).T - (q @ (whitened / variances)) @ _solve(triangle, whitened).T
    count = features.shape[1]
    return Evidence(float(value), slope[:count].T, slope[count:].diagonal() * np.sqrt(noise) / 2)


_solve: Any = partial(scipy.linalg.solve_triangular, check_finite=False)
