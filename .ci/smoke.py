"""What an installed wheel has to do: every compiled module loads, and derivatives are right.

`python -P smoke.py` needs NumPy, SciPy and fastbp, nothing else; it says what it ran with.
"""

import importlib
import platform
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import numpy as np
import scipy

import fastbp as bp
from fastbp._core import simd

core = Path(bp.__file__).parent / "_core"
compiled = {path.name.split(".")[0] for path in core.glob("*" + EXTENSION_SUFFIXES[0])}
if len(compiled) < 40:
    sys.exit(f"only {len(compiled)} compiled modules in {core}")
for name in compiled:
    importlib.import_module(f"fastbp._core.{name}")


def loss(w, x, y):
    """Kernels, BLAS and LAPACK."""
    z = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ np.tanh(x @ w))
    return np.sum((x @ z - y) ** 2)


rng = np.random.default_rng(0)
w, x, y, v = (rng.standard_normal(shape) for shape in [3, (5, 3), 5, 3])
gradient = bp.grad(loss)(w, x, y)
step = 1e-6
difference = (loss(w + step * v, x, y) - loss(w - step * v, x, y)) / (2 * step)
np.testing.assert_allclose(gradient @ v, difference, rtol=1e-7)
product = bp.hvp(loss, w, v, x, y)
np.testing.assert_allclose(product, bp.hessian(loss)(w, x, y) @ v, rtol=1e-12)
np.testing.assert_array_equal(bp.jacobian(np.sin)(w), np.diag(np.cos(w)))
np.testing.assert_allclose(bp.compile(bp.grad(loss))(w, x, y), gradient, rtol=1e-13)
ring = bp.sparse.jacobian(lambda t: t * np.roll(t, 1))(np.arange(1.0, 7.0))
assert scipy.sparse.issparse(ring)
assert ring.nnz == 12
print(
    f"fastbp {bp.__version__}: {len(compiled)} compiled modules, kernels at {simd.level()};",
    f"Python {platform.python_version()} on {platform.platform()},",
    f"NumPy {np.__version__}, SciPy {scipy.__version__}",
)
