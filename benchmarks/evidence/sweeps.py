"""The sweeps behind the claims: the runs that each of them needs, and how these are trained."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from claims import SEED, Claim, ClaimRuns

from runge.composing.composition import combinations as runs_of
from runge.composing.composition import compose
from runge.configuration.errors import ConfigurationError, RunError
from runge.configuration.objects import CONFIGURATIONS, digest
from runge.interface.calls import sweep
from runge.records.directories import RunDirectory
from runge.records.reading import find, read

# The values that `--quick` sweeps over instead of the experiments', and its other overrides.
QUICK = {SEED: "0", "target": "runge", "optimizer": "adam", "model.width": "8,16"}
QUICK_OVERRIDES = ("trainer.max_steps=8", "trainer.compile=off", "trainer.progress_bar=false")


class ClaimSweep:
    """The sweep of a claim.

    Args:
        claim: the claim.
        directory: where its runs go.
        swept: values to sweep over instead of the experiment's, by key; keys that it does not sweep over are ignored.
        overrides: further overrides of all runs.

    Attributes:
        wanted: for each run the swept keys and their values as typed.
    """

    def __init__(self, claim: Claim, directory: Path, swept: Mapping[str, str], overrides: Sequence[str]) -> None:
        experiment = yaml.safe_load((CONFIGURATIONS / "experiment" / "claims" / f"{claim.name}.yaml").read_text())
        params = experiment["hydra"]["sweeper"]["params"]
        self._swept = {key: swept.get(key, value) for key, value in params.items()}
        self._fixed = [f"experiment=claims/{claim.name}", *overrides]
        self.claim, self.directory, self.wanted = claim, directory, combinations(self._swept)

    def read(self) -> ClaimRuns:
        """Read its runs from their directories."""
        runs = find(self.directory) if self.directory.is_dir() else []
        return ClaimRuns(self.claim, self.wanted, [read(run) for run in runs])

    def ended(self) -> bool:
        """Return whether all runs have finished or diverged, with the configurations that they would have today."""
        runs = [RunDirectory(self.directory / str(number)) for number in range(len(self.wanted))]
        try:
            states = [s for run in runs if (s := run.read_state()) and (s.status == "diverged" or run.metrics.exists())]
        except (ConfigurationError, OSError):
            return False
        return len(states) == len(runs) and all(states[i].configuration == x for i, x in self._digests().items())

    def train(self) -> None:
        """Train the runs that have not ended, in stacks, on all cores.

        Raises:
            RunError: the sweep failed, for another reason than runs that diverged.
            KeyboardInterrupt: it was interrupted; the finished runs are kept.
        """
        overrides = ["hydra.sweeper.params=null", "search.compare=false"]  # the page compares the runs
        overrides += [*(f"{key}={value}" for key, value in self._swept.items()), *self._fixed]
        with warnings.catch_warnings(record=True, action="always") as caught:
            try:
                sweep(*overrides, directory=self.directory)
                failure = "; ".join(str(warning.message) for warning in caught)
            except (ConfigurationError, RunError) as error:
                failure = str(error)
        if failure and not self.ended():
            raise RunError(f"{self.claim.name}: its sweep failed: {failure}; its runs are in {self.directory}")

    def _digests(self) -> dict[int, str]:
        """Compute the digests that some runs should have, by number: the first run with each option of each group."""
        options = [(key, value) for run in self.wanted for key, value in run.items() if "." not in key and key != SEED]
        first = {next(i for i, run in enumerate(self.wanted) if run[key] == value) for key, value in set(options)}
        typed = {i: [f"{key}={value}" for key, value in self.wanted[i].items()] for i in first or {0}}
        return {i: digest(compose(*self._fixed, *overrides)) for i, overrides in typed.items()}


def combinations(swept: Mapping[str, object]) -> list[dict[str, str]]:
    """Return the runs of a sweep over some keys, in Hydra's order.

    Example:
        >>> combinations({"target": "runge", "seed": "range(2)"})
        [{'target': 'runge', 'seed': '0'}, {'target': 'runge', 'seed': '1'}]
    """
    runs = runs_of([f"{key}={value}" for key, value in swept.items()])
    return [dict(override.split("=", 1) for override in run) for run in runs]
