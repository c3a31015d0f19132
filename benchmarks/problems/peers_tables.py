"""The peers on the same tables: SMT and a Gaussian process on small functions, JENN on the drag of airfoils.

    pip install smt jenn gpytorch
    python benchmarks/problems/peers_tables.py DIR smt [--functions branin ...]
    python benchmarks/problems/peers_tables.py DIR gp
    python benchmarks/problems/peers_tables.py DIR jenn [--seeds 3]

DIR holds the tables of `functions.py` or `airfoil.py`. GEKPLS and GENN are fitted with each setting below; the one
with the least validation error of the values, plus that of the gradients, is fitted again to all points. JENN, which
has no such choice to make, is fitted to the training rows; the Gaussian process, which has none either, to all rows.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import page
from gaussian_process import gaussian_process
from tables import Array, Problem, Rows, nrmse, read, relative_l2

Fit = Callable[[Array], tuple[Array, Array]]
"""Returns the values (m, 1) and the gradients (m, 1, D) at points (m, D)."""


def smt_fit(make: Callable[[], Any], rows: Rows) -> Fit:
    model, inputs = make(), rows.x.shape[1]
    model.set_training_values(rows.x, rows.y)
    for d in range(inputs):
        model.set_training_derivatives(rows.x, rows.dydx[..., d], d)
    model.train()

    def fit(x: Array) -> tuple[Array, Array]:
        return model.predict_values(x), np.stack([model.predict_derivatives(x, d) for d in range(inputs)], axis=-1)

    return fit


def gekpls(rows: Rows) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Components, further points around each, and their distance, relative to the box."""
    from smt.design_space import DesignSpace  # pyright: ignore[reportMissingImports]
    from smt.surrogate_models import GEKPLS  # pyright: ignore[reportMissingImports]

    inputs = rows.x.shape[1]
    limits = np.stack([rows.x.min(axis=0), rows.x.max(axis=0)], axis=1)
    for components, further, step in product({2, inputs}, (0, inputs), (1e-3, 1e-4)):
        options = {"n_comp": components, "extra_points": further, "delta_x": step, "theta0": [1e-2] * components}
        yield (
            str(options),
            partial(GEKPLS, **options, design_space=DesignSpace(limits), print_global=False),
        )


def genn(rows: Rows) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The setting of SMT's own tests, and its default network with the same optimiser."""
    from smt.surrogate_models import GENN  # pyright: ignore[reportMissingImports]

    for layers, decay in (([24], 1e-2), ([12, 12], 1e-2), ([24, 24], 0.0)):
        options = {"hidden_layer_sizes": layers, "lambd": decay, "alpha": 1e-2, "num_iterations": 5000}
        further = {"is_backtracking": True, "is_normalize": True, "print_global": False}
        yield str(options), partial(GENN, **options, **further)


def chosen(candidates: Callable, problem: Problem) -> tuple[Fit, str]:
    """Return the fit to all points by the setting with the least validation error, and that setting."""
    errors, makes = {}, dict(candidates(problem.train))
    for name, make in makes.items():
        try:
            u, du = smt_fit(make, problem.train)(problem.val.x)
            errors[name] = np.log(relative_l2(u, problem.val.y)) + np.log(relative_l2(du, problem.val.dydx))
        except (ValueError, np.linalg.LinAlgError) as error:  # a covariance that is not positive definite
            print(f"{name}: {error}", file=sys.stderr)
    best = min(errors, key=lambda name: np.nan_to_num(errors[name], nan=np.inf))
    return smt_fit(makes[best], problem.known()), best


def jenn(problem: Problem, seed: int) -> Fit:
    """JENN with a network D-12-12-1: 25 epochs of batches of 1000, ten steps on each."""
    from jenn import NeuralNet  # pyright: ignore[reportMissingImports]

    x, y, dydx = problem.train
    network = NeuralNet([x.shape[1], 12, 12, y.shape[1]]).fit(
        x.T,
        y.T,
        dydx.transpose(1, 2, 0),
        is_normalize=True,
        alpha=1e-1,
        lambd=1e-2,
        max_iter=10,
        batch_size=1000,
        epochs=25,
        random_state=seed,
    )

    def fit(x: Array) -> tuple[Array, Array]:
        u, du = network(x.T)
        return u.T, du.transpose(2, 0, 1)

    return fit


def errors(fit: Fit, test: Rows) -> dict[str, float]:
    u, du = fit(test.x)
    relative = {"value": relative_l2(u, test.y), "derivative": relative_l2(du, test.dydx)}
    return relative | {"value_nrmse": nrmse(u, test.y), "derivative_nrmse": nrmse(du, test.dydx)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("what", choices=["smt", "gp", "jenn"])
    parser.add_argument("--functions", nargs="+")
    parser.add_argument("--methods", nargs="+", default=["gekpls", "genn"])
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # scikit-learn's of each local regression whose residual is constant
    rows = []
    for path in sorted(arguments.directory.glob("*.npz")):
        name, _, seed = path.stem.rpartition("_")
        if int(seed) >= arguments.seeds or (arguments.functions and name not in arguments.functions):
            continue
        problem = read(path)
        for method in arguments.methods if arguments.what == "smt" else [arguments.what]:
            started, setting = time.perf_counter(), ""
            if method == "jenn":
                fit = jenn(problem, int(seed))
            elif method == "gp":
                fit = gaussian_process(problem.known())
            else:
                fit, setting = chosen({"gekpls": gekpls, "genn": genn}[method], problem)
            seconds = time.perf_counter() - started
            found = errors(fit, problem.test)
            rows.append(
                {"problem": name, "seed": int(seed), "method": method}
                | found
                | {"seconds": seconds, "setting": setting}
            )
            print(json.dumps(rows[-1]), flush=True)
    page.keep(f"peers_{arguments.what}", rows, page.typed(arguments.directory))


if __name__ == "__main__":
    main()
