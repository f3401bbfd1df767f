"""Derivatives in the form that SciPy's solvers take: keyword arguments for their calls.

Everything is found at the first call of the solver, and SciPy gets arrays of its own: several
of its solvers keep, scale or return what they are given.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy
from scipy import sparse
from scipy.integrate import BDF, Radau
from scipy.sparse.linalg import LinearOperator, splu

import fastbp.numpy as bnp
from fastbp.sparse.jacobians import hessian, jacobian
from fastbp.sparse.patterns import sparsity
from fastbp.transforms import grad, linearize, vjp

__all__ = ["for_least_squares", "for_minimize", "for_root", "for_solve_ivp"]


def for_solve_ivp(
    f: Callable[..., Any],
    t0: float | None = None,
    y0: Any = None,
    *,
    use: str = "sparse",
    method: str | None = None,
    args: tuple[Any, ...] = (),
    **options: Any,
) -> dict[str, Any]:
    """Return arguments for `scipy.integrate.solve_ivp`.

    Parameters
    ----------
    f : callable
        The right-hand side ``f(t, y, *args)``, an array or a list of numbers.
    t0, y0 : float and array_like, optional
        A point; needed for "jac_sparsity" and "banded".
    use : {"sparse", "dense", "banded", "jac_sparsity"}
        "sparse": the exact Jacobian as a sparse matrix, for "BDF" and "Radau". "dense": as an
        array, for "LSODA" too. "banded": its diagonals, for "LSODA" alone (SciPy 1.16).
        "jac_sparsity": its pattern for SciPy's finite differences.
    method : {"BDF", "Radau"}, optional
        Return the method, too: SciPy's own, but where the pattern of the Jacobian is symmetric its
        factors have less fill-in (a minimum degree ordering). For large grids most of the time
        goes there.
    args : tuple
        Further arguments of `f`, for what is done here; the solver takes its own.
    **options
        Of `jacobian`: pattern, coloring, mode.

    Returns
    -------
    dict
        With "jac" (and "lband" and "uband"), or with "jac_sparsity"; and "method" if it was given.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> from scipy.integrate import solve_ivp
    >>> def f(t, y):
    ...     return -50.0 * y + np.roll(y, 1) ** 2
    >>> solution = solve_ivp(
    ...     f, (0.0, 1.0), np.ones(100), method="BDF", **bp.sparse.for_solve_ivp(f)
    ... )
    >>> solution.success
    True
    """
    if method not in (None, *METHODS):
        raise ValueError(f"for_solve_ivp: method {method!r} is not one of {', '.join(METHODS)}")
    found: dict[str, Any] = {} if method is None else {"method": METHODS[method]}
    g = _returning_array(f)
    derivative = jacobian(g, argnums=1, format="csc", **options)

    def jac(t: float, y: Any, *args: Any) -> Any:  # LSODA counts the parameters
        return derivative(t, y, *args)

    def dense(t: float, y: Any, *args: Any) -> Any:
        return derivative(t, y, *args).toarray()

    if use in ("sparse", "dense"):
        return found | {"jac": jac if use == "sparse" else dense}
    if use not in ("banded", "jac_sparsity"):
        raise _unknown("for_solve_ivp", use, "sparse, dense, banded, jac_sparsity")
    if t0 is None or y0 is None:
        raise ValueError(f'for_solve_ivp: use="{use}" needs a point t0, y0')
    pattern = options.get("pattern")
    if pattern is None:
        pattern = sparsity(g, t0, np.asarray(y0, float), *args, argnums=1)
    if use == "jac_sparsity":
        return found | {"jac_sparsity": pattern}
    if np.lib.NumpyVersion(scipy.__version__) < "1.16.0":
        raise NotImplementedError(
            f"for_solve_ivp: SciPy {scipy.__version__} cannot take a banded Jacobian for LSODA, "
            "1.16 can"
        )
    entries = pattern.tocoo()
    below = entries.row.astype(np.int64) - entries.col
    lower, upper = int(below.max(initial=0)), int(-below.min(initial=0))
    return found | {"jac": _banded(jac, lower, upper), "lband": lower, "uband": upper}


def for_least_squares(
    f: Callable[..., Any],
    x0: Any = None,
    *,
    use: str = "sparse",
    args: tuple[Any, ...] = (),
    **options: Any,
) -> dict[str, Any]:
    """Return arguments for `scipy.optimize.least_squares`.

    Parameters
    ----------
    f : callable
        The residuals ``f(x, *args, **kwargs)``: an array of one axis, or a list of numbers.
    x0 : array_like, optional
        A point; needed for "jac_sparsity".
    use : {"sparse", "dense", "operator", "jac_sparsity"}
        "sparse": the exact Jacobian as a sparse matrix, for the methods "trf" and "dogbox".
        "dense": as an array, for "lm" too. "operator": products with it and its transpose, without
        the matrix. "jac_sparsity": its pattern for SciPy's finite differences.
    args : tuple
        Further arguments of `f`, for what is done here; the solver takes its own.
    **options
        Of `jacobian`: pattern, coloring, mode.

    Returns
    -------
    dict
        With "jac" or "jac_sparsity".

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> from scipy.optimize import least_squares
    >>> def f(x):
    ...     return np.concatenate([x[1:] - x[:-1] ** 2, 1.0 - x])
    >>> solution = least_squares(f, np.zeros(50), **bp.sparse.for_least_squares(f))
    >>> bool(np.allclose(solution.x, 1.0))
    True
    """
    g = _returning_array(f)
    if use == "sparse":
        return {"jac": _with_keywords(g, lambda h: jacobian(h, **options))}
    if use == "dense":
        return {"jac": _with_keywords(g, lambda h: _dense(jacobian(h, **options)))}
    if use == "operator":
        return {"jac": _with_keywords(g, _jacobian_operator)}
    if use != "jac_sparsity":
        raise _unknown("for_least_squares", use, "sparse, dense, operator, jac_sparsity")
    if x0 is None:
        raise ValueError('for_least_squares: use="jac_sparsity" needs a point x0')
    return {"jac_sparsity": sparsity(g, np.asarray(x0, float), *args)}


def for_root(
    f: Callable[..., Any],
    x0: Any = None,
    *,
    method: str = "hybr",
    args: tuple[Any, ...] = (),
    **options: Any,
) -> dict[str, Any]:
    """Return arguments for `scipy.optimize.root`.

    Parameters
    ----------
    f : callable
        ``f(x, *args)``, an array of the shape of `x` or a list of numbers.
    x0 : array_like, optional
        A point; needed for "krylov" if it has not one axis.
    method : {"hybr", "lm", "krylov"}
        "hybr" and "lm" take the Jacobian as an array. "krylov" is for many unknowns: the
        factorised sparse Jacobian is its preconditioner, which makes it Newton's method.
    args : tuple
        Further arguments of `f`, for "krylov"; the others hand on what the solver is given.
    **options
        Of `jacobian`: pattern, coloring, mode.

    Returns
    -------
    dict
        With "method" and "jac", or "method" and "options".

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> from scipy.optimize import root
    >>> def f(x):
    ...     return x**3 + 2.0 * x - np.roll(x, 1) - 1.0
    >>> solution = root(f, np.zeros(200), **bp.sparse.for_root(f, method="krylov"))
    >>> solution.success, solution.nit < 10
    (True, True)
    """
    g = _returning_array(f)
    if method in ("hybr", "lm"):
        return {"method": method, "jac": _dense(jacobian(g, **options))}
    if method != "krylov":
        raise ValueError(f"for_root: method {method!r} takes no Jacobian (hybr, lm, krylov do)")
    shape = None if x0 is None else np.shape(x0)
    inverse = _InverseJacobian(jacobian(g, format="csc", **options), args, shape)
    return {"method": method, "options": {"jac_options": {"inner_M": inverse}}}


def for_minimize(f: Callable[..., Any], *, use: str = "hessp", **options: Any) -> dict[str, Any]:
    """Return arguments for `scipy.optimize.minimize`.

    Parameters
    ----------
    f : callable
        The objective ``f(x, *args)``, a scalar.
    use : {"hessp", "hess", "dense", "matrix_free", "operator", "gradient"}
        What there is beside the gradient. "hessp": products with the exact sparse Hessian, which
        is evaluated once at each point; for the methods "Newton-CG", "trust-ncg", "trust-krylov"
        and "trust-constr". "hess": that matrix itself, for "trust-constr" and "Newton-CG".
        "dense": the same as an array, for "trust-exact" and "dogleg". Without the matrix, where
        that has many nonzeros: "matrix_free", products, and "operator", a `LinearOperator` for
        "trust-constr" and "Newton-CG". "gradient": nothing.
    **options
        Of `hessian`: pattern, coloring.

    Returns
    -------
    dict
        With "jac", and "hess" or "hessp".

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> from scipy.optimize import minimize
    >>> def f(x):
    ...     return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)
    >>> solution = minimize(f, np.zeros(50), method="trust-ncg", **bp.sparse.for_minimize(f))
    >>> bool(np.allclose(solution.x, 1.0))
    True
    """
    found: dict[str, Any] = {"jac": grad(f)}
    if use == "hessp":
        found["hessp"] = _at_each_point(f, _sparse_product(f, options))
    elif use == "matrix_free":
        found["hessp"] = _at_each_point(f, _product)
    elif use == "hess":
        found["hess"] = hessian(f, **options)
    elif use == "dense":
        found["hess"] = _dense(hessian(f, **options))
    elif use == "operator":
        found["hess"] = _hessian_operator(f)
    elif use != "gradient":
        raise _unknown("for_minimize", use, "hessp, hess, dense, matrix_free, operator, gradient")
    return found


# ---- solvers of SciPy's with another ordering of the unknowns


def _less_fill(solver: Any) -> Any:
    """Return an implicit method of SciPy's that orders symmetric patterns by minimum degree."""

    class Solver(solver):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            if sparse.issparse(self.J):
                self.lu = self._factorize

        def _factorize(self, matrix: Any) -> Any:
            self.nlu += 1
            ordering = "MMD_AT_PLUS_A" if self._is_symmetric(matrix) else "COLAMD"
            return splu(matrix, permc_spec=ordering)

        def _is_symmetric(self, matrix: Any) -> bool:
            """Say whether a matrix has a symmetric pattern; its structure hardly ever changes."""
            known = getattr(self, "_known", None)
            if known is not None and known[0] == (matrix.nnz, matrix.shape):
                return known[1]
            there = sparse.csc_array(
                (np.ones(matrix.nnz, np.int8), matrix.indices, matrix.indptr), shape=matrix.shape
            )
            self._known = (matrix.nnz, matrix.shape), abs(there - there.T).nnz == 0
            return self._known[1]

    Solver.__name__ = Solver.__qualname__ = solver.__name__
    Solver.__doc__ = f"{solver.__name__} of SciPy, with less fill-in for symmetric patterns."
    return Solver


METHODS = {"BDF": _less_fill(BDF), "Radau": _less_fill(Radau)}

# ---- forms


def _unknown(name: str, use: Any, known: str) -> ValueError:
    return ValueError(f"{name}: use={use!r} is not one of {known}")


def _returning_array(f: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function that returns a list of numbers return an array."""

    @functools.wraps(f)
    def g(*args: Any, **kwargs: Any) -> Any:
        y = f(*args, **kwargs)
        return bnp.array(y) if isinstance(y, (list, tuple)) else y

    return g


def _dense(jac: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, *args: jac(x, *args).toarray()


def _banded(jac: Callable[..., Any], lower: int, upper: int) -> Callable[..., Any]:
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


def _with_keywords(
    f: Callable[..., Any], derive: Callable[..., Callable[..., Any]]
) -> Callable[..., Any]:
    """Return a derivative that takes keyword arguments of `f`, which are constants, too."""
    kept: list[Any] = [{}, derive(f)]

    def derivative(x: Any, *args: Any, **kwargs: Any) -> Any:
        given = kept[0]
        if kwargs.keys() != given.keys() or any(kwargs[k] is not given[k] for k in kwargs):
            kept[:] = kwargs, derive(functools.partial(f, **kwargs))
        return kept[1](x, *args)

    return derivative


def _at(f: Callable[..., Any], args: tuple[Any, ...]) -> Callable[..., Any]:
    return (lambda x: f(x, *args)) if args else f


def _jacobian_operator(f: Callable[..., Any]) -> Callable[..., Any]:
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


def _hessian_operator(f: Callable[..., Any]) -> Callable[..., Any]:
    def linear_operator(x: Any, *args: Any) -> LinearOperator:
        product = _product(f, x, args)
        return LinearOperator((x.size, x.size), matvec=product, rmatvec=product, dtype=x.dtype)

    return linear_operator


def _product(f: Callable[..., Any], x: Any, args: tuple[Any, ...]) -> Callable[..., Any]:
    """Return the product of the Hessian at one point with vectors, without the matrix."""
    push = linearize(grad(_at(f, args)), x)[1]
    return lambda v: push(np.reshape(v, x.shape).astype(x.dtype, copy=False))


def _sparse_product(f: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    h = hessian(f, **options)
    return lambda f, x, args: h(x, *args).dot


def _at_each_point(f: Callable[..., Any], product: Callable[..., Any]) -> Callable[..., Any]:
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


class _InverseJacobian:
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
        self._lu = splu(matrix)

    def matvec(self, v: Any) -> Any:
        """Solve with the Jacobian."""
        return self._lu.solve(np.ravel(v))
