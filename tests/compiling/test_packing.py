"""Numbers that a step carries and treats alike are one array of the plan."""

import numpy as np
import pytest

import fastbp as bp
from fastbp import tree
from fastbp.errors import UnconnectedWarning


def size(compiled):
    """Return how many words say what is in the loops of a plan."""
    lines = compiled.explain().splitlines()
    return len(" ".join([line for line in lines if line.startswith("    ")]).split())


def assert_same(found, want, rtol=0.0):
    found, want = tree.flatten(found)[0], tree.flatten(want)[0]
    assert len(found) == len(want)
    for a, b in zip(map(np.asarray, found), map(np.asarray, want), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if rtol:
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)
        else:
            np.testing.assert_array_equal(a, b)


def ring(carry, x):
    """Couple each number to its neighbour."""
    carry = tuple(
        [np.sin(a) * 0.5 + b * x for a, b in zip(carry, carry[1:] + carry[:1], strict=True)]
    )
    return carry, carry[0]


def line(carry, x):
    """Take heat along a rod, whose ends have formulas of their own."""
    inner = [
        b + 0.1 * (a - 2 * b + c) for a, b, c in zip(carry, carry[1:-1], carry[2:], strict=False)
    ]
    return (carry[0] + 0.2 * (carry[1] - carry[0]) + x, *inner, 0.9 * carry[-2]), carry[-1] * x


def weighted(carry, x):
    """Give each number a constant of its own."""
    n = len(carry)
    carry = tuple([np.tanh(carry[k] * (k - 3.5) + carry[(k + 3) % n]) + x for k in range(n)])
    return carry, (carry[2], sum(carry))


def dictionary(carry, x):
    """Carry a matrix beside the numbers, and one number that never changes."""
    u, m, k = carry["u"], carry["m"], carry["k"]
    new = [np.exp(-(a**2)) * k + b for a, b in zip(u, u[-2:] + u[:-2], strict=True)]
    m = m @ m * 0.1 + new[1]
    new[0] = new[0] + m[0, 0]
    return {"u": [0.5 * v for v in new], "m": m, "k": k}, x * new[3]


STEPS = {"ring": ring, "line": line, "weighted": weighted, "dictionary": dictionary}


def start(name, rng, dtype="f8", n=11):
    numbers = [np.dtype(dtype).type(v) for v in rng.standard_normal(n)]
    if name != "dictionary":
        return tuple(numbers)
    return {"u": numbers, "m": rng.standard_normal((2, 2)).astype(dtype), "k": numbers[0] * 0.3}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("name", STEPS)
def test_values_and_derivatives_are_those_of_numbers(name, dtype, reverse, rng, monkeypatch):
    init = start(name, rng, dtype)
    xs = rng.standard_normal(9).astype(dtype)

    def run(init, xs):
        return bp.scan(STEPS[name], init, xs, reverse=reverse)

    def loss(init, xs):
        carry, ys = run(init, xs)
        return sum([np.sum(leaf**2) for leaf in tree.flatten((carry, ys))[0]])

    gradient = bp.value_and_grad(loss, argnums=(0, 1))
    compiled, compiled_gradient = bp.compile(run), bp.compile(gradient)
    for _ in range(2):
        assert_same(compiled(init, xs), run(init, xs), 1e-5 if dtype == "f4" else 1e-12)
        found = compiled_gradient(init, xs)
        assert_same(found, gradient(init, xs), 1e-3 if dtype == "f4" else 1e-11)
    monkeypatch.setenv("FASTBP_PASSES", "-packing")
    apart = bp.compile(run)
    assert_same(compiled(init, xs), apart(init, xs))  # to the bit
    assert size(compiled) < size(apart)


@pytest.mark.parametrize("name", ["ring", "weighted"])
def test_derivatives_of_higher_order_and_forward_mode(name, rng):
    init, xs = start(name, rng), rng.standard_normal(5)

    def loss(xs):
        carry, ys = bp.scan(STEPS[name], init, xs)
        return sum(carry) + np.sum(tree.flatten(ys)[0][0] ** 2)

    assert_same(bp.compile(bp.hessian(loss))(xs), bp.hessian(loss)(xs), 1e-11)
    jvp = bp.compile(lambda x, t: bp.jvp(loss, (x,), (t,)))
    assert_same(jvp(xs, xs[::-1]), bp.jvp(loss, (xs,), (xs[::-1],)), 1e-11)


@pytest.mark.parametrize("options", [{"checkpoint": 3}, {"checkpoint": "binomial"}])
def test_with_checkpoints(options, rng):
    init, xs = start("ring", rng), rng.standard_normal(10)

    def loss(init, xs):
        carry, ys = bp.scan(ring, init, xs, **options)
        return sum(carry) + np.sum(ys)

    gradient = bp.grad(loss, argnums=(0, 1))
    assert_same(bp.compile(gradient)(init, xs), gradient(init, xs), 1e-11)


def test_what_is_read_from_outside_is_differentiated(rng):
    init, xs, w = start("ring", rng), rng.standard_normal(6), 0.4

    def loss(w, v):
        def step(carry, x):
            n = len(carry)
            new = [carry[k] * w + np.cos(carry[k - 1]) * v[k % 3] * x for k in range(n)]
            return tuple(new), ()

        return sum(bp.scan(step, init, xs)[0])

    gradient = bp.grad(loss, argnums=(0, 1))
    v = rng.standard_normal(3)
    assert_same(bp.compile(gradient)(w, v), gradient(w, v), 1e-11)


def test_numbers_of_two_kinds_are_two_arrays(rng):
    init, xs = start("ring", rng, n=20), rng.standard_normal(6)

    def step(carry, x):
        new = []
        for p, v in zip(carry[::2], carry[1::2], strict=True):  # one after the other
            new += [p + 0.1 * v, v - 0.1 * np.sin(p) * x]
        return tuple(new), ()

    def loss(init, xs):
        return sum(bp.scan(step, init, xs)[0])

    compiled = bp.compile(bp.grad(loss, argnums=(0, 1)))
    assert_same(compiled(init, xs), bp.grad(loss, argnums=(0, 1))(init, xs), 1e-11)
    assert size(compiled) < 40


def test_numbers_apart_from_one_another(rng):
    init, xs = start("ring", rng), rng.standard_normal(6)

    def first(init, xs):
        carry, _ = bp.scan(lambda c, x: (tuple([np.sin(v) + x for v in c]), ()), init, xs)
        return carry[0]

    with pytest.warns(UnconnectedWarning):
        want = bp.grad(first)(init, xs)
    compiled = bp.compile(bp.grad(first, unconnected="zero"))
    assert_same(compiled(init, xs), want, 1e-12)


@pytest.mark.parametrize("step", [
    lambda c, x: (tuple([np.where(c[k] > 0, c[k], c[k - 1] * x) for k in range(11)]), ()),
    lambda c, x: (tuple([c[k * 7 % 11] * c[k * 3 % 11] + x for k in range(11)]), ()),
    lambda c, x: (tuple([float(k) for k in range(11)]), c[0] * x),
    lambda c, x: (c[1:] + c[:1], x),
])  # fmt: skip
def test_steps_that_do_not_fit_are_as_they_were(step, rng):
    init, xs = start("ring", rng), rng.standard_normal(6)

    def run(init, xs):
        return bp.scan(step, init, xs)

    assert_same(bp.compile(run)(init, xs), run(init, xs), 1e-12)
    loss = bp.grad(lambda c, xs: sum(map(np.sum, tree.flatten(run(c, xs))[0])), unconnected="zero")
    assert_same(bp.compile(loss)(init, xs), loss(init, xs), 1e-11)


def test_a_plan_is_as_long_for_any_count_of_numbers(rng):
    found = set()
    for n in (16, 48):
        compiled = bp.compile(lambda c, xs: bp.scan(ring, c, xs))
        compiled(start("ring", rng, n=n), rng.standard_normal(6))
        found.add(size(compiled))
    assert len(found) == 1
