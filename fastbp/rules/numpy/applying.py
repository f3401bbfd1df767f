"""Functions that call a user's function on parts of an array; and a few that choose by shape."""

import functools
import re

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from fastbp._core.graph import Variable, array_of, has_variable, is_passive, values_of
from fastbp.errors import NoRuleError
from fastbp.rules.numpy.indexing import getitem, setitem
from fastbp.rules.numpy.structural import as_constant, as_operand
from fastbp.rules.table import implements, nondifferentiable

nondifferentiable(np.nanargmax, np.nanargmin, why="places, order, counts")

# ---- a function of parts


def _piecewise_samples(rng):
    x = rng.permutation(6).reshape(2, 3) - 2.5
    return [
        ((x, [x < 0, x >= 0], [np.sin, np.square]), {}),
        ((x, [x < 0], [-1.0, np.sin]), {}),
        ((x, [x > 1.0], [np.square]), {}),
    ]


@implements(
    np.piecewise,
    layout="K",
    no_axes="array",
    kinks="the slope of the branch that was taken",
    samples=_piecewise_samples,
)
def piecewise(x, condlist, funclist, *args, **kw):
    """Arguments as in `numpy.piecewise`; numbers among the functions may be Variables.

    Notes
    -----
    Only the function of the branch taken is called on an element.
    """
    if np.isscalar(condlist) or (np.ndim(condlist[0]) == 0 and array_of(x).ndim != 0):
        condlist = [condlist]
    conditions = [np.astype(as_constant(c, "numpy.piecewise: a condition"), bool) for c in condlist]
    if len(conditions) == len(funclist) - 1:
        conditions.append(~functools.reduce(np.logical_or, conditions))
    elif len(conditions) != len(funclist):
        n = len(conditions)
        raise ValueError(f"with {n} condition(s), either {n} or {n + 1} functions are expected")
    x = as_operand(x, "numpy.piecewise: x")
    y = np.zeros_like(array_of(x))
    for condition, function in zip(conditions, funclist, strict=True):
        condition = np.broadcast_to(condition, y.shape) if y.ndim else condition
        called = callable(function) and not isinstance(function, Variable)
        if is_passive(condition):  # for a pattern every element may be of every part
            if called:
                function = _of_any_part(x, y.shape, lambda x, f=function: f(x, *args, **kw))
            y = np.where(condition, function, y)
            continue
        if called:
            part = x[condition]
            if not part.size:
                continue
            function = function(part, *args, **kw)
        y = setitem(y, condition, function)
    return y


def _of_any_part(x, shape, function):
    """Call a function where values decide later which elements are of its part: on all of them."""
    x = np.ravel(x)
    with np.errstate(all="ignore"):
        found = function(x)
        if np.ndim(found) == 0:
            return found
        some = array_of(x)[::2].copy()
        alone = np.broadcast_to(array_of(function(some)), some.shape)
    if not np.allclose(array_of(found)[::2], alone, rtol=1e-4, atol=0.0, equal_nan=True):
        raise NoRuleError(
            "numpy.piecewise: in a compiled function, and where a sparsity pattern is looked for, "
            "a function has to give for an element the same whichever others are of its part; "
            "this one mixes them: write numpy.where(condition, a, b)"
        )
    return np.reshape(found, shape)


def _of_rows(v):
    return v / np.sum(v * v)


def _table_of_rows(v, power):
    return np.outer(v, v[:2]) ** power


@implements(
    np.apply_along_axis,
    samples=lambda rng: [
        ((np.sum, 0, rng.normal(size=(2, 3))), {}),
        ((_of_rows, -1, rng.normal(size=(2, 3, 2))), {}),
        ((_table_of_rows, 1, rng.normal(size=(2, 3, 2)), 2), {}),
    ],
)
def apply_along_axis(func1d, axis, arr, *args, **kwargs):
    """Arguments as in `numpy.apply_along_axis`: the function is called with Variables.

    Notes
    -----
    What functions of whole arrays with ``axis=`` do is faster.
    """
    arr = as_operand(arr, "numpy.apply_along_axis: arr")
    axis = normalize_axis_index(axis, arr.ndim)
    rows = np.moveaxis(arr, axis, -1)
    shape = rows.shape[:-1]
    found = [func1d(getitem(rows, k), *args, **kwargs) for k in np.ndindex(shape)]
    if not found:
        raise ValueError("Cannot apply_along_axis when any iteration dimensions are 0")
    found = np.stack([as_operand(y, "numpy.apply_along_axis: a result") for y in found])
    inner = found.shape[1:]
    found = np.reshape(found, (*shape, *inner))
    n, m = len(shape), len(inner)
    # The axes of a result are where the axis was.
    return np.moveaxis(found, range(n, n + m), range(axis, axis + m))


@implements(
    np.apply_over_axes,
    samples=lambda rng: [((np.sum, rng.normal(size=(2, 3, 2)), [0, -1]), {})],
)
def apply_over_axes(func, a, axes):
    """Arguments as in `numpy.apply_over_axes`."""
    a = as_operand(a, "numpy.apply_over_axes: a")
    nd = a.ndim
    for axis in np.atleast_1d(axes):
        axis = int(axis) + nd if axis < 0 else int(axis)
        found = func(a, axis)
        if found.ndim != nd:
            found = np.expand_dims(found, axis)
            if found.ndim != nd:
                raise ValueError("function is not returning an array of the correct shape")
        a = found
    return a


# ---- a function of elements


class vectorize(np.vectorize):  # noqa: N801 (NumPy's name)
    """Arguments as in `numpy.vectorize`; where Variables are given, the function gets Variables.

    Notes
    -----
    It is called once for each element, as NumPy does: functions of whole arrays are faster.

    Examples
    --------
    >>> import fastbp as bp
    >>> import fastbp.numpy as bnp
    >>> positive = bnp.vectorize(lambda x: x**2 if x > 0 else 0.0 * x)
    >>> bp.elementwise_grad(positive)(bnp.array([3.0, -1.0]))
    array([6., 0.])
    """

    def __call__(self, *args, **kwargs):
        """Call the function of each element, and stack what it returns."""
        if not has_variable((args, tuple(kwargs.values()))):
            return super().__call__(*args, **kwargs)
        given = {**dict(enumerate(args)), **kwargs}
        moved = {
            name: as_operand(x, f"numpy.vectorize: argument {name}")
            for name, x in given.items()
            if name not in self.excluded
        }
        cores = {} if self.signature is None else self._core_dimensions(moved)
        outer = {name: x.shape[: x.ndim - cores.get(name, 0)] for name, x in moved.items()}
        shape = np.broadcast_shapes(*outer.values())
        moved = {
            name: np.broadcast_to(x, shape + x.shape[len(outer[name]) :])
            for name, x in moved.items()
        }
        found = []
        for place in np.ndindex(shape):
            at = {**given, **{name: getitem(x, place) for name, x in moved.items()}}
            found.append(self.pyfunc(*map(at.get, range(len(args))), **{k: at[k] for k in kwargs}))
        if not found:
            raise ValueError("cannot call `vectorize` on size 0 inputs with Variables")
        if not isinstance(found[0], tuple):
            return self._stacked(found, shape, 0)
        return tuple(
            [self._stacked(part, shape, k) for k, part in enumerate(zip(*found, strict=True))]
        )

    def _core_dimensions(self, given):
        """Return how many axes behind are the function's own, by the signature."""
        inputs = self.signature.replace(" ", "").partition("->")[0]
        groups = re.findall(r"\(([^)]*)\)", inputs)
        if len(groups) != len(given):
            raise TypeError(f"wrong number of positional arguments: {len(groups)} are in signature")
        counts = [len([label for label in group.split(",") if label]) for group in groups]
        return dict(zip(given, counts, strict=True))

    def _stacked(self, parts, shape, k):
        found = np.stack([as_operand(y, "numpy.vectorize: a result") for y in parts])
        found = np.reshape(found, shape + found.shape[1:])
        return found if self.otypes is None else np.astype(found, np.dtype(self.otypes[k]))


vectorize.__module__ = "fastbp.numpy"

# ---- by shape, or by zeros


@implements(
    np.meshgrid,
    samples=lambda rng: [
        ((rng.normal(size=3), rng.normal(size=2)), {}),
        ((rng.normal(size=3), [1.0, 2.0], rng.normal(size=1)), {"indexing": "ij"}),
        ((rng.normal(size=3), rng.normal(size=2)), {"sparse": True, "copy": False}),
        ((rng.normal(size=3),), {}),
    ],
)
def meshgrid(*xi, copy=True, sparse=False, indexing="xy"):
    """Arguments as in `numpy.meshgrid`."""
    if indexing not in ("xy", "ij"):
        raise ValueError("Valid values for `indexing` are 'xy' and 'ij'.")
    xi = [as_operand(x, "numpy.meshgrid: an operand") for x in xi]
    n = len(xi)
    order = [1, 0, *range(2, n)] if indexing == "xy" and n > 1 else range(n)
    grids = [
        np.reshape(x, [-1 if axis == own else 1 for axis in range(n)])
        for own, x in zip(order, xi, strict=True)
    ]
    if not sparse:
        grids = np.broadcast_arrays(*grids)
    return tuple([np.copy(x) if copy else x for x in grids])


@implements(
    np.resize,
    samples=lambda rng: [
        ((rng.normal(size=(2, 3)), (2, 4)), {}),
        ((rng.normal(size=3), 2), {}),
        ((rng.normal(size=3), (0, 2)), {}),
    ],
)
def resize(a, new_shape):
    """Arguments as in `numpy.resize`: elements are repeated to fill the shape."""
    shape = np.resize(np.zeros(1), new_shape).shape
    a = np.ravel(a)
    if not a.size:
        return np.zeros(shape, a.dtype)
    places = np.arange(np.prod(shape, dtype=int)) % a.size
    return np.reshape(np.take(a, places), shape)


@implements(
    np.trim_zeros,
    no_axes="same",
    samples=lambda rng: [((rng.normal(size=4), trim), {}) for trim in ("fb", "b", "F")],
)
def trim_zeros(filt, *args, **kwargs):
    """Arguments as in `numpy.trim_zeros`: which zeros are left out is a constant."""
    value = values_of(filt)
    numbers = np.where(value == 0.0, 0, np.arange(1, value.size + 1).reshape(value.shape))
    kept = np.trim_zeros(numbers, *args, **kwargs)
    if not kept.any():
        return filt[tuple([slice(0, n) for n in kept.shape])]
    # Where what is left begins: at the place of its first number that is not zero.
    at = np.unravel_index(kept[kept != 0][0] - 1, value.shape)
    inside = np.argwhere(kept)[0]
    return filt[
        tuple([slice(p - q, p - q + n) for p, q, n in zip(at, inside, kept.shape, strict=True)])
    ]
