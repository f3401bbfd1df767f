"""Tables of index sets, against Python's sets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbp._core.sparsity import Sets

SIZE = 300


def members(sets, ids):
    """Return the sets with these numbers, as Python's."""
    indptr, indices = sets.to_csr(ids)
    assert all(np.all(np.diff(part) > 0) for part in np.split(indices, indptr[1:-1]))
    return [set(part.tolist()) for part in np.split(indices, indptr[1:-1])]


def put(sets, group):
    """Return the number of a set."""
    return sets.rows(np.array([sorted(group)], np.int32) + np.int32(1)).item()


def intervals(n):
    """Every second number, so that n are n intervals."""
    return set(range(0, 2 * n, 2))


runs = st.tuples(st.integers(0, SIZE - 1), st.integers(1, 40), st.integers(1, 7))
groups = st.lists(runs, max_size=4).map(
    lambda parts: {i for start, n, step in parts for i in range(start, SIZE, step)[:n]}
)


@given(st.lists(st.tuples(groups, groups), min_size=1, max_size=8))
def test_union(pairs):
    sets = Sets(SIZE)
    a, b = (np.array([put(sets, pair[k]) for pair in pairs], np.int32) for k in (0, 1))
    found = sets.union(a, b)
    assert members(sets, a) == [x for x, _ in pairs]
    assert members(sets, b) == [y for _, y in pairs]
    assert members(sets, found) == [x | y for x, y in pairs]
    np.testing.assert_array_equal(sets.union(b, a), found)
    for x in (a, b, found):
        assert members(sets, sets.union(found, x)) == members(sets, found)


@given(st.lists(groups, min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_rows_and_running_unions(parts, random):
    sets = Sets(SIZE)
    ids = np.array([put(sets, part) for part in parts], np.int32)
    running = sets.prefix(ids)
    expected = [set().union(*parts[: k + 1]) for k in range(len(parts))]
    assert members(sets, running) == expected
    mixed = np.array(random.sample([*ids, *running], 2 * len(parts)), np.int32)
    assert members(sets, sets.rows(mixed[None])) == [expected[-1]]
    assert members(sets, sets.rows(np.stack([ids, ids, running]))) == [expected[-1]] * 3


@given(st.lists(groups, min_size=1, max_size=12), st.integers(0, 10**6))
def test_gather_scatter_and_masked(parts, seed):
    rng = np.random.default_rng(seed)
    sets = Sets(SIZE)
    ids = np.array([put(sets, part) for part in parts], np.int32)
    chosen = [rng.integers(0, len(parts), rng.integers(0, 5)) for _ in range(6)]
    indptr = np.cumsum([0, *map(len, chosen)])
    found = sets.gather(ids, indptr, np.concatenate(chosen))
    assert members(sets, found) == [set().union(*(parts[i] for i in own)) for own in chosen]

    targets = rng.integers(0, 4, len(parts))
    found = sets.scatter(ids, targets, 4)
    expected = [
        set().union(*(p for p, t in zip(parts, targets, strict=True) if t == i)) for i in range(4)
    ]
    assert members(sets, found) == expected

    masks = rng.random((2, 3, len(parts))) < rng.choice([0.0, 0.5, 1.0], (2, 3, 1))
    rows = np.stack([ids, ids[::-1]])[:, None].repeat(2, axis=1)
    found = sets.masked(rows, masks)
    assert found.shape == (2, 2, 3)
    for b, i, j in np.ndindex(2, 2, 3):
        own = parts if b == 0 else parts[::-1]
        expected = set().union(*(p for p, there in zip(own, masks[b, j], strict=True) if there))
        assert members(sets, found[b, i, j : j + 1]) == [expected]


@given(st.permutations(range(SIZE)), st.integers(1, 20))
def test_one_by_one(order, together):
    """Long chains of unions, which are put off, read at every length."""
    sets = Sets(SIZE)
    total, terms = (
        np.zeros(1, np.int32),
        [order[k : k + together] for k in range(0, SIZE, together)],
    )
    kept = []
    for term in terms:
        total = sets.union(total, np.array([put(sets, set(term))], np.int32))
        kept.append(total)
    expected = [set(order[: together * (k + 1)]) for k in range(len(terms))]
    assert members(sets, np.concatenate(kept)) == expected
    assert members(sets, sets.union(kept[0], kept[-1])) == [set(range(SIZE))]


def test_equal_sets_have_one_number():
    sets = Sets(1000)
    ids = np.arange(1, 1001, dtype=np.int32)
    a = sets.union(sets.union(ids, np.roll(ids, 1)), np.roll(ids, -1))
    count = len(sets)
    b = sets.union(sets.union(np.roll(ids, -1), ids), np.roll(ids, 1))
    np.testing.assert_array_equal(a, b)
    assert len(sets) <= count + 1000  # those of the first union, at most
    assert sets.rows(a[None]) == sets.rows(ids[None])


def test_many_terms_cost_little():
    """Else the table would take 10^5 sets of up to 10^5 numbers."""
    n = 100_000
    sets = Sets(n, limit=1 << 26)
    order = np.random.default_rng(0).permutation(n).astype(np.int32) + np.int32(1)
    running = sets.prefix(order)
    np.testing.assert_array_equal(sets.indices(int(running[-1])), np.arange(n))
    np.testing.assert_array_equal(sets.indices(int(running[5])), np.sort(order[:6] - 1))


def test_empty_arrays():
    sets = Sets(0)
    nothing = np.zeros((0, 3), np.int32)
    assert sets.union(nothing, nothing).shape == (0, 3)
    assert sets.rows(nothing).shape == (0,)
    assert sets.rows(nothing.T).tolist() == [0, 0, 0]
    assert sets.prefix(nothing.T).shape == (3, 0)
    assert sets.gather(nothing[:, 0], np.zeros(3, int), np.zeros(0, int)).tolist() == [0, 0]
    assert sets.masked(np.zeros((1, 2, 0), np.int32), np.zeros((1, 3, 0), bool)).tolist() == [
        [[0, 0, 0], [0, 0, 0]]
    ]
    indptr, indices = sets.to_csr(np.zeros(2, np.int32))
    assert indptr.tolist() == [0, 0, 0]
    assert indices.dtype == indptr.dtype == np.int32
    zero = np.zeros((), np.int32)
    assert sets.union(zero, zero).shape == ()


def test_limits():
    n = 10_000
    odd = np.arange(1, n, 2, dtype=np.int32)
    sets = Sets(n, limit=10_000)
    with pytest.raises(MemoryError, match="10000 columns need more than 10000 bytes"):
        sets.rows(odd[None])
    sets = Sets(n)
    whole = sets.rows(np.arange(1, n + 1, dtype=np.int32)[None])
    rows = np.broadcast_to(whole, (1 << 20,))
    with pytest.raises(MemoryError, match="1048576 rows and 10000 columns with 10485760000"):
        sets.to_csr(rows)
    sets = Sets(n, limit=200_000)
    with pytest.raises(MemoryError, match="200000 bytes"):
        [sets.rows(odd[None, ::k]) for k in range(1, n)]


def test_bad_arguments():
    sets = Sets(3)
    ids = np.array([0, 1, 3], np.int32)
    for bad in (np.array([4], np.int32), np.array([-1], np.int32)):
        for function in (sets.rows, sets.prefix, sets.to_csr, lambda x: sets.union(x, x)):
            with pytest.raises(IndexError, match="there is no set"):
                function(bad)
    with pytest.raises(TypeError, match="int32"):
        sets.rows(ids.astype(np.int64))
    with pytest.raises(TypeError, match="int32"):
        sets.rows([1])
    with pytest.raises(ValueError, match="differ"):
        sets.union(ids, ids[:2])
    for function in (sets.rows, sets.prefix):
        with pytest.raises(ValueError, match="0-d"):
            function(ids[0, ...])
    with pytest.raises(IndexError, match="indices do not fit"):
        sets.gather(ids, [0, 1], [3])
    with pytest.raises(IndexError, match="indices do not fit"):
        sets.gather(ids, [0, 1], [-1])
    for indptr in ([0, 2], [1, 0], [-1, 1]):
        with pytest.raises(IndexError, match="indptr"):
            sets.gather(ids, indptr, [0])
    with pytest.raises(ValueError, match="one-dimensional"):
        sets.gather(ids, [], [0])
    with pytest.raises(IndexError, match="targets"):
        sets.scatter(ids, [0, 1, 2], 2)
    with pytest.raises(ValueError, match="not fit"):
        sets.scatter(ids, [0, 1], 2)
    with pytest.raises(ValueError, match="masked"):
        sets.masked(ids.reshape(1, 1, 3), np.ones((1, 1, 2), bool))
    for size in (-1, 2**31 - 1):
        with pytest.raises(ValueError, match="not supported"):
            Sets(size)
