"""The record as data: links."""

import numpy as np
import pytest

import fastbp as bp
from fastbp._core import sweep
from fastbp._core.links import Link, are_alike
from fastbp._core.tape import Tape


def names(found):
    return [None if link.op is None else link.op.name for link in found]


def test_links_are_in_topological_order_with_positions_of_parents():
    x = bp.variable(np.arange(3.0))
    w = bp.variable(np.ones((3, 2)))
    y = np.tanh(x @ w) * 2.0
    tape = Tape([y], [x])
    found, outputs, inputs = tape.links(), tape.output_positions, tape.input_positions
    assert names(found) == [None, "matmul", "tanh", "multiply"]
    assert [link.parents for link in found] == [(), (0, -1), (1,), (2, -1)]
    assert (outputs, inputs) == ([3], [0])
    assert [link.shape for link in found] == [(3,), (2,), (2,), (2,)]


def test_operands_are_values_where_rules_read_them_and_specs_elsewhere():
    x = bp.variable(np.arange(3.0))
    y = np.roll(np.exp(x), 1)
    found = Tape([y], [x]).links()
    exp = found[names(found).index("exp")]
    assert isinstance(exp.ans, np.ndarray)  # its own derivative
    assert exp.operands[0].shape == (3,)
    assert not isinstance(exp.operands[0], np.ndarray)
    roll = found[names(found).index("roll")]
    assert roll.static == {"shift": (1,), "axis": (-1,)}


def test_ends_that_are_not_connected():
    x, z = bp.variable(1.0), bp.variable(2.0)
    tape = Tape([x * 2.0, z], [x])
    assert names(tape.links()) == [None, "multiply"]
    assert (tape.output_positions, tape.input_positions) == ([1, -1], [0])
    assert Tape([z * 1.0], [x]).links() == []


def test_an_input_behind_another_one_is_an_end():
    x = bp.variable(np.ones(2))
    y = np.exp(x)
    tape = Tape([y * x], [x, y], True)
    assert names(tape.links()) == [None, None, "multiply"]
    assert sorted(tape.input_positions) == [0, 1]
    assert names(Tape([y * x], [x, y]).links()) == [None, "exp", "multiply"]


def test_a_link_names_its_node_as_an_end_of_a_sweep():
    x = bp.variable(np.array([0.5, 1.0]))
    found = Tape([np.sin(np.exp(x) * 3.0)], [x]).links()
    exp, times = found[1:3]
    assert names([exp, times]) == ["exp", "multiply"]
    (g,) = sweep.reverse(Tape([times.variable], [exp.variable], True), [np.ones(2)])
    np.testing.assert_array_equal(g, [3.0, 3.0])


def test_links_cannot_be_made_by_hand():
    with pytest.raises(TypeError, match="made by"):
        Link()


def test_values_that_are_computed_alike(rng):
    found = []

    def f(x, y):
        a = x * 2.0
        pairs = [
            (a > 0, a > 0),
            ((a > 0) & (np.abs(a) < 1), (a > 0) & (np.abs(a) < 1)),
            (a > 0, a > 1),
            (a > 0, a > 0.0),
            (a > 0, a >= 0),
            (a > 0, a * 1.0 > 0),
            (x > 0, y > 0),
            (a > np.arange(3.0), a > np.arange(3.0)),
            (a > np.arange(3.0), a > np.ones(3)),
        ]
        found.append([are_alike(p, q) for p, q in pairs])
        return a

    x = rng.normal(size=(2, 3))
    bp.vmap(f)(x, x)
    assert found[-1] == [True, True, False, False, False, False, False, True, False]
