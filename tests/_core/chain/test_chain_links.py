"""Orders of dense chains without Python between the links."""

import itertools

import numpy as np
import pytest

from fastbp._core import chain_links
from fastbp.chain import Dense, Diagonal

CALL, FLOP, ELEMENT = 1.0, 0.5, 0.25


def cost(m, k, n):
    return CALL + FLOP * m * k * n + ELEMENT * (m * k + k * n + m * n)


def least(sizes):
    """The cost of the best brackets, by trying all of them."""
    if len(sizes) <= 2:
        return 0.0
    return min(
        least(sizes[: s + 1]) + least(sizes[s:]) + cost(sizes[0], sizes[s], sizes[-1])
        for s in range(1, len(sizes) - 1)
    )


def paid(sizes, products):
    """The cost of brackets that are given as pairs of values."""
    ends = list(itertools.pairwise(sizes))
    total = 0.0
    for a, b in products:
        assert ends[a][1] == ends[b][0]
        total += cost(*ends[a], ends[b][1])
        ends.append((ends[a][0], ends[b][1]))
    assert ends[-1] == (sizes[0], sizes[-1])
    return total


@pytest.mark.parametrize("count", range(1, 8))
def test_optimal_is_what_trying_all_finds(count, rng):
    for _ in range(5):
        sizes = tuple(int(n) for n in rng.integers(1, 20, count + 1))
        seconds, products = chain_links.optimal(sizes, CALL, FLOP, ELEMENT)
        assert seconds == pytest.approx(least(sizes), rel=1e-12)
        assert paid(sizes, products) == pytest.approx(seconds, rel=1e-12)


def test_bounds_hold_the_optimum(rng):
    for _ in range(20):
        sizes = tuple(int(n) for n in rng.integers(1, 20, rng.integers(3, 8)))
        found = chain_links.bounds(sizes, CALL, FLOP, ELEMENT)
        assert min(found) <= least(sizes) * (1 + 1e-12)
        assert max(found) >= least(sizes) * (1 - 1e-12)


def test_fold_goes_from_one_end():
    def pair(a, b):
        return 1.0, f"({a}{b})"

    assert [step[1] for step in chain_links.fold(list("abc"), True, pair)[1]] == ["(ab)", "((ab)c)"]
    assert [step[1] for step in chain_links.fold(list("abc"), False, pair)[1]] == [
        "(bc)",
        "(a(bc))",
    ]
    assert chain_links.fold(list("abc"), True, pair)[0] == 2.0


def test_matrices_of_dense_links_only():
    a, b = np.ones((2, 3)), np.ones((3, 4))
    arrays, sizes = chain_links.matrices((Dense(a), Dense(b)), Dense)
    assert sizes == (2, 3, 4)
    assert [x.shape for x in arrays] == [(2, 3), (3, 4)]
    assert chain_links.matrices((Dense(a), Diagonal(np.ones(3))), Dense) is None
