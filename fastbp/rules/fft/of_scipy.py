"""`scipy.fft`: the Fourier transforms of its own, and the cosine and sine transforms.

SciPy's functions do not look at their arguments, so these are in `fastbp.scipy.fft` only. They are
imported with it. What is no Variable is left to SciPy; ``overwrite_x=`` never has an effect on one.
"""

import inspect
import operator

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from scipy import fft as scipy_fft

from fastbp._core.graph import has_variable
from fastbp.errors import NoRuleError
from fastbp.rules import patterns
from fastbp.rules.counterparts import of_values
from fastbp.rules.fft.transforms import complex_op, half_op, real_op, resized
from fastbp.rules.numpy.structural import as_operand
from fastbp.rules.table import implements, linear

# ---- cosine and sine transforms

_PARTNER = {1: 1, 2: 3, 3: 2, 4: 4}


def _cosine(x, kind, type, axis, sizes, inverse, norm, workers, orthogonalize):
    name = "i" * inverse + kind
    options = {"norm": norm, "workers": workers, "orthogonalize": orthogonalize}
    if len(axis) == 1:
        return getattr(scipy_fft, name)(x, type, sizes[0], axis[0], **options)
    return getattr(scipy_fft, name + "n")(x, type, sizes, axis, **options)


def _with_ends(x, axis, ends, factor):
    """Multiply the first or last elements along axes by a factor."""
    for k in axis:
        weights = np.ones((x.shape[k], *(1,) * (-1 - k)), x.real.dtype)
        weights[ends] *= factor
        x = x * weights
    return x


def _cosine_transpose(g, ans, x, kind, type, axis, sizes, inverse, norm, orthogonalize, **workers):
    # Not of orthogonal form, the matrices of types 2 and 3, and that of dct 1, are transposes of
    # each other but for a factor of 2 at what is alone, the constant or the highest frequency.
    plain = not (norm == "ortho" if orthogonalize is None else orthogonalize)
    own = _PARTNER[type] if inverse else type
    ends = ([0] if own > 1 else [0, -1]) if kind == "dct" else [-1]
    one_sided = plain and own in ((1, 2, 3) if kind == "dct" else (2, 3))
    if one_sided and own < 3:
        g = _with_ends(g, axis, ends, 2.0)
    static = {"axis": axis, "sizes": sizes, "inverse": inverse, "norm": norm}
    static |= {"orthogonalize": orthogonalize, **workers}
    found = cosine_op(g, kind=kind, type=_PARTNER[type], **static)
    if one_sided and own != 2:
        found = _with_ends(found, axis, ends, 0.5)
    return resized(found, x.shape, axis)


cosine_op = linear(
    "fft.cosine",
    _cosine,
    _cosine_transpose,
    pattern=patterns.mixes,
    direct=("the transposed transform of g",),
)

# ---- arguments as SciPy takes them


def _axes_and_sizes(x, s, axes, half):
    """Return axes, from the end, and sizes of the full transforms along them."""
    if axes is not None:
        axes = normalize_axis_tuple(axes, x.ndim)
    if s is not None:
        s = [operator.index(n) for n in (s if np.iterable(s) else (s,))]
        if axes is not None and len(axes) != len(s):
            raise ValueError("when given, axes and shape arguments have to be of the same length")
        if len(s) > x.ndim:
            raise ValueError("shape requires more axes than are present")
    if axes is None:
        axes = range(x.ndim - len(s) if s is not None else 0, x.ndim)
    if s is None:
        s = [x.shape[k] for k in axes]
        if half and s:
            s[-1] = 2 * (s[-1] - 1)
    sizes = tuple([x.shape[k] if n == -1 else n for k, n in zip(axes, s, strict=True)])
    return tuple([k - x.ndim for k in axes]), sizes


def _transformed(name, op, given, half):
    """Record a transform of SciPy's with its arguments by name."""
    x = as_operand(given.pop("x"), f"scipy.fft.{name}: x", real=op is real_op)
    if given.pop("plan", None) is not None:
        raise NoRuleError(f"scipy.fft.{name}: the argument plan= is not supported for Variables")
    if "n" in given:
        axis, n = operator.index(given.pop("axis")), given.pop("n")
        _check_sizes(() if n is None else (n,), 1)
        axis, sizes = _axes_and_sizes(x, n, axis, half)
    else:
        axis, sizes = _axes_and_sizes(x, given.pop("s"), given.pop("axes"), half)
    if not axis:
        getattr(scipy_fft, name)(np.empty_like(x.value), axes=())  # raises where SciPy does
        return np.positive(x)
    if given.get("workers") is None:
        given["workers"] = scipy_fft.get_workers()
    if given.get("type", 1) not in _PARTNER:
        raise ValueError(f"scipy.fft.{name}: type {given['type']!r} is none of 1, 2, 3, 4")
    _check_sizes(sizes, 2 if (given.get("kind"), given.get("type")) == ("dct", 1) else 1)
    if "orthogonalize" in given and x.dtype.kind == "c":
        given["orthogonalize"] = None  # SciPy does not read it then
    del given["overwrite_x"]
    return op(x, axis=axis, sizes=sizes, **given)


def _check_sizes(sizes, least):
    for n in sizes:
        if n < least:
            raise ValueError(f"invalid number of data points ({n}) specified")


# ---- the functions


def _add(name, op, samples, **static):
    theirs = getattr(scipy_fft, name)
    signature = inspect.signature(theirs)
    half = op is half_op

    def function(*args, **kwargs):
        if not has_variable((args, tuple(kwargs.values()))):
            return of_values(function, theirs, args, kwargs)
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        return _transformed(name, op, {**given.arguments, **static}, half)

    function.__name__ = function.__qualname__ = name
    function.__module__, function.__signature__ = "fastbp.scipy.fft", signature
    function.__doc__ = f"Arguments as in `scipy.fft.{name}`; plan= is refused."
    implements(name=f"scipy.fft.{name}", samples=samples)(function)


_SAMPLES = {
    "": lambda rng: [
        ((rng.normal(size=(2, 5)),), {}),
        ((rng.normal(size=(2, 3)),), {"n": 2, "workers": 2}),
        ((rng.normal(size=5),), {"n": 4, "norm": "ortho"}),
        ((rng.normal(size=(2, 3)),), {"n": 5, "axis": 0, "norm": "forward", "overwrite_x": True}),
    ],
    "2": lambda rng: [
        ((rng.normal(size=(2, 3, 4)),), {}),
        ((rng.normal(size=(2, 3)), (3, 2)), {"norm": "ortho"}),
    ],
    "n": lambda rng: [
        ((rng.normal(size=(2, 3, 4)),), {}),
        ((rng.normal(size=(2, 3, 4)),), {"s": (5, 2), "axes": (0, -1), "norm": "forward"}),
        ((rng.normal(size=(2, 3)),), {"s": 4}),
        ((rng.normal(size=(2, 3)),), {"axes": (1, 0), "norm": "ortho"}),
        ((rng.normal(size=(2, 3)),), {"axes": 0}),
    ],
}


def _cosine_samples(suffix):
    def samples(rng):
        calls = _SAMPLES[suffix](rng)
        return [
            *[(args, {**kwargs, "type": t}) for args, kwargs in calls for t in (1, 2, 3, 4)],
            ((rng.normal(size=(3, 3)), 2, 4), {"orthogonalize": True}),
            ((rng.normal(size=(3, 3)), 1, 2), {"orthogonalize": False, "norm": "ortho"}),
        ]

    return samples


for _suffix in ("", "2", "n"):
    for _name, _op, _inverse in (
        ("fft", complex_op, False),
        ("ifft", complex_op, True),
        ("rfft", real_op, False),
        ("ihfft", real_op, True),
        ("irfft", half_op, True),
        ("hfft", half_op, False),
    ):
        _add(_name + _suffix, _op, _SAMPLES[_suffix], inverse=_inverse)
for _suffix in ("", "n"):
    for _name, _inverse in (("dct", False), ("idct", True), ("dst", False), ("idst", True)):
        _static = {"kind": _name[-3:], "inverse": _inverse}
        _add(_name + _suffix, cosine_op, _cosine_samples(_suffix), **_static)
