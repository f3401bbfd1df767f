"""Code with plain NumPy that runs as it is: this module is the user's."""

import functools
import math
import pickle
import threading
import types

import numpy
import numpy as np
import numpy.linalg as la
import pytest
import scipy.signal
import scipy.special
from numpy import cos, zeros
from scipy.integrate import trapezoid
from scipy.special import logsumexp

import fastbp as bp
from fastbp.testing import check_grads

X = np.array([0.3, 0.8])
CALLS = 0


def rotation(angle):
    r = np.eye(2)
    r[0, 0] = r[1, 1] = cos(angle)
    r[1, 0] = math.sin(angle)
    r[0, 1] = -r[1, 0]
    return r


def by_a_helper(x):
    return la.norm(rotation(x[0]) @ np.array([x[1], 2.0]) - 1.0)


def by_names_of_functions(x):
    out = zeros(3)
    out[1:] = x
    return logsumexp(out) + scipy.special.expit(out).sum() + numpy.array([x[0], 1.0]).sum()


def by_imports(x):
    import numpy as xp
    from numpy import full
    from scipy.special import softmax

    return xp.sum(full(3, x[0]) * xp.r_[x, 1.0] ** 2) + softmax(x)[0]


def by_namespaces_of_scipy(x):
    import scipy.fft as sf

    waves = numpy.fft.fft(np.array([x[0], x[1], 1.0])).real + sf.dct(np.array([x[0], 0.0, x[1]]))
    return trapezoid(scipy.signal.lfilter([x[0]], [1.0, 0.5], waves))


def by_math(x):
    return np.array([math.exp(x[0]), math.log(x[1], 2), math.atan2(x[0], x[1])]).prod()


def by_comprehensions(x):
    rows = [np.array([v, v**2]) for v in x]
    return np.array(rows).sum() + sum(np.asarray([v]).sum() for v in x)


def by_a_nested_function(x):
    def inner(v):
        a = np.empty(2)
        a[0], a[1] = v, v * v
        return a

    return np.stack([inner(v) for v in x]).sum()


def by_defaults(x, make=np.zeros, helper=rotation):
    a = make(2)
    a[...] = x
    return (helper(x[0]) @ a).sum()


def by_keyword_defaults(x, *, make=np.ones):
    a = make(2)
    a[0] = x[0] * x[1]
    return a.prod()


def recursive(x, n=3):
    a = np.zeros(2)
    a[:] = x * n
    return a.sum() if n == 0 else np.sin(a).sum() + recursive(x, n - 1)


FUNCTIONS = [
    by_a_helper,
    by_names_of_functions,
    by_imports,
    by_namespaces_of_scipy,
    by_math,
    by_comprehensions,
    by_a_nested_function,
    by_defaults,
    by_keyword_defaults,
    recursive,
    functools.partial(recursive, n=2),
]


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: getattr(f, "__name__", "partial"))
def test_plain_code(f):
    g = bp.unmodified(f)
    value = bp.value_and_grad(g)(X)[0]
    np.testing.assert_allclose(value, f(X), rtol=1e-15)
    check_grads(g, (X,), order=2)
    assert type(g(X)) is type(f(X))


def test_the_module_and_numpy_stay_as_they_are():
    before = np.zeros, np.array, globals()["np"], rotation.__globals__
    bp.grad(bp.unmodified(by_a_helper))(X)
    assert before == (np.zeros, np.array, globals()["np"], rotation.__globals__)
    with pytest.raises(bp.errors.NoRuleError):
        bp.grad(by_a_helper)(X)


def test_names_are_looked_up_at_each_call(monkeypatch):
    g = bp.grad(bp.unmodified(by_a_helper))
    first = g(X)
    monkeypatch.setitem(globals(), "rotation", lambda angle: np.array([[angle, 0.0], [0.0, 1.0]]))
    second = g(X)
    assert not np.allclose(first, second)
    monkeypatch.undo()
    np.testing.assert_array_equal(g(X), first)


def counting(x):
    global CALLS
    CALLS += 1
    return np.array([x[0], CALLS]).sum()


def test_global_assignments_reach_the_module():
    start = CALLS
    g = bp.grad(bp.unmodified(counting))
    g(X)
    g(X)
    assert start + 2 == CALLS


def test_a_global_name_that_gets_its_old_value_again(monkeypatch):
    monkeypatch.setitem(globals(), "CALLS", 5)
    g = bp.grad(bp.unmodified(lambda x: counting(x)))
    g(X)
    assert CALLS == 6
    globals()["CALLS"] = 5
    g(X)
    assert CALLS == 6


def test_nonlocal_assignments_of_functions():
    def once(v):
        return np.array([v]).sum()

    step = once

    def f(x):
        nonlocal step
        y = step(x[0])
        step = np.sin
        return y

    g = bp.grad(bp.unmodified(f))
    np.testing.assert_array_equal(g(X), [1.0, 0.0])
    assert step(0.5) == np.sin(0.5)
    np.testing.assert_array_equal(g(X), [np.cos(X[0]), 0.0])


def test_nonlocal_assignments_and_cells():
    count = 0
    box = []

    def helper(v):
        return np.array([v, 2.0 * v])

    def f(x):
        nonlocal count
        count += 1
        box.append(count)
        return helper(x[0]).sum() * later(x[1])

    def later(v):
        return np.array([v]).sum()

    np.testing.assert_allclose(bp.grad(bp.unmodified(f))(X), [3 * X[1], 3 * X[0]])
    assert (count, box) == (1, [1])


class Pendulum:
    def __init__(self, length):
        self.length = length

    def rate(self, y):
        return np.array([y[1], -np.sin(y[0]) / self.length])

    def energy(self, y):
        return (self.rate(y) ** 2).sum()

    @staticmethod
    def doubled(y):
        return np.array([y[0], y[0]]).sum()

    @property
    def inverse(self):
        return np.array([1.0, 1.0 / self.length])


def test_methods():
    rate = bp.unmodified(Pendulum(2.0).rate)
    np.testing.assert_allclose(bp.jacobian(rate)(X), [[0, 1], [-np.cos(0.3) / 2, 0]])


def test_a_class():
    namespace = dict(vars(Pendulum))
    kept = {k: namespace[k] for k in ("__init__", "rate", "energy", "doubled", "inverse")}
    cls = bp.unmodified(type("Pendulum", (), kept))
    check_grads(cls(2.0).energy, (X,), order=2)
    np.testing.assert_array_equal(bp.grad(cls.doubled)(X), [2.0, 0.0])
    assert bp.grad(lambda length: cls(length).inverse.sum())(2.0) == -0.25


def test_other_modules():
    module = types.ModuleType("others")
    exec("import numpy as np\ndef pair(v):\n    return np.array([v, v * v])", vars(module))

    def f(x):
        return module.pair(x[0]).sum()

    with pytest.raises(bp.errors.NoRuleError):
        bp.grad(bp.unmodified(f))(X)
    np.testing.assert_allclose(bp.grad(bp.unmodified(f, also=module))(X), [1.6, 0.0])
    with pytest.raises(TypeError, match="also must be modules, not a str"):
        bp.unmodified(f, also="others")


def test_derivatives_and_transforms_inside():
    def inner(x):
        return np.array([x[0] ** 3, x[1]]).sum()

    def outer(x):
        return np.array([bp.grad(inner)(x)[0], x[1]]).sum()

    np.testing.assert_allclose(bp.grad(bp.unmodified(outer))(X), [6 * X[0], 1.0])
    np.testing.assert_allclose(bp.unmodified(bp.grad(inner))(X), [3 * X[0] ** 2, 1.0])
    np.testing.assert_allclose(bp.hessian(bp.unmodified(inner))(X), [[6 * X[0], 0], [0, 0]])


def test_with_variables():
    x = bp.variable(X)
    y = bp.unmodified(by_a_helper)(x)
    np.testing.assert_allclose(bp.gradients(y, x), bp.grad(bp.unmodified(by_a_helper))(X))


def test_threads_see_nothing_of_it():
    g = bp.grad(bp.unmodified(by_a_helper))
    expected, results = g(X), []

    def work():
        for _ in range(50):
            a = np.zeros(2)
            assert type(a) is np.ndarray
            results.append(np.array_equal(g(X), expected))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(results) == 200
    assert all(results)


def test_pickling_and_names():
    g = bp.unmodified(by_a_helper)
    assert repr(g) == "<function unmodified(by_a_helper)>"
    again = pickle.loads(pickle.dumps(bp.grad(g)))
    np.testing.assert_array_equal(again(X), bp.grad(g)(X))


@pytest.mark.parametrize("f", [len, np.sin, np.sum.__call__, 3, bp.numpy.sin])
def test_what_has_no_code_is_refused(f):
    with pytest.raises(TypeError, match="unmodified: a function written in Python is needed"):
        bp.unmodified(f)


def test_questions_of_classes_have_numpys_answers():
    @bp.unmodified
    def f(x):
        if isinstance(x, np.ndarray):
            return sum(f(y) for y in x)
        if not isinstance(x, float | np.floating) or not np.isscalar(x):
            return 0.0 * x
        return x * x

    np.testing.assert_array_equal(bp.grad(f)(np.array([1.0, 2.0])), [2.0, 4.0])
    assert bp.grad(f)(3.0) == 6.0
