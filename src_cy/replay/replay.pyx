"""A plan as it is called: arrays in, arrays out.

Inputs are read where they are; results are new arrays, so nothing that a caller holds changes with
the next call. Any number of threads may call a plan at once: each call has a frame of its own.
"""

from libc.stdlib cimport calloc, free

cimport cython
cimport numpy as cnp
from fastbp._core.buffers cimport new_array
from fastbp._core.dtypes cimport slot_of
from fastbp._core.elementwise cimport take_fp_flags
from fastbp._core.loops cimport strong_zeros
from fastbp._core.machine cimport Frame, Machine

import math

import numpy as np

cnp.import_array()


class StrongZeroError(ArithmeticError):
    """A cotangent that is zero met a partial derivative that is not finite.

    What that means depends on where the zero is from, and is found out by a sweep that keeps the
    signs of zeros: the function must be called as it is.
    """


def strong_zeros_met():
    """Return a number that changes whenever such a zero is met."""
    return strong_zeros()


@cython.final
cdef class Plan:
    """Instructions, with the shapes and dtypes of what goes in and comes out.

    Parameters
    ----------
    machine : Machine
        Its first buffers are the inputs.
    inputs : list
        For each (shape, dtype), or None for one that is not read.
    outputs : list
        For each (buffer, shape, dtype).
    facts : list
        For each instruction what it is, for people.
    steps : list
        For each the step that it was emitted by, and the numbers of the machine's instructions that
        are its own: the first one, and behind the last.
    """

    def __init__(self, Machine machine not None, list inputs, list outputs, list facts,
                 list steps=None):
        cdef int k, axis
        self.machine, self.inputs, self.facts, self.steps = machine, inputs, facts, steps or []
        self.returned = outputs
        machine.give_back(machine.frame())      # there is memory, and every block has an end
        self.n_inputs, self.n_outputs = len(inputs), len(outputs)
        self.dtypes = [item[2] for item in outputs]
        self.outputs = <Output *> calloc(max(self.n_outputs, 1), sizeof(Output))
        if self.outputs == NULL:
            raise MemoryError
        for k in range(self.n_outputs):
            buffer, shape, dtype = outputs[k]
            if len(shape) > MAX_OUT_NDIM or not 0 <= buffer < machine.n_buffers:
                raise ValueError("Plan: no such output")
            if machine.size_of(buffer) >= 0 and (
                    machine.size_of(buffer) != math.prod(shape) * dtype.itemsize
                    or buffer in [item[0] for item in outputs[:k]] or dtype.kind not in "biufc"):
                raise ValueError("Plan: an output is not all of a buffer of its own")
            self.outputs[k].buffer = buffer
            self.outputs[k].nd = len(shape)
            self.outputs[k].typenum = dtype.num
            for axis in range(len(shape)):
                self.outputs[k].dims[axis] = shape[axis]

    def __dealloc__(self):
        free(self.outputs)

    def __call__(self, *arrays):
        """Run on arrays of the shapes and dtypes that the plan was made for.

        Returns
        -------
        list of ndarray

        Raises
        ------
        StrongZeroError
            If the function must be called as it is, to tell what a zero means.
        """
        cdef Frame frame
        cdef int k
        cdef cnp.ndarray array
        if len(arrays) != self.n_inputs:
            raise TypeError(f"Plan: {self.n_inputs} arrays are needed, not {len(arrays)}")
        frame = self.machine.frame()
        try:
            for k in range(self.n_inputs):
                facts = self.inputs[k]
                if facts is None:
                    continue
                array = np.ascontiguousarray(arrays[k], facts[1]).reshape(facts[0])
                frame.held.append(array)
                frame.bases[k] = cnp.PyArray_BYTES(array)
            return self.run(frame)
        finally:
            self.machine.give_back(frame)

    def empty(self):
        """Return arrays as the outputs are."""
        return self.new_outputs(None)

    cdef list new_outputs(self, Frame frame):
        cdef list results = []
        cdef cnp.ndarray array
        cdef int k
        for k in range(self.n_outputs):
            if slot_of(self.outputs[k].typenum) >= 0:
                array = new_array(self.outputs[k].nd, self.outputs[k].dims,
                                  self.outputs[k].typenum)
            else:
                array = cnp.PyArray_EMPTY(self.outputs[k].nd, self.outputs[k].dims,
                                          self.outputs[k].typenum, 0)
            if frame is not None:
                frame.bases[self.outputs[k].buffer] = cnp.PyArray_BYTES(array)
            results.append(array)
        return results

    cdef list run(self, Frame frame):
        """Run on the inputs whose addresses a frame has."""
        cdef long long before = strong_zeros()
        cdef list results = self.new_outputs(frame)
        self.machine.run(frame)
        take_fp_flags()
        if strong_zeros() != before:
            raise StrongZeroError("a zero cotangent met a partial derivative that is not finite")
        return results
