"""Recorded numbers do not change: ``s += v`` binds the name to a new one, as with NumPy's own."""

import numpy as np
import pytest

import fastbp as bp
import fastbp.numpy as bnp

X = np.array([1.0, 2.0, 3.0])


def running(x):
    s, kept = 0.0, []
    for v in x:
        s += v
        kept.append(s)
    return kept[0] * kept[1] * kept[2]


def newton(x):
    a = x[1]
    y, before = a, 0.0
    for _ in range(8):
        before = y
        y -= (y * y - a) / (2.0 * y)
    return y + 0.1 * before + a


def every_operator(x):
    kept = [np.sum(x)]
    s = kept[0]
    s += x[0]
    kept.append(s)
    s -= 0.5 * x[1]
    kept.append(s)
    s *= x[2]
    kept.append(s)
    s /= 1.0 + x[0]
    kept.append(s)
    s **= 2
    kept.append(s)
    s %= 7.5
    kept.append(s)
    return np.prod(np.stack(kept))


class Holder:
    def __init__(self, x):
        self.v = x[0] * x[1]

    def add(self, x):
        before = self.v
        self.v += x[2]
        return before * self.v


def attribute(x):
    return Holder(x).add(x)


def element(x):
    v = x[0]
    v += 10.0 * x[1]
    return v * x[0]


def both_names(x):
    a = b = x.sum()
    a *= 2.0
    return a * b


def chosen(x):
    v = np.where(x[0] > 0, x[0], x[1])
    w = v * 1.0
    z = w
    w += v
    return w * z


def grows(x):
    s = x[0]
    t = s
    s += x  # a number and an array: an array, as with NumPy's numbers
    return np.sum(s * t)


def counted(x):
    n = (x > 0.0).sum()
    m = n
    n += 2
    return np.sum(x) * n * m


FUNCTIONS = [
    running,
    newton,
    every_operator,
    attribute,
    element,
    both_names,
    chosen,
    grows,
    counted,
]


def differences(f, x):
    steps = 1e-6 * np.eye(x.size)
    return np.array([(f(x + h) - f(x - h)) / 2e-6 for h in steps])


@pytest.mark.parametrize("f", FUNCTIONS)
def test_numbers_are_those_of_numpy(f):
    value, gradient = f(X), differences(f, X)
    for g in (f, bp.unmodified(f)):
        found = bp.value_and_grad(g)(X)
        np.testing.assert_allclose(found[0], value, rtol=1e-13)
        np.testing.assert_allclose(found[1], gradient, rtol=1e-7)
        along = bp.jvp(g, (X,), (np.ones(3),))
        np.testing.assert_allclose(along, (value, gradient.sum()), rtol=1e-7)
    compiled = bp.compile(bp.value_and_grad(f))
    for _ in range(3):
        found = compiled(X)
        np.testing.assert_allclose(found[0], value, rtol=1e-13)
        np.testing.assert_allclose(found[1], gradient, rtol=1e-7)
    rows = np.stack([X, X + 0.1, X + 0.2])
    np.testing.assert_allclose(bp.vmap(f)(rows), [f(row) for row in rows], rtol=1e-12)
    np.testing.assert_allclose(bp.vmap(bp.grad(f))(rows)[0], gradient, rtol=1e-7)


def test_a_number_as_an_argument():
    def f(a):
        b = a
        a += 1.0
        return a * b

    for transform in (bp.grad(f), bp.compile(bp.grad(f))):
        for _ in range(2):
            assert transform(2.0) == 5.0
            assert transform(np.float64(2.0)) == 5.0


def test_arrays_without_axes_change():
    """As NumPy's: both names are of the same array."""

    def f(a):
        b = a
        a += 1.0
        return a * b

    assert f(np.array(2.0)) == 9.0
    for transform in (bp.grad(f), bp.compile(bp.grad(f))):
        for _ in range(2):
            assert transform(np.array(2.0)) == 6.0

    def of_its_own(make):
        def g(x):
            s = make(x)
            t = s
            s += x[0]
            return t * x[1]

        return g

    for make in (
        lambda x: bnp.zeros(()),
        lambda x: bnp.array(x[0]),
        lambda x: np.copy(x[0]),
        lambda x: x[0, ...],
        lambda x: x[:1].reshape(()),
    ):
        g = of_its_own(make)
        value, gradient = bp.value_and_grad(g)(X.copy())
        np.testing.assert_allclose(value, g(X.copy()))
        np.testing.assert_allclose(gradient, differences(lambda x, g=g: g(x.copy()), X), atol=1e-8)


# ---- what a write with out= replaces


@pytest.mark.parametrize(
    "before", [lambda z, x: z.__setitem__(1, x[0]), lambda z, x: z[:2].fill(3.0)]
)
def test_what_waits_comes_before_a_write_with_out(before):
    def f(x):
        z = x * 3.0
        part = z[1:]
        before(z, x)
        np.exp(x, out=z)
        return np.sum(z) + np.sum(part**2)

    value, gradient = bp.value_and_grad(f)(X)
    expected = np.exp(X)
    np.testing.assert_allclose(value, expected.sum() + np.sum(expected[1:] ** 2))
    np.testing.assert_allclose(gradient, expected + 2.0 * expected**2 * [0, 1, 1])
    np.testing.assert_allclose(bp.jvp(f, (X,), (np.ones(3),))[1], gradient.sum())


@pytest.mark.parametrize(
    "copied",
    [
        lambda x: x.flat[0:2],
        lambda x: x.flat[:],
        lambda x: x.flat[...],
        lambda x: x.flat.copy(),
        lambda x: np.ravel(x.flat[1:]),
        lambda x: bnp.ascontiguousarray(x[::2]),
        lambda x: bnp.asarray(x[::2], order="C"),
        lambda x: bnp.array(x[::2]),
    ],
)
def test_what_numpy_copies_does_not_change(copied):
    def f(x):
        v = copied(x)
        x *= 2.0
        return np.sum(v**2) + np.sum(x)

    assert bp.value_and_grad(f)(X.copy())[0] == f(X.copy())
    np.testing.assert_allclose(bp.grad(f)(X), differences(lambda x: f(x.copy()), X), rtol=1e-8)


def test_a_contiguous_array_is_no_copy():
    def f(x):
        v = bnp.ascontiguousarray(x[1:])
        x *= 2.0
        return np.sum(v**2)

    assert bp.value_and_grad(f)(X.copy())[0] == f(X.copy())


def test_out_may_be_the_last_operand():
    def f(x):
        z = bnp.zeros(3)
        bnp.add(x, 1.0, z)
        bnp.multiply(z, x, z)
        return np.sum(z)

    def g(x):
        z = np.zeros(3)
        np.add(x, 1.0, z)
        np.exp(z, z)
        return np.sum(z)

    np.testing.assert_allclose(bp.grad(f)(X), 2.0 * X + 1.0)
    np.testing.assert_allclose(bp.grad(bp.unmodified(g))(X), np.exp(X + 1.0))
    with pytest.raises(TypeError, match=r"numpy\.add|add\(\)"):
        bp.grad(lambda x: np.sum(bnp.add(x)))(X)


@pytest.mark.skipif(not hasattr(np, "cumulative_sum"), reason="needs NumPy 2.1")
def test_cumulative_sum_of_a_number():
    f = lambda x: np.sum(np.cumulative_sum(x[0] * x[1]))
    np.testing.assert_allclose(bp.grad(f)(X), [2.0, 1.0, 0.0])
