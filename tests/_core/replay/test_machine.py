"""Instructions of a machine, one kind at a time, against NumPy."""

import signal

import numpy as np
import pytest

from fastbp._core.machine import Machine
from fastbp._core.program import Trace, compile_program
from fastbp._core.replay import Plan

DTYPES = [np.float64, np.float32, np.complex128, np.complex64]


def program(function, n, dtype):
    trace = Trace()
    operands = [trace.input() for _ in range(n)]
    return compile_program(trace, [trace.lift(function(*operands))], np.dtype(dtype).num)


def run(fill, inputs, shape, dtype, work=0):
    """Fill a machine of these inputs, a workspace and one output, and return that."""
    n = len(inputs)
    machine = Machine(n + 2, n, work, {})
    fill(machine, n, n + 1)
    facts = [(x.shape, x.dtype) for x in inputs]
    return Plan(machine, facts, [(n + 1, shape, np.dtype(dtype))], [])(*inputs)[0]


def random(rng, shape, dtype):
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


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


def test_places_that_reach_outside_are_refused():
    machine = Machine(4, 3, 64, {}, {0: (32, False), 1: (24, False), 2: (64, True)})
    num, table = np.dtype(np.intp).num, np.array([0, 1, 3])
    for indices in (
        [((1, 0), num, 4, None, 5, 0, 1, 0)],  # there are three
        [((1, 0), num, 3, table, 5, 0, 1, 0)],
        [((1, 0), num, 3, table - 1, 5, 0, 1, 0)],
        [((1, 0), np.dtype(float).num, 3, None, 5, 0, 1, 0)],
        [((1, 0), num, 3, None, 0, 0, 1, 1)],  # nothing to wrap around
        [((1, 0), num, 3, None, -1, 0, 1, 0)],
        [((1, 0), num, 3, None, 5, 0, 1, 4)],
    ):
        with pytest.raises(ValueError, match="Machine"):
            machine.places(3, None, indices, (2, 0))
    for sizes, steps in (
        ((1, 4, 1, 4), (8, 8, 8)),
        ((1, 4, 1, 3), (8, 16, 8)),
        ((1, -4, 1, 3), (8,) * 3),
    ):
        with pytest.raises(ValueError, match="Machine"):
            machine.gather(8, sizes, (0, 0), steps, (1, 0), (2, 0))
    for sizes in ((1, 9, 1, 3), (1, 8, 2, 3), (2, 8, 1, 3), (1, 4, 1, 4)):
        with pytest.raises(ValueError, match="Machine"):
            machine.scatter(np.dtype(float).num, sizes, (0, 0), (1, 0), (2, 0))
    with pytest.raises(ValueError, match="only read"):
        machine.scatter(np.dtype(float).num, (1, 3, 1, 3), (1, 0), (1, 0), (0, 0))


def test_zeros_and_the_workspace(rng):
    x = rng.standard_normal(8)

    def fill(machine, work, out):
        machine.zero(128, (work, 0))
        machine.copy(8, (4,), (0, 0), (16,), (work, 32), (8,))
        machine.copy(8, (16,), (work, 0), (8,), (out, 0), (8,))

    want = np.zeros(16)
    want[4:8] = x[::2]
    np.testing.assert_array_equal(run(fill, [x], (16,), float, work=128), want)


def test_calls_of_functions():
    x = np.arange(6.0).reshape(2, 3)
    seen = []

    def function(a, b, n):
        seen.append((a.flags.writeable, b.tolist()))
        return a.T, {"n": n}

    def fill(machine, work, out):
        operands = [
            ("array", (0, 0), (2, 3), (24, 8), x.dtype),
            ("constant", np.ones(2)),
            ("constant", 3),
        ]
        machine.call(function, operands, [(0, 3, (3, 2), x.dtype), (1, -1, None, None)])
        machine.call(
            lambda y, facts: (y * facts["n"],),
            [("array", (3, 0), (3, 2), (16, 8), x.dtype), ("given", 1)],
            [(2, 4, (3, 2), x.dtype)],
        )
        machine.copy(8, (6,), (4, 0), (8,), (out, 0), (8,))

    machine = Machine(5, 1, 0, {})
    fill(machine, 1, 2)
    (found,) = Plan(machine, [(x.shape, x.dtype)], [(2, (3, 2), x.dtype)], [])(x)
    np.testing.assert_array_equal(found, 3 * x.T)
    assert seen == [(False, [1.0, 1.0])]


def test_a_function_that_returns_another_shape_is_reported():
    sizes = iter((2, 3))
    machine = Machine(3, 0, 0, {})
    machine.call(lambda: (np.ones(next(sizes)),), [], [(0, 1, (2,), np.dtype(float))])
    machine.copy(8, (2,), (1, 0), (8,), (2, 0), (8,))
    plan = Plan(machine, [], [(2, (2,), np.dtype(float))], [])
    np.testing.assert_array_equal(plan()[0], np.ones(2))
    with pytest.raises(RuntimeError, match=r"returned an array of shape \(3,\)"):
        plan()


def test_constants():
    machine = Machine(3, 0, 0, {1: np.arange(3.0)})
    machine.copy(8, (3,), (1, 0), (8,), (2, 0), (8,))
    plan = Plan(machine, [], [(2, (3,), np.dtype(float))], [])
    np.testing.assert_array_equal(plan()[0], [0.0, 1.0, 2.0])


def test_places_are_checked():
    machine = Machine(2, 1, 0, {})
    with pytest.raises(ValueError, match="there is no place"):
        machine.zero(8, (2, 0))
    with pytest.raises(ValueError, match="there is no place"):
        machine.zero(8, (0, -8))
    with pytest.raises(ValueError, match="the workspace must be one"):
        Machine(2, 2, 0, {})
    with pytest.raises(ValueError, match="sizes must be positive"):
        machine.product(
            12, (0, 1, 1), (), ((0, 0), 1, 1, ()), ((0, 0), 1, 1, ()), ((0, 0), 1, 1, ()), False
        )
    with pytest.raises(ValueError, match="BLAS cannot read"):
        machine.product(
            12, (2, 2, 2), (), ((0, 0), 4, 2, ()), ((0, 0), 2, 1, ()), ((0, 0), 2, 1, ()), False
        )


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


@pytest.mark.parametrize("count", [0, 3])
def test_loops_of_calls_that_are_left(count):
    machine = Machine(4, 1, 0, {})
    machine.zero(8, (2, 0))
    machine.loop(count, [])
    machine.branch(1, (0, 0))
    machine.call(
        lambda x: (x + 1,),
        [("array", (2, 0), (), (), np.dtype(float))],
        [(0, 3, (), np.dtype(float))],
    )
    machine.copy(8, (1,), (3, 0), (8,), (2, 0), (8,))
    machine.otherwise()
    machine.leave(1, (0, 0))
    machine.end()
    machine.end()
    plan = Plan(machine, [((), np.dtype(bool))], [(2, (), np.dtype(float))], [])
    assert plan(np.True_) == [count]
    assert plan(np.False_) == [0]


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


def test_blocks_are_checked():
    machine = Machine(3, 0, 8, {})
    with pytest.raises(ValueError, match="nothing has begun"):
        machine.end()
    with pytest.raises(ValueError, match="stands in no loop"):
        machine.leave(8, (0, 0))
    with pytest.raises(ValueError, match="stands in no branch"):
        machine.otherwise()
    with pytest.raises(ValueError, match="the count must be"):
        machine.loop(-2, [])
    with pytest.raises(ValueError, match="a buffer moves once"):
        machine.loop(1, [(1, (0, 0), 8), (1, (0, 0), 8)])
    with pytest.raises(ValueError, match="those that swap move"):
        machine.loop(1, [(1, (0, 0), 8)], [(1, 2)])
    with pytest.raises(ValueError, match="there is no place"):
        machine.loop(1, [(3, (0, 0), 8)])
    machine.branch(8, (0, 0))
    machine.otherwise()
    with pytest.raises(ValueError, match="or there is one"):
        machine.otherwise()
    with pytest.raises(ValueError, match="has no end"):
        Plan(machine, [], [(1, (), np.dtype(float))], [])()


# ---- what instructions may reach


def refused(machine, what, *args):
    with pytest.raises(ValueError, match=what):
        getattr(machine, args[0])(*args[1:])


def sized(n_buffers=4):
    """Buffer 0 is an input of 64 bytes, 1 the workspace of 128, 2 an output of 64, 3 nothing."""
    return Machine(n_buffers, 1, 128, {}, {0: (64, False), 2: (64, True)})


INTO = ("is outside of what is there", "which is only read")


def test_operands_that_reach_outside_are_refused():
    sine = program(np.sin, 1, float)
    region = lambda x, xs, y, ys, shape: ("region", sine, shape, [(x, xs), (y, ys)])
    sized().region(sine, (8,), [((0, 0), (8,)), ((1, 64), (8,))])
    refused(sized(), INTO[0], *region((0, 8), (8,), (1, 0), (8,), (8,)))
    refused(sized(), INTO[0], *region((0, 0), (16,), (1, 0), (8,), (8,)))
    refused(sized(), INTO[0], *region((0, 0), (8,), (1, 72), (8,), (8,)))
    refused(sized(), INTO[0], *region((0, 0), (-8,), (1, 0), (8,), (2,)))
    refused(sized(), INTO[0], *region((3, 0), (0,), (1, 0), (8,), (2,)))
    refused(sized(), INTO[1], *region((1, 0), (8,), (0, 0), (8,), (8,)))
    refused(sized(), "size must be positive", *region((0, 0), (8,), (1, 0), (8,), (-8, -1)))
    refused(sized(), "no memory has so many", *region((0, 0), (0, 0), (1, 0), (0, 0), (2**40,) * 2))
    two = ((0, 0), 2, 1, ()), ((1, 0), 2, 1, ()), ((2, 0), 2, 1, ())
    sized().product(12, (4, 2, 2), (), *two, False)
    refused(sized(), INTO[0], "product", 12, (5, 2, 2), (), *two, False)
    refused(sized(), INTO[0], "product", 12, (4, 2, 2), (3,), *[(*x[:3], (1,)) for x in two], False)
    refused(sized(), INTO[1], "product", 12, (4, 2, 2), (), two[2], two[1], two[0], False)
    refused(sized(), "sizes must be positive", "product", 12, (-4, -2, 2), (), *two, False)
    sized().sum(12, (1, 8, 1), (0, 0), (2, 56))
    refused(sized(), INTO[0], "sum", 12, (1, 9, 1), (0, 0), (2, 0))
    refused(sized(), INTO[0], "sum", 12, (2, 4, 1), (0, 0), (2, 56))
    sized().copy(8, (2, 4), (0, 0), (32, 8), (1, 0), (8, 16))
    refused(sized(), INTO[0], "copy", 8, (2, 5), (0, 0), (32, 8), (1, 0), (8, 16))
    refused(sized(), INTO[0], "copy", 8, (2, 4), (0, 0), (32, 8), (1, 80), (8, 16))
    table = np.array([7, -1, 0])
    sized().pick(8, table, (0, 0), (1, 0))
    refused(sized(), INTO[0], "pick", 8, table + 1, (0, 0), (1, 0))
    refused(sized(), INTO[0], "pick", 8, table, (0, 0), (1, 112))
    slots = [((0, 0), (8,)), ((1, 0), (8,))]
    picking = lambda table, slot=0, shape=(3,), slots=slots, **rest: (
        "region", sine, shape, slots, rest.get("sums"), rest.get("ordered", False),
        [(slot, table)] * rest.get("times", 1),
    )  # fmt: skip
    sized().region(*picking(table)[1:])
    refused(sized(), INTO[0], *picking(table + 1))
    refused(sized(), "no such input to pick", *picking(table, 1))
    refused(sized(), "no such input to pick", *picking(table, -1))
    for other in (table[:2], table[::-1], table.astype(np.int32), table.astype(float)):
        refused(sized(), "no table of its size", *picking(other))
    refused(sized(), "too many inputs to pick", *picking(table, times=7))
    refused(sized(), "has sums, or other axes", *picking(table, ordered=True))
    refused(sized(), "has sums, or other axes", *picking(table, sums=(0, 1, [(0, (1, 0))])))
    uneven = [((0, 0), (16, 8)), ((1, 0), (8, 16))]
    refused(sized(), "has sums, or other", *picking(np.arange(4), 0, (2, 2), uneven))
    refused(sized(), "evenly", *picking(table, slots=[((0, 0), (0,)), ((1, 0), (8,))]))
    refused(sized(), INTO[0], "zero", 129, (1, 0))
    refused(sized(), "size must be positive", "zero", -1, (1, 0))


def test_operands_that_are_not_aligned_are_refused():
    sine, single = program(np.sin, 1, float), program(np.sin, 1, np.float32)
    what, double = "is not aligned", np.dtype(float)
    region = lambda p, x, y, step: ("region", p, (3,), [((0, x), (step,)), ((1, y), (8,))])
    refused(sized(), what, *region(sine, 4, 0, 8))
    refused(sized(), what, *region(sine, 0, 3, 8))
    refused(sized(), INTO[0], *region(sine, 0, 0, 12))
    sized().region(*region(single, 4, 4, 12)[1:])
    refused(sized(), what, *region(single, 2, 4, 8))
    two = ((0, 0), 2, 1, ()), ((1, 4), 2, 1, ()), ((2, 0), 2, 1, ())
    refused(sized(), what, "product", 12, (2, 2, 2), (), *two, False)
    refused(sized(), what, "sum", 12, (1, 2, 1), (0, 1), (2, 0))
    refused(sized(), what, "copy", 8, (2,), (0, 1), (8,), (1, 0), (8,))
    refused(sized(), what, "copy", 8, (2,), (0, 0), (8,), (1, 4), (8,))
    refused(sized(), INTO[0], "copy", 8, (2,), (0, 0), (9,), (1, 0), (8,))
    sized().copy(1, (2,), (0, 1), (3,), (1, 5), (1,))
    refused(sized(), what, "pick", 8, np.array([0, 1]), (0, 4), (1, 0))
    refused(sized(), what, "call", None, [("array", (0, 4), (2,), (8,), double)], [])
    for start, step in ((4, 8), (0, 12)):
        machine = sized()
        machine.loop(3, [(3, (0, start), step)])
        refused(machine, what, "copy", 8, (2,), (3, 0), (8,), (1, 0), (8,))
        machine.copy(4, (2,), (3, 0), (4,), (1, 0), (4,))
    machine = sized(5)
    machine.loop(2, [(3, (1, 4), 0), (4, (2, 40), 0)], [(3, 4)])
    refused(machine, what, "copy", 8, (1,), (4, 0), (8,), (1, 0), (8,))


def test_what_functions_return_is_there_behind_them():
    view = ("array", (0, 0), (8,), (8,), np.dtype(float))
    call = lambda *results: ("call", lambda x: (x,), [view], list(results))
    given = (0, 3, (2,), np.dtype(float))
    machine = sized()
    refused(machine, INTO[0], "copy", 8, (2,), (3, 0), (8,), (1, 0), (8,))
    machine.call(*call(given)[1:])
    machine.copy(8, (2,), (3, 0), (8,), (1, 0), (8,))
    refused(machine, INTO[0], "copy", 8, (3,), (3, 0), (8,), (1, 0), (8,))
    refused(machine, "buffer 3 is another one already", *call(given))
    refused(sized(), "buffer 1 is another one already", *call((0, 1, (2,), np.dtype(float))))
    refused(sized(), INTO[0], "call", None, [("array", (0, 0), (9,), (8,), np.dtype(float))], [])
    refused(sized(), "a stride for each", "call", None, [("array", (0, 0), (), (8,), given[3])], [])
    # Where it is called in one of two branches only, it is not there.
    machine = sized()
    machine.branch(8, (0, 0))
    machine.call(*call(given)[1:])
    machine.copy(8, (2,), (3, 0), (8,), (1, 0), (8,))
    machine.otherwise()
    refused(machine, INTO[0], "copy", 8, (2,), (3, 0), (8,), (1, 0), (8,))
    machine.end()
    refused(machine, INTO[0], "copy", 8, (2,), (3, 0), (8,), (1, 0), (8,))
    refused(machine, INTO[0], "branch", 8, (0, 60))


def test_what_moves_stays_in_its_buffer():
    row = lambda at: ("copy", 8, (2,), (3, at), (8,), (1, 0), (8,))
    machine = sized()
    machine.loop(4, [(3, (0, 0), 16)])
    getattr(machine, row(0)[0])(*row(0)[1:])
    refused(machine, INTO[0], *row(8))  # the last iteration would read behind it
    refused(machine, INTO[1], "copy", 8, (2,), (1, 0), (8,), (3, 0), (8,))
    machine.end()
    refused(machine, INTO[0], *row(0))
    machine = sized()
    machine.loop(4, [(3, (0, 48), -16)])
    getattr(machine, row(0)[0])(*row(0)[1:])
    refused(machine, INTO[0], *row(8))
    machine.end()
    machine = sized()
    machine.loop(5, [(3, (0, 48), -16)])
    refused(machine, INTO[0], *row(0))
    refused(sized(), "what moves without end", "loop", -1, [(3, (0, 0), 8)])
    refused(sized(), "buffer 2 is another one", "loop", 2, [(2, (0, 0), 8)])
    machine = sized(5)
    machine.loop(2, [(3, (1, 0), 0), (4, (2, 48), 0)], [(3, 4)])
    getattr(machine, row(0)[0])(*row(0)[1:])
    refused(machine, INTO[0], *row(8))  # it is the other one in every second iteration
    moving = [(3, (1, 0), 8), (4, (2, 0), 0)]
    refused(sized(5), "what swaps, once, does not move", "loop", 2, moving, [(3, 4)])


def test_outputs_are_whole_buffers_of_their_own():
    double = np.dtype(float)
    Plan(sized(), [], [(2, (8,), double)], [])
    for outputs in (
        [(2, (7,), double)],
        [(0, (8,), double)],
        [(3, (8,), double)],
        [(2, (8,), double)] * 2,
        [(2, (8,), np.dtype(object))],
    ):
        with pytest.raises(ValueError, match="an output is not all of a buffer of its own"):
            Plan(sized(), [], outputs, [])
