"""The section of `docs/studies.md` on energies that are known by their gradients and one value."""

from statistics import mean, median

from hamiltonians import SYSTEMS
from page import by, figures, markdown

SECTION = """
## Gradients alone

Dynamics give the gradient of an energy, and never its value. Here the gradient is known at uniform random points, and
one value fixes the constant. The systems and boxes are those of [Rahma, Datar and
Dietrich](https://arxiv.org/abs/2411.17511), who draw the neurons of a wide tanh layer in three ways and solve for the
last layer, or train a Hamiltonian network: *published* is the smallest of their relative L2 errors of H on random
points, each a mean of ten runs on 64 cores, with 10 000 points, or 20 000 of Hénon and Heiles. Ours is a mean over the
seeds, too, with fewer of such points, which are drawn more densely towards the edges of the box, a known value at one
of them, and alpha = 1 of Hénon and Heiles. They do not publish errors of gradients. Settings were tried for each system
on further seeds, which are not among those below. *Search* is `search=best` with nothing chosen, in a minute on two
cores, with all points and one seed.

{gradients_alone}

A few thousand uniform points leave the corners of a box in four dimensions empty. Ten of 10 000 test points, all of
them there, then held 99 % of the squared error of a fit of the double pendulum.

*Drift* is the largest change of the exact H along a trajectory of 10 000 steps of a symplectic method of order 4, as a
share of the range of H over the box: with the gradient of the fit, and with the exact one, whose drift is that of the
method.

`{gradients_alone_command}`, and with `--best`
"""


def table() -> str:
    """Return the errors by system."""
    found = by(figures("gradients_alone")["rows"], lambda row: row["problem"])
    lines = list[list[str]]()
    for name, system in SYSTEMS.items():
        if rows := found.get(name):
            searched = found.get(f"{name} by search", [])
            errors = [f"{mean(row[key] for row in rows):.1e}" for key in ("value", "derivative")]
            best = " / ".join(f"{row[key]:.1e}" for row in searched for key in ("value", "derivative"))
            core = f"{median(row['core_seconds'] for row in rows):.0f}"
            drifts = " / ".join(f"{median(row[key] for row in rows):.0e}" for key in ("drift", "drift_exact"))
            counts = [str(rows[0]["points"]), str(len(rows))]
            lines.append([name, *counts, f"{min(filter(None, system.published)):.1e}", *errors, core, drifts, best])
    heads = "H, published", "H", "gradient", "core-seconds", "drift: fit / exact", "search: H / gradient"
    head = ["system", "points", "seeds", *heads]
    return markdown(head, lines)
