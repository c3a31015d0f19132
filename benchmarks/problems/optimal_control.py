"""The value function of an optimally controlled Van der Pol oscillator, with its gradient and Hessian.

The cost from the state x is

    V(x) = min over u of the integral of x1^2 + x2^2 + 0.1 u^2 from 0 to 3, x1' = x2, x2' = (1 - x1^2) x2 - x1 + u.

Pontryagin's principle makes u = -p2 / 0.2 with the costate p, whose start is the gradient of V.
"""

import numpy as np
from numpy.typing import NDArray
from tables import Array

BOX = ((-3.0, 3.0),) * 2
BETA, HORIZON = 0.1, 3.0
SEGMENTS, STEPS, SCALES, MOST_ITERATIONS = 12, 30, 12, 12
SIZE = 4 * SEGMENTS


def rates(z: Array) -> tuple[Array, Array, Array]:
    """Return the rates of z = (x1, x2, p1, p2), (m, 4), the rate of the cost, (m,), and the first one's Jacobian."""
    x1, x2, p1, p2 = z.T
    control, bend, turn = -p2 / (2 * BETA), 1 - x1**2, 2 * x1 * x2 + 1
    rate = [x2, bend * x2 - x1 + control, p2 * turn - 2 * x1, -2 * x2 - p1 - p2 * bend]
    jacobian = np.zeros((len(z), 4, 4))
    jacobian[:, [0, 3, 3], [1, 1, 2]] = 1, -2, -1
    jacobian[:, 1, 3] = -1 / (2 * BETA)
    jacobian[:, 1, 0], jacobian[:, 1, 1], jacobian[:, 2, 3], jacobian[:, 3, 3] = -turn, bend, turn, -bend
    jacobian[:, 2, 0] = 2 * p2 * x2 - 2
    jacobian[:, 2, 1] = jacobian[:, 3, 0] = 2 * p2 * x1
    return np.stack(rate, axis=1), x1**2 + x2**2 + BETA * control**2, jacobian


def shoot(z: Array) -> tuple[Array, Array, Array]:
    """Return the end of a segment, its cost, and the end's derivative by z, by the Runge-Kutta method of order 4."""
    h, cost, slope = HORIZON / SEGMENTS / STEPS, np.zeros(len(z)), np.broadcast_to(np.eye(4), (len(z), 4, 4))
    for _ in range(STEPS):
        at, stages = (z, slope), list[tuple[Array, Array, Array]]()
        for next_step in (h / 2, h / 2, h, 0):
            rate, running, jacobian = rates(at[0])
            stages.append((rate, running, jacobian @ at[1]))
            at = z + next_step * stages[-1][0], slope + next_step * stages[-1][2]
        z, cost, slope = (
            old + h / 6 * (first + 2 * second + 2 * third + fourth)
            for old, (first, second, third, fourth) in zip((z, cost, slope), zip(*stages, strict=True), strict=True)
        )
    return z, cost, slope


def linearise(nodes: Array, x: Array) -> tuple[Array, Array, Array]:
    """Return the defects, (m, SIZE), of segments that begin at nodes, (m, SEGMENTS, 4), their Jacobian, and V."""
    m = len(x)
    end, cost, slope = (part.reshape(m, SEGMENTS, *part.shape[1:]) for part in shoot(nodes.reshape(-1, 4)))
    defects, jacobian = np.zeros((m, SIZE)), np.zeros((m, SIZE, SIZE))
    defects[:, :2], jacobian[:, [0, 1], [0, 1]] = nodes[:, 0, :2] - x, 1
    for i in range(SEGMENTS - 1):
        rows, columns = slice(4 * i + 2, 4 * i + 6), slice(4 * i, 4 * i + 4)
        defects[:, rows] = end[:, i] - nodes[:, i + 1]
        jacobian[:, rows, columns] = slope[:, i]
        jacobian[:, rows, 4 * i + 4 : 4 * i + 8] = -np.eye(4)
    defects[:, -2:], jacobian[:, -2:, -4:] = end[:, -1, 2:], slope[:, -1, 2:]  # p = 0 at the end
    return defects, jacobian, cost.sum(axis=1)


def value_function(x: NDArray) -> tuple[Array, Array, Array]:
    """Return V, (m, 1), its gradient, (m, 1, 2), and its Hessian, (m, 1, 2, 2), at x, (m, 2).

    Multiple shooting, from the origin outwards. The Hessian is dp(0) / dx(0), the solution of the Riccati equation
    along the trajectory.

    Raises:
        ValueError: it does not converge.
    """
    nodes, by_x, value = np.zeros((len(x), SIZE)), np.zeros((len(x), SIZE, 2)), np.zeros(len(x))
    right = np.zeros((len(x), SIZE, 3))
    right[:, [0, 1], [1, 2]] = 1
    for scale in np.arange(1, SCALES + 1) / SCALES:
        nodes = nodes + (by_x @ x[..., None])[..., 0] / SCALES
        for _ in range(MOST_ITERATIONS):
            right[..., 0], jacobian, value = linearise(nodes.reshape(-1, SEGMENTS, 4), scale * x)
            step = np.asarray(np.linalg.solve(jacobian, right), np.float64)
            by_x = step[..., 1:]
            if np.abs(right[..., 0]).max() < 1e-10:
                break
            nodes = nodes - step[..., 0]
        else:
            raise ValueError(f"defects of {np.abs(right[..., 0]).max():g} are left at {scale:g} of x")
    return value[:, None], nodes[:, None, 2:4], by_x[:, None, 2:4]
