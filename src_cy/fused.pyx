"""Groups of elementwise operations in a forward sweep, run together block by block.

A tangent that only other members of the group read lives in a block that stays in the cache: the
memory sees what the group reads from outside and what others read of it. With block axes,
all vectors go through a block of elements before the next one, so that primal values are read once.
"""

from cpython.object cimport PyObject
from libc.stdint cimport intptr_t
from libc.stdlib cimport free, malloc

cimport cython
cimport numpy as cnp
from fastbp._core.buffers cimport new_array
from fastbp._core.elementwise cimport run_parallel
from fastbp._core.graph cimport Node
from fastbp._core.program cimport MAX_EXTERNAL, Program

cnp.import_array()

cdef enum:
    MEMBERS = 64
    SCRATCH = 65536         # bytes of the stack
    LONGEST = 2048          # elements of a block
    PART = 8192             # elements that a thread takes at once
    PARALLEL = 98304

cdef struct Job:
    const Step *steps
    const Slot *slots
    int count, itemsize
    Py_ssize_t vectors, size, block


@cython.final
cdef class Group:
    def __cinit__(self):
        self.positions, self.programs, self.keep = [], [], []
        self.slots = <Slot *> malloc(MEMBERS * MAX_EXTERNAL * sizeof(Slot))
        self.first = <int *> malloc(MEMBERS * sizeof(int))
        self.scalars = <double *> malloc(MEMBERS * MAX_EXTERNAL * sizeof(double))
        if self.slots == NULL or self.first == NULL or self.scalars == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.slots)
        free(self.first)
        free(self.scalars)

    cdef bint fits(self, Node node, cnp.npy_intp vectors) noexcept:
        return (self.count < MEMBERS and node.typenum == self.typenum and vectors == self.vectors
                and (node.shape is self.shape or node.shape == self.shape))

    cdef bint add(self, Py_ssize_t position, Program program, PyObject **operands, int n_own,
                  list tangents) except -1:
        """Append an operation; false if an operand does not lie as a group can read it.

        The first `n_own` operands are primal, then come the tangents that are not None: arrays, or
        the number of a member.
        """
        cdef int k, start = self.n_slots
        cdef Slot *slot
        cdef object t
        if program.n_outputs != 1:
            return False
        self.first[self.count] = start
        self.n_scalars = start
        for k in range(n_own):
            if not self._primal(&self.slots[start + k], operands[k]):
                return False
        k = n_own
        for t in tangents:
            if t is None:
                continue
            slot = &self.slots[start + k]
            k += 1
            if type(t) is int:
                slot.base = NULL
                slot.lead = 0
                slot.step = self.itemsize
                slot.member = t
            elif not self._tangent(slot, t):
                return False
        self.keep.extend([t for t in tangents if t is not None and type(t) is not int])
        self.n_slots += k
        self.count += 1
        self.positions.append(position)
        self.programs.append(program)
        return True

    cdef bint _primal(self, Slot *slot, PyObject *operand) except -1:
        cdef cnp.ndarray a
        slot.base = <char *> self.scalars   # not read, unless it is set below
        slot.lead = slot.step = 0
        slot.member = -1
        if operand == NULL:
            return True
        if not cnp.PyArray_Check(<object> operand):
            slot.base = <char *> &self.scalars[self.n_scalars]
            if self.itemsize == 8:
                (<double *> slot.base)[0] = <object> operand
            else:
                (<float *> slot.base)[0] = <object> operand
            self.n_scalars += 1
            return True
        a = <cnp.ndarray> operand
        slot.base = cnp.PyArray_BYTES(a)
        if cnp.PyArray_SIZE(a) == 1:
            return True
        slot.step = self.itemsize
        return cnp.PyArray_IS_C_CONTIGUOUS(a) and self._has_shape(a, 0)

    cdef bint _tangent(self, Slot *slot, cnp.ndarray a) except -1:
        cdef int axis
        cdef cnp.npy_intp step = self.itemsize, size = 1
        slot.base = cnp.PyArray_BYTES(a)
        slot.member = -1
        slot.lead = cnp.PyArray_STRIDE(a, 0) if self.lead else 0
        slot.step = 0
        for axis in range(self.lead, cnp.PyArray_NDIM(a)):
            size *= cnp.PyArray_DIM(a, axis)
        if size == 1:
            return True
        slot.step = self.itemsize
        for axis in range(cnp.PyArray_NDIM(a) - 1, self.lead - 1, -1):
            if cnp.PyArray_DIM(a, axis) != 1 and cnp.PyArray_STRIDE(a, axis) != step:
                return False
            step *= cnp.PyArray_DIM(a, axis)
        return self._has_shape(a, self.lead)

    cdef bint _has_shape(self, cnp.ndarray a, int lead) except -1:
        cdef int axis, nd = len(self.shape)
        if cnp.PyArray_NDIM(a) != lead + nd:
            return False
        for axis in range(nd):
            if cnp.PyArray_DIM(a, lead + axis) != <cnp.npy_intp> self.shape[axis]:
                return False
        return True

    cdef list run(self, const char *wanted):
        """Compute; return the tangents of the wanted members, None for the others."""
        cdef Step *steps = <Step *> malloc(self.count * sizeof(Step))
        cdef Job job
        cdef list results = []
        cdef int lines
        cdef cnp.npy_intp dims[34]
        cdef cnp.ndarray out
        cdef int k, axis
        if steps == NULL:
            raise MemoryError
        try:
            lines = self._assign(steps, wanted)
            dims[0] = self.vectors
            for axis in range(len(self.shape)):
                dims[self.lead + axis] = self.shape[axis]
            for k in range(self.count):
                if not wanted[k]:
                    results.append(None)
                    continue
                out = new_array(self.lead + len(self.shape), dims, self.typenum)
                steps[k].out.base = cnp.PyArray_BYTES(out)
                steps[k].out.lead = self.size * self.itemsize
                results.append(out)
            job.steps, job.slots, job.count = steps, self.slots, self.count
            job.itemsize, job.vectors, job.size = self.itemsize, self.vectors, self.size
            job.block = LONGEST
            while lines * job.block * self.itemsize > SCRATCH:
                job.block //= 2
            with nogil:
                if self.size * self.vectors >= PARALLEL:
                    run_parallel(_run_part, &job, <int> ((self.size + PART - 1) // PART))
                else:
                    _run_range(&job, 0, self.size)
        finally:
            free(steps)
        return results

    cdef int _assign(self, Step *steps, const char *wanted) except -1:
        """Give each member that is not wanted a line of the scratch; return their number.

        A line is free again after the last member that reads it, and that one may write to it.
        """
        cdef int lines = 0, n_free = 0, k, j, n
        cdef int last[MEMBERS]
        cdef int free_lines[MEMBERS]
        cdef Slot *slot
        for k in range(self.count):
            last[k] = -1
            steps[k].program = <void *> <object> self.programs[k]
            steps[k].first = self.first[k]
            steps[k].n_inputs = (<Program> self.programs[k]).n_inputs
            for j in range(steps[k].n_inputs):
                slot = &self.slots[steps[k].first + j]
                if slot.base == NULL:
                    last[slot.member] = k
        for k in range(self.count):
            n = steps[k].n_inputs
            for j in range(n):
                slot = &self.slots[steps[k].first + j]
                if slot.base == NULL and last[slot.member] == k and not wanted[slot.member]:
                    free_lines[n_free] = steps[slot.member].out.member
                    n_free += 1
                    last[slot.member] = -1  # it may be an operand twice
            steps[k].out.base = NULL
            steps[k].out.lead = 0
            steps[k].out.step = self.itemsize
            if wanted[k]:
                continue
            if n_free == 0:
                free_lines[0] = lines
                n_free = 1
                lines += 1
            n_free -= 1
            steps[k].out.member = free_lines[n_free]
        return lines


cdef Group new_group(Node node, int lead, cnp.npy_intp vectors):
    cdef Group group = Group.__new__(Group)
    cdef object n
    group.lead = lead
    group.vectors = vectors
    group.typenum = node.typenum
    group.itemsize = 8 if node.typenum == cnp.NPY_DOUBLE else 4
    group.shape = node.shape
    group.size = 1
    for n in node.shape:
        group.size *= n
    return group


cdef void _run_part(void *context, int part) noexcept nogil:
    cdef Job *job = <Job *> context
    cdef Py_ssize_t first = <Py_ssize_t> part * PART
    _run_range(job, first, min(first + PART, job.size))


cdef void _run_range(Job *job, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
    cdef char scratch[SCRATCH]
    cdef char *ptrs[MAX_EXTERNAL]
    cdef intptr_t steps[MAX_EXTERNAL]
    cdef Py_ssize_t start = first, count, vector
    cdef const Step *step
    cdef int k, j
    while start < end:
        count = min(job.block, end - start)
        for vector in range(job.vectors):
            for k in range(job.count):
                step = &job.steps[k]
                for j in range(step.n_inputs):
                    ptrs[j] = _place(job, &job.slots[step.first + j], scratch, vector, start)
                    steps[j] = job.slots[step.first + j].step
                ptrs[step.n_inputs] = _out(job, k, scratch, vector, start)
                steps[step.n_inputs] = job.itemsize
                (<Program> step.program).run(ptrs, steps, count)
        start += count


cdef inline char *_place(Job *job, const Slot *slot, char *scratch, Py_ssize_t vector,
                         Py_ssize_t start) noexcept nogil:
    if slot.base == NULL:
        return _out(job, slot.member, scratch, vector, start)
    return slot.base + vector * slot.lead + start * slot.step


cdef inline char *_out(Job *job, int k, char *scratch, Py_ssize_t vector,
                       Py_ssize_t start) noexcept nogil:
    cdef const Slot *out = &job.steps[k].out
    if out.base == NULL:
        return scratch + out.member * job.block * job.itemsize
    return out.base + vector * out.lead + start * out.step
