"""Programs that a compiled function once computed wrongly, or failed at."""

import argparse
import collections
import contextvars
import copy
import functools
import gc
import random
import sys
import threading
import types
import weakref
from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy import signal, sparse

import fastbp as bp
import fastbp.scipy.fft as bsf
import fastbp.scipy.linalg as bsl
import fastbp.scipy.ndimage as bnd
import fastbp.scipy.signal as bsig
import fastbp.scipy.special as bsp
from fastbp import tree
from fastbp.compiling.reach import Reach
from fastbp.errors import FrozenValueError, PlanFileError

from ..harness import drawing_beside

X = np.array([0.5, -1.25, 2.0])
Y = np.array([1.5, 0.25, -0.75])


def test_sums_of_broadcast_operands_below_block_axes(rng):
    # The axes of a Jacobian lead, and are not summed.
    for f in (
        lambda x, y: y * np.mean(x, axis=-2, keepdims=True),
        lambda x, y: y * x[:1],
        lambda x, y: y * x[:1, 0] + y * x[0, 0],
    ):
        slope = bp.jacobian(f)
        compiled = bp.compile(slope)
        for _ in range(2):
            x, y = rng.standard_normal((2, 3, 3))
            np.testing.assert_allclose(compiled(x, y), slope(x, y), rtol=1e-13)


@pytest.mark.parametrize("derivative", [lambda f: f, bp.grad])
@pytest.mark.parametrize("name", ["eigvals", "svdvals", "schur", "solve", "eigvalsh"])
def test_matrices_that_are_not_finite(name, derivative):
    """As SciPy does, a plan refuses them; LAPACK would not end, or leave its memory."""

    def f(a):
        found = getattr(bsl, name)(*(a, np.ones(3)) if name == "solve" else (a,))
        return np.sum(np.abs(found[0] if type(found) is tuple else found) ** 2)

    a = np.diag([3.0, 5.0, 9.0]) + 0.1 * np.arange(9.0).reshape(3, 3)
    compiled = bp.compile(derivative(f))
    compiled(a)
    for bad in (np.inf, -np.inf, np.nan):
        b = a.copy()
        b[1, 2] = bad
        with pytest.raises(ValueError, match="must not contain infs or NaNs"):
            compiled(b)
    np.testing.assert_allclose(compiled(a + 1.0), derivative(f)(a + 1.0), rtol=1e-12)


@pytest.mark.parametrize("f", [np.roots, bp.jacobian(np.roots)])
def test_how_many_roots_there_are(f):
    p = np.array([1.0, -3.5, 2.0, 0.5])
    for recorded in (p, 0.0 * p, np.array([0.0, 1.0, 3.0, 1.0])):
        compiled = bp.compile(f)
        for q in (recorded, p, 0.0 * p, np.array([0.0, 1.0, 2.0, 3.0]), 2.0 * p):
            np.testing.assert_allclose(compiled(q), f(q), rtol=1e-12)


# ---- what is found around a function


def _weights():
    return np.array([1.0, 2.0, 3.0])


def class_attribute():
    class Settings:
        w, s = _weights(), 2.0

    def change(k):
        Settings.w[:] = k
        Settings.s = float(k)

    return lambda x: x * Settings.w * Settings.s, change


def attribute_of_the_class_of_an_object():
    class Settings:
        w = _weights()

    settings = Settings()

    def change(k):
        settings.w = _weights() * k  # one of the object from now on

    return lambda x: x * settings.w, change


def slots():
    class Settings:
        __slots__ = ("__w",)

        def __init__(self):
            self.__w = _weights()

        def get(self):
            return self.__w

        def change(self, k):
            self.__w = _weights() * k

    settings = Settings()
    return lambda x: x * settings.get(), settings.change


def array_in_slots():
    class Settings:
        __slots__ = ("w",)

    settings = Settings()
    settings.w = _weights()
    return lambda x: x * settings.w, lambda k: settings.w.fill(k)


def property_of_an_object():
    class Settings:
        w = _weights()

        @property
        def double(self):
            return self.w * 2.0 + GLOBAL

    settings = Settings()

    def change(k):
        GLOBAL[:] = k

    return lambda x: x * settings.double, change


def callable_object():
    class Layer:
        def __init__(self):
            self.w = _weights()

        def __call__(self, x):
            return self.helper(x) * self.w

        def helper(self, x):
            return x * GLOBAL

    layer = Layer()

    def change(k):
        GLOBAL[:] = k
        layer.w[0] = k

    return layer, change


def class_method():
    class Layer:
        w = _weights()

        @classmethod
        def call(cls, x):
            return x * cls.w

    def change(k):
        Layer.w = _weights() * k

    return Layer.call, change


def attribute_of_a_function():
    def f(x):
        return x * f.w

    f.w = _weights()

    def change(k):
        f.w = _weights() * k

    return f, change


def partial_of_an_array():
    w = _weights()
    g = functools.partial(lambda w, x: x * w, w)
    return lambda x: g(x), lambda k: w.fill(k)


def partial_of_a_container():
    p = {"w": _weights()}

    def change(k):
        p["w"] = _weights() * k

    return functools.partial(functools.partial(lambda p, s, x: p["w"] * x * s, p), 2.0), change


def function_in_an_attribute():
    w = _weights()
    holder = types.SimpleNamespace(h=lambda x: x * w)
    return lambda x: holder.h(x), lambda k: w.fill(k)


def derivative_in_an_attribute():
    w = _weights()
    holder = types.SimpleNamespace(h=bp.grad(lambda x: np.sum(x * x * w)))
    return lambda x: holder.h(x), lambda k: w.fill(k)


def method_in_a_list():
    class Layer:
        def __init__(self):
            self.w = _weights()

        def call(self, x):
            return x * self.w

    layer = Layer()
    calls = [layer.call]
    return lambda x: calls[0](x), lambda k: layer.w.fill(k)


def compiled_function():
    w = _weights()
    inner = bp.compile(lambda x: x * w)
    return lambda x: inner(x), lambda k: w.fill(k)


def compiled_function_itself():
    w = _weights()
    return bp.compile(lambda x: x * w), lambda k: w.fill(k)


def cached_function():
    scale = [1.0]

    @functools.lru_cache
    def weights():
        return _weights() * scale[0]

    def change(k):
        scale[0] = float(k)
        weights.cache_clear()

    return lambda x: x * weights(), change


def simple_namespace():
    holder = types.SimpleNamespace(inner=types.SimpleNamespace(w=_weights()))

    def change(k):
        holder.inner.w = _weights() * k

    return lambda x: x * holder.inner.w, change


def ordered_dict():
    p = collections.OrderedDict(w=_weights())

    def change(k):
        p["w"] = _weights() * k

    return lambda x: x * p["w"], change


def default_dict():
    p = collections.defaultdict(list, w=_weights())
    return lambda x: x * p["w"], lambda k: p["w"].fill(k)


def subclass_of_dict():
    class Settings(dict):
        pass

    p = Settings(w=_weights())

    def change(k):
        p["w"] = _weights() * k

    return lambda x: x * p["w"], change


def double_ended_queue():
    p = collections.deque([_weights()], maxlen=3)
    return lambda x: x * p[0], lambda k: p.appendleft(_weights() * k)


def named_tuple():
    p = collections.namedtuple("P", "w s")(_weights(), 2.0)
    return lambda x: x * p.w * p.s, lambda k: p.w.fill(k)


def proxy_of_a_dict():
    d = {"w": _weights()}
    p = types.MappingProxyType(d)

    def change(k):
        d["w"] = _weights() * k

    return lambda x: x * p["w"], change


def set_of_numbers():
    p = {2.0}

    def f(x):
        for s in p:
            x = x * s
        return x

    def change(k):
        p.clear()
        p.add(float(k))

    return f, change


def context_variable():
    v = contextvars.ContextVar("v")
    v.set(2.0)
    return lambda x: x * v.get(), lambda k: v.set(float(k))


def weak_reference():
    class Settings:
        w = _weights()

    settings = Settings()
    r = weakref.ref(settings)

    def change(k):
        settings.w = _weights() * k

    return lambda x: x * r().w, change


def subclass_of_arrays():
    class Weights(np.ndarray):
        pass

    w = _weights().view(Weights)
    return lambda x: x * np.asarray(w), lambda k: w.fill(k)


def array_of_objects():
    w = np.empty(1, object)
    w[0] = _weights()
    return lambda x: x * w[0], lambda k: w[0].fill(k)


def number_of_numpy():
    holder = types.SimpleNamespace(s=np.float64(1.0))

    def change(k):
        holder.s = np.float64(k)

    return lambda x: x * holder.s, change


def name_in_a_string():
    def change(k):
        GLOBAL[:] = k

    return lambda x: x * globals()["GLOBAL"], change


def module_inside_of_a_module():
    outer, inner = types.ModuleType("hostile_outer"), types.ModuleType("hostile_outer.inner")
    exec("import numpy\nw = numpy.ones(3)\ndef g(x):\n    return x * w", vars(inner))
    outer.inner = inner
    scope = {"outer": outer, "__name__": "hostile"}
    exec("f = lambda x: outer.inner.g(x) * outer.inner.w", scope)

    def change(k):
        inner.w = _weights() * k

    return scope["f"], change


def import_inside_of_the_function():
    module = types.ModuleType("hostile_module")
    module.w = _weights()
    sys.modules["hostile_module"] = module

    def f(x):
        from hostile_module import w

        return x * w

    def change(k):
        module.w = _weights() * k

    return f, change


def parsed_arguments():
    settings = argparse.Namespace(s=1.0, w=_weights())

    def change(k):
        settings.s = float(k)

    return lambda x: x * settings.s * settings.w, change


def user_dict():
    p = collections.UserDict(w=_weights())

    def change(k):
        p["w"] = _weights() * k

    return lambda x: x * p["w"], change


def values_of_a_thread():
    local = threading.local()
    local.w = _weights()

    def change(k):
        local.w = _weights() * k

    return lambda x: x * local.w, change


def sparse_matrix():
    a = sparse.csr_array(np.diag(_weights()))
    return lambda x: x * a.diagonal(), lambda k: a.data.fill(k)


GLOBAL = _weights()
AROUND = [
    class_attribute, attribute_of_the_class_of_an_object, slots, array_in_slots,
    property_of_an_object, callable_object, class_method, attribute_of_a_function,
    partial_of_an_array, partial_of_a_container, function_in_an_attribute,
    derivative_in_an_attribute, method_in_a_list, compiled_function, compiled_function_itself,
    cached_function, simple_namespace, ordered_dict, default_dict, subclass_of_dict,
    double_ended_queue, named_tuple, proxy_of_a_dict, set_of_numbers, context_variable,
    weak_reference, subclass_of_arrays, array_of_objects, number_of_numpy, name_in_a_string,
    parsed_arguments, user_dict, values_of_a_thread, sparse_matrix,
    module_inside_of_a_module, import_inside_of_the_function,
]  # fmt: skip


@pytest.mark.parametrize("make", AROUND, ids=lambda make: make.__name__)
def test_what_is_around_is_read_or_watched(make, monkeypatch):
    monkeypatch.setitem(globals(), "GLOBAL", _weights())
    f, change = make()
    compiled = bp.compile(f)
    for k, x in enumerate((X, Y, X, 2.0 * Y)):
        np.testing.assert_allclose(compiled(x), f(x), rtol=1e-14)
        change(k + 2)
    sys.modules.pop("hostile_module", None)


@pytest.mark.parametrize("where", ["argument", "keyword", "container"])
def test_arrays_of_a_partial_are_read_in_every_call(where):
    w = _weights()

    def f(w, x):
        w = w["w"][0] if isinstance(w, dict) else w
        return (x * x * w).sum() + (x * w).sum()  # a cotangent is the array itself

    if where == "keyword":
        g = functools.partial(lambda x, w: f(w, x), w=w)
    else:
        g = functools.partial(f, w if where == "argument" else {"w": [w]})
    for made in (bp.grad(g), lambda x: bp.grad(g)(x)):
        compiled = bp.compile(made)
        for k in range(3):
            w.fill(k + 1.0)
            np.testing.assert_allclose(compiled(X), 2.0 * X * w + w, rtol=1e-14)
        assert len(compiled.entries) == 1


def test_a_partial_keeps_its_attributes_and_is_watched():
    def f(w, x):
        return (x * x * w).sum()

    g = functools.update_wrapper(functools.partial(f, np.ones(3)), f)
    g.scale = np.ones(3)
    for h in (lambda x: g(x) * g.scale.sum() * len(g.__name__), lambda x: bp.grad(g)(x)):
        compiled = bp.compile(h)
        for k in range(3):
            g.args[0].fill(k + 1.0)
            g.scale = np.full(3, k + 2.0)
            np.testing.assert_allclose(compiled(X), h(X), rtol=1e-14)
        for k in range(3):
            g.__setstate__((f, (np.full(3, k + 3.0),), {}, vars(g)))
            np.testing.assert_allclose(compiled(X), h(X), rtol=1e-14)


def test_objects_that_are_arguments_are_watched():
    class Model:
        def __init__(self, w):
            self.w = w

    compiled, model = bp.compile(lambda m, x: m.w * x), Model(2.0)
    np.testing.assert_array_equal(compiled(model, X), 2.0 * X)
    model.w = 3.0
    np.testing.assert_array_equal(compiled(model, X), 3.0 * X)
    model.w = X.copy()
    np.testing.assert_array_equal(compiled(model, X), X * X)
    model.w[:] = 1.0
    np.testing.assert_array_equal(compiled(model, X), X)


def test_state_that_a_function_changes():
    state = types.SimpleNamespace(n=0, w=np.zeros(3))

    def f(x):
        state.n += 1
        state.w += 1.0
        return x * state.w * state.n

    compiled = bp.compile(f)
    for k in range(1, 5):
        np.testing.assert_array_equal(compiled(X), X * k * k)


def test_writes_into_arrays_around_are_refused():
    w = _weights()

    def f(x):
        v = w[1:]
        v += 1.0
        return x * w

    with pytest.raises(FrozenValueError, match=r"writes into an array of shape \(3,\)"):
        bp.compile(f)(X)
    np.testing.assert_array_equal(w, _weights())


COUNT, ALL, BEST = 0, [np.ones(2)], None


def counted(w):
    global COUNT, BEST
    COUNT += 1
    BEST = w * COUNT
    return BEST + 0.0


def counted_by_name(w):
    globals()["COUNTED"] = globals().get("COUNTED", 0) + 1
    return w * globals()["COUNTED"]


def counted_from_nothing(w):
    global COUNTED
    try:
        COUNTED += 1
    except NameError:
        COUNTED = 1
    return w * COUNTED


@pytest.mark.parametrize("f", [counted, counted_by_name, counted_from_nothing])
def test_assignments_by_global(f, monkeypatch):
    monkeypatch.setitem(globals(), "COUNT", 0)
    monkeypatch.setitem(globals(), "BEST", None)
    monkeypatch.setitem(globals(), "COUNTED", None)
    monkeypatch.delitem(globals(), "COUNTED")
    name = "COUNT" if f is counted else "COUNTED"
    c = bp.compile(f)
    for n in (1.0, 2.0, 3.0):
        assert c(1.0) == n
        assert globals()[name] == n
        if f is counted:
            assert float(BEST.value) == n
    globals()[name] = 7
    assert c(1.0) == 8.0
    del globals()[name]
    if f is counted:
        with pytest.raises(NameError):
            c(1.0)
    else:
        assert c(1.0) == 1.0


def test_assignments_by_global_in_other_modules(monkeypatch):
    module = types.ModuleType("counting_of_fastbp")
    exec("n = 0\ndef f(w):\n    global n\n    n += 1\n    return w * n\n", module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for c in (bp.compile(module.f), bp.compile(lambda w: module.f(w))):
        module.n = 0
        assert [c(1.0) for _ in range(3)] == [1.0, 2.0, 3.0]
        assert module.n == 3


def test_what_an_error_leaves_in_globals(monkeypatch):
    monkeypatch.setitem(globals(), "COUNT", 0)

    def f(w):
        global COUNT
        COUNT += 1
        raise KeyError(COUNT)

    with pytest.raises(KeyError):
        bp.compile(f)(1.0)
    assert COUNT == 1


def test_assignments_of_arrays_around_are_refused(monkeypatch):
    total = np.zeros(2)
    rows = {"a": np.ones(2)}

    def by_nonlocal(w):
        nonlocal total
        total = total + w
        return total

    def by_global(w):
        global TABLE
        TABLE = TABLE + w
        return TABLE

    def appended(w):
        ALL.append(w)
        return w * len(ALL)

    def set_in_a_dict(w):
        rows["a"] = rows["a"] + w
        return rows["a"]

    def kept(w, kept=[np.ones(2)]):  # noqa: B006, B008
        kept[0] = w
        return kept[0] + w

    table = np.zeros(2)
    monkeypatch.setitem(globals(), "TABLE", table)
    for f, message in (
        (by_nonlocal, r"assigns the variable 'total' \(.*test_hostile.py, line \d+\), an array"),
        (by_global, r"assigns the variable 'TABLE' \(.*test_hostile.py, line \d+\), an array"),
        (appended, "changes a list of arrays"),
        (set_in_a_dict, "changes a dict of arrays"),
        (kept, "changes a list of arrays"),
    ):
        with pytest.raises(FrozenValueError, match=message):
            bp.compile(f)(np.ones(2))
    assert TABLE is table
    assert not total.any()
    assert len(ALL) == 1


def test_too_much_around():
    many = [types.SimpleNamespace(a=float(k)) for k in range(20_000)]
    with pytest.raises(FrozenValueError, match="more than 16384 objects"):
        bp.compile(lambda x: x * many[0].a)(X)


# ---- what is read, returned, chosen by values


def test_a_refusal_that_is_caught_is_one():
    def f(x):
        try:
            n = float(x[0])
        except Exception:
            n = 5.0
        return x * n

    with pytest.raises(FrozenValueError, match="read as a plain number"):
        bp.compile(f)(X)


def test_results_that_may_hide_values():
    class Pair:
        def __init__(self, a):
            self.a = a

    for f in (
        Pair,
        lambda x: (v for v in x),
        lambda x: {"a": x}.values(),
        lambda x: lambda: x,
        lambda x: slice(x[0]),
        lambda x: {1.0, 2.0},
    ):
        with pytest.raises(FrozenValueError, match="returns a"):
            bp.compile(f)(X)


def test_random_numbers_of_python_are_refused():
    generator = random.Random(0)
    for f in (lambda x: x * random.random(), lambda x: x * generator.random()):
        with pytest.raises(FrozenValueError, match="draws random numbers"):
            bp.compile(f)(X)


def test_random_numbers_that_another_thread_draws_are_no_reason():
    with drawing_beside() as f:
        compiled = bp.compile(f)
        np.testing.assert_array_equal(compiled(X), np.sin(X))
        np.testing.assert_array_equal(compiled(Y), np.sin(Y))
    assert compiled.stats()["plans"] == 1


def test_shapes_that_depend_on_values_call_the_function():
    # A Jacobian of the maximum has as many places as there are equal elements.
    for f, calls in (
        (np.repeat, [(X, np.array([1, 2, 3])), (X, np.array([1, 1, 1])), (Y, np.array([1, 2, 3]))]),
        (lambda x: x[x > 0], [(X,), (Y,), (-Y,)]),
        (np.unique, [(X,), (np.ones(3),)]),
        (np.linalg.cholesky, [(np.diag(X**2),), (np.diag(Y**2),)]),
    ):
        compiled = bp.compile(lambda *args, f=f: f(*args))
        for args in (*calls, *calls):
            np.testing.assert_array_equal(compiled(*args), f(*args))


def test_errors_of_values_are_those_of_the_function():
    compiled = bp.compile(lambda x: np.linalg.cholesky(np.diag(x)))
    compiled(X**2)
    with pytest.raises(np.linalg.LinAlgError):
        compiled(X)
    np.testing.assert_array_equal(compiled(Y**2), np.linalg.cholesky(np.diag(Y**2)))


@pytest.mark.parametrize(
    ("first", "other"),
    [
        ([1.0, 2.0], [3.0, 2.0]),
        ({"a": [1.0, X]}, {"a": [1.0, Y]}),
        (X, Y),
        ((X, X), (X, Y)),
    ],
)
def test_static_arguments_by_value(first, other):
    def f(x, s):
        return x * np.sum([np.sum(leaf) for leaf in tree.flatten(s)[0]])

    compiled, s = bp.compile(f, static_argnums=1), copy.deepcopy(first)
    for given in (s, other, first, copy.deepcopy(other)):
        np.testing.assert_allclose(compiled(X, given), f(X, given))
    assert compiled.stats()["plans"] == 2
    if isinstance(s, list):
        s[0] = 9.0  # in place
        np.testing.assert_allclose(compiled(X, s), f(X, s))


# ---- memory of bound calls


def test_bound_arrays_stay_alive():
    w = np.full(100_000, 2.0)
    compiled, x = bp.compile(lambda x: x * w), np.ones(100_000)
    step = compiled.bind(x)
    w = np.zeros(3)
    with pytest.raises(ValueError, match="resize"):
        x.resize(200_000)
    del x
    gc.collect()
    others = [np.full(100_000, 9.0) for _ in range(20)]  # in memory that was given free
    np.testing.assert_array_equal(step(), 2.0)
    del others


def test_bound_outputs_that_are_arguments():
    def f(x, y):
        return x[::-1] * 2.0, x[0] + np.cumsum(y[::-1] * x)

    compiled, x, y = bp.compile(f), X.copy(), Y.copy()
    want = f(X, Y)
    step = compiled.bind(x, y, out=(x, y))
    found = step()
    assert found[0] is x
    assert found[1] is y
    np.testing.assert_allclose(found, want)
    want = f(*want)
    np.testing.assert_allclose(step(), want)


def test_bound_outputs_must_be_apart():
    out = np.empty(5)
    with pytest.raises(ValueError, match="two of them share memory"):
        bp.compile(lambda x: (x * 2.0, x * 3.0)).bind(X.copy(), out=(out[:3], out[2:]))


def test_one_thread_at_a_time_calls_what_is_bound():
    entered, leave = threading.Event(), threading.Event()

    def slow(x):
        if entered.is_set() is False and slow.waits:
            entered.set()
            leave.wait(10)
        return x * 2.0

    slow.waits = False
    rule = bp.custom_rule(slow, vjp=lambda g, ans, x: 2.0 * g)
    step = bp.compile(lambda x: rule(x) + 1.0).bind(X.copy())
    slow.waits = True
    thread = threading.Thread(target=step)
    thread.start()
    assert entered.wait(10)
    with pytest.raises(RuntimeError, match="bind one for each thread"):
        step()
    leave.set()
    thread.join()
    np.testing.assert_array_equal(step(), 2.0 * X + 1.0)


def test_no_references_are_kept(rng):
    compiled, x, p = bp.compile(lambda x, p: (x * p["a"], x)), X.copy(), {"a": Y.copy()}
    found = compiled(x, p)
    counts = [sys.getrefcount(y) for y in (x, p, p["a"])]
    for _ in range(100):
        found = compiled(x, p)
    assert counts == [sys.getrefcount(y) for y in (x, p, p["a"])]
    assert [sys.getrefcount(y) for y in found] == [3, 3]


# ---- what else was wrong


def test_instances():
    def f(x, s):
        y = x * 2.0 if isinstance(x, np.ndarray) else np.nan
        z = s * 3.0 if isinstance(s, float) and not isinstance(s, np.ndarray | list) else np.nan
        w = np.sum(x) if isinstance(np.sum(x), (float, int)) else np.nan
        return y + z + w if isinstance(np.zeros(2), np.ndarray) and not isinstance(x, float) else y

    compiled = bp.compile(f)
    for args in ((X, 2.0), (Y, 3.0)):
        np.testing.assert_allclose(compiled(*args), f(*args))
    assert compiled.stats()["plans"] == 1


def test_one_array_twice_in_another():
    def f(x):
        y = np.tanh(x[:1, None, None])
        return np.concatenate([y, y]), np.stack([y, y], axis=-1)

    compiled = bp.compile(f)
    for x in (X, Y):
        for found, want in zip(compiled(x), f(x), strict=True):
            np.testing.assert_allclose(found, want, rtol=1e-14)


def test_bins_that_depend_on_values():
    compiled = bp.compile(np.bincount)
    for bins in ([0, 2, 1], [0, 1, 1], [0, 0, 4], [2, 2, 0]):
        found = compiled(np.array(bins), X)
        np.testing.assert_allclose(found, np.bincount(bins, X))


def test_a_first_call_at_an_infinite_slope_calls_the_function_itself():
    # The function itself tells what a zero means: the record has lost where it is from.
    kinds = []

    def loss(x):
        kinds.append(type(x))
        return np.sum(np.sqrt(x) * 0.0)

    slope = bp.grad(loss)
    want = slope(np.zeros(3))
    kinds.clear()
    found = bp.compile(slope)(np.zeros(3))
    np.testing.assert_array_equal(found, want)
    assert len(kinds) == 2


@dataclass
class Layer:
    w: object
    options: object = field(default=2, metadata={"static": True})


def test_static_fields_and_defaults_of_containers():
    compiled = bp.compile(lambda m, x: m.w * x * np.sum(m.options))
    for options in (2, 3, 2, [2, 3], [2, 4], X, Y):
        found = compiled(Layer(X, options), Y)
        np.testing.assert_allclose(found, X * Y * np.sum(options))
    changing = [1.0]
    for k in range(3):
        changing[0] = float(k)
        np.testing.assert_allclose(compiled([Layer(X, changing)][0], Y), X * Y * k)
    given = bp.compile(lambda p, x: p["missing"] * x)
    for factory in (lambda: 2.0, lambda: 3.0):
        np.testing.assert_allclose(given(collections.defaultdict(factory), X), factory() * X)


def test_code_that_is_exchanged():
    def f(x):
        return x * 2.0

    compiled = bp.compile(f)
    np.testing.assert_array_equal(compiled(X), X * 2.0)
    f.__code__ = (lambda x: x * 3.0).__code__  # as tools that reload modules do
    np.testing.assert_array_equal(compiled(X), X * 3.0)


INSTALLED = """
setting = 2.0

def helper():
    return setting

class Model:
    factor = 3.0

    def __init__(self, own):
        self.own = own

    def __call__(self, x):
        return x * self.factor * self.own * helper()

def f(x):
    return x * setting
"""


def test_installed_packages_are_libraries_but_for_that_of_the_function(tmp_path, monkeypatch):
    place = tmp_path / "site-packages"
    place.mkdir()
    (place / "installed_for_test.py").write_text(INSTALLED)
    monkeypatch.syspath_prepend(str(place))
    import installed_for_test as lib

    monkeypatch.delitem(sys.modules, "installed_for_test", raising=False)
    monkeypatch.setitem(sys.modules, "installed_for_test", lib)
    model = lib.Model(5.0)
    f = bp.compile(lambda x: x * model.own)
    x = np.ones(2)
    np.testing.assert_array_equal(f(x), 5.0)
    found = []
    for home in ("tests", "installed_for_test"):
        reach = Reach(home=home)
        reach.into(model)
        reach.finish()
        found.append({key for _, key, _ in reach.watched})
    assert "own" in found[0]
    assert "__call__" in found[1] - found[0]
    model.own = 7.0  # what an object of it holds is the user's
    np.testing.assert_array_equal(f(x), 7.0)
    own = bp.compile(lib.f)
    np.testing.assert_array_equal(own(x), 2.0)
    lib.setting = 11.0
    np.testing.assert_array_equal(own(x), 11.0)


_B, _A = signal.butter(2, 0.3)
_SOS = signal.butter(4, 0.3, output="sos")
_LONG = np.sin(np.arange(40.0) ** 1.5)


def _balanced(v):
    return v[:9].reshape(3, 3) * 10.0 ** np.round(v[9:18].reshape(3, 3) * 3.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda b, a, sos, v: lambda x: bsig.filtfilt(b, a, x),
        lambda b, a, sos, v: lambda x: bsig.lfilter(b, a, x, zi=bsig.lfilter_zi(b, a) * x[0])[0],
        lambda b, a, sos, v: lambda x: bsig.sosfilt(sos, x),
        lambda b, a, sos, v: lambda x: bsig.sosfiltfilt(sos, x),
        lambda b, a, sos, v: lambda x: x * bsig.sosfilt(sos, v),
        lambda b, a, sos, v: lambda x: x * bsig.sosfiltfilt(sos, v),
        lambda b, a, sos, v: lambda x: x * bsig.lfilter(b, a, v),
        lambda b, a, sos, v: lambda x: x * np.abs(bsig.freqz(b, a, worN=40)[1]),
        lambda b, a, sos, v: lambda x: x * np.abs(bsf.fft(v)),
        lambda b, a, sos, v: lambda x: x * np.abs(bsf.fft(np.round(x))),
        lambda b, a, sos, v: lambda x: x * np.abs(bsf.fft(v.astype(int))),
        lambda b, a, sos, v: lambda x: x * bsp.polygamma(1, v**2 + 1.0),
        lambda b, a, sos, v: lambda x: x * bsp.factorial(v**2),
        lambda b, a, sos, v: lambda x: x * bsp.comb(v**2 + 2.0, 1.5),
        lambda b, a, sos, v: lambda x: x * bsp.multigammaln(v**2 + 2.0, 2),
        lambda b, a, sos, v: lambda x: x * bsp.spherical_jn(2, v),
        lambda b, a, sos, v: lambda x: x * bsig.find_peaks(v, 0.0)[1]["peak_heights"].sum(),
        lambda b, a, sos, v: lambda x: x * v[bsig.find_peaks(v, 0.0)[0]].sum(),
        lambda b, a, sos, v: lambda x: x * bsig.deconvolve(v, b)[1],
        lambda b, a, sos, v: lambda x: x * bnd.center_of_mass(v**2)[0],
        lambda b, a, sos, v: lambda x: x * np.histogramdd([v, v**2], 3)[0][0, 1],
        lambda b, a, sos, v: lambda x: x * np.histogramdd([v, v**2], 3)[1][1][2],
        lambda b, a, sos, v: lambda x: x * np.full(40, v[3]) + np.full((2, 40), v)[1],
        lambda b, a, sos, v: lambda x: x * np.full_like(x, v[3]) + np.full(3, b[0], int)[1],
        lambda b, a, sos, v: lambda x: x * bsl.matrix_balance(_balanced(v), separate=True)[1][0][2],
        lambda b, a, sos, v: lambda x: x * bsl.matrix_balance(_balanced(v))[0][0, 2],
        lambda b, a, sos, v: lambda x: x * np.apply_over_axes(np.sum, v.reshape(8, 5), [0, 1])[0],
    ],
)
def test_functions_of_scipy_and_numpy_on_arrays_around(make):
    b, a, sos, v = _B.copy(), _A.copy(), _SOS.copy(), _LONG.copy()
    f = make(b, a, sos, v)
    c, slope = bp.compile(f), bp.compile(bp.grad(lambda x: np.sum(f(x) ** 2)))
    for factor in (1.0, 1.5, 0.75):
        b[:], v[:] = _B * factor, _LONG * factor
        sos[:, :3] = _SOS[:, :3] * factor
        x = _LONG[::-1] * (1.0 + factor)
        np.testing.assert_allclose(c(x), f(x), rtol=1e-12, atol=1e-12)
        want = bp.grad(lambda x: np.sum(f(x) ** 2))(x)
        np.testing.assert_allclose(slope(x), want, rtol=1e-10, atol=1e-12)


def test_nested_results_of_calls_on_arrays_around_in_maps_and_files(tmp_path):
    v = _LONG.copy()

    def f(x):
        places, found = bsig.find_peaks(v, 0.5)
        counts, (_, edges) = np.histogramdd([v, v**2], 3)
        return np.sum(x * x) * (found["peak_heights"][0] + v[places[1]] + counts[0, 0] * edges[1])

    compiled = bp.compile(bp.grad(f))
    for factor in (1.0, 0.9):
        v[:] = _LONG * factor
        np.testing.assert_allclose(compiled(X), bp.grad(f)(X), rtol=1e-14)
    with pytest.raises(PlanFileError, match="the plan calls 'find_peaks'"):
        compiled.save(tmp_path / "plan")
    xs = np.stack([X, 2 * X])
    mapped = bp.compile(bp.vmap(bp.grad(f)))
    np.testing.assert_allclose(mapped(xs), np.stack([bp.grad(f)(x) for x in xs]), rtol=1e-13)


def test_a_file_has_nested_results(tmp_path):
    v = _LONG.copy()

    def f(x):
        counts, (_, edges) = np.histogramdd([v, v**2], 3)
        return np.sum(x * x) * counts[0, 0] * edges[1] + x * np.full(3, v[1])

    compiled = bp.compile(f)
    np.testing.assert_allclose(compiled(X), f(X), rtol=1e-14)
    compiled.save(tmp_path / "plan")
    np.testing.assert_allclose(bp.load(tmp_path / "plan")(X), f(X), rtol=1e-14)


def test_nested_results_of_functions_of_members(rng):
    """Each member has its own."""

    def f(x):
        counts, (_, edges) = np.histogramdd([x, x**2], 3)
        return np.sum(x * counts[0, 0] * bp.stop_gradient(edges[1]))

    x = rng.normal(size=(4, 6))
    np.testing.assert_allclose(bp.vmap(f)(x), [f(row) for row in x], rtol=1e-13)


def test_filters_by_coefficients_that_cannot_be_written_into():
    sos = _SOS.copy()
    sos.flags.writeable = False
    for name in ("sosfilt", "sosfiltfilt"):
        want = getattr(signal, name)(_SOS, _LONG)
        np.testing.assert_array_equal(getattr(bsig, name)(sos, _LONG), want)
        y, _ = bp.vjp(lambda x, name=name: getattr(bsig, name)(sos, x), _LONG)
        np.testing.assert_allclose(y, want, rtol=1e-12, atol=1e-14)


def test_what_a_refusal_says_to_who_prints():
    for f in (print, lambda x: print(x.value), lambda x: f"{x}"):
        with pytest.raises(FrozenValueError, match="call the function without compile"):
            bp.compile(lambda x, f=f: (f(x), x)[1])(X)
        with pytest.raises(bp.errors.MappedValueError, match="call the function without vmap"):
            bp.vmap(lambda x, f=f: (f(x), x)[1])(np.ones((2, 3)))
