"""`fastbp.numpy.polynomial`: NumPy's code of polynomials and series, on recorded values."""

import numpy as np
import numpy.polynomial as theirs
import pytest

import fastbp as bp
import fastbp.numpy as bnp
from fastbp.errors import NoRuleError

C = np.array([0.5, -1.2, 0.8, 1.1])
C2 = np.array([[0.5, -1.0], [-1.2, 0.3], [0.8, 0.7], [1.1, 0.2]])
GRID = np.array([[0.5, -1.0, 0.3], [0.2, 0.8, -0.7], [1.1, 0.2, 0.4]])
CUBE = np.arange(8.0).reshape(2, 2, 2) / 4 - 1
X = np.array([0.3, 0.7, -0.2])
PREFIXES = {
    "polynomial": "poly",
    "chebyshev": "cheb",
    "legendre": "leg",
    "hermite": "herm",
    "hermite_e": "herme",
    "laguerre": "lag",
}
# For a function that finds the function of a name without its prefix: one of an array, and where.
CASES = {
    "val": (lambda f: lambda x: f("val")(x, C), X),
    "val, columns": (lambda f: lambda x: f("val")(x, C2), X),
    "val, by coefficients": (lambda f: lambda c: f("val")(X, c), C),
    "val, by columns": (lambda f: lambda c: f("val")(X, c), C2),
    "val, paired": (lambda f: lambda c: f("val")(X[:2], c, tensor=False), C2),
    "val, of a number": (lambda f: lambda x: f("val")(x[0], C2), X),
    "val2d": (lambda f: lambda x: f("val2d")(x, x * x, GRID), X),
    "val2d, by coefficients": (lambda f: lambda c: f("val2d")(X, X * X, c), GRID),
    "grid2d": (lambda f: lambda x: f("grid2d")(x, x[:2], GRID), X),
    "val3d": (lambda f: lambda x: f("val3d")(x, x, 2 * x, CUBE), X),
    "grid3d": (lambda f: lambda x: f("grid3d")(x, x[1:], 2 * x, CUBE), X),
    "vander": (lambda f: lambda x: f("vander")(x, 3), X),
    "vander2d": (lambda f: lambda x: f("vander2d")(x, x, [2, 1]), X),
    "der": (lambda f: lambda c: f("der")(c, 2), C),
    "int": (lambda f: lambda c: f("int")(c, 1, k=[c[0]], lbnd=c[1]), C),
    "add": (lambda f: lambda c: f("add")(c, c[:2]), C),
    "sub": (lambda f: lambda c: f("sub")(c, c[:2]), C),
    "mul": (lambda f: lambda c: f("mul")(c, c[:2]), C),
    "mulx": (lambda f: lambda c: f("mulx")(c), C),
    "div": (lambda f: lambda c: f("div")(c, c[:2])[0], C),
    "pow": (lambda f: lambda c: f("pow")(c, 3), C[:3]),
    "fromroots": (lambda f: lambda r: f("fromroots")(r), C),
    "companion": (lambda f: lambda c: f("companion")(c), C),
    "roots": (lambda f: lambda c: np.real(f("roots")(c)), np.array([-0.1, -1.0, 0.2, 1.0])),
    "fit": (lambda f: lambda y: f("fit")(np.arange(4.0) / 3, y, 2), C),
    "fit, by places": (lambda f: lambda x: f("fit")(x, np.arange(4.0) ** 2, 2), C),
    "fit, by weights": (lambda f: lambda w: f("fit")(X, X**2 + X, 1, w=w**2 + 1), X),
}


def finder(modules, name):
    module = getattr(modules, name)
    return lambda function: getattr(module, PREFIXES[name] + function)


def differences(f, x, h=1e-5):
    steps = h * np.eye(x.size).reshape(-1, *x.shape)
    slopes = [(np.asarray(f(x + s)) - np.asarray(f(x - s))) / (2 * h) for s in steps]
    return np.moveaxis(slopes, 0, -1).reshape(*slopes[0].shape, *x.shape)


@pytest.mark.parametrize("name", PREFIXES)
@pytest.mark.parametrize("case", CASES)
def test_values_and_derivatives(case, name):
    make, x = CASES[case]
    plain, ours = make(finder(theirs, name)), make(finder(bnp.polynomial, name))
    np.testing.assert_array_equal(ours(x), plain(x))
    np.testing.assert_array_equal(bp.vjp(ours, x)[0], plain(x))
    expected = differences(plain, x)
    twice = differences(bp.jacobian(ours), x)
    for f in (ours, bp.unmodified(plain), bp.compile(ours)):
        for mode in ("forward", "reverse"):
            jacobian = bp.jacobian(f, mode=mode)
            np.testing.assert_allclose(jacobian(x), expected, rtol=1e-7, atol=1e-7)
            np.testing.assert_allclose(bp.jacobian(jacobian)(x), twice, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("roots", "tensor"), [(C, True), (C2, True), (C2, False)])
def test_products_of_roots(roots, tensor):
    x = X if tensor else X[:2]
    f = bnp.polynomial.polynomial.polyvalfromroots
    plain = theirs.polynomial.polyvalfromroots
    of_x, of_roots = (lambda x: f(x, roots, tensor)), (lambda r: f(x, r, tensor))
    np.testing.assert_allclose(
        bp.jacobian(of_x)(x), differences(lambda x: plain(x, roots, tensor), x), atol=1e-8
    )
    np.testing.assert_allclose(
        bp.jacobian(of_roots)(roots), differences(lambda r: plain(x, r, tensor), roots), atol=1e-8
    )


def test_without_recorded_values_it_is_numpy():
    assert bnp.polynomial.chebyshev.chebval(0.5, [1, 2]) == theirs.chebyshev.chebval(0.5, [1, 2])
    assert bnp.polynomial.Polynomial is theirs.Polynomial
    assert bnp.polynomial.chebyshev.Chebyshev is theirs.Chebyshev
    assert set(dir(theirs.legendre)) <= set(dir(bnp.polynomial.legendre))


@pytest.mark.parametrize("name", PREFIXES)
def test_plain_numpy_says_what_to_write(name):
    full = f"numpy.polynomial.{name}.{PREFIXES[name]}val"
    with pytest.raises(bp.errors.NoRuleError, match=f"^{full} takes no .*write fastbp.{full}"):
        bp.jacobian(lambda c: finder(theirs, name)("val")(X, c))(C)


@pytest.mark.parametrize(
    "kind", ["Polynomial", "Chebyshev", "Hermite", "HermiteE", "Laguerre", "Legendre"]
)
def test_classes_of_constant_coefficients(kind):
    """NumPy's own, also with a domain: their values at recorded numbers, and slopes."""
    p = getattr(theirs, kind)([1.0, 2.0, 3.0, -0.5], domain=[0, 3])
    x = np.array([[0.5, 1.0], [2.0, 2.5]])
    np.testing.assert_allclose(bp.vjp(p, x)[0], p(x), rtol=1e-14)
    np.testing.assert_allclose(bp.elementwise_grad(p)(x), p.deriv()(x), rtol=1e-12)
    np.testing.assert_allclose(
        bp.elementwise_grad(bp.elementwise_grad(p))(x), p.deriv(2)(x), rtol=1e-12
    )
    for f in (bp.compile(p), bp.vmap(p)):
        np.testing.assert_allclose(f(x), p(x), rtol=1e-14)


def test_classes_of_recorded_coefficients_are_refused():
    with pytest.raises(NoRuleError, match=r"numpy\.polynomial\.Polynomial"):
        bp.grad(lambda c: theirs.Polynomial(c)(2.0))(np.ones(3))
