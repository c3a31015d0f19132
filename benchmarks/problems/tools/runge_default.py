"""runge by default: one run of `data=table`."""

from typing import ClassVar

import runge
from tools.runge_best import Best


class Default(Best):
    """The run with the default settings, which takes 15 % of the rows for its validation, and here none for a test."""

    CALL: ClassVar = staticmethod(runge.train)
    ARGUMENTS: ClassVar = ("data.split.test=0",)
