"""Products: matmul by compiled kernels, all others as contractions of labelled axes."""


import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from fastbp._core import graph, matmul as core
from fastbp._core.graph import Variable
from fastbp.errors import NoRuleError, ShapeError
from fastbp.rules.contraction import as_dtype, contract_all, product, promoted
from fastbp.rules.table import general, implements, refuse

# ---- matmul


def _labels(a, b):
    """Return the labels of the axes of ``a``, ``b`` and ``a @ b``, and one more; batch axes count from the end."""
    m, k, n = (-1,) * (a.ndim > 1), (-2,), (-3,) * (b.ndim > 1)
    left, right = (tuple(range(x.ndim - 2))[::-1] for x in (a, b))
    batch = max(left, right, key=len)
    return left + m + k, right + k + n, batch + m + n, len(batch)


def _matmul_vjp(g, a, b, position):
    """Contract the cotangent of ``a @ b`` with one operand; batch axes that were stretched are summed."""
    if a.ndim == b.ndim == 2:
        return np.swapaxes(a, 0, 1) @ g if position else g @ np.swapaxes(b, 0, 1)
    left, right, out, new = _labels(a, b)
    lead = (new,) * (g.ndim - len(out))
    own, x, other, labels = (right, b, a, left) if position else (left, a, b, right)
    sizes = dict(zip(out, g.shape[len(lead):]))
    kept = tuple(label for label, size in zip(own, x.shape) if sizes.get(label, size) == size)
    value = contract_all([(g, lead + out), (other, labels)], lead + kept)
    return value if kept == own else np.reshape(value, g.shape[: len(lead)] + x.shape)


def _matmul_jvp(t, a, b, position):
    """Multiply the tangent of one operand with the other one."""
    x, other = (b, a) if position else (a, b)
    if t.ndim == x.ndim or (other.ndim <= 2 and (position == 0 or b.ndim > 1)):
        return a @ t if position else t @ b
    left, right, out, new = _labels(a, b)
    terms = [(a, left), (t, (new, *right))] if position else [(t, (new, *left)), (b, right)]
    return contract_all(terms, (new, *out))


matmul_op = general(
    "matmul", core.matmul, nin=2, compiled=True, saves=(0, 1),
    vjp=(lambda g, ans, a, b: _matmul_vjp(g, a, b, 0), lambda g, ans, a, b: _matmul_vjp(g, a, b, 1)),
    jvp=(lambda t, ans, a, b: _matmul_jvp(t, a, b, 0), lambda t, ans, a, b: _matmul_jvp(t, a, b, 1)),
)


def _at(a, b):
    """Multiply as the operator ``@`` does."""
    if getattr(a, "dtype", None) is getattr(b, "dtype", 0):
        return matmul_op(a, b)
    return matmul_op(*promoted("matmul", a, b))


def _ufunc_options(name, operands, options):
    """Honour ``dtype=`` of a ufunc, refuse its other options; return the operands."""
    dtype = options.pop("dtype", None)
    defaults = {"casting": "same_kind", "order": "K", "subok": True}
    refuse(name, **{key: (value, defaults.get(key)) for key, value in options.items()})
    if dtype is None:
        return operands
    return [as_dtype(x, dtype) for x in operands]


def _stored(name, value, out):
    """Put a result into ``out=``, which must be a Variable."""
    if isinstance(out, tuple):
        (out,) = out
    if out is None:
        return value
    if type(out) is not Variable:
        raise NoRuleError(f"numpy.{name}: out= must be a Variable: a plain array cannot keep the derivative")
    if out.shape != value.shape:
        raise ShapeError(f"numpy.{name}: out= has shape {out.shape}, the result has shape {value.shape}")
    out[...] = value
    return out


def _matmul_samples(rng):
    shapes = [((2, 3), (3, 4)), ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 2, 3), (3,)), ((3,), (2, 3, 2)),
              ((2, 2, 3), (3, 4)), ((2, 3), (4, 3, 2)), ((4, 1, 2, 3), (3, 3, 2)), ((1, 2, 3), (4, 3, 1)), ((0, 3), (3, 2)),
              ((2, 0), (0, 3))]
    return [((rng.normal(size=a), rng.normal(size=b)), {}) for a, b in shapes]


@implements(np.matmul, samples=_matmul_samples)
def matmul(x1, x2, /, out=None, **options):
    """Multiply matrices. Arguments as in numpy.matmul; axes= and signature= are refused, out= must be a Variable."""
    return _stored("matmul", _at(*_ufunc_options("matmul", (x1, x2), options)), out)


graph.bind("matmul", _at)

# ---- contractions of two operands


def _variable_or_array(x):
    return x if type(x) is Variable else np.asarray(x)


def _dot_samples(rng):
    shapes = [((), (3,)), ((2, 3), ()), ((3,), (3,)), ((2, 3), (3, 4)), ((2, 3), (3,)), ((3,), (3, 2)),
              ((2, 2, 3), (3,)), ((3,), (2, 3, 2)), ((2, 3), (2, 3, 2)), ((0, 3), (3, 2))]
    return [((rng.normal(size=a), rng.normal(size=b)), {}) for a, b in shapes]


@implements(np.dot, method="dot", samples=_dot_samples)
def dot(a, b, out=None):
    """Sum products over the last axis of `a` and the second-to-last of `b`. Arguments as in numpy.dot."""
    a, b = _variable_or_array(a), _variable_or_array(b)
    if a.ndim == 0 or b.ndim == 0:
        return _stored("dot", np.multiply(*promoted("dot", a, b)), out)
    if b.ndim == 1 or a.ndim <= 2 and b.ndim == 2:
        return _stored("dot", _at(a, b), out)
    return _stored("dot", _summed("dot", a, b, (a.ndim - 1,), (b.ndim - 2,)), out)


def _summed(name, a, b, axes_a, axes_b):
    """Contract pairs of axes, given by non-negative numbers."""
    right = [a.ndim + k for k in range(b.ndim)]
    for i, j in zip(axes_a, axes_b):
        right[j] = i
    out = [k for k in range(a.ndim) if k not in axes_a] + [k for k in right if k >= a.ndim]
    return product(name, a, range(a.ndim), b, right, out)


@implements(np.inner, samples=lambda rng: [
    ((rng.normal(size=a), rng.normal(size=b)), {})
    for a, b in [((3,), (3,)), ((2, 3), (4, 3)), ((2, 2, 3), (3,)), ((), (2,)), ((2, 0), (3, 0))]])
def inner(a, b, /):
    """Sum products over the last axes. Arguments as in numpy.inner."""
    a, b = _variable_or_array(a), _variable_or_array(b)
    if a.ndim == 0 or b.ndim == 0:
        return np.multiply(*promoted("inner", a, b))
    return _summed("inner", a, b, (a.ndim - 1,), (b.ndim - 1,))


@implements(np.vdot, samples=lambda rng: [
    ((rng.normal(size=(4,)), rng.normal(size=(4,))), {}), ((rng.normal(size=(2, 3)), rng.normal(size=(3, 2))), {})])
def vdot(a, b, /):
    """Sum the products of all elements. Arguments as in numpy.vdot."""
    return _at(_flat(a), _flat(b))


def _flat(x):
    x = _variable_or_array(x)
    return x if x.ndim == 1 else np.reshape(x, -1)


@implements(np.outer, samples=lambda rng: [
    ((rng.normal(size=(2,)), rng.normal(size=(3,))), {}), ((rng.normal(size=(2, 2)), rng.normal()), {})])
def outer(a, b, out=None):
    """Multiply every element of `a` with every element of `b`. Arguments as in numpy.outer."""
    return _stored("outer", product("outer", _flat(a), (0,), _flat(b), (1,), (0, 1)), out)


@implements(np.tensordot, samples=lambda rng: [
    ((rng.normal(size=(2, 3, 4)), rng.normal(size=(3, 4, 2))), {}),
    ((rng.normal(size=(2, 3)), rng.normal(size=(2, 3))), {"axes": 0}),
    ((rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 2, 5))), {"axes": ((0, -1), (1, 0))}),
    ((rng.normal(size=(2, 3)), rng.normal(size=(4, 3))), {"axes": (1, 1)})])
def tensordot(a, b, axes=2):
    """Sum products over pairs of axes. Arguments as in numpy.tensordot."""
    a, b = _variable_or_array(a), _variable_or_array(b)
    axes_a, axes_b = axes if np.iterable(axes) else (tuple(range(-axes, 0)), tuple(range(axes)))
    axes_a, axes_b = normalize_axis_tuple(axes_a, a.ndim), normalize_axis_tuple(axes_b, b.ndim)
    if len(axes_a) != len(axes_b):
        raise ShapeError(f"tensordot: {len(axes_a)} axes of a and {len(axes_b)} of b cannot be paired")
    return _summed("tensordot", a, b, axes_a, axes_b)


@implements(np.kron, samples=lambda rng: [
    ((rng.normal(size=a), rng.normal(size=b)), {})
    for a, b in [((2, 3), (3, 2)), ((3,), (2,)), ((2,), (2, 3)), ((2, 1, 2), (2, 3)), ((), (2, 2))]])
def kron(a, b):
    """Multiply every element of `a` with all of `b`. Arguments as in numpy.kron."""
    a, b = _variable_or_array(a), _variable_or_array(b)
    ndim = max(a.ndim, b.ndim)
    a, b = (np.reshape(x, (1,) * (ndim - x.ndim) + x.shape) for x in (a, b))
    value = product("kron", a, range(0, 2 * ndim, 2), b, range(1, 2 * ndim, 2), range(2 * ndim))
    return np.reshape(value, tuple(m * n for m, n in zip(a.shape, b.shape)))


# ---- products of vectors and matrices with broadcasting, as in the array API


def _last(x, axis):
    """Return `x` with the axis last."""
    x = _variable_or_array(x)
    axis = normalize_axis_index(axis, x.ndim)
    return x if axis == x.ndim - 1 else np.moveaxis(x, axis, -1)


def _batched(name, a, own_a, b, own_b, out):
    """Contract the last axes, labelled by negative numbers; all axes in front of them broadcast."""
    a, b = promoted(name, _variable_or_array(a), _variable_or_array(b))
    batch_a, batch_b = (tuple(range(x.ndim - len(own)))[::-1] for x, own in ((a, own_a), (b, own_b)))
    k_a, k_b = a.shape[len(batch_a) + own_a.index(-1)], b.shape[len(batch_b) + own_b.index(-1)]
    if k_a != k_b:
        raise ShapeError(f"{name}: shapes {a.shape} and {b.shape} do not fit: {k_a} and {k_b} elements are multiplied")
    return contract_all([(a, batch_a + own_a), (b, batch_b + own_b)], max(batch_a, batch_b, key=len) + out)


@implements(np.vecdot, samples=lambda rng: [
    ((rng.normal(size=(2, 3)), rng.normal(size=(3,))), {}), ((rng.normal(size=(3, 2)), rng.normal(size=(3, 1))), {"axis": 0})])
def vecdot(x1, x2, /, out=None, *, axis=-1, **options):
    """Sum products over one axis, broadcasting the others. Arguments as in numpy.vecdot; axes= and keepdims= are refused."""
    x1, x2 = _ufunc_options("vecdot", (x1, x2), options)
    return _stored("vecdot", _batched("vecdot", _last(x1, axis), (-1,), _last(x2, axis), (-1,), ()), out)


def matvec(x1, x2, /, out=None, **options):
    """Multiply matrices with vectors. Arguments as in numpy.matvec; axes= is refused."""
    x1, x2 = _ufunc_options("matvec", (x1, x2), options)
    return _stored("matvec", _batched("matvec", x1, (-2, -1), x2, (-1,), (-2,)), out)


def vecmat(x1, x2, /, out=None, **options):
    """Multiply vectors with matrices. Arguments as in numpy.vecmat; axes= is refused."""
    x1, x2 = _ufunc_options("vecmat", (x1, x2), options)
    return _stored("vecmat", _batched("vecmat", x1, (-1,), x2, (-1, -2), (-2,)), out)


if hasattr(np, "matvec"):  # NumPy 2.2
    implements(np.matvec, samples=lambda rng: [
        ((rng.normal(size=(2, 4, 3)), rng.normal(size=(3,))), {}), ((rng.normal(size=(4, 3)), rng.normal(size=(2, 3))), {})])(matvec)
    implements(np.vecmat, samples=lambda rng: [
        ((rng.normal(size=(4,)), rng.normal(size=(2, 4, 3))), {}), ((rng.normal(size=(2, 4)), rng.normal(size=(4, 3))), {})])(vecmat)


# ---- cross


def aligned(t, x, ndim):
    """Insert axes behind the block axes of `t`, a tangent of `x`, so that it broadcasts as `x` does in `ndim` axes."""
    lead, missing = t.ndim - x.ndim, ndim - x.ndim
    return np.reshape(t, t.shape[:lead] + (1,) * missing + x.shape) if lead and missing > 0 else t


# Vectors are along the last axis. <g, a x b> = <a, b x g> = <b, g x a>.
cross_op = general(
    "cross", np.cross, nin=2, saves=(0, 1),
    vjp=(lambda g, ans, a, b: cross_op(b, g), lambda g, ans, a, b: cross_op(g, a)),
    jvp=(lambda t, ans, a, b: cross_op(aligned(t, a, ans.ndim), b), lambda t, ans, a, b: cross_op(a, aligned(t, b, ans.ndim))),
)


@implements(np.cross, samples=lambda rng: [
    ((rng.normal(size=(2, 3)), rng.normal(size=(3,))), {}),
    ((rng.normal(size=(3, 2)), rng.normal(size=(4, 1, 3))), {"axisa": 0, "axisc": 0}),
    ((rng.normal(size=(3, 2)), rng.normal(size=(3, 2))), {"axis": 0})])
def cross(a, b, axisa=-1, axisb=-1, axisc=-1, axis=None):
    """Multiply vectors of length 3. Arguments as in numpy.cross; vectors of length 2, which it deprecates, are refused."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = promoted("cross", _last(a, axisa), _last(b, axisb))
    for x in (a, b):
        if x.shape[-1] == 2:
            raise NoRuleError("numpy.cross: vectors of length 2 are not supported for Variables")
        if x.shape[-1] != 3:
            raise ShapeError(f"cross: vectors of length 3 are needed, operands have shapes {a.shape} and {b.shape}")
    value = cross_op(a, b)
    return value if axisc == -1 else np.moveaxis(value, -1, normalize_axis_index(axisc, value.ndim))


# ---- einsum


def _tokens(subscripts):
    """Split the subscripts of one operand into labels and Ellipsis."""
    if not isinstance(subscripts, str):
        return tuple(subscripts)
    front, dots, back = subscripts.partition("...")
    labels = tuple(front) + (Ellipsis,) * bool(dots) + tuple(back)
    if any(label is not Ellipsis and not (label.isascii() and label.isalpha()) for label in labels):
        raise ValueError(f"einsum: {subscripts!r} is not a list of letters and one ellipsis")
    return labels


def _read_subscripts(operands):
    """Return arrays, the tokens of each, and those of the output or None; both calling forms of numpy.einsum."""
    if isinstance(operands[0], str):
        inputs, arrow, output = operands[0].replace(" ", "").partition("->")
        tokens = [_tokens(term) for term in inputs.split(",")]
        return list(operands[1:]), tokens, _tokens(output) if arrow else None
    count = len(operands) // 2
    output = _tokens(operands[-1]) if len(operands) % 2 else None
    return list(operands[0:2 * count:2]), [_tokens(labels) for labels in operands[1:2 * count:2]], output


def _expanded(tokens, ndim):
    """Replace Ellipsis by labels of its own, counted from the end."""
    missing = ndim - sum(label is not Ellipsis for label in tokens)
    if missing < 0 or (missing and Ellipsis not in tokens):
        raise ValueError(f"einsum: {len(tokens)} subscripts for an operand of {ndim} axes")
    dots = tuple((Ellipsis, k) for k in range(missing)[::-1])
    return sum(((dots if label is Ellipsis else (label,)) for label in tokens), ())


def _resolved(arrays, tokens, output):
    """Return the labels of each operand and of the output, as small integers."""
    if len(arrays) != len(tokens):
        raise ValueError(f"einsum: {len(tokens)} subscripts for {len(arrays)} operands")
    labels = [_expanded(tokens[k], x.ndim) for k, x in enumerate(arrays)]
    flat = [label for own in labels for label in own]
    dots = sorted({label for label in flat if isinstance(label, tuple)}, key=lambda label: -label[1])
    if output is None:
        output = (*dots, *sorted(label for label in set(flat).difference(dots) if flat.count(label) == 1))
    else:
        output = _expanded(output, sum(label is not Ellipsis for label in output) + len(dots))
    if len(set(output)) != len(output) or not set(output) <= set(flat):
        raise ValueError("einsum: an output subscript is repeated or in no operand")
    names = {label: k for k, label in enumerate(dict.fromkeys(flat))}
    return [tuple(names[label] for label in own) for own in labels], tuple(names[label] for label in output)


def _einsum_samples(rng):
    calls = [("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk->ki", (2, 3), (3, 4)), ("ij,kj", (2, 3), (4, 3)), ("ii->i", (3, 3)),
             ("ii", (3, 3)), ("iji->j", (2, 3, 2)), ("ij->ji", (2, 3)), ("ij->", (2, 3)), ("i,j->ij", (2,), (3,)),
             ("...ij,...jk->...ik", (2, 2, 3), (3, 2)), ("...i,i", (2, 3), (3,)), ("ij,ij->ij", (2, 3), (2, 1)),
             ("bi,bi->b", (2, 3), (2, 3)), ("ij,ik->", (2, 3), (2, 4)), ("ii,ij->j", (2, 2), (2, 3)), (",i->i", (), (3,)),
             ("ij,jk,kl->il", (2, 3), (3, 2), (2, 4)), ("i,j,ij->", (2,), (3,), (2, 3)), ("bij,bjk,bk->bi", (2, 2, 3), (2, 3, 2), (1, 2))]
    samples = [((spec, *(rng.normal(size=shape) for shape in shapes)), {}) for spec, *shapes in calls]
    samples += [((*samples[-3][0],), {"optimize": optimize}) for optimize in (True, "optimal", ["einsum_path", (0, 1, 2)])]
    return [*samples, ((rng.normal(size=(2, 3)), [0, 1], rng.normal(size=(3, 4)), [1, 2], [2, 0]), {})]


@implements(np.einsum, samples=_einsum_samples)
def einsum(*operands, out=None, optimize=False, **kwargs):
    """Evaluate the summation convention. Arguments as in numpy.einsum; dtype= is honoured, order= and casting= are refused.

    Notes
    -----
    Operands are contracted in pairs by BLAS where that is possible; ``optimize`` chooses the order, and False, where
    NumPy runs a single nested loop, means True here. The derivative is a contraction of the same kind.
    """
    dtype = kwargs.pop("dtype", None)
    refuse("einsum", **{key: (value, {"order": "K", "casting": "safe"}.get(key)) for key, value in kwargs.items()})
    arrays, tokens, output = _read_subscripts(operands)
    arrays = promoted("einsum", *arrays) if dtype is None else [as_dtype(x, dtype) for x in arrays]
    try:
        labels, output = _resolved(arrays, tokens, output)
    except ValueError:
        np.einsum(*graph.values_of(operands))  # NumPy says what is wrong, or accepts what has no rule
        raise NoRuleError("numpy.einsum: these subscripts are not supported for Variables") from None
    return _stored("einsum", contract_all(list(zip(arrays, labels)), output, optimize), out)
