"""The seeds of a run, and sources of randomness that do not depend on each other."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch

from runge.configuration.validation import Natural, checked

Purpose = Literal["data", "weights", "resampling", "balance", "step"]


@checked
class Seed:
    """The keys `seed` and `data.seed`."""

    seed: Natural

    @classmethod
    def of_members(cls, seed: int | Sequence[int]) -> "list[Seed]":
        """Return the seeds of all members, given one or several numbers."""
        return [cls(seed=number) for number in ([seed] if isinstance(seed, int) else seed)]

    @classmethod
    def of_data(cls, seed: int, of_section: int | None, folds: int | None) -> "Seed":
        """Return the seed of a run's data: `data.seed`, or the seed of the run.

        With `data.folds` it is 0 instead of the seed of the run: runs of one fold leave out the same points with
        any seed, so that each point is predicted by networks of all seeds that have not seen it.
        """
        return cls(seed=of_section if of_section is not None else seed if folds is None else 0)

    def generator(self, purpose: Purpose, *step: int) -> torch.Generator:
        """Return a source of randomness for one purpose, and one step if it is given."""
        entropy = [self.seed, get_args(Purpose).index(purpose), *step]
        state = np.random.SeedSequence(entropy).generate_state(1, np.uint64)
        return torch.Generator().manual_seed(int(state[0]) >> 1)
