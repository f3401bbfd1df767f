"""Arrays filled with recorded values, against the same code on complex numbers in NumPy."""

import functools

import numpy as np
import pytest
from numpy import random

import fastbp as bp
import fastbp.numpy as bnp
from fastbp.testing import check_grads

SHAPES = [(6,), (4, 3), (2, 3, 2)]


class Complex:
    """What a program needs of NumPy, with arrays of complex numbers."""

    @staticmethod
    def zeros(shape, order="C"):
        return np.zeros(shape, complex, order=order)


def some_index(rng, shape):
    """Return a random basic index."""
    items = []
    for n in shape[: rng.integers(1, len(shape) + 1)]:
        kind = rng.integers(5)
        if kind < 2:
            items.append(int(rng.integers(-n, n)))
        elif kind == 2:
            items.append(slice(None, None, int(rng.choice([1, 2, -1]))))
        else:
            start = int(rng.integers(n))
            items.append(slice(start, int(rng.integers(start + 1, n + 1))))
    if rng.integers(4) == 0:
        items.append(...)
    return tuple(items) if len(items) > 1 or rng.integers(2) else items[0]


def program(seed, np, x):
    """Fill arrays by a random sequence of writes, reads, views and steps in place."""
    rng = random.default_rng(seed)
    shape = SHAPES[rng.integers(len(SHAPES))]
    out = np.zeros(shape, order=str(rng.choice(["C", "F"])))
    seen, total = [out], 0.0
    for step in range(14):
        target = seen[rng.integers(len(seen))] if rng.integers(3) == 0 else out
        if not target.ndim:
            target = out
        index = some_index(rng, target.shape)
        value = x[step % 3] * (1.0 + 0.1 * step) + (0.3 * total if rng.integers(2) else 0.0)
        kind = rng.integers(8)
        if kind < 3:
            target[index] = value
        elif kind == 3:
            target[index] += value
        elif kind == 4:
            target[index] *= 1.0 - 0.5 * value
        elif kind == 5:
            target[index] = 0.25 * step
        elif kind == 6 and getattr(target[index], "ndim", 0):
            seen.append(target[index])
        elif kind == 7:
            target[index] = target[index] * x[0] + 0.5
        picked = seen[rng.integers(len(seen))]
        if rng.integers(2):
            total = total + 0.1 * picked[some_index(rng, picked.shape)].sum()
        if rng.integers(6) == 0:
            total = total + 0.01 * (out * out).sum()
    return total + sum([(0.5 + 0.1 * k) * (v * v).sum() for k, v in enumerate(seen)])


@pytest.mark.parametrize("seed", range(200))
def test_random_programs(seed):
    x = np.array([0.3, -0.7, 0.45])
    expected = program(seed, Complex, x.astype(complex)).real
    slopes = [program(seed, Complex, x + 1e-30j * e).imag / 1e-30 for e in np.eye(3)]
    f = functools.partial(program, seed, bnp)
    value, gradient = bp.value_and_grad(f)(x)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-11, atol=1e-11 * np.abs(slopes).max())
    _, forward = bp.jvp(f, (x,), (np.array([1.0, 2.0, 3.0]),))
    np.testing.assert_allclose(forward, slopes @ np.array([1.0, 2.0, 3.0]), rtol=1e-9, atol=1e-9)
    if seed % 8 == 0:
        check_grads(f, (x,), order=2)
