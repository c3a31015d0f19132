"""A run's fit and its errors in NumPy alone, from its saved weights, each with a bound of its round-off.

A figure is an interval, which contains it in whatever order its terms are computed. It is wide where they cancel, as
with the weights of 1e8 that an exact last layer may have, and where a kink of relu is at a point.
"""

import itertools
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import erf, erfc

import runge


def sigmoid(z):
    small = np.exp(np.where(z.real < 0, z, -z))  # which does not overflow
    return np.where(z.real < 0, small, 1) / (1 + small)


ACTIVATIONS = {  # for real and complex numbers
    "tanh": np.tanh,
    "relu": lambda z: np.where(z.real > 0, z, 0),
    "gelu": lambda z: z / 2 * erfc(-z / np.sqrt(2)),
    "sigmoid": sigmoid,
    "silu": lambda z: z * sigmoid(z),
    "softplus": lambda z: np.log1p(np.exp(z)),
    "sin": np.sin,
}
FUNCTIONS = {name: getattr(np, name) for name in ("exp", "sin", "tanh", "pi")} | {"erf": erf}
FUNCTIONS["abs"] = lambda z: np.where(z.real < 0, -z, z)
H = 1e-30  # Im f(x + iH) / H is f'(x) to round-off
ULPS = 8  # the round-off of an activation and of a formula, in units of the last place


def slope(function, z):
    return function(z + 1j * H).imag / H


def propagate(x, of_x, theta, scale, shift, model, eps):
    """Return the u of one network, (N,), a bound of its round-off, u', (D, N), and a bound, at points x, (N, D).

    A product of n terms has a round-off of (n + 2) eps times the sizes of the terms, and s multiplies an error of z by
    s'. Where z is 0 to round-off, the slope of relu may be 0 or 1.
    """
    n, dimension = x.shape
    s, sizes = ACTIVATIONS[model["activation"]], [dimension, *[model["width"]] * model["depth"], 1]
    h, of_h = shift + x * scale, 2 * eps * (abs(shift) + abs(x * scale)) + of_x * abs(scale)
    g = np.repeat(np.diag(scale[0])[:, None], n, axis=1)
    of_g = eps * abs(g)
    for i, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        weight, bias, theta = np.split(theta, [fan_in * fan_out, fan_in * fan_out + fan_out])
        weight, terms = weight.reshape(fan_in, fan_out), (fan_in + 2) * eps
        z, of_z = h @ weight + bias, of_h @ abs(weight) + terms * (abs(h) @ abs(weight) + abs(bias))
        dz, of_dz = g @ weight, of_g @ abs(weight) + terms * (abs(g) @ abs(weight))
        if i < model["depth"]:
            s1, of_s1 = slope(s, z), abs(slope(s, z + of_z) - slope(s, z - of_z)) + ULPS * eps
            h, of_h = s(z), abs(s1) * of_z + ULPS * eps * abs(s(z))
            g, of_g = s1 * dz, abs(s1) * of_dz + of_s1 * abs(dz)
    return z[:, 0], of_z[:, 0], dz[..., 0], of_dz[..., 0]


class Units(NamedTuple):
    """The location and scale of the inputs, (D,), and of the output: 0 and 1 unless the run is standardised."""

    x_mean: np.ndarray
    x_std: np.ndarray
    y_mean: float
    y_std: float

    def round_off(self, x, eps):
        """Bound what standardised inputs lose when they are computed from x, (N, D)."""
        return 0 if (self.x_std == 1).all() else 4 * eps * (abs(x) + abs(self.x_mean)) / self.x_std

    def of_slope(self):
        return self.y_std / self.x_std[:, None]


def fit(directory, x):
    """Return eps of a run's precision, its units, and what `propagate` returns in the units of the data.

    The points x are in the units of the network.
    """
    checkpoint = torch.load(directory.best, weights_only=True)
    eps = torch.finfo(checkpoint["state_dict"]["network.theta"].dtype).eps
    state = {name: part[0].double().numpy() for name, part in checkpoint["state_dict"].items() if part.ndim}
    none = {"x_mean": np.zeros(x.shape[1]), "x_std": np.ones(x.shape[1]), "y_mean": np.zeros(1), "y_std": np.ones(1)}
    units = Units(*(state.get(f"network.units.{name}", part) for name, part in none.items()))
    of_x = units.round_off(units.x_mean + units.x_std * x, eps)
    weights = [state[f"network.{name}"] for name in ("theta", "scale", "shift")]
    u, of_u, du, of_du = propagate(x, of_x, *weights, checkpoint["configuration"]["model"], eps)
    of_u = 2 * units.y_std * of_u + 4 * eps * (abs(units.y_mean) + abs(units.y_std * u)) * (units.y_std != 1)
    return eps, units, units.y_mean + units.y_std * u, of_u, units.of_slope() * du, units.of_slope() * 4 * of_du


def target(section, x, eps):
    """Return f, a bound, f' and a bound, as `propagate` does, where x is rounded too.

    The terms of f' may cancel, such as those of 10 - 10 tanh^2, which are as large as its largest value.
    """
    expr, unit = section.get("expr", "1/(1+25*x**2)"), np.eye(x.shape[1])

    def f(x):
        return eval(expr, FUNCTIONS | dict(zip("xyz", x.T, strict=False))) + 0 * x[:, 0]

    def df(x):
        return np.stack([f(x + 1j * H * e).imag / H for e in unit])

    lower, upper = np.reshape(section["domain"], (-1, 2)).T
    largest = abs(df(lower + (upper - lower) * np.random.default_rng(0).random((1000, len(unit))))).max()
    curvature = sum(abs(df(x + 1e-5 * e) - df(x - 1e-5 * e)) / 2e-5 * (1 + abs(x @ e)) for e in unit)
    of_f = abs(f(x)) + sum(abs(df(x)) * (1 + abs(x.T)))
    return f(x), ULPS * eps * of_f, df(x), ULPS * eps * (largest + curvature) + H


def interval(y, of_y):
    """Return the smallest and the largest |y|, of vectors (D, N) the norm."""
    return [np.linalg.norm(np.atleast_2d(np.maximum(abs(y) + sign * of_y, 0)), axis=0) for sign in (-1, 1)]


def expected(directory, points, lambda_d, scale, section, noise=False):
    """Return the smallest and the largest value of each figure of a set of points, by name.

    The labels are those of the target, unless they have noise.
    """
    x, data_f, data_df, weight_f, weight_df, masks = (part[0].double().numpy() for part in points.tensors().values())
    data_f, data_df, weight_f, weight_df = data_f[:, 0], data_df[:, 0], weight_f[:, 0], weight_df[:, 0, 0]
    eps, units, u, of_u, du, of_du = fit(directory, x)
    x, data_f, data_df = (
        units.x_mean + units.x_std * x,
        units.y_mean + units.y_std * data_f,
        units.of_slope() * data_df.T,
    )
    exact = data_f, 4 * eps * (abs(data_f) + abs(units.y_mean)), data_df, 4 * eps * abs(data_df)
    f, of_f, df, of_df = exact if noise else target(section, x, eps)
    of_f = of_f + 4 * eps * abs(units.y_mean)
    loaded, given = runge.load(directory.path), torch.as_tensor(x if x.shape[1] > 1 else x[:, 0])
    loaded_u, loaded_du = (part.detach().double().numpy() for part in (loaded(given), loaded.derivative(given)))
    assert (abs(loaded_u - u) <= of_u).all()
    assert (abs(loaded_du.reshape(x.shape).T - du) <= of_du).all()
    assert ((abs(data_f - f) <= of_f) | (weight_f == 0)).all()
    assert (abs(data_df - df) <= of_df).all()
    errors = {"f": interval(u - f, of_u + of_f), "df": interval(du - df, of_du + of_df)}
    sizes = {"f": interval(f, of_f), "df": interval(df, of_df)}
    weights = {"f": weight_f, "df": weight_df}
    parts = (
        (errors["f"], units.y_std),
        (interval((du - df) / units.of_slope(), (of_du + of_df) / units.of_slope()), scale),
    )
    squares = [
        [weight @ (b / unit) ** 2 for b in bounds]
        for weight, (bounds, unit) in zip(weights.values(), parts, strict=True)
    ]
    found = {"loss": [a + lambda_d * b for a, b in zip(*squares, strict=True)]}
    for region, mask in zip(("", *points.regions), masks.astype(bool), strict=True):
        for kind, bounds in errors.items():
            where, end = mask & (weights[kind] > 0), f"{kind}/{region}".removesuffix("/")
            if not where.any():
                continue
            found[f"mse_{end}"] = [np.mean(bound[where] ** 2) for bound in bounds]
            found[f"max_{end}"] = [np.max(bound[where]) for bound in bounds]
            least, most = (np.sum(size[where] ** 2) for size in sizes[kind])
            if least:
                found[f"rel_l2_{end}"] = [
                    np.sqrt(np.sum(b[where] ** 2) / size) for b, size in zip(bounds, (most, least), strict=True)
                ]
    slack = 4 * len(x) * eps
    return {name: (low * (1 - slack), high * (1 + slack)) for name, (low, high) in found.items()}
