"""What the carry of a loop has to look like, in each of its steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp import tree
from fastbp._core.graph import Passive, Variable, array_of
from fastbp._core.operands import as_array
from fastbp.errors import DTypeError, ShapeError

__all__ = ["Carry"]


@dataclass(frozen=True)
class Carry:
    """What every carry of a loop, `name`, has to look like."""

    name: str
    treedef: tree.TreeDef
    kinds: list[tuple[tuple[int, ...], np.dtype[Any]]]

    @classmethod
    def of(cls, name: str, init: Any) -> Carry:
        """Return what carries look like that are like the first one."""
        leaves, treedef = tree.flatten(init)
        return cls(name, treedef, [_kind(name, x) for x in leaves])

    def check(self, carry: Any, step: str) -> None:
        """Raise if a carry that a step returned is another one."""
        leaves, treedef = tree.flatten(carry)
        if treedef != self.treedef:
            raise ShapeError(
                f"{self.name}: {step} returned a carry of structure {treedef}, "
                f"it was given {self.treedef}"
            )
        for k, (x, (shape, dtype)) in enumerate(zip(leaves, self.kinds, strict=True)):
            found = _kind(self.name, x)
            if found == (shape, dtype):
                continue
            error = ShapeError if found[0] != shape else DTypeError
            advice = "; start with 0.0 in place of 0" if dtype.kind in "bui" else ""
            raise error(
                f"{self.name}: {step} returned {treedef.paths('carry')[k]} of shape {found[0]} "
                f"and dtype {found[1]}, it was given shape {shape} and dtype {dtype}{advice}"
            )


def _kind(name: str, x: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    recorded = type(x) is Variable or type(x) is Passive
    value = array_of(x) if recorded else as_array(x, f"{name}: the carry")
    return value.shape, value.dtype
