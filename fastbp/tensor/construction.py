"""Making derivative tensors: of a matrix product, and from an array."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp._core.graph import promoted
from fastbp.errors import ShapeError
from fastbp.tensor.base import DerivativeTensor
from fastbp.tensor.blocks import BlockSparse
from fastbp.tensor.checks import as_floats, check_dense, check_sparse
from fastbp.tensor.dense import Dense
from fastbp.tensor.structured import Structured
from fastbp.tensor.tiling import blocks_of

__all__ = ["from_dense", "matmul_derivative"]

STORAGES = ("structured", "sparse", "dense")


def matmul_derivative(
    a: Any, b: Any, wrt: int = 0, storage: str = "structured", limit: int | None = None
) -> DerivativeTensor:
    """Return the derivative of ``C = a @ b`` with respect to `a` or `b`, as a tensor.

    Parameters
    ----------
    a : array_like of float64 or float32, shape (..., m, k) or (k,)
    b : array_like of float64 or float32, shape (..., k, n) or (k,)
        All shapes that ``np.matmul`` takes.
    wrt : {0, 1}
        0 for ``dC/da``, 1 for ``dC/db``.
    storage : {"structured", "sparse", "dense"}
        Structured takes the memory of the other operand, which it shares: do not write to it.
        Sparse stores every nonzero, dense every element.
    limit : int, optional
        The largest dense or sparse tensor in bytes, `fastbp.tensor.MEMORY_LIMIT` if not given.

    Returns
    -------
    DerivativeTensor
        Of shape ``C.shape + a.shape`` (``C.shape + b.shape``), in the dtype of C.

    Raises
    ------
    ShapeError
        If ``np.matmul`` refuses the shapes.
    DTypeError
        If C is neither float64 nor float32.
    ValueError
        If `wrt` or `storage` is not one of those above.
    MemoryError
        If a dense or sparse tensor would be above the limit. Nothing is allocated then.

    Notes
    -----
    ``dC[i, j] / da[k, l] = (i == k) * b[l, j]``: of n^4 elements of the product of two square
    matrices n^3 are not zero by structure, and these are n times the n^2 elements of b.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> a, b = np.ones((3, 2)), np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> T = bp.tensor.matmul_derivative(a, b)
    >>> T
    <derivative tensor (3, 2) x (3, 2): structured, float64, density 0.333, 32 bytes>
    >>> T.block(1, 0)
    array([[0., 0.],
           [1., 3.],
           [0., 0.]])
    >>> g = np.ones((3, 2))
    >>> np.array_equal(T.contract(g), g @ b.T)
    True
    """
    if wrt not in (0, 1):
        raise ValueError(f"matmul_derivative: wrt must be 0 or 1, not {wrt!r}")
    if storage not in STORAGES:
        raise ValueError(
            f'matmul_derivative: storage must be "structured", "sparse" or "dense", not {storage!r}'
        )
    a, b = promoted("matmul_derivative", a, b)
    tensor = _structured(a, b, wrt)
    if storage == "structured":
        return tensor
    if storage == "sparse":
        check_sparse("matmul_derivative", tensor.shape, tensor.nnz, tensor.dtype.itemsize, limit)
        return tensor._to_sparse()
    check_dense("matmul_derivative", tensor.shape, tensor.dtype, limit)
    return Dense(tensor.out_shape, tensor.in_shape, tensor._to_dense())


def _structured(a: np.ndarray, b: np.ndarray, wrt: int) -> Structured:
    """Label the axes: i, l of `a`; l, j of `b`; i, j of C; and the batch axes by their number."""
    rows, columns = "i" * (a.ndim > 1), "j" * (b.ndim > 1)
    try:
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        batch = None
    if batch is None or not a.ndim or not b.ndim or a.shape[-1] != b.shape[-2 if columns else -1]:
        raise ShapeError(f"matmul_derivative: shapes {a.shape} and {b.shape} do not fit")
    sizes: dict[Any, int] = dict(zip(range(-len(batch), 0), batch, strict=True))
    sizes |= {"l": a.shape[-1], "stretched": 1}
    sizes |= {"i": a.shape[-2]} if rows else {}
    sizes |= {"j": b.shape[-1]} if columns else {}

    def labelled(x: np.ndarray, inner: str) -> tuple[Any, ...]:
        lead = x.shape[:-2]
        return (
            *[k if n == sizes[k] else ("stretched", k) for k, n in enumerate(lead, -len(lead))],
            *inner,
        )

    labels_a, labels_b = labelled(a, rows + "l"), labelled(b, "l" + columns)
    sizes |= {label: 1 for label in labels_a + labels_b if label not in sizes}
    x, into, other, own = (a, labels_a, b, labels_b) if wrt == 0 else (b, labels_b, a, labels_a)
    other = other[tuple([0 if type(label) is tuple else slice(None) for label in own])]
    own = tuple([label for label in own if type(label) is not tuple])
    out = (*range(-len(batch), 0), *rows, *columns)
    return Structured([sizes[label] for label in out], x.shape, out, into, sizes, [(other, own)])


def from_dense(array: Any, out_ndim: int | None = None) -> BlockSparse | Dense:
    """Find the zeros of a derivative tensor, and the blocks that its other elements form.

    Parameters
    ----------
    array : array_like of float64 or float32
        A derivative of shape ``out_shape + in_shape``.
    out_ndim : int, optional
        The number of axes of `out_shape`: half of them if not given, which then has to be whole.

    Returns
    -------
    BlockSparse or Dense
        Whichever takes fewer bytes. A dense tensor shares the array, if it is C-contiguous.

    Raises
    ------
    ShapeError
        If `out_ndim` is missing and the number of axes odd, or is larger than that.
    DTypeError
        If the array is neither float64 nor float32.

    Notes
    -----
    NaN and infinities are elements like others. Blocks are tiles of equal size in all axes; the
    search makes one axis of the tile larger by a prime factor, as long as this saves bytes. It
    reads the array once, then ever smaller masks.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> T = bp.tensor.from_dense(np.einsum("ik,jl->ijkl", np.eye(8), np.ones((5, 5))))
    >>> T
    <derivative tensor (8, 5) x (8, 5): sparse, float64, density 0.125, 1.668 kB>
    >>> T.block_shape
    (5, 5)
    """
    array = as_floats("from_dense", array)
    if out_ndim is None:
        if array.ndim % 2:
            raise ShapeError(
                f"from_dense: an array of shape {array.shape} has an odd number of axes; "
                "say with out_ndim how many are those of Y"
            )
        out_ndim = array.ndim // 2
    if not 0 <= out_ndim <= array.ndim:
        raise ShapeError(f"from_dense: out_ndim={out_ndim} of an array of shape {array.shape}")
    out_shape, in_shape = array.shape[:out_ndim], array.shape[out_ndim:]
    tensor = blocks_of(array, out_shape, in_shape)
    return tensor if tensor.nbytes < array.nbytes else Dense(out_shape, in_shape, array)
