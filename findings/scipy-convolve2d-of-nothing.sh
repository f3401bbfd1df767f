#!/usr/bin/env bash
# scipy.signal.convolve2d of an image without elements ends Python, by a division of integers by zero.
#
# Seen with SciPy 1.13.1, 1.17.1 and 1.18.1, on x86-64: boundary "wrap" and "symm", mode "full", an axis of length 0. The
# same holds for correlate2d. scipy.linalg.matmul_toeplitz with an empty first row returns what stood in memory.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 scipy==1.17.1
cd "$work"
for boundary in wrap symm; do
    status=0
    "$work/venv/bin/python" - "$boundary" <<'EOF' || status=$?
import sys

import numpy as np
from scipy.signal import convolve2d

convolve2d(np.zeros((0, 3)), np.ones((2, 2)), "full", sys.argv[1])
EOF
    echo "$boundary: status $status"
    test "$status" -gt 128 || { echo "has changed"; exit 1; }
done
