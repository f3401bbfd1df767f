"""The instructions of a plan: what each needs to know, and how they run."""

from libc.stdint cimport intptr_t

from fastbp._core.blas cimport Few
from fastbp._core.elementwise cimport MAX_NDIM
from fastbp._core.lapack cimport Strided, Task
from fastbp._core.program cimport MAX_EXTERNAL, few_code
from fastbp._core.strided cimport Product
from fastbp._core.totals cimport Totals

cdef enum:
    LEFT = 0x100000         # what instructions return where a loop ends
    INTERRUPTED = 0x200000  # ... where an exception is set
    OUTSIDE = 0x400000      # ... where an index is out of bounds
    NOTES = 3               # in front of the addresses of a call: that index, axis and size
    UNWATCHED = 4096        # iterations of a loop without end between looks at signals
    MOST_PICKED = 6         # inputs of a region: a block of each is on the stack

# What becomes of an index that is out of bounds, as `numpy.take` has it; AS_IS: it is no index.
cdef enum:
    RAISE, WRAP, CLIP, AS_IS

cdef enum InstructionKind:
    REGION      # elementwise work: one program over one iteration space
    PRODUCT     # a product of matrices, added to what is there or not
    SUM         # over the middle one of three axes
    COPY        # elements of one strided layout into another
    PICK        # elements from places of a table, 0 where it has -1
    PLACES      # numbers of the elements that arrays of indices name
    GATHER      # elements in such places along an axis
    SCATTER     # elements added in such places along an axis
    ZERO        # bytes
    LAPACK      # a routine on matrices, or on a batch of them
    CALL        # a function of Python's
    LOOP        # the instructions behind it, again and again
    BRANCH      # the instructions behind it, or those behind these
    LEAVE       # the end of the loop that it stands in, where a value is 0

# Where an operand lies.
cdef struct Place:
    int buffer
    intptr_t offset

# The layout of a region that is more than one run.
cdef struct Walk:
    int nd
    intptr_t shape[MAX_NDIM]
    intptr_t steps[MAX_EXTERNAL][MAX_NDIM]

# An input of a region whose elements are picked by a table, block by block, when they are read.
cdef struct Picked:
    int slot
    bint by_runs
    const intptr_t *table       # a borrowed array's, as the others
    # As those of a Pick, counted from the start of a block; and how many there are to its end.
    const intptr_t *runs
    const intptr_t *single
    const intptr_t *ends

# Small, and in one piece with its arrays: a plan of a loop has thousands.
cdef struct Region:
    void *program           # a borrowed Program
    int n_slots
    bint parallel, ordered
    intptr_t total
    Walk *walk              # NULL: one run
    Totals *totals          # not NULL: it ends in sums, whose places are behind those of the slots
    few_code *few           # not NULL: one run over few elements
    Picked *picked          # not NULL: `n_picked` of its inputs are
    int n_picked
    Place *places
    intptr_t *steps         # of one run

cdef struct Gemm:
    Place a, b, c
    bint trans_a, trans_b, accumulate, single
    int slot
    Py_ssize_t m, n, k, lda, ldb, ldc
    Product *batched        # not NULL: a loop over products
    Few few                 # its count is 1: a single product of few columns

cdef struct Sum:
    Place source, target
    intptr_t outer, rows, n, size
    int typenum

cdef struct Copy:
    Place source, target
    int nd, itemsize
    intptr_t shape[MAX_NDIM]
    intptr_t from_steps[MAX_NDIM]
    intptr_t to_steps[MAX_NDIM]

cdef struct Pick:
    Place source, target
    intptr_t n, n_runs, n_single
    int itemsize
    bint zeros              # the table has -1
    const intptr_t *table   # a borrowed array's
    const intptr_t *runs    # not NULL: pairs of a first place and how many follow. As the table
    # Pairs of a place of the target, which runs go over, and the one that is picked for it: side by
    # side, as the table does not stay in the cache.
    const intptr_t *single

# An array of indices along an axis of `size`, whose elements lie `step` apart.
cdef struct Index:
    Place source
    int typenum, mode
    intptr_t n, size, axis, step
    const intptr_t *table   # which of its elements; NULL: one after the other. A borrowed array's

# In one piece with its indices.
cdef struct Places:
    Place target
    intptr_t n
    int n_indices
    const intptr_t *first   # what is added to; NULL: 0. A borrowed array's
    Index *indices

# Of three axes: before, that of the places, behind.
cdef struct Along:
    Place source, places, target
    intptr_t outer, size, inner, n
    intptr_t steps[3]       # in bytes, of the source of a GATHER
    int itemsize, typenum

cdef struct Zero:
    Place target
    intptr_t size

# In one piece with its arrays, as a region.
cdef struct Matrices:
    Task task
    int n, nd
    Place work
    Place *places
    Strided *x              # strides only
    intptr_t *shape         # of the batch
    intptr_t *steps         # in bytes, along the batch: nd of each operand and result

# The number of a call in the list of them.
cdef struct Call:
    int number

# A buffer that lies elsewhere in each iteration.
cdef struct Moving:
    int buffer
    Place start
    intptr_t step

cdef struct Loop:
    Py_ssize_t count        # -1: until it is left
    int n_body, n_moving, n_swaps
    bint calls              # the body calls Python
    Moving *moving
    int *swaps              # pairs of moving buffers that change places after each iteration

cdef struct Branch:
    Place place
    intptr_t size
    int n_first, n_second   # instructions where the value is not 0, and where it is
    bint calls

cdef struct Leave:
    Place place
    intptr_t size

cdef struct Step:
    InstructionKind kind
    void *facts
    double work             # multiplications, or what takes as long

# `bases` are the addresses of the buffers of a call. Returns 0, the status of a routine, or one of
# the numbers above.
cdef int run_steps(const Step *steps, int n, char **bases) noexcept nogil
# For those who run a loop or a branch themselves, as Python is called in it.
cdef void begin(const Loop *loop, char **bases) noexcept nogil
cdef void advance(const Loop *loop, char **bases) noexcept nogil
cdef bint is_set(Place place, intptr_t size, char **bases) noexcept nogil
cdef int behind(const Step *step) noexcept nogil
cdef bint calls_python(const Step *step) noexcept nogil
