"""The dense layer: one step of training, against the same step written by hand."""

from __future__ import annotations

import numpy as np

import fastbp as bp

from . import digits
from .checking import check_projection, compare
from .registry import Bench, bench

NUMPY = "NumPy by hand"
RATE = 1e-3


def square_loss(params, x, t):
    """Half the mean square error of ``tanh(x @ W + b)``."""
    error = np.tanh(x @ params["W"] + params["b"]) - t
    return 0.5 * (error * error).mean()


def layer_by_hand(params, x, t):
    """Value and gradient of `square_loss`."""
    y = np.tanh(x @ params["W"] + params["b"])
    error = y - t
    g = error * (1 - y * y) / error.size
    return 0.5 * np.mean(error * error), {"W": x.T @ g, "b": g.sum(axis=0)}


def descend(gradient, params, x, t):
    """One step of gradient descent, in place."""
    value, slope = gradient(params, x, t)
    for name, array in params.items():
        array -= RATE * slope[name]
    return value


class Step(Bench):
    """A step of gradient descent on parameters of its own."""

    loss = staticmethod(square_loss)
    by_hand = staticmethod(layer_by_hand)

    def setup_step(self, params, x, t):
        self.start, self.x, self.t = params, x, t
        self.inputs = {**params, "x": x, "t": t}
        self.gradient = bp.value_and_grad(self.loss)
        self.own, self.other = ({k: v.copy() for k, v in params.items()} for _ in range(2))

    def run(self):
        return descend(self.gradient, self.own, self.x, self.t)

    def check(self):
        names = list(self.start)
        value, gradient = self.gradient(self.start, self.x, self.t)
        check_projection(
            lambda *leaves: self.loss(dict(zip(names, leaves, strict=True)), self.x, self.t),
            list(self.start.values()),
            [gradient[name] for name in names],
        )
        return compare(
            [value, gradient], self.by_hand(self.start, self.x, self.t), 1e-11, "gradient"
        )

    def against(self):
        return {NUMPY: lambda: descend(self.by_hand, self.other, self.x, self.t)}


@bench("dense_layer")
class DenseStep(Step):
    """Step of one dense tanh layer: value, gradient, descent."""

    params = {"batch": (32, 256), "width": (128,)}
    quick = {"batch": (32,)}

    def setup(self, batch, width):
        rng = np.random.default_rng(3)
        params = {"W": rng.standard_normal((width, width)) / np.sqrt(width), "b": np.zeros(width)}
        self.setup_step(params, *rng.uniform(-1, 1, (2, batch, width)))


@bench("dense_layer")
class DigitsStep(Step):
    """Step of the digit classifier on real images: value, gradient, descent."""

    params = {"batch": (32,)}
    loss = staticmethod(digits.loss)
    by_hand = staticmethod(digits.by_hand)

    def setup(self, batch):
        data = digits.load().split(seed=0)
        self.setup_step(digits.init(seed=0), data.train_x[:batch], data.train_t[:batch])
