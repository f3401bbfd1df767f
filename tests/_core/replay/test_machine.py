"""A machine: what it refuses, what it keeps, and the functions of Python that it calls."""

import numpy as np
import pytest

from fastbp._core.machine import Machine
from fastbp._core.replay import Plan

from .machines import program


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
