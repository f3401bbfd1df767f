"""A loop over time with a carried state, in recorded code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp import tree
from fastbp._core.graph import array_of, values_of
from fastbp.checkpointing import checkpoint as checkpointed
from fastbp.compiling.bodies import UnrolledError, recording_blocks
from fastbp.compiling.scanning import scanned
from fastbp.recurrent.carries import Carry
from fastbp.recurrent.checks import steps_of, without_xs
from fastbp.transforms import stop_gradient

__all__ = ["scan"]


def scan(
    step: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    truncate: int | None = None,
    checkpoint: int | str | None = None,
) -> tuple[Any, Any]:
    """Carry a state through a sequence: ``carry, y = step(carry, x)`` for every x.

    Parameters
    ----------
    step : callable
        ``step(carry, x) -> (carry, y)``. The carry keeps its structure, shapes and dtypes.
    init : tree of arrays
        The first carry.
    xs : tree of arrays, shape (T, ...) each, optional
        Step t gets their elements t. Without it `step` gets None, or the carry alone if that is
        all that it needs.
    length : int, optional
        T; needed without `xs`.
    reverse : bool
        Go from the last step to the first; `ys` stays in the order of `xs`.
    truncate : int, optional
        Cut the derivative of the carry every so many steps (truncated backpropagation through
        time): before steps k, 2k, ... in the order of the loop the carry counts as a constant.
    checkpoint : int or "binomial", optional
        Keep the carry every so many steps only, and run the steps between again in the backward
        sweep: memory of T/k carries and k steps, for one more forward run. "binomial" halves the
        sequence again and again: memory of log2(T) carries and one step, for log2(T) runs.

    Returns
    -------
    carry : tree
        The last carry.
    ys : tree of arrays, shape (T, ...) each
        What the steps returned, stacked.

    Raises
    ------
    ShapeError
        If the sequences have different lengths, or the carry changes its structure or shapes.
    DTypeError
        If the carry changes a dtype.
    TypeError
        If `step` does not return a pair.

    Notes
    -----
    The loop runs as it is written, and records on Variables; outside of recorded functions it only
    computes. With no steps (T = 0), `step` is called once with zeros, to see what `ys` looks like.
    Truncation follows Williams and Peng (1990), "An efficient gradient-based algorithm for on-line
    training of recurrent network trajectories"; halving Griewank (1992), "Achieving logarithmic
    growth of temporal and spatial complexity in reverse automatic differentiation".

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> def step(h, x):
    ...     h = np.tanh(0.5 * h + x)
    ...     return h, h
    >>> last, hs = bp.scan(step, 0.0, np.array([1.0, 0.0, -1.0]))
    >>> hs.shape, bool(last == hs[-1])
    ((3,), True)
    >>> bp.grad(lambda xs: bp.scan(step, 0.0, xs, checkpoint=2)[0])(np.zeros(3))
    array([0.25, 0.5 , 1.  ])
    """
    if not callable(step):
        raise TypeError(f"scan: step must be a function, not a {type(step).__name__}")
    _check_count("truncate", truncate)
    if checkpoint != "binomial":
        _check_count("checkpoint", checkpoint, ' or "binomial"')
    count = steps_of("scan", xs, length)
    if not tree.flatten(xs)[0]:
        step = without_xs(step)
    if count == 0:
        return init, _empty(step, init, xs)
    loop = _Loop(step, Carry.of("scan", init), reverse, truncate)
    if recording_blocks():
        try:
            return loop.recorded(init, xs, count, checkpoint)
        except UnrolledError:
            pass
    if checkpoint is None:
        return loop.run(init, xs, 0, count)
    if checkpoint == "binomial":
        return loop.halve(init, xs, 0, count)
    return loop.cut(init, xs, int(checkpoint), count)


def _check_count(name: str, value: Any, otherwise: str = "") -> None:
    integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if value is not None and not (integer and value > 0):
        raise ValueError(f"scan: {name} must be a positive integer{otherwise}, not {value!r}")


def _pair(result: Any) -> tuple[Any, Any]:
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(
            f"scan: step must return a pair (carry, y), not a {type(result).__name__}"
            + (f" of {len(result)}" if isinstance(result, tuple) else "")
        )
    return result


def _empty(step: Callable[..., Any], init: Any, xs: Any) -> Any:
    def zeros(x: Any) -> np.ndarray:
        return np.zeros(np.shape(array_of(x))[1:], np.asarray(values_of(x)).dtype)

    y = _pair(step(tree.map(stop_gradient, init), tree.map(zeros, xs)))[1]
    return tree.map(lambda y: np.zeros((0, *np.shape(array_of(y)))), y)


@dataclass(frozen=True)
class _Loop:
    """The loop over a part of the sequence; its steps are numbered in the order of the loop."""

    step: Callable[..., Any]
    carry: Carry
    reverse: bool
    truncate: int | None

    def run(self, carry: Any, xs: Any, first: int, last: int) -> tuple[Any, Any]:
        """Run the steps of this part of the sequence, of which `xs` holds the elements."""
        ys = []
        for i in range(first, last):
            if self.truncate is not None and i > 0 and i % self.truncate == 0:
                carry = tree.map(stop_gradient, carry)
            at = last - 1 - i if self.reverse else i - first
            carry, y = _pair(self.step(carry, tree.map(lambda x, at=at: x[at], xs)))
            self.carry.check(carry, f"step {i}")
            ys.append(y)
        if self.reverse:
            ys.reverse()
        return carry, tree.map(lambda *parts: np.stack(parts), *ys)

    def recorded(
        self, init: Any, xs: Any, count: int, checkpoint: int | str | None
    ) -> tuple[Any, Any]:
        """Record the loop as one operation, or few, that hold others."""
        if self.truncate is None and checkpoint is None:
            return self._scanned(self._checked, init, xs, count)
        if self.truncate is not None and checkpoint is not None:
            raise UnrolledError
        if checkpoint == "binomial":
            return self._halved(init, xs, count)
        size = min(int(checkpoint or self.truncate or 1), count)
        parts, first = [], 0
        if self.truncate is not None:  # nothing is cut before the first part
            init, ys = self._scanned(self._checked, init, self._slice(xs, 0, size, 0, count), size)
            parts, first = [ys], size
        last = first + (count - first) // size * size
        for i, j, own in ((first, last, size), (last, count, count - last)):
            if i < j:
                part = self._slice(xs, i, j, 0, count)
                init, ys = self._chunks(init, part, (j - i) // own, own)
                parts.append(ys)
        return init, self._joined(parts)

    def _checked(self, carry: Any, x: Any) -> tuple[Any, Any]:
        carry, y = _pair(self.step(carry, x))
        self.carry.check(carry, "step 0")
        return carry, y

    def _scanned(
        self, step: Any, init: Any, xs: Any, count: int, again: bool = False
    ) -> tuple[Any, Any]:
        return scanned(step, init, xs, count, self.reverse, again)

    def _chunks(self, init: Any, xs: Any, count: int, size: int, halves: bool = False) -> Any:
        """Record a loop over chunks: each is cut off, or computed again for its derivative."""

        def chunk(carry: Any, x: Any) -> tuple[Any, Any]:
            if self.truncate is not None:
                carry = tree.map(stop_gradient, carry)
            if halves:
                return self._halved(carry, x, size)
            return self._scanned(self._checked, carry, x, size)

        xs = tree.map(lambda x: x.reshape(count, size, *np.shape(array_of(x))[1:]), xs)
        carry, ys = self._scanned(chunk, init, xs, count, self.truncate is None)
        return carry, tree.map(lambda y: y.reshape(count * size, *y.shape[2:]), ys)

    def _halved(self, init: Any, xs: Any, count: int) -> tuple[Any, Any]:
        """Record a loop over two halves, each of which is one over its halves; and a step more."""
        if count < 4:
            return self._scanned(self._checked, init, xs, count, True)
        even = count // 2 * 2
        carry, ys = self._chunks(init, self._slice(xs, 0, even, 0, count), 2, even // 2, True)
        if even == count:
            return carry, ys
        rest = self._slice(xs, even, count, 0, count)
        carry, y = self._scanned(self._checked, carry, rest, 1)
        return carry, self._joined([ys, y])

    def cut(self, carry: Any, xs: Any, size: int, count: int) -> tuple[Any, Any]:
        """Checkpoint parts of `size` steps."""
        parts = []
        for first in range(0, count, size):
            last = min(first + size, count)
            part = checkpointed(lambda c, x, i=first, j=last: self.run(c, x, i, j))
            carry, ys = part(carry, self._slice(xs, first, last, 0, count))
            parts.append(ys)
        return carry, self._joined(parts)

    def halve(self, carry: Any, xs: Any, first: int, last: int) -> tuple[Any, Any]:
        """Checkpoint both halves, and the halves of these."""
        if last - first == 1:
            return self.run(carry, xs, first, last)
        middle = (first + last) // 2
        parts = []
        for i, j in ((first, middle), (middle, last)):
            half = checkpointed(lambda c, x, i=i, j=j: self.halve(c, x, i, j))
            carry, ys = half(carry, self._slice(xs, i, j, first, last))
            parts.append(ys)
        return carry, self._joined(parts)

    def _slice(self, xs: Any, i: int, j: int, first: int, last: int) -> Any:
        """Return the elements of steps i to j of those of steps `first` to `last`."""
        start, stop = (last - j, last - i) if self.reverse else (i - first, j - first)
        return tree.map(lambda x: x[start:stop], xs)

    def _joined(self, parts: list[Any]) -> Any:
        if self.reverse:
            parts = parts[::-1]
        return tree.map(lambda *ys: np.concatenate(ys), *parts)
