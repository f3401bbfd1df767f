"""fastbp: exact derivatives for NumPy and SciPy code.

A function written with NumPy is recorded while it runs; derivatives are sweeps over the record.

>>> import numpy as np
>>> import fastbp as bp
>>> def loss(w, x, y):
...     return np.mean((np.tanh(x @ w) - y) ** 2)
>>> x, y = np.ones((4, 3)), np.zeros(4)
>>> bp.grad(loss)(np.zeros(3), x, y).shape
(3,)

See `gradients`, `grad`, `value_and_grad`, `vjp`, `jvp`, `jacobian`, `hessian`, and `fastbp.numpy`
for NumPy's functions with the activations of neural networks beside them.
"""

from importlib import import_module as _import_module

from fastbp import errors

try:
    from fastbp._core.graph import Variable, variable
except ModuleNotFoundError as _error:
    if _error.name is None or not _error.name.startswith("fastbp._core"):
        raise
    raise errors.NotBuiltError(
        "the compiled core of fastbp is missing: this is a source tree that was not built. "
        "Run 'pip install .' (or 'pip install -e .' for development) in it, "
        "or leave it to use an installed fastbp"
    ) from None

from fastbp import rules as _rules  # noqa: F401  (fills the table of operations)
from fastbp._core.matmul import matmul_vjp
from fastbp.custom import checkpoint, custom_rule
from fastbp.jacobians import hessian, jacobian
from fastbp.transforms import (
    elementwise_grad,
    grad,
    gradients,
    hvp,
    jvp,
    linearize,
    stop_gradient,
    value_and_grad,
    vjp,
)
from fastbp.unmodified import unmodified

__version__ = "0.1.0"

__all__ = [
    "Variable",
    "checkpoint",
    "custom_rule",
    "elementwise_grad",
    "errors",
    "grad",
    "gradients",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "linearize",
    "matmul_vjp",
    "scan",
    "stop_gradient",
    "unmodified",
    "value_and_grad",
    "variable",
    "vjp",
]

_SUBMODULES = (
    "chain",
    "limits",
    "numpy",
    "recurrent",
    "scipy",
    "sparse",
    "tensor",
    "testing",
    "tree",
)


def __getattr__(name):
    if name in _SUBMODULES:
        return _import_module(f"fastbp.{name}")
    if name == "scan":
        return _import_module("fastbp.recurrent").scan
    raise AttributeError(f"module 'fastbp' has no attribute {name!r}")


def __dir__():
    return sorted([*__all__, *_SUBMODULES, "__version__"])
