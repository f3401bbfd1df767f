"""The forms that SciPy's solvers take derivatives in; its implicit methods with less fill-in."""

from __future__ import annotations

import functools
import importlib
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.linalg import LinAlgError
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, splu

from fastbp.errors import ShapeError
from fastbp.sparse.jacobians import hessian
from fastbp.transforms import grad, linearize, vjp

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
            return splu(matrix, permc_spec=self._ordering)

    Solver.__name__ = Solver.__qualname__ = solver.__name__
    Solver.__doc__ = f"{solver.__name__} of SciPy, with less fill-in for symmetric patterns."
    return Solver


def _symmetric(matrix: Any) -> bool:
    """Say whether the pattern is symmetric, but for elements that happen to be zero."""
    parts = np.ones(matrix.nnz, np.int8), matrix.indices, matrix.indptr
    there = sparse.csc_array(parts, shape=matrix.shape)
    return bool(abs(there - there.T).nnz <= 0.1 * there.nnz)


def dense(jac: Callable[..., Any]) -> Callable[..., Any]:
    """Return a sparse derivative as an array."""
    return lambda x, *args: jac(x, *args).toarray()


def banded(jac: Callable[..., Any], lower: int, upper: int) -> Callable[..., Any]:
    """Return the diagonals of a Jacobian as the rows of an array, as LSODA takes them."""

    def packed(t: float, y: Any, *args: Any) -> np.ndarray:
        entries = jac(t, y, *args).tocoo()
        below = entries.row.astype(np.int64) - entries.col
        if below.size and not -upper <= below.min() <= below.max() <= lower:
            raise ValueError("for_solve_ivp: the Jacobian left the band that it has at t0, y0")
        result = np.zeros((lower + upper + 1, entries.shape[1]))
        result[below + upper, entries.col] = entries.data
        return result

    return packed


def with_keywords(
    f: Callable[..., Any], derive: Callable[..., Callable[..., Any]]
) -> Callable[..., Any]:
    """Return a derivative that takes keyword arguments of `f`, which are constants, too."""
    kept: list[Any] = [{}, derive(f)]

    def derivative(x: Any, *args: Any, **kwargs: Any) -> Any:
        given, found = kept
        if kwargs.keys() != given.keys() or any(kwargs[k] is not given[k] for k in kwargs):
            found = derive(functools.partial(f, **kwargs))
            kept[:] = kwargs, found
        return found(x, *args)

    return derivative


def _at(f: Callable[..., Any], args: tuple[Any, ...]) -> Callable[..., Any]:
    return (lambda x: f(x, *args)) if args else f


def jacobian_operator(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return products with the Jacobian and its transpose, from one record of each at a point."""

    def linear_operator(x: Any, *args: Any) -> LinearOperator:
        g = _at(f, args)
        y, push = linearize(g, x)
        _, pull = vjp(g, x)
        return LinearOperator(
            (y.size, x.size),
            matvec=lambda v: push(np.reshape(v, x.shape).astype(x.dtype)),
            rmatvec=lambda u: pull(np.reshape(u, y.shape).astype(y.dtype))[0],
            dtype=x.dtype,
        )

    return linear_operator


def hessian_operator(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return products with the Hessian as a `LinearOperator`."""

    def linear_operator(x: Any, *args: Any) -> LinearOperator:
        product = matrix_free_product(f, x, args)
        return LinearOperator((x.size, x.size), matvec=product, rmatvec=product, dtype=x.dtype)

    return linear_operator


def matrix_free_product(f: Callable[..., Any], x: Any, args: tuple[Any, ...]) -> Callable[..., Any]:
    """Return the product of the Hessian at one point with vectors, without the matrix."""
    push = linearize(grad(_at(f, args)), x)[1]
    return lambda v: push(np.reshape(v, x.shape).astype(x.dtype, copy=False))


def sparse_product(f: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    """Return what `at_each_point` takes: products with the sparse Hessian at one point."""
    h = hessian(f, **options)
    return lambda f, x, args: h(x, *args).dot


def at_each_point(f: Callable[..., Any], product: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``hessp(x, v, *args)``, which keeps what belongs to a point for all vectors there."""
    kept: list[Any] = [None, (), None]

    def hessp(x: Any, v: Any, *args: Any) -> Any:
        point, others, multiply = kept
        same = len(args) == len(others) and all(map(operator.is_, args, others))
        if multiply is None or not same or not np.array_equal(x, point):
            x = np.array(x)
            multiply = product(f, x, args)
            kept[:] = x, args, multiply
        return multiply(v)

    return hessp


class InverseJacobian:
    """The preconditioner of `scipy.optimize.root`: solves with the Jacobian at the present point.

    SciPy calls `setup` and `update` with that point, and `matvec`.
    """

    dtype = np.dtype(float)

    def __init__(
        self, jac: Callable[..., Any], args: tuple[Any, ...], shape: tuple[int, ...] | None
    ) -> None:
        self._jac, self._args, self._shape = jac, args, shape
        self._lu: Any = None
        self.shape = (0, 0)

    def setup(self, x: Any, f: Any, _function: Any) -> None:
        """Begin at a point."""
        self.update(x, f)

    def update(self, x: Any, _f: Any) -> None:
        """Factorise at the next point."""
        x = np.asarray(x)
        x = x if self._shape is None else x.reshape(self._shape)
        matrix = self._jac(x, *self._args)
        self.shape = matrix.shape
        if matrix.shape[0] != matrix.shape[1]:
            raise ShapeError(f"for_root: the Jacobian has shape {matrix.shape}; it must be square")
        try:
            self._lu = splu(matrix)
        except RuntimeError as error:
            raise LinAlgError(
                f"for_root: the Jacobian of shape {matrix.shape} is singular ({error})"
            ) from None

    def matvec(self, v: Any) -> Any:
        """Solve with the Jacobian."""
        return self._lu.solve(np.ravel(v))
