"""What both sweeps share: zeros that are exact, warnings, and what rules may return."""

import numpy as np
import pytest

import fastbp as bp

X = np.array([0.0, 1.0])
BOTH = {
    "reverse": lambda f, x: bp.vjp(f, x)[1](np.ones_like(x))[0],
    "forward": lambda f, x: bp.jvp(f, (x,), (np.ones_like(x),))[1],
}
by_direction = pytest.mark.parametrize("direction", BOTH.values(), ids=BOTH)


@by_direction
def test_a_branch_that_was_not_taken_is_an_exact_zero(direction):
    with np.errstate(all="ignore"):
        found = direction(lambda x: np.where(x > 0, np.sqrt(x), 0.0), X)
    np.testing.assert_array_equal(found, [0.0, 0.5])


@by_direction
def test_a_zero_of_arithmetic_meets_an_infinite_slope(direction):
    with np.errstate(all="ignore"):
        found = direction(lambda x: np.sqrt(x * x), X)
    assert np.isnan(found[0])
    assert found[1] == 1.0


@by_direction
def test_derivatives_never_warn(direction):
    with np.errstate(all="raise"):
        found = direction(lambda x: 1.0 / (x + 1e-200), np.array([0.0]))
    assert found == [-np.inf]


@by_direction
def test_a_rule_may_return_its_argument_or_a_view(direction):
    same = bp.custom_rule(
        lambda x: x * 1.0, vjp=lambda g, ans, x: g[:], jvp=lambda ts, ans, x: ts[0]
    )
    np.testing.assert_array_equal(direction(lambda x: same(x) + same(x), X), [2.0, 2.0])


@by_direction
@pytest.mark.parametrize("made", [np.array([1, 2], dtype) for dtype in ("i8", "f4", ">f8")])
def test_what_a_rule_returns_is_brought_to_the_primals_dtype(direction, made):
    rule = bp.custom_rule(np.sin, vjp=lambda g, ans, x: made, jvp=lambda ts, ans, x: made)
    found = direction(rule, X)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [1.0, 2.0])
