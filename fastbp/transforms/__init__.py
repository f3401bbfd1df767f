"""Derivatives of functions: each transform records its function once, then sweeps over the graph.

Arguments and results may be nested containers (`fastbp.tree`). Plain arrays go in and come out.
Only where a transform runs inside a recorded function, or its function reads Variables from its
surroundings, are the results Variables: they depend on those outer Variables, and can be
differentiated again. There are no levels of nesting to keep apart.
"""

from fastbp.transforms.gradients import elementwise_grad, grad, gradient_for, value_and_grad
from fastbp.transforms.products import hvp, jvp, linearize, linearize_for, vjp
from fastbp.transforms.recorded import gradients, stop_gradient

__all__ = [
    "elementwise_grad",
    "grad",
    "gradient_for",
    "gradients",
    "hvp",
    "jvp",
    "linearize",
    "linearize_for",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]
