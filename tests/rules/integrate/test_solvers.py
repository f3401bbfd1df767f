"""Solvers and quadratures: derivatives to their tolerances, in both modes, and again."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.integrate

import fastbp as bp
from fastbp.errors import DTypeError, NoRuleError, RecomputedError
from fastbp.rules.integrate.calling import of_numbers
from fastbp.scipy.integrate import fixed_quad, odeint, quad, quad_vec, solve_ivp

TIGHT = {"rtol": 1e-9, "atol": 1e-9}


def paired(a, b):
    return sum(np.sum(x * y) for x, y in zip(a, b, strict=True))


def check(f, args, rng, order=2, rtol=1e-6, step=1e-4):
    """Compare both modes and all second derivatives with differences, to a tolerance."""
    args = [np.asarray(x, float) for x in args]
    argnums = tuple(range(len(args)))
    w = rng.normal(size=np.shape(f(*args)))
    ts = tuple(rng.normal(size=x.shape) for x in args)

    def loss(*x):
        return np.sum(w * f(*x))

    def along(*x):
        return bp.jvp(loss, x, ts)[1]

    def pulled(*x):
        return paired(bp.grad(loss, argnums)(*x), ts)

    def difference(g):
        after, before = (
            g(*[x + s * t for x, t in zip(args, ts, strict=True)]) for s in (step, -step)
        )
        return (after - before) / (2 * step)

    found = [along(*args), pulled(*args)]
    np.testing.assert_allclose(found, difference(loss), rtol=rtol, atol=rtol)
    if order == 2:
        found = [bp.jvp(g, args, ts)[1] for g in (along, pulled)]
        found += [paired(bp.grad(g, argnums)(*args), ts) for g in (along, pulled)]
        np.testing.assert_allclose(found, difference(pulled), rtol=10 * rtol, atol=10 * rtol)


# ---- equations


def predators(y, t, p, q):
    meetings = p["b"] * y[0] * y[1]
    return [p["a"] * y[0] - meetings * np.cos(0.1 * t), meetings - q * y[1]]


def populations(y0, t, a, b, q):
    return odeint(predators, y0, t, args=({"a": a, "b": b}, q), **TIGHT)


POINT = ([1.0, 2.0], [0.0, 0.5, 1.2], 1.1, 0.4, 0.7)


def test_odeint_by_all_that_it_is_given(rng):
    check(populations, POINT, rng)


def test_odeint_returns_what_scipy_does():
    y0, t, a, b, q = map(np.asarray, POINT)
    args = ({"a": a, "b": b}, q)
    expected = scipy.integrate.odeint(predators, y0, t, args)
    np.testing.assert_array_equal(odeint(predators, bp.variable(y0), t, args).value, expected)
    y, info = odeint(predators, bp.variable(y0), t, args, full_output=1)
    np.testing.assert_array_equal(y.value, expected)
    assert info["message"] == "Integration successful."
    np.testing.assert_array_equal(odeint(predators, y0, t, args), expected)


def test_a_closed_form():
    t = np.array([0.0, 0.3, 2.0])
    slope = bp.jacobian(lambda k: odeint(lambda y, t, k: -k * y, [3.0], t, (k,))[:, 0])(0.5)
    np.testing.assert_allclose(slope, -3.0 * t * np.exp(-0.5 * t), rtol=1e-6, atol=1e-7)
    second = bp.hessian(lambda k: odeint(lambda y, t, k: -k * y, [3.0], t, (k,))[-1, 0])(0.5)
    np.testing.assert_allclose(second, 3.0 * 4.0 * np.exp(-1.0), rtol=1e-6)


def test_a_stiff_decay_is_differentiated_stably():
    """Going back along the equation itself would grow like exp(2000)."""
    t = np.array([0.0, 1.0, 2.0])

    def f(k):
        return odeint(lambda y, t, k: -1000.0 * (y - k * np.cos(t)), [0.0], t, (k,))[-1, 0]

    expected = scipy.integrate.odeint(lambda y, t: -1000.0 * (y - np.cos(t)), [0.0], t)[-1, 0]
    np.testing.assert_allclose(bp.grad(f)(2.0), expected, rtol=1e-5)
    np.testing.assert_allclose(bp.jvp(f, (2.0,), (1.0,))[1], expected, rtol=1e-5)


def test_backward_in_time_and_times_that_repeat(rng):
    def f(y0, k):
        t = np.array([1.0, 1.0, 0.4, 0.0])
        return solve_ivp(
            lambda t, y, k: k * y * t, (1.0, 0.0), y0, t_eval=t[1:], args=(k,), **TIGHT
        ).y

    check(f, ([1.0, -0.5], 0.8), rng)


@pytest.mark.parametrize("method", ["RK23", "RK45", "DOP853", "LSODA", "Radau", "BDF"])
def test_solve_ivp_by_every_method(method, rng):
    def rotated(t, y, k, a):
        return a @ y * k * np.cos(t)

    def f(y0, times, k, a, start):
        args = (k, a)
        return solve_ivp(
            rotated, (start, 1.0), y0, method, times, args=args, rtol=1e-8, atol=1e-8
        ).y

    a = [[0.0, 1.0], [-2.0, -0.3]]
    check(f, ([1.0, 2.0], [0.3, 0.9], 1.3, a, 0.1), rng, order=1, rtol=5e-6)


def test_solve_ivp_moves_with_the_ends_of_its_span(rng):
    def f(y0, start, stop):
        found = solve_ivp(lambda t, y: y * np.cos(t), (start, stop), y0, **TIGHT)
        assert np.shape(found.t) == np.shape(found.y)[1:]
        return found.y[:, -1]

    check(f, ([1.0, -0.5], 0.1, 1.4), rng)


def test_complex_states(rng):
    def f(w):
        y = solve_ivp(lambda t, y, w: 1j * w * y, (0.0, 1.0), [1.0 + 0j], args=(w,), **TIGHT).y
        return np.real(y[0, -1])

    np.testing.assert_allclose(bp.grad(f)(0.7), -np.sin(0.7), rtol=1e-6)
    np.testing.assert_allclose(bp.jvp(f, (0.7,), (1.0,))[1], -np.sin(0.7), rtol=1e-6)


def test_what_is_refused_by_name():
    t = np.array([0.0, 1.0])

    def f(t, y):
        return -y

    with pytest.raises(NoRuleError, match=r"odeint.*in args="):
        bp.grad(lambda k: odeint(lambda y, t: -k * y, np.ones(1) * k, t)[1, 0])(0.5)
    with pytest.raises(NoRuleError, match=r"odeint.*ml="):
        bp.grad(lambda k: odeint(f, k * np.ones(1), t, ml=1, tfirst=True)[1, 0])(0.5)
    with pytest.raises(TypeError, match=r"solve_ivp: args=.* write args=\(k,\)"):
        bp.grad(lambda k: solve_ivp(lambda t, y, k: -k * y, (0, 1), [1.0], args=k).y[0, 1])(0.5)
    with pytest.raises(NoRuleError, match=r"solve_ivp.*events="):
        bp.grad(lambda k: solve_ivp(f, (0, 1), [k], events=lambda t, y: y[0]).y[0, 1])(0.5)
    with pytest.raises(NoRuleError, match=r"solve_ivp.*dense_output="):
        bp.grad(lambda k: solve_ivp(f, (0, 1), [k], dense_output=True).y[0, 1])(0.5)
    with pytest.raises(NoRuleError, match=r"solve_ivp.*rtol="):
        bp.grad(lambda k: solve_ivp(f, (0, 1), [1.0], rtol=k).y[0, 1])(1e-3)
    with pytest.raises(DTypeError, match="y0 has dtype complex128"):
        bp.grad(lambda k: np.real(odeint(f, 1j * k * np.ones(1), t, tfirst=True))[1, 0])(0.5)


@pytest.mark.parametrize("method", ["RK45", "DOP853", "Radau", "BDF"])
def test_a_solution_that_fails_has_derivatives_up_to_there(method):
    """y' = k y^2 from 1 is 1 / (1 - k t): it ends at t = 1 / k."""
    t = np.linspace(0.0, 0.9, 4)

    def f(k, t_eval=t, **options):
        found = solve_ivp(
            lambda t, y, k: k * y**2, (0.0, 2.0), [1.0], method, t_eval, args=(k,), **options
        )
        assert found.status == -1
        return found.y[0]

    tight = {"rtol": 1e-9, "atol": 1e-9}
    expected = t / (1.0 - t) ** 2
    np.testing.assert_allclose(bp.jacobian(lambda k: f(k, **tight))(1.0), expected, rtol=1e-3)
    np.testing.assert_allclose(
        bp.jvp(lambda k: f(k, **tight), (1.0,), (1.0,))[1], expected, rtol=1e-3
    )
    late = np.append(t, 1.5)  # where there is none
    assert f(1.0, late).shape == f(bp.variable(1.0), bp.variable(late)).shape == (4,)


def test_odeint_that_fails_is_an_error():
    t = np.array([0.0, 0.5, 2.0])
    with (
        pytest.warns(scipy.integrate.ODEintWarning),
        pytest.raises(RuntimeError, match=r"odeint.*all times"),
    ):
        bp.grad(lambda k: odeint(lambda y, t, k: k * y**2, 1.0, t, args=(k,))[1, 0])(1.0)


# ---- quadrature


def test_quad_by_limits_and_arguments(rng):
    def f(a, b, c, v):
        return quad(lambda x, c, v: np.exp(-c * x) * v[0] + np.sin(v[1] * x), a, b, args=(c, v))[0]

    check(f, (0.3, 2.0, 1.2, [0.5, 2.0]), rng)


def test_quad_to_infinity():
    def f(c):
        return quad(lambda x, c: np.exp(-c * x * x), -np.inf, np.inf, args=(c,))[0]

    np.testing.assert_allclose(bp.grad(f)(1.2), -0.5 * np.sqrt(np.pi) * 1.2**-1.5, rtol=1e-9)
    np.testing.assert_allclose(
        bp.grad(bp.grad(f))(1.2), 0.75 * np.sqrt(np.pi) * 1.2**-2.5, rtol=1e-8
    )
    assert bp.grad(lambda b: quad(lambda x: np.exp(-x), 0.0, b)[0])(np.inf) == 0.0


def test_quad_vec_and_fixed_quad(rng):
    def f(a, b, v):
        return quad_vec(lambda x, v: np.exp(-v * x), a, b, args=(v,))[0]

    check(f, (0.3, 2.0, [0.5, 2.0]), rng)
    check(lambda a, b, c: fixed_quad(lambda x, c: np.exp(c * x), a, b, (c,), 4)[0],
          (0.3, 2.0, 0.5), rng)  # fmt: skip


def test_values_of_quadratures_are_scipys():
    x = bp.variable(0.5)
    value, error = quad(lambda t, x: np.cos(x * t), 0.0, 2.0, args=(x,))
    plain = scipy.integrate.quad(lambda t, x: np.cos(x * t), 0.0, 2.0, args=(0.5,))
    assert (value.value, error) == plain
    with pytest.raises(NoRuleError, match=r"quad: the argument weight="):
        quad(lambda t, x: x, 0.0, 2.0, args=(x,), weight="cos", wvar=1.0)
    with pytest.raises(NoRuleError, match=r"quad: the function depends"):
        quad(lambda t: x, 0.0, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert quad(np.cos, 0.0, 1.0) == scipy.integrate.quad(np.cos, 0.0, 1.0)


def test_containers_of_many_parameters():
    t, p = np.array([0.0, 1.0]), {f"k{i}": 0.1 * i for i in range(45)}

    def decay(y, t, p):
        return -sum(p.values()) * y / len(p)

    found = bp.grad(lambda p: odeint(decay, [1.0], t, args=(p,))[1, 0])(p)
    expected = -np.exp(-sum(p.values()) / 45) / 45
    np.testing.assert_allclose(list(found.values()), expected, rtol=1e-6)
    assert bp.grad(lambda p: quad(lambda x, p: p["a"] * x, 0, 1, (p,))[0])({"a": 0.5})["a"] == 0.5


def test_an_operation_computes_what_it_is_given():
    """The value that was known when it was recorded is that of its operands then."""
    from fastbp._core.tape import Tape

    k = bp.variable(0.5)
    y = odeint(lambda y, t, k: -k * y, [1.0], np.array([0.0, 1.0]), args=(k,))
    (link,) = [link for link in Tape([y], [k]).links() if link.op is not None]
    y0, times = np.ones(1), np.array([0.0, 1.0])
    for value in (0.5, 2.0):
        found = link.op.forward(y0, times, np.array(value), **link.static)
        np.testing.assert_allclose(found[1, 0], np.exp(-value), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "solve"),
    [
        ("quad", lambda a: quad(lambda t: a * t, 0.0, 1.0)[0]),
        ("quad_vec", lambda a: quad_vec(lambda t: a * t, 0.0, 1.0)[0]),
        ("odeint", lambda a: odeint(lambda y, t: -a * y, 1.0, [0.0, 1.0])[1, 0]),
        ("solve_ivp", lambda a: solve_ivp(lambda t, y: [-a * y[0]], (0.0, 1.0), [1.0]).y[0, -1]),
    ],
)
def test_functions_that_read_a_variable_from_their_surroundings(name, solve):
    with pytest.raises(NoRuleError, match=rf"scipy\.integrate\.{name}: .* hand it over in args="):
        bp.grad(solve)(1.0)
    assert np.isfinite(solve(1.0))


def test_integrands_of_numbers_can_be_sent_to_other_processes():
    """As `quad_vec` does with ``workers=2``."""
    sent = pickle.loads(pickle.dumps(of_numbers(np.sin, "quad_vec")))
    assert sent(1.0) == np.sin(1.0)


@pytest.mark.parametrize("method", ["Radau", "BDF", "LSODA"])
def test_a_jacobian_has_the_arguments_of_the_function(method, rng):
    seen = []

    def f(t, y, p, q):
        return -p["k"] * y * q

    def jac(t, y, p, q):
        seen.append((type(p["k"]), type(y)))
        return np.diag(-p["k"] * q * np.ones(2))

    def end(y0, k):
        return solve_ivp(f, (0.0, 1.0), y0, method, args=({"k": k}, 2.0), jac=jac, **TIGHT).y[:, -1]

    check(end, ([1.0, 2.0], 1.3), rng, order=1, rtol=1e-5)
    assert seen or method == "LSODA"  # which decides whether it needs one
    assert not any(bp.Variable in kinds for kinds in seen)

    def other(k):
        jac = lambda t, y, q: np.diag(-k * np.ones(2))
        f = lambda t, y, q: -q * y
        return solve_ivp(f, (0.0, 1.0), [1.0, 1.0], "Radau", args=(k,), jac=jac).y

    with pytest.raises(NoRuleError, match="a Variable that it is not given"):
        bp.jvp(other, (1.3,), (1.0,))


@pytest.mark.parametrize(
    "solved",
    [
        lambda k, a: solve_ivp(lambda t, y, a: -k * y * a, (0.0, 1.0), [1.0], args=(a,)).y[0, -1],
        lambda k, a: odeint(lambda y, t, a: -k * y * a, [1.0], [0.0, 1.0], args=(a,))[-1, 0],
        lambda k, a: quad(lambda t, a: np.exp(-k[0] * a * t), 0.0, 1.0, args=(a,))[0],
        lambda k, a: quad_vec(lambda t, a: np.exp(-k * a * t), 0.0, 1.0, args=(a,))[0][0],
    ],
)
def test_functions_that_have_changed_since(solved):
    """What they read around them is another: there is no derivative then, not another one."""
    k = np.array([0.5])
    _, pullback = bp.vjp(lambda a: solved(k, a), 0.3)
    _, pushforward = bp.linearize(lambda a: solved(k, a), 0.3)
    expected = bp.grad(lambda a: solved(np.array([0.5]), a))(0.3)
    assert pullback(1.0)[0] == expected
    k *= 2.0
    for product in (pullback, pushforward):
        with pytest.raises(RecomputedError, match="surroundings has changed"):
            product(1.0)
