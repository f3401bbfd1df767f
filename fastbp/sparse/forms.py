"""The forms that SciPy's solvers take derivatives in; its implicit methods with less fill-in."""

from __future__ import annotations

import functools
import importlib
import operator
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from fastbp._core.operands import as_numbers
from fastbp.derived import derived
from fastbp.errors import ShapeError
from fastbp.sparse.jacobians import hessian
from fastbp.transforms import grad, linearize, vjp

IMPLICIT = ("BDF", "Radau")  # the implicit methods that factorise sparse matrices

# ---- solvers of SciPy's with another ordering of the unknowns


@functools.cache
def less_fill(name: str) -> Any:
    """Return an implicit method of SciPy's that orders symmetric patterns by minimum degree."""
    solver = getattr(importlib.import_module("scipy.integrate"), name)

    class Solver(solver):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            if sparse.issparse(self.J):
                self._ordering = "MMD_AT_PLUS_A" if _symmetric(self.J) else "COLAMD"
                self.lu = self._factorize

        def _factorize(self, matrix: Any) -> Any:
            self.nlu += 1
            return _linalg().splu(matrix, permc_spec=self._ordering)

    Solver.__name__ = Solver.__qualname__ = solver.__name__
    Solver.__doc__ = f"{solver.__name__} of SciPy, with less fill-in for symmetric patterns."
    return Solver


def __getattr__(name: str) -> Any:  # where pickle looks for them
    if name in IMPLICIT:
        return less_fill(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _symmetric(matrix: Any) -> bool:
    """Say whether the pattern is symmetric, but for elements that happen to be zero."""
    parts = np.ones(matrix.nnz, np.int8), matrix.indices, matrix.indptr
    there = sparse.csc_array(parts, shape=matrix.shape)
    return bool(abs(there - there.T).nnz <= 0.1 * there.nnz)


# ---- derivatives in other forms


def dense(derivative: Callable[..., Any]) -> Callable[..., Any]:
    """Return a sparse derivative as an array."""
    return derived(_dense, (derivative,), dense, derivative)


def _dense(derivative: Callable[..., Any], /, *args: Any) -> Any:
    return derivative(*args).toarray()


def _linalg() -> Any:
    return importlib.import_module("scipy.sparse.linalg")  # costs more than this package


def point(name: str, x: Any) -> np.ndarray:
    """Return a point as an array of floats."""
    return as_numbers(x, f"{name}: the point", real=True).astype(float)


def banded(jac: Callable[..., Any], lower: int, upper: int) -> Callable[..., Any]:
    """Return the diagonals of a Jacobian as the rows of an array, as LSODA takes them."""
    return derived(_banded, (jac, lower, upper), banded, jac, lower, upper)


def _banded(jac: Callable[..., Any], lower: int, upper: int, /, *args: Any) -> np.ndarray:
    entries = jac(*args).tocoo()
    below = entries.row.astype(np.int64) - entries.col
    if below.size and not -upper <= below.min() <= below.max() <= lower:
        raise ValueError("for_solve_ivp: the Jacobian left the band that it has at t0, y0")
    result = np.zeros((lower + upper + 1, entries.shape[1]))
    result[below + upper, entries.col] = entries.data
    return result


def for_residuals(
    f: Callable[..., Any], derive: Callable[..., Callable[..., Any]]
) -> Callable[..., Any]:
    """Return a Jacobian for `least_squares`; keyword arguments of `f` are constants, too.

    One of a single column is an array: SciPy's trust region in two dimensions does not go with
    one unknown, and is what it takes for other forms.
    """
    return derived(_for_residuals, (f, derive, [{}, derive(f)]), for_residuals, f, derive)


def _for_residuals(
    f: Callable[..., Any],
    derive: Callable[..., Callable[..., Any]],
    kept: list[Any],
    x: Any,
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    given, found = kept
    if kwargs.keys() != given.keys() or any(kwargs[k] is not given[k] for k in kwargs):
        found = derive(functools.partial(f, **kwargs))
        kept[:] = kwargs, found
    jac = found(x, *args)
    return jac @ np.eye(1) if jac.shape[1] == 1 else jac


def _at(f: Callable[..., Any], args: tuple[Any, ...]) -> Callable[..., Any]:
    return (lambda x: f(x, *args)) if args else f


def jacobian_operator(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return products with the Jacobian and its transpose, from one record of each at a point."""
    return derived(_jacobian_operator, (f,), jacobian_operator, f)


def _jacobian_operator(f: Callable[..., Any], x: Any, /, *args: Any) -> Any:
    g = _at(f, args)
    y, push = linearize(g, x)
    _, pull = vjp(g, x, unconnected="zero")  # it has been said
    return _linalg().LinearOperator(
        (y.size, x.size),
        matvec=functools.partial(_product, push, x.shape, x.dtype),
        rmatvec=functools.partial(_product, functools.partial(_first, pull), y.shape, y.dtype),
        dtype=x.dtype,
    )


def _product(multiply: Callable[..., Any], shape: tuple[int, ...], dtype: Any, v: Any) -> Any:
    return multiply(np.reshape(v, shape).astype(dtype, copy=False))


def _first(pull: Callable[..., Any], u: Any) -> Any:
    return pull(u)[0]


def hessian_operator(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return products with the Hessian as a `LinearOperator`."""
    return derived(_hessian_operator, (f,), hessian_operator, f)


def _hessian_operator(f: Callable[..., Any], x: Any, /, *args: Any) -> Any:
    product = matrix_free_product(f, x, args)
    return _linalg().LinearOperator(
        (x.size, x.size), matvec=product, rmatvec=product, dtype=x.dtype
    )


def matrix_free_product(f: Callable[..., Any], x: Any, args: tuple[Any, ...]) -> Callable[..., Any]:
    """Return the product of the Hessian at one point with vectors, without the matrix."""
    push = linearize(grad(_at(f, args)), x)[1]
    return functools.partial(_product, push, x.shape, x.dtype)


def sparse_product(f: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    """Return what `at_each_point` takes: products with the sparse Hessian at one point."""
    return functools.partial(_sparse_product, hessian(f, **options))


def _sparse_product(
    h: Callable[..., Any], f: Callable[..., Any], x: Any, args: tuple[Any, ...]
) -> Any:
    return h(x, *args).dot


def at_each_point(f: Callable[..., Any], product: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``hessp(x, v, *args)``, which keeps what belongs to a point for all vectors there."""
    return derived(_at_each_point, (f, product, [None, (), None]), at_each_point, f, product)


def _at_each_point(
    f: Callable[..., Any],
    product: Callable[..., Any],
    kept: list[Any],
    x: Any,
    v: Any,
    /,
    *args: Any,
) -> Any:
    point, others, multiply = kept
    same = len(args) == len(others) and all(map(operator.is_, args, others))
    if multiply is None or not same or not np.array_equal(x, point):
        x = np.array(x)
        multiply = product(f, x, args)
        kept[:] = x, args, multiply
    return multiply(v)


class InverseJacobian:
    """The preconditioner of `scipy.optimize.root`: solves with the Jacobian at the present point.

    SciPy calls `setup` and `update` with that point, and `matvec`. Where the Jacobian is singular
    it is the identity: the step is that of the plain Krylov method.
    """

    dtype = np.dtype(float)

    def __init__(
        self, jac: Callable[..., Any], args: tuple[Any, ...], shape: tuple[int, ...] | None
    ) -> None:
        self._jac, self._args, self._shape = jac, args, shape
        self._lu: Any = None
        self.shape = (0, 0)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_lu": None}  # SuperLU's object cannot be copied

    def setup(self, x: Any, f: Any, _function: Any) -> None:
        """Begin at a point."""
        self.update(x, f)

    def update(self, x: Any, f: Any) -> None:
        """Factorise at the next point."""
        x = np.asarray(x)
        x = x if self._shape is None else x.reshape(self._shape)
        matrix = self._jac(x, *self._args)
        self.shape = matrix.shape
        if matrix.shape[0] != matrix.shape[1]:
            raise ShapeError(f"for_root: the Jacobian has shape {matrix.shape}; it must be square")
        try:
            self._lu = _linalg().splu(matrix)
        except RuntimeError as error:
            self._lu = None
            if np.any(f):  # else there is no step to make
                warnings.warn(
                    f"for_root: the Jacobian of shape {matrix.shape} is singular at a point "
                    f"({error}); the step from there has no preconditioner. If SciPy fails, begin "
                    "at another point",
                    RuntimeWarning,
                    stacklevel=2,
                )

    def matvec(self, v: Any) -> Any:
        """Solve with the Jacobian."""
        return v if self._lu is None else self._lu.solve(np.ravel(v))
