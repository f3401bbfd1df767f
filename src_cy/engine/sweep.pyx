"""Reverse and forward sweeps between named ends of the graph.

A sweep visits a tape, which holds the nodes between its ends, backward (cotangents, reverse.pyx) or
forward (tangents, forward.pyx). It only reads the tape: so sweeps may nest, and share one.

With ``lead = 1`` every (co)tangent carries a block of vectors along one leading axis (Jacobians,
BLAS-3). With ``create_graph`` the rules run on Variables, so that the result can be differentiated
again.

Derivatives never warn: while a sweep runs, NumPy reports no floating-point flags.
"""

from cpython.contextvars cimport PyContextVar_Reset, PyContextVar_Set

from fastbp._core.dtypes cimport dtype_of
from fastbp._core.forward cimport run_forward
from fastbp._core.graph cimport Node
from fastbp._core.reverse cimport run_reverse
from fastbp._core.sweep_base cimport LINEAR, PLAIN, RECORDED
from fastbp._core.tape cimport Tape

import contextvars

import numpy as np

cdef extern from "Python.h":
    int PyGC_Disable()
    int PyGC_Enable()


def _state_that_reports_nothing():
    """Return the context variable in which NumPy keeps its errstate, and what silences it.

    Setting it costs a tenth of entering ``np.errstate(all="ignore")``.
    """
    before = contextvars.copy_context()
    with np.errstate(all="ignore"):
        inside = contextvars.copy_context()
    found = [(var, value) for var, value in inside.items() if before.get(var) is not value]
    if len(found) == 1:
        return found[0]
    return contextvars.ContextVar("unused"), None   # a NumPy that keeps it elsewhere: rules report


cdef object ERRSTATE, SILENCE
ERRSTATE, SILENCE = _state_that_reports_nothing()

# Up to Python 3.11 a change of a context variable may run the garbage collector half way, and a
# finaliser that changes it too leaves the context broken. So the collector waits.


cdef object _silenced():
    cdef int collects = PyGC_Disable()
    try:
        return PyContextVar_Set(ERRSTATE, SILENCE)
    finally:
        if collects:
            PyGC_Enable()


cdef int _restore(object before) except -1:
    cdef int collects = PyGC_Disable()
    try:
        PyContextVar_Reset(ERRSTATE, before)
    finally:
        if collects:
            PyGC_Enable()
    return 0


def reverse(Tape tape not None, list cotangents, create_graph=False, int lead=0, consume=False,
            inner=False, linear=False):
    """Sweep backward along a tape, from its outputs to its inputs.

    Parameters
    ----------
    tape : Tape
    cotangents : list
        One for each output: an ndarray of the output's dtype and (behind `lead` block axes) shape,
        a Variable, or None for one (scalar outputs).
    create_graph : bool or None
        Record the rules, so that the results can be differentiated again; None: if the outputs
        depend on Variables that are older than the inputs.
    lead : int
        1 if every cotangent carries a block of vectors along its first axis.
    consume : bool
        Free the nodes while sweeping, if they hold much. The tape cannot be used again.
    inner : bool
        Whether a rule sweeps: then the cotangents come from another sweep, and only it knows which
        of their zeros are exact.
    linear : bool
        Take what the tape has for constants: what is recorded is a function of the cotangents.

    Returns
    -------
    list
        One ndarray (a Variable if recorded) for each input; None where no output depends on it.
    """
    cdef list found
    _check(tape)
    tape.consumed = consume
    before = _silenced()
    try:
        found = run_reverse(
            tape, cotangents, _recording(tape, create_graph, linear), lead, consume, inner)
    finally:
        _restore(before)
    if not inner:
        _fill_in(found, tape, cotangents, lead)
    return found


cdef list sweep_back(Tape tape, list cotangents, bint consume):
    cdef list found
    tape.usable()
    tape.consumed = consume
    before = _silenced()
    try:
        found = run_reverse(tape, cotangents, PLAIN, 0, consume, False)
    finally:
        _restore(before)
    _fill_in(found, tape, cotangents, 0)
    return found


cdef int _fill_in(list found, Tape tape, list cotangents, int lead) except -1:
    """Put zeros where there is a path that no cotangent took: a rule returned None for it."""
    cdef Py_ssize_t k, position
    cdef tuple shape
    cdef Node node
    for k in range(len(found)):
        if found[k] is None:
            position = tape.input_positions[k]
            if position >= 0:
                node = <Node> tape.nodes[position]
                shape = (len(cotangents[0]), *node.shape) if lead else node.shape
                found[k] = np.zeros(shape, dtype_of(node.typenum))
    return 0


def forward(Tape tape not None, list tangents, create_graph=False, int lead=0, inner=False,
            linear=False):
    """Sweep forward along a tape, from its inputs to its outputs.

    Parameters
    ----------
    tape : Tape
    tangents : list
        One for each input: an ndarray or Variable of the input's dtype and (behind `lead` block
        axes) shape, or None for zero.
    create_graph : bool or None
        As for `reverse`.
    lead : int
        1 if every tangent carries a block of vectors along its first axis.
    inner, linear : bool
        As for `reverse`.

    Returns
    -------
    list
        The tangent of each output; None where it is zero because the output depends on no input.
    """
    _check(tape)
    before = _silenced()
    try:
        return run_forward(tape, tangents, _recording(tape, create_graph, linear), lead, inner)
    finally:
        _restore(before)


cdef int _check(Tape tape) except -1:
    if tape.keeps:
        raise TypeError("no sweep goes along a tape with nodes that have no rules")
    return tape.usable()


cdef int _recording(Tape tape, object create_graph, bint linear) except -1:
    cdef bint recorded = tape.outer if create_graph is None else create_graph
    return (LINEAR if linear else RECORDED) if recorded else PLAIN
