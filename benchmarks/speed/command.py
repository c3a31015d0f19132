"""Time `python train.py`, a whole command, against the same run as a bare script in torch.

    python benchmarks/speed/command.py [--rounds 5]

Both take 8000 steps of the default run; the script (`bare.py`) imports torch, loops and draws one picture. The commands
alternate. The compiled step comes from the cache, as in every command but the first.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from figures import parser, report

FOLDER = Path(__file__).resolve().parent
COMMANDS = {
    "bare script in torch": [str(FOLDER / "bare.py"), "picture.png"],
    "python train.py": [str(FOLDER.parents[1] / "train.py")],
}


def seconds(arguments: list[str]) -> tuple[float, float]:
    """Return the seconds of a command, by the clock and of the processor."""
    with tempfile.TemporaryDirectory() as folder:
        before, began = os.times(), time.perf_counter()
        subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, check=True)
        wall, after = time.perf_counter() - began, os.times()
    return wall, after[2] + after[3] - before[2] - before[3]


def main() -> None:
    options = parser(__doc__, rounds=5).parse_args()
    for arguments in COMMANDS.values():
        seconds(arguments)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for _ in range(options.rounds):
        for name, arguments in COMMANDS.items():
            taken[name].append(seconds(arguments))
    walls = {name: [wall for wall, _ in times] for name, times in taken.items()}
    used = {name: median(processor for _, processor in times) for name, times in taken.items()}
    report("command", "seconds", walls, options.keep, {"seconds of the processor": used})


if __name__ == "__main__":
    main()
