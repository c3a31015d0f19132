"""The optimisers: their settings, and how each of them takes a step."""

from runge.optimizers.gradient import LBFGS, SGD, Adam, AdamW, TorchOptimizer, adapt, clip, has_own_rate, of_members
from runge.optimizers.least_squares import LeastSquares
from runge.optimizers.levenberg_marquardt import LevenbergMarquardt
from runge.optimizers.optimizer import Course, Optimizer, Problem

__all__ = ["LBFGS", "SGD", "Adam", "AdamW", "LeastSquares", "LevenbergMarquardt"]
__all__ += ["Course", "Optimizer", "Problem", "TorchOptimizer", "adapt", "clip", "has_own_rate", "of_members"]
