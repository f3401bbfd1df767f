"""Gradients through decompositions of a matrix: eigenvectors, singular vectors, QR, equations.

Libraries choose the signs of vectors, and which part of a symmetric gradient is given, so losses
read squares, and the symmetric part of a matrix.
"""

from __future__ import annotations

from functools import partial

import numpy as np

import fastbp as bp

from .checking import check_projection
from .registry import Bench, Target, bench, faster


def eigh(linalg, a, c):
    """Read all eigenvalues and eigenvectors."""
    w, v = linalg.eigh(0.5 * (a + a.T))
    return (w * c["w"]).sum() + (v * v * c["left"]).sum()


def svd(linalg, a, c):
    """Read all singular values and vectors."""
    u, s, vh = linalg.svd(a, full_matrices=False)
    return (u * u * c["left"]).sum() + (s * c["w"]).sum() + (vh * vh * c["right"]).sum()


def qr(linalg, a, c):
    """Read both factors."""
    q, r = linalg.qr(a)
    return (q * q * c["left"]).sum() + (r * r * c["right"]).sum()


def solve(linalg, a, c):
    """Read the solution for one right-hand side."""
    return (linalg.solve(a, c["b"]) * c["w"]).sum()


LOSSES = {"eigh": eigh, "svd": svd, "qr": qr, "solve": solve}


def operands(function: str, n: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return a matrix whose values are apart, and constants."""
    rng = np.random.default_rng(n)
    a = rng.standard_normal((n, n)) + np.diag(np.arange(1.0, n + 1.0))
    shapes = {"left": (n, n), "right": (n, n), "w": (n,), "b": (n,)}
    constants = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    return a, constants


def torch_gradient(inputs, function, n):
    import torch

    a, constants = operands(function, n)
    x = torch.tensor(a, requires_grad=True)
    c = {name: torch.tensor(value) for name, value in constants.items()}
    return lambda: torch.autograd.grad(LOSSES[function](torch.linalg, x, c), x)[0]


def jax_gradient(inputs, function, n):
    import jax

    a, constants = operands(function, n)
    x, c = jax.device_put(a), jax.device_put(constants)
    gradient = jax.jit(jax.grad(lambda x: LOSSES[function](jax.numpy.linalg, x, c)))
    return lambda: jax.block_until_ready(gradient(x))


class Decompositions(Bench):
    """What both share: the gradient of a loss that reads all results."""

    params = {"function": tuple(LOSSES), "n": (4, 64, 256)}
    quick = {"function": tuple(LOSSES), "n": (4,)}
    rtol = 1e-6
    transform = staticmethod(bp.grad)

    def setup(self, function, n):
        self.a, self.c = operands(function, n)
        self.inputs = {}
        self.loss = partial(LOSSES[function], np.linalg, c=self.c)
        self.gradient = self.transform(self.loss)

    def run(self):
        return self.gradient(self.a)

    def check(self):
        return check_projection(self.loss, [self.a], [self.run()])


@bench("decompositions")
class DecompositionGradient(Decompositions):
    """The gradient of a sum of all results of a decomposition, or of a solution; recorded anew."""

    peers = {"torch": torch_gradient}

    @classmethod
    def targets(cls, function, n) -> dict[str, Target]:
        return {"torch": faster(1)}


@bench("decompositions")
class CompiledDecompositionGradient(Decompositions):
    """The same by compiled functions, JAX's by jit."""

    peers = {"jax": jax_gradient}

    @staticmethod
    def transform(loss):
        return bp.compile(bp.grad(loss))

    @classmethod
    def targets(cls, function, n) -> dict[str, Target]:
        return {"jax": faster(1)}
