#!/usr/bin/env bash
# The gradient through jax.numpy.unique is zero without size=, and right with it.
#
# Seen with JAX 0.10.2 (CPU, float64 enabled): outside of jit, where size= is not needed, grad and jvp of unique(x) return
# zeros without a word, though the elements of the result are elements of x; unique(x, size=n) of the same numbers gives
# the derivative that sort has. So adding size=, as jit demands, changes a gradient from zero to what it is.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet jax==0.10.2 jaxlib==0.10.2
cd "$work"
JAX_PLATFORMS=cpu JAX_ENABLE_X64=1 "$work/venv/bin/python" - <<'PY'
import jax
import jax.numpy as jnp

x, w = jnp.array([0.3, 0.1, 0.7]), jnp.array([1.0, 2.0, 3.0])
value = float((jnp.unique(x) * w).sum())
assert value == float((jnp.unique(x, size=3) * w).sum()) == float((jnp.sort(x) * w).sum())
without = jax.grad(lambda x: (jnp.unique(x) * w).sum())(x)
sized = jax.grad(lambda x: (jnp.unique(x, size=3) * w).sum())(x)
by_sort = jax.grad(lambda x: (jnp.sort(x) * w).sum())(x)
print("unique(x):", without, " unique(x, size=3):", sized, " sort(x):", by_sort)
assert (sized == by_sort).all()
assert (without == 0.0).all(), "has changed"
PY
