"""Least squares, and equations of more axes."""

import numpy as np

from fastbp._core.graph import promoted, values_of
from fastbp.errors import ShapeError
from fastbp.rules import batching, patterns
from fastbp.rules.linalg.decompositions import inverse_of, regular, truncated
from fastbp.rules.numpy.products import mh, mm, mt
from fastbp.rules.numpy.structural import conjugated
from fastbp.rules.table import general, implements

GOLUB = "G. H. Golub and V. Pereyra, SIAM J. Numer. Anal. 10 (1973) 413-432"


def _lstsq(a, b, rcond):
    if a.ndim > 2 or b.ndim > 2:
        return _of_stacks(a, b, rcond)
    x, _, rank, s = np.linalg.lstsq(a, b, rcond)
    return x, s, np.asarray(rank)


def _of_stacks(a, b, rcond):
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = (np.broadcast_to(x, (*lead, *x.shape[-2:])) for x in (a, b))
    (m, n), columns = a.shape[-2:], b.shape[-1]
    x = np.empty((*lead, n, columns), np.result_type(a, b))
    s, rank = np.empty((*lead, min(m, n)), x.real.dtype), np.empty(lead, np.intp)
    for k in np.ndindex(lead):
        x[k], s[k], rank[k] = _lstsq(a[k], b[k], rcond)
    return x, s, rank


def _inverse(a, rcond):
    """Return the pseudo-inverse that leaves out the same singular values."""
    return np.linalg.pinv(a, np.finfo(a.dtype).eps * max(a.shape[-2:]) if rcond is None else rcond)


def _of_values(g, a):
    u, _, vh = np.linalg.svd(a, full_matrices=False)
    return mm(conjugated(u) * g[..., None, :].astype(a.dtype), conjugated(vh))


def _lstsq_vjp(g, needs, ans, a, b, rcond):
    g_x, g_s, _ = g
    x = ans[0]
    of_a = None if g_s is None or not needs[0] else _of_values(g_s, a)
    if g_x is None:
        return of_a, None
    inverse = _inverse(a, rcond)
    of_b = mm(mt(inverse), g_x)
    if not needs[0]:
        return None, of_b
    back = mm(conjugated(inverse), of_b)  # conj(inv @ inv.H) @ g
    found = mm(conjugated(b - mm(a, x)), mh(back)) - mm(of_b, mt(x))
    # Directions that the matrix does not see; none at full rank.
    unseen = g_x - mm(conjugated(mm(inverse, a)), g_x)
    found = found + mm(conjugated(mm(mh(inverse), x)), mh(unseen))
    return found if of_a is None else of_a + found, of_b


def _lstsq_jvp(tangents, ans, a, b, rcond):
    t_a, t_b = tangents
    x = ans[0]
    inverse = _inverse(a, rcond)
    dx = 0.0 if t_b is None else mm(inverse, t_b)
    ds = None
    if t_a is not None:
        back = mh(t_a)
        dx = dx - mm(inverse, mm(t_a, x)) + mm(inverse, mm(mh(inverse), mm(back, b - mm(a, x))))
        unseen = mm(back, mm(mh(inverse), x))
        dx = dx + unseen - mm(inverse, mm(a, unseen))
        u, _, vh = np.linalg.svd(a, full_matrices=False)
        ds = np.real(np.diagonal(mm(mm(mh(u), t_a), mh(vh)), axis1=-2, axis2=-1))
    return dx, ds, None


lstsq_op = general(
    "linalg.lstsq",
    _lstsq,
    nin=2,
    nout=3,
    constants=(2,),
    saves=(0, 1, ("ans", 0)),
    vjp=_lstsq_vjp,
    jvp=_lstsq_jvp,
    pattern=patterns.everything,
    batch=batching.aligns,
    source=GOLUB,
)


def solved(a, columns, rcond):
    """Return the solution of least norm, the singular values and the rank."""
    if rcond is not None and not 0.0 <= rcond < 1.0:
        rcond = np.finfo(a.dtype).eps  # as LAPACK reads it
    x, s, rank = lstsq_op(a, columns, rcond=rcond)
    left = truncated(a, None, rcond)
    return (x if left is None else mm(inverse_of(*left), columns)), s, rank


def _lstsq_samples(rng):
    return [
        ((rng.normal(size=(4, 2)), rng.normal(size=4)), {}),
        ((rng.normal(size=(4, 3)), rng.normal(size=(4, 2))), {"rcond": -1}),
        ((rng.normal(size=(2, 3)), rng.normal(size=2)), {"rcond": 1e-10}),
        ((regular(rng, 3, 3), rng.normal(size=(3, 2))), {}),
        ((np.array([[3.0, 0.2], [0.1, 0.5], [0.3, 0.4]]), rng.normal(size=3)), {"rcond": 0.4}),
        ((rng.normal(size=(4, 2)), rng.normal(size=4)), {"rcond": 2.0}),
    ]


@implements(np.linalg.lstsq, name="linalg.lstsq", samples=_lstsq_samples)
def lstsq(a, b, rcond=None):
    """Arguments as in `numpy.linalg.lstsq`; the rank is a constant.

    Notes
    -----
    The derivative is that at constant rank, of the solution of least norm; where `rcond` leaves out
    singular values that are not zero, that of the truncated SVD.
    """
    a, b = promoted("lstsq", a, b)
    if a.ndim != 2 or b.ndim not in (1, 2) or a.shape[0] != b.shape[0]:
        raise ShapeError(f"lstsq: b of shape {b.shape} does not fit a of shape {a.shape}")
    columns = b if b.ndim == 2 else b[:, None]
    x, s, rank = solved(a, columns, rcond)
    m, n = a.shape
    rank = values_of(rank)[()]
    squares = np.zeros(0, s.dtype)
    if rank == n and m > n:
        rest = columns - mm(a, x)
        squares = np.sum(np.real(rest * conjugated(rest)), 0)
    return x if b.ndim == 2 else x[:, 0], squares, rank, s


# ---- equations whose unknowns have more axes


def _tensorsolve_samples(rng):
    six = regular(rng, 6, 6) + 5.0 * np.eye(6)
    return [
        ((six.reshape(2, 3, 3, 2), rng.normal(size=(2, 3))), {}),
        ((regular(rng, 4, 4).reshape(2, 2, 4), rng.normal(size=(2, 2))), {}),
        ((np.moveaxis(six.reshape(6, 3, 2), 1, 0), rng.normal(size=6)), {"axes": (0,)}),
    ]


@implements(np.linalg.tensorsolve, name="linalg.tensorsolve", samples=_tensorsolve_samples)
def tensorsolve(a, b, axes=None):
    """Arguments as in `numpy.linalg.tensorsolve`."""
    a, b = promoted("tensorsolve", a, b)
    if axes is not None:
        order = list(range(a.ndim))
        for k in axes:
            order.append(order.pop(order.index(k)))
        a = np.transpose(a, order)
    shape = a.shape[b.ndim :]
    size = int(np.prod(shape))
    if a.size != size**2:
        raise np.linalg.LinAlgError(
            f"tensorsolve: a of shape {a.shape} is no square matrix for b of shape {b.shape}"
        )
    return np.reshape(np.linalg.solve(np.reshape(a, (size, size)), np.ravel(b)), shape)


@implements(
    np.linalg.tensorinv,
    name="linalg.tensorinv",
    samples=lambda rng: [
        ((regular(rng, 6, 6).reshape(2, 3, 6),), {}),
        ((regular(rng, 4, 4).reshape(4, 2, 2),), {"ind": 1}),
    ],
)
def tensorinv(a, ind=2):
    """Arguments as in `numpy.linalg.tensorinv`."""
    if ind <= 0:
        raise ValueError("tensorinv: ind= must be positive")
    shape = a.shape[ind:] + a.shape[:ind]
    size = int(np.prod(a.shape[ind:]))
    return np.reshape(np.linalg.inv(np.reshape(a, (-1, size))), shape)
