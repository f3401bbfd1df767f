"""What the harness over the table does not see: methods, ufunc methods, refusals, conventions."""

import numpy as np
import pytest

import fastbp as bp
import fastbp.numpy as bnp
from fastbp.errors import DTypeError, NoRuleError
from fastbp.testing import check_grads

from ... import versions

METHODS = [
    ("sum", (), {"axis": 0}),
    ("sum", (1,), {"keepdims": True}),
    ("mean", (), {}),
    ("prod", (-1,), {}),
    ("var", (), {"ddof": 1}),
    ("std", (0,), {}),
    ("max", (0,), {}),
    ("min", (), {}),
    ("cumsum", (1,), {}),
    ("cumprod", (), {"axis": 0}),
    ("reshape", (4, 3), {}),
    ("reshape", ((2, -1),), {}),
    ("reshape", (-1,), {"order": "F"}),
    ("transpose", (), {}),
    ("transpose", (1, 0), {}),
    ("transpose", ((1, 0),), {}),
    ("transpose", (None,), {}),
    ("swapaxes", (0, 1), {}),
    ("squeeze", (), {}),
    ("ravel", (), {}),
    ("ravel", ("F",), {}),
    ("flatten", (), {}),
    ("copy", (), {}),
    ("astype", (float,), {}),
    ("astype", ("f4",), {"copy": False}),
    ("take", ([0, 1],), {"axis": 1}),
    ("repeat", (2,), {}),
    ("diagonal", (), {"offset": 1}),
    ("trace", (), {}),
    ("compress", ([True, False, True],), {"axis": 0}),
]


@pytest.mark.parametrize(("method", "args", "kwargs"), METHODS)
def test_methods(method, args, kwargs, rng):
    x = rng.normal(size=(3, 4))
    v = bp.variable(x)
    expected = getattr(x, method)(*args, **kwargs)
    found = getattr(v, method)(*args, **kwargs)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(found.value, expected)
    assert bp.gradients(found, v, np.ones_like(expected)).shape == x.shape


def test_transposed_attributes(rng):
    x = rng.normal(size=(2, 3, 4))
    v = bp.variable(x)
    np.testing.assert_array_equal(v.T.value, x.T)
    np.testing.assert_array_equal(v.mT.value, x.mT)
    assert [float(e.value) for e in v.flat] == list(x.flat)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.add.reduce(x),
        lambda x: np.add.reduce(x, axis=None),
        lambda x: np.add.reduce(x, 1, keepdims=True),
        lambda x: np.multiply.reduce(x),
        lambda x: np.maximum.reduce(x, axis=1),
        lambda x: np.minimum.reduce(x),
        lambda x: np.add.accumulate(x),
        lambda x: np.multiply.accumulate(x, axis=1),
    ],
)
def test_ufunc_methods(call, rng):
    x = rng.normal(size=(3, 4))
    np.testing.assert_allclose(call(bp.variable(x)).value, call(x), rtol=1e-15)
    bp.testing.check_grads(call, (x,), order=2)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda x: bnp.reshape(x, (3, 1), copy=False), "copy"),
        (lambda x: x.ravel("K"), "order"),
        (lambda x: np.concatenate([x, x], casting="unsafe"), "casting"),
        (lambda x: np.sum(x, out=np.zeros(())), "out"),
        (lambda x: np.add.reduce(x, out=np.zeros(())), "out"),
        (lambda x: np.pad(x, 1, "mean"), "mean.*concatenate"),
        (lambda x: np.pad(x, 1, "reflect", reflect_type="odd"), "reflect_type"),
        (lambda x: np.pad(x, 1, lambda *args: None), "mode"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(call, argument):
    with pytest.raises(NoRuleError, match=argument):
        call(bp.variable(np.arange(3.0)))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.sum(x, dtype=int),
        lambda x: x.astype(int),
        lambda x: np.astype(x, np.clongdouble),
        lambda x: np.concatenate([x, x], dtype=np.float16),
        lambda x: np.choose(x, [x, x]),
    ],
)
def test_dtypes_that_have_no_derivative_are_refused(call):
    with pytest.raises(DTypeError):
        call(bp.variable(np.arange(3.0)))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.sum(x, axis=2),
        lambda x: np.sum(x, axis=(0, 0)),
        lambda x: np.max(x, axis=-3),
        lambda x: np.reshape(x, (4, 2)),
        lambda x: np.transpose(x, (0,)),
        lambda x: np.swapaxes(x, 0, 2),
        lambda x: np.moveaxis(x, 0, 3),
        lambda x: np.squeeze(x, 0),
        lambda x: np.expand_dims(x, (0, 0)),
        lambda x: np.broadcast_to(x, (2, 2)),
        lambda x: np.flip(x, 2),
        lambda x: np.rot90(x, 1, (0, 0)),
        lambda x: np.roll(x, 1, 2),
        lambda x: np.concatenate([x, x[0]]),
        lambda x: np.concatenate([x[0, 0]]),
        lambda x: np.stack([x, x[0]]),
        lambda x: np.stack([x, x], 4),
        lambda x: np.split(x, 4),
        lambda x: np.dsplit(x, 2),
        lambda x: np.hsplit(x[0, 0], 1),
        lambda x: np.repeat(x, [1, 2, 3], 0),
        lambda x: np.repeat(x, -1),
        lambda x: np.tile(x, -1),
        lambda x: np.pad(x, -1),
        lambda x: np.pad(x, 1.5),
        lambda x: np.take(x, [9]),
        lambda x: np.take(x, 0, 2),
        lambda x: np.take(x, 0, mode="no"),
        lambda x: np.take_along_axis(x, np.zeros(2, int), 1),
        lambda x: np.diag(x[0, 0]),
        lambda x: np.diagonal(x[0]),
        lambda x: np.trace(x, 0, 1, 1),
        lambda x: np.cumsum(x, 2),
        lambda x: np.cumulative_sum(x),
        lambda x: np.diff(x, -1),
        lambda x: np.diff(x[0, 0]),
        lambda x: np.average(x, weights=np.ones(3)),
        lambda x: np.average(x, weights=np.zeros((2, 3))),
        lambda x: np.max(x[:0]),
        lambda x: np.sum(x, where=np.ones((4, 2, 3), bool)),
        lambda x: np.where(x > 0, x),
        lambda x: np.select([x > 0], [x, x]),
        lambda x: np.compress([[True]], x),
        lambda x: np.matrix_transpose(x[0]),
        lambda x: np.block([[x, x], [x]]),
        lambda x: np.unstack(x[0, 0]),
    ],
)
def test_errors_are_numpys(call):
    x = np.arange(6.0).reshape(2, 3)
    with pytest.raises(Exception) as numpys:  # noqa: PT011
        call(x)
    with pytest.raises(Exception) as ours:  # noqa: PT011
        call(bp.variable(x))
    builtin = (ValueError, TypeError, IndexError, AttributeError, ZeroDivisionError)
    kinds = [kind for kind in builtin if issubclass(numpys.type, kind)]
    assert any(issubclass(ours.type, kind) for kind in kinds), (numpys.value, ours.value)


def test_ties_share_equally():
    x = np.array([[3.0, 1.0, 3.0], [2.0, 2.0, 2.0]])
    np.testing.assert_array_equal(
        bp.grad(lambda x: np.sum(np.max(x, 1)))(x), [[0.5, 0, 0.5], [1 / 3, 1 / 3, 1 / 3]]
    )
    np.testing.assert_array_equal(
        bp.grad(lambda x: np.sum(np.ptp(x, axis=1)))(x), [[0.5, -1, 0.5], [0, 0, 0]]
    )


def test_a_nan_takes_the_cotangent_of_its_maximum_only():
    x = np.array([[1.0, np.nan], [2.0, 1.0]])
    np.testing.assert_array_equal(bp.grad(lambda x: np.sum(np.max(x, 1)))(x), [[0, 1], [1, 0]])


def test_the_gradient_of_std_at_zero_is_zero():
    np.testing.assert_array_equal(bp.grad(np.std)(np.full(3, 2.0)), np.zeros(3))
    _, tangent = bp.jvp(np.std, (np.full(3, 2.0),), (np.arange(3.0),))
    assert tangent == 0.0
    assert np.isnan(bp.hessian(np.std)(np.full(3, 2.0))).all()  # there is no second one


def test_std_of_one_number_is_zero_everywhere(rng):
    for x, axis in ((np.float64(3.5), None), (rng.normal(size=(1, 3)), 0)):
        f = lambda x, axis=axis: np.std(x, axis=axis)
        check_grads(f, (x,), order=3)
        assert not bp.hessian(lambda x, f=f: np.sum(f(x)))(x).any()
    z = rng.normal(size=(1, 2)) + 1j
    check_grads(lambda z: np.std(z, axis=0), (z,), order=2)


@pytest.mark.parametrize(
    "x", [[0.0, 2.0, 3.0], [0.0, 2.0, 0.0], [-1.0, 2.0, -3.0], [1e-200, 1e-200, 5.0], [0.0]]
)
def test_products_of_zeros(x):
    x = np.array(x)
    expected = [np.prod(np.delete(x, k)) for k in range(len(x))]
    np.testing.assert_allclose(bp.grad(np.prod)(x), expected, rtol=1e-15)
    np.testing.assert_allclose(bp.jacobian(np.prod, mode="forward")(x), expected, rtol=1e-15)
    hessian = [
        [0.0 if j == k else np.prod(np.delete(x, [j, k])) for j in range(len(x))]
        for k in range(len(x))
    ]
    np.testing.assert_allclose(bp.hessian(np.prod)(x), hessian, rtol=1e-15)


def test_where_keeps_nans_in_the_branch_not_taken():
    x = np.array([-1.0, 4.0])

    def f(x):
        return np.sum(np.where(x > 0, np.sqrt(x), 0.0))

    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(bp.grad(f)(x), [0.0, 0.25])
        _, tangent = bp.jvp(f, (x,), (np.ones(2),))
    assert tangent == 0.25
    g = bp.grad(
        lambda x, y: np.sum(np.where([True, False], x, y) * np.array([1.0, np.nan])), (0, 1)
    )(x, x)
    np.testing.assert_array_equal(g[0], [1.0, 0.0])
    np.testing.assert_array_equal(g[1], [0.0, np.nan])


def test_nans_get_no_cotangent():
    x = np.array([[1.0, np.nan], [2.0, 3.0]])
    np.testing.assert_array_equal(bp.grad(np.nansum)(x), [[1, 0], [1, 1]])
    np.testing.assert_allclose(bp.grad(np.nanmean)(x), np.array([[1, 0], [1, 1]]) / 3)
    np.testing.assert_array_equal(bp.grad(lambda x: np.sum(np.nancumsum(x)))(x), [[4, 0], [2, 1]])


def test_arrays_from_nested_lists():
    x, y = bp.variable(2.0), bp.variable(np.array([1.0, 3.0]))
    a = bnp.array([[x, 1], [x * x, 0.5]])
    np.testing.assert_array_equal(a.value, [[2, 1], [4, 0.5]])
    assert bp.gradients(np.sum(a), x) == 5.0
    assert bnp.array([y, [x, x]], ndmin=3).shape == (1, 2, 2)
    assert bnp.asarray(y) is y
    assert bnp.array(y) is not y
    assert type(bnp.array([1, 2])) is np.ndarray
    assert bnp.array([x], dtype=np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="shape"):
        bnp.array([y, [x, x, x]])


def test_other_names_of_the_same_function():
    x = bp.variable(np.ones((2, 3)))
    assert bnp.concat([x, x]).shape == (4, 3)
    assert bnp.permute_dims(x, (1, 0)).shape == (3, 2)
    assert bnp.amax(x).shape == ()
    assert bnp.sum([1, 2]) == 3


@versions.before("numpy 2.4", "newshape=")
def test_reshape_takes_a_new_shape_by_its_old_name(rng):
    x = rng.normal(size=(2, 3))
    np.testing.assert_array_equal(
        np.reshape(bp.variable(x), newshape=(3, 2)).value, x.reshape(3, 2)
    )
    flat = bp.grad(lambda x: np.sum(np.reshape(x, newshape=-1, order="F")[:2]))(x)
    np.testing.assert_array_equal(flat, [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])


@pytest.mark.parametrize("constants", [2.0, (1.0, 2.0), ((1.0, 2.0), (3.0, 4.0))])
def test_pad_by_recorded_values(constants, rng):
    x, constants, width = rng.normal(size=(2, 3)), np.array(constants), ((1, 2), (0, 3))

    def pad(x, c):
        return bnp.pad(x, width, constant_values=c)

    expected = np.pad(x, width, constant_values=constants)
    np.testing.assert_array_equal(bp.vjp(pad, x, constants)[0], expected)
    check_grads(pad, (x, constants))
    check_grads(lambda c: pad(x, c), (constants,))
    check_grads(lambda x, c: np.pad(x, 1, constant_values=(c, 1.0)), (x, 2.0))
