"""The blocks of arrays: ordinary arrays, blocks that come back, a bounded pool."""

import gc
import os
import threading
import tracemalloc

import numpy as np
import pytest

from fastbp._core import buffers

pytestmark = pytest.mark.thread_unsafe(reason="one pool of blocks and one tracemalloc a process")

LARGE = 1 << 14  # float64: 128 KiB
LIMIT = 64 << 20
SIZES = (127, 128, 129, 1000, 8191, 8192, LARGE)  # of float64: around 1 KiB, 64 KiB


@pytest.fixture(autouse=True)
def _empty_pool():
    gc.collect()
    buffers.release()
    yield
    buffers.release()


@pytest.mark.parametrize(
    "shape", [(), (0,), 3, (2, 3), *SIZES, (16, 16), (64, LARGE // 64), (LARGE, 0)]
)
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_arrays_are_ordinary(shape, dtype):
    x = buffers.empty(shape, dtype)
    assert x.shape == np.empty(shape).shape
    assert x.dtype == dtype
    assert x.flags.owndata
    assert x.flags.carray
    assert x.flags.fnc == np.empty(shape).flags.fnc
    x[...] = 1.0
    assert x.sum() == x.size


def test_a_block_comes_back():
    x = buffers.empty(LARGE)
    address = x.ctypes.data
    assert address % 64 == 0
    del x
    kept = buffers.cached_bytes()
    assert kept >= 8 * LARGE
    # A somewhat smaller array takes the same block, a much smaller one does not.
    small = buffers.empty(LARGE // 2)
    assert small.ctypes.data != address
    y = buffers.empty(LARGE - LARGE // 8)
    assert y.ctypes.data == address
    assert buffers.cached_bytes() < kept


@pytest.mark.parametrize("n", [128, 1000, 8192])
def test_a_block_of_medium_size_comes_back(n):
    x = buffers.empty(n)
    address = x.ctypes.data
    assert address % 64 == 0
    del x
    assert 8 * n <= buffers.cached_bytes() < 8 * n + 256
    y = buffers.empty(n)
    assert y.ctypes.data == address
    assert buffers.cached_bytes() == 0


def test_blocks_of_medium_size_are_bounded():
    arrays = [buffers.empty(n) for n in range(128, 8193, 8) for _ in range(2)]
    assert len({x.ctypes.data for x in arrays}) == len(arrays)
    del arrays
    assert 0 < buffers.cached_bytes() <= 4 << 20
    buffers.release()
    assert buffers.cached_bytes() == 0


@pytest.mark.parametrize("n", SIZES)
def test_tracemalloc_sees_them(n):
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        x = buffers.empty(n)
        assert tracemalloc.get_traced_memory()[0] - before >= 8 * n
        del x
        assert tracemalloc.get_traced_memory()[0] - before < 8 * n
    finally:
        tracemalloc.stop()


def test_small_arrays_are_not_kept():
    del_me = buffers.empty(100)
    del del_me
    assert buffers.cached_bytes() == 0


def test_the_pool_is_bounded():
    arrays = [buffers.empty(LARGE * 8) for _ in range(100)]
    del arrays
    assert 0 < buffers.cached_bytes() <= LIMIT
    huge = buffers.empty(LIMIT // 8 + 1)
    del huge
    assert buffers.cached_bytes() <= LIMIT
    many = [buffers.empty(LARGE + 300 * k) for k in range(200)]
    del many
    assert buffers.cached_bytes() <= LIMIT
    buffers.release()
    assert buffers.cached_bytes() == 0


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("times", [2, 4, 100])
def test_resizing_keeps_the_values(n, times):
    x = buffers.empty(n)
    x[:] = np.arange(n)
    x.resize(times * n, refcheck=False)
    np.testing.assert_array_equal(x[:n], np.arange(n))
    assert not x[n:].any()
    x.resize(10, refcheck=False)
    np.testing.assert_array_equal(x, np.arange(10))


def test_views_outlive_the_array():
    x = buffers.empty(LARGE)
    x[:] = 3.0
    view = x[10:20]
    del x
    other = buffers.empty(LARGE)
    other[:] = 5.0
    np.testing.assert_array_equal(view, 3.0)


def test_threads_share_the_pool():
    errors = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(200):
            x = buffers.empty(LARGE + int(rng.integers(0, 4096)))
            x[:] = seed
            y = buffers.empty(LARGE)
            y[:] = -seed
            if not (x == seed).all():
                errors.append(seed)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_a_working_pool():
    x = buffers.empty(LARGE)
    pid = os.fork()
    if pid == 0:
        del x
        y = buffers.empty(LARGE)
        y[:] = 1.0
        os._exit(0 if y.sum() == LARGE else 1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("args", [((-1,),), ((3,), "i8"), ((1,) * 33,)])
def test_what_it_does_not_make(args):
    with pytest.raises(ValueError, match="not supported"):
        buffers.empty(*args)
