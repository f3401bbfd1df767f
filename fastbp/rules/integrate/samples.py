"""Integrals of samples: sums with weights, which depend on where the samples were taken."""

import warnings

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from scipy import integrate

from fastbp._core.graph import Variable, array_of, values_of
from fastbp.errors import DTypeError, NoRuleError
from fastbp.rules.counterparts import stands_for
from fastbp.rules.numpy.structural import as_operand


def _along(name, y, x, axis, dx=1.0):
    """Return samples along the last axis, and where they are taken or None."""
    as_operand(dx, f"scipy.integrate.{name}: dx", real=True)  # raises
    y = as_operand(y, f"scipy.integrate.{name}: y")
    axis = normalize_axis_index(axis, y.ndim)
    n = y.shape[axis]
    if x is not None:
        x = as_operand(x, f"scipy.integrate.{name}: x", real=True)
        if x.ndim != 1:
            if x.ndim != y.ndim:
                raise ValueError("If given, shape of x must be 1-D or the same as y.")
            x = np.moveaxis(x, axis, -1)
        if x.shape[-1] != n:
            raise ValueError("If given, length of x along axis must be the same as y.")
    return np.moveaxis(y, axis, -1), x, axis


def _as_simpson(found, y, x, dx, axis):
    """Cast single precision where SciPy does, in some cases."""
    if not any(np.asarray(array_of(v)).dtype in ("f4", "c8") for v in (y, x) if v is not None):
        return found
    y, x, dx = map(values_of, (y, x, dx))
    expected = integrate.simpson(y, x=x, dx=dx, axis=axis).dtype
    return found if found.dtype == expected else np.astype(found, expected)


def _steps(x, dx):
    return dx if x is None else np.diff(x, axis=-1)


def _samples(rng):
    grid = np.cumsum(rng.uniform(0.5, 1.0, 5))
    return [
        ((rng.normal(size=5),), {"x": grid}),
        ((rng.normal(size=(4, 2)),), {"dx": 0.5, "axis": 0}),
        ((rng.normal(size=(2, 4)),), {"x": np.cumsum(rng.uniform(0.5, 1.0, (2, 4)), 1)}),
    ]


@stands_for("scipy.integrate.trapezoid", samples=_samples)
def trapezoid(y, x, dx, axis):
    """Arguments as in `scipy.integrate.trapezoid`; places and distance may be Variables, too."""
    values, x, _ = _along("trapezoid", y, x, axis, dx)
    terms = _steps(x, dx) * (values[..., 1:] + values[..., :-1]) / 2.0
    if terms.dtype != values.dtype:  # SciPy's choice, which has changed with its versions
        terms = np.astype(terms, integrate.trapezoid(values_of(values), values_of(x), dx).dtype)
    return np.sum(terms, -1)


@stands_for("scipy.integrate.cumulative_trapezoid", samples=_samples)
def cumulative_trapezoid(y, x, dx, axis, initial):
    """Arguments as in `scipy.integrate.cumulative_trapezoid`."""
    y, x, axis = _along("cumulative_trapezoid", y, x, axis, dx)
    if not y.shape[-1]:
        raise ValueError("At least one point is required along `axis`.")
    if initial is not None and (not np.isscalar(initial) or initial != 0):
        raise ValueError("`initial` must be `None` or `0`.")
    found = np.cumsum(_steps(x, dx) * (y[..., 1:] + y[..., :-1]) / 2.0, -1)
    if initial is not None:
        found = np.concatenate([np.zeros((*found.shape[:-1], 1), found.dtype), found], -1)
    return np.moveaxis(found, -1, axis)


# ---- parabolas


def _over(a, b):
    """Divide where the divisor is not 0; elsewhere there is nothing."""
    zero = values_of(b) == 0
    if not np.any(zero):
        return a / b
    return np.where(zero, 0.0, a / np.where(zero, 1.0, b))


def _parabolas(y, x, dx, count):
    """Integrate pairs of intervals, the first `count` of them."""
    before, here, after = (y[..., k : k + 2 * count - 1 : 2] for k in range(3))
    if x is None:
        return np.sum(before + 4.0 * here + after, -1) * (dx / 3.0)
    h = np.diff(x, axis=-1)
    h0, h1 = h[..., 0 : 2 * count : 2], h[..., 1 : 2 * count : 2]
    both, ratio = h0 + h1, _over(h0, h1)
    return np.sum(
        both
        / 6.0
        * (
            before * (2.0 - _over(1.0, ratio))
            + here * (both * _over(both, h0 * h1))
            + after * (2.0 - ratio)
        ),
        -1,
    )


@stands_for("scipy.integrate.simpson", samples=_samples)
def simpson(y, x, dx, axis):
    """Arguments as in `scipy.integrate.simpson`."""
    given = y, x
    y, x, _ = _along("simpson", y, x, axis, dx)
    x = None if x is None else np.astype(x, np.float64)  # as SciPy does
    n = y.shape[-1]
    if n % 2:
        found = _parabolas(y, x, dx, n // 2)
    elif n == 2:
        found = 0.5 * (dx if x is None else x[..., -1] - x[..., -2]) * (y[..., -1] + y[..., -2])
    else:
        found = _parabolas(y, x, dx, n // 2 - 1)
        wide = dx if isinstance(dx, Variable) else np.float64(dx)
        h0, h1 = (wide, wide) if x is None else (x[..., k] - x[..., k - 1] for k in (-2, -1))
        last = _over(2 * h1**2 + 3 * h0 * h1, 6 * (h1 + h0)) * y[..., -1]
        last = last + _over(h1**2 + 3.0 * h0 * h1, 6 * h0) * y[..., -2]
        found = found + last - _over(h1**3, 6 * h0 * (h0 + h1)) * y[..., -3]
    return _as_simpson(found, *given, dx, axis)


def _first_halves(y, h):
    """Integrate the parabola through each three neighbours over its first interval."""
    y1, y2, y3 = y[..., :-2], y[..., 1:-1], y[..., 2:]
    if h.shape[-1] == 1:
        return h / 3 * (5 * y1 / 4 + 2 * y2 - y3 / 4)
    here, next = h[..., :-1], h[..., 1:]
    part = here / (here + next)
    both = part * (here / next)
    return here / 6 * ((3 - part) * y1 + (3 + both + part) * y2 - both * y3)


@stands_for(
    "scipy.integrate.cumulative_simpson",
    samples=lambda rng: [
        ((rng.normal(size=5),), {"x": np.cumsum(rng.uniform(0.5, 1.0, 5))}),
        ((rng.normal(size=(4, 2)),), {"dx": 0.5, "axis": 0, "initial": 0.25}),
        ((rng.normal(size=2),), {"dx": 0.5}),
    ],
)
def cumulative_simpson(y, x, dx, axis, initial):
    """Arguments as in `scipy.integrate.cumulative_simpson`."""
    y, x, axis = _along("cumulative_simpson", y, x, axis, dx)
    if y.dtype.kind == "c":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not np.iscomplexobj(integrate.cumulative_simpson(np.ones(3, complex))):
                raise DTypeError(
                    "scipy.integrate.cumulative_simpson: this SciPy takes real numbers only, y has "
                    f"dtype {y.dtype}"
                )
    n = y.shape[-1]
    if n < 3:
        found = np.cumsum(_steps(x, dx) * (y[..., 1:] + y[..., :-1]) / 2.0, -1)
    else:
        if x is None:
            h = as_operand(dx, "scipy.integrate.cumulative_simpson: dx")
            h = np.reshape(h, (1,)) if h.ndim == 0 else np.moveaxis(h, axis, -1)
            if h.shape[-1] != 1:
                raise ValueError(
                    "If provided, `dx` must either be a scalar or have the same shape as `y` but "
                    "with only 1 point along `axis`."
                )
            h = h if isinstance(h, Variable) else np.asarray(h, np.result_type(y.dtype, h.dtype))
        else:
            h = np.diff(x, axis=-1)
            if np.any(values_of(h) <= 0):
                raise ValueError("Input x must be strictly increasing.")
        firsts = _first_halves(y, h)
        lasts = np.flip(_first_halves(np.flip(y, -1), np.flip(h, -1)), -1)
        order = np.arange(n - 1)
        places = np.where((order % 2 == 0) & (order < n - 2), order, n - 2 + order - 1)
        parts = np.take(np.concatenate([firsts, lasts], -1), places, -1)
        found = np.cumsum(parts, -1)
    if initial is not None:
        first = as_operand(initial, "scipy.integrate.cumulative_simpson: initial")
        first = np.moveaxis(first, axis, -1) if first.ndim else first
        first = np.broadcast_to(first, (*found.shape[:-1], 1))
        found = np.concatenate([first, found + first], -1)
    return np.moveaxis(found, -1, axis)


@stands_for(
    "scipy.integrate.romb",
    samples=lambda rng: [
        ((rng.normal(size=5), np.array(0.5)), {}),
        ((rng.normal(size=(3, 2)),), {"axis": 0}),
    ],
)
def romb(y, dx, axis, show):
    """Arguments as in `scipy.integrate.romb`; ``show=`` is refused."""
    if show:
        raise NoRuleError("scipy.integrate.romb: show= is not supported for Variables")
    y, _, _ = _along("romb", y, None, axis, dx)
    step = y.shape[-1] - 1
    if step < 1 or step & (step - 1):
        raise ValueError("Number of samples must be one plus a non-negative power of 2.")
    h = step * (np.astype(dx, np.float64) if isinstance(dx, Variable) else np.float64(dx))
    row = [(y[..., 0] + y[..., -1]) / 2.0 * h]
    while step > 1:
        between = np.sum(y[..., step // 2 :: step], -1)
        finer = [0.5 * (row[0] + h * between)]
        for j, coarse in enumerate(row):
            finer.append(finer[j] + (finer[j] - coarse) / (4 ** (j + 1) - 1))
        row, h, step = finer, h / 2.0, step // 2
    return row[-1]
