"""Plans: the products of a chain, in the order in which they are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fastbp.chain import costs
from fastbp.chain.costs import Cost, Structure, seconds
from fastbp.chain.products import cost_of

__all__ = ["Builder", "Plan", "dense_seconds"]


@dataclass(frozen=True)
class Plan:
    """The products of a chain, in the order in which they are made.

    Attributes
    ----------
    count : int
        The number of links: values 0 to count - 1.
    products : tuple of (int, int)
        The two values of each product, which itself is the next value.
    links : tuple of Structure
        The structures of the links.
    root : int
        The value of the whole chain.
    unused : tuple of tuple of int
        The products that are not needed any more, after each product.
    """

    count: int
    products: tuple[tuple[int, int], ...]
    links: tuple[Structure, ...]
    root: int
    unused: tuple[tuple[int, ...], ...]

    @property
    def costs(self) -> list[Cost]:
        """The cost of each product; its result has the structure that is named in it."""
        structures = list(self.links)
        found = []
        for a, b in self.products:
            found.append(cost_of(structures[a], structures[b]))
            structures.append(found[-1].result)
        return found

    @cached_property
    def seconds(self) -> float:
        """The predicted time."""
        return sum(map(seconds, self.costs))

    def brackets(self) -> str:
        """Return the order in brackets, links by their positions; shortened if it is long."""
        texts = [str(i) for i in range(self.count)]
        for a, b in self.products:
            left, right = texts[a], texts[b]
            texts.append(f"({left} {right})" if len(left) + len(right) < 400 else "(...)")
        return texts[self.root]


class Builder:
    """Collects products; an equal one is not made twice."""

    def __init__(self, structures: Sequence[Structure]) -> None:
        self.count = len(structures)
        self.structures = list(structures)
        self.products: dict[tuple[int, int], int] = {}
        self.seconds = 0.0

    def product(self, a: int, b: int) -> int:
        """Enter a product, and return its number."""
        found = self.products.get((a, b))
        if found is None:
            found = self.products[a, b] = len(self.structures)
            x, y = self.structures[a], self.structures[b]
            if x.kind == y.kind == "dense":
                self.structures.append(costs.dense(x.m, y.n, x.itemsize))
                self.seconds += dense_seconds(x.m, x.n, y.n, x.itemsize)
            else:
                cost = cost_of(x, y)
                self.structures.append(cost.result)
                self.seconds += seconds(cost)
        return found

    def plan(self, root: int) -> Plan:
        """Return the plan of what was entered."""
        products = tuple(self.products)
        last = {}
        for step, (a, b) in enumerate(products):
            last[a] = last[b] = step
        unused: list[tuple[int, ...]] = [()] * len(products)
        for value, step in last.items():
            if value >= self.count:
                unused[step] += (value,)
        links = tuple(self.structures[: self.count])
        return Plan(self.count, products, links, root, tuple(unused))


def dense_seconds(m: Any, k: Any, n: Any, itemsize: int) -> Any:
    """Return the time of a dense product, as `seconds` of its cost; sizes may be arrays."""
    flops, elements = 2.0 * m * k * n, m * k + k * n + m * n
    return (
        costs.CALL["gemm"]
        + flops * itemsize / 8 / costs.RATE["gemm"]
        + elements * itemsize / costs.BANDWIDTH
    )
