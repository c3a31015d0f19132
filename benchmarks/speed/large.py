"""Compare an epoch of mini-batches on a large table with JAX, and with the matrix products alone.

    pip install -e '.[bench]'
    python benchmarks/speed/large.py [--rounds 5] [--rows 100000]

The table has 20 inputs, one output and all gradients. All minimise MSE_f + MSE_df with Adam and a 20 -> 64 -> 64 ->
64 -> 1 network with tanh, in float32, on mini-batches of 1024 and of 4096 rows; an epoch permutes the rows. JAX is as
an expert would write it: an epoch is one compiled scan, which takes the rows of each step within it, and u' is in
reverse mode, by `vmap` of `value_and_grad`; forward mode takes far longer. As in `steps.py`, each contender has its own
process, in which it waits while the others take their turns.

The arithmetic is that of reverse mode, the cheapest way to have u' of one output: for each layer but the last, six
products of as many rows as the mini-batch has, by torch's BLAS. The shares of it that the steps reach are printed.
"""

from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np
import torch
from contenders import Contender, TakeSteps, jax_parts
from figures import parser, report
from steps import start

from runge import machine
from runge.optimizers import Adam, Course
from runge.sobolev.kernel import Compile, step_function
from runge.sobolev.network import Model, StackedMLP
from runge.sobolev.points import Points
from runge.training.datamodule import Minibatches

ROWS, INPUTS, WIDTH, DEPTH, RATE = 100_000, 20, 64, 3, 1e-3
SIZES = INPUTS, *[WIDTH] * DEPTH, 1


def table(rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, (rows, D), f, (rows,), and f', (rows, D), of a sine of the mean input."""
    x = np.random.default_rng(0).uniform(-1, 1, (rows, INPUTS))
    f, df = np.sin(x.mean(1)), np.repeat(np.cos(x.mean(1, keepdims=True)) / INPUTS, INPUTS, axis=1)
    return x.astype("f"), f.astype("f"), df.astype("f")


def jax_epochs(rows: int, size: int) -> TakeSteps:
    """JAX: an epoch in one scan, over mini-batches of a permutation, which are taken from the rows within it."""
    jax, initial, network, step = jax_parts(SIZES, RATE)
    xnp, (x, f, df) = jax.numpy, (jax.numpy.asarray(part) for part in table(rows))

    def value(weights: Any, x: Any) -> Any:
        return network(weights, x)[..., 0]

    def loss(weights: Any, rows: Any) -> Any:
        u, du = jax.vmap(jax.value_and_grad(partial(value, weights)))(x[rows])
        return xnp.mean((u - f[rows]) ** 2) + xnp.mean(xnp.sum((du - df[rows]) ** 2, 1))

    @partial(jax.jit, static_argnums=2, donate_argnums=0)
    def epoch(state: Any, key: Any, k: int) -> Any:
        order = jax.random.permutation(key, rows)[: k * size].reshape(k, size)
        return jax.lax.scan(partial(step, loss), state, order)[0]

    key = jax.random.key(0)
    state = initial(key)

    def take(k: int) -> None:
        nonlocal state, key
        key, own = jax.random.split(key)
        state = jax.block_until_ready(epoch(state, own, k))

    return take


def epochs(rows: int, size: int, how: Compile) -> TakeSteps:
    """This package: the arithmetic of a run, and its mini-batches."""
    machine.keep_memory()
    x, f, df = (torch.from_numpy(part) for part in table(rows))
    f, df = f[None, :, None], df[None, :, None]
    weight = torch.full((1, rows, 1), 1 / rows)
    points = Points(x[None], f, df, weight, weight[..., None].expand_as(df).contiguous(), torch.ones(1, 1, rows))
    model = Model(activation="tanh", depth=DEPTH, width=WIDTH, init="default", derivative="forward")
    box = torch.tensor([-1.0, 1.0]).expand(1, INPUTS, 2)
    network = StackedMLP(model, box, [torch.Generator().manual_seed(0)], torch.float32)
    method, minibatches, one = Adam(lr=RATE, lr_schedule="constant"), Minibatches((0,), rows, size), torch.ones(1)
    optimizer = method.build([network.theta])
    loss_and_gradient = step_function(how, model, torch.float32, neurons=0, steps=0)
    machine.use_threads(size * (1 + INPUTS) * WIDTH)
    before = 0

    def take(k: int) -> None:
        nonlocal before
        batch = minibatches.index(before, k)
        course = Course(network, points, batch, one, one.expand(k, -1), [True] * k, [0.0] * k, loss_and_gradient)
        taken = 0
        while taken < k:
            taken += method.steps(optimizer, course, taken, k)
        before += k

    return take


def products(size: int) -> TakeSteps:
    """The matrix products of a step in reverse mode."""
    tall, square, inputs, first = (
        torch.randn(shape) for shape in ((size, WIDTH), (WIDTH, WIDTH), (size, INPUTS), (INPUTS, WIDTH))
    )
    result, gradient, slopes, of_first = map(torch.empty_like, (tall, square, inputs, first))
    machine.use_threads(size * (1 + INPUTS) * WIDTH)

    def take(k: int) -> None:
        for _ in range(k):
            for _ in range(DEPTH - 1):
                for _ in range(4):  # values, adjoints, the direction of u', and the adjoints of the loss
                    torch.mm(tall, square, out=result)
                for _ in range(2):  # the gradient of W
                    torch.mm(tall.mT, result, out=gradient)
            torch.mm(tall, first.mT, out=slopes)
            for _ in range(2):
                torch.mm(inputs, first, out=result)
                torch.mm(inputs.mT, tall, out=of_first)

    return take


def contenders(rows: int, size: int) -> list[Contender]:
    """Return the contenders with mini-batches of a size; the first is the limit."""
    jax, of = ("jax", "optax"), f", {size} rows"
    return [
        Contender(f"matrix products alone{of}", 1, (), partial(products, size)),
        Contender(f"JAX, jit and scan{of}", 1, jax, partial(jax_epochs, rows, size)),
        Contender(f"runge{of}", 1, (), partial(epochs, rows, size, "off")),
        Contender(f"runge, compiled{of}", 1, (), partial(epochs, rows, size, "on")),
    ]


def main() -> None:
    known = parser(__doc__, rounds=5)
    known.add_argument("--rows", type=int, default=ROWS)
    options = known.parse_args()
    times, shares = dict[str, list[float]](), dict[str, float]()
    for size in (1024, 4096):
        steps, names = options.rows // size, [contender.name for contender in contenders(options.rows, size)]
        with ExitStack() as running:
            turns = {
                contender.name: running.enter_context(start(contender, steps))
                for contender in contenders(options.rows, size)
                if all(find_spec(module) for module in contender.needs)
            }
            for turn in turns.values():
                turn()  # compilation and first calls
            rounds = [{name: turn() for name, turn in turns.items()} for _ in range(options.rounds)]
        times |= {name: [one[name][0] * steps / 1e6 for one in rounds] for name in turns}
        shares |= {f"{size}": round(median(times[names[0]]) / median(times[names[-1]]), 2)}
    report("large", "seconds an epoch", times, options.keep, {"rows": options.rows, "share of the arithmetic": shares})


if __name__ == "__main__":
    main()
