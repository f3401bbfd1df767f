"""How functions of `scipy.linalg` are given their arguments, and SciPy's routines over stacks.

Axes in front of those of a matrix are a stack of matrices, as in SciPy 1.16 and later, whatever the
SciPy is that is installed.
"""

import functools
import inspect

import numpy as np
import scipy.linalg
from numpy.linalg import LinAlgError

from fastbp import tree
from fastbp._core.graph import Variable, array_of, is_passive, passive, promoted, values_of
from fastbp.errors import ShapeError
from fastbp.rules.counterparts import stands_for
from fastbp.rules.numpy.structural import as_operand

__all__ = ["in_double", "matrices", "of_finite", "of_scipy", "operands", "square", "stacked"]


def _prepared(arguments):
    """Take away what says how to compute; refuse what is not finite, as SciPy does."""
    for name in [name for name in arguments if name.startswith("overwrite_")]:
        del arguments[name]
    if arguments.pop("check_finite", False):
        for x in tree.flatten(list(arguments.values()))[0]:
            if isinstance(x, (Variable, np.ndarray)):
                np.asarray_chkfinite(array_of(x))
            if is_passive(known := passive(x)):
                values_of(known - known)  # a plan compares: NaN, where it is not finite


def of_scipy(name, samples, kinks=""):
    """Let a function stand for one of `scipy.linalg`; see `stands_for`.

    What it is given is finite, unless ``check_finite=False``; nothing is ever overwritten.
    """

    def prepared(arguments):
        if _TAKES_STACKS:
            _refuse_empty_stacks(getattr(scipy.linalg, name), arguments)
        _prepared(arguments)

    return stands_for(f"scipy.linalg.{name}", samples, kinks, prepared)


# Before, a stack is ours alone.
_TAKES_STACKS = np.lib.NumpyVersion(scipy.__version__) >= "1.16.0"


def _refuse_empty_stacks(theirs, arguments):
    """Raise for stacks without a matrix where SciPy does: it asks the first one for its results."""
    if not any([0 in x.shape[:-2] for x in _arrays(arguments)]):
        return
    leaves, structure = tree.flatten(dict(arguments))
    plain = [array_of(values_of(x)) if type(x) is Variable else x for x in leaves]
    given = inspect.BoundArguments(inspect.signature(theirs), structure.unflatten(plain))
    theirs(*given.args, **given.kwargs)


def _arrays(arguments):
    """Return the arrays and Variables among arguments, and in their tuples: factors and flags."""
    given = []
    for x in arguments.values():
        given.extend(x if type(x) is tuple else (x,))
    return [x for x in given if isinstance(x, (Variable, np.ndarray))]


def operands(name, **given):
    """Return arguments by name as operands, in the dtype that NumPy promotes them to."""
    found = [as_operand(x, f"scipy.linalg.{name}: {what}") for what, x in given.items()]
    return promoted(f"scipy.linalg.{name}", *found)


def in_double(*arrays):
    """Return operands in double precision, in which some functions compute whatever is given."""
    return [np.astype(x, np.result_type(x.dtype, np.float64)) for x in arrays]


def matrices(name, **given):
    """Return the same, of which each is a matrix or a stack of them."""
    found = operands(name, **given)
    for what, x in zip(given, found, strict=True):
        if x.ndim < 2:
            raise ShapeError(
                f"scipy.linalg.{name}: {what} must be a matrix, or a stack of them, not of shape "
                f"{x.shape}"
            )
    return found


def square(name, **given):
    """Return the same, of which each is square."""
    found = matrices(name, **given)
    for what, x in zip(given, found, strict=True):
        if x.shape[-1] != x.shape[-2]:
            raise LinAlgError(
                f"scipy.linalg.{name}: {what} must be square, not of shape {x.shape[-2:]}"
            )
    return found


def of_finite(function):
    """Return a function of matrices that is NaN of infinities and NaN.

    Of these an iteration of LAPACK may never end, or leave its memory.
    """

    @functools.wraps(function)
    def checked(*given, **static):
        if all([np.isfinite(a).all() for a in given]):
            return function(*given, **static)
        found = function(*[np.eye(*a.shape, dtype=a.dtype) for a in given], **static)
        return tuple([np.full_like(x, np.nan) for x in found])

    return checked


def stacked(function, *cores):
    """Return a function of arrays as one of stacks of them, whose axes in front broadcast.

    Parameters
    ----------
    function : callable
        ``function(*arrays, **static)`` returns an array or a tuple of them; where a stack is empty,
        its results are as the last operand.
    *cores : int
        Of each operand, how many axes are its own.
    """

    @functools.wraps(function)
    def over(*arrays, **static):
        leads = [x.shape[: x.ndim - k] for x, k in zip(arrays, cores, strict=True)]
        if not any(leads):
            return function(*arrays, **static)
        lead = np.broadcast_shapes(*leads)
        arrays = [
            np.broadcast_to(x, lead + x.shape[x.ndim - k :])
            for x, k in zip(arrays, cores, strict=True)
        ]
        if 0 in lead:
            return np.zeros(arrays[-1].shape, arrays[-1].dtype)
        found = [function(*[x[i] for x in arrays], **static) for i in np.ndindex(lead)]
        if isinstance(found[0], tuple):
            parts = zip(*found, strict=True)
            return tuple([np.reshape(np.stack(p), lead + p[0].shape) for p in parts])
        return np.reshape(np.stack(found), lead + found[0].shape)

    return over
