"""Groups of elementwise operations in a forward sweep, run together block by block.

The members have one shape and dtype. All of them go through one block of elements, then through the
next: a tangent that only other members read lies in a block of scratch that stays in the cache, and
the memory sees what the group reads from outside and what others read of it. With block axes,
all vectors go through a block of elements before the next one, so that primal values are read once.
"""

from cpython.object cimport PyObject
from libc.stdint cimport intptr_t

cimport cython
cimport numpy as cnp
from fastbp._core.buffers cimport new_array
from fastbp._core.graph cimport Node
from fastbp._core.program cimport MAX_EXTERNAL, Program
from fastbp._core.threads cimport run_parallel

cnp.import_array()

cdef enum:
    SCRATCH = 65536         # bytes of the stack
    LONGEST = 2048          # elements of a block
    PART = 8192             # elements that a thread takes at once
    PARALLEL = 98304        # elements of all vectors: from here on, threads


# ---- forming a group ---------------------------------------------------------------------------


cdef Group new_group(Node node, int lead, cnp.npy_intp vectors):
    cdef Group group = Group.__new__(Group)
    cdef object n
    group.keep = []
    group.lead = lead
    group.vectors = vectors
    group.typenum = node.typenum
    group.itemsize = 8 if node.typenum == cnp.NPY_DOUBLE else 4
    group.shape = node.shape
    group.size = 1
    for n in node.shape:
        group.size *= n
    return group


@cython.final
cdef class Group:

    cdef bint fits(self, Node node, cnp.npy_intp vectors) noexcept:
        return (self.count < MAX_MEMBERS and node.typenum == self.typenum
                and vectors == self.vectors
                and (node.shape is self.shape or node.shape == self.shape))

    cdef bint add(self, Py_ssize_t position, Program program, PyObject **operands, int n_own,
                  list tangents, const Py_ssize_t *parents) except -1:
        cdef Member *member = &self.members[self.count]
        cdef Input *inputs = &self.inputs[self.n_inputs]
        cdef int k, n = n_own
        cdef object t
        if program.n_outputs != 1:
            return False
        for k in range(n_own):
            if not self._place_primal(&inputs[k], operands[k]):
                return False
        for k in range(len(tangents)):
            t = tangents[k]
            if t is None:
                continue
            if t is self:
                inputs[n].member = self._member_at(parents[k])
            elif not self._place_tangent(&inputs[n], t):
                return False
            n += 1
        member.program = <PyObject *> program
        member.first, member.n_inputs = self.n_inputs, n
        member.position = position
        self.keep.append(program)
        self.keep.extend([t for t in tangents if t is not self])
        self.count += 1
        self.n_inputs += n
        return True

    cdef int _member_at(self, Py_ssize_t position) noexcept:
        cdef int k
        for k in range(self.count):
            if self.members[k].position == position:
                return k
        return -1

    cdef bint _place_primal(self, Input *entry, PyObject *operand) except -1:
        """Describe a value as the program reads it: NULL (not at all), a scalar, or an array."""
        cdef cnp.ndarray a
        entry.member = -1
        entry.base = <char *> &entry.number
        entry.next_vector = entry.next_element = 0
        if operand == NULL:
            return True
        if not cnp.PyArray_Check(<object> operand):
            if self.itemsize == 8:
                entry.number = <object> operand
            else:
                (<float *> entry.base)[0] = <object> operand
            return True
        a = <cnp.ndarray> operand
        entry.base = cnp.PyArray_BYTES(a)
        if cnp.PyArray_SIZE(a) == 1:
            return True
        entry.next_element = self.itemsize
        return cnp.PyArray_IS_C_CONTIGUOUS(a) and self._has_shape(a, 0)

    cdef bint _place_tangent(self, Input *entry, cnp.ndarray a) except -1:
        """Describe a tangent: its vectors are contiguous, and lie at any distance."""
        cdef int axis
        cdef cnp.npy_intp step = self.itemsize, size = 1
        entry.member = -1
        entry.base = cnp.PyArray_BYTES(a)
        entry.next_vector = cnp.PyArray_STRIDE(a, 0) if self.lead else 0
        entry.next_element = 0
        for axis in range(self.lead, cnp.PyArray_NDIM(a)):
            size *= cnp.PyArray_DIM(a, axis)
        if size == 1:
            return True
        entry.next_element = self.itemsize
        for axis in range(cnp.PyArray_NDIM(a) - 1, self.lead - 1, -1):
            if cnp.PyArray_DIM(a, axis) != 1 and cnp.PyArray_STRIDE(a, axis) != step:
                return False
            step *= cnp.PyArray_DIM(a, axis)
        return self._has_shape(a, self.lead)

    cdef bint _has_shape(self, cnp.ndarray a, int lead) noexcept:
        """Whether an array has the group's shape behind `lead` axes."""
        cdef int axis, nd = len(self.shape)
        if cnp.PyArray_NDIM(a) != lead + nd:
            return False
        for axis in range(nd):
            if cnp.PyArray_DIM(a, lead + axis) != <cnp.npy_intp> self.shape[axis]:
                return False
        return True

    # -- running

    cdef int run(self, list values, const Py_ssize_t *last, Py_ssize_t position) except -1:
        cdef Job job
        cdef int lines
        self._allocate(values, last, position)
        lines = self._assign_lines(last)
        job.members, job.inputs, job.count = self.members, self.inputs, self.count
        job.itemsize, job.vectors, job.size = self.itemsize, self.vectors, self.size
        job.block = LONGEST
        while lines * job.block * self.itemsize > SCRATCH:
            job.block //= 2
        with nogil:
            if self.size * self.vectors >= PARALLEL:
                run_parallel(_run_part, &job, <int> ((self.size + PART - 1) // PART))
            else:
                _run_range(&job, 0, self.size)
        return 0

    cdef int _allocate(self, list values, const Py_ssize_t *last, Py_ssize_t position) except -1:
        """Make the arrays of the tangents that are read from `position` on."""
        cdef cnp.npy_intp dims[34]
        cdef int axis, k, nd = self.lead + len(self.shape)
        cdef Member *member
        cdef cnp.ndarray out
        dims[0] = self.vectors
        for axis in range(self.lead, nd):
            dims[axis] = self.shape[axis - self.lead]
        for k in range(self.count):
            member = &self.members[k]
            member.out = NULL
            values[member.position] = None
            if last[member.position] >= position:
                out = new_array(nd, dims, self.typenum)
                member.out = cnp.PyArray_BYTES(out)
                values[member.position] = out
        return 0

    cdef int _assign_lines(self, const Py_ssize_t *last) noexcept:
        """Give each member without an array a line of the scratch; return how many there are.

        A line is free again after the last member that reads it, and that one may write to it.
        """
        cdef int free_lines[MAX_MEMBERS]
        cdef int lines = 0, n_free = 0, k, j, source
        cdef Member *member
        for k in range(self.count):
            member = &self.members[k]
            for j in range(member.first, member.first + member.n_inputs):
                source = self.inputs[j].member
                if (source >= 0 and last[self.members[source].position] == member.position
                        and self.members[source].out == NULL
                        and not self._reads_before(member, j, source)):
                    free_lines[n_free] = self.members[source].line
                    n_free += 1
            if member.out != NULL:
                continue
            if n_free > 0:
                n_free -= 1
                member.line = free_lines[n_free]
            else:
                member.line = lines
                lines += 1
        return lines

    cdef bint _reads_before(self, const Member *member, int j, int source) noexcept:
        """Whether an input of a member before input `j` is the same member."""
        cdef int k
        for k in range(member.first, j):
            if self.inputs[k].member == source:
                return True
        return False


# ---- the loops ---------------------------------------------------------------------------------


# A group as the threads see it.
cdef struct Job:
    const Member *members
    const Input *inputs
    int count, itemsize
    Py_ssize_t vectors, size
    Py_ssize_t block        # elements of a line of the scratch


cdef void _run_part(void *context, int part) noexcept nogil:
    cdef Job *job = <Job *> context
    cdef Py_ssize_t first = <Py_ssize_t> part * PART
    _run_range(job, first, min(first + PART, job.size))


cdef void _run_range(const Job *job, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
    """Run all members on the elements in [first, end) of all vectors."""
    cdef char scratch[SCRATCH]
    cdef Py_ssize_t start = first, count, vector
    cdef int k
    while start < end:
        count = min(job.block, end - start)
        for vector in range(job.vectors):
            for k in range(job.count):
                _run_member(job, &job.members[k], scratch, vector, start, count)
        start += count


cdef inline void _run_member(const Job *job, const Member *member, char *scratch,
                             Py_ssize_t vector, Py_ssize_t start, Py_ssize_t count) noexcept nogil:
    cdef char *ptrs[MAX_EXTERNAL]
    cdef intptr_t steps[MAX_EXTERNAL]
    cdef int j
    cdef const Input *entry
    for j in range(member.n_inputs):
        entry = &job.inputs[member.first + j]
        if entry.member >= 0:
            ptrs[j] = _out(job, &job.members[entry.member], scratch, vector, start)
            steps[j] = job.itemsize
        else:
            ptrs[j] = entry.base + vector * entry.next_vector + start * entry.next_element
            steps[j] = entry.next_element
    ptrs[member.n_inputs] = _out(job, member, scratch, vector, start)
    steps[member.n_inputs] = job.itemsize
    (<Program> member.program).run(ptrs, steps, count)


cdef inline char *_out(const Job *job, const Member *member, char *scratch, Py_ssize_t vector,
                       Py_ssize_t start) noexcept nogil:
    """Where a member's tangent lies."""
    if member.out == NULL:
        return scratch + member.line * job.block * job.itemsize
    return member.out + (vector * job.size + start) * job.itemsize
