#!/usr/bin/env bash
# xarray's weighted variance of complex numbers is complex, and negative for numbers on the imaginary axis.
#
# Seen with xarray 2026.9.0 (NumPy 2.4.6): z.var() is the mean of |z - mean|^2, as NumPy's. With weights, equal ones
# too, it is the mean of (z - mean)^2: sum_of_squares and var lack the conjugate, and std is the root of that. So adding
# weights of one turns a variance of 2.5 into -2.5. xarray.cov with the same weights is right. Nothing warns.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 xarray==2026.9.0
cd "$work"
"$work/venv/bin/python" -W error - <<'EOF'
import numpy as np
import xarray as xr

z = xr.DataArray(np.array([1j, -1j, 2j, -2j]), dims="x")
ones = xr.DataArray(np.ones(4), dims="x")
weighted = z.weighted(ones)
print("var:", z.var().item(), " cov:", xr.cov(z, z, ddof=0, weights=ones).item())
print("weighted var:", weighted.var().item(), " std:", weighted.std().item(),
      " sum of squares:", weighted.sum_of_squares().item())
assert abs(z.var().item() - np.var(z.values)) < 1e-15 and np.var(z.values) == 2.5
assert abs(xr.cov(z, z, ddof=0, weights=ones).item() - 2.5) < 1e-15
assert abs(weighted.mean().item() - z.mean().item()) < 1e-15
assert abs(weighted.var().item() + 2.5) < 1e-15, "has changed"
assert abs(weighted.sum_of_squares().item() + 10.0) < 1e-14, "has changed"
assert abs(weighted.std().item() - 2.5**0.5 * 1j) < 1e-15, "has changed"
EOF
