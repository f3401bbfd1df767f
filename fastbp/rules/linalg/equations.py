"""`scipy.linalg`: equations of Sylvester, Lyapunov and Riccati.

Each is differentiated by the linear equation that its differential solves; a cotangent solves the
transposed one. What solves an equation once solves it for all derivatives: see `sylvester`.
"""

import numpy as np
import scipy.linalg

from fastbp.errors import ShapeError
from fastbp.rules import batching, patterns
from fastbp.rules.linalg import decompositions
from fastbp.rules.linalg.of_scipy import matrices, of_scipy, square, stacked
from fastbp.rules.linalg.sylvester import solved, sylvester_op
from fastbp.rules.numpy.products import aligned, mh, mm
from fastbp.rules.numpy.structural import conjugated
from fastbp.rules.table import general

__all__ = ["continuous_op", "discrete_op"]


# ---- a X + X b = q


def _stable(rng, *shape):
    return rng.normal(size=shape) - 3.0 * np.eye(shape[-1])


@of_scipy(
    "solve_sylvester",
    samples=lambda rng: [
        ((_stable(rng, 3, 3), _stable(rng, 2, 2), rng.normal(size=(3, 2))), {}),
    ],
)
def solve_sylvester(a, b, q):
    """Arguments as in `scipy.linalg.solve_sylvester`.

    Notes
    -----
    The cotangent S of `q` solves ``a.T S + S b.T = g``; the others are ``-S X.T`` and ``-X.T S``.
    """
    a, b, q = matrices("solve_sylvester", a=a, b=b, q=q)
    square("solve_sylvester", a=a, b=b)
    if q.shape[-2:] != (a.shape[-1], b.shape[-1]):
        raise ShapeError(
            f"scipy.linalg.solve_sylvester: q of shape {q.shape} does not fit a of shape {a.shape} "
            f"and b of shape {b.shape}"
        )
    return sylvester_op(a, b, q)


# ---- a X + X a.H = q, and a X a.H - X = -q: cotangents here are conjugated


def _lyapunov(name, forward, change, pulled, residuals):
    """Add a Lyapunov equation, of which `change` is what a tangent of `a` adds to `q`.

    `residuals` says whether `forward` returns the forms that it has solved by, too.
    """

    def vjp(g, needs, ans, a, q, residuals=None, **static):
        g = conjugated(g)
        s = op(mh(a), g, **static) if residuals is None else residuals.solve(g, adjoint=True)
        return conjugated(pulled(s, ans, a)) if needs[0] else None, conjugated(s)

    def jvp(tangents, ans, a, q, residuals=None, **static):
        t_a, t_q = tangents
        right = 0.0 if t_a is None else change(aligned(t_a, a, ans.ndim), ans, a)
        if t_q is not None:
            right = aligned(t_q, q, ans.ndim) + right
        return op(a, right, **static) if residuals is None else residuals.solve(right)

    op = general(
        f"linalg.{name}",
        forward,
        nin=2,
        promotes=(0, 1),
        residuals=residuals,
        saves=(0, "ans"),
        vjp=vjp,
        jvp=jvp,
        pattern=patterns.couples,
        batch=batching.aligns,
        source="Higham 2008, section 6.1",
    )
    return op


continuous_op = _lyapunov(
    "solve_continuous_lyapunov",
    lambda a, q: solved(a, None, q, warns=True),
    lambda t, x, a: -(mm(t, x) + mm(x, mh(t))),
    lambda s, x, a: -(mm(s, mh(x)) + mm(mh(s), x)),
    residuals=True,
)
discrete_op = _lyapunov(
    "solve_discrete_lyapunov",
    stacked(scipy.linalg.solve_discrete_lyapunov, 2, 2),
    lambda t, x, a: mm(mm(t, x), mh(a)) + mm(mm(a, x), mh(t)),
    lambda s, x, a: mm(mm(s, a), mh(x)) + mm(mm(mh(s), a), x),
    residuals=False,
)


def _of_one_size(name, a, q):
    a, q = square(name, a=a, q=q)
    if a.shape[-1] != q.shape[-1]:
        raise ShapeError(
            f"scipy.linalg.{name}: q of shape {q.shape} does not fit a of shape {a.shape}"
        )
    return a, q


@of_scipy(
    "solve_continuous_lyapunov",
    samples=lambda rng: [((_stable(rng, 3, 3), rng.normal(size=(3, 3))), {})],
)
def solve_continuous_lyapunov(a, q):
    """Arguments as in `scipy.linalg.solve_continuous_lyapunov`.

    Notes
    -----
    The (conjugated) cotangent S of `q` solves ``a.H S + S a = g``.
    """
    return continuous_op(*_of_one_size("solve_continuous_lyapunov", a, q))


@of_scipy(
    "solve_lyapunov",
    samples=lambda rng: [((np.array([[-2.0, 0.3], [0.1, -1.0]]), rng.normal(size=(2, 2))), {})],
)
def solve_lyapunov(a, q):
    """SciPy's former name of `solve_continuous_lyapunov`."""
    return solve_continuous_lyapunov(a, q)


def _steps(n):
    return np.array([[0.3, -0.2, 1.5], [0.1, -2.4, 0.3], [0.0, 0.2, 2.2]])[:n, :n]


@of_scipy(
    "solve_discrete_lyapunov",
    samples=lambda rng: [
        ((_steps(3), rng.normal(size=(3, 3))), {}),
        ((_steps(2), rng.normal(size=(2, 2))), {"method": "bilinear"}),
    ],
)
def solve_discrete_lyapunov(a, q, method=None):
    """Arguments as in `scipy.linalg.solve_discrete_lyapunov`.

    Notes
    -----
    The (conjugated) cotangent S of `q` solves ``a.H S a - S + g = 0``.
    """
    return discrete_op(*_of_one_size("solve_discrete_lyapunov", a, q), method=method)


# ---- Riccati


def _hermitian(x):
    return x + mh(x)


def _differential(tangents, operands, x, gain, weighted):
    """Return what tangents of a, b, q, r and s add to the equation at the solution."""
    t_a, t_b, t_q, t_r, t_s = [
        None if t is None else aligned(t, y, x.ndim)
        for t, y in zip(tangents, operands, strict=True)
    ]
    half = 0.0
    if t_a is not None:
        half = mm(weighted, t_a)
    if t_b is not None:
        half = half - mm(mm(weighted, t_b), gain)
    if t_s is not None:
        half = half - mm(t_s, gain)
    total = 0.0 if isinstance(half, float) else _hermitian(half)
    if t_r is not None:
        total = total + mm(mm(mh(gain), t_r), gain)
    return total if t_q is None else total + t_q


def _pulled(needs, s, gain, weighted):
    """Return the (conjugated) cotangents of a, b, q, r and s."""
    both = _hermitian(s)
    back = mm(mh(weighted), both)
    return (
        conjugated(back) if needs[0] else None,
        -conjugated(mm(back, mh(gain))) if needs[1] else None,
        conjugated(s) if needs[2] else None,
        conjugated(mm(mm(gain, s), mh(gain))) if needs[3] else None,
        -conjugated(mm(both, mh(gain))) if needs[4] else None,
    )


def _riccati(name, parts, linear):
    """Add a Riccati equation.

    `parts` returns the gain, the closed loop, and what ``da`` is multiplied with from the left;
    `linear` solves the linearised equation for the closed loop, or its adjoint.
    """
    theirs = getattr(scipy.linalg, name)

    def vjp(g, needs, ans, a, b, q, r, s, **static):
        gain, closed, weighted = parts(ans, a, b, r, s)
        return _pulled(needs, linear(closed, conjugated(g)), gain, weighted)

    def jvp(tangents, ans, a, b, q, r, s, **static):
        gain, closed, weighted = parts(ans, a, b, r, s)
        given = _differential(tangents, (a, b, q, r, s), ans, gain, weighted)
        return linear(mh(closed), given)

    return general(
        f"linalg.{name}",
        stacked(
            lambda a, b, q, r, s, balanced: theirs(a, b, q, r, s=s, balanced=balanced),
            2,
            2,
            2,
            2,
            2,
        ),
        nin=5,
        promotes=(0, 1, 2, 3, 4),
        saves=(0, 1, 3, 4, "ans"),
        vjp=vjp,
        jvp=jvp,
        pattern=patterns.couples,
        batch=batching.aligns,
        source="P. Lancaster and L. Rodman, Algebraic Riccati Equations, Oxford 1995",
    )


def _continuous_parts(x, a, b, r, s):
    gain = decompositions.solve(r, mm(mh(b), x) + mh(s))
    return gain, a - mm(b, gain), x


def _discrete_parts(x, a, b, r, s):
    left = mm(mh(b), x)
    gain = decompositions.solve(r + mm(left, b), mm(left, a) + mh(s))
    closed = a - mm(b, gain)
    return gain, closed, mm(mh(closed), x)


care_op = _riccati("solve_continuous_are", _continuous_parts, lambda c, q: continuous_op(c, -q))
dare_op = _riccati(
    "solve_discrete_are", _discrete_parts, lambda c, q: discrete_op(c, q, method=None)
)


def _solved_riccati(name, op, a, b, q, r, e, s, balanced):
    given = {"a": a, "b": b, "q": q, "r": r}
    given |= {} if e is None else {"e": e}
    given |= {} if s is None else {"s": s}
    found = dict(zip(given, matrices(name, **given), strict=True))
    a, b, q, r = (found[x] for x in "abqr")
    s = found.get("s")
    if s is None:
        s = np.zeros((*b.shape[-2:],), b.dtype)
    e = found.get("e")
    if e is None:
        return op(a, b, q, r, s, balanced=balanced)
    # With X between e.H and e it is the equation of a / e, and of q and s taken likewise.
    left = decompositions.solve(mh(e), q)
    q = mh(decompositions.solve(mh(e), mh(left)))
    a = mh(decompositions.solve(mh(e), mh(a)))
    return op(a, b, 0.5 * _hermitian(q), r, decompositions.solve(mh(e), s), balanced=balanced)


def _riccati_samples(rng):
    a, b = rng.normal(size=(3, 3)), rng.normal(size=(3, 2))
    # What must be symmetric is a constant here; a test of its own differentiates by it.
    q, r = [[2.0, 0.5, 0.0], [0.5, 3.0, 0.2], [0.0, 0.2, 1.5]], [[1.5, 0.2], [0.2, 1.0]]
    e = np.eye(3) + 0.2 * rng.normal(size=(3, 3))
    return [
        ((0.5 * a, b, q, r), {}),
        ((0.5 * a, b, q, r), {"s": 0.1 * rng.normal(size=(3, 2)), "e": e}),
    ]


@of_scipy("solve_continuous_are", samples=_riccati_samples)
def solve_continuous_are(a, b, q, r, e=None, s=None, balanced=True):
    """Arguments as in `scipy.linalg.solve_continuous_are`.

    Notes
    -----
    The differential solves a Lyapunov equation of the closed loop ``a - b K``. By `q` and `r` it is
    along symmetric (Hermitian) directions, others being no equation.
    """
    return _solved_riccati("solve_continuous_are", care_op, a, b, q, r, e, s, balanced)


@of_scipy("solve_discrete_are", samples=_riccati_samples)
def solve_discrete_are(a, b, q, r, e=None, s=None, balanced=True):
    """Arguments as in `scipy.linalg.solve_discrete_are`; derivatives as in the continuous one."""
    return _solved_riccati("solve_discrete_are", dare_op, a, b, q, r, e, s, balanced)
