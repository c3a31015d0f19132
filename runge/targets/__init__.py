"""Target functions: f on a box, its derivative, and the regions in which errors are reported."""

from runge.targets.expression import Expression
from runge.targets.runge import Runge
from runge.targets.target import Target

__all__ = ["Expression", "Runge", "Target"]
