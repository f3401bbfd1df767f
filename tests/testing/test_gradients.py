"""The checker is checked: it must reject rules that are slightly wrong, and accept right ones."""

from dataclasses import dataclass

import numpy as np
import pytest

import fastbp as bp
from fastbp._core.graph import Op
from fastbp.testing import check_grads, numerical_jvp

MATRIX = np.random.default_rng(7).normal(size=(100, 100))


def rejected(f, args, match, **options):
    with pytest.raises(AssertionError, match=match):
        check_grads(f, args, **options)


# ---- wrong rules


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("factor", [1.001, 0.999, -1.0, 0.0, 2.0, np.nan])
def test_rejects_a_vjp_that_is_off_by_a_factor(factor, seed, rng):
    wrong = bp.custom_rule(
        np.sin,
        vjp=lambda g, ans, x: g * np.cos(x) * factor,
        jvp=lambda ts, ans, x: ts[0] * np.cos(x),
    )
    x = rng.normal(size=(3, 4))
    rejected(wrong, x, "mode rev", seed=seed)
    rejected(wrong, x, "mode rev", modes=("rev",), seed=seed)
    check_grads(wrong, x, order=1, modes=("fwd",), seed=seed)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("factor", [1.001, 0.999, -1.0, 0.0, 2.0, np.nan])
def test_rejects_a_jvp_that_is_off_by_a_factor(factor, seed, rng):
    wrong = bp.custom_rule(
        np.sin,
        vjp=lambda g, ans, x: g * np.cos(x),
        jvp=lambda ts, ans, x: ts[0] * np.cos(x) * factor,
    )
    x = rng.normal(size=(3, 4))
    rejected(wrong, x, "mode fwd", seed=seed)
    rejected(wrong, x, "mode fwd", modes=("fwd",), seed=seed)
    check_grads(wrong, x, order=1, modes=("rev",), seed=seed)


@pytest.mark.parametrize("modes", [("fwd", "rev"), ("fwd",), ("rev",)])
def test_rejects_two_rules_that_are_wrong_in_the_same_way(modes, rng):
    """Each the transpose of the other, neither the derivative of the function."""
    wrong = bp.custom_rule(
        np.sin,
        vjp=lambda g, ans, x: g * 1.001 * np.cos(x),
        jvp=lambda ts, ans, x: ts[0] * 1.001 * np.cos(x),
    )
    rejected(wrong, rng.normal(size=5), "differences", modes=modes)


def test_rejects_rules_that_are_not_transposes_within_the_tolerance_of_differences(rng):
    wrong = bp.custom_rule(
        np.sin,
        vjp=lambda g, ans, x: g * np.cos(x) * (1 + 1e-9),
        jvp=lambda ts, ans, x: ts[0] * np.cos(x),
    )
    rejected(wrong, rng.normal(size=5), "fwd against rev")


def test_rejects_a_transposed_rule(rng):
    square = rng.normal(size=(4, 4))
    wrong = bp.custom_rule(
        lambda x: square @ x,
        vjp=lambda g, ans, x: square @ g,
        jvp=lambda ts, ans, x: square @ ts[0],
    )
    rejected(wrong, rng.normal(size=(4, 4)), "mode rev")
    wrong = bp.custom_rule(
        lambda x: x @ square,
        vjp=lambda g, ans, x: g @ square.T,
        jvp=lambda ts, ans, x: ts[0] @ square.T,
    )
    rejected(wrong, rng.normal(size=(4, 4)), "mode fwd")


def test_rejects_a_rule_that_forgets_its_scale(rng):
    wrong = bp.custom_rule(
        lambda x: np.mean(x, axis=0), vjp=lambda g, ans, x: np.broadcast_to(g, x.shape)
    )
    rejected(wrong, rng.normal(size=(5, 3)), "mode rev")


def test_rejects_a_rule_that_forgets_to_sum(rng):
    """The cotangent of a broadcast operand, but of one row only."""
    wrong = bp.custom_rule(lambda x, y: x + y, vjp=lambda g, ans, x, y: (g, g[0]))
    rejected(wrong, (rng.normal(size=(5, 3)), rng.normal(size=3)), "mode rev")


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_rejects_a_rule_that_is_wrong_for_one_element_of_100(mode, rng):
    mask = np.ones(100)
    mask[37] = 0.0
    wrong = bp.custom_rule(
        np.sin,
        vjp=lambda g, ans, x: g * np.cos(x) * (mask if mode == "rev" else 1.0),
        jvp=lambda ts, ans, x: ts[0] * np.cos(x) * (mask if mode == "fwd" else 1.0),
    )
    rejected(wrong, rng.uniform(-1, 1, 100), f"mode {mode}")


def test_rejects_a_rule_without_the_contribution_of_one_operand(rng):
    wrong = bp.custom_rule(np.multiply, vjp=lambda g, ans, x, y: (g * y, None))
    rejected(wrong, (rng.normal(size=3), rng.normal(size=3)), "mode rev")


def test_rejects_a_wrong_partial(rng):
    wrong = Op("wrong_tanh", np.tanh, nin=1, partials=(lambda z, x: 1.0 - z,))
    rejected(wrong, rng.normal(size=(2, 3)), "mode rev")
    rejected(wrong, rng.normal(size=(2, 3)), "mode fwd", modes=("fwd",))


def test_rejects_a_derivative_lost_on_the_way(rng):
    rejected(lambda x: np.sin(x) * bp.stop_gradient(x), rng.normal(size=3), "differences")


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_rejects_a_rule_that_is_wrong_in_second_order_only(mode, rng):
    """Right as a number, but its own derivative is lost."""
    frozen = bp.custom_rule(
        np.sin,
        vjp=lambda g, ans, x: g * (bp.stop_gradient(np.cos(x)) if mode == "rev" else np.cos(x)),
        jvp=lambda ts, ans, x: (
            ts[0] * (bp.stop_gradient(np.cos(x)) if mode == "fwd" else np.cos(x))
        ),
    )
    x = rng.normal(size=3)
    check_grads(frozen, x, order=1)
    rejected(frozen, x, f"{'vjp' if mode == 'rev' else 'jvp'} of f")


def test_rejects_a_rule_that_is_wrong_in_third_order_only(rng):
    def cos(x):
        return bp.custom_rule(np.cos, vjp=lambda g, ans, x: -g * bp.stop_gradient(np.sin(x)))(x)

    late = bp.custom_rule(np.sin, vjp=lambda g, ans, x: g * cos(x))
    x = rng.normal(size=3)
    check_grads(late, x, order=2, modes=("rev",))
    rejected(late, x, "vjp of vjp of f", order=3, modes=("rev",))


def test_rejects_a_wrong_rule_in_float32(rng):
    x = rng.uniform(-1, 1, 20).astype(np.float32)
    wrong = bp.custom_rule(np.sin, vjp=lambda g, ans, x: g * np.cos(x) * np.float32(1.001))
    rejected(wrong, x, "mode rev")


def test_rejects_an_error_in_one_leaf_of_a_container(rng):
    wrong = bp.custom_rule(np.sin, vjp=lambda g, ans, x: 1.001 * g * np.cos(x))
    params = {"w": rng.normal(size=3), "b": [rng.normal(), (rng.normal(size=(2, 2)),)]}
    check_grads(lambda p: np.sin(p["w"]) * p["b"][0] + np.sum(np.sin(p["b"][1][0])), (params,))
    rejected(
        lambda p: np.sin(p["w"]) * p["b"][0] + np.sum(wrong(p["b"][1][0])), (params,), "mode rev"
    )


# ---- right rules


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("seed", range(10))
def test_accepts_right_rules(dtype, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(20, 3)).astype(dtype), rng.uniform(0.5, 2, 3).astype(dtype)
    check_grads(lambda x, y: np.tanh(x * y) / np.sqrt(y), (x, y), seed=seed)


@pytest.mark.parametrize("scale", [1e-150, 1e-6, 1e6, 1e150])
def test_the_tolerance_follows_the_scale_of_the_result(scale, rng):
    """Neither a tiny nor a huge derivative is judged by an absolute tolerance."""
    x = rng.normal(size=5)
    check_grads(lambda x: np.sin(x) * scale, x)
    wrong = bp.custom_rule(
        lambda x: np.sin(x) * scale, vjp=lambda g, ans, x: g * np.cos(x) * scale * 1.001
    )
    rejected(wrong, x, "mode rev")


def test_a_large_argument_has_a_step_of_its_size(rng):
    check_grads(lambda x: x**3, 1e8 * rng.normal(size=3))
    check_grads(lambda x: np.log(x), 1e8 * rng.uniform(1, 2, 3))


def test_accepts_a_linear_map_of_many_elements(rng):
    check_grads(lambda x: MATRIX @ x, rng.normal(size=(100, 2)))


@dataclass
class Layer:
    """A container of parameters."""

    w: np.ndarray
    b: np.ndarray


def test_accepts_nested_containers_in_and_out(rng):
    def f(layers, scale):
        outs = [np.tanh(layer.w @ np.ones(3) + layer.b) * scale for layer in layers]
        return {"first": outs[0], "rest": tuple(outs[1:]), "constant": 1.0, "none": None}

    check_grads(f, ([Layer(rng.normal(size=(2, 3)), rng.normal(size=2)) for _ in range(3)], 0.5))


def test_a_single_argument_needs_no_tuple(rng):
    check_grads(np.sin, rng.normal(size=3))
    check_grads(np.sin, 0.5)
    check_grads(lambda xs: xs[0] * xs[1], [rng.normal(size=3), rng.normal(size=3)])


@pytest.mark.parametrize("shape", [(0,), (2, 0, 3)])
def test_accepts_empty_arrays(shape):
    check_grads(lambda x: np.sin(x) * x, np.zeros(shape))
    check_grads(lambda x: np.sum(x), np.zeros(shape))


def test_accepts_outputs_that_are_constant_or_integers(rng):
    check_grads(
        lambda x: (np.sin(x), 3.0, np.argsort(x.value if type(x) is bp.Variable else x)),
        rng.normal(size=3),
    )
    check_grads(lambda x: np.ones(3), rng.normal(size=3))


def test_accepts_mixed_dtypes(rng):
    x, y = rng.normal(size=3), rng.normal(size=3).astype(np.float32)
    check_grads(lambda x, y: np.sin(x) * y, (x, y))


def test_leaves_its_arguments_alone(rng):
    x = rng.normal(size=3)
    x.flags.writeable = False
    before = x.copy()
    check_grads(lambda x: np.sin(x) * x, x)
    np.testing.assert_array_equal(x, before)


def test_is_repeatable(rng):
    calls = []

    def f(x):
        calls.append(np.array(x.value if type(x) is bp.Variable else x))
        return np.sin(x)

    x = rng.normal(size=3)
    check_grads(f, x)
    first = list(calls)
    calls.clear()
    check_grads(f, x)
    assert all(np.array_equal(a, b) for a, b in zip(first, calls, strict=True))


@pytest.mark.parametrize("order", [3, 4, 5])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_accepts_right_rules_of_high_order(order, dtype, rng):
    x, y = rng.normal(size=3).astype(dtype), rng.uniform(0.5, 2.0, 3).astype(dtype)
    a = (np.eye(3) + 0.1 * rng.normal(size=(3, 3))).astype(dtype)
    for f, args in (
        (lambda x, y: np.tanh(x * y) / np.sqrt(y), (x, y)),
        (lambda x: np.exp(x) * np.sin(x), x),
        (lambda x: x**2, x),  # the third derivative is zero
        (lambda x: (x + 1.0) - x, x),  # all are, up to rounding
        (lambda a: np.linalg.inv(a), a),
        (lambda a: np.linalg.inv(np.linalg.inv(a)), a),  # linear up to rounding
        (np.power, (y, x)),
        (np.log, 1e6 * y),
    ):
        check_grads(f, args, order=order)


def test_accepts_the_zeros_behind_a_polynomial():
    """The fourth derivative of a cubic is what rounds in the third."""
    for seed in range(30):
        a = 0.3 * np.random.default_rng(seed).normal(size=(2, 3, 3)) + np.diag([1.0, 2.0, 3.0])
        check_grads(np.linalg.det, (a,), order=4)


def test_rejects_a_derivative_that_is_lost_where_a_lower_one_is_zero():
    """Right to order two at zero, and everywhere else to any order."""

    def times(a, b):
        b = b if np.any(bp.stop_gradient(b) != 0.0) else bp.stop_gradient(b)
        return a * b

    square = bp.custom_rule(np.square, vjp=lambda g, ans, x: times(2.0 * g, x))
    check_grads(lambda x: square(x), 0.0, order=1, modes=("rev",))
    rejected(lambda x: square(x), 0.0, "vjp of f", order=2, modes=("rev",))
    cube = bp.custom_rule(lambda x: x**3, vjp=lambda g, ans, x: 3.0 * g * x * times(1.0, x))
    check_grads(lambda x: cube(x), 0.0, order=2, modes=("rev",))
    rejected(lambda x: cube(x), 0.0, "vjp of vjp of f", order=3, modes=("rev",))


# ---- spaces of directions


def spd(rng, dtype=np.float64):
    a = rng.normal(size=(3, 3))
    return (a @ a.T + 3.0 * np.eye(3)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_directions_that_are_symmetric(order, dtype, rng):
    a, x = spd(rng, dtype), rng.normal(size=3).astype(dtype)
    check_grads(np.linalg.cholesky, a, order=order, directions="symmetric")
    check_grads(
        lambda x, a: np.linalg.cholesky(a) @ x, (x, a), order, directions=(None, "symmetric")
    )
    check_grads(
        lambda p: np.linalg.cholesky(p["a"]) * p["b"],
        {"a": a, "b": a},
        order,
        directions="symmetric",
    )


def test_directions_that_a_callable_projects_on(rng):
    lower = np.tril(rng.normal(size=(3, 3))) + 3.0 * np.eye(3)
    p = np.array([0.2, 0.3, 0.5])

    def of_lower(a):
        assert not np.triu(bp.stop_gradient(a), 1).any()
        return np.linalg.cholesky(a @ a.T) * a

    def on_simplex(p):
        assert abs(np.sum(bp.stop_gradient(p)) - 1.0) < 1e-12
        return p * np.log(p)

    check_grads(of_lower, lower, 3, directions=np.tril)
    check_grads(on_simplex, p, 3, directions=lambda v: v - np.mean(v))
    with pytest.raises(AssertionError):
        check_grads(on_simplex, p, 1)
    check_grads(  # a projection of a container
        lambda q: on_simplex(q["p"]) * q["s"],
        {"p": p, "s": 2.0},
        directions=lambda v: {"p": v["p"] - np.mean(v["p"]), "s": v["s"]},
    )


def test_rejects_a_wrong_rule_along_its_directions(rng):
    wrong = bp.custom_rule(
        np.linalg.cholesky,
        vjp=lambda g, ans, a: 1.001 * bp.vjp(np.linalg.cholesky, a)[1](g)[0],
    )
    rejected(wrong, spd(rng), "mode rev", order=1, modes=("rev",), directions="symmetric")


def test_a_failure_at_a_special_matrix_hints_at_directions(rng):
    rejected(np.linalg.cholesky, spd(rng), 'directions="symmetric".*directions=numpy.tril')
    wrong = bp.custom_rule(np.sin, vjp=lambda g, ans, x: 2 * g * np.cos(x))
    with pytest.raises(AssertionError) as caught:
        check_grads(wrong, rng.normal(size=(2, 2)))
    assert "directions" not in str(caught.value)


@pytest.mark.parametrize(
    ("directions", "error", "match"),
    [
        ("skew", TypeError, 'directions are callables, "symmetric" or None'),
        (("symmetric", None), bp.errors.ShapeError, "each of the 1 arguments"),
        (lambda v: v[0], bp.errors.ShapeError, r"shape \(3,\) for an argument of shape \(3, 3\)"),
    ],
)
def test_bad_directions_are_refused(directions, error, match, rng):
    with pytest.raises(error, match=match):
        check_grads(np.linalg.cholesky, spd(rng), directions=directions)


# ---- messages


def test_a_reference_that_is_not_finite_is_named(rng):
    with np.errstate(all="ignore"):
        rejected(np.log, np.array([1e-5, 1.0]), "choose a point where f is smooth")
        rejected(np.sqrt, np.array([0.0, 1.0]), "choose a point where f is smooth", modes=("fwd",))


def test_a_failure_names_mode_both_numbers_and_tolerance(rng):
    wrong = bp.custom_rule(np.sin, vjp=lambda g, ans, x: 2 * g * np.cos(x))
    rejected(
        wrong,
        rng.normal(size=3),
        r"f, mode rev against differences: -?\d.*, expected -?\d.*tolerance \d",
    )


@pytest.mark.parametrize("options", [{"order": 0}, {"modes": ()}, {"modes": ("r",)}])
def test_bad_options_are_refused(options):
    with pytest.raises(ValueError, match="check_grads"):
        check_grads(np.sin, 1.0, **options)


def test_numerical_jvp_is_of_order_four():
    """Halving the step divides the error by 16."""

    def error(step):
        return abs(numerical_jvp(np.exp, (0.3,), (1.0,), step=step) - np.exp(0.3))

    assert 14 < error(0.2) / error(0.1) < 18


def test_numerical_jvp_of_float32_computes_in_float64():
    found = numerical_jvp(np.sin, (np.float32([0.5]),), (np.float32([1.0]),))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, np.cos([0.5]), rtol=1e-9)
