"""The reference page says what the table says."""

from pathlib import Path

import numpy as np
import pytest

from fastbp.rules import OPS
from fastbp.rules.reference import page
from fastbp.rules.table import FUNCTIONS
from fastbp.scipy import special as special_namespace

PAGE = Path(__file__).parents[1] / "docs" / "operations.md"


def rows(text):
    return {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}


def test_the_page_is_current():
    found, expected = rows(PAGE.read_text()), rows(page())
    # Older NumPy versions lack some functions, and SciPy's rows may have been loaded or not.
    known = {name for name in expected if name in found or hasattr(np, name)}
    assert {name: expected[name] for name in known} == {name: found.get(name) for name in known}


@pytest.mark.parametrize(
    "name", ["tanh", "matmul", "linalg.inv", "sum", "where", "xlogy", "logsumexp"]
)
def test_the_page_lists(name):
    assert name in rows(page())
    assert name in FUNCTIONS or name in OPS


def test_the_page_has_the_functions_of_scipy_special_apart():
    general, special = page().split("## Of `scipy.special`")
    assert set(special_namespace.__all__) <= {*rows(special)}
    assert not {"erf", "ndtr", "expit"} & {*rows(general)}
