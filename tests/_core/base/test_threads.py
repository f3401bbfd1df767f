"""Large elementwise programs on several threads: equal results, warnings, other threads, fork."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastbp as bp
from fastbp._core import threads
from fastbp.rules import OPS

# Around the size from which threads are used, and around borders between parts (8192 elements).
SIZES = [98303, 98304, 98305, 100_003, 17 * 8192 - 1, 17 * 8192 + 1, 262_144]
pytestmark = pytest.mark.thread_unsafe(reason="the number of threads belongs to the process")
THREADED = pytest.mark.skipif(os.name != "posix", reason="no POSIX threads")


@pytest.fixture(autouse=True)
def _restore_threads():
    before = threads.num_threads()
    yield
    threads.set_num_threads(before)


def run(code, **environment):
    """Run code in a fresh interpreter and return what it prints."""
    kept = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    return subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=kept | environment,
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    ).stdout.strip()


def on_threads(n, function, *operands):
    threads.set_num_threads(n)
    return function(*operands)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("name", ["add", "multiply", "sin", "exp", "log", "tanh", "logaddexp"])
def test_values_do_not_depend_on_the_number_of_threads(name, dtype, n):
    op = OPS[name]
    rng = np.random.default_rng(n)
    operands = [rng.uniform(0.1, 30.0, n).astype(dtype) for _ in range(op.nin)]
    expected = on_threads(1, op, *operands)
    for count in (2, 3):
        assert on_threads(count, op, *operands).tobytes() == expected.tobytes()
    np.testing.assert_allclose(
        expected, getattr(np, name)(*operands), rtol=1e-5 if dtype == "f4" else 1e-14
    )


@pytest.mark.parametrize("n", SIZES)
def test_gradients_do_not_depend_on_the_number_of_threads(n):
    def f(x, y):
        return np.sum(np.sin(x) * np.exp(np.tanh(y)) / np.hypot(x, 2.0) - 3.0 * np.arctan2(x, y))

    x, y = np.random.default_rng(n).normal(size=(2, n))
    grad = bp.grad(f, argnums=(0, 1))
    expected = on_threads(1, grad, x, y)
    for count in (2, 3):
        got = on_threads(count, grad, x, y)
        assert [g.tobytes() for g in got] == [g.tobytes() for g in expected]


@pytest.mark.parametrize("scalar", [2.5, np.array(2.5), np.array([[2.5]])])
def test_scalars_stay_in_place(scalar):
    x = np.arange(400_000.0).reshape(400, 1000)
    threads.set_num_threads(2)
    assert np.array_equal(OPS["multiply"](x, scalar), 2.5 * x)
    assert np.array_equal(OPS["subtract"](scalar, x), 2.5 - x)


def test_one_axis_with_any_stride():
    x = np.arange(400_001.0)
    threads.set_num_threads(2)
    assert np.array_equal(OPS["add"](x[::2], np.broadcast_to(1.5, 200_001)), x[::2] + 1.5)
    assert np.array_equal(OPS["subtract"](x[::-1], x), x[::-1] - x)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("where", [0, 500_000, 999_999])
def test_one_bad_element_warns(count, where):
    x = np.ones(1_000_000)
    threads.set_num_threads(count)
    bp.elementwise_grad(np.log)(x)  # no warning
    x[where] = -1.0
    with pytest.warns(RuntimeWarning, match="invalid value encountered in log"):
        bp.elementwise_grad(np.log)(x)
    x[where] = 0.0
    with np.errstate(all="raise"), pytest.raises(FloatingPointError, match="divide by zero"):
        OPS["log"](x)


def test_python_threads_share_the_pool():
    threads.set_num_threads(3)
    grad = bp.elementwise_grad(lambda x: np.sin(x) * np.exp(x))
    inputs = [np.random.default_rng(seed).normal(size=150_000 + seed) for seed in range(4)]
    expected = [grad(x).tobytes() for x in inputs]
    with ThreadPoolExecutor(4) as executor:
        for _ in range(10):
            assert [g.tobytes() for g in executor.map(grad, inputs)] == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_of_fork_has_its_own_pool():
    code = """
import os
import numpy as np
from fastbp._core import threads
from fastbp.rules import OPS

threads.set_num_threads(2)
x = np.linspace(0.0, 1.0, 300_000)
expected = OPS["sin"](x)
for _ in range(3):
    child = os.fork()
    if child == 0:
        os._exit(0 if all(np.array_equal(OPS["sin"](x), expected) for _ in range(20)) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert np.array_equal(OPS["sin"](x), expected)
print("done")
"""
    assert run(code) == "done"


@pytest.mark.parametrize("n", [0, -1])
def test_at_least_one_thread(n):
    before = threads.num_threads()
    with pytest.raises(ValueError, match=f"at least 1, got {n}"):
        threads.set_num_threads(n)
    with pytest.raises(TypeError):
        threads.set_num_threads(1.5)
    assert threads.num_threads() == before


@THREADED
def test_the_number_of_threads_is_bounded():
    for n, expected in [(1, 1), (3, 3), (np.int64(5), 5), (10**30, 16)]:
        threads.set_num_threads(n)
        assert threads.num_threads() == expected


def test_environment():
    code = "from fastbp._core import threads; print(threads.num_threads())"
    default = int(run(code))
    assert 1 <= default <= 16
    assert run(code, FASTBP_NUM_THREADS="1") == "1"
    assert run(code, OMP_NUM_THREADS="1") == "1"
    assert int(run(code, OMP_NUM_THREADS="1", FASTBP_NUM_THREADS="9999")) == default
    assert int(run(code, OMP_NUM_THREADS="0", FASTBP_NUM_THREADS="none")) == default
