"""The examples in docstrings, README and docs run and print what they say, and none is left out."""

import doctest
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import fastbp

ROOT = Path(__file__).parents[1]
NAMES = {"np": np, "bp": fastbp}  # assumed in every example, as usual in NumPy's documentation

MODULES = [
    info.name
    for info in pkgutil.walk_packages(fastbp.__path__, "fastbp.")
    if not info.name.startswith("fastbp.benchmarks.") and not info.name.endswith("__main__")
]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("examples/*.md")),
    *sorted(ROOT.glob("benchmarks/**/*.md")),
]
FENCED = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.thread_unsafe(reason="doctest patches linecache and sys.stdout")


@pytest.fixture(autouse=True)
def no_figure_is_left():
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.mark.parametrize("name", ["fastbp", *MODULES])
def test_examples_in_docstrings(name):
    failures, _ = doctest.testmod(importlib.import_module(name), extraglobs=NAMES)
    assert failures == 0


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_in_documents(path):
    failures, _ = doctest.testfile(
        str(path), module_relative=False, encoding="utf-8", globs=dict(NAMES)
    )
    assert failures == 0


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_blocks_of_python_are_examples(path):
    text = path.read_text(encoding="utf-8")
    blocks = [(kind, block) for kind, block in FENCED.findall(text) if kind != "bash"]
    for kind, block in blocks:
        assert block.startswith(">>>") if kind == "python" else ">>>" not in block, block
    assert text.count("\n>>>") == sum(("\n" + block).count("\n>>>") for _, block in blocks)
    assert "doctest: +SKIP" not in text


PUBLIC = [
    "fastbp",
    "fastbp.autograd",
    "fastbp.autograd.extend",
    "fastbp.autograd.misc",
    "fastbp.autograd.misc.fixed_points",
    "fastbp.autograd.misc.flatten",
    "fastbp.autograd.misc.optimizers",
    "fastbp.autograd.test_util",
    "fastbp.chain",
    "fastbp.compiling",
    "fastbp.limits",
    "fastbp.mapping",
    "fastbp.optim",
    "fastbp.recurrent",
    "fastbp.sparse",
    "fastbp.tensor",
    "fastbp.testing",
    "fastbp.tree",
]


# Classes whose methods have examples too; those of NumPy's names on Variables have none.
CLASSES = [
    "chain.Factor",
    "chain.JacobianChain",
    "compiling.Compiled",
    "optim.Optimizer",
    "sparse.Coloring",
    "sparse.Prepared",
    "sparse.SparseMatrix",
    "tensor.DerivativeTensor",
    "tree.TreeDef",
]
NOT_FOR_USERS = {"entry_for", "failed", "miss", "add", "clear"}  # of compiled functions
HOOKS = {"dtype_of", "setting", "step", "uphill"}  # of optimizers: the class shows them
PYTHONS_OWN = {"dict", "isinstance", "list", "tuple", "type"}  # in autograd's namespace


def _public():
    for module in PUBLIC:
        names = importlib.import_module(module).__all__
        for name in names + ["Variable"] * (module == "fastbp"):
            x = getattr(importlib.import_module(module), name)
            if callable(x) and not (module == "fastbp.autograd" and name in PYTHONS_OWN):
                yield f"{module}.{name}", x
    for path in CLASSES:
        module, name = path.split(".")
        cls = getattr(importlib.import_module(f"fastbp.{module}"), name)
        for name, x in inspect.getmembers(cls, callable):
            if name.startswith("_") or name in NOT_FOR_USERS | HOOKS:
                continue
            if name in dir(Sequence):  # a chain is one
                continue
            yield f"fastbp.{path}.{name}", x


ALL_PUBLIC = dict(_public())


@pytest.mark.parametrize("path", ALL_PUBLIC)
def test_public_functions_have_an_example_that_runs(path):
    documented = ALL_PUBLIC[path]
    text = inspect.getdoc(documented)
    assert text, "no docstring"
    module = importlib.import_module(getattr(documented, "__module__", None) or "fastbp")
    test = doctest.DocTestParser().get_doctest(text, {**vars(module), **NAMES}, path, None, None)
    assert test.examples, "no example"
    assert doctest.DocTestRunner().run(test).failed == 0


def test_no_example_in_a_docstring_is_skipped():  # which would be run by nothing
    for path in [*ROOT.glob("fastbp/**/*.py"), *ROOT.glob("src_cy/**/*.pyx")]:
        assert "doctest: +SKIP" not in path.read_text(encoding="utf-8"), path
