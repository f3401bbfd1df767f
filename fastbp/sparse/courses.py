"""All courses of `cond` and `while_loop`, for patterns that hold whatever values decide.

While a pattern of that kind is looked for, both branches are recorded, joined by `numpy.where`. A
loop is recorded as far as it goes here; behind it stands an operation whose value is the carry, and
whose pattern is that of any number of steps.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy.sparse import coo_array

from fastbp import tree
from fastbp._core import graph
from fastbp._core.graph import Op, Variable, array_of
from fastbp._core.tape import Tape
from fastbp.compiling.bodies import (
    WrittenError,
    handle_for,
    independent,
    is_array,
    is_float,
    is_recorded,
    unwritten,
)  # fmt: skip
from fastbp.compiling.inputs import recorded_inputs
from fastbp.errors import ShapeError

__all__ = ["Courses", "all_courses", "apart", "chosen", "looked_for", "repeated", "wanted"]

_STEPS = 64  # of a loop, until its elements count as dependent on all that they are connected with
_WHERE = "where a sparsity pattern for all branches is looked for"

_state = threading.local()


class Courses:
    """What was met.

    Attributes
    ----------
    met : bool
        Whether there were branches or loops that values decide: the record is for patterns only.
    """

    met = False


@contextmanager
def all_courses() -> Iterator[Courses]:
    """Record all courses of what this thread calls."""
    before = getattr(_state, "courses", None)
    _state.courses = courses = Courses()
    try:
        yield courses
    finally:
        _state.courses = before


def looked_for() -> bool:
    """Say whether all courses are to be recorded."""
    return getattr(_state, "courses", None) is not None


def wanted(value: Any) -> bool:
    """Say whether all courses of what a value decides are to be recorded."""
    if not looked_for() or not graph.keeps(value):
        return False
    _state.courses.met = True
    return True


@contextmanager
def _aside(name: str, f: Callable[..., Any]) -> Iterator[None]:
    """Call what would not be called here: nothing of outside may change."""
    allowed = graph.refuse_writes(graph.current_id(), WrittenError)
    try:
        with unwritten(f), np.errstate(all="ignore"):
            yield
    except WrittenError as error:
        raise error.refusal(name, _WHERE) from None
    except Exception as error:
        error.add_note(
            f"{name}: this branch or step is not taken at these arguments. It was called because "
            "a sparsity pattern has to hold for all of them; `fastbp.sparse.sparsity` with "
            "local=True, or a pattern= of your own, does without."
        )
        raise
    finally:
        graph.refuse_writes(allowed)


def apart(values: Any) -> Any:
    """Return handles of their own on a tree's recorded values."""

    def handle(x: Any) -> Any:
        return handle_for(x, is_array(x)) if is_recorded(x) else x

    return tree.map(handle, values)


def chosen(
    condition: Any,
    functions: tuple[Callable[..., Any], Callable[..., Any]],
    operands: tuple[Any, ...],
) -> Any:
    """Record both of two functions of the same operands; the value is that of the one chosen."""
    first = bool(condition)
    other = functions[first]  # of true and false, the one that is not called here
    with _aside("cond", functools.partial(other, *operands)):
        unused = other(*apart(operands))
    taken = functions[not first](*operands)
    leaves, structure = tree.flatten(taken)
    others, other_structure = tree.flatten(unused)
    if structure != other_structure:
        raise ShapeError(
            f"cond: one branch returns {structure}, the other {other_structure}: {_WHERE} both "
            "must return the same"
        )
    joined = [
        _joined(condition, first, x, y, path)
        for x, y, path in zip(leaves, others, structure.paths("the result"), strict=True)
    ]
    return structure.unflatten(joined)


def _joined(condition: Any, first: bool, x: Any, y: Any, path: str) -> Any:
    if x is y or not (_is_numeric(x) and _is_numeric(y)):
        return x
    shapes = [np.shape(array_of(z)) for z in (x, y)]
    if shapes[0] != shapes[1]:
        raise ShapeError(
            f"cond: the branches return {path} of shapes {shapes[0]} and {shapes[1]}: {_WHERE} "
            "both must have the same"
        )
    both = np.where(condition, x, y) if first else np.where(condition, y, x)
    return both if is_array(x) or shapes[0] else both[()]


def _is_numeric(x: Any) -> bool:
    return is_recorded(x) or isinstance(x, np.ndarray | np.generic | bool | int | float | complex)


def repeated(step: Callable[[Any], Any], start: Any, last: Any, condition: Any) -> Any:
    """Return the last carry of a loop, as one that may have made any number of steps.

    Parameters
    ----------
    step : callable
    start, last : tree
        The first carry and the last one.
    condition : Variable or Passive
        A recorded one, that decided how many steps there are.
    """
    leaves, structure = tree.flatten(last)
    loop = _Loop(step, start)
    made = []
    for k, x in enumerate(leaves):
        if k in loop.offsets and loop.causes is not None:
            made.append(loop.closed(k, x))
        else:  # a number of steps, for example: a value that the condition decides
            made.append(graph.passive_call(_first, x, condition))
    return structure.unflatten(made)


def _first(x: Any, condition: Any) -> Any:
    return x


class _Loop:
    """The step of a loop: which elements of the carry it mixes with which, and with what around."""

    def __init__(self, step: Callable[[Any], Any], start: Any) -> None:
        leaves, structure = tree.flatten(start)
        inputs = recorded_inputs([np.asarray(array_of(x)) for x in leaves])
        handles = [handle_for(x, is_array(y)) for x, y in zip(inputs, leaves, strict=True)]
        since = graph.current_id()
        with _aside("while_loop", functools.partial(step, start)):
            results = tree.flatten(step(structure.unflatten(handles)))[0]
        floats = [k for k, x in enumerate(inputs) if is_float(x)]
        self.outputs = [results[k] for k in floats]
        ends = [y for y in self.outputs if type(y) is Variable]
        around = Tape(ends, inputs, since=since, keep=True).outer_inputs() if ends else []
        around = [x for x in around if is_float(x)]
        self.inputs = [*[inputs[k] for k in floats], *around]
        self.tape = independent(ends, self.inputs)
        sizes = [x.size for x in self.inputs]
        starts = np.cumsum([0, *sizes])
        self.size = int(starts[-1])
        self.carried = int(starts[len(floats)])
        self.offsets = {k: (int(a), inputs[k].shape) for k, a in zip(floats, starts, strict=False)}
        given = [*[leaves[k] for k in floats], *around]
        flat = [np.ravel(x if is_recorded(x) else np.asarray(x)) for x in given]
        # One operand for all: what is no Variable has no sets.
        moving = any(type(x) is Variable for x in given)
        self.causes = np.concatenate(flat) if moving else None
        self.components: np.ndarray | None = None

    def closed(self, k: int, value: Any) -> Any:
        """Return leaf k of the last carry, depending on all that any number of steps mixes in."""
        offset, shape = self.offsets[k]
        numbers = np.arange(offset, offset + int(np.prod(shape))).reshape(shape)
        pattern = functools.partial(_any_steps, self, numbers)
        op = _operation("while_loop", pattern, self, numbers, np.arange(self.size))
        return op(value if is_recorded(value) else np.asarray(value), self.causes)

    def connected(self, p: Any) -> np.ndarray:
        """Return for each element of carry and surroundings the number of its component."""
        if self.components is None:
            from scipy.sparse import csgraph  # loads SciPy's solvers, too

            alone = p.alone(self.size)
            ids = self.after(alone, alone.singles([x.shape for x in self.inputs]))
            indptr, indices = alone.sets.to_csr(np.concatenate([x.ravel() for x in ids]))
            rows = np.repeat(np.arange(self.carried), np.diff(indptr))
            graph_of = coo_array(
                (np.ones(indices.size, bool), (rows, indices)), shape=(self.size, self.size)
            )
            self.components = csgraph.connected_components(graph_of, directed=False)[1]
        return self.components

    def after(self, p: Any, given: list[Any]) -> list[Any]:
        """Return the sets of the carry after a step."""
        found: list[Any] = p.within(self.tape, self.outputs, given)
        return found


def _any_steps(loop: _Loop, numbers: Any, p: Any, ids: Any, link: Any) -> Any:
    """Of what the start and the surroundings of a loop reach in any number of steps."""
    last, causes = ids
    if causes is None:
        return np.zeros(link.shape, np.int32) if last is None else last
    parts = np.split(causes, np.cumsum([x.size for x in loop.inputs])[:-1])
    given = [x.reshape(y.shape) for x, y in zip(parts, loop.inputs, strict=True)]
    n = len(loop.offsets)
    for _ in range(_STEPS):
        after = loop.after(p, given)
        union = [p.sets.union(x, y) for x, y in zip(given[:n], after, strict=True)]
        if all(np.array_equal(x, y) for x, y in zip(given[:n], union, strict=True)):
            found = np.concatenate([x.ravel() for x in union])[numbers]
            return found if last is None else p.sets.union(found, last)
        given[:n] = union
    return _connected(loop, numbers, np.arange(loop.size), p, ids, link)


def _connected(loop: _Loop, numbers: Any, others: Any, p: Any, ids: Any, link: Any) -> Any:
    """Of all that an element of the loop is connected with, in any direction."""
    components = loop.connected(p)
    targets, found = [], []
    for x, own in zip(ids, (numbers, others), strict=True):
        if x is not None:
            found.append(np.ravel(x))
            targets.append(np.ravel(np.broadcast_to(components[own], x.shape)))
    if not found:
        return np.zeros(link.shape, np.int32)
    count = int(components.max(initial=0)) + 1
    sums = p.sets.scatter(np.concatenate(found), np.concatenate(targets), count)
    return np.broadcast_to(sums[components[numbers]], link.shape)


def _operation(name: str, pattern: Any, loop: _Loop, numbers: Any, others: Any) -> Op:
    """Return the operation of a value and what it depends on, unseen: it returns the value.

    Its derivative is that of the value. For patterns of derivatives it depends on everything that
    the loop connects: steps that are not made here would mix no more.
    """

    def hidden(value: Any, own: Any, *causes: Any) -> Any:
        for x, places in causes:
            pattern = functools.partial(_connected, loop, own, places)
            value = _operation(name, pattern, loop, own, places)(value, x)
        return value

    def zeros(x: Any, y: Any, g: Any) -> Any:
        lead = np.shape(array_of(g))[: np.ndim(array_of(g)) - len(y.shape)]
        return np.zeros((*lead, *x.shape), x.dtype)

    def own_vjp(g: Any, ans: Any, value: Any, causes: Any) -> Any:
        return hidden(g, numbers, (causes, others)) if graph.keeps(g, causes) else g

    def other_vjp(g: Any, ans: Any, value: Any, causes: Any) -> Any:
        if not graph.keeps(g, causes):
            return None
        given = (g, numbers), (value, numbers), (causes, others)
        return hidden(zeros(causes, ans, g), others, *given)

    def own_jvp(t: Any, ans: Any, value: Any, causes: Any) -> Any:
        return own_vjp(t, ans, value, causes)

    def other_jvp(t: Any, ans: Any, value: Any, causes: Any) -> Any:
        if not graph.keeps(t, causes):
            return zeros(ans, causes, t)
        given = (t, others), (value, numbers), (causes, others)
        return hidden(zeros(ans, causes, t), numbers, *given)

    return Op(
        name,
        lambda value, causes: value,
        nin=2,
        vjp=(own_vjp, other_vjp),
        jvp=(own_jvp, other_jvp),
        saves=(0, 1, "ans"),
        pattern=pattern,
    )
