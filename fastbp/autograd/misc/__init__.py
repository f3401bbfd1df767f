"""Flat vectors, optimizers, fixed points: ``autograd.misc``."""

from fastbp.autograd.misc.flatten import flatten
from fastbp.autograd.misc.tracers import const_graph

__all__ = ["const_graph", "flatten"]
