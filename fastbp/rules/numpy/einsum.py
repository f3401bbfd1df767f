"""einsum: subscripts are read once for each expression, then operands are contracted in pairs."""

import functools

import numpy as np

from fastbp._core import graph
from fastbp.errors import NoRuleError
from fastbp.rules.contraction import contract_all
from fastbp.rules.numpy.products import stored
from fastbp.rules.numpy.structural import as_operand, in_dtype
from fastbp.rules.table import implements, refuse


def _tokens(subscripts):
    """Split the subscripts of one operand into labels and Ellipsis."""
    if not isinstance(subscripts, str):
        return tuple(subscripts)
    front, dots, back = subscripts.partition("...")
    labels = tuple(front) + (Ellipsis,) * bool(dots) + tuple(back)
    if any(label is not Ellipsis and not (label.isascii() and label.isalpha()) for label in labels):
        raise ValueError(f"einsum: {subscripts!r} is not a list of letters and one ellipsis")
    return labels


def _read_operands(operands):
    """Return the arrays and the subscripts: a string, or those of each operand and the output."""
    if operands and isinstance(operands[0], str):
        return operands[1:], operands[0]
    pairs = len(operands) // 2
    inputs = tuple([_tokens(labels) for labels in operands[1 : 2 * pairs : 2]])
    output = _tokens(operands[-1]) if len(operands) % 2 else None
    return operands[0 : 2 * pairs : 2], (inputs, output)


@functools.lru_cache(maxsize=1024)
def _read_subscripts(subscripts, ndims):
    """Return the labels of each operand and of the output, as small integers."""
    if isinstance(subscripts, str):
        terms, arrow, last = subscripts.replace(" ", "").partition("->")
        inputs, output = list(map(_tokens, terms.split(","))), _tokens(last) if arrow else None
    else:
        inputs, output = subscripts
    if len(inputs) != len(ndims):
        raise ValueError(f"einsum: subscripts of {len(inputs)} operands for {len(ndims)}")
    inputs = [_expanded(own, ndim) for own, ndim in zip(inputs, ndims, strict=True)]
    flat = [label for own in inputs for label in own]
    dots = sorted({m for m in flat if isinstance(m, tuple)}, key=lambda label: -label[1])
    if output is None:
        once = [m for m in set(flat).difference(dots) if flat.count(m) == 1]
        output = (*dots, *sorted(once))
    else:
        output = _expanded(output, sum(m is not Ellipsis for m in output) + len(dots))
    if len(set(output)) != len(output) or not set(output) <= set(flat):
        raise ValueError("einsum: an output subscript is repeated or in no operand")
    numbers = {label: k for k, label in enumerate(dict.fromkeys(flat))}
    inputs = [tuple([numbers[label] for label in own]) for own in inputs]
    return inputs, tuple([numbers[label] for label in output])


def _expanded(tokens, ndim):
    """Replace Ellipsis by labels of its own, counted from the end."""
    missing = ndim - sum(label is not Ellipsis for label in tokens)
    if missing < 0 or (missing and Ellipsis not in tokens):
        raise ValueError(f"einsum: {len(tokens)} subscripts for an operand of {ndim} axes")
    dots = tuple((Ellipsis, k) for k in range(missing)[::-1])
    return sum(((dots if label is Ellipsis else (label,)) for label in tokens), ())


def _einsum_samples(rng):
    calls = [
        ("ij,jk->ik", (2, 3), (3, 4)),
        ("ij,jk->ki", (2, 3), (3, 4)),
        ("ij,kj", (2, 3), (4, 3)),
        ("ii->i", (3, 3)),
        ("ii", (3, 3)),
        ("iji->j", (2, 3, 2)),
        ("ij->ji", (2, 3)),
        ("ij->", (2, 3)),
        ("i,j->ij", (2,), (3,)),
        ("...ij,...jk->...ik", (2, 2, 3), (3, 2)),
        ("...i,i", (2, 3), (3,)),
        ("ij,ij->ij", (2, 3), (2, 1)),
        ("bi,bi->b", (2, 3), (2, 3)),
        ("ij,ik->", (2, 3), (2, 4)),
        ("ii,ij->j", (2, 2), (2, 3)),
        (",i->i", (), (3,)),
        ("ij,jk,kl->il", (2, 3), (3, 2), (2, 4)),
        ("i,j,ij->", (2,), (3,), (2, 3)),
        ("bij,bjk,bk->bi", (2, 2, 3), (2, 3, 2), (1, 2)),
    ]
    samples = [((spec, *(rng.normal(size=s) for s in shapes)), {}) for spec, *shapes in calls]
    chain = samples[-3][0]
    orders = [True, "optimal", ["einsum_path", (0, 1, 2)]]
    interleaved = (rng.normal(size=(2, 3)), [0, 1], rng.normal(size=(3, 4)), [1, 2], [2, 0])
    return [*samples, *((chain, {"optimize": order}) for order in orders), (interleaved, {})]


@implements(np.einsum, samples=_einsum_samples)
def einsum(*operands, out=None, optimize=False, **kwargs):
    """Evaluate the summation convention.

    Arguments as in `numpy.einsum`, in both its forms; order= is refused, out= must be a Variable.

    Notes
    -----
    Operands are contracted in pairs, by BLAS where that is possible; ``optimize`` chooses the
    order. False, with which NumPy runs a single nested loop, means True here. The derivative is a
    contraction of the same kind.
    """
    dtype, casting = kwargs.pop("dtype", None), kwargs.pop("casting", "safe")
    refuse("einsum", **{key: (x, "K" if key == "order" else None) for key, x in kwargs.items()})
    arrays, subscripts = _read_operands(operands)
    arrays = _cast(arrays, dtype, casting)
    try:
        labels, output = _read_subscripts(subscripts, tuple([x.ndim for x in arrays]))
    except ValueError:
        np.einsum(*graph.arrays_of(operands))  # NumPy says what is wrong, or takes what we do not
        raise NoRuleError("numpy.einsum: subscripts not supported for Variables") from None
    value = contract_all(list(zip(arrays, labels, strict=True)), output, optimize)
    return stored("einsum", value, out)


def _cast(arrays, dtype, casting):
    """Bring the operands to one dtype."""
    if dtype is None:
        return graph.promoted("einsum", *arrays)
    arrays = [as_operand(x, f"numpy.einsum: operand {i}") for i, x in enumerate(arrays)]
    for x in arrays:
        if not np.can_cast(x.dtype, dtype, casting):
            raise TypeError(f"einsum: {x.dtype} cannot be cast to {dtype} with {casting=}")
    return [in_dtype("einsum", x, dtype) for x in arrays]
