"""The optimisers: their settings, and how each of them takes a step."""

from runge.optimizers.gradient import SGD, Adam, AdamW, clip, has_own_rate, of_members
from runge.optimizers.least_squares import LeastSquares
from runge.optimizers.levenberg_marquardt.method import LevenbergMarquardt
from runge.optimizers.of_torch import LBFGS, OwnOptimizer, TorchOptimizer, adapt
from runge.optimizers.optimizer import Course, Optimizer, Problem
from runge.optimizers.random_features import RandomFeatures

__all__ = ["LBFGS", "SGD", "Adam", "AdamW", "LeastSquares", "LevenbergMarquardt", "RandomFeatures"]
__all__ += ["Course", "Optimizer", "OwnOptimizer", "Problem", "TorchOptimizer"]
__all__ += ["adapt", "clip", "has_own_rate", "of_members"]
