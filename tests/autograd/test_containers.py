"""Containers: Python's own, with recorded arrays in them; vector spaces of values."""

import collections

import numpy as onp
import pytest

import fastbp as bp
import fastbp.autograd as ag
import fastbp.autograd.numpy as np
from fastbp.autograd import builtins
from fastbp.autograd.builtins import (
    ContainerVSpace,
    DictBox,
    DictVSpace,
    ListVSpace,
    NamedTupleVSpace,
    SequenceBox,
    SequenceVSpace,
    TupleVSpace,
    container_take,
    container_untake,
    make_sequence,
    sequence_extend_left,
    sequence_extend_right,
)
from fastbp.autograd.extend import VSpace, vspace
from fastbp.autograd.numpy.numpy_vspaces import ArrayVSpace, ComplexArrayVSpace
from fastbp.autograd.test_util import check_grads

X = onp.array([0.5, -1.0, 2.0])
Pair = collections.namedtuple("Pair", "a b")


def test_containers_are_pythons_own():
    assert (builtins.tuple, builtins.list, builtins.dict) == (tuple, list, dict)
    assert ag.tuple((1, 2)) == (1, 2)
    assert ag.dict(a=1) == {"a": 1}
    assert ag.isinstance([], ag.list)


def test_types_are_those_of_values():
    def f(x, y, params):
        assert ag.isinstance(x, float)
        assert ag.type(x) is onp.float64
        assert ag.isinstance(y, onp.ndarray)
        assert ag.type(y) is onp.ndarray
        assert ag.type(params) is dict
        assert isinstance(params, DictBox)
        assert isinstance([x], SequenceBox)
        assert isinstance((params,), SequenceBox)
        assert not isinstance([1.0], SequenceBox)
        assert not isinstance({"a": 1.0}, DictBox)
        return x * np.sum(y) * params["a"]

    assert ag.grad(f, (0, 2))(2.0, X, {"a": 3.0}) == (4.5, {"a": 3.0})


@pytest.mark.parametrize(
    "f",
    [
        lambda p: p["a"] * p["b"][0],
        lambda p: sum(np.sum(v) for v in [p["a"], *p["b"]]),
        lambda p: np.sum(np.array([p["a"], *p["b"][:2]]) ** 2),
        lambda p: {**p, "c": p["a"] ** 2},
        lambda p: [x * 2 for x in p["b"][::-1]],
        lambda p: p["b"] + [p["a"]],
        lambda p: (p["a"], *tuple(p["b"])),
        lambda p: dict((k, v) for k, v in p.items() if k == "a"),
        lambda p: p.get("none", p["a"]) * len(p["b"]) * ("a" in p),
        lambda p: make_sequence(list, p["a"], p["b"][1]),
        lambda p: container_take(p["b"], 1),
        lambda p: sequence_extend_right(p["b"], p["a"]),
        lambda p: sequence_extend_left(p["b"], p["a"], p["a"]),
        lambda p: container_untake(p["a"], 1, vspace([1.0, 2.0])),
        lambda p: Pair(p["a"], p["b"][0])._replace(a=p["b"][1]),
    ],
)
def test_functions_of_containers(f):
    onp.random.seed(0)  # noqa: NPY002
    check_grads(lambda p: np.sin(p["a"]) * np.sum(flat(f(p))) + p["b"][0] * p["b"][1])(
        {"a": 0.5, "b": [1.5, -0.7]}
    )


def flat(x):
    return np.array([np.sum(v) for v in bp.tree.flatten(x)[0]])


def test_gradients_by_named_tuples_and_nested_containers():
    found = ag.grad(lambda p: p.a * p.b[0]["x"])(Pair(2.0, [{"x": 3.0}]))
    assert found == Pair(3.0, [{"x": 2.0}])
    assert type(found) is Pair


def test_sequences():
    assert make_sequence(tuple, 1, 2) == (1, 2)
    assert container_take({"a": 1}, "a") == 1
    assert sequence_extend_right([1], 2, 3) == [1, 2, 3]
    assert sequence_extend_left((1,), 2, 3) == (2, 3, 1)
    assert container_untake(5.0, "a", vspace({"a": 1.0, "b": 2.0})) == {"a": 5.0, "b": 0.0}
    assert container_untake([5.0, 6.0], slice(1, 3), vspace([1.0] * 3)) == [0.0, 5.0, 6.0]
    assert container_untake((7.0,), slice(0, 1), vspace((1.0, 2.0))) == (7.0, 0.0)


# ---- vector spaces

VALUES = {
    "number": 2.0,
    "float32": onp.ones((2, 3), onp.float32),
    "array": X,
    "complex": onp.array([1 + 2j, 3.0]),
    "complex number": 1 + 2j,
    "list": [2.0, X],
    "tuple": (X, (1.0,)),
    "dict": {"a": X, "b": [onp.array([1j])]},
    "named": Pair(1.0, X),
}


@pytest.mark.parametrize("name", VALUES)
def test_spaces(name):
    onp.random.seed(0)  # noqa: NPY002
    x = VALUES[name]
    space = vspace(x)
    assert isinstance(space, VSpace)
    assert space == vspace(space.zeros()) == vspace(space.ones()) == vspace(space.randn())
    basis = list(space.standard_basis())
    assert len(basis) == space.size
    for i, e in enumerate(basis):
        assert vspace(e) == space
        assert [space.inner_prod(e, b) for b in basis] == [i == k for k in range(len(basis))]
    zero, v = space.zeros(), space.randn()
    same(space.add(v, zero), v)
    same(space.mut_add(None, v), v)
    same(space.mut_add(space.add(zero, v), v), space.scalar_mul(v, 2.0))
    assert space.inner_prod(v, v) > 0.0
    same(space.covector(space.covector(v)), v)
    assert repr(space).startswith(type(space).__name__)


def same(x, y):
    for a, b in zip(bp.tree.flatten(x)[0], bp.tree.flatten(y)[0], strict=True):
        onp.testing.assert_allclose(a, b)


def test_spaces_differ_by_kind_shape_and_dtype():
    assert vspace(X) != vspace(X[:2])
    assert vspace(X) != vspace(X + 0j)
    assert vspace([X]) != vspace((X,))
    assert vspace([X]) != vspace([X, X])
    assert vspace(X).shape == (3,)
    assert vspace(X).ndim == 1
    assert vspace(X).dtype == float
    assert vspace(X + 0j).iscomplex
    assert vspace(X + 0j).size == 6
    assert vspace(bp.variable(X)) == vspace(X)
    kinds = (ListVSpace, TupleVSpace, DictVSpace, NamedTupleVSpace)
    for name, kind in zip(("list", "tuple", "dict", "named"), kinds, strict=True):
        assert type(vspace(VALUES[name])) is kind
        assert issubclass(kind, ContainerVSpace)
    assert issubclass(TupleVSpace, SequenceVSpace)
    assert isinstance(vspace(X + 0j), ComplexArrayVSpace)
    assert isinstance(vspace(X + 0j), ArrayVSpace)


def test_what_has_no_space_is_refused():
    for x in ("text", 3, None, {1, 2}):
        with pytest.raises(TypeError, match="Can't find vector space"):
            vspace(x)


def test_spaces_of_ones_own():
    class Point:
        def __init__(self, x):
            self.x = x

    class PointSpace(VSpace):
        def __init__(self, value):
            self.inner = vspace(value.x)

        def zeros(self):
            return Point(self.inner.zeros())

    PointSpace.register(Point)
    space = vspace(Point(X))
    assert space == vspace(Point(X + 1))
    assert space.zeros().x.tolist() == [0.0] * 3
    with pytest.raises(NotImplementedError, match=r"PointSpace\.ones"):
        space.ones()
    VSpace.register(Point, lambda p: vspace(p.x))
    assert vspace(Point(X)) == vspace(X)


@pytest.mark.thread_unsafe(reason="registers a class, and takes it back")
def test_named_tuple_spaces_of_ones_own():
    class PairSpace(NamedTupleVSpace):
        seq_type = Pair

    PairSpace.register(Pair)
    try:
        assert vspace(Pair(1.0, X)).zeros().b.tolist() == [0.0] * 3
    finally:
        del VSpace.mappings[Pair]
