#!/usr/bin/env bash
# scipy.linalg.subspace_angles loses small angles beside large ones.
#
# Seen with SciPy 1.17.1: cosines are in descending order, angles too, so the mask "the cosine is large, take the arc
# sine" is that of the opposite end. Of planes with angles 1e-9 and 1.4 the small one comes from the arc cosine: 0.
# Alone it is right, which is what the method of Knyazev and Argentati that it cites is for.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 scipy==1.17.1
cd "$work"
"$work/venv/bin/python" - <<'EOF'
import numpy as np
from scipy.linalg import subspace_angles

small, large = 1e-9, 1.4
a = np.eye(4, 2)
b = np.array([[np.cos(small), 0], [0, np.cos(large)], [np.sin(small), 0], [0, np.sin(large)]])
print("both:", subspace_angles(a, b), " alone:", subspace_angles(a[:, :1], b[:, :1]))
assert abs(subspace_angles(a[:, :1], b[:, :1])[0] / small - 1.0) < 1e-9
assert abs(subspace_angles(a, b)[1] / small - 1.0) > 0.1, "has changed: the small angle is there"
EOF
