"""Compiled functions: the same results, at other values too, and nothing frozen in silence."""

import copy
import functools
import itertools
import pickle
import threading
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest

import fastbp as bp
import fastbp.numpy as bnp
from fastbp import tree
from fastbp.errors import DTypeError, FrozenValueError, NoRuleError

X = np.array([0.5, -1.25, 2.0])
Y = np.array([1.5, 0.25, -0.75])


def plans(f):
    return f.stats()["plans"]


# ---- structures of arguments


class Pair(NamedTuple):
    a: object
    b: object


@dataclass
class Model:
    w: object
    b: object


STRUCTURES = {
    "array": (lambda x: np.sin(x) * x, [(X,), (Y,)]),
    "two numbers": (lambda a, b: a * b + np.sin(a), [(1.5, 2.0), (0.25, -3.0)]),
    "a scalar": (lambda a: a * 2.0, [(np.float64(1.5),), (np.float64(2.5),)]),
    "nested": (
        lambda p, s: {"y": p["w"] @ p["l"][0] * s, "t": (p["l"][1], s)},
        [
            ({"w": X, "l": [Y, X]}, 2.0),
            ({"w": Y, "l": [X, Y]}, 3.0),
        ],
    ),
    "named tuple": (
        lambda p: Pair(p.a * p.b, p.b.sum()),
        [(Pair(X, Y),), (Pair(Y, X),)],
    ),
    "dataclass": (
        lambda m: Model(m.w * 2.0, m.b + m.w),
        [(Model(X, Y),), (Model(Y, X),)],
    ),
    "none and strings": (
        lambda x, how, nothing: x if how == "same" else -x,
        [(X, "same", None), (Y, "same", None)],
    ),
    "integers": (lambda x, k: x[k] * k, [(X, np.array([2, 0])), (Y, np.array([1, 1]))]),
    "masks": (lambda x, m: np.where(m, x, 0.0), [(X, X > 0), (Y, Y > 0)]),
    "views": (lambda x: x.T @ x, [(np.outer(X, Y)[::2].T,), (np.outer(Y, X)[::2].T,)]),
    "no output depends": (lambda x: (x, 3.0, "a", np.ones(2)), [(X,), (Y,)]),
    "the argument itself": (lambda x: x, [(X,), (Y,)]),
    "a view of it": (lambda x: x[::-1], [(X,), (Y,)]),
    "empty": (lambda x: (x * 2.0, np.sum(x)), [(np.zeros((0, 3)),), (np.zeros((0, 3)),)]),
    "complex": (lambda z: np.exp(z) * np.conj(z), [(X + 1j * Y,), (Y - 1j * X,)]),
    "single": (
        lambda x, s: np.tanh(x) * s,
        [(X.astype(np.float32), 2.0), (Y.astype(np.float32), 2.0)],
    ),
}


def assert_same(found, expected):
    (ours, structure), (theirs, wanted) = tree.flatten(found), tree.flatten(expected)
    assert structure == wanted
    for a, b in zip(ours, theirs, strict=True):
        if isinstance(b, str):
            assert a == b
            continue
        assert isinstance(a, type(b))  # a NumPy scalar is a float
        a, b = np.asarray(a), np.asarray(b)
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-6 if b.dtype.itemsize == 4 else 1e-13)


@pytest.mark.parametrize("made", [Pair, Model], ids=["named tuple", "dataclass"])
def test_checkpoints_take_any_container(made):
    """What a checkpoint is given may be compared inside, as without it."""

    @bp.checkpoint
    def f(m):
        a, b = tree.flatten(m)[0]
        return np.sum(np.where(a > b, a**3, b * a))

    v = np.ones(X.shape)
    for g in (f, lambda m: bp.hvp(f, m, made(v, v))):
        compiled = bp.compile(g)
        for x, y in ((X, Y), (Y, X), (X, X + Y)):
            assert_same(compiled(made(x, y)), g(made(x, y)))
        assert compiled.stats()["recorded"] == ["first call"]


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures(name):
    f, calls = STRUCTURES[name]
    compiled = bp.compile(f)
    for args in (*calls, *calls):
        assert_same(compiled(*args), f(*args))
    assert plans(compiled) == 1


def test_keyword_arguments():
    f = lambda x, scale=1.0, *, power=2: (x * scale) ** power
    compiled = bp.compile(f)
    for scale in (2.0, 3.0):
        assert_same(compiled(X, scale=scale), f(X, scale=scale))
    assert plans(compiled) == 1
    assert_same(compiled(X, 2.0), f(X, 2.0))
    assert_same(compiled(X, scale=2.0, power=3), f(X, scale=2.0, power=3))
    assert plans(compiled) == 3


def test_another_structure_is_recorded_again():
    compiled = bp.compile(lambda x, n: x * n)
    for x in (X, X[:2], X.astype(np.float32), X[:, None], [*X], 2.0):
        with np.errstate(all="ignore"):
            try:
                want = x * 2
            except TypeError:
                continue
        if not isinstance(x, list):
            assert_same(compiled(x, 2), want)
    assert plans(compiled) == 5
    assert_same(compiled(X, 3), X * 3)
    assert_same(compiled(X, True), X * True)
    assert_same(compiled(X, 1), X * 1)
    assert plans(compiled) == 8
    assert len(compiled.stats()["recorded"]) == 8


def test_zeros_with_a_sign_are_other_settings():
    # Of single precision, so that the number is a part of the structure.
    compiled = bp.compile(lambda x, s: np.copysign(x, s))
    x = X.astype(np.float32)
    np.testing.assert_array_equal(compiled(x, 0.0), np.abs(x))
    np.testing.assert_array_equal(compiled(x, -0.0), -np.abs(x))


def test_static_arguments():
    def f(x, table, n):
        return sum(x * t for t in table[:n])

    compiled = bp.compile(f, static_argnums=(1, 2))
    table = (1.0, 2.0, 3.0)
    assert_same(compiled(X, table, 2), f(X, table, 2))
    assert_same(compiled(Y, table, 2), f(Y, table, 2))
    assert plans(compiled) == 1
    assert_same(compiled(Y, table, 3), f(Y, table, 3))
    assert plans(compiled) == 2


def test_methods():
    class Scaled:
        def __init__(self, s):
            self.s, self.w = s, X.copy()

        @bp.compile
        def __call__(self, x):
            return x * self.s * self.w

    a, b = Scaled(2.0), Scaled(3.0)
    assert_same(a(Y), Y * 2.0 * X)
    assert_same(b(Y), Y * 3.0 * X)
    bound = bp.compile(a.__call__.__func__.__wrapped__.__get__(a))
    assert_same(bound(Y), Y * 2.0 * X)
    a.w[:] = 1.0
    assert_same(bound(Y), Y * 2.0)
    a.s = 5.0
    assert_same(bound(Y), Y * 5.0)
    a.w = Y
    assert_same(bound(Y), Y * 5.0 * Y)


# ---- results are the caller's


def test_results_do_not_change_with_later_calls():
    def f(x):
        y = np.tanh(x)
        return y, y.sum(), x, y[::2]

    compiled = bp.compile(f)
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal((50, 3)) for _ in range(20)]
    held = [compiled(x) for x in inputs]
    for x, found in zip(inputs, held, strict=True):
        assert_same(found, f(x))
        for y in found:
            assert not np.shares_memory(y, x)
    held[0][0][:] = 7.0
    assert_same(held[1], f(inputs[1]))
    assert_same(compiled(inputs[2]), f(inputs[2]))


def test_arguments_are_not_written_into():
    def f(x):
        x[0] = 9.0
        x *= 2.0
        return x.sum()

    compiled, x = bp.compile(f), X.copy()
    want = 2 * (9.0 + X[1] + X[2])
    for _ in range(3):
        assert compiled(x) == want
        np.testing.assert_array_equal(x, X)


def test_many_threads():
    w = np.random.default_rng(0).standard_normal((40, 40)) / 6
    f = bp.value_and_grad(lambda x: np.sum(np.tanh(x @ w) ** 2))
    compiled = bp.compile(f)
    inputs = [np.random.default_rng(k).standard_normal((8, 40)) for k in range(8)]
    wanted = [f(x) for x in inputs]
    compiled(inputs[0])
    failures = []

    def work(k):
        try:
            for _ in range(200):
                assert_same(compiled(inputs[k]), wanted[k])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures


# ---- derivatives


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


DERIVATIVES = {
    "grad": bp.grad(rosenbrock),
    "value_and_grad": bp.value_and_grad(rosenbrock),
    "hessian": bp.hessian(rosenbrock),
    "jacobian": bp.jacobian(lambda x: np.outer(np.sin(x), x)),
    "third order": bp.grad(lambda x: np.sum(bp.grad(lambda y: bp.grad(rosenbrock)(y) @ y)(x) ** 2)),
    "vjp": lambda x: bp.vjp(lambda y: np.tanh(y) * y[0], x)[1](np.cos(x)),
    "jvp": lambda x: bp.jvp(lambda y: np.tanh(y) * y[0], (x,), (np.cos(x),)),
    "hvp": lambda x: bp.hvp(rosenbrock, x, np.cos(x)),
    "sparse": lambda x: bp.sparse.jacobian(lambda y: y[1:] * y[:-1] ** 2)(x).data,
}


@pytest.mark.parametrize("name", [name for name in DERIVATIVES if name != "sparse"])
def test_derivatives(name):
    f = DERIVATIVES[name]
    compiled = bp.compile(f)
    for x in (X, Y, X):
        for a, b in zip(tree.flatten(compiled(x))[0], tree.flatten(f(x))[0], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)
    assert plans(compiled) == 1


def test_inside_of_a_derivative():
    compiled = bp.compile(rosenbrock)
    compiled(X)
    np.testing.assert_allclose(bp.grad(compiled)(Y), bp.grad(rosenbrock)(Y))
    np.testing.assert_allclose(bp.compile(bp.grad(compiled))(Y), bp.grad(rosenbrock)(Y))


def test_a_zero_cotangent_that_meets_an_infinite_slope():
    # sqrt at 0: the branch that was not taken has no part in it, and arithmetic's zero gives NaN.
    f = bp.grad(lambda x: np.sum(np.where(x > 0, np.sqrt(np.abs(x)), 0.0)))
    compiled = bp.compile(f)
    assert_same(compiled(np.array([4.0, 1.0])), f(np.array([4.0, 1.0])))
    assert_same(compiled(np.array([4.0, 0.0])), f(np.array([4.0, 0.0])))
    g = bp.grad(lambda x: np.sum((np.sqrt(x) - 0.0) ** 2 * x))
    compiled = bp.compile(g)
    for x in (np.array([1.0, 4.0]), np.array([0.0, 4.0]), np.array([1.0, 9.0])):
        np.testing.assert_array_equal(compiled(x), g(x))


def test_first_call_at_an_infinite_slope_is_not_kept():
    f = bp.grad(lambda x: np.sum(np.where(x > 0, np.sqrt(np.abs(x)), 0.0)))
    compiled = bp.compile(f)
    for x in (np.array([4.0, 0.0]), np.array([4.0, 1.0]), np.array([0.0, 1.0])):
        np.testing.assert_array_equal(compiled(x), f(x))


def test_choices_of_rules_are_guarded():
    f = bp.grad(lambda x: np.linalg.norm(x))
    compiled = bp.compile(f)
    with np.errstate(all="ignore"):
        for x in (X, np.zeros(3), Y, 1e-300 * X, 1e200 * Y):
            np.testing.assert_allclose(compiled(x), f(x), rtol=1e-13)
    g = bp.value_and_grad(np.prod)
    compiled = bp.compile(g)
    for x in (X, np.array([0.0, 2.0, 3.0]), np.zeros(3), Y):
        assert_same(compiled(x), g(x))


def norm_of_filled(x):
    a = np.zeros(3)
    for k in range(3):
        a[k] = x[k] ** 2
    return np.linalg.norm(a) + np.sum(a)


def roots_of_filled(x):
    a = np.zeros(3)
    a[:] = np.where(x > 0.0, np.sqrt(np.abs(x)), 0.0)
    return np.sum(a)


def test_functions_that_take_derivatives_run_as_they_were_recorded_where_a_plan_cannot():
    for f in (norm_of_filled, roots_of_filled):
        for verify in (0, 1):
            slope = bp.grad(bp.unmodified(f))
            compiled = bp.compile(lambda x, f=f: bp.grad(f)(x), verify=verify)
            for x in (X, np.zeros(3), np.array([0.0, 2.0, 3.0]), Y):
                assert_same(compiled(x), slope(x))
        first = bp.compile(lambda x, f=f: bp.grad(f)(x))
        assert_same(first(np.zeros(3)), slope(np.zeros(3)))


# ---- what is around a function

scale = 2.0
window = np.array([1.0, 2.0, 3.0])
settings = {"power": 2, "shift": np.array([0.0, 1.0, 0.0])}


def around(x):
    return helper(x) * scale + settings["shift"]


def helper(x):
    return (x * window) ** settings["power"]


class Sides:
    def __init__(self, left, right):
        self.left, self.right = left, right


left, right = iter([1.0]), np.ones(3)


def of_attributes(x):
    pair = Sides(x.T, 2.0 * x)
    return pair.left * pair.right


class OfClass:
    right = 2.0

    def scaled(self, x):
        return self.right * x * window


def test_attributes_with_names_of_globals_are_no_globals(monkeypatch):
    compiled, scaled = bp.compile(of_attributes), bp.compile(OfClass().scaled)
    for value in (np.ones(3), np.ones(4), 1.0):
        monkeypatch.setitem(globals(), "right", value)
        monkeypatch.setitem(globals(), "T", value)
        assert_same(compiled(X), of_attributes(X))
        assert_same(scaled(X), OfClass().scaled(X))
    assert plans(compiled) == plans(scaled) == 1
    monkeypatch.setattr(OfClass, "right", 3.0)
    assert_same(scaled(X), OfClass().scaled(X))


def test_arrays_in_global_names_are_read_in_every_call(monkeypatch):
    compiled = bp.compile(around)
    assert_same(compiled(X), around(X))
    monkeypatch.setitem(globals(), "window", window.copy())
    window[1] = 10.0
    assert_same(compiled(X), around(X))
    monkeypatch.setitem(globals(), "window", np.array([5.0, 6.0, 7.0]))
    assert_same(compiled(X), around(X))
    settings["shift"][:] += 1.0
    assert_same(compiled(Y), around(Y))
    assert plans(compiled) == 1


def test_other_things_around_are_watched(monkeypatch):
    compiled = bp.compile(around)
    assert_same(compiled(X), around(X))
    monkeypatch.setitem(globals(), "scale", 3.0)
    assert_same(compiled(X), around(X))
    monkeypatch.setitem(settings, "power", 3)
    assert_same(compiled(X), around(X))
    monkeypatch.setitem(globals(), "helper", lambda x: x)
    assert_same(compiled(X), around(X))
    assert plans(compiled) == 4


def test_closures():
    w, k = X.copy(), 2.0

    def f(x):
        gram = np.outer(w, w)  # computed from what is captured alone
        return gram @ x * k

    compiled = bp.compile(f)
    assert_same(compiled(Y), f(Y))
    w[0] = -4.0
    assert_same(compiled(Y), f(Y))
    w = Y
    assert_same(compiled(Y), f(Y))
    assert plans(compiled) == 1
    k = 5.0
    assert_same(compiled(Y), f(Y))
    assert plans(compiled) == 2


def test_a_branch_on_what_is_captured():
    w = X.copy()

    def f(x):
        return x if w[0] > 0 else -x

    with pytest.raises(FrozenValueError, match="decides a branch"):
        bp.compile(f)(Y)


def test_arrays_of_objects_and_functions_that_are_arguments():
    class Box:
        def __init__(self):
            self.inner = {"w": [X.copy()]}

    box = Box()
    f = lambda x: x * box.inner["w"][0]
    compiled = bp.compile(f)
    assert_same(compiled(Y), f(Y))
    box.inner["w"][0][0] = 8.0
    assert_same(compiled(Y), f(Y))
    box.inner["w"].append(1)
    assert_same(compiled(Y), f(Y))

    weights = X.copy()
    g = lambda x: x * weights
    apply = bp.compile(lambda h, x: h(x))
    assert_same(apply(g, Y), g(Y))
    weights[:] = 2.0
    assert_same(apply(g, Y), g(Y))


def test_defaults():
    w = X.copy()

    def f(x, w=w):
        return x * w

    compiled = bp.compile(f)
    assert_same(compiled(Y), f(Y))
    w[:] = 3.0
    assert_same(compiled(Y), f(Y))


# ---- what would be frozen

FROZEN = {
    "if": lambda x: x if x[0] > 0 else -x,
    "item": lambda x: x * x[0].item(),
    "value": lambda x: x * x.value if isinstance(x, bp.Variable) else x,
    "while": lambda x: _halved(x),
    "max of Python": lambda x: max(x[0], x[1]) * x,
    "branch on a count": lambda x: x if np.sum(x > 0) > 1 else -x,
    "numpy random": lambda x: x * np.random.normal(),  # noqa: NPY002
    "generator": lambda x: x * GENERATOR.normal(),
}
GENERATOR = np.random.default_rng(0)


def _halved(x):
    while np.sum(x * x) > 1.0:
        x = 0.5 * x
    return x


@pytest.mark.parametrize("name", FROZEN)
def test_frozen_values_are_refused(name):
    compiled = bp.compile(FROZEN[name])
    with pytest.raises(FrozenValueError, match="same in all later calls"):
        compiled(X)
    assert plans(compiled) == 0


ITERATOR = iter([1.0, 2.0, 3.0])


class Batches:
    def __init__(self):
        self.rest, self.other, self.scale = itertools.cycle([1.0, 2.0]), iter([1.0]), 2.0

    def of_next(self, x):
        return x * next(self.rest)

    def scaled(self, x):
        return x * self.scale


def of_generator():
    numbers = (float(k) for k in range(9))
    return lambda x: x * next(numbers)


def of_default(x, numbers=ITERATOR):
    return x * next(numbers)


def of_keyword(x, *, numbers=ITERATOR):
    return x * next(numbers)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x * next(ITERATOR),
        of_generator(),
        of_default,
        of_keyword,
        Batches().of_next,
        functools.partial(lambda numbers, x: x * next(numbers), zip([1.0], [2.0], strict=True)),
        (lambda numbers: lambda x: x * next(numbers[0]))([itertools.count()]),
    ],
)
def test_iterators_are_refused(f):
    with pytest.raises(FrozenValueError, match="what it takes from such an iterator"):
        bp.compile(f)(X)


def test_a_generator_as_an_argument_is_no_better():
    with pytest.raises(
        FrozenValueError, match="outside, and give them as arguments; or let it have a list"
    ):
        bp.compile(lambda x, numbers: x + sum(numbers))(X, (k for k in range(3)))
    with pytest.raises(FrozenValueError, match="give the numbers, not a generator, as an argument"):
        bp.compile(lambda x, rng: x + rng.normal())(X, np.random.default_rng(0))


def test_iterators_that_are_not_read_and_objects_of_the_users():
    class Numbers:
        def __init__(self):
            self.k = 0

        def __iter__(self):
            return self

        def __next__(self):
            self.k += 1
            return float(self.k)

    with pytest.raises(FrozenValueError, match="list_iterator"):
        bp.compile(lambda x, numbers: x * next(numbers))(X, iter([1.0, 2.0]))
    compiled = bp.compile(Batches().scaled)
    for _ in range(3):
        assert_same(compiled(X), 2.0 * X)
    numbers = Numbers()
    compiled = bp.compile(lambda x: x * next(numbers))
    for k in (1.0, 2.0, 3.0):
        assert_same(compiled(X), k * X)


@pytest.mark.parametrize("read", [float, int, complex])
def test_numbers_of_python_are_refused(read):
    compiled = bp.compile(lambda x: x * read(x[0]))
    with pytest.raises(FrozenValueError, match="read as a plain number") as caught:
        compiled(X)
    assert isinstance(caught.value.__cause__, NoRuleError)
    assert plans(compiled) == 0


def test_the_error_names_the_line():
    def f(x):
        y = x * 2.0
        if y[0] > 0:  # this one
            return y
        return x

    with pytest.raises(FrozenValueError, match=r"f.*test_compiled\.py, line \d+; .*numpy\.where"):
        bp.compile(f)(X)


def test_verify():
    calls = []

    def f(x):
        calls.append(None)
        return x * len(calls)

    bp.compile(f)(X)
    compiled = bp.compile(f, verify=2)
    compiled(X)
    with pytest.raises(FrozenValueError, match="differs from what the function returns now"):
        compiled(X)
    good = bp.compile(rosenbrock, verify=1)
    for x in (X, Y, X):
        assert good(x) == rosenbrock(x)


# ---- bad input


def test_bad_arguments():
    with pytest.raises(TypeError, match="compile"):
        bp.compile(3)
    with pytest.raises(TypeError, match="static_argnums must be numbers of arguments"):
        bp.compile(rosenbrock, static_argnums="x")
    with pytest.raises(ValueError, match="verify must be a number of calls"):
        bp.compile(rosenbrock, verify=-1)
    with pytest.raises(TypeError, match="no argument 2 for static_argnums"):
        bp.compile(rosenbrock, static_argnums=2)(X)
    with pytest.raises(DTypeError, match=r"compile: argument 0 is a ndarray of dtype object"):
        bp.compile(rosenbrock)(X.astype(object))
    with pytest.raises(DTypeError, match=r"argument 0\['a'\] is a ndarray of dtype >f8"):
        bp.compile(lambda p: p["a"])({"a": X.astype(">f8")})
    with pytest.raises(DTypeError, match="MaskedArray"):
        bp.compile(rosenbrock)(np.ma.masked_array(X))
    with pytest.raises(TypeError, match="argument 1, a set, is no array and cannot be hashed"):
        bp.compile(lambda x, s: x)(X, {1, 2})


def test_errors_of_the_function_pass_and_leave_nothing():
    def f(x):
        raise KeyError("mine")

    compiled, x = bp.compile(f), np.ones(5000)
    with pytest.raises(KeyError, match="mine"):
        compiled(x)
    x[0] = 2.0
    assert plans(compiled) == 0


# ---- bind, explain, pickle


def test_bind():
    f = bp.value_and_grad(rosenbrock)
    compiled, x = bp.compile(f), X.copy()
    out = np.zeros(()), np.zeros(3)
    step = compiled.bind(x, out=out)
    value, gradient = step()
    assert gradient is out[1]
    assert value is out[0]
    assert_same((value[()], gradient), f(X))
    x[:] = Y
    step()
    assert_same((out[0][()], out[1]), f(Y))
    np.testing.assert_allclose(compiled.bind(X)()[1], f(X)[1])
    with pytest.raises(ValueError, match=r"out must be writable arrays in C order, like float64"):
        compiled.bind(x, out=(np.zeros(()), np.zeros(4)))
    with pytest.raises(ValueError, match="arrays must be in C order"):
        compiled.bind(np.ones(6)[::2])
    with pytest.raises(TypeError, match="plain arrays"):
        compiled.bind(bp.variable(X))


@pytest.mark.usefixtures("all_passes")
def test_explain():
    compiled = bp.compile(bp.grad(lambda w, x: np.sum(np.tanh(x @ w) ** 2)))
    compiled(np.ones((3, 2)), np.ones((4, 3)))
    text = compiled.explain()
    assert text.startswith("plan 0: 3 instructions, workspace ")
    assert "(4, 3) @ (3, 2)" in text
    assert "tanh" in text


def test_pickle_and_copy():
    compiled = bp.compile(rosenbrock, static_argnums=())
    compiled(X)
    for other in (pickle.loads(pickle.dumps(compiled)), copy.deepcopy(compiled)):
        assert other(Y) == compiled(Y)
        assert repr(other) == "<compiled rosenbrock>"
    assert compiled.__name__ == "rosenbrock"
    assert compiled.__doc__ == rosenbrock.__doc__


def test_functions_of_fastbp_numpy():
    f = lambda x: bnp.softmax(x) @ bnp.relu(x)
    compiled = bp.compile(bp.grad(f))
    for x in (X, Y, -np.abs(X)):
        np.testing.assert_allclose(compiled(x), bp.grad(f)(x), rtol=1e-13)


SHAPES = {
    "a mask": lambda x: np.sum(np.where(x > 0, x, 0.0)) / len(x[x > 0]),
    "its size": lambda x: np.sum(x) * x[x > 0].size,
    "its shape": lambda x: np.sum(x) * np.flatnonzero(x > 0).shape[0],
    "places": lambda x: np.sum(x) * len(np.where(x > 0)[0]),
    "nonzero": lambda x: np.sum(x) * (x > 0).nonzero()[0].size,
    "unique": lambda x: np.sum(x) * np.unique(np.round(x)).size,
    "tile": lambda x: np.sum(np.tile(x, np.argmax(x) + 1)),
    "repeat": lambda x: np.sum(np.repeat(x, np.argmax(x) + 1) ** 2),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_that_values_decide_are_not_frozen(name):
    f = SHAPES[name]
    for g in (f, bp.grad(f)):
        compiled = bp.compile(g)
        for x in (np.array([1.0, 2.0, 3.0]), np.array([4.0, -2.0, 0.5]), np.array([1.0, 2.0, 3.0])):
            np.testing.assert_allclose(compiled(x), bp.unmodified(g)(x), rtol=1e-13)


def test_shapes_of_whole_numbers_are_not_frozen():
    compiled = bp.compile(lambda x, k: np.sum(x) * len(np.unique(k)))
    for k in ([1, 2, 3], [1, 1, 1], [2, 2, 5]):
        assert compiled(X, np.array(k)) == X.sum() * len(set(k))


def test_the_function_runs_as_it_was_recorded_where_a_plan_cannot_tell():
    def f(x):
        return np.linalg.norm(np.array([x[0], x[1] * 2.0]))  # recorded values in a list

    compiled = bp.compile(bp.grad(f))
    for x in (np.array([1.0, 2.0]), np.zeros(2), np.array([3.0, 0.5])):
        np.testing.assert_allclose(compiled(x), bp.grad(bp.unmodified(f))(x))
