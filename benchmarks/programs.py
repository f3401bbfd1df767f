"""Whole programs, those of tests/programs, compiled, beside the same under jitted JAX.

Each is what somebody wrote who knew NumPy: arrays that are filled, loops, linear algebra. Where
`jax.numpy` runs the same text, it does; elsewhere JAX gets `at[...]`, and `lax.scan` for loops of
forty and more steps. What is computed is what the program is about: a gradient, a Jacobian (by
JAX's cheaper mode), a Hessian.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastbp as bp

from . import digits
from .checking import CheckError, check_projection, compare
from .registry import Bench, Target, at_most, bench, faster

GRADIENT, JACOBIAN, HESSIAN = "gradient", "Jacobian", "Hessian"


@dataclass(frozen=True)
class Program:
    """A function of its inputs, of which the first ones are differentiated.

    `shared` takes the namespace first. Without it `function` is for NumPy alone, and `jax` returns
    its twin. `scanned` returns a function for a namespace and its `scan`: JAX's, and ours where
    there is no `function`.
    """

    inputs: Callable[[np.random.Generator], dict[str, np.ndarray]]
    derivative: str
    shared: Callable[..., Any] | None = None
    function: Callable[..., Any] | None = None
    jax: Callable[[], Callable[..., Any]] | None = None
    scanned: Callable[[Any, Callable[..., Any]], Callable[..., Any]] | None = None
    arguments: int = 1

    def numpy(self) -> Callable[..., Any]:
        """Return the function for NumPy."""
        if self.function is not None:
            return self.function
        if self.scanned is not None:
            return self.scanned(np, bp.scan)
        shared = self.shared
        assert shared is not None
        return lambda *args: shared(np, *args)

    def transformed(self, f: Callable[..., Any], transforms: dict[str, Callable]) -> Any:
        """Return the derivative of `f`."""
        argnums = tuple(range(self.arguments)) if self.arguments > 1 else 0
        return transforms[self.derivative](f, argnums)


# ---- partial differential equations

POINTS, NU = 101, 0.02


def burgers(u):
    """Right side of Burgers' equation, by slices."""
    dx = 1 / (POINTS - 1)
    dudt = np.zeros_like(u)
    ux = (u[2:] - u[:-2]) / (2 * dx)
    uxx = (u[2:] - 2 * u[1:-1] + u[:-2]) / dx**2
    dudt[1:-1] = -u[1:-1] * ux + NU * uxx
    return dudt


def jax_burgers():
    import jax.numpy as jnp

    def function(u):
        dx = 1 / (POINTS - 1)
        ux = (u[2:] - u[:-2]) / (2 * dx)
        uxx = (u[2:] - 2 * u[1:-1] + u[:-2]) / dx**2
        return jnp.zeros_like(u).at[1:-1].set(-u[1:-1] * ux + NU * uxx)

    return function


def ring(u0, data):
    """Misfit after 40 steps of the heat equation on a ring, and a penalty."""
    u = u0
    for _ in range(40):
        u = u + 0.25 * (np.roll(u, 1) - 2 * u + np.roll(u, -1))
    return 0.5 * np.sum((u - data) ** 2) + 0.5e-3 * np.sum(u0**2)


def jax_ring():
    import jax.numpy as jnp
    from jax import lax

    def function(u0, data):
        def step(u, _):
            return u + 0.25 * (jnp.roll(u, 1) - 2 * u + jnp.roll(u, -1)), None

        u, _ = lax.scan(step, u0, None, 40)
        return 0.5 * jnp.sum((u - data) ** 2) + 0.5e-3 * jnp.sum(u0**2)

    return function


GRID, SENSORS = 24, (np.array([3, 8, 12, 17, 20, 5]), np.array([4, 18, 11, 6, 20, 10]))


def plate_step(np, u, source):
    """Take one step of the heat equation on a plate with insulated edges."""
    e = np.pad(u, 1, mode="edge")
    return u + 0.2 * (e[:-2, 1:-1] + e[2:, 1:-1] + e[1:-1, :-2] + e[1:-1, 2:] - 4 * u) + source


def plate_source(np, p):
    y, x = np.meshgrid(np.arange(GRID), np.arange(GRID), indexing="ij")
    return p[3] * np.exp(-((x - p[0]) ** 2 + (y - p[1]) ** 2) / (2 * p[2] ** 2))


def plate(p):
    """Readings of thermometers on a plate with a source of heat."""
    source = plate_source(np, p)
    u = np.zeros((GRID, GRID))
    readings = []
    for k in range(1, 61):
        u = plate_step(np, u, source)
        if k % 10 == 0:
            readings.append(u[SENSORS])
    return np.concatenate(readings)


def jax_plate():
    import jax.numpy as jnp
    from jax import lax

    def function(p):
        source = plate_source(jnp, p)

        def ten(u, _):
            u, _ = lax.scan(lambda u, _: (plate_step(jnp, u, source), None), u, None, 10)
            return u, u[SENSORS]

        return lax.scan(ten, jnp.zeros((GRID, GRID)), None, 6)[1].ravel()

    return function


CELLS, DT = 20, 0.3


def rod(log_k):
    """Temperatures along a rod whose cells conduct, steps in place."""
    k = np.exp(log_k)
    faces = 2 * k[1:] * k[:-1] / (k[1:] + k[:-1])
    u = np.zeros(CELLS)
    u[0] = 1.0
    history = np.zeros((80, CELLS))
    for n in range(80):
        for _ in range(5):
            flux = faces * (u[1:] - u[:-1])
            u[1:-1] += DT * (flux[1:] - flux[:-1])
        history[n] = u
    return history[:, 1:-1].ravel()


def jax_rod():
    import jax.numpy as jnp
    from jax import lax

    def function(log_k):
        k = jnp.exp(log_k)
        faces = 2 * k[1:] * k[:-1] / (k[1:] + k[:-1])

        def step(u, _):
            for _ in range(5):
                flux = faces * (u[1:] - u[:-1])
                u = u.at[1:-1].add(DT * (flux[1:] - flux[:-1]))
            return u, u

        history = lax.scan(step, jnp.zeros(CELLS).at[0].set(1.0), None, 80)[1]
        return history[:, 1:-1].ravel()

    return function


# ---- sequences

LETTERS, CODE, UNITS = 28, 8, 16


def log_softmax(np, z):
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def characters(embed, u, w, b, v, c, inputs, targets):
    """Loss of a recurrent character model, its states in an array."""
    steps = len(inputs)
    hs = np.zeros((steps + 1, UNITS))
    for t in range(steps):
        hs[t + 1] = np.tanh(embed[inputs[t]] @ u + hs[t] @ w + b)
    logits = hs[1:] @ v + c
    return -log_softmax(np, logits)[np.arange(steps), targets].mean()


def jax_characters():
    import jax.numpy as jnp
    from jax import lax

    def function(embed, u, w, b, v, c, inputs, targets):
        def step(h, code):
            h = jnp.tanh(embed[code] @ u + h @ w + b)
            return h, h

        hs = lax.scan(step, jnp.zeros(UNITS), inputs)[1]
        return -log_softmax(jnp, hs @ v + c)[jnp.arange(len(inputs)), targets].mean()

    return function


def kalman_matrices(np, theta, dt=0.1):
    q, r = np.exp(theta[0]), np.exp(theta[1])
    F = np.array([[1.0, dt], [0.0, 1.0]])
    H = np.array([[1.0, 0.0]])
    Q = q**2 * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
    return F, H, Q, r**2


def kalman_step(np, m, P, y, F, H, Q, R):
    """Predict, compare, correct; return the term of the log-likelihood, too."""
    m = F @ m
    P = F @ P @ F.T + Q
    v = y - H @ m
    S = H @ P @ H.T + R
    K = P @ H.T @ np.linalg.inv(S)
    m = m + K @ v
    P = (np.eye(2) - K @ H) @ P
    log_det = np.log(np.linalg.det(S))
    return m, P, -0.5 * (np.log(2 * np.pi) + log_det + v @ np.linalg.solve(S, v))


def kalman(theta, y):
    """Log-likelihood of a Kalman filter, its means and variances stored."""
    F, H, Q, R = kalman_matrices(np, theta)
    means, covariances = np.zeros((len(y), 2)), np.zeros((len(y), 2, 2))
    m, P = np.zeros(2), np.eye(2)
    loglik = 0.0
    for t in range(len(y)):
        m, P, term = kalman_step(np, m, P, y[t], F, H, Q, R)
        means[t] = m
        covariances[t] = P
        loglik += term
    return loglik


def scanned_kalman(np, scan):
    def function(theta, y):
        matrices = kalman_matrices(np, theta)

        def step(state, y):
            m, P, term = kalman_step(np, *state, y, *matrices)
            return (m, P), term

        return np.sum(scan(step, (np.zeros(2), np.eye(2)), y)[1])

    return function


def rk4(f, x, h):
    k1 = f(x)
    k2 = f(x + h / 2 * k1)
    k3 = f(x + h / 2 * k2)
    k4 = f(x + h * k3)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def rates(np, p, z):
    u, v = z
    return np.array([p[0] * u - p[1] * u * v, p[3] * u * v - p[2] * v])


def lotka_volterra(p, pelts):
    """Residuals of a fit to hares and lynxes, ten Runge-Kutta steps a year for twenty years."""
    y = np.zeros((201, 2))
    y[0] = p[4:]
    for i in range(200):
        y[i + 1] = rk4(lambda z: rates(np, p, z), y[i], 0.1)
    return (np.log(y[::10]) - np.log(pelts)).ravel()


def scanned_lotka_volterra(np, scan):
    def function(p, pelts):
        def step(z, _):
            return rk4(lambda z: rates(np, p, z), z, 0.1), z

        last, before = scan(step, p[4:], None, 200)
        y = np.concatenate([before, last[None]])
        return (np.log(y[::10]) - np.log(pelts)).ravel()

    return function


def lorenz63(np, x):
    """Take a Runge-Kutta step of Lorenz' three equations."""

    def f(s):
        x, y, z = s
        return np.array([10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z])

    return rk4(f, x, 0.02)


def lorenz96(np, x):
    """Take a Runge-Kutta step of Lorenz' equations on a ring."""
    return rk4(lambda x: (np.roll(x, -1) - np.roll(x, 2)) * np.roll(x, 1) - x + 8.0, x, 0.05)


DESCENT = 150


def momentum(log_lam, X, y, X_val, y_val):
    """Validation error of ridge regression by the heavy ball, buffers written into."""
    lam = np.exp(log_lam)
    w = np.zeros(X.shape[1])
    v = np.zeros_like(w)
    for _ in range(DESCENT):
        g = np.dot(X.T, np.dot(X, w) - y) / len(y) + lam * w
        v *= 0.7
        v -= 0.3 * g
        w += v
    return 0.5 * np.mean((X_val @ w - y_val) ** 2)


def jax_momentum():
    import jax.numpy as jnp
    from jax import lax

    def function(log_lam, X, y, X_val, y_val):
        lam = jnp.exp(log_lam)

        def step(state, _):
            w, v = state
            g = X.T @ (X @ w - y) / len(y) + lam * w
            v = 0.7 * v - 0.3 * g
            return (w + v, v), None

        w = jnp.zeros(X.shape[1])
        (w, _), _ = lax.scan(step, (w, w), None, DESCENT)
        return 0.5 * jnp.mean((X_val @ w - y_val) ** 2)

    return function


A, B = np.array([[1.0, 0.1], [0.0, 1.0]]), np.array([0.005, 0.1])
Q, R, LAST = np.diag([1.0, 0.1]), 0.05, np.diag([10.0, 1.0])


def shooting(u, start):
    """Cost of controls, the trajectory stored."""
    steps = len(u)
    xs = np.zeros((steps + 1, 2))
    xs[0] = start
    total = 0.0
    for k in range(steps):
        total += xs[k] @ Q @ xs[k] + R * u[k] ** 2
        xs[k + 1] = A @ xs[k] + B * u[k]
    return total + xs[steps] @ LAST @ xs[steps]


def jax_shooting():
    import jax.numpy as jnp
    from jax import lax

    def function(u, start):
        def step(x, u):
            return A @ x + B * u, x @ Q @ x + R * u**2

        x, costs = lax.scan(step, start, u)
        return jnp.sum(costs) + x @ LAST @ x

    return function


NODES = 20


def pendulum(np, x, u):
    return np.array([x[1], -np.sin(x[0]) + u])


def collocation(z):
    """Defects of a pendulum's collocation by the trapezoidal rule."""
    m, h = NODES + 1, 2.0 / NODES
    x, u = z[: 2 * m].reshape(m, 2), z[2 * m :]
    out = np.zeros((NODES + 2, 2))
    for k in range(NODES):
        slopes = pendulum(np, x[k], u[k]) + pendulum(np, x[k + 1], u[k + 1])
        out[k] = x[k + 1] - x[k] - h / 2 * slopes
    out[NODES] = x[0]
    out[NODES + 1] = x[-1] - np.array([np.pi, 0.0])
    return out.ravel()


def jax_collocation():
    import jax
    import jax.numpy as jnp

    def function(z):
        m, h = NODES + 1, 2.0 / NODES
        x, u = z[: 2 * m].reshape(m, 2), z[2 * m :]
        slopes = jax.vmap(lambda x, u: pendulum(jnp, x, u))(x, u)
        defects = x[1:] - x[:-1] - h / 2 * (slopes[1:] + slopes[:-1])
        return jnp.vstack([defects, x[0], x[-1] - jnp.array([jnp.pi, 0.0])]).ravel()

    return function


# ---- statistics


def cox(np, beta, x, weeks, relapse):
    """Minus the partial log-likelihood of Cox' model."""
    eta = x @ beta
    at_risk = (weeks[None, :] >= weeks[:, None]).astype(float)
    return -(relapse * (eta - np.log(at_risk @ np.exp(eta)))).sum()


def gaussian_process(np, theta, X, y):
    """Minus the log marginal likelihood of a Gaussian process, by Cholesky."""
    n, d = X.shape
    Z = X / np.exp(theta[:d])
    squares = ((Z[:, None, :] - Z[None, :, :]) ** 2).sum(axis=-1)
    K = np.exp(2 * theta[d] - 0.5 * squares) + np.exp(2 * theta[d + 1]) * np.eye(n)
    L = np.linalg.cholesky(K)
    alpha = np.linalg.solve(L.T, np.linalg.solve(L, y))
    return 0.5 * y @ alpha + np.sum(np.log(np.diag(L))) + 0.5 * n * np.log(2 * np.pi)


def logistic(np, w, X, y):
    """Minus the log-likelihood of logistic regression, with a penalty."""
    p = 1 / (1 + np.exp(-(X @ w)))
    return -np.sum(y * np.log(p) + (1 - y) * np.log(1 - p)) + 0.5 * w @ w


K, D = 3, 2


def mixture(theta, x):
    """Minus the mean log-likelihood of a Gaussian mixture, factors of precisions filled."""
    logits, means, factors = np.split(theta, [K, K + K * D])
    means, factors = means.reshape(K, D), factors.reshape(K, -1)
    log_p = np.zeros((len(x), K))
    for k in range(K):
        L = np.zeros((D, D))
        L[np.tril_indices(D)] = factors[k]
        log_diagonal = np.diag(L).copy()
        L[np.diag_indices(D)] = np.exp(log_diagonal)
        z = (x - means[k]) @ L
        log_p[:, k] = log_diagonal.sum() - 0.5 * (z**2).sum(axis=1)
    log_p = log_p + logits - log_sum_exp(np, logits) - 0.5 * D * np.log(2 * np.pi)
    return -np.mean(log_sum_exp(np, log_p))


def log_sum_exp(np, z):
    peak = z.max(axis=-1, keepdims=True)
    return peak[..., 0] + np.log(np.exp(z - peak).sum(axis=-1))


def jax_mixture():
    import jax.numpy as jnp

    def function(theta, x):
        logits, means, factors = jnp.split(theta, [K, K + K * D])
        means, factors = means.reshape(K, D), factors.reshape(K, -1)
        columns = []
        for k in range(K):
            L = jnp.zeros((D, D)).at[jnp.tril_indices(D)].set(factors[k])
            log_diagonal = jnp.diag(L)
            L = L.at[jnp.diag_indices(D)].set(jnp.exp(log_diagonal))
            z = (x - means[k]) @ L
            columns.append(log_diagonal.sum() - 0.5 * (z**2).sum(axis=1))
        log_p = jnp.stack(columns, axis=1) + logits - log_sum_exp(jnp, logits)
        return -jnp.mean(log_sum_exp(jnp, log_p - 0.5 * D * jnp.log(2 * jnp.pi)))

    return function


# ---- mechanics and money


def arm(q, lengths):
    """Hand of a planar arm, by matrices that are filled."""
    T = np.eye(3)
    for angle, length in zip(q, lengths, strict=True):
        turn, along = np.eye(3), np.eye(3)
        turn[0, 0] = turn[1, 1] = np.cos(angle)
        turn[0, 1] = -np.sin(angle)
        turn[1, 0] = np.sin(angle)
        along[0, 2] = length
        T = T @ turn @ along
    return np.array([T[0, 2], T[1, 2], np.arctan2(T[1, 0], T[0, 0])])


def jax_arm():
    import jax.numpy as jnp

    def function(q, lengths):
        T = jnp.eye(3)
        for k in range(len(q)):
            c, s = jnp.cos(q[k]), jnp.sin(q[k])
            turn = jnp.eye(3).at[0, 0].set(c).at[1, 1].set(c).at[0, 1].set(-s).at[1, 0].set(s)
            T = T @ turn @ jnp.eye(3).at[0, 2].set(lengths[k])
        return jnp.array([T[0, 2], T[1, 2], jnp.arctan2(T[1, 0], T[0, 0])])

    return function


def growth(np, w, returns, before):
    """Minus the growth of a portfolio, with the costs of its trades."""
    cost = 0.002 * np.sum(np.sqrt((w - before) ** 2 + 1e-6))
    return -np.mean(np.log(1 + returns @ w)) + cost


def limits(np, w, cov, before, v):
    """Risk, diversification and distance of a portfolio, weighted by multipliers."""
    entropy = -np.sum(w * np.log(w + 1e-3))
    return v @ np.array([np.sqrt(w @ cov @ w), entropy, np.sum((w - before) ** 2)])


JOINTS = np.array([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0], [1.0, 1.5], [3.0, 1.5]])
BARS = [(0, 1), (1, 2), (0, 3), (1, 3), (1, 4), (2, 4), (3, 4)]
FREE = [2, 3, 4, 6, 7, 8, 9]
LOAD = np.array([0.0, 0.0, 0.0, -60e3, 0.0, 0.0, 10e3, -20e3, 0.0, -20e3])
MODULUS = 210e9


def truss(nodes, areas):
    """Compliance of a plane truss, stiffness of bars added in place, number by number."""
    K = np.zeros((2 * len(nodes), 2 * len(nodes)))
    for e, (i, j) in enumerate(BARS):
        L = np.linalg.norm(nodes[j] - nodes[i])
        c, s = (nodes[j] - nodes[i]) / L
        b = np.array([-c, -s, c, s])
        k = MODULUS * areas[e] / L * np.outer(b, b)
        dofs = np.r_[2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        for a in range(4):
            for b in range(4):
                K[dofs[a], dofs[b]] += k[a, b]
    u = np.zeros(2 * len(nodes))
    u[FREE] = np.linalg.solve(K[np.ix_(FREE, FREE)], LOAD[FREE])
    return LOAD @ u


def jax_truss():
    import jax.numpy as jnp

    def function(nodes, areas):
        K = jnp.zeros((2 * len(nodes), 2 * len(nodes)))
        for e, (i, j) in enumerate(BARS):
            L = jnp.linalg.norm(nodes[j] - nodes[i])
            c, s = (nodes[j] - nodes[i]) / L
            b = jnp.array([-c, -s, c, s])
            dofs = np.r_[2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            K = K.at[np.ix_(dofs, dofs)].add(MODULUS * areas[e] / L * jnp.outer(b, b))
        u = jnp.linalg.solve(K[np.ix_(FREE, FREE)], LOAD[FREE])
        return LOAD[FREE] @ u

    return function


# ---- inputs


def _text(rng):
    codes = rng.integers(0, LETTERS, 87)
    shapes = {
        "embed": (LETTERS, CODE), "u": (CODE, UNITS), "w": (UNITS, UNITS), "b": (UNITS,),
        "v": (UNITS, LETTERS), "c": (LETTERS,),
    }  # fmt: skip
    weights = {name: 0.3 * rng.standard_normal(shape) for name, shape in shapes.items()}
    return {**weights, "inputs": codes[:-1], "targets": codes[1:]}


def _patients(rng):
    return {
        "beta": np.array([0.5, 0.8]),
        "x": np.column_stack([np.repeat([0.0, 1.0], 21), 1.0 + 4.0 * rng.uniform(size=42)]),
        "weeks": np.ceil(35.0 * rng.uniform(size=42)),
        "relapse": 1.0 * (rng.uniform(size=42) < 0.7),
    }


def _friedman(rng):
    X = rng.uniform(size=(60, 5))
    y = np.sin(np.pi * X[:, 0] * X[:, 1]) + 2 * (X[:, 2] - 0.5) ** 2
    y = y - y.mean() + 0.05 * rng.standard_normal(60)
    return {"theta": np.log([0.7, 0.7, 0.7, 0.7, 0.7, 1.0, 0.1]), "X": X, "y": y}


def _ridge(rng):
    X = rng.standard_normal((60, 6))
    y = X @ np.r_[1.0, -2.0, 0.5, np.zeros(3)] + 1.5 * rng.standard_normal(60)
    at = np.linspace(-2, 0, 6)
    return {"log_lam": at, "X": X[:20], "y": y[:20], "X_val": X[20:], "y_val": y[20:]}


def _observed(rng):
    velocity = np.cumsum(0.25 * rng.standard_normal(500))
    return {
        "theta": np.log([0.8, 0.3]),
        "y": np.cumsum(0.1 * velocity) + 0.3 * rng.standard_normal(500),
    }


def _threes_and_eights(rng):
    data = digits.load()
    chosen = np.isin(data.labels, [3, 8])
    return {
        "w": 0.1 * rng.standard_normal(65),
        "X": np.c_[np.ones(chosen.sum()), data.images[chosen] / 16.0],
        "y": 1.0 * (data.labels[chosen] == 8),
    }


def _pelts(rng):
    p = np.array([0.6, 0.025, 0.75, 0.022, 30.0, 5.0])
    return {"p": p, "pelts": 10.0 + 50.0 * rng.uniform(size=(21, 2))}


def _clouds(rng):
    centres = np.array([[0.0, 0.0], [2.0, 1.0], [-1.0, 2.0]])
    x = np.concatenate([c + 0.6 * rng.standard_normal((179, 2)) for c in centres])
    theta = np.concatenate([np.zeros(3), 0.5 + centres.ravel(), 0.1 * rng.standard_normal(9)])
    return {"theta": theta, "x": x}


def _market(rng):
    loads = 0.15 * rng.standard_normal((8, 3))
    cov = loads @ loads.T + np.diag(rng.uniform(0.01, 0.04, 8))
    returns = rng.multivariate_normal(rng.uniform(0.02, 0.12, 8), cov, 250)
    return {"w": np.full(8, 0.1), "returns": returns, "before": np.full(8, 1 / 8), "cov": cov}


def _traded(rng):
    market = _market(rng)
    return {key: market[key] for key in ("w", "returns", "before")}


def _limited(rng):
    market = _market(rng)
    v = np.array([1.0, 2.0, 3.0])
    return {"w": market["w"], "cov": market["cov"], "before": market["before"], "v": v}


def _on_a_ring(n):
    return lambda rng: {"x": 8.0 + rng.standard_normal(n)}


PROGRAMS = {
    "Burgers' equation": Program(
        lambda rng: {"u": 0.5 * (1 - np.tanh((np.linspace(0, 1, POINTS) - 0.3) / 0.08))},
        JACOBIAN, function=burgers, jax=jax_burgers,
    ),
    "character model": Program(
        _text, GRADIENT, function=characters, jax=jax_characters, arguments=6
    ),
    "Cox' model, gradient": Program(_patients, GRADIENT, cox),
    "Cox' model, Hessian": Program(_patients, HESSIAN, cox),
    "Gaussian process": Program(_friedman, GRADIENT, gaussian_process),
    "hypergradient": Program(_ridge, GRADIENT, function=momentum, jax=jax_momentum),
    "inverse heat, ring": Program(
        lambda rng: {"u0": rng.standard_normal(64), "data": rng.standard_normal(64)},
        GRADIENT, function=ring, jax=jax_ring,
    ),
    "inverse heat, plate": Program(
        lambda rng: {"p": np.array([12.0, 12.0, 3.0, 1.0])},
        JACOBIAN, function=plate, jax=jax_plate,
    ),
    "inverse heat, rod": Program(
        lambda rng: {"log_k": np.full(CELLS, -0.5)}, JACOBIAN, function=rod, jax=jax_rod
    ),
    "Kalman filter": Program(_observed, GRADIENT, function=kalman, scanned=scanned_kalman),
    "Kalman filter, scan": Program(_observed, GRADIENT, scanned=scanned_kalman),
    "logistic regression, gradient": Program(_threes_and_eights, GRADIENT, logistic),
    "logistic regression, Hessian": Program(_threes_and_eights, HESSIAN, logistic),
    "Lotka-Volterra": Program(
        _pelts, JACOBIAN, function=lotka_volterra, scanned=scanned_lotka_volterra
    ),
    "Lotka-Volterra, scan": Program(_pelts, JACOBIAN, scanned=scanned_lotka_volterra),
    "Lyapunov exponents, 3": Program(
        lambda rng: {"x": np.array([1.0, 2.0, 25.0])}, JACOBIAN, lorenz63
    ),
    "Lyapunov exponents, 40": Program(_on_a_ring(40), JACOBIAN, lorenz96),
    "mixture": Program(_clouds, GRADIENT, function=mixture, jax=jax_mixture),
    "optimal control, shooting": Program(
        lambda rng: {"u": 0.1 * rng.standard_normal(40), "start": np.array([1.0, -0.5])},
        GRADIENT, function=shooting, jax=jax_shooting,
    ),
    "optimal control, collocation": Program(
        lambda rng: {"z": rng.standard_normal(3 * NODES + 3)},
        JACOBIAN, function=collocation, jax=jax_collocation,
    ),
    "planar arm": Program(
        lambda rng: {"q": rng.uniform(-0.6, 0.6, 5), "lengths": rng.uniform(0.5, 1.5, 5)},
        JACOBIAN, function=arm, jax=jax_arm,
    ),
    "portfolio, gradient": Program(_traded, GRADIENT, growth),
    "portfolio, Hessian": Program(_limited, HESSIAN, limits),
    "truss": Program(
        lambda rng: {"nodes": JOINTS.copy(), "areas": rng.uniform(6e-4, 12e-4, 7)},
        GRADIENT, function=truss, jax=jax_truss,
    ),
}  # fmt: skip
SHORT = ("Cox' model, Hessian", "portfolio, gradient")
# JAX compiles every time: those with loops, and of the others, where JAX takes longest, some.
FIRST = (
    "character model", "Gaussian process", "hypergradient", "inverse heat, rod", "Kalman filter",
    "Kalman filter, scan", "Lotka-Volterra", "Lotka-Volterra, scan", "mixture",
    "optimal control, shooting", "planar arm", "truss",
)  # fmt: skip

OURS = {GRADIENT: bp.value_and_grad, JACOBIAN: bp.jacobian, HESSIAN: bp.hessian}


def _jax_derivative(program: Program, inputs: dict[str, Any]) -> Callable[..., Any]:
    """Return a new function, which JAX has not seen: its first call compiles."""
    import jax

    if program.jax is not None:
        function = program.jax()
    elif program.scanned is not None:
        function = program.scanned(jax.numpy, jax.lax.scan)
    else:
        shared = program.shared
        assert shared is not None

        def function(*args):
            return shared(jax.numpy, *args)

    # The cheaper mode, by the sizes of argument and result.
    if program.derivative == JACOBIAN:
        args = list(inputs.values())
        wide = jax.eval_shape(function, *args).size < args[0].size
        return jax.jit((jax.jacrev if wide else jax.jacfwd)(function))
    return jax.jit(
        program.transformed(function, {GRADIENT: jax.value_and_grad, HESSIAN: jax.hessian})
    )


def jax_compiled(inputs, program):
    import jax

    args = [jax.device_put(x) for x in inputs.values()]
    derivative = _jax_derivative(PROGRAMS[program], inputs)
    return lambda: jax.block_until_ready(derivative(*args))


def jax_first(inputs, program):
    import jax

    args = [jax.device_put(x) for x in inputs.values()]
    return lambda: jax.block_until_ready(_jax_derivative(PROGRAMS[program], inputs)(*args))


class Programs(Bench):
    """What both share: the derivative of a program, compiled."""

    params = {"program": tuple(PROGRAMS)}
    quick = {"program": SHORT}
    threaded = False
    rtol = 1e-7

    def setup(self, program):
        self.program = PROGRAMS[program]
        self.inputs = self.program.inputs(np.random.default_rng(0))
        self.function = self.program.numpy()
        self.derivative = self.program.transformed(self.function, OURS)
        self.compiled = bp.compile(self.derivative)

    def eager(self):
        """Compute the same without a plan."""
        derivative = self.program.transformed(bp.unmodified(self.function), OURS)
        return derivative(*self.inputs.values())

    def check(self):
        found = self.run()
        error = compare(found, self.eager(), 1e-10)
        args, count = list(self.inputs.values()), self.program.arguments
        if self.program.derivative == GRADIENT:
            value, gradients = found
            if not abs(value - self.function(*args)) <= 1e-10 * abs(value):
                raise CheckError(f"value {value}, the function itself gives another one")
            return check_projection(
                lambda *xs: float(self.function(*xs, *args[count:])), args[:count],
                list(gradients) if count > 1 else [gradients], 1e-5,
            )  # fmt: skip
        function = self.function
        if self.program.derivative == HESSIAN:
            function = bp.grad(bp.unmodified(self.function))
        h, v = 1e-6, np.random.default_rng(7).choice([-1.0, 1.0], size=args[0].shape)
        above, below = (function(args[0] + s * h * v, *args[1:]) for s in (1, -1))
        return max(error, compare(found @ v, (above - below) / (2 * h), 1e-5))


@bench("programs")
class ProgramDerivative(Programs):
    """The derivative of a whole program, compiled before."""

    peers = {"jax": jax_compiled}

    def run(self):
        return self.compiled(*self.inputs.values())

    @classmethod
    def targets(cls, program) -> dict[str, Target]:
        return {"jax": at_most(1.5, "one")}


@bench("programs")
class ProgramFirst(Programs):
    """The same, from the first call to its result."""

    params = {"program": FIRST}
    peers = {"jax": jax_first}

    def run(self):
        return bp.compile(self.derivative)(*self.inputs.values())

    @classmethod
    def targets(cls, program) -> dict[str, Target]:
        return {"jax": faster(10.0, "one")}
