#!/usr/bin/env bash
# Derivatives of jax.scipy.special.i0 and i1 at 0, and of spence between 1 and 3, are wrong.
#
# Seen with JAX 0.10.2 (CPU, float64 enabled), beside the series at 0 and the integrand log(x) / (1 - x):
#
#   function          derivative   right   found
#   i0 at 0           first        0       1 (jax.numpy.i0: 0)
#   i0 at 0           second       0.5     1.5
#   i1 at 0           third        0.375   1.5
#   i1 at 1e-9        third        0.375   512
#   spence at 1       first        -1      0
#   spence at 1.5     first        -0.811  NaN
#
# The values of all are right, and so are the slopes at 0.5 and 3. i0 is exp(|x|) times the scaled function; at the kink
# that the two have, JAX takes 1 for the slope of the first and 0 for that of the second, which do not cancel.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet jax==0.10.2 jaxlib==0.10.2 mpmath==1.3.0
cd "$work"
JAX_PLATFORMS=cpu JAX_ENABLE_X64=1 "$work/venv/bin/python" - <<'EOF'
import jax
import jax.numpy as jnp
import jax.scipy.special as jsp
import mpmath

mpmath.mp.dps = 40


def spence(x):
    return mpmath.polylog(2, 1 - x).real


def i(order):
    return lambda x: mpmath.besseli(order, x)


def seen(name, f, exact, order, x, found):
    """Compare a derivative with what was seen, and the value with the exact one."""
    g = f
    for _ in range(order):
        g = jax.grad(g)
    right = float(mpmath.diff(exact, mpmath.mpf(x), order))
    value, got = float(f(x)), float(g(x))
    print(f"{name}, derivative {order} at {x}: {got:.6g}, right is {right:.6g}")
    assert abs(value - float(exact(mpmath.mpf(x)))) < 1e-14, "the value is wrong, too"
    assert got != got if found is None else abs(got - found) < 1e-6 * max(1.0, abs(found)), "has changed"


seen("i0", jsp.i0, i(0), 1, 0.0, 1.0)
seen("jax.numpy.i0", jnp.i0, i(0), 1, 0.0, 0.0)
seen("i0", jsp.i0, i(0), 2, 0.0, 1.5)
seen("i1", jsp.i1, i(1), 3, 0.0, 1.5)
seen("i1", jsp.i1, i(1), 3, 1e-9, 512.0)
seen("i1", jsp.i1, i(1), 3, 0.5, float(mpmath.diff(i(1), mpmath.mpf(0.5), 3)))
seen("spence", jsp.spence, spence, 1, 0.5, float(mpmath.log(0.5) / 0.5))
seen("spence", jsp.spence, spence, 1, 1.0, 0.0)
seen("spence", jsp.spence, spence, 1, 1.5, None)
seen("spence", jsp.spence, spence, 1, 3.0, float(-mpmath.log(3) / 2))
EOF
