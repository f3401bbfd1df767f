"""The kernels of our own: accuracy against mpmath, special values, strides, aliasing, tails.

The bounds are those that docs/kernels.md states, in units in the last place of the exact result.
"""

import ctypes
import os
import subprocess
import sys

import numpy as np
import pytest
from mpmath import mp, mpf

from fastbp._core import loops, simd

from ...digits import working_digits

DTYPES = [np.float64, np.float32]
SLOTS = [np.float32, np.float64, np.complex64, np.complex128]
ADDING = {"mulz_add", "mulx_add"}  # may be one fused multiply-add
SIMPLE = {"mulz", "mulx", "gt", "ge", "lt", "le", "eq", "ne", "finite", "select"} | ADDING
SIMPLE |= {"difference", "cosine"}
ARITHMETIC = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply}
SECOND = {**ARITHMETIC, "subtract_from": lambda t, c: np.subtract(c, t)}
PAIRS = {f"{first}_{second}": (first, second) for first in ARITHMETIC for second in SECOND}
SLOPES = {"sigmoid_slope", "tanh_slope"}  # of a value and its argument
NARGS = 4


class KernelRow(ctypes.Structure):
    """One row of the table in kernels.h."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("loops", ctypes.c_void_p * len(SLOTS)),
        ("nin", ctypes.c_int),
    ]


def _table():
    """Name -> (addresses by dtype, number of inputs), read from the extension itself."""
    library = ctypes.CDLL(loops.__file__)
    try:
        rows = ctypes.POINTER(KernelRow).in_dll(library, "fastbp_kernels")
        count = ctypes.c_int.in_dll(library, "fastbp_kernel_count").value
    except ValueError:
        return {}  # the platform hides the symbols
    return {
        rows[i].name.decode(): (dict(zip(SLOTS, rows[i].loops, strict=True)), rows[i].nin)
        for i in range(count)
    }


TABLE = _table()
LOOP = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)
ROWS = [(name, dtype) for name, (address, _) in TABLE.items() for dtype in SLOTS if address[dtype]]


def run_loop(name, dtype, operands, out, n=None):
    """Call the loop on the arrays as they are: their strides, their memory, `n` elements."""
    arrays = [*operands, out]
    pointers = (ctypes.c_void_p * NARGS)(*[a.ctypes.data for a in arrays])
    steps = (ctypes.c_ssize_t * NARGS)(*[0 if a.size == 1 else a.strides[0] for a in arrays])
    dimensions = (ctypes.c_ssize_t * 1)(out.size if n is None else n)
    LOOP(TABLE[name][0][dtype])(
        *[ctypes.cast(p, ctypes.c_void_p) for p in (pointers, dimensions, steps)], None
    )
    return out


def reference(name, *x):
    """Compute with NumPy what the kernel means."""
    one = x[0].dtype.type(1)
    parts = lambda g: (g.real, g.imag) if np.iscomplexobj(g) else (g,)
    negative_zero = lambda g: (g == 0) & np.all([np.signbit(part) for part in parts(g)], axis=0)
    with np.errstate(all="ignore"):
        product = lambda g, p: np.where(g == 0, g, g * p)
        exact = lambda g, p: np.where(negative_zero(g), g, g * p + 0)
        table = {
            "mulz": product,
            "mulz_add": lambda acc, g, p: acc + product(g, p),
            "mulx": exact,
            "mulx_add": lambda acc, g, p: acc + exact(g, p),
            "gt": lambda a, b: (a > b) * one,
            "ge": lambda a, b: (a >= b) * one,
            "lt": lambda a, b: (a < b) * one,
            "le": lambda a, b: (a <= b) * one,
            "eq": lambda a, b: (a == b) * one,
            "ne": lambda a, b: (a != b) * one,
            "finite": lambda a: np.isfinite(a) * one,
            "difference": lambda a, b: np.where(a == b, 0, a - b),
            "cosine": lambda r, a, b: np.where(abs(a) == r, np.sign(a) + 0 * b, a / r),
            "select": lambda c, a, b: np.where(c != 0, a, b),
            "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
            "softplus": lambda v: np.logaddexp(v, v.dtype.type(0)),
            "sigmoid_slope": lambda z, v: np.exp(-abs(v)) / (1 + np.exp(-abs(v))) ** 2,
            "tanh_slope": lambda z, v: one / np.cosh(v) ** 2,
        }
        if name in PAIRS:
            first, second = PAIRS[name]
            table[name] = lambda a, b, c: SECOND[second](ARITHMETIC[first](a, b), c)
        function = table[name] if name in table else getattr(np, name)
        return np.asarray(function(*x), x[0].dtype)


def operands_for(name, dtype, n, seed=0):
    rng = np.random.default_rng(seed)
    arrays = [rng.uniform(-3, 3, n).astype(dtype) for _ in range(TABLE[name][1])]
    if np.iscomplexobj(dtype()):
        arrays = [(a + 1j * rng.uniform(-3, 3, n)).astype(dtype) for a in arrays]
    for a in arrays[:2]:
        a[rng.random(n) < 0.2] = 0
    if name in SLOPES:
        x = 2 * arrays[1]
        return [reference(name.removesuffix("_slope"), x), x]
    return arrays


def assert_close(name, actual, expected):
    fused = ADDING | ({"mulz", "mulx"} if np.iscomplexobj(actual) else set())
    tolerance = 0 if name in {*SIMPLE, *PAIRS} - fused else 4 * np.finfo(actual.dtype).eps
    np.testing.assert_allclose(actual, expected, rtol=4 * tolerance, atol=tolerance)


# ---- accuracy ----


def exact_sigmoid(x):
    return 1 / (1 + mp.exp(-x))


def exact_softplus(x):
    return max(x, mpf(0)) + mp.log1p(mp.exp(-abs(x)))


def exact_sigmoid_slope(z, x):
    return mp.sech(x / 2) ** 2 / 4


def exact_tanh_slope(z, x):
    return mp.sech(x) ** 2


def exact_logaddexp(a, b):
    return max(a, b) + mp.log1p(mp.exp(-abs(a - b)))


def exact_logaddexp2(a, b):
    return max(a, b) + mp.log1p(mpf(2) ** -abs(a - b)) / mp.ln2


def exact_hypot(a, b):
    return mp.sqrt(a * a + b * b)


# name, dtype, oracle, bound in ulp, smallest result whose ulp counts (0: any).
BOUNDS = [
    ("sin", np.float64, mp.sin, 0.85, 0),
    ("cos", np.float64, mp.cos, 0.85, 0),
    ("sin", np.float32, mp.sin, 0.85, 0),
    ("cos", np.float32, mp.cos, 0.85, 0),
    ("exp", np.float64, mp.exp, 0.80, 0),
    ("exp", np.float32, mp.exp, 0.80, 0),
    ("tanh", np.float64, mp.tanh, 1.30, 0),
    ("tanh", np.float32, mp.tanh, 1.30, 0),
    ("sigmoid", np.float64, exact_sigmoid, 1.15, 0),
    ("sigmoid", np.float32, exact_sigmoid, 1.15, 0),
    ("sigmoid_slope", np.float64, exact_sigmoid_slope, 70.0, 0),
    ("sigmoid_slope", np.float32, exact_sigmoid_slope, 70.0, 0),
    ("tanh_slope", np.float64, exact_tanh_slope, 260.0, 0),
    ("tanh_slope", np.float32, exact_tanh_slope, 260.0, 0),
    ("softplus", np.float64, exact_softplus, 1.15, 0),
    ("softplus", np.float32, exact_softplus, 1.15, 0),
    ("logaddexp", np.float64, exact_logaddexp, 0.85, 0.5),
    ("logaddexp", np.float32, exact_logaddexp, 1.10, 0.5),
    ("logaddexp2", np.float64, exact_logaddexp2, 1.20, 0.5),
    ("logaddexp2", np.float32, exact_logaddexp2, 1.60, 0.5),
    ("hypot", np.float64, exact_hypot, 1.25, 0),
    ("hypot", np.float32, exact_hypot, 0.51, 0),
]


def trig_points(rng, dtype):
    last, bits = (1.6e6, np.int64) if dtype is np.float64 else (1e5, np.int32)
    k = rng.integers(1, int(last / 1.5708), 400)
    with working_digits(48):
        near = np.array([float(int(j) * mp.pi / 2) for j in k]).astype(dtype)
    any_bits = rng.integers(0, np.iinfo(bits).max, 300, bits).view(dtype)
    tiny = np.finfo(dtype).smallest_subnormal
    return np.concatenate(
        [
            rng.uniform(-np.pi, np.pi, 1500),
            rng.uniform(-last, last, 600),
            near,
            np.nextafter(near, dtype(0)),
            -np.nextafter(near, dtype(np.inf)),
            any_bits[np.isfinite(any_bits)],
            rng.integers(0, int(np.finfo(dtype).tiny / tiny), 100) * tiny,
            np.array([last, np.nextafter(dtype(last), dtype(2 * last)), np.finfo(dtype).max, tiny]),
        ],
        dtype=dtype,
        casting="same_kind",
    )


def points(name, dtype, seed=1):
    rng = np.random.default_rng(seed)
    if name in ("sin", "cos"):
        return [trig_points(rng, dtype)]
    wide = 745 if dtype is np.float64 else 103
    if name in SLOPES:
        # In order too, as elements are near or far together.
        (x,) = points("sigmoid", dtype, seed)
        x = np.concatenate([x, np.sort(rng.uniform(0, 4.5, 2000)).astype(dtype)])
        return [np.tanh(x) if name == "tanh_slope" else loops.call("sigmoid", x), x]
    if name in ("sigmoid", "softplus", "exp", "tanh"):
        tiny = 10.0 ** rng.uniform(-30, 0, 300)
        parts = [
            rng.uniform(-40, 40, 1500),
            rng.uniform(-1, 1, 1000),
            rng.uniform(-wide, wide - 36, 500),
            rng.uniform(-wide, 16 - wide, 500),
            tiny,
            -tiny,
        ]
        return [np.concatenate(parts).astype(dtype)]
    if name == "hypot":
        low, high = (-318, 307.5) if dtype is np.float64 else (-43, 38)
        e = rng.uniform(low, high, 1500)
        a = np.concatenate([rng.uniform(-3, 3, 1500), 10**e])
        b = np.concatenate([rng.uniform(-3, 3, 1500), 10 ** (e + rng.uniform(-9, 0.2, 1500))])
        return [a.astype(dtype), b.astype(dtype)]
    a = np.concatenate(
        [rng.uniform(-20, 20, 1000), rng.uniform(0, 3, 1000), rng.uniform(-900, 900, 1000)]
    )
    b = np.concatenate([rng.uniform(-20, 20, 1000), rng.uniform(0, 3, 1000), a[2000:]])
    b[2000:] += rng.uniform(-40, 40, 1000)
    return [a.astype(dtype), b.astype(dtype)]


def worst_ulp(actual, operands, oracle, floor):
    dtype = actual.dtype.type
    worst = 0.0
    with working_digits(48):
        for y, *x in zip(actual.tolist(), *[a.tolist() for a in operands], strict=True):
            exact = oracle(*map(mpf, x))
            rounded = dtype(max(abs(float(exact)), floor))
            worst = max(worst, float(abs(mpf(y) - exact) / mpf(float(np.spacing(rounded)))))
    return worst


@pytest.mark.parametrize(("name", "dtype", "oracle", "bound", "floor"), BOUNDS)
def test_error_stays_within_the_stated_bound(name, dtype, oracle, bound, floor):
    if not loops.has_loop(name, dtype):
        pytest.skip("NumPy's own loop is used with this instruction set")
    operands = points(name, dtype)
    actual = loops.call(name, *operands)
    assert actual.dtype == dtype
    assert worst_ulp(actual, operands, oracle, floor) <= bound


def test_every_function_has_a_bound():
    bounded = {(name, dtype) for name, dtype, *_ in BOUNDS}
    assert {row for row in ROWS if row[0] not in {*SIMPLE, *PAIRS}} <= bounded
    assert {row for row in ROWS if row[1] not in DTYPES} <= {(n, d) for n in SIMPLE for d in SLOTS}
    known = SIMPLE | {name for name, _ in bounded}
    assert set(loops.kernels()) in (known, known | set(PAIRS))  # not every compiler makes these


# ---- special values ----

INF, NAN = np.inf, np.nan
SPECIAL = [
    (
        "sin",
        ([0.0, -0.0, INF, -INF, NAN, 5e-324, -5e-324],),
        [0.0, -0.0, NAN, NAN, NAN, 5e-324, -5e-324],
    ),
    ("cos", ([0.0, -0.0, INF, -INF, NAN],), [1, 1, NAN, NAN, NAN]),
    ("exp", ([0.0, -0.0, INF, -INF, NAN, 710, -746],), [1, 1, INF, 0, NAN, INF, 0]),
    ("tanh", ([0.0, -0.0, INF, -INF, NAN, 5e-324, 1e30],), [0.0, -0.0, 1, -1, NAN, 5e-324, 1]),
    ("sigmoid", ([0.0, -0.0, INF, -INF, NAN, 800, -800],), [0.5, 0.5, 1, 0, NAN, 1, 0]),
    ("softplus", ([INF, -INF, NAN, 800, -800],), [INF, 0, NAN, 800, 0]),
    (
        "logaddexp",
        ([INF, -INF, INF, -INF, NAN, INF, -INF, 1e30], [INF, -INF, -INF, 1, 1, NAN, NAN, -1e30]),
        [INF, -INF, INF, 1, NAN, NAN, NAN, 1e30],
    ),
    (
        "logaddexp2",
        ([INF, -INF, INF, -INF, NAN, 3, -1100], [INF, -INF, -INF, 1, 1, 3, -INF]),
        [INF, -INF, INF, 1, NAN, 4, -1100],
    ),
    (
        "hypot",
        ([INF, NAN, NAN, 0, -0.0, 3, NAN], [NAN, -INF, 1, 0, 0, -4, NAN]),
        [INF, INF, NAN, 0, 0, 5, NAN],
    ),
    ("mulz", ([0.0, -0.0, 0, NAN, 2, INF], [INF, NAN, 3, 0, 3, 0]), [0.0, -0.0, 0, NAN, 6, NAN]),
    ("mulz_add", ([1, 1, NAN, 1], [0, 0, 0, 2], [INF, NAN, 1, 3]), [1, 1, NAN, 7]),
    (
        "difference",
        ([INF, -INF, INF, 3, NAN, 2], [INF, -INF, -INF, INF, 1, 2]),
        [0, 0, INF, -INF, NAN, 0],
    ),
    (
        "cosine",
        (
            [0.0, 0.0, INF, INF, INF, INF, 5],
            [0.0, -0.0, INF, -INF, 1, INF, 3],
            [0, 0, 1, 1, INF, INF, 4],
        ),
        [0.0, 0.0, 1, -1, 0, NAN, 3 / 5],
    ),
    (
        "mulx",
        ([-0.0, -0.0, -0.0, 0.0, 0.0, 2, -2, NAN], [INF, NAN, 3, INF, -3, 0.0, 0.0, 1]),
        [-0.0, -0.0, -0.0, NAN, 0.0, 0.0, 0.0, NAN],
    ),
    (
        "mulx_add",
        ([-0.0, -0.0, 0.0, 1], [-0.0, 0.0, -0.0, 2], [INF, -1, NAN, 3]),
        [-0.0, 0.0, 0.0, 7],
    ),
    ("select", ([0.0, -0.0, 1, NAN], [NAN, NAN, 5, 6], [1, 2, NAN, NAN]), [1, 2, 5, 6]),
    ("gt", ([1, 2, NAN, NAN, 0.0], [2, 1, 1, NAN, -0.0]), [0, 1, 0, 0, 0]),
    ("ge", ([1, 2, NAN, NAN, 0.0], [2, 1, 1, NAN, -0.0]), [0, 1, 0, 0, 1]),
    ("lt", ([1, 2, NAN, NAN, 0.0], [2, 1, 1, NAN, -0.0]), [1, 0, 0, 0, 0]),
    ("le", ([1, 2, NAN, NAN, 0.0], [2, 1, 1, NAN, -0.0]), [1, 0, 0, 0, 1]),
    ("eq", ([1, 2, NAN, NAN, 0.0], [2, 2, 1, NAN, -0.0]), [0, 1, 0, 0, 1]),
    ("ne", ([1, 2, NAN, NAN, 0.0], [2, 2, 1, NAN, -0.0]), [1, 0, 1, 1, 0]),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "operands", "expected"), SPECIAL)
def test_special_values(name, operands, expected, dtype):
    if not loops.has_loop(name, dtype):
        pytest.skip("NumPy's own loop is used with this instruction set")
    arrays = [np.array(x, dtype) for x in operands]
    expected = np.array(expected, dtype)
    for shift in range(len(expected)):  # every value in every lane
        actual = loops.call(name, *[np.roll(np.tile(a, 5), shift) for a in arrays])
        want = np.roll(np.tile(expected, 5), shift)
        np.testing.assert_array_equal(actual, want)
        finite = ~np.isnan(want)
        np.testing.assert_array_equal(np.signbit(actual[finite]), np.signbit(want[finite]))


def test_sigmoid_keeps_its_left_tail():
    x = np.array([-37.0, -100, -700, -745])
    np.testing.assert_allclose(loops.call("sigmoid", x), np.exp(x), rtol=1e-15)
    assert loops.call("sigmoid", np.array([-745.0]))[0] == 5e-324


def test_overflow_is_not_needless():
    a, b = np.array([3e300, 3e-320, 1.5e308]), np.array([4e300, 4e-320, 1.5e308])
    expected = [5e300, 5e-320, INF]
    np.testing.assert_allclose(loops.call("hypot", a, b), expected, rtol=1e-15, atol=5e-324)


def test_what_numpy_does_as_fast_is_left_to_it():
    own = simd.level() == "avx2"
    for name, dtype in (("sin", np.float32), ("cos", np.float32), ("exp", float), ("tanh", float)):
        assert loops.has_loop(name, dtype) == own
        if not own:
            with pytest.raises(ValueError, match=name):
                loops.call(name, np.zeros(3, dtype))


# ---- memory ----


@pytest.mark.parametrize(("name", "dtype"), ROWS)
def test_tails_and_nothing_written_beyond(name, dtype):
    for n in [*range(41), 255, 256, 257, 600]:
        operands = operands_for(name, dtype, n, seed=n)
        buffer = np.full(n + 32, -77, dtype)
        run_loop(name, dtype, operands, buffer[: max(n, 1)], n)
        assert (buffer[n:] == -77).all()
        if n:
            assert_close(name, buffer[:n], reference(name, *operands))


@pytest.mark.parametrize(("name", "dtype"), ROWS)
def test_any_strides(name, dtype):
    nin = TABLE[name][1]
    for n in (2, 7, 40, 300):
        dense = operands_for(name, dtype, n)
        # Digit k of `layout` says how slot k is laid out: dense, spaced, reversed, one scalar.
        for layout in range(4 ** (nin + 1) if nin < 3 else 64):
            kinds = [layout >> 2 * k & 3 for k in range(nin + 1)]
            if kinds[nin] == 3 or (name in SLOPES and (kinds[0] == 3) != (kinds[1] == 3)):
                continue
            operands = [lay_out(a, kind) for a, kind in zip(dense, kinds, strict=False)]
            out = lay_out(np.full(n, -77, dtype), kinds[nin])
            run_loop(name, dtype, operands, out)
            assert_close(name, out, reference(name, *np.broadcast_arrays(*operands, out)[:-1]))


def lay_out(a, kind):
    if kind == 0:
        return a.copy()
    if kind == 1:
        wide = np.full(3 * a.size, -5, a.dtype)
        wide[::3] = a
        return wide[::3]
    return a[::-1].copy()[::-1] if kind == 2 else a[:1].copy()


@pytest.mark.parametrize(("name", "dtype"), ROWS)
def test_output_may_be_an_input(name, dtype):
    nin = TABLE[name][1]
    for n in (1, 5, 16, 37, 700):
        for which in range(nin):
            for step in (1, 2):
                operands = [np.repeat(a, step)[::step] for a in operands_for(name, dtype, n)]
                expected = reference(name, *[a.copy() for a in operands])
                run_loop(name, dtype, operands, operands[which])
                assert_close(name, operands[which], expected)


@pytest.mark.parametrize("dtype", [row[1] for row in ROWS if row[0] == "sin"])
def test_sine_in_place_with_arguments_left_to_libm(dtype):
    last = 3e6 if dtype is np.float64 else 2e5
    x = np.random.default_rng(3).uniform(-last, last, 77).astype(dtype)
    x[[0, 40]] = NAN, INF
    with np.errstate(invalid="ignore"):
        for name in ("sin", "cos"):
            y = x.copy()
            expected = getattr(np, name)(x.astype(float)).astype(dtype)
            run_loop(name, dtype, [y], y)
            np.testing.assert_allclose(y, expected, rtol=4 * np.finfo(dtype).eps)


# ---- dispatch ----


@pytest.mark.skipif("FASTBP_SIMD" in os.environ, reason="this is the run with a chosen level")
@pytest.mark.skipif(not TABLE, reason="the platform hides the symbols")
@pytest.mark.parametrize("name", simd.LEVELS)
@pytest.mark.thread_unsafe(reason="starts a process of its own")
def test_every_instruction_set_passes(name):
    if simd.LEVELS.index(name) >= simd.LEVELS.index(simd.level()):
        pytest.skip("tested in this process, or beyond this machine")
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    environment = {**os.environ, "FASTBP_SIMD": name}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-3000:]
