#!/usr/bin/env bash
# scipy.linalg.solve_sylvester and the Lyapunov solvers are silently wrong for a real a beside a complex q.
#
# Seen with SciPy 1.17.1: if a is real with complex eigenvalues its real Schur form has blocks of two rows, but
# LAPACK's complex routine (trsyl), chosen because q is complex, takes it for triangular and does not read what is
# below the diagonal. The residual is of the size of q. Handing in a + 0j is right. Nothing warns.
# solve_discrete_lyapunov inherits it from 10 rows on, where it goes by the continuous one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 scipy==1.17.1
cd "$work"
"$work/venv/bin/python" - <<'EOF'
import numpy as np
from scipy.linalg import solve_continuous_lyapunov, solve_discrete_lyapunov, solve_sylvester

a, b = np.array([[-1.0, 2.0], [-2.0, -1.0]]), np.array([[-1.0, 0.0], [0.5, -3.0]])
q = np.array([[1.0, 2.0j], [-2.0j, 3.0]])
wide = 0.2 * np.random.default_rng(0).normal(size=(12, 12))
full = np.eye(12) * (1.0 + 1.0j)


def missed(a):
    x = solve_continuous_lyapunov(a, q)
    y = solve_sylvester(a, b, q)
    return np.abs(a @ x + x @ a.T - q).max(), np.abs(a @ y + y @ b - q).max()


def missed_discrete(a):
    x = solve_discrete_lyapunov(a, full)
    return np.abs(a @ x @ a.T - x + full).max()


print("real a:", missed(a), missed_discrete(wide))
print("a + 0j:", missed(a + 0j), missed_discrete(wide + 0j))
assert max(*missed(a + 0j), missed_discrete(wide + 0j)) < 1e-12
assert min(missed(a)) > 0.1 and missed_discrete(wide) > 0.1, "has changed: it is right"
EOF
