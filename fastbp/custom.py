"""Rules written by users: `custom_rule`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastbp import tree
from fastbp._core import graph
from fastbp._core.constants import constant as kept
from fastbp._core.graph import Op, Variable
from fastbp.derived import derived
from fastbp.errors import DTypeError, NoRuleError, ShapeError
from fastbp.lending import lent

__all__ = ["custom_rule"]

ARRAYS = {Variable, np.ndarray, float, int, np.float64}  # types of what is no container
CALL = "<call>"  # no identifier, so no option of a user's


def custom_rule(
    f: Callable[..., Any],
    *,
    vjp: Callable[..., Any] | None = None,
    jvp: Callable[..., Any] | None = None,
    constant: int | str | Sequence[int | str] = (),
    check: Any = None,
    name: str | None = None,
) -> Callable[..., Any]:
    """Give a function a derivative rule of its own.

    Parameters
    ----------
    f : callable
        ``f(*args, **options)`` returns a float or complex array, or a container of arrays, among
        which those of integers and booleans have no derivative. It sees plain arrays and may do
        anything with them: call a library in C, or a solver. Arguments may be containers of arrays:
        nested dicts, lists, tuples, dataclasses; what is no float or complex number in them is left
        as it is.
    vjp : callable, optional
        ``vjp(g, ans, *args, **options)`` returns the cotangents of all arguments that are not
        `constant`: a tuple, for a single argument also what would be its only item. The cotangent
        of a container is such a container; None in the tuple, or in a container, is zero. `g` has
        the shape of ``ans = f(*args)``; in a container it has None for what has no derivative.
    jvp : callable, optional
        ``jvp(tangents, ans, *args, **options)`` returns the tangent of the result, in a container
        None for zero. `tangents` is a tuple with an entry for each argument that is not `constant`,
        a container for a container, in which None stands for what is no number.
    constant : int, str, or sequence of them
        Positions or names of arguments without derivative. They may be anything, and go to `f` and
        its rules as they are.
    check : tuple, optional
        Arguments at which the rules are compared with differences at once, and with each other;
        anything but a tuple is a single argument. See `fastbp.testing.check_grads`.
    name : str, optional
        For error messages; by default the name of `f`.

    Returns
    -------
    callable
        Like `f`; on Variables it is recorded as one operation.

    Raises
    ------
    AssertionError
        If `check` finds a rule to be wrong.

    Notes
    -----
    One of the two rules is enough: the other follows by transposition, if the given one is written
    with NumPy functions that fastbp can differentiate. For second derivatives a rule must be
    written with such functions, or with functions that have rules of their own;
    ``fastbp.testing.check_grads(rule, args)`` compares them, too.

    The arrays that `f` is given are read-only. What cannot take such arrays (code in C, memoryviews
    of Cython's that are not const) gets copies; if it writes into one, `ReadOnlyError` is raised.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> clipped = bp.custom_rule(np.exp, vjp=lambda g, ans, x: g * np.minimum(ans, 10.0))
    >>> bp.grad(lambda x: np.sum(clipped(x)))(np.array([0.0, 5.0]))
    array([ 1., 10.])

    Several results, checked at a point:

    >>> polar = bp.custom_rule(
    ...     lambda x, y: (np.hypot(x, y), np.arctan2(y, x)),
    ...     vjp=lambda g, ans, x, y: (
    ...         g[0] * x / ans[0] - g[1] * y / ans[0] ** 2,
    ...         g[0] * y / ans[0] + g[1] * x / ans[0] ** 2,
    ...     ),
    ...     check=(3.0, 4.0),
    ... )
    >>> float(bp.grad(lambda x: polar(x, 4.0)[0])(3.0))
    0.6

    A container, and an argument without derivative:

    >>> def model(p, kind):
    ...     return p["a"] * np.sin(p["b"]) if kind == "sine" else p["a"] + p["b"]
    >>> def model_vjp(g, ans, p, kind):
    ...     return {"a": g * np.sin(p["b"]), "b": g * p["a"] * np.cos(p["b"])}
    >>> rule = bp.custom_rule(model, vjp=model_vjp, constant="kind")
    >>> bp.grad(rule)({"a": 2.0, "b": 0.0}, "sine")
    {'a': np.float64(0.0), 'b': np.float64(2.0)}
    """
    if not callable(f):
        raise TypeError(f"custom_rule: a function is needed, not a {type(f).__name__}")
    if vjp is None and jvp is None:
        raise TypeError("custom_rule: a vjp or a jvp rule is needed")
    label = str(name or getattr(f, "__name__", "custom_rule"))
    rule = _Rule(label, f, vjp, jvp, _positions(f, constant))
    made = {"vjp": vjp, "jvp": jvp, "constant": constant, "name": name}
    g = functools.update_wrapper(derived(rule, (), custom_rule, f, **made), f)
    if not hasattr(f, "__name__"):  # an object that is called
        g.__name__ = g.__qualname__ = label
    if check is not None:
        modes = [mode for mode, one in (("fwd", jvp), ("rev", vjp)) if one is not None]
        _check(rule, check, modes)
    return g


def _check(rule: _Rule, args: Any, modes: Any) -> None:
    from fastbp.testing import check_grads  # here, because it takes time to import

    args = args if isinstance(args, tuple) else (args,)
    moving = [k for k in range(len(args)) if k not in rule.constant]

    def f(*given: Any) -> Any:
        full = list(args)
        for k, x in zip(moving, given, strict=True):
            full[k] = x
        return rule(*full)

    try:
        check_grads(f, tuple(args[k] for k in moving), order=1, modes=modes)
    except AssertionError as error:
        raise AssertionError(f"custom_rule: {rule.name}: {error}") from None


def _positions(f: Callable[..., Any], constant: Any) -> frozenset[int]:
    """Return the positions of the arguments without derivative."""
    given = (constant,) if isinstance(constant, (int, str)) else tuple(constant)
    names = [x for x in given if isinstance(x, str)]
    known = _parameters(f) if names else []
    for item in given:
        if isinstance(item, bool) or not isinstance(item, (int, str)):
            raise TypeError(
                f"custom_rule: constant={constant!r} must name positions or names of arguments"
            )
        if isinstance(item, str) and item not in known:
            raise ValueError(
                f"custom_rule: constant={item!r} is no positional argument of the function"
                f"{', which has ' + ', '.join(known) if known else ''}; options by keyword have no "
                "derivative anyway"
            )
        if isinstance(item, int) and item < 0:
            raise ValueError(f"custom_rule: constant={item} must be counted from 0")
    return frozenset(known.index(x) if isinstance(x, str) else x for x in given)


def _parameters(f: Callable[..., Any]) -> list[str]:
    try:
        found = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):  # a function in C that says nothing
        return []
    return [p.name for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


class _Rule:
    """A function and its rules, recorded as one operation of all arrays in its arguments."""

    def __init__(
        self,
        name: str,
        f: Callable[..., Any],
        vjp: Callable[..., Any] | None,
        jvp: Callable[..., Any] | None,
        constant: frozenset[int],
    ) -> None:
        self.name, self.f, self.vjp, self.jvp = name, f, vjp, jvp
        self.constant = constant
        self.op = Op(
            name,
            self._value,
            nin=-1,
            nout=-1,
            vjp=None if vjp is None else self._pull,
            jvp=None if jvp is None else self._push,
            saves=(*range(30), "ans"),
            blocks=False,
            opaque=True,
            ruled=True,
        )

    def __call__(self, *args: Any, **options: Any) -> Any:
        if options:
            args, options = self._by_position(args, options)
            options = tree.map(kept, options)
        call = _Call()
        if self.constant or not ARRAYS.issuperset(map(type, args)):
            args = call.take_apart(self.name, self.constant, args)
        call.numbers = [graph.is_number(x) for x in args]
        options[CALL] = call
        found = self.op(*args, **options)
        return found if call.results is None else call.results.unflatten(found)

    def _by_position(
        self, args: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Move arguments given by keyword to their positions where they have a derivative."""
        if not graph.has_variable(tree.flatten(options)[0]):
            return args, options
        names = _parameters(self.f)[len(args) :]
        while names and names[0] in options:
            name, *names = names
            args, options = (*args, options.pop(name)), options
        for name, value in options.items():
            if graph.has_variable(tree.flatten(value)[0]):
                raise DTypeError(
                    f"{self.name}: {name}= has no derivative, but depends on what is "
                    f"differentiated: give it by position, or {name}=fastbp.stop_gradient({name})"
                )
        return args, options

    def _value(self, *operands: Any, **options: Any) -> Any:
        call = options.pop(CALL)
        operands = tuple(
            [x[()] if number else x for x, number in zip(operands, call.numbers, strict=True)]
        )
        found = lent(
            lambda xs: self._computed(call.arguments(xs), options),
            operands,
            self.name,
            self.name,
        )
        leaves, structure = tree.flatten(found)
        call.results = None if leaves and leaves[0] is found else structure
        return found if call.results is None else tuple(leaves)

    def _computed(self, args: Any, options: Any) -> Any:
        found = graph.unrecorded_call(self.f, args, options)
        for x in tree.flatten(found)[0]:
            if type(x) is graph.Variable or graph.is_passive(x):
                raise NoRuleError(
                    f"{self.name}: the function returned a recorded value, computed from one that "
                    "stands around it, which its rules know nothing of: give that as an argument, "
                    "f(x, y); where no derivative is wanted, take y = fastbp.stop_gradient(y)"
                )
        return found

    def _pull(self, g: Any, needs: Any, ans: Any, *operands: Any, **options: Any) -> Any:
        call = options.pop(CALL)
        if call.results is not None:
            g = call.results.unflatten(
                [
                    np.zeros(y.shape, y.dtype)
                    if y_bar is None and y.dtype.kind not in "biu"
                    else y_bar
                    for y_bar, y in zip(g, ans, strict=True)
                ]
            )
            ans = call.results.unflatten(ans)
        found = _rule_called(self.vjp, (g, ans, *call.arguments(operands)), options)
        self._check_returned("vjp", found, "(None,)")
        cotangents = call.cotangents(found)
        self._check_numbers("vjp", cotangents)
        return cotangents

    def _push(self, tangents: Any, ans: Any, *operands: Any, **options: Any) -> Any:
        call = options.pop(CALL)
        outputs = ans if call.results is not None else (ans,)
        dtype = np.result_type(*[y.dtype for y in outputs if y.dtype.kind not in "biu"])
        full = [
            np.zeros(x.shape, dtype) if t is None else t
            for t, x in zip(tangents, operands, strict=True)
        ]
        if call.results is not None:
            ans = call.results.unflatten(ans)
        args = (call.tangents(full), ans, *call.arguments(operands))
        found = _rule_called(self.jvp, args, options)
        self._check_returned("jvp", found, "numpy.zeros_like(ans)")
        if call.results is not None:
            found = tuple(call.results.leaves_of(found, f"{self.name}: what jvp returned", True))
        self._check_numbers("jvp", found)
        return found

    def _check_returned(self, rule: str, found: Any, zero: str) -> None:
        if found is None:
            raise TypeError(
                f"{self.name}: its {rule} rule returned None: is a return missing? Where the "
                f"derivative is zero, write {zero}"
            )

    def _check_numbers(self, rule: str, found: Any) -> None:
        """Raise where a rule returned text, or objects that are no numbers."""
        for x in tree.flatten(found)[0]:
            kind = getattr(x, "dtype", None)
            if x is None or isinstance(x, (int, float, complex)):
                continue
            if kind is None or kind.kind not in "fciub":
                shown = type(x).__name__ if kind is None else f"an array of {kind}"
                raise DTypeError(
                    f"{self.name}: its {rule} rule returned {shown}, not numbers: an array of the "
                    f"shape of {'the argument' if rule == 'vjp' else 'the result'} is needed"
                )


class _Call:
    """The structure of one call: which of its arguments' leaves are operands.

    Attributes
    ----------
    results : TreeDef or None
        Of what `f` returned, once it did; None for one array.
    """

    results: tree.TreeDef | None = None
    numbers: Sequence[bool] = ()  # which operands stand for numbers of NumPy's
    _name = ""
    _trees: Sequence[tree.TreeDef | None] = ()  # of each argument; None: constant
    _moving: Sequence[bool] | None = None  # which leaves are operands; None: all arguments are
    _rest: Sequence[Any] = ()  # the leaves that are not, and arguments that are constant

    def take_apart(self, name: str, constant: frozenset[int], args: tuple[Any, ...]) -> Any:
        """Return the operands in the arguments, and remember the rest."""
        self._name = name
        if not constant and not any(map(_is_container, args)):
            return args
        trees: list[tree.TreeDef | None] = []
        moving: list[bool] = []
        operands: list[Any] = []
        rest: list[Any] = []
        for i, x in enumerate(args):
            if i in constant:
                self._refuse_recorded(i, x)
                trees.append(None)
                rest.append(tree.map(kept, x))
                continue
            leaves, structure = tree.flatten(x) if _is_container(x) else ([x], _LEAF)
            trees.append(structure)
            for leaf in leaves:
                moves = structure is _LEAF or _has_derivative(leaf)
                moving.append(moves)
                (operands if moves else rest).append(leaf if moves else kept(leaf))
        self._trees, self._moving, self._rest = trees, moving, rest
        return operands

    def _refuse_recorded(self, i: int, x: Any) -> None:
        if graph.has_variable(tree.flatten(x)[0]):
            raise DTypeError(
                f"{self._name}: argument {i} is one of constant=, but depends on what is "
                "differentiated: leave it out of constant=, or give fastbp.stop_gradient of it"
            )

    def arguments(self, operands: Sequence[Any]) -> Sequence[Any]:
        """Return the arguments of `f` with these operands."""
        if self._moving is None:
            return operands
        moving, given, rest = iter(self._moving), iter(operands), iter(self._rest)
        return [
            next(rest)
            if structure is None
            else structure.unflatten(
                [next(given if next(moving) else rest) for _ in range(structure.num_leaves)]
            )
            for structure in self._trees
        ]

    def tangents(self, tangents: Sequence[Any]) -> tuple[Any, ...]:
        """Return tangents as the arguments are; None for leaves that are no operands."""
        if self._moving is None:
            return tuple(tangents)
        moving, given = iter(self._moving), iter(tangents)
        return tuple(
            structure.unflatten(
                [next(given) if next(moving) else None for _ in range(structure.num_leaves)]
            )
            for structure in self._trees
            if structure is not None
        )

    def cotangents(self, found: Any) -> Sequence[Any]:
        """Return the cotangents of the operands, from what a user's vjp returned."""
        if self._moving is None:
            return found if isinstance(found, (tuple, list)) else (found,)
        trees = [structure for structure in self._trees if structure is not None]
        if not isinstance(found, (tuple, list)) or (
            len(trees) == 1 and trees[0] is not _LEAF and len(found) != 1
        ):
            found = (found,)
        if len(found) != len(trees):
            raise ShapeError(
                f"{self._name}: vjp returned {len(found)} cotangents for {len(trees)} arguments "
                "that are not constant"
            )
        leaves: list[Any] = []
        for i, (g, structure) in enumerate(zip(found, trees, strict=True)):
            if g is None:
                leaves.extend([None] * structure.num_leaves)
            else:
                what = f"{self._name}: the cotangent of argument {i}"
                leaves.extend(structure.leaves_of(g, what, True))
        assert self._moving is not None
        return [g for g, moves in zip(leaves, self._moving, strict=True) if moves]


_LEAF = tree.flatten(0.0)[1]


def _is_container(x: Any) -> bool:
    """Say whether an argument is taken apart; a list of numbers is an array."""
    leaves = tree.flatten(x)[0]
    if leaves and leaves[0] is x:
        return False
    return not isinstance(x, (list, tuple)) or not all(
        isinstance(leaf, (int, float, complex)) for leaf in leaves
    )


def _has_derivative(leaf: Any) -> bool:
    if isinstance(leaf, (Variable, float, complex)):
        return True
    return isinstance(leaf, (np.ndarray, np.generic)) and leaf.dtype.kind in "fc"


def _rule_called(rule: Any, args: Any, options: dict[str, Any]) -> Any:
    """Call a rule; arrays that it makes can be filled where what it is given is recorded."""
    leaves, structure = tree.flatten(tuple(args))
    call = graph.recorded_call if graph.has_variable(leaves) else graph.unrecorded_call
    return lent(lambda xs: call(rule, structure.unflatten(xs), options), leaves)
