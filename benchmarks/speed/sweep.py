"""Time a whole sweep as a command: 16 seeds with 4 values of lambda_d, 64 runs of 2000 steps on 256 points.

    python benchmarks/speed/sweep.py [--rounds 3]

The time is that of the whole command with start, compilation, pictures and comparison, divided by its runs: first with
nothing compiled yet, then again.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import parser, report

TRAIN = Path(__file__).resolve().parents[2] / "train.py"
SWEEP = ("seed=range(0,16)", "loss.lambda_d=0.001,0.01,0.1,1", "trainer.max_steps=2000", "data.n_train=256")
RUNS = 64


def seconds(cache: str) -> float:
    """Return the seconds of a run of the sweep, in an empty folder."""
    environment = {**os.environ, "RUNGE_CACHE_DIR": cache}
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = [sys.executable, str(TRAIN), "-m", *SWEEP]
        subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True)
        return (time.perf_counter() - began) / RUNS


def main() -> None:
    options = parser(__doc__).parse_args()
    times: dict[str, list[float]] = {"runge, nothing compiled yet": [], "runge, again": []}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as cache:
            for taken in times.values():
                taken.append(seconds(cache))
    report("seeds", "seconds a run", times, options.keep, {"runs": RUNS})


if __name__ == "__main__":
    main()
