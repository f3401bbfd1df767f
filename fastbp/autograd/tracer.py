"""Boxes, primitives and tracing: ``autograd.tracer``."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from fastbp.autograd.boxes import Box, getval, isbox, new_box
from fastbp.autograd.core import Node, trace
from fastbp.autograd.primitives import notrace_primitive, primitive, register_notrace
from fastbp.autograd.util import toposort

__all__ = [
    "Box",
    "Node",
    "TraceStack",
    "getval",
    "isbox",
    "new_box",
    "notrace_primitive",
    "primitive",
    "register_notrace",
    "toposort",
    "trace",
    "trace_stack",
]


class TraceStack(threading.local):
    """How many traces are open in this thread; derivatives nest without knowing it."""

    def __init__(self) -> None:
        self.top = -1

    @contextlib.contextmanager
    def new_trace(self) -> Iterator[int]:
        """Count one more inside of a ``with`` block."""
        self.top += 1
        try:
            yield self.top
        finally:
            self.top -= 1


trace_stack = TraceStack()
