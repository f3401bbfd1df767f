"""No silent loss: what happens where a result does not depend on what it is differentiated by."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp._core import graph
from fastbp._core.graph import Variable
from fastbp.errors import DTypeError, UnconnectedError, UnconnectedWarning

__all__ = [
    "ONLY_WARN",
    "WITHOUT_NONE",
    "check_for_autograd",
    "check_option",
    "described",
    "meant",
    "report",
]

OPTIONS = ("warn", "zero", "none", "raise")
WITHOUT_NONE = ("warn", "zero", "raise")
ONLY_WARN = "only warn"  # of functions that have no option: the warning names none
LIBRARIES = ("fastbp", "numpy", "scipy")  # whose frames are not the user's


class _Meant(threading.local):
    node = -1


_meant = _Meant()


def check_option(name: str, value: Any, options: Sequence[str] = OPTIONS) -> str:
    """Return the option `unconnected` of a transform, or raise."""
    if value not in options:
        listed = ", ".join(f'"{option}"' for option in options[:-1])
        raise ValueError(f'{name}: unconnected must be {listed} or "{options[-1]}", not {value!r}')
    return str(value)


def meant() -> None:
    """Note that the function which is recorded now makes constants on purpose.

    By `stop_gradient`, or by a derivative, as the constant gradient of a linear function is: what
    does not depend on its arguments then is no loss.
    """
    _meant.node = graph.current_id()


def report(
    name: str, option: str, inputs: Sequence[Variable], paths: Sequence[str], of: str = "the result"
) -> None:
    """Warn or raise for the arguments that a result does not depend on, if it is not meant.

    Parameters
    ----------
    name : str
        The transform.
    option : {"warn", "zero", "raise", "none"}
    inputs : sequence of Variable
        The recorded arguments, the first one the oldest.
    paths : sequence of str
        Which of them, as the user knows them; none, and nothing happens.
    of : str
        What does not depend on them.
    """
    if not paths or option in ("zero", "none"):
        return
    listed = ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
    text = (
        f"{name}: {of} does not depend on {listed}, so the derivative is zero: comparisons, "
        "indices, rounding, .value, .item() and int() lead out of what is recorded: go on with x "
        "itself, and numpy.where for a choice"
    )
    if name.startswith("autograd."):
        # The sentence that programs which were written for it filter by.
        if len(paths) == len(inputs):
            text = f"Output seems independent of input. {text}"
    elif option == "warn":
        text += '; unconnected="zero" says that it is meant, "raise" makes it an error'
    if option == "raise":
        raise UnconnectedError(text)
    if _meant.node < inputs[0].node_id:
        warnings.warn(text, UnconnectedWarning, stacklevel=_level_of_user())


def check_for_autograd(name: str, y: Any) -> None:
    """Raise where autograd's gradients do: a truth value or an integer has no derivative."""
    if not name.startswith("autograd.") or name == "autograd.make_vjp":  # which returns the value
        return
    if isinstance(y, (bool, int, np.bool_, np.integer)):
        raise DTypeError(
            f"{name}: the function's output is a plain {type(y).__name__}, which has no "
            "derivative: comparisons, indices and rounding lead out of what is recorded"
        )


def described(y: Any) -> str:
    """Name a result: with what it is if it is not recorded."""
    if graph.is_passive(y):
        y = graph.array_of(y)[()]  # what it is outside of this record
    if type(y) is Variable or y is None:
        return "the result"
    if isinstance(y, np.ndarray) and y.ndim:
        return f"the result, a plain array of {y.dtype},"
    return f"the result, a plain {type(y).__name__},"


def _level_of_user() -> int:
    """Return the stack level, for `report`, of the line that is neither ours nor a solver's."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in LIBRARIES:
            return level
        frame, level = frame.f_back, level + 1
    return level
