"""Products with sparse matrices: one that is constant, and one whose stored values are an operand.

What records them is in `fastbp.sparse.operands` and `fastbp.sparse.matrix`.

Matrices are static arguments, vectors are along the last axis of an operand, or along the last but
one if it holds columns: ``axis`` is -1 or -2. All axes in front are batches, and broadcast.
"""

import copy
from functools import cached_property

import numpy as np
from scipy import sparse

from fastbp.errors import ShapeError
from fastbp.rules.patterns import together
from fastbp.rules.table import general, linear

__all__ = ["CompressedRows", "Constant", "dot_op", "pick_op", "product_op"]


def times(matrix, x, axis):
    """Multiply a SciPy matrix with vectors along an axis, all of them in one product."""
    if x.ndim == -axis:
        return matrix @ x
    m, n = matrix.shape
    if axis == -1:
        rows = x.reshape(x.size // n if n else int(np.prod(x.shape[:-1])), n)
        return (matrix @ rows.T).T.reshape((*x.shape[:-1], m))
    columns = np.moveaxis(x, -2, 0)
    out = matrix @ columns.reshape(n, columns.size // n if n else int(np.prod(columns.shape[1:])))
    return np.moveaxis(out.reshape((m, *columns.shape[1:])), 0, -2)


def align(t, operand, missing):
    """Insert axes behind the block axes of a tangent.

    So that it broadcasts as its operand does where that has `missing` batch axes less.
    """
    lead = t.ndim - operand.ndim
    if not lead or missing <= 0:
        return t
    return np.reshape(t, (*t.shape[:lead], *(1,) * missing, *operand.shape))


# ---- which elements depend on which (the form is that of `fastbp.rules.patterns`)


def collected(p, ids, indptr, places, axis):
    """Return for every row of a structure the union of the sets at its places along an axis."""
    vectors = np.moveaxis(ids, axis, -1)
    *batch, n = vectors.shape
    count = int(np.prod(batch))
    ends = (indptr[1:].astype(np.int64) + len(places) * np.arange(count)[:, None]).reshape(-1)
    at = (places.astype(np.int64) + n * np.arange(count)[:, None]).reshape(-1)
    found = p.sets.gather(vectors.reshape(-1), np.concatenate([[0], ends]), at)
    return np.moveaxis(found.reshape((*batch, len(indptr) - 1)), -1, axis)


def _collects(p, ids, link):
    matrix, axis = link.static["matrix"].matrix.tocsr(), link.static["axis"]
    return collected(p, ids[0], matrix.indptr, matrix.indices, axis)


def _collects_products(p, ids, link):
    structure, transposed, axis = (link.static[k] for k in ("structure", "transposed", "axis"))
    data, x = ids
    source = structure.rows if transposed else structure.indices
    if data is not None and axis == -2:
        data = data[..., None]
    terms = together(p, data, None if x is None else _along(x, source, axis))
    shape = list(link.shape)
    shape[axis] = structure.nnz
    terms = np.broadcast_to(terms, shape)
    if transposed:
        return collected(p, terms, structure.transpose.indptr, structure.order, axis)
    return collected(p, terms, structure.indptr, np.arange(structure.nnz), axis)


def _picks(p, ids, link):
    structure, axis = link.static["structure"], link.static["axis"]
    places = structure.rows, structure.indices
    terms = together(
        p, *[None if x is None else _along(x, at, axis) for x, at in zip(ids, places, strict=True)]
    )
    return np.broadcast_to(terms if axis == -1 else p.sets.rows(terms), link.shape)


# ---- a constant matrix


class Constant:
    """A matrix of SciPy's in CSR or CSC format, with its transpose."""

    def __init__(self, matrix):
        self.matrix = matrix

    @property
    def shape(self):
        """Rows and columns."""
        return self.matrix.shape

    @cached_property
    def transpose(self):
        """The transpose; it does not know this one, for a cycle would keep the matrix locked."""
        return Constant(self.matrix.T)

    def __repr__(self):
        return f"<{self.matrix.format} matrix of shape {self.shape}>"


def _dot_samples(rng):
    matrix = Constant(sparse.random_array((3, 4), density=0.5, format="csr", random_state=rng))
    return [
        ((rng.normal(size=4),), {"matrix": matrix, "axis": -1}),
        ((rng.normal(size=(2, 4)),), {"matrix": matrix, "axis": -1}),
        ((rng.normal(size=(4, 2)),), {"matrix": matrix, "axis": -2}),
    ]


dot_op = linear(
    "sparse.dot",
    lambda x, matrix, axis: times(matrix.matrix, x, axis),
    lambda g, ans, x, matrix, axis: dot_op(g, matrix=matrix.transpose, axis=axis),
    pattern=_collects,
    direct=("A.T @ g",),
    samples=_dot_samples,
)


# ---- a matrix of a fixed structure whose stored values are an operand


class CompressedRows:
    """Where the stored values of a CSR matrix are; the index arrays must not be written into.

    Attributes
    ----------
    indices, indptr : ndarray of int
    shape : (int, int)
    """

    def __init__(self, indices, indptr, shape):
        self.indices, self.indptr, self.shape = indices, indptr, shape
        self._matrices = {}

    def __reduce__(self):
        return CompressedRows, (self.indices, self.indptr, self.shape)

    @property
    def nnz(self):
        """Number of stored values."""
        return len(self.indices)

    @cached_property
    def rows(self):
        """Row of each stored value."""
        counts = np.diff(self.indptr)
        return np.repeat(np.arange(self.shape[0], dtype=self.indices.dtype), counts)

    @cached_property
    def order(self):
        """Where the values of the transpose, row by row, are in this structure."""
        return np.argsort(self.indices, kind="stable")

    @cached_property
    def transpose(self):
        """Where the values of the transpose are, in `order`."""
        counts = np.bincount(self.indices, minlength=self.shape[1])
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(self.indptr.dtype)
        return CompressedRows(self.rows[self.order], indptr, self.shape[::-1])

    @cached_property
    def is_canonical(self):
        """Whether the columns of each row are sorted, without duplicates."""
        rising = np.diff(self.indices.astype(np.int64)) > 0
        starts = self.indptr[1:-1]
        rising[starts[(starts > 0) & (starts < self.nnz)] - 1] = True
        return bool(rising.all())

    def matrix(self, data, transposed=False):
        """Return SciPy's matrix with these values, which it shares."""
        kind = sparse.csc_array if transposed else sparse.csr_array
        shape = self.shape[::-1] if transposed else self.shape
        if transposed not in self._matrices:  # making one checks the structure, at some cost
            empty = np.zeros(self.nnz)
            self._matrices[transposed] = kind((empty, self.indices, self.indptr), shape=shape)
        matrix = copy.copy(self._matrices[transposed])
        matrix.data = data
        return matrix

    def sums(self, transposed, dtype):
        """Return the matrix that adds up stored values by rows, or by columns."""
        ones, positions = np.ones(self.nnz, dtype), np.arange(self.nnz + 1)
        if transposed:
            parts, shape = (ones, self.indices, positions), (self.shape[1], self.nnz)
            return sparse.csc_array(parts, shape=shape)
        parts, shape = (ones, positions[:-1], self.indptr), (self.shape[0], self.nnz)
        return sparse.csr_array(parts, shape=shape)

    def same_as(self, other):
        """Whether values of one structure belong to the same places in the other."""
        return self is other or (
            self.shape == other.shape
            and np.array_equal(self.indptr, other.indptr)
            and np.array_equal(self.indices, other.indices)
        )

    def __repr__(self):
        return f"<structure of {self.nnz} stored values, shape {self.shape}>"


def _along(x, places, axis):
    return x[..., places] if axis == -1 else x[..., places, :]


def _product(data, x, structure, transposed, axis):
    if data.ndim == 1:
        return times(structure.matrix(data, transposed), x, axis)
    # Many sets of values: products at every stored place, then one sum.
    source = structure.rows if transposed else structure.indices
    terms = (data if axis == -1 else data[..., None]) * _along(x, source, axis)
    return times(structure.sums(transposed, terms.dtype), terms, axis)


def _product_vjp(g, needs, ans, data, x, structure, transposed, axis):
    left, right = (x, g) if transposed else (g, x)
    return (
        pick_op(left, right, structure=structure, axis=axis) if needs[0] else None,
        product_op(data, g, structure=structure, transposed=not transposed, axis=axis)
        if needs[1]
        else None,
    )


def _product_jvp(tangents, ans, data, x, structure, transposed, axis):
    t_data, t_x = tangents
    static = {"structure": structure, "transposed": transposed, "axis": axis}
    total = None
    if t_data is not None:
        t_data = align(t_data, data, ans.ndim + axis - (data.ndim - 1))
        total = product_op(t_data, x, **static)
    if t_x is not None:
        t_x = align(t_x, x, ans.ndim - x.ndim)
        term = product_op(data, t_x, **static)
        total = term if total is None else total + term
    return total


def some_structure():
    """Return the structure of a matrix of 3 x 3 for samples, with values stored twice."""
    return CompressedRows(np.array([0, 2, 1, 1, 2]), np.array([0, 2, 4, 5]), (3, 3))


def _product_samples(rng):
    structure = some_structure()
    return [
        (
            (rng.normal(size=5), rng.normal(size=shape)),
            {"structure": structure, "transposed": transposed, "axis": -len(shape)},
        )
        for shape, transposed in (((3,), False), ((3,), True), ((3, 2), False), ((3, 2), True))
    ]


# A(data) @ x, or its transpose with x.
product_op = general(
    "sparse.product",
    _product,
    nin=2,
    saves=(0, 1),
    vjp=_product_vjp,
    jvp=_product_jvp,
    pattern=_collects_products,
    direct=("g x.T at the stored places", "A.T @ g"),
    samples=_product_samples,
)


def _pick(u, v, structure, axis):
    left, right = _along(u, structure.rows, axis), _along(v, structure.indices, axis)
    return left * right if axis == -1 else np.einsum("...ek,...ek->...e", left, right)


def _pick_vjp(g, needs, ans, u, v, structure, axis):
    return tuple(
        product_op(g, other, structure=structure, transposed=transposed, axis=axis)
        if needed
        else None
        for needed, other, transposed in zip(needs, (v, u), (False, True), strict=True)
    )


def _pick_jvp(tangents, ans, u, v, structure, axis):
    t_u, t_v = tangents
    batch = ans.ndim - 1
    total = None
    if t_u is not None:
        total = pick_op(align(t_u, u, batch - (u.ndim + axis)), v, structure=structure, axis=axis)
    if t_v is not None:
        t_v = align(t_v, v, batch - (v.ndim + axis))
        term = pick_op(u, t_v, structure=structure, axis=axis)
        total = term if total is None else total + term
    return total


def _pick_samples(rng):
    structure = some_structure()
    return [
        (
            (rng.normal(size=shape), rng.normal(size=shape)),
            {"structure": structure, "axis": -len(shape)},
        )
        for shape in ((3,), (3, 2))
    ]


# The elements of the outer product u v^T (for columns: of the product) at the stored places.
pick_op = general(
    "sparse.pick",
    _pick,
    nin=2,
    saves=(0, 1),
    vjp=_pick_vjp,
    jvp=_pick_jvp,
    pattern=_picks,
    direct=("G @ v", "G.T @ u"),
    samples=_pick_samples,
)


def check_axis(what, shape, x):
    """Return the axis of the vectors in the right operand of a product with a matrix."""
    if x.ndim not in (1, 2):
        raise ShapeError(
            f"{what}: a vector or a matrix is needed beside a sparse matrix of shape {shape}, "
            f"not an array of shape {x.shape}"
        )
    if x.shape[0] != shape[1]:
        raise ShapeError(f"{what}: shapes {shape} and {x.shape} do not fit")
    return -x.ndim
