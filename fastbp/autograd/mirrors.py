"""Namespaces that show NumPy's and SciPy's names, fastbp's functions where it has them.

Programs copy ``vars(autograd.numpy)``, so that the names stand in the modules themselves. A
function that fastbp has no rule for is NumPy's own and refuses recorded values with an error of
fastbp's.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from fastbp.rules.table import attribute

__all__ = ["fill", "ours"]


def ours(name: str) -> Any:
    """Return ``fastbp.<name>``, a module or an object in one, or None where there is none."""
    path, _, last = name.rpartition(".")
    try:
        return importlib.import_module(f"fastbp.{name}")
    except ModuleNotFoundError as error:
        if error.name is None or not f"fastbp.{name}.".startswith(f"{error.name}."):
            raise
    parent = ours(path) if path else None
    return None if parent is None else vars(parent).get(last)


def fill(namespace: dict[str, Any], plain: Any, name: str) -> None:
    """Fill a module with the names of `plain`, NumPy's or SciPy's, and of ``fastbp.<name>``.

    It gets ``__getattr__`` for what these load when it is asked for, and ``__dir__``.
    """
    mirrored = ours(name)
    public = namespace["__name__"]
    names = {**vars(plain), **(vars(mirrored) if isinstance(mirrored, ModuleType) else {})}
    namespace.update(
        {
            key: value
            for key, value in names.items()
            if not key.startswith("_") and not isinstance(value, ModuleType)
        }
    )

    def missing(key: str) -> Any:
        if key.startswith("__"):  # Python's own questions of a module
            raise AttributeError(f"module {public!r} has no attribute {key!r}")
        return attribute(plain if mirrored is None else mirrored, key, public)

    namespace["__getattr__"] = missing
    namespace["__dir__"] = lambda: sorted({*namespace, *dir(plain)})
