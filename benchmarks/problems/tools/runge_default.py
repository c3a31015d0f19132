"""runge by default: one run of `data=table`."""

from typing import ClassVar

from tools.runge_best import Best


class Default(Best):
    """The run with the default settings, which takes 15 % of the rows for its validation, and here none for a test."""

    ARGUMENTS: ClassVar = "search=none", "data.split.test=0"
