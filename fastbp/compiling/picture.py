"""The instructions of a plan as a picture."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from fastbp._core.caller import Entry, Spec
from fastbp.compiling.blocks import Block, Loop
from fastbp.compiling.steps import Region, Step
from fastbp.compiling.values import Storage
from fastbp.pictures import Box, Drawing, collapsed

__all__ = ["picture_of"]

LINE = 34  # letters of a line of text
MEMBERS = 24  # names of what a region computes


def picture_of(entry: Entry, function: Callable[..., Any] | None) -> Drawing:
    """Return the drawing of a plan; the names of arguments are those of `function`."""
    made = _Picture(entry, function)
    made.add(entry.plan.steps)
    made.results()
    return collapsed(Drawing(made.boxes, made.arrows))


class _Picture:
    """Boxes of the instructions; what they read comes from the last that wrote it."""

    def __init__(self, entry: Entry, function: Callable[..., Any] | None) -> None:
        self.entry = entry
        self.boxes: list[Box] = []
        self.arrows: list[tuple[int, int, str, bool]] = []
        self.writers: dict[Any, list[int]] = {}
        self.same: dict[int, Storage] = {}  # where a loop finds what moves
        self.inputs = _names(entry, function)
        self.buffers: dict[int, Any] = {}

    def add(self, steps: Sequence[Any]) -> list[int]:
        """Add boxes for steps, and return their numbers."""
        found = []
        for item in steps:
            step = item[0] if isinstance(item, tuple) else item
            found.append(self._block(step) if isinstance(step, Block) else self._step(step))
        return found

    def _block(self, step: Block) -> int:
        if isinstance(step, Loop):
            self.same |= {id(m.storage): m.start.storage for m in step.moving}
            for a, b in step.swaps:
                self._join(a.storage, b.storage)
        inside = [k for part in step.parts for k in self.add(part)]
        self.boxes.append(Box([step.kind, step.described()], step.kind, inside))
        return len(self.boxes) - 1

    def _step(self, step: Step) -> int:
        read = [(key, kind) for key, kind in map(self._key, step.read())]
        sources = [(key, self._source(key, kind)) for key, kind in dict(read).items()]
        number = len(self.boxes)
        kind = step.kind if step.kind in ("region", "product", "call") else "other"
        self.boxes.append(Box(_text(step), kind))
        for _, writers in sources:
            self.arrows += [(k, number, "", False) for k in writers]
        own = {key for key, _ in read}
        for key, _ in map(self._key, step.written()):
            self.writers[key] = [number] if key in own else [*self.writers.get(key, ()), number]
        return number

    def _root(self, storage: Storage) -> Storage:
        storage = storage.outermost
        while id(storage) in self.same:
            storage = self.same[id(storage)].outermost
        return storage

    def _join(self, a: Storage, b: Storage) -> None:
        """Take the memory of two that swap for one."""
        a, b = self._root(a), self._root(b)
        if a is not b:
            self.same[id(b)] = a
            self.writers.setdefault(id(a), []).extend(self.writers.pop(id(b), []))
            if b.kind == "output":
                self.buffers[b.buffer] = b

    def _key(self, storage: Storage) -> tuple[Any, str]:
        storage = self._root(storage)
        if storage.kind in ("input", "output"):
            self.buffers[storage.buffer] = storage
        return id(storage), storage.kind if storage.kind != "input" else f"input {storage.buffer}"

    def _source(self, key: Any, kind: str) -> list[int]:
        if key not in self.writers:
            if not kind.startswith(("input", "constant")):
                return []
            name, _, buffer = kind.partition(" ")
            lines = self.inputs.get(int(buffer), [kind]) if buffer else [name]
            self.boxes.append(Box(lines, name))
            self.writers[key] = [len(self.boxes) - 1]
        return self.writers[key]

    def results(self) -> None:
        """Add a box for each result."""
        plan = self.entry.plan
        n = len(plan.returned) - self.entry.n_guards
        for k, (buffer, shape, dtype) in enumerate(plan.returned):
            storage = self.buffers.get(buffer)
            root = None if storage is None else id(self._root(storage))
            writers = self.writers.get(root, [])
            name = f"result {k}" if k < n else "guard"
            self.boxes.append(Box([name, f"{dtype} {shape}"], "result"))
            self.arrows += [(w, len(self.boxes) - 1, "", False) for w in writers]


def _text(step: Step) -> list[str]:
    writes = list(dict.fromkeys(f"{v.dtype} {v.shape}" for v in step.writes))
    what = step.described()
    if isinstance(step, Region) or step.kind == "region":
        names = what.split()
        more = [f"and {len(names) - MEMBERS} more"] if len(names) > MEMBERS else []
        return ["region", *_wrapped(names[:MEMBERS]), *more, *writes]
    return [f"{step.kind} {what}".strip(), *writes]


def _wrapped(names: Sequence[str]) -> list[str]:
    lines = [""]
    for name in names:
        if lines[-1] and len(lines[-1]) + len(name) >= LINE:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + name
    return lines


def _names(entry: Entry, function: Callable[..., Any] | None) -> dict[int, list[str]]:
    """Return for each input of a plan its name, and what it is like."""
    try:
        own = [] if function is None else list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        own = []
    found: dict[int, list[str]] = {}
    for k, spec in enumerate(entry.arguments):
        _name(found, spec, own[k] if k < len(own) else f"argument {k}")
    if entry.keywords is not None:
        for key, spec in zip(entry.keywords.value, entry.keywords.parts, strict=True):
            _name(found, spec, str(key))
    for spec in entry.surroundings:
        _name(found, spec, "around")
    return found


def _name(found: dict[int, list[str]], spec: Spec, name: str) -> None:
    if spec.name == "array":
        shape, dtype = spec.value
        found[spec.number] = [name, f"{dtype} {shape}"]
    elif spec.name == "number":
        found[spec.number] = [name, spec.value.__name__]
    keys = spec.value if spec.name == "dict" else range(len(spec.parts))
    if spec.name == "tree":
        paths = spec.value.paths(name)
        for path, part in zip(paths, spec.parts, strict=False):
            _name(found, part, path)
        return
    for key, part in zip(keys, spec.parts, strict=True):
        _name(found, part, f"{name}[{key!r}]")
