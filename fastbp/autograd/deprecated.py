"""Methods of primitives that autograd keeps from before `defvjp` was a function."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

from fastbp.autograd.vspaces import vspace
from fastbp.autograd.wrap_util import get_name

__all__ = ["add_methods"]


def add_methods(fun: Any, defvjp: Callable[..., None]) -> None:
    """Give a primitive `defgrad`, `defvjp` and `defvjp_is_zero`; each call adds an argument."""
    makers: dict[int, Any] = {}

    def state(method: str, found: dict[int, Any]) -> None:
        name = get_name(fun)
        warnings.warn(f"{name}.{method} is deprecated: write defvjp({name}, ...)", stacklevel=3)
        makers.update(found)
        defvjp(fun, *makers.values(), argnums=tuple(makers))

    def defgrad(gradmaker: Callable[..., Any], argnum: int = 0) -> None:
        state("defgrad", {argnum: gradmaker})

    def of_spaces(vjp: Callable[..., Any], argnum: int = 0) -> None:
        def maker(ans: Any, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
            return lambda g: vjp(g, ans, vspace(args[argnum]), vspace(g), *args, **kwargs)

        state("defvjp", {argnum: maker})

    def defvjp_is_zero(argnums: Iterable[int] = (0,)) -> None:
        state("defvjp_is_zero", dict.fromkeys(argnums))

    fun.defgrad, fun.defvjp, fun.defvjp_is_zero = defgrad, of_spaces, defvjp_is_zero
