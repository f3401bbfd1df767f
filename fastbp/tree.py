"""Nested containers of arrays, to flat lists of leaves and back.

A *tree* is a leaf (an array, a number) or a container of trees: `dict`, `OrderedDict`,
`defaultdict`, `list`, `tuple`, a named tuple, a dataclass instance, or `None`, which contains
nothing. All else is a leaf, other subclasses of these included: how to rebuild them is not known.

A dict is walked and rebuilt in its insertion order. Two structures are *equal* when their flat
lists can be swapped, for dicts: the same keys in the same order. Where only the order of keys
differs they are *compatible*: `TreeDef.leaves_of` and `map` match by key, in the first one's order.

A dataclass is rebuilt field by field, without ``__init__``: frozen ones, ``init=False`` fields and
checks in ``__post_init__`` do not stand in the way. What is not a field is not carried over. A
field with ``metadata={"static": True}`` is no leaf: it belongs to the structure, as it is.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import lru_cache
from typing import Any

from fastbp.errors import ShapeError

__all__ = ["TreeDef", "flatten", "leaves_with_paths", "map"]


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one type of container is taken apart, put together, and written in a path."""

    type: type
    split: Callable[[Any], tuple[Sequence[Any], Iterable[Any]]] = field(compare=False)
    build: Callable[[TreeDef, Sequence[Any]], Any] = field(compare=False)
    step: str = field(compare=False)
    extra: Callable[[Any], Any] | None = field(default=None, compare=False)  # what build also needs

    def __reduce__(self) -> Any:
        return _find_kind, (self.type,)


@dataclass(slots=True, unsafe_hash=True, repr=False)
class TreeDef:
    """The structure of a tree without its leaves, from `flatten`; hashable, not to be changed.

    Attributes
    ----------
    num_leaves : int
        Length of the flat lists that fit the structure.

    Examples
    --------
    >>> import fastbp as bp
    >>> leaves, treedef = bp.tree.flatten({"w": [1.0, 2.0], "b": 3.0})
    >>> treedef, treedef.num_leaves
    (TreeDef({'w': [*, *], 'b': *}), 3)
    >>> treedef.unflatten([10.0, 20.0, 30.0])
    {'w': [10.0, 20.0], 'b': 30.0}
    """

    num_leaves: int
    _kind: _Kind | None = None  # None for a leaf
    _keys: Sequence[Any] = ()
    _children: tuple[TreeDef, ...] = ()
    _extra: Any = field(default=None, compare=False)  # a defaultdict's factory, static fields
    _flat: bool = field(default=False, compare=False)  # all children are leaves

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        """Rebuild the tree from `num_leaves` objects of any type, in the order of `flatten`.

        Raises
        ------
        ShapeError
            If `leaves` has another length.

        Examples
        --------
        >>> leaves, treedef = flatten({"w": 1.0, "b": (2.0, None)})
        >>> treedef.unflatten([10 * x for x in leaves])
        {'w': 10.0, 'b': (20.0, None)}
        """
        if len(leaves) != self.num_leaves:
            raise ShapeError(f"{self} takes {self.num_leaves} leaves, got {len(leaves)}")
        if self._kind is None:
            return leaves[0]
        if self._flat:
            return self._kind.build(self, leaves)
        return self._build(self._kind, iter(leaves))

    def _build(self, kind: _Kind, leaves: Iterator[Any]) -> Any:
        values = [
            next(leaves) if c._kind is None else c._build(c._kind, leaves) for c in self._children
        ]
        return kind.build(self, values)

    def leaves_of(self, tree: Any, name: str = "tree", none: bool = False) -> list[Any]:
        """Flatten another tree in the order of this structure; its dicts may be in any order.

        Parameters
        ----------
        tree : tree
            Compatible with this structure; the three kinds of dict stand for one another.
        name : str
            What to call `tree` in an error message.
        none : bool
            Whether None may stand in place of a leaf, as in a gradient where there is none.

        Returns
        -------
        list of length `num_leaves`

        Raises
        ------
        ShapeError
            If the structures differ; the message names the path of the first difference.

        Examples
        --------
        >>> _, treedef = flatten({"w": 1.0, "b": 2.0})
        >>> treedef.leaves_of({"b": 20.0, "w": 10.0})
        [10.0, 20.0]
        """
        leaves: list[Any] = []
        self._align(tree, name, leaves, none)
        return leaves

    def _align(self, tree: Any, path: str, leaves: list[Any], none: bool) -> None:
        kind = _kind_of(type(tree))
        if tree is None and none and self._kind is None:
            leaves.append(None)
            return
        if self._kind != kind and not (_is_dict(self._kind) and _is_dict(kind)):
            raise _mismatch(path, f"is {_describe(kind)}", _describe(self._kind))
        if kind is None:
            leaves.append(tree)
            return
        keys, values = kind.split(tree)
        if keys != self._keys:
            if not _is_dict(kind):
                raise _mismatch(path, f"has length {len(keys)}", f"length {len(self._keys)}")
            if set(keys) != set(self._keys):
                raise _mismatch(path, f"has the keys {list(keys)}", f"{list(self._keys)}")
            values = [tree[key] for key in self._keys]
        for key, child, value in zip(self._keys, self._children, values, strict=True):
            if child._kind is None and _kind_of(type(value)) is None:
                leaves.append(value)  # spares the common case a path and a call
            else:
                child._align(value, path + kind.step.format(key), leaves, none)

    def paths(self, name: str = "tree") -> list[str]:
        """Write every leaf, in flat order, as the expression that reaches it from `name`.

        Examples
        --------
        >>> flatten({"w": [1.0, 2.0], "b": 3.0})[1].paths("params")
        ["params['w'][0]", "params['w'][1]", "params['b']"]
        """
        if self._kind is None:
            return [name]
        step = self._kind.step
        pairs = zip(self._keys, self._children, strict=True)
        return [path for key, child in pairs for path in child.paths(name + step.format(key))]

    def sequences(self) -> Iterator[range]:
        """Yield where the leaves of each list or tuple are that contains nothing but leaves.

        Examples
        --------
        >>> list(flatten({"w": [1.0, 2.0], "b": 3.0, "c": (4.0,)})[1].sequences())
        [range(0, 2), range(3, 4)]
        """
        start = 0
        for treedef in [self] if self._flat else self._children:
            if treedef._flat and treedef._kind is not None and treedef._kind.type in (list, tuple):
                yield range(start, start + treedef.num_leaves)
            elif treedef is not self:
                for part in treedef.sequences():
                    yield range(start + part.start, start + part.stop)
            start += treedef.num_leaves

    def __repr__(self) -> str:
        return f"TreeDef({self.unflatten([_STAR] * self.num_leaves)!r})"


_STAR = type("_Star", (), {"__repr__": lambda _: "*"})()
_LEAF = TreeDef(1)


def flatten(tree: Any) -> tuple[list[Any], TreeDef]:
    """Take a tree apart into the list of its leaves (not copied) and its structure.

    Raises
    ------
    RecursionError
        If a container contains itself.

    Examples
    --------
    >>> flatten({"w": [1.0, 2.0], "b": 3.0, "unused": None})
    ([1.0, 2.0, 3.0], TreeDef({'w': [*, *], 'b': *, 'unused': None}))
    """
    kind = _kind_of(type(tree))
    if kind is None:
        return [tree], _LEAF
    leaves: list[Any] = []
    return leaves, _collect(tree, kind, leaves)


def _collect(tree: Any, kind: _Kind, leaves: list[Any]) -> TreeDef:
    """Append the leaves of a container to `leaves` and return its structure."""
    start = len(leaves)
    keys, values = kind.split(tree)
    extra = None if kind.extra is None else kind.extra(tree)
    for value in values:
        if _kind_of(type(value)) is not None:
            break
    else:
        leaves.extend(values)
        count = len(keys)
        return TreeDef(count, kind, keys, (_LEAF,) * count, extra, True)
    children = []
    for value in values:
        child = _kind_of(type(value))
        if child is None:
            leaves.append(value)
            children.append(_LEAF)
        else:
            children.append(_collect(value, child, leaves))
    return TreeDef(len(leaves) - start, kind, keys, tuple(children), extra)


def map(f: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """Apply `f` to every leaf of `tree` and the leaves at the same places of the trees in `rest`.

    Returns
    -------
    tree
        What `f` returned, in the structure of `tree`. Where one of `rest` has None, as a gradient
        has for settings, the leaf of `tree` itself.

    Raises
    ------
    ShapeError
        If one of `rest` is not compatible with `tree`; the message names the path.

    Examples
    --------
    >>> map(lambda p, g: p - 0.5 * g, {"w": 3.0, "b": 1.0}, {"w": 2.0, "b": 4.0})
    {'w': 2.0, 'b': -1.0}
    """
    leaves, treedef = flatten(tree)
    columns = [treedef.leaves_of(other, f"rest[{i}]", True) for i, other in enumerate(rest)]
    return treedef.unflatten(
        [
            row[0] if any(x is None for x in row[1:]) else f(*row)
            for row in zip(leaves, *columns, strict=True)
        ]
    )


def leaves_with_paths(tree: Any, name: str = "tree") -> list[tuple[str, Any]]:
    """Pair the path of every leaf (`TreeDef.paths`) with the leaf, for error messages.

    Examples
    --------
    >>> import fastbp as bp
    >>> bp.tree.leaves_with_paths({"w": [1.0, 2.0], "b": 3.0}, "params")
    [("params['w'][0]", 1.0), ("params['w'][1]", 2.0), ("params['b']", 3.0)]
    """
    leaves, treedef = flatten(tree)
    return list(zip(treedef.paths(name), leaves, strict=True))


def _is_dict(kind: _Kind | None) -> bool:
    return kind is not None and issubclass(kind.type, dict)


def _mismatch(path: str, found: str, expected: str) -> ShapeError:
    return ShapeError(f"{path} {found} where the structure has {expected}")


def _describe(kind: _Kind | None) -> str:
    if kind is None:
        return "a leaf"
    return "None" if kind.type is type(None) else f"a {kind.type.__qualname__}"


def _dict_kind(
    cls: type,
    build: Callable[[TreeDef, zip[Any]], Any],
    extra: Callable[[Any], Any] | None = None,
) -> _Kind:
    return _Kind(
        cls,
        lambda tree: (tuple(tree), tree.values()),
        lambda treedef, values: build(treedef, zip(treedef._keys, values, strict=True)),
        "[{!r}]",
        extra,
    )


def _field_kind(
    cls: type,
    names: tuple[str, ...],
    build: Callable[[TreeDef, Sequence[Any]], Any],
    extra: Callable[[Any], Any] | None = None,
) -> _Kind:
    return _Kind(
        cls,
        lambda tree: (names, [getattr(tree, name) for name in names]),
        build,
        ".{}",
        extra,
    )


_BUILTIN = {
    dict: _dict_kind(dict, lambda _, items: dict(items)),
    OrderedDict: _dict_kind(OrderedDict, lambda _, items: OrderedDict(items)),
    defaultdict: _dict_kind(
        defaultdict,
        lambda d, items: defaultdict(d._extra, items),
        lambda tree: tree.default_factory,
    ),
    list: _Kind(list, lambda x: (range(len(x)), x), lambda _, values: [*values], "[{}]"),
    tuple: _Kind(tuple, lambda x: (range(len(x)), x), lambda _, values: tuple(values), "[{}]"),
    type(None): _Kind(type(None), lambda _: ((), ()), lambda *_: None, ""),
}


def _find_kind(cls: type) -> _Kind | None:
    if cls in _BUILTIN:
        return _BUILTIN[cls]
    if issubclass(cls, tuple) and hasattr(cls, "_make") and hasattr(cls, "_fields"):
        return _field_kind(cls, cls._fields, lambda _, values: cls._make(values))
    if not is_dataclass(cls):
        return None
    static = tuple(f.name for f in fields(cls) if f.metadata.get("static"))
    names = tuple(f.name for f in fields(cls) if f.name not in static)

    def build(treedef: TreeDef, values: Sequence[Any]) -> Any:
        tree = cls.__new__(cls)
        for name, value in zip(names + static, (*values, *(treedef._extra or ())), strict=True):
            object.__setattr__(tree, name, value)  # works on frozen dataclasses too
        return tree

    def extra(tree: Any) -> Any:
        return tuple(getattr(tree, name) for name in static)

    return _field_kind(cls, names, build, extra if static else None)


# How to handle a type, None for a leaf: one look-up.
_kind_of: Callable[[type], _Kind | None] = lru_cache(maxsize=1024)(_find_kind)
