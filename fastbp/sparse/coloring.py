"""Colorings of sparsity patterns: which columns or rows one sweep can find together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp import plotting
from fastbp._core import coloring as _coloring
from fastbp._core import compression, ordering
from fastbp._core.operands import as_array
from fastbp.errors import ShapeError
from fastbp.sparse import lattices
from fastbp.sparse.pattern import Pattern

__all__ = ["KINDS", "ORDERS", "Coloring", "color", "colored"]

KINDS = ("column", "row", "star", "acyclic", "bidirectional")
ORDERS = (
    "auto",
    "natural",
    "largest_first",
    "smallest_last",
    "incidence_degree",
    "dynamic_largest_first",
    "lattice",
    "random",
)
SYMMETRIC = ("star", "acyclic")


class Coloring:
    """Colors of columns, of rows, or of both: those of one color share a sweep.

    Parameters
    ----------
    kind : {"column", "row", "star", "acyclic", "bidirectional"}
    shape : (int, int)
        Of the pattern.
    columns, rows : array_like of int, optional
        The colors, from 0; -1 where none is needed. Kinds "column", "star" and "acyclic" have
        colors of columns, "row" of rows, "bidirectional" of both.
    order : str, optional
        How they were found.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> tridiagonal = abs(np.subtract.outer(range(6), range(6))) <= 1
    >>> c = bp.sparse.color(tridiagonal)
    >>> c.num_colors, c.columns
    (3, array([1, 2, 0, 1, 2, 0], dtype=int32))
    >>> c.is_valid(tridiagonal)
    True
    """

    kind: str
    order: str
    shape: tuple[int, int]
    columns: np.ndarray | None
    rows: np.ndarray | None

    def __init__(
        self,
        kind: str,
        shape: tuple[int, int],
        columns: Any = None,
        rows: Any = None,
        order: str = "given",
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"Coloring: kind must be one of {', '.join(KINDS)}, not {kind!r}")
        sizes = tuple(int(size) for size in shape)
        if len(sizes) != 2 or min(sizes) < 0:
            raise ShapeError(f"Coloring: shape must be two sizes, not {shape!r}")
        m, n = sizes
        if kind in SYMMETRIC and m != n:
            raise ShapeError(f"Coloring: a {kind} coloring is of a square pattern, not {m} x {n}")
        self.kind, self.shape, self.order = kind, (m, n), order
        most = min(m + n, np.iinfo(np.int32).max)
        self.columns = _colors("columns", columns, n, most, kind != "row")
        self.rows = _colors("rows", rows, m, most, kind in ("row", "bidirectional"))

    @property
    def num_column_colors(self) -> int:
        """Number of forward sweeps."""
        return _count(self.columns)

    @property
    def num_row_colors(self) -> int:
        """Number of reverse sweeps."""
        return _count(self.rows)

    @property
    def num_colors(self) -> int:
        """Number of sweeps, in both directions."""
        return self.num_column_colors + self.num_row_colors

    def __repr__(self) -> str:
        m, n = self.shape
        split = ""
        if self.kind == "bidirectional":
            split = f" ({self.num_column_colors} of columns, {self.num_row_colors} of rows)"
        return (
            f"<Coloring: {self.kind}, {m} x {n}, {self.num_colors} colors{split}, "
            f"order {self.order}>"
        )

    def is_valid(self, pattern: Any) -> bool:
        """Say whether every stored element of `pattern` can be recovered with these colors.

        Parameters
        ----------
        pattern : scipy.sparse array or matrix, or dense array

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> pattern = bp.sparse.sparsity(lambda x: x[1:] * x[:-1], np.ones(5))
        >>> coloring = bp.sparse.color(pattern)
        >>> coloring.is_valid(pattern), coloring.num_colors
        (True, 2)
        """
        structure = Pattern.of(pattern, "is_valid")
        if structure.shape != self.shape:
            return False
        if self.kind == "acyclic":
            return steps_of(self, structure) is not None
        column, row = recoverable(self, structure)
        return bool(np.all(column | row))

    def plot(self, pattern: Any, ax: Any = None) -> Any:
        """Draw a pattern, each element in the color of the sweep that finds it.

        The strip above has the colors of columns, that on the left those of rows. Elements that
        no single sweep finds, as those of an acyclic coloring that are found by substitution,
        are grey.

        Parameters
        ----------
        pattern : scipy.sparse array or matrix, or dense array, of shape `shape`
        ax : matplotlib.axes.Axes, optional
            A new figure's if not given.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ShapeError
            If the pattern has another shape, or more elements than a picture can show.
        ImportError
            If matplotlib is not installed (``pip install ".[plot]"``).

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> pattern = bp.sparse.sparsity(lambda x: x[1:] * x[:-1], np.ones(6))
        >>> ax = bp.sparse.color(pattern).plot(pattern)
        >>> ax.get_title()
        '5 x 6, 10 nonzeros: 2 sweeps (column coloring)'
        """
        s = Pattern.of(pattern, "Coloring.plot")
        if s.shape != self.shape:
            raise ShapeError(f"Coloring.plot: a coloring of {self.shape}, a pattern of {s.shape}")
        column, row = recoverable(self, s)
        sweeps = np.full(s.nnz, -1)
        rows = s.row_of_entries()
        row_colors = self.columns if self.kind == "star" else self.rows
        if row_colors is not None:
            first = 0 if self.kind == "star" else self.num_column_colors
            sweeps[row] = first + row_colors[rows[row]]
        if self.columns is not None:
            sweeps[column] = self.columns[s.indices[column]]
        plotting.check_size("Coloring.plot", s.shape[:1], s.shape[1:])
        ax = plotting.lone_axes("Coloring.plot", ax)
        plotting.colored(
            ax, s.shape, (rows, s.indices), sweeps, self.columns,
            None if self.rows is None else np.where(
                self.rows >= 0, self.rows + self.num_column_colors, -1
            ),
        )  # fmt: skip
        m, n = s.shape
        ax.set_title(
            f"{m} x {n}, {s.nnz} nonzeros: {self.num_colors} "
            f"{'sweep' if self.num_colors == 1 else 'sweeps'} ({self.kind} coloring)", fontsize=9,
        )  # fmt: skip
        return ax

    def to_dict(self) -> dict[str, Any]:
        """Return the coloring as a dictionary of numbers, strings and lists (JSON).

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> pattern = bp.sparse.sparsity(lambda x: x[1:] * x[:-1], np.ones(5))
        >>> coloring = bp.sparse.color(pattern)
        >>> sorted(coloring.to_dict())
        ['columns', 'kind', 'order', 'rows', 'shape']
        """
        return {
            "kind": self.kind,
            "order": self.order,
            "shape": list(self.shape),
            "columns": None if self.columns is None else self.columns.tolist(),
            "rows": None if self.rows is None else self.rows.tolist(),
        }

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> Coloring:
        """Return the coloring that `to_dict` was made from.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> pattern = bp.sparse.sparsity(lambda x: x[1:] * x[:-1], np.ones(5))
        >>> coloring = bp.sparse.color(pattern)
        >>> bp.sparse.Coloring.from_dict(coloring.to_dict()).is_valid(pattern)
        True
        """
        return cls(d["kind"], d["shape"], d["columns"], d["rows"], d["order"])

    def __reduce__(self) -> Any:
        return Coloring, (self.kind, self.shape, self.columns, self.rows, self.order)


def _colors(what: str, colors: Any, size: int, most: int, needed: bool) -> np.ndarray | None:
    if (colors is not None) != needed:
        raise ValueError(f"Coloring: this kind {'needs' if needed else 'has no'} colors of {what}")
    if colors is None:
        return None
    array = as_array(colors, f"Coloring: {what}")
    if array.shape != (size,):
        raise ShapeError(f"Coloring: {what} must be {size} colors, not of shape {array.shape}")
    if size and array.dtype.kind not in "iu":
        raise TypeError(f"Coloring: {what} must be integers, not {array.dtype}")
    if size and not (-1 <= array.min() and array.max() < most):
        raise ValueError(f"Coloring: colors of {what} are from -1 to {most - 1}")
    array = array.astype(np.int32)
    array.setflags(write=False)
    return array


def _count(colors: np.ndarray | None) -> int:
    return 0 if colors is None or not colors.size else int(colors.max()) + 1


# ---- what can be recovered ---------------------------------------------------------------------


def recoverable(coloring: Coloring, s: Pattern) -> tuple[np.ndarray, np.ndarray]:
    """Say which elements are alone in a sum of a forward sweep, and which in one of a reverse.

    For a symmetric matrix the reverse sweeps are the forward ones, read as rows.
    """
    column = row = np.zeros(s.nnz, bool)
    if coloring.columns is not None:
        column = compression.alone(s.indptr, s.indices, coloring.columns)
    row_colors = coloring.columns if coloring.kind == "star" else coloring.rows
    if row_colors is not None:
        indptr, indices, entries = s.transposed()
        row = np.empty(s.nnz, bool)
        row[entries] = compression.alone(indptr, indices, row_colors)
    return column, row


def steps_of(coloring: Coloring, s: Pattern) -> np.ndarray | None:
    """Return the steps of recovery by substitution; None if there is no way."""
    assert coloring.columns is not None
    numbers, _ = _coloring.edges(s.indptr, s.indices)
    return (
        None
        if numbers is None
        else compression.peel(s.indptr, s.indices, numbers, coloring.columns)
    )


# ---- coloring ----------------------------------------------------------------------------------


def color(
    pattern: Any, kind: str = "column", order: str = "largest_first", seed: int = 0
) -> Coloring:
    """Color a sparsity pattern by a greedy algorithm.

    Parameters
    ----------
    pattern : scipy.sparse array or matrix, or dense array, shape (m, n)
        Only the structure counts: stored zeros are part of it.
    kind : {"column", "row", "star", "acyclic", "bidirectional"}
        * "column": columns of one color have no row in common; for forward sweeps.
        * "row": the same for rows; for reverse sweeps.
        * "star": for symmetric matrices; one of an element and its mirror image can be read off.
        * "acyclic": for symmetric matrices; fewer colors, elements are found by substitution.
        * "bidirectional": each element is found from a column or from a row [3]_; few colors
          even where some rows or some columns are dense.
    order : str
        In which order they are visited: "natural", "largest_first", "smallest_last",
        "incidence_degree", "dynamic_largest_first", "lattice" or "random". "lattice" follows a
        linear coloring of a grid [4]_, with about as many colors as a stencil has points; where
        the pattern is of no grid it is "natural". "auto", which `prepare` takes, is
        "largest_first", then "lattice" if no line has as many elements as there are colors, and
        the better of the two.
        "smallest_last", "incidence_degree" and "dynamic_largest_first" take time of the order of
        the sum of the squared lengths of the rows.
    seed : int
        For order "random".

    Returns
    -------
    Coloring

    Raises
    ------
    ShapeError
        If a pattern for "star" or "acyclic" is not symmetric.

    References
    ----------
    .. [1] A. Gebremedhin, F. Manne, A. Pothen, "What color is your Jacobian? Graph coloring for
       computing derivatives", 2005.
    .. [2] A. Gebremedhin, A. Tarafdar, F. Manne, A. Pothen, "New acyclic and star coloring
       algorithms with application to computing Hessians", 2007.
    .. [3] T. Coleman, A. Verma, "The efficient computation of sparse Jacobian matrices using
       automatic differentiation", 1998 (colorings of rows and columns).
    .. [4] D. Goldfarb, P. Toint, "Optimal estimation of Jacobian and Hessian matrices that arise
       in finite difference calculations", 1984.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> arrow = np.eye(100, dtype=bool)
    >>> arrow[0] = arrow[:, 0] = True
    >>> [bp.sparse.color(arrow, kind).num_colors for kind in ("column", "star", "bidirectional")]
    [100, 2, 3]
    """
    return colored("color", Pattern.of(pattern), kind, order, seed)


def colored(name: str, s: Pattern, kind: str, order: str, seed: int = 0) -> Coloring:
    """Do the same for a `Pattern`; errors begin with `name`."""
    if kind not in KINDS:
        raise ValueError(f"{name}: coloring kind must be one of {', '.join(KINDS)}, not {kind!r}")
    if order not in ORDERS:
        raise ValueError(f"{name}: order must be one of {', '.join(ORDERS)}, not {order!r}")
    if kind == "bidirectional":
        return _bidirectional(s, order, seed)
    if kind in SYMMETRIC:
        colors, order = _symmetric(name, s, kind, order, seed)
        return Coloring(kind, s.shape, columns=colors, order=order)
    rows = (s.indptr, s.indices, s.shape[1])
    columns = (*s.transposed()[:2], s.shape[0])
    if kind == "column":
        colors, order = _first_fit(columns, rows, order, seed)
        return Coloring(kind, s.shape, columns=colors, order=order)
    colors, order = _first_fit(rows, columns, order, seed)
    return Coloring(kind, s.shape, rows=colors, order=order)


Rows = tuple[np.ndarray, np.ndarray, int]  # indptr, indices, width
Greedy = Callable[[np.ndarray], tuple[np.ndarray, int]]  # visits: colors, their number


def _in_order(
    greedy: Greedy, order: str, seed: int, sets: Rows, *neighbours: np.ndarray
) -> tuple[np.ndarray, str]:
    """Color what the `sets` are of; return the colors, and the order that "auto" found best.

    Members of one set differ in color. Where there are as many colors as the largest has members,
    no other order is tried.
    """
    count = sets[2]
    longest = int(np.diff(sets[0]).max(initial=0))
    visits: np.ndarray | None
    if order in ("natural", "lattice"):
        visits = None if order == "natural" else lattices.visits(*sets, below=4 * longest)
        if visits is None:
            visits = np.arange(count, dtype=np.int32)
    elif order == "random":
        visits = np.random.default_rng(seed).permutation(count).astype(np.int32)
    else:
        visits = ordering.order_of("largest_first" if order == "auto" else order, *neighbours)
    colors, needed = greedy(visits)
    if order != "auto":
        return colors, order
    if needed > longest:
        visits = lattices.visits(*sets, below=needed)
        if visits is not None:
            others, fewer = greedy(visits)
            if fewer < needed:
                return others, "lattice"
    return colors, "largest_first"


def _first_fit(rows: Rows, columns: Rows, order: str, seed: int) -> tuple[np.ndarray, str]:
    """Color rows; `columns` is the transpose."""
    return _in_order(
        lambda visits: _coloring.partial(*rows, visits),
        order, seed, columns, *rows[:2], *columns[:2],
    )  # fmt: skip


def _chosen(rows: Rows, chosen: np.ndarray) -> tuple[Rows, Rows]:
    """Empty all rows but the chosen ones; return that and its transpose."""
    indptr, indices, width = rows
    lengths = np.diff(indptr)
    left = np.zeros(len(indptr), np.int32)
    np.cumsum(np.where(chosen, lengths, 0), out=left[1:])
    result = (left, indices[np.repeat(chosen, lengths)], width)
    back = _coloring.transpose(*result)
    return result, (back[0], back[1], len(indptr) - 1)


def _symmetric(name: str, s: Pattern, kind: str, order: str, seed: int) -> tuple[np.ndarray, str]:
    error = ShapeError(
        f"{name}: the {kind} coloring needs a symmetric pattern; this one, of {s.shape}, is not"
    )
    if s.shape[0] != s.shape[1]:
        raise error
    rows = (s.indptr, s.indices, s.shape[0])
    try:
        return _in_order(
            lambda visits: _coloring.symmetric(*rows[:2], visits, kind == "acyclic"),
            order, seed, rows, *rows[:2],
        )  # fmt: skip
    except ShapeError:
        raise error from None


def _bidirectional(s: Pattern, order: str, seed: int) -> Coloring:
    """Take the best of several cuts.

    In a cut, rows longer than a limit are found by row colors, and all others by column colors; or
    the same with rows and columns exchanged. So a column color need not look at long rows.
    """
    m, n = s.shape
    rows = (s.indptr, s.indices, n)
    columns = (*s.transposed()[:2], m)
    cuts = [
        (*cut, exchanged) for exchanged, lines in enumerate((rows, columns)) for cut in _cuts(lines)
    ]
    best: Coloring | None = None
    for bound, _, long, exchanged in sorted(cuts, key=lambda cut: cut[:2]):
        if best is not None and bound >= best.num_colors:
            break
        lines = columns if exchanged else rows
        short_colors = _first_fit(*_chosen(lines, ~long)[::-1], order, seed)[0]
        long_colors = _first_fit(*_chosen(lines, long), order, seed)[0]
        pair = (long_colors, short_colors) if exchanged else (short_colors, long_colors)
        found = Coloring("bidirectional", s.shape, *pair, order)
        if best is None or found.num_colors < best.num_colors:
            best = found
    assert best is not None
    return best


def _cuts(lines: Rows) -> list[tuple[int, int, np.ndarray]]:
    """Return cuts at limits that halve: a lower bound of the colors, their number, the long lines.

    The entries of a line in one direction need different colors.
    """
    lengths = np.diff(lines[0])
    limit, shortest = int(lengths.max(initial=0)), int(lengths.min(initial=0))
    found: list[tuple[int, int, np.ndarray]] = []
    while True:
        long = lengths > limit
        across = np.bincount(lines[1][np.repeat(long, lengths)], minlength=1).max()
        found.append((int(lengths[~long].max(initial=0) + across), len(found), long))
        limit //= 2
        if limit < max(1, shortest):
            return found
