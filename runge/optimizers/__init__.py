"""Optimisers by name: what a person sets, and how a step is taken with it."""

from runge.optimizers.gradient import LBFGS, SGD, Adam, AdamW, clip
from runge.optimizers.in_turn import InTurn
from runge.optimizers.levenberg_marquardt import LevenbergMarquardt
from runge.optimizers.optimizer import Method, Optimizer, Phase, Problem

__all__ = [
    "LBFGS",
    "SGD",
    "Adam",
    "AdamW",
    "InTurn",
    "LevenbergMarquardt",
    "Method",
    "Optimizer",
    "Phase",
    "Problem",
    "clip",
]
