"""The array for the result, ``out``: named or at its position, of every function of NumPy's.

What is written into a Variable is recorded, or the call is refused: never neither.
"""

import inspect

import numpy as np
import pytest

import fastbp as bp
import fastbp.numpy as bnp
from fastbp._core import graph
from fastbp.errors import FastbpError
from fastbp.rules.table import CONSTANTS, SAMPLES

from ... import versions

X = np.array([1.37, -2.61, 0.44])
Y = np.array([0.2, 1.7, -3.4])

pytestmark = pytest.mark.filterwarnings("ignore:numpy.fix is deprecated:DeprecationWarning")

NOWHERE = {"argmax", "argmin", "nanargmax", "nanargmin"}  # their results are integers
if versions.INSTALLED["numpy"] < (2, 4):
    NOWHERE.add("fix")  # NumPy's own reads there what it has written into `out`


def _differences(f, x, h=1e-6):
    """Return the gradient of what is piecewise a parabola by central differences."""
    return [(f(x + h * e) - f(x - h * e)) / (2.0 * h) for e in np.eye(x.size)]


def _has_out(function):
    if isinstance(function, np.ufunc):
        return True
    try:
        return "out" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


STEPS = {
    name: getattr(np, name)
    for name in sorted(CONSTANTS)
    if _has_out(getattr(np, name, None)) and name not in NOWHERE
}


def _arguments(function, a):
    """Arguments up to `out`, which has the shape of `a`, and those of other names."""
    if function in (np.all, np.any):
        return (np.stack([a, a - 1.0]), 0), {}
    if function in (np.round, np.around):
        return (a, 1), {}
    if isinstance(function, np.ufunc) and function.nin == 2:
        return (a, 1.1), {}
    return (a,), {}


def _into(function, how, a, out):
    args, _ = _arguments(function, a)
    if how == "positional":
        return function(*args, out)
    return function(*args, out=out)


def _holds(f):
    """Check the value and the gradient of `f` in plain calls, compiled and over members."""
    compiled = bp.compile(bp.value_and_grad(f))
    for x in (X, Y):
        value, gradient = bp.value_and_grad(f)(x.copy())
        assert value == f(x.copy())
        np.testing.assert_allclose(gradient, _differences(f, x), atol=1e-6)
        again, by_plan = compiled(x.copy())
        assert again == value
        np.testing.assert_array_equal(by_plan, gradient)
    np.testing.assert_allclose(bp.vmap(f)(np.stack([X, Y])), [f(X.copy()), f(Y.copy())])


@pytest.mark.parametrize("how", ["positional", "named"])
@pytest.mark.parametrize("name", STEPS)
def test_what_has_no_derivative_is_written_into_a_recorded_array(name, how):
    def f(x):
        a = 2.0 * x
        result = _into(STEPS[name], how, a, a)
        assert type(result) is type(a)
        return np.sum(a * x)

    def g(x):  # an array that was filled, and a view
        a = np.stack([x, x * x])
        _into(STEPS[name], how, x * 1.4, a[1])
        return np.sum(a * a * x)

    _holds(f)
    _holds(g)


@pytest.mark.parametrize("how", ["positional", "named"])
@pytest.mark.parametrize("name", STEPS)
def test_into_what_has_no_derivative_itself(name, how):
    def f(x):
        a = np.floor(3.0 * x)
        _into(STEPS[name], how, x, a)
        z = bnp.zeros(3)
        _into(STEPS[name], how, a, z)
        return np.sum((a + z) * x)

    _holds(f)


def test_methods_and_masks():
    def f(x):
        a = x * 2.0
        a.round(1, a)
        b = x * x
        np.floor(b, b, where=np.array([True, False, True]))
        c = np.floor(4.0 * x)
        np.rint(x, c, where=x > 0.0)
        return np.sum(a * x + b * x + c * b)

    def g(x):  # it is broadcast
        a = np.stack([x, x * x])
        np.sign(x, a)
        b = np.floor(np.stack([x, x]))
        np.rint(x, b)
        return np.sum(a * x * b)

    _holds(f)
    _holds(g)


def test_what_numpy_refuses():
    for call in (
        lambda a: np.round(a, 1, a[:2]),
        lambda a: np.floor(a[None], a),
        lambda a: np.argmax(np.stack([a, a]), 0, a),
    ):
        raised = []
        for f in (call, bp.grad(lambda x, call=call: np.sum(call(2.0 * x)))):
            with pytest.raises((TypeError, ValueError)) as error:
                f(X.copy())
            raised.append(error.type)
        assert raised[0] is raised[1]


def _all_with_out():
    found = {}
    for module in (np, np.linalg, np.fft):
        for name in sorted(dir(module)):
            function = getattr(module, name)
            if name.startswith("_") or not callable(function) or isinstance(function, type):
                continue
            if isinstance(function, np.ufunc) or not _has_out(function):
                continue
            where = inspect.signature(function).parameters["out"]
            if where.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and function.__name__ == name:
                found[f"{module.__name__}.{name}"] = function
    return found


ALL = _all_with_out()


@pytest.mark.parametrize("name", ALL)
def test_no_function_writes_unseen(name):
    """At its position `out` is written into on the record, or refused by name."""
    function = ALL[name]
    own = function.__name__
    public = own if own in SAMPLES else name.removeprefix("numpy.")
    samples = SAMPLES[public](np.random.default_rng(0)) if public in SAMPLES else [((X,), {})]
    parameters = list(inspect.signature(function).parameters.values())
    at = [p.name for p in parameters].index("out")
    for args, kwargs in samples:
        if len(args) > at:
            continue
        given = list(args)
        for p in parameters[len(given) : at]:
            if p.name not in kwargs and p.default is inspect.Parameter.empty:
                return  # its operands are no parameters
            given.append(kwargs.get(p.name, p.default))
        rest = {k: v for k, v in kwargs.items() if k not in {p.name for p in parameters[:at]}}
        try:
            plain = function(*given, **rest)
            function(*given, np.array(plain), **rest)
        except (TypeError, ValueError):
            continue  # NumPy's own position of out is another one
        if not isinstance(plain, (np.ndarray, np.floating)) or plain.dtype != np.float64:
            continue
        out = 1.0 * bp.variable(np.full(np.shape(plain), 7.0))
        before = out.node_id
        try:
            function(*given, out, **rest)
        except (FastbpError, TypeError):
            assert out.node_id == before
            np.testing.assert_array_equal(out.value, 7.0)
            continue
        assert out.node_id != before
        np.testing.assert_allclose(out.value, plain)


def test_positions_are_numpys():
    a = np.zeros(3)
    for function in (np.round, np.sum, np.take, np.clip, np.fix, np.floor, np.ndarray.round):
        args = {np.sum: (a, None, None), np.take: (a, [0], None), np.clip: (a, 0, 1)}.get(
            function, (a, 1) if "round" in function.__name__ else (a,)
        )
        assert graph.without_out(function, (*args, X), {}) == (args, {}, X)
        assert graph.without_out(function, args, {}) == (args, {}, None)
        assert graph.without_out(function, args, {"out": X}) == (args, {}, X)


@pytest.mark.parametrize("shape", [(2, 3), (1, 3), (4, 2, 3)])
def test_results_of_ufuncs_are_broadcast_into_out(shape):
    def f(x):
        out = bp.variable(np.ones(shape))
        np.multiply(x, x, out=out)
        np.add(out, 1.0, out=out)
        return np.sum(out * out)

    def plain(x):
        out = np.multiply(x, x, out=np.ones(shape)) + 1.0
        return np.sum(out * out)

    want = 4.0 * X * (X**2 + 1.0) * np.prod(shape[:-1])
    value, slope = bp.value_and_grad(f)(X)
    np.testing.assert_allclose(value, plain(X), rtol=1e-14)
    np.testing.assert_allclose(slope, want, rtol=1e-14)
    np.testing.assert_allclose(bp.compile(bp.grad(f))(X), want, rtol=1e-14)
    for other in ((2,), (3, 1), ()):
        with pytest.raises(FastbpError, match=r"multiply: out= has shape .*, the result has shape"):
            np.multiply(bp.variable(X), X, out=bp.variable(np.ones(other)))


def test_a_refusal_says_what_to_write():
    x = bp.variable(X)
    for name, args in (("clip", (-1.0, 1.0)), ("cumsum", ()), ("take", ([0, 1, 2],))):
        with pytest.raises(
            FastbpError, match=rf"out= is not supported .*: write out\[\.\.\.\] = numpy\.{name}\("
        ):
            getattr(np, name)(x, *args, out=x)
    y = x.copy()
    y[...] = np.clip(y, -1.0, 1.0)
    np.testing.assert_array_equal(y.value, np.clip(X, -1.0, 1.0))
