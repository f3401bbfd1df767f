"""The matrix product: its VJP as a plain function, and through the graph."""

from __future__ import annotations

from functools import partial

import numpy as np

import fastbp as bp
from fastbp._core import blas

from .checking import compare
from .registry import Bench, Target, at_most, bench, faster
from .timing import SelfTimed

RAW, RAW_COMPLEX = "two raw dgemm", "two raw zgemm"
NUMPY = "NumPy by hand"


def operands(n: int, dtype: str = "f8") -> dict[str, np.ndarray]:
    """Return two square matrices and a cotangent."""
    rng = np.random.default_rng(n)
    real = {name: rng.standard_normal((n, n)) for name in ("g", "a", "b")}
    if np.dtype(dtype).kind != "c":
        return {name: x.astype(dtype) for name, x in real.items()}
    return {name: (x + 1j * rng.standard_normal((n, n))).astype(dtype) for name, x in real.items()}


def by_hand(g, a, b):
    """VJP of ``a @ b``."""
    return g @ b.T, a.T @ g


def by_definition(g, a, b):
    """VJP of ``a @ b`` from its sums, without a matrix product."""
    return np.einsum("ij,kj->ik", g, b), np.einsum("ki,kj->ij", a, g)


class Pullback(Bench):
    """bp.matmul_vjp of square matrices against the two BLAS calls it must make, timed in C."""

    dtype, other = "f8", RAW

    def setup(self, n):
        self.inputs = operands(n, self.dtype)
        self.n = n
        # No frame of Python's around the call: at n = 4 it would be a good part of the cost.
        self.run = partial(bp.matmul_vjp, *self.inputs.values())  # type: ignore[method-assign]

    def run(self):
        return bp.matmul_vjp(*self.inputs.values())

    def check(self):
        return compare(self.run(), by_definition(**self.inputs), 1e-12, "matmul_vjp")

    def against(self):
        raw = SelfTimed(lambda loops: blas._time_raw_pair(self.n, loops, self.dtype))
        return {self.other: raw, NUMPY: partial(by_hand, *self.inputs.values())}


@bench("matmul")
class MatmulVjp(Pullback):
    """bp.matmul_vjp of square float64 matrices against the two BLAS calls it must make."""

    params = {"n": (4, 16, 64, 256, 512)}
    quick = {"n": (4, 64)}

    @classmethod
    def targets(cls, n):
        return {RAW: at_most({4: 3.0, 16: 1.0, 64: 1.05}.get(n, 1.03))}


@bench("matmul")
class MatmulVjpComplex(Pullback):
    """The same of complex128 matrices, which the transpose without conjugation pulls back."""

    params = {"n": (64, 256)}
    quick = {"n": (64,)}
    dtype, other = "c16", RAW_COMPLEX

    @classmethod
    def targets(cls, n):
        return {RAW_COMPLEX: at_most(1.1)}


def torch_gradients(inputs, n):
    import torch

    g, a, b = (torch.tensor(inputs[name]) for name in "gab")
    a.requires_grad_()
    b.requires_grad_()
    return lambda: torch.autograd.grad(a @ b, [a, b], g)


def jax_gradients(inputs, n):
    import jax

    @jax.jit
    def pullback(g, a, b):
        return jax.vjp(lambda a, b: a @ b, a, b)[1](g)

    g, a, b = (jax.device_put(inputs[name]) for name in "gab")
    return lambda: jax.block_until_ready(pullback(g, a, b))


def autograd_gradients(inputs, n):
    import autograd

    pullback = autograd.make_vjp(lambda a, b: a @ b, argnum=[0, 1])
    g, a, b = (inputs[name] for name in "gab")
    return lambda: pullback(a, b)[0](g)


@bench("matmul")
class MatmulGradients(Bench):
    """bp.gradients(a @ b, [a, b], g) on recorded variables."""

    params = {"n": (16,)}
    peers = {"torch": torch_gradients, "jax": jax_gradients, "autograd": autograd_gradients}

    def setup(self, n):
        self.inputs = operands(n)
        self.g = self.inputs["g"]
        self.a, self.b = bp.variable(self.inputs["a"]), bp.variable(self.inputs["b"])

    def run(self):
        return bp.gradients(self.a @ self.b, [self.a, self.b], self.g)

    def check(self):
        return compare(self.run(), by_definition(**self.inputs), 1e-12, "gradients")

    def against(self):
        return {NUMPY: partial(by_hand, *self.inputs.values())}

    @classmethod
    def targets(cls, n) -> dict[str, Target]:
        return {"torch": faster(5), "jax": faster(3)}
