"""Instructions of a machine as they run, one kind at a time, against NumPy."""

import signal

import numpy as np
import pytest

from fastbp._core import threads
from fastbp._core.machine import Machine
from fastbp._core.program import Trace, compile_program
from fastbp._core.replay import Plan

from .machines import DTYPES, program, random, run


@pytest.mark.parametrize("dtype", DTYPES)
def test_regions_of_broadcast_operands(dtype, rng):
    x, y, z = (random(rng, shape, dtype) for shape in ((4, 5), (5,), (4, 1)))
    item = np.dtype(dtype).itemsize

    def fill(machine, work, out):
        slots = [
            ((0, 0), (5 * item, item)),
            ((1, 0), (0, item)),
            ((2, 0), (item, 0)),
            ((out, 0), (5 * item, item)),
        ]
        machine.region(program(lambda a, b, c: a * b + c, 3, dtype), (4, 5), slots)

    np.testing.assert_allclose(run(fill, [x, y, z], (4, 5), dtype), x * y + z, rtol=1e-5)


def test_regions_backward_and_on_threads(rng):
    x = rng.standard_normal(300_000)
    found = run(
        lambda machine, work, out: machine.region(
            program(np.tanh, 1, float),
            (x.size,),
            [((0, (x.size - 1) * 8), (-8,)), ((out, 0), (8,))],
        ),
        [x],
        x.shape,
        float,
    )
    np.testing.assert_allclose(found, np.tanh(x[::-1]), rtol=1e-14)


@pytest.mark.parametrize("shape", [(700, 300), (2, 90_000), (3, 5, 9_000), (40_000, 5)])
def test_regions_of_several_axes_on_threads(shape, rng):
    x = rng.standard_normal((shape[0] + 1, *shape[1:-1], shape[-1] + 2))
    before = threads.num_threads()
    try:
        for n in (1, 2, 3):
            threads.set_num_threads(n)
            found = run(
                lambda machine, work, out: machine.region(
                    program(lambda x: x * 3.0, 1, float),
                    shape,
                    [((0, x.strides[0] + 8), x.strides), ((out, 0), np.empty(shape).strides)],
                ),
                [x], shape, float,
            )  # fmt: skip
            np.testing.assert_array_equal(found, x[1:, ..., 1:-1] * 3.0)
    finally:
        threads.set_num_threads(before)


def test_outputs_of_a_region_on_its_inputs(rng):
    # The sum of both is taken before the first output lies on x, whatever is computed in one pass.
    trace = Trace()
    x, y = trace.input(), trace.input()
    total = x + y
    outputs = [np.exp(y), total * y]
    joined = compile_program(trace, outputs, np.dtype(float).num)
    assert joined.may_write_over(0, 0)
    x, y = rng.standard_normal((2, 100))

    def fill(machine, work, out):
        machine.copy(8, (100,), (0, 0), (8,), (work, 0), (8,))
        at = [(work, 0), (1, 0), (work, 0), (out, 0)]
        machine.region(joined, (100,), [(place, (8,)) for place in at])

    np.testing.assert_array_equal(run(fill, [x, y], (100,), float, work=800), (x + y) * y)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("accumulate", [False, True])
def test_products(dtype, accumulate, rng):
    a, b, c = (random(rng, shape, dtype) for shape in ((3, 4), (5, 4), (3, 5)))
    item = np.dtype(dtype).itemsize

    def fill(machine, work, out):
        machine.copy(item, (15,), (2, 0), (item,), (out, 0), (item,))
        machine.product(
            np.dtype(dtype).num,
            (3, 5, 4),
            (),
            ((0, 0), 4, 1, ()),
            ((1, 0), 1, 4, ()),
            ((out, 0), 5, 1, ()),
            accumulate,
        )

    found = run(fill, [a, b, c], (3, 5), dtype)
    np.testing.assert_allclose(found, a @ b.T + (c if accumulate else 0), rtol=1e-4)


@pytest.mark.parametrize("summed", [False, True])
def test_batches_of_products(summed, rng):
    a, b = rng.standard_normal((6, 3, 4)), rng.standard_normal((6, 4, 2))

    def fill(machine, work, out):
        c = ((out, 0), 2, 1, (0,) if summed else (6,))
        machine.product(
            np.dtype(float).num,
            (3, 2, 4),
            (6,),
            ((0, 0), 4, 1, (12,)),
            ((1, 0), 2, 1, (8,)),
            c,
            False,
        )

    found = run(fill, [a, b], (3, 2) if summed else (6, 3, 2), float)
    want = np.einsum("bij,bjk->ik", a, b) if summed else a @ b
    np.testing.assert_allclose(found, want, rtol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [(1, 7, 1), (1, 1000, 3), (4, 5, 6), (2, 0, 3), (3, 1, 2)])
def test_sums(dtype, sizes, rng):
    x = random(rng, sizes, dtype)
    found = run(
        lambda machine, work, out: machine.sum(np.dtype(dtype).num, sizes, (0, 0), (out, 0)),
        [x],
        (sizes[0], sizes[2]),
        dtype,
    )
    np.testing.assert_allclose(found, x.sum(1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["?", "i2", "i4", "f8", "c16"])
def test_copies_and_picks(dtype, rng):
    x = rng.integers(0, 2, (4, 6)).astype(dtype)
    item = x.dtype.itemsize

    def transpose(machine, work, out):
        machine.copy(item, (6, 4), (0, 0), (item, 6 * item), (out, 0), (4 * item, item))

    np.testing.assert_array_equal(run(transpose, [x], (6, 4), dtype), x.T)
    table = np.array([3, -1, 23, 3, 0])

    def pick(machine, work, out):
        machine.pick(item, table, (0, 0), (out, 0))

    want = np.where(table < 0, 0, x.reshape(-1)[table]).astype(dtype)
    np.testing.assert_array_equal(run(pick, [x], (5,), dtype), want)


@pytest.mark.parametrize("dtype", ["?", "i2", "f4", "f8", "c16"])
def test_picks_of_runs_with_few_elements_between(dtype, rng):
    """A shift of rows whose last elements stay, as edges do; and what no run may go over."""
    x = rng.integers(0, 2, 400).astype(dtype)
    rows = np.arange(400).reshape(20, 20)
    shifted = np.concatenate([rows[:, 1:], rows[:, -1:]], 1)
    zeros = shifted.copy()
    zeros[:, -1] = zeros[3, 5] = -1
    far = np.concatenate([rows[:5, :12], rows[7:12, 3:15]])
    random_ones = [
        np.where(rng.random(300) < p, rng.integers(-1, 400, 300), np.arange(300) + shift)
        for p in (0.02, 0.1, 0.4)
        for shift in (0, 1, 100)
    ]
    for table in (shifted, zeros, far, rows[:, ::-1], rows[:0], *random_ones):
        table = np.ascontiguousarray(table, np.intp)
        found = run(
            lambda machine, work, out, table=table: machine.pick(
                x.dtype.itemsize, table, (0, 0), (out, 0)
            ),
            [x],
            table.shape,
            dtype,
        )
        np.testing.assert_array_equal(found, np.where(table < 0, 0, x[table]).astype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 100, 512, 513, 1500])
def test_regions_that_pick(dtype, n, rng):
    """By runs, by single elements, with zeros: in all blocks, those before the last one whole."""
    x = random(rng, 2000, dtype)
    y = random(rng, n, dtype)
    item = x.dtype.itemsize
    shifted = np.arange(n) + 3
    tables = {
        "a shift": shifted,
        "edges": np.where(np.arange(n) % 24 == 0, shifted + 1, shifted),
        "zeros": np.where(np.arange(n) % 50 < 20, -1, shifted),
        "any": rng.integers(-1, 2000, n),
    }
    for first, second in zip(tables.values(), [*tables.values()][1:], strict=False):

        def fill(machine, work, out, first=first, second=second):
            slots = [((0, 0), (item,)), ((1, 0), (item,)), ((0, 0), (item,)), ((out, 0), (item,))]
            work_on_it = program(lambda x, y, z: x * y + z, 3, dtype)
            picked = [(0, np.ascontiguousarray(first)), (2, np.ascontiguousarray(second))]
            machine.region(work_on_it, (n,), slots, picked=picked)

        a, c = (np.where(table < 0, 0, x[table]).astype(dtype) for table in (first, second))
        np.testing.assert_array_equal(run(fill, [x, y], (n,), dtype), a * y + c)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_copies_of_rows_of_every_length(dtype, rng):
    item = np.dtype(dtype).itemsize
    x = random(rng, (5, 150), dtype)
    for n in range(1, 150):

        def copy(machine, work, out, n=n):
            machine.copy(item, (5, n), (0, item), (150 * item, item), (out, 0), (n * item, item))

        np.testing.assert_array_equal(
            run(copy, [np.append(x, np.zeros((1, 150), dtype), 0)], (5, n), dtype),
            np.append(x.reshape(-1), np.zeros(150, dtype))[1 : 5 * 150 + 1].reshape(5, 150)[:, :n],
        )


@pytest.mark.parametrize("kind", "bhilqBHILQ")
def test_places_of_indices(kind, rng):
    i, j = rng.integers(0, 4, 3).astype(kind), rng.integers(0, 5, (6,)).astype(kind)
    if np.dtype(kind).kind == "i":
        i -= i.dtype.type(4)
    table = np.array([2, 0, 0, 1, 2, 1])
    first, num = np.arange(6) * 20, i.dtype.num

    def fill(machine, work, out):
        indices = [((0, 0), num, 3, table, 4, 0, 5, 0), ((1, 0), num, 6, None, 5, 1, 1, 0)]
        machine.places(6, first, indices, (out, 0))

    want = first + 5 * (i[table].astype(np.intp) % 4) + j
    np.testing.assert_array_equal(run(fill, [i, j], (6,), np.intp), want)


@pytest.mark.parametrize("mode", ["raise", "wrap", "clip"])
def test_indices_out_of_bounds(mode):
    i = np.array([7, -9, 4, -5, 0, np.iinfo(np.intp).max, np.iinfo(np.intp).min])
    number = ("raise", "wrap", "clip").index(mode)

    def fill(machine, work, out):
        machine.places(7, None, [((0, 0), i.dtype.num, 7, None, 5, 2, 1, number)], (out, 0))

    if mode == "raise":
        with pytest.raises(IndexError, match="index 7 is out of bounds for axis 2 with size 5"):
            run(fill, [i], (7,), np.intp)
        return
    want = i % 5 if mode == "wrap" else np.clip(i, 0, 4)  # NumPy's own wrap goes step by step
    np.testing.assert_array_equal(run(fill, [i], (7,), np.intp), want)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gathered_and_scattered(dtype, rng):
    x, places = random(rng, (2, 4, 3), dtype), np.array([3, 0, 3])
    item, num = x.itemsize, x.dtype.num

    def gather(machine, work, out):
        steps = (12 * item, -3 * item, item)  # along the axis backward
        machine.gather(item, (2, 4, 3, 3), (0, 9 * item), steps, (1, 0), (out, 0))

    found = run(gather, [x, places], (2, 3, 3), dtype)
    np.testing.assert_array_equal(found, x[:, ::-1][:, places])

    def scatter(machine, work, out):
        machine.zero(x.nbytes, (out, 0))
        machine.scatter(num, (2, 4, 3, 3), (0, 0), (1, 0), (out, 0))

    want = np.zeros_like(x)
    for k, place in enumerate(places):
        want[:, place] += found[:, k]
    np.testing.assert_array_equal(run(scatter, [found, places], (2, 4, 3), dtype), want)

    for wrong in (4, -1, np.iinfo(np.intp).max):
        with pytest.raises(IndexError, match=f"index {wrong} is out of bounds"):
            run(gather, [x, np.array([3, wrong, 3])], (2, 3, 3), dtype)
        with pytest.raises(IndexError, match=f"index {wrong} is out of bounds"):
            run(scatter, [found, np.array([3, wrong, 3])], (2, 4, 3), dtype)


def test_zeros_and_the_workspace(rng):
    x = rng.standard_normal(8)

    def fill(machine, work, out):
        machine.zero(128, (work, 0))
        machine.copy(8, (4,), (0, 0), (16,), (work, 32), (8,))
        machine.copy(8, (16,), (work, 0), (8,), (out, 0), (8,))

    want = np.zeros(16)
    want[4:8] = x[::2]
    np.testing.assert_array_equal(run(fill, [x], (16,), float, work=128), want)


def test_loops_move_buffers_and_swap_them():
    machine = Machine(6, 1, 16, {})
    x = np.arange(5.0)
    machine.copy(8, (1,), (0, 0), (8,), (1, 0), (8,))
    machine.loop(4, [(3, (1, 0), 0), (4, (1, 8), 0), (5, (0, 32), -8)], [(3, 4)])
    sums = program(lambda a, b: a - b, 2, float)
    machine.region(sums, (), [((5, 0), ()), ((3, 0), ()), ((4, 0), ())])
    machine.end()
    machine.copy(8, (1,), (3, 0), (8,), (2, 0), (8,))
    plan = Plan(machine, [(x.shape, x.dtype)], [(2, (1,), x.dtype)], [])
    total = 0.0
    for number in (4, 3, 2, 1):
        total = number - total
    assert plan(x)[0] == [total]
    assert machine.n_steps == 4


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer of the system")
@pytest.mark.thread_unsafe(reason="signals come to the main thread")
def test_a_loop_without_end_is_interrupted():
    machine = Machine(2, 0, 8, {})
    machine.loop(-1, [])
    machine.zero(8, (0, 0))
    machine.end()
    machine.zero(8, (1, 0))
    plan = Plan(machine, [], [(1, (), np.dtype(float))], [])
    kept = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with pytest.raises(KeyboardInterrupt):
            plan()
    finally:
        signal.signal(signal.SIGALRM, kept)
