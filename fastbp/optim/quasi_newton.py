"""Minimising by SciPy's L-BFGS-B, over containers of arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastbp.compiling import compile
from fastbp.elsewhere import spelled
from fastbp.optim.descending import Result, check_steps, checked, stops
from fastbp.optim.steps import numbers_of
from fastbp.transforms.gradients import value_and_gradient_for

__all__ = ["lbfgs"]


@spelled
def lbfgs(
    loss: Callable[..., Any],
    params: Any,
    steps: int = 15000,
    memory: int = 10,
    gradient_tol: float = 1e-5,
    value_tol: float = 1e-9,
    *,
    args: tuple[Any, ...] = (),
    callback: Callable[[int, float, Any], Any] | None = None,
    compiled: bool = False,
) -> tuple[Any, Result]:
    """Minimise a smooth function of few or many parameters by L-BFGS, of all data at once.

    Parameters
    ----------
    loss, params
        As for `sgd`. SciPy computes in float64; `loss` gets, and the result has, the dtypes of
        `params`. Of complex parameters both parts are varied.
    steps : int
        How many iterations at most. Each calls `loss` once or a few times.
    memory : int
        How many pairs of steps and gradients approximate the Hessian: ``maxcor`` of SciPy.
    gradient_tol : float
        The largest element of the gradient at which the search ends: ``gtol``.
    value_tol : float
        The decrease of the loss in an iteration, relative to it, at which it ends: ``ftol``.
    args : tuple
        Further arguments of `loss`.
    callback : callable, optional
        ``callback(step, value, params)`` at the start and after each iteration. If it returns True,
        that was the last one.
    compiled : bool
        Replay the loss and its gradient as a plan.

    Returns
    -------
    params : tree
        The best that were found.
    result : Result
        With the loss at the start and after each iteration, and SciPy's message.

    Raises
    ------
    ShapeError, DTypeError, TypeError, ValueError
        As from `sgd`.

    Notes
    -----
    ``scipy.optimize.minimize(method="L-BFGS-B")``: Byrd, Lu, Nocedal and Zhu, "A limited memory
    algorithm for bound constrained optimization", 1995.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> def rosenbrock(p):
    ...     return (1.0 - p["x"]) ** 2 + 100.0 * (p["y"] - p["x"] ** 2) ** 2
    >>> params, result = bp.optim.lbfgs(rosenbrock, {"x": -1.0, "y": 2.0})
    >>> round(float(params["x"]), 4), round(float(params["y"]), 4)
    (1.0, 1.0)
    """
    from scipy.optimize import minimize

    check_steps("lbfgs", steps, None)
    params = checked("lbfgs", loss, params, args, callback)
    vector = _Vector(params)
    gradient = value_and_gradient_for("lbfgs", loss)
    if compiled:
        gradient = compile(gradient)

    def slope(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, slopes = gradient(vector.tree(x), *args)
        return float(value), vector.of(slopes)

    first = slope(vector.start)
    values = [first[0]]
    stopped = callback is not None and stops(callback(0, values[0], params))
    if stopped or steps == 0:
        return vector.tree(vector.start), Result(
            np.array(values), 0, stopped, {}, _ending(stopped, "steps is 0")
        )

    def after(intermediate_result: Any) -> None:
        nonlocal stopped
        values.append(float(intermediate_result.fun))
        if callback is not None:
            params = vector.tree(intermediate_result.x)
            stopped = stops(callback(len(values) - 1, values[-1], params))
            if stopped:
                raise StopIteration

    found = minimize(
        lambda x: first if len(values) == 1 and np.array_equal(x, vector.start) else slope(x),
        vector.start,
        jac=True,
        method="L-BFGS-B",
        callback=after,
        options={"maxiter": steps, "maxcor": memory, "gtol": gradient_tol, "ftol": value_tol,
                 "maxfun": 100 * steps},
    )  # fmt: skip
    message = _ending(stopped, str(found.message))
    return vector.tree(found.x), Result(np.array(values), len(values) - 1, stopped, {}, message)


def _ending(stopped: bool, message: str) -> str:
    return "stopped by the callback" if stopped else message


class _Vector:
    """The numbers of a tree as one vector of float64."""

    def __init__(self, params: Any) -> None:
        self.leaves, self.treedef, self.chosen = numbers_of("lbfgs", params)
        arrays = [np.asarray(self.leaves[k]) for k in self.chosen]
        self.facts = [(x.shape, x.dtype) for x in arrays]
        self.start = _joined(arrays)

    def tree(self, x: np.ndarray) -> Any:
        """Return a tree of arrays of the vector's elements."""
        leaves, start = list(self.leaves), 0
        for k, (shape, dtype) in zip(self.chosen, self.facts, strict=True):
            wide = np.dtype(np.complex128 if dtype.kind == "c" else np.float64)
            stop = start + int(np.prod(shape)) * wide.itemsize // 8
            array = x[start:stop].view(wide).astype(dtype).reshape(shape)
            leaves[k] = array if shape else array[()]
            start = stop
        return self.treedef.unflatten(leaves)

    def of(self, slopes: Any) -> np.ndarray:
        """Return the slopes by the vector's elements, of a gradient."""
        found = self.treedef.leaves_of(slopes, "lbfgs: the gradient", True)
        return _joined([np.conj(found[k]) for k in self.chosen])


def _joined(arrays: Sequence[Any]) -> np.ndarray:
    flat = []
    for x in map(np.asarray, arrays):
        wide = np.complex128 if x.dtype.kind == "c" else np.float64
        flat.append(np.ascontiguousarray(x, wide).reshape(-1).view(np.float64))
    return np.concatenate(flat)
