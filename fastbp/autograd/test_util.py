"""Derivatives against differences: ``autograd.test_util``; `fastbp.testing` has tighter bounds."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from fastbp.autograd.core import make_jvp, make_vjp
from fastbp.autograd.vspaces import vspace
from fastbp.autograd.wrap_util import get_name, unary_to_nary

__all__ = [
    "EPS",
    "RTOL",
    "TOL",
    "check_equivalent",
    "check_grads",
    "check_jvp",
    "check_vjp",
    "combo_check",
    "make_numerical_jvp",
    "scalar_close",
]

TOL = RTOL = EPS = 1e-6


def scalar_close(a: Any, b: Any) -> bool:
    """Say whether two numbers agree, absolutely or relative to their sum.

    Examples
    --------
    >>> from fastbp.autograd.test_util import scalar_close
    >>> scalar_close(1e9, 1e9 + 1.0), scalar_close(1.0, 1.1)
    (True, False)
    """
    return bool(abs(a - b) < TOL or abs(a - b) / abs(a + b) < RTOL)


def make_numerical_jvp(f: Callable[[Any], Any], x: Any) -> Callable[[Any], Any]:
    """Return a function of a tangent: the central difference of `f` along it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp.autograd.test_util import make_numerical_jvp
    >>> make_numerical_jvp(np.sin, np.array([0.0, 1.0]))(np.ones(2)).round(6)
    array([1.      , 0.540302])
    """
    x_space, y_space = vspace(x), vspace(f(x))

    def jvp(v: Any) -> Any:
        ahead, behind = (f(x_space.add(x, x_space.scalar_mul(v, h))) for h in (EPS / 2, -EPS / 2))
        difference = y_space.add(ahead, y_space.scalar_mul(behind, -1.0))
        return y_space.scalar_mul(difference, 1.0 / EPS)

    return jvp


def check_vjp(f: Callable[[Any], Any], x: Any) -> None:
    """Raise AssertionError unless the VJP agrees with differences along random vectors.

    Examples
    --------
    >>> import fastbp.autograd.numpy as np
    >>> from fastbp.autograd.test_util import check_vjp
    >>> check_vjp(np.tanh, np.array([0.5, 1.0]))
    """
    pull, y = make_vjp(f, x)
    x_space, y_space = vspace(x), vspace(y)
    v, w = x_space.randn(), y_space.randn()
    pulled = x_space.covector(pull(y_space.covector(w)))
    _check_space(pulled, x_space)
    exact = x_space.inner_prod(v, pulled)
    numeric = y_space.inner_prod(w, make_numerical_jvp(f, x)(v))
    if not scalar_close(numeric, exact):
        raise AssertionError(
            f"Derivative (VJP) check of {get_name(f)} failed with arg {x}:\n"
            f"analytic: {exact}\nnumeric:  {numeric}"
        )


def check_jvp(f: Callable[[Any], Any], x: Any) -> None:
    """Raise AssertionError unless the JVP agrees with differences along a random vector.

    Examples
    --------
    >>> import fastbp.autograd.numpy as np
    >>> from fastbp.autograd.test_util import check_jvp
    >>> check_jvp(np.tanh, np.array([0.5, 1.0]))
    """
    v = vspace(x).randn()
    check_equivalent(make_jvp(f, x)(v)[1], make_numerical_jvp(f, x)(v))


def check_equivalent(x: Any, y: Any) -> None:
    """Raise AssertionError unless two values are of one space and agree along a random vector.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp.autograd.test_util import check_equivalent
    >>> check_equivalent({"w": np.ones(2)}, {"w": np.ones(2) + 1e-12})
    """
    space = vspace(x)
    _check_space(y, space)
    v = space.randn()
    if not scalar_close(space.inner_prod(x, v), space.inner_prod(y, v)):
        raise AssertionError(f"Value mismatch:\nx: {x}\ny: {y}")


def _check_space(x: Any, space: Any) -> None:
    if vspace(x) != space:
        raise AssertionError(f"VSpace mismatch:\nx: {vspace(x)}\ny: {space}")


@unary_to_nary
def check_grads(
    f: Callable[[Any], Any], x: Any, modes: Sequence[str] = ("fwd", "rev"), order: int = 2
) -> None:
    """Check a function's derivatives, and theirs, up to an order.

    Examples
    --------
    >>> import fastbp.autograd.numpy as np
    >>> from fastbp.autograd.test_util import check_grads
    >>> check_grads(np.logaddexp, (0, 1), order=2)(np.ones(2), np.zeros(2))
    """
    if not set(modes) <= {"fwd", "rev"}:
        raise AssertionError(f"check_grads: modes must be 'fwd' and 'rev', not {modes}")
    for mode in modes:
        (check_jvp if mode == "fwd" else check_vjp)(f, x)
        if order == 1:
            continue
        if mode == "fwd":
            v = vspace(x).randn()

            def derivative(x: Any, v: Any) -> Any:
                return make_jvp(f, x)(v)[1]

        else:
            v = vspace(f(x)).randn()

            def derivative(x: Any, v: Any) -> Any:
                return make_vjp(f, x)[0](v)

        derivative.__name__ = f"{'jvp' if mode == 'fwd' else 'vjp'}_{get_name(f)}"
        check_grads(derivative, (0, 1), modes, order=order - 1)(x, v)


def combo_check(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., None]:
    """Return a function that takes choices for each argument, and checks `fun` at all of them.

    Examples
    --------
    >>> import fastbp.autograd.numpy as np
    >>> from fastbp.autograd.test_util import combo_check
    >>> combo_check(np.sum, modes=["rev"], order=1)([np.ones((2, 3))], axis=[None, 0, 1])
    """
    check = check_grads(fun, *args, **kwargs)

    def checked(*args: Any, **kwargs: Any) -> None:
        for given in itertools.product(*args):
            for values in itertools.product(*kwargs.values()):
                check(*given, **dict(zip(kwargs, values, strict=True)))

    return checked
