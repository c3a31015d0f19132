"""Redo the experiments behind `docs/evidence.md`, and write it. `python -m runge.evidence [--quick] [CLAIM ...]`."""

import argparse
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hydra
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from runge.claims import CLAIMS, Claim
from runge.composition import plain, register_resolvers
from runge.configuration import CONFIGURATIONS, digest
from runge.directories import RunDirectory
from runge.errors import ConfigurationError
from runge.evidence_page import Sweep, page
from runge.files import printable, write
from runge.pool import cores
from runge.reading import find, read
from runge.signals import interrupt_on_sigterm

ROOT = CONFIGURATIONS.parent
TRAIN = ROOT / "train.py"
SHORTER = {"seed": "range(2)", "target": "runge"}
"""What `--quick` sweeps over in place of what the experiments do."""


class Experiment:
    """The sweep of a claim.

    Args:
        claim: the claim.
        quick: whether it is cut short, to see that it works.
        overrides: further overrides.
    """

    def __init__(self, claim: Claim, quick: bool = False, overrides: Sequence[str] = ()) -> None:
        self.claim = claim
        self.directory = ROOT / "outputs" / ("evidence-quick" if quick else "evidence") / claim.name
        given = yaml.safe_load((CONFIGURATIONS / "experiment" / "claims" / f"{claim.name}.yaml").read_text())
        swept = given["hydra"]["sweeper"]["params"]
        shorter = {key: value for key, value in SHORTER.items() if quick and key in swept}
        self.wanted = combinations({**swept, **shorter})
        self.fixed = [f"experiment=claims/{claim.name}", *overrides]
        if quick:
            self.fixed += ["trainer.max_steps=8", "trainer.compile=off"]
        self.command = [sys.executable, str(TRAIN), "-m", *self.fixed, f"hydra.sweep.dir={self.directory}"]
        self.command += [f"hydra.sweeper.params.{key}='{value}'" for key, value in shorter.items()]
        if quick:
            self.command += ["hydra.launcher.processes=1", "trainer.progress_bar=false"]

    def sweep(self) -> Sweep:
        """What is known of its runs."""
        found = find(self.directory) if self.directory.is_dir() else []
        return Sweep(self.claim, self.wanted, [read(run) for run in found])

    def ended(self) -> bool:
        """Whether all runs have come to their end, and with the configuration that they would have now."""
        runs = [RunDirectory(self.directory / str(number)) for number in range(len(self.wanted))]
        try:
            states = [run.read_state() for run in runs]
        except (ConfigurationError, OSError):
            return False
        if any(
            state is None or (state.status, run.metrics.exists()) not in (("finished", True), ("diverged", False))
            for run, state in zip(runs, states, strict=True)
        ):
            return False
        return states[0] is not None and states[0].configuration == self._digest()

    def _digest(self) -> str:
        """What the configuration of the first run would be."""
        register_resolvers()
        first = [f"{key}={value}" for key, value in self.wanted[0].items()]
        with hydra.initialize_config_dir(str(CONFIGURATIONS), version_base="1.3"):
            return digest(plain(hydra.compose("config", [*self.fixed, *first]))[0])


def combinations(swept: Mapping[str, object]) -> list[dict[str, str]]:
    """The runs of a sweep over some keys, in Hydra's order.

    Example:
        >>> combinations({"target": "runge", "seed": "range(2)"})
        [{'target': 'runge', 'seed': '0'}, {'target': 'runge', 'seed': '1'}]
    """
    parsed = OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in swept.items()])
    values = [
        [str(value) for value in one.sweep_string_iterator()]
        if one.is_sweep_override()
        else [str(one.get_value_element_as_str())]
        for one in parsed
    ]
    return [dict(zip(swept, run, strict=True)) for run in itertools.product(*values)]


def train(experiments: Sequence[Experiment], together: int) -> None:
    """Run the sweeps that have not ended, some of them at the same time.

    Raises:
        ConfigurationError: one of them failed.
        KeyboardInterrupt: so it was asked for; the sweeps have ended by then.
    """
    waiting = [experiment for experiment in experiments if not experiment.ended()]
    processes: list[subprocess.Popen[str]] = []
    stopped = False

    def follow(experiment: Experiment) -> None:
        if stopped:
            return
        print(f"{experiment.claim.name}: {len(experiment.wanted)} runs", flush=True)
        # In a session of its own: a Ctrl-C reaches it once, through its parent.
        environment = os.environ | ({"OMP_NUM_THREADS": "1"} if together > 1 else {})
        errors = subprocess.PIPE if together > 1 else None
        process = subprocess.Popen(
            experiment.command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        told = process.communicate()[1] or ""
        # A sweep of which a run has diverged fails, and has come to its end all the same.
        if process.returncode and not stopped and not experiment.ended():
            last = f": {told.strip().splitlines()[-1]}" if told.strip() else ""
            raise ConfigurationError(f"{experiment.claim.name}: its sweep failed{last}")

    with ThreadPoolExecutor(together) as pool:
        futures = [pool.submit(follow, experiment) for experiment in waiting]
        try:
            for future in futures:
                future.result()
        except BaseException:
            stopped = True
            for process in processes:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
            raise


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `python -m runge.evidence`."""
    parser = argparse.ArgumentParser(prog="python -m runge.evidence", description=__doc__)
    parser.add_argument("claims", metavar="CLAIM", nargs="*", help="only these are run (default: all)")
    parser.add_argument("--quick", action="store_true", help="few and short runs, to see that it works")
    parser.add_argument("--out", metavar="DIR", help="where the page goes (default: docs)")
    given = parser.parse_args(arguments)
    names = [claim.name for claim in CLAIMS]
    for name in given.claims:
        if name not in names:
            parser.error(f"CLAIM: must be one of {', '.join(names)}; got {name!r}")
    if not TRAIN.is_file() or not CONFIGURATIONS.is_dir():
        parser.error(f"the experiments lie in a checkout of runge, beside train.py and conf; there are none in {ROOT}")
    experiments = [Experiment(claim, given.quick) for claim in CLAIMS]
    out = Path(given.out or (ROOT / "outputs" / "evidence-quick" if given.quick else ROOT / "docs"))
    interrupt_on_sigterm()
    try:
        chosen = [one for one in experiments if not given.claims or one.claim.name in given.claims]
        train(chosen, cores() if given.quick else 1)
        # Claims that were run before stay on the page.
        text, pictures = page([one.sweep() for one in experiments if one in chosen or one.ended()], given.quick)
        (out / "evidence").mkdir(parents=True, exist_ok=True)
        for name, picture in pictures.items():
            write(out / "evidence" / f"{name}.png", picture)
        write(out / "evidence.md", text)
        print(f"page: {os.path.relpath(out / 'evidence.md')}")
    except KeyboardInterrupt:
        sys.exit("error: interrupted; the same command goes on")
    except (ConfigurationError, OSError) as error:
        sys.exit(f"error: {printable(str(error))}")


if __name__ == "__main__":
    main()
