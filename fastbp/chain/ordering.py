"""In which order a chain is multiplied: optimal brackets under the cost model.

The exact order is by dynamic programming over intervals (`fastbp._core.chain.optimal`, and for
dense links `fastbp._core.chain_links.optimal`), cubic in the number of links, quadratic where they
repeat with a short period. What it may cost is bounded by what it can save: the time of the
products from left to right is found first, in one pass, and what no order can go below. If the
difference does not pay for it, the chain is multiplied from one end to the other; if it has more
than `EXACT` links, or pays for less, it is cut into pieces at its narrow places, each piece is
ordered exactly, and so is the chain of their products. Equal products are made once, so a power of
one factor takes about log2 of its exponent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastbp._core import chain
from fastbp._core.chain_links import bounds, optimal
from fastbp.chain import costs
from fastbp.chain.bracketing import (
    Bracketing,
    Builder,
    DenseStructures,
    Fold,
    dense_model,
    dense_seconds,
)
from fastbp.chain.costs import Structure, known, seconds
from fastbp.chain.products import cost_of, step_of

__all__ = ["CALLS_ONLY", "EXACT", "ORDERS", "order", "order_dense"]

#: The most links that are ordered exactly at once.
EXACT = 300

#: The largest size at which a dense product takes hardly longer than its call.
CALLS_ONLY = 12

ORDERS = ("auto", "exact", "left", "right")

# The part of the predicted time of the products that ordering them may take.
_BUDGET = 0.1
# And of what orders can save at most.
_GAIN = 0.4

# With what keeps the structures alive whose identity is part of the key.
_BRACKETINGS: dict[Hashable, tuple[Bracketing, Any]] = {}
_MOST_BRACKETINGS = 256


def order(structures: Sequence[Structure], names: Sequence[int], how: str = "auto") -> Bracketing:
    """Return the order of a chain's products.

    Parameters
    ----------
    structures : sequence of Structure
    names : sequence of int
        For each link the position of the first one that is the same object.
    how : {"auto", "exact", "left", "right"}

    """
    key = how, tuple(map(id, structures)), names if type(names) is range else tuple(names)
    found = _BRACKETINGS.get(key)
    if found is not None:
        return found[0]
    return _remember(key, _order(structures, names, how), structures)


def order_dense(
    sizes: tuple[int, ...], itemsize: int, names: Sequence[int], how: str = "auto"
) -> Bracketing:
    """Return the order of a chain of dense matrices with these sizes; see `order`."""
    key = (how, itemsize, sizes, names if type(names) is range else tuple(names))
    found = _BRACKETINGS.get(key)
    if found is not None:
        return found[0]
    return _remember(key, _order(DenseStructures(sizes, itemsize), names, how), None)


def _remember(key: Hashable, brackets: Bracketing, alive: Any) -> Bracketing:
    if len(_BRACKETINGS) >= _MOST_BRACKETINGS:
        _BRACKETINGS.clear()
    _BRACKETINGS[key] = brackets, alive
    return brackets


def _order(structures: Sequence[Structure], names: Sequence[int], how: str) -> Bracketing:
    k = len(structures)
    repeated = len(set(names)) < k
    if how == "exact":
        return _pieces(structures, names, k)
    if how != "auto" or k < 3:
        return Fold(structures, how != "right")
    if not repeated:
        sizes = _dense_sizes(structures)
        if sizes is not None:
            return _order_dense(structures, sizes)
        if all(s is structures[0] for s in structures):
            brackets = _steady(structures)
            if brackets is not None:
                return brackets
    if isinstance(structures, DenseStructures):
        structures = [known(s) for s in structures]
    left = Fold(structures, True)
    search = _search(left, len(set(names)))
    if left.seconds / 2 <= search:  # whatever may be saved, finding it is not worth it
        return left
    chain = _Chain(structures, names, search)
    if chain.budget(left.seconds) <= 0:
        return left
    right = Fold(structures, False)
    limit = chain.window(min(left.seconds, right.seconds))
    if limit >= 3:
        brackets = _pieces(structures, names, limit)
        if brackets.seconds < 0.98 * min(left.seconds, right.seconds):
            return brackets
    # Links are made from left to right as a rule; the other way must be worth it.
    return left if left.seconds <= 1.02 * right.seconds else right


def _order_dense(structures: Sequence[Structure], sizes: tuple[int, ...]) -> Bracketing:
    """Order a chain of different dense links."""
    k, model = len(structures), dense_model(structures[0].itemsize)
    left, right, least = bounds(sizes, *model)
    present = min(left, right)
    budget = _allowed(present, present - least) - k * _DENSE.link - _DENSE.piece
    limit = _affordable(k, budget, _DENSE)
    if limit == k:
        return Bracketing(optimal(sizes, *model)[1], structures)
    if limit >= 3:
        brackets = _pieces(structures, range(k), limit)
        if brackets.seconds < present:
            return brackets
    return Fold(structures, left <= 1.02 * right)


def _dense_sizes(structures: Sequence[Structure]) -> tuple[int, ...] | None:
    """Return the sizes of a chain of dense links, None of another one."""
    if isinstance(structures, DenseStructures):
        return structures.sizes
    if any(s.kind != "dense" for s in structures):
        return None
    return (structures[0].m, *(s.n for s in structures))


def _steady(structures: Sequence[Structure]) -> Bracketing | None:
    """Return the best order of links of one structure s whose products are of one structure r.

    An order with j products of two links has j - 1 of two products, and k - 2 j of both kinds: its
    time is linear in j, so that either 1 or k // 2 is best. None where products differ.
    """
    s, k = structures[0], len(structures)
    two, r, _ = step_of(s, s)
    if r is s:
        return Fold(structures, True)
    after = step_of(r, s)
    if 2 * _weight(s) * _OTHER.pair > _BUDGET * (two + (k - 2) * after[0]):
        return Fold(structures, True)  # two more costs take longer than they are worth
    before, both = step_of(s, r), step_of(r, r)
    if not after[1] is before[1] is both[1] is r:
        return None
    h = k // 2
    left = min(after[0], before[0])
    if h * two + (h - 1) * both[0] + (k - 2 * h) * left >= 0.9 * (two + (k - 2) * left):
        return Fold(structures, after[0] <= 1.02 * before[0])
    products = [(i, i + 1) for i in range(0, k - 1, 2)]
    nodes = [*range(k, k + h), *range(2 * h, k)]
    root = nodes[0]
    for node in nodes[1:]:
        products.append((root, node))
        root = k + len(products) - 1
    return Bracketing(tuple(products), structures)


class _Effort(NamedTuple):
    """Seconds that ordering takes, once the times of both folds are known."""

    step: float  # for one product that the dynamic program considers
    link: float
    piece: float  # for each piece that is ordered
    pair: float  # for each pair of structures


_DENSE = _Effort(4e-10, 1.5e-7, 5e-6, 0.0)
_OTHER = _Effort(4e-8, 1e-6, 20e-6, 3e-6)  # costs come from Python

# Kinds as large as their shape, and kinds whose products with those are as large as before.
_FULL = {"dense", "row_scaled", "column_scaled"}
_LIGHT = {"diagonal", "identity", "permutation"}


class _Chain:
    """What ordering a chain may cost: bounded by what it can save."""

    def __init__(
        self, structures: Sequence[Structure], names: Sequence[int], search: float
    ) -> None:
        self.structures, self.names, self.search = structures, names, search
        self.different = len(set(names))
        self.repeated = self.different < len(names)
        self.counts = Counter(map(id, structures))

    def budget(self, present: float) -> float:
        """Return the seconds that are left for the dynamic program."""
        return _allowed(present, self.gain(present)) - self.search

    def gain(self, present: float) -> float:
        """Return what orders can save at most.

        If every dense link were read once, with one call for each product. Where each product of
        two full matrices is one more of at least the smallest size, these are counted.
        """
        kinds = {id(s): s for s in self.structures}
        itemsize, k = self.structures[0].itemsize, len(self.structures)
        read = sum(s.m * s.n * self.counts[i] for i, s in kinds.items() if s.kind == "dense")
        least = read * itemsize / costs.BANDWIDTH + k * costs.CALL["gemm"]
        if not self.repeated and all(s.kind in _FULL | _LIGHT for s in kinds.values()):
            full = sum(self.counts[i] for i, s in kinds.items() if s.kind in _FULL)
            n = min(min(s.m, s.n) for s in kinds.values())
            gemms = max(0, full - 1)
            others = (k - 1 - gemms) * min(costs.CALL.values())
            least = max(least, gemms * dense_seconds(n, n, n, itemsize) + others)
        return present - least

    def window(self, present: float) -> int:
        """Return how many links may be ordered exactly at once, 0 for none."""
        effort = _OTHER
        if all(s.kind == "dense" for s in self.structures):
            effort = effort._replace(step=3e-9)
        return _affordable(
            len(self.names), self.budget(present), effort,
            lambda: _period(_keys(self.structures, self.names, self.repeated)), self.repeated,
        )  # fmt: skip


def _search(left: Fold, different: int) -> float:
    """Return the seconds that ordering takes beside the dynamic program."""
    # From right to left there are as many pairs of structures as from left to right. Where each
    # product has a structure of its own, so have most intervals of links.
    pairs = left.pairs * (1 + (left.pairs / 4 if 2 * left.pairs >= left.count else 1))
    weight = max(_weight(left.structures[0]), _weight(left.result))
    return pairs * weight * _OTHER.pair + different * _OTHER.link + _OTHER.piece


def _weight(s: Structure) -> int:
    """Return about how much longer a cost takes with a nested structure."""
    return 1 + 2 * sum(_weight(x) for x in s.params if isinstance(x, Structure))


def _allowed(present: float, gain: float) -> float:
    """Return the seconds that ordering may take: half of what can be saved, and not too many."""
    return min(gain / 2, max(_BUDGET * present, _GAIN * gain))


def _affordable(
    k: int,
    budget: float,
    effort: _Effort,
    period: Callable[[], int] | None = None,
    repeated: bool = False,
) -> int:
    """Return how many links of k may be ordered exactly at once, 0 for none."""
    step = effort.step
    if budget <= 0:
        return 0
    p = k  # whatever it is, the answer is the same where it is not asked for
    if period is not None and (repeated or k**3 / 6 * step > budget >= k**2 / 2 * step):
        p = period()
    if k <= EXACT and min(k**3 / 6, p * k**2 / 2) * step <= budget:
        return k
    if repeated and 2 * p <= k:  # equal pieces, ordered once
        w = min(EXACT, k, int((budget / step / p) ** 0.5))
        return w if w >= max(3, p) else 0
    # k / w pieces of w**3 / 6 steps each: half of the budget for the pieces, half for the steps.
    w = min(EXACT, k, int((3 * budget / step / k) ** 0.5))
    return w if w >= 3 and k / w * effort.piece <= budget / 2 else 0


def _pieces(structures: Sequence[Structure], names: Sequence[int], limit: int) -> Bracketing:
    builder = Builder(structures)
    return builder.build(_in_pieces(builder, list(names), limit))


def _in_pieces(builder: Builder, nodes: list[int], limit: int) -> int:
    done: dict[tuple[int, ...], int] = {}
    while len(nodes) > limit:
        pieces, start, whole = [], 0, _periods(nodes, limit)
        while start < len(nodes):
            stop = min(start + whole, len(nodes)) if whole else _cut(builder, nodes, start, limit)
            piece = tuple(nodes[start:stop])
            if piece not in done:
                done[piece] = _exact(builder, list(piece))
            pieces.append(done[piece])
            start = stop
        nodes = pieces
    return _exact(builder, nodes)


def _periods(nodes: list[int], limit: int) -> int:
    """Return how many links of a chain of equal parts make a piece, 0 without such parts."""
    period = _period(nodes)
    if period > limit or 2 * period > len(nodes):
        return 0
    return period << ((limit // period).bit_length() - 1)


def _cut(builder: Builder, nodes: list[int], start: int, limit: int) -> int:
    """Return the narrowest place between half a piece and a whole one, the last of equals."""
    if len(nodes) - start <= limit:
        return len(nodes)
    places = range(start + limit, start + max(2, limit // 2) - 1, -1)
    return min(places, key=lambda place: builder.structures[nodes[place]].m)


def _keys(structures: Sequence[Structure], names: Sequence[int], repeated: bool) -> Sequence[int]:
    """Return a number for each link, equal for links that need not be told apart."""
    if repeated:
        return names
    known: dict[Structure, int] = {}
    return [known.setdefault(s, len(known)) for s in structures]


def _period(keys: Sequence[int]) -> int:
    """Return the smallest p for which links i and i + p are always equal (Knuth, Morris, Pratt)."""
    border = [0] * len(keys)
    for i in range(1, len(keys)):
        j = border[i - 1]
        while j and keys[i] != keys[j]:
            j = border[j - 1]
        border[i] = j + (keys[i] == keys[j])
    return len(keys) - border[-1]


def _runs(names: Sequence[int]) -> np.ndarray:
    runs = np.ones(len(names), np.intp)
    if len(set(names)) == len(names):
        return runs
    for i in range(len(names) - 2, -1, -1):
        if names[i] == names[i + 1]:
            runs[i] = runs[i + 1] + 1
    return runs


def _exact(builder: Builder, nodes: list[int]) -> int:
    """Order some values exactly, enter the products, and return the last of them."""
    structures = [builder.structures[node] for node in nodes]
    repeated = len(set(nodes)) < len(nodes)
    sizes = None if repeated else _dense_sizes(structures)
    if sizes is not None:
        values = list(nodes)
        for a, b in optimal(sizes, *dense_model(structures[0].itemsize))[1]:
            values.append(builder.product(values[a], values[b]))
        return values[-1]
    made = {(i, i + 1): node for i, node in enumerate(nodes)}
    for start, middle, stop in reversed(_brackets(structures, nodes, repeated)):
        made[start, stop] = builder.product(made[start, middle], made[middle, stop])
    return made[0, len(nodes)]


def _brackets(
    structures: Sequence[Structure], nodes: Sequence[int], repeated: bool
) -> list[tuple[int, int, int]]:
    """Return the exact order as (start, middle, stop) of each product, in preorder."""
    sizes = [structures[0].m, *(s.n for s in structures)]
    numbers = _Numbers(sorted(set(sizes)), structures[0].itemsize)
    return chain.optimal(
        np.array([numbers.of(s) for s in structures], np.intc),
        np.array([numbers.places[size] for size in sizes], np.intp),
        np.array(numbers.values, np.float64),
        _period(_keys(structures, nodes, repeated)),
        repeated,
        _runs(nodes),
        *dense_model(structures[0].itemsize),
        numbers.pair,
    )[1]


class _Numbers:
    """Structures as the numbers that `optimal` computes with."""

    def __init__(self, values: list[int], itemsize: int) -> None:
        self.values, self.itemsize = values, itemsize
        self.places = {value: i for i, value in enumerate(values)}
        self.known: dict[Structure, int] = {}
        self.listed: list[Structure] = []

    def of(self, s: Structure) -> int:
        if s.kind == "dense":
            return self.places[s.m] * len(self.values) + self.places[s.n]
        if s not in self.known:
            self.known[s] = len(self.listed)
            self.listed.append(s)
        return len(self.values) ** 2 + self.known[s]

    def structure(self, number: int) -> Structure:
        n = len(self.values)
        if number >= n * n:
            return self.listed[number - n * n]
        return costs.dense(self.values[number // n], self.values[number % n], self.itemsize)

    def pair(self, a: int, b: int) -> tuple[float, int]:
        cost = cost_of(self.structure(a), self.structure(b))
        return seconds(cost), self.of(cost.result)
