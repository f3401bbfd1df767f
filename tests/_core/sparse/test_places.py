"""Places along an axis: indices counted from the front, last writers, sums into places."""

import numpy as np
import pytest

from fastbp._core import places as core
from fastbp.errors import DTypeError, ShapeError

from ...harness import LAYOUTS, assert_sums_close, laid_out

I = np.intp  # noqa: E741


@pytest.mark.parametrize("dtype", ["i8", "i4", "i1", "u1", "u8", ">i4"])
def test_counted_from_front(dtype):
    index = np.array([[0, 4, 2], [1, 0, 4]], dtype)
    if index.dtype.kind == "i":
        index = np.stack([index, -1 - index])
    found = core.counted_from_front(index, 5, 0)
    assert found.dtype == I
    assert found.shape == index.shape
    np.testing.assert_array_equal(found, np.arange(5)[index])
    for layout in LAYOUTS[:2]:
        same = core.counted_from_front(laid_out(index, layout), 5, 0)
        np.testing.assert_array_equal(same, found)
    strided = core.counted_from_front(np.repeat(index, 2, axis=-1)[..., ::-2], 5, 0)
    np.testing.assert_array_equal(strided, found[..., ::-1])


def test_counted_from_front_copies():
    index = np.arange(3)
    found = core.counted_from_front(index, 3, 0)
    index[:] = 7
    np.testing.assert_array_equal(found, [0, 1, 2])


@pytest.mark.parametrize("size", [0, 1, 7, 2**62])
@pytest.mark.parametrize("many", [1, 40])
def test_out_of_bounds_as_in_numpy(size, many):
    lowest, highest = np.iinfo(I).min, np.iinfo(I).max
    for wrong in (size, -size - 1, lowest, highest):
        index = np.zeros(many, I) if size else np.full(many, wrong, I)
        index[-1] = wrong
        with pytest.raises(
            IndexError, match=f"index {wrong} is out of bounds for axis 3 with size"
        ):
            core.counted_from_front(index, size, 3)
    assert core.counted_from_front(np.zeros((2, 0), I), size, 0).shape == (2, 0)


def test_last_writers(rng):
    assert core.last_writers(rng.permutation(50), 50) is None
    assert core.last_writers(np.zeros(0, I), 0) is None
    for n, size in ((2, 1), (9, 4), (1000, 50), (300, 100_000)):
        places = rng.integers(0, size, n)
        places[-1] = places[0]
        target = np.full(size, -1)
        target[places] = np.arange(n)
        np.testing.assert_array_equal(core.last_writers(places, size), np.sort(target[target >= 0]))
    for wrong in (-1, 3):
        with pytest.raises(IndexError, match=r"range\(3\)"):
            core.last_writers(np.array([0, wrong]), 3)


SHAPES = {  # in front, size, places, behind
    "vector": ((), 40, (100,), ()),
    "one": ((), 1, (6,), ()),
    "rows": ((), 10, (25,), (7,)),
    "columns": ((6,), 10, (25,), ()),
    "between": ((2, 3), 5, (4, 3), (3, 2)),
    "no places": ((2,), 3, (0,), (2,)),
    "no rows": ((2,), 3, (5,), (0,)),
    "no blocks": ((0,), 3, (5,), (2,)),
    "single": ((2,), 3, (), (2,)),
}


@pytest.mark.parametrize(("lead", "size", "at", "tail"), SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("types", ["dd", "ff", "df", "fd"])
@pytest.mark.parametrize("layout", [*LAYOUTS, "spread", "unaligned", "swapped"])
def test_add_at(lead, size, at, tail, types, layout, rng):
    into = rng.normal(size=(*lead, size, *tail)).astype(types[0])
    places = np.asarray(rng.integers(0, size, at))
    g = rng.normal(size=(*lead, *at, *tail)).astype(types[1])
    if layout == "spread":
        g = np.broadcast_to(g[..., :1] if g.ndim and g.shape[-1] else g, g.shape)
    elif layout == "unaligned":
        room = np.zeros(g.nbytes + 1, np.uint8)[1:].view(np.uint8)
        given, g = g, np.ndarray(g.shape, g.dtype, room.data)
        g[...] = given
    elif layout == "swapped":
        g = g.astype(g.dtype.newbyteorder())
    else:
        g = laid_out(g, layout)
    expected, size_of = into.astype("d"), np.abs(into).astype("d")
    index = (*[slice(None)] * len(lead), places)
    np.add.at(expected, index, g)
    np.add.at(size_of, index, np.abs(g))
    assert core.add_at(into, places, g, len(tail)) == places.size
    roundings = 1 + np.bincount(places.reshape(-1), minlength=1).max(initial=0)
    assert_sums_close(into, expected.astype(into.dtype), size_of, roundings)


def test_sums_are_in_the_order_of_the_places(rng):
    places, g = rng.integers(0, 5, 3000), rng.normal(size=3000)
    expected, found = np.zeros(5), np.zeros(5)
    np.add.at(expected, places, g)
    core.add_at(found, places, g, 0)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(), (3,)])
def test_few_stops_before_one_place_is_named_often(shape, rng):
    g = rng.normal(size=(600, *shape)).astype("f4")
    places = np.arange(600) % 300
    for into in (np.zeros((300, *shape), "f4"), np.zeros((300, *shape))):
        assert core.add_at(into, places, g, len(shape), True) == 600
        np.testing.assert_allclose(into, g[:300] + g[300:].astype("f8"), rtol=1e-6, atol=1e-7)
    places = np.where(np.arange(600) % 2, 7, places)
    into = np.zeros((300, *shape), "f4")
    served = core.add_at(into, places, g, len(shape), True)
    assert served == (0 if shape else np.flatnonzero(places == 7)[254])
    expected = np.zeros((300, *shape), "f4")
    np.add.at(expected, places[:served], g[:served])
    np.testing.assert_array_equal(into, expected)


def test_add_at_refuses(rng):
    into, places, g = np.zeros((4, 3)), np.array([0, 1]), np.ones((2, 3))
    locked, fortran = into.copy(), np.zeros((4, 3), order="F")
    locked.flags.writeable = False
    for error, text, args in (
        (IndexError, r"range\(4\)", (into, np.array([0, 4]), g, 1)),
        (IndexError, r"range\(4\)", (into, np.array([0, -1]), g, 1)),
        (IndexError, r"range\(3\)", (into, np.array([5, 0]), np.ones((4, 2)), 0)),
        (IndexError, r"range\(0\)", (np.zeros(0), places, np.ones(2), 0)),
        (ShapeError, r"\(3, 3\) into \(4, 3\)", (into, places, np.ones((3, 3)), 1)),
        (ShapeError, "axes behind", (into, places, g, 2)),
        (ShapeError, "axes behind", (into, places, g, -1)),
        (ShapeError, "axes behind", (np.zeros(()), places, np.ones(2), 0)),
        (DTypeError, "int64 into float64", (into, places, g.astype(int), 1)),
        (DTypeError, "into int64", (into.astype(int), places, g, 1)),
        (DTypeError, "array of int64", (into, places.astype("i4"), g, 1)),
        (DTypeError, "array of int64", (into, [0, 1], g, 1)),
        (ValueError, "C-contiguous and writable", (locked, places, g, 1)),
        (ValueError, "C-contiguous and writable", (fortran, places, g, 1)),
    ):  # fmt: skip
        with pytest.raises(error, match=text):
            core.add_at(*args)
