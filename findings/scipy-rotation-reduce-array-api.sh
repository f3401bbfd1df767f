#!/usr/bin/env bash
# scipy.spatial.transform.Rotation.reduce of one side is silently wrong for arrays of other libraries than NumPy.
#
# Seen with SciPy 1.17.1 and SCIPY_ARRAY_API=1: where left= or right= is missing, _rotation_xp.reduce puts ones_like in
# its place, the quaternion (1, 1, 1, 1), which is neither the identity nor of length 1. So rotations come out turned,
# and as quaternions of length 2. With NumPy arrays, or with both sides given, the result is right. Nothing warns.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 scipy==1.17.1 array-api-strict==2.6
cd "$work"
SCIPY_ARRAY_API=1 "$work/venv/bin/python" - <<'EOF'
import array_api_strict as xp
import numpy as np
from scipy.spatial.transform import Rotation

p, side = (np.random.default_rng(k).normal(size=(3, 4)) for k in (0, 1))


def reduced(xp, *identity):
    rotations = Rotation.from_quat(xp.asarray(p))
    sides = [Rotation.from_quat(xp.asarray(q)) for q in (side, *identity)]
    return np.asarray(rotations.reduce(*sides).as_quat())


expected = reduced(np)
found = reduced(xp)
print("of NumPy:", expected[0], "length", np.linalg.norm(expected[0]))
print("of others:", found[0], "length", np.linalg.norm(found[0]))
both = reduced(xp, np.array([[0.0, 0.0, 0.0, 1.0]]))
assert np.allclose(abs(np.sum(both * expected, -1)), 1.0), "right with the identity"
assert np.abs(np.linalg.norm(found, axis=-1) - 1.0).min() > 0.5, "has changed: it is right"
EOF
