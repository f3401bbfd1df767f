#!/usr/bin/env bash
# scipy.linalg.eig(a, b, left=True, right=False) normalises the first left vector only.
#
# Seen with SciPy 1.17.1, whose documentation says that vl is normalised: the loop over vectors runs along the rows of
# vr, which has one row where it was not asked for. With right=True all have length 1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 scipy==1.17.1
cd "$work"
"$work/venv/bin/python" - <<'EOF'
import numpy as np
from scipy.linalg import eig

a, b = np.random.default_rng(0).normal(size=(2, 4, 4))
alone = np.linalg.norm(eig(a, b, left=True, right=False)[1], axis=0)
both = np.linalg.norm(eig(a, b, left=True, right=True)[1], axis=0)
print("left alone:", alone, " with right ones:", both)
assert np.allclose(both, 1.0)
assert abs(alone[0] - 1.0) < 1e-12 and np.abs(alone[1:] - 1.0).max() > 0.01, "has changed"
EOF
