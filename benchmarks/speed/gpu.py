"""Test a GPU and measure it, before `trainer.accelerator=auto` takes it on this machine.

    pip install -e '.[test,bench]'
    python benchmarks/speed/gpu.py

First random compositions of all options are trained on the GPU in stacks, and compared with the same runs alone on
the processor and with NumPy in float64; and a run is interrupted and resumed. Then the steps of `steps.py` are measured
with 1024 and 8192 members: on the GPU, in JAX (vmap over the members, jit and scan) if it has CUDA, and on all cores of
the processor. If the tests pass, that is recorded in the cache directory (`RUNGE_CACHE_DIR`, or `~/.cache/runge`) for
this GPU with these versions of torch and runge, and `auto` takes it. The table at the end is to be sent to us in an
issue.

Without a GPU the command does nothing, and its exit status is 2; it is 1 if a test fails. `--device cpu` is a
rehearsal: the tests take a GPU that is pretended, the measurements the processor, and nothing is recorded.
"""

import argparse
import datetime
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch
from contenders import Contender, TakeSteps, jax_scan, stack, stacks
from figures import machine, short
from steps import start

import runge
from runge.machine import cache_folder
from runge.sobolev.kernel import suits_the_machine
from runge.training import gpu

ROOT = Path(__file__).resolve().parents[2]
PROCESSOR = "runge on the processor, all cores"
TESTS = (
    "tests/sweeps/test_differential.py",
    "tests/training/test_runs.py::test_resumed_run_equals_the_uninterrupted_one[patience]",
    "tests/training/test_runs.py::test_resumed_run_equals_the_uninterrupted_one[levenberg_marquardt]",
)


def tests_pass(accelerator: str, compositions: int) -> bool:
    """Return whether the tests pass with runs on an accelerator, in a process of their own."""
    options = ("-q", "-n", "4", "-W", "default", "--accelerator", accelerator, "--compositions", str(compositions))
    return subprocess.run([sys.executable, "-m", "pytest", *TESTS, *options], cwd=ROOT).returncode == 0


def contenders(device: str, members: int) -> list[Contender]:
    """Return what is compared, with a number of members."""
    jax: list[Contender] = []
    if find_spec("jax") and find_spec("optax") and (device == "cpu" or _jax_has_cuda()):
        jax = [Contender(f"JAX on the {_name(device)}", members, (), partial(jax_scan, members, device))]
    on_cores: Callable[[], TakeSteps] = partial(stacks, members, "on" if suits_the_machine() else "off")
    return [
        Contender(PROCESSOR, members, (), on_cores),
        *jax,
        Contender(f"runge on the {_name(device)}", members, (), partial(stack, members, "off", device=device)),
    ]


def _name(device: str) -> str:
    return "processor, without the kernel" if device == "cpu" else "GPU"


def _jax_has_cuda() -> bool:
    """Return whether JAX finds the GPU, in a process of its own, because it takes most of the memory."""
    return not subprocess.run([sys.executable, "-c", "import jax; jax.devices('cuda')"], capture_output=True).returncode


def measure(device: str, members: int, rounds: int, steps: int) -> dict[str, list[float]]:
    """Return the microseconds per member and step of each contender that has not failed, for each round."""
    times: dict[str, list[float]] = {}
    for contender in contenders(device, members):  # one at a time: each may need most of the memory
        with ExitStack() as running:
            take = running.enter_context(start(contender, steps))
            try:
                take()  # compilation and first calls
                times[contender.name] = [take()[0] for _ in range(rounds)]
            except EOFError:  # its process has printed why
                print(f"{contender.name}: failed with {members} members, such as without enough memory")
    return times


def table(device: str, found: dict[int, dict[str, list[float]]]) -> str:
    """Return the figures as Markdown, with what they depend on."""
    cuda = device == "cuda"
    what = {
        "GPU": f"{torch.cuda.get_device_name()}, driver {_driver()}, CUDA {torch.version.cuda}"
        if cuda
        else "a rehearsal",
        "processor": machine(),
        "runge": runge.__version__,
        "JAX": version("jax") if find_spec("jax") else "none",
        "date": f"{datetime.date.today()}",
    }
    lines = [f"- {key}: {value}" for key, value in what.items()]
    lines += ["", "| members | what | us per member and step | range | processor / this |", "|--:|---|--:|--:|--:|"]
    for members, times in found.items():
        medians = {name: statistics.median(values) for name, values in times.items()}
        for name, values in times.items():
            extent = f"{short(min(values))} to {short(max(values))}"
            ratio = short(medians[PROCESSOR] / medians[name]) if PROCESSOR in medians else "-"
            lines.append(f"| {members} | {name} | {short(medians[name])} | {extent} | {ratio} |")
    return "\n".join(lines)


def _driver() -> str:
    if (program := shutil.which("nvidia-smi")) is None:
        return "unknown"
    query = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    return (subprocess.run(query, capture_output=True, text=True).stdout.splitlines() or ["unknown"])[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Test, measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--members", type=int, nargs="+", default=[1024, 8192])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=50, help="of a turn; the members share them")
    parser.add_argument("--compositions", type=int, default=40, help="how many random compositions are compared")
    options = parser.parse_args(arguments)
    cuda = options.device == "cuda"
    if cuda and not torch.cuda.is_available():
        print("error: torch finds no GPU with CUDA on this machine, so that there is nothing to test", file=sys.stderr)
        return 2
    if cuda and cache_folder() is None:
        what = "there is no cache directory that belongs to this user alone, for the record; set RUNGE_CACHE_DIR"
        print(f"error: {what}", file=sys.stderr)
        return 2
    passed = tests_pass("gpu" if cuda else "pretended", options.compositions)
    if cuda:
        gpu.record(passed)
    if not passed:
        print("error: the tests fail on this GPU; trainer.accelerator=auto stays on the processor", file=sys.stderr)
        return 1
    found = {members: measure(options.device, members, options.rounds, options.steps) for members in options.members}
    print(table(options.device, found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
