"""What tests share: operands, memory layouts, calls as functions of arrays, peaks of memory."""

import contextlib
import functools
import gc
import inspect
import sys
import threading
import tracemalloc

import numpy as np
import scipy.fft
import scipy.linalg
import scipy.special

import fastbp.numpy
from fastbp import tree
from fastbp._core import graph
from fastbp.rules import OPS
from fastbp.rules.table import FUNCTIONS, SAMPLES, load_all

from . import versions

load_all()  # rows that are not in the table before they are needed
ELEMENTWISE = {name: op for name, op in OPS.items() if op.info.get("domain")}
DTYPES = (np.float64, np.float32)
LAYOUTS = ("C", "F", "strided", "read-only")
EPS = {np.dtype("f8"): 2.0**-52, np.dtype("f4"): 2.0**-23}


def laid_out(x, layout):
    """Return a copy of `x` with another memory layout."""
    if layout == "F":
        return np.array(x, order="F")
    if layout == "strided":
        room = np.full([2 * n + 1 for n in x.shape] or [3], np.nan, x.dtype)
        view = (
            room[tuple(slice(2 * n - 1, None, -2) if n else slice(0, 0) for n in x.shape)]
            if x.ndim
            else room[1, ...]
        )
        view[...] = x
        return view
    copy = np.array(x, order="C")
    copy.flags.writeable = layout != "read-only"
    return copy


def normal(rng, shape, dtype):
    """Sample from the normal distribution, for complex numbers in both parts."""
    x = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.standard_normal(shape)
    return np.asarray(x, dtype)


def operands_of(op, shapes, rng, dtype=np.float64):
    """Sample operands of an elementwise operation from its domain."""
    domain = op.info["domain"]
    pairs = domain if isinstance(domain[0], tuple) else (domain,) * op.nin
    return [
        rng.uniform(*pair, shape).astype(dtype) for pair, shape in zip(pairs, shapes, strict=True)
    ]


# Functions whose results are sums of products of elements: at absolute values of their arguments
# they return the magnitude of these sums.
SUMS = {
    "cumsum", "cumulative_sum", "dot", "einsum", "inner", "kron", "linalg.matmul",
    "linalg.matrix_power", "linalg.multi_dot", "linalg.tensordot", "linalg.trace", "linalg.vecdot",
    "matmul", "matvec", "mean", "nancumsum", "nanmean", "nansum", "sum", "tensordot", "trace",
    "vdot", "vecdot", "vecmat",
}  # fmt: skip


class Call:
    """One sampled call of a function, as a function of the float64 arrays in its arguments.

    Attributes
    ----------
    arrays : list of ndarray
        These arrays, in the order of `fastbp.tree`.
    symmetric : bool
        Whether the derivative is along symmetric matrices only: then they are made symmetric first.
    adds : bool
        Whether the function is one of `SUMS`.
    keeps_single : bool
        Whether float32 is kept where the function itself may return float64.
    """

    def __init__(self, function, args, kwargs, symmetric=False, adds=False, keeps_single=False):
        self.function = function
        self.symmetric = symmetric(args, kwargs) if callable(symmetric) else symmetric
        self.adds = adds
        self.keeps_single = keeps_single
        self.leaves, self.treedef = tree.flatten((args, kwargs))
        self.moving = [
            k for k, x in enumerate(self.leaves) if type(x) is np.ndarray and x.dtype == np.float64
        ]
        self.arrays = [self.leaves[k] for k in self.moving]

    def arguments(self, arrays):
        """Return args and kwargs with other arrays in place of the sampled ones."""
        leaves = list(self.leaves)
        for k, x in zip(self.moving, arrays, strict=True):
            numbers = self.symmetric and type(x) in (np.ndarray, graph.Variable)
            leaves[k] = 0.5 * (x + np.swapaxes(x, -1, -2)) if numbers else x
        return self.treedef.unflatten(leaves)

    def on(self, function, arrays):
        """Call another function with the same arguments."""
        args, kwargs = self.arguments(arrays)
        return function(*args, **kwargs)

    def everything(self, *arrays):
        """Return what the function returns."""
        return self.on(self.function, arrays)

    def magnitude(self, arrays):
        """Return the largest sum of absolute values of what the function adds; 0 if it does not."""
        return largest(self.everything(*map(np.abs, arrays))) if self.adds else 0.0

    def __call__(self, *arrays):
        """Return the floating outputs only: one array, or a tuple."""
        outputs = [y for y in tree.flatten(self.everything(*arrays))[0] if _is_differentiable(y)]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


def _is_differentiable(y):
    return type(y) is graph.Variable or np.asarray(graph.array_of(y)).dtype.kind in "fc"


ONLY_IN_SCIPY = tuple(
    f"scipy.{module}."
    for module in ("fft", "integrate", "interpolate", "linalg", "ndimage", "signal")
)


WIDER = ("scipy.linalg.", "scipy.special.")  # may return float64 of float32


def numpy_function(name):
    """Return the function of NumPy or SciPy that a name in the table stands for, or None."""
    owners = (scipy,) if name.startswith(ONLY_IN_SCIPY) else (np, scipy.special)
    name = name.removeprefix("scipy.").removeprefix("special.")
    for owner in owners:
        try:
            return functools.reduce(getattr, name.split("."), owner)
        except AttributeError:
            continue
    return None


def public_function(name):
    """Return fastbp's function of a name in the table."""
    for owner in (fastbp, fastbp.numpy, fastbp.scipy.special):
        if name.split(".")[0] in dir(owner):
            return functools.reduce(getattr, name.split("."), owner)
    raise AssertionError(f"{name} is in no namespace")


def function_of(name):
    """Return the function, or the operation without one, that a name in `SAMPLES` is of."""
    return FUNCTIONS.get(name) or OPS[name]


def parameters_of(name):
    """Return the parameters of a function in `SAMPLES`; an operation without one has none."""
    function = FUNCTIONS.get(name)
    if function is None or isinstance(function, graph.Op):
        return {}
    try:
        return inspect.signature(function).parameters
    except ValueError:
        return {}  # built in: some versions say it, and some do not


def samples_of(name):
    """Return the samples of a function in the table that the installed NumPy and SciPy can do."""
    calls = SAMPLES[name](np.random.default_rng(0))
    return [call for call in calls if versions.can(name, _called(name), *call)]


def _called(name):
    """Return NumPy's function of a name in the table, or ours.

    Ours, if NumPy does not hand Variables to its own (``numpy.array``), or does not have it.
    """
    function = numpy_function(name)
    theirs = isinstance(function, np.ufunc) or hasattr(function, "_implementation")
    return function if theirs else function_of(name)


def calls_of(name):
    """Return the sampled calls of a function in the table, through NumPy where it is NumPy's."""
    function = _called(name)
    symmetric = getattr(function_of(name), "symmetric", False)
    return [
        Call(
            function,
            args,
            kwargs,
            symmetric,
            name in SUMS,
            name.startswith(WIDER) or name in versions.WIDER,
        )
        for args, kwargs in samples_of(name)
    ]


def directions(structure, seed=1):
    """Return random numbers in the shapes and dtypes of a structure's arrays."""
    rng = np.random.default_rng(seed)
    return tree.map(lambda x: normal(rng, np.shape(x), np.asarray(x).dtype), structure)


def largest(structure):
    """Return the largest finite absolute value in a structure."""
    arrays = map(np.asarray, tree.flatten(structure)[0])
    return max((np.max(np.abs(x[np.isfinite(x)]), initial=0.0) for x in arrays), default=0.0)


def assert_close(found, expected, ulps=16, magnitude=0.0):
    """Compare structures: shapes and dtypes exactly, values to rounding of the largest element.

    Where elements are sums, all of which may cancel, rounding is that of `magnitude`, the sum of
    absolute values.
    """
    found, expected = tree.flatten(found)[0], tree.flatten(expected)[0]
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        scale = max(largest(b), magnitude)
        tolerance = ulps * np.finfo(b.dtype).eps * scale if b.dtype.kind in "fc" else 0
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


def assert_sums_close(found, expected, magnitude, roundings):
    """Compare sums of the same terms that were added in different orders.

    A term passes at most `roundings` roundings on its way into the result, so both results are off
    by at most as many half ulps of `magnitude`, the sum of the terms' absolute values (Higham,
    Accuracy and Stability of Numerical Algorithms, section 3.1). How much of the sum cancels does
    not matter, nor which instruction set adds. Products of sums are sums of products: `magnitude`
    is the same expression of absolute values.
    """
    found, expected = np.asarray(found), np.asarray(expected)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    error, bound = np.abs(found - expected), roundings * EPS[found.dtype] * np.asarray(magnitude)
    wrong = ~(error <= bound)
    assert not np.any(wrong), (
        f"{np.sum(wrong)} of {wrong.size} values differ, at most by "
        f"{np.max(error - bound)} more than rounding explains"
    )


# ---- calls of what is no function in the table: indexing, operators, methods

INDICES = {
    "integer": 1,
    "negative": (-1, 2),
    "all integers": (1, 2, 0),
    "numpy integer": np.int64(1),
    "slice": slice(1, 3),
    "backwards": (slice(None, None, -2), slice(3, 0, -1)),
    "empty slice": slice(2, 2),
    "ellipsis": (..., 0),
    "only ellipsis": ...,
    "new axes": (None, slice(1, 2), None, ..., None),
    "nothing": (),
    "list": [0, 2],
    "repeated": [0, 2, 0, 0],
    "empty list": [],
    "array": np.array([[0, 2], [-1, 0]]),
    "two arrays": ([0, 2, 0], [1, 3, 1]),
    "broadcast arrays": (np.array([[0], [2]]), np.array([1, 3, 0])),
    "neighbours behind a slice": (slice(None), [0, 1], [1, 1]),
    "separated": ([0, 1, 0], slice(None), [1, 0, 1]),
    "separated by an integer": (0, slice(None), [1, 0]),
    "array and new axis": ([0, 2], None, slice(1, 3)),
    "array behind ellipsis": (..., [1, 0, 1]),
    "mask": np.arange(24).reshape(3, 4, 2) % 3 == 0,
    "mask of rows": np.array([True, False, True]),
    "mask of two axes": np.arange(12).reshape(3, 4) % 2 == 0,
    "mask behind a slice": (slice(1, None), np.array([True, False, True, True])),
    "mask and array": (np.array([True, False, True]), [1, 3]),
    "mask of nothing": np.zeros((3, 4), bool),
    "true": True,
    "false": np.False_,
    "ix_": np.ix_([0, 2], [1, 3], [0]),
}


def get(x, index):
    """Read elements."""
    return x[index]


def writable(x, value):
    """Return a copy of `x` that `value` can be written into."""
    return +(graph.variable(x) if type(value) is graph.Variable else x)


def put(x, index, value):
    """Write elements of a copy, which then has a history of its own."""
    x = writable(x, value)
    x[index] = value
    return x


def add_in_place(x, index, value):
    """Update elements of a copy in place, as NumPy does: where an element is named twice, once."""
    x = writable(x, value)
    x[index] += value
    return x


def indexing_calls():
    """Return calls that read and write elements by every kind of index, with a name each."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 4, 2))
    calls = {}
    for name, index in INDICES.items():
        shape = x[index].shape
        value = np.asarray(rng.normal(size=shape))
        calls[f"get {name}"] = Call(lambda x, index=index: get(x, index), (x,), {})
        calls[f"add {name}"] = Call(
            lambda x, v, index=index: add_in_place(x, index, v), (x, value), {}
        )
        unique = np.zeros(x.shape, int)
        np.add.at(unique, index, 1)
        if unique.max(initial=0) < 2:  # otherwise the last one wins: see the test of that
            calls[f"put {name}"] = Call(lambda x, v, index=index: put(x, index, v), (x, value), {})
            calls[f"put scalar {name}"] = Call(
                lambda x, v, index=index: put(x, index, v), (x, np.array(0.5)), {}
            )
            calls[f"put constant {name}"] = Call(
                lambda x, index=index: put(x, index, 2.0), (x,), {}
            )
    return calls


def peak_of(f, *args):
    """Return the largest number of bytes that a call holds at once, after one that warms up."""
    f(*args)
    gc.collect()
    tracemalloc.start()
    try:
        f(*args)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def called_name(name):
    """Return the name in the table as users call the function, with its module.

    Reads of and writes to elements are operators: the word that their errors have.
    """
    if " " in name:
        # What is added to a number is a new one: only the write of it can be refused.
        writes = name.startswith("put ") or name == "add all integers"
        return "setitem" if writes else name.split()[0]
    if name.startswith("scipy."):
        return name
    if name in ("log_softmax", "logsumexp", "softmax"):
        return f"scipy.special.{name}"
    try:
        functools.reduce(getattr, name.split("."), np)
    except AttributeError:
        return f"fastbp.{name}" if "." in name else f"fastbp.numpy.{name}"
    return f"numpy.{name}"


def at_once(work, *arguments):
    """Call a function with each of these in a thread of its own; return what the calls return.

    Threads change over as often as Python lets them.
    """
    barrier, found = threading.Barrier(len(arguments)), [None] * len(arguments)

    def run(k):
        barrier.wait()
        try:
            found[k] = work(arguments[k])
        except BaseException as error:
            found[k] = error

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=run, args=(k,)) for k in range(len(arguments))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return found


@contextlib.contextmanager
def drawing_beside():
    """Yield a sine during whose first call another thread draws a random number."""
    draws, drawn = threading.Event(), threading.Event()

    def other():
        draws.wait()
        np.random.random()  # noqa: NPY002
        drawn.set()

    def f(x):
        if not drawn.is_set():
            draws.set()
            drawn.wait()
        return np.sin(x)

    thread = threading.Thread(target=other)
    thread.start()
    yield f
    thread.join()
