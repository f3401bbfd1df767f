"""Instructions that hold others, laid out in memory and run, against NumPy."""

import operator

import numpy as np
import pytest

from fastbp.compiling.blocks import Branch, Leave, Loop, Moving
from fastbp.compiling.builder import Builder
from fastbp.compiling.layout import laid_out
from fastbp.compiling.steps import Call, Copy, Zero
from fastbp.compiling.values import Storage, Value

DOUBLE = np.dtype(float)


def given(*arrays):
    return [Value(Storage("input", x.nbytes, k), x.shape, x.dtype) for k, x in enumerate(arrays)]


def rows(x, first=0, step=1):
    """Return what moves over the rows of `x`."""
    stride = x.strides[0]
    return Moving(x.view(x.shape[1:], x.offset + first * stride, x.strides[1:]), step * stride)


def written(b, y, moving):
    """Let a value of a body lie in memory that moves."""
    y.storage.put_inside(moving.storage, 0)


def kinds(plan):
    return [kind for kind, *_ in plan.facts]


def recurrence(n_steps, backward=False):
    """Return the plan of h = tanh(W @ h + x[t]) for all t, and all h."""
    n = 3
    w, x, h0 = (np.zeros(shape) for shape in ((n, n), (max(n_steps, 1), n), (n,)))
    b = Builder()
    w, x, h0 = given(w, x, h0)
    hs = b.new((n_steps + 1, n), DOUBLE)
    b.append(Copy([h0], [hs.view((n,), n_steps * n * 8 if backward else 0, (8,))]))
    step = -1 if backward else 1
    before = rows(hs, n_steps if backward else 0, step)
    after = rows(hs, n_steps - 1 if backward else 1, step)
    xs = rows(x, n_steps - 1 if backward else 0, step)
    body = Builder()
    product = body.contract(w, (0, 1), before.value((n,), DOUBLE), (1,), (0,))
    total = body.elementwise(np.add, (body.read(product), xs.value((n,), DOUBLE)), DOUBLE)
    h = body.elementwise(np.tanh, (total,), DOUBLE)
    unread = body.elementwise(np.exp, (total,), DOUBLE)
    body.append(Copy([unread], [body.new((n,), DOUBLE)]))
    written(body, h, after)
    b.append(Loop(n_steps, body.steps, [before, after, xs, rows(x)]))
    return laid_out(b, [w, x, h0], [hs])


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("n_steps", [1, 2, 7])
def test_what_moves_is_read_and_written_row_by_row(n_steps, backward, all_passes, rng):
    plan = recurrence(n_steps, backward)
    w, x, h = rng.standard_normal((3, 3)), rng.standard_normal((n_steps, 3)), np.ones(3)
    (found,) = plan(w, x, h)
    want = [h]
    for row in x[::-1] if backward else x:
        want.append(np.tanh(w @ want[-1] + row))
    np.testing.assert_allclose(found, want[::-1] if backward else want, rtol=1e-13)
    assert kinds(plan)[:4] == ["copy", "loop", "  product", "  region"]  # what nobody reads is gone
    assert plan.machine.n_steps <= 5


def test_swaps_and_what_follows():
    b = Builder()
    (x,) = given(np.zeros(4))
    places = [b.new((4,), DOUBLE) for _ in range(2)]
    b.append(Copy([x], [places[0]]))
    here, there = (Moving(place, 0) for place in places)
    body = Builder()
    y = body.elementwise(np.multiply, (here.value((4,), DOUBLE), 2.0), DOUBLE)
    written(body, y, there)
    b.append(Loop(5, body.steps, [here, there], [(here, there)]))
    last = here.value((4,), DOUBLE)
    z = b.elementwise(np.add, (last, 1.0), DOUBLE)
    plan = laid_out(b, [x], [z])
    np.testing.assert_array_equal(plan(np.arange(4.0))[0], 32 * np.arange(4.0) + 1)


def test_loops_nest_and_their_memory_is_used_again(all_passes, rng):
    x = rng.standard_normal((3, 5, 4))
    b = Builder()
    (given_x,) = given(x)
    total = b.new((4,), DOUBLE)
    b.append(Zero(total))
    row = rows(given_x)
    outer = Builder()
    for _ in range(2):
        own = outer.new((4,), DOUBLE)
        outer.append(Zero(own))
        column = rows(row.value((5, 4), DOUBLE))
        inner = Builder()
        y = inner.elementwise(
            np.multiply, (column.value((4,), DOUBLE), column.value((4,), DOUBLE)), DOUBLE
        )
        here = Moving(own, 0)
        z = inner.elementwise(np.add, (here.value((4,), DOUBLE), y), DOUBLE)
        inner.append(Copy([z], [own]))
        outer.append(Loop(5, inner.steps, [column, here]))
        z = outer.elementwise(np.add, (total, own), DOUBLE)
        outer.append(Copy([z], [total]))
    b.append(Loop(3, outer.steps, [row]))
    plan = laid_out(b, [given_x], [total])
    np.testing.assert_allclose(plan(x)[0], 2 * (x**2).sum((0, 1)), rtol=1e-12)
    assert plan.machine.work_bytes == 2 * 64  # `own`, `z`: the total is the caller's
    assert "    region" in kinds(plan)


@pytest.mark.parametrize("called", [False, True])
def test_loops_that_are_left_and_choices(called):
    b = Builder()
    (n,) = given(np.zeros(()))
    x, odd = b.new((), DOUBLE), b.new((), DOUBLE)
    b.append(Copy([n], [x]))
    b.append(Zero(odd))
    body = Builder()
    body.append(Leave(body.masked("gt", (x, 1.0), DOUBLE)))
    half = body.elementwise(np.multiply, (x, 0.5), DOUBLE)
    floor = body.elementwise(np.floor, (half,), DOUBLE)
    first, second = Builder(), Builder()
    y = first.elementwise(np.add, (x, -1.0), DOUBLE)
    first.append(Copy([y], [x]))
    y = first.elementwise(np.add, (odd, 1.0), DOUBLE)
    first.append(Copy([y], [odd]))
    if called:
        second.append(
            Call("note", lambda x: (x / 2,), [x], [y := Value(Storage("given", 8, 0), (), DOUBLE)])
        )
        y.returned = True
    else:
        y = second.elementwise(np.multiply, (x, 0.5), DOUBLE)
    second.append(Copy([y], [x]))
    is_odd = body.masked("ne", (half, floor), DOUBLE)
    body.append(Branch(is_odd, first.steps, second.steps))
    b.append(Loop(-1, body.steps))
    plan = laid_out(b, [n], [odd, x])
    for number in (1, 7, 12, 1000):
        found = plan(np.float64(number))
        assert found == [bin(number).count("1") - 1, 1.0]
    assert ("    call" in kinds(plan)) == called
    assert "  otherwise" in kinds(plan)


def test_calls_in_loops_get_what_lies_there_in_each_iteration(rng):
    x = rng.standard_normal((4, 3))
    b = Builder()
    (given_x,) = given(x)
    out = b.new((4, 3), DOUBLE)
    row, to = rows(given_x), rows(out)
    body = Builder()
    seen = []

    def sort(x):
        seen.append(x)
        return (np.sort(x),)

    y = Value(Storage("given", 24, 0), (3,), DOUBLE)
    y.returned = True
    body.append(Call("sort", sort, [row.value((3,), DOUBLE)], [y]))
    body.append(Copy([y], [to.value((3,), DOUBLE)]))
    b.append(Loop(4, body.steps, [row, to]))
    plan = laid_out(b, [given_x], [out])
    np.testing.assert_array_equal(plan(x)[0], np.sort(x, 1))
    assert [a.tolist() for a in seen] == x.tolist()


def test_an_error_in_a_loop_goes_through():
    b = Builder()
    body = Builder()
    y = Value(Storage("given", 8, 0), (), DOUBLE)
    y.returned = True
    body.append(Call("fail", lambda: operator.truediv(1, 0), [], [y]))
    z = b.new((), DOUBLE)
    body.append(Copy([y], [z]))
    b.append(Loop(3, body.steps))
    plan = laid_out(b, [], [z])
    with pytest.raises(ZeroDivisionError):
        plan()
