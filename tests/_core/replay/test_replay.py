"""Plans: arrays of their shapes and dtypes go in, new arrays come out."""

import numpy as np
import pytest

from fastbp._core.machine import Machine
from fastbp._core.program import Trace, compile_program
from fastbp._core.replay import Plan, StrongZeroError


def product_plan():
    """Multiply two vectors of three numbers, a zero of the first being strong."""
    trace = Trace()
    program = compile_program(
        trace, [trace.call("mulz", trace.input(), trace.input())], np.dtype(float).num
    )
    machine = Machine(4, 2, 0, {})
    machine.region(program, (3,), [((0, 0), (8,)), ((1, 0), (8,)), ((3, 0), (8,))])
    kind = (3,), np.dtype(float)
    return Plan(machine, [kind, kind], [(3, *kind)], ["a region"])


def test_results_are_new_arrays():
    plan, x, y = product_plan(), np.arange(3.0), np.full(3, 2.0)
    (first,) = plan(x, y)
    (second,) = plan(y, y)
    np.testing.assert_array_equal(first, 2 * x)
    np.testing.assert_array_equal(second, 4 * np.ones(3))
    np.testing.assert_array_equal(plan(np.arange(6.0)[::2], y)[0], [0.0, 4.0, 8.0])
    assert plan.empty()[0].shape == (3,)
    assert plan.facts == ["a region"]


def test_a_strong_zero_beside_what_is_not_finite():
    plan = product_plan()
    with pytest.raises(StrongZeroError, match="a zero cotangent met"):
        plan(np.array([0.0, 1.0, 2.0]), np.array([np.inf, 1.0, 1.0]))
    np.testing.assert_array_equal(plan(np.ones(3), np.ones(3))[0], np.ones(3))


def test_other_inputs_are_refused():
    plan = product_plan()
    with pytest.raises(TypeError, match="2 arrays are needed, not 1"):
        plan(np.ones(3))
    with pytest.raises(ValueError, match="reshape"):
        plan(np.ones(4), np.ones(3))
    with pytest.raises(ValueError, match="no such output"):
        Plan(Machine(1, 0, 0, {}), [], [(1, (), np.dtype(float))], [])
