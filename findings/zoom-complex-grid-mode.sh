#!/usr/bin/env bash
# scipy.ndimage.zoom of complex numbers does not look at grid_mode.
#
# Seen with SciPy 1.17.1: real and imaginary parts are zoomed by calls of their own, which are not handed
# grid_mode=. So zoom(z, grid_mode=True) of complex z with imaginary part 0 is another image than that of z.real:
# pixels are taken for points. Nothing warns.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 scipy==1.17.1
cd "$work"
"$work/venv/bin/python" - <<'EOF'
import numpy as np
from scipy.ndimage import zoom

x = np.arange(4.0)
given = {"order": 1, "mode": "grid-constant", "grid_mode": True}
real, of_complex = zoom(x, 1.5, **given), zoom(x + 0j, 1.5, **given).real
print("real:", real.round(3), " complex:", of_complex.round(3))
assert np.allclose(of_complex, zoom(x, 1.5, order=1, mode="grid-constant")), "has changed"
assert not np.allclose(of_complex, real), "has changed: they agree"
EOF
