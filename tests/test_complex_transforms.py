"""Transforms on complex numbers: against formulas by hand and differences in both parts."""

import pickle

import numpy as np
import pytest

import fastbp as bp
from fastbp.errors import DTypeError, FastbpError
from fastbp.testing import check_grads

A = np.array([[1.0 + 2.0j, -0.5], [0.3j, 2.0 - 1.0j], [0.7, -1.1j]])


def z_of(rng, *shape):
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


def loss(z):
    return np.sum(np.abs(z) ** 2 * np.real(z)) + np.sum(np.imag(np.exp(z)))


def entire(z):
    return np.exp(z) * z[::-1] + np.sin(z)


def product(z):
    return A[:, 0] * z[0] + A[:, 1] * np.exp(z[1])


def of_parts(f, z):
    """Return the derivatives by both parts, by central differences in both of them."""
    h = 1e-6
    found = []
    for direction in (1.0, 1j):
        columns = []
        for k in range(z.size):
            e = np.zeros(z.size, complex)
            e[k] = h * direction
            e = e.reshape(z.shape)
            columns.append((f(z + e) - f(z - e)) / (2 * h))
        found.append(np.stack(columns, -1))
    return found


# ---- gradients -----------------------------------------------------------------------------------


def test_gradient_of_a_real_loss(rng):
    z = z_of(rng, 4)
    dx, dy = of_parts(loss, z)
    g = bp.grad(loss)(z)
    assert g.dtype == complex
    np.testing.assert_allclose(g, dx - 1j * dy, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_square_of_the_absolute_value(rng, dtype):
    z = z_of(rng, 3).astype(dtype)
    value, g = bp.value_and_grad(lambda z: np.sum(np.real(z * np.conj(z))))(z)
    assert g.dtype == dtype
    assert value.dtype == z.real.dtype
    np.testing.assert_allclose(g, 2 * np.conj(z), rtol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("z", [1.0 + 2.0j, np.complex128(1 + 2j), np.complex64(1 + 2j)])
def test_numbers_are_arguments(z):
    g = bp.grad(lambda z: np.abs(z) ** 2)(z)
    assert isinstance(g, np.complexfloating)
    assert g.dtype == getattr(z, "dtype", np.complex128)
    np.testing.assert_allclose(g, 2 - 4j, rtol=1e-6)


def test_containers_and_settings(rng):
    p = {"w": z_of(rng, 2), "b": 0.5, "n": 2, "c": 1.0 - 1.0j}

    def f(p):
        return np.sum(np.abs(p["w"] * p["b"] + p["c"]) ** p["n"])

    g = bp.grad(f)(p)
    y = p["w"] * p["b"] + p["c"]
    np.testing.assert_allclose(g["w"], 2 * np.conj(y) * p["b"], rtol=1e-13)
    np.testing.assert_allclose(g["b"], np.sum(2 * np.real(np.conj(y) * p["w"])), rtol=1e-13)
    np.testing.assert_allclose(g["c"], np.sum(2 * np.conj(y)), rtol=1e-13)
    assert g["n"] is None
    assert isinstance(g["b"], float)


def test_unconnected_arguments_are_complex_zeros():
    g = bp.grad(lambda a, b: np.abs(a), argnums=(0, 1), unconnected="zero")(1j, 2j)
    assert g[1] == 0
    assert g[1].dtype == complex


def test_holomorphic_gradient(rng):
    z = z_of(rng, 3)
    f = lambda z: np.sum(np.exp(z) * z)
    value, g = bp.value_and_grad(f, holomorphic=True)(z)
    np.testing.assert_allclose(value, f(z), rtol=1e-14)
    np.testing.assert_allclose(g, np.exp(z) * (z + 1), rtol=1e-13)
    np.testing.assert_array_equal(bp.grad(f, holomorphic=True)(z), g)
    again, aux = bp.grad(lambda z: (f(z), 7), has_aux=True, holomorphic=True)(z)
    np.testing.assert_array_equal(again, g)
    assert aux == 7


def test_second_derivative_of_a_holomorphic_function():
    df = bp.grad(lambda z: z**3, holomorphic=True)
    np.testing.assert_allclose(bp.grad(df, holomorphic=True)(1.0 + 2.0j), 6 + 12j, rtol=1e-14)


def test_holomorphic_is_pickled():
    g = pickle.loads(pickle.dumps(bp.grad(np.exp, holomorphic=True)))
    assert g(1j) == np.exp(1j)


@pytest.mark.parametrize("x", [1.0 + 2.0j, 2.0])
def test_complex_result_is_refused(x):
    with pytest.raises(DTypeError, match="holomorphic=True"):
        bp.grad(lambda z: z * 1j)(x)
    with pytest.raises(DTypeError, match="holomorphic=True"):
        bp.grad(lambda z: 1j, unconnected="zero")(x)


def test_holomorphic_is_refused_where_it_does_not_hold():
    with pytest.raises(DTypeError, match="argument 0 is float64"):
        bp.grad(np.exp, holomorphic=True)(1.0)
    with pytest.raises(DTypeError, match="must return a complex"):
        bp.grad(np.abs, holomorphic=True)(1j)
    with pytest.raises(DTypeError, match="not holomorphic"):
        bp.grad(lambda z: z * np.conj(z), holomorphic=True)(1.0 + 1j)
    with pytest.raises(TypeError, match="holomorphic must be True or False"):
        bp.grad(np.exp, holomorphic="yes")


def test_elementwise_grad(rng):
    z, x = z_of(rng, 3), rng.normal(size=3)
    np.testing.assert_allclose(bp.elementwise_grad(np.sin)(z), np.cos(z), rtol=1e-14)
    found = bp.elementwise_grad(lambda x: np.exp(1j * x))(x)
    np.testing.assert_allclose(found, 1j * np.exp(1j * x), rtol=1e-14)
    with pytest.raises(DTypeError, match="elementwise_grad: the function is not holomorphic"):
        bp.elementwise_grad(np.conj)(z)


def test_gradients_of_recorded_values(rng):
    z = bp.variable(z_of(rng, 3))
    g = bp.gradients(np.sum(np.abs(z) ** 2), z)
    np.testing.assert_allclose(g, 2 * np.conj(z.value), rtol=1e-14)


# ---- products ------------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [entire, product, np.conj, np.abs, lambda z: z * np.abs(z)])
def test_products_are_transposes(rng, f):
    z, v = z_of(rng, 2), z_of(rng, 2)
    out, dot = bp.jvp(f, (z,), (v,))
    h = 1e-6
    np.testing.assert_allclose(dot, (f(z + h * v) - f(z - h * v)) / (2 * h), rtol=1e-7, atol=1e-8)
    g = z_of(rng, *out.shape) if np.iscomplexobj(out) else rng.normal(size=out.shape)
    (bar,) = bp.vjp(f, z)[1](g)
    np.testing.assert_allclose(np.sum(bar * v).real, np.sum(g * dot).real, rtol=1e-13)
    np.testing.assert_array_equal(bp.linearize(f, z)[1](v), dot)


def test_dtypes_of_cotangents_and_tangents(rng):
    z, x = z_of(rng, 2), rng.normal(size=2)
    bar = bp.vjp(np.exp, z)[1](np.ones(2))[0]
    np.testing.assert_allclose(bar, np.exp(z), rtol=1e-14)
    np.testing.assert_allclose(bp.jvp(np.exp, (z,), (np.ones(2),))[1], np.exp(z), rtol=1e-14)
    with pytest.raises(DTypeError, match="cotangent is complex"):
        bp.vjp(np.abs, z)[1](1j * np.ones(2))
    with pytest.raises(DTypeError, match="jvp: tangent 0 is complex"):
        bp.jvp(np.exp, (x,), (z,))


def test_hvp(rng):
    z, v, h = z_of(rng, 3), z_of(rng, 3), 1e-6
    g = bp.grad(loss)
    expected = (g(z + h * v) - g(z - h * v)) / (2 * h)
    np.testing.assert_allclose(bp.hvp(loss, z, v), expected, rtol=1e-7, atol=1e-7)


# ---- Jacobians -----------------------------------------------------------------------------------

MODES = ("forward", "reverse", "auto")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("f", [entire, product])
def test_jacobian_of_holomorphic_functions(rng, mode, f):
    z = z_of(rng, 2)
    expected, turned = of_parts(f, z)
    np.testing.assert_allclose(turned, 1j * expected, atol=1e-8)
    np.testing.assert_allclose(bp.jacobian(f, mode=mode)(z), expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("mode", MODES)
def test_jacobian_of_complex_output_by_real_input(rng, mode):
    x = rng.normal(size=3)
    found = bp.jacobian(lambda x: np.exp(1j * x) * x[0], mode=mode)(x)
    expected = np.diag(1j * np.exp(1j * x) * x[0])
    expected[:, 0] += np.exp(1j * x)
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("mode", MODES)
def test_jacobian_of_real_output_by_complex_input(rng, mode):
    z = z_of(rng, 3)
    found = bp.jacobian(lambda z: np.abs(z) ** 2, mode=mode)(z)
    np.testing.assert_allclose(found, np.diag(2 * np.conj(z)), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("mode", MODES)
def test_jacobian_of_several_outputs_and_inputs(rng, mode):
    z, x = z_of(rng, 2), rng.normal(size=2).astype("f4")
    found = bp.jacobian(lambda z, x: {"c": z * x, "r": np.real(z) * x}, (0, 1), mode)(z, x)
    np.testing.assert_allclose(found["c"][0], np.diag(x), rtol=1e-6)
    np.testing.assert_allclose(found["c"][1], np.diag(z), rtol=1e-6)
    np.testing.assert_allclose(found["r"][0], np.diag(x), rtol=1e-6)
    np.testing.assert_allclose(found["r"][1], np.diag(z.real), rtol=1e-6)
    kinds = [found[a][b].dtype.str[1:] for a in "cr" for b in (0, 1)]
    assert kinds == ["c16", "c8", "c16", "f4"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("f", [np.conj, lambda z: z * np.abs(z), lambda z: z + np.real(z)])
def test_jacobian_of_what_is_not_holomorphic_is_refused(rng, mode, f):
    z = z_of(rng, 3)
    with pytest.raises(DTypeError, match="jacobian: the function is not holomorphic"):
        bp.jacobian(f, mode=mode)(z)
    rows = [
        bp.jacobian(lambda x, y, g=g: g(f(x + 1j * y)), argnums=(0, 1))(z.real, z.imag)
        for g in (np.real, np.imag)
    ]
    for by_part, expected in zip(zip(*rows, strict=True), of_parts(f, z), strict=True):
        np.testing.assert_allclose(by_part[0] + 1j * by_part[1], expected, atol=1e-8)


def test_waist_of_complex_numbers(rng):
    x = rng.normal(size=200)

    def f(x):
        s = np.sum(x) * (1.0 + 2.0j)
        return np.real(np.exp(1j * x * 0.01) * np.sin(0.01 * s))

    auto, rows = bp.jacobian(f)(x), bp.jacobian(f, mode="reverse")(x)
    np.testing.assert_allclose(auto, rows, rtol=1e-12, atol=1e-15)


def test_blocks_of_complex_numbers(rng, monkeypatch):
    monkeypatch.setattr("fastbp.block_sweeps.BLOCK_BYTES", 64)
    z = z_of(rng, 5)
    expected = bp.jacobian(entire, mode="forward")(z)
    np.testing.assert_allclose(bp.jacobian(entire, mode="reverse")(z), expected, rtol=1e-13)


def test_jacobian_inside_of_a_recorded_function(rng):
    z = z_of(rng, 2)
    g = bp.grad(lambda z: np.sum(np.real(bp.jacobian(np.square)(z))))(z)
    np.testing.assert_allclose(g, [2.0, 2.0], rtol=1e-14)


@pytest.mark.parametrize(
    "call",
    [
        lambda f, z: bp.jacobian(f, mode="chain")(z),
        lambda f, z: bp.hessian(lambda z: np.sum(np.real(f(z))))(z),
        lambda f, z: bp.sparse.jacobian(f)(z),
        lambda f, z: bp.chain.linearize(f, z),
        lambda f, z: bp.tensor.derivative(f, z),
        lambda f, z: bp.tensor.explain(f, z),
    ],
)
def test_doors_that_refuse_complex_numbers(rng, call):
    with pytest.raises(DTypeError, match="complex"):
        call(np.square, z_of(rng, 2))


def test_chains_refuse_complex_values_between_real_ends(rng):
    x = rng.normal(size=2)
    for call in (bp.chain.linearize, bp.tensor.derivative):
        with pytest.raises(DTypeError, match="computes with complex numbers"):
            call(lambda x: np.real(x * 1j * 1j), x)


# ---- checks, and functions of functions ----------------------------------------------------------


@pytest.mark.parametrize("f", [entire, product, np.conj, np.abs, loss, lambda z: z * np.abs(z)])
def test_check_grads(rng, f):
    check_grads(f, (z_of(rng, 2) + 2.0,))


def test_check_grads_finds_a_conjugate_too_much(rng):
    wrong = bp.custom_rule(np.square, vjp=lambda g, ans, z: 2 * g * np.conj(z))
    with pytest.raises(AssertionError, match="mode rev"):
        check_grads(wrong, (z_of(rng, 2),), order=1, modes="rev")


def test_checkpoint_and_custom_rule(rng):
    z = z_of(rng, 3)
    np.testing.assert_allclose(
        bp.grad(lambda z: loss(bp.checkpoint(np.sin)(z)))(z),
        bp.grad(lambda z: loss(np.sin(z)))(z),
        rtol=1e-13,
    )
    for rule in (
        {"vjp": lambda g, ans, z: 2 * g * z},
        {"jvp": lambda t, ans, z: 2 * t[0] * z},
    ):
        f = bp.custom_rule(np.square, **rule)
        check_grads(f, (z,))
    check_grads(bp.checkpoint(entire), (z,))


def test_stop_gradient(rng):
    z = z_of(rng, 3)
    g = bp.grad(lambda z: np.sum(np.real(z * np.conj(bp.stop_gradient(z)))))(z)
    np.testing.assert_allclose(g, np.conj(z), rtol=1e-14)


def test_long_doubles_are_refused():
    with pytest.raises(FastbpError, match="complex"):
        bp.grad(lambda z: np.sum(np.abs(z)))(np.ones(2, np.clongdouble))
