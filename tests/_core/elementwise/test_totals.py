"""Sums of elementwise work, through regions of a machine, against NumPy."""

import numpy as np
import pytest

from fastbp._core import threads
from fastbp._core.machine import Machine
from fastbp._core.program import Trace, compile_program
from fastbp._core.replay import Plan

DTYPES = [np.float64, np.float32, np.complex128, np.complex64]


def program(function, n, n_out, dtype):
    trace = Trace()
    operands = [trace.input() for _ in range(n)]
    found = function(*operands)
    return compile_program(trace, list(found) if n_out > 1 else [found], np.dtype(dtype).num)


def summed(shape, first, end, operands, dtype, n_sums=1):
    """Return x * y, its sum, and that of x - y where there are two."""
    dtype = np.dtype(dtype)
    functions = [lambda x, y: (x * y, x * y), lambda x, y: (x * y, x * y, x - y)]
    work = program(functions[n_sums - 1], 2, n_sums + 1, dtype)
    spread = [np.broadcast_to(x, shape).strides for x in operands]
    whole = np.empty(shape, dtype).strides
    left = (*shape[:first], *shape[end:])
    machine = Machine(4 + n_sums, 2, 0, {})
    slots = [((0, 0), spread[0]), ((1, 0), spread[1]), ((3, 0), whole)]
    slots += [((4 + k, 0), whole) for k in range(n_sums)]
    machine.region(work, shape, slots, (first, end, [(1 + k, (4 + k, 0)) for k in range(n_sums)]))
    outputs = [(3, shape, dtype), *[(4 + k, left, dtype) for k in range(n_sums)]]
    return Plan(machine, [(x.shape, x.dtype) for x in operands], outputs, [])(*operands)


def random(rng, shape, dtype):
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


CASES = [
    ((5,), 0, 1),
    ((3000,), 0, 1),
    ((40, 7), 1, 2),
    ((40, 7), 0, 1),
    ((3, 2500), 1, 2),
    ((1200, 3), 0, 1),
    ((5, 3000), 0, 1),
    ((7, 4100), 0, 1),
    ((3, 50, 6), 1, 2),
    ((2, 3, 4, 5), 1, 3),
    ((2, 600, 5), 1, 2),
    ((1, 9, 1), 1, 2),
]


@pytest.mark.parametrize(("shape", "first", "end"), CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_over_any_axes(shape, first, end, dtype, rng):
    x = random(rng, shape, dtype)
    for y in (random(rng, shape, dtype), random(rng, shape[-1:], dtype), random(rng, (), dtype)):
        if y.shape not in ((), shape) and (end == len(shape) > 1 and end - first > 1):
            with pytest.raises(ValueError, match="evenly"):
                summed(shape, first, end, (x, y), dtype, 2)
            continue
        product, total, other = summed(shape, first, end, (x, y), dtype, 2)
        wanted = x * y
        np.testing.assert_array_equal(product, wanted)
        wide = np.result_type(dtype, np.longdouble)
        axes = tuple(range(first, end))
        eps = np.finfo(dtype).eps
        for found, terms in ((total, wanted), (other, x - y)):
            assert found.dtype == dtype
            bound = 8 * eps * np.abs(terms).sum(axes, dtype=wide).real
            assert (np.abs(found - terms.sum(axes, dtype=wide)) <= bound).all()


@pytest.mark.parametrize(
    ("shape", "first", "end"),
    [((250_000,), 0, 1), ((40_000, 5), 0, 1), ((40_000, 5), 1, 2), ((11, 12_000), 0, 1),
     ((3, 60_000), 1, 2), ((2, 300, 400), 1, 2)],
)  # fmt: skip
def test_threads_change_nothing(shape, first, end, rng):
    x, y = rng.standard_normal(shape), rng.standard_normal(shape)
    before = threads.num_threads()
    try:
        found = []
        for n in (1, 2, 3):
            threads.set_num_threads(n)
            found.append(summed(shape, first, end, (x, y), float))
    finally:
        threads.set_num_threads(before)
    wanted = np.sum(x * y, axis=tuple(range(first, end)))
    np.testing.assert_allclose(found[0][1], wanted, rtol=1e-12, atol=1e-9)
    for _, total in found[1:]:
        np.testing.assert_array_equal(total, found[0][1])


def test_many_numbers_of_single_precision():
    # One after the other they would lose all digits.
    n = 1 << 22
    x = np.full(n, 0.1, np.float32)
    _, total = summed((n,), 0, 1, (x, np.ones((), np.float32)), np.float32)
    assert abs(total - n * float(x[0])) <= 1e-6 * n * 0.1


def test_bad_sums():
    work = program(lambda x: x * 2.0, 1, 1, float)
    slots = [((0, 0), (8,)), ((1, 0), (8,))]
    for sums in ((0, 2, [(0, (1, 0))]), (0, 0, [(0, (1, 0))]), (0, 1, [(1, (1, 0))])):
        with pytest.raises(ValueError, match=r"Machine\.region"):
            Machine(3, 2, 0, {}).region(work, (4,), slots, sums)
