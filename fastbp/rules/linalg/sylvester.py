"""Equations ``a X + X b = q`` by Schur forms, which are kept for derivatives.

R. H. Bartels and G. W. Stewart, Comm. ACM 15 (1972) 820-826: the forms are most of the work, and
the adjoint equation has the same.
"""

import warnings

import numpy as np
import scipy.linalg
from scipy.linalg import lapack

from fastbp.rules import batching, patterns
from fastbp.rules.linalg.of_scipy import of_finite, stacked
from fastbp.rules.numpy.products import aligned, mm, mt
from fastbp.rules.numpy.structural import conjugated
from fastbp.rules.table import general

__all__ = ["Forms", "solved", "sylvester_op"]


def _adjoint(x):
    return np.conj(x.T)


@of_finite
def _schur(a):
    return scipy.linalg.schur(a, "real", check_finite=False)


class Forms:
    """The Schur forms of two matrices `a` and `b`; without `b` that is the adjoint of `a`."""

    def __init__(self, a, b=None):
        self._r, self._u = _schur(a)
        self._adjoint_of_b = b is not a
        if b is None or b is a:
            self._s, self._v = self._r, self._u
        else:
            self._s, self._v = _schur(_adjoint(b))

    def solve(self, q, adjoint=False, warns=False):
        """Solve ``a X + X b = q`` for one or many `q`, or ``a.H X + X b.H = q``."""
        f = mm(mm(_adjoint(self._u), q), self._v)
        trsyl = lapack.get_lapack_funcs("trsyl", (self._r, self._s, f))
        kinds = {
            "trana": "C" if adjoint else "N",
            "tranb": "C" if adjoint != self._adjoint_of_b else "N",
        }
        x = np.empty(f.shape, f.dtype)
        for i in np.ndindex(f.shape[:-2]):
            y, scale, info = trsyl(self._r, self._s, f[i], **kinds)
            x[i] = y if scale == 1.0 else y * (1.0 / scale if scale else np.inf)
            if info == 1 and warns:
                warnings.warn(
                    "a has two eigenvalues whose sum is 0 or close to it: the solution is that of "
                    "perturbed coefficients",
                    RuntimeWarning,
                    stacklevel=2,
                )
        return mm(mm(self._u, x), _adjoint(self._v))


def solved(a, b, q, warns=False):
    """Return the solution, and its forms, or None of what is no single pair of matrices."""
    if a.ndim == 2 and (b is None or b.ndim == 2) and q.size:
        forms = Forms(a, b)
        return forms.solve(q, warns=warns), forms
    if b is None:
        return _each_lyapunov(a, q), None
    return _each_sylvester(a, b, q), None


def _one(a, b, q):
    return solved(a, b, q)[0] if q.size else np.zeros(q.shape, q.dtype)


_each_sylvester = stacked(_one, 2, 2, 2)
_each_lyapunov = stacked(lambda a, q: _one(a, None, q), 2, 2)


def _vjp(g, needs, ans, a, b, q, residuals):
    if residuals is None:
        s = sylvester_op(mt(a), mt(b), g)
    else:
        s = conjugated(residuals.solve(conjugated(g), adjoint=True))
    return (
        -mm(s, mt(ans)) if needs[0] else None,
        -mm(mt(ans), s) if needs[1] else None,
        s,
    )


def _jvp(tangents, ans, a, b, q, residuals):
    t_a, t_b, t_q = tangents
    right = 0.0
    if t_a is not None:
        right = right - mm(aligned(t_a, a, ans.ndim), ans)
    if t_b is not None:
        right = right - mm(ans, aligned(t_b, b, ans.ndim))
    if t_q is not None:
        right = right + aligned(t_q, q, ans.ndim)
    return sylvester_op(a, b, right) if residuals is None else residuals.solve(right)


sylvester_op = general(
    "linalg.solve_sylvester",
    solved,
    nin=3,
    promotes=(0, 1, 2),
    residuals=True,
    saves=(0, 1, "ans"),
    vjp=_vjp,
    jvp=_jvp,
    pattern=patterns.couples,
    source="Higham 2008, section 6.1",
    batch=batching.aligns,
)
