"""The derivative of any recorded function as one tensor, in the leanest storage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp import block_sweeps
from fastbp._core.graph import Variable
from fastbp._core.links import Link
from fastbp._core.tape import Tape
from fastbp.recording import only_real, record_one
from fastbp.sparse.jacobians import between
from fastbp.sparse.patterns import pattern_of
from fastbp.tensor import local
from fastbp.tensor.base import DerivativeTensor
from fastbp.tensor.blocks import BlockSparse
from fastbp.tensor.checks import check_dense, check_sparse
from fastbp.tensor.dense import Dense
from fastbp.tensor.joining import joined, summed
from fastbp.tensor.structured import Structured

__all__ = ["derivative", "derivative_between", "structured_between", "tensor_between"]


def derivative(
    f: Callable[..., Any], *args: Any, argnums: int = 0, unconnected: str = "warn"
) -> DerivativeTensor:
    """Return the derivative of `f` at `args` as an explicit tensor.

    Parameters
    ----------
    f : callable
        Returns one array, of any shape.
    *args
        The arguments of `f`.
    argnums : int
        The argument to differentiate: one array of real numbers, of any shape.
    unconnected : {"warn", "zero", "raise"}
        What happens where the result does not depend on the argument: zeros with an
        `UnconnectedWarning` or without, or an `UnconnectedError`.

    Returns
    -------
    DerivativeTensor of shape ``out.shape + in.shape``
        *structured* if every operation on the way has a derivative of deltas and factors
        (elementwise functions, products, sums, transposes, reshapes) and their products and sums
        can be kept as such; else *sparse*, with the nonzeros that the record proves to be enough;
        *dense* where that takes less memory.

    Raises
    ------
    TypeError
        If the argument, or what `f` returns, is not one array.
    DTypeError
        If the argument is not of real numbers.
    NoRuleError
        If `f` depends on Variables from outside, or on a function without a rule.
    MemoryError
        If a dense or sparse tensor above `fastbp.tensor.MEMORY_LIMIT` would be needed.

    See Also
    --------
    matmul_derivative : the derivative of one matrix product.
    fastbp.jacobian : always a dense array.
    fastbp.sparse.jacobian : always a SciPy sparse matrix.

    Notes
    -----
    A structured tensor is built by the chain rule, link by link, from the tensors of the single
    operations. It shares memory with the arrays of the record.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> b = np.ones((3, 2))
    >>> bp.tensor.derivative(lambda a: np.tanh(a @ b), np.zeros((4, 3)))
    <derivative tensor (4, 2) x (4, 3): structured, float64, density 0.25, 112 bytes>
    >>> bp.tensor.derivative(np.cumsum, np.zeros(3)).to_dense()
    array([[1., 0., 0.],
           [1., 1., 0.],
           [1., 1., 1.]])
    """
    x, y, tape = record_one("derivative", f, args, argnums, option=unconnected, keep=True)
    only_real("derivative", tape)
    if not isinstance(y, Variable):
        return BlockSparse.empty(np.shape(y), x.shape, x.dtype)
    return derivative_between(tape, y, x).astype(x.dtype)


@np.errstate(all="ignore")  # derivatives never warn
def derivative_between(tape: Tape, y: Variable, x: Variable) -> DerivativeTensor:
    """Return the derivative between the two ends of a tape, in the leanest storage."""
    return structured_between(tape) or tensor_between(tape, y, x)


def structured_between(tape: Tape) -> Structured | None:
    """Multiply the structured tensors of all links from one input to one output.

    None if one has none, or a sum has none, or where a slope is not finite: which zeros are exact
    beside it, sweeps know.
    """
    (at,), (first,) = tape.output_positions, tape.input_positions
    if at < 0:
        return None
    found: dict[int, Structured] = {}
    record, last = tape.links(), tape.last_readers
    for position, link in enumerate(record):
        tensor = _of_link(link, found, first) if link.op else local.identity(link.shape, link.dtype)
        if tensor is None:
            return None
        found[position] = tensor
        for parent in link.parents:
            if parent >= 0 and last[parent] == position:
                found.pop(parent, None)
    whole = found[at]
    return whole if is_finite(whole) else None


def is_finite(tensor: DerivativeTensor) -> bool:
    """Say whether all slopes are finite: products with others are plain arithmetic."""
    if isinstance(tensor, Structured):
        arrays = [factor for factor, _ in tensor.factors]
    else:
        arrays = [tensor.data if isinstance(tensor, BlockSparse) else tensor.to_dense()]
    return all([np.all(np.isfinite(array)) for array in arrays])


def _of_link(link: Link, found: dict[int, Structured], first: int) -> Structured | None:
    """Return the derivative of a link's value from those of its parents.

    That of link `first`, the input, is the identity.
    """
    total: Structured | None = None
    for k, parent in enumerate(link.parents):
        if parent < 0:
            continue
        own = local.structured(link, k)
        term = own if own is None or parent == first else joined(own, found[parent])
        if term is not None and total is not None:
            term = summed(total, term)
        if term is None:
            return None
        total = term
    return total


def tensor_between(
    tape: Tape, y: Variable, x: Variable, others: tuple[Variable, ...] = ()
) -> BlockSparse | Dense:
    """Return the derivative of an output by the first input, sparse or dense.

    The tape's inputs, independent of each other, are `x` and `others`.
    """
    pattern = pattern_of(tape, [y], [x, *others])[:, : x.size]
    itemsize, index = x.dtype.itemsize, pattern.indices.dtype.itemsize
    if pattern.nnz * (itemsize + index) < y.size * x.size * itemsize:
        check_sparse("derivative", y.shape + x.shape, pattern.nnz, itemsize + index, None)
        matrix = between(tape, y, x, pattern)
        return BlockSparse.from_scipy(matrix, y.shape, x.shape)
    check_dense("derivative", y.shape + x.shape, x.dtype, None)
    return Dense(y.shape, x.shape, block_sweeps.between(tape, y, x, others))
