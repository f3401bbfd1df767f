#!/usr/bin/env bash
# The dtype of numpy.bincount with weights depends on whether there are any.
#
# Seen with NumPy 2.4.6: with weights the sums are float64, as documented; of no elements, with weights of
# dtype float64, they are int64. So a sum over groups whose members have all been filtered out cannot be
# divided in place any more ("Cannot cast ufunc 'divide' output"), while the same line works for all others.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'EOF'
import numpy as np


def sums(groups, weights):
    return np.bincount(np.array(groups, np.intp), np.array(weights, float), minlength=3)


some, none = sums([0, 2, 2], [1.0, 2.0, 3.0]), sums([], [])
print("some:", some.dtype, some.tolist(), " none:", none.dtype, none.tolist())
assert some.dtype == np.float64
assert none.dtype == np.intp, f"has changed: {none.dtype}"
some /= 2.0
try:
    none /= 2.0
except TypeError as error:
    print("none /= 2.0:", error)
else:
    raise AssertionError("has changed: the division in place works")
EOF
