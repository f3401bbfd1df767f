#!/usr/bin/env bash
# numpy.nanquantile is not numpy.quantile of arrays without NaN: axes of the result, weights of one axis.
#
# Seen with NumPy 2.4.6. For q of two axes and several reduced axes, nanquantile has the first axis of q
# behind all others: (3, 3, 2) where quantile gives (2, 3, 3); with one reduced axis both agree. With one-dimensional
# weights along an axis, which quantile takes as documented, nanquantile raises IndexError.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'EOF'
import numpy as np

x = np.arange(24.0).reshape(2, 3, 4)
q = np.array([[0.1, 0.5, 0.9], [0.2, 0.4, 0.6]])
plain, nan = np.quantile(x, q, axis=(0, 2)), np.nanquantile(x, q, axis=(0, 2))
print("axis=(0, 2):", plain.shape, nan.shape)
assert plain.shape == (2, 3, 3)
assert nan.shape == (3, 3, 2), f"has changed: {nan.shape}"
assert np.allclose(nan, plain.transpose(1, 2, 0)), "has changed: other values"
assert np.allclose(np.nanquantile(x, q, axis=1), np.quantile(x, q, axis=1))

options = {"axis": 1, "weights": [1.0, 2.0, 1.0], "method": "inverted_cdf"}
print("weights of axis 1:", np.quantile(x, 0.5, **options).shape)
try:
    np.nanquantile(x, 0.5, **options)
except IndexError as error:
    print("nanquantile:", error)
else:
    raise AssertionError("has changed: nanquantile takes the weights")
EOF
