"""Gradients of one array or number, from the call of the function to the result."""

from collections.abc import Callable
from typing import Any

def gradient(
    name: str,
    f: Callable[..., Any],
    argnums: Any,
    has_aux: Any,
    single: Any,
    option: Any,
    /,
    *args: Any,
    **kwargs: Any,
) -> Any: ...
def gradients(ys: Any, xs: Any) -> Any: ...
def value_and_gradient(
    name: str,
    f: Callable[..., Any],
    argnums: Any,
    has_aux: Any,
    single: Any,
    option: Any,
    /,
    *args: Any,
    **kwargs: Any,
) -> tuple[Any, Any]: ...
