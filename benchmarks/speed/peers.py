"""Compare this package with JENN on Runge's function and its derivative, with the same points and network.

    pip install -e '.[bench]'
    python benchmarks/speed/peers.py [--seeds 3]

JENN (S. Berguin, Jacobian-enhanced neural networks, https://pypi.org/project/jenn/) fits values and derivatives with
Adam in numpy, in 64 bit. Both take 8000 Adam steps on 128 evenly spaced points with a 1 -> 64 -> 64 -> 1 network; JENN
gets the best of three learning rates. Times are those of the fits, one after the other in one process.
"""

import argparse
import statistics
import tempfile
import time

import numpy as np
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(parser.parse_args().seeds)
    ours(0)  # imports and first calls
    rows = {"runge": [ours(seed) for seed in seeds]}
    rows |= {f"JENN, rate {rate:g}": [theirs(seed, rate) for seed in seeds] for rate in (1e-3, 3e-3, 1e-2)}
    medians = {name: [statistics.median(column) for column in zip(*runs, strict=True)] for name, runs in rows.items()}
    for name, (mse_f, mse_df, seconds) in medians.items():
        print(f"{name}: test mse_f {mse_f:.1e}, mse_df {mse_df:.1e}, {seconds:.1f} s (medians of {len(seeds)})")
    best = min((figures for name, figures in medians.items() if name != "runge"), key=lambda figures: figures[1])
    time_ratio, error_ratio = best[2] / medians["runge"][2], best[1] / medians["runge"][1]
    print(f"JENN at its best rate takes {time_ratio:.1f} times as long, with {error_ratio:.0f} times the mse_df")


if __name__ == "__main__":
    main()
