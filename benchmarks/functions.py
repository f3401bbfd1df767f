"""What a gradient costs over the value alone."""

from __future__ import annotations

from functools import partial

import numpy as np

import fastbp as bp

from . import elementwise, mlp
from .checking import compare
from .registry import Bench, bench

VALUE = "value in NumPy"


def rosenbrock(x):
    """Rosenbrock's function of any number of variables."""
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def _rosenbrock_1000():
    from scipy.optimize import rosen_der  # here, or every process that is timed would wait for it

    x = np.random.default_rng(1).uniform(-1, 1, 1000)
    return rosenbrock, x, rosen_der(x)


def _elementwise_10000():
    x = np.random.default_rng(2).standard_normal(10_000)
    return elementwise.wave, x, elementwise.wave_by_hand(x)[1]


def _mlp_32x64():
    params, x, t = mlp.split(mlp.init(3, 32, 64))
    return lambda p: mlp.loss(p, x, t), params, mlp.by_hand(params, x, t)[1]


CASES = {
    "rosenbrock, n=1000": _rosenbrock_1000,
    "sin exp tanh, n=10000": _elementwise_10000,
    "mlp, 3 layers of 64": _mlp_32x64,
}


@bench("functions")
class GradientOverValue(Bench):
    """Value and gradient against the value alone in plain NumPy."""

    params = {"function": tuple(CASES)}
    quick = {"function": tuple(CASES)[:1]}
    threaded = False

    def setup(self, function):
        self.function, self.x, self.reference = CASES[function]()
        self.inputs = {}  # no peer here: the value alone is the measure
        self.run = partial(bp.value_and_grad(self.function), self.x)  # type: ignore[method-assign]

    def run(self):
        return bp.value_and_grad(self.function)(self.x)

    def check(self):
        want = [self.function(self.x), self.reference]
        return compare(self.run(), want, 1e-11, "value and gradient")

    def against(self):
        return {VALUE: partial(self.function, self.x)}
