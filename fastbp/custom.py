"""Rules written by users, and recomputation instead of memory: `custom_rule` and `checkpoint`."""

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
from fastbp.errors import ShapeError

__all__ = ["checkpoint", "custom_rule"]


def custom_rule(
    f: Callable[..., Any],
    *,
    vjp: Callable[..., Any] | None = None,
    jvp: Callable[..., Any] | None = None,
    name: str | None = None,
) -> Callable[..., Any]:
    """Give a function on arrays a derivative rule of its own.

    Parameters
    ----------
    f : callable
        ``f(*arrays, **options)`` returns a float array, or a tuple of several arrays, among which
        those of integers and booleans have no derivative. It sees plain arrays and may do anything
        with them.
    vjp : callable, optional
        ``vjp(g, ans, *arrays, **options)``: the cotangents of all positional arguments, a tuple
        (for a single argument the array itself), None for zero. `g` has the shape of ``ans =
        f(*arrays)``; of several results both are tuples, and `g` has None for what has no
        derivative.
    jvp : callable, optional
        ``jvp(tangents, ans, *arrays, **options)``: the tangent of the result, of several a tuple
        with None for zero; `tangents` is a tuple.
    name : str, optional
        For error messages; by default the name of `f`.

    Returns
    -------
    callable
        Like `f`; on Variables it is recorded as one operation.

    Notes
    -----
    One of the two rules is enough: the other follows by transposition, if the given one is written
    with NumPy functions that fastbp can differentiate. For second derivatives a rule must be
    written with such functions.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> clipped = bp.custom_rule(np.exp, vjp=lambda g, ans, x: g * np.minimum(ans, 10.0))
    >>> bp.grad(lambda x: np.sum(clipped(x)))(np.array([0.0, 5.0]))
    array([ 1., 10.])

    Several results:

    >>> polar = bp.custom_rule(
    ...     lambda x, y: (np.hypot(x, y), np.arctan2(y, x)),
    ...     vjp=lambda g, ans, x, y: (
    ...         g[0] * x / ans[0] - g[1] * y / ans[0] ** 2,
    ...         g[0] * y / ans[0] + g[1] * x / ans[0] ** 2,
    ...     ),
    ... )
    >>> float(bp.grad(lambda x: polar(x, 4.0)[0])(3.0))
    0.6
    """
    if not callable(f):
        raise TypeError(f"custom_rule: a function is needed, not a {type(f).__name__}")
    if vjp is None and jvp is None:
        raise TypeError("custom_rule: a vjp or a jvp rule is needed")
    label = str(name or getattr(f, "__name__", "custom_rule"))

    def joint_vjp(g: Any, needs: Any, ans: Any, *operands: Any, **options: Any) -> Any:
        assert vjp is not None
        if isinstance(ans, tuple):
            g = tuple(
                np.zeros(y.shape, y.dtype) if y_bar is None and y.dtype.kind not in "biu" else y_bar
                for y_bar, y in zip(g, ans, strict=True)
            )
        found = _rule_called(vjp, (g, ans, *operands), options)
        return found if isinstance(found, (tuple, list)) else (found,)

    def joint_jvp(tangents: Any, ans: Any, *operands: Any, **options: Any) -> Any:
        assert jvp is not None
        dtype = np.result_type(*[y.dtype for y in ans]) if isinstance(ans, tuple) else ans.dtype
        full = [
            np.zeros(x.shape, dtype) if t is None else t
            for t, x in zip(tangents, operands, strict=True)
        ]
        return _rule_called(jvp, (tuple(full), ans, *operands), options)

    def value(*operands: Any, **options: Any) -> Any:
        return graph.unrecorded_call(f, operands, options)

    op = Op(
        label,
        value,
        nin=-1,
        nout=-1,
        vjp=None if vjp is None else joint_vjp,
        jvp=None if jvp is None else joint_jvp,
        saves=(*range(30), "ans"),
        blocks=False,
        opaque=True,
    )

    g = derived(_ruled, (op,), custom_rule, f, vjp=vjp, jvp=jvp, name=name)
    return functools.update_wrapper(g, f)


def _rule_called(rule: Callable[..., Any], args: Any, options: dict[str, Any]) -> Any:
    """Call a rule; arrays that it makes can be filled where what it is given is recorded."""
    call = graph.recorded_call if graph.has_variable(args) else graph.unrecorded_call
    return call(rule, args, options)


def _ruled(op: Op, /, *args: Any, **options: Any) -> Any:
    return op(*args, **(tree.map(constant, options) if options else options))


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """Trade time for memory: run `f` again when its derivative is needed.

    Between, only its arguments are kept.

    Parameters
    ----------
    f : callable
        Takes and returns arrays or nested containers of them; it must compute the same when it runs
        again. Variables that it reads from its surroundings get their derivatives too.

    Returns
    -------
    callable
        Like `f`. What `f` records inside is freed at once.

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
    moving = [k for k, x in enumerate(leaves) if type(x) is Variable]
    call = _Rerun(f, leaves, treedef, moving)
    since = graph.current_id()
    fresh, outputs, out_def = call.run([leaves[k].value for k in moving])
    recorded = [y for y in outputs if type(y) is Variable]
    call.closed_over = Tape(recorded, fresh, since=since).outer_inputs()
    if not recorded or not (moving or call.closed_over):
        return out_def.unflatten(outputs)
    made = call.op(recorded)(*[leaves[k] for k in moving], *call.closed_over)
    parts = iter(made if len(recorded) > 1 else (made,))
    return out_def.unflatten([next(parts) if type(y) is Variable else y for y in outputs])


class _Rerun:
    """One checkpointed call: everything needed to run it again."""

    def __init__(
        self, f: Callable[..., Any], leaves: list[Any], treedef: tree.TreeDef, moving: list[int]
    ) -> None:
        self.f = f
        self.constants = [None if type(x) is Variable else constant(x) for x in leaves]
        self.treedef = treedef
        self.moving = moving
        self.closed_over: list[Variable] = []

    def run(self, values: Any) -> tuple[list[Variable], list[Any], tree.TreeDef]:
        """Run on fresh Variables; return these, and the outputs with their structure."""
        fresh = [graph.variable(v) for v in values]
        leaves = list(self.constants)
        for k, x in zip(self.moving, fresh, strict=True):
            leaves[k] = graph.handle(x)
        args, kwargs = self.treedef.unflatten(leaves)
        return fresh, *tree.flatten(graph.recorded_call(self.f, args, kwargs))

    def again(self, operands: Any, before: Any) -> tuple[list[Variable], list[Variable]]:
        """Run again; return the inputs (arguments and outer Variables) and the recorded outputs."""
        fresh, outputs, _ = self.run(operands[: len(self.moving)])
        recorded = [y for y in outputs if type(y) is Variable]
        was, now = [(y.shape, y.dtype) for y in before], [(y.shape, y.dtype) for y in recorded]
        if was != now:
            first, then = (", ".join(f"{d} of shape {s}" for s, d in each) for each in (was, now))
            raise ShapeError(f"checkpoint: the function returned {first}, then {then}")
        return fresh + self.closed_over, recorded

    def op(self, outputs: list[Variable]) -> Op:
        """Make the operation that stands for this call; its outputs are known already."""
        several = len(outputs) > 1
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
            recorded, lead = _any_variable(*gs, *operands), gs[0].ndim - outs[0].ndim
            return sweep.reverse(Tape(outs, inputs, True), gs, recorded, lead, inner=True)

        def jvp(tangents: Any, ans: Any, *operands: Any) -> Any:
            inputs, outs = self.again(operands, ans if several else (ans,))
            lead = next(
                t.ndim - x.ndim for t, x in zip(tangents, inputs, strict=True) if t is not None
            )
            recorded = _any_variable(*tangents, *operands)
            tape = Tape(outs, inputs, True)
            found = sweep.forward(tape, list(tangents), recorded, lead, inner=True)
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


def _any_variable(*values: Any) -> bool:
    return any(type(x) is Variable for x in values)
