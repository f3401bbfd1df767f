"""Bracketings: the products of a chain, in the order in which they are made."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, overload

from fastbp._core.chain_links import fold
from fastbp.chain import costs
from fastbp.chain.costs import Cost, Structure, known, seconds
from fastbp.chain.products import Multiply, cost_of, functions_of, step_of

__all__ = [
    "Bracketing",
    "Builder",
    "DenseStructures",
    "Fold",
    "dense_model",
    "dense_seconds",
    "left_first",
]


class DenseStructures(Sequence[Structure]):
    """The structures of dense links, made when they are asked for."""

    def __init__(self, sizes: tuple[int, ...], itemsize: int) -> None:
        self.sizes, self.itemsize = sizes, itemsize

    def __len__(self) -> int:
        return len(self.sizes) - 1

    @overload
    def __getitem__(self, index: int) -> Structure: ...
    @overload
    def __getitem__(self, index: slice) -> list[Structure]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        return costs.dense(self.sizes[index], self.sizes[index + 1], self.itemsize)


class Bracketing:
    """The products of a chain, in the order in which they are made.

    Attributes
    ----------
    count : int
        The number of links: values 0 to count - 1.
    products : tuple of (int, int)
        The two values of each product, which itself is the next value.
    structures : sequence of Structure
        The structures of the links.
    root : int
        The value of the whole chain.
    """

    def __init__(
        self,
        products: tuple[tuple[int, int], ...],
        structures: Sequence[Structure],
        root: int | None = None,
    ) -> None:
        self.count, self.structures = len(structures), structures
        self.root = max(0, 2 * self.count - 2) if root is None else root
        self._products = products

    @property
    def products(self) -> tuple[tuple[int, int], ...]:  # noqa: D102 (see the class)
        return self._products

    @cached_property
    def unused(self) -> tuple[tuple[int, ...], ...]:
        """The products that are not needed any more, after each product."""
        last: dict[int, int] = {}
        for step, (a, b) in enumerate(self.products):
            last[a] = last[b] = step
        unused: list[tuple[int, ...]] = [()] * len(self.products)
        for value, step in last.items():
            if value >= self.count:
                unused[step] += (value,)
        return tuple(unused)

    @cached_property
    def functions(self) -> Sequence[Multiply]:
        """What makes each product."""
        structures, found = list(self.structures), []
        for a, b in self.products:
            step = step_of(structures[a], structures[b])
            structures.append(step[1])
            found.append(step)
        return functions_of(found)

    @property
    def costs(self) -> list[Cost]:
        """The cost of each product; its result has the structure that is named in it."""
        structures = list(self.structures)
        found = []
        for a, b in self.products:
            found.append(cost_of(structures[a], structures[b]))
            structures.append(found[-1].result)
        return found

    @cached_property
    def seconds(self) -> float:
        """The predicted time."""
        return sum(map(seconds, self.costs))

    def text(self) -> str:
        """Return the order in brackets, links by their positions; shortened if it is long."""
        texts = [str(i) for i in range(self.count)]
        for a, b in self.products:
            left, right = texts[a], texts[b]
            texts.append(f"({left} {right})" if len(left) + len(right) < 400 else "(...)")
        return texts[self.root]


class Fold(Bracketing):
    """The products of links from one end to the other; no two of them are equal.

    Parameters
    ----------
    structures : sequence of Structure
    left : bool
        Begin at the left end.
    """

    def __init__(self, structures: Sequence[Structure], left: bool) -> None:
        super().__init__((), structures)
        self.left = left

    @property
    def products(self) -> tuple[tuple[int, int], ...]:  # noqa: D102
        k = self.count
        results = range(k, 2 * k - 2)  # all but the last
        if not self._products and k > 1:
            if self.left:
                self._products = tuple(zip((0, *results), range(1, k), strict=True))
            else:
                others = range(k - 2, -1, -1)
                self._products = tuple(zip(others, (k - 1, *results), strict=True))
        return self._products

    @cached_property
    def _found(self) -> tuple[float, list]:
        structures = self.structures
        if isinstance(structures, DenseStructures):
            structures = [known(s) for s in structures]
        return fold(list(structures), self.left, step_of)

    @cached_property
    def seconds(self) -> float:  # noqa: D102
        return self._found[0]

    @property
    def result(self) -> Structure:
        """The structure of the whole product."""
        steps = self._found[1]
        return steps[-1][1] if steps else self.structures[0]

    @property
    def pairs(self) -> int:
        """How many pairs of structures are multiplied."""
        return len(set(map(id, self._found[1])))

    @cached_property
    def functions(self) -> Sequence[Multiply]:  # noqa: D102
        return functions_of(self._found[1])


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

    def build(self, root: int) -> Bracketing:
        """Return the brackets of what was entered."""
        return Bracketing(tuple(self.products), tuple(self.structures[: self.count]), root)


def dense_model(itemsize: int) -> tuple[float, float, float]:
    """Return the seconds of a dense product: for itself, each multiplication, each element."""
    return (
        costs.CALL["gemm"],
        2.0 * itemsize / 8 / costs.RATE["gemm"],
        itemsize / costs.BANDWIDTH,
    )


def left_first(sizes: tuple[int, ...], itemsize: int) -> bool:
    """Say whether of three dense matrices the first two should be multiplied first."""
    m, k, p, n = sizes
    _, flop, element = dense_model(itemsize)
    return flop * (m * p * (k + n) - k * n * (m + p)) + 2 * element * (m * p - k * n) <= 0


def dense_seconds(m: Any, k: Any, n: Any, itemsize: int) -> Any:
    """Return the time of a dense product, as `seconds` of its cost; sizes may be arrays."""
    call, flop, element = dense_model(itemsize)
    return call + flop * m * k * n + element * (m * k + k * n + m * n)
