"""autograd's operators: functions of functions, over the transforms of `fastbp`."""

from __future__ import annotations

import inspect
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

import fastbp.numpy as bnp
from fastbp import arguments, checkpointing, jacobians, transforms
from fastbp._core import calls
from fastbp._core.graph import array_of
from fastbp.autograd import core
from fastbp.autograd.vspaces import vspace
from fastbp.autograd.wrap_util import checked_argnum, unary_to_nary, wrap_nary_f
from fastbp.errors import NoRuleError, ShapeError

__all__ = [
    "checkpoint",
    "deriv",
    "elementwise_grad",
    "grad",
    "grad_and_aux",
    "grad_named",
    "hessian",
    "hessian_tensor_product",
    "hessian_vector_product",
    "holomorphic_grad",
    "jacobian",
    "make_ggnvp",
    "make_hvp",
    "make_jvp",
    "make_jvp_reversemode",
    "make_vjp",
    "multigrad_dict",
    "tensor_jacobian_product",
    "value_and_grad",
    "vector_jacobian_product",
]


@unary_to_nary
def make_vjp(fun: Callable[..., Any], x: Any) -> Any:
    """Return a function of a cotangent of the value, and the value itself.

    Examples
    --------
    >>> from fastbp.autograd import make_vjp
    >>> pull, value = make_vjp(lambda x: x**2)(3.0)
    >>> value, pull(1.0)
    (np.float64(9.0), np.float64(6.0))
    """
    return core.make_vjp(fun, x)


@unary_to_nary
def make_jvp(fun: Callable[..., Any], x: Any) -> Any:
    """Return a function of a tangent, which returns the value and its tangent.

    Examples
    --------
    >>> from fastbp.autograd import make_jvp
    >>> make_jvp(lambda x: x**2)(3.0)(1.0)
    (np.float64(9.0), np.float64(6.0))
    """
    return core.make_jvp(fun, x)


class NotScalarError(ShapeError, TypeError):
    """The function that `grad` is of returned no scalar; autograd raises a TypeError there."""


def _gradient(call: Callable[..., Any], op: Any, fun: Any, argnum: Any, aux: bool = False) -> Any:
    """Return what differentiates a scalar function; `call` is one of the core's."""
    argnum = checked_argnum(argnum)
    name = f"autograd.{op.__name__}"
    arguments.check_function(name, fun)
    argnums = arguments.check_argnums(name, argnum)
    single = type(argnums) is int

    @wrap_nary_f(fun, op, argnum)
    def nary_f(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(name, fun, argnums, aux, single, "warn", *args, **kwargs)
        except ShapeError as error:
            if not str(error).startswith(f"{name}: the function must return a scalar"):
                raise
            raise NotScalarError(
                f"{op.__name__.capitalize()} only applies to real scalar-output functions. Try "
                f"jacobian, elementwise_grad or holomorphic_grad. ({error})"
            ) from None

    return nary_f


def grad(fun: Callable[..., Any], argnum: Any = 0) -> Callable[..., Any]:
    """Return a function that computes the gradient of a scalar function.

    Parameters
    ----------
    fun : callable
    argnum : int, or tuple or list of int
        Positional arguments: arrays, numbers, containers of them. Of several the gradient is a
        tuple.

    Examples
    --------
    >>> import fastbp.autograd.numpy as np
    >>> grad(lambda x: np.sum(x**3))(np.array([1.0, 2.0]))
    array([ 3., 12.])
    """
    return _gradient(calls.gradient, grad, fun, argnum)  # type: ignore[no-any-return]


def value_and_grad(fun: Callable[..., Any], argnum: Any = 0) -> Callable[..., Any]:
    """Return a function that computes the value and the gradient of a scalar function.

    Examples
    --------
    >>> import fastbp.autograd.numpy as np
    >>> from fastbp.autograd import value_and_grad
    >>> value_and_grad(lambda x: np.sum(x**3))(np.array([1.0, 2.0]))
    (np.float64(9.0), array([ 3., 12.]))
    """
    return _gradient(calls.value_and_gradient, value_and_grad, fun, argnum)  # type: ignore[no-any-return]


def grad_and_aux(fun: Callable[..., Any], argnum: Any = 0) -> Callable[..., Any]:
    """Return the gradient of the first output, and the second output as it is.

    Examples
    --------
    >>> import fastbp.autograd.numpy as np
    >>> from fastbp.autograd import grad_and_aux
    >>> def loss(w, x, y):
    ...     guess = x @ w
    ...     return np.sum((guess - y) ** 2), guess
    >>> grad_and_aux(loss)(np.array([1.0, 2.0]), np.eye(2), np.zeros(2))
    (array([2., 4.]), array([1., 2.]))
    """

    def swapped(*args: Any, **kwargs: Any) -> Any:
        (_, aux), gradient = calls.value_and_gradient(*args, **kwargs)
        return gradient, aux

    def pair(*args: Any, **kwargs: Any) -> Any:
        return tuple(fun(*args, **kwargs))

    return _gradient(swapped, grad_and_aux, pair, argnum, True)  # type: ignore[no-any-return]


def grad_named(fun: Callable[..., Any], argname: str) -> Callable[..., Any]:
    """Return the gradient by the argument of a name.

    Examples
    --------
    >>> from fastbp.autograd import grad_named
    >>> grad_named(lambda x, scale: scale * x**2, "scale")(3.0, 10.0)
    np.float64(9.0)
    """
    return grad(fun, list(inspect.signature(fun).parameters).index(argname))


def multigrad_dict(fun: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that computes the gradients by all arguments, in a dict by their names.

    Those of ``*args`` are a tuple, of ``**kwargs`` a dict; of what is no number, None.

    Examples
    --------
    >>> from fastbp.autograd import multigrad_dict
    >>> found = multigrad_dict(lambda x, y=2.0: x * y**2)(3.0)
    >>> found["x"], found["y"]
    (np.float64(4.0), np.float64(12.0))
    """
    signature = inspect.signature(fun)

    def called(arguments: dict[str, Any]) -> Any:
        bound = inspect.BoundArguments(signature, OrderedDict(arguments))
        return fun(*bound.args, **bound.kwargs)

    gradient = grad(called)

    def gradfun(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return OrderedDict(gradient(dict(bound.arguments)))

    return gradfun


@unary_to_nary
def elementwise_grad(fun: Callable[..., Any], x: Any) -> Any:
    """Return the sums of the columns of the Jacobian: its diagonal, where it is diagonal.

    Examples
    --------
    >>> import fastbp.autograd.numpy as np
    >>> from fastbp.autograd import elementwise_grad
    >>> elementwise_grad(np.square)(np.array([1.0, 2.0, 3.0]))
    array([2., 4., 6.])
    """
    pull, value = core.make_vjp(fun, x)
    if vspace(value).iscomplex:
        raise TypeError("Elementwise_grad only applies to real-output functions.")
    return pull(vspace(value).ones())


@unary_to_nary
def deriv(fun: Callable[..., Any], x: Any) -> Any:
    """Return the derivative along ones: of a function of a number, its derivative.

    Examples
    --------
    >>> from fastbp.autograd import deriv
    >>> deriv(deriv(lambda x: x**3))(2.0)
    np.float64(12.0)
    """
    return core.make_jvp(fun, x)(vspace(x).ones())[1]


def jacobian(fun: Callable[..., Any], argnum: Any = 0) -> Callable[..., Any]:
    """Return a function that computes the Jacobian, of shape ``out.shape + in.shape``.

    Of several arguments it is a tuple; of containers as `fastbp.jacobian` returns it.

    Examples
    --------
    >>> import fastbp.autograd.numpy as np
    >>> from fastbp.autograd import jacobian
    >>> jacobian(lambda x: np.cumsum(x**2))(np.array([1.0, 2.0]))
    array([[2., 0.],
           [2., 4.]])
    """
    argnum = checked_argnum(argnum)
    call = jacobians.jacobian(fun, argnum, "reverse")  # by VJPs, which are what programs state

    @wrap_nary_f(fun, jacobian, argnum)
    def nary_f(*args: Any, **kwargs: Any) -> Any:
        return call(*args, **kwargs)

    return nary_f


def hessian(fun: Callable[..., Any], argnum: Any = 0) -> Callable[..., Any]:
    """Return a function that computes the second derivatives: ``out.shape + 2 * in.shape``.

    Examples
    --------
    >>> import fastbp.autograd.numpy as np
    >>> from fastbp.autograd import hessian
    >>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 3.0]))
    array([[6., 2.],
           [2., 0.]])
    """
    argnum = checked_argnum(argnum)
    inner = jacobians.jacobian(fun, argnum, "reverse")
    call = jacobians.jacobian(inner, argnum, "forward")
    by_vjps = jacobians.jacobian(inner, argnum, "reverse")

    @wrap_nary_f(fun, hessian, argnum)
    def nary_f(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except NoRuleError:  # a program's VJP from which no tangents follow
            return by_vjps(*args, **kwargs)

    return nary_f


def holomorphic_grad(fun: Callable[..., Any], argnum: Any = 0) -> Callable[..., Any]:
    """Return the derivative of a holomorphic function; it is an error if the function is not.

    Examples
    --------
    >>> from fastbp.autograd import holomorphic_grad
    >>> holomorphic_grad(lambda z: z**2)(1.0 + 2.0j)
    np.complex128(2+4j)
    """
    argnum = checked_argnum(argnum)
    of_complex = transforms.grad(fun, argnum, holomorphic=True)
    of_real = grad(lambda *args, **kwargs: bnp.real(fun(*args, **kwargs)), argnum)

    @wrap_nary_f(fun, holomorphic_grad, argnum)
    def nary_f(*args: Any, **kwargs: Any) -> Any:
        x = args[argnum] if isinstance(argnum, int) else tuple(args[i] for i in argnum)
        if isinstance(argnum, int) and not np.iscomplexobj(array_of(x)):
            warnings.warn("Input to holomorphic_grad is not complex", stacklevel=2)
            return of_real(*args, **kwargs)
        return of_complex(*args, **kwargs)

    return nary_f


@unary_to_nary
def make_hvp(fun: Callable[..., Any], x: Any) -> Any:
    """Return a function that multiplies the Hessian with a vector, and the gradient.

    Examples
    --------
    >>> import fastbp.autograd.numpy as np
    >>> from fastbp.autograd import make_hvp
    >>> product, gradient = make_hvp(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 3.0]))
    >>> gradient
    array([6., 1.])
    >>> product(np.array([1.0, 0.0]))
    array([6., 2.])
    """
    return core.make_vjp(grad(fun), x)


def hessian_tensor_product(fun: Callable[..., Any], argnum: int = 0) -> Callable[..., Any]:
    """Return a function of ``(*args, tensor)``: the product of the Hessian with the tensor.

    Examples
    --------
    >>> import fastbp.autograd.numpy as np
    >>> from fastbp.autograd import hessian_tensor_product
    >>> product = hessian_tensor_product(lambda x: x[0] ** 2 * x[1])
    >>> product(np.array([1.0, 3.0]), np.array([1.0, 0.0]))
    array([6., 2.])
    """
    gradient = grad(fun, argnum)

    def product(*args: Any, **kwargs: Any) -> Any:
        args, vector = args[:-1], args[-1]

        def of_argument(x: Any) -> Any:
            return gradient(*args[:argnum], x, *args[argnum + 1 :], **kwargs)

        return core.make_jvp(of_argument, args[argnum])(vector)[1]

    return product


hessian_vector_product = hessian_tensor_product


def tensor_jacobian_product(fun: Callable[..., Any], argnum: int = 0) -> Callable[..., Any]:
    """Return a function of ``(*args, tensor)``: the product of the tensor with the Jacobian.

    Examples
    --------
    >>> import fastbp.autograd.numpy as np
    >>> from fastbp.autograd import tensor_jacobian_product
    >>> product = tensor_jacobian_product(lambda x: x**2)
    >>> product(np.array([1.0, 3.0]), np.array([1.0, 10.0]))
    array([ 2., 60.])
    """

    def contracted(*args: Any, **kwargs: Any) -> Any:
        args, vector = args[:-1], args[-1]
        return bnp.tensordot(vector, fun(*args, **kwargs), axes=np.ndim(vector))

    return jacobian(contracted, argnum)


vector_jacobian_product = tensor_jacobian_product


@unary_to_nary
def make_jvp_reversemode(fun: Callable[..., Any], x: Any) -> Any:
    """Return a function of a tangent: the tangent of the value, from the record of one run."""
    return transforms.linearize_for("autograd.make_jvp_reversemode", fun, (x,), True, "warn")[1]


def _half_of_squares(x: Any) -> Any:
    return bnp.sum(x**2, axis=-1) / 2.0


def make_ggnvp(
    f: Callable[..., Any], g: Callable[..., Any] = _half_of_squares, f_argnum: Any = 0
) -> Callable[..., Any]:
    """Return a function that multiplies the generalized Gauss-Newton matrix of ``g(f(x))``.

    That is ``J.T @ H @ J`` with the Jacobian J of `f` and the Hessian H of `g`, at the arguments.

    Examples
    --------
    >>> import fastbp.autograd.numpy as np
    >>> from fastbp.autograd import make_ggnvp
    >>> A = np.array([[1.0, 2.0], [0.0, 1.0]])
    >>> product = make_ggnvp(lambda x: A @ x)(np.ones(2))
    >>> product(np.array([1.0, 0.0]))
    array([1., 2.])
    >>> A.T @ A
    array([[1., 2.],
           [2., 5.]])
    """

    @unary_to_nary
    def at(f: Callable[..., Any], x: Any) -> Callable[[Any], Any]:
        f_vjp, y = core.make_vjp(f, x)
        f_jvp = make_jvp_reversemode(f)(x)
        g_hvp, _ = core.make_vjp(grad(g), y)
        return lambda v: f_vjp(g_hvp(f_jvp(v)))

    return at(f, f_argnum)  # type: ignore[no-any-return]


def checkpoint(fun: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that keeps its arguments only, and runs again for its derivative.

    Examples
    --------
    >>> import fastbp.autograd.numpy as np
    >>> from fastbp.autograd import checkpoint, grad
    >>> f = checkpoint(lambda x: np.sin(x) ** 2)
    >>> bool(grad(f)(0.5) == grad(lambda x: np.sin(x) ** 2)(0.5))
    True
    """
    return checkpointing.checkpoint(fun)
