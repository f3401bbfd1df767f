"""Compiled rules of operations, for sweeps that record nothing."""

from collections.abc import Callable
from typing import Any, final

from fastbp._core.graph import Rules

@final
class Adds(Rules):
    function: Callable[..., Any]
    def __init__(self, function: Callable[..., Any]) -> None: ...

@final
class Elements(Rules): ...

@final
class Products(Rules): ...

@final
class Sums(Rules): ...
