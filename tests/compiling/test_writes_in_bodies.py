"""What a body writes into is what its caller sees: eager, compiled and in a batch; or an error."""

import threading

import numpy as np
import pytest

import fastbp as bp
import fastbp.numpy as bnp
from fastbp._core import graph
from fastbp.errors import FrozenValueError

X = np.array([1.0, 2.0, 3.0])


def double(a):
    a *= 2.0
    return a


def first_set(a):
    a[0] = 5.0
    return a * 1.0


def of_checkpoint(x):
    y = np.sin(x)
    return np.sum(bp.checkpoint(double)(y) * y)


def of_a_view(x):
    y = np.sin(x)
    return np.sum(bp.checkpoint(first_set)(y[1:]) * y[1:]) + np.sum(y)


def of_what_is_around(x):
    y = np.sin(x)

    def f(a):
        y[0] = 3.0
        return a * 2.0

    return np.sum(bp.checkpoint(f)(x) * y)


def of_a_plain_array(x):
    b = np.ones(3)
    z = bp.checkpoint(lambda a, b: double(b) * a)(x, b)
    return np.sum(z * b)


def of_a_carry(x):
    def step(h, a):
        h *= a
        return h, h

    start = np.sin(x)
    return np.sum(bp.scan(step, start, np.stack([x, x * x, x]))[1] ** 2) + np.sum(start)


def of_a_carry_in_chunks(x):
    def step(h, a):
        h *= a
        return h, np.sum(h)

    start = np.sin(x)
    xs = np.stack([x, x * x, x])
    return np.sum(bp.scan(step, start, xs, checkpoint=2)[1] ** 2) + np.sum(start)


def of_a_table(x):
    out = bnp.zeros(4)

    def step(c, a):
        out[1] = a
        return c * a, c

    return np.sum(bp.scan(step, x, x)[1]) + np.sum(out * out)


def of_counted_steps(x):
    def body(c):
        c[0][1] += 1.0
        return c[0], c[1] + 1

    y = np.sin(x)
    return np.sum(bp.while_loop(lambda c: c[1] < 5, body, (y, 0), max_steps=9)[0] * y)


HONOURED = [
    of_checkpoint, of_a_view, of_what_is_around, of_a_plain_array, of_a_carry,
    of_a_carry_in_chunks, of_a_table, of_counted_steps,
]  # fmt: skip


@pytest.mark.parametrize("f", HONOURED)
def test_the_caller_sees_what_is_written(f):
    want = f(X.copy())
    numeric = [(f(X + d) - f(X - d)) / 2e-6 for d in 1e-6 * np.eye(3)]
    value, slope = bp.value_and_grad(f)(X)
    np.testing.assert_allclose(value, want, rtol=1e-14)
    np.testing.assert_allclose(slope, numeric, rtol=1e-6, atol=1e-6)
    compiled = bp.compile(bp.value_and_grad(f))
    for x in (X, 1.1 * X, X):
        value, found = compiled(x)
        np.testing.assert_allclose(value, f(x.copy()), rtol=1e-14)
        np.testing.assert_allclose(found, bp.grad(f)(x), rtol=1e-12)
    np.testing.assert_allclose(bp.vmap(f)(X[None]), [want], rtol=1e-14)
    np.testing.assert_allclose(bp.vmap(bp.grad(f))(X[None]), [slope], rtol=1e-12)


def chosen_by_value(x):
    y = np.sin(x)
    return np.sum(bp.cond(x[0] > 0, double, double, y) * y)


def chosen_around(x):
    y = np.sin(x)

    def f(a):
        y[0] = 3.0
        return a

    return np.sum(bp.cond(x[0] > 0, f, lambda a: a, x) * y)


def chosen_masks(x):
    mask = x > 2.0

    def f(m):
        m[0] = True
        return m

    return np.sum(np.where(bp.cond(x[0] > 0, f, lambda m: m, mask), x, 0.0))


def repeated_by_value(x):
    def body(c):
        c[0] += 1.0
        return c

    y = np.sin(x)
    return np.sum(bp.while_loop(lambda c: c[0] < 5.0, body, y) * y)


@pytest.mark.parametrize(
    ("f", "name"),
    [
        (chosen_by_value, "cond"),
        (chosen_around, "cond"),
        (chosen_masks, "cond"),
        (repeated_by_value, "while_loop"),
    ],
)
def test_what_cannot_be_planned_is_refused(f, name):
    np.testing.assert_allclose(bp.value_and_grad(f)(X)[0], f(X.copy()), rtol=1e-14)
    for compiled in (bp.compile(f), bp.compile(bp.grad(f))):
        with pytest.raises(FrozenValueError, match=rf"{name}: .*shape \(3,\).*write a = a \* 2"):
            compiled(X)


def test_what_a_body_makes_itself_it_may_write_into():
    def f(x):
        def step(carry, a):
            h, total = carry
            h = h * a
            h[0] = np.sum(a)
            h *= 0.5
            total += np.sum(h)
            return (h, total), np.sum(h)

        (h, total), sums = bp.scan(step, (x, x[0]), np.stack([x, x * x, x]))
        return np.sum(h) + total + np.sum(sums)

    compiled = bp.compile(bp.value_and_grad(f))
    compiled(X)
    assert "loop" in [kind for kind, *_ in compiled.entries[0].plan.facts]
    value, slope = compiled(X)
    np.testing.assert_allclose(value, f(X), rtol=1e-14)
    np.testing.assert_allclose(slope, bp.grad(f)(X), rtol=1e-12)


def test_other_threads_may_write():
    found = []

    def other(x):
        x *= 2.0
        found.append(x)

    x = bp.variable(X)
    before = graph.refuse_writes(graph.current_id(), lambda *facts: ValueError(facts))
    try:
        with pytest.raises(ValueError, match=r"\(3,\)"):
            x *= 2.0
        with pytest.raises(ValueError, match=r"\(3,\)"):
            x[1:][0] = 2.0
        thread = threading.Thread(target=other, args=(x,))
        thread.start()
        thread.join()
    finally:
        graph.refuse_writes(before)
    assert before is None
    np.testing.assert_array_equal(found[0].value, 2.0 * X)
    x *= 2.0
    np.testing.assert_array_equal(x.value, 4.0 * X)


def test_plain_arrays_that_a_body_finds_are_not_written_by_recording():
    """Both branches are recorded: what each writes would be there."""

    def of_branches(x):
        z = np.zeros(3)

        def fill(a):
            z[0] = 5.0
            return a

        def other(a):
            z[1] = 7.0
            return 2.0 * a

        y = bp.cond(x[0] > 0, fill, other, x)
        return np.sum(y * z), z

    assert bp.value_and_grad(lambda x: of_branches(x)[0])(X)[0] == 5.0 * X[0]
    with pytest.raises(FrozenValueError, match=r"cond: .*shape \(3,\)"):
        bp.compile(of_branches)(X)

    def of_steps(x):
        z = np.zeros(3)

        def step(h, a):
            z[...] += 1.0
            return h * a, np.sum(h)

        h, sums = bp.scan(step, x, np.stack([x, x * x]))
        return np.sum(h * z) + np.sum(sums)

    compiled = bp.compile(bp.grad(of_steps))
    for x in (X, 2.0 * X, X):
        np.testing.assert_allclose(compiled(x), bp.grad(of_steps)(x), rtol=1e-12)
