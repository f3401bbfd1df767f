"""What the order of a chain's products needs to know of its links, without Python between them.

Dense chains are ordered by dynamic programming over intervals (Godbole 1973) with the cost of a
dense product; `fastbp._core.chain` orders all others.
"""

cimport numpy as cnp
from cpython.object cimport PyObject
from libc.math cimport INFINITY
from libc.stdlib cimport free, malloc

from fastbp.errors import ShapeError

cnp.import_array()

cdef enum:
    MEMO = 32  # pairs of structures that a fold remembers


cdef struct Model:
    double call  # seconds of a dense product: for itself, each multiplication, each element
    double flop
    double element


# ---- from one end to the other

def fold(list structures not None, bint left, pair):
    """Find the products of a chain from one end to the other.

    Parameters
    ----------
    structures : list of Structure
        Equal ones are one object.
    left : bool
        Begin at the left end.
    pair : callable
        ``pair(a, b) -> (seconds, structure, ...)`` of the product of two structures.

    Returns
    -------
    seconds : float
    found : list
        What `pair` returned for each product.
    """
    cdef PyObject *firsts[MEMO]
    cdef PyObject *seconds[MEMO]
    cdef Py_ssize_t places[MEMO]
    cdef Py_ssize_t i, at, known = 0, k = len(structures)
    cdef double total = 0
    cdef object root = structures[0 if left else k - 1], other
    cdef tuple entry
    cdef list found = []
    for i in range(1, k):
        other = structures[i if left else k - 1 - i]
        at = 0
        while at < known and not (firsts[at] == <PyObject *> root and
                                  seconds[at] == <PyObject *> other):
            at += 1
        if at < known:
            entry = <tuple> found[places[at]]
        else:
            entry = pair(root, other) if left else pair(other, root)
            if known < MEMO:
                firsts[known], seconds[known] = <PyObject *> root, <PyObject *> other
                places[known] = len(found)
                known += 1
        found.append(entry)
        total += <double> entry[0]
        root = entry[1]
    return total, found


# ---- dense links

def matrices(links not None, kind):
    """Return the matrices of a chain that has nothing else.

    Parameters
    ----------
    links : tuple
    kind : type
        Of factors that are dense: they hold a matrix as `_array`.

    Returns
    -------
    arrays : list of ndarray
    sizes : tuple of int
        The number of rows of each, and of columns of the last.
    or None
        Where another link, a dtype that differs, or a size that does not fit is for others to see.
    """
    cdef list arrays = [], sizes = []
    cdef cnp.ndarray a
    cdef int typenum = -1
    cdef Py_ssize_t columns = -1
    for x in links:
        if type(x) is kind:
            x = x._array
        if type(x) is not cnp.ndarray:
            return None
        a = x
        if cnp.PyArray_NDIM(a) != 2 or not cnp.PyArray_ISNOTSWAPPED(a):
            return None
        if typenum == -1:
            typenum = cnp.PyArray_TYPE(a)
            if typenum != cnp.NPY_DOUBLE and typenum != cnp.NPY_FLOAT:
                return None
        elif cnp.PyArray_TYPE(a) != typenum or cnp.PyArray_DIM(a, 0) != columns:
            return None
        columns = cnp.PyArray_DIM(a, 1)
        arrays.append(a)
        sizes.append(cnp.PyArray_DIM(a, 0))
    if not arrays:
        return None
    sizes.append(columns)
    return arrays, tuple(sizes)


cdef inline double _product(const Model *t, double m, double k, double n) noexcept nogil:
    return t.call + t.flop * m * k * n + t.element * (m * k + k * n + m * n)


cdef double *_read(tuple sizes, Py_ssize_t *k) except NULL:
    """Return the sizes as a new array, to be freed."""
    cdef Py_ssize_t i, n = len(sizes)
    cdef double *found
    if n < 2:
        raise ShapeError(f"a chain has at least two sizes, got {n}")
    found = <double *> malloc(n * sizeof(double))
    if not found:
        raise MemoryError(f"no memory for the sizes of {n - 1} links")
    try:
        for i in range(n):
            found[i] = sizes[i]
    except BaseException:
        free(found)
        raise
    k[0] = n - 1
    return found


def bounds(tuple sizes not None, double call, double flop, double element):
    """Return times of the products of a dense chain.

    Parameters
    ----------
    sizes : tuple of int
    call, flop, element : float
        Seconds of a product: for itself, each multiplication, each element of three matrices.

    Returns
    -------
    left, right : float
        From left to right, and from right to left.
    least : float
        No order takes less. All k - 1 products are of at least the smallest size, and every link
        is read once, with the smallest size as the third of its product; at most two in one.
    """
    cdef Model t = Model(call, flop, element)
    cdef Py_ssize_t i, k
    cdef double *p = _read(sizes, &k)
    cdef double left = 0, right = 0, least = 0, smallest = INFINITY, elements = 0
    for i in range(k + 1):
        smallest = min(smallest, p[i])
    for i in range(1, k):
        left += _product(&t, p[0], p[i], p[i + 1])
        right += _product(&t, p[i - 1], p[i], p[k])
    for i in range(k):
        elements += p[i] * p[i + 1]
    least = (k - 1) * call + elements * (t.element + t.flop * smallest / 2)
    least = max(least, (k - 1) * _product(&t, smallest, smallest, smallest))
    free(p)
    return left, right, least


cdef void _fill(const Model *t, Py_ssize_t k, const double *sizes, double *costs) noexcept nogil:
    """Find the least cost of each interval of links.

    That of links i to j is kept at costs[i, j] and again at costs[j, i], so that the loop over
    splits reads along two rows; four minima at once, as one would wait for the last comparison.
    """
    cdef Py_ssize_t length, i, j, s, stride = k + 1
    cdef double m, n, c, e, x, y, z, w
    cdef const double *a
    cdef const double *b
    for i in range(k + 1):
        costs[i * stride + i] = 0
    for i in range(k):
        costs[i * stride + i + 1] = costs[(i + 1) * stride + i] = 0
    for length in range(2, k + 1):
        for i in range(k - length + 1):
            j = i + length
            m, n = sizes[i], sizes[j]
            c = t.flop * m * n + t.element * (m + n)
            a, b = costs + i * stride, costs + j * stride
            x = y = z = w = INFINITY
            s = i + 1
            while s + 4 <= j:
                x = min(x, a[s] + b[s] + c * sizes[s])
                y = min(y, a[s + 1] + b[s + 1] + c * sizes[s + 1])
                z = min(z, a[s + 2] + b[s + 2] + c * sizes[s + 2])
                w = min(w, a[s + 3] + b[s + 3] + c * sizes[s + 3])
                s += 4
            while s < j:
                x = min(x, a[s] + b[s] + c * sizes[s])
                s += 1
            e = min(min(x, y), min(z, w)) + t.call + t.element * m * n
            costs[i * stride + j] = costs[j * stride + i] = e


cdef Py_ssize_t _split(const Model *t, Py_ssize_t k, const double *sizes, const double *costs,
                       Py_ssize_t i, Py_ssize_t j) noexcept nogil:
    """Return the best split of an interval, the first of equals."""
    cdef Py_ssize_t s, found = i + 1, stride = k + 1
    cdef double c = t.flop * sizes[i] * sizes[j] + t.element * (sizes[i] + sizes[j])
    cdef double cost, best = INFINITY
    for s in range(i + 1, j):
        cost = costs[i * stride + s] + costs[j * stride + s] + c * sizes[s]
        if cost < best:
            best, found = cost, s
    return found


def optimal(tuple sizes not None, double call, double flop, double element):
    """Return the cheapest order of a chain of different dense matrices.

    Parameters
    ----------
    sizes, call, flop, element : see `bounds`

    Returns
    -------
    seconds : float
    products : tuple of (int, int)
        The two values of each product; values 0 to k - 1 are the links, further ones products.
    """
    cdef Model t = Model(call, flop, element)
    cdef Py_ssize_t k, i, s, stop, made
    cdef double *p = _read(sizes, &k)
    cdef double *costs = <double *> malloc((k + 1) * (k + 1) * sizeof(double))
    cdef Py_ssize_t *todo = <Py_ssize_t *> malloc(4 * (k + 1) * sizeof(Py_ssize_t))
    cdef Py_ssize_t top = 0
    cdef list products = []
    cdef list values = []
    try:
        if not (costs and todo):
            raise MemoryError(f"optimal: no memory for the order of {k} products")
        with nogil:
            _fill(&t, k, p, costs)
        # Depth first; -1 as the end of an interval: multiply the last two values.
        todo[0], todo[1], top, made = 0, k, 2, k
        while top:
            top -= 2
            i, stop = todo[top], todo[top + 1]
            if stop == -1:
                right = values.pop()
                products.append((values.pop(), right))
                values.append(made)
                made += 1
            elif stop - i == 1:
                values.append(i)
            else:
                s = _split(&t, k, p, costs, i, stop)
                todo[top], todo[top + 1] = 0, -1
                todo[top + 2], todo[top + 3] = s, stop
                todo[top + 4], todo[top + 5] = i, s
                top += 6
        return costs[k], tuple(products)
    finally:
        free(p)
        free(costs)
        free(todo)
