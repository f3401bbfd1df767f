"""Every public module of NumPy and SciPy is imported from fastbp's namespaces, in all forms."""

import importlib
import pkgutil
import re
import subprocess
import sys
import types
import warnings

import numpy as np
import pytest
import scipy

import fastbp
from fastbp.rules import namespaces


def public_modules(package):
    """Return the names of public submodules that are themselves modules for users."""
    names = {
        name for name in dir(package) if isinstance(getattr(package, name, None), types.ModuleType)
    }
    names |= {m.name for m in pkgutil.iter_modules(package.__path__) if m.ispkg}
    return sorted(
        name
        for name in names
        if not name.startswith("_") and name not in ("conftest", "tests", "f2py", "distutils")
    )


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    MODULES = [
        f"{package.__name__}.{name}"
        for package in (np, scipy)
        for name in public_modules(package)
        if getattr(getattr(package, name, None), "__name__", "") == f"{package.__name__}.{name}"
    ]


def test_there_are_modules():
    assert {"numpy.random", "scipy.optimize", "scipy.special", "numpy.fft"} <= set(MODULES)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_imported_and_found(name):
    module = importlib.import_module(f"fastbp.{name}")
    parent, _, last = name.partition(".")
    assert getattr(getattr(fastbp, parent), last) is module
    own = module.__name__.startswith("fastbp.")
    theirs = importlib.import_module(name)
    assert own or module is theirs
    assert theirs.__spec__.name == name  # the import has left it as it was
    assert all(hasattr(module, public) for public in getattr(theirs, "__all__", ()))


STATEMENTS = [
    "import fastbp.scipy.optimize; fastbp.scipy.optimize.minimize",
    "import fastbp.scipy.optimize as o, scipy.optimize as s; assert o is s",
    "from fastbp.scipy.optimize import minimize",
    "from fastbp.scipy import optimize, sparse",
    "import fastbp.scipy.sparse.linalg as o, scipy.sparse.linalg as s; assert o is s",
    "import fastbp.scipy.signal.windows as o, scipy.signal.windows as s; assert o is s",
    "import fastbp.numpy.lib.stride_tricks as o, numpy.lib as s; assert o is s.stride_tricks",
    "import fastbp.numpy.polynomial.chebyshev as o; assert o.__name__[0] == 'f'; o.chebval",
    "from fastbp.numpy.random import default_rng",
    "from fastbp.numpy import *; from fastbp.scipy.special import *; logsumexp, roll",
    "import fastbp.numpy.fft, fastbp.numpy.linalg; assert fastbp.numpy.fft.__name__[0] == 'f'",
]


def test_statements_in_a_fresh_interpreter():
    code = f"for statement in {STATEMENTS!r}: exec(statement, {{}})"
    subprocess.run([sys.executable, "-I", "-c", code], check=True)


@pytest.mark.parametrize(
    "name", ["scipy.nonsense", "scipy.special.nonsense", "numpy.nonsense", "scipy.sparse.nonsense"]
)
def test_what_nobody_has_is_not_found(name):
    with pytest.raises(ModuleNotFoundError, match=re.escape(f"fastbp.{name}")):
        importlib.import_module(f"fastbp.{name}")


def test_the_finder_looks_at_these_names_only():
    (finder,) = [f for f in sys.meta_path if type(f) is namespaces._Finder]
    assert finder.find_spec("scipy.optimize") is None
    assert finder.find_spec("fastbp.sparse") is None
