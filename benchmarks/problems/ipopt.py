"""Ipopt on a fit of the reactor: exact Hessians against limited memory, CasADi's operations against torch.

    python benchmarks/problems/ipopt.py [--points 20]

The task of docs/howto/optimise.md, from random starting points: the largest yield with a hot spot of at most 490 K,
where bounds and the limit leave one of five directions free, or of 505 K, where they leave two. All rows have the same
fit, 5-64-64-4 on 256 points in float64: in CasADi's operations, as `runge export --to casadi` writes it, or as
callbacks into torch, in the way of l4casadi (https://github.com/Tim-Salzmann/l4casadi). The callbacks evaluate `u`,
`u.derivative` and `u.hessian`, which are closed forms and cost less than autograd of autograd. Below the table are the
optima of the fit and of the true reactor, by SLSQP.
"""

import argparse
import runpy
import time
from collections.abc import Callable, Sequence
from tempfile import TemporaryDirectory
from typing import Any

import casadi
import numpy as np
import torch
from pfr import INPUTS, OUTPUTS, design, reactor
from scipy.optimize import Bounds, minimize
from tables import label

import runge
from runge.exports import export
from runge.function.function import Function

Y, HOT, LIMITS = OUTPUTS.index("Y"), OUTPUTS.index("Thot"), (490, 505)
LOWER, UPPER = np.array([*INPUTS.values()], float).T
SIZE, D, P = UPPER - LOWER, len(INPUTS), len(OUTPUTS)


class Torch(casadi.Callback):
    """The values of u, (P, 1), its Jacobian, (P, D), or by `order` 2 the derivatives of that, (P D, D)."""

    def __init__(self, u: Function, order: int = 0) -> None:
        super().__init__()
        self.u, self.order = u, order
        self.shapes = [(D, 1), (P, 1), (P, D), (P * D, D)]
        self.next = None if order == 2 else Torch(u, order + 1)
        self.construct(f"torch{order}")

    def get_n_in(self) -> int:
        """Count x and the results of the lower orders, which CasADi hands to a Jacobian."""
        return 1 + self.order

    def get_n_out(self) -> int:
        """Count the Jacobian by each argument."""
        return max(1, self.order)

    def get_sparsity_in(self, i: int) -> casadi.Sparsity:
        """Return the shape of an argument."""
        return casadi.Sparsity.dense(*self.shapes[i])

    def get_sparsity_out(self, i: int) -> casadi.Sparsity:
        """Return the shape of a result; nothing depends on the results of lower orders."""
        return casadi.Sparsity.dense(*self.shapes[1 + self.order]) if i == 0 else casadi.Sparsity(P * D, P)

    def has_jacobian(self) -> bool:
        """Say that CasADi need not difference."""
        return self.next is not None

    def get_jacobian(self, name: str, inames: Sequence[str], onames: Sequence[str], opts: Any) -> casadi.Function:
        """Return the next order."""
        assert self.next is not None
        return self.next

    def eval(self, arg: Sequence[casadi.DM]) -> list[Any]:
        """Evaluate at one point."""
        x = arg[0].full()[:, 0]
        if self.order < 2:
            return [(self.u, self.u.derivative)[self.order](x)]
        hessian = self.u.hessian(x).transpose(1, 0, 2).reshape(P * D, D)  # CasADi counts columns last
        return [hessian, casadi.DM(P * D, P)]


def solver(value: Callable[[casadi.MX], casadi.MX], memory: str) -> casadi.Function:
    """Return Ipopt on the task in the unit cube."""
    z = casadi.MX.sym("z", D)
    outputs = value(LOWER + SIZE * z)
    quiet = {"ipopt.print_level": 0, "ipopt.sb": "yes", "print_time": False, "ipopt.hessian_approximation": memory}
    return casadi.nlpsol("solver", "ipopt", {"x": z, "f": -outputs[Y], "g": outputs[HOT]}, quiet)


def true_optimum(z: np.ndarray, limit: float) -> np.ndarray:
    """Return the optimum of the true reactor near a point of the unit cube."""

    def slope(z: np.ndarray, output: int) -> np.ndarray:
        return label(reactor, (LOWER + SIZE * z)[None]).dydx[0, output] * SIZE

    def value(z: np.ndarray) -> np.ndarray:
        return reactor((LOWER + SIZE * z)[None])[0]

    hot = {"type": "ineq", "fun": lambda z: limit - value(z)[HOT], "jac": lambda z: -slope(z, HOT)}
    bounds, name = Bounds(0, 1), "SLSQP"
    return minimize(
        lambda z: -value(z)[Y], z, jac=lambda z: -slope(z, Y), method=name, bounds=bounds, constraints=hot
    ).x


def describe(z: np.ndarray) -> str:
    """Return a point, and what the true reactor gives there."""
    x = LOWER + SIZE * z
    y = reactor(x[None])[0]
    inputs = ", ".join(f"{name} {part:.4g}" for name, part in zip(INPUTS, x, strict=True))
    return f"{inputs}: true yield {y[Y]:.5f}, hot spot {y[HOT]:.2f} K"


def compare(contenders: dict[tuple[str, str], casadi.Function], limit: float, points: int) -> np.ndarray:
    """Print the rows of one limit; return the best point that the first contender has found."""
    found: dict[tuple[str, str], list[tuple[float, ...]]] = {key: [] for key in contenders}
    for start in (design(points + 1, 7) - LOWER) / SIZE:  # the first one warms up
        for key, one in contenders.items():
            begun = time.perf_counter()
            result = one(x0=start, lbx=0, ubx=1, ubg=limit)
            seconds, stats = time.perf_counter() - begun, one.stats()
            optimum = result["x"].full()[:, 0]
            found[key].append((stats["iter_count"], 1e3 * seconds, -float(result["f"]), stats["success"], *optimum))
    for names, runs in found.items():
        steps, ms, best, solved, *_ = np.array(runs[1:]).T
        shown = [f"{np.median(part):.{n}f} ({part.max():.{n}f})" for part, n in ((steps, 0), (ms, 1))]
        of = f"{solved.sum():.0f} of {points}"
        print("|", " | ".join([f"{limit} K", *names, of, *shown, f"{best.max():.5f}"]), "|")
    return np.array(max(next(iter(found.values()))[1:], key=lambda run: run[2])[4:])


def main(points: int) -> None:
    """Print the table and the optima."""
    torch.set_num_threads(1)
    rows = label(reactor, design(256, 1000))
    arrays = {"x": rows.x, "y": rows.y, "dydx": rows.dydx}
    with TemporaryDirectory() as folder:
        u = runge.train(arrays, "trainer.max_steps=4000", directory=f"{folder}/run").function.double()
        plant = runpy.run_path(str(export(u, "casadi", f"{folder}/plant")))["value"]
    callback = Torch(u)
    memories = {"exact": "exact", "limited memory": "limited-memory"}
    contenders = {
        (name, hessian): solver(value, memory)
        for name, value in {"CasADi": plant, "torch": callback}.items()
        for hessian, memory in memories.items()
    }
    print("| limit | function | Hessian | solved | iterations | ms | yield |\n|---|---|---|---|---|---|---|")
    optima = {limit: compare(contenders, limit, points) for limit in LIMITS}
    for limit, z in optima.items():
        print(f"\n{limit} K, the fit: {describe(z)}\n{limit} K, the reactor: {describe(true_optimum(z, limit))}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=20, help="the number of starting points")
    main(parser.parse_args().points)
