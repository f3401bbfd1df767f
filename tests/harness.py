"""What the tests over the table of operations share: sampled operands, memory layouts, calls as functions of arrays."""

import numpy as np

from fastbp import tree
from fastbp._core import graph
from fastbp.rules import OPS
from fastbp.rules.table import FUNCTIONS, SAMPLES

ELEMENTWISE = {name: op for name, op in OPS.items() if op.info["kind"] == "elementwise"}
DTYPES = (np.float64, np.float32)
LAYOUTS = ("C", "F", "strided", "read-only")
EPS = {np.dtype("f8"): 2.0**-52, np.dtype("f4"): 2.0**-23}


def laid_out(x, layout):
    """Return a copy of `x` with another memory layout."""
    if layout == "F":
        return np.array(x, order="F")
    if layout == "strided":
        room = np.full([2 * n + 1 for n in x.shape] or [3], np.nan, x.dtype)
        view = room[tuple(slice(2 * n - 1, None, -2) if n else slice(0, 0) for n in x.shape)] if x.ndim else room[1, ...]
        view[...] = x
        return view
    copy = np.array(x, order="C")
    copy.flags.writeable = layout != "read-only"
    return copy


def operands_of(op, shapes, rng, dtype=np.float64):
    """Sample operands of an elementwise operation from its domain."""
    domain = op.info["domain"]
    pairs = domain if isinstance(domain[0], tuple) else (domain,) * op.nin
    return [rng.uniform(*pair, shape).astype(dtype) for pair, shape in zip(pairs, shapes, strict=True)]


class Call:
    """One sampled call of a function, as a function of the float64 arrays in its arguments.

    Attributes
    ----------
    arrays : list of ndarray
        These arrays, in the order of `fastbp.tree`.
    symmetric : bool
        Whether the derivative is along symmetric matrices only: then they are made symmetric first.
    """

    def __init__(self, function, args, kwargs, symmetric=False):
        self.function = function
        self.symmetric = symmetric
        self.leaves, self.treedef = tree.flatten((args, kwargs))
        self.moving = [k for k, x in enumerate(self.leaves) if type(x) is np.ndarray and x.dtype == np.float64]
        self.arrays = [self.leaves[k] for k in self.moving]

    def arguments(self, arrays):
        """Return args and kwargs with other arrays in place of the sampled ones."""
        leaves = list(self.leaves)
        for k, x in zip(self.moving, arrays, strict=True):
            leaves[k] = 0.5 * (x + np.swapaxes(x, -1, -2)) if self.symmetric else x
        return self.treedef.unflatten(leaves)

    def on(self, function, arrays):
        """Call another function with the same arguments."""
        args, kwargs = self.arguments(arrays)
        return function(*args, **kwargs)

    def everything(self, *arrays):
        """Return what the function returns."""
        return self.on(self.function, arrays)

    def __call__(self, *arrays):
        """Return the floating outputs only: one array, or a tuple."""
        outputs = [y for y in tree.flatten(self.everything(*arrays))[0] if _is_float(y)]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


def _is_float(y):
    return type(y) is graph.Variable or np.asarray(y).dtype.kind == "f"


def numpy_function(name):
    """Return NumPy's own function of a name in `fastbp.numpy`, or None."""
    owner = np
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    found = getattr(owner, last, None)
    return found if found is not None or path else getattr(np.linalg, last, None)


def calls_of(name):
    """Return the sampled calls of a function in the table, through NumPy where it is NumPy's."""
    function = numpy_function(name)
    if not isinstance(function, np.ufunc) and not hasattr(function, "_implementation"):
        function = FUNCTIONS[name]  # NumPy does not hand it Variables (``numpy.array``), or does not have it
    symmetric = getattr(FUNCTIONS[name], "symmetric", False)
    return [Call(function, args, kwargs, symmetric) for args, kwargs in SAMPLES[name](np.random.default_rng(0))]


def directions(structure, seed=1):
    """Return random numbers in the shapes and dtypes of a structure's arrays."""
    rng = np.random.default_rng(seed)
    return tree.map(lambda x: rng.standard_normal(np.shape(x)).astype(np.asarray(x).dtype), structure)


def assert_close(found, expected, ulps=16):
    """Compare two structures: shapes and dtypes exactly, values to rounding of the largest element."""
    found, expected = tree.flatten(found)[0], tree.flatten(expected)[0]
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        finite = b[np.isfinite(b)]
        scale = np.max(np.abs(finite), initial=0.0)
        tolerance = ulps * EPS[b.dtype] * scale if b.dtype.kind == "f" else 0
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)
