"""Derivatives of order three to five, where inner derivatives vanish, against Taylor series.

At zeros, symmetric points and equilibria (co)tangents are exactly zero. A product with one of them
must keep its derivative: the next order reads it.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastbp as bp
import fastbp.numpy as bnp

from . import taylor
from .taylor import Series

ORDER = 5
# Points where sin, tanh, x^2 and products of them have vanishing derivatives of many orders.
SPECIAL = [0.0, 0.0, 0.0, 1.0, -1.0, 0.5, math.pi / 2]

# Each the same on arrays, on Variables and on series.
NUMPY = {name: getattr(np, name) for name in ("sin", "cos", "tanh", "exp", "arctan", "expm1")}
UNARY = [
    *(
        (lambda x, name=name: getattr(taylor, name)(x) if type(x) is Series else NUMPY[name](x))
        for name in NUMPY
    ),
    lambda x: x * x,
    lambda x: x**2,
    lambda x: x**3,
    lambda x: x * (x * x),
    lambda x: _sqrt(1.0 + x * x),
    lambda x: _log1p(x * x),
    lambda x: -x,
    lambda x: x - 1.0,
    lambda x: 1.0 / (2.0 + x * x),
    # Beside what is taken, a slope that is infinite everywhere.
    lambda x: x * x if type(x) is Series else np.where(False, np.sqrt(0.0 * x), x * x),
    lambda x: _sin(x) if type(x) is Series else np.maximum(np.sqrt(0.0 * x) - 9.0, _sin(x)),
    lambda x: x**3 if type(x) is Series else np.stack([np.sqrt(0.0 * x), x**3])[1],
    # Smooth, though its base is not.
    lambda x: x * x if type(x) is Series else np.abs(x) ** 2,
    lambda x: x * x + 1.0 if type(x) is Series else np.hypot(x, 1.0) ** 2,
]
BINARY = [
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: x * y,
    lambda x, y: x * y,
    lambda x, y: x * x * y,
    lambda x, y: x / (2.0 + y * y),
    lambda x, y: (x - y) * (x + y),
]


def _sqrt(x):
    return taylor.sqrt(x) if type(x) is Series else np.sqrt(x)


def _sin(x):
    return taylor.sin(x) if type(x) is Series else np.sin(x)


def _log1p(x):
    return taylor.log1p(x) if type(x) is Series else np.log1p(x)


def _total(x):
    return x.sum() if type(x) is Series else np.sum(x)


def _turned(x):
    return x.map(slice(None, None, -1)) if type(x) is Series else x[::-1]


@np.errstate(all="ignore")  # a program that overflows is left out
def run(program, x):
    """Return a scalar: the sum of the last two values of a program on a vector."""
    pool = [x, _turned(x)]
    for kind, i, j in program:
        a, b = pool[-1 - i % len(pool)], pool[-1 - j % len(pool)]
        if kind < 2:
            pool.append(UNARY[(i + j) % len(UNARY)](a))
        elif kind < 4:
            pool.append(BINARY[(i + j) % len(BINARY)](a, b))
        else:
            pool.append(a * _total(b))
    return _total(pool[-1]) + _total(pool[-2])


def by_grad(f):
    return bp.grad(f)


def by_jvp(f):
    return lambda t: bp.jvp(f, (t,), (1.0,))[1]


def by_linearize(f):
    return lambda t: bp.linearize(f, t)[1](1.0)


MODES = [by_grad, by_jvp, by_linearize]
integers = st.integers(0, 60)
programs = st.lists(st.tuples(st.integers(0, 4), integers, integers), min_size=1, max_size=6)
vectors = st.lists(st.sampled_from(SPECIAL), min_size=2, max_size=3)


@settings(max_examples=400, deadline=None)
@given(
    programs,
    vectors,
    st.lists(st.sampled_from([1.0, -1.0, 0.0, 0.5]), min_size=3, max_size=3),
    st.lists(st.sampled_from(MODES), min_size=ORDER, max_size=ORDER),
)
def test_random_programs_to_order_five(program, x, direction, modes):
    x, direction = np.array(x), np.array(direction[: len(x)])
    expected = run(program, Series.line(x, direction, ORDER)).derivatives
    size = max(np.max(np.abs(expected)), 1.0)
    if not size < 1e8:
        return

    def derivative(t):
        return run(program, x + t * direction)

    for order in range(1, ORDER + 1):
        derivative = modes[order - 1](derivative)
        found = derivative(0.0)
        assert abs(found - expected[order]) <= 1e-9 * size, (order, found, expected[order])


@settings(max_examples=150, deadline=None)
@given(programs, vectors)
def test_whole_third_derivatives(program, x):
    """Every element, by blocks of vectors: polarised from Taylor series along sums of axes."""
    x = np.array(x)
    n = len(x)
    axes = np.eye(n)

    def third(direction):
        return run(program, Series.line(x, direction, 3)).derivatives[3]

    expected = np.empty((n, n, n))
    for i, j, k in np.ndindex(n, n, n):
        a, b, c = axes[i], axes[j], axes[k]
        expected[i, j, k] = (
            third(a + b + c) - third(a + b) - third(a + c) - third(b + c)
            + third(a) + third(b) + third(c)
        ) / 6.0  # fmt: skip
    size = max(np.max(np.abs(expected)), *(abs(third(a)) for a in axes), 1.0)
    if not size < 1e8:
        return
    for mode in ("forward", "reverse"):
        found = bp.jacobian(bp.hessian(lambda v: run(program, v)), mode=mode)(x)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * size)


# ---- known values


@pytest.mark.parametrize("modes", [[by_grad] * 5, [by_jvp] * 5, [by_grad, by_jvp] * 3])
@pytest.mark.parametrize(
    ("f", "order", "expected"),
    [
        (lambda x: np.exp(x * x), 4, 12.0),
        (np.tanh, 3, -2.0),
        (np.tanh, 5, 16.0),
        (np.sinc, 4, math.pi**4 / 5),
        (lambda x: x * (x * x), 3, 6.0),
        (lambda x: np.power(x, 3), 3, 6.0),
        (lambda x: np.sin(x) ** 4, 4, 24.0),
        (lambda x: np.arcsin(x) * np.arctan(x) * x, 3, 6.0),
        (lambda x: np.dot(np.stack([x, x * x]), np.stack([x * x, x])), 3, 12.0),
        (lambda x: np.prod(np.stack([x, x, x, x])), 4, 24.0),
        (lambda x: np.sum(np.stack([x, -x]) ** 4), 4, 48.0),
        (lambda x: np.var(np.stack([x, -x])), 2, 2.0),
        (lambda x: bnp.softplus(x) - 0.5 * x, 4, -0.125),
    ],
)
def test_derivatives_at_zero(f, order, expected, modes):
    for mode in modes[:order]:
        f = mode(f)
    assert f(0.0) == pytest.approx(expected, rel=1e-12)


def test_third_derivative_where_the_second_vanishes():
    third = bp.jacobian(bp.hessian(lambda v: v[0] ** 2 * v[1]))(np.zeros(2))
    expected = np.zeros((2, 2, 2))
    expected[0, 0, 1] = expected[0, 1, 0] = expected[1, 0, 0] = 2.0
    np.testing.assert_array_equal(third, expected)


def test_gradient_of_a_product_with_the_hessian_at_zero():
    def f(x):
        return np.sum(bp.hvp(lambda v: np.sum(v**3 + v**2), x, np.ones(3)))

    np.testing.assert_array_equal(bp.grad(f)(np.zeros(3)), [6.0, 6.0, 6.0])


def test_a_physics_informed_loss():
    """The residual u'' + u of a network with biases at zero, its slope against differences."""
    rng = np.random.default_rng(0)
    w, v = rng.normal(size=(1, 8)), rng.normal(size=(8, 1))
    xs = np.linspace(-1.0, 1.0, 5).reshape(-1, 1)

    def loss(b):
        def u(x):
            return np.tanh(x @ w + b) @ v

        def slope(x):
            return bp.jvp(u, (x,), (np.ones_like(xs),))[1]

        return np.mean((bp.jvp(slope, (xs,), (np.ones_like(xs),))[1] + u(xs)) ** 2)

    b, h = np.zeros(8), 1e-5
    expected = [(loss(b + h * e) - loss(b - h * e)) / (2 * h) for e in np.eye(8)]
    np.testing.assert_allclose(bp.grad(loss)(b), expected, rtol=1e-6, atol=1e-8)
