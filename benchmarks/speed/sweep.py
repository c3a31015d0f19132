"""Time whole sweeps as commands: `python train.py -m ...` and the project that one would otherwise write.

    pip install -e '.[bench]'
    python benchmarks/speed/sweep.py [seeds | grid] [--rounds 3]

`seeds` is 16 seeds with 4 values of lambda_d, 64 runs; `grid` is 3 activations, 2 depths, 2 widths, 5 values of
lambda_d and 5 seeds, 300 runs; all of 2000 steps on 256 points. The peer is `tutorial`, timed on a few runs
(all shapes of the grid once): the time of one more run, without the start of the command. Ours is the time of the whole
command with start, compilation, pictures and comparison, divided by its runs: first with nothing compiled yet, then
again. A last, untimed sweep measures the load of each core and the memory of all processes.
"""

import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import psutil  # pyright: ignore[reportMissingImports, reportMissingModuleSource]: the extra `bench`
from figures import parser, report

ROOT = Path(__file__).resolve().parents[2]
BARS = " ▁▂▃▄▅▆▇█"


class Sweep(NamedTuple):
    """The same sweep in both projects: all of it in ours, and a representative part of it in the peer."""

    runs: int
    ours: str
    peer: str
    peer_runs: int


SWEEPS = {
    "seeds": Sweep(
        64,
        'seed="range(0,16)" loss.lambda_d=0.001,0.01,0.1,1 trainer.max_steps=2000 data.n_train=256',
        "seed=0,1,2",
        3,
    ),
    "grid": Sweep(
        300,
        "model.activation=tanh,relu,gelu model.depth=2,3 model.width=32,64 loss.lambda_d=0,0.01,0.1,1,10 "
        "'seed=range(5)' trainer.max_steps=2000 data.n_train=256",
        "model.activation=Tanh,ReLU,GELU model.depth=2,3 model.width=32,64",
        12,
    ),
}


class Load:
    """The load that a command puts on the machine, sampled every half second."""

    def __init__(self) -> None:
        self.cores: list[list[float]] = []
        self.megabytes = 0.0

    @contextmanager
    def watch(self, process: psutil.Process) -> Iterator[None]:
        """Sample until the block ends."""
        done = threading.Event()

        def look() -> None:
            psutil.cpu_percent(percpu=True)
            while not done.wait(0.5):
                self.cores.append(psutil.cpu_percent(percpu=True))
                used = 0
                for one in (process, *process.children(recursive=True)):
                    try:
                        used += one.memory_full_info().pss  # what several share counts once
                    except psutil.Error:
                        continue
                self.megabytes = max(self.megabytes, used / 2**20)

        watcher = threading.Thread(target=look)
        watcher.start()
        yield
        done.set()
        watcher.join()

    def busy(self) -> float:
        """Return the mean share of the cores' time, in percent."""
        return round(statistics.mean(share for cores in self.cores for share in cores))

    def show(self) -> None:
        for number, busy in enumerate(zip(*self.cores, strict=True)):
            print(f"core {number}: " + "".join(BARS[round(share / 100 * (len(BARS) - 1))] for share in busy))


def seconds(script: Path, arguments: str, cache: Path, load: Load | None = None) -> float:
    """Return the time that a command takes, in an empty folder."""
    environment = {**os.environ, "RUNGE_CACHE_DIR": str(cache), "TORCHINDUCTOR_CACHE_DIR": str(cache)}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = psutil.Popen(
            [sys.executable, str(script), "-m", *shlex.split(arguments)],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        with load.watch(process) if load else nullcontext():
            status = process.wait()
        taken = time.perf_counter() - began
        if status != 0:
            output.seek(0)
            sys.exit(output.read().decode()[-2000:])
    return taken


def main() -> None:
    known = parser(__doc__)
    known.add_argument("sweep", nargs="?", choices=SWEEPS, default="seeds")
    options = known.parse_args()
    sweep, load = SWEEPS[options.sweep], Load()
    peer, first, again = times = [], [], []
    for i in range(options.rounds):
        with tempfile.TemporaryDirectory() as cache:
            script = Path(__file__).parent / "tutorial" / "train.py"
            one, some = (seconds(script, what, Path(cache)) for what in ("seed=0", sweep.peer))
            peer.append((some - one) / (sweep.peer_runs - 1))
            for taken in (first, again):
                taken.append(seconds(ROOT / "train.py", sweep.ours, Path(cache)) / sweep.runs)
            if i == options.rounds - 1:
                seconds(ROOT / "train.py", sweep.ours, Path(cache), load)
    names = "Lightning + Hydra project", "runge, nothing compiled yet", "runge, again"
    others = {"runs": sweep.runs, "megabytes": round(load.megabytes), "busy": load.busy()}
    report(options.sweep, "seconds a run", dict(zip(names, times, strict=True)), options.keep, others)
    load.show()


if __name__ == "__main__":
    main()
