"""The call of a compiled function."""

from collections.abc import Callable
from typing import Any, final

import numpy as np
from typing_extensions import disjoint_base

from fastbp._core.replay import Plan

MISSED: object

class GuardError(ArithmeticError): ...

@final
class Spec:
    number: int
    layout: str | tuple[int, ...]
    parts: tuple[Spec, ...]
    value: Any
    @property
    def name(self) -> str: ...
    def __init__(
        self, kind: str, value: Any, parts: tuple[Spec, ...] = (), number: int = -1
    ) -> None: ...
    def require(self, layout: str | tuple[int, ...]) -> None: ...

@final
class Form:
    kind: str
    value: Any
    parts: tuple[Form, ...]
    def __init__(self, kind: str, value: Any, parts: tuple[Form, ...] = ()) -> None: ...

@final
class Entry:
    plan: Plan
    arguments: tuple[Spec, ...]
    keywords: Spec | None
    places: list[Any]
    surroundings: list[Spec]
    guards: list[np.ndarray | None]
    form: Form | None
    build: Callable[[list[Any]], Any] | None
    missed: int
    n_guards: int
    def __init__(
        self,
        plan: Plan,
        arguments: tuple[Spec, ...],
        keywords: Spec | None,
        places: list[Any],
        surroundings: list[Spec],
        watched: list[Any],
        compared: list[Any],
        guards: list[np.ndarray | None],
        form: Form | Callable[[list[Any]], Any],
    ) -> None: ...
    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any: ...
    def times(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], parts: list[Any], passes: int
    ) -> Any: ...
    def found(self) -> list[Any]: ...
    def reason(self, args: tuple[Any, ...] | None, kwargs: dict[str, Any] | None) -> str | None: ...
    def built(self, results: list[Any]) -> Any: ...

@final
class Bound:
    def __init__(
        self,
        entry: Entry,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        outputs: list[np.ndarray],
        result: Any,
        moved: list[tuple[np.ndarray, np.ndarray]],
    ) -> None: ...
    def __call__(self) -> Any: ...

@disjoint_base
class Caller:
    entries: list[Entry]
    def add(self, entry: Entry) -> None: ...
    def clear(self) -> None: ...
    def miss(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any: ...
    def failed(self, error: Exception, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

def bind(name: str, function: Callable[..., Any]) -> None: ...
def set_length_key(key: object) -> None: ...
