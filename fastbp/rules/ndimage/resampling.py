"""Sums of B-splines at places, as `scipy.ndimage` interpolates by, and the transpose.

Both are linear in the image (the values), and by a place they are sums of the next derivative of
the B-splines: so two operations have derivatives of every order. Kernels: `fastbp._core.splines`.
"""

import math

import numpy as np
from scipy import ndimage

from fastbp._core.splines import Splines
from fastbp.rules import patterns
from fastbp.rules.table import general

__all__ = ["gather_op"]


def _next(nu, k):
    return (*nu[:k], nu[k] + 1, *nu[k + 1 :])


def _splines(c, shape, order, mode):
    places = np.ascontiguousarray(c, np.float64).reshape((len(shape), math.prod(c.shape[1:])))
    return Splines(shape, places, order, mode)


def _gathered(x, c, nus, order, mode, cval):
    """Return the sums for each tuple of orders of derivatives: (orders, in front, places)."""
    shape = x.shape[x.ndim - len(c) :]
    lead = x.shape[: x.ndim - len(c)]
    out = np.zeros((len(nus), math.prod(lead), math.prod(c.shape[1:])))
    there = [k for k, nu in enumerate(nus) if max(nu) <= order]
    if x.size and there:
        splines = _splines(c, shape, order, mode)
        flat = np.ascontiguousarray(x, np.float64).reshape((-1, splines.size))
        found = out if len(there) == len(nus) else np.empty((len(there), *out.shape[1:]))
        splines.gather(flat, np.array([nus[k] for k in there], np.uint8), cval, found)
        if found is not out:
            out[there] = found
    return out.reshape((len(nus), *lead, *c.shape[1:]))


def _gather(x, c, nu, order, mode, cval):
    if x.dtype.kind == "c":
        of_real = _gather(x.real, c, nu, order, mode, complex(cval).real)
        return of_real + 1j * _gather(x.imag, c, nu, order, mode, complex(cval).imag)
    if any(nu) or x.ndim != len(c):
        return _gathered(x, c, [nu], order, mode, cval)[0]
    options = {"order": order, "mode": mode, "cval": cval, "prefilter": False}
    return ndimage.map_coordinates(x, c, **options)


def _slopes(x, c, nu, order, mode, cval):
    """Return the derivatives by each coordinate, along an axis of their own in front of places."""
    nus = [_next(nu, k) for k in range(len(nu))]
    if type(x) is type(c) is np.ndarray and x.dtype.kind == "f":
        return np.moveaxis(_gathered(x, c, nus, order, mode, cval), 0, -c.ndim)
    parts = [gather_op(x, c, nu=n, order=order, mode=mode, cval=cval) for n in nus]
    return np.stack(parts, -c.ndim)


def _expanded(x, c):
    """Return values with an axis for the coordinates in front of those of places."""
    return np.expand_dims(x, -c.ndim)


def _along(t, slopes, c):
    """Return the derivative along a tangent of the places."""
    lead = t.ndim - c.ndim
    t = np.reshape(t, (*t.shape[:lead], *[1] * (slopes.ndim - c.ndim), *c.shape)) if lead else t
    return np.sum(t * slopes, -c.ndim)


def _of_places(g, slopes, c):
    """Return the cotangent of the places, for each of the images that share them."""
    return _expanded(g, c) * slopes


def _gather_vjp(g, needs, ans, x, c, nu, order, mode, cval):
    shape = x.shape[x.ndim - len(nu) :]
    x_bar = c_bar = None
    if needs[0]:
        x_bar = scatter_op(g, c, nu=nu, shape=shape, order=order, mode=mode)
    if needs[1]:
        slopes = _slopes(x, c, nu, order, mode, cval)
        c_bar = _of_places(g, slopes, c)
    return x_bar, c_bar


def _gather_jvp(tangents, ans, x, c, nu, order, mode, cval):
    t_x, t_c = tangents
    total = 0.0
    if t_x is not None:
        total = gather_op(t_x, c, nu=nu, order=order, mode=mode, cval=0.0)
    if t_c is not None:
        total = total + _along(t_c, _slopes(x, c, nu, order, mode, cval), c)
    return total


def _neighbours(link, shape):
    c = np.asarray(link.operands[1])
    order, mode = link.static["order"], link.static["mode"]
    return _splines(c, shape, order, mode).neighbours()


def _gather_pattern(p, ids, link):
    x, c = ids
    nd = len(link.static["nu"])
    spread = None if c is None else patterns._reduced(p, c, (0,))
    if x is None:
        return np.broadcast_to(spread, link.shape)
    lead, shape = x.shape[: x.ndim - nd], x.shape[x.ndim - nd :]
    if c is not None and not p.local:
        found = patterns._reduced(p, x, range(-nd, 0))
        found = found.reshape(lead + (1,) * (len(link.shape) - len(lead)))
    else:
        near = _neighbours(link, shape)
        flat = np.concatenate([x.reshape((*lead, -1)), np.zeros((*lead, 1), np.int32)], -1)
        found = p.sets.rows(flat[..., near]).reshape(link.shape)
    return np.broadcast_to(patterns.together(p, found, spread), link.shape)


gather_op = general(
    "ndimage.gather",
    _gather,
    nin=2,
    saves=(0, 1),
    vjp=_gather_vjp,
    jvp=_gather_jvp,
    pattern=_gather_pattern,
    direct=("scatter of g", "g times the derivatives of the splines"),
)


def _scatter(g, c, nu, shape, order, mode):
    if g.dtype.kind == "c":
        of_real = _scatter(g.real, c, nu, shape, order, mode)
        return of_real + 1j * _scatter(g.imag, c, nu, shape, order, mode)
    lead = g.shape[: g.ndim - c.ndim + 1]
    out = np.zeros((math.prod(lead), math.prod(shape)))
    if out.size and g.size and max(nu) <= order:
        flat = np.ascontiguousarray(g, np.float64).reshape((len(out), -1))
        _splines(c, shape, order, mode).scatter(flat, np.array([nu], np.uint8), out)
    return out.reshape((*lead, *shape))


def _scatter_vjp(h, needs, ans, g, c, nu, shape, order, mode):
    options = {"order": order, "mode": mode, "cval": 0.0}
    g_bar = gather_op(h, c, nu=nu, **options) if needs[0] else None
    if not needs[1]:
        return g_bar, None
    return g_bar, _of_places(g, _slopes(h, c, nu, **options), c)


def _scatter_jvp(tangents, ans, g, c, nu, shape, order, mode):
    t_g, t_c = tangents
    options = {"shape": shape, "order": order, "mode": mode}
    total = 0.0 if t_g is None else scatter_op(t_g, c, nu=nu, **options)
    if t_c is None:
        return total
    lead, extra = t_c.ndim - c.ndim, g.ndim - c.ndim + 1
    if lead and extra:
        t_c = np.reshape(t_c, (*t_c.shape[:lead], *[1] * extra, *c.shape))
    for k in range(len(nu)):
        part = t_c[(..., k, *[slice(None)] * (c.ndim - 1))] * g
        total = total + scatter_op(part, c, nu=_next(nu, k), **options)
    return total


def _scatter_pattern(p, ids, link):
    g, c = ids
    shape = link.static["shape"]
    lead = link.shape[: len(link.shape) - len(shape)]
    m = len(link.operands[1].shape) - 1
    own = None if c is None else patterns._reduced(p, c, (0,))
    g = own if g is None else g if own is None else patterns.together(p, g, own)
    g = np.broadcast_to(g, lead + link.operands[1].shape[1:])
    if c is not None and not p.local:
        found = patterns._reduced(p, g, range(-m, 0)) if m else g
        return np.broadcast_to(found.reshape(lead + (1,) * len(shape)), link.shape)
    near = _neighbours(link, shape)
    size, count = math.prod(shape), math.prod(lead)
    near = np.where(near < 0, size, near)  # behind the image
    targets = near + (size + 1) * np.arange(count)[:, None, None]
    values = np.broadcast_to(g.reshape((count, -1, 1)), targets.shape)
    found = p.sets.scatter(np.ascontiguousarray(values), targets, count * (size + 1))
    return found.reshape((count, size + 1))[:, :size].reshape(link.shape)


scatter_op = general(
    "ndimage.scatter",
    _scatter,
    nin=2,
    saves=(0, 1),
    vjp=_scatter_vjp,
    jvp=_scatter_jvp,
    pattern=_scatter_pattern,
    direct=("gather of g", "values times the gathered derivatives of g"),
)
