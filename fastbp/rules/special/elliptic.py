"""Elliptic integrals. Their derivatives are Carlson's integrals with other exponents (DLMF 19.18).

    C(m; p, q, ...) = int_0^oo t^m (t + x)^-p (t + y)^-q ... dt

is closed under differentiation, and positive: nothing cancels. It is computed by the trapezoidal
rule in log(t), which converges exponentially.
"""

import functools
import math

import numpy as np

from fastbp._core import graph
from fastbp._core.graph import Variable, passive
from fastbp.rules.engine import vanishing
from fastbp.rules.special import unwrapped as special
from fastbp.rules.special.rows import (
    Numeric,
    elementwise,
    function,
    helper,
    in_pieces,
    order,
    refuse_complex,
    wide,
)

STEP, REACH = 0.5, 84.0  # error exp(-2 pi^2 / STEP); what is left out is below exp(-REACH / 2)
WIDEST = 0.96 * math.pi  # half the angle between complex arguments, beyond which there is no value


def _integral(*xs, m, powers):
    """Integrate by nodes that reach beyond all scales of the operands."""
    if any(np.iscomplexobj(x) for x in xs):
        return _complex_integral(*xs, m=m, powers=powers)
    return in_pieces(lambda *xs: _piece(xs, m, powers, STEP), xs, 4096)


def _piece(xs, m, powers, step):
    with np.errstate(all="ignore"):
        logs = [np.log(np.abs(x) if np.iscomplexobj(x) else x) for x in xs]
        finite = [v for v in logs if np.isfinite(v).any()]
        low = min([np.min(v[np.isfinite(v)]) for v in finite], default=0.0)
        high = max([np.max(v[np.isfinite(v)]) for v in finite], default=0.0)
        nodes = np.arange(low - REACH, high + REACH, step)
        t = np.exp(nodes)
        terms = (m + 1.0) * nodes
        for x, p in zip(xs, powers, strict=True):
            terms = terms - p * np.log(t + x[..., None])
        at_zero = sum(p * (x == 0.0) for x, p in zip(xs, powers, strict=True))
        diverges = at_zero >= m + 1.0  # next to t = 0
        return np.where(diverges, np.inf, step * np.sum(np.exp(terms), axis=-1))


def _complex_integral(*xs, m, powers):
    """Integrate along the ray in the middle of the arguments, as closely as the widest asks for."""
    xs = np.broadcast_arrays(*[np.asarray(x, complex) for x in xs])
    angles = [np.angle(x) for x in xs]
    first, last = functools.reduce(np.minimum, angles), functools.reduce(np.maximum, angles)
    half, turn = 0.5 * (last - first), np.exp(-0.5j * (last + first))
    inside = half <= WIDEST
    for angle, p in zip(angles, powers, strict=True):
        if p == round(p):  # a pole on the way: the value is Cauchy's, and jumps beside it
            inside = inside & (np.abs(angle) < math.pi)
    widest = np.max(np.where(inside, half, 0.0), initial=0.0)
    step = STEP * (1.0 - widest / math.pi)
    size = max(1, int(4096 * step / STEP))
    turned = [np.where(inside, x * turn, 1.0) for x in xs]
    found = in_pieces(lambda *xs: _piece(xs, m, powers, step), turned, size)
    back = np.exp(0.5j * (last + first) * (m + 1.0 - sum(powers)))
    return np.where(inside, found * back, np.nan)


def _partial(k, z, *xs, m, powers):
    raised = tuple(p + (j == k) for j, p in enumerate(powers))
    return -powers[k] * carlson(*xs, m=m, powers=raised)


_COUNTS = {
    n: wide(
        f"carlson_{n}",
        _integral,
        tuple(functools.partial(_partial, k) for k in range(n)),
        complex=True,
        source="DLMF 19.16, 19.18",
    )
    for n in (2, 3, 4)
}


def carlson(*xs, m, powers):
    """Return the integral C of some arguments and as many exponents."""
    return _COUNTS[len(xs)](*xs, m=m, powers=powers)


def _in_partials(count):
    """Return a constructor of functions for partials: ``C(scale, m, *powers)(x, y, ...)``."""

    def constructor(scale, m, *powers):
        @Numeric
        def integral(*xs):
            return scale * carlson(*xs, m=m, powers=powers)

        return integral

    return constructor


_C = _in_partials(3)

# ---- Carlson's symmetric integrals

_FORMS = {
    "elliprc": (0.5, 0, (0.5, 1.0)),
    "elliprf": (0.5, 0, (0.5, 0.5, 0.5)),
    "elliprd": (1.5, 0, (0.5, 0.5, 1.5)),
    "elliprj": (1.5, 0, (0.5, 0.5, 0.5, 1.0)),
}
_FACTS = {"error": (1e-13, 1e-12), "source": "DLMF 19.16, 19.18", "complex": True}


def _raised(scale, m, powers, k):
    return _C(-scale * powers[k], m, *[p + (j == k) for j, p in enumerate(powers)])


# Below zero the last argument of R_C and R_J is a pole on the way, and the value Cauchy's. The
# integrals above have no value then, but by partial fractions a slope is made of the value itself,
# which stays as it is where the pole is passed: (R_J - R_D(y, z, x)) / (2 (p - x)) by x, of which
# R_C(x, y) = R_J(x, x, y...) is the case that is elementary. By the last argument it follows, since
# the functions are homogeneous.

_R_D = _C(1.5, 0, 0.5, 0.5, 1.5)


def _rc_by_x(z, x, y):
    return 0.5 * (1.0 / np.sqrt(x) - z) / (x - y)


def _rc_by_y(z, x, y):
    return 0.5 * (z - np.sqrt(x) / y) / (x - y)


def _rj_by(k, w, x, y, z, p):
    at = (x, y, z)[k]
    others = [v for j, v in enumerate((x, y, z)) if j != k]
    return 0.5 * (w - _R_D(*others, at)) / (p - at)


def _rj_by_p(w, x, y, z, p):
    inner = sum(vanishing(v, _rj_by(k, w, x, y, z, p)) for k, v in enumerate((x, y, z)))
    return -(1.5 * w + inner) / p


_PRINCIPAL = {
    "elliprc": (_rc_by_x, _rc_by_y),
    "elliprj": (*[functools.partial(_rj_by, k) for k in range(3)], _rj_by_p),
}


def _with_principal(slope, principal):
    """Return a partial that is another one where the last operand is below zero."""

    def partial(w, *xs):
        below = xs[-1] < 0.0
        above = [*xs[:-1], np.where(below, 1.0, xs[-1])]
        beneath = [*xs[:-1], np.where(below, xs[-1], -1.0)]
        return np.where(below, principal(w, *beneath), slope(w, *above))

    return partial


def _of_kind(real, complex):
    """Return a partial that is another one where the operands, arrays of one dtype, are complex."""
    return lambda w, *xs: (complex if xs[-1].dtype.kind == "c" else real)(w, *xs)


def _row(name):
    scale, m, powers = _FORMS[name]
    slopes = [_raised(scale, m, powers, k) for k in range(len(powers))]
    partials = [lambda z, *xs, f=f: f(*xs) for f in slopes]
    facts = dict(_FACTS)
    if name in _PRINCIPAL:  # of complex numbers the value jumps there
        facts["complex"] = tuple(partials)
        partials = list(map(_with_principal, partials, _PRINCIPAL[name]))
    if len(powers) <= 3:
        elementwise(name, None, *partials, domain=(0.3, 3.0), reach=(0.01, 100.0), **facts)
        return
    by_kind = tuple(map(_of_kind, partials, facts["complex"]))
    call = wide(name, lambda *xs: special.elliprj(*xs), by_kind, True, source="DLMF 19.18")

    @function(
        name,
        samples=lambda rng: [
            (tuple(rng.uniform(0.3, 3.0, 3) for _ in range(4)), {}),
            ((0.5, rng.uniform(0.3, 3.0, (2, 1)), rng.uniform(0.3, 3.0, 2), 1.5), {}),
        ],
    )
    def elliprj(x, y, z, p, **kwargs):
        """Return Carlson's R_J; arguments as in `scipy.special.elliprj`."""
        if kwargs or not any(type(v) is Variable for v in (x, y, z, p)):
            return special.elliprj(x, y, z, p, **kwargs)
        return call(x, y, z, p)

    graph.bind_function(special.elliprj, elliprj)


for _name in _FORMS:
    _row(_name)

_BY_X, _BY_Y, _BY_Z = (_C(0.125, 1, *[0.5 + (j == k) for j in range(3)]) for k in range(3))
elementwise(
    "elliprg",
    None,
    lambda w, x, y, z: _BY_X(x, y, z),
    lambda w, x, y, z: _BY_Y(x, y, z),
    lambda w, x, y, z: _BY_Z(x, y, z),
    domain=(0.3, 3.0),
    reach=(0.01, 100.0),
    **_FACTS,
)

# ---- Legendre's complete integrals

_K_SLOPE = _C(0.25, 0, 0.5, 1.5, 0.5)  # of (0, 1 - m, 1)
_E_SLOPE = _C(-0.25, 0, 0.5, 0.5, 1.5)
_COMPLETE = {"domain": (0.2, 0.8), "reach": (-50.0, 0.99), "error": (1e-13, 1e-12)}
elementwise("ellipk", None, lambda z, m: _K_SLOPE(0.0, 1.0 - m, 1.0), **_COMPLETE)
elementwise("ellipe", None, lambda z, m: _E_SLOPE(0.0, 1.0 - m, 1.0), **_COMPLETE)


def _from_the_end(z, p):
    # Carlson's integral overflows; there the slope is its leading term.
    tiny = p < 1e-200
    return -np.where(tiny, 0.5 / p, _K_SLOPE(0.0, np.where(tiny, 1.0, p), 1.0))


elementwise(
    "ellipkm1",
    None,
    _from_the_end,
    domain=(0.2, 0.8),
    reach=(1e-6, 50.0),
    error=(1e-13, 1e-12),
)

# ---- and the incomplete ones: the amplitude is that of half a period, and half periods


def _of_amplitude(slope, complete, order_of):
    """Return the derivative by m, from that within half a period and the complete one."""

    @Numeric
    def by_m(phi, m):
        turns = np.rint(passive(phi) / math.pi)
        s, c = np.sin(phi - turns * math.pi), np.cos(phi - turns * math.pi)
        inner = 1.0 - m * s * s
        one = np.ones_like(passive(inner))
        xs = (c * c, one, inner) if order_of == "F" else (c * c, inner, one)
        found = s * s * s * slope(*xs)
        if np.any(turns != 0.0):
            within = np.where(turns != 0.0, m, 0.5)
            whole = complete(0.0, 1.0 - within, 1.0)
            found = found + np.where(turns != 0.0, 2.0 * turns * whole, 0.0)
        return found

    return by_m


_F_BY_M = _of_amplitude(_C(0.25, 0, 0.5, 0.5, 1.5), _K_SLOPE, "F")
_E_BY_M = _of_amplitude(_C(-0.25, 0, 0.5, 0.5, 1.5), _E_SLOPE, "E")


def _root(phi, m):
    s = np.sin(phi)
    return np.sqrt(1.0 - m * s * s)


_INCOMPLETE = {
    "domain": ((0.3, 1.4), (0.2, 0.8)),
    "reach": ((-8.0, 8.0), (-10.0, 0.95)),
    "error": (1e-12, 1e-11),
}
elementwise(
    "ellipkinc",
    None,
    lambda z, phi, m: 1.0 / _root(phi, m),
    lambda z, phi, m: _F_BY_M(phi, m),
    **_INCOMPLETE,
)
elementwise(
    "ellipeinc",
    None,
    lambda z, phi, m: _root(phi, m),
    lambda z, phi, m: _E_BY_M(phi, m),
    **_INCOMPLETE,
)

# ---- Jacobi's elliptic functions, by their argument


def _jacobi(k):
    @Numeric
    def result(u, m):
        return special.ellipj(u, m)[k]

    return result


_SN, _CN, _DN, _AM = map(_jacobi, range(4))
for _name, _value, _slope in (
    ("jacobi_sn", _SN, lambda w, u, m: _CN(u, m) * _DN(u, m)),
    ("jacobi_cn", _CN, lambda w, u, m: -_SN(u, m) * _DN(u, m)),
    ("jacobi_dn", _DN, lambda w, u, m: -m * _SN(u, m) * _CN(u, m)),
    ("jacobi_am", _AM, lambda w, u, m: _DN(u, m)),
):
    helper(_name, _value, _slope, order("m"), source="DLMF 22.13")


@function("ellipj", samples=lambda rng: [((rng.uniform(-2.0, 2.0, 3), 0.4), {})])
def ellipj(u, m, **kwargs):
    """Return Jacobi's elliptic functions; arguments as in `scipy.special.ellipj`.

    Notes
    -----
    There is no derivative by the parameter `m`.
    """
    if kwargs or not any(type(v) is Variable for v in (u, m)):
        return special.ellipj(u, m, **kwargs)
    refuse_complex("ellipj", u, m)
    return tuple([f.op(u, m) for f in (_SN, _CN, _DN, _AM)])


graph.bind_function(special.ellipj, ellipj)
