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


# ---- arrays of no axes, which += changes as it does others

CELLS = {
    "plain": lambda x: np.zeros(()),
    "made inside": lambda x: bnp.zeros(()),
    "of a number": lambda x: bnp.array(x[0]),
    "a view": lambda x: x[:1].reshape(()),
    "a copy": lambda x: np.copy(x[0]),
}


def scanned_around(x, z):
    def step(c, a):
        t = z
        t += 1.0
        return c + a, c

    return bp.scan(step, x[0] * 1.0, x)[0] * z


def scanned_carry(x, z):
    def step(c, a):
        c += a
        return c, c

    return np.sum(bp.scan(step, z, x)[1]) + z


def counted(x, z):
    def body(c):
        z, k = c
        z += x[1]
        return z * 2.0, k + 1

    return bp.while_loop(lambda c: c[1] < 3, body, (z, 0), max_steps=9)[0] * z


def chosen_of_no_axes(x, z):
    def body(a):
        t = z
        t += 1.0
        return a * 2.0

    return np.sum(bp.cond(x[0] > 0, body, lambda a: a, x)) * z


def repeated_of_no_axes(x, z):
    def body(c):
        a, z = c
        z += a
        return a * 2.0, z

    return bp.while_loop(lambda c: c[0] < 20.0, body, (x[0], z))[1] + z


@pytest.mark.parametrize("made", CELLS)
@pytest.mark.parametrize("f", [scanned_around, scanned_carry, counted])
def test_arrays_of_no_axes(made, f):
    if made == "plain" and f is not scanned_around:
        return  # eagerly a plain array takes no recorded value
    of = lambda x: f(x, CELLS[made](x))
    compiled, slopes = bp.compile(of), bp.compile(bp.grad(of))
    for x in (X, 1.1 * X, X):
        np.testing.assert_allclose(compiled(x), of(x.copy()), rtol=1e-14)
        np.testing.assert_allclose(slopes(x), bp.grad(of)(x), rtol=1e-14)


def test_arrays_of_no_axes_as_arguments():
    for f in (scanned_around, scanned_carry, counted):
        both = bp.compile(bp.value_and_grad(f, (0, 1)))
        want = f(X.copy(), np.array(0.5))
        value, slopes = both(X, np.array(0.5))
        np.testing.assert_allclose(value, want, rtol=1e-14)
        for found, right in zip(slopes, bp.grad(f, (0, 1))(X, np.array(0.5)), strict=True):
            np.testing.assert_allclose(found, right, rtol=1e-14)


@pytest.mark.parametrize("made", CELLS)
@pytest.mark.parametrize(
    ("f", "name"), [(chosen_of_no_axes, "cond"), (repeated_of_no_axes, "while_loop")]
)
def test_arrays_of_no_axes_that_cannot_be_planned(made, f, name):
    if made == "plain" and name == "while_loop":
        return
    of = lambda x: f(x, CELLS[made](x))
    np.testing.assert_allclose(bp.value_and_grad(of)(X)[0], of(X.copy()), rtol=1e-14)
    with pytest.raises(FrozenValueError, match=rf"{name}: .* write into an array of outside"):
        bp.compile(of)(X)


def test_numbers_are_bound_anew():
    def f(x):
        total = np.sum(x)

        def step(c, a):
            c += a * total
            return c, c

        c, s = bp.scan(step, x[0], x)
        return c + np.sum(s) + total

    compiled = bp.compile(bp.grad(f))
    compiled(X)
    assert "loop" in [kind for kind, *_ in compiled.entries[0].plan.facts]
    np.testing.assert_allclose(compiled(X), bp.grad(f)(X), rtol=1e-14)


def test_plain_arrays_further_around_a_body():
    """In closures of what a body calls, in lists and attributes."""

    class Counter:
        def __init__(self):
            self.calls = np.zeros(2)

        def step(self, c, a):
            self.calls += 1.0
            return c + a, c

    def of_an_object(x, counter):
        return bp.scan(counter.step, x[0] * 1.0, x)[0] * np.sum(counter.calls)

    def of_a_list(x, counter):
        kept = [counter.calls]
        add = lambda: np.add(kept[0], 1.0, out=kept[0])

        def step(c, a):
            add()
            return c + a, c

        return bp.scan(step, x[0] * 1.0, x)[0] * np.sum(kept[0])

    for f in (of_an_object, of_a_list):
        made = {"counter": Counter}
        of = lambda x, f=f, made=made: f(x, made["counter"]())
        want = of(X)
        np.testing.assert_allclose(bp.compile(of)(X), want, rtol=1e-14)


def test_comparisons_of_an_array_whose_writes_wait():
    def f(x):
        a = np.zeros((2, 3))
        a[0] = x
        a[1] = -x
        return np.sum(np.where(a > 0.0, a, 2.0 * a)), (a == 1.0) | (0.0 < a), np.sum(a >= 1.0)

    compiled = bp.compile(f)
    for x in (X, -X):
        for found, want in zip(compiled(x), f(x), strict=True):
            np.testing.assert_array_equal(found, want)
    slope = bp.grad(lambda x: f(x)[0])
    compiled = bp.compile(slope)
    np.testing.assert_array_equal(compiled(X), [-1.0, -1.0, -1.0])
    np.testing.assert_array_equal(compiled(-X), [1.0, 1.0, 1.0])


def test_an_array_that_takes_parts_of_itself_has_no_history():
    def f(x):
        a = np.ones((3, 2))
        row = a[0]
        a[1] = 2.0 * a[0]
        a[0] = a[1]
        row[1] = 7.0
        a[2] = row
        return (a if np.all(a[0] == [2.0, 7.0]) else -a) * x

    np.testing.assert_array_equal(bp.compile(f)(X[:2]), f(X[:2]))
    np.testing.assert_array_equal(f(X[:2]), [[2.0, 14.0], [2.0, 4.0], [2.0, 14.0]])
