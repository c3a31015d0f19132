"""Optuna's study of a search: it proposes batches of trials, given those that have ended.

A batch follows from the seed and the trials of the batches before it, so that a search that was killed at any moment
continues with the same trials.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from runge.composing.ranges import Space, rounded
from runge.configuration.errors import ConfigurationError

Sampler = Literal["tpe", "random"]


class Result(NamedTuple):
    """The outcome of a trial: the values of its objective (empty: unknown), and the numbers of its runs."""

    status: Literal["finished", "diverged", "failed"]
    values: tuple[float, ...]
    runs: list[int]


class Study:
    """A study in memory.

    Args:
        space: the settings to choose.
        objectives: how many figures it minimises.
        sampler: the sampler.
        seed: the seed of the sampler.

    Attributes:
        trials: the trials that have ended, `optuna.trial.FrozenTrial`.

    Raises:
        ConfigurationError: Optuna is missing.
    """

    def __init__(self, space: Space, objectives: int, sampler: Sampler, seed: int) -> None:
        self._optuna, self._space = import_optuna(), space
        self._objectives = objectives
        self._sampler: Sampler = sampler
        self._seed, self.trials = seed, list[Any]()

    def propose(self, count: int) -> list[dict[str, Any]]:
        """Return the settings of the next trials."""
        seed = int(np.random.SeedSequence([self._seed, len(self.trials)]).generate_state(1)[0])
        samplers = self._optuna.samplers
        if self._sampler == "random":
            sampler = samplers.RandomSampler(seed=seed)
        else:
            sampler = samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
        study = self._study(sampler=sampler)
        asked = [study.ask(dict(self._space)).params for _ in range(count)]
        return [{key: rounded(self._space[key], value) for key, value in params.items()} for params in asked]

    def tell(self, proposed: Sequence[Mapping[str, Any]], results: Sequence[Result]) -> None:
        """Add the trials of a batch."""
        kinds = self._optuna.trial.TrialState
        # Optuna's samplers take a pruned trial for worse than all others, and ignore one that failed.
        states = {"finished": kinds.COMPLETE, "diverged": kinds.PRUNED, "failed": kinds.FAIL}
        self.trials += [
            self._optuna.trial.create_trial(
                state=states[result.status],
                values=list(result.values) or None,
                params=dict(params),
                distributions=dict(self._space),
                user_attrs={"status": result.status, "runs": result.runs},
            )
            for params, result in zip(proposed, results, strict=True)
        ]

    def best(self) -> list[Any]:
        """Return the best trial, or with several objectives those of the Pareto front, with their numbers."""
        return sorted(self._study().best_trials, key=lambda trial: trial.number)

    def _study(self, **options: Any) -> Any:
        """Return Optuna's study of the trials so far."""
        logging = self._optuna.logging
        verbosity = logging.get_verbosity()
        logging.set_verbosity(logging.ERROR)  # it logs the name of each study
        try:
            study = self._optuna.create_study(directions=["minimize"] * self._objectives, **options)
        finally:
            logging.set_verbosity(verbosity)
        study.add_trials(self.trials)
        return study


def import_optuna() -> Any:
    """Import Optuna, late, because it takes 0.2 s.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        need = "optuna needs the package optuna; install it with pip install -e '.[search]'"
        raise ConfigurationError(f"search: {need}") from error
    return optuna
