"""Where a Variable was asked for a plain array or number: who asked, and what to write instead."""

import copy
import math
import re
import sys

import numpy as np
import pytest
import scipy.fft
import scipy.integrate
import scipy.interpolate
import scipy.linalg
import scipy.optimize
import scipy.signal
import scipy.spatial
import scipy.special
import scipy.stats
from scipy.spatial.transform import Rotation

import fastbp as bp
import fastbp.numpy as bnp
from fastbp.errors import DTypeError, FastbpError, NoRuleError
from fastbp.rules import frames, refusals

from .. import versions

A = np.array([[2.0, 0.5], [0.5, 1.0]])
B = np.array([1.0, 2.0])


@pytest.fixture
def x():
    return bp.variable(B)


@pytest.fixture
def m():
    return bp.variable(A)


def refused(call, *args, **kwargs):
    """Return the message of the error that a call raises."""
    with pytest.raises(NoRuleError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


# ---- functions of SciPy and NumPy: named as the user wrote them, with what works


CALLS = {
    "scipy.linalg.expm": lambda x, m: scipy.linalg.expm(m),
    "scipy.linalg.cho_solve": lambda x, m: scipy.linalg.cho_solve((m, True), B),
    "scipy.linalg.solve_triangular": lambda x, m: scipy.linalg.solve_triangular(A, x),
    "scipy.linalg.cholesky": lambda x, m: scipy.linalg.cholesky(m),
    "scipy.linalg.inv": lambda x, m: scipy.linalg.inv(m),
    "scipy.linalg.block_diag": lambda x, m: scipy.linalg.block_diag(m, m),
    "scipy.linalg.null_space": lambda x, m: scipy.linalg.null_space(m),
    "scipy.special.logsumexp": lambda x, m: scipy.special.logsumexp(x),
    "scipy.special.softmax": lambda x, m: scipy.special.softmax(x),
    "scipy.special.multigammaln": lambda x, m: scipy.special.multigammaln(x[0], 1),
    "scipy.special.diric": lambda x, m: scipy.special.diric(x, 3),
    "scipy.stats.norm.logpdf": lambda x, m: scipy.stats.norm.logpdf(x),
    "scipy.stats.norm.cdf": lambda x, m: scipy.stats.norm(loc=x).cdf(B),
    "scipy.stats.gamma.logpdf": lambda x, m: scipy.stats.gamma.logpdf(B, x),
    "scipy.stats.levy.pdf": lambda x, m: scipy.stats.levy.pdf(x),
    "scipy.signal.lfilter": lambda x, m: scipy.signal.lfilter([1.0], [1.0, 0.5], x),
    "scipy.fft.fft": lambda x, m: scipy.fft.fft(x),
    "scipy.fft.fht": lambda x, m: scipy.fft.fht(B, 0.1, 0.5, x[0]),
    "scipy.optimize.linear_sum_assignment": lambda x, m: scipy.optimize.linear_sum_assignment(m),
    "scipy.integrate.trapezoid": lambda x, m: scipy.integrate.trapezoid(x),
    "scipy.integrate.quad": lambda x, m: scipy.integrate.quad(lambda t: t * x[0], 0.0, 1.0),
    "scipy.integrate.dblquad": lambda x, m: scipy.integrate.dblquad(
        lambda s, t: t, 0.0, 1.0, x[0], 3.0
    ),
    "scipy.signal.cspline1d": lambda x, m: scipy.signal.cspline1d(x),
    "scipy.interpolate.CubicSpline": lambda x, m: scipy.interpolate.CubicSpline([0.0, 1.0], x),
    "scipy.interpolate.PchipInterpolator": lambda x, m: scipy.interpolate.PchipInterpolator(
        [0.0, 1.0], [x[0], x[1]]
    ),
    "scipy.interpolate.LinearNDInterpolator": lambda x, m: scipy.interpolate.LinearNDInterpolator(
        [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]], bp.variable(np.ones(3))
    ),
    "scipy.spatial.distance_matrix": lambda x, m: scipy.spatial.distance_matrix(m, m),
    "scipy.spatial.distance.cdist": lambda x, m: scipy.spatial.distance.cdist(m, m),
    "scipy.spatial.Delaunay": lambda x, m: scipy.spatial.Delaunay(m),
    "scipy.signal.StateSpace": lambda x, m: scipy.signal.StateSpace(m, A, A, A),
    "scipy.signal.TransferFunction": lambda x, m: scipy.signal.TransferFunction(x, [1.0, 2.0]),
    "scipy.optimize.minimize": lambda x, m: scipy.optimize.minimize(np.sum, x),
    "numpy.full": lambda x, m: np.full(3, x[0]),
    "numpy.sum": lambda x, m: np.sum([x[0], x[1]]),
    "numpy.linalg.norm": lambda x, m: np.linalg.norm([x[0], x[1]]),
    "numpy.fill_diagonal": lambda x, m: np.fill_diagonal(np.eye(2), x),
    "numpy.full_like": lambda x, m: np.full_like(B, x[0]),
    "numpy.vectorize": lambda x, m: np.vectorize(math.sin)(x),
}
INSTEAD = {
    "scipy.linalg.expm": "write fastbp.scipy.linalg.expm",
    "scipy.linalg.cho_solve": "write fastbp.scipy.linalg.cho_solve",
    "scipy.linalg.solve_triangular": "write fastbp.scipy.linalg.solve_triangular",
    "scipy.linalg.cholesky": "write fastbp.scipy.linalg.cholesky",
    "scipy.linalg.inv": "write fastbp.scipy.linalg.inv",
    "scipy.linalg.block_diag": "write fastbp.scipy.linalg.block_diag",
    "scipy.linalg.null_space": "write fastbp.scipy.linalg.null_space",
    "scipy.special.logsumexp": "write fastbp.scipy.special.logsumexp",
    "scipy.special.softmax": "write fastbp.scipy.special.softmax",
    "scipy.special.multigammaln": "write fastbp.scipy.special.multigammaln",
    "scipy.special.diric": "fastbp.custom_rule(scipy.special.diric, vjp=...)",
    "scipy.stats.norm.logpdf": "write fastbp.scipy.stats.norm.logpdf",
    "scipy.stats.norm.cdf": "write fastbp.scipy.stats.norm.cdf",
    "scipy.stats.gamma.logpdf": "write fastbp.scipy.stats.gamma.logpdf",
    "scipy.stats.levy.pdf": "fastbp.custom_rule(scipy.stats.levy.pdf, vjp=...)",
    "scipy.signal.lfilter": "write fastbp.scipy.signal.lfilter",
    "scipy.fft.fft": "write fastbp.scipy.fft.fft",
    "scipy.fft.fht": "beside a plain array (it calls numpy.multiply in place): fastbp.scipy has",
    "scipy.optimize.linear_sum_assignment": "derivatives by fastbp.grad",
    "scipy.integrate.trapezoid": "write fastbp.scipy.integrate.trapezoid",
    "scipy.integrate.quad": "write fastbp.scipy.integrate.quad",
    "scipy.integrate.dblquad": "fastbp.scipy.integrate.quad with another one as its integrand",
    "scipy.signal.cspline1d": "fastbp.scipy has none, give it a rule by",
    "scipy.interpolate.CubicSpline": "write fastbp.scipy.interpolate.CubicSpline",
    "scipy.interpolate.PchipInterpolator": "write fastbp.scipy.interpolate.PchipInterpolator",
    "scipy.interpolate.LinearNDInterpolator": "fastbp.scipy has none, give it a rule by",
    "scipy.spatial.distance_matrix": "write NumPy functions of the differences, x[:, None] - y",
    "scipy.spatial.distance.cdist": "write NumPy functions of the differences, x[:, None] - y",
    "scipy.spatial.Delaunay": "fastbp.scipy has none, give it a rule by",
    "scipy.signal.StateSpace": "fastbp.scipy has none, give it a rule by",
    "scipy.signal.TransferFunction": "fastbp.scipy has none, give it a rule by",
    "scipy.optimize.minimize": "derivatives by fastbp.grad",
    "numpy.full": "write fastbp.numpy.full(shape, x)",
    "numpy.full_like": "write fastbp.numpy.full_like(a, x)",
    "numpy.sum": " in a list: write numpy.sum(fastbp.numpy.array([x, y]))",
    "numpy.linalg.norm": "numpy.linalg.norm(fastbp.numpy.array([x, y]))",
    "numpy.fill_diagonal": "b = fastbp.variable(b), and numpy.fill_diagonal(b, ...)",
    "numpy.vectorize": "fastbp.numpy.vectorize(f)(x)",
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore:`distance_matrix` is deprecated:DeprecationWarning")
def test_functions_are_named_with_what_to_write_instead(name, x, m):
    if name in versions.UNNAMED:
        pytest.skip("older versions of SciPy do something else")
    message = refused(CALLS[name], x, m)
    assert message.startswith(f"{name} takes no Variable")
    assert INSTEAD[name] in message
    # What has no derivative comes last.
    assert message.index(INSTEAD[name]) < message.index("stop_gradient")
    assert "item()" not in message


@versions.needs("scipy 1.15", "an object that is called")
def test_objects_of_one_class_have_names_of_their_own(x):
    message = refused(lambda x: scipy.special.sph_harm_y(2, 1, x, x), x)
    assert message.startswith("scipy.special.sph_harm_y takes no Variable: write fastbp.scipy.spec")
    message = refused(lambda x: scipy.special.sph_legendre_p(2, 1, x), x)
    assert message.startswith("scipy.special.sph_legendre_p takes no Variable")


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (scipy.special.itstruve0, "scipy.special.itstruve0"),
        (lambda x: scipy.special.struve(1.0, x), "scipy.special.struve"),
        (np.spacing, "numpy.spacing"),
        (lambda x: np.nextafter(x, 1.0), "numpy.nextafter"),
        (lambda x: np.logaddexp.accumulate(x), "numpy.logaddexp.accumulate"),
        (lambda x: scipy.special.jv.outer(x, x), "scipy.special.jv.outer"),
    ],
)
def test_what_has_no_rule_is_named_by_its_module(call, name, x):
    assert refused(call, x).startswith(f"{name} has no derivative rule in fastbp: ")


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (
            lambda x: scipy.special.lmbda(1.5, x[0]),
            ValueError,
            "scipy.special.lmbda was given a Variable: fastbp.scipy has none",
        ),
        (
            lambda x: scipy.optimize.brentq(lambda t: t - 1.5, 0.0, x[1]),
            RuntimeError,
            "scipy.optimize.brentq was given a Variable: give it plain numbers",
        ),
        (lambda x: np.sum(x, axis=3), ValueError, None),  # an error of the user's
        (lambda x: x[0] + [][0], IndexError, None),
    ],
)
def test_errors_of_scipys_own_are_explained(call, error, says):
    with pytest.raises(error) as caught:
        bp.grad(call)(B)
    notes = getattr(caught.value, "__notes__", [])
    assert notes == [] if says is None else notes[0].startswith(says)


def test_a_plain_array_beside_a_variable(x):
    message = refused(lambda: np.linalg.norm(B, x[0] + 0.5))
    assert message.startswith("numpy.linalg.norm takes no Variable beside a plain array")
    assert "write numpy.linalg.norm(fastbp.variable(a), ...)" in message


def test_what_is_recommended_exists():
    texts = [refusals.write_instead(name) for name in (*INSTEAD, *refusals.INSTEAD)]
    names = re.findall(r"\b(?:fastbp|numpy|scipy)(?:\.[a-z_]\w*)+", " ".join(texts))
    assert len(set(names)) > 20
    for name in names:
        value = {"fastbp": bp, "numpy": np, "scipy": scipy}[name.split(".")[0]]
        for part in name.split(".")[1:]:
            value = getattr(value, part)


def test_the_lines_recommended_are_right():
    rule = bp.custom_rule(scipy.special.gammaln, vjp=lambda g, ans, x: g * scipy.special.digamma(x))
    bp.testing.check_grads(rule, np.array([0.5, 3.0]), order=1, modes=("rev",))


# ---- in the user's own code: assignment to elements, numbers, arrays


def by_element(x):
    b = np.zeros(2)
    b[0] = x[0] ** 2


def by_slice(x):
    b = np.zeros(2)
    b[:] = x


def by_array(x):
    b = np.zeros(2)
    b[np.array([0, 1])] = x


def by_row(x):
    b = np.zeros((2, 2))
    b[1] = x


def added(x):
    b = np.zeros(2)
    b[1] += x[1]


@pytest.mark.parametrize("assign", [by_element, by_slice, by_array, by_row, added])
def test_assignment_to_an_element_of_a_plain_array(assign, x):
    message = refused(assign, x)
    assert "element of a plain array cannot keep the derivative" in message
    assert "b = fastbp.numpy.zeros(n)" in message
    assert "b = fastbp.variable(b)" in message
    assert "fastbp.unmodified(f)" in message


def test_what_the_message_says_works():
    def with_a_list(x):
        return np.sum(bnp.array([x[i] ** 2 for i in range(2)]))

    def filled(x):
        b = bnp.zeros(2)
        for i in range(2):
            b[i] = x[i] ** 2
        return np.sum(b)

    def made_a_variable(x):
        b = np.zeros(2)
        if isinstance(x, bp.Variable):
            b = bp.variable(b)
        b[:] = x**2
        return np.sum(b)

    def as_it_is(x):
        b = np.zeros(2)
        b[:] = x**2
        return np.sum(b)

    for f in (with_a_list, filled, made_a_variable, bp.unmodified(as_it_is)):
        np.testing.assert_array_equal(bp.grad(f)(B), 2 * B)
        assert isinstance(f(B), np.floating)  # SciPy's solvers call it on plain arrays, too


@pytest.mark.parametrize("sign", ["+", "-", "*", "/", "**", "%", "@"])
def test_in_place_on_a_plain_array(sign, m):
    message = refused(exec, f"b {sign}= x", {"b": np.eye(2), "x": m})
    assert f"write b = b {sign} x" in message
    assert "b = b" in message


def test_out_is_named(x):
    assert "write b = numpy.exp(...) without out=" in refused(np.exp, x, out=np.empty(2))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (float, "write numpy.sin(x) and the like in place of math.sin(x)"),
        (math.sin, "write numpy.sin(x)"),
        (math.fsum, "math.fsum(x) of a Variable would lose its derivative: write numpy.sum(x)"),
        (lambda x: math.erf(x), "write fastbp.scipy.special.erf(x)"),
        (
            lambda x: math.atan2(1.0, x),
            "math.atan2(x) of a Variable would lose its derivative: write",
        ),
        (lambda x: math.log(x) + 1.0, "write numpy.log(x)"),
        (lambda x: B.dot(x), "the method dot of a plain array takes no Variable: write numpy.dot"),
        (int, "numpy.trunc(x)"),
        (complex, "x + 0j"),
        (range, "cannot stand for an integer"),
        (lambda x: [1, 2, 3][x], "cannot stand for an integer"),
        (np.asarray, "fastbp.numpy.array([x, y]) or numpy.stack([x, y])"),
        (lambda x: np.array([x, 1.0]), "fastbp.numpy.array([x, y]) or numpy.stack([x, y])"),
        (np.float64, "fastbp.numpy.array([x, y])"),
        (lambda x: B[x], "cannot stand for an integer"),
    ],
)
def test_numbers_and_arrays(call, says):
    x = bp.variable([1.0, 2.0]) if call is math.fsum else bp.variable(1.0)
    message = refused(call, x)
    assert says in message
    # What loses the derivative is never the first thing that is said.
    first = re.search(r"item\(\)|\.value|stop_gradient", message)
    assert first is None or first.start() > message.index(":")
    assert "item()" not in message


# ---- doors


def test_tolist_keeps_the_derivative():
    def f(x):
        (a, b), (c, d) = x.tolist()
        return a * b + 3.0 * c * d

    np.testing.assert_array_equal(bp.grad(f)(A), [[0.5, 2.0], [3.0, 1.5]])
    x = bp.variable(2.0)
    assert x.tolist() is x
    assert bp.variable(np.zeros((2, 0))).tolist() == [[], []]


def test_match_takes_a_variable_as_it_takes_an_array():
    def branch(x):
        match x:
            case [a, b, *rest]:
                return a, b, rest
            case _:
                return None

    found, expected = branch(bp.variable([1.0, 2.0, 3.0])), branch(np.array([1.0, 2.0, 3.0]))
    assert (found is None) == (expected is None)
    is_sequence = 1 << 5  # Py_TPFLAGS_SEQUENCE
    assert bp.Variable.__flags__ & is_sequence == np.ndarray.__flags__ & is_sequence
    if found is not None:
        assert all(type(v) is bp.Variable for v in (*found[:2], *found[2]))


def test_flat(x):
    def f(a):
        a = a * 1.0
        a.flat[::3] = 5.0
        a.flat[1] = a.flat[2] ** 2
        return np.sum(a * a)

    # [5, c^2, c, 5] of [a, b, c, d]
    np.testing.assert_array_equal(bp.grad(f)(A), [[0.0, 0.0], [4 * 0.5**3 + 2 * 0.5, 0.0]])
    a, n = bp.variable(A) * 1.0, A.copy()
    for index, value in ((slice(None), B), ([0, 3, 2], [7.0, 8.0]), (-1, 3.0), (n > 1, 1.0)):
        index = index.ravel() if isinstance(index, np.ndarray) else index
        a.flat[index] = value
        n.flat[index] = value
        np.testing.assert_array_equal(a.value, n)
        np.testing.assert_array_equal(a.flat[index].value, n.flat[index])
    a.flat = x
    n.flat = B
    np.testing.assert_array_equal(a.value, n)
    np.testing.assert_array_equal(bp.gradients(np.sum(a * [[1.0, 2.0], [3.0, 4.0]]), x), [4.0, 6.0])
    flat = a.flat
    assert (len(flat), flat.base is a) == (4, True)
    assert next(flat).value == n.flat[0]
    assert next(flat).value == n.flat[1]
    np.testing.assert_array_equal([v.value for v in a.flat], n.ravel())
    np.testing.assert_array_equal(flat.copy().value, n.ravel())
    with pytest.raises(DTypeError, match="masked"):
        a.flat[:2] = np.ma.masked_array(B, [True, False])


@pytest.mark.parametrize("value", [2.5, -2.5, 3.4999])
def test_steps_of_a_number_are_pythons(value):
    x = bp.variable(value)
    for function in (round, math.floor, math.ceil, math.trunc):
        assert function(x) == function(value)
        assert type(function(x)) is int
        with pytest.raises(DTypeError, match=rf"{function.__name__}\(x\): x has shape \(2,\)"):
            function(bp.variable(B))
    assert round(x, 1) == round(value, 1)
    assert bp.grad(lambda x: x * round(x))(value) == round(value)


def test_reversed_and_copies(x):
    assert [v.value for v in reversed(x)] == [2.0, 1.0]
    with pytest.raises(TypeError):
        reversed(bp.variable(1.0))
    assert copy.copy(x).value is not None


def test_full_and_full_like(x):
    c = np.zeros((3, 2))
    g = bp.grad(lambda v: np.sum(c[:, 0] + bnp.full_like(c, v)[:, 0] ** 2))(2.0)
    assert g == 12.0
    np.testing.assert_array_equal(bp.grad(lambda v: np.sum(bnp.full((3, 2), v)))(B), [3.0, 3.0])
    found = np.full_like(bp.variable(c), x)
    np.testing.assert_array_equal(bp.gradients(np.sum(found), x), [3.0, 3.0])
    assert bnp.full_like(c, x, np.float32).dtype == np.float32
    assert bnp.full_like(c, x[0], shape=(4,)).shape == (4,)
    assert type(bnp.full_like(c, 1.0)) is np.ndarray
    with pytest.raises(DTypeError, match="full_like"):
        bnp.full_like(np.zeros(2, int), x)


# ---- scipy.sparse


def test_constructors_of_sparse_matrices_name_themselves(x, m):
    for name in ("diags", "diags_array"):
        function = getattr(scipy.sparse, name)
        for given in (x, [x], [x, x[:1]]):
            message = refused(function, given, *([[0, 1]] if len(given) == 2 else []))
            assert message.startswith(f"scipy.sparse.{name} takes no Variable")
            assert "fastbp.sparse.csr(values, indices, indptr, shape)" in message
        np.testing.assert_array_equal(function(B).toarray(), np.diag(B))
    s = scipy.sparse
    entries = ([0, 1], [0, 1])
    for name in ("coo_array", "csr_array", "csc_matrix"):
        message = refused(getattr(s, name), (x, entries))
        assert message.startswith(f"scipy.sparse.{name} takes no Variable")
    with pytest.raises(ValueError, match="constructor") as caught:
        s.csr_array(m)
    assert "fastbp.sparse.csr(" in str(caught.value.__cause__)
    assert "fastbp.sparse.solve(A, b)" in refused(
        scipy.sparse.linalg.spsolve, s.eye_array(2, format="csc"), x
    )


def test_what_the_message_about_diagonals_says_works():
    def f(v):
        return np.sum(bp.sparse.from_scipy(scipy.sparse.diags(np.ones(2)), v) @ B)

    np.testing.assert_array_equal(bp.grad(f)(A[0]), B)


def test_names_are_found_in_any_frame():
    """Functions by their module, methods by their object, private ones not at all."""
    assert frames.name_of(np.sum) == "numpy.sum"
    assert frames.name_of(scipy.special.gammaln) == "scipy.special.gammaln"
    assert frames.name_of(np.frompyfunc(math.sin, 1, 1)) == "sin (vectorized)"
    assert refusals.write_instead("sin (vectorized)").endswith("fastbp.custom_rule(f, vjp=...)")
    assert frames.name_of(np.linalg.inv) == "numpy.linalg.inv"
    assert frames.asking_function(sys._getframe()) is None


def rotated(x):
    return Rotation.from_rotvec(x[:3]).as_matrix()


@pytest.mark.parametrize(
    ("f", "said"),
    [
        (lambda x: scipy.stats.norm.fit(x)[0], r"scipy\.stats\.norm\.fit takes .*sum of logpdf"),
        (lambda x: np.matrix(x), r"^numpy\.matrix takes no Variable: write numpy\.atleast_2d"),
        (
            lambda x: np.lib.stride_tricks.as_strided(x, (2, 2), (8, 8)),
            r"^numpy\.lib\.stride_tricks\.as_strided takes .*write numpy\.lib.*sliding_window_view",
        ),
        (rotated, r"^scipy\.spatial\.transform\.Rotation\.from_rotvec takes no Variable"),
        (lambda x: np.array([x[0], x[1]]), r"^numpy\.array: a Variable cannot become"),
        (lambda x: np.asarray(x), r"^numpy\.asarray: a Variable cannot become"),
    ],
)
def test_names_of_methods_classes_and_compiled_functions(f, said):
    with pytest.raises(NoRuleError, match=said):
        bp.grad(lambda x: np.sum(f(x)))(np.arange(1.0, 5.0))


@pytest.mark.parametrize("f", [lambda x: np.nditer(x), lambda x: np.nditer([x, np.ones(3)])])
def test_a_compiled_class_is_named(f):
    """NumPy puts an error of its own in the place of a TypeError."""
    with pytest.raises(FastbpError, match=r"numpy\.nditer takes no Variable: write numpy\.ravel"):
        bp.grad(lambda x: sum(y for y in f(x)))(np.ones(3))


def test_records_are_named():
    with pytest.raises(NoRuleError, match=r"numpy\.rec\.fromarrays takes no Variable.*dict\(zip"):
        bp.grad(lambda x: np.rec.fromarrays([x, x], names="a,b").a.sum())(np.ones(3))


def test_a_shape_is_not_assigned_to():
    x = bp.variable(np.ones((2, 3)))
    with pytest.raises(AttributeError, match=r"write x = x\.reshape\(\(3, 2\)\)"):
        x.shape = (3, 2)
    with pytest.raises(AttributeError, match=r"write x = x\.astype\(numpy\.float32\)"):
        x.dtype = "f4"
    assert x.shape == (2, 3)


@pytest.mark.parametrize("f", [lambda x: x * "a", lambda x: "a" * x, lambda x: b"a" * x])
def test_text_is_no_factor(f):
    with pytest.raises(NoRuleError, match=r"text \* x: .* text \* int\(x\.value\)"):
        f(bp.variable(2.0))
