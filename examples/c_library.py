"""
A function of a C library
=========================

A function of a C library, called through ctypes, with derivatives of any order.

Bessel's functions are in the mathematical library of C. The rules are their recurrences, written
with the wrapped functions themselves, so that a derivative can be differentiated again; `check=`
compares them with differences when they are made.
"""

import ctypes
import ctypes.util
import sys

import numpy as np
from scipy.optimize import newton

import fastbp as bp


def load():
    """Return jn(order, x) of C for arrays x."""
    name = ctypes.util.find_library("m")
    jn = ctypes.CDLL(name).jn if name else ctypes.CDLL("ucrtbase")._jn  # Windows
    jn.argtypes, jn.restype = [ctypes.c_int, ctypes.c_double], ctypes.c_double
    each = np.vectorize(jn, otypes=[float])
    return lambda n, x: each(n, x)


def bessel_vjp(g, ans, n, x):
    # 2 J_n' = J_(n - 1) - J_(n + 1), Abramowitz and Stegun 9.1.27.
    return g * (bessel(n - 1, x) - bessel(n + 1, x)) / 2.0


# The order is a constant: the rule returns the cotangent of x alone.
bessel = bp.custom_rule(load(), vjp=bessel_vjp, constant=0, name="jn")
bp.testing.check_grads(lambda x: bessel(1, x), np.array([0.5, 2.0, 7.0]), order=2)


def main():
    x = np.linspace(0.5, 12.0, 24)
    first = bp.elementwise_grad(lambda x: bessel(2, x))
    second = bp.elementwise_grad(first)
    # Bessel's equation, from derivatives of C code: x^2 y'' + x y' + (x^2 - n^2) y = 0.
    left = x**2 * second(x) + x * first(x) + (x**2 - 4.0) * bessel(2, x)
    print(f"Bessel's equation holds to {np.abs(left).max():.0e}")
    assert np.abs(left).max() < 1e-12

    # The tones of a drum are zeros of J_0, here by Halley's method.
    f = bp.grad(lambda x: bessel(0, x))
    zeros = (
        newton(lambda x: bessel(0, x), 2.4, fprime=f, fprime2=bp.grad(f)),
        newton(lambda x: bessel(0, x), 5.5, fprime=f, fprime2=bp.grad(f)),
    )
    print(f"zeros of J_0: {zeros[0]:.9f}, {zeros[1]:.9f}")
    assert np.allclose(zeros, [2.404825557695773, 5.520078110286311], rtol=1e-12)
    return zeros


def draw(zeros):
    """Draw a function of C with two derivatives, and its zeros."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(layout="constrained")
    x = np.linspace(0.0, 12.0, 300)
    f = lambda x: bessel(0, x)
    for name, g in (
        ("$J_0$ of C", f),
        ("its derivative", bp.elementwise_grad(f)),
        ("its second derivative", bp.elementwise_grad(bp.elementwise_grad(f))),
    ):
        ax.plot(x, g(x), label=name)
    ax.plot(zeros, np.zeros(2), "ko", label="zeros, by Halley's method")
    ax.axhline(0.0, color="gray", linewidth=0.5)
    ax.set_xlabel("x")
    ax.legend()
    return figure


if __name__ == "__main__":
    zeros = main()
    if sys.argv[1:]:  # a file for the picture
        draw(zeros).savefig(sys.argv[1])
