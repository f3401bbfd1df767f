"""`load`: plans from a file, as a function."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp._core.caller import Entry, GuardError, Spec
from fastbp._core.replay import StrongZeroError
from fastbp.compiling.files import read
from fastbp.compiling.plans import Plans, any_recorded
from fastbp.errors import NoFunctionError

__all__ = ["Loaded", "load"]


def load(path: Any) -> Loaded:
    """Return the compiled function that was saved in a file.

    Parameters
    ----------
    path : str or path
        Written by ``compile(f).save(path)``.

    Returns
    -------
    Loaded
        A callable with the methods of a compiled function. It takes arguments of the structures
        for which there are plans in the file.

    Raises
    ------
    PlanFileError
        If the file is damaged, was made up, has another version of the format, or calls functions
        of another version of fastbp.
    NoFunctionError
        (from the returned function) With arguments of another structure; where the values that
        decided how fastbp computes (guards) are others, or a zero cotangent met a slope that is
        not finite: there `f` itself would be called, and it is not in the file.

    Notes
    -----
    No code is read and no pickle: instructions are numbers and names of fastbp's own functions, and
    are checked when they are read. So a file of somebody else's may be wrong, but does no more
    than compute.

    Arrays that the function found around it are those of the time when it was saved.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import fastbp as bp
    >>> weights = np.array([1.0, 2.0])
    >>> f = bp.compile(lambda x: np.tanh(x @ weights))
    >>> y = f(np.ones(2))
    >>> path = os.path.join(tempfile.mkdtemp(), "f.plan")
    >>> f.save(path)
    >>> g = bp.load(path)
    >>> bool(g(np.ones(2)) == y)
    True
    >>> g(np.ones(3))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    fastbp.errors.NoFunctionError: <lambda>, from a file, has no plan ... it takes (float64[2])
    """
    with open(path, "rb") as file:
        return Loaded(file.read())


class Loaded(Plans):
    """A function of plans from a file; made by `load`.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import fastbp as bp
    >>> f = bp.compile(lambda x: np.sum(np.tanh(x) ** 2))
    >>> _ = f(np.zeros(3))
    >>> path = os.path.join(tempfile.mkdtemp(), "f.plan")
    >>> f.save(path)
    >>> loaded = bp.load(path)
    >>> float(loaded(np.zeros(3))), loaded.stats()
    (0.0, {'plans': 1, 'recorded': []})
    """

    def __init__(self, data: bytes) -> None:
        entries, self.__name__ = read(data)
        self._data = data
        for entry in entries:
            self.add(entry)

    def __reduce__(self) -> Any:
        return Loaded, (self._data,)

    def __repr__(self) -> str:
        return f"<compiled {self.__name__}, from a file>"

    def stats(self) -> dict[str, Any]:
        """Return how many plans there are; none is recorded."""
        return {"plans": len(self.entries), "recorded": []}

    def entry_for(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Entry:
        """Return the plan for a call."""
        for entry in self.entries:
            if entry.reason(args, kwargs) is None:
                return entry
        raise self._missing(args, kwargs)

    def miss(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Refuse a call that no plan is for."""
        raise self._missing(args, kwargs)

    def failed(self, error: Exception, args: Any, kwargs: Any) -> Any:
        """Say that the function itself would be needed."""
        if isinstance(error, GuardError | StrongZeroError):
            raise NoFunctionError(
                f"{self.__name__}, from a file, cannot tell the result for these values: {error}; "
                "compile it where the function is"
            ) from None
        raise error

    def _missing(self, args: Any, kwargs: Any) -> NoFunctionError:
        if any_recorded(args, kwargs):
            return NoFunctionError(
                f"{self.__name__}, from a file, has no derivative: save a compiled gradient"
            )
        taken = " or ".join(dict.fromkeys(_taken(entry) for entry in self.entries))
        return NoFunctionError(
            f"{self.__name__}, from a file, has no plan for these arguments: it takes {taken}"
        )


def _taken(entry: Entry) -> str:
    shown = [_shown(spec) for spec in entry.arguments]
    if entry.keywords is not None:
        pairs = zip(entry.keywords.value, entry.keywords.parts, strict=True)
        shown += [f"{key}={_shown(spec)}" for key, spec in pairs]
    return f"({', '.join(shown)})"


def _shown(spec: Spec) -> str:
    parts = [_shown(part) for part in spec.parts]
    if spec.name == "array":
        shape, dtype = spec.value
        return f"{dtype}{list(shape)}"
    if spec.name == "number":
        return str(spec.value.__name__)
    if spec.name == "dict":
        pairs = zip(spec.value, parts, strict=True)
        return "{" + ", ".join(f"{key!r}: {x}" for key, x in pairs) + "}"
    if spec.name == "tuple":
        return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
    if spec.name == "list":
        return f"[{', '.join(parts)}]"
    if spec.name == "tree":
        return str(spec.value.unflatten(parts)) if parts else "None"
    if isinstance(spec.value, np.ndarray):
        return f"an array of {spec.value.dtype}{list(spec.value.shape)} with its elements"
    return repr(spec.value)
