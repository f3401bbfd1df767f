"""Orthogonal polynomials and spherical harmonics: the derivative is one of a lower degree.

By the degree, and by parameters of the weight, there is no rule.
"""

import numpy as np

from fastbp._core import graph
from fastbp._core.graph import Variable
from fastbp.errors import NoRuleError
from fastbp.rules.counterparts import of_values
from fastbp.rules.special import unwrapped as special
from fastbp.rules.special.rows import (
    Numeric,
    elementwise,
    function,
    helper,
    order,
    refuse_complex,
    whole,
    wide,
)

_INSIDE = (-0.9, 0.9)


def _lower(n):
    """Return ``n - 1``; the degree 0 has no derivative, and what is taken of it is not used."""
    return np.where(n == 0.0, 0.0, n - 1.0)


def _value(name):
    """Return a polynomial as a function; whole degrees are handed to SciPy as integers."""

    @Numeric
    def value(n, *xs):
        return whole(getattr(special, name), n, *xs)

    value.__name__ = name
    return value


_NAMES = (
    "legendre chebyt chebyu chebyc chebys laguerre hermite hermitenorm sh_legendre sh_chebyt "
    "sh_chebyu gegenbauer genlaguerre"
).split()
P = {name: _value(f"eval_{name}") for name in _NAMES}


def _row(name, slope, low=-0.9, high=0.9, complex=True, mirror=None):
    """Add a polynomial; `mirror`: of degree -n it is this often that of degree n less another."""

    def partial(z, n, x):
        factor = 1.0
        if mirror is not None:
            below = (n < 0.0) & (n == np.rint(n))
            factor = np.where(below, mirror[0], 1.0)
            n = np.where(below, -n - mirror[1], n)
        return factor * np.where(n == 0.0, 0.0, slope(n, _lower(n), x))

    elementwise(
        f"eval_{name}",
        P[name],
        order("n"),
        partial,
        samples=lambda rng: [
            ((np.array([[0], [1], [4]]), rng.uniform(low, high, 2)), {}),
            ((3, rng.uniform(low, high, 3)), {}),
        ],
        reach=((0, 6), (low, high)),
        error=(1e-12, 1e-11),
        complex=complex or None,
    )


_row("legendre", lambda n, m, x: P["gegenbauer"](m, 1.5, x), mirror=(1.0, 1.0))
_row("chebyt", lambda n, m, x: n * P["chebyu"](m, x))
_row("chebyu", lambda n, m, x: 2.0 * P["gegenbauer"](m, 2.0, x), mirror=(-1.0, 2.0))
_row("chebyc", lambda n, m, x: n * P["chebys"](m, x))
_row("chebys", lambda n, m, x: P["gegenbauer"](m, 2.0, 0.5 * x), mirror=(-1.0, 2.0))
_row("laguerre", lambda n, m, x: -P["genlaguerre"](m, 1.0, x), 0.3, 3.0)
_row("hermite", lambda n, m, x: 2.0 * n * P["hermite"](m, x), -2.0, 2.0, complex=False)
_row("hermitenorm", lambda n, m, x: n * P["hermitenorm"](m, x), -2.0, 2.0, complex=False)
_row(
    "sh_legendre",
    lambda n, m, x: 2.0 * P["gegenbauer"](m, 1.5, 2.0 * x - 1.0),
    0.1,
    0.9,
    mirror=(1.0, 1.0),
)
_row("sh_chebyt", lambda n, m, x: 2.0 * n * P["chebyu"](m, 2.0 * x - 1.0), 0.1, 0.9)
_row(
    "sh_chebyu",
    lambda n, m, x: 4.0 * P["gegenbauer"](m, 2.0, 2.0 * x - 1.0),
    0.1,
    0.9,
    mirror=(-1.0, 2.0),
)


def _weighted(name, slope, low, high):
    elementwise(
        f"eval_{name}",
        P[name],
        order("n"),
        order("alpha"),
        lambda z, n, a, x: np.where(n == 0.0, 0.0, slope(_lower(n), a, x)),
        samples=lambda rng: [
            ((np.array([[0], [1], [4]]), 0.7, rng.uniform(low, high, 2)), {}),
            ((3, 1.5, rng.uniform(low, high, 3)), {}),
        ],
        complex=True,
        reach=((0, 6), (0.5, 2.5), (low, high)),
        error=(1e-12, 1e-11),
    )


_weighted("gegenbauer", lambda m, a, x: 2.0 * a * P["gegenbauer"](m, a + 1.0, x), -0.9, 0.9)
_weighted("genlaguerre", lambda m, a, x: -P["genlaguerre"](m, a + 1.0, x), 0.3, 3.0)


def _four(name, slope, arguments, low, high):
    """Add a polynomial with two parameters."""
    ufunc = getattr(special, f"eval_{name}")

    def value(n, a, b, x):
        return whole(ufunc, n, a, b, x)

    def partial(z, n, a, b, x):
        return np.where(n == 0.0, 0.0, slope(call, n, _lower(n), a, b, x))

    call = wide(
        f"eval_{name}",
        value,
        (order("n"), order(arguments[0]), order(arguments[1]), partial),
        complex=True,
    )

    def polynomial(n, a, b, x, **kwargs):
        if kwargs or not any(type(u) is Variable for u in (n, a, b, x)):
            return ufunc(n, a, b, x, **kwargs)
        return call(n, a, b, x)

    polynomial.__name__ = f"eval_{name}"
    polynomial.__doc__ = f"""Return a polynomial; arguments as in `scipy.special.eval_{name}`.

    Notes
    -----
    There is no derivative by the degree and the parameters.
    """
    polynomial = function(
        f"eval_{name}",
        samples=lambda rng: [
            ((np.array([[0], [1], [4]]), 2.5, 1.5, rng.uniform(low, high, 2)), {}),
            ((3, 1.5, 0.5, rng.uniform(low, high, 3)), {}),
        ],
    )(polynomial)
    graph.bind_function(ufunc, polynomial)


_four(
    "jacobi",
    lambda f, n, m, a, b, x: 0.5 * (n + a + b + 1.0) * f(m, a + 1.0, b + 1.0, x),
    ("alpha", "beta"),
    -0.9,
    0.9,
)
# G_n(p, q; x) is a Jacobi polynomial of 2 x - 1 over binom(2 n + p - 1, n).
_four(
    "sh_jacobi",
    lambda f, n, m, p, q, x: n * f(m, p + 2.0, q + 1.0, x),
    ("p", "q"),
    0.1,
    0.9,
)

# ---- spherical harmonics: a real function of the polar angle times exp(i m phi)


@Numeric
def harmonic(n, m, theta):
    """Return ``sph_harm_y`` at azimuth 0, which is real."""
    n, m = (np.asarray(np.real(k)).astype(np.int64) for k in (n, m))
    inside = np.abs(m) <= n
    value = special.sph_harm_y(n, np.where(inside, m, 0), theta, np.zeros_like(theta))
    return np.where(inside, np.real(value), 0.0)


def _harmonic_slope(z, n, m, theta):
    # Half of what both ladder operators give: no division by sin(theta).
    up = np.sqrt(np.maximum((n - m) * (n + m + 1.0), 0.0)) * harmonic(n, m + 1.0, theta)
    down = np.sqrt(np.maximum((n + m) * (n - m + 1.0), 0.0)) * harmonic(n, m - 1.0, theta)
    # SciPy takes |sin(theta)| outside of 0 to pi.
    return np.where(np.sin(theta) < 0.0, -0.5, 0.5) * (up - down)


if hasattr(special, "sph_harm_y"):
    helper(
        "spherical_harmonic",
        harmonic,
        order("n"),
        order("m"),
        _harmonic_slope,
        source="the ladder operators of angular momentum",
    )

    @function(
        "sph_harm_y",
        samples=lambda rng: [
            ((np.array([[0], [1], [3]]), 0, rng.uniform(0.3, 2.5, 2), rng.uniform(0, 6, 2)), {}),
            ((3, np.array([-2, 1]), rng.uniform(0.3, 2.5, 2), rng.uniform(0, 6, 2)), {}),
        ],
    )
    def sph_harm_y(n, m, theta, phi, *, diff_n=0):
        """Return a spherical harmonic, complex; arguments as in `scipy.special.sph_harm_y`.

        Notes
        -----
        It is differentiated by the angles, at the poles too; ``diff_n=`` is refused.
        """
        if not any(type(u) is Variable for u in (n, m, theta, phi)):
            given = {"diff_n": diff_n}
            return of_values(sph_harm_y, special.sph_harm_y, (n, m, theta, phi), given)
        refuse_complex("sph_harm_y", theta, phi)
        if diff_n:
            raise NoRuleError(
                "scipy.special.sph_harm_y: diff_n= is not supported for Variables: differentiate "
                "by fastbp.jacobian"
            )
        dtype = np.result_type(
            np.float32, *[u.dtype for u in (theta, phi) if type(u) in (Variable, np.ndarray)]
        )
        n, m = (k if type(k) is Variable else np.asarray(k, dtype) for k in (n, m))
        polar = harmonic.op(n, m, theta) if _any_variable(n, m, theta) else harmonic(n, m, theta)
        turn = m * phi
        return polar * np.cos(turn) + 1j * (polar * np.sin(turn))


def _any_variable(*xs):
    return any(type(x) is Variable for x in xs)
