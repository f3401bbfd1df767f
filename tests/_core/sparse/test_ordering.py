"""The orders of greedy colorings: by their definitions."""

import numpy as np
import pytest
from hypothesis import given

from fastbp._core import ordering
from fastbp.errors import ShapeError

from .test_coloring import GOOD, compressed, matrices

ORDERS = ["largest_first", "smallest_last", "incidence_degree", "dynamic_largest_first"]


@pytest.mark.parametrize("order", ORDERS)
@given(a=matrices())
def test_orders_are_permutations(order, a):
    own, other = compressed(a), compressed(a.T)
    found = ordering.order_of(order, *own, *other)
    assert sorted(found) == list(range(len(a)))
    if a.shape[0] == a.shape[1]:
        assert sorted(ordering.order_of(order, *compressed(a | a.T))) == list(range(len(a)))


def by_definition(order, graph):
    """The degrees that an order promises: True if each vertex has the extreme one at its turn."""
    n = len(graph)
    found = ordering.order_of(order, *compressed(graph))
    for k, v in enumerate(found):
        if order == "largest_first":
            left, sign, seen = found[k:], 1, np.arange(n)
        elif order == "smallest_last":
            left, sign, seen = found[: k + 1], -1, found[: k + 1]
        elif order == "dynamic_largest_first":
            left, sign, seen = found[k:], 1, found[k:]
        else:
            left, sign, seen = found[k:], 1, found[:k]
        degrees = {w: sign * graph[w, seen].sum() for w in left}
        if degrees[v] != max(degrees.values()):
            return False
    return True


@pytest.mark.parametrize("order", ORDERS)
@given(a=matrices(square=True))
def test_orders_follow_their_definition(order, a):
    graph = (a | a.T) & ~np.eye(len(a), dtype=bool)
    assert by_definition(order, graph)


@pytest.mark.parametrize(
    "order", ["largest_first", "smallest_last", "incidence_degree", "dynamic_largest_first"]
)
def test_orders_of_what_is_not_symmetric(order, rng):
    """Keys leave their range then, and must not be followed out of the memory."""
    for n in range(1, 30):
        a, other = rng.random((2, n, n)) < rng.random()
        for back in ((), compressed(other)):
            found = ordering.order_of(order, *compressed(a), *back)
            assert sorted(found) == list(range(n))
    with pytest.raises(ShapeError, match="back and back_rows"):
        ordering.order_of(order, *GOOD, GOOD[0])


def test_unknown_order():
    with pytest.raises(ValueError, match="unknown order"):
        ordering.order_of("best", *GOOD)
