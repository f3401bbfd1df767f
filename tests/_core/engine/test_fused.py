"""Forward sweeps run large elementwise operations in groups: the same tangents as one by one."""

import numpy as np
import pytest

from fastbp._core import sweep, threads
from fastbp._core.graph import variable
from fastbp._core.tape import Tape

from ...harness import assert_sums_close


def in_small_steps(f, x, t):
    """The tangent by sweeps of pieces that are too small for a group."""
    parts = []
    for start in range(0, x.size, 500):
        here = slice(start, start + 500)
        v = variable(x[here])
        parts.append(
            sweep.forward(
                Tape([f(v)], [v]), [np.ascontiguousarray(t[..., here])], False, t.ndim - 1
            )[0]
        )
    return np.concatenate(parts, axis=-1)


def many(x):
    for _ in range(100):  # more than one group takes
        x = x * 0.9 + np.sin(x)
    return x


@pytest.mark.parametrize("threads_used", [1, 2])
@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sin(x) * x + x / (2.0 + np.cos(x)),
        lambda x: x * x,
        lambda x: 3.0 * x,
        lambda x: np.where(x > 0.3, np.tanh(x), x) ** 2 + np.maximum(x, 0.1),
        many,
    ],
)
def test_groups_compute_the_same(f, dtype, threads_used, rng):
    x = rng.random(60_000).astype(dtype)
    before = threads.num_threads()
    threads.set_num_threads(threads_used)
    try:
        for lead in ((), (1,), (3,)):
            t = rng.normal(size=(*lead, x.size)).astype(dtype)
            v = variable(x)
            found = sweep.forward(Tape([f(v)], [v]), [t.copy()], False, len(lead))[0]
            assert found.dtype == dtype
            assert np.array_equal(found, in_small_steps(f, x, t))
    finally:
        threads.set_num_threads(before)


def test_groups_keep_what_others_read(rng):
    """Members that are outputs, that a rule reads, or that other shapes read."""
    n = 50_000
    x, t = rng.random(n), rng.normal(size=(2, n))
    v = variable(x)
    a = np.exp(v)
    b = a * v
    c = np.cumsum(b)[::-1] + a
    d = np.sum(c * b)
    e = c * d
    found = sweep.forward(Tape([b, e, a, b, d], [v]), [t], False, 1)

    def by_hand(t):
        ta = np.exp(x) * t
        tb = ta * x + np.exp(x) * t
        b_value, a_value = np.exp(x) * x, np.exp(x)
        c_value = np.cumsum(b_value)[::-1] + a_value
        tc = np.cumsum(tb, axis=-1)[:, ::-1] + ta
        td = np.sum(tc * b_value + c_value * tb, axis=-1)
        te = tc * np.sum(c_value * b_value) + c_value * td[:, None]
        return tb, te, ta, tb, td

    # Two sums of n terms one after the other; exponentials to an ulp, and products, between them.
    roundings = (8, 2 * n + 20, 8, 8, 2 * n + 20)
    for results in zip(found, by_hand(t), by_hand(np.abs(t)), roundings, strict=True):
        assert_sums_close(*results)
    assert not np.shares_memory(found[0], found[3])


def test_groups_read_strided_and_broadcast_operands(rng):
    n = 40_000
    x = rng.random((2, n))
    w = rng.random((2, n)).T.copy().T  # Fortran order: not for a group
    t = rng.normal(size=(3, 2, n))
    v = variable(x)
    y = np.sin(v[0, 1:] * v[1, :-1]) * 2.0 + v[0, 0] * v[1, 1:]
    z = np.cos(v) * w + v[:1] * v
    found = sweep.forward(Tape([y, z], [v]), [t], False, 1)
    inner = np.cos(x[0, 1:] * x[1, :-1]) * 2.0
    ty = inner * (t[:, 0, 1:] * x[1, :-1] + x[0, 1:] * t[:, 1, :-1])
    ty += t[:, 0, :1] * x[1, 1:] + x[0, 0] * t[:, 1, 1:]
    tz = -np.sin(x) * w * t + t[:, :1] * x + x[:1] * t
    np.testing.assert_allclose(found[0], ty, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found[1], tz, rtol=1e-12, atol=1e-12)


def test_an_input_that_depends_on_another_one(rng):
    x = rng.random(50_000)
    v = variable(x)
    u = v * v
    y = np.sin(u) * v
    t = rng.normal(size=x.size)
    found = sweep.forward(Tape([y], [v, u]), [t, t])[0]
    np.testing.assert_allclose(found, np.cos(x * x) * x * (2 * x * t + t) + np.sin(x * x) * t)


# ---- between operations that are no members


def rolled_sum(shifts, axis=None):
    def f(x):
        y = 0.5 * x
        for k, shift in enumerate(shifts):
            y = y * 0.9 + (k + 1.0) * np.roll(x, shift, axis) * np.sin(x)
        return y

    return f


def by_hand(f, x, t):
    """The tangent by central differences: `f` is smooth."""
    h = 1e-6
    return (f(x + h * t) - f(x - h * t)) / (2 * h)


@pytest.mark.parametrize("lead", [(), (1,), (3,)])
@pytest.mark.parametrize(
    ("shape", "shifts", "axis"),
    [
        ((20_000,), (1, -1), None),
        ((20_000,), (0, 20_000, 7_777, -50_001), 0),
        ((20_000,), range(1, 14), None),
        ((100, 200), (1, -1), 0),
        ((100, 200), (1, -1), 1),
        ((100, 200), (3, -2), None),
        ((100, 200), ((1, 2), (-1, 5)), (0, 1)),
        ((100, 200), ((1, 2),), (0, 0)),
        ((1, 20_000), (1,), 0),
        ((20_000, 1), (1, 5), 0),
    ],
)
def test_rolls(shape, shifts, axis, lead, rng):
    x, t = rng.normal(size=shape), rng.normal(size=(*lead, *shape))
    f = rolled_sum(shifts, axis)
    v = variable(x)
    found = sweep.forward(Tape([f(v)], [v]), [t], False, len(lead))[0]
    for one, direction in zip(found.reshape(-1, *shape), t.reshape(-1, *shape), strict=True):
        np.testing.assert_allclose(one, by_hand(f, x, direction), rtol=1e-6, atol=1e-6)


def test_rolls_that_others_read(rng):
    n = 20_000
    x, t = rng.normal(size=n), rng.normal(size=(2, n))
    v = variable(x)
    a = np.roll(v, 3)
    b = np.roll(a, -1)  # of a rolled one
    c = np.roll(v * v, 2)  # of a member of a group
    d = np.cumsum(a)
    e = a * 2.0 + b * c
    found = sweep.forward(Tape([a, b, c, d, e, a], [v]), [t], False, 1)

    def moved(t, shift):
        return np.roll(t, shift, -1)

    ta, tb, tc = moved(t, 3), moved(t, 2), moved(2 * x * t, 2)
    te = ta * 2.0 + tb * moved(x * x, 2) + moved(x, 2) * tc
    for result, expected in zip(found, [ta, tb, tc, np.cumsum(ta, -1), te, ta], strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)
        assert result.flags.c_contiguous
    assert not np.shares_memory(found[0], t)
    assert not np.shares_memory(found[0], found[5])


def test_a_roll_of_an_end_with_a_tangent(rng):
    n = 20_000
    v = variable(rng.normal(size=n))
    u = np.roll(v, 1)
    t, s = rng.normal(size=(2, n))
    found = sweep.forward(Tape([u * 2.0], [v, u]), [t, s])[0]
    np.testing.assert_allclose(found, 2.0 * (np.roll(t, 1) + s), rtol=1e-14)
    found = sweep.forward(Tape([u * 2.0], [v, u], True), [t, s])[0]
    np.testing.assert_allclose(found, 2.0 * s, rtol=1e-14)


def test_a_block_of_scalars(rng):
    """Large by its block axis only; a roll of no axes."""
    v = variable(np.array(2.0))
    t = rng.normal(size=50_000)
    found = sweep.forward(Tape([np.sin(np.roll(v, 3) * v)], [v]), [t], False, 1)[0]
    np.testing.assert_allclose(found, np.cos(4.0) * 4.0 * t)
