"""The exact order of the products of a chain of Jacobians.

Godbole (1973) chooses brackets by dynamic programming over intervals, with the cost of a
dense product. Here a cost comes with the structure of its result, so each interval keeps the
cheapest way to each structure that it may have, up to `STATES` of them. A chain whose links repeat
with a period has only as many different intervals of one length as the period is long. Chains of
different dense links alone are ordered by `fastbp._core.chain_links`.
"""

cimport cython
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free, malloc

from fastbp.errors import ShapeError

cdef enum:
    STATES = 4  # structures that an interval keeps


cdef struct State:
    double cost
    int32_t structure
    int32_t split  # length of the left part
    int32_t left  # states of the parts
    int32_t right


cdef struct Table:
    Py_ssize_t k
    Py_ssize_t period
    bint shared  # links a period apart are one object, so that their products are made once
    Py_ssize_t length  # the cell that is being filled, and the split that comes next
    Py_ssize_t start
    Py_ssize_t split
    State *states
    int32_t *counts
    const Py_ssize_t *runs  # how many equal links follow each link, itself included
    const Py_ssize_t *sizes  # the place among the distinct sizes of each place between links
    const double *values  # the distinct sizes
    Py_ssize_t n_sizes
    double call  # dense products: seconds a call, a multiplication, an element
    double flop
    double element
    # Known pairs of structures: open addressing, a power of two of places.
    int64_t *keys
    double *costs
    int32_t *results
    Py_ssize_t places
    Py_ssize_t filled


@cython.overflowcheck(False)  # the hash is modulo 2**64
cdef inline Py_ssize_t _place(const Table *t, int64_t key) noexcept nogil:
    cdef Py_ssize_t at = <Py_ssize_t> ((<unsigned long long> key * 0x9E3779B97F4A7C15ULL) >> 20)
    at &= t.places - 1
    while t.keys[at] != -1 and t.keys[at] != key:
        at = (at + 1) & (t.places - 1)
    return at


cdef inline bint _known(const Table *t, int32_t a, int32_t b, double *cost,
                        int32_t *result) noexcept nogil:
    """Look a product up that is not of two dense matrices; False if it is not known."""
    cdef Py_ssize_t at = _place(t, (<int64_t> a << 32) | b)
    if t.keys[at] == -1:
        return False
    cost[0], result[0] = t.costs[at], t.results[at]
    return True


cdef inline double _dense(const Table *t, Py_ssize_t start, Py_ssize_t split,
                          Py_ssize_t length) noexcept nogil:
    """Return the cost of the product of two dense intervals."""
    cdef double m = t.values[t.sizes[start]], k = t.values[t.sizes[start + split]]
    cdef double n = t.values[t.sizes[start + length]]
    return t.call + t.flop * m * k * n + t.element * (m * k + k * n + m * n)


cdef inline Py_ssize_t _cell(const Table *t, Py_ssize_t length, Py_ssize_t start) noexcept nogil:
    return length * t.period + (start if start < t.period else start % t.period)


cdef inline void _keep(Table *t, Py_ssize_t cell, State *new) noexcept nogil:
    cdef State *states = t.states + cell * STATES
    cdef Py_ssize_t i, worst = 0
    for i in range(t.counts[cell]):
        if states[i].structure == new.structure:
            if new.cost < states[i].cost:
                states[i] = new[0]
            return
        if states[i].cost > states[worst].cost:
            worst = i
    if t.counts[cell] < STATES:
        states[t.counts[cell]] = new[0]
        t.counts[cell] += 1
    elif new.cost < states[worst].cost:
        states[worst] = new[0]


cdef bint _combine(Table *t, Py_ssize_t cell, Py_ssize_t left, Py_ssize_t right, bint same,
                   int64_t *missing) noexcept nogil:
    """Try all products of two intervals; False where one is not known."""
    cdef State new
    cdef State *a
    cdef State *b
    cdef Py_ssize_t i, j, dense = t.n_sizes * t.n_sizes  # numbers below are dense
    cdef double product = _dense(t, t.start, t.split, t.length)
    new.split = <int32_t> t.split
    for i in range(t.counts[left]):
        a = t.states + left * STATES + i
        for j in range(t.counts[right]):
            b = t.states + right * STATES + j
            if a.structure < dense and b.structure < dense:
                new.cost = product
                new.structure = <int32_t> (
                    t.sizes[t.start] * t.n_sizes + t.sizes[t.start + t.length]
                )
            elif not _known(t, a.structure, b.structure, &new.cost, &new.structure):
                missing[0] = (<int64_t> a.structure << 32) | b.structure
                return False
            new.cost += a.cost
            if not (same and i == j):  # one product serves both sides
                new.cost += b.cost
            new.left, new.right = <int32_t> i, <int32_t> j
            _keep(t, cell, &new)
    return True


cdef bint _fill(Table *t, int64_t *missing) noexcept nogil:
    """Fill the table from where it stopped; False if the product `missing` must be known first."""
    cdef Py_ssize_t cell
    cdef bint same
    while t.length <= t.k:
        while t.start < min(t.period, t.k - t.length + 1):
            cell = _cell(t, t.length, t.start)
            while t.split < t.length:
                same = 2 * t.split == t.length and (
                    (t.shared and t.split % t.period == 0) or t.runs[t.start] >= t.length
                )
                if not _combine(t, cell, _cell(t, t.split, t.start),
                                _cell(t, t.length - t.split, t.start + t.split), same, missing):
                    return False
                t.split += 1
            t.split = 1
            t.start += 1
        t.start = 0
        t.length += 1
    return True


cdef int _remember(Table *t, int64_t key, double cost, int32_t result) except -1:
    cdef int64_t *keys = t.keys
    cdef double *costs = t.costs
    cdef int32_t *results = t.results
    cdef Py_ssize_t i, at, places = t.places
    if 2 * t.filled >= places:
        t.places = 2 * places if places else 256
        t.keys = <int64_t *> malloc(t.places * sizeof(int64_t))
        t.costs = <double *> malloc(t.places * sizeof(double))
        t.results = <int32_t *> malloc(t.places * sizeof(int32_t))
        try:
            if not (t.keys and t.costs and t.results):
                raise MemoryError("chain: no memory for the costs of products")
            for i in range(t.places):
                t.keys[i] = -1
            for i in range(places):
                if keys[i] != -1:
                    at = _place(t, keys[i])
                    t.keys[at], t.costs[at], t.results[at] = keys[i], costs[i], results[i]
        finally:
            free(keys)
            free(costs)
            free(results)
    at = _place(t, key)
    t.keys[at], t.costs[at], t.results[at] = key, cost, result
    t.filled += 1
    return 0


cdef list _brackets(const Table *t):
    """Return the splits of the cheapest order in preorder: (length of the left part, of both)."""
    cdef Py_ssize_t cell = _cell(t, t.k, 0), best = 0, length, start, state
    cdef State s
    for state in range(1, t.counts[cell]):
        if t.states[cell * STATES + state].cost < t.states[cell * STATES + best].cost:
            best = state
    found = [t.states[cell * STATES + best].cost]
    todo = [(t.k, 0, best)]
    while todo:
        length, start, state = todo.pop()
        if length == 1:
            continue
        s = t.states[_cell(t, length, start) * STATES + state]
        found.append((start, start + s.split, start + length))
        todo.append((length - s.split, start + s.split, s.right))
        todo.append((s.split, start, s.left))
    return found


def optimal(const int[::1] structures not None, const Py_ssize_t[::1] sizes not None,
            const double[::1] values not None, Py_ssize_t period, bint shared,
            const Py_ssize_t[::1] runs not None, double call, double flop, double element, pair):
    """Return the cheapest order of a chain's products.

    Parameters
    ----------
    structures : ndarray of intc, shape (k,)
        The structure of each link. Numbers below ``len(values) ** 2`` are dense matrices:
        ``i * len(values) + j`` has `values[i]` rows and `values[j]` columns.
    sizes : ndarray of intp, shape (k + 1,)
        The place in `values` of each size between links.
    values : ndarray of float64
    period : int
        Links i and i + period have one structure.
    shared : bool
        And are one object.
    runs : ndarray of intp, shape (k,)
        How many equal links begin at each link; equal intervals are multiplied once.
    call, flop, element : float
        Seconds of a dense product: for itself, each multiplication, each element of the three
        matrices.
    pair : callable
        ``pair(a, b) -> (seconds, structure)`` of all other products.

    Returns
    -------
    seconds : float
    brackets : list of (start, middle, stop)
        The products in preorder.
    """
    cdef Table t
    cdef Py_ssize_t k = structures.shape[0], i, cells
    cdef int64_t missing = 0
    cdef bint done
    if k < 1 or sizes.shape[0] != k + 1 or runs.shape[0] != k or not 1 <= period <= k:
        raise ShapeError(f"optimal: {k} links, {sizes.shape[0]} sizes, period {period}")
    cells = (k + 1) * period
    t.k, t.period, t.shared, t.length, t.start, t.split = k, period, shared, 2, 0, 1
    t.runs, t.sizes, t.values, t.n_sizes = &runs[0], &sizes[0], &values[0], values.shape[0]
    t.call, t.flop, t.element = call, flop, element
    t.keys, t.costs, t.results, t.places, t.filled = NULL, NULL, NULL, 0, 0
    t.states = <State *> malloc(cells * STATES * sizeof(State))
    t.counts = <int32_t *> calloc(cells, sizeof(int32_t))
    try:
        if not (t.states and t.counts):
            raise MemoryError(f"optimal: no memory for the order of {k} products")
        _remember(&t, (<int64_t> 1 << 62), INFINITY, 0)
        for i in range(period):
            t.states[(period + i) * STATES] = State(0.0, structures[i], 0, 0, 0)
            t.counts[period + i] = 1
        while True:
            with nogil:
                done = _fill(&t, &missing)
            if done:
                break
            seconds, result = pair(missing >> 32, missing & 0xFFFFFFFF)
            _remember(&t, missing, seconds, result)
        found = _brackets(&t)
        return found[0], found[1:]
    finally:
        free(t.states)
        free(t.counts)
        free(t.keys)
        free(t.costs)
        free(t.results)
