"""The record as data: links."""

import numpy as np
import pytest

import fastbp as bp
from fastbp._core import sweep
from fastbp._core.links import Link, links


def names(found):
    return [None if link.op is None else link.op.name for link in found]


def test_links_are_in_topological_order_with_positions_of_parents():
    x = bp.variable(np.arange(3.0))
    w = bp.variable(np.ones((3, 2)))
    y = np.tanh(x @ w) * 2.0
    found, outputs, inputs = links([y], [x])
    assert names(found) == [None, "matmul", "tanh", "multiply"]
    assert [link.parents for link in found] == [(), (0, -1), (1,), (2, -1)]
    assert (outputs, inputs) == ([3], [0])
    assert [link.shape for link in found] == [(3,), (2,), (2,), (2,)]


def test_operands_are_values_where_rules_read_them_and_specs_elsewhere():
    x = bp.variable(np.arange(3.0))
    y = np.roll(np.exp(x), 1)
    found, _, _ = links([y], [x])
    exp = found[names(found).index("exp")]
    assert isinstance(exp.ans, np.ndarray)  # its own derivative
    assert exp.operands[0].shape == (3,)
    assert not isinstance(exp.operands[0], np.ndarray)
    roll = found[names(found).index("roll")]
    assert roll.static == {"shift": (1,), "axis": (-1,)}


def test_ends_that_are_not_connected():
    x, z = bp.variable(1.0), bp.variable(2.0)
    found, outputs, inputs = links([x * 2.0, z], [x])
    assert names(found) == [None, "multiply"]
    assert (outputs, inputs) == ([1, -1], [0])
    assert links([x], [x])[1:] == ([0], [0])
    assert links([z * 1.0], [x])[0] == []


def test_an_input_behind_another_one_is_an_end():
    x = bp.variable(np.ones(2))
    y = np.exp(x)
    found, _, inputs = links([y * x], [x, y])
    assert names(found) == [None, None, "multiply"]
    assert sorted(inputs) == [0, 1]


def test_a_link_names_its_node_as_an_end_of_a_sweep():
    x = bp.variable(np.array([0.5, 1.0]))
    found, _, _ = links([np.sin(np.exp(x) * 3.0)], [x])
    exp, times = found[1:3]
    assert names([exp, times]) == ["exp", "multiply"]
    (g,) = sweep.reverse([times.variable], [np.ones(2)], [exp.variable], False, 0, False, True)
    np.testing.assert_array_equal(g, [3.0, 3.0])


def test_links_cannot_be_made_by_hand():
    with pytest.raises(TypeError, match="made by"):
        Link()
