"""Results that do not depend on an argument: a warning that names it, once; never a false one."""

import warnings

import numpy as np
import pytest
import scipy.optimize

import fastbp as bp
from fastbp.errors import ShapeError, UnconnectedError, UnconnectedWarning

X = np.array([1.0, 2.0, 3.0])


def said(call):
    """Return what a call warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert all(w.category is UnconnectedWarning for w in caught)
    return [str(w.message) for w in caught]


# ---- what is lost


LOST = {
    "bool": lambda x: np.sum(x) > 2.0,
    "argmax": lambda x: np.argmax(x),
    "constant": lambda x: 3.0,
    "whole number": lambda x: 3,
    "array": lambda x: np.ones(()),
    "item": lambda x: np.sum(x).item(),
    "value": lambda x: np.sum(x.value),
    "tolist": lambda x: sum(x.value.tolist()),
    "floor": lambda x: np.sum(np.floor(x)),
    "round": lambda x: round(np.sum(x)),
    "another Variable": lambda x: OTHER * 2.0,
}
OTHER = bp.variable(1.0)


@pytest.mark.parametrize("name", LOST)
def test_a_scalar_that_does_not_depend_on_its_argument(name):
    f = LOST[name]
    with pytest.warns(
        UnconnectedWarning, match=r"grad: the result.* does not depend on argument 0"
    ):
        found = bp.grad(f)(X)
    np.testing.assert_array_equal(found, 0.0)
    with pytest.raises(UnconnectedError, match=r"grad: .*argument 0.*zero"):
        bp.grad(f, unconnected="raise")(X)
    assert bp.grad(f, unconnected="none")(X) is None
    np.testing.assert_array_equal(bp.value_and_grad(f, unconnected="zero")(X)[1], found)


def test_the_message_says_what_the_result_is_and_what_to_write():
    (text,) = said(lambda: bp.grad(LOST["bool"])(X))
    assert "the result, a plain bool, does not depend" in text
    assert "numpy.where for a choice" in text
    assert 'unconnected="zero"' in text
    (text,) = said(lambda: bp.jacobian(np.argsort)(X))
    assert "a plain array of int64" in text


# Each is a call, of an argument that its result does not depend on.
TRANSFORMS = {
    "grad": lambda **o: bp.grad(lambda a, b: np.sum(a), (0, 1), **o)(X, X),
    "value_and_grad": lambda **o: bp.value_and_grad(lambda a, b: np.sum(a), (0, 1), **o)(X, X),
    "elementwise_grad": lambda **o: bp.elementwise_grad(lambda a, b: a * a, (0, 1), **o)(X, X),
    "vjp": lambda **o: bp.vjp(lambda a, b: a * 2, X, X, **o)[1](X),
    "jvp": lambda **o: bp.jvp(lambda a, b: a * 2, (X, X), (X, X), **o),
    "linearize": lambda **o: bp.linearize(lambda a, b: a * 2, X, X, **o),
    "jacobian": lambda **o: bp.jacobian(lambda a, b: a * 2, (0, 1), **o)(X, X),
    "hessian": lambda **o: bp.hessian(lambda a, b: np.sum(a * a), 1, **o)(X, X),
    "hvp": lambda **o: bp.hvp(lambda b: np.sum(X), X, X, **o),
    "sparse.jacobian": lambda **o: bp.sparse.jacobian(lambda a, b: a * 2, X, X, argnums=1, **o),
    "sparse.hessian": lambda **o: bp.sparse.hessian(lambda a, b: np.sum(a), X, X, argnums=1, **o),
    "sparse.prepare": lambda **o: bp.sparse.prepare(lambda a, b: a * 2, X, X, argnums=1, **o),
    "tensor.derivative": lambda **o: bp.tensor.derivative(lambda a: X * 2, X, **o),
    "tensor.explain": lambda **o: bp.tensor.explain(lambda a: X * 2, X, **o),
    "chain.linearize": lambda **o: bp.chain.linearize(lambda a: X * 2, X, **o),
    "gradients": lambda **o: bp.gradients(*(lambda a: (np.sum(a), [a, bp.variable(X)]))(
        bp.variable(X)), **o),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_transform_has_the_option(name):
    call = TRANSFORMS[name]
    (text,) = set(said(call))  # a sparse Hessian runs its function twice
    assert "does not depend on" in text
    assert said(lambda: call(unconnected="zero")) == []
    with pytest.raises(UnconnectedError, match="does not depend on"):
        call(unconnected="raise")
    with pytest.raises(ValueError, match="unconnected must be"):
        call(unconnected="silent")


@pytest.mark.parametrize("minimise", [bp.optim.adam, bp.optim.lbfgs])
def test_optimizers_warn_of_no_option_that_they_have_not(minimise):
    (text,) = said(lambda: minimise(lambda x: 1.0, X, steps=1))
    assert text.startswith(f"{minimise.__name__}: the result, a plain float, does not depend on")
    assert "unconnected" not in text


# What `f` returns if a return is missing is no constant, and no structure without leaves.
WITHOUT_RETURN = {
    "grad": lambda f: bp.grad(f)(X),
    "value_and_grad": lambda f: bp.value_and_grad(f)(X),
    "elementwise_grad": lambda f: bp.elementwise_grad(f)(X),
    "vjp": lambda f: bp.vjp(f, X),
    "jvp": lambda f: bp.jvp(f, (X,), (X,)),
    "linearize": lambda f: bp.linearize(f, X),
    "jacobian": lambda f: bp.jacobian(f)(X),
    "jacobian forward": lambda f: bp.jacobian(f, mode="forward")(X),
    "hessian": lambda f: bp.hessian(f)(X),
    "hvp": lambda f: bp.hvp(f, X, X),
    "sparse.jacobian": lambda f: bp.sparse.jacobian(f, X),
    "sparse.hessian": lambda f: bp.sparse.hessian(f, X),
    "tensor.derivative": lambda f: bp.tensor.derivative(f, X),
    "tensor.explain": lambda f: bp.tensor.explain(f, X),
    "chain.linearize": lambda f: bp.chain.linearize(f, X),
}


@pytest.mark.parametrize("name", WITHOUT_RETURN)
def test_a_function_without_a_return_is_refused(name):
    with pytest.raises(ShapeError, match="the function returned None: is a return missing"):
        WITHOUT_RETURN[name](lambda x: None)


def _yields(x):
    yield np.sum(x)


async def _awaited(x):
    return np.sum(x)


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize("name", WITHOUT_RETURN)
def test_functions_that_have_not_run_are_refused(name):
    with pytest.raises(TypeError, match=r"generator.* return in place of yield"):
        WITHOUT_RETURN[name](_yields)
    with pytest.raises(TypeError, match="an async function has run: write it with def"):
        WITHOUT_RETURN[name](_awaited)


def test_none_in_place_of_zeros():
    for name in ("grad", "elementwise_grad", "vjp"):
        found = TRANSFORMS[name](unconnected="none")
        assert found[0] is not None
        assert found[1] is None
    for name in ("jvp", "linearize", "jacobian", "hessian", "hvp", "sparse.jacobian"):
        with pytest.raises(ValueError, match="unconnected must be"):
            TRANSFORMS[name](unconnected="none")


def test_leaves_are_named_by_their_paths():
    p = {"w": X, "b": X, "c": [X, np.ones(0)]}
    (text,) = said(lambda: bp.grad(lambda p: np.sum(p["w"]))(p))
    assert "argument 0['b'], argument 0['c'][0], so" in text  # what is empty is not lost
    many = [X] * 9
    (text,) = said(lambda: bp.grad(lambda p: np.sum(p[0]))(many))
    assert "argument 0[5] and 3 more" in text


# ---- what is not lost


def doubled(x):
    return np.sum(2.0 * x)


MEANT = {
    "hessian of a linear function": lambda: bp.hessian(doubled)(X),
    "hvp of one": lambda: bp.hvp(doubled, X, X),
    "sparse hessian of one": lambda: bp.sparse.hessian(doubled, X),
    "gradient of its gradient": lambda: bp.grad(lambda x: np.sum(bp.grad(doubled)(x)))(X),
    "jacobian of its gradient": lambda: bp.jacobian(bp.grad(doubled))(X),
    "twice elementwise": lambda: bp.elementwise_grad(bp.elementwise_grad(lambda x: 2.0 * x))(X),
    "jvp of its jvp": lambda: bp.jvp(lambda x: bp.jvp(doubled, (x,), (X,))[1], (X,), (X,)),
    "vjp of its vjp": lambda: bp.vjp(lambda x: bp.vjp(doubled, x)[1](1.0)[0], X),
    "third of a square": lambda: bp.grad(bp.grad(bp.grad(lambda x: x * x)))(2.0),
    "closed over": lambda: bp.grad(lambda x: bp.grad(lambda y: x + y)(2.0))(3.0),
    "stop_gradient": lambda: bp.grad(lambda x: np.sum(bp.stop_gradient(x)))(X),
    "stop_gradient of one": lambda: bp.grad(lambda p, q: np.sum(p * bp.stop_gradient(q)), (0, 1))(
        X, X
    ),
    "times zero": lambda: bp.grad(lambda x: np.sum(x * 0.0))(X),
    "a branch not taken": lambda: bp.grad(
        lambda x: np.sum(np.where(x > 9.0, np.sqrt(x - 1.0), 0.0))
    )(X),
    "a rule that returns None": lambda: bp.grad(lambda a, b: np.sum(RULE(a, b)), (0, 1))(X, X),
    "an empty argument": lambda: bp.grad(lambda a, b: np.sum(a), (0, 1))(X, np.ones(0)),
    "a constant among outputs": lambda: bp.vjp(lambda x: (x, 1.0), X),
    "a zero block of a jacobian": lambda: bp.jacobian(lambda a, b: (a, b), (0, 1))(X, X),
    "check_grads": lambda: bp.testing.check_grads(lambda x: 1.0, X),
    "second by create_graph": lambda: bp.gradients(
        *(lambda a: (bp.gradients(3.0 * a, a, create_graph=True), a))(bp.variable(2.0))
    ),
    "the pattern of a constant": lambda: bp.sparse.sparsity(lambda x: np.ones(2), X),
}
RULE = bp.custom_rule(lambda a, b: a * 1.0, vjp=lambda g, ans, a, b: (g, None))


@pytest.mark.parametrize("name", MEANT)
def test_what_is_meant_does_not_warn(name):
    assert said(MEANT[name]) == []


def test_a_rule_that_returns_none_gives_zeros_of_the_right_shape():
    f = lambda a, b: np.sum(RULE(a, b))
    assert bp.grad(f, 1, unconnected="raise")(X, np.ones((2, 1))).shape == (2, 1)
    jac = bp.jacobian(RULE, (0, 1), mode="reverse", unconnected="raise")(X, np.ones(2))
    np.testing.assert_array_equal(jac[0], np.eye(3))
    np.testing.assert_array_equal(jac[1], np.zeros((3, 2)))


def test_what_was_meant_elsewhere_does_not_hide_a_loss():
    bp.grad(lambda x: np.sum(bp.stop_gradient(x) * x))(X)
    assert len(said(lambda: bp.grad(LOST["item"])(X))) == 1


# ---- once, at the user's line


def test_a_loop_warns_once_and_at_its_line():
    g = bp.grad(LOST["constant"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            g(X)
        g(X)
    assert len(caught) == 2  # one for each of the two lines
    assert {w.filename for w in caught} == {__file__}
    assert caught[1].lineno - caught[0].lineno == 1


def test_a_solver_of_scipys_warns_once_at_the_line_that_calls_it():
    def steps(x):
        return float(np.sum(np.floor(x)))

    def lossy(x):
        return np.sum(np.floor(x))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(2):
            scipy.optimize.minimize(steps, X, jac=bp.grad(lossy))
            scipy.optimize.least_squares(np.sin, X, jac=bp.jacobian(np.floor), max_nfev=3)
    assert [w.filename for w in caught] == [__file__] * 2
    assert "grad:" in str(caught[0].message)
    assert "jacobian:" in str(caught[1].message)
