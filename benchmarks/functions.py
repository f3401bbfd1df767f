"""What a gradient costs over the value alone."""

from __future__ import annotations

from functools import partial

import numpy as np

import fastbp as bp

from . import elementwise, mlp
from .checking import compare
from .registry import Bench, at_most, bench

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


# ---- elements named by arrays

RECORDED = "value, recorded"
N = 20_000


def _numbers(shape, dtype=np.float64):
    return np.random.default_rng(3).standard_normal(shape).astype(dtype)


def _integers(high, shape):
    return np.random.default_rng(4).integers(0, high, shape)


PERMUTED, REPEATED = np.random.default_rng(5).permutation(N), _integers(N, N)
ROWS, COLUMNS, ALONG = _integers(200, N), _integers(100, N), _integers(100, (200, 100))

# An operand, and what takes elements of it.
TAKEN = {
    "x[permutation]": (_numbers(N), lambda x: x[PERMUTED]),
    "x[permutation], float32": (_numbers(N, np.float32), lambda x: x[PERMUTED]),
    "x[repeated]": (_numbers(N), lambda x: x[REPEATED]),
    "np.take": (_numbers(N), lambda x: np.take(x, PERMUTED)),
    "x[rows, columns]": (_numbers((200, 100)), lambda x: x[ROWS, COLUMNS]),
    "x[mask]": (_numbers(N), lambda x: x[PERMUTED < N // 2]),
    "take_along_axis": (_numbers((200, 100)), lambda x: np.take_along_axis(x, ALONG, 1)),
}


@bench("functions")
class IndexedGradient(Bench):
    """The gradient of a sum of 20 000 elements named by arrays against the sum alone."""

    params = {"index": tuple(TAKEN)}
    quick = {"index": tuple(TAKEN)[:1]}
    threaded = False

    def setup(self, index):
        self.x, self.take = TAKEN[index]
        self.inputs = {}
        self.gradient = bp.grad(self.sum)

    def sum(self, x):
        return np.sum(self.take(x))

    def run(self):
        return self.gradient(self.x)

    def check(self):
        places = self.take(np.arange(self.x.size).reshape(self.x.shape))
        counts = np.bincount(places.ravel(), minlength=self.x.size).reshape(self.x.shape)
        return compare(self.run(), counts.astype(self.x.dtype), 0.0, "gradient")

    def against(self):
        variable = bp.variable(self.x)
        return {VALUE: partial(self.sum, self.x), RECORDED: partial(self.sum, variable)}

    @classmethod
    def targets(cls, index):
        # Those of float32 are counted while they are added, so that no sum of many loses digits.
        return {RECORDED: at_most(2.5 if "float32" in index else 2)}
