"""`scipy.linalg`: equations with matrices of known structure, inverses, determinants, norms."""

import numpy as np
import scipy
import scipy.linalg
from numpy.linalg import LinAlgError

from fastbp._core.graph import Variable, array_of
from fastbp.errors import DTypeError
from fastbp.rules import batching, patterns
from fastbp.rules.linalg import decompositions, determinants, norms
from fastbp.rules.linalg.decompositions import positive, regular
from fastbp.rules.linalg.of_scipy import (
    in_double,
    matrices,
    of_scipy,
    operands,
    square,
    stacked,
)
from fastbp.rules.linalg.triangular import columns_of, solved_by_cholesky, triangle_solve
from fastbp.rules.numpy.products import mh, mt
from fastbp.rules.numpy.structural import conjugated
from fastbp.rules.table import general, linear

# ---- matrices of which one triangle is read


def _mirror(a, lower, conjugate):
    part = np.tril(a, -1) if lower else np.triu(a, 1)
    diagonal = np.eye(a.shape[-1], dtype=bool) * a
    if conjugate and a.dtype.kind == "c":
        return part + np.conjugate(np.swapaxes(part, -1, -2)) + diagonal.real
    return part + np.swapaxes(part, -1, -2) + diagonal


def _read(g, lower):
    """Return the transpose of a mirror that does not conjugate: in the triangle that is read."""
    part = np.tril if lower else np.triu
    return part(g, -1 if lower else 1) + part(mt(g))


def _mirror_tangent(t, lower, conjugate):
    """Return the symmetric part, as it is for a Cholesky factor."""
    if t.dtype.kind == "c" and not conjugate:
        return _mirror(t, lower, conjugate)
    other = np.swapaxes(t, -1, -2)
    return 0.5 * (t + (np.conjugate(other) if conjugate else other))


def _mirror_transpose(g, ans, a, lower, conjugate):
    if a.dtype.kind == "c" and not conjugate:
        return _read(g, lower)
    return 0.5 * (g + (mh(g) if conjugate else mt(g)))


# Complex symmetric matrices are differentiated by the triangle that is read, all others along
# symmetric (Hermitian) directions, as a Cholesky factor is.
mirror_op = general(
    "linalg.mirror",
    _mirror,
    nin=1,
    saves=(),
    vjp=(_mirror_transpose,),
    jvp=(lambda t, ans, a, **static: mirrored_op(t, **static),),
    pattern=patterns.couples,
    batch=batching.aligns,
)
mirrored_op = linear(
    "linalg.mirrored",
    _mirror_tangent,
    _mirror_transpose,
    pattern=patterns.couples,
)


# ---- systems

_GENERAL = ("gen", "general", None)
_POSITIVE = ("pos", "positive definite")
_MIRRORED = ("sym", "symmetric", "her", "hermitian", *_POSITIVE)
_DIAGONAL, _TRIDIAGONAL, _BANDED = "diagonal", "tridiagonal", "banded"
_UPPER, _LOWER = "upper triangular", "lower triangular"
_STRUCTURES = (*_GENERAL, *_MIRRORED, _DIAGONAL, _TRIDIAGONAL, _BANDED, _UPPER, _LOWER)


def of_mirrored(f):
    """Mark a function whose derivative is along symmetric directions if it is told of symmetry."""
    f.symmetric = lambda args, kwargs: kwargs.get("assume_a") in _MIRRORED
    return f


def _band(a, lower, upper):
    """Return a matrix with zeros outside of a band, which are not read there."""
    return np.triu(np.tril(a, upper), -lower)


def _positive_solve(a, b, lower, transposed):
    """Solve by a Cholesky factor, as it is where the matrix is positive definite."""
    c = decompositions.cholesky_op(a) if lower else mh(decompositions.cholesky_op(mh(a)))
    c = conjugated(c) if transposed else c
    return solved_by_cholesky(c, b, lower)


def _structured_solve(a, b, assume_a, lower, transposed):
    if assume_a in (_UPPER, _LOWER):
        return triangle_solve(a, b, assume_a == _LOWER, int(transposed))
    if assume_a in _POSITIVE:
        return _positive_solve(a, b, lower, transposed)
    if assume_a == _DIAGONAL:
        diagonal = np.diagonal(a, 0, -2, -1)
        if not np.all(array_of(diagonal)):
            raise LinAlgError("A singular matrix detected: a diagonal element is zero")
        return b / diagonal[..., None]
    if assume_a in _MIRRORED:
        a = mirror_op(a, lower=lower, conjugate=assume_a in ("her", "hermitian"))
    elif assume_a == _TRIDIAGONAL:
        a = _band(a, 1, 1)
    return decompositions.solve(mt(a) if transposed else a, b)


def _solve_samples(rng):
    a, b = regular(rng, 3, 3), rng.normal(size=3)
    calls = [
        ((a, b), {}),
        ((a, rng.normal(size=(3, 2))), {"assume_a": "gen"}),
    ]
    if np.lib.NumpyVersion(scipy.__version__) >= "1.15.0":
        structures = ("upper triangular", "lower triangular", "diagonal", "tridiagonal")
        calls += [((a, b), {"assume_a": structure}) for structure in structures]
    symmetric = positive(rng, 3, 3)
    right = [0.5, 1.0, -2.0]  # only matrices are made symmetric
    for structure, lower in (("pos", False), ("sym", True), ("her", False), ("pos", True)):
        calls.append(((symmetric, right), {"assume_a": structure, "lower": lower}))
    return calls


@of_scipy("solve", samples=_solve_samples)
@of_mirrored
def solve(a, b, lower=False, assume_a=None, transposed=False):
    """Arguments as in `scipy.linalg.solve`; without `assume_a` no structure is looked for.

    Notes
    -----
    The cotangents are ``b_bar = solve(a.T, g)`` and ``a_bar = -b_bar @ x.T``, by the factors that
    the value was computed by. Of matrices said to be symmetric, Hermitian or positive definite the
    derivative is along such directions: the cotangent is symmetric (Hermitian), too. Of others it
    is in the part that is read.
    """
    a, b = operands("solve", a=a, b=b)
    (a,) = square("solve", a=a)
    if assume_a not in _STRUCTURES:
        raise ValueError(f"scipy.linalg.solve: {assume_a} is not a recognized matrix structure")
    if transposed and a.dtype.kind == "c":
        raise DTypeError(
            "scipy.linalg.solve: transposed=True is for real matrices, in SciPy too: write "
            "solve(a.T, b) or solve(a.T.conj(), b)"
        )
    b, is_vector = columns_of("solve", a.shape[-1], b)
    x = _structured_solve(a, b, assume_a, bool(lower), bool(transposed))
    return x[..., 0] if is_vector else x


# ---- inverses


@of_scipy(
    "inv",
    samples=lambda rng: [((regular(rng, 3, 3),), {}), ((rng.normal(size=(0, 0)),), {})],
)
@of_mirrored
def inv(a, assume_a=None, lower=False):
    """Arguments as in `scipy.linalg.inv`; without `assume_a` no structure is looked for."""
    (a,) = square("inv", a=a)
    if assume_a in _GENERAL:
        return decompositions.inv_op(a)
    if assume_a not in _STRUCTURES:
        raise ValueError(f"scipy.linalg.inv: {assume_a} is not a recognized matrix structure")
    eye = np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape)
    return _structured_solve(a, eye, assume_a, bool(lower), False)


pinv_op = general(
    "linalg.pinv_of_scipy",
    stacked(lambda a, atol, rtol: scipy.linalg.pinv(a, atol=atol, rtol=rtol), 2),
    nin=1,
    saves=(0, "ans"),
    vjp=decompositions.pinv_op.vjp,
    jvp=decompositions.pinv_op.jvp,
    pattern=patterns.couples,
    source=decompositions.pinv_op.info["source"],
    batch=batching.aligns,
)


def _rank(a, atol, rtol):
    return stacked(
        lambda x: np.asarray(
            scipy.linalg.pinv(x, atol=atol, rtol=rtol, return_rank=True, check_finite=False)[1]
        ),
        2,
    )(array_of(a))[()]


def inverse(a, atol, rtol):
    """Return the pseudo-inverse of what tolerances leave of a matrix."""
    left = decompositions.truncated(a, atol, rtol)
    if left is None:
        return pinv_op(a, atol=atol, rtol=rtol)
    return decompositions.inverse_of(*left)


@of_scipy(
    "pinv",
    samples=lambda rng: [
        ((rng.normal(size=(3, 2)),), {}),
        ((rng.normal(size=(2, 3)),), {"atol": 1e-9, "return_rank": True}),
        ((np.array([[3.0, 0.2], [0.1, 0.5], [0.3, 0.4]]),), {"rtol": 0.4}),
    ],
)
def pinv(a, atol=None, rtol=None, return_rank=False):
    """Arguments as in `scipy.linalg.pinv`; derivatives as in `numpy.linalg.pinv`."""
    (a,) = matrices("pinv", a=a)
    found = inverse(a, atol, rtol)
    return (found, _rank(a, atol, rtol)) if return_rank else found


# ---- determinants and norms


@of_scipy("det", samples=lambda rng: [((regular(rng, 3, 3),), {}), ((regular(rng, 2, 2, 2),), {})])
def det(a):
    """Arguments as in `scipy.linalg.det`, in double precision; derivatives where singular, too."""
    (a,) = in_double(*square("det", a=a))
    return determinants.det_op(a)


@of_scipy(
    "norm",
    samples=lambda rng: [
        ((rng.normal(size=4),), {}),
        ((rng.normal(size=(2, 3)),), {"ord": 1, "keepdims": True}),
        ((rng.normal(size=(2, 3)),), {"axis": 0}),
    ],
)
def norm(a, ord=None, axis=None, keepdims=False):
    """Arguments as in `scipy.linalg.norm`; derivatives as in `numpy.linalg.norm`.

    Notes
    -----
    The Euclidean norm of a vector is BLAS's, whose squares leave no range. Of float32 it is a
    float32: what SciPy returns is a Python number, which takes the dtype of arrays beside it.
    """
    (a,) = operands("norm", a=a)
    euclidean = type(ord) is not Variable and ord in (None, 2)
    if euclidean and a.ndim == 1 and axis is None and not keepdims:
        return norms.in_any_range(a)
    return norms.norm(a, ord, axis, keepdims)
