"""Products: matmul by compiled kernels, all others as contractions of labelled axes."""

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from fastbp._core import graph
from fastbp._core import matmul as core
from fastbp._core.compiled import Products
from fastbp._core.graph import Variable, promoted
from fastbp.errors import NoRuleError, ShapeError
from fastbp.rules import batching, local, patterns, plans
from fastbp.rules.contraction import contract_all, product
from fastbp.rules.local import matmul_labels
from fastbp.rules.numpy.structural import as_operand, conjugated, in_dtype, transpose_op
from fastbp.rules.table import general, implements, refuse

# ---- matmul


def mt(x):
    """Transpose matrices: the last two axes."""
    return transpose_op(x, axes=(-1, -2))


def mh(x):
    """Transpose and conjugate matrices."""
    return mt(conjugated(x))


def _matmul_vjp(g, a, b, position):
    """Contract the cotangent of ``a @ b`` with one operand; sum batch axes that were stretched."""
    if a.ndim == b.ndim == 2:
        return mt(a) @ g if position else g @ mt(b)
    left, right, out, new = matmul_labels(a, b)
    lead = (new,) * (g.ndim - len(out))
    own, x, other, labels = (right, b, a, left) if position else (left, a, b, right)
    sizes = dict(zip(out, g.shape[len(lead) :], strict=True))
    kept = tuple([m for m, size in zip(own, x.shape, strict=True) if sizes.get(m, size) == size])
    value = contract_all([(g, lead + out), (other, labels)], lead + kept)
    return value if kept == own else np.reshape(value, g.shape[: len(lead)] + x.shape)


def _matmul_jvp(t, a, b, position):
    """Multiply the tangent of one operand with the other one."""
    x, other = (b, a) if position else (a, b)
    if t.ndim == x.ndim or (other.ndim <= 2 and (position == 0 or b.ndim > 1)):
        return a @ t if position else t @ b
    left, right, out, new = matmul_labels(a, b)
    terms = [(a, left), (t, (new, *right))] if position else [(t, (new, *left)), (b, right)]
    return contract_all(terms, (new, *out))


def _multiply_members(m):
    """Multiply so that what members have in common is multiplied with once."""
    (a, b), (of_a, of_b) = m.operands, m.mapped
    nd_a, nd_b = m.ndim(0), m.ndim(1)
    if of_a and not of_b and nd_b <= 2 and (nd_a > 1 or nd_b == 2):
        return m(a, b)
    if of_b and not of_a and nd_a <= 2 and nd_b == 1:  # one product of matrices
        return m(b, mt(a) if nd_a == 2 else a)
    if of_a and of_b and (nd_a, nd_b) != (1, 1):
        nd = 1 + max(nd_a, nd_b, 2)
        a = a[..., None, :] if nd_a == 1 else a
        b = b[..., None] if nd_b == 1 else b
        found = m(batching.with_rank(a, nd), batching.with_rank(b, nd))
        return found[..., 0, :] if nd_a == 1 else found[..., 0] if nd_b == 1 else found
    left, right, out, new = matmul_labels(*map(m.member, (0, 1)))
    left, right = (
        (new, *own) if mapped else own for own, mapped in zip((left, right), m.mapped, strict=True)
    )
    return contract_all([(a, left), (b, right)], (new, *out))


matmul_op = general(
    "matmul",
    core.matmul,
    nin=2,
    promotes=(0, 1),
    compiled=Products(),
    saves=(0, 1),
    vjp=(
        lambda g, ans, a, b: _matmul_vjp(g, a, b, 0),
        lambda g, ans, a, b: _matmul_vjp(g, a, b, 1),
    ),
    jvp=(
        lambda t, ans, a, b: _matmul_jvp(t, a, b, 0),
        lambda t, ans, a, b: _matmul_jvp(t, a, b, 1),
    ),
    coefficients="operands",
    pattern=patterns.multiplies,
    local=local.multiplies,
    plan=plans.multiplies_matrices,
    batch=_multiply_members,
    direct=("g @ b.T", "a.T @ g"),
)


def mm(a, b):
    """Multiply matrices in rules beside LAPACK: by the BLAS of SciPy that it uses, too.

    NumPy's is another library, and two of them stall each other's threads.
    """
    return matmul_op(a, b)


def _ufunc_options(name, operands, options):
    """Honour ``dtype=`` of a ufunc, refuse its other options; return the operands."""
    if not options:
        return operands
    dtype = options.pop("dtype", None)
    defaults = {"casting": "same_kind", "order": "K", "subok": True}
    refuse(name, **{key: (value, defaults.get(key)) for key, value in options.items()})
    if dtype is None:
        return operands
    operands = [as_operand(x, f"numpy.{name}: operand {i}") for i, x in enumerate(operands)]
    return [in_dtype(name, x, dtype) for x in operands]


def stored(name, value, out):
    """Put a result into ``out=``, which must be a Variable."""
    if isinstance(out, tuple):
        (out,) = out
    if out is None:
        return value
    if type(out) is not Variable:
        raise NoRuleError(
            f"numpy.{name}: out= must be a Variable: a plain array cannot keep the derivative"
        )
    if out.shape != value.shape:
        raise ShapeError(
            f"numpy.{name}: out= has shape {out.shape}, the result has shape {value.shape}"
        )
    out[...] = value
    return out


def _matmul_samples(rng):
    shapes = [
        ((2, 3), (3, 4)),
        ((3,), (3,)),
        ((3,), (3, 2)),
        ((2, 3), (3,)),
        ((2, 2, 3), (3,)),
        ((3,), (2, 3, 2)),
        ((2, 2, 3), (3, 4)),
        ((2, 3), (4, 3, 2)),
        ((4, 1, 2, 3), (3, 3, 2)),
        ((1, 2, 3), (4, 3, 1)),
        ((0, 3), (3, 2)),
        ((2, 0), (0, 3)),
    ]
    return [((rng.normal(size=a), rng.normal(size=b)), {}) for a, b in shapes]


@implements(np.matmul, samples=_matmul_samples)
def matmul(x1, x2, /, out=None, **options):
    """Multiply matrices.

    Arguments as in `numpy.matmul`; axes= and signature= are refused, out= must be a Variable.

    Notes
    -----
    The cotangents are ``g @ b.T`` and ``a.T @ g``, by compiled kernels.
    """
    return stored("matmul", matmul_op(*_ufunc_options("matmul", (x1, x2), options)), out)


graph.bind("matmul", matmul_op)

# ---- contractions of two operands


def _dot_samples(rng):
    shapes = [
        ((), (3,)),
        ((2, 3), ()),
        ((3,), (3,)),
        ((2, 3), (3, 4)),
        ((2, 3), (3,)),
        ((3,), (3, 2)),
        ((2, 2, 3), (3,)),
        ((3,), (2, 3, 2)),
        ((2, 3), (2, 3, 2)),
        ((0, 3), (3, 2)),
    ]
    return [((rng.normal(size=a), rng.normal(size=b)), {}) for a, b in shapes]


@implements(np.dot, layout="C", method="dot", samples=_dot_samples)
def dot(a, b, out=None):
    """Sum products over the last axis of `a` and the second-to-last of `b`.

    Arguments as in `numpy.dot`; out= must be a Variable.
    """
    a, b = promoted("dot", a, b)
    if a.ndim == 0 or b.ndim == 0:
        return stored("dot", np.multiply(a, b), out)
    if b.ndim == 1 or (a.ndim <= 2 and b.ndim == 2):
        return stored("dot", matmul_op(a, b), out)
    return stored("dot", _summed("dot", a, b, (a.ndim - 1,), (b.ndim - 2,)), out)


def _summed(name, a, b, axes_a, axes_b):
    """Contract pairs of axes, given by non-negative numbers."""
    right = [a.ndim + k for k in range(b.ndim)]
    for i, j in zip(axes_a, axes_b, strict=True):
        right[j] = i
    out = [k for k in range(a.ndim) if k not in axes_a] + [k for k in right if k >= a.ndim]
    return product(name, a, range(a.ndim), b, right, out)


@implements(
    np.inner,
    samples=lambda rng: [
        ((rng.normal(size=a), rng.normal(size=b)), {})
        for a, b in [
            ((3,), (3,)),
            ((2, 3), (4, 3)),
            ((2, 2, 3), (3,)),
            ((), (2,)),
            ((2, 0), (3, 0)),
        ]
    ],
)
def inner(a, b, /):
    """Sum products over the last axes. Arguments as in `numpy.inner`."""
    a, b = promoted("inner", a, b)
    if a.ndim == 0 or b.ndim == 0:
        return np.multiply(a, b)
    return _summed("inner", a, b, (a.ndim - 1,), (b.ndim - 1,))


@implements(
    np.vdot,
    samples=lambda rng: [
        ((rng.normal(size=(4,)), rng.normal(size=(4,))), {}),
        ((rng.normal(size=(2, 3)), rng.normal(size=(3, 2))), {}),
    ],
)
def vdot(a, b, /):
    """Sum the products of all elements, those of `a` conjugated. Arguments as in `numpy.vdot`."""
    return matmul_op(*promoted("vdot", conjugated(_flat(a)), _flat(b)))


def _flat(x):
    x = as_operand(x)
    return x if x.ndim == 1 else np.reshape(x, -1)


@implements(
    np.outer,
    samples=lambda rng: [
        ((rng.normal(size=(2,)), rng.normal(size=(3,))), {}),
        ((rng.normal(size=(2, 2)), rng.normal()), {}),
    ],
)
def outer(a, b, out=None):
    """Multiply every element of `a` with every element of `b`. Arguments as in `numpy.outer`."""
    return stored("outer", product("outer", _flat(a), (0,), _flat(b), (1,), (0, 1)), out)


@implements(
    np.tensordot,
    layout="C",
    no_axes="array",
    samples=lambda rng: [
        ((rng.normal(size=(2, 3, 4)), rng.normal(size=(3, 4, 2))), {}),
        ((rng.normal(size=(2, 3)), rng.normal(size=(2, 3))), {"axes": 0}),
        ((rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 2, 5))), {"axes": ((0, -1), (1, 0))}),
        ((rng.normal(size=(2, 3)), rng.normal(size=(4, 3))), {"axes": (1, 1)}),
    ],
)
def tensordot(a, b, axes=2):
    """Sum products over pairs of axes. Arguments as in `numpy.tensordot`."""
    a, b = as_operand(a), as_operand(b)
    axes_a, axes_b = axes if np.iterable(axes) else (tuple(range(-axes, 0)), tuple(range(axes)))
    axes_a, axes_b = normalize_axis_tuple(axes_a, a.ndim), normalize_axis_tuple(axes_b, b.ndim)
    if len(axes_a) != len(axes_b):
        raise ShapeError(
            f"tensordot: {len(axes_a)} axes of a and {len(axes_b)} of b cannot be paired"
        )
    return _summed("tensordot", a, b, axes_a, axes_b)


@implements(
    np.kron,
    samples=lambda rng: [
        ((rng.normal(size=a), rng.normal(size=b)), {})
        for a, b in [
            ((2, 3), (3, 2)),
            ((3,), (2,)),
            ((2,), (2, 3)),
            ((2, 1, 2), (2, 3)),
            ((), (2, 2)),
        ]
    ],
)
def kron(a, b):
    """Multiply every element of `a` with all of `b`. Arguments as in `numpy.kron`."""
    a, b = as_operand(a), as_operand(b)
    ndim = max(a.ndim, b.ndim)
    a, b = (np.reshape(x, (1,) * (ndim - x.ndim) + x.shape) for x in (a, b))
    value = product("kron", a, range(0, 2 * ndim, 2), b, range(1, 2 * ndim, 2), range(2 * ndim))
    return np.reshape(value, tuple([m * n for m, n in zip(a.shape, b.shape, strict=True)]))


# ---- products of vectors and matrices with broadcasting, as in the array API


def _last(x, axis):
    """Return `x` with the axis last."""
    x = as_operand(x)
    axis = normalize_axis_index(axis, x.ndim)
    return x if axis == x.ndim - 1 else np.moveaxis(x, axis, -1)


def _batched(name, a, own_a, b, own_b, out):
    """Contract the last axes, labelled by negative numbers; all axes in front of them broadcast."""
    a, b = promoted(name, a, b)
    if a.ndim < len(own_a) or b.ndim < len(own_b):
        raise ShapeError(f"{name}: operands of shapes {a.shape} and {b.shape} have too few axes")
    left, right = (
        tuple(range(x.ndim - len(own)))[::-1] + own for x, own in ((a, own_a), (b, own_b))
    )
    if a.shape[left.index(-1)] != b.shape[right.index(-1)]:
        raise ShapeError(f"{name}: operands of shapes {a.shape} and {b.shape} do not fit")
    batch = max(left[: len(left) - len(own_a)], right[: len(right) - len(own_b)], key=len)
    return contract_all([(a, left), (b, right)], batch + out)


@implements(
    np.vecdot,
    samples=lambda rng: [
        ((rng.normal(size=(2, 3)), rng.normal(size=(3,))), {}),
        ((rng.normal(size=(3, 2)), rng.normal(size=(3, 1))), {"axis": 0}),
    ],
)
def vecdot(x1, x2, /, out=None, *, axis=-1, **options):
    """Sum products over one axis, broadcasting the others.

    Arguments as in `numpy.vecdot`; axes= and keepdims= are refused, out= must be a Variable. The
    elements of `x1` are conjugated.
    """
    x1, x2 = _ufunc_options("vecdot", (x1, x2), options)
    value = _batched("vecdot", conjugated(_last(x1, axis)), (-1,), _last(x2, axis), (-1,), ())
    return stored("vecdot", value, out)


def matvec(x1, x2, /, out=None, **options):
    """Multiply matrices with vectors. Arguments as in `numpy.matvec`; axes= is refused."""
    x1, x2 = _ufunc_options("matvec", (x1, x2), options)
    return stored("matvec", _batched("matvec", x1, (-2, -1), x2, (-1,), (-2,)), out)


def vecmat(x1, x2, /, out=None, **options):
    """Multiply conjugated vectors with matrices.

    Arguments as in `numpy.vecmat`; axes= is refused.
    """
    x1, x2 = _ufunc_options("vecmat", (x1, x2), options)
    x1 = conjugated(as_operand(x1, "numpy.vecmat: x1"))
    return stored("vecmat", _batched("vecmat", x1, (-1,), x2, (-1, -2), (-2,)), out)


if hasattr(np, "matvec"):  # NumPy 2.2
    implements(
        np.matvec,
        samples=lambda rng: [
            ((rng.normal(size=(2, 4, 3)), rng.normal(size=(3,))), {}),
            ((rng.normal(size=(4, 3)), rng.normal(size=(2, 3))), {}),
        ],
    )(matvec)
    implements(
        np.vecmat,
        samples=lambda rng: [
            ((rng.normal(size=(4,)), rng.normal(size=(2, 4, 3))), {}),
            ((rng.normal(size=(2, 4)), rng.normal(size=(4, 3))), {}),
        ],
    )(vecmat)


# ---- cross


def aligned(t, x, ndim):
    """Insert axes behind the block axes of `t`, a tangent of `x`.

    Then it broadcasts against arrays of `ndim` axes as `x` does.
    """
    lead, missing = t.ndim - x.ndim, ndim - x.ndim
    return np.reshape(t, t.shape[:lead] + (1,) * missing + x.shape) if lead and missing > 0 else t


def of_all_columns(solve, b):
    """Call `solve` once, with the columns of all matrices side by side."""
    columns = np.moveaxis(b, -2, 0)
    x = solve(columns.reshape(len(columns), math.prod(columns.shape[1:])))
    return np.moveaxis(x.reshape(columns.shape), 0, -2)


# Vectors are along the last axis. <g, a x b> = <a, b x g> = <b, g x a>.
NEXT, AFTER = np.array([1, 2, 0]), np.array([2, 0, 1])


def _cross(a, b):
    # A fifth of numpy.cross's time for one vector, to the same bits.
    return a[..., NEXT] * b[..., AFTER] - a[..., AFTER] * b[..., NEXT]


cross_op = general(
    "cross",
    _cross,
    nin=2,
    saves=(0, 1),
    vjp=(lambda g, ans, a, b: cross_op(b, g), lambda g, ans, a, b: cross_op(g, a)),
    jvp=(
        lambda t, ans, a, b: cross_op(aligned(t, a, ans.ndim), b),
        lambda t, ans, a, b: cross_op(a, aligned(t, b, ans.ndim)),
    ),
    coefficients="operands",
    pattern=patterns.crosses,
    batch=batching.aligns,
)


@implements(
    np.cross,
    samples=lambda rng: [
        ((rng.normal(size=(2, 3)), rng.normal(size=(3,))), {}),
        ((rng.normal(size=(3, 2)), rng.normal(size=(4, 1, 3))), {"axisa": 0, "axisc": 0}),
        ((rng.normal(size=(3, 2)), rng.normal(size=(3, 2))), {"axis": 0}),
    ],
)
def cross(a, b, axisa=-1, axisb=-1, axisc=-1, axis=None):
    """Multiply vectors of length 3.

    Arguments as in `numpy.cross`; vectors of length 2, which it deprecates, are refused.
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = promoted("cross", a, b)
    a, b = _last(a, axisa), _last(b, axisb)
    for x in (a, b):
        if x.shape[-1] == 2:
            raise NoRuleError("numpy.cross: vectors of length 2 are not supported for Variables")
        if x.shape[-1] != 3:
            raise ShapeError(f"cross: vectors of length 3 are needed, got {a.shape} and {b.shape}")
    value = graph.in_order(cross_op(a, b), "C")
    return value if axisc == -1 else np.moveaxis(value, -1, normalize_axis_index(axisc, value.ndim))
