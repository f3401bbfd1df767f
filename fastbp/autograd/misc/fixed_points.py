"""Differentiable fixed points: ``autograd.misc.fixed_points``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastbp.autograd.core import make_vjp
from fastbp.autograd.primitives import defvjp, primitive
from fastbp.autograd.vspaces import vspace

__all__ = ["fixed_point"]


@primitive
def fixed_point(
    f: Callable[[Any], Callable[[Any], Any]],
    a: Any,
    x0: Any,
    distance: Callable[[Any, Any], Any],
    tol: float,
) -> Any:
    """Iterate ``x = f(a)(x)`` from `x0` until steps are at most `tol`; differentiable by `a`.

    The cotangent of the fixed point solves an equation of its own, by the same iteration.

    Examples
    --------
    >>> from fastbp.autograd import grad
    >>> from fastbp.autograd.misc.fixed_points import fixed_point
    >>> def root(a):  # x = (x + a / x) / 2, of which the square root is the fixed point
    ...     step = lambda a: lambda x: (x + a / x) / 2
    ...     return fixed_point(step, a, 1.0, lambda x, y: abs(x - y), 1e-12)
    >>> float(root(4.0)), round(float(grad(root)(4.0)), 9)
    (2.0, 0.25)
    """
    step = f(a)
    before, x = x0, step(x0)
    while distance(x, before) > tol:
        before, x = x, step(x)
    return x


def _vjp(ans: Any, f: Any, a: Any, x0: Any, distance: Any, tol: float) -> Callable[[Any], Any]:
    def cotangents(params: Any) -> Callable[[Any], Any]:
        a, x, x_bar = params
        pull = make_vjp(f(a), x)[0]
        return lambda w: vspace(x).add(pull(w), x_bar)

    def vjp(g: Any) -> Any:
        w = fixed_point(cotangents, (a, ans, g), vspace(ans).zeros(), distance, tol)
        return make_vjp(lambda p: f(p)(ans), a)[0](w)

    return vjp


defvjp(fixed_point, None, _vjp, None, None, None)
