"""The optimisers: their settings, and how each of them takes a step."""

from runge.optimizers.from_torch import TorchOptimizer, adapt
from runge.optimizers.gradient import LBFGS, SGD, Adam, AdamW, clip
from runge.optimizers.in_turn import InTurn
from runge.optimizers.levenberg_marquardt import LevenbergMarquardt
from runge.optimizers.optimizer import Method, Optimizer, Phase, Problem

__all__ = ["LBFGS", "SGD", "Adam", "AdamW", "InTurn", "LevenbergMarquardt"]
__all__ += ["Method", "Optimizer", "Phase", "Problem", "TorchOptimizer", "adapt", "clip"]
