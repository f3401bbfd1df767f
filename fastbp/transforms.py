"""Derivatives of functions: each transform records its function once, then sweeps over the graph.

Arguments and results may be nested containers (`fastbp.tree`). Plain arrays go in and come out.
Only where a transform runs inside a recorded function, or its function reads Variables from its
surroundings, are the results Variables: they depend on those outer Variables, and can be
differentiated again. There are no levels of nesting to keep apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastbp import arguments, tree
from fastbp import unconnected as loss
from fastbp._core import calls, graph, sweep
from fastbp._core.graph import Variable, is_passive
from fastbp._core.tape import ConsumedError, Tape
from fastbp.derived import derived, named, of_record
from fastbp.errors import DTypeError, ShapeError
from fastbp.recording import (
    Recorded,
    connect,
    cotangent_for,
    holomorphic_part,
    like,
    numbers,
    outputs_of,
    plain,
    prototype,
    released,
)
from fastbp.rules.numpy.parts import from_parts

__all__ = [
    "elementwise_grad",
    "grad",
    "gradients",
    "hvp",
    "jvp",
    "linearize",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]


# ---- gradients of recorded values ----------------------------------------------------------------


def gradients(
    ys: Any,
    xs: Any,
    grad_outputs: Any = None,
    *,
    unconnected: str = "warn",
    create_graph: bool = False,
) -> Any:
    """Return the gradients of recorded values with respect to Variables.

    The sum over outputs of ``<grad_outputs, d ys / d xs>``: one reverse sweep.

    Parameters
    ----------
    ys : Variable or sequence of Variable
        Outputs of any shapes.
    xs : Variable or sequence of Variable
        Inputs of any shapes: leaves, or values computed on the way to `ys`. One that was written
        into stands for its present value.
    grad_outputs : array_like or sequence of array_like or None, optional
        Cotangents, one of the shape of each output; None for a scalar output stands for one.
    unconnected : {"warn", "zero", "none", "raise"}
        What an input gets that no output depends on: zeros with an `UnconnectedWarning` or
        without, None, or an `UnconnectedError`.
    create_graph : bool
        Record the sweep and return Variables, so that the gradients can be differentiated again.

    Returns
    -------
    ndarray or list of ndarray
        Of shape and dtype of each input; one array if `xs` is a single Variable. Fresh memory.

    Raises
    ------
    ShapeError
        If a cotangent has another shape than its output, or is missing for a non-scalar output.
    DTypeError
        If an input or output is not a Variable.
    UnconnectedError
        If asked for, see `unconnected`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> a, b = bp.variable(np.ones((2, 3))), bp.variable(np.ones((3, 4)))
    >>> a_bar, b_bar = bp.gradients(a @ b, [a, b], np.ones((2, 4)))
    >>> a_bar.shape, b_bar.shape
    ((2, 3), (3, 4))
    """
    loss.check_option("gradients", unconnected)
    if grad_outputs is None and not create_graph:
        found = calls.gradients(ys, xs)
        if found is not None:
            return found
    single = type(xs) is Variable
    inputs = [xs] if single else list(xs)
    if type(ys) is Variable:
        outputs, given = [ys], [grad_outputs]
    else:
        outputs = list(ys) if isinstance(ys, (list, tuple)) else [ys]
        given = [None] * len(outputs) if grad_outputs is None else list(grad_outputs)
    _check_variables("xs", inputs)
    _check_variables("ys", outputs)
    if len(given) != len(outputs):
        raise ShapeError(f"gradients: {len(given)} grad_outputs for {len(outputs)} ys")
    cotangents = [
        cotangent_for("gradients", "grad_outputs[{}]", g, outputs[i], i)
        for i, g in enumerate(given)
    ]
    results = sweep.reverse(Tape(outputs, inputs), cotangents, bool(create_graph))
    if create_graph or not all(type(g) is np.ndarray for g in results):
        _complete(results, inputs, unconnected, create_graph)
    return results[0] if single else results


def _check_variables(name: str, values: list[Any]) -> None:
    for i, x in enumerate(values):
        if type(x) is not Variable:
            raise DTypeError(f"gradients: {name}[{i}] is a {type(x).__name__}, not a Variable")


def _complete(
    results: list[Any], inputs: list[Variable], unconnected: str, create_graph: bool
) -> None:
    """Fill in what no output depends on; make constants Variables if those were asked for."""
    lost = [i for i, g in enumerate(results) if g is None and inputs[i].size]
    paths = [f"xs[{i}] of shape {inputs[i].shape}" for i in lost]
    loss.report("gradients", unconnected, [min(inputs, key=_age)], paths, "the output")
    for i, x in enumerate(inputs):
        if results[i] is None and unconnected != "none":
            results[i] = np.zeros(x.shape, x.dtype)
        if create_graph and results[i] is not None and type(results[i]) is not Variable:
            results[i] = graph.variable(results[i])
            loss.meant()


def _age(x: Variable) -> int:
    return x.node_id


# ---- gradients of scalar functions ---------------------------------------------------------------


def value_and_grad(
    f: Callable[..., Any],
    argnums: Any = 0,
    has_aux: bool = False,
    *,
    holomorphic: bool = False,
    unconnected: str = "warn",
) -> Callable[..., Any]:
    """Return a function that computes the value of `f` and its gradient.

    Parameters
    ----------
    f : callable
        Returns a scalar; with `has_aux`, a pair (scalar, anything).
    argnums : int or sequence of int
        Arguments to differentiate: arrays and numbers, or nested containers of them. Whole numbers
        count as float64. In a container beside floats, whole numbers, booleans, strings and other
        objects are settings, which `f` gets as they are.
    has_aux : bool
        Whether `f` returns auxiliary data beside the scalar.
    holomorphic : bool
        Whether `f` is a complex function of complex arguments with a complex derivative, which the
        gradient is then. By default `f` returns a real number, and the gradient by z = x + iy is
        ``dL/dx - i dL/dy``: a step downhill goes along its negative conjugate.
    unconnected : {"warn", "zero", "none", "raise"}
        What there is for an argument that the scalar does not depend on: zeros with an
        `UnconnectedWarning` or without, None, or an `UnconnectedError`.

    Returns
    -------
    callable
        Takes the arguments of `f` and returns ``(value, gradient)``, or ``((value, aux),
        gradient)``. The gradient has the structure of the argument, with None for settings; for
        several `argnums` it is a tuple.

    Raises
    ------
    ShapeError
        (from the returned function) If `f` does not return a scalar.
    TypeError
        If `f` is no function, or `argnums` are no integers.
    DTypeError
        (from the returned function) If an argument is not of numbers; if the scalar is complex
        without `holomorphic`; with it, if an argument or the scalar is real or `f` is not
        holomorphic.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> loss = lambda p, x: np.sum((x @ p["w"] + p["b"]) ** 2)
    >>> params = {"w": np.ones((2, 1)), "b": np.zeros(1)}
    >>> value, grads = bp.value_and_grad(loss)(params, np.ones((3, 2)))
    >>> float(value), grads["b"]
    (12.0, array([12.]))
    """
    bound, given = _bound("value_and_grad", f, argnums, has_aux, unconnected)
    call = _holomorphic if _flag("value_and_grad", holomorphic) else calls.value_and_gradient
    options = {"holomorphic": holomorphic, "unconnected": unconnected}
    g = derived(call, bound, value_and_grad, *given, **options)
    return named(g, "value_and_grad", f)


def _bound(
    name: str, f: Callable[..., Any], argnums: Any, has_aux: Any, option: str
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Check what a gradient is made from; return it for the call, and for a maker."""
    arguments.check_function(name, f)
    argnums = arguments.check_argnums(name, argnums)
    if not isinstance(has_aux, (bool, np.bool_)):
        raise TypeError(f"{name}: has_aux must be True or False, not a {type(has_aux).__name__}")
    loss.check_option(name, option)
    return (name, f, argnums, has_aux, type(argnums) is int, option), (f, argnums, has_aux)


def _flag(name: str, holomorphic: Any) -> bool:
    if not isinstance(holomorphic, (bool, np.bool_)):
        kind = type(holomorphic).__name__
        raise TypeError(f"{name}: holomorphic must be True or False, not a {kind}")
    return bool(holomorphic)


def _value_and_gradient(
    name: str,
    f: Callable[..., Any],
    argnums: Any,
    has_aux: bool,
    single: bool,
    option: str,
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    r = Recorded(name, f, args, kwargs, argnums)
    try:
        return _swept(name, r, has_aux, single, option, True)
    except ConsumedError:  # a large record, freed on the way, is needed again
        r = Recorded(name, f, args, kwargs, argnums)
        return _swept(name, r, has_aux, single, option, False)


def _finish(
    name: str,
    f: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    position: int,
    option: str,
    leaf: Variable,
    result: Any,
    consume: bool,
) -> Any:
    """Do the rest for a call of one array that the core recorded, if its result is unusual."""
    r = Recorded.of_one(name, args[position], position, leaf, result)
    del leaf, result
    try:
        return _swept(name, r, False, True, option, consume)
    except ConsumedError:
        r = Recorded(name, f, args, kwargs, position)
        return _swept(name, r, False, True, option, False)


graph.bind("value_and_gradient", _value_and_gradient)
graph.bind("finish_gradient", _finish)


def _swept(name: str, r: Recorded, has_aux: bool, single: bool, option: str, consume: bool) -> Any:
    y, aux = _with_aux(r) if has_aux else (r.result, None)
    if type(y) is not Variable or y.size != 1:
        _check_scalar(name, y)
    if type(y) is not Variable:
        value, found = released(y, r.inputs), [None] * len(r.inputs)
    else:
        if y.dtype.kind == "c":
            raise DTypeError(_complex_scalar(name, r))
        tape = Tape([y], r.inputs)
        value = y if tape.outer else plain(y)
        r.result = y = None
        found = sweep.reverse(tape, [None], None, 0, consume)
    return _with_value(r, value, aux, found, has_aux, single, option)


def _with_value(
    r: Recorded, value: Any, aux: Any, found: list[Any], has_aux: bool, single: bool, option: str
) -> Any:
    if has_aux:
        kept = type(value) is Variable
        value = (value, tree.map(lambda y: released(y, r.inputs, kept), aux))
    gradient = r.gather(found, single, option)
    if type(value) is Variable:
        loss.meant()
    return value, gradient


def _complex_scalar(name: str, r: Recorded) -> str:
    text = f"{name}: the function must return a real number, not a complex one"
    if all(x.dtype.kind == "c" for x in r.inputs):
        call = name if name in ("grad", "value_and_grad") else "fastbp.grad"
        return (
            f"{text}: return numpy.abs(y) ** 2 or y.real of it, or write {call}(f, "
            "holomorphic=True) for the complex derivative of a holomorphic function"
        )
    return (
        f"{text}: return numpy.abs(y) ** 2 or y.real of it, or use fastbp.jacobian; "
        "holomorphic=True is for complex arguments"
    )


def _holomorphic(
    name: str,
    f: Callable[..., Any],
    argnums: Any,
    has_aux: bool,
    single: bool,
    option: str,
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Return value and complex gradient of a holomorphic function."""
    r = Recorded(name, f, args, kwargs, argnums)
    for path, x in zip(r.paths(), r.inputs, strict=True):
        if x.dtype.kind != "c":
            raise DTypeError(
                f"{name}: holomorphic=True is for complex arguments, but {path} is {x.dtype}: "
                "leave it out, or make the argument complex"
            )
    y, aux = _with_aux(r) if has_aux else (r.result, None)
    _check_scalar(name, y, True)
    if type(y) is not Variable:
        value, found = released(y, r.inputs), [None] * len(r.inputs)
    else:
        if y.dtype.kind != "c":
            raise DTypeError(
                f"{name}: with holomorphic=True the function must return a complex number, not a "
                f"{y.dtype}: leave it out for a real loss"
            )
        tape = Tape([y], r.inputs)
        value = y if tape.outer else plain(y)
        found = _turned(name, tape, [y], r.inputs)
    return _with_value(r, value, aux, found, has_aux, single, option)


def _holomorphic_gradient(
    name: str,
    f: Callable[..., Any],
    argnums: Any,
    has_aux: bool,
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    value, found = _holomorphic(name, f, argnums, has_aux, *args, **kwargs)
    return (found, value[1]) if has_aux else found


def _turned(name: str, tape: Tape, outputs: list[Variable], inputs: list[Variable]) -> list[Any]:
    """Return derivatives of the sum of outputs, some of them complex, by one sweep of two seeds.

    The seed 1 finds the derivative of the real part, -i that of the imaginary part.
    """
    seeds = []
    for y in outputs:
        kinds = [1.0, -1j] if y.dtype.kind == "c" else [1.0, 0.0]
        seeds.append(np.stack([np.full(y.shape, c, y.dtype) for c in kinds]))
    found: list[Any] = []
    for x, g in zip(inputs, sweep.reverse(tape, seeds, None, 1), strict=True):
        if g is None:
            found.append(None)
        elif x.dtype.kind == "c":
            found.append(holomorphic_part(name, g[0], g[1], -1j))
        else:
            found.append(from_parts(g[0], g[1]))
    return found


def _with_aux(r: Recorded) -> tuple[Any, Any]:
    if not isinstance(r.result, tuple) or len(r.result) != 2:
        raise TypeError(
            f"{r.name}: with has_aux the function must return a pair, not {type(r.result).__name__}"
        )
    return r.result


def _check_scalar(name: str, y: Any, holomorphic: bool = False) -> None:
    value = y.value if type(y) is Variable else y
    if isinstance(value, (list, tuple, dict)) or value is None:
        raise ShapeError(f"{name}: the function must return a scalar, not a {type(value).__name__}")
    array = numbers(value, f"{name}: the function's output")
    if array.size != 1:
        raise ShapeError(
            f"{name}: the function must return a scalar, not an array of shape {array.shape}; "
            "use jacobian, vjp or elementwise_grad"
        )
    if array.dtype.kind == "c" and not holomorphic:
        raise DTypeError(
            f"{name}: the function must return a real number, not a complex one: return "
            "numpy.abs(y) ** 2 or y.real of it, or write holomorphic=True for the complex "
            "derivative of a holomorphic function"
        )


def grad(
    f: Callable[..., Any],
    argnums: Any = 0,
    has_aux: bool = False,
    *,
    holomorphic: bool = False,
    unconnected: str = "warn",
) -> Callable[..., Any]:
    """Return a function that computes the gradient of `f`.

    Parameters
    ----------
    f : callable
        Returns a scalar; with `has_aux`, a pair (scalar, anything).
    argnums : int or sequence of int
        Positional arguments to differentiate: arrays, floats, or nested containers of them, as for
        `value_and_grad`. All others are constants, and may be anything.
    has_aux : bool
        Whether `f` returns auxiliary data beside the scalar.
    holomorphic : bool
        Whether `f` is a complex function with a complex derivative, as for `value_and_grad`.
    unconnected : {"warn", "zero", "raise", "none"}
        What to do for an argument that the result does not depend on, as for `value_and_grad`.

    Returns
    -------
    callable
        Takes the arguments of `f` and returns the gradient, or ``(gradient, aux)``. The gradient
        has the structure and shapes of the argument; for several `argnums` it is a tuple.

    Raises
    ------
    ShapeError, DTypeError, NoRuleError
        (from the returned function) If `f` does not return a scalar, if an argument is not of
        floats, if `f` hands a recorded value to a function that has no rule; the message says what
        to write instead.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> bp.grad(lambda x: np.sum(x**3))(np.array([1.0, 2.0]))
    array([ 3., 12.])
    >>> bp.grad(bp.grad(lambda x: x**3))(2.0)
    np.float64(12.0)
    >>> bp.grad(lambda p: np.sum(p["w"] ** p["n"]))({"w": np.array([1.0, 2.0]), "n": 2})
    {'w': array([2., 4.]), 'n': None}
    """
    bound, given = _bound("grad", f, argnums, has_aux, unconnected)
    if _flag("grad", holomorphic):
        call = _holomorphic_gradient
    else:
        call = _gradient_and_aux if has_aux else calls.gradient
    options = {"holomorphic": holomorphic, "unconnected": unconnected}
    return named(derived(call, bound, grad, *given, **options), "grad", f)


def gradient_for(
    name: str, f: Callable[..., Any], argnums: Any = 0, unconnected: str = "warn"
) -> Callable[..., Any]:
    """Return the gradient of `f` as a part of another transform, which errors name."""
    bound, (f, argnums, _) = _bound(name, f, argnums, False, unconnected)
    g = derived(calls.gradient, bound, gradient_for, name, f, argnums, unconnected)
    return named(g, "grad", f)


def _gradient_and_aux(*args: Any, **kwargs: Any) -> Any:
    value, found = _value_and_gradient(*args, **kwargs)
    return found, value[1]


def elementwise_grad(
    f: Callable[..., Any], argnums: Any = 0, *, unconnected: str = "warn"
) -> Callable[..., Any]:
    """Return a function that computes the derivative of an elementwise function at every element.

    It sums the columns of the Jacobian; if each output element depends on one input element only,
    that is the derivative.

    Parameters
    ----------
    f : callable
        Returns an array of any shape.
    argnums : int or sequence of int
        Positional arguments to differentiate.
    unconnected
        As for `grad`.

    Returns
    -------
    callable
        Takes the arguments of `f` and returns an array of the shape of the differentiated argument.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> bp.elementwise_grad(np.sin)(np.zeros(3))
    array([1., 1., 1.])
    """
    bound, given = _bound("elementwise_grad", f, argnums, False, unconnected)
    options = {"unconnected": unconnected}
    g = derived(_elementwise_derivative, bound, elementwise_grad, *given[:2], **options)
    return named(g, "elementwise_grad", f)


def _elementwise_derivative(
    name: str,
    f: Callable[..., Any],
    argnums: Any,
    has_aux: bool,
    single: bool,
    option: str,
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    r = Recorded(name, f, args, kwargs, argnums)
    leaves, _ = outputs_of(r)
    outputs = [y for y in leaves if type(y) is Variable]
    tape = Tape(outputs, r.inputs)
    if any(y.dtype.kind == "c" for y in outputs):
        found = _turned(name, tape, outputs, r.inputs)
    else:
        found = sweep.reverse(tape, [np.ones(y.shape, y.dtype) for y in outputs], None)
    gradient = r.gather(found, single, option)
    if tape.outer:
        loss.meant()
    return gradient


# ---- products with Jacobians ---------------------------------------------------------------------


def vjp(
    f: Callable[..., Any], *primals: Any, unconnected: str = "warn"
) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """Evaluate `f` and return its pullback.

    Parameters
    ----------
    f : callable
        Returns an array or a nested container of arrays.
    *primals
        Its arguments, as those that `grad` differentiates.
    unconnected : {"warn", "zero", "none", "raise"}
        What there is for a primal that no output depends on, as for `grad`.

    Returns
    -------
    out
        ``f(*primals)``.
    vjp_fn : callable
        ``vjp_fn(cotangent) -> tuple``, one cotangent for each primal; may be called any number of
        times. The cotangent has the structure and shapes of `out`. It holds the record, so it
        cannot be pickled.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> out, pullback = bp.vjp(np.multiply, np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    >>> pullback(np.ones(2))
    (array([3., 4.]), array([1., 2.]))
    """
    loss.check_option("vjp", unconnected)
    r = _record_all("vjp", f, primals)
    leaves, treedef = outputs_of(r)
    tape = connect(r, leaves, unconnected)
    option = "none" if unconnected == "none" else "zero"

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        given = treedef.leaves_of(cotangent, "cotangent")
        checked = [
            cotangent_for("vjp", "a cotangent", g, y) for g, y in zip(given, leaves, strict=True)
        ]
        pulled = [g for y, g in zip(leaves, checked, strict=True) if type(y) is Variable]
        recorded = tape.outer or any(type(g) is Variable for g in checked)
        found = sweep.reverse(tape, pulled, recorded)
        cotangents: tuple[Any, ...] = r.gather(found, False, option)
        return cotangents

    out = treedef.unflatten([released(y, r.inputs, tape.outer, True) for y in leaves])
    return out, of_record(pullback, "fastbp.vjp(f, *primals)")


def _record_all(
    name: str, f: Callable[..., Any], primals: Sequence[Any], what: str = "primal"
) -> Recorded:
    """Record a call in which all arguments are differentiated."""
    arguments.check_function(name, f)
    if not primals:
        raise TypeError(f"{name}: at least one {what} is needed: write {name}(f, x)")
    return Recorded(name, f, tuple(primals), {}, tuple(range(len(primals))))


def linearize(
    f: Callable[..., Any], *primals: Any, unconnected: str = "warn"
) -> tuple[Any, Callable[..., Any]]:
    """Evaluate `f` and return its pushforward.

    Parameters
    ----------
    f : callable
    *primals
        As for `vjp`.
    unconnected : {"warn", "zero", "raise"}
        What happens where no output depends on a primal.

    Returns
    -------
    out
        ``f(*primals)``.
    jvp_fn : callable
        ``jvp_fn(*tangents)``: the directional derivative, in the structure of `out`. One tangent
        for each primal, of its structure and shapes; may be called any number of times. It holds
        the record, so it cannot be pickled.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> out, pushforward = bp.linearize(np.square, np.array([1.0, 2.0]))
    >>> pushforward(np.array([1.0, 0.0]))
    array([2., 0.])
    """
    return linearize_for("linearize", f, primals, True, unconnected)


def linearize_for(
    name: str,
    f: Callable[..., Any],
    primals: Sequence[Any],
    kept: bool,
    option: str,
    labels: tuple[str, str] | None = None,
) -> tuple[Any, Callable[..., Any]]:
    """Evaluate `f` and return its pushforward, as a part of another transform, which errors name.

    With `kept`, the value has memory of its own, which the pushforward does not read.
    """
    loss.check_option(name, option, loss.WITHOUT_NONE)
    r = _record_all(name, f, primals)
    leaves, treedef = outputs_of(r)
    tape = connect(r, leaves, option)

    def pushforward(*tangents: Any) -> Any:
        if len(tangents) != len(r.treedefs):
            raise ShapeError(f"{name}: {len(tangents)} tangents for {len(r.treedefs)} primals")
        checked = _tangents(r, tangents, labels)
        recorded = tape.outer or any(type(t) is Variable or is_passive(t) for t in checked)
        found = iter(sweep.forward(tape, checked, recorded))
        return treedef.unflatten(
            [like(next(found) if type(y) is Variable else None, prototype(y)) for y in leaves]
        )

    out = treedef.unflatten([released(y, r.inputs, tape.outer, kept) for y in leaves])
    return out, of_record(pushforward, "fastbp.linearize(f, *primals)")


def _tangents(r: Recorded, tangents: Sequence[Any], labels: tuple[str, str] | None) -> list[Any]:
    """Return a checked tangent for each of the recorded arguments."""
    primal, tangent = ("its primal", "tangent {}") if labels is None else labels
    given: list[Any] = []
    for treedef, part, i in zip(r.treedefs, tangents, r.positions, strict=True):
        given += treedef.leaves_of(part, tangent.format(i), bool(r.settings))
    names = [tangent.format(i) for i in r.positions]
    if r.settings:
        for k, (t, path) in enumerate(zip(given, _all_paths(r, names), strict=True)):
            if k in r.settings and t is not r.settings[k] and not _is_nothing(t):
                raise DTypeError(f"{r.name}: {path} must be None: its primal is a setting")
        given = [t for k, t in enumerate(given) if k not in r.settings]
    checked = []
    for k, (t, x) in enumerate(zip(given, r.inputs, strict=True)):
        if type(t) is np.ndarray and t.shape == x.shape and t.dtype == x.dtype:
            checked.append(t)
            continue
        path = r.paths(names)[k]
        if t is None:
            raise ShapeError(f"{r.name}: {path} is None, {primal} has shape {x.shape}")
        if type(t) is not Variable:
            t = numbers(t, f"{r.name}: {path}")
        if t.shape != x.shape:
            raise ShapeError(f"{r.name}: {path} has shape {t.shape}, {primal} has shape {x.shape}")
        if t.dtype.kind == "c" and x.dtype.kind != "c":
            raise DTypeError(f"{r.name}: {path} is complex, {primal} is real: pass its real part")
        checked.append(t)
    return checked


def _all_paths(r: Recorded, names: Sequence[str]) -> list[str]:
    pairs = zip(names, r.treedefs, strict=True)
    return [path for name, treedef in pairs for path in treedef.paths(name)]


def _is_nothing(t: Any) -> bool:
    """Say whether a tangent is none: None, or zeros, as ``tree.map(numpy.zeros_like, x)`` makes."""
    return t is None or (np.asarray(t).dtype.kind in "fiub" and not np.any(t))


def jvp(
    f: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    unconnected: str = "warn",
) -> tuple[Any, Any]:
    """Evaluate `f` and its directional derivative.

    Parameters
    ----------
    f : callable
    primals, tangents : sequence
        Arguments and directions, of the same structures and shapes; None for settings.
    unconnected : {"warn", "zero", "raise"}
        What happens where no output depends on a primal.

    Returns
    -------
    out, out_dot
        ``f(*primals)`` and its derivative along `tangents`, of the same structure.

    Raises
    ------
    ShapeError
        If a tangent has another shape than its primal.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> bp.jvp(np.sin, (0.0,), (2.0,))
    (np.float64(0.0), np.float64(2.0))
    """
    for what, value in (("primals", primals), ("tangents", tangents)):
        if not isinstance(value, (tuple, list)):
            raise TypeError(f"jvp: {what} must be a tuple or list, not a {type(value).__name__}")
    out, pushforward = linearize_for("jvp", f, primals, False, unconnected)
    return out, pushforward(*tangents)


def hvp(f: Callable[..., Any], x: Any, v: Any, *args: Any, unconnected: str = "warn") -> Any:
    """Return the product of the Hessian of a scalar function with a vector, forward over reverse.

    Parameters
    ----------
    f : callable
        ``f(x, *args)`` returns a scalar.
    x, v : array or nested container of arrays
        Point and direction, of the same structure and shapes; None for settings.
    *args
        Further arguments of `f`, not differentiated. ``functools.partial(bp.hvp, f)`` is what SciPy
        takes as ``hessp=``.
    unconnected : {"warn", "zero", "raise"}
        What happens where the scalar does not depend on `x`.

    Returns
    -------
    The structure of `x`

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> bp.hvp(lambda x: np.sum(x**3), np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    array([ 6., 12.])
    """
    loss.check_option("hvp", unconnected, loss.WITHOUT_NONE)
    inner = gradient_for("hvp", (lambda x: f(x, *args)) if args else f, 0, unconnected)
    return linearize_for("hvp", inner, (x,), False, "zero", ("x", "v"))[1](v)


def stop_gradient(x: Any) -> Any:
    """Return the values of `x` as constants: no derivative flows through them.

    Parameters
    ----------
    x : Variable, array, or nested container of them

    Returns
    -------
    Read-only arrays in place of the Variables; everything else unchanged.

    Examples
    --------
    >>> import fastbp as bp
    >>> bp.grad(lambda x: x * bp.stop_gradient(x))(3.0)
    np.float64(3.0)
    """
    return tree.map(_constant, x)


def _constant(x: Any) -> Any:
    if type(x) is not Variable:
        return x
    loss.meant()
    if graph.keeps(x):
        return graph.passive(x)
    view = x.value.view()
    view.flags.writeable = False
    return view
