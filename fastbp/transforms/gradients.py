"""Functions that compute gradients, made from functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp import arguments
from fastbp import unconnected as loss
from fastbp._core import calls
from fastbp.derived import derived, named
from fastbp.elsewhere import spelled
from fastbp.transforms.scalars import (
    elementwise_derivative,
    gradient_and_aux,
    holomorphic_gradient,
    holomorphic_value,
)

__all__ = ["elementwise_grad", "grad", "gradient_for", "value_and_grad", "value_and_gradient_for"]


@spelled
def value_and_grad(
    f: Callable[..., Any],
    argnums: Any = 0,
    has_aux: bool = False,
    *,
    holomorphic: bool = False,
    unconnected: str = "warn",
) -> Callable[..., Any]:
    """Return a function that computes the value of `f` and its gradient.

    Parameters
    ----------
    f : callable
        Returns a scalar; with `has_aux`, a pair (scalar, anything).
    argnums : int or sequence of int
        Arguments to differentiate: arrays and numbers, or nested containers of them. Whole numbers
        count as float64. In a container beside floats, whole numbers, booleans, strings and other
        objects are settings, which `f` gets as they are.
    has_aux : bool
        Whether `f` returns auxiliary data beside the scalar.
    holomorphic : bool
        Whether `f` is a complex function of complex arguments with a complex derivative, which the
        gradient is then. By default `f` returns a real number, and the gradient by z = x + iy is
        ``dL/dx - i dL/dy``: a step downhill goes along its negative conjugate.
    unconnected : {"warn", "zero", "none", "raise"}
        What there is for an argument that the scalar does not depend on: zeros with an
        `UnconnectedWarning` or without, None, or an `UnconnectedError`.

    Returns
    -------
    callable
        Takes the arguments of `f` and returns ``(value, gradient)``, or ``((value, aux),
        gradient)``. The gradient has the structure of the argument, with None for settings; for
        several `argnums` it is a tuple.

    Raises
    ------
    ShapeError
        (from the returned function) If `f` does not return a scalar.
    TypeError
        If `f` is no function, or `argnums` are no integers.
    DTypeError
        (from the returned function) If an argument is not of numbers; if the scalar is complex
        without `holomorphic`; with it, if an argument or the scalar is real or `f` is not
        holomorphic.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> loss = lambda p, x: np.sum((x @ p["w"] + p["b"]) ** 2)
    >>> params = {"w": np.ones((2, 1)), "b": np.zeros(1)}
    >>> value, grads = bp.value_and_grad(loss)(params, np.ones((3, 2)))
    >>> float(value), grads["b"]
    (12.0, array([12.]))
    """
    bound, given = _bound("value_and_grad", f, argnums, has_aux, unconnected)
    call = holomorphic_value if _flag("value_and_grad", holomorphic) else calls.value_and_gradient
    options = {"holomorphic": holomorphic, "unconnected": unconnected}
    g = derived(call, bound, value_and_grad, *given, **options)
    return named(g, "value_and_grad", f)


@spelled
def grad(
    f: Callable[..., Any],
    argnums: Any = 0,
    has_aux: bool = False,
    *,
    holomorphic: bool = False,
    unconnected: str = "warn",
) -> Callable[..., Any]:
    """Return a function that computes the gradient of `f`.

    Parameters
    ----------
    f : callable
        Returns a scalar; with `has_aux`, a pair (scalar, anything).
    argnums : int or sequence of int
        Positional arguments to differentiate: arrays, floats, or nested containers of them, as for
        `value_and_grad`. All others are constants, and may be anything.
    has_aux : bool
        Whether `f` returns auxiliary data beside the scalar.
    holomorphic : bool
        Whether `f` is a complex function with a complex derivative, as for `value_and_grad`.
    unconnected : {"warn", "zero", "raise", "none"}
        What to do for an argument that the result does not depend on, as for `value_and_grad`.

    Returns
    -------
    callable
        Takes the arguments of `f` and returns the gradient, or ``(gradient, aux)``. The gradient
        has the structure and shapes of the argument; for several `argnums` it is a tuple.

    Raises
    ------
    ShapeError, DTypeError, NoRuleError
        (from the returned function) If `f` does not return a scalar, if an argument is not of
        floats, if `f` hands a recorded value to a function that has no rule; the message says what
        to write instead.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> bp.grad(lambda x: np.sum(x**3))(np.array([1.0, 2.0]))
    array([ 3., 12.])
    >>> bp.grad(bp.grad(lambda x: x**3))(2.0)
    np.float64(12.0)
    >>> bp.grad(lambda p: np.sum(p["w"] ** p["n"]))({"w": np.array([1.0, 2.0]), "n": 2})
    {'w': array([2., 4.]), 'n': None}
    """
    bound, given = _bound("grad", f, argnums, has_aux, unconnected)
    if _flag("grad", holomorphic):
        call = holomorphic_gradient
    else:
        call = gradient_and_aux if has_aux else calls.gradient
    options = {"holomorphic": holomorphic, "unconnected": unconnected}
    return named(derived(call, bound, grad, *given, **options), "grad", f)


def gradient_for(
    name: str, f: Callable[..., Any], argnums: Any = 0, unconnected: str = "warn"
) -> Callable[..., Any]:
    """Return the gradient of `f` as a part of another transform, which errors name."""
    bound, (f, argnums, _) = _bound(name, f, argnums, False, unconnected)
    g = derived(calls.gradient, bound, gradient_for, name, f, argnums, unconnected)
    return named(g, "grad", f)


def value_and_gradient_for(name: str, f: Callable[..., Any]) -> Callable[..., Any]:
    """Return the value and gradient of `f` as a part of another function, which errors name."""
    checked, (f, argnums, has_aux) = _bound(name, f, 0, False, "warn")
    options = {"holomorphic": False, "unconnected": "warn"}
    bound = (*checked[:-1], loss.ONLY_WARN)
    g = derived(calls.value_and_gradient, bound, value_and_grad, f, argnums, has_aux, **options)
    return named(g, "value_and_grad", f)


@spelled
def elementwise_grad(
    f: Callable[..., Any], argnums: Any = 0, *, unconnected: str = "warn"
) -> Callable[..., Any]:
    """Return a function that computes the derivative of an elementwise function at every element.

    It sums the columns of the Jacobian; if each output element depends on one input element only,
    that is the derivative.

    Parameters
    ----------
    f : callable
        Returns an array of any shape.
    argnums : int or sequence of int
        Positional arguments to differentiate.
    unconnected
        As for `grad`.

    Returns
    -------
    callable
        Takes the arguments of `f` and returns an array of the shape of the differentiated argument.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> bp.elementwise_grad(np.sin)(np.zeros(3))
    array([1., 1., 1.])
    """
    bound, given = _bound("elementwise_grad", f, argnums, False, unconnected)
    options = {"unconnected": unconnected}
    g = derived(elementwise_derivative, bound, elementwise_grad, *given[:2], **options)
    return named(g, "elementwise_grad", f)


def _bound(
    name: str, f: Callable[..., Any], argnums: Any, has_aux: Any, option: str
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Check what a gradient is made from; return it for the call, and for a maker."""
    arguments.check_function(name, f)
    argnums = arguments.check_argnums(name, argnums)
    if not isinstance(has_aux, (bool, np.bool_)):
        raise TypeError(f"{name}: has_aux must be True or False, not a {type(has_aux).__name__}")
    loss.check_option(name, option)
    return (name, f, argnums, has_aux, type(argnums) is int, option), (f, argnums, has_aux)


def _flag(name: str, holomorphic: Any) -> bool:
    if not isinstance(holomorphic, (bool, np.bool_)):
        kind = type(holomorphic).__name__
        raise TypeError(f"{name}: holomorphic must be True or False, not a {kind}")
    return bool(holomorphic)
