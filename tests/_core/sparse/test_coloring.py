"""Colorings: against brute force, and what they refuse."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbp._core import coloring, compression, ordering
from fastbp.errors import ShapeError


def compressed(dense):
    """indptr and indices of a boolean matrix."""
    dense = np.asarray(dense, bool)
    rows, columns = dense.nonzero()
    indptr = np.searchsorted(rows, np.arange(len(dense) + 1)).astype(np.int32)
    return indptr, columns.astype(np.int32)


@st.composite
def matrices(draw, square=False):
    """Boolean matrices with empty and dense lines, of all shapes down to 0 x 0."""
    m = draw(st.integers(0, 14))
    n = m if square else draw(st.integers(0, 14))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    a = rng.random((m, n)) < draw(st.sampled_from([0.0, 0.05, 0.2, 0.5, 1.0]))
    for line in (a, a.T):
        for value in (True, False):
            if len(line) and draw(st.booleans()):
                line[rng.integers(len(line))] = value
    return a


# ---- patterns


@given(matrices())
def test_transpose(a):
    indptr, indices = compressed(a)
    columns, rows, entries = coloring.transpose(indptr, indices, a.shape[1])
    expected = compressed(a.T)
    assert np.array_equal(columns, expected[0])
    assert np.array_equal(rows, expected[1])
    number = np.zeros(a.shape, int)
    number[a] = np.arange(a.sum())
    assert np.array_equal(entries, number.T[a.T])


@given(matrices(square=True))
def test_edges(a):
    a = a | a.T
    indptr, indices = compressed(a)
    numbers, count = coloring.edges(indptr, indices)
    table = np.full(a.shape, -1)
    table[a] = numbers
    assert np.array_equal(table, table.T)
    off = np.triu(a, 1)
    assert count == off.sum()
    assert sorted(table[off]) == list(range(count))
    diagonal = np.diag(table)[np.diag(a)]
    assert np.array_equal(diagonal, np.arange(count, count + len(diagonal)))


@given(matrices(square=True))
def test_edges_of_what_is_not_symmetric(a):
    numbers, _ = coloring.edges(*compressed(a))
    assert (numbers is None) == (not np.array_equal(a, a.T))


# ---- colorings


def first_fit(a, order):
    """Rows of a boolean matrix, one after the other."""
    colors = np.full(len(a), -1)
    for v in order:
        if not a[v].any():
            continue
        taken = {colors[w] for w in range(len(a)) if colors[w] >= 0 and (a[v] & a[w]).any()}
        colors[v] = next(c for c in itertools.count() if c not in taken)
    return colors


@given(matrices(), st.randoms())
def test_partial_is_first_fit(a, random):
    order = list(range(len(a)))
    random.shuffle(order)
    indptr, indices = compressed(a)
    colors, count = coloring.partial(indptr, indices, a.shape[1], np.array(order, np.int32))
    expected = first_fit(a, order)
    assert np.array_equal(colors, expected)
    assert count == expected.max(initial=-1) + 1


def test_partial_with_more_than_64_colors(rng):
    a = rng.random((300, 40)) < 0.5
    colors, count = coloring.partial(*compressed(a), 40)
    assert count > 128
    assert np.array_equal(colors, first_fit(a, range(300)))


def is_proper(graph, colors):
    return not any(graph[v, w] and colors[v] == colors[w] for v, w in np.argwhere(graph))


def has_two_colored_path(graph, colors):
    """A path on four vertices."""
    n = len(graph)
    near = [np.flatnonzero(graph[v]) for v in range(n)]
    for v in range(n):
        for w in near[v]:
            for x in near[w]:
                if x == v or colors[x] != colors[v]:
                    continue
                if any(y not in (v, w) and colors[y] == colors[w] for y in near[x]):
                    return True
    return False


def has_two_colored_cycle(graph, colors):
    for c, d in itertools.combinations(sorted(set(colors)), 2):
        vertices = np.flatnonzero((colors == c) | (colors == d))
        part = graph[np.ix_(vertices, vertices)]
        # A forest has as many edges as vertices less trees.
        parents = list(range(len(vertices)))

        def root(v, parents=parents):
            while parents[v] != v:
                v = parents[v]
            return v

        for v, w in np.argwhere(np.triu(part, 1)):
            if root(v) == root(w):
                return True
            parents[root(v)] = root(w)
    return False


@pytest.mark.parametrize("acyclic", [False, True])
@given(a=matrices(square=True), random=st.randoms())
def test_star_and_acyclic_by_definition(acyclic, a, random):
    a = a | a.T
    order = list(range(len(a)))
    random.shuffle(order)
    colors, count = coloring.symmetric(*compressed(a), np.array(order, np.int32), acyclic)
    graph = a & ~np.eye(len(a), dtype=bool)
    assert np.array_equal(colors >= 0, a.any(axis=1))
    assert count == colors.max(initial=-1) + 1
    assert is_proper(graph, colors)
    assert not (has_two_colored_cycle if acyclic else has_two_colored_path)(graph, colors)


@pytest.mark.parametrize("acyclic", [False, True])
def test_star_and_acyclic_on_larger_graphs(acyclic, rng):
    for n, density in [(60, 0.05), (60, 0.15), (100, 0.03)]:
        a = rng.random((n, n)) < density
        graph = (a | a.T) & ~np.eye(n, dtype=bool)
        order = rng.permutation(n).astype(np.int32)
        colors, _ = coloring.symmetric(*compressed(graph), order, acyclic)
        assert is_proper(graph, colors)
        assert not (has_two_colored_cycle if acyclic else has_two_colored_path)(graph, colors)


def test_dense_rows_cost_their_entries():
    """An arrow of a size for which pairs of leaves would be too many to look at."""
    n = 100_000
    arrow = np.arange(n, dtype=np.int32)
    indptr = np.concatenate([[0, n], n + 2 * arrow[1:]]).astype(np.int32)
    indices = np.empty(n + 2 * (n - 1), np.int32)
    indices[:n] = arrow
    indices[n::2], indices[n + 1 :: 2] = 0, arrow[1:]
    for acyclic in (False, True):
        assert coloring.symmetric(indptr, indices, arrow, acyclic)[1] == 2


# ---- what does not fit is refused

GOOD = compressed(np.ones((2, 2)))


@pytest.mark.parametrize(
    ("indptr", "indices"),
    [
        ([0, 2, 4], [0, 1, 0, 2]),
        ([0, 2, 4], [0, 1, 0, -1]),
        ([0, 3, 2], [0, 1]),
        ([1, 2], [0, 1]),
        ([0, 1], [0, 1]),
        ([], []),
    ],
)
def test_bad_patterns(indptr, indices):
    bad = np.array(indptr, np.int32), np.array(indices, np.int32)
    calls = [
        lambda: coloring.transpose(*bad, 2),
        lambda: coloring.partial(*bad, 2),
        lambda: ordering.order_of("largest_first", *bad, *GOOD),
        lambda: ordering.order_of("largest_first", *GOOD, *bad),
        lambda: coloring.symmetric(*bad, np.arange(2, dtype=np.int32)),
        lambda: compression.alone(*bad, np.zeros(2, np.int32)),
    ]
    for call in calls:
        with pytest.raises(ShapeError):
            call()


@pytest.mark.parametrize("order", [[0], [0, 0], [0, 2], [-1, 0]])
def test_bad_orders(order):
    order = np.array(order, np.int32)
    with pytest.raises(ShapeError, match="permutation"):
        coloring.partial(*GOOD, 2, order)
    with pytest.raises(ShapeError, match="permutation"):
        coloring.symmetric(*GOOD, order)


def test_not_symmetric():
    with pytest.raises(ShapeError, match="not symmetric"):
        coloring.symmetric(*compressed([[0, 1], [0, 0]]), np.arange(2, dtype=np.int32))
