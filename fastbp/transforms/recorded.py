"""Gradients of values that are recorded already, and what leaves the record."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp import tree
from fastbp import unconnected as loss
from fastbp._core import calls, graph, sweep
from fastbp._core.graph import Variable
from fastbp._core.tape import Tape
from fastbp.errors import DTypeError, ShapeError
from fastbp.recording import cotangent_for

__all__ = ["gradients", "stop_gradient"]


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
