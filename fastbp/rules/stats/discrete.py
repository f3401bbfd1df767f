"""Discrete distributions: formulas of their masses."""

import numpy as np

from fastbp.rules.special import unwrapped as special
from fastbp.rules.stats.distributions import Discrete

INF = np.inf
DISTRIBUTIONS = {}


def row(cls):
    """Add a distribution."""
    for name, value in list(vars(cls).items()):
        if callable(value) and not isinstance(value, (staticmethod, type)):
            setattr(cls, name, staticmethod(value))
    cls.example = tuple(map(float, cls.example))
    DISTRIBUTIONS[cls.__name__] = Discrete(cls)
    return cls


def _unit(p):
    return (p >= 0.0) & (p <= 1.0)


def _log_choose(n, k):
    return -np.log(n + 1.0) - special.betaln(n - k + 1.0, k + 1.0)


@row
class poisson:
    example = (1.0,)

    def support(mu):
        return 0.0, INF

    def valid(mu):
        return mu >= 0.0

    def logpmf(k, mu):
        return special.xlogy(k, mu) - special.gammaln(k + 1.0) - mu

    def cdf(k, mu):
        return special.gammaincc(k + 1.0, mu)

    def sf(k, mu):
        return special.gammainc(k + 1.0, mu)

    def mean(mu):
        return mu

    def var(mu):
        return mu


@row
class bernoulli:
    example = (0.5,)

    def support(p):
        return 0.0, 1.0

    valid = staticmethod(_unit)

    def logpmf(k, p):
        return special.xlogy(k, p) + special.xlog1py(1.0 - k, -p)

    def cdf(k, p):
        return 1.0 - p + 0.0 * k

    def sf(k, p):
        return p + 0.0 * k

    def mean(p):
        return p

    def var(p):
        return p * (1.0 - p)

    def entropy(p):
        return special.entr(p) + special.entr(1.0 - p)


@row
class binom:
    example = (2.0, 0.5)

    def support(n, p):
        return 0.0, n

    def valid(n, p):
        return (n >= 0.0) & (n == np.floor(n)) & _unit(p)

    def logpmf(k, n, p):
        return _log_choose(n, k) + special.xlogy(k, p) + special.xlog1py(n - k, -p)

    def cdf(k, n, p):
        return special.betainc(n - k, k + 1.0, 1.0 - p)

    def sf(k, n, p):
        return special.betainc(k + 1.0, n - k, p)

    def mean(n, p):
        return n * p

    def var(n, p):
        return n * p * (1.0 - p)


@row
class nbinom:
    example = (2.0, 0.5)

    def support(n, p):
        return 0.0, INF

    def valid(n, p):
        return (n > 0.0) & (p > 0.0) & (p <= 1.0)

    def logpmf(k, n, p):
        choose = special.gammaln(n + k) - special.gammaln(k + 1.0) - special.gammaln(n)
        return choose + n * np.log(p) + special.xlog1py(k, -p)

    def cdf(k, n, p):
        return special.betainc(n, k + 1.0, p)

    def sf(k, n, p):
        return special.betainc(k + 1.0, n, 1.0 - p)

    def mean(n, p):
        return n * (1.0 - p) / p

    def var(n, p):
        return n * (1.0 - p) / (p * p)


@row
class geom:
    example = (0.5,)

    def support(p):
        return 1.0, INF

    def valid(p):
        return (p > 0.0) & (p <= 1.0)

    def logpmf(k, p):
        return special.xlog1py(k - 1.0, -p) + np.log(p)

    def cdf(k, p):
        return -np.expm1(np.log1p(-p) * k)

    def sf(k, p):
        return np.exp(np.log1p(-p) * k)

    def logsf(k, p):
        return np.log1p(-p) * k

    def mean(p):
        return 1.0 / p

    def var(p):
        return (1.0 - p) / (p * p)


@row
class betabinom:
    example = (2.0, 1.0, 1.0)

    def support(n, a, b):
        return 0.0, n

    def valid(n, a, b):
        return (n >= 0.0) & (n == np.floor(n)) & (a > 0.0) & (b > 0.0)

    def logpmf(k, n, a, b):
        return _log_choose(n, k) + special.betaln(k + a, n - k + b) - special.betaln(a, b)

    def mean(n, a, b):
        return n * a / (a + b)

    def var(n, a, b):
        return n * a * b * (a + b + n) / ((a + b) ** 2 * (a + b + 1.0))
