#!/usr/bin/env bash
# scipy.special.iv is NaN or 0 at tiny arguments where ive and i1 of the same library have all their digits.
#
# Seen with SciPy 1.17.1 (and 1.18.1): iv(0, 1e-308) is NaN, not 1; iv(1, 1e-200) is 0, not 5e-201, and iv(2, 1e-150)
# 0, not 1.25e-301. The scaled function differs by a factor exp(-|x|), which is 1 there: ive returns all three, and
# i1 the second one. So it is iv's own way to small arguments, not the range of the numbers.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 scipy==1.17.1
cd "$work"
"$work/venv/bin/python" - <<'EOF'
import math

from scipy.special import i1, iv, ive

cases = [(0, 1e-308, 1.0), (1, 1e-200, 5e-201), (2, 1e-150, 1.25e-301)]
for v, x, exact in cases:
    print(f"order {v}, x = {x}: iv {iv(v, x)}, ive {ive(v, x)}, exact {exact}")
    assert abs(ive(v, x) / exact - 1.0) < 1e-12
assert abs(i1(1e-200) / 5e-201 - 1.0) < 1e-12
found = [iv(v, x) for v, x, _ in cases]
assert math.isnan(found[0]) and found[1:] == [0.0, 0.0], "has changed"
EOF
