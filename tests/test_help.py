"""What ``help()`` shows first, and what a wrong name is told."""

import inspect
import pydoc
import re

import pytest

import fastbp as bp
import fastbp.numpy as bnp

SCREEN = 45  # lines


def shown(x):
    return pydoc.render_doc(x, renderer=pydoc.plaintext)


def test_the_package_starts_with_one_screen_that_names_what_there_is():
    text = shown(bp)
    first = text[: text.index("PACKAGE CONTENTS")]
    assert len(first.splitlines()) <= SCREEN
    lines = inspect.getdoc(bp).splitlines()
    assert max(map(len, lines)) <= 100
    for name in (*bp._SUBMODULES, "errors"):
        (line,) = [line for line in lines if line.startswith(f"fastbp.{name} ")]
        assert len(line.split()) > 1
    named = set(re.findall(r"`(\w+)`", first))
    assert named <= set(bp.__all__)
    assert set(bp.__all__) - named == {"errors", "matmul_vjp"}


def test_the_package_shows_no_operators():
    assert "__add__" not in shown(bp)
    assert "Variable" in dir(bp)


def test_variables_say_in_words_what_they_do_before_their_operators():
    text = shown(bp.Variable)
    before = text[: text.index("__abs__")]
    for word in ("Operators", "Methods", "Functions", "x.value", "assignment"):
        assert word in before


@pytest.mark.parametrize("name", [n for n in bp.__all__ if n != "errors"])
def test_functions_explain_their_parameters(name):
    f = getattr(bp, name)
    try:
        parameters = inspect.signature(f).parameters
    except ValueError:  # compiled without a signature
        return
    text = inspect.getdoc(f)
    described = text[text.index("Parameters\n---") : text.index("Returns\n---")]
    for parameter in parameters:
        assert re.search(rf"(^|, |\*){parameter}\b.*( :|$)", described, re.MULTILINE), parameter
    assert "Examples\n---" in text


@pytest.mark.parametrize("name", ["tanh", "abs", "sum", "linalg.inv", "concatenate"])
def test_functions_of_numpy_say_that_they_are_differentiable(name):
    f = bnp
    for part in name.split("."):
        f = getattr(f, part)
    text = shown(f)
    assert "Differentiable" in text
    assert ">>>" not in text  # NumPy's examples show NumPy's results


@pytest.mark.parametrize(
    "name", ["numpy.tanhh", "numpy.linalg.innv", "scipy.special.erff", "scipy.x"]
)
def test_a_wrong_name_is_told_where_it_was_looked_for(name):
    *path, last = name.split(".")
    module = bp
    for part in path:
        module = getattr(module, part)
    with pytest.raises(
        AttributeError, match=rf"^module 'fastbp\.{'.'.join(path)}' has no attribute"
    ):
        getattr(module, last)


def test_what_numpy_says_of_its_old_names_stays():
    with pytest.raises(AttributeError, match=r"removed in the NumPy 2\.0 release"):
        bnp.float_  # noqa: B018
