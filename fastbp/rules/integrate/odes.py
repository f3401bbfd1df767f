"""Solutions of ordinary differential equations, differentiated by equations of their own.

A tangent solves the sensitivity equations beside the state, by the same solver; a cotangent solves
the adjoint equations backward, along the dense solution: n + p numbers for n states and p
parameters, stable wherever the forward problem is. Both are as accurate as the tolerances say,
which for the adjoint are relative to the cotangent. A cotangent that is differentiated again is
computed from all sensitivities at once, n (n + p) numbers more, whose own derivative is this one:
by nesting there are derivatives of any order.
"""

import numpy as np
from scipy import integrate

from fastbp._core.graph import Op, array_of, has_variable, unfilled, values_of
from fastbp.errors import DTypeError, NoRuleError, ShapeError
from fastbp.rules.integrate.calling import Function, Known, is_recorded, of_numbers, pulled, pushed
from fastbp.rules.numpy.structural import as_operand

__all__ = ["odeint", "solve_ivp"]

EXPLICIT = {"RK23", "RK45", "DOP853"}


class Problem:
    """An equation and how it is solved: what one recorded solution is made from.

    Attributes
    ----------
    f : callable
        ``f((t, y), leaves)``, recorded if what it is given is.
    name : str
        For messages.
    method : str or None
        Of `scipy.integrate.solve_ivp`; None for `odeint`.
    options : dict
        Of the solver, for equations of any size.
    known : Known or None
        The solution that was computed already: one row a time.
    check : callable
        Raises if the user's function is not what it was when it was solved.
    """

    def __init__(self, f, name, method, options, check):
        self.f, self.name, self.method, self.options = f, name, method, options
        self.known, self.check = None, check

    def with_tangents(self, moving):
        """Return the problem of state and tangent; behind the leaves are tangents of some."""

        def f(own, leaves):
            t, both = own
            n = both.shape[0] // 2
            primals, rest = leaves[: len(moving)], iter(leaves[len(moving) :])
            given = [next(rest) if on else None for on in moving]
            y, y_dot = pushed(self.f, (t, both[:n]), primals, [None, both[n:], *given])
            y = np.reshape(y, (n,))
            y_dot = np.zeros(n, y.dtype) if y_dot is None else np.reshape(y_dot, (n,))
            return np.concatenate([y, y_dot])

        return Problem(f, self.name, self.method, self.options, self.check)

    def with_sensitivities(self, n, sizes, shapes):
        """Return the problem of the state and its derivatives by itself and by the leaves."""
        total = n + sum(sizes)
        ends = np.cumsum([n, *sizes])

        def f(own, leaves):
            t, all = own
            y, s = all[:n], np.reshape(all[n:], (total, n))
            units = []
            for start, stop, shape in zip(ends[:-1], ends[1:], shapes, strict=True):
                block = np.zeros((total, stop - start))
                block[start:stop] = np.eye(stop - start)
                units.append(block.reshape((total, *shape)))
            dy, ds = pushed(self.f, (t, y), leaves, [None, s, *units], 1)
            dy = np.reshape(dy, (n,))
            ds = np.zeros((total, n)) if ds is None else np.reshape(ds, (total, n))
            return np.concatenate([dy, np.reshape(ds, (-1,))])

        return Problem(f, self.name, self.method, self.options, self.check)

    def rate(self, t, y, leaves):
        return np.reshape(self.f((t, y), leaves), y.shape)

    def solve(self, y0, times, leaves):
        """Return the states at all times, the first of which is that of `y0`: one row each."""

        def f(t, y):
            return np.asarray(self.rate(t, y, leaves))

        if self.method is None:
            return _by_lsoda(f, y0, times, self.options)[0]
        return _by_method(f, y0, times, self.method, self.options)[0]

    def tolerances(self):
        rtol, atol = (
            np.min(self.options.get(key) if self.options.get(key) is not None else usual)
            for key, usual in (
                ("rtol", 1.49012e-8 if self.method is None else 1e-3),
                ("atol", 1.49012e-8 if self.method is None else 1e-6),
            )
        )
        return {"rtol": float(rtol), "atol": float(atol)}


def _by_lsoda(f, y0, times, options):
    """Solve by `odeint`: the states at times and what SciPy says of them."""
    found = integrate.odeint(f, y0, times, tfirst=True, full_output=1, **options)
    if found[1]["message"] != "Integration successful.":
        raise RuntimeError(
            f"scipy.integrate.odeint: {found[1]['message']} There is no solution at all times, so "
            "it has no derivative"
        )
    return found


def _by_method(f, y0, times, method, options, dense=False):
    """Solve by `solve_ivp`: the states at times, one row each, and the dense solution."""
    if times[-1] == times[0]:
        return np.broadcast_to(y0, (times.size, y0.size)).copy(), lambda t: y0
    distinct, places = np.unique(times, return_inverse=True)
    if times[-1] < times[0]:
        distinct, places = distinct[::-1], distinct.size - 1 - places
    found = integrate.solve_ivp(
        f, (times[0], times[-1]), y0, method, t_eval=distinct, dense_output=dense, **options
    )
    if not found.success:
        raise RuntimeError(f"scipy.integrate.solve_ivp: {found.message}")
    return found.y.T[places], found.sol


def _value(y0, times, *leaves, problem):
    found = None if problem.known is None else problem.known.of([y0, times, *leaves])
    return problem.solve(y0, times, leaves) if found is None else found


def _jvp(tangents, ans, y0, times, *leaves, problem):
    """Solve the sensitivity equations; times move along the solution."""
    problem.check()
    ty, tt, *tl = tangents
    moving = [t is not None for t in tl]
    start = np.zeros(y0.shape, ans.dtype) if ty is None else ty
    if tt is not None:
        start = start - problem.rate(times[0], y0, leaves) * tt[0]
    both = np.concatenate([y0, start])
    given = [*leaves, *[t for t in tl if t is not None]]
    found = ode_op(both, times, *given, problem=problem.with_tangents(moving))
    found = found[:, y0.shape[0] :]
    if tt is not None:
        found = found + _rates(problem, ans, times, leaves) * tt[:, None]
    return found


def _rates(problem, ans, times, leaves):
    return np.stack([problem.rate(times[k], ans[k], leaves) for k in range(times.shape[0])])


def _vjp(g, needs, ans, y0, times, *leaves, problem):
    problem.check()
    if has_variable([g, ans, y0, times, *leaves]):
        return _by_sensitivities(g, needs, ans, y0, times, leaves, problem)
    if not g.any():
        return [np.zeros(x.shape, x.dtype) for x in (y0, times, *leaves)]
    y_bar, leaf_bars, at_start = _adjoint(g, ans, y0, times, leaves, problem)
    return y_bar, _of_times(g, needs, ans, y0, times, leaves, problem, at_start), *leaf_bars


def _of_times(g, needs, ans, y0, times, leaves, problem, at_start):
    """Return the cotangents of the times; the first one moves all that follows."""
    if not needs[1]:
        return None
    found = np.sum(g * _rates(problem, ans, times, leaves), -1)
    first = -np.sum(at_start * problem.rate(times[0], y0, leaves))
    return np.concatenate([np.reshape(first, (1,)), found[1:]])


def _adjoint(g, ans, y0, times, leaves, problem):
    """Return cotangents of the first state and the leaves; that of the state without g's part."""
    n = y0.size
    sizes = [np.size(x) for x in leaves]
    scale = np.max(np.abs(g))
    tolerances = problem.tolerances()
    method = problem.method or "LSODA"
    jacobian_free = {k: v for k, v in problem.options.items() if k in ("max_step",)}
    along = _dense(problem, y0, times, leaves, method)
    dtype = np.result_type(g, ans)

    def f(t, both):
        found = pulled(problem.f, (t, along(t)), leaves, both[:n])
        parts = [
            np.zeros(size, dtype) if bar is None else np.reshape(bar, -1)
            for bar, size in zip(found[1:], [n, *sizes], strict=True)
        ]
        return -np.concatenate(parts)

    both = np.zeros(n + sum(sizes), dtype)
    for k in range(times.size - 1, 0, -1):
        both[:n] += g[k]
        if times[k] != times[k - 1]:
            both = integrate.solve_ivp(
                f,
                (times[k], times[k - 1]),
                both,
                method,
                rtol=tolerances["rtol"],
                atol=tolerances["atol"] * scale,
                **jacobian_free,
            ).y[:, -1]
    ends = np.cumsum([n, *sizes])
    bars = [
        both[start:stop].reshape(np.shape(x))
        for start, stop, x in zip(ends[:-1], ends[1:], leaves, strict=True)
    ]
    return both[:n] + g[0], bars, both[:n]


def _dense(problem, y0, times, leaves, method):
    """Return the solution as a function of time."""

    def f(t, y):
        return np.asarray(problem.rate(t, y, leaves))

    options = {"max_step": problem.options["max_step"]} if "max_step" in problem.options else {}
    options |= problem.tolerances()
    return _by_method(f, np.asarray(y0), times, method, options, dense=True)[1]


def _by_sensitivities(g, needs, ans, y0, times, leaves, problem):
    n = y0.shape[0]
    shapes = [np.shape(array_of(x)) for x in leaves]
    sizes = [int(np.prod(shape)) for shape in shapes]
    total = n + sum(sizes)
    start = np.zeros((total, n))
    start[:n] = np.eye(n)
    all = np.concatenate([y0, start.reshape(-1)])
    found = ode_op(all, times, *leaves, problem=problem.with_sensitivities(n, sizes, shapes))
    s = np.reshape(found[:, n:], (times.shape[0], total, n))
    bars = np.einsum("tpn,tn->p", s, g)
    ends = np.cumsum([n, *sizes])
    of_leaves = [
        np.reshape(bars[start:stop], shape)
        for start, stop, shape in zip(ends[:-1], ends[1:], shapes, strict=True)
    ]
    at_start = bars[:n] - g[0]
    return bars[:n], _of_times(g, needs, ans, y0, times, leaves, problem, at_start), *of_leaves


# Not in the table: rounding is not what bounds its errors.
ode_op = Op(
    "scipy.integrate.odeint",
    _value,
    nin=-1,
    vjp=_vjp,
    jvp=_jvp,
    saves=(*range(30), "ans"),
    blocks=False,
    opaque=True,
)


# ---- SciPy's functions


def _state(name, y0):
    y0 = np.atleast_1d(as_operand(y0, f"{name}: y0"))
    if y0.ndim != 1:
        raise ShapeError(f"{name}: y0 must have one axis, not shape {y0.shape}")
    return np.astype(y0, np.result_type(y0.dtype, np.float64))


def _times(name, t):
    t = as_operand(t, name, real=True)
    if t.ndim != 1 or not t.size:
        raise ShapeError(f"{name} must have one axis, not shape {t.shape}")
    return np.astype(t, np.float64)


_ODEINT_OPTIONS = ("rtol", "atol", "tcrit", "h0", "hmax", "hmin", "ixpr", "mxstep", "mxhnil",
                   "mxordn", "mxords")  # fmt: skip


def odeint(func, y0, t, args=(), Dfun=None, full_output=0, tfirst=False, **options):
    """Integrate a system of ordinary differential equations; arguments as in SciPy.

    Parameters
    ----------
    func : callable
        ``func(y, t, *args)``, or with `tfirst` ``func(t, y, *args)``: written with NumPy functions
        that are differentiated.
    y0 : array, shape (n,)
    t : array, shape (m,)
        The first one is the time of `y0`.
    args : tuple
        Further arguments; containers of arrays are differentiated, too.
    Dfun, full_output, **options
        As in `scipy.integrate.odeint`; what says how the Jacobian is stored (``ml``, ``col_deriv``
        ...) is refused beside Variables.

    Returns
    -------
    y : array, shape (m, n)
    infodict : dict
        If `full_output`.

    Raises
    ------
    NoRuleError
        If `func` depends on a Variable that is not among its arguments.
    RuntimeError
        If an argument is a Variable and the solver fails, where SciPy warns.

    Notes
    -----
    Derivatives by `y0`, `t` and `args`, in both modes and of any order. A tangent solves the
    sensitivity equations beside the state; a cotangent the adjoint equations, backward along the
    dense solution. Their relative error is about that which `rtol` and `atol` allow the solution.
    A gradient that is differentiated again is computed from the sensitivities by all states and
    parameters, n (n + p) numbers.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> from fastbp.scipy.integrate import odeint
    >>> def decay(y, t, k):
    ...     return -k * y
    >>> t = np.array([0.0, 2.0])
    >>> float(bp.grad(lambda k: odeint(decay, [1.0], t, args=(k,))[1, 0])(0.5))  # -2 exp(-1)
    ... # doctest: +ELLIPSIS
    -0.735758...
    """
    name = "scipy.integrate.odeint"
    options = {key: unfilled(value) for key, value in options.items()}
    if not is_recorded(y0, t, args, options):
        func = of_numbers(func, name)
        return integrate.odeint(
            func, y0, t, args, Dfun, full_output=full_output, tfirst=tfirst, **options
        )
    for key, value in options.items():
        if key not in _ODEINT_OPTIONS and value:
            raise NoRuleError(f"{name}: the argument {key}= is not supported for Variables")
        if has_variable(value):
            raise NoRuleError(f"{name}: {key}= is a constant, no Variable")
    options = {key: options[key] for key in options if key in _ODEINT_OPTIONS}
    y0, t = _state(name, y0), _times(f"{name}: t", t)
    _check_real(name, y0)
    given = Function(func if tfirst else _swapped(func), name, args)
    return _recorded(given, name, None, options, y0, t, Dfun, full_output)


def _recorded(given, name, method, options, y0, t, Dfun, full_output):
    plain = [values_of(x) for x in given.leaves]
    problem = Problem(given, name, method, options, given.check)

    def f(s, y):
        return np.asarray(problem.rate(s, y, plain))

    found = _by_lsoda(f, values_of(y0), values_of(t), options)
    problem.known = Known([values_of(y0), values_of(t), *plain], found[0])
    given.keep()
    y = ode_op(y0, t, *given.leaves, problem=problem)
    return (y, found[1]) if full_output else y


def _swapped(func):
    return lambda t, y, *args: func(y, t, *args)


def _check_real(name, y0):
    if y0.dtype.kind == "c":
        raise DTypeError(f"{name}: y0 has dtype {y0.dtype}, real numbers are needed")


def solve_ivp(
    fun,
    t_span,
    y0,
    method="RK45",
    t_eval=None,
    dense_output=False,
    events=None,
    vectorized=False,
    args=None,
    **options,
):
    """Solve an initial value problem; arguments as in SciPy.

    Parameters
    ----------
    fun : callable
        ``fun(t, y, *args)``: written with NumPy functions that are differentiated.
    t_span : 2-tuple of float
    y0 : array, shape (n,)
    method : str
        Any of SciPy's.
    t_eval : array, optional
        Without it, times are those of the solver's steps, which are constants but for the ends.
    args : tuple, optional
        Further arguments; containers of arrays are differentiated, too.
    dense_output, events, vectorized
        Refused beside Variables.
    **options
        As in `scipy.integrate.solve_ivp`.

    Returns
    -------
    OdeResult
        As SciPy's; ``y`` and, if it was one, ``t`` are Variables. If the solver failed, they are
        the solution at the times before, which has derivatives, too.

    Raises
    ------
    NoRuleError
        If `fun` depends on a Variable that is not among its arguments.

    Notes
    -----
    Derivatives by the ends of `t_span`, `t_eval`, `y0` and `args`, in both modes and of any order,
    as of `odeint`: solved by the same method, with the same tolerances. SciPy's usual ones are
    loose (``rtol=1e-3``).

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> from fastbp.scipy.integrate import solve_ivp
    >>> def end(k):
    ...     f = lambda t, y, k: -k * y
    ...     return solve_ivp(f, (0.0, 2.0), [1.0], args=(k,), rtol=1e-9, atol=1e-9).y[0, -1]
    >>> float(bp.grad(end)(0.5))  # doctest: +ELLIPSIS
    -0.735758...
    """
    name = "scipy.integrate.solve_ivp"
    options = {key: unfilled(value) for key, value in options.items()}
    if not is_recorded(t_span, y0, t_eval, args, options):
        fun = of_numbers(fun, name)
        return integrate.solve_ivp(
            fun, t_span, y0, method, t_eval, dense_output, events, vectorized, args, **options
        )
    for key, value in {"dense_output": dense_output, "events": events}.items():
        if value is not None and value is not False:
            raise NoRuleError(
                f"{name}: {key}= is not supported for Variables: give the times by t_eval="
            )
    if vectorized:
        raise NoRuleError(f"{name}: vectorized= is not supported for Variables")
    for key, value in options.items():
        if has_variable(value):
            raise NoRuleError(f"{name}: {key}= is a constant, no Variable")
    y0 = _state(name, y0)
    function = Function(fun, name, () if args is None else args)
    plain = [values_of(x) for x in function.leaves]
    kept = {k: v for k, v in options.items() if k in ("rtol", "atol", "max_step", "first_step")}
    of_any_size = {k: v for k, v in kept.items() if k != "first_step"}
    problem = Problem(function, name, method, of_any_size, function.check)
    for key in ("rtol", "atol"):  # for states and sensitivities alike
        if np.ndim(kept.get(key, 0.0)):
            problem.options[key] = float(np.min(kept[key]))

    def f(s, y):
        return np.asarray(problem.rate(s, y, plain))

    if callable(options.get("jac")):  # it has the arguments of fun; only the solver reads it
        options["jac"] = of_numbers(function.beside(options["jac"], plain), name)
    span = [float(values_of(x)) for x in t_span]
    solution = integrate.solve_ivp(
        f, span, values_of(y0), method, None if t_eval is None else values_of(t_eval), **options
    )
    t = solution.t  # where the solver failed, the times before
    if has_variable(t_eval):
        t = _times(f"{name}: t_eval", t_eval)[: t.size]
    elif t_eval is None and has_variable(t_span):
        first, last = [np.reshape(x, (1,)) for x in t_span]
        t = np.concatenate([first, t[1:-1], last if solution.success else t[-1:]])
    before = np.reshape(as_operand(t_span[0], f"{name}: t_span"), (1,))
    times = np.concatenate([np.astype(before, np.float64), t])
    found = solution.y.T
    found = np.concatenate([np.broadcast_to(values_of(y0), (1, found.shape[1])), found])
    problem.known = Known([values_of(y0), values_of(times), *plain], found)
    function.keep()
    y = ode_op(y0, times, *function.leaves, problem=problem)
    solution.y, solution.t = y[1:].T, t
    return solution
