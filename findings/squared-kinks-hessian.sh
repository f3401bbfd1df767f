#!/usr/bin/env bash
# Hessians at 0 of squares that are smooth, of functions that have a kink there themselves.
#
# Seen with jax 0.10.2 and autograd 1.9.0 (NumPy 2.4.6), float64, CPU:
#
#   function of (x, y)          right   JAX                        autograd
#   hypot(x, y) ** 2            2 I     [[.5, .5], [.5, .5]]       NaN
#   x ** 2 + y ** 2 by abs      2 I     2 I                        [[0, 0], [0, 0]]
#   (sum(abs(v) ** 2))
#
# The first is finite, symmetric and singular: Newton's method on it takes a wrong step without a word.
# In both, a convention for the slope at the kink is differentiated as if it were the slope around it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 jax==0.10.2 jaxlib==0.10.2 autograd==1.9.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'EOF'
import autograd
import autograd.numpy as anp
import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
zero = np.zeros(2)


def seen(name, found, expected):
    found = np.asarray(found)
    print(name, found.tolist())
    assert np.array_equal(found, expected, equal_nan=True), f"{name} has changed: {found}"


seen(
    "jax, hypot(x, y)**2:",
    jax.hessian(lambda v: jnp.hypot(v[0], v[1]) ** 2)(jnp.asarray(zero)),
    np.full((2, 2), 0.5),
)
seen(
    "jax, sum(abs(v)**2):",
    jax.hessian(lambda v: jnp.sum(jnp.abs(v) ** 2))(jnp.asarray(zero)),
    2 * np.eye(2),
)
with np.errstate(all="ignore"):
    seen(
        "autograd, hypot(x, y)**2:",
        autograd.hessian(lambda v: anp.hypot(v[0], v[1]) ** 2)(zero),
        np.full((2, 2), np.nan),
    )
    seen(
        "autograd, sum(abs(v)**2):",
        autograd.hessian(lambda v: anp.sum(anp.abs(v) ** 2))(zero),
        np.zeros((2, 2)),
    )
EOF
