"""Truncated Taylor series: an oracle for derivatives of any order along a line.

A `Series` is f(t) = c[0] + c[1] t + c[2] t^2 + ... with arrays as coefficients. Each function
follows from its differential equation, so that none of this meets the rules of the library.
Formulas: A. Griewank, A. Walther, "Evaluating Derivatives", 2nd ed., section 13.2.
"""

import math

import numpy as np


class Series:
    """Coefficients along axis 0 of an array."""

    __array_ufunc__ = None  # NumPy's arrays leave the operators to us

    def __init__(self, coefficients):
        self.c = np.asarray(coefficients, float)

    @classmethod
    def line(cls, x, direction, order):
        """``x + t * direction``, up to the power `order`."""
        c = np.zeros((order + 1, *np.shape(x)))
        c[0], c[1] = x, direction
        return cls(c)

    @property
    def derivatives(self):
        """The derivatives at t = 0 of order 0, 1, 2 ..."""
        return [math.factorial(k) * row for k, row in enumerate(self.c)]

    def lift(self, other):
        """Return a constant as a series."""
        if isinstance(other, Series):
            return other
        c = np.zeros((len(self.c), *np.shape(other)))
        c[0] = other
        return Series(c)

    def __neg__(self):
        return Series(-self.c)

    def __add__(self, other):
        a, b = _aligned(self, self.lift(other))
        return Series(a + b)

    __radd__ = __add__

    def __sub__(self, other):
        return self + (-self.lift(other))

    def __rsub__(self, other):
        return self.lift(other) - self

    def __mul__(self, other):
        a, b = _aligned(self, self.lift(other))
        return Series([_convolved(a, b, k) for k in range(len(a))])

    __rmul__ = __mul__

    def __truediv__(self, other):
        a, b = _aligned(self, self.lift(other))
        out = []
        for k in range(len(a)):
            out.append((a[k] - sum(out[j] * b[k - j] for j in range(k))) / b[0])
        return Series(out)

    def __rtruediv__(self, other):
        return self.lift(other) / self

    def __pow__(self, n):
        result = self
        for _ in range(n - 1):
            result = result * self
        return result

    def sum(self):
        """Sum over all elements."""
        return Series(self.c.reshape(len(self.c), -1).sum(1))

    def map(self, index):
        """Index the elements."""
        return Series(self.c[(slice(None), index)])


def _aligned(x, y):
    """Return coefficients that broadcast behind axis 0."""
    nd = max(x.c.ndim, y.c.ndim)
    return [s.c.reshape(len(s.c), *(1,) * (nd - s.c.ndim), *s.c.shape[1:]) for s in (x, y)]


def _convolved(a, b, k):
    return sum(a[j] * b[k - j] for j in range(k + 1))


def _by_slope(x, start, slope):
    """Return z with z(0) = start, z' = s x', where ``slope(z so far)`` returns the series s."""
    n = len(x.c)
    z = [start]
    for k in range(1, n):
        s = slope(np.array(z)).c
        z.append(sum((j * x.c[j]) * s[k - j] for j in range(1, k + 1)) / k)
    return Series(z)


def exp(x):
    return _by_slope(x, np.exp(x.c[0]), lambda z: Series(z))


def expm1(x):
    return _by_slope(x, np.expm1(x.c[0]), lambda z: Series(z) + 1.0)


def tanh(x):
    return _by_slope(x, np.tanh(x.c[0]), lambda z: 1.0 - Series(z) * Series(z))


def arctan(x):
    return _by_slope(x, np.arctan(x.c[0]), lambda z: Series.lift(x, 1.0) / (1.0 + x * x))


def log1p(x):
    return _by_slope(x, np.log1p(x.c[0]), lambda z: Series.lift(x, 1.0) / (1.0 + x))


def sqrt(x):
    return _by_slope(x, np.sqrt(x.c[0]), lambda z: _constant(0.5, z) / Series(z))


def _constant(value, z):
    c = np.zeros_like(z)
    c[0] = value
    return Series(c)


def sin_cos(x):
    """Return sin and cos together: each is the slope of the other."""
    s, c = [np.sin(x.c[0])], [np.cos(x.c[0])]
    for k in range(1, len(x.c)):
        s.append(sum(j * x.c[j] * c[k - j] for j in range(1, k + 1)) / k)
        c.append(-sum(j * x.c[j] * s[k - j] for j in range(1, k + 1)) / k)
    return Series(s), Series(c)


def sin(x):
    return sin_cos(x)[0]


def cos(x):
    return sin_cos(x)[1]
