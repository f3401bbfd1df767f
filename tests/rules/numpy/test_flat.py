"""Assignment to ``x.flat`` of what shows elements of `x`: NumPy reads while it writes."""

import numpy as np
import pytest

import fastbp as bp
from fastbp.errors import NoRuleError

CASES = {
    "row into the rest": lambda q: (slice(1, None), q[0]),
    "reversed": lambda q: (slice(None), q.reshape(-1)[::-1]),
    "rotated": lambda q: (slice(1, None), q.reshape(-1)[:-1]),
    "transposed": lambda q: (Ellipsis, q.T),
    "itself": lambda q: (slice(None), q),
    "places": lambda q: ([5, 0, 3, 5], q[1]),
    "column": lambda q: (slice(None, None, 2), q[:, 1]),
    "number": lambda q: (slice(None), q[..., 1:2, 1:2]),
    "mask": lambda q: (np.arange(12) % 3 == 0, q[2]),
}


@pytest.mark.parametrize("part", ["all", "view", "F", "strided"])
@pytest.mark.parametrize("name", CASES)
def test_values_are_numpys(name, part, rng):
    x = rng.normal(size=(3, 4))
    if part == "F":
        x = np.asfortranarray(x)
    elif part == "strided":
        x = np.repeat(x, 2, axis=1)[:, ::2]

    def f(x):
        q = 2.0 * x if part != "strided" else x
        if part == "view":
            q = np.stack([q, q * q])[1]
        index, value = CASES[name](q)
        q.flat[index] = value
        return np.sum(q * np.cos(np.arange(12.0)).reshape(3, 4))

    def copy():
        return np.repeat(x, 2, axis=1)[:, ::2] if part == "strided" else x.copy("K")

    value, gradient = bp.value_and_grad(f)(copy())
    np.testing.assert_allclose(value, f(copy()), rtol=1e-14)
    differences = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        for change in (0.5, -0.5):
            y = copy()
            y[index] += change
            differences[index] += np.sign(change) * f(y)
    np.testing.assert_allclose(gradient, differences, atol=1e-12)
    again = bp.compile(bp.value_and_grad(f))
    for _ in range(2):
        np.testing.assert_allclose(again(copy())[1], gradient, atol=1e-14)


def test_diagonals_and_functions_that_copy(rng):
    x = rng.normal(size=(3, 3))

    def filled(x):
        q = 1.0 * x
        np.fill_diagonal(q, q[0, ::-1])
        return q

    def put(x):
        q = 1.0 * x
        np.put(q, [1, 2, 3], q[0])
        np.put_along_axis(q, np.array([[0, 1, 2]]), q[1:2, ::-1], 0)
        np.place(q, np.eye(3) > 0.0, q[2])
        np.putmask(q, np.tri(3) > 0.0, q.T)
        return q

    for f in (filled, put):
        np.testing.assert_array_equal(bp.vjp(f, x.copy())[0], f(x.copy()))


def test_parts_of_one_complex_array_are_refused():
    def f(x):
        z = x + 1j * x
        z.real.flat[1:] = z.imag[:-1]
        return np.sum(z.real)

    with pytest.raises(NoRuleError, match=r"value\.copy\(\)"):
        bp.grad(f)(np.ones(3))
