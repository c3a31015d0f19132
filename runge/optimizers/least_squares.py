"""A network whose hidden layers stay as drawn, and whose last layer is solved exactly."""

from dataclasses import replace
from functools import cache
from typing import Annotated, Any, ClassVar

import numpy as np
import scipy.linalg
import torch
from pydantic import Field
from threadpoolctl import ThreadpoolController
from torch import Tensor
from torch.nn import Parameter

from runge.configuration.validation import Floats, Positive, checked
from runge.optimizers.optimizer import LINEAR_ALGEBRA, Needs, Optimizer, Problem
from runge.sobolev import losses
from runge.sobolev.jacobian import readout
from runge.sobolev.tape import Tape

__all__ = [
    "RANK",
    "Factorisation",
    "FixedNeurons",
    "LeastSquares",
    "grid_point",
    "libraries",
    "sketch_last_layer",
    "solve_last_layer",
]

Slopes = Annotated[list[Positive], Field(min_length=2, max_length=2)]

RANK = 1e-15
"""The least pivot of a column, over the largest: with 1e-14 the errors on 1/(1+100x^2) are several times larger."""

_BLOCK_ROWS = 8
"""The rows over the columns that are reduced to a triangle at a time."""

_REDUCED_ROWS = 2
"""The rows over the columns above which a first reduction to a triangle saves time."""

_BLOCK_REFLECTIONS = 64
"""The most reflections in a block of LAPACK."""

_SKETCHED_ENTRIES = 4
"""The entries of a column of a sparse-sign sketch: 2 to 8 give the same condition numbers, at most 1.8."""

_lapack: Any = scipy.linalg.lapack


@checked
class FixedNeurons(Optimizer):
    """An optimiser that leaves the hidden layers as drawn, or scales them, and solves the last layer."""

    by_gradient: ClassVar[bool] = False
    one_thread: ClassVar[bool] = True
    last_layer_alone: ClassVar[bool] = True
    # Every step is a fit of its own, which is to be validated.
    demands: ClassVar[Needs] = {**LINEAR_ALGEBRA, "trainer.log_every": (1,)}


@checked
class LeastSquares(FixedNeurons):
    r"""Fixed neurons: hidden layers that stay as drawn, and a last layer that minimises the loss exactly.

    Each of the K steps is another fit, which does not depend on the ones before: step k gives the first layer the mean
    slope

    .. math:: s_k = s_0 (s_1 / s_0)^{p_k}, \quad p_k = (k - 1) / K,

    its W and b multiplied by the same factor, so that its kinks stay, and solves the last layer, in which u and u' are
    linear (`solve_last_layer`). The weights with the lowest validation loss are kept, which chooses the slope.

    With `per_input` each input d has a slope of its own, with an exponent p_kd: the bits of k - 1, from the lowest one
    on, are assigned to the inputs in turn, and are the binary digits of p_kd. The first 2^(jD) steps are thus a grid of
    2^j slopes for each input, and a run that ends early has tried slopes of all sizes. The biases grow as the length of
    the vector of slopes, so that the kinks stay spread over the domain. It helps where a function changes more quickly
    along one input.

    Attributes:
        slopes: the bounds s_0 and s_1 of the mean slope, each in [1e-12, 1e12]: the mean over the neurons of the norm
            of their weights, or with `per_input` of the absolute weight of an input, in a domain of [-1, 1]^D.
        per_input: true: another slope for each input, which takes more steps: 64 or more for two and three inputs.

    Raises:
        ValueError: a slope is outside its range, or there are not two.

    References:
        G. Fabiani (2024). Random projection neural networks of best approximation.
        https://arxiv.org/abs/2402.11397
        J. G. van der Corput (1935). Verteilungsfunktionen I. Proceedings of the Akademie van Wetenschappen te
        Amsterdam 38, 813-821 (digits in reverse).
    """

    slopes: Slopes
    per_input: bool = False

    def products(self, errors: int, weights: int, width: int) -> float:
        """Estimate the multiplications of the two decompositions of each output's columns."""
        outputs = weights // (width + 1)
        return 2.0 * errors * width * min(errors // outputs, width)

    @torch.no_grad()
    def step(self, optimizer: torch.optim.Optimizer, problem: Problem, progress: float) -> None:
        """Give the first layer its slopes, and solve the last layer."""
        layers = problem.network.layers()
        weight, bias = layers[0]
        now = weight.abs().mean(2) if self.per_input else weight.norm(dim=1).mean(1)[:, None]
        exponents = [progress] * now.shape[1]
        if self.per_input:
            fits = optimizer.state[problem.network.theta].setdefault("fits", torch.zeros_like(weight[:, 0, 0]))
            exponents = grid_point(int(fits[0]), now.shape[1])
            fits += 1
        slopes = now.new_tensor([self._slope(exponent) for exponent in exponents])
        weight.mul_((now.reciprocal() * slopes)[:, :, None])
        bias.mul_((now.norm(dim=1).reciprocal() * slopes.norm())[:, None, None])
        for tensor in layers[-1]:
            tensor.zero_()
        solve_last_layer(problem, RANK)

    def _slope(self, exponent: float) -> float:
        first, end = self.slopes
        return first * (end / first) ** exponent

    def figures(self, optimizer: torch.optim.Optimizer, parameter: Parameter, progress: float) -> dict[str, Tensor]:
        """Return the slope of the step if all inputs have the same."""
        if self.per_input:
            return {}
        return {"slope": torch.full_like(parameter[:, 0], self._slope(progress))}


def grid_point(k: int, dimensions: int) -> list[float]:
    """Return the k-th point of a sequence in [0, 1)^D, the first 2^(jD) of which are a grid of 2^j by 2^j ...

    With D = 1 it is the sequence of van der Corput, 0, 1/2, 1/4, 3/4, ...
    """
    return [
        sum((k >> bit & 1) / 2 ** (1 + bit // dimensions) for bit in range(d, k.bit_length(), dimensions))
        for d in range(dimensions)
    ]


@torch.no_grad()
def solve_last_layer(problem: Problem, rank: float, ridge: Tensor | None = None) -> "list[Factorisation]":
    r"""Minimise the loss in the last layer's W and b, for the members whose loss this reduces.

    For each output the loss is :math:`|R (H c - y)|^2`, with the hidden neurons' values and derivatives and a constant
    as the columns of H, the labels y, and the square roots R of the weights. Its solution of least norm is found from
    a QR decomposition with column pivoting, and refined once with the residual. On fixed features it leaves smaller
    errors in half the time of a singular value decomposition. Columns whose pivot is smaller than the share `rank` of
    the largest one count as combinations of the others. Many rows are first reduced to a triangle, some at a time and
    without pivoting, so that memory does not grow with their number. Outputs whose rows have the same weights, as those
    of values alone, share the decomposition. With a `ridge`, (M,), its product with :math:`|c|^2`, without the bias, is
    added to each output's loss.

    Returns:
        the factorisations of R H, with its ridge, of each output of each member.

    References:
        G. H. Golub (1965). Numerical methods for solving linear least squares problems.
        https://doi.org/10.1007/BF01436075
        J. Demmel, L. Grigori, M. Hoemmen, J. Langou (2012). Communication-optimal parallel and sequential QR and LU
        factorizations. https://doi.org/10.1137/080731992
    """
    theta, outputs = problem.network.theta, problem.network.outputs
    blocks, start = _blocks(problem), theta.clone()
    # The bits of a QR depend on the threads, and the BLAS of NumPy and SciPy does not obey `torch.set_num_threads`.
    with libraries().limit(limits=1, user_api="blas"):
        systems = _systems(blocks, ridge)
        factorisations = _factorised(systems, outputs, rank)
        _correct(problem, factorisations, systems)
        _correct(problem, factorisations, _systems(blocks, ridge))
    squares = np.reshape([np.square(system[:, -1]).sum() for system in systems], (-1, outputs))
    before = torch.from_numpy(squares.sum(1)).to(theta)
    after = torch.stack([_errors(block)[0].square().sum(1) for block in blocks]).sum(0)
    theta.copy_(torch.where((after < before)[:, None], theta, start))
    return factorisations


@torch.no_grad()
def sketch_last_layer(problem: Problem, rank: float, ridge: Tensor, rows: int) -> "list[Factorisation]":
    """Minimise about the loss in the last layer, from some rows that are sums of all rows with random signs.

    Each row of R [H, -y], as in `solve_last_layer`, is added to a few of these. Rows that are unlike all others count
    too, which a random sample of the rows would miss.

    Returns:
        the factorisations of the sums and the ridge, of each output of each member.

    References:
        E. N. Epperly (2024). Fast and forward stable randomized algorithms for linear least-squares problems.
        https://arxiv.org/abs/2311.04362
    """
    with libraries().limit(limits=1, user_api="blas"):
        systems = _systems(_blocks(problem), ridge, rows)
        factorisations = _factorised(systems, problem.network.outputs, rank)
        _correct(problem, factorisations, systems)
    return factorisations


def _factorised(systems: list[Floats], outputs: int, rank: float) -> "list[Factorisation]":
    """Return the factorisation of each system but its last column; outputs of a member may share it."""
    factorisations = list[Factorisation]()
    for i, system in enumerate(systems):
        same = i % outputs and np.array_equal(system[:, :-1], systems[i - 1][:, :-1])
        factorisations.append(factorisations[-1] if same else Factorisation(system[:, :-1], rank))
    return factorisations


def _correct(problem: Problem, factorisations: "list[Factorisation]", systems: list[Floats]) -> None:
    """Add the solutions of the systems to the last layer."""
    theta, (width, outputs) = problem.network.theta, problem.network.shapes[-1]
    pairs = zip(factorisations, systems, strict=True)
    solutions = np.stack([factorisation.solve(system[:, -1]) for factorisation, system in pairs])
    change = torch.from_numpy(solutions).to(theta).unflatten(0, (-1, outputs))
    theta[:, -(width + 1) * outputs :] += change.mT.flatten(1)  # W and then b, as in theta


@cache
def libraries() -> ThreadpoolController:
    """Return the libraries that have been loaded, which takes milliseconds to find out."""
    return ThreadpoolController()


def _errors(problem: Problem) -> tuple[Tensor, Tensor, Tape]:
    """Return the weighted errors and the roots of their weights, (M, R), and the tape."""
    u, du, tape = problem.network.propagate(problem.points.x, with_derivative=problem.lambda_d is not None)
    errors, weights = losses.least_squares(u, du, problem.points, problem.scale, problem.lambda_d)
    return weights.sqrt() * errors, weights.sqrt(), tape


def _blocks(problem: Problem) -> list[Problem]:
    """Return the problem on some points at a time."""
    points = _BLOCK_ROWS * (problem.network.shapes[-1][0] + 1) // (1 + problem.network.dimension)
    return [replace(problem, points=block) for block in problem.points.split(max(1, points))]


def _systems(blocks: list[Problem], ridge: Tensor | None, sketched: int = 0) -> list[Floats]:
    """Return R [H, -e] of each output of each member, or of several parts its triangle T, R [H, -e] = Q T.

    With a number of sketched rows they are instead S R [H, -e], with a sparse random S. With a ridge rho, rows of
    sqrt(rho) [I, -c] for the W of the last layer follow.
    """
    members, outputs = len(blocks[0].points.x), blocks[0].network.outputs
    systems: list[Any] = [np.zeros((sketched, blocks[0].network.shapes[-1][0] + 2))] * (members * outputs)
    random = np.random.default_rng(0)
    for block in blocks:
        errors, roots, tape = _errors(block)
        columns = readout(tape).cpu().numpy()
        right, root = (flat.unflatten(1, (outputs, -1)).flatten(0, 1).cpu().numpy() for flat in (-errors, roots))
        signs = _signs(random, sketched, columns.shape[1]) if sketched else None
        for i, above in enumerate(systems):
            labelled = root[i] > 0
            rows = np.column_stack([root[i, labelled, None] * columns[i // outputs, labelled], right[i, labelled]])
            if signs is not None:
                systems[i] = above + signs[:, labelled] @ rows
            else:
                systems[i] = rows if len(blocks) == 1 else np.linalg.qr(np.vstack([above, rows]), mode="r")
    if ridge is None:
        return systems
    weights = blocks[0].network.layers()[-1][0].mT.flatten(0, 1)
    roots = ridge.sqrt().repeat_interleave(outputs)[:, None]
    return [
        np.vstack([system, np.column_stack([np.diag(root), np.zeros_like(root), right])])
        for system, root, right in zip(
            systems, roots.expand_as(weights).cpu().numpy(), (-roots * weights).cpu().numpy(), strict=True
        )
    ]


def _signs(random: np.random.Generator, rows: int, columns: int) -> Any:
    """Return a sparse matrix with a few random signs in each column, of norm 1."""
    from scipy.sparse import csc_array  # late: only fits to many rows need it

    places = np.repeat(np.arange(columns), _SKETCHED_ENTRIES)
    signs = random.choice([-1.0, 1.0], len(places)) / _SKETCHED_ENTRIES**0.5
    return csc_array((signs, (random.integers(rows, size=len(places)), places)), (rows, columns))


class Factorisation:
    """The QR decompositions of a matrix A, (R, C), whose nearly dependent columns count as combinations of the others.

    Columns whose pivot is smaller than the share `rank` of the largest one do. All solutions are 0 if A is not finite.
    """

    def __init__(self, matrix: Floats, rank: float) -> None:
        self._columns, self._reflections = matrix.shape[1], list[tuple[Floats, Floats]]()
        self._regular = bool(matrix.any() and np.isfinite(matrix).all())  # LAPACK factorises no matrix without rows
        if not self._regular:
            return
        qr: Any = scipy.linalg.qr
        if len(matrix) > _REDUCED_ROWS * self._columns:  # pivoting takes several times as long
            raw, triangle = qr(matrix, mode="raw", check_finite=False)
            matrix = triangle[: self._columns]
            self._reflections.append(raw)
        raw, triangle, self._order = qr(matrix, mode="raw", pivoting=True, check_finite=False)
        self._reflections.append(raw)
        pivots = np.abs(triangle.diagonal())
        self._rank = int((pivots > rank * pivots[0]).sum())
        self._factor, self._beyond, _ = _lapack.dtzrzf(triangle[: self._rank], lwork=_BLOCK_REFLECTIONS * self._rank)

    def solve(self, right: Floats) -> Floats:
        """Return the x of least norm that minimises |A x - b|, (C,), from b, (R,)."""
        if not self._regular:
            return np.zeros(self._columns)
        for raw, scales in self._reflections:
            # A workspace of 1: blocks of reflections are slower for one column.
            right = _lapack.dormqr("L", "T", raw[:, : len(scales)], scales, right[: len(raw), None], lwork=1)[0][:, 0]
        return self._of_least_norm(self._triangular(right[: self._rank]))

    def solve_normal(self, right: Floats) -> Floats:
        """Return the x of least norm that solves A^T A x = g, (C,), from g, (C,)."""
        if not self._regular:
            return np.zeros(self._columns)
        right = _lapack.dormrz(self._factor, self._beyond, right[self._order, None], trans="N")[0][: self._rank, 0]
        return self._of_least_norm(self._triangular(self._triangular(right, trans="T")))

    def _triangular(self, right: Floats, trans: str = "N") -> Floats:
        triangle = self._factor[:, : self._rank]
        return scipy.linalg.solve_triangular(triangle, right, trans=trans, check_finite=False)  # pyright: ignore[reportArgumentType]

    def _of_least_norm(self, leading: Floats) -> Floats:
        least, solution = np.zeros((self._columns, 1)), np.empty(self._columns)
        least[: self._rank, 0] = leading
        solution[self._order] = _lapack.dormrz(self._factor, self._beyond, least, trans="T")[0][:, 0]
        return np.nan_to_num(solution, nan=0.0, posinf=0.0, neginf=0.0)
