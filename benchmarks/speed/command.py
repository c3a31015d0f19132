"""Time `python train.py`, a whole command, against the same run as a bare script in torch.

    python benchmarks/speed/command.py [--rounds 5]

Both take 8000 steps of the default run; the script (`bare.py`) imports torch, loops and draws one picture. The commands
alternate. Printed are the medians of the seconds by the clock and of the processor, and their ratios; the compiled step
comes from the cache, as in every command but the first.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {
    "python train.py": [str(ROOT / "train.py")],
    "bare script": [str(ROOT / "benchmarks" / "speed" / "bare.py"), "picture.png"],
}


def seconds(arguments: list[str]) -> tuple[float, float]:
    """Return the seconds of a command, by the clock and of the processor."""
    with tempfile.TemporaryDirectory() as folder:
        before, began = os.times(), time.perf_counter()
        subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, check=True)
        wall, after = time.perf_counter() - began, os.times()
    return wall, after[2] + after[3] - before[2] - before[3]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    for arguments in COMMANDS.values():
        seconds(arguments)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, arguments in COMMANDS.items():
            taken[name].append(seconds(arguments))
    medians = {name: [statistics.median(part) for part in zip(*times, strict=True)] for name, times in taken.items()}
    for name, (wall, processor) in medians.items():
        print(f"{name}: {wall:.2f} s, {processor:.2f} s of the processor")
    (wall, processor), (bare, bare_processor) = medians.values()
    print(f"ratio: {wall / bare:.2f}; {processor / bare_processor:.2f}")


if __name__ == "__main__":
    main()
