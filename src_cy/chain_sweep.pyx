"""Sweeps of vectors through chains of Jacobians: many products, without Python between them."""

cimport numpy as cnp
from cython cimport floating
from libc.stdlib cimport calloc, free, malloc

import numpy as np

from fastbp._core.blas cimport c_gemm

from fastbp.errors import DTypeError, ShapeError

cnp.import_array()


cdef enum Kind:
    GEMM
    SCALE
    TIMES
    TAKE
    PYTHON


cdef struct Step:
    Kind kind
    bint trans
    bint ends  # the last step of a factor
    Py_ssize_t m
    Py_ssize_t n
    Py_ssize_t ld
    double times
    const void *data


cdef inline void _step(const Step *s, Py_ssize_t k, const floating *x,
                       floating *y) noexcept nogil:
    """Multiply k rows: y = x @ step."""
    cdef Py_ssize_t i, j, m = s.m, n = s.n
    cdef const floating *d = <const floating *> s.data
    cdef const Py_ssize_t *index = <const Py_ssize_t *> s.data
    cdef floating c = <floating> s.times
    if s.kind == GEMM:
        c_gemm(False, s.trans, k, n, m, <floating> 1, x, max(1, m), d, s.ld, <floating> 0, y,
               max(1, n))
    elif s.kind == SCALE:
        for i in range(k):
            for j in range(n):
                y[i * n + j] = x[i * n + j] * d[j]
    elif s.kind == TIMES:
        for i in range(k * n):
            y[i] = x[i] * c
    else:
        for i in range(k):
            for j in range(n):
                y[i * n + j] = x[i * m + index[j]]


cdef void _run(const Step *steps, Py_ssize_t first, Py_ssize_t last, Py_ssize_t k,
               const floating *x, floating *one, floating *two, floating **marks,
               floating *out) noexcept nogil:
    """Multiply through steps; results go to `marks` at the ends of factors, and at last to `out`.

    Between them they alternate between two buffers.
    """
    cdef Py_ssize_t i, factor = 0
    cdef floating *y
    for i in range(first, last):
        if marks != NULL and steps[i].ends:
            y = marks[factor]
            factor += 1
        elif i == last - 1:
            y = out
        else:
            y = two if x == one else one
        _step(&steps[i], k, x, y)
        x = y


cdef class Sweep:
    """Rows of vectors multiplied through a chain from the left, ``x @ F[0] @ F[1] ...``.

    Parameters
    ----------
    factors : sequence of sequences of steps
        The steps of each factor: ``("gemm", W)``, ``("scale", d)``, ``("times", c, n)``,
        ``("take", index, m)``: columns of x; or an object with a method ``_left(x)`` and a `shape`.
    dtype : dtype, float64 or float32
    """

    cdef list _keep
    cdef list _objects
    cdef list _widths
    cdef Step *_steps
    cdef Py_ssize_t _count
    cdef bint _single
    cdef object _dtype

    def __cinit__(self, factors, dtype):
        cdef Py_ssize_t i = 0
        self._dtype = np.dtype(dtype)
        if self._dtype not in (np.float64, np.float32):
            raise DTypeError(f"Sweep: dtype must be float64 or float32, not {dtype}")
        self._single = self._dtype == np.float32
        flat = [(step, j == len(steps) - 1) for steps in factors for j, step in enumerate(steps)]
        self._keep, self._objects, self._widths = [], [], []
        self._steps = <Step *> calloc(max(1, len(flat)), sizeof(Step))
        if not self._steps:
            raise MemoryError("Sweep: no memory for the steps")
        self._count = len(flat)
        for i, (step, ends) in enumerate(flat):
            self._steps[i].ends = ends
            if isinstance(step, tuple):
                self._enter(&self._steps[i], step)
                self._objects.append(None)
            else:
                self._steps[i].kind = PYTHON
                self._steps[i].m, self._steps[i].n = step.shape
                self._objects.append(step)
            if i and self._steps[i].m != self._steps[i - 1].n:
                raise ShapeError(
                    f"Sweep: step {i} has {self._steps[i].m} rows, "
                    f"the one before {self._steps[i - 1].n} columns"
                )

    def __dealloc__(self):
        free(self._steps)

    cdef int _enter(self, Step *s, tuple step) except -1:
        name = step[0]
        if name == "times":
            s.kind, s.times, s.m, s.n = TIMES, step[1], step[2], step[2]
            return 0
        cdef cnp.ndarray a
        if name == "take":
            a = np.ascontiguousarray(step[1], np.intp)
            if a.size and not (a.min() >= 0 and a.max() < step[2]):
                raise ShapeError(f"Sweep: an index is outside of 0 to {step[2] - 1}")
            s.kind, s.m, s.n = TAKE, step[2], a.size
        elif name == "scale":
            a = np.ascontiguousarray(step[1], self._dtype)
            s.kind, s.m, s.n = SCALE, a.size, a.size
        elif name == "gemm":
            a = np.asarray(step[1], self._dtype)
            s.kind, s.m, s.n = GEMM, a.shape[0], a.shape[1]
            s.trans = self._is_row_major(a.T) and not self._is_row_major(a)
            if not s.trans and not self._is_row_major(a):
                a = np.ascontiguousarray(a)
            axis = 1 if s.trans else 0
            s.ld = max(1, a.shape[1 - axis])
            if a.shape[axis] > 1 and a.shape[1 - axis] > 0:
                s.ld = a.strides[axis] // a.itemsize
        else:
            raise ValueError(f"Sweep: no step {name!r}")
        s.data = cnp.PyArray_DATA(a)
        self._keep.append(a)
        return 0

    cdef bint _is_row_major(self, cnp.ndarray a):
        """Whether c_gemm can read it: rows contiguous, aligned, one after the other."""
        cdef Py_ssize_t item = a.itemsize
        if not cnp.PyArray_ISBEHAVED_RO(a) or a.size == 0:
            return a.flags.c_contiguous
        return (a.shape[1] == 1 or a.strides[1] == item) and (
            a.shape[0] == 1
            or (a.strides[0] % item == 0 and a.strides[0] >= a.shape[1] * item)
        )

    def run(self, x, bint marks=False):
        """Multiply rows through the chain.

        Parameters
        ----------
        x : ndarray of the sweep's dtype, shape (K, m), C order
        marks : bool
            Return the rows after each factor, not only after the last.

        Returns
        -------
        ndarray of shape (K, n), or a list of them
        """
        cdef Py_ssize_t first = 0, last
        found = []
        if x.dtype != self._dtype or x.ndim != 2 or not x.flags.c_contiguous:
            raise DTypeError(f"Sweep: need rows in C order of {self._dtype}, got {x.dtype}")
        if self._count and x.shape[1] != self._steps[0].m:
            raise ShapeError(f"Sweep: rows have {x.shape[1]} elements, need {self._steps[0].m}")
        while first < self._count:
            if self._steps[first].kind == PYTHON:
                x = np.ascontiguousarray(self._objects[first]._left(x))
                if self._steps[first].ends:
                    found.append(x)
                first += 1
                continue
            last = first + 1
            while last < self._count and self._steps[last].kind != PYTHON:
                last += 1
            x = self._part(x, first, last, found if marks else None)
            first = last
        return found if marks else x

    cdef object _part(self, cnp.ndarray x, Py_ssize_t first, Py_ssize_t last, list found):
        cdef Py_ssize_t i, k = cnp.PyArray_DIM(x, 0), width = 1, factor = 0
        cdef cnp.ndarray out = np.empty((k, self._steps[last - 1].n), self._dtype), y
        cdef void **marks = NULL
        cdef void *one
        cdef void *two
        for i in range(first, last):
            width = max(width, self._steps[i].n)
        buffers = np.empty((2, max(1, k) * width), self._dtype)
        one = cnp.PyArray_DATA(buffers)
        two = <char *> one + max(1, k) * width * (4 if self._single else 8)
        if found is not None:
            marks = <void **> malloc((last - first) * sizeof(void *))
            if not marks:
                raise MemoryError("Sweep: no memory for the results")
        try:
            for i in range(first, last):
                if marks != NULL and self._steps[i].ends:
                    y = out if i == last - 1 else np.empty((k, self._steps[i].n), self._dtype)
                    found.append(y)
                    marks[factor] = cnp.PyArray_DATA(y)
                    factor += 1
            with nogil:
                if self._single:
                    _run[float](self._steps, first, last, k, <float *> cnp.PyArray_DATA(x),
                                <float *> one, <float *> two, <float **> marks,
                                <float *> cnp.PyArray_DATA(out))
                else:
                    _run[double](self._steps, first, last, k, <double *> cnp.PyArray_DATA(x),
                                 <double *> one, <double *> two, <double **> marks,
                                 <double *> cnp.PyArray_DATA(out))
        finally:
            free(marks)
        return out
