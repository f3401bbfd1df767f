#!/usr/bin/env bash
# scipy.linalg.lu_solve with the same factors in several threads is wrong, or ends the process: it writes to its input.
#
# Seen with SciPy 1.17.1 (and 1.18.1), CPython with the GIL. The wrapper of LAPACK's getrs adds one to every pivot in
# place, calls LAPACK without the GIL, and takes the ones back; another thread adds its own meanwhile. LAPACK then swaps
# rows that the right-hand side does not have. Pivots that are read-only are written to as well. A copy of the pivots in
# each call is right. SciPy 1.13.1 kept the GIL; scipy#25992 mends it after 1.18.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 scipy==1.17.1
cd "$work"
cat >threads.py <<'EOF'
import sys
import threading

import numpy as np
from scipy.linalg import lu_factor, lu_solve

rng = np.random.default_rng(0)
a, b = rng.normal(size=(5, 5)), rng.normal(size=5)
lu, pivots = lu_factor(a)
pivots.flags.writeable = False
expected, wrong = lu_solve((lu, pivots), b), []


def solve():
    for _ in range(3000):
        x = lu_solve((lu, pivots.copy() if "copy" in sys.argv else pivots), b)
        if not np.array_equal(x, expected):
            wrong.append(x)


sys.setswitchinterval(1e-6)
threads = [threading.Thread(target=solve) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(wrong), "of 24000 solutions are wrong")
sys.exit(bool(wrong))
EOF
echo "a copy of the pivots in each call:"
"$work/venv/bin/python" threads.py copy
echo "the same pivots, read-only:"
if "$work/venv/bin/python" threads.py; then
    echo "has changed: it is right"
    exit 1
fi
