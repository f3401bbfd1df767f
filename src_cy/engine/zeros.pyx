"""Which zeros of a (co)tangent are exact.

A sweep of signed zeros (`sweep_base.Sweep`) writes -0 for an exact zero: for a branch that was not
taken, for what a seed leaves out, for a product with a constant that is zero. Elementwise programs
keep the sign. The rules of other operations know nothing of it; what they return is compared with
what they return for a probe, which is positive just where the (co)tangent is not an exact zero.
"""

from fastbp._core.elementwise cimport sum_to_shape
from fastbp._core.graph cimport Node, Op, parent_of
from fastbp._core.sweep_base cimport apply_jvp, apply_vjp, exact_zeros, operands_of

import functools

import numpy as np


@functools.cache
def _spread():
    """Return numbers between 1 and 2, no two of them alike: multiples of the golden ratio."""
    return 1.0 + (0.6180339887498949 * np.arange(1, 131073)) % 1.0


def _numbers(where):
    """Return positive numbers where a mask holds, which do not cancel in sums and differences."""
    spread = _spread()
    spread = spread[:where.size] if where.size <= spread.size else np.resize(spread, where.size)
    return where * spread.reshape(where.shape)


cdef list probed_vjp(Node node, tuple needs, object g, int lead):
    cdef Op op = node.op
    cdef Py_ssize_t k
    moving = ~exact_zeros(g)
    if op.vjp is None or op.coefficients == "values" or (lead and not op.blocks):
        reached = _reached(node, moving, lead)
        return [np.broadcast_to(reached(k), moving.shape[:lead] + parent_of(node, k).shape)
                if needs[k] else None for k in range(len(needs))]
    return list(apply_vjp(node, needs, _numbers(moving), False, _operands(node)))


cdef object probe_to(object probe, int lead, tuple shape):
    if probe is None:
        return np.zeros(())
    probe = np.asarray(probe)
    probe = np.asarray(np.abs(probe) if probe.dtype.kind == "c" else probe, "f8")
    if probe.shape[lead:] == shape:
        return probe
    return sum_to_shape(np.asarray(np.abs(probe)), lead, shape)


cdef object probed_jvp(Node node, list tangents, int lead):
    cdef Op op = node.op
    cdef list probes = [None if t is None else _numbers(~exact_zeros(t)) for t in tangents]
    if op.jvp is None or op.coefficients == "values" or (lead and not op.blocks):
        moving = np.zeros((1,) * lead, bool)
        for t in probes:
            if t is not None:
                moving = moving | np.any(t != 0.0, axis=tuple(range(lead, t.ndim)))
        return np.broadcast_to(
            moving.reshape(moving.shape + (1,) * len(node.shape)), moving.shape + node.shape)
    return apply_jvp(node, probes, False, _operands(node))


cdef object _operands(Node node):
    """Operands for a probe of the rules; None: their own."""
    if node.op.coefficients != "operands":
        return None
    # Coefficients are the other operands, and zeros among them may be those of arithmetic.
    return [_numbers(np.ones(x.shape, bool)) for x in operands_of(node, False)]


def _reached(Node node, moving, int lead):
    """Return a function: where a cotangent reaches operand k, if all coefficients count."""
    static = node.static or {}
    own = tuple(range(lead, moving.ndim))

    def reached(k):
        shape = parent_of(node, k).shape
        axis = static.get("axis")
        if type(axis) is tuple and "keepdims" in static:    # a reduction: back to its elements
            return moving if static["keepdims"] else np.expand_dims(moving, axis)
        if type(axis) is tuple and shape == node.shape:     # along axes, which count from the end
            return np.any(moving, axis=axis, keepdims=True)
        return np.any(moving, axis=own).reshape(moving.shape[:lead] + (1,) * len(shape))

    return reached
