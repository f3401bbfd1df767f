#!/usr/bin/env bash
# The derivative of jax.numpy.arccosh of complex numbers has the wrong sign in the left half of the plane.
#
# Seen with JAX 0.10.2 (CPU, float64 enabled): for Re z < 0 the holomorphic gradient is the negative of what
# differences of JAX's own values give; for Re z > 0 it is right. The formula 1 / sqrt(z**2 - 1) has the principal root,
# 1 / (sqrt(z - 1) sqrt(z + 1)) is that of the value.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet jax==0.10.2 jaxlib==0.10.2
cd "$work"
JAX_PLATFORMS=cpu JAX_ENABLE_X64=1 "$work/venv/bin/python" - <<'EOF'
import jax
import jax.numpy as jnp

h = 1e-6
for z in (1.5 + 0.5j, 0.3 - 2.0j, -1.5 + 0.5j, -0.3 - 2.0j):
    found = complex(jax.grad(jnp.arccosh, holomorphic=True)(z))
    expected = complex((jnp.arccosh(z + h) - jnp.arccosh(z - h)) / (2 * h))
    print(f"z = {z}: gradient {found:.6f}, differences {expected:.6f}")
    sign = 1.0 if z.real > 0 else -1.0
    assert abs(found - sign * expected) < 1e-8, "has changed"
EOF
