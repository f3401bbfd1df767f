"""Gradients on small arrays of programs written for HIPS/autograd, by `fastbp.autograd`."""

from __future__ import annotations

import numpy as np

import fastbp.autograd as drop_in
import fastbp.autograd.numpy as drop_in_numpy

from .checking import check_projection
from .registry import Bench, Target, bench, faster


def rosenbrock(np, c, x):
    """Read neighbours of a vector."""
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def layer(np, c, x):
    """Fit one dense layer of tanh to a target."""
    return np.sum((np.tanh(np.dot(c["w"], x)) - c["y"]) ** 2)


def logsumexp(np, c, x):
    """Take the largest element out of an exponential sum by hand."""
    return np.log(np.sum(np.exp(x - np.max(x)))) + np.max(x)


def chain(np, c, x):
    """Compose functions of single elements."""
    return np.sum(np.sin(x) * np.exp(-(x**2)) / (1.0 + x**2))


LOSSES = {f.__name__: f for f in (rosenbrock, layer, logsumexp, chain)}


def autograd_gradient(inputs, function, n):
    import autograd
    import autograd.numpy

    gradient = autograd.grad(lambda x: LOSSES[function](autograd.numpy, inputs, x))
    return lambda: gradient(inputs["x"])


@bench("dropin")
class DropIn(Bench):
    """The gradient of a small function written for autograd."""

    params = {"function": tuple(LOSSES), "n": (16,)}
    threaded = False
    peers = {"autograd": autograd_gradient}

    def setup(self, function, n):
        rng = np.random.default_rng(n)
        x = rng.standard_normal(n)
        w, y = rng.standard_normal((n // 2, n)), rng.standard_normal(n // 2)
        self.inputs = {"x": x, "w": w, "y": y}
        loss = LOSSES[function]
        self.loss = lambda x: loss(np, self.inputs, x)
        self.gradient = drop_in.grad(lambda x: loss(drop_in_numpy, self.inputs, x))

    def run(self):
        return self.gradient(self.inputs["x"])

    def check(self):
        return check_projection(self.loss, [self.inputs["x"]], [self.run()])

    @classmethod
    def targets(cls, function, n) -> dict[str, Target]:
        return {"autograd": faster(8)}
