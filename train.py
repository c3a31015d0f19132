"""Fit a function and its derivative: `python train.py`, `python train.py -m model.activation=tanh,relu,gelu`."""

from runge.commands.cli import main

if __name__ == "__main__":
    main(default="train")
