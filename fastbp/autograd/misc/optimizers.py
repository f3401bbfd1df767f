"""Gradient descent over containers of arrays: ``autograd.misc.optimizers``.

A gradient is a function ``grad(x, i)`` of the point and the number of the iteration, a callback one
of both and of the gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fastbp.numpy as bnp
from fastbp.autograd.misc.flatten import flatten
from fastbp.autograd.wrap_util import wraps

__all__ = ["adam", "rmsprop", "sgd", "unflatten_optimizer"]


def unflatten_optimizer(optimize: Callable[..., Any]) -> Callable[..., Any]:
    """Turn an optimizer of vectors into one of containers."""

    @wraps(optimize)
    def of_containers(
        grad: Callable[..., Any], x0: Any, callback: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        flat_x0, unflatten = flatten(x0)

        def flat_grad(x: Any, i: int) -> Any:
            return flatten(grad(unflatten(x), i))[0]

        def flat_callback(x: Any, i: int, g: Any) -> None:
            callback(unflatten(x), i, unflatten(g))

        called = flat_callback if callback else None
        return unflatten(optimize(flat_grad, flat_x0, called, *args, **kwargs))

    return of_containers


def _descend(
    grad: Callable[..., Any], x: Any, callback: Any, num_iters: int, step: Callable[..., Any]
) -> Any:
    for i in range(num_iters):
        g = grad(x, i)
        if callback:
            callback(x, i, g)
        x = x + step(g, i)
    return x


@unflatten_optimizer
def sgd(
    grad: Any,
    x: Any,
    callback: Any = None,
    num_iters: int = 200,
    step_size: float = 0.1,
    mass: float = 0.9,
) -> Any:
    """Descend with momentum `mass`."""
    velocity = bnp.zeros(len(x))

    def step(g: Any, i: int) -> Any:
        nonlocal velocity
        velocity = mass * velocity - (1.0 - mass) * g
        return step_size * velocity

    return _descend(grad, x, callback, num_iters, step)


@unflatten_optimizer
def rmsprop(
    grad: Any,
    x: Any,
    callback: Any = None,
    num_iters: int = 100,
    step_size: float = 0.1,
    gamma: float = 0.9,
    eps: float = 1e-8,
) -> Any:
    """Descend by gradients over the root of their mean square."""
    mean_square = bnp.ones(len(x))

    def step(g: Any, i: int) -> Any:
        nonlocal mean_square
        mean_square = mean_square * gamma + g**2 * (1 - gamma)
        return -step_size * g / (bnp.sqrt(mean_square) + eps)

    return _descend(grad, x, callback, num_iters, step)


@unflatten_optimizer
def adam(
    grad: Any,
    x: Any,
    callback: Any = None,
    num_iters: int = 100,
    step_size: float = 0.001,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> Any:
    """Descend by mean gradients over mean squares, both corrected for their start (Adam)."""
    mean, mean_square = bnp.zeros(len(x)), bnp.zeros(len(x))

    def step(g: Any, i: int) -> Any:
        nonlocal mean, mean_square
        mean = (1 - b1) * g + b1 * mean
        mean_square = (1 - b2) * g**2 + b2 * mean_square
        corrected = mean / (1 - b1 ** (i + 1))
        return -step_size * corrected / (bnp.sqrt(mean_square / (1 - b2 ** (i + 1))) + eps)

    return _descend(grad, x, callback, num_iters, step)
