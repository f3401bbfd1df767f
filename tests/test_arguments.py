"""Arguments as people have them: whole numbers, lists, settings, keywords, methods."""

import functools
import math
import operator
import os
from collections import namedtuple
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from scipy import optimize

import fastbp as bp
from fastbp.errors import DTypeError, NoRuleError, ReturnedVariableError, ShapeError

W = np.array([1.0, 2.0])
MATRIX = np.matrix([[1.0]])


def square(x):
    return np.sum(x * x)


# ---- whole numbers


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint16])
def test_arrays_of_whole_numbers_are_float64(dtype):
    x = np.array([1, 2], dtype)
    found = bp.grad(square)(x)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [2.0, 4.0])
    assert x.dtype == dtype
    for jac in (bp.jacobian(np.sin)(x), bp.sparse.jacobian(np.sin, x).toarray()):
        np.testing.assert_array_equal(jac, np.diag(np.cos([1.0, 2.0])))
    np.testing.assert_array_equal(bp.hessian(square)(x), 2 * np.eye(2))
    np.testing.assert_array_equal(bp.hvp(square, x, np.array([1, 0])), [2.0, 0.0])
    value, (g,) = (lambda out, pull: (out, pull(1.0)))(*bp.vjp(square, x))
    assert (value, g.dtype) == (5.0, np.float64)
    assert bp.jvp(square, (x,), (x,)) == (5.0, 10.0)
    assert bp.tensor.derivative(np.sin, x).dtype == np.float64


@pytest.mark.parametrize("x", [3, np.int32(3), np.uint8(3)])
def test_whole_numbers_are_float64(x):
    found = bp.grad(lambda x: x**2)(x)
    assert found == 6.0
    assert type(found) is np.float64


def test_curve_fit_begins_at_whole_numbers(rng):
    t = np.linspace(0.0, 4.0, 30)
    model = lambda t, a, b, c: a * np.exp(-b * t) + c
    y = model(t, 2.5, 1.3, 0.5)

    def jac(t, *p):
        return np.stack(bp.jacobian(model, argnums=range(1, 4))(t, *p), axis=-1)

    for method in ("lm", "trf"):
        found, _ = optimize.curve_fit(model, t, y, p0=[1, 1, 1], jac=jac, method=method)
        np.testing.assert_allclose(found, [2.5, 1.3, 0.5], rtol=1e-6)


def test_solvers_begin_at_whole_numbers():
    f = lambda x: np.array([1.0, 1.0]) * x**3 - 8.0
    assert optimize.minimize(square, [1, 2], jac=bp.grad(square)).success
    for x0 in ([1, 1], np.array([1, 1])):
        found = optimize.root(f, x0, jac=bp.jacobian(f))
        np.testing.assert_allclose(found.x, 2.0)
        np.testing.assert_allclose(optimize.root(f, x0, **bp.sparse.for_root(f)).x, 2.0)
    found = optimize.newton(lambda x: x**2 - 2, 1, fprime=bp.grad(lambda x: x**2 - 2))
    np.testing.assert_allclose(found, np.sqrt(2.0))


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (True, "argument 0 is a bool"),
        (np.array([True]), r"argument 0 is a ndarray of shape \(1,\) and dtype bool"),
        ("x", "argument 0 is a str"),
        (np.array([1j], np.clongdouble), r"shape \(1,\) and dtype complex256: .*complex128"),
        (np.float16(1.0), "dtype float16: float64, float32, complex128 and complex64 can be"),
        (np.array([1.0, "a"], object), "dtype object"),
        (object(), "argument 0 is an object, not numbers"),
        ({"a": "x"}, "argument 0 holds nothing to differentiate, only str"),
        ([W, np.clongdouble(1j)], r"argument 0\[1\] .*complex256"),
        ({"a": np.matrix([[1.0]]), "b": 1.0}, r"argument 0\['a'\] is a numpy\.matrix"),
        ([np.matrix([[1]])], r"argument 0\[0\] is a numpy\.matrix"),
        ([np.ma.masked_array([1.0], [True])], r"argument 0\[0\] is a masked array"),
    ],
)
def test_what_is_not_real_numbers_is_named(x, says):
    for call in (lambda: bp.grad(square)(x), lambda: bp.vjp(square, x)):
        with pytest.raises(DTypeError, match=says):
            call()


@pytest.mark.parametrize("kind", ["grad", "jacobian", "elementwise_grad", "hessian"])
def test_results_that_are_matrices_or_no_numbers(kind):
    transform = getattr(bp, kind)
    with pytest.raises(DTypeError, match=r"the function's output is a numpy\.matrix"):
        transform(lambda x: MATRIX)(1.0)
    with pytest.raises(DTypeError, match="the function's output has dtype <U1"):
        transform(lambda x: "a")(1.0)


# ---- lists of numbers


def test_a_list_of_numbers_is_a_list_for_the_function():
    f = lambda x: x[0] ** 2 + x[1]
    for given in ([3.0, 1.0], [3, 1], [3, 1.0]):
        found = bp.grad(f)(given)
        assert found == [6.0, 1.0]
        assert all(type(g) is np.float64 for g in found)
    assert bp.grad(lambda x: square(np.stack(x)))((1.0, 2)) == (2.0, 4.0)


@pytest.mark.parametrize(
    "f", [lambda x: np.sum(x * 2.0), lambda x: x**2, lambda x: -x, lambda x: np.sum(x)]
)
def test_arithmetic_with_a_list_fails_at_its_line_with_a_note(f):
    with pytest.raises(TypeError) as caught:
        bp.grad(f)([1.0, 2.0])
    (note,) = caught.value.__notes__
    assert "argument 0 is a list of 2 numbers" in note
    assert "pass numpy.array(...)" in note
    assert os.path.basename(caught.traceback[-1].path) != "arguments.py"


def test_other_errors_have_no_note():
    with pytest.raises(TypeError) as caught:
        bp.grad(lambda x: x + "a")(1.0)
    assert not hasattr(caught.value, "__notes__")


# ---- settings


SETTINGS = {"n": 2, "on": True, "name": "x", "none": None, "f": np.sin, "at": np.array([0, 1])}


def with_settings(p):
    assert p["name"] == "x"
    assert p["n"] is SETTINGS["n"]
    assert p["at"] is SETTINGS["at"]
    return np.sum(p["f"](p["w"][p["at"]]) ** p["n"]) if p["on"] else 0.0


def test_settings_come_as_they_are_and_have_no_gradient():
    p = {"w": W, **SETTINGS}
    expected = bp.grad(lambda w: np.sum(np.sin(w) ** 2))(W)
    g = bp.grad(with_settings, unconnected="raise")(p)
    assert list(g) == list(p)
    assert [k for k, v in g.items() if v is not None] == ["w"]
    np.testing.assert_array_equal(g["w"], expected)
    (g,) = bp.vjp(with_settings, p)[1](1.0)
    np.testing.assert_array_equal(g["w"], expected)
    jac = bp.jacobian(lambda p: p["w"] * p["n"])({"w": W, "n": 3})
    assert jac["n"] is None
    np.testing.assert_array_equal(jac["w"], 3 * np.eye(2))


def test_second_derivatives_beside_settings():
    f = lambda p: np.sum(p["w"]) ** p["n"]
    p = {"w": W, "n": 2}
    h = bp.hessian(f)(p)
    np.testing.assert_array_equal(h["w"]["w"], 2 * np.ones((2, 2)))
    assert (h["n"], h["w"]["n"]) == (None, None)
    for n in (None, 0, 2, np.zeros(())):  # no direction, in any form that people have at hand
        found = bp.hvp(f, p, {"w": W, "n": n})
        np.testing.assert_array_equal(found["w"], [6.0, 6.0])
        assert found["n"] is None
    with pytest.raises(DTypeError, match=r"hvp: v\['n'\] must be None"):
        bp.hvp(f, p, {"w": W, "n": 1.0})
    with pytest.raises(ShapeError, match=r"hvp: v\['w'\] is None"):
        bp.hvp(f, p, {"w": None, "n": None})
    with pytest.raises(ShapeError, match=r"jvp: tangent 0\['w'\] has shape \(3,\)"):
        bp.jvp(f, (p,), ({"w": np.ones(3), "n": None},))


def test_a_step_along_the_gradient_leaves_settings_alone():
    p = {"w": W, "n": 2, "name": "x"}
    g = bp.grad(lambda p: np.sum(p["w"] ** p["n"]))(p)
    found = bp.tree.map(lambda x, dx: x - 0.5 * dx, p, g)
    np.testing.assert_array_equal(found.pop("w"), 0.0)
    assert found == {"n": 2, "name": "x"}


Point = namedtuple("Point", "x n")


@dataclass(frozen=True)
class Model:
    w: Any
    n: int = 2
    name: str = "model"
    scale: float = field(default=3.0, metadata={"static": True})

    def loss(self, x):
        return self.scale * np.sum((self.w * x) ** self.n)


def test_dataclasses_with_static_fields():
    g = bp.grad(Model.loss)(Model(W), np.ones(2))
    assert type(g) is Model
    assert (g.n, g.name, g.scale) == (None, None, 3.0)
    np.testing.assert_array_equal(g.w, 6 * W)
    found = bp.tree.map(operator.sub, Model(W), g)
    assert (found.n, found.name, found.scale) == (2, "model", 3.0)
    leaves, treedef = bp.tree.flatten(Model(W))
    assert len(leaves) == 3
    assert treedef.unflatten([1, 2, 3]) == Model(1, 2, 3)
    assert bp.grad(lambda p: p.x**p.n)(Point(3.0, 2)) == Point(6.0, None)


def test_whole_numbers_alone_are_differentiated():
    """Where nothing else can be meant."""
    assert bp.grad(lambda p: p["a"] ** 2 * p["b"])({"a": 3, "b": 2}) == {"a": 12.0, "b": 9.0}
    w, sizes = bp.grad(lambda p: np.sum(p[0]) * len(p[1]))((W, [3, 4]))
    np.testing.assert_array_equal(w, 2.0)
    assert sizes == [None, None]
    assert bp.grad(lambda p: p["w"][0] * p["w"][1])({"w": [2, 1.5], "n": 3}) == {
        "w": [1.5, 2.0],
        "n": None,
    }


# ---- argnums, keywords


def scaled(a, b=2.0, *rest, c=1.0):
    return np.sum(a * a) * b * c


ONCE = pytest.param(
    iter((0, 1)), marks=pytest.mark.thread_unsafe(reason="it is used up"), id="iter"
)


@pytest.mark.parametrize("argnums", [range(2), [0, 1], (0, 1), ONCE, {0: 1, 1: 0}.keys()])
def test_argnums_of_any_sequence(argnums):
    a, b = bp.grad(scaled, argnums=argnums)(W, 3.0)
    np.testing.assert_array_equal(a, 6 * W)
    assert b == 5.0


@pytest.mark.parametrize("argnums", [range(1), [0], np.int64(0), 0])
def test_a_sequence_gives_a_tuple(argnums):
    found = bp.jacobian(np.sin, argnums)(0.0)
    assert found == (1.0 if argnums == 0 else (1.0,))


def test_arguments_by_keyword():
    np.testing.assert_array_equal(bp.grad(scaled)(a=W), 4 * W)
    np.testing.assert_array_equal(bp.grad(scaled)(c=2.0, a=W, b=1.0), 4 * W)
    assert bp.grad(scaled, 1)(W, b=3.0, c=2.0) == 10.0
    np.testing.assert_array_equal(bp.grad(scaled, (1, 0))(b=3.0, a=W)[1], 6 * W)
    np.testing.assert_array_equal(bp.grad(np.sum)(a=W), 1.0)
    np.testing.assert_array_equal(bp.hessian(scaled)(a=W), 4 * np.eye(2))
    assert bp.grad(functools.partial(scaled, W))(b=3.0) == 5.0
    assert bp.value_and_grad(lambda x, y, z=1.0: x * y * z, 2)(y=2.0, x=3.0, z=4.0) == (24.0, 6.0)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: bp.grad(scaled)(), "argnums 0 for a call without positional arguments"),
        (lambda: bp.grad(scaled, 1)(W, c=2.0), "argument 1, 'b', was not given"),
        (lambda: bp.grad(scaled)(z=W), "argument 0, 'a', was not given"),
        (lambda: bp.grad(max)(x=1.0), r"argument 0 must be given by its position, in front of x="),
        (lambda: bp.grad(scaled, 2)(a=W, c=1.0), "argument 2 must be given by its position"),
    ],
)
def test_arguments_that_are_missing_are_named(call, says):
    with pytest.raises((TypeError, ValueError), match=says):
        call()


# ---- what is wrong at once


@pytest.mark.parametrize(
    "name", ["grad", "value_and_grad", "elementwise_grad", "jacobian", "hessian"]
)
def test_what_makes_no_derivative_is_refused_at_once(name):
    transform = getattr(bp, name)
    for f in (3, W, "f", None):
        with pytest.raises(TypeError, match=rf"{name}: a function is needed.*{name}\(f\)\(x\)"):
            transform(f)
    for argnums in (W, 1.0, "x", None, [0.5], np.arange(2), True, bp.variable(W)):
        with pytest.raises(TypeError, match=rf"{name}: argnums must be .* write {name}\(f\)\(x\)"):
            transform(square, argnums)
    with pytest.raises(ValueError, match="at least one argument"):
        transform(square, ())
    with pytest.raises(ValueError, match="distinct"):
        transform(square, (1, 1))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: bp.vjp(3, W), r"vjp: a function is needed, not an int: write vjp\(f, x\)"),
        (lambda: bp.vjp(square), r"vjp: at least one primal is needed: write vjp\(f, x\)"),
        (lambda: bp.jvp(3, (W,), (W,)), r"jvp: .* write jvp\(f, \(x,\), \(v,\)\)"),
        (lambda: bp.hvp(3, W, W), r"hvp: .* write hvp\(f, x, v\)"),
        (lambda: bp.sparse.jacobian(3), "jacobian: a function is needed"),
        (lambda: bp.sparse.hessian(3, W), "hessian: a function is needed"),
        (lambda: bp.testing.check_grads(3, W), "check_grads: a function is needed"),
        (lambda: bp.grad(square, 0, W), "has_aux must be True or False, not a ndarray"),
        (lambda: bp.grad(classmethod(square)), "write @classmethod above @grad"),
    ],
)
def test_and_so_are_the_others(call, says):
    with pytest.raises(TypeError, match=says):
        call()


def test_errors_name_the_function_that_the_user_called():
    for call, name in (
        (lambda: bp.hessian(lambda x: x)(W), "hessian"),
        (lambda: bp.hvp(lambda x: x, W, W), "hvp"),
        (lambda: bp.sparse.hessian(lambda x: x, W), "hessian"),
    ):
        with pytest.raises(ShapeError, match=f"^{name}: the function must return a scalar"):
            call()
    with pytest.raises(ShapeError, match=r"^hvp: v has shape \(3,\), x has shape \(2,\)"):
        bp.hvp(square, W, np.ones(3))
    with pytest.raises(DTypeError, match=r"^hvp: v is complex, x is real"):
        bp.hvp(square, W, W + 1j)
    with pytest.raises(DTypeError, match=r"^hvp: argument 0 is a str"):
        bp.hvp(square, "x", W)


def test_modes_have_two_names_everywhere():
    for mode in ("fwd", "rev", "forward", "reverse"):
        np.testing.assert_array_equal(bp.jacobian(np.sin, mode=mode)(np.zeros(2)), np.eye(2))
        found = bp.sparse.jacobian(np.sin, np.zeros(2), mode=mode)
        np.testing.assert_array_equal(found.toarray(), np.eye(2))
        bp.testing.check_grads(np.sin, W, modes=(mode,))
        bp.testing.check_grads(np.sin, W, modes=mode)
    bp.testing.check_grads(np.sin, W, modes=("forward", "rev"))


# ---- methods, partials


class Layer:
    def __init__(self):
        self.w = W

    def loss(self, x):
        return np.sum(self.w * x * x)

    slope = functools.partial(bp.grad, argnums=1)(loss)
    of_self = bp.grad(loss)
    plain = bp.grad(staticmethod(lambda x: x * x))

    @staticmethod
    @bp.grad
    def static(x):
        return x * x


def test_methods():
    layer = Layer()
    for g in (layer.slope, bp.grad(layer.loss)):
        np.testing.assert_array_equal(g(np.ones(2)), 2 * W)
    assert layer.static(3.0) == layer.plain(3.0) == Layer.plain(3.0) == 6.0
    with pytest.raises(DTypeError) as caught:
        layer.of_self(W)
    assert "argument 0 is a Layer" in str(caught.value)
    assert "functools.partial(fastbp.grad, argnums=1)" in str(caught.value)
    assert "fastbp.grad(object.loss)(x)" in str(caught.value)


def test_partials():
    g = bp.grad(functools.partial(scaled, b=3.0))
    np.testing.assert_array_equal(g(W), 6 * W)
    assert repr(g) == "<function grad(scaled)>"
    assert bp.grad(functools.partial(lambda k, x: k * x * x, 3.0))(2.0) == 12.0


# ---- printing, drawing, solving


def test_recorded_numbers_are_printed():
    x = bp.variable(2.0)
    lines = "%g %.2f" % (x, x), "%d" % x, f"{x:.3f}", f"{x}", "{:.1e}".format(x), "%s" % 1.5  # noqa: UP031, UP032
    assert lines == ("2 2.00", "2", "2.000", "2.0", "2.0e+00", "1.5")
    assert round(x, 2) == 2.0

    def f(x):
        str("%.3f" % x)  # noqa: UP031
        return x * x

    assert bp.grad(f)(3.0) == 6.0
    with pytest.raises(NoRuleError, match="float"):
        float(x)


@pytest.mark.parametrize(
    ("draw", "says"),
    [
        (lambda r, x: r.normal(loc=x), r"Generator\.normal .*loc \+ scale \* rng\.standard_normal"),
        (lambda r, x: r.normal(0.0, x, size=3), "loc"),
        (lambda r, x: r.uniform(0.0, high=x), r"low \+ \(high - low\) \* rng\.random\(size\)"),
        (lambda r, x: r.poisson(x), r"numpy\.random\.Generator\.poisson takes no Variable"),
        (lambda r, x: np.random.exponential(x), r"numpy\.random\.exponential .*standard_expon"),  # noqa: NPY002
    ],
)
def test_random_generators_say_the_reparametrised_line(rng, draw, says):
    with pytest.raises(NoRuleError, match=says):
        draw(rng, bp.variable(0.5))


def test_calls_without_a_name_are_refused_as_before():
    x = bp.variable(0.5)
    for call in (
        lambda: [math.sin][0](x),
        lambda: (lambda: math.sin)()(x),
        lambda: list(map(math.sin, [x])),
        lambda: next(math.sin(v) for v in [x]),
    ):
        with pytest.raises(NoRuleError, match=r"write numpy\.sin\(x\)"):
            call()


P = bp.variable(W)


@pytest.mark.parametrize(
    "solve",
    [
        lambda: optimize.minimize(lambda u: np.sum((u - P) ** 2), np.zeros(2)),
        lambda: optimize.least_squares(lambda u: u - P, np.zeros(2)),
        lambda: optimize.minimize_scalar(lambda u: (u - P[0]) ** 2),
        lambda: optimize.minimize(square, W, jac=bp.grad(lambda u: np.sum(u * P))),
    ],
)
def test_a_function_that_returns_a_variable_to_a_solver(solve):
    with pytest.raises(ReturnedVariableError, match=r"depends on a Variable.*custom_rule"):
        solve()


def test_a_locked_buffer_is_explained():
    def f(x):
        buffer = np.ones(2000)
        y = np.sum(buffer * x * x)
        buffer[:] = 2.0
        return y

    with pytest.raises(ValueError, match="read-only") as caught:
        bp.grad(f)(np.ones(2000))
    assert "write into a copy" in caught.value.__notes__[0]


def test_for_minimize_without_a_method_takes_scipys_default(rng):
    found = optimize.minimize(square, W, **bp.sparse.for_minimize(square))
    np.testing.assert_allclose(found.x, 0.0, atol=1e-6)
    bounds = [(1.0, 2.0)] * 2
    found = optimize.minimize(square, W, bounds=bounds, **bp.sparse.for_minimize(square))
    np.testing.assert_array_equal(found.x, 1.0)
    assert "hessp" in bp.sparse.for_minimize(square, method="trust-ncg")
