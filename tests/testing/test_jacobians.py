"""`check_jac` finds what is wrong in Jacobians written by hand, and says what it is."""

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp

import fastbp as bp
from fastbp.errors import DTypeError, ShapeError
from fastbp.testing import check_jac

X = np.array([0.5, -1.0, 2.0, 3.0])


def steps(x):
    return x**2 - np.roll(x, 1)


def steps_jac(x):
    return (np.diag(2 * x) - np.roll(np.eye(x.size), 1, axis=0)).astype(x.dtype)


def valley(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def product(a):
    return a @ a


def product_jac(a):
    one = np.eye(len(a))
    return np.einsum("ik,lj->ijkl", one, a) + np.einsum("ik,jl->ijkl", a, one)


def rejected(match, *args, error=AssertionError, **options):
    with pytest.raises(error, match=match) as caught:
        check_jac(*args, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("f", "jac", "x"),
    [
        (steps, steps_jac, X),
        (steps, steps_jac(X), X),
        (steps, steps_jac(X).tolist(), list(X)),
        (steps, lambda x: sp.csr_array(steps_jac(x)), X),
        (steps, lambda x: sp.coo_matrix(steps_jac(x)), X),
        (steps, steps_jac, X.astype("f4")),
        (steps, lambda x: steps_jac(x)[None], [1, 2, 3]),
        (valley, scipy.optimize.rosen_der, X),
        (valley, lambda x: scipy.optimize.rosen_der(x)[None], X),
        (bp.grad(valley), scipy.optimize.rosen_hess, X),
        (product, product_jac, np.arange(4.0).reshape(2, 2)),
        (product, lambda a: product_jac(a).reshape(4, 4), np.arange(4.0).reshape(2, 2)),
        (np.sin, np.cos, 0.3),
        (np.sqrt, lambda x: np.diag(0.5 / np.sqrt(x)), np.array([1e-5, 1.0])),
        (lambda x: np.ones(2), lambda x: np.zeros((2, 3)), np.ones(3)),
    ],
)
@pytest.mark.filterwarnings("ignore::fastbp.errors.UnconnectedWarning")
def test_what_is_right_passes(f, jac, x):
    check_jac(f, jac, x)


def test_further_arguments_go_to_both():
    check_jac(lambda x, a, b: a * x + b, lambda x, a, b: a * np.eye(x.size), X, 3.0, 1.0)


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
def test_the_mistake_is_named(storage):
    def wrong(change):
        return lambda x: storage(change(steps_jac(x)))

    text = rejected("it is the transpose of the exact one", steps, wrong(np.transpose), X)
    assert "[0, 3] is 0.0, exact -1.0" in text
    assert "and 5 more" in text
    rejected("it is -1 times the exact one", steps, wrong(np.negative), X)
    rejected(r"8 of 16 elements .* it is 2 times", steps, wrong(lambda j: 2 * j), X)
    hess = scipy.optimize.rosen_hess
    for part, name in ((np.triu, "upper"), (np.tril, "lower")):
        rejected(
            f"it is the {name} triangle of the exact one",
            bp.grad(valley),
            lambda x, part=part: storage(part(hess(x))),
            X,
        )


def test_a_missing_element_of_the_structure_is_named():
    rejected(
        "4 of 16 elements differ; its structure lacks all of them",
        steps,
        lambda x: sp.diags_array(2 * x),
        X,
    )

    def partly(x):
        jac = sp.lil_array(steps_jac(x))
        jac[0, 0], jac[1, 0] = 7.0, 0.0
        return sp.csr_array(jac)

    rejected("2 of 16 elements differ; its structure lacks 1 of them", steps, partly, X)


def test_what_is_zero_at_the_point_shows_nearby():
    def f(x):
        return x[0] * x

    def lacking(x):  # without x[1:] in the first column, which is zero at the point
        jac = x[0] * np.eye(3)
        jac[0, 0] *= 2.0
        return jac

    x = np.array([1.0, 0.0, 0.0])
    check_jac(f, lacking, x, points=0)
    check_jac(f, lacking(x), x)
    text = rejected(r"2 of 9 elements differ at x = \[", f, lacking, x)
    assert "[1, 0] is 0.0" in text
    assert rejected(r"at x = \[", f, lacking, x, seed=1) != text
    rejected("its structure lacks all", f, lambda x: sp.csr_array(lacking(x)), x)


def test_the_largest_difference_comes_first():
    wrong = steps_jac(X)
    wrong[1, 1] += 0.1
    wrong[2, 3] = -5.0
    text = rejected("2 of 16 elements", steps, wrong, X)
    assert text.index("[2, 3] is -5.0, exact 0.0") < text.index("[1, 1]")


def test_rounding_passes_and_more_does_not():
    check_jac(steps, steps_jac(X) * (1 + 1e-9), X)
    rejected("times the exact", steps, steps_jac(X) * (1 + 1e-5), X)
    check_jac(steps, steps_jac(X) * (1 + 1e-5), X, rtol=1e-4)
    nan = steps_jac(X)
    nan[0, 1] = np.nan
    rejected(r"\[0, 1\] is nan, exact 0.0", steps, nan, X)


def test_infinite_slopes_compare():
    with np.errstate(all="ignore"):
        check_jac(np.sqrt, lambda x: np.diag(0.5 / np.sqrt(x)), np.array([0.0, 1.0]))
        rejected("is 0.0, exact inf", np.sqrt, lambda x: np.diag(0.0 * x), np.array([0.0]))


def test_hessians_are_symmetric():
    hess = scipy.optimize.rosen_hess
    check_jac(bp.grad(valley), hess, X, symmetric=True)
    check_jac(bp.grad(valley), lambda x: sp.csc_array(hess(x)), X, symmetric=True)
    rejected("f is no gradient", steps, steps_jac, X, symmetric=True)
    rejected("f is no gradient", valley, scipy.optimize.rosen_der, X, symmetric=True)


def test_bad_input_is_refused_by_name():
    rejected(
        r"jac has shape \(3, 2\); f has 4 outputs and x has shape \(4,\), so needed is \(4, 4\)",
        steps,
        np.ones((3, 2)),
        X,
        error=ShapeError,
    )
    rejected(r"jac has shape \(16,\)", steps, np.ones(16), X, error=ShapeError)
    rejected("jac has shape", steps, sp.csr_array(np.ones((2, 8))), X, error=ShapeError)
    rejected("check_jac: jac has dtype complex128", steps, 1j * steps_jac(X), X, error=DTypeError)
    rejected("check_jac: x has dtype complex128", steps, steps_jac, 1j * X, error=DTypeError)
    rejected("check_jac: jac has dtype <U1", steps, "a", X, error=DTypeError)
    rejected(r"write check_jac\(f, jac, x\)", 3, steps_jac, X, error=TypeError)


def test_functions_may_write_into_their_arguments():
    def f(x):
        y = np.sum(x**2)
        x[0] = 9.0
        return y

    x = X.copy()
    check_jac(f, lambda x: 2 * x, x)
    np.testing.assert_array_equal(x, X)
