"""blas: every function x dtype x flag x memory layout against NumPy; refusals; the C interface."""

import itertools
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import numpy as np
import pytest

from fastbp._core import blas, simd
from fastbp.errors import DTypeError, ShapeError

from ...harness import normal

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
# Relative to the magnitude of the terms of a sum, which have length at most 600 here.
# A complex product sums twice as many terms in each part.
TOLERANCE = {np.float32: 2e-5, np.float64: 4e-14, np.complex64: 4e-5, np.complex128: 8e-14}
# Tiny kernel (whole and partial tiles, k above its depth), gemv, BLAS.
SIZES = [(1, 1, 1), (2, 3, 4), (8, 16, 5), (9, 33, 7), (13, 31, 300)]
SIZES += [(1, 7, 9), (7, 1, 9), (70, 65, 66)]
# Dot products of narrow blocks: whole and partial vectors and rows, k above their depth.
SIZES += [(9, 4, 64), (4, 11, 40), (3, 6, 33), (13, 3, 300), (2, 5, 299), (6, 2, 600)]
# Few columns, or rows, and terms; vectors; more than these.
SIZES += [(3, 3, 3), (2, 4, 4), (5, 3, 2), (3, 5, 4), (4, 4, 16), (1, 3, 3), (3, 1, 4), (60, 2, 2)]
SIZES += [(2, 60, 2), (4, 16, 2), (1, 1, 8), (8, 1, 8), (2, 3, 8), (4, 4, 9), (70, 4, 1)]
FLAGS = list(itertools.product([False, True], repeat=2))


@pytest.fixture(params=[-1, 0, 1, 2], ids=["no tiny", "baseline", "AVX2", "AVX-512"])
def level(request):
    """Each instruction set of the tiny kernel that this processor has."""
    if request.param != simd.at_most(request.param):
        pytest.skip("not on this processor, or not in this run")
    before = blas._set_level(request.param)
    yield request.param
    blas._set_level(before)


def wide(x):
    """A copy in double precision."""
    return x.astype(np.result_type(x, np.float64))


def factors(dtype, *scales):
    """Numbers to scale with: turned in the complex plane if the operands are complex."""
    return [x * (0.6 + 0.8j) if np.dtype(dtype).kind == "c" and x != 1 else x for x in scales]


def padded(x, extra):
    """A copy of a matrix with `extra` unused columns, NaN, behind each row."""
    rows, cols = x.shape
    storage = np.full((rows, cols + extra), np.nan, x.dtype)
    storage[:, :cols] = x
    return storage[:, :cols]


def stepped(x, step):
    """A copy of a vector with another stride, NaN between its elements."""
    storage = np.full(abs(step) * max(x.size, 1), np.nan, x.dtype)
    view = storage[::step][: x.size]
    view[...] = x
    return view


def assert_close(actual, expected, magnitude):
    assert actual.shape == expected.shape
    tolerance = TOLERANCE[actual.dtype.type]
    assert np.all(np.abs(actual - expected) <= tolerance * (magnitude + 1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("trans_a", "trans_b"), FLAGS)
@pytest.mark.parametrize("size", SIZES)
def test_gemm(level, dtype, trans_a, trans_b, size, rng):
    m, n, k = size
    for extra, *scales in [(0, 1.0, 0.0), (3, -0.5, 0.0), (1, 2.0, 1.0), (2, 1.0, -1.5)]:
        alpha, beta = factors(dtype, *scales)
        a = padded(normal(rng, (k, m) if trans_a else (m, k), dtype), extra)
        b = padded(normal(rng, (n, k) if trans_b else (k, n), dtype), extra)
        c = normal(rng, (m, n), dtype)
        x, y = (a.T if trans_a else a), (b.T if trans_b else b)
        expected = alpha * (wide(x) @ wide(y)) + beta * c
        magnitude = wide(np.abs(x)) @ np.abs(y) * abs(alpha)
        out = padded(np.full_like(c, np.nan) if beta == 0 else c, extra)
        assert blas.gemm(a, b, trans_a, trans_b, alpha, beta, out) is out
        assert_close(out, expected, magnitude)
        assert np.isnan(out.base[:, n:]).all()  # nothing is written behind the rows
        if beta == 0:
            assert_close(blas.gemm(a, b, trans_a, trans_b, alpha), expected, magnitude)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("trans_a", [False, True])
@pytest.mark.parametrize("steps", [(1, 1), (2, 3), (-1, 2), (3, -2)])
def test_gemv(dtype, trans_a, steps, rng):
    for m, n, beta in [(1, 1, 0.0), (3, 5, 0.0), (4, 2, 0.5), (90, 70, 1.0)]:
        a = padded(normal(rng, (m, n), dtype), 2)
        op = a.T if trans_a else a
        x = stepped(normal(rng, op.shape[1], dtype), steps[0])
        y = normal(rng, op.shape[0], dtype)
        out = stepped(np.full_like(y, np.nan) if beta == 0 else y, steps[1])
        alpha, beta = factors(dtype, 0.7, beta)
        expected = alpha * (wide(op) @ x) + beta * y
        assert blas.gemv(a, x, trans_a, alpha, beta, out) is out
        assert_close(out, expected, wide(np.abs(op)) @ np.abs(x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("steps", [(1, 1), (2, 3), (-1, 2), (3, -2)])
def test_ger_dot_axpy(dtype, steps, rng):
    for m, n in [(1, 1), (4, 7), (110, 90)]:
        x = stepped(normal(rng, m, dtype), steps[0])
        y = stepped(normal(rng, n, dtype), steps[1])
        a = normal(rng, (m, n), dtype)
        alpha, beta = factors(dtype, 1.5, -0.25)
        expected = a + alpha * np.outer(x, y)
        out = padded(a, 1)
        assert blas.ger(x, y, alpha, out) is out
        assert_close(out, expected, np.abs(expected))
        assert_close(blas.ger(x, y), np.outer(x, y), np.abs(expected))

        z = stepped(normal(rng, m, dtype), steps[1])
        want = np.sum(wide(x) * z)
        assert abs(blas.dot(x, z) - want) <= TOLERANCE[dtype] * np.sum(np.abs(x * z))

        expected = z + beta * x
        assert blas.axpy(x, z, beta) is z
        assert_close(z, expected, np.abs(expected))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("trans_a", "lower"), FLAGS)
def test_syrk(dtype, trans_a, lower, rng):
    triangle = np.tril if lower else np.triu
    for n, k, beta in [(1, 1, 0.0), (5, 3, 0.0), (4, 9, 0.5), (70, 60, 1.0)]:
        a = padded(normal(rng, (k, n) if trans_a else (n, k), dtype), 1)
        op = a.T if trans_a else a
        c = normal(rng, (n, n), dtype)
        alpha, beta = factors(dtype, 2.0, beta)
        expected = np.where(triangle(np.ones((n, n))), alpha * (op @ op.T) + beta * c, c)
        out = padded(c, 2)
        if beta == 0:
            out[triangle(np.ones((n, n), bool))] = np.nan
        assert blas.syrk(a, trans_a, lower, alpha, beta, out) is out
        assert_close(out, expected, np.abs(op) @ np.abs(op).T * 2)
        assert_close(blas.syrk(a, trans_a, lower), triangle(op @ op.T), np.abs(op) @ np.abs(op).T)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_to_sum(level, dtype):
    """k = 0 or alpha = 0 writes beta*out: zeros over NaN for beta = 0. Empty outputs stay empty."""
    nan = np.nan
    for k, alpha in [(0, 1.0), (3, 0.0)]:
        a, b = np.full((2, k), nan, dtype), np.full((k, 4), nan, dtype)
        assert np.all(blas.gemm(a, b, alpha=alpha, out=np.full((2, 4), nan, dtype)) == 0)
        out = np.full((2, 4), 3, dtype)
        assert np.all(blas.gemm(a, b, alpha=alpha, beta=2.0, out=out) == 6)
        x = np.full(k, nan, dtype)
        assert np.all(blas.gemv(a, x, alpha=alpha, out=np.full(2, nan, dtype)) == 0)
        assert np.all(blas.gemv(a, x, alpha=alpha, beta=2.0, out=np.full(2, 3, dtype)) == 6)
        square = blas.syrk(a, alpha=alpha, beta=2.0, out=np.full((2, 2), 3, dtype))
        assert np.array_equal(square, [[6, 3], [6, 6]])
        square = blas.syrk(a, alpha=alpha, lower=False, out=np.full((2, 2), nan, dtype))
        assert np.array_equal(square, [[0, 0], [nan, 0]], equal_nan=True)
    assert blas.dot(np.empty(0, dtype), np.empty(0, dtype)) == 0
    assert blas.axpy(np.empty(0, dtype), np.empty(0, dtype)).shape == (0,)
    assert blas.ger(np.empty(0, dtype), np.ones(3, dtype)).shape == (0, 3)
    assert blas.gemm(np.empty((0, 3), dtype), np.empty((3, 2), dtype)).shape == (0, 2)
    assert blas.gemm(np.empty((3, 2), dtype), np.empty((2, 0), dtype)).shape == (3, 0)
    assert blas.gemv(np.empty((0, 3), dtype), np.ones(3, dtype)).shape == (0,)
    assert blas.syrk(np.empty((0, 3), dtype)).shape == (0, 0)


def test_nan_and_inf_come_through(level):
    a = np.array([[np.inf, 1.0], [np.nan, 2.0], [3.0, 4.0]])
    with np.errstate(invalid="ignore"):
        assert np.array_equal(blas.gemm(a, np.ones((2, 9))), a @ np.ones((2, 9)), equal_nan=True)


SQUARE = np.ones((3, 3))
REFUSALS = [
    (TypeError, lambda: blas.gemm([[1.0]], SQUARE)),
    (TypeError, lambda: blas.gemm(None, SQUARE)),
    (DTypeError, lambda: blas.gemm(np.ones((3, 3), int), SQUARE)),
    (DTypeError, lambda: blas.gemm(SQUARE, SQUARE.astype(complex))),
    (DTypeError, lambda: blas.gemm(SQUARE, SQUARE, alpha=1j)),
    (DTypeError, lambda: blas.gemm(SQUARE, SQUARE, beta=1j, out=np.ones((3, 3)))),
    (DTypeError, lambda: blas.ger(SQUARE[0], SQUARE[0], alpha=1j)),
    (DTypeError, lambda: blas.axpy(SQUARE[0], np.ones(3), alpha=1j)),
    (DTypeError, lambda: blas.gemm(SQUARE.astype(np.clongdouble), SQUARE.astype(np.clongdouble))),
    (DTypeError, lambda: blas.gemm(SQUARE, SQUARE.astype(np.float32))),
    (DTypeError, lambda: blas.gemm(SQUARE, SQUARE, out=np.ones((3, 3), np.float32))),
    (DTypeError, lambda: blas.gemm(SQUARE.astype(SQUARE.dtype.newbyteorder()), SQUARE)),
    (DTypeError, lambda: blas.gemm(np.ones(73, np.int8)[1:].view(float).reshape(3, 3), SQUARE)),
    (ShapeError, lambda: blas.gemm(SQUARE[0], SQUARE)),
    (ShapeError, lambda: blas.gemm(np.array(1.0), SQUARE)),
    (ShapeError, lambda: blas.gemm(SQUARE[:2], SQUARE, trans_a=True)),
    (ShapeError, lambda: blas.gemm(SQUARE, SQUARE[:2])),
    (ShapeError, lambda: blas.gemm(SQUARE, SQUARE, out=np.ones((3, 2)))),
    (ValueError, lambda: blas.gemm(np.asfortranarray(np.ones((2, 3))), SQUARE)),
    (ValueError, lambda: blas.gemm(SQUARE[::-1], SQUARE)),
    (ValueError, lambda: blas.gemm(np.broadcast_to(1.0, (3, 3)), SQUARE)),
    (ValueError, lambda: blas.gemm(np.broadcast_to(np.ones(3), (3, 3)), SQUARE)),
    (ValueError, lambda: blas.gemm(SQUARE, SQUARE, beta=1.0)),
    (ValueError, lambda: blas.gemm(SQUARE, SQUARE, out=SQUARE)),
    (ValueError, lambda: blas.gemm(SQUARE, SQUARE, out=np.broadcast_to(1.0, (1, 3)))),
    (ShapeError, lambda: blas.gemv(SQUARE, np.ones(2))),
    (ShapeError, lambda: blas.gemv(SQUARE, SQUARE)),
    (ShapeError, lambda: blas.gemv(SQUARE, np.ones(3), out=np.ones(2))),
    (ValueError, lambda: blas.gemv(SQUARE, np.broadcast_to(1.0, 3))),
    (ValueError, lambda: blas.gemv(SQUARE, SQUARE[0], out=SQUARE[1])),
    (DTypeError, lambda: blas.gemv(SQUARE, np.ones(3, np.float32))),
    (ShapeError, lambda: blas.ger(np.ones(2), np.ones(3), out=SQUARE)),
    (ValueError, lambda: blas.ger(SQUARE[0], np.ones(3), out=SQUARE)),
    (ShapeError, lambda: blas.syrk(SQUARE[:2], out=SQUARE)),
    (ValueError, lambda: blas.syrk(SQUARE, out=SQUARE)),
    (ValueError, lambda: blas.syrk(SQUARE, beta=1.0)),
    (ShapeError, lambda: blas.dot(np.ones(2), np.ones(3))),
    (DTypeError, lambda: blas.dot(np.ones(2), np.array(["a", "b"]))),
    (ShapeError, lambda: blas.axpy(np.ones(2), np.ones(3))),
    (ValueError, lambda: blas.axpy(SQUARE[0], SQUARE[0])),
    (ValueError, lambda: blas._time_raw_pair(0, 1)),
]


@pytest.mark.parametrize("index", range(len(REFUSALS)))
def test_refused(index):
    error, call = REFUSALS[index]
    with pytest.raises(error):
        call()
    assert np.all(SQUARE == 1)


def test_read_only_out_is_refused():
    out = np.ones((3, 3))
    out.flags.writeable = False
    with pytest.raises(ValueError, match="gemm: out is read-only"):
        blas.gemm(SQUARE, SQUARE, out=out)
    assert np.all(out == 1)


def test_interleaved_out_is_allowed():
    both = np.ones((3, 6))
    blas.gemm(both[:, :3], SQUARE, out=both[:, 3:])
    assert np.all(both == [1, 1, 1, 3, 3, 3])


@pytest.mark.skipif(blas._blas_int_max >= 2**40, reason="this BLAS takes 64-bit sizes")
def test_too_large_for_blas():
    try:
        x = np.empty(blas._blas_int_max + 2, np.float32)  # 8 GB of address space, never touched
    except MemoryError:
        pytest.skip("no address space for the array")
    with pytest.raises(OverflowError, match="dot"):
        blas.dot(x, x)


def test_threads_agree(rng):
    """Gemms of transposed and plain operands at once from several threads (OpenBLAS issue 5836)."""
    a = rng.standard_normal((1 << 14, 40))
    b = rng.standard_normal((40, 8))
    expected = a @ b
    errors = []

    def work(x, trans):
        for _ in range(10):
            error = np.abs(blas.gemm(x, b, trans_a=trans) - expected).max()
            errors.append(error)

    plain, transposed = (a, False), (np.ascontiguousarray(a.T), True)
    threads = [threading.Thread(target=work, args=args) for args in [plain, transposed] * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 80
    assert max(errors) < 1e-12


def test_time_raw_pair():
    assert 0 < blas._time_raw_pair(4, 10) < 1


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """The module of tests/cython_user, compiled as a user would against the installed package."""
    if shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0]) is None:
        pytest.skip("no C compiler")
    source = Path(__file__).parents[2] / "cython_user"
    folder = tmp_path_factory.mktemp("cython_user")
    for name in ["setup.py", "blas_client.pyx"]:
        shutil.copy(source / name, folder)
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    quick = os.environ | {"CFLAGS": "-O0 -g0"}
    done = subprocess.run(command, cwd=folder, env=quick, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    try:
        import blas_client
    finally:
        sys.path.remove(str(folder))
    return blas_client


def test_client_multiplies(client, rng):
    for m, n, k in [(3, 4, 5), (80, 70, 90)]:
        a, b, c = rng.standard_normal((m, k)), rng.standard_normal((k, n)), np.empty((m, n))
        assert client.gemm_f64(a, b, c) == 0
        np.testing.assert_allclose(c, a @ b, atol=1e-12)
        single = np.empty((m, n), np.float32)
        assert client.gemm_f32(a.astype(np.float32), b.astype(np.float32), single) == 0
        np.testing.assert_allclose(single, a @ b, atol=1e-4)
        turned = np.empty((m, n), complex)
        assert client.gemm_c128(a * 1j, b + 0j, turned) == 0
        np.testing.assert_allclose(turned, 1j * (a @ b), atol=1e-12)
        assert client.norm(a[0]) == pytest.approx(a[0] @ a[0], rel=1e-13)


def test_client_gets_a_status_never_a_wrap(client):
    status = client.statuses()
    assert status.pop("untouched")
    for name, value in status.items():
        assert value == (2 if " " in name else 1), name
