"""Target functions: f on a box, its derivative, and the regions in which errors are reported."""

from runge.targets.expression import Expression
from runge.targets.target import Runge, Target, far_from_one

__all__ = ["Expression", "Runge", "Target", "far_from_one"]
