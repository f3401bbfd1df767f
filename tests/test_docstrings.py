"""The examples in docstrings, README and docs run and print what they say."""

import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

import numpy as np
import pytest

import fastbp

ROOT = Path(__file__).parents[1]
NAMES = {"np": np, "bp": fastbp}  # assumed in every example, as usual in NumPy's documentation


MODULES = [
    info.name
    for info in pkgutil.walk_packages(fastbp.__path__, "fastbp.")
    if not info.name.startswith(("fastbp._core.", "fastbp.benchmarks."))
]


@pytest.mark.parametrize("name", ["fastbp", *MODULES])
def test_examples_in_docstrings(name):
    failures, _ = doctest.testmod(importlib.import_module(name), extraglobs=NAMES)
    assert failures == 0


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))], ids=lambda path: path.name
)
def test_examples_in_documents(path):
    failures, _ = doctest.testfile(str(path), module_relative=False, globs=dict(NAMES))
    assert failures == 0


@pytest.mark.parametrize("name", sorted(fastbp.__all__))
def test_public_names_have_a_docstring(name):
    assert inspect.getdoc(getattr(fastbp, name))
