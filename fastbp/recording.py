"""Recording one call of a user's function: what every transform does first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastbp import arguments, tree, unconnected
from fastbp._core import constants, graph
from fastbp._core.graph import Passive, Variable
from fastbp._core.operands import as_numbers
from fastbp._core.tape import Tape
from fastbp.errors import DTypeError, FastbpError, NoRuleError, ShapeError

__all__ = [
    "Recorded",
    "check_returned",
    "connect",
    "cotangent_for",
    "holomorphic_part",
    "like",
    "numbers",
    "only_real",
    "outputs_of",
    "plain",
    "prototype",
    "record_one",
    "released",
]


class Recorded:
    """One call of a function with some of its arguments recorded.

    Attributes
    ----------
    primals : list
        The leaves of the recorded arguments that are differentiated; whole numbers as floats.
    inputs : list of Variable
        The same, recorded.
    settings : dict or None
        The other leaves, by their position among all: the function got them as they are.
    result
        What the function returned.
    """

    __slots__ = ("inputs", "name", "positions", "primals", "result", "settings", "treedefs")

    def __init__(
        self,
        name: str,
        f: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        argnums: Any,
        left: list[Any] | None = None,
        keep: bool = False,
    ) -> None:
        self.name = name
        if type(argnums) is int and 0 <= argnums < len(args):
            self.positions = [argnums]
        else:
            args, kwargs, self.positions = arguments.place(name, f, args, kwargs, argnums)
        self.primals: list[Any] = []
        self.treedefs: list[tree.TreeDef] = []
        for i in self.positions:
            leaves, treedef = tree.flatten(args[i])
            self.primals.extend(leaves)
            self.treedefs.append(treedef)
        call = list(args)
        # Handles of its own: a function that writes into its arguments must not move our ends.
        self.settings: dict[int, Any] | None = None
        try:
            self.inputs, handles = graph.leaves(self.primals, keep)
        except FastbpError:
            self.primals, self.settings = arguments.numbers_among(
                name, f, self.positions, self.primals, self.treedefs
            )
            self.inputs, handles = graph.leaves(self.primals, keep)
        for i, part in zip(self.positions, self.split(handles, True), strict=True):
            call[i] = part
        if keep:
            call = [_passive_inputs(x) for x in call]
            kwargs = {name: _passive_inputs(x) for name, x in kwargs.items()}
        since = constants.mark()
        try:
            self.result = graph.recorded_call(f, call, kwargs, left)
            check_returned(name, self.result)
        except BaseException as error:
            failed(error, self.positions, args, since)
            raise

    @classmethod
    def of_one(cls, name: str, primal: Any, position: int, leaf: Variable, result: Any) -> Recorded:
        """Return what the core recorded: a call with one array or number as input."""
        r = cls.__new__(cls)
        r.name, r.positions, r.settings = name, [position], None
        r.primals, r.treedefs, r.inputs = [primal], [tree.flatten(primal)[1]], [leaf]
        r.result = result
        return r

    def split(self, leaves: Sequence[Any], settings: bool = False) -> list[Any]:
        """Rebuild the recorded arguments' containers around other leaves.

        With `settings` as they are, or None in their places.
        """
        if self.settings:
            leaves = self._with_settings(leaves, settings)
        if len(self.treedefs) == 1:
            return [self.treedefs[0].unflatten(leaves)]
        parts, start = [], 0
        for treedef in self.treedefs:
            parts.append(treedef.unflatten(leaves[start : start + treedef.num_leaves]))
            start += treedef.num_leaves
        return parts

    def _with_settings(self, leaves: Sequence[Any], kept: bool) -> list[Any]:
        assert self.settings is not None
        rest = iter(leaves)
        return [
            (self.settings[k] if kept else None) if k in self.settings else next(rest)
            for k in range(len(leaves) + len(self.settings))
        ]

    def paths(self, labels: Sequence[str] | None = None) -> list[str]:
        """Write what reaches each of `inputs` from the arguments, which may have labels."""
        named = labels or [f"argument {i}" for i in self.positions]
        pairs = zip(named, self.treedefs, strict=True)
        found = [path for label, treedef in pairs for path in treedef.paths(label)]
        return [path for k, path in enumerate(found) if k not in (self.settings or ())]

    def report(self, option: str, lost: Sequence[int], result: Any) -> None:
        """Warn or raise for those of `inputs` that no output depends on."""
        lost = [k for k in lost if self.inputs[k].size]
        if lost:
            unconnected.check_for_autograd(self.name, result)
            paths, of = self.paths(), unconnected.described(result)
            unconnected.report(self.name, option, self.inputs, [paths[k] for k in lost], of)

    def gather(self, leaves: list[Any], single: bool, option: str = "zero") -> Any:
        """Return derivatives in the structure of the arguments; a tuple unless `single`.

        None among them is what the result does not depend on.
        """
        if not graph.all_arrays(leaves, self.primals):
            lost = [k for k, g in enumerate(leaves) if g is None]
            if lost and option != "zero":
                self.report(option, lost, self.result)
            if option != "none":
                leaves = [like(g, x) for g, x in zip(leaves, self.primals, strict=True)]
        parts = self.split(leaves)
        return parts[0] if single else tuple(parts)


def check_returned(name: str, y: Any) -> None:
    """Refuse what a function without ``return`` gives."""
    if y is None:
        raise ShapeError(f"{name}: the function returned None: is a return missing?")


def _passive_inputs(x: Any) -> Any:
    """Return an argument with its arrays of numbers on the record, without derivative.

    Integers and masks are taken for structure, as shapes are.
    """
    if not any(map(_is_passive_input, tree.flatten(x)[0])):
        return x
    return tree.map(lambda leaf: graph.passive_input(leaf) if _is_passive_input(leaf) else leaf, x)


def _is_passive_input(x: Any) -> bool:
    return (
        isinstance(x, np.ndarray | np.inexact)
        and type(x).__module__ == "numpy"
        and (x.dtype.kind in "fc")
    )


def failed(error: BaseException, positions: list[int], args: Sequence[Any], since: int) -> None:
    """Clear up after a call that raised, and add to its error what the traceback does not say."""
    locked = constants.mark() > since
    # The traceback keeps the frames, and these what was recorded.
    constants.release(since)
    arguments.explain(error, positions, args, locked)


graph.bind("failed_call", failed)


def connect(r: Recorded, outputs: Sequence[Any], option: str = "zero") -> Tape:
    """Return the tape of the call, to the outputs that are Variables.

    Report the inputs that none of them depends on.
    """
    tape = Tape([y for y in outputs if type(y) is Variable], r.inputs)
    if option != "zero" and not all(tape.reached):
        result = outputs[0] if len(outputs) == 1 else None
        r.report(option, [k for k, found in enumerate(tape.reached) if not found], result)
    if tape.outer:
        unconnected.meant()
    return tape


def record_one(
    name: str,
    f: Callable[..., Any],
    args: tuple[Any, ...],
    argnums: Any,
    outer: bool = False,
    option: str = "zero",
    keep: bool = False,
) -> tuple[Variable, Any, Tape]:
    """Record a function of one array (of several arguments) that returns one array.

    Returns the argument, the output, a Variable, or an array if it is constant, and the tape
    between them. Only with `outer` may the output depend on Variables from outside. `option` says
    what happens where it does not depend on the argument. With `keep` the record has everything
    that is computed from arguments, and the tape knows what left it.

    Raises
    ------
    TypeError
        If the argument or the output is a container.
    NoRuleError
        If the output depends on Variables from outside: the caller's result cannot.
    """
    arguments.check_function(name, f)
    unconnected.check_option(name, option, unconnected.WITHOUT_NONE)
    argnums = arguments.check_argnums(name, argnums)
    if not isinstance(argnums, int):
        raise TypeError(f"{name}: argnums must be one integer, not {argnums!r}")
    (position,) = arguments.positions(name, argnums, len(args))
    given = graph.unfilled(args[position])
    if len(tree.flatten(given)[0]) != 1 or isinstance(given, (list, tuple, dict)):
        raise TypeError(f"{name}: argument {argnums} must be one array, not {type(given).__name__}")
    left: list[Any] | None = [] if keep else None
    r = Recorded(name, f, args, {}, argnums, left, keep)
    y = graph.array_of(r.result) if graph.is_passive(r.result) else r.result
    if isinstance(y, (list, tuple, dict)) or y is None:
        raise TypeError(f"{name}: the function must return one array, not a {type(y).__name__}")
    if type(y) is not Variable:
        y = numbers(y, f"{name}: the function's output")
    for what, value, advice in (
        (
            f"argument {argnums}",
            r.inputs[0],
            "give the parts as real arrays, lambda p: f(p[0] + 1j * p[1])",
        ),
        ("the function's output", y, "return numpy.stack((y.real, y.imag))"),
    ):
        if value.dtype.kind == "c":
            raise DTypeError(
                f"{name}: {what} is complex ({value.dtype} of shape {value.shape}), real numbers "
                f"are needed: {advice}, or use fastbp.jacobian, jvp or vjp"
            )
    tape = connect(r, [y], option)
    tape.left = left
    if tape.outer | (type(given) is Variable) and not outer:
        raise NoRuleError(
            f"{name}: the function depends on Variables from outside, but the result cannot be a "
            "Variable; inside functions that are differentiated use fastbp.jvp, vjp or jacobian"
        )
    return r.inputs[0], y, tape


def only_real(name: str, tape: Tape) -> None:
    """Refuse a record with complex values in it, whose local derivatives are no real matrices."""
    if tape.has_complex:
        raise DTypeError(
            f"{name}: the function computes with complex numbers, but the factors of its "
            "derivative are real matrices: use fastbp.jacobian, jvp or vjp"
        )


def holomorphic_part(name: str, jac: Any, turned: Any, factor: complex) -> Any:
    """Return a derivative of a complex value by a complex one, if there is one.

    Parameters
    ----------
    name : str
        The transform.
    jac, turned : array or Variable
        What the seeds 1 and `factor` found; of a holomorphic function the second is the product of
        the first with `factor`.

    Raises
    ------
    DTypeError
        If the function is not holomorphic: no one complex number is its derivative then.
    """
    a, b = graph.values_of(jac), graph.values_of(turned)
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    size, eps = np.abs(a) + np.abs(b), np.finfo(a.dtype).eps
    # What rounds differs between the two: more than that is another derivative.
    tolerance = eps**0.75 * size + 100 * eps * np.max(size, initial=0.0)
    if np.any(np.abs(b - factor * a) > tolerance):
        raise DTypeError(
            f"{name}: the function is not holomorphic, so its derivative by a complex argument is "
            "no complex number; differentiate by both parts instead: write "
            "fastbp.jacobian(lambda x, y: g(f(x + 1j * y)), argnums=(0, 1))(z.real, z.imag) with g "
            "numpy.real, then numpy.imag; products with it are fastbp.jvp and vjp"
        )
    return jac


def like(g: Any, primal: Any) -> Any:
    """Return a derivative as its primal was given: zeros for None, a scalar for a scalar."""
    if g is None:
        if type(primal) is np.ndarray:
            return np.zeros(primal.shape, primal.dtype)
        g = np.zeros(np.shape(graph.array_of(primal)), _dtype(primal))
    if type(g) is not Variable and g.ndim == 0 and not isinstance(primal, np.ndarray):
        return g[()]
    return g


def prototype(y: Any) -> Any:
    """Return the array of an output, 0-d ones as scalars: what a tangent of it is like."""
    array = graph.array_of(y)
    return array if array is y or array.ndim else array[()]


def _dtype(primal: Any) -> Any:
    if isinstance(primal, (Variable, np.ndarray, np.generic)):
        return primal.dtype
    return np.complex128 if isinstance(primal, complex) else np.float64


def plain(y: Any, outer: bool = False) -> Any:
    """Return an output as an array (0-d ones as scalars).

    It stays a Variable, on a handle of the caller's, if it has outer ones.
    """
    if type(y) is not Variable:
        return y
    if outer:
        return graph.handle(y)
    return y.value if y.ndim else y.value[()]


def released(y: Any, inputs: list[Variable], outer: bool = False, kept: bool = False) -> Any:
    """Return an output as `plain` does, in memory of its own: the caller may write into it.

    What shares memory with an input is copied; with `kept`, where the record lives on, what that
    reads too.
    """
    if type(y) is Variable:
        if outer or not y.ndim:
            return plain(y, outer)
        if kept and graph.is_shared(y):
            return y.value.copy("K")
        y = y.value
    return y.copy("K") if isinstance(y, np.ndarray) and _shares_memory(y, inputs) else y


def _shares_memory(array: np.ndarray, inputs: list[Variable]) -> bool:
    if array.base is None:
        return any([array is graph.array_of(x) for x in inputs])
    return any([np.may_share_memory(array, graph.array_of(x)) for x in inputs])


def outputs_of(r: Recorded) -> tuple[list[Any], tree.TreeDef]:
    """Flatten what the function returned.

    Its Variables as handles of our own: the ends of sweeps stay where they are when the caller
    writes into what he gets, or into something that it is a view of.
    """
    leaves, treedef = tree.flatten(r.result)
    r.result = None  # nobody else but the caller's function holds its handles
    for k, y in enumerate(leaves):
        leaves[k] = y = graph.unfilled(y)
        if type(y) is Variable:
            leaves[k] = y = graph.handle(y)
        else:
            numbers(y, f"{r.name}: the function's {treedef.paths('output')[k]}")
    return leaves, treedef


def cotangent_for(name: str, label: str, g: Any, y: Any, number: int = 0) -> Any:
    """Return the cotangent `g` of a value `y` as an array or Variable of its shape."""
    if type(g) is np.ndarray and type(y) is Variable and g.shape == y.shape and g.dtype == y.dtype:
        return g
    what = label.format(number)
    shape = np.shape(graph.array_of(y))
    if g is None:
        if np.prod(shape) != 1:
            raise ShapeError(f"{name}: an output of shape {shape} is not a scalar and needs {what}")
        return None
    if type(g) is not Variable:
        g = numbers(g, f"{name}: {what}")
    if g.shape != shape:
        raise ShapeError(f"{name}: {what} has shape {g.shape}, its output has shape {shape}")
    if g.dtype.kind == "c" and np.isrealobj(y.value if type(y) is Variable else y):
        raise DTypeError(f"{name}: {what} is complex, its output is real: pass its real part")
    return g


def numbers(x: Any, what: str, real: bool = False) -> Any:
    """Return a cotangent, a tangent or another operand as an array; integers are fine here.

    With `real`, complex numbers are refused.
    """
    if isinstance(x, Passive):
        return x if x.dtype.kind in "fc" else x.astype(float)
    array = as_numbers(x, what, real)
    return array if array.dtype.kind in "fc" else array.astype(float)
