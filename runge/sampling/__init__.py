"""Sampling strategies: where on the domain the nodes are.

Each strategy is a frozen dataclass with one method, `nodes(n, target, generator)`, which returns x of shape (n, D) in
float64. In one dimension exactly n nodes are returned; a tensor grid in D dimensions has floor(n^(1/D))^D of them.
In one and two dimensions the ends (the corners) of the domain are among the nodes of all strategies but `Sobol` and
`LatinHypercube`; in more dimensions, where there are 2^D corners, only grids contain them.

`nodes` raises a ValueError if n is below the least number of the strategy's nodes, see `check_count`. A parameter
outside of its range is a ValueError when the strategy is made.
"""

from runge.sampling.densities import Density, Derivative, Stratified
from runge.sampling.strategies import (
    Chebyshev,
    Endpoint,
    LatinHypercube,
    Mixed,
    Random,
    SampledFunction,
    Sampling,
    Sobol,
    Strength,
    Uniform,
    boundary_nodes,
    check_count,
    fixed_ends,
)

__all__ = ["Chebyshev", "Density", "Derivative", "Endpoint", "LatinHypercube", "Mixed", "Random", "SampledFunction"]
__all__ += ["Sampling", "Sobol", "Stratified", "Strength", "Uniform", "boundary_nodes", "check_count", "fixed_ends"]
