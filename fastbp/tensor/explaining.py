"""What the chain rule would cost with explicit tensors, link by link."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastbp import plotting
from fastbp._core import sweep
from fastbp._core.graph import Variable
from fastbp._core.links import Link
from fastbp._core.tape import Tape
from fastbp.errors import ShapeError
from fastbp.recording import numbers, only_real, record_one
from fastbp.sparse.patterns import pattern_of
from fastbp.tensor import local
from fastbp.tensor.base import DerivativeTensor
from fastbp.tensor.checks import in_units
from fastbp.tensor.derivative import tensor_between

__all__ = ["Explanation", "LinkTensor", "explain"]


@dataclass(frozen=True)
class LinkTensor:
    """The derivative of one recorded operation with respect to one of its operands.

    Attributes
    ----------
    operation : str
    operand : int
    out_shape, in_shape : tuple of int
    tensor : DerivativeTensor or None
        None where not even the nonzeros fit into `fastbp.tensor.MEMORY_LIMIT`.
    direct : str
        What a sweep computes instead, from the cotangent ``g``.
    names : (str, str)
        What pictures call the result and the operand.
    """

    operation: str
    operand: int
    out_shape: tuple[int, ...]
    in_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    tensor: DerivativeTensor | None
    direct: str
    names: tuple[str, str] = ("C", "A")

    def plot(self, ax: Any = None) -> Any:
        """Draw the tensor as a matrix of matrices; see `DerivativeTensor.plot`.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            A new figure's if not given.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed (``pip install ".[plot]"``).

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> found = bp.tensor.explain(lambda w: np.sum(np.ones((4, 3)) @ w), np.ones((3, 2)))
        >>> ax = found.links[0].plot()
        >>> ax.get_title().splitlines()[0]
        'matmul, operand 1'
        """
        if ax is None:
            ax = plotting.lone_axes(
                "LinkTensor.plot", None, plotting.size_of(self.out_shape, self.in_shape)
            )
        if self.tensor is None or self.size > plotting.CELLS:
            _too_large(ax, self.out_shape, self.in_shape, self.names)
        else:
            self.tensor.plot(ax, self.names)
        ax.set_title(f"{self.operation}, operand {self.operand}\n{ax.get_title()}", fontsize=9)
        return ax

    @property
    def size(self) -> int:
        """Number of elements of the tensor, zeros included."""
        return math.prod(self.out_shape + self.in_shape)

    @property
    def dense_nbytes(self) -> int:
        """Bytes of the tensor if every zero were stored."""
        return self.size * self.dtype.itemsize


@dataclass(frozen=True)
class Explanation:
    """What `explain` found; printed as a table.

    Attributes
    ----------
    links : list of LinkTensor
        In the order of the record.
    direct : numpy.ndarray
        The gradient by a reverse sweep.
    explicit : numpy.ndarray
        The same by contracting the tensors of the links one after the other.
    max_difference : float
        The largest difference of the two, in units of the largest element of the gradient or of
        a cotangent on the way: a gradient of zeros is a sum of terms that cancel but for rounding.
    pattern : scipy.sparse.csr_array of bool, shape (out.size, in.size)
        Where the derivative of the whole function may have nonzeros.
    largest : float
        The largest element of a cotangent on the way.
    cotangent : numpy.ndarray
        What the output was contracted with.
    result : str
        What pictures call the output.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> found = bp.tensor.explain(lambda w: np.sum(np.tanh(np.ones((4, 3)) @ w)), np.ones((3, 2)))
    >>> [(link.operation, link.tensor.nnz, link.size) for link in found.links]
    [('matmul', 24, 48), ('tanh', 8, 64), ('sum', 8, 8)]
    >>> bool(found.max_difference < 1e-15)
    True
    """

    links: list[LinkTensor]
    direct: np.ndarray
    explicit: np.ndarray
    pattern: Any = field(repr=False)
    largest: float = field(repr=False, default=0.0)
    cotangent: Any = field(repr=False, default=0.0)
    result: str = field(repr=False, default="C")

    @property
    def max_difference(self) -> float:  # noqa: D102 (see the class)
        if np.array_equal(self.direct, self.explicit, equal_nan=True):
            return 0.0
        scale = max(self.largest, float(np.abs(self.direct).max(initial=0.0))) or 1.0
        return float(np.abs(self.direct - self.explicit).max()) / scale

    def __str__(self) -> str:
        head = ("operation", "tensor", "nonzeros", "of", "bytes", "dense", "storage", "direct rule")
        rows = [head, *[_row(link) for link in self.links]]
        widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
        lines = [
            "  ".join(
                cell.rjust(width) if 2 <= k <= 5 else cell.ljust(width)
                for k, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        lines.append(
            f"gradient by contracting these tensors against the direct rules: "
            f"max difference {self.max_difference:.1e}"
        )
        return "\n".join(lines)

    def plot(self, ax: Any = None) -> Any:
        """Draw the tensor of each link as a matrix of matrices, and the pattern of the whole.

        For each element of a link's result there is a block of its operand's shape; zeros are grey,
        anything else has the colour of its value. The input is called A, results C, D, E ... in the
        order of the record.

        Parameters
        ----------
        ax : sequence of matplotlib.axes.Axes, optional
            One for each link, and one more; those of a new figure if not given.

        Returns
        -------
        ndarray of matplotlib.axes.Axes, shape (len(links) + 1,)
            The last has the pattern of the whole derivative.

        Raises
        ------
        ImportError
            If matplotlib is not installed (``pip install ".[plot]"``).
        ValueError
            If `ax` has another number of axes.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> found = bp.tensor.explain(lambda w: np.sum(np.ones((4, 3)) @ w), np.ones((3, 2)))
        >>> axes = found.plot()
        >>> [ax.get_title().splitlines()[0] for ax in axes]
        ['matmul, operand 1', 'sum, operand 0', 'the whole']
        """
        shapes = [(link.out_shape, link.in_shape) for link in self.links]
        whole = (np.shape(self.cotangent), self.direct.shape)
        sizes = [plotting.size_of(*pair) for pair in [*shapes, whole]]
        axes = plotting.panels("explain(...).plot", sizes) if ax is None else np.ravel(ax)
        if len(axes) != len(sizes):
            raise ValueError(
                f"explain(...).plot: needs {len(sizes)} axes, one for each link and one for the "
                f"whole, not {len(axes)}"
            )
        for link, place in zip(self.links, axes, strict=False):
            link.plot(place)
        entries, names = self.pattern.tocoo(), (self.result, "A")
        if entries.shape[0] * entries.shape[1] > plotting.CELLS:
            _too_large(axes[-1], *whole, names)
        else:
            plotting.derivative(axes[-1], (entries.row, entries.col), None, *whole, names)
        axes[-1].set_title(f"the whole\n{axes[-1].get_title()}", fontsize=9)
        return axes


def _too_large(ax: Any, out_shape: Any, in_shape: Any, names: tuple[str, str]) -> None:
    ax.text(0.5, 0.5, f"{out_shape} x {in_shape}:\ntoo large to draw", ha="center", va="center",
            transform=ax.transAxes)  # fmt: skip
    ax.set_axis_off()
    ax.set_title(plotting.title(out_shape, in_shape, names), fontsize=9)


def _row(link: LinkTensor) -> tuple[str, ...]:
    tensor = link.tensor
    found = ("?", "too large", "") if tensor is None else (
        str(tensor.nnz), in_units(tensor.nbytes), tensor.storage
    )  # fmt: skip
    return (
        f"{link.operation}, operand {link.operand}",
        f"{link.out_shape} x {link.in_shape}",
        found[0],
        str(link.size),
        found[1],
        in_units(link.dense_nbytes),
        found[2],
        link.direct,
    )


def explain(
    f: Callable[..., Any],
    *args: Any,
    argnums: int = 0,
    cotangent: Any = None,
    unconnected: str = "warn",
) -> Explanation:
    """Show the derivative of `f` as a chain of tensors, and what is computed instead of them.

    Parameters
    ----------
    f : callable
        Returns one array.
    *args
        The arguments of `f`: small ones, as the tensors are really formed.
    argnums : int
        The argument to differentiate: one array.
    cotangent : array_like, optional
        What the output is contracted with; ones if not given.
    unconnected : {"warn", "zero", "raise"}
        What to do if the output does not depend on the argument: warn, say nothing (there are no
        links then, and the derivative is zero), or raise `UnconnectedError`.

    Returns
    -------
    Explanation
        Print it: for each link of the record the tensor's shape, its nonzeros, its bytes in the
        leanest storage and with every zero, and the direct rule; then how far the gradient
        that the tensors give is from the one that the direct rules give.

    Raises
    ------
    TypeError
        If the argument, or what `f` returns, is not one array.
    ShapeError
        If `cotangent` has not the shape of the output.
    NoRuleError
        If `f` depends on Variables from outside, or on a function without a rule.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> b = np.arange(6.0).reshape(3, 2)
    >>> found = bp.tensor.explain(lambda a: np.sum((a @ b) ** 2), np.ones((4, 3)))
    >>> [(link.operation, link.tensor.nnz, link.size) for link in found.links]
    [('matmul', 24, 96), ('square', 8, 64), ('sum', 8, 8)]
    >>> found.max_difference < 1e-12
    True
    """
    x, y, tape = record_one("explain", f, args, argnums, option=unconnected, keep=True)
    only_real("explain", tape)
    shape = np.shape(y)
    g = (
        np.ones(shape, x.dtype)
        if cotangent is None
        else numbers(cotangent, "explain: cotangent", True)
    )
    if g.shape != shape:
        raise ShapeError(f"explain: cotangent has shape {g.shape}, the output has shape {shape}")
    if not isinstance(y, Variable):
        zeros = np.zeros(x.shape, x.dtype)
        return Explanation([], zeros, zeros, pattern_of(tape, [y], [x]), cotangent=g)
    g = np.asarray(g, y.dtype)
    record, (at,), (start,) = tape.links(), tape.output_positions, tape.input_positions
    names = _letters(len(record), start)
    tensors = [_tensors(position, record, names) for position in range(len(record))]
    direct = sweep.reverse(tape, [g])[0]
    explicit, largest = _contracted(record, tensors, at, start, g)
    zeros = np.zeros(x.shape, x.dtype)
    return Explanation(
        [row for rows in tensors for row in rows.values()],
        zeros if direct is None else direct,
        zeros if explicit is None else explicit,
        pattern_of(tape, [y], [x]),
        largest,
        g,
        names[at] if at >= 0 else "C",
    )


def _letters(count: int, start: int) -> list[str]:
    """Name the values of a record: the input A, results C to Z, then by number."""
    names = iter([*"CDEFGHIJKLMNOPQRSTUVWXYZ", *(f"V^{{({k})}}" for k in range(count))])
    return ["A" if position == start else next(names) for position in range(count)]


def _tensors(position: int, record: list[Link], names: list[str]) -> dict[int, LinkTensor]:
    """Return the tensors of one link by the operands that depend on the input."""
    link = record[position]
    rows: dict[int, LinkTensor] = {}
    for k, parent in enumerate(link.parents):
        tensor: DerivativeTensor | None = local.structured(link, k) if parent >= 0 else None
        if parent < 0 or (tensor is None and parent in link.parents[:k]):
            continue  # a parent that is an operand twice: its tensor has both
        assert link.op is not None
        rows[k] = LinkTensor(
            link.op.name,
            k,
            link.shape,
            record[parent].shape,
            link.dtype,
            tensor or _tensor(link, k, record),
            _direct_rule(link, k),
            (names[position], names[parent]),
        )
    return rows


def _tensor(link: Link, k: int, record: list[Link]) -> DerivativeTensor | None:
    x = record[link.parents[k]].variable
    others = {p: record[p].variable for p in link.parents if p >= 0 and p != link.parents[k]}
    try:
        tape = Tape([link.variable], [x, *others.values()], True)
        return tensor_between(tape, link.variable, x, tuple(others.values()))
    except MemoryError:
        return None


def _direct_rule(link: Link, k: int) -> str:
    op = link.op
    assert op is not None
    if op.partials is not None:
        constant = local.constant_partial(op, k)
        if constant is None:
            return "g * partial, element by element"
        return "g" if constant == 1 else f"{constant:g} * g"
    rules = op.info.get("direct")
    if rules:
        return str(rules[min(k, len(rules) - 1)])
    return "transposed map of g" if op.info.get("kind") == "linear" else "its VJP, without a tensor"


@np.errstate(all="ignore")  # derivatives never warn
def _contracted(
    record: list[Link],
    tensors: list[dict[int, LinkTensor]],
    at: int,
    start: int,
    g: np.ndarray,
) -> tuple[np.ndarray | None, float]:
    """Sweep backward, contracting the tensor of each link with its cotangent.

    Returns the gradient, and the largest element of a cotangent on the way.
    """
    cotangents: list[Any] = [None] * len(record)
    largest = 0.0
    if at >= 0:
        cotangents[at] = g
    for position in range(len(record) - 1, -1, -1):
        present = cotangents[position]
        if present is None:
            continue
        largest = max(largest, float(np.abs(present).max(initial=0.0)))
        for k, row in tensors[position].items():
            parent = record[position].parents[k]
            term = _pulled(record, position, k, row, present)
            if term is not None:
                before = cotangents[parent]
                cotangents[parent] = term if before is None else before + term
    return cotangents[start] if start >= 0 else None, largest


def _pulled(record: list[Link], position: int, k: int, row: LinkTensor, g: Any) -> Any:
    if row.tensor is not None:
        return row.tensor.contract(g)
    # Too large for a tensor: by the direct rule here, too.
    link = record[position]
    parents = dict.fromkeys(p for p in link.parents if p >= 0)
    ends = [record[p].variable for p in parents]
    found = sweep.reverse(Tape([link.variable], ends, True), [g])
    return found[list(parents).index(link.parents[k])]
