"""From recorded functions to chains: factors between values that all paths go through."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from fastbp._core.graph import Variable
from fastbp._core.links import Link
from fastbp._core.tape import Tape
from fastbp.chain.base import Factor
from fastbp.chain.factors import Dense, Diagonal, Identity, Kronecker, RowScaled, Sparse
from fastbp.chain.jacobian_chain import JacobianChain
from fastbp.recording import only_real, record_one
from fastbp.tensor import Dense as DenseTensor
from fastbp.tensor import DerivativeTensor, Structured
from fastbp.tensor.derivative import derivative_between, is_finite

__all__ = ["between", "factor_of", "linearize"]


def linearize(
    f: Callable[..., Any], *args: Any, argnums: int = 0, unconnected: str = "warn"
) -> JacobianChain:
    """Return the Jacobian of `f` at `args` as a chain of structured factors.

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
    JacobianChain of shape (out.size, in.size)
        Rows are the elements of the output, columns those of the argument, in C order. There is a
        link between every two values of the record that all paths from the input to the output
        go through; what branches in between is eliminated. Links with equal operands are one
        object, which the order of products makes use of. Factors share memory with the constants
        of `f`.

    Raises
    ------
    TypeError
        If the argument, or what `f` returns, is not one array.
    DTypeError
        If the argument is not of real numbers, or `f` changes the dtype.
    NoRuleError
        If `f` depends on Variables from outside, or on a function without a rule.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> W = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> chain = bp.chain.linearize(lambda x: np.tanh(W @ np.tanh(W @ x)), np.zeros(2))
    >>> [link.kind for link in chain]
    ['diagonal', 'dense', 'diagonal', 'dense']
    >>> chain.product().to_dense()
    array([[ 7., 10.],
           [15., 22.]])
    """
    x, y, tape = record_one("linearize", f, args, argnums, option=unconnected)
    only_real("linearize", tape)
    return between(tape, y, x)


def between(tape: Tape, y: Any, x: Variable) -> JacobianChain:
    """Return the Jacobian of an output, a Variable or an array, by the input of its tape."""
    if not isinstance(y, Variable):
        return JacobianChain([Dense(np.zeros((np.size(y), x.size), x.dtype))])
    (last,), (first,) = tape.output_positions, tape.input_positions
    if last < 0:
        return JacobianChain([Dense(np.zeros((y.size, x.size), x.dtype))])
    if last == first:
        return JacobianChain([Identity(x.size, dtype=x.dtype)])
    ends = [tape.variable(p) for p in tape.waypoints()]
    if any(_is_free(link) for link in tape.links()):
        ends = [ends[0], ends[-1]]
    known: dict[Any, Factor] = {}
    tensors = [derivative_between(Tape([b], [a]), b, a) for a, b in pairwise(ends)]
    if len(tensors) > 1 and not all(map(is_finite, tensors)):
        tensors = [derivative_between(tape, y, x)]  # sweeps know which zeros are exact
    found = []
    for tensor in tensors:
        key = _key(tensor)
        if key not in known:
            known[key] = factor_of(tensor)
        found.append(known[key])
    return JacobianChain([_cast(factor, x.dtype) for factor in found[::-1]])


def _is_free(link: Link) -> bool:
    """Say whether nothing fixes a value, as a basis: what is computed from it may be fixed."""
    free = None if link.op is None else link.op.free
    return free is not None and free(link.ans, *link.operands, **link.static) is not None


def _key(tensor: DerivativeTensor) -> Any:
    """Return what equal structured tensors have in common, so that their factor is made once.

    The order of a chain knows powers of one factor.
    """
    if not isinstance(tensor, Structured):
        return id(tensor)
    places = tuple(
        (array.__array_interface__["data"], array.shape, array.strides, own)
        for array, own in tensor.factors
    )
    labels = tensor.out_labels, tensor.in_labels, tensor.out_shape, tensor.in_shape
    return *labels, tensor.scale, tensor.dtype, places


def _cast(factor: Factor, dtype: Any) -> Factor:
    return factor if factor.dtype == dtype else Dense(factor.to_dense().astype(dtype))


def factor_of(tensor: DerivativeTensor) -> Factor:
    """Return a derivative tensor as a factor: the matrix of its flattened axes.

    Deltas over all axes give a diagonal, a delta beside a matrix a Kronecker product, a matrix
    with scaled rows is kept as such, and anything else is sparse or dense.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> A, B = np.ones((3, 4)), np.ones((4, 2))
    >>> bp.chain.factor_of(bp.tensor.matmul_derivative(A, B, wrt=0))
    <Kronecker 6 x 12 of Identity 3 x 3 and Dense 2 x 4, float64>
    >>> bp.chain.factor_of(bp.tensor.derivative(np.tanh, A))
    <Diagonal 12 x 12, float64>
    """
    m, n = (int(np.prod(shape)) for shape in (tensor.out_shape, tensor.in_shape))
    if isinstance(tensor, Structured):
        found = _of_labels(tensor, m, n)
        if found is not None:
            return found
    if isinstance(tensor, DenseTensor):
        return Dense(tensor.to_dense().reshape(m, n))
    matrix = tensor.to_scipy()
    if matrix.nnz * (matrix.dtype.itemsize + matrix.indices.itemsize) >= matrix.dtype.itemsize * (
        m * n
    ):
        return Dense(matrix.toarray())
    return Sparse(matrix)


def _of_labels(tensor: Structured, m: int, n: int) -> Factor | None:
    out, inner = tensor.out_labels, tensor.in_labels
    if len(set(out)) < len(out) or len(set(inner)) < len(inner):
        return None
    sizes, factors = tensor.sizes, tensor.factors
    shared = [label for label in out if label in inner]
    if out == inner:
        if not factors:
            return Identity(n, tensor.scale, tensor.dtype)
        return Diagonal(_times(_array(tensor, out, factors).reshape(-1), tensor.scale))
    rows = [label for label in out if label not in shared]
    columns = [label for label in inner if label not in shared]
    count = int(np.prod([sizes[label] for label in shared]))
    if not shared:
        return _matrix(tensor, rows, columns, m, n)
    if any(label in shared for _, own in factors for label in own):
        return None
    shape = [int(np.prod([sizes[k] for k in own])) for own in (rows, columns)]
    matrix = _times(_array(tensor, (*rows, *columns), factors).reshape(shape), tensor.scale)
    eye = Identity(count, dtype=tensor.dtype)
    if list(out) == shared + rows and list(inner) == shared + columns:
        return Kronecker(eye, matrix)
    if list(out) == rows + shared and list(inner) == columns + shared:
        return Kronecker(matrix, eye)
    return None


def _matrix(tensor: Structured, rows: Any, columns: Any, m: int, n: int) -> Factor:
    """Return a tensor without deltas; factors that belong to rows alone scale them."""
    scales = [(x, own) for x, own in tensor.factors if set(own) <= set(rows)]
    others = [(x, own) for x, own in tensor.factors if not set(own) <= set(rows)]
    if not scales or not others:
        whole = _array(tensor, (*rows, *columns), tensor.factors)
        return Dense(_times(whole.reshape(m, n), tensor.scale))
    d = _array(tensor, rows, scales).reshape(m)
    return RowScaled(d * tensor.scale, _array(tensor, (*rows, *columns), others).reshape(m, n))


def _array(tensor: Structured, labels: Any, factors: Any) -> np.ndarray:
    """Return the product of some factors as an array with an axis for each label."""
    if len(factors) == 1 and set(factors[0][1]) == set(labels):
        array, own = factors[0]
        return np.transpose(array, [own.index(label) for label in labels])
    part = Structured(
        [tensor.sizes[k] for k in labels], (), labels, (), tensor.sizes, factors, 1.0, tensor.dtype
    )
    return part.to_dense()


def _times(array: np.ndarray, scale: float) -> np.ndarray:
    return array if scale == 1.0 else array * scale
