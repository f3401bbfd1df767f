"""Jacobians, gradients and Hessians written by hand, against the exact ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp

from fastbp import arguments, jacobians, sparse
from fastbp._core.operands import as_numbers
from fastbp.errors import ShapeError

__all__ = ["check_jac"]

RTOL = {np.dtype("f8"): 1e-7, np.dtype("f4"): 1e-3}
NEARBY = 1e-3  # how far away the other points are, relative to the size of x (at least 1)
STREAM = 20_100_212
SHOWN = 3  # elements of a wrong Jacobian that are printed


def check_jac(
    f: Callable[..., Any],
    jac: Any,
    x: Any,
    *args: Any,
    symmetric: bool = False,
    points: int = 2,
    rtol: float | None = None,
    seed: int = 0,
) -> None:
    """Compare a Jacobian that was written by hand with the exact one, element by element.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` returns an array, or a number: then `jac` is its gradient.
    jac : callable, array or SciPy sparse matrix
        ``jac(x, *args)``, or its value at `x`: of shape ``f(x).shape + x.shape``, or the matrix of
        shape (f(x).size, x.size).
    x : array of float64 or float32
        The point.
    *args
        Further arguments of `f` and `jac`.
    symmetric : bool
        Whether `f` is a gradient, and `jac` its Hessian: then both must be symmetric.
    points : int
        At how many points near `x`, at random, it is compared too, if `jac` is callable. There
        elements show that are zero at `x` itself; those where the exact Jacobian is not finite are
        left out.
    rtol : float, optional
        Relative to the largest element of a row; by default 1e-7 for float64, 1e-3 for float32.
    seed : int
        Of the points.

    Raises
    ------
    AssertionError
        With the elements that differ, the largest difference first, and the common mistake that
        explains them: a transposed Jacobian, a factor, a missing element of a sparse structure, a
        Hessian with one triangle.
    ShapeError
        If `jac` has another shape.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> f = lambda x: np.array([x[0] * x[1], np.sin(x[0])], like=x)
    >>> jac = lambda x: np.array([[x[1], x[0]], [np.cos(x[0]), 0.0]])
    >>> bp.testing.check_jac(f, jac, np.array([1.0, 2.0]))
    >>> bp.testing.check_jac(f, jac(np.zeros(2)), np.array([1.0, 2.0]))
    Traceback (most recent call last):
        ...
    AssertionError: check_jac: 3 of 4 elements differ:
      [0, 0] is 0.0, exact 2.0
      [0, 1] is 0.0, exact 1.0
      [1, 0] is 1.0, exact 0.5403023058681398
    """
    arguments.check_function("check_jac", f)
    x = as_numbers(x, "check_jac: x", real=True)
    x = x if x.dtype in RTOL else x.astype(float)
    tolerance = RTOL[x.dtype] if rtol is None else rtol
    _check_at(f, jac, x, args, tolerance, symmetric)
    for point in _points(x, points if callable(jac) else 0, seed):
        where = f" at x = {np.array2string(point, threshold=6, precision=17)}"
        with np.errstate(all="ignore"):  # f may end between x and the point
            _check_at(f, jac, point, args, tolerance, symmetric, where)


def _points(x: np.ndarray, count: int, seed: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng([STREAM, seed])
    scale = NEARBY * max(1.0, float(np.max(np.abs(x), initial=0.0)))
    for _ in range(count):
        yield (x + scale * rng.standard_normal(x.shape)).astype(x.dtype)


def _check_at(
    f: Callable[..., Any],
    jac: Any,
    x: np.ndarray,
    args: tuple[Any, ...],
    rtol: float,
    symmetric: bool,
    where: str = "",
) -> None:
    given = jac(x.copy(), *args) if callable(jac) else jac
    size = np.size(f(x.copy(), *args))
    matrix, label = _as_matrix(given, size, x)
    exact = _exact(f, x, args, sp.issparse(matrix), size)
    if where and not _is_finite(exact):
        return
    if symmetric and (size != x.size or not _agree(exact, exact.T, rtol)):
        raise AssertionError(
            f"check_jac: symmetric=True, but f is no gradient: its exact Jacobian{where} "
            "is not symmetric"
        )
    wrong = _differences(matrix, exact, rtol)
    if not wrong.size:
        return
    lines = [
        f"\n  {label(row, column)} is {_at(matrix, row, column)!r}, "
        f"exact {_at(exact, row, column)!r}"
        for row, column in wrong[:SHOWN]
    ]
    more = f"\n  and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    raise AssertionError(
        f"check_jac: {len(wrong)} of {size * x.size} elements differ{where}"
        f"{_mistake(matrix, exact, wrong, rtol)}:{''.join(lines)}{more}"
    )


def _as_matrix(given: Any, size: int, x: np.ndarray) -> tuple[Any, Callable[..., str]]:
    """Return what was given as a matrix, and how its elements are called."""
    if sp.issparse(given):
        matrix = sp.csr_array(given, copy=True)
        matrix.sum_duplicates()
    else:
        matrix = as_numbers(given, "check_jac: jac", real=True)
    shape = matrix.shape
    if shape != (size, x.size) and (sp.issparse(given) or not _fits(shape, size, x)):
        raise ShapeError(
            f"check_jac: jac has shape {shape}; f has {size} outputs and x has shape {x.shape}, "
            f"so needed is {(size, x.size)}"
        )
    if sp.issparse(matrix):
        return matrix, lambda row, column: f"[{row}, {column}]"

    def label(row: int, column: int) -> str:
        index = np.unravel_index(row * x.size + column, shape)
        return f"[{', '.join(map(str, map(int, index)))}]"

    return matrix.reshape(size, x.size), label


def _fits(shape: tuple[int, ...], size: int, x: np.ndarray) -> bool:
    """Say whether a shape is that of a gradient, or that of an output followed by that of x."""
    if size == 1 and shape == (x.size,):
        return True
    front = len(shape) - x.ndim
    return front >= 0 and shape[front:] == x.shape and int(np.prod(shape[:front])) == size


def _exact(f: Callable[..., Any], x: np.ndarray, args: Any, as_sparse: bool, size: int) -> Any:
    if as_sparse:
        return sp.csr_array(sparse.jacobian(f, x, *args, unconnected="zero"))
    found = jacobians.jacobian(f, unconnected="zero")(x, *args)
    return np.asarray(found).reshape(size, x.size)


def _is_finite(matrix: Any) -> bool:
    return bool(np.all(np.isfinite(matrix.data if sp.issparse(matrix) else matrix)))


def _largest_of_rows(matrix: Any) -> np.ndarray:
    size = abs(matrix)
    if sp.issparse(matrix):
        size.data[~np.isfinite(size.data)] = 0.0
        return np.asarray(size.max(axis=1).toarray()).reshape(-1)
    return np.asarray(np.max(size, axis=1, initial=0.0, where=np.isfinite(size)))


def _differences(matrix: Any, exact: Any, rtol: float) -> np.ndarray:
    """Return rows and columns of the elements that differ, the largest difference first."""
    bound = rtol * _largest_of_rows(exact)
    if sp.issparse(matrix):
        found = sp.coo_array(matrix - exact)
        rows, columns, values = found.row, found.col, found.data
    else:
        rows, columns = np.indices(exact.shape).reshape(2, -1)
        same = np.isclose(matrix, exact, rtol=0.0, atol=0.0, equal_nan=True)  # infinities, too
        with np.errstate(invalid="ignore"):
            values = np.where(same, 0.0, matrix - exact).reshape(-1)
    wrong = ~(np.abs(values) <= bound[rows])
    order = np.argsort(-np.abs(values[wrong]), kind="stable")
    return np.stack((rows[wrong][order], columns[wrong][order]), axis=1)


def _agree(a: Any, b: Any, rtol: float) -> bool:
    return a.shape == b.shape and not _differences(a, b, rtol).size


def _at(matrix: Any, row: int, column: int) -> float:
    return float(matrix[int(row), int(column)])


def _mistake(matrix: Any, exact: Any, wrong: np.ndarray, rtol: float) -> str:
    """Return the common mistake that explains the differences, if one does."""
    if exact.shape[0] == exact.shape[1] and _agree(matrix.T, exact, rtol):
        return "; it is the transpose of the exact one"
    row, column = wrong[0]
    below = _at(exact, row, column)
    factor = _at(matrix, row, column) / below if below else 0.0
    if factor and np.isfinite(factor) and _agree(matrix, exact * factor, rtol):
        return f"; it is {factor:.6g} times the exact one"
    if exact.shape[0] == exact.shape[1] and _agree(exact, exact.T, rtol):
        upper, lower = (sp.triu, sp.tril) if sp.issparse(exact) else (np.triu, np.tril)
        for part, name in ((upper, "upper"), (lower, "lower")):
            if _agree(matrix, part(exact), rtol):
                return f"; it is the {name} triangle of the exact one, which is symmetric"
    if sp.issparse(matrix):
        stored = matrix.copy()
        stored.data = np.ones(stored.data.size)
        missing = [(r, c) for r, c in wrong if not stored[int(r), int(c)]]
        if len(missing) == len(wrong):
            return "; its structure lacks all of them"
        if missing:
            return f"; its structure lacks {len(missing)} of them"
    return ""
