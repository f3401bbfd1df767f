"""Arrays that are filled element by element: values, derivatives, and what they hold."""

import numpy as np
import pytest

import fastbp as bp
from fastbp.testing import check_grads

from .harness import peak_of

STEPS = 600

# What a step computes from the row before, and a parameter of shape (3,): residuals of all kinds.
ROWS = {
    "elementwise": lambda row, p: np.sin(row) * p,
    "power": lambda row, p: row**2 + p * row,
    "three operands": lambda row, p: np.where(row > 0.5, row * p, p),
    "matrix times row": lambda row, p: np.outer(p, p) @ row,
    "row times matrix": lambda row, p: row @ np.outer(p, p),
    "norm": lambda row, p: p / np.linalg.norm(row),
    "product": lambda row, p: p * np.prod(row),
    "einsum": lambda row, p: np.einsum("i,i,j->j", row, p, p),
    "solve": lambda row, p: np.linalg.solve(np.eye(3) + np.outer(row, p), p),
    "a part of it": lambda row, p: p * np.cos(row[1:]).sum(),
}


def filled(p, step, steps):
    out = bp.variable(np.zeros((steps + 1, 3)))
    out[0] = p
    for t in range(steps):
        row = out[t]
        out[t + 1] = 0.5 * step(row, p)
    return np.sum(np.sin(out))


def stacked(p, step, steps):
    rows = [p]
    for _ in range(steps):
        rows.append(0.5 * step(rows[-1], p))
    return np.sum(np.sin(np.stack(rows)))


@pytest.mark.thread_unsafe(reason="tracemalloc counts what all threads allocate")
@pytest.mark.parametrize("name", ROWS)
def test_memory_grows_with_the_array_not_with_its_square(name):
    """All versions of the array would be 8.6 MB."""
    p, step = np.array([0.3, 0.8, 0.5]), ROWS[name]
    found = bp.grad(lambda p: filled(p, step, STEPS))(p)
    expected = bp.grad(lambda p: stacked(p, step, STEPS))(p)
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    by_list = peak_of(bp.grad(lambda p: stacked(p, step, STEPS)), p)
    assert peak_of(bp.grad(lambda p: filled(p, step, STEPS)), p) < 2 * by_list + 1_000_000


def residual_of_an_earlier_version(x, out):
    y = out * out
    out[1] = x[1]
    return y + out**2


def live_view(x, out):
    part = out[1:3]
    out[1] = x[0] * x[1]
    out[2] = part[0] * x[2]
    return part * 2.0


def view_of_a_view(x, out):
    part = out[1:][::2]
    out[3] = x[0]
    part[0] = out[3] * x[1]
    out[0] = part[0] + part[1]
    return out


def kept_rows(x, out):
    kept = []
    for k in range(3):
        out[k] = x[k] + (kept[-1] if kept else 0.0)
        kept.append(out[k] * out[k])
    return np.stack(kept)


def overlapping(x, out):
    out[:3] = x
    out[1:] = out[:-1]
    out[:-1] = out[1:] * x[0]
    return out


def another_name(x, out):
    same = out
    out[0] = x[0]
    same[1] = out[0] * x[1]
    return out * same


def fancy(x, out):
    out[[0, 2]] = x[:2]
    out[np.array([True, False, False, True])] = x[2] * out[2]
    out[...] = out * out
    return out


def the_argument_itself(x, out):
    y = x * x
    x[0] = y[1]
    x[1] = x[0] * y[2]
    return x * y


def numbers(x, out):
    out[:3] = x
    out[1] = 2.0
    out[2] = 3
    return out * out


PROGRAMS = [
    residual_of_an_earlier_version, live_view, view_of_a_view, kept_rows, overlapping, another_name,
    fancy, the_argument_itself, numbers,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_was_recorded_keeps_its_values(program, rng):
    x = rng.uniform(0.5, 1.5, 3)

    def recorded(x):
        return program(x, np.ones_like(np.concatenate([x, x[:1]])) * np.sum(x))

    plain = np.asarray(program(x.copy(), np.full(4, np.sum(x))))
    np.testing.assert_allclose(bp.vjp(recorded, x)[0], plain, rtol=1e-15)
    check_grads(recorded, (x,))
    h = 1e-20
    columns = [np.imag(program(z, np.full(4, np.sum(z)))) / h for z in x + 1j * h * np.eye(3)]
    for mode in ("forward", "reverse"):
        found = bp.jacobian(recorded, mode=mode)(x)
        np.testing.assert_allclose(found, np.transpose(columns), rtol=1e-14, atol=1e-15)


def test_a_value_that_was_taken_stays(rng):
    out = bp.variable(np.zeros(4)) * 1.0
    out[0] = bp.variable(1.0)
    before = out.value
    out[1] = bp.variable(2.0)
    np.testing.assert_array_equal(before, [1.0, 0.0, 0.0, 0.0])
    np.testing.assert_array_equal(out.value, [1.0, 2.0, 0.0, 0.0])


def test_cotangents_of_the_user_stay(rng):
    def f(x):
        out = np.zeros_like(x)
        for k in range(3):
            out[k] = x[k] * x[2 - k]
        return out

    x, g = rng.normal(size=3), np.ones(3)
    _, pullback = bp.vjp(f, x)
    first = pullback(g)[0]
    np.testing.assert_array_equal(g, 1.0)
    np.testing.assert_array_equal(pullback(g)[0], first)
    np.testing.assert_allclose(first, [2 * x[2], 2 * x[1], 2 * x[0]])


def test_tangents_of_the_user_stay(rng):
    x, v = rng.normal(size=3), np.ones(3)
    out, push = bp.linearize(lambda x: the_argument_itself(x, None), x)
    first = push(v)
    np.testing.assert_array_equal(v, 1.0)
    np.testing.assert_array_equal(push(v), first)
    assert out.shape == (3,)


def test_gradients_of_what_was_written_between(rng):
    x = bp.variable(rng.normal(size=3))
    out = np.zeros_like(x)
    out[:2] = x[:2] * 2.0
    between = out[...]
    total = np.sum(between**2)
    out[2] = x[0] * between[1]
    total = total + np.sum(out**3)
    by_x, by_out = bp.gradients(total, [x, out])
    a, b, _ = x.value
    np.testing.assert_allclose(by_out, 3 * np.array([2 * a, 2 * b, 2 * a * b]) ** 2)
    expected = [8 * a + 24 * a**2 + 24 * a**2 * b**3, 8 * b + 24 * b**2 + 24 * a**3 * b**2, 0.0]
    np.testing.assert_allclose(by_x, expected)


def test_a_write_that_fails_leaves_the_array(rng):
    out = bp.variable(np.zeros(4)) * 1.0
    out[0] = bp.variable(1.0)
    for index, value in ((slice(0, 2), bp.variable(np.ones(3))), (7, 1.0), ((0, 0), 1.0)):
        with pytest.raises((bp.errors.ShapeError, IndexError)):
            out[index] = value
    np.testing.assert_array_equal(out.value, [1.0, 0.0, 0.0, 0.0])
