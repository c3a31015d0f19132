"""Compare the cost of one training step of f and f': a plain torch loop, JAX and this package.

    pip install -e '.[bench]'
    python benchmarks/speed/steps.py [--rounds 5] [--steps 2000]

All minimise MSE_f + 0.1 MSE_df of Runge's function on the same 256 evenly spaced points, full batch, with Adam and a
1 -> 64 -> 64 -> 1 network with tanh, in float32. The figure is the duration of a turn, divided by its optimiser steps
and by the members that are trained together, in microseconds.

Each contender has its own process, because the libraries' threads and memory interfere with each other. One of them
runs at a time. In a round, each takes one turn, so that other load on the machine affects all of them equally; the
medians over the rounds are compared. A first turn, for compilation and first calls, is not counted. A peer that is not
installed is skipped.

Each contender may use all cores; its library chooses the number of threads. Its busy cores are the processor time of a
turn divided by its duration, including threads that wait in a busy loop. On two cores, torch keeps both busy, and JAX
uses less.
"""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from importlib.util import find_spec
from multiprocessing.connection import Connection

from contenders import CONTENDERS, Contender
from figures import parser, report


def serve(contender: Contender, steps: int, connection: Connection) -> None:
    take = contender.make()
    while connection.recv():
        began, used = time.perf_counter(), time.process_time()
        others = take(steps) or 0.0
        seconds, used = time.perf_counter() - began, time.process_time() - used + others
        connection.send((seconds / steps / contender.members * 1e6, used / seconds))


@contextmanager
def start(contender: Contender, steps: int) -> Iterator[Callable[[], tuple[float, float]]]:
    """A process in which a contender waits, and what makes it take a turn: microseconds and busy cores come back."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(contender, steps, there))
    process.start()
    there.close()  # so that `recv` fails, rather than waits, if the process ends

    def turn() -> tuple[float, float]:
        here.send(True)
        return here.recv()

    try:
        yield turn
    finally:
        with suppress(ConnectionError):
            here.send(False)
        process.join()


def main() -> None:
    known = parser(__doc__, rounds=5)
    known.add_argument("--steps", type=int, default=2000, help="of a turn; the members of a stack share them")
    options = known.parse_args()
    with ExitStack() as running:
        turns: dict[Contender, Callable[[], tuple[float, float]]] = {}
        for contender in CONTENDERS:
            if missing := [module for module in contender.needs if find_spec(module) is None]:
                print(f"{contender.name}: left out; not installed: {', '.join(missing)}")
                continue
            steps = max(50, options.steps // contender.members)
            turns[contender] = running.enter_context(start(contender, steps))
            turns[contender]()  # compilation and first calls
        rounds = [{contender: turn() for contender, turn in turns.items()} for _ in range(options.rounds)]
    times = {contender.name: [one[contender][0] for one in rounds] for contender in turns}
    cores = {contender.name: statistics.median(one[contender][1] for one in rounds) for contender in turns}
    packages = dict.fromkeys(["torch", *(module for contender in turns for module in contender.needs)])
    others = {"busy cores": cores, "versions": {package: version(package).partition("+")[0] for package in packages}}
    report("steps", "us per member and step", times, options.keep, others)


if __name__ == "__main__":
    main()
