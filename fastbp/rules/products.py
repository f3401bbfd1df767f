"""Products."""

import numpy as np

from fastbp._core import graph, matmul as core
from fastbp.rules.table import general, implements

matmul_op = general(
    "matmul", core.matmul, nin=2, compiled=True, saves=(0, 1),
    vjp=(lambda g, ans, a, b: g @ np.swapaxes(b, -1, -2), lambda g, ans, a, b: np.swapaxes(a, -1, -2) @ g),
    jvp=(lambda t, ans, a, b: t @ b, lambda t, ans, a, b: a @ t),
)


@implements(np.matmul, samples=lambda rng: [((rng.normal(size=(2, 3)), rng.normal(size=(3, 4))), {})])
def matmul(a, b):
    return matmul_op(a, b)
graph.bind("matmul", matmul_op)
