"""Machines of a few instructions, for their tests."""

import numpy as np

from fastbp._core.machine import Machine
from fastbp._core.program import Trace, compile_program
from fastbp._core.replay import Plan

DTYPES = [np.float64, np.float32, np.complex128, np.complex64]


def program(function, n, dtype):
    trace = Trace()
    operands = [trace.input() for _ in range(n)]
    return compile_program(trace, [trace.lift(function(*operands))], np.dtype(dtype).num)


def run(fill, inputs, shape, dtype, work=0):
    """Fill a machine of these inputs, a workspace and one output, and return that."""
    n = len(inputs)
    machine = Machine(n + 2, n, work, {})
    fill(machine, n, n + 1)
    facts = [(x.shape, x.dtype) for x in inputs]
    return Plan(machine, facts, [(n + 1, shape, np.dtype(dtype))], [])(*inputs)[0]


def random(rng, shape, dtype):
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)
