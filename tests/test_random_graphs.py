"""Random programs: recorded and plain NumPy must agree, and all derivatives with differences.

A program is a list of instructions of three small integers; what they mean (operands, axes,
indices) is decided while it runs, from the shapes at hand. So every list is a valid program, and
Hypothesis shrinks it to a short one.
"""

import copy
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastbp as bp
from fastbp._core import graph
from fastbp.testing import numerical_jvp

from .harness import EPS, assert_close

# Programs at random may not read all of their inputs.
pytestmark = pytest.mark.filterwarnings("ignore::fastbp.errors.UnconnectedWarning")

MAX_SIZE = 48
SHAPES = [(), (1,), (3,), (2, 3), (3, 2), (1, 3), (2, 1), (2, 1, 3), (0,), (2, 0)]

UNARY = [
    np.sin,
    np.tanh,
    np.arctan,
    np.negative,
    np.cos,
    lambda x: x / (2.0 + np.cos(x)),
    lambda x: np.sqrt(1.0 + x**2),
    lambda x: 0.1 * x**3,
    lambda x: np.exp(-x * x),
    lambda x: x + x,
    lambda x: x * x * 0.5 - x,
]
BINARY = [
    np.add,
    np.subtract,
    np.multiply,
    lambda x, y: x / (3.0 + np.sin(y)),
    lambda x, y: np.hypot(x, 2.0 + y * y),
    lambda x, y: (
        np.where(np.arange(x.size).reshape(x.shape) % 2 == 0, x, y) if x.shape == y.shape else x * y
    ),
]


def fits(x, y, columns=0):
    """Whether two arrays broadcast to a small one; with `columns`, without their last axes."""
    try:
        shape = np.broadcast_shapes(x.shape[: x.ndim - columns], y.shape[: y.ndim - columns])
    except ValueError:
        return False
    return np.prod(shape) <= MAX_SIZE


def unary(pool, x, y, i, half):
    return UNARY[i % len(UNARY)](x)


def binary(pool, x, y, i, half):
    return BINARY[i % len(BINARY)](x, y if fits(x, y) else y.sum())


def reduction(pool, x, y, i, half):
    axis = None if x.ndim == 0 else (None, *range(-x.ndim, x.ndim))[i % (2 * x.ndim + 1)]
    return np.sum(x, axis=axis, keepdims=i % 2 == 1)


def shaping(pool, x, y, i, half):
    choices = [
        lambda: np.transpose(x),
        lambda: np.reshape(x, -1),
        lambda: x[None],
        lambda: np.broadcast_to(x, (2, *x.shape)) if x.size < 12 and x.ndim < 4 else x,
        lambda: np.swapaxes(x, 0, -1) if x.ndim else x,
    ]
    return choices[i % len(choices)]() if x.ndim < 5 else np.reshape(x, -1)


def index_of(x, i):
    """An index for the first axis, some of them naming an element twice."""
    n = x.shape[0] if x.ndim else 0
    choices = [slice(None, None, -1), slice(1, None), slice(None, None, 2), ...]
    if n:
        choices += [
            -1,
            np.array([0, n - 1, 0]),
            np.arange(n) % 2 == 0,
            (np.array([[0], [n - 1]]), ...),
        ]
    return ... if x.ndim == 0 else choices[i % len(choices)]


def indexing(pool, x, y, i, half):
    return x[index_of(x, i)]


def product(pool, x, y, i, half):
    if not x.ndim or not y.ndim or x.shape[-1] != y.shape[-1]:
        return np.dot(np.reshape(x, -1), np.reshape(x, -1))
    if y.ndim > 1 and fits(x, y, columns=2):
        return x @ np.swapaxes(y, -1, -2)
    return np.dot(x, y.T if y.ndim == 2 else np.reshape(y, -1)[: y.shape[-1]])


def joining(pool, x, y, i, half):
    if x.size + y.size > MAX_SIZE:
        return x.sum()
    return (
        np.stack([x, y, x])
        if x.shape == y.shape
        else np.concatenate([np.reshape(x, -1), np.reshape(y, -1)])
    )


def casting(pool, x, y, i, half):
    return x.astype((half, np.float64)[i % 2])


def assignment(pool, x, y, i, half):
    """Write into a copy."""
    x = copy_of(x)
    x[index_of(x, i)] = np.sum(y)
    return x


def in_place(pool, x, y, i, half):
    """Update a value wherever the pool holds it; inputs stay what they are."""
    x, old = copy_of(x), x
    y = y if fits(x, y) and np.broadcast_shapes(x.shape, y.shape) == x.shape else np.sum(y)
    y = np.tanh(y).astype(x.dtype)
    if i % 4 == 0:
        x += y
    elif i % 4 == 1:
        x *= y
    elif i % 4 == 2:
        x -= 0.5
    else:
        x[index_of(x, i)] += np.sum(y)
    return pool.replace(old, x)


def assignment_in_place(pool, x, y, i, half):
    """Write into a handle on a recorded value: what was recorded from it before keeps its value.

    A handle of its own: views of it and of what it is a view of are the matter of test_views.py.
    """
    value = np.sum(y) * 0.5
    x = pool.replace(x, graph.handle(x) if type(x) is bp.Variable else copy_of(x))
    for index in (index_of(x, i), index_of(x, i // 2)):
        x[index] = value
    return x * 1.0


def copy_of(x):
    return copy.copy(x) if type(x) is bp.Variable else np.array(x)


KINDS = [
    unary,
    binary,
    binary,
    reduction,
    shaping,
    indexing,
    product,
    joining,
    casting,
    assignment,
    in_place,
    assignment_in_place,
]


class Pool(list):
    """The values so far; the first `inputs` of them stay what they are."""

    inputs = 0

    def is_input(self, x):
        return any(z is x for z in self[: self.inputs])

    def replace(self, old, new):
        if not self.is_input(old):
            self[:] = [new if z is old else z for z in self]
        return new


def run(program, inputs, half=np.float32):
    """Return the last two values of a program."""
    pool = Pool(inputs)
    pool.inputs = len(inputs)
    pool.append(np.sum(inputs[0]) * 1.0)
    for kind, k, i in program:
        x, y = pool[-1 - k % len(pool)], pool[-1 - (k // 3) % len(pool)]
        result = KINDS[kind % len(KINDS)](pool, x, y, i, half)
        pool.append(np.mean(result) if result.size > MAX_SIZE else result)
    return tuple(np.positive(z) for z in pool[-2:])


integers = st.integers(0, 100)
programs = st.lists(
    st.tuples(st.integers(0, len(KINDS) - 1), integers, integers), min_size=1, max_size=12
)
inputs_strategy = st.lists(
    st.tuples(st.sampled_from(SHAPES), st.booleans()), min_size=1, max_size=3
)


def sampled(shapes, seed=3):
    rng = np.random.default_rng(seed)
    arrays = [
        rng.uniform(-1, 1, shape).astype(np.float32 if narrow else np.float64)
        for shape, narrow in shapes
    ]
    for x in arrays:
        x.flags.writeable = False
    return arrays


def directions(arrays, seed=5):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(np.shape(x)).astype(np.asarray(x).dtype) for x in arrays]


def inner(xs, ys):
    return sum(
        np.vdot(np.asarray(x, float), np.asarray(y, float)) for x, y in zip(xs, ys, strict=True)
    )


def size(xs):
    return np.sqrt(sum(np.sum(np.square(np.asarray(x, float))) for x in xs))


def narrow(program, arrays):
    """Whether some of the program runs in float32."""
    return any(x.dtype == np.float32 for x in arrays) or any(
        KINDS[kind] is casting for kind, *_ in program
    )


@settings(max_examples=300)
@given(programs, inputs_strategy)
def test_values_are_numpys(program, shapes):
    arrays = sampled(shapes)
    expected = run(program, arrays)
    found = run(program, [bp.variable(x) for x in arrays])
    # In float32 a product may be summed in another order, and its value widened afterwards.
    ulps = 1024 * EPS[np.dtype("f4")] / EPS[np.dtype("f8")] if narrow(program, arrays) else 1024
    assert_close([y.value for y in found], [np.asarray(y) for y in expected], ulps)
    for x, before in zip(arrays, sampled(shapes), strict=True):
        np.testing.assert_array_equal(x, before)


@settings(max_examples=200)
@given(programs, inputs_strategy)
def test_gradients_are_those_of_differences(program, shapes):
    """The reference computes in float64 throughout."""
    arrays = [x.astype(float) for x in sampled(shapes)]
    wide = partial(run, program, half=np.float64)
    ts = directions(arrays)
    expected = numerical_jvp(lambda *xs: wide(list(xs)), tuple(arrays), tuple(ts), step=5e-4)
    gs = directions(expected)
    scale = size(gs) * size(expected) + size(gs)
    for half, rtol in ((np.float64, 1e-7), (np.float32, 2e-4)):
        ys, pullback = bp.vjp(lambda *xs, half=half: run(program, list(xs), half), *arrays)
        found = pullback(tuple(g.astype(y.dtype) for g, y in zip(gs, ys, strict=True)))
        assert abs(inner(found, ts) - inner(gs, expected)) <= rtol * scale


@settings(max_examples=200)
@given(programs, inputs_strategy)
def test_forward_reverse_and_blocks_agree(program, shapes):
    arrays = sampled(shapes)

    def f(*xs):
        return run(program, list(xs))

    ys, pullback = bp.vjp(f, *arrays)
    gs, ts = directions(ys), directions(arrays)
    before = [g.copy() for g in gs]
    x_bars, y_dots = pullback(tuple(gs)), bp.jvp(f, arrays, ts)[1]
    rtol = 2e-4 if narrow(program, arrays) else 1e-11
    scale = size(gs) * size(y_dots) + size(x_bars) * size(ts) + size(gs) * size(ts)
    assert abs(inner(x_bars, ts) - inner(gs, y_dots)) <= rtol * scale
    for g, copy_ in zip(gs, before, strict=True):
        np.testing.assert_array_equal(g, copy_)
    argnums = tuple(range(len(arrays)))
    for mode in ("reverse", "forward"):
        jacobian = bp.jacobian(f, argnums, mode=mode)(*arrays)
        for y, y_dot, row in zip(ys, y_dots, jacobian, strict=True):
            found = sum(
                np.reshape(np.asarray(j, float), (np.size(y), t.size)) @ np.ravel(t).astype(float)
                for j, t in zip(row, ts, strict=True)
            )
            np.testing.assert_allclose(found, np.ravel(y_dot), rtol=0, atol=rtol * scale)


@settings(max_examples=100)
@given(programs, inputs_strategy)
def test_second_derivatives_agree_in_all_modes(program, shapes):
    arrays = [x.astype(float) for x in sampled(shapes)]
    ts = directions(arrays)

    def loss(*xs):
        return sum(np.sum(np.sin(y)) for y in run(program, list(xs), np.float64))

    argnums = tuple(range(len(arrays)))
    gradient = bp.grad(loss, argnums)

    def slope(*xs):
        return bp.jvp(loss, xs, ts)[1]

    def projected(*xs):
        return sum(np.sum(g * t) for g, t in zip(gradient(*xs), ts, strict=True))

    found = [
        bp.jvp(gradient, tuple(arrays), tuple(ts))[1],
        bp.grad(slope, argnums)(*arrays),
        bp.grad(projected, argnums)(*arrays),
    ]
    differences = numerical_jvp(gradient, tuple(arrays), tuple(ts), step=5e-4)
    scale = size(found[0]) + size(gradient(*arrays)) + size(ts)
    for other in found[1:]:
        assert size([a - b for a, b in zip(other, found[0], strict=True)]) <= 1e-10 * scale
    if scale < 100:  # where it bends more, the differences are too coarse
        assert size([a - b for a, b in zip(differences, found[0], strict=True)]) <= 1e-4 * scale


few = st.lists(
    st.tuples(st.sampled_from([(), (1,), (2,), (3,), (2, 1), (1, 2)]), st.just(False)),
    min_size=1,
    max_size=2,
)


@settings(max_examples=150)
@given(programs, few)
def test_jacobians_of_jacobians_agree_in_all_modes(program, shapes):
    """Blocks in recorded blocks: their axes must not be taken for those of the values."""
    arrays = [z.astype(float) for z in sampled(shapes)]
    x = np.concatenate([np.ravel(z) for z in arrays])
    ends = np.cumsum([z.size for z in arrays])

    def f(x):
        parts = [
            np.reshape(x[end - z.size : end], z.shape) for z, end in zip(arrays, ends, strict=True)
        ]
        return np.stack([np.sum(np.sin(y)) for y in run(program[:8], parts, np.float64)])

    modes = ("forward", "reverse")
    found = [bp.jacobian(bp.jacobian(f, mode=m), mode=n)(x) for m in modes for n in modes]
    expected = np.stack([bp.hessian(lambda x, k=k: f(x)[k])(x) for k in range(2)])
    scale = np.max(np.abs(expected), initial=1.0)
    for h in found:
        np.testing.assert_allclose(h, expected, rtol=0, atol=1e-11 * scale)
    if x.size > 3:
        return
    third = [
        bp.jacobian(bp.jacobian(bp.jacobian(f, mode=k), mode=m), mode=n)(x)
        for k in modes
        for m in modes
        for n in modes
    ]
    scale = max(scale, np.max(np.abs(third[0]), initial=0.0))
    for t in third[1:]:
        np.testing.assert_allclose(t, third[0], rtol=0, atol=1e-10 * scale)


@settings(max_examples=100)
@given(programs, inputs_strategy, integers)
def test_an_intermediate_value_is_an_end_like_any_other(program, shapes, cut):
    """The chain rule: at a cut of the program, gradients are composed of those of its halves."""
    arrays = [x.astype(float) for x in sampled(shapes)]
    xs = [bp.variable(x) for x in arrays]
    cut %= len(program)
    middle = run(program[:cut], xs, np.float64)
    ys = run(program[cut:], list(middle), np.float64)
    gs = directions([y.value for y in ys])
    middle_bars = bp.gradients(list(ys), list(middle), gs)
    direct = bp.gradients(list(ys), xs, gs)
    composed = bp.gradients(list(middle), xs, middle_bars)
    scale = size(direct) + size(middle_bars) + size(gs)
    assert size([a - b for a, b in zip(composed, direct, strict=True)]) <= 1e-11 * scale
