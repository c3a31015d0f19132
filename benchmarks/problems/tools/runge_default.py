"""runge by default: one run of `data=table`."""

from typing import ClassVar

import runge
from tools.runge_fit import Fit


class Default(Fit):
    """The run with the default settings, which takes 15 % of the rows for its validation, and here none for a test."""

    CALL: ClassVar = staticmethod(runge.train)

    def __init__(self, seed: int = 0, *overrides: str) -> None:
        super().__init__(seed, "data.split.test=0", *overrides)
