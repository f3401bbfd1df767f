"""Exact derivatives for NumPy and SciPy code.

Start here: write a function with NumPy, and differentiate it.

>>> import numpy as np
>>> import fastbp as bp
>>> def loss(w, x, y):
...     return np.mean((np.tanh(x @ w) - y) ** 2)
>>> x, y = np.ones((4, 3)), np.zeros(4)
>>> value, gradient = bp.value_and_grad(loss)(np.zeros(3), x, y)

`grad`, `value_and_grad`       gradients by arrays, or nested containers of arrays
`jacobian`, `hessian`          whole matrices; `elementwise_grad`
`vjp`, `jvp`, `hvp`            products with them; `linearize`
`unmodified`                   code that makes plain arrays and fills them, as it is
`scan`, `checkpoint`           loops with a carried state; memory for time
`cond`, `while_loop`           branches and loops that values decide
`compile`, `load`              recorded once, replayed without Python; from a file
`vmap`                         a function of one member for a whole batch
`custom_rule`, `stop_gradient` a rule for what has none; constants
`variable`, `gradients`        the graph itself; `draw` a picture of it

Where a derivative would be lost, an error says what to write instead. Submodules:

fastbp.numpy      NumPy's functions, arrays that take recorded values, activations
fastbp.scipy      SciPy's functions: special, linalg, integrate, stats, signal and others
fastbp.sparse     sparse Jacobians and Hessians; what SciPy's solvers take
fastbp.recurrent  rnn, gru, lstm over whole sequences; Jacobians along trajectories
fastbp.optim      sgd, adam, adamw, lbfgs over nested containers
fastbp.chain      products of Jacobians in the cheapest order
fastbp.tensor     explicit derivative tensors without their zeros
fastbp.testing    check_grads: derivatives against differences
fastbp.autograd   autograd's names, for programs that were written for it
fastbp.tree       nested containers to flat lists and back
fastbp.limits     the largest derivative that is made
fastbp.errors     what is raised

`help(bp.grad)` explains a function; docs/tutorial.md says what to change in code that is there,
docs/from_jax.md, from_pytorch.md and from_autograd.md what other libraries' names are here.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from fastbp import errors

try:
    from fastbp._core.graph import Variable as Variable
    from fastbp._core.graph import variable
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
from fastbp.checkpointing import checkpoint
from fastbp.custom import custom_rule
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

if TYPE_CHECKING:  # loaded when they are asked for, see below
    from fastbp import autograd as autograd
    from fastbp import chain as chain
    from fastbp import limits as limits
    from fastbp import numpy as numpy
    from fastbp import optim as optim
    from fastbp import recurrent as recurrent
    from fastbp import scipy as scipy
    from fastbp import sparse as sparse
    from fastbp import tensor as tensor
    from fastbp import testing as testing
    from fastbp import tree as tree
    from fastbp.compiling import compile, load
    from fastbp.drawing import draw
    from fastbp.mapping import vmap
    from fastbp.recurrent.branches import cond, while_loop
    from fastbp.recurrent.scan import scan

__version__ = "0.1.0"

# Without Variable, which is as public: help(fastbp) would show a hundred operators of it first.
__all__ = [
    "checkpoint",
    "compile",
    "cond",
    "custom_rule",
    "draw",
    "elementwise_grad",
    "errors",
    "grad",
    "gradients",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "linearize",
    "load",
    "matmul_vjp",
    "scan",
    "stop_gradient",
    "unmodified",
    "value_and_grad",
    "variable",
    "vjp",
    "vmap",
    "while_loop",
]

_SUBMODULES = (
    "autograd",
    "chain",
    "limits",
    "numpy",
    "optim",
    "recurrent",
    "scipy",
    "sparse",
    "tensor",
    "testing",
    "tree",
)

if not TYPE_CHECKING:  # or every name would be there for type checkers

    def __getattr__(name):
        if name in _SUBMODULES:
            return _import_module(f"fastbp.{name}")
        if name in ("compile", "load"):
            return getattr(_import_module("fastbp.compiling"), name)
        if name == "draw":
            return _import_module("fastbp.drawing").draw
        if name == "vmap":
            return _import_module("fastbp.mapping").vmap
        if name in ("cond", "scan", "while_loop"):
            return getattr(_import_module("fastbp.recurrent"), name)
        raise _import_module("fastbp.elsewhere").no_attribute(name)


def __dir__():
    return sorted(["Variable", *__all__, *_SUBMODULES, "__version__"])
