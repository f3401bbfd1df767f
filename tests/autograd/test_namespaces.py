"""The namespaces: what differs from NumPy's and SciPy's own, and that rules are reached."""

import numpy as onp
import pytest
import scipy.signal
import scipy.stats

import fastbp as bp
import fastbp.autograd.numpy as np
import fastbp.autograd.scipy as asp
from fastbp.autograd import grad, jacobian, mirrors
from fastbp.autograd.numpy import numpy_vjps, numpy_wrapper
from fastbp.autograd.scipy import signal
from fastbp.autograd.test_util import check_grads
from fastbp.errors import NoRuleError

X = onp.array([0.5, -1.0, 2.0])
MATRIX = onp.array([[2.0, 0.3, -0.1], [0.3, 1.5, 0.2], [-0.1, 0.2, 1.0]])

FUNCTIONS = {
    "concatenate": lambda x: np.concatenate([x, x[:1]], 0),
    "concatenate_args": lambda x: np.concatenate_args(0, x, x[1:]),
    "array of rows": lambda x: np.array([[x[0], 1.0], [2.0, x[1]]]),
    "array_from_args": lambda x: np.array_from_args((), {}, x[0], x[1] * 2),
    "array of list": lambda x: np.array([x, x**2]),
    "stack": lambda x: np.stack([x, np.sin(x)], axis=1),
    "row_stack": lambda x: np.vstack([x, 2 * x]),
    "hstack": lambda x: np.hstack([x, x[0]]),
    "column_stack": lambda x: np.column_stack((x, x)),
    "stack of generator": lambda x: np.stack(x**k for k in range(1, 4)),
    "concatenate of map": lambda x: np.concatenate(map(np.atleast_1d, x)),
    "vstack of generator": lambda x: (
        np.vstack(x * k for k in range(2)) + np.row_stack(iter([x, x]))
    ),
    "append": lambda x: np.append(x, x[0]),
    "select": lambda x: np.select([X > 1, X < 0], [x, x**2]),
    "r_": lambda x: np.r_[x, 1.0, x[0]],
    "c_": lambda x: np.c_[x, x**2],
    "where": lambda x: np.where(X > 0, x, x**2),
    "where of keywords": lambda x: np.where(condition=X > 0, x=x, y=0.0),
    "make_diagonal": lambda x: np.make_diagonal(x**2, axis1=-1, axis2=-2),
    "mean of list": lambda x: np.mean([x[0], x[1] ** 2]),
    "std of list": lambda x: np.std([x[0], x[1] ** 2]),
    "var of list": lambda x: np.var([x[0], x[1] ** 2]),
    "linalg": lambda x: np.linalg.solve(MATRIX, x) + np.linalg.inv(MATRIX * x[2])[0],
    "methods": lambda x: x.reshape(3, 1).sum(axis=1).clip(-1.5, 1.0).cumsum(),
    "einsum": lambda x: np.einsum("i,ij->j", x, MATRIX),
    "special": lambda x: asp.special.expit(x) + asp.special.logsumexp(x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    onp.random.seed(0)  # noqa: NPY002
    check_grads(FUNCTIONS[name])(X)
    plain = FUNCTIONS[name](X)
    value = bp.jvp(FUNCTIONS[name], (X,), (X,))[0]
    if name == "linalg":  # LAPACK is SciPy's where it is recorded
        onp.testing.assert_allclose(value, plain, rtol=1e-13)
    else:
        onp.testing.assert_array_equal(value, plain)


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        ((True, 1, 2), 1),
        ((False, 1, 2.5), 2.5),
        ((True, [1, 2], [3, 4]), [1, 2]),
        (([True, False], [1.0, 2.0], [3.0, 4.0]), [1.0, 4.0]),
    ],
)
def test_where_keeps_pythons_own_types(args, wanted):
    found = np.where(*args)
    assert found == wanted
    assert type(found) is type(wanted)
    assert type(np.where(onp.array([True]), 1.0, 2.0)) is onp.ndarray
    assert np.where([False, True])[0].tolist() == [1]
    with pytest.raises(ValueError, match="either both or neither"):
        np.where(True, 1.0)
    with pytest.raises(ValueError, match="either both or neither"):
        np.where(True, 1.0, z=2.0)


@pytest.mark.parametrize("name", ["int8", "int16", "int32", "int64"])
def test_integers_of_recorded_values_are_constants(name):
    kind = getattr(np, name)
    assert grad(lambda x: x * kind(x))(2.7) == 2.0
    assert grad(lambda x: np.sum(x[kind(x)]))(onp.array([1.2, 0.4])).tolist() == [1.0, 1.0]
    assert type(kind(3)) is getattr(onp, name)
    assert isinstance(getattr(onp, name)(3), kind)
    assert issubclass(getattr(onp, name), kind)
    assert onp.zeros(2, kind).dtype == name
    assert kind(3).dtype == kind


def test_helpers_of_the_wrapper():
    assert np.metadata(bp.variable(MATRIX + 0j)) == ((3, 3), 2, onp.dtype(complex), True)
    assert np.metadata(2.0) == ((), 0, onp.dtype(float), False)
    boxes = onp.empty((2, 1), object)
    boxes[0, 0], boxes[1, 0] = bp.variable(1.0), 2.0
    assert np.wrap_if_boxes_inside(boxes).shape == (2, 1)
    assert isinstance(np.wrap_if_boxes_inside(boxes), bp.Variable)
    assert np.wrap_if_boxes_inside(X) is X
    with pytest.raises(NotImplementedError, match="axis1=-1"):
        np.make_diagonal(X)
    assert np.__version__ == numpy_wrapper.numpy_version == onp.__version__


def test_wrap_namespace():
    def cube(x):
        return x**3

    new = {}
    old = {"tanh": onp.tanh, "cube": cube, "shape": onp.shape, "pi": onp.pi, "f": onp.float64}
    numpy_wrapper.wrap_namespace({**old, "again": cube, "text": "x"}, new)
    assert sorted(new) == ["again", "cube", "f", "pi", "shape", "tanh"]
    assert new["again"] is new["cube"]
    assert new["pi"] == onp.pi
    assert new["shape"](bp.variable(X)) == (3,)
    assert grad(new["tanh"])(0.0) == 1.0
    with pytest.raises(NoRuleError, match="cube"):
        grad(new["cube"])(2.0)


def test_helpers_for_rules():
    meta = np.metadata(onp.ones((3, 1)))
    assert numpy_vjps.unbroadcast(onp.ones((2, 3, 4)), meta).tolist() == [[8.0]] * 3
    assert numpy_vjps.unbroadcast(onp.ones(2) * 1j, np.metadata(2.0)) == 0.0
    assert numpy_vjps.match_complex(1.0, 1 + 2j) == 1.0
    assert numpy_vjps.match_complex(1j, 1.0) == 1 + 0j
    assert numpy_vjps.match_complex(1.0, 2.0) == 2.0
    assert numpy_vjps.balanced_eq(2.0, 2.0, 2.0) == 0.5
    assert numpy_vjps.replace_zero(onp.array([0.0, 2.0]), 1.0).tolist() == [1.0, 2.0]
    space = np.numpy_vspaces.ArrayVSpace(X)
    for idx in (0, [0, 0, 2], slice(1, None), X > 0):
        g = onp.ones(onp.shape(X[idx]))
        wanted = bp.grad(lambda x, idx=idx: np.sum(x[idx]))(X)
        assert numpy_vjps.untake(g, idx, space).tolist() == wanted.tolist()
        check_grads(lambda g, idx=idx: numpy_vjps.untake(g, idx, space))(g)


def test_what_has_no_rule_refuses_recorded_values():
    with pytest.raises(NoRuleError, match=r"numpy\.intersect1d"):
        grad(lambda x: np.sum(np.intersect1d(x, x)))(X)
    with pytest.raises(NoRuleError, match=r"scipy\.signal\.hilbert2"):
        grad(lambda x: np.sum(asp.signal.hilbert2(np.outer(x, x)).real))(X)


def test_mirrors_follow_fastbp():
    assert mirrors.ours("numpy") is bp.numpy
    assert mirrors.ours("numpy.linalg") is bp.numpy.linalg
    assert mirrors.ours("nothing.at_all") is None
    assert mirrors.ours("numpy.tanh") is bp.numpy.tanh
    assert np.linalg.norm is bp.numpy.linalg.norm


def test_integers_from_fft_to_random_are_there():
    assert np.fft.fftfreq(4, 0.25).tolist() == [0.0, 1.0, -2.0, -1.0]
    assert np.random.RandomState(0).randn(2).shape == (2,)
    assert dir(asp) == ["integrate", "linalg", "signal", "special", "stats"]


# ---- autograd's own convolve


def convolved(A, B, axes, dot_axes, mode):
    """By its definition, one pair of windows after the other, from scipy.signal."""
    a_rest = [i for i in range(A.ndim) if i not in (*axes[0], *dot_axes[0])]
    b_rest = [i for i in range(B.ndim) if i not in (*axes[1], *dot_axes[1])]
    a = A.transpose([*a_rest, *dot_axes[0], *axes[0]])
    b = B.transpose([*b_rest, *dot_axes[1], *axes[1]])
    na, nb, nd = len(a_rest), len(b_rest), len(dot_axes[0])
    shape = a.shape[:na] + b.shape[:nb]
    parts = {}
    for i in onp.ndindex(*shape):
        x, y = a[i[:na]], b[i[na:]]
        pairs = [(x[k], y[k]) for k in onp.ndindex(*x.shape[:nd])]
        parts[i] = sum(scipy.signal.convolve(u, v, mode, method="direct") for u, v in pairs)
    return onp.array([parts[i] for i in onp.ndindex(*shape)]).reshape(
        shape + next(iter(parts.values())).shape
    )


CONVOLUTIONS = {
    "1-D": ((5,), (3,), [(0,), (0,)], [(), ()]),
    "longer second": ((3,), (5,), [(0,), (0,)], [(), ()]),
    "even kernel": ((5,), (4,), [(0,), (0,)], [(), ()]),
    "2-D": ((4, 5), (2, 3), [(0, 1), (0, 1)], [(), ()]),
    "images": ((2, 3, 5, 4), (3, 2, 2, 3), [(2, 3), (2, 3)], [(1,), (0,)]),
    "outer": ((2, 5), (3, 2), [(1,), (1,)], [(), ()]),
    "axes in front": ((5, 2), (3, 4), [(0,), (0,)], [(), ()]),
}


@pytest.mark.parametrize("mode", ["full", "valid", "same"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolve(name, mode, rng):
    a_shape, b_shape, axes, dot_axes = CONVOLUTIONS[name]
    A, B = rng.standard_normal(a_shape), rng.standard_normal(b_shape)
    found = signal.convolve(A, B, axes=axes, dot_axes=dot_axes, mode=mode)
    onp.testing.assert_allclose(found, convolved(A, B, axes, dot_axes, mode), atol=1e-13)
    onp.random.seed(0)  # noqa: NPY002
    check_grads(lambda A, B: signal.convolve(A, B, axes, dot_axes, mode), (0, 1))(A, B)


def test_convolve_along_all_axes_by_default(rng):
    A, B = rng.standard_normal((4, 5)), rng.standard_normal((2, 3))
    wanted = scipy.signal.convolve2d(A, B)
    onp.testing.assert_allclose(signal.convolve(A, B), wanted, atol=1e-13)
    found = jacobian(lambda b: signal.convolve(A, b))(B)
    onp.testing.assert_allclose(onp.tensordot(found, B, 2), wanted, atol=1e-13)


def test_convolve_refuses_what_it_cannot_do():
    with pytest.raises(AssertionError, match="Mode circular undefined"):
        signal.convolve(X, X, mode="circular")
    with pytest.raises(ValueError, match="larger along all"):
        signal.convolve(onp.ones((2, 5)), onp.ones((3, 4)), mode="valid")


# ---- distributions


@pytest.mark.parametrize("name", ["pdf", "cdf", "sf", "logpdf", "logcdf", "logsf"])
def test_the_normal_distribution(name):
    onp.random.seed(0)  # noqa: NPY002
    f, plain = getattr(asp.stats.norm, name), getattr(scipy.stats.norm, name)
    x = onp.linspace(-3.0, 3.0, 7)
    onp.testing.assert_allclose(f(x, 0.3, 1.7), plain(x, 0.3, 1.7), rtol=1e-13)
    onp.testing.assert_allclose(f([0.5, 1.0]), plain([0.5, 1.0]), rtol=1e-13)
    check_grads(f, (0, 1, 2))(x, 0.3, 1.7)
    check_grads(f, (0, 1, 2))(0.3, onp.array([0.1, 1.0]), onp.array([[1.0], [2.0]]))
    assert onp.isfinite(grad(lambda x: np.sum(asp.stats.norm.logcdf(x)))(-40.0))


def test_distributions_are_modules():
    import fastbp.autograd.scipy.stats.norm as norm

    assert norm is asp.stats.norm
    assert norm.ppf(0.5) == 0.0
    assert asp.stats.gamma.pdf(1.0, 2.0) == scipy.stats.gamma.pdf(1.0, 2.0)
    with pytest.raises(AttributeError):
        norm.nothing  # noqa: B018
