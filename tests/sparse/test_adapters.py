"""What the adapters return, in SciPy's own solvers; against the same solvers without it."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares, minimize, root
from scipy.sparse.linalg import LinearOperator

import fastbp as bp
from fastbp.errors import DTypeError, NoRuleError
from fastbp.sparse.adapters import MINIMIZERS, STIFF

from .. import versions
from ..harness import assert_close, assert_sums_close

N = 24


def diffusion(t, y, k=4000.0):
    """A stiff system: neighbours are coupled, and the ends are held."""
    inner = k * (y[2:] - 2.0 * y[1:-1] + y[:-2]) + np.cos(t) - y[1:-1] ** 3
    return np.concatenate([-y[:1], inner, -y[-1:]])


def vanderpol(t, y, mu):
    return [y[1], mu * (1.0 - y[0] ** 2) * y[1] - y[0]]


# Before, SciPy handed Fortran an array that is too small (its pull request 22283).
banded = versions.needs("scipy 1.16", "LSODA with bands")
TIGHT = {"rtol": 1e-7, "atol": 1e-9}


@pytest.mark.parametrize(
    ("method", "use"),
    [
        ("BDF", "sparse"),
        ("Radau", "sparse"),
        ("BDF", "dense"),
        ("Radau", "jac_sparsity"),
        ("BDF", "jac_sparsity"),
        ("LSODA", "dense"),
        pytest.param("LSODA", "banded", marks=banded),
    ],
)
@pytest.mark.parametrize("args", [(), (2500.0,)])
def test_solve_ivp(method, use, args):
    y0, span = np.linspace(0.0, 1.0, N) ** 2, (0.0, 0.5)
    given = bp.sparse.for_solve_ivp(diffusion, 0.0, y0, use=use, args=args)
    found = solve_ivp(diffusion, span, y0, method=method, args=args or None, **TIGHT, **given)
    plain = solve_ivp(diffusion, span, y0, method=method, args=args or None, **TIGHT)
    assert found.success
    np.testing.assert_allclose(found.y[:, -1], plain.y[:, -1], rtol=1e-5, atol=1e-7)
    assert found.njev > 0


@pytest.mark.parametrize("method", ["BDF", "Radau"])
@pytest.mark.parametrize("use", ["sparse", "dense", "jac_sparsity"])
def test_solve_ivp_with_less_fill(method, use):
    n = 12

    def f(t, y):
        u = y.reshape(n, n)
        around = sum(np.roll(u, s, axis) for s in (-1, 1) for axis in (0, 1))
        return (200.0 * (around - 4.0 * u) - u**3 + np.sin(t)).reshape(-1)

    y0 = np.cos(np.arange(n * n))
    given = bp.sparse.for_solve_ivp(f, 0.0, y0, use=use, method=method)
    assert given["method"].__name__ == method
    found = solve_ivp(f, (0.0, 0.5), y0, **TIGHT, **given)
    plain = solve_ivp(f, (0.0, 0.5), y0, method=method, **TIGHT)
    assert found.nlu > 0
    np.testing.assert_allclose(found.y[:, -1], plain.y[:, -1], rtol=1e-4, atol=1e-6)
    given = bp.sparse.for_solve_ivp(lambda t, y: -np.cumsum(y), method=method)  # not symmetric
    lopsided = solve_ivp(lambda t, y: -np.cumsum(y), (0.0, 1.0), np.ones(5), **TIGHT, **given)
    np.testing.assert_allclose(lopsided.y[0, -1], np.exp(-1.0), rtol=1e-5)


def test_solve_ivp_needs_no_point_in_advance():
    span, y0 = (0.0, 3.0), np.array([2.0, 0.0])
    for method in ("BDF", "Radau"):
        given = bp.sparse.for_solve_ivp(vanderpol)
        found = solve_ivp(vanderpol, span, y0, method=method, args=(5.0,), **TIGHT, **given)
        plain = solve_ivp(vanderpol, span, y0, method=method, args=(5.0,), **TIGHT)
        np.testing.assert_allclose(found.y[:, -1], plain.y[:, -1], rtol=1e-4)


def test_the_jacobian_of_solve_ivp_is_in_the_format_that_it_needs():
    jac = bp.sparse.for_solve_ivp(diffusion)["jac"]
    y = np.linspace(0.0, 1.0, N)
    first, second = jac(0.0, y), jac(0.0, 2.0 * y)
    assert first.format == "csc"
    assert first.nnz == 3 * (N - 2) + 2
    assert not np.shares_memory(first.data, second.data)  # SciPy may keep what it was given
    dense = bp.jacobian(diffusion, argnums=1)(0.0, y)
    np.testing.assert_allclose(first.toarray(), dense)


@banded
def test_a_band_that_does_not_hold_is_refused():
    def f(t, y):
        return -y if t < 0.5 else -y[::-1]

    given = bp.sparse.for_solve_ivp(f, 0.0, np.ones(4), use="banded")
    assert (given["lband"], given["uband"]) == (0, 0)
    np.testing.assert_array_equal(given["jac"](0.0, np.ones(4)), -np.ones((1, 4)))
    with pytest.raises(ValueError, match="left the band"):
        given["jac"](1.0, np.ones(4))


def test_control_flow_may_change_the_pattern():
    def f(t, y):
        return -y if t < 0.5 else -y - 2.0 * y[::-1]

    jac = bp.sparse.for_solve_ivp(f)["jac"]
    for t in (0.0, 1.0, 0.0):
        dense = bp.jacobian(f, argnums=1)(t, np.ones(4))
        np.testing.assert_array_equal(jac(t, np.ones(4)).toarray(), dense)


# ---- least squares


def residuals(x, scale=1.0, *, shift=0.0):
    return np.concatenate([10.0 * (x[1:] - x[:-1] ** 2), scale * (1.0 - x) + shift])


def line(p, t, y):
    return [p[0] * a + p[1] - b for a, b in zip(t, y, strict=True)]


@pytest.mark.parametrize(
    ("method", "use"),
    [
        ("trf", "sparse"),
        ("trf", "dense"),
        ("trf", "operator"),
        ("trf", "jac_sparsity"),
        ("dogbox", "sparse"),
        ("dogbox", "operator"),
        ("lm", "dense"),
    ],
)
@pytest.mark.parametrize("args", [(), (2.0,)])
def test_least_squares(method, use, args):
    x0 = np.full(N, 0.5)
    given = bp.sparse.for_least_squares(residuals, x0, use=use, args=args)
    kwargs = {} if use == "jac_sparsity" else {"shift": 0.25}
    found = least_squares(residuals, x0, method=method, args=args, kwargs=kwargs, **given)
    plain = least_squares(residuals, x0, method=method, args=args, kwargs=kwargs)
    assert found.success
    np.testing.assert_allclose(found.x, plain.x, rtol=1e-4, atol=1e-5)
    if use == "sparse":
        assert sp.issparse(found.jac)
        dense = bp.jacobian(lambda x: residuals(x, *args, **kwargs))(found.x)
        np.testing.assert_allclose(found.jac.toarray(), dense, rtol=1e-12)
    if use == "operator":
        assert isinstance(found.jac, LinearOperator)


def test_least_squares_with_robust_loss_which_scales_the_jacobian_in_place():
    x0 = np.full(N, 0.5)
    given = bp.sparse.for_least_squares(residuals)
    for loss in ("soft_l1", "cauchy"):
        found = least_squares(residuals, x0, loss=loss, kwargs={"shift": 0.5}, **given)
        plain = least_squares(residuals, x0, loss=loss, kwargs={"shift": 0.5})
        np.testing.assert_allclose(found.cost, plain.cost, rtol=1e-6)


def test_least_squares_of_a_list():
    t = np.linspace(0.0, 1.0, 5)
    given = bp.sparse.for_least_squares(line)
    found = least_squares(line, [0.0, 0.0], args=(t, 2.0 * t + 1.0), **given)
    np.testing.assert_allclose(found.x, [2.0, 1.0], rtol=1e-8)


# ---- roots


def equations(x, c=1.0):
    return x**3 + 3.0 * x - np.roll(x, 1) - 0.5 * np.roll(x, -1) ** 2 - c


@pytest.mark.parametrize("args", [(), (2.5,)])
@pytest.mark.parametrize("method", ["hybr", "lm", "krylov"])
def test_root(method, args):
    x0 = np.zeros(N)
    given = bp.sparse.for_root(equations, method=method, args=args)
    found, plain = (
        root(equations, x0, args=args, **arguments) for arguments in (given, {"method": method})
    )
    assert found.success
    np.testing.assert_allclose(equations(found.x, *args), 0.0, atol=1e-5)
    if plain.success:
        np.testing.assert_allclose(found.x, plain.x, atol=1e-4)
    if method == "krylov":
        assert found.nit < 12


def test_root_of_a_field():
    def f(x):
        return x**3 + 3.0 * x - np.roll(x, 1, axis=0) - np.roll(x, 1, axis=1) - 1.0

    x0 = np.zeros((5, 6))
    found = root(f, x0, **bp.sparse.for_root(f, x0, method="krylov"))
    assert found.success
    np.testing.assert_allclose(f(found.x), 0.0, atol=1e-5)


# ---- minima


def rosenbrock(x, a=100.0):
    return np.sum(a * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


@pytest.mark.parametrize(
    ("method", "use"),
    [
        ("BFGS", "gradient"),
        ("L-BFGS-B", "gradient"),
        ("Newton-CG", "hessp"),
        ("Newton-CG", "matrix_free"),
        ("Newton-CG", "hess"),
        ("Newton-CG", "operator"),
        ("Newton-CG", "dense"),
        ("trust-ncg", "hessp"),
        ("trust-ncg", "matrix_free"),
        ("trust-krylov", "hessp"),
        ("trust-constr", "hess"),
        ("trust-constr", "operator"),
        ("trust-constr", "hessp"),
        ("trust-exact", "dense"),
    ],
)
@pytest.mark.parametrize("args", [(), (20.0,)])
def test_minimize(method, use, args):
    x0 = np.full(8, 0.5)
    given = bp.sparse.for_minimize(rosenbrock, use=use)
    found = minimize(rosenbrock, x0, args=args, method=method, **given)
    np.testing.assert_allclose(found.x, 1.0, atol=2e-3)
    if use == "gradient":
        assert found.nfev < minimize(rosenbrock, x0, args=args, method=method).nfev


def test_second_derivatives_are_exact(rng):
    x, v = rng.normal(size=(2, 8))
    expected = bp.hessian(rosenbrock)(x, 20.0)
    uses = ("hess", "dense", "operator", "hessp", "matrix_free")
    given = [bp.sparse.for_minimize(rosenbrock, use=use) for use in uses]
    assert_close(given[0]["hess"](x, 20.0).toarray(), expected)
    assert_close(given[1]["hess"](x, 20.0), expected)
    magnitude = np.abs(expected) @ np.abs(v)
    assert_sums_close(given[2]["hess"](x, 20.0) @ v, expected @ v, magnitude, 16)
    for form in given[3:]:
        for point, a in ((x, 20.0), (x, 100.0), (2.0 * x, 100.0)):
            found = form["hessp"](point, v, a)
            np.testing.assert_allclose(found, bp.hvp(lambda x, a=a: rosenbrock(x, a), point, v))
    changed = x.copy()  # SciPy may reuse the array of the point
    form["hessp"](changed, v)
    changed[0] += 1.0
    expected = bp.hvp(rosenbrock, changed, v)
    assert_close(form["hessp"](changed, v), expected)


def test_bad_arguments():
    with pytest.raises(ValueError, match="'band' is not one of"):
        bp.sparse.for_solve_ivp(diffusion, use="band")
    with pytest.raises(ValueError, match="method 'RK45' takes no such derivative; BDF, Radau"):
        bp.sparse.for_solve_ivp(diffusion, method="RK45")
    with pytest.raises(ValueError, match="method 'LSODA' cannot take use='sparse'; it takes d"):
        bp.sparse.for_solve_ivp(diffusion, method="LSODA", use="sparse")
    with pytest.raises(ValueError, match="needs a point t0, y0"):
        bp.sparse.for_solve_ivp(diffusion, use="jac_sparsity")
    with pytest.raises(ValueError, match="is not one of"):
        bp.sparse.for_least_squares(residuals, use="hess")
    with pytest.raises(ValueError, match="needs a point x0"):
        bp.sparse.for_least_squares(residuals, use="jac_sparsity")
    with pytest.raises(ValueError, match="takes no Jacobian"):
        bp.sparse.for_root(equations, method="broyden1")
    with pytest.raises(ValueError, match="is not one of"):
        bp.sparse.for_minimize(rosenbrock, use="jac")


# ---- errors


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (
            lambda f: bp.sparse.for_solve_ivp(f, foo=1),
            "for_solve_ivp: no option .* beside",
        ),
        (
            lambda f: bp.sparse.for_solve_ivp(f, format="csr"),
            "no option 'format' beside",
        ),
        (
            lambda f: bp.sparse.for_root(f, method="krylov", argnums=1),
            "for_root: no option 'argnums' beside",
        ),
        (lambda f: bp.sparse.for_least_squares(f, use="operator", mode="auto"), "options: none"),
        (lambda f: bp.sparse.for_minimize(f, mode="auto"), "for_minimize: no option 'mode' beside"),
        (lambda f: bp.sparse.for_minimize(f, use="matrix_free", pattern=1), "options: none"),
        (lambda f: bp.sparse.for_solve_ivp(3), "for_solve_ivp: a function is needed, not a int"),
        (lambda f: bp.sparse.for_least_squares(3), "for_least_squares: a function is needed"),
        (lambda f: bp.sparse.for_root(3), "for_root: a function is needed"),
        (lambda f: bp.sparse.for_minimize(3), "for_minimize: a function is needed"),
    ],
)
def test_no_option_is_ignored(call, match):
    with pytest.raises(TypeError, match=match):
        call(np.sin)


def test_given_patterns_of_any_kind(rng):
    y = rng.normal(size=5)
    for pattern in (np.eye(5), sp.eye_array(5), sp.coo_array(np.eye(5))):
        found = bp.sparse.for_solve_ivp(
            lambda t, y: -y, 0.0, y, use="jac_sparsity", pattern=pattern
        )
        np.testing.assert_array_equal(found["jac_sparsity"].toarray(), np.eye(5))
        found = bp.sparse.for_least_squares(lambda y: -y, use="jac_sparsity", pattern=pattern)
        np.testing.assert_array_equal(found["jac_sparsity"].toarray(), np.eye(5))


@banded
def test_a_band_of_a_dense_pattern(rng):
    f = lambda t, y: -y
    found = bp.sparse.for_solve_ivp(f, 0.0, np.ones(5), use="banded", pattern=np.eye(5))
    assert (found["lband"], found["uband"]) == (0, 0)


def test_singular_preconditioners_are_named():
    def f(x):
        return np.stack([x[0] + x[1] - 2.0, x[1] ** 2 - 1.0])

    with pytest.warns(
        RuntimeWarning, match=r"for_root: the Jacobian of shape \(2, 2\) is singular"
    ):
        found = root(f, np.zeros(2), **bp.sparse.for_root(f, method="krylov"))
    assert found.success  # by a plain step from there
    np.testing.assert_allclose(found.x, [1.0, 1.0], rtol=1e-5)


def test_a_root_with_a_singular_jacobian():
    square = lambda x: x**2
    found = root(square, np.zeros(3), **bp.sparse.for_root(square, method="krylov"))  # no warning
    assert found.success
    np.testing.assert_array_equal(found.x, np.zeros(3))


# ---- every method with every form that the docs list


def table():
    """Return the rows of docs/sparse.md: solver, method, use."""
    text = (Path(__file__).parents[2] / "docs" / "sparse.md").read_text()
    lines = text[text.index("| function | method |") :].split("\n\n")[0].splitlines()[2:]
    for line in lines:
        (solver,), methods, uses = (re.findall("`([^`]+)`", c) for c in line.split("|")[1:-1])
        yield from itertools.product([solver], methods, uses or [None])


def bowl(x, center=1.0):
    return np.sum(np.cosh(x - center) + (x - center) ** 2) + 0.1 * np.sum((x[1:] - x[:-1]) ** 2)


def decay(t, y, rate=50.0):
    return [-rate * y[0] + t, *(a - rate * b for a, b in itertools.pairwise(y))]


def nearly(x, center=1.0):
    return [*(x - center), *(0.1 * (x - center) ** 2), 0.5]


def cubes(x, center=1.0):
    return x**3 + x - center**3 - center


START = {"several": [3, -1, 2], "one": [3], "a number": 3}


@pytest.mark.parametrize("start", START)
@pytest.mark.parametrize(("solver", "method", "use"), list(table()))
def test_the_table_of_the_docs(solver, method, use, start):
    """Integers, lists, one unknown, residuals without a slope, arguments."""
    x0, n = START[start], np.size(START[start])
    if solver == "solve_ivp":
        if use == "banded":
            versions.skip_without("scipy 1.16", "LSODA with bands")
        x0 = np.atleast_1d(x0)  # SciPy takes no scalar here
        options = {"t0": 0, "y0": x0, "use": use, "args": (20,)}
        rest = {"args": (20,), **TIGHT}
        found = solve_ivp(
            decay, (0, 1), x0, **rest, **bp.sparse.for_solve_ivp(decay, method=method, **options)
        )
        given = bp.sparse.for_solve_ivp(decay, **options)
        other = solve_ivp(decay, (0, 1), x0, method=method, **rest, **given)
        exact = solve_ivp(decay, (0, 1), x0, method="RK45", **rest)
        for y in (found.y, other.y):
            np.testing.assert_allclose(y[:, -1], exact.y[:, -1], rtol=1e-4, atol=1e-7)
        return
    if solver == "least_squares":
        given = bp.sparse.for_least_squares(nearly, x0, use=use, args=(2,))
        found = least_squares(nearly, x0, method=method, args=(2,), **given)
    elif solver == "root":
        given = bp.sparse.for_root(cubes, x0, method=method, args=(2,))
        found = root(cubes, x0, args=(2,), **given)
    else:
        given = bp.sparse.for_minimize(bowl, method=method.upper(), use=use)
        assert given["method"] == method
        found = minimize(bowl, x0, args=(2,), **given)
    assert found.success
    np.testing.assert_allclose(np.ravel(found.x), np.full(n, 2.0), atol=1e-3)


def test_the_table_of_the_docs_is_complete():
    rows = list(table())
    for solver, methods in (("minimize", MINIMIZERS), ("solve_ivp", STIFF)):
        listed = {}
        for _, method, use in (row for row in rows if row[0] == solver):
            listed[method] = (*listed.get(method, ()), use)
        assert listed == methods  # with the defaults first
    for method, uses in MINIMIZERS.items():
        given = bp.sparse.for_minimize(bowl, method=method)
        assert given.keys() - {"method", "jac"} == (
            set() if uses[0] == "gradient" else {"hessp" if uses[0] == "hessp" else "hess"}
        )


@pytest.mark.parametrize("method", ["Newton-CG", "trust-ncg", "trust-krylov", "trust-exact"])
def test_forms_that_a_method_does_not_take(method):
    for use in {"hess", "operator", "hessp", "matrix_free", "gradient"} - set(MINIMIZERS[method]):
        with pytest.raises(ValueError, match=f"for_minimize: method '{method}' cannot take use="):
            bp.sparse.for_minimize(bowl, method=method, use=use)
    for other in ("Nelder-Mead", "COBYLA", "nonsense", None.__class__):
        with pytest.raises(ValueError, match=r"for_minimize: method .* takes no such derivative"):
            bp.sparse.for_minimize(bowl, method=other)
    with pytest.raises(ValueError, match="'BFGS' cannot take use='hessp'; it takes gradient"):
        bp.sparse.for_minimize(bowl, method="bfgs", use="hessp")


# ---- small and odd problems


@pytest.mark.parametrize(
    ("method", "use", "loss", "bounds"),
    [
        *itertools.product(
            ["trf", "dogbox"],
            ["sparse", "dense", "operator", "jac_sparsity"],
            ["linear", "soft_l1", "cauchy"],
            [(-np.inf, np.inf), (-50.0, 50.0), (-1.0, 2.0)],
        ),
        ("lm", "dense", "linear", (-np.inf, np.inf)),
    ],
)
def test_least_squares_of_one_unknown(method, use, loss, bounds):
    for r in (lambda x: np.stack([x[0] - 10.0, x[0] - 10.0]), lambda x: x - 10.0):
        given = bp.sparse.for_least_squares(r, [0.0], use=use)
        found = least_squares(r, [0.0], method=method, bounds=bounds, loss=loss, **given)
        assert found.success
        np.testing.assert_allclose(found.x, [min(10.0, bounds[1])], rtol=1e-6)


@pytest.mark.filterwarnings("ignore::fastbp.errors.UnconnectedWarning")
@pytest.mark.parametrize("use", ["sparse", "dense", "operator", "jac_sparsity"])
def test_residuals_that_depend_on_nothing(use):
    r = lambda x: [1.0, 2.0]
    found = least_squares(r, [3.0, 1.0], **bp.sparse.for_least_squares(r, [3.0, 1.0], use=use))
    np.testing.assert_array_equal(found.x, [3.0, 1.0])


@pytest.mark.parametrize("use", ["sparse", "dense", "operator", "jac_sparsity"])
def test_least_squares_of_no_unknown(use):
    r = lambda x: [*x, 1.0, 2.0]
    try:
        least_squares(r, [])
    except ValueError:
        pytest.skip("this SciPy takes no empty vector")
    found = least_squares(r, [], **bp.sparse.for_least_squares(r, [], use=use))
    assert (found.x.size, found.cost) == (0, 2.5)


def test_complex_points_are_refused():
    with pytest.raises(DTypeError, match="for_solve_ivp: the point has dtype complex128"):
        bp.sparse.for_solve_ivp(decay, 0.0, [1j], use="jac_sparsity")
    with pytest.raises(DTypeError, match="for_least_squares: the point has dtype complex128"):
        bp.sparse.for_least_squares(nearly, [1j], use="jac_sparsity")
    with pytest.raises(DTypeError, match=r"argument 0 is complex"):
        root(cubes, [1j, 2.0], **bp.sparse.for_root(cubes, method="lm"))
    for use in ("sparse", "dense"):
        given = bp.sparse.for_solve_ivp(decay, method="BDF", use=use)
        with pytest.raises(DTypeError, match=r"argument 1 is complex"):
            solve_ivp(decay, (0.0, 1.0), [1j], **given)


def test_time_and_parameters_may_not_be_recorded():
    jac = bp.sparse.for_solve_ivp(decay)["jac"]
    for t, rate in ((bp.variable(1.0), 20.0), (1.0, bp.variable(20.0))):
        with pytest.raises(NoRuleError, match="depends on Variables from outside"):
            jac(t, np.ones(2), rate)
