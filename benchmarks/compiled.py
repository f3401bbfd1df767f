"""Compiled functions and gradients, against jitted JAX and eager ones of ours."""

from __future__ import annotations

import numpy as np

import fastbp as bp

from .checking import check_projection, compare
from .registry import Bench, Target, bench, faster


def two_scalars(np, p):
    """Multiply two numbers, and add a sine."""
    return p["a"] * p["b"] + np.sin(p["a"])


def rosenbrock(np, p):
    """Read neighbours of a vector."""
    x = p["x"]
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def functions(np, p):
    """Compose tanh, exp and sin of single elements."""
    x = p["x"]
    return np.sum(np.tanh(x) * np.exp(-x * x) + np.sin(x))


def perceptron(np, p):
    """Take one hidden layer of tanh."""
    h = np.tanh(p["x"] @ p["w1"] + p["b1"])
    return np.mean((h @ p["w2"] + p["b2"]) ** 2)


def unrolled(np, p):
    """Run a recurrent network of tanh as a loop of Python."""
    h = np.zeros_like(p["b"])
    for k in range(p["x"].shape[0]):
        h = np.tanh(p["w"] @ h + p["x"][k] + p["b"])
    return np.sum(h * h)


PROGRAMS = {f.__name__: f for f in (two_scalars, rosenbrock, functions, perceptron, unrolled)}
# A program, its sizes, and how many times faster than JAX it should be on one thread.
CASES = {
    "two_scalars": ("two_scalars", (), 10.0),
    "rosenbrock 2": ("rosenbrock", (2,), 5.0),
    "rosenbrock 100": ("rosenbrock", (100,), 5.0),
    "rosenbrock 10^6": ("rosenbrock", (10**6,), 0.5),
    "functions 10^5": ("functions", (10**5,), 2.0),
    "functions 10^6": ("functions", (10**6,), 2.0),
    "perceptron 1 x 32": ("perceptron", (1, 32), 5.0),
    "perceptron 32 x 64": ("perceptron", (32, 64), 1.6),
    "perceptron 64 x 128": ("perceptron", (64, 128), 1.05),
    "perceptron 256 x 512": ("perceptron", (256, 512), 1.05),
    "unrolled 50 x 16": ("unrolled", (50, 16), 3.0),
}


def operands(case: str) -> dict[str, np.ndarray]:
    """Return the arguments of a program."""
    name, sizes, _ = CASES[case]
    rng = np.random.default_rng(5)
    if name == "two_scalars":
        return {"a": np.float64(1.5), "b": np.float64(-0.5)}
    if name == "perceptron":
        batch, width = sizes
        scale = width**-0.5
        return {
            "x": rng.standard_normal((batch, width)),
            "w1": scale * rng.standard_normal((width, width)),
            "b1": rng.standard_normal(width),
            "w2": scale * rng.standard_normal((width, width)),
            "b2": rng.standard_normal(width),
        }
    if name == "unrolled":
        steps, units = sizes
        return {
            "w": 0.8 * units**-0.5 * rng.standard_normal((units, units)),
            "b": rng.standard_normal(units),
            "x": rng.standard_normal((steps, units)),
        }
    return {"x": rng.standard_normal(sizes)}


def jax_gradient(inputs, case):
    import jax

    program = PROGRAMS[CASES[case][0]]
    gradient = jax.jit(jax.value_and_grad(lambda p: program(jax.numpy, p)))
    p = jax.device_put(dict(inputs))
    return lambda: jax.block_until_ready(gradient(p))


def jax_first(inputs, case):
    import jax

    program = PROGRAMS[CASES[case][0]]
    p = jax.device_put(dict(inputs))

    def first():
        # A function that JAX has not seen: it compiles as in a new process.
        return jax.block_until_ready(
            jax.jit(jax.value_and_grad(lambda p: program(jax.numpy, p)))(p)
        )

    return first


class Compiled(Bench):
    """What the benchmarks of compiled functions share."""

    params = {"case": tuple(CASES)}
    quick = {"case": ("two_scalars", "rosenbrock 2", "perceptron 1 x 32")}
    rtol = 1e-8

    def setup(self, case):
        self.inputs = operands(case)
        program = PROGRAMS[CASES[case][0]]
        self.loss = lambda p: program(np, p)
        self.eager = bp.value_and_grad(self.loss)
        self.compiled = bp.compile(self.eager)

    def check(self):
        _, found = self.run()
        keys = sorted(self.inputs)
        error = check_projection(
            lambda *xs: self.loss(dict(zip(keys, xs, strict=True))),
            [self.inputs[key] for key in keys],
            [found[key] for key in keys],
            1e-5,
        )
        compare(self.run(), self.eager(self.inputs), 1e-10)
        return error


@bench("compile")
class CompiledGradient(Compiled):
    """A compiled value and gradient, called."""

    peers = {"jax": jax_gradient}

    def run(self):
        return self.compiled(self.inputs)

    def against(self):
        return {"eager": lambda: self.eager(self.inputs)}

    @classmethod
    def targets(cls, case) -> dict[str, Target]:
        return {"jax": faster(CASES[case][2], "one"), "eager": faster(1.0)}


@bench("compile")
class FirstCall(Compiled):
    """The first call of a compiled value and gradient: it is recorded and lowered."""

    params = {"case": ("two_scalars", "rosenbrock 2", "perceptron 32 x 64", "unrolled 50 x 16")}
    quick = {"case": ("rosenbrock 2",)}
    threaded = False
    peers = {"jax": jax_first}

    def run(self):
        return bp.compile(self.eager)(self.inputs)

    @classmethod
    def targets(cls, case) -> dict[str, Target]:
        return {"jax": faster(10.0)}
