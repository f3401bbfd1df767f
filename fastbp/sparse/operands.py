"""SciPy's sparse matrices and arrays as operands beside Variables.

Where the Variable is on the left, its operators come here. SciPy's own methods would ask it for an
array, so those that take a dense operand are told about Variables (`_adopt`): a check of one type
in front of each, once fastbp and scipy.sparse are both in use.
"""

import copy
import functools
import inspect
import sys

import numpy as np
from scipy import sparse

from fastbp._core.constants import constant
from fastbp._core.graph import Variable
from fastbp.errors import DTypeError, NoRuleError, ShapeError
from fastbp.rules import foreign
from fastbp.sparse.matrix import SparseMatrix, as_structure
from fastbp.sparse.products import CompressedRows, Constant, check_axis, dot_op

__all__ = ["operator"]

_OPERATORS = ("add", "subtract", "multiply", "divide", "matmul")


def operator(name, a, b):
    """Apply an operator to a Variable and a matrix of SciPy's, in either order.

    Parameters
    ----------
    name : {"add", "subtract", "multiply", "divide", "matmul"}
    a, b : Variable or scipy.sparse matrix or array
        What is neither gives ``NotImplemented``.

    Returns
    -------
    Variable or SparseMatrix or NotImplemented
        What SciPy would return, dense or sparse.
    """
    matrix, x = (a, b) if type(b) is Variable else (b, a)
    if name not in _OPERATORS or not sparse.issparse(matrix) or type(x) is not Variable:
        return NotImplemented
    if name == "divide" and matrix is b:
        return NotImplemented  # as in SciPy
    _check(name, matrix)
    if name == "multiply" and isinstance(matrix, sparse.spmatrix) and x.ndim:
        name = "matmul"  # the operator of SciPy's matrices, not of its arrays
    if name == "matmul":
        return _matmul(matrix, x) if matrix is a else _rmatmul(x, matrix)
    if name == "multiply":
        return multiply(matrix, x)
    if name == "divide":
        return multiply(matrix, 1.0 / x)
    return _sum(name, a, b, matrix, x)


def _check(name, matrix):
    if matrix.dtype.kind not in "fiub":
        raise DTypeError(
            f"{name}: a sparse operand of shape {matrix.shape} has dtype {matrix.dtype}; "
            "floats, integers or booleans are needed"
        )
    if matrix.ndim > 2:
        raise NoRuleError(f"{name}: sparse arrays of {matrix.ndim} axes have no derivative rule")


# ---- products of matrices


def _constant(matrix):
    """Return a matrix, a 1-D array as its row, in a format that multiplies without conversion."""
    if matrix.ndim == 1:
        matrix = matrix.tocoo().reshape(1, -1)
    if matrix.format == "dia":
        matrix = _rows_of_diagonals(matrix)
    elif matrix.format not in ("csr", "csc"):
        matrix = matrix.tocsr()
    # What is written into the matrix later must not change what is recorded.
    matrix = copy.copy(matrix)
    for name in ("data", "indices", "indptr"):
        setattr(matrix, name, constant(getattr(matrix, name)))
    return Constant(matrix)


def _rows_of_diagonals(matrix):
    """Convert to CSR with the zeros on the diagonals, which SciPy leaves out.

    They are stored, so a pattern must have them: they may come from the values of an argument.
    """
    numbers = np.arange(1, matrix.data.size + 1).reshape(matrix.data.shape)
    rows = sparse.dia_array((numbers, matrix.offsets), shape=matrix.shape).tocsr()
    values = matrix.data.reshape(-1)[rows.data - 1]
    return sparse.csr_array((values, rows.indices, rows.indptr), shape=matrix.shape)


def _matmul(matrix, x):
    if not x.ndim:
        raise ShapeError("sparse @: a scalar cannot be multiplied as a matrix, use *")
    constant = _constant(matrix)
    axis = check_axis("sparse @", constant.shape, x)
    out = dot_op(x, matrix=constant, axis=axis)
    return out if matrix.ndim == 2 else np.squeeze(out, axis)


def _rmatmul(x, matrix):
    if not x.ndim:
        raise ShapeError("@ sparse: a scalar cannot be multiplied as a matrix, use *")
    constant = _constant(matrix)
    transposed = constant.transpose if matrix.ndim == 2 else constant
    if x.ndim > 2 or x.shape[-1] != transposed.shape[1]:
        raise ShapeError(f"@ sparse: shapes {x.shape} and {matrix.shape} do not fit")
    out = dot_op(x, matrix=transposed, axis=-1)  # each row of x is a vector
    return out if matrix.ndim == 2 else np.squeeze(out, -1)


# ---- products of elements


def multiply(matrix, x):
    """Multiply elements: a sparse matrix whose stored values are recorded.

    As in SciPy an array of more than two axes gives a dense result.
    """
    if x.ndim > 2:
        return matrix.toarray() * x
    try:
        shape = np.broadcast_shapes(matrix.shape, x.shape)
    except ValueError:
        raise ShapeError(f"sparse *: shapes {matrix.shape} and {x.shape} do not fit") from None
    structure, data = as_structure(_constant(matrix).matrix)
    if len(shape) < 2:
        raise NoRuleError(
            f"sparse *: the product of a sparse array of shape {matrix.shape} and an array of "
            f"shape {x.shape} would be a sparse array of one axis, which fastbp does not have"
        )
    if shape != structure.shape:  # a sparse row or column beside a dense matrix
        times = [n // m if m else 0 for n, m in zip(shape, structure.shape, strict=True)]
        spread = sparse.kron(np.ones(times, bool), structure.matrix(data), format="csr")
        structure, data = CompressedRows(spread.indices, spread.indptr, shape), spread.data
    return SparseMatrix(data, structure) * x


# ---- sums: dense, as in SciPy


def _sum(name, a, b, matrix, x):
    if not x.ndim:
        raise NoRuleError(f"sparse {name}: a scalar and a sparse array cannot be added")
    try:
        fits = np.broadcast_shapes(x.shape, matrix.shape) == matrix.shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"sparse {name}: shape {x.shape} does not broadcast to that of the sparse operand, "
            f"{matrix.shape}"
        )
    dense = matrix.toarray()
    operation = np.add if name == "add" else np.subtract
    return operation(dense, b) if matrix is a else operation(a, dense)


# ---- SciPy's methods


def _dot(matrix, x):
    if type(x) is SparseMatrix:
        return matrix @ x
    return operator("matmul" if x.ndim else "multiply", matrix, x)


def _multiply(matrix, x):
    # The method multiplies elements, of SciPy's matrices too.
    if type(x) is SparseMatrix:
        return x.multiply(matrix)
    _check("multiply", matrix)
    return multiply(matrix, x)


_METHODS = {
    "__matmul__": functools.partial(operator, "matmul"),
    "__mul__": functools.partial(operator, "multiply"),
    "__truediv__": functools.partial(operator, "divide"),
    "multiply": _multiply,
    "dot": _dot,
}


def _adopt():
    """Let the methods of SciPy's sparse classes that take a dense operand take Variables too.

    A `SparseMatrix` has operators of its own; here it is kept from being made an array.
    """
    formats = ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
    kinds = [getattr(sparse, f"{name}_{kind}") for name in formats for kind in ("array", "matrix")]
    owners = {c for kind in kinds for c in kind.__mro__ if c.__module__.startswith("scipy.sparse")}
    for owner in owners:
        for name in _METHODS.keys() & vars(owner).keys():
            setattr(owner, name, _method(vars(owner)[name], _METHODS[name]))


def _adopt_constructors():
    """Let those functions of SciPy's that take a vector of diagonals name themselves.

    SciPy asks whether the first element is a scalar, and says that offsets are missing.
    """
    for name in ("diags", "diags_array"):
        function = _constructor(getattr(sparse, name))
        for module in (sparse, sys.modules[getattr(sparse, name).__module__]):
            setattr(module, name, function)


def _constructor(original):
    @functools.wraps(original)
    def function(diagonals, *args, **kwargs):
        given = diagonals if isinstance(diagonals, (list, tuple)) else (diagonals,)
        if any(type(x) is Variable for x in given):
            name = original.__name__
            raise NoRuleError(
                f"scipy.sparse.{name} takes no Variable: write fastbp.sparse.from_scipy("
                f"scipy.sparse.{name}(numpy.ones(n)), x) for the main diagonal, "
                "fastbp.sparse.csr(values, indices, indptr, shape) for others"
            )
        return original(diagonals, *args, **kwargs)

    return function


def _method(original, on_variable):
    @functools.wraps(original)
    def method(self, other, *args, **kwargs):
        if type(other) is Variable or type(other) is SparseMatrix:
            return on_variable(self, other)
        return original(self, other, *args, **kwargs)

    return method


def _answer(late):
    """Answer SciPy's code where it asks a Variable for an array.

    An operator does so before SciPy's classes know Variables: for a leaf older than their import.
    """
    asked, frame = False, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith("fastbp."):
        frame = frame.f_back
    while frame is not None and frame.f_globals.get("__name__", "").startswith("scipy.sparse._"):
        if frame.f_code.co_name in ("__matmul__", "__mul__", "__truediv__"):
            # What is no array for SciPy has its reflected operator called: ours.
            return np.array(None, object)
        asked = True
        frame = frame.f_back
    if asked and "scipy.sparse" in late:
        raise NoRuleError(
            "scipy.sparse was imported after this Variable was made, and its methods did not know "
            "Variables yet: import it earlier"
        )
    return None


foreign.OPERATORS.append(operator)
foreign.ANSWERS.append(_answer)
_adopt()
_adopt_constructors()
