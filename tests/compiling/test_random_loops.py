"""Random programs of slices, equal operands, reductions and loops: a plan computes the same."""

import os

import numpy as np
import pytest

import fastbp as bp
from fastbp import tree
from fastbp.compiling import hoisting
from fastbp.compiling.passes import PASSES

from . import random_loops

pytestmark = pytest.mark.filterwarnings("ignore")  # overflow, and what does not depend on x


def leaves(x):
    return [np.asarray(y) for y in tree.flatten(x)[0]]


def derivatives(f):
    first = lambda *args: f(*args)[0]
    slope = bp.grad(first, (0, 1, 2))
    return {
        "values": f,
        "gradient": slope,
        "hvp": lambda *args: bp.jvp(slope, args, args)[1],
        "jacobian": bp.jacobian(lambda *args: f(*args)[1]),
        "jvp": lambda *args: bp.jvp(first, args, args),
    }


def compared(g, args, what):
    """Compare a plan with the function; some programs amplify rounding: by how much is measured."""
    compiled = bp.compile(g)
    compiled(*args)
    for scale in (1.0, 0.9):
        given = [scale * x for x in args]
        near = [x * (1 + 2e-15) for x in given]
        for a, b, c in zip(
            *(leaves(f(*z)) for f, z in zip((compiled, g, g), (given, given, near), strict=True)),
            strict=True,
        ):
            if np.all(np.isfinite(b)):
                size = np.max(np.abs(b), initial=0.0)
                bound = 1e-9 * (1e-6 + size) + 50 * np.max(np.abs(b - c), initial=0.0)
                assert np.max(np.abs(a - b), initial=0.0) <= bound, what


@pytest.mark.parametrize("seed", range(60))
def test_plans_of_random_loops(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    source = random_loops.program(rng)
    monkeypatch.setattr(hoisting, "_ELEMENTS", 1)
    passes = sorted(PASSES)
    if seed % 3 == 2:
        monkeypatch.setenv("FASTBP_PASSES", f"-{passes[seed // 3 % len(passes)]}")
    args = random_loops.arguments(rng)
    for name, g in derivatives(random_loops.made(source)).items():
        compared(g, args, (name, os.environ.get("FASTBP_PASSES"), source))
