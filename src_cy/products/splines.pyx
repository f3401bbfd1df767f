"""Sums of B-splines at scattered places, their derivatives, and the transpose of both.

What `scipy.ndimage` interpolates by: at a place, the coefficients of ``order + 1`` neighbours along
each axis, with the values of B-splines at the fraction of the place as weights. How places outside
are mapped inside follows SciPy's ``ni_interpolation.c``.
"""

cimport cython
from libc.math cimport NAN, fabs, trunc
from libc.stdlib cimport free, malloc

import numpy as np

from fastbp.errors import ShapeError

cdef enum:
    NEAREST, MIRROR, REFLECT, WRAP, GRID_WRAP, CONSTANT, GRID_CONSTANT
    MOST = 6  # neighbours along an axis, of order 5

MODES = {
    "nearest": NEAREST, "mirror": MIRROR, "reflect": REFLECT, "grid-mirror": REFLECT,
    "wrap": WRAP, "grid-wrap": GRID_WRAP, "constant": CONSTANT, "grid-constant": GRID_CONSTANT,
}
cdef double FAR = 1e15  # beyond, numbers have no fraction that could be a place


cdef double c_mapped(double c, Py_ssize_t n, int mode, double *slope) noexcept nogil:
    """Return a place inside, and the slope of that; -1 for what is a constant."""
    cdef double m, last = n - 1
    slope[0] = 1.0
    # An image is extended by its last coefficients, or by a number, whatever the place.
    if 0.0 <= c <= last or mode == GRID_CONSTANT or mode == NEAREST:
        return c
    if mode == CONSTANT:
        return -1.0
    if n <= 1:
        slope[0] = 0.0
        return 0.0
    if mode == GRID_WRAP:
        return c + n * (trunc((-1 - c) / n) + 1) if c < 0 else c - n * trunc(c / n)
    if mode == WRAP:
        return c + last * (trunc(-c / last) + 1) if c < 0 else c - last * trunc(c / last)
    if mode == MIRROR:
        m = 2 * n - 2
        if c < 0:
            c += m * trunc(-c / m)
            if c > 1 - n:
                slope[0] = -1.0
                return -c
            return c + m
        c -= m * trunc(c / m)
        if c >= n:
            slope[0] = -1.0
            return m - c
        return c
    m = 2 * n
    if c < 0:
        if c < -m:
            c += m * trunc(-c / m)
        if c >= -n:
            slope[0] = -1.0
            return -c - 1
        return c + m
    c -= m * trunc(c / m)
    if c >= n:
        slope[0] = -1.0
        return m - c - 1
    return c


cdef inline Py_ssize_t c_inside(Py_ssize_t at, Py_ssize_t n, int mode) noexcept nogil:
    """Return the place of a neighbour, of which some are outside."""
    cdef double unused
    if mode == CONSTANT or mode == WRAP:
        mode = MIRROR
    if mode != NEAREST:
        at = <Py_ssize_t>c_mapped(<double>at, n, mode, &unused)
    return min(max(at, 0), n - 1)


cdef inline double c_floor(double c) noexcept nogil:
    cdef double whole = <double><Py_ssize_t>c
    return whole - 1.0 if whole > c else whole


cdef inline void c_basis(double u, int order, int nu, double scale, double *w) noexcept nogil:
    """Write the derivatives of order `nu` of the B-splines at a fraction of their interval."""
    cdef int p, j, least = order - nu
    cdef double v = 1.0 - u, before, here
    if least == 3:
        w[0] = v * v * v / 6.0
        w[1] = (4.0 + u * u * (3.0 * u - 6.0)) / 6.0
        w[2] = (4.0 + v * v * (3.0 * v - 6.0)) / 6.0
        w[3] = u * u * u / 6.0
    elif least == 2:
        w[0] = 0.5 * v * v
        w[1] = 0.5 + u * v
        w[2] = 0.5 * u * u
    elif least == 1:
        w[0] = v
        w[1] = u
    else:
        w[0] = 1.0
        for p in range(1, least + 1):
            before = 0.0
            for j in range(p + 1):
                here = w[j] if j < p else 0.0
                w[j] = ((u + (p - j)) * before + (v + j) * here) / p
                before = here
    for p in range(least + 1, order + 1):  # differences of those of a lesser order
        before = 0.0
        for j in range(p + 1):
            here = w[j] if j < p else 0.0
            w[j] = before - here
            before = here
    if scale != 1.0:
        for j in range(order + 1):
            w[j] *= scale


cdef inline double c_line(
    const double *image, int count, const double *w, const Py_ssize_t *offsets, double cval
) noexcept nogil:
    """Return the weighted sum over neighbours along the last axis."""
    cdef double total = 0.0
    cdef int j
    for j in range(count):
        total += w[j] * (cval if offsets[j] < 0 else image[offsets[j]])
    return total


cdef double c_sum(
    const double *image, int nd, int count, const double *const *rows, const Py_ssize_t *offsets,
    double cval
) noexcept nogil:
    """Return the weighted sum over neighbours, axis by axis."""
    cdef double total = 0.0
    cdef const double *w = rows[0]
    cdef int j
    if nd == 1:
        return c_line(image, count, w, offsets, cval)
    for j in range(count):
        if nd == 2 and offsets[j] >= 0:
            total += w[j] * c_line(image + offsets[j], count, rows[1], offsets + MOST, cval)
            continue
        if offsets[j] < 0:
            total += w[j] * cval * c_weight(nd - 1, count, rows + 1)
        else:
            total += w[j] * c_sum(image + offsets[j], nd - 1, count, rows + 1, offsets + MOST, cval)
    return total


cdef double c_weight(int nd, int count, const double *const *rows) noexcept nogil:
    """Return the sum of all weights."""
    cdef double total = 1.0, along
    cdef int k, j
    for k in range(nd):
        along = 0.0
        for j in range(count):
            along += rows[k][j]
        total *= along
    return total


cdef void c_add(
    double *image, int nd, int count, const double *const *rows, const Py_ssize_t *offsets,
    double g
) noexcept nogil:
    """Transpose `c_sum`."""
    cdef const double *w = rows[0]
    cdef int j
    for j in range(count):
        if offsets[j] < 0:
            continue
        if nd == 1:
            image[offsets[j]] += w[j] * g
        else:
            c_add(image + offsets[j], nd - 1, count, rows + 1, offsets + MOST, w[j] * g)


@cython.final
cdef class Splines:
    """Sums of B-splines over an image at places: see `gather`, `scatter` and `neighbours`.

    Parameters
    ----------
    shape : tuple of int
        Of the image; not empty.
    places : ndarray of float64, shape (axes, n)
    order : int
        From 0 to 5.
    mode : str
        Of `MODES`.
    """

    cdef const double[:, ::1] places
    cdef readonly tuple shape
    cdef readonly Py_ssize_t size
    cdef int nd, order, mode
    cdef Py_ssize_t[::1] lengths, strides

    def __init__(self, tuple shape, const double[:, ::1] places not None, int order, str mode):
        cdef Py_ssize_t k
        self.shape, self.places, self.order, self.mode = shape, places, order, MODES[mode]
        self.nd = len(shape)
        self.lengths = np.array(shape, np.intp)
        self.size = int(np.prod(self.lengths))
        if self.nd < 1 or places.shape[0] != self.nd or self.size < 1 or not 0 <= order <= 5:
            raise ShapeError(
                f"splines: no sum of order {order} over an image of shape {shape} at places of "
                f"{places.shape[0]} coordinates"
            )
        self.strides = np.ones(self.nd, np.intp)
        for k in range(self.nd - 2, -1, -1):
            self.strides[k] = self.strides[k + 1] * self.lengths[k + 1]

    cdef bint c_at(
        self, Py_ssize_t i, const unsigned char *wanted, double *weights, Py_ssize_t *offsets
    ) noexcept nogil:
        """Write weights (axis, derivative, neighbour) and offsets, -1 of lost neighbours.

        Return whether the place is outside, and all is a constant.
        """
        cdef int k, j, nu, order = self.order, count = self.order + 1
        cdef Py_ssize_t n, start, at
        cdef double c, u, slope, scale
        for k in range(self.nd):
            n = self.lengths[k]
            c, slope = self.places[k, i], 1.0
            if not 0.0 <= c <= n - 1:
                c = c_mapped(c, n, self.mode, &slope)
                if self.mode == CONSTANT and c <= -1.0:
                    return True
            if not fabs(c) < FAR:  # not a number, for one
                for j in range(count):
                    offsets[k * MOST + j] = 0
                for j in range(count * MOST):
                    weights[k * count * MOST + j] = NAN
                continue
            u = c_floor(c) if order % 2 else c_floor(c + 0.5)
            start = <Py_ssize_t>u - order // 2
            u = c - u if order % 2 else c - u + 0.5
            for nu in range(count):
                if wanted[k * count + nu]:
                    scale = slope if nu % 2 else slope * slope if nu else 1.0
                    c_basis(u, order, nu, scale, weights + (k * count + nu) * MOST)
            if start >= 0 and start + order < n:
                for j in range(count):
                    offsets[k * MOST + j] = (start + j) * self.strides[k]
                continue
            for j in range(count):
                at = start + j
                if at < 0 or at >= n:
                    if self.mode == GRID_CONSTANT:
                        offsets[k * MOST + j] = -1
                        continue
                    at = c_inside(at, n, self.mode)
                offsets[k * MOST + j] = at * self.strides[k]
        return False

    def gather(
        self, const double[:, ::1] images not None, const unsigned char[:, ::1] nu not None,
        double cval, double[:, :, ::1] out not None
    ):
        """Write the derivatives of orders `nu` (wanted, axes) of images: (wanted, images, n)."""
        cdef Py_ssize_t i, n = self.places.shape[1], count = images.shape[0]
        cdef Buffers b = Buffers(self.nd, self.order, nu)
        if (
            images.shape[1] != self.size or nu.shape[1] != self.nd or out.shape[0] != nu.shape[0]
            or out.shape[1] != count or out.shape[2] != n
        ):
            raise ShapeError("splines: the arrays do not fit the image and its places")
        if n == 0 or count == 0 or out.shape[0] == 0:
            return
        with nogil:
            for i in range(n):
                self.c_gather(
                    i, &images[0, 0], count, &nu[0, 0], nu.shape[0], cval, b, &out[0, 0, i], n
                )

    cdef void c_gather(
        self, Py_ssize_t i, const double *images, Py_ssize_t count, const unsigned char *nu,
        Py_ssize_t wanted, double cval, Buffers b, double *out, Py_ssize_t n
    ) noexcept nogil:
        cdef Py_ssize_t m, row
        cdef int k, neighbours = self.order + 1
        cdef double value
        if self.c_at(i, b.wanted, b.weights, b.offsets):
            for m in range(wanted):
                value = cval
                for k in range(self.nd):
                    if nu[m * self.nd + k]:
                        value = 0.0
                for row in range(count):
                    out[(m * count + row) * n] = value
            return
        for m in range(wanted):
            for k in range(self.nd):
                b.rows[k] = b.weights + (k * neighbours + nu[m * self.nd + k]) * MOST
            for row in range(count):
                out[(m * count + row) * n] = c_sum(
                    images + row * self.size, self.nd, neighbours, b.rows, b.offsets, cval
                )

    def scatter(
        self, const double[:, ::1] g not None, const unsigned char[:, ::1] nu not None,
        double[:, ::1] out not None
    ):
        """Add the transpose of one `gather` to images: g is (images, n), nu (1, axes)."""
        cdef Py_ssize_t i, n = self.places.shape[1], count = out.shape[0]
        cdef Buffers b = Buffers(self.nd, self.order, nu)
        if (
            out.shape[1] != self.size or nu.shape[0] != 1 or nu.shape[1] != self.nd
            or g.shape[0] != count or g.shape[1] != n
        ):
            raise ShapeError("splines: the arrays do not fit the image and its places")
        if n == 0 or count == 0:
            return
        with nogil:
            for i in range(n):
                self.c_scatter(i, &g[0, i], count, n, &nu[0, 0], b, &out[0, 0])

    cdef void c_scatter(
        self, Py_ssize_t i, const double *g, Py_ssize_t count, Py_ssize_t n,
        const unsigned char *nu, Buffers b, double *out
    ) noexcept nogil:
        cdef Py_ssize_t row
        cdef int k, neighbours = self.order + 1
        if self.c_at(i, b.wanted, b.weights, b.offsets):
            return
        for k in range(self.nd):
            b.rows[k] = b.weights + (k * neighbours + nu[k]) * MOST
        for row in range(count):
            c_add(out + row * self.size, self.nd, neighbours, b.rows, b.offsets, g[row * n])

    def neighbours(self):
        """Return the places of neighbours in the image, -1 of none: (n, neighbours)."""
        cdef Py_ssize_t i, n = self.places.shape[1]
        cdef int k, j
        nu = np.zeros((1, self.nd), np.uint8)
        cdef Buffers b = Buffers(self.nd, self.order, nu)
        along = np.full((n, self.nd, self.order + 1), -1, np.intp)
        cdef Py_ssize_t[:, :, ::1] view = along
        for i in range(n):
            if not self.c_at(i, b.wanted, b.weights, b.offsets):
                for k in range(self.nd):
                    for j in range(self.order + 1):
                        view[i, k, j] = b.offsets[k * MOST + j]
        found = along[:, 0]
        for k in range(1, self.nd):
            lost = (found < 0)[:, :, None] | (along[:, k] < 0)[:, None]
            found = np.where(lost, -1, found[:, :, None] + along[:, k, None]).reshape(n, -1)
        return found


@cython.final
cdef class Buffers:
    """Room for the weights and offsets of one place."""

    cdef double *weights
    cdef Py_ssize_t *offsets
    cdef const double **rows
    cdef unsigned char *wanted

    def __cinit__(self, int nd, int order, const unsigned char[:, ::1] nu):
        cdef Py_ssize_t m, k, count = order + 1
        self.weights = <double *>malloc(nd * count * MOST * sizeof(double))
        self.offsets = <Py_ssize_t *>malloc(nd * MOST * sizeof(Py_ssize_t))
        self.rows = <const double **>malloc(nd * sizeof(double *))
        self.wanted = <unsigned char *>malloc(nd * count)
        if not (self.weights and self.offsets and self.rows and self.wanted):
            raise MemoryError
        for k in range(nd * count):
            self.wanted[k] = 0
        for m in range(nu.shape[0]):
            for k in range(min(nd, nu.shape[1])):
                if nu[m, k] > order:
                    raise ShapeError("splines: no derivative of such an order")
                self.wanted[k * count + nu[m, k]] = 1

    def __dealloc__(self):
        free(self.weights)
        free(self.offsets)
        free(self.rows)
        free(self.wanted)
