"""`bp.unmodified`: functions that are given as arguments are the user's code, too."""

import functools
import gc
import weakref

import numpy as np

import fastbp as bp


def rates(y, k):
    return np.array([-k * y[0], k * y[0] - y[1]])


def filled(y, k):
    out = np.zeros(2)
    out[0] = -k * y[0]
    out[1] = k * y[0] - y[1]
    return out


class Model:
    def rates(self, y, k):
        return filled(y, k)


def euler(k, f, steps=10):
    y = np.zeros((steps + 1, 2))
    y[0] = 1.0
    for n in range(steps):
        y[n + 1] = y[n] + 0.1 * f(y[n], k)
    return y[-1]


def by_hand(k, steps=10):
    """Value and slope of both numbers."""
    a, b, da, db = 1.0, 1.0, 0.0, 0.0
    for _ in range(steps):
        a, b, da, db = (
            a - 0.1 * k * a,
            b + 0.1 * (k * a - b),
            da - 0.1 * (a + k * da),
            db + 0.1 * (a + k * da - db),
        )
    return [a, b], [da, db]


def test_callbacks():
    value, slope = by_hand(0.7)
    f = bp.unmodified(euler)
    for callback in (
        rates,
        filled,
        lambda y, k: np.array([-k * y[0], k * y[0] - y[1]]),
        functools.partial(lambda y, k, sign: sign * rates(y, k), sign=1.0),
        bp.unmodified(rates),
        Model().rates,
    ):
        np.testing.assert_allclose(euler(0.7, callback), value, rtol=1e-14)
        np.testing.assert_allclose(f(0.7, callback), value, rtol=1e-14)
        for _ in range(2):
            np.testing.assert_allclose(bp.jacobian(f)(0.7, callback), slope, rtol=1e-13)
        found = bp.jacobian(lambda k, c=callback: f(k, f=c))(0.7)
        np.testing.assert_allclose(found, slope, rtol=1e-13)


def test_a_callback_of_one_call_is_not_kept():
    f = bp.unmodified(euler)

    def callback(y, k):
        return rates(y, k)

    bp.jacobian(f)(0.7, callback)
    seen = weakref.ref(callback)
    del callback
    gc.collect()
    assert seen() is None


def test_a_callback_may_change_what_it_closes_over():
    f = bp.unmodified(euler)
    scale = 1.0

    def callback(y, k):
        return scale * rates(y, k)

    once = bp.jacobian(f)(0.7, callback)
    scale = 2.0
    twice = bp.jacobian(f)(0.7, callback)
    np.testing.assert_allclose(once, by_hand(0.7)[1], rtol=1e-13)
    expected = [
        (euler(0.7 + h, callback) - euler(0.7 - h, callback)) / (2 * h) for h in (1e-3, 2e-3)
    ]
    np.testing.assert_allclose(twice, (4 * expected[0] - expected[1]) / 3, rtol=1e-9)
