"""Indices that are values: read, and added to, without Python, as eager does, bit for bit."""

import os
import tempfile

import numpy as np
import pytest

import fastbp as bp

DTYPES = [np.float64, np.float32, np.complex128, np.complex64]
INTEGERS = [np.int64, np.int32, np.int16, np.int8, np.uint8, np.uint16, np.uint32, np.uint64]


def kinds(f):
    """Return the kinds of instructions of the last plan, those of loops too."""
    lines = f.explain().partition("plan 0")[2].partition("plan 1")
    lines = (lines[2] or lines[0]).splitlines()[1:]
    return [line.split()[0] for line in lines if line]


def assert_same_bits(found, want):
    found, want = np.asarray(found), np.asarray(want)
    assert (found.dtype, found.shape) == (want.dtype, want.shape)
    assert found.tobytes() == want.tobytes()


def numbers(rng, shape, dtype):
    """Return numbers of which some are zeros of both signs."""
    x = rng.standard_normal(shape)
    x = np.where(rng.uniform(size=shape) < 0.2, rng.choice([0.0, -0.0], size=shape), x)
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def pulled_back(f, index, x, g):
    """Return the value and what `g` pulls back, as a function to compile."""

    def both(x, g, *index):
        y, pullback = bp.vjp(lambda x: f(x, *index), x)
        (pulled,) = pullback(g)
        return y, pulled

    compiled = bp.compile(both)
    compiled(x, g, *index)
    found = compiled(x, g, *index)
    want = bp.unmodified(both)(x, g, *index)
    for a, b in zip(found, want, strict=True):
        assert_same_bits(a, b)
    return compiled


ALONG = {
    "first axis": (lambda x, i: x[i], 0),
    "last axis": (lambda x, i: x[..., i], 2),
    "middle axis": (lambda x, i: x[:, i], 1),
    "transposed": (lambda x, i: x.T[i], 2),
    "a part, backward": (lambda x, i: x[::-1, 1:][i], 0),
    "a slice in front": (lambda x, i: x[1:, i], 1),
    "take": (lambda x, i: np.take(x, i, axis=1), 1),
    "take of all": (lambda x, i: np.take(x, i), None),
    "a new axis": (lambda x, i: x[:, None, i], 1),
}


@pytest.mark.parametrize("name", ALONG)
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_index(name, dtype, rng):
    f, axis = ALONG[name]
    x = numbers(rng, (4, 5, 3), dtype)
    n = x.size if axis is None else x.shape[axis]
    for shape in ((), (1,), (7,), (2, 3), (0,)):
        i = rng.integers(-n, n, shape)
        g = numbers(rng, np.shape(f(x, i)), dtype)
        compiled = pulled_back(f, (i,), x, g)
        assert "call" not in kinds(compiled)
        for _ in range(3):
            i = rng.integers(-n, n, shape)
            found = compiled(x, g, i)
            assert_same_bits(found[0], f(x, i))
        assert compiled.stats()["plans"] == 1


SEVERAL = {
    "both": lambda x, i, j: x[i, j],
    "a constant": lambda x, i, j: x[i, np.arange(3), j],
    "a list": lambda x, i, j: x[[0, 1, -1], i] + x[j, range(3)],
    "apart": lambda x, i, j: x[i, :, j],
    "of two axes": lambda x, i, j: x[i[:, None], j],
    "behind dots": lambda x, i, j: x[..., i, j],
    "a slice behind": lambda x, i, j: x[i, j, 1:],
    "a slice in front": lambda x, i, j: x[1:, i, j],
    "a number": lambda x, i, j: x[i, 2, j],
    "new axes": lambda x, i, j: x[None, i, None, j],
    "an element": lambda x, i, j: x[i[0], j[1], 2] + x[i[2], 1, j[0]],
    "one is a mean": lambda x, i, j: x[i, j] * np.mean(x[j, i]),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_several_indices(name, rng):
    f = SEVERAL[name]
    x = numbers(rng, (3, 3, 4), np.float64)
    i, j = rng.integers(-3, 3, (2, 3))
    g = numbers(rng, np.shape(f(x, i, j)), np.float64)
    compiled = pulled_back(f, (i, j), x, g)
    assert "call" not in kinds(compiled)
    for _ in range(5):
        i, j = rng.integers(-3, 3, (2, 3))
        assert_same_bits(compiled(x, g, i, j)[0], f(x, i, j))


@pytest.mark.parametrize("kind", INTEGERS)
def test_integers_of_any_kind(kind, rng):
    x, g = numbers(rng, (6, 2), np.float64), numbers(rng, (4, 2), np.float64)
    low = 0 if np.dtype(kind).kind == "u" else -6
    i = rng.integers(low, 6, 4).astype(kind)
    for f in (
        lambda x, i: x[i],
        lambda x, i: np.take(x, i, 0),
        lambda x, i: np.take_along_axis(x, np.stack([i, i], 1), 0),
    ):
        pulled_back(f, (i,), x, g)
    strided = np.arange(12).astype(kind)[::3] % 6
    assert "call" not in kinds(pulled_back(lambda x, i: x[i], (strided[::-1],), x, g))


@pytest.mark.parametrize("mode", ["wrap", "clip"])
def test_modes_of_take(mode, rng):
    x, g = numbers(rng, (5, 2), np.float64), numbers(rng, (9, 2), np.float64)
    compiled = pulled_back(
        lambda x, i: np.take(x, i, 0, mode=mode), (rng.integers(-30, 30, 9),), x, g
    )
    assert "call" not in kinds(compiled)
    i = rng.integers(-30, 30, 9)
    assert_same_bits(compiled(x, g, i)[0], np.take(x, i, 0, mode=mode))


def test_many_in_one_place_in_single_precision(rng):
    i, x = np.zeros(300, np.intp), numbers(rng, 4, np.float32)
    assert "call" in kinds(pulled_back(lambda x, i: x[i], (i,), x, numbers(rng, 300, np.float32)))
    i = np.zeros(254, np.intp)
    compiled = pulled_back(lambda x, i: x[i], (i,), x, numbers(rng, 254, np.float32))
    assert "call" not in kinds(compiled)


def loss(table, weights, codes, targets):
    """Return the loss of a model that reads rows of a table in each of its steps."""
    h = np.zeros(weights.shape[1])
    total = 0.0
    for t in range(len(codes)):
        h = np.tanh(table[codes[t]] @ weights + h)
        total = total + (h[targets[t] % 2] - 1.0) ** 2
    return total / len(codes)


def scanned(table, weights, codes, targets):
    def step(h, inputs):
        code, target = inputs
        h = np.tanh(table[code] @ weights + h)
        return h, (h[target % 2] - 1.0) ** 2

    return np.sum(bp.scan(step, np.zeros(weights.shape[1]), (codes, targets))[1]) / len(codes)


@pytest.mark.parametrize("f", [loss, scanned])
def test_loops_that_read_rows(f, rng):
    table, weights = rng.standard_normal((7, 4)), rng.standard_normal((4, 3))
    compiled = bp.compile(bp.value_and_grad(f, (0, 1)))
    lengths = {}
    for n in (20, 40):
        codes, targets = rng.integers(-7, 7, n), rng.integers(0, 9, n)
        compiled(table, weights, codes, targets)
        found = compiled(table, weights, codes, targets)
        want = bp.value_and_grad(bp.unmodified(loss), (0, 1))(table, weights, codes, targets)
        np.testing.assert_allclose(found[0], want[0], rtol=1e-13)
        for a, b in zip(found[1], want[1], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)
        lengths[n] = len(kinds(compiled))
    if f is scanned:
        assert {"gather", "scatter"} <= set(kinds(compiled))
    assert lengths[20] == lengths[40]


def test_gradients_are_added_where_they_lie(rng):
    """No step makes zeros of the size of the table."""

    def f(table, codes):
        total = 0.0
        for code in codes:
            total = total + np.sum(np.sin(table[code]))
        return total

    compiled = bp.compile(bp.grad(f))
    table, codes = rng.standard_normal((50, 3)), rng.integers(-50, 50, 30)
    compiled(table, codes)
    assert kinds(compiled).count("zero") == 1
    assert_same_bits(compiled(table, codes), bp.grad(bp.unmodified(f))(table, codes))


@pytest.mark.parametrize("name", [*ALONG, *SEVERAL])
def test_an_index_out_of_bounds_is_the_function_s_own_error(name, rng):
    x, index = numbers(rng, (3, 3, 4), np.float64), rng.integers(-3, 3, (2, 3))
    f, own = (ALONG[name][0], index[:1]) if name in ALONG else (SEVERAL[name], index)
    compiled = bp.compile(lambda x, *own: f(x, *own))
    compiled(x, *own)
    for bad in (1000, -1000, np.iinfo(np.intp).max, np.iinfo(np.intp).min):
        wrong = own.copy()
        wrong[-1, 0] = bad
        with pytest.raises(IndexError) as expected:
            f(x, *wrong)
        with pytest.raises(IndexError) as found:
            compiled(x, *wrong)
        assert str(found.value) == str(expected.value)
    assert_same_bits(compiled(x, *own), f(x, *own))


def test_without_the_pass_functions_are_called(rng, monkeypatch):
    x, i = rng.standard_normal((5, 2)), rng.integers(-5, 5, 4)
    with_it = bp.compile(bp.value_and_grad(lambda x, i: np.sum(np.sin(x[i]))))
    want = with_it(x, i)
    assert "gather" in kinds(with_it)
    monkeypatch.setenv("FASTBP_PASSES", "-indexing")
    without = bp.compile(bp.value_and_grad(lambda x, i: np.sum(np.sin(x[i]))))
    without(x, i)
    assert {"gather", "call"} & set(kinds(without)) == {"call"}
    for a, b, c in zip(want, with_it(x, i), without(x, i), strict=True):
        assert_same_bits(b, a)
        assert_same_bits(c, a)


def test_files(rng):
    x, i, j = rng.standard_normal((5, 4)), rng.integers(-5, 5, 6), rng.integers(-4, 4, 6)
    f = bp.compile(bp.value_and_grad(lambda x, i, j: np.sum(np.sin(x[i]) + x[i, j][:, None])))
    f(x, i, j)
    want = f(x, i, j)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a.plan")
        f.save(path)
        loaded = bp.load(path)
    for a, b in zip(loaded(x, i, j), want, strict=True):
        assert_same_bits(a, b)
    with pytest.raises(IndexError, match="index 9 is out of bounds for axis 0 with size 5"):
        loaded(x, i + 9 - i, j)


def test_any_index(rng):
    """Random indices of random arrays, against eager."""
    for _ in range(120):
        nd = int(rng.integers(1, 5))
        shape = tuple(rng.integers(1, 5, nd))
        at, items, recorded = 0, [], []
        broadcast = [(), (3,), (2, 1), (2, 3), (1,)]
        dots = bool(rng.integers(2))
        while at < nd:
            kind = rng.integers(6)
            n = shape[at]
            if kind < 3:
                index = rng.integers(-n, n, broadcast[rng.integers(5)])
                items.append(len(recorded))
                recorded.append(index.astype(rng.choice([np.int64, np.int32])))
                at += 1
            elif kind == 3:
                items.append(slice(None, None, -1))
                at += 1
            elif kind == 4:
                items.append(None)
            elif dots:
                items.append(...)
                dots = False
                at += int(rng.integers(0, nd - at + 1))
                if at < nd:  # what follows names the last axes
                    continue
            else:
                items.append((int(rng.integers(-n, n)),))
                at += 1
        if not recorded:
            continue

        def f(x, *own, items=tuple(items)):
            index = [
                own[k] if isinstance(k, int) else k[0] if isinstance(k, tuple) else k for k in items
            ]
            return x[tuple(index)]

        x = numbers(rng, shape, np.float64)
        try:
            y = f(x, *recorded)
        except IndexError:
            continue
        pulled_back(f, recorded, x, numbers(rng, np.shape(y), np.float64))
