"""One step of an optimizer as a pure function.

``params, state = opt.update(grads, state, params)``.
Written in NumPy functions, so a step is recorded and compiled like all else, and differentiated:
by a learning rate, or by what the parameters were at first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp import arguments, tree
from fastbp._core.graph import Variable
from fastbp.elsewhere import spelled
from fastbp.errors import DTypeError, ShapeError

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]

Rate = float | Callable[[Any], Any]


class Optimizer:
    """What `SGD`, `Adam` and `AdamW` have in common.

    A rule of one's own has `kept`, the names of the arrays that it keeps for each parameter (zeros
    at first), and `step`.

    Parameters
    ----------
    learning_rate : float or callable
        The size of a step; a function of the number of steps before this one, which it gets as a
        floating-point number: ``lambda step: 0.1 * 0.99**step``. Inside of a compiled function that
        is a recorded value: a schedule with branches needs `numpy.where`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> class SignDescent(bp.optim.Optimizer):
    ...     def step(self, g, p, kept, rate, number):
    ...         return p - rate * np.sign(g), ()
    >>> rule, params = SignDescent(0.1), {"w": np.array([1.0, -1.0])}
    >>> params, state = rule.update({"w": np.array([3.0, -0.2])}, rule.init(params), params)
    >>> params["w"]
    array([ 0.9, -0.9])
    """

    kept: tuple[str, ...] = ()

    def __init__(self, learning_rate: Any = 1e-3) -> None:
        self.name = type(self).__name__
        self.learning_rate = learning_rate
        if not callable(learning_rate):
            self.learning_rate = self.setting("learning_rate", learning_rate, 0.0, math.inf)

    def init(self, params: Any) -> dict[str, Any]:
        """Return the state before the first step.

        Parameters
        ----------
        params : tree of arrays and numbers
            Leaves that are no numbers are settings, which steps leave as they are.

        Returns
        -------
        dict
            ``"step"``, an array with the number of steps taken, of float64, or float32 where all
            parameters are of single precision (it counts to 2^24 then, and stays there); and for
            each name in `kept` a tree like `params`, None in place of settings.

        Raises
        ------
        DTypeError
            If there are no numbers, or arrays of a dtype that cannot be differentiated.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> bp.optim.SGD(0.1, momentum=0.9).init({"w": np.ones(2), "name": "first"})
        {'step': array([0.]), 'velocity': {'w': array([0., 0.]), 'name': None}}
        """
        leaves, treedef, chosen = numbers_of(f"{self.name}.init", params)
        dtypes = [_dtype(leaves[k]) for k in chosen]
        state: dict[str, Any] = {"step": np.zeros(1, np.result_type(*map(_real, dtypes)))}
        for name in self.kept:
            zeros: list[Any] = [None] * len(leaves)
            for k, dtype in zip(chosen, dtypes, strict=True):
                zeros[k] = np.zeros(np.shape(leaves[k]), self.dtype_of(name, dtype))
            state[name] = treedef.unflatten(zeros)
        return state

    def update(self, grads: Any, state: dict[str, Any], params: Any) -> tuple[Any, dict[str, Any]]:
        """Take a step.

        Parameters
        ----------
        grads : tree
            The gradient of a real loss by `params`, as `fastbp.grad` returns it: None for settings,
            which stay as they are.
        state : dict
            From `init`, or from the step before.
        params : tree of arrays and numbers

        Returns
        -------
        params : tree
            New arrays of the same dtypes.
        state : dict

        Raises
        ------
        ShapeError
            If structures or shapes differ; the message names the path.
        TypeError
            If `state` is not one of this optimizer's.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> opt, params = bp.optim.SGD(0.1), {"w": np.array([1.0, 2.0])}
        >>> bp.optim.SGD(0.1).update({"w": np.array([10.0, 0.0])}, opt.init(params), params)[0]
        {'w': array([0., 2.])}
        """
        name = f"{self.name}.update"
        if not isinstance(state, dict) or tuple(state) != ("step", *self.kept):
            raise TypeError(
                f"{name}: the state must be a dict of {', '.join(('step', *self.kept))}, as "
                f"{self.name}.init(params) returns it; arguments are grads, state, params"
            )
        leaves, treedef = tree.flatten(params)
        slopes = treedef.leaves_of(grads, f"{name}: grads", True)
        columns = [treedef.leaves_of(state[key], f"{name}: state", True) for key in self.kept]
        before = state["step"][0]
        rate = self.learning_rate(before) if callable(self.learning_rate) else self.learning_rate
        if np.shape(rate) != ():
            raise ShapeError(
                f"{name}: learning_rate must return a number, not an array of {np.shape(rate)}"
            )
        for k, (p, g) in enumerate(zip(leaves, slopes, strict=True)):
            if g is None or any(column[k] is None for column in columns):
                continue
            if np.shape(p) != np.shape(g):
                path = treedef.paths("params")[k]
                raise ShapeError(
                    f"{name}: {path} has shape {np.shape(p)}, its gradient {np.shape(g)}"
                )
            if _dtype(p).kind in "iu":  # counts as float64, as its gradient says
                p = np.asarray(p, float)[()]
            real = _real(_dtype(p))
            kept = tuple([column[k] for column in columns])
            numbers = _cast(rate, real), _cast(before, real) + 1.0
            leaves[k], found = self.step(self.uphill(g), p, kept, *numbers)
            for column, x in zip(columns, found, strict=True):
                column[k] = x
        after: dict[str, Any] = {"step": state["step"] + 1.0}
        for key, column in zip(self.kept, columns, strict=True):
            after[key] = treedef.unflatten(column)
        return treedef.unflatten(leaves), after

    def step(
        self, g: Any, p: Any, kept: tuple[Any, ...], rate: Any, number: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return what becomes of one parameter and of what is kept for it.

        Parameters
        ----------
        g, p : array
            The direction in which the loss grows fastest; the parameter.
        kept : tuple of arrays
        rate, number : float
            The learning rate; the number of this step, from 1. Of the dtype of `p`.
        """
        raise NotImplementedError

    def dtype_of(self, name: str, dtype: np.dtype) -> np.dtype:
        """Return the dtype of what is kept under a name for a parameter of some dtype."""
        return dtype

    def setting(self, what: str, x: Any, low: float, high: float) -> Any:
        """Return a setting as a float, or the value that it is where it is recorded."""
        if isinstance(x, Variable):
            return x
        try:
            found = float(x)
        except (TypeError, ValueError):
            found = math.nan
        if not low <= found < high:
            bounds = f"in [{low:g}, {high:g})" if high < math.inf else f"of at least {low:g}"
            raise ValueError(f"{self.name}: {what} must be a number {bounds}, not {x!r}")
        return found

    def uphill(self, g: Any) -> Any:
        """Return where a loss grows fastest: the conjugate of a complex gradient."""
        return np.conj(g) if _dtype(g).kind == "c" else g

    def __repr__(self) -> str:
        facts = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if k not in ("name", "kept"))
        return f"{self.name}({facts})"


class SGD(Optimizer):
    """Steps along the gradient, with or without momentum.

    Parameters
    ----------
    learning_rate : float or callable
        As for `Optimizer`.
    momentum : float
        In [0, 1): how much of the last velocity goes on. A velocity is ``momentum * velocity + g``,
        and a step ``-learning_rate * velocity``.
    nesterov : bool
        Step along ``momentum * velocity + g`` of the new velocity: Nesterov's momentum in the form
        of Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum
        in deep learning", 2013.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> opt, p = bp.optim.SGD(0.25), np.array([1.0, -2.0])
    >>> state = opt.init(p)
    >>> for _ in range(3):
    ...     p, state = opt.update(2 * p, state, p)
    >>> p
    array([ 0.125, -0.25 ])
    """

    @spelled
    def __init__(
        self, learning_rate: Rate = 1e-2, momentum: Any = 0.0, nesterov: bool = False
    ) -> None:
        super().__init__(learning_rate)
        self.momentum = self.setting("momentum", momentum, 0.0, 1.0)
        self.nesterov = bool(nesterov)
        self.kept = ("velocity",) if isinstance(momentum, Variable) or momentum != 0.0 else ()
        if nesterov and not self.kept:
            raise ValueError("SGD: nesterov=True needs a momentum")

    def step(self, g: Any, p: Any, kept: Any, rate: Any, number: Any) -> Any:  # noqa: D102
        if not kept:
            return p - rate * g, ()
        velocity = self.momentum * kept[0] + g
        along = self.momentum * velocity + g if self.nesterov else velocity
        return p - rate * along, (velocity,)


class Adam(Optimizer):
    """Steps along the mean gradient over the root of the mean square (Adam).

    Parameters
    ----------
    learning_rate : float or callable
        As for `Optimizer`.
    b1, b2 : float
        In [0, 1): how much of the mean gradient, and of the mean square, goes on in a step.
    eps : float
        Added to the root.

    Notes
    -----
    Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1: both means are
    divided by ``1 - b**step``, because they start from 0. The mean square of complex numbers is
    that of their absolute values.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> opt, p = bp.optim.Adam(0.5), np.array([1.0, -200.0])
    >>> p, state = opt.update(2 * p, opt.init(p), p)
    >>> p.round(6), state["step"]
    (array([   0.5, -199.5]), array([1.]))
    """

    kept = ("mean", "square")

    @spelled
    def __init__(
        self,
        learning_rate: Rate = 1e-3,
        b1: float = 0.9,
        b2: float = 0.999,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(learning_rate)
        self.b1 = self.setting("b1", b1, 0.0, 1.0)
        self.b2 = self.setting("b2", b2, 0.0, 1.0)
        self.eps = self.setting("eps", eps, 0.0, math.inf)

    def step(self, g: Any, p: Any, kept: Any, rate: Any, number: Any) -> Any:  # noqa: D102
        mean = self.b1 * kept[0] + (1.0 - self.b1) * g
        square = self.b2 * kept[1] + (1.0 - self.b2) * self.squared(g)
        root = np.sqrt(square / _complement(self.b2, number)) + self.eps
        return p - (rate / _complement(self.b1, number)) * mean / root, (mean, square)

    def dtype_of(self, name: str, dtype: np.dtype) -> np.dtype:  # noqa: D102
        return _real(dtype) if name == "square" else dtype

    def squared(self, g: Any) -> Any:
        """Return the squares whose mean is kept."""
        return g.real**2 + g.imag**2 if _dtype(g).kind == "c" else g * g


class AdamW(Adam):
    """Steps of `Adam`, and parameters that decay beside them.

    Parameters
    ----------
    learning_rate, b1, b2, eps
        As for `Adam`.
    weight_decay : float
        A step also takes ``learning_rate * weight_decay * p`` away: Loshchilov and Hutter,
        "Decoupled weight decay regularization", 2019, in the scale of PyTorch.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> opt, p = bp.optim.AdamW(0.1, weight_decay=0.5), np.array([2.0])
    >>> opt.update(np.zeros(1), opt.init(p), p)[0]
    array([1.9])
    """

    @spelled
    def __init__(
        self,
        learning_rate: Rate = 1e-3,
        b1: float = 0.9,
        b2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(learning_rate, b1, b2, eps)
        self.weight_decay = self.setting("weight_decay", weight_decay, 0.0, math.inf)

    def step(self, g: Any, p: Any, kept: Any, rate: Any, number: Any) -> Any:  # noqa: D102
        return super().step(g, p - (rate * self.weight_decay) * p, kept, rate, number)


def numbers_of(name: str, params: Any) -> tuple[list[Any], tree.TreeDef, list[int]]:
    """Return the leaves of parameters, whole numbers as float64, and which of them are numbers."""
    leaves, treedef = tree.flatten(params)
    try:
        numbers, settings = arguments.numbers_among(name, None, [0], leaves, [treedef])
    except DTypeError as error:
        text = str(error).replace("argument 0", "params").partition("; argnums")[0]
        raise DTypeError(text.removesuffix(": name another argument by argnums")) from None
    if not numbers:
        raise DTypeError(f"{name}: there are no parameters in {params!r}")
    chosen = [k for k in range(len(leaves)) if k not in settings]
    for k, x in zip(chosen, numbers, strict=True):
        leaves[k] = x
    return leaves, treedef, chosen


def _complement(b: Any, n: Any) -> Any:
    """Return ``1 - b**n``, without the loss of digits at b near 1."""
    if isinstance(b, Variable):
        return -np.expm1(n * np.log(b))
    return -np.expm1(n * math.log(b)) if b else 1.0


def _dtype(x: Any) -> np.dtype:
    return x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype


def _real(dtype: np.dtype) -> np.dtype:
    return np.zeros((), dtype).real.dtype


def _cast(x: Any, dtype: np.dtype) -> Any:
    """Return a number in a dtype; one of Python's takes any."""
    return x if not hasattr(x, "dtype") or x.dtype == dtype else x.astype(dtype)
