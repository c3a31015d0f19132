"""Time `python train.py`, a whole command, against the same run as a bare script in torch.

    python benchmarks/speed/command.py [--rounds 5]

Both take 8000 steps of the default run; the script (`bare.py`) imports torch, loops and draws one picture. The commands
alternate. The compiled step comes from the cache, as in every command but the first. Both print the seconds of the
processor that they have taken before their first step: the script in its loop, the command by a callback. These are
also given for a command that imports Lightning and Hydra, and does nothing.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from figures import parser, report, short

FOLDER = Path(__file__).resolve().parent
BARE, COMMAND, IMPORTS = "bare script in torch", "python train.py", "import lightning.pytorch, hydra"
COMMANDS = {
    BARE: [str(FOLDER / "bare.py"), "picture.png"],
    COMMAND: [str(FOLDER.parents[1] / "train.py"), "+callbacks.first._target_=first_step.FirstStep"],
    IMPORTS: ["-c", IMPORTS],
}


class Times(NamedTuple):
    """The seconds of a command: by the clock, of the processor, and of the processor before the first step."""

    wall: float
    processor: float
    start: float


def seconds(arguments: list[str]) -> Times:
    """Run a command of Python and return its times; if it takes no step, all of it counts as the start."""
    environment = os.environ | {"PYTHONPATH": str(FOLDER)}
    with tempfile.TemporaryDirectory() as folder:
        before, began = os.times(), time.perf_counter()
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
        wall, after = time.perf_counter() - began, os.times()
    processor = after[2] + after[3] - before[2] - before[3]
    start = [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("before the first step")]
    return Times(wall, processor, float(start[0]) if start else processor)


def main() -> None:
    options = parser(__doc__, rounds=5).parse_args()
    for arguments in COMMANDS.values():
        seconds(arguments)
    taken: dict[str, list[Times]] = {name: [] for name in COMMANDS}
    for _ in range(options.rounds):
        for name, arguments in COMMANDS.items():
            taken[name].append(seconds(arguments))
    walls = {name: [one.wall for one in taken[name]] for name in (BARE, COMMAND)}
    used = {name: median(one.processor for one in taken[name]) for name in (BARE, COMMAND)}
    start = {name: float(short(median(one.start for one in times))) for name, times in taken.items()}
    others = {"seconds of the processor": used, "seconds of the processor before the first step": start}
    report("command", "seconds", walls, options.keep, others)


if __name__ == "__main__":
    main()
