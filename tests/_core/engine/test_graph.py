"""Variables: ndarray's manners, NumPy's protocols, writing in place, and refusals."""

import copy
import inspect
import operator
import pickle

import numpy as np
import pytest

import fastbp as bp
import fastbp.numpy as bnp
from fastbp import errors
from fastbp.testing import check_grads


@pytest.fixture
def x(rng):
    return bp.variable(rng.standard_normal((2, 3)))


# ---- leaves


def test_a_leaf_shares_memory(rng):
    array = rng.standard_normal((2, 3))
    x = bp.variable(array, name="weights")
    assert x.value is array
    assert x.shape == (2, 3)
    assert x.ndim == 2
    assert x.size == 6
    assert x.nbytes == 48
    assert x.itemsize == 8
    assert x.dtype == np.float64
    assert len(x) == 2
    assert "weights" in repr(x)
    assert bp.variable(2.5).item() == 2.5
    assert bp.variable([[1.0, 2.0]]).tolist() == [[1.0, 2.0]]
    assert bp.variable(np.float32(1)).dtype == np.float32
    swapped = array.astype(">f8")
    np.testing.assert_array_equal(bp.variable(swapped).value, array)


def test_a_variable_of_a_variable_depends_on_it(x):
    y = bp.variable(x)
    assert y is not x
    np.testing.assert_array_equal(bp.gradients(np.sum(y * 2.0), x), np.full((2, 3), 2.0))


@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        (3, errors.DTypeError, "int64.*float64, float32, complex128 and complex64"),
        (np.arange(6).reshape(2, 3), errors.DTypeError, r"\(2, 3\).*int64.*asarray"),
        (np.ones(2, bool), errors.DTypeError, "bool"),
        (np.ones(2, np.clongdouble), errors.DTypeError, r"clongdouble|complex256"),
        (np.ones(2, np.float16), errors.DTypeError, "float16"),
        (np.ones(2, np.longdouble), errors.DTypeError, "float"),
        (np.array([None, 1.0]), errors.DTypeError, "object"),
        ("abc", errors.DTypeError, "<U3"),
        (None, errors.DTypeError, "object"),
        ([[1.0], [1.0, 2.0]], errors.ShapeError, "rectangular"),
        (np.ma.masked_array([1.0], [True]), errors.DTypeError, "mask"),
    ],
)
def test_what_cannot_be_a_leaf(value, error, match):
    with pytest.raises(error, match=match):
        bp.variable(value)


def test_errors_are_what_numpy_users_catch():
    assert issubclass(errors.ShapeError, ValueError)
    assert issubclass(errors.DTypeError, TypeError)
    assert issubclass(errors.NoRuleError, TypeError)
    for name in errors.__all__:
        expected = UserWarning if name.endswith("Warning") else errors.FastbpError
        assert issubclass(getattr(errors, name), expected)


# ---- operators and protocols


@pytest.mark.parametrize(
    "op",
    [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.mod],
)
@pytest.mark.parametrize(
    "other", [2, 1.5, np.float64(1.5), np.float32(1.5), np.full(3, 1.5), [1.5, 2.5, 3.5], True]
)
def test_binary_operators(rng, op, other):
    a = rng.uniform(0.6, 2.0, (2, 3))
    a += (np.abs(a - 1.5) < 0.1) * 0.2
    x = bp.variable(a)
    for left, right, want in ((x, other, op(a, other)), (other, x, op(other, a))):
        got = op(left, right)
        assert isinstance(got, bp.Variable)
        np.testing.assert_allclose(got.value, want, rtol=2e-15)
        assert got.dtype == want.dtype


def test_array_on_the_left(x):
    a = np.ones((2, 3))
    for got in (a + x, a * x, a @ x.T, np.float64(2.0) * x, np.add(a, x)):
        assert isinstance(got, bp.Variable)


def test_float32_promotion_is_numpys(rng):
    a = rng.standard_normal(3).astype(np.float32)
    x = bp.variable(a)
    for other in (2, 2.0, np.float32(2), np.float64(2), np.ones(3), np.arange(3), np.int8(2)):
        assert (x * other).dtype == (a * other).dtype, other
        assert (other * x).dtype == (other * a).dtype, other


def test_unary_operators_and_comparisons(x):
    a = x.value
    np.testing.assert_array_equal((-x).value, -a)
    np.testing.assert_array_equal((+x).value, a)
    np.testing.assert_array_equal(abs(x).value, abs(a))
    for op in (operator.lt, operator.le, operator.eq, operator.ne, operator.gt, operator.ge):
        for left, right in ((x, 0.3), (0.3, x), (x, a.T.T), (a, x), (x, x)):
            want = op(getattr(left, "value", left), getattr(right, "value", right))
            got = op(left, right)
            assert type(got) is np.ndarray
            np.testing.assert_array_equal(got, want)
    assert bool(bp.variable(1.0))
    assert hash(x) == hash(x)
    assert a[0, 0] in x
    with pytest.raises(ValueError, match="ambiguous"):
        bool(x)


def test_a_recorded_number_has_no_hash():
    x = bp.variable(1.0)  # outside of recorded functions it is an object like others
    assert {x: 2.0}[x] == 2.0
    for f in (lambda x: x if x in {1.0, 2.0} else -x, lambda x: {1.0: 2.0}.get(x, 3.0) * x):
        with pytest.raises(
            errors.NoRuleError, match=r"a recorded number has no hash.*`x in \(1\.0, 2\.0\)"
        ):
            bp.grad(f)(1.0)
    assert bp.grad(lambda x: x if x in (1.0, 2.0) else -x)(1.0) == 1.0
    assert bp.grad(lambda x: x * {1.0: 2.0}[float(bp.stop_gradient(x))])(1.0) == 2.0


def test_what_is_a_scalar():
    for x in (1.0, np.ones(2), bp.variable(np.ones(2)), "a", None):
        assert bp.numpy.isscalar(x) == np.isscalar(x)
    assert bp.numpy.isscalar(bp.variable(1.0))
    assert bp.grad(lambda x: 2.0 * x if bp.numpy.isscalar(x) else x)(1.0) == 2.0


def test_divmod_and_floor_are_values(x):
    q, r = divmod(x, 0.7)
    assert type(q) is np.ndarray
    assert isinstance(r, bp.Variable)
    np.testing.assert_allclose(q * 0.7 + r.value, x.value)


def test_iteration_unpacking_and_indexing(x):
    first, second = x
    assert isinstance(first, bp.Variable)
    np.testing.assert_array_equal(second.value, x.value[1])
    assert [row.shape for row in x] == [(3,), (3,)]
    with pytest.raises(TypeError, match="0-d"):
        iter(bp.variable(1.0))
    with pytest.raises(IndexError):
        x[5]


def test_methods_are_numpys(x):
    a = x.value
    for name, args, kwargs in [
        ("sum", (), {"axis": 0}),
        ("mean", (), {"axis": 1, "keepdims": True}),
        ("max", (), {}),
        ("min", (1,), {}),
        ("prod", (), {}),
        ("var", (), {"axis": 0}),
        ("std", (), {}),
        ("cumsum", (1,), {}),
        ("reshape", (3, 2), {}),
        ("reshape", ((-1,),), {}),
        ("transpose", (1, 0), {}),
        ("transpose", (), {}),
        ("swapaxes", (0, 1), {}),
        ("ravel", (), {}),
        ("flatten", (), {}),
        ("squeeze", (), {}),
        ("repeat", (2,), {"axis": 1}),
        ("take", ([0, 1],), {"axis": 1}),
        ("clip", (-0.5, 0.5), {}),
        ("copy", (), {}),
        ("astype", (np.float32,), {}),
        ("diagonal", (), {}),
        ("trace", (), {}),
        ("dot", (a.T,), {}),
    ]:
        got, want = getattr(x, name)(*args, **kwargs), getattr(a, name)(*args, **kwargs)
        assert isinstance(got, bp.Variable), name
        np.testing.assert_allclose(got.value, want, rtol=1e-14, err_msg=name)
        assert got.dtype == want.dtype
    assert x.argmax() == a.argmax()
    np.testing.assert_array_equal(x.T.value, a.T)
    np.testing.assert_array_equal(x.mT.value, a.T)
    assert "sum" in dir(x)
    with pytest.raises(AttributeError, match="no attribute 'bogus'"):
        x.bogus  # noqa: B018


def test_unmodified_numpy_code_is_recorded(rng):
    def network(w, x):
        h = np.concatenate([np.tanh(x @ w), np.ones((len(x), 1))], axis=1)
        h = np.where(h > 0, h, 0.1 * h)[:, ::-1]
        z = np.exp(h - np.max(h, axis=1, keepdims=True))
        return -np.mean(np.log(z / z.sum(axis=1, keepdims=True))[:, 0])

    check_grads(network, (rng.standard_normal((3, 4)), rng.standard_normal((5, 3))))


def test_functions_without_a_rule_say_so(x):
    with pytest.raises(errors.NoRuleError, match=r"numpy.*nextafter"):
        np.nextafter(x, 1.0)
    with pytest.raises(errors.NoRuleError, match="spacing"):
        np.spacing(x)
    with pytest.raises(errors.NoRuleError, match=r"add\.at"):
        np.add.at(np.zeros(3), [0], x[0])
    with pytest.raises(errors.NoRuleError, match=r"multiply\.at"):
        np.multiply.at(x, [0], 1.0)


def test_a_variable_is_no_axis_and_no_count(x):
    for call in (
        lambda: np.tile(np.ones(3), x),
        lambda: np.split(np.ones(4), x),
        lambda: np.hsplit(np.ones(4), x),
        lambda: np.delete(x, x),
        lambda: np.sum(np.ones(3), axis=x),
        lambda: np.reshape(np.ones(3), x),
    ):
        with pytest.raises((TypeError, ValueError)):
            call()


def test_a_variable_does_not_turn_into_an_array_silently(x):
    with pytest.raises(errors.NoRuleError, match="stack"):
        np.asarray(x)
    with pytest.raises((TypeError, ValueError)):
        np.array([x, x])
    with pytest.raises(errors.NoRuleError, match=r"write numpy\.sin\(x\)"):
        float(bp.variable(1.0))
    with pytest.raises(errors.DTypeError, match=r"numpy\.stack"):
        bp.variable([x, x])
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(x)


def test_out_and_where(x, rng):
    a = x.value
    with pytest.raises(errors.NoRuleError, match=r"add.*out="):
        np.add(x, 1.0, out=np.empty((2, 3)))
    plain = np.ones((2, 3))
    with pytest.raises(errors.NoRuleError, match=r"write b = b \+ x"):
        plain += x
    with pytest.raises(errors.NoRuleError, match=r"where="):
        np.exp(x, where=a > 0)
    y = x * 1.0
    result = np.multiply(x, 3.0, out=y, where=a > 0)
    assert result is y
    np.testing.assert_array_equal(y.value, np.where(a > 0, 3 * a, a))
    np.testing.assert_array_equal(bp.gradients(np.sum(y), x), np.where(a > 0, 3.0, 1.0))
    z = bp.variable(rng.standard_normal((2, 3)))
    np.add(a, 1.0, out=z)
    np.testing.assert_array_equal(z.value, a + 1)
    assert np.exp(x, dtype=np.float32).dtype == np.float32
    with pytest.raises(errors.ShapeError, match=r"add: out= has shape \(4,\), the result"):
        np.add(x, 1.0, out=bp.variable(np.ones(4)))


def test_shapes_that_do_not_fit_are_named(x):
    with pytest.raises(errors.ShapeError, match=r"multiply: shapes \(2, 3\), \(4,\)"):
        x * np.ones(4)
    with pytest.raises(ValueError, match=r"matmul"):
        x @ np.ones((4, 2))
    with pytest.raises(errors.DTypeError, match="add: operand 1 has dtype"):
        x + np.array([None, None, None])
    with pytest.raises(errors.DTypeError, match=r"longdouble|complex256"):
        x + np.ones(3, np.clongdouble)
    with pytest.raises(TypeError):
        x + "abc"
    with pytest.raises(TypeError):
        x + object()
    with pytest.raises(errors.DTypeError, match="masked"):
        np.add(x, np.ma.masked_array([1.0, 2.0, 3.0], [True, False, False]))


# ---- in place


@pytest.mark.parametrize(
    "op",
    [operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow, operator.imod],
)
def test_in_place_operators_are_recorded(rng, op):
    a, b = rng.uniform(1, 2, 3), rng.uniform(2.1, 3, 3)

    def f(a, b):
        y = a * 1.0
        alias = y
        y = op(y, b)
        assert alias is y
        return y * a

    np.testing.assert_allclose(f(a, b), bp.vjp(f, a, b)[0], rtol=1e-14)
    check_grads(f, (a, b))


def test_writing_keeps_what_was_recorded(rng):
    a = rng.standard_normal(3)
    x = bp.variable(a)
    square = x * x
    before = x + 0.0
    x[1] = 5.0
    x += 1.0
    np.testing.assert_array_equal(a, before.value)
    np.testing.assert_array_equal(x.value, [a[0] + 1, 6.0, a[2] + 1])
    np.testing.assert_allclose(bp.gradients(np.sum(square), before, unconnected="zero"), 0.0)
    leaf = bp.variable(a)
    y = leaf * leaf
    leaf_before = leaf + 0.0
    leaf[0] = 0.0
    np.testing.assert_allclose(y.value, leaf_before.value**2)


def test_item_assignment_differentiates(rng):
    def f(x, v):
        y = x * 2.0
        y[1] = v[0] * v[1]
        y[0, :2] = v
        y[y > 3.0] = 0.0
        return y * y

    x, v = rng.uniform(-1, 1, (3, 3)), rng.uniform(0.2, 1.0, 2)
    want = x * 2.0
    want[1] = v[0] * v[1]
    want[0, :2] = v
    want[want > 3.0] = 0.0
    np.testing.assert_allclose(bp.vjp(f, x, v)[0], want**2)
    check_grads(f, (x, v))


def test_functions_that_write_into_their_arguments(rng):
    def f(x):
        x *= 2.0
        x[0] = 5.0
        return x * x

    a = rng.standard_normal(3)
    before = a.copy()
    expected = np.diag([0.0, 8 * a[1], 8 * a[2]])
    for g in (f, bp.checkpoint(f)):
        np.testing.assert_allclose(bp.jacobian(g, mode="reverse")(a), expected)
        np.testing.assert_allclose(bp.jacobian(g, mode="forward")(a), expected)
        np.testing.assert_allclose(bp.grad(lambda x, g=g: np.sum(g(x)))(a), np.diag(expected))
    np.testing.assert_array_equal(a, before)


def test_in_place_shape_and_dtype_are_kept(rng):
    x = bp.variable(rng.standard_normal(3).astype(np.float32))
    x *= np.ones(3)
    assert x.dtype == np.float32
    with pytest.raises(errors.ShapeError, match=r"\(2, 3\).*\(3,\)"):
        x += np.ones((2, 3))
    assert x.shape == (3,)
    with pytest.raises(ValueError, match="broadcast"):
        x[:2] = np.ones(3)
    assert x.shape == (3,)


def test_copies_are_recorded(x):
    for y in (copy.copy(x), copy.deepcopy(x), x.copy(), np.copy(x)):
        assert y is not x
        np.testing.assert_array_equal(bp.gradients(np.sum(y), x), np.ones((2, 3)))


def test_namespace_mirrors_numpy(x):
    assert bnp.pi == np.pi
    assert isinstance(bnp.sin(x), bp.Variable)
    assert isinstance(bnp.add(x, 1.0), bp.Variable)
    assert type(bnp.sin(x.value)) is np.ndarray
    np.testing.assert_array_equal(bnp.linalg.inv(2 * np.eye(2)), 0.5 * np.eye(2))
    joined = bnp.array([x[0], 2.0 * x[1]])
    assert joined.shape == (2, 3)
    np.testing.assert_array_equal(bp.gradients(np.sum(joined), x), [[1.0] * 3, [2.0] * 3])
    np.testing.assert_array_equal(bnp.zeros(3), np.zeros(3))
    with pytest.raises(AttributeError):
        bnp.no_such_function  # noqa: B018


def test_operations_document_themselves():
    text = inspect.getdoc(bnp.maximum)
    assert text.startswith("maximum(x1, x2")
    assert "Derivative at singular points: one half each at a tie." in text
    assert bnp.maximum.__name__ == "maximum"
    assert "recorded" in inspect.getdoc(bnp.relu)
    assert "Parameters" in inspect.getdoc(type(bnp.relu))


def test_formatting(x):
    assert f"{bp.variable(1.25):.1f}" == "1.2"
    assert repr(bp.variable(np.float32(1.0))).endswith("dtype=float32)")


def test_a_variable_is_made_by_a_function():
    for arguments in ((), (np.ones(3),)):
        with pytest.raises(TypeError, match=r"made by the function fastbp\.variable"):
            bp.Variable(*arguments)
