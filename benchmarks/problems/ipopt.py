"""Ipopt on a fit of the reactor: CasADi's operations against callbacks into torch.

    python benchmarks/problems/ipopt.py [--points 20]

The task of docs/howto/optimise.md, from random starting points: the largest yield with a hot spot of at most 490 K.
Both have the same fit, 5-64-64-4 on 256 points in float64, and exact Hessians: in CasADi's operations, as `runge export
--to casadi` writes it, or as callbacks into torch, in the way of l4casadi (https://github.com/Tim-Salzmann/l4casadi).
The callbacks evaluate `u`, `u.derivative` and `u.hessian`, which are closed forms and cost less than autograd of
autograd.
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
from tables import label

import runge
from runge.exports import export
from runge.function.function import Function

Y, HOT, LIMIT = OUTPUTS.index("Y"), OUTPUTS.index("Thot"), 490
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


def solver(value: Callable[[casadi.MX], casadi.MX]) -> casadi.Function:
    """Return Ipopt on the task in the unit cube."""
    z = casadi.MX.sym("z", D)
    outputs = value(LOWER + SIZE * z)
    quiet = {"ipopt.print_level": 0, "ipopt.sb": "yes", "print_time": False}
    return casadi.nlpsol("solver", "ipopt", {"x": z, "f": -outputs[Y], "g": outputs[HOT]}, quiet)


def main(points: int) -> None:
    """Print how many starting points each function solves, and its iterations and milliseconds, medians (largest)."""
    torch.set_num_threads(1)
    rows = label(reactor, design(256, 1000))
    arrays = {"x": rows.x, "y": rows.y, "dydx": rows.dydx}
    with TemporaryDirectory() as folder:
        u = runge.train(arrays, "trainer.max_steps=4000", directory=f"{folder}/run").function.double()
        plant = runpy.run_path(str(export(u, "casadi", f"{folder}/plant")))["value"]
    callback = Torch(u)
    for name, one in {"CasADi": solver(plant), "torch": solver(callback)}.items():
        runs = list[tuple[float, ...]]()
        for start in (design(points + 1, 7) - LOWER) / SIZE:  # the first one warms up
            begun = time.perf_counter()
            one(x0=start, lbx=0, ubx=1, ubg=LIMIT)
            seconds, stats = time.perf_counter() - begun, one.stats()
            runs.append((stats["iter_count"], 1e3 * seconds, stats["success"]))
        steps, ms, solved = np.array(runs[1:]).T
        shown = [f"{np.median(part):.{n}f} ({part.max():.{n}f})" for part, n in ((steps, 0), (ms, 1))]
        print(f"{name}: {solved.sum():.0f} of {points} solved, {shown[0]} iterations, {shown[1]} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=20, help="the number of starting points")
    main(parser.parse_args().points)
