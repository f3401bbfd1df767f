"""The page of what is not differentiable says what the tables say, and its lines work."""

import ast
import importlib
import operator
import re
from pathlib import Path

import numpy
import pytest
import scipy.linalg
import scipy.special

import fastbp
import fastbp.scipy.special
from fastbp._core.graph import Variable
from fastbp.rules import coverage, gaps, refusals

from .. import versions

PAGE = Path(__file__).parents[2] / "docs" / "not_differentiable.md"
# Its elements are equal numbers, which differences part.
WORDS_ALONE = {"numpy.intersect1d"}

X = numpy.array([0.7, 1.3, 0.4, 2.1])
M = numpy.array([[2.0, 0.5, 0.1], [0.3, 1.0, 0.2], [0.4, -0.2, 3.0]])
B = numpy.array([1.0, -0.5, 2.0, 0.3])


def writes(name, *args):
    """Return the case of a function that writes into its first argument."""

    def expected(x):
        b = B.copy()
        operator.attrgetter(name)(numpy)(b, *[x if a == "x" else a for a in args])
        return b

    return {"expected": expected, "dots": ", ".join(map(str, args)), "b": B}


# By name: what the line is run with beside x, `expected`, what the function itself computes of an
# array, and `dots`, what stands for "..." in the line.
CASES = {
    "numpy.lib.stride_tricks.as_strided": {
        "expected": lambda x: numpy.lib.stride_tricks.as_strided(x, (3, 2), 2 * x.strides),
        "dots": "2",
    },
    "scipy.special.legendre_p": {
        "expected": lambda x: scipy.special.eval_legendre(3, x),
        "dots": "3",
    },
    "numpy.matrix": {"expected": lambda x: numpy.atleast_2d(x)},
    "numpy.nditer": {"expected": lambda x: numpy.array([float(v) for v in numpy.nditer(x)])},
    "numpy.add.at": writes("add.at", [0, 2, 0, 1], "x"),
    "numpy.subtract.at": writes("subtract.at", [0, 2, 0, 1], "x"),
    "numpy.copyto": writes("copyto", "x"),
    "numpy.place": writes("place", [True, False, True, True], "x"),
    "numpy.put": writes("put", [3, 0, 1, 2], "x"),
    "numpy.putmask": writes("putmask", [True, False, True, True], "x"),
    "numpy.fill_diagonal": {
        "expected": lambda x: (b := numpy.ones((4, 4)), numpy.fill_diagonal(b, x))[0],
        "dots": "x",
        "b": numpy.ones((4, 4)),
    },
    "numpy.put_along_axis": {
        "expected": lambda x: (
            b := B.copy(),
            numpy.put_along_axis(b, numpy.array([1, 0, 3, 2]), x, 0),
        )[0],
        "dots": "numpy.array([1, 0, 3, 2]), x, 0",
        "b": B,
    },
    "numpy.vectorize": {
        "f": lambda v: numpy.sin(v) * v,
        "expected": numpy.vectorize(lambda v: numpy.sin(v) * v),
    },
    "numpy.logaddexp.reduce": {"axis": 0, "expected": numpy.logaddexp.reduce},
    "numpy.ndenumerate": {
        "expected": lambda x: [v for _, v in numpy.ndenumerate(x)],
        "taken": lambda pairs: [v for _, v in pairs],
    },
    "numpy.poly1d": {"p": B, "expected": lambda x: numpy.poly1d(B)(x)},
    "numpy.polynomial.Polynomial": {
        "p": B,
        "expected": lambda x: numpy.polynomial.Polynomial(B)(x),
    },
    "numpy.c_": {"dots": "x, 2 * x", "expected": lambda x: numpy.c_[x, 2 * x]},
    "numpy.r_": {"dots": "x, 0, 2 * x", "expected": lambda x: numpy.r_[x, 0, 2 * x]},
    "numpy.full": {"shape": (2, 4), "expected": lambda x: numpy.full((2, 4), x)},
    "numpy.full_like": {"a": M, "x": 0.7, "expected": lambda x: numpy.full_like(M, x)},
    "numpy.rec.fromarrays": {
        "names": "a,b,c,d",
        "expected": lambda x: x,
        "taken": lambda columns: list(columns.values()),
    },
    "numpy.fromiter": {
        "dots": "v * v for v in x",
        "expected": lambda x: numpy.fromiter((v * v for v in x), float),
    },
}
# Files get numbers; nothing is differentiated.
SAVED = {"numpy.save": numpy.load, "numpy.savetxt": numpy.loadtxt}


def value_of(code, names):
    """Run lines of Python; return the value of the last one, or what it has written into."""
    *first, last = ast.parse(code).body
    exec(compile(ast.Module(first, []), "<lines>", "exec"), names)
    if isinstance(last, ast.Assign):
        exec(compile(ast.Module([last], []), "<lines>", "exec"), names)
        return names[last.targets[0].id]
    found = eval(compile(ast.Expression(last.value), "<lines>", "eval"), names)
    return names["b"] if found is None else found


def functions_of(name):
    """Return the lines that stand for a function as functions of one array, and that array."""
    given = dict(CASES[name])
    expected, dots = given.pop("expected"), given.pop("dots", "")
    applied, more = given.pop("applied", False), given.pop("with", lambda x: {})
    taken = given.pop("taken", lambda y: y)
    of = given.pop("of", "x")
    start = given.pop("x", X)
    pieces = [code for code in gaps.code_in(name) if any(c in code for c in "([=")]
    pieces = [code.replace("...", dots) for code in pieces]
    lines = ["\n".join(pieces)] if pieces[0].startswith("b = ") else pieces

    def function(code):
        def f(x):
            names = {"numpy": numpy, "scipy": scipy, "fastbp": fastbp, **given, **more(x), of: x}
            if "b" in names:
                names["b"] = numpy.array(names["b"])
            found = value_of(code, names)
            found = taken(found(x) if applied else found)
            return fastbp.numpy.stack(found) if isinstance(found, (list, tuple)) else found

        return f

    return [function(code) for code in lines], start, expected


def test_every_entry_has_a_case():
    assert set(refusals.INSTEAD) == {*CASES, *SAVED, *WORDS_ALONE}


def test_an_entry_that_became_a_function_is_gone():
    assert [name for name in refusals.INSTEAD if refusals.counterpart(name)] == []


@pytest.mark.parametrize("name", CASES)
def test_the_line_to_write_instead_works(name):
    functions, x, expected = functions_of(name)
    for f in functions:
        value, recorded = expected(x), f(fastbp.variable(x))
        assert type(recorded) is Variable
        numpy.testing.assert_allclose(recorded.value, value, rtol=1e-12, atol=1e-14)
        fastbp.testing.check_grads(f, x, order=1)


@pytest.mark.parametrize("name", SAVED)
def test_the_line_that_writes_a_file_works(name, tmp_path):
    file = tmp_path / "x.npy"
    (code,) = gaps.code_in(name)
    exec(code, {"numpy": numpy, "x": fastbp.variable(X), "file": file})
    numpy.testing.assert_array_equal(SAVED[name](file), X)


def rows(text):
    """The lines of tables and lists, by their first word of code."""
    return {line.split("`")[1]: line for line in text.splitlines() if line[:3] in ("| `", "* o")}


def test_the_page_is_current():
    text, made = PAGE.read_text(), gaps.page()
    if versions.are(coverage.VERSIONS):
        assert text == made
        return
    found, expected = rows(text), rows(made)  # other versions have other functions
    assert found.keys() == expected.keys()
    for key, line in expected.items():
        if not key.startswith("numpy"):
            assert _named(line) == {name for name in _named(found[key]) if _is_there(key, name)}


def _named(line):
    return set(re.findall("`([^`]+)`", line))


def _is_there(module, name):
    """Whether it may be said of this version: all but functions that their module lacks."""
    if not module.startswith("scipy.") or not name.isidentifier():
        return True
    return hasattr(importlib.import_module(module), name)


def test_what_is_said_to_have_no_rule_is_refused():
    refused = 0
    for module, names in gaps.without_rule().items():
        for name in names:
            f = (
                getattr(numpy, name)
                if module == "numpy"
                else getattr(vars(numpy)[module[6:]], name)
            )
            for count in (1, 2):  # of arguments; a TypeError says that it is another one
                with pytest.raises((fastbp.errors.NoRuleError, TypeError)) as caught:
                    f(*[fastbp.variable(M)] * count)
                refused += caught.type is fastbp.errors.NoRuleError
    assert refused > 2


def test_numpy_linalg_is_whole():
    assert gaps.without_rule()["numpy.linalg"] == []
