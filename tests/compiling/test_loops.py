"""`scan` as one operation of a compiled function, compared with the same loop run eagerly."""

import numpy as np
import pytest

import fastbp as bp
from fastbp import tree


def size(compiled):
    return len(compiled.entries[-1].plan.facts)


def kinds(compiled):
    return [kind.strip() for kind, *_ in compiled.entries[-1].plan.facts]


def assert_close(found, want, rtol=1e-10):
    found, want = tree.flatten(found)[0], tree.flatten(want)[0]
    assert len(found) == len(want)
    for a, b in zip(found, want, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        scale = np.max(np.abs(b), initial=1.0) if b.dtype.kind in "fc" else 0
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale)


def check(f, *calls, rtol=1e-10, loops=True):
    """Compare a compiled function with the function, at the arguments of all calls."""
    compiled = bp.compile(f)
    for args in calls:
        for _ in range(2):
            assert_close(compiled(*args), f(*args), rtol)
    assert len(compiled.entries) == 1, compiled.stats()
    assert ("loop" in kinds(compiled)) == loops
    return compiled


def rnn(p, h0, xs, **keywords):
    W, U, b = p

    def step(h, x):
        h = np.tanh(h @ W + x @ U + b)
        return h, h

    return bp.scan(step, h0, xs, **keywords)


def rnn_arguments(rng, steps=6, batch=2, n=3, m=4, dtype=float):
    shapes = [(n, n), (m, n), (n,)]
    p = tuple((0.5 * rng.standard_normal(shape)).astype(dtype) for shape in shapes)
    h0 = rng.standard_normal((batch, n)).astype(dtype)
    return p, h0, rng.standard_normal((steps, batch, m)).astype(dtype)


def rnn_loss(p, h0, xs, **keywords):
    h, hs = rnn(p, h0, xs, **keywords)
    return np.sum(h**2) + np.sum(np.sin(hs))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("dtype", ["f8", "f4", "c16"])
def test_values_and_gradients_of_a_recurrent_cell(reverse, steps, dtype, rng):
    calls = [rnn_arguments(rng, steps, dtype=dtype) for _ in range(2)]
    rtol = 1e-4 if dtype == "f4" else 1e-10
    check(lambda *args: rnn(*args, reverse=reverse), *calls, rtol=rtol)

    def loss(*args):
        return np.real(rnn_loss(*args, reverse=reverse))

    check(bp.value_and_grad(loss, argnums=(0, 1, 2)), *calls, rtol=rtol)


def test_the_plan_has_the_same_size_for_any_number_of_steps(all_passes, rng):
    gradient = bp.grad(rnn_loss, argnums=(0, 1, 2))
    sizes = set()
    for steps in (3, 30):
        compiled = check(gradient, rnn_arguments(rng, steps))
        sizes.add(size(compiled))
    assert len(sizes) == 1
    assert kinds(compiled).count("loop") == 2
    # Forward: x @ U before the loop; behind the loops one product for each gradient.
    inside = [line for line in compiled.explain().split("\n") if line.startswith("    ")]
    assert sum("product" in line for line in inside) == 2
    assert kinds(compiled).count("product") == 6


@pytest.mark.parametrize(
    "transform",
    [
        lambda f: lambda x: bp.jvp(f, (x,), (np.sin(x),)),
        bp.jacobian,
        bp.hessian,
        lambda f: bp.grad(lambda x: np.sum(bp.grad(f)(x) ** 2)),
        lambda f: lambda x: bp.hvp(f, x, np.cos(x)),
    ],
    ids=["jvp", "jacobian", "hessian", "gradient of a gradient", "hvp"],
)
def test_derivatives_of_any_order(transform, rng):
    W = 0.3 * rng.standard_normal((3, 3))
    xs = rng.standard_normal((4, 3))

    def f(h0):
        def step(h, x):
            h = np.tanh(W @ h + x * h[0])
            return h, h[1] * x

        h, ys = bp.scan(step, h0, xs)
        return np.sum(np.exp(h)) + np.sum(ys**2)

    check(transform(f), (rng.standard_normal(3),), (rng.standard_normal(3),))


def test_derivatives_by_everything_in_both_modes(rng):
    p, h0, xs = rnn_arguments(rng)

    def by_weights(p, h0, xs):
        return bp.jvp(lambda *args: rnn(*args), (p, h0, xs), (p, 2.0 * h0, np.cos(xs)))

    check(by_weights, (p, h0, xs), rnn_arguments(rng))
    check(bp.jacobian(lambda h0: rnn(p, h0, xs)[1], mode="forward"), (h0,))
    check(bp.jacobian(lambda h0: rnn(p, h0, xs)[1], mode="reverse"), (h0,))
    check(bp.jacobian(lambda xs: rnn(p, h0, xs)[0], mode="reverse"), (xs,))

    def third(t):
        inner = bp.grad(lambda s: rnn_loss(tree.map(lambda w: w * s, p), h0, xs))
        return bp.grad(bp.grad(inner))(t)

    check(third, (0.7,), (1.1,))


def test_trees_numbers_masks_and_integers_are_carried(rng):
    xs = {"a": rng.standard_normal((5, 3)), "b": (np.arange(5), rng.random(5) > 0.5)}

    def f(w, init, xs):
        def step(carry, x):
            h, (count, seen) = carry["h"], carry["rest"]
            h = np.where(x["b"][1], np.sin(h * w), h + x["a"])
            seen = seen | (h > 0.3)
            return {"h": h, "rest": (count + x["b"][0], seen)}, (h[0] * 2.0, count, seen)

        return bp.scan(step, init, xs)

    init = {"h": rng.standard_normal(3), "rest": (1, np.zeros(3, bool))}
    w = rng.standard_normal(3)
    check(f, (w, init, xs))

    def loss(w, init, xs):
        carry, ys = f(w, init, xs)
        return np.sum(carry["h"] * ys[0][-1]) + np.sum(ys[0] ** 2)

    check(bp.grad(loss), (w, init, xs), (2.0 * w, init, xs))


def test_nested_scans(rng):
    xs = rng.standard_normal((3, 4, 2))

    def f(w, h0, xs):
        def outer(h, rows):
            def inner(h, x):
                h = np.tanh(w @ h + x)
                return h, h * w[0, 0]

            h, ys = bp.scan(inner, h, rows, reverse=True)
            return h * 0.9, np.sum(ys * np.cos(rows), axis=0)

        h, ys = bp.scan(outer, h0, xs)
        return np.sum(h) + np.sum(ys**2)

    w, h0 = rng.standard_normal((2, 2)), rng.standard_normal(2)
    check(f, (w, h0, xs))
    check(bp.grad(f, argnums=(0, 1, 2)), (w, h0, xs), (0.5 * w, h0, 2.0 * xs))
    check(lambda w: bp.hessian(lambda w: f(w, h0, xs))(w), (w,))


def test_derivatives_of_scans_whose_steps_are_gradients_of_nested_scans():
    """Tangents come to stacks of what has no derivative in the step, as rows of a constant."""
    xs, v = np.array([[0.3, 0.2], [0.1, -0.4]]), np.array([0.4, -0.8])

    def inner(z):
        step = lambda h, x: (0.5 * bp.scan(lambda u, t: (np.tanh(u * t + h), None), h, xs)[0], None)
        return np.sum(z + bp.scan(step, z, xs)[0])

    def f(x):
        return bp.scan(lambda h, _: (h - 0.1 * bp.grad(inner)(h) * x, None), x, length=3)[0]

    def pushed(x):
        return bp.jvp(f, (x,), (v,))[1]

    x = np.array([0.3, 0.5])
    check(lambda x: bp.jvp(pushed, (x,), (v,))[1], (x,), (0.5 * x - 0.1,))
    check(lambda x: bp.hvp(lambda x: np.sum(f(x) ** 2), x, v), (x,), (0.5 * x - 0.1,))


def test_calls_into_python_in_a_step(rng):
    a = rng.standard_normal((3, 3))
    a = a @ a.T + 3.0 * np.eye(3)

    def f(a, xs):
        def step(h, x):
            h = np.linalg.solve(a + np.outer(x, x), h)
            return h, np.linalg.slogdet(a * (2.0 + h[0] ** 2))[1]

        h, ys = bp.scan(step, np.ones(3), xs)
        return np.sum(h) + np.sum(ys)

    check(f, (a, rng.standard_normal((4, 3))))
    check(bp.grad(f, argnums=(0, 1)), (a, rng.standard_normal((4, 3))))


def test_carries_that_shift_stay_or_come_from_outside(rng):
    def f(w, init, xs):
        def step(carry, x):
            a, b, c, _ = carry
            return (b * x, a, c, w * x), (a + c, b, c, w)

        (a, b, c, d), ys = bp.scan(step, init, xs)
        return a * 2 + b + c * d, ys

    init = (1.5, np.float64(2.0), 3.0, 4.0)
    for steps in (1, 2, 5):
        xs = rng.standard_normal(steps)
        check(f, (0.3, init, xs))
        check(
            bp.grad(
                lambda *args: f(*args)[0] + sum(map(np.sum, f(*args)[1])),
                argnums=(0, 1, 2),
                unconnected="zero",
            ),
            (0.3, init, xs),
        )


def test_scans_without_sequences_or_steps():
    def f(w):
        h, hs = bp.scan(lambda h: (np.sin(h * w), h), w, length=4)
        h, empty = bp.scan(lambda h, x: (h * x, (h, x)), h, np.zeros((0, 2)))
        return h, hs, empty

    check(f, (0.7,), (0.2,))
    check(bp.grad(lambda w: f(w)[0]), (0.7,))


def test_what_a_step_decides_by_values_is_unrolled_or_refused(rng, monkeypatch):
    monkeypatch.setenv("FASTBP_PASSES", "-rolling")
    xs = rng.standard_normal((4, 3))

    def norms(h, x):
        return h + x * np.linalg.norm(x), h

    check(lambda xs: bp.scan(norms, np.zeros(3), xs), (xs,))
    check(bp.grad(lambda xs: np.sum(bp.scan(norms, np.zeros(3), xs)[0])), (xs,), loops=False)

    def branch(h, x):
        return (h if x > 0 else -h), h

    with pytest.raises(bp.errors.FrozenValueError, match="decides a branch"):
        bp.compile(lambda xs: bp.scan(branch, 1.0, xs))(xs[:, 0])


def test_errors_of_a_step_are_those_of_the_eager_loop(rng):
    def wrong(h, x):
        return np.concatenate([h, x]), h

    with pytest.raises(bp.errors.ShapeError, match="scan: step 0 returned"):
        bp.compile(lambda xs: bp.scan(wrong, xs[0], xs))(np.ones((3, 2)))
    with pytest.raises(TypeError, match="must return a pair"):
        bp.compile(lambda xs: bp.scan(lambda h, x: h, xs[0], xs))(np.ones((3, 2)))


@pytest.mark.parametrize("passes", ["none", "-hoisting", "-stacking", "-waiting", "-dead"])
def test_without_passes(passes, monkeypatch, rng):
    monkeypatch.setenv("FASTBP_PASSES", passes)
    check(bp.grad(rnn_loss, argnums=(0, 1, 2)), rnn_arguments(rng))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "keywords", [{"truncate": 3}, {"truncate": 20}, {"checkpoint": 3}, {"checkpoint": "binomial"}]
)
def test_truncated_and_checkpointed_scans(keywords, reverse, rng):
    for steps in (1, 7, 9):
        args = rnn_arguments(rng, steps)

        def loss(p, h0, xs):
            return rnn_loss(p, h0, xs, reverse=reverse, **keywords)

        check(bp.value_and_grad(loss, argnums=(0, 1, 2)), args)


def test_checkpoints_save_memory(all_passes, rng):
    args = rnn_arguments(rng, 256, batch=4, n=16, m=2)
    taken = {}
    for checkpoint in (None, 16, "binomial"):
        loss = lambda p, h0, xs, c=checkpoint: np.sum(rnn(p, h0, xs, checkpoint=c)[0] ** 2)
        compiled = check(bp.grad(loss), args)
        taken[checkpoint] = compiled.entries[0].plan.machine.work_bytes
    assert taken[16] < taken[None] / 1.5
    assert taken["binomial"] < taken[16]


@pytest.mark.parametrize("checkpoint", [None, 2, 3, "binomial"])
def test_a_carry_that_a_step_overwrites_has_derivatives_of_any_order(checkpoint):
    def f(x):
        def step(carry, y):
            h, c = carry
            c = np.sin(y)
            return (h * c, c), h

        xs = np.arange(1.0, 9.0) * x[0]
        return np.sum(bp.scan(step, (x, x[0]), xs, checkpoint=checkpoint)[0][0])

    x = np.array([1.0, 2.0, 3.0])
    check(lambda x: bp.jvp(bp.grad(f), (x,), (x,))[1], (x,))
    check(bp.hessian(f), (x,))
    check(lambda x: bp.jvp(lambda x: bp.jvp(f, (x,), (x,))[1], (x,), (x,)), (x,))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("n", "batch"), [(2, ()), (3, ()), (3, (4,)), (4, (2,)), (5, ())])
def test_scans_of_small_matrices_are_those_of_eager(n, batch, dtype, rng):
    """Steps of few elements run without calls. NumPy's own products may round in another way."""
    w, h, x = (0.4 * rng.standard_normal((*batch, n, n)).astype(dtype) for _ in range(3))
    xs = rng.standard_normal((12, n)).astype(dtype)

    def run(w, h, x, xs):
        def step(h, row):
            h = w @ h * 0.5 + x.swapaxes(-1, -2) * row - h.swapaxes(-1, -2) / (2.0 + row * row)
            return h, (h[..., 0, :], np.sum(h))

        h, (rows, sums) = bp.scan(step, h, xs)
        return np.sum(h * h) + np.sum(rows * rows), rows, sums

    gradient = bp.grad(lambda *args: run(*args)[0], argnums=(0, 1, 2, 3))
    for f in (run, gradient):
        for found, expected in zip(bp.compile(f)(w, h, x, xs), f(w, h, x, xs), strict=True):
            bound = 200 * np.finfo(dtype).eps * (np.abs(expected).max() + 1)
            np.testing.assert_allclose(found, expected, rtol=0, atol=bound)


def test_derivatives_that_share_the_sums_of_a_loop(rng):
    def loss(x, v, w):
        z = v @ w

        def step(c, _):
            return np.tanh(np.tanh(np.outer(x, z)) + 0.3 * c), None

        return np.sum(bp.scan(step, np.zeros((3, 4)), None, 6)[0])

    args = rng.standard_normal(3), rng.standard_normal(4), rng.standard_normal((4, 4))
    for by in ((0,), (1,), (2,), (0, 1, 2)):
        slope = bp.grad(loss, by)
        check(lambda *args, slope=slope: bp.jvp(slope, args, args)[1], args)
        check(lambda x, v, w, by=by: bp.jvp(lambda w: bp.grad(loss, by)(x, v, w), (w,), (w,)), args)


def test_derivatives_by_constants_inside_of_a_compiled_function(rng):
    x, xs = rng.standard_normal(4), rng.standard_normal((6, 4))

    def by_constant(x, xs, transform):
        def loss(w):
            def step(c, y):
                return np.tanh(c * (w * w) + y), None

            return np.sum(bp.scan(step, x, xs)[0])

        return transform(loss)(np.full(4, 0.5)) * x

    for transform in (bp.grad, bp.hessian):
        compiled = bp.compile(lambda x, xs, t=transform: by_constant(x, xs, t))
        for scale in (1.0, -2.0):
            found = compiled(scale * x, xs)
            assert_close(found, by_constant(scale * x, xs, transform))

    def by_number(x):
        chosen = lambda w: bp.cond(x[0] > 0.0, lambda a: a * w, lambda a: w**3, x)
        return bp.grad(lambda w: np.sum(chosen(w)))(2.0)

    compiled = bp.compile(by_number)
    for y in (x, -x, 2.0 * x):
        assert compiled(y) == pytest.approx(by_number(y))


def test_a_step_returns_what_is_around_it_and_has_no_history(rng):
    def f(x, xs):
        a = np.zeros((3, 4))
        a[0] = 2.0
        a[1] = a[0]
        row, number = a[1], a[0, 1]

        def step(c, y):
            return np.tanh(c * y), row

        last, rows = bp.scan(step, x, xs)
        return np.sum(last) + np.sum(rows) + bp.cond(x[0] > 0.0, lambda: number, lambda: x[1])

    args = rng.standard_normal(4), rng.standard_normal((6, 4))
    check(f, args, tuple(-x for x in args))
    assert_close(bp.compile(bp.grad(f, (0, 1)))(*args), bp.grad(bp.unmodified(f), (0, 1))(*args))


@pytest.mark.parametrize("passes", ["", "-hoisting", "-common"])
def test_a_gradient_of_a_tangent_has_sums_that_are_one_value(passes, monkeypatch, rng):
    monkeypatch.setenv("FASTBP_PASSES", passes)

    def loss(x, u):
        return np.sum(bp.scan(lambda c, _: (np.tanh((x @ u) * c), None), x, None, 6)[0])

    args = rng.standard_normal((3, 4)), rng.standard_normal((4, 4))
    slope = bp.grad(lambda *args: bp.jvp(loss, args, args)[1], (0, 1))
    check(slope, args, tuple(0.5 * x for x in args))


def test_a_step_returns_the_same_sum_and_stack_twice(rng):
    def f(x, u, xs):
        def step(c, y):
            z = y @ u
            return np.tanh(c + y), (z, z, x @ u, x @ u)

        return bp.scan(step, x, xs)

    args = rng.standard_normal(4), rng.standard_normal((4, 4)), rng.standard_normal((6, 4))
    check(f, args)
    check(bp.grad(lambda *args: sum(np.sum(y**2) for y in tree.flatten(f(*args))[0]), (0, 1)), args)


@pytest.mark.parametrize("order", [2, 3])
def test_derivatives_of_scans_in_scans(order, rng):
    def loss(x, xs):
        def outer(c, ys):
            return bp.scan(lambda c, y: (np.tanh(x + 0.3 * c), y * c), c, ys)

        last, rows = bp.scan(outer, x, xs)
        return np.sum(last) + np.sum(rows)

    def tangent(f):
        return lambda *args: bp.jvp(f, args, args)[1]

    f = bp.grad(loss, (0, 1))
    for _ in range(order - 1):
        f = tangent(f)
    check(f, (rng.standard_normal(4), rng.standard_normal((2, 3, 4))))
