"""Elementwise programs, the layouts they run over, and floating-point warnings."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest

import fastbp as bp
from fastbp._core import elementwise, threads

from ...harness import DTYPES, EPS, assert_sums_close
from .test_program import needs_loops

# ---- layouts: every operand may be laid out in its own way


def pieces(dtype):
    """Operands that broadcast to (3, 4, 5), with strides of all kinds."""
    rng = np.random.default_rng(1)
    base = rng.uniform(0.5, 2, (7, 9, 11)).astype(dtype)
    unaligned = np.zeros(3 * 4 * 5 * base.itemsize + 1, np.uint8)[1:].view(dtype).reshape(3, 4, 5)
    unaligned[...] = base[:3, :4, :5]
    swapped = base[:3, :4, :5].astype(base.dtype.newbyteorder())
    overlapping = np.lib.stride_tricks.sliding_window_view(base[0, 0, :9], 5)[:4]
    return {
        "contiguous": base[:3, :4, :5].copy(),
        "fortran": np.asfortranarray(base[:3, :4, :5]),
        "cut": base[1:4, 2:6, 3:8],
        "stepped": base[::3, 1::2, ::2][:3, :4, :5],
        "backwards": base[2::-1, 3::-1, 4::-1],
        "transposed": base[:5, :4, :3].T,
        "mixed axes": np.moveaxis(base[:4, :5, :3], -1, 0),
        "row": base[0, 0, :5],
        "column": base[0, :4, :1],
        "plane": base[:3, :1, :1],
        "stretched": np.broadcast_to(base[0, 0, :5], (3, 4, 5)),
        "one element": base[:1, :1, :1],
        "0-d": base[0, 0, 0].reshape(()),
        "overlapping": overlapping,
        "zero strides": np.lib.stride_tricks.as_strided(base, (3, 4, 5), (0, 0, 0)),
        "unaligned": unaligned,
        "byte-swapped": swapped,
        "read-only": np.broadcast_to(base[:1, :1, :5], (1, 1, 5)),
        "number": 1.25,
    }


PAIRS = list(itertools.product(pieces(np.float64), repeat=2))


@pytest.mark.parametrize("dtype", DTYPES)
def test_operands_of_any_layout(dtype):
    """All pairs: the value, the cotangents, the tangent."""
    for a, b in PAIRS:
        x, y = pieces(dtype)[a], pieces(dtype)[b]
        if a == b == "number":
            continue
        expected = np.multiply(x, y)
        xv, yv = (z if type(z) is float else bp.variable(z) for z in (x, y))
        found = xv * yv
        assert (found.shape, found.dtype) == (expected.shape, dtype), (a, b)
        np.testing.assert_array_equal(found.value, expected, err_msg=f"{a}, {b}")
        inputs = [z for z in (xv, yv) if type(z) is bp.Variable]
        g = np.arange(1.0, expected.size + 1, dtype=dtype).reshape(expected.shape, order="F")
        bars = bp.gradients(found, inputs, g)
        others = [o for o, z in ((y, xv), (x, yv)) if type(z) is bp.Variable]
        for bar, z, other in zip(bars, inputs, others, strict=True):
            reference = elementwise.sum_to(np.asarray(g * other, dtype), z.shape)
            np.testing.assert_allclose(
                bar, reference, rtol=64 * EPS[bar.dtype], err_msg=f"{a}, {b}"
            )


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3), (2, 0, 3), (1, 0)])
def test_empty_operands(shape):
    x = bp.variable(np.ones(shape))
    for y in (np.ones(shape), np.ones(shape[-1:]), 2.0, np.ones(())):
        found = x * y + np.sin(x)
        assert found.shape == shape
        assert bp.gradients(found, x, np.ones(shape)).shape == shape


@pytest.mark.parametrize("inner", [1, 2, 3, 15, 16, 17])
@pytest.mark.parametrize("outer", [1, 40, 700])
def test_short_inner_axes(inner, outer, rng):
    """Many short rows: walked, or copied first, with the same result."""
    x, y = rng.normal(size=(outer, inner, 2))[..., 0], rng.normal(size=(inner,))
    column = rng.normal(size=(outer, 1))
    xs = [bp.variable(z) for z in (x, y, column)]
    z = (xs[0] * xs[1] + xs[2]) * xs[0]
    np.testing.assert_array_equal(z.value, (x * y + column) * x)
    g = rng.normal(size=(inner, outer)).T
    bars = bp.gradients(z, xs, g)

    def by_hand(g, x, y, column):
        return g * (2 * x * y + column), (g * x * x).sum(axis=0), (g * x).sum(axis=1, keepdims=True)

    expected, magnitudes = by_hand(g, x, y, column), by_hand(*map(np.abs, (g, x, y, column)))
    roundings = (5, outer + 3, inner + 3)
    for results in zip(bars, expected, magnitudes, roundings, strict=True):
        assert_sums_close(*results)


def _laid_out(a, how):
    """Return the same elements in another layout."""
    if how == "reversed":
        return np.ascontiguousarray(a[..., ::-1])[..., ::-1]
    if how == "fortran":
        return np.asfortranarray(a)
    if how == "spread":
        wide = np.zeros((*a.shape, 2), a.dtype)
        wide[..., 1] = a
        return wide[..., 1]
    return a


@needs_loops
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("how", ["plain", "reversed", "fortran", "spread"])
@pytest.mark.parametrize(
    "shapes",
    [
        [(40, 1, 5), (1, 40, 5)],
        [(700, 3), (700, 1)],
        [(3, 700, 2), (700, 1)],
        [(2, 3, 1, 2, 5), (7, 2, 1)],
        [(6, 4, 31), (4, 1)],
        [(3, 4, 32), (32,)],
        [(40, 65), (40, 1)],
        [(4, 1, 127), (5, 127)],
        [(3, 130), (130,)],
        [(3, 3), (3, 1)],
        [(2, 1, 3), (4, 1)],
    ],
)
def test_many_short_rows_are_one(shapes, how, dtype, rng):
    """Rows are put together in blocks, in programs of one operation and of several, and in sums."""
    x, y = (_laid_out(rng.normal(size=shape).astype(dtype), how) for shape in shapes)
    f = lambda x, y: (x - y) * y + x
    expected = f(x, y)
    np.testing.assert_array_equal(bp.compile(f)(x, y), expected)
    np.testing.assert_array_equal(bp.compile(np.subtract)(x, y), x - y)
    np.testing.assert_array_equal((bp.variable(x) - bp.variable(y)).value, x - y)

    def totals(x, y):
        z = (x - y) * y + x
        return [np.sum(z, axis=k) for k in range(z.ndim)]

    found = bp.compile(totals)(x, y)
    size = np.abs(expected).max() * max(expected.shape) * np.finfo(dtype).eps
    for k, z in enumerate(found):
        np.testing.assert_allclose(z, expected.sum(axis=k), rtol=0, atol=4 * size)

    def filled(x, y):  # what is written lies in a larger array
        z = np.zeros((*expected.shape[:-1], expected.shape[-1] + 2), dtype)
        z[..., 1:-1] = x * y
        return z

    wide = np.pad(x * y, [(0, 0)] * (expected.ndim - 1) + [(1, 1)])
    np.testing.assert_array_equal(bp.compile(filled)(x, y), wide)


@pytest.mark.parametrize("shape", [(700, 300), (2, 90_000), (3, 5, 9_000), (40_000, 5)])
def test_threads_change_nothing_of_views(shape, rng):
    x = rng.standard_normal((shape[0] + 2, *shape[1:-1], shape[-1] + 3))

    def f(x):
        return np.exp(x[2:, ..., 1:-2]) * x[:-2, ..., 3:] + x[1:-1, ..., 2:-1]

    wanted, before = f(x), threads.num_threads()
    t, g, found = rng.standard_normal(x.shape), rng.standard_normal(shape), []
    try:
        for n in (1, 2, 3):
            threads.set_num_threads(n)
            y, pullback = bp.vjp(f, x)
            np.testing.assert_allclose(y, wanted, rtol=1e-14, atol=1e-14)
            found.append((y, bp.jvp(f, (x,), (t,))[1], pullback(g)[0]))
    finally:
        threads.set_num_threads(before)
    for others in found[1:]:
        for a, b in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(np.sum(found[0][1] * g), np.sum(found[0][2] * t), rtol=1e-9)


@pytest.mark.parametrize("nd", [5, 12, 31, 32])
def test_many_axes(nd, rng):
    """Axes of one and two elements, transposed, so that few can be merged."""
    shape = tuple(2 if k % 4 == 0 else 1 for k in range(nd))
    x = rng.normal(size=shape)
    xv, yv = bp.variable(x), bp.variable(x.T.copy().T)
    z = xv * yv + xv
    np.testing.assert_array_equal(z.value, x * x + x)
    np.testing.assert_allclose(bp.gradients(z, xv, x), x * (x + 1), rtol=1e-14, atol=1e-15)


@needs_loops
def test_too_many_axes_are_refused():
    x = bp.variable(np.ones((1,) * 40))
    with pytest.raises(ValueError, match="axes"):
        x * np.ones((2, *(1,) * 39))
    y = np.ones((1,) * 64)
    with pytest.raises(ValueError, match="axes"):
        bp.variable(y) + bp.variable(y[..., 0])


@needs_loops
def test_shapes_that_do_not_broadcast_are_named():
    with pytest.raises(
        bp.errors.ShapeError, match=r"add: shapes \(2, 3\), \(2,\) do not broadcast"
    ):
        bp.variable(np.ones((2, 3))) + np.ones(2)


@pytest.mark.parametrize("lead", [(), (3,)])
@pytest.mark.parametrize(
    "shape", [(), (1,), (4,), (1, 4), (2, 1), (2, 4), (5, 2, 4), (5, 1, 1), (1, 1, 1)]
)
@pytest.mark.parametrize("layout", ["C", "F", "step"])
def test_sum_to(lead, shape, layout, rng):
    full = (5, 2, 4)
    g = rng.normal(size=lead + full)
    g = {"C": g, "F": np.asfortranarray(g), "step": np.repeat(g, 2, axis=-1)[..., ::2]}[layout]
    found = elementwise.sum_to(g, shape, len(lead))
    stretched = (1,) * (3 - len(shape)) + shape
    axes = tuple(len(lead) + k for k in range(3) if stretched[k] == 1)
    expected = g.sum(axis=axes).reshape(lead + shape)
    assert found.shape == lead + shape
    magnitude = np.abs(g).sum(axis=axes).reshape(lead + shape)
    assert_sums_close(found, expected, magnitude, g.size)


@pytest.mark.parametrize("dtype", DTYPES)
def test_few_numbers_are_summed_in_the_order_of_numpy(dtype, rng):
    x = (rng.normal(size=(50, 40)) * 10.0 ** rng.integers(-3, 4, (50, 40))).astype(dtype)
    x[0] = -0.0
    for n in range(1, 20):
        for row in x:
            found = elementwise.sum_axes(row[:n].copy(), (0,))[0]
            expected = np.add.reduce(row[:n])
            assert found == expected
            # From 0 on: that of negative zeros is 0, as it was.
            assert np.signbit(found) == (np.signbit(expected) and expected != 0)


# ---- floating-point errors: as NumPy's errstate says


BAD = {
    "log of a negative": (lambda x: np.log(x - 3.0), "invalid"),
    "log of zero": (lambda x: np.log(x - 1.0), "divide"),
    "division by zero": (lambda x: x / (x - 1.0), "divide"),
    "overflow": (lambda x: np.exp(x * 1000.0), "over"),
    "square root": (lambda x: np.sqrt(x - 3.0), "invalid"),
    "power": (lambda x: np.power(x - 3.0, 0.5), "invalid"),
    "multiplication": (lambda x: (x * 1e200) * 1e200, "over"),
    "difference of infinities": (lambda x: (x * np.inf) - (x * np.inf), "invalid"),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 3, 5000])
@pytest.mark.parametrize("name", BAD)
def test_floating_point_errors_are_reported_as_numpy_does(name, n, dtype):
    f, kind = BAD[name]
    if dtype is np.float32 and name == "multiplication":
        pytest.skip("the constant is infinite in float32")
    data = np.ones(n, dtype)
    x = bp.variable(data)
    with np.errstate(**{kind: "raise"}):
        with pytest.raises(FloatingPointError) as expected:
            f(data)
        with pytest.raises(FloatingPointError) as found:
            f(x)
    assert str(found.value).split(" in ")[0] == str(expected.value).split(" in ")[0]
    with np.errstate(**{kind: "warn"}), pytest.warns(RuntimeWarning):
        f(x)
    with np.errstate(**{kind: "ignore"}):
        np.testing.assert_array_equal(f(x).value, f(data))
    with np.errstate(all="ignore"):
        bp.gradients(f(x), x, data)
    # Everything is as before, and no flag is left for someone else to stumble over.
    np.testing.assert_array_equal((x * 2.0).value, 2.0)
    np.testing.assert_array_equal(bp.gradients(x * x, x, data), 2.0)


def test_a_good_call_after_a_bad_one_does_not_warn():
    with np.errstate(all="ignore"):
        x = bp.variable(np.zeros(4))
        bp.gradients(np.sqrt(x), x, np.ones(4))
        1.0 / x
    np.sin(x) + np.exp(x)  # a warning would be an error here


def test_an_error_in_the_middle_leaves_the_graph_usable():
    x = bp.variable(np.array([0.0, 1.0]))
    y = x * 2.0
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        y /= x * 0.0
    np.testing.assert_array_equal(y.value, [0.0, 2.0])
    np.testing.assert_array_equal(bp.gradients(y * y, x, np.ones(2)), [0.0, 8.0])


def test_the_activations_do_not_overflow():
    """Their kernels are written to be silent where the result is right."""
    x = bp.variable(np.array([-1e4, -800.0, 0.0, 800.0, 1e4]))
    with np.errstate(all="raise", under="ignore"):
        for f in (
            bp.numpy.sigmoid,
            bp.numpy.softplus,
            bp.numpy.log_sigmoid,
            bp.numpy.relu,
            np.tanh,
        ):
            assert np.all(np.isfinite(bp.gradients(f(x), x, np.ones(5))))


# ---- without the loops: the same results by NumPy's ufuncs


WITHOUT_LOOPS = """
import numpy as np
import fastbp as bp
import fastbp.numpy as bnp
from fastbp._core import loops
from fastbp.testing import check_grads

assert not loops.has_loop(np.add, "f8")
rng = np.random.default_rng(0)
for dtype in (np.float64, np.float32):
    x, y = rng.uniform(0.5, 2, (4, 3)).astype(dtype), rng.uniform(0.5, 2, 3).astype(dtype)
    functions = [
        lambda x, y: np.tanh(x * y) / y - x,
        lambda x, y: np.where(x > y, np.log(x), x ** y),
        lambda x, y: bnp.sigmoid(x) + bnp.softplus(y) * np.maximum(x, y),
        lambda x, y: np.clip(x, 0.7, 1.5) @ y,
    ]
    for f in functions:
        out = f(bp.variable(x), bp.variable(y))
        assert out.dtype == dtype
        check_grads(f, (x, y))
        bp.jacobian(f, (0, 1))(x, y)
v = bp.variable(np.ones(3))
w = v
for _ in range(50):
    w = w * v + v
assert np.all(bp.gradients(w, v, np.ones(3)) == 51 * 52 / 2)
"""


@pytest.mark.thread_unsafe(reason="starts a process of its own")
def test_without_loops_everything_works_by_ufuncs():
    result = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", WITHOUT_LOOPS],
        capture_output=True,
        text=True,
        env={**os.environ, "FASTBP_NO_LOOPS": "1"},
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
