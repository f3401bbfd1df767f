"""Kinds of code, each as it is written in NumPy, beside jitted JAX: figures in docs/from_jax.md.

`kind_gradient` times calls of what is compiled already, `first_gradient` one call with compiling.
JAX gets its own idioms: `lax.scan` for loops, `at[...]` for assignments, `vmap` for sweeps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastbp as bp
import fastbp.numpy as bnp

from .checking import CheckError, check_projection
from .registry import Bench, bench

FORWARD = "the function alone"
STEPS = 200


@dataclass(frozen=True)
class Kind:
    """Inputs, of which the first is differentiated, and the same function here and in JAX."""

    inputs: Callable[[np.random.Generator], dict[str, np.ndarray]]
    function: Callable[..., Any]
    jax: Callable[[], Callable[..., Any]]


# ---- loops over numbers and small arrays


def local_level(p, y):
    """Negative log-likelihood of a random walk under noise: a Kalman filter of numbers."""
    q, r = np.exp(p[0]), np.exp(p[1])
    mean, variance, total = 0.0, 10.0, 0.0
    for k in range(STEPS):
        variance = variance + q
        s = variance + r
        e = y[k] - mean
        total = total + np.log(s) + e * e / s
        mean = mean + variance / s * e
        variance = variance * r / s
    return total


def jax_local_level():
    from jax import lax
    from jax import numpy as jnp

    def function(p, y):
        q, r = jnp.exp(p[0]), jnp.exp(p[1])

        def step(state, y):
            mean, variance = state
            variance = variance + q
            s, e = variance + r, y - mean
            return (mean + variance / s * e, variance * r / s), jnp.log(s) + e * e / s

        return jnp.sum(lax.scan(step, (0.0, 10.0), y)[1])

    return function


def lotka_volterra(np, p, y):
    """The right side, with an array made of values."""
    return np.array([p[0] * y[0] - p[1] * y[0] * y[1], p[2] * y[0] * y[1] - p[3] * y[1]])


def runge_kutta(f, y, h):
    k1 = f(y)
    k2 = f(y + h / 2 * k1)
    k3 = f(y + h / 2 * k2)
    k4 = f(y + h * k3)
    return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def trajectory(p, seen):
    """Misfit of a trajectory that is stored in an array made before."""
    out = bnp.zeros((STEPS + 1, 2))
    out[0] = 1.0
    for k in range(STEPS):
        out[k + 1] = runge_kutta(lambda y: lotka_volterra(bnp, p, y), out[k], 0.05)
    return np.sum((out - seen) ** 2)


def jax_trajectory():
    import jax.numpy as jnp
    from jax import lax

    def function(p, seen):
        def step(y, _):
            y = runge_kutta(lambda y: lotka_volterra(jnp, p, y), y, 0.05)
            return y, y

        ys = lax.scan(step, jnp.ones(2), None, STEPS)[1]
        return jnp.sum((ys - seen[1:]) ** 2) + jnp.sum((1.0 - seen[0]) ** 2)

    return function


def heat(k, u0, seen):
    """Explicit steps of the heat equation, in place, by slices."""
    u = bp.variable(u0) if isinstance(k, bp.Variable) else u0.copy()
    for _ in range(STEPS):
        u[1:-1] += k[1:-1] * (u[2:] - 2 * u[1:-1] + u[:-2])
    return np.sum((u - seen) ** 2)


def jax_heat():
    import jax.numpy as jnp
    from jax import lax

    def function(k, u0, seen):
        def step(u, _):
            return u.at[1:-1].add(k[1:-1] * (u[2:] - 2 * u[1:-1] + u[:-2])), None

        return jnp.sum((lax.scan(step, u0, None, STEPS)[0] - seen) ** 2)

    return function


def arm(q, target):
    """Distance of the end of a chain of six rotations, matrices filled element by element."""
    end, turn = bnp.zeros(3), bnp.eye(3)
    for k in range(6):
        r = bnp.eye(3)
        i, j = ((0, 1), (0, 2), (1, 2))[k % 3]
        r[i, i] = r[j, j] = np.cos(q[k])
        r[i, j] = -np.sin(q[k])
        r[j, i] = np.sin(q[k])
        turn = turn @ r
        end = end + turn @ np.array([1.0, 0.0, 0.5])
    return np.sum((end - target) ** 2)


def jax_arm():
    import jax.numpy as jnp

    def function(q, target):
        end, turn = jnp.zeros(3), jnp.eye(3)
        for k in range(6):
            i, j = ((0, 1), (0, 2), (1, 2))[k % 3]
            c, s = jnp.cos(q[k]), jnp.sin(q[k])
            r = jnp.eye(3).at[i, i].set(c).at[j, j].set(c).at[i, j].set(-s).at[j, i].set(s)
            turn = turn @ r
            end = end + turn @ jnp.array([1.0, 0.0, 0.5])
        return jnp.sum((end - target) ** 2)

    return function


# ---- whole arrays


def logistic(w, x, t):
    return np.sum(np.logaddexp(0.0, x @ w)) - t @ (x @ w) + 0.5 * w @ w


def jax_logistic():
    import jax.numpy as jnp

    return lambda w, x, t: jnp.sum(jnp.logaddexp(0.0, x @ w)) - t @ (x @ w) + 0.5 * w @ w


def gaussian_process(np, p, x, y):
    """Log marginal likelihood with a squared exponential kernel, by Cholesky."""
    scaled = x * np.exp(p[:-2])
    squares = np.sum(scaled**2, axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * (scaled @ scaled.T)
    kernel = np.exp(p[-2] - 0.5 * distances) + np.exp(p[-1]) * np.eye(len(x))
    factor = np.linalg.cholesky(kernel)
    white = np.linalg.solve(factor, y)
    return 0.5 * white @ white + np.sum(np.log(np.diagonal(factor)))


def jax_gaussian_process():
    import jax.numpy as jnp

    return lambda p, x, y: gaussian_process(jnp, p, x, y)


def network(np, w, x):
    """Three dense layers, width 128, all weights in one array."""
    h = x
    for layer in w:
        h = np.tanh(h @ layer)
    return np.mean(h**2)


def jax_network():
    import jax.numpy as jnp

    return lambda w, x: network(jnp, w, x)


def elementwise(np, x):
    return np.sum(np.sin(x) * np.exp(np.tanh(x)))


def jax_elementwise():
    import jax.numpy as jnp

    return lambda x: elementwise(jnp, x)


def rnn(p, xs):
    """A recurrent cell over a sequence, compiled."""
    n = p.shape[1]
    hs, _ = bp.recurrent.rnn(xs, np.zeros((xs.shape[1], n)), W=p[:n], U=p[n:])
    return np.mean(hs**2)


def rnn_in_a_loop(p, xs):
    """The same, written as a loop."""
    n = p.shape[1]
    h, total = np.zeros((xs.shape[1], n)), 0.0
    for x in xs:
        h = np.tanh(h @ p[:n] + x @ p[n:])
        total = total + np.mean(h**2)
    return total / len(xs)


def jax_rnn():
    import jax.numpy as jnp
    from jax import lax

    def function(p, xs):
        n = p.shape[1]

        def step(h, x):
            h = jnp.tanh(h @ p[:n] + x)
            return h, h

        hs = lax.scan(step, jnp.zeros((xs.shape[1], n)), xs @ p[n:])[1]
        return jnp.mean(hs**2)

    return function


def _with_kernel(rng):
    x = rng.standard_normal((200, 3))
    return {"p": np.array([0.1, -0.2, 0.3, 0.2, -2.0]), "x": x, "y": np.sin(x[:, 0])}


def _cell(rng):
    p = rng.standard_normal((128, 64)) / 8
    return {"p": p, "xs": rng.standard_normal((100, 16, 64))}


def _walk(rng):
    return {
        "p": np.array([-1.0, 0.5]),
        "y": np.cumsum(rng.standard_normal(STEPS)) + rng.standard_normal(STEPS),
    }


def _seen(rng):
    return {
        "p": np.array([1.1, 0.4, 0.1, 0.4]),
        "seen": 1.0 + rng.standard_normal((STEPS + 1, 2)) ** 2,
    }


def _grid(rng):
    u0, seen = rng.standard_normal((2, 100))
    return {"k": rng.uniform(0.1, 0.4, 100), "u0": u0, "seen": seen}


def _table(rng):
    x = rng.standard_normal((2000, 50))
    return {"w": 0.1 * rng.standard_normal(50), "x": x, "t": 1.0 * (x[:, 0] > 0.3)}


def _layers(rng):
    w = rng.standard_normal((3, 128, 128)) / np.sqrt(128)
    return {"w": w, "x": rng.standard_normal((256, 128))}


KINDS = {
    "filter of numbers, 200 steps": Kind(_walk, local_level, jax_local_level),
    "Runge-Kutta, 200 steps of 2": Kind(_seen, trajectory, jax_trajectory),
    "heat equation, 200 steps of 100": Kind(_grid, heat, jax_heat),
    "robot arm, six 3 x 3 matrices": Kind(
        lambda rng: {"q": rng.standard_normal(6), "target": rng.standard_normal(3)}, arm, jax_arm
    ),
    "logistic regression, 2000 x 50": Kind(_table, logistic, jax_logistic),
    "Gaussian process, 200 points": Kind(
        _with_kernel, lambda p, x, y: gaussian_process(np, p, x, y), jax_gaussian_process
    ),
    "dense network, 3 x 128, batch 256": Kind(_layers, lambda w, x: network(np, w, x), jax_network),
    "elementwise, 10^6 numbers": Kind(
        lambda rng: {"x": rng.standard_normal(10**6)}, lambda x: elementwise(np, x), jax_elementwise
    ),
    "tanh network, 100 steps, bp.recurrent.rnn": Kind(_cell, rnn, jax_rnn),
    "the same as a NumPy loop": Kind(_cell, rnn_in_a_loop, jax_rnn),
}


def jax_compiled(inputs, kind):
    """Return a call of the gradient, compiled once."""
    import jax

    arrays = [jax.device_put(value) for value in inputs.values()]
    gradient = jax.jit(jax.value_and_grad(KINDS[kind].jax()))
    return lambda: jax.block_until_ready(gradient(*arrays))


def jax_first(inputs, kind):
    """Return a first call: a new function each time, which is traced and compiled."""
    import jax

    arrays = [jax.device_put(value) for value in inputs.values()]

    def run():
        gradient = jax.jit(jax.value_and_grad(KINDS[kind].jax()))
        return jax.block_until_ready(gradient(*arrays))

    return run


class Gradient(Bench):
    """What both share: value and gradient of a function by its first argument."""

    params = {"kind": tuple(KINDS)}
    threaded = False

    def setup(self, kind):
        self.kind = KINDS[kind]
        self.inputs = self.kind.inputs(np.random.default_rng(0))
        self.gradient = bp.value_and_grad(self.kind.function)

    def run(self):
        return self.gradient(*self.inputs.values())

    def check(self):
        """Against central differences, and the value against the function itself."""
        first, *rest = self.inputs.values()
        value, gradient = self.run()
        alone = self.kind.function(first, *rest)
        if not abs(value - alone) <= 1e-12 * abs(alone):
            raise CheckError(f"value {value}, the function alone gives {alone}")
        return check_projection(
            lambda x: float(self.kind.function(x, *rest)), [first], [gradient], 1e-5
        )


@bench("kinds")
class KindGradient(Gradient):
    """Value and gradient of one kind of code, JAX compiled before."""

    peers = {"jax": jax_compiled}

    def against(self):
        return {FORWARD: lambda: self.kind.function(*self.inputs.values())}


@bench("kinds")
class CompiledKind(Gradient):
    """The same by `fastbp.compile`, recorded before."""

    peers = {"jax": jax_compiled}

    def setup(self, kind):
        super().setup(kind)
        self.gradient = bp.compile(self.gradient)


@bench("kinds")
class FirstGradient(Gradient):
    """The same, where JAX has to trace and compile it first."""

    peers = {"jax": jax_first}
