"""Recorded numbers do not change: ``s += v`` binds the name to a new one, as with NumPy's own."""

import copy

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


# ---- what is made of a number is new, and a number or an array as NumPy's is

MADE = {
    "squeeze()": lambda h: h.squeeze(),
    "squeeze": np.squeeze,
    "T": lambda h: h.T,
    "transpose": np.transpose,
    "reshape()": lambda h: h.reshape(()),
    "reshape": lambda h: np.reshape(h, ()),
    "reshape of one": lambda h: h.reshape(1),
    "[...]": lambda h: h[...],
    "[()]": lambda h: h[()],
    "[None]": lambda h: h[None],
    "[..., None]": lambda h: h[..., None],
    "expand_dims": lambda h: np.expand_dims(h, 0),
    "ravel": np.ravel,
    "flatten": lambda h: h.flatten(),
    "atleast_1d": np.atleast_1d,
    "copy()": lambda h: h.copy(),
    "copy": np.copy,
    "astype": lambda h: h.astype(float),
    "where": lambda h: np.where(h > 0.0, h, 0.0),
    "select": lambda h: np.select([h > 0.0], [h], 0.0),
    "piecewise": lambda h: np.piecewise(h, [h > 0.0], [lambda v: v * 2.0]),
    "tensordot": lambda h: np.tensordot(np.ones(3) * h, np.ones(3), 1),
    "i0": lambda h: np.i0(0.1 * h),
    "median": lambda h: np.median(np.ones(3) * h),
    "nan_to_num": np.nan_to_num,
    "element": lambda h: (np.ones(2) * h)[1],
    "element, an array": lambda h: (np.ones(2) * h)[1, ...],
    "of an array": lambda h: (np.ones(1) * h).squeeze(),
    "positive": lambda h: +h,
    "real": np.real,
    "broadcast": lambda h: np.broadcast_to(h, ()).copy(),
}
WHOLE = {
    "squeeze()": lambda n: n.squeeze(),
    "T": lambda n: n.T,
    "reshape": lambda n: np.reshape(n, ()),
    "[...]": lambda n: n[...],
    "ravel": lambda n: n.ravel(),
    "copy()": lambda n: n.copy(),
    "copy": np.copy,
    "where": lambda n: np.where(n > 0, 1, 2),
    "astype": lambda n: n.astype(np.int32).squeeze(),
}
PARTS = {
    "real": lambda z: z.real,
    "numpy.real": np.real,
    "imag": lambda z: z.imag,
}


def made_of_a_sum(make):
    def f(x):
        h = np.sum(x * x)
        t = make(h)
        s = t
        t += x[1]
        return np.sum(t) * np.sum(s) * h * x[0]

    return f


def made_of_a_count(make):
    def f(x):
        n = (x > 1.5).sum()
        m = make(n)
        s = m
        m += 2
        return np.sum(x) * np.sum(m) * np.sum(s) * n

    return f


def made_of_a_complex_sum(make):
    def f(x):
        z = np.sum(x * (1 + 2j))
        u = make(z)
        u += x[1]
        return u * np.abs(z) ** 2

    return f


@pytest.mark.parametrize(
    "f",
    [
        pytest.param(of(make), id=f"{of.__name__}-{name}")
        for of, table in (
            (made_of_a_sum, MADE),
            (made_of_a_count, WHOLE),
            (made_of_a_complex_sum, PARTS),
        )
        for name, make in table.items()
    ],
)
def test_what_is_made_of_a_number(f):
    value, gradient = f(X), differences(f, X)
    for transform in (
        bp.value_and_grad(f),
        bp.value_and_grad(bp.unmodified(f)),
        bp.value_and_grad(bp.checkpoint(f)),
        bp.compile(bp.value_and_grad(f)),
        lambda x: [y[0] for y in bp.vmap(bp.value_and_grad(f))(x[None])],
    ):
        found = transform(X)
        np.testing.assert_allclose(found[0], value, rtol=1e-12)
        np.testing.assert_allclose(found[1], gradient, rtol=1e-6)
    np.testing.assert_allclose(bp.jvp(f, (X,), (np.ones(3),))[1], gradient.sum(), rtol=1e-6)


@pytest.mark.parametrize(
    "write",
    [
        lambda h: h.fill(1.0),
        lambda h: h.flat.__setitem__(0, 1.0),
        lambda h: np.put(h, 0, 1.0),
        lambda h: np.copyto(h, 1.0),
        lambda h: np.add.at(h, (), 1.0),
        lambda h: np.exp(h, out=h),
    ],
)
def test_a_number_is_not_written_into(write):
    """NumPy refuses that, or does nothing."""

    def f(x):
        write(np.sum(x))
        return np.sum(x)

    for transform in (bp.grad(f), bp.compile(f)):
        with pytest.raises(TypeError, match=r"is a number"):
            transform(X)
    with pytest.raises(TypeError):
        bp.compile(lambda x: (write((x > 0).sum()), np.sum(x))[1])(X)


def test_checkpoints_hand_numbers_on():
    def f(x, y):
        s = y
        s += x[0]
        return s * 2.0 + y * 3.0, s

    x, y = np.array([0.4, 0.9]), 0.3
    expected = (np.array([2.0, 0.0]), 5.0)
    for g in (f, bp.checkpoint(f)):
        found = bp.grad(lambda x, y, g=g: g(x, y)[0], (0, 1))(x, y)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b)
        along = bp.jvp(lambda x, y, g=g: g(x, y)[0], (x, y), (np.ones(2), 1.0))
        np.testing.assert_allclose(along, (2.3, 7.0))
    cell = np.array(0.3)  # an array: both names are of it
    assert f(x, cell.copy())[0] == pytest.approx(3.5)
    found = bp.grad(lambda x, y: bp.checkpoint(f)(x, y)[0], (0, 1))(x, cell)
    np.testing.assert_allclose(found[0], [5.0, 0.0])

    def after(x, y, g):
        t = g(x, y)[1]
        s = t
        t += 1.0
        return t * s

    for y in (0.3, np.array(0.3)):
        value = after(x, copy.copy(y), f)
        for g in (f, bp.checkpoint(f)):
            found = bp.value_and_grad(lambda x, y, g=g: after(x, y, g), (0, 1))(x, y)[0]
            np.testing.assert_allclose(found, value)


def test_steps_of_a_checkpointed_scan_get_numbers():
    def step(carry, x):
        s = carry
        s += x
        return s * carry, s

    def f(xs, k=None):
        last, all_ = bp.scan(step, 0.5 * xs[0], xs, checkpoint=k)
        return last + np.sum(all_)

    expected = bp.value_and_grad(f)(X)
    for k in (1, 2, "binomial"):
        found = bp.value_and_grad(lambda xs, k=k: f(xs, k))(X)
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-13)
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-12)


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
