"""The operators of autograd: arguments, containers, orders, complex numbers, errors, warnings."""

import pickle
import warnings

import numpy as onp
import pytest

import fastbp as bp
import fastbp.autograd as ag
import fastbp.autograd.numpy as np
from fastbp.autograd.differential_operators import make_jvp_reversemode
from fastbp.autograd.test_util import check_grads

X = onp.array([0.5, -1.0, 2.0])
MATRIX = onp.array([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]])


def cubes(x):
    return np.sum(x**3)


def swirl(x):
    return np.sin(np.dot(MATRIX, x)) * x[0]


def jacobian_of_swirl(x):
    y = MATRIX @ x
    found = onp.cos(y)[:, None] * MATRIX * x[0]
    found[:, 0] += onp.sin(y)
    return found


def hessian_of_swirl(x):
    return onp.stack(
        [
            bp.hessian(lambda x, k=k: swirl(x)[k])(x)  # by another route: forward over reverse
            for k in range(2)
        ]
    )


def test_grad():
    onp.testing.assert_allclose(ag.grad(cubes)(X), 3 * X**2)


@pytest.mark.parametrize(
    ("argnum", "wanted"),
    [(0, 12.0), (1, 10.0), (-1, 3.0), ((0, 2), (12.0, 3.0)), ([2], (3.0,))],
)
def test_grad_by_positions(argnum, wanted):
    assert ag.grad(lambda a, b, c: a * b * c + b * b, argnum)(1.0, 3.0, 4.0) == wanted


def test_grad_leaves_other_arguments_alone():
    seen = []

    def f(x, *args, **kwargs):
        seen.append((args, kwargs))
        return x * 2.0

    assert ag.grad(f)(1.0, "text", None, key=[1]) == 2.0
    assert seen == [(("text", None), {"key": [1]})]


def test_grad_by_containers():
    params = {"w": [X, 2.0], "b": (onp.ones(2),)}
    found = ag.grad(lambda p: np.sum(p["w"][0]) * p["w"][1] * np.sum(p["b"][0]))(params)
    assert type(found) is dict
    assert type(found["w"]) is list
    assert type(found["b"]) is tuple
    onp.testing.assert_allclose(found["w"][0], onp.full(3, 4.0))
    onp.testing.assert_allclose(found["w"][1], 2 * X.sum())
    onp.testing.assert_allclose(found["b"][0], onp.full(2, 2 * X.sum()))


def test_grad_of_grad():
    assert ag.grad(ag.grad(lambda x: x**4))(2.0) == 48.0
    third = ag.grad(ag.grad(ag.grad(np.sin)))(0.3)
    onp.testing.assert_allclose(third, -onp.cos(0.3), rtol=1e-14)


def test_nested_derivatives_do_not_mix():
    # The inner derivative is by y alone.
    f = lambda x: x * ag.grad(lambda y: x + y)(2.0)
    assert ag.grad(f)(5.0) == 1.0


def test_grad_wants_a_scalar():
    with pytest.raises(TypeError, match="Grad only applies to real scalar-output functions"):
        ag.grad(lambda x: x * 2)(X)
    with pytest.raises(TypeError, match="Value_and_grad only applies to real scalar-output"):
        ag.value_and_grad(lambda x: [x, x])(X)
    with pytest.raises(TypeError, match="must return a real number"):
        ag.grad(lambda x: np.sum(x * 1j))(X)
    assert ag.grad(lambda x: np.reshape(x[0] ** 2, (1, 1)))(X)[0] == 1.0


def test_errors_of_the_function_itself_come_through():
    with pytest.raises(bp.errors.ShapeError, match="multiply"):
        ag.grad(lambda x: np.sum(x * onp.ones(4)))(X)
    with pytest.raises(ZeroDivisionError):
        ag.grad(lambda x: 1 / 0)(X)


def test_argnum_and_fun_are_checked():
    with pytest.raises(AssertionError, match="argnum"):
        ag.grad(cubes, "x")
    with pytest.raises(TypeError, match=r"autograd\.grad"):
        ag.grad(3.0)


def test_a_lost_argument_is_warned_of_in_autograds_words():
    with pytest.warns(UserWarning, match=r"^Output seems independent of input\."):
        assert ag.grad(lambda x: 3.0)(1.0) == 0.0
    with pytest.warns(UserWarning, match=r"^Output seems independent of input\."):
        ag.make_vjp(lambda x: onp.ones(2))(1.0)
    with pytest.warns(UserWarning, match=r"^Output seems independent of input\."):
        assert ag.make_jvp(lambda x: onp.ones(2))(1.0)(1.0)[1].tolist() == [0.0, 0.0]
    # One of several: autograd says nothing.
    with pytest.warns(bp.errors.UnconnectedWarning, match=r"^autograd\.grad: .* argument 1"):
        assert ag.grad(lambda x, y: x, (0, 1))(1.0, 2.0) == (1.0, 0.0)


@pytest.mark.parametrize("lost", [onp.allclose, onp.array_equal, lambda x, y: onp.argmax(x)])
def test_a_result_that_is_no_number_with_a_derivative_is_a_type_error(lost):
    f = lambda x: lost(x.value, x.value)
    for operator in (ag.grad, ag.value_and_grad, ag.deriv):
        with pytest.raises(TypeError, match="which has no derivative"):
            operator(f)(X)
    with pytest.warns(bp.errors.UnconnectedWarning):
        assert ag.make_vjp(f)(X)[1] == lost(X, X)  # as autograd's


def test_value_and_grad():
    value, found = ag.value_and_grad(cubes)(X)
    assert value == onp.sum(X**3)
    onp.testing.assert_allclose(found, 3 * X**2)


def test_grad_and_aux():
    found, aux = ag.grad_and_aux(lambda x: (cubes(x), {"y": x * 2}))(X)
    onp.testing.assert_allclose(found, 3 * X**2)
    onp.testing.assert_array_equal(aux["y"], 2 * X)
    assert type(aux["y"]) is onp.ndarray
    assert ag.grad_and_aux(lambda x: [x * x, x])(3.0) == (6.0, 3.0)


def test_grad_named():
    assert ag.grad_named(lambda a, b: a * b**2, "b")(2.0, 3.0) == 12.0
    with pytest.raises(ValueError, match="is not in list"):
        ag.grad_named(lambda a, b: a * b, "c")


def test_multigrad_dict():
    def f(a, b, *rest, scale=2.0, **more):
        return a * b * scale + rest[0] * more["k"] * b

    found = ag.multigrad_dict(f)(1.0, 3.0, 4.0, k=5.0)
    assert found == {"a": 6.0, "b": 22.0, "rest": (15.0,), "scale": 3.0, "more": {"k": 12.0}}
    assert list(found) == ["a", "b", "rest", "scale", "more"]


def test_elementwise_grad():
    onp.testing.assert_allclose(ag.elementwise_grad(np.tanh)(X), 1 - onp.tanh(X) ** 2)
    second = ag.elementwise_grad(ag.elementwise_grad(np.sin))(X)
    onp.testing.assert_allclose(second, -onp.sin(X))
    with pytest.raises(TypeError, match="real-output"):
        ag.elementwise_grad(lambda x: x * 1j)(X)


def test_deriv():
    assert ag.deriv(lambda x: x**3)(2.0) == 12.0
    assert ag.deriv(ag.deriv(lambda x: x**3))(2.0) == 12.0
    assert ag.deriv(lambda x, y: x * y, 1)(2.0, 3.0) == 2.0


def test_jacobian():
    onp.testing.assert_allclose(ag.jacobian(swirl)(X), jacobian_of_swirl(X), rtol=1e-14)
    f = lambda a, b: np.outer(a, b)
    assert ag.jacobian(f, 1)(onp.ones(2), X).shape == (2, 3, 3)
    assert ag.jacobian(cubes)(X).shape == (3,)
    assert ag.jacobian(lambda t: t * X)(2.0).tolist() == X.tolist()
    assert [j.shape for j in ag.jacobian(f, (0, 1))(onp.ones(2), X)] == [(2, 3, 2), (2, 3, 3)]


def test_hessian():
    onp.testing.assert_allclose(ag.hessian(cubes)(X), onp.diag(6 * X))
    assert ag.hessian(lambda t: t**3)(2.0) == 12.0
    found = ag.hessian(swirl)(X)
    assert found.shape == (2, 3, 3)
    onp.testing.assert_allclose(found, hessian_of_swirl(X), rtol=1e-13, atol=1e-14)


def test_hessian_by_one_of_several_arguments():
    f = lambda x, y: np.sum(x**2 * y**3)
    onp.testing.assert_allclose(ag.hessian(f, 1)(X, X), onp.diag(6 * X**3))


def test_make_vjp():
    pull, value = ag.make_vjp(swirl)(X)
    onp.testing.assert_array_equal(value, swirl(X))
    for g in onp.eye(2):
        onp.testing.assert_allclose(pull(g), g @ jacobian_of_swirl(X), rtol=1e-13)
    pull, value = ag.make_vjp(lambda x, y: {"s": x + y, "p": [x * y]}, (0, 1))(2.0, 3.0)
    assert value == {"s": 5.0, "p": [6.0]}
    assert pull({"s": 1.0, "p": [10.0]}) == (31.0, 21.0)


def test_make_jvp():
    value, tangent = ag.make_jvp(swirl)(X)(onp.ones(3))
    onp.testing.assert_array_equal(value, swirl(X))
    onp.testing.assert_allclose(tangent, jacobian_of_swirl(X) @ onp.ones(3), rtol=1e-13)
    value, tangent = ag.make_jvp(lambda p: p["a"] * p["b"])({"a": 2.0, "b": 3.0})(
        {"a": 1.0, "b": 10.0}
    )
    assert (value, tangent) == (6.0, 23.0)


def test_make_jvp_reversemode():
    found = make_jvp_reversemode(swirl)(X)(onp.ones(3))
    onp.testing.assert_allclose(found, jacobian_of_swirl(X) @ onp.ones(3), rtol=1e-13)


def test_make_hvp():
    hvp, gradient = ag.make_hvp(cubes)(X)
    onp.testing.assert_allclose(gradient, 3 * X**2)
    onp.testing.assert_allclose(hvp(onp.ones(3)), 6 * X)


@pytest.mark.parametrize("op", [ag.hessian_vector_product, ag.hessian_tensor_product])
def test_hessian_products(op):
    f = lambda scale, x: scale * np.sum(x**3)
    onp.testing.assert_allclose(op(f, 1)(2.0, X, onp.ones(3)), 12 * X)
    m = onp.arange(6.0).reshape(2, 3)
    found = op(lambda x: np.sum(x**2) ** 2)(m, m)
    onp.testing.assert_allclose(found, 12 * onp.sum(m**2) * m)


@pytest.mark.parametrize("op", [ag.vector_jacobian_product, ag.tensor_jacobian_product])
def test_jacobian_products(op):
    v = onp.array([2.0, -1.0])
    onp.testing.assert_allclose(op(swirl)(X, v), v @ jacobian_of_swirl(X), rtol=1e-13)
    # A tensor with fewer axes than the output: what is left of these stands in front.
    found = op(lambda x: np.outer(swirl(x), x))(X, v)
    onp.testing.assert_allclose(
        found, onp.einsum("i,ijk->jk", v, bp.jacobian(lambda x: np.outer(swirl(x), x))(X))
    )


def test_make_ggnvp():
    J = jacobian_of_swirl(X)
    v = onp.ones(3)
    onp.testing.assert_allclose(ag.make_ggnvp(swirl)(X)(v), J.T @ (J @ v), rtol=1e-13)
    found = ag.make_ggnvp(swirl, lambda y: np.sum(y**4))(X)(v)
    H = onp.diag(12 * swirl(X) ** 2)
    onp.testing.assert_allclose(found, J.T @ H @ J @ v, rtol=1e-13)
    f = lambda a, x: a * swirl(x)
    found = ag.make_ggnvp(f, f_argnum=1)(2.0, X)(v)
    onp.testing.assert_allclose(found, 4 * J.T @ (J @ v), rtol=1e-13)


def test_checkpoint():
    calls = []

    @ag.checkpoint
    def block(x):
        calls.append(1)
        return np.tanh(x) * x

    found = ag.grad(lambda x: np.sum(block(x)))(X)
    onp.testing.assert_allclose(found, onp.tanh(X) + X * (1 - onp.tanh(X) ** 2))
    assert len(calls) == 2


# ---- complex numbers: autograd's convention


def test_complex_gradients():
    z = onp.array([1 + 2j, -0.5 + 0.3j])
    found = ag.grad(lambda z: np.sum(np.real(z * np.conj(z))))(z)
    onp.testing.assert_allclose(found, 2 * onp.conj(z))
    real = ag.grad(lambda x: np.real(np.exp(1j * x)))(0.3)
    onp.testing.assert_allclose(real, -onp.sin(0.3))


def test_holomorphic_grad():
    assert ag.holomorphic_grad(lambda z: z**3)(1 + 2j) == 3 * (1 + 2j) ** 2
    with pytest.warns(UserWarning, match="not complex"):
        assert ag.holomorphic_grad(lambda x: x**2)(3.0) == 6.0


def test_what_is_not_holomorphic_has_no_such_gradient():
    # autograd returns the gradient of the real part for it.
    with pytest.raises(bp.errors.DTypeError, match="not holomorphic"):
        ag.holomorphic_grad(lambda z: z * np.conj(z) + 0j)(1 + 2j)


# ---- systematically: every operator in both modes and both orders


PROGRAMS = {
    "scalar": (lambda x: np.sin(x) * x, (0.7,)),
    "vector": (swirl, (X,)),
    "list": (lambda p: p[0] * np.sum(p[1] ** 2), ([0.5, X],)),
    "nested": (lambda p: np.exp(p["a"][0]) * p["b"]["c"], ({"a": (0.1,), "b": {"c": X}},)),
    "returns list": (lambda x: [x**2, np.sum(x)], (X,)),
    "returns tuple": (lambda x: (x**2, {"s": np.sum(x)}), (X,)),
    "complex": (lambda z: np.exp(z) * z, (onp.array([0.3 + 0.1j, -0.2 + 1j]),)),
    "to complex": (lambda x: np.exp(1j * x), (X,)),
    "two": (lambda x, y: x * np.sum(y), (X, onp.ones(2))),
    "branches": (lambda x: np.where(x > 0, x**2, -(x**3)), (X,)),
    "index": (lambda x: x[[0, 0, 2]] * x[1], (X,)),
    "loop": (lambda x: [x := np.sin(x) + x for _ in range(4)][-1], (X,)),
    "append": (lambda x: [*[x], x * 2][1], (X,)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    onp.random.seed(0)  # noqa: NPY002
    f, args = PROGRAMS[name]
    check_grads(f, tuple(range(len(args))), modes=["fwd", "rev"], order=2)(*args)


@pytest.mark.parametrize("name", ["grad", "jacobian", "hessian", "value_and_grad", "make_vjp"])
def test_results_are_named_after_the_function(name):
    found = getattr(ag, name)(cubes)
    assert found.__name__ == f"{name}_of_cubes_wrt_argnum_0"
    assert "cubes" in found.__doc__


def test_a_method_is_differentiated():
    class Model:
        scale = 3.0

        def loss(self, x):
            return self.scale * np.sum(x**2)

    onp.testing.assert_allclose(ag.grad(Model().loss)(X), 6 * X)
    onp.testing.assert_allclose(ag.grad(Model.loss, 1)(Model(), X), 6 * X)


def test_results_are_plain_and_nothing_is_said():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = ag.grad(lambda p: p["a"] * np.sum(p["x"]))({"a": 2.0, "x": X})
    pickle.dumps(found)
    assert type(found["x"]) is onp.ndarray


def test_float32_stays():
    # autograd returns float64 where a Python float or a float64 constant takes part.
    x = onp.ones(3, onp.float32)
    assert ag.grad(lambda x: np.sum(x * onp.arange(3.0)))(x).dtype == onp.float32
