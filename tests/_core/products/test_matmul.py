"""matmul and its cotangents: every operand shape and memory layout against NumPy; refusals."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbp._core.matmul import matmul, matmul_vjp, matmul_vjp_a, matmul_vjp_b
from fastbp.errors import DTypeError, ShapeError

from ...harness import normal

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
# Relative to the magnitude of the terms; a complex product sums twice as many in each part.
TOLERANCE = {np.float32: 1e-5, np.float64: 2e-14, np.complex64: 2e-5, np.complex128: 4e-14}


# ---- Memory layouts: the same values, stored in another way -------------------------------------


def spaced(x):
    storage = np.full([2 * size for size in x.shape], np.nan, x.dtype)
    view = storage[tuple(slice(None, None, 2) for _ in x.shape)]
    view[...] = x
    return view


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def misaligned(x):
    view = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


LAYOUTS = {
    "C": np.copy,
    "F": np.asfortranarray,
    "transposed": lambda x: np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2),
    "first axis last": lambda x: np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0),
    "part of rows": lambda x: np.concatenate([x, x], axis=-1)[..., : x.shape[-1]],
    "strided": spaced,
    "reversed columns": lambda x: x[..., ::-1].copy()[..., ::-1],
    "reversed rows": lambda x: x[::-1].copy()[::-1],
    "read-only": read_only,
    "byte-swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "misaligned": misaligned,
}


def lay(x, layout):
    result = x if x.ndim < 2 and layout == "transposed" else LAYOUTS[layout](x)
    assert np.array_equal(result, x)
    return result


# ---- The oracle ---------------------------------------------------------------------------------


def unbroadcast(x, shape):
    x = x.sum(axis=tuple(range(x.ndim - len(shape))))
    axes = tuple(i for i, size in enumerate(shape) if size == 1)
    return x.sum(axis=axes, keepdims=True)


def wide(x):
    """A copy in double precision."""
    return x.astype(np.result_type(x, np.float64))


def reference_vjp(g, a, b):
    """Both cotangents with np.matmul in double precision, from the definition for matrices."""
    g, a, b = (wide(x) for x in (g, a, b))
    matrix_a = a[None, :] if a.ndim == 1 else a
    matrix_b = b[:, None] if b.ndim == 1 else b
    if b.ndim == 1:
        g = g[..., None]
    if a.ndim == 1:
        g = g[..., None, :]
    a_bar = unbroadcast(g @ matrix_b.swapaxes(-1, -2), matrix_a.shape)
    b_bar = unbroadcast(matrix_a.swapaxes(-1, -2) @ g, matrix_b.shape)
    return a_bar.reshape(a.shape), b_bar.reshape(b.shape)


def assert_close(actual, expected, magnitude, dtype):
    assert type(actual) is np.ndarray
    assert actual.dtype == dtype
    assert actual.shape == expected.shape
    assert actual.flags.c_contiguous
    assert actual.flags.writeable
    assert np.all(np.abs(actual - expected) <= TOLERANCE[dtype] * (magnitude + 1))


def check(g, a, b):
    """Forward and both cotangents of one product against the oracle."""
    dtype = a.dtype.newbyteorder("=").type
    magnitude = wide(np.abs(a)) @ wide(np.abs(b))
    assert_close(matmul(a, b), wide(a) @ wide(b), magnitude, dtype)
    expected = reference_vjp(g, a, b)
    magnitude = reference_vjp(np.abs(g), np.abs(a), np.abs(b))
    for actual, want, size in zip(matmul_vjp(g, a, b), expected, magnitude, strict=True):
        assert_close(actual, want, size, dtype)


# ---- Values -------------------------------------------------------------------------------------

SHAPES = [
    ((4,), (4,)),
    ((4,), (4, 3)),
    ((5, 4), (4,)),
    ((5, 4), (4, 3)),
    ((1, 4), (4, 1)),
    ((5, 1), (1, 3)),
    ((17, 33), (33, 9)),
    ((70, 66), (66, 68)),
    ((2, 5, 4), (4, 3)),
    ((5, 4), (2, 4, 3)),
    ((2, 5, 4), (2, 4, 3)),
    ((2, 1, 5, 4), (3, 4, 3)),
    ((1, 3, 5, 4), (2, 1, 4, 3)),
    ((4,), (2, 3, 4, 5)),
    ((2, 3, 5, 4), (4,)),
    ((2, 3, 1, 4), (3, 4, 1)),
    ((6, 1, 4), (1, 4, 3)),
    ((30, 20, 16), (16, 24)),
]
EMPTY = [
    ((0,), (0,)),
    ((0,), (0, 3)),
    ((5, 0), (0, 3)),
    ((0, 4), (4, 3)),
    ((5, 4), (4, 0)),
    ((0, 5, 4), (4, 3)),
    ((5, 4), (0, 4, 3)),
    ((2, 5, 0), (1, 0, 3)),
    ((1, 5, 4), (0, 4, 3)),
    ((3, 0, 0), (0, 0)),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout_b", LAYOUTS)
@pytest.mark.parametrize("layout_a", LAYOUTS)
def test_layouts(layout_a, layout_b, dtype, rng):
    for i, (a_shape, b_shape) in enumerate(SHAPES):
        a = lay(normal(rng, a_shape, dtype), layout_a)
        b = lay(normal(rng, b_shape, dtype), layout_b)
        g = np.asarray(normal(rng, (a @ b).shape, dtype))
        layout_g = list(LAYOUTS)[i % len(LAYOUTS)] if g.ndim > 1 else "C"
        check(lay(g, layout_g), a, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("a_shape", "b_shape"), EMPTY)
def test_empty(a_shape, b_shape, dtype):
    a, b = np.ones(a_shape, dtype), np.ones(b_shape, dtype)
    check(np.ones((a @ b).shape, dtype), a, b)


@pytest.mark.parametrize("dtype", DTYPES)
def test_broadcast_views(dtype, rng):
    """Zero strides: the cotangent of a sum, an expanded batch."""
    a, b = normal(rng, (3, 5, 4), dtype), normal(rng, (4, 6), dtype)
    expanded = np.broadcast_to(b, (3, 4, 6))
    g = np.broadcast_to(dtype(2), (3, 5, 6))
    check(g, a, b)
    check(g, a, expanded)
    check(g, np.broadcast_to(a[:1], (3, 5, 4)), expanded)
    check(np.broadcast_to(g[:, :, :1], g.shape), np.broadcast_to(a[..., :1], a.shape), b)


def batches(draw):
    batch = draw(st.lists(st.integers(0, 3), max_size=3))

    def operand():
        shape = [size if draw(st.booleans()) else 1 for size in batch]
        return shape[draw(st.integers(0, len(shape))) :] if draw(st.booleans()) else shape

    return operand(), operand()


def assert_accumulates(vjp, g, other, shape, cotangent):
    """With `into`, the cotangent is added to what is there, in place."""
    into = np.full(cotangent.shape, 100, cotangent.dtype)
    assert vjp(g, other, shape, 1, into) is into
    tolerance = 20 * np.finfo(into.dtype).eps * (100 + np.abs(cotangent).max(initial=0))
    assert np.all(np.abs(into - 100 - cotangent) <= tolerance * max(g.size, 1) ** 0.5)


@st.composite
def operand_shapes(draw):
    batch_a, batch_b = batches(draw)
    size = st.sampled_from([0, 1, 1, 2, 3, 5, 8, 17])
    m, n, k = draw(size), draw(size), draw(size)
    a_shape, b_shape = (*batch_a, m, k), (*batch_b, k, n)
    vector = draw(st.sampled_from(["none", "none", "none", "a", "b", "both"]))
    return (
        (k,) if vector in ("a", "both") else a_shape,
        (k,) if vector in ("b", "both") else b_shape,
    )


@given(
    shapes=operand_shapes(),
    lead=st.integers(0, 4),
    layouts=st.tuples(*[st.sampled_from(sorted(LAYOUTS))] * 3),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape(shapes, lead, layouts, dtype, seed):
    """Forward, cotangents, and a block of `lead` cotangents against a loop over them."""
    rng = np.random.default_rng(seed)
    a, b = (
        lay(normal(rng, shape, dtype), layout)
        for shape, layout in zip(shapes, layouts, strict=False)
    )
    g = normal(rng, (lead, *(a @ b).shape), dtype)
    check(np.ones((a @ b).shape, dtype), a, b)
    block = lay(g, layouts[2])
    expected = [reference_vjp(x, a, b) for x in g]
    magnitude = [reference_vjp(np.abs(x), np.abs(a), np.abs(b)) for x in g]
    a_bar, b_bar = matmul_vjp_a(block, b, a.shape, 1), matmul_vjp_b(block, a, b.shape, lead=1)
    assert_accumulates(matmul_vjp_a, block, b, a.shape, a_bar)
    assert_accumulates(matmul_vjp_b, block, a, b.shape, b_bar)
    for i, (actual, shape) in enumerate([(a_bar, a.shape), (b_bar, b.shape)]):
        want = np.array([pair[i] for pair in expected]).reshape(lead, *shape)
        size = np.array([pair[i] for pair in magnitude]).reshape(lead, *shape)
        assert_close(actual, want, size, dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize(("a_shape", "b_shape"), SHAPES)
def test_dot_product_identity(a_shape, b_shape, dtype, rng):
    """<g, da @ b + a @ db> == <a_bar, da> + <b_bar, db>: the vjp is the transpose of the jvp."""
    a, da = normal(rng, (2, *a_shape), dtype)
    b, db = normal(rng, (2, *b_shape), dtype)
    tangent = np.matmul(da, b) + np.matmul(a, db)
    g = normal(rng, tangent.shape, dtype)
    a_bar, b_bar = matmul_vjp(g, a, b)
    terms = np.sum(np.abs(g * tangent))
    assert abs(np.sum(g * tangent) - np.sum(a_bar * da) - np.sum(b_bar * db)) <= 1e-12 * (terms + 1)


@pytest.mark.parametrize("lead", [0, 1])
def test_folded_batches_are_exact_on_integers(lead):
    """Sums over large broadcast batches, in whatever order they are folded, lose no term."""
    rng = np.random.default_rng(1)
    a = rng.integers(-3, 4, (7, 5, 6, 4)).astype(float)
    for b_shape in [(4, 3), (5, 4, 3), (7, 1, 4, 3), (1, 5, 4, 1), (4,)]:
        b = rng.integers(-3, 4, b_shape).astype(float)
        g = rng.integers(-3, 4, (2,) * lead + (a @ b).shape).astype(float)
        pairs = [reference_vjp(x, a, b) for x in (g if lead else [g])]
        a_bar, b_bar = matmul_vjp_a(g, b, a.shape, lead), matmul_vjp_b(g, a, b.shape, lead)
        assert np.array_equal(a_bar, np.array([p[0] for p in pairs]).reshape(a_bar.shape))
        assert np.array_equal(b_bar, np.array([p[1] for p in pairs]).reshape(b_bar.shape))
        assert np.array_equal(matmul(a, b), a @ b)


# ---- Types --------------------------------------------------------------------------------------


def test_mixed_dtypes_compute_in_float64(rng):
    a, b = rng.standard_normal((3, 4)).astype(np.float32), rng.standard_normal((4, 5))
    g = rng.standard_normal((3, 5)).astype(np.float32)
    a_bar, b_bar = matmul_vjp(g, a, b)
    expected = reference_vjp(g, a, b)
    assert a_bar.dtype == np.float32
    assert b_bar.dtype == np.float64
    np.testing.assert_array_equal(a_bar, matmul(g.astype(float), b.T).astype(np.float32))
    np.testing.assert_allclose(b_bar, expected[1], rtol=1e-14, atol=1e-14)
    assert matmul(a, b).dtype == np.float64


@pytest.mark.parametrize("dtype_g", DTYPES)
@pytest.mark.parametrize("dtype_b", DTYPES)
@pytest.mark.parametrize("dtype_a", DTYPES)
@pytest.mark.parametrize(("a_shape", "b_shape"), [((3, 4), (4, 5)), ((2, 3, 4), (4,))])
def test_mixed_dtypes_promote_as_in_numpy(a_shape, b_shape, dtype_a, dtype_b, dtype_g, rng):
    """Cotangents have their operand's dtype: the real part, where it is real."""
    a, b = normal(rng, a_shape, dtype_a), normal(rng, b_shape, dtype_b)
    g = normal(rng, (a @ b).shape, dtype_g)
    assert_close(matmul(a, b), wide(a) @ b, np.abs(a) @ np.abs(b), np.result_type(a, b).type)
    expected = reference_vjp(g, a, b)
    magnitude = reference_vjp(np.abs(g), np.abs(a), np.abs(b))
    coarse = max(TOLERANCE[x.dtype.type] for x in (g, a, b))
    for x, x_bar, want, size in zip((a, b), matmul_vjp(g, a, b), expected, magnitude, strict=True):
        want = want if x.dtype.kind == "c" else want.real
        assert x_bar.dtype == x.dtype
        assert x_bar.shape == x.shape
        assert x_bar.flags.c_contiguous
        assert np.all(np.abs(x_bar - want) <= coarse * (size + 1))


def test_array_likes_and_subclasses(rng):
    a_bar, b_bar = matmul_vjp([[1.0]], [[2.0, 3.0]], [[4.0], [5.0]])
    assert np.array_equal(a_bar, [[4, 5]])
    assert np.array_equal(b_bar, [[2], [3]])

    class Sub(np.ndarray):
        pass

    a, b, g = (rng.standard_normal((3, 3)) for _ in range(3))
    check(g.view(Sub), a.view(Sub), b.view(Sub))
    check(g.view(Sub)[::-1], a.view(Sub)[:, ::-1], np.broadcast_to(b.view(Sub), (1, 3, 3))[0])


X = np.ones((3, 3))
BAD = [
    (ShapeError, (X, np.array(1.0), X), "0-d"),
    (ShapeError, (X, X, np.array(1.0)), "0-d"),
    (ShapeError, (X, np.ones((3, 2)), X), "inner sizes"),
    (ShapeError, (X, np.ones(2), X), "inner sizes of a vector"),
    (ShapeError, (X, np.ones((2, 3, 3)), np.ones((4, 3, 3))), "batches"),
    (ShapeError, (np.ones((3, 2)), X, X), "g of another shape"),
    (ShapeError, (np.ones(9), X, X), "g of another ndim"),
    (ShapeError, (np.ones((1, 3, 3)), X, X), "g with a leading axis"),
    (ShapeError, (np.array(1.0), X, X), "0-d g"),
    (ShapeError, (np.ones(1), X[0], X[0]), "g for a 0-d product"),
    (ShapeError, (X, [[1.0], [1.0, 2.0]], X), "ragged"),
    (DTypeError, (X, X.astype(int), X), "integers"),
    (DTypeError, (X.astype(bool), X, X), "booleans"),
    (DTypeError, (X, X.astype(object), X), "objects"),
    (DTypeError, (X, X.astype(np.float16), X), "half"),
    (DTypeError, (X, X.astype(np.longdouble), X), "long double"),
    (DTypeError, (X, X, X.astype(np.clongdouble)), "complex long double"),
    (DTypeError, (X, [[1, 2, 3]] * 3, X), "list of integers"),
    (DTypeError, (X, None, X), "None"),
    (DTypeError, (X, "abc", X), "string"),
]


@pytest.mark.parametrize(("error", "arguments", "what"), BAD, ids=[row[2] for row in BAD])
def test_bad_input_raises(error, arguments, what):
    with pytest.raises(error, match="matmul"):
        matmul_vjp(*arguments)
    assert np.all(X == 1)
    if not what.startswith(("g ", "0-d g", "booleans")):
        with pytest.raises(error, match="matmul"):
            matmul(*arguments[1:])


def test_messages_name_the_shapes():
    with pytest.raises(DTypeError, match=r"b must be .*, got int64: write b\.astype\(float\)"):
        matmul_vjp(np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2), int))
    with pytest.raises(ShapeError, match=r"\(3, 2\) and \(3, 3\)"):
        matmul_vjp(X, np.ones((3, 2)), X)
    with pytest.raises(ShapeError, match=r"\(3, 2\) does not fit the product of shape \(3, 3\)"):
        matmul_vjp(np.ones((3, 2)), X, X)
    with pytest.raises(DTypeError, match="int64"):
        matmul(X, X.astype(np.int64))


def test_bad_rule_arguments():
    with pytest.raises(ShapeError):
        matmul_vjp_a(X, X, (3, 2))
    with pytest.raises(ShapeError):
        matmul_vjp_b(X, X, (2, 3))
    with pytest.raises(ShapeError):
        matmul_vjp_a(X, X, ())
    with pytest.raises(ShapeError):
        matmul_vjp_a(X, X, (3, -3))
    with pytest.raises(ShapeError):
        matmul_vjp_a(X, X, (1,) * 70)
    with pytest.raises(ShapeError):
        matmul_vjp_a(X, X, (3, 3), 1)
    with pytest.raises(ValueError, match="lead"):
        matmul_vjp_a(np.ones((2, 3, 3)), X, (3, 3), 2)
    with pytest.raises(ValueError, match="lead"):
        matmul_vjp_b(np.ones((2, 3, 3)), X, (3, 3), -1)
    with pytest.raises(TypeError):
        matmul_vjp_a(X, X, None)
    with pytest.raises(TypeError):
        matmul_vjp_a(X, X, ("a", "b"))
    with pytest.raises(DTypeError):
        matmul_vjp_a(X, X.astype(np.float32), (3, 3))


@pytest.mark.parametrize("vjp", [matmul_vjp_a, matmul_vjp_b])
def test_into(vjp):
    into = np.ones((3, 3))
    assert vjp(X, X, (3, 3), into=into) is into
    assert np.all(into == 4)
    for bad in [np.ones((3, 2)), np.ones(3)]:
        with pytest.raises(ShapeError, match="into"):
            vjp(X, X, (3, 3), into=bad)
    swapped = into.astype(into.dtype.newbyteorder())
    for bad in [into.T[:, :2].T, into[::-1], into.astype("f"), swapped, read_only(into)]:
        with pytest.raises(ValueError, match="into"):
            vjp(X, X, (3, 3), into=bad)
    with pytest.raises(ValueError, match="overlaps"):
        vjp(into, X, (3, 3), into=into)
    with pytest.raises(TypeError, match="into"):
        vjp(X, X, (3, 3), into=[1.0])
    assert np.all(into == 4)
    nothing = vjp(np.ones((0, 3, 3)), np.ones((0, 3, 3)), (3, 3), into=into)
    assert nothing is into
    assert np.all(into == 4)


def test_as_many_axes_as_numpy_has():
    a = np.ones((1,) * 62 + (2, 3))
    check(np.ones((*a.shape[:-1], 2)), a, np.ones((3, 2)))
    with pytest.raises(ShapeError, match="axes"):
        matmul_vjp_a(np.ones(a.shape[:-1])[None], np.ones(3), a.shape, 1)


def test_arguments_are_left_alone(rng):
    arrays = [rng.standard_normal(shape) for shape in [(2, 5, 3), (2, 5, 4), (4, 3)]]
    copies = [x.copy() for x in arrays]
    results = matmul_vjp(*arrays)
    for x, copy in zip(arrays, copies, strict=True):
        assert np.array_equal(x, copy)
        assert not any(np.shares_memory(x, result) for result in results)


def test_threads_agree(rng):
    g, a, b = rng.standard_normal((3, 130, 130))
    expected = matmul_vjp(g, a, b)
    errors = []

    def work():
        for _ in range(20):
            pairs = zip(matmul_vjp(g, a, b), expected, strict=True)
            errors.extend(np.abs(x - y).max() for x, y in pairs)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 160
    assert max(errors) < 1e-11
