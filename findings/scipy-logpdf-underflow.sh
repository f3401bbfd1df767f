#!/usr/bin/env bash
# Log densities of three distributions of scipy.stats are -inf in tails where those of their kin are right.
#
# Seen with SciPy 1.17.1: laplace, hypsecant and foldnorm have no log density of their own, so it is the log of a
# density that has underflowed: laplace.logpdf(800) is -inf instead of -800.69, foldnorm.logpdf(50, 1) -inf instead of
# -1201.42. One outlier makes a log-likelihood infinite, and an optimizer that starts there goes nowhere. logistic,
# halfnorm and skewnorm are right at the same places; norm.logsf is, halfnorm.logsf(50) is -inf.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 scipy==1.17.1 mpmath==1.3.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'EOF'
import numpy as np
from mpmath import cosh, exp, log, mp, pi, sqrt
from scipy import stats

mp.dps = 30
exact = {
    "laplace(800)": log(exp(-800) / 2),
    "hypsecant(800)": log(1 / (pi * cosh(800))),
    "foldnorm(50, 1)": log(sqrt(2 / pi) * cosh(50) * exp(-(mp.mpf(50) ** 2 + 1) / 2)),
}
found = {
    "laplace(800)": stats.laplace.logpdf(800.0),
    "hypsecant(800)": stats.hypsecant.logpdf(800.0),
    "foldnorm(50, 1)": stats.foldnorm.logpdf(50.0, 1.0),
}
for name, value in found.items():
    print(f"{name:16} scipy {value}  exact {float(exact[name]):.6f}")
    assert value == -np.inf, f"has changed: {name} is finite"
assert stats.logistic.logpdf(800.0) == -800.0
assert abs(stats.halfnorm.logpdf(800.0) + 320000.2257913526) < 1e-6
assert abs(stats.norm.logsf(50.0) + 1254.8313611394199) < 1e-9
print("halfnorm.logsf(50)", stats.halfnorm.logsf(50.0), " norm.logsf(50)", stats.norm.logsf(50.0))
assert stats.halfnorm.logsf(50.0) == -np.inf
EOF
