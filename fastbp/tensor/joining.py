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

# NumPy plans contractions over 52 different labels at most; a batch axis and one more factor need
# some of them.
MAX_LABELS = 40

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
    check_sparse("add", a.shape, size, a.dtype.itemsize, None)
    factor = _product(a, labels) + _product(b, labels)
    return Structured(
        a.out_shape, a.in_shape, a.out_labels, a.in_labels, a.sizes, [(factor, labels)],
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
    """Compose two tensors; None if the axes between them cannot be lined up."""
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
    return _collapsed(result)


def _collapsed(tensor: Structured) -> Structured:
    """Multiply all factors if together they take more than every nonzero, or are too many."""
    factors = tensor.factors
    axes = set(tensor.out_labels + tensor.in_labels)
    if len(factors) < 2 or (
        sum([x.size for x, _ in factors]) <= tensor.nnz and len(tensor.sizes) <= MAX_LABELS
    ):
        return tensor
    check_sparse("compose", tensor.shape, tensor.nnz, tensor.dtype.itemsize, None)
    labels = tuple([m for m in unique(sum([own for _, own in factors], ())) if m in axes])
    product = contract_all(factors, labels)
    return Structured(
        tensor.out_shape, tensor.in_shape, tensor.out_labels, tensor.in_labels, tensor.sizes,
        [(product, labels)], tensor.scale, tensor.dtype,
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
