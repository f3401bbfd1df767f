"""Stacks of arrays that loops read and write: which of them there are, and where they lie."""

import numpy as np
import pytest

import fastbp as bp
from fastbp import tree

pytestmark = pytest.mark.usefixtures("all_passes")

STEPS, BATCH, UNITS = 64, 4, 128
STACK = STEPS * BATCH * UNITS * 8


def arguments(rng):
    w = UNITS**-0.5 * rng.standard_normal((UNITS, UNITS))
    return w, rng.standard_normal((STEPS, BATCH, UNITS))


def states(w, xs, **keywords):
    """Return the states of a network of tanh."""

    def step(h, x):
        h = np.tanh(h @ w + x)
        return h, h

    return bp.scan(step, np.zeros((BATCH, UNITS)), xs, **keywords)[1]


def plan_of(f, *args):
    """Return the plan of a compiled function; its values are compared."""
    compiled = bp.compile(f)
    for scale in (1.0, 1.25, 1.0):
        given = [scale * x for x in args]
        found, want = tree.flatten(compiled(*given))[0], tree.flatten(f(*given))[0]
        for a, b in zip(found, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11 * np.max(np.abs(b)))
    (entry,) = compiled.entries
    return entry.plan


def regions(plan):
    """Return what elementwise work there is: in loops, and on whole stacks."""
    inside = [what for kind, _, what in plan.facts if kind == "  region"]
    whole = [what for kind, *_, what in plan.facts if kind == "region"]
    return inside, whole


def squares(w, xs):
    return np.sum(states(w, xs) ** 2)


def test_work_on_a_stack_is_done_in_the_loop_that_reads_it(rng, monkeypatch):
    args = arguments(rng)
    gradient = bp.value_and_grad(squares, (0, 1))
    plan = plan_of(gradient, *args)
    assert regions(plan) == (["add tanh tanh_slope", "multiply add mulz"], ["square summed"])
    monkeypatch.setenv("FASTBP_PASSES", "-sinking")
    other = plan_of(gradient, *args)
    inside, whole = regions(other)
    assert inside == ["add tanh tanh_slope", "add mulz"]
    assert whole == ["square multiply summed"]
    assert other.machine.work_bytes - plan.machine.work_bytes == STACK


@pytest.mark.parametrize("reverse", [False, True])
def test_a_loop_writes_a_stack_over_one_that_it_reads_for_the_last_time(reverse, rng, monkeypatch):
    args = arguments(rng)
    gradient = bp.grad(lambda w, xs: np.sum(states(w, 2.0 * xs, reverse=reverse) ** 2), (0, 1))
    sizes = []
    for passes in ("", "-inplace"):
        monkeypatch.setenv("FASTBP_PASSES", passes)
        sizes.append(plan_of(gradient, *args).machine.work_bytes)
    # Slopes over the inputs of the steps, cotangents of those over slopes.
    assert sizes[1] - sizes[0] >= STACK


def test_what_others_read_stays(rng):
    w, xs = arguments(rng)

    def read_behind(w, xs):
        zs = 2.0 * xs
        return np.sum(states(w, zs) ** 2), zs

    def read_twice(w, xs):
        zs = xs * xs
        return np.sum(states(w, zs) * states(0.5 * w, zs, reverse=True))

    def read_in_another_order(w, xs):
        zs = xs * xs
        return np.sum(states(w, zs) + states(w, zs[::-1]))

    def read_by_a_product(w, xs):
        return np.sum(states(w, (xs * xs) @ w) ** 2)

    def read_one_step_behind(w, xs):
        zs = xs * xs

        def step(h, x):
            y, z = x
            h = np.tanh(h @ w + y) * z
            return h, (h, y)

        hs, ys = bp.scan(step, np.zeros((BATCH, UNITS)), (zs[1:], zs[:-1]))[1]
        return np.sum(hs * ys)

    for f in (read_behind, read_twice, read_in_another_order, read_by_a_product):
        plan_of(f, w, xs)
    for f in (read_twice, read_in_another_order, read_by_a_product, read_one_step_behind):
        plan_of(bp.value_and_grad(f, (0, 1)), w, xs)
        plan_of(lambda *args, f=f: bp.jvp(f, args, args), w, xs)


def test_dear_work_and_work_on_few_elements_are_done_at_once(rng):
    def loss(xs, function):
        def step(h, x):
            h = np.tanh(h * 0.5 + x)
            return h, None

        return np.sum(bp.scan(step, np.zeros(xs.shape[1:]), function(xs))[0])

    few, many = rng.standard_normal((1 << 13, 8)), rng.standard_normal((64, 512))
    for xs, function, inside, whole in (
        (many, lambda xs: xs * 3.0, "multiply multiply add tanh", []),
        (many, np.sin, "multiply add tanh", ["sin"]),
        (few, lambda xs: xs * 3.0, "multiply add tanh", ["multiply"]),
    ):
        plan = plan_of(lambda xs, function=function: loss(xs, function), xs)
        assert regions(plan) == ([inside], whole)


def test_broadcast_operands_are_read_as_they_are_in_each_step(rng):
    _, xs = arguments(rng)
    shapes = (UNITS,), (BATCH, 1), (STEPS, 1, 1), (1, BATCH, UNITS), (STEPS, 1, UNITS), ()
    for shape in shapes:
        for reverse in (False, True):

            def loss(xs, y, reverse=reverse):
                def step(h, x):
                    h = np.tanh(h * 0.5 + x)
                    return h, h

                zs = xs * y
                last, hs = bp.scan(step, np.zeros((BATCH, UNITS)), zs, reverse=reverse)
                return np.sum(last) + np.sum(hs * y)

            y = rng.standard_normal(shape)
            plan_of(loss, xs, y)
            plan_of(bp.grad(loss, (0, 1)), xs, y)


def looped(w, u, xs):
    """Run a network as a loop of Python."""
    h = np.zeros((BATCH, UNITS))
    for x in xs:
        h = np.tanh(h @ w + x @ u)
    return np.sum(h * h)


def products(plan):
    """Return what products there are: in loops, and in front of them or behind."""
    inside = [what for kind, _, what in plan.facts if kind == "  product"]
    return inside, [what for kind, *_, what in plan.facts if kind == "product" and "times" in what]


def test_products_of_what_is_there_before_a_loop_of_python_are_one(rng, monkeypatch):
    w, xs = arguments(rng)
    u = UNITS**-0.5 * rng.standard_normal((UNITS, UNITS))
    plan = plan_of(looped, w, u, xs)
    one = f"({BATCH}, {UNITS}) @ ({UNITS}, {UNITS})"
    assert products(plan) == ([f"{one}, added"], [f"{one} {STEPS - 1} times"])
    gradient = bp.value_and_grad(looped, (0, 1, 2))
    plan = plan_of(gradient, w, u, xs)
    inside, whole = products(plan)
    assert inside == [f"{one}, added", one]  # the states, and their cotangents
    assert (
        sum(what.startswith(one) for what in whole) == 2
    )  # of the inputs, and of their cotangents
    monkeypatch.setenv("FASTBP_PASSES", "-hoisting")
    inside, whole = products(plan_of(gradient, w, u, xs))
    assert len(inside) == 4
    assert not any(what.startswith(one) for what in whole)


def test_products_that_depend_on_a_carry_stay(rng):
    w, xs = arguments(rng)

    def by_carry(w, xs):
        h = xs[0]
        for x in xs[1:]:
            h = np.tanh(x @ w + h) @ w
        return np.sum(h * h)

    def by_what_is_written(w, xs):
        h = np.zeros((BATCH, UNITS))
        a = bp.numpy.zeros((STEPS, BATCH, UNITS))
        for k in range(STEPS):
            a[k] = h @ w
            h = np.tanh(a[k] + a[k - 1] @ w + xs[k])
        return np.sum(h * a)

    def backward(w, xs):
        h = np.zeros((BATCH, UNITS))
        total = 0.0
        for x in xs[::-1]:
            y = x @ w
            h = np.tanh(y + h) * y
            total = total + np.sum(h)
        return total + np.sum(y)  # the last one is read behind the loop

    for f in (by_carry, by_what_is_written, backward):
        plan_of(f, w, xs)
        plan_of(bp.value_and_grad(f, (0, 1)), w, xs)
        plan_of(lambda *args, f=f: bp.jvp(f, args, args), w, xs)


def test_products_in_front_of_a_loop_read_others_that_are_there(rng):
    w, xs = arguments(rng)

    def chained(w, xs):
        h = np.zeros((UNITS, UNITS))
        for x in xs[:8]:
            h = np.tanh(h + x.T @ (x @ w))
        return np.sum(h * h)

    plan = plan_of(chained, w, xs)
    assert len(products(plan)[0]) == 0
    assert [what.endswith("7 times") for what in products(plan)[1]] == [True, True]

    def added(w, xs):
        h = np.zeros((BATCH, UNITS))
        for x in xs[:8]:
            y = h @ w + x @ w
            h = np.tanh(y + (x @ w) @ w + y @ w)
        return np.sum(h * h)

    for f in (chained, added):
        plan_of(f, w, xs)
        plan_of(bp.value_and_grad(f, (0, 1)), w, xs)
