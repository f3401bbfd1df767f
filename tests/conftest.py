"""Shared by all tests: fixed seeds, and which fastbp is under test, at which instruction set."""

import gc
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


def pytest_collection_finish():
    """Let the garbage collector pass over the tests themselves, which live to the end.

    There are tens of thousands: each full collection that a test asks for would take a second.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def rng():
    """A random generator with the same seed in every test."""
    return np.random.default_rng(0)
