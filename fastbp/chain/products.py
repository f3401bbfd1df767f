"""The table of pairwise products: how two kinds are multiplied, what it costs, what comes out.

A kind of factor enters its products with the decorator `rule`, beside its class: nothing else has
to know of it. Where no rule holds, one factor is made dense and the other one applied to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from fastbp.chain.costs import Cost, Structure, Work, dense, known, seconds
from fastbp.errors import DTypeError, ShapeError
from fastbp.pairs import ANY, Pairs

if TYPE_CHECKING:
    from fastbp.chain.base import Factor

__all__ = [
    "ANY",
    "KINDS",
    "Multiply",
    "cost_of",
    "find",
    "functions_of",
    "multiply",
    "rule",
    "step_of",
]

#: The class of each kind. A subclass of `Factor` that names a new `kind` enters itself.
KINDS: dict[str, type[Factor]] = {}

Multiply = Callable[["Factor", "Factor"], "Factor"]
CostRule = Callable[[Structure, Structure], Cost | None]


class Rule(NamedTuple):
    """A row of the table; `cost` returns None where the rule does not hold."""

    multiply: Multiply
    cost: CostRule


_TABLE: Pairs[Rule] = Pairs()
# By identity, as hashing nested structures takes long; the entry keeps both alive.
_FOUND: dict[tuple[int, int], tuple[Rule, Cost, Structure, Structure]] = {}
_MOST_FOUND = 100_000


def rule(a: str, b: str, cost: CostRule) -> Callable[[Multiply], Multiply]:
    """Enter the product of kinds `a` and `b`; one of them may be `ANY`."""

    def enter(function: Multiply) -> Multiply:
        _TABLE.enter(a, b, Rule(function, cost))
        return function

    return enter


def find(a: Structure, b: Structure) -> tuple[Rule, Cost]:
    """Return the rule for a product and its cost."""
    found = _FOUND.get((id(a), id(b)))
    if found is None:
        if len(_FOUND) >= _MOST_FOUND:
            _FOUND.clear()
        row, cost = _search(a, b)
        cost = cost._replace(result=known(cost.result))
        found = _FOUND[id(a), id(b)] = row, cost, a, b
    return found[:2]


def _search(a: Structure, b: Structure) -> tuple[Rule, Cost]:
    for row in _TABLE.rows(a.kind, b.kind):
        cost = row.cost(a, b)
        if cost is not None:
            return row, cost
    work, swap = _through_dense(a, b)
    row = _DENSIFY_LEFT if swap else _DENSIFY_RIGHT
    return row, work.gives(dense(a.m, b.n, a.itemsize))


def cost_of(a: Structure, b: Structure) -> Cost:
    """Return the cost of a product, and the structure that its result will have."""
    return find(a, b)[1]


# Kinds whose structure says all that rules depend on. Products of two of them are of one of them,
# as predicted: how many elements of a sparse result are not zero is only a guess, for example.
_SETTLED = {"dense", "identity", "diagonal", "row_scaled", "column_scaled", "low_rank"}


def _settled(s: Structure) -> bool:
    return s.kind in _SETTLED or (s.kind == "kronecker" and all(map(_settled, s.params)))


def step_of(a: Structure, b: Structure) -> tuple[float, Structure, Multiply | None]:
    """Return a product's time, its structure, and the function that makes it, if that is sure."""
    row, cost = find(a, b)
    sure = _settled(a) and _settled(b)
    return seconds(cost), cost.result, row.multiply if sure else None


def functions_of(steps: Sequence[tuple[float, Structure, Multiply | None]]) -> list[Multiply]:
    """Return the functions that make a chain's products; `multiply` where one is not sure."""
    found = [step[2] for step in steps]
    return [multiply] * len(found) if None in found else found  # type: ignore[return-value]


def multiply(a: Factor, b: Factor) -> Factor:
    """Return the product of two factors, structured where the table has a rule."""
    if a._n != b._m:
        raise ShapeError(f"product: shapes {a.shape} and {b.shape} do not fit")
    if a._dtype != b._dtype:
        raise DTypeError(f"product: dtypes {a.dtype} and {b.dtype} differ")
    return find(a.structure, b.structure)[0].multiply(a, b)


# ---- without a rule: through dense


def _through_dense(a: Structure, b: Structure) -> tuple[Work, bool]:
    """Return the cheaper way, and whether it makes `a` dense rather than `b`."""
    right, left = KINDS[a.kind]._apply_work(a, b.n), KINDS[b.kind]._apply_work(b, a.m, True)
    result = dense(a.m, b.n, a.itemsize)
    if a.kind == "dense":
        return left, True
    if b.kind == "dense":
        return right, False
    if b.kind != "operator":
        right = right._replace(nbytes=right.nbytes + b.m * b.n * b.itemsize)
    if a.kind != "operator":
        left = left._replace(nbytes=left.nbytes + a.m * a.n * a.itemsize)
    if a.kind == "operator" or b.kind == "operator":
        return (right, False) if a.kind == "operator" else (left, True)
    if seconds(left.gives(result)) < seconds(right.gives(result)):
        return left, True
    return right, False


def _densify_left(a: Factor, b: Factor) -> Factor:
    return KINDS["dense"](b._left(a._whole()))  # type: ignore[call-arg]


def _densify_right(a: Factor, b: Factor) -> Factor:
    return KINDS["dense"](a._right(b._whole()))  # type: ignore[call-arg]


_DENSIFY_LEFT = Rule(_densify_left, lambda a, b: None)
_DENSIFY_RIGHT = Rule(_densify_right, lambda a, b: None)
