"""Names and keywords of other libraries, and what they are here: words for errors."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["NAMES", "no_attribute", "spelled"]

P = ParamSpec("P")
R = TypeVar("R")

#: What to write for names that autograd, JAX, PyTorch and others have.
NAMES = {
    "Parameter": "fastbp.variable(x)",
    "Tensor": "fastbp.variable(x)",
    "array": "fastbp.numpy.array(...)",
    "backward": "fastbp.gradients(y, x)",
    "check_grads": "fastbp.testing.check_grads(f, args)",
    "custom_gradient": "fastbp.custom_rule(f, vjp=...)",
    "custom_jvp": "fastbp.custom_rule(f, jvp=...)",
    "custom_vjp": "fastbp.custom_rule(f, vjp=...)",
    "defjvp": "fastbp.custom_rule(f, jvp=...)",
    "defvjp": "fastbp.custom_rule(f, vjp=...)",
    "derivative": "fastbp.grad(f), of arrays fastbp.elementwise_grad(f)",
    "detach": "fastbp.stop_gradient(x)",
    "egrad": "fastbp.elementwise_grad(f)",
    "gradient": "fastbp.grad(f), of recorded values fastbp.gradients(y, x)",
    "hessian_vector_product": "fastbp.hvp(f, x, v)",
    "jacfwd": 'fastbp.jacobian(f, mode="forward")',
    "jacrev": 'fastbp.jacobian(f, mode="reverse")',
    "jit": "fastbp.compile(f)",
    "jnp": "fastbp.numpy",
    "lax": "fastbp.scan(step, carry, xs) for loops, numpy.where for branches",
    "make_hvp": "fastbp.hvp(f, x, v)",
    "make_jvp": "fastbp.jvp(f, primals, tangents)",
    "make_vjp": "fastbp.vjp(f, *primals)",
    "njit": "fastbp.compile(f)",
    "nn": "fastbp.recurrent for cells; layers are functions of arrays",
    "no_grad": "fastbp.stop_gradient(x), or call the function with plain arrays",
    "pmap": "multiprocessing.Pool(n).map(fastbp.grad(f), xs): there are no devices",
    "primitive": "fastbp.custom_rule(f, vjp=...)",
    "remat": "fastbp.checkpoint(f)",
    "requires_grad": "fastbp.variable(x)",
    "tensor_grad": "fastbp.tensor.derivative(f, x)",
    "tree_map": "fastbp.tree.map(f, x)",
    "tree_util": "fastbp.tree",
    "value_and_gradient": "fastbp.value_and_grad(f)",
}
_KEYWORDS: dict[str, tuple[str, ...]] = {
    "argnum": ("argnums",),
    "beta1": ("b1",),
    "beta2": ("b2",),
    "beta_1": ("b1",),
    "beta_2": ("b2",),
    "betas": ("b1", "b2"),
    "create_graph": (),
    "epochs": ("steps",),
    "epsilon": ("eps",),
    "iterations": ("steps",),
    "learn_rate": ("learning_rate",),
    "lr": ("learning_rate",),
    "max_iter": ("steps",),
    "maxiter": ("steps",),
    "n_steps": ("steps",),
    "num_iters": ("steps",),
    "num_steps": ("steps",),
    "retain_graph": (),
    "step_size": ("learning_rate",),
    "wrt": ("argnums",),
}


def no_attribute(name: str) -> AttributeError:
    """Return the error of a name that fastbp has not."""
    hint = f": write {NAMES[name]}" if name in NAMES else ""
    return AttributeError(f"module 'fastbp' has no attribute {name!r}{hint}")


def spelled(f: Callable[P, R]) -> Callable[P, R]:
    """Return `f` as one whose error names the keyword that is meant by one of another library."""

    @functools.wraps(f)
    def function(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return f(*args, **kwargs)
        except TypeError as error:
            own = inspect.signature(f).parameters
            name = next((k for k in kwargs if k in _KEYWORDS and k not in own), None)
            if name is None or "unexpected keyword" not in str(error):
                raise
            meant = _KEYWORDS[name]
            if not own.keys() >= {*meant}:
                raise
            hint = "derivatives can be differentiated again as is"
            if meant:
                hint = "write " + " and ".join([f"{k}=" for k in meant])
            called = f.__qualname__.removesuffix(".__init__").rpartition(".")[2]
            raise TypeError(f"{called}: the argument {name}= is none: {hint}") from None

    return function
