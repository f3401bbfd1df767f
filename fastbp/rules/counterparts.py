"""Functions that stand for SciPy's of the same name, in `fastbp.scipy` only.

SciPy's functions do not look at their arguments, so Variables reach a rule through our namespaces.
What is no Variable is left to SciPy; signatures and defaults are those of the SciPy installed.
"""

import functools
import importlib
import inspect

import numpy as np

from fastbp._core.graph import has_variable, keeps, passive_call, unfilled, values_of
from fastbp.errors import NoRuleError
from fastbp.rules.table import CONSTANTS, REFUSED, implements

__all__ = ["constant", "of_values", "refused", "stands_for"]


def of_values(function, theirs, args, kwargs):
    """Call SciPy's function of what is no Variable.

    Where that is on a record that keeps everything, ours is a call on it: SciPy would read values.
    """
    if keeps((args, tuple(kwargs.values()))):
        return passive_call(function, *args, **kwargs)
    return theirs(*args, **kwargs)


def _first_writable(theirs):
    """Return SciPy's function with a copy of a first argument that cannot be written into."""

    @functools.wraps(theirs)
    def function(first, /, *args, **kwargs):
        if isinstance(first, np.ndarray) and not first.flags.writeable:
            first = first.copy()
        return theirs(first, *args, **kwargs)

    return function


def stands_for(path, samples, kinks="", prepared=None, no_axes=None, writable=False):
    """Let a function stand for SciPy's when Variables are among the arguments.

    It is called with all arguments by name; SciPy's defaults are filled in. Those that it does not
    take are refused by name unless they are at SciPy's default.

    Parameters
    ----------
    path : str
        Of SciPy's function: ``"scipy.signal.lfilter"``.
    samples, kinks, no_axes
        As in `fastbp.rules.table.implements`.
    prepared : callable, optional
        Called with a dictionary of the arguments, of which it may take some away.
    writable : bool
        Whether SciPy's takes no first argument that cannot be written into: it gets a copy.
    """
    module, _, name = path.rpartition(".")
    theirs = getattr(importlib.import_module(module), name)
    signature = inspect.signature(theirs)
    plain = _first_writable(theirs) if writable else theirs

    def register(f):
        own = inspect.signature(f).parameters

        @functools.wraps(f)
        def function(*args, **kwargs):
            # What was made in a recorded function and has taken no recorded value is a constant.
            args = tuple(map(unfilled, args))
            kwargs = {key: unfilled(x) for key, x in kwargs.items()}
            if not has_variable((args, tuple(kwargs.values()))):
                return of_values(function, plain, args, kwargs)
            given = signature.bind(*args, **kwargs)
            given.apply_defaults()
            if prepared is not None:
                prepared(given.arguments)
            for key in given.arguments.keys() - own.keys():
                value, default = given.arguments[key], signature.parameters[key].default
                if value is not default:
                    raise NoRuleError(f"{path}: the argument {key}= is not supported for Variables")
                del given.arguments[key]
            return f(**given.arguments)

        function.__signature__ = signature
        function.__module__, function.__qualname__ = f"fastbp.{module}", name
        return implements(name=path, samples=samples, kinks=kinks, no_axes=no_axes)(function)

    return register


def constant(path, why):
    """Return SciPy's function as one that sees the values of Variables: no derivative flows.

    `why` is as in `fastbp.rules.table.nondifferentiable`.
    """
    module, _, name = path.rpartition(".")
    theirs = getattr(importlib.import_module(module), name)
    CONSTANTS[path] = why

    @functools.wraps(theirs)
    def function(*args, **kwargs):
        return theirs(*map(values_of, args), **{k: values_of(x) for k, x in kwargs.items()})

    function.__module__ = f"fastbp.{module}"
    function.__doc__ = f"`{path}`, which sees the values of Variables: {why}."
    return function


def refused(path, why):
    """Return SciPy's function as one that refuses Variables, and says why."""
    module, _, name = path.rpartition(".")
    theirs = getattr(importlib.import_module(module), name)
    REFUSED[path] = why

    @functools.wraps(theirs)
    def function(*args, **kwargs):
        if has_variable((args, tuple(kwargs.values()))):
            raise NoRuleError(f"{path} takes no Variable: {why}")
        return theirs(*args, **kwargs)

    function.__module__ = f"fastbp.{module}"
    function.__doc__ = f"`{path}`, which takes no Variable: {why}."
    return function
