"""Rules of users: containers, constants, keywords, checks, both modes, twice."""

import functools
from dataclasses import dataclass

import numpy as np
import pytest

import fastbp as bp
from fastbp.errors import DTypeError, NoRuleError, ReadOnlyError, ShapeError

A = np.array([0.5, -1.0, 2.0])


@dataclass
class Line:
    slope: np.ndarray
    offset: float
    name: str = "line"


def plain(p, x):
    return {"y": p.slope * x["t"] + p.offset, "n": np.arange(3), "name": [p.name]}


def model(p, x):
    found = plain(p, x)
    return {"y": found["y"], "n": found["n"]}


def model_vjp(g, ans, p, x):
    assert set(g) == set(ans) == {"y", "n"}
    assert g["n"] is None
    assert p.name == "line"
    return Line(g["y"] * x["t"], np.sum(g["y"])), {"t": g["y"] * p.slope, "k": None}


def model_jvp(tangents, ans, p, x):
    dp, dx = tangents
    assert dp.name is None
    assert dx["k"] is None
    return {"y": dp.slope * x["t"] + p.slope * dx["t"] + dp.offset, "n": None}


RULES = {
    "both": {"vjp": model_vjp, "jvp": model_jvp},
    "vjp": {"vjp": model_vjp},
    "jvp": {"jvp": model_jvp},
}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_containers_in_and_out(rules):
    rule = bp.custom_rule(model, **rules)

    def loss(slope, offset, t, call=rule):
        found = call(Line(slope, offset), {"t": np.sin(t), "k": 7})
        assert found["n"].dtype.kind == "i"
        return np.sum(found["y"] ** 3)

    args = (A, 0.3, A[::-1].copy())
    bp.testing.check_grads(loss, args, order=3)
    for k in range(3):
        expected = bp.grad(loss, argnums=k)(*args, call=model)
        np.testing.assert_allclose(bp.grad(loss, argnums=k)(*args), expected, rtol=1e-13)
    value = rule(Line(A, 0.3), {"t": A, "k": 7})
    np.testing.assert_array_equal(value["y"], A * A + 0.3)


def test_one_container_may_be_returned_alone():
    def f(p):
        return p[0] * np.sin(p[1])

    def vjp(g, ans, p):
        return (g * np.sin(p[1]), g * p[0] * np.cos(p[1]))

    for rule in (
        bp.custom_rule(f, vjp=vjp),
        bp.custom_rule(f, vjp=lambda *args: (vjp(*args),)),
        bp.custom_rule(f, vjp=lambda *args: [vjp(*args)]),
    ):
        bp.testing.check_grads(rule, ((A, A + 1.0),))


@pytest.mark.parametrize("many", [1, 40])
def test_as_many_leaves_as_there_are(many):
    rule = bp.custom_rule(
        lambda p: sum(k * x**2 for k, x in enumerate(p)),
        vjp=lambda g, ans, p: [[2 * k * x * g for k, x in enumerate(p)]],
    )
    p = [A + k for k in range(many)]
    for k, g in enumerate(bp.grad(lambda p: np.sum(rule(p)))(p)):
        np.testing.assert_allclose(g, 2 * k * p[k])


def scaled(kind, x, power, *, factor=1.0):
    assert kind in {"a", "b"}
    assert isinstance(power, int)
    return factor * (x**power if kind == "a" else x)


def scaled_vjp(g, ans, kind, x, power, *, factor=1.0):
    return factor * g * (power * x ** (power - 1) if kind == "a" else 1.0)


@pytest.mark.parametrize("constant", [("kind", "power"), [0, 2], (0, "power")])
def test_constants_go_through_as_they_are(constant):
    rule = bp.custom_rule(scaled, vjp=scaled_vjp, constant=constant, check=("a", A, 3))
    bp.testing.check_grads(lambda x: rule("a", x, 3, factor=2.0), A, order=3)
    np.testing.assert_array_equal(bp.grad(lambda x: np.sum(rule("b", x, 3)))(A), 1.0)
    np.testing.assert_array_equal(bp.grad(lambda x: np.sum(rule("b", power=3, x=x)))(A), 1.0)
    assert rule("a", 2.0, 3) == 8.0


def test_a_recorded_constant_is_refused():
    rule = bp.custom_rule(lambda x, n: x * n, vjp=lambda g, ans, x, n: g * n, constant="n")
    with pytest.raises(DTypeError, match=r"argument 1 is one of constant=.*stop_gradient"):
        bp.grad(lambda x: rule(x, x))(2.0)
    assert bp.grad(lambda x: rule(x, bp.stop_gradient(x)))(2.0) == 2.0


def test_arguments_by_keyword_have_derivatives():
    rule = bp.custom_rule(lambda x, y: x * y, vjp=lambda g, ans, x, y: (g * y, g * x))
    assert bp.grad(lambda y: rule(3.0, y=y))(2.0) == 3.0
    assert bp.grad(lambda y: rule(y=y, x=4.0))(2.0) == 4.0
    only = bp.custom_rule(lambda x, *, k: x * k, vjp=lambda g, ans, x, k: g * k)
    with pytest.raises(DTypeError, match=r"k= has no derivative, but depends on .*by position"):
        bp.grad(lambda y: only(3.0, k=y))(2.0)


@pytest.mark.parametrize(
    ("constant", "error", "match"),
    [
        ("m", ValueError, "constant='m' is no positional argument of the function, which has x, n"),
        (-1, ValueError, "counted from 0"),
        (1.5, TypeError, "not iterable|positions or names"),
        ([True], TypeError, "positions or names"),
    ],
)
def test_bad_constants_are_refused(constant, error, match):
    with pytest.raises(error, match=match):
        bp.custom_rule(lambda x, n: x, vjp=lambda g, ans, x, n: g, constant=constant)


def test_a_wrong_rule_is_found_when_it_is_made():
    def made(**rules):
        return bp.custom_rule(lambda x, n: x**n, constant=1, check=(A, 3), name="power", **rules)

    with pytest.raises(AssertionError, match="custom_rule: power: f, mode rev against differences"):
        made(vjp=lambda g, ans, x, n: g * n * x**n)
    with pytest.raises(AssertionError, match="custom_rule: power: f, mode fwd against differences"):
        made(jvp=lambda ts, ans, x, n: -ts[0] * n * x ** (n - 1))
    with pytest.raises(AssertionError, match="custom_rule: power: f, mode fwd"):
        made(
            vjp=lambda g, ans, x, n: g * n * x ** (n - 1),
            jvp=lambda ts, ans, x, n: 1.001 * ts[0] * n * x ** (n - 1),
        )
    made(vjp=lambda g, ans, x, n: g * n * x ** (n - 1))


def test_cotangents_of_another_structure_are_refused():
    for found, match in [
        ({"a": 1.0}, r"the cotangent of argument 0 has the keys \['a'\]"),
        ((1.0, 2.0), "the cotangent of argument 0 is a tuple where the structure has a dict"),
    ]:
        rule = bp.custom_rule(
            lambda p: p["a"] * p["b"], vjp=lambda g, ans, p, found=found: (found,)
        )
        with pytest.raises(ShapeError, match=match):
            bp.grad(rule)({"a": 1.0, "b": 2.0})
    rule = bp.custom_rule(lambda p, x: p["a"] * x, vjp=lambda g, ans, p, x: (g,))
    with pytest.raises(ShapeError, match="vjp returned 1 cotangents for 2 arguments"):
        bp.grad(rule)({"a": 1.0}, 2.0)


def test_none_is_a_zero():
    rule = bp.custom_rule(lambda p, x: p["a"] * 1.0, vjp=lambda g, ans, p, x: ({"a": g}, None))
    assert bp.grad(lambda x: rule({"a": 2.0 * x}, x))(3.0) == 2.0
    rule = bp.custom_rule(lambda p: p["a"] + p["b"], vjp=lambda g, ans, p: {"a": g, "b": None})
    assert bp.grad(lambda x: rule({"a": x, "b": x}))(3.0) == 1.0


def test_complex_results_of_containers():
    rule = bp.custom_rule(
        lambda p: {"z": p["z"] ** 2},
        vjp=lambda g, ans, p: {"z": 2 * p["z"] * g["z"]},
        jvp=lambda ts, ans, p: {"z": 2 * p["z"] * ts[0]["z"]},
    )
    bp.testing.check_grads(lambda z: np.abs(rule({"z": z})["z"]), np.array([1 + 2j, 0.5 - 1j]))


@pytest.mark.parametrize(
    ("f", "name", "shown"),
    [
        (np.exp, None, "<function exp>"),
        (np.exp, "other", "<function exp>"),
        (functools.partial(np.exp), "each", "<function each>"),
        (functools.partial(np.exp), None, "<function custom_rule>"),
    ],
)
def test_a_rule_shows_its_name(f, name, shown):
    rule = bp.custom_rule(f, vjp=lambda g, ans, x: g * ans, name=name)
    assert repr(rule) == shown
    assert repr(bp.grad(rule)) == f"<function grad({shown.removeprefix('<function ')[:-1]})>"


def test_a_rule_that_hides_what_it_is_given_is_no_zero():
    x = np.array([0.3, 0.5])
    plain = lambda g: np.array(getattr(g, "value", g))
    by_vjp = bp.custom_rule(np.sin, vjp=lambda g, ans, x: plain(g) * np.cos(x), name="cut")
    np.testing.assert_allclose(bp.grad(lambda x: np.sum(by_vjp(x)))(x), np.cos(x))
    with pytest.raises(NoRuleError, match="cut: it has a VJP only, from which a JVP cannot be had"):
        bp.jvp(by_vjp, (x,), (x,))
    in_part = bp.custom_rule(np.sin, vjp=lambda g, ans, x: (g + plain(g)) / 2 * np.cos(x))
    with pytest.raises(NoRuleError, match="VJP only"):
        bp.jvp(in_part, (x,), (x,))
    by_jvp = bp.custom_rule(np.sin, jvp=lambda t, ans, x: plain(t[0]) * np.cos(x))
    with pytest.raises(NoRuleError, match="JVP only, from which a VJP cannot be had"):
        bp.grad(lambda x: np.sum(by_jvp(x)))(x)
    for dtype in (np.float32, np.float64, np.complex128):
        z = x.astype(dtype)
        honest = bp.custom_rule(np.sin, vjp=lambda g, ans, x: g * np.cos(x))
        np.testing.assert_allclose(bp.jvp(honest, (z,), (z,))[1], z * np.cos(z), rtol=1e-6)
        honest = bp.custom_rule(np.sin, jvp=lambda t, ans, x: t[0] * np.cos(x))
        np.testing.assert_allclose(bp.vjp(honest, z)[1](z)[0], z * np.cos(z), rtol=1e-6)


# ---- what functions and rules are given


def _in_place(x):
    x += 1.0
    return np.sum(x * x)


def _of_writable(x):  # as code in C that asks for an array that can be written into
    if not x.flags.writeable:
        raise ValueError("buffer source array is read-only")
    return np.sum(x * x)


def _of_writable_in_place(x):
    found = _of_writable(x)
    x += 1.0
    return found


@pytest.mark.parametrize("f", [_in_place, _of_writable_in_place])
def test_functions_do_not_write_into_what_is_recorded(f):
    rule = bp.custom_rule(f, vjp=lambda g, ans, x: (2.0 * g * x,))
    with pytest.raises(ReadOnlyError, match=rf"{f.__name__}: .* writes into its first array"):
        bp.grad(lambda x: rule(x * 1.0))(np.array([1.0, 2.0]))


@pytest.mark.parametrize("f", [lambda x: np.sum(x * x), _of_writable])
def test_rules_may_write_into_what_they_are_given(f):
    def pull(g, ans, x):
        x *= 2.0
        x *= g
        return (x,)

    def push(t, ans, x):
        t *= x
        return 2.0 * np.sum(t)

    def loss(x):
        z = x * 1.0
        return rule(z) + np.sum(z**3)

    x = np.array([1.0, 2.0])
    rule = bp.custom_rule(f, vjp=pull)
    np.testing.assert_allclose(bp.grad(loss)(x), 2.0 * x + 3.0 * x**2)
    rule = bp.custom_rule(f, jvp=lambda t, ans, x: push(t[0], ans, x))
    np.testing.assert_allclose(bp.jvp(loss, (x,), (x,))[1], np.sum(2.0 * x**2 + 3.0 * x**3))


def test_numbers_are_given_as_numbers():
    def f(x, y):
        s = y
        s += x  # numbers of NumPy's do not change
        return s * y

    rule = bp.custom_rule(f, vjp=lambda g, ans, x, y: (g * y, g * (x + 2.0 * y)))
    x = np.array([1.0, 2.0])
    for h in (f, rule):
        np.testing.assert_allclose(
            bp.grad(lambda x, h=h: h(np.sum(x), x[0]))(x), [1.0 + 3.0 + 2.0, 1.0]
        )


@pytest.mark.parametrize("f", [lambda x: x, lambda x: x[1:], lambda x: (x, x[1:])])
def test_results_may_be_views_of_what_is_given(f):
    def pull(g, ans, x):
        if isinstance(ans, tuple):
            return (g[0] + np.concatenate([[0.0], g[1]]),)
        return (g if ans.size == x.size else np.concatenate([[0.0], g]),)

    rule = bp.custom_rule(f, vjp=pull)

    def loss(x, h):
        z = x * 1.0
        y = h(z)
        y = y[1] if isinstance(y, tuple) else y
        y *= x[1]
        return np.sum(z) * z[1]

    x = np.array([1.0, 2.0, 3.0])
    for found, expected in zip(
        bp.value_and_grad(lambda x: loss(x, rule))(x),
        bp.value_and_grad(lambda x: loss(x, f))(x),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected)


def test_results_in_buffers_that_are_used_again():
    buffer, v = np.empty(3), np.array([0.0, 1.0, 2.0])
    rules = {
        "vjp": bp.custom_rule(np.exp, vjp=lambda g, ans, x: np.multiply(g, ans, out=buffer)),
        "jvp": bp.custom_rule(np.exp, jvp=lambda t, ans, x: np.multiply(t[0], ans, out=buffer)),
        "f": bp.custom_rule(lambda x: np.exp(x, out=buffer), vjp=lambda g, ans, x: g * ans),
    }

    def twice(x, rule):
        return rule(x) + rule(2.0 * x)

    slopes = np.exp(v) + 2.0 * np.exp(2.0 * v)
    for kind, rule in rules.items():
        f = lambda x, rule=rule: twice(x, rule)
        if kind == "jvp":
            np.testing.assert_allclose(bp.jvp(f, (v,), (np.ones(3),))[1], slopes)
            np.testing.assert_allclose(bp.jacobian(f, mode="forward")(v), np.diag(slopes))
            continue
        np.testing.assert_allclose(bp.grad(lambda x, f=f: np.sum(f(x)))(v), slopes)
        np.testing.assert_allclose(bp.jacobian(f, mode="reverse")(v), np.diag(slopes))
        found = bp.grad(lambda p, rule=rule: np.sum(rule(p["a"])) + np.sum(rule(p["b"])))(
            {"a": v, "b": 2.0 * v}
        )
        np.testing.assert_allclose(found["a"], np.exp(v))
        np.testing.assert_allclose(found["b"], np.exp(2.0 * v))


@pytest.mark.parametrize(
    "results", [lambda y: (y, y), lambda y: (y, y[:2]), lambda y: {"a": y, "b": y[::-1]}]
)
def test_results_in_the_same_memory_are_refused(results):
    rule = bp.custom_rule(lambda x: results(x**2), vjp=lambda g, ans, x: 2.0 * x * g[0])
    with pytest.raises(NoRuleError, match="results 0 and 1 of the function are in the same memory"):
        bp.grad(lambda x: np.sum(rule(x)[0]))(np.ones(3))


def test_a_result_that_is_the_argument_keeps_its_rule():
    reversal = bp.custom_rule(lambda x: x, vjp=lambda g, ans, x: -g)
    v = np.array([1.0, 2.0, 3.0])

    def written(h):
        h = h * 1.0
        y = reversal(h)
        y *= 2.0
        return np.sum(y) + np.sum(h)

    def part_written(h):
        h = h * 1.0
        y = reversal(h)[1:]
        y += 1.0
        return np.sum(h)

    def source_written(h):
        h = h * 1.0
        y = reversal(h)
        h *= 2.0
        return np.sum(y)

    np.testing.assert_allclose(bp.grad(written)(v), [-4.0, -4.0, -4.0])
    np.testing.assert_allclose(bp.grad(part_written)(v), [1.0, -1.0, -1.0])
    with pytest.raises(ReadOnlyError, match="let the function return a copy"):
        bp.grad(source_written)(v)


def test_a_rule_without_return_is_no_rule_of_zeros():
    def double(x):
        return 2.0 * x

    backward = bp.custom_rule(double, vjp=lambda g, ans, x: None)
    with pytest.raises(TypeError, match=r"double: its vjp rule returned None.*\(None,\)"):
        bp.grad(lambda x: x + backward(x))(1.0)
    forward = bp.custom_rule(double, jvp=lambda t, ans, x: None)
    with pytest.raises(TypeError, match="double: its jvp rule returned None"):
        bp.jvp(forward, (1.0,), (1.0,))
    zero = bp.custom_rule(double, vjp=lambda g, ans, x: (None,))
    assert bp.grad(lambda x: x + zero(x))(1.0) == 1.0


@pytest.mark.parametrize(
    ("found", "shown"), [("text", "str"), (("text",), "str"), (np.array(["a"]), "an array of <U1")]
)
def test_a_rule_that_returns_text_is_named(found, shown):
    def double(x):
        return 2.0 * x

    backward = bp.custom_rule(double, vjp=lambda g, ans, x: found)
    with pytest.raises(DTypeError, match=f"double: its vjp rule returned {shown}, not numbers"):
        bp.grad(lambda x: np.sum(backward(x)))(np.ones(3))
    forward = bp.custom_rule(double, jvp=lambda t, ans, x: found)
    with pytest.raises(DTypeError, match=f"double: its jvp rule returned {shown}, not numbers"):
        bp.jvp(forward, (np.ones(3),), (np.ones(3),))


@pytest.mark.parametrize("transform", [bp.grad, lambda f: bp.compile(bp.grad(f))])
def test_a_function_that_computes_with_what_is_recorded_around_it_is_refused(transform):
    def f(x):
        scaled = bp.custom_rule(lambda y: {"a": np.sin(y) * x}, vjp=lambda g, ans, y: g)
        return np.sum(scaled(x)["a"])

    with pytest.raises(NoRuleError, match=r"<lambda>: the function .* give that as an argument"):
        transform(f)(np.ones(3))
