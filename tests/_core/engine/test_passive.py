"""Values without derivative on the record: they behave as arrays, and nothing falls off.

Every function is recorded with everything, compared with NumPy, with plain recording, and computed
again from other inputs.
"""

import numpy as np
import pytest
from hypothesis import example, given, settings

import fastbp as bp
import fastbp.numpy as bnp
from fastbp import tree
from fastbp._core import graph, sweep
from fastbp._core.graph import Variable
from fastbp._core.tape import Tape
from fastbp.errors import NoRuleError
from fastbp.rules.table import SAMPLES

from ...harness import calls_of
from ...replay import Kept, assert_kept
from ...test_random_graphs import inputs_strategy, programs, run, sampled

pytestmark = pytest.mark.filterwarnings("ignore::fastbp.errors.UnconnectedWarning")

X = np.array([1.5, -2.0, 0.25, -0.5, 3.0])
Y = np.array([-0.5, 2.0, 1.0, -3.0, 0.75])  # as many positive ones
OTHERS = [(Y,), (X[::-1].copy(),)]


def in_place(change):
    def f(x):
        y = np.sign(x)
        change(y)
        return y

    return f


def through_a_view(x):
    s = np.sign(x)
    row = s.reshape(5, 1)[1:4]
    row[0] = 7.0
    s[2] = 9.0
    return s * x + row.sum()


def counted(x):
    k = (x > 0).sum()
    return x * k + k


def bisection(x):
    low, high = np.zeros_like(x) - 4.0, np.zeros_like(x) + 4.0
    for _ in range(5):
        middle = 0.5 * (low + high)
        above = middle > x
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return low * x


def sorted_by_hand(x):
    order = np.argsort(x)
    rank = np.empty_like(order)
    rank[order] = np.arange(5)
    return x[order] * np.arange(5.0) + rank


def masked_writes(x):
    y = x * 2.0
    y[y < 0] = 0.0
    y[np.argmax(x)] = 10.0 * x[0]
    return y


def into_new(x):
    y = bnp.zeros(5)
    y[x > 0] = 1.0
    return y * x


FUNCTIONS = {
    "comparison": lambda x: x > 0,
    "comparison with another": lambda x: x[1:] <= x[:-1],
    "reflected": lambda x: 0.0 < x,
    "mask times": lambda x: (x > 0) * x,
    "times mask": lambda x: x * (x > 0),
    "mask plus float": lambda x: (x > 0) + 0.5,
    "bits": lambda x: ~(x > 0) & (x < 2.0) | (x == 0.25) ^ (x != 1.5),
    "where": lambda x: np.where(x > 0, x, 0.1 * x),
    "where of passives": lambda x: np.where(x > 0, np.sign(x), 2),
    "where, reversed": lambda x: np.where(np.logical_not(x > 0), 1.0, x),
    "select": lambda x: np.select([x > 1, x > 0], [x * x, x], 0.0),
    "choose": lambda x: np.choose((x > 0) * 1, [x, 2.0 * x]),
    "piecewise in sums": lambda x: ((x > 0) * x + (x <= 0) * np.sin(x)).sum(),
    "compress": lambda x: np.compress(x > 0, x),
    "extract": lambda x: np.extract(x > 0, x),
    "mask selects": lambda x: x[x > 0],
    "mask of rows": lambda x: np.outer(x, x)[x > 0],
    "mask of elements": lambda x: np.outer(x, x)[np.outer(x, x) > 0].sum(),
    "mask of columns": lambda x: np.outer(x, x)[:, x > 0],
    "nonzero": lambda x: x[np.nonzero(x > 0)],
    "flatnonzero": lambda x: np.flatnonzero(x > 0),
    "argsort": lambda x: x[np.argsort(x)],
    "argsort, method": lambda x: x[x.argsort()[::-1]],
    "argmax": lambda x: x[np.argmax(x)] * x,
    "argmin of rows": lambda x: np.outer(x, x + 1.0)[np.arange(5), np.argmin(x)],
    "take": lambda x: np.take(x, np.argsort(x)[:3]),
    "take one": lambda x: np.take(np.outer(x, x), np.argmax(x), axis=1),
    "take, wrapped": lambda x: np.take(x, np.argsort(x) + 7, mode="wrap"),
    "take, clipped": lambda x: np.take(x, 2 * np.argsort(x), mode="clip"),
    "take_along_axis": lambda x: np.take_along_axis(
        np.outer(x, x), np.argsort(np.outer(x, x), 1), 1
    ),
    "constant table": lambda x: np.arange(10.0)[np.argsort(x)] * x,
    "shifted index": lambda x: x[(np.argsort(x) + 1) % 5],
    "searchsorted": lambda x: (
        np.array([0.0, 1.0, 2.0, 3.0])[np.searchsorted(np.array([-1.0, 0.0, 1.0]), x)] * x
    ),
    "digitize": lambda x: np.digitize(x, [0.0, 1.0]) + x,
    "rounding": lambda x: x - np.floor(x) + np.rint(x) * np.ceil(x) + np.trunc(x),
    "round": lambda x: np.round(x, 1) * x + x.round(),
    "sign": lambda x: np.sign(x) * x**2,
    "floor division": lambda x: x // 0.4 + 1.0 // (x + 5.0),
    "divmod": lambda x: sum(divmod(x, 0.7)),
    "remainder": lambda x: x % 0.7,
    "any": lambda x: np.any(x > 2) * x,
    "all": lambda x: np.all(x > -9, keepdims=True) * x,
    "logical": lambda x: np.logical_and(x > 0, np.logical_not(x > 2)) * 2.0,
    "isfinite": lambda x: np.where(np.isfinite(x), x, 0.0),
    "count": counted,
    "count_nonzero": lambda x: np.count_nonzero(x > 0) * x,
    "mean of a mask": lambda x: (x > 0).mean() * x,
    "cumsum of a mask": lambda x: x[np.cumsum(x > 0) - 1],
    "methods": lambda x: (x > 0).astype(float).reshape(5, 1).T @ x,
    "matmul of a mask": lambda x: (x[:, None] > x) @ x,
    "matmul, reversed": lambda x: x @ (x[:, None] > x),
    "dot": lambda x: np.dot(np.sign(x), x),
    "einsum": lambda x: np.einsum("ij,j->i", x[:, None] > x, x),
    "outer": lambda x: np.outer(x > 0, x),
    "stack": lambda x: np.stack([np.sign(x), x]),
    "concatenate": lambda x: np.concatenate([x > 0, x, np.sign(x)]),
    "concatenate of masks": lambda x: np.concatenate([x > 0, x < 0]),
    "array": lambda x: bnp.array([x[0], np.sign(x[1]), 2.0]),
    "maximum with a passive": lambda x: np.maximum(x, np.sign(x)),
    "power": lambda x: (x + 5.0) ** np.sign(x),
    "integer arithmetic": lambda x: x * (np.argsort(x) ** 2 - 3),
    "complex": lambda x: np.exp(1j * x) * (x > 0),
    "float32": lambda x: x.astype(np.float32) * (x > 0),
    "shapes of a passive": lambda x: x * np.sign(x).shape[0] * len(x > 0) * np.ndim(x > 0),
    "zeros like a mask": lambda x: x + np.zeros_like(x > 0),
    "zeros like signs": lambda x: x + np.ones_like(np.sign(x)),
    "unpacking": lambda x: sum(s * y for s, y in zip(np.sign(x), x, strict=True)),
    "several outputs": lambda x: np.frexp(x)[0] * np.frexp(x)[1],
    "unique": lambda x: np.unique(np.sign(x), return_counts=True)[1] * x[:2],
    "histogram": lambda x: np.histogram(np.argsort(x), bins=3)[0] * x[0],
    "sort of passives": lambda x: np.sort(np.sign(x)) * x,
    "ufunc methods": lambda x: np.logical_or.reduce(x > 2) + np.add.accumulate(x > 0),
    "stop_gradient": lambda x: bp.stop_gradient(x) * x,
    "stop_gradient, on": lambda x: x / np.sum(bp.stop_gradient(x * x)),
    "nansum": lambda x: np.nansum(x) + np.nanmean(x),
    "nan_to_num": np.nan_to_num,
    "where=": lambda x: np.sum(x, where=x > 0) + np.mean(x, where=x > 0),
    "clip by a passive": lambda x: np.clip(x, np.sign(x) - 1.0, 2.0),
    "ldexp": lambda x: np.ldexp(x, np.argsort(x)),
    "repeat": lambda x: np.repeat(x, (x > 0) + 1),
    "delete": lambda x: np.delete(x, np.argmax(x)),
    "roll by hand": lambda x: x[np.arange(5) - np.argmin(x)],
    "bincount": lambda x: np.bincount(np.argsort(x) // 2, x),
    "in place": in_place(lambda y: y.__imul__(3.0)),
    "in place, index": in_place(lambda y: y.__setitem__(y > 0, 5.0)),
    "in place, sort": in_place(lambda y: y.sort()),
    "in place, out": in_place(lambda y: np.add(y, 1.0, out=y)),
    "in place, at": in_place(lambda y: np.add.at(y, [0, 0, 1], 2.0)),
    "in place, copyto": in_place(lambda y: np.copyto(y, 4.0, where=y > 0)),
    "in place, view": in_place(lambda y: y[1:].__iadd__(y[:-1] * 2.0)),
    "in place, flipped": in_place(lambda y: y.__setitem__(slice(None), y[::-1])),
    "a view of signs": through_a_view,
    "masked writes": masked_writes,
    "into new": into_new,
    "bisection": bisection,
    "ranks": sorted_by_hand,
    "gradient": lambda x: bp.grad(lambda y: np.sum(np.where(y > 0, y**2, np.sin(y))))(x),
    "gradient with a mask from outside": lambda x: bp.grad(
        lambda y, m=x > 0: np.sum(np.where(m, y, 0.0) ** 2)
    )(np.arange(5.0)),
    "gradient with signs inside": lambda x: bp.grad(lambda y: np.sum(y**2 * np.sign(x)))(
        np.arange(5.0)
    ),
    "gradient of an index": lambda x: bp.grad(lambda y: np.sum(y[np.argsort(y)] * Y))(x),
    "gradient of a mask": lambda x: bp.grad(lambda y: np.sum(y[y > 0] ** 3))(x),
    "gradient of writes": lambda x: bp.grad(lambda y: np.sum(masked_writes(y) ** 2))(x),
    "gradient of kinks": lambda x: bp.grad(
        lambda y: np.sum(np.abs(y) * np.maximum(y, Y) + np.clip(y, -1.0, 1.0) * y.max())
    )(x),
    "second derivatives": lambda x: bp.hvp(lambda y: np.sum(np.where(y > 0, y**3, y**2)), x, Y),
    "jacobian": lambda x: bp.jacobian(lambda y: y * y * (y > 0))(x),
    "value and gradient": lambda x: bp.value_and_grad(lambda y: np.sum(y * y * (y > 0)))(x)[0] * x,
    "jvp": lambda x: bp.jvp(lambda y: np.where(y > 0, y * y, y), (x,), (Y,))[1],
    "jvp along signs": lambda x: bp.jvp(np.sin, (x,), (np.sign(x),))[1],
    "vjp of signs": lambda x: bp.vjp(np.sin, x)[1](np.sign(x))[0],
}
# A decision by a value in a rule; a plain array that is indexed asks for plain numbers.
EXITS = {
    "bincount": ("value",),  # how many bins there are
    "gradient of kinks": ("bool",),
    "constant table": ("value",),
    "searchsorted": ("value",),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_replay(name):
    f = FUNCTIONS[name]
    if "value" in EXITS.get(name, ()):
        assert {what for what, *_ in Kept(f, (X,)).left} == {"value"}
    else:
        assert_kept(f, (X,), OTHERS, EXITS.get(name, ()))


def derivatives(f, x, keep):
    """Return the Jacobian of each value that ``f(x)`` returns, by both kinds of sweeps."""
    (v,), (h,) = graph.leaves([x], keep)
    found = []
    for y in tree.flatten(graph.recorded_call(f, [h], {}))[0]:
        rows, columns = np.zeros((2, np.size(graph.array_of(y)), x.size), complex)
        if type(y) is Variable:
            tape = Tape([y], [v])
            for row, e in zip(rows, np.eye(y.size).reshape(y.size, *y.shape), strict=True):
                g = sweep.reverse(tape, [e.astype(y.dtype)])[0]
                row[...] = 0.0 if g is None else graph.array_of(g)
            for column, e in zip(columns.T, np.eye(x.size), strict=True):
                t = sweep.forward(tape, [e])[0]
                column[...] = 0.0 if t is None else np.ravel(graph.array_of(t))
        found += [rows, columns]
    return found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_are_those_of_a_plain_record(name):
    kept, plain = (derivatives(FUNCTIONS[name], X, keep) for keep in (True, False))
    for a, b in zip(kept, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14, atol=1e-14)


# ---- the table

CALLS = [
    pytest.param(call, id=f"{name}-{k}")
    for name in sorted(SAMPLES)
    for k, call in enumerate(calls_of(name))
]


@pytest.mark.parametrize("call", CALLS)
def test_samples(call):
    """The whole table: what a function computes is computed again, unless it says that it is not.

    Functions that choose by plain numbers (interp, quantile, unique) note that values have left.
    """
    rng = np.random.default_rng(3)
    arrays = tuple(call.arrays)
    others = [tuple(x * (1.0 + 0.01 * rng.random(x.shape)).astype(x.dtype) for x in arrays)]
    with np.errstate(all="ignore"):
        if any(what == "value" for what, *_ in Kept(call, arrays).left):
            _assert_values(call, arrays)
        else:
            assert_kept(call, arrays, others, ("bool",), ulps=2048)


def _assert_values(call, arrays):
    found, expected = (tree.flatten(x)[0] for x in (Kept(call, arrays).values, call(*arrays)))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


# ---- random programs, with masks and indices in them

MASKING = [
    lambda x, y: np.where(x > 0, x, 0.5 * x),
    lambda x, y: x * (x > np.mean(x)) if x.size else x,
    lambda x, y: np.ravel(x)[np.argsort(np.ravel(x))],
    lambda x, y: np.take_along_axis(x, np.argsort(x, -1), -1) if x.ndim else x,
    lambda x, y: np.ravel(x)[np.argmax(x)] * x if x.size else x,
    lambda x, y: x + np.sign(x) * np.floor(x),
    lambda x, y: np.sort(np.rint(x * 4.0), axis=None) * 0.25 if x.size else x,
    lambda x, y: x * np.count_nonzero(x > 0) / 10.0,
    lambda x, y: _written(x, lambda z: z.__setitem__(z < 0, 0.25)) if x.ndim else x,
    lambda x, y: _written(x, lambda z: z.__setitem__(np.argmin(z), 2.0)) if x.ndim == 1 else x,
    lambda x, y: np.clip(x, -0.5 * np.isfinite(x), 1.5),
    lambda x, y: np.where(x > 0, np.sum(y), np.argsort(x, None).reshape(x.shape)),
    lambda x, y: bp.grad(lambda z: np.sum(z**3 * (z > 0)))(x) if x.ndim else x,
    lambda x, y: bp.stop_gradient(x) * x,
]


def _written(x, change):
    z = 1.0 * x
    if z.size:
        change(z)
    return z


def with_masks(program, inputs):
    """Run a random program with an operation of masks or indices behind each instruction."""
    pool = list(inputs)
    for operation, i, j in program:
        x = run([(operation, i, j)], pool[-2:], np.float64)[-1]
        pool.append(MASKING[(operation + 3 * i + j) % len(MASKING)](x, pool[i % len(pool)]))
    return np.sum(np.stack([np.sum(x * x) for x in pool])), pool[-1]


@settings(max_examples=150, deadline=None)
@given(programs, inputs_strategy)
@example([(0, 5, 33), (0, 0, 0), (0, 0, 0), (0, 0, 0), (9, 48, 0)], [((), False)])
def test_random_programs(program, shapes):
    arrays = tuple([x.astype(float) for x in sampled(shapes)])
    rng = np.random.default_rng(1)
    other = tuple(x + 1e-3 * rng.standard_normal(x.shape) for x in arrays)
    try:
        kept = Kept(lambda *xs: with_masks(program, xs), arrays)
    except NoRuleError:  # it writes into what has no derivative: refused without the flag, too
        with pytest.raises(NoRuleError):
            bp.vjp(lambda *xs: with_masks(program, xs)[0], *arrays)
        return
    for found, expected in zip(kept.values, with_masks(program, arrays), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    for moved in (arrays, other):
        for found, expected in zip(kept.replay(*moved), with_masks(program, moved), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
