"""Sweeps as functions of a tape."""

import numpy as np
import pytest

import fastbp as bp
from fastbp._core import sweep
from fastbp._core.tape import Tape


@pytest.fixture
def ends():
    x, w = bp.variable(np.array([1.0, 2.0])), bp.variable(np.array([3.0, 5.0]))
    return x, w, np.sin(x) * w


def test_reverse_gives_a_cotangent_for_each_input(ends):
    x, w, y = ends
    found = sweep.reverse(Tape([y], [x, w]), [np.ones(2)])
    np.testing.assert_allclose(found[0], np.cos(x.value) * w.value, rtol=1e-15)
    np.testing.assert_allclose(found[1], np.sin(x.value), rtol=1e-15)
    assert all(type(g) is np.ndarray for g in found)


def test_forward_gives_a_tangent_for_each_output(ends):
    x, w, y = ends
    (t,) = sweep.forward(Tape([y], [x, w]), [np.ones(2), None])
    np.testing.assert_allclose(t, np.cos(x.value) * w.value, rtol=1e-15)


def test_what_no_path_reaches_has_none(ends):
    _, w, y = ends
    other = bp.variable(np.ones(3))
    assert sweep.reverse(Tape([y], [other, w]), [np.ones(2)])[0] is None
    assert sweep.forward(Tape([y], [other]), [np.ones(3)]) == [None]


def test_a_recorded_sweep_returns_variables(ends):
    x, w, y = ends
    (g,) = sweep.reverse(Tape([y], [x]), [np.ones(2)], True)
    assert type(g) is bp.Variable
    (second,) = sweep.reverse(Tape([g], [x]), [np.ones(2)])
    np.testing.assert_allclose(second, -np.sin(x.value) * w.value, rtol=1e-15)


@pytest.mark.parametrize("lead", [0, 1])
def test_block_axes_are_in_front(ends, lead):
    x, w, y = ends
    block = np.eye(2) if lead else np.ones(2)
    (g,) = sweep.reverse(Tape([y], [x]), [block], False, lead)
    np.testing.assert_allclose(g, block * np.cos(x.value) * w.value, rtol=1e-15)
    (t,) = sweep.forward(Tape([y], [x]), [block], False, lead)
    np.testing.assert_allclose(t, block * np.cos(x.value) * w.value, rtol=1e-15)


def test_a_tape_serves_several_sweeps(ends):
    x, _, y = ends
    tape = Tape([y], [x])
    first = sweep.reverse(tape, [np.ones(2)])[0].copy()
    sweep.forward(tape, [np.ones(2)])
    np.testing.assert_array_equal(sweep.reverse(tape, [np.ones(2)])[0], first)
