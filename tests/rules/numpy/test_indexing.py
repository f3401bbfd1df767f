"""Reading and writing elements with every kind of index, against NumPy applied to unit vectors."""

import numpy as np
import pytest

import fastbp as bp
from fastbp.errors import DTypeError

from ...harness import assert_sums_close

MASK = np.array(
    [[True, False, True, True], [False, False, True, False], [True, True, False, False]]
)
INDICES = {
    "int": 1,
    "negative int": -1,
    "numpy int": np.int64(2),
    "0-d array": np.array(1),
    "slice": slice(0, 2),
    "negative step": slice(None, None, -1),
    "empty slice": slice(2, 2),
    "empty tuple": (),
    "ellipsis": ...,
    "two ints": (0, -1),
    "three ints": (0, -1, 1),
    "int and slice": (slice(None), 2),
    "ellipsis and int": (..., 1),
    "ellipsis for nothing": (0, 1, ..., 1),
    "newaxis": (None, 0, None, slice(1, 3)),
    "list": [0, 2, 0],
    "empty list": [],
    "unsigned": np.array([1, 1], np.uint8),
    "matrix": np.array([[0, 1], [-1, 0]]),
    "mask": MASK,
    "mask of an axis": (slice(None), np.array([True, False, True, True])),
    "mask of the first axis": [True, False, True],
    "no true": np.zeros((3, 4, 2), bool),
    "all axes": np.ones((3, 4, 2), bool),
    "true": True,
    "false": (..., False),
    "two arrays": ([0, 1, 0], [2, 3, 2]),
    "broadcast arrays": (np.array([[0], [2]]), np.array([1, 3])),
    "array behind a slice": (slice(None), [3, 3, 0]),
    "array in the last axis": (..., [1, 0, 1]),
    "separated arrays": ([0, 2, 0], slice(None), [1, 1, 1]),
    "separated array and int": (0, slice(None), [1, 0]),
    "neighbouring array and int": (0, [1, 1]),
    "array after newaxis": ([0, 1], None, [2, 2]),
    "mask and array": (np.array([True, False, True]), [1, 1]),
    "separated mask": (np.array([True, False, True]), slice(1, 3), [1, 0]),
    "arrays behind a mask of two axes": (MASK, [0]),
    "small integers": (slice(None), np.array([3, -1], np.int8), slice(None)),
    "arrays of no axis": (np.array(1), slice(None), np.array([1, 0])),
    "parted by an ellipsis for nothing": (None, [0, 1], ..., [1, 2], [1, 1]),
    "array and slices": (slice(1, None), [2, 2, 0], slice(None, None, -1)),
    "array, slices and new axes": (None, slice(0, 2), None, [1, -1]),
    "true and array": (True, [1, 1]),
    "array and false": ([1], False),
}
by_index = pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
SHAPE = (3, 4, 2)


def matrix_of(f, *shapes):
    """Return the matrix of a linear map, from its values at unit vectors."""
    columns = []
    for k, shape in enumerate(shapes):
        zeros = [np.zeros(s) for s in shapes]
        units = np.eye(int(np.prod(shape)))
        columns += [f(*zeros[:k], e.reshape(shape), *zeros[k + 1 :]).ravel() for e in units]
    return np.stack(columns, -1)


@by_index
@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_reading(index, mode, rng):
    x = rng.normal(size=SHAPE)
    np.testing.assert_array_equal(bp.variable(x)[index].value, x[index])
    expected = matrix_of(lambda x: np.asarray(x[index]), SHAPE)
    found = bp.jacobian(lambda x: x[index], mode=mode)(x)
    np.testing.assert_array_equal(found.reshape(expected.shape), expected)


@by_index
def test_reading_one_cotangent(index, rng):
    x = rng.normal(size=SHAPE)
    expected = matrix_of(lambda x: np.asarray(x[index]), SHAPE)
    v = bp.variable(x)
    y = v[index]
    g = rng.normal(size=y.shape)
    np.testing.assert_allclose(
        bp.gradients(y, v, g), (g.ravel() @ expected).reshape(SHAPE), rtol=1e-14
    )
    # A second use of x: added to a cotangent that is there already.
    both = bp.gradients([v * 2.0, y], v, [x, g])
    np.testing.assert_allclose(both, 2.0 * x + (g.ravel() @ expected).reshape(SHAPE), rtol=1e-14)


@by_index
def test_reading_differentiates_again(index, rng):
    x = rng.normal(size=SHAPE)
    bp.testing.check_grads(lambda x: np.sin(x[index]) * 2.0, (x,), order=2)


def assigned(x, index, value):
    x = bp.variable(x) if type(x) is bp.Variable else x.copy()
    x[index] = value
    return x


@by_index
@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_writing(index, mode, rng):
    x = rng.normal(size=SHAPE)
    value = rng.normal(size=x[index].shape)
    np.testing.assert_array_equal(
        assigned(bp.variable(x), index, bp.variable(value)).value, assigned(x, index, value)
    )
    expected = matrix_of(lambda x, v: assigned(x, index, v), x.shape, value.shape)
    found = bp.jacobian(lambda x, v: assigned(x, index, v), (0, 1), mode=mode)(x, value)
    found = np.concatenate([part.reshape(x.size, -1) for part in found], -1)
    np.testing.assert_array_equal(found, expected)


@by_index
def test_writing_a_number(index, rng):
    x = rng.normal(size=SHAPE)
    g = rng.normal(size=SHAPE)
    v = bp.variable(x)
    w = v * 1.0
    w[index] = 7.0
    np.testing.assert_array_equal(w.value, assigned(x, index, 7.0))
    np.testing.assert_array_equal(bp.gradients(w, v, g), assigned(g, index, 0.0))
    np.testing.assert_array_equal(v.value, x)


def test_writing_broadcasts(rng):
    x, value = rng.normal(size=(3, 4)), rng.normal(size=(1, 1, 4))
    g = rng.normal(size=(3, 4))
    v, w = bp.variable(x), bp.variable(value)
    y = v * 1.0
    y[1:] = w
    np.testing.assert_array_equal(y.value[1:], np.broadcast_to(value[0], (2, 4)))
    found = bp.gradients(y, [v, w], g)
    np.testing.assert_allclose(found[0], np.vstack([g[:1], np.zeros((2, 4))]))
    np.testing.assert_allclose(found[1], g[1:].sum(0).reshape(1, 1, 4))


def test_writing_keeps_what_was_recorded(rng):
    x = rng.normal(size=4)
    v = bp.variable(x)
    y = v * 1.0
    square = y * y
    y[0] = v[1]
    y[1] += 2.0 * y[0]
    np.testing.assert_allclose(bp.gradients(np.sum(square), v), 2.0 * x)
    np.testing.assert_allclose(bp.gradients(np.sum(y), v), [0.0, 4.0, 1.0, 1.0])


def test_an_index_may_change_after_its_use(rng):
    v = bp.variable(rng.normal(size=3))
    index = np.array([0, 2])
    y = v[index]
    index[:] = 1
    np.testing.assert_array_equal(bp.gradients(y, v, np.ones(2)), [1.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (3, IndexError),
        ((0, 0, 0, 0), IndexError),
        ((..., 0, ...), IndexError),
        ([0, 3], IndexError),
        (np.array([0.0]), IndexError),
        ("name", IndexError),
        (np.ones((3, 3), bool), IndexError),
        (([0, 1], [0, 1, 2]), IndexError),
        (0.5, IndexError),
    ],
)
def test_a_wrong_index(index, error, rng):
    v = bp.variable(rng.normal(size=SHAPE))
    with pytest.raises(error):
        np.zeros(SHAPE)[index]
    with pytest.raises(error):
        v[index]
    with pytest.raises(error):
        v[index] = 1.0


def test_a_variable_is_no_index(rng):
    v = bp.variable(rng.normal(size=3))
    with pytest.raises(DTypeError, match="index"):
        v[v]
    with pytest.raises(DTypeError, match="index"):
        np.take(v, v)


def test_a_value_that_does_not_fit(rng):
    v = bp.variable(rng.normal(size=SHAPE))
    for value in (np.ones(3), bp.variable(np.ones(3)), bp.variable(np.ones((2, 3, 4, 2)))):
        with pytest.raises(ValueError, match="broadcast"):
            v[0] = value


def test_float32_stays(rng):
    v = bp.variable(rng.normal(size=4).astype(np.float32))
    y = v * np.float32(1.0)
    y[1:3] = np.array([1.0, 2.0])
    y[0] = bp.variable(3.0)
    assert y.dtype == np.float32
    assert y[[0, 0]].dtype == np.float32
    assert bp.gradients(y, v, np.ones(4, np.float32)).dtype == np.float32


# ---- places along an axis


def random_index(rng, shape):
    """Return an index of items of every kind, which fits a shape."""
    length = int(rng.integers(1, 4))
    items, axis, ellipsis = [], 0, False
    while axis < len(shape):
        n, kind = shape[axis], rng.integers(8)
        if kind == 0:
            items.append(int(rng.integers(-n, n)))
        elif kind == 1:
            items.append(slice(*[None if rng.random() < 0.5 else int(rng.integers(0, n))] * 2))
        elif kind == 2:
            items.append(slice(None, None, int(rng.choice([-2, -1, 1, 2]))))
        elif kind == 3 and not ellipsis:
            items, ellipsis = [*items, ...], True
            axis = max(axis, len(shape) - int(rng.integers(0, len(shape) - axis + 1)))
            continue
        elif kind == 4:
            items.append(None)
            continue
        elif kind == 5:
            mask = np.zeros(n, bool)
            mask[rng.permutation(n)[:length]] = True  # as many as other arrays have, or one
            items.append(mask if mask.sum() == length else np.arange(n) == 0)
        else:
            dims = [(length,), (1,), (2, length), ()][rng.integers(4)]
            items.append(rng.integers(-n, n, dims).astype(rng.choice(["i8", "i4"])))
        axis += 1
    return tuple(items)


@pytest.mark.parametrize("seed", range(150))
def test_any_index(seed):
    r = np.random.default_rng(seed)
    x = r.normal(size=tuple(r.integers(3, 6, size=r.integers(1, 4))))
    if seed % 3 == 0:
        x = np.asfortranarray(x)
    index = random_index(r, x.shape)
    try:
        part = x[index]
    except IndexError:  # shapes of arrays that do not broadcast
        with pytest.raises(IndexError):
            bp.variable(x)[index]
        return
    expected, g = np.zeros(x.shape), np.asarray(r.normal(size=part.shape))
    np.add.at(expected, index, g)
    v = bp.variable(x)
    y = v[index]
    np.testing.assert_array_equal(y.value, part)
    strided = np.repeat(g[..., None], 2, axis=-1)[..., 1]
    for cotangent in (g, strided, np.array(g, order="F")):
        np.testing.assert_allclose(bp.gradients(y, v, cotangent), expected, rtol=1e-14, atol=1e-15)
    w = v * 1.0
    w[index] = value = bp.variable(g)
    written = x.copy()
    written[index] = g
    np.testing.assert_array_equal(w.value, written)
    bp.testing.check_grads(lambda x: np.sin(x[index]) * x.ravel()[0], (x,), order=2)
    # Each element of the value that was not written over gets the cotangent of its place.
    h = r.normal(size=x.shape)
    to_x, to_value = bp.gradients(w, [v, value], h)
    number = np.full(x.shape, -1)
    number[index] = np.arange(g.size).reshape(g.shape)
    np.testing.assert_array_equal(to_x, np.where(number < 0, h, 0.0))
    expected = np.zeros(g.size)
    expected[number[number >= 0]] = h[number >= 0]
    np.testing.assert_array_equal(to_value.reshape(-1), expected)


TAKING = {
    "array": lambda x, i: x[i],
    "take": lambda x, i: np.take(x, i, axis=0),
    "method": lambda x, i: x.take(i, 0),
    "wrapped": lambda x, i: np.take(x, i, axis=0, mode="wrap"),
    "negative": lambda x, i: x[i - len(x)],
    "small": lambda x, i: x[i.astype(np.int32)],
    "mask": lambda x, i: x[np.bincount(i, minlength=len(x)) > 0],
    "along": lambda x, i: np.take_along_axis(
        x, i.reshape((-1,) + (1,) * (x.ndim - 1)) + np.zeros(x.shape[1:], int), 0
    ),
    "two arrays": lambda x, i: x.reshape(2, -1, *x.shape[1:])[i % 2, i // 2],
    "two axes": lambda x, i: x[i.reshape(2, -1)],
    "columns": lambda x, i: np.moveaxis(x, 0, -1)[..., i],
}


@pytest.mark.parametrize("shape", [(20_000,), (600, 40)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("take", TAKING.values(), ids=TAKING.keys())
def test_large_arrays(take, dtype, shape, rng):
    x, n = rng.normal(size=shape).astype(dtype), shape[0]
    numbers = np.arange(x.size).reshape(shape)
    for index in (rng.permutation(n), rng.integers(0, n, n), rng.integers(0, 7, n)):
        places = take(numbers, index)
        g = rng.normal(size=places.shape).astype(dtype)
        value, pull = bp.vjp(lambda x, i=index: take(x, i), x)
        np.testing.assert_array_equal(value, take(x, index))
        count = np.bincount(places.ravel(), minlength=x.size).reshape(shape)
        for cotangent in (g, np.broadcast_to(g[:1], g.shape)):
            exact = np.bincount(places.ravel(), cotangent.ravel(), x.size).reshape(shape)
            size = np.bincount(places.ravel(), np.abs(cotangent).ravel(), x.size).reshape(shape)
            bound = 1 + (count if dtype == np.float64 else np.minimum(count, 255))
            assert_sums_close(pull(cotangent)[0], exact.astype(dtype), size, bound)


def test_few_places_of_a_huge_array_named_often(rng):
    g = rng.uniform(size=3000).astype(np.float32)
    for shape in ((10**6,), (10**5, 2)):
        places = rng.integers(0, 4, 3000) * 20_000
        value = np.stack([g] * shape[1], -1) if len(shape) == 2 else g
        (found,) = bp.vjp(lambda x, i=places: x[i], np.zeros(shape, np.float32))[1](value)
        exact = np.zeros(shape)
        np.add.at(exact, places, value)
        np.testing.assert_allclose(found, exact, rtol=3e-6)


def test_blocks_of_cotangents(rng):
    x = rng.normal(size=(30, 4))
    index = rng.integers(0, 30, 50)
    found = bp.jacobian(lambda x: x[index, 1:])(x)
    np.testing.assert_array_equal(found, np.eye(120).reshape(30, 4, 30, 4)[index, 1:])
    wide = bp.jacobian(lambda x: x[np.zeros(600, int)], mode="reverse")(np.ones(2, np.float32))
    np.testing.assert_array_equal(wide, np.eye(2, dtype=np.float32)[np.zeros(600, int)])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_index_out_of_bounds_names_the_axis(axis, rng):
    x = rng.normal(size=SHAPE)
    v = bp.variable(x)
    n = SHAPE[axis]
    for wrong in (n, -n - 1):
        index = (slice(None),) * axis + (np.array([0, wrong]),)
        text = f"index {wrong} is out of bounds for axis {axis} with size {n}"
        for f in (
            lambda x, i=index: x[i],
            lambda x, w=wrong: np.take(x, [0, w], axis),
            lambda x, i=index: x.__setitem__(i, 0.0),
        ):
            with pytest.raises(IndexError, match=text):
                f(x)
            with pytest.raises(IndexError, match=text):
                f(v)


@pytest.mark.parametrize(
    "index",
    [
        ([9], []),
        (np.full((2, 1), -7), np.zeros((2, 0), int)),
        ([9], slice(None), []),
        ([9], slice(1, 3), np.zeros(2, bool)),
        (None, [-9], ..., np.zeros((2, 0), int)),
    ],
)
def test_indices_beside_arrays_of_nothing_are_not_checked(index, rng):
    """As NumPy has it: no array is read where they have no elements together."""
    x = rng.normal(size=SHAPE)
    bp.testing.check_grads(lambda x: np.sum(x[index]) + np.sum(x * x), (x,))
    y, vjp = bp.vjp(lambda x: x[index], x)
    assert y.shape == x[index].shape
    np.testing.assert_array_equal(vjp(np.ones(y.shape))[0], np.zeros(SHAPE))
    v = bp.variable(x) * 1.0
    v[index] = 3.0
    np.testing.assert_array_equal(v.value, x)


def test_an_axis_of_nothing_has_no_place_that_could_be_checked():
    x, index = np.zeros((0, 0, 0)), (np.zeros((0, 0), int), [-1], [])
    assert bp.vjp(lambda x: x[index], x)[0].shape == x[index].shape == (0, 0)


@pytest.mark.parametrize("index", [(9, []), ([], slice(None), 9), ([9], [], [0, 1])])
def test_what_numpy_checks_beside_arrays_of_nothing(index, rng):
    for x in (rng.normal(size=SHAPE), bp.variable(rng.normal(size=SHAPE))):
        with pytest.raises(IndexError, match=r"out of bounds|could not be broadcast"):
            x[index]


def test_take_along_axis_refuses(rng):
    v = bp.variable(rng.normal(size=(2, 3)))
    with pytest.raises(IndexError, match="array of integers"):
        np.take_along_axis(v, np.ones((2, 3), bool), 1)
    with pytest.raises(ValueError, match="same number of dimensions"):
        np.take_along_axis(v, np.ones(3, int), 1)
    with pytest.raises(IndexError, match="index 3 is out of bounds for axis 1"):
        np.take_along_axis(v, np.full((2, 1), 3), 1)
    with pytest.raises(IndexError, match="broadcast"):
        np.take_along_axis(v, np.zeros((3, 1), int), 1)


# ---- sums into elements


@by_index
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_add_at(index, sign, rng):
    x, g = rng.normal(size=SHAPE), rng.normal(size=SHAPE)
    value = np.asarray(rng.normal(size=x[index].shape))
    at = np.add.at if sign > 0 else np.subtract.at

    def f(x, v):
        y = x * 1.0
        at(y, index, v)
        return y

    v, w = bp.variable(x), bp.variable(value)
    y = f(v, w)
    np.testing.assert_allclose(y.value, f(x, value), rtol=1e-14, atol=1e-15)
    by_x, by_value = bp.gradients(y, [v, w], g)
    np.testing.assert_array_equal(by_x, g)
    np.testing.assert_array_equal(by_value, sign * g[index])
    np.testing.assert_array_equal(f(v, value).value, y.value)
    bp.testing.check_grads(lambda x, v: np.sin(f(np.sin(x), v)), (x, value), order=2)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128])
@pytest.mark.parametrize(
    "value",
    [1, True, 0.1, np.float32(0.1), [1, 2], np.array([1, 2], np.uint8), np.array([True, False]),
     np.array([0.1, 1.2], np.float32), np.array([0.1, 1.2])],
    ids=repr,
)  # fmt: skip
def test_add_at_adds_in_the_dtype_of_the_array(dtype, value, sign):
    at = np.add.at if sign > 0 else np.subtract.at
    expected = np.array([0.5, 0.25, 0.125], dtype)
    x = bp.variable(expected.copy())
    y = x * 1.0
    for index in ([0, 0], slice(0, 2)):
        at(y, index, value)
        at(expected, index, value)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.value, expected, rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(bp.gradients(np.sum(y.real), x), np.ones(3))
    if np.ndim(value) and np.asarray(value).dtype == np.float32:
        v = bp.variable(value)
        z = bp.variable(np.zeros(3, dtype)) * 1.0
        at(z, [0, 0], v)
        slope = bp.gradients(np.sum(z.real), v)
        assert slope.dtype == np.float32
        np.testing.assert_array_equal(slope, np.full(2, sign))


def test_add_at_broadcasts_and_sees_views(rng):
    v, s = bp.variable(rng.normal(size=SHAPE)), bp.variable(2.0)
    y = v * 1.0
    part = y[1]
    np.add.at(part, [0, 0, 3], s)
    expected = v.value.copy()
    np.add.at(expected[1], [0, 0, 3], 2.0)
    np.testing.assert_array_equal(y.value, expected)
    assert bp.gradients(np.sum(y), s) == 6.0
    with pytest.raises(ValueError, match=r"numpy.add.at: a value of shape \(3,\)"):
        np.add.at(y, [0, 1], np.ones(3))
    with pytest.raises(IndexError, match="out of bounds"):
        np.add.at(y, [0, 9], 1.0)


def test_bincount(rng):
    w = rng.normal(size=50).astype(np.float32)
    bins = rng.integers(0, 7, 50)
    y, pull = bp.vjp(lambda w: np.bincount(bins, w, 9), w)
    np.testing.assert_array_equal(y, np.bincount(bins, w, 9))
    g = rng.normal(size=9)
    np.testing.assert_array_equal(pull(g)[0], g[bins].astype(np.float32))
    v = bp.variable(w)
    for error, args in (
        (ValueError, ([-1] * 50, v)),
        (ValueError, ([0, 1], v)),
        (DTypeError, (v, v)),
    ):
        with pytest.raises(error):
            np.bincount(*args)
    nothing = np.bincount(np.zeros(0, int), bp.variable(np.zeros(0)), 2)
    np.testing.assert_array_equal(nothing.value, np.zeros(2))  # of integers in NumPy


@pytest.mark.parametrize("shape", [(0,), (1,), (2,), (1, 1), (2, 2), (2, 3)])
@pytest.mark.parametrize("mask", [(0,), (1,), (0, 2), (1, 0), (2, 0), (0, 0)])
def test_masks_of_no_length_fit_every_axis(shape, mask):
    """As in NumPy: they take nothing."""
    a, mask = np.arange(float(np.prod(shape))).reshape(shape), np.ones(mask, bool)

    def assigned(x):
        x = x + 0.0
        x[mask] = 5.0
        return x

    for f in (lambda x: x[mask], assigned):
        try:
            want = f(a)
        except IndexError:
            with pytest.raises(IndexError):
                f(bp.variable(a))
            continue
        np.testing.assert_array_equal(f(bp.variable(a)).value, want)
        np.testing.assert_array_equal(bp.compile(f)(a), want)
        assert bp.grad(lambda x, f=f: np.sum(f(x)) + np.sum(x))(a).shape == shape


def test_a_bound_alone_as_in_the_array_api():
    x = bp.variable(np.array([1.0, 2.0, 3.0]))
    xp = x.__array_namespace__()
    np.testing.assert_array_equal(xp.clip(x, 2.0).value, [2.0, 2.0, 3.0])
    np.testing.assert_array_equal(xp.clip(x, 1.5, max=2.5).value, [1.5, 2.0, 2.5])
