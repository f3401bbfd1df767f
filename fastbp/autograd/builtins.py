"""Containers and their types: ``autograd.builtins``.

A function gets the containers that it was given, with recorded arrays in them, and returns such: so
`tuple`, `list` and `dict` are Python's own. `isinstance` and `type` see values.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from fastbp.autograd.boxes import DictBox, SequenceBox
from fastbp.autograd.primitives import notrace_primitive
from fastbp.autograd.vspaces import (
    ContainerVSpace,
    DictVSpace,
    ListVSpace,
    NamedTupleVSpace,
    SequenceVSpace,
    TupleVSpace,
    vspace,
)

__all__ = [
    "ContainerVSpace",
    "DictBox",
    "DictVSpace",
    "ListVSpace",
    "NamedTupleVSpace",
    "SequenceBox",
    "SequenceVSpace",
    "TupleVSpace",
    "container_take",
    "container_untake",
    "dict",
    "isinstance",
    "list",
    "make_sequence",
    "sequence_extend_left",
    "sequence_extend_right",
    "tuple",
    "type",
    "vspace",
]

dict = dict_ = builtins.dict
list = list_ = builtins.list
tuple = tuple_ = builtins.tuple
isinstance_, type_ = builtins.isinstance, builtins.type
isinstance = notrace_primitive(isinstance_)
type = notrace_primitive(type_)


def make_sequence(seq_type: Callable[..., Any], *args: Any) -> Any:
    """Return a sequence of the arguments."""
    return seq_type(args)


def container_take(A: Any, idx: Any) -> Any:
    """Return an item of a container."""
    return A[idx]


def container_untake(x: Any, idx: Any, vs: ContainerVSpace) -> Any:
    """Return a container of zeros but for one item, or a slice of items."""
    zeros = vs.zeros()
    if not isinstance_(idx, slice):
        return vs._subval(zeros, idx, x)
    for i, item in zip(range(*idx.indices(len(zeros))), x, strict=True):
        zeros = vs._subval(zeros, i, item)
    return zeros


def sequence_extend_right(seq: Any, *elts: Any) -> Any:
    """Return a list or tuple with more items behind."""
    return seq + type_(seq)(elts)


def sequence_extend_left(seq: Any, *elts: Any) -> Any:
    """Return a list or tuple with more items in front."""
    return type_(seq)(elts) + seq
