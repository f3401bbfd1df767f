#!/usr/bin/env python
"""Fuzz indexing, views, and einsum strings, beside NumPy (``pip install atheris``).

    python .ci/fuzz.py -max_total_time=600 [CORPUS] [other flags of libFuzzer]

What is drawn is linear in each operand. So values are NumPy's, the tangent of an operand is the
function of the tangent, and forward and reverse mode agree by their inner product. What NumPy
refuses has to be refused, and what it takes be taken, or refused by an error of fastbp. A case that
breaks this ends the run: libFuzzer writes its bytes into a file ``crash-...``, which can be given.
"""

import contextlib
import sys
import warnings

import atheris

with atheris.instrument_imports(include=["fastbp"]):
    import fastbp as bp
    import fastbp.rules.numpy.indexing
    import fastbp.rules.numpy.products
    import fastbp.rules.numpy.structural
    import fastbp.rules.numpy.views
import numpy as np

from fastbp.errors import FastbpError

LETTERS = "ijkl"


def array(given, shape):
    """Return small whole numbers, in C or Fortran order or with strides: every sum is exact."""
    size = int(np.prod(shape))
    x = (np.arange(size, dtype=float) * 7 % 11 - 5.0).reshape(shape)
    kind = given.ConsumeIntInRange(0, 3)
    if kind == 1:
        return np.asfortranarray(x)
    if kind == 2 and x.ndim:
        wide = np.zeros((*shape[:-1], 2 * shape[-1]))
        wide[..., ::2] = x
        return wide[..., ::2]
    if kind == 3 and x.ndim:
        return x[::-1]
    return x


def beside(x):
    """Return an array with the same strides: what ``ravel("A")`` does depends on them."""
    if not x.size:
        return np.empty_like(x)
    ends = [(n - 1) * step for n, step in zip(x.shape, x.strides, strict=True)]
    first = -sum(end for end in ends if end < 0)
    memory = np.empty((first + sum(end for end in ends if end > 0)) // x.itemsize + 1)
    return np.ndarray(x.shape, x.dtype, memory, first, x.strides)


def shape_of(given, most=4):
    return tuple(given.ConsumeIntInRange(0, 4) for _ in range(given.ConsumeIntInRange(0, most)))


def maybe(given, low=-6, high=6):
    return given.ConsumeIntInRange(low, high) if given.ConsumeBool() else None


def index_of(given):
    """One part of an index: of any kind that NumPy knows."""
    kind = given.ConsumeIntInRange(0, 7)
    if kind == 0:
        return given.ConsumeIntInRange(-5, 5)
    if kind == 1:
        return slice(maybe(given), maybe(given), maybe(given, -3, 3))
    if kind == 2:
        return Ellipsis
    if kind == 3:
        return None
    shape = shape_of(given, 2)
    size = int(np.prod(shape))
    if kind == 4:
        return np.array([given.ConsumeBool() for _ in range(size)], bool).reshape(shape)
    numbers = [given.ConsumeIntInRange(-4, 4) for _ in range(size)]
    if kind == 5:
        return numbers
    return np.array(numbers, np.intp if kind == 6 else np.int8).reshape(shape)


def indexing(given):
    parts = tuple(index_of(given) for _ in range(given.ConsumeIntInRange(0, 4)))
    key = parts[0] if len(parts) == 1 and given.ConsumeBool() else parts
    return lambda x: x[key], [array(given, shape_of(given))], f"x[{key!r}]"


def views(given):
    """Several functions that look at the same elements."""
    steps = []
    for _ in range(given.ConsumeIntInRange(1, 4)):
        a, b = given.ConsumeIntInRange(-4, 4), given.ConsumeIntInRange(-4, 4)
        k = given.ConsumeIntInRange(0, 9)
        order = given.ConsumeIntInRange(0, 2)
        step = [
            ("T", lambda x: x.T),
            (f"swapaxes {a} {b}", lambda x, a=a, b=b: np.swapaxes(x, a, b)),
            (f"moveaxis {a} {b}", lambda x, a=a, b=b: np.moveaxis(x, a, b)),
            (f"expand_dims {a}", lambda x, a=a: np.expand_dims(x, a)),
            ("squeeze", lambda x: np.squeeze(x)),
            (f"flip {a}", lambda x, a=a: np.flip(x, a)),
            (f"diagonal {a}", lambda x, a=a: np.diagonal(x, a)),
            (f"ravel {'CFA'[order]}", lambda x, order="CFA"[order]: x.ravel(order)),
            (f"reshape {a} {b}", lambda x, a=a, b=b: x.reshape(a, b)),
            (f"slices {a}", lambda x, a=a: x[::a]),
        ][k]
        steps.append(step)

    def f(x):
        for _, step in steps:
            x = step(x)
        return x

    return f, [array(given, shape_of(given))], "; ".join(name for name, _ in steps)


def sums(given):
    """An einsum of one to three operands, with repeated labels, ellipses, and labels left out."""
    sizes = {c: given.ConsumeIntInRange(0, 3) for c in LETTERS}
    inputs, arrays = [], []
    for _ in range(given.ConsumeIntInRange(1, 3)):
        labels = [given.PickValueInList([*LETTERS]) for _ in range(given.ConsumeIntInRange(0, 3))]
        shape = [1 if given.ConsumeIntInRange(0, 9) == 0 else sizes[c] for c in labels]
        if given.ConsumeIntInRange(0, 4) == 0:
            at = given.ConsumeIntInRange(0, len(labels))
            inner = [given.ConsumeIntInRange(1, 2) for _ in range(given.ConsumeIntInRange(0, 2))]
            labels[at:at], shape[at:at] = ["..."], inner
        inputs.append("".join(labels))
        arrays.append(array(given, tuple(shape)))
    text = ",".join(inputs)
    if given.ConsumeBool():
        text += "->" + "".join(
            given.PickValueInList([*LETTERS, "..."]) for _ in range(given.ConsumeIntInRange(0, 3))
        )
    if given.ConsumeIntInRange(0, 9) == 0:
        text = text.replace(",", " , ")
    return lambda *xs: np.einsum(text, *xs), arrays, f"einsum {text!r}"


def outcome(f, *args):
    """Return the value and None, or None and the error."""
    try:
        return f(*args), None
    except Exception as error:
        return None, error


def check(f, arrays, words):
    words = f"{words} of shapes {[x.shape for x in arrays]}, strides {[x.strides for x in arrays]}"
    expected, error = outcome(f, *arrays)
    found, own = outcome(bp.vjp, f, *arrays)
    if error is not None or own is not None:
        allowed = isinstance(own, FastbpError) or (own is not None and error is not None)
        assert allowed, f"{words}\nNumPy: {error!r}\nfastbp: {own!r}"
        return
    y, pullback = found
    np.testing.assert_array_equal(y, expected, err_msg=words)
    assert np.shape(y) == np.shape(expected), words
    g = (np.arange(np.size(y)) * 5.0 % 7 - 3.0).reshape(np.shape(y))
    x_bars = pullback(g)
    for k, (x, x_bar) in enumerate(zip(arrays, x_bars, strict=True)):
        assert np.shape(x_bar) == x.shape, f"{words}\ncotangent {k}: {np.shape(x_bar)}"
        t = beside(x)
        t[...] = (np.arange(x.size) * 3.0 % 5 - 2.0).reshape(x.shape)
        moved = f(*arrays[:k], t, *arrays[k + 1 :])
        ts = [t if j == k else np.zeros_like(a) for j, a in enumerate(arrays)]
        found = bp.jvp(f, tuple(arrays), tuple(ts))[1]
        np.testing.assert_array_equal(found, moved, err_msg=f"{words}\ntangent {k}")
        assert np.sum(moved * g) == np.sum(t * x_bar), f"{words}\ncotangent {k}: {x_bar}"


def one(data):
    given = atheris.FuzzedDataProvider(data)
    drawn = [indexing, views, sums][given.ConsumeIntInRange(0, 2)]
    with warnings.catch_warnings(), contextlib.suppress(MemoryError):
        warnings.simplefilter("ignore")
        check(*drawn(given))


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
