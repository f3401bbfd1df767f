"""Traces of expressions, and the programs that they become."""

import numpy as np
import pytest

import fastbp as bp
from fastbp._core import loops, replay
from fastbp._core.program import Trace, compile_program

from ...harness import DTYPES, EPS

DOUBLE, FLOAT = 12, 11  # NumPy's type numbers
TYPENUM = {np.float64: DOUBLE, np.float32: FLOAT}
LENGTHS = [1, 2, 3, 7, 8, 15, 16, 17, 511, 512, 513, 1023, 1024, 1025, 5000]


def program(expression, nin, dtype=np.float64):
    """Compile an expression, or several, of `nin` inputs."""
    trace = Trace()
    out = expression(*[trace.input() for _ in range(nin)])
    return compile_program(
        trace, [trace.lift(x) for x in (out if isinstance(out, tuple) else (out,))], TYPENUM[dtype]
    )


needs_loops = pytest.mark.skipif(
    not loops.has_loop(np.add, "f8"), reason="NumPy's inner loops are not used here"
)

EXPRESSIONS = {
    "one instruction": (np.tanh, 1),
    "an operator": (lambda x, y: x * y, 2),
    "a constant": (lambda x: 2.0 * x + 1, 1),
    "constant only": (lambda x: 3.0, 1),
    "an input": (lambda x, y: y, 2),
    "several outputs": (lambda x, y: (x + y, x - y, x * y), 2),
    "one output twice": (lambda x: (np.sin(x), np.sin(x), x, x), 1),
    "a long chain": (lambda x: np.sin(np.cos(np.tanh(np.exp(-x * x) + x) * x) - x), 1),
    "many temporaries": (
        lambda x, y: (x + y) * (x - y) + (x * x + y) * (y * y - x) - (x + 1) * (y + 1),
        2,
    ),
    "where": (lambda x, y: np.where(x > y, x * x, y - 1.0), 2),
    "where of a constant": (lambda x: np.where(x > 0.0, 0.5, -x), 1),
    "masks": (lambda x, y: ((x > 0.0) & (y <= 0.5)) | (x == y), 2),
    "not": (lambda x: (x != 0.0) * x, 1),
    "three inputs": (lambda x, y, z: np.minimum(np.maximum(x, y), z), 3),
    "common parts": (lambda x: np.exp(x) * np.exp(x) + np.exp(x), 1),
    "power": (lambda x, y: np.power(np.abs(x) + 0.5, y), 2),
}


SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -2.5]
# What few elements need no call for.
FEW = {
    "arithmetic": (lambda x, y, z: ((x + y) * z - x, x / y, -z, x * x + z * z), 3),
    "numbers": (lambda x: ((2.0 * x + 1.0) * 0.5 - x, 3.0 / x, x - 3.0), 1),
    "where": (lambda x, y, z: np.where(x > y, y, z), 3),
    "a strong zero": (lambda g, p: g.trace.call("mulz", g, p), 2),
    "and a sum": (lambda x, g, p: g.trace.call("mulz_add", x, g, p), 3),
    "beside a call": (lambda x, y: np.tanh(x * y) * x + np.tanh(y), 2),
}


def assert_same_bits(found, expected):
    np.testing.assert_array_equal(found, expected)
    defined = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[defined]), np.signbit(expected[defined]))


@needs_loops
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FEW)
def test_few_elements_are_those_of_many(name, dtype, rng):
    f, nin = FEW[name]
    run = program(f, nin, dtype)
    assert run.few > 1
    inputs = rng.standard_normal((nin, 64)).astype(dtype)
    for k, x in enumerate(inputs):
        x[rng.permutation(64)[: 3 * len(SPECIAL)]] = SPECIAL * 3
        assert np.isnan(x).any(), k
    with np.errstate(all="ignore"):
        expected = run(*inputs)
        for n in range(1, 20):
            for first in (0, 7, 40):
                found = run(*[x[first : first + n] for x in inputs])
                for one, all_of_it in zip(found, expected, strict=True):
                    assert_same_bits(one, all_of_it[first : first + n])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["mulz", "mulz_add"])
@pytest.mark.parametrize("n", [1, 9, 16])
def test_few_elements_count_zeros_that_meet_what_is_not_finite(n, name, dtype):
    nin = 2 if name == "mulz" else 3
    run = program(lambda *xs: xs[0].trace.call(name, *xs), nin, dtype)
    for factor, met in ((2.0, False), (np.inf, True), (np.nan, True)):
        x, g, p = np.ones(n, dtype), np.zeros(n, dtype), np.ones(n, dtype)
        p[n // 2] = factor
        before = replay.strong_zeros_met()
        found = run(*(x, g, p)[3 - nin :])[0]
        np.testing.assert_array_equal(found, x if nin == 3 else g)
        assert (replay.strong_zeros_met() != before) == met


@needs_loops
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXPRESSIONS)
def test_a_program_computes_its_expression(name, dtype, rng):
    f, nin = EXPRESSIONS[name]
    run = program(f, nin, dtype)
    assert run is not None
    for n in LENGTHS:
        xs = [rng.uniform(-2, 2, n).astype(dtype) for _ in range(nin)]
        expected = f(*xs)
        found = run(*xs)
        expected = expected if isinstance(expected, tuple) else (expected,)
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert a.dtype == dtype
            np.testing.assert_allclose(
                a, np.broadcast_to(b, n), rtol=16 * EPS[a.dtype], atol=8 * EPS[a.dtype]
            )


def some_arithmetic(rng, inputs):
    """Return values of random sums, differences, products and squares, of inputs and numbers."""
    values = [*inputs, 2.0, -0.5]
    made = []
    for _ in range(rng.integers(2, 12)):
        a, b = (values[k] for k in rng.integers(0, len(values), 2))
        function = rng.choice([np.add, np.subtract, np.multiply, np.square])
        if isinstance(a, float) and (function is np.square or isinstance(b, float)):
            continue
        made.append(function(a) if function is np.square else function(a, b))
        values.append(made[-1])
        if rng.random() < 0.7:
            values += [made[-1]] * 3  # mostly the newest is used
    chosen = sorted(set(rng.integers(0, len(made), 3).tolist())) if made else []
    return [made[k] for k in chosen]


@needs_loops
@pytest.mark.parametrize("dtype", DTYPES)
def test_arithmetic_is_rounded_as_one_operation_after_the_other(dtype, rng):
    for seed in range(150):
        choices = np.random.default_rng(seed)
        operands = rng.standard_normal((4, 777)).astype(dtype)
        operands[rng.random(operands.shape) < 0.02] = np.inf
        trace = Trace()
        outputs = some_arithmetic(choices, [trace.input() for _ in range(4)])
        if not outputs:
            continue
        compiled = compile_program(trace, outputs, TYPENUM[dtype])
        with np.errstate(all="ignore"):
            expected = some_arithmetic(np.random.default_rng(seed), list(operands))
        for n in (17, 33, 777):
            for actual, x in zip(compiled(*operands[:, :n]), expected, strict=True):
                np.testing.assert_array_equal(actual, x[:n])


def test_equal_parts_are_computed_once():
    trace = Trace()
    x = trace.input()
    np.exp(x) * np.exp(x) + np.exp(x)
    assert [f for f, _ in trace.code] == ["input", np.exp, np.multiply, np.add]


def test_a_trace_knows_what_its_values_depend_on():
    trace = Trace()
    x, y = trace.input(), trace.input()
    z = x * 2.0 + 1.0
    assert trace.depends(z) == {0}
    assert trace.depends(z * y) == {0, 1}
    assert trace.depends(trace.lift(3.0)) == set()
    assert trace.constant(trace.lift(3)) == 3.0
    assert trace.constant(z) is None


def test_an_expression_cannot_branch_or_reduce():
    x = Trace().input()
    for bad in (
        lambda: bool(x > 0.0),
        lambda: np.sum(x),
        lambda: np.add.reduce(x),
        lambda: np.exp(x, where=True),
        lambda: np.where(x),
    ):
        with pytest.raises(TypeError):
            bad()


def test_a_program_that_does_not_fit_is_refused_not_truncated():
    """Too many values are alive at once: the caller falls back to NumPy."""

    def wide(x):
        parts = [np.sin(x * k) for k in range(1, 60)]
        total = parts[0]
        for part in parts[1:]:
            total = total * part
        return total

    assert program(wide, 1) is None
    op = bp._core.graph.Op("wide", wide, nin=1, partials=(lambda z, x: wide(x),))
    x = np.linspace(0.5, 1.0, 5)
    np.testing.assert_allclose(bp.elementwise_grad(op)(x), wide(x))


@needs_loops
def test_a_program_refuses_operands_that_do_not_fit():
    run = program(lambda x, y: x + y, 2)
    for bad in ((np.ones(3),), (np.ones(3), np.ones(4)), (np.ones(3),) * 3):
        with pytest.raises(ValueError, match="2 arrays of one length"):
            run(*bad)


@pytest.mark.parametrize("function", [np.matmul, np.vecdot])
def test_a_generalised_ufunc_is_no_instruction(function):
    """Its loop takes other steps: calling it as an elementwise one would read anywhere."""
    trace = Trace()
    x, y = trace.input(), trace.input()
    assert compile_program(trace, [trace.call(function, x, y)], DOUBLE) is None


def test_one_element_is_computed_as_many_are():
    special = [0.0, -0.0, 1.5, -2.25, np.inf, -np.inf, np.nan, 5e-324, 1e308]
    x, y = (v.reshape(-1) for v in np.meshgrid(special, special))
    trace = Trace()
    a, b = trace.input(), trace.input()
    outputs = [
        a + b, a - b, a * b, a / b, -a, trace.call(np.square, a), trace.call("mulz", a, b),
        trace.call("select", a, b, a * 2.0), np.exp(trace.call("mulz", b, a)) - b,
    ]  # fmt: skip
    program = compile_program(trace, outputs, np.dtype(float).num)
    strong = compile_program(
        (one := Trace()), [one.call("mulz", one.input(), one.input())], np.dtype(float).num
    )
    for k in range(x.size):
        before = replay.strong_zeros_met()
        (found,) = strong(x[k : k + 1], y[k : k + 1])
        undefined = (x[k] == 0.0 and not np.isfinite(y[k])) or np.isnan(found[0])
        assert (replay.strong_zeros_met() != before) == undefined
    with np.errstate(all="ignore"):
        many = program(x, y)
        for k in range(x.size):
            for one, all_of_them in zip(program(x[k : k + 1], y[k : k + 1]), many, strict=True):
                np.testing.assert_array_equal(one[0], all_of_them[k])
                if not np.isnan(one[0]):
                    assert np.signbit(one[0]) == np.signbit(all_of_them[k])
