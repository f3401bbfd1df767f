"""Shared by all tests: fixed seeds, and which fastbp is under test, at which instruction set."""

import copy
import functools
import gc
import os
import threading
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


class OneForEach(np.random.Generator):
    """Draws the same in every thread that runs a test as in the only one."""

    def __init__(self, seed):
        first = np.random.default_rng(seed)
        super().__init__(first.bit_generator)
        self.first, self.home, self.own = first, threading.get_ident(), threading.local()

    def __getattribute__(self, name):
        get = functools.partial(object.__getattribute__, self)
        if threading.get_ident() == get("home"):  # fixtures draw here, too
            return getattr(get("first"), name)
        own = get("own").__dict__
        if "generator" not in own:
            own["generator"] = copy.deepcopy(get("first"))
        return getattr(own["generator"], name)


@pytest.fixture
def rng():
    """A random generator with the same seed in every test."""
    return OneForEach(0)
