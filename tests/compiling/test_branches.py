"""`cond` and `while_loop`, compiled and eager, compared with Python's own."""

import numpy as np
import pytest

import fastbp as bp

from .test_loops import assert_close, kinds


def check(f, *calls, kind, rtol=1e-10):
    """Compare a compiled function with the function, at the arguments of all calls."""
    compiled = bp.compile(f)
    for args in calls:
        for _ in range(2):
            assert_close(compiled(*args), f(*args), rtol)
    assert len(compiled.entries) == 1, compiled.stats()
    assert kind in kinds(compiled)
    return compiled


def choice(x, w):
    def first(x):
        return {"y": np.sin(x * w), "n": 2.0 * np.sum(x)}

    def second(x):
        return {"y": x**2, "n": 1.0}

    return bp.cond(np.sum(x) > 0.0, first, second, x)


POINTS = [(np.array([1.0, 2.0]), 0.5), (np.array([-1.0, -2.0]), 0.7), (np.array([0.3, 0.1]), 2.0)]


def total(x, w):
    found = choice(x, w)
    return np.sum(found["y"] * x) + found["n"]


@pytest.mark.parametrize(
    "f",
    [
        choice,
        bp.value_and_grad(total, argnums=(0, 1), unconnected="zero"),
        lambda x, w: bp.hessian(total)(x, w),
        lambda x, w: bp.jvp(total, (x, w), (np.cos(x), 2.0 * w), unconnected="zero"),
        lambda x, w: bp.jacobian(lambda x: choice(x, w)["y"], mode="reverse")(x),
        lambda x, w: bp.jacobian(lambda x: choice(x, w)["y"], mode="forward")(x),
        lambda x, w: bp.grad(lambda x: np.sum(bp.grad(total)(x, w) ** 2), unconnected="zero")(x),
    ],
    ids=["values", "gradient", "hessian", "jvp", "reverse", "forward", "gradient of a gradient"],
)
def test_a_choice_follows_the_values_of_each_call(f):
    check(f, *POINTS, kind="branch")


def test_choices_by_numbers_masks_and_in_loops(rng):
    check(lambda x: bp.cond(x, lambda: 1.0 * x, lambda: 5.0 - x), (0.0,), (2.0,), kind="branch")

    def loop(w, xs):
        def step(h, x):
            h = bp.cond(h * x > 0.1, lambda h: np.sin(w * h) + x, lambda h: h + x * x, h)
            return h, h

        h, hs = bp.scan(step, 0.3, xs)
        return h + np.sum(hs**2)

    calls = [(0.4, rng.standard_normal(7)), (1.4, rng.standard_normal(7))]
    check(loop, *calls, kind="branch")
    check(bp.grad(loop, argnums=(0, 1)), *calls, kind="branch")
    check(lambda w, xs: bp.hessian(lambda w: loop(w, xs))(w), *calls, kind="branch")


def test_what_does_not_fit_a_choice_is_refused():
    with pytest.raises(bp.errors.ShapeError, match=r"cond: true_fun returns .* of shape \(2,\)"):
        bp.compile(lambda x: bp.cond(x[0] > 0, lambda: x, lambda: x[0]))(np.ones(2))
    with pytest.raises(bp.errors.ShapeError, match="both must return the same"):
        bp.compile(lambda x: bp.cond(x[0] > 0, lambda: (x,), lambda: x))(np.ones(2))
    with pytest.raises(bp.errors.ShapeError, match="must be a single value"):
        bp.cond(np.ones(2) > 0, lambda: 1, lambda: 2)
    with pytest.raises(TypeError, match="false_fun must be a function"):
        bp.cond(True, lambda: 1, 2)
    assert bp.cond(0, lambda: 1, lambda: 2) == 2


def newton(a, **keywords):
    def going(carry):
        x, _ = carry
        return np.abs(x * x - a) > 1e-9

    def step(carry):
        x, n = carry
        return 0.5 * (x + a / x), n + 1.0

    return bp.while_loop(going, step, (a, 0.0), **keywords)


def test_a_loop_makes_as_many_steps_as_the_values_of_each_call_ask_for():
    compiled = check(newton, (2.0,), (1e6,), (1.0,), kind="leave")
    assert compiled(1e6)[1] > compiled(2.0)[1] > compiled(1.0)[1] == 0.0


def test_loops_of_unknown_length_have_forward_mode(rng):
    check(lambda a: bp.jvp(newton, (a,), (1.0,)), (2.0,), (30.0,), kind="leave")
    check(
        lambda a: bp.jvp(lambda a: bp.jvp(newton, (a,), (1.0,))[1], (a,), (1.0,)),
        (2.0,), (30.0,), kind="leave",
    )  # fmt: skip
    assert abs(bp.grad(lambda a: newton(a)[0])(2.0) - 0.5 / np.sqrt(2.0)) < 1e-9  # eager
    with pytest.raises(bp.errors.NoRuleError, match="max_steps"):
        bp.compile(bp.grad(lambda a: newton(a)[0]))(2.0)


def test_loops_of_bounded_length_have_both_modes():
    def f(a):
        return newton(a, max_steps=20)[0]

    check(bp.value_and_grad(f), (2.0,), (30.0,), kind="branch")
    check(lambda a: newton(a, max_steps=2), (2.0,), (30.0,), kind="branch")


def test_loops_over_integers_and_what_does_not_fit():
    def f(n, x):
        return bp.while_loop(lambda c: c[0] < n[0], lambda c: (c[0] + 1, c[1] * x), (0, 1.0))

    n = np.array([5])
    check(f, (n, 2.0), (n + 2, 0.5), kind="leave")
    with pytest.raises(bp.errors.ShapeError, match="while_loop: body_fun returned"):
        bp.while_loop(lambda c: True, lambda c: np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match="max_steps must be"):
        bp.while_loop(lambda c: False, lambda c: c, 1.0, max_steps=-1)
