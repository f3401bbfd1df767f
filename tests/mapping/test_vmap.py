"""`vmap`: axes, derivatives inside and outside, what is one operation, what is refused."""

import dataclasses
import operator
import pickle
import re

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings

import fastbp as bp
from fastbp import tree
from fastbp._core import graph
from fastbp.errors import DTypeError, FrozenValueError, MappedValueError, NoRuleError, ShapeError
from fastbp.scipy import linalg

from .._core.engine.test_passive import with_masks
from ..harness import drawing_beside
from ..test_random_graphs import inputs_strategy, programs, sampled


def same(found, expected, tolerance=1e-12):
    found, expected = tree.flatten(found)[0], tree.flatten(expected)[0]
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        a, b = np.asarray(graph.values_of(a)), np.asarray(graph.values_of(b))
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def loop(f, *batches):
    found = [f(*xs) for xs in zip(*batches, strict=True)]
    structure = tree.flatten(found[0])[1]
    parts = zip(*[tree.flatten(y)[0] for y in found], strict=True)
    return structure.unflatten([np.stack(p) for p in parts])


def mlp(p, x, y):
    h = np.tanh(x @ p["w1"] + p["b1"])
    h = np.tanh(h @ p["w2"] + p["b2"])
    return np.sum((h @ p["w3"] - y) ** 2)


def network(rng, width=4, batch=5):
    p = {
        "w1": rng.normal(size=(width, width)),
        "b1": rng.normal(size=width),
        "w2": rng.normal(size=(width, width)),
        "b2": rng.normal(size=width),
        "w3": rng.normal(size=(width, 2)),
    }
    return p, rng.normal(size=(batch, width)), rng.normal(size=(batch, 2))


# ---- axes


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_in_axes(rng, axis):
    x = rng.normal(size=(2, 3, 4))
    found = bp.vmap(np.linalg.norm, in_axes=axis)(x)
    same(found, np.stack([np.linalg.norm(part) for part in np.moveaxis(x, axis, 0)]))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_out_axes(rng, axis):
    x = rng.normal(size=(5, 2, 3))
    found = bp.vmap(np.sin, out_axes=axis)(x)
    same(found, np.moveaxis(np.sin(x), 0, axis))


def test_axes_of_containers(rng):
    a, b, c = rng.normal(size=(3, 2)), rng.normal(size=(2, 3)), rng.normal(size=4)

    def f(p, q):
        return {"sum": p["a"] + p["b"], "rest": (q * p["a"][0], np.sum(q))}

    found = bp.vmap(f, in_axes=({"a": 0, "b": 1}, None), out_axes={"sum": 1, "rest": (0, None)})(
        {"a": a, "b": b}, c
    )
    same(found["sum"], (a + b.T).T)
    same(found["rest"][0], a[:, :1] * c)
    same(found["rest"][1], np.sum(c))


def test_one_axis_for_a_part(rng):
    p = {"w": rng.normal(size=(3, 2)), "list": [rng.normal(size=3), rng.normal(size=(3, 1))]}
    q = (rng.normal(size=2), 2.0)
    found = bp.vmap(
        lambda p, q: p["w"] * q[0] + p["list"][0] * p["list"][1] * q[1], in_axes=(0, None)
    )(p, q)
    same(found, p["w"] * q[0] + (p["list"][0][:, None] * p["list"][1]) * q[1])


@dataclasses.dataclass
class Point:
    x: np.ndarray
    y: np.ndarray


def test_dataclasses_and_named_axes(rng):
    p = Point(rng.normal(size=(3, 2)), rng.normal(size=2))
    found = bp.vmap(lambda p: Point(p.x * p.y, p.x[0]), in_axes=(Point(0, None),))(p)
    same(found.x, p.x * p.y)
    same(found.y, p.x[:, 0])


def test_keywords_have_their_members_along_axis_0(rng):
    x, y = rng.normal(size=(3, 2)), rng.normal(size=(3, 2))
    same(bp.vmap(lambda x, *, y: x * y)(x, y=y), x * y)


def test_results_that_are_the_same_for_all(rng):
    x = rng.normal(size=(3, 2))
    found = bp.vmap(lambda x: (x, 1.0, np.arange(2)))(x)
    same(found, (x, np.ones(3), np.tile(np.arange(2), (3, 1))))
    assert found[2].flags.writeable
    assert bp.vmap(lambda x: (x, 7), out_axes=(0, None))(x)[1] == 7


def test_results_are_the_callers_own(rng):
    x = rng.normal(size=(3, 2))
    kept = x.copy()
    for y in bp.vmap(lambda x: (x, x[::-1], x.reshape(1, 2), np.broadcast_to(x, (2, 2))))(x):
        y[...] = 0.0
    same(x, kept)


@pytest.mark.parametrize("n", [0, 1])
def test_few_members(rng, n):
    x, w = rng.normal(size=(n, 3)), rng.normal(size=(3, 2))
    f = bp.vmap(
        lambda x: (np.tanh(x @ w), np.sum(x), x > 0.0, np.linalg.inv(np.outer(x, x) + np.eye(3)))
    )
    found = f(x)
    assert [y.shape for y in found] == [(n, 2), (n,), (n, 3), (n, 3, 3)]
    assert found[2].dtype == bool
    same(found[0], np.tanh(x @ w))
    slopes = bp.grad(lambda x: np.sum(f(x)[0]))(x)
    assert slopes.shape == (n, 3)


def test_dtypes(rng):
    x = rng.normal(size=(3, 2)).astype(np.float32)
    z = rng.normal(size=(3, 2)) + 1j * rng.normal(size=(3, 2))
    k = rng.integers(0, 5, size=(3, 2))
    for batch in (x, z, k, k > 2):
        same(
            bp.vmap(lambda x: (x * x, x + 1, np.sum(x)))(batch),
            loop(lambda x: (x * x, x + 1, np.sum(x)), batch),
        )


# ---- derivatives inside


def test_gradients_of_members(rng):
    p, x, y = network(rng)
    found = bp.vmap(bp.grad(mlp), in_axes=(None, 0, 0))(p, x, y)
    same(found, loop(lambda x, y: bp.grad(mlp)(p, x, y), x, y))
    assert all(type(g) is np.ndarray for g in found.values())


@pytest.mark.parametrize("inside", [bp.jacobian, bp.hessian, bp.value_and_grad])
def test_derivatives_of_members(rng, inside):
    f = lambda x: np.sum(np.sin(x) * np.cumprod(x)) * np.exp(x[0])
    g = inside(f)
    x = rng.uniform(0.5, 1.5, size=(4, 3))
    same(bp.vmap(g)(x), loop(g, x), 1e-10)


def test_products_of_members(rng):
    f = lambda x: np.tanh(x) @ np.diag(np.arange(3.0)) * np.sum(x)
    x, v = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    g = lambda x, v: (
        bp.jvp(f, (x,), (v,)),
        bp.vjp(f, x)[1](v),
        bp.hvp(lambda x: np.sum(f(x)), x, v),
    )
    same(bp.vmap(g)(x, v), loop(g, x, v), 1e-10)


# ---- derivatives outside


def test_gradient_of_a_batch(rng):
    p, x, y = network(rng)
    total = lambda p, x: np.sum(np.sin(bp.vmap(mlp, in_axes=(None, 0, 0))(p, x, y)))
    wanted = lambda p, x: sum([np.sin(mlp(p, x[i], y[i])) for i in range(len(y))])
    same(bp.grad(total, (0, 1))(p, x), bp.grad(wanted, (0, 1))(p, x), 1e-10)


def test_every_derivative_of_a_batch(rng):
    x = rng.normal(size=(3, 2))
    w = rng.normal(size=(2, 2))
    f = bp.vmap(lambda x: np.tanh(w @ x) * np.max(x))
    wanted = lambda x: np.stack([np.tanh(w @ x[i]) * np.max(x[i]) for i in range(3)])
    same(bp.jacobian(f)(x), bp.jacobian(wanted)(x))
    same(
        bp.hessian(lambda x: np.sum(f(x) ** 2))(x),
        bp.hessian(lambda x: np.sum(wanted(x) ** 2))(x),
        1e-10,
    )
    same(bp.jvp(f, (x,), (x,)), bp.jvp(wanted, (x,), (x,)))
    third = lambda f: bp.grad(
        lambda x: np.sum(bp.grad(lambda x: np.sum(bp.grad(lambda x: np.sum(f(x) ** 3))(x) ** 2))(x))
    )
    same(third(f)(x), third(wanted)(x), 1e-9)
    bp.testing.check_grads(lambda x: np.sum(f(x) ** 2), (x,), order=2)


def test_gradients_inside_and_outside(rng):
    p, x, y = network(rng, batch=3)
    spread = lambda p: sum(
        [np.sum(g**2) for g in bp.vmap(bp.grad(mlp), (None, 0, 0))(p, x, y).values()]
    )
    wanted = lambda p: sum(
        [np.sum(g**2) for i in range(3) for g in bp.grad(mlp)(p, x[i], y[i]).values()]
    )
    same(bp.grad(spread)(p), bp.grad(wanted)(p), 1e-9)


def test_what_stands_around_gets_its_gradient(rng):
    x, b = rng.normal(size=(4, 3)), rng.normal(size=3)

    def total(w):
        v = np.exp(w)
        return np.sum(bp.vmap(lambda x: np.tanh(x * v + b) * np.sum(w))(x))

    w = rng.normal(size=3)
    same(bp.grad(total)(w), bp.grad(lambda w: np.sum(np.tanh(x * np.exp(w) + b) * np.sum(w)))(w))


def test_an_array_around_is_no_variable(rng):
    w = rng.normal(size=3)
    found = bp.vmap(bp.grad(lambda w, x: np.sum(np.sin(w) * x * w)), (None, 0))(
        w, rng.normal(size=(2, 3))
    )
    assert type(found) is np.ndarray


# ---- nested, compiled, unmodified


def test_nested(rng):
    x, y = rng.normal(size=(3, 2)), rng.normal(size=(4, 2))
    k = lambda a, b: np.exp(-np.sum((a - b) ** 2))
    grid = bp.vmap(bp.vmap(k, (None, 0)), (0, None))
    wanted = np.array([[k(a, b) for b in y] for a in x])
    same(grid(x, y), wanted)
    slopes = bp.grad(lambda x: np.sum(grid(x, y)))(x)
    same(slopes, bp.grad(lambda x: sum([k(x[i], b) for i in range(3) for b in y]))(x))
    mixed = bp.vmap(bp.vmap(bp.grad(k), (None, 0)), (0, None))(x, y)
    same(mixed, np.array([[bp.grad(k)(a, b) for b in y] for a in x]))


def test_compiled(rng):
    p, x, y = network(rng)
    each = bp.vmap(bp.grad(mlp), (None, 0, 0))
    compiled = bp.compile(each)
    for shift in (0.0, 0.5):
        same(compiled(p, x + shift, y), each(p, x + shift, y))
    assert compiled.stats()["plans"] == 1
    inside = bp.vmap(bp.compile(mlp), (None, 0, 0))
    same(inside(p, x, y), bp.vmap(mlp, (None, 0, 0))(p, x, y))
    total = lambda p, x: np.sum(bp.vmap(mlp, (None, 0, 0))(p, x, y) ** 2)
    wanted = lambda p, x: sum([mlp(p, x[i], y[i]) ** 2 for i in range(len(y))])
    outside = bp.compile(bp.grad(total))
    for moved in (x, x + 0.5):
        same(outside(p, moved), bp.grad(wanted)(p, moved), 1e-9)


def test_compiled_with_masks_and_places(rng):
    def f(x, k):
        y = np.where(x > np.mean(x), x, 0.1 * x) * x[k]
        return np.sum(np.sort(y)) + np.max(x) + y[np.argmin(x)]

    x, k = rng.normal(size=(4, 3)), rng.integers(0, 3, 4)
    compiled = bp.compile(bp.vmap(bp.grad(f)))
    for shift in (0.0, 0.3):
        same(compiled(np.sin(x + shift), k), loop(bp.grad(f), np.sin(x + shift), k), 1e-10)


def test_compiled_where_values_around_the_member_decide_shapes():
    """A guard of the plan, whether a rule selects by a mask, or the function of the member."""
    f = lambda x: np.sum(np.sin(np.prod(x) * x))
    v = np.eye(4)
    for each in (
        lambda x: bp.vmap(lambda t: bp.hvp(f, x, t))(v),  # products of others, beside a zero
        lambda x: bp.vmap(lambda t: np.sum(x[x > 1.5]) * t)(v),
    ):
        compiled = bp.compile(each)
        for x in ([1.0, 0.0, 2.0, 3.0], [0.0, 0.0, 1.0, 2.0], [1.0, 2.0, 3.0, 4.0]):
            same(compiled(np.array(x)), each(np.array(x)))


def test_unmodified(rng):
    def f(x):
        out = np.zeros(3)
        for k in range(3):
            out[k] = x[k] * x[0]
        return np.array([np.sum(out), x[1]])

    x = rng.normal(size=(4, 3))
    for g in (bp.vmap(bp.unmodified(f)), bp.unmodified(bp.vmap(f))):
        same(g(x), loop(f, x))


def test_arrays_that_are_filled(rng):
    def f(x):
        y = x * 1.0
        y[1:] *= x[0]
        y[0] = np.sum(y)
        y.T[...] += 1.0
        return y

    x = rng.normal(size=(4, 3))
    same(bp.vmap(f)(x), loop(f, x))
    same(bp.vmap(bp.jacobian(f))(x), loop(bp.jacobian(f), x))


def test_pickled():
    f = pickle.loads(pickle.dumps(bp.vmap(np.sin, 1, -1)))
    same(f(np.ones((2, 3))), np.sin(np.ones((2, 3))))


# ---- values without derivative


@pytest.mark.parametrize(
    "f",
    [
        lambda x, k: x[k],
        lambda x, k: x[k[0]],
        lambda x, k: x[k, 1],
        lambda x, k: x[1, k[0]],
        lambda x, k: x[:, k // 3],
        lambda x, k: x[1:, None, k // 3],
        lambda x, k: np.take(x, k[0], 0),
        lambda x, k: np.take_along_axis(x, k[None], 0),
        lambda x, k: x[..., 0][k[:1]],
    ],
)
def test_places_of_members(rng, f):
    x, k = rng.normal(size=(4, 3, 2)), rng.integers(-3, 3, size=(4, 2))
    same(bp.vmap(f)(x, k), loop(f, x, k))
    same(bp.vmap(f, (0, None))(x, k[0]), loop(lambda x: f(x, k[0]), x))
    same(bp.vmap(f, (None, 0))(x[0], k), loop(lambda k: f(x[0], k), k))
    g = lambda x, k: bp.grad(lambda x: np.sum(f(x, k) ** 2))(x)
    same(bp.vmap(g)(x, k), loop(g, x, k))


def test_writes_at_places_of_members(rng):
    def f(x, v, k):
        y = x * 1.0
        y[k] = v
        y[:, k // 2] += 1.0
        y[y < 0.0] = 0.25
        return y

    x, v = rng.normal(size=(4, 3, 2)), rng.normal(size=(4, 2))
    k = np.array([0, 2, 1, 2])
    same(bp.vmap(f)(x, v, k), loop(f, x, v, k))
    g = lambda x, v, k: bp.grad(lambda x, v: np.sum(f(x, v, k) ** 2), (0, 1))(x, v)
    same(bp.vmap(g)(x, v, k), loop(g, x, v, k))


def test_integers_and_masks(rng):
    def f(k, x):
        m = k > 1
        m[0] = True
        n = k[::-1] + np.arange(3)
        n[1:] *= 2
        n -= k
        order = np.argsort(k)
        picked = np.where(m, x, -x)[order]
        return (
            picked, m, n, order, m.any(), np.sum(k, keepdims=True), np.cumsum(k), k.T.astype(float),
            np.concatenate([k, n]), np.argmax(k), m & ~(k == 2), np.reshape(k, (3, 1)) * k,
            np.clip(k, 1, 3), k.reshape(1, 3).T.max(axis=0), np.diff(k), np.repeat(k, 2), k @ k,
            np.searchsorted(np.array([0, 2, 4]), k), np.sort(k)[::-1], np.median(k), divmod(k, 2),
        )  # fmt: skip

    k, x = rng.integers(0, 5, size=(4, 3)), rng.normal(size=(4, 3))
    same(bp.vmap(f)(k, x), loop(f, k, x))


def test_what_decides_how_to_compute_may_differ(rng):
    # The slope of a norm at 0 is a convention, which the function looks for.
    x = rng.normal(size=(4, 3))
    x[2] = 0.0
    g = bp.grad(np.linalg.norm)
    same(bp.vmap(g)(x), loop(g, x))
    same(bp.vmap(g)(x[[2, 1, 0]]), loop(g, x[[2, 1, 0]]))
    h = bp.grad(lambda x: np.prod(x) * np.sum(np.cumprod(x)))
    same(bp.vmap(h)(x), loop(h, x))


def test_strong_zeros(rng):
    f = bp.grad(lambda x: np.sum(np.where(x > 0.0, np.sqrt(np.abs(x)), 0.0)))
    x = np.array([[1.0, 2.0], [0.0, 3.0]])
    with np.errstate(divide="ignore"):
        for batch in (x, x[::-1]):
            same(bp.vmap(f)(batch), loop(f, batch))


# ---- one operation for all members


def operations(f, *args):
    """Count what a function of a batch records."""
    before = graph.current_id()
    y = f(*[bp.variable(x) for x in args])
    assert isinstance(tree.flatten(y)[0][0], bp.Variable)
    return graph.current_id() - before


ONE = {
    "elementwise": lambda x: np.tanh(x) * x + x[:, None],
    "moves": lambda x: np.concatenate([x.reshape(-1), np.flip(x).T.ravel()])[::2],
    "matmul": lambda x: x @ x.T @ x,
    "einsum": lambda x: np.einsum("ij,ik->jk", x, x),
    "tensordot": lambda x: np.tensordot(x, x, 2),
    "reductions": lambda x: np.sum(x, 0) + np.max(x, 0) + np.std(x) + np.linalg.norm(x, axis=0),
    "sort": lambda x: np.sort(x, 0),
    "median": lambda x: np.median(x, 0),
    "cumsum": lambda x: np.cumsum(x) + np.cumprod(x),
    "linalg": lambda x: np.linalg.inv(x) @ np.linalg.cholesky(x @ x.T + np.eye(3)),
    "solve": lambda x: np.linalg.solve(x, x[0]) * np.linalg.det(x),
    "lstsq": lambda x: np.linalg.lstsq(x, x[0], rcond=None)[0],
    "svd": lambda x: np.linalg.svd(x)[1] + np.linalg.eigh(x + x.T)[0],
    "index": lambda x: x[np.argmax(x, 0), [0, 2, 1]] + x[1, 2],
    "fft": lambda x: np.abs(np.fft.fft(x)),
    "where": lambda x: np.where(x > 0, x, 0.1 * x),
}


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_no_loop(rng, name, order):
    f = ONE[name]
    for _ in range(order):
        f = bp.grad(lambda x, f=f: np.sum(np.sin(f(x))))
    x = rng.normal(size=(7, 3, 3)) + 3.0 * np.eye(3)
    same(bp.vmap(f)(x), loop(f, x), 1e-6 if order else 1e-10)
    assert operations(bp.vmap(f), x) == operations(bp.vmap(f), x[:2])


def test_a_product_with_what_is_common_is_one_product(rng):
    w, x = rng.normal(size=(3, 2)), rng.normal(size=(6, 4, 3))
    plan = bp.compile(bp.vmap(lambda w, x: x @ w, (None, 0)))
    same(plan(w, x), x @ w)
    assert [kind for kind, *_ in plan.entries[0].plan.facts].count("product") == 1


# ---- what is refused


def here(text):
    """Return the line of this file that has a text."""
    with open(__file__) as file:
        return next(k for k, line in enumerate(file, 1) if text in line)


def test_branches(rng):
    def f(x):
        if x[0] > 0:  # the branch
            return x
        return -x

    line = here("# the branch")
    text = rf"f a value .* decides a branch.*test_vmap.py, line {line};.*numpy.where"
    with pytest.raises(MappedValueError, match=text):
        bp.vmap(f)(rng.normal(size=(3, 2)))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: float(x[0]),
        lambda x: x.sum().item(),
        lambda x: np.ones(3)[int(x[0])],
        lambda x: x * len(range(int(np.sum(x > 0)))),
        lambda x: [1.0, 2.0][np.argmax(x)],
    ],
)
def test_numbers(rng, f):
    with pytest.raises((MappedValueError, NoRuleError), match=r"test_vmap.py, line|float"):
        bp.vmap(f)(rng.normal(size=(3, 2)))


def test_functions_of_scipy_are_named(rng):
    with pytest.raises(MappedValueError, match=r"scipy\.linalg\.expm .*write fastbp\.scipy\.lin"):
        bp.vmap(scipy.linalg.expm)(rng.normal(size=(3, 2, 2)))
    with pytest.raises(MappedValueError, match=r"scipy\.linalg\.solve .*write fastbp\.scipy\.lin"):
        bp.vmap(lambda b: scipy.linalg.solve(np.eye(2), b))(rng.normal(size=(3, 2)))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x[x > 0],
        lambda x: np.sum(x[x > 0]),
        lambda x: np.flatnonzero(x > 0),
        lambda x: np.where(x > 0)[0],
        lambda x: np.take(x, np.nonzero(x > 0)[0]),
    ],
)
def test_ragged(rng, f):
    with pytest.raises(MappedValueError, match=r"decide a shape.*test_vmap.py, line \d+.*mask"):
        bp.vmap(f)(rng.normal(size=(3, 4)))
    same(
        bp.vmap(lambda y: y * np.sum(f(np.ones(4))))(np.ones(3)), np.ones(3) * np.sum(f(np.ones(4)))
    )


def scaled(a):
    a[a > 0] *= 2


def of_its_own(a):
    a[a > 0] = np.log(a[a > 0]) * 2 + a[a > 0] * a[0]


def by_rows(a):
    b = np.reshape(a, (2, 2))
    m = b[:, 0] > 0
    b[m] *= np.array([2.0, 3.0])
    b[m] = np.sqrt(np.abs(b[m]))
    b[~m] = np.array([1.0, -1.0])
    b[b < 0.1] = np.sum(b)


def of_a_view(a):
    b = a[::2]
    b[b > 0] **= 2
    b[b > 0] -= np.sum(a)


def with_singular_slopes(a):
    m = a > 0
    t = a[m]
    t *= 2
    a[m] = 1 / np.sqrt(t - 0.5 * t)


def by_two_arrays(a):
    b = a * a
    m = (np.abs(a) > 0.1) & (a < 1)
    a[m] = np.where(a[m] > 0.5, b[m], 2 * b[m])
    a[m] = np.maximum(a[m], b[m])


def by_columns(a):
    b = np.reshape(a, (2, 2))
    m = b[0] > 0
    b[:, m] = np.array([[2.0], [3.0]]) * a[0]
    b[:, ~m] = 0.5
    b[b[:, 0] > 1, :] *= 2
    b[np.sum(b) > 0] = a[:2]


def by_functions(a):
    np.putmask(a, a > 0.5, a[:3] ** 2)
    np.place(a, a < -0.5, [0.25])
    np.copyto(a, a * a, where=a < 0)


def of_one_element(a):
    a[a == np.max(a)] += np.arange(4)[1]


def of_no_element(a):
    a[a > 100] *= a[a > 100] + 1


@pytest.mark.parametrize(
    "write",
    [
        scaled, of_its_own, by_rows, by_columns, of_a_view, with_singular_slopes, by_two_arrays,
        by_functions, of_one_element, of_no_element,
    ],
)  # fmt: skip
def test_elements_at_a_mask_are_updated(rng, write):
    """What each member selects is another number of elements, and no shape depends on it."""

    def f(x):
        a = x * 1.0
        write(a)
        return np.sin(a)

    total = lambda x: np.sum(f(x) ** 2)
    x, v = rng.normal(size=(5, 4)), rng.normal(size=(5, 4))
    x[2] = -np.abs(x[2])
    same(bp.vmap(f)(x), loop(f, x))
    same(bp.vmap(bp.grad(total))(x), loop(bp.grad(total), x), 1e-10)
    outside = lambda x: np.sum(bp.vmap(f)(x) ** 2)
    same(bp.grad(outside)(x), loop(bp.grad(total), x), 1e-10)
    along = bp.jvp(bp.vmap(f), (x,), (v,))[1]
    same(along, np.array([bp.jvp(f, (a,), (b,))[1] for a, b in zip(x, v, strict=True)]), 1e-10)
    same(bp.vmap(bp.hessian(total))(x), loop(bp.hessian(total), x), 1e-9)
    compiled = bp.compile(bp.vmap(bp.grad(total)))
    for moved in (x, v, -v):
        same(compiled(moved), loop(bp.grad(total), moved), 1e-10)
    assert compiled.stats()["plans"] == 1
    bp.testing.check_grads(bp.vmap(f), (x,))


def test_updates_at_a_mask_warn_of_nothing_that_is_left_out(rng):
    def f(x):
        a = x * 1.0
        a[a > 0] = np.log(a[a > 0]) + 1 / np.sqrt(a[a > 0])
        return np.sum(a)

    x = rng.normal(size=(5, 4))
    x[:, 0] = 0.0
    with np.errstate(all="raise"):
        same(bp.vmap(f)(x), loop(f, x))
        same(bp.vmap(bp.grad(f))(x), loop(bp.grad(f), x))
        same(bp.grad(lambda x: np.sum(bp.vmap(f)(x)))(x), loop(bp.grad(f), x))


def test_an_update_at_a_mask_inside_of_two_maps(rng):
    def f(x, y):
        a = x * y
        a[y > 0] *= 2
        a[x > 0] = a[x > 0] ** 2 + y[0]
        return np.sum(a)

    x, y = rng.normal(size=(3, 4)), rng.normal(size=(2, 4))
    both = bp.vmap(bp.vmap(bp.grad(f, (0, 1)), (None, 0)), (0, None))(x, y)
    wanted = [[bp.grad(f, (0, 1))(a, b) for b in y] for a in x]
    for k in (0, 1):
        same(both[k], np.array([[g[k] for g in row] for row in wanted]))


@pytest.mark.parametrize(
    "write",
    [
        lambda a: operator.setitem(a, a > 0, a[a > 0][::-1]),
        lambda a: operator.setitem(a, a > 0, a[a > 0] / np.sum(a[a > 0])),
        lambda a: operator.setitem(a, a > 0, np.arange(4.0)[: int(np.sum(a._array > 0))]),
        lambda a: operator.setitem(a, a > 0, a[a > 0.001]),
    ],
)
def test_other_updates_of_some_elements_say_what_to_write(write):
    def f(x):
        a = x * 1.0
        write(a)
        return a

    x = np.array([[1.0, -1.0, 2.0, 1.0], [0.0005, 1.0, 1.0, 1.0]])
    with pytest.raises(MappedValueError, match=r"write x = numpy\.where\(mask, \.\.\., x\)"):
        bp.vmap(f)(x)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.histogram(x, bins=3)[0],
        lambda x: np.histogram(x, bins=np.array([-3.0, 0.0, 3.0]))[0],
        lambda x: np.histogram(x, 4, density=True)[0],
        lambda x: x * np.histogram(x, 2, range=(-2.0, 2.0))[0][0],
        lambda x: np.histogram2d(x, x[::-1], 3)[0],
    ],
)
def test_histograms(rng, f):
    """There are as many counts as bins, whatever the values."""
    x = rng.normal(size=(4, 9)) * np.array([[1.0], [10.0], [0.1], [2.0]])
    same(bp.vmap(f)(x), np.array([f(v) for v in x]))
    loss = lambda v: np.sum(f(v) ** 2.0) * np.sum(v)
    same(bp.vmap(bp.grad(loss))(x), np.array([bp.grad(loss)(v) for v in x]))
    compiled = bp.compile(f)
    for v in x:
        np.testing.assert_array_equal(compiled(v), f(v))


def test_branches_on_what_is_common(rng):
    x, w = rng.normal(size=(3, 2)), np.array([1.0, 2.0])
    f = lambda w, x: x * w if w[0] > 0 else -x
    same(bp.vmap(f, (None, 0))(w, x), x * w)
    assert bp.grad(lambda w: np.sum(bp.vmap(lambda x: x * w if w.shape == (2,) else x)(x)))(
        w
    ).shape == (2,)
    with pytest.raises(bp.errors.FrozenValueError, match="decides a branch"):
        bp.compile(bp.vmap(f, (None, 0)))(w, x)


def test_random_numbers(rng):
    draws = np.random.default_rng(0)
    for f in (
        lambda x: x + draws.normal(),
        lambda x, g=draws: x + g.normal(),
        lambda x: x + np.random.rand(),  # noqa: NPY002
    ):
        with pytest.raises(MappedValueError, match=r"draws random numbers.*outside"):
            bp.vmap(f)(np.ones((3, 2)))


def test_random_numbers_that_another_thread_draws_are_no_reason(rng):
    with drawing_beside() as f:
        x = rng.normal(size=(3, 2))
        np.testing.assert_array_equal(bp.vmap(f)(x), np.sin(x))


def test_sizes_that_differ():
    f = bp.vmap(lambda a, p: a)
    with pytest.raises(
        ShapeError,
        match=re.escape(
            "vmap: the numbers of members differ: argument 0 has shape (3, 2) and 3 along axis 0, "
            "argument 1['b'] has shape (4,) and 4 along axis 0"
        ),
    ):
        f(np.ones((3, 2)), {"b": np.ones(4)})


@pytest.mark.parametrize(
    ("in_axes", "args", "text"),
    [
        (0, (1.0,), "argument 0 has shape (), which has no axis 0"),
        (2, (np.ones((2, 2)),), "has no axis 2"),
        (None, (np.ones(2),), "no argument has an axis of members"),
        ((0, 0), (np.ones(2),), "in_axes has 2 items, and"),
        (({"a": 0},), (np.ones(2),), "do not fit"),
        (({"a": 0},), ({"b": np.ones(2)},), "'b'"),
        (((0, 0, 0),), ((np.ones(2), np.ones(2)),), "do not fit a tuple of 2"),
    ],
)
def test_axes_that_do_not_fit(in_axes, args, text):
    with pytest.raises(ShapeError, match=re.escape(text)):
        bp.vmap(lambda x: x, in_axes)(*args)


def test_axes_that_are_none():
    for axes in ("0", 0.5, True, (0, "x")):
        with pytest.raises(TypeError, match="integers"):
            bp.vmap(np.sin, axes)
    with pytest.raises(TypeError, match="a function is needed"):
        bp.vmap(3)


def test_results_that_depend_have_an_axis(rng):
    with pytest.raises(ShapeError, match=r"the result\[1\] depends on the member"):
        bp.vmap(lambda x: (x, x), out_axes=(0, None))(rng.normal(size=(3, 2)))
    with pytest.raises(ShapeError, match="has 2 axes, so its out_axes cannot be 2"):
        bp.vmap(lambda x: x, out_axes=2)(rng.normal(size=(3, 2)))


def test_strings_and_objects_are_no_members():
    with pytest.raises(DTypeError, match=r"argument 0 has shape .* and dtype <U1"):
        bp.vmap(lambda x: x)(np.array(["a", "b"]))
    with pytest.raises(DTypeError, match=r"the result\[1\] is a str.*out_axes None"):
        bp.vmap(lambda x: (x, "a"))(np.ones(2))
    assert bp.vmap(lambda x: (x, "a"), out_axes=(0, None))(np.ones(2))[1] == "a"


def test_sparse_jacobians_of_a_batch(rng):
    f = lambda x: np.ravel(bp.vmap(lambda x: np.tanh(x) * np.sum(x))(np.reshape(x, (4, 3))))
    x = rng.normal(size=12)
    found = bp.sparse.jacobian(f)(x)
    assert found.nnz == 36
    same(found.toarray(), bp.jacobian(f)(x))


def test_errors_of_the_function_come_through():
    with pytest.raises(ValueError, match="not this one"):
        bp.vmap(lambda x: (_ for _ in ()).throw(ValueError("not this one")))(np.ones(2))


# ---- rules of users, loops


def test_rules_of_users(rng):
    double = bp.custom_rule(lambda x: np.asarray(2.0 * x), vjp=lambda g, ans, x: 2.0 * g)
    x = rng.normal(size=(4, 3))
    f = lambda x: np.sum(double(x) * x)
    same(bp.vmap(bp.grad(f))(x), 4.0 * x)


def test_checkpoint(rng):
    f = bp.grad(lambda x: np.sum(bp.checkpoint(lambda x: np.sin(x) * x)(x)))
    x = rng.normal(size=(4, 3))
    same(bp.vmap(f)(x), loop(f, x))


def test_scan(rng):
    w = rng.normal(size=(2, 2))

    def f(h, xs):
        step = lambda h, x: (np.tanh(w @ h + x), np.sum(h))
        return bp.scan(step, h, xs)

    h, xs = rng.normal(size=(3, 2)), rng.normal(size=(3, 4, 2))
    same(bp.vmap(f)(h, xs), loop(f, h, xs))
    g = lambda h, xs: bp.grad(lambda h, xs: np.sum(f(h, xs)[0]) + np.sum(f(h, xs)[1]), (0, 1))(
        h, xs
    )
    same(bp.vmap(g)(h, xs), loop(g, h, xs))


def _scanned(x, w):
    return bp.scan(lambda c, a: (c * w + a, c), x[0] * 1.0, x)[0]


def _repeated(x, w):
    step = lambda c: (c[0] * 2.0 + w * w, c[1] + 1)
    return bp.while_loop(lambda c: c[0] < 20.0, step, (x[0], 0), max_steps=9)[0]


def _nested(x, w):
    def outer(c, a):
        d, s = bp.scan(lambda d, b: (d * w + b * c, d), a, x)
        return c + np.tanh(d), np.sum(s)

    c, sums = bp.scan(outer, x[0] * 1.0, x)
    return c + np.sum(sums * sums)


def _chosen(x, w):
    return bp.cond(w > 1.0, lambda x: np.sum(x) * w, lambda x: x[0] - w, x)


@pytest.mark.parametrize("f", [_scanned, _repeated, _nested, _chosen])
def test_compiled_bodies_read_members_of_outside(rng, f):
    x, w = rng.uniform(0.5, 1.0, (3, 4)), np.array([0.5, 1.5, 0.9])
    table = rng.uniform(0.5, 1.0, 4)
    for mapped, args in (
        (lambda f: bp.vmap(f), (x, w)),
        (lambda f: bp.vmap(lambda w: f(table, w)), (w,)),
        (lambda f: bp.vmap(lambda w: f(table, w * w)), (w,)),
        (lambda f: bp.vmap(lambda x: f(x, w[1])), (x,)),
        (lambda f: bp.vmap(f, (None, 0)), (table, w)),
        (lambda f: bp.vmap(bp.grad(f, (0, 1))), (x, w)),
        (lambda f: bp.grad(lambda *xs: np.sum(bp.vmap(f)(*xs) ** 2), (0, 1)), (x, w)),
    ):
        g = mapped(f)
        compiled = bp.compile(g)
        for scale in (1.0, 1.1, 1.0):
            given = [scale * a for a in args]
            for found, want in zip(
                tree.flatten(compiled(*given))[0], tree.flatten(g(*given))[0], strict=True
            ):
                np.testing.assert_allclose(found, want, rtol=1e-12)


def test_compiled_scan_is_one_loop_of_all(rng):
    def f(w, h, xs):
        step = lambda h, x: (np.tanh(w @ h + x), np.sum(h))
        h, ys = bp.scan(step, h, xs)
        return np.sum(h**2) + np.sum(ys)

    w, h, xs = rng.normal(size=(2, 2)), rng.normal(size=(3, 2)), rng.normal(size=(3, 4, 2))
    g = bp.grad(f, (0, 1, 2))
    compiled = bp.compile(bp.vmap(g, (None, 0, 0)))
    for moved in (h, h + 0.5):
        same(compiled(w, moved, xs), loop(lambda h, xs: g(w, h, xs), moved, xs))
    assert compiled.explain().count("loop") == 2
    total = lambda w: np.sum(bp.vmap(f, (None, 0, 0))(w, h, xs) ** 2)
    wanted = lambda w: sum([f(w, h[k], xs[k]) ** 2 for k in range(3)])
    same(bp.compile(bp.grad(total))(w), bp.grad(wanted)(w))


# ---- random programs


@settings(max_examples=60, deadline=None)
@given(programs, inputs_strategy)
def test_random_programs(program, shapes):
    arrays = [x.astype(float) for x in sampled(shapes)]
    rng = np.random.default_rng(1)
    batches = [
        np.stack([x, *[x + 1e-3 * rng.standard_normal(x.shape) for _ in range(2)]]) for x in arrays
    ]
    for f in (
        lambda *xs: with_masks(program, xs),
        lambda *xs: bp.grad(lambda *ys: with_masks(program, ys)[0], tuple(range(len(xs))))(*xs),
    ):
        try:
            wanted = loop(f, *batches)
            found = bp.vmap(f)(*batches)
        except (NoRuleError, MappedValueError):
            return
        same(found, wanted, 1e-9)


@settings(max_examples=25, deadline=None)
@given(programs, inputs_strategy)
def test_random_programs_nested_differentiated_and_compiled(program, shapes):
    arrays = [x.astype(float) for x in sampled(shapes)]
    rng = np.random.default_rng(1)
    moved = lambda x, n: np.stack([x, *[x + 1e-3 * rng.standard_normal(x.shape) for _ in range(n)]])
    batches = [moved(x, 2) for x in arrays]
    twice = [moved(x, 1) for x in batches]
    f = lambda *xs: with_masks(program, xs)[0]
    in_parts = lambda *xs: np.stack([f(*[x[k] for x in xs]) for k in range(3)])

    def slopes(g):
        total = lambda *xs: np.sum(np.sin(g(*xs)))
        return lambda *xs: bp.grad(total, tuple(range(len(xs))))(*xs)

    for found, wanted, args in (
        (bp.vmap(bp.vmap(f)), lambda *xs: loop(lambda *ys: loop(f, *ys), *xs), twice),
        (slopes(bp.vmap(f)), slopes(in_parts), batches),
        (bp.compile(bp.vmap(f)), lambda *xs: loop(f, *xs), batches),
        (bp.compile(bp.vmap(slopes(f))), lambda *xs: loop(slopes(f), *xs), batches),
    ):
        try:
            same(found(*args), wanted(*args), 1e-8)
        except (NoRuleError, MappedValueError, FrozenValueError):
            continue


@pytest.mark.parametrize("number", [0, np.int64(0), np.array(0)])
def test_writes_at_an_index_with_a_new_axis(number, rng):
    def put(b, v):
        b = b * 1.0
        b[None, number, ...] = v
        return b

    def row(v):
        b = np.zeros((3, 3)) * v[0]
        b[None, number] = v
        return b * np.arange(9.0).reshape(3, 3)

    args = rng.standard_normal((3, 3, 2, 2)), rng.standard_normal((3, 1, 2, 2))
    same(bp.vmap(put)(*args), loop(put, *args))
    x = rng.standard_normal(3)
    for mode in ("forward", "reverse"):
        found = bp.jacobian(row, mode=mode)(x)
        same(found, np.stack([bp.jvp(row, (x,), (e,))[1] for e in np.eye(3)], -1))
    for n in (1, 3):
        xs = rng.standard_normal((n, 3))
        same(bp.vmap(row)(xs), loop(row, xs))
        same(bp.vmap(bp.jacobian(row))(xs), loop(bp.jacobian(row), xs))


class _Doubled(np.ndarray):
    def __mul__(self, other):
        return np.ndarray.__mul__(np.ndarray.__mul__(self, 2.0), other)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ma.array(np.ones((2, 3)), mask=np.eye(2, 3)), "argument 0 is a masked array"),
        ({"a": np.ma.array(np.ones((2, 3)))}, r"argument 0\['a'\] is a masked array"),
        (np.matrix(np.eye(2)), "argument 0 is a numpy.matrix"),
        (np.ones((2, 3)).view(_Doubled), "argument 0 is a _Doubled"),
    ],
)
def test_arrays_of_another_arithmetic_are_refused(x, message):
    with pytest.raises(DTypeError, match=rf"^vmap: {message}"):
        bp.vmap(lambda r: r["a"] * 2.0 if isinstance(r, dict) else r * 2.0)(x)


# ---- what values of a member of the map outside decide, inside of the one inside

_REGULAR = np.array([[[2.0, 1.0], [1.0, 3.0]], [[1.0, 3.0], [2.0, 1.0]]])
_ZEROS = np.array([[[1.0, 2.0], [0.0, 3.0]], [[1.0, 2.0], [4.0, 3.0]]])
_EQUAL = np.array([[[1.0, 2.0], [3.0, 3.0]], [[1.0, 2.0], [4.0, 3.0]]])
_LINE = np.array([1.0, 2.0])
DECIDED = {
    "cond": (
        lambda a, b: bp.cond(a > 0, lambda: b * 2 * a, lambda: b * 5 * a),
        np.array([1.0, -1.0]),
    ),
    "cond in scan": (
        lambda a, b: bp.scan(
            lambda c, x: (bp.cond(a > 0, lambda: c * b, lambda: c + b), x), 1.0, np.ones(3)
        )[0],
        np.array([1.0, -1.0]),
    ),
    "while_loop": (
        lambda a, b: bp.while_loop(
            lambda c: c[0] < a, lambda c: (c[0] + 1, c[1] * 2), (0.0, b), max_steps=5
        )[1],
        np.array([1.0, 3.0]),
    ),
    "lu_factor": (lambda a, b: np.sum(linalg.lu_solve(linalg.lu_factor(a), _LINE)) * b, _REGULAR),
    "lu": (lambda a, b: np.sum(linalg.lu(a)[1]) * b, _REGULAR),
    "qr": (lambda a, b: np.sum(np.abs(linalg.qr(a, pivoting=True)[1])) * b, _REGULAR),
    "ldl": (lambda a, b: np.sum(linalg.ldl(a + a.T)[1]) * b, _REGULAR),
    "solve": (
        lambda a, b: np.sum(linalg.solve(a, _LINE)) * b,
        np.array([[[2.0, 0.0], [0.0, 2.0]], [[1.0, 3.0], [2.0, 1.0]]]),
    ),
    "prod": (lambda a, b: np.prod(a) * b, _ZEROS),
    "trim_zeros": (lambda a, b: np.sum(np.trim_zeros(a[1])) * b, _ZEROS[:1].repeat(2, 0)),
    "unique": (lambda a, b: np.sum(np.unique(a)) * b, _EQUAL),
    "polymul": (lambda a, b: np.sum(np.polymul(a[1], [1.0, 2.0])) * b, _ZEROS),
}


@pytest.mark.filterwarnings("ignore::fastbp.errors.UnconnectedWarning")
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", DECIDED)
def test_maps_of_maps_where_values_decide(name, reverse):
    f, outer = DECIDED[name]
    outer = outer[::-1] if reverse else outer
    inner = np.array([1.0, 2.0])
    by_a, by_b = bp.grad(f, 0), bp.grad(f, 1)
    for g in (f, by_a, by_b):
        wanted = np.array([[g(a, b) for b in inner] for a in outer])
        for nested in (
            lambda a, b, g=g: bp.vmap(bp.vmap(g, (None, 0)), (0, None))(a, b),
            lambda a, b, g=g: bp.vmap(lambda x: bp.vmap(lambda y: g(x, y))(b))(a),
            lambda a, b, g=g: np.swapaxes(bp.vmap(bp.vmap(g, (0, None)), (None, 0))(a, b), 0, 1),
        ):
            np.testing.assert_allclose(nested(outer, inner), wanted, rtol=1e-12, atol=1e-14)
    through = bp.grad(lambda a: np.sum(bp.vmap(bp.vmap(f, (None, 0)), (0, None))(a, inner)))(outer)
    np.testing.assert_allclose(
        through, [sum(by_a(a, b) for b in inner) for a in outer], rtol=1e-12, atol=1e-14
    )
