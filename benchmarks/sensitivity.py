"""Jacobians along a trajectory: how the last state of a network depends on the first."""

from __future__ import annotations

import timeit

import numpy as np

import fastbp as bp
from fastbp._core import blas

from .checking import check_projection, compare
from .registry import Bench, at_most, bench, faster

GEMMS = "the products alone"
NUMPY = "the products alone, NumPy"
SIZES = {"T=50, n=32": (50, 32), "T=200, n=256": (200, 256)}  # steps, units (and inputs)
SMALL, LARGE = SIZES


def init(steps: int, n: int) -> dict[str, np.ndarray]:
    """Return operands by name."""
    rng = np.random.default_rng(n)
    p = {"xs": rng.standard_normal((steps, n)), "h0": rng.standard_normal(n)}
    p["W"], p["U"] = (rng.standard_normal((n, n)) / np.sqrt(n) for _ in range(2))
    return p | {"b": 0.1 * rng.standard_normal(n)}


def products(steps: int, W: np.ndarray, gemm):
    """Return the products that accumulate the Jacobian from one end: `steps` factors."""
    half, y = W / 2, np.empty_like(W)  # halved, as by the slopes: powers of W may grow

    def run():
        a, b = half.copy(), y
        for _ in range(steps - 1):
            gemm(a, half, out=b)
            a, b = b, a

    return run


def states(p: dict, steps: int) -> list[np.ndarray]:
    """The states after each step, by a loop."""
    h, found = p["h0"], []
    for x in p["xs"][:steps]:
        h = np.tanh(h @ p["W"] + x @ p["U"] + p["b"])
        found.append(h)
    return found


def by_loop(p: dict, steps: int) -> np.ndarray:
    """The Jacobian of a state with respect to the first one, by a loop."""
    jacobian = np.eye(len(p["h0"]))
    for h in states(p, steps):
        jacobian = (1 - h * h)[:, None] * (p["W"].T @ jacobian)
    return jacobian


def jax_sensitivity(inputs, **_):
    """The better of JAX's two modes, both measured here."""
    import jax
    from jax import lax
    from jax import numpy as jnp

    p = {name: jax.device_put(value) for name, value in inputs.items()}

    def last(h0, p):
        projected = p["xs"] @ p["U"] + p["b"]
        return lax.scan(lambda h, x: (jnp.tanh(h @ p["W"] + x), None), h0, projected)[0]

    def runner(mode):
        jacobian = jax.jit(mode(last))
        return lambda: jax.block_until_ready(jacobian(p["h0"], p))

    def seconds(run):
        run()
        return min(timeit.repeat(run, number=3, repeat=5))

    return min(map(runner, (jax.jacfwd, jax.jacrev)), key=seconds)


@bench("recurrent")
class Sensitivity(Bench):
    """dh_T/dh_0 of a tanh network, the run of the network included; JAX in its better mode."""

    params = {"size": (SMALL, LARGE)}
    peers = {"jax": jax_sensitivity}

    def setup(self, size):
        self.size = SIZES[size]
        self.inputs = init(*self.size)

    def run(self):
        p = self.inputs
        return bp.recurrent.sensitivity(
            bp.recurrent.rnn, p["h0"], p["xs"], W=p["W"], U=p["U"], b=p["b"]
        )

    def check(self):
        """Against a loop, and the first steps of it against central differences."""
        p, found = self.inputs, self.run()
        expected = by_loop(p, len(p["xs"]))
        weights = np.random.default_rng(1).standard_normal(len(found))
        check_projection(
            lambda h: float(states(p | {"h0": h}, 3)[-1] @ weights),
            [p["h0"]],
            [weights @ by_loop(p, 3)],
        )
        return compare(found, expected, 1e-10, "Jacobian")

    def against(self):
        steps, W = self.size[0], self.inputs["W"]
        return {GEMMS: products(steps, W, blas.gemm), NUMPY: products(steps, W, np.matmul)}

    @classmethod
    def targets(cls, size):
        if size == SMALL:
            return {"jax": faster(1.3)}
        return {GEMMS: at_most(1.1)}
