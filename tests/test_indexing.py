"""Reading and writing elements with every kind of index, against NumPy applied to unit vectors."""

import numpy as np
import pytest

import fastbp as bp
from fastbp.errors import DTypeError

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
