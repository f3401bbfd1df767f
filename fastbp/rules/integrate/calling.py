"""A user's function inside of a rule: its values, tangents and cotangents, by the core's sweeps.

What it is given may be recorded, by a sweep whose result is differentiated again: then so is what
comes out.
"""

import functools

import numpy as np

from fastbp import tree
from fastbp._core import graph, sweep
from fastbp._core.graph import Variable, has_variable
from fastbp._core.tape import Tape
from fastbp.errors import NoRuleError, RecomputedError
from fastbp.rules.numpy.structural import as_operand

__all__ = ["Function", "Known", "float_of", "is_recorded", "of_numbers", "pulled", "pushed"]


def is_recorded(*given):
    """Say whether there is a Variable among arguments, in containers too."""
    return has_variable(tree.flatten(given)[0])


def of_numbers(function, name):
    """Return a function for SciPy's own solver, where nothing that this is given is recorded.

    A Variable as a value is refused here: the refusal elsewhere names the solver to call, which
    was called already.
    """
    return functools.partial(_numbers, function, name) if callable(function) else function


def _numbers(function, name, *args):  # no closure: workers= of quad_vec pickles it
    found = function(*args)
    if has_variable(found):
        raise _not_given(name)
    return found


def _not_given(name):
    return NoRuleError(
        f"{name}: the function depends on a Variable that it is not given: hand it over in args="
    )


class Known:
    """A value that was computed before its operation is recorded, and what it was computed from."""

    def __init__(self, operands, value):
        self._operands, self._value = [np.array(x) for x in operands], value

    def of(self, operands):
        """Return the value if these are the operands, else None."""
        same = all(map(np.array_equal, self._operands, operands))
        return self._value if same else None


class Function:
    """A function of a few arrays, then of the leaves of its further arguments.

    Parameters
    ----------
    function : callable
    name : str
        For messages: what the user called.
    structure : tree.TreeDef
        Of its further arguments.
    moving, rest : list
        Which leaves of these are operands; those that are not.
    """

    def __init__(self, function, name, args):
        self.function, self.name = function, name
        if not isinstance(args, (tuple, list)):
            raise TypeError(f"{name}: args={args!r} must be a tuple: write args=(k,) for one")
        leaves, self.structure = tree.flatten(tuple(args))
        self.moving = [_moves(leaf) for leaf in leaves]
        self.rest = [leaf for leaf, on in zip(leaves, self.moving, strict=True) if not on]
        self.leaves = [leaf for leaf, on in zip(leaves, self.moving, strict=True) if on]
        self._seen = []
        self._calls = 0  # None: enough of them are known

    def __call__(self, own, leaves):
        """Return the value: an array, recorded if anything that it is given is."""
        args = self._arguments(leaves)
        recorded = has_variable([*own, *leaves])
        call = graph.recorded_call if recorded else graph.unrecorded_call
        found = as_operand(call(self.function, (*own, *args), {}), f"{self.name}: a value")
        if not recorded and type(found) is Variable:
            raise _not_given(self.name)
        if self._calls is not None and type(found) is np.ndarray:
            self._calls += 1
            if not self._calls & (self._calls - 1):
                self._seen.append(([_as_now(x) for x in own], [_as_now(x) for x in leaves], +found))
        return found

    def keep(self):
        """Remember what was computed up to now, some of it: derivatives compute it again."""
        self._calls = None

    def check(self):
        """Raise if it is not the same any more."""
        for own, leaves, before in self._seen:
            now = self(own, leaves)
            if type(now) is np.ndarray and not _is_alike(now, before, own):
                raise RecomputedError(f"{self.name}: {RecomputedError.WHY}")

    def beside(self, function, leaves):
        """Return another function of the same arguments, with these leaves, which are numbers."""
        args = self._arguments(leaves)
        return lambda *own: graph.unrecorded_call(function, (*own, *args), {})

    def _arguments(self, leaves):
        moving, rest = iter(leaves), iter(self.rest)
        return self.structure.unflatten([next(moving if on else rest) for on in self.moving])


def _as_now(x):
    return x.copy() if isinstance(x, np.ndarray) else x


def _is_alike(now, before, own):
    """Say whether two values are the same but for rounding, of what may have cancelled too."""
    largest = [np.max(np.abs(x), initial=0.0) for x in (before, *own)]
    eps = np.finfo(float).eps
    near = eps**0.5 * largest[0] + eps**0.75 * max(largest[1:])
    return bool(np.all((now == before) | ~(np.abs(now - before) > near)))


def _moves(leaf):
    if isinstance(leaf, (Variable, float, complex)):
        return True
    return isinstance(leaf, (np.ndarray, np.generic)) and leaf.dtype.kind in "fc"


def _inputs(arrays):
    """Return fresh ends of a record for arrays, which may be recorded themselves."""
    return [
        np.positive(x) if type(x) is Variable else graph.variable(np.array(x, float_of(x)))
        for x in arrays
    ]


def float_of(x):
    """Return the dtype of an array, float64 for integers."""
    return np.result_type(np.asarray(x).dtype, np.float32 if np.asarray(x).dtype == "f4" else float)


def pushed(f, own, leaves, tangents, lead=0):
    """Return the value of f and its tangent; `tangents` has None for zero."""
    xs = _inputs([*own, *leaves])
    n = len(own)
    y = f(xs[:n], xs[n:])
    if type(y) is not Variable:
        return y, None
    moving = [k for k, t in enumerate(tangents) if t is not None]
    if not moving:
        return y, None
    ends = [xs[k] for k in moving]
    recorded = has_variable([*own, *leaves, *tangents])
    (found,) = sweep.forward(Tape([y], ends), [tangents[k] for k in moving], recorded, lead)
    return (y if has_variable([*own, *leaves]) else y.value), found


def pulled(f, own, leaves, g):
    """Return the cotangents of everything that f is given, for a cotangent of its value."""
    xs = _inputs([*own, *leaves])
    n = len(own)
    y = f(xs[:n], xs[n:])
    if type(y) is not Variable:
        return [None] * len(xs)
    recorded = has_variable([*own, *leaves, g])
    return sweep.reverse(Tape([y], xs), [np.reshape(g, y.shape)], recorded)
