"""Greedy colorings of sparsity patterns.

A pattern is a pair of int32 arrays: `indptr` and `indices` of its compressed rows. In a partial
coloring the rows are what gets a color (pass the transpose to color columns); in a star or acyclic
coloring the rows are the vertices of a graph, an entry (i, j) off the diagonal is half an edge.

Star and acyclic colorings follow Gebremedhin, Tarafdar, Manne and Pothen, "New acyclic and star
coloring algorithms with application to computing Hessians", 2007, with one change: a vertex keeps
the distinct colors around it, so that a visit costs the colors, not the neighbours, of its
neighbours. A dense row costs no more than its entries.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memset

import numpy as np

from fastbp.errors import ShapeError

cdef extern from *:
    """
    #if defined(_MSC_VER)
    #include <intrin.h>
    static int fastbp_lowest_bit(unsigned __int64 x)
    {
        unsigned long k;
        if (_BitScanForward(&k, (unsigned long) x)) return (int) k;
        _BitScanForward(&k, (unsigned long) (x >> 32));
        return (int) k + 32;
    }
    #else
    #define fastbp_lowest_bit(x) __builtin_ctzll(x)
    #endif
    """
    int lowest_bit "fastbp_lowest_bit"(uint64_t x) noexcept nogil

cdef uint64_t FULL = ~(<uint64_t> 0)


# ---- patterns ----------------------------------------------------------------------------------


cdef int check_pattern(str name, const int[::1] indptr, const int[::1] indices,
                       Py_ssize_t width) except -1:
    """The kernels trust their pattern: prove it here."""
    cdef Py_ssize_t n = indptr.shape[0] - 1, nnz = indices.shape[0], i
    cdef bint good = n >= 0 and width >= 0 and indptr[0] == 0 and indptr[n] == nnz
    if good:
        with nogil:
            for i in range(n):
                good = good and indptr[i] <= indptr[i + 1]
            for i in range(nnz):
                good = good and 0 <= indices[i] < width
    if not good:
        raise ShapeError(f"{name}: indptr and indices do not describe rows of {width} columns")
    return 0


cdef int _check_order(str name, const int[::1] order, Py_ssize_t n) except -1:
    cdef Py_ssize_t i
    cdef char[::1] seen = np.zeros(n, np.int8)
    cdef bint good = order.shape[0] == n
    if good:
        for i in range(n):
            if not 0 <= order[i] < n or seen[order[i]]:
                good = False
                break
            seen[order[i]] = 1
    if not good:
        raise ShapeError(f"{name}: the order is not a permutation of {n}")
    return 0


def transpose(const int[::1] indptr not None, const int[::1] indices not None, Py_ssize_t width):
    """Transpose a pattern of `width` columns.

    Returns
    -------
    indptr, indices, entries : ndarray of int32
        The compressed columns, sorted; `entries` says where each entry was.
    """
    check_pattern("transpose", indptr, indices, width)
    cdef Py_ssize_t n = indptr.shape[0] - 1, i, e
    columns_array = np.zeros(width + 1, np.int32)
    rows_array = np.empty(indices.shape[0], np.int32)
    entries_array = np.empty(indices.shape[0], np.int32)
    cdef int[::1] columns = columns_array, rows = rows_array, entries = entries_array
    cdef int at
    with nogil:
        for e in range(indices.shape[0]):
            columns[indices[e] + 1] += 1
        for i in range(width):
            columns[i + 1] += columns[i]
        for i in range(n):
            for e in range(indptr[i], indptr[i + 1]):
                at = columns[indices[e]]
                columns[indices[e]] = at + 1
                rows[at] = <int> i
                entries[at] = <int> e
        for i in range(width, 0, -1):
            columns[i] = columns[i - 1]
        columns[0] = 0
    return columns_array, rows_array, entries_array


def edges(const int[::1] indptr not None, const int[::1] indices not None):
    """Number the edges of a symmetric pattern: both its entries get the edge's number.

    The rows must be sorted and without duplicates.

    Returns
    -------
    numbers : ndarray of int32, one for each entry
        Edges, smallest first in the order of the upper triangle; entries of the diagonal come
        after them. None if the pattern is not symmetric.
    count : int
        Of edges without the diagonal.
    """
    cdef Py_ssize_t n = indptr.shape[0] - 1, i, e
    cdef int j, count = 0, diagonal
    cdef bint symmetric = True
    check_pattern("edges", indptr, indices, n)
    numbers_array = np.full(indices.shape[0], -1, np.int32)
    next_array = np.array(indptr[:n], np.int32)
    cdef int[::1] numbers = numbers_array, next_entry = next_array
    with nogil:
        # Row i meets its smaller neighbours in the order in which they meet i.
        for i in range(n):
            for e in range(indptr[i], indptr[i + 1]):
                j = indices[e]
                if j <= i:
                    continue
                while next_entry[j] < indptr[j + 1] and indices[next_entry[j]] == j:
                    next_entry[j] += 1
                if next_entry[j] == indptr[j + 1] or indices[next_entry[j]] != i:
                    symmetric = False
                    break
                numbers[e] = numbers[next_entry[j]] = count
                next_entry[j] += 1
                count += 1
            if not symmetric:
                break
        diagonal = count
        if symmetric:
            for i in range(n):
                for e in range(indptr[i], indptr[i + 1]):
                    if indices[e] == i:
                        numbers[e] = diagonal
                        diagonal += 1
                    elif numbers[e] < 0:
                        symmetric = False
    return (numbers_array if symmetric else None), count


# ---- partial colorings -------------------------------------------------------------------------


def partial(const int[::1] indptr not None, const int[::1] indices not None, Py_ssize_t width,
            const int[::1] order=None):
    """Color the rows of a pattern so that rows with a common column differ.

    Each row takes the first color that is free (first fit).

    Parameters
    ----------
    indptr, indices : ndarray of int32
    width : int
        Number of columns.
    order : ndarray of int32, optional
        In which order rows are visited.

    Returns
    -------
    colors : ndarray of int32
        -1 for empty rows.
    count : int
        Number of colors.
    """
    cdef Py_ssize_t n = indptr.shape[0] - 1
    cdef int count
    check_pattern("partial", indptr, indices, width)
    if order is not None:
        _check_order("partial", order, n)
    array = np.full(n, -1, np.int32)
    if indices.shape[0] == 0:
        return array, 0
    cdef int[::1] colors = array
    cdef uint64_t[::1] used = np.empty(width, np.uint64)
    cdef int[::1] visits = np.arange(n, dtype=np.int32) if order is None else np.array(order)
    with nogil:
        count = _color_rows(&indptr[0], &indices[0], n, width, &visits[0], &used[0], &colors[0])
    return array, count


cdef int _color_rows(const int *indptr, const int *indices, Py_ssize_t n, Py_ssize_t width,
                     int *visits, uint64_t *used, int *colors) noexcept nogil:
    """First fit, 64 colors at a time.

    A column needs one bit for each color: `used` has those of the present 64. Rows for which none
    of them is free wait for the next pass, which sees them in the same order: the result is
    that of one pass, in memory that does not grow with the number of colors.
    """
    cdef Py_ssize_t left = n, kept, k, e
    cdef int v, first = 0, count = 0
    cdef uint64_t taken, bit
    while left:
        memset(used, 0, width * sizeof(uint64_t))
        kept = 0
        for k in range(left):
            v = visits[k]
            if indptr[v] == indptr[v + 1]:
                continue
            taken = 0
            for e in range(indptr[v], indptr[v + 1]):
                taken |= used[indices[e]]
            if taken == FULL:
                visits[kept] = v
                kept += 1
                continue
            colors[v] = first + lowest_bit(~taken)
            count = max(count, colors[v] + 1)
            bit = (<uint64_t> 1) << <uint64_t> (colors[v] - first)
            for e in range(indptr[v], indptr[v + 1]):
                used[indices[e]] |= bit
        left = kept
        first += 64
    return count


# ---- star and acyclic colorings ----------------------------------------------------------------


# A graph in the middle of being colored. Arrays of n vertices, `count` edges, 2 * count nodes.
cdef struct Graph:
    const int *indptr
    const int *indices
    const int *edges
    int *colors             # -1: not yet
    int *forbidden          # by color: the last vertex that must not have it
    # For the vertex that is visited, by color: its first neighbour of that color.
    int *first_for
    int *first_vertex
    int *first_edge
    # The distinct colors around each vertex, and one edge to each: lists of nodes.
    int *color_heads
    int *node_colors
    int *node_edges
    int *node_next
    int nodes
    # Star: the set of each edge, the centre of each set (-1: one edge, no centre yet), and for each
    # vertex the centres of the stars of which it is a leaf.
    # Acyclic: parents in a forest of sets, and by set the last vertex that met it, and where.
    int *sets
    int *centres
    int *treated
    int *centre_heads
    int *centre_vertices
    int *centre_next
    int centre_nodes
    # Star: the ends of each edge, the one that was colored later first.
    int *met_at
    int *met_by


cdef inline int _node_of(Graph *g, int w, int color) noexcept nogil:
    cdef int node = g.color_heads[w]
    while node >= 0 and g.node_colors[node] != color:
        node = g.node_next[node]
    return node


cdef inline void _note_color(Graph *g, int w, int color, int edge) noexcept nogil:
    cdef int node = g.nodes
    g.nodes += 1
    g.node_colors[node] = color
    g.node_edges[node] = edge
    g.node_next[node] = g.color_heads[w]
    g.color_heads[w] = node


cdef inline int _choose(Graph *g, int v) noexcept nogil:
    cdef int color = 0
    while g.forbidden[color] == v:
        color += 1
    g.colors[v] = color
    return color


cdef inline void _forbid_around(Graph *g, int v, int w) noexcept nogil:
    """`w` is one of two neighbours of one color: `v` must differ from all around it."""
    cdef int node = g.color_heads[w]
    while node >= 0:
        g.forbidden[g.node_colors[node]] = v
        node = g.node_next[node]
    g.treated[w] = v


cdef inline void _add_centre(Graph *g, int leaf, int centre) noexcept nogil:
    cdef int node = g.centre_nodes
    g.centre_nodes += 1
    g.centre_vertices[node] = centre
    g.centre_next[node] = g.centre_heads[leaf]
    g.centre_heads[leaf] = node


cdef void _forbid_star(Graph *g, int v) noexcept nogil:
    cdef Py_ssize_t e
    cdef int w, color, node
    for e in range(g.indptr[v], g.indptr[v + 1]):
        w = g.indices[e]
        color = g.colors[w]
        if color < 0 or w == v:
            continue
        g.forbidden[color] = v
        if g.first_for[color] == v:
            # Two neighbours of one color: v would be the middle of a path of two colors.
            if g.treated[g.first_vertex[color]] != v:
                _forbid_around(g, v, g.first_vertex[color])
            _forbid_around(g, v, w)
            continue
        g.first_for[color] = v
        g.first_vertex[color] = w
        g.first_edge[color] = g.edges[e]
        # v - w - centre - another leaf: v would be its end.
        node = g.centre_heads[w]
        while node >= 0:
            g.forbidden[g.colors[g.centre_vertices[node]]] = v
            node = g.centre_next[node]


cdef void _join_star(Graph *g, int v, int own) noexcept nogil:
    """The edges to colored neighbours become stars, or join those that they touch."""
    cdef Py_ssize_t e
    cdef int w, color, edge, star, node, other, centre, leaf
    for e in range(g.indptr[v], g.indptr[v + 1]):
        w = g.indices[e]
        color = g.colors[w]
        if color < 0 or w == v:
            continue
        edge = g.edges[e]
        node = _node_of(g, w, own)
        if node < 0 and g.first_vertex[color] == w:
            g.sets[edge] = edge
            g.centres[edge] = -1
        else:
            # Another edge of these two colors ends in w, or (from v) in `first_vertex`.
            other = g.node_edges[node] if node >= 0 else g.first_edge[color]
            centre = w if node >= 0 else v
            leaf = v if node >= 0 else w
            star = g.sets[other]
            g.sets[edge] = star
            if g.centres[star] < 0:
                g.centres[star] = centre
                # The one edge so far: its other end is a leaf, too.
                _add_centre(g, g.met_at[other] if g.met_at[other] != centre else g.met_by[other],
                            centre)
            _add_centre(g, leaf, centre)
        g.met_at[edge] = v
        g.met_by[edge] = w
        if node < 0:
            _note_color(g, w, own, edge)
        if g.first_vertex[color] == w:
            _note_color(g, v, color, edge)


cdef inline int _find(int *sets, int edge) noexcept nogil:
    while sets[edge] != edge:
        sets[edge] = sets[sets[edge]]
        edge = sets[edge]
    return edge


cdef void _forbid_acyclic(Graph *g, int v) noexcept nogil:
    cdef Py_ssize_t e
    cdef int w, node, tree, color
    for e in range(g.indptr[v], g.indptr[v + 1]):
        w = g.indices[e]
        if g.colors[w] >= 0 and w != v:
            g.forbidden[g.colors[w]] = v
    for e in range(g.indptr[v], g.indptr[v + 1]):
        w = g.indices[e]
        if g.colors[w] < 0 or w == v:
            continue
        color = g.colors[w]
        if g.first_for[color] != v:
            g.first_for[color] = v
            g.first_vertex[color] = w
            g.first_edge[color] = g.edges[e]
        node = g.color_heads[w]
        while node >= 0:
            if g.forbidden[g.node_colors[node]] != v:
                tree = _find(g.sets, g.node_edges[node])
                if g.met_by[tree] != v:
                    g.met_by[tree] = v
                    g.met_at[tree] = w
                elif g.met_at[tree] != w:
                    # Two neighbours in one tree of two colors: a cycle with that color.
                    g.forbidden[g.node_colors[node]] = v
            node = g.node_next[node]


cdef void _join_acyclic(Graph *g, int v, int own) noexcept nogil:
    cdef Py_ssize_t e
    cdef int w, color, edge, node
    for e in range(g.indptr[v], g.indptr[v + 1]):
        w = g.indices[e]
        color = g.colors[w]
        if color < 0 or w == v:
            continue
        edge = g.edges[e]
        g.sets[edge] = edge
        if g.first_vertex[color] == w:
            _note_color(g, v, color, edge)
        else:
            g.sets[_find(g.sets, edge)] = _find(g.sets, g.first_edge[color])
        node = _node_of(g, w, own)
        if node < 0:
            _note_color(g, w, own, edge)
        else:
            g.sets[_find(g.sets, edge)] = _find(g.sets, g.node_edges[node])


cdef int _color_graph(Graph *g, Py_ssize_t n, const int *order, bint acyclic) noexcept nogil:
    cdef Py_ssize_t k
    cdef int v, color, count = 0
    for k in range(n):
        v = order[k]
        if g.indptr[v] == g.indptr[v + 1]:
            continue
        if acyclic:
            _forbid_acyclic(g, v)
            color = _choose(g, v)
            _join_acyclic(g, v, color)
        else:
            _forbid_star(g, v)
            color = _choose(g, v)
            _join_star(g, v, color)
        count = max(count, color + 1)
    return count


def symmetric(const int[::1] indptr not None, const int[::1] indices not None,
              const int[::1] order not None, bint acyclic=False):
    """Color the graph of a symmetric pattern.

    Star: neighbours differ, and every path on four vertices has three colors. Acyclic: neighbours
    differ, and every cycle has three colors.

    Parameters
    ----------
    indptr, indices : ndarray of int32
        Sorted rows without duplicates.
    order : ndarray of int32
    acyclic : bool

    Returns
    -------
    colors : ndarray of int32
        -1 for empty rows.
    count : int
        Number of colors.

    Raises
    ------
    ShapeError
        If the pattern is not symmetric.
    """
    cdef Py_ssize_t n = indptr.shape[0] - 1, count
    cdef Graph g
    cdef int used
    cdef int[::1] memory
    cdef int *block
    numbers_array, count = edges(indptr, indices)
    if numbers_array is None:
        raise ShapeError("symmetric: the pattern is not symmetric")
    _check_order("symmetric", order, n)
    array = np.full(n, -1, np.int32)
    if indices.shape[0] == 0:
        return array, 0
    cdef int[::1] colors = array
    cdef const int[::1] numbers = numbers_array
    memset(&g, 0, sizeof(Graph))
    g.indptr, g.indices, g.edges, g.colors = &indptr[0], &indices[0], &numbers[0], &colors[0]
    memory = np.full(7 * (n + 1) + 14 * count, -1, np.int32)
    block = &memory[0]
    g.forbidden, g.first_for = block, block + (n + 1)
    g.first_vertex, g.first_edge = block + 2 * (n + 1), block + 3 * (n + 1)
    g.color_heads, g.centre_heads = block + 4 * (n + 1), block + 5 * (n + 1)
    g.treated = block + 6 * (n + 1)
    block += 7 * (n + 1)
    g.node_colors, g.node_edges, g.node_next = block, block + 2 * count, block + 4 * count
    g.centre_vertices, g.centre_next = block + 6 * count, block + 8 * count
    g.sets, g.centres = block + 10 * count, block + 11 * count
    g.met_at, g.met_by = block + 12 * count, block + 13 * count
    with nogil:
        used = _color_graph(&g, n, &order[0], acyclic)
    return array, used
