"""How rows of `scipy.special` are written, beyond what the table has.

Three things occur here and hardly elsewhere: functions that an older SciPy lacks; operands by which
no derivative is known (an order, a degree), where asking for one raises; and values that come from
a loop over arrays (a quadrature, a recurrence), which no elementwise program can hold.
"""

import functools

import numpy as np

from fastbp._core.graph import Variable, has_variable
from fastbp._core.program import Expr
from fastbp.errors import DTypeError, NoRuleError
from fastbp.rules import batching, table
from fastbp.rules.engine import mulz
from fastbp.rules.numpy.structural import as_operand
from fastbp.rules.patterns import together
from fastbp.rules.special import unwrapped as special
from fastbp.rules.table import SAMPLES, general, implements

__all__ = [
    "Numeric",
    "elementwise",
    "function",
    "helper",
    "in_pieces",
    "order",
    "real",
    "refuse_complex",
    "whole",
    "wide",
]

POSITIVE = (0.3, 3.0)
WEAK = (int, float, complex)  # Python's numbers, which do not promote
WRITES_ROWS = True  # the home of a row is the module that calls this one


class Numeric:
    """A function of arrays, in Python, that can stand in partials.

    In a program it is an instruction without a loop, so that the partial is computed by NumPy.

    Attributes
    ----------
    op : Op or None
        What is recorded on Variables.
    """

    nin = 0  # of an instruction; no kernel has this name and no operands

    def __init__(self, function):
        functools.update_wrapper(self, function)
        self.__name__ = getattr(function, "__name__", "numeric")
        self.function, self.op = function, None

    def __call__(self, *operands):
        """Compute, record, or stand in a program for what it computes."""
        for x in operands:
            if type(x) is Expr:
                return x.trace.call(self, *operands)
        if self.op is not None and any(type(x) is Variable for x in operands):
            return self.op(*operands)
        return self.function(*operands)


class order:  # noqa: N801 (it reads as a function in rows)
    """Stand in a row for the partial derivative by an operand for which there is no formula.

    Asking for it raises, when it is asked for: a Variable may stand there.
    """

    nin = 0

    def __init__(self, argument, name=""):
        self.__name__ = f"{name} by {argument}"
        self.name, self.argument = name, argument

    def __call__(self, ans, *operands, **static):
        """Stand in a program; raise where the value is wanted."""
        if type(ans) is Expr:
            return ans.trace.call(self)
        raise NoRuleError(
            f"scipy.special.{self.name}: there is no derivative by the argument {self.argument}: "
            f"pass fastbp.stop_gradient({self.argument}) if it is a constant"
        )


def _partials(name, partials):
    return [order(p.argument, name) if isinstance(p, order) else p for p in partials]


def elementwise(name, forward=None, *partials, samples=None, domain=None, reach=None, **facts):
    """Add a row for a ufunc of `scipy.special`; None where this SciPy does not have it.

    Parameters
    ----------
    name : str
    forward : Numeric, callable or None
        The value; None is the ufunc of this name.
    *partials : callable
        As in `table.elementwise`, or `order(argument)`.
    samples : callable, optional
        ``samples(rng)``: calls for the tests, where an operand has no derivative.
    domain : (float, float) or tuple of them, optional
        As in `table.elementwise`, without `samples`.
    reach : (float, float) or tuple of them, optional
        The range of the operands in which the bounds `error` hold; `domain` by default.
    **facts
        As in `table.elementwise`.
    """
    ufunc = getattr(special, name, None)
    if ufunc is None:
        return None
    if samples is None:
        facts["domain"] = domain or POSITIVE
    else:
        facts["domain"] = None
        SAMPLES[f"scipy.special.{name}"] = samples
    facts["reach"] = reach or domain or POSITIVE
    facts["orders"] = [k for k, p in enumerate(partials) if isinstance(p, order)]
    facts.setdefault("error", (1e-14, 1e-13))
    if isinstance(facts.get("complex"), tuple):
        facts["complex"] = tuple(_partials(name, facts["complex"]))
    forward = ufunc if forward is None else forward
    op = table.elementwise(
        name,
        forward,
        *_partials(name, partials),
        ufunc=ufunc,
        namespace="scipy.special",
        **facts,
    )
    if isinstance(forward, Numeric):
        forward.op = op
    return op


def helper(name, numeric, *partials, **facts):
    """Add a helper whose value is a `Numeric`, which stands for it in partials."""
    numeric.op = table.helper(name, numeric, *_partials(name, partials), **facts)


def function(name, samples, **facts):
    """Register a Python function under a name of `scipy.special`."""

    def register(f):
        # Where it is found, so that it can be pickled.
        f.__module__, f.__name__, f.__qualname__ = "fastbp.scipy.special", name, name
        if isinstance(getattr(special, name, None), np.ufunc):
            f = _of_ufunc(name, f)
        return implements(samples=samples, name=f"scipy.special.{name}", **facts)(f)

    return register


_DEFAULTS = {"where": True, "casting": "same_kind", "order": "K", "subok": True}


def _of_ufunc(name, f):
    """Return a function that refuses the keywords of ufuncs on Variables.

    SciPy's ufunc, called with them, would come back here.
    """

    @functools.wraps(f)
    def function(*args, **kwargs):
        if kwargs and has_variable((args, tuple(kwargs.values()))):
            for key, value in kwargs.items():
                if value is not None and value is not _DEFAULTS.get(key):
                    raise NoRuleError(
                        f"scipy.special.{name}: the argument {key}= is not supported for Variables"
                    )
            kwargs = {}
        return f(*args, **kwargs)

    return function


def real(order, name):
    """Return an order or parameter that the engine has made complex beside a complex argument."""
    order = np.asarray(order)
    if order.dtype.kind == "c":
        if np.any(order.imag != 0.0):
            raise DTypeError(f"scipy.special.{name}: an order or parameter must be real")
        order = order.real
    return order


def whole(function, n, *xs):
    """Call a function of SciPy with orders as integers, where they are whole numbers."""
    name = function.__name__
    *parameters, x = xs
    n, parameters = real(n, name), [real(p, name) for p in parameters]
    takes = not isinstance(function, np.ufunc) or not np.iscomplexobj(x)
    if n.dtype.kind == "f" and takes and np.all(n == np.rint(n)):
        n = n.astype(np.int64)
    return function(n if takes else n.astype(float), *parameters, x)


def refuse_complex(name, *xs):
    """Raise for operands that SciPy's function does not take either."""
    for x in xs:
        if _operand(name, x).dtype.kind == "c":
            raise DTypeError(f"scipy.special.{name}: it is a function of real numbers")


def _operand(name, x):
    return as_operand(x, f"scipy.special.{name}: an operand")


def in_pieces(f, operands, size):
    """Evaluate a function that has room for nodes beside every element, piece by piece."""
    dtype = np.result_type(float, *operands)
    operands = np.broadcast_arrays(*[np.asarray(x, dtype) for x in operands])
    flat = [np.ascontiguousarray(x).reshape(-1) for x in operands]
    out = np.empty(flat[0].size, dtype)
    for start in range(0, out.size, size):
        out[start : start + size] = f(*[x[start : start + size] for x in flat])
    return out.reshape(operands[0].shape)


# ---- more operands than a program takes


def _each(p, ids, link):
    """Of the same element of each operand."""
    return together(p, *ids)


def wide(name, forward, partials, complex=False, **facts):
    """Add an elementwise operation of any number of operands, with static numbers.

    Parameters
    ----------
    name : str
    forward : callable
        ``forward(*operands, **static)`` on arrays of one shape.
    partials : tuple of callable
        ``partial(ans, *operands, **static)``, in NumPy code for arrays and Variables.
    complex : bool
        Whether the operands may be complex.

    Returns
    -------
    callable
        It broadcasts its operands and records the operation if one is a Variable.
    """
    partials = _partials(name, partials)
    names = range(len(partials))

    def value(*operands, **static):
        found = np.asarray(forward(*operands, **static))
        return found.astype(np.result_type(*operands), copy=False)

    op = general(
        name,
        value,
        nin=len(partials),
        vjp=tuple(functools.partial(_times, partials[k]) for k in names),
        jvp=tuple(functools.partial(_times, partials[k]) for k in names),
        pattern=_each,
        batch=batching.aligns,
        **facts,
    )

    def call(*operands, **static):
        if not any(type(x) is Variable for x in operands):
            return forward(*operands, **static)
        operands = [x if isinstance(x, WEAK) else _operand(name, x) for x in operands]
        if not complex:
            refuse_complex(name, *operands)
        shape = np.broadcast_shapes(*map(np.shape, operands))
        dtype = np.result_type(*[getattr(x, "dtype", x) for x in operands])
        return op(*[_shaped(x, shape, dtype) for x in operands], **static)

    return call


def _shaped(x, shape, dtype):
    if type(x) is not Variable:
        return np.broadcast_to(np.asarray(x, dtype), shape)
    x = x if x.dtype == dtype else x.astype(dtype)
    return x if x.shape == shape else np.broadcast_to(x, shape)


def _times(partial, t, ans, *operands, **static):
    return mulz(t, partial(ans, *operands, **static))
