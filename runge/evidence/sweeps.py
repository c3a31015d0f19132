"""The sweeps behind the claims: which runs there should be, and how they are trained."""

import itertools
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from multiprocessing import get_context
from pathlib import Path

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from runge.configuration import CONFIGURATIONS, digest
from runge.errors import ConfigurationError
from runge.evidence.claims import Claim
from runge.evidence.effects import SEED
from runge.evidence.page import Sweep
from runge.launch.composition import plain, register_resolvers
from runge.machine import cores, limit_threads
from runge.records.directories import RunDirectory
from runge.records.reading import find, read

ROOT = CONFIGURATIONS.parent
TRAIN = ROOT / "train.py"
SHORTER = {"seed": "0", "target": "runge"}
"""What `--quick` sweeps over in place of what the experiments do."""


class Experiment:
    """The sweep of a claim.

    Args:
        claim: the claim.
        quick: whether it is cut short, to see that it works.
        below: where its runs go, in a directory of the claim's name.
        instead: what is swept over in place of what the experiment does, by a key without a dot.
        overrides: further overrides.
    """

    def __init__(
        self,
        claim: Claim,
        quick: bool = False,
        below: Path | None = None,
        instead: Mapping[str, str] | None = None,
        overrides: Sequence[str] = (),
    ) -> None:
        self.claim = claim
        self.directory = (below or runs_below(quick)) / claim.name
        given = yaml.safe_load((CONFIGURATIONS / "experiment" / "claims" / f"{claim.name}.yaml").read_text())
        changed = (SHORTER if quick else {}) if instead is None else instead
        self.wanted = combinations({**given["hydra"]["sweeper"]["params"], **changed})
        self.fixed = [f"experiment=claims/{claim.name}", *overrides]
        # Without the comparison of its runs, which is the page's.
        self.arguments = ["-m", f"hydra.sweep.dir={self.directory}", "hydra.sweeper.compare=false"]
        self.arguments += [f"hydra.sweeper.params.{key}='{value}'" for key, value in changed.items()]
        if quick:
            self.fixed += ["trainer.max_steps=8", "trainer.compile=off"]
            self.arguments += ["hydra.launcher.processes=1", "trainer.progress_bar=false"]
        self.arguments += self.fixed

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
        known = [state.configuration if state else "" for state in states]
        return all(known[i] == expected for i, expected in self._digests().items())

    def check(self, status: int) -> None:
        """See what its sweep has come to, which fails where a run has diverged, and has come to its end all the same.

        Raises:
            ConfigurationError: it has failed.
        """
        if status and not self.ended():
            raise ConfigurationError(f"{self.claim.name}: its sweep failed; its runs are in {self.directory}")

    def _digests(self) -> dict[int, str]:
        """What the configurations of some runs would be, by their numbers: the first with each option of each group."""
        options = [(key, value) for run in self.wanted for key, value in run.items() if "." not in key and key != SEED]
        first = {next(i for i, run in enumerate(self.wanted) if run[key] == value) for key, value in set(options)}
        register_resolvers()
        with hydra.initialize_config_dir(str(CONFIGURATIONS), version_base="1.3"):
            return {i: digest(plain(hydra.compose("config", self._typed(i)))[0]) for i in first or {0}}

    def _typed(self, number: int) -> list[str]:
        return [*self.fixed, *(f"{key}={value}" for key, value in self.wanted[number].items())]


def runs_below(quick: bool) -> Path:
    """The directory of the claims' runs."""
    return ROOT / "outputs" / ("evidence-quick" if quick else "evidence")


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


def train(experiments: Sequence[Experiment]) -> None:
    """Run the sweeps that have not ended, one after the other on all cores.

    Raises:
        ConfigurationError: one of them failed.
        KeyboardInterrupt: so it was asked for; the sweep has ended by then.
    """
    for experiment in experiments:
        if experiment.ended():
            continue
        print(f"{experiment.claim.name}: {len(experiment.wanted)} runs", flush=True)
        # In a session of its own a Ctrl-C reaches it once, through this process.
        command = [sys.executable, str(TRAIN), *experiment.arguments]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            process.wait()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
        experiment.check(process.returncode)


def train_quickly(experiments: Sequence[Experiment]) -> None:
    """Run the sweeps that have not ended, one on each core, in processes that load their libraries once.

    Raises:
        ConfigurationError: one of them failed.
    """
    waiting = [experiment for experiment in experiments if not experiment.ended()]
    if not waiting:
        return
    with ProcessPoolExecutor(min(cores(), len(waiting)), get_context("spawn")) as pool:
        futures = [pool.submit(_run_here, experiment.arguments) for experiment in waiting]
        try:
            for experiment, future in zip(waiting, futures, strict=True):
                experiment.check(future.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _run_here(arguments: Sequence[str]) -> int:
    """`train.py` in this process; its exit status."""
    os.chdir(ROOT)
    limit_threads(1)
    GlobalHydra.instance().clear()
    sys.argv = [str(TRAIN), *arguments]
    with Path(os.devnull).open("w") as nothing, redirect_stdout(nothing):
        try:
            runpy.run_path(str(TRAIN), run_name="__main__")
        except SystemExit as end:
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
            return int(end.code is not None and end.code != 0)
    return 0
