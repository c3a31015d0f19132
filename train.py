"""Fit a function and its derivative: `python train.py`, `python train.py -m model.activation=tanh,relu,gelu`."""

import hydra
from omegaconf import DictConfig

from runge.launch import command
from runge.launch.composition import register_resolvers

register_resolvers()


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(configuration: DictConfig) -> float:
    """Train one run, and return its validation loss for sweepers that minimise."""
    from runge.launch import run  # late: a mistake in the command line is reported before Lightning is loaded

    return run.run(configuration)


if __name__ == "__main__":
    command.run(main)
