"""`jacobian`: its modes agree, and the narrow places of a record are found."""

from itertools import pairwise

import numpy as np
import pytest

import fastbp as bp
from fastbp import block_sweeps
from fastbp._core.tape import Tape
from fastbp.errors import NoRuleError

MODES = ("auto", "reverse", "forward", "chain")


@pytest.fixture(autouse=True)
def waists_are_always_taken(monkeypatch):
    """Small functions go through their waists too."""
    monkeypatch.setattr(block_sweeps, "_EXTRA", -1e9)


def layers(rng, sizes, dtype=float):
    weights = [(rng.standard_normal((m, n)) / np.sqrt(m)).astype(dtype) for m, n in pairwise(sizes)]

    def f(x):
        for W in weights:
            x = np.tanh(x @ W)
        return x

    return f, rng.standard_normal(sizes[0]).astype(dtype)


def differences(f, x, h=1e-6):
    columns = []
    for index in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[index] = h
        columns.append((f(x + step) - f(x - step)) / (2 * h))
    return np.stack(columns, axis=-1).reshape(*np.shape(f(x)), *x.shape)


def residual(x):
    return x + np.tanh(x[::-1]) * np.sum(x)


CASES = {
    "waist": ([7, 9, 2, 8, 6], None),
    "no waist": ([3, 8, 8, 4], None),
    "equal": ([5, 5, 5], None),
    "waist at one": ([4, 1, 5], None),
    "branches": (
        None,
        lambda x: np.outer(np.sum(residual(x)) + np.zeros(3), residual(residual(x))),
    ),
    "gathered": (None, lambda x: np.exp(x[[0, 2, 2]] * x[1]) * np.ones((2, 1))),
    "matrix": (None, lambda x: np.sin(x.reshape(2, 3) @ np.ones((3, 2)) / 7).T),
    "the argument itself": (None, lambda x: x),
    "constant": (None, lambda x: np.ones((2, 2))),
}


@pytest.mark.filterwarnings("ignore::fastbp.errors.UnconnectedWarning")  # constants
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES)
def test_modes_agree_with_differences(case, mode):
    rng = np.random.default_rng(0)
    sizes, f = CASES[case]
    x = rng.standard_normal(6)
    if f is None:
        f, x = layers(rng, sizes)
    jac = bp.jacobian(f, mode=mode)(x)
    assert type(jac) is np.ndarray
    assert jac.dtype == np.float64
    np.testing.assert_allclose(jac, differences(f, x), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("mode", MODES)
def test_float32(mode):
    f, x = layers(np.random.default_rng(1), [6, 2, 6], np.float32)
    g, _ = layers(np.random.default_rng(1), [6, 2, 6])
    jac = bp.jacobian(f, mode=mode)(x)
    assert jac.dtype == np.float32
    np.testing.assert_allclose(jac, bp.jacobian(g)(x.astype(float)), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_containers(mode):
    rng = np.random.default_rng(2)
    p = {"a": rng.standard_normal(4), "b": rng.standard_normal((2, 2))}
    W = rng.standard_normal((4, 5))

    def f(p):
        narrow = np.stack([np.sum(p["a"] * p["a"]), np.prod(p["b"])])
        return {"y": np.sin(narrow @ W[:2]) @ W.T, "z": p["a"] * 2.0, "c": np.ones(3)}

    jac = bp.jacobian(f, mode=mode)(p)
    expected = bp.jacobian(f, mode="reverse")(p)
    for y, x in (("y", "a"), ("y", "b"), ("z", "a"), ("z", "b"), ("c", "a")):
        np.testing.assert_allclose(jac[y][x], expected[y][x], rtol=1e-12, atol=1e-14)
    h = 1e-6
    moved = [f({"a": p["a"], "b": p["b"] + s * np.eye(2)})["y"] for s in (h, -h)]
    along = jac["y"]["b"][:, 0, 0] + jac["y"]["b"][:, 1, 1]
    np.testing.assert_allclose(along, (moved[0] - moved[1]) / (2 * h), rtol=1e-6, atol=1e-8)


def test_a_jacobian_through_a_waist_is_differentiable():
    f, x = layers(np.random.default_rng(3), [5, 2, 4])

    def squares(mode):
        return bp.grad(lambda x: np.sum(bp.jacobian(f, mode=mode)(x) ** 2))(x)

    np.testing.assert_allclose(squares("auto"), squares("reverse"), rtol=1e-12)
    second = bp.jacobian(bp.jacobian(f))(x)
    np.testing.assert_allclose(second, bp.jacobian(bp.jacobian(f, mode="forward"))(x), atol=1e-13)


def test_chain_refuses_outer_variables():
    def outer(s):
        return np.sum(bp.jacobian(lambda x: s * x, mode="chain")(np.ones(2)))

    with pytest.raises(NoRuleError, match=r'jacobian: .*"chain"'):
        bp.grad(outer)(2.0)
    with pytest.raises(NoRuleError, match="chain"):
        bp.grad(lambda x: np.sum(bp.jacobian(np.sin, mode="chain")(x)))(np.ones(2))


def test_unknown_mode():
    with pytest.raises(ValueError, match=r"jacobian: mode must be one of auto, .*, not 'best'"):
        bp.jacobian(np.sin, mode="best")


# ---- the search for the waist


def waist_of(f, *arrays):
    inputs = [bp.variable(x) for x in arrays]
    found = Tape([f(*inputs)], inputs).waist()
    return None if found is None else found.shape


def test_where_a_waist_is():
    x, W = np.ones(6), np.ones((6, 3))
    assert waist_of(lambda x: np.exp(x @ W) @ W.T, x) == (3,)
    assert waist_of(lambda x: np.exp(x), x) is None
    assert waist_of(lambda x: x * np.sum(x), x) is None  # x goes around the sum
    assert waist_of(lambda x: np.outer(np.sum(x * x), np.ones(3)) @ W.T, x) == (1,)
    # A weight that comes in behind the narrow place does not go through it.
    assert waist_of(lambda x, w: np.sum(x) * w, x, x) is None
    assert waist_of(lambda w, x: np.exp(np.sum(np.exp(w * x)) * np.ones(6)), x, x) == ()


def test_work_of_a_product():
    x, W = bp.variable(np.ones((4, 5))), np.ones((5, 6))
    assert Tape([x @ W], [x]).work == 4 * 5 * 6 + 20 + 30 + 24


def test_auto_takes_a_waist_only_where_it_pays(monkeypatch):
    monkeypatch.undo()
    taken = []
    original = block_sweeps.by_columns
    monkeypatch.setattr(
        block_sweeps, "by_columns", lambda *a, **k: taken.append(a) or original(*a, **k)
    )
    rng = np.random.default_rng(4)
    for sizes, expected in (([200, 4, 200], 1), ([200, 190, 200], 0), ([8, 1, 8], 0)):
        f, x = layers(rng, sizes)
        bp.jacobian(f)(x)
        assert len(taken) == expected, sizes
        taken.clear()
