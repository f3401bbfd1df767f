"""Which elements of its operands an element of an operation's result depends on.

What a row of the table says by ``pattern=``. A pattern is a function ``pattern(p, ids, link)``:

* `ids` has an int32 array for each operand, of the operand's shape: for each element the number of
  the set of inputs that it depends on (0: none); None for an operand that is a constant.
* `link` is the `fastbp._core.links.Link`: static arguments, shapes, values where rules read them.
* `p` has ``p.sets``, the table of sets; ``p.known(link, k)``, the value of operand k where its
  zeros may be taken for zeros, else None; ``p.rely(link, k)`` says that this made the result
  sparser (``partial=True``: through the zeros of the partial by operand k); ``p.local``, whether
  all of this is about one point.

The result has the shape of the link. It may depend on more than the derivative does, on less never.
Elementwise rows need no pattern, and one that says nothing depends on everything.
"""

import functools
import math

import numpy as np
from numpy.linalg import LinAlgError

from fastbp._core.partials import analyse

EMPTY = np.int32(0)
MASK_WORK = 10**8  # largest number of steps for a product with a matrix that has zeros


def _none(shape):
    return np.zeros(shape, np.int32)


def together(p, *arrays):
    """Return the unions of arrays that broadcast; some may be None, but not all."""
    arrays = [x for x in arrays if x is not None]
    result = arrays[0]
    for x in arrays[1:]:
        if x.shape != result.shape:
            result, x = np.broadcast_arrays(result, x)
        result = p.sets.union(result, x)
    return result


def _spread(x, link):
    return x if x.shape == link.shape else np.broadcast_to(x, link.shape)


# ---- operations without a pattern of their own


def everything(p, ids, link):
    """Every element depends on every element of every operand."""
    found = [p.sets.rows(x.reshape(-1)) for x in ids if x is not None]
    return _spread(together(p, *found), link)


@functools.lru_cache(maxsize=1024)
def _reads(op):
    """Return for each partial the operands that it reads; the answer has the number `nin`."""
    bits = range(op.nin)
    masks = analyse(op.partials, op.nin)[1]
    return [[k for k in bits if m >> k & 1] + [op.nin] * (m >> op.nin > 0) for m in masks]


def _partial(p, k, link):
    """Return where the partial by operand k may not be zero, or None: everywhere."""
    op = link.op
    if op.constant_partials[k] is not None:
        return None
    operands = [p.known(link, j) for j in range(op.nin)]
    ans = link.ans if p.local and isinstance(link.ans, np.ndarray) else None
    if any(x is None for x in [(*operands, ans)[j] for j in _reads(op)[k]]):
        return None
    there = nonzero_partial(op, k, operands, ans)
    if not there.all():
        p.rely(link, k, partial=True)
    return there


def nonzero_partial(op, k, operands, ans=None):
    """Return where the partial by operand k of an elementwise operation is not zero."""
    with np.errstate(all="ignore"):
        return np.asarray(op.partials[k](ans, *operands) != 0.0)


def elementwise(p, ids, link):
    """Of the same element of each operand, where the partial derivative is not zero."""
    found = []
    for k, x in enumerate(ids):
        if x is None or link.op.constant_partials[k] == 0.0:
            continue
        there = _partial(p, k, link)
        found.append(_spread(x if there is None else np.where(there, x, EMPTY), link))
    return together(p, *found) if found else _none(link.shape)


# ---- shapes, indices


def moves(p, ids, link, **changed):
    """Each element is one of an operand's, or a constant: the operation itself says which."""
    operands = [_none(link.operands[k].shape) if x is None else x for k, x in enumerate(ids)]
    return np.asarray(link.op.forward(*operands, **{**link.static, **changed}))


def gathers(p, ids, link):
    """Each element is any one along an axis: places are computed from values."""
    x, behind = ids[0], link.static["behind"]
    found = _reduced(p, x, (x.ndim - 1 - behind,))
    lead = x.ndim - 1 - behind
    inner = len(link.shape) - found.ndim
    return _spread(found.reshape(found.shape[:lead] + (1,) * inner + found.shape[lead:]), link)


def writes(p, ids, link):
    """Of the same element of the array, or of any one of what is written into it."""
    x, value = ids
    value = None if value is None else p.sets.rows(value.reshape(-1))
    return _spread(together(p, x, value), link)


def same(p, ids, link):
    """Of the same element of every operand."""
    return together(p, *ids)


def scatters(p, ids, link):
    """Each element of the operand is added to one of the result: the transpose says to which."""
    size = math.prod(link.shape)
    positions = np.arange(size).reshape(link.shape)
    targets = link.op.vjp[0](positions, link.ans, *link.operands, **link.static)
    targets = np.broadcast_to(targets, ids[0].shape)
    return p.sets.scatter(ids[0], targets, size).reshape(link.shape)


def chooses(p, ids, link):
    """`numpy.where`: of both branches, as the condition may be another one elsewhere."""
    x, y = (_none(()) if x is None else x for x in ids[1:])
    condition = p.known(link, 0)
    if condition is None:
        return _spread(together(p, x, y), link)
    p.rely(link, 0)
    return _spread(np.where(condition, x, y), link)


def nothing(p, ids, link):
    """Of nothing: what flows is taken care of elsewhere."""
    return _none(link.shape)


# ---- along axes


def _weighted(p, x, link):
    """In local mode, leave out the elements that do not count for a reduction."""
    if not p.local or link.op.info.get("kind") == "linear":
        return x
    g = np.ones(link.shape, link.dtype)
    if link.output is not None:
        g = tuple(g if k == link.output else None for k in range(len(link.ans)))
    static = {**link.static, "residuals": None} if link.op.residuals else link.static
    try:
        with np.errstate(all="ignore"):
            weights = link.op.vjp[0](g, link.ans, *link.operands, **static)
    except LinAlgError:
        return x
    return np.where(np.broadcast_to(weights, x.shape) != 0.0, x, EMPTY)


def _reduced(p, x, axis):
    """Return the unions along some axes; these are dropped."""
    axis = [k % x.ndim for k in axis]
    kept = [k for k in range(x.ndim) if k not in axis]
    shape = [x.shape[k] for k in kept]
    moved = x.transpose((*kept, *axis))
    return p.sets.rows(moved.reshape((*shape, math.prod([x.shape[k] for k in axis]))))


def reduces(p, ids, link, axis=(-1,)):
    """Of all elements along the axes of a reduction; the last one unless `axis` is static."""
    axis = link.static.get("axis", axis)
    return _reduced(p, _weighted(p, ids[0], link), axis).reshape(link.shape)


def reduces_matrices(p, ids, link):
    """Of all elements of the matrix along the last two axes."""
    return reduces(p, ids, link, axis=(-2, -1))


def mixes(p, ids, link):
    """Of all elements along some axes, which remain."""
    axis = link.static["axis"]
    return _spread(np.expand_dims(_reduced(p, ids[0], axis), axis), link)


def orders(p, ids, link):
    """Of all elements of a row; at one point, and without equal ones, of one that is there."""
    own = link.static.get("own")
    places, ties = link.ans[1:] if own is None else map(link.static.get, ("places", "ties"))
    if p.local and ties is not None and not ties.size:
        if own is not None:
            return link.op.forward(ids[0], **link.static)
        return ids[0].reshape(-1)[places].reshape(link.shape)
    return _spread(np.expand_dims(_reduced(p, ids[0], (-1,)), -1), link)


def chosen(p, ids, link):
    """Of elements that values choose, and at one point of those that they choose there."""
    if not p.local:
        return everything(p, ids, link)
    return (scatters if "size" in link.static else moves)(p, ids, link)


def mixes_last(p, ids, link):
    """Of all elements along the last axis of every operand, which broadcast in front of it."""
    found = [_reduced(p, x, (-1,))[..., None] for x in ids if x is not None]
    return _spread(together(p, *found), link)


def _running(p, x, axis):
    return np.swapaxes(p.sets.prefix(np.swapaxes(x, axis, -1)), axis, -1)


def accumulates(p, ids, link):
    """Of the elements up to each one along an axis."""
    return _running(p, ids[0], link.static["axis"])


def recurs(p, ids, link):
    """``s_k = a_k s_{k-1} + b_k`` along the last axis; the first a does not count."""
    a, b = ids
    if a is not None:
        a = np.array(a)
        a[..., :1] = EMPTY
    return _running(p, _spread(together(p, a, b), link), -1)


# ---- matrices: the last two axes; all others broadcast


def couples(p, ids, link):
    """Of all elements of the operands' matrices."""
    found = [_reduced(p, x, (-2, -1))[..., None, None] for x in ids if x is not None]
    return _spread(together(p, *found), link)


def couples_into_vectors(p, ids, link):
    """Do the same for a vector of each matrix."""
    found = [_reduced(p, x, (-2, -1))[..., None] for x in ids if x is not None]
    return _spread(together(p, *found), link)


def couples_vectors(p, ids, link):
    """Make all elements of a vector matter to a whole matrix of the result."""
    found = [_reduced(p, x, (-1,))[..., None, None] for x in ids if x is not None]
    return _spread(together(p, *found), link)


def couples_lower(p, ids, link):
    """Do the same for a lower triangular result."""
    return np.tril(couples(p, ids, link))


def solves(p, ids, link):
    """Solutions: of the whole matrix, and of the same column of the right-hand side."""
    a, b = ids[:2]
    if a is None and b is None:
        return _none(link.shape)
    matrix = None if a is None else _reduced(p, a, (-2, -1))[..., None, None]
    columns = None if b is None else _reduced(p, b, (-2,))[..., None, :]
    return _spread(together(p, matrix, columns), link)


def crosses(p, ids, link):
    """Of the other two components, which lie along the last axis."""
    both = _spread(together(p, *ids), link)
    return together(p, both[..., [1, 2, 0]], both[..., [2, 0, 1]])


# ---- products of labelled axes


def contracts(p, ids, link):
    """Contractions of two operands: of what is multiplied with anything but a known zero."""
    static = link.static
    return _product(p, ids, link, (static["left"], static["right"]), static["out"])


def multiplies(p, ids, link):
    """Do the same for `numpy.matmul`."""
    a, b = ids
    na, nb = ((link.operands[k] if x is None else x).ndim for k, x in enumerate((a, b)))
    left, right = (tuple(range(n - 2))[::-1] for n in (na, nb))
    out = max(left, right, key=len) + (-1,) * (na > 1) + (-3,) * (nb > 1)
    labels = (left + (-1,) * (na > 1) + (-2,), right + (-2,) + (-3,) * (nb > 1))
    return _product(p, ids, link, labels, out)


def _product(p, ids, link, labels, out):
    found = []
    for k in (0, 1):
        if ids[k] is None:
            continue
        other = p.known(link, 1 - k)
        there = None if other is None else _nonzero(other)
        if there is None or there.all():
            term = _summed(p, ids[k], labels[k], out)
        else:
            p.rely(link, 1 - k)
            term = _selected(p, ids[k], labels[k], there, labels[1 - k], out)
        found.append(_spread(term, link))
    return together(p, *found)


def _nonzero(x):
    """Return where a factor is not zero; next to an infinite one, a zero may turn out NaN."""
    x = np.asarray(x)
    return (x != 0.0) | ~np.isfinite(x).all()


def _summed(p, x, own, out):
    """Return the unions over the labels that the output has not, lined up with the output."""
    gone = [i for i, label in enumerate(own) if label not in out]
    kept = [label for label in own if label in out]
    if gone:
        x = _reduced(p, x, gone)
    x = x.transpose([kept.index(label) for label in out if label in kept])
    return x[(..., *[slice(None) if label in kept else None for label in out])]


def _selected(p, x, own, there, other, out):
    """Return the same unions of what `there`, with its own labels, selects."""
    batch = [label for label in out if label in own and label in other]
    free_x = [label for label in out if label in own and label not in other]
    free_y = [label for label in out if label in other and label not in own]
    sums = [label for label in own if label in other and label not in out]
    sizes = dict(zip(own, x.shape, strict=True))
    for label, size in zip(other, there.shape, strict=True):
        sizes[label] = max(sizes.get(label, 1), size) if size and sizes.get(label, 1) else 0

    def lined_up(y, labels, order):
        y = y.transpose([labels.index(label) for label in order])
        shape = [[sizes[m] for m in group] for group in (batch, order[len(batch) :])]
        y = np.broadcast_to(y, shape[0] + shape[1])
        n = len(batch), len(order) - len(sums)
        full = y.shape
        return y.reshape(
            [math.prod(full[: n[0]]), math.prod(full[n[0] : n[1]]), math.prod(full[n[1] :])]
        )

    ids = lined_up(x, own, batch + free_x + sums)
    masks = lined_up(there, other, batch + free_y + sums)
    if np.count_nonzero(masks) * ids.shape[1] > MASK_WORK:
        return _summed(p, x, own, out)
    order = batch + free_x + free_y
    result = p.sets.masked(np.ascontiguousarray(ids), masks).reshape([sizes[m] for m in order])
    return result.transpose([order.index(label) for label in out])
