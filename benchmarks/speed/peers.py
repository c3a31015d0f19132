"""Compare this package with JENN on Runge's function and its derivative, with the same points and network.

    pip install -e '.[bench]'
    python benchmarks/speed/peers.py [--rounds 3]

JENN (S. Berguin, Jacobian-enhanced neural networks, https://pypi.org/project/jenn/) fits values and derivatives with
Adam in numpy, in 64 bit. Both take 8000 Adam steps on 128 evenly spaced points with a 1 -> 64 -> 64 -> 1 network; JENN
has the best of three learning rates. Each round has a seed of its own. Times are those of the fits, one after the
other in one process.
"""

import tempfile
import time
from functools import partial
from statistics import median

import numpy as np
from figures import parser, report
from jenn import NeuralNet  # pyright: ignore[reportMissingImports]: the extra `bench`
from overhead import experiment

from runge.records.directories import RunDirectory
from runge.targets import Runge

STEPS = 8000


def ours(seed: int) -> tuple[float, float, float]:
    made = experiment(STEPS, f"seed={seed}", "trainer.progress_bar=false")
    with tempfile.TemporaryDirectory() as directory:
        (metrics,) = made.fit([RunDirectory(directory)])
    assert isinstance(metrics, dict)
    return tuple(float(metrics[key] or 0) for key in ("test/mse_f", "test/mse_df", "seconds/fit"))  # pyright: ignore


def theirs(seed: int, rate: float) -> tuple[float, float, float]:
    made = experiment(STEPS)
    x, test = (made.data.dataset.train.x[0].double(), made.data.dataset.test.x[0].double())
    target = Runge()
    network = NeuralNet([1, 64, 64, 1], "tanh", "linear")
    started = time.perf_counter()
    network.fit(
        x.numpy().T,
        target.value(x).numpy()[None],
        target.derivative(x).numpy().T[None],
        is_normalize=True,
        alpha=rate,
        max_iter=STEPS,
        random_state=seed,
    )
    seconds = time.perf_counter() - started
    u, du = network(test.numpy().T)
    error_f, error_df = u[0] - target.value(test).numpy(), du[0, 0] - target.derivative(test)[:, 0].numpy()
    return float(np.mean(error_f**2)), float(np.mean(error_df**2)), seconds


def main() -> None:
    options = parser(__doc__).parse_args()
    ours(0)  # imports and first calls
    rates = {f"JENN, rate {rate:g}": partial(theirs, rate=rate) for rate in (1e-3, 3e-3, 1e-2)}
    found = {name: [fit(seed) for seed in range(options.rounds)] for name, fit in {"runge": ours, **rates}.items()}
    times = {name: [seconds for *_, seconds in fits] for name, fits in found.items()}
    errors = {name: [median(one[i] for one in fits) for i in range(2)] for name, fits in found.items()}
    report("peers", "seconds", times, options.keep, {"MSE_f and MSE_df": errors})


if __name__ == "__main__":
    main()
