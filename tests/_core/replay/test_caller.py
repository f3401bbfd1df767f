"""Which plan a call is for: the structure of its arguments, and what is around the function."""

import numpy as np
import pytest

import fastbp.compiling  # noqa: F401  (tells the core how places are read)
from fastbp._core.caller import MISSED, Caller, Entry, Form, Spec
from fastbp._core.machine import Machine
from fastbp._core.replay import Plan


def copying(*specs, keywords=None, n=1, **around):
    """Return an entry that gives its inputs of two numbers back."""
    machine = Machine(2 * n + 1, n, 0, {})
    for k in range(n):
        machine.copy(8, (2,), (k, 0), (8,), (n + 1 + k, 0), (8,))
    kind = (2,), np.dtype(float)
    plan = Plan(machine, [kind] * n, [(n + 1 + k, *kind) for k in range(n)], [])
    form = Form("tuple", None, tuple([Form("output", k) for k in range(n)]))
    facts = {"places": [], "surroundings": [], "watched": [], "compared": [], "guards": []}
    return Entry(plan, specs, keywords, *{**facts, **around}.values(), form)


X = np.array([1.0, 2.0])


def test_arrays():
    entry = copying(Spec("array", X, (), 0))
    (found,) = entry.call((X,), {})
    np.testing.assert_array_equal(found, X)
    assert found is not X
    np.testing.assert_array_equal(entry.call((np.arange(4.0)[::2],), {})[0], [0.0, 2.0])
    for other in (X[:1], X[None], X.astype(np.float32), [1.0, 2.0], 1.0, None, X.astype(">f8")):
        assert entry.call((other,), {}) is MISSED or np.asarray(other).dtype == np.dtype(">f8")
    assert entry.call((X, X), {}) is MISSED
    assert entry.call((), {}) is MISSED
    assert entry.call((X,), {"a": 1}) is MISSED
    np.testing.assert_array_equal(entry.call((X.astype(">f8"),), {})[0], X)


def test_containers():
    part = Spec("array", X, (), 0)
    entry = copying(Spec("tuple", None, (Spec("list", None, (part,)), Spec("static", 3))))
    assert entry.call((([X], 3),), {}) is not MISSED
    for other in (([X], 4), ([X], 3.0), ([X], True), ((X,), 3), ([X, X], 3), ([X],), [[X], 3]):
        assert entry.call((other,), {}) is MISSED
    entry = copying(Spec("dict", ["a", "b"], (part, Spec("static", "s"))))
    assert entry.call(({"a": X, "b": "s"},), {}) is not MISSED
    for other in ({"b": "s", "a": X}, {"a": X}, {"a": X, "b": "t"}, {"a": X, "c": "s"}):
        assert entry.call((other,), {}) is MISSED


def test_keywords():
    entry = copying(keywords=Spec("dict", ["x"], (Spec("array", X, (), 0),)))
    assert entry.call((), {"x": X}) is not MISSED
    assert entry.call((), {"y": X}) is MISSED
    assert entry.call((), {}) is MISSED


def test_what_is_around():
    names = {"w": X, "n": 3}
    around = {
        "places": [(names, "w")],
        "surroundings": [Spec("array", X, (), 0)],
        "watched": [(names, "n", 3)],
    }
    entry = copying(**around)
    np.testing.assert_array_equal(entry.call((), {})[0], X)
    names["w"] = X + 1
    np.testing.assert_array_equal(entry.call((), {})[0], X + 1)
    assert entry.reason((), {}) is None
    names["n"] = 4
    assert entry.call((), {}) is MISSED
    assert entry.reason((), {}) == "another int at 'n'"
    names["n"], names["w"] = 3, np.ones(3)
    assert entry.call((), {}) is MISSED
    assert entry.reason((), {}) == "another kind of array at 'w'"
    assert entry.reason((1,), {}) == "other arguments"
    del names["w"]
    assert entry.call((), {}) is MISSED


def test_arrays_that_are_compared():
    x = X.copy()
    entry = copying(Spec("array", X, (), 0), compared=[(x, x.copy())])
    assert entry.call((X,), {}) is not MISSED
    x[0] = 9.0
    assert entry.call((X,), {}) is MISSED
    assert "other elements in an array" in entry.reason((X,), {})


def test_a_caller_asks_its_entries_in_turn():
    class Ours(Caller):
        def miss(self, args, kwargs):
            return "missed", args, kwargs

    caller = Ours()
    assert caller(1, a=2) == ("missed", (1,), {"a": 2})
    caller.add(copying(Spec("array", X, (), 0)))
    caller.add(copying(Spec("array", X, (), 0), Spec("static", 3)))
    assert len(caller.entries) == 2
    assert len(caller(X)) == 1
    assert len(caller(X, 3)) == 1
    assert caller(X, 4)[0] == "missed"
    caller.clear()
    assert caller(X)[0] == "missed"
    with pytest.raises(NotImplementedError):
        Caller()(X)
