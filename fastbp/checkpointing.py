"""Recomputation instead of memory: `checkpoint`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp import tree
from fastbp._core import graph, sweep
from fastbp._core.constants import constant
from fastbp._core.graph import Op, Variable
from fastbp._core.tape import Tape
from fastbp.derived import derived
from fastbp.errors import RecomputedError, ShapeError

__all__ = ["checkpoint"]

_FEW = 512  # real numbers: so many are kept to compare with


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """Trade time for memory: run `f` again when its derivative is needed.

    Between, only its arguments are kept.

    Parameters
    ----------
    f : callable
        Takes and returns arrays or nested containers of them; it must compute the same when it runs
        again: what it reads from its surroundings must be then what it is now, a variable of a loop
        is better an argument. Variables among that get their derivatives too.

    Returns
    -------
    callable
        Like `f`. What `f` records inside is freed at once.

    Raises
    ------
    RecomputedError
        When a derivative is taken, if `f` does not return what it returned at first.

    Notes
    -----
    A function that writes into a recorded array of its caller's runs as it is, so that the caller
    sees it: nothing is freed.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> layer = bp.checkpoint(lambda x: np.tanh(np.sin(x) * x))
    >>> bool(bp.grad(layer)(0.5) == bp.grad(lambda x: np.tanh(np.sin(x) * x))(0.5))
    True
    """
    if not callable(f):
        raise TypeError(f"checkpoint: a function is needed, not a {type(f).__name__}")

    return functools.update_wrapper(derived(_checkpointed, (f,), checkpoint, f), f)


def _checkpointed(f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    leaves, treedef = tree.flatten((args, kwargs))
    if graph.keeps(leaves):  # it has all that is computed, or it could not be replayed
        return f(*args, **kwargs)
    moving = [k for k, x in enumerate(leaves) if type(x) is Variable]
    call = _Rerun(f, leaves, treedef, moving)
    since = graph.current_id()
    try:
        fresh, outputs, out_def = call.run([leaves[k].value for k in moving], leaves)
    except _WrittenError:  # what it writes into is there for whoever calls it: it runs as it is
        return f(*args, **kwargs)
    recorded = [y for y in outputs if type(y) is Variable]
    call.closed_over = Tape(recorded, fresh, since=since).outer_inputs()
    if graph.keeps(call.closed_over):
        return f(*args, **kwargs)
    if not recorded or not (moving or call.closed_over):
        return out_def.unflatten(outputs)
    made = call.op(recorded)(*[leaves[k] for k in moving], *call.closed_over)
    parts = iter(made if len(recorded) > 1 else (made,))
    return out_def.unflatten(
        [_alike(next(parts), graph.is_number(y)) if type(y) is Variable else y for y in outputs]
    )


class _WrittenError(Exception):
    """A checkpointed function writes into a recorded array that it is given, or finds around it."""


def _copied(x: Any) -> Any:
    """Return a constant that the function may write into; large ones are locked."""
    return x.copy() if isinstance(x, np.ndarray) and x.flags.writeable else x


def _alike(x: Variable, number: bool) -> Any:
    """Return a handle that is a number, or an array, as the value that it is for."""
    return graph.as_number(x) if number else graph.as_cell(x)


class _Rerun:
    """One checkpointed call: everything needed to run it again."""

    def __init__(
        self, f: Callable[..., Any], leaves: list[Any], treedef: tree.TreeDef, moving: list[int]
    ) -> None:
        self.f = f
        self.constants = [None if type(x) is Variable else constant(x) for x in leaves]
        self.treedef = treedef
        self.moving = moving
        self.numbers = [graph.is_number(leaves[k]) for k in moving]
        self.closed_over: list[Variable] = []
        self.marks: list[Any] = []

    def run(
        self, values: Any, given: list[Any] | None = None
    ) -> tuple[list[Variable], list[Any], tree.TreeDef]:
        """Run on fresh Variables; return these, and the outputs with their structure.

        What else there is among the arguments is `given` in the first run, later as it was then.
        """
        fresh = [graph.variable(v) for v in values]
        leaves = [_copied(x) for x in self.constants] if given is None else list(given)
        for k, x, number in zip(self.moving, fresh, self.numbers, strict=True):
            leaves[k] = _alike(graph.handle(x), number)
        args, kwargs = self.treedef.unflatten(leaves)
        allowed = graph.refuse_writes(graph.current_id(), _WrittenError)
        try:
            return fresh, *tree.flatten(graph.recorded_call(self.f, args, kwargs))
        finally:
            graph.refuse_writes(allowed)

    def again(self, operands: Any, before: Any) -> tuple[list[Variable], list[Variable]]:
        """Run again; return the inputs (arguments and outer Variables) and the recorded outputs."""
        fresh, outputs, _ = self.run(operands[: len(self.moving)])
        recorded = [y for y in outputs if type(y) is Variable]
        was, now = [(y.shape, y.dtype) for y in before], [(y.shape, y.dtype) for y in recorded]
        if was != now:
            first, then = (", ".join(f"{d} of shape {s}" for s, d in each) for each in (was, now))
            raise ShapeError(f"checkpoint: the function returned {first}, then {then}")
        if not all([_is_alike(*pair, fresh) for pair in zip(self.marks, recorded, strict=True)]):
            raise RecomputedError(f"checkpoint: {RecomputedError.WHY}")
        return fresh + self.closed_over, recorded

    def op(self, outputs: list[Variable]) -> Op:
        """Make the operation that stands for this call; its outputs are known already."""
        several = len(outputs) > 1
        self.marks = [_mark(y) for y in outputs]
        known = [tuple(y.value for y in outputs)]

        def forward(*operands: Any) -> Any:
            # Once: what keeps the operation must not keep its values.
            if not known:
                again = self.run(operands[: len(self.moving)])[1]
                known.append(tuple(y.value for y in again if type(y) is Variable))
            found = known.pop()
            return found if several else found[0]

        def vjp(g: Any, needs: Any, ans: Any, *operands: Any) -> Any:
            gs, before = (g, ans) if several else ((g,), (ans,))
            inputs, outs = self.again(operands, before)
            there = [k for k, y_bar in enumerate(gs) if y_bar is not None]
            gs, outs = [gs[k] for k in there], [outs[k] for k in there]
            linear, lead = not _any_variable(*operands), gs[0].ndim - outs[0].ndim
            recorded, tape = _any_variable(*gs, *operands), Tape(outs, inputs, True)
            return sweep.reverse(tape, gs, recorded, lead, inner=True, linear=linear)

        def jvp(tangents: Any, ans: Any, *operands: Any) -> Any:
            inputs, outs = self.again(operands, ans if several else (ans,))
            lead = next(
                t.ndim - x.ndim for t, x in zip(tangents, inputs, strict=True) if t is not None
            )
            linear, tape = not _any_variable(*operands), Tape(outs, inputs, True)
            recorded, ts = _any_variable(*tangents, *operands), list(tangents)
            found = sweep.forward(tape, ts, recorded, lead, inner=True, linear=linear)
            if several:
                return found
            return np.zeros(outs[0].shape, outs[0].dtype) if found[0] is None else found[0]

        saves = tuple(range(len(self.moving)))
        return Op(
            "checkpoint",
            forward,
            nin=-1,
            nout=-1,
            vjp=vjp,
            jvp=jvp,
            saves=saves,
            coefficients="values",
            opaque=True,
        )


def _numbers(y: Variable) -> Any:
    return np.ravel(y.value).view(y.value.real.dtype)


def _mark(y: Variable) -> Any:
    """Return numbers by which a value is known again: itself, or sums of many elements."""
    x = _numbers(y)
    return x.copy() if x.size <= _FEW else _sums(x)


@np.errstate(all="ignore")
def _sums(x: Any) -> tuple[Any, Any, Any]:
    return _product(x, x), _product(x[1:], x[:-1]), np.sum(x)


def _product(x: Any, y: Any) -> Any:
    return np.einsum("i,i->", x, y)  # no BLAS, whose threads would stall those of SciPy's


def _is_alike(mark: Any, y: Variable, given: list[Variable]) -> bool:
    """Compare a value with a mark, up to what rounding makes of it, or of arguments that cancel.

    What is NaN is alike.
    """
    now = _mark(y)
    if type(now) is np.ndarray:
        if now.tobytes() == mark.tobytes():
            return True
        now, mark = _sums(now), _sums(mark)
    return now == mark or _is_near(mark, now, y, given)


@np.errstate(all="ignore")
def _is_near(mark: Any, now: Any, y: Variable, given: list[Variable]) -> bool:
    eps = np.finfo(y.dtype).eps
    squares = [_sums(_numbers(x))[0] for x in given]
    noise = max(squares, default=0.0) ** 0.5 * eps**0.75
    near_square = mark[0] * eps**0.5 + noise**2
    near_sum = ((mark[0] * eps) ** 0.5 + noise) * y.size**0.5
    near = np.array([near_square, near_square, near_sum])
    return not np.any(np.abs(np.subtract(now, mark)) > near)


def _any_variable(*values: Any) -> bool:
    return any(type(x) is Variable for x in values)
