"""Orders of chains: the best of all where it pays to look for it, and products that are sure."""

import itertools

import numpy as np
import pytest

import fastbp as bp
from fastbp._core import chain_links
from fastbp.chain import bracketing, costs, ordering, products

from .test_chain import a_chain, product
from .test_factors import DTYPES, near

c = bp.chain


def every_order(count):
    """Return the brackets of all orders as lists of products, in terms of intervals."""

    def brackets(i, j):
        if j - i == 1:
            return [[]]
        return [left + right + [(i, s, j)] for s in range(i + 1, j)
                for left in brackets(i, s) for right in brackets(s, j)]  # fmt: skip

    return brackets(0, count)


def least_seconds(structures):
    """Return the predicted time of the best order, by trying all of them."""
    best = float("inf")
    for order in every_order(len(structures)):
        builder = bracketing.Builder(structures)
        made = {(i, i + 1): i for i in range(len(structures))}
        for i, s, j in order:
            made[i, j] = builder.product(made[i, s], made[s, j])
        best = min(best, builder.seconds)
    return best


@pytest.mark.parametrize("seed", range(12))
def test_the_exact_order_is_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    dims = rng.choice([3, 40, 200, 700], 7)
    links = [costs.dense(m, n, 8) for m, n in itertools.pairwise(dims.tolist())]
    best = least_seconds(links)
    model = bracketing.dense_model(8)
    found, products = chain_links.optimal(tuple(dims.tolist()), *model)
    brackets = ordering.order(links, range(6), "exact")
    assert brackets.products == products
    np.testing.assert_allclose([found, brackets.seconds], best, rtol=1e-12)
    left, right, least = chain_links.bounds(tuple(dims.tolist()), *model)
    np.testing.assert_allclose(left, ordering.order(links, range(6), "left").seconds)
    np.testing.assert_allclose(right, ordering.order(links, range(6), "right").seconds)
    assert least <= best * (1 + 1e-12)
    factors, _ = a_chain(rng, 6, size=60)
    structures = [factor.structure for factor in factors]
    exact = ordering.order(structures, range(6), "exact").seconds
    assert exact <= least_seconds(structures) * (1 + 1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_a_search_is_left_out_only_where_it_saves_too_little(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(3, 30))
    sizes = rng.choice([2, 30, 100, 300], count + 1).tolist()
    links = [costs.dense(m, n, 8) for m, n in itertools.pairwise(sizes)]
    if seed % 2:
        factors, _ = a_chain(rng, count, size=100)
        links = [factor.structure for factor in factors]
    brackets = ordering.order(links, range(count))
    exact = ordering.order(links, range(count), "exact").seconds
    # A search takes some microseconds for each link and each pair of structures.
    assert brackets.seconds <= max(1.2 * exact, exact + 40e-6 + count**2 * 20e-6)
    assert brackets.seconds <= 1.03 * ordering.order(links, range(count), "left").seconds


def test_links_of_one_structure(rng):
    same = [c.Kronecker(*rng.standard_normal((2, 3, 3))) for _ in range(6)]
    brackets = ordering.order([x.structure for x in same], range(6))
    assert brackets.text() == "(((((0 1) 2) 3) 4) 5)"
    near(c.product(same).to_dense(), product([x.to_dense() for x in same]), np.float64)
    for count in (3, 6, 7, 8):  # products of two are sums of one kind: each order is tried
        sums = [c.Sum(c.Diagonal(rng.random(300)), c.LowRank(*rng.random((2, 300, 2)) / 300))
                for _ in range(count)]  # fmt: skip
        links = [x.structure for x in sums]
        brackets = ordering.order(links, range(count))
        assert brackets.seconds <= 1.15 * least_seconds(links)
        near(c.product(sums).to_dense(), product([x.to_dense() for x in sums]), np.float64)


def sizes_of(s):
    """Return a structure without the one thing that depends on values: a scale of 1."""
    params = [sizes_of(x) if isinstance(x, costs.Structure) else x for x in s.params]
    return (*s[:4], None if s.kind == "identity" else params)


@pytest.mark.parametrize("dtype", DTYPES)
def test_settled_kinds_are_what_was_predicted(dtype, rng):
    makers = [
        lambda: c.Dense(rng.standard_normal((6, 6)).astype(dtype)),
        lambda: c.Identity(6, 0.5, dtype),
        lambda: c.Identity(6, dtype=dtype),
        lambda: c.Diagonal(rng.standard_normal(6).astype(dtype)),
        lambda: c.RowScaled(*(rng.standard_normal(s).astype(dtype) for s in (6, (6, 6)))),
        lambda: c.ColumnScaled(*(rng.standard_normal(s).astype(dtype) for s in ((6, 6), 6))),
        lambda: c.LowRank(*rng.standard_normal((2, 6, 2)).astype(dtype)),
        lambda: c.LowRank(*rng.standard_normal((2, 6, 5)).astype(dtype)),
        lambda: c.Kronecker(*(rng.standard_normal(s).astype(dtype) for s in ((2, 2), (3, 3)))),
        lambda: c.Kronecker(*(rng.standard_normal(s).astype(dtype) for s in ((3, 3), (2, 2)))),
        lambda: c.Kronecker(c.Diagonal(np.ones(2, dtype)), c.Identity(3, 2.0, dtype)),
    ]
    for one, two, three in itertools.product(makers, repeat=3):
        a, b = one(), two()
        sure, result = products.step_of(a.structure, b.structure)[2:0:-1]
        found = sure(a, b)
        assert sizes_of(found.structure) == sizes_of(result)
        near(found.to_dense(), a.to_dense() @ b.to_dense(), dtype)
        assert products.step_of(result, three().structure)[2] is not None


def test_short_chains_and_repeated_arrays(rng):
    a, b = rng.standard_normal((2, 5, 5))
    for links in ([a], [a, b], [c.Diagonal(a[0])], [c.Diagonal(a[0]), b], [a, a], [a, a, b, a]):
        for how in ordering.ORDERS:
            found = c.product(links, how)
            near(found.to_dense(), product([c.as_factor(x).to_dense() for x in links]), np.float64)
    many = c.product([a / 4] * 65).to_dense()
    near(many, np.linalg.matrix_power(a / 4, 65), np.float64)
    near(c.product(np.stack([a, b])).to_dense(), a @ b, np.float64)


@pytest.mark.parametrize("seed", range(8))
def test_three_dense_links_are_multiplied_as_the_plan_says(seed):
    sizes = tuple(np.random.default_rng(seed).integers(1, 300, 4).tolist())
    links = [bracketing.costs.dense(m, n, 8) for m, n in itertools.pairwise(sizes)]
    brackets = ordering.order(links, range(3), "exact")
    assert bracketing.left_first(sizes, 8) == (brackets.products[0] == (0, 1))
