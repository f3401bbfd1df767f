"""Operators on functions of one argument, made operators on functions of any: `unary_to_nary`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from fastbp.derived import derived

__all__ = ["get_doc", "get_name", "unary_to_nary", "wrap_nary_f", "wraps"]

_F = TypeVar("_F")


def unary_to_nary(unary_operator: Callable[..., Any]) -> Callable[..., Any]:
    """Turn ``op(f, x)`` into ``op(f, argnum=0)(*args)``, which acts on some positional arguments.

    Examples
    --------
    >>> import fastbp.autograd.numpy as np
    >>> from fastbp.autograd import deriv
    >>> @unary_to_nary
    ... def slope_and_value(f, x):
    ...     return deriv(f)(x), f(x)
    >>> slope_and_value(lambda a, b: a * b**2, 1)(5.0, 3.0)
    (np.float64(30.0), 45.0)
    """

    @wraps(unary_operator)
    def nary_operator(fun: Any, argnum: Any = 0, *op_args: Any, **op_kwargs: Any) -> Any:
        argnum = checked_argnum(argnum)

        @made_by(nary_operator, fun, argnum, *op_args, **op_kwargs)
        @wrap_nary_f(fun, unary_operator, argnum)
        def nary_f(*args: Any, **kwargs: Any) -> Any:
            @wraps(fun)
            def unary_f(x: Any) -> Any:
                call = list(args)
                for i, value in [(argnum, x)] if isinstance(argnum, int) else zip(argnum, x):  # noqa: B905
                    call[i] = value
                return fun(*call, **kwargs)

            x = args[argnum] if isinstance(argnum, int) else tuple(args[i] for i in argnum)
            return unary_operator(unary_f, x, *op_args, **op_kwargs)

        return nary_f

    found_as(nary_operator, unary_operator)
    return nary_operator


def made_by(
    op: Callable[..., Any], fun: Any, *args: Any, **options: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate what ``op(fun, *args, **options)`` returns: it pickles as that call."""

    def decorate(f: Callable[..., Any]) -> Callable[..., Any]:
        g = functools.update_wrapper(derived(f, (), op, fun, *args, **options), f)
        g.__wrapped__ = fun
        return g

    return decorate


def found_as(f: Any, stands_for: Any) -> None:
    """Let pickle look for a function where the one is that it takes the place of."""
    for name in ("__module__", "__qualname__"):
        setattr(f, name, getattr(stands_for, name, None) or getattr(f, name))


def checked_argnum(argnum: Any) -> Any:
    """Return which arguments are meant: an integer, or a tuple or list of them."""
    if type(argnum) not in (int, tuple, list):
        raise AssertionError(f"argnum must be an int, a tuple or a list, not {argnum!r}")
    return argnum


def wraps(
    fun: Any, namestr: str = "{fun}", docstr: str = "{doc}", **kwargs: Any
) -> Callable[[_F], _F]:
    """Give a function the name and the docstring of `fun`, put into `namestr` and `docstr`."""

    def decorate(f: _F) -> _F:
        try:
            f.__name__ = namestr.format(fun=get_name(fun), **kwargs)  # type: ignore[attr-defined]
            f.__doc__ = docstr.format(fun=get_name(fun), doc=get_doc(fun), **kwargs)
        except Exception:  # what has no name of its own to set
            pass
        return f

    return decorate


def wrap_nary_f(fun: Any, op: Any, argnum: Any) -> Callable[[_F], _F]:
    """Name the result of an operator: ``grad_of_loss_wrt_argnum_0``."""
    return wraps(
        fun,
        "{op}_of_{fun}_wrt_argnum_{argnum}",
        "The {op} of {fun} with respect to argument {argnum}, as a function of the same arguments.",
        op=get_name(op),
        argnum=argnum,
    )


def get_name(f: Any) -> Any:
    """Return the name of a function, or that it has none."""
    return getattr(f, "__name__", "[unknown name]")


def get_doc(f: Any) -> Any:
    """Return the docstring of a function."""
    return getattr(f, "__doc__", "")
