"""The system of a Levenberg-Marquardt step with many errors and weights, solved by deflated conjugate gradients."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor

from runge.optimizers.levenberg_marquardt import limits
from runge.optimizers.levenberg_marquardt.linearised import Linearised
from runge.optimizers.levenberg_marquardt.systems import Factorised, System, add_square, trace
from runge.sobolev.jacobian import Layer, gram_columns, linearise, product

__all__ = ["DeflatedCG", "IterativeSpace"]


@dataclass
class IterativeSpace(System):
    """The systems of members, each built when it is first needed, because a member at rest needs none."""

    at: Linearised
    weights: Tensor  # of the errors of all members, (M, R)
    columns: Tensor  # about how many columns F has in this step, (M,)
    members: list[int]  # those whose systems are solved
    built: dict[int, "DeflatedCG"] = field(default_factory=dict)  # shared by what `take` returns

    @classmethod
    def of(cls, at: Linearised, weights: Tensor, columns: Tensor) -> Self:
        """Return the systems of all members of a linearised network."""
        return cls(at, weights, columns.clone(), list(range(len(weights))))

    def take(self, members: Tensor) -> Self:
        """Return the systems of some members."""
        return replace(self, members=[self.members[i] for i in members.tolist()])

    def damp(self, damping: Tensor) -> None:
        """Set the damping mu, (M,)."""
        for i, mu in zip(self.members, damping.split(1), strict=True):
            self._system(i).damp(mu)

    def solve(self, errors: Tensor) -> Tensor:
        """Return about (J^T W J + mu I)^-1 J^T W e, (M, W), from the errors e, (M, R)."""
        return torch.cat([self._system(i).solve(e) for i, e in zip(self.members, errors.split(1), strict=True)])

    def keep(self, state: Mapping[str, Tensor]) -> None:
        """Let members have a larger coarse space in the next step if the iterations did not suffice in this one."""
        for i, system in self.built.items():
            if not system.sufficed:
                state["columns"][i] = (limits.COLUMN_GROWTH * self.columns[i]).clamp_max(limits.MOST_COLUMNS)

    def _system(self, i: int) -> "DeflatedCG":
        if i not in self.built:
            member = torch.tensor([i], device=self.weights.device)
            self.built[i] = DeflatedCG.of(self.at.take(member), self.weights[member], int(self.columns[i]))
        return self.built[i]


@dataclass
class DeflatedCG(Factorised):
    r"""The system of one member, solved by conjugate gradients.

    With K = W^(1/2) J, the step v solves :math:`(K^T K + \mu I)\, v = K^T b`, :math:`b = W^{1/2} e`. A product with K
    or K^T is a pass through the linearised network; K is never formed. The eigenvalues fall by ten and more orders of
    magnitude down to mu. Therefore the system is first solved in a coarse space, that of the errors S at a few points,

    .. math:: Q = K_S^T L^{-T}, \quad K_S K_S^T = L L^T, \quad F = K Q,

    where its matrix is :math:`F^T F + \mu I`. The iterations then keep to directions that are conjugate to Q
    (deflation). F serves all dampings that a step tries, but not several steps: near the end of a run a step changes
    K K^T by much more than mu. The solution reduces the quadratic model of the loss, however few the iterations are.
    Iterations in the space of the errors do not: K^T y with an approximate y may be much worse than no step.

    The iterations end when one of them adds little to the reduction of the model. A solution that takes the most
    iterations allowed lets its member have a larger coarse space from the next step on (`IterativeSpace.keep`). A step
    costs O(R C^2), R errors and C columns of F. Members are solved one after the other, each with the columns it needs,
    and the same bits alone.

    References:
        Y. Saad, M. Yeung, J. Erhel, F. Guyomarc'h (2000). A deflated version of the conjugate gradient algorithm.
        https://doi.org/10.1137/S1064829598339761
        A. Jnini, F. Vella (2025). Dual natural gradient descent for scalable training of physics-informed neural
        networks. https://arxiv.org/abs/2505.21404
    """

    layers: list[Layer]
    roots: Tensor  # W^(1/2), (1, R)
    columns: Tensor  # F, (1, R, C); the `matrix` is F^T F
    triangle: Tensor  # L, (1, C, C)
    chosen: Tensor  # the indices of the errors S, (C,)
    sufficed: bool = True  # whether no solution took the most iterations allowed

    @classmethod
    def of(cls, at: Linearised, weights: Tensor, count: int) -> Self:
        """Return the system of a member, in which F has about some number of columns."""
        layers, roots = linearise(at.network, at.whole()), weights.sqrt()
        n, columns = at.x.shape[1], roots[..., None]
        rows = roots.shape[1] // n
        points = torch.randperm(n, generator=torch.Generator().manual_seed(0))[: count // rows].to(roots.device)
        chosen = (n * torch.arange(rows, device=points.device)[:, None] + points).flatten()
        columns = gram_columns(layers, n, points) if len(points) else roots.new_zeros(1, roots.shape[1], 0)
        columns.mul_(roots[..., None]).mul_(roots[:, None, chosen])
        square = columns[:, chosen]
        square.diagonal(dim1=1, dim2=2).add_(limits.ROUND_OFF * trace(square)[:, None])
        triangle, failed = torch.linalg.cholesky_ex(square)
        if failed:  # then there is no coarse space
            columns.zero_()
            triangle = torch.eye(len(chosen)).to(square)[None]
        columns = torch.linalg.solve_triangular(triangle.mT, columns, upper=True, left=False)
        matrix = torch.zeros_like(square)
        add_square(matrix, columns)
        return cls(at, matrix, torch.ones_like(weights[:, :1]), weights, layers, roots, columns, triangle, chosen)

    def damp(self, damping: Tensor) -> None:
        """Factorise the coarse system with a damping mu, (1,)."""
        self.damping = damping
        super().damp(damping + limits.ROUND_OFF * trace(self.matrix))

    def solve(self, errors: Tensor) -> Tensor:
        """Return about (J^T W J + mu I)^-1 J^T W e, (1, W), from the errors e, (1, R).

        The step is z - K_S^T x, with z, (1, W), and x, (1, R), which begins as the solution in the coarse space. The
        direction of an iteration, which takes a product each with K and K^T, is d - K_S^T s, and K times it is `image`.
        """
        columns, right = self.columns[0], self.roots * errors
        reduced = right @ columns
        c = self._solve(reduced)
        gained, x = (c * reduced).sum(), -self._on_chosen(c)  # the reduction of the model of the loss
        residual = self._pulled(right - c @ columns.mT + self.damping * x)  # K^T b - (K^T K + mu I) times the step
        z = d = torch.zeros_like(residual)
        s = image = torch.zeros_like(right)
        square, before, iterations = residual.square().sum(), torch.full_like(gained, torch.inf), 0
        while iterations < limits.MOST_ITERATIONS:
            ratio, along = square / before, self.roots * product(self.layers, self.at.x.shape[1], residual)
            c = self._solve(along @ columns)  # Q^T r = 0, so that mu does not appear
            d = residual + ratio * d
            s = self._on_chosen(c) + ratio * s
            image = along - c @ columns.mT + ratio * image
            applied = self._pulled(image - self.damping * s) + self.damping * d
            length = square / (residual * applied).sum()
            gain = length * square
            if not (gain.isfinite() and gain > limits.LEAST_GAIN * gained):
                break
            z, x, residual = z + length * d, x + length * s, residual - length * applied
            square, before = residual.square().sum(), square
            gained, iterations = gained + gain, iterations + 1
        self.sufficed &= iterations < limits.MOST_ITERATIONS
        return z - self._pulled(x)

    def _pulled(self, errors: Tensor) -> Tensor:
        """Return K^T y, (1, W)."""
        return self.at.transposed(self.roots * errors)

    def _on_chosen(self, c: Tensor) -> Tensor:
        """Return L^-T c at the chosen errors and 0 at the others, (1, R), of which K^T gives Q c."""
        x = torch.zeros_like(self.weights)
        x[:, self.chosen] = torch.linalg.solve_triangular(self.triangle.mT, c[..., None], upper=True)[..., 0]
        return x
