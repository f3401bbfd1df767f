#!/usr/bin/env bash
# scipy.stats drops nan_policy= without a word for matrices of other libraries than NumPy.
#
# Seen with SciPy 1.17.1 and SCIPY_ARRAY_API=1: the wrapper that handles nan_policy (_axis_nan_policy) does so for
# NumPy's arrays, and for rows of one axis. For others it means to raise NotImplementedError, but looks for
# 'nan_policy' in kwds after it has popped it from there. So "omit" gives NaN and "raise" does not raise: gmean, skew,
# sem, kurtosis, ttest_1samp and all others behind the wrapper. Rows one by one are right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 scipy==1.17.1 array-api-strict==2.6
cd "$work"
SCIPY_ARRAY_API=1 "$work/venv/bin/python" - <<'EOF'
import array_api_strict as xp
import numpy as np
from scipy import stats

x = np.array([[1.0, 2.0, np.nan, 4.0, 8.0], [1.0, 3.0, 9.0, 2.0, 5.0]])
for f in (stats.gmean, stats.skew, stats.sem, stats.kurtosis):
    expected = f(x, axis=1, nan_policy="omit")
    rows = [float(f(xp.asarray(row), nan_policy="omit")) for row in x]
    found = np.asarray(f(xp.asarray(x), axis=1, nan_policy="omit"))
    print(f.__name__, "of NumPy:", expected, "of others:", found)
    assert np.allclose(expected, rows)
    assert np.isnan(found[0]), "has changed: it is right, or raises"
    assert np.isnan(np.asarray(f(xp.asarray(x), axis=1, nan_policy="raise"))[0]), "has changed"
    try:
        f(x, axis=1, nan_policy="raise")
    except ValueError:
        continue
    raise AssertionError("NumPy's arrays do not raise")
EOF
