"""Writes through parts of arrays: of complex ones that recorded functions make, of empty ones."""

import numpy as np
import pytest

import fastbp as bp
import fastbp.numpy as bnp

C = np.array([0.5, -1.0])
MAKERS = {
    "zeros": lambda n, x: n.zeros(2, complex),
    "ones": lambda n, x: n.ones(2, complex),
    "full": lambda n, x: n.full(2, 1 + 2j),
    "array": lambda n, x: n.array([1j, 2.0]),
    "asarray": lambda n, x: n.asarray([1j, 2.0]),
    "copy": lambda n, x: n.copy(n.array([1j, 2.0])),
    "method_copy": lambda n, x: n.array([1j, 2.0]).copy(),
    "astype": lambda n, x: n.ones(2).astype(complex),
    "fft": lambda n, x: n.fft.fft(n.array([1.0, 2.0])),
    "fft_of_constant": lambda n, x: n.fft.fft(C),
    "row": lambda n, x: n.eye(2, dtype=complex)[0],
    "column": lambda n, x: n.zeros((2, 2), complex, order="F")[:, 1],
    "transposed": lambda n, x: n.zeros((2, 2), complex).T[1],
    "reversed": lambda n, x: n.ones(2, complex)[::-1],
    "reshaped": lambda n, x: n.ones((2, 1), complex).reshape(2),
    "like": lambda n, x: n.zeros_like(x + 0j),
    "like_in_dtype": lambda n, x: n.zeros_like(x, dtype=complex),
    "product": lambda n, x: n.arange(2.0) * 1j,
    "exp": lambda n, x: n.exp(1j * n.arange(2.0)),
    "stack": lambda n, x: n.stack([n.ones(2), n.ones(2) * 1j])[0],
    "concatenate": lambda n, x: n.concatenate([n.ones(1), n.ones(1) * 1j]),
    "where": lambda n, x: n.where(n.array([True, False]), 1j, 2.0),
    "of_x": lambda n, x: n.array([x[0], 1j]),
}


def real(n, z, x):
    z.real = x


def imaginary(n, z, x):
    z.imag = x


def element(n, z, x):
    z.imag[1] = x[0]


def whole(n, z, x):
    z.real[...] = x


def augmented(n, z, x):
    z.real += x


def by_functions(n, z, x):
    n.real(z)[1] = x[0]
    n.imag(z)[:1] = x[1]


def held(n, z, x):
    r = z.real
    r[0] = x[1]
    z[1] = 5.0
    r[1] *= x[0]


def constants(n, z, x):
    z.real = 3.0
    z.imag[0] = 2.0


def views_of_parts(n, z, x):
    i = z.imag
    i[::-1][0] = x[0]
    z.real[1:] = x[:1]


def parts_of_views(n, z, x):
    z[:1].real = x[1]
    z[1:].imag[0] = x[0]


def in_turn(n, z, x):
    z.real = x
    z *= 1j
    z.real[0] = x[0]


def both(n, z, x):
    r, i = z.real, z.imag
    r[0] = 3.0
    i[0] = x[0]
    r[1] = i[0] * r[0]


def copied(n, z, x):
    n.copyto(z.real, x)


def out(n, z, x):
    n.add(z.real, x, out=z.real)
    n.multiply(x, x, out=z.imag)


def flat(n, z, x):
    z.real.fill(2.0)
    z.imag.flat[0] = x[0]


WRITES = [
    real,
    imaginary,
    element,
    whole,
    augmented,
    by_functions,
    held,
    constants,
    views_of_parts,
    parts_of_views,
    in_turn,
    both,
    copied,
    out,
    flat,
]


def function(n, make, write):
    def f(x):
        z = make(n, x)
        write(n, z, x)
        w = n.abs(z * n.array([1.0, 2j])) ** 2
        return n.sum(w + z.real * n.array([0.3, 0.4])) + x[0] * z.imag[1]

    return f


def differences(f, x, h=1e-5):
    return np.array([(f(x + h * e) - f(x - h * e)) / (2.0 * h) for e in np.eye(x.size)])


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("write", WRITES)
def test_writes_into_parts_are_recorded(make, write):
    x = np.array([1.0, 2.0])
    plain, own = (function(n, MAKERS[make], write) for n in (np, bnp))
    want, slope = plain(x), differences(plain, x)
    functions = [own, bp.unmodified(plain)]
    if make.startswith("like"):  # what NumPy's own functions make of a Variable
        functions.append(plain)
    for f in functions:
        value, gradient = bp.value_and_grad(f)(x)
        np.testing.assert_allclose(value, want, rtol=1e-14)
        np.testing.assert_allclose(gradient, slope, rtol=1e-7, atol=1e-8)
    tangent = bp.jvp(own, (x,), (np.array([1.0, -2.0]),))[1]
    np.testing.assert_allclose(tangent, slope @ [1.0, -2.0], rtol=1e-7, atol=1e-8)
    if make == "fft_of_constant":  # on the record of a compiled function, where nothing is written
        return
    compiled = bp.compile(bp.value_and_grad(own))
    compiled(x + 1.0)
    value, gradient = compiled(x)
    np.testing.assert_allclose(value, want, rtol=1e-13)
    np.testing.assert_allclose(gradient, slope, rtol=1e-7, atol=1e-8)


def test_parts_of_numbers():
    """A part of an array without axes is such an array, and not the number in it."""

    def f(x):
        z = bnp.zeros((), complex)
        z.real = x
        z.imag[...] = x * x
        return np.abs(z) ** 2

    assert bp.value_and_grad(f)(2.0) == (pytest.approx(20.0), pytest.approx(36.0))


def test_parts_of_arrays_of_any_layout():
    """Arrays of NumPy's and SciPy's functions need not be contiguous."""

    def f(x):
        z = bnp.swapaxes(bnp.zeros((2, 3, 2), complex), 0, 1).copy(order="K")
        z.real[1] = x
        z.imag[:, 1] += 2.0 * x[0, 0]
        return np.sum(np.abs(z) ** 2)

    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    value, gradient = bp.value_and_grad(f)(x)
    assert value == 30.0 + 6 * 4.0
    np.testing.assert_allclose(gradient, [[2.0 + 48.0, 4.0], [6.0, 8.0]])


def test_what_was_recorded_before_a_write_keeps_its_values():
    def f(x):
        z = bnp.full(2, 1.0 + 1j)
        y = np.sum(np.abs(z * x) ** 2)
        z.imag[0] = x[0]
        return y + np.sum(np.abs(z) ** 2)

    np.testing.assert_allclose(bp.grad(f)(np.array([1.0, 2.0])), [6.0, 8.0])


@pytest.mark.parametrize(
    "view",
    [lambda a: a.T, lambda a: a.reshape(-1), lambda a: a[:, ::2].T],
    ids="T 1d parts".split(),
)
def test_views_of_no_elements(view):
    def f(x, v):
        a = x * 1.0
        view(a)[...] = v
        return a

    x, v = np.ones((0, 3)), np.ones(())
    y, pull = bp.vjp(f, x, v)
    x_bar, v_bar = pull(y)
    assert y.shape == x_bar.shape == bp.jvp(f, (x, v), (x, v))[1].shape == x.shape
    assert v_bar == 0.0
