"""The contenders of `steps.py`: ways to take a training step of f and f', each started in its own process."""

import logging
import multiprocessing
import os
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from runge.data.sampled import Data, sample
from runge.optimizers import Adam, Course
from runge.process import machine
from runge.sampling import Uniform
from runge.sobolev.kernel import Compile, step_function
from runge.sobolev.network import Model, StackedMLP
from runge.sobolev.points import Points
from runge.targets import Runge

N, WIDTH, RATE, LAMBDA_D = 256, 64, 1e-3, 0.1

TakeSteps = Callable[[int], float | None]
"""Takes k more steps; returns the processor time that its own processes have used."""


class Contender(NamedTuple):
    """A row of the table; `needs` are the modules without which it is left out."""

    name: str
    members: int
    needs: tuple[str, ...]
    make: Callable[[], TakeSteps]


def columns() -> tuple[Tensor, Tensor, Tensor]:
    """Return the points, and f and f' there, each of shape (N, 1)."""
    target = Runge()
    x = torch.linspace(-1, 1, N, dtype=torch.float64)[:, None]
    return x.float(), target.value(x)[:, None].float(), target.derivative(x).float()


def plain_torch() -> TakeSteps:
    x, f, df = columns()
    x.requires_grad_()
    network = nn.Sequential(nn.Linear(1, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 1))
    optimizer = torch.optim.Adam(network.parameters(), RATE)

    def take(k: int) -> None:
        for _ in range(k):
            u = network(x)
            (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
            loss = (u - f).square().mean() + LAMBDA_D * (du - df).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return take


def jax_network() -> tuple[Any, Any, Any]:
    """A network's initial state from a key, k steps from a state to the next, and JAX."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax
    import optax

    np, shapes, optimizer = jax.numpy, ((1, WIDTH), (WIDTH, WIDTH), (WIDTH, 1)), optax.adam(RATE)
    x, f, df = (np.asarray(column.numpy()) for column in columns())

    def initial(key: Any) -> Any:
        keys = jax.random.split(key, len(shapes))
        weights = [
            (jax.random.normal(key, (n, m)) / n**0.5, np.zeros(m)) for key, (n, m) in zip(keys, shapes, strict=True)
        ]
        return weights, optimizer.init(weights)

    def network(weights: Any, x: Any) -> Any:
        *hidden, (w, b) = weights
        for v, c in hidden:
            x = np.tanh(x @ v + c)
        return x @ w + b

    def loss(weights: Any) -> Any:
        u, du = jax.jvp(partial(network, weights), (x,), (np.ones_like(x),))
        return np.mean((u - f) ** 2) + LAMBDA_D * np.mean((du - df) ** 2)

    def step(state: Any, _: None) -> Any:
        weights, averages = state
        updates, averages = optimizer.update(jax.grad(loss)(weights), averages)
        return (optax.apply_updates(weights, updates), averages), None

    def scan(k: int, state: Any) -> Any:
        return jax.lax.scan(step, state, length=k)[0]

    return initial, scan, jax


def jax_scan(members: int) -> TakeSteps:
    """All steps of a turn in one compiled scan; with several members, under vmap."""
    initial, scan, jax = jax_network()
    keys = jax.random.split(jax.random.key(0), members)
    if members == 1:
        state, run = initial(keys[0]), jax.jit(scan, static_argnums=0)
    else:
        state = jax.vmap(initial)(keys)
        run = jax.jit(lambda k, state: jax.vmap(partial(scan, k))(state), static_argnums=0)

    def take(k: int) -> None:
        nonlocal state
        state = jax.block_until_ready(run(k, state))

    return take


def jax_halves(members: int) -> TakeSteps:
    """JAX as an expert would write it for this machine: a device for each core, one member after the other on each."""
    cores = os.cpu_count() or 1
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={cores}"
    initial, scan, jax = jax_network()
    keys = jax.random.split(jax.random.key(0), members).reshape(cores, members // cores)
    state = jax.vmap(jax.vmap(initial))(keys)
    run = jax.pmap(lambda k, state: jax.lax.map(partial(scan, k), state), static_broadcasted_argnums=0)

    def take(k: int) -> None:
        nonlocal state
        state = jax.block_until_ready(run(k, state))

    return take


def stack(members: int, how: Compile, n: int = N, width: int = WIDTH, depth: int = 2) -> TakeSteps:
    """This package: the arithmetic of a run, without the framework around it."""
    machine.keep_memory()
    target = Runge()
    data = sample(target, Uniform(), torch.Generator(), Data(n_train=n, n_val=2, n_test=2))
    points = Points.stack([data.train.to(dtype=torch.float32)] * members)
    model = Model(activation="tanh", depth=depth, width=width, init="default", derivative="forward")
    generators = [torch.Generator().manual_seed(seed) for seed in range(members)]
    network = StackedMLP(model, target.domain.expand(members, -1, -1), generators, torch.float32)
    method = Adam(lr=RATE, lr_schedule="constant")
    optimizer = method.build([network.theta])
    scale, lambda_d = torch.ones(members), torch.full((members,), LAMBDA_D)
    loss_and_gradient = step_function(how, model, torch.float32, neurons=0, steps=0)
    machine.use_threads(members * n * 2 * width)

    def take(k: int) -> None:
        weights, on, progress = lambda_d.expand(k, -1), [True] * k, [0.0] * k
        course = Course(network, points, None, scale, weights, on, progress, loss_and_gradient)
        taken = 0
        while taken < k:
            taken += method.steps(optimizer, course, taken, k)

    return take


def single_steps() -> TakeSteps:
    """This package step by step: a plain LightningModule in Lightning's Trainer, as with `trainer.loop=steps`."""
    import lightning.pytorch as pl

    from runge.training.datamodule import SobolevDataModule
    from runge.training.plain import PlainRegression

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.simplefilter("ignore")
    machine.use_threads(N * 2 * WIDTH)
    adam = Adam(lr=RATE, lr_schedule="constant")
    module = PlainRegression(Runge().domain, width=WIDTH, lambda_d=LAMBDA_D, optimizer=adam)

    def take(k: int) -> None:
        data = SobolevDataModule(Runge(), n_train=N, n_val=2, n_test=2, batches_per_epoch=k)
        quiet: dict[str, Any] = dict.fromkeys(("enable_progress_bar", "enable_model_summary", "logger"), False)
        pl.Trainer(max_epochs=1, accelerator="cpu", enable_checkpointing=False, **quiet).fit(module, data)

    return take


def serve_stack(members: int, how: Compile, connection: Connection) -> None:
    machine.limit_threads(1)
    take = stack(members, how)
    with suppress(EOFError):
        while k := connection.recv():
            used = time.process_time()
            take(k)
            connection.send(time.process_time() - used)


def stacks(members: int, how: Compile) -> TakeSteps:
    """As a sweep does it: a process for each core, each with a stack of its share of the members."""
    cores = os.cpu_count() or 1
    pipes = [multiprocessing.Pipe() for _ in range(cores)]
    for _, there in pipes:
        multiprocessing.Process(target=serve_stack, args=(members // cores, how, there), daemon=True).start()

    def take(k: int) -> float:
        for here, _ in pipes:
            here.send(k)
        return sum(here.recv() for here, _ in pipes)

    return take


CONTENDERS = (
    Contender("plain torch loop", 1, (), plain_torch),
    Contender("JAX, jit and scan", 1, ("jax", "optax"), partial(jax_scan, 1)),
    Contender("JAX, vmap over 32 members, jit and scan", 32, ("jax", "optax"), partial(jax_scan, 32)),
    Contender("JAX, 32 members, pmap over cores, map and scan", 32, ("jax", "optax"), partial(jax_halves, 32)),
    Contender("runge", 1, (), partial(stack, 1, "off")),
    Contender("runge, compiled", 1, (), partial(stack, 1, "on")),
    Contender("runge, step by step", 1, (), single_steps),
    Contender("runge, 32 members", 32, (), partial(stacks, 32, "off")),
    Contender("runge, 32 members, compiled", 32, (), partial(stacks, 32, "on")),
)
