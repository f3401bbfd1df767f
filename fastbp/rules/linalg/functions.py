"""`scipy.linalg`: functions of matrices.

The derivative of a function f of a matrix along E is the upper right block of f of
``[[A, E], [0, A]]`` (R. Mathias, SIAM J. Matrix Anal. Appl. 17 (1996) 610-620). Its transpose is
the derivative at ``A.T``, and as the rule is f itself, it holds in every order.
"""

import functools
import inspect

import numpy as np
import scipy.linalg

from fastbp import generator
from fastbp._core.graph import array_of, has_variable, passive, values_of
from fastbp.errors import ShapeError
from fastbp.rules import batching, patterns
from fastbp.rules.counterparts import constant, refused
from fastbp.rules.linalg import decompositions
from fastbp.rules.linalg.of_scipy import in_double, of_scipy, square, stacked
from fastbp.rules.linalg.sylvester import sylvester_op
from fastbp.rules.numpy.products import mm, mt
from fastbp.rules.numpy.structural import as_operand
from fastbp.rules.table import general

__all__ = ["OTHERS", "expm_op", "frechet", "sqrtm_op"]

MATHIAS = "Mathias 1996"


def frechet(op, a, e, **static):
    """Return the derivative of a function of matrices at `a` along `e`; axes in front broadcast."""
    scale = _scale(a, e)
    n = a.shape[-1]
    whole = op(_doubled(a, e / scale), **static)
    return whole[..., :n, n:] * scale


def _doubled(a, e):
    """Return ``[[a, e], [0, a]]``."""
    shape = np.broadcast_shapes(a.shape, e.shape)
    a, e = np.broadcast_to(a, shape), np.broadcast_to(e, shape)
    above = np.concatenate([a, e], -1)
    below = np.concatenate([np.zeros(shape, a.dtype), a], -1)
    return np.concatenate([above, below], -2)


def _scale(a, e):
    """Return a power of two, for each matrix, that makes `e` as large as `a`: it is linear in e."""
    a, e = (np.asarray(array_of(values_of(x))) for x in (a, e))
    top_a, top_e = (np.max(np.abs(x), axis=(-2, -1), keepdims=True, initial=0.0) for x in (a, e))
    with np.errstate(all="ignore"):
        ratio = np.where((top_a > 0.0) & (top_e > 0.0), top_e / top_a, 1.0)
        scale = np.exp2(np.round(np.log2(ratio)))
    return np.where(np.isfinite(scale) & (scale > 0.0), scale, 1.0).astype(a.real.dtype)


def _function(name, forward, along=None):
    """Add a function of matrices, and its derivatives by that of twice the size."""
    along = along or (lambda a, e, **static: frechet(op, a, e, **static))
    op = general(
        f"linalg.{name}",
        forward,
        nin=1,
        saves=(0,),
        vjp=(lambda g, ans, a, **static: along(mt(a), g, **static),),
        jvp=(lambda t, ans, a, **static: along(a, t, **static),),
        pattern=patterns.couples,
        batch=batching.aligns,
        source=MATHIAS,
    )
    return op


def _without_drawing(function):
    """Return a function of SciPy's that leaves the user's random numbers as they are.

    Some estimate norms by NumPy's global generator.
    """

    @functools.wraps(function)
    def same(*args, **kwargs):
        with generator.restored():
            return function(*args, **kwargs)

    return same


def _quiet(name):
    """Return SciPy's function without its second result and what it prints; in double precision.

    It measures the error by the roundings of float64.
    """
    theirs = _without_drawing(getattr(scipy.linalg, name))
    given = inspect.signature(theirs).parameters.get("disp")
    older = given is not None and given.default is True  # SciPy before 1.17

    def function(a):
        a_double = a.astype(np.result_type(a.dtype, np.float64))
        found = theirs(a_double, disp=False) if older else theirs(a_double)
        found = np.asarray(found[0] if isinstance(found, tuple) else found)
        kind = np.complex64 if found.dtype.kind == "c" else np.float32
        return found.astype(np.result_type(a.dtype, kind))

    return function


# ---- the exponential, and what is made of it


def _expm_along(a, e):
    if type(a) is type(e) is np.ndarray and e.ndim == 2 and a.dtype == e.dtype == np.float64:
        if not a.size:
            return np.zeros_like(a)
        return scipy.linalg.expm_frechet(a, e, compute_expm=False, check_finite=False)
    return frechet(expm_op, a, e)


expm_op = _function("expm", scipy.linalg.expm, _expm_along)


def _matrices(rng):
    return [((0.5 * rng.normal(size=(3, 3)),), {}), ((0.5 * rng.normal(size=(2, 2, 2)),), {})]


@of_scipy(
    "expm",
    samples=lambda rng: [*_matrices(rng), ((rng.normal(size=(1, 1)),), {})],
)
def expm(A):
    """Arguments as in `scipy.linalg.expm`.

    Notes
    -----
    The cotangent is the derivative of the exponential at ``A.T`` along g.
    """
    (A,) = square("expm", A=A)
    return expm_op(A)


@of_scipy(
    "expm_frechet",
    samples=lambda rng: [
        ((0.5 * rng.normal(size=(2, 2)), rng.normal(size=(2, 2))), {}),
        ((0.5 * rng.normal(size=(2, 2)), rng.normal(size=(2, 2))), {"compute_expm": False}),
    ],
)
def expm_frechet(A, E, method=None, compute_expm=True):
    """Arguments as in `scipy.linalg.expm_frechet`; always by the exponential of twice the size."""
    own = as_operand(A, "scipy.linalg.expm_frechet: A")
    A, E = square("expm_frechet", A=A, E=E)
    if A.shape[-1] != E.shape[-1]:
        raise ShapeError(
            f"scipy.linalg.expm_frechet: A of shape {A.shape} and E of shape {E.shape} must be of "
            "the same size"
        )
    if method != "blockEnlarge":
        own, A, E = in_double(own, A, E)
    scale = _scale(A, E)
    n = A.shape[-1]
    whole = expm_op(_doubled(A, E / scale))
    along = whole[..., :n, n:] * scale
    if not compute_expm:
        return along
    return whole[..., :n, :n] if own.dtype == A.dtype else expm_op(own), along


def _even(a):
    """Return the sum of the exponentials of a matrix and its negative, over 2, as SciPy does."""
    return 0.5 * (expm_op(a) + expm_op(-a))


def _odd(a):
    return 0.5 * (expm_op(a) - expm_op(-a))


def _cos(a):
    return np.real(expm_op(1j * a)) if a.dtype.kind == "f" else _even(1j * a)


def _sin(a):
    return np.imag(expm_op(1j * a)) if a.dtype.kind == "f" else -1j * _odd(1j * a)


def _by_exponentials(name, f):
    @of_scipy(name, samples=lambda rng: [((0.5 * rng.normal(size=(2, 2)),), {})])
    def function(A):
        (A,) = square(name, A=A)
        return f(A)

    function.__doc__ = f"Arguments as in `scipy.linalg.{name}`; by exponentials, as SciPy does it."
    if name.startswith("tan"):
        function.__doc__ += (
            " A quotient: values and derivatives lose as many digits as the condition of its "
            f"denominator `{name.replace('tan', 'cos')}(A)` has."
        )


for _name, _f in {
    "cosm": _cos,
    "sinm": _sin,
    "tanm": lambda a: decompositions.solve(_cos(a), _sin(a)),
    "coshm": _even,
    "sinhm": _odd,
    "tanhm": lambda a: decompositions.solve(_even(a), _odd(a)),
}.items():
    _by_exponentials(_name, _f)


# ---- roots and logarithms


def _twice(a, q):
    """Solve ``a X + X a = q``."""
    return sylvester_op(a, a, q)


def _lost_at_singular(found, a, power=1):
    """Return derivatives with NaN where `a`, the root of a power of the matrix, is singular."""
    if not a.size:
        return found
    size = np.abs(np.linalg.eigvals(passive(a))) ** power
    rounding = size.shape[-1] * np.finfo(size.dtype).eps
    singular = np.min(size, -1) <= rounding * np.max(size, -1)
    return found * np.where(singular, np.nan, 1.0).astype(size.dtype)[..., None, None]


def _regular(name, forward):
    """Add a function of matrices that has no derivative at singular ones."""

    def along(a, e, **static):
        return _lost_at_singular(frechet(op, a, e, **static), a)

    op = _function(name, forward, along)
    return op


def _half(root, q):
    return _lost_at_singular(_twice(root, q), root, 2)


sqrtm_op = general(
    "linalg.sqrtm",
    stacked(_quiet("sqrtm"), 2),
    nin=1,
    saves=("ans",),
    vjp=(lambda g, ans, a: _half(mt(ans), g),),
    jvp=(lambda t, ans, a: _half(ans, t),),
    pattern=patterns.couples,
    source="N. J. Higham, Functions of Matrices, SIAM 2008, section 6.1",
    batch=batching.aligns,
)
logm_op = _regular("logm", stacked(_quiet("logm"), 2))
power_op = _regular(
    "fractional_matrix_power",
    stacked(_without_drawing(lambda a, power: scipy.linalg.fractional_matrix_power(a, power)), 2),
)


def _signm_along(e, s, a):
    """Return the derivative of the sign S along `e`; ``S a`` is the root of ``a @ a``."""
    return _lost_at_singular(_twice(mm(s, a), e - mm(mm(s, e), s)), a)


signm_op = general(
    "linalg.signm",
    stacked(_quiet("signm"), 2),
    nin=1,
    saves=(0, "ans"),
    vjp=(lambda g, ans, a: _signm_along(g, mt(ans), mt(a)),),
    jvp=(lambda t, ans, a: _signm_along(t, ans, a),),
    pattern=patterns.couples,
    source="Higham 2008, theorem 5.3",
    batch=batching.aligns,
)


def _positive_spectrum(rng, *shape):
    return 0.3 * rng.normal(size=shape) + 2.0 * np.eye(shape[-1])


def _refuse_disp(name, disp):
    """Refuse the second result of older SciPy: an estimate of the error."""
    if disp is False:
        raise ValueError(
            f"scipy.linalg.{name}: disp=False, which returns an estimate of the error, is not "
            "supported for Variables"
        )


@of_scipy(
    "sqrtm",
    samples=lambda rng: [
        ((_positive_spectrum(rng, 3, 3),), {}),
        ((np.array([[0.3, 2.0], [-1.5, 0.4]]),), {}),
    ],
)
def sqrtm(A, disp=None, blocksize=None):
    """Arguments as in `scipy.linalg.sqrtm`.

    Notes
    -----
    The cotangent solves ``X.T S + S X.T = g`` with the root X; at a singular matrix it is NaN.
    """
    (A,) = square("sqrtm", A=A)
    _refuse_disp("sqrtm", disp)
    return sqrtm_op(A)


@of_scipy("logm", samples=lambda rng: [((_positive_spectrum(rng, 3, 3),), {})])
def logm(A, disp=None):
    """Arguments as in `scipy.linalg.logm`; the principal logarithm has no derivative elsewhere.

    Notes
    -----
    At a singular matrix it is NaN.
    """
    (A,) = square("logm", A=A)
    _refuse_disp("logm", disp)
    return logm_op(A)


@of_scipy("signm", samples=lambda rng: [((_positive_spectrum(rng, 3, 3) - 2.0,), {})])
def signm(A, disp=None):
    """Arguments as in `scipy.linalg.signm`; at a singular matrix the derivative is NaN."""
    (A,) = square("signm", A=A)
    _refuse_disp("signm", disp)
    return signm_op(A)


@of_scipy(
    "fractional_matrix_power",
    samples=lambda rng: [
        ((_positive_spectrum(rng, 2, 2), 0.3), {}),
        ((_positive_spectrum(rng, 2, 2), -2), {}),
        ((_positive_spectrum(rng, 2, 2), np.array(0.3)), {}),
    ],
)
def fractional_matrix_power(A, t):
    """Arguments as in `scipy.linalg.fractional_matrix_power`; `t` may be a Variable, too.

    Then the value is ``expm(t * logm(A))``. At a singular matrix a power that is no integer has the
    derivative NaN.
    """
    A = as_operand(A, "scipy.linalg.fractional_matrix_power: A")
    (A,) = square("fractional_matrix_power", A=A if A.dtype.kind in "fc" else A.astype(float))
    t = as_operand(t, "scipy.linalg.fractional_matrix_power: t", real=True)
    if t.ndim:
        raise ShapeError(
            f"scipy.linalg.fractional_matrix_power: t must be a number, not of shape {t.shape}"
        )
    if has_variable(t):
        return expm_op(t * logm_op(A))
    t = float(t)
    if t.is_integer() and abs(t) < 2**15:
        return (
            decompositions.matrix_power(A, int(t))
            if t
            else np.zeros_like(A) + np.eye(A.shape[-1], dtype=A.dtype)
        )
    return power_op(A, power=t)


# ---- of all of `scipy.linalg`: what sees values, and what is refused with a reason

_PLACES = "places, order, counts"
_NUMBERS = (
    "it calls a function with numbers inside of SciPy: write expm, logm, sqrtm and the like of "
    "fastbp.scipy.linalg, or numpy.linalg.eigh"
)
_PENCIL = (
    "the form of a pencil is no function of it: write "
    "fastbp.scipy.linalg.schur(fastbp.scipy.linalg.solve(B, A)) where B is regular"
)
_UPDATE = "it updates what was decomposed before: write fastbp.scipy.linalg.qr "

OTHERS = {
    name: constant(f"scipy.linalg.{name}", _PLACES)
    for name in ("bandwidth", "ishermitian", "issymmetric")
}
OTHERS |= {
    name: refused(f"scipy.linalg.{name}", why)
    for name, why in {
        "cdf2rdf": "it pairs what is conjugate: write the real and imaginary parts of v",
        "clarkson_woodruff_transform": "its sketch is random: write S @ A with a constant S = "
        "scipy.linalg.clarkson_woodruff_transform(numpy.eye(len(A)), k)",
        "cossin": "its four bases have a factor in common that LAPACK chooses: write the angles as "
        "numpy.arccos(fastbp.scipy.linalg.svdvals(X[:p, :q]))",
        "expm_cond": "it is an estimate by the norm of a derivative, and has none here",
        "funm": _NUMBERS,
        "ordqz": _PENCIL,
        "qr_delete": _UPDATE + "of the smaller matrix",
        "qr_insert": _UPDATE + "of the larger matrix",
        "qr_multiply": "it multiplies by Q, in the dtype of a: write "
        "c @ fastbp.scipy.linalg.qr(a, mode='economic')[0]",
        "qr_update": _UPDATE + "of Q @ R + u @ v.T",
        "qz": _PENCIL,
        "rsf2csf": "write fastbp.scipy.linalg.schur(A, output='complex')",
    }.items()
}
