"""autograd's names, over fastbp: for programs that were written for HIPS/autograd.

``import autograd.numpy as np`` becomes ``import fastbp.autograd.numpy as np``, and nothing else
changes; or not even that: `install` lets ``import autograd`` find this package, for a program and
the libraries that it uses, and ``python -m fastbp.autograd script.py`` does it from outside.
docs/from_autograd.md has a table of names, and what differs.

Examples
--------
>>> import fastbp.autograd.numpy as np
>>> from fastbp.autograd import grad, jacobian
>>> grad(grad(np.sin))(0.5) == -np.sin(0.5)
np.True_
"""

from fastbp.autograd import core, extend, numpy, tracer, util, wrap_util  # noqa: F401
from fastbp.autograd.builtins import dict, isinstance, list, tuple, type
from fastbp.autograd.differential_operators import (
    checkpoint,
    deriv,
    elementwise_grad,
    grad,
    grad_and_aux,
    grad_named,
    hessian,
    hessian_tensor_product,
    hessian_vector_product,
    holomorphic_grad,
    jacobian,
    make_ggnvp,
    make_hvp,
    make_jvp,
    make_vjp,
    multigrad_dict,
    tensor_jacobian_product,
    value_and_grad,
    vector_jacobian_product,
)
from fastbp.autograd.installing import install
from fastbp.autograd.primitives import primitive

__all__ = [
    "checkpoint",
    "deriv",
    "dict",
    "elementwise_grad",
    "grad",
    "grad_and_aux",
    "grad_named",
    "hessian",
    "hessian_tensor_product",
    "hessian_vector_product",
    "holomorphic_grad",
    "install",
    "isinstance",
    "jacobian",
    "list",
    "make_ggnvp",
    "make_hvp",
    "make_jvp",
    "make_vjp",
    "multigrad_dict",
    "primitive",
    "tensor_jacobian_product",
    "tuple",
    "type",
    "value_and_grad",
    "vector_jacobian_product",
]
