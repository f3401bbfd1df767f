"""In which order a chain is multiplied: optimal brackets under the cost model.

The exact order is by dynamic programming over intervals (`fastbp._core.chain.optimal`), cubic in
the number of links, quadratic where they repeat with a short period. What it may cost is bounded by
what it can save: if the predicted time of the products does not pay for it, or the chain has more
than `EXACT` links, the chain is cut into pieces at its narrow places, each piece is ordered
exactly, and so is the chain of their products. Equal products are made once, so a power of one
factor takes about log2 of its exponent.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from fastbp._core.chain import optimal
from fastbp.chain import costs
from fastbp.chain.costs import Structure, seconds
from fastbp.chain.plans import Builder, Plan, dense_seconds
from fastbp.chain.products import cost_of

__all__ = ["CALLS_ONLY", "EXACT", "ORDERS", "order", "order_dense"]

#: The most links that are ordered exactly at once.
EXACT = 300

#: The largest size at which a dense product takes hardly longer than its call.
CALLS_ONLY = 12

ORDERS = ("auto", "exact", "left", "right")

# Seconds that the dynamic program takes for one product it considers; with costs from Python, more.
_DENSE_STEP, _OTHER_STEP = 3e-9, 4e-8
# Seconds beside it: for each link, and for each piece that is ordered.
_LINK, _PIECE = 1e-6, 40e-6
# The part of the predicted time of the products that ordering them may take.
_BUDGET = 0.1
# And of what orders can save at most, if every link were read once and cost one call.
_GAIN = 0.4

# With what keeps the structures alive whose identity is part of the key.
_PLANS: dict[Hashable, tuple[Plan, Any]] = {}
_MOST_PLANS = 256


def order(structures: Sequence[Structure], names: Sequence[int], how: str = "auto") -> Plan:
    """Return the order of a chain's products.

    Parameters
    ----------
    structures : sequence of Structure
    names : sequence of int
        For each link the position of the first one that is the same object.
    how : {"auto", "exact", "left", "right"}

    """
    key = (how, tuple(map(id, structures)), tuple(names))
    found = _PLANS.get(key)
    if found is not None:
        return found[0]
    return _remember(key, _order(structures, names, how), structures)


def order_dense(
    sizes: Sequence[int], itemsize: int, names: Sequence[int], how: str = "auto"
) -> Plan:
    """Return the order of a chain of dense matrices with these sizes; see `order`."""
    key = (how, itemsize, tuple(sizes), tuple(names))
    found = _PLANS.get(key)
    if found is not None:
        return found[0]
    links = [costs.dense(m, n, itemsize) for m, n in pairwise(sizes)]
    return _remember(key, _order(links, names, how), None)


def _remember(key: Hashable, plan: Plan, alive: Any) -> Plan:
    if len(_PLANS) >= _MOST_PLANS:
        _PLANS.clear()
    _PLANS[key] = plan, alive
    return plan


def _order(structures: Sequence[Structure], names: Sequence[int], how: str) -> Plan:
    if how == "exact":
        builder = Builder(structures)
        return builder.plan(_exact(builder, list(names)))
    if how != "auto":
        return _fold(structures, names, how == "left")
    if len(structures) < 3 or _indifferent(structures, names):
        return _fold(structures, names, True)
    times = _times(structures, names)
    limit = _window(structures, names, min(times))
    if limit == len(structures) == len(set(names)):
        return _bracketed(structures, _brackets(structures, names))
    if limit >= 3:
        builder = Builder(structures)
        plan = builder.plan(_in_pieces(builder, list(names), limit))
        if limit == len(structures) or plan.seconds < min(times):
            return plan
    # Links are made from left to right as a rule; the other way must be worth it.
    return _fold(structures, names, times[0] <= 1.02 * times[1])


def _dense_folds(structures: Sequence[Structure]) -> tuple[float, float]:
    """Return the times from left to right and from right to left of different dense links."""
    item = structures[0].itemsize
    sizes = np.array([structures[0].m, *(s.n for s in structures)], float)
    left = dense_seconds(sizes[0], sizes[1:-1], sizes[2:], item)
    right = dense_seconds(sizes[:-2], sizes[1:-1], sizes[-1], item)
    return float(left.sum()), float(right.sum())


def _times(structures: Sequence[Structure], names: Sequence[int]) -> tuple[float, float]:
    """Return the times from left to right and from right to left."""
    if all(s.kind == "dense" for s in structures) and len(set(names)) == len(names):
        return _dense_folds(structures)
    if len(set(names)) < len(names):
        return _fold(structures, names, True).seconds, _fold(structures, names, False).seconds
    return _fold_time(structures, True), _fold_time(structures, False)


def _fold(structures: Sequence[Structure], names: Sequence[int], left: bool) -> Plan:
    k = len(structures)
    if len(set(names)) == k:
        results = range(k, 2 * k - 2)  # all but the last
        if left:
            products = tuple(zip((0, *results), range(1, k), strict=True)) if k > 1 else ()
        else:
            links = range(k - 2, -1, -1)
            products = tuple(zip(links, (k - 1, *results), strict=True)) if k > 1 else ()
        unused = tuple((value,) if value in results else () for value in range(k - 1, 2 * k - 2))
        return Plan(k, products, tuple(structures), max(0, 2 * k - 2), unused)
    builder = Builder(structures)
    nodes = list(names if left else reversed(names))
    root = nodes[0]
    for node in nodes[1:]:
        root = builder.product(root, node) if left else builder.product(node, root)
    return builder.plan(root)


def _fold_time(structures: Sequence[Structure], left: bool) -> float:
    """Return the time from one end to the other."""
    links = structures if left else structures[::-1]
    total, root = 0.0, links[0]
    known: dict[tuple[int, int], tuple[float, Structure]] = {}
    for link in links[1:]:
        found = known.get((id(root), id(link)))
        if found is None:
            cost = cost_of(root, link) if left else cost_of(link, root)
            found = known[id(root), id(link)] = seconds(cost), cost.result
        total += found[0]
        root = found[1]
    return total


def _indifferent(structures: Sequence[Structure], names: Sequence[int]) -> bool:
    """Whether all orders cost the same, nearly, and links are different objects.

    Links of one structure that products keep, or dense ones so small that calls are all there is.
    """
    if len(set(names)) < len(names):
        return False
    first = structures[0]
    if all(s.kind == "dense" and s.m <= CALLS_ONLY and s.n <= CALLS_ONLY for s in structures):
        return True
    return all(s == first for s in structures) and cost_of(first, first).result == first


def _window(structures: Sequence[Structure], names: Sequence[int], present: float) -> int:
    """Return how many links may be ordered exactly at once, 0 for none."""
    k = len(structures)
    step = _DENSE_STEP if all(s.kind == "dense" for s in structures) else _OTHER_STEP
    itemsize = structures[0].itemsize
    least = sum(s.m * s.n for s in structures if s.kind == "dense") * itemsize / costs.BANDWIDTH
    gain = present - least - k * costs.CALL["gemm"]
    budget = max(_BUDGET * present, _GAIN * gain) - len(set(names)) * _LINK - _PIECE
    if budget <= 0:
        return 0
    repeated = len(set(names)) < k
    if not repeated and (k**2 / 2 * step > budget or k**3 / 6 * step <= budget):
        period = k  # whatever it is, the answer is the same
    else:
        period = _period(_keys(structures, names))
    if k <= EXACT and min(k**3 / 6, period * k**2 / 2) * step <= budget:
        return k
    if repeated and 2 * period <= k:  # equal pieces, ordered once
        w = min(EXACT, k, int((budget / step / period) ** 0.5))
        return w if w >= max(3, period) else 0
    # k / w pieces of w**3 / 6 steps each: half of the budget for the pieces, half for the steps.
    w = min(EXACT, k, int((3 * budget / step / k) ** 0.5))
    return w if w >= 3 and k / w * _PIECE <= budget / 2 else 0


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


def _keys(structures: Sequence[Structure], names: Sequence[int]) -> list[int]:
    """Return a number for each link, equal for links that need not be told apart."""
    if len(set(names)) < len(names):
        return list(names)
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


def _bracketed(structures: Sequence[Structure], brackets: list[tuple[int, int, int]]) -> Plan:
    """Return the plan of a chain of different links; brackets in preorder."""
    k = len(structures)
    made = {(i, i + 1): i for i in range(k)}
    products: list[tuple[int, int]] = []
    unused: list[tuple[int, ...]] = []
    for start, middle, stop in reversed(brackets):
        a, b = made[start, middle], made[middle, stop]
        made[start, stop] = k + len(products)
        products.append((a, b))
        unused.append(tuple(value for value in (a, b) if value >= k))
    return Plan(k, tuple(products), tuple(structures), made[0, k], tuple(unused))


def _exact(builder: Builder, nodes: list[int]) -> int:
    """Order some values exactly, enter the products, and return the last of them."""
    if len(nodes) == 1:
        return nodes[0]
    structures = [builder.structures[node] for node in nodes]
    made = {(i, i + 1): node for i, node in enumerate(nodes)}
    for start, middle, stop in reversed(_brackets(structures, nodes)):
        made[start, stop] = builder.product(made[start, middle], made[middle, stop])
    return made[0, len(nodes)]


def _brackets(structures: Sequence[Structure], nodes: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return the exact order as (start, middle, stop) of each product, in preorder."""
    sizes = [structures[0].m, *(s.n for s in structures)]
    numbers = _Numbers(sorted(set(sizes)), structures[0].itemsize)
    different = len(set(nodes)) == len(nodes)
    simple = different and all(s.kind == "dense" for s in structures)
    return optimal(
        np.array([numbers.of(s) for s in structures], np.intc),
        np.array([numbers.places[size] for size in sizes], np.intp),
        np.array(numbers.values, np.float64),
        len(nodes) if simple else _period(_keys(structures, nodes)),
        not different,
        _runs(nodes),
        costs.CALL["gemm"],
        2.0 * structures[0].itemsize / 8 / costs.RATE["gemm"],
        structures[0].itemsize / costs.BANDWIDTH,
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
