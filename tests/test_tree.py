"""Trees: round trips for every container, what is a leaf, equality and compatibility, messages."""

from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbp import tree
from fastbp.errors import ShapeError


class Point(NamedTuple):
    x: Any
    y: Any


@dataclass
class Layer:
    w: Any
    b: Any = None


@dataclass(frozen=True, slots=True)
class Checked:
    """A dataclass that could not be rebuilt through its ``__init__``."""

    w: Any
    norm: float = field(init=False)

    def __post_init__(self):
        if not isinstance(self.w, np.ndarray):
            raise TypeError("w must be an array")
        object.__setattr__(self, "norm", float(np.abs(self.w).max()))


class ListSubclass(list):
    pass


keys = st.text(max_size=3) | st.integers() | st.tuples(st.integers())
trees = st.recursive(
    st.floats(allow_nan=False) | st.none(),
    lambda children: (
        st.lists(children, max_size=3)
        | st.lists(children, max_size=3).map(tuple)
        | st.dictionaries(keys, children, max_size=3)
        | st.dictionaries(keys, children, max_size=3).map(OrderedDict)
        | st.builds(Point, children, children)
        | st.builds(Layer, children, children)
    ),
    max_leaves=12,
)


@given(trees)
def test_round_trip(original):
    leaves, treedef = tree.flatten(original)
    rebuilt = treedef.unflatten(leaves)
    assert rebuilt == original
    assert type(rebuilt) is type(original)
    assert treedef.num_leaves == len(leaves)
    assert treedef.leaves_of(original) == leaves
    assert tree.flatten(rebuilt)[1] == treedef
    assert hash(tree.flatten(rebuilt)[1]) == hash(treedef)


@given(trees)
def test_a_path_is_the_expression_that_reaches_the_leaf(original):
    for path, leaf in tree.leaves_with_paths(original, "t"):
        assert eval(path, {"t": original}) is leaf


@pytest.mark.parametrize(
    "leaf",
    [np.ones(3), np.float32(2), 1.5, 3, "name", object(), ListSubclass([1.0]), Layer, range(3)],
    ids=lambda leaf: type(leaf).__name__,
)
def test_leaves_are_kept_as_they_are(leaf):
    leaves, treedef = tree.flatten(leaf)
    assert leaves[0] is leaf
    assert treedef.unflatten(leaves) is leaf
    assert tree.leaves_with_paths(leaf, "x") == [("x", leaf)]


@pytest.mark.parametrize("empty", [None, (), [], {}, OrderedDict(), (None, [{}])], ids=repr)
def test_empty_containers_have_no_leaves(empty):
    leaves, treedef = tree.flatten(empty)
    assert leaves == []
    assert treedef.unflatten([]) == empty


def test_unflatten_makes_new_containers():
    original = {"a": [1.0]}
    leaves, treedef = tree.flatten(original)
    rebuilt = treedef.unflatten(leaves)
    rebuilt["a"].append(2.0)
    assert original == {"a": [1.0]}
    assert treedef.unflatten(leaves) == {"a": [1.0]}


def test_dataclass_is_rebuilt_without_its_init():
    leaves, treedef = tree.flatten(Checked(np.array([1.0, -3.0])))
    rebuilt = treedef.unflatten([None, 7.0])
    assert leaves[1] == 3.0
    assert type(rebuilt) is Checked
    assert (rebuilt.w, rebuilt.norm) == (None, 7.0)


def test_defaultdict_keeps_its_factory():
    original = defaultdict(list, a=1.0)
    rebuilt = tree.map(lambda x: 2 * x, original)
    assert type(rebuilt) is defaultdict
    assert rebuilt == {"a": 2.0}
    assert rebuilt["missing"] == []


def test_dict_order_is_kept_and_keys_need_not_be_sortable():
    original = {"z": 1.0, 1: 2.0, (0,): 3.0}
    leaves, treedef = tree.flatten(original)
    assert leaves == [1.0, 2.0, 3.0]
    assert list(treedef.unflatten(leaves)) == ["z", 1, (0,)]


def test_equal_structures_have_interchangeable_leaves():
    _, ab = tree.flatten({"a": 1.0, "b": 2.0})
    leaves, ba = tree.flatten({"b": 2.0, "a": 1.0})
    # Were these equal, a flat list of the one would be read silently wrong by the other.
    assert ab != ba
    assert ab.unflatten(ba.leaves_of({"a": 1.0, "b": 2.0})) == {"a": 2.0, "b": 1.0}
    assert ab.leaves_of(ba.unflatten(leaves)) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1.0, [1.0]),
        ([1.0], (1.0,)),
        ([1.0], [1.0, 2.0]),
        ({"a": 1.0}, {"b": 1.0}),
        ((1.0, 2.0), Point(1.0, 2.0)),
        (None, 1.0),
        ([None], [1.0]),
        ([[1.0], 2.0], [1.0, [2.0]]),
    ],
    ids=repr,
)
def test_different_structures_are_neither_equal_nor_compatible(one, other):
    first, second = tree.flatten(one)[1], tree.flatten(other)[1]
    assert first != second
    with pytest.raises(ShapeError):
        first.leaves_of(other)
    with pytest.raises(ShapeError):
        second.leaves_of(one)


def test_treedef_equals_nothing_else():
    assert tree.flatten([1.0])[1] != [1.0]


def test_map_matches_by_key_and_keeps_the_first_structure():
    params = {"w": [3.0, 4.0], "b": 1.0}
    grads = OrderedDict(b=10.0, w=[1.0, 2.0])
    result = tree.map(lambda p, g: p - g, params, grads)
    assert result == {"w": [2.0, 2.0], "b": -9.0}
    assert list(result) == ["w", "b"]


def test_map_does_not_add_keys_to_a_defaultdict():
    other = defaultdict(float, a=1.0)
    with pytest.raises(ShapeError, match="keys"):
        tree.map(max, {"a": 1.0, "b": 2.0}, other)
    assert other == {"a": 1.0}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"w": [1.0], "p": Point(1.0, 2.0)}, r"g\['w'\] has length 1 where .* length 2"),
        ({"w": [1.0, 2.0]}, r"g has the keys \['w'\] where .* \['w', 'p'\]"),
        ({"w": (1.0, 2.0), "p": Point(1.0, 2.0)}, r"g\['w'\] is a tuple where .* a list"),
        ({"w": [1.0, None], "p": Point(1.0, 2.0)}, r"g\['w'\]\[1\] is None where .* a leaf"),
        ({"w": [1.0, 2.0], "p": Point(1.0, [2.0])}, r"g\['p'\]\.y is a list where .* a leaf"),
        ({"w": [1.0, 2.0], "p": 3.0}, r"g\['p'\] is a leaf where .* a Point"),
        (np.ones(2), r"g is a leaf where .* a dict"),
    ],
)
def test_mismatch_names_the_path(other, message):
    _, treedef = tree.flatten({"w": [1.0, 2.0], "p": Point(1.0, 2.0)})
    with pytest.raises(ShapeError, match=message):
        treedef.leaves_of(other, "g")


@pytest.mark.parametrize("leaves", [[], [1.0], [1.0, 2.0, 3.0]])
def test_unflatten_refuses_a_wrong_number_of_leaves(leaves):
    _, treedef = tree.flatten({"a": 1.0, "b": 2.0})
    with pytest.raises(ShapeError, match=r"TreeDef\({'a': \*, 'b': \*}\) takes 2 leaves"):
        treedef.unflatten(leaves)


def test_a_container_of_itself_raises():
    cycle = []
    cycle.append(cycle)
    with pytest.raises(RecursionError):
        tree.flatten(cycle)
