"""Fused time loops of the recurrent cells, forward and backward, without the GIL.

Forward: one product for the projections of all inputs; then for each step one product that adds
``h @ W``, and one pass over the gates. Backward: for each step one pass over the gates and one
product for the cotangent of the state; then one product over all steps for each weight and for the
inputs. The passes are in recurrent_level.h.

`run` computes a whole sequence; with checkpoints there are several segments, each a call of
`forward` from a state to a state. A `Pull` is the way back. Sequences are (T, B, ...); an axis of
the batch may be missing. Steps are counted in the order in which they run, from the last element
where `reverse` is set.

What the backward pass reads beside the states is in `saved`: nothing (rnn); i, f, g, o, c, tanh c
(lstm); r, z, n, h_n (gru), where h_n is ``h @ W_n + c``.
"""

cimport cython
cimport numpy as cnp
from cython cimport floating
from libc.string cimport memcpy, memset
from fastbp._core.blas cimport c_gemm
from fastbp._core.buffers cimport new_array
from fastbp._core.graph cimport Variable
from fastbp._core.panels cimport (
    inner_product, pack, packed_product, packed_size, panels_pay, rows_product, rows_scratch,
)
from fastbp._core.threads cimport run_parallel, thread_count

import numpy as np

from fastbp._core.graph import array_of
from fastbp._core.simd import at_most
from fastbp.errors import DTypeError, ShapeError

cnp.import_array()

include "recurrent_segment.pxi"
include "recurrent_loops.pxi"

cdef enum:                  # places of the operands
    XS
    H0
    C0
    WEIGHT
    INPUT_WEIGHT
    BIAS
    INNER_BIAS

CELLS = {"rnn": RNN, "lstm": LSTM, "gru": GRU}
ACTIVATIONS = {"tanh": 0, "relu": 1, "identity": 2}


def _set_level(int limit):
    """Limit the instruction set, for tests: 0 baseline, 1 AVX2, 2 AVX-512. Return the one before.

    It stays within what `fastbp._core.simd` allows.
    """
    return recurrent_set_level(at_most(limit))


_set_level(2)


# ---- checks ------------------------------------------------------------------------------------

cdef void *pointer(
    str name, object x, int typenum, Py_ssize_t size, bint written=False
) except? NULL:
    """The data of a C-ordered array of a dtype and size; NULL for None."""
    cdef cnp.ndarray a
    if x is None:
        return NULL
    a = x
    if cnp.PyArray_TYPE(a) != typenum or not cnp.PyArray_ISCARRAY_RO(a):
        raise DTypeError(f"recurrent: {name} must be a C-ordered array of one dtype, "
                         f"not {a.dtype} of shape {x.shape}")
    if written and not cnp.PyArray_ISWRITEABLE(a):
        raise ValueError(f"recurrent: {name} is read-only")
    if cnp.PyArray_SIZE(a) != size:
        raise ShapeError(f"recurrent: {name} of shape {x.shape} has not {size} elements")
    return cnp.PyArray_DATA(a)


cdef cnp.ndarray new_matrix(Py_ssize_t rows, Py_ssize_t columns, int typenum):
    cdef cnp.npy_intp dims[2]
    dims[0], dims[1] = rows, columns
    return new_array(2, dims, typenum)


cdef inline cnp.ndarray zeros_like(cnp.ndarray x, bint filled=True):
    if filled:
        return cnp.PyArray_ZEROS(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x), 0)
    return new_array(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x))


cdef cnp.ndarray in_order(cnp.ndarray x):
    """An array, itself or a copy, in C order, aligned and of native byte order."""
    if cnp.PyArray_ISCARRAY_RO(x):
        return x
    return np.require(x, x.dtype.newbyteorder("="), "CA")


def any_variable(tuple operands not None):
    """Say whether one of them is a Variable."""
    for x in operands:
        if type(x) is Variable:
            return True
    return False


def fit(int gates, tuple operands not None):
    """Return those that are not None, if they need no conversion and have shapes that fit.

    Parameters
    ----------
    gates : int
    operands : tuple
        xs, h0, c0, W, U, b, c; biases may be None.
    """
    cdef cnp.npy_intp dims[7][3]
    cdef int nds[7]
    cdef int typenum = -1, i, k
    cdef cnp.ndarray a
    cdef list present = []
    for i in range(7):
        x = operands[i]
        nds[i] = -1
        if x is None:
            continue
        present.append(x)
        if type(x) is Variable:
            x = array_of(x)
        elif not cnp.PyArray_CheckExact(x):
            return None
        a = x
        if typenum < 0:
            typenum = cnp.PyArray_TYPE(a)
        if (cnp.PyArray_TYPE(a) != typenum or not cnp.PyArray_ISNOTSWAPPED(a)
                or cnp.PyArray_NDIM(a) > 3 or cnp.PyArray_NDIM(a) < 1):
            return None
        nds[i] = cnp.PyArray_NDIM(a)
        for k in range(nds[i]):
            dims[i][k] = cnp.PyArray_DIM(a, k)
    if typenum not in (cnp.NPY_DOUBLE, cnp.NPY_FLOAT) or nds[0] < 2 or nds[3] != 2 or nds[4] != 2:
        return None
    if nds[1] < 0 or (gates == 4 and nds[2] < 0):
        return None
    cdef cnp.npy_intp n = dims[3][0], width = gates * n
    if dims[3][1] != width or dims[4][1] != width or dims[4][0] != dims[0][nds[0] - 1]:
        return None
    for i in range(1, 3):
        if nds[i] >= 0 and (nds[i] != nds[0] - 1 or dims[i][nds[i] - 1] != n
                            or (nds[i] == 2 and dims[i][0] != dims[0][1])):
            return None
    if nds[5] >= 0 and (nds[5] != 1 or dims[5][0] != width):
        return None
    if nds[6] >= 0 and (nds[6] != 1 or dims[6][0] != n):
        return None
    return tuple(present)


# ---- one call of a cell ------------------------------------------------------------------------

@cython.final
cdef class Layer:
    """One call of a cell: its options.

    Parameters
    ----------
    cell : {"rnn", "lstm", "gru"}
    given : tuple
        The operands or None: xs, h0, c0, W, U, b, c. Only which of them are there is kept.
    activation : {"tanh", "relu", "identity"}
        Of `rnn`.
    reverse : bool
    mask : ndarray of bool or None
        C-ordered, with an element for each step of each member.
    truncate : int
        Cut the cotangent of the state before every step that is a multiple of it, but the first; 0:
        never.
    schedule : object
        For checkpoints; None without.
    """
    cdef readonly str cell, activation
    cdef readonly bint reverse
    cdef readonly object mask, schedule
    cdef readonly Py_ssize_t truncate
    cdef readonly tuple places      # of the operands, among the seven

    def __init__(self, str cell, tuple given, str activation, bint reverse, mask,
                 Py_ssize_t truncate, schedule):
        cdef int k
        if len(given) != 7 or (cell == "lstm") == (given[C0] is None) or any(
                [given[k] is None for k in (XS, H0, WEIGHT, INPUT_WEIGHT)]):
            raise ShapeError(f"{cell}: an operand is missing")
        self.cell, self.activation, self.reverse = cell, activation, reverse
        self.mask, self.truncate, self.schedule = mask, truncate, schedule
        self.places = tuple([k for k in range(7) if given[k] is not None])

    def by_place(self, tuple operands not None):
        """Return a list of the seven operands, in C order; None for those that are missing."""
        cdef list p = [None] * 7
        cdef Py_ssize_t k
        if len(operands) != len(self.places):
            raise ShapeError(f"{self.cell}: {len(operands)} operands, not {len(self.places)}")
        for k in range(len(self.places)):
            p[self.places[k]] = in_order(operands[k])
        return p


cdef int describe(Segment *s, Layer layer, list p, Py_ssize_t low, Py_ssize_t high) except -1:
    """Fill in what both directions need of steps low to high; return the type number."""
    cdef cnp.ndarray xs, W
    cdef Py_ssize_t steps, start
    cdef int typenum, nd
    cdef str cell = layer.cell
    memset(s, 0, sizeof(Segment))
    if (len(p) != 7 or p[XS] is None or p[H0] is None or p[WEIGHT] is None
            or p[INPUT_WEIGHT] is None):
        raise ShapeError(f"{cell}: an operand is missing")
    xs, W = p[XS], p[WEIGHT]
    typenum, nd = cnp.PyArray_TYPE(xs), cnp.PyArray_NDIM(xs)
    if typenum != cnp.NPY_DOUBLE and typenum != cnp.NPY_FLOAT:
        raise DTypeError(f"{cell}: dtype {xs.dtype}; float32 or float64 is needed")
    if nd < 2 or nd > 3 or cnp.PyArray_NDIM(W) != 2:
        raise ShapeError(f"{cell}: xs has {nd} axes, W {cnp.PyArray_NDIM(W)}")
    steps = cnp.PyArray_DIM(xs, 0)
    if not 0 <= low <= high <= steps:
        raise ShapeError(f"{cell}: steps {low} to {high} of {steps}")
    s.cell, s.kind, s.reverse = CELLS[cell], ACTIVATIONS[layer.activation], layer.reverse
    s.first, s.truncate = low, layer.truncate
    s.steps, s.m = high - low, cnp.PyArray_DIM(xs, nd - 1)
    s.batch = s.members = cnp.PyArray_DIM(xs, 1) if nd == 3 else 1
    s.n, s.width = cnp.PyArray_DIM(W, 0), cnp.PyArray_DIM(W, 1)
    if s.width != s.n * (1 if s.cell == RNN else 4 if s.cell == LSTM else 3):
        raise ShapeError(f"{cell}: W has shape {(s.n, s.width)}")
    s.saved_width = 0 if s.cell == RNN else 6 * s.n if s.cell == LSTM else 4 * s.n
    s.g_width = 4 * s.n if s.cell == GRU else s.width
    s.mode = mode_of(s.batch, s.n, s.width)
    start = (steps - high if s.reverse else low) * s.batch
    s.xs = part(pointer("xs", xs, typenum, steps * s.batch * s.m), start * s.m, typenum)
    s.U = pointer("U", p[INPUT_WEIGHT], typenum, s.m * s.width)
    if layer.mask is not None:
        mask = layer.mask
        if (mask.dtype != bool or mask.size != steps * s.batch or not mask.flags.c_contiguous):
            raise ShapeError(f"{cell}: mask has {mask.dtype} of shape {mask.shape}")
        s.mask = <const char *> cnp.PyArray_DATA(mask) + start
    return typenum


cdef object scratch_for(Segment *s, int typenum):
    """An array for the long products, or None."""
    cdef Py_ssize_t size = max(rows_scratch(s.m, s.width), rows_scratch(s.width, s.m),
                               rows_scratch(s.n, s.width))
    if not size:
        return None
    scratch = new_matrix(1, size, typenum)
    s.scratch = cnp.PyArray_DATA(scratch)
    return scratch


cdef void *part(void *data, Py_ssize_t offset, int typenum) noexcept:
    """The address `offset` elements behind `data`; NULL stays NULL."""
    if data == NULL:
        return NULL
    return <char *> data + offset * (8 if typenum == cnp.NPY_DOUBLE else 4)


# ---- forward

def forward(Layer layer not None, list p not None, Py_ssize_t low, Py_ssize_t high,
            cnp.ndarray h_in not None, c_in, cnp.ndarray hs not None):
    """Run steps low to high of a sequence.

    Parameters
    ----------
    layer : Layer
    p : list of ndarray or None
        From ``layer.by_place``.
    low, high : int
    h_in, c_in : ndarray
        The state before step `low`; the second one is for lstm.
    hs : ndarray
        The states, written here.

    Returns
    -------
    ndarray or None
        The gates, which the backward pass reads.
    """
    cdef Segment s
    cdef int typenum = describe(&s, layer, p, low, high)
    cdef Py_ssize_t rows = s.steps * s.batch, size = s.batch * s.n
    saved = None if s.cell == RNN else new_matrix(rows, s.saved_width, typenum)
    c = p[INNER_BIAS]
    hw = None
    if s.cell == GRU:
        hw = new_matrix(s.batch, s.width, typenum)
        if c is None:
            c = np.zeros(s.n, h_in.dtype)
    s.h_in = pointer("h0", h_in, typenum, size)
    s.c_in = pointer("c0", c_in, typenum, size)
    pointer("W", p[WEIGHT], typenum, s.n * s.width)
    _W = prepared(&s, p[WEIGHT], s.n, s.width, cnp.PyArray_DATA(p[WEIGHT]), &s.W)
    _scratch = scratch_for(&s, typenum)
    s.b = pointer("b", p[BIAS], typenum, s.width)
    s.c = pointer("c", c, typenum, s.n)
    s.hs = pointer("hs", hs, typenum, rows * s.n, True)
    s.saved = pointer("saved", saved, typenum, rows * s.saved_width)
    s.hw = pointer("hw", hw, typenum, size * 3)
    if s.cell == LSTM and s.c_in == NULL:
        raise ShapeError("lstm: c0 is missing")
    with nogil:
        if typenum == cnp.NPY_DOUBLE:
            forward_segment[double](&s, 1)
        else:
            forward_segment[float](&s, 1)
    return saved


def last_cell(Layer layer not None, cnp.ndarray saved not None, cnp.ndarray h not None):
    """Return the cell state of lstm behind a segment, from its gates; `h` has its shape."""
    cdef Py_ssize_t n = h.shape[cnp.PyArray_NDIM(h) - 1]
    cdef Py_ssize_t batch = h.shape[0] if cnp.PyArray_NDIM(h) == 2 else 1
    last = saved[:batch] if layer.reverse else saved[saved.shape[0] - batch:]
    return np.array(last[:, 4 * n:5 * n], order="C").reshape((<object> h).shape)


def run(*operands, Layer layer not None):
    """Compute all states.

    Parameters
    ----------
    *operands : ndarray
    layer : Layer

    Returns
    -------
    value : ndarray or tuple of two
        The states, for lstm with the last cell state.
    saved : ndarray or None
        The gates, which the backward pass reads.
    """
    cdef list p = layer.by_place(operands)
    cdef cnp.ndarray h = p[H0], hs
    cdef Py_ssize_t steps = cnp.PyArray_DIM(p[XS], 0)
    cdef cnp.npy_intp dims[3]
    cdef int k
    if cnp.PyArray_NDIM(h) > 2:
        raise ShapeError(f"{layer.cell}: h0 has shape {(<object> h).shape}")
    dims[0] = steps
    for k in range(cnp.PyArray_NDIM(h)):
        dims[k + 1] = cnp.PyArray_DIM(h, k)
    hs = new_array(cnp.PyArray_NDIM(h) + 1, dims, cnp.PyArray_TYPE(h))
    saved = forward(layer, p, 0, steps, h, p[C0], hs)
    return (hs, last_cell(layer, saved, h)) if layer.cell == "lstm" else hs, saved


# ---- backward

@cython.final
cdef class Pull:
    """The backward pass of one call, segment by segment from the last to the first.

    Parameters
    ----------
    layer : Layer
    g : ndarray
        The cotangent of the states.
    c_bar : ndarray or None
        That of the last cell state of lstm; None for zero.
    needs : tuple of bool
        Which operands need a cotangent.
    operands : tuple of ndarray
    """
    cdef readonly Layer layer
    cdef readonly list p            # the operands by place
    # Their cotangents: segments overwrite those of the state, and their part of that of xs; they
    # add to the others.
    cdef list bars
    cdef cnp.ndarray g, Wt
    cdef void *transposed           # in Wt
    cdef tuple needs

    def __init__(self, Layer layer not None, cnp.ndarray g not None, c_bar, tuple needs not None,
                 tuple operands not None):
        cdef Segment s
        cdef Py_ssize_t k
        self.layer, self.needs, self.g = layer, needs, in_order(g)
        cdef list p = layer.by_place(operands), bars = [None] * 7
        if len(needs) != len(operands):
            raise ShapeError(f"{layer.cell}: {len(needs)} needs, {len(operands)} operands")
        self.p, self.bars = p, bars
        describe(&s, layer, p, 0, 0)
        self.Wt = transposed(&s, p[WEIGHT], &self.transposed)
        bars[H0] = zeros_like(p[H0])
        if s.cell == LSTM:
            bars[C0] = zeros_like(p[C0]) if c_bar is None else np.array(c_bar, order="C")
        for k in range(len(needs)):
            if needs[k] and bars[layer.places[k]] is None:
                bars[layer.places[k]] = zeros_like(p[layer.places[k]], layer.places[k] != XS)

    def __call__(self, Py_ssize_t low, Py_ssize_t high, cnp.ndarray h_in not None, c_in,
                 cnp.ndarray hs not None, saved):
        """Go back from step `high` to `low`, given the state in front, the states and the gates."""
        cdef Segment s
        cdef Layer layer = self.layer
        cdef list p = self.p, bars = self.bars
        cdef int typenum = describe(&s, layer, p, low, high)
        cdef Py_ssize_t rows = s.steps * s.batch, size = s.batch * s.n
        cdef Py_ssize_t steps = cnp.PyArray_DIM(p[XS], 0)
        cdef Py_ssize_t start = (steps - high if s.reverse else low) * s.batch
        G = new_matrix(rows, s.g_width, typenum)
        s.G = cnp.PyArray_DATA(G)
        _scratch = scratch_for(&s, typenum)
        s.h_in = pointer("h0", h_in, typenum, size)
        s.c_in = pointer("c0", c_in, typenum, size)
        s.hs = pointer("hs", hs, typenum, rows * s.n)
        s.saved = pointer("saved", saved, typenum, rows * s.saved_width)
        s.g = part(pointer("g", self.g, typenum, steps * size), start * s.n, typenum)
        s.Wt = self.transposed
        s.h_bar = pointer("h_bar", bars[H0], typenum, size, True)
        s.c_bar = pointer("c_bar", bars[C0], typenum, size, True)
        s.xs_bar = part(pointer("xs_bar", bars[XS], typenum, steps * s.batch * s.m, True),
                        start * s.m, typenum)
        s.W_bar = pointer("W_bar", bars[WEIGHT], typenum, s.n * s.width, True)
        s.U_bar = pointer("U_bar", bars[INPUT_WEIGHT], typenum, s.m * s.width, True)
        s.b_bar = pointer("b_bar", bars[BIAS], typenum, s.width, True)
        s.bias_bar = pointer("c_bias_bar", bars[INNER_BIAS], typenum, s.n, True)
        if s.cell == LSTM and (s.c_in == NULL or s.c_bar == NULL):
            raise ShapeError("lstm: c0 is missing")
        if s.cell != RNN and s.saved == NULL:
            raise ShapeError(f"{layer.cell}: the gates are missing")
        with nogil:
            if typenum == cnp.NPY_DOUBLE:
                backward_segment[double](&s, 1)
            else:
                backward_segment[float](&s, 1)

    def whole(self, cnp.ndarray hs not None, saved):
        """Go back through all steps at once, given what `run` returned."""
        cdef list p = self.p
        self(0, cnp.PyArray_DIM(p[XS], 0), p[H0], p[C0], hs, saved)

    def cotangents(self):
        """Return a list of the operands' cotangents; None where none is needed."""
        cdef list bars = self.bars
        cdef Py_ssize_t k, n
        if self.layer.cell == "gru" and bars[WEIGHT] is not None:   # the columns of h_n, r, z
            n = cnp.PyArray_DIM(bars[WEIGHT], 0)
            bars[WEIGHT] = np.roll(bars[WEIGHT], -n, axis=1)
        return [bars[self.layer.places[k]] if self.needs[k] else None
                for k in range(len(self.needs))]
