"""Fused time loops of the recurrent cells, forward and backward, without the GIL.

Forward: one product for the projections of all inputs; then for each step one product that adds
``h @ W``, and one pass over the gates. Backward: for each step one pass over the gates and one
product for the cotangent of the state; then one product over all steps for each weight and for the
inputs. The passes are in recurrent_level.h.

A call runs a segment of the sequence, from a state to a state: with checkpoints there are several.
Sequences are (T, B, ...); an axis of the batch may be missing. Steps are counted in the order in
which they run, from the last element where `reverse` is set.

What the backward pass reads beside the states is in `saved`: nothing (rnn); i, f, g, o, c, tanh c
(lstm); r, z, n, h_n (gru), where h_n is ``h @ W_n + c``.
"""

cimport numpy as cnp
from cython cimport floating
from libc.string cimport memcpy, memset
from fastbp._core.blas cimport c_gemm
from fastbp._core.buffers cimport new_array
from fastbp._core.graph cimport Variable
from fastbp._core.panels cimport (
    inner_product, inner_scratch, pack, packed_product, packed_size, panels_pay, rows_product,
)

import numpy as np

from fastbp.errors import DTypeError, ShapeError

cnp.import_array()

include "recurrent_segment.pxi"

CELLS = {"rnn": RNN, "lstm": LSTM, "gru": GRU}
ACTIVATIONS = {"tanh": 0, "relu": 1, "identity": 2}


# ---- forward -----------------------------------------------------------------------------------

cdef void fill_rows(Py_ssize_t rows, Py_ssize_t n, Py_ssize_t ld, const floating *row,
                    floating *out) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows):
        memcpy(out + i * ld, row, n * sizeof(floating))


cdef void forward_segment(const Segment *s, floating one) noexcept nogil:
    cdef Py_ssize_t n = s.n, size = s.batch * n, rows = s.steps * s.batch, i, t
    cdef Py_ssize_t ld = n if s.cell == RNN else s.saved_width
    cdef floating *pre = <floating *> (s.hs if s.cell == RNN else s.saved)
    cdef floating *hs = <floating *> s.hs
    cdef floating *gates
    cdef const floating *h = <const floating *> s.h_in
    cdef const floating *c = <const floating *> s.c_in
    cdef Py_ssize_t c_step = n
    if s.b != NULL:
        fill_rows(rows, s.width, ld, <const floating *> s.b, pre)
    rows_product(False, rows, s.width, s.m, <const floating *> s.xs, s.m,
                 <const floating *> s.U, s.width, one if s.b != NULL else 0 * one, pre, ld,
                 <floating *> s.scratch)
    for i in range(s.steps):
        t = s.steps - 1 - i if s.reverse else i
        gates = pre + t * s.batch * ld
        if s.cell == GRU:
            step_product(s, s.width, n, h, n, <const floating *> s.W, 0 * one,
                         <floating *> s.hw, s.width)
        else:
            step_product(s, s.width, n, h, n, <const floating *> s.W, one, gates, ld)
        forward_pass(s, gates, h, c, c_step, hs + t * size)
        if s.mask != NULL:
            carry(s, s.mask + t * s.batch, gates, h, c, c_step, hs + t * size)
        h = hs + t * size
        if s.cell == LSTM:
            c = gates + 4 * n
            c_step = ld


cdef inline void forward_pass(
    const Segment *s, floating *gates, const floating *h_prev, const floating *c_prev,
    Py_ssize_t c_step, floating *h,
) noexcept nogil:
    cdef Py_ssize_t n = s.n, ld = s.saved_width, r
    if s.cell == RNN:
        if floating is double:
            recurrent_d.activate(s.kind, s.batch * n, h)
        else:
            recurrent_f.activate(s.kind, s.batch * n, h)
        return
    for r in range(s.batch):
        if s.cell == LSTM:
            if floating is double:
                recurrent_d.lstm(n, gates + r * ld, c_prev + r * c_step, h + r * n)
            else:
                recurrent_f.lstm(n, gates + r * ld, c_prev + r * c_step, h + r * n)
        elif floating is double:
            recurrent_d.gru(n, gates + r * ld, <floating *> s.hw + r * s.width,
                            <const floating *> s.c, h_prev + r * n, h + r * n)
        else:
            recurrent_f.gru(n, gates + r * ld, <floating *> s.hw + r * s.width,
                            <const floating *> s.c, h_prev + r * n, h + r * n)


cdef void carry(
    const Segment *s, const char *mask, floating *gates, const floating *h_prev,
    const floating *c_prev, Py_ssize_t c_step, floating *h,
) noexcept nogil:
    """Keep the state of the members that this step does not concern."""
    cdef Py_ssize_t n = s.n, r
    for r in range(s.batch):
        if not mask[r]:
            memcpy(h + r * n, h_prev + r * n, n * sizeof(floating))
            if s.cell == LSTM:
                memcpy(gates + r * s.saved_width + 4 * n, c_prev + r * c_step,
                       n * sizeof(floating))


# ---- backward ----------------------------------------------------------------------------------

cdef void backward_segment(const Segment *s, floating one) noexcept nogil:
    cdef Py_ssize_t n = s.n, size = s.batch * n, ld = s.saved_width, i, t, before, c_step
    cdef floating *hs = <floating *> s.hs
    cdef floating *saved = <floating *> s.saved
    cdef floating *G
    cdef const floating *h_prev
    cdef const floating *c_prev
    cdef bint direct = s.cell == GRU or s.mask != NULL
    for i in range(s.steps - 1, -1, -1):
        t = s.steps - 1 - i if s.reverse else i
        before = t + 1 if s.reverse else t - 1
        h_prev = hs + before * size
        c_prev, c_step = saved + before * s.batch * ld + 4 * n, ld
        if i == 0:
            h_prev = <const floating *> s.h_in
            c_prev, c_step = <const floating *> s.c_in, n
        G = <floating *> s.G + t * s.batch * s.g_width
        backward_pass(s, t, h_prev, c_prev, c_step, G)
        if s.truncate > 0 and s.first + i > 0 and (s.first + i) % s.truncate == 0:
            memset(s.h_bar, 0, size * sizeof(floating))
            if s.cell == LSTM:
                memset(s.c_bar, 0, size * sizeof(floating))
            continue
        step_product(s, n, s.width, G, s.g_width, <const floating *> s.Wt,
                     one if direct else 0 * one, <floating *> s.h_bar, n)


cdef inline void backward_pass(
    const Segment *s, Py_ssize_t t, const floating *h_prev, const floating *c_prev,
    Py_ssize_t c_step, floating *G,
) noexcept nogil:
    cdef Py_ssize_t n = s.n, r, ld = s.saved_width, k
    cdef floating *h_bar = <floating *> s.h_bar
    cdef floating *c_bar = <floating *> s.c_bar
    cdef const floating *h = <const floating *> s.hs + t * s.batch * n
    cdef const floating *g = <const floating *> s.g + t * s.batch * n
    cdef const floating *gates = <const floating *> s.saved + t * s.batch * ld
    if s.cell == RNN and s.mask == NULL:
        if floating is double:
            recurrent_d.activate_vjp(s.kind, s.batch * n, h, g, h_bar, G)
        else:
            recurrent_f.activate_vjp(s.kind, s.batch * n, h, g, h_bar, G)
        return
    for r in range(s.batch):
        if s.mask != NULL and not s.mask[t * s.batch + r]:
            memset(G, 0, s.g_width * sizeof(floating))
            for k in range(n):
                h_bar[k] += g[k]
        elif s.cell == RNN:
            if floating is double:
                recurrent_d.activate_vjp(s.kind, n, h, g, h_bar, G)
            else:
                recurrent_f.activate_vjp(s.kind, n, h, g, h_bar, G)
            memset(h_bar, 0, n * sizeof(floating))
        elif s.cell == LSTM:
            if floating is double:
                recurrent_d.lstm_vjp(n, gates, c_prev, g, h_bar, c_bar, G)
            else:
                recurrent_f.lstm_vjp(n, gates, c_prev, g, h_bar, c_bar, G)
            if s.mask != NULL:
                memset(h_bar, 0, n * sizeof(floating))
        elif floating is double:
            recurrent_d.gru_vjp(n, gates, h_prev, g, h_bar, G)
        else:
            recurrent_f.gru_vjp(n, gates, h_prev, g, h_bar, G)
        G += s.g_width
        h_bar += n
        h += n
        g += n
        h_prev += n
        gates += ld
        if s.cell == LSTM:
            c_bar += n
            c_prev += c_step


cdef void weight_segment(const Segment *s, floating one) noexcept nogil:
    """The cotangents of weights, biases and inputs, from those before the activations."""
    cdef Py_ssize_t n = s.n, width = s.width, ldg = s.g_width, rows = s.steps * s.batch
    # The state before step 0 is not among hs; the others stand one element earlier (or later).
    cdef Py_ssize_t own = (s.steps - 1) * s.batch if s.reverse else 0
    cdef Py_ssize_t later = 0 if s.reverse else s.batch
    cdef Py_ssize_t states = s.batch if s.reverse else 0
    # gru: G has the columns of h_n, r, z, n, of which W meets the first three, U the others.
    cdef floating *G = <floating *> s.G
    cdef floating *GU = G + n if s.cell == GRU else G
    if s.steps <= 0:
        return
    if s.W_bar != NULL:
        inner_product(n, width, s.batch, <const floating *> s.h_in, n, G + own * ldg, ldg,
                      <floating *> s.W_bar, width, <floating *> s.scratch)
        inner_product(n, width, rows - s.batch, <const floating *> s.hs + states * n, n,
                      G + later * ldg, ldg, <floating *> s.W_bar, width, <floating *> s.scratch)
    if s.U_bar != NULL:
        inner_product(s.m, width, rows, <const floating *> s.xs, s.m, GU, ldg,
                      <floating *> s.U_bar, width, <floating *> s.scratch)
    if s.xs_bar != NULL:
        rows_product(True, rows, s.m, width, GU, ldg, <const floating *> s.U, width, 0 * one,
                     <floating *> s.xs_bar, s.m, <floating *> s.scratch)
    if s.b_bar != NULL:
        add_rows(rows, width, ldg, GU, <floating *> s.b_bar)
    if s.bias_bar != NULL:
        add_rows(rows, n, ldg, G, <floating *> s.bias_bar)


cdef inline void add_rows(Py_ssize_t rows, Py_ssize_t n, Py_ssize_t ld, const floating *x,
                          floating *out) noexcept nogil:
    if floating is double:
        recurrent_d.add_rows(rows, n, ld, x, out)
    else:
        recurrent_f.add_rows(rows, n, ld, x, out)


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


cdef int describe(Segment *s, str cell, str activation, bint reverse, cnp.ndarray xs,
                  cnp.ndarray h_in, cnp.ndarray W, object mask) except -1:
    cdef int typenum = cnp.PyArray_TYPE(xs)
    memset(s, 0, sizeof(Segment))
    if typenum != cnp.NPY_DOUBLE and typenum != cnp.NPY_FLOAT:
        raise DTypeError(f"{cell}: dtype {xs.dtype}; float32 or float64 is needed")
    s.cell, s.kind, s.reverse = CELLS[cell], ACTIVATIONS[activation], reverse
    if cnp.PyArray_NDIM(xs) < 2 or cnp.PyArray_NDIM(h_in) < 1 or cnp.PyArray_NDIM(W) != 2:
        raise ShapeError(f"{cell}: xs has {cnp.PyArray_NDIM(xs)} axes, W {cnp.PyArray_NDIM(W)}")
    s.steps, s.m = cnp.PyArray_DIM(xs, 0), cnp.PyArray_DIM(xs, cnp.PyArray_NDIM(xs) - 1)
    s.batch = cnp.PyArray_DIM(xs, 1) if cnp.PyArray_NDIM(xs) == 3 else 1
    s.n, s.width = cnp.PyArray_DIM(W, 0), cnp.PyArray_DIM(W, 1)
    if s.width != s.n * (1 if s.cell == RNN else 4 if s.cell == LSTM else 3):
        raise ShapeError(f"{cell}: W has shape {(s.n, s.width)}")
    s.saved_width = 0 if s.cell == RNN else 6 * s.n if s.cell == LSTM else 4 * s.n
    s.g_width = 4 * s.n if s.cell == GRU else s.width
    s.mode = mode_of(s.batch, s.n, s.width)
    if mask is not None:
        if mask.dtype != bool or mask.size != s.steps * s.batch or not mask.flags.c_contiguous:
            raise ShapeError(f"{cell}: mask has {mask.dtype} of shape {mask.shape}")
        s.mask = <const char *> cnp.PyArray_DATA(mask)
    return typenum


def fit(int gates, tuple operands):
    """Say whether operands need no conversion and have shapes that fit; biases may be None.

    Parameters
    ----------
    gates : int
    operands : tuple
        xs, h0, c0, W, U, b, c.
    """
    cdef cnp.npy_intp dims[7][3]
    cdef int nds[7]
    cdef int typenum = -1, i, k
    cdef cnp.ndarray a
    for i in range(7):
        x = operands[i]
        nds[i] = -1
        if x is None:
            continue
        if type(x) is Variable:
            x = (<Variable> x).value
        elif not cnp.PyArray_CheckExact(x):
            return False
        a = x
        if typenum < 0:
            typenum = cnp.PyArray_TYPE(a)
        if (cnp.PyArray_TYPE(a) != typenum or not cnp.PyArray_ISNOTSWAPPED(a)
                or cnp.PyArray_NDIM(a) > 3 or cnp.PyArray_NDIM(a) < 1):
            return False
        nds[i] = cnp.PyArray_NDIM(a)
        for k in range(nds[i]):
            dims[i][k] = cnp.PyArray_DIM(a, k)
    if typenum not in (cnp.NPY_DOUBLE, cnp.NPY_FLOAT) or nds[0] < 2 or nds[3] != 2 or nds[4] != 2:
        return False
    if nds[1] < 0 or (gates == 4 and nds[2] < 0):
        return False
    cdef cnp.npy_intp n = dims[3][0], width = gates * n
    if dims[3][1] != width or dims[4][1] != width or dims[4][0] != dims[0][nds[0] - 1]:
        return False
    for i in range(1, 3):
        if nds[i] >= 0 and (nds[i] != nds[0] - 1 or dims[i][nds[i] - 1] != n
                            or (nds[i] == 2 and dims[i][0] != dims[0][1])):
            return False
    return ((nds[5] < 0 or nds[5] == 1 and dims[5][0] == width)
            and (nds[6] < 0 or nds[6] == 1 and dims[6][0] == n))


def add_bars(dict bars, tuple names, needs, operands):
    """Add zeros for the operands that need a cotangent; undefined values for xs."""
    cdef cnp.ndarray x
    cdef int i
    for i in range(len(names)):
        name = names[i]
        if needs[i] and name not in bars:
            x = operands[i]
            if name == "xs":    # each segment overwrites its part of this one
                bars[name] = new_array(
                    cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x))
            else:
                bars[name] = cnp.PyArray_ZEROS(
                    cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x), 0)


def in_order(cnp.ndarray x not None):
    """Return an array, itself or a copy, in C order, aligned and of native byte order."""
    if cnp.PyArray_ISCARRAY_RO(x):
        return x
    return np.require(x, x.dtype.newbyteorder("="), "CA")


def forward(str cell, str activation, bint reverse, cnp.ndarray xs not None,
            cnp.ndarray h_in not None, c_in, cnp.ndarray W not None, U, b, c, mask, hs):
    """Run a segment forward.

    Parameters
    ----------
    cell : {"rnn", "lstm", "gru"}
    activation : {"tanh", "relu", "identity"}
        Of `rnn`.
    reverse : bool
    xs, h_in, c_in, W, U, b, c : ndarray or None
        C-ordered, of one dtype; c_in for lstm; the biases may be None.
    mask : ndarray of bool or None
    hs : ndarray
        The states, written here.

    Returns
    -------
    ndarray or None
        What `backward` reads.
    """
    cdef Segment s
    cdef int typenum = describe(&s, cell, activation, reverse, xs, h_in, W, mask)
    cdef Py_ssize_t rows = s.steps * s.batch, size = s.batch * s.n
    saved = None if s.cell == RNN else new_matrix(rows, s.saved_width, typenum)
    hw = None
    if s.cell == GRU:
        hw = new_matrix(s.batch, s.width, typenum)
        if c is None:
            c = np.zeros(s.n, xs.dtype)
    s.xs = pointer("xs", xs, typenum, rows * s.m)
    s.h_in = pointer("h0", h_in, typenum, size)
    s.c_in = pointer("c0", c_in, typenum, size)
    pointer("W", W, typenum, s.n * s.width)
    W = prepared(&s, W)
    s.W = cnp.PyArray_DATA(W)
    scratch = new_matrix(1, packed_size(s.m, s.width), typenum)
    s.scratch = cnp.PyArray_DATA(scratch)
    s.U = pointer("U", U, typenum, s.m * s.width)
    s.b = pointer("b", b, typenum, s.width)
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


def transposed(str cell, cnp.ndarray W not None, Py_ssize_t batch):
    """Return the transpose of W as `backward` reads it; for gru h_n stands before r and z."""
    cdef Segment s
    cdef Py_ssize_t n = cnp.PyArray_DIM(W, 0), width = cnp.PyArray_DIM(W, 1)
    cdef cnp.ndarray Wt = new_matrix(width, n, cnp.PyArray_TYPE(W))
    if cell == "gru":
        Wt[:n] = W.T[2 * n:]
        Wt[n:] = W.T[:2 * n]
    else:
        Wt[:] = W.T
    s.mode = mode_of(batch, n, width)
    return prepared(&s, Wt)


def backward(str cell, str activation, bint reverse, Py_ssize_t first, Py_ssize_t truncate,
             tuple residuals, cnp.ndarray g not None, cnp.ndarray Wt not None,
             cnp.ndarray h_bar not None, c_bar, tuple bars):
    """Run a segment backward.

    Parameters
    ----------
    cell, activation, reverse
        As for `forward`.
    first : int
        The step of the whole sequence with which the segment begins.
    truncate : int
        Cut the cotangent of the state before every step that is a multiple of it, but the first; 0:
        never.
    residuals : tuple
        ``(xs, h_in, c_in, W, U, mask, hs, saved)``.
    g : ndarray
        The cotangent of `hs`.
    Wt : ndarray
        From `transposed`.
    h_bar, c_bar : ndarray
        The cotangents of the state behind the segment; overwritten with those in front.
    bars : tuple
        ``(xs_bar, W_bar, U_bar, b_bar, c_bias_bar)``: the first is overwritten, the others are
        added to; None where none is wanted. The columns of W_bar have the order of `Wt`.
    """
    cdef Segment s
    xs, h_in, c_in, W, U, mask, hs, saved = residuals
    xs_bar, W_bar, U_bar, b_bar, bias_bar = bars
    cdef int typenum = describe(&s, cell, activation, reverse, xs, h_in, W, mask)
    cdef Py_ssize_t rows = s.steps * s.batch, size = s.batch * s.n
    s.first, s.truncate = first, truncate
    G = new_matrix(rows, s.g_width, typenum)
    s.xs = pointer("xs", xs, typenum, rows * s.m)
    s.h_in = pointer("h0", h_in, typenum, size)
    s.c_in = pointer("c0", c_in, typenum, size)
    s.U = pointer("U", U, typenum, s.m * s.width)
    s.hs = pointer("hs", hs, typenum, rows * s.n)
    s.saved = pointer("saved", saved, typenum, rows * s.saved_width)
    s.g = pointer("g", g, typenum, rows * s.n)
    s.Wt = pointer("Wt", Wt, typenum, packed_size(s.width, s.n) if s.mode == PANELS
                   else s.n * s.width)
    scratch = new_matrix(1, max(packed_size(s.width, s.m), inner_scratch(s.width)), typenum)
    s.scratch = cnp.PyArray_DATA(scratch)
    s.G = pointer("G", G, typenum, rows * s.g_width)
    s.h_bar = pointer("h_bar", h_bar, typenum, size, True)
    s.c_bar = pointer("c_bar", c_bar, typenum, size, True)
    s.xs_bar = pointer("xs_bar", xs_bar, typenum, rows * s.m, True)
    s.W_bar = pointer("W_bar", W_bar, typenum, s.n * s.width, True)
    s.U_bar = pointer("U_bar", U_bar, typenum, s.m * s.width, True)
    s.b_bar = pointer("b_bar", b_bar, typenum, s.width, True)
    s.bias_bar = pointer("c_bias_bar", bias_bar, typenum, s.n, True)
    if s.cell == LSTM and (s.c_in == NULL or s.c_bar == NULL):
        raise ShapeError("lstm: c0 is missing")
    if s.cell != RNN and s.saved == NULL:
        raise ShapeError(f"{cell}: the gates are missing")
    with nogil:
        if typenum == cnp.NPY_DOUBLE:
            backward_segment[double](&s, 1)
            weight_segment[double](&s, 1)
        else:
            backward_segment[float](&s, 1)
            weight_segment[float](&s, 1)
