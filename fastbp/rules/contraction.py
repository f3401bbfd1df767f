"""Contraction of labelled axes: what dot, einsum, kron and their pullbacks have in common.

Each axis of an operand has a label, an integer. A label of both operands is summed over, unless
the output keeps it. The derivative with respect to an operand is the contraction of the cotangent
with the other operand, so the operation is closed under differentiation, to any order; a block
axis is one more label.
"""

import functools
import math
from collections import Counter

import numpy as np

from fastbp._core.dtypes import DIFFERENTIABLE
from fastbp._core.graph import promoted
from fastbp._core.matmul import matmul
from fastbp.errors import ShapeError
from fastbp.rules import local, patterns, plans
from fastbp.rules.table import OPS, general, linear

# ---- two operands


@functools.lru_cache(maxsize=2048)
def _lowered(left, right, out):
    """Return the function that contracts two arrays, by one (batched) matrix product if it sums."""
    batch = [label for label in out if label in left and label in right]
    free_a = [label for label in left if label not in right]
    free_b = [label for label in right if label not in left]
    if free_a and free_b and out.index(free_b[0]) < out.index(free_a[0]):
        swapped = _lowered(right, left, out)
        return lambda a, b: swapped(b, a)
    if all(label in out for label in left if label in right):
        view_a, view_b = _broadcast_view(left, out), _broadcast_view(right, out)
        return lambda a, b: _times(view_a(a), view_b(b))
    if batch and not free_a and not free_b:  # many short dot products are no work for BLAS
        labels_a, labels_b, labels = (_small(own, left) for own in (left, right, out))
        return lambda a, b: np.einsum(a, labels_a, b, labels_b, labels)
    return _matrix_product(left, right, out, batch, free_a, free_b)


def _times(a, b):
    if a.dtype == b.dtype and a.dtype in DIFFERENTIABLE:
        return OPS["multiply"](a, b)  # a program, for axes along which one of them is repeated
    return np.multiply(a, b)


def _matrix_product(left, right, out, batch, free_a, free_b):
    """Return the function that contracts by matmul, on reshaped views where that is possible."""
    sums_a = [label for label in left if label in right and label not in out]
    sums_b = [label for label in right if label in left and label not in out]
    n_batch = len(batch)
    order = [(*batch, *free_a, *free_b).index(label) for label in out]

    def run(a, b):
        sums = sums_a if a.size >= b.size else sums_b  # the larger operand is rather not copied
        a = a.transpose([left.index(label) for label in (*batch, *free_a, *sums)])
        b = b.transpose([right.index(label) for label in (*batch, *sums, *free_b)])
        lead, columns = a.shape[:n_batch], b.shape[n_batch + len(sums) :]
        rows, inner = a.shape[n_batch : a.ndim - len(sums)], a.shape[a.ndim - len(sums) :]
        a = a.reshape((*lead, math.prod(rows), math.prod(inner)))
        b = b.reshape((*lead, math.prod(inner), math.prod(columns)))
        return matmul(a, b).reshape((*lead, *rows, *columns)).transpose(order)

    return run


def _broadcast_view(labels, out):
    """Return the function that lines an operand's axes up with those of the output."""
    order = [labels.index(label) for label in out if label in labels]
    index = tuple(slice(None) if label in labels else None for label in out)
    return lambda x: x.transpose(order)[index]


def _small(labels, names):
    return [names.index(label) for label in labels]


def _lead(x, own, *others):
    """Return a new label for the block axis of `x`, if it has one."""
    return (1 + max((*own, *sum(others, ())), default=0),) * (x.ndim - len(own))


def _vjp_left(g, ans, a, b, left, right, out):
    lead = _lead(g, out, left, right)
    return contract(g, b, left=lead + out, right=right, out=lead + left)


def _vjp_right(g, ans, a, b, left, right, out):
    lead = _lead(g, out, left, right)
    return contract(a, g, left=left, right=lead + out, out=lead + right)


def _jvp_left(t, ans, a, b, left, right, out):
    lead = _lead(t, left, right, out)
    return contract(t, b, left=lead + left, right=right, out=lead + out)


def _jvp_right(t, ans, a, b, left, right, out):
    lead = _lead(t, right, left, out)
    return contract(a, t, left=left, right=lead + right, out=lead + out)


def _contract_members(a):
    """Contract with one more label: that of the members."""
    left, right, out = (a.static[name] for name in ("left", "right", "out"))
    lead = (1 + max((*left, *right, *out), default=0),)
    left, right = (
        lead + own if mapped else own for own, mapped in zip((left, right), a.mapped, strict=True)
    )
    return a(*a.operands, left=left, right=right, out=lead + out)


# `left`, `right` and `out` are tuples of labels, none of which is twice in the same tuple; each is
# in two of them at least.
contract = general(
    "contract",
    lambda a, b, left, right, out: _lowered(left, right, out)(a, b),
    nin=2,
    saves=(0, 1),
    vjp=(_vjp_left, _vjp_right),
    jvp=(_jvp_left, _jvp_right),
    coefficients="operands",
    pattern=patterns.contracts,
    local=local.contracts,
    plan=plans.contracts,
    batch=_contract_members,
)


def product(name, a, left, b, right, out):
    """Contract two operands whose axes must fit exactly; each label must be in two of the lists."""
    a, b = promoted(name, a, b)
    sizes = dict(zip(left, a.shape, strict=True))
    for label, size in zip(right, b.shape, strict=True):
        if sizes.setdefault(label, size) != size:
            raise ShapeError(
                f"{name}: shapes {a.shape} and {b.shape} do not fit: "
                f"{sizes[label]} and {size} elements along axes that are multiplied"
            )
    return contract(a, b, left=tuple(left), right=tuple(right), out=tuple(out))


# ---- any number of operands


def _diagonal_view(x, labels):
    """Return a view with one axis for each different label; leading block axes stay."""
    names = list(dict.fromkeys(labels))
    return np.einsum(x, [..., *_small(labels, names)], [..., *range(len(names))])


def _spread(x, labels, shape):
    full = np.zeros(x.shape[: x.ndim - len(set(labels))] + shape, x.dtype)
    _diagonal_view(full, labels)[...] = x
    return full


# Both are linear, and the transpose of each other.
diagonal_of = linear(
    "einsum_diagonal",
    _diagonal_view,
    # Of a batch, `x` has axes in front of those with labels.
    lambda g, ans, x, labels: spread(g, labels=labels, shape=x.shape[x.ndim - len(labels) :]),
    pattern=patterns.moves,
)
spread = linear(
    "einsum_spread",
    _spread,
    lambda g, ans, x, labels, shape: diagonal_of(g, labels=labels),
    pattern=patterns.moves,
)


def contract_all(terms, out, optimize=True):
    """Contract ``terms``, pairs of an operand and its labels, to the labels `out`.

    Axes of size 1 broadcast. More than two operands are contracted in pairs, in the order that
    `numpy.einsum_path` finds, with ``optimize=False`` in that of ``optimize=True``.
    """
    if isinstance(optimize, (list, tuple)):  # ("greedy", limit) or ["einsum_path", pair, pair ...]
        optimize = tuple([tuple(x) if isinstance(x, (list, tuple)) else x for x in optimize])
    labels, shapes = tuple([m for _, m in terms]), tuple([x.shape for x, _ in terms])
    singles, pairs, order = _pairing(labels, shapes, out, optimize or True)
    operands = [_simplified(x, *step) for (x, _), step in zip(terms, singles, strict=True)]
    for i, j, left, right, kept in pairs:
        operands.append(contract(operands[i], operands[j], left=left, right=right, out=kept))
    return operands[-1] if order is None else np.transpose(operands[-1], order)


def _simplified(x, diagonal, shape, lonely):
    if diagonal:
        x = diagonal_of(x, labels=diagonal)
    if shape is not None:
        x = np.reshape(x, shape)
    return np.sum(x, axis=lonely) if lonely else x


@functools.lru_cache(maxsize=1024)
def _pairing(labels, shapes, out, optimize):
    """Return the steps of a contraction.

    First, for each operand alone: the labels of which to take a diagonal, the shape without axes
    that others stretch, the axes to sum over because their labels appear nowhere else. Then the
    contractions of two operands, by number, each result being the next operand. Last the order of
    the axes.
    """
    sizes = _sizes(labels, shapes)
    stretched = [
        {label for label, size in zip(own, shape, strict=True) if size != sizes[label]}
        for own, shape in zip(labels, shapes, strict=True)
    ]
    counts = Counter(
        label for own, gone in zip(labels, stretched, strict=True) for label in set(own) - gone
    )
    singles, terms = [], []
    for own, gone in zip(labels, stretched, strict=True):
        unique = tuple(dict.fromkeys(own))
        kept = tuple([label for label in unique if label not in gone])
        lonely = tuple(
            [i for i, label in enumerate(kept) if counts[label] == 1 and label not in out]
        )
        diagonal = own if len(unique) < len(own) else None
        shape = tuple([sizes[label] for label in kept]) if gone else None
        singles.append((diagonal, shape, lonely))
        terms.append(tuple([label for i, label in enumerate(kept) if i not in lonely]))
    pairs, last = _pairs(terms, sizes, out, optimize)
    return singles, pairs, None if last == out else [last.index(label) for label in out]


def _sizes(labels, shapes):
    """Return the size of each label, checking that the operands broadcast."""
    sizes = {}
    for own, shape in zip(labels, shapes, strict=True):
        seen = {}
        for label, size in zip(own, shape, strict=True):
            if seen.setdefault(label, size) != size:
                raise ShapeError(
                    f"einsum: axes of {seen[label]} and {size} elements have no common diagonal"
                )
        for label, size in seen.items():
            if sizes.setdefault(label, size) == 1:
                sizes[label] = size
            elif size not in (1, sizes[label]):
                raise ShapeError(
                    f"einsum: {sizes[label]} and {size} elements along the same subscript; "
                    f"the operands have shapes {', '.join(map(str, shapes))}"
                )
    return sizes


def _pairs(terms, sizes, out, optimize):
    """Return the contractions of two operands, and the labels of the last result."""
    pairs, numbers = [], list(range(len(terms)))
    for step in _path(terms, sizes, out, optimize):
        group = [numbers.pop(i) for i in sorted(step, reverse=True)][::-1]
        while len(group) > 1:
            i, j, *group = group
            needed = {*out, *(label for k in numbers + group for label in terms[k])}
            kept = tuple([m for m in dict.fromkeys(terms[i] + terms[j]) if m in needed])
            if not numbers and not group:
                kept = out
            pairs.append((i, j, terms[i], terms[j], kept))
            group.insert(0, len(terms))
            terms = [*terms, kept]
        numbers += group
    return pairs, terms[-1]


def _path(terms, sizes, out, optimize):
    """Ask NumPy for the order of contractions."""
    if len(terms) <= 2 and not isinstance(optimize, str):
        return [tuple(range(len(terms)))] * (len(terms) - 1)
    names = list(sizes)
    arguments = []
    for own in terms:
        arguments += [np.broadcast_to(0.0, [sizes[label] for label in own]), _small(own, names)]
    if isinstance(optimize, tuple) and optimize[0] == "einsum_path":
        optimize = list(optimize)
    return np.einsum_path(*arguments, _small(out, names), optimize=optimize)[0][1:]
