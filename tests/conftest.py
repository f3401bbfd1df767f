"""Shared by all tests: fixed seeds, and which fastbp is under test, at which instruction set."""

import os
from pathlib import Path

import hypothesis
import numpy as np
import pytest

import fastbp
from fastbp._core import simd

os.environ["MPLBACKEND"] = "agg"  # pictures in files, no windows

# The same examples in every run; `pytest --hypothesis-profile=default` looks for new ones.
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None)
hypothesis.settings.load_profile("fixed")


def pytest_report_header():
    return f"fastbp: {Path(fastbp.__file__).parent}, kernels at {simd.level()}"


@pytest.fixture
def rng():
    """A random generator with the same seed in every test."""
    return np.random.default_rng(0)
