"""The reference page says what the table says."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import fastbp
from fastbp._core.graph import Op
from fastbp.rules import OPS
from fastbp.rules.reference import page
from fastbp.rules.table import FUNCTIONS, LATE
from fastbp.scipy import special as special_namespace

from ..harness import numpy_function

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def rows(text):
    return {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}


def sections(text):
    """Return the rows of each section by its title."""
    parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
    return {title: rows(part) for title, part in zip(parts[1::2], parts[2::2], strict=True)}


def test_the_page_claims_and_omits_nothing():
    found, expected = sections(PAGE.read_text()), sections(page())
    assert list(found) == list(expected)
    for title, lines in expected.items():
        gone = found[title].keys() - lines.keys()
        if "functions" in title:  # older NumPy versions lack some
            gone = {name for name in gone if numpy_function(name) is not None}
        assert gone == set(), title
        assert {name: found[title].get(name) for name in lines} == lines, title


def test_all_that_is_recorded_is_on_the_page():
    listed = set(re.findall(r"`([\w.]+)`", page()))
    assert {*FUNCTIONS, *OPS} - listed <= {f"scipy.special.{name}" for name in listed}


@pytest.mark.parametrize(
    "name", ["tanh", "matmul", "linalg.inv", "sum", "where", "xlogy", "logsumexp"]
)
def test_the_page_lists(name):
    assert name in rows(page())
    assert name in FUNCTIONS or name in OPS


def test_the_page_has_the_functions_of_scipy_special_apart():
    general, special = page().split("## Of `scipy.special`")
    listed = {name.removeprefix("scipy.special.") for name in rows(special)}
    assert set(special_namespace.__all__) <= listed
    assert not {"erf", "ndtr", "expit"} & {*rows(general)}


# Solvers, whose derivatives are not right to rounding, which the harness asks for.
TO_TOLERANCES = {"scipy.integrate.odeint", "scipy.integrate.quad"}


def test_no_operation_is_outside_of_the_table():
    """But for those that users make: `custom_rule` and `checkpoint`."""
    sources = [*Path(fastbp.__file__).parent.rglob("*.py")]
    making = {path.name for path in sources if re.search(r"\bOp\(", path.read_text())}
    assert making == {
        "checkpointing.py",
        "choosing.py",  # branches and loops are recorded for each of their calls
        "courses.py",  # and what stands behind a loop for patterns
        "custom.py",
        "odes.py",
        "primitives.py",
        "quadrature.py",
        "scanning.py",  # so are steps
        "table.py",
    }
    for module in pkgutil.walk_packages(fastbp.__path__, "fastbp."):
        if not module.name.startswith("fastbp.benchmarks"):
            found = vars(importlib.import_module(module.name)).values()
            ops = [x for x in found if type(x) is Op]
            assert {op.name for op in ops if OPS.get(op.name) is not op} <= TO_TOLERANCES
    homes = {op.info["home"] for op in OPS.values()}
    homes |= {inspect.unwrap(f).__module__ for f in FUNCTIONS.values() if hasattr(f, "__wrapped__")}
    assert homes & set(LATE) == set(LATE)
