"""Functions with rules of their own: `primitive`, `defvjp`, `defjvp` and their kin.

A primitive is recorded as one operation. Its rules are looked up when a sweep needs them, in
autograd's two tables, and called with the arguments as they were given; where the sweep is recorded
these are Variables, so that the rules are differentiated again.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from fastbp import arguments, tree
from fastbp._core import graph
from fastbp._core.constants import constant
from fastbp._core.graph import Op, Variable
from fastbp.autograd.boxes import getval, has_boxes, scalar
from fastbp.autograd.deprecated import add_methods
from fastbp.autograd.vspaces import dense, vspace
from fastbp.autograd.wrap_util import found_as, get_name, wraps
from fastbp.errors import NoRuleError
from fastbp.lending import lent

__all__ = [
    "def_linear",
    "defjvp",
    "defjvp_argnum",
    "defjvp_argnums",
    "defvjp",
    "defvjp_argnum",
    "defvjp_argnums",
    "notrace_primitive",
    "notrace_primitives",
    "primitive",
    "primitive_jvps",
    "primitive_vjps",
    "register_notrace",
    "sum_outgrads",
    "translate_jvp",
    "translate_vjp",
]

primitive_vjps: dict[Any, Callable[..., Any]] = {}  # function -> vjpmaker(argnums, ans, args, kws)
primitive_jvps: dict[Any, Callable[..., Any]] = {}  # -> jvpmaker(argnums, gs, ans, args, kwargs)
notrace_primitives: defaultdict[Any, set[Any]] = defaultdict(set)
_untraced: set[Any] = set()  # all of the sets above
_linear: set[Any] = set()  # whose tangents are the function itself


def primitive(f_raw: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function be recorded as one operation, whose rules `defvjp` and `defjvp` state.

    Parameters
    ----------
    f_raw : callable
        Gets plain arrays and numbers, and containers of them, by position or by keyword; it may
        do anything with them. What is differentiated is given by position.

    Returns
    -------
    callable
        Like `f_raw`. Rules of one kind are enough: tangents follow from a VJP by transposition, and
        the other way round.

    Examples
    --------
    >>> import fastbp.autograd.numpy as np
    >>> from fastbp.autograd import grad
    >>> @primitive
    ... def clipped_exp(x):
    ...     return np.exp(x)
    >>> defvjp(clipped_exp, lambda ans, x: lambda g: g * np.minimum(ans, 10.0))
    >>> grad(clipped_exp)(5.0)
    np.float64(10.0)
    """

    @wraps(f_raw)
    def f_wrapped(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            kwargs.pop("called_by_autograd_dispatcher", None)
            args, kwargs = _by_position(f_wrapped, args, kwargs)
        if f_wrapped in _untraced:
            return f_raw(*getval(args), **kwargs)
        call = _Call(f_wrapped, args, kwargs)
        if not call.argnums:
            return f_raw(*args, **kwargs)
        return call.record(ops)

    ops: dict[bool, Op] = {}
    found_as(f_wrapped, f_raw)
    f_wrapped.fun = f_raw  # type: ignore[attr-defined]
    f_wrapped._is_autograd_primitive = True  # type: ignore[attr-defined]
    add_methods(f_wrapped, defvjp)
    return f_wrapped


def _by_position(fun: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Give recorded values that are keyword arguments their positions, by which rules go."""
    moving = [name for name, x in kwargs.items() if has_boxes(x)]
    if not moving:
        return args, kwargs
    try:
        parameters = list(inspect.signature(fun.fun).parameters.values())
    except (TypeError, ValueError):  # a built-in function
        parameters = []
    places = {p.name: i for i, p in enumerate(parameters) if p.kind is p.POSITIONAL_OR_KEYWORD}
    for name in moving:
        if name not in places:
            raise NoRuleError(
                f"{get_name(fun)}: the argument {name}= is a recorded value: a primitive is "
                "differentiated by positional arguments only; give it by position"
            )
    last = max(places[name] for name in moving)
    args, kwargs, _ = arguments.place(get_name(fun), fun.fun, args, kwargs, last)
    return args, kwargs


class _Call:
    """One call of a primitive: where the recorded values stand among its arguments."""

    __slots__ = ("argnums", "args", "fun", "kwargs", "operands", "out_def", "places")

    def __init__(self, fun: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        self.fun = fun
        self.args = args
        self.kwargs = kwargs
        self.argnums: list[int] = []
        self.operands: list[Variable] = []
        # For each of argnums: None, or structure, leaves and which of them are recorded.
        self.places: list[tuple[tree.TreeDef, list[Any], list[int]] | None] = []
        self.out_def: tree.TreeDef | None = None
        for i, x in enumerate(args):
            if type(x) is Variable:
                self.argnums.append(i)
                self.operands.append(x)
                self.places.append(None)
            elif isinstance(x, (list, tuple, dict)) or hasattr(type(x), "__dataclass_fields__"):
                leaves, treedef = tree.flatten(x)
                moving = [k for k, leaf in enumerate(leaves) if type(leaf) is Variable]
                if moving:
                    self.argnums.append(i)
                    self.operands += [leaves[k] for k in moving]
                    self.places.append((treedef, leaves, moving))

    def record(self, ops: dict[bool, Op]) -> Any:
        """Record the call; `ops` keeps the operation, with a JVP of its own or without."""
        fun = self.fun
        has_vjp, has_jvp = fun in primitive_vjps, fun in primitive_jvps
        if not has_vjp and not has_jvp:
            raise NoRuleError(
                f"VJP of {get_name(fun)} wrt argnums {tuple(self.argnums)} not defined: state it "
                f"by defvjp({get_name(fun)}, ...)"
            )
        operands, self.operands = self.operands, []  # the record must not hold Variables
        self.args = [
            None if i in self.argnums else tree.map(constant, x) for i, x in enumerate(self.args)
        ]
        self.kwargs = tree.map(constant, self.kwargs)
        self.places = [
            place
            and (
                place[0],
                [None if type(x) is Variable else constant(x) for x in place[1]],
                place[2],
            )
            for place in self.places
        ]
        op = ops.get(has_jvp)
        if op is None:
            op = ops[has_jvp] = _operation(fun, has_jvp)
        found = op(*operands, call=self)
        return found if self.out_def is None else self.out_def.unflatten(found)

    def filled(self, values: Iterator[Any], default: Any = None) -> list[Any]:
        """Return the arguments of `argnums` with values in the recorded places."""
        found = []
        for place in self.places:
            if place is None:
                found.append(scalar(next(values)))
                continue
            treedef, leaves, moving = place
            leaves = list(leaves) if default is None else [default(x) for x in leaves]
            for k in moving:
                leaves[k] = scalar(next(values))
            found.append(treedef.unflatten(leaves))
        return found

    def arguments(self, values: Sequence[Any]) -> list[Any]:
        """Return all arguments."""
        args = list(self.args)
        for i, x in zip(self.argnums, self.filled(iter(values)), strict=True):
            args[i] = x
        return args

    def position(self, k: int) -> int:
        """Return the position of the argument that has the `k`-th operand."""
        owners = [
            i
            for i, place in zip(self.argnums, self.places, strict=True)
            for _ in range(1 if place is None else len(place[2]))
        ]
        return owners[k]

    def leaves(self, i: int, x: Any) -> list[Any]:
        """Take apart what belongs to the `i`-th of argnums: the leaves of the recorded places."""
        place = self.places[i]
        if place is None:
            return [x]
        treedef, _, moving = place
        leaves = (
            [None] * treedef.num_leaves if x is None else treedef.leaves_of(x, "a cotangent", True)
        )
        return [leaves[k] for k in moving]

    def structured(self, leaves: Any) -> Any:
        """Return outputs, or (co)tangents of them, in the structure of what `fun` returned."""
        if self.out_def is None:
            return scalar(leaves)
        return self.out_def.unflatten([scalar(x) for x in leaves])


def _operation(fun: Any, has_jvp: bool) -> Op:
    """Make what a primitive is recorded as."""

    def forward(*operands: Any, call: _Call) -> Any:
        found = lent(
            lambda xs: graph.unrecorded_call(fun.fun, call.arguments(xs), call.kwargs),
            operands,
            get_name(fun),
        )
        leaves, treedef = tree.flatten(found)
        if len(leaves) == 1 and leaves[0] is found:
            if np.asarray(found).dtype.kind in "fc":
                return found
            call.out_def = treedef  # no derivative: an output that is constant
            return (found,)
        call.out_def = treedef
        return tuple(leaves)

    def vjp(g: Any, needs: Any, ans: Any, *operands: Any, call: _Call) -> Any:
        return _ruled(functools.partial(_pulled, call, needs), g, ans, operands)

    def jvp(tangents: Any, ans: Any, *operands: Any, call: _Call) -> Any:
        return _ruled(functools.partial(_pushed, call), tangents, ans, operands)

    return Op(
        get_name(fun),
        forward,
        nin=-1,
        nout=-1,
        vjp=vjp if fun in primitive_vjps or fun in _linear or not has_jvp else None,
        jvp=jvp if has_jvp else None,
        saves=(*range(30), "ans"),
        blocks=False,
        opaque=True,
        ruled=True,
    )


def _ruled(rule: Callable[..., Any], *args: Any) -> Any:
    """Call a rule of arrays that it cannot change; of recorded ones it is recorded."""
    leaves, structure = tree.flatten(args)
    call = graph.recorded_call if graph.has_variable(leaves) else graph.unrecorded_call
    return lent(lambda xs: call(rule, structure.unflatten(xs), {}), leaves)


def _pulled(call: _Call, needs: Any, g: Any, ans: Any, operands: Any) -> Any:
    maker = primitive_vjps.get(call.fun)
    wanted, flags = [], iter(needs)
    for i, place in enumerate(call.places):
        if any([next(flags) for _ in range(1 if place is None else len(place[2]))]):
            wanted.append(i)
    argnums = tuple(call.argnums[i] for i in wanted)
    if maker is None:
        raise NoRuleError(f"VJP of {get_name(call.fun)} wrt argnums {argnums} not defined")
    if isinstance(ans, tuple):
        g = tuple(
            np.zeros(y.shape, y.dtype if y.dtype.kind in "fc" else float) if x is None else x
            for x, y in zip(g, ans, strict=True)
        )
    pull = maker(argnums, call.structured(ans), call.arguments(operands), call.kwargs)
    found = dict(zip(wanted, pull(call.structured(g)), strict=True))
    return tuple(x for i in range(len(call.places)) for x in call.leaves(i, dense(found.get(i))))


def _pushed(call: _Call, tangents: Any, ans: Any, operands: Any) -> Any:
    full = [_zeros_like(x) if t is None else t for t, x in zip(tangents, operands, strict=True)]
    moving, flags = [], iter(t is not None for t in tangents)
    for i, place in enumerate(call.places):
        if any([next(flags) for _ in range(1 if place is None else len(place[2]))]):
            moving.append(i)
    gs = call.filled(iter(full), default=_zeros_like)
    maker = primitive_jvps[call.fun]
    found = maker(
        tuple(call.argnums[i] for i in moving),
        tuple(gs[i] for i in moving),
        call.structured(ans),
        call.arguments(operands),
        call.kwargs,
    )
    if call.out_def is None:
        return dense(found)
    return tuple(call.out_def.leaves_of(dense(found), "a tangent", True))


def _zeros_like(x: Any) -> Any:
    if isinstance(x, (np.ndarray, Variable, np.inexact, float, complex)):
        return np.zeros(np.shape(graph.array_of(x)), vspace(x).dtype)
    return x


# ---- rules ---------------------------------------------------------------------------------------

_given: dict[Any, Callable[..., Any]] = {}  # NumPy's functions that a program has given rules


def _target(fun: Any, rules: str) -> Any:
    """Return the primitive that rules are stated for; None if a function has its own in fastbp."""
    if hasattr(fun, "_is_autograd_primitive"):
        return fun
    if fun in _given:
        return _given[fun]
    name = get_name(fun)
    if (
        type(fun) is Op
        or graph.implementation_of(fun) is not None
        or str(getattr(fun, "__module__", "")).startswith("fastbp.")
    ):
        warnings.warn(
            f"{rules}: {name} has rules in fastbp, which stay; for others call primitive({name})",
            stacklevel=3,
        )
        return None
    if not hasattr(fun, "_implementation"):  # what NumPy's functions with NEP 18 have
        warnings.warn(
            f"{rules}: {name} is no primitive, so its rules are not used: write "
            f"f = primitive({name}), and call f",
            stacklevel=3,
        )
        return None
    _given[fun] = made = primitive(fun)
    graph.bind_function(fun, made)
    return made


def defvjp_argnums(fun: Any, vjpmaker: Callable[..., Any]) -> None:
    """State the VJPs of a primitive by all arguments at once.

    Parameters
    ----------
    fun : primitive
    vjpmaker : callable
        ``vjpmaker(argnums, ans, args, kwargs)`` returns a function of the cotangent of `ans`, which
        returns a cotangent for each of `argnums`.

    Examples
    --------
    >>> from fastbp.autograd import grad, primitive
    >>> from fastbp.autograd.extend import defvjp_argnums
    >>> @primitive
    ... def product(x, y):
    ...     return x * y
    >>> def maker(argnums, ans, args, kwargs):
    ...     return lambda g: [g * args[1 - k] for k in argnums]
    >>> defvjp_argnums(product, maker)
    >>> grad(product, (0, 1))(3.0, 4.0)
    (np.float64(4.0), np.float64(3.0))
    """
    fun = _target(fun, "defvjp_argnums")
    if fun is not None:
        primitive_vjps[fun] = vjpmaker


def defvjp_argnum(fun: Any, vjpmaker: Callable[..., Any]) -> None:
    """State the VJP of a primitive by one argument: ``vjpmaker(argnum, ans, args, kwargs)(g)``.

    Examples
    --------
    >>> from fastbp.autograd import grad, primitive
    >>> from fastbp.autograd.extend import defvjp_argnum
    >>> @primitive
    ... def product(x, y):
    ...     return x * y
    >>> defvjp_argnum(product, lambda k, ans, args, kwargs: lambda g: g * args[1 - k])
    >>> grad(product, 1)(3.0, 4.0)
    np.float64(3.0)
    """

    def each(argnums: Sequence[int], ans: Any, args: Any, kwargs: Any) -> Callable[..., Any]:
        pulls = [vjpmaker(argnum, ans, args, kwargs) for argnum in argnums]
        return lambda g: [pull(g) for pull in pulls]

    defvjp_argnums(fun, each)


def defvjp(fun: Any, *vjpmakers: Any, argnums: Any = None) -> None:
    """State the VJPs of a primitive, one for each argument.

    Parameters
    ----------
    fun : primitive
    *vjpmakers : callable or None
        ``vjpmaker(ans, *args, **kwargs)(g)`` is the cotangent of an argument; None for zero.
    argnums : sequence of int, optional
        The positions of these arguments, if they are not the first ones.

    Examples
    --------
    >>> from fastbp.autograd import grad
    >>> @primitive
    ... def product(x, y):
    ...     return x * y
    >>> defvjp(product, lambda ans, x, y: lambda g: g * y, lambda ans, x, y: lambda g: g * x)
    >>> grad(product, 1)(3.0, 4.0)
    np.float64(3.0)
    """
    positions = range(len(vjpmakers)) if argnums is None else argnums
    makers = {i: translate_vjp(f, fun, i) for i, f in zip(positions, vjpmakers, strict=False)}

    def each(argnum: int, ans: Any, args: Any, kwargs: Any) -> Any:
        return _of_argument(makers, argnum, fun, "VJP")(ans, *args, **kwargs)

    defvjp_argnum(fun, each)


def _of_argument(rules: dict[int, Any], argnum: int, fun: Any, kind: str) -> Any:
    if argnum not in rules:
        raise NoRuleError(f"{kind} of {get_name(fun)} wrt argnum {argnum} not defined")
    return rules[argnum]


def translate_vjp(vjpfun: Any, fun: Any, argnum: int) -> Callable[..., Any]:
    """Return a rule as it was given to `defvjp`: None stands for zero."""
    if vjpfun is None:
        return lambda ans, *args, **kwargs: lambda g: None
    if callable(vjpfun):
        return vjpfun  # type: ignore[no-any-return]
    raise TypeError(
        f"defvjp: {vjpfun!r} is no VJP of {get_name(fun)}: a function, or None for zero"
    )


def defjvp_argnums(fun: Any, jvpmaker: Callable[..., Any]) -> None:
    """State the JVP of a primitive: ``jvpmaker(argnums, gs, ans, args, kwargs)``.

    Examples
    --------
    >>> from fastbp.autograd import make_jvp, primitive
    >>> from fastbp.autograd.extend import defjvp_argnums
    >>> @primitive
    ... def product(x, y):
    ...     return x * y
    >>> def tangent(argnums, gs, ans, args, kwargs):
    ...     return sum(g * args[1 - k] for k, g in zip(argnums, gs))
    >>> defjvp_argnums(product, tangent)
    >>> make_jvp(product, 1)(3.0, 4.0)(1.0)
    (np.float64(12.0), np.float64(3.0))
    """
    fun = _target(fun, "defjvp_argnums")
    if fun is not None:
        primitive_jvps[fun] = jvpmaker


def defjvp_argnum(fun: Any, jvpmaker: Callable[..., Any]) -> None:
    """State the JVP of a primitive by one argument: ``jvpmaker(argnum, g, ans, args, kwargs)``.

    Examples
    --------
    >>> from fastbp.autograd import make_jvp, primitive
    >>> from fastbp.autograd.extend import defjvp_argnum
    >>> @primitive
    ... def product(x, y):
    ...     return x * y
    >>> defjvp_argnum(product, lambda k, g, ans, args, kwargs: g * args[1 - k])
    >>> make_jvp(product, 1)(3.0, 4.0)(1.0)
    (np.float64(12.0), np.float64(3.0))
    """

    def summed(argnums: Any, gs: Any, ans: Any, args: Any, kwargs: Any) -> Any:
        return sum_outgrads(
            jvpmaker(i, g, ans, args, kwargs) for i, g in zip(argnums, gs, strict=True)
        )

    defjvp_argnums(fun, summed)


def defjvp(fun: Any, *jvpfuns: Any, argnums: Any = None) -> None:
    """State the JVPs of a primitive, one for each argument.

    Parameters
    ----------
    fun : primitive
    *jvpfuns : callable, None or "same"
        ``jvpfun(g, ans, *args, **kwargs)`` is the tangent of `ans`; None for zero, "same" where
        `fun` is linear in the argument.
    argnums : sequence of int, optional
        The positions of these arguments, if they are not the first ones.

    Examples
    --------
    >>> from fastbp.autograd import make_jvp, primitive
    >>> from fastbp.autograd.extend import defjvp
    >>> @primitive
    ... def scaled(x, factor):
    ...     return x * factor
    >>> defjvp(scaled, "same", lambda g, ans, x, factor: g * x)
    >>> make_jvp(scaled, 1)(3.0, 4.0)(1.0)
    (np.float64(12.0), np.float64(3.0))
    """
    positions = range(len(jvpfuns)) if argnums is None else argnums
    makers = {i: translate_jvp(f, fun, i) for i, f in zip(positions, jvpfuns, strict=False)}
    if "same" in [f for f in jvpfuns if isinstance(f, str)]:
        _linear.add(fun)

    def each(argnum: int, g: Any, ans: Any, args: Any, kwargs: Any) -> Any:
        return _of_argument(makers, argnum, fun, "JVP")(g, ans, *args, **kwargs)

    defjvp_argnum(fun, each)


def translate_jvp(jvpfun: Any, fun: Any, argnum: int) -> Callable[..., Any]:
    """Return a rule as it was given to `defjvp`: None stands for zero, "same" for `fun` itself."""
    if jvpfun is None:
        return lambda g, ans, *args, **kwargs: vspace(ans).zeros()
    if isinstance(jvpfun, str) and jvpfun == "same":
        return lambda g, ans, *args, **kwargs: fun(*args[:argnum], g, *args[argnum + 1 :], **kwargs)
    if callable(jvpfun):
        return jvpfun  # type: ignore[no-any-return]
    raise TypeError(
        f'defjvp: {jvpfun!r} is no JVP of {get_name(fun)}: a function, None for zero, or "same"'
    )


def def_linear(fun: Any) -> None:
    """Say that a primitive is linear in each of its arguments, so that tangents are its values.

    Examples
    --------
    >>> from fastbp.autograd import make_jvp, primitive
    >>> from fastbp.autograd.extend import def_linear
    >>> @primitive
    ... def product(x, y):
    ...     return x * y
    >>> def_linear(product)
    >>> make_jvp(product, (0, 1))(3.0, 4.0)((1.0, 1.0))
    (np.float64(12.0), np.float64(7.0))
    """
    _linear.add(fun)

    def same(argnum: int, g: Any, ans: Any, args: Any, kwargs: Any) -> Any:
        return fun(*args[:argnum], g, *args[argnum + 1 :], **kwargs)

    defjvp_argnum(fun, same)


def sum_outgrads(gs: Iterable[Any]) -> Any:
    """Add (co)tangents of one value."""
    first, *rest = [dense(g) for g in gs]
    total = first
    for g in rest:
        total = vspace(total).add(total, g)
    return total


# ---- functions of values -------------------------------------------------------------------------


def notrace_primitive(f_raw: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function see the values of recorded arguments: its result is a constant.

    Examples
    --------
    >>> from fastbp.autograd import grad
    >>> from fastbp.autograd.extend import notrace_primitive
    >>> @notrace_primitive
    ... def digits(x):
    ...     return round(x, 1)
    >>> grad(lambda x: x * digits(x))(1.23)
    np.float64(1.2)
    """

    @wraps(f_raw)
    def f_wrapped(*args: Any, **kwargs: Any) -> Any:
        return f_raw(*map(getval, args), **kwargs)

    f_wrapped._is_primitive = True  # type: ignore[attr-defined]
    return f_wrapped


def register_notrace(trace_type: Any, primitive_fun: Any) -> None:
    """Let a primitive see values only, as `notrace_primitive`, in traces of all kinds.

    Examples
    --------
    >>> from fastbp.autograd import grad, primitive
    >>> from fastbp.autograd.extend import VJPNode, register_notrace
    >>> @primitive
    ... def digits(x):
    ...     return round(x, 1)
    >>> register_notrace(VJPNode, digits)
    >>> grad(lambda x: x * digits(x))(1.23)
    np.float64(1.2)
    """
    notrace_primitives[trace_type].add(primitive_fun)
    _untraced.add(primitive_fun)
