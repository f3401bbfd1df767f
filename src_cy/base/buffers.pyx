"""New arrays, from blocks that sweeps use again and again.

A derivative makes large temporaries and drops them. The C library gives such memory back to the
system at once, and the next array pays for it again, page by page: at 10^5 elements that takes
longer than the arithmetic. So large arrays of the core get their memory from a small pool, through
NumPy's own interface for memory handlers (NEP 49): they are ordinary arrays that own their data,
and return their block when they die, wherever that is.

NumPy keeps blocks below 1 KiB itself. Those between the two have a few blocks of every size here:
two arrays of 2 KiB cost more in the C library than the product of 16 x 16 that they are for.
"""

from cpython.pycapsule cimport PyCapsule_New
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset, strcpy

cimport numpy as cnp
from fastbp._core.dtypes cimport itemsize_of, slot_of

import numpy as np

cnp.import_array()

cdef extern from "Python.h":
    void Py_XDECREF(PyObject *o)

    int PyTraceMalloc_Track(unsigned int domain, size_t address, size_t size)

cdef extern from "numpy/arrayobject.h":
    ctypedef struct PyDataMemAllocator:
        void *ctx
        void *(*malloc)(void *ctx, size_t size) noexcept nogil
        void *(*calloc)(void *ctx, size_t count, size_t size) noexcept nogil
        void *(*realloc)(void *ctx, void *block, size_t size) noexcept nogil
        void (*free)(void *ctx, void *block, size_t size) noexcept nogil
    ctypedef struct PyDataMem_Handler:
        char name[127]
        uint8_t version
        PyDataMemAllocator allocator
    ctypedef struct PyArrayObject_fields:
        PyObject *mem_handler
    PyObject *PyDataMem_SetHandler(PyObject *handler)
    object PyArray_NewFromDescr(type subtype, cnp.dtype descr, int nd, const cnp.npy_intp *dims,
                                const cnp.npy_intp *strides, void *data, int flags, PyObject *owner)

cdef extern from *:
    """
    #include <stdlib.h>
    #ifdef __GLIBC__
        #include <malloc.h>
        /* It keeps what was freed below a block that is in use. */
        static void to_system(void) { malloc_trim(0); }
    #else
        static void to_system(void) { }
    #endif
    """
    void to_system() noexcept nogil

cdef enum:
    ALIGNMENT = 64
    SLOTS = 64
    POOL_BYTES = 67108864           # the pool keeps at most 64 MiB of unused blocks
    # Up to LARGE, at most DEPTH blocks of every size, in steps of STEP, of 4 MiB together.
    SMALL = 1024
    STEP = 256
    SIZES = 256                     # LARGE // STEP, which Cython cannot divide with its checks
    DEPTH = 8
    MEDIUM_BYTES = 4194304

cdef struct Block:
    char *start
    size_t capacity

# What stands in front of a block's first byte.
cdef struct Header:
    void *raw
    size_t capacity

cdef Block _pool[SLOTS]             # unused blocks, the oldest first
cdef int _count = 0
cdef size_t _bytes = 0
cdef void *_medium[SIZES * DEPTH]   # unused blocks of STEP, 2 STEP, ... bytes
cdef int _depths[SIZES]
cdef size_t _medium_bytes = 0
# NumPy calls a handler with the GIL, and so does `new_array`: there is no lock, which would take as
# long as all else.


cdef Block _take(int i) noexcept nogil:
    """Remove a block from the pool."""
    global _count, _bytes
    cdef Block block = _pool[i]
    cdef int k
    _count -= 1
    _bytes -= block.capacity
    for k in range(i, _count):
        _pool[k] = _pool[k + 1]
    return block


cdef void *_allocate(void *ctx, size_t size) noexcept nogil:
    if SMALL <= size <= LARGE:
        return _allocate_medium(size)
    cdef char *start = NULL
    cdef int i, best = -1
    for i in range(_count):
        # A block may be a quarter larger than what it is used for, not more.
        if size <= _pool[i].capacity <= size + size // 4:
            if best < 0 or _pool[i].capacity < _pool[best].capacity:
                best = i
    if best >= 0:
        start = _take(best).start
    return start if start != NULL else _new_block(size)


cdef inline void *_allocate_medium(size_t size) noexcept nogil:
    global _medium_bytes
    cdef size_t i = (size + STEP - 1) // STEP - 1
    if _depths[i] == 0:
        return _new_block((i + 1) * STEP)
    _depths[i] -= 1
    _medium_bytes -= (i + 1) * STEP
    return _medium[i * DEPTH + _depths[i]]


cdef inline bint _keep_medium(void *start, size_t capacity) noexcept nogil:
    """Keep an unused block; False if there are enough."""
    global _medium_bytes
    cdef size_t i = capacity // STEP - 1
    if _depths[i] == DEPTH or _medium_bytes + capacity > MEDIUM_BYTES:
        return False
    _medium[i * DEPTH + _depths[i]] = start
    _depths[i] += 1
    _medium_bytes += capacity
    return True


cdef char *_new_block(size_t capacity) noexcept nogil:
    cdef char *raw = <char *> malloc(capacity + 2 * ALIGNMENT)
    return NULL if raw == NULL else _aligned(raw, capacity)


cdef char *_aligned(char *raw, size_t capacity) noexcept nogil:
    """The usable part of a raw block, behind its header."""
    cdef char *start = raw + 2 * ALIGNMENT - (<size_t> raw) % ALIGNMENT
    _header(start).raw = raw
    _header(start).capacity = capacity
    return start


cdef inline Header *_header(void *start) noexcept nogil:
    return <Header *> start - 1


cdef void _free(void *ctx, void *start, size_t size) noexcept nogil:
    global _count, _bytes
    cdef size_t capacity
    cdef Block oldest
    if start == NULL:
        return
    capacity = _header(start).capacity
    if SMALL <= capacity <= LARGE and _keep_medium(start, capacity):
        return
    if capacity <= LARGE or capacity > POOL_BYTES:
        free(_header(start).raw)
        return
    while _count == SLOTS or _bytes + capacity > POOL_BYTES:
        oldest = _take(0)
        free(_header(oldest.start).raw)
    _pool[_count].start = <char *> start
    _pool[_count].capacity = capacity
    _count += 1
    _bytes += capacity


cdef void *_allocate_zeros(void *ctx, size_t count, size_t size) noexcept nogil:
    cdef void *start
    if size and count > (<size_t> -1) // size - 4 * ALIGNMENT:
        return NULL
    start = _allocate(ctx, count * size)
    if start != NULL:
        memset(start, 0, count * size)
    return start


cdef void *_reallocate(void *ctx, void *start, size_t size) noexcept nogil:
    cdef void *moved = _allocate(ctx, size)
    if moved != NULL and start != NULL:
        memcpy(moved, start, min(_header(start).capacity, size))
        _free(ctx, start, 0)
    return moved


cdef PyDataMem_Handler _handler
strcpy(_handler.name, b"fastbp_pool")
_handler.version = 1
_handler.allocator.ctx = NULL
_handler.allocator.malloc = _allocate
_handler.allocator.calloc = _allocate_zeros
_handler.allocator.realloc = _reallocate
_handler.allocator.free = _free
cdef object _capsule = PyCapsule_New(&_handler, "mem_handler", NULL)


cdef unsigned int _domain = np.lib.tracemalloc_domain


cdef cnp.ndarray new_array(int nd, const cnp.npy_intp *dims, int typenum):
    cdef cnp.npy_intp size = itemsize_of(typenum) if slot_of(typenum) >= 0 else 8
    cdef int k
    for k in range(nd):
        size *= dims[k]
    if size < SMALL:
        return cnp.PyArray_EMPTY(nd, <cnp.npy_intp *> dims, typenum, 0)
    # Only this array gets the handler: `enter_pool`, for all of this thread, takes longer.
    cdef cnp.ndarray out
    cdef cnp.dtype descr = cnp.PyArray_DescrFromType(typenum)
    cdef void *start = _allocate(NULL, size)
    if start == NULL:
        raise MemoryError
    Py_INCREF(descr)  # the call takes a reference
    try:
        out = PyArray_NewFromDescr(
            cnp.ndarray, descr, nd, dims, NULL, start, cnp.NPY_ARRAY_CARRAY, NULL)
    except BaseException:
        _free(NULL, start, size)
        raise
    Py_INCREF(_capsule)
    (<PyArrayObject_fields *> out).mem_handler = <PyObject *> _capsule
    cnp.PyArray_ENABLEFLAGS(out, cnp.NPY_ARRAY_OWNDATA)
    PyTraceMalloc_Track(_domain, <size_t> start, size)
    return out


cdef PyObject *enter_pool() except NULL:
    cdef PyObject *before = PyDataMem_SetHandler(<PyObject *> _capsule)
    if before == NULL:
        raise MemoryError
    return before


cdef int leave_pool(PyObject *before) except -1:
    Py_XDECREF(PyDataMem_SetHandler(before))
    Py_XDECREF(before)
    return 0


def empty(shape, dtype=np.float64):
    """Return a new array as the core makes them; for tests and measurements."""
    cdef cnp.npy_intp dims[32]
    cdef int k
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    dtype = np.dtype(dtype)
    if len(shape) > 32 or slot_of(dtype.num) < 0 or any(n < 0 for n in shape):
        raise ValueError(f"empty: shape {shape} and dtype {dtype} are not supported")
    for k in range(len(shape)):
        dims[k] = shape[k]
    return new_array(len(shape), dims, dtype.num)


def cached_bytes():
    """Return the size of the unused blocks that the pool keeps, in bytes; at most 68 MiB."""
    return _bytes + _medium_bytes


def release():
    """Give the unused blocks of the pool back to the system."""
    global _medium_bytes
    cdef Block block
    cdef int i
    while _count:
        block = _take(_count - 1)
        free(_header(block.start).raw)
    for i in range(SIZES):
        while _depths[i]:
            _depths[i] -= 1
            free(_header(_medium[i * DEPTH + _depths[i]]).raw)
    _medium_bytes = 0
    to_system()
