"""Which zeros of a (co)tangent are exact.

A sweep of signed zeros (`sweep_base.Sweep`) writes -0 for an exact zero: for a branch that was not
taken, for what a seed leaves out, for a product with a constant that is zero. Elementwise programs
keep the sign. The rules of other operations know nothing of it; what they return is compared with
what they return for a probe, which is positive just where the (co)tangent is not an exact zero.
"""

from fastbp._core.elementwise cimport sum_to_shape
from fastbp._core.graph cimport Node, Op, Output, is_joint, parent_of
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
    return np.asarray(where * spread.reshape(where.shape))      # a scalar where it has no axes


cdef list probed_vjp(Node node, tuple needs, object g, int lead):
    cdef Op op = node.op
    cdef Py_ssize_t k
    if is_joint(node):
        return _probed_joint(node, needs, g, lead)
    moving = ~exact_zeros(g)
    if op.vjp is None or op.coefficients == "values" or (lead and not op.blocks):
        reached = _reached(node, moving, lead)
        return [np.broadcast_to(reached(k), moving.shape[:lead] + parent_of(node, k).shape)
                if needs[k] else None for k in range(len(needs))]
    return list(apply_vjp(node, needs, _numbers(moving), False, _operands(node)))


cdef list _probed_joint(Node node, tuple needs, tuple g, int lead):
    """`probed_vjp` of several outputs."""
    cdef Op op = node.op
    cdef Py_ssize_t k
    cdef list moving = [None if x is None else ~exact_zeros(x) for x in g]
    if op.vjp is None or op.coefficients == "values" or (lead and not op.blocks):
        reached = _any(moving, lead)
        return [_everywhere(reached, parent_of(node, k).shape) if needs[k] else None
                for k in range(len(needs))]
    probes = tuple([None if x is None else _numbers(x) for x in moving])
    return list(apply_vjp(node, needs, probes, False, _operands(node)))


def _any(moving, int lead):
    """Return for each vector of a block whether anything moves."""
    found = np.zeros((1,) * lead, bool)
    for x in moving:
        if x is not None:
            found = found | np.any(x, axis=tuple(range(lead, x.ndim)))
    return found


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
        moving = _any([None if t is None else t != 0.0 for t in probes], lead)
        if is_joint(node):
            return [_everywhere(moving, (<Output> output).shape or ()) for output in node.ans]
        return _everywhere(moving, node.shape)
    return apply_jvp(node, probes, False, _operands(node))


def _everywhere(moving, tuple shape):
    return np.broadcast_to(
        moving.reshape(moving.shape + (1,) * len(shape)), moving.shape + shape)


cdef object _operands(Node node):
    """Operands for a probe of the rules; None: their own."""
    if node.op.coefficients != "operands":
        return None
    # Coefficients are the other operands, and zeros among them may be those of arithmetic.
    return [x if k in node.op.objects else _numbers(np.ones(x.shape, bool))
            for k, x in enumerate(operands_of(node, False))]


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
