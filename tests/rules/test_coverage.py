"""The page of coverage says what becomes of a Variable in every public function."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest

import fastbp as bp
from fastbp._core.graph import Variable
from fastbp.rules import coverage
from fastbp.rules.table import load_all

from .. import versions

PAGE = Path(__file__).parents[2] / "docs" / "coverage.md"
X = np.array([0.3, 0.6, 0.7, 0.45])
M = np.array([[2.0, 0.3], [0.3, 1.0]])
# Calls with a Variable first; what a function does not take it refuses itself.
CALLS = [(X,), (M,), (X[0],), (X, 2), (X, X), (M, X[:2])]
# Do nothing with numbers, or look at dtypes, shapes, names and counts only.
OF_NO_NUMBERS = set(
    "bmat get_include info iterable mintypecode print* *printoptions set* get* register* show* "
    "skip* test typename load save* from*".split()
)
# Plain numbers come out, and nothing is lost: of one element, or flat between jumps.
FLAT = {
    "scipy.signal.group_delay": "frequencies, beside delays that older SciPy records",
    "scipy.signal.kaiser_beta": "0 for attenuations below 21 dB",
    "scipy.stats.quantile_test": "counts",
    "scipy.stats.tiecorrect": "ranks",
    "scipy.stats.cumfreq": "counts",
    "scipy.integrate.newton_cotes": "with equal=, of the count of places alone",
}


def rows():
    """Return what the page says as a dictionary: (module, function) to its kind."""
    load_all()
    found, module, kind = {}, None, None
    kinds = {title: key for key, title in coverage.TITLES.items()}
    for line in PAGE.read_text().split("\n## ", 1)[1].splitlines():
        head = re.match(r"(?:## )?`([a-z.]+)`$", line)
        title = re.match(r"([A-Z][a-z ]+) \(\d+\):", line)
        if head:
            module = head[1]
        elif title:
            kind = kinds[title[1]]
            for name in re.findall("`([^`]+)`", line):
                found[module, name] = kind
        elif line.startswith("* `"):
            found[module, line.split("`")[1]] = kind
    return found


@versions.only(coverage.VERSIONS, "the page")
def test_the_page_is_the_tables():
    assert PAGE.read_text() == coverage.page()


def test_the_page_holds_for_what_is_installed():
    """What is missing came later, or is gone; what else there is has no rule."""
    page = rows()
    assert len(page) > 900
    found = {
        (module, name): coverage.kind(module, name)
        for module in coverage.NAMESPACES
        for name in coverage.functions(module)
    }
    assert found == {key: page.get(key, "without a rule") for key in found}
    missing = {".".join(key) for key in page.keys() - found.keys()}
    later = {
        name for name, since in coverage.SINCE.items() if not versions.has(_release(name, since))
    }
    gone = {name for name, until in coverage.GONE.items() if versions.has(_release(name, until))}
    assert missing == later | gone


def _release(name, version):
    return f"{name.split('.')[0]} {version}"


def unruled(module):
    load_all()
    for name, f in coverage.functions(module).items():
        known = any(re.fullmatch(p.replace("*", ".*"), name) for p in OF_NO_NUMBERS)
        is_distribution = hasattr(f, "rvs") or hasattr(f, "support")
        if coverage.kind(module, name) == "without a rule" and not (known or is_distribution):
            yield name, f


def leaves(x):
    return [y for item in x for y in leaves(item)] if isinstance(x, (tuple, list)) else [x]


@pytest.mark.parametrize("module", coverage.NAMESPACES)
def test_no_function_loses_a_derivative_in_silence(module):
    lost = []
    for name, f in unruled(module):
        if f"{module}.{name}" in FLAT:
            continue
        for args in CALLS:
            if module == "scipy.ndimage" and not args[0].ndim:
                continue  # an image has axes: SciPy 1.13 divides by their number
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found = f(bp.variable(np.asarray(args[0])), *args[1:])
            except Exception:  # refused, or a call that the function does not take
                continue
            plain = [y for y in leaves(found) if not isinstance(y, Variable)]
            if any(getattr(y, "dtype", np.dtype(bool)).kind in "fcO" for y in plain):
                lost.append((name, len(args), [type(y).__name__ for y in plain]))
                break
    assert not lost
