"""Distributions of vectors and matrices."""

import functools
import math

import numpy as np
from scipy import stats

from fastbp._core.graph import has_variable, passive, values_of
from fastbp.errors import ShapeError
from fastbp.rules.numpy.structural import as_operand
from fastbp.rules.special import unwrapped as special
from fastbp.rules.stats.distributions import Frozen, refusing

LOG_2PI = math.log(2.0 * math.pi)


class Joint:
    """A distribution of vectors; methods that are written here, the others are SciPy's own."""

    name = ""
    moments: tuple[str, ...] = ("mean", "var", "cov", "entropy")

    def __init__(self):
        self.theirs = getattr(stats, self.name)
        self.__name__, self.__module__ = self.name, "fastbp.scipy.stats"
        ours = [m for m in vars(type(self)) if not m.startswith("_") and callable(getattr(self, m))]
        self.__doc__ = (
            f"`scipy.stats.{self.name}`, differentiable by arguments and parameters.\n\n"
            f"Methods with formulas: {', '.join(ours)}; others are SciPy's own, of plain numbers."
        )
        for method in ours:
            setattr(self, method, self._shared(method, getattr(self, method)))

    def _shared(self, name, ours):
        theirs = getattr(self.theirs, name)

        @functools.wraps(theirs)
        def method(*args, **kwargs):
            if has_variable((args, tuple(kwargs.values()))):
                return ours(*args, **kwargs)
            return theirs(*args, **kwargs)

        method.__module__ = "fastbp.scipy.stats"
        method.__qualname__ = f"{self.name}.{name}"
        return method

    def __call__(self, *args, **kwargs):
        """Freeze the parameters."""
        if kwargs.pop("seed", None) is not None:
            refusing(f"scipy.stats.{self.name}", "seed= is for rvs, which is SciPy's")
        return Frozen(self, args, kwargs)

    def __getattr__(self, name):
        if name.startswith("__") or "theirs" not in vars(self):
            raise AttributeError(name)
        found = getattr(self.theirs, name)

        @functools.wraps(found)
        def plain(*args, **kwargs):
            if has_variable((args, tuple(kwargs.values()))):
                refusing(f"scipy.stats.{self.name}.{name}", "fastbp has no formula for it")
            return found(*args, **kwargs)

        return plain if callable(found) else found

    def _operand(self, x, what):
        x = as_operand(x, f"scipy.stats.{self.name}: {what}", True)
        return x if x.dtype == np.float64 else np.astype(x, np.float64)


def _number(x):
    return x[()] if x.ndim == 0 else x


class _MultivariateNormal(Joint):
    """Densities by the Cholesky factor of the covariance, or where it is singular on its plane."""

    name = "multivariate_normal"
    moments = ("entropy",)

    def _parameters(self, mean, cov):
        cov = self._operand(1.0 if cov is None else cov, "cov")
        if mean is None:
            mean = np.zeros(1 if cov.ndim < 1 else cov.shape[0])
        mean = np.atleast_1d(self._operand(mean, "mean"))
        n = mean.shape[0]
        if cov.ndim == 0:
            cov = cov * np.eye(n)
        elif cov.ndim == 1:
            cov = np.diag(cov)
        if mean.ndim != 1 or cov.shape != (n, n):
            raise ShapeError(
                f"scipy.stats.multivariate_normal: cov of shape {cov.shape} does not fit mean of "
                f"shape {mean.shape}"
            )
        value = values_of(cov)
        if not np.allclose(value, value.T, atol=1e-8):
            raise ValueError("scipy.stats.multivariate_normal: cov is not symmetric")
        return mean, cov

    def logpdf(self, x, mean=None, cov=1, allow_singular=False):
        """Return logarithms of densities; the last axis of `x` has the components."""
        mean, cov = self._parameters(mean, cov)
        x = self._operand(x, "x")
        n = mean.shape[0]
        if x.ndim == 0:
            x = np.reshape(x, (1,))
        elif x.ndim == 1 and n == 1:
            x = x[:, None]
        if x.shape[-1] != n:
            raise ShapeError(
                f"scipy.stats.multivariate_normal: x of shape {x.shape} does not fit mean of shape "
                f"{mean.shape}"
            )
        rows = np.reshape(x - mean, (-1, n))
        plane = _Plane.of(cov) if allow_singular else None
        if plane is None:
            factor = np.linalg.cholesky(cov)
            z = np.linalg.solve(factor, rows.T)
            size, rank = 2.0 * np.sum(np.log(np.diagonal(factor))), n
        else:
            z, size, rank = (rows @ plane.whitening).T, plane.size, plane.rank
        found = -0.5 * (np.sum(z * z, 0) + size + rank * LOG_2PI)
        if plane is not None:
            found = np.where(plane.contains(passive(rows)), found, -np.inf)
        return _number(np.reshape(found, () if x.ndim == 1 else x.shape[:-1]))

    def pdf(self, x, mean=None, cov=1, allow_singular=False):
        """Return densities."""
        return np.exp(self.logpdf(x, mean, cov, allow_singular))

    def entropy(self, mean=None, cov=1):
        """Return the entropy."""
        mean, cov = self._parameters(mean, cov)
        n = mean.shape[0]
        size = np.sum(np.log(np.diagonal(np.linalg.cholesky(cov))))
        return 0.5 * n * (LOG_2PI + 1.0) + size


class _Plane:
    """Where a distribution with a singular covariance has its mass, by SciPy's tolerances."""

    def __init__(self, w, v, tolerance):
        inside = w > tolerance
        self.rank = int(np.sum(inside))
        self.size = np.sum(np.log(w[inside]))
        self.whitening = v[:, inside] / np.sqrt(w[inside])
        self._outside, self._reach = v[:, ~inside], 1e3 * tolerance

    @classmethod
    def of(cls, cov):
        """Return that of a covariance, or None if it is regular."""
        w, v = np.linalg.eigh(values_of(cov))
        tolerance = 1e6 * np.finfo(w.dtype).eps * np.max(np.abs(w))
        if np.min(w) > tolerance:
            return None
        if np.min(w) < -tolerance:
            raise ValueError(
                "scipy.stats.multivariate_normal: cov must be symmetric positive semidefinite"
            )
        if has_variable(cov):
            refusing(
                "scipy.stats.multivariate_normal",
                "a singular cov has no derivative: keep it constant, as bp.stop_gradient(cov)",
            )
        return cls(w, v, tolerance)

    def contains(self, rows):
        """Say which deviations from the mean lie in it."""
        return np.linalg.norm(rows @ self._outside, axis=-1) < self._reach


class _Dirichlet(Joint):
    name = "dirichlet"

    def _alpha(self, alpha):
        alpha = self._operand(alpha, "alpha")
        if np.any(values_of(alpha) <= 0) or alpha.ndim != 1:
            raise ValueError("scipy.stats.dirichlet: alpha must be a vector of positive numbers")
        return alpha

    def _log_beta(self, alpha):
        return np.sum(special.gammaln(alpha)) - special.gammaln(np.sum(alpha))

    def logpdf(self, x, alpha):
        """Return logarithms of densities; components are along the first axis of `x`."""
        alpha, x = self._alpha(alpha), self._operand(x, "x")
        if x.shape[0] + 1 == alpha.shape[0]:
            x = np.concatenate([x, 1.0 - np.sum(x, 0, keepdims=True)])
        # SciPy raises for what is outside of the simplex.
        stats.dirichlet.logpdf(values_of(x), values_of(alpha))
        terms = special.xlogy((alpha - 1.0), np.moveaxis(x, 0, -1))
        return np.sum(terms, -1) - self._log_beta(alpha)

    def pdf(self, x, alpha):
        """Return densities."""
        return np.exp(self.logpdf(x, alpha))

    def mean(self, alpha):
        """Return the mean."""
        alpha = self._alpha(alpha)
        return alpha / np.sum(alpha)

    def var(self, alpha):
        """Return the variance of each component."""
        alpha = self._alpha(alpha)
        total = np.sum(alpha)
        return alpha * (total - alpha) / (total * total * (total + 1.0))

    def entropy(self, alpha):
        """Return the entropy."""
        alpha = self._alpha(alpha)
        total, k = np.sum(alpha), alpha.shape[0]
        return (
            self._log_beta(alpha)
            + (total - k) * special.digamma(total)
            - np.sum((alpha - 1.0) * special.digamma(alpha))
        )


class _Multinomial(Joint):
    name = "multinomial"
    moments = ("cov", "entropy")

    def logpmf(self, x, n, p):
        """Return logarithms of masses; the last axis of `x` has the counts, which are constants."""
        p = self._operand(p, "p")
        x, n = np.asarray(values_of(x), float), np.asarray(values_of(n), float)
        if not np.all(np.isfinite(stats.multinomial.logpmf(x, n, values_of(p)))):
            refusing("scipy.stats.multinomial.logpmf", "counts or p that are none: -inf or nan")
        # SciPy takes the last one to be what is left of 1.
        p = np.concatenate([p[..., :-1], 1.0 - np.sum(p[..., :-1], -1, keepdims=True)], -1)
        choose = special.gammaln(n + 1.0) - np.sum(special.gammaln(x + 1.0), -1)
        return choose + np.sum(special.xlogy(x, p), -1)

    def pmf(self, x, n, p):
        """Return masses."""
        return np.exp(self.logpmf(x, n, p))


multivariate_normal, dirichlet, multinomial = _MultivariateNormal(), _Dirichlet(), _Multinomial()
DISTRIBUTIONS = {d.name: d for d in (multivariate_normal, dirichlet, multinomial)}
