"""Making arrays: from numbers and shapes, and from Variables in nested lists.

Primitive row: array. Inside of recorded functions all of them make fillables, Variables without a
history that recorded values can be written into (`src_cy/engine/fillable.pxi`).
"""

import numpy as np

from fastbp._core import graph
from fastbp._core.graph import Variable, array_of, has_variable, passive, values_of
from fastbp.errors import NoRuleError
from fastbp.rules import batching, patterns
from fastbp.rules.numpy.indexing import take
from fastbp.rules.numpy.indices import FULL
from fastbp.rules.numpy.structural import (
    as_operand,
    constant_call,
    copied,
    float_dtype,
    has_order,
    lead_of,
    order_of,
    reshaped,
)
from fastbp.rules.table import CREATORS, FUNCTIONS, creates, general, implements, refuse

# ---- from shapes and numbers alone

creates(
    np.bartlett,
    np.blackman,
    np.empty,
    np.eye,
    np.fromfunction,
    np.fromiter,
    np.fromstring,
    np.genfromtxt,
    np.hamming,
    np.hanning,
    np.identity,
    np.kaiser,
    np.loadtxt,
    np.ones,
    np.tri,
    np.zeros,
    like=(np.empty_like, np.ones_like, np.zeros_like),
)

# ---- from nested lists


def _array(*operands, shape):
    if operands[0].ndim:
        return np.stack(operands).reshape(shape + operands[0].shape)
    return np.array(operands).reshape(shape)


def _items(g, needs, ans, *operands, shape):
    own = operands[0].shape
    g = reshaped(g, (*lead_of(g, ans), len(operands), *own))
    inner = FULL[len(own)]
    return tuple([g[(..., k, *inner)] if need else None for k, need in enumerate(needs)])


def _array_jvp(tangents, ans, *operands, shape):
    k = next(k for k, t in enumerate(tangents) if t is not None)
    own = operands[0].shape
    lead = lead_of(tangents[k], operands[k])
    joined = np.stack(
        [np.zeros(lead + own, ans.dtype) if t is None else t for t in tangents], len(lead)
    )
    return reshaped(joined, lead + shape + own)


def _array_members(a):
    pairs = zip(a.operands, a.mapped, strict=True)
    joined = np.stack([x if mapped else batching.spread(x, a.n) for x, mapped in pairs], 1)
    return reshaped(joined, (a.n, *a.static["shape"], *joined.shape[2:]))


array_op = general(
    "array",
    _array,
    nin=-1,
    saves=(),
    vjp=_items,
    jvp=_array_jvp,
    pattern=patterns.moves,
    batch=_array_members,
)


def _join(x):
    """Join nested lists of Variables, numbers and arrays: all at once where depths are equal."""
    if not isinstance(x, (list, tuple)):
        return as_operand(x, "array: an item")
    shape, items = (len(x),), x
    while items and all([isinstance(item, (list, tuple)) for item in items]):
        length = len(items[0])
        if any([len(item) != length for item in items]):
            raise ValueError(f"array: nested lists have different lengths: {_lengths(items)}")
        shape, items = (*shape, length), [leaf for item in items for leaf in item]
    if not items:
        return np.zeros(shape)
    items = [_join(item) for item in items]
    own = items[0].shape
    if any([item.shape != own for item in items]):
        raise ValueError(f"array: shapes in the list differ: {sorted({x.shape for x in items})}")
    return array_op(*items, shape=shape)


def _lengths(items):
    return sorted({len(item) for item in items})


def _from_nested(function, x, dtype, like):
    refuse(function, like=(None if isinstance(like, Variable) else like, None))
    x = _join(x)
    if dtype is None or x.dtype == dtype:
        return x
    if graph.is_passive(x):
        return x.astype(dtype)
    return np.astype(x, float_dtype(dtype, function, x.dtype))


def _as_asked(function, a, dtype, like, order, copy):
    """Return an array or nested lists as a Variable, copied where NumPy copies."""
    x = _from_nested(function, a, dtype, like)
    if x is not a:
        if copy is False:
            raise ValueError(
                f"{function}: Variables in nested lists cannot become an array without a copy"
            )
        if isinstance(a, Variable):
            return graph.in_order(x, order_of(a, order))
        return graph.in_order(x, "F" if order == "F" else "C")
    if not isinstance(x, Variable):  # without derivative, on the record
        return graph.passive_call(np.array, x, copy=copy, order=order)
    if copy or not has_order(x, "K" if order == "A" else order):
        if copy is False:
            raise ValueError(f"{function}: an array in order {order} needs a copy of this one")
        return copied(x, order)
    return x


_plain_array, _plain_asarray = graph.Maker(np.array), graph.Maker(np.asarray)
_plain_full, _plain_full_like = graph.Maker(np.full), graph.Maker(np.full_like)


def _pair(rng):
    return [rng.normal(size=(2, 3)), rng.normal(size=(2, 3))]


@implements(
    name="array",
    no_axes="array",
    samples=lambda rng: [
        (([[rng.normal(size=()), 1.0], [2, rng.normal(size=())]],), {}),
        ((_pair(rng),), {"ndmin": 4, "dtype": np.float64}),
        (([[rng.normal(size=2), [1.0, 2.0]]],), {}),
        ((rng.normal(size=3),), {}),
    ],
)
def array(object, dtype=None, *, copy=True, order="K", subok=False, ndmin=0, like=None):
    """Make an array, or a Variable from nested lists with Variables in them.

    Arguments as in `numpy.array`. Inside of a recorded function recorded values can be written
    into what it returns.

    Examples
    --------
    >>> import fastbp as bp
    >>> x = bp.variable(2.0)
    >>> bp.numpy.array([[x, 1.0], [0.0, x * x]])
    Variable([[2., 1.],
              [0., 4.]])
    """
    if not has_variable(object) and not graph.keeps(object):
        return _plain_array(
            object, dtype, copy=copy, order=order, subok=subok, ndmin=ndmin, like=like
        )
    np.array(0.0, order=order)  # raises where NumPy does
    x = _as_asked("array", object, dtype, like, order, copy)
    return reshaped(x, (1,) * (ndmin - x.ndim) + x.shape) if x.ndim < ndmin else x


@implements(
    name="asarray",
    no_axes="array",
    samples=lambda rng: [
        (([1.0, rng.normal(size=())],), {}),
        ((rng.normal(size=3),), {"dtype": np.float64}),
    ],
)
def asarray(a, dtype=None, order=None, *, device=None, copy=None, like=None):
    """Make an array, or a Variable from nested lists with Variables in them, unless it is one.

    Arguments as in `numpy.asarray`.
    """
    if not has_variable(a) and not graph.keeps(a):
        return _plain_asarray(a, dtype, order, device=device, copy=copy, like=like)
    np.asarray(0.0, None, order, device=device)  # raises where NumPy does
    return _as_asked("asarray", a, dtype, like, order, copy)


@implements(
    name="full",
    no_axes="array",
    samples=lambda rng: [
        (((2, 3), rng.normal(size=())), {}),
        ((3, rng.normal(size=3)), {"dtype": np.float64}),
    ],
)
def full(shape, fill_value, dtype=None, order="C", *, device=None, like=None):
    """Make an array, or a Variable from one: `fill_value`, broadcast to a shape.

    Arguments as in `numpy.full`, which does not look at a Variable.
    """
    if not has_variable(fill_value):
        if graph.keeps(fill_value):
            return graph.passive_call(np.full, shape, fill_value, dtype, order, device=device)
        return _plain_full(shape, fill_value, dtype, order, device=device, like=like)
    np.full((), 0.0, None, order, device=device)  # raises where NumPy does
    return np.positive(np.broadcast_to(_from_nested("full", fill_value, dtype, like), shape))


def full_like(a, fill_value, dtype=None, order="K", subok=True, shape=None, *, device=None):
    """Make an array like `a`, filled with a value that may be a Variable.

    Arguments as in `numpy.full_like`, which does not look at the value.
    """
    if not has_variable(fill_value):
        if graph.keeps(fill_value):
            like = np.empty_like(array_of(a), dtype, order, subok, shape, device=device)
            return full(like.shape, fill_value, like.dtype)
        make = np.full_like if isinstance(a, Variable) else _plain_full_like
        made = make(array_of(a), fill_value, dtype, order, subok, shape, device=device)
        return graph.fillable(made) if isinstance(a, Variable) else made
    like = np.empty_like(array_of(a), dtype, order, subok, shape, device=device)
    return full(like.shape, fill_value, float_dtype(like.dtype, "full_like"))


graph.bind_function(np.full_like, full_like)


def _like_a_variable(f):
    """Return `f` as NumPy calls it for ``like=`` a Variable: what it makes is a fillable."""

    def made(*args, **kwargs):
        x = f(*args, **kwargs)
        return graph.fillable(x.copy() if x is args[0] else x)

    return made


for _function, _f in ((np.array, array), (np.asarray, asarray), (np.full, full)):
    graph.bind_function(_function, _like_a_variable(_f))


@implements(
    name="asanyarray",
    samples=lambda rng: [(([1.0, rng.normal(size=())],), {})],
)
def asanyarray(a, dtype=None, order=None, *, device=None, copy=None, like=None):
    """Make an array, or a Variable from nested lists with Variables in them, unless it is one.

    Arguments as in `numpy.asanyarray`.
    """
    return asarray(a, dtype, order, device=device, copy=copy, like=like)


@implements(
    name="ascontiguousarray",
    samples=lambda rng: [(([1.0, rng.normal(size=())],), {}), ((rng.normal(size=()),), {})],
)
def ascontiguousarray(a, dtype=None, *, like=None):
    """Make an array of at least one axis, or a Variable, as `asarray`.

    Arguments as in `numpy.ascontiguousarray`: a copy, where NumPy makes one.
    """
    return np.atleast_1d(asarray(a, dtype, "C", like=like))


@implements(
    name="asfortranarray",
    samples=lambda rng: [(([1.0, rng.normal(size=())],), {}), ((rng.normal(size=(2, 3)),), {})],
)
def asfortranarray(a, dtype=None, *, like=None):
    """Make an array in Fortran order, or a Variable: a copy, where NumPy makes one.

    Arguments as in `numpy.asfortranarray`.
    """
    return np.atleast_1d(asarray(a, dtype, "F", like=like))


# ---- ranges whose ends are Variables


@implements(
    np.linspace,
    samples=lambda rng: [
        ((rng.normal(size=()), rng.normal(size=())), {"num": 5}),
        ((rng.normal(size=2), rng.normal(size=(3, 2))), {"num": 4, "axis": 1}),
        ((rng.normal(size=()), 2.0, 3), {"endpoint": False, "dtype": np.float64}),
        ((rng.normal(size=()), rng.normal(size=()), 1), {}),
    ],
)
def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0, *, device=None):
    """Arguments as in `numpy.linspace`."""
    np.linspace(0.0, 1.0, num, endpoint, device=device)  # raises where NumPy does
    ends = [as_operand(x, "numpy.linspace: an end") for x in (start, stop)]
    given = [
        x if isinstance(x, (int, float)) else array_of(end)  # numbers do not promote float32
        for x, end in zip((start, stop), ends, strict=True)
    ]
    work = np.result_type(*given, 1.0)
    start, stop = np.broadcast_arrays(*[np.astype(x, work, copy=False) for x in ends])
    delta, parts = stop - start, num - 1 if endpoint else num
    steps = np.arange(num, dtype=delta.dtype).reshape(-1, *[1] * delta.ndim)
    if parts > 0:
        step = delta / parts
        # NumPy keeps steps too small for a number by another order of operations.
        tiny = np.any(np.equal(step, 0.0))
        y = steps / parts * delta + start if tiny else steps * step + start
    else:
        step, y = np.full(delta.shape, np.nan), steps * delta + start
    if endpoint and num > 1:
        y[-1, ...] = stop
    y = y if axis == 0 else np.moveaxis(y, 0, axis)
    y = y if dtype is None else np.astype(y, float_dtype(dtype, "linspace", y.dtype))
    return (y, step) if retstep else y


_plain_arange = graph.Maker(np.arange)


def arange(start, /, stop=None, step=1, *, dtype=None, device=None, like=None):
    """Make evenly spaced numbers, also from a start or a step that is a Variable.

    Arguments as in `numpy.arange`, which takes no Variable. How many there are does not depend on
    the ends almost everywhere, so no derivative flows to `stop`.
    """
    if stop is None:
        start, stop = 0, start
    if not has_variable([start, stop, step]):
        return _plain_arange(start, stop, step, dtype, device=device, like=like)
    ends = [values_of(as_operand(x, "numpy.arange: an end"))[()] for x in (start, stop, step)]
    y = start + step * np.arange(np.arange(*ends, device=device).size, dtype=float)
    return y if dtype is None else np.astype(y, float_dtype(dtype, "arange", y.dtype))


# ---- joining by an index


class _Joining:
    """`numpy.r_` or `numpy.c_`: NumPy joins the numbers of elements, which says where each is."""

    __module__ = "fastbp.numpy"

    def __init__(self, name):
        self._numbers = getattr(np, name)
        self._plain = graph.Maker(self._numbers.__getitem__)
        self.__name__ = self.__qualname__ = name
        self.__doc__ = self._numbers.__doc__

    def __getitem__(self, key):
        items = key if isinstance(key, tuple) else (key,)
        if not any(map(has_variable, items)):
            return self._plain(key)
        parts, numbered, count = [], [], 0
        for item in items:
            if isinstance(item, str):
                if item in ("r", "c"):
                    raise NoRuleError(f"numpy.r_[{item!r}, ...] makes a numpy.matrix: leave it out")
                numbered.append(item)
                continue
            part = np.r_[item] if isinstance(item, slice) else array(item, copy=None)
            numbered.append(np.arange(count, count + part.size).reshape(part.shape))
            parts.append(np.ravel(part))
            count += part.size
        return take(np.concatenate(parts), self._numbers[tuple(numbered)])

    def __len__(self):
        return 0

    def __reduce__(self):
        return self.__name__


CREATORS.update(arange=arange, full_like=full_like)


def _publish(numpy_function, f):
    """Let a call without Variables go to NumPy at once."""
    FUNCTIONS[f.__name__] = made = graph.Maker(numpy_function, f)
    made.__module__, made.__qualname__, made.__doc__ = "fastbp.numpy", f.__name__, f.__doc__


for _function, _f in ((np.array, array), (np.asarray, asarray), (np.asanyarray, asanyarray)):
    _publish(_function, _f)
CREATORS.update({name: _Joining(name) for name in ("r_", "c_")})


def _space_samples(rng):
    return [
        ((rng.uniform(0.5, 1.0, 2), rng.uniform(1.5, 2.0, 2), 4), {}),
        ((np.array(0.5), 2.0, 3), {"endpoint": False}),
        ((rng.uniform(0.5, 1.0, 2), np.array(2.0)), {"num": 3, "axis": -1}),
    ]


@implements(
    np.logspace,
    samples=lambda rng: [*_space_samples(rng), ((np.array(0.5), 2.0, 3), {"base": np.array(2.0)})],
)
def logspace(start, stop, num=50, endpoint=True, base=10.0, dtype=None, axis=0):
    """Arguments as in `numpy.logspace`; the base may be a Variable, too."""
    if not isinstance(base, (int, float, complex)):
        base = as_operand(base, "numpy.logspace: base=")
    if np.ndim(array_of(base)):
        ends = [as_operand(x, "numpy.logspace: an end") for x in (start, stop)]
        start, stop, base = np.broadcast_arrays(*ends, base)
        base = np.expand_dims(base, axis)
    y = np.power(base, linspace(start, stop, num, endpoint, axis=axis))
    return y if dtype is None else np.astype(y, float_dtype(dtype, "logspace", y.dtype))


@implements(
    np.geomspace,
    samples=lambda rng: [*_space_samples(rng), ((np.array(-0.5), -2.0, 3), {})],
)
def geomspace(start, stop, num=50, endpoint=True, dtype=None, axis=0):
    """Arguments as in `numpy.geomspace`, of real numbers."""
    ends = [as_operand(x, "numpy.geomspace: an end", real=True) for x in (start, stop)]
    # Raises where NumPy does.
    value = constant_call(np.geomspace, *ends, num, endpoint, None, axis)
    start, stop = np.broadcast_arrays(*ends)
    sign = np.sign(passive(start)) * np.ones((), value.dtype)
    logs = linspace(np.log10(start / sign), np.log10(stop / sign), num, endpoint, axis=axis)
    y = np.expand_dims(sign, axis) * np.power(10.0, logs)
    return y if dtype is None else np.astype(y, float_dtype(dtype, "geomspace", y.dtype))
