"""Gradient descent over containers of arrays: ``autograd.misc.optimizers``.

A gradient is a function ``grad(x, i)`` of the point and the number of the iteration, a callback one
of both and of the gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fastbp.numpy as bnp
from fastbp import optim
from fastbp.autograd.misc.flatten import flatten
from fastbp.autograd.wrap_util import wraps

__all__ = ["adam", "rmsprop", "sgd", "unflatten_optimizer"]


def unflatten_optimizer(optimize: Callable[..., Any]) -> Callable[..., Any]:
    """Turn an optimizer of vectors into one of containers.

    Examples
    --------
    >>> from fastbp.autograd.misc.optimizers import unflatten_optimizer
    >>> @unflatten_optimizer
    ... def descend(grad, x, callback=None, num_iters=50):
    ...     for i in range(num_iters):
    ...         x = x - 0.2 * grad(x, i)
    ...     return x
    >>> round(float(descend(lambda p, i: {"x": 2 * (p["x"] - 3.0)}, {"x": 0.0})["x"]), 6)
    3.0
    """

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


class _AsWritten:
    """As autograd takes them: any settings, complex gradients and squares as they are."""

    def setting(self, what: str, x: Any, low: float, high: float) -> Any:
        return x

    def uphill(self, g: Any) -> Any:
        return g

    def squared(self, g: Any) -> Any:
        return g**2


class _SGD(_AsWritten, optim.SGD):
    pass


class _Adam(_AsWritten, optim.Adam):
    def dtype_of(self, name: str, dtype: Any) -> Any:
        return dtype


class _RMSProp(_AsWritten, optim.Optimizer):
    kept = ("square",)

    def __init__(self, step_size: Any, gamma: Any, eps: Any) -> None:
        super().__init__(step_size)
        self.gamma, self.eps = gamma, eps

    def init(self, params: Any) -> dict[str, Any]:
        state = super().init(params)
        return {**state, "square": state["square"] + 1.0}

    def step(self, g: Any, p: Any, kept: Any, rate: Any, number: Any) -> Any:
        square = kept[0] * self.gamma + self.squared(g) * (1.0 - self.gamma)
        return p - rate * g / (bnp.sqrt(square) + self.eps), (square,)


def _descend(
    grad: Callable[..., Any], x: Any, callback: Any, num_iters: int, rule: optim.Optimizer
) -> Any:
    state = rule.init(x)
    for i in range(num_iters):
        g = grad(x, i)
        if callback:
            callback(x, i, g)
        x, state = rule.update(g, state, x)
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
    """Descend with momentum `mass`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp.autograd import grad
    >>> from fastbp.autograd.misc.optimizers import sgd
    >>> slope = grad(lambda x: (x - 3.0) ** 2)
    >>> bool(abs(sgd(lambda x, i: slope(x), 1.0) - 3.0) < 0.05)
    True
    """
    # The velocity is a mean of gradients: a sum, times (1 - mass).
    return _descend(grad, x, callback, num_iters, _SGD(step_size * (1.0 - mass), mass))


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
    """Descend by gradients over the root of their mean square.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp.autograd import grad
    >>> from fastbp.autograd.misc.optimizers import rmsprop
    >>> slope = grad(lambda x: (x - 3.0) ** 2)
    >>> bool(abs(rmsprop(lambda x, i: slope(x), 1.0, num_iters=200, step_size=0.02) - 3.0) < 0.05)
    True
    """
    return _descend(grad, x, callback, num_iters, _RMSProp(step_size, gamma, eps))


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
    """Descend by mean gradients over mean squares, both corrected for their start (Adam).

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp.autograd import grad
    >>> from fastbp.autograd.misc.optimizers import adam
    >>> slope = grad(lambda x: (x - 3.0) ** 2)
    >>> bool(abs(adam(lambda x, i: slope(x), 1.0, num_iters=1000, step_size=0.02) - 3.0) < 0.05)
    True
    """
    return _descend(grad, x, callback, num_iters, _Adam(step_size, b1, b2, eps))
