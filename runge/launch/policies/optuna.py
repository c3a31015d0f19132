"""A search for the best settings: batches of trials that Optuna proposes, trained by the launcher in stacks."""

import json
import logging
import math
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from runge.configuration import SAME_BITS
from runge.errors import ConfigurationError, DivergedError, RunError, command
from runge.launch.compose import Composer
from runge.launch.folds import folds
from runge.launch.jobs import Launch, value_or_error
from runge.launch.policies.space import ends, read_space
from runge.launch.policies.study import Result, Sampler, Study, import_optuna
from runge.records.files import write
from runge.validation import Count, Natural, Positive, checked

log = logging.getLogger(__name__)

_BATCHES, _LEAST = 5, 16
"""The batches of a search, and the least trials of one, by default: the sampler learns from those before."""

_MOST_SHOWN = 3

NOWHERE = 10**9
"""The number of the first job that is only checked, beyond those of all runs."""


@checked
class SearchSettings:
    """The section `hydra.sweeper` of `hydra/sweeper=search`.

    Attributes:
        trials: the number of trials, >= 1; a search that has ended continues if its command has more.
        batch: the trials that are proposed and trained at a time, >= 1; None: a fifth of `trials`, but at least 16.
            It does not depend on the machine, so that the same seed gives the same trials everywhere.
        timeout: the seconds after which no further batch begins; None: no limit.
        seed: the seed of the sampler.
        sampler: `tpe` (tree-structured Parzen estimator, for one or several objectives) or `random`.
        seeds: how many runs a trial has, which differ in their seed, >= 1; their median counts. With `data.folds` each
            of them is a run for each fold, with the mean over the folds.
        params: ranges of keys, as on the command line.
        compare: false skips the comparison at the end.
    """

    trials: Count
    batch: Count | None
    timeout: Positive | None
    seed: Natural
    sampler: Sampler
    seeds: Count
    params: Mapping[str, Any] | None
    compare: bool


class Search:
    """A search in the directory of a sweep.

    Args:
        context: Hydra's.
        config: the sweep's configuration.
        settings: the section `hydra.sweeper`.
        arguments: the overrides of the command.

    Raises:
        ConfigurationError: Optuna is missing, or a range or a setting is not allowed.
    """

    def __init__(
        self, context: HydraContext, config: DictConfig, settings: SearchSettings, arguments: Sequence[str]
    ) -> None:
        optuna = import_optuna()
        parser = OverridesParser.create(config_loader=context.config_loader)
        given = [f"{key}={value}" for key, value in (settings.params or {}).items()]
        self.space, self.fixed = read_space(parser.parse_overrides([*given, *arguments]))
        self._ranges = {key: json.loads(optuna.distributions.distribution_to_json(x)) for key, x in self.space.items()}
        self._config, self.settings = config, settings
        self.directory = Path(config.hydra.sweep.dir)
        for key in {"seed", "objective", "resume", "logger", "data.folds", "data.fold"} & self.space.keys():
            rule = "seeds are hydra.sweeper.seeds=3; several objectives a list, 'objective=[val/mse_f,val/mse_df]'"
            raise ConfigurationError(f"{key}: must not be searched; {rule}; data.folds=5 has folds 0 to 4")
        if settings.seeds > 1 and any(override.partition("=")[0] == "seed" for override in self.fixed):
            raise ConfigurationError("seed: must not be given with hydra.sweeper.seeds, which sets it to 0, 1, ...")
        first, last = ({key: ends(one)[i] for key, one in self.space.items()} for i in (0, 1))
        self._folds = folds(Composer(context.config_loader, config)(self._overrides(first), NOWHERE))
        self._runs = settings.seeds * max(1, len(self._folds))  # of a trial
        self.ends = [[*self._overrides(params), *self._folds[:1]] for params in (first, last)]
        """Overrides to be checked first: all lower ends and first choices, and all upper ends and last choices."""

    def run(self, launch: Launch, objective: Sequence[str]) -> None:
        """Train trials until all have ended, or the time is over.

        Args:
            launch: trains jobs, given their overrides and the number of the first.
            objective: the figures that it minimises.

        Raises:
            ConfigurationError: the directory holds another search.
            RunError: no run of a batch could be trained, or no trial has finished.
        """
        started, settings = time.monotonic(), self.settings
        study = self._study(objective)
        write(self.directory / "multirun.yaml", OmegaConf.to_yaml(self._config))
        while len(study.trials) < settings.trials:
            if settings.timeout is not None and time.monotonic() - started >= settings.timeout:
                log.info("hydra.sweeper.timeout: %d of %d trials have ended", len(study.trials), settings.trials)
                break
            first, proposed = study.propose(settings.trials)
            returns = launch([job for params in proposed for job in self._jobs(params)], first * self._runs)
            outcomes, n, k = [value_or_error(one) for one in returns], self._runs, settings.seeds
            results = [_result(outcomes[i * n : (i + 1) * n], (first + i) * n, k) for i in range(len(proposed))]
            if all(result.status == "failed" for result in results):
                raise next(one for one in outcomes if isinstance(one, Exception))
            study.tell(proposed, results)
            self._write(study)
            best = "; ".join(map(_figures, study.best()[:_MOST_SHOWN])) or "none"
            log.info("%d of %d trials; best %s: %s", len(study.trials), settings.trials, study.objective, best)
        self._write(study)
        self._show(study)

    def _study(self, objective: Sequence[str]) -> Study:
        settings = self.settings
        fixed = {one: one.lstrip("+").partition("=")[0] for one in self.fixed}
        ignored = {one for one, key in fixed.items() if key in SAME_BITS or key.partition(".")[0] == "logger"}
        description = {
            "hydra.sweeper.params": self._ranges,
            "overrides": sorted(fixed.keys() - ignored),
            "objective": list(objective),
            "hydra.sweeper.sampler": settings.sampler,
            "hydra.sweeper.seed": settings.seed,
            "hydra.sweeper.seeds": settings.seeds,
        }
        batch = settings.batch or max(_LEAST, math.ceil(settings.trials / _BATCHES))
        return Study(self.directory, self.space, description, batch)

    def _overrides(self, params: Mapping[str, Any]) -> list[str]:
        return [*self.fixed, *(f"{key}={value}" for key, value in params.items())]

    def _jobs(self, params: Mapping[str, Any]) -> list[list[str]]:
        """Return the overrides of a trial's runs, which differ in their seed and their fold."""
        job, count = self._overrides(params), self.settings.seeds
        seeds = [[]] if count == 1 else [[f"seed={seed}"] for seed in range(count)]
        return [[*job, *seed, *fold] for seed in seeds for fold in ([[one] for one in self._folds] or [[]])]

    def _write(self, study: Study) -> None:
        """Write what the report needs."""
        trials, best = study.trials, study.best()
        figures = [
            {
                "number": trial.number,
                **trial.user_attrs,  # its status and its runs
                "values": trial.values or None,
                "params": trial.params,
            }
            for trial in trials
        ]
        content = {
            "objective": study.objective,
            "space": self._ranges,
            "trials": figures,
            "best": [trial.number for trial in best],
            "command": [self.command(trial.params) for trial in best],
        }
        write(self.directory / "search.json", json.dumps(content, indent=1) + "\n")

    def command(self, params: Mapping[str, Any]) -> str:
        """Return the command that trains a trial's settings alone, once for each fold."""
        return f"{command()} {'-m ' if self._folds else ''}{shlex.join(self._overrides(params))}"

    def _show(self, study: Study) -> None:
        best = study.best()
        if not best:
            raise RunError("no trial has finished; see the messages of the runs in comparison.csv")
        for trial in best:
            print(f"{', '.join(study.objective)}: {_figures(trial)}")
            print(f"  {self.command(trial.params)}")


def _figures(trial: Any) -> str:
    return ", ".join(f"{value:.4g}" for value in trial.values)


def _result(outcomes: Sequence[Any], first: int, seeds: int) -> Result:
    """Return the result of a trial from the outcomes of its runs, whose numbers begin with `first`.

    It has the mean over the folds of each of the seeds, and of these the median.
    """
    runs = list(range(first, first + len(outcomes)))
    if any(isinstance(one, Exception) and not isinstance(one, DivergedError) for one in outcomes):
        return Result("failed", (), runs)  # which says nothing about the settings
    # A run that diverged counts as infinitely bad.
    rows = [one if isinstance(one, tuple | list | Exception) else (one,) for one in outcomes]
    width, n = max((len(row) for row in rows if not isinstance(row, Exception)), default=0), len(rows) // seeds
    figures = np.array([(math.inf,) * width if isinstance(row, Exception) else row for row in rows])
    median = tuple(np.median(figures.reshape(seeds, n, width).mean(1), axis=0).tolist())
    if not median or not all(map(math.isfinite, median)):
        return Result("diverged", (), runs)
    return Result("finished", median, runs)
