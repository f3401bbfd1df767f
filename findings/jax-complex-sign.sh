#!/usr/bin/env bash
# jax.numpy.sign of complex numbers is z / |z|, and its derivative zero.
#
# Seen with JAX 0.10.2 (CPU, float64 enabled): the value turns with z, as NumPy 2 defines it, but vjp and jvp return
# zeros as for real numbers. So the phase of a number has no gradient if it is taken by sign, and has one if it is
# written z / jnp.abs(z).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet jax==0.10.2 jaxlib==0.10.2
cd "$work"
JAX_PLATFORMS=cpu JAX_ENABLE_X64=1 "$work/venv/bin/python" - <<'EOF'
import jax
import jax.numpy as jnp

z, t, h = 3.0 + 4.0j, 1.0j, 1e-6
written = lambda z: z / jnp.abs(z)
assert abs(jnp.sign(z) - written(z)) < 1e-15
by_sign = complex(jax.jvp(jnp.sign, (z,), (t,))[1])
by_quotient = complex(jax.jvp(written, (z,), (t,))[1])
difference = complex((jnp.sign(z + h * t) - jnp.sign(z - h * t)) / (2 * h))
print("sign:", by_sign, " z / abs(z):", by_quotient, " differences:", difference)
assert abs(by_quotient - difference) < 1e-8
assert by_sign == 0.0, "has changed"
EOF
