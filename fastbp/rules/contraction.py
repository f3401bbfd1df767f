"""Contraction of labelled axes: what dot, tensordot, einsum, kron and their pullbacks have in common.

Each axis of an operand has a label, an integer. A label of both operands is summed over, unless the output keeps it.
The derivative with respect to an operand is the contraction of the cotangent with the other operand, so the operation
is closed under differentiation, to any order; a block axis is one more label.
"""

import functools
import math

import numpy as np

from fastbp._core.graph import Variable
from fastbp._core.matmul import matmul as _matmul
from fastbp.errors import DTypeError, ShapeError
from fastbp.rules.structural import cast
from fastbp.rules.table import general, linear

FLOATS = (np.dtype("f8"), np.dtype("f4"))


def promoted(name, *operands):
    """Return the operands in the one float dtype that NumPy's promotion gives."""
    arrays = [x if type(x) is Variable else np.asarray(x) for x in operands]
    dtype = np.result_type(*(x.dtype for x in arrays))
    if dtype not in FLOATS:
        given = " and ".join(str(x.dtype) for x in arrays)
        raise DTypeError(f"{name}: operands of {given} give {dtype}; float64 and float32 can be differentiated")
    return [as_dtype(x, dtype) for x in arrays]


def as_dtype(x, dtype):
    """Return a Variable or an array in a dtype, itself if it has it already."""
    if type(x) is Variable:
        return x if x.dtype == dtype else cast(x, dtype=np.dtype(dtype))
    return np.asarray(x, dtype)


# ---- two operands ----------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=2048)
def _lowered(left, right, out):
    """Return the function that contracts two arrays: a product, or one (batched) matrix product by BLAS."""
    batch = [label for label in out if label in left and label in right]
    free_a = [label for label in left if label not in right]
    free_b = [label for label in right if label not in left]
    if free_a and free_b and out.index(free_b[0]) < out.index(free_a[0]):
        swapped = _lowered(right, left, out)
        return lambda a, b: swapped(b, a)
    if all(label in out for label in left if label in right):
        return functools.partial(_multiplied, _broadcast_view(left, out), _broadcast_view(right, out))
    if batch and not free_a and not free_b:
        return lambda a, b: np.einsum(a, _small(left, left), b, _small(right, left), _small(out, left))
    sums_a = [label for label in left if label in right and label not in out]
    sums_b = [label for label in right if label in left and label not in out]
    n_batch = len(batch)
    order = [(*batch, *free_a, *free_b).index(label) for label in out]

    def run(a, b):
        sums = sums_a if a.size >= b.size else sums_b  # the larger operand is rather not copied
        a = a.transpose([left.index(label) for label in (*batch, *free_a, *sums)])
        b = b.transpose([right.index(label) for label in (*batch, *sums, *free_b)])
        lead, rows, columns = a.shape[:n_batch], a.shape[n_batch: a.ndim - len(sums)], b.shape[n_batch + len(sums):]
        inner = math.prod(b.shape[n_batch: n_batch + len(sums)])
        c = _matmul(a.reshape((*lead, math.prod(rows), inner)), b.reshape((*lead, inner, math.prod(columns))))
        return c.reshape((*lead, *rows, *columns)).transpose(order)

    return run


def _multiplied(view_a, view_b, a, b):
    return np.multiply(view_a(a), view_b(b))


def _broadcast_view(labels, out):
    """Return the function that lines an operand's axes up with those of the output."""
    order = [labels.index(label) for label in out if label in labels]
    index = tuple(slice(None) if label in labels else None for label in out)
    return lambda x: x.transpose(order)[index]


def _small(labels, names):
    return [names.index(label) for label in labels]


def _lead(x, labels):
    """Return a label for the block axis of `x`, if it has one: none of the others."""
    return (1 + max((*labels[0], *labels[1], *labels[2]), default=0),) * (x.ndim - len(labels[0]))


def _vjp_left(g, ans, a, b, left, right, out):
    lead = _lead(g, (out, left, right))
    return contract(g, b, left=lead + out, right=right, out=lead + left)


def _vjp_right(g, ans, a, b, left, right, out):
    lead = _lead(g, (out, left, right))
    return contract(a, g, left=left, right=lead + out, out=lead + right)


def _jvp_left(t, ans, a, b, left, right, out):
    lead = _lead(t, (left, right, out))
    return contract(t, b, left=lead + left, right=right, out=lead + out)


def _jvp_right(t, ans, a, b, left, right, out):
    lead = _lead(t, (right, left, out))
    return contract(a, t, left=left, right=lead + right, out=lead + out)


# `left`, `right`, `out` are tuples of labels, none twice in one of them; each label is in two of them at least.
contract = general(
    "contract",
    lambda a, b, left, right, out: _lowered(left, right, out)(a, b),
    nin=2, saves=(0, 1), vjp=(_vjp_left, _vjp_right), jvp=(_jvp_left, _jvp_right),
)


def product(name, a, left, b, right, out):
    """Contract two operands whose axes must fit exactly; labels of one operand only must be in `out`."""
    a, b = promoted(name, a, b)
    sizes = dict(zip(left, a.shape))
    for label, size in zip(right, b.shape):
        if sizes.setdefault(label, size) != size:
            raise ShapeError(f"{name}: shapes {a.shape} and {b.shape} do not fit: {sizes[label]} and {size} elements "
                             "along axes that are multiplied")
    return contract(a, b, left=tuple(left), right=tuple(right), out=tuple(out))


# ---- any number of operands ------------------------------------------------------------------------------------------


def _diagonal_view(x, labels):
    """Return a view with one axis for each different label; leading block axes stay."""
    names = list(dict.fromkeys(labels))
    return np.einsum(x, [..., *_small(labels, names)], [..., *range(len(names))])


def _spread(x, labels, shape):
    full = np.zeros(x.shape[: x.ndim - len(set(labels))] + shape, x.dtype)
    _diagonal_view(full, labels)[...] = x
    return full


# Both are linear, and the transpose of each other.
diagonal_of = linear("einsum_diagonal", _diagonal_view,
                     lambda g, ans, x, labels: spread(g, labels=labels, shape=x.shape))
spread = linear("einsum_spread", _spread, lambda g, ans, x, labels, shape: diagonal_of(g, labels=labels))


def contract_all(terms, out, optimize=True):
    """Contract ``terms``, pairs of an operand and its labels, to the labels `out`.

    Axes of size 1 broadcast. More than two operands are contracted in pairs, in the order that `numpy.einsum_path`
    finds: with ``optimize=False``, where NumPy runs a single nested loop, in that of ``optimize=True``.
    """
    terms = _without_broadcast([_without_repeats(x, labels) for x, labels in terms])
    terms = [_without_lonely(x, labels, [m for i, (_, m) in enumerate(terms) if i != k], out)
             for k, (x, labels) in enumerate(terms)]
    for step in _path(tuple(m for _, m in terms), tuple(x.shape for x, _ in terms), out, optimize):
        group = [terms.pop(i) for i in sorted(step, reverse=True)][::-1]
        while len(group) > 1:
            kept = {*out, *(label for _, m in terms + group[2:] for label in m)}
            group[:2] = [_pair(*group[0], *group[1], kept if terms or len(group) > 2 else out)]
        terms += group
    ((x, labels),) = terms
    return x if labels == out else np.transpose(x, [labels.index(label) for label in out])


def _pair(a, left, b, right, kept):
    """Contract two terms; `kept` are labels to keep, a tuple if their order is asked for."""
    if not isinstance(kept, tuple):
        kept = tuple(label for label in dict.fromkeys(left + right) if label in kept)
    return contract(a, b, left=left, right=right, out=kept), kept


def _without_repeats(x, labels):
    if len(set(labels)) == len(labels):
        return x, labels
    sizes = {}
    for label, size in zip(labels, x.shape):
        if sizes.setdefault(label, size) != size:
            raise ShapeError(f"einsum: axes of {sizes[label]} and {size} elements have no common diagonal")
    return diagonal_of(x, labels=labels), tuple(dict.fromkeys(labels))


def _without_broadcast(terms):
    """Drop the axes of size 1 that other operands stretch."""
    sizes = {}
    for x, labels in terms:
        for label, size in zip(labels, x.shape):
            if sizes.setdefault(label, size) != size and size != 1:
                if sizes[label] != 1:
                    raise ShapeError(f"einsum: {sizes[label]} and {size} elements along the same subscript, "
                                     f"operands have shapes {', '.join(str(x.shape) for x, _ in terms)}")
                sizes[label] = size
    kept = [[k for k, label in enumerate(m) if x.shape[k] == sizes[label]] for x, m in terms]
    return [(x, m) if len(keep) == len(m) else (np.reshape(x, tuple(x.shape[k] for k in keep)), tuple(m[k] for k in keep))
            for (x, m), keep in zip(terms, kept)]


def _without_lonely(x, labels, others, out):
    """Sum over the labels that appear nowhere else."""
    lonely = tuple(k for k, label in enumerate(labels) if label not in out and not any(label in m for m in others))
    if not lonely:
        return x, labels
    return np.sum(x, axis=lonely), tuple(label for k, label in enumerate(labels) if k not in lonely)


def _path(labels, shapes, out, optimize):
    if len(labels) == 1:
        return []
    if len(labels) == 2 and not isinstance(optimize, str):
        return [(0, 1)]
    if isinstance(optimize, (list, tuple)):  # ("greedy", memory limit) or ["einsum_path", pair, pair ...]
        optimize = tuple(step if isinstance(step, (str, int, float)) else tuple(step) for step in optimize)
    return _found_path(labels, shapes, out, optimize or True)


@functools.lru_cache(maxsize=512)
def _found_path(labels, shapes, out, optimize):
    names = list(dict.fromkeys(label for m in labels for label in m))
    arguments = []
    for m, shape in zip(labels, shapes):
        arguments += [np.broadcast_to(0.0, shape), _small(m, names)]
    optimize = list(optimize) if isinstance(optimize, tuple) and optimize[0] == "einsum_path" else optimize
    return np.einsum_path(*arguments, _small(out, names), optimize=optimize)[0][1:]
