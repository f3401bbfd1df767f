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
from fastbp.derived import derived
from fastbp.sparse import forms
from fastbp.sparse.jacobians import hessian, jacobian
from fastbp.sparse.pattern import Pattern
from fastbp.sparse.patterns import sparsity
from fastbp.transforms import grad

# What the methods of `scipy.optimize.minimize` take beside the gradient, the best first. Those of
# trust regions multiply or factorise a Hessian as an array; they fail with a sparse one.
MINIMIZERS = {
    "Newton-CG": ("hessp", "matrix_free", "hess", "operator", "dense", "gradient"),
    "trust-constr": ("hess", "operator", "hessp", "matrix_free", "dense", "gradient"),
    "trust-ncg": ("hessp", "matrix_free", "dense"),
    "trust-krylov": ("hessp", "matrix_free", "dense"),
    "trust-exact": ("dense",),
    "dogleg": ("dense",),
    "BFGS": ("gradient",),
    "L-BFGS-B": ("gradient",),
    "CG": ("gradient",),
    "TNC": ("gradient",),
    "SLSQP": ("gradient",),
}
STIFF = {  # the same for `scipy.integrate.solve_ivp`: its implicit methods
    "BDF": ("sparse", "dense", "jac_sparsity"),
    "Radau": ("sparse", "dense", "jac_sparsity"),
    "LSODA": ("dense", "banded"),
}
OPTIONS = ("pattern", "coloring", "mode")  # of `jacobian`

__all__ = ["for_least_squares", "for_minimize", "for_root", "for_solve_ivp"]


def for_solve_ivp(
    f: Callable[..., Any],
    t0: float | None = None,
    y0: Any = None,
    *,
    use: str | None = None,
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
    use : {"sparse", "dense", "banded", "jac_sparsity"}, optional
        "sparse", the default: the exact Jacobian as a sparse matrix, for "BDF" and "Radau".
        "dense": as an array, for "LSODA" too. "banded": its diagonals, for "LSODA" alone (SciPy
        1.16).
        "jac_sparsity": its pattern for SciPy's finite differences in "BDF" and "Radau".
    method : {"BDF", "Radau", "LSODA"}, optional
        Return the method, too, and refuse what it does not take. "BDF" and "Radau" are SciPy's
        own, but where the pattern of the Jacobian is symmetric their factors have less fill-in (a
        minimum degree ordering). For large grids most of the time goes there.
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
    use = _form_for("for_solve_ivp", use, method, STIFF, "sparse")
    _check("for_solve_ivp", f, use, options)
    found: dict[str, Any] = {}
    if method is not None:
        found["method"] = method if method == "LSODA" else forms.less_fill(method)
    g = _returning_array(f)
    jac = jacobian(g, argnums=1, format="csc", **options)
    if use in ("sparse", "dense"):
        return found | {"jac": jac if use == "sparse" else forms.dense(jac)}
    if use not in ("banded", "jac_sparsity"):
        raise _unknown("for_solve_ivp", use, "sparse, dense, banded, jac_sparsity")
    if t0 is None or y0 is None:
        raise ValueError(f'for_solve_ivp: use="{use}" needs a point t0, y0')
    given = options.get("pattern")
    pattern = (
        sparsity(g, t0, forms.point("for_solve_ivp", y0), *args, argnums=1)
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
        return {"jac": forms.for_residuals(g, functools.partial(jacobian, **options))}
    if use == "dense":
        return {"jac": forms.for_residuals(g, functools.partial(_dense_jacobian, **options))}
    if use == "operator":
        return {"jac": forms.for_residuals(g, forms.jacobian_operator)}
    if use != "jac_sparsity":
        raise _unknown("for_least_squares", use, "sparse, dense, operator, jac_sparsity")
    if options.get("pattern") is not None:
        pattern = Pattern.of(options["pattern"], "for_least_squares").matrix()
    elif x0 is None:
        raise ValueError('for_least_squares: use="jac_sparsity" needs a point x0')
    else:
        pattern = sparsity(g, np.atleast_1d(forms.point("for_least_squares", x0)), *args)
    # For one unknown, or none, SciPy needs an array: see `forms.for_residuals`.
    return {"jac_sparsity": None if pattern.shape[1] < 2 else pattern}


def _dense_jacobian(f: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    return forms.dense(jacobian(f, **options))


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
        return {"method": method, "jac": _dense_jacobian(g, **options)}
    if method != "krylov":
        raise ValueError(f"for_root: method {method!r} takes no Jacobian (hybr, lm, krylov do)")
    shape = None if x0 is None else np.shape(x0)
    inverse = forms.InverseJacobian(jacobian(g, format="csc", **options), args, shape)
    return {"method": method, "options": {"jac_options": {"inner_M": inverse}}}


def for_minimize(
    f: Callable[..., Any], *, use: str | None = None, method: str | None = None, **options: Any
) -> dict[str, Any]:
    """Return arguments for `scipy.optimize.minimize`.

    Parameters
    ----------
    f : callable
        The objective ``f(x, *args)``, a scalar.
    use : {"hessp", "hess", "dense", "matrix_free", "operator", "gradient"}, optional
        What there is beside the gradient. "hessp": products with the exact sparse Hessian, which
        is evaluated once at each point. "hess": that matrix itself. "dense": the same as an array.
        Without the matrix, where that has many nonzeros: "matrix_free", products, and "operator",
        a `LinearOperator`. "gradient": nothing. By default the first that `method` takes; without
        a method, "hessp".
    method : str, optional
        Return the method, too, and refuse what it does not take.
    **options
        Of `hessian`: pattern, coloring. None for "matrix_free", "operator" and "gradient".

    Returns
    -------
    dict
        With "jac", "hess" or "hessp", and "method" if it was given.

    Raises
    ------
    ValueError
        If the method takes no derivatives, or not in this form.

    Notes
    -----
    What SciPy's methods take, the default first:

    ======================================  ======================================================
    "trust-ncg", "trust-krylov"             "hessp", "matrix_free", "dense"
    "trust-exact", "dogleg"                 "dense"
    "trust-constr"                          "hess", "operator", "hessp", "matrix_free", "dense",
                                            "gradient"
    "Newton-CG"                             "hessp", "matrix_free", "hess", "operator", "dense",
                                            "gradient"
    "BFGS", "L-BFGS-B", "CG", "TNC",        "gradient"
    "SLSQP"
    ======================================  ======================================================

    "Nelder-Mead", "Powell", "COBYLA" and "COBYQA" take no derivatives.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> from scipy.optimize import minimize
    >>> def f(x):
    ...     return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)
    >>> solution = minimize(f, np.zeros(50), **bp.sparse.for_minimize(f, method="trust-ncg"))
    >>> bool(np.allclose(solution.x, 1.0))
    True
    """
    if isinstance(method, str):  # SciPy takes any case
        method = next((m for m in MINIMIZERS if m.lower() == method.lower()), method)
    use = _form_for("for_minimize", use, method, MINIMIZERS, "gradient")
    known = ("pattern", "coloring") if use in ("hessp", "hess", "dense") else ()
    _check("for_minimize", f, use, options, known)
    found: dict[str, Any] = (
        {"jac": grad(f)} if method is None else {"method": method, "jac": grad(f)}
    )
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


def _form_for(
    name: str,
    use: str | None,
    method: str | None,
    methods: dict[str, tuple[str, ...]],
    default: str,
) -> str:
    """Return a form that the method takes: the one asked for, or its first."""
    if method is None:
        return default if use is None else use
    if method not in methods:
        raise ValueError(
            f"{name}: method {method!r} takes no such derivative; {', '.join(methods)} do"
        )
    if use is None:
        return methods[method][0]
    if use not in methods[method]:
        raise ValueError(
            f"{name}: method {method!r} cannot take use={use!r}; it takes "
            f"{', '.join(methods[method])}"
        )
    return use


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
            f"{name}: no option {unknown[0]!r} beside method= and use= (here {use!r}); options: "
            f"{', '.join(known) or 'none'}"
        )


def _returning_array(f: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function that returns a list of numbers return an array."""
    return functools.update_wrapper(derived(_with_array, (f,), _returning_array, f), f)


def _with_array(f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    y = f(*args, **kwargs)
    return bnp.array(y) if isinstance(y, (list, tuple)) else y
