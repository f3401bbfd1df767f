"""Colorings of patterns: valid by brute force, optimal where that is known, plain to keep."""

import functools
import itertools
import json
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

import fastbp as bp
from fastbp.errors import ShapeError
from fastbp.sparse import lattices
from fastbp.sparse.coloring import KINDS, ORDERS, Coloring, color

SYMMETRIC = ("star", "acyclic")


@st.composite
def patterns(draw, square=False):
    m = draw(st.integers(0, 16))
    n = m if square else draw(st.integers(0, 16))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    a = rng.random((m, n)) < draw(st.sampled_from([0.0, 0.05, 0.2, 0.5, 1.0]))
    for line in (a, a.T):
        for value in (True, False):
            for _ in range(draw(st.integers(0, 2))):
                if len(line):
                    line[rng.integers(len(line))] = value
    return a | a.T if square else a


def sums(a, colors):
    """For each entry of a row: the entries of this row in columns of the same color."""
    for i, j in np.argwhere(a):
        yield (i, j), [k for k in np.flatnonzero(a[i]) if colors[k] == colors[j] >= 0]


def recovered(a, c):
    """Which entries can be found, by brute force."""
    found = set()
    if c.columns is not None:
        found |= {(i, j) for (i, j), same in sums(a, c.columns) if same == [j]}
    rows = c.columns if c.kind in SYMMETRIC else c.rows
    if rows is not None:
        found |= {(j, i) for (i, j), same in sums(a.T, rows) if same == [j]}
    while c.kind == "acyclic":
        more = set()
        for (i, j), same in sums(a, c.columns):
            if (i, j) not in found and all(k == j or (i, k) in found for k in same) and same:
                more |= {(i, j), (j, i)}
        if not more:
            break
        found |= more
    return found


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_colorings_are_valid(kind, order, data):
    a = data.draw(patterns(square=kind in SYMMETRIC))
    c = color(a, kind, order)
    assert (c.kind, c.shape) == (kind, a.shape)
    assert c.order == order or order == "auto"
    assert len(recovered(a, c)) == a.sum()
    assert c.is_valid(a)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_validity_is_recovery(kind, data):
    """Colors at random, mostly wrong ones."""
    a = data.draw(patterns(square=kind in SYMMETRIC))
    m, n = a.shape
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    top = data.draw(st.integers(0, 12))
    columns = None if kind == "row" else rng.integers(-1, min(top, n), n, endpoint=False)
    rows = rng.integers(-1, min(top, m), m, endpoint=False)
    c = Coloring(kind, a.shape, columns, rows if kind in ("row", "bidirectional") else None)
    assert c.is_valid(a) == (len(recovered(a, c)) == a.sum())


def tridiagonal(n):
    return sp.diags_array([np.ones(n - 1), np.ones(n), np.ones(n - 1)], offsets=[-1, 0, 1])


def arrow(n):
    a = np.eye(n, dtype=bool)
    a[0] = a[:, 0] = True
    return a


def cycle(n):
    return np.eye(n, dtype=bool) | np.roll(np.eye(n, dtype=bool), 1, 1)


@pytest.mark.parametrize("order", ["natural", "largest_first", "incidence_degree"])
def test_known_numbers(order):
    assert color(tridiagonal(50), "column", order).num_colors == 3
    assert color(tridiagonal(50), "row", order).num_colors == 3
    assert color(tridiagonal(50), "star", order).num_colors == 3
    assert color(tridiagonal(50), "acyclic", order).num_colors == 2


@pytest.mark.parametrize("order", ORDERS)
def test_known_numbers_of_arrows(order):
    a = arrow(40)
    assert color(a, "column", order).num_colors == 40
    assert color(a, "row", order).num_colors == 40
    assert color(a, "star", order).num_colors == 2
    assert color(a, "acyclic", order).num_colors == 2
    both = color(a, "bidirectional", order)
    assert both.num_colors == 3
    assert min(both.num_column_colors, both.num_row_colors) == 1
    assert (both.columns == -1).any() or (both.rows == -1).any()


@pytest.mark.parametrize("kind", KINDS)
def test_known_numbers_of_simple_patterns(kind):
    assert color(np.eye(7), kind).num_colors == 1
    assert color(np.ones((7, 7)), kind).num_colors == 7
    assert color(np.zeros((7, 7)), kind).num_colors == 0
    assert color(np.zeros((0, 0)), kind).num_colors == 0
    if kind not in SYMMETRIC:
        assert color(np.ones((3, 0)), kind).num_colors == 0
        assert color(np.ones((3, 1)), kind).num_colors == (3 if kind == "row" else 1)
        assert color(np.ones((1, 3)), kind).num_colors == (3 if kind == "column" else 1)


def line(n, offsets=(-1, 0, 1)):
    return sp.diags_array([np.ones(n - abs(k)) for k in offsets], offsets=offsets)


def axes(*sizes, offsets=(-1, 0, 1)):
    """Each point of a grid beside its neighbours along the axes."""
    lines = [
        [line(n, offsets) if i == k else sp.eye_array(n) for i, n in enumerate(sizes)]
        for k in range(len(sizes))
    ]
    return sum(functools.reduce(sp.kron, parts) for parts in lines)


def two_fields(a, mixed):
    """Two unknowns at each point, all of one after all of the other or in turns."""
    local = sp.eye_array(a.shape[0])
    places = np.arange(2 * a.shape[0])
    if mixed:
        places = places.reshape(2, -1).T.ravel()
    return sp.block_array([[a, local], [local, a]], format="csr")[places][:, places]


GRIDS = {
    "5 points": (axes(40, 31), 5, 5),
    "5 points, a small grid": (axes(6, 5), 5, 5),
    "7 points": (axes(12, 13, 14), 7, 7),
    "9 points of order 4": (axes(30, 31, offsets=(-2, -1, 0, 1, 2)), 10, 10),
    "upwind": (axes(30, 31, offsets=(-1, 0)), 3, None),
    "biharmonic": (axes(30, 31) @ axes(30, 31), 13, 13),
    "two unknowns": (two_fields(axes(20, 21), False), 6, 6),
    "two unknowns in turns": (two_fields(axes(20, 21), True), 6, 6),
    "rows of a part": (axes(40, 31).tocsr()[:500], 5, None),
    "4 axes": (axes(7, 6, 6, 7), 9, 9),
}


@pytest.mark.parametrize("name", GRIDS)
def test_grids_need_about_as_many_colors_as_a_stencil_has_points(name):
    a, columns, star = GRIDS[name]
    for kind, most in (("column", columns), ("row", columns), ("star", star)):
        if most is None or (kind == "row" and "rows" in name):
            continue
        c = color(a, kind, "auto")
        assert c.num_colors <= most, kind
        assert c.is_valid(a)
        assert color(a, kind, "lattice").num_colors <= most


@given(data=st.data())
def test_lattices_of_any_stencil(data):
    """Few points at random, in 1 to 3 axes: valid, never more colors than by degrees alone."""
    sizes = data.draw(st.lists(st.integers(2, 9), min_size=1, max_size=3))
    points = data.draw(
        st.lists(st.tuples(*[st.integers(-2, 2) for _ in sizes]), min_size=1, max_size=6)
    )
    where = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes))
    a = np.zeros((where.shape[1],) * 2, bool)
    for point in points:
        there = where + np.array(point)[:, None]
        inside = np.all((there >= 0) & (there < np.array(sizes)[:, None]), axis=0)
        a[inside, np.ravel_multi_index(there[:, inside], sizes)] = True
    for kind in ("column", "row", "bidirectional"):
        c = color(a, kind, "auto")
        assert c.is_valid(a)
        assert c.num_colors <= color(a, kind, "largest_first").num_colors
        assert color(a, kind, "lattice").is_valid(a)
    a |= a.T
    for kind in SYMMETRIC:
        c = color(a, kind, "auto")
        assert c.is_valid(a)
        assert c.num_colors <= color(a, kind, "largest_first").num_colors
        assert color(a, kind, "lattice").is_valid(a)


def test_what_is_prepared_has_few_sweeps():
    """A coloring that is used once is not worth the search."""

    def f(u):
        w = np.pad(u.reshape(12, 13), 1)
        return (w[2:, 1:-1] + w[:-2, 1:-1] + w[1:-1, 2:] * w[1:-1, :-2] - w[1:-1, 1:-1]).ravel()

    u = np.arange(156.0)
    prepared = bp.sparse.prepare(f, u)
    assert prepared.num_sweeps == 5 < color(prepared.pattern).num_colors
    assert bp.sparse.prepare(f, u, mode="reverse").num_sweeps == 5
    assert bp.sparse.prepare(f, u, coloring="bidirectional").num_sweeps <= 5
    np.testing.assert_array_equal(prepared(u).toarray(), bp.jacobian(f)(u))


def test_patterns_of_no_grid_have_no_lattice():
    a = sp.random_array((300, 300), density=0.02, rng=np.random.default_rng(0)).tocsr()
    assert lattices.visits(a.indptr, a.indices, 300, 100) is None
    assert np.array_equal(color(a, order="lattice").columns, color(a, order="natural").columns)
    assert color(a, order="auto").order == "largest_first"


def test_complete_bipartite_graphs():
    a = np.zeros((9, 9), bool)
    a[:4, 4:] = True
    # One side has colors of its own, the other one a single color.
    for kind in SYMMETRIC:
        assert color(a | a.T, kind).num_colors in (5, 6)
        assert color(a | a.T, kind, "smallest_last").num_colors in (5, 6)


def test_no_diagonal():
    a = np.roll(np.eye(6, dtype=bool), 1, 1)
    a |= a.T
    for kind in SYMMETRIC:
        assert color(a, kind).is_valid(a)
        assert color(a | np.eye(6, dtype=bool), kind).is_valid(a)


def test_two_dense_rows_and_two_dense_columns(rng):
    a = np.eye(60, dtype=bool)
    a[rng.permutation(60)[:2]] = True
    a[:, rng.permutation(60)[:2]] = True
    assert color(a, "bidirectional").num_colors <= 5
    assert color(a, "column").num_colors == 60


def test_order_random_is_seeded(rng):
    a = rng.random((50, 50)) < 0.1
    first, second, third = (color(a, order="random", seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.columns, second.columns)
    assert not np.array_equal(first.columns, third.columns)


@pytest.mark.parametrize("n", [9, 10, 11])
def test_periodic_stencil(n):
    a = cycle(n) | cycle(n).T
    least = 3 if n % 3 == 0 else 4
    assert least <= color(a).num_colors <= 5
    assert color(a, order="natural").num_colors == (5 if n % 3 == 2 else least)


# ---- patterns of all kinds


@pytest.mark.parametrize("kind", ["column", "row", "bidirectional"])
def test_all_kinds_of_matrices_are_taken(kind, rng):
    a = rng.random((20, 15)) < 0.2
    expected = color(a, kind)
    forms = [sp.csr_array, sp.csc_array, sp.coo_array, sp.lil_array, sp.dok_array, sp.bsr_array]
    forms += [sp.csr_matrix, sp.coo_matrix, sp.dia_array, np.asarray, np.asfortranarray]
    for form in forms:
        for dtype in (float, bool, np.int8):
            found = color(form(a.astype(dtype)), kind)
            assert found.to_dict() == expected.to_dict(), (form, dtype)
    assert color(a.astype(int).tolist(), kind).to_dict() == expected.to_dict()


def test_stored_zeros_are_part_of_the_pattern():
    data, indices, indptr = np.zeros(3), np.array([2, 0, 2]), np.array([0, 2, 3])
    a = sp.csr_array((data, indices, indptr), shape=(2, 3))
    assert color(a).columns.tolist() in ([0, -1, 1], [1, -1, 0])
    assert color(a).num_colors == 2
    assert not a.has_sorted_indices  # the caller's matrix stays as it was


def test_duplicates_and_unsorted_rows():
    a = sp.csr_array((np.ones(6), np.array([1, 0, 1, 1, 0, 0]), np.array([0, 3, 6])), shape=(2, 2))
    for kind in KINDS:
        assert color(a, kind).num_colors == 2
    assert a.nnz == 6
    zero_sums = sp.coo_array((np.array([1.0, -1.0]), ([0, 0], [1, 1])), shape=(2, 2))
    assert color(zero_sums).num_colors == 1


def test_int64_indices():
    a = sp.csr_array(arrow(5))
    a.indices, a.indptr = a.indices.astype(np.int64), a.indptr.astype(np.int64)
    assert color(a).num_colors == 5


# ---- the object


@pytest.mark.parametrize("kind", KINDS)
def test_to_keep(kind):
    a = arrow(6)
    c = color(a, kind)
    copies = [
        Coloring.from_dict(json.loads(json.dumps(c.to_dict()))),
        pickle.loads(pickle.dumps(c)),
    ]
    for other in copies:
        assert repr(other) == repr(c)
        assert other.to_dict() == c.to_dict()
        assert other.is_valid(a)
    assert f"{kind}, 6 x 6, {c.num_colors} colors" in repr(c)


def test_colors_cannot_be_written():
    c = color(np.eye(3))
    with pytest.raises(ValueError, match="read-only"):
        c.columns[0] = 1


def test_given_colors():
    given_colors = np.array([0, 1, 0])
    c = Coloring("column", (2, 3), given_colors)
    given_colors[:] = 2
    assert c.columns.tolist() == [0, 1, 0]
    assert c.order == "given"
    assert c.is_valid([[1, 1, 0], [0, 1, 1]])
    assert not c.is_valid([[1, 1, 1], [0, 1, 1]])
    assert not c.is_valid(np.ones((3, 3)))
    assert not Coloring("column", (1, 1), [-1]).is_valid([[1]])


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (("columns", (1, 1), [0]), ValueError, "kind must be one of"),
        (("column", (1, 2), [0]), ShapeError, "2 colors"),
        (("column", (1, 2), [[0, 1]]), ShapeError, "2 colors"),
        (("column", (1, 2), None), ValueError, "needs colors of columns"),
        (("column", (1, 2), [0, 1], [0]), ValueError, "has no colors of rows"),
        (("bidirectional", (1, 2), [0, 1]), ValueError, "needs colors of rows"),
        (("row", (1, 2), [0, 1], [0]), ValueError, "has no colors of columns"),
        (("column", (1, 2), [0.0, 1.0]), TypeError, "integers"),
        (("column", (1, 2), [0, -2]), ValueError, "from -1"),
        (("column", (1, 2), [0, 2**40]), ValueError, "from -1"),
        (("star", (1, 2), [0, 1]), ShapeError, "square"),
    ],
)
def test_bad_colors(arguments, error, text):
    with pytest.raises(error, match=text):
        Coloring(*arguments)


def test_bad_input():
    with pytest.raises(ValueError, match="kind must be one of column, row, "):
        color(np.eye(2), "rows")
    with pytest.raises(ValueError, match="order must be one of"):
        color(np.eye(2), order="first")
    for kind in SYMMETRIC:
        with pytest.raises(ShapeError, match="symmetric"):
            color(np.triu(np.ones((3, 3))), kind)
        with pytest.raises(ShapeError, match="symmetric"):
            color(np.ones((2, 3)), kind)
    with pytest.raises(ShapeError, match="matrix"):
        color(np.ones(3))
    with pytest.raises(ShapeError, match="rectangular"):
        color([[1, 0], [1]])


def test_large_patterns_take_linear_time():
    """Sizes at which anything quadratic would not end."""
    n = 200_000
    i = np.arange(n)
    stencil = sp.csr_array(
        (np.ones(3 * n, bool), (np.tile(i, 3), np.concatenate([i, (i + 1) % n, (i - 1) % n])))
    )
    for kind, order in itertools.product(KINDS, ORDERS):
        assert color(stencil, kind, order).num_colors <= 6
    dense = sp.csr_array(
        (np.ones(3 * n, bool), (np.concatenate([i, 0 * i, i]), np.concatenate([i, i, 0 * i])))
    )
    for kind in ("star", "acyclic", "bidirectional"):
        assert color(dense, kind).num_colors <= 3


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["star", "acyclic"])
def test_no_order_trusts_the_symmetry(kind, order, rng):
    for n in range(2, 30):
        a = np.triu(rng.random((n, n)) < 0.7, 1)
        a[0, 1] = True
        with pytest.raises(ShapeError, match=rf"{kind} coloring needs a symmetric.*\({n}, {n}\)"):
            color(a, kind, order)


@pytest.mark.parametrize("form", [sp.csr_array, sp.csc_array])
@pytest.mark.parametrize(
    ("part", "place", "value"),
    [
        ("indices", 3, 99),
        ("indices", 3, -1),
        ("indptr", 3, 100),
        ("indptr", 0, 1),
        ("indptr", 6, 100),
        ("indptr", 2, -1),
    ],
)
def test_index_arrays_that_were_written_into(form, part, place, value):
    """SciPy's conversions would follow them out of the memory."""
    a = form(np.eye(6))
    getattr(a, part)[place] = value
    with pytest.raises(ShapeError, match=r"color: .* do not describe a matrix of shape \(6, 6\)"):
        color(a)


@pytest.mark.parametrize("shape", [(2,), (2, -2), (1, 2, 3)])
def test_bad_shapes_of_colorings(shape):
    with pytest.raises(ShapeError, match="shape must be two sizes"):
        Coloring("column", shape, columns=[0, 0])


def test_colors_fit_their_type():
    with pytest.raises(ValueError, match="colors of rows are from -1 to 2147483646"):
        Coloring("row", (1, 2**40), rows=[2**33])
