"""The suite of whole programs: what is timed is right, and a plan without calls where it can be."""

import numpy as np
import pytest

from fastbp.benchmarks import programs


@pytest.mark.parametrize("name", programs.PROGRAMS)
def test_derivatives_are_those_of_the_programs(name):
    case = programs.ProgramDerivative()
    case.setup(name)
    assert case.check() < 1e-4  # differences tell no more
    assert len(case.compiled.entries) == 1


@pytest.mark.parametrize(
    ("name", "most"),
    [("Kalman filter", 300), ("hypergradient", 120), ("inverse heat, rod", 90), ("mixture", 130)],
)
def test_loops_are_loops_of_the_plan(name, most):
    case = programs.ProgramDerivative()
    case.setup(name)
    case.run()
    (entry,) = case.compiled.entries
    assert len(entry.plan.facts) <= most


def test_a_first_call_records_anew():
    assert set(programs.FIRST) <= set(programs.PROGRAMS)
    first = programs.ProgramFirst()
    first.setup("planar arm")
    assert np.all(np.isfinite(first.run()))
