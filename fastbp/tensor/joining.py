"""Sums and compositions of structured tensors that are structured again."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastbp.rules.contraction import contract_all
from fastbp.tensor.checks import check_sparse
from fastbp.tensor.structured import Structured, unique

__all__ = ["joined", "summed"]

MAX_LABELS = 40  # NumPy plans contractions over 52 at most, and contractions add some

Name = Any  # a label while two tensors are being joined
Factor = tuple[np.ndarray, tuple[Name, ...]]


def summed(a: Structured, b: Structured) -> Structured | None:
    """Add two tensors with the same deltas; None if they have others."""
    axes = unique(a.out_labels + a.in_labels)
    if (a.out_labels, a.in_labels) != (b.out_labels, b.in_labels):
        return None
    if [a.sizes[label] for label in axes] != [b.sizes[label] for label in axes]:
        return None
    known = {label for _, own in a.factors + b.factors for label in own}
    labels = tuple([label for label in axes if label in known])
    size = math.prod(a.sizes[label] for label in labels)
    stacked = 2 + 2 * sum(x.size for x, _ in a.factors + b.factors)
    if stacked < size and known <= set(axes):
        return _stacked(a, b)
    check_sparse("add", a.shape, size, a.dtype.itemsize, None)
    total = np.array(np.broadcast_to(_product(a, labels), [a.sizes[label] for label in labels]))
    total += _product(b, labels)
    return Structured(
        a.out_shape, a.in_shape, a.out_labels, a.in_labels, a.sizes, [(total, labels)],
        dtype=a.dtype,
    )  # fmt: skip


def _stacked(a: Structured, b: Structured) -> Structured:
    """Add two tensors by a label for the term, which is summed over, in each of their factors.

    A factor that only one of them has is one in the other.
    """
    rest, pairs = list(b.factors), []
    for x, own in a.factors:
        k = next((k for k, (_, names) in enumerate(rest) if set(names) == set(own)), None)
        if k is None:
            pairs.append((x, np.ones((), a.dtype), own))
        else:
            y, names = rest.pop(k)
            pairs.append((x, y.transpose([names.index(m) for m in own]), own))
    pairs += [(np.ones((), a.dtype), y, own) for y, own in rest]
    term = max(a.sizes, default=0) + 1
    factors: list[Factor] = [
        (np.stack(np.broadcast_arrays(x, y)), (term, *own)) for x, y, own in pairs
    ]
    factors.append((np.array([a.scale, b.scale], a.dtype), (term,)))
    return Structured(
        a.out_shape, a.in_shape, a.out_labels, a.in_labels, a.sizes | {term: 2}, factors,
        dtype=a.dtype,
    )  # fmt: skip


def _product(tensor: Structured, labels: tuple[int, ...]) -> np.ndarray:
    """Return scale and factors multiplied, with axes of size 1 for labels that none has."""
    known = {label for _, own in tensor.factors for label in own}
    values = np.ones((), tensor.dtype)
    if tensor.factors:
        present = tuple([label for label in labels if label in known])
        values = contract_all(tensor.factors, present)
    values = values[tuple([slice(None) if label in known else None for label in labels])]
    return np.multiply(values, tensor.scale, dtype=tensor.dtype)


def joined(left: Structured, right: Structured) -> Structured | None:
    """Compose two tensors; None if axes cannot be lined up, or if labels become too many."""
    if 0 in left.in_shape or 0 in left.out_shape or 0 in right.in_shape:
        return None
    a, b = _Named(left, "left"), _Named(right, "right")
    pairs = _lined_up(a, b)
    if pairs is None:
        return None
    same = _united(pairs)
    names = [same.get(name, name) for name in a.out]
    in_names = [same.get(name, name) for name in b.into]
    sizes = {same.get(name, name): n for name, n in (a.sizes | b.sizes).items()}
    factors = [
        (x, tuple([same.get(name, name) for name in own])) for x, own in a.factors + b.factors
    ]
    scale = left.scale * right.scale
    # Labels between the two that no factor has and that are no axis: sums of equal terms.
    between = {same.get(name, name) for name in a.into + b.out}
    for name in between - {*names, *in_names, *(name for _, own in factors for name in own)}:
        scale *= sizes[name]
    factors = _merged(factors, {*names, *in_names}, sizes)
    result = Structured(
        left.out_shape, right.in_shape, names, in_names, sizes, factors, scale, left.dtype
    )
    return _collapsed(result) if len(result.sizes) <= MAX_LABELS else None


def _collapsed(tensor: Structured) -> Structured:
    """Multiply all factors if together they take more than every nonzero."""
    factors = tensor.factors
    if len(factors) < 2 or sum([x.size for x, _ in factors]) <= tensor.nnz:
        return tensor
    axes = set(tensor.out_labels + tensor.in_labels)
    labels = unique([m for _, own in factors for m in own if m in axes])
    return Structured(
        tensor.out_shape, tensor.in_shape, tensor.out_labels, tensor.in_labels, tensor.sizes,
        [(contract_all(factors, labels), labels)], tensor.scale, tensor.dtype,
    )  # fmt: skip


class _Named:
    """A tensor's labels under names of its own, which may be split."""

    def __init__(self, tensor: Structured, side: str) -> None:
        def named(labels: Sequence[int]) -> list[Name]:
            return [(side, label) for label in labels]

        self.side = side
        self.out = named(tensor.out_labels)
        self.into = named(tensor.in_labels)
        self.sizes = {(side, label): n for label, n in tensor.sizes.items()}
        self.factors = [(x, tuple(named(own))) for x, own in tensor.factors]

    def split(self, name: Name, outer: int) -> None:
        """Make two labels of one, as a reshape to ``(outer, size // outer)`` does."""
        size = self.sizes.pop(name)
        first, second = (*name, 0), (*name, 1)
        self.sizes |= {first: outer, second: size // outer}
        self.out = _replaced(self.out, name, [first, second])
        self.into = _replaced(self.into, name, [first, second])
        factors = []
        for x, own in self.factors:
            if name in own:
                at = own.index(name)
                x = x.reshape((*x.shape[:at], outer, size // outer, *x.shape[at + 1 :]))
                own = tuple(_replaced(list(own), name, [first, second]))
            factors.append((x, own))
        self.factors = factors


def _replaced(names: list[Name], old: Name, new: list[Name]) -> list[Name]:
    return [part for name in names for part in (new if name == old else [name])]


def _lined_up(a: _Named, b: _Named) -> list[tuple[Name, Name]] | None:
    """Return which labels of a's in axes are which of b's out axes, splitting them if need be."""
    pairs: list[tuple[Name, Name]] = []
    i = j = 0
    while True:
        while i < len(a.into) and a.sizes[a.into[i]] == 1:
            i += 1
        while j < len(b.out) and b.sizes[b.out[j]] == 1:
            j += 1
        if i == len(a.into) or j == len(b.out):  # then both, as their sizes agree
            return pairs
        m, n = a.sizes[a.into[i]], b.sizes[b.out[j]]
        if m < n and n % m == 0:
            b.split(b.out[j], m)
        elif n < m and m % n == 0:
            a.split(a.into[i], n)
        elif m != n:
            return None
        pairs.append((a.into[i], b.out[j]))
        i, j = i + 1, j + 1


def _united(pairs: list[tuple[Name, Name]]) -> dict[Name, Name]:
    """Return one name for all names that pairs connect."""
    same: dict[Name, Name] = {}

    def root(name: Name) -> Name:
        while name in same:
            name = same[name]
        return name

    for x, y in pairs:
        x, y = root(x), root(y)
        if x != y:
            same[y] = x
    return {name: root(name) for name in same}


def _merged(factors: list[Factor], axes: set[Name], sizes: dict[Name, int]) -> list[Factor]:
    """Multiply factors with each other as long as this makes them smaller."""
    numbers = {name: k for k, name in enumerate(sizes)}
    while True:
        gain, group, kept = max(_mergers(factors, axes, sizes), default=(-1, (), ()), key=_gain)
        if gain < 0:
            return factors
        terms = [(x, tuple([numbers[name] for name in own])) for x, own in group]
        product = np.asarray(contract_all(terms, tuple([numbers[name] for name in kept])))
        chosen = [id(pair) for pair in group]
        factors = [pair for pair in factors if id(pair) not in chosen] + [(product, kept)]


Merger = tuple[int, tuple[Factor, ...], tuple[Name, ...]]


def _gain(merger: Merger) -> int:
    return merger[0]


def _mergers(factors: list[Factor], axes: set[Name], sizes: dict[Name, int]) -> Iterator[Merger]:
    """Yield which factors can be multiplied, the labels that stay, and the elements saved.

    One alone can be summed over labels that nothing else has.
    """
    everywhere = Counter(name for _, names in factors for name in set(names))
    groups = [(pair,) for pair in factors] + list(itertools.combinations(factors, 2))
    for group in groups:
        here = Counter(name for _, names in group for name in dict.fromkeys(names))
        kept = tuple([m for m, count in here.items() if m in axes or count < everywhere[m]])
        gain = sum(x.size for x, _ in group) - math.prod(sizes[name] for name in kept)
        if gain > 0 or (gain == 0 and len(group) == 2):
            yield gain, group, kept
