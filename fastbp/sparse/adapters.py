"""Derivatives in the form that SciPy's solvers take: keyword arguments for their calls.

Everything is found at the first call of the solver, and SciPy gets arrays of its own: several
of its solvers keep, scale or return what they are given.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy

import fastbp.numpy as bnp
from fastbp.sparse import forms
from fastbp.sparse.jacobians import hessian, jacobian
from fastbp.sparse.patterns import sparsity
from fastbp.sparse.structure import Pattern
from fastbp.transforms import grad

METHODS = ("BDF", "Radau")  # the implicit methods that factorise sparse matrices
OPTIONS = ("pattern", "coloring", "mode")  # of `jacobian`

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
    _check("for_solve_ivp", f, use, options)
    if method not in (None, *METHODS):
        raise ValueError(f"for_solve_ivp: method {method!r} is not one of {', '.join(METHODS)}")
    found: dict[str, Any] = {} if method is None else {"method": forms.less_fill(method)}
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
    given = options.get("pattern")
    pattern = (
        sparsity(g, t0, np.asarray(y0, float), *args, argnums=1)
        if given is None
        else Pattern.of(given, "for_solve_ivp").matrix()
    )
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
    return found | {"jac": forms.banded(jac, lower, upper), "lband": lower, "uband": upper}


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
        A point; needed for "jac_sparsity" without a pattern.
    use : {"sparse", "dense", "operator", "jac_sparsity"}
        "sparse": the exact Jacobian as a sparse matrix, for the methods "trf" and "dogbox".
        "dense": as an array, for "lm" too. "operator": products with it and its transpose, without
        the matrix. "jac_sparsity": its pattern for SciPy's finite differences.
    args : tuple
        Further arguments of `f`, for what is done here; the solver takes its own.
    **options
        Of `jacobian`: pattern, coloring, mode. None for "operator".

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
    _check("for_least_squares", f, use, options, () if use == "operator" else OPTIONS)
    g = _returning_array(f)
    if use == "sparse":
        return {"jac": forms.with_keywords(g, lambda h: jacobian(h, **options))}
    if use == "dense":
        return {"jac": forms.with_keywords(g, lambda h: forms.dense(jacobian(h, **options)))}
    if use == "operator":
        return {"jac": forms.with_keywords(g, forms.jacobian_operator)}
    if use != "jac_sparsity":
        raise _unknown("for_least_squares", use, "sparse, dense, operator, jac_sparsity")
    if options.get("pattern") is not None:
        return {"jac_sparsity": Pattern.of(options["pattern"], "for_least_squares").matrix()}
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
    _check("for_root", f, method, options)
    g = _returning_array(f)
    if method in ("hybr", "lm"):
        return {"method": method, "jac": forms.dense(jacobian(g, **options))}
    if method != "krylov":
        raise ValueError(f"for_root: method {method!r} takes no Jacobian (hybr, lm, krylov do)")
    shape = None if x0 is None else np.shape(x0)
    inverse = forms.InverseJacobian(jacobian(g, format="csc", **options), args, shape)
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
        Of `hessian`: pattern, coloring. None for "matrix_free", "operator" and "gradient".

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
    known = ("pattern", "coloring") if use in ("hessp", "hess", "dense") else ()
    _check("for_minimize", f, use, options, known)
    found: dict[str, Any] = {"jac": grad(f)}
    if use == "hessp":
        found["hessp"] = forms.at_each_point(f, forms.sparse_product(f, options))
    elif use == "matrix_free":
        found["hessp"] = forms.at_each_point(f, forms.matrix_free_product)
    elif use == "hess":
        found["hess"] = hessian(f, **options)
    elif use == "dense":
        found["hess"] = forms.dense(hessian(f, **options))
    elif use == "operator":
        found["hess"] = forms.hessian_operator(f)
    elif use != "gradient":
        raise _unknown("for_minimize", use, "hessp, hess, dense, matrix_free, operator, gradient")
    return found


def _unknown(name: str, use: Any, known: str) -> ValueError:
    return ValueError(f"{name}: use={use!r} is not one of {known}")


def _check(
    name: str, f: Any, use: Any, options: dict[str, Any], known: tuple[str, ...] = OPTIONS
) -> None:
    if not callable(f):
        raise TypeError(f"{name}: a function is needed, not a {type(f).__name__}")
    unknown = [option for option in options if option not in known]
    if unknown:
        raise TypeError(
            f"{name}: {use!r} has no option {unknown[0]!r}; options: {', '.join(known) or 'none'}"
        )


def _returning_array(f: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function that returns a list of numbers return an array."""

    @functools.wraps(f)
    def g(*args: Any, **kwargs: Any) -> Any:
        y = f(*args, **kwargs)
        return bnp.array(y) if isinstance(y, (list, tuple)) else y

    return g
