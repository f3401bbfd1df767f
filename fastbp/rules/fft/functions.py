"""`numpy.fft`: one axis at a time, in NumPy's order, so that values are NumPy's."""

import operator

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from fastbp.rules.fft.transforms import complex_op, half_op, real_op
from fastbp.rules.numpy.structural import as_operand
from fastbp.rules.table import implements, refuse


def _one(function, op, inverse, a, n, axis, norm, out):
    """Transform one axis; `n` is the size of the full transform."""
    refuse(f"fft.{function}", out=(out, None))
    a = as_operand(a, f"numpy.fft.{function}: a", real=op is real_op)
    axis = normalize_axis_index(axis, a.ndim) - a.ndim
    if n is None:
        n = 2 * (a.shape[axis] - 1) if op is half_op else a.shape[axis]
    sizes = (operator.index(n),)
    return op(a, axis=(axis,), sizes=sizes, inverse=inverse, norm=norm, workers=None)


def _samples(rng):
    x = rng.normal(size=(2, 5))
    return [
        ((x,), {}),
        ((x[0], 4), {}),
        ((x[0], 7), {"norm": "forward"}),
        ((x, 2), {"axis": 0, "norm": "ortho"}),
        ((x, 1, -2), {"norm": "backward"}),
    ]


def _register(name, op, inverse, what):
    def transform(a, n=None, axis=-1, norm=None, out=None):
        return _one(name, op, inverse, a, n, axis, norm, out)

    transform.__name__ = transform.__qualname__ = name
    transform.__doc__ = f"Arguments as in `numpy.fft.{name}`; out= is refused.\n\n{what}"
    implements(getattr(np.fft, name), name=f"fft.{name}", samples=_samples)(transform)
    return transform


_NOTES = """Notes
-----
{}"""
_SAME = _NOTES.format("The cotangent is transformed alike, without a conjugate.")
_HALF = _NOTES.format("What the half of a spectrum stands for twice counts twice.")

fft = _register("fft", complex_op, False, _SAME)
ifft = _register("ifft", complex_op, True, _SAME)
rfft = _register("rfft", real_op, False, _HALF)
ihfft = _register("ihfft", real_op, True, _HALF)
irfft = _register("irfft", half_op, True, _HALF)
hfft = _register("hfft", half_op, False, _HALF)

# ---- along several axes


def _axes_and_sizes(name, a, s, axes):
    """Return pairs of an axis and the size of its full transform."""
    if s is None:
        axes = range(a.ndim) if axes is None else axes
        sizes = [a.shape[axis] for axis in axes]
        if name == "irfft":
            sizes[-1] = 2 * (sizes[-1] - 1)
        return [*zip(axes, sizes, strict=True)]
    if axes is None or None in s:
        # Raises or warns as NumPy does.
        np.fft.fftn(np.ones((1,) * a.ndim), [None if n is None else 1 for n in s], axes)
    axes = range(-len(s), 0) if axes is None else axes
    if len(s) != len(axes):
        raise ValueError("Shape and axes have different lengths.")
    return [(axis, a.shape[axis] if n == -1 else n) for axis, n in zip(axes, s, strict=True)]


def _steps(name, pairs):
    """Return transforms with axis and size in NumPy's order."""
    if name == "irfft":
        return [*[(ifft, *pair) for pair in pairs[:-1]], (irfft, *pairs[-1])]
    if name == "rfft":
        return [(rfft, *pairs[-1]), *[(fft, *pair) for pair in pairs[-2::-1]]]
    return [(fft if name == "fft" else ifft, *pair) for pair in pairs[::-1]]


def _along(function, name, a, s, axes, norm, out):
    refuse(f"fft.{function}", out=(out, None))
    a = as_operand(a, f"numpy.fft.{function}: a", real=name == "rfft")
    for transform, axis, n in _steps(name, _axes_and_sizes(name, a, s, axes)):
        a = transform(a, n, axis, norm)
    return a


def _samples_2(rng):
    x = rng.normal(size=(2, 3, 4))
    return [
        ((x[0],), {}),
        ((x, (3, 3)), {"norm": "ortho"}),
        ((x, (2, -1), (1, 0)), {"norm": "forward"}),
    ]


def _samples_n(rng):
    x = rng.normal(size=(2, 3, 4))
    return [
        ((x[0],), {}),
        ((x,), {"norm": "ortho"}),
        ((x, (5, 2), (0, -1)), {}),
        ((x, None, (1, 2)), {"norm": "forward"}),
    ]


def _register_several(name):
    def in_plane(a, s=None, axes=(-2, -1), norm=None, out=None):
        return _along(f"{name}2", name, a, s, axes, norm, out)

    def along(a, s=None, axes=None, norm=None, out=None):
        return _along(f"{name}n", name, a, s, axes, norm, out)

    for suffix, f, samples in (("2", in_plane, _samples_2), ("n", along, _samples_n)):
        f.__name__ = f.__qualname__ = name + suffix
        f.__doc__ = f"Arguments as in `numpy.fft.{name}{suffix}`; out= is refused."
        own = getattr(np.fft, name + suffix)
        implements(own, name=f"fft.{name}{suffix}", samples=samples, no_axes="array")(f)


for _name in ("fft", "ifft", "rfft", "irfft"):
    _register_several(_name)

# ---- the zero frequency in the middle


def _shifted(x, axes, sign):
    axes = range(x.ndim) if axes is None else axes
    axes = normalize_axis_tuple(axes, x.ndim, allow_duplicate=True)
    shift = [x.shape[k] // 2 if sign > 0 else -(x.shape[k] // 2) for k in axes]
    return np.roll(x, shift, axes)


def _shift_samples(rng):
    x = rng.normal(size=(2, 3))
    return [((x,), {}), ((x, 1), {}), ((x, (0,)), {})]


@implements(np.fft.fftshift, layout="K", name="fft.fftshift", samples=_shift_samples)
def fftshift(x, axes=None):
    """Arguments as in `numpy.fft.fftshift`."""
    return _shifted(x, axes, 1)


@implements(np.fft.ifftshift, layout="K", name="fft.ifftshift", samples=_shift_samples)
def ifftshift(x, axes=None):
    """Arguments as in `numpy.fft.ifftshift`."""
    return _shifted(x, axes, -1)
