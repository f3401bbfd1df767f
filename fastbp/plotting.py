"""Pictures of matrices with matplotlib, which is optional: axes, matrices, matrices of matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.errors import ShapeError

__all__ = [
    "CELLS", "check_size", "colored", "derivative", "factors", "lone_axes", "panels", "size_of",
    "title",
]  # fmt: skip

CELLS = 2**20  # of a picture: more cannot be told apart, and take seconds to draw
LABELLED = 18  # rows, and columns, up to which every element has its number and its value
ZERO, NONZERO = "#e4e7ea", "#555b66"  # no colour of a sign
_LETTERS = "ijklmnpqrstuvw"


def _pyplot(name: str) -> Any:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            f'{name}: a picture needs matplotlib: pip install ".[plot]" where fastbp is installed '
            "from"
        ) from error
    return pyplot


def lone_axes(name: str, ax: Any, size: tuple[float, float] | None = None) -> Any:
    """Return `ax`, or the axes of a new figure if that is None."""
    return ax if ax is not None else panels(name, [size or (6.4, 4.8)])[0]


def panels(name: str, sizes: Sequence[tuple[float, float]]) -> Any:
    """Return axes of a new figure, one of each size (inches), at most three beside each other."""
    columns = min(len(sizes), 3)
    rows = -(-len(sizes) // columns)
    width = max(w for w, _ in sizes)
    heights = [max(h for _, h in sizes[r * columns : (r + 1) * columns]) for r in range(rows)]
    figure, axes = _pyplot(name).subplots(
        rows, columns, squeeze=False, layout="constrained", figsize=(columns * width, sum(heights)),
        gridspec_kw={"height_ratios": heights},
    )  # fmt: skip
    for ax in axes.flat[len(sizes) :]:
        figure.delaxes(ax)
    return axes.flatten()[: len(sizes)]


# ---- a matrix of matrices ------------------------------------------------------------------------


def _subscripts(out_shape: tuple[int, ...], in_shape: tuple[int, ...]) -> tuple[str, str]:
    """Return letters for the indices of the result and of the operand."""
    letters = _LETTERS + "?" * (len(out_shape) + len(in_shape))
    return letters[: len(out_shape)], letters[len(out_shape) :][: len(in_shape)]


def title(out_shape: tuple[int, ...], in_shape: tuple[int, ...], names: tuple[str, str]) -> str:
    """Return the derivative's name in mathtext: dC_ij / dA_kl."""
    i, k = _subscripts(out_shape, in_shape)
    return rf"$\partial {_indexed(names[0], i)} / \partial {_indexed(names[1], k)}$"


def _indexed(name: str, index: str) -> str:
    return f"{name}_{{{index}}}" if index else name


def size_of(out_shape: tuple[int, ...], in_shape: tuple[int, ...]) -> tuple[float, float]:
    """Return the width and height in inches that a picture needs."""
    (m, n), (p, q), gap = _split(out_shape, in_shape)
    rows, columns = m * p + (m - 1) * gap, n * q + (n - 1) * gap
    unit = min(0.4, 5.0 / max(rows, columns, 1))
    return max(2.6, columns * unit + 1.0), max(1.8, rows * unit + 1.1)


def _split(
    out_shape: tuple[int, ...], in_shape: tuple[int, ...]
) -> tuple[tuple[int, int], tuple[int, int], float]:
    """Return rows and columns of blocks, those of elements in a block, and the gap."""
    if len(out_shape) <= 1 and len(in_shape) <= 1:  # a matrix as it is: nothing to divide
        return (math.prod(out_shape), 1), (1, math.prod(in_shape)), 0.0
    blocks, elements = _matrix(out_shape, False), _matrix(in_shape, True)
    return blocks, elements, max(0.5, 0.12 * max(elements))


def _matrix(shape: tuple[int, ...], flat: bool) -> tuple[int, int]:
    """Return the shape as rows and columns; a vector is a column, or lies `flat`."""
    if len(shape) == 1:
        return (1, shape[0]) if flat else (shape[0], 1)
    return math.prod(shape[:-1]), math.prod(shape[-1:])


def check_size(name: str, out_shape: tuple[int, ...], in_shape: tuple[int, ...]) -> None:
    """Refuse what has more elements than a picture can show."""
    total = math.prod(out_shape + in_shape)
    if total > CELLS:
        raise ShapeError(
            f"{name}: a derivative of shape {out_shape} x {in_shape} has {total} elements, "
            f"a picture at most {CELLS}: give smaller arrays"
        )


def derivative(
    ax: Any,
    places: tuple[np.ndarray, np.ndarray],
    values: np.ndarray | None,
    out_shape: tuple[int, ...],
    in_shape: tuple[int, ...],
    names: tuple[str, str] = ("C", "A"),
) -> None:
    """Draw the derivative of C with respect to A: for each element of C a block as large as A.

    `places` are the rows and columns of what may be nonzero in the matrix of shape
    ``(C.size, A.size)``, `values` what stands there; without them only the places are shown.
    """
    (m, n), (p, q), gap = _split(out_shape, in_shape)
    shown = np.full((m, p, n, q), np.nan if values is not None else 0.0)
    nonzero = np.zeros((m, p, n, q), bool)
    i, j = np.divmod(places[0], max(n, 1))
    k, l = np.divmod(places[1], max(q, 1))  # noqa: E741 (the lecture's index)
    nonzero[i, k, j, l] = True
    shown[i, k, j, l] = 1.0 if values is None else values
    rows, columns = _edges(m, p, gap), _edges(n, q, gap)
    _cells(ax, columns, rows, shown, nonzero, gap > 0, values is not None)
    few = m * p <= LABELLED and n * q <= LABELLED
    if few and values is not None:
        _write_values(ax, shown, nonzero, gap)
    _ticks(ax.xaxis, n, q, gap)
    _ticks(ax.yaxis, m, p, gap)
    if few and gap and 1 < m * n:
        _name_blocks(ax, out_shape, n, (p, q), gap, names)
    ax.tick_params(length=2, labelsize=7)
    ax.set_aspect("equal")
    ax.set(xlim=(-0.6, columns[-1] + 0.1), ylim=(rows[-1] + 0.1, -0.6 - 0.6 * (few and gap > 0)))
    for side in ax.spines.values():
        side.set_visible(False)
    _label_axes(ax, out_shape, in_shape, names, (n * q, m * p), gap)
    total = m * n * p * q
    ax.set_title(
        f"{title(out_shape, in_shape, names)}: {len(places[0])} of {total} may be nonzero",
        fontsize=9,
    )


def _edges(blocks: int, elements: int, gap: float) -> np.ndarray:
    """Return where cells begin and end: elements are at whole numbers in the first block."""
    starts = np.arange(blocks)[:, None] * (elements + gap) - 0.5
    own = starts + np.arange(elements + 1)
    if gap:
        return own.ravel() if own.size else np.array([-0.5, 0.5])
    return np.arange(blocks * elements + 1) - 0.5


def _cells(
    ax: Any, x: np.ndarray, y: np.ndarray, shown: np.ndarray, nonzero: np.ndarray,
    gaps: bool, signed: bool,
) -> None:  # fmt: skip
    """Draw zeros in grey, and what may be nonzero by its value; gaps and NaN stay empty."""
    from matplotlib.colors import ListedColormap

    finite = np.abs(shown[nonzero & np.isfinite(shown)])
    most = float(finite.max(initial=0.0)) or 1.0
    raster = shown.size > 10_000
    for values, hidden, cmap, limits in (
        (np.zeros(shown.shape), nonzero, ListedColormap([ZERO]), (0.0, 1.0)),
        (shown, ~nonzero | ~np.isfinite(shown), "RdBu_r" if signed else ListedColormap([NONZERO]),
         (-1.2 * most, 1.2 * most)),
    ):  # fmt: skip
        cells = np.ma.array(np.where(hidden, 0.0, values), mask=hidden)
        flat = _with_gaps(cells) if gaps else cells.reshape(len(y) - 1, len(x) - 1)
        if flat.size:
            mesh = ax.pcolormesh(x, y, flat, cmap=cmap, vmin=limits[0], vmax=limits[1],
                                 rasterized=raster)  # fmt: skip
            if shown.size <= LABELLED**2:
                mesh.set(edgecolor="white", linewidth=0.6)


def _with_gaps(cells: np.ma.MaskedArray) -> Any:
    """Return the matrix with an empty row and column between blocks."""
    m, p, n, q = cells.shape
    wide = np.ma.masked_all((m, p + 1, n, q + 1))
    wide[:, :p, :, :q] = cells
    return wide.reshape(m * (p + 1), n * (q + 1))[:-1, :-1]


def _write_values(ax: Any, shown: np.ndarray, nonzero: np.ndarray, gap: float) -> None:
    m, p, n, q = shown.shape
    most = np.nanmax(np.abs(shown), initial=0.0) if nonzero.any() else 0.0
    for i, k, j, l in np.ndindex(m, p, n, q):  # noqa: E741
        value = shown[i, k, j, l]
        dark = nonzero[i, k, j, l] and abs(value) > 0.6 * most
        text = f"{value:.2g}" if nonzero[i, k, j, l] else "0"
        color = "white" if dark else "black" if nonzero[i, k, j, l] else "#9aa0a6"
        ax.text(j * (q + gap) + l, i * (p + gap) + k, text, ha="center", va="center",
                fontsize=6 if len(text) < 5 else 4.5, color=color)  # fmt: skip


def _name_blocks(
    ax: Any, out_shape: tuple[int, ...], n: int, block: tuple[int, int], gap: float,
    names: tuple[str, str],
) -> None:  # fmt: skip
    p, q = block
    for number, index in enumerate(np.ndindex(*out_shape)):
        i, j = divmod(number, n)
        of = ",".join(map(str, index)) if max(index) > 9 else "".join(map(str, index))
        ax.text(j * (q + gap) + (q - 1) / 2, i * (p + gap) - 0.55,
                rf"$\partial {names[0]}_{{{of}}}/\partial {names[1]}$" if q > 1 else
                f"${names[0]}_{{{of}}}$",
                ha="center", va="bottom", fontsize=6)  # fmt: skip


def _ticks(axis: Any, blocks: int, elements: int, gap: float) -> None:
    """Put ticks at elements, with their numbers in their block, or one at each block."""
    if not gap or blocks == 1:
        count = blocks * elements
        step = 1 if count <= LABELLED else 10 ** math.ceil(math.log10(count / 10))
        places = np.arange(0, count, step)
        axis.set_ticks(places, [str(k) for k in places])
    elif 1 < elements and blocks * elements <= LABELLED:
        places = (np.arange(blocks)[:, None] * (elements + gap) + np.arange(elements)).ravel()
        axis.set_ticks(places, [str(k) for k in range(elements)] * blocks)
    else:
        chosen = np.arange(0, blocks, -(-blocks // LABELLED))
        axis.set_ticks(chosen * (elements + gap) + (elements - 1) / 2, [str(j) for j in chosen])


def _label_axes(
    ax: Any, out_shape: tuple[int, ...], in_shape: tuple[int, ...], names: tuple[str, str],
    counts: tuple[int, int], gap: float,
) -> None:  # fmt: skip
    i, k = _subscripts(out_shape, in_shape)
    if not gap:
        ax.set_xlabel(f"element ${k}$ of ${names[1]}$" if k else "", fontsize=8)
        ax.set_ylabel(f"element ${i}$ of ${names[0]}$" if i else "", fontsize=8)
        return
    (m, n), _, _ = _split(out_shape, in_shape)
    # A vector lies in the columns of a block, and its result in the rows of blocks.
    inner = ("", k) if len(in_shape) == 1 else (k[:-1], k[-1:])
    outer = (i, "") if len(out_shape) == 1 else (i[:-1], i[-1:])
    for setter, blocks, count, inside, outside in (
        (ax.set_xlabel, n, counts[0], inner[1], outer[1]),
        (ax.set_ylabel, m, counts[1], inner[0], outer[0]),
    ):
        each = ", in each block" if m * n > 1 else ""
        within = f"${', '.join(inside)}$ of ${names[1]}${each}" if inside else ""
        between = f"${', '.join(outside)}$ of ${names[0]}$, a block each" if outside else ""
        setter(between if blocks > 1 and count > LABELLED else within or between, fontsize=8)


# ---- colorings -----------------------------------------------------------------------------------


def colored(
    ax: Any, shape: tuple[int, int], places: tuple[np.ndarray, np.ndarray], sweeps: np.ndarray,
    columns: np.ndarray | None, rows: np.ndarray | None,
) -> None:  # fmt: skip
    """Draw the elements of a sparse matrix, and strips beside it, by numbers of sweeps."""
    m, n = shape
    cells = np.full((m, n), -2)
    cells[places] = sweeps
    wide = 1.0 + 0.02 * max(m, n)  # from the matrix to a strip, and how thick one is
    strips = [(cells, (-0.5, n - 0.5, m - 0.5, -0.5))]
    if columns is not None:
        strips.append((columns[None, :], (-0.5, n - 0.5, -0.5 - 0.5 * wide, -0.5 - 1.5 * wide)))
    if rows is not None:
        strips.append((rows[:, None], (-0.5 - 1.5 * wide, -0.5 - 0.5 * wide, m - 0.5, -0.5)))
    for numbers, extent in strips:
        ax.imshow(_rgb(numbers), extent=extent, interpolation="nearest", aspect="equal")
    if max(m, n) <= LABELLED:
        for i, j, sweep in zip(*places, sweeps, strict=True):
            if sweep >= 0:
                ax.text(j, i, str(sweep), ha="center", va="center", fontsize=7)
    edge = -0.6 - 1.6 * wide
    ax.set(
        xlim=(-0.6 if rows is None else edge, n - 0.4),
        ylim=(m - 0.4, -0.6 if columns is None else edge),
    )
    _ticks(ax.xaxis, 1, n, 0.0)
    _ticks(ax.yaxis, 1, m, 0.0)
    ax.tick_params(length=2, labelsize=7)
    ax.set_xlabel("column", fontsize=8)
    ax.set_ylabel("row", fontsize=8)
    for side in ax.spines.values():
        side.set_visible(False)


def _rgb(numbers: np.ndarray) -> Any:
    """Return a colour for each number: -2 is nothing stored, -1 stored without a sweep."""
    from matplotlib import colormaps

    table = colormaps["tab20"](np.arange(20))[:, :3]
    table = np.concatenate([table[1::2], table[::2]])  # light ones first: numbers stand on them
    image = table[np.maximum(numbers, 0) % len(table)]
    image[numbers == -1] = 0.6
    image[numbers == -2] = 0.965
    return image


# ---- chains --------------------------------------------------------------------------------------

SHOWN = 8  # factors of a chain: of longer ones the first and the last


def factors(
    ax: Any, parts: Sequence[tuple[str, tuple[int, int], np.ndarray | None] | None]
) -> None:
    """Draw matrices beside each other, their sizes to one scale; None is what is left out.

    A part is a text, the shape, and where nonzeros may be, or None to fill it.
    """
    largest = max(max(part[1]) for part in parts if part is not None) or 1
    gap, x = 0.28 * largest, 0.0
    for number, part in enumerate(parts):
        if number:
            ax.text(x - gap / 2, 0, "·", ha="center", va="center", fontsize=14)
        if part is None:
            ax.text(x + gap / 2, 0, "…", ha="center", va="center", fontsize=14)
            x += 2 * gap
            continue
        text, (m, n), places = part
        extent = (x, x + n, m / 2, -m / 2)
        image = np.ones((1, 1), bool) if places is None else places
        from matplotlib.colors import ListedColormap

        ax.imshow(image, extent=extent, cmap=ListedColormap([ZERO, NONZERO]), vmin=0, vmax=1,
                  interpolation="nearest")  # fmt: skip
        ax.text(x + n / 2, max(m / 2, 0.1 * largest) + 0.06 * largest, text, ha="center", va="top",
                fontsize=7)  # fmt: skip
        x += max(n, 0.02 * largest) + gap
    ax.set(xlim=(-0.3 * largest, x - gap + 0.3 * largest), ylim=(0.9 * largest, -0.6 * largest))
    ax.set_aspect("equal")
    ax.set_axis_off()
