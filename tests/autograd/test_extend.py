"""Primitives with rules of their own, in every way that autograd has to state them."""

import threading

import numpy as onp
import pytest

import fastbp as bp
import fastbp.autograd.numpy as np
from fastbp.autograd import grad, hessian, jacobian, make_jvp, make_vjp
from fastbp.autograd.core import (
    add_outgrads,
    backward_pass,
    identity_jvp,
    identity_vjp,
    primitive_jvps,
    primitive_vjps,
    sparse_add,
    sum_outgrads,
    translate_jvp,
    translate_vjp,
)
from fastbp.autograd.extend import (
    Box,
    JVPNode,
    SparseObject,
    VJPNode,
    VSpace,
    def_linear,
    defjvp,
    defjvp_argnum,
    defjvp_argnums,
    defvjp,
    defvjp_argnum,
    defvjp_argnums,
    notrace_primitive,
    primitive,
    register_notrace,
    vspace,
)
from fastbp.autograd.numpy.numpy_boxes import ArrayBox
from fastbp.autograd.numpy.numpy_vjps import unbroadcast_f
from fastbp.autograd.test_util import check_grads
from fastbp.autograd.tracer import getval, isbox, new_box, trace, trace_stack
from fastbp.errors import NoRuleError

X = onp.array([0.5, -1.0, 2.0])


def scaled():
    """A new primitive, of an array and a number, that refuses what is not plain."""

    @primitive
    def scale(x, k):
        assert isinstance(x, (onp.ndarray, float))
        assert isinstance(k, (float, int))
        return x * x * k

    return scale


def by_vjp(f):
    defvjp(
        f, lambda ans, x, k: lambda g: g * 2 * x * k, lambda ans, x, k: lambda g: np.sum(g * x * x)
    )


def by_old_defgrad(f):
    with pytest.warns(UserWarning, match=r"scale.defgrad is deprecated: write defvjp\(scale"):
        f.defgrad(lambda ans, x, k: lambda g: g * 2 * x * k)
    with pytest.warns(UserWarning, match="deprecated"):
        f.defgrad(lambda ans, x, k: lambda g: np.sum(g * x * x), argnum=1)


def by_old_defvjp(f):
    with pytest.warns(UserWarning, match="scale.defvjp is deprecated"):
        f.defvjp(lambda g, ans, vs, gvs, x, k: np.sum(g * x * x) * vs.ones(), argnum=1)
    with pytest.warns(UserWarning, match="deprecated"):
        f.defvjp(lambda g, ans, vs, gvs, x, k: g * 2 * x * k)


def by_vjp_argnum(f):
    def vjp(argnum, ans, args, kwargs):
        x, k = args
        return (lambda g: g * 2 * x * k) if argnum == 0 else lambda g: np.sum(g * x * x)

    defvjp_argnum(f, vjp)


def by_vjp_argnums(f):
    def vjp(argnums, ans, args, kwargs):
        x, k = args
        return lambda g: [(g * 2 * x * k, np.sum(g * x * x))[i] for i in argnums]

    defvjp_argnums(f, vjp)


def by_jvp(f):
    defjvp(f, lambda g, ans, x, k: g * 2 * x * k, lambda g, ans, x, k: g * x * x)


def by_jvp_argnum(f):
    def jvp(argnum, g, ans, args, kwargs):
        x, k = args
        return g * 2 * x * k if argnum == 0 else g * x * x

    defjvp_argnum(f, jvp)


def by_jvp_argnums(f):
    def jvp(argnums, gs, ans, args, kwargs):
        x, k = args
        return sum((g * 2 * x * k, g * x * x)[i] for i, g in zip(argnums, gs, strict=True))

    defjvp_argnums(f, jvp)


def by_both(f):
    by_vjp(f)
    by_jvp(f)


WAYS = [by_vjp, by_vjp_argnum, by_vjp_argnums, by_jvp, by_jvp_argnum, by_jvp_argnums, by_both]
ALONE = pytest.mark.thread_unsafe(reason="pytest.warns catches the warnings of all threads")
WAYS += [pytest.param(way, marks=ALONE) for way in (by_old_defgrad, by_old_defvjp)]


@pytest.mark.parametrize("state", WAYS)
def test_rules_of_one_kind_serve_both_modes_and_both_orders(state):
    onp.random.seed(0)  # noqa: NPY002
    f = scaled()
    state(f)
    onp.testing.assert_allclose(grad(lambda x: np.sum(f(x, 3.0)))(X), 6 * X)
    assert grad(lambda k: np.sum(f(X, k)))(3.0) == onp.sum(X * X)
    check_grads(f, (0, 1), order=2)(X, 3.0)
    check_grads(f, 0, order=3)(X, 3)
    onp.testing.assert_allclose(hessian(lambda x: np.sum(f(x, 3.0)))(X), 6 * onp.eye(3))


@pytest.mark.parametrize("state", WAYS)
def test_rules_are_called_by_the_arguments_that_move_only(state):
    f = scaled()
    state(f)
    found = jacobian(lambda x: f(x, 2.0))(X)
    onp.testing.assert_allclose(found, onp.diag(4 * X))
    assert make_jvp(lambda k: f(X, k))(2.0)(1.0)[1].tolist() == (X * X).tolist()


def test_without_variables_it_is_the_function_itself():
    f = scaled()
    assert f(2.0, 3) == 12.0
    assert f.fun(2.0, 3) == 12.0
    assert f.__name__ == "scale"


def test_without_rules_it_says_so():
    f = scaled()
    with pytest.raises(NotImplementedError, match=r"VJP of scale wrt argnums \(0,\) not defined"):
        grad(lambda x: f(x, 1.0))(2.0)
    defvjp(f, lambda ans, x, k: lambda g: g * 2 * x * k)
    assert grad(lambda x: f(x, 1.0))(2.0) == 4.0
    with pytest.raises(NotImplementedError, match="VJP of scale wrt argnum 1 not defined"):
        grad(lambda k: f(2.0, k))(1.0)


def test_old_statements_of_zeros():
    f = scaled()
    with pytest.warns(UserWarning, match="scale.defvjp_is_zero is deprecated"):
        f.defvjp_is_zero()
    with pytest.warns(UserWarning, match="deprecated"):
        f.defgrad(lambda ans, x, k: lambda g: np.sum(g * x * x), 1)
    found = grad(lambda x, k: np.sum(f(x, k)), (0, 1))(X, 3.0)
    assert not found[0].any()
    assert found[1] == onp.sum(X * X)


def test_none_is_zero():
    @primitive
    def f(x, y):
        return x * onp.round(y)

    defvjp(f, lambda ans, x, y: lambda g: g * np.round(y), None)
    assert grad(f, (0, 1))(2.0, 2.7) == (3.0, 0.0)

    @primitive
    def h(x, y):
        return x * onp.round(y)

    defjvp(h, lambda g, ans, x, y: g * np.round(y), None)
    assert make_jvp(h, (0, 1))(2.0, 2.7)((1.0, 5.0))[1] == 3.0
    assert grad(h, (0, 1))(2.0, 2.7) == (3.0, 0.0)


def test_arguments_by_number_in_other_places():
    @primitive
    def f(how, x, options, y=1.0, *, power=1):
        assert how == "up"
        assert options == {"a": [1]}
        return (x + y) ** power

    defvjp(
        f,
        lambda ans, how, x, options, y=1.0, power=1: lambda g: g * power * (x + y) ** (power - 1),
        lambda ans, how, x, options, y=1.0, power=1: lambda g: g * power * (x + y) ** (power - 1),
        argnums=(1, 3),
    )
    assert grad(f, 1)("up", 2.0, {"a": [1]}, power=3) == 27.0
    assert grad(f, 3)("up", 2.0, {"a": [1]}, 2.0, power=2) == 8.0
    assert grad(lambda y: f("up", 2.0, {"a": [1]}, y=y, power=2))(2.0) == 8.0
    assert grad(lambda x: f("up", options={"a": [1]}, x=x))(2.0) == 1.0
    with pytest.raises(NoRuleError, match=r"power= is a recorded value.*by position"):
        grad(lambda p: f("up", 2.0, {"a": [1]}, power=p))(3.0)


def test_containers_go_in_and_come_out():
    onp.random.seed(0)  # noqa: NPY002

    @primitive
    def f(params, factor):
        assert type(params["w"]) is list
        return {"s": params["w"][0] + params["w"][1], "p": (params["b"] * factor,)}

    def vjp(argnum, ans, args, kwargs):
        params, factor = args
        if argnum == 1:
            return lambda g: np.sum(g["p"][0] * params["b"])
        return lambda g: {"w": [g["s"], g["s"]], "b": g["p"][0] * factor, "mode": None}

    defvjp_argnum(f, vjp)

    def loss(w, b, k):
        found = f({"w": [w, 2.0], "b": b, "mode": "x"}, k)
        return found["s"] * np.sum(found["p"][0] ** 2)

    args = (1.0, X, 3.0)
    for i in range(3):
        expected = bp.grad(lambda w, b, k: (w + 2.0) * np.sum((b * k) ** 2), i)(*args)
        onp.testing.assert_allclose(grad(loss, i)(*args), expected)
    check_grads(loss, (0, 1, 2))(*args)


def test_a_part_of_the_outputs_may_be_unused():
    @primitive
    def f(x):
        return x * 2, x * 3

    defvjp(f, lambda ans, x: lambda g: g[0] * 2 + g[1] * 3)
    assert grad(lambda x: f(x)[1])(1.0) == 3.0
    assert make_jvp(lambda x: f(x)[0])(1.0)(1.0)[1] == 2.0


def test_whole_numbers_that_come_out_are_constants():
    @primitive
    def order(x):
        return onp.argsort(x)

    defvjp(order, None)
    found = grad(lambda x: np.sum(x[order(x)] * onp.arange(3)))(X)
    assert found.tolist() == [1.0, 0.0, 2.0]


def test_rules_run_under_jacobians_and_nested_derivatives():
    @primitive
    def logsumexp(x):
        top = onp.max(x)
        return top + onp.log(onp.sum(onp.exp(x - top)))

    defvjp(
        logsumexp,
        lambda ans, x: lambda g: np.full(x.shape, g) * np.exp(x - np.full(x.shape, ans)),
    )
    p = onp.exp(X) / onp.exp(X).sum()
    onp.testing.assert_allclose(grad(logsumexp)(X), p)
    onp.testing.assert_allclose(
        hessian(logsumexp)(X), onp.diag(p) - onp.outer(p, p), rtol=1e-12, atol=1e-15
    )
    check_grads(logsumexp, order=3)(X)


def test_arguments_are_kept_as_they_were():
    f = scaled()
    by_vjp(f)
    buffer = X.copy()

    def loss(k):
        y = np.sum(f(buffer, k))
        buffer[:] = 0.0
        return y

    assert grad(loss)(1.0) == onp.sum(X * X)


def test_containers_and_keywords_are_kept_as_they_were():
    @primitive
    def f(pair, settings, scale=None):
        return pair[0] * pair[1] * settings["w"] * scale

    def pull(ans, pair, settings, scale=None):
        return lambda g: [g * pair[1] * settings["w"] * scale, 0.0 * pair[1]]

    defvjp(f, pull, argnums=[0])
    buffers = [X.copy() for _ in range(3)]

    def loss(x):
        y = np.sum(f([x, buffers[0]], {"w": buffers[1]}, scale=buffers[2]))
        for buffer in buffers:
            buffer[:] = 0.0
        return y

    onp.testing.assert_array_equal(grad(loss)(X), X * X * X)


def test_unbroadcast_f():
    @primitive
    def f(x, y):
        return x * y

    defvjp(
        f,
        lambda ans, x, y: unbroadcast_f(x, lambda g: g * y),
        lambda ans, x, y: unbroadcast_f(y, lambda g: g * x),
    )
    m = onp.arange(6.0).reshape(2, 3)
    onp.testing.assert_allclose(grad(lambda x: np.sum(f(x, m)))(X), m.sum(0))
    assert grad(lambda y: np.sum(f(m, y)))(2.0) == m.sum()
    found = grad(lambda y: np.sum(f(m, y)))(onp.ones((2, 1)))
    onp.testing.assert_allclose(found, m.sum(1, keepdims=True))


def test_complex_rules():
    onp.random.seed(0)  # noqa: NPY002

    @primitive
    def f(z):
        return z * z

    defvjp(f, lambda ans, z: lambda g: g * 2 * z)
    z = 1 + 2j
    assert grad(lambda z: np.real(f(z)))(z) == 2 * z
    check_grads(f)(onp.array([z, 0.5 - 1j]))


def test_linear_functions():
    @primitive
    def product(a, x):
        return a @ x

    def_linear(product)
    a = onp.ones((2, 3))
    assert make_jvp(product, (0, 1))(a, X)((2 * a, X))[1].tolist() == [4.5, 4.5]
    with pytest.raises(NotImplementedError, match="VJP of product"):
        grad(lambda x: np.sum(product(a, x)))(X)
    defvjp(product, lambda ans, a, x: lambda g: np.outer(g, x), lambda ans, a, x: lambda g: a.T @ g)
    check_grads(product, (0, 1))(a, X)


def test_same():
    @primitive
    def double(x):
        return 2 * x

    defjvp(double, "same")
    assert make_jvp(double)(3.0)(1.0) == (6.0, 2.0)


def test_wrong_rules_are_refused():
    f = scaled()
    with pytest.raises(TypeError, match="no VJP of scale"):
        defvjp(f, 3.0)
    with pytest.raises(TypeError, match="no JVP of scale"):
        defjvp(f, "other")


def test_rules_of_what_is_no_primitive_are_said_to_be_of_no_use():
    """As in autograd, which keeps them silently: libraries state such rules when imported."""

    def double(x):
        return 2.0 * x

    with pytest.warns(UserWarning, match=r"is no primitive.*write f = primitive"):
        defvjp(double, lambda ans, x: lambda g: 100.0 * g)
    assert grad(double)(3.0) == 2.0


@pytest.mark.thread_unsafe(reason="states a rule, and takes it back")
def test_functions_of_numpy_get_rules_that_fastbp_lacks():
    function = onp.intersect1d  # no rule
    with pytest.raises(NoRuleError):
        grad(lambda x: np.sum(np.intersect1d(x, X)))(X)
    defvjp(np.intersect1d, lambda ans, x, y: lambda g: g[1] * -np.ones(len(x)))
    try:
        assert grad(lambda x: np.intersect1d(x, X)[1])(X).tolist() == [-1.0] * 3
    finally:
        bp._core.graph.bind_function(function, None)


def test_rules_of_fastbp_stay():
    with pytest.warns(UserWarning, match=r"tanh has rules in fastbp.*primitive\(tanh\)"):
        defvjp(np.tanh, lambda ans, x: lambda g: 0.0 * g)
    assert grad(np.tanh)(0.0) == 1.0
    mine = primitive(np.tanh)
    defvjp(mine, lambda ans, x: lambda g: 7.0 * g)
    assert grad(mine)(0.0) == 7.0


def test_tables_of_rules():
    f = scaled()
    assert f not in primitive_vjps
    by_both(f)
    pull = primitive_vjps[f]((0,), 12.0, (2.0, 3.0), {})
    assert list(pull(1.0)) == [12.0]
    assert primitive_jvps[f]((0,), (1.0,), 12.0, (2.0, 3.0), {}) == 12.0
    assert translate_vjp(None, f, 0)(1.0, 2.0)(3.0) is None
    assert translate_jvp(None, f, 0)(1.0, onp.ones(2), 1.0).tolist() == [0.0, 0.0]


# ---- functions of values


def test_notrace_primitive():
    seen = []

    @notrace_primitive
    def look(x, y=None):
        seen.append(x)
        return onp.round(x)

    assert grad(lambda x: x * look(x))(2.7) == 3.0
    assert type(seen[0]) is onp.float64


def test_register_notrace():
    f = scaled()
    register_notrace(VJPNode, f)
    register_notrace(JVPNode, f)
    assert grad(lambda x: x * f(x, 1.0))(3.0) == 9.0


# ---- boxes


def test_boxes():
    def f(x):
        assert isinstance(x, ArrayBox)
        assert isinstance(x, Box)
        assert type(x) is ArrayBox is bp.Variable
        assert isbox(x)
        assert x._value == 2.0
        assert type(getval(x)) is onp.float64
        assert getval([x, "text"]) == [2.0, "text"]
        assert not isbox(getval(x))
        return x * x._value

    assert grad(f)(2.0) == 2.0
    assert not isinstance(2.0, Box)
    assert not isbox([2.0])
    assert getval(3.0) == 3.0
    assert isbox(new_box(X, 0, None))
    assert Box not in (type(X), bp.Variable)
    assert issubclass(bp.Variable, Box)


def test_a_box_of_ones_own_is_refused_with_what_to_do():
    class Mine:
        pass

    class MyBox(Box):
        pass

    with pytest.raises(TypeError, match="make it a dataclass"):
        MyBox.register(Mine)
    ArrayBox.register(onp.ndarray)  # as autograd itself does
    ArrayBox.register(float)


class Tagged(onp.ndarray):
    """An array class with a protocol of its own, as PennyLane's tensor."""

    def __array_ufunc__(self, ufunc, method, *args, **kwargs):
        args = [x.view(onp.ndarray) if isinstance(x, Tagged) else x for x in args]
        found = super().__array_ufunc__(ufunc, method, *args, **kwargs)
        return found.view(Tagged) if isinstance(found, onp.ndarray) else found


@pytest.mark.thread_unsafe(reason="registers a class that was refused before")
def test_subclasses_of_ndarray_stand_for_their_arrays_once_they_are_registered():
    x = X.view(Tagged)
    f = lambda x: np.sum(np.sin(x) * x)
    with pytest.raises(bp.errors.DTypeError, match="arithmetic of its own"):
        grad(f)(x)
    ArrayBox.register(Tagged)
    VSpace.register(Tagged, vspace_of_array)
    onp.testing.assert_allclose(grad(f)(x), onp.cos(X) * X + onp.sin(X))
    assert type(grad(f)(x)) is onp.ndarray
    for product in (lambda y: x * y, lambda y: y * x, lambda y: onp.multiply(x, y)):
        onp.testing.assert_allclose(grad(lambda y: np.sum(product(y)))(X), X)  # noqa: B023
    onp.testing.assert_allclose(jacobian(lambda y: np.dot(y, x))(X), X)
    pull, _ = make_vjp(np.tanh)(X)
    onp.testing.assert_allclose(pull(onp.ones(3).view(Tagged)), 1 - onp.tanh(X) ** 2)
    assert vspace(x) == vspace(X)


def test_what_is_put_into_the_mapping_of_boxes_is_registered():
    class Other(Tagged):
        pass

    Box.type_mappings[Other] = lambda x, *args: None  # as PennyLane does
    assert grad(lambda x: np.sum(x * x))(X.view(Other)).tolist() == (2 * X).tolist()


def vspace_of_array(x):
    return vspace(onp.asarray(x))


# ---- nodes and sums


def test_traces_of_both_kinds():
    value, end = trace(VJPNode.new_root(), lambda x: x**3, 2.0)
    assert (value, backward_pass(1.0, end)) == (8.0, 12.0)
    value, end = trace(JVPNode.new_root(1.0), lambda x: x**3, 2.0)
    assert (value, end.g) == (8.0, 12.0)
    with trace_stack.new_trace() as outer, trace_stack.new_trace() as inner:
        assert (outer, inner) == (0, 1)
    assert trace_stack.top == -1


def test_traces_of_one_thread_are_not_those_of_another():
    both, found = threading.Barrier(2, timeout=10.0), {}

    def count(name):
        both.wait()
        with trace_stack.new_trace() as outer:
            both.wait()
            with trace_stack.new_trace() as inner:
                both.wait()
                found[name] = outer, inner, trace_stack.top
        found[name] += (trace_stack.top,)

    threads = [threading.Thread(target=count, args=(name,)) for name in "ab"]
    with trace_stack.new_trace():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {"a": (0, 1, 1, -1), "b": (0, 1, 1, -1)}
        assert trace_stack.top == 0


def test_sparse_objects_are_cotangents():
    @primitive
    def first(x):
        return x[0]

    def vjp(ans, x):
        def pull(g):
            def add(to):
                to[0] += g
                return to

            return SparseObject(vspace(x), add)

        return pull

    defvjp(first, vjp)
    assert grad(lambda x: first(x) * 3.0 + np.sum(x))(X).tolist() == [4.0, 1.0, 1.0]
    sparse = vjp(X[0], X)(2.0)
    assert vspace(sparse) == vspace(X)
    assert sparse_add(vspace(X), None, sparse).tolist() == [2.0, 0.0, 0.0]
    assert sum_outgrads([sparse, X]).tolist() == [2.5, -1.0, 2.0]
    total, mutable = add_outgrads(None, X)
    assert total is X
    assert not mutable
    assert add_outgrads((X, False), X)[0].tolist() == (2 * X).tolist()
    assert identity_vjp((0,))(3.0) == identity_jvp(3.0) == 3.0


def test_hessian_where_a_vjp_takes_values():
    # Tangents do not follow from such a VJP: the Hessian is by VJPs then, as autograd's is.
    @primitive
    def slope(x):
        return np.cos(x)

    defvjp(slope, lambda ans, x: lambda g: -getval(g) * np.sin(getval(x)))

    @primitive
    def wave(x):
        return np.sin(x)

    defvjp(wave, lambda ans, x: lambda g: g * slope(x))
    x = np.array([0.3, 0.5])
    onp.testing.assert_allclose(hessian(lambda x: np.sum(wave(x)))(x), -np.diag(np.sin(x)))
