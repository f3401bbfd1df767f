"""Run calls of SciPy's on a Variable under ``SCIPY_ARRAY_API=1``; what becomes of each, as JSON.

Lines of standard input are expressions of `x`, six positive numbers, and of `y`, `m`, `s` and `p`,
which follow from it.
"""

import json
import os
import sys
import warnings

os.environ["SCIPY_ARRAY_API"] = "1"

import numpy as np
import scipy.cluster.hierarchy
import scipy.cluster.vq
import scipy.fft
import scipy.integrate
import scipy.interpolate
import scipy.ndimage
import scipy.signal
import scipy.special
import scipy.stats
from scipy.spatial.transform import RigidTransform, Rotation

import fastbp as bp
import fastbp.numpy as xp

X = np.array([0.3, 1.2, 0.7, 2.1, 1.6, 0.9])
MODULES = {
    "Rotation": Rotation,
    "RigidTransform": RigidTransform,
    "vq": scipy.cluster.vq,
    "hierarchy": scipy.cluster.hierarchy,
    "xp": xp,
    **{
        name: getattr(scipy, name)
        for name in "fft integrate interpolate ndimage signal special stats".split()
    },
}


def value_of(expression, x):
    names = {"x": x, "y": 0.3 * x * x + xp.flip(x), "m": xp.reshape(x, (3, 2)), "p": x / 3}
    names["s"] = xp.asarray(np.arange(6.0) ** 1.5)
    found = eval(expression, {**MODULES, **names})
    parts = found if isinstance(found, tuple) else (found,)
    parts = [xp.reshape(xp.asarray(part), (-1,)) for part in parts]
    found = xp.concat(parts)
    weights = np.cos(np.arange(found.shape[0]) + 0.3)
    total = xp.sum(found * weights)
    return xp.real(total) + 0.7 * xp.imag(total) if total.dtype.kind == "c" else total


def outcome(expression):
    """Return "gradient", "constant" or "refused"; raise where a gradient is wrong or lost."""
    try:
        value, gradient = bp.value_and_grad(lambda x: value_of(expression, x) + 0.0 * x[0])(X)
        plain = value_of(expression, X)
    except bp.errors.FastbpError:
        return "refused"
    except (TypeError, ValueError) as error:
        return "refused" if "Variable" in str(error) or "common type" in str(error) else repr(error)
    slopes = np.empty(6)
    for i, step in enumerate(1e-6 * np.eye(6)):
        ends = [value_of(expression, X + sign * step) for sign in (1, -1)]
        slopes[i] = (ends[0] - ends[1]) / 2e-6
    if not np.allclose(gradient, slopes, rtol=1e-4, atol=1e-5):
        return f"wrong: {gradient}, differences {slopes}"
    if not np.allclose(value, plain, rtol=1e-9):
        return f"wrong: {value}, of plain numbers {plain}"
    return "gradient" if gradient.any() else "constant"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    expressions = sys.stdin.read().splitlines()
    print(json.dumps({expression: outcome(expression) for expression in expressions}))
