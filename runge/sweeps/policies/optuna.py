"""The policy of `search=optuna`: the best settings among ranges, in batches of trials that Optuna proposes."""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runge.composing.command import SweepCommand
from runge.composing.jobs import make_jobs
from runge.composing.ranges import ends, read_space
from runge.configuration.command_line import command, in_shell, overrides_of
from runge.configuration.errors import ConfigurationError, DivergedError, RunError
from runge.configuration.objects import SAME_BITS, build
from runge.configuration.validation import Count, Natural, Positive, checked
from runge.records.files import public
from runge.records.trials import Trial, Trials
from runge.sweeps.cross_validation import folds
from runge.sweeps.journal import Batch, EndedRun, Journal
from runge.sweeps.launch import check_jobs
from runge.sweeps.policies.policy import Policy, Rounds
from runge.sweeps.policies.study import Result, Sampler, Study, import_optuna

__all__ = ["Optuna", "OptunaSettings"]

log = logging.getLogger(__name__)

_BATCHES, _LEAST_TRIALS = 5, 16
"""The batches of a search, and the least trials of one, by default: the sampler learns from those before."""

_MOST_SHOWN = 3  # best trials of several objectives in a line of the log

_NOWHERE = 10**9
"""The number of the first job that is only checked, beyond those of all runs."""


@checked
class OptunaSettings:
    """The section `search` of `search=optuna`.

    Attributes:
        trials: the number of trials, >= 1; a search that has ended continues if its command has more.
        batch: the trials that are proposed and trained at a time, >= 1; None: a fifth of `trials`, but at least 16.
            It does not depend on the machine, so that the same seed gives the same trials everywhere.
        timeout: the seconds after which no further batch begins; None: no limit.
        seed: the seed of the sampler.
        sampler: `tpe` (tree-structured Parzen estimator, for one or several objectives) or `random`.
        seeds: how many runs a trial has, which differ in their seed, >= 1; their median counts. With `data.folds` each
            of them is a run for each fold, with the mean over the folds.
        compare: false: do not compare the runs at the end, and write no report.
    """

    trials: Count
    batch: Count | None
    timeout: Positive | None
    seed: Natural
    sampler: Sampler
    seeds: Count
    compare: bool


class Optuna(Policy):
    """Trials that Optuna proposes from the results of those before."""

    def __init__(self, command: SweepCommand) -> None:
        optuna = import_optuna()
        self._command, self._settings = command, (settings := build("search", command.search_settings, OptunaSettings))
        self.compares = settings.compare
        self.space, self.fixed = read_space(command.parsed)
        self._ranges = {key: json.loads(optuna.distributions.distribution_to_json(x)) for key, x in self.space.items()}
        for key in {"seed", "objective", "resume", "logger", "data.folds", "data.fold"} & self.space.keys():
            rule = "seeds are search.seeds=3; several objectives a list, 'objective=[val/mse_f,val/mse_df]'"
            raise ConfigurationError(f"{key}: must not be searched; {rule}; data.folds=5 has folds 0 to 4")
        if settings.seeds > 1 and any(override.partition("=")[0] == "seed" for override in self.fixed):
            raise ConfigurationError("seed: must not be given with search.seeds, which sets it to 0, 1, ...")
        first, last = ({key: ends(x)[i] for key, x in self.space.items()} for i in (0, 1))
        self._folds = folds(command.data_of(self._overrides(first)))
        self._runs = settings.seeds * len(self._folds)  # of a trial
        # All lower ends and first choices, and all upper ends and last choices.
        outermost = [[*self._overrides(params), *self._folds[0]] for params in (first, last)]
        jobs = make_jobs(command, outermost, _NOWHERE)
        check_jobs(jobs, command.processes or 1)
        self._objective = list(jobs[0].member.objective.keys)
        self._study = Study(self.space, len(self._objective), settings.sampler, settings.seed)

    def description(self) -> Mapping[str, Any]:
        """Return the ranges, the other overrides and the settings from which the trials follow."""
        fixed = {override: override.lstrip("+").partition("=")[0] for override in self.fixed}
        ignored = {override for override, key in fixed.items() if key in SAME_BITS or key.partition(".")[0] == "logger"}
        settings = {f"search.{key}": getattr(self._settings, key) for key in ("sampler", "seed", "seeds")}
        return {
            "ranges": self._ranges,
            "overrides": sorted(fixed.keys() - ignored),
            "objective": self._objective,
            **settings,
        }

    def propose(self, journal: Journal) -> Rounds:
        """Yield batches of trials until all have ended, or the time is over.

        Raises:
            RunError: no run of a batch could be trained, or no trial has finished.
        """
        settings, study = self._settings, self._study
        size = journal.keep("search.batch", settings.batch or max(_LEAST_TRIALS, math.ceil(settings.trials / _BATCHES)))
        while len(study.trials) < settings.trials:
            if settings.timeout is not None and journal.seconds >= settings.timeout:
                log.info("search.timeout: %d of %d trials have ended", len(study.trials), settings.trials)
                break
            proposed = study.propose(min(size, settings.trials - len(study.trials)))
            runs = yield Batch([job for params in proposed for job in self._jobs(params)])
            n = self._runs
            results = [_result(runs[i * n : (i + 1) * n], settings.seeds) for i in range(len(proposed))]
            if all(result.status == "failed" for result in results):
                journal.forget()
                raise next(run.value for run in runs if isinstance(run.value, Exception))
            study.tell(proposed, results)
            self._write()
            shown = "; ".join(map(_figures, study.best()[:_MOST_SHOWN])) or "none"
            log.info("%d of %d trials; best %s: %s", len(study.trials), settings.trials, self._objective, shown)
        best = study.best()
        if not best:
            raise RunError("no trial has finished; see the messages of the runs in comparison.csv")
        for trial in [] if self._command.quiet else best:
            print(f"{', '.join(self._objective)}: {_figures(trial)}")
            words = ["-m"] * bool(self._folds[0]) + [*map(in_shell, self._overrides(trial.params))]
            print(f"  {' '.join([command(), *words])}")

    def _overrides(self, params: Mapping[str, Any]) -> list[str]:
        return [*self.fixed, *overrides_of(params)]

    def _jobs(self, params: Mapping[str, Any]) -> list[list[str]]:
        """Return the overrides of a trial's runs, which differ in their seed and their fold."""
        job, count = self._overrides(params), self._settings.seeds
        seeds = [[]] if count == 1 else [[f"seed={seed}"] for seed in range(count)]
        return [[*job, *seed, *fold] for seed in seeds for fold in self._folds]

    def _write(self) -> None:
        """Write what the report needs."""
        best = self._study.best()
        trials = Trials(
            objective=self._objective,
            space=self._ranges,
            trials=[
                Trial(number=number, **trial.user_attrs, values=trial.values or None, params=trial.params)
                for number, trial in enumerate(self._study.trials)
            ],
            best=[trial.number for trial in best],
            overrides=[public(self._overrides(trial.params)) for trial in best],
            folds=sum(map(len, self._folds)),
        )
        trials.write(self._command.directory)


def _figures(trial: Any) -> str:
    return ", ".join(f"{value:.4g}" for value in trial.values)


def _result(runs: Sequence[EndedRun], seeds: int) -> Result:
    """Return the result of a trial of Optuna's from its runs.

    It has the mean over the folds of each of the seeds, and of these the median.
    """
    numbers, outcomes = [run.number for run in runs], [run.value for run in runs]
    if any(isinstance(outcome, Exception) and not isinstance(outcome, DivergedError) for outcome in outcomes):
        return Result("failed", (), numbers)  # which says nothing about the settings
    # A run that diverged counts as infinitely bad.
    rows = [outcome if isinstance(outcome, tuple | list | Exception) else (outcome,) for outcome in outcomes]
    width, n = max((len(row) for row in rows if not isinstance(row, Exception)), default=0), len(rows) // seeds
    figures = np.array([(math.inf,) * width if isinstance(row, Exception) else row for row in rows])
    median = tuple(np.median(figures.reshape(seeds, n, width).mean(1), axis=0).tolist())
    if not median or not all(map(math.isfinite, median)):
        return Result("diverged", (), numbers)
    return Result("finished", median, numbers)
