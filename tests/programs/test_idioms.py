"""What a NumPy user writes without thinking, line by line.

Every line of `idioms` is run with plain NumPy, with ``import fastbp.numpy as np``, and with plain
NumPy under `bp.unmodified`, forward and in reverse, against differences of the line itself. Where
fastbp refuses one, its message has another line to write instead: that is taken out of the message
and run too.
"""

import collections
import dataclasses
import functools
import itertools
import math
import re
import types

import numpy
import pytest
import scipy.linalg
import scipy.signal
import scipy.special

import fastbp
import fastbp.numpy
import fastbp.scipy.special

from .idioms import LIKE, MADE, MATH, NUMBERS, PANDAS, PLAIN, REFUSED, SCIPY, WORKS

try:
    import pandas
except ImportError:
    pandas = None

X = numpy.array([0.7, 1.3, 0.4, 2.1])
A = numpy.array(
    [[2.0, 0.5, 0.1, 0.0], [0.3, 1.0, 0.2, 0.4], [0.1, -0.2, 3.0, 0.5], [0.2, 0.1, 0.6, 1.5]]
)
C = numpy.array([0.5, -1.0, 2.0, 1.5])
FRAME = pandas and pandas.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [2, 0, 1, 5]})


def function_of(line, np, last=None, names=()):
    """Compile a line to a function of x."""
    *body, value = line.split("; ")
    code = "".join(f"    {s}\n" for s in body)
    if last is not None:  # the value is named y, and what comes of it follows
        try:
            compile(value, "", "eval")
            code += f"    y = {value}\n"
        except SyntaxError:
            code += f"    {value}\n"
            code += f"    y = {value.partition(' = ')[0]}\n"
        value = last
    given = "".join(f"    {name} = {text}\n" for name, text in dict(names).items())
    namespace = {
        "np": np, "numpy": numpy, "fastbp": fastbp, "math": math, "scipy": scipy,
        "special": scipy.special, "linalg": scipy.linalg, "signal": scipy.signal,
        "functools": functools, "A": A, "c": C, "SimpleNamespace": types.SimpleNamespace,
        "Point": dataclasses.make_dataclass("Point", ["r", "phi"]),
        "df": FRAME, "Pair": collections.namedtuple("Pair", "first second"), "__name__": __name__,
    }  # fmt: skip
    exec(f"def line(x):\n{given}{code}    return {value}\n", namespace)
    return namespace["line"]


def lines(text):
    return [line.partition("  ->  ")[0] for line in text.splitlines() if line]


def instead_of(text):
    """Pairs of a line and what its message has one write."""
    made = r"\bnp\.(array|as\w*array|zeros|empty|ones|full|eye|copy|r_|c_)\b"
    pairs = []
    for entry in filter(None, text.splitlines()):
        line, _, instead = entry.partition("  ->  ")
        pairs.append((line, instead or re.sub(made, r"fastbp.numpy.\1", line)))
    return pairs


def differences(f, h=2.0**-5):
    """Derivative by central differences, extrapolated to order eight."""
    columns = []
    for e in numpy.eye(X.size):
        table = [(f(X + s * e) - f(X - s * e)) / (2 * s) for s in (h, h / 2, h / 4, h / 8)]
        for power in (4, 16, 64):
            table = [(power * b - a) / (power - 1) for a, b in itertools.pairwise(table)]
        columns.append(numpy.asarray(table[0]))
    return numpy.stack(columns, -1)


def check(f, line):
    """Compare values and derivatives in both directions with those of a plain line."""
    plain = function_of(line, numpy)
    expected = differences(plain)
    scale = max(1.0, numpy.abs(expected).max())
    for mode in ("reverse", "forward"):
        found = fastbp.jacobian(f, mode=mode)(X.copy())
        # Rounding over the smallest step.
        numpy.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * scale)
    value = fastbp.vjp(f, X.copy())[0]
    numpy.testing.assert_allclose(value, plain(X.copy()), rtol=1e-14, atol=1e-14)


def refusal_of(f):
    with pytest.raises(fastbp.errors.NoRuleError) as caught:
        fastbp.vjp(f, X.copy())
    return str(caught.value)


@pytest.mark.parametrize("line", lines(WORKS + LIKE))
def test_works_with_plain_numpy(line):
    check(function_of(line, numpy), line)


@pytest.mark.skipif(FRAME is None, reason="pandas is not installed")
@pytest.mark.parametrize("line", lines(PANDAS))
def test_frames_are_constants(line):
    f = function_of(line, numpy)
    for g in (f, function_of(line, fastbp.numpy), fastbp.unmodified(f)):
        check(g, line)


@pytest.mark.parametrize("line", lines(WORKS + LIKE + MADE))
def test_works_with_fastbp_numpy(line):
    check(function_of(line, fastbp.numpy), line)


@pytest.mark.parametrize("line", lines(WORKS + LIKE + MADE))
def test_works_unmodified(line):
    check(fastbp.unmodified(function_of(line, numpy)), line)


@pytest.mark.parametrize(("line", "instead"), instead_of(MADE))
def test_plain_numpy_says_what_to_write(line, instead):
    message = refusal_of(function_of(line, numpy))
    stems = re.findall(r"fastbp\.\w+(?:\.\w+)?", instead)
    if "import fastbp.numpy as np" not in message:  # which is another test
        assert all(stem in message for stem in stems or ["b = b + x"])
    check(function_of(instead, numpy), line)


@pytest.mark.parametrize(("line", "instead"), instead_of(MATH + SCIPY))
def test_functions_of_math_and_scipy(line, instead):
    f = function_of(line, numpy)
    assert "write " + re.search(r"(numpy|fastbp\.scipy\.\w+)\.\w+", instead)[0] in refusal_of(f)
    check(fastbp.unmodified(f), line)
    check(function_of(instead, numpy), line)


@pytest.mark.parametrize(("line", "instead"), instead_of(SCIPY))
def test_scipy_says_what_to_write(line, instead):
    f = function_of(line, numpy)
    assert "write " + re.search(r"fastbp\.scipy\.\w+\.\w+", instead)[0] in refusal_of(f)
    check(fastbp.unmodified(f), line)
    check(function_of(instead, numpy), line)


@pytest.mark.parametrize(("line", "says", "instead"), NUMBERS)
def test_numbers(line, says, instead):
    f = function_of(line, numpy)
    for g in (f, function_of(line, fastbp.numpy), fastbp.unmodified(f)):
        assert says in refusal_of(g)
    check(function_of(instead, numpy), line)


@pytest.mark.parametrize(("line", "instead"), instead_of(PLAIN))
def test_what_stays_plain_says_what_to_write(line, instead):
    f = function_of(line, numpy)
    for g in (f, function_of(line, fastbp.numpy), fastbp.unmodified(f)):
        assert re.search(r"= ?fastbp\.variable\([ab]\)", refusal_of(g))
    check(function_of(instead, numpy), line)


@pytest.mark.parametrize(("line", "instead", "names", "last"), [(*r, "y")[:4] for r in REFUSED])
def test_refused_with_a_line_that_works(line, instead, names, last):
    refused = function_of(line, numpy)
    for f in (refused, function_of(line, fastbp.numpy), fastbp.unmodified(refused)):
        assert instead in refusal_of(f)
    check(function_of(instead, numpy, last, names), line)


@dataclasses.dataclass
class Line:
    slope: object
    shift: object


ARGUMENTS = [
    (lambda x: numpy.sum(x**2), numpy.array([1, 2, 3]), numpy.array([2.0, 4.0, 6.0])),
    (lambda x: x**3, 2, 12.0),
    (lambda x: x[0] * x[1], [2.0, 3.0], [3.0, 2.0]),
    (
        lambda p: p["w"] @ p["w"] * p["b"],
        {"w": numpy.ones(2), "b": 3.0},
        {"w": numpy.full(2, 6.0), "b": 2.0},
    ),
    (
        lambda p: numpy.sum(p.slope * 2.0 + p.shift),
        Line(numpy.ones(3), 1.0),
        Line(numpy.full(3, 2.0), 3.0),
    ),
    (
        lambda p: numpy.sum(p["w"]) ** p["n"] if p["on"] and p["name"] == "sum" else 0.0,
        {"w": numpy.ones(3), "n": 2, "on": True, "name": "sum"},
        {"w": numpy.full(3, 6.0), "n": None, "on": None, "name": None},
    ),
]


@pytest.mark.parametrize(("f", "given", "expected"), ARGUMENTS)
def test_arguments(f, given, expected):
    found = fastbp.grad(f)(given)
    assert type(found) is type(expected) or numpy.isscalar(found)
    a, b = (x.__dict__ if isinstance(x, Line) else x for x in (found, expected))
    numpy.testing.assert_equal(a, b)


def test_there_are_enough():
    assert len(lines(WORKS + LIKE + MADE + PLAIN)) + len(REFUSED) > 190
