"""Functions of one argument differentiated, rules and vector spaces: ``autograd.core``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastbp._core import sweep
from fastbp._core.graph import Spec, Variable
from fastbp.autograd.boxes import Box
from fastbp.autograd.primitives import (
    def_linear,
    defjvp,
    defjvp_argnum,
    defjvp_argnums,
    defvjp,
    defvjp_argnum,
    defvjp_argnums,
    primitive,
    primitive_jvps,
    primitive_vjps,
    sum_outgrads,
    translate_jvp,
    translate_vjp,
)
from fastbp.autograd.vspaces import SparseObject, VSpace, dense, vspace
from fastbp.recording import Recorded, connect, cotangent_for, outputs_of, released
from fastbp.transforms import linearize_for

__all__ = [
    "JVPNode",
    "Node",
    "SparseBox",
    "SparseObject",
    "VJPNode",
    "VSpace",
    "add_outgrads",
    "backward_pass",
    "def_linear",
    "defjvp",
    "defjvp_argnum",
    "defjvp_argnums",
    "defvjp",
    "defvjp_argnum",
    "defvjp_argnums",
    "identity_jvp",
    "identity_vjp",
    "make_jvp",
    "make_vjp",
    "primitive",
    "primitive_jvps",
    "primitive_vjps",
    "sparse_add",
    "sum_outgrads",
    "trace",
    "translate_jvp",
    "translate_vjp",
    "vspace",
]


def make_vjp(fun: Callable[[Any], Any], x: Any) -> tuple[Callable[[Any], Any], Any]:
    """Return the pullback of a function of one argument, and its value.

    Examples
    --------
    >>> pull, value = make_vjp(lambda x: x**2, 3.0)
    >>> value, pull(1.0)
    (np.float64(9.0), np.float64(6.0))
    """
    r = Recorded("autograd.make_vjp", fun, (x,), {}, 0)
    leaves, treedef = outputs_of(r)
    tape = connect(r, leaves, "warn")

    def vjp(g: Any) -> Any:
        given = treedef.leaves_of(dense(g), "a cotangent")
        pulled = [
            cotangent_for("autograd.make_vjp", "a cotangent", g, y)
            for g, y in zip(given, leaves, strict=True)
            if type(y) is Variable
        ]
        recorded = tape.outer or any(type(g) is Variable for g in pulled)
        return r.gather(sweep.reverse(tape, pulled, recorded), True, "zero")

    return vjp, treedef.unflatten([released(y, r.inputs, tape.outer, True) for y in leaves])


def make_jvp(fun: Callable[[Any], Any], x: Any) -> Callable[[Any], tuple[Any, Any]]:
    """Return a function of a tangent, which returns the value and its tangent.

    Examples
    --------
    >>> make_jvp(lambda x: x**2, 3.0)(1.0)
    (np.float64(9.0), np.float64(6.0))
    """

    def jvp(g: Any) -> tuple[Any, Any]:
        value, push = linearize_for("autograd.make_jvp", fun, (x,), False, "warn")
        return value, push(dense(g))

    return jvp


# ---- nodes, as far as programs name them ---------------------------------------------------------


class Node:
    """What `trace` is given, for the kind of derivative, and what it returns."""

    __slots__ = ()

    def __init__(
        self, value: Any, fun: Any, args: Any, kwargs: Any, parent_argnums: Any, parents: Any
    ) -> None:
        raise NotImplementedError(f"{type(self).__name__}: nodes are made by trace")

    def initialize_root(self, *args: Any, **kwargs: Any) -> None:
        """Set what the node of an argument has."""
        raise NotImplementedError(f"{type(self).__name__}.initialize_root")

    @classmethod
    def new_root(cls, *args: Any, **kwargs: Any) -> Any:
        """Return the node of an argument."""
        root = cls.__new__(cls)
        root.initialize_root(*args, **kwargs)
        return root


class VJPNode(Node):
    """The node for cotangents: after `trace`, what `backward_pass` takes.

    Examples
    --------
    >>> import fastbp.autograd.numpy as np
    >>> from fastbp.autograd.core import VJPNode, backward_pass, trace
    >>> value, node = trace(VJPNode.new_root(), lambda x: x**2, 3.0)
    >>> value, backward_pass(1.0, node)
    (np.float64(9.0), np.float64(6.0))
    """

    __slots__ = ("parents", "vjp")
    parents: list[Any]
    vjp: Callable[[Any], Any]

    def initialize_root(self) -> None:
        """Set what the node of an argument has: no parents."""
        self.parents, self.vjp = [], lambda g: ()


class JVPNode(Node):
    """The node for tangents: ``new_root(g)`` before `trace`, and after it the tangent ``g``.

    Examples
    --------
    >>> from fastbp.autograd.core import JVPNode, trace
    >>> value, node = trace(JVPNode.new_root(1.0), lambda x: x**2, 3.0)
    >>> value, node.g
    (np.float64(9.0), np.float64(6.0))
    """

    __slots__ = ("g",)
    g: Any

    def initialize_root(self, g: Any) -> None:
        """Set what the node of an argument has: its tangent."""
        self.g = g


def trace(start_node: Node, fun: Callable[[Any], Any], x: Any) -> tuple[Any, Any]:
    """Return ``fun(x)`` and the node of it, whose ancestor is `start_node`.

    Parameters
    ----------
    start_node : Node
        A `VJPNode` or `JVPNode` for a derivative. Any other class of nodes is called for each
        operation, in their order, as ``cls(value, fun, args, kwargs, parent_argnums, parents)``.
    fun, x
        A function of one argument, and the argument.

    Notes
    -----
    Operations are fastbp's. Its record keeps what derivatives read: the value of another operation,
    and of a constant that none reads, is None.
    """
    end: Any
    op: Any
    if isinstance(start_node, VJPNode):
        pull, value = make_vjp(fun, x)
        end = VJPNode.new_root()
        end.parents, end.vjp = [start_node], lambda g: (pull(g),)
        return value, end
    if isinstance(start_node, JVPNode):
        value, g = make_jvp(fun, x)(start_node.g)
        return value, JVPNode.new_root(g)
    r = Recorded("autograd.trace", fun, (x,), {}, 0)
    (y,), _ = outputs_of(r)
    tape = connect(r, [y], "warn")
    if type(y) is not Variable:
        return y, None
    nodes: dict[int, Any] = dict.fromkeys(tape.input_positions, start_node)
    for position, link in enumerate(tape.links()):
        parents = [(k, nodes[p]) for k, p in enumerate(link.parents) if p in nodes]
        if position not in nodes and parents:
            call, args = link.static.get("call"), [_known(x) for x in link.operands]
            if call is None:
                op, kwargs = link.op, link.static
            else:  # of a primitive, whose operands are the recorded ones of its arguments
                op, kwargs, args = call.fun, call.kwargs, call.arguments(args)
                parents = [(call.position(k), p) for k, p in parents]
            nodes[position] = type(start_node)(
                _known(link.ans), op, tuple(args), kwargs, *zip(*parents, strict=True)
            )
    return released(y, r.inputs, tape.outer), nodes.get(tape.output_positions[0])


def _known(x: Any) -> Any:
    return None if type(x) is Spec else x


def backward_pass(g: Any, end_node: VJPNode) -> Any:
    """Return the cotangent of the argument of `trace`."""
    return end_node.vjp(g)[0]


# ---- sums of cotangents --------------------------------------------------------------------------


def add_outgrads(prev_g_flagged: Any, g: Any) -> tuple[Any, bool]:
    """Add a cotangent to a pair of a sum and whether it may be written into, or to None."""
    if not prev_g_flagged:
        return dense(g), type(g) is SparseObject
    return sum_outgrads([prev_g_flagged[0], g]), True


def sparse_add(vs: Any, x_prev: Any, x_new: SparseObject) -> Any:
    """Add a sparse vector to an array, or to zero for None."""
    return x_new.mut_add(vs.zeros() if x_prev is None else x_prev)


def identity_vjp(argnums: Any, *args: Any) -> Callable[[Any], Any]:
    """Return the VJP of what passes its argument on."""
    return lambda g: g


def identity_jvp(g: Any, *args: Any, **kwargs: Any) -> Any:
    """Return the JVP of what passes its argument on."""
    return g


class SparseBox(Box):
    """Of the name only: cotangents are arrays when a program sees them."""
