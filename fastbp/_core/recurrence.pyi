"""Linear recurrences along rows."""

from typing import Any

from numpy.typing import NDArray

def recur(a: NDArray[Any], b: NDArray[Any], out: NDArray[Any]) -> None: ...
