"""Results of no axes: numbers, which no write changes, where NumPy's are; arrays where they are."""

import numpy as np
import pytest

import fastbp as bp
from fastbp import tree
from fastbp._core import graph
from fastbp.rules.table import FUNCTIONS, SAMPLES

from ..harness import ELEMENTWISE, Call, calls_of, operands_of

pytestmark = pytest.mark.filterwarnings("ignore")

# Transforms and quantiles of nothing but numbers, and what one version of NumPy does.
OTHERS = {"nanpercentile", "nanquantile", "percentile", "quantile", "sinc"}
OTHERS |= {name for name in SAMPLES if name.startswith("scipy.fft.")}
OTHERS.add("scipy.linalg.lstsq")  # the sum of squares: an array since SciPy 1.18


def kind(x):
    """Return what a result of no axes is; None for one that has axes, or is no number."""
    if type(x) is bp.Variable:
        return None if x.ndim else ("number" if graph.is_number(x) else "array")
    if isinstance(x, np.ndarray):
        return "array" if x.ndim == 0 and x.dtype.kind in "fc" else None
    return "number" if isinstance(x, (float, np.inexact)) else None


def forms(call):
    """Return the leaves of a call, and of the same with numbers or arrays of no axes in it."""
    found = [call.leaves]
    places = [k for k in call.moving if call.leaves[k].size]
    for make in (lambda x: x.ravel()[0], lambda x: np.array(x.ravel()[0])):
        for some in [[k] for k in places] + ([places] if len(places) > 1 else []):
            changed = {k: make(call.leaves[k]) for k in some}
            found.append([changed.get(k, x) for k, x in enumerate(call.leaves)])
    return found


def compared(name, call):
    """Return how many results of no axes NumPy and a record agree on."""
    agreed = 0
    for leaves in forms(call):
        try:
            args, kwargs = call.treedef.unflatten(leaves)
            theirs = tree.flatten(call.function(*args, **kwargs))[0]
            recorded = [bp.variable(x) if k in call.moving else x for k, x in enumerate(leaves)]
            args, kwargs = call.treedef.unflatten(recorded)
            ours = tree.flatten(call.function(*args, **kwargs))[0]
        except Exception:
            continue  # not a call of numbers
        for x, y in zip(theirs, ours, strict=True):
            if kind(x) and type(y) is bp.Variable:
                assert kind(y) == kind(x), (name, [np.shape(leaves[k]) for k in call.moving])
                agreed += 1
    return agreed


def test_results_are_what_those_of_numpy_are():
    calls = [(name, c) for name in SAMPLES if name in FUNCTIONS for c in calls_of(name)]
    for op in ELEMENTWISE.values():
        if op.name in FUNCTIONS:
            operands = operands_of(op, ((2, 3),) * op.nin, np.random.default_rng(0))
            calls.append((op.name, Call(op.ufunc or op, operands, {})))
    assert sum(compared(*item) for item in calls if item[0] not in OTHERS) > 800
