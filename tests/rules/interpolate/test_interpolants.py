"""Interpolants: SciPy's values, derivatives by data and by places, again and as linear maps."""

import numpy as np
import pytest
import scipy.interpolate

import fastbp as bp
import fastbp.scipy.interpolate as bip
from fastbp.errors import DTypeError, NoRuleError
from fastbp.testing import check_grads

from ...harness import at_once

X = np.array([0.0, 0.7, 1.5, 2.0, 3.2, 4.0])
AT = np.array([[0.3, 1.2, 1.9], [2.4, 3.9, 0.05]])
CURVES = {
    "CubicSpline": [
        {},
        {"bc_type": "natural"},
        {"bc_type": "clamped", "extrapolate": False},
        {"bc_type": ((1, [0.5, 0.1]), (2, [-0.3, 0.2]))},
        {"bc_type": ("not-a-knot", "clamped"), "axis": 1},
        {"bc_type": "periodic"},
    ],
    "PchipInterpolator": [{}, {"axis": 1}],
    "Akima1DInterpolator": [{}, {"method": "makima", "axis": 1}],
    "make_interp_spline": [
        {},
        {"k": 1},
        {"k": 2},
        {"k": 5},
        {"bc_type": "natural", "axis": 1},
        {"bc_type": ([(1, [0.5, 0.1])], [(2, [-0.5, 0.2])])},
    ],
    "interp1d": [
        {"axis": 0},
        {"kind": "cubic"},
        {"kind": "quadratic", "axis": 0},
        {"kind": "nearest"},
        {"kind": "nearest-up"},
        {"kind": "previous", "axis": 0},
        {"kind": "next"},
        {"fill_value": "extrapolate"},
        {"bounds_error": False, "fill_value": (-1.0, 2.0)},
    ],
}
CASES = [
    pytest.param(name, options, id=f"{name}-{k}")
    for name, each in CURVES.items()
    for k, options in enumerate(each)
]
FLAT = ("nearest", "nearest-up", "previous", "next")


def data(rng, options, name="", n=6, dtype=float):
    y = rng.normal(size=(n, 2)).astype(dtype)
    if options.get("bc_type") == "periodic":
        y[-1] = y[0]
    axis = options.get("axis", -1 if name == "interp1d" else 0)
    return y.T.copy() if axis in (1, -1) else y


def made(name, y, options, x=X):
    y = periodic(y) if options.get("bc_type") == "periodic" else y
    return getattr(bip, name)(x, y, **options)


def value(y):
    return y.value if type(y) is bp.Variable else y


def periodic(y):
    return np.concatenate([y[:-1], y[:1]])


@pytest.mark.parametrize(("name", "options"), CASES)
def test_values_are_scipys(name, options, rng):
    y = data(rng, options, name)
    theirs = getattr(scipy.interpolate, name)(X, y, **options)
    outside = [0.0, 4.0] + [-0.5, 4.5] * (name != "interp1d" or len(options) > 1)
    outside = [*outside, *(X[1:3] if name != "interp1d" else ())]
    for at in (AT, 1.0, np.array(outside)):
        if "fill_value" not in options and name == "interp1d" and np.max(at) > 4:
            continue
        expected = theirs(at)
        for values, places in ((y, at), (bp.variable(y), at), (y, bp.variable(at))):
            found = getattr(bip, name)(X, values, **options)(places)
            found = value(found)
            assert (np.shape(found), np.asarray(found).dtype) == (expected.shape, expected.dtype)
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    if name not in ("interp1d",):
        for nu in (1, 2):
            np.testing.assert_allclose(
                value(getattr(bip, name)(X, bp.variable(y), **options)(AT, nu)),
                theirs(AT, nu),
                rtol=1e-10,
                atol=1e-10,
            )


@pytest.mark.parametrize(("name", "options"), CASES)
def test_derivatives_by_data_and_places(name, options, rng):
    y = data(rng, options, name)
    flat = options.get("kind") in FLAT
    if flat:
        check_grads(lambda y: made(name, y, options)(AT), (y,))
    else:
        check_grads(lambda y, at: made(name, y, options)(at), (y, AT), step=1e-4)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_few_points_and_complex_data(name, options, rng):
    for n in (2, 3):
        # Of two points SciPy's Akima read what was not there, before 1.14.
        if name == "make_interp_spline" or "kind" in options or (name[:5] == "Akima" and n == 2):
            continue
        y = data(rng, options, name, n)
        theirs = getattr(scipy.interpolate, name)(X[:n], y, **options)
        found = getattr(bip, name)(X[:n], bp.variable(y), **options)(0.4)
        np.testing.assert_allclose(found.value, theirs(0.4), rtol=1e-12, atol=1e-13)
    y = data(rng, options, name) + 1j * data(rng, options, name)
    if name in ("PchipInterpolator", "Akima1DInterpolator"):
        with pytest.raises(DTypeError, match=name):
            made(name, bp.variable(y), options)
    else:
        theirs = getattr(scipy.interpolate, name)(X, periodic(y) if options.get(
            "bc_type") == "periodic" else y, **options)  # fmt: skip
        found = made(name, bp.variable(y), options)(AT)
        np.testing.assert_allclose(found.value, theirs(AT), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_a_periodic_spline_goes_on_outside(k, rng):
    y, at = periodic(rng.normal(size=6)), np.array([X[0] - 0.7, X[2] + 0.1, X[-1] + 0.4])
    theirs = scipy.interpolate.make_interp_spline(X, y, k, bc_type="periodic")
    ours = bip.make_interp_spline(X, y, k, bc_type="periodic")
    slopes = bp.grad(lambda at: np.sum(ours(at)))(at)
    np.testing.assert_allclose(bp.vjp(ours, at)[0], theirs(at), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(slopes, theirs(at, 1), rtol=1e-10, atol=1e-10)


def test_a_spline_is_a_linear_map_of_its_data(rng):
    """The transpose is exact: <A x, y> is <x, A' y>."""
    y, v = rng.normal(size=6), rng.normal(size=6)
    for options in ({}, {"bc_type": "natural"}):
        out, pull = bp.vjp(lambda y, o=options: bip.CubicSpline(X, y, **o)(AT), y)
        w = rng.normal(size=out.shape)
        _, t = bp.jvp(lambda y, o=options: bip.CubicSpline(X, y, **o)(AT), (y,), (v,))
        np.testing.assert_allclose(np.sum(w * t), np.sum(pull(w)[0] * v), rtol=1e-13)


def test_calculus_of_piecewise_polynomials(rng):
    y = rng.normal(size=(6, 2))
    theirs = scipy.interpolate.CubicSpline(X, y)
    ours = bip.CubicSpline(X, bp.variable(y))
    for mine, other in (
        (ours.derivative(), theirs.derivative()),
        (ours.antiderivative(2), theirs.antiderivative(2)),
        (ours.derivative(4), theirs.derivative(4)),
    ):
        np.testing.assert_allclose(value(mine(AT)), other(AT), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(ours.integrate(0.3, 3.0).value, theirs.integrate(0.3, 3.0))
    plain = bip.CubicSpline(X, y)
    np.testing.assert_array_equal(plain.integrate(0.3, 3.0), theirs.integrate(0.3, 3.0))
    np.testing.assert_array_equal(plain.roots()[0], theirs.roots()[0])  # SciPy's own
    with pytest.raises(NoRuleError, match=r"CubicSpline\.roots"):
        ours.roots()
    check_grads(lambda y, a, b: bip.CubicSpline(X, y).integrate(a, b), (y, 0.3, 3.0))
    check_grads(lambda c: bip.PPoly(c, [0.0, 1.0, 3.0])(AT[0]), (rng.normal(size=(3, 2)),))
    check_grads(lambda y, s: bip.CubicHermiteSpline(X, y, s)(AT), (y, rng.normal(size=y.shape)))


def test_bsplines_with_repeated_knots(rng):
    t = np.array([0.0, 0, 0, 0, 1.0, 2.0, 2.0, 3.0, 3, 3, 3])
    c = rng.normal(size=(7, 2))
    theirs = scipy.interpolate.BSpline(t, c, 3)
    at = np.array([0.0, 0.4, 1.0, 2.0, 2.5, 3.0, 3.5, -0.5])
    ours = bip.BSpline(t, bp.variable(c), 3)
    np.testing.assert_allclose(ours(at).value, theirs(at), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        ours.derivative()(AT).value, theirs.derivative()(AT), rtol=1e-12, atol=1e-12
    )
    check_grads(lambda c, at: bip.BSpline(t, c, 3)(at), (c, np.array([0.4, 1.3, 2.5])), step=1e-4)


@pytest.mark.parametrize("method", ["linear", "nearest"])
def test_grids(method, rng):
    grid = np.array([0.0, 1.0, 3.0]), np.array([2.0, 1.5, 0.0, -1.0])
    values = rng.normal(size=(3, 4, 2))
    at = np.array([[0.3, 1.8], [2.0, 0.7], [1.5, -0.4]])
    outside = np.array([[3.5, 0.3], [0.2, np.nan], [1.0, 1.5]])
    for options in ({}, {"bounds_error": False}, {"bounds_error": False, "fill_value": None}):
        theirs = scipy.interpolate.RegularGridInterpolator(grid, values, method, **options)
        ours = bip.RegularGridInterpolator(grid, bp.variable(values), method, **options)
        np.testing.assert_allclose(ours(at).value, theirs(at), rtol=1e-14)
        if options:
            np.testing.assert_allclose(ours(outside).value, theirs(outside), rtol=1e-14)
    with pytest.raises(ValueError, match="out of bounds"):
        bip.RegularGridInterpolator(grid, bp.variable(values), method)(outside)

    def f(values, at):
        return bip.RegularGridInterpolator(grid, values, method)(at)

    if method == "linear":
        check_grads(f, (values, at), step=1e-4)
    else:
        check_grads(lambda values: f(values, at), (values,))
    with pytest.raises(NoRuleError, match="method='cubic'"):
        bip.RegularGridInterpolator(grid, bp.variable(values), "cubic")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"kernel": "linear", "smoothing": 0.1},
        {"kernel": "cubic", "degree": 2},
        {"kernel": "quintic"},
        {"kernel": "gaussian", "epsilon": 1.5},
        {"kernel": "multiquadric", "epsilon": 1.0, "degree": -1},
        {"kernel": "inverse_quadratic", "epsilon": 0.7},
        {"kernel": "inverse_multiquadric", "epsilon": 0.7},
    ],
)
def test_radial_functions(options, rng):
    y, d, at = rng.normal(size=(9, 2)), rng.normal(size=(9, 2)), rng.normal(size=(3, 2))
    theirs = scipy.interpolate.RBFInterpolator(y, d, **options)
    np.testing.assert_allclose(
        bip.RBFInterpolator(y, bp.variable(d), **options)(at).value, theirs(at), rtol=1e-9
    )
    check_grads(lambda d, at: bip.RBFInterpolator(y, d, **options)(at), (d, at), step=1e-4)


def test_what_is_constant_is_refused_by_name(rng):
    y = rng.normal(size=6)
    for name in CURVES:
        with pytest.raises(NoRuleError, match=rf"{name}: x, where the data is"):
            getattr(bip, name)(bp.variable(X), y)
    with pytest.raises(NoRuleError, match="neighbors="):
        bip.RBFInterpolator(rng.normal(size=(6, 2)), bp.variable(y), neighbors=5)
    with pytest.raises(NoRuleError, match="bc_type='periodic'"):
        bip.make_interp_spline(X, bp.variable(y), bc_type="periodic")
    with pytest.raises(ValueError, match="above the interpolation range"):
        bip.interp1d(X, bp.variable(y))(5.0)


@pytest.mark.parametrize("kind", ["previous", "next", "zero", "nearest", "linear", "cubic"])
def test_values_outside_of_the_data_have_derivatives(kind):
    """At places on both sides, and on the last knot."""
    at, y = np.array([-0.5, 0.3, X[-1], 5.0]), np.linspace(1.0, 2.0, X.size) ** 2

    def f(module, y):
        return module.interp1d(X, y, kind, fill_value="extrapolate")(at)

    value = np.asarray(f(scipy.interpolate, y))
    there = np.isfinite(value)
    found, vjp = bp.vjp(lambda y: f(bip, y), y)
    np.testing.assert_allclose(found, value, rtol=1e-13)
    for k in np.flatnonzero(there):
        expected = [f(scipy.interpolate, unit)[k] for unit in np.eye(X.size)]  # linear in y
        (g,) = vjp(np.eye(at.size)[k])
        np.testing.assert_allclose(g, expected, atol=1e-12)


def test_a_step_that_begins_at_the_last_knot():
    t, c = [0.0, 1.0, 2.0, 2.0], np.array([1.0, 2.0, 3.0])
    at = np.array([-1.0, 0.5, 2.0, 2.5])
    found, vjp = bp.vjp(lambda c: bip.BSpline(t, c, 0)(at), c)
    np.testing.assert_array_equal(found, scipy.interpolate.BSpline(t, c, 0)(at))
    np.testing.assert_array_equal(vjp(np.array([0.0, 0.0, 1.0, 1.0]))[0], [0.0, 0.0, 2.0])
    with pytest.raises(NoRuleError, match=r"BSpline: an end knot 3 times at degree k=1"):
        bp.vjp(lambda c: bip.BSpline([0.0, 0.0, 1.0, 2.0, 2.0, 2.0], c, 1)(at), np.ones(4))


@pytest.mark.parametrize(
    "name", ["CubicSpline", "PchipInterpolator", "Akima1DInterpolator", "interp1d"]
)
def test_points_that_are_made_inside(name):
    theirs, y = getattr(scipy.interpolate, name), np.array([1.0, 2.0, 4.0, 3.0, 5.0])
    points = np.linspace(0, 1, 5)

    def inside(v):
        return np.sum(theirs(np.linspace(0, 1, 5), v)(0.3))

    def outside(v):
        return np.sum(theirs(points, v)(0.3))

    found, wanted = (bp.grad(bp.unmodified(f))(y) for f in (inside, outside))
    np.testing.assert_allclose(found, wanted, rtol=1e-14)


@pytest.mark.parametrize("name", ["CubicSpline", "RBFInterpolator"])  # sparse factors, and dense
def test_threads_share_factors(rng, name):
    """A pullback keeps the factors; `scipy.linalg.lu_solve` is wrong where two threads call it."""
    x, y = np.sort(rng.random((9, 2)), axis=0).T
    x, at = (x, np.array([0.5])) if name == "CubicSpline" else (x[:, None], np.array([[0.5]]))
    _, vjp = bp.vjp(lambda y: getattr(bip, name)(x, y)(at), y)
    g = np.ones(1)
    expected = vjp(g)[0]

    def work(_):
        for _ in range(300):
            np.testing.assert_array_equal(vjp(g)[0], expected)

    at_once(work, *range(8))
