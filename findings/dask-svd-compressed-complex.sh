#!/usr/bin/env bash
# dask.array.linalg.svd_compressed of a complex matrix has the singular values of no such matrix.
#
# Seen with dask 2026.8.0 (NumPy 2.4.6): asked for as many as there are, it reproduces a real matrix to rounding, and
# misses a complex one of the same shape by more than its smallest singular value, with any number of power iterations
# and either iterator. What is said is a ComplexWarning of NumPy's, from an estimate of a dtype. da.linalg.svd is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 dask==2026.8.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'EOF'
import dask.array as da
import numpy as np

rng = np.random.default_rng(0)
real = rng.normal(size=(8, 3))
mixed = real + 1j * rng.normal(size=(8, 3))


def missed(a, factors):
    """Return how far the product of the factors is from the matrix, and their singular values."""
    u, s, v = (x.compute() for x in factors)
    return np.linalg.norm((u * s) @ v - a, 2), s


for name, a in (("real", real), ("complex", mixed)):
    chunks = da.from_array(a, chunks=(4, 3))
    exact = np.linalg.svd(a, compute_uv=False)
    print(name, "exact:", exact.round(3))
    error, _ = missed(a, da.linalg.svd(chunks))
    assert error < 1e-12
    for given in ({}, {"n_power_iter": 2}, {"n_power_iter": 2, "iterator": "QR"}):
        error, s = missed(a, da.linalg.svd_compressed(chunks, 3, seed=0, **given))
        print(name, given, "found:", s.round(3), f"error {error:.1e}")
        if name == "real":
            assert error < 1e-12
        else:
            assert error > exact[-1] and abs(s - exact).max() > 1.0, "has changed"
EOF
