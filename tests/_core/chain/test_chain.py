"""The exact order of a chain's products: against brute force."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbp._core import chain
from fastbp.errors import ShapeError

CALL, FLOP, ELEMENT = 1.0, 0.5, 0.25


def dense_cost(m, k, n):
    return CALL + FLOP * m * k * n + ELEMENT * (m * k + k * n + m * n)


def optimal(sizes, structures=None, period=None, runs=None, pair=None, shared=True):
    """Order a chain of dense links, or of links of other structures."""
    values, places = np.unique(sizes, return_inverse=True)
    k = len(sizes) - 1
    if structures is None:
        structures = [places[i] * len(values) + places[i + 1] for i in range(k)]
    return chain.optimal(
        np.array(structures, np.intc), places.astype(np.intp), values.astype(float), period or k,
        bool(period) and shared,
        np.array(runs or [1] * k, np.intp), CALL, FLOP, ELEMENT, pair,
    )  # fmt: skip


def brute_force(sizes):
    @functools.cache
    def best(i, j):
        if j - i == 1:
            return 0.0
        return min(
            best(i, s) + best(s, j) + dense_cost(sizes[i], sizes[s], sizes[j])
            for s in range(i + 1, j)
        )

    return best(0, len(sizes) - 1)


@given(st.lists(st.integers(0, 30), min_size=2, max_size=12))
def test_dense_orders(sizes):
    seconds, brackets = optimal(sizes)
    assert seconds == pytest.approx(brute_force(tuple(sizes)))
    assert len(brackets) == len(sizes) - 2
    assert seconds == pytest.approx(sum(dense_cost(*(sizes[i] for i in b)) for b in brackets))
    made = {(i, i + 1) for i in range(len(sizes) - 1)}
    for start, middle, stop in reversed(brackets):
        assert {(start, middle), (middle, stop)} <= made
        made.add((start, stop))
    assert (0, len(sizes) - 1) in made


@given(st.lists(st.integers(1, 9), min_size=1, max_size=3), st.integers(1, 4))
def test_a_period_changes_nothing(part, repeats):
    sizes = part * repeats + part[:1]
    full, _ = optimal(sizes)
    seconds, _ = optimal(sizes, period=len(part))
    assert seconds <= full + 1e-9  # equal intervals are made once
    seconds, _ = optimal(sizes, period=len(part), shared=False)
    assert seconds == pytest.approx(full)


@settings(max_examples=30)
@given(st.integers(2, 9), st.integers(0, 2**32))
def test_other_structures(count, seed):
    """Structures are small integers with random costs and results, as in no real table."""
    rng = np.random.default_rng(seed)
    costs, results = rng.integers(1, 20, (3, 3)), rng.integers(0, 3, (3, 3))
    links = rng.integers(0, 3, count)
    asked = []

    def pair(a, b):
        asked.append((a, b))
        return float(costs[a - 1, b - 1]), 1 + int(results[a - 1, b - 1])

    sizes = [1] * (count + 1)
    seconds, _ = optimal(sizes, 1 + links, pair=pair)
    assert len(asked) == len(set(asked))

    @functools.cache
    def ways(i, j):
        if j - i == 1:
            return {int(links[i]): 0.0}
        found = {}
        for s in range(i + 1, j):
            for a, p in ways(i, s).items():
                for b, q in ways(s, j).items():
                    r, c = int(results[a, b]), p + q + float(costs[a, b])
                    found[r] = min(found.get(r, np.inf), c)
        return found

    assert seconds == min(ways(0, count).values())
    if len(set(links)) == 1:
        assert seconds == optimal(sizes, 1 + links, 1, pair=pair, shared=False)[0]


def test_equal_links_are_squared():
    for k in (8, 100):
        seconds, _ = optimal([3] * (k + 1), period=1)
        assert seconds <= 2 * np.log2(k) * dense_cost(3, 3, 3)
    alone, _ = optimal([3] * 9)
    assert alone == 7 * dense_cost(3, 3, 3)
    inside, _ = optimal([3] * 9, runs=[8, 7, 6, 5, 4, 3, 2, 1])
    assert inside == 3 * dense_cost(3, 3, 3)


def test_many_structures_and_an_error_in_a_cost():
    # More structures than the table first has room for.
    seconds, _ = optimal([1] * 101, [1] * 100, pair=lambda a, b: (1.0, a + b))
    assert seconds == 99

    def refuse(a, b):
        raise RuntimeError("no cost")

    with pytest.raises(RuntimeError, match="no cost"):
        optimal([1] * 4, [1] * 3, pair=refuse)
    with pytest.raises(ShapeError, match="links"):
        optimal([1] * 4, [1] * 3, period=4)
