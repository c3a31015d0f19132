"""Runge's function: values (hw2) against values and derivatives (hw3), four activations, one and two stages."""

import sys

import matplotlib.pyplot as plt
import pandas as pd

import runge

EXPERIMENTS = {  # the overrides of `python train.py -m`
    "hw2": ["experiment=hw2"],
    "hw3, two stages": ["experiment=hw3"],
    "hw3, one stage": ["experiment=hw3", "schedule=constant"],
}


def main(seeds: int = 5, steps: int = 8000) -> None:
    """Train each activation in each experiment with all seeds, and compare and draw the errors of f'."""
    settings = "model.activation=tanh,gelu,sin,relu", f"seed=range({seeds})", f"trainer.max_steps={steps}"
    sweeps = {name: runge.sweep(*overrides, *settings, "pictures=false") for name, overrides in EXPERIMENTS.items()}
    errors = {name: runs.table.set_index("model.activation") for name, runs in sweeps.items()}
    runs = pd.concat(errors, names=["experiment"])[["test/mse_f", "test/mse_df"]]
    medians = runs.groupby(level=[0, 1]).median()
    medians.to_csv("activations.csv")
    print(medians.map("{:.1e}".format))
    print(*runge.compare(*sweeps.values(), out="activations").sentences, sep="\n")  # with a report

    for name, marker in zip(EXPERIMENTS, "o^s", strict=True):
        plt.semilogy(errors[name].index, errors[name]["test/mse_df"], marker, ms=4, mfc="none", label=name)
    plt.gca().set(ylabel="MSE of f' at the test points", title="a marker is a run")
    plt.legend(frameon=False)
    plt.savefig("activations.png", dpi=130)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))  # python examples/activations.py SEEDS STEPS
